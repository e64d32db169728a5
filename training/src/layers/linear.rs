//! Dense layers.

use crate::NetworkError;
use crate::layers::{Affine, Layer, Product};
use crate::tape::{NodeId, Tape};
use crate::tensor::Shape;

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
        tape.push_trained(out, vec![input], Box::new(self.affine))
    }

    fn products(&self, input: Shape, input_gradient: bool) -> Vec<Product> {
        self.affine.products(input.batch, input_gradient)
    }

    fn is_trained(&self) -> bool {
        true
    }
}
