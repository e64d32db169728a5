//! Two-dimensional convolution as a product.

use crate::NetworkError;
use crate::layers::{Affine, Layer, Product};
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// Convolution with a square window, stride and zero padding, as O = W X: X has a row for each (filter row,
/// filter column, channel), in this order, and a column for each (output row, output column, image).
#[derive(Debug, Clone)]
pub(crate) struct Conv2d {
    pub name: String,
    pub affine: Affine,
    pub channels: usize,
    pub window: Window,
}

/// A square window that slides over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub side: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Window {
    /// Places of the window along a side: floor((size + 2 padding - side) / stride) + 1.
    fn places(self, size: usize) -> Option<usize> {
        let room = self.padding.saturating_mul(2).saturating_add(size).checked_sub(self.side)?;
        Some((room / self.stride).saturating_add(1))
    }

    /// Output height and width.
    pub fn slide(self, layer: &str, input: Shape) -> Result<(usize, usize), NetworkError> {
        if self.side == 0 || self.stride == 0 {
            let what = if self.side == 0 { "the side of the window" } else { "the stride" };
            return Err(NetworkError::Zero { layer: layer.into(), what });
        }
        self.places(input.height).zip(self.places(input.width)).ok_or_else(|| NetworkError::Window {
            layer: layer.into(),
            window: self.side,
            height: input.height,
            width: input.width,
            padding: self.padding,
        })
    }

    /// For tap `tap` of the window: the first and one behind the last output place that meets the image,
    /// out of `places`, the others lying on padding.
    fn inside(self, tap: usize, size: usize, places: usize) -> (usize, usize) {
        let first = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let behind = (size + self.padding).saturating_sub(tap).div_ceil(self.stride);
        let behind = behind.min(places);
        (first.min(behind), behind)
    }

    /// Where in the image tap `tap` of the window at `place` lies; the place must be inside.
    fn at(self, tap: usize, place: usize) -> usize {
        place * self.stride + tap - self.padding
    }
}

impl Layer for Conv2d {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        if input.channels != self.channels {
            let (expected, found) = (self.channels, input.channels);
            return Err(NetworkError::Features { layer: self.name.clone(), expected, found });
        }
        let (height, width) = self.window.slide(&self.name, input)?;
        Ok(Shape { channels: self.affine.outputs, height, width, ..input })
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let shape = tape.value(input).shape();
        let output = self.output(shape).expect("the network has checked its shapes");
        let mut out = tape.tensor(output);
        let mut columns = tape.scope().pool().take(self.affine.depth * out.data().len() / output.channels);
        im2col(tape.value(input), self.window, output, &mut columns);
        self.affine.forward(tape.scope(), &columns, out.data_mut());
        let back = ConvBack { affine: self.affine, window: self.window, columns };
        tape.push_trained(out, vec![input], Box::new(back))
    }

    fn products(&self, input: Shape, input_gradient: bool) -> Vec<Product> {
        let n = self.output(input).map_or(0, |output| output.len() / output.channels);
        self.affine.products(n, input_gradient)
    }

    fn is_trained(&self) -> bool {
        true
    }
}

struct ConvBack {
    affine: Affine,
    window: Window,
    columns: Vec<f32>,
}

impl Operation for ConvBack {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let Self { affine, window, mut columns } = *self;
        let upstream = step.upstream;
        affine.weight_gradient(scope, &columns, upstream.data());
        let gradient = step.wanted[0].then(|| {
            // The columns have served; their gradient has the same size.
            affine.input_gradient(scope, upstream.data(), &mut columns);
            let mut gradient = scope.pool().tensor(step.inputs[0].shape());
            col2im(&columns, window, step.output.shape(), &mut gradient);
            gradient
        });
        scope.pool().give(columns);
        scope.pool().give(upstream.into_data());
        vec![gradient]
    }

    fn discard(self: Box<Self>, scope: &mut Scope<'_>) {
        scope.pool().give(self.columns);
    }
}

/// Writes the window's contents at all places: row (filter row, filter column, channel), column (output row,
/// output column, image). With the image last, what is copied are whole rows for stride 1.
fn im2col(image: &Tensor, window: Window, output: Shape, columns: &mut [f32]) {
    let shape = image.shape();
    let rows = columns.chunks_exact_mut(output.height * output.width * output.batch);
    for (index, row) in rows.enumerate() {
        let (tap, channel) = (index / shape.channels, index % shape.channels);
        let (r, s) = (tap / window.side, tap % window.side);
        let plane = &image.data()[channel * shape.len() / shape.channels..][..shape.len() / shape.channels];
        let (top, bottom) = window.inside(r, shape.height, output.height);
        let line = output.width * output.batch;
        row[..top * line].fill(0.0);
        row[bottom * line..].fill(0.0);
        for place in top..bottom {
            let from = &plane[window.at(r, place) * shape.width * shape.batch..][..shape.width * shape.batch];
            copy_line(from, window, s, output, &mut row[place * line..][..line]);
        }
    }
}

fn copy_line(from: &[f32], window: Window, s: usize, output: Shape, to: &mut [f32]) {
    let batch = output.batch;
    let (left, right) = window.inside(s, from.len() / batch, output.width);
    to[..left * batch].fill(0.0);
    to[right * batch..].fill(0.0);
    if left == right {
        return;
    }
    if window.stride == 1 {
        let start = window.at(s, left) * batch;
        to[left * batch..right * batch].copy_from_slice(&from[start..start + (right - left) * batch]);
        return;
    }
    for place in left..right {
        let start = window.at(s, place) * batch;
        to[place * batch..][..batch].copy_from_slice(&from[start..start + batch]);
    }
}

/// Adds each column's entries to where [`im2col`] took them from; `image` is overwritten.
fn col2im(columns: &[f32], window: Window, output: Shape, image: &mut Tensor) {
    let shape = image.shape();
    let length = output.height * output.width * output.batch;
    let line = output.width * output.batch;
    // Channel by channel, so that the plane which is added to stays in the cache.
    for (channel, plane) in image.data_mut().chunks_exact_mut(shape.len() / shape.channels).enumerate() {
        plane.fill(0.0);
        for tap in 0..window.side * window.side {
            let (r, s) = (tap / window.side, tap % window.side);
            let row = &columns[(tap * shape.channels + channel) * length..][..length];
            let (top, bottom) = window.inside(r, shape.height, output.height);
            for place in top..bottom {
                let start = window.at(r, place) * shape.width * shape.batch;
                let to = &mut plane[start..start + shape.width * shape.batch];
                add_line(&row[place * line..][..line], window, s, output, to);
            }
        }
    }
}

fn add_line(from: &[f32], window: Window, s: usize, output: Shape, to: &mut [f32]) {
    let batch = output.batch;
    let (left, right) = window.inside(s, to.len() / batch, output.width);
    let mut add = |place: usize, count: usize| {
        let start = window.at(s, place) * batch;
        let to = &mut to[start..start + count * batch];
        to.iter_mut().zip(&from[place * batch..]).for_each(|(sum, x)| *sum += x);
    };
    if left == right {
        return;
    }
    if window.stride == 1 {
        add(left, right - left);
    } else {
        (left..right).for_each(|place| add(place, 1));
    }
}
