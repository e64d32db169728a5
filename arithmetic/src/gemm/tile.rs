//! Tiles: some rows of A times one panel of B over some groups, added to sums in ascending order of the groups.
//!
//! Every path does the same arithmetic. With u the sum of a group's products of bytes, c its correction, and s the scale of
//! both groups, a group adds (u + c) s to the sum. u + c is the dot product, an integer, and scaling is exact
//! ([`Span::fits`](super::packed::Span::fits)); so it is all one whether a processor rounds after each step or fuses
//! multiplication and addition: the only rounding is that of the sum. Where a read is wrong, the error is
//! added to its dot product.

use std::ops::Range;

use super::packed::{First, LANES, Second, dot, of_both};
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

/// A dot product that is read wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patch {
    /// The block of rows in its tile, and the row in that block; a block has as many rows as the path takes at once.
    pub block: u16,
    pub row: u8,
    pub lane: u8,
    pub group: u32,
    pub truth: i32,
    pub value: i64,
}

impl Patch {
    /// Whether vectors hold what is read: less than 2^22, so that a sum with 1.5 2^23 is exact as well.
    pub fn narrow(&self) -> bool {
        self.value.unsigned_abs() < 1 << 22
    }

    /// What the dot product has too much.
    #[inline(always)]
    pub fn error(&self) -> i32 {
        (self.value as i32).wrapping_sub(self.truth)
    }
}

/// Adds a tile's groups to the sums of its rows, which are zeros before the first group, whatever there was; patches are narrow
/// and in the order of block and group.
pub(super) type Tile = fn(&First, &Second, Place, &[Patch], &mut [Sums]);

/// The patches of the block of number `block`, which stand at the head of `left`; they are taken from there.
#[inline]
pub(super) fn of_block<'a>(left: &mut &'a [Patch], block: usize) -> &'a [Patch] {
    let count = left.iter().take_while(|patch| usize::from(patch.block) == block).count();
    let (here, rest) = left.split_at(count);
    *left = rest;
    here
}

/// The patches at the head of `left` that lie in a group, with which the search goes on in the next; they are taken from there.
#[inline(always)]
pub(super) fn of_group<'a>(left: &mut &'a [Patch], group: usize) -> Option<&'a Patch> {
    let (patch, rest) = left.split_first()?;
    (patch.group as usize == group).then(|| {
        *left = rest;
        patch
    })
}

fn begin(groups: &Range<usize>, sums: &mut Sums) {
    if groups.start == 0 {
        *sums = [0.0; LANES];
    }
}

/// For any processor.
pub(super) fn portable(a: &First, b: &Second, at: Place, mut patches: &[Patch], sums: &mut [Sums]) {
    for (r, sums) in sums.iter_mut().enumerate() {
        portable_row(a, b, (at.row + r, at.panel), at.groups.clone(), of_block(&mut patches, r), sums);
    }
}

fn portable_row(
    a: &First,
    b: &Second,
    (row, panel): (usize, usize),
    groups: Range<usize>,
    mut patches: &[Patch],
    sums: &mut Sums,
) {
    let (word, steps) = (a.layout.word, a.layout.steps);
    let panel = b.panel(panel, groups.clone()).chunks_exact(b.layout.panel_group());
    let row = a.row(row, groups.clone()).chunks_exact(a.layout.row_group());
    begin(&groups, sums);
    for (group, (first, second)) in groups.zip(row.zip(panel)) {
        let mut dots = [first[steps + 1] as i32; LANES];
        while let Some(patch) = of_group(&mut patches, group) {
            let dot = &mut dots[usize::from(patch.lane)];
            *dot = dot.wrapping_add(patch.error());
        }
        for (&x, line) in first[..steps].iter().zip(second) {
            for (dot, &y) in dots.iter_mut().zip(&line.0) {
                *dot = dot.wrapping_add(word.dot(x, y));
            }
        }
        for ((sum, dot), &t) in sums.iter_mut().zip(dots).zip(&second[steps].0) {
            *sum += dot as f32 * of_both(first[steps], t);
        }
    }
}

/// A row with exponents of all kinds or patches that are not narrow, as the reference does it; all patches are the row's.
pub(super) fn any_row(a: &First, b: &Second, at: Place, mut patches: &[Patch], sums: &mut Sums) {
    begin(&at.groups, sums);
    for group in at.groups {
        // What nothing can change any more: products of values that are not finite are mostly such as a whole.
        if sums.iter().all(|sum| sum.is_nan()) {
            return;
        }
        let ea = a.exponents[at.row * a.groups + group];
        let eb = &b.exponents[at.panel * b.groups + group];
        let mut dots: [i64; LANES] =
            std::array::from_fn(|lane| dot(a, b, at.row, group, (at.panel, lane)).into());
        while let Some(patch) = of_group(&mut patches, group) {
            dots[usize::from(patch.lane)] = patch.value;
        }
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += scale(dots[lane] as f32, ea, eb[lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pack::Packer;
    use super::super::packed::Layout;
    use super::*;
    use crate::bfp::Rounder;
    use crate::{BfpFormat, CpuPath, Matrix};

    /// Patches of the largest values that vectors take, in every row and in lanes of both halves.
    #[test]
    fn the_largest_narrow_patches_are_exact() {
        let (rows, k) = (8, 48);
        let values: Vec<f32> = (0..rows * k).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect();
        for (path, mantissa_bits) in CpuPath::ALL
            .into_iter()
            .filter(|path| path.available())
            .flat_map(|path| [(path, 4), (path, 6), (path, 7)])
        {
            let format = BfpFormat { mantissa_bits, ..BfpFormat::mirage() };
            let layout = Layout::new(format);
            let packer = |operand| {
                let (rounder, matrix) =
                    (Rounder { format, key: [0; 2], operand }, Matrix::new(&values, rows, k));
                Packer { matrix, layout, rounder, path, parallel: false }
            };
            let (first, mut second) = (packer(0).first(), Second::new(layout, 1, 3));
            packer(1).second(0, &mut second);
            for value in [(1 << 22) - 1, 1 - (1 << 22), (1 << 21) + 1] {
                let patch = |row: usize| {
                    let (lane, group) = ((7 * row + 1) % 8, 1);
                    let truth = dot(&first, &second, row, group, (0, lane));
                    let (block, row_of_block) = (row / path.rows(), row % path.rows());
                    Patch {
                        block: block as u16,
                        row: row_of_block as u8,
                        lane: lane as u8,
                        group: 1,
                        truth,
                        value,
                    }
                };
                let patches: Vec<Patch> = (0..rows).map(patch).collect();
                assert!(patches.iter().all(Patch::narrow));
                let mut sums = vec![[0.5; LANES]; rows];
                path.tile()(&first, &second, Place { row: 0, panel: 0, groups: 0..3 }, &patches, &mut sums);
                for (row, sums) in sums.iter().enumerate() {
                    let mut plain = [0.25; LANES];
                    let at = Place { row, panel: 0, groups: 0..3 };
                    any_row(&first, &second, at, &patches[row..row + 1], &mut plain);
                    assert_eq!(sums[..rows], plain[..rows], "{path}, {mantissa_bits} bits, row {row}");
                }
            }
        }
    }
}
