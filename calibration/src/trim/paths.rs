//! Differences of detour and bus, and their trims.

use super::bench::{Bench, probes};
use crate::CalibrationError;
use mirage_devices::Lab;
use mirage_devices::wrap;
use std::f64::consts::PI;

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

    /// Variance that a step leaves, rad^2.
    pub fn variance(self) -> f64 {
        self.step * self.step / 12.0
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
}
