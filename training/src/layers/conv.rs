//! Two-dimensional convolution as a product.

use crate::NetworkError;
use crate::layers::columns::{Window, col2im, im2col};
use crate::layers::{Affine, Layer, Product, take_channels};
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// Convolution with a square window, stride and zero padding, as O = W X: X has a row for each (filter row,
/// filter column, channel), in this order, and a column for each (output row, output column, image).
///
/// With groups, group g of the filters sees group g of the channels only, and each group is a product of its own; as many
/// groups as channels make a depthwise convolution.
#[derive(Debug, Clone)]
pub(crate) struct Conv2d {
    pub name: String,
    pub affine: Affine,
    pub channels: usize,
    pub window: Window,
}

impl Layer for Conv2d {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        take_channels(&self.name, self.channels, input)?;
        let (height, width) = self.window.slide(&self.name, input)?;
        Ok(Shape { channels: self.affine.outputs, height, width, ..input })
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let output = self.output(tape.value(input).shape()).expect("the network has checked its shapes");
        let mut out = tape.tensor(output);
        let (image, scope) = tape.value_and_scope(input);
        let work = ConvWork { affine: self.affine, window: self.window };
        work.with_columns(scope, image, output, |scope, columns| {
            self.affine.forward(scope, columns, out.data_mut());
        });
        tape.push_trained(out, vec![input], Box::new(work))
    }

    fn products(&self, input: Shape, input_gradient: bool) -> Vec<Product> {
        let n = self.output(input).map_or(0, |output| output.len() / output.channels);
        self.affine.products(n, input_gradient)
    }

    fn scratch(&self, input: Shape) -> usize {
        let places = self.output(input).map_or(0, |output| output.len() / output.channels);
        if self.window.is_identity() { 0 } else { self.affine.rows().saturating_mul(places) }
    }

    fn is_trained(&self) -> bool {
        true
    }
}

/// What a convolution does with its columns. They are made anew on the way back: they are as many times larger than the image
/// as the window has taps, and making them costs less than keeping them all.
struct ConvWork {
    affine: Affine,
    window: Window,
}

impl ConvWork {
    /// Runs `work` on the columns of `image`.
    fn with_columns(
        &self,
        scope: &mut Scope<'_>,
        image: &Tensor,
        output: Shape,
        work: impl FnOnce(&mut Scope<'_>, &[f32]),
    ) {
        if self.window.is_identity() {
            return work(scope, image.data());
        }
        let mut columns = scope.pool().take(self.affine.rows() * output.len() / output.channels);
        im2col(image, self.window, self.affine.groups, output, &mut columns);
        work(scope, &columns);
        scope.pool().give(columns);
    }

    fn input_gradient(&self, scope: &mut Scope<'_>, image: Shape, upstream: &Tensor) -> Tensor {
        let mut gradient = scope.pool().tensor(image);
        if self.window.is_identity() {
            self.affine.input_gradient(scope, upstream.data(), gradient.data_mut());
            return gradient;
        }
        let output = upstream.shape();
        let mut columns = scope.pool().take(self.affine.rows() * output.len() / output.channels);
        self.affine.input_gradient(scope, upstream.data(), &mut columns);
        col2im(&columns, self.window, self.affine.groups, output, &mut gradient);
        scope.pool().give(columns);
        gradient
    }
}

impl Operation for ConvWork {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let (image, upstream) = (step.inputs[0], step.upstream);
        self.with_columns(scope, image, upstream.shape(), |scope, columns| {
            self.affine.weight_gradient(scope, columns, upstream.data());
        });
        let gradient = step.wanted[0].then(|| self.input_gradient(scope, image.shape(), &upstream));
        scope.pool().give(upstream.into_data());
        vec![gradient]
    }
}
