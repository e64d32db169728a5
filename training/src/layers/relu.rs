//! Rectifiers.

use crate::NetworkError;
use crate::layers::Layer;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// min(max(x, 0), `most`); what is not a number stays so, so that it is noticed. `most` is infinite for the plain rectifier,
/// and 6 for ReLU6 (Howard et al., arXiv 1704.04861).
#[derive(Debug, Clone)]
pub(crate) struct Relu {
    pub name: String,
    pub most: f32,
}

impl Layer for Relu {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        Ok(input)
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let mut out = tape.tensor(tape.value(input).shape());
        let pairs = out.data_mut().iter_mut().zip(tape.value(input).data());
        let most = self.most;
        pairs.for_each(|(out, &x)| {
            let x = if x < 0.0 { 0.0 } else { x };
            *out = if x > most { most } else { x };
        });
        tape.push(out, vec![input], Box::new(ReluBack { most }))
    }
}

struct ReluBack {
    most: f32,
}

impl Operation for ReluBack {
    fn backward(self: Box<Self>, step: Backward<'_>, _scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let mut gradient = step.upstream;
        let pairs = gradient.data_mut().iter_mut().zip(step.output.data());
        pairs.for_each(|(gradient, &out)| {
            *gradient = if out > 0.0 && out < self.most { *gradient } else { 0.0 };
        });
        vec![step.wanted[0].then_some(gradient)]
    }
}
