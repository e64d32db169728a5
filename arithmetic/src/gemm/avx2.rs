//! Tiles with AVX2 and FMA: a panel is two vectors of eight lanes, three rows at once.
//!
//! No closures here: what a closure does would be compiled apart, without these instructions around it.

#[cfg(not(miri))]
use std::arch::asm;
use std::arch::x86_64::*;

use super::packed::{First, Line, Second, Word};
use super::tile::{Patch, Place, Sums, of_block, of_group};

/// Rows of A at once: as many as registers hold sums for.
pub(super) const ROWS: usize = 3;

/// A panel's values of one row.
type Ints = [__m256i; 2];
type Floats = [__m256; 2];

/// Keeps the compiler from reordering across this point what belongs to one step or one row: it would take the products of
/// several steps together and run out of registers, which costs two thirds of the speed.
#[cfg(not(miri))]
macro_rules! settled {
    ($x:expr, $y:expr) => {
        // SAFETY: there is no instruction; the values are only said to pass through registers.
        unsafe { asm!("/* {0} {1} */", inout(ymm_reg) $x, inout(ymm_reg) $y, options(nomem, nostack, preserves_flags)) }
    };
}

/// Miri knows no assembler.
#[cfg(miri)]
macro_rules! settled {
    ($x:expr, $y:expr) => {
        ($x, $y) = ($x, $y)
    };
}

/// A tile on a processor that has AVX2 and FMA.
pub(super) fn tile(a: &First, b: &Second, at: Place, patches: &[Patch], sums: &mut [Sums]) {
    assert!(super::CpuPath::Avx2.available());
    // SAFETY: the processor has AVX2 and FMA, as was just asserted; the function has no other precondition.
    unsafe { rows(a, b, at, patches, sums) }
}

#[target_feature(enable = "avx2,fma")]
fn rows(a: &First, b: &Second, mut at: Place, mut patches: &[Patch], sums: &mut [Sums]) {
    let (blocks, rest) = sums.as_chunks_mut::<ROWS>();
    let count = blocks.len();
    for (i, block) in blocks.iter_mut().enumerate() {
        block_of(a, b, &at, of_block(&mut patches, i), block);
        at.row += ROWS;
    }
    let patches = of_block(&mut patches, count);
    if let Ok(pair) = <&mut [Sums; 2]>::try_from(&mut *rest) {
        block_of(a, b, &at, patches, pair);
    } else if let Ok(one) = <&mut [Sums; 1]>::try_from(rest) {
        block_of(a, b, &at, patches, one);
    }
}

/// A block of rows with its patches.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn block_of<const R: usize>(a: &First, b: &Second, at: &Place, patches: &[Patch], sums: &mut [Sums; R]) {
    // Most blocks have none: those need no look at every group.
    if patches.is_empty() {
        groups_of::<R, false>(a, b, at, patches, sums);
    } else {
        groups_of::<R, true>(a, b, at, patches, sums);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn groups_of<const R: usize, const PATCHED: bool>(
    a: &First,
    b: &Second,
    at: &Place,
    mut patches: &[Patch],
    sums: &mut [Sums; R],
) {
    let mut acc = [[_mm256_setzero_ps(); 2]; R];
    let mut rows: [&[u32]; R] = [&[]; R];
    for r in 0..R {
        if at.groups.start > 0 {
            acc[r] = load_sums(&sums[r]);
        }
        rows[r] = a.row(at.row + r, at.groups.clone());
    }
    let panel = b.panel(at.panel, at.groups.clone());
    let (steps, run, first) = (a.layout.steps, a.layout.run, at.groups.start);
    match a.layout.word {
        Word::Bytes if steps == 4 && run >= 4 => {
            groups_of_16::<R, PATCHED>(&mut acc, rows, panel, (first, patches));
        }
        word => {
            for (group, lines) in panel.chunks_exact(steps + 1).enumerate() {
                let mut words: [&[u32]; R] = [&[]; R];
                for r in 0..R {
                    words[r] = &rows[r][group * (steps + 2)..][..steps + 2];
                }
                let mut dots = match word {
                    Word::Bytes => bytes(words, &lines[..steps], run),
                    Word::Halves => halves(words, &lines[..steps]),
                };
                if PATCHED {
                    patch(&mut dots, first + group, &mut patches);
                }
                for r in 0..R {
                    add(&mut acc[r], dots[r], words[r][steps], words[r][steps + 1], &lines[steps]);
                }
            }
        }
    }
    for r in 0..R {
        store_sums(&mut sums[r], acc[r]);
    }
}

/// Groups of 16 bytes, four words, whose sums stay within i16; with the number of the first group.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn groups_of_16<const R: usize, const PATCHED: bool>(
    acc: &mut [Floats; R],
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
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        for step in 0..4 {
            let second = load(&lines[step]);
            for r in 0..R {
                multiply_bytes(&mut sums[r], second, words[r][group][step]);
            }
            for sums in &mut sums {
                settled!(sums[0], sums[1]);
            }
        }
        let mut dots = sums;
        for r in 0..R {
            dots[r] = widened(sums[r]);
        }
        if PATCHED {
            patch(&mut dots, first + group, &mut patches);
        }
        for r in 0..R {
            let [.., s, c] = words[r][group];
            add(&mut acc[r], dots[r], s, c, &lines[4]);
            settled!(acc[r][0], acc[r][1]);
        }
    }
}

/// Adds the errors of the group's patches to dot products.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn patch<const R: usize>(dots: &mut [Ints; R], group: usize, patches: &mut &[Patch]) {
    let lanes = [_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)];
    while let Some(patch) = of_group(patches, group) {
        let error = _mm256_set1_epi32(patch.error());
        for (r, dots) in dots.iter_mut().enumerate() {
            // Rows of other numbers have no such lane. The row is no index, so that dot products can stay in registers.
            let lane = if usize::from(patch.row) == r { i32::from(patch.lane) } else { -1 };
            for v in 0..2 {
                let here = _mm256_cmpeq_epi32(lanes[v], _mm256_set1_epi32(lane));
                dots[v] = _mm256_add_epi32(dots[v], _mm256_and_si256(error, here));
            }
        }
    }
}

/// Any number of words of bytes, `run` at once in i16.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn bytes<const R: usize>(words: [&[u32]; R], lines: &[Line], run: usize) -> [Ints; R] {
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    for (i, lines) in lines.chunks(run).enumerate() {
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        for (step, line) in lines.iter().enumerate() {
            let second = load(line);
            for r in 0..R {
                multiply_bytes(&mut sums[r], second, words[r][i * run + step]);
            }
        }
        for r in 0..R {
            let sums = widened(sums[r]);
            for v in 0..2 {
                dots[r][v] = _mm256_add_epi32(dots[r][v], sums[v]);
            }
        }
    }
    dots
}

/// Any number of words of halves.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn halves<const R: usize>(words: [&[u32]; R], lines: &[Line]) -> [Ints; R] {
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    for (step, line) in lines.iter().enumerate() {
        let second = load(line);
        for r in 0..R {
            let first = _mm256_set1_epi32(words[r][step] as i32);
            for v in 0..2 {
                dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(second[v], first));
            }
        }
    }
    dots
}

/// Adds products of a word of bytes, of two K each, to halves.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply_bytes(sums: &mut Ints, second: Ints, word: u32) {
    let first = _mm256_set1_epi32(word as i32);
    for v in 0..2 {
        sums[v] = _mm256_add_epi16(sums[v], _mm256_maddubs_epi16(second[v], first));
    }
}

/// Sums of both halves of each word.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn widened(sums: Ints) -> Ints {
    let ones = _mm256_set1_epi16(1);
    [_mm256_madd_epi16(sums[0], ones), _mm256_madd_epi16(sums[1], ones)]
}

/// Scales the dot products of a group and adds them to the sums; `s` and `c` are the first operand's scale and correction.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add(acc: &mut Floats, dots: Ints, s: u32, c: u32, second: &Line) {
    let (s, c) = (_mm256_set1_epi32(s as i32), _mm256_set1_epi32(c as i32));
    let second = load(second);
    for v in 0..2 {
        let dots = _mm256_cvtepi32_ps(_mm256_add_epi32(dots[v], c));
        acc[v] = _mm256_fmadd_ps(dots, _mm256_castsi256_ps(_mm256_add_epi32(s, second[v])), acc[v]);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(line: &Line) -> Ints {
    let at = line.0.as_ptr().cast::<__m256i>();
    // SAFETY: a line is 64 bytes, aligned to as many: two vectors.
    unsafe { [_mm256_load_si256(at), _mm256_load_si256(at.add(1))] }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_sums(sums: &Sums) -> Floats {
    // SAFETY: sixteen f32 are two vectors; the loads need no alignment.
    unsafe { [_mm256_loadu_ps(sums.as_ptr()), _mm256_loadu_ps(sums.as_ptr().add(8))] }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_sums(sums: &mut Sums, acc: Floats) {
    // SAFETY: as for the loads.
    unsafe {
        _mm256_storeu_ps(sums.as_mut_ptr(), acc[0]);
        _mm256_storeu_ps(sums.as_mut_ptr().add(8), acc[1]);
    }
}
