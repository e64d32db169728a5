//! From currents to residues: the probability of every sector, with or without ADC cells.

use crate::numerics::{PhaseTail, normal_tail};
use std::f64::consts::PI;

/// Probabilities below this are not followed further.
const NOTHING: f64 = 1e-30;

/// Sector decision of one MDPU: (I, Q) is read as the nearest multiple of 2 pi/m, taken at the centre of the ADC cell.
#[derive(Debug, Clone)]
pub struct ReadOut {
    modulus: usize,
    adc: Option<(u32, f64)>,
    tail: PhaseTail,
    /// The ray above each sector.
    above: Vec<Ray>,
}

/// A ray from the origin.
#[derive(Debug, Clone, Copy)]
struct Ray {
    sin: f64,
    cos: f64,
    tan: f64,
}

impl Ray {
    /// Whether (x, y) lies beyond it, less than half a turn further on.
    fn passed(self, x: f64, y: f64) -> bool {
        self.cos * y > self.sin * x
    }
}

/// The mean of (I, Q) and the independent normal noise of each, A.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Mean of I.
    pub i: f64,
    /// Mean of Q.
    pub q: f64,
    /// Standard deviation of I.
    pub sigma_i: f64,
    /// Standard deviation of Q.
    pub sigma_q: f64,
}

impl ReadOut {
    /// A read-out of `modulus` sectors with `adc` = (bits, full scale in A), or without quantisation.
    pub fn new(modulus: u32, adc: Option<(u32, f64)>) -> Self {
        let turn = 2.0 * PI / f64::from(modulus);
        ReadOut {
            modulus: modulus as usize,
            adc: adc.map(|(bits, full_scale)| (bits, full_scale / f64::from(1u32 << (bits - 1)))),
            tail: PhaseTail::default(),
            above: (0..modulus)
                .map(|k| {
                    let angle = (f64::from(k) + 0.5) * turn;
                    Ray { sin: angle.sin(), cos: angle.cos(), tan: angle.tan() }
                })
                .collect(),
        }
    }

    /// One LSB of the ADCs, A; zero without quantisation.
    pub fn lsb(&self) -> f64 {
        self.adc.map_or(0.0, |(_, lsb)| lsb)
    }

    /// The residue read from exact currents, after quantisation.
    pub fn decide(&self, i: f64, q: f64) -> usize {
        let (i, q) = (self.centre(i), self.centre(q));
        let turns = q.atan2(i) / (2.0 * PI) * self.modulus as f64;
        (turns.round() as i64).rem_euclid(self.modulus as i64) as usize
    }

    /// What an ADC makes of a current: the centre of its cell, clipped at full scale.
    pub(crate) fn centre(&self, current: f64) -> f64 {
        match self.adc {
            None => current,
            Some((bits, lsb)) => {
                let half = f64::from(1u32 << (bits - 1));
                (current / lsb).floor().clamp(-half, half - 1.0) + 0.5
            }
        }
    }

    /// Adds `weight` times the probability of reading `truth + j` to `out[j]` (length m, j mod m), for every j but zero.
    pub fn add_errors(&self, truth: usize, point: Point, weight: f64, out: &mut [f64]) {
        match self.adc {
            Some((bits, lsb)) if !self.fine(point, bits, lsb) => {
                self.cells(truth, point, weight, bits, lsb, out)
            }
            _ => {
                let spread = self.lsb().powi(2) / 12.0;
                let sigma = (0.5 * (point.sigma_i.powi(2) + point.sigma_q.powi(2)) + spread).sqrt();
                let amplitude = point.i.hypot(point.q);
                let ideal = truth as f64 * 2.0 * PI / self.modulus as f64;
                let deviation = wrap(point.q.atan2(point.i) - ideal);
                let snr = if sigma > 0.0 { amplitude / sigma } else { f64::MAX };
                self.add_wedges(snr, deviation, weight, out);
            }
        }
    }

    /// Cells far smaller than the noise, none of them clipped, act as noise of variance LSB^2/12. What is neglected is a
    /// shift of a sector's edge by up to half an LSB where the edge runs along a row of cells: 1/64 of sigma at most, of
    /// either sign, averaging out over residues and amplitudes.
    fn fine(&self, point: Point, bits: u32, lsb: f64) -> bool {
        let full_scale = lsb * f64::from(1u32 << (bits - 1));
        let reach = |mean: f64, sigma: f64| mean.abs() + 8.6 * sigma < full_scale;
        let balanced = (point.sigma_i - point.sigma_q).abs() < 1e-3 * point.sigma_i;
        balanced
            && lsb < point.sigma_i / 32.0
            && reach(point.i, point.sigma_i)
            && reach(point.q, point.sigma_q)
    }

    /// Sectors as wedges, for isotropic noise: `snr` is amplitude over standard deviation, `deviation` the angle of the
    /// mean from the true residue's direction.
    pub fn add_wedges(&self, snr: f64, deviation: f64, weight: f64, out: &mut [f64]) {
        let m = self.modulus;
        for (side, shift) in [(1, deviation), (m - 1, -deviation)] {
            let boundary = |j: usize| (2 * j + 1) as f64 * PI / m as f64 - shift;
            let (mut label, mut j) = (side, 0);
            let mut here = self.beyond(snr, boundary(0));
            while here > NOTHING {
                let next = self.beyond(snr, boundary(j + 1));
                out[label] += weight * (here - next).max(0.0);
                here = next;
                j += 1;
                label = (label + side) % m;
            }
        }
    }

    /// Probability that the wedge decision is wrong at all; see [`ReadOut::add_wedges`].
    pub fn wedge_error(&self, snr: f64, deviation: f64) -> f64 {
        let half = PI / self.modulus as f64;
        self.beyond(snr, half - deviation) + self.beyond(snr, half + deviation)
    }

    fn beyond(&self, snr: f64, angle: f64) -> f64 {
        if snr == f64::MAX { f64::from(u8::from(angle < 0.0)) } else { self.tail.beyond(snr, angle) }
    }

    /// Sum over ADC cells: for each code of I, the codes of Q fall into sectors in rising or falling order.
    fn cells(&self, truth: usize, point: Point, weight: f64, bits: u32, lsb: f64, out: &mut [f64]) {
        let m = self.modulus;
        let mut axis_i = Axis::new(point.i, point.sigma_i, bits, lsb);
        let mut axis_q = Axis::new(point.q, point.sigma_q, bits, lsb);
        let (lowest, highest) = (axis_q.first as f64 + 0.5, axis_q.last as f64 + 0.5);
        let mut corner = None;
        for code in axis_i.first..=axis_i.last {
            let x = code as f64 + 0.5;
            if self.holds(truth, x, lowest) && self.holds(truth, x, highest) {
                continue; // a sector holds what lies between two of its points
            }
            let rising = x > 0.0;
            let mut sector = self.sector(corner, x, lowest);
            corner = Some(sector);
            let mut start = axis_q.first;
            while start <= axis_q.last {
                let ray = self.above[if rising { sector } else { self.before(sector) }];
                // The ray of this boundary meets the column only if it points to the same side.
                let end = if (ray.cos > 0.0) == rising {
                    ((x * ray.tan - 0.5).ceil() as i64).clamp(start, axis_q.last + 1)
                } else {
                    axis_q.last + 1
                };
                if sector != truth && end > start {
                    let offset = if sector > truth { sector - truth } else { sector + m - truth };
                    out[offset] +=
                        weight * axis_i.probability(code, code + 1) * axis_q.probability(start, end);
                }
                start = end;
                sector = if rising { self.after(sector) } else { self.before(sector) };
            }
        }
    }

    fn after(&self, sector: usize) -> usize {
        if sector + 1 == self.modulus { 0 } else { sector + 1 }
    }

    fn before(&self, sector: usize) -> usize {
        if sector == 0 { self.modulus - 1 } else { sector - 1 }
    }

    /// Whether (x, y) lies in a sector of less than half a turn.
    fn holds(&self, sector: usize, x: f64, y: f64) -> bool {
        self.modulus > 2 && !self.above[sector].passed(x, y) && self.above[self.before(sector)].passed(x, y)
    }

    /// The sector of (x, y), looked for from a `guess` less than half a turn away if there is one.
    fn sector(&self, guess: Option<usize>, x: f64, y: f64) -> usize {
        let Some(mut sector) = guess else {
            let turns = y.atan2(x) / (2.0 * PI) * self.modulus as f64;
            return (turns.round() as i64).rem_euclid(self.modulus as i64) as usize;
        };
        while self.above[sector].passed(x, y) {
            sector = self.after(sector);
        }
        while !self.above[self.before(sector)].passed(x, y) {
            sector = self.before(sector);
        }
        sector
    }
}

/// Wraps an angle to (-pi, pi].
pub fn wrap(angle: f64) -> f64 {
    let turns = angle / (2.0 * PI);
    angle - 2.0 * PI * (turns - 0.5).ceil()
}

/// The codes of one ADC that a normal variable reaches.
struct Axis {
    /// Mean and LSB over standard deviation, in LSB.
    mean: f64,
    scale: f64,
    first: i64,
    last: i64,
    /// The probability beyond the lower edge of each code from the first to the one after the last, on the side away from the
    /// mean; not a number where nobody has asked yet.
    tails: Vec<f64>,
}

impl Axis {
    fn new(mean: f64, sigma: f64, bits: u32, lsb: f64) -> Self {
        let half = 1i64 << (bits - 1);
        let code = |current: f64| ((current / lsb).floor() as i64).clamp(-half, half - 1);
        let reach = 8.6 * sigma; // beyond lie 1e-17
        let (first, last) = (code(mean - reach), code(mean + reach));
        let scale = if sigma > 0.0 { lsb / sigma } else { f64::MAX };
        Axis { mean: mean / lsb, scale, first, last, tails: vec![f64::NAN; (last - first + 2) as usize] }
    }

    /// Probability of the codes from `start` up to but not including `end`, without cancellation in the tails.
    fn probability(&mut self, start: i64, end: i64) -> f64 {
        if self.scale == f64::MAX {
            return 1.0; // without noise there is one code
        }
        match (self.tail(start), self.tail(end)) {
            ((low, true), (high, _)) => low - high,
            ((low, false), (high, false)) => high - low,
            ((low, false), (high, true)) => 1.0 - low - high,
        }
    }

    /// The tail at the lower edge of `code`, and whether it lies above. The outermost codes take all that lies beyond: they clip, or
    /// it is next to nothing.
    fn tail(&mut self, code: i64) -> (f64, bool) {
        if code <= self.first || code > self.last {
            return (0.0, code > self.first);
        }
        let distance = (code as f64 - self.mean) * self.scale;
        let tail = &mut self.tails[(code - self.first) as usize];
        if tail.is_nan() {
            *tail = normal_tail(distance.abs());
        }
        (*tail, distance > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probability that a standard normal variable lies between.
    fn normal_interval(low: f64, high: f64) -> f64 {
        if low > 0.0 { normal_tail(low) - normal_tail(high) } else { normal_tail(-high) - normal_tail(-low) }
    }

    fn point(amplitude: f64, angle: f64, sigma: f64) -> Point {
        Point { i: amplitude * angle.cos(), q: amplitude * angle.sin(), sigma_i: sigma, sigma_q: sigma }
    }

    #[test]
    fn wedges_and_cells_agree_when_cells_are_small() {
        for m in [31u32, 32, 33] {
            let plain = ReadOut::new(m, None);
            // The edge of a sector may shift by half an LSB, here 0.02 sigma.
            let (bits, lsb) = (12, 0.04);
            let fine = ReadOut::new(m, Some((bits, 2048.0 * lsb)));
            for (truth, deviation) in [(0, 0.0), (7, 0.03), (19, -0.06), (30, 0.2)] {
                let angle = f64::from(truth) * 2.0 * PI / f64::from(m) + deviation;
                let (mut a, mut b) = (vec![0.0; m as usize], vec![0.0; m as usize]);
                plain.add_errors(truth as usize, point(40.0, angle, 1.0), 1.0, &mut a);
                fine.cells(truth as usize, point(40.0, angle, 1.0), 1.0, bits, lsb, &mut b);
                for offset in [1, m as usize - 1] {
                    let ratio = b[offset] / a[offset];
                    assert!(a[offset] < 1e-9 || (ratio - 1.0).abs() < 0.15, "{m} {truth} {offset}: {ratio}");
                }
                let (total_a, total_b) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
                assert!((total_b / total_a - 1.0).abs() < 0.1, "{total_a} {total_b}");
            }
        }
    }

    #[test]
    fn cells_equal_a_sum_over_every_code_pair() {
        let (m, bits, full_scale) = (33usize, 5u32, 30.0);
        let readout = ReadOut::new(m as u32, Some((bits, full_scale)));
        let lsb = full_scale / 16.0;
        for (truth, amplitude, sigma) in [(0, 25.0, 1.5), (9, 20.0, 3.0), (17, 45.0, 2.0), (25, 3.0, 4.0)] {
            let p = point(amplitude, truth as f64 * 2.0 * PI / m as f64 + 0.02, sigma);
            let mut ours = vec![0.0; m];
            readout.add_errors(truth, p, 1.0, &mut ours);
            let mut direct = vec![0.0; m];
            let edge = |code: i64| match code {
                -16 => f64::NEG_INFINITY,
                16 => f64::INFINITY,
                c => c as f64 * lsb,
            };
            for ci in -16..16i64 {
                for cq in -16..16i64 {
                    let probability = normal_interval((edge(ci) - p.i) / sigma, (edge(ci + 1) - p.i) / sigma)
                        * normal_interval((edge(cq) - p.q) / sigma, (edge(cq + 1) - p.q) / sigma);
                    let read = readout.decide((ci as f64 + 0.5) * lsb, (cq as f64 + 0.5) * lsb);
                    direct[(read + m - truth) % m] += probability;
                }
            }
            for j in 1..m {
                assert!(
                    (ours[j] - direct[j]).abs() < 1e-12 + 1e-9 * direct[j],
                    "{truth} {j}: {} {}",
                    ours[j],
                    direct[j]
                );
            }
        }
    }

    #[test]
    fn wedge_rows_cover_everything() {
        for m in [31u32, 32] {
            let readout = ReadOut::new(m, None);
            for deviation in [0.0, 0.05, -0.3, 2.9, -3.1] {
                for snr in [0.5, 2.0, 20.0] {
                    let mut row = vec![0.0; m as usize];
                    readout.add_wedges(snr, deviation, 1.0, &mut row);
                    let stays = readout.tail.beyond(snr, -PI / f64::from(m) - deviation)
                        - readout.tail.beyond(snr, PI / f64::from(m) - deviation);
                    let total: f64 = row.iter().sum();
                    let error = readout.wedge_error(snr, deviation);
                    assert!((total - error).abs() < 1e-9, "{m} {deviation} {snr}: {total} {error}");
                    if deviation.abs() < 2.5 {
                        assert!((stays + total - 1.0).abs() < 1e-9, "{stays} {total}");
                    }
                }
            }
        }
    }

    #[test]
    fn noiseless_reads_are_exact() {
        for m in [31u32, 32, 33] {
            for adc in [None, Some((8, 1.2))] {
                let readout = ReadOut::new(m, adc);
                for truth in 0..m as usize {
                    let p = point(1.0, truth as f64 * 2.0 * PI / f64::from(m), 0.0);
                    assert_eq!(readout.decide(p.i, p.q), truth);
                    let mut row = vec![0.0; m as usize];
                    readout.add_errors(truth, p, 1.0, &mut row);
                    assert!(row.iter().all(|&x| x == 0.0), "{m} {truth} {row:?}");
                }
            }
        }
    }

    #[test]
    fn angles_wrap() {
        assert!((wrap(3.0 * PI) - PI).abs() < 1e-12 && (wrap(-0.1) + 0.1).abs() < 1e-15);
        assert!((wrap(2.0 * PI + 0.3) - 0.3).abs() < 1e-12);
    }
}
