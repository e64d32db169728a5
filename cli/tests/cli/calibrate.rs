//! `mirage calibrate`.

use std::fs;
use std::path::Path;

use crate::common::{columns_are_documented, mirage};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/openebl-2024-10");

fn data(name: &str) -> String {
    format!("{DATA}/{name}")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn guides_give_a_line_for_the_design_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("guides");
    let files = [data("waveguide_0um.csv"), data("waveguide_34909um.csv")];
    let run =
        mirage().arg("calibrate").arg("waveguide").args(&files).arg("-o").arg(&output).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(String::from_utf8_lossy(&run.stderr).contains("no degree of freedom"));
    for file in ["fit.json", "fit.csv", "fit.svg", "loss.csv", "fragment.toml", "command.json"] {
        assert!(output.join(file).exists(), "{file}");
    }
    columns_are_documented(&output);
    let fit = json(&output.join("fit.json"));
    let loss = &fit["parameters"][0];
    assert_eq!((fit["kind"].as_str(), loss["unit"].as_str()), (Some("waveguide"), Some("dB/cm")));
    assert!(loss["source"].as_str().unwrap().contains("waveguide_34909um.csv"));
    // The fragment drops into the default design: its loss is the fitted one, with its source.
    let run = mirage().args(["design", "show", "--text"]).output().unwrap();
    let design = String::from_utf8(run.stdout).unwrap();
    let fragment = fs::read_to_string(output.join("fragment.toml")).unwrap();
    let line = fragment.lines().find(|l| l.starts_with("loss")).unwrap();
    let (before, after) = design.split_once("[devices.waveguide]\n").unwrap();
    let after = after.split_once('\n').unwrap().1;
    let chip = folder.path().join("chip.toml");
    fs::write(&chip, format!("{before}[devices.waveguide]\n{line}\n{after}")).unwrap();
    let run = mirage().args(["design", "show", "--json"]).arg(&chip).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let shown: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let text = shown.to_string();
    assert!(text.contains("\"M\"") && text.contains("loss over length"), "{text}");
}

#[test]
fn several_files_are_fitted_side_by_side_and_the_same_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let files = [data("mzi_reference.csv"), data("waveguide_0um.csv"), data("ybranch_0.csv")];
    let run = |name: &str, threads: &str| {
        let output = folder.path().join(name);
        let mut command = mirage();
        command.args(["calibrate", "envelope", "--threads", threads]).args(&files).arg("-o").arg(&output);
        let run = command.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        columns_are_documented(&output);
        fs::read(output.join("fits.csv")).unwrap()
    };
    let one = run("one", "1");
    assert_eq!(one, run("two", "2"));
    assert!(folder.path().join("one/mzi_reference/fit.json").exists());
    assert_eq!(String::from_utf8(one).unwrap().lines().filter(|l| l.contains(",peak_power,")).count(), 3);
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let says = |words: &[&str], expected: &str| {
        let run = mirage().arg("calibrate").args(words).arg("-o").arg(folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && text.contains(expected), "{words:?}: {text}");
    };
    let ring = data("ring_double_r10um_g80nm.csv");
    says(&["rings", &ring], "did you mean `ring`?");
    says(&["ring", &ring, "--set", "radius=10"], "write it as 10 um");
    says(&["ring", DATA], "it is a folder");
    says(&["ring", "nowhere.csv"], "cannot read nowhere.csv");
    says(&["envelope", &ring, &ring], "two files are called `ring_double_r10um_g80nm`");
    says(&["waveguide", &ring, "--reference", &ring], "needs no reference");
    let seven = folder.path().join("new.mat");
    fs::write(&seven, b"MATLAB 7.3 MAT-file, Platform: PCWIN64").unwrap();
    says(&["ring", seven.to_str().unwrap(), "--set", "radius=10um"], "save it with save(name, '-v7')");
    // One file of many fails: the others are written, and the failure is said.
    let bad = folder.path().join("bad.csv");
    fs::write(&bad, "wavelength_nm,channel_2_dbm\n1500,-20\n").unwrap();
    says(&["envelope", &data("mzi_reference.csv"), bad.to_str().unwrap()], "1 files were not fitted");
    assert!(folder.path().join("mzi_reference/fit.json").exists());
}

#[test]
fn the_list_names_kinds_and_settings() {
    let run = mirage().args(["calibrate", "--list"]).output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    for word in ["envelope:", "waveguide:", "series:", "mzi:", "ring:", "coupler:", "delta_length, in um"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
