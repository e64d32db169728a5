//! The rectifier of Transformers.

use crate::NetworkError;
use crate::layers::Layer;
use crate::math::exp;
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// GELU in its tanh form (Hendrycks & Gimpel, arXiv 1606.08415, section 2): x (1 + tanh u) / 2 with
/// u = sqrt(2 / pi) (x + 0.044715 x^3), computed as x / (1 + e^(-2 u)), which is the same.
#[derive(Debug, Clone)]
pub(crate) struct Gelu {
    pub name: String,
}

/// 2 sqrt(2 / pi).
const SLOPE: f32 = 1.595_769;
const CUBE: f32 = 0.044_715;

/// 1 / (1 + e^(-2 u)), and the derivative of 2 u.
#[inline]
fn gate(x: f32) -> (f32, f32) {
    let square = x * x;
    let gate = 1.0 / (1.0 + exp(-SLOPE * x * (1.0 + CUBE * square)));
    (gate, SLOPE * (1.0 + 3.0 * CUBE * square))
}

impl Layer for Gelu {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        Ok(input)
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let mut out = tape.tensor(tape.value(input).shape());
        let pairs = out.data_mut().iter_mut().zip(tape.value(input).data());
        pairs.for_each(|(out, &x)| *out = x * gate(x).0);
        tape.push(out, vec![input], Box::new(GeluBack))
    }
}

struct GeluBack;

impl Operation for GeluBack {
    /// With s the gate: d(x s)/dx = s + x s (1 - s) d(2 u)/dx.
    fn backward(self: Box<Self>, step: Backward<'_>, _scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let mut gradient = step.upstream;
        let pairs = gradient.data_mut().iter_mut().zip(step.inputs[0].data());
        pairs.for_each(|(gradient, &x)| {
            let (s, slope) = gate(x);
            *gradient *= s + x * s * (1.0 - s) * slope;
        });
        vec![step.wanted[0].then_some(gradient)]
    }
}
