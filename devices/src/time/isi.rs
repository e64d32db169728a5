//! Inter-symbol interference by pairs of symbols.

use crate::time::eye::settled;
use crate::time::stream::{Symbol, Tile};
use crate::unit::chips::Chip;
use num_complex::Complex64;
use serde::Serialize;

/// How a symbol deviates from its settled answer, given its own level and that of the symbol before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairDeviation {
    /// Level of the symbol before.
    pub previous: usize,
    /// Level of the symbol that is read.
    pub present: usize,
    /// Symbols that were seen.
    pub count: usize,
    /// Mean phase deviation, rad.
    pub phase_mean_rad: f64,
    /// Its root mean square.
    pub phase_rms_rad: f64,
    /// Its largest magnitude.
    pub phase_worst_rad: f64,
    /// Mean deviation of the log of the field amplitude.
    pub amplitude_mean: f64,
    /// Its root mean square.
    pub amplitude_rms: f64,
}

/// Level of every symbol of a tile: the dot product's residue.
pub(crate) fn levels(tile: &Tile, modulus: usize) -> Vec<usize> {
    let dot = |x: &Vec<usize>| tile.stationary.iter().zip(x).map(|(w, x)| w * x).sum::<usize>() % modulus;
    tile.streamed.iter().map(dot).collect()
}

/// Log of `field` over `settled`: its real part is the deviation of the log-amplitude, its imaginary part that of the phase.
pub(crate) fn deviation(field: Complex64, settled: Complex64) -> Complex64 {
    let ratio = field / settled;
    Complex64::new(0.5 * libm::log(ratio.norm_sqr()), libm::atan2(ratio.im, ratio.re))
}

/// Deviations of the symbols of one stream by (previous, present) level, in this order; pairs that were not seen are left out.
/// A tile's first symbol has no symbol before it.
pub fn pair_deviations(chip: &Chip<'_>, tiles: &[Tile], symbols: &[Symbol]) -> Vec<PairDeviation> {
    let m = chip.unit().modulus() as usize;
    let known: Vec<_> = tiles.iter().map(|tile| (levels(tile, m), settled(chip, tile))).collect();
    let empty = PairDeviation {
        previous: 0,
        present: 0,
        count: 0,
        phase_mean_rad: 0.0,
        phase_rms_rad: 0.0,
        phase_worst_rad: 0.0,
        amplitude_mean: 0.0,
        amplitude_rms: 0.0,
    };
    let mut table = vec![empty; m * m];
    for symbol in symbols.iter().filter(|symbol| symbol.place > 0) {
        let (levels, settled) = &known[symbol.tile];
        let (previous, present) = (levels[symbol.place - 1], levels[symbol.place]);
        let deviation = deviation(symbol.field, settled[symbol.place]);
        let row = &mut table[previous * m + present];
        (row.previous, row.present, row.count) = (previous, present, row.count + 1);
        row.phase_mean_rad += deviation.im;
        row.phase_rms_rad += deviation.im * deviation.im;
        row.phase_worst_rad = row.phase_worst_rad.max(deviation.im.abs());
        row.amplitude_mean += deviation.re;
        row.amplitude_rms += deviation.re * deviation.re;
    }
    table.retain(|row| row.count > 0);
    for row in &mut table {
        let n = row.count as f64;
        row.phase_mean_rad /= n;
        row.amplitude_mean /= n;
        row.phase_rms_rad = (row.phase_rms_rad / n).sqrt();
        row.amplitude_rms = (row.amplitude_rms / n).sqrt();
    }
    table
}
