//! Each layer against its definition, written again in `f64` and as plainly as can be: its values, and its
//! gradients against central differences of that definition.

use proptest::prelude::*;
use rand::Rng;
use rand_pcg::Pcg64;

use super::*;
use crate::gemm::{Fp32, Tally};
use crate::parameters::{ParameterId, Parameters};
use crate::tensor::{Pool, Tensor};

fn numbers(len: usize, stream: u128) -> Vec<f32> {
    let mut generator = Pcg64::new(42, stream);
    (0..len).map(|_| (generator.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Sum of (output x fixed weights): a loss whose upstream gradient is `weights`.
struct WeightedSum(Vec<f32>);

impl crate::Operation for WeightedSum {
    fn backward(self: Box<Self>, step: crate::Backward<'_>, _: &mut crate::Scope<'_>) -> Vec<Option<Tensor>> {
        vec![step.wanted[0].then(|| Tensor::new(step.inputs[0].shape(), self.0))]
    }
}

/// A parameter as a value, so that the gradient with respect to a layer's input can be asked for.
struct Leaf;

impl crate::Operation for Leaf {
    fn backward(
        self: Box<Self>,
        step: crate::Backward<'_>,
        scope: &mut crate::Scope<'_>,
    ) -> Vec<Option<Tensor>> {
        scope.add_gradient(ParameterId::new(0), step.upstream.into_data());
        Vec::new()
    }
}

/// Holds a layer against `define`: (input, parameters) -> output in f64. `values[0]` is the input.
fn check(layer: &dyn Layer, input: Shape, values: Vec<Vec<f32>>, define: impl Fn(&[Vec<f64>]) -> Vec<f64>) {
    let parameters = Parameters::from_values(values.clone());
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    // Stale numbers in every buffer: nothing may rely on zeros.
    for len in 0..3000 {
        (0..3).for_each(|_| pool.give(vec![f32::NAN; len]));
    }
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, 0);
    let x = tape.push_trained(Tensor::new(input, values[0].clone()), vec![], Box::new(Leaf));
    let y = layer.forward(&mut tape, x);
    assert_eq!(tape.value(y).shape(), layer.output(input).unwrap());
    let wide_values: Vec<Vec<f64>> = values.iter().map(|v| wide(v)).collect();
    let want = define(&wide_values);
    assert_eq!(want.len(), tape.value(y).data().len());
    for (got, want) in tape.value(y).data().iter().zip(&want) {
        assert!((f64::from(*got) - want).abs() < 1e-5 * (1.0 + want.abs()), "{got} {want}");
    }
    let weights = numbers(want.len(), 99);
    let loss = |values: &[Vec<f64>]| -> f64 {
        define(values).iter().zip(&weights).map(|(y, &w)| y * f64::from(w)).sum()
    };
    let sum =
        tape.push(Tensor::zeros(Shape::new(1, 1, 1, 1)), vec![y], Box::new(WeightedSum(weights.clone())));
    let gradients = tape.backward(sum);
    for (id, value) in parameters.ids().zip(&values) {
        let gradient = gradients.get(id).unwrap();
        assert_eq!(gradient.len(), value.len());
        for (index, &got) in gradient.iter().enumerate() {
            compare(&loss, &wide_values, id.index(), index, f64::from(got));
        }
    }
}

fn compare(loss: &impl Fn(&[Vec<f64>]) -> f64, at: &[Vec<f64>], which: usize, index: usize, got: f64) {
    const STEP: f64 = 1e-6;
    let moved = |by: f64| {
        let mut values = at.to_vec();
        values[which][index] += by;
        loss(&values)
    };
    let want = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
    assert!((got - want).abs() < 2e-5 * (1.0 + want.abs()), "parameter {which}[{index}]: {got}, not {want}");
}

fn affine(outputs: usize, depth: usize) -> Affine {
    Affine { site: 0, weight: ParameterId::new(1), bias: ParameterId::new(2), outputs, depth }
}

/// The definition: sum over channel, filter row, filter column, zero outside the image.
fn convolve(values: &[Vec<f64>], input: Shape, output: Shape, window: Window) -> Vec<f64> {
    let Window { side, stride, padding } = window;
    let mut out = Vec::new();
    for index in 0..output.len() {
        let (image, rest) = (index % output.batch, index / output.batch);
        let (q, rest) = (rest % output.width, rest / output.width);
        let (p, filter) = (rest % output.height, rest / output.height);
        let mut sum = values[2][filter];
        for (r, s, c) in (0..side * side * input.channels)
            .map(|k| (k / input.channels / side, k / input.channels % side, k % input.channels))
        {
            let (h, w) = ((p * stride + r).wrapping_sub(padding), (q * stride + s).wrapping_sub(padding));
            if h < input.height && w < input.width {
                let weight = values[1][((filter * side + r) * side + s) * input.channels + c];
                sum += weight * values[0][((c * input.height + h) * input.width + w) * input.batch + image];
            }
        }
        out.push(sum);
    }
    out
}

fn check_conv(input: Shape, filters: usize, window: Window) {
    let depth = window.side * window.side * input.channels;
    let layer = Conv2d { name: "c".into(), affine: affine(filters, depth), channels: input.channels, window };
    let output = layer.output(input).unwrap();
    let values = vec![numbers(input.len(), 1), numbers(filters * depth, 2), numbers(filters, 3)];
    check(&layer, input, values, |values| convolve(values, input, output, window));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn convolution_follows_its_definition(
        channels in 1_usize..3, height in 3_usize..6, width in 3_usize..6, batch in 1_usize..3,
        filters in 1_usize..3, side in 1_usize..4, stride in 1_usize..4, padding in 0_usize..5,
    ) {
        check_conv(Shape::new(channels, height, width, batch), filters, Window { side, stride, padding });
    }
}

#[test]
fn dense_layers_follow_their_definition() {
    let input = Shape::new(3, 2, 2, 5);
    let layer = Linear { name: "d".into(), affine: affine(4, 12) };
    let values = vec![numbers(60, 1), numbers(48, 2), numbers(4, 3)];
    check(&layer, input, values, |values| {
        let dot = |o: usize, b: usize| -> f64 {
            (0..12).map(|i| values[1][o * 12 + i] * values[0][i * 5 + b]).sum::<f64>() + values[2][o]
        };
        (0..20).map(|i| dot(i / 5, i % 5)).collect()
    });
}

#[test]
fn max_pools_follow_their_definition() {
    for (side, height, width) in [(2, 4, 6), (2, 5, 7), (3, 7, 3), (1, 2, 2)] {
        let input = Shape::new(2, height, width, 3);
        let layer = MaxPool { name: "p".into(), side };
        let output = layer.output(input).unwrap();
        check(&layer, input, vec![numbers(input.len(), 5)], |values| {
            (0..output.len())
                .map(|index| {
                    let (image, rest) = (index % 3, index / 3);
                    let (q, rest) = (rest % output.width, rest / output.width);
                    let (p, c) = (rest % output.height, rest / output.height);
                    let taps = (0..side * side).map(|tap| (p * side + tap / side, q * side + tap % side));
                    taps.map(|(h, w)| values[0][((c * height + h) * width + w) * 3 + image])
                        .fold(f64::NEG_INFINITY, f64::max)
                })
                .collect()
        });
    }
}

#[test]
fn rectifiers_follow_their_definition() {
    let input = Shape::new(2, 3, 3, 4);
    check(&Relu { name: "r".into() }, input, vec![numbers(72, 6)], |values| {
        values[0].iter().map(|&x| x.max(0.0)).collect()
    });
}

#[test]
fn what_is_not_a_number_passes_through_rectifier_and_pool() {
    for place in 0..4 {
        let parameters = Parameters::from_values(vec![]);
        let (mut pool, mut tally) = (Pool::default(), Tally::default());
        let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, 0);
        let mut data = vec![1.0, -2.0, 3.0, -4.0];
        data[place] = f32::NAN;
        let x = tape.input(Tensor::new(Shape::new(1, 2, 2, 1), data));
        let y = Relu { name: "r".into() }.forward(&mut tape, x);
        assert!(tape.value(y).data()[place].is_nan());
        let z = MaxPool { name: "p".into(), side: 2 }.forward(&mut tape, x);
        assert!(tape.value(z).data()[0].is_nan());
    }
}

/// The loss as a layer, to be held against its definition like the others.
struct Loss(Vec<u8>);

impl Layer for Loss {
    fn name(&self) -> &str {
        "loss"
    }
    fn output(&self, _: Shape) -> Result<Shape, NetworkError> {
        Ok(Shape::new(1, 1, 1, 1))
    }
    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        softmax_cross_entropy(tape, input, &self.0)
    }
}

#[test]
fn cross_entropy_follows_its_definition() {
    let labels = vec![0, 3, 9, 3, 1, 1, 7];
    let input = Shape::new(10, 1, 1, 7);
    let values = numbers(70, 8).into_iter().map(|x| 4.0 * x).collect();
    check(&Loss(labels.clone()), input, vec![values], |values| {
        let one = |image: usize| {
            let logit = |class: usize| values[0][class * 7 + image];
            (0..10).map(|class| logit(class).exp()).sum::<f64>().ln() - logit(usize::from(labels[image]))
        };
        vec![(0..7).map(one).sum::<f64>() / 7.0]
    });
}

#[test]
fn cross_entropy_of_huge_logits_is_finite() {
    let parameters = Parameters::from_values(vec![]);
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, 0);
    let x = tape.input(Tensor::new(Shape::new(2, 1, 1, 1), vec![1e30, -1e30]));
    let loss = softmax_cross_entropy(&mut tape, x, &[0]);
    assert_eq!(tape.value(loss).data(), [0.0]);
    let loss = softmax_cross_entropy(&mut tape, x, &[1]);
    assert_eq!(tape.value(loss).data(), [2e30]);
}
