//! `mirage sparam`: what it says of the published tables, and what it writes.

use std::fs;

use crate::common::mirage;
use assert_cmd::assert::OutputAssertExt;

fn data(name: &str) -> String {
    format!("{}/../data/siepic-fdtd/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn printed(arguments: &[&str]) -> String {
    let output = mirage().arg("sparam").args(arguments).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).unwrap()
}

#[test]
fn ports_range_reciprocity_and_passivity_are_reported() {
    let text = printed(&[&data("ebeam_bdc_te1550.sparam")]);
    for word in
        ["port_1, port_2, port_3, port_4", "1.6000", "51 points", "3.29e-3", "1.006876", "not passive"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let text = printed(&[&data("ybranch_te1550.sparam")]);
    assert!(text.contains("1, 2 (--mode") && text.contains(": passive"), "{text}");
    let summary: serde_json::Value =
        serde_json::from_str(&printed(&[&data("halfring_r10um_g100nm.dat"), "--json"])).unwrap();
    assert_eq!(summary["passive"], false);
    assert!((summary["largest_singular_value"].as_f64().unwrap() - 1.009_007_639).abs() < 1e-9);
}

#[test]
fn tables_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let coupler = data("ebeam_bdc_te1550.sparam");
    printed(&[&coupler, "--passivity", "enforce", "-o", &at("c.s4p"), "--output-convention", "engineering"]);
    let back = printed(&[&at("c.s4p"), "--convention", "engineering", "--passivity", "test", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&back).unwrap();
    assert_eq!((&summary["passive"], &summary["points"]), (&true.into(), &51.into()));
    printed(&[&coupler, "-o", &at("c.csv")]);
    let csv = fs::read_to_string(at("c.csv")).unwrap();
    assert!(csv.starts_with("wavelength_um,out,in,re,im\n1.499997"), "{csv:.80}");
    assert_eq!(csv.lines().count(), 1 + 51 * 16);
}

#[test]
fn faults_end_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("c.s2p").display().to_string();
    let coupler = data("ebeam_bdc_te1550.sparam");
    for (arguments, says) in [
        (vec![coupler.as_str(), "--passivity", "test"], "is not passive"),
        (vec![&coupler, "-o", &wrong], ".s4p for Touchstone"),
        (vec![&coupler, "--mode", "7"], "mode 7 is not in the file"),
        (vec![&coupler, "--sweep", "gap=1"], "does not sweep `gap`"),
        (vec!["nothing.dat"], "cannot be read"),
    ] {
        let output = mirage().arg("sparam").args(arguments).assert().code(2);
        let text = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(text.contains(says), "{says}: {text}");
    }
}
