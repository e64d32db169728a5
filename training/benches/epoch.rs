//! x
use mirage_training::*;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
fn main() {
    let data = fashion_mnist_subset().unwrap();
    let network = Network::small_cnn(28, 28, CLASSES).unwrap();
    let arg = |n: usize, d: f64| {
        std::env::args().filter(|a| !a.starts_with("--")).nth(n).and_then(|x| x.parse().ok()).unwrap_or(d)
    };
    let config = TrainConfig {
        epochs: arg(3, 3.0) as u32,
        batch: arg(1, 50.0) as usize,
        learning_rate: arg(2, 0.05),
        momentum: 0.9,
        weight_decay: 1e-4,
        record_every: 1000,
        seed: arg(4, 1.0) as u64,
    };
    let label = Label {
        arithmetic: "fp32".into(),
        protection: "".into(),
        error_shape: "".into(),
        rate: None,
        seed: 1,
    };
    let start = Instant::now();
    train(
        Task { network: &network, data: &data, config: &config },
        &Fp32,
        &label,
        &AtomicBool::new(false),
        &mut |r| {
            println!("{} {:?} {:?} {:.2}", r.step, r.loss, r.test_accuracy, start.elapsed().as_secs_f64())
        },
    )
    .unwrap();
}
