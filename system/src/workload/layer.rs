//! A layer and what follows from its shape.

use super::vector::{Activation, Optimiser};
use crate::SystemError;

/// What a row of a layer table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A convolution, grouped or not.
    Convolution,
    /// A dense layer, applied at `in_height` x `in_width` positions of a sample.
    Linear,
    /// A product of two activations, `groups` of them a sample (attention: one per head):
    /// first operand `in_height` x `in_channels`, second `in_channels` x `out_channels`.
    Product,
    /// A table look-up at `in_height` x `in_width` positions: parameters, but no product.
    Embedding,
    /// The largest of each window.
    MaxPool,
    /// The mean of each window.
    AveragePool,
    /// The sum of two or more inputs, element by element (a residual connection).
    Add,
    /// The product of two inputs, element by element.
    Multiply,
    /// Inputs side by side.
    Concat,
    /// Softmax over the channels, at each position.
    Softmax,
    /// Elements moved (transposed, cut, gathered), not computed with.
    Move,
    /// Nothing of its own: carries a bias, a normalisation or an activation.
    Identity,
    /// Anything else: one operation for each element that comes out.
    Other,
}

/// A normalisation, by what its mean and variance are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Norm {
    /// None.
    None,
    /// The whole batch (Ioffe and Szegedy, arXiv 1502.03167): no sample can be normalised before all are there.
    Batch,
    /// Each sample, or a part of it (layer normalisation, Ba et al., arXiv 1607.06450; group, instance and response normalisation).
    Layer,
}

impl Norm {
    /// Normalisations by their text in a layer table.
    pub(crate) const TEXTS: [(&'static str, Self); 3] =
        [("no", Self::None), ("batch", Self::Batch), ("layer", Self::Layer)];
}

impl Kind {
    /// Kinds by their text in a layer table.
    pub(crate) const TEXTS: [(&'static str, Self); 13] = [
        ("conv", Self::Convolution),
        ("linear", Self::Linear),
        ("matmul", Self::Product),
        ("embedding", Self::Embedding),
        ("max-pool", Self::MaxPool),
        ("average-pool", Self::AveragePool),
        ("add", Self::Add),
        ("multiply", Self::Multiply),
        ("concat", Self::Concat),
        ("softmax", Self::Softmax),
        ("move", Self::Move),
        ("identity", Self::Identity),
        ("other", Self::Other),
    ];

    /// Whether a filter moves over the input.
    #[must_use]
    pub fn has_window(self) -> bool {
        matches!(self, Self::Convolution | Self::MaxPool | Self::AveragePool)
    }

    /// Whether it has a matrix or table of weights.
    #[must_use]
    pub fn has_weights(self) -> bool {
        matches!(self, Self::Convolution | Self::Linear | Self::Embedding)
    }
}

/// Where an input of a layer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The data of the sample.
    Data,
    /// The output of the layer with this index, which comes earlier.
    Layer(usize),
}

/// Whose the weights of a layer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tied {
    /// Its own.
    No,
    /// Those of another layer that the table does not name.
    Elsewhere,
    /// Those of the layer with this index.
    To(usize),
}

/// One row of a layer table. All sizes are those of one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Name, unique in its network.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Channels (features, inner dimension of a product, vocabulary) that go in.
    pub in_channels: u64,
    /// Channels (features, columns of a product) that come out.
    pub out_channels: u64,
    /// Height of the input, positions of a dense layer, rows of a product.
    pub in_height: u64,
    /// Width of the input.
    pub in_width: u64,
    /// Height of the filter.
    pub kernel_height: u64,
    /// Width of the filter.
    pub kernel_width: u64,
    /// Step of the filter: height, width.
    pub stride: [u64; 2],
    /// Rows and columns of zeros added: top, left, bottom, right.
    pub padding: [u64; 4],
    /// Distance between neighbours in the filter: height, width.
    pub dilation: [u64; 2],
    /// Groups of a convolution; copies of a product.
    pub groups: u64,
    /// Whether it has a bias.
    pub bias: bool,
    /// The normalisation that follows, with scale and shift (counted in the parameters).
    pub norm: Norm,
    /// Whether its weights belong to another row (counted once).
    pub tied: Tied,
    /// Whether training needs the gradient of its input (not so for the first layer).
    pub input_gradient: bool,
    /// What follows last.
    pub activation: Activation,
    /// Where its inputs come from; empty in a table that does not say.
    pub inputs: Vec<Source>,
}

impl Layer {
    /// A layer at one position, with a filter of one, without bias, normalisation and activation: the rest is set by the
    /// one who calls.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind, in_channels: u64, out_channels: u64) -> Self {
        Self {
            name: name.into(),
            kind,
            in_channels,
            out_channels,
            in_height: 1,
            in_width: 1,
            kernel_height: 1,
            kernel_width: 1,
            stride: [1; 2],
            padding: [0; 4],
            dilation: [1; 2],
            groups: 1,
            bias: false,
            norm: Norm::None,
            tied: Tied::No,
            input_gradient: true,
            activation: Activation::None,
            inputs: Vec::new(),
        }
    }

    /// Height and width of the output; 0 where the filter does not fit.
    #[must_use]
    pub fn output_size(&self) -> (u64, u64) {
        let size = |input: u64, kernel: u64, axis: usize| {
            let padding = self.padding[axis].checked_add(self.padding[axis + 2]);
            let padded = padding.and_then(|p| input.checked_add(p));
            let reach = kernel.saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1);
            padded.and_then(|p| p.checked_sub(reach)).map_or(0, |rest| rest / self.stride[axis].max(1) + 1)
        };
        if self.kind.has_window() {
            (size(self.in_height, self.kernel_height, 0), size(self.in_width, self.kernel_width, 1))
        } else {
            (self.in_height, self.in_width)
        }
    }

    /// Elements of one input of a sample; of the first operand for a product, of the indices for a look-up.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn input_elements(&self) -> Result<u64, SystemError> {
        match self.kind {
            Kind::Product => self.multiply(&[self.groups, self.in_height, self.in_channels]),
            Kind::Embedding => self.multiply(&[self.in_height, self.in_width]),
            _ => self.multiply(&[self.in_channels, self.in_height, self.in_width]),
        }
    }

    /// Elements of the output of a sample.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn output_elements(&self) -> Result<u64, SystemError> {
        let (height, width) = self.output_size();
        match self.kind {
            Kind::Product => self.multiply(&[self.groups, self.in_height, self.out_channels]),
            _ => self.multiply(&[self.out_channels, height, width]),
        }
    }

    /// Elements of the matrix or table of weights, whoever they belong to.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn weights(&self) -> Result<u64, SystemError> {
        match self.kind {
            Kind::Embedding => self.multiply(&[self.in_channels, self.out_channels]),
            Kind::Convolution | Kind::Linear => {
                let per_filter = self.in_channels / self.groups.max(1);
                self.multiply(&[per_filter, self.kernel_height, self.kernel_width, self.out_channels])
            }
            _ => Ok(0),
        }
    }

    /// Multiply-accumulates of one sample's forward pass.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn macs(&self) -> Result<u64, SystemError> {
        let (height, width) = self.output_size();
        match self.kind {
            Kind::Convolution | Kind::Linear => {
                let per_filter = self.in_channels / self.groups.max(1);
                let window = [per_filter, self.kernel_height, self.kernel_width];
                self.multiply(&[window[0], window[1], window[2], self.out_channels, height, width])
            }
            Kind::Product => {
                self.multiply(&[self.in_channels, self.out_channels, self.in_height, self.groups])
            }
            _ => Ok(0),
        }
    }

    /// Trained parameters: weights, bias, and scale and shift of the normalisation.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn parameters(&self) -> Result<u64, SystemError> {
        let weights = if self.tied == Tied::No { self.weights()? } else { 0 };
        let vectors = u64::from(self.bias) + 2 * u64::from(self.norm != Norm::None);
        let extra = self.multiply(&[vectors, self.out_channels])?;
        weights.checked_add(extra).ok_or_else(|| self.overflow())
    }

    pub(crate) fn multiply(&self, factors: &[u64]) -> Result<u64, SystemError> {
        let product = factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(factor));
        product.ok_or_else(|| self.overflow())
    }

    pub(crate) fn overflow(&self) -> SystemError {
        SystemError::Overflow { what: format!("the size of layer `{}`", self.name) }
    }
}

/// A network: its name and its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The name.
    pub name: String,
    /// The layers, in the order of the forward pass.
    pub layers: Vec<Layer>,
    /// The comments of its table: source and assumptions.
    pub notes: Vec<String>,
    /// What updates its parameters.
    pub optimiser: Optimiser,
}

impl Network {
    /// Whether the layers say where their inputs come from. Where they do not, each is taken alone: the work between
    /// them (pooling, sums of branches) is not in the table, and not counted.
    #[must_use]
    pub fn linked(&self) -> bool {
        self.layers.iter().all(|layer| !layer.inputs.is_empty())
    }

    /// Multiply-accumulates of one sample's forward pass.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn macs(&self) -> Result<u64, SystemError> {
        self.sum(Layer::macs)
    }

    /// Trained parameters.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn parameters(&self) -> Result<u64, SystemError> {
        self.sum(Layer::parameters)
    }

    fn sum(&self, of: impl Fn(&Layer) -> Result<u64, SystemError>) -> Result<u64, SystemError> {
        self.layers.iter().try_fold(0u64, |sum, layer| {
            let overflow = || SystemError::Overflow { what: format!("the size of network `{}`", self.name) };
            sum.checked_add(of(layer)?).ok_or_else(overflow)
        })
    }
}
