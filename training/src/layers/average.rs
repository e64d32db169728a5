//! Means over windows.

use crate::NetworkError;
use crate::layers::Layer;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// The mean over squares of `side` that lie side by side, rows and columns that do not fill a square left out; without a
/// side, over the whole image.
#[derive(Debug, Clone)]
pub(crate) struct AveragePool {
    pub name: String,
    pub side: Option<usize>,
}

impl AveragePool {
    /// Height and width of the window.
    fn window(&self, input: Shape) -> (usize, usize) {
        self.side.map_or((input.height, input.width), |side| (side, side))
    }
}

impl Layer for AveragePool {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        let (rows, columns) = self.window(input);
        if rows == 0 || columns == 0 {
            return Err(NetworkError::Zero { layer: self.name.clone(), what: "the side of the window" });
        }
        let (height, width) = (input.height / rows, input.width / columns);
        if height == 0 || width == 0 {
            let Shape { height, width, .. } = input;
            let layer = self.name.clone();
            return Err(NetworkError::Window { layer, window: rows, height, width, padding: 0 });
        }
        Ok(Shape { height, width, ..input })
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let shape = tape.value(input).shape();
        let output = self.output(shape).expect("the network has checked its shapes");
        let places = Places { input: shape, output, window: self.window(shape) };
        let mut out = tape.tensor(output);
        let image = tape.value(input).data();
        for (place, sum) in out.data_mut().chunks_exact_mut(output.batch).enumerate() {
            sum.fill(0.0);
            for tap in places.taps(place) {
                sum.iter_mut().zip(&image[tap..]).for_each(|(sum, x)| *sum += x);
            }
            sum.iter_mut().for_each(|sum| *sum *= places.share());
        }
        tape.push(out, vec![input], Box::new(places))
    }
}

/// Where the windows lie.
struct Places {
    input: Shape,
    output: Shape,
    window: (usize, usize),
}

impl Places {
    /// Where the values of one output place begin in the image, row by row.
    fn taps(&self, place: usize) -> impl Iterator<Item = usize> + use<> {
        let (rows, columns) = self.window;
        let (batch, width) = (self.input.batch, self.input.width);
        let (line, column) = (place / self.output.width, place % self.output.width);
        let (channel, row) = (line / self.output.height, line % self.output.height);
        let first = ((channel * self.input.height + row * rows) * width + column * columns) * batch;
        (0..rows * columns).map(move |tap| first + (tap / columns * width + tap % columns) * batch)
    }

    fn share(&self) -> f32 {
        1.0 / (self.window.0 * self.window.1) as f32
    }
}

impl Operation for Places {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let upstream = step.upstream;
        let mut gradient = scope.pool().tensor(self.input);
        // What no window covers gets none.
        gradient.data_mut().fill(0.0);
        for (place, dy) in upstream.data().chunks_exact(self.output.batch).enumerate() {
            for tap in self.taps(place) {
                let to = &mut gradient.data_mut()[tap..tap + self.output.batch];
                to.iter_mut().zip(dy).for_each(|(to, dy)| *to = dy * self.share());
            }
        }
        scope.pool().give(upstream.into_data());
        vec![step.wanted[0].then_some(gradient)]
    }
}
