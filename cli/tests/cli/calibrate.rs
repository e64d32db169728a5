//! `mirage calibrate`.

use std::fs;
use std::path::Path;

use crate::common::{columns_are_documented, dropped_in, mirage};

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

#[test]
fn every_fragment_drops_into_the_built_in_design() {
    let folder = tempfile::tempdir().unwrap();
    let run = mirage().args(["design", "show", "--text"]).output().unwrap();
    let design = String::from_utf8(run.stdout).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let line = |n: usize, f: &dyn Fn(f64) -> String| (0..n).map(|i| f(i as f64)).collect::<String>();
    // Small and known scatter, so that no curve is exact.
    let rough = |i: f64| 1e-3 * (7.0 * i).sin();
    let shifter = write(
        "shifter.csv",
        &format!(
            "voltage_v,phase_rad\n{}",
            line(26, &|i| format!("{},{}\n", 0.1 * i, 0.3 * i + 2e-3 * i * i + rough(i)))
        ),
    );
    let step = write(
        "step.csv",
        &format!(
            "time_s,phase_rad\n{}",
            line(60, &|i| format!("{},{}\n", 1e-10 * i, 1.0 - (-i / 12.0).exp() + rough(i)))
        ),
    );
    let diode = write(
        "diode.csv",
        &format!(
            "power_w,current_a\n{}",
            line(12, &|i| format!("{},{}\n", 1e-4 * i, 3e-8 + 1.05e-4 * i * (1.0 + 0.01 * rough(i))))
        ),
    );
    let stages: Vec<String> = (0..96).map(|s| format!("{}.{}", s / 6, s % 6)).collect();
    let mut heat = "heater,guide,drive_rad,phase_rad\n".to_owned();
    for (i, heater) in stages.iter().enumerate() {
        for (j, guide) in stages.iter().enumerate().filter(|(j, _)| *j != i) {
            let slope = 1e-4 / (1.0 + i.abs_diff(j) as f64);
            let rows = [1.0, 2.0, 3.0]
                .map(|d| format!("{heater},{guide},{d},{}\n", slope * d + 1e-6 * rough(d + i as f64)));
            heat += &rows.concat();
        }
    }
    let heat = write("heat.csv", &heat);
    let ring = data("ring_double_r10um_g80nm.csv");
    let guides = vec![data("waveguide_0um.csv"), data("waveguide_34909um.csv")];
    let branches = vec![data("ybranch_0.csv"), data("ybranch_56.csv")];
    let law: &[&str] = &["coefficient", "decay", "bus_distance"];
    // Kind, files, setting, keys that give way, what the source of a value says.
    type Case<'a> = (&'a str, Vec<String>, &'a str, &'a [&'a str], &'a str);
    let cases: [Case<'_>; 7] = [
        ("ring", vec![ring], "couplers=equal", &[], "coupling_detour"),
        ("waveguide", guides, "channel=2", &[], "loss over length"),
        ("series", branches, "channel=2", &[], "loss over the number"),
        ("phase-shifter", vec![shifter], "length=30um", &[], "phase over voltage"),
        ("step-response", vec![step], "onset=0s", &[], "one exponential"),
        ("photodiode", vec![diode], "intensity_noise=no", &[], "current over power"),
        ("thermal-crosstalk", vec![heat], "offset=none", law, "slopes of phase"),
    ];
    for (kind, files, set, gone, says) in cases {
        let output = folder.path().join(kind);
        let mut command = mirage();
        command.args(["calibrate", kind]).args(&files).args(["--set", set]).arg("-o").arg(&output);
        let run = command.output().unwrap();
        assert!(run.status.success(), "{kind}: {}", String::from_utf8_lossy(&run.stderr));
        let fragment = fs::read_to_string(output.join("fragment.toml")).unwrap();
        let chip = output.join("chip.toml");
        fs::write(&chip, dropped_in(&design, &fragment, &["[devices.ring]"], gone)).unwrap();
        let run = mirage().args(["design", "show", "--json"]).arg(&chip).output().unwrap();
        assert!(run.status.success(), "{kind}: {}", String::from_utf8_lossy(&run.stderr));
        assert!(String::from_utf8(run.stdout).unwrap().contains(says), "{kind}");
    }
}

#[test]
fn data_of_another_kind_leave_no_fragment() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |words: &[&str], reason: &str| {
        let output = folder.path().join("out");
        let run = mirage().arg("calibrate").args(words).arg("-o").arg(&output).output().unwrap();
        let text = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && text.contains(reason), "{words:?}: {text}");
        assert!(!output.join("fragment.toml").exists());
    };
    let guides = [data("waveguide_34909um.csv"), data("waveguide_0um.csv")];
    refused(&["waveguide", &guides[0], &guides[1], "--set", "length=0um,34909um"], "all below zero");
    let mzi = data("mzi_dl100um.csv");
    refused(&["mzi", &mzi, "--reference", &mzi], "the same data stand in both");
}
