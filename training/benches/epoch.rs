//! One epoch of each network on images of the Fashion-MNIST subset, on one thread, in each arithmetic: seconds, the ratio to FP32
//! (the `matrixmultiply` crate) in the same run, and the seconds of it that the products took. Evaluation, on 100 images, is
//! part of it. The best of three epochs counts. `small-cnn` sees 6,400 images, the deeper networks 1,000.
//!
//! `cargo bench -p mirage-training [-- NETWORK [ARITHMETIC]]`, such as `resnet20 fp32`; the ratio is to the first arithmetic that runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use mirage_arithmetic::{Counters, GemmConfig, GemmEntry, Matrix, Protection, ResidueChannel, Site};
use mirage_training::{
    Arithmetic, CLASSES, Dataset, Gemm, NETWORKS, Network, Task, TrainConfig, epoch_gemm_list,
    fashion_mnist_subset, train,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Counts the nanoseconds behind the door.
struct Timed {
    gemm: Box<dyn Gemm>,
    nanoseconds: AtomicU64,
}

impl Gemm for Timed {
    fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        let start = Instant::now();
        let counters = self.gemm.multiply(site, a, b, out);
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        counters
    }

    fn name(&self) -> &str {
        self.gemm.name()
    }
}

fn main() -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let (given, arithmetic) = (words.next(), words.next());
    let data = fashion_mnist_subset()?;
    for name in NETWORKS.into_iter().filter(|name| given.as_deref().is_none_or(|given| given == *name)) {
        let data = data.first(if name == "small-cnn" { 6400 } else { 1000 }, 100);
        pool.install(|| measure(name, &data, arithmetic.as_deref()))?;
    }
    Ok(())
}

fn measure(name: &str, data: &Dataset, only: Option<&str>) -> Result<(), Failure> {
    let network = Network::by_name(name, data.train().shape(), CLASSES)?;
    let config = TrainConfig { epochs: 1, ..TrainConfig::default() };
    let list = epoch_gemm_list(&network, data.train().len(), config.batch);
    let macs =
        list.iter().map(GemmEntry::macs).sum::<Option<u64>>().ok_or("too many multiplications to count")?;
    let images = data.train().len();
    println!(
        "{name}: {images} images, {:.1} GMAC of training products, batch {}",
        macs as f64 * 1e-9,
        config.batch
    );
    let mirage = |rate| -> Result<Arithmetic, Failure> {
        let config = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(0) };
        let channel = ResidueChannel::uniform(&config.moduli, rate)?;
        Ok(Arithmetic::Mirage(config, Box::new(channel)))
    };
    let mut cases = vec![
        ("fp32", Arithmetic::Fp32),
        ("bfp", Arithmetic::Bfp(GemmConfig::mirage(0))),
        ("mirage 1e-6", mirage(1e-6)?),
        ("mirage 1e-4", mirage(1e-4)?),
        ("mirage 1e-3", mirage(1e-3)?),
    ];
    cases.retain(|(name, _)| only.is_none_or(|only| only == *name));
    let mut best = vec![(f64::INFINITY, 0.0); cases.len()];
    for _ in 0..3 {
        for ((_, arithmetic), best) in cases.iter().zip(&mut best) {
            let gemm = Timed { gemm: arithmetic.gemm(config.seed)?, nanoseconds: AtomicU64::new(0) };
            let label = arithmetic.label("uniform", config.seed);
            let task = Task { network: &network, data, config: &config, weights: None };
            let start = Instant::now();
            train(task, &gemm, &label, &AtomicBool::new(false), &mut |_| {})?;
            let seconds = start.elapsed().as_secs_f64();
            if seconds < best.0 {
                *best = (seconds, gemm.nanoseconds.into_inner() as f64 * 1e-9);
            }
        }
    }
    for ((name, _), &(seconds, products)) in cases.iter().zip(&best) {
        println!(
            "  {name:12} {seconds:6.2} s   {:5.2} x fp32   products {products:6.2} s",
            seconds / best[0].0
        );
    }
    Ok(())
}
