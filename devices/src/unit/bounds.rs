//! How far the population's linearisation can be trusted at the depth in question.
//!
//! The population takes random errors as additive phases. Here sampled MMUs with their full complex fields are weighted
//! as the errors weight them: by exp(t D + s ln A), with t and s the slopes of the log error probability where most
//! errors happen. The same draws, linearised, give the control. Per MMU the ratio of the two means says how much
//! rarer or more frequent errors really are; the whole MDPU has its power of the group size.

use crate::draws::{Domain, generator};
use crate::unit::deviations::deviations;
use crate::unit::mmu::{Mdpu, MmuErrors};
use crate::unit::operands::Operands;
use crate::unit::rates::Rates;
use std::f64::consts::PI;

/// Rounding in the population's Fourier sums: rates cannot be resolved below this.
const RESOLUTION: f64 = 3e-14;

/// Bounds on the error rate of one modulus, and how they were found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Lower over estimated error rate.
    pub lower_ratio: f64,
    /// Upper over estimated error rate.
    pub upper_ratio: f64,
    /// MMUs sampled.
    pub samples: usize,
    /// Effective number of them under the weights, (sum of weights)^2 / sum of squares.
    pub effective_samples: f64,
}

impl Bounds {
    /// Wider by a relative error given as a logarithm.
    pub(crate) fn widened(self, log_error: f64) -> Self {
        let factor = log_error.exp();
        Bounds { lower_ratio: self.lower_ratio / factor, upper_ratio: self.upper_ratio * factor, ..self }
    }
}

/// Samples `samples` MMUs of `seed`.
pub(crate) fn bounds(unit: &Mdpu, operands: &Operands, rates: &Rates, samples: usize, seed: u64) -> Bounds {
    let mut rng = generator(seed, Domain::Bounds, [u64::from(unit.modulus()), 0]);
    let nominal = deviations(unit, &unit.no_errors(), operands);
    let tilt = (rates.dominant.per_deviation, rates.dominant.per_log_amplitude);
    let reference = nominal.iter().map(|pair| tilt.1 * pair.1).fold(f64::NEG_INFINITY, f64::max);
    let weigh = |table: &[(f64, f64)], sign: f64| -> f64 {
        let m = unit.modulus() as usize;
        let term = |(at, (d, a)): (usize, &(f64, f64))| {
            let probability = operands.stationary()[at / m] * operands.streaming()[at % m];
            probability * (sign * tilt.0 * d + tilt.1 * a - reference).exp()
        };
        table.iter().enumerate().map(term).sum()
    };
    let (mut full, mut linear) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        let errors = unit.sample_errors(&mut rng);
        let (a, b) = (deviations(unit, &errors, operands), linearised(unit, &errors, operands, &nominal));
        // Errors on either side of the sector count alike.
        full.push(weigh(&a, 1.0) + weigh(&a, -1.0));
        linear.push(weigh(&b, 1.0) + weigh(&b, -1.0));
    }
    let n = samples.max(1) as f64;
    let mean = |list: &[f64]| list.iter().sum::<f64>() / n;
    let (f, l) = (mean(&full), mean(&linear));
    let scatter: f64 = full.iter().zip(&linear).map(|(x, y)| (x / f - y / l).powi(2)).sum();
    let group = unit.parameters().group as f64;
    let (shift, error) = (group * (f / l).ln(), 2.0 * group * scatter.sqrt() / n);
    let squares: f64 = full.iter().map(|x| x * x).sum();
    let rounding = RESOLUTION / rates.error_rate.max(1e-300);
    let finite = shift.is_finite() && error.is_finite();
    let (low, high) =
        if finite { ((shift - error).exp(), (shift + error).exp()) } else { (0.0, f64::INFINITY) };
    Bounds {
        lower_ratio: (low.min(1.0) - rounding).max(0.0),
        upper_ratio: high.max(1.0) + rounding,
        samples,
        effective_samples: if squares > 0.0 { (f * n).powi(2) / squares } else { n },
    }
}

/// The same table with the errors as additive phases, the mean over the operands taken out.
fn linearised(
    unit: &Mdpu,
    errors: &MmuErrors,
    operands: &Operands,
    nominal: &[(f64, f64)],
) -> Vec<(f64, f64)> {
    let digits = unit.digits();
    let m = unit.modulus() as usize;
    let turn = 2.0 * PI / m as f64;
    let mut table = nominal.to_vec();
    let mut mean = 0.0;
    for (at, entry) in table.iter_mut().enumerate() {
        let (w, x) = (at / m, at % m);
        let level = f64::from(digits.level(w));
        let mut phase = turn * f64::from(digits.value(x)) * errors.level[w];
        for (d, &weight) in digits.weights().iter().enumerate() {
            phase += if digits.bit(x, d) {
                errors.detour[d] + turn * f64::from(weight) * level * errors.gain[d]
            } else {
                errors.bus[d]
            };
        }
        entry.0 += phase;
        mean += phase * operands.stationary()[w] * operands.streaming()[x];
    }
    table.iter_mut().for_each(|entry| entry.0 -= mean);
    table
}
