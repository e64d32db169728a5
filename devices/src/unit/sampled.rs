//! One sampled MDPU as tables by digit, for many reads of many units.
//!
//! The field of an MMU is a product over its digits, so its phase deviation and its log-amplitude are sums over them: tables
//! of m x digits x 2 entries hold what [`crate::unit::chips::Chip`] keeps in m x m. The two agree as long as no deviation
//! reaches half a turn, where every read is wrong anyway.

use crate::unit::chips::Sample;
use crate::unit::mmu::{Mdpu, MdpuErrors, MmuErrors};
use crate::unit::operands::{Group, Operands};
use crate::unit::parameters::Shifters;
use num_complex::Complex64;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// Phase deviation and log-amplitude of one digit with bit 0 and bit 1.
pub(crate) type Digit = [(f64, f64); 2];

/// A sampled MDPU.
pub(crate) struct SampledMdpu<'a> {
    unit: &'a Mdpu,
    /// At (mmu x m + level) x digits + digit.
    digits: Vec<Digit>,
    /// Phase added to the whole MDPU per phase of each MMU's unit shifter, by thermal crosstalk.
    gains: Vec<f64>,
    /// Phase from the ambient, rad.
    ambient: f64,
    /// What the read-out's calibration takes out: the mean deviation over independent operands.
    mean: f64,
    mean_level: f64,
}

impl<'a> SampledMdpu<'a> {
    /// Draws one from the stream `rng`, alone on its chip.
    pub fn sample(unit: &'a Mdpu, operands: &Operands, rng: &mut Pcg64) -> Self {
        Self::new(unit, operands, &unit.sample(rng))
    }

    /// With given errors.
    pub fn new(
        unit: &'a Mdpu,
        operands: &Operands,
        MdpuErrors { mmus: errors, ambient }: &MdpuErrors,
    ) -> Self {
        let (m, count) = (unit.modulus() as usize, unit.digits().count());
        let ones = ones(unit, operands);
        let mut digits = Vec::with_capacity(errors.len() * m * count);
        let (mut mean, mut mean_level) = (0.0, 0.0);
        for (w, p) in operands.stationary().iter().enumerate() {
            mean_level += p * f64::from(unit.digits().level(w));
        }
        for errors in errors {
            for w in 0..m {
                for (digit, &one) in digit_errors(unit, errors, w).zip(&ones) {
                    mean += operands.stationary()[w] * ((1.0 - one) * digit[0].0 + one * digit[1].0);
                    digits.push(digit);
                }
            }
        }
        let gains = unit.crosstalk_gains().iter().zip(errors).map(|(gain, e)| gain.mean + e.heat).collect();
        SampledMdpu { unit, digits, gains, ambient: *ambient, mean, mean_level }
    }

    /// True level, phase deviation and log-amplitude of a read, after the stationary levels `previous` (empty: all settled).
    pub fn read(&self, (w, x): &Group, previous: &[usize]) -> Sample {
        let (m, code) = (self.unit.modulus() as usize, self.unit.digits());
        let turn = 2.0 * PI / m as f64;
        let mut sample =
            Sample { truth: 0, deviation: self.ambient - self.mean, log_amplitude: 0.0, dac_variance: 0.0 };
        for (mmu, ((&w, &x), gain)) in w.iter().zip(x).zip(&self.gains).enumerate() {
            for d in 0..code.count() {
                let (deviation, log_amplitude) = self.digit(mmu, w, d)[usize::from(code.bit(x, d))];
                sample.deviation += deviation;
                sample.log_amplitude += log_amplitude;
            }
            sample.truth = (sample.truth + w * x) % m;
            sample.dac_variance += self.unit.dac_phase_variance(w, x);
            sample.deviation += gain * turn * (f64::from(code.level(w)) - self.mean_level);
        }
        sample.deviation += left_by(previous, self.unit, w, x);
        sample
    }

    /// The mean deviation over independent operands, which the calibrated read-out takes out, rad.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Deviation and log-amplitude of digit `d` of an MMU that holds level `w`, with bit 0 and bit 1.
    pub fn digit(&self, mmu: usize, w: usize, d: usize) -> &Digit {
        let (m, count) = (self.unit.modulus() as usize, self.unit.digits().count());
        &self.digits[(mmu * m + w) * count + d]
    }
}

/// For each digit of an MMU that holds level `w`, what its fields deviate from the ideal ones.
pub(crate) fn digit_errors(unit: &Mdpu, errors: &MmuErrors, w: usize) -> impl Iterator<Item = Digit> {
    let digits = unit.digits();
    let level = 2.0 * PI / f64::from(digits.modulus()) * f64::from(digits.level(w));
    let part = |field: Complex64| (field.arg(), 0.5 * libm::log(field.norm_sqr()));
    (0..digits.count()).map(move |d| {
        let [bus, detour] = unit.stage(errors, d, w);
        let ideal = f64::from(digits.weights()[d]) * level;
        [part(bus), part(detour * Complex64::from_polar(1.0, -ideal))]
    })
}

/// Share of the level before that is left when the first read is made.
pub(crate) fn unsettled(shifters: &Shifters) -> f64 {
    if shifters.settling_time > 0.0 { (-shifters.program_time / shifters.settling_time).exp() } else { 0.0 }
}

/// Phase that the stationary levels `previous` (empty: all settled) have left in a unit which holds `w` and streams `x`.
pub(crate) fn left_by(previous: &[usize], unit: &Mdpu, w: &[usize], x: &[usize]) -> f64 {
    let digits = unit.digits();
    let steps = previous.iter().zip(w).zip(x).map(|((&before, &w), &x)| {
        let step = f64::from(digits.level(before)) - f64::from(digits.level(w));
        f64::from(digits.value(x)) * step
    });
    let turn = 2.0 * PI / f64::from(digits.modulus());
    unsettled(&unit.parameters().shifters) * turn * steps.sum::<f64>()
}

/// Stationary levels of the tile before: those of another read; none where everything settles.
pub(crate) fn draw_previous(unit: &Mdpu, operands: &Operands, rng: &mut Pcg64) -> Vec<usize> {
    let settled = unsettled(&unit.parameters().shifters) == 0.0;
    if settled { Vec::new() } else { draw(operands, unit.parameters().group, rng).0 }
}

/// Probability of each digit of the streamed operand to be one.
pub(crate) fn ones(unit: &Mdpu, operands: &Operands) -> Vec<f64> {
    let of = |d: usize| {
        let chances = operands.streaming().iter().enumerate();
        chances.filter(|(x, _)| unit.digits().bit(*x, d)).map(|(_, p)| p).sum()
    };
    (0..unit.digits().count()).map(of).collect()
}

/// A vector of operands for a read: one of the sampled groups where there are any, else independent operands.
pub(crate) fn draw(operands: &Operands, group: usize, rng: &mut Pcg64) -> Group {
    let groups = operands.groups();
    if !groups.is_empty() {
        return groups[rng.random_range(0..groups.len())].clone();
    }
    let mut pick = |list: &[f64]| -> usize {
        let mut left: f64 = rng.random();
        let found = list.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        found.unwrap_or(list.len() - 1)
    };
    let w = (0..group).map(|_| pick(operands.stationary())).collect();
    let x = (0..group).map(|_| pick(operands.streaming())).collect();
    (w, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::chips::Chip;
    use crate::unit::parameters::{Codes, Crosstalk, Dac, MdpuParameters, Trim};
    use crate::unit::population::Population;

    #[test]
    fn digits_give_what_the_pairs_give() {
        let mut p = MdpuParameters::ideal(16);
        (p.rings.pass_loss_db, p.rings.drop_loss_db, p.rings.extinction_db) = (0.2, 0.1, 25.0);
        (p.shifters.loss_db, p.shifters.drive_loss, p.shifters.mismatch) = (0.91, 0.1, 1e-5);
        p.dac = Dac { codes: Codes::Nearest, bits: 13, inl: 0.3, dnl: 0.2 };
        p.trim = Trim { fabrication: 0.5, resolution: 0.006, range: PI };
        p.crosstalk = Crosstalk::of_a_row(2e-5);
        (p.heat.drift, p.heat.ring_lock, p.link.delay_mismatch) = (0.1, 1e-3, 2e-12);
        for (m, compensation) in [(31, None), (33, Some(0.1))] {
            p.heat.compensation = compensation;
            let unit = Mdpu::new(&p, m).unwrap();
            let operands = Operands::uniform(m);
            let (mut one, mut two) = (Pcg64::new(5, 1), Pcg64::new(5, 1));
            let chip = Chip::sample(&unit, &operands, &mut one);
            let sampled = SampledMdpu::sample(&unit, &operands, &mut two);
            for _ in 0..50 {
                let group = draw(&operands, 16, &mut one);
                let (a, b) = (chip.read(&group.0, &group.1), sampled.read(&group, &[]));
                assert_eq!(a.truth, b.truth);
                assert!((a.deviation - b.deviation).abs() < 1e-10, "{a:?} {b:?}");
                assert!((a.log_amplitude - b.log_amplitude).abs() < 1e-10, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn what_has_not_settled_enters_chips_and_population_as_the_closed_form_says() {
        let mut p = MdpuParameters::ideal(16);
        (p.shifters.settling_time, p.shifters.program_time) = (0.6e-9, 5e-9);
        for m in [31u32, 32] {
            let unit = Mdpu::new(&p, m).unwrap();
            let operands = Operands::uniform(m);
            // sqrt(2 g) (2 pi/m) x s exp(-t/tau), of the numbers 0 to m - 1: x^2 = (m-1)(2m-1)/6, s^2 = (m^2-1)/12.
            let n = f64::from(m);
            let product = ((n - 1.0) * (2.0 * n - 1.0) / 6.0 * (n * n - 1.0) / 12.0).sqrt();
            let closed = 32f64.sqrt() * 2.0 * PI / n * product * (-5.0f64 / 0.6).exp();
            let population = Population::new(&unit, &operands).moments().deviation;
            assert!((population / closed - 1.0).abs() < 1e-9, "{m}: {population} {closed}");
            let mut rng = Pcg64::new(u128::from(m), 2);
            let sampled = SampledMdpu::sample(&unit, &operands, &mut rng);
            let draws = 20_000;
            let square = |_| -> f64 {
                let group = draw(&operands, 16, &mut rng);
                let previous = draw_previous(&unit, &operands, &mut rng);
                sampled.read(&group, &previous).deviation.powi(2)
            };
            let found = ((0..draws).map(square).sum::<f64>() / f64::from(draws)).sqrt();
            // The relative error of the root of a mean square of nearly normal numbers.
            assert!(
                (found / closed - 1.0).abs() < 4.0 / f64::from(2 * draws).sqrt(),
                "{m}: {found} {closed}"
            );
        }
        p.shifters.settling_time = 0.0;
        let unit = Mdpu::new(&p, 32).unwrap();
        assert!(draw_previous(&unit, &Operands::uniform(32), &mut Pcg64::new(1, 1)).is_empty());
    }
}
