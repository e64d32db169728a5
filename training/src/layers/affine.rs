//! The three products that a convolution and a dense layer share.

use crate::layers::Product;
use crate::parameters::ParameterId;
use crate::tape::Scope;
use crate::tensor::sum;
use mirage_arithmetic::{Matrix, Pass};

/// O = W X + b 1^T with W: `outputs` x `depth`, X: `depth` x n, and both gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine {
    pub site: u32,
    pub weight: ParameterId,
    pub bias: ParameterId,
    pub outputs: usize,
    pub depth: usize,
}

impl Affine {
    /// `out` (`outputs` x n) becomes W X + b.
    pub fn forward(&self, scope: &mut Scope<'_>, x: &[f32], out: &mut [f32]) {
        let n = x.len() / self.depth;
        let weight = Matrix::new(scope.parameter(self.weight), self.outputs, self.depth);
        scope.multiply(self.site, Pass::Forward, weight, Matrix::new(x, self.depth, n), out);
        for (row, &bias) in out.chunks_exact_mut(n).zip(scope.parameter(self.bias)) {
            row.iter_mut().for_each(|value| *value += bias);
        }
    }

    /// dW = dO X^T and db = dO 1, handed to the scope.
    pub fn weight_gradient(&self, scope: &mut Scope<'_>, x: &[f32], upstream: &[f32]) {
        let n = x.len() / self.depth;
        let mut bias = scope.pool().take(self.outputs);
        bias.iter_mut().zip(upstream.chunks_exact(n)).for_each(|(bias, row)| *bias = sum(row));
        scope.add_gradient(self.bias, bias);
        let mut weight = scope.pool().take(self.outputs * self.depth);
        let upstream = Matrix::new(upstream, self.outputs, n);
        let x = Matrix::new(x, self.depth, n).transposed();
        scope.multiply(self.site, Pass::WeightGradient, upstream, x, &mut weight);
        scope.add_gradient(self.weight, weight);
    }

    /// `out` (`depth` x n) becomes dX = W^T dO.
    pub fn input_gradient(&self, scope: &mut Scope<'_>, upstream: &[f32], out: &mut [f32]) {
        let n = upstream.len() / self.outputs;
        let weight = Matrix::new(scope.parameter(self.weight), self.outputs, self.depth).transposed();
        let upstream = Matrix::new(upstream, self.outputs, n);
        scope.multiply(self.site, Pass::InputGradient, weight, upstream, out);
    }

    /// The products of a step in the order of the functions above.
    pub fn products(&self, n: usize, input_gradient: bool) -> Vec<Product> {
        let (m, k, site) = (self.outputs, self.depth, self.site);
        let mut all = vec![
            Product { site, pass: Pass::Forward, m, k, n },
            Product { site, pass: Pass::WeightGradient, m, k: n, n: k },
        ];
        if input_gradient {
            all.push(Product { site, pass: Pass::InputGradient, m: k, k: m, n });
        }
        all
    }
}
