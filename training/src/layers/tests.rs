//! Each layer against its definition, written again in `f64` and as plainly as can be: its values, and its
//! gradients against central differences of that definition.

use proptest::prelude::*;
use rand::Rng;
use rand_pcg::Pcg64;

use super::*;
use crate::builder::{Conv, NetworkBuilder};
use crate::gemm::{Fp32, Tally};
use crate::network::Network;
use crate::parameters::{ParameterId, Parameters};
use crate::tape::Moment;
use crate::tensor::{Pool, Tensor};

pub(super) fn numbers(len: usize, stream: u128) -> Vec<f32> {
    let mut generator = Pcg64::new(42, stream);
    (0..len).map(|_| (generator.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

const TRAINING: Moment = Moment { seed: 5, step: 7, training: true };
const EVALUATION: Moment = Moment { seed: 5, step: 7, training: false };

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
pub(super) fn check(
    layer: &dyn Layer,
    input: Shape,
    values: Vec<Vec<f32>>,
    define: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let parameters = Parameters::from_values(values.clone());
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    // Stale numbers in every buffer: nothing may rely on zeros.
    for len in 0..3000 {
        (0..3).for_each(|_| pool.give(vec![f32::NAN; len]));
    }
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, TRAINING);
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
        // What is not trained must not matter.
        let zeros = vec![0.0; value.len()];
        let gradient = gradients.get(id).unwrap_or(&zeros);
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

pub(super) fn affine(outputs: usize, depth: usize, groups: usize, bias: bool) -> Affine {
    let bias = bias.then(|| ParameterId::new(2));
    Affine { site: 0, weight: ParameterId::new(1), bias, outputs, depth, groups }
}

/// The definition: sum over filter row, filter column, channel of the filter's group, zero outside the image.
fn convolve(values: &[Vec<f64>], input: Shape, output: Shape, window: Window, groups: usize) -> Vec<f64> {
    let Window { side, stride, padding } = window;
    let (channels, filters) = (input.channels / groups, output.channels / groups);
    let mut out = Vec::new();
    for index in 0..output.len() {
        let (image, rest) = (index % output.batch, index / output.batch);
        let (q, rest) = (rest % output.width, rest / output.width);
        let (p, filter) = (rest % output.height, rest / output.height);
        let mut sum = values.get(2).map_or(0.0, |bias| bias[filter]);
        for (r, s, c) in
            (0..side * side * channels).map(|k| (k / channels / side, k / channels % side, k % channels))
        {
            let (h, w) = ((p * stride + r).wrapping_sub(padding), (q * stride + s).wrapping_sub(padding));
            if h < input.height && w < input.width {
                let weight = values[1][((filter * side + r) * side + s) * channels + c];
                let channel = filter / filters * channels + c;
                sum += weight
                    * values[0][((channel * input.height + h) * input.width + w) * input.batch + image];
            }
        }
        out.push(sum);
    }
    out
}

fn check_conv(input: Shape, filters: usize, window: Window, groups: usize, bias: bool) {
    let depth = window.side * window.side * input.channels / groups;
    let affine = affine(filters, depth, groups, bias);
    let layer = Conv2d { name: "c".into(), affine, channels: input.channels, window };
    let output = layer.output(input).unwrap();
    let mut values = vec![numbers(input.len(), 1), numbers(filters * depth, 2)];
    values.extend(bias.then(|| numbers(filters, 3)));
    check(&layer, input, values, |values| convolve(values, input, output, window, groups));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn convolution_follows_its_definition(
        channels in 1_usize..3, height in 3_usize..6, width in 3_usize..6, batch in 1_usize..3,
        filters in 1_usize..3, side in 1_usize..4, stride in 1_usize..4, padding in 0_usize..5,
        groups in 1_usize..4, bias: bool,
    ) {
        let input = Shape::new(channels * groups, height, width, batch);
        check_conv(input, filters * groups, Window { side, stride, padding }, groups, bias);
    }
}

#[test]
fn convolutions_of_one_pixel_and_depthwise_ones_follow_their_definition() {
    check_conv(Shape::new(3, 4, 5, 2), 4, Window { side: 1, stride: 1, padding: 0 }, 1, true);
    check_conv(Shape::new(6, 4, 5, 2), 4, Window { side: 1, stride: 1, padding: 0 }, 2, false);
    check_conv(Shape::new(5, 6, 5, 3), 5, Window { side: 3, stride: 2, padding: 1 }, 5, false);
}

/// The definition over values of one channel.
fn normalise(x: &[f64], scale: f64, shift: f64) -> impl Iterator<Item = f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    x.iter().map(move |x| (x - mean) / (variance + 1e-5).sqrt() * scale + shift)
}

fn batch_norm(channels: usize) -> BatchNorm {
    let [scale, shift, mean, variance] = [1, 2, 3, 4].map(ParameterId::new);
    BatchNorm { name: "n".into(), channels, scale, shift, mean, variance }
}

#[test]
fn batch_norms_follow_their_definition() {
    for (height, width, batch) in [(3, 2, 4), (1, 1, 7), (5, 5, 1), (1, 1, 2)] {
        let input = Shape::new(3, height, width, batch);
        let n = input.len() / 3;
        let values = vec![numbers(input.len(), 1), numbers(3, 2), numbers(3, 3), numbers(3, 4), vec![2.0; 3]];
        check(&batch_norm(3), input, values, |values| {
            let each = values[0].chunks(n).enumerate();
            each.flat_map(|(c, x)| normalise(x, values[1][c], values[2][c])).collect()
        });
    }
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let x: Vec<f32> = numbers(4096, 3).into_iter().map(|x| 1000.0 + x).collect();
    let parameters = Parameters::from_values(vec![vec![], vec![1.0], vec![0.0], vec![0.0], vec![1.0]]);
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, TRAINING);
    let input = tape.input(Tensor::new(Shape::new(1, 8, 8, 64), x.clone()));
    let y = batch_norm(1).forward(&mut tape, input);
    for (got, want) in tape.value(y).data().iter().zip(normalise(&wide(&x), 1.0, 0.0)) {
        // One rounding of the mean to f32, at 1000, is 3e-5.
        assert!((f64::from(*got) - want).abs() < 1e-4, "{got} {want}");
    }
}

/// Algorithm 2 of the paper: unbiased variance, and the running statistics in place of the batch's.
#[test]
fn batch_norms_follow_the_statistics_and_use_them_in_evaluation() {
    let shape = Shape::new(2, 3, 1, 5);
    let x = numbers(30, 1);
    let mut parameters =
        Parameters::from_values(vec![vec![], vec![1.5, 0.5], vec![0.25, -1.0], vec![0.0; 2], vec![1.0; 2]]);
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    let (mut mean, mut variance) = ([0.0_f64; 2], [1.0_f64; 2]);
    for _ in 0..2 {
        let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, TRAINING);
        let input = tape.input(Tensor::new(shape, x.clone()));
        batch_norm(2).forward(&mut tape, input);
        let gradients = tape.finish();
        parameters.follow(&gradients);
        for (channel, x) in wide(&x).chunks(15).enumerate() {
            let m = x.iter().sum::<f64>() / 15.0;
            let v = x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / 14.0;
            mean[channel] = 0.9 * mean[channel] + 0.1 * m;
            variance[channel] = 0.9 * variance[channel] + 0.1 * v;
        }
    }
    let close = |got: &[f32], want: &[f64]| {
        got.iter().zip(want).for_each(|(got, want)| assert!((f64::from(*got) - want).abs() < 1e-6));
    };
    close(&parameters.values()[3], &mean);
    close(&parameters.values()[4], &variance);
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, EVALUATION);
    let input = tape.input(Tensor::new(shape, x.clone()));
    let y = batch_norm(2).forward(&mut tape, input);
    let want = wide(&x).into_iter().enumerate().map(|(i, x)| {
        let c = i / 15;
        (x - mean[c]) / (variance[c] + 1e-5).sqrt() * [1.5, 0.5][c] + [0.25, -1.0][c]
    });
    close(tape.value(y).data(), &want.collect::<Vec<_>>());
    // Evaluation leaves no trace.
    let gradients = tape.finish();
    let before = parameters.clone();
    parameters.follow(&gradients);
    assert_eq!(parameters, before);
}

#[test]
fn dense_layers_follow_their_definition() {
    let input = Shape::new(3, 2, 2, 5);
    let layer = Linear { name: "d".into(), affine: affine(4, 12, 1, true) };
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
fn average_pools_follow_their_definition() {
    for (side, height, width) in
        [(Some(2), 4, 6), (Some(2), 5, 7), (Some(3), 7, 3), (None, 3, 5), (None, 1, 1)]
    {
        let input = Shape::new(2, height, width, 3);
        let layer = AveragePool { name: "p".into(), side };
        let output = layer.output(input).unwrap();
        let (rows, columns) = side.map_or((height, width), |side| (side, side));
        check(&layer, input, vec![numbers(input.len(), 5)], |values| {
            (0..output.len())
                .map(|index| {
                    let (image, rest) = (index % 3, index / 3);
                    let (q, rest) = (rest % output.width, rest / output.width);
                    let (p, c) = (rest % output.height, rest / output.height);
                    let taps =
                        (0..rows * columns).map(|t| (p * rows + t / columns, q * columns + t % columns));
                    let values = taps.map(|(h, w)| values[0][((c * height + h) * width + w) * 3 + image]);
                    values.sum::<f64>() / (rows * columns) as f64
                })
                .collect()
        });
    }
}

/// What a layer without parameters makes of ones.
fn of_ones(layer: &dyn Layer, shape: Shape, moment: Moment) -> Vec<f32> {
    let parameters = Parameters::from_values(vec![]);
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, moment);
    let x = tape.input(Tensor::new(shape, vec![1.0; shape.len()]));
    let y = layer.forward(&mut tape, x);
    tape.value(y).data().to_vec()
}

#[test]
fn dropout_multiplies_by_its_mask() {
    let shape = Shape::new(3, 2, 5, 3);
    let layer = Dropout { name: "d".into(), rate: 0.3, number: 1 };
    let mask = of_ones(&layer, shape, TRAINING);
    check(&layer, shape, vec![numbers(90, 1)], |values| {
        values[0].iter().zip(&mask).map(|(x, &m)| x * f64::from(m)).collect()
    });
}

#[test]
fn dropout_drops_its_share_reproducibly_and_only_in_training() {
    let shape = Shape::new(1, 1, 100, 1001);
    let layer = |number| Dropout { name: "d".into(), rate: 0.3, number };
    let first = of_ones(&layer(1), shape, TRAINING);
    assert_eq!(first, of_ones(&layer(1), shape, TRAINING));
    assert!(first.iter().all(|&x| x == 0.0 || x == 1.0 / 0.7));
    // Binomial: deviation sqrt(0.21 / 100100) = 0.0014.
    let dropped = |mask: &[f32]| mask.iter().filter(|&&x| x == 0.0).count() as f64 / shape.len() as f64;
    assert!((dropped(&first) - 0.3).abs() < 0.01);
    // Elsewhere, a mask of its own: of two independent ones, 2 x 0.3 x 0.7 of the places differ.
    let later = Moment { step: 8, ..TRAINING };
    let other = Moment { seed: 6, ..TRAINING };
    for mask in [
        of_ones(&layer(2), shape, TRAINING),
        of_ones(&layer(1), shape, later),
        of_ones(&layer(1), shape, other),
    ] {
        let differ = mask.iter().zip(&first).filter(|(a, b)| a != b).count() as f64 / shape.len() as f64;
        assert!((differ - 0.42).abs() < 0.01, "{differ}");
    }
    assert_eq!(of_ones(&layer(1), shape, EVALUATION), vec![1.0; shape.len()]);
    assert_eq!(of_ones(&Dropout { rate: 0.0, ..layer(1) }, shape, TRAINING), vec![1.0; shape.len()]);
}

/// The layers of a network as one layer, whose parameters begin behind that of the input.
#[derive(Debug)]
struct Row(Vec<Box<dyn Layer>>);

impl Layer for Row {
    fn name(&self) -> &str {
        "row"
    }
    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        chain_output(&self.0, input)
    }
    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        chain_forward(&self.0, tape, input)
    }
}

/// A network for `input` whose first parameter is that of the input.
fn row(input: Shape, build: impl FnOnce(NetworkBuilder) -> Result<NetworkBuilder, NetworkError>) -> Row {
    let mut network = Network::builder("row", input.channels, input.height, input.width);
    network.skip_parameter();
    Row(build(network).unwrap().build().layers)
}

#[test]
fn residual_blocks_follow_their_definition() {
    let (input, window) = (Shape::new(2, 4, 4, 3), Window { side: 3, stride: 1, padding: 1 });
    let conv = Conv::new(2, 3).padding(1).without_bias();
    let identity = row(input, |n| n.residual("b", |n| n.conv2d("c", conv), Ok));
    let values = vec![numbers(96, 1), numbers(36, 2)];
    check(&identity, input, values, |values| {
        let body = convolve(values, input, input, window, 1);
        body.iter().zip(&values[0]).map(|(a, b)| a + b).collect()
    });
    // A projection by 1 x 1 with a stride.
    let output = Shape::new(3, 2, 2, 3);
    let projected = row(input, |n| {
        let body = Conv::new(3, 3).padding(1).stride(2).without_bias();
        let shortcut = Conv::new(3, 1).stride(2).without_bias();
        n.residual("b", |n| n.conv2d("c", body), |n| n.conv2d("s", shortcut))
    });
    let values = vec![numbers(96, 1), numbers(54, 2), numbers(6, 3)];
    check(&projected, input, values, |values| {
        let body = convolve(&values[..2], input, output, Window { stride: 2, ..window }, 1);
        let own = [values[0].clone(), values[2].clone()];
        let shortcut = convolve(&own, input, output, Window { side: 1, stride: 2, padding: 0 }, 1);
        body.iter().zip(shortcut).map(|(a, b)| a + b).collect()
    });
}

#[test]
fn padded_shortcuts_follow_their_definition() {
    for (height, width, stride) in [(4, 6, 2), (5, 3, 2), (3, 4, 1), (7, 7, 3)] {
        let input = Shape::new(2, height, width, 3);
        let layer = PaddedShortcut { name: "s".into(), stride, channels: 5 };
        let output = layer.output(input).unwrap();
        assert_eq!((output.height, output.width), (height.div_ceil(stride), width.div_ceil(stride)));
        check(&layer, input, vec![numbers(input.len(), 5)], |values| {
            let at = |index: usize| {
                let (image, rest) = (index % 3, index / 3);
                let (q, rest) = (rest % output.width, rest / output.width);
                let (p, c) = (rest % output.height, rest / output.height);
                let place = ((c * height + p * stride) * width + q * stride) * 3 + image;
                if c < 2 { values[0][place] } else { 0.0 }
            };
            (0..output.len()).map(at).collect()
        });
    }
}

#[test]
fn rectifiers_follow_their_definition() {
    let input = Shape::new(2, 3, 3, 4);
    for most in [f32::INFINITY, 6.0] {
        let values = numbers(72, 6).into_iter().map(|x| 9.0 * x).collect();
        check(&Relu { name: "r".into(), most }, input, vec![values], |values| {
            values[0].iter().map(|&x| x.max(0.0).min(most.into())).collect()
        });
    }
}

#[test]
fn what_is_not_a_number_passes_through_rectifier_and_pool() {
    for place in 0..4 {
        let parameters = Parameters::from_values(vec![]);
        let (mut pool, mut tally) = (Pool::default(), Tally::default());
        let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, TRAINING);
        let mut data = vec![1.0, -2.0, 3.0, -4.0];
        data[place] = f32::NAN;
        let x = tape.input(Tensor::new(Shape::new(1, 2, 2, 1), data));
        let y = Relu { name: "r".into(), most: 6.0 }.forward(&mut tape, x);
        assert!(tape.value(y).data()[place].is_nan());
        let z = MaxPool { name: "p".into(), side: 2 }.forward(&mut tape, x);
        assert!(tape.value(z).data()[0].is_nan());
    }
}

/// The loss as a layer, to be held against its definition like the others.
#[derive(Debug)]
pub(super) struct Loss(pub Vec<u32>);

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
            (0..10).map(|class| logit(class).exp()).sum::<f64>().ln() - logit(labels[image] as usize)
        };
        vec![(0..7).map(one).sum::<f64>() / 7.0]
    });
}

#[test]
fn cross_entropy_of_huge_logits_is_finite() {
    let parameters = Parameters::from_values(vec![]);
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, TRAINING);
    let x = tape.input(Tensor::new(Shape::new(2, 1, 1, 1), vec![1e30, -1e30]));
    let loss = softmax_cross_entropy(&mut tape, x, &[0]);
    assert_eq!(tape.value(loss).data(), [0.0]);
    let loss = softmax_cross_entropy(&mut tape, x, &[1]);
    assert_eq!(tape.value(loss).data(), [2e30]);
}
