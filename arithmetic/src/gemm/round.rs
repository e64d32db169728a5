//! Quantising one group of sixteen rows to the nearest mantissas: plain code over arrays, compiled for each path.
//!
//! Only ordinary groups are taken, whose scale's inverse is a normal f32, and groups of zeros; the functions return `false` for
//! all others, and the caller takes [`Rounder::group`](crate::bfp::Rounder::group), whose results these have bit for bit.

use super::CpuPath;
use super::packed::{LANES, Layout, Word};
use crate::bfp::ROUND;

/// Something for each of sixteen rows.
pub(super) type Lanes<T> = [T; LANES];

/// One group of sixteen rows.
pub(super) struct Cell {
    /// By step and lane.
    pub words: Vec<Lanes<u32>>,
    pub exponents: Lanes<i16>,
    /// Sums of the mantissas.
    pub sums: Lanes<i32>,
}

impl Cell {
    /// Sixteen groups of zeros, with `offset` added to each mantissa.
    pub fn clear(&mut self, layout: Layout, offset: i32) {
        let zeros = layout.word.join(std::iter::repeat_n(offset, layout.word.values()));
        self.words.clear();
        self.words.resize(layout.steps, [zeros; LANES]);
        self.exponents = [layout.format.zero_exponent(); LANES];
        self.sums = [0; LANES];
    }
}

/// Values that lie across: the K of a group, each for sixteen rows.
pub(super) fn across(path: CpuPath, layout: Layout, values: &[Lanes<f32>], offset: i32, cell: &mut Cell) -> bool {
    #[cfg(target_arch = "x86_64")]
    if path != CpuPath::Portable {
        assert!(CpuPath::Avx2.available());
        // SAFETY: the processor has AVX2 and FMA, as was just asserted; the function has no other precondition.
        return unsafe { across_avx2(layout, values, offset, cell) };
    }
    let _ = path;
    across_any(layout, values, offset, cell)
}

/// Values that lie along K: a group of one row, which goes to a lane of the cell.
pub(super) fn along(path: CpuPath, layout: Layout, values: &[f32], offset: i32, lane: usize, cell: &mut Cell) -> bool {
    #[cfg(target_arch = "x86_64")]
    if path != CpuPath::Portable {
        assert!(CpuPath::Avx2.available());
        // SAFETY: the processor has AVX2 and FMA, as was just asserted; the function has no other precondition.
        return unsafe { along_avx2(layout, values, offset, lane, cell) };
    }
    let _ = path;
    along_any(layout, values, offset, lane, cell)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn across_avx2(layout: Layout, values: &[Lanes<f32>], offset: i32, cell: &mut Cell) -> bool {
    across_any(layout, values, offset, cell)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn along_avx2(layout: Layout, values: &[f32], offset: i32, lane: usize, cell: &mut Cell) -> bool {
    along_any(layout, values, offset, lane, cell)
}

#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// The nearest mantissa: adding 1.5 2^23 leaves the rounded integer in the low bits of the sum.
#[inline(always)]
fn nearest(scaled: f32, largest: i32) -> i32 {
    ((scaled + ROUND).to_bits() as i32 - ROUND.to_bits() as i32).clamp(-largest, largest)
}

/// Exponent of the scale and the bits of its inverse, for groups whose largest magnitude has the bits `top`.
#[inline(always)]
fn scale_of(layout: Layout, top: u32) -> (i16, u32) {
    let (biased, bits) = ((top >> 23) as i32, i32::from(layout.format.mantissa_bits));
    if top == 0 { (layout.format.zero_exponent(), 0) } else { ((biased - 126 - bits) as i16, ((253 + bits - biased) as u32) << 23) }
}

/// Whether a group with this largest magnitude is taken here: the exponents of both the magnitude and the inverse are normal.
#[inline(always)]
fn ordinary(layout: Layout, top: u32) -> bool {
    let lowest = u32::from(layout.format.mantissa_bits - 1) << 23;
    top == 0 || (top >= lowest && top < f32::INFINITY.to_bits())
}

#[inline(always)]
fn across_any(layout: Layout, values: &[Lanes<f32>], offset: i32, cell: &mut Cell) -> bool {
    let mut tops = [0u32; LANES];
    for row in values {
        for lane in 0..LANES {
            tops[lane] = tops[lane].max(magnitude(row[lane]));
        }
    }
    if !tops.iter().fold(true, |all, &top| all & ordinary(layout, top)) {
        return false;
    }
    let mut inverse = [0f32; LANES];
    for lane in 0..LANES {
        let (exponent, bits) = scale_of(layout, tops[lane]);
        cell.exponents[lane] = exponent;
        inverse[lane] = f32::from_bits(bits);
    }
    let largest = layout.format.largest();
    let (count, shift, mask) = match layout.word {
        Word::Bytes => (4, 8, 0xff),
        Word::Halves => (2, 16, 0xffff),
    };
    let mut sums = [0i32; LANES];
    for (words, rows) in cell.words.iter_mut().zip(values.chunks(count)) {
        let mut joined = [0u32; LANES];
        for (i, row) in rows.iter().enumerate() {
            for lane in 0..LANES {
                let q = nearest(row[lane] * inverse[lane], largest);
                sums[lane] += q;
                joined[lane] |= ((q + offset) as u32 & mask) << (shift * i);
            }
        }
        *words = joined;
    }
    cell.sums = sums;
    true
}

#[inline(always)]
fn along_any(layout: Layout, values: &[f32], offset: i32, lane: usize, cell: &mut Cell) -> bool {
    // The usual size is known to the compiler.
    match (<&[f32; 16]>::try_from(values), layout.word) {
        (Ok(values), Word::Bytes) => along_words::<4>(layout, values, offset, lane, cell),
        (_, Word::Bytes) => along_words::<4>(layout, values, offset, lane, cell),
        (_, Word::Halves) => along_words::<2>(layout, values, offset, lane, cell),
    }
}

/// V values in a word.
#[inline(always)]
fn along_words<const V: usize>(layout: Layout, values: &[f32], offset: i32, lane: usize, cell: &mut Cell) -> bool {
    let top = values.iter().fold(0, |top, &x| u32::max(top, magnitude(x)));
    if !ordinary(layout, top) {
        return false;
    }
    let (exponent, inverse) = scale_of(layout, top);
    cell.exponents[lane] = exponent;
    let (inverse, largest) = (f32::from_bits(inverse), layout.format.largest());
    let (shift, mask) = (32 / V, u32::MAX >> (32 - 32 / V));
    let mut sum = 0;
    for (step, values) in values.chunks(V).enumerate() {
        let mut word = 0;
        for (i, &x) in values.iter().enumerate() {
            let q = nearest(x * inverse, largest);
            sum += q;
            word |= ((q + offset) as u32 & mask) << (shift * i);
        }
        cell.words[step][lane] = word;
    }
    cell.sums[lane] = sum;
    true
}
