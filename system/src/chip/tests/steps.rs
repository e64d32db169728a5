//! Whole steps: what is conserved, and what waits for what.

use super::*;

#[test]
fn a_step_loses_nothing() {
    let options = Options { trace: Some(0), ..Options::default() };
    for (name, batch) in [("resnet18", 2), ("mobilenetv2", 1), ("transformer", 1)] {
        let step = builtin(name).unwrap().step(batch, Optimiser::Adam).unwrap();
        for changes in
            [vec![], vec![("dataflow", "OPT2"), ("sram.interleave", "group"), ("controller.fusion", "none")]]
        {
            let chip = chip(&changes);
            let result = chip.step(&step, &options).unwrap();
            check(&chip, &step, &result, 1).unwrap();
            println!(
                "{name} {batch}: {} tiles, {} blocks, {} events",
                result.network.tiles, result.network.blocks, result.network.events
            );
            // The spans of the units cover all of their time.
            let ticks: u64 = result
                .spans
                .iter()
                .filter(|s| matches!(s.track, crate::trace::Track::Unit(_)))
                .map(|s| s.end - s.begin)
                .sum();
            assert_eq!(ticks, 8 * picoseconds(&result));
        }
    }
}

/// Tensors that are written and read once are written whole and read whole: what comes in has gone out.
#[test]
fn bytes_in_are_bytes_out() {
    use crate::workload::{TensorKind, Work};
    let tensor = |name: &str, kind, elements| Tensor { name: name.into(), kind, elements };
    let vector = |reads: &[usize], writes: &[usize]| Operation {
        layer: "sweep".into(),
        stage: Stage::Forward,
        work: Work::Vector {
            kind: VectorKind::Other,
            elements: 1 << 22,
            operations: 1 << 22,
            samplewise: false,
        },
        reads: reads.iter().map(|&id| TensorId(id)).collect(),
        writes: writes.iter().map(|&id| TensorId(id)).collect(),
    };
    let step = Step {
        network: "net".into(),
        batch: 1,
        operations: vec![vector(&[0], &[1]), vector(&[1], &[2])],
        tensors: vec![
            tensor("data", TensorKind::Input, 1 << 22),
            tensor("large", TensorKind::Activation, 1 << 22),
            tensor("small", TensorKind::Activation, 1 << 10),
        ],
    };
    let traffic = run_step(&chip(&[]), &step).network.traffic;
    // 16 MB come in; 16 MB do not fit, go out and come back; the small one stays.
    assert_eq!((traffic.read, traffic.written), (2 << 24, 1 << 24));
    // A product: the operand that a sweep writes goes out in groups of 16 values of 11 B and comes in once; the weights stay, the
    // result leaves as FP32.
    let entry = GemmEntry { network: "net".into(), ..entry(32, 64, 1 << 18, 1) };
    let product = Operation {
        layer: "layer".into(),
        stage: Stage::Forward,
        work: Work::Gemm(entry),
        reads: vec![TensorId(2), TensorId(1)],
        writes: vec![TensorId(3)],
    };
    let with_product = Step {
        network: "net".into(),
        batch: 1,
        operations: vec![vector(&[0], &[1]), product],
        tensors: vec![
            tensor("data", TensorKind::Input, 1 << 24),
            tensor("operand", TensorKind::Activation, 1 << 24),
            tensor("weight", TensorKind::Weight, 32 * 64),
            tensor("result", TensorKind::Activation, 32 << 18),
        ],
    };
    let traffic = run_step(&chip(&[]), &with_product).network.traffic;
    let (data, operand, result) = (4 << 24, 11 << 20, (4 * 32) << 18);
    assert_eq!((traffic.read, traffic.written), (data + operand, operand + result));
    let large = [("sram.capacity", "100 MB"), ("sram.activations", "40 MB")];
    let traffic = run_step(&chip(&large), &step).network.traffic;
    assert_eq!((traffic.read, traffic.written), (1 << 24, 0));
}

#[test]
fn independent_work_overlaps_and_dependent_work_waits() {
    let network = builtin("vgg16").unwrap();
    let step = network.step(2, Optimiser::Momentum).unwrap();
    let whole = [("dataflow", "OPT2"), ("controller.pipelining", "none")];
    let result = run_step(&chip(&whole), &step);
    let find = |layer: &str, stage, work: &str| {
        result
            .layers
            .iter()
            .find(|l| l.layer == layer && l.stage == stage && l.work.starts_with(work))
            .unwrap()
    };
    let end = |l: &LayerResult| l.begin + l.seconds;
    let products: Vec<_> =
        result.layers.iter().filter(|l| l.product.is_some() && l.stage == Stage::Forward).collect();
    for pair in products.windows(2) {
        assert!(pair[1].begin >= end(pair[0]), "{} before {}", pair[1].layer, pair[0].layer);
    }
    let last = products.last().unwrap();
    let (dx, dw) = (
        find(&last.layer, Stage::InputGradient, "product"),
        find(&last.layer, Stage::WeightGradient, "product"),
    );
    assert!(dw.begin < end(dx), "dW waits for dX");
    // Updates of late layers are done while early ones still go backward.
    let update = result.layers.iter().find(|l| l.stage == Stage::Update).unwrap();
    assert!(update.begin < result.network.seconds);
}

/// A product and a sweep over its result, on a chip where nothing else takes time: side by side they take as long as the longer one
/// and one block or piece of the other; one after the other, as long as both.
#[test]
fn a_sweep_follows_a_product_through_the_batch() {
    let step = |samplewise: bool, operations: u64| {
        let tensor = |name: &str, kind, elements| Tensor { name: name.into(), kind, elements };
        let operation = |work, reads: &[usize], writes: usize| Operation {
            layer: "layer".into(),
            stage: Stage::Forward,
            work,
            reads: reads.iter().map(|&id| TensorId(id)).collect(),
            writes: vec![TensorId(writes)],
        };
        let elements = 128 << 16;
        let kind = VectorKind::Activation;
        Step {
            network: "net".into(),
            batch: 256,
            operations: vec![
                operation(Work::Gemm(entry(128, 256, 1 << 16, 1)), &[0, 1], 2),
                operation(Work::Vector { kind, elements, operations, samplewise }, &[2], 3),
            ],
            tensors: vec![
                tensor("weight", TensorKind::Weight, 128 * 256),
                tensor("data", TensorKind::Input, 256 << 16),
                tensor("sum", TensorKind::Activation, elements),
                tensor("result", TensorKind::Activation, elements),
            ],
        }
    };
    // Many blocks of results: half of the accumulators of eight units hold a small part of them.
    let blocks = with(&FAST, &[("sram.accumulators", "4 MB")]);
    let whole = with(&blocks, &[("controller.pipelining", "none")]);
    for operations in [1 << 24, 1 << 26, 1 << 28] {
        let time = |changes: &[(&str, &str)], samplewise| {
            let result = run_step(&chip(changes), &step(samplewise, operations));
            let ends: Vec<f64> = result.layers.iter().map(|l| l.begin + l.seconds).collect();
            assert!(result.layers[1].begin >= result.layers[0].begin && ends[1] >= ends[0]);
            (result.network.seconds, [0, 1].map(|task: usize| ends[task] - result.layers[task].begin))
        };
        let (apart, [product, sweep]) = time(&whole, true);
        assert!((apart / (product + sweep) - 1.0).abs() < 1e-3, "{apart} {product} {sweep}");
        assert_eq!(time(&blocks, false).0, apart);
        let (together, [beside, _]) = time(&blocks, true);
        assert!((beside / product - 1.0).abs() < 1e-3, "the product goes on as before: {beside} {product}");
        let (longer, shorter) = (product.max(sweep), product.min(sweep));
        assert!(together >= longer && together < longer + shorter / 8.0, "{together} {product} {sweep}");
    }
}

/// What waits for the statistics of a whole batch, and what does not.
#[test]
fn samples_are_followed_where_data_allow() {
    let layers = |name: &str| {
        let step = builtin(name).unwrap().step(64, Optimiser::Momentum).unwrap();
        let result = run_step(&chip(&[]), &step);
        let whole = run_step(&chip(&[("controller.pipelining", "none")]), &step);
        println!("{name}: {} s, of whole tensors {} s", result.network.seconds, whole.network.seconds);
        assert!(result.network.seconds < whole.network.seconds);
        assert_eq!(result.network.macs, whole.network.macs);
        result.layers
    };
    let end = |l: &LayerResult| l.begin + l.seconds;
    let find = |layers: &[LayerResult], layer: &str, stage, product: bool| {
        let found = |l: &&LayerResult| l.layer == layer && l.stage == stage && l.product.is_some() == product;
        layers.iter().find(found).unwrap().clone()
    };
    // Without normalisation each layer is a few samples behind the one before.
    let vgg = layers("vgg16");
    let (first, relu) = (&vgg[0], &vgg[1]);
    let second = vgg.iter().filter(|l| l.product.is_some()).nth(1).unwrap();
    assert!(relu.begin < end(first) && second.begin < end(relu) && end(second) >= end(relu));
    // A gradient of parameters sums over the batch: it waits for the whole gradient that it is made from.
    let dx = find(&vgg, &second.layer, Stage::InputGradient, true);
    let dw = find(&vgg, &first.layer, Stage::WeightGradient, true);
    assert!(dw.begin >= end(&dx), "{dw:?}");
    // Behind a convolution a batch normalisation waits for all of it, and the next convolution follows the normalisation.
    let resnet = layers("resnet18");
    let convolution = find(&resnet, "conv1", Stage::Forward, true);
    let norm = find(&resnet, "conv1", Stage::Forward, false);
    assert!(norm.begin >= end(&convolution));
    let pool = find(&resnet, "maxpool", Stage::Forward, false);
    let next = find(&resnet, "layer1.0.conv1", Stage::Forward, true);
    assert!(pool.begin < end(&norm) && next.begin < end(&pool));
    // A layer normalisation does not wait.
    let transformer = layers("transformer");
    let sum = find(&transformer, "encoder.0.self.out", Stage::Forward, false);
    let norm = find(&transformer, "encoder.0.self.add", Stage::Forward, false);
    assert!(sum.work.ends_with("element-wise") && norm.work == "normalisation");
    assert!(norm.begin < end(&sum), "{norm:?} {sum:?}");
}

#[test]
fn a_ring_moves_what_it_must_and_hides_behind_the_backward_pass() {
    let step = builtin("resnet18").unwrap().step(8, Optimiser::Momentum).unwrap();
    let chip = chip(&[]);
    let simulate = |chips| chip.step(&step, &Options { chips, ..Options::default() }).unwrap();
    let (alone, four) = (simulate(1), simulate(4));
    check(&chip, &step, &four, 4).unwrap();
    // 2 (p - 1) / p of every parameter's gradient, 4 B each (Patarasuk and Yuan).
    let parameters = builtin("resnet18").unwrap().parameters().unwrap() as f64;
    let sent = four.network.energy_of(Component::Links) / 40e-12;
    assert!(
        (sent / (2.0 * 3.0 / 4.0 * 4.0 * parameters) - 1.0).abs() < 1e-4,
        "{sent} B of {parameters} parameters"
    );
    assert_eq!(alone.network.energy_of(Component::Links), 0.0);
    let link: f64 = four.layers.iter().filter(|l| l.work == "all-reduce").map(|l| l.seconds).sum();
    assert!(four.network.seconds < alone.network.seconds + link);
    assert!(four.network.busy[4].1 > 0.0 && alone.network.busy[4].1 == 0.0);
}

#[test]
fn calibrations_pause_units_and_whole_runs_say_how_sure_they_are() {
    let often = with(&FAST, &[("recalibration.duration", "5 us"), ("recalibration.period", "100 us")]);
    let (step, _) = product_step(&[entry(512, 4096, 6_000, 1)]);
    let options = Options { steps: 3, ..Options::default() };
    let never = chip(&FAST).step(&step, &options).unwrap();
    let paused = chip(&often[10..]).step(&step, &options).unwrap();
    let time: f64 = paused.steps.iter().sum();
    let expected = 8.0 * time / 1e-4;
    let seen = paused.network.calibrations as f64 * 3.0;
    assert!((seen / expected - 1.0).abs() < 0.05, "{seen} {expected}");
    assert!(paused.network.seconds > never.network.seconds);
    assert!(paused.network.seconds < never.network.seconds * (1.0 + 8.0 * 0.05 + 0.05));
    assert!(paused.network.energy_of(Component::Recalibration) > 0.0);
    // Without anything drawn, every step takes the same time and the run is exact.
    assert_eq!(never.steps[0], never.steps[2]);
    let run = never.extrapolate(1_000, 32, 2).unwrap();
    assert_eq!((run.steps, run.simulated), (64, 3));
    assert!(
        (run.seconds / (64.0 * never.steps[0]) - 1.0).abs() < 1e-9
            && run.seconds_error.unwrap() < 1e-9 * run.seconds
    );
    let run = paused.extrapolate(1_000, 32, 2).unwrap();
    assert!(
        run.seconds_error.unwrap() > 0.0
            && (run.seconds - 64.0 * paused.network.seconds).abs() <= run.seconds_error.unwrap()
    );
    assert!(never.extrapolate(1, 0, 1).is_err() && never.extrapolate(u64::MAX, 1, 2).is_err());
}

#[test]
fn results_do_not_depend_on_threads() {
    let model = RepeatModel { detected_per_group: 1e-4, again: 0.0, repeats: 2 };
    let options = Options { repeats: Some(model), seed: 1, steps: 2, ..Options::default() };
    let steps: Vec<Step> = ["alexnet", "resnet18", "mobilenetv2"]
        .iter()
        .map(|name| builtin(name).unwrap().step(1, Optimiser::Momentum).unwrap())
        .collect();
    let chip = chip(&[]);
    let results = chip.run(&steps, &options, 1, &|_| {}).unwrap();
    let calls = AtomicUsize::new(0);
    let count = |_: usize| {
        calls.fetch_add(1, Ordering::Relaxed);
    };
    assert_eq!(chip.run(&steps, &options, 8, &count).unwrap(), results);
    assert_eq!(calls.into_inner(), steps.len());
    let other = chip.run(&steps, &Options { seed: 2, ..options }, 1, &|_| {}).unwrap();
    assert_ne!(other, results);
    assert!(chip.run(&[], &options, 4, &|_| {}).unwrap().is_empty());
}
