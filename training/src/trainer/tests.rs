use super::*;
use crate::gemm::Fp32;
use crate::{CLASSES, Dataset, Shape, fashion_mnist_subset};
use mirage_arithmetic::{Counters, Matrix, Pass, Site};

fn label() -> Label {
    Label {
        arithmetic: "fp32".into(),
        protection: String::new(),
        error_shape: String::new(),
        rate: None,
        seed: 1,
    }
}

fn config() -> TrainConfig {
    TrainConfig { epochs: 1, learning_rate: 0.05, record_every: 8, ..TrainConfig::default() }
}

fn small(train: usize, test: usize) -> Dataset {
    fashion_mnist_subset().unwrap().first(train, test)
}

fn run(data: &Dataset, config: &TrainConfig, gemm: &dyn Gemm) -> (Run, Vec<Record>) {
    let network = Network::small_cnn(28, 28, CLASSES).unwrap();
    let mut records = Vec::new();
    let task = Task { network: &network, data, config, weights: None };
    let cancel = AtomicBool::new(false);
    let run = train(task, gemm, &label(), &cancel, &mut |record| records.push(record.clone())).unwrap();
    (run, records)
}

#[test]
fn it_learns_and_is_the_same_each_time() {
    let data = small(2_000, 500);
    let (first, records) = run(&data, &config(), &Fp32);
    assert_eq!(first.outcome, Outcome::Finished);
    assert_eq!(first.steps, 40);
    assert!(first.test_accuracy.unwrap() > 0.6, "{:?}", first.test_accuracy);
    let steps: Vec<u64> = records.iter().map(|record| record.step).collect();
    assert_eq!(steps, [8, 16, 24, 32, 40]);
    assert!(records[4].loss < 0.6 * records[0].loss, "{records:?}");
    assert_eq!(records[4].test_accuracy, first.test_accuracy);
    assert_eq!(records[3].test_accuracy, None);
    let (again, again_records) = run(&data, &config(), &Fp32);
    assert_eq!((&again.parameters, again_records), (&first.parameters, records));
    let (other, _) = run(&data, &TrainConfig { seed: 2, ..config() }, &Fp32);
    assert_ne!(other.parameters, first.parameters);
}

/// Breaks one product of one step.
struct Breaks(Site, f32);

impl Gemm for Breaks {
    fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        Fp32.multiply(site, a, b, out);
        if site == self.0 {
            out[0] = self.1;
        }
        Counters { residues: 1, ..Counters::default() }
    }
    fn name(&self) -> &str {
        "breaks"
    }
}

#[test]
fn a_run_that_diverges_says_where_it_began() {
    let data = small(500, 100);
    for (site, name, pass, place, backward) in [
        (1, "conv2", Pass::Forward, "conv2", false),
        (3, "dense2", Pass::Forward, "dense2", false),
        (2, "dense1", Pass::WeightGradient, "dense1.weight", true),
        // An input gradient is first seen in the bias below it.
        (2, "dense1", Pass::InputGradient, "conv2.", true),
    ] {
        let gemm = Breaks(Site { layer: site, pass, step: 3 }, f32::NAN);
        let (run, records) = run(&data, &config(), &gemm);
        let Outcome::Diverged(divergence) = run.outcome else { panic!("{name} {pass} went unnoticed") };
        assert!(divergence.place.starts_with(place), "{divergence}");
        assert_eq!((divergence.epoch, divergence.step, divergence.backward), (1, 4, backward));
        assert_eq!(run.steps, 3);
        let last = records.last().unwrap();
        assert_eq!((last.step, last.loss.is_nan()), (4, !backward));
        // The weights before the break are sound, so the accuracy is a plain one.
        assert!(
            last.test_accuracy.is_some() && run.parameters.values().iter().flatten().all(|w| w.is_finite())
        );
    }
}

#[test]
fn a_run_goes_on_after_a_divergence_when_told_to() {
    let data = small(500, 100);
    let config = TrainConfig { on_divergence: OnDivergence::Continue, record_every: 1, ..config() };
    for (pass, backward) in [(Pass::Forward, false), (Pass::WeightGradient, true)] {
        let gemm = Breaks(Site { layer: 1, pass, step: 3 }, f32::NAN);
        let (run, records) = run(&data, &config, &gemm);
        assert_eq!((run.outcome, run.steps, run.skipped), (Outcome::Finished, 10, 1));
        let first = run.divergence.unwrap();
        assert_eq!((first.step, first.backward), (4, backward));
        assert!(run.parameters.values().iter().flatten().all(|w| w.is_finite()));
        // One record a step; the loss of the broken one is told as it was.
        assert_eq!(records.len(), 10);
        let lost: Vec<bool> = records.iter().map(|record| record.loss.is_nan()).collect();
        assert_eq!(lost.iter().position(|&lost| lost), (!backward).then_some(3));
    }
}

#[test]
fn schedule_method_and_augmentation_change_the_run() {
    use crate::{Augment, Method, Moments, Schedule, ScheduleShape};
    let data = small(500, 100);
    let adam = Method::AdamW(Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
    let cosine = Schedule { shape: ScheduleShape::Cosine { floor: 0.0 }, warm_up: 0.2 };
    let settings = [
        config(),
        TrainConfig { schedule: cosine, ..config() },
        TrainConfig { method: adam, learning_rate: 0.001, ..config() },
        TrainConfig { augment: Augment { frame: 2, flip: true }, ..config() },
    ];
    let runs: Vec<Run> = settings.iter().map(|config| run(&data, config, &Fp32).0).collect();
    for (i, a) in runs.iter().enumerate() {
        assert_eq!(a.outcome, Outcome::Finished);
        assert!(runs[..i].iter().all(|b| a.parameters != b.parameters));
        assert_eq!(a.parameters, run(&data, &settings[i], &Fp32).0.parameters);
    }
    // A rate of nothing changes nothing.
    let still = Schedule { shape: ScheduleShape::Step { milestones: vec![0], factor: 0.0 }, warm_up: 0.0 };
    let network = Network::small_cnn(28, 28, CLASSES).unwrap();
    let still = run(&data, &TrainConfig { schedule: still, ..config() }, &Fp32).0.parameters;
    assert_eq!(still, network.initial(1));
}

#[test]
fn batch_norm_statistics_that_overflow_are_a_divergence() {
    let network = Network::builder("n", 1, 28, 28)
        .conv2d("c", crate::Conv::new(4, 3).stride(2).without_bias())
        .and_then(|n| n.batch_norm("norm")?.linear("d", CLASSES))
        .unwrap()
        .build();
    let (data, config) = (small(100, 100), config());
    let task = Task { network: &network, data: &data, config: &config, weights: None };
    let gemm = Breaks(Site { layer: 0, pass: Pass::Forward, step: 0 }, 1e30);
    let run = train(task, &gemm, &label(), &AtomicBool::new(false), &mut |_| {}).unwrap();
    let place = run.divergence.unwrap().place;
    assert_eq!(place, "norm.variance");
    assert_eq!(run.parameters, network.initial(1));
}

#[test]
fn counters_of_training_and_evaluation_are_kept_apart() {
    let data = small(100, 60);
    let (run, records) = run(&data, &config(), &Breaks(Site { layer: 9, pass: Pass::Forward, step: 0 }, 0.0));
    // Two steps of eleven products; two batches of four for evaluation.
    assert_eq!(run.training.total().residues, 22);
    assert_eq!(run.evaluation.total().residues, 8);
    assert_eq!(run.training.get(0, Pass::InputGradient).residues, 0);
    assert_eq!(run.training.get(1, Pass::InputGradient).residues, 2);
    assert_eq!(records.last().unwrap().residues, 22);
}

#[test]
fn it_stops_when_asked() {
    let data = small(500, 100);
    let network = Network::small_cnn(28, 28, CLASSES).unwrap();
    let config = TrainConfig { record_every: 2, ..config() };
    let task = Task { network: &network, data: &data, config: &config, weights: None };
    let cancel = AtomicBool::new(false);
    let mut stop = |record: &Record| cancel.store(record.step >= 4, Ordering::Relaxed);
    let run = train(task, &Fp32, &label(), &cancel, &mut stop).unwrap();
    assert_eq!((run.outcome, run.steps, run.test_accuracy), (Outcome::Cancelled, 4, None));
}

#[test]
fn the_last_batch_takes_what_is_left() {
    let (run, _) = run(&small(110, 10), &config(), &Fp32);
    assert_eq!(run.steps, 3);
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = small(10, 10);
    let cancel = AtomicBool::new(false);
    let refuse = |network: Network, config: &TrainConfig| {
        let task = Task { network: &network, data: &data, config, weights: None };
        train(task, &Fp32, &label(), &cancel, &mut |_| {}).unwrap_err().to_string()
    };
    let none = data.first(10, 0);
    let task = Task {
        network: &Network::small_cnn(28, 28, CLASSES).unwrap(),
        data: &none,
        config: &config(),
        weights: None,
    };
    let error = train(task, &Fp32, &label(), &cancel, &mut |_| {}).unwrap_err();
    assert!(matches!(error, TrainError::Empty { train: 10, test: 0 }), "{error}");
    let small = Network::small_cnn(20, 20, CLASSES).unwrap();
    assert!(refuse(small, &config()).contains("takes 1 x 20 x 20 images"));
    let few = Network::small_cnn(28, 28, 3).unwrap();
    assert!(refuse(few, &config()).contains("with 3 classes, but the data has"));
    let good = || Network::small_cnn(28, 28, 10).unwrap();
    assert_eq!(refuse(good(), &TrainConfig { batch: 0, ..config() }), "batch is 0, but must be at least 1");
    let wild = TrainConfig { learning_rate: f64::NAN, ..config() };
    assert_eq!(refuse(good(), &wild), "learning_rate is NaN, but must be finite");
}

#[test]
fn a_batch_beyond_memory_is_refused_before_it_is_allocated() {
    // 1600 images of 200 x 200: three million activations each, four billion numbers in all.
    let side = 200;
    let images =
        crate::IdxImages { count: 1600, rows: side, columns: side, pixels: vec![0; 1600 * side * side] };
    let part = crate::Images::new(images, vec![0; 1600], ["a", "b"]).unwrap();
    let data = Dataset::new(part.clone(), part).unwrap();
    let network = Network::small_cnn(side, side, CLASSES).unwrap();
    let cancel = AtomicBool::new(true);
    let begin = |batch| {
        let config = TrainConfig { batch, ..config() };
        train(
            Task { network: &network, data: &data, config: &config, weights: None },
            &Fp32,
            &label(),
            &cancel,
            &mut |_| {},
        )
    };
    let error = begin(4096).unwrap_err();
    assert!(matches!(error, TrainError::LargeBatch { batch: 1600, .. }), "{error}");
    assert!(error.to_string().contains("a batch of 1600 images of 200 x 200 takes"), "{error}");
    assert_eq!(begin(50).unwrap().outcome, Outcome::Cancelled);
}

#[test]
fn only_divergence_is_divergence() {
    let place = Divergence { epoch: 1, step: 1, place: "conv1".into(), backward: false };
    assert!(Outcome::Diverged(place).is_diverged());
    assert!(!Outcome::Finished.is_diverged() && !Outcome::Cancelled.is_diverged());
}

#[test]
fn lost_logits_count_as_class_zero() {
    let nan = f32::NAN;
    let logits =
        Tensor::new(Shape::new(3, 1, 1, 4), vec![nan, 1.0, nan, 2.0, nan, nan, 3.0, 2.0, nan, 5.0, nan, 1.0]);
    assert_eq!(classes(&logits).collect::<Vec<_>>(), [0, 2, 1, 0]);
}

#[test]
fn orders_are_permutations() {
    let mut generator = Pcg64::new(3, 4);
    let mut order: Vec<u32> = (0..1000).collect();
    shuffle(&mut order, &mut generator);
    let first = order.clone();
    shuffle(&mut order, &mut generator);
    assert_ne!(order, first);
    assert!(order.iter().zip(0..).filter(|(a, b)| **a == *b).count() < 20);
    order.sort_unstable();
    assert_eq!(order, (0..1000).collect::<Vec<u32>>());
}
