//! A sweep that is killed, stopped by Ctrl-C and taken up again ends with the bytes of one that ran through.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{columns_are_documented, given_design, mirage};

/// Two dimensions, so that the order of points is seen too.
fn sweep(design: &Path, folder: &Path, threads: &str) -> Command {
    let mut command = mirage();
    command.arg("characterize").arg(design).args(["--operands", "uniform", "--threads", threads]);
    command.args(["--sweep", "devices.tia.input_noise=0.5uA:2uA:3:log", "--sweep", "devices.adc.bits=5:8:4"]);
    // Asked afterwards: a journal of its own.
    command.args(["--sobol", "8"]).arg("-o").arg(folder);
    command
}

/// Finished items that a journal of the folder holds.
fn kept_in(folder: &Path, name: &str) -> usize {
    let text = fs::read_to_string(folder.join(format!("{name}.journal")));
    text.map_or(0, |text| text.lines().count().saturating_sub(1))
}

fn kept(folder: &Path) -> usize {
    kept_in(folder, "sweep")
}

/// Starts the command, waits until so many points are kept, and sends a signal.
fn interrupted(command: &mut Command, folder: &Path, points: usize, signal: &str) -> Output {
    interrupted_in(command, (folder, "sweep"), points, signal)
}

fn interrupted_in(
    command: &mut Command,
    (folder, name): (&Path, &str),
    points: usize,
    signal: &str,
) -> Output {
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while kept_in(folder, name) < points {
        assert!(start.elapsed() < Duration::from_secs(300), "no point was finished");
        std::thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
    child.wait_with_output().unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[test]
fn an_interrupted_sweep_goes_on_and_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (design, whole, parts) =
        (folder.path().join("design.toml"), folder.path().join("whole"), folder.path().join("parts"));
    fs::write(&design, given_design()).unwrap();
    let output = sweep(&design, &whole, "2").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    columns_are_documented(&whole);
    assert!(whole.join("sweep.csv").exists() && !whole.join("sweep.journal").exists());

    let killed = interrupted(&mut sweep(&design, &parts, "1"), &parts, 1, "-KILL");
    assert_eq!(killed.status.code(), None);
    let stopped = interrupted(&mut sweep(&design, &parts, "1"), &parts, 3, "-INT");
    let message = String::from_utf8(stopped.stderr).unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{message}");
    assert!(
        message.contains("of 12 items are kept in") && message.contains("goes on from there"),
        "{message}"
    );
    let points = kept(&parts);
    assert!((3..12).contains(&points) && !parts.join("sweep.csv").exists());

    // Another question leaves the kept work alone.
    let other = sweep(&design, &parts, "1").args(["--seed", "9"]).output().unwrap();
    let message = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(message.contains(&format!("{points} finished items of another question (seed")), "{message}");
    assert_eq!(kept(&parts), points);

    let resumed = sweep(&design, &parts, "2").output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(files(&parts), files(&whole));
}

/// Runs a command whole, and in parts: killed, stopped by Ctrl-C, and taken up on other threads.
fn stopped_and_taken_up(command: &dyn Fn(&Path, &str) -> Command, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let output = command(&whole, "2").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    columns_are_documented(&whole);
    let killed = interrupted_in(&mut command(&parts, "1"), (&parts, name), 1, "-KILL");
    assert_eq!(killed.status.code(), None);
    let stopped = interrupted_in(&mut command(&parts, "1"), (&parts, name), 2, "-INT");
    let message = String::from_utf8(stopped.stderr).unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{message}");
    assert!(message.contains("items are kept in") && message.contains("goes on from there"), "{message}");
    let items = kept_in(&parts, name);
    assert!(items >= 2);
    // Another question leaves the kept work alone.
    let other = command(&parts, "1").args(["--seed", "9"]).output().unwrap();
    let message = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2), "{message}");
    assert!(message.contains("another question (seed"), "{message}");
    assert_eq!(kept_in(&parts, name), items);
    let resumed = command(&parts, "2").output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(files(&parts), files(&whole));
}

#[test]
fn the_usual_sweeps_go_on_and_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let design = folder.path().join("design.toml");
    fs::write(&design, given_design()).unwrap();
    let command = |folder: &Path, threads: &str| {
        let mut command = mirage();
        command.arg("characterize").arg(&design).args(["--operands", "uniform", "--threads", threads]);
        command.arg("-o").arg(folder);
        command
    };
    stopped_and_taken_up(&command, "sweeps");
}
