//! The distribution of phase deviation and amplitude over chips and operands.
//!
//! The field that has passed the MMUs of an MDPU is a product, so its phase deviation D and its log-amplitude are sums
//! of independent terms, one for each MMU. The distribution of a sum is the product of characteristic functions, and
//! those of one MMU are computed, not sampled: every pair of operands is visited with its probability and its exact
//! complex field, and the random errors of that pair (trim residue, INL and DNL, length mismatch, settling) enter by
//! their own characteristic functions. An inverse Fourier transform gives probabilities on a grid of (D, log-amplitude)
//! that hold down to about 1e-13, where plain samples would see nothing.
//!
//! Where whole reads were sampled from a run, `groups` counts each of them instead: operands of a group are not independent.
//!
//! What is linearised: the random errors add to the phase only; their influence on the light that leaks along the
//! wrong path (second order) is left out. Sampled chips ([`crate::unit::chips`]) hold that against the full fields.

use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::parameters::MdpuParameters;
use num_complex::Complex64;
use rustfft::FftPlannerScalar;
use std::f64::consts::PI;

mod groups;
mod stage;

use stage::Stage;

const PHASES: usize = 256;
const AMPLITUDES: usize = 128;
const COLUMNS: usize = PHASES / 2;
/// Standard deviations that the periodic grid covers.
const PERIOD: f64 = 24.0;
/// Extra spread of the log-amplitude.
const AMPLITUDE_FLOOR: f64 = 1e-3;
/// Characteristic functions below this are rounding errors.
const INSIGNIFICANT: f64 = 1e-19;

/// Joint distribution of phase deviation and log-amplitude of an MDPU, over chips and operands.
#[derive(Debug, Clone)]
pub struct Population {
    /// Phase deviation of the grid's columns, rad (wrapped order), and their spacing.
    deviations: Vec<f64>,
    step: f64,
    log_amplitudes: Vec<f64>,
    /// Probability of each cell (row: amplitude), of what is static for a chip and its operands.
    settled: Vec<f64>,
    /// The same with the laser's intensity and phase noise added.
    live: Vec<f64>,
    moments: Moments,
    /// Whether the rows are a smooth density on an even grid, which may be thinned.
    dense: bool,
}

/// First moments of a [`Population`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Standard deviation of the static phase deviation, rad.
    pub deviation: f64,
    /// Standard deviation of the phase noise of the stationary DACs, fresh for each read, rad.
    pub dac_noise: f64,
    /// Mean of the log of the field amplitude (nepers).
    pub mean_log_amplitude: f64,
    /// Its standard deviation.
    pub log_amplitude: f64,
    /// Largest log-amplitude that any operands give.
    pub largest_log_amplitude: f64,
    /// Mean power transfer of the MMUs.
    pub mean_power: f64,
}

/// One cell of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub deviation: f64,
    pub log_amplitude: f64,
    pub settled: f64,
    pub live: f64,
    /// `live` of the cell with the opposite deviation.
    pub mirrored: f64,
    /// `settled` of the cell with the opposite deviation.
    pub settled_mirrored: f64,
}

/// One pair of operands of one MMU.
#[derive(Debug, Clone)]
struct Pair {
    w: usize,
    x: usize,
    probability: f64,
    deviation: f64,
    log_amplitude: f64,
    /// Phase variance of what is fixed for a chip, and of what is fresh for each read (the DAC's noise).
    variance: f64,
    fresh: f64,
}

impl Population {
    /// Computes the distribution for a unit and an operand distribution of the same modulus.
    pub fn new(unit: &Mdpu, operands: &Operands) -> Self {
        let stage = Stage::new(unit, operands);
        if !operands.groups().is_empty() {
            return Self::of_groups(unit, operands, &stage);
        }
        let moments = stage.moments(unit);
        let noise = unit.noise([0.0; 2]);
        // A trace of extra spread (a thousandth of half a sector, and of the amplitude) keeps the grid finite when
        // nothing is random; it raises a rate of 1e-12 by 0.1 %.
        let floor = 1e-3 * PI / f64::from(unit.modulus());
        let phase = noise.phase.hypot(moments.dac_noise);
        let ambient = unit.ambient();
        let spread = (moments.deviation.powi(2) + phase.powi(2) + floor * floor).sqrt();
        let width = (moments.log_amplitude.powi(2) + noise.relative.powi(2) + AMPLITUDE_FLOOR.powi(2)).sqrt();
        let grid = Grid {
            phase_period: (PERIOD * spread).min(2.0 * PI),
            amplitude_period: PERIOD * width,
            phase_floor: floor,
            amplitude_floor: AMPLITUDE_FLOOR,
        };
        let transform = stage.transform(unit, &grid, false);
        let settled = grid.invert(&transform, ambient, 0.0);
        let transform = if moments.dac_noise > 0.0 { stage.transform(unit, &grid, true) } else { transform };
        let live = grid.invert(&transform, noise.phase.hypot(ambient), noise.relative);
        let centre = moments.mean_log_amplitude;
        Population {
            step: grid.phase_period / PHASES as f64,
            deviations: grid.deviations(),
            log_amplitudes: (0..AMPLITUDES)
                .map(|i| centre + wrapped(i, AMPLITUDES) * grid.amplitude_period / AMPLITUDES as f64)
                .collect(),
            settled,
            live,
            moments,
            dense: true,
        }
    }

    /// The moments alone, without the distribution.
    pub(crate) fn moments_of(unit: &Mdpu, operands: &Operands) -> Moments {
        let stage = Stage::new(unit, operands);
        if operands.groups().is_empty() {
            stage.moments(unit)
        } else {
            Self::group_moments(unit, operands, &stage)
        }
    }

    /// Its moments.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Log-amplitudes with their probabilities.
    pub(crate) fn loudness(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let rows = self.log_amplitudes.iter().zip(self.settled.chunks(PHASES));
        rows.map(|(&log_amplitude, row)| (log_amplitude, row.iter().sum())).filter(|(_, p)| *p > 0.0)
    }

    /// Cells with a probability, on a grid thinned to spacings of at most `spacing` rad and `log_spacing` nepers (the
    /// sum over a smooth density converges exponentially once the spacing is below the width of the integrand).
    pub(crate) fn cells(&self, spacing: f64, log_spacing: f64) -> Vec<Cell> {
        let thin = |step: f64, wanted: f64, most: usize| {
            let doubled = std::iter::successors(Some(1usize), |stride| Some(2 * stride));
            doubled
                .take_while(|&stride| stride <= most && (stride == 1 || stride as f64 * step <= wanted))
                .last()
                .unwrap_or(1)
        };
        let stride = thin(self.step, spacing, PHASES / 16);
        // At most three quarters of the standard deviation apart.
        let between = (self.log_amplitudes[1] - self.log_amplitudes[0]).abs();
        let skip = if self.dense { thin(between, log_spacing, AMPLITUDES / 32) } else { 1 };
        let scale = (stride * skip) as f64;
        let mut cells = Vec::new();
        for (row, &log_amplitude) in self.log_amplitudes.iter().enumerate().step_by(skip) {
            for column in (0..PHASES).step_by(stride) {
                let at = row * PHASES + column;
                let (settled, live) = (self.settled[at] * scale, self.live[at] * scale);
                let opposite = row * PHASES + (PHASES - column) % PHASES;
                let (settled_mirrored, mirrored) =
                    (self.settled[opposite] * scale, self.live[opposite] * scale);
                if live > 0.0 || settled > 0.0 || mirrored > 0.0 || settled_mirrored > 0.0 {
                    cells.push(Cell {
                        deviation: self.deviations[column],
                        log_amplitude,
                        settled,
                        live,
                        mirrored,
                        settled_mirrored,
                    });
                }
            }
        }
        cells
    }
}

impl Mdpu {
    /// Whether a unit with these parameters has the same [`Population`]: they may differ from its own in the distribution of
    /// light, in the receiver and in the ADCs, but not in what moves phase and amplitude.
    pub(crate) fn same_population(&self, other: &MdpuParameters) -> bool {
        let mut theirs = other.clone();
        let own = self.parameters();
        let (rin, linewidth, delay) = (theirs.link.rin, theirs.link.linewidth, theirs.link.delay_mismatch);
        let band = theirs.detector.bandwidth;
        (theirs.link, theirs.detector, theirs.adc) =
            (own.link.clone(), own.detector.clone(), own.adc.clone());
        (theirs.link.rin, theirs.link.linewidth, theirs.link.delay_mismatch) = (rin, linewidth, delay);
        theirs.detector.bandwidth = band;
        theirs == *own
    }
}

/// Characteristic function of the whole MDPU: rows of amplitude frequency -Q..=Q, columns of phase frequency 0..=N.
struct Transform {
    rows: usize,
    columns: usize,
    values: Vec<Complex64>,
}

struct Grid {
    phase_period: f64,
    amplitude_period: f64,
    phase_floor: f64,
    amplitude_floor: f64,
}

/// The index of a wrapped grid as a signed number.
fn wrapped(i: usize, n: usize) -> f64 {
    if i < n / 2 { i as f64 } else { i as f64 - n as f64 }
}

impl Grid {
    fn deviations(&self) -> Vec<f64> {
        (0..PHASES).map(|i| wrapped(i, PHASES) * self.phase_period / PHASES as f64).collect()
    }

    /// Probabilities of the cells, after further normal spreads of phase and log-amplitude.
    fn invert(&self, transform: &Transform, phase: f64, amplitude: f64) -> Vec<f64> {
        let mut field = vec![Complex64::ZERO; AMPLITUDES * PHASES];
        let (phase, amplitude) =
            (phase.powi(2) + self.phase_floor.powi(2), amplitude.powi(2) + self.amplitude_floor.powi(2));
        let middle = transform.rows as i64 / 2;
        let place = |q: i64, n: i64| {
            q.rem_euclid(AMPLITUDES as i64) as usize * PHASES + n.rem_euclid(PHASES as i64) as usize
        };
        for row in 0..transform.rows {
            let q = row as i64 - middle;
            let s = 2.0 * PI * q as f64 / self.amplitude_period;
            for column in 0..transform.columns {
                let k = 2.0 * PI * column as f64 / self.phase_period;
                let value = transform.values[row * transform.columns + column]
                    * (-0.5 * (k * k * phase + s * s * amplitude)).exp();
                field[place(q, column as i64)] = value;
                field[place(-q, -(column as i64))] = value.conj();
            }
        }
        let mut planner = FftPlannerScalar::new();
        planner.plan_fft_forward(PHASES).process(&mut field);
        let along = planner.plan_fft_forward(AMPLITUDES);
        let mut column_field = vec![Complex64::ZERO; AMPLITUDES];
        let mut cells = vec![0.0; AMPLITUDES * PHASES];
        let scale = 1.0 / (AMPLITUDES * PHASES) as f64;
        for column in 0..PHASES {
            for row in 0..AMPLITUDES {
                column_field[row] = field[row * PHASES + column];
            }
            along.process(&mut column_field);
            for row in 0..AMPLITUDES {
                cells[row * PHASES + column] = column_field[row].re * scale;
            }
        }
        discard_rounding(&mut cells);
        cells
    }
}

/// Cells whose probability is below the size of the most negative cell are rounding errors, and so is whatever lies
/// beyond the first such cell on the way out from a row's largest.
fn discard_rounding(cells: &mut [f64]) {
    let deepest = cells.iter().copied().fold(0.0, f64::min).abs();
    let level = (3.0 * deepest).max(1e-18);
    for row in cells.chunks_mut(PHASES) {
        let (mut peak, mut highest) = (0, 0.0);
        for (at, &value) in row.iter().enumerate() {
            if value > highest {
                (peak, highest) = (at, value);
            }
        }
        let reach = |direction: usize| {
            let inside = |step: &usize| row[(peak + step * direction) % PHASES] >= level;
            (0..PHASES / 2).take_while(inside).count()
        };
        let (after, before) = (reach(1), reach(PHASES - 1));
        for (at, value) in row.iter_mut().enumerate() {
            let ahead = (at + PHASES - peak) % PHASES;
            if ahead >= after && PHASES - ahead >= before {
                *value = 0.0;
            }
        }
    }
}
