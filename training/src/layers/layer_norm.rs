//! Layer normalisation.

use crate::NetworkError;
use crate::layers::{Layer, take_channels};
use crate::parameters::ParameterId;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor, sums_of_pairs};

/// Added to the variance, so that the division is safe (the customary value).
const EPSILON: f32 = 1e-5;

/// y = scale (x - mean) / sqrt(variance + 1e-5) + shift at each place of each example, with mean and variance over its
/// channels, and a scale and a shift for each channel (Ba, Kiros & Hinton, arXiv 1607.06450, in the form of Transformers).
/// The same in training and evaluation.
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    pub name: String,
    pub channels: usize,
    pub scale: ParameterId,
    pub shift: ParameterId,
}

impl Layer for LayerNorm {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        take_channels(&self.name, self.channels, input)?;
        Ok(input)
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let mut out = tape.tensor(tape.value(input).shape());
        let (value, scope) = tape.value_and_scope(input);
        let places = value.data().len() / self.channels;
        let mut inverse = scope.pool().take(places);
        let mut mean = scope.pool().take(places);
        normalise(value.data(), &mut mean, &mut inverse, out.data_mut());
        scope.pool().give(mean);
        // What is normalised is kept for the way back; scale and shift are put on a copy.
        let mut kept = scope.pool().tensor(value.shape());
        std::mem::swap(&mut kept, &mut out);
        let rows = out.data_mut().chunks_exact_mut(places).zip(kept.data().chunks_exact(places));
        let pairs = scope.parameter(self.scale).iter().zip(scope.parameter(self.shift));
        for ((out, row), (&scale, &shift)) in rows.zip(pairs) {
            out.iter_mut().zip(row).for_each(|(y, &z)| *y = z * scale + shift);
        }
        tape.push_trained(out, vec![input], Box::new(LayerNormBack { layer: self.clone(), kept, inverse }))
    }

    fn scratch(&self, input: Shape) -> usize {
        input.len().saturating_add(input.len() / input.channels.max(1))
    }

    fn is_trained(&self) -> bool {
        true
    }
}

/// Writes (x - mean) / deviation to `out`; `mean` and `inverse` of the deviation have a number for each place. Sums run over
/// the channels in order.
fn normalise(x: &[f32], mean: &mut [f32], inverse: &mut [f32], out: &mut [f32]) {
    let places = mean.len();
    let n = (x.len() / places.max(1)) as f32;
    mean.fill(0.0);
    for row in x.chunks_exact(places) {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    mean.iter_mut().for_each(|sum| *sum /= n);
    inverse.fill(0.0);
    for (row, out) in x.chunks_exact(places).zip(out.chunks_exact_mut(places)) {
        for (((x, out), mean), square) in row.iter().zip(out).zip(&*mean).zip(&mut *inverse) {
            *out = x - mean;
            *square += *out * *out;
        }
    }
    inverse.iter_mut().for_each(|square| *square = 1.0 / (*square / n + EPSILON).sqrt());
    for row in out.chunks_exact_mut(places) {
        row.iter_mut().zip(&*inverse).for_each(|(x, inverse)| *x *= inverse);
    }
}

struct LayerNormBack {
    layer: LayerNorm,
    /// The normalised values.
    kept: Tensor,
    /// 1 / deviation of each place.
    inverse: Vec<f32>,
}

impl LayerNormBack {
    /// With z the normalised values, g = scale dy and means over the channels:
    /// dx = (g - mean g - z mean(g z)) / deviation.
    fn input(&self, scope: &mut Scope<'_>, dy: &mut [f32]) {
        let places = self.inverse.len();
        let n = self.layer.channels as f32;
        let (mut first, mut second) = (scope.pool().take(places), scope.pool().take(places));
        first.fill(0.0);
        second.fill(0.0);
        let scale = scope.parameter(self.layer.scale);
        let rows = dy.chunks_exact_mut(places).zip(self.kept.data().chunks_exact(places));
        for ((dy, z), scale) in rows.zip(scale) {
            for (((dy, z), a), b) in dy.iter_mut().zip(z).zip(&mut first).zip(&mut second) {
                *dy *= scale;
                *a += *dy;
                *b += *dy * z;
            }
        }
        first.iter_mut().chain(&mut second).for_each(|sum| *sum /= n);
        for (dy, z) in dy.chunks_exact_mut(places).zip(self.kept.data().chunks_exact(places)) {
            let sums = first.iter().zip(&second).zip(&self.inverse);
            for ((dy, z), ((a, b), inverse)) in dy.iter_mut().zip(z).zip(sums) {
                *dy = (*dy - a - z * b) * inverse;
            }
        }
        scope.pool().give(first);
        scope.pool().give(second);
    }
}

impl Operation for LayerNormBack {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let mut upstream = step.upstream;
        let (places, channels) = (self.inverse.len(), self.layer.channels);
        let (mut scales, mut shifts) = (scope.pool().take(channels), scope.pool().take(channels));
        let rows = upstream.data().chunks_exact(places).zip(self.kept.data().chunks_exact(places));
        for ((dy, z), sums) in rows.zip(scales.iter_mut().zip(&mut shifts)) {
            let [shift, scale] = sums_of_pairs(dy, z, |dy, z| [dy, dy * z]);
            (*sums.0, *sums.1) = (scale as f32, shift as f32);
        }
        scope.add_gradient(self.layer.scale, scales);
        scope.add_gradient(self.layer.shift, shifts);
        if step.wanted[0] {
            self.input(scope, upstream.data_mut());
        }
        scope.pool().give(self.kept.into_data());
        scope.pool().give(self.inverse);
        vec![step.wanted[0].then_some(upstream)]
    }

    fn discard(self: Box<Self>, scope: &mut Scope<'_>) {
        scope.pool().give(self.kept.into_data());
        scope.pool().give(self.inverse);
    }
}
