//! Tiles with AVX2 and FMA: a panel is two vectors of eight lanes, three rows at once.

use std::arch::x86_64::*;

use super::packed::{First, Line, Second, Word};
use super::tile::{Place, Sums};

/// Rows of A at once: as many as registers hold sums for.
const ROWS: usize = 3;

type Floats = [__m256; 2];

/// A tile on a processor that has AVX2 and FMA.
pub(super) fn tile(a: &First, b: &Second, at: Place, sums: &mut [Sums]) {
    assert!(super::CpuPath::Avx2.available());
    // SAFETY: the processor has AVX2 and FMA, as was just asserted; the function has no other precondition.
    unsafe { rows(a, b, at, sums) }
}

#[target_feature(enable = "avx2,fma")]
fn rows(a: &First, b: &Second, at: Place, sums: &mut [Sums]) {
    let mut row = at.row;
    for block in sums.chunks_mut(ROWS) {
        let at = Place { row, ..at.clone() };
        row += block.len();
        match block.len() {
            1 => block_of::<1>(a, b, at, block),
            2 => block_of::<2>(a, b, at, block),
            _ => block_of::<ROWS>(a, b, at, block),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn block_of<const R: usize>(a: &First, b: &Second, at: Place, sums: &mut [Sums]) {
    let mut acc: [Floats; R] = std::array::from_fn(|r| load_sums(&sums[r]));
    let rows: [&[u32]; R] = std::array::from_fn(|r| a.row(at.row + r, at.groups.clone()));
    let panel = b.panel(at.panel, at.groups.clone());
    // Words of bytes whose sums are sure to stay within i16.
    let run = 32767 / (4 * a.layout.format.largest().pow(2)) as usize;
    match (a.layout.word, a.layout.steps) {
        (Word::Bytes, 4) if run >= 4 => {
            let panel = panel.as_chunks::<5>().0;
            let rows = rows.map(|row| &row.as_chunks::<6>().0[..panel.len()]);
            for (group, lines) in panel.iter().enumerate() {
                let words: [&[u32; 6]; R] = std::array::from_fn(|r| &rows[r][group]);
                let dots = widened(four(words.map(|w| w.first_chunk().expect("six words")), &lines[..4]));
                add(&mut acc, dots, words.map(|w| [w[4], w[5]]), &lines[4]);
            }
        }
        (word, steps) => {
            for (group, lines) in panel.chunks_exact(steps + 1).enumerate() {
                let words: [&[u32]; R] = std::array::from_fn(|r| &rows[r][group * (steps + 2)..][..steps + 2]);
                let dots = if word == Word::Bytes {
                    bytes(words.map(|w| &w[..steps]), &lines[..steps], run)
                } else {
                    halves(words.map(|w| &w[..steps]), &lines[..steps])
                };
                add(&mut acc, dots, words.map(|w| [w[steps], w[steps + 1]]), &lines[steps]);
            }
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        store_sums(sums, acc);
    }
}

/// Sums of products of four words, in halves.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn four<const R: usize>(words: [&[u32; 4]; R], lines: &[Line]) -> [[__m256i; 2]; R] {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    for (step, line) in lines.iter().enumerate() {
        let second = load(line);
        for r in 0..R {
            let first = _mm256_set1_epi32(words[r][step] as i32);
            for v in 0..2 {
                sums[r][v] = _mm256_add_epi16(sums[r][v], _mm256_maddubs_epi16(second[v], first));
            }
        }
    }
    sums
}

/// Sums of both halves of each word.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn widened<const R: usize>(sums: [[__m256i; 2]; R]) -> [[__m256i; 2]; R] {
    let ones = _mm256_set1_epi16(1);
    sums.map(|s| [_mm256_madd_epi16(s[0], ones), _mm256_madd_epi16(s[1], ones)])
}

/// Any number of words of bytes, `run` at once.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn bytes<const R: usize>(words: [&[u32]; R], lines: &[Line], run: usize) -> [[__m256i; 2]; R] {
    let ones = _mm256_set1_epi16(1);
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    for (i, lines) in lines.chunks(run).enumerate() {
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        for (step, line) in lines.iter().enumerate() {
            let second = load(line);
            for r in 0..R {
                let first = _mm256_set1_epi32(words[r][i * run + step] as i32);
                for v in 0..2 {
                    sums[r][v] = _mm256_add_epi16(sums[r][v], _mm256_maddubs_epi16(second[v], first));
                }
            }
        }
        for r in 0..R {
            for v in 0..2 {
                dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(sums[r][v], ones));
            }
        }
    }
    dots
}

/// Any number of words of halves.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn halves<const R: usize>(words: [&[u32]; R], lines: &[Line]) -> [[__m256i; 2]; R] {
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

/// Scales the dot products of a group and adds them to the sums; `scales` are the first operand's scale and correction.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add<const R: usize>(acc: &mut [Floats; R], dots: [[__m256i; 2]; R], scales: [[u32; 2]; R], second: &Line) {
    let second = load(second).map(|v| _mm256_castsi256_ps(v));
    for r in 0..R {
        let [s, c] = scales[r].map(|bits| _mm256_set1_ps(f32::from_bits(bits)));
        for v in 0..2 {
            let scaled = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r][v]), s, c);
            acc[r][v] = _mm256_fmadd_ps(scaled, second[v], acc[r][v]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(line: &Line) -> [__m256i; 2] {
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
