//! Dense layers.

use crate::NetworkError;
use crate::layers::{Affine, Layer, Product};
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// O = W X + b on all features of an image, whatever their shape was.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub name: String,
    pub affine: Affine,
}

impl Layer for Linear {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        let (expected, found) = (self.affine.depth, input.features());
        if expected != found {
            return Err(NetworkError::Features { layer: self.name.clone(), expected, found });
        }
        Ok(Shape::new(self.affine.outputs, 1, 1, input.batch))
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let batch = tape.value(input).shape().batch;
        let mut out = tape.tensor(Shape::new(self.affine.outputs, 1, 1, batch));
        let (value, scope) = tape.value_and_scope(input);
        self.affine.forward(scope, value.data(), out.data_mut());
        tape.push_trained(out, vec![input], Box::new(LinearBack { affine: self.affine }))
    }

    fn products(&self, input: Shape, input_gradient: bool) -> Vec<Product> {
        self.affine.products(input.batch, input_gradient)
    }

    fn is_trained(&self) -> bool {
        true
    }
}

struct LinearBack {
    affine: Affine,
}

impl Operation for LinearBack {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let (input, upstream) = (step.inputs[0], step.upstream);
        self.affine.weight_gradient(scope, input.data(), upstream.data());
        let gradient = step.wanted[0].then(|| {
            let mut gradient = scope.pool().tensor(input.shape());
            self.affine.input_gradient(scope, upstream.data(), gradient.data_mut());
            gradient
        });
        scope.pool().give(upstream.into_data());
        vec![gradient]
    }
}
