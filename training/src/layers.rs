//! The layers of which networks are made.
//!
//! A layer is what knows how to put its values on a tape, what shape comes out, and which products a step
//! does. A new one needs no change elsewhere: a type with [`Layer`], and an [`crate::Operation`] for its way
//! back.

mod affine;
mod attention;
mod average;
mod batch_norm;
mod columns;
mod conv;
mod dropout;
mod embedding;
mod encoder_decoder;
mod gelu;
mod heads;
mod layer_norm;
mod linear;
mod loss;
mod pool;
mod relu;
mod residual;
#[cfg(test)]
mod sequence_tests;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::NetworkError;
use crate::tape::{NodeId, Tape};
use crate::tensor::Shape;
use mirage_arithmetic::Pass;

pub(crate) use affine::Affine;
pub(crate) use attention::{Attention, Sight};
pub(crate) use average::AveragePool;
pub(crate) use batch_norm::BatchNorm;
pub(crate) use columns::Window;
pub(crate) use conv::Conv2d;
pub(crate) use dropout::Dropout;
pub(crate) use embedding::Embedding;
pub use embedding::Positions;
pub(crate) use encoder_decoder::{EncoderDecoder, FILL};
pub(crate) use gelu::Gelu;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
pub(crate) use loss::cross_entropy;
pub use loss::{NO_LABEL, softmax_cross_entropy};
pub(crate) use pool::MaxPool;
pub(crate) use relu::Relu;
pub(crate) use residual::{PaddedShortcut, Residual};

/// Refuses an input of another number of channels than `layer` takes.
fn take_channels(layer: &str, expected: usize, input: Shape) -> Result<(), NetworkError> {
    match input.channels {
        found if found == expected => Ok(()),
        found => Err(NetworkError::Features { layer: layer.to_owned(), expected, found }),
    }
}

/// One step of a network, from one value to the next. What `Debug` writes holds all that decides what the layer does:
/// checkpoints know a network by it.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Its name, unique within the network.
    fn name(&self) -> &str;

    /// The shape that comes out for `input`.
    ///
    /// # Errors
    /// When the layer cannot take such an input.
    fn output(&self, input: Shape) -> Result<Shape, NetworkError>;

    /// Computes its output from `input`, which has a shape that [`Layer::output`] accepts.
    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId;

    /// The products of one training step in the order in which they are done: first those of the forward
    /// pass, then those of the way back; without the input's gradient where nothing before the layer is
    /// trained.
    fn products(&self, _input: Shape, _input_gradient: bool) -> Vec<Product> {
        Vec::new()
    }

    /// Numbers that it works with for `input` beside what it gives out: columns of a convolution, for example.
    fn scratch(&self, _input: Shape) -> usize {
        0
    }

    /// Whether it has parameters, so that layers behind it owe it a gradient.
    fn is_trained(&self) -> bool {
        false
    }
}

/// One matrix product, M x K times K x N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Index into the network's site names.
    pub site: u32,
    /// Which of the three passes.
    pub pass: Pass,
    /// Rows of the first operand.
    pub m: usize,
    /// Columns of the first operand, rows of the second.
    pub k: usize,
    /// Columns of the second operand.
    pub n: usize,
    /// How often: once for each group of a convolution, for each example and head of an attention.
    pub repeats: usize,
}

/// The products of a step on the way forward and on the way back, in the order in which they are done.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    pub forward: Vec<Product>,
    pub back: Vec<Product>,
}

/// What comes out of layers in a row.
pub(crate) fn chain_output(layers: &[Box<dyn Layer>], input: Shape) -> Result<Shape, NetworkError> {
    layers.iter().try_fold(input, |shape, layer| layer.output(shape))
}

/// Puts layers in a row on the tape; the result is the last one's value.
pub(crate) fn chain_forward(layers: &[Box<dyn Layer>], tape: &mut Tape<'_>, input: NodeId) -> NodeId {
    layers.iter().fold(input, |value, layer| {
        tape.enter(layer.name());
        layer.forward(tape, value)
    })
}

/// The products of layers in a row, whose shapes must have been checked. `trained` says whether something before them is
/// trained, so that the first one owes it a gradient.
pub(crate) fn chain_passes(layers: &[Box<dyn Layer>], input: Shape, mut trained: bool) -> Passes {
    let (mut shape, mut forward, mut back) = (input, vec![], vec![]);
    for layer in layers {
        let is_forward = |p: &Product| p.pass == Pass::Forward;
        let (f, b): (Vec<_>, Vec<_>) = layer.products(shape, trained).into_iter().partition(is_forward);
        forward.extend(f);
        back.push(b);
        trained |= layer.is_trained();
        shape = layer.output(shape).expect("the builder has checked all shapes");
    }
    Passes { forward, back: back.into_iter().rev().flatten().collect() }
}
