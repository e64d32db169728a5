//! `mirage stream`: its tables, the same bytes on any number of threads, and wrong words.

use std::fs;

use crate::common::{columns_are_documented, given_design, mirage};
use assert_cmd::assert::OutputAssertExt;

#[test]
fn tables_are_described_and_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    let design = folder.path().join("given.toml");
    let quick =
        given_design().replace("ring_lifetime = { value = \"8 ps\"", "ring_lifetime = { value = \"0.2 ps\"");
    fs::write(&design, quick).unwrap();
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
    assert_eq!(seen, 14, "eight tables, three pictures, design, command and summary");
    let memory = Rows::read(&one.join("memory.csv"));
    assert_eq!(memory.rows.len(), 3);
    // The default design's amplifier is as slow as its clock: memory must show.
    for row in 0..3 {
        assert!((1e-4..5e-2).contains(&memory.number(row, "phase_rms_rad")));
        assert!(memory.number(row, "ratio") > 1.0 && memory.get(row, "lost") == "0");
    }
    // A trial of the limits holds at one and not at the other side of what was found.
    let limits = Rows::read(&one.join("memory-limits.csv"));
    let longest = limits.number(1, "ring_lifetime_s");
    assert!((1e-14..2e-12).contains(&longest), "{longest}");
    let quality = std::f64::consts::PI * 299_792_458.0 / 1.55e-6 * longest;
    assert!((limits.number(1, "quality") / quality - 1.0).abs() < 1e-3);
    assert!((5e9..2e10).contains(&limits.number(2, "clock_hz")));
}

/// A table with a header.
struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    fn read(path: &std::path::Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        Rows { header: lines.next().unwrap(), rows: lines.collect() }
    }

    fn get(&self, row: usize, column: &str) -> &str {
        &self.rows[row][self.header.iter().position(|name| name == column).unwrap()]
    }

    fn number(&self, row: usize, column: &str) -> f64 {
        self.get(row, column).parse().unwrap()
    }
}

/// The built-in rings hold light for many symbols in 80 digits: no ratio is made up, and the command says so in words.
#[test]
fn what_cannot_be_read_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let design = folder.path().join("given.toml");
    fs::write(&design, given_design()).unwrap();
    let out = folder.path().join("out");
    let words = ["--symbols", "100", "--operands", "uniform"];
    let run = mirage().arg("stream").arg(&design).args(words).arg("-o").arg(&out).assert().success();
    let said = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    for expected in
        ["nothing can be read at 10.000 GHz", "256 symbols of each modulus", "(Q = ", "above a clock of"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let memory = Rows::read(&out.join("memory.csv"));
    for row in 0..3 {
        assert!(memory.get(row, "ratio").is_empty() && memory.number(row, "lost") > 50.0);
    }
    assert!(!out.join("channel-with-memory.csv").exists());
    let limits = Rows::read(&out.join("memory-limits.csv"));
    assert!(limits.number(1, "ring_lifetime_s") < 2e-12 && limits.number(2, "clock_hz") < 5e9);
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
