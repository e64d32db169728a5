//! The eye: how far fields stay away from the edges of their sectors, over the sampling instant.

use crate::time::stream::{Tile, Trace};
use crate::unit::chips::Chip;
use num_complex::Complex64;
use std::f64::consts::PI;

/// Openings that differ by less than this count as the same.
const SAME: f64 = 1e-3;

/// Vertical eye opening over the sampling instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Eye {
    /// Instants after the beginning of a symbol, s; as many symbols long as was asked.
    pub instants: Vec<f64>,
    /// The least distance of a symbol's field from the edge of its sector over that of the settled field, |f| sin(h - |phase
    /// deviation|) / (|settled| sin h) with half a sector h: 1 = no trace of other symbols, 0 = some symbol is on the edge,
    /// negative = some symbol is read wrongly even without noise. A field that is faint for a while shuts the eye too.
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

/// The eye of the traces of some tiles of one chip: the symbol that comes nearest to the edge of its sector.
///
/// It is looked for over `window` symbols from the beginning of each, and the first `window` symbols of a tile are left out: what was
/// before them is no symbol of the stream. Traces of no more than two windows give a shut eye.
pub fn eye(chip: &Chip<'_>, traced: &[(Tile, Trace)], window: usize) -> Eye {
    let half = PI / f64::from(chip.unit().modulus());
    let (points, period) = traced.first().map_or((0, 0.0), |(_, trace)| (trace.points, trace.period));
    let known: Vec<_> = traced.iter().map(|(tile, trace)| (settled(chip, tile), trace)).collect();
    let opening = |at: usize| -> f64 {
        let of_tile = |(settled, trace): &(Vec<Complex64>, &Trace)| -> f64 {
            let symbols = window..(settled.len() + 1).saturating_sub(window);
            let room = |k: usize| distance(trace.fields[k * points + at] / settled[k], half);
            symbols.map(room).fold(f64::INFINITY, f64::min)
        };
        let least = known.iter().map(of_tile).fold(f64::INFINITY, f64::min);
        if least.is_finite() { least } else { 0.0 }
    };
    let openings: Vec<f64> = (0..window * points).map(opening).collect();
    Eye {
        instants: (0..window * points).map(|at| at as f64 / points as f64 * period).collect(),
        best: middle_of_best(&openings),
        openings,
    }
}

/// Distance of a field, in units of the settled one, from the edge of a sector of `half` to both sides, over the settled field's.
fn distance(field: Complex64, half: f64) -> f64 {
    field.norm() * (half - field.arg().abs()).sin() / half.sin()
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
    fn distances_count_phase_and_amplitude() {
        let half = PI / 31.0;
        assert!((distance(Complex64::ONE, half) - 1.0).abs() < 1e-15);
        // The edges are lines through zero, so a field of half the size is half as far away.
        assert!((distance(Complex64::new(0.5, 0.0), half) - 0.5).abs() < 1e-15);
        assert!(distance(Complex64::from_polar(1.0, -half), half).abs() < 1e-14);
        // The line's normal form: x sin h - |y| cos h.
        let field = Complex64::new(0.9, -0.02);
        let expected = (field.re * half.sin() - field.im.abs() * half.cos()) / half.sin();
        assert!((distance(field, half) - expected).abs() < 1e-14);
        assert!(distance(Complex64::from_polar(1.0, 2.0 * half), half) < -0.9);
    }

    #[test]
    fn the_middle_of_a_plateau_is_chosen() {
        assert_eq!(middle_of_best(&[0.1, 0.9999, 1.0, 0.9999, 0.9999, 0.9999, 0.2]), 3);
        assert_eq!(middle_of_best(&[0.1, 0.5, 0.2]), 1);
        assert_eq!(middle_of_best(&[0.3, 0.2]), 0);
    }
}
