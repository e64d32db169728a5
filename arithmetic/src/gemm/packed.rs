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
        if width == format.group {
            let add = |(byte, &m): (&mut u8, &i16)| *byte = (m + largest) as u8;
            bytes.iter_mut().zip(q.all_mantissas()).for_each(add);
        }
        for row in (0..q.rows()).filter(|_| width != format.group) {
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
        #[cfg(target_arch = "x86_64")]
        let done = if format.group == crate::bfp_avx2::GROUP && super::kernel::available() {
            // SAFETY: the processor has AVX2, as was just asked; the function has no other precondition.
            unsafe { packed.whole_panels(format, q) }
        } else {
            0
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        for column in done..q.rows() {
            for group in 0..groups {
                let cell = (column / LANES * groups + group) * LANES;
                let to = &mut packed.bytes[cell * width..(cell + LANES) * width];
                let sum = spread(q.mantissas(column, group), column % LANES, to);
                packed.sums[cell + column % LANES] = format.largest() * sum;
                packed.scales[cell + column % LANES] = scale(format, q.exponent(column, group));
            }
        }
        packed
    }

    /// Packs the panels that have all their columns, for groups of 16; returns the number of columns done.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn whole_panels(&mut self, format: BfpFormat, q: &Quantised) -> usize {
        use std::arch::x86_64::*;
        let panels = q.rows() / LANES;
        let largest = _mm256_set1_epi16(format.largest() as i16);
        for panel in 0..panels {
            for group in 0..q.groups() {
                let cell = (panel * q.groups() + group) * LANES;
                let of_lane = |lane: usize| -> __m256i {
                    let m: &[i16; 16] =
                        q.mantissas(panel * LANES + lane, group).first_chunk().expect("a group of 16");
                    // SAFETY: 16 mantissas are one vector.
                    unsafe { _mm256_loadu_si256(m.as_ptr().cast()) }
                };
                // Two lanes give 4 words of four bytes each; a transposition brings words of a step together.
                let bytes = std::array::from_fn(|i| {
                    let packed = _mm256_packs_epi16(of_lane(i), _mm256_setzero_si256());
                    _mm256_permute4x64_epi64(packed, 0b11_01_10_00)
                });
                let steps = crate::bfp_avx2::transposed(bytes);
                let to: &mut [i8; 128] =
                    self.bytes[cell * 16..].first_chunk_mut().expect("a cell of 128 bytes");
                for (step, vector) in steps[..4].iter().enumerate() {
                    // SAFETY: a cell of 8 lanes by 16 bytes is four vectors.
                    unsafe { _mm256_storeu_si256(to.as_mut_ptr().add(step * 32).cast(), *vector) };
                }
                // Eight partial sums a lane; after the transposition they add up down the columns.
                let partial = std::array::from_fn(|i| _mm256_madd_epi16(of_lane(i), largest));
                let sums = crate::bfp_avx2::transposed(partial);
                let sums = sums.into_iter().fold(_mm256_setzero_si256(), |s, v| _mm256_add_epi32(s, v));
                let to: &mut [i32; LANES] =
                    self.sums[cell..].first_chunk_mut().expect("a cell has eight lanes");
                // SAFETY: eight sums are one vector.
                unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), sums) };
                for lane in 0..LANES {
                    self.scales[cell + lane] = scale(format, q.exponent(panel * LANES + lane, group));
                }
            }
        }
        panels * LANES
    }
}

/// Writes a group's mantissas to their lane and returns their sum.
fn spread(mantissas: &[i16], lane: usize, to: &mut [i8]) -> i32 {
    let steps = to.chunks_exact_mut(STEP * LANES);
    for (four, vector) in mantissas.chunks(STEP).zip(steps) {
        for (&m, byte) in four.iter().zip(&mut vector[lane * STEP..(lane + 1) * STEP]) {
            *byte = m as i8;
        }
    }
    mantissas.iter().map(|&m| i32::from(m)).sum()
}
