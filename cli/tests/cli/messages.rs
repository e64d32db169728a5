//! What the commands say: of files that are something else, of open ports, of folders in use, of targets out of reach, of progress.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::common::{given_design, mirage};

fn run(words: &[&str]) -> (Output, String) {
    let output = mirage().args(words).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, message)
}

fn refused(words: &[&str], says: &[&str]) {
    let (output, message) = run(words);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {message}");
    says.iter().for_each(|text| assert!(message.contains(text), "{words:?}: `{text}` in {message}"));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn files_of_another_kind_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let png = file("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    let latin = file("latin.csv", b"a,b\nr\xe9sum\xe9,2\n");
    let json = file("a.json", b"{\"devices\": 3}");
    let sparameters = file("a.s1p", b"# GHz S RI R 50\n1 0 0\n");
    let out = text(folder.path());
    refused(&["design", "check", &png], &["a design file (TOML); this is a PNG picture"]);
    refused(&["design", "check", &json], &["looks like JSON", "mirage design show --text"]);
    refused(&["design", "check", &latin], &["latin.csv:2:2", "0xE9", "UTF-8"]);
    refused(&["circuit", &png], &["a netlist (YAML or JSON)", "PNG"]);
    refused(&["circuit", &sparameters], &["S-parameters, not a netlist", "mirage sparam", "tabulated"]);
    refused(&["sparam", &png], &["S-parameters", "PNG"]);
    refused(&["characterize", "--operands", &latin, "-o", out], &["latin.csv:2:2", "groups.csv"]);
    refused(&["train", "--channel", &png, "-o", out], &["residue channel", "PNG"]);
    refused(&["simulate", "--gemms", &latin, "-o", out], &["latin.csv:2:2"]);
    // A value of the command line stands in no line of the design.
    let sweep = ["characterize", "-o", out, "--sweep", "devices.laser.power=10:40:3"];
    refused(&sweep, &["with devices.laser.power = 10.0", "such as \"10 mW\""]);
    assert!(!run(&sweep).1.contains('^'));
}

#[test]
fn open_ports_are_named_and_do_no_harm() {
    let circuits = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/circuits");
    let (output, message) = run(&["circuit", &format!("{circuits}/mzi.yml"), "--wavelength", "1.55um"]);
    assert!(
        output.status.success() && message.contains("open ports") && message.contains("split,in1"),
        "{message}"
    );
    let (output, message) = run(&["circuit", &format!("{circuits}/mesh4.yml"), "--wavelength", "1.55um"]);
    assert!(output.status.success() && !message.contains("open ports"), "{message}");
    // A chain of couplers leaves two ports of each open; an unused part is no matter.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain.yml");
    let mut netlist = "instances:\n  unused: straight\n".to_owned();
    (0..20).for_each(|i| netlist += &format!("  c{i}: coupler_ideal\n"));
    netlist += "connections:\n";
    (1..20).for_each(|i| netlist += &format!("  'c{},out0': 'c{i},in0'\n", i - 1));
    netlist += "ports: {in: 'c0,in0', out: 'c19,out0'}\n";
    fs::write(&path, netlist).unwrap();
    let (output, message) = run(&["circuit", text(&path), "--wavelength", "1.55um"]);
    assert!(output.status.success(), "{message}");
    assert!(message.contains("c0,in1; c0,out1;") && message.contains("and 32 more"), "{message}");
    assert!(!message.contains("unused"), "{message}");
}

#[test]
fn legends_of_spectra_run_from_in_to_out() {
    let folder = tempfile::tempdir().unwrap();
    let ring = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/circuits/add-drop-ring.yml");
    let csv = folder.path().join("ring.csv");
    let (output, message) =
        run(&["circuit", ring, "--wavelength", "1.54um:1.56um:101", "-o", text(&csv), "--plot"]);
    assert!(output.status.success(), "{message}");
    let svg = fs::read_to_string(folder.path().join("ring.svg")).unwrap().replace("&gt;", ">");
    for path in ["in -> through", "in -> drop"] {
        assert!(svg.contains(path), "{path}");
    }
    assert!(!svg.contains("-> in<"), "{svg}");
}

const PRODUCTS: &str = "network,layer,pass,M,K,N,repeats\nmine,a,forward,64,64,64,1\n";

#[test]
fn a_folder_takes_one_command_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let products = folder.path().join("products.csv");
    fs::write(&products, PRODUCTS).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let words = ["simulate", "--gemms", text(&products), "-o", text(&out)];
    let lock = fs::File::create(out.join(".mirage.lock")).unwrap();
    lock.lock().unwrap();
    refused(&words, &["another mirage command is writing to", "-o"]);
    // What a killed command leaves is a file that nobody has locked.
    drop(lock);
    assert!(out.join(".mirage.lock").exists());
    let (output, message) = run(&words);
    assert!(output.status.success(), "{message}");
    assert!(!out.join(".mirage.lock").exists());
}

#[test]
fn progress_without_a_terminal_is_on_standard_error_alone() {
    let folder = tempfile::tempdir().unwrap();
    let products = folder.path().join("products.csv");
    fs::write(&products, PRODUCTS).unwrap();
    let out = folder.path().join("out");
    let words = ["simulate", "--gemms", text(&products), "-o", text(&out)];
    let (output, message) = run(&words);
    let first = message.lines().next().unwrap_or_default();
    assert!(first.ends_with(" .."), "{message}");
    assert!(!String::from_utf8(output.stdout).unwrap().contains(first));
    let (output, message) = run(&[&words[..], &["--json"]].concat());
    assert!(output.status.success() && message.is_empty(), "{message}");
}

#[test]
fn a_target_out_of_reach_has_a_cause() {
    let folder = tempfile::tempdir().unwrap();
    let design = folder.path().join("design.toml");
    let write = |from: &str, to: &str| {
        let given = given_design();
        assert!(given.contains(from), "{from}");
        fs::write(&design, given.replacen(from, to, 1)).unwrap();
    };
    let out = folder.path().join("out");
    let words = ["characterize", text(&design), "--operands", "uniform", "--no-sweeps", "-o", text(&out)];
    // Given light that is too little: said, and what would do.
    write("value = \"62 mW\"", "value = \"20 mW\"");
    let (output, message) = run(&words);
    assert!(output.status.success(), "{message}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("is not met at the given 2.000e-2 W") && said.contains("would do"), "{said}");
    // Light to be solved for that no laser may have.
    write("value = \"62 mW\"", "value = \"required\"");
    let text = fs::read_to_string(&design).unwrap();
    fs::write(
        &design,
        text.replacen("max_power = { value = \"500 mW\"", "max_power = { value = \"10 mW\"", 1),
    )
    .unwrap();
    refused(
        &words,
        &["unreachable", "devices.laser.max_power = 10 mW", "mW would do", "owes most", "help: raise"],
    );
    // In a sweep it is a result with its cause.
    write("value = \"62 mW\"", "value = \"62 mW\"");
    let sweep = [&words[..4], &words[5..], &["--sweep", "devices.trim.resolution=3mrad:60mrad:2"]].concat();
    let (output, message) = run(&sweep);
    assert!(output.status.success(), "{message}");
    let table = fs::read_to_string(out.join("sweep.csv")).unwrap();
    assert!(table.lines().last().unwrap().contains("trim residue"), "{table}");
    crate::common::columns_are_documented(&out);
}
