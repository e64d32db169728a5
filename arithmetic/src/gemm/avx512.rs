//! Tiles with AVX-512 VNNI: a panel is one vector of sixteen lanes, eight rows at once.

use std::arch::x86_64::*;

use super::packed::{First, Line, Second, Word};
use super::tile::{Place, Sums};

/// Rows of A at once: enough to hide the latency of the additions.
const ROWS: usize = 8;

/// A tile on a processor that has AVX-512 VNNI.
pub(super) fn tile(a: &First, b: &Second, at: Place, sums: &mut [Sums]) {
    assert!(super::CpuPath::Avx512.available());
    // SAFETY: the processor has these instructions, as was just asserted; the function has no other precondition.
    unsafe { rows(a, b, at, sums) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn rows(a: &First, b: &Second, at: Place, sums: &mut [Sums]) {
    let mut row = at.row;
    let (blocks, rest) = sums.as_chunks_mut::<ROWS>();
    for block in blocks {
        block_of::<ROWS>(a, b, Place { row, ..at.clone() }, block);
        row += ROWS;
    }
    let (pairs, rest) = rest.as_chunks_mut::<2>();
    for pair in pairs {
        block_of::<2>(a, b, Place { row, ..at.clone() }, pair);
        row += 2;
    }
    if let Some(one) = rest.first_chunk_mut::<1>() {
        block_of::<1>(a, b, Place { row, ..at }, one);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn block_of<const R: usize>(a: &First, b: &Second, at: Place, sums: &mut [Sums; R]) {
    // SAFETY: sixteen f32 are one vector; the loads need no alignment.
    let mut acc: [__m512; R] = std::array::from_fn(|r| unsafe { _mm512_loadu_ps(sums[r].as_ptr()) });
    let rows: [&[u32]; R] = std::array::from_fn(|r| a.row(at.row + r, at.groups.clone()));
    let panel = b.panel(at.panel, at.groups.clone());
    match (a.layout.word, a.layout.steps) {
        (Word::Bytes, 4) => {
            let panel = panel.as_chunks::<5>().0;
            let rows = rows.map(|row| &row.as_chunks::<6>().0[..panel.len()]);
            for (group, lines) in panel.iter().enumerate() {
                let words: [&[u32]; R] = std::array::from_fn(|r| &rows[r][group][..]);
                add::<R, true>(&mut acc, words, lines);
            }
        }
        (word, steps) => {
            for (group, lines) in panel.chunks_exact(steps + 1).enumerate() {
                let words: [&[u32]; R] = std::array::from_fn(|r| &rows[r][group * (steps + 2)..][..steps + 2]);
                match word {
                    Word::Bytes => add::<R, true>(&mut acc, words, lines),
                    Word::Halves => add::<R, false>(&mut acc, words, lines),
                }
            }
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        // SAFETY: as for the loads.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), acc) };
    }
}

/// Forms the dot products of a group, of bytes or of halves, scales them and adds them to the sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add<const R: usize, const BYTES: bool>(acc: &mut [__m512; R], words: [&[u32]; R], lines: &[Line]) {
    let Some((scales, lines)) = lines.split_last() else { return };
    let mut dots = [_mm512_setzero_si512(); R];
    for (step, line) in lines.iter().enumerate() {
        let second = load(line);
        for r in 0..R {
            let first = _mm512_set1_epi32(words[r][step] as i32);
            dots[r] = match BYTES {
                true => _mm512_dpbusd_epi32(dots[r], second, first),
                false => _mm512_dpwssd_epi32(dots[r], second, first),
            };
        }
    }
    let second = _mm512_castsi512_ps(load(scales));
    for r in 0..R {
        let [s, c] = [words[r][lines.len()], words[r][lines.len() + 1]]
            .map(|bits| _mm512_set1_ps(f32::from_bits(bits)));
        let scaled = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r]), s, c);
        acc[r] = _mm512_fmadd_ps(scaled, second, acc[r]);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes, aligned to as many: one vector.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}
