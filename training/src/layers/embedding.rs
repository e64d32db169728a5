//! Numbers in place of words.

use crate::NetworkError;
use crate::layers::Layer;
use crate::parameters::ParameterId;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// What tells the places of a sequence apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// A trained vector for each place.
    Learned,
    /// Sines and cosines (Vaswani et al., NeurIPS 2017, section 3.5): at place t, channel 2 i of D is sin(t / 10000^(2 i / D)), and
    /// channel 2 i + 1 the cosine of the same.
    Sinusoidal,
}

/// A vector for each token of a part of the input, plus one for its place. A look-up, not a product.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    pub name: String,
    /// Token by token, `width` numbers each.
    pub table: ParameterId,
    /// Place by place, `width` numbers each; sinusoidal without.
    pub positions: Option<ParameterId>,
    /// How many tokens there are.
    pub vocabulary: usize,
    /// Channels that come out.
    pub width: usize,
    /// Column of the input with the first token.
    pub first: usize,
    /// Tokens that are read.
    pub length: usize,
}

impl Layer for Embedding {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        let (expected, found) = (self.first + self.length, input.width);
        if input.channels != 1 || input.height != 1 || found < expected {
            return Err(NetworkError::Features {
                layer: self.name.clone(),
                expected,
                found: input.features(),
            });
        }
        Ok(Shape::new(self.width, 1, self.length, input.batch))
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let shape = self.output(tape.value(input).shape()).expect("the network has checked its shapes");
        let mut out = tape.tensor(shape);
        let (value, scope) = tape.value_and_scope(input);
        let tokens = self.tokens(value);
        let table = scope.parameter(self.table);
        let places = tokens.len();
        let sinusoids = self.positions.is_none().then(|| sinusoids(self.length, self.width));
        let positions = self.positions.map_or(sinusoids.as_deref().unwrap_or(&[]), |id| scope.parameter(id));
        for (channel, row) in out.data_mut().chunks_exact_mut(places).enumerate() {
            let rows = row.chunks_exact_mut(shape.batch).zip(tokens.chunks_exact(shape.batch));
            for (place, (row, tokens)) in rows.enumerate() {
                let position = positions[place * self.width + channel];
                row.iter_mut().zip(tokens).for_each(|(out, &token)| {
                    *out = table[self.row(token) + channel] + position;
                });
            }
        }
        tape.push_trained(out, vec![input], Box::new(self.clone()))
    }

    fn is_trained(&self) -> bool {
        true
    }
}

impl Embedding {
    /// The tokens of its part, place by place, as the input has them.
    fn tokens<'t>(&self, input: &'t Tensor) -> &'t [f32] {
        let batch = input.shape().batch;
        &input.data()[self.first * batch..][..self.length * batch]
    }

    /// Where the vector of a token begins.
    fn row(&self, token: f32) -> usize {
        token as usize * self.width
    }
}

impl Operation for Embedding {
    /// Tokens have no gradient; the table's is summed place by place.
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let tokens = self.tokens(step.inputs[0]);
        let (places, batch, width) = (tokens.len(), step.inputs[0].shape().batch, self.width);
        let mut table = scope.pool().take(self.vocabulary * width);
        table.fill(0.0);
        let dy = step.upstream.data();
        for (channel, row) in dy.chunks_exact(places).enumerate() {
            for (&token, dy) in tokens.iter().zip(row) {
                table[self.row(token) + channel] += dy;
            }
        }
        scope.add_gradient(self.table, table);
        if let Some(id) = self.positions {
            let mut positions = scope.pool().take(self.length * width);
            for (channel, row) in dy.chunks_exact(places).enumerate() {
                for (place, dy) in row.chunks_exact(batch).enumerate() {
                    positions[place * width + channel] = crate::tensor::sum(dy);
                }
            }
            scope.add_gradient(id, positions);
        }
        scope.pool().give(step.upstream.into_data());
        vec![None]
    }
}

/// Place by place; portable functions, so that they are the same on any machine.
fn sinusoids(length: usize, width: usize) -> Vec<f32> {
    let at = |place: usize, channel: usize| {
        let exponent = (channel / 2 * 2) as f64 / width as f64;
        let angle = place as f64 / libm::pow(10_000.0, exponent);
        (if channel.is_multiple_of(2) { libm::sin(angle) } else { libm::cos(angle) }) as f32
    };
    (0..length * width).map(|index| at(index / width, index % width)).collect()
}
