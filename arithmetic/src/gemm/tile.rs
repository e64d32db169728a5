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

/// A product that is read wrong: it takes the place of the true one in one element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    /// The block of rows in its tile, and the row in that block; a block has as many rows as the path takes at once.
    pub block: u16,
    pub row: u8,
    pub lane: u8,
    pub group: u32,
    /// Scaled as the sums are.
    pub product: f32,
}

/// Adds a tile's groups to the sums of its rows; patches are in the order of block and group.
pub(super) type Tile = fn(&First, &Second, Place, &[Patch], &mut [Sums]);

/// The patches of the block of number `block`, which stand at the head of `left`; they are taken from there.
#[inline]
pub(super) fn of_block<'a>(left: &mut &'a [Patch], block: usize) -> &'a [Patch] {
    let count = left.iter().take_while(|patch| usize::from(patch.block) == block).count();
    let (here, rest) = left.split_at(count);
    *left = rest;
    here
}

/// Adds groups to the sums of a block by `add`, cut where patches lie: the groups before, then the group by itself, after which
/// the wrong product is added to what there was before, then the groups after it.
#[inline(always)]
pub(super) fn cut<const R: usize>(
    groups: Range<usize>,
    patches: &[Patch],
    sums: &mut [Sums; R],
    add: impl Fn(Range<usize>, &mut [Sums; R]),
) {
    let mut next = groups.start;
    for patches in patches.chunk_by(|x, y| x.group == y.group) {
        let group = patches[0].group as usize;
        if next < group {
            add(next..group, sums);
        }
        let before = *sums;
        add(group..group + 1, sums);
        for patch in patches {
            let (row, lane) = (usize::from(patch.row), usize::from(patch.lane));
            sums[row][lane] = before[row][lane] + patch.product;
        }
        next = group + 1;
    }
    if next < groups.end {
        add(next..groups.end, sums);
    }
}

/// For any processor.
pub(super) fn portable(a: &First, b: &Second, at: Place, mut patches: &[Patch], sums: &mut [Sums]) {
    for (r, sums) in sums.as_chunks_mut::<1>().0.iter_mut().enumerate() {
        cut(at.groups.clone(), of_block(&mut patches, r), sums, |groups, sums| {
            portable_row(a, b, (at.row + r, at.panel), groups, &mut sums[0]);
        });
    }
}

fn portable_row(a: &First, b: &Second, (row, panel): (usize, usize), groups: Range<usize>, sums: &mut Sums) {
    let (word, steps) = (a.layout.word, a.layout.steps);
    let panel = b.panel(panel, groups.clone());
    let row = a.row(row, groups);
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

/// For exponents of all kinds, as the reference does it; blocks of one row.
pub(super) fn any_exponent(a: &First, b: &Second, at: Place, mut patches: &[Patch], sums: &mut [Sums]) {
    for (r, sums) in sums.as_chunks_mut::<1>().0.iter_mut().enumerate() {
        let row = at.row + r;
        cut(at.groups.clone(), of_block(&mut patches, r), sums, |groups, sums| {
            for group in groups {
                let ea = a.exponents[row * a.groups + group];
                let eb = &b.exponents[at.panel * b.groups + group];
                for (lane, sum) in sums[0].iter_mut().enumerate() {
                    let dot = super::packed::dot(a, b, row, group, (at.panel, lane));
                    *sum += scale(dot as f32, ea, eb[lane]);
                }
            }
        });
    }
}
