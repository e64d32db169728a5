//! A layer and what follows from its shape.

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
    /// A table look-up: parameters, but no product.
    Embedding,
}

impl Kind {
    /// Kinds by their text in a layer table.
    pub(crate) const TEXTS: [(&'static str, Self); 4] = [
        ("conv", Self::Convolution),
        ("linear", Self::Linear),
        ("matmul", Self::Product),
        ("embedding", Self::Embedding),
    ];
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
    /// Step of the filter in both directions.
    pub stride: u64,
    /// Rows and columns of zeros added on every side.
    pub padding: u64,
    /// Groups of a convolution; copies of a product.
    pub groups: u64,
    /// Whether it has a bias.
    pub bias: bool,
    /// Whether a normalisation with scale and shift follows (counted in the parameters).
    pub norm: bool,
    /// Whether its weights belong to another row (counted once).
    pub tied: bool,
    /// Whether training needs the gradient of its input (not so for the first layer).
    pub input_gradient: bool,
}

impl Layer {
    /// Height and width of the output.
    #[must_use]
    pub fn output_size(&self) -> (u64, u64) {
        let size = |input: u64, kernel: u64| {
            let padded = self.padding.checked_mul(2).and_then(|p| input.checked_add(p));
            padded.and_then(|p| p.checked_sub(kernel)).map_or(0, |rest| rest / self.stride.max(1) + 1)
        };
        (size(self.in_height, self.kernel_height), size(self.in_width, self.kernel_width))
    }

    /// Multiply-accumulates of one sample's forward pass.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn macs(&self) -> Result<u64, SystemError> {
        let (height, width) = self.output_size();
        let factors = match self.kind {
            Kind::Convolution | Kind::Linear => {
                let per_filter = self.in_channels / self.groups.max(1);
                [per_filter, self.kernel_height, self.kernel_width, self.out_channels, height, width]
            }
            Kind::Product => [self.in_channels, self.out_channels, self.in_height, self.groups, 1, 1],
            Kind::Embedding => [0; 6],
        };
        self.multiply(&factors)
    }

    /// Trained parameters: weights, bias, and scale and shift of the normalisation.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn parameters(&self) -> Result<u64, SystemError> {
        let weights = match self.kind {
            _ if self.tied => 0,
            Kind::Product => 0,
            Kind::Embedding => self.multiply(&[self.in_channels, self.out_channels])?,
            Kind::Convolution | Kind::Linear => {
                let per_filter = self.in_channels / self.groups.max(1);
                self.multiply(&[per_filter, self.kernel_height, self.kernel_width, self.out_channels])?
            }
        };
        let vectors = u64::from(self.bias) + 2 * u64::from(self.norm);
        let extra = self.multiply(&[vectors, self.out_channels])?;
        weights.checked_add(extra).ok_or_else(|| self.overflow())
    }

    pub(crate) fn multiply(&self, factors: &[u64]) -> Result<u64, SystemError> {
        let product = factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(factor));
        product.ok_or_else(|| self.overflow())
    }

    fn overflow(&self) -> SystemError {
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
}

impl Network {
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
