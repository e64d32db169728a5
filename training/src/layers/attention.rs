//! Multi-head attention.

use std::sync::Arc;

use rayon::prelude::*;

use crate::NetworkError;
use crate::layers::heads::{Heads, Order};
use crate::layers::{Affine, Layer, Product, take_channels};
use crate::math::exp;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};
use mirage_arithmetic::{Matrix, Pass};

/// What the queries of an attention may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Of their own sequence, what is not behind them.
    Past,
    /// All of their own sequence, which is the source: without what fills it up.
    Own,
    /// The source, a sequence of so many places: without what fills it up.
    Source(usize),
}

/// softmax(Q K^T / sqrt(d)) V in each head, between dense layers at each place for Q, K, V and the result (Vaswani et al.,
/// NeurIPS 2017, section 3.2).
///
/// The products of activations are one for each example and head, example by example, with a column for each query as
/// everywhere else: the scores K Q^T, and the context V^T P^T. Keys and values stand where weights do, and so do their gradients: dQ^T = K^T dS^T
/// and dP^T = V dO^T count as dX, dK = dS^T Q and dV^T = dO^T P as dW. Scores that may not be seen are computed and then masked, so that all
/// products have one size. Scaling and softmax are done in single precision.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub name: String,
    /// Divides the channels.
    pub heads: usize,
    pub sight: Sight,
    pub query: Affine,
    pub key: Affine,
    pub value: Affine,
    /// Site of K Q^T.
    pub scores: u32,
    /// Site of V^T P^T.
    pub context: u32,
    pub out: Affine,
}

impl Layer for Attention {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        take_channels(&self.name, self.query.depth, input)?;
        Ok(input)
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let lengths = match self.sight {
            Sight::Past => None,
            Sight::Own | Sight::Source(_) => Some(tape.source().lengths),
        };
        let seen = match self.sight {
            Sight::Past | Sight::Own => input,
            Sight::Source(_) => tape.source().value.expect("the decoder comes behind the encoder"),
        };
        let query = dense(tape, self.query, input);
        let key = dense(tape, self.key, seen);
        let value = dense(tape, self.value, seen);
        let mixed = self.attend(tape, [query, key, value], lengths);
        dense(tape, self.out, mixed)
    }

    fn products(&self, input: Shape, input_gradient: bool) -> Vec<Product> {
        let seen = self.seen(input);
        let (own, other) = (input.len() / input.channels, seen * input.batch);
        // What the source gives has parameters behind it.
        let trained = input_gradient || matches!(self.sight, Sight::Source(_));
        let sides = [
            self.query.products(own, input_gradient),
            self.key.products(other, trained),
            self.value.products(other, trained),
        ];
        let (t, d, repeats) = (input.width, self.query.outputs / self.heads, self.heads * input.batch);
        let product = |site, pass, m, k, n| Product { site, pass, m, k, n, repeats };
        let mut all: Vec<Product> = sides.iter().map(|side| side[0]).collect();
        all.push(product(self.scores, Pass::Forward, seen, d, t));
        all.push(product(self.context, Pass::Forward, d, seen, t));
        all.extend(self.out.products(own, true));
        all.push(product(self.context, Pass::WeightGradient, d, t, seen));
        all.push(product(self.context, Pass::InputGradient, seen, d, t));
        all.push(product(self.scores, Pass::WeightGradient, seen, t, d));
        all.push(product(self.scores, Pass::InputGradient, d, seen, t));
        all.extend(sides.iter().rev().flat_map(|side| side[1..].iter().copied()));
        all
    }

    fn scratch(&self, input: Shape) -> usize {
        let (own, seen) = (input.width, self.seen(input));
        let channels = self.query.outputs.saturating_mul(2);
        // Q and the mixed values; K and V; the same taken apart; the probabilities, and their gradient.
        let values = channels.saturating_mul(own.saturating_add(seen)).saturating_mul(2);
        let scores = self.heads.saturating_mul(own).saturating_mul(seen).saturating_mul(2);
        values.saturating_add(scores).saturating_mul(input.batch)
    }

    fn is_trained(&self) -> bool {
        true
    }
}

impl Attention {
    /// Places that are seen.
    fn seen(&self, input: Shape) -> usize {
        match self.sight {
            Sight::Past | Sight::Own => input.width,
            Sight::Source(length) => length,
        }
    }

    /// What each head makes of Q, K and V, put together.
    fn attend(&self, tape: &mut Tape<'_>, inputs: [NodeId; 3], lengths: Option<Arc<[usize]>>) -> NodeId {
        let shape = tape.value(inputs[0]).shape();
        let own = Heads::of(shape, self.heads);
        let seen = Heads::of(tape.value(inputs[1]).shape(), self.heads);
        let parts = [(own, inputs[0]), (seen, inputs[1]), (seen, inputs[2])].map(|(heads, node)| {
            let (value, scope) = tape.value_and_scope(node);
            let mut blocks = scope.pool().take(heads.len());
            heads.apart(value.data(), &mut blocks);
            blocks
        });
        let scope = tape.scope();
        let probabilities = scope.pool().take(own.count() * own.length * seen.length);
        let mask = Mask { lengths, heads: self.heads };
        let sites = [self.scores, self.context];
        let mut back = AttendBack { sites, own, seen, parts, probabilities, mask };
        let mut mixed = scope.pool().take(own.len());
        back.forward(scope, &mut mixed);
        let mut out = scope.pool().tensor(shape);
        own.together(&mixed, Order::Channels, out.data_mut());
        scope.pool().give(mixed);
        tape.push(out, inputs.to_vec(), Box::new(back))
    }
}

/// A dense layer at each place.
fn dense(tape: &mut Tape<'_>, affine: Affine, input: NodeId) -> NodeId {
    let mut out = tape.tensor(Shape { channels: affine.outputs, ..tape.value(input).shape() });
    let (value, scope) = tape.value_and_scope(input);
    affine.forward(scope, value.data(), out.data_mut());
    tape.push_trained(out, vec![input], Box::new(affine))
}

/// Which queries may see a key.
struct Mask {
    /// Of the source of each example; without, queries see no further than their own place.
    lengths: Option<Arc<[usize]>>,
    heads: usize,
}

impl Mask {
    /// The first of `queries` queries that sees a key; all behind it do.
    fn first(&self, block: usize, key: usize, queries: usize) -> usize {
        match &self.lengths {
            None => key.min(queries),
            Some(lengths) if key < lengths[block / self.heads] => 0,
            Some(_) => queries,
        }
    }
}

struct AttendBack {
    /// Of scores and context.
    sites: [u32; 2],
    own: Heads,
    seen: Heads,
    /// Q, K and V taken apart, channel by channel.
    parts: [Vec<f32>; 3],
    /// Block by block, a row for each key and a column for each query.
    probabilities: Vec<f32>,
    mask: Mask,
}

impl AttendBack {
    /// Block `block` of Q (0), K (1) or V (2): channels x places.
    fn part(&self, which: usize, block: usize) -> Matrix<'_> {
        channels(if which == 0 { self.own } else { self.seen }, &self.parts[which], block)
    }

    /// A block of numbers with a row for each key and a column for each query.
    fn square<'m>(&self, all: &'m [f32], block: usize) -> Matrix<'m> {
        let size = self.square_size();
        Matrix::new(&all[block * size..][..size], self.seen.length, self.own.length)
    }

    fn square_size(&self) -> usize {
        self.own.length * self.seen.length
    }

    /// 1 / sqrt(d).
    fn scale(&self) -> f32 {
        1.0 / (self.own.width as f32).sqrt()
    }

    /// Probabilities, and the context channel by channel.
    fn forward(&mut self, scope: &mut Scope<'_>, mixed: &mut [f32]) {
        let (size, queries) = (self.square_size(), self.own.length);
        let mut probabilities = std::mem::take(&mut self.probabilities);
        scope.multiply_each(self.sites[0], Pass::Forward, (&mut probabilities, size), |block| {
            (self.part(1, block).transposed(), self.part(0, block))
        });
        let (scale, mask) = (self.scale(), &self.mask);
        probabilities.par_chunks_exact_mut(size).enumerate().for_each(|(block, scores)| {
            softmax(scores, queries, scale, |key| mask.first(block, key, queries));
        });
        self.probabilities = probabilities;
        scope.multiply_each(self.sites[1], Pass::Forward, (mixed, self.own.size()), |block| {
            (self.part(2, block), self.square(&self.probabilities, block))
        });
    }

    /// Turns gradients of probabilities into those of scores: dS = P (dP - sum P dP) / sqrt(d), the sum over the keys.
    fn scores_gradient(&self, gradient: &mut [f32]) {
        let (scale, size, queries) = (self.scale(), self.square_size(), self.own.length);
        let blocks = gradient.par_chunks_exact_mut(size).zip(self.probabilities.par_chunks_exact(size));
        blocks.for_each(|(dp, p)| {
            let mut sums = vec![0.0_f32; queries];
            for (dp, p) in dp.chunks_exact(queries).zip(p.chunks_exact(queries)) {
                sums.iter_mut().zip(dp).zip(p).for_each(|((sum, dp), p)| *sum += dp * p);
            }
            for (dp, p) in dp.chunks_exact_mut(queries).zip(p.chunks_exact(queries)) {
                dp.iter_mut().zip(p).zip(&sums).for_each(|((dp, p), sum)| *dp = p * (*dp - sum) * scale);
            }
        });
    }

    fn assembled(
        scope: &mut Scope<'_>,
        heads: Heads,
        shape: Shape,
        (blocks, order): (Vec<f32>, Order),
    ) -> Tensor {
        let mut out = scope.pool().tensor(shape);
        heads.together(&blocks, order, out.data_mut());
        scope.pool().give(blocks);
        out
    }

    fn release(self, scope: &mut Scope<'_>) {
        self.parts.into_iter().chain([self.probabilities]).for_each(|buffer| scope.pool().give(buffer));
    }
}

/// A block of channels x places.
fn channels(heads: Heads, blocks: &[f32], block: usize) -> Matrix<'_> {
    Matrix::new(&blocks[block * heads.size()..][..heads.size()], heads.width, heads.length)
}

/// In each column e^(scale x) over the sum of these, over the rows that its query sees, and zeros in the others; `first` tells
/// the first column that sees a row.
fn softmax(scores: &mut [f32], queries: usize, scale: f32, first: impl Fn(usize) -> usize) {
    let (mut most, mut sums) = (vec![f32::NEG_INFINITY; queries], vec![0.0_f32; queries]);
    for (key, row) in scores.chunks_exact(queries).enumerate() {
        let from = first(key);
        let pairs = most[from..].iter_mut().zip(&row[from..]);
        pairs.for_each(|(most, &x)| *most = if x > *most { x } else { *most });
    }
    for (key, row) in scores.chunks_exact_mut(queries).enumerate() {
        let from = first(key);
        row[..from].fill(0.0);
        let columns = row[from..].iter_mut().zip(&most[from..]).zip(&mut sums[from..]);
        columns.for_each(|((x, most), sum)| {
            *x = exp((*x - most) * scale);
            *sum += *x;
        });
    }
    for row in scores.chunks_exact_mut(queries) {
        row.iter_mut().zip(&sums).for_each(|(x, sum)| *x /= sum);
    }
}

impl Operation for AttendBack {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let Self { sites, own, seen, .. } = *self;
        let mut upstream = scope.pool().take(own.len());
        own.apart(step.upstream.data(), &mut upstream);
        scope.pool().give(step.upstream.into_data());

        let mut value = scope.pool().take(seen.len());
        scope.multiply_each(sites[1], Pass::WeightGradient, (&mut value, seen.size()), |block| {
            (channels(own, &upstream, block), self.square(&self.probabilities, block).transposed())
        });
        let mut scores = scope.pool().take(self.probabilities.len());
        scope.multiply_each(sites[1], Pass::InputGradient, (&mut scores, self.square_size()), |block| {
            (self.part(2, block).transposed(), channels(own, &upstream, block))
        });
        self.scores_gradient(&mut scores);
        let mut key = scope.pool().take(seen.len());
        scope.multiply_each(sites[0], Pass::WeightGradient, (&mut key, seen.size()), |block| {
            (self.square(&scores, block), self.part(0, block).transposed())
        });
        let mut query = scope.pool().take(own.len());
        scope.multiply_each(sites[0], Pass::InputGradient, (&mut query, own.size()), |block| {
            (self.part(1, block), self.square(&scores, block))
        });
        scope.pool().give(upstream);
        scope.pool().give(scores);
        let shapes = [0, 1].map(|input| step.inputs[input].shape());
        let query = Self::assembled(scope, own, shapes[0], (query, Order::Channels));
        let key = Self::assembled(scope, seen, shapes[1], (key, Order::Places));
        let value = Self::assembled(scope, seen, shapes[1], (value, Order::Channels));
        self.release(scope);
        [query, key, value].into_iter().zip(step.wanted).map(|(x, &wanted)| wanted.then_some(x)).collect()
    }

    fn discard(self: Box<Self>, scope: &mut Scope<'_>) {
        self.release(scope);
    }
}
