//! `mirage trim`: a sampled chip from useless to the target, or what stops it.

use std::fs;
use std::path::Path;

use crate::common::{columns_are_documented, given_design, mirage, number, table};
use assert_cmd::assert::OutputAssertExt;

#[test]
fn a_chip_is_trimmed_and_a_coarse_one_says_what_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let design = given_design();
    let from = "chips = { value = \"correlated\"";
    assert!(design.contains(from));
    let design = design.replacen(from, "chips = { value = \"independent\"", 1);
    fs::write(at("fine.toml"), &design).unwrap();
    fs::write(at("coarse.toml"), design.replacen("3.6 mrad", "60 mrad", 1)).unwrap();
    let run = |design: &str, out: &str, threads: &str| -> serde_json::Value {
        let mut command = mirage();
        command.arg("trim").arg(at(design)).arg("-o").arg(at(out));
        command.args([
            "--rows",
            "1",
            "--reads",
            "64",
            "--curve",
            "1,64",
            "--repeats",
            "3",
            "--looks",
            "50",
            "--operands",
            "uniform",
        ]);
        command.args(["--json", "--threads", threads]);
        serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap()
    };
    let fine = run("fine.toml", "fine", "1");
    for unit in fine["units"].as_array().unwrap() {
        let rate = |key: &str| unit[key].as_f64().unwrap();
        assert!(rate("error_rate_before") > 0.5 && rate("error_rate_after") < 1e-6, "{unit}");
    }
    columns_are_documented(&at("fine"));
    one_estimate_in_all_tables(&at("fine"), &fine);
    let again = run("fine.toml", "again", "2");
    assert_eq!(fine, again);
    for name in ["trim.csv", "trim-steps.csv", "trim-phases.csv", "drift-looks.csv", "trim-reads.svg"] {
        assert_eq!(
            fs::read(at("fine").join(name)).unwrap(),
            fs::read(at("again").join(name)).unwrap(),
            "{name}"
        );
    }
    let coarse = run("coarse.toml", "coarse", "2");
    assert_eq!(coarse["reached"], false);
    assert!(
        coarse["verdict"].as_str().unwrap().contains("devices.trim.resolution stops it most"),
        "{coarse}"
    );
}

/// Numbers of a column of a table, of lines where other columns hold these texts.
fn column(folder: &Path, name: &str, of: &str, only: &[(&str, &str)]) -> Vec<f64> {
    let rows = table(folder.join(name));
    let kept = rows.iter().filter(|row| only.iter().all(|(column, value)| row[*column] == *value));
    kept.map(|row| number(row, of)).collect()
}

/// The verdict, its control, the curve, the drift and the units speak of the same trimmings.
fn one_estimate_in_all_tables(folder: &Path, summary: &serde_json::Value) {
    let target = summary["target"].as_f64().unwrap();
    let mut worst: f64 = 0.0;
    for modulus in ["31", "32", "33"] {
        let trimmings = column(folder, "trim.csv", "error_rate_after", &[("modulus", modulus)]);
        assert_eq!(trimmings.len(), 3);
        assert!(trimmings[0] != trimmings[1], "other noise leaves something else: {trimmings:?}");
        let mean = trimmings.iter().sum::<f64>() / 3.0;
        let same = |found: Vec<f64>, value: f64, what: &str| {
            assert!(
                found.len() == 1 && (found[0] / value - 1.0).abs() < 1e-9,
                "{what} {modulus}: {found:?} {value}"
            );
        };
        let control = [("lifted", "nothing"), ("modulus", modulus)];
        same(column(folder, "trim-limits.csv", "error_rate", &control), mean, "limits");
        same(column(folder, "trim-limits.csv", "benefit", &control), 1.0, "benefit");
        let at_64 = [("reads_per_angle", "64"), ("modulus", modulus)];
        same(column(folder, "trim-reads.csv", "error_rate", &at_64), mean, "reads");
        same(column(folder, "drift.csv", "error_rate_settled", &[("modulus", modulus)]), mean, "drift");
        // The standard error of three numbers, written out.
        let square: f64 = trimmings.iter().map(|r| (r - mean).powi(2)).sum();
        same(column(folder, "trim-limits.csv", "standard_error", &control), (square / 6.0).sqrt(), "error");
        worst = worst.max(mean);
    }
    assert!((summary["worst"]["error_rate"].as_f64().unwrap() / worst - 1.0).abs() < 1e-9);
    assert_eq!(summary["reached"], worst <= target);
    assert_eq!(summary["verdict"].as_str().unwrap().contains("is reached"), {
        worst <= target && summary["worst"]["within_scatter"] == false
    });
}

#[test]
fn rows_that_the_design_has_not_are_refused_before_anything_is_solved() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = mirage().args(["trim", "--rows", "100", "-o"]).arg(&out).assert().failure();
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains("units have 32 (system.rows); give 1 to 32"), "{text}");
    assert!(!text.contains("solving") && !out.exists(), "{text}");
    let output = mirage().args(["trim", "--repeats", "1"]).assert().failure();
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains("from 2 to 256"), "{text}");
}

#[test]
fn looks_must_fit_into_the_memory() {
    let output = mirage().args(["trim", "--look-every", "2 s", "--drift-memory", "1 s"]).assert().failure();
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains("--look-every must be above zero and below --drift-memory"), "{text}");
}
