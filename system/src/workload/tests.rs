//! Whole training steps.

use std::collections::HashSet;

use mirage_arithmetic::{GemmEntry, Pass};

use super::*;
use crate::SystemError;

fn step(name: &str, batch: u64) -> Step {
    builtin(name).unwrap().step(batch, Optimiser::Momentum).unwrap()
}

fn sorted(mut entries: Vec<GemmEntry>) -> Vec<GemmEntry> {
    entries.sort_by_key(|e| (e.layer.clone(), e.pass.to_string()));
    entries
}

#[test]
fn a_step_has_the_products_of_the_list() {
    for network in all().unwrap() {
        assert!(network.linked(), "{}", network.name);
        let step = network.step(3, Optimiser::Adam).unwrap();
        let products: Vec<GemmEntry> = step.gemms().cloned().collect();
        assert_eq!(sorted(products), sorted(network.training_step(3).unwrap()), "{}", network.name);
    }
}

/// What is read was written before, or is there from the start; what is written once is read later, but for the last things.
#[test]
fn every_tensor_has_a_writer_before_its_readers_and_a_reader() {
    for network in all().unwrap() {
        let step = network.step(2, Optimiser::Momentum).unwrap();
        let (mut written, mut read) = (HashSet::new(), HashSet::new());
        for operation in &step.operations {
            for id in &operation.reads {
                let from_start = matches!(
                    step.tensor(*id).kind,
                    TensorKind::Input | TensorKind::Weight | TensorKind::OptimiserState
                );
                assert!(from_start || written.contains(id), "{} {:?}", operation.layer, step.tensor(*id));
                read.insert(*id);
            }
            written.extend(operation.writes.iter().copied());
        }
        for (index, tensor) in step.tensors.iter().enumerate() {
            let id = TensorId(index);
            // The table of a look-up is not read as a whole, but updated.
            assert!(read.contains(&id), "{}: nobody reads {}", network.name, tensor.name);
        }
        // Every parameter is updated once.
        let updated: u64 = step
            .operations
            .iter()
            .filter(|o| o.stage == Stage::Update)
            .flat_map(|o| &o.writes)
            .map(|id| step.tensor(*id))
            .filter(|tensor| tensor.kind == TensorKind::Weight)
            .map(|tensor| tensor.elements)
            .sum();
        assert_eq!(updated, network.parameters().unwrap(), "{}", network.name);
    }
}

/// Sizes by hand: ResNet-18's first block.
#[test]
fn a_residual_block_by_hand() {
    let step = step("resnet18", 4);
    let pixels = 4 * 64 * 56 * 56;
    let of = |layer: &str| -> Vec<(&'static str, Stage, u64, u64)> {
        let vectors = step.operations.iter().filter(|o| o.layer == layer);
        vectors
            .filter_map(|o| match o.work {
                Work::Vector { kind, elements, operations, .. } => {
                    Some((kind.name(), o.stage, elements, operations))
                }
                Work::Gemm(_) => None,
            })
            .collect()
    };
    assert_eq!(
        of("layer1.0.conv1"),
        [
            ("normalisation", Stage::Forward, pixels, 7 * pixels),
            ("activation", Stage::Forward, pixels, pixels),
            ("activation", Stage::InputGradient, pixels, pixels),
            ("normalisation", Stage::InputGradient, pixels, 9 * pixels),
            // The gradient of the block's input comes along both branches.
            ("element-wise", Stage::InputGradient, pixels, pixels),
            ("optimiser", Stage::Update, 9 * 64 * 64 + 128, 6 * (9 * 64 * 64 + 128)),
        ]
    );
    assert_eq!(
        of("maxpool"),
        [
            ("pooling", Stage::Forward, pixels, 8 * pixels),
            ("pooling", Stage::InputGradient, pixels, 9 * pixels),
        ]
    );
    assert_eq!(of("fc").len(), 4, "bias, loss, gradient of the bias, update");
    // The convolution reads its input once, not once for each window.
    let conv = step.operations.iter().find(|o| o.layer == "layer1.0.conv1").unwrap();
    let sizes: Vec<u64> = conv.reads.iter().map(|id| step.tensor(*id).elements).collect();
    assert_eq!(sizes, [9 * 64 * 64, pixels]);
}

/// The multiply-accumulates of a sentence pair by hand, from Vaswani et al., "Attention is all you need", NeurIPS 2017: sections 3.2
/// (attention: queries, keys, values and output are projections of width d, scores and context products of n x d x n) and 3.3
/// (feed-forward: two products of d x d_ff at each of n positions); table 1 has the n^2 d of the attention's products.
/// N = 6 and d = 512 are those of the base model; d_ff = 1024 instead of 2048 and 4 heads instead of 8 (which changes no number of
/// multiply-accumulates) those of fairseq's transformer_iwslt_de_en. n = 25 tokens on both sides, 6632 types to choose from.
#[test]
fn the_transformer_has_the_products_of_the_paper() {
    let (n, d, feed, layers, words) = (25, 512, 1024, 6, 6632);
    let projections = 4 * n * d * d;
    let attention = 2 * n * n * d;
    let forward = 2 * n * d * feed;
    assert_eq!([projections, attention, forward], [26_214_400, 640_000, 26_214_400]);
    // An encoder layer attends once, a decoder layer to itself and to the encoder.
    let encoder = layers * (projections + attention + forward);
    let decoder = layers * (2 * (projections + attention) + forward);
    let total = encoder + decoder + n * d * words;
    assert_eq!(total, 318_412_800 + 479_539_200 + 84_889_600);
    let network = builtin("transformer").unwrap();
    assert_eq!(network.macs().unwrap(), total);
    // Part by part: which layers they are spent in.
    let sum = |of: &dyn Fn(&str) -> bool| -> u64 {
        network.layers.iter().filter(|l| of(&l.name)).map(|l| l.macs().unwrap()).sum()
    };
    let ends = |name: &str, ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    assert_eq!(sum(&|name| name.starts_with("encoder")), encoder);
    assert_eq!(sum(&|name| ends(name, &[".q", ".k", ".v", ".out"])), 18 * projections);
    assert_eq!(sum(&|name| ends(name, &[".scores", ".context"])), 18 * attention);
    assert_eq!(sum(&|name| ends(name, &[".fc1", ".fc2"])), 12 * forward);
    assert_eq!(sum(&|name| name == "decoder.output"), n * d * words);
    // Training does each product three times, but for the gradients of what is given.
    let step = network.step(2, Optimiser::Adam).unwrap();
    assert_eq!(step.macs().unwrap(), 3 * 2 * total);
}

#[test]
fn tied_weights_are_one_tensor_whose_gradients_are_summed() {
    let step = step("transformer", 2);
    let output = step.operations.iter().find(|o| o.layer == "decoder.output").unwrap();
    assert_eq!(step.tensor(output.reads[0]).name, "decoder.embedding.weight");
    let sums = step.operations.iter().filter(|o| {
        o.stage == Stage::WeightGradient
            && matches!(o.work, Work::Vector { elements, .. } if elements == 6632 * 512)
    });
    assert_eq!(sums.count(), 1);
    assert!(!step.operations.iter().any(|o| o.layer == "decoder.output" && o.stage == Stage::Update));
}

#[test]
fn a_table_without_inputs_gives_its_products_and_what_follows_each() {
    let header = "layer,kind,in_channels,out_channels,in_height,in_width,kernel_height,kernel_width,stride,padding,groups,bias,norm,tied,input_gradient";
    let text = format!(
        "{header}\na,conv,3,8,9,9,3,3,2,0,1,no,batch,no,no\nb,linear,5,7,1,1,1,1,1,0,1,yes,no,no,yes\n"
    );
    let network = Network::parse(&text, "old.csv").unwrap();
    assert!(!network.linked());
    let step = network.step(2, Optimiser::Momentum).unwrap();
    assert_eq!(step.gemms().count(), 5);
    let losses =
        step.operations.iter().filter(|o| matches!(o.work, Work::Vector { kind: VectorKind::Loss, .. }));
    assert_eq!(losses.count(), 1);
}

#[test]
fn impossible_steps_are_refused() {
    let network = builtin("vgg16").unwrap();
    assert!(matches!(network.step(0, Optimiser::Adam), Err(SystemError::EmptyBatch)));
    assert!(matches!(network.step(u64::MAX, Optimiser::Adam), Err(SystemError::Overflow { .. })));
    assert_eq!(
        step("vgg16", 2).gemms().filter(|e| e.pass == Pass::InputGradient).count(),
        network.layers.iter().filter(|l| l.macs().unwrap() > 0).count() - 1
    );
}
