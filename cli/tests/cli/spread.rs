//! `mirage characterize --spread`: what the uncertainty of measured values makes of the error rate.

use std::fs;

use crate::common::{columns_are_documented, given_design, mirage};
use assert_cmd::assert::OutputAssertExt;

fn with_sigma(loss: &str) -> String {
    let design = given_design();
    let from = "loss = { value = \"1 dB/cm\", mark = \"S\"";
    assert!(design.contains(from));
    design.replacen(from, &format!("loss = {{ value = \"1 dB/cm\", {loss} mark = \"M\""), 1)
}

#[test]
fn a_sigma_becomes_a_distribution_of_the_error_rate() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("design.toml"), with_sigma("sigma = \"10 dB/m\",")).unwrap();
    let run = |out: &str, threads: &str| -> serde_json::Value {
        let mut command = mirage();
        command.arg("characterize").arg(at("design.toml")).arg("-o").arg(at(out));
        command.args([
            "--no-sweeps",
            "--operands",
            "uniform",
            "--spread",
            "40",
            "--json",
            "--threads",
            threads,
        ]);
        serde_json::from_slice(&command.assert().success().get_output().stdout).unwrap()
    };
    let summary = run("one", "1");
    columns_are_documented(&at("one"));
    let spread = &summary["spread"];
    assert_eq!(spread["keys"][0], "devices.waveguide.loss");
    let number = |key: &str| spread[key].as_f64().unwrap();
    let quantile = |i: usize| spread["quantiles"][i][1].as_f64().unwrap();
    // 0.1 dB/cm over 2 cm is 0.2 dB of signal and as much of reference: the rate moves, both ways around the design's own.
    let own = number("own_error_rate");
    assert!(quantile(0) < 0.8 * own && quantile(4) > 1.25 * own, "{spread}");
    assert!((quantile(2) / own).ln().abs() < 0.7, "{spread}");
    run("two", "2");
    for name in ["spread.csv", "spread.svg"] {
        assert_eq!(
            fs::read(at("one").join(name)).unwrap(),
            fs::read(at("two").join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_spread_needs_a_sigma_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("design.toml");
    for (loss, says) in [
        ("", "no value of the design carries a `sigma`"),
        ("sigma = \"1 mW\",", "another kind of quantity"),
        ("sigma = 0.1,", "has no unit"),
    ] {
        fs::write(&path, with_sigma(loss)).unwrap();
        let mut command = mirage();
        command.arg("characterize").arg(&path).args([
            "--no-sweeps",
            "--operands",
            "uniform",
            "--spread",
            "20",
            "-o",
        ]);
        let output = command.arg(folder.path().join("out")).assert().failure();
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(says), "{loss}: {text}");
    }
}
