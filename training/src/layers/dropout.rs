//! Dropout.

use rand::Rng;

use crate::NetworkError;
use crate::draws::{Domain, generator};
use crate::layers::Layer;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// In training, each value is zero with probability `rate`, else multiplied by 1 / (1 - rate), so that the mean stays
/// (Srivastava et al., JMLR 15, 2014, in the inverted form). In evaluation, nothing happens.
///
/// Which values fall depends on the run's seed, the step and the layer's number alone.
#[derive(Debug, Clone)]
pub(crate) struct Dropout {
    pub name: String,
    /// At least 0 and below 1.
    pub rate: f64,
    /// Tells the dropouts of a network apart.
    pub number: u64,
}

impl Layer for Dropout {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        Ok(input)
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let moment = tape.scope().moment();
        if !moment.training {
            return input;
        }
        let mut draws = generator(moment.seed, Domain::Dropout, [moment.step, self.number]);
        let shape = tape.value(input).shape();
        let (mut out, mut mask) = (tape.tensor(shape), tape.tensor(shape));
        // Two draws of 32 bits from each of 64.
        let limit = (self.rate * 4_294_967_296.0) as u64;
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        for pair in mask.data_mut().chunks_mut(2) {
            let bits = draws.next_u64();
            for (value, draw) in pair.iter_mut().zip([bits & 0xffff_ffff, bits >> 32]) {
                *value = if draw < limit { 0.0 } else { kept };
            }
        }
        multiply(out.data_mut(), tape.value(input).data(), mask.data());
        tape.push(out, vec![input], Box::new(DropoutBack { mask }))
    }

    fn scratch(&self, input: Shape) -> usize {
        input.len()
    }
}

fn multiply(out: &mut [f32], a: &[f32], b: &[f32]) {
    out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a * b);
}

struct DropoutBack {
    mask: Tensor,
}

impl Operation for DropoutBack {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let mut gradient = self.mask;
        gradient.data_mut().iter_mut().zip(step.upstream.data()).for_each(|(mask, dy)| *mask *= dy);
        scope.pool().give(step.upstream.into_data());
        vec![step.wanted[0].then_some(gradient)]
    }

    fn discard(self: Box<Self>, scope: &mut Scope<'_>) {
        scope.pool().give(self.mask.into_data());
    }
}
