//! Differences of detour and bus, and their trims.

use super::bench::{Bench, probes};
use crate::CalibrationError;
use mirage_devices::Lab;
use mirage_devices::wrap;
use std::f64::consts::PI;

/// Standard deviation over a step at which half a step is five of them: it is left once in two million.
const SELDOM: f64 = 0.1;

/// The trims' actuators.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    /// Step, rad; zero = continuous.
    step: f64,
    /// Largest correction, rad: whole steps.
    largest: f64,
}

impl Steps {
    pub fn of(lab: &Lab<'_>) -> Self {
        let trim = &lab.unit().parameters().trim;
        let (step, range) = (trim.resolution, trim.range);
        Steps { step, largest: if step > 0.0 { (range / step).floor() * step } else { range } }
    }

    /// Mean square, rad^2, of what the nearest whole step leaves of a normal phase of standard deviation `sigma` within the range:
    /// D^2/12 + (D/pi)^2 sum over k from 1 of (-1)^k/k^2 exp(-2 (pi k sigma/D)^2), the Fourier series of the rounding's square (as in Widrow and
    /// Kollar, *Quantization Noise*, Cambridge 2008). Far below a step nothing is set, and all of it is left.
    pub fn rounding(self, sigma: f64) -> f64 {
        let relative = sigma / self.step;
        if self.step == 0.0 {
            return 0.0;
        }
        if relative < SELDOM {
            return sigma * sigma;
        }
        let term = |k: u32| {
            let sign = if k.is_multiple_of(2) { 1.0 } else { -1.0 };
            let k = f64::from(k);
            sign / (k * k) * (-2.0 * (PI * k * relative).powi(2)).exp()
        };
        // The exponent of the last term is below -78.
        self.step.powi(2) * (1.0 / 12.0 + (1..=40).map(term).sum::<f64>() / (PI * PI))
    }

    /// The setting nearest to `phase`.
    pub fn nearest(self, phase: f64) -> f64 {
        let whole = if self.step > 0.0 { (phase / self.step).round() * self.step } else { phase };
        whole.clamp(-self.largest, self.largest) + 0.0 // no negative zero
    }

    /// Settings of bus and detour whose difference, detour less bus, is nearest to `phase` modulo a turn: of the detour alone,
    /// as far as it reaches.
    fn split(self, phase: f64) -> (f64, f64) {
        let phase = wrap(phase);
        let detour = self.nearest(phase);
        let rest = phase - detour;
        let small = rest.abs() <= 0.5 * self.step;
        (if small { 0.0 } else { -self.nearest(rest) }, detour)
    }
}

/// What one pass over the paths found.
pub(super) struct PathPass {
    /// Phase of each detour over its bus as read before the pass, rad.
    pub differences: Vec<Vec<f64>>,
    /// Stages that the range does not reach.
    pub out_of_range: usize,
}

/// Reads the difference of detour and bus of every stage, beyond what the drive should make of it, and trims it: averaged over
/// the stationary residues `levels`, with `reads` reads in all for each stage.
pub(super) fn trim(bench: &mut Bench, levels: &[usize], reads: u32) -> Result<PathPass, CalibrationError> {
    let (steps, probes) = (Steps::of(bench.lab), probes(bench));
    let mut knobs = bench.lab.knobs().clone();
    let mut pass = PathPass { differences: Vec::new(), out_of_range: 0 };
    let (count, each) = (bench.digits(), reads.div_ceil(levels.len() as u32).max(1));
    for mmu in 0..bench.mmus() {
        let mut differences = vec![0.0; count];
        for &w in levels {
            // All digits of the MMU are compared with this one: its error would be common to them.
            let base = bench.angle(mmu, w, 0, each.saturating_mul(count as u32));
            let mut here = vec![0.0; count];
            for (digit, x, others) in &probes {
                let known: f64 = others.iter().map(|&d| here[d]).sum();
                let driven = bench.turn() * bench.level(w) * bench.value(*x);
                here[*digit] = wrap(bench.angle(mmu, w, *x, each) - base - known - driven);
            }
            differences.iter_mut().zip(&here).for_each(|(d, h)| *d += h / levels.len() as f64);
        }
        for (d, found) in differences.iter().enumerate() {
            let now = knobs.detour[mmu][d] - knobs.bus[mmu][d];
            let (bus, detour) = steps.split(now - found);
            let left = wrap(now - found - (detour - bus)).abs();
            pass.out_of_range += usize::from(left > 0.5 * steps.step + 1e-9 && left < 2.0 * PI);
            (knobs.bus[mmu][d], knobs.detour[mmu][d]) = (bus, detour);
        }
        pass.differences.push(differences);
    }
    bench.lab.set(knobs)?;
    Ok(pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_trims_reach_where_one_does_not() {
        let steps = Steps { step: 0.01, largest: 2.0 };
        for phase in [-3.1f64, -1.234, 0.0, 0.004, 1.999, 2.5, 3.13, 5.0, 40.0] {
            let (bus, detour) = steps.split(phase);
            assert!(wrap(detour - bus - phase).abs() <= 0.005 + 1e-9, "{phase}: {bus} {detour}");
            assert!(bus.abs() <= 2.0 && detour.abs() <= 2.0);
        }
        let (bus, detour) = Steps { step: 0.0, largest: 0.5 }.split(3.0);
        assert_eq!((bus, detour), (-0.5, 0.5));
        assert_eq!(Steps { step: 0.0, largest: PI }.split(0.25), (0.0, 0.25));
    }

    #[test]
    fn rounding_leaves_what_an_integral_says() {
        let steps = Steps { step: 2e-3, largest: PI };
        for relative in [0.02, 0.099, 0.101, 0.2, 0.3, 0.5, 1.0, 4.0] {
            let sigma = relative * steps.step;
            let (mut square, mut weight) = (0.0, 0.0);
            for i in -80_000..=80_000 {
                let z = f64::from(i) * 1e-4;
                let density = (-0.5 * z * z).exp();
                square += density * (sigma * z - steps.nearest(sigma * z)).powi(2);
                weight += density;
            }
            let (found, expected) = (steps.rounding(sigma), square / weight);
            assert!((found / expected - 1.0).abs() < 2e-4, "{relative}: {found} {expected}");
            assert!(found <= sigma * sigma * (1.0 + 1e-9), "{relative}");
        }
        assert_eq!(Steps { step: 0.0, largest: PI }.rounding(1.0), 0.0);
    }
}
