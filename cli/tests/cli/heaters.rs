//! A design that names a layout of heaters or a measured matrix: what it does, how it is kept, and what is wrong with a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{given_design, mirage};
use assert_cmd::assert::OutputAssertExt;

/// The stages of 16 MMUs of `digits` digits.
fn stages(digits: usize) -> Vec<String> {
    (0..16 * digits).map(|s| format!("{}.{}", s / digits, s % digits)).collect()
}

/// `entry` rad/rad between neighbours, nothing further away.
fn matrix(digits: usize, entry: f64) -> String {
    let names = stages(digits);
    let row = |i: usize| -> String {
        let number = |j: usize| if i.abs_diff(j) == 1 { format!(",{entry}") } else { ",0".to_owned() };
        (0..names.len()).map(number).collect()
    };
    let rows: String = names.iter().enumerate().map(|(i, name)| format!("{name}{}\n", row(i))).collect();
    format!("guide,{}\n{rows}", names.join(","))
}

/// The given design with `keys` in the place of the keys of crosstalk that start with one of `gone`.
fn design(gone: &[&str], keys: &str) -> String {
    let text = given_design();
    let (start, end) = (text.find("[devices.crosstalk]").unwrap(), text.find("[devices.ambient]").unwrap());
    let kept = text[start..end].lines().filter(|line| !gone.iter().any(|key| line.starts_with(key)));
    format!("{}{}\n{keys}\n\n{}", &text[..start], kept.collect::<Vec<_>>().join("\n"), &text[end..])
}

fn measured() -> String {
    let keys = "matrix = { value = \"heat/m.csv\", mark = \"S\", source = \"here\" }\nown_bus = 0";
    design(&["coefficient", "decay", "bus_distance"], keys)
}

fn characterize(design: &Path, out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut command = mirage();
    command.arg("characterize").arg(design).args(["--no-sweeps", "--operands", "uniform", "-o"]).arg(out);
    command.assert().success();
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[test]
fn a_run_keeps_its_matrix_and_is_repeated_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("heat")).unwrap();
    fs::write(at("d.toml"), measured()).unwrap();
    let mut channels = Vec::new();
    for (name, entry) in [("none", 0.0), ("some", 2e-5)] {
        fs::write(at("heat/m.csv"), matrix(6, entry)).unwrap();
        let first = characterize(&at("d.toml"), &at(name));
        assert_eq!(first["design-heaters.csv"], fs::read(at("heat/m.csv")).unwrap());
        // The folder alone repeats the run.
        let again = characterize(&at(name).join("design.toml"), &at("again"));
        for (file, bytes) in &first {
            assert!(file == "command.json" || *bytes == again[file], "{file}");
        }
        channels.push(first["channel.csv"].clone());
    }
    let rate = |bytes: &[u8]| -> f64 {
        let channel = mirage_arithmetic::ResidueChannel::read_csv(bytes, "channel.csv").unwrap();
        channel.error_rate(33).unwrap()
    };
    let (without, with) = (rate(&channels[0]), rate(&channels[1]));
    assert!(with > 1.3 * without, "{without} {with}");
    // A run without heaters says that those of an earlier one still lie there.
    fs::write(at("d.toml"), given_design()).unwrap();
    let mut command = mirage();
    command.arg("characterize").arg(at("d.toml")).args(["--operands", "uniform", "--no-sweeps", "-o"]);
    let output = command.arg(at("again")).assert().success().get_output().clone();
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.contains("earlier run") && note.contains("design-heaters.csv"), "{note}");
}

#[test]
fn a_row_given_as_a_layout_is_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut layout = "kind,name,x_um,y_um\n".to_owned();
    for kind in ["heater", "guide"] {
        for (stage, name) in stages(6).iter().enumerate() {
            layout += &format!("{kind},{name},{},0\n", 40 * stage);
        }
    }
    fs::write(at("l.csv"), layout).unwrap();
    fs::write(at("laid.toml"), design(&["pitch"], "layout = \"l.csv\"")).unwrap();
    fs::write(at("row.toml"), given_design()).unwrap();
    let rate = |files: &BTreeMap<String, Vec<u8>>| {
        let channel = mirage_arithmetic::ResidueChannel::read_csv(&files["channel.csv"][..], "c").unwrap();
        [31, 33].map(|m| channel.error_rate(m).unwrap())
    };
    let (laid, row) = (
        rate(&characterize(&at("laid.toml"), &at("laid"))),
        rate(&characterize(&at("row.toml"), &at("row"))),
    );
    assert!((laid[1] / row[1] - 1.0).abs() < 1e-6, "six digits: the row itself, {laid:?} {row:?}");
    assert!(laid[0] < row[0], "five digits: a gap behind every MMU, {laid:?} {row:?}");
}

#[test]
fn wrong_files_are_named_with_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("heat")).unwrap();
    fs::write(at("d.toml"), measured()).unwrap();
    let good = matrix(6, 1e-5);
    for (text, says) in [
        (None, "cannot read"),
        (Some(matrix(5, 1e-5)), "16 MMUs of at least 6 digits are needed: stages 0.0 to 15.5"),
        (Some(good.replacen("0.00001", "0.0x1", 1)), "heat/m.csv:2: `0.0x1` is not a number"),
        (Some(good.replacen("\n0.1,", "\n0.0,", 1)), "heat/m.csv:3: the guide `0.0` is there already"),
        (Some(good.replacen(",15.5\n", ",16.0\n", 1)), "no heater `15.5`"),
        (Some(good.replacen(",15.5\n", ",15.a\n", 1)), "`15.a` is no stage"),
    ] {
        match text {
            Some(text) => fs::write(at("heat/m.csv"), text).unwrap(),
            None => assert!(!at("heat/m.csv").exists()),
        }
        let output =
            mirage().args(["design", "check"]).arg(at("d.toml")).assert().code(2).get_output().clone();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(says) && message.contains("d.toml"), "{message}");
        assert!(!message.contains("panicked"), "{message}");
    }
    fs::write(at("heat/m.csv"), good).unwrap();
    mirage().args(["design", "check"]).arg(at("d.toml")).assert().success();
}
