//! Quantising to bytes with AVX-512 VNNI, values that lie across: the same as the plain code of [`round`](super::round).
//!
//! Sixteen values of a group in sixteen rows stay in registers, where AVX2 must read them twice.

use std::arch::x86_64::*;

use super::packed::Layout;
use super::round::{Across, Cell, Lanes, scales};

/// Words of a group that are taken here.
pub(super) const STEPS: usize = 4;

/// [`across`](super::round::across) with AVX-512, for groups of [`STEPS`] words.
pub(super) fn across(layout: Layout, values: Across<'_>, offset: i32, cell: &mut Cell) -> bool {
    assert!(super::CpuPath::Avx512.available());
    // SAFETY: the processor has these instructions, as was just asserted; the function has no other precondition.
    unsafe { across_avx512(layout, values, offset, cell) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn across_avx512(layout: Layout, values: Across<'_>, offset: i32, cell: &mut Cell) -> bool {
    let mut rows = [_mm512_setzero_ps(); 4 * STEPS];
    for (k, row) in rows.iter_mut().enumerate() {
        if let Some(values) = values.get(k) {
            *row = load(values);
        }
    }
    let mut tops = _mm512_setzero_si512();
    for row in rows {
        tops = _mm512_max_epu32(tops, _mm512_castps_si512(_mm512_abs_ps(row)));
    }
    let Some(inverse) = scales(layout, &lanes(tops), cell) else { return false };
    let (inverse, limit) = (load(&inverse), _mm512_set1_epi32(layout.format.largest()));
    let (least, low) = (_mm512_sub_epi32(_mm512_setzero_si512(), limit), _mm512_set1_epi32(0xff));
    let (offsets, ones) = (_mm512_set1_epi8(offset as i8), _mm512_set1_epi8(1));
    let mut sums = _mm512_setzero_si512();
    for step in 0..STEPS {
        let mut word = _mm512_setzero_si512();
        // The last of a word's values comes first, and is shifted farthest.
        for i in (0..4).rev() {
            let q = _mm512_cvtps_epi32(_mm512_mul_ps(rows[4 * step + i], inverse));
            let q = _mm512_max_epi32(_mm512_min_epi32(q, limit), least);
            word = _mm512_or_si512(_mm512_slli_epi32(word, 8), _mm512_and_si512(q, low));
        }
        sums = _mm512_dpbusd_epi32(sums, ones, word);
        cell.words[step] = lanes(_mm512_add_epi8(word, offsets));
    }
    cell.sums = lanes(sums).map(|sum| sum as i32);
    true
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(row: &Lanes<f32>) -> __m512 {
    // SAFETY: sixteen values are one vector; the load needs no alignment.
    unsafe { _mm512_loadu_ps(row.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(vector: __m512i) -> Lanes<u32> {
    let mut lanes = [0u32; 16];
    // SAFETY: as for the load.
    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), vector) };
    lanes
}
