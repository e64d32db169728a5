//! The layers of networks that read sequences, against their definitions as the others are.

use super::tests::{Loss, affine, check, numbers};
use super::*;
use crate::gemm::{Fp32, Tally};
use crate::parameters::{ParameterId, Parameters};
use crate::tape::{Moment, Operation, Scope, Source};
use crate::tensor::{Pool, Tensor};

#[test]
fn gelu_follows_its_definition() {
    let input = Shape::new(2, 3, 3, 4);
    let values = numbers(72, 6).into_iter().map(|x| 6.0 * x).collect();
    check(&Gelu { name: "g".into() }, input, vec![values], |values| {
        let u = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        values[0].iter().map(|&x| 0.5 * x * (1.0 + u(x).tanh())).collect()
    });
}

/// Far from zero it is the rectifier, and what is lost stays lost.
#[test]
fn gelu_is_safe_at_the_ends() {
    let parameters = Parameters::from_values(vec![]);
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    let moment = Moment { seed: 5, step: 7, training: true };
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, moment);
    let x = tape.input(Tensor::new(Shape::new(1, 1, 1, 5), vec![-1e4, -20.0, 20.0, 1e10, f32::NAN]));
    let y = Gelu { name: "g".into() }.forward(&mut tape, x);
    assert_eq!(tape.value(y).data()[..4], [0.0, 0.0, 20.0, 1e10]);
    assert!(tape.value(y).data()[4].is_nan());
}

#[test]
fn layer_norms_follow_their_definition() {
    for (channels, height, width, batch) in [(7, 1, 3, 4), (2, 2, 1, 1), (1, 1, 2, 2)] {
        let input = Shape::new(channels, height, width, batch);
        let places = input.len() / channels;
        let layer =
            LayerNorm { name: "n".into(), channels, scale: ParameterId::new(1), shift: ParameterId::new(2) };
        let values = vec![numbers(input.len(), 1), numbers(channels, 2), numbers(channels, 3)];
        check(&layer, input, values, |values| {
            let place = |at: usize| (0..channels).map(move |c| values[0][c * places + at]);
            let moments = |at: usize| {
                let mean = place(at).sum::<f64>() / channels as f64;
                (mean, place(at).map(|x| (x - mean).powi(2)).sum::<f64>() / channels as f64)
            };
            let value = |i: usize| {
                let (c, (mean, variance)) = (i / places, moments(i % places));
                (values[0][i] - mean) / (variance + 1e-5).sqrt() * values[1][c] + values[2][c]
            };
            (0..input.len()).map(value).collect()
        });
    }
}

fn embedding(positions: Option<ParameterId>, first: usize, length: usize) -> Embedding {
    Embedding {
        name: "e".into(),
        table: ParameterId::new(1),
        positions,
        vocabulary: 5,
        width: 4,
        first,
        length,
    }
}

#[test]
fn embeddings_follow_their_definition() {
    // Tokens of two examples, one after the other at each place; the second half is another's.
    let tokens = vec![0.0, 4.0, 2.0, 2.0, 1.0, 4.0, 3.0, 3.0, 0.0, 1.0];
    let input = Shape::new(1, 1, 5, 2);
    for (learned, first, length) in [(true, 0, 3), (true, 2, 3), (false, 1, 4)] {
        let layer = embedding(learned.then(|| ParameterId::new(2)), first, length);
        let mut values = vec![tokens.clone(), numbers(20, 1)];
        values.extend(learned.then(|| numbers(4 * length, 2)));
        check(&layer, input, values, |values| {
            let value = |i: usize| {
                let (example, place, channel) = (i % 2, i / 2 % length, i / 2 / length);
                let token = values[0][(first + place) * 2 + example].round() as usize;
                let angle = place as f64 / 10_000_f64.powf((channel / 2) as f64 / 2.0);
                let sinusoid = if channel % 2 == 0 { angle.sin() } else { angle.cos() };
                let position = values.get(2).map_or(sinusoid, |positions| positions[place * 4 + channel]);
                values[1][token * 4 + channel] + position
            };
            (0..4 * length * 2).map(value).collect()
        });
    }
}

/// An attention that is told the source: a part of its input's columns, or lengths alone.
#[derive(Debug)]
struct Told {
    attention: Attention,
    lengths: Vec<usize>,
    /// The queries' places come first in the input, then those of the source, where it is another sequence.
    places: usize,
}

/// Some columns of a value.
struct Columns(usize);

fn columns(tape: &mut Tape<'_>, input: NodeId, first: usize, length: usize) -> NodeId {
    let shape = tape.value(input).shape();
    let mut out = tape.tensor(Shape { width: length, ..shape });
    let rows = tape.value(input).data().chunks_exact(shape.width * shape.batch);
    for (out, row) in out.data_mut().chunks_exact_mut(length * shape.batch).zip(rows) {
        out.copy_from_slice(&row[first * shape.batch..][..length * shape.batch]);
    }
    tape.push(out, vec![input], Box::new(Columns(first)))
}

impl Operation for Columns {
    fn backward(self: Box<Self>, step: crate::Backward<'_>, _: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let shape = step.inputs[0].shape();
        let mut gradient = Tensor::zeros(shape);
        let width = step.upstream.shape().width * shape.batch;
        let rows = gradient.data_mut().chunks_exact_mut(shape.width * shape.batch);
        for (row, dy) in rows.zip(step.upstream.data().chunks_exact(width)) {
            row[self.0 * shape.batch..][..width].copy_from_slice(dy);
        }
        vec![Some(gradient)]
    }
}

impl Layer for Told {
    fn name(&self) -> &str {
        "told"
    }
    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        self.attention.output(Shape { width: self.places, ..input })
    }
    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let value = match self.attention.sight {
            Sight::Source(length) => Some(columns(tape, input, self.places, length)),
            _ => None,
        };
        let own = columns(tape, input, 0, self.places);
        tape.set_source(Source { value, lengths: self.lengths.clone().into() });
        self.attention.forward(tape, own)
    }
}

const HEADS: usize = 2;
const CHANNELS: usize = 6;
const BATCH: usize = 3;

/// W x + b for one column; parameters come in pairs from 1 on.
fn column(values: &[Vec<f64>], pair: usize, x: &[f64]) -> Vec<f64> {
    let (weight, bias) = (&values[1 + 2 * pair], &values[2 + 2 * pair]);
    let rows = weight.chunks(x.len()).zip(bias);
    rows.map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias).collect()
}

/// The definition, query by query.
fn attend(values: &[Vec<f64>], width: usize, told: &Told) -> Vec<f64> {
    let at = |place: usize, example: usize| -> Vec<f64> {
        (0..CHANNELS).map(|c| values[0][(c * width + place) * BATCH + example]).collect()
    };
    let mut out = vec![0.0; CHANNELS * told.places * BATCH];
    for (example, place) in (0..BATCH).flat_map(|b| (0..told.places).map(move |t| (b, t))) {
        let seen: Vec<usize> = match told.attention.sight {
            Sight::Past => (0..=place).collect(),
            Sight::Own => (0..told.lengths[example]).collect(),
            Sight::Source(_) => (told.places..told.places + told.lengths[example]).collect(),
        };
        let query = column(values, 0, &at(place, example));
        let keys: Vec<_> = seen.iter().map(|&s| column(values, 1, &at(s, example))).collect();
        let inner: Vec<_> = seen.iter().map(|&s| column(values, 2, &at(s, example))).collect();
        let d = CHANNELS / HEADS;
        let mixed: Vec<f64> = (0..CHANNELS)
            .map(|channel| {
                let head = channel / d * d..channel / d * d + d;
                let score =
                    |key: &Vec<f64>| head.clone().map(|c| query[c] * key[c]).sum::<f64>() / (d as f64).sqrt();
                let powers: Vec<f64> = keys.iter().map(|key| score(key).exp()).collect();
                let sum: f64 = powers.iter().sum();
                powers.iter().zip(&inner).map(|(p, v)| p / sum * v[channel]).sum()
            })
            .collect();
        for (c, y) in column(values, 3, &mixed).into_iter().enumerate() {
            out[(c * told.places + place) * BATCH + example] = y;
        }
    }
    out
}

#[test]
fn attention_follows_its_definition() {
    for (sight, places) in [(Sight::Past, 5), (Sight::Own, 4), (Sight::Source(4), 2), (Sight::Source(4), 5)] {
        let dense = |site: u32| Affine {
            site,
            weight: ParameterId::new(1 + 2 * site as usize),
            bias: Some(ParameterId::new(2 + 2 * site as usize)),
            ..affine(CHANNELS, CHANNELS, 1, true)
        };
        let [query, key, value, out] = [0, 1, 2, 3].map(dense);
        let name = "a".to_owned();
        let attention =
            Attention { name, heads: HEADS, sight, query, key, value, scores: 4, context: 5, out };
        let told = Told { attention, lengths: vec![1, 4, 2], places };
        let width = if let Sight::Source(length) = sight { places + length } else { places };
        let input = Shape::new(CHANNELS, 1, width, BATCH);
        let mut values = vec![numbers(input.len(), 1)];
        for pair in 0..4 {
            values.push(numbers(CHANNELS * CHANNELS, 2 + pair).into_iter().map(|x| 1.5 * x).collect());
            values.push(numbers(CHANNELS, 20 + pair));
        }
        check(&told, input, values, |values| attend(values, width, &told));
    }
}

#[test]
fn places_without_a_label_take_no_part_in_the_loss() {
    // More columns than are worked on at a time.
    let (classes, columns) = (3, 70);
    let labels: Vec<u32> = (0..columns).map(|i| if i % 3 == 1 { NO_LABEL } else { i % classes }).collect();
    let input = Shape::new(classes as usize, 1, 35, 2);
    let values = numbers(input.len(), 8).into_iter().map(|x| 4.0 * x).collect();
    check(&Loss(labels.clone()), input, vec![values], |values| {
        let logit = |class: u32, at: usize| values[0][class as usize * columns as usize + at];
        let asked: Vec<f64> = labels
            .iter()
            .enumerate()
            .filter(|(_, label)| **label != NO_LABEL)
            .map(|(at, &label)| (0..classes).map(|c| logit(c, at).exp()).sum::<f64>().ln() - logit(label, at))
            .collect();
        vec![asked.iter().sum::<f64>() / asked.len() as f64]
    });
}
