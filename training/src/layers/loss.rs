//! What training makes small.

use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// In place of a label: nothing is asked at this place, and it takes no part in the mean.
pub const NO_LABEL: u32 = u32::MAX;

/// Places of which logits and powers are worked on together: so many of each class lie in few lines of the cache.
const BLOCK: usize = 64;

/// Mean over the places that have a label of -log p, p the softmax of the logits at the label: a tensor of one number.
/// `logits` has a channel per class; `labels` has a class, or [`NO_LABEL`], for each place of each example, in the order of
/// the columns of `logits`: one for each image, one for each token of each sequence. Without any label the loss is 0.
///
/// The sum over classes runs in `f64` with portable exponentials, so that it is the same on any machine.
///
/// # Panics
/// When there are not as many labels as columns, or a label is not a channel.
pub fn softmax_cross_entropy(tape: &mut Tape<'_>, logits: NodeId, labels: &[u32]) -> NodeId {
    let mut gradient = tape.tensor(tape.value(logits).shape());
    let (total, count) = cross_entropy(tape.value(logits), labels, Some(&mut gradient));
    let mut loss = tape.tensor(Shape::new(1, 1, 1, 1));
    loss.data_mut()[0] = (total / count.max(1) as f64) as f32;
    tape.push(loss, vec![logits], Box::new(LossBack { gradient }))
}

/// Sum of -log p over the places that have a label, and how many these are; `gradient` becomes that of their mean.
///
/// # Panics
/// As [`softmax_cross_entropy`].
pub(crate) fn cross_entropy(
    logits: &Tensor,
    labels: &[u32],
    mut gradient: Option<&mut Tensor>,
) -> (f64, usize) {
    let (classes, columns) = (logits.shape().channels, labels.len());
    assert_eq!(classes * columns, logits.data().len(), "labels");
    let asked = labels.iter().filter(|&&label| label != NO_LABEL).count();
    let mut total = 0.0;
    let mut powers = vec![0.0_f64; classes * BLOCK.min(columns)];
    for first in (0..columns).step_by(BLOCK) {
        let labels = &labels[first..columns.min(first + BLOCK)];
        let width = labels.len();
        let row = |class: usize| &logits.data()[class * columns + first..][..width];
        let powers = &mut powers[..classes * width];
        let (mut largest, mut sums) = ([f64::NEG_INFINITY; BLOCK], [0.0_f64; BLOCK]);
        for class in 0..classes {
            row(class).iter().zip(&mut largest).for_each(|(&x, most)| *most = most.max(x.into()));
        }
        for (class, powers) in powers.chunks_exact_mut(width).enumerate() {
            for (i, (power, &x)) in powers.iter_mut().zip(row(class)).enumerate() {
                *power = libm::exp(f64::from(x) - largest[i]);
                sums[i] += *power;
            }
        }
        for (i, &label) in labels.iter().enumerate().filter(|(_, label)| **label != NO_LABEL) {
            total += libm::log(sums[i]) + largest[i] - f64::from(row(label as usize)[i]);
        }
        let Some(gradient) = gradient.as_deref_mut() else { continue };
        for (class, powers) in powers.chunks_exact(width).enumerate() {
            let out = &mut gradient.data_mut()[class * columns + first..][..width];
            for (i, (out, power)) in out.iter_mut().zip(powers).enumerate() {
                let target = if class == labels[i] as usize { 1.0 } else { 0.0 };
                let share = ((power / sums[i] - target) / asked as f64) as f32;
                *out = if labels[i] == NO_LABEL { 0.0 } else { share };
            }
        }
    }
    (total, asked)
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
