//! Tiles with AVX-512 VNNI: a panel is one vector of sixteen lanes, eight rows at once.
//!
//! The tests hold every path that the processor at hand has against the reference. This one has been run on an emulated processor
//! alone (`bochs/run.sh`), so that its results are known to be right; its speed has not been measured. It is chosen where it can be,
//! since one instruction here does what takes four with AVX2 (two vectors, each multiplied and then added) in the innermost loop.
//!
//! No closures in the loops here: what a closure does would be compiled apart, without these instructions around it.

use std::arch::x86_64::*;

use super::packed::{First, Line, Second, Word};
use super::tile::{Patch, Place, Sums, cut, of_block};

/// Rows of A at once: enough to hide the latency of the additions.
pub(super) const ROWS: usize = 8;

/// A tile on a processor that has AVX-512 VNNI.
pub(super) fn tile(a: &First, b: &Second, at: Place, patches: &[Patch], sums: &mut [Sums]) {
    assert!(super::CpuPath::Avx512.available());
    // SAFETY: the processor has these instructions, as was just asserted; the function has no other precondition.
    unsafe { rows(a, b, at, patches, sums) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn rows(a: &First, b: &Second, mut at: Place, mut patches: &[Patch], sums: &mut [Sums]) {
    let (blocks, rest) = sums.as_chunks_mut::<ROWS>();
    let count = blocks.len();
    for (i, block) in blocks.iter_mut().enumerate() {
        patched(a, b, &at, of_block(&mut patches, i), block);
        at.row += ROWS;
    }
    // The last block may have fewer rows: every size is a function of its own.
    let patches = of_block(&mut patches, count);
    macro_rules! of_rows {
        ($($n:literal)*) => {
            $(if let Ok(rows) = <&mut [Sums; $n]>::try_from(&mut *rest) {
                patched(a, b, &at, patches, rows);
            })*
        };
    }
    of_rows!(1 2 3 4 5 6 7);
}

/// A block of rows with its patches.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn patched<const R: usize>(a: &First, b: &Second, at: &Place, patches: &[Patch], sums: &mut [Sums; R]) {
    let place = |groups| Place { groups, ..*at };
    if patches.is_empty() {
        block_of(a, b, place(at.groups.clone()), sums);
    } else {
        cut(at.groups.clone(), patches, sums, |groups, sums| block_of(a, b, place(groups), sums));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn block_of<const R: usize>(a: &First, b: &Second, at: Place, sums: &mut [Sums; R]) {
    let mut acc = [_mm512_setzero_ps(); R];
    let mut rows: [&[u32]; R] = [&[]; R];
    for r in 0..R {
        // SAFETY: sixteen f32 are one vector; the load needs no alignment.
        acc[r] = unsafe { _mm512_loadu_ps(sums[r].as_ptr()) };
        rows[r] = a.row(at.row + r, at.groups.clone());
    }
    let panel = b.panel(at.panel, at.groups);
    match (a.layout.word, a.layout.steps) {
        // The usual size is known to the compiler.
        (Word::Bytes, 4) => groups::<R, true>(&mut acc, rows, panel, 4),
        (Word::Bytes, steps) => groups::<R, true>(&mut acc, rows, panel, steps),
        (Word::Halves, steps) => groups::<R, false>(&mut acc, rows, panel, steps),
    }
    for r in 0..R {
        // SAFETY: as for the loads.
        unsafe { _mm512_storeu_ps(sums[r].as_mut_ptr(), acc[r]) };
    }
}

/// Forms the dot products of groups of `steps` words, of bytes or of halves, scales them and adds them to the sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn groups<const R: usize, const BYTES: bool>(
    acc: &mut [__m512; R],
    rows: [&[u32]; R],
    panel: &[Line],
    steps: usize,
) {
    for (group, lines) in panel.chunks_exact(steps + 1).enumerate() {
        let mut words: [&[u32]; R] = [&[]; R];
        for r in 0..R {
            words[r] = &rows[r][group * (steps + 2)..][..steps + 2];
        }
        let mut dots = [_mm512_setzero_si512(); R];
        for step in 0..steps {
            let second = load(&lines[step]);
            for r in 0..R {
                let first = _mm512_set1_epi32(words[r][step] as i32);
                dots[r] = if BYTES {
                    _mm512_dpbusd_epi32(dots[r], second, first)
                } else {
                    _mm512_dpwssd_epi32(dots[r], second, first)
                };
            }
        }
        let second = _mm512_castsi512_ps(load(&lines[steps]));
        for r in 0..R {
            let s = _mm512_set1_ps(f32::from_bits(words[r][steps]));
            let c = _mm512_set1_ps(f32::from_bits(words[r][steps + 1]));
            let scaled = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r]), s, c);
            acc[r] = _mm512_fmadd_ps(scaled, second, acc[r]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes, aligned to as many: one vector.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}
