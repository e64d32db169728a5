use num_complex::Complex64;

use crate::vectorised::vectorised;

/// S-matrices of a component over a batch of points, in planar layout: one lane of real and one of imaginary parts for each
/// (out, in) pair that can be other than zero, so that loops over points vectorise. Elements that were copied have one lane
/// together until one of them is written.
#[derive(Debug, Clone)]
pub struct Scattering {
    ports: usize,
    points: usize,
    /// Lane of (out, in) at out * ports + in; `ABSENT` where the element is always zero, `BLANK` where nothing was written.
    lanes: Vec<usize>,
    /// Whether a lane was copied, and so may serve several elements.
    copied: Vec<bool>,
    re: Vec<f64>,
    im: Vec<f64>,
    undeclared: Option<(usize, usize)>,
}

const ABSENT: usize = usize::MAX;
const BLANK: usize = usize::MAX - 1;

impl Scattering {
    /// Zeros for `points` matrices of `ports` x `ports`, of which only the `couplings` (out, in) can be written.
    pub fn new(ports: usize, couplings: &[(usize, usize)], points: usize) -> Self {
        let mut lanes = vec![ABSENT; ports * ports];
        for &(out, input) in couplings.iter().filter(|(o, i)| *o < ports && *i < ports) {
            lanes[out * ports + input] = BLANK;
        }
        Self { ports, points, lanes, copied: Vec::new(), re: Vec::new(), im: Vec::new(), undeclared: None }
    }

    /// The same with a lane of its own for each of the `couplings`, in their order; each is named once.
    pub(crate) fn with_lanes(ports: usize, couplings: &[(usize, usize)], points: usize) -> Self {
        let mut s = Self::new(ports, couplings, points);
        for (lane, &(out, input)) in couplings.iter().enumerate() {
            s.lanes[out * ports + input] = lane;
        }
        s.copied = vec![false; couplings.len()];
        // Not one cloned from the other: zeros come without being written, a clone does not.
        s.re = vec![0.0; couplings.len() * points];
        s.im = vec![0.0; couplings.len() * points];
        s
    }

    /// Number of ports.
    pub fn ports(&self) -> usize {
        self.ports
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Where the number of the lane of a declared pair stands.
    fn place(&self, out: usize, input: usize) -> Option<usize> {
        let inside = out < self.ports && input < self.ports;
        inside.then_some(out * self.ports + input).filter(|p| self.lanes[*p] != ABSENT)
    }

    /// Number of lanes; several elements may share one.
    pub(crate) fn lane_count(&self) -> usize {
        self.copied.len()
    }

    /// The lane of (out, in); `None` where nothing was written.
    pub(crate) fn lane_number(&self, out: usize, input: usize) -> Option<usize> {
        self.place(out, input).map(|p| self.lanes[p]).filter(|l| *l != BLANK)
    }

    /// Real and imaginary parts of (out, in) over the points; `None` where the element is zero because nothing was written.
    pub fn lane(&self, out: usize, input: usize) -> Option<(&[f64], &[f64])> {
        let start = self.lane_number(out, input)? * self.points;
        Some((&self.re[start..start + self.points], &self.im[start..start + self.points]))
    }

    /// The same, to be written. `None` for a pair that was not declared, which [`Scattering::problem`] then reports.
    pub fn lane_mut(&mut self, out: usize, input: usize) -> Option<(&mut [f64], &mut [f64])> {
        let Some(place) = self.place(out, input) else {
            self.undeclared = Some((out, input));
            return None;
        };
        let old = self.lanes[place];
        if old == BLANK || self.copied[old] {
            self.lanes[place] = self.copied.len();
            self.copied.push(false);
            for plane in [&mut self.re, &mut self.im] {
                match old {
                    BLANK => plane.resize(plane.len() + self.points, 0.0),
                    _ => plane.extend_from_within(old * self.points..(old + 1) * self.points),
                }
            }
        }
        let lane = self.lanes[place];
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
        match (self.place(to.0, to.1), self.place(from.0, from.1)) {
            (Some(t), Some(f)) => {
                let lane = self.lanes[f];
                self.lanes[t] = lane;
                if lane != BLANK {
                    self.copied[lane] = true;
                }
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

    /// All real and all imaginary parts: lane after lane, in the order of [`Scattering::with_lanes`].
    pub(crate) fn planes_mut(&mut self) -> (&mut [f64], &mut [f64]) {
        (&mut self.re, &mut self.im)
    }

    /// What a component did wrong when it filled this, if anything: wrote a pair that it had not declared, or a number that
    /// is not finite.
    pub fn problem(&self) -> Option<String> {
        if let Some((out, input)) = self.undeclared {
            return Some(format!("wrote the undeclared coupling ({out}, {input})"));
        }
        if all_finite(&self.re) && all_finite(&self.im) {
            return None;
        }
        let bad = self.re.iter().zip(&self.im).position(|(re, im)| !(re.is_finite() && im.is_finite()))?;
        Some(format!("gives a number that is not finite at point {}", bad % self.points.max(1)))
    }
}

vectorised! {
    /// Whether all numbers are finite. An exponent of ones, which infinities and NaN have, carries into bit 11.
    fn all_finite(numbers: &[f64]) -> bool {
        numbers.iter().fold(0, |carry, x| carry | (((x.to_bits() >> 52) & 0x7ff) + 1)) < 0x800
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_part_when_one_is_written() {
        let mut s = Scattering::new(2, &[(0, 1), (1, 0), (1, 1)], 3);
        s.fill_both(1, 0, |i| Complex64::new(i as f64, -1.0));
        assert_eq!(s.lane_count(), 1);
        s.copy((1, 1), (0, 1));
        s.fill(1, 0, |_| Complex64::I);
        s.lane_mut(0, 1).unwrap().0[0] = 7.0;
        let lanes = [(1, 0), (0, 1), (1, 1)].map(|(o, i)| [s.at(o, i, 0), s.at(o, i, 2)]);
        let z = Complex64::new;
        assert_eq!(lanes, [[z(0.0, 1.0); 2], [z(7.0, -1.0), z(2.0, -1.0)], [z(0.0, -1.0), z(2.0, -1.0)]]);
        s.copy((1, 1), (1, 1));
        assert_eq!(s.at(1, 1, 2), z(2.0, -1.0));
        assert_eq!(s.problem(), None);
        s.copy((0, 0), (1, 1));
        assert!(s.problem().unwrap().contains("undeclared coupling (0, 0)"));
    }

    #[test]
    fn numbers_that_are_not_finite_are_found() {
        for bad in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for point in 0..9 {
                let mut s = Scattering::new(1, &[(0, 0)], 9);
                s.fill(0, 0, |i| Complex64::new(f64::MAX, if i == point { bad } else { -f64::MIN_POSITIVE }));
                assert!(s.problem().unwrap().ends_with(&format!("not finite at point {point}")));
            }
        }
        assert!(all_finite(&[f64::MAX, f64::MIN, 0.0, -0.0, 5e-324]));
    }
}
