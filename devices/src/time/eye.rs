//! The eye: how much of the way to the sector's edge is left, over the sampling instant.

use crate::time::stream::{Tile, Trace};
use crate::unit::chips::Chip;
use num_complex::Complex64;
use std::f64::consts::PI;

/// Symbols at the beginning that are not looked at: what was before them is no symbol of the stream.
const WARM_UP: usize = 2;
/// Openings that differ by less than this count as the same.
const SAME: f64 = 1e-3;

/// Vertical eye opening over the sampling instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Eye {
    /// Instants after the beginning of a symbol, s; two symbols long.
    pub instants: Vec<f64>,
    /// 1 - the largest phase deviation over half a sector: 1 = no trace of other symbols, 0 = some symbol is on the edge,
    /// negative = some symbol is read wrongly even without noise.
    pub openings: Vec<f64>,
    /// Index of the middle of the instants whose opening is within a thousandth of the largest.
    pub best: usize,
}

impl Eye {
    /// The best instant after the beginning of a symbol, s.
    pub fn instant(&self) -> f64 {
        self.instants[self.best]
    }

    /// The opening there.
    pub fn opening(&self) -> f64 {
        self.openings[self.best]
    }
}

/// The settled field of every symbol of a tile.
pub(crate) fn settled(chip: &Chip<'_>, tile: &Tile) -> Vec<Complex64> {
    let reads: Vec<_> = tile.streamed.iter().map(|x| (tile.stationary.clone(), x.clone())).collect();
    chip.chains().fields(&reads)
}

/// The eye of the traces of some tiles of one chip: the largest deviation of a symbol from its own settled answer.
///
/// Traces of fewer than four symbols give a shut eye.
pub fn eye(chip: &Chip<'_>, traced: &[(Tile, Trace)]) -> Eye {
    let half = PI / f64::from(chip.unit().modulus());
    let (points, period) = traced.first().map_or((0, 0.0), |(_, trace)| (trace.points, trace.period));
    let known: Vec<_> = traced.iter().map(|(tile, trace)| (settled(chip, tile), trace)).collect();
    let opening = |at: usize| -> f64 {
        let of_tile = |(settled, trace): &(Vec<Complex64>, &Trace)| -> f64 {
            let symbols = WARM_UP..settled.len().saturating_sub(1);
            let deviation = |k: usize| (trace.fields[k * points + at] * settled[k].conj()).arg().abs();
            symbols.clone().map(deviation).fold(if symbols.is_empty() { PI } else { 0.0 }, f64::max)
        };
        1.0 - known.iter().map(of_tile).fold(0.0, f64::max) / half
    };
    let openings: Vec<f64> = (0..2 * points).map(opening).collect();
    Eye {
        instants: (0..2 * points).map(|at| at as f64 / points as f64 * period).collect(),
        best: middle_of_best(&openings),
        openings,
    }
}

/// The middle of the run of values within [`SAME`] of the largest that holds the largest.
fn middle_of_best(openings: &[f64]) -> usize {
    let largest = openings.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let top = openings.iter().position(|&o| o >= largest).unwrap_or(0);
    let good = |o: &&f64| **o >= largest - SAME;
    let after = openings[top..].iter().take_while(good).count();
    let before = openings[..top].iter().rev().take_while(good).count();
    (2 * top + after - before).saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_plateau_is_chosen() {
        assert_eq!(middle_of_best(&[0.1, 0.9999, 1.0, 0.9999, 0.9999, 0.9999, 0.2]), 3);
        assert_eq!(middle_of_best(&[0.1, 0.5, 0.2]), 1);
        assert_eq!(middle_of_best(&[0.3, 0.2]), 0);
    }
}
