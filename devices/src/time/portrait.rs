//! One sampled chip in pictures: eye, constellation, and interference by pairs of symbols.

use crate::error::DeviceError;
use crate::time::TimeParameters;
use crate::time::eye::{Eye, eye, settled};
use crate::time::isi::{PairDeviation, deviation, levels, pair_deviations};
use crate::time::rate::tile;
use crate::time::stream::{Symbol, Tile, Trace, stream, trace};
use crate::unit::chips::{Chip, operating};
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::rates::Operating;
use crate::unit::shifter::normal_pair;
use num_complex::Complex64;
use rand_pcg::Pcg64;
use serde::Serialize;

/// Tiles from which the eye is measured, symbols of each, and points of a symbol.
const EYE: (usize, usize, usize) = (12, 30, 100);
/// Symbols of each of these tiles whose traces are kept, and every how many points.
const KEPT: (usize, usize) = (5, 2);
/// Symbols of a tile.
const TILE: usize = 64;

/// One point of the eye: two symbols' time of (I, Q).
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

/// Samples a chip and `symbols` symbols in tiles of 64 from `seed`, with the light of one laser of `laser_power` W. The
/// converters sample `instant` seconds after the beginning of a symbol, or where the eye is widest.
///
/// # Errors
/// As [`stream`]; no symbols, or more than ten million.
pub fn portrait(
    unit: &Mdpu,
    operands: &Operands,
    laser_power: f64,
    time: &TimeParameters,
    instant: Option<f64>,
    symbols: usize,
    seed: u64,
) -> Result<Portrait, DeviceError> {
    if !(1..=10_000_000).contains(&symbols) {
        let problem = format!("{symbols} symbols are to be shown; give 1 to 10000000");
        return Err(DeviceError::Question(problem));
    }
    let mut rng = Pcg64::new(u128::from(seed), u128::from(unit.modulus()));
    let chip = Chip::sample(unit, operands, &mut rng);
    let operating = operating(unit, operands, laser_power);
    let mut traced: Vec<(Tile, Trace)> = Vec::new();
    for _ in 0..EYE.0 {
        let tile = tile(&chip, EYE.1, &mut rng);
        let trace = trace(&chip, time, &tile, EYE.2)?;
        traced.push((tile, trace));
    }
    let eye = eye(&chip, &traced);
    let instant = instant.unwrap_or_else(|| eye.instant());
    let tiles: Vec<Tile> =
        (0..symbols.div_ceil(TILE)).map(|at| tile(&chip, TILE.min(symbols - at * TILE), &mut rng)).collect();
    let streamed = stream(&chip, time, &tiles, instant)?;
    Ok(Portrait {
        instant,
        traces: traces(&operating, &chip, &traced),
        constellation: constellation(&operating, &chip, &tiles, &streamed, &mut rng),
        pairs: pair_deviations(&chip, &tiles, &streamed),
        eye,
    })
}

fn traces(operating: &Operating<'_>, chip: &Chip<'_>, traced: &[(Tile, Trace)]) -> Vec<EyePoint> {
    let mut points = Vec::new();
    for (at_tile, (tile, trace)) in traced.iter().enumerate() {
        // The first symbols follow no other.
        for (place, settled) in settled(chip, tile).iter().enumerate().skip(2).take(KEPT.0) {
            for at in (0..2 * trace.points).step_by(KEPT.1) {
                let field = trace.fields[place * trace.points + at];
                let [i_a, q_a] = operating.unit.detect(operating.light, field).0;
                points.push(EyePoint {
                    symbol: at_tile * KEPT.0 + place - 2,
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
    rng: &mut Pcg64,
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
        let noise = unit.noise([0.0; 2]);
        let ((along, across), (i, q)) = (normal_pair(rng), normal_pair(rng));
        let fluctuation =
            Complex64::from_polar(1.0 + noise.relative * along, noise.phase.hypot(dac.sqrt()) * across);
        let away = deviation(symbol.field * fluctuation, Complex64::ONE);
        let mean = operating.point(away.re, away.im);
        let (noisy_i_a, noisy_q_a) = (mean.i + mean.sigma_i * i, mean.q + mean.sigma_q * q);
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
