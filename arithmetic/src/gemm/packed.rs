//! How quantised operands lie in memory for the fast path.
//!
//! Mantissas stand in words of four bytes: four of up to 6 bits, or two of more. Words of the first operand are broadcast to
//! the lanes of a vector, where sixteen columns of the second operand stand side by side, a *panel*:
//!
//! ```text
//! first:   row 0: group 0: word 0, word 1, .., scale, correction | group 1: ..
//! second:  panel 0: group 0: line of word 0 (16 lanes), line of word 1, .., line of scales | group 1: ..
//! ```
//!
//! Processors multiply unsigned by signed bytes. Bytes of the second operand therefore have the largest mantissa L added, and
//! the *correction*, which is added to a dot product, is -L times the sum of the first operand's mantissas. Scales are powers of
//! two, the second operand's as f32. The first operand's are exponents in the place where f32 has them, so that the sum of both
//! words, as integers, is the f32 that scales a product: an addition that does not wait for the units that multiply. Groups of
//! zeros have the scale 1. Lanes beyond the last column hold anything.

use crate::BfpFormat;
use crate::bfp::ZERO;

/// Columns of a panel.
pub(super) const LANES: usize = 16;

/// One word of each column of a panel: a line of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub [u32; LANES]);

impl Line {
    pub const ZERO: Self = Self([0; LANES]);
}

/// What a word holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Four signed bytes in the first operand, four unsigned ones in the second.
    Bytes,
    /// Two signed halves in both.
    Halves,
}

/// The layout that a format takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub format: BfpFormat,
    pub word: Word,
    /// Words of a group.
    pub steps: usize,
    /// Words of bytes whose products are sure to add up within i16, two products in each half.
    pub run: usize,
}

impl Layout {
    /// Bytes where two products of a largest byte each, the second operand's being 2 L, are sure to add up within i16.
    pub fn new(format: BfpFormat) -> Self {
        let word = if format.mantissa_bits <= 6 { Word::Bytes } else { Word::Halves };
        let run = i16::MAX as usize / (4 * format.largest().pow(2) as usize);
        Self { format, word, steps: format.group.div_ceil(word.values()), run }
    }

    /// Words that a group of a row takes, with scale and correction.
    pub fn row_group(self) -> usize {
        self.steps + 2
    }

    /// Lines that a group of a panel takes, with scales.
    pub fn panel_group(self) -> usize {
        self.steps + 1
    }

    /// Bytes that a group of a panel takes, with exponents.
    pub fn panel_bytes(self) -> usize {
        self.panel_group() * size_of::<Line>() + LANES * size_of::<i16>()
    }

    /// What is added to mantissas of the second operand.
    pub fn offset(self) -> i32 {
        if self.word == Word::Bytes { self.format.largest() } else { 0 }
    }

    /// Groups of a panel that stay in the first-level cache while rows pass by.
    pub fn chunk(self) -> usize {
        (320 / self.panel_group()).clamp(1, 64)
    }

    /// The scale 2^e of a group of the first operand. It has a meaning where [`Span::fits`] lets it be used.
    pub fn scale(e: i16) -> u32 {
        if e == ZERO { 0 } else { (i32::from(e) << 23) as u32 }
    }
}

impl Word {
    /// Mantissas of a word.
    pub const fn values(self) -> usize {
        match self {
            Self::Bytes => 4,
            Self::Halves => 2,
        }
    }

    /// The word of up to `values()` mantissas; those that are missing are zeros.
    pub fn join(self, mantissas: impl Iterator<Item = i32>) -> u32 {
        let (bits, mask) = if self == Self::Bytes { (8, 0xff) } else { (16, 0xffff) };
        mantissas.enumerate().fold(0, |word, (i, q)| word | (q as u32 & mask) << (bits * i))
    }

    /// Product of a word of the first operand with one of the second, as processors form it.
    #[inline(always)]
    pub fn dot(self, first: u32, second: u32) -> i32 {
        match self {
            Self::Bytes => {
                let part =
                    |i: u32| i32::from((first >> (8 * i)) as i8) * i32::from((second >> (8 * i)) as u8);
                part(0) + part(1) + part(2) + part(3)
            }
            Self::Halves => {
                let part =
                    |i: u32| i32::from((first >> (16 * i)) as i16) * i32::from((second >> (16 * i)) as i16);
                part(0) + part(1)
            }
        }
    }
}

/// Bits of the f32 1: added to a scale of the first operand, they make it one of the second.
pub(super) const ONE: u32 = 1f32.to_bits();

/// The scale of a product of a group: that of the first operand times that of the second.
#[inline(always)]
pub(super) fn of_both(first: u32, second: u32) -> f32 {
    f32::from_bits(first.wrapping_add(second))
}

/// The lowest and the highest exponent of groups that are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    low: i16,
    high: i16,
}

impl Span {
    pub const EMPTY: Self = Self { low: i16::MAX, high: i16::MIN };

    pub fn new(low: i16, high: i16) -> Self {
        Self { low, high }
    }

    pub fn widen(&mut self, e: i16) {
        self.low = self.low.min(e);
        self.high = self.high.max(e);
    }

    pub fn with(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Whether f32 holds every scaled dot product of groups with these exponents exactly, and the scale itself as a normal number.
    ///
    /// A dot product is an integer, rounded to 24 bits. Times 2^e it is exact when e is at least -126 and at most 96.
    /// Each operand may have groups of zeros, which the other's meet by themselves.
    pub fn fits(self, second: Self) -> bool {
        let sum = |x, y| i32::from(x) + i32::from(y);
        let exact = |low, high| low > high || (low >= -126 && high <= 96);
        let both = (sum(self.low, second.low), sum(self.high, second.high));
        let alone = |s: Self| exact(s.low.into(), s.high.into());
        alone(self) && alone(second) && (self.empty() || second.empty() || exact(both.0, both.1))
    }

    fn empty(self) -> bool {
        self.low > self.high
    }
}

/// The first operand: rows of A.
pub(super) struct First {
    pub layout: Layout,
    pub groups: usize,
    /// By row and group: words, the scale, and the correction.
    pub words: Vec<u32>,
    /// By row and group.
    pub exponents: Vec<i16>,
    /// By row.
    pub spans: Vec<Span>,
}

impl First {
    pub fn new(layout: Layout, rows: usize, groups: usize) -> Self {
        Self {
            layout,
            groups,
            words: vec![0; rows * groups * layout.row_group()],
            exponents: vec![0; rows * groups],
            spans: vec![Span::EMPTY; rows],
        }
    }

    /// Words, scale and correction of some groups of a row.
    pub fn row(&self, row: usize, groups: std::ops::Range<usize>) -> &[u32] {
        let (at, size) = (row * self.groups, self.layout.row_group());
        &self.words[(at + groups.start) * size..(at + groups.end) * size]
    }
}

/// Some columns of the second operand, in panels.
pub(super) struct Second {
    pub layout: Layout,
    pub groups: usize,
    /// By panel and group: lines of words, and a line with the bits of the scales.
    pub lines: Vec<Line>,
    /// By panel, group and lane.
    pub exponents: Vec<[i16; LANES]>,
    /// By panel.
    pub spans: Vec<Span>,
}

impl Second {
    pub fn new(layout: Layout, panels: usize, groups: usize) -> Self {
        Self {
            layout,
            groups,
            lines: vec![Line::ZERO; panels * groups * layout.panel_group()],
            exponents: vec![[0; LANES]; panels * groups],
            spans: vec![Span::EMPTY; panels],
        }
    }

    /// Lines of some groups of a panel.
    pub fn panel(&self, panel: usize, groups: std::ops::Range<usize>) -> &[Line] {
        let (at, size) = (panel * self.groups, self.layout.panel_group());
        &self.lines[(at + groups.start) * size..(at + groups.end) * size]
    }
}

/// The true dot product of one group of a row and a column.
pub(super) fn dot(a: &First, b: &Second, row: usize, group: usize, (panel, lane): (usize, usize)) -> i32 {
    let Layout { word, steps, .. } = a.layout;
    let first = a.row(row, group..group + 1);
    let second = b.panel(panel, group..group + 1);
    if let (Word::Bytes, Ok(&[x, y, z, w, _, c]), Ok(lines)) =
        (word, <&[u32; 6]>::try_from(first), <&[Line; 5]>::try_from(second))
    {
        let [p, q, r, s, _] = lines.each_ref().map(|line| line.0[lane]);
        return dot_of_16([x, y, z, w], [p, q, r, s]) + c as i32;
    }
    let correction = first[steps + 1] as i32;
    first[..steps].iter().zip(second).map(|(&x, y)| word.dot(x, y.0[lane])).sum::<i32>() + correction
}

/// Products of four words of bytes, the usual size.
#[cfg(target_arch = "x86_64")]
fn dot_of_16(first: [u32; 4], second: [u32; 4]) -> i32 {
    // SAFETY: every x86-64 has SSE2; the function has no other precondition.
    unsafe { dot_sse2(first, second) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn dot_sse2([a, b, c, d]: [u32; 4], [e, f, g, h]: [u32; 4]) -> i32 {
    use std::arch::x86_64::*;
    let x = _mm_setr_epi32(a as i32, b as i32, c as i32, d as i32);
    let y = _mm_setr_epi32(e as i32, f as i32, g as i32, h as i32);
    let zero = _mm_setzero_si128();
    // Signed bytes go to the high halves and are shifted down.
    let low = _mm_madd_epi16(_mm_srai_epi16(_mm_unpacklo_epi8(zero, x), 8), _mm_unpacklo_epi8(y, zero));
    let high = _mm_madd_epi16(_mm_srai_epi16(_mm_unpackhi_epi8(zero, x), 8), _mm_unpackhi_epi8(y, zero));
    let sum = _mm_add_epi32(low, high);
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b01_00_11_10));
    _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b10_11_00_01)))
}

#[cfg(not(target_arch = "x86_64"))]
fn dot_of_16(first: [u32; 4], second: [u32; 4]) -> i32 {
    first.into_iter().zip(second).map(|(x, y)| Word::Bytes.dot(x, y)).sum()
}
