use num_complex::Complex64;

/// S-matrices of a component over a batch of points, in planar layout: one lane of real and one of imaginary parts for each
/// (out, in) pair that can be other than zero, so that loops over points vectorise.
#[derive(Debug, Clone)]
pub struct Scattering {
    ports: usize,
    points: usize,
    /// Lane of (out, in) at out * ports + in; `ABSENT` where the element is always zero.
    lanes: Vec<usize>,
    re: Vec<f64>,
    im: Vec<f64>,
    undeclared: Option<(usize, usize)>,
}

const ABSENT: usize = usize::MAX;

impl Scattering {
    /// Zeros for `points` matrices of `ports` x `ports`, of which only the `couplings` (out, in) can be written.
    pub fn new(ports: usize, couplings: &[(usize, usize)], points: usize) -> Self {
        let mut lanes = vec![ABSENT; ports * ports];
        let mut count = 0;
        for &(out, input) in couplings.iter().filter(|(o, i)| *o < ports && *i < ports) {
            if lanes[out * ports + input] == ABSENT {
                lanes[out * ports + input] = count;
                count += 1;
            }
        }
        let zeros = vec![0.0; count * points];
        Self { ports, points, lanes, re: zeros.clone(), im: zeros, undeclared: None }
    }

    /// Number of ports.
    pub fn ports(&self) -> usize {
        self.ports
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    fn lane_index(&self, out: usize, input: usize) -> Option<usize> {
        let inside = out < self.ports && input < self.ports;
        inside.then(|| self.lanes[out * self.ports + input]).filter(|l| *l != ABSENT)
    }

    /// Real and imaginary parts of (out, in) over the points; `None` where the element is always zero.
    pub fn lane(&self, out: usize, input: usize) -> Option<(&[f64], &[f64])> {
        let start = self.lane_index(out, input)? * self.points;
        Some((&self.re[start..start + self.points], &self.im[start..start + self.points]))
    }

    /// The same, to be written. `None` for a pair that was not declared, which [`Scattering::problem`] then reports.
    pub fn lane_mut(&mut self, out: usize, input: usize) -> Option<(&mut [f64], &mut [f64])> {
        let Some(lane) = self.lane_index(out, input) else {
            self.undeclared = Some((out, input));
            return None;
        };
        let range = lane * self.points..(lane + 1) * self.points;
        Some((&mut self.re[range.clone()], &mut self.im[range]))
    }

    /// Sets (out, in) at every point.
    pub fn fill(&mut self, out: usize, input: usize, value: impl Fn(usize) -> Complex64) {
        if let Some((re, im)) = self.lane_mut(out, input) {
            for (i, (re, im)) in re.iter_mut().zip(im).enumerate() {
                let z = value(i);
                (*re, *im) = (z.re, z.im);
            }
        }
    }

    /// Sets (a, b) and (b, a), as a reciprocal component has them.
    pub fn fill_both(&mut self, a: usize, b: usize, value: impl Fn(usize) -> Complex64) {
        self.fill(a, b, value);
        if a != b {
            self.copy((b, a), (a, b));
        }
    }

    /// Copies one element to another at every point.
    pub fn copy(&mut self, to: (usize, usize), from: (usize, usize)) {
        match (self.lane_index(to.0, to.1), self.lane_index(from.0, from.1)) {
            (Some(t), Some(f)) => {
                let source = f * self.points..(f + 1) * self.points;
                self.re.copy_within(source.clone(), t * self.points);
                self.im.copy_within(source, t * self.points);
            }
            (None, _) => self.undeclared = Some(to),
            (_, None) => self.undeclared = Some(from),
        }
    }

    /// The element (out, in) at one point; zero where it is always zero.
    pub fn at(&self, out: usize, input: usize, point: usize) -> Complex64 {
        let lane = self.lane(out, input).filter(|(re, _)| point < re.len());
        lane.map_or(Complex64::ZERO, |(re, im)| Complex64::new(re[point], im[point]))
    }

    /// All real and all imaginary parts: lane after lane, in the order of the couplings.
    pub(crate) fn planes_mut(&mut self) -> (&mut [f64], &mut [f64]) {
        (&mut self.re, &mut self.im)
    }

    /// What a component did wrong when it filled this, if anything: wrote a pair that it had not declared, or a number that
    /// is not finite.
    pub fn problem(&self) -> Option<String> {
        if let Some((out, input)) = self.undeclared {
            return Some(format!("wrote the undeclared coupling ({out}, {input})"));
        }
        let bad = self.re.iter().zip(&self.im).position(|(re, im)| !(re.is_finite() && im.is_finite()))?;
        Some(format!("gives a number that is not finite at point {}", bad % self.points.max(1)))
    }
}
