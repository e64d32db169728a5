//! What a window sees at each place, as the columns of a matrix.

use crate::NetworkError;
use crate::tensor::{Shape, Tensor};

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

    /// Whether it sees each pixel once and in order, so that the columns are the image itself.
    pub fn is_identity(self) -> bool {
        self == Self { side: 1, stride: 1, padding: 0 }
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

/// Writes the window's contents at all places: row (group, filter row, filter column, channel of the group), column
/// (output row, output column, image). With the image last, what is copied are whole rows for stride 1.
pub(crate) fn im2col(image: &Tensor, window: Window, groups: usize, output: Shape, columns: &mut [f32]) {
    let shape = image.shape();
    let rows = columns.chunks_exact_mut(output.height * output.width * output.batch);
    for (index, row) in rows.enumerate() {
        let (tap, channel) = tap_and_channel(index, window, shape.channels / groups);
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

/// Which tap of the window and which channel of the image row `index` of the columns holds, with `channels` in a group.
fn tap_and_channel(index: usize, window: Window, channels: usize) -> (usize, usize) {
    let (rest, channel) = (index / channels, index % channels);
    let taps = window.side * window.side;
    (rest % taps, rest / taps * channels + channel)
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
pub(crate) fn col2im(columns: &[f32], window: Window, groups: usize, output: Shape, image: &mut Tensor) {
    let shape = image.shape();
    let channels = shape.channels / groups;
    let taps = window.side * window.side;
    let length = output.height * output.width * output.batch;
    let line = output.width * output.batch;
    // Channel by channel, so that the plane which is added to stays in the cache.
    for (channel, plane) in image.data_mut().chunks_exact_mut(shape.len() / shape.channels).enumerate() {
        plane.fill(0.0);
        for tap in 0..taps {
            let (r, s) = (tap / window.side, tap % window.side);
            let row = (channel / channels * taps + tap) * channels + channel % channels;
            let row = &columns[row * length..][..length];
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
