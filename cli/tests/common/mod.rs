//! What the tests of the command line share.
#![allow(dead_code)] // no test uses all of it

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;

/// The program under test.
pub fn mirage() -> Command {
    Command::cargo_bin("mirage").unwrap()
}

/// Writes a .npy file of float32, by the format's definition; `values` need not fill the shape.
pub fn npy(path: &Path, rows: usize, cols: usize, values: &[f32]) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}");
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    fs::write(path, bytes).unwrap();
}

/// The default design with everything given that it leaves open, so that nothing has to be solved for.
pub fn given_design() -> String {
    let output = mirage().args(["design", "show", "--text"]).output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    for (key, value) in [
        ("power", "\"62 mW\""),
        ("extinction", "\"30.5 dB\""),
        ("bits", "16"),
        ("resolution", "\"3.6 mrad\""),
        ("coefficient", "1.2e-5"),
    ] {
        let open = format!("\n{key} = {{ value = \"required\"");
        assert!(text.contains(&open), "{key}");
        text = text.replacen(&open, &format!("\n{key} = {{ value = {value}"), 1);
    }
    text
}
