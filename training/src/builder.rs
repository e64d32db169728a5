//! Building a network layer by layer; each layer is checked against the shape that reaches it.

mod sequences;

use std::collections::BTreeSet;

use crate::NetworkError;
use crate::gemm::MOST_SITES;
use crate::layers::{
    Affine, AveragePool, BatchNorm, Conv2d, Dropout, Layer, Linear, MaxPool, PaddedShortcut, Relu, Residual,
    Window,
};
use crate::network::{MOST_ACTIVATIONS, Network};
use crate::parameters::{ParameterId, ParameterSpec, Role, Start};
use crate::tensor::Shape;

/// Most parameters of a network: 256 MiB, and as much again for gradients and each memory of the optimiser.
const MOST_PARAMETERS: usize = 1 << 26;

/// Variance of weights times depth before a rectifier (He et al., ICCV 2015).
const HE: f32 = 2.0;

/// Builds a [`Network`].
pub struct NetworkBuilder {
    pub(crate) network: Network,
    pub(crate) shape: Shape,
    /// What comes out of the encoder, within a decoder.
    pub(crate) source: Option<Shape>,
    /// Sizes of the buffers for columns so far.
    scratch: BTreeSet<usize>,
    dropouts: u64,
}

/// A convolution to add: square filters, each with a bias unless it is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    filters: usize,
    window: Window,
    groups: usize,
    bias: bool,
}

impl Conv {
    /// `filters` filters of `side` x `side` that move by one place, over an image without padding.
    pub fn new(filters: usize, side: usize) -> Self {
        Self { filters, window: Window { side, stride: 1, padding: 0 }, groups: 1, bias: true }
    }

    /// Moves by `stride` places.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.window.stride = stride;
        self
    }

    /// With `padding` zeros around the image.
    #[must_use]
    pub fn padding(mut self, padding: usize) -> Self {
        self.window.padding = padding;
        self
    }

    /// In `groups` groups of channels and filters that see nothing of each other.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Without biases, as before a batch norm.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }
}

impl Network {
    /// Starts a network for images of `channels` x `height` x `width`.
    pub fn builder(name: &str, channels: usize, height: usize, width: usize) -> NetworkBuilder {
        let input = Shape::new(channels, height, width, 1);
        let (layers, sites, parameters, sides) = (vec![], vec![], vec![], vec![]);
        let network = Self { name: name.into(), input, sides, layers, sites, parameters, activations: 0 };
        NetworkBuilder { network, shape: input, source: None, scratch: BTreeSet::new(), dropouts: 0 }
    }
}

impl NetworkBuilder {
    /// A convolution.
    ///
    /// # Errors
    /// When the window does not fit, a size is zero, the groups do not divide channels and filters, or the layer is too large.
    pub fn conv2d(mut self, name: &str, conv: Conv) -> Result<Self, NetworkError> {
        let Conv { filters, window, groups, bias } = conv;
        let channels = self.shape.channels;
        if groups == 0 {
            return Err(NetworkError::Zero { layer: name.into(), what: "the number of groups" });
        }
        if !channels.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
            return Err(NetworkError::Groups { layer: name.into(), groups, channels, filters });
        }
        within(groups as u128, MOST_SITES as usize - 1, "groups", name)?;
        let depth = window.side.saturating_mul(window.side).saturating_mul(channels / groups);
        let affine = self.affine(name, (filters, depth, groups), bias, HE)?;
        self.push(Conv2d { name: name.into(), affine, channels, window })
    }

    /// A dense layer with `outputs` features, and a bias each.
    ///
    /// # Errors
    /// When `outputs` is zero, or the layer is too large.
    pub fn linear(mut self, name: &str, outputs: usize) -> Result<Self, NetworkError> {
        let depth = size_within(self.shape, name)?;
        let affine = self.affine(name, (outputs, depth, 1), true, HE)?;
        self.push(Linear { name: name.into(), affine })
    }

    /// A batch norm with scale (1 at first) and shift (0) for each channel, and running mean and variance.
    ///
    /// # Errors
    /// When the layer is too large.
    pub fn batch_norm(mut self, name: &str) -> Result<Self, NetworkError> {
        let channels = self.shape.channels;
        let mut add = |what: &str, value: f32, role: Role| {
            self.parameter(format!("{name}.{what}"), channels, Start::Constant(value), role)
        };
        let (scale, shift) = (add("scale", 1.0, Role::Bias), add("shift", 0.0, Role::Bias));
        let (mean, variance) = (add("mean", 0.0, Role::Statistic), add("variance", 1.0, Role::Statistic));
        self.push(BatchNorm { name: name.into(), channels, scale, shift, mean, variance })
    }

    /// Maxima over squares of `side`.
    ///
    /// # Errors
    /// When the square does not fit, is empty, or the images are too large.
    pub fn max_pool(self, name: &str, side: usize) -> Result<Self, NetworkError> {
        self.push(MaxPool { name: name.into(), side })
    }

    /// Means over squares of `side`.
    ///
    /// # Errors
    /// When the square does not fit, is empty, or the images are too large.
    pub fn average_pool(self, name: &str, side: usize) -> Result<Self, NetworkError> {
        self.push(AveragePool { name: name.into(), side: Some(side) })
    }

    /// The mean of each channel.
    ///
    /// # Errors
    /// When the images are too large.
    pub fn global_average_pool(self, name: &str) -> Result<Self, NetworkError> {
        self.push(AveragePool { name: name.into(), side: None })
    }

    /// A rectifier.
    ///
    /// # Errors
    /// When the images are too large.
    pub fn relu(self, name: &str) -> Result<Self, NetworkError> {
        self.push(Relu { name: name.into(), most: f32::INFINITY })
    }

    /// A rectifier that ends at 6.
    ///
    /// # Errors
    /// When the images are too large.
    pub fn relu6(self, name: &str) -> Result<Self, NetworkError> {
        self.push(Relu { name: name.into(), most: 6.0 })
    }

    /// Zeros in place of a share `rate` of the values, in training.
    ///
    /// # Errors
    /// When `rate` is not at least 0 and below 1, or the images are too large.
    pub fn dropout(mut self, name: &str, rate: f64) -> Result<Self, NetworkError> {
        if !(0.0..1.0).contains(&rate) {
            return Err(NetworkError::Rate { layer: name.into(), rate: rate.to_string() });
        }
        self.dropouts += 1;
        let number = self.dropouts;
        self.push(Dropout { name: name.into(), rate, number })
    }

    /// The parameter-free shortcut of a block that strides and adds channels.
    ///
    /// # Errors
    /// When the stride is zero, there are fewer `channels` than now, or the images are too large.
    pub fn padded_shortcut(self, name: &str, channels: usize, stride: usize) -> Result<Self, NetworkError> {
        self.push(PaddedShortcut { name: name.into(), stride, channels })
    }

    /// The sum of what `body` and `shortcut` make of the value so far; a shortcut that adds nothing is the value itself.
    ///
    /// # Errors
    /// Those of the two, and when their shapes differ.
    pub fn residual(
        mut self,
        name: &str,
        body: impl FnOnce(Self) -> Result<Self, NetworkError>,
        shortcut: impl FnOnce(Self) -> Result<Self, NetworkError>,
    ) -> Result<Self, NetworkError> {
        let (input, outer) = (self.shape, std::mem::take(&mut self.network.layers));
        let mut this = body(self)?;
        let body = std::mem::take(&mut this.network.layers);
        this.shape = input;
        let mut this = shortcut(this)?;
        let shortcut = std::mem::replace(&mut this.network.layers, outer);
        this.shape = input;
        this.push(Residual { name: name.into(), body, shortcut })
    }

    /// The network so far.
    pub fn build(self) -> Network {
        self.network
    }

    /// The shape of what comes out so far, for one image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Leaves the first parameter to something else.
    #[cfg(test)]
    pub(crate) fn skip_parameter(&mut self) {
        self.parameter("input".into(), 0, Start::Constant(0.0), Role::Bias);
    }

    pub(crate) fn push(mut self, layer: impl Layer + 'static) -> Result<Self, NetworkError> {
        let input = size_within(self.shape, layer.name())?;
        let shape = layer.output(self.shape)?;
        let output = size_within(shape, layer.name())?;
        let kept = if self.network.activations == 0 { input } else { self.network.activations };
        let scratch = layer.scratch(self.shape);
        let scratch = if self.scratch.insert(scratch) { scratch } else { 0 };
        let kept = kept.saturating_add(output).saturating_add(scratch);
        within(kept as u128, MOST_ACTIVATIONS, "activations of an image", layer.name())?;
        self.network.activations = kept;
        self.shape = shape;
        self.network.layers.push(Box::new(layer));
        Ok(self)
    }

    /// A new product site with its weights, uniform with variance `gain` / depth, so within sqrt(3 gain / depth), and, if there
    /// are to be any, biases (zero).
    pub(crate) fn affine(
        &mut self,
        name: &str,
        (outputs, depth, groups): (usize, usize, usize),
        bias: bool,
        gain: f32,
    ) -> Result<Affine, NetworkError> {
        if outputs == 0 || depth == 0 {
            let what = if outputs == 0 { "the number of outputs" } else { "the side of the window" };
            return Err(NetworkError::Zero { layer: name.into(), what });
        }
        self.room((depth as u128 + u128::from(bias)) * outputs as u128, name)?;
        let site = self.site(name)?;
        let start = Start::Uniform((3.0 * gain / depth as f32).sqrt());
        let weight = self.parameter(format!("{name}.weight"), outputs * depth, start, Role::Weight);
        let zeros = Start::Constant(0.0);
        let bias = bias.then(|| self.parameter(format!("{name}.bias"), outputs, zeros, Role::Bias));
        Ok(Affine { site, weight, bias, outputs, depth, groups })
    }

    /// A new product site.
    pub(crate) fn site(&mut self, name: &str) -> Result<u32, NetworkError> {
        within(self.network.sites.len() as u128, MOST_SITES as usize - 1, "product sites", name)?;
        self.network.sites.push(name.into());
        Ok(self.network.sites.len() as u32 - 1)
    }

    /// Whether so many more numbers may be trained.
    pub(crate) fn room(&self, own: u128, name: &str) -> Result<(), NetworkError> {
        let parameters = self.network.parameters.iter().fold(own, |sum, p| sum + p.len as u128);
        within(parameters, MOST_PARAMETERS, "parameters up to here", name)
    }

    pub(crate) fn parameter(&mut self, name: String, len: usize, start: Start, role: Role) -> ParameterId {
        self.network.parameters.push(ParameterSpec { name, len, start, role });
        ParameterId::new(self.network.parameters.len() - 1)
    }
}

pub(crate) fn within(
    numbers: u128,
    limit: usize,
    what: &'static str,
    layer: &str,
) -> Result<(), NetworkError> {
    if numbers <= limit as u128 {
        return Ok(());
    }
    Err(NetworkError::TooLarge { layer: layer.into(), what, numbers, limit })
}

/// Numbers of an image of this shape, if they are not too many.
fn size_within(shape: Shape, layer: &str) -> Result<usize, NetworkError> {
    let sizes = [shape.channels, shape.height, shape.width];
    let numbers = sizes.iter().fold(1_u128, |product, &size| product.saturating_mul(size as u128));
    within(numbers, MOST_ACTIVATIONS, "activations of an image", layer)?;
    Ok(shape.features())
}
