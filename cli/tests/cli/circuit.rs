//! `mirage circuit` on the netlists that are shipped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::common::mirage;
use assert_cmd::assert::OutputAssertExt;

fn netlist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/circuits").join(name)
}

type Key = (String, String, String);

/// Power by wavelength, out and in.
fn powers(csv: &[u8]) -> HashMap<Key, f64> {
    let mut reader = csv::Reader::from_reader(csv);
    assert_eq!(reader.headers().unwrap(), vec!["wavelength_um", "out", "in", "re", "im"]);
    let field = |r: &csv::StringRecord, i: usize| r[i].to_owned();
    let number = |r: &csv::StringRecord, i: usize| r[i].parse::<f64>().unwrap();
    let row = |r: csv::StringRecord| {
        ((field(&r, 0), field(&r, 1), field(&r, 2)), number(&r, 3).powi(2) + number(&r, 4).powi(2))
    };
    reader.records().map(|r| row(r.unwrap())).collect()
}

#[test]
fn an_interferometer_has_its_fringes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("s.csv");
    let touchstone = folder.path().join("s.s3p");
    let run = mirage()
        .args(["circuit", "--wavelength", "1.50um:1.58um:161", "--plot", "-o"])
        .arg(&out)
        .arg("--touchstone")
        .arg(&touchstone)
        .arg(netlist("mzi.yml"))
        .assert()
        .success();
    assert!(String::from_utf8_lossy(&run.get_output().stderr).contains("4 components; forward"));
    let powers = powers(&std::fs::read(&out).unwrap());
    for wl in ["1.5", "1.55", "1.58"] {
        let n = 2.34 - (wl.parse::<f64>().unwrap() - 1.55) * (3.4 - 2.34) / 1.55;
        let half = std::f64::consts::PI * n * 25.0 / wl.parse::<f64>().unwrap();
        let power = powers[&(wl.to_owned(), "bar".to_owned(), "in".to_owned())];
        assert!((power - half.sin().powi(2)).abs() < 1e-9, "{wl}: {power}");
    }
    assert!(std::fs::read_to_string(folder.path().join("s.svg")).unwrap().contains("<svg"));
    assert!(std::fs::read_to_string(&touchstone).unwrap().contains("! ports: in, bar, cross"));
}

#[test]
fn a_ring_drops_what_resonates_and_loses_little() {
    let run = mirage()
        .args(["circuit", "--wavelength", "1.54um:1.56um:2001"])
        .arg(netlist("add-drop-ring.yml"))
        .assert();
    let output = run.success().get_output().clone();
    assert!(String::from_utf8_lossy(&output.stderr).contains("general: "));
    let powers = powers(&output.stdout);
    let dropped =
        powers.iter().filter(|((_, out, input), _)| (out.as_str(), input.as_str()) == ("drop", "in"));
    let peak = dropped.map(|(_, p)| *p).fold(0.0, f64::max);
    // Bogaerts et al., Laser Photonics Rev. 6:47 (2012), eq. 11: (1 - t^2)^2 a/(1 - t^2 a)^2 on resonance.
    let (t2, a) = (0.9, 10f64.powf(-3.0 * 62.831853e-4 / 20.0));
    assert!((peak - 0.01 * a / (1.0 - t2 * a).powi(2)).abs() < 2e-3, "{peak}");
}

#[test]
fn a_mesh_of_cells_keeps_the_power() {
    for solver in ["forward", "general"] {
        let mut command = mirage();
        command.args([
            "circuit",
            "--wavelength",
            "1.55um",
            "--set",
            "m0~inner.voltage=300mV",
            "--solver",
            solver,
        ]);
        let output = command.arg(netlist("mesh4.yml")).assert().success().get_output().clone();
        let powers = powers(&output.stdout);
        for input in 0..4 {
            let input = format!("in{input}");
            let total: f64 = powers.iter().filter(|((_, _, i), _)| *i == input).map(|(_, p)| p).sum();
            assert!((total - 1.0).abs() < 1e-12, "{total}");
        }
    }
}

#[test]
fn components_are_listed_with_their_settings() {
    let output = mirage().args(["circuit", "--list"]).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("straight: ") && text.contains("loss_dB_cm = 0 dB/cm") && text.contains("in0, out0")
    );
}

#[test]
fn wrong_circuits_say_why() {
    let mzi = netlist("mzi.yml");
    let fails = |args: &[&str]| {
        let output = mirage().arg("circuit").arg(&mzi).args(args).assert().code(2).get_output().clone();
        String::from_utf8(output.stderr).unwrap()
    };
    for (args, says) in [
        (&["--set", "lnog.length=3"][..], "did you mean `long`?"),
        (&["--set", "long.lenght=3"], "did you mean `length`?"),
        (&["--set", "long.length=3V"], "a number in um"),
        (&["--set", "long"], "write instance.setting=value"),
        (&["--wavelength", "1.5:1.6:3"], "has no unit"),
        (&["--wavelength", "1.6um:1.5um:3"], "smaller than the last"),
        (&["--wavelength", "1.5um:1.6um:1e9"], "the count"),
        (&["--cell", "other"], "no cell is named `other`"),
        (&["--touchstone", "x.s2p"], "ends in .s3p"),
    ] {
        let message = fails(args);
        assert!(message.contains(says), "{args:?} says {message}");
    }
    let ring =
        mirage().args(["circuit", "--solver", "forward"]).arg(netlist("add-drop-ring.yml")).assert().code(2);
    let message = String::from_utf8_lossy(&ring.get_output().stderr).into_owned();
    assert!(message.contains("light comes back through"), "{message}");
}
