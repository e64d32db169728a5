//! Tiles: some rows of A times one panel of B over some groups, added to sums in ascending order of the groups.
//!
//! Every path does the same arithmetic. With u the sum of a group's products of bytes, c its correction, and s and t the scales
//! of both groups, a group adds (s (u - c)) t to the sum. u - c is the dot product, an integer that f32 holds, and both scalings
//! are exact ([`Span::fits`](super::packed::Span::fits)); so it is all one whether a processor rounds after each step or fuses
//! multiplication and addition: the only rounding is that of the sum.

use std::ops::Range;

use super::packed::{First, LANES, Second};
use crate::bfp::scale;

/// Sums of the columns of a panel, for one row.
pub(super) type Sums = [f32; LANES];

/// Where a tile lies.
#[derive(Clone)]
pub(super) struct Place {
    /// The first row; there are as many as sums.
    pub row: usize,
    pub panel: usize,
    pub groups: Range<usize>,
}

/// Adds a tile's groups to the sums of its rows.
pub(super) type Tile = fn(&First, &Second, Place, &mut [Sums]);

/// For any processor.
pub(super) fn portable(a: &First, b: &Second, at: Place, sums: &mut [Sums]) {
    let (word, steps) = (a.layout.word, a.layout.steps);
    let panel = b.panel(at.panel, at.groups.clone());
    for (r, sums) in sums.iter_mut().enumerate() {
        let row = a.row(at.row + r, at.groups.clone());
        let groups = row.chunks_exact(a.layout.row_group()).zip(panel.chunks_exact(b.layout.panel_group()));
        for (first, second) in groups {
            let mut dots = [0i32; LANES];
            for (&x, line) in first[..steps].iter().zip(second) {
                for (dot, &y) in dots.iter_mut().zip(&line.0) {
                    *dot += word.dot(x, y);
                }
            }
            let (s, c) = (f32::from_bits(first[steps]), f32::from_bits(first[steps + 1]));
            for ((sum, dot), &t) in sums.iter_mut().zip(dots).zip(&second[steps].0) {
                *sum += (dot as f32 * s + c) * f32::from_bits(t);
            }
        }
    }
}

/// For exponents of all kinds, as the reference does it.
pub(super) fn any_exponent(a: &First, b: &Second, at: Place, sums: &mut [Sums]) {
    for (r, sums) in sums.iter_mut().enumerate() {
        let row = at.row + r;
        for group in at.groups.clone() {
            let ea = a.exponents[row * a.groups + group];
            let eb = &b.exponents[at.panel * b.groups + group];
            for (lane, sum) in sums.iter_mut().enumerate() {
                let dot = super::packed::dot(a, b, row, group, (at.panel, lane));
                *sum += scale(dot as f32, ea, eb[lane]);
            }
        }
    }
}
