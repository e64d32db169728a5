//! Quantising to bytes with AVX2: the same values as the plain code of [`round`](super::round).
//!
//! Conversions round to nearest even, the mode that Rust requires of the processor.

use std::arch::x86_64::*;

use super::packed::{Layout, Span};
use super::round::{Across, Cell, Lanes, Sink, ordinary, scale_of, scales};

/// [`across`](super::round::across) with AVX2.
pub(super) fn across(layout: Layout, values: Across<'_>, offset: i32, cell: &mut Cell) -> bool {
    assert!(super::CpuPath::Avx2.available());
    // SAFETY: the processor has AVX2, as was just asserted; the function has no other precondition.
    unsafe { across_avx2(layout, values, offset, cell) }
}

#[target_feature(enable = "avx2")]
fn across_avx2(layout: Layout, values: Across<'_>, offset: i32, cell: &mut Cell) -> bool {
    let mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff_ffff));
    let mut tops = [_mm256_setzero_si256(); 2];
    for row in values.iter() {
        let row = load(row);
        for v in 0..2 {
            tops[v] = _mm256_max_epu32(tops[v], _mm256_castps_si256(_mm256_and_ps(row[v], mask)));
        }
    }
    let Some(inverse) = scales(layout, &lanes(tops), cell) else { return false };
    let inverse = load(&inverse);
    let limit = _mm256_set1_epi8(layout.format.largest() as i8);
    let (offsets, ones) = (_mm256_set1_epi8(offset as i8), _mm256_set1_epi8(1));
    let halves = _mm256_set1_epi16(1);
    // Bytes come as four lanes of each K; a word takes one lane of four K.
    let order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    let mut sums = [_mm256_setzero_si256(); 2];
    for (step, words) in cell.words.iter_mut().enumerate() {
        let mut rows = [[_mm256_setzero_ps(); 2]; 4];
        for (i, row) in rows.iter_mut().enumerate() {
            if let Some(values) = values.get(4 * step + i) {
                *row = load(values);
            }
        }
        let mut joined = [_mm256_setzero_si256(); 2];
        for v in 0..2 {
            let mut q = [_mm256_setzero_si256(); 4];
            for i in 0..4 {
                q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(rows[i][v], inverse[v]));
            }
            let bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
            let bytes = _mm256_min_epi8(bytes, limit);
            let bytes = _mm256_max_epi8(bytes, _mm256_sub_epi8(_mm256_setzero_si256(), limit));
            let bytes = _mm256_shuffle_epi8(bytes, order);
            let of_words = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, bytes), halves);
            sums[v] = _mm256_add_epi32(sums[v], of_words);
            joined[v] = _mm256_add_epi8(bytes, offsets);
        }
        *words = lanes(joined);
    }
    cell.sums = lanes(sums).map(|sum| sum as i32);
    true
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(row: &Lanes<f32>) -> [__m256; 2] {
    // SAFETY: sixteen values are two vectors of eight; the loads need no alignment.
    unsafe { [_mm256_loadu_ps(row.as_ptr()), _mm256_loadu_ps(row.as_ptr().add(8))] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(vectors: [__m256i; 2]) -> Lanes<u32> {
    let mut lanes = [0u32; 16];
    // SAFETY: as for the loads.
    unsafe {
        _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vectors[0]);
        _mm256_storeu_si256(lanes.as_mut_ptr().add(8).cast(), vectors[1]);
    }
    lanes
}

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
        let [x, y] = load(values);
        let top = largest(x, y);
        if !ordinary(layout, top) {
            return group;
        }
        let scale = scale_of(layout, top);
        let inverse = _mm256_set1_ps(f32::from_bits(scale.inverse));
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
