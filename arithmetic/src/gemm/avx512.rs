//! Tiles with AVX-512 VNNI: a panel is one vector of sixteen lanes, eight rows at once.
//!
//! Of a group of 16 a row takes four products of bytes and one scaling, which the units that multiply do, one in a cycle; all
//! else (the scale of both operands, the conversion to f32) is done beside them.
//!
//! No closures in the loops here: what a closure does would be compiled apart, without these instructions around it.

use std::arch::x86_64::*;

use super::packed::{First, Line, ONE, Second, Word};
use super::tile::{Patch, Place, Sums, of_block, of_group};
use crate::bfp::ROUND;

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
        block_of(a, b, &at, of_block(&mut patches, i), block);
        at.row += ROWS;
    }
    // The last block may have fewer rows: every size is a function of its own.
    let patches = of_block(&mut patches, count);
    macro_rules! of_rows {
        ($($n:literal)*) => {
            $(if let Ok(rows) = <&mut [Sums; $n]>::try_from(&mut *rest) {
                block_of(a, b, &at, patches, rows);
            })*
        };
    }
    of_rows!(1 2 3 4 5 6 7);
}

/// A block of rows with its patches.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn block_of<const R: usize>(a: &First, b: &Second, at: &Place, patches: &[Patch], sums: &mut [Sums; R]) {
    // Many blocks have none: those need no look at every group.
    if patches.is_empty() {
        groups_of::<R, false>(a, b, at, patches, sums);
    } else {
        groups_of::<R, true>(a, b, at, patches, sums);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn groups_of<const R: usize, const PATCHED: bool>(
    a: &First,
    b: &Second,
    at: &Place,
    patches: &[Patch],
    sums: &mut [Sums; R],
) {
    let mut acc = [_mm512_setzero_ps(); R];
    let mut rows: [&[u32]; R] = [&[]; R];
    for r in 0..R {
        if at.groups.start > 0 {
            // SAFETY: sixteen f32 are one vector; the load needs no alignment.
            acc[r] = unsafe { _mm512_loadu_ps(sums[r].as_ptr()) };
        }
        rows[r] = a.row(at.row + r, at.groups.clone());
    }
    let panel = b.panel(at.panel, at.groups.clone());
    let patches = (at.groups.start, patches);
    match (a.layout.word, a.layout.steps) {
        (Word::Bytes, 4) => groups_of_16::<R, PATCHED>(&mut acc, rows, panel, patches),
        (Word::Bytes, steps) => groups::<R, true>(&mut acc, rows, panel, steps, patches),
        (Word::Halves, steps) => groups::<R, false>(&mut acc, rows, panel, steps, patches),
    }
    for r in 0..R {
        // SAFETY: as for the loads.
        unsafe { _mm512_storeu_ps(sums[r].as_mut_ptr(), acc[r]) };
    }
}

/// Groups of 16 bytes, four words: the usual size is known to the compiler. Patches come with the number of the first group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn groups_of_16<const R: usize, const PATCHED: bool>(
    acc: &mut [__m512; R],
    rows: [&[u32]; R],
    panel: &[Line],
    (first, mut patches): (usize, &[Patch]),
) {
    let panel = panel.as_chunks::<5>().0;
    let mut words: [&[[u32; 6]]; R] = [&[]; R];
    for r in 0..R {
        words[r] = &rows[r].as_chunks().0[..panel.len()];
    }
    for (group, lines) in panel.iter().enumerate() {
        let mut dots = [_mm512_setzero_si512(); R];
        for r in 0..R {
            dots[r] = _mm512_set1_epi32(words[r][group][5] as i32);
        }
        if PATCHED {
            patch(&mut dots, first + group, &mut patches);
        }
        for step in 0..4 {
            let second = load(&lines[step]);
            for r in 0..R {
                dots[r] = multiply::<true>(dots[r], second, words[r][group][step]);
            }
        }
        let second = load(&lines[4]);
        let beside = _mm512_add_epi32(second, _mm512_set1_epi32((ROUND.to_bits() - ONE) as i32));
        for r in 0..R {
            let scale = words[r][group][4];
            acc[r] = if r % 2 == 0 {
                add(acc[r], dots[r], scale, second)
            } else {
                add_beside(acc[r], dots[r], scale, beside)
            };
        }
    }
}

/// Groups of `steps` words, of bytes or of halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn groups<const R: usize, const BYTES: bool>(
    acc: &mut [__m512; R],
    rows: [&[u32]; R],
    panel: &[Line],
    steps: usize,
    (first, mut patches): (usize, &[Patch]),
) {
    for (group, lines) in panel.chunks_exact(steps + 1).enumerate() {
        let mut words: [&[u32]; R] = [&[]; R];
        let mut dots = [_mm512_setzero_si512(); R];
        for r in 0..R {
            words[r] = &rows[r][group * (steps + 2)..][..steps + 2];
            dots[r] = _mm512_set1_epi32(words[r][steps + 1] as i32);
        }
        patch(&mut dots, first + group, &mut patches);
        for step in 0..steps {
            let second = load(&lines[step]);
            for r in 0..R {
                dots[r] = multiply::<BYTES>(dots[r], second, words[r][step]);
            }
        }
        let second = load(&lines[steps]);
        for r in 0..R {
            acc[r] = add(acc[r], dots[r], words[r][steps], second);
        }
    }
}

/// Adds the errors of the group's patches to dot products; the row is no index, so that those can stay in registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn patch<const R: usize>(dots: &mut [__m512i; R], group: usize, patches: &mut &[Patch]) {
    while let Some(patch) = of_group(patches, group) {
        let error = _mm512_set1_epi32(patch.error());
        for (r, dots) in dots.iter_mut().enumerate() {
            let lane = u16::from(usize::from(patch.row) == r) << patch.lane;
            *dots = _mm512_mask_add_epi32(*dots, lane, *dots, error);
        }
    }
}

/// Adds the products of a word, of bytes or of halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn multiply<const BYTES: bool>(dots: __m512i, second: __m512i, word: u32) -> __m512i {
    let first = _mm512_set1_epi32(word as i32);
    if BYTES { _mm512_dpbusd_epi32(dots, second, first) } else { _mm512_dpwssd_epi32(dots, second, first) }
}

/// Scales the dot products of a group and adds them to the sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add(acc: __m512, dots: __m512i, first: u32, second: __m512i) -> __m512 {
    let scale = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_set1_epi32(first as i32), second));
    _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), scale, acc)
}

/// The same without a multiplication, for dot products of less than 2^22: an integer added to the bits of 1.5 2^23 times the scale
/// changes that f32 by the integer times the scale. Half of the rows go this way, which takes more instructions, but of units
/// that would idle. `second` is the scale of 1.5 2^23 in place of 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_beside(acc: __m512, dots: __m512i, first: u32, second: __m512i) -> __m512 {
    let whole = _mm512_add_epi32(_mm512_set1_epi32(first as i32), second);
    let sum = _mm512_add_epi32(whole, dots);
    _mm512_add_ps(acc, _mm512_sub_ps(_mm512_castsi512_ps(sum), _mm512_castsi512_ps(whole)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes, aligned to as many: one vector.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}
