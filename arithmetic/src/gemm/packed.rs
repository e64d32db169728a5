//! Operands laid out for the vector kernel.
//!
//! The kernel multiplies unsigned by signed bytes, four of K at a time. The first operand is therefore stored with the
//! largest mantissa L added, and L times the sum of the second operand's mantissas is taken away afterwards. Scales are f32
//! powers of two; that of a group of zeros is 0, since its exponent must not spoil the range check below.

use crate::BfpFormat;
use crate::bfp::{POISON, Quantised};

/// Columns of C in a panel: the lanes of a vector of f32.
pub(super) const LANES: usize = 8;

/// K values that the kernel takes at once.
pub(super) const STEP: usize = 4;

/// Whether the kernel's arithmetic is exact for these operands.
///
/// Sums of bytes' products stay in i16 when 2 L L times half the group does; a scaled dot product is a normal f32 when the
/// exponents of all groups that are not zero add up to a normal range.
pub(super) fn fits(format: BfpFormat, a: &Quantised, b: &Quantised) -> bool {
    let largest = i64::from(format.largest());
    let padded = format.group.next_multiple_of(STEP) as i64;
    let range = |q: &Quantised| {
        let used = q.exponents().iter().copied().filter(|&e| e != POISON && e != format.zero_exponent());
        used.fold((i32::MAX, i32::MIN), |(lo, hi), e| (lo.min(e.into()), hi.max(e.into())))
    };
    let ((a_low, a_high), (b_low, b_high)) = (range(a), range(b));
    let scales = |low: i32, high: i32| low > high || (low >= -126 && high <= 127);
    let products = a_low > a_high || b_low > b_high || (a_low + b_low >= -126 && a_high + b_high <= 100);
    largest <= 127
        && 2 * largest * largest * padded / 2 <= i64::from(i16::MAX)
        && scales(a_low, a_high)
        && scales(b_low, b_high)
        && products
}

/// 2^e as f32, 0 for a group of zeros, NaN for one that is not finite.
fn scale(format: BfpFormat, e: i16) -> f32 {
    match e {
        POISON => f32::NAN,
        e if e == format.zero_exponent() => 0.0,
        e => f32::from_bits(((i32::from(e) + 127) as u32) << 23),
    }
}

/// Rows of the first operand: for each group, `steps` times four bytes and a scale.
pub(super) struct First {
    pub bytes: Vec<u8>,
    pub scales: Vec<f32>,
    /// Bytes of a group.
    pub width: usize,
    pub groups: usize,
}

impl First {
    pub fn new(format: BfpFormat, q: &Quantised) -> Self {
        let width = format.group.next_multiple_of(STEP);
        let largest = format.largest() as i16;
        let mut bytes = vec![largest as u8; q.rows() * q.groups() * width];
        for row in 0..q.rows() {
            for group in 0..q.groups() {
                let at = (row * q.groups() + group) * width;
                for (byte, &m) in bytes[at..at + width].iter_mut().zip(q.mantissas(row, group)) {
                    *byte = (m + largest) as u8;
                }
            }
        }
        let scales = q.exponents().iter().map(|&e| scale(format, e)).collect();
        Self { bytes, scales, width, groups: q.groups() }
    }
}

/// Columns of the second operand in panels of [`LANES`]; for each panel and group, bytes in the order (step, lane, K in the
/// step), L times the sum of the mantissas, and scales, by lane.
pub(super) struct Second {
    pub bytes: Vec<i8>,
    pub sums: Vec<i32>,
    pub scales: Vec<f32>,
    pub panels: usize,
}

impl Second {
    /// The number of panels is even; lanes beyond the last column are zero.
    pub fn new(format: BfpFormat, q: &Quantised) -> Self {
        let (width, groups) = (format.group.next_multiple_of(STEP), q.groups());
        let panels = q.rows().div_ceil(2 * LANES) * 2;
        let cells = panels * groups * LANES;
        let mut packed =
            Self { bytes: vec![0; cells * width], sums: vec![0; cells], scales: vec![0.0; cells], panels };
        let largest = format.largest();
        for column in 0..q.rows() {
            let (panel, lane) = (column / LANES, column % LANES);
            for group in 0..groups {
                let cell = (panel * groups + group) * LANES;
                let to = &mut packed.bytes[cell * width..(cell + LANES) * width];
                let mut sum = 0;
                for (i, &m) in q.mantissas(column, group).iter().enumerate() {
                    to[i / STEP * STEP * LANES + lane * STEP + i % STEP] = m as i8;
                    sum += i32::from(m);
                }
                packed.sums[cell + lane] = largest * sum;
                packed.scales[cell + lane] = scale(format, q.exponent(column, group));
            }
        }
        packed
    }
}
