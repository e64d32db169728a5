//! `spread.toml` of `mirage calibrate`: from several devices to the distribution of error rates of chips of their process.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{dropped_in, given_design, mirage, number, table};

const RING: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../data/openebl-2024-10/ring_double_r10um_g80nm.csv");

/// Normal numbers of mean 0 and deviation 1, the same on every machine: sums of twelve uniform ones of a linear congruence (Knuth,
/// The Art of Computer Programming, vol. 2, sect. 3.3.4, its constants for 64 bits).
fn scatter(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    move || (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// Calibrates files: standard error, and `spread.toml` if there is one.
fn calibrate(kind: &str, files: &[PathBuf], set: &[&str], output: &Path) -> (String, Option<String>) {
    let mut command = mirage();
    command.args(["calibrate", kind]).args(files).arg("-o").arg(output);
    for s in set {
        command.args(["--set", s]);
    }
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{kind}: {said}");
    (said, fs::read_to_string(output.join("spread.toml")).ok())
}

/// Column `column` of a parameter in fits.csv.
fn fits(output: &Path, name: &str, column: &str) -> Vec<f64> {
    table(output.join("fits.csv")).iter().filter(|r| r["name"] == name).map(|r| number(r, column)).collect()
}

/// Value and sigma of a key of a fragment, without their unit.
fn said(fragment: &str, key: &str) -> (f64, Option<f64>) {
    let line = fragment
        .lines()
        .find(|l| l.starts_with(&format!("{key} = ")))
        .unwrap_or_else(|| panic!("{key}: {fragment}"));
    let number = |name: &str| {
        let text = line.split_once(&format!("{name} = "))?.1;
        let text = text.split([',', '}']).next()?.trim().trim_matches('"');
        text.split(' ').next()?.parse().ok()
    };
    (number("value").unwrap(), number("sigma"))
}

/// The keys that `characterize --spread` draws in the built-in design with this fragment in it.
fn drawn(fragment: &str, whole: &[&str], folder: &Path) -> Vec<String> {
    let chip = folder.join("chip.toml");
    fs::write(&chip, dropped_in(&given_design(), fragment, whole, &[])).unwrap();
    let mut command = mirage();
    command.arg("characterize").arg(&chip).args([
        "--no-sweeps",
        "--operands",
        "uniform",
        "--spread",
        "20",
        "--json",
    ]);
    let run = command.arg("-o").arg(folder.join("chip")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let keys = summary["spread"]["keys"].as_array().unwrap();
    keys.iter().map(|k| k.as_str().unwrap().to_owned()).collect()
}

/// The measured ring, and copies whose wavelengths are stretched: a resonance of order m lies at m wavelength = n L, so that a
/// factor on all wavelengths is one on the index.
#[test]
fn rings_have_a_spread() {
    let folder = tempfile::tempdir().unwrap();
    let measured = fs::read_to_string(RING).unwrap();
    let stretched = |name: &str, index: f64| {
        let factor = 1.0 + index / 4.1816;
        let row = |(i, line): (usize, &str)| match line.split_once(',') {
            Some((wavelength, powers)) if i > 0 => {
                format!("{:.6},{powers}\n", wavelength.parse::<f64>().unwrap() * factor)
            }
            _ => format!("{line}\n"),
        };
        // Every fourth point is enough.
        let text: String = measured.lines().enumerate().filter(|(i, _)| i % 4 == 0).map(row).collect();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = [stretched("low.csv", -2e-3), stretched("middle.csv", 0.0), stretched("high.csv", 2e-3)];
    for couplers in ["couplers=equal", "type=all-pass"] {
        let output = folder.path().join(couplers.replace('=', "-"));
        let (note, spread) = calibrate("ring", &files, &["radius=10um", couplers], &output);
        let spread = spread.unwrap_or_else(|| panic!("{note}"));
        let (index, sigma) = said(&spread, "group_index");
        let all = fits(&output, "group_index", "value");
        let mean = all.iter().sum::<f64>() / 3.0;
        let errors = fits(&output, "group_index", "standard_error");
        // The rings are 2e-3 apart, which is their standard deviation; errors are taken off.
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0;
        assert!((variance.sqrt() / 2e-3 - 1.0).abs() < 0.1, "{all:?}");
        let expected = (variance - errors.iter().map(|e| e * e).sum::<f64>() / 3.0).sqrt();
        assert!((index - mean).abs() < 0.1 * sigma.unwrap(), "{index} of {all:?}");
        assert!((sigma.unwrap() / expected - 1.0).abs() < 0.01, "{sigma:?} where {expected} is expected");
        // 0.4 of c/(n_g L), GHz, from the mean.
        let range = 299_792.458 / (mean * 2.0 * std::f64::consts::PI * 10.0);
        assert!((said(&spread, "detuning").0 / (0.4 * range) - 1.0).abs() < 1e-4, "{spread}");
        let detour = (said(&spread, "coupling_detour").0, said(&spread, "coupling_bus").0);
        assert_eq!(detour.0, detour.1, "{spread}");
        let keys = drawn(&spread, &["[devices.ring]"], &output);
        assert!(keys.iter().any(|k| k == "devices.ring.group_index"), "{keys:?}");
    }
}

#[test]
fn shifters_of_one_law_have_no_spread_that_their_sweeps_make() {
    let folder = tempfile::tempdir().unwrap();
    // phase = 0.4 + pi/0.8 (V + 0.08 V|V|/4), up to a largest voltage, with 5 mrad of noise.
    let swept = |name: &str, most: f64, seed: u64| {
        let mut noise = scatter(seed);
        let row = |i: i32| {
            let v = most * f64::from(i) / 20.0;
            let phase = 0.4 + std::f64::consts::PI / 0.8 * (v + 0.08 * v * v.abs() / 4.0) + 5e-3 * noise();
            format!("{v},{phase}\n")
        };
        let path = folder.path().join(name);
        fs::write(&path, "voltage_v,phase_rad\n".to_owned() + &(0..=20).map(row).collect::<String>())
            .unwrap();
        path
    };
    let sweeps = [2.0, 4.0, 8.0].map(|v| swept(&format!("to{v}.csv"), v, v as u64));
    let set = ["length=25um", "max_voltage=4V"];
    let output = folder.path().join("out");
    // No more than the fits' errors explain: sigma is none, or small against them.
    let consistent = |spread: &str, output: &Path| {
        let (curvature, sigma) = said(spread, "curvature");
        let errors = fits(output, "curvature", "standard_error");
        let most = errors.iter().copied().fold(0.0, f64::max);
        assert!((curvature - 0.08).abs() < 3.0 * most && sigma.is_none_or(|s| s < 2.0 * most), "{spread}");
        assert_eq!(said(spread, "max_voltage").0, 4.0);
    };
    let (_, spread) = calibrate("phase-shifter", &sweeps, &set, &output);
    consistent(&spread.unwrap(), &output);
    // The same sweeps, each with its own reference: refused with the way out; what an earlier run left is named.
    let (note, _) = calibrate("phase-shifter", &sweeps, &set[..1], &output);
    assert!(note.contains("no spread.toml: curvature refers to a max_voltage of 2 V in to2.csv"), "{note}");
    assert!(
        note.contains("--set max_voltage=..") && note.contains("earlier run") && note.contains("spread.toml")
    );
    // Its numbers and what they refer to go into a design together.
    let own = fs::read_to_string(output.join("to2/fragment.toml")).unwrap();
    assert!(own.contains("max_voltage = { value = \"2 V\""), "{own}");
    let same = [1, 2, 3].map(|seed| swept(&format!("same{seed}.csv"), 4.0, seed));
    let output = folder.path().join("same");
    let (_, spread) = calibrate("phase-shifter", &same, &set[..1], &output);
    consistent(&spread.clone().unwrap(), &output);
    // One that differs clearly shows.
    let text = fs::read_to_string(&same[2]).unwrap();
    let bent = text.lines().skip(1).map(|line| {
        let (v, phase) = line.split_once(',').unwrap();
        let v: f64 = v.parse().unwrap();
        format!("{v},{}\n", phase.parse::<f64>().unwrap() + 0.05 * v * v)
    });
    fs::write(&same[2], "voltage_v,phase_rad\n".to_owned() + &bent.collect::<String>()).unwrap();
    let (_, spread) = calibrate("phase-shifter", &same, &set[..1], &output);
    let keys = drawn(&spread.unwrap(), &[], &output);
    assert!(keys.iter().any(|k| k == "devices.shifter.curvature"), "{keys:?}");
}

#[test]
fn diodes_have_a_spread_though_a_dark_current_comes_out_below_zero() {
    let folder = tempfile::tempdir().unwrap();
    let measured = |name: &str, responsivity: f64, dark: f64, seed: u64| {
        let mut noise = scatter(seed);
        let row = |i: i32| {
            let power = 1e-5 * f64::from(i);
            format!("{power:e},{:e}\n", responsivity * power + dark + 2e-9 * noise())
        };
        let path = folder.path().join(name);
        fs::write(&path, "power_w,current_a\n".to_owned() + &(0..20).map(row).collect::<String>()).unwrap();
        path
    };
    // An offset of the meter puts one below zero.
    let files = [
        measured("a.csv", 1.08, 40e-9, 1),
        measured("b.csv", 1.10, -10e-9, 2),
        measured("c.csv", 1.12, 30e-9, 3),
    ];
    let output = folder.path().join("out");
    let (_, spread) = calibrate("photodiode", &files, &[], &output);
    let spread = spread.unwrap();
    let dark = fits(&output, "dark_current", "value");
    assert!(dark[1] < 0.0, "{dark:?}");
    let mean = 1e9 * dark.iter().sum::<f64>() / 3.0;
    assert!((said(&spread, "dark_current").0 - mean).abs() < 0.5, "{mean} {spread}");
    let (mean, sigma) = said(&spread, "responsivity");
    assert!((mean - 1.1).abs() < 1e-3 && (sigma.unwrap() / 0.02 - 1.0).abs() < 0.05, "{spread}");
    // The one says why it has no dark current, and still goes into a design.
    let own = fs::read_to_string(output.join("b/fragment.toml")).unwrap();
    assert!(own.contains("# Note: dark_current is left out: -") && !own.contains("\ndark_current"), "{own}");
    for fragment in [&spread, &own] {
        let keys = drawn(fragment, &[], &output);
        assert!(keys.iter().any(|k| k == "devices.photodiode.responsivity"), "{keys:?}");
    }
}
