//! Products in other number formats, for comparison.

use mirage_arithmetic::{Counters, Matrix, NumberFormat, Rounded, Site};

use crate::gemm::{Fp32, Gemm};

/// Both operands rounded to a [`NumberFormat`]; sums in `f32`, or exact for integers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoundedGemm(pub NumberFormat);

impl Gemm for RoundedGemm {
    fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        let (x, y) = (self.0.round(a, site.pass, false), self.0.round(b, site.pass, true));
        let scale = x.scale * y.scale;
        if self.0.is_integer() {
            exact(&x, a, &y, b, scale, out);
        } else {
            Fp32.multiply(site, a.with_data(&x.values), b.with_data(&y.values), out);
            if scale != 1.0 {
                // Both scales are powers of two, so that this rounds only where the result is subnormal.
                out.iter_mut().for_each(|sum| *sum = (f64::from(*sum) * scale) as f32);
            }
        }
        Counters::default()
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

/// Products of integers of at most 12 bits: sums of up to 2^31 of them are exact in `f64`.
fn exact(x: &Rounded, a: Matrix<'_>, y: &Rounded, b: Matrix<'_>, scale: f64, out: &mut [f32]) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    assert_eq!(b.rows(), k, "rows of the second operand");
    assert_eq!(out.len(), m * n, "numbers in the result");
    let [x, y] = [x, y].map(|rounded| rounded.values.iter().copied().map(f64::from).collect::<Vec<f64>>());
    let mut sums = vec![0.0_f64; m * n];
    // SAFETY: views of m x k and k x n with these strides lie within data of the size of `x` and `y`, which `Matrix` has
    // checked; `sums` has m rows of n, and nothing else borrows it.
    unsafe {
        matrixmultiply::dgemm(
            m,
            k,
            n,
            1.0,
            x.as_ptr(),
            a.row_stride() as isize,
            a.col_stride() as isize,
            y.as_ptr(),
            b.row_stride() as isize,
            b.col_stride() as isize,
            0.0,
            sums.as_mut_ptr(),
            n as isize,
            1,
        );
    }
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum * scale) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirage_arithmetic::Pass;
    use rand::Rng;
    use rand_pcg::Pcg64;

    const SITE: Site = Site { layer: 0, pass: Pass::InputGradient, step: 0 };

    fn numbers(len: usize, stream: u128) -> Vec<f32> {
        let mut generator = Pcg64::new(7, stream);
        (0..len).map(|_| (generator.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// The sum of the rounded operands' products, each to the last bit of f64, in any order.
    fn plain(format: NumberFormat, a: Matrix<'_>, b: Matrix<'_>) -> Vec<f64> {
        let (x, y) = (format.round(a, SITE.pass, false), format.round(b, SITE.pass, true));
        let (u, v) = (a.with_data(&x.values), b.with_data(&y.values));
        let dot = |i: usize, j: usize| -> f64 {
            (0..a.cols()).map(|k| f64::from(u.at(i, k)) * f64::from(v.at(k, j))).sum()
        };
        (0..a.rows() * b.cols()).map(|at| dot(at / b.cols(), at % b.cols()) * x.scale * y.scale).collect()
    }

    #[test]
    fn products_are_those_of_the_rounded_operands() {
        let (m, k, n) = (5, 37, 4);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        for format in NumberFormat::ALL {
            // The first operand transposed, as in dX = W^T dO.
            let (a, b) = (Matrix::new(&a, k, m).transposed(), Matrix::new(&b, k, n));
            let mut out = vec![f32::NAN; m * n];
            RoundedGemm(format).multiply(SITE, a, b, &mut out);
            for (got, want) in out.iter().zip(plain(format, a, b)) {
                // Exact sums are rounded once; others at each of 37 additions of numbers below 8.
                let most =
                    if format.is_integer() { want.abs() * 2f64.powi(-24) } else { 37.0 * 2f64.powi(-21) };
                assert!((f64::from(*got) - want).abs() <= most, "{format:?} {got} {want}");
            }
        }
    }

    #[test]
    fn coarser_formats_are_further_from_the_truth() {
        let (m, k, n) = (8, 256, 8);
        let (a, b) = (numbers(m * k, 3), numbers(k * n, 4));
        let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
        let mut truth = vec![0.0; m * n];
        Fp32.multiply(SITE, a, b, &mut truth);
        let error = |format: NumberFormat| {
            let mut out = vec![0.0; m * n];
            RoundedGemm(format).multiply(SITE, a, b, &mut out);
            let squares = out.iter().zip(&truth).map(|(x, y)| f64::from(x - y).powi(2));
            (squares.sum::<f64>() / (m * n) as f64).sqrt()
        };
        // Uniform operands, a step of 2/(2^bits - 2) each: the error of a product has the variance step^2/12 times 1/3, twice.
        let integer = |most: f64| (k as f64 * 2.0 / 3.0 / 12.0).sqrt() / most;
        for (format, want) in [(NumberFormat::Int8, integer(127.0)), (NumberFormat::Int12, integer(2047.0))] {
            assert!((error(format) / want - 1.0).abs() < 0.3, "{format:?}: {} {want}", error(format));
        }
        assert!(error(NumberFormat::Int12) < error(NumberFormat::Bfloat16));
        assert!(error(NumberFormat::Bfloat16) < error(NumberFormat::Hfp8));
        assert!(error(NumberFormat::Int8) < error(NumberFormat::Hfp8));
    }
}
