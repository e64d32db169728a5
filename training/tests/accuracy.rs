//! What the whole toolkit rests on: block floating point without errors learns as well as single precision.

use std::sync::atomic::AtomicBool;

use mirage_arithmetic::GemmConfig;
use mirage_training::{
    Arithmetic, CLASSES, Network, Outcome, Plan, PlanResult, TrainConfig, fashion_mnist_subset, run_all,
};

#[test]
fn block_floating_point_ends_within_two_points_of_single_precision() {
    let data = fashion_mnist_subset().unwrap();
    let network = Network::small_cnn(28, 28, CLASSES).unwrap();
    let config = TrainConfig { record_every: 200, ..TrainConfig::default() };
    let plans = [Arithmetic::Bfp(GemmConfig::mirage(0)), Arithmetic::Fp32]
        .map(|arithmetic| Plan::new(arithmetic, "", config.clone()));
    let results = run_all(&network, &data, &plans, &AtomicBool::new(false), &|_, _| {}).unwrap();
    let accuracy = |result: &PlanResult| {
        assert_eq!(result.run.outcome, Outcome::Finished);
        result.run.test_accuracy.unwrap()
    };
    let (bfp, fp32) = (accuracy(&results[0]), accuracy(&results[1]));
    assert!(fp32 >= 0.84, "{fp32}");
    assert!((bfp - fp32).abs() <= 0.02, "{bfp} {fp32}");
    assert_eq!(results[0].run.training.total().wrong, 0);
}
