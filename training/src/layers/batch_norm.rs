//! Batch normalisation.

use crate::NetworkError;
use crate::layers::{Layer, take_channels};
use crate::parameters::ParameterId;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor, sums_of_pairs};

/// Added to the variance, so that the division is safe (the customary value).
const EPSILON: f64 = 1e-5;

/// Share of the batch in the running statistics, which keep the rest of what they were (the customary value).
const SHARE: f64 = 0.1;

/// y = scale (x - mean) / sqrt(variance + 1e-5) + shift, channel by channel (Ioffe & Szegedy, ICML 2015, algorithms 1 and 2).
///
/// In training, mean and variance are those of the batch over all places of all images, and the running ones move a tenth of
/// the way to them; the variance that is kept is the unbiased one, n / (n - 1) times that of the batch. A single value has no
/// spread, and counts as variance 0. In evaluation the running ones are used.
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    pub name: String,
    pub channels: usize,
    pub scale: ParameterId,
    pub shift: ParameterId,
    pub mean: ParameterId,
    pub variance: ParameterId,
}

/// What a channel's values are normalised by.
#[derive(Clone, Copy)]
struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Of the values themselves: a first mean, and then mean and square of what is left.
    fn of(values: &[f32]) -> Self {
        let n = values.len() as f64;
        let centre = (sums_of_pairs(values, values, |x, _| [x, 0.0])[0] / n) as f32;
        let [sum, squares] = sums_of_pairs(values, values, |x, _| [x - centre, (x - centre) * (x - centre)]);
        Self { mean: f64::from(centre) + sum / n, variance: (squares / n - (sum / n).powi(2)).max(0.0) }
    }

    fn inverse_deviation(self) -> f32 {
        (1.0 / (self.variance + EPSILON).sqrt()) as f32
    }
}

impl Layer for BatchNorm {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        take_channels(&self.name, self.channels, input)?;
        Ok(input)
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let mut out = tape.tensor(tape.value(input).shape());
        let (image, scope) = tape.value_and_scope(input);
        let moments = if scope.moment().training { self.batch(scope, image) } else { self.running(scope) };
        let (scale, shift) = (scope.parameter(self.scale), scope.parameter(self.shift));
        let length = image.data().len() / self.channels;
        let planes = out.data_mut().chunks_exact_mut(length).zip(image.data().chunks_exact(length));
        for (channel, (out, image)) in planes.enumerate() {
            let (mean, shift) = (moments[channel].mean as f32, shift[channel]);
            let factor = moments[channel].inverse_deviation() * scale[channel];
            out.iter_mut().zip(image).for_each(|(y, &x)| *y = (x - mean) * factor + shift);
        }
        tape.push_trained(out, vec![input], Box::new(BatchNormBack { layer: self.clone(), moments }))
    }

    fn is_trained(&self) -> bool {
        true
    }
}

impl BatchNorm {
    /// The moments of a batch; the running ones follow when the step is done.
    fn batch(&self, scope: &mut Scope<'_>, image: &Tensor) -> Vec<Moments> {
        let length = image.data().len() / self.channels;
        let moments: Vec<Moments> = image.data().chunks_exact(length).map(Moments::of).collect();
        let unbiased = if length > 1 { length as f64 / (length - 1) as f64 } else { 1.0 };
        self.follow(scope, self.mean, moments.iter().map(|m| m.mean));
        self.follow(scope, self.variance, moments.iter().map(|m| m.variance * unbiased));
        moments
    }

    fn follow(&self, scope: &mut Scope<'_>, id: ParameterId, batch: impl Iterator<Item = f64>) {
        let old = scope.parameter(id).iter();
        let new = old.zip(batch).map(|(&old, new)| ((1.0 - SHARE) * f64::from(old) + SHARE * new) as f32);
        scope.set_statistic(id, new.collect());
    }

    fn running(&self, scope: &Scope<'_>) -> Vec<Moments> {
        let pairs = scope.parameter(self.mean).iter().zip(scope.parameter(self.variance));
        pairs.map(|(&mean, &variance)| Moments { mean: mean.into(), variance: variance.into() }).collect()
    }
}

struct BatchNormBack {
    layer: BatchNorm,
    moments: Vec<Moments>,
}

impl Operation for BatchNormBack {
    /// With z the normalised values and n of them: dshift = sum dy, dscale = sum dy z, and
    /// dx = scale / deviation (dy - dshift / n - z dscale / n), since mean and variance depend on x too.
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let Self { layer, moments } = *self;
        let mut upstream = step.upstream;
        let length = upstream.data().len() / layer.channels;
        let mut scales = scope.pool().take(layer.channels);
        let mut shifts = scope.pool().take(layer.channels);
        let scale = scope.parameter(layer.scale);
        let planes =
            upstream.data_mut().chunks_exact_mut(length).zip(step.inputs[0].data().chunks_exact(length));
        for (channel, (dy, x)) in planes.enumerate() {
            let (mean, inverse) = (moments[channel].mean as f32, moments[channel].inverse_deviation());
            let [shift, product] = sums_of_pairs(dy, x, |dy, x| [dy, dy * (x - mean)]);
            let product = product * f64::from(inverse);
            (scales[channel], shifts[channel]) = (product as f32, shift as f32);
            if step.wanted[0] {
                let (a, n) = (scale[channel] * inverse, length as f64);
                let (b, c) = ((shift / n) as f32, (product * f64::from(inverse) / n) as f32);
                dy.iter_mut().zip(x).for_each(|(dy, &x)| *dy = a * (*dy - b - (x - mean) * c));
            }
        }
        scope.add_gradient(layer.scale, scales);
        scope.add_gradient(layer.shift, shifts);
        vec![step.wanted[0].then_some(upstream)]
    }
}
