//! Error rates of a unit at a laser power: the population's distribution times the read-out's sector probabilities.

use crate::unit::mmu::Mdpu;
use crate::unit::population::{Cell, Population};
use crate::unit::readout::{Point, ReadOut};
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
    /// Probability that a repeated read of the same operands on the same chip is wrong again.
    pub again: f64,
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
        Operating { unit, light, readout }
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

    fn phase_noise(&self, dac_variance: f64) -> f64 {
        self.unit.noise([0.0; 2]).phase.hypot(dac_variance.sqrt())
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
    let summary = Summary::new(&operating, &cells, moments.dac_noise);
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
        for cell in cells.iter().filter(|cell| cell.live > 0.0) {
            let snr = operating.snr(cell.log_amplitude, 0.0);
            operating.readout.add_wedges(snr, cell.deviation, cell.live, &mut row);
        }
        row[0] = 0.0;
        offsets.chunks_mut(m).for_each(|copy| copy.copy_from_slice(&row));
    }
    summarise(&operating, population, laser_power, offsets, summary)
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

/// The error rate alone, with quantisation as noise and an ideal hybrid.
pub(crate) fn quick_rate(unit: &Mdpu, population: &Population, laser_power: f64) -> f64 {
    let moments = population.moments();
    let operating = Operating::new(unit, moments.largest_log_amplitude, laser_power);
    let width = integrand_width(operating.snr(moments.mean_log_amplitude, 0.0), moments.deviation);
    let mut loudness = (f64::NAN, 0.0);
    let mut total = 0.0;
    for cell in population.cells(1.2 * width, f64::INFINITY).iter().filter(|cell| cell.live > 0.0) {
        if loudness.0 != cell.log_amplitude {
            loudness = (cell.log_amplitude, operating.snr(cell.log_amplitude, 0.0));
        }
        total += cell.live * operating.readout.wedge_error(loudness.1, cell.deviation);
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
    power: f64,
    offsets: Vec<f64>,
    summary: Summary,
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
        laser_power: power,
        error_rate: adjacent + other,
        adjacent,
        other,
        again: summary.again,
        snr: detector_snr(operating.unit, population, power),
        signal_power: operating.light.signal * population.moments().mean_power,
        reference_power: operating.light.reference,
        offsets,
        dominant: summary.dominant,
    }
}

/// What a first pass with quantisation as noise says about all cells.
struct Summary {
    total: f64,
    again: f64,
    dominant: Dominance,
}

impl Summary {
    fn new(operating: &Operating, cells: &[Cell], dac_noise: f64) -> Self {
        let phase = operating.phase_noise(dac_noise * dac_noise);
        let (mut total, mut settled, mut squared) = (0.0, 0.0, 0.0);
        let (mut by_deviation, mut by_amplitude) = (0.0, 0.0);
        for cell in cells {
            let snr = operating.snr(cell.log_amplitude, 0.0);
            let error = operating.readout.wedge_error(snr, cell.deviation);
            total += cell.live * error;
            let slow =
                operating.readout.wedge_error(operating.snr(cell.log_amplitude, phase), cell.deviation);
            settled += cell.settled * slow;
            squared += cell.settled * slow * slow;
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
            again: ratio(squared, settled).min(1.0),
            dominant: Dominance {
                per_deviation: ratio(by_deviation, total),
                per_log_amplitude: ratio(by_amplitude, total),
            },
        }
    }

    /// Whether a cell can contribute: a sector's edge is nowhere nearer than three quarters of an LSB inside.
    fn matters(&self, operating: &Operating, cell: &Cell) -> bool {
        if cell.live <= 0.0 && cell.mirrored <= 0.0 {
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
        cell.live.max(cell.mirrored) * worst > 1e-6 * self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::numerics::normal_tail;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::{FrontEnd, MdpuParameters};

    fn noisy(snr: f64) -> MdpuParameters {
        // 1 W, even split, responsivity 1: amplitude 0.5 A.
        let mut p = MdpuParameters::ideal(16);
        p.detector.bandwidth = 1.0; // no shot noise worth speaking of
        p.detector.front_end = FrontEnd::InputNoise(0.5 / snr);
        p
    }

    fn run(p: &MdpuParameters, m: u32) -> Rates {
        let unit = Mdpu::new(p, m).unwrap();
        let population = Population::new(&unit, &Operands::uniform(m));
        rates(&unit, &population, 1.0, Quantisation::Cells)
    }

    #[test]
    fn noise_alone_gives_the_phase_shift_keying_formula() {
        for m in [31u32, 32, 33] {
            let half = PI / f64::from(m);
            for depth in [2.6, 3.1, 4.9, 6.1, 7.1] {
                let snr = depth / half.sin();
                let steps = 100_000;
                let h = (PI - half) / steps as f64;
                let exact: f64 = (0..steps)
                    .map(|i| (-0.5 * depth * depth / ((i as f64 + 0.5) * h).sin().powi(2)).exp() * h / PI)
                    .sum();
                let ours = run(&noisy(snr), m);
                assert!(
                    (ours.error_rate / exact - 1.0).abs() < 0.01,
                    "{m} {depth}: {} {exact}",
                    ours.error_rate
                );
                assert!((ours.snr / snr - 1.0).abs() < 1e-6 && ours.adjacent > 0.99 * ours.error_rate);
                assert!((ours.again / exact - 1.0).abs() < 0.03, "nothing static: {} {exact}", ours.again);
            }
        }
    }

    #[test]
    fn static_errors_add_their_variance_at_every_depth() {
        // E[Q((a - d)/s)] = Q(a / sqrt(s^2 + sigma^2)), on either side of a sector of half width a.
        let (m, group) = (32u32, 16);
        for depth in [3.0, 5.0, 7.03] {
            let half = PI / f64::from(m);
            let total = half / depth;
            let each = total / 2f64.sqrt(); // static as large as noise
            let mut p = noisy(1.0 / each);
            // Untrimmed normal errors: the difference of two paths counts half, in five digits of sixteen MMUs.
            p.trim.range = 0.0;
            p.trim.fabrication = (each * each / (group as f64 * 5.0 * 0.5)).sqrt();
            let ours = run(&p, m);
            let exact = 2.0 * normal_tail(half / (2.0 * each * each).sqrt());
            assert!((ours.error_rate / exact - 1.0).abs() < 0.05, "{depth}: {} {exact}", ours.error_rate);
            // Repeats: E[p^2]/E[p] from the normal static error, by quadrature.
            let (mut one, mut two) = (0.0, 0.0);
            for i in -2000..=2000 {
                let d = i as f64 / 2000.0 * 12.0 * each;
                let density = (-0.5 * (d / each).powi(2)).exp();
                let q = normal_tail((half - d) / each) + normal_tail((half + d) / each);
                (one, two) = (one + density * q, two + density * q * q);
            }
            assert!(
                (ours.again / (two / one) - 1.0).abs() < 0.05,
                "{depth}: again {} {}",
                ours.again,
                two / one
            );
        }
    }

    #[test]
    fn without_imperfections_nothing_is_misread() {
        for m in [31, 32, 33] {
            let mut p = MdpuParameters::ideal(16);
            p.adc.bits = Some(10);
            let ours = run(&p, m);
            assert!(ours.error_rate < 1e-12, "{m}: {}", ours.error_rate);
        }
    }

    #[test]
    fn symmetry_and_thinning_change_nothing() {
        for m in [31u32, 32] {
            let mut p = noisy(40.0);
            p.adc.bits = Some(6);
            (p.shifters.loss_db, p.rings.extinction_db) = (0.9, 30.0); // the deviations are not symmetric
            let unit = Mdpu::new(&p, m).unwrap();
            let population = Population::new(&unit, &Operands::uniform(m));
            let ours = rates(&unit, &population, 1.0, Quantisation::Cells);
            let operating = Operating::new(&unit, population.moments().largest_log_amplitude, 1.0);
            for truth in [0usize, 1, 5, 9, 20, 30] {
                let mut row = vec![0.0; m as usize];
                for cell in population.cells(0.0, 0.0) {
                    let angle = truth as f64 * 2.0 * PI / f64::from(m) + cell.deviation;
                    let point = operating.point(cell.log_amplitude, angle);
                    operating.readout.add_errors(truth, point, cell.live, &mut row);
                }
                for j in [1, m as usize - 1] {
                    let fast = ours.offsets[truth * m as usize + j];
                    assert!((fast / row[j] - 1.0).abs() < 0.05, "{m} {truth} {j}: {fast} {}", row[j]);
                }
            }
        }
    }

    #[test]
    fn more_bits_approach_no_quantisation() {
        let mut last = f64::INFINITY;
        for bits in [5, 6, 8, 10] {
            let mut p = noisy(55.0);
            p.adc.bits = Some(bits);
            let rate = run(&p, 33).error_rate;
            assert!(rate < last, "{bits} bits: {rate} after {last}");
            last = rate;
        }
        let plain = run(&noisy(55.0), 33).error_rate;
        assert!((last / plain - 1.0).abs() < 0.05, "{last} {plain}");
    }
}
