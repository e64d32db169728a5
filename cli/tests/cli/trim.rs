//! `mirage trim`: a sampled chip from useless to the target, or what stops it.

use std::fs;

use crate::common::{columns_are_documented, given_design, mirage};
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
            "1,16",
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

#[test]
fn looks_must_fit_into_the_memory() {
    let output = mirage().args(["trim", "--look-every", "2 s", "--drift-memory", "1 s"]).assert().failure();
    let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(text.contains("--look-every must be above zero and below --drift-memory"), "{text}");
}
