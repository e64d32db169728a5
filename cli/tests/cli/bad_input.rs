//! Wrong input: one clear message that says where, exit code 2, no panic, nothing half-written.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{mirage, npy};
use assert_cmd::assert::OutputAssertExt;

/// Runs a command that must fail, and returns its message.
fn fails(command: &mut Command) -> String {
    let output = command.assert().code(2).get_output().clone();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!message.contains("panicked"), "{message}");
    assert!(output.stdout.is_empty());
    assert!(message.starts_with("error: ") && !message.contains("\nerror: "), "{message}");
    message
}

fn default_design() -> String {
    let output = mirage().args(["design", "show", "--text"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What `design check` says of the default design with one text replaced.
fn changed_design(from: &str, to: &str) -> String {
    let text = default_design();
    assert!(text.contains(from), "the default design no longer has `{from}`");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.toml");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    fails(mirage().args(["design", "check"]).arg(&path))
}

#[test]
fn the_default_design_is_sound() {
    mirage().args(["design", "check"]).assert().success();
}

#[test]
fn wrong_designs_name_line_and_key() {
    for (from, to, says) in [
        // an unknown key
        ("mantissa_bits =", "mantisa_bits =", "did you mean `mantissa_bits`?"),
        // a missing unit
        ("value = \"5 ns\"", "value = \"5\"", "has no unit"),
        // a wrong unit
        ("value = \"10 GHz\"", "value = \"10 GB\"", "`GB` is not a unit of a frequency"),
        // an unphysical value
        ("value = \"1.1 A/W\"", "value = \"-1.1 A/W\"", "no physical responsivity"),
        ("value = \"20 %\"", "value = \"120 %\"", "no physical ratio"),
        // moduli that share a factor
        ("value = [31, 32, 33]", "value = [31, 32, 34]", "share the factor 2"),
        // a range too small for the format
        ("value = [31, 32, 33]", "value = [15, 16, 17]", "reaches ±3600"),
        // an unknown section, an unknown network, a wrong mark
        ("[run]", "[ran]", "did you mean `run`?"),
        ("\"resnet50\"", "\"resnet51\"", "did you mean ResNet-50?"),
        ("mark = \"R+\"", "mark = \"Z\"", "not a mark"),
        // a dataflow that photonic units do not have: before anything is solved
        (
            r#"dataflow         = { value = "DF1""#,
            r#"dataflow         = { value = "DF3""#,
            "use DF1, DF2, OPT1 or OPT2",
        ),
        // no TOML at all
        ("[run]", "[run", ""),
    ] {
        let message = changed_design(from, to);
        assert!(message.contains("changed.toml:"), "{message}");
        assert!(message.contains(says), "{from} -> {to}: {message}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let message = fails(mirage().args(["run", "no-such-design.toml"]));
    assert!(message.contains("no-such-design.toml"), "{message}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for command in ["run", "characterize", "train", "simulate"] {
        let message = fails(mirage().arg(command).arg("-o").arg(file.join("results")));
        assert!(message.contains("cannot write"), "{command}: {message}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn wrong_matrices_and_channels_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    npy(&at("a.npy"), 2, 3, &[1.0; 6]);
    npy(&at("cut.npy"), 2, 3, &[1.0; 5]);
    npy(&at("b.npy"), 3, 2, &[1.0; 6]);
    fs::write(at("text.npy"), "1 2 3").unwrap();
    let head = "# mirage residue channel 1\nchip,unit,row,modulus,true,read,probability,lower,upper\n";
    fs::write(at("sum.csv"), format!("{head},,,31,0,0,0.9,,\n")).unwrap();
    fs::write(at("cut.csv"), format!("{head},,,31,0,0")).unwrap();
    fs::write(at("other.csv"), format!("{head},,,2,0,0,1,,\n,,,2,1,1,1,,\n")).unwrap();
    for (a, b, channel, says) in [
        ("cut.npy", "b.npy", None, "cut.npy: a 2 x 3 float32 array needs 24 bytes of data; the file has 20"),
        ("text.npy", "b.npy", None, "text.npy: is no .npy file"),
        ("none.npy", "b.npy", None, "none.npy"),
        ("a.npy", "a.npy", None, "must equal the rows"),
        (
            "a.npy",
            "b.npy",
            Some("sum.csv"),
            "sum.csv:3: modulus 31, true residue 0: the probabilities sum to 0.9",
        ),
        ("a.npy", "b.npy", Some("cut.csv"), "cut.csv:3"),
        ("a.npy", "b.npy", Some("other.csv"), "no table for modulus 31"),
        ("a.npy", "b.npy", Some("none.csv"), "none.csv"),
    ] {
        let mut command = mirage();
        command.arg("gemm").arg(at(a)).arg(at(b)).arg("-o").arg(at("c.npy"));
        if let Some(channel) = channel {
            command.arg("--channel").arg(at(channel));
        }
        let message = fails(&mut command);
        assert!(message.contains(says), "{message}");
        assert!(!at("c.npy").exists());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 7, "a temporary file was left behind");
}

#[test]
fn wrong_images_say_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let train = |data: &Path| {
        let mut command = mirage();
        command
            .args(["train", "--arithmetic", "fp32", "--epochs", "1", "--data"])
            .arg(data)
            .arg("-o")
            .arg(&out);
        fails(&mut command)
    };
    let message = train(folder.path());
    assert!(message.contains("train-images-idx3-ubyte"), "{message}");
    // Two images of 28 x 28 are promised, one and a half are there.
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28];
    images.extend([7; 28 * 42]);
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte", &images);
    write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 1, 2]);
    write("t10k-images-idx3-ubyte", &images);
    write("t10k-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 1, 2]);
    let message = train(folder.path());
    assert!(message.contains("train-images-idx3-ubyte"), "{message}");
    images[3] = 1;
    write("train-images-idx3-ubyte", &images);
    let message = train(folder.path());
    assert!(message.contains("train-images-idx3-ubyte"), "{message}");
}

#[test]
fn wrong_words_about_circuits() {
    let file = |path: &str| format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    let (mzi, splitter) = (file("data/circuits/mzi.yml"), file("data/siepic-fdtd/ybranch_te1550.sparam"));
    for (args, says) in [
        (&["circuit", &mzi, "--set", "long.length=1", "--set", "long.length=2"][..], "given twice"),
        (&["circuit", &mzi, "--wavelength", "-1um"][..], "no physical length"),
        (&["sparam", &splitter, "--sweep", "x"][..], "--sweep x: `x` is not name=value"),
        (&["sparam", &splitter, "--convention", "engineering"][..], "--convention is for Touchstone files"),
        (&["sparam", &splitter, "--mode", "x"][..], "a whole number from 0"),
    ] {
        let message = fails(mirage().args(args));
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn wrong_words_on_the_command_line() {
    for (args, says) in [
        (&["train", "--sweep", "error-rate=2:1:3"][..], "no rate"),
        (&["train", "--error-shape", "slipp"][..], "did you mean"),
        (&["simulate", "--network", "resnet20"][..], "resnet"),
        (&["simulate", "--network", "resnet18", "--axis", "seq=3"][..], "cannot be used with"),
        (&["simulate", "--axis", "seq=3"][..], "--onnx"),
        (
            &["simulate", "--network", "resnet18", "--samples", "18446744073709551615", "--epochs", "900"][..],
            "--epochs 900: ",
        ),
        (&["train", "--error-shape", "slip"][..], "--error-rate"),
        (
            &["train", "--sweep", "error-rate=1e-3:1e-2:2", "--protection", "none,none"][..],
            "names none twice",
        ),
        (&["characterize", "--operands", "nothing-here.csv"][..], "nothing-here.csv"),
        (&["characterize", "--operands", "trainin"][..], "give `training`, `uniform`, or the groups.csv"),
        (&["characterize", "--importance", "100"][..], "a whole number from 250 to 10000000"),
        (&["characterize", "--importance", "1e4"][..], "a whole number from 250 to 10000000"),
        (&["characterize", "--sobol", "-3"][..], "a whole number from 8 to 65536"),
        (&["characterize", "--yield", "2.5"][..], "a whole number from 1 to 100000"),
        (&["characterize", "--chip", "-1"][..], "a whole number from 0"),
        (&["stream", "--modulus", "30"][..], "the design's moduli are [31, 32, 33]"),
        (&["stream", "--sampling", "-5ps"][..], "it must be at least 0"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let message = fails(mirage().args(args).arg("-o").arg(folder.path().join("out")));
        assert!(message.contains(says), "{message}");
    }
}
