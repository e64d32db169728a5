//! One epoch of the small network on the Fashion-MNIST subset (10,000 images, evaluation on 2,000 included) in
//! each arithmetic, on one thread: seconds, and the ratio to FP32 (the `matrixmultiply` crate) in the same run.
//! The best of three epochs counts.
//!
//! `cargo bench -p mirage-training`

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mirage_arithmetic::{GemmConfig, GemmEntry, Protection, ResidueChannel};
use mirage_training::{
    Arithmetic, CLASSES, Network, Plan, TrainConfig, epoch_gemm_list, fashion_mnist_subset,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(measure)
}

fn measure() -> Result<(), Failure> {
    let data = fashion_mnist_subset()?;
    let network = Network::small_cnn(28, 28, CLASSES)?;
    let config = TrainConfig::default();
    let list = epoch_gemm_list(&network, data.train().len(), config.batch);
    let macs =
        list.iter().map(GemmEntry::macs).sum::<Option<u64>>().ok_or("too many multiplications to count")?;
    println!("{:.1} GMAC of training products an epoch, batch {}", macs as f64 * 1e-9, config.batch);
    let mirage = |rate| -> Result<Arithmetic, Failure> {
        let config = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(0) };
        let channel = ResidueChannel::uniform(&config.moduli, rate)?;
        Ok(Arithmetic::Mirage(config, Box::new(channel)))
    };
    let cases = [
        ("fp32", Arithmetic::Fp32),
        ("bfp", Arithmetic::Bfp(GemmConfig::mirage(0))),
        ("mirage 1e-6", mirage(1e-6)?),
        ("mirage 1e-4", mirage(1e-4)?),
        ("mirage 1e-3", mirage(1e-3)?),
    ];
    let mut best = [f64::INFINITY; 5];
    for _ in 0..3 {
        for ((_, arithmetic), best) in cases.iter().zip(&mut best) {
            let plan = Plan::new(arithmetic.clone(), "uniform", TrainConfig { epochs: 1, ..config.clone() });
            let start = Instant::now();
            plan.run(&network, &data, &AtomicBool::new(false), |_| {})?;
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    for ((name, _), seconds) in cases.iter().zip(best) {
        println!("{name:12} {seconds:6.2} s   {:5.2} x fp32", seconds / best[0]);
    }
    Ok(())
}
