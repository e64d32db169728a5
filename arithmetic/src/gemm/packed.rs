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
//! the *correction* takes L times the sum of the first operand's mantissas away again, scaled as they are. Scales are f32 powers
//! of two; that of a group of zeros is 0, that of a group that is not finite NaN.

use crate::BfpFormat;
use crate::bfp::POISON;

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
    /// Bytes where the sum of products, at most 2 L^2 g, is an exact f32.
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

    /// The f32 that stands for the scale 2^e; 2^e itself where [`Span::fits`] lets it be used.
    pub fn scale(self, e: i16) -> f32 {
        match e {
            POISON => f32::NAN,
            e if e == self.format.zero_exponent() => 0.0,
            e if e < -149 => 0.0,
            e if e < -126 => f32::from_bits(1 << (e + 149)),
            e => f32::from_bits(((i32::from(e) + 127) as u32) << 23),
        }
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

    /// The same with `offset` taken away from each mantissa of the second.
    #[inline(always)]
    fn dot_without(self, first: u32, second: u32, offset: i32) -> i32 {
        match self {
            Self::Bytes => {
                let [x, y] = [first, second].map(u32::to_le_bytes);
                let part = |i: usize| i32::from(x[i] as i8) * (i32::from(y[i]) - offset);
                part(0) + part(1) + part(2) + part(3)
            }
            Self::Halves => self.dot(first, second),
        }
    }
}

/// The lowest and the highest exponent of groups that are neither zero nor without meaning.
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

    /// Whether f32 holds every scaled dot product of groups with these exponents exactly.
    ///
    /// A dot product is an integer of 24 bits, or was rounded to as many. Times 2^e it is exact when e is at least -149,
    /// the exponent of the smallest subnormal, and at most 100. The first operand's scale is applied by itself.
    pub fn fits(self, second: Self) -> bool {
        let (first, none) = (self, |s: Self| s.low > s.high);
        let alone =
            (none(first) || (first.low >= -149 && first.high <= 100)) && (none(second) || second.low >= -149);
        alone
            && (none(first)
                || none(second)
                || (first.low + second.low >= -149 && first.high + second.high <= 100))
    }
}

/// The first operand: rows of A.
pub(super) struct First {
    pub layout: Layout,
    pub groups: usize,
    /// By row and group: words, the bits of the scale, and those of the correction.
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

/// Some columns of the second operand, in panels; lanes beyond the last column are zero.
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
    let first = &a.row(row, group..group + 1)[..steps];
    let second = &b.panel(panel, group..group + 1)[..steps];
    let offset = a.layout.offset();
    if let (Word::Bytes, Ok(x), Ok(y)) = (word, <&[u32; 4]>::try_from(first), <&[Line; 4]>::try_from(second))
    {
        // The usual size is known to the compiler.
        let (mut xs, mut ys) = ([0u8; 16], [0u8; 16]);
        for i in 0..4 {
            xs[4 * i..][..4].copy_from_slice(&x[i].to_le_bytes());
            ys[4 * i..][..4].copy_from_slice(&y[i].0[lane].to_le_bytes());
        }
        let mut dot = 0;
        for i in 0..16 {
            dot += i32::from(i16::from(xs[i] as i8)) * i32::from(i16::from(ys[i]) - offset as i16);
        }
        return dot;
    }
    first.iter().zip(second).map(|(&x, y)| word.dot_without(x, y.0[lane], offset)).sum()
}
