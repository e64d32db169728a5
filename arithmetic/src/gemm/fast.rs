//! The fast path: dot products without residues, then the elements that the channel hit once more.

use rayon::prelude::*;

use super::packed::{First, Second, fits};
use super::read::RowErrors;
use super::{EmulatedGemm, canonical, kernel};
use crate::bfp::{POISON, Quantised, scale};
use crate::{Counters, Site};

/// Rows of C in one unit of work.
const STRIP: usize = 32;

/// Products smaller than this are not worth a second thread.
const SMALL: usize = 1 << 21;

pub(super) fn multiply(
    gemm: &EmulatedGemm,
    site: Site,
    a: &Quantised,
    b: &Quantised,
    out: &mut [f32],
) -> Counters {
    let (rows, columns, groups) = (a.rows(), b.rows(), a.groups());
    let reads = rows as u64 * columns as u64 * groups as u64;
    let mut counters = Counters { residues: reads * gemm.config.moduli.len() as u64, ..Counters::default() };
    if out.is_empty() {
        return counters;
    }
    let format = gemm.config.format;
    let exact = fits(format, a, b);
    let packed = (exact && kernel::available()).then(|| (First::new(format, a), Second::new(format, b)));
    let strip = |(i, out): (usize, &mut [f32])| {
        let (first, mut elements) = (i * STRIP, Elements::new(a, b, exact));
        match &packed {
            Some((pa, pb)) => kernel::rows(pa, pb, first, columns, out),
            None => plain(&mut elements, first, columns, out),
        }
        let mut counters = Counters::default();
        for (r, out) in out.chunks_mut(columns).enumerate() {
            counters += errors(gemm, site, &mut elements, first + r, out);
        }
        canonical(out);
        counters
    };
    let strips = STRIP * columns;
    counters += if rows * columns * groups * format.group < SMALL {
        out.chunks_mut(strips).enumerate().map(strip).sum::<Counters>()
    } else {
        out.par_chunks_mut(strips).enumerate().map(strip).sum()
    };
    counters
}

/// The portable path, for processors without the kernel and operands that do not fit it.
fn plain(elements: &mut Elements<'_>, first: usize, columns: usize, out: &mut [f32]) {
    for (r, out) in out.chunks_mut(columns).enumerate() {
        for (column, out) in out.iter_mut().enumerate() {
            *out = elements.form(first + r, column, |_, dot| dot);
        }
    }
}

/// Forms single elements of C once more; the buffer holds the dot products of one element.
struct Elements<'a> {
    a: &'a Quantised,
    b: &'a Quantised,
    /// Whether scaling in f32 is exact.
    exact: bool,
    dots: Vec<i32>,
}

impl<'a> Elements<'a> {
    fn new(a: &'a Quantised, b: &'a Quantised, exact: bool) -> Self {
        Self { a, b, exact, dots: vec![0; a.groups()] }
    }

    /// One element; `read` turns the true dot product of a group into the value that is used.
    fn form(&mut self, row: usize, column: usize, mut read: impl FnMut(usize, i64) -> i64) -> f32 {
        let (a, b) = (self.a, self.b);
        kernel::dots(a.row(row), b.row(column), &mut self.dots);
        let exponents = a.row_exponents(row).iter().zip(b.row_exponents(column));
        let mut sum = 0f32;
        for (group, (&dot, (&ea, &eb))) in self.dots.iter().zip(exponents).enumerate() {
            let value = read(group, i64::from(dot));
            // A group of zeros has a dot product of 0, unless it was hit.
            let small = self.exact && value == i64::from(dot);
            sum += if small { dot as f32 * (normal(ea) * normal(eb)) } else { scale(value as f32, ea, eb) };
        }
        sum
    }
}

/// 2^e for the exponents that the kernel takes.
#[inline]
fn normal(e: i16) -> f32 {
    if e == POISON { f32::NAN } else { f32::from_bits(((i32::from(e).max(-126) + 127) as u32) << 23) }
}

/// Forms the elements of a row that the channel may have hit once more, in order, with what was read.
fn errors(
    gemm: &EmulatedGemm,
    site: Site,
    elements: &mut Elements<'_>,
    row: usize,
    out: &mut [f32],
) -> Counters {
    let groups = elements.a.groups();
    let errors = RowErrors::new(gemm, site, row, out.len(), groups);
    let mut counters = Counters::default();
    for of_column in
        errors.candidates.chunk_by(|x, y| x.position / groups as u64 == y.position / groups as u64)
    {
        let column = (of_column[0].position / groups as u64) as usize;
        let mut left = of_column;
        out[column] = elements.form(row, column, |group, truth| {
            let position = (column * groups + group) as u64;
            let here = left.iter().take_while(|c| c.position == position).count();
            if here == 0 {
                return truth;
            }
            let (hits, rest) = left.split_at(here);
            left = rest;
            errors.value(truth, hits, group, &mut counters)
        });
    }
    counters
}

#[cfg(test)]
mod tests {
    use crate::*;

    fn operand(len: usize, seed: u64) -> Vec<f32> {
        let word = |i: usize| crate::philox::philox([i as u32, 7, 7, 7], [seed as u32, 3]);
        (0..len)
            .map(|i| {
                let w = word(i);
                let x = (w[0] as f32 / u32::MAX as f32 - 0.5) * 2f32.powi((w[1] % 16) as i32 - 8);
                if w[2] % 5 == 0 { 0.0 } else { x }
            })
            .collect()
    }

    fn both(gemm: &EmulatedGemm, (m, k, n): (usize, usize, usize), seed: u64) -> (Vec<u32>, Counters) {
        let (a, b) = (operand(m * k, seed), operand(k * n, seed + 1));
        let site = Site { layer: 3, pass: Pass::Forward, step: seed };
        let (mut fast, mut slow) = (vec![0.5; m * n], vec![0.25; m * n]);
        let (va, vb) = (Matrix::new(&a, m, k), Matrix::new(&b, n, k).transposed());
        let vb = if seed.is_multiple_of(2) { Matrix::new(&b, k, n) } else { vb };
        let x = gemm.multiply(site, va, vb, &mut fast);
        let y = gemm.multiply_reference(site, va, vb, &mut slow);
        assert_eq!(x, y, "{m} x {k} x {n}");
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&fast), bits(&slow), "{m} x {k} x {n}");
        (bits(&fast), x)
    }

    const SHAPES: [(usize, usize, usize); 9] = [
        (1, 1, 1),
        (3, 16, 5),
        (33, 47, 18),
        (5, 0, 4),
        (0, 3, 4),
        (4, 3, 0),
        (2, 1100, 9),
        (40, 160, 33),
        (7, 15, 100),
    ];

    #[test]
    fn fast_equals_reference_without_errors() {
        let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
        for (i, shape) in SHAPES.into_iter().enumerate() {
            both(&gemm, shape, i as u64);
        }
    }

    #[test]
    fn fast_equals_reference_with_errors_and_every_protection() {
        for protection in
            [Protection::None, Protection::Count, Protection::Saturate, Protection::ReadAgain { repeats: 3 }]
        {
            for rate in [1e-4, 3e-2, 0.9] {
                let config = GemmConfig { protection, ..GemmConfig::mirage(9) };
                let mut channel = ResidueChannel::slip(&config.moduli, &config.code, rate).unwrap();
                channel.set_again(32, 0.3);
                let gemm = EmulatedGemm::new(config, Some(channel)).unwrap();
                for (i, shape) in SHAPES.into_iter().enumerate() {
                    let (_, counters) = both(&gemm, shape, 50 + i as u64);
                    assert!(rate < 0.01 || counters.residues < 300 || counters.wrong > 0);
                }
            }
        }
    }

    #[test]
    fn every_format_and_rounding_agrees() {
        let moduli = Moduli::new(&[2047, 2048, 2049]).unwrap();
        for mantissa_bits in 2..=8 {
            for (group, rounding) in
                [(16, Rounding::NearestEven), (7, Rounding::Truncate), (33, Rounding::Stochastic)]
            {
                let format = BfpFormat { mantissa_bits, group, rounding };
                let code = SlipCode::natural(&moduli);
                let config = GemmConfig { moduli: moduli.clone(), format, code, ..GemmConfig::mirage(2) };
                let channel = ResidueChannel::uniform(&moduli, 1e-2).unwrap();
                both(
                    &EmulatedGemm::new(config, Some(channel)).unwrap(),
                    (9, 70, 21),
                    u64::from(mantissa_bits),
                );
            }
        }
    }

    #[test]
    fn extreme_values_agree() {
        let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
        let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
        for special in [f32::MAX, f32::MIN_POSITIVE, 1e-45, f32::NAN, f32::INFINITY, 0.0, -0.0] {
            let mut a = operand(3 * 40, 5);
            a[17] = special;
            let b = vec![special; 40 * 3];
            for b in [&b, &operand(40 * 3, 6)] {
                let (mut fast, mut slow) = ([0.0; 9], [0.0; 9]);
                gemm.multiply(site, Matrix::new(&a, 3, 40), Matrix::new(b, 40, 3), &mut fast);
                gemm.multiply_reference(site, Matrix::new(&a, 3, 40), Matrix::new(b, 40, 3), &mut slow);
                assert_eq!(fast.map(f32::to_bits), slow.map(f32::to_bits), "{special}");
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let config = GemmConfig { protection: Protection::ReadAgain { repeats: 2 }, ..GemmConfig::mirage(4) };
        let channel = ResidueChannel::uniform(&config.moduli, 1e-3).unwrap();
        let gemm = EmulatedGemm::new(config, Some(channel)).unwrap();
        let (a, b) = (operand(200 * 300, 1), operand(300 * 150, 2));
        let site = Site { layer: 1, pass: Pass::WeightGradient, step: 12 };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; 200 * 150];
            let counters = pool.install(|| {
                gemm.multiply(site, Matrix::new(&a, 200, 300), Matrix::new(&b, 300, 150), &mut out)
            });
            (out.iter().map(|x: &f32| x.to_bits()).collect::<Vec<_>>(), counters)
        };
        let one = run(1);
        assert!(one.1.repeated > 0);
        assert_eq!(one, run(2));
        assert_eq!(one, run(8));
    }

    /// Without errors the product is BFP's own: checked against f64 sums of the quantised values.
    #[test]
    fn the_product_is_that_of_the_quantised_values() {
        let gemm = EmulatedGemm::new(GemmConfig::mirage(1), None).unwrap();
        let (a, b) = (operand(6 * 50, 11), operand(50 * 7, 12));
        let mut out = vec![0.0; 42];
        gemm.multiply(
            Site { layer: 0, pass: Pass::Forward, step: 0 },
            Matrix::new(&a, 6, 50),
            Matrix::new(&b, 50, 7),
            &mut out,
        );
        let format = BfpFormat::mirage();
        let quantise = |x: &[f32]| -> Vec<f64> {
            x.chunks(format.group)
                .flat_map(|g| {
                    let top = g.iter().fold(0f64, |m, &x| m.max(f64::from(x.abs())));
                    let unit = 2f64.powi(top.log2().floor() as i32 - 3);
                    g.iter().map(move |&x| {
                        if top == 0.0 {
                            0.0
                        } else {
                            (f64::from(x) / unit).round_ties_even().clamp(-15.0, 15.0) * unit
                        }
                    })
                })
                .collect()
        };
        for m in 0..6 {
            for n in 0..7 {
                let row = quantise(&a[m * 50..(m + 1) * 50]);
                let column: Vec<f32> = (0..50).map(|k| b[k * 7 + n]).collect();
                let exact: f64 = row.iter().zip(quantise(&column)).map(|(x, y)| x * y).sum();
                let size: f64 = row.iter().zip(quantise(&column)).map(|(x, y)| (x * y).abs()).sum();
                assert!((f64::from(out[m * 7 + n]) - exact).abs() <= size * 1e-6, "{m} {n}");
            }
        }
    }

    /// The share of wrong reads follows the given rate within four standard errors, for each protection's first read.
    #[test]
    fn errors_come_at_their_rate() {
        let config = GemmConfig::mirage(77);
        let channel = ResidueChannel::uniform(&config.moduli, 2e-3).unwrap();
        let gemm = EmulatedGemm::new(config, Some(channel)).unwrap();
        let (_, counters) = both(&gemm, (64, 512, 64), 3);
        let expected = counters.residues as f64 * 2e-3;
        assert!((counters.wrong as f64 - expected).abs() < 4.0 * expected.sqrt(), "{counters:?}");
    }
}
