//! Error rates of a unit at a laser power: the population's distribution times the read-out's sector probabilities.

use crate::unit::chips::Sample;
use crate::unit::mmu::Mdpu;
use crate::unit::population::{Cell, Population};
use crate::unit::readout::{Point, ReadOut, wrap};
use crate::unit::repeats::{ATTEMPTS, Repeats};
use num_complex::Complex64;
use std::f64::consts::PI;

/// Spacing of the population's grid, in LSB, where cells are summed.
const CELL_SPACING: f64 = 0.6;

/// How quantisation enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantisation {
    /// The sum over ADC cells, clipping included.
    Cells,
    /// As noise of variance LSB^2/12: fast, for searches.
    AsNoise,
}

/// Error rates of one modulus at one laser power, averaged over chips and operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// The modulus.
    pub modulus: u32,
    /// Power of the laser, W.
    pub laser_power: f64,
    /// Probability that a level is read wrongly, averaged over true levels.
    pub error_rate: f64,
    /// The part of it that lands on a neighbouring level.
    pub adjacent: f64,
    /// The part of it that lands further away.
    pub other: f64,
    /// Probability that a further read of the same operands on the same chip is wrong, given that all before were: of the second,
    /// the third, … read.
    pub again: [f64; ATTEMPTS],
    /// Amplitude of (I, Q) over the standard deviation of either, at the mean log-amplitude, before quantisation.
    pub snr: f64,
    /// Mean signal power at the detectors of an MDPU, W.
    pub signal_power: f64,
    /// Reference power at the detectors, W.
    pub reference_power: f64,
    /// Probability of reading level `t + j` when `t` is true, at index `t * m + j`; entry j = 0 is not filled.
    pub offsets: Vec<f64>,
    /// Where the errors come from; see [`Dominance`].
    pub dominant: Dominance,
}

/// The slopes of the log of the read-out's error probability where most errors happen. They say how far an error of a
/// single MMU matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dominance {
    /// d ln p / d|D|, 1/rad.
    pub per_deviation: f64,
    /// d ln p / d ln A (negative).
    pub per_log_amplitude: f64,
}

impl Rates {
    /// SNR in decibels (20 log10 of the amplitude ratio).
    pub fn snr_db(&self) -> f64 {
        20.0 * self.snr.log10()
    }

    /// Probability of reading `read` when `truth` is true, for `read` different from `truth`.
    pub fn probability(&self, truth: usize, read: usize) -> f64 {
        let m = self.modulus as usize;
        self.offsets[truth * m + (read + m - truth) % m]
    }
}

/// The unit, its light and its read-out at one laser power.
pub(crate) struct Operating<'a> {
    pub unit: &'a Mdpu,
    pub light: crate::unit::link::Light,
    pub readout: ReadOut,
    /// The laser's phase noise, rad.
    laser_phase: f64,
}

impl<'a> Operating<'a> {
    pub fn new(unit: &'a Mdpu, largest_log_amplitude: f64, laser_power: f64) -> Self {
        let light = unit.light(laser_power);
        let (parameters, largest) = (unit.parameters(), largest_log_amplitude.exp());
        let full_scale = parameters.adc.headroom
            * parameters.detector.responsivity
            * (light.signal * light.reference).sqrt()
            * largest;
        let readout = ReadOut::new(unit.modulus(), parameters.adc.bits.map(|bits| (bits, full_scale)));
        Operating { unit, light, readout, laser_phase: unit.noise([0.0; 2]).phase }
    }

    /// Mean and additive noise of (I, Q) for a field of log-amplitude `log_amplitude` at angle `angle`.
    pub fn point(&self, log_amplitude: f64, angle: f64) -> Point {
        let field = Complex64::from_polar(log_amplitude.exp(), angle);
        let ([i, q], sums) = self.unit.detect(self.light, field);
        let sources = self.unit.additive_noise(sums, i.hypot(q), self.readout.lsb());
        let sigma = |branch: usize| sources.iter().map(|source| source.1[branch]).sum::<f64>().sqrt();
        Point { i, q, sigma_i: sigma(0), sigma_q: sigma(1) }
    }

    /// The same with the laser's phase noise and `dac_variance` rad^2 of the DACs' in the noise of both: across the signal
    /// it is what it is, along it moves no read out of its sector.
    pub fn noisy_point(&self, log_amplitude: f64, angle: f64, dac_variance: f64) -> Point {
        let mut point = self.point(log_amplitude, angle);
        let across = self.phase_noise(dac_variance) * point.i.hypot(point.q);
        (point.sigma_i, point.sigma_q) = (point.sigma_i.hypot(across), point.sigma_q.hypot(across));
        point
    }

    /// The probability that a read with the deviation and loss of `read` is wrong, at every true level.
    pub fn wrong_by_level(&self, read: &Sample) -> Vec<f64> {
        let m = self.unit.modulus() as usize;
        let wrong = |truth: usize| {
            let mut row = vec![0.0; m];
            self.readout.add_errors(truth, self.point_of(read, truth), 1.0, &mut row);
            row.iter().sum::<f64>()
        };
        let levels: Vec<f64> = (0..self.own_levels()).map(wrong).collect();
        levels.iter().copied().cycle().take(m).collect()
    }

    /// Levels that stand for all: a quarter turn of the plane of ADC cells changes nothing, if the levels allow it and the hybrid is
    /// balanced.
    pub fn own_levels(&self) -> usize {
        let m = self.unit.modulus() as usize;
        if m.is_multiple_of(4) && !self.imbalanced() { m / 4 } else { m }
    }

    /// Where a read stands at the true level `truth`, with all noise.
    pub fn point_of(&self, read: &Sample, truth: usize) -> Point {
        let angle = truth as f64 * 2.0 * PI / f64::from(self.unit.modulus()) + read.deviation;
        self.noisy_point(read.log_amplitude, angle, read.dac_variance)
    }

    fn phase_noise(&self, dac_variance: f64) -> f64 {
        self.laser_phase.hypot(dac_variance.sqrt())
    }

    /// Amplitude over noise, with quantisation as noise and `phase` rad of phase noise across.
    fn snr(&self, log_amplitude: f64, phase: f64) -> f64 {
        let point = self.point(log_amplitude, 0.0);
        let amplitude = point.i.hypot(point.q);
        let additive =
            0.5 * (point.sigma_i.powi(2) + point.sigma_q.powi(2)) + self.readout.lsb().powi(2) / 12.0;
        let variance = additive + (phase * amplitude).powi(2);
        if variance > 0.0 { (amplitude / variance.sqrt()).min(1e9) } else { f64::MAX }
    }

    /// Amplitude over noise, with quantisation and all phase noise as noise.
    pub fn noisy_snr(&self, log_amplitude: f64, dac_variance: f64) -> f64 {
        self.snr(log_amplitude, self.phase_noise(dac_variance))
    }

    /// What the hybrid makes of the true levels: amplitude over noise and shift of the angle; one entry if all are alike.
    fn images(&self, log_amplitude: f64) -> Vec<(f64, f64)> {
        let snr = self.snr(log_amplitude, 0.0);
        if !self.imbalanced() {
            return vec![(snr, 0.0)];
        }
        let straight = self.point(log_amplitude, 0.0);
        let m = self.unit.modulus();
        let image = |level: u32| {
            let angle = 2.0 * PI * f64::from(level) / f64::from(m);
            let point = self.point(log_amplitude, angle);
            let louder = point.i.hypot(point.q) / straight.i.hypot(straight.q);
            (snr * louder, wrap(point.q.atan2(point.i) - angle))
        };
        (0..m).map(image).collect()
    }

    pub fn imbalanced(&self) -> bool {
        let link = &self.unit.parameters().link;
        link.hybrid_gain_error != 0.0 || link.hybrid_phase_error != 0.0
    }
}

/// Error rates of `unit` with the light of one laser of `laser_power` W, over `population`.
///
/// The true levels are taken as equally likely and independent of loss and deviation, since a dot product mixes the pairs of a
/// group. Where all values of a group are alike and share a factor with the modulus, only some levels occur, and the pattern
/// of the ADC cells then counts differently: sixteen times the same even value modulo 32 moved a rate by a tenth.
pub fn rates(unit: &Mdpu, population: &Population, laser_power: f64, quantisation: Quantisation) -> Rates {
    let moments = population.moments();
    let operating = Operating::new(unit, moments.largest_log_amplitude, laser_power);
    let m = unit.modulus() as usize;
    let snr = operating.snr(moments.mean_log_amplitude, 0.0);
    let exact = quantisation == Quantisation::Cells && unit.parameters().adc.bits.is_some();
    let width = integrand_width(snr, moments.deviation);
    let cells = if exact {
        // The pattern of the ADC cells must be sampled too: about half an LSB apart, or half a sigma if that is more.
        // High rates depend little on it.
        let point = operating.point(moments.mean_log_amplitude, 0.0);
        let cell = operating.readout.lsb().max(point.sigma_i) / point.i.hypot(point.q);
        let high = quick_rate(unit, population, laser_power) > 1e-3;
        let spacing = if high { 4.0 * CELL_SPACING } else { CELL_SPACING } * cell;
        population.cells((0.9 * width).min(spacing), spacing)
    } else {
        population.cells(1.2 * width, f64::INFINITY)
    };
    let mut offsets = vec![0.0; m * m];
    let summary = Summary::new(&operating, &cells);
    // A repeat meets the same static errors and the same cells of the ADC, and all noise anew.
    let mut repeats = Repeats::default();
    if exact || operating.imbalanced() {
        let orbits = orbits(m, operating.imbalanced());
        let mut row = vec![0.0; m];
        for cell in cells.iter().filter(|cell| summary.matters(&operating, cell)) {
            for (truth, images) in &orbits {
                let angle = *truth as f64 * 2.0 * PI / m as f64 + cell.deviation;
                row.fill(0.0);
                operating.readout.add_errors(
                    *truth,
                    operating.point(cell.log_amplitude, angle),
                    1.0,
                    &mut row,
                );
                let noisy = operating.noisy_point(cell.log_amplitude, angle, moments.dac_noise.powi(2));
                let mut again = vec![0.0; m];
                operating.readout.add_errors(*truth, noisy, 1.0, &mut again);
                let wrong: f64 = again.iter().sum();
                for &(_, mirrored) in images {
                    let share = if mirrored { cell.settled_mirrored } else { cell.settled };
                    repeats.add(share, wrong, wrong);
                }
                for (j, &p) in row.iter().enumerate().filter(|(_, p)| **p > 0.0) {
                    for &(image, mirrored) in images {
                        if mirrored {
                            offsets[image * m + (m - j) % m] += cell.mirrored * p;
                        } else {
                            offsets[image * m + j] += cell.live * p;
                        }
                    }
                }
            }
        }
    } else {
        let mut row = vec![0.0; m];
        let phase = operating.phase_noise(moments.dac_noise.powi(2));
        for cell in &cells {
            let snr = operating.snr(cell.log_amplitude, phase);
            let wrong = operating.readout.wedge_error(snr, cell.deviation);
            repeats.add(cell.settled, wrong, wrong);
        }
        for cell in cells.iter().filter(|cell| cell.live > 0.0) {
            let snr = operating.snr(cell.log_amplitude, 0.0);
            operating.readout.add_wedges(snr, cell.deviation, cell.live, &mut row);
        }
        row[0] = 0.0;
        offsets.chunks_mut(m).for_each(|copy| copy.copy_from_slice(&row));
    }
    summarise(&operating, population, laser_power, offsets, repeats.again(), summary.dominant)
}

/// One true level, and the levels that the symmetry of the ADC plane makes equal to it, with or without a mirror.
type Orbit = (usize, Vec<(usize, bool)>);

/// The plane of ADC cells looks the same in a mirror (a deviation D of level t is a deviation -D of level -t) and, when
/// the levels allow, after a quarter turn.
fn orbits(m: usize, imbalanced: bool) -> Vec<Orbit> {
    let mut seen = vec![false; m];
    let mut all = Vec::new();
    for t in 0..m {
        if seen[t] {
            continue;
        }
        let turns = if m.is_multiple_of(4) { 4 } else { 1 };
        let mut images: Vec<(usize, bool)> = Vec::new();
        for quarter in 0..if imbalanced { 1 } else { turns } {
            let shift = quarter * m / 4;
            for image in [((t + shift) % m, false), ((2 * m - t - shift) % m, true)] {
                if !(seen[image.0] || imbalanced && image.1) {
                    seen[image.0] = true;
                    images.push(image);
                }
            }
        }
        all.push((t, images));
    }
    all
}

/// The error rate alone, with quantisation as noise. An unbalanced hybrid counts by what it does to the angle and amplitude of
/// each true level.
pub(crate) fn quick_rate(unit: &Mdpu, population: &Population, laser_power: f64) -> f64 {
    spread_rate(unit, population, laser_power, 0.0, |_| vec![(1.0, 0.0, 0.0)])
}

/// The same where a read of a log-amplitude becomes others: `spread` gives shares, each with its changes of log-amplitude and
/// phase, rad; `follow` is the phase added for each radian of a read's own deviation.
pub(crate) fn spread_rate(
    unit: &Mdpu,
    population: &Population,
    laser_power: f64,
    follow: f64,
    spread: impl Fn(f64) -> Vec<(f64, f64, f64)>,
) -> f64 {
    let moments = population.moments();
    let operating = Operating::new(unit, moments.largest_log_amplitude, laser_power);
    let width = integrand_width(operating.snr(moments.mean_log_amplitude, 0.0), moments.deviation);
    // Share, amplitude over noise and shift of the angle.
    let images = |log_amplitude: f64| -> Vec<(f64, f64, f64)> {
        let of_share = |(share, louder, turned): (f64, f64, f64)| {
            let images = operating.images(log_amplitude + louder);
            let each = share / images.len() as f64;
            images.into_iter().map(move |(snr, shift)| (each, snr, shift + turned))
        };
        spread(log_amplitude).into_iter().flat_map(of_share).collect()
    };
    let mut loudness = (f64::NAN, Vec::new());
    let mut total = 0.0;
    for cell in population.cells(1.2 * width, f64::INFINITY).iter().filter(|cell| cell.live > 0.0) {
        if loudness.0 != cell.log_amplitude {
            loudness = (cell.log_amplitude, images(cell.log_amplitude));
        }
        let error = |&(share, snr, shift): &(f64, f64, f64)| {
            share * operating.readout.wedge_error(snr, wrap((1.0 + follow) * cell.deviation + shift))
        };
        total += cell.live * loudness.1.iter().map(error).sum::<f64>();
    }
    total
}

/// Amplitude of (I, Q) over the standard deviation of either at the mean log-amplitude, quantisation not counted.
pub(crate) fn detector_snr(unit: &Mdpu, population: &Population, laser_power: f64) -> f64 {
    let moments = population.moments();
    let operating = Operating::new(unit, moments.largest_log_amplitude, laser_power);
    let point = operating.point(moments.mean_log_amplitude, 0.0);
    let sigma = (0.5 * (point.sigma_i.powi(2) + point.sigma_q.powi(2))).sqrt();
    point.i.hypot(point.q) / sigma
}

/// The integrand over the deviation is as narrow as noise and static spread together allow.
fn integrand_width(snr: f64, deviation: f64) -> f64 {
    let (noise, spread) = (1.0 / snr.max(1e-3), deviation.max(1e-9));
    noise * spread / noise.hypot(spread)
}

fn summarise(
    operating: &Operating,
    population: &Population,
    laser_power: f64,
    offsets: Vec<f64>,
    again: [f64; ATTEMPTS],
    dominant: Dominance,
) -> Rates {
    let m = operating.unit.modulus() as usize;
    let mean = |pick: &dyn Fn(usize) -> bool| {
        let sum: f64 = offsets.iter().enumerate().filter(|(at, _)| pick(at % m)).map(|(_, p)| p).sum();
        sum / m as f64
    };
    let next = |j: usize| j == 1 || j == m - 1;
    let (adjacent, other) = (mean(&next), mean(&|j| j != 0 && !next(j)));
    Rates {
        modulus: operating.unit.modulus(),
        laser_power,
        error_rate: adjacent + other,
        adjacent,
        other,
        again,
        snr: detector_snr(operating.unit, population, laser_power),
        signal_power: operating.light.signal * population.moments().mean_power,
        reference_power: operating.light.reference,
        offsets,
        dominant,
    }
}

/// What a first pass with quantisation as noise says about all cells.
struct Summary {
    total: f64,
    dominant: Dominance,
}

impl Summary {
    fn new(operating: &Operating, cells: &[Cell]) -> Self {
        let mut total = 0.0;
        let (mut by_deviation, mut by_amplitude) = (0.0, 0.0);
        for cell in cells {
            let snr = operating.snr(cell.log_amplitude, 0.0);
            let error = operating.readout.wedge_error(snr, cell.deviation);
            total += cell.live * error;
            let step = 1e-4;
            let louder = operating.readout.wedge_error(snr * (1.0 + step), cell.deviation);
            let shift = step * PI / f64::from(operating.unit.modulus());
            let turned = operating.readout.wedge_error(snr, cell.deviation + shift.copysign(cell.deviation));
            by_amplitude += cell.live * (louder - error) / step;
            by_deviation += cell.live * (turned - error) / shift;
        }
        let ratio = |x: f64, of: f64| if of > 0.0 { x / of } else { 0.0 };
        Summary {
            total,
            dominant: Dominance {
                per_deviation: ratio(by_deviation, total),
                per_log_amplitude: ratio(by_amplitude, total),
            },
        }
    }

    /// Whether a cell can contribute: a sector's edge is nowhere nearer than three quarters of an LSB inside.
    fn matters(&self, operating: &Operating, cell: &Cell) -> bool {
        let share = cell.live.max(cell.mirrored).max(cell.settled).max(cell.settled_mirrored);
        if share <= 0.0 {
            return false;
        }
        let point = operating.point(cell.log_amplitude, 0.0);
        let lsb = operating.readout.lsb();
        let amplitude = point.i.hypot(point.q);
        let full_scale = lsb * f64::from(1u32 << (operating.unit.parameters().adc.bits.unwrap_or(1) - 1));
        let link = &operating.unit.parameters().link;
        let turn = link.hybrid_gain_error.abs() + link.hybrid_phase_error.abs();
        let worst = if lsb > 0.0 && amplitude > 0.999 * full_scale {
            1.0
        } else {
            let shift = 0.75 * lsb / amplitude.max(1e-300) + turn;
            operating
                .readout
                .wedge_error(operating.snr(cell.log_amplitude, 0.0), (cell.deviation.abs() + shift).min(PI))
        };
        share * worst > 1e-6 * self.total
    }
}

#[cfg(test)]
mod tests;
