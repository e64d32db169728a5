//! Networks: layers in a row, their parameters, and the products of a training step.

use crate::layers::{Layer, Passes, Product, chain_forward, chain_output, chain_passes};
use crate::parameters::{ParameterSpec, Parameters, Role};
use crate::tape::{NodeId, Tape};
use crate::tensor::Shape;
use mirage_arithmetic::GemmEntry;

/// Most numbers that the forward pass of a batch may keep: 1 GiB, and about as much again on the way back.
pub(crate) const MOST_ACTIVATIONS: usize = 1 << 28;

/// One of the sequences of an example: so many tokens, each below the size of its vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens of a sequence.
    pub length: usize,
}

/// An architecture: what is computed, not with which numbers.
#[derive(Debug)]
pub struct Network {
    pub(crate) name: String,
    pub(crate) input: Shape,
    pub(crate) sides: Vec<Side>,
    pub(crate) layers: Vec<Box<dyn Layer>>,
    pub(crate) sites: Vec<String>,
    pub(crate) parameters: Vec<ParameterSpec>,
    pub(crate) activations: usize,
}

impl Network {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one image that it takes.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// The sequences that it reads, one behind the other in a row of the input; none for a network of images.
    pub fn sides(&self) -> &[Side] {
        &self.sides
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.layers
    }

    /// What each product site is called: `Site::layer` is an index into this.
    pub fn sites(&self) -> &[String] {
        &self.sites
    }

    /// Classes between which it decides, at each place.
    pub fn outputs(&self) -> usize {
        chain_output(&self.layers, self.input).map_or(0, |shape| shape.channels)
    }

    /// Its parameters and how they start.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// How many numbers are trained.
    pub fn trained(&self) -> usize {
        self.parameters.iter().filter(|p| p.role != Role::Statistic).map(|p| p.len).sum()
    }

    /// Numbers that a step works with for each image: all values, and one buffer of each size for the columns of products.
    pub fn activations(&self) -> usize {
        self.activations
    }

    /// Initial numbers, from `seed` alone.
    pub fn initial(&self, seed: u64) -> Parameters {
        Parameters::initial(&self.parameters, seed)
    }

    /// Puts all layers on the tape; the result is the last one's value.
    ///
    /// # Panics
    /// When `input` is not a batch of [`Network::input`].
    pub fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let shape = tape.value(input).shape();
        assert_eq!(shape, self.input.with_batch(shape.batch), "shape of a batch");
        chain_forward(&self.layers, tape, input)
    }

    /// The products of one training step on `batch` images, in the order in which they are done: forward
    /// through the layers, then back, dW before dX in each. The first trained layer needs no dX.
    pub fn products(&self, batch: usize) -> Vec<Product> {
        let Passes { forward, back } = chain_passes(&self.layers, self.input.with_batch(batch), false);
        forward.into_iter().chain(back).collect()
    }
}

/// The products of one training step of `network` on `batch` images as a GEMM list, in the order in which
/// the trainer does them; the groups of a convolution are one entry with so many `repeats`. M, K and N follow the paper's orientation (O = W X,
/// dX = W^T dO, dW = dO X^T). A batch of no images needs no products.
pub fn gemm_list(network: &Network, batch: usize) -> Vec<GemmEntry> {
    entries(network, batch, 1)
}

/// The products of one epoch over `images` images: those of a full step as often as there are full batches,
/// then those of the last, smaller batch if there is one. Evaluation is not part of it.
pub fn epoch_gemm_list(network: &Network, images: usize, batch: usize) -> Vec<GemmEntry> {
    let batch = batch.max(1);
    let mut list = entries(network, batch, images / batch);
    list.extend(entries(network, images % batch, 1));
    list
}

fn entries(network: &Network, batch: usize, repeats: usize) -> Vec<GemmEntry> {
    if repeats == 0 || batch == 0 {
        return Vec::new();
    }
    let entry = |product: Product| GemmEntry {
        network: network.name.clone(),
        layer: network.sites[product.site as usize].clone(),
        pass: product.pass,
        m: product.m as u64,
        k: product.k as u64,
        n: product.n as u64,
        repeats: (repeats * product.repeats) as u64,
    };
    network.products(batch).into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests;
