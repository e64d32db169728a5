//! Quantising groups of 16 to the nearest mantissa with AVX2: the same values as the portable code, bit for bit.
//!
//! Only ordinary groups are taken, whose scale and its inverse are normal f32 numbers, and groups of zeros. The functions
//! return `None` or `false` for all others, and the caller takes the portable way.

use std::arch::x86_64::*;

use crate::BfpFormat;

/// The group size that these functions serve.
pub(crate) const GROUP: usize = 16;

/// Columns that are quantised at once.
pub(crate) const LANES: usize = 8;

/// Exponent of the scale of a group whose largest magnitude has the bits `top`; `None` when it is not ordinary.
fn ordinary(format: BfpFormat, top: u32) -> Option<i32> {
    let biased = (top >> 23) as i32;
    let s = biased - 127 - i32::from(format.mantissa_bits) + 1;
    ((1..255).contains(&biased) && (-126..=126).contains(&s)).then_some(s)
}

/// Mantissas of 16 values that lie side by side; returns the exponent.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn row(format: BfpFormat, values: &[f32; GROUP], out: &mut [i16; GROUP]) -> Option<i16> {
    // SAFETY: 16 values are two vectors of eight.
    let (x, y) = unsafe { (_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values[8..].as_ptr())) };
    let top = _mm256_max_epu32(magnitude(x), magnitude(y));
    let top = _mm_max_epu32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    let top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0b01_00_11_10));
    let top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0b10_11_00_01));
    let top = _mm_cvtsi128_si32(top) as u32;
    if top == 0 {
        *out = [0; GROUP];
        return Some(format.zero_exponent());
    }
    let s = ordinary(format, top)?;
    let inverse = _mm256_set1_ps(f32::from_bits(((127 - s) as u32) << 23));
    let limit = _mm256_set1_epi32(format.largest());
    let (q, r) = (nearest(x, inverse, limit), nearest(y, inverse, limit));
    let packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(q, r), 0b11_01_10_00);
    // SAFETY: 16 mantissas are one vector.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), packed) };
    Some(s as i16)
}

/// Mantissas of 8 columns of 16 values each. `values` begins at the first value of the first column; `stride` is the
/// distance between rows. Mantissas of column i go to `out[i * step..]`, exponents to `exponents[i]`.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn columns(
    format: BfpFormat,
    values: &[f32],
    stride: usize,
    out: &mut [i16],
    step: usize,
    exponents: &mut [i16; LANES],
) -> bool {
    let rows: [__m256; GROUP] = std::array::from_fn(|k| {
        let row: &[f32; LANES] = values[k * stride..].first_chunk().expect("a row has eight columns");
        // SAFETY: eight values are one vector.
        unsafe { _mm256_loadu_ps(row.as_ptr()) }
    });
    let top = rows.iter().fold(_mm256_setzero_si256(), |m, &x| _mm256_max_epu32(m, magnitude(x)));
    let mut tops = [0u32; LANES];
    let mut inverses = [0f32; LANES];
    // SAFETY: eight words are one vector.
    unsafe { _mm256_storeu_si256(tops.as_mut_ptr().cast(), top) };
    for lane in 0..LANES {
        exponents[lane] = if tops[lane] == 0 {
            format.zero_exponent()
        } else {
            let Some(s) = ordinary(format, tops[lane]) else { return false };
            inverses[lane] = f32::from_bits(((127 - s) as u32) << 23);
            s as i16
        };
    }
    // SAFETY: eight values are one vector.
    let inverse = unsafe { _mm256_loadu_ps(inverses.as_ptr()) };
    let limit = _mm256_set1_epi32(format.largest());
    let low = _mm256_set1_epi32(0xffff);
    // Word k of a lane holds mantissas 2k and 2k + 1.
    let pairs: [__m256i; LANES] = std::array::from_fn(|k| {
        let even = nearest(rows[2 * k], inverse, limit);
        let odd = nearest(rows[2 * k + 1], inverse, limit);
        _mm256_or_si256(_mm256_and_si256(even, low), _mm256_slli_epi32(odd, 16))
    });
    for (lane, words) in transposed(pairs).into_iter().enumerate() {
        let to: &mut [i16; GROUP] =
            out[lane * step..].first_chunk_mut().expect("a column has sixteen mantissas");
        // SAFETY: 16 mantissas are one vector.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), words) };
    }
    true
}

#[inline]
#[target_feature(enable = "avx2")]
fn magnitude(x: __m256) -> __m256i {
    _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fff_ffff))
}

/// The conversion rounds to nearest even, the mode that Rust requires of the processor.
#[inline]
#[target_feature(enable = "avx2")]
fn nearest(x: __m256, inverse: __m256, limit: __m256i) -> __m256i {
    let q = _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse));
    _mm256_max_epi32(_mm256_min_epi32(q, limit), _mm256_sub_epi32(_mm256_setzero_si256(), limit))
}

/// Transposes 8 x 8 words.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn transposed(v: [__m256i; 8]) -> [__m256i; 8] {
    let two = |a, b| (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let four = |a, b| (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let ((a0, a1), (a2, a3)) = (two(v[0], v[1]), two(v[2], v[3]));
    let ((b0, b1), (b2, b3)) = (two(v[4], v[5]), two(v[6], v[7]));
    let ((c0, c1), (c2, c3)) = (four(a0, a2), four(a1, a3));
    let ((d0, d1), (d2, d3)) = (four(b0, b2), four(b1, b3));
    let low = |c, d| _mm256_permute2x128_si256(c, d, 0x20);
    let high = |c, d| _mm256_permute2x128_si256(c, d, 0x31);
    [
        low(c0, d0),
        low(c1, d1),
        low(c2, d2),
        low(c3, d3),
        high(c0, d0),
        high(c1, d1),
        high(c2, d2),
        high(c3, d3),
    ]
}
