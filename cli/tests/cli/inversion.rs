//! Inverted tolerances beside the error rates that the same design has at them, and importance sampling beside the channel.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{columns_are_documented, given_design, mirage, table};
use assert_cmd::assert::OutputAssertExt;

/// The given design with a target that its light meets.
fn lenient_design() -> String {
    let text = given_design();
    let target = "target_error_rate = { value = 1e-8";
    assert!(text.contains(target));
    text.replacen(target, "target_error_rate = { value = 1e-6", 1)
}

/// 64 reads of random mantissas of four bits: quick to average over.
fn few_groups() -> String {
    let names = ["first", "second"].map(|operand| (0..16).map(move |i| format!("{operand}_{i}")));
    let names: Vec<String> = names.into_iter().flatten().collect();
    let mut text = format!("# mirage group sample 1\n# mantissa_bits: 4\n{}\n", names.join(","));
    let mut state = 12345u64;
    for _ in 0..64 {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (((state >> 33) % 15) as i64 - 7).to_string()
        };
        let values: Vec<String> = names.iter().map(|_| next()).collect();
        text += &format!("{}\n", values.join(","));
    }
    text
}

/// Runs `mirage characterize` on uniform operands, or on few groups; the summary.
fn characterize(design: &str, few: bool, folder: &Path, extra: &[&str]) -> serde_json::Value {
    fs::create_dir_all(folder).unwrap();
    let (path, groups) = (folder.join("asked.toml"), folder.join("few.csv"));
    fs::write(&path, design).unwrap();
    let mut command = mirage();
    command.arg("characterize").arg(&path).args(["--no-sweeps", "--json", "--operands"]);
    if few {
        fs::write(&groups, few_groups()).unwrap();
        command.arg(&groups);
    } else {
        command.arg("uniform");
    }
    let output = command.args(extra).arg("-o").arg(folder).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

/// The text with the value of a key of a section replaced.
fn with(text: &str, section: &str, key: &str, value: &str) -> String {
    let head = format!("[{section}]");
    let start = text.find(&head).unwrap_or_else(|| panic!("no {head}"));
    let line = start + text[start..].find(&format!("\n{key} = ")).unwrap() + 1;
    let end = line + text[line..].find('\n').unwrap();
    format!("{}{key} = {value}{}", &text[..line], &text[end..])
}

#[test]
fn limits_are_limits_of_the_design_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let design = lenient_design();
    characterize(&design, true, &at("inverted"), &["--invert"]);
    fs::remove_file(at("inverted").join("few.csv")).unwrap();
    columns_are_documented(&at("inverted"));
    assert!(!at("inverted").join("inversion.journal").exists());
    let rows = table(at("inverted").join("inversion.csv"));
    let target = 1e-6;
    // A limit meets the target; without one not even the tightest value does.
    for row in &rows {
        let rate: f64 = row["error_rate"].parse().unwrap();
        assert_eq!(rate <= target, row["verdict"] != "unreachable", "{row:?}");
        assert_eq!(row["limit"].is_empty(), row["verdict"] == "unreachable", "{row:?}");
    }
    let limit = |key: &str, margin: f64| -> f64 {
        let found = rows.iter().find(|r| r["parameter"] == key && r["margin_db"].parse() == Ok(margin));
        let row = found.unwrap_or_else(|| panic!("{key} at {margin} dB"));
        assert_eq!(row["verdict"], "limit", "{row:?}");
        row["limit"].parse().unwrap()
    };
    // As noisy a laser as the model takes still does.
    let noise = |r: &&BTreeMap<String, String>| r["parameter"] == "devices.laser.relative_intensity_noise";
    assert!(rows.iter().filter(noise).all(|r| r["verdict"] == "no limit"), "{rows:?}");
    // More light allows more of everything that is neither light nor its noise.
    for key in ["devices.trim.resolution", "devices.crosstalk.coefficient"] {
        assert!(limit(key, 0.0) < limit(key, 1.0) && limit(key, 1.0) < limit(key, 3.0), "{key}");
    }
    let power = 62.0 * 10f64.powf(0.1);
    let lit = with(&design, "devices.laser", "power", &format!("\"{power:?} mW\""));
    // Key, and its value in the file at the limit and one step looser.
    let trim = limit("devices.trim.resolution", 1.0);
    let extinction = limit("devices.ring.extinction", 1.0);
    let bits = limit("devices.dac.bits", 1.0);
    let laser = limit("devices.laser.power", 0.0);
    let second_digit = |x: f64| 10f64.powf(x.log10().floor() - 1.0);
    for (section, key, base, tight, loose) in [
        (
            "devices.trim",
            "resolution",
            &lit,
            format!("\"{trim:?} rad\""),
            format!("\"{:?} rad\"", trim + second_digit(trim)),
        ),
        (
            "devices.ring",
            "extinction",
            &lit,
            format!("\"{extinction} dB\""),
            format!("\"{} dB\"", extinction - 0.5),
        ),
        ("devices.dac", "bits", &lit, format!("{bits}"), format!("{}", bits - 1.0)),
        (
            "devices.laser",
            "power",
            &design,
            format!("\"{laser:?} W\""),
            format!("\"{:?} W\"", laser - second_digit(laser)),
        ),
    ] {
        let worst = |name: &str, value: &str| {
            let summary =
                characterize(&with(base, section, key, value), true, &at(&format!("{key}-{name}")), &[]);
            summary["worst_rate"].as_f64().unwrap()
        };
        let (met, missed) = (worst("tight", &tight), worst("loose", &loose));
        assert!(met <= target && missed > target, "{section}.{key}: {tight} {met:e}, {loose} {missed:e}");
    }
}

#[test]
fn importance_sampling_stands_beside_the_channel() {
    let folder = tempfile::tempdir().unwrap();
    for few in [true, false] {
        let at = folder.path().join(if few { "given" } else { "drawn" });
        let summary = characterize(&lenient_design(), few, &at, &["--importance", "1900"]);
        assert!(!at.join("importance.journal").exists());
        let rows = table(at.join("importance.csv"));
        assert_eq!(rows.len(), 3);
        for (row, channel) in rows.iter().zip(summary["channel"].as_array().unwrap()) {
            let number = |name: &str| row[name].parse::<f64>().unwrap();
            assert_eq!(row["modulus"], channel["modulus"].to_string());
            assert_eq!(Some(number("channel_error_rate")), channel["error_rate"].as_f64());
            // Whole batches.
            assert_eq!(number("draws"), 2000.0);
            let (rate, error) = (number("error_rate"), number("standard_error"));
            assert!(((number("upper") - rate) / error - 1.96).abs() < 1e-6);
            assert!((number("ratio") * number("channel_error_rate") / rate - 1.0).abs() < 1e-12);
            assert!(number("effective_draws") > 100.0, "{row:?}");
            // Drawn groups leave more in the mean than the interval says.
            assert_eq!(row["verdict"], if few { "agrees" } else { "not judged" }, "{row:?}");
            assert!(!few || error < 0.05 * rate, "{row:?}");
        }
        if !few {
            columns_are_documented(&at);
        }
    }
}
