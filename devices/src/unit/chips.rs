//! Sampled chips: every error drawn, every field computed. What the semi-analytic estimator is held against.

use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::noise::Seeds;
use crate::unit::chain::Chains;
use crate::unit::crosstalk::crosstalk_matrix;
use crate::unit::deviations::deviations;
use crate::unit::mmu::{Mdpu, MdpuErrors, MmuErrors};
use crate::unit::noise_draws::NoiseDraws;
use crate::unit::operands::Operands;
use crate::unit::rates::Operating;
use crate::unit::sampled::{SampledMdpu, draw, draw_previous};
use crate::watch::Watch;
use nalgebra::DVector;
use num_complex::Complex64;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use statrs::distribution::{Beta, ContinuousCDF};
use std::f64::consts::PI;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One sampled MDPU: its fabrication errors, and its MMUs' deviations for all operands.
#[derive(Debug, Clone)]
pub struct Chip<'a> {
    unit: &'a Mdpu,
    operands: &'a Operands,
    errors: Vec<MmuErrors>,
    ambient: f64,
    tables: Vec<Vec<(f64, f64)>>,
}

/// A read of a sampled chip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// True level.
    pub truth: usize,
    /// Phase deviation, rad.
    pub deviation: f64,
    /// Log of the field amplitude.
    pub log_amplitude: f64,
    /// Variance of the DACs' phase noise, fresh for each read, rad^2.
    pub dac_variance: f64,
}

impl<'a> Chip<'a> {
    /// Draws a chip from the stream `rng`.
    pub fn sample(unit: &'a Mdpu, operands: &'a Operands, rng: &mut Pcg64) -> Self {
        let MdpuErrors { mmus: errors, ambient } = unit.sample(rng);
        let tables = errors.iter().map(|e| deviations(unit, e, operands)).collect();
        Chip { unit, operands, errors, ambient, tables }
    }

    /// Phase deviation and amplitude for one vector of operands, all settled, from the MMUs' tables and the crosstalk's column
    /// sums.
    pub fn read(&self, w: &[usize], x: &[usize]) -> Sample {
        let m = self.unit.modulus() as usize;
        let mean = self.mean_level();
        let turn = 2.0 * PI / m as f64;
        let mut sample = Sample { truth: 0, deviation: self.ambient, log_amplitude: 0.0, dac_variance: 0.0 };
        for (((table, gain), &w), &x) in self.tables.iter().zip(self.gains()).zip(w).zip(x) {
            let (deviation, log_amplitude) = table[w * m + x];
            sample.truth = (sample.truth + w * x) % m;
            sample.deviation += deviation + gain * turn * (f64::from(self.unit.digits().level(w)) - mean);
            sample.log_amplitude += log_amplitude;
            sample.dac_variance += self.unit.dac_phase_variance(w, x);
        }
        sample
    }

    /// The complex field transfer of the MDPU for one vector of operands: all stages in turn, with the crosstalk matrix
    /// applied to the stages' drives (relative to their mean, at which they were trimmed), rotated as the read-out is.
    pub fn field(&self, w: &[usize], x: &[usize]) -> Complex64 {
        let digits = self.unit.digits();
        let (count, turn) = (digits.count(), 2.0 * PI / f64::from(digits.modulus()));
        let mean = self.mean_level();
        let drives = DVector::from_fn(self.errors.len() * count, |stage, _| {
            let level = f64::from(digits.level(w[stage / count])) - mean;
            turn * f64::from(digits.weights()[stage % count]) * level
        });
        let parameters = self.unit.parameters();
        // A compensated unit is left with what its errors say, MMU by MMU.
        let heat = match parameters.heat.compensation {
            None => crosstalk_matrix(&parameters.crosstalk, self.errors.len(), count) * drives,
            Some(_) => DVector::zeros(drives.len()),
        };
        let mut field = Complex64::from_polar(1.0, self.ambient);
        for (j, errors) in self.errors.iter().enumerate() {
            for digit in 0..count {
                let transfer = self.unit.stage(errors, digit, w[j])[usize::from(digits.bit(x[j], digit))];
                field *= transfer * Complex64::from_polar(1.0, heat[j * count + digit]);
            }
            let left = errors.heat * turn * (f64::from(digits.level(w[j])) - mean);
            field *= Complex64::from_polar(1.0, self.rotation(j) + left);
        }
        field
    }

    /// The same fields for many vectors of operands at once; see [`Chains`].
    pub fn chains(&self) -> Chains<'a> {
        Chains::new(self.unit, &self.errors, &self.rotations(), self.mean_level())
    }

    /// For each MMU the rotation of the read-out; the ambient's phase stands with the first.
    pub(crate) fn rotations(&self) -> Vec<f64> {
        let mut rotations: Vec<f64> = (0..self.errors.len()).map(|j| self.rotation(j)).collect();
        if let Some(first) = rotations.first_mut() {
            *first += self.ambient;
        }
        rotations
    }

    /// The rotation that centres the deviations of MMU `j`, as the calibrated read-out does, seen at operands (0, 0).
    fn rotation(&self, j: usize) -> f64 {
        self.tables[j][0].0 - self.unit.mmu(&self.errors[j], 0, 0).arg()
    }

    /// Phase added to the whole MDPU per phase of each MMU's unit shifter.
    pub(crate) fn gains(&self) -> impl Iterator<Item = f64> + '_ {
        self.unit.crosstalk_gains().iter().zip(&self.errors).map(|(gain, e)| gain.mean + e.heat)
    }

    pub(crate) fn unit(&self) -> &'a Mdpu {
        self.unit
    }

    pub(crate) fn errors(&self) -> &[MmuErrors] {
        &self.errors
    }

    pub(crate) fn mean_level(&self) -> f64 {
        let levels = self.operands.stationary().iter().enumerate();
        levels.map(|(w, p)| p * f64::from(self.unit.digits().level(w))).sum()
    }

    /// Draws a vector of operands: one of the sampled groups where there are any.
    pub fn draw(&self, rng: &mut Pcg64) -> (Vec<usize>, Vec<usize>) {
        draw(self.operands, self.errors.len(), rng)
    }
}

/// How a sampled read is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// Noise is drawn, the currents quantised and decided: right or wrong.
    Noise,
    /// The probability of a wrong read given chip and operands, by the sector integral; the laser's intensity noise, which
    /// moves no read across an edge, is left out.
    Conditional,
}

/// An estimate from sampled chips.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Mean error rate.
    pub error_rate: f64,
    /// Standard error of it, from the scatter between chips.
    pub standard_error: f64,
    /// Lower bound at 95 %.
    pub lower: f64,
    /// Upper bound at 95 %.
    pub upper: f64,
    /// Number of reads.
    pub reads: u64,
}

/// The read-out of a unit whose converters are set to the largest amplitude that operands can give.
pub(crate) fn operating<'a>(unit: &'a Mdpu, operands: &Operands, laser_power: f64) -> Operating<'a> {
    let nominal = deviations(unit, &unit.no_errors(), operands);
    let largest = nominal.iter().map(|pair| pair.1).fold(f64::NEG_INFINITY, f64::max);
    Operating::new(unit, largest * unit.parameters().group as f64, laser_power)
}

/// How much is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// MDPUs, each of a chip of its own.
    pub chips: usize,
    /// Operand vectors of each.
    pub reads: usize,
    /// Seed of all draws.
    pub seed: u64,
}

/// Estimates the error rate by sampling MDPUs and operand vectors of each, at `laser_power` W.
///
/// With [`Judge::Noise`] the bounds are the wider of Clopper and Pearson's exact interval and twice the standard error
/// between chips. Chip k draws from stream k of the seed: the result does not depend on the number of threads.
///
/// # Errors
/// [`DeviceError::Cancelled`].
pub fn sample_rate(
    unit: &Mdpu,
    operands: &Operands,
    laser_power: f64,
    Samples { chips, reads, seed }: Samples,
    judge: Judge,
    watch: Watch,
) -> Result<Estimate, DeviceError> {
    let operating = operating(unit, operands, laser_power);
    let done = AtomicUsize::new(0);
    let sums: Result<Vec<f64>, DeviceError> = (0..chips)
        .into_par_iter()
        .map(|k| {
            watch.check()?;
            let mut rng = generator(seed, Domain::Chips, [k as u64, 0]);
            let mdpu = SampledMdpu::sample(unit, operands, &mut rng);
            let mut noise = NoiseDraws::new(Seeds::all(seed), k as u32);
            let mut read = || {
                let group = draw(operands, unit.parameters().group, &mut rng);
                let previous = draw_previous(unit, operands, &mut rng);
                judge_read(&operating, &mdpu.read(&group, &previous), &mut noise, judge)
            };
            let sum = (0..reads).map(|_| read()).sum();
            watch.done(done.fetch_add(1, Ordering::Relaxed) + 1, chips, "sampled chips");
            Ok(sum)
        })
        .collect();
    let sums = sums?;
    let (n, per_chip) = (sums.len().max(1) as f64, reads.max(1) as f64);
    let mean = sums.iter().sum::<f64>() / n / per_chip;
    let scatter: f64 = sums.iter().map(|sum| (sum / per_chip - mean).powi(2)).sum();
    let standard_error = (scatter / (n - 1.0).max(1.0) / n).sqrt();
    let (mut lower, mut upper) =
        ((mean - 2.0 * standard_error).max(0.0), (mean + 2.0 * standard_error).min(1.0));
    if judge == Judge::Noise {
        let (low, high) = clopper_pearson(sums.iter().sum(), n * per_chip);
        (lower, upper) = (lower.min(low), upper.max(high));
    }
    Ok(Estimate { error_rate: mean, standard_error, lower, upper, reads: chips as u64 * reads as u64 })
}

fn judge_read(operating: &Operating, sample: &Sample, noise: &mut NoiseDraws, judge: Judge) -> f64 {
    let m = operating.unit.modulus() as usize;
    let angle = sample.truth as f64 * 2.0 * PI / m as f64 + sample.deviation;
    match judge {
        Judge::Conditional => {
            let mut row = vec![0.0; m];
            let point = operating.noisy_point(sample.log_amplitude, angle, sample.dac_variance);
            operating.readout.add_errors(sample.truth, point, 1.0, &mut row);
            row.iter().sum()
        }
        Judge::Noise => {
            let field = Complex64::from_polar(sample.log_amplitude.exp(), angle);
            let [i, q] = noise.read(operating, field, sample.dac_variance);
            f64::from(u8::from(operating.readout.decide(i, q) != sample.truth))
        }
    }
}

/// Clopper and Pearson's interval at 95 % for `errors` of `reads`.
pub fn clopper_pearson(errors: f64, reads: f64) -> (f64, f64) {
    // Without a law, as for no reads at all, nothing is known.
    let quantile =
        |a: f64, b: f64, p: f64, unknown: f64| Beta::new(a, b).map_or(unknown, |beta| beta.inverse_cdf(p));
    let lower = if errors > 0.0 { quantile(errors, reads - errors + 1.0, 0.025, 0.0) } else { 0.0 };
    let upper = if errors < reads { quantile(errors + 1.0, reads - errors, 0.975, 1.0) } else { 1.0 };
    (lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parameters::{Codes, FrontEnd, MdpuParameters};
    use crate::unit::population::Population;
    use crate::unit::rates::{Quantisation, rates};
    use rand::{RngExt, SeedableRng};

    /// All imperfections at once, at a rate that sampling can see.
    fn rough() -> MdpuParameters {
        let mut p = MdpuParameters::ideal(16);
        (p.rings.pass_loss_db, p.rings.drop_loss_db, p.rings.extinction_db) = (0.2, 0.2, 30.0);
        (p.shifters.loss_db, p.shifters.drive_loss, p.shifters.mismatch) = (0.91, 0.1, 1e-5);
        p.dac = crate::unit::parameters::Dac { codes: Codes::Nearest, bits: 13, inl: 0.3, dnl: 0.2 };
        p.trim = crate::unit::parameters::Trim { fabrication: 0.5, resolution: 0.006, range: PI };
        p.crosstalk = crate::unit::parameters::Crosstalk::of_a_row(2e-5);
        (p.link.rin, p.link.linewidth, p.link.delay_mismatch) = (1e-15, 1e5, 1e-11);
        p.detector.front_end = FrontEnd::InputNoise(1.1e-6);
        p.adc.bits = Some(8);
        (p.heat.drift, p.heat.ring_lock) = (5e-3, 5e-4);
        // Some 9 mrad of the level before are left: 10 time constants.
        (p.shifters.settling_time, p.shifters.program_time) = (0.5e-9, 5e-9);
        (p.link.hybrid_gain_error, p.link.hybrid_phase_error) = (0.01, 0.005);
        p.noise = crate::unit::parameters::ConverterNoise {
            dac_density: 0.9e-9,
            dac_bandwidth: 0.5e9,
            adc: 0.5,
            jitter: 1e-13,
            sampling_time: 60e-12,
        };
        p
    }

    #[test]
    fn tables_equal_the_full_fields() {
        let operands = Operands::uniform(33);
        let mut rng = Pcg64::seed_from_u64(5);
        for compensation in [None, Some(0.1), None, Some(0.3)] {
            let mut p = rough();
            p.heat.compensation = compensation;
            let unit = Mdpu::new(&p, 33).unwrap();
            let chip = Chip::sample(&unit, &operands, &mut rng);
            for _ in 0..20 {
                let (w, x) = chip.draw(&mut rng);
                let (sample, field) = (chip.read(&w, &x), chip.field(&w, &x));
                let angle = sample.truth as f64 * 2.0 * PI / 33.0 + sample.deviation;
                let expected = Complex64::from_polar(sample.log_amplitude.exp(), angle);
                assert!((field - expected).norm() < 1e-9 * field.norm(), "{field} {expected}");
            }
        }
    }

    #[test]
    fn random_vectors_are_exact_without_imperfections() {
        for m in [31u32, 32, 33] {
            let unit = Mdpu::new(&MdpuParameters::ideal(16), m).unwrap();
            let operands = Operands::uniform(m);
            let mut rng = Pcg64::seed_from_u64(u64::from(m));
            let chip = Chip::sample(&unit, &operands, &mut rng);
            let operating = Operating::new(&unit, 0.0, 1e-3);
            for _ in 0..3000 {
                let (w, x) = chip.draw(&mut rng);
                let truth = w.iter().zip(&x).map(|(w, x)| w * x).sum::<usize>() % m as usize;
                let ([i, q], _) = unit.detect(operating.light, chip.field(&w, &x));
                assert_eq!(operating.readout.decide(i, q), truth);
            }
        }
    }

    #[test]
    fn sampling_stops_when_it_is_asked_to_and_tells_of_each_chip() {
        let unit = Mdpu::new(&rough(), 31).unwrap();
        let (operands, samples) = (Operands::uniform(31), Samples { chips: 40, reads: 3, seed: 1 });
        let flag = std::sync::atomic::AtomicBool::new(false);
        let stop_at_ten = |step: usize, steps: usize, _: &str| {
            assert!(step <= steps && steps == 40);
            flag.store(step >= 10, Ordering::Relaxed);
        };
        let watch = Watch { report: Some(&stop_at_ten), cancel: Some(&flag) };
        let stopped = sample_rate(&unit, &operands, 1e-2, samples, Judge::Conditional, watch);
        assert!(matches!(stopped, Err(DeviceError::Cancelled)), "{stopped:?}");
    }

    /// Reads as they occur in training: a third of the groups is one value sixteen times, which takes many detours.
    fn correlated(m: u32) -> Operands {
        let mut rng = Pcg64::seed_from_u64(17);
        let mut pick = || rng.random_range(0..m as usize);
        let group = |i: usize| {
            let w = (0..16).map(|_| pick()).collect();
            let x = if i.is_multiple_of(3) {
                vec![m as usize - 2; 16]
            } else {
                (0..16).map(|_| pick()).collect()
            };
            (w, x)
        };
        Operands::sampled("correlated", m, (0..600).map(group).collect()).unwrap()
    }

    /// Estimate and samples within 3.5 standard errors, and those small enough to see a difference of a fifth.
    fn agree(p: &MdpuParameters, operands: &Operands, m: u32, power: f64) -> f64 {
        let unit = Mdpu::new(p, m).unwrap();
        let population = Population::new(&unit, operands);
        let analytic = rates(&unit, &population, power, Quantisation::Cells).error_rate;
        let sampled = |reads, seed, judge| {
            let samples = Samples { chips: 800, reads, seed };
            sample_rate(&unit, operands, power, samples, judge, Watch::default()).unwrap()
        };
        let plain = sampled(1000, 1, Judge::Noise);
        let average = sampled(60, 2, Judge::Conditional);
        for (name, estimate) in [("noise", plain), ("conditional", average)] {
            let sigmas = (estimate.error_rate - analytic) / estimate.standard_error;
            assert!(sigmas.abs() < 3.5, "{m} {name}: {estimate:?} against {analytic}, {sigmas} sigma");
            assert!(
                estimate.standard_error < 0.06 * analytic,
                "{m} {name} sees too little: {estimate:?} {analytic}"
            );
        }
        analytic
    }

    #[test]
    fn three_estimators_agree_where_all_can_see() {
        for (m, power) in [(31u32, 2.2e-4), (33, 3.2e-4)] {
            agree(&rough(), &Operands::uniform(m), m, power);
        }
    }

    #[test]
    fn paths_that_vary_alike_are_trimmed_to_the_same_residues() {
        use crate::variation::{Floor, Process, Variation};
        let process = Process::find("Electron Beam Lithography (Applied Nanotools)").unwrap();
        let mut p = rough();
        let varied = Variation::of(process, 1.55e-6, 240e-6, 20e-6, Floor::CLOSE).unwrap();
        (p.trim.fabrication, p.variation) = (varied.path_deviation(false), Some(varied));
        agree(&p, &Operands::uniform(32), 32, 2.4e-4);
    }

    #[test]
    fn estimators_agree_on_a_measured_matrix() {
        let mut p = rough();
        let name = |s: usize| format!("{}.{}", s / 6, s % 6);
        let mut text = (0..96).fold("guide".to_owned(), |text, s| text + "," + &name(s)) + "\n";
        for guide in 0..96usize {
            // Not symmetric, and heaters in the middle reach furthest.
            let entry = |heater: usize| match guide.abs_diff(heater) {
                0 => 0.0,
                d => 6e-6 / d as f64 * (1.0 + (heater % 7) as f64 / 7.0),
            };
            text += &name(guide);
            (0..96).for_each(|heater| text += &format!(",{:e}", entry(heater)));
            text += "\n";
        }
        let map = crate::heat::HeaterMap::read_matrix(&text, "m.csv").unwrap();
        p.crosstalk.heaters = Some(std::sync::Arc::new(map));
        let operands = Operands::uniform(31);
        let unit = Mdpu::new(&p, 31).unwrap();
        let mut rng = Pcg64::seed_from_u64(8);
        let chip = Chip::sample(&unit, &operands, &mut rng);
        for _ in 0..20 {
            let (w, x) = chip.draw(&mut rng);
            let (sample, field) = (chip.read(&w, &x), chip.field(&w, &x));
            let angle = sample.truth as f64 * 2.0 * PI / 31.0 + sample.deviation;
            let expected = Complex64::from_polar(sample.log_amplitude.exp(), angle);
            assert!((field - expected).norm() < 1e-9 * field.norm(), "{field} {expected}");
        }
        agree(&p, &operands, 31, 3e-4);
    }

    #[test]
    fn estimators_agree_on_what_compensation_and_locks_leave_of_heat() {
        let mut p = rough();
        // Left alone, this crosstalk would misread every other product; drift and locks take a share of their own.
        p.crosstalk.coefficient = 6e-4;
        p.heat.compensation = Some(0.1);
        (p.heat.drift, p.heat.ring_lock) = (0.02, 1e-3);
        let rate = agree(&p, &Operands::uniform(32), 32, 4e-4);
        p.heat.compensation = None;
        let unit = Mdpu::new(&p, 32).unwrap();
        let population = Population::new(&unit, &Operands::uniform(32));
        let alone = rates(&unit, &population, 4e-4, Quantisation::Cells).error_rate;
        assert!(alone > 0.4 && rate < 0.5 * alone, "{alone} {rate}");
    }

    #[test]
    fn three_estimators_agree_on_groups_whose_values_are_alike() {
        for (m, power) in [(31u32, 4e-4), (33, 4e-4)] {
            let operands = correlated(m);
            let mut p = rough();
            p.rings.extinction_db = 33.5;
            let with = agree(&p, &operands, m, power);
            // Independent operands of the same frequencies would hide a part of the errors; both rates are computed, not sampled.
            let alone =
                Operands::new("alone", m, operands.stationary().to_vec(), operands.streaming().to_vec())
                    .unwrap();
            let unit = Mdpu::new(&p, m).unwrap();
            let without =
                rates(&unit, &Population::new(&unit, &alone), power, Quantisation::Cells).error_rate;
            assert!(with > without * if m == 31 { 1.3 } else { 1.05 }, "{m}: {with} against {without}");
        }
    }

    #[test]
    fn intervals_are_the_textbook_ones() {
        // 5 of 100: Clopper-Pearson 0.0164 .. 0.1128.
        let (low, high) = clopper_pearson(5.0, 100.0);
        assert!((low - 0.01643).abs() < 1e-4 && (high - 0.11283).abs() < 1e-4, "{low} {high}");
        assert_eq!(clopper_pearson(0.0, 100.0).0, 0.0);
    }
}
