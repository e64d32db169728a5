use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mirage_arithmetic::{GemmConfig, Protection, ResidueChannel};
use rand::Rng;
use rand_pcg::Pcg64;

use super::*;
use crate::{
    Augment, CLASSES, Conv, Dataset, Level, Method, Moments, Network, Outcome, Plan, PlanResult, Record,
    RunError, Schedule, ScheduleShape, Sequences, TextKind, TextOptions, TrainConfig, fashion_mnist_subset,
    run_all, write_records,
};

/// A network with all that has a memory or draws at random: batch norm, dropout.
fn network() -> Network {
    let conv = Conv::new(4, 3).stride(3).without_bias();
    let built = Network::builder("n", 1, 28, 28).conv2d("c", conv).and_then(|n| {
        n.batch_norm("norm")?.relu("r")?.max_pool("p", 3)?.dropout("drop", 0.2)?.linear("d", CLASSES)
    });
    built.unwrap().build()
}

fn data() -> Dataset {
    fashion_mnist_subset().unwrap().first(110, 30)
}

/// Three epochs of six steps, with a schedule, AdamW, augmentation and errors of residues.
fn plan(folder: &Path, resume: bool) -> Plan {
    let gemm = GemmConfig { protection: Protection::ReadAgain { repeats: 2 }, ..GemmConfig::mirage(0) };
    let channel = ResidueChannel::uniform(&gemm.moduli, 1e-3).unwrap();
    let config = TrainConfig {
        epochs: 3,
        batch: 20,
        learning_rate: 0.01,
        method: Method::AdamW(Moments { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }),
        schedule: Schedule { shape: ScheduleShape::Cosine { floor: 0.1 }, warm_up: 0.5 },
        augment: Augment { frame: 2, flip: true },
        record_every: 1,
        ..TrainConfig::default()
    };
    let mut plan = Plan::new(Arithmetic::Mirage(gemm, Box::new(channel)), "uniform", config);
    let (folder, name) = (folder.to_owned(), "run".into());
    plan.checkpoints = Some(CheckpointPlan { folder, name, every: Some(4), resume });
    plan
}

/// Does a plan, and cancels it when that many steps are done.
fn go(plan: &Plan, stop_after: u64) -> Result<PlanResult, RunError> {
    let cancel = AtomicBool::new(false);
    let observe = |_: usize, record: &Record| {
        if record.step >= stop_after {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    Ok(run_all(&network(), &data(), std::slice::from_ref(plan), &cancel, &observe)?.remove(0))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn csv(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_records(&mut bytes, records).unwrap();
    bytes
}

fn assert_same(got: &PlanResult, want: &PlanResult) {
    assert_eq!((&got.run.outcome, got.run.steps), (&want.run.outcome, want.run.steps));
    let bits = |result: &PlanResult| -> Vec<u32> {
        result.run.parameters.values().iter().flatten().map(|x| x.to_bits()).collect()
    };
    assert_eq!(bits(got), bits(want));
    assert_eq!((&got.run.training, &got.run.evaluation), (&want.run.training, &want.run.evaluation));
    assert_eq!(got.run.test_accuracy, want.run.test_accuracy);
    assert_eq!(csv(&got.records), csv(&want.records));
}

#[test]
fn a_run_stopped_at_any_step_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = go(&Plan { checkpoints: None, ..plan(folder.path(), false) }, u64::MAX).unwrap();
    assert_eq!((whole.run.outcome.clone(), whole.run.steps), (Outcome::Finished, 18));
    assert!(whole.run.training.total().wrong > 0 && whole.records.len() == 18);
    let mut generator = Pcg64::new(8, 15);
    for round in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let stop = 1 + generator.next_u64() % 17;
        let stopped = go(&plan(folder.path(), false), stop).unwrap();
        assert_eq!((stopped.run.outcome, stopped.run.steps), (Outcome::Cancelled, stop));
        // A second stop, and every other time a file that is damaged, or lost as when the power goes.
        let later = stop + generator.next_u64() % (18 - stop);
        go(&plan(folder.path(), true), later).unwrap();
        let kept = files(folder.path());
        let harmed = kept.len() == 2 && round % 2 == 0;
        if harmed {
            let bytes = std::fs::read(&kept[1]).unwrap();
            std::fs::write(&kept[1], &bytes[..bytes.len() - 1 - round * bytes.len() / 11]).unwrap();
        } else if kept.len() == 2 {
            std::fs::remove_file(&kept[1]).unwrap();
        }
        let resumed = go(&plan(folder.path(), true), u64::MAX).unwrap();
        assert_same(&resumed, &whole);
        assert_eq!(resumed.damaged.len(), usize::from(harmed));
        // Once it has ended, there is nothing left to do but to tell.
        let again = go(&plan(folder.path(), true), 0).unwrap();
        assert_same(&again, &whole);
        assert_eq!(files(folder.path()).len(), 2);
    }
}

#[test]
fn every_damage_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    go(&plan(folder.path(), false), 2).unwrap();
    let [path] = &files(folder.path())[..] else { panic!("one checkpoint") };
    let good = std::fs::read(path).unwrap();
    let mut generator = Pcg64::new(1, 2);
    let refuse = |bytes: &[u8]| {
        std::fs::write(path, bytes).unwrap();
        let error = go(&plan(folder.path(), true), 0).unwrap_err();
        assert!(matches!(error, RunError::Checkpoint(CheckpointError::AllDamaged(_))), "{error}");
        error.to_string()
    };
    for says in ["too few", "it should hold", "checksum"] {
        let mut bytes = good.clone();
        match says {
            "too few" => bytes.truncate(30),
            "it should hold" => bytes.truncate(good.len() / 2),
            _ => bytes[good.len() / 2] ^= 0x10,
        }
        let error = refuse(&bytes);
        assert!(error.contains(says) && error.contains("run-0000000002.checkpoint"), "{error}");
    }
    assert!(
        refuse(b"something else that is long enough to be taken for a checkpoint by its size")
            .contains("no check")
    );
    for _ in 0..20 {
        let mut bytes = good.clone();
        let place = generator.next_u64() as usize % bytes.len();
        bytes[place] ^= 1 << (generator.next_u64() % 8);
        refuse(&bytes);
        refuse(&good[..place]);
    }
    // A length of lists that cannot be, under a checksum that holds.
    let mut bytes = good.clone();
    let end = bytes.len() - HASH;
    // Their number stands before two records of sixteen numbers.
    bytes[end - 2 * 128 - 8..end - 2 * 128].fill(0xff);
    let hash = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&hash);
    assert!(refuse(&bytes).contains("do not fit together"));
    std::fs::write(path, good).unwrap();
    assert_eq!(go(&plan(folder.path(), true), 3).unwrap().run.steps, 3);
}

#[test]
fn checkpoints_of_other_runs_are_refused_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    go(&plan(folder.path(), false), 2).unwrap();
    let refuse = |plan: &Plan, network: &Network, data: &Dataset| {
        let cancel = AtomicBool::new(false);
        let error = run_all(network, data, std::slice::from_ref(plan), &cancel, &|_, _| {}).unwrap_err();
        assert!(matches!(error, RunError::Checkpoint(CheckpointError::Foreign { .. })), "{error}");
        error.to_string()
    };
    let own = plan(folder.path(), true);
    let config = TrainConfig { epochs: 4, ..own.config.clone() };
    let error = refuse(&Plan { config, ..own.clone() }, &network(), &data());
    assert!(error.contains("another run, with other settings; "), "{error}");
    let error = refuse(&Plan { arithmetic: Arithmetic::Fp32, ..own.clone() }, &network(), &data());
    assert!(error.contains("another arithmetic"), "{error}");
    // One level of one pixel decides; so does a stride that leaves all sizes as they are.
    let few = fashion_mnist_subset().unwrap().first(110, 29);
    assert!(refuse(&own, &network(), &few).contains("other data"));
    let other = Network::small_cnn(28, 28, CLASSES).unwrap();
    assert!(refuse(&own, &other, &data()).contains("another network"));
}

#[test]
fn an_unfinished_run_is_not_lost_by_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let error = go(&plan(folder.path(), true), 0).unwrap_err().to_string();
    assert!(error.contains("no checkpoint of such a run") && error.contains("leave out --resume"), "{error}");
    go(&plan(folder.path(), false), 5).unwrap();
    let error = go(&plan(folder.path(), false), 0).unwrap_err().to_string();
    assert!(error.contains("has not ended") && error.contains("--resume"), "{error}");
    go(&plan(folder.path(), true), u64::MAX).unwrap();
    // One that has ended may go.
    go(&plan(folder.path(), false), 1).unwrap();
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn without_a_number_of_steps_there_is_one_for_each_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(folder.path(), false);
    plan.checkpoints.as_mut().unwrap().every = None;
    go(&plan, u64::MAX).unwrap();
    let names: Vec<_> = files(folder.path()).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["run-0000000012.checkpoint", "run-0000000018.checkpoint"]);
}

/// Sentence pairs whose translation is the same words in other letters.
fn pairs(count: usize) -> Sequences {
    let options = TextOptions { level: Level::Word, length: 6, vocabulary: 20, held_out: 0.2 };
    let words = ["red", "green", "blue", "one", "two"];
    let mut generator = Pcg64::new(5, 6);
    let mut draw = move || generator.next_u64() as usize % 5;
    let mut pair = || {
        let line: Vec<&str> = (0..1 + draw()).map(|_| words[draw()]).collect();
        let target: Vec<String> = line.iter().map(|word| format!("{word}o")).collect();
        format!("{}\t{}", line.join(" "), target.join(" "))
    };
    let lines: Vec<String> = (0..count).map(|_| pair()).collect();
    Sequences::parse(&lines.join("\n"), "t", TextKind::Pairs, options).unwrap()
}

#[test]
fn a_translation_that_is_stopped_goes_on_to_the_same_bits() {
    let data = pairs(60);
    let network = Network::language("translation", data.sides(), 0.1).unwrap();
    let moments = Moments { beta1: 0.9, beta2: 0.98, epsilon: 1e-9 };
    let config = TrainConfig {
        epochs: 2,
        batch: 9,
        learning_rate: 3e-3,
        method: Method::AdamW(moments),
        record_every: 1,
        ..TrainConfig::default()
    };
    let gemm = GemmConfig::mirage(0);
    let channel = ResidueChannel::slip(&gemm.moduli, &gemm.code, 1e-7).unwrap();
    let plain = Plan::new(Arithmetic::Mirage(gemm, Box::new(channel)), "slip", config);
    let stopped = |plan: &Plan, at: u64| {
        let cancel = AtomicBool::new(false);
        let observe = |_: usize, record: &Record| cancel.store(record.step >= at, Ordering::Relaxed);
        run_all(&network, &data, std::slice::from_ref(plan), &cancel, &observe).unwrap().remove(0)
    };
    let whole = stopped(&plain, u64::MAX);
    assert_eq!(whole.run.steps, 12);
    let folder = tempfile::tempdir().unwrap();
    let checkpoints =
        |resume| CheckpointPlan { folder: folder.path().into(), name: "run".into(), every: Some(2), resume };
    // In the middle of the first epoch, at its end with its measures, and in the second.
    for (at, resume) in [(3, false), (6, true), (9, true), (u64::MAX, true)] {
        let plan = Plan { checkpoints: Some(checkpoints(resume)), ..plain.clone() };
        let part = stopped(&plan, at);
        assert_eq!(part.run.outcome == Outcome::Finished, at == u64::MAX);
        if at == u64::MAX {
            assert_eq!((&part.records, &part.run.parameters), (&whole.records, &whole.run.parameters));
            assert_eq!((part.run.test_loss, &part.run.training), (whole.run.test_loss, &whole.run.training));
        }
    }
    assert!(whole.records.last().unwrap().perplexity.is_some_and(|p| p > 1.0));
}

#[test]
fn a_network_of_translation_learns_to_say_it() {
    let data = pairs(400);
    let network = Network::language("translation", data.sides(), 0.0).unwrap();
    let moments = Moments { beta1: 0.9, beta2: 0.98, epsilon: 1e-9 };
    let config = TrainConfig {
        epochs: 9,
        batch: 8,
        learning_rate: 2e-3,
        method: Method::AdamW(moments),
        ..TrainConfig::default()
    };
    let plan = Plan::new(Arithmetic::Fp32, "", config);
    let run = plan.run(&network, &data, &AtomicBool::new(false), |_| {}).unwrap().run;
    assert!(run.test_accuracy > Some(0.9), "{:?}", run.test_accuracy);
    let said = crate::translations(&network, &run.parameters, &data, &crate::Fp32, 4).unwrap();
    assert_eq!(said.len(), 4);
    let right = said.iter().filter(|t| t.output == t.reference).count();
    assert!(right >= 3, "{said:?}");
    let swapped = |t: &crate::Translation| {
        t.source.split(' ').map(|word| format!("{word}o")).collect::<Vec<_>>().join(" ")
    };
    assert!(said.iter().all(|t| t.reference == swapped(t)));
    // Other data is not translated.
    let options = TextOptions { level: Level::Word, length: 2, vocabulary: 20, held_out: 0.5 };
    let text = Sequences::parse("a b c\na b c\n", "t", TextKind::Plain, options).unwrap();
    assert_eq!(crate::translations(&network, &run.parameters, &text, &crate::Fp32, 4), None);
}

#[test]
fn weights_begin_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let whole = go(&plan(folder.path(), false), u64::MAX).unwrap();
    let path = files(folder.path()).pop().unwrap();
    let weights = weights_of(&path, &network()).unwrap();
    assert_eq!(weights, whole.run.parameters);
    // Another run, in another arithmetic, begins where they are: its first loss is not that of a beginner.
    let plain = Plan::new(Arithmetic::Fp32, "", plan(folder.path(), false).config);
    let taught = Plan { weights: Some(Arc::new(weights)), ..plain.clone() };
    let (plain, taught) = (go(&plain, u64::MAX).unwrap(), go(&taught, u64::MAX).unwrap());
    assert!(
        taught.records[0].loss < 0.8 * plain.records[0].loss,
        "{} {}",
        taught.records[0].loss,
        plain.records[0].loss
    );
    // And it is no run to resume for one that begins anew.
    let own = |weights| {
        let mut own = plan(folder.path(), true);
        own.weights = weights;
        own
    };
    let error = go(&own(Some(Arc::new(plain.run.parameters))), 0).unwrap_err();
    assert!(error.to_string().contains("other settings"), "{error}");
    assert!(go(&own(None), 0).is_ok());

    let error = weights_of(&path, &Network::small_cnn(28, 28, 10).unwrap()).unwrap_err();
    assert!(matches!(error, CheckpointError::OtherNetwork { .. }), "{error}");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(weights_of(&path, &network()), Err(CheckpointError::Damaged { .. })));
}
