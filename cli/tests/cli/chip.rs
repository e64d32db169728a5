//! One sampled chip from its devices to products, training and the system: what `characterize --chip` writes, the others read.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{columns_are_documented, given_design, mirage, npy};
use assert_cmd::assert::OutputAssertExt;
use mirage_arithmetic::{Place, ResidueChannel};

fn json(command: &mut Command) -> serde_json::Value {
    let output = command.arg("--json").assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

fn with_channel(words: &[&str], design: &Path, channel: &Path) -> Command {
    let mut command = mirage();
    command.args(words).arg("--design").arg(design).arg("--channel").arg(channel);
    command
}

#[test]
fn a_sampled_chip_drives_products_training_and_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // A small chip with too little light, so that it errs often and its rows differ.
    let mut design = given_design();
    for (from, to) in [
        ("units            = { value = 8", "units = { value = 2"),
        ("rows             = { value = 32", "rows = { value = 4"),
        ("62 mW", "24 mW"),
    ] {
        assert!(design.contains(from), "{from}");
        design = design.replacen(from, to, 1);
    }
    fs::write(at("design.toml"), design).unwrap();
    let mut command = mirage();
    command.arg("characterize").arg(at("design.toml")).args([
        "--no-sweeps",
        "--yield",
        "3",
        "--sobol",
        "8",
        "--chip",
        "2",
    ]);
    command.arg("-o").arg(at("devices")).assert().success();
    columns_are_documented(&at("devices"));

    let path = at("devices/chip-channel.csv");
    let channel = ResidueChannel::read_csv(fs::File::open(&path).unwrap(), "chip-channel.csv").unwrap();
    let rate = |unit, row| channel.table_at(Some(2), Place { unit, row }, 33).unwrap().mean_rate();
    let rates: Vec<f64> = (0..2).flat_map(|unit| (0..4).map(move |row| rate(unit, row))).collect();
    assert!(rates.iter().all(|p| *p > 0.0) && rates.windows(2).all(|w| w[0] != w[1]), "{rates:?}");

    let values: Vec<f32> = (0..64 * 256).map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0).collect();
    npy(&at("a.npy"), 64, 256, &values);
    npy(&at("b.npy"), 256, 64, &values);
    let mut products = Vec::new();
    for reference in [&[][..], &["--reference"]] {
        let mut command = with_channel(&["gemm"], &at("design.toml"), &path);
        command.arg(at("a.npy")).arg(at("b.npy")).arg("-o").arg(at("c.npy")).args(reference);
        assert!(json(&mut command)["wrong"].as_u64().unwrap() > 0);
        products.push(fs::read(at("c.npy")).unwrap());
    }
    assert_eq!(products[0], products[1], "with and without the fast path");

    let mut train = with_channel(&["train", "--epochs", "1"], &at("design.toml"), &path);
    let runs = json(train.arg("-o").arg(at("training")));
    let wrong = runs[0]["wrong"].as_f64().unwrap() / runs[0]["residues"].as_f64().unwrap();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    assert!(wrong > 0.05 * mean && wrong < 20.0 * mean, "{wrong:e} of the residues, {mean:e} in modulus 33");
    columns_are_documented(&at("training"));

    let mut simulate = with_channel(&["simulate"], &at("design.toml"), &path);
    simulate.arg("--operands").arg(at("devices/operands.csv")).arg("--gemms").arg(at("training/gemms.csv"));
    let networks = json(simulate.arg("-o").arg(at("system")));
    assert!(networks[0]["repeated"].as_u64().unwrap() > 0, "{networks}");
    columns_are_documented(&at("system"));
}
