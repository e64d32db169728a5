//! One MMU: its pairs of operands, and the characteristic function of its phase and log-amplitude.

use super::{AMPLITUDES, COLUMNS, Grid, INSIGNIFICANT, Moments, Pair, Transform};
use crate::unit::crosstalk::SourceGain;
use crate::unit::deviations::deviations;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::sampled::unsettled;
use num_complex::Complex64;
use std::f64::consts::PI;

/// The statistics of one MMU, and how its drive reaches its neighbours.
pub(super) struct Stage {
    pub(super) pairs: Vec<Pair>,
    /// Unit-shifter phase of each level minus its mean, rad: what crosstalk passes on.
    pub(super) drives: Vec<f64>,
    pub(super) drive_probabilities: Vec<f64>,
    /// Streamed value times unit phase: what a level error is multiplied by.
    pub(super) gains: Vec<f64>,
    pub(super) settling: f64,
    pub(super) mean_log_amplitude: f64,
    /// For each digit, its probability of being one.
    pub(super) ones: Vec<f64>,
}

impl Stage {
    pub(super) fn new(unit: &Mdpu, operands: &Operands) -> Self {
        let (digits, m) = (unit.digits(), unit.modulus() as usize);
        let turn = 2.0 * PI / m as f64;
        let (p_w, p_x) = (operands.stationary(), operands.streaming());
        let shifters = &unit.parameters().shifters;
        let mean_level: f64 = (0..m).map(|w| p_w[w] * f64::from(digits.level(w))).sum();
        let settling = unsettled(shifters);
        let mut stage = Stage {
            pairs: Vec::with_capacity(m * m),
            drives: (0..m).map(|w| turn * (f64::from(digits.level(w)) - mean_level)).collect(),
            drive_probabilities: p_w.to_vec(),
            gains: (0..m).map(|x| turn * f64::from(digits.value(x))).collect(),
            settling,
            mean_log_amplitude: 0.0,
            ones: (0..digits.count())
                .map(|d| (0..m).filter(|&x| digits.bit(x, d)).map(|x| p_x[x]).sum())
                .collect(),
        };
        let drive_variance = stage.drive_variance(unit, p_w, p_x);
        for (at, (deviation, log_amplitude)) in
            deviations(unit, &unit.no_errors(), operands).into_iter().enumerate()
        {
            let (w, x) = (at / m, at % m);
            let probability = p_w[w] * p_x[x];
            if probability > 0.0 {
                let variance = drive_variance[at] + stage.mismatch_variance(unit, w, x, mean_level);
                stage.mean_log_amplitude += probability * log_amplitude;
                let fresh = unit.dac_phase_variance(w, x);
                stage.pairs.push(Pair { w, x, probability, deviation, log_amplitude, variance, fresh });
            }
        }
        stage
    }

    /// Phase variance of each pair from INL and DNL, after the read-out has taken out the mean over operands.
    pub(super) fn drive_variance(&self, unit: &Mdpu, p_w: &[f64], p_x: &[f64]) -> Vec<f64> {
        let m = self.gains.len();
        let drive = unit.drive();
        let mean_gain: f64 = self.gains.iter().zip(p_x).map(|(gain, p)| gain * p).sum();
        let with_mean: Vec<f64> =
            (0..m).map(|w| (0..m).map(|other| p_w[other] * drive.covariance(w, other)).sum()).collect();
        let of_mean: f64 = with_mean.iter().zip(p_w).map(|(c, p)| c * p).sum();
        let mut variances = Vec::with_capacity(m * m);
        for (w, shared) in with_mean.into_iter().enumerate() {
            let own = drive.covariance(w, w);
            variances.extend(self.gains.iter().map(|g| {
                (g * g * own - 2.0 * g * mean_gain * shared + mean_gain * mean_gain * of_mean).max(0.0)
            }));
        }
        variances
    }

    pub(super) fn mismatch_variance(&self, unit: &Mdpu, w: usize, x: usize, mean_level: f64) -> f64 {
        let (digits, sigma) = (unit.digits(), unit.parameters().shifters.mismatch);
        if sigma == 0.0 {
            return 0.0;
        }
        let turn = 2.0 * PI / f64::from(digits.modulus());
        let level = f64::from(digits.level(w));
        let terms = digits.weights().iter().enumerate().map(|(d, &weight)| {
            let used = if digits.bit(x, d) { level } else { 0.0 };
            (sigma * turn * f64::from(weight) * (used - self.ones[d] * mean_level)).powi(2)
        });
        terms.sum()
    }

    pub(super) fn moments(&self, unit: &Mdpu) -> Moments {
        let group = unit.parameters().group as f64;
        let mean =
            |f: &dyn Fn(&Pair) -> f64| self.pairs.iter().map(|pair| pair.probability * f(pair)).sum::<f64>();
        let residue = unit.residue().variance();
        let path = 2.0 * residue + unit.lock_variance();
        let trimmed: f64 = self.ones.iter().map(|p| path * p * (1.0 - p)).sum();
        let drive_mean_square: f64 =
            self.drives.iter().zip(&self.drive_probabilities).map(|(d, p)| p * d * d).sum();
        let gain_square = mean(&|pair| self.gains[pair.x].powi(2));
        let turn = self.turn();
        let settling = 2.0 * gain_square * drive_mean_square * (self.settling / turn).powi(2);
        let own = mean(&|pair| pair.deviation.powi(2) + pair.variance) + trimmed + settling;
        let cross = mean(&|pair| pair.deviation * self.drives[pair.w]);
        let heat: f64 = unit
            .crosstalk_gains()
            .iter()
            .map(|gain| (gain.mean.powi(2) + gain.variance) * drive_mean_square + 2.0 * gain.mean * cross)
            .sum();
        let log_amplitude = self.mean_log_amplitude;
        let spread = mean(&|pair| (pair.log_amplitude - log_amplitude).powi(2));
        let largest = self.pairs.iter().map(|pair| pair.log_amplitude).fold(f64::NEG_INFINITY, f64::max);
        Moments {
            deviation: (group * own + heat + unit.ambient().powi(2)).max(0.0).sqrt(),
            dac_noise: (group * mean(&|pair| pair.fresh)).sqrt(),
            mean_log_amplitude: group * log_amplitude,
            log_amplitude: (group * spread).sqrt(),
            largest_log_amplitude: group * largest,
            mean_power: mean(&|pair| (2.0 * pair.log_amplitude).exp()).powf(group),
        }
    }

    /// The characteristic function of the sum over all MMUs, as far as it is above rounding; `live` with the noise that
    /// is fresh for each read.
    pub(super) fn transform(&self, unit: &Mdpu, grid: &Grid, live: bool) -> Transform {
        let factors = self.phase_factors(unit, 2.0 * PI / grid.phase_period, live);
        let row = |q: i64, columns: usize| self.total(unit, grid, &factors, q, columns);
        let significant = |value: &Complex64| value.norm() > INSIGNIFICANT;
        let columns = row(0, COLUMNS).iter().rposition(significant).map_or(1, |last| last + 1);
        let mut largest = AMPLITUDES as i64 / 2 - 1;
        while largest > 0 && !significant(&row(largest, 1)[0]) {
            largest -= 1;
        }
        let values = (-largest..=largest).flat_map(|q| row(q, columns)).collect();
        Transform { rows: 2 * largest as usize + 1, columns, values }
    }

    /// One row of it: amplitude frequency `q`, the first `columns` phase frequencies.
    pub(super) fn total(
        &self,
        unit: &Mdpu,
        grid: &Grid,
        factors: &[Complex64],
        q: i64,
        columns: usize,
    ) -> Vec<Complex64> {
        let by_level = self.by_level(2.0 * PI * q as f64 / grid.amplitude_period, factors, columns);
        let mut total = vec![Complex64::new(1.0, 0.0); columns];
        // MMUs with the same crosstalk gain share their characteristic function.
        let mut gains: Vec<(SourceGain, i32)> = Vec::new();
        let alike = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs();
        for &gain in unit.crosstalk_gains() {
            match gains
                .iter_mut()
                .find(|(known, _)| alike(known.mean, gain.mean) && alike(known.variance, gain.variance))
            {
                Some((_, count)) => *count += 1,
                None => gains.push((gain, 1)),
            }
        }
        for (gain, count) in gains {
            let mut one = vec![Complex64::ZERO; columns];
            for (drive, row) in self.drives.iter().zip(by_level.chunks(columns)) {
                let dk = 2.0 * PI / grid.phase_period;
                let turn = polar(dk * gain.mean * drive);
                // exp(-k^2 v/2) by the recurrence of `phase_factors`.
                let variance = gain.variance * drive * drive;
                let fall = (-dk * dk * variance).exp();
                let mut factor = (-0.5 * dk * dk * variance).exp();
                let mut phasor = Complex64::new(1.0, 0.0);
                for (sum, value) in one.iter_mut().zip(row) {
                    *sum += phasor * value;
                    phasor *= turn * factor;
                    factor *= fall;
                }
            }
            total.iter_mut().zip(one).for_each(|(product, value)| *product *= value.powi(count));
        }
        total
    }

    /// Characteristic function of one MMU split by its stationary level, without crosstalk, at amplitude frequency `s`.
    pub(super) fn by_level(&self, s: f64, factors: &[Complex64], columns: usize) -> Vec<Complex64> {
        let mut rows = vec![Complex64::ZERO; self.drives.len() * columns];
        for (pair, factor) in self.pairs.iter().zip(factors.chunks(COLUMNS)) {
            let weight = polar(s * (pair.log_amplitude - self.mean_log_amplitude)) * pair.probability;
            let row = &mut rows[pair.w * columns..(pair.w + 1) * columns];
            row.iter_mut().zip(factor).for_each(|(sum, f)| *sum += weight * f);
        }
        rows
    }

    /// For every pair, the characteristic function of its phase at frequencies 0, dk, 2 dk, ...
    pub(super) fn phase_factors(&self, unit: &Mdpu, dk: f64, live: bool) -> Vec<Complex64> {
        let trims = self.trims(unit, dk);
        let settling = self.settle(dk);
        let mut factors = Vec::with_capacity(self.pairs.len() * COLUMNS);
        for pair in &self.pairs {
            let old = self.settling * self.gains[pair.x] / self.turn() * self.drives[pair.w];
            let turn = polar(dk * (pair.deviation - old));
            let variance = pair.variance + if live { pair.fresh } else { 0.0 };
            // exp(-k^2 v/2) by its own recurrence: each factor falls by exp(-dk^2 v).
            let fall = (-dk * dk * variance).exp();
            let mut factor = (-0.5 * dk * dk * variance).exp();
            let mut value = Complex64::new(1.0, 0.0);
            for n in 0..COLUMNS {
                let at = pair.x * COLUMNS + n;
                let settled = settling.get(at).copied().unwrap_or(Complex64::new(1.0, 0.0));
                factors.push(value * settled * trims[at]);
                value *= turn * factor;
                factor *= fall;
            }
        }
        factors
    }

    pub(super) fn turn(&self) -> f64 {
        2.0 * PI / self.drives.len() as f64
    }

    /// Characteristic function of the trim residues for each streamed residue: of the two paths of a digit one counts,
    /// and the read-out has taken out the mean, so the difference of the two counts with (bit - probability of the bit).
    pub(super) fn trims(&self, unit: &Mdpu, dk: f64) -> Vec<f64> {
        let digits = unit.digits();
        let one = |share: f64| -> Vec<f64> {
            let at = |n: usize| {
                let k = n as f64 * dk * share;
                unit.residue().characteristic(k).powi(2) * (-0.5 * k * k * unit.lock_variance()).exp()
            };
            (0..COLUMNS).map(at).collect()
        };
        let by_bit: Vec<[Vec<f64>; 2]> = self.ones.iter().map(|&p| [one(-p), one(1.0 - p)]).collect();
        let m = self.gains.len();
        let mut all = vec![1.0; m * COLUMNS];
        for x in 0..m {
            for (d, factors) in by_bit.iter().enumerate() {
                let factor = &factors[usize::from(digits.bit(x, d))];
                all[x * COLUMNS..(x + 1) * COLUMNS].iter_mut().zip(factor).for_each(|(a, f)| *a *= f);
            }
        }
        all
    }

    /// What remains of the level before reprogramming: its mean phasor, for each streamed residue.
    pub(super) fn settle(&self, dk: f64) -> Vec<Complex64> {
        if self.settling == 0.0 {
            return Vec::new();
        }
        let m = self.gains.len();
        let mut all = Vec::with_capacity(m * COLUMNS);
        for gain in &self.gains {
            for n in 0..COLUMNS {
                let k = n as f64 * dk * self.settling * gain / self.turn();
                let mean = self.drives.iter().zip(&self.drive_probabilities).map(|(d, p)| polar(k * d) * *p);
                all.push(mean.sum());
            }
        }
        all
    }
}

fn polar(phase: f64) -> Complex64 {
    let (sine, cosine) = libm::sincos(phase);
    Complex64::new(cosine, sine)
}
