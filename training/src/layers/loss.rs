//! What training makes small.

use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// Mean over the batch of -log p, p the softmax of the logits at the label: a tensor of one number. `logits` has a channel per
/// class; `labels` has a class for each image.
///
/// The sum over classes runs in `f64` with portable exponentials, so that it is the same on any machine.
///
/// # Panics
/// When there are not as many labels as images, or a label is not a channel.
pub fn softmax_cross_entropy(tape: &mut Tape<'_>, logits: NodeId, labels: &[u8]) -> NodeId {
    let shape = tape.value(logits).shape();
    let (classes, batch) = (shape.features(), shape.batch);
    assert_eq!(labels.len(), batch, "labels");
    let mut gradient = tape.tensor(shape);
    let mut total = 0.0;
    let mut powers = vec![0.0_f64; classes];
    for (image, &label) in labels.iter().enumerate() {
        let values = tape.value(logits).data();
        let at = |class: usize| f64::from(values[class * batch + image]);
        let largest = (0..classes).map(at).fold(f64::NEG_INFINITY, f64::max);
        for (class, power) in powers.iter_mut().enumerate() {
            *power = libm::exp(at(class) - largest);
        }
        let sum: f64 = powers.iter().sum();
        total += libm::log(sum) + largest - at(usize::from(label));
        for (class, power) in powers.iter().enumerate() {
            let target = if class == usize::from(label) { 1.0 } else { 0.0 };
            gradient.data_mut()[class * batch + image] = ((power / sum - target) / batch as f64) as f32;
        }
    }
    let mut loss = tape.tensor(Shape::new(1, 1, 1, 1));
    loss.data_mut()[0] = (total / batch as f64) as f32;
    tape.push(loss, vec![logits], Box::new(LossBack { gradient }))
}

struct LossBack {
    gradient: Tensor,
}

impl Operation for LossBack {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let upstream = step.upstream.data()[0];
        let mut gradient = self.gradient;
        if upstream != 1.0 {
            gradient.data_mut().iter_mut().for_each(|x| *x *= upstream);
        }
        scope.pool().give(step.upstream.into_data());
        vec![step.wanted[0].then_some(gradient)]
    }

    fn discard(self: Box<Self>, scope: &mut Scope<'_>) {
        scope.pool().give(self.gradient.into_data());
    }
}
