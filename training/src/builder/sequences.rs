//! Layers of networks that read sequences. Their values have a channel for each feature, height 1, and a column for each place.

use super::{NetworkBuilder, within};
use crate::layers::{
    Affine, Attention, Conv2d, Embedding, EncoderDecoder, Gelu, LayerNorm, Positions, Sight, Window,
};
use crate::network::Side;
use crate::parameters::{Role, Start};
use crate::{Network, NetworkError};

/// Variance of weights times depth where no rectifier follows (LeCun et al., "Efficient BackProp", 1998).
const PLAIN: f32 = 1.0;

/// Standard deviation of trained positions, and of the embeddings beside them, at the start: small, so that they turn quickly.
const SMALL: f32 = 0.1;

/// Standard deviation of embeddings beside sines and cosines, at the start: they must be seen beside them (Vaswani et al. multiply theirs to
/// as much).
const FULL: f32 = 1.0;

/// With more, the groups of an attention's products could not be counted for the largest batch.
const MOST_HEADS: usize = 15;

/// Deviation 1, uniform, is within this.
const UNIT: f32 = 1.732_050_8;

impl Network {
    /// Starts a network for sequences of tokens: those of all `sides` stand one behind the other in the columns of an example.
    pub fn sequence_builder(name: &str, sides: &[Side]) -> NetworkBuilder {
        let length = sides.iter().fold(0_usize, |sum, side| sum.saturating_add(side.length));
        let mut builder = Self::builder(name, 1, 1, length);
        builder.network.sides = sides.to_vec();
        builder
    }
}

impl NetworkBuilder {
    /// A vector of `width` numbers for each token of side `side`, and one for each place.
    ///
    /// # Errors
    /// When a size is zero, the network has no such side, or the tables are too large.
    pub fn embedding(
        mut self,
        name: &str,
        (side, width): (usize, usize),
        positions: Positions,
    ) -> Result<Self, NetworkError> {
        let sides = &self.network.sides;
        let Side { vocabulary, length } =
            sides.get(side).copied().unwrap_or(Side { vocabulary: 0, length: 0 });
        let first = sides.iter().take(side).map(|side| side.length).sum();
        for (size, what) in [(vocabulary, "the vocabulary"), (length, "the length"), (width, "the width")] {
            if size == 0 {
                return Err(NetworkError::Zero { layer: name.into(), what });
            }
        }
        let rows = vocabulary as u128 + if positions == Positions::Learned { length as u128 } else { 0 };
        self.room(rows * width as u128, name)?;
        let deviation = if positions == Positions::Learned { SMALL } else { FULL };
        let start = Start::Uniform(deviation * UNIT);
        let mut add = |what: &str, rows: usize| {
            self.parameter(format!("{name}.{what}"), rows * width, start, Role::Bias)
        };
        let table = add("table", vocabulary);
        let positions = (positions == Positions::Learned).then(|| add("positions", length));
        self.push(Embedding { name: name.into(), table, positions, vocabulary, width, first, length })
    }

    /// A layer norm with scale (1 at first) and shift (0) for each channel.
    ///
    /// # Errors
    /// When the values are too large.
    pub fn layer_norm(mut self, name: &str) -> Result<Self, NetworkError> {
        let channels = self.shape.channels;
        let mut add = |what: &str, value| {
            self.parameter(format!("{name}.{what}"), channels, Start::Constant(value), Role::Bias)
        };
        let (scale, shift) = (add("scale", 1.0), add("shift", 0.0));
        self.push(LayerNorm { name: name.into(), channels, scale, shift })
    }

    /// The rectifier of Transformers, in its tanh form.
    ///
    /// # Errors
    /// When the values are too large.
    pub fn gelu(self, name: &str) -> Result<Self, NetworkError> {
        self.push(Gelu { name: name.into() })
    }

    /// The same dense layer at each place, with `outputs` features and a bias each: a convolution of 1 x 1 with weights that
    /// begin with variance 1 / depth.
    ///
    /// # Errors
    /// When `outputs` is zero, or the layer is too large.
    pub fn dense(mut self, name: &str, outputs: usize) -> Result<Self, NetworkError> {
        let channels = self.shape.channels;
        let affine = self.affine(name, (outputs, channels, 1), true, PLAIN)?;
        self.push(Conv2d {
            name: name.into(),
            affine,
            channels,
            window: Window { side: 1, stride: 1, padding: 0 },
        })
    }

    /// Attention of a sequence to itself with `heads` heads: to what is not behind the place if it is `causal`, else to all of the source,
    /// in an encoder.
    ///
    /// # Errors
    /// When the heads are none, too many, or do not divide the channels; when the layer is too large.
    pub fn self_attention(self, name: &str, heads: usize, causal: bool) -> Result<Self, NetworkError> {
        let depth = self.shape.channels;
        self.attention(name, heads, (if causal { Sight::Past } else { Sight::Own }, depth))
    }

    /// Attention of a decoder to what the encoder has made of the source.
    ///
    /// # Errors
    /// As [`Self::self_attention`], and where there is no encoder.
    pub fn cross_attention(self, name: &str, heads: usize) -> Result<Self, NetworkError> {
        let Some(source) = self.source else { return Err(NetworkError::NoSource { layer: name.into() }) };
        self.attention(name, heads, (Sight::Source(source.width), source.channels))
    }

    fn attention(
        mut self,
        name: &str,
        heads: usize,
        (sight, depth): (Sight, usize),
    ) -> Result<Self, NetworkError> {
        let width = self.shape.channels;
        if heads == 0 {
            return Err(NetworkError::Zero { layer: name.into(), what: "the number of heads" });
        }
        within(heads as u128, MOST_HEADS, "heads", name)?;
        if !width.is_multiple_of(heads) {
            return Err(NetworkError::Heads { layer: name.into(), heads, channels: width });
        }
        let dense = |this: &mut Self, part: &str, depth: usize| -> Result<Affine, NetworkError> {
            this.affine(&format!("{name}.{part}"), (width, depth, 1), true, PLAIN)
        };
        let query = dense(&mut self, "q", width)?;
        let key = dense(&mut self, "k", depth)?;
        let value = dense(&mut self, "v", depth)?;
        let scores = self.site(&format!("{name}.scores"))?;
        let context = self.site(&format!("{name}.context"))?;
        let out = dense(&mut self, "out", width)?;
        self.push(Attention { name: name.into(), heads, sight, query, key, value, scores, context, out })
    }

    /// A decoder that sees what an encoder makes of the first side.
    ///
    /// # Errors
    /// Those of the two.
    pub fn encoder_decoder(
        mut self,
        name: &str,
        encoder: impl FnOnce(Self) -> Result<Self, NetworkError>,
        decoder: impl FnOnce(Self) -> Result<Self, NetworkError>,
    ) -> Result<Self, NetworkError> {
        let (input, outer) = (self.shape, std::mem::take(&mut self.network.layers));
        let mut this = encoder(self)?;
        let encoder = std::mem::take(&mut this.network.layers);
        let made = this.shape;
        (this.source, this.shape) = (Some(made), input);
        let mut this = decoder(this)?;
        let decoder = std::mem::replace(&mut this.network.layers, outer);
        (this.source, this.shape) = (None, input);
        this.push(EncoderDecoder { name: name.into(), length: made.width, encoder, decoder })
    }
}
