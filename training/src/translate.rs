//! What a network of translation says.

use crate::examples::Part;
use crate::gemm::{Gemm, Tally};
use crate::layers::FILL;
use crate::parameters::Parameters;
use crate::sequences::{END, START, Sequences};
use crate::tape::{Moment, Tape};
use crate::tensor::{Pool, Tensor};
use crate::trainer::{EVALUATION_STEP, classes};
use crate::{Examples, Network};

/// `Site::step` of the products of translating: this plus the place of the token, so that they share no draws with training and
/// evaluation.
const TRANSLATION_STEP: u64 = EVALUATION_STEP * 3;

/// A sentence, its translation in the data, and that of a network.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Translation {
    /// What is translated.
    pub source: String,
    /// What stands in the data.
    pub reference: String,
    /// What the network says.
    pub output: String,
}

/// Translations of the first `most` held-out sentences, each token the most likely one behind those before it, until the end or
/// until the target's length is full. `None` for data that is no sentence pairs, and for a network that does not read it.
pub fn translations(
    network: &Network,
    parameters: &Parameters,
    data: &Sequences,
    gemm: &dyn Gemm,
    most: usize,
) -> Option<Vec<Translation>> {
    let count = most.min(data.count(Part::Test));
    let [source, target] = data.sides() else { return None };
    data.suits(network).ok()?;
    let items: Vec<u32> = (0..).take(count).collect();
    let mut batch = Tensor::zeros(data.shape().with_batch(count));
    data.batch(Part::Test, (&items, None), &mut batch, &mut Vec::new());
    let (first, length) = (source.length * count, target.length);
    batch.data_mut()[first..].fill(FILL as f32);
    batch.data_mut()[first..][..count].fill(START as f32);
    let mut outputs = vec![Vec::new(); count];
    let mut ended = vec![false; count];
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    for place in 0..length {
        let moment = Moment { seed: 0, step: TRANSLATION_STEP + place as u64, training: false };
        let mut tape = Tape::new(gemm, parameters, &mut pool, &mut tally, moment);
        let input = tape.input(batch.clone());
        let logits = network.forward(&mut tape, input);
        let said: Vec<u32> =
            classes(tape.value(logits)).skip(place * count).take(count).map(|c| c as u32).collect();
        tape.finish();
        for (example, &token) in said.iter().enumerate() {
            ended[example] |= token == END;
            if !ended[example] {
                outputs[example].push(token);
            }
        }
        if place + 1 == length || ended.iter().all(|&ended| ended) {
            break;
        }
        let next = &mut batch.data_mut()[first + (place + 1) * count..][..count];
        next.iter_mut().zip(&said).for_each(|(x, &token)| *x = token as f32);
    }
    let one = |(item, output): (usize, Vec<u32>)| Translation {
        source: data.text(0, data.source(Part::Test, item)),
        reference: data.text(1, data.target(Part::Test, item)),
        output: data.text(1, &output),
    };
    Some(outputs.into_iter().enumerate().map(one).collect())
}
