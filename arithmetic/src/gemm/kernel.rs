//! The vector kernel for x86-64 with AVX2 and FMA, chosen at run time.

#[cfg(target_arch = "x86_64")]
use super::packed::{First, LANES, STEP, Second};

/// Groups of K that a strip of panels keeps in the first-level cache.
#[cfg(target_arch = "x86_64")]
const CHUNK: usize = 64;

/// Rows of C formed at once.
#[cfg(target_arch = "x86_64")]
const ROWS: usize = 4;

/// Whether this processor has the instructions that the kernel needs.
pub(super) fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// The dot products of the groups of two rows of mantissas; there are as many as `dots` holds.
pub(super) fn dots(a: &[i16], b: &[i16], dots: &mut [i32]) {
    if dots.is_empty() {
        return;
    }
    let group = a.len() / dots.len();
    #[cfg(target_arch = "x86_64")]
    if group == 16 && available() {
        // SAFETY: the processor has AVX2, as was just asked; the function has no other precondition.
        unsafe { dots_avx2(a.as_chunks().0, b.as_chunks().0, dots) };
        return;
    }
    for (dot, (a, b)) in dots.iter_mut().zip(a.chunks(group).zip(b.chunks(group))) {
        *dot = super::dot(a, b);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dots_avx2(a: &[[i16; 16]], b: &[[i16; 16]], dots: &mut [i32]) {
    use std::arch::x86_64::*;
    // SAFETY: 16 mantissas are one vector.
    let load = |x: &[i16; 16]| unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
    for (dot, (a, b)) in dots.iter_mut().zip(a.iter().zip(b)) {
        let sums = _mm256_madd_epi16(load(a), load(b));
        let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        let sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0b01_00_11_10));
        let sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0b10_11_00_01));
        *dot = _mm_cvtsi128_si32(sums);
    }
}

/// Rows `first..first + out.len() / columns` of C.
#[cfg(target_arch = "x86_64")]
pub(super) fn rows(a: &First, b: &Second, first: usize, columns: usize, out: &mut [f32]) {
    assert!(available());
    // SAFETY: the processor has AVX2 and FMA, as was just asserted; the function has no other precondition.
    unsafe { rows_avx2(a, b, first, columns, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn rows_avx2(a: &First, b: &Second, first: usize, columns: usize, out: &mut [f32]) {
    let count = out.len().checked_div(columns).unwrap_or(0);
    // Sums of a strip of two panels are kept here between chunks of K.
    for pair in 0..b.panels / 2 {
        let mut sums = vec![[0f32; 2 * LANES]; count];
        for chunk in (0..a.groups).step_by(CHUNK) {
            let groups = chunk..(chunk + CHUNK).min(a.groups);
            let mut row = 0;
            while row < count {
                if count - row >= ROWS {
                    block::<ROWS>(a, b, first + row, pair, groups.clone(), &mut sums[row..row + ROWS]);
                    row += ROWS;
                } else {
                    block::<1>(a, b, first + row, pair, groups.clone(), &mut sums[row..=row]);
                    row += 1;
                }
            }
        }
        let column = pair * 2 * LANES;
        let width = (columns - column).min(2 * LANES);
        for (row, sum) in sums.iter().enumerate() {
            out[row * columns + column..][..width].copy_from_slice(&sum[..width]);
        }
    }
}

/// Adds the groups to R rows of two panels.
///
/// Additions go over groups in ascending order; the product of two scales and that of a dot product with it are exact, so a
/// fused multiply-add rounds exactly as a separate addition does.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn block<const R: usize>(
    a: &First,
    b: &Second,
    row: usize,
    pair: usize,
    groups: std::ops::Range<usize>,
    sums: &mut [[f32; 2 * LANES]],
) {
    use std::arch::x86_64::*;
    let (width, steps) = (a.width, a.width / STEP);
    let ones = _mm256_set1_epi16(1);
    let mut acc = [[_mm256_setzero_ps(); 2]; R];
    for (r, sum) in sums.iter().enumerate().take(R) {
        // SAFETY: each half of a row of sums holds LANES = 8 values.
        acc[r] = unsafe { [_mm256_loadu_ps(sum.as_ptr()), _mm256_loadu_ps(sum[LANES..].as_ptr())] };
    }
    for group in groups {
        let bytes: [&[u8]; R] = std::array::from_fn(|r| {
            let at = ((row + r) * a.groups + group) * width;
            &a.bytes[at..at + width]
        });
        for (p, panel) in [2 * pair, 2 * pair + 1].into_iter().enumerate() {
            let cell = (panel * a.groups + group) * LANES;
            let second = &b.bytes[cell * width..(cell + LANES) * width];
            let mut dots = [_mm256_setzero_si256(); R];
            for step in 0..steps {
                // SAFETY: a group of a panel has `steps` vectors of 32 bytes, and a group of a row `steps` words of 4 bytes.
                unsafe {
                    let v = _mm256_loadu_si256(second.as_ptr().add(step * 32).cast());
                    for r in 0..R {
                        let word = bytes[r].as_ptr().add(step * STEP).cast::<i32>().read_unaligned();
                        let product = _mm256_maddubs_epi16(_mm256_set1_epi32(word), v);
                        dots[r] = _mm256_add_epi16(dots[r], product);
                    }
                }
            }
            // SAFETY: sums and scales hold LANES = 8 values for each cell.
            let (correction, scale) = unsafe {
                (
                    _mm256_loadu_si256(b.sums[cell..cell + LANES].as_ptr().cast()),
                    _mm256_loadu_ps(b.scales[cell..cell + LANES].as_ptr()),
                )
            };
            for r in 0..R {
                let dot = _mm256_sub_epi32(_mm256_madd_epi16(dots[r], ones), correction);
                let scale = _mm256_mul_ps(_mm256_set1_ps(a.scales[(row + r) * a.groups + group]), scale);
                acc[r][p] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, acc[r][p]);
            }
        }
    }
    for (r, sum) in sums.iter_mut().enumerate().take(R) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_ps(sum.as_mut_ptr(), acc[r][0]);
            _mm256_storeu_ps(sum[LANES..].as_mut_ptr(), acc[r][1]);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn rows(_: &super::packed::First, _: &super::packed::Second, _: usize, _: usize, _: &mut [f32]) {
    unreachable!("the kernel is asked for only where it is available");
}
