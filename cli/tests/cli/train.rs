//! A training run that is killed, stopped by Ctrl-C and resumed ends with the bytes of one that ran through.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::Rng;
use rand_pcg::Pcg64;

use crate::common::{cifar, columns_are_documented, mirage, number, table};

fn train(data: &Path, folder: &Path) -> Command {
    let mut command = mirage();
    command.args([
        "train",
        "--arithmetic",
        "bfp",
        "--network",
        "resnet20",
        "--epochs",
        "6",
        "--threads",
        "1",
        "--set",
        "training.deep.batch=50",
    ]);
    command
        .args(["--checkpoint-every", "2", "--on-divergence=continue", "--data"])
        .arg(data)
        .arg("-o")
        .arg(folder);
    command
}

/// The checkpoints of a folder, the last one last.
fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.join("checkpoints")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|p| p.extension().is_some_and(|e| e == "checkpoint")).collect();
    paths.sort();
    paths
}

/// Starts the command, waits for a checkpoint that was not there, and sends a signal.
fn interrupted(command: &mut Command, folder: &Path, signal: &str) -> Output {
    let before = checkpoints(folder).pop();
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while checkpoints(folder).pop() == before {
        assert!(start.elapsed() < Duration::from_secs(300), "no checkpoint was written");
        std::thread::sleep(Duration::from_millis(2));
    }
    Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
    child.wait_with_output().unwrap()
}

/// All files but those of the time that it took, and the last checkpoint of each run.
fn results(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file()).chain(checkpoints(folder).pop());
    files.map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&p).unwrap())).collect()
}

#[test]
fn an_interrupted_run_goes_on_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [data, whole, parts] = ["data", "whole", "parts"].map(|name| folder.path().join(name));
    cifar(&data);
    let output = train(&data, &whole).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    columns_are_documented(&whole);
    let kept = checkpoints(&whole);
    assert_eq!(kept.len(), 2);
    assert!(kept[1].ends_with("bfp-seed1-0000000012.checkpoint"), "{kept:?}");

    let killed = interrupted(&mut train(&data, &parts), &parts, "-KILL");
    assert_eq!(killed.status.code(), None);
    // The same words again would lose what is done.
    let again = train(&data, &parts).output().unwrap();
    let message = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(2), "{message}");
    assert!(message.contains("has not ended; go on with it (--resume)"), "{message}");
    // Another question is not answered from these.
    let other = train(&data, &parts).args(["--resume", "--seed", "9"]).output().unwrap();
    let message = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2), "{message}");
    assert!(message.contains("no checkpoint of such a run is there"), "{message}");

    let stopped = interrupted(train(&data, &parts).arg("--resume"), &parts, "-INT");
    let message = String::from_utf8(stopped.stderr).unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{message}");
    assert!(
        message.contains("0 of 1 runs have ended") && message.contains("with --resume goes on"),
        "{message}"
    );
    assert!(!parts.join("training.csv").exists());

    // The last checkpoint is damaged: the one before it is used, and that is said.
    let last = checkpoints(&parts).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    let resumed = train(&data, &parts).arg("--resume").output().unwrap();
    let message = String::from_utf8(resumed.stderr).unwrap();
    assert!(resumed.status.success(), "{message}");
    assert!(message.contains("warning: ") && message.contains("an older checkpoint was used"), "{message}");
    assert_eq!(results(&parts), results(&whole));
}

/// Killed at ten random moments, as often as not before the first checkpoint or while one is written.
#[test]
fn a_run_killed_at_ten_random_moments_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [data, whole, parts] = ["data", "whole", "parts"].map(|name| folder.path().join(name));
    cifar(&data);
    let train = |folder: &Path| {
        let mut command = mirage();
        command.args([
            "train",
            "--error-rate",
            "1e-4",
            "--error-shape",
            "slip",
            "--epochs",
            "60",
            "--threads",
            "1",
        ]);
        command
            .args(["--set", "training.batch=10", "--checkpoint-every", "3", "--data"])
            .arg(&data)
            .arg("-o")
            .arg(folder);
        command
    };
    let start = Instant::now();
    let output = train(&whole).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let most = start.elapsed().as_millis() as u64;

    let mut generator = Pcg64::new(6, 28);
    let mut killed = 0;
    for _ in 0..10 {
        let mut command = train(&parts);
        if !checkpoints(&parts).is_empty() {
            command.arg("--resume");
        }
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        // Half of the run in all, so that it does not end by itself even where the machine has more time for it than before.
        std::thread::sleep(Duration::from_millis(generator.next_u64() % (most / 10 + 1)));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
    }
    assert!(killed >= 3, "{killed} of ten runs were killed before they ended");
    let output = train(&parts).arg("--resume").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(results(&parts), results(&whole));
}

/// Dropout, embeddings and Adam's two memories go on too: a Transformer that translates.
#[test]
fn a_killed_transformer_goes_on_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [data, whole, parts] = ["pairs.tsv", "whole", "parts"].map(|name| folder.path().join(name));
    let words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran"];
    let sentence = |i: usize| (0..5).map(|j| words[(i + j * (1 + i % 3)) % 8]).collect::<Vec<_>>().join(" ");
    let pair = |i: usize| format!("{}\t{}\n", sentence(i * i / 3), sentence(i).to_uppercase());
    fs::write(&data, (0..120).map(pair).collect::<String>()).unwrap();
    let train = |folder: &Path| {
        let mut command = mirage();
        command.args(["train", "--network", "translation", "--error-rate", "1e-4", "--error-shape", "slip"]);
        command.args(["--epochs", "2", "--threads", "1", "--set", "training.translation.batch=12"]);
        command.args(["--checkpoint-every", "2", "--data"]).arg(&data).arg("-o").arg(folder);
        command
    };
    let output = train(&whole).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let killed = interrupted(&mut train(&parts), &parts, "-KILL");
    assert_eq!(killed.status.code(), None);
    let killed = interrupted(train(&parts).arg("--resume"), &parts, "-KILL");
    assert_eq!(killed.status.code(), None);
    let output = train(&parts).arg("--resume").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(results(&parts), results(&whole));
}

#[test]
fn several_seeds_have_a_mean_and_a_spread() {
    let folder = tempfile::tempdir().unwrap();
    let [data, output] = ["data", "out"].map(|name| folder.path().join(name));
    cifar(&data);
    let run = |seeds: &str| {
        let mut command = mirage();
        command.args(["train", "--network", "mobilenet-small", "--arithmetic", "bfp", "--epochs", "1"]);
        let done =
            command.args(["--seeds", seeds, "--data"]).arg(&data).arg("-o").arg(&output).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert!(!run("1").contains("standard deviation") && !output.join("seeds.csv").exists());
    let said = run("3");
    assert!(said.contains("over 3 seeds"), "{said}");
    columns_are_documented(&output);
    // Of a single epoch each run has one accuracy.
    let records = table(output.join("training.csv"));
    let ends = records.iter().filter(|row| !row["test_accuracy"].is_empty());
    let all: Vec<f64> = ends.map(|row| number(row, "test_accuracy")).collect();
    assert_eq!(all.len(), 3);
    let mean = all.iter().sum::<f64>() / 3.0;
    let deviation = (all.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let together = table(output.join("seeds.csv"));
    assert_eq!(together.len(), 1);
    for (name, value) in [("accuracy_mean", mean), ("accuracy_deviation", deviation), ("seeds", 3.0)] {
        assert!((number(&together[0], name) - value).abs() < 1e-12, "{name}: {together:?} {value}");
    }
}

#[test]
fn a_sweep_leaves_no_checkpoints_and_wrong_names_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let [data, sweep] = ["data", "sweep"].map(|name| folder.path().join(name));
    cifar(&data);
    // Whatever run it is of: a sweep removes its own.
    let other = sweep.join("checkpoints/other-seed1-0000000007.checkpoint");
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    fs::write(&other, "of another run").unwrap();
    let mut command = mirage();
    command.args([
        "train",
        "--network",
        "mobilenet-small",
        "--sweep",
        "error-rate=1e-4:1e-3:2",
        "--epochs",
        "1",
    ]);
    let output = command.arg("--data").arg(&data).arg("-o").arg(&sweep).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sweep.join("tolerance.csv").exists());
    let left: Vec<_> = fs::read_dir(other.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [other]);
    // Depthwise products are one line of the list with many repeats.
    let gemms = fs::read_to_string(sweep.join("gemms.csv")).unwrap();
    assert!(gemms.contains("mobilenet-small,stage1.block1.depthwise,forward,1,9,"), "{gemms}");

    let mut command = mirage();
    let output = command.args(["train", "--network", "resnet21", "-o"]).arg(&sweep).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("did you mean \"resnet20\"?"), "{message}");
}
