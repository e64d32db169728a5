//! The chip beside systolic arrays, the published numbers beside ours, and other designs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{columns_are_documented, given_design, mirage, number, table};
use assert_cmd::assert::OutputAssertExt;

fn failure(command: &mut Command) -> String {
    let output = command.assert().code(2).get_output().stderr.clone();
    String::from_utf8(output).unwrap()
}

fn with_design(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("design.toml");
    fs::write(&path, given_design()).unwrap();
    path
}

#[test]
fn compare_writes_what_it_says_and_the_same_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let design = with_design(folder.path());
    let run = |threads: &str, name: &str| {
        let mut command = mirage();
        command.arg("compare").arg(&design).args([
            "--network",
            "resnet18",
            "--batch",
            "64",
            "--operands",
            "uniform",
        ]);
        command.args(["--threads", threads, "-o"]).arg(folder.path().join(name)).assert().success();
    };
    run("1", "one");
    run("2", "two");
    for entry in fs::read_dir(folder.path().join("one")).unwrap() {
        let name = entry.unwrap().file_name();
        let read = |folder_name: &str| fs::read(folder.path().join(folder_name).join(&name)).unwrap();
        assert!(read("one") == read("two"), "{name:?}");
    }
    columns_are_documented(&folder.path().join("one"));
    let rows = table(folder.path().join("one/compare.csv"));
    assert_eq!(rows.len(), 1 + 12);
    let chip = &rows[0];
    assert_eq!((chip["format"].as_str(), number(chip, "speedup")), ("Mirage", 1.0));
    for row in &rows[1..] {
        let speedup = number(row, "seconds") / number(chip, "seconds");
        assert!((number(row, "speedup") / speedup - 1.0).abs() < 1e-12);
        let edp = speedup * number(row, "joules") / number(chip, "joules");
        assert!((number(row, "edp_ratio") / edp - 1.0).abs() < 1e-12);
        let parts = ["product_seconds", "vector_seconds", "memory_seconds"].map(|part| number(row, part));
        assert!((parts.iter().sum::<f64>() / number(row, "seconds") - 1.0).abs() < 1e-12);
        assert!(number(row, "utilisation") <= 1.0);
    }
    // Outside the multipliers all are alike, but for the bytes of a number, which sweeps read and write: 11/16 on the chip and in
    // FMAC, 1 in HFP8 and INT8, 1.5 in INT12, 2 in bfloat16. FP32's four may be more than an operation takes.
    let vector = |format: &str| -> Vec<f64> {
        let of_format = rows[1..].iter().filter(|row| row["format"] == format);
        of_format.map(|row| number(row, "vector_seconds") - number(chip, "vector_seconds")).collect()
    };
    let byte = vector("INT8")[0] / (1.0 - 11.0 / 16.0);
    assert!(byte > 0.0);
    for (format, bytes) in
        [("FMAC", 11.0 / 16.0), ("HFP8", 1.0), ("INT8", 1.0), ("INT12", 1.5), ("bfloat16", 2.0)]
    {
        let more = vector(format);
        assert_eq!(more.len(), 2);
        for more in more {
            // A sweep takes whole picoseconds; there are a hundred.
            let wanted = byte * (bytes - 11.0 / 16.0);
            assert!((more - wanted).abs() < 1e-10, "{format}: {more}, {wanted}");
        }
    }
    assert!(vector("FP32").iter().all(|more| *more >= byte * (4.0 - 11.0 / 16.0)));
    for picture in
        ["compare-speedup.svg", "compare-edp.svg", "compare-power.svg", "breakdown.svg", "roofline.svg"]
    {
        assert!(folder.path().join("one").join(picture).exists(), "{picture}");
    }
}

#[test]
fn reproduce_gives_intervals_and_what_would_have_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let design = with_design(folder.path());
    let mut command = mirage();
    command.arg("reproduce").arg(&design).args(["--operands", "uniform", "-o"]).arg(folder.path().join("r"));
    command.assert().success();
    columns_are_documented(&folder.path().join("r"));
    let headline = table(folder.path().join("r/headline.csv"));
    assert_eq!(headline.len(), 3 * 2 * 6);
    for row in &headline {
        assert!(number(row, "lower") < number(row, "ours") && number(row, "ours") < number(row, "upper"));
    }
    assert_eq!(headline.iter().filter(|row| row["closest"] == "yes").count(), 6);
    let published: Vec<f64> = headline.iter().map(|row| number(row, "published")).collect();
    assert!([23.8, 32.1, 42.8].iter().all(|value| published.contains(value)));
    // Every published number has a line, and what it needs is within the range that was searched.
    let figures = table(folder.path().join("r/reproduction.csv"));
    assert_eq!(figures.len(), mirage_system::published::mirage().len());
    let needed = table(folder.path().join("r/needed.csv"));
    assert!(!needed.is_empty());
    for row in needed.iter().filter(|row| !row["factor"].is_empty()) {
        assert!((0.1..=10.0).contains(&number(row, "factor")));
    }
    let report = fs::read_to_string(folder.path().join("r/reproduction.md")).unwrap();
    assert!(report.contains("| speedup_iso_energy | 23.8 |") && report.contains("What would have to change"));
}

/// The time to program a phase shifter stands in two sections, which must agree.
#[test]
fn explore_moves_a_key_of_the_system_with_that_of_the_devices() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let keys = "system.program_time,devices.shifter.program_time=5ns:10ns:2";
    let mut command = mirage();
    command.args(["explore", "--network", "resnet18", "--sweep", keys]).arg("-o").arg(at("e"));
    command.assert().success();
    let rows = table(at("e/explore.csv"));
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["impossible"].is_empty()), "{rows:?}");
}

#[test]
fn explore_tries_all_designs_and_says_which_are_impossible() {
    let folder = tempfile::tempdir().unwrap();
    let design = with_design(folder.path());
    let mut command = mirage();
    command.arg("explore").arg(&design).args(["--network", "resnet18", "--sweep", "system.units=4:8:2"]);
    command.args([
        "--choose",
        "system.sram.capacity=16 MB;24 MB;48 MB",
        "--choose",
        "arithmetic.moduli=[31, 32, 33];[7, 8, 9]",
    ]);
    let assert = command
        .args([
            "--choose",
            "system.dataflow=DF1;OPT2;DF3",
            "--choose",
            "system.links.latency=1 us;2 us",
            "-o",
        ])
        .arg(folder.path().join("e"))
        .assert()
        .success();
    let said = String::from_utf8_lossy(&assert.get_output().stderr);
    assert!(said.contains("note: system.links.latency changes nothing here"), "{said}");
    // One chip has no links: the only key along which nothing changes.
    let idle = table(folder.path().join("e/idle-keys.csv"));
    assert_eq!(idle.iter().map(|row| row["key"].as_str()).collect::<Vec<_>>(), ["system.links.latency"]);
    columns_are_documented(&folder.path().join("e"));
    let rows = table(folder.path().join("e/explore.csv"));
    assert_eq!(rows.len(), 2 * 3 * 2 * 3 * 2);
    for row in &rows {
        let bad = row["system.sram.capacity"] == "16 MB"
            || row["arithmetic.moduli"] == "[7, 8, 9]"
            || row["system.dataflow"] == "DF3";
        assert_eq!(!row["impossible"].is_empty(), bad, "{row:?}");
    }
    // Twice the units are no slower, and take more area.
    let of = |units: &str, dataflow: &str| {
        let found = rows.iter().find(|row| {
            row["system.units"] == units
                && row["system.dataflow"] == dataflow
                && !row["seconds"].is_empty()
                && row["system.sram.capacity"] == "24 MB"
        });
        found.unwrap()
    };
    assert!(number(of("8", "DF1"), "seconds") <= number(of("4", "DF1"), "seconds"));
    assert!(number(of("8", "DF1"), "area_m2") > number(of("4", "DF1"), "area_m2"));
    assert!(rows.iter().any(|row| row["pareto"] == "yes"));
    assert!(folder.path().join("e/explore.svg").exists());
}

#[test]
fn bad_questions_are_answered_clearly() {
    let cases: [(&[&str], &str); 8] = [
        (&["compare", "--network", "resnet51"], "did you mean ResNet-50?"),
        (&["compare", "--batch", "0"], "at least 1"),
        (&["explore"], "required"),
        (&["explore", "--sweep", "system.unit=1:2:2"], "did you mean `system.units`?"),
        (&["explore", "--choose", "system.dataflw=DF1"], "did you mean `system.dataflow`?"),
        (&["explore", "--choose", "system.dataflow"], "there is no `=`"),
        (&["explore", "--choose", "system.dataflow=DF1;"], "an empty value"),
        (&["explore", "--sweep", "system.units=1:2:2", "--choose", "system.units=3"], "varied twice"),
    ];
    for (words, expected) in cases {
        let message = failure(mirage().args(words));
        assert!(message.contains(expected), "{words:?}: {message}");
    }
}
