//! Quantising to the nearest mantissas.
//!
//! Only ordinary groups are taken, whose scale's inverse is a normal f32, and groups of zeros; the functions refuse all others,
//! and the caller takes [`Rounder::group`](crate::bfp::Rounder::group), whose results these have bit for bit. Beside the plain
//! code, AVX2 and AVX-512 have functions of their own for words of bytes.

use super::CpuPath;
use super::packed::{LANES, Layout, Span, Word};
use crate::bfp::{ROUND, ZERO};

/// Something for each of sixteen rows.
pub(super) type Lanes<T> = [T; LANES];

/// One group of sixteen rows.
pub(super) struct Cell {
    /// By step and lane.
    pub words: Vec<Lanes<u32>>,
    pub exponents: Lanes<i16>,
    /// Scales as the first operand has them.
    pub scales: Lanes<u32>,
    /// Sums of the mantissas.
    pub sums: Lanes<i32>,
    /// Exponents of all groups so far.
    pub low: Lanes<i16>,
    pub high: Lanes<i16>,
}

/// The scale of a group.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub exponent: i16,
    /// 2^exponent as the first operand has it, and bits of its inverse; 0 for a group of zeros.
    pub bits: u32,
    pub inverse: u32,
}

impl Cell {
    pub fn new(layout: Layout) -> Self {
        let (zero, words) = ([0; LANES], vec![[0; LANES]; layout.steps]);
        let (low, high) = ([i16::MAX; LANES], [i16::MIN; LANES]);
        Self { words, exponents: [0; LANES], scales: zero, sums: [0; LANES], low, high }
    }

    /// Forgets which exponents there were.
    pub fn restart(&mut self) {
        (self.low, self.high) = ([i16::MAX; LANES], [i16::MIN; LANES]);
    }

    /// Sixteen groups of zeros, with `offset` added to each mantissa.
    pub fn clear(&mut self, layout: Layout, offset: i32) {
        let zeros = layout.word.join(std::iter::repeat_n(offset, layout.word.values()));
        self.words.clear();
        self.words.resize(layout.steps, [zeros; LANES]);
        self.exponents = [ZERO; LANES];
        self.scales = [0; LANES];
        self.sums = [0; LANES];
    }
}

/// Values that lie across: some K of a group, each for sixteen rows that lie side by side.
#[derive(Clone, Copy)]
pub(super) struct Across<'a> {
    values: &'a [f32],
    /// From one K to the next.
    stride: usize,
    count: usize,
}

impl<'a> Across<'a> {
    /// `count` K, the first at the beginning of `values`.
    pub fn new(values: &'a [f32], stride: usize, count: usize) -> Self {
        Self { values, stride, count }
    }

    /// The values of one K; `None` where there are no more.
    #[inline(always)]
    pub fn get(self, k: usize) -> Option<&'a Lanes<f32>> {
        if k < self.count { self.values[k * self.stride..].first_chunk() } else { None }
    }

    #[inline(always)]
    pub fn iter(self) -> impl Iterator<Item = &'a Lanes<f32>> {
        (0..self.count).filter_map(move |k| self.get(k))
    }
}

/// Quantises one group of sixteen rows, with `offset` added to each mantissa and to those of K that are missing; `false` when it
/// is not ordinary.
pub(super) fn across(
    path: CpuPath,
    layout: Layout,
    values: Across<'_>,
    offset: i32,
    cell: &mut Cell,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if path == CpuPath::Avx512 && layout.word == Word::Bytes && layout.steps == super::round_avx512::STEPS {
        return super::round_avx512::across(layout, values, offset, cell);
    }
    #[cfg(target_arch = "x86_64")]
    if path != CpuPath::Portable && layout.word == Word::Bytes {
        return super::round_avx2::across(layout, values, offset, cell);
    }
    let _ = path;
    across_any(layout, values, offset, cell)
}

/// Takes the groups of a row.
pub(super) trait Sink {
    /// Words, scale, and sum of the mantissas of a group.
    fn put(&mut self, group: usize, words: [u32; 4], scale: Scale, sum: i32);
}

/// Quantises groups of 16 to bytes, along a row, from group `from` on until one is not ordinary; returns its number, or that of
/// all groups. `offset` is added to each mantissa.
pub(super) fn along(
    path: CpuPath,
    layout: Layout,
    (values, from): (&[[f32; 16]], usize),
    offset: i32,
    span: &mut Span,
    sink: &mut impl Sink,
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if path != CpuPath::Portable {
        return super::round_avx2::along(layout, (values, from), offset, span, sink);
    }
    let _ = path;
    for (group, values) in values.iter().enumerate().skip(from) {
        let top = values.iter().fold(0, |top, &x| u32::max(top, magnitude(x)));
        if !ordinary(layout, top) {
            return group;
        }
        let scale = scale_of(layout, top);
        let q = values.map(|x| nearest(x * f32::from_bits(scale.inverse), layout.format.largest()));
        let words = q.as_chunks::<4>().0;
        let words = std::array::from_fn(|step| Word::Bytes.join(words[step].iter().map(|q| q + offset)));
        if top != 0 {
            span.widen(scale.exponent);
        }
        sink.put(group, words, scale, q.iter().sum());
    }
    values.len()
}

/// Bits of |x|, which are in the order of |x|.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// The nearest mantissa: adding 1.5 2^23 leaves the rounded integer in the low bits of the sum.
#[inline(always)]
fn nearest(scaled: f32, largest: i32) -> i32 {
    ((scaled + ROUND).to_bits() as i32 - ROUND.to_bits() as i32).clamp(-largest, largest)
}

/// The scale of an ordinary group whose largest magnitude has the bits `top`.
#[inline(always)]
pub(super) fn scale_of(layout: Layout, top: u32) -> Scale {
    let (biased, b) = ((top >> 23) as i32, i32::from(layout.format.mantissa_bits));
    let exponent = biased - 126 - b;
    let inverse = ((253 + b - biased) as u32) << 23;
    if top == 0 {
        Scale { exponent: ZERO, bits: 0, inverse: 0 }
    } else {
        Scale { exponent: exponent as i16, bits: (exponent << 23) as u32, inverse }
    }
}

/// Whether a group with this largest magnitude is taken here: the exponents of both the magnitude and the inverse are normal.
#[inline(always)]
pub(super) fn ordinary(layout: Layout, top: u32) -> bool {
    let lowest = u32::from(layout.format.mantissa_bits - 1) << 23;
    top == 0 || (top >= lowest && top < f32::INFINITY.to_bits())
}

/// Scales of sixteen groups with these largest magnitudes go into the cell; returns their inverses, and `None` when one of the
/// groups is not ordinary.
#[inline(always)]
pub(super) fn scales(layout: Layout, tops: &Lanes<u32>, cell: &mut Cell) -> Option<Lanes<f32>> {
    if !tops.iter().fold(true, |all, &top| all & ordinary(layout, top)) {
        return None;
    }
    let mut inverse = [0f32; LANES];
    for lane in 0..LANES {
        let scale = scale_of(layout, tops[lane]);
        inverse[lane] = f32::from_bits(scale.inverse);
        cell.exponents[lane] = scale.exponent;
        cell.scales[lane] = scale.bits;
        let (low, high) =
            if tops[lane] == 0 { (i16::MAX, i16::MIN) } else { (scale.exponent, scale.exponent) };
        cell.low[lane] = cell.low[lane].min(low);
        cell.high[lane] = cell.high[lane].max(high);
    }
    Some(inverse)
}

fn across_any(layout: Layout, values: Across<'_>, offset: i32, cell: &mut Cell) -> bool {
    let mut tops = [0u32; LANES];
    for row in values.iter() {
        for lane in 0..LANES {
            tops[lane] = tops[lane].max(magnitude(row[lane]));
        }
    }
    let Some(inverse) = scales(layout, &tops, cell) else { return false };
    let largest = layout.format.largest();
    let (count, shift, mask) = match layout.word {
        Word::Bytes => (4, 8, 0xff),
        Word::Halves => (2, 16, 0xffff),
    };
    let mut sums = [0i32; LANES];
    for (step, words) in cell.words.iter_mut().enumerate() {
        *words = [0; LANES];
        for i in 0..count {
            let row = values.get(step * count + i).unwrap_or(&[0.0; LANES]);
            for lane in 0..LANES {
                let q = nearest(row[lane] * inverse[lane], largest);
                sums[lane] += q;
                words[lane] |= ((q + offset) as u32 & mask) << (shift * i);
            }
        }
    }
    cell.sums = sums;
    true
}
