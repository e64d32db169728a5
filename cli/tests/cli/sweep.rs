//! What a sweep holds and what it solves for.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{given_design, mirage};
use assert_cmd::assert::OutputAssertExt;

/// Rows of sweep.csv: (extinction, modulus, error rate, laser power, required laser power, required, reachable).
type Point = (f64, String, Option<f64>, Option<f64>, Option<f64>, String, String);

fn sweep(design: &Path, folder: &Path, extra: &[&str]) -> (serde_json::Value, Vec<Point>) {
    let mut command: Command = mirage();
    command.arg("characterize").arg(design).args(["--operands", "uniform", "--json"]).args(extra);
    command.args(["--sweep", "devices.ring.extinction=10.5dB:30.5dB:3", "-o"]).arg(folder);
    let summary = command.assert().success().get_output().stdout.clone();
    let mut reader = csv::Reader::from_path(folder.join("sweep.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows = reader.records().map(|r| {
        let row = r.unwrap();
        let get = |name: &str| row[header.iter().position(|h| h == name).unwrap()].to_owned();
        let number = |name: &str| get(name).parse::<f64>().ok();
        (
            number("devices.ring.extinction [dB]").unwrap(),
            get("modulus"),
            number("error_rate"),
            number("laser_power_w"),
            number("required_laser_power_w"),
            get("required"),
            get("reachable"),
        )
    });
    let rows = rows.collect();
    (serde_json::from_slice(&summary).unwrap(), rows)
}

#[test]
fn what_is_open_is_held_or_solved_at_each_point() {
    let folder = tempfile::tempdir().unwrap();
    let (design, held, solved) =
        (folder.path().join("open.toml"), folder.path().join("held"), folder.path().join("solved"));
    let text = given_design();
    let (power, target) = ("\"62 mW\"", "target_error_rate = { value = 1e-8");
    assert!(text.contains(power) && text.contains(target));
    let text =
        text.replacen(power, "\"required\"", 1).replacen(target, "target_error_rate = { value = 1e-5", 1);
    fs::write(&design, text).unwrap();

    // Held: the light is that of the design, whose own point has the channel's rates to the last bit.
    let (summary, rows) = sweep(&design, &held, &[]);
    let power = summary["laser_power_w"].as_f64().unwrap();
    assert_eq!(rows.len(), 9);
    assert!(rows.iter().all(|r| r.3 == Some(power) && r.5 == "held"), "{rows:?}");
    for (row, channel) in rows[6..].iter().zip(summary["channel"].as_array().unwrap()) {
        assert_eq!(row.0, 30.5);
        assert_eq!(
            (row.1.as_str(), row.2),
            (channel["modulus"].to_string().as_str(), channel["error_rate"].as_f64())
        );
        assert!((row.4.unwrap() / power - 1.0).abs() < 0.02, "{row:?}");
    }
    assert!(rows[..3].iter().all(|r| r.6 == "no" && r.2.unwrap() > 0.1), "no light mends 10.5 dB: {rows:?}");

    // Solved: every point that can has the light that it needs; the others have no numbers.
    let (_, rows) = sweep(&design, &solved, &["--resolve"]);
    assert!(rows.iter().all(|r| r.5 == "solved"));
    assert!(rows[..3].iter().all(|r| r.6 == "no" && r.2.is_none() && r.3.is_none()), "{rows:?}");
    let worst = rows[6..].iter().filter_map(|r| r.2).fold(0.0, f64::max);
    assert!(worst <= 1e-5 && worst > 0.99e-5, "{worst:e}");
    assert_eq!(rows[6].3, Some(power));
}
