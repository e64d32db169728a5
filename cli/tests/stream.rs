//! `mirage stream`: its tables, the same bytes on any number of threads, and wrong words.

mod common;

use std::fs;

use assert_cmd::assert::OutputAssertExt;
use common::{columns_are_documented, given_design, mirage};

#[test]
fn tables_are_described_and_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    let design = folder.path().join("given.toml");
    fs::write(&design, given_design()).unwrap();
    let run = |name: &str, threads: &str| {
        let out = folder.path().join(name);
        let words = ["--symbols", "600", "--operands", "uniform", "--modulus", "31", "--threads", threads];
        mirage().arg("stream").arg(&design).args(words).arg("-o").arg(&out).assert().success();
        out
    };
    let (one, two) = (run("one", "1"), run("two", "2"));
    columns_are_documented(&one);
    let mut seen = 0;
    for entry in fs::read_dir(&one).unwrap() {
        let path = entry.unwrap().path();
        let other = two.join(path.file_name().unwrap());
        assert!(fs::read(&path).unwrap() == fs::read(other).unwrap(), "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 13, "seven tables, three pictures, design, command and summary");
    let memory = fs::read_to_string(one.join("memory.csv")).unwrap();
    assert_eq!(memory.lines().count(), 4);
    // The default design's amplifier is as slow as its clock: memory must show.
    let phases: Vec<f64> =
        memory.lines().skip(1).map(|line| line.split(',').nth(5).unwrap().parse().unwrap()).collect();
    assert!(phases.iter().all(|rms| (1e-4..5e-2).contains(rms)), "{phases:?}");
}

#[test]
fn wrong_words_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let design = folder.path().join("given.toml");
    fs::write(&design, given_design()).unwrap();
    for (words, says) in [
        (["--modulus", "30"], "moduli are [31, 32, 33]"),
        (["--sampling", "95"], "has no unit"),
        (["--sampling", "never"], "best-eye"),
        (["--symbols", "0"], "a whole number from 1 to 10000000"),
    ] {
        let mut command = mirage();
        command.arg("stream").arg(&design).args(words).args(["--operands", "uniform", "-o"]);
        let output = command.arg(folder.path().join("out")).assert().code(2).get_output().clone();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(says) && !message.contains("panicked"), "{message}");
    }
}
