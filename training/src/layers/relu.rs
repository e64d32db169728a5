//! The rectifier.

use crate::NetworkError;
use crate::layers::Layer;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// max(x, 0); what is not a number stays so, so that it is noticed.
#[derive(Debug, Clone)]
pub(crate) struct Relu {
    pub name: String,
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
        pairs.for_each(|(out, &x)| *out = if x < 0.0 { 0.0 } else { x });
        tape.push(out, vec![input], Box::new(ReluBack))
    }
}

struct ReluBack;

impl Operation for ReluBack {
    fn backward(self: Box<Self>, step: Backward<'_>, _scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let mut gradient = step.upstream;
        let pairs = gradient.data_mut().iter_mut().zip(step.output.data());
        pairs.for_each(|(gradient, &out)| *gradient = if out > 0.0 { *gradient } else { 0.0 });
        vec![step.wanted[0].then_some(gradient)]
    }
}
