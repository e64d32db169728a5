use std::sync::atomic::AtomicU64;

use mirage_arithmetic::{GemmConfig, Protection, ResidueChannel};

use super::*;
use crate::{
    CLASSES, Dataset, Level, Outcome, Part, Sequences, TextKind, TextOptions, epoch_gemm_list,
    fashion_mnist_subset, operand_histogram,
};

fn network() -> Network {
    Network::small_cnn(28, 28, CLASSES).unwrap()
}

fn data() -> Dataset {
    fashion_mnist_subset().unwrap().first(130, 40)
}

fn settings() -> TrainConfig {
    TrainConfig { epochs: 1, batch: 50, record_every: 1, ..TrainConfig::default() }
}

fn mirage(rate: f64, protection: Protection) -> Arithmetic {
    let config = GemmConfig { protection, ..GemmConfig::mirage(0) };
    let channel = ResidueChannel::uniform(&config.moduli, rate).unwrap();
    Arithmetic::Mirage(config, Box::new(channel))
}

fn go(plans: &[Plan]) -> Vec<PlanResult> {
    run_all(&network(), &data(), plans, &AtomicBool::new(false), &|_, _| {}).unwrap()
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn results_do_not_depend_on_threads() {
    let again = Protection::ReadAgain { repeats: 2 };
    let plans: Vec<Plan> = [Arithmetic::Fp32, mirage(1e-3, again), mirage(1e-4, Protection::Saturate)]
        .into_iter()
        .map(|arithmetic| Plan::new(arithmetic, "uniform", settings()))
        .collect();
    let seen = AtomicU64::new(0);
    let observed = |index: usize, _: &Record| {
        seen.fetch_add(1 << (8 * index), Ordering::Relaxed);
    };
    let cancel = AtomicBool::new(false);
    let first = with_threads(1, || run_all(&network(), &data(), &plans, &cancel, &observed).unwrap());
    assert_eq!(seen.into_inner(), 0x03_03_03);
    for threads in [2, 8] {
        let other = with_threads(threads, || go(&plans));
        for (a, b) in first.iter().zip(&other) {
            assert_eq!((&a.label, &a.records, &a.run.parameters), (&b.label, &b.records, &b.run.parameters));
            assert_eq!((&a.run.training, &a.run.evaluation), (&b.run.training, &b.run.evaluation));
        }
    }
    assert_eq!(first[1].label.protection, "read-again");
}

#[test]
fn threads_that_cannot_be_had_are_an_error() {
    // No system has an address space for such a stack.
    let error = pools(2, || ThreadPoolBuilder::new().num_threads(1).stack_size(1 << 60)).unwrap_err();
    assert!(matches!(error, RunError::Threads(_)), "{error}");
    assert!(error.to_string().contains("threads cannot be started"), "{error}");
}

#[test]
fn a_channel_that_never_errs_is_block_floating_point() {
    let bfp = Arithmetic::Bfp(GemmConfig::mirage(0));
    let plans = [bfp, mirage(0.0, Protection::None), Arithmetic::Fp32]
        .map(|arithmetic| Plan::new(arithmetic, "uniform", settings()));
    let results = go(&plans);
    assert_eq!(results[0].run.parameters, results[1].run.parameters);
    assert_ne!(results[0].run.parameters, results[2].run.parameters);
    // The same weights and the same batch: only rounding tells the first losses apart.
    let [bfp, fp32] = [&results[0], &results[2]].map(|result| result.records[0].loss);
    assert!((bfp - fp32).abs() < 0.1 * fp32 && bfp != fp32, "{bfp} {fp32}");
}

/// What the system will simulate must be what was trained: residues follow from the GEMM list, and errors
/// and repeats from residues and rate.
#[test]
fn counters_agree_with_the_gemm_list() {
    let (network, data, rate) = (network(), data(), 1e-3);
    let plan = Plan::new(mirage(rate, Protection::ReadAgain { repeats: 3 }), "uniform", settings());
    let result = go(std::slice::from_ref(&plan)).remove(0);
    let layers = result.layers(&network);
    let run = result.run;
    let list = epoch_gemm_list(&network, data.train().len(), plan.config.batch);
    for (site, name) in network.sites().iter().enumerate() {
        for pass in Pass::ALL {
            let entries = list.iter().filter(|entry| entry.layer == *name && entry.pass == pass);
            let reads: u64 =
                entries.map(|entry| entry.m * entry.k.div_ceil(16) * entry.n * entry.repeats).sum();
            assert_eq!(run.training.get(site, pass).residues, 3 * reads, "{name} {pass}");
        }
    }
    let total = run.training.total();
    // Four layers, three passes, but no input gradient of the first.
    assert_eq!(layers.len(), 11);
    assert_eq!((layers[1].layer.as_str(), layers[1].pass.as_str()), ("conv1", "dW"));
    assert_eq!(layers.iter().map(|layer| layer.repeated).sum::<u64>(), total.repeated);
    let expected = total.residues as f64 * rate;
    assert!((total.wrong as f64 - expected).abs() < 6.0 * expected.sqrt(), "{total:?}");
    // A wrong residue is seen with a probability of about 1 - 7200 / 32736, so most reads are repeated once.
    let repeated = total.repeated as f64 / total.groups_hit as f64;
    assert!((0.6..1.0).contains(&repeated), "{total:?}");
    assert!(run.evaluation.total().wrong > 0);
}

#[test]
fn the_histogram_counts_the_operands_of_the_chosen_steps() {
    let (network, data, config) = (network(), data(), settings());
    let task = Task { network: &network, data: &data, config: &config, weights: None };
    let cancel = AtomicBool::new(false);
    let (histogram, _) = operand_histogram(task, &GemmConfig::mirage(0), 2, &cancel).unwrap();
    // Of steps 0, 1 (50 images) and 2 (30 images), the first and the last.
    let reads = |images| -> u64 {
        epoch_gemm_list(&network, images, images).iter().map(|e| e.m * e.k.div_ceil(16) * e.n).sum()
    };
    assert_eq!(histogram.reads(), reads(50) + reads(30));
    assert!(histogram.dot_sigma() > 10.0 && histogram.dot_sigma() < 1000.0);
}

#[test]
fn without_protection_a_high_rate_ends_the_learning_and_says_so() {
    let plan = Plan::new(mirage(0.05, Protection::None), "uniform", settings());
    let result = go(&[plan]).remove(0);
    let last = result.records.last().unwrap();
    match &result.run.outcome {
        Outcome::Diverged(divergence) => assert_eq!(divergence.step, last.step),
        _ => assert!(last.loss > 3.0, "{last:?}"),
    }
    assert!(last.silent > 0 && last.detected == 0 && last.test_accuracy.is_some());
}

#[test]
fn what_cannot_be_set_up_is_an_error_and_cancelled_runs_do_nothing() {
    let plans = [Plan::new(Arithmetic::Fp32, "", settings())];
    let results =
        run_all(&network(), &data(), &plans, &AtomicBool::new(true), &|_, _| panic!("not to be called"));
    let run = results.unwrap().remove(0).run;
    assert_eq!((run.outcome, run.steps, run.test_accuracy), (Outcome::Cancelled, 0, None));
    let bad = Plan::new(mirage(1e-3, Protection::ReadAgain { repeats: 0 }), "uniform", settings());
    let cancel = AtomicBool::new(false);
    let error = run_all(&network(), &data(), &[plans[0].clone(), bad], &cancel, &|_, _| {}).unwrap_err();
    assert!(matches!(error, RunError::Gemm(_)), "{error}");
}

/// A text of a few words, as windows of eight.
fn windows() -> Sequences {
    let options = TextOptions { level: Level::Word, length: 8, vocabulary: 20, held_out: 0.25 };
    let line = |i: u32| {
        ["the cat sat on the mat", "a dog sat on a cat", "the dog ran to the mat", "a cat ran"]
            [i as usize % 4]
    };
    let text: Vec<&str> = (0..80).map(|i| line(i * i + i / 3)).collect();
    Sequences::parse(&text.join("\n"), "t", TextKind::Plain, options).unwrap()
}

#[test]
fn a_transformer_learns_and_does_not_depend_on_threads() {
    let data = windows();
    let network = Network::language("transformer-lm", data.sides(), 0.1).unwrap();
    let moments = crate::Moments { beta1: 0.9, beta2: 0.98, epsilon: 1e-9 };
    let method = crate::Method::AdamW(moments);
    let config = TrainConfig { epochs: 4, batch: 7, learning_rate: 2e-3, method, ..TrainConfig::default() };
    let gemm = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(0) };
    let channel = ResidueChannel::slip(&gemm.moduli, &gemm.code, 1e-4).unwrap();
    let plan = Plan::new(Arithmetic::Mirage(gemm, Box::new(channel)), "slip", config);
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let cancel = AtomicBool::new(false);
        pool.install(|| run_all(&network, &data, std::slice::from_ref(&plan), &cancel, &|_, _| {}))
            .unwrap()
            .remove(0)
    };
    let (one, three) = (run(1), run(3));
    assert_eq!((&one.records, &one.run.parameters), (&three.records, &three.run.parameters));
    assert_eq!(one.run.training, three.run.training);
    // Ten words and the end of a line: chance would be 2.4 nats.
    let (loss, perplexity) = (one.run.test_loss.unwrap(), one.records.last().unwrap().perplexity.unwrap());
    assert!(loss < 1.6 && (perplexity - loss.exp()).abs() < 1e-9, "{loss}");
    // The counters of each site and pass are those of the list.
    let (groups, moduli) = (|k: u64| k.div_ceil(16), 3);
    let list = epoch_gemm_list(&network, data.count(Part::Train), 7);
    for (site, name) in network.sites().iter().enumerate() {
        for pass in Pass::ALL {
            let own = list.iter().filter(|entry| entry.layer == *name && entry.pass == pass);
            let reads: u64 = own.map(|e| e.m * e.n * groups(e.k) * e.repeats).sum();
            assert_eq!(one.run.training.get(site, pass).residues, 4 * moduli * reads, "{name} {pass}");
        }
    }
}
