//! One sampled chip in pictures: eye, constellation, and interference by pairs of symbols.

use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::noise::Seeds;
use crate::time::TimeParameters;
use crate::time::eye::{Eye, eye, settled};
use crate::time::isi::{PairDeviation, deviation, levels, pair_deviations};
use crate::time::rate::tile;
use crate::time::stream::{Symbol, Tile, Trace, stream, trace};
use crate::unit::chips::{Chip, operating};
use crate::unit::mmu::Mdpu;
use crate::unit::noise_draws::NoiseDraws;
use crate::unit::operands::Operands;
use crate::unit::rates::Operating;
use num_complex::Complex64;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;

/// Tiles from which the eye is measured, symbols of each besides those that the window takes, and points of a symbol.
const EYE: (usize, usize, usize) = (12, 27, 100);
/// Symbols over which an eye is looked for at most.
const LONGEST_WINDOW: usize = 12;
/// Symbols of each of these tiles whose traces are kept, and every how many points.
const KEPT: (usize, usize) = (5, 2);
/// Symbols of a tile.
const TILE: usize = 64;

/// Symbols that a portrait shows at most.
pub const MOST_SYMBOLS: usize = 20_000;

/// What a portrait is taken of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sitting {
    /// When the converters sample, s after the beginning of a symbol; none = where the eye is widest.
    pub instant: Option<f64>,
    /// Symbols of the constellation.
    pub symbols: usize,
    /// Seed of the chip and the symbols.
    pub seed: u64,
    /// Seeds of the noise of the reads, source by source.
    pub noise: Seeds,
}

/// One point of the eye: (I, Q) of a symbol over the eye's instants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EyePoint {
    /// Which symbol.
    pub symbol: usize,
    /// Time after its beginning, s.
    pub time_s: f64,
    /// I, A.
    pub i_a: f64,
    /// Q, A.
    pub q_a: f64,
    /// Phase deviation from the symbol's settled answer, rad.
    pub phase_deviation_rad: f64,
}

/// One symbol at its sampling instant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ConstellationPoint {
    /// Its true level.
    pub level: usize,
    /// I without noise, A.
    pub i_a: f64,
    /// Q without noise, A.
    pub q_a: f64,
    /// I if the symbol had settled, A.
    pub settled_i_a: f64,
    /// Q if the symbol had settled, A.
    pub settled_q_a: f64,
    /// I with a draw of the noise, A.
    pub noisy_i_a: f64,
    /// Q with it, A.
    pub noisy_q_a: f64,
    /// Level that is read from these.
    pub read: usize,
}

/// What one sampled chip shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Portrait {
    /// Sampling instant after the beginning of a symbol, s.
    pub instant: f64,
    /// Opening over the instant.
    pub eye: Eye,
    /// Traces of some symbols.
    pub traces: Vec<EyePoint>,
    /// The symbols at the sampling instant.
    pub constellation: Vec<ConstellationPoint>,
    /// Deviations by (previous, present) level.
    pub pairs: Vec<PairDeviation>,
}

/// Samples a chip and its symbols in tiles of 64, with the light of one laser of `laser_power` W.
///
/// # Errors
/// As [`stream`]; no symbols, or more than [`MOST_SYMBOLS`].
pub fn portrait(
    unit: &Mdpu,
    operands: &Operands,
    laser_power: f64,
    time: &TimeParameters,
    sitting: Sitting,
) -> Result<Portrait, DeviceError> {
    let Sitting { instant, symbols, seed, noise } = sitting;
    if !(1..=MOST_SYMBOLS).contains(&symbols) {
        let problem = format!("{symbols} symbols are to be shown; give 1 to {MOST_SYMBOLS}");
        return Err(DeviceError::Question(problem));
    }
    let mut rng = generator(seed, Domain::Portrait, [u64::from(unit.modulus()), 0]);
    let chip = Chip::sample(unit, operands, &mut rng);
    let operating = operating(unit, operands, laser_power);
    let (traced, eye) = look(&chip, time, &mut rng)?;
    let instant = instant.unwrap_or_else(|| eye.instant());
    let tiles: Vec<Tile> =
        (0..symbols.div_ceil(TILE)).map(|at| tile(&chip, TILE.min(symbols - at * TILE), &mut rng)).collect();
    let streamed = stream(&chip, time, &tiles, instant)?;
    Ok(Portrait {
        instant,
        traces: traces(&eye, &operating, &chip, &traced),
        constellation: constellation(
            &operating,
            &chip,
            &tiles,
            &streamed,
            &mut NoiseDraws::new(noise, unit.modulus()),
        ),
        pairs: pair_deviations(&chip, &tiles, &streamed),
        eye,
    })
}

/// Symbols over which the eye of a unit is looked for: two, and the whole symbols for which the rings of half of its digits hold
/// the light back, 2 tau each; at most [`LONGEST_WINDOW`].
fn window(unit: &Mdpu, time: &TimeParameters) -> usize {
    let digits = unit.parameters().group * unit.digits().count();
    let late = digits as f64 * time.ring_lifetime * time.clock;
    (2 + late.min(1e3) as usize).min(LONGEST_WINDOW)
}

/// The eye of a chip, and what it was taken from.
fn look(
    chip: &Chip<'_>,
    time: &TimeParameters,
    rng: &mut Pcg64,
) -> Result<(Vec<(Tile, Trace)>, Eye), DeviceError> {
    let window = window(chip.unit(), time);
    let tiles: Vec<Tile> = (0..EYE.0).map(|_| tile(chip, EYE.1 + 2 * window - 1, rng)).collect();
    let traced = tiles.into_par_iter().map(|tile| {
        let trace = trace(chip, time, &tile, EYE.2)?;
        Ok((tile, trace))
    });
    let traced = traced.collect::<Result<Vec<_>, DeviceError>>()?;
    let eye = eye(chip, &traced, window);
    Ok((traced, eye))
}

/// The eye of the chip that [`portrait`] shows with the same seed.
///
/// # Errors
/// As [`stream`].
pub fn eye_of(
    unit: &Mdpu,
    operands: &Operands,
    time: &TimeParameters,
    seed: u64,
) -> Result<Eye, DeviceError> {
    let mut rng = generator(seed, Domain::Portrait, [u64::from(unit.modulus()), 0]);
    Ok(look(&Chip::sample(unit, operands, &mut rng), time, &mut rng)?.1)
}

fn traces(eye: &Eye, operating: &Operating<'_>, chip: &Chip<'_>, traced: &[(Tile, Trace)]) -> Vec<EyePoint> {
    let mut points = Vec::new();
    for (at_tile, (tile, trace)) in traced.iter().enumerate() {
        // The first symbols follow no others.
        let first = eye.openings.len() / trace.points;
        for (place, settled) in settled(chip, tile).iter().enumerate().skip(first).take(KEPT.0) {
            for at in (0..eye.openings.len()).step_by(KEPT.1) {
                let field = trace.fields[place * trace.points + at];
                let [i_a, q_a] = operating.unit.detect(operating.light, field).0;
                points.push(EyePoint {
                    symbol: at_tile * KEPT.0 + place - first,
                    time_s: at as f64 / trace.points as f64 * trace.period,
                    i_a,
                    q_a,
                    phase_deviation_rad: deviation(field, *settled).im,
                });
            }
        }
    }
    points
}

fn constellation(
    operating: &Operating<'_>,
    chip: &Chip<'_>,
    tiles: &[Tile],
    symbols: &[Symbol],
    noise: &mut NoiseDraws,
) -> Vec<ConstellationPoint> {
    let unit = operating.unit;
    let known: Vec<_> =
        tiles.iter().map(|tile| (levels(tile, unit.modulus() as usize), settled(chip, tile))).collect();
    let currents = |field: Complex64| unit.detect(operating.light, field).0;
    let mut point = |symbol: &Symbol| {
        let (levels, settled) = &known[symbol.tile];
        let ([i_a, q_a], [settled_i_a, settled_q_a]) =
            (currents(symbol.field), currents(settled[symbol.place]));
        let tile = &tiles[symbol.tile];
        let pairs = tile.stationary.iter().zip(&tile.streamed[symbol.place]);
        let dac: f64 = pairs.map(|(&w, &x)| unit.dac_phase_variance(w, x)).sum();
        let [noisy_i_a, noisy_q_a] = noise.read(operating, symbol.field, dac);
        ConstellationPoint {
            level: levels[symbol.place],
            i_a,
            q_a,
            settled_i_a,
            settled_q_a,
            noisy_i_a,
            noisy_q_a,
            read: operating.readout.decide(noisy_i_a, noisy_q_a),
        }
    };
    symbols.iter().map(&mut point).collect()
}
