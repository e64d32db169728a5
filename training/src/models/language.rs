//! Networks that read text: Transformers (Vaswani et al., NeurIPS 2017) with the layer norm at the beginning of each branch
//! (Xiong et al., ICML 2020), which trains without a long warm-up.

use super::Built;
use crate::builder::NetworkBuilder;
use crate::layers::Positions;
use crate::network::Side;
use crate::{Network, NetworkError};

/// The networks that [`Network::language`] knows.
pub const LANGUAGE_NETWORKS: [&str; 2] = ["transformer-lm", "translation"];

/// Sizes of a Transformer.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Channels.
    width: usize,
    heads: usize,
    /// Channels between the two dense layers of a block.
    inner: usize,
    blocks: usize,
}

const LM: Sizes = Sizes { width: 128, heads: 4, inner: 512, blocks: 3 };
const TRANSLATION: Sizes = Sizes { width: 128, heads: 4, inner: 256, blocks: 2 };

impl Network {
    /// One of [`LANGUAGE_NETWORKS`] for sequences like `sides`, with so much dropout behind embeddings and at the end of each
    /// branch.
    ///
    /// # Errors
    /// For a name that is not known, sides that the network does not have, sizes that are zero or too large, and a rate that is none.
    pub fn language(name: &str, sides: &[Side], dropout: f64) -> Result<Self, NetworkError> {
        let (expected, build): (usize, fn(NetworkBuilder, f64) -> Built) = match name {
            "transformer-lm" => (1, transformer_lm),
            "translation" => (2, translation),
            _ => return Err(super::unknown(name)),
        };
        if sides.len() != expected {
            return Err(NetworkError::Sides { name: name.into(), expected, found: sides.len() });
        }
        build(Self::sequence_builder(name, sides), dropout).map(NetworkBuilder::build)
    }
}

/// The next token after each: embeddings with trained positions; three blocks of causal self-attention with 4 heads and two
/// dense layers (512, 128) with GELU between; a layer norm and the tokens. 128 channels.
fn transformer_lm(network: NetworkBuilder, dropout: f64) -> Built {
    let vocabulary = network.network.sides[0].vocabulary;
    let network = network.embedding("embedding", (0, LM.width), Positions::Learned)?;
    let mut network = dropped(network, "embedding", dropout)?;
    for block in 0..LM.blocks {
        let name = format!("block{block}");
        network = branch(network, &format!("{name}.self"), dropout, |n, name| {
            n.self_attention(name, LM.heads, true)
        })?;
        network = inner(network, &name, LM, dropout)?;
    }
    network.layer_norm("norm")?.dense("output", vocabulary)
}

/// The next token of the target after each, given the source: on each side embeddings with sinusoidal positions and two blocks,
/// in the decoder with attention to the encoder's result between self-attention and dense layers (256, 128); 4 heads, 128 channels.
fn translation(network: NetworkBuilder, dropout: f64) -> Built {
    let vocabulary = network.network.sides[1].vocabulary;
    let begin = |network: NetworkBuilder, name: &str, side| {
        let name = format!("{name}.embedding");
        let network = network.embedding(&name, (side, TRANSLATION.width), Positions::Sinusoidal)?;
        dropped(network, &name, dropout)
    };
    let heads = TRANSLATION.heads;
    let encoder = |network| {
        let mut network = begin(network, "encoder", 0)?;
        for block in 0..TRANSLATION.blocks {
            let name = format!("encoder.{block}");
            network = branch(network, &format!("{name}.self"), dropout, |n, name| {
                n.self_attention(name, heads, false)
            })?;
            network = inner(network, &name, TRANSLATION, dropout)?;
        }
        network.layer_norm("encoder.norm")
    };
    let decoder = |network| {
        let mut network = begin(network, "decoder", 1)?;
        for block in 0..TRANSLATION.blocks {
            let name = format!("decoder.{block}");
            network = branch(network, &format!("{name}.self"), dropout, |n, name| {
                n.self_attention(name, heads, true)
            })?;
            network =
                branch(network, &format!("{name}.cross"), dropout, |n, name| n.cross_attention(name, heads))?;
            network = inner(network, &name, TRANSLATION, dropout)?;
        }
        network.layer_norm("decoder.norm")?.dense("decoder.output", vocabulary)
    };
    network.encoder_decoder("translation", encoder, decoder)
}

/// The value so far, plus what `body`, named `name`, makes of its layer norm.
fn branch(
    network: NetworkBuilder,
    name: &str,
    dropout: f64,
    body: impl FnOnce(NetworkBuilder, &str) -> Built,
) -> Built {
    let inside = |network: NetworkBuilder| {
        dropped(body(network.layer_norm(&format!("{name}.norm"))?, name)?, name, dropout)
    };
    network.residual(&format!("{name}.sum"), inside, Ok)
}

/// Dropout behind what is called `name`; no layer where nothing drops out.
fn dropped(network: NetworkBuilder, name: &str, rate: f64) -> Built {
    if rate == 0.0 { Ok(network) } else { network.dropout(&format!("{name}.drop"), rate) }
}

/// The two dense layers of a block.
fn inner(network: NetworkBuilder, name: &str, sizes: Sizes, dropout: f64) -> Built {
    branch(network, &format!("{name}.dense"), dropout, |network, _| {
        let network = network.dense(&format!("{name}.fc1"), sizes.inner)?.gelu(&format!("{name}.gelu"))?;
        network.dense(&format!("{name}.fc2"), sizes.width)
    })
}
