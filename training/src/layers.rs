//! The layers of which networks are made.
//!
//! A layer is what knows how to put its values on a tape, what shape comes out, and which products a step
//! does. A new one needs no change elsewhere: a type with [`Layer`], and an [`crate::Operation`] for its way
//! back.

mod affine;
mod conv;
mod linear;
mod loss;
mod pool;
mod relu;
#[cfg(test)]
mod tests;

use crate::NetworkError;
use crate::tape::{NodeId, Tape};
use crate::tensor::Shape;
use mirage_arithmetic::Pass;

pub(crate) use affine::Affine;
pub(crate) use conv::{Conv2d, Window};
pub(crate) use linear::Linear;
pub use loss::softmax_cross_entropy;
pub(crate) use pool::MaxPool;
pub(crate) use relu::Relu;

/// One step of a network, from one value to the next.
pub trait Layer: Send + Sync {
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
}
