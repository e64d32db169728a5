//! Maxima over windows.

use crate::NetworkError;
use crate::layers::Layer;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// The maximum over squares of `side` that lie side by side; rows and columns that do not fill a square are
/// left out. Of equal maxima the first (row by row) gets the gradient.
#[derive(Debug, Clone)]
pub(crate) struct MaxPool {
    pub name: String,
    pub side: usize,
}

impl Layer for MaxPool {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        let layer = || self.name.clone();
        if self.side == 0 {
            return Err(NetworkError::Zero { layer: layer(), what: "the side of the window" });
        }
        let (height, width) = (input.height / self.side, input.width / self.side);
        if height == 0 || width == 0 {
            let Shape { height, width, .. } = input;
            return Err(NetworkError::Window {
                layer: layer(),
                window: self.side,
                height,
                width,
                padding: 0,
            });
        }
        Ok(Shape { height, width, ..input })
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let output = self.output(tape.value(input).shape()).expect("the network has checked its shapes");
        let mut out = tape.tensor(output);
        let image = tape.value(input);
        for (place, best) in out.data_mut().chunks_exact_mut(output.batch).enumerate() {
            best.fill(f32::NEG_INFINITY);
            for tap in self.taps(image.shape(), output, place) {
                let values = &image.data()[tap..tap + output.batch];
                // What is not a number wins and stays, so that it is noticed.
                best.iter_mut().zip(values).for_each(|(best, &x)| {
                    *best = if x > *best || x.is_nan() { x } else { *best };
                });
            }
        }
        tape.push(out, vec![input], Box::new(PoolBack { layer: self.clone() }))
    }
}

impl MaxPool {
    /// Where the values of one output place begin in the image, row by row.
    fn taps(&self, input: Shape, output: Shape, place: usize) -> impl Iterator<Item = usize> + use<> {
        let (side, batch, width) = (self.side, input.batch, input.width);
        let (line, column) = (place / output.width, place % output.width);
        let (channel, row) = (line / output.height, line % output.height);
        let first = ((channel * input.height + row * side) * width + column * side) * batch;
        (0..side * side).map(move |tap| first + (tap / side * width + tap % side) * batch)
    }
}

struct PoolBack {
    layer: MaxPool,
}

impl Operation for PoolBack {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let (image, output) = (step.inputs[0], step.output.shape());
        let mut left = step.upstream;
        let mut gradient = scope.pool().tensor(image.shape());
        let side = self.layer.side;
        if image.shape().height % side != 0 || image.shape().width % side != 0 {
            gradient.data_mut().fill(0.0);
        }
        let places =
            left.data_mut().chunks_exact_mut(output.batch).zip(step.output.data().chunks(output.batch));
        for (place, (left, best)) in places.enumerate() {
            for tap in self.layer.taps(image.shape(), output, place) {
                let values = &image.data()[tap..tap + output.batch];
                let to = &mut gradient.data_mut()[tap..tap + output.batch];
                hand_out(values, best, left, to);
            }
        }
        scope.pool().give(left.into_data());
        vec![step.wanted[0].then_some(gradient)]
    }
}

/// The first value that equals the maximum takes the gradient and leaves none.
fn hand_out(values: &[f32], best: &[f32], left: &mut [f32], to: &mut [f32]) {
    // One length for all, and no branch: the compiler makes vectors of this.
    let (best, left, to) = (&best[..values.len()], &mut left[..values.len()], &mut to[..values.len()]);
    for i in 0..values.len() {
        let (hit, gradient) = (values[i] == best[i], left[i]);
        to[i] = if hit { gradient } else { 0.0 };
        left[i] = if hit { 0.0 } else { gradient };
    }
}
