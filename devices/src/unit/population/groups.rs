//! The same distribution over whole reads that were sampled from a run, instead of independent operands.
//!
//! Values of a group depend on each other: a group of background pixels is the same value sixteen times, takes the same
//! detours sixteen times, and arrives with far less light than sixteen independent values do. So each sampled read counts with
//! its own loss and its own deviation, both exact; only its random errors, sums over dozens of stages, are taken as normal.

use super::stage::Stage;
use super::{AMPLITUDES, Grid, Moments, PHASES, Pair, Population};
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use std::f64::consts::PI;

/// Rows of log-amplitude; each row stands at the mean of the reads in it.
const ROWS: usize = 48;

/// What a read brings along.
struct Read {
    deviation: f64,
    variance: f64,
    /// Variance of the phase noise that is fresh for each read, the DACs'.
    fresh: f64,
    log_amplitude: f64,
}

impl Population {
    /// The moments over the groups of `operands`.
    pub(super) fn group_moments(unit: &Mdpu, operands: &Operands, stage: &Stage) -> Moments {
        moments(&stage.reads(unit, operands), stage.moments(unit).largest_log_amplitude)
    }

    /// The distribution over the groups of `operands`, each as likely as the others.
    pub(super) fn of_groups(unit: &Mdpu, operands: &Operands, stage: &Stage) -> Self {
        let reads = stage.reads(unit, operands);
        let noise = unit.noise([0.0; 2]);
        let floor = 1e-3 * PI / f64::from(unit.modulus());
        let moments = moments(&reads, stage.moments(unit).largest_log_amplitude);
        let fresh = |r: &Read| r.fresh + noise.phase.powi(2);
        // Wide enough that the tails of one side do not come round to the other.
        let reach = reads.iter().fold(0f64, |reach, r| {
            reach.max(r.deviation.abs() + 9.0 * (r.variance + fresh(r) + floor * floor).sqrt())
        });
        let period = (2.0 * reach).min(2.0 * PI);
        let (low, high) = reads.iter().fold((f64::MAX, f64::MIN), |(low, high), r| {
            (low.min(r.log_amplitude), high.max(r.log_amplitude))
        });
        let row = |r: &Read| {
            (((r.log_amplitude - low) / (high - low).max(1e-12) * ROWS as f64) as usize).min(ROWS - 1)
        };
        let mut sums = [(0.0, 0.0); ROWS];
        let mut settled = vec![0.0; AMPLITUDES * PHASES];
        let mut live = settled.clone();
        let share = 1.0 / reads.len() as f64;
        for read in &reads {
            let row = row(read);
            sums[row].0 += 1.0;
            sums[row].1 += read.log_amplitude;
            let cells = row * PHASES..(row + 1) * PHASES;
            spread(read.deviation, read.variance + floor * floor, period, share, &mut settled[cells.clone()]);
            let all = read.variance + floor * floor + fresh(read);
            spread(read.deviation, all, period, share, &mut live[cells]);
        }
        let middle = |(count, sum): (f64, f64)| if count > 0.0 { sum / count } else { low };
        let mut log_amplitudes: Vec<f64> = sums.into_iter().map(middle).collect();
        log_amplitudes.resize(AMPLITUDES, low);
        let grid =
            Grid { phase_period: period, amplitude_period: 0.0, phase_floor: floor, amplitude_floor: 0.0 };
        Population {
            step: period / PHASES as f64,
            deviations: grid.deviations(),
            log_amplitudes,
            settled,
            live,
            moments,
            dense: false,
        }
    }
}

fn moments(reads: &[Read], largest_log_amplitude: f64) -> Moments {
    let n = reads.len() as f64;
    let mean = |f: &dyn Fn(&Read) -> f64| reads.iter().map(f).sum::<f64>() / n;
    let mean_log_amplitude = mean(&|r| r.log_amplitude);
    Moments {
        deviation: mean(&|r| r.deviation.powi(2) + r.variance).sqrt(),
        dac_noise: mean(&|r| r.fresh).sqrt(),
        mean_log_amplitude,
        log_amplitude: mean(&|r| (r.log_amplitude - mean_log_amplitude).powi(2)).sqrt(),
        largest_log_amplitude,
        mean_power: mean(&|r| (2.0 * r.log_amplitude).exp()),
    }
}

/// Adds `share` of a normal distribution to a row of the circular grid, its sum exactly `share`.
fn spread(mean: f64, variance: f64, period: f64, share: f64, row: &mut [f64]) {
    let step = period / PHASES as f64;
    let sigma = variance.sqrt();
    let centre = mean / step;
    if sigma < 0.6 * step {
        // Narrower than the grid: shared by the two nearest columns, which keeps the mean.
        let below = centre.floor();
        let part = centre - below;
        for (column, weight) in [(below, 1.0 - part), (below + 1.0, part)] {
            row[(column as i64).rem_euclid(PHASES as i64) as usize] += share * weight;
        }
        return;
    }
    let reach = ((9.0 * sigma / step).ceil() as i64).min(PHASES as i64 / 2 - 1);
    let first = centre.round() as i64 - reach;
    let density = |column: i64| (-0.5 * ((column as f64 - centre) * step / sigma).powi(2)).exp();
    let total: f64 = (first..=first + 2 * reach).map(density).sum();
    for column in first..=first + 2 * reach {
        row[column.rem_euclid(PHASES as i64) as usize] += share * density(column) / total;
    }
}

impl Stage {
    /// Every group as a read, the mean deviation taken out as the read-out's calibration does.
    fn reads(&self, unit: &Mdpu, operands: &Operands) -> Vec<Read> {
        let m = self.gains.len();
        let mut table: Vec<Option<&Pair>> = vec![None; m * m];
        for pair in &self.pairs {
            table[pair.w * m + pair.x] = Some(pair);
        }
        let trims = self.trim_variances(unit);
        let drive_square: f64 =
            self.drives.iter().zip(&self.drive_probabilities).map(|(d, p)| p * d * d).sum();
        let one = |(w, x): &(Vec<usize>, Vec<usize>)| {
            let mut read =
                Read { deviation: 0.0, variance: unit.ambient().powi(2), fresh: 0.0, log_amplitude: 0.0 };
            for ((&w, &x), heat) in w.iter().zip(x).zip(unit.crosstalk_gains()) {
                // Operands checks that every pair of a group has a probability.
                let Some(pair) = table[w * m + x] else { continue };
                let old = self.settling * self.gains[x] / self.turn();
                read.deviation += pair.deviation + (heat.mean - old) * self.drives[w];
                read.variance += heat.variance * self.drives[w].powi(2);
                read.variance += pair.variance + trims[x] + old * old * drive_square;
                read.fresh += pair.fresh;
                read.log_amplitude += pair.log_amplitude;
            }
            read
        };
        let mut reads: Vec<Read> = operands.groups().iter().map(one).collect();
        let mean = reads.iter().map(|r| r.deviation).sum::<f64>() / reads.len() as f64;
        reads.iter_mut().for_each(|r| r.deviation -= mean);
        reads
    }

    /// Phase variance of the trim residues for each streamed residue; see [`Stage::trims`].
    fn trim_variances(&self, unit: &Mdpu) -> Vec<f64> {
        let (digits, path) = (unit.digits(), 2.0 * unit.residue().variance() + unit.lock_variance());
        let of = |x: usize| {
            let one = |(d, p): (usize, &f64)| path * (f64::from(u8::from(digits.bit(x, d))) - p).powi(2);
            self.ones.iter().enumerate().map(one).sum()
        };
        (0..self.gains.len()).map(of).collect()
    }
}
