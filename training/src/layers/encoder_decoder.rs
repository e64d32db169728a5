//! Two sequences, one made from the other.

use crate::NetworkError;
use crate::layers::{Layer, Passes, Product, chain_forward, chain_output, chain_passes};
use crate::tape::{NodeId, Source, Tape};
use crate::tensor::Shape;

/// The token that fills a source up to its length; attention does not see it.
pub const FILL: u32 = 0;

/// A decoder that sees what an encoder has made of the source, through its cross-attentions (Vaswani et al., NeurIPS 2017).
///
/// Both read their own part of the same input: the first `length` tokens are the source.
#[derive(Debug)]
pub(crate) struct EncoderDecoder {
    pub name: String,
    /// Tokens of a source.
    pub length: usize,
    pub encoder: Vec<Box<dyn Layer>>,
    pub decoder: Vec<Box<dyn Layer>>,
}

impl Layer for EncoderDecoder {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        chain_output(&self.encoder, input)?;
        chain_output(&self.decoder, input)
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let tokens = tape.value(input);
        let batch = tokens.shape().batch;
        let filled = |example: usize| {
            let last =
                (0..self.length).rev().find(|place| tokens.data()[place * batch + example] != FILL as f32);
            // One that is nothing but filling still shows its first token, so that the softmax has something to see.
            last.map_or(1, |place| place + 1)
        };
        let lengths = (0..batch).map(filled).collect();
        tape.set_source(Source { value: None, lengths });
        let value = chain_forward(&self.encoder, tape, input);
        tape.set_source(Source { value: Some(value), ..tape.source() });
        chain_forward(&self.decoder, tape, input)
    }

    fn products(&self, input: Shape, input_gradient: bool) -> Vec<Product> {
        let encoder = chain_passes(&self.encoder, input, input_gradient);
        let Passes { forward, back } = chain_passes(&self.decoder, input, input_gradient);
        encoder.forward.into_iter().chain(forward).chain(back).chain(encoder.back).collect()
    }

    fn is_trained(&self) -> bool {
        true
    }
}
