//! The three products that a convolution and a dense layer share.

use crate::layers::Product;
use crate::parameters::ParameterId;
use crate::tape::{Backward, Operation, Scope};
use crate::tensor::{Tensor, sum};
use mirage_arithmetic::{Matrix, Pass};

/// O = W X + b 1^T with W: `outputs` x `depth`, X: `groups depth` x n, and both gradients.
///
/// With several groups, each has its own rows of W, X and O and its own products: group g multiplies rows
/// g outputs / groups and on of W with rows g depth and on of X.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine {
    pub site: u32,
    pub weight: ParameterId,
    /// None where a batch norm follows, which would take it away again.
    pub bias: Option<ParameterId>,
    pub outputs: usize,
    /// Of one group.
    pub depth: usize,
    /// Divides `outputs`.
    pub groups: usize,
}

impl Affine {
    /// Rows of X.
    pub fn rows(&self) -> usize {
        self.groups * self.depth
    }

    /// `out` (`outputs` x n) becomes W X + b.
    pub fn forward(&self, scope: &mut Scope<'_>, x: &[f32], out: &mut [f32]) {
        let (n, m) = (x.len() / self.rows(), self.outputs / self.groups);
        let weights = scope.parameter(self.weight).chunks_exact(m * self.depth);
        let parts = weights.zip(x.chunks_exact(self.depth * n)).zip(out.chunks_exact_mut(m * n));
        for (group, ((weight, x), out)) in (0..).zip(parts) {
            let (weight, x) = (Matrix::new(weight, m, self.depth), Matrix::new(x, self.depth, n));
            scope.multiply((self.site, group), Pass::Forward, weight, x, out);
        }
        let Some(bias) = self.bias else { return };
        for (row, &bias) in out.chunks_exact_mut(n).zip(scope.parameter(bias)) {
            row.iter_mut().for_each(|value| *value += bias);
        }
    }

    /// dW = dO X^T and db = dO 1, handed to the scope.
    pub fn weight_gradient(&self, scope: &mut Scope<'_>, x: &[f32], upstream: &[f32]) {
        let (n, m) = (x.len() / self.rows(), self.outputs / self.groups);
        if let Some(id) = self.bias {
            let mut bias = scope.pool().take(self.outputs);
            bias.iter_mut().zip(upstream.chunks_exact(n)).for_each(|(bias, row)| *bias = sum(row));
            scope.add_gradient(id, bias);
        }
        let mut weight = scope.pool().take(self.outputs * self.depth);
        let parts = weight.chunks_exact_mut(m * self.depth);
        let parts = parts.zip(x.chunks_exact(self.depth * n)).zip(upstream.chunks_exact(m * n));
        for (group, ((weight, x), upstream)) in (0..).zip(parts) {
            let upstream = Matrix::new(upstream, m, n);
            let x = Matrix::new(x, self.depth, n).transposed();
            scope.multiply((self.site, group), Pass::WeightGradient, upstream, x, weight);
        }
        scope.add_gradient(self.weight, weight);
    }

    /// `out` (`groups depth` x n) becomes dX = W^T dO.
    pub fn input_gradient(&self, scope: &mut Scope<'_>, upstream: &[f32], out: &mut [f32]) {
        let (n, m) = (upstream.len() / self.outputs, self.outputs / self.groups);
        let weights = scope.parameter(self.weight).chunks_exact(m * self.depth);
        let parts = weights.zip(upstream.chunks_exact(m * n)).zip(out.chunks_exact_mut(self.depth * n));
        for (group, ((weight, upstream), out)) in (0..).zip(parts) {
            let weight = Matrix::new(weight, m, self.depth).transposed();
            scope.multiply((self.site, group), Pass::InputGradient, weight, Matrix::new(upstream, m, n), out);
        }
    }

    /// The products of a step in the order of the functions above.
    pub fn products(&self, n: usize, input_gradient: bool) -> Vec<Product> {
        let (m, k, site, repeats) = (self.outputs / self.groups, self.depth, self.site, self.groups);
        let mut all = vec![
            Product { site, pass: Pass::Forward, m, k, n, repeats },
            Product { site, pass: Pass::WeightGradient, m, k: n, n: k, repeats },
        ];
        if input_gradient {
            all.push(Product { site, pass: Pass::InputGradient, m: k, k: m, n, repeats });
        }
        all
    }
}

/// As a dense layer, at one place or at each of many.
impl Operation for Affine {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let (input, upstream) = (step.inputs[0], step.upstream);
        self.weight_gradient(scope, input.data(), upstream.data());
        let gradient = step.wanted[0].then(|| {
            let mut gradient = scope.pool().tensor(input.shape());
            self.input_gradient(scope, upstream.data(), gradient.data_mut());
            gradient
        });
        scope.pool().give(upstream.into_data());
        vec![gradient]
    }
}
