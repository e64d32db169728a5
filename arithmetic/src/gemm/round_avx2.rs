//! Quantising rows that lie along K with AVX2: the same values as the plain code of [`along`](super::round::along).

use std::arch::x86_64::*;

use super::packed::{Layout, Span};
use super::round::{Sink, ordinary, scale_of};

/// [`along`](super::round::along) with AVX2.
pub(super) fn along(
    layout: Layout,
    (values, from): (&[[f32; 16]], usize),
    offset: i32,
    span: &mut Span,
    sink: &mut impl Sink,
) -> usize {
    assert!(super::CpuPath::Avx2.available());
    // SAFETY: the processor has AVX2, as was just asserted; the function has no other precondition.
    unsafe { row_avx2(layout, values, from, offset, span, sink) }
}

#[target_feature(enable = "avx2")]
fn row_avx2(
    layout: Layout,
    values: &[[f32; 16]],
    from: usize,
    offset: i32,
    span: &mut Span,
    sink: &mut impl Sink,
) -> usize {
    let limit = _mm256_set1_epi16(layout.format.largest() as i16);
    let (offsets, ones) = (_mm_set1_epi8(offset as i8), _mm256_set1_epi16(1));
    for (group, values) in values.iter().enumerate().skip(from) {
        // SAFETY: sixteen values are two vectors of eight; the loads need no alignment.
        let (x, y) = unsafe { (_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))) };
        let top = largest(x, y);
        if !ordinary(layout, top) {
            return group;
        }
        let scale = scale_of(layout, top);
        let inverse = _mm256_set1_ps(f32::from_bits(scale.inverse));
        // The conversion rounds to nearest even, the mode that Rust requires of the processor.
        let q = _mm256_packs_epi32(
            _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)),
            _mm256_cvtps_epi32(_mm256_mul_ps(y, inverse)),
        );
        let q = _mm256_max_epi16(_mm256_min_epi16(q, limit), _mm256_sub_epi16(_mm256_setzero_si256(), limit));
        let sums = _mm256_madd_epi16(q, ones);
        let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        let sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0b01_00_11_10));
        let sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0b10_11_00_01));
        // Halves of x and y alternate in quarters.
        let q = _mm256_permute4x64_epi64(q, 0b11_01_10_00);
        let bytes = _mm_packs_epi16(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        let bytes = _mm_add_epi8(bytes, offsets);
        let mut words = [0; 4];
        // SAFETY: four words are one vector; the store needs no alignment.
        unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), bytes) };
        if top != 0 {
            span.widen(scale.exponent);
        }
        sink.put(group, words, scale, _mm_cvtsi128_si32(sums));
    }
    values.len()
}

/// Bits of the largest magnitude of sixteen values.
#[inline]
#[target_feature(enable = "avx2")]
fn largest(x: __m256, y: __m256) -> u32 {
    let mask = _mm256_set1_epi32(0x7fff_ffff);
    let (x, y) =
        (_mm256_and_si256(_mm256_castps_si256(x), mask), _mm256_and_si256(_mm256_castps_si256(y), mask));
    let top = _mm256_max_epu32(x, y);
    let top = _mm_max_epu32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    let top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0b01_00_11_10));
    let top = _mm_max_epu32(top, _mm_shuffle_epi32(top, 0b10_11_00_01));
    _mm_cvtsi128_si32(top) as u32
}
