//! Data of the wrong kind: each is refused with a reason, and none becomes a number of a design.

use super::synthetic::{grid, measured, ring, solve};
use super::tests::{ask, input};
use super::*;
use crate::fit::tests::normal;
use rand::SeedableRng;
use rand_pcg::Pcg64;

const RING: &str = "ring_double_r10um_g80nm.csv";
const MZI: &str = "mzi_dl100um.csv";

fn refusal(kind: &str, inputs: &[Input], set: &[&str]) -> String {
    let kind = Kind::named(kind).unwrap();
    match kind.fit(inputs, None, &Given::read(set, kind.settings).unwrap()) {
        Ok(found) => panic!("{} {set:?} is accepted: {:?}", kind.name, found.fit.parameters),
        Err(error) => error.to_string(),
    }
}

fn of(kind: &str, files: &[&str], set: &[&str]) -> String {
    refusal(kind, &files.iter().map(|f| input(f)).collect::<Vec<_>>(), set)
}

fn table(nm: &[f64], dbm: impl Fn(usize) -> f64) -> Vec<u8> {
    let rows: Vec<String> = nm.iter().enumerate().map(|(i, nm)| format!("{nm:.4},{:.4}", dbm(i))).collect();
    format!("wavelength_nm,channel_2_dbm\n{}\n", rows.join("\n")).into_bytes()
}

/// No device at all, only noise.
#[test]
fn noise_is_no_device() {
    let mut random = Pcg64::seed_from_u64(5);
    let nm: Vec<f64> = (0..1500).map(|i| 1530.0 + 40.0 * f64::from(i) / 1499.0).collect();
    let noise: Vec<f64> = nm.iter().map(|_| -30.0 + 0.1 * normal(&mut random)).collect();
    let input = |file: &str| [Input { file: file.into(), bytes: table(&nm, |i| noise[i]) }];
    for (kind, file) in [("ring", "noise_r10um.csv"), ("mzi", "noise_dl100um.csv"), ("envelope", "noise.csv")]
    {
        let said = refusal(kind, &input(file), &[]);
        let reason = ["explains 0 %", "end of its range", "cannot determine", "no minimum"]
            .iter()
            .any(|r| said.contains(r));
        assert!(reason, "{kind}: {said}");
    }
}

/// One device taken for another.
#[test]
fn a_device_of_another_kind_is_refused() {
    // Where a search for what is not there comes to rest, and so which check meets it first, hangs on small things.
    let lost = "explains|end of its range|cannot determine|no minimum";
    let interferometer = ["structure=interferometer", "through=3", "cross=2"];
    let couplers = ["dc_length0um.csv", "dc_length5um.csv"];
    let cases: [(&str, &[&str], &[&str], &str); 14] = [
        ("ring", &[MZI], &["radius=10um"], lost),
        ("ring", &["mzi_reference.csv"], &["radius=10um"], lost),
        ("ring", &[RING], &["radius=20um"], lost),
        ("ring", &[RING], &["through=1", "drop=2"], lost),
        ("mzi", &[RING], &["delta_length=62.83um"], lost),
        ("mzi", &[RING], &["delta_length=62.83um", "channel=1"], lost),
        ("mzi", &["mzi_reference.csv"], &["delta_length=100um"], lost),
        ("mzi", &[MZI], &["delta_length=80um"], lost),
        ("mzi", &[MZI], &["delta_length=200um"], lost),
        ("envelope", &[MZI], &[], "explains 65 %"),
        ("waveguide", &[MZI, RING], &["length=0um,5000um"], "all below zero"),
        (
            "waveguide",
            &["waveguide_34909um.csv", "waveguide_0um.csv"],
            &["length=0um,34909um"],
            "all below zero",
        ),
        ("coupler", &couplers, &[], "it looks like an interferometer"),
        ("coupler", &couplers, &interferometer, lost),
    ];
    for (kind, files, set, reason) in cases {
        let said = of(kind, files, set);
        assert!(reason.split('|').any(|r| said.contains(r)), "{kind} {files:?} {set:?}: {said}");
    }
}

/// What a file is twice.
#[test]
fn the_same_data_twice_are_refused() {
    assert!(
        of("waveguide", &["waveguide_0um.csv", "waveguide_0um.csv"], &["length=0um,5000um"])
            .contains("the same data stand in both")
    );
    // A comment more does not make it another measurement.
    let mut other = input("waveguide_0um.csv");
    other.bytes = [b"# again\n".as_slice(), &other.bytes].concat();
    other.file = "waveguide_1um.csv".into();
    assert!(
        refusal("waveguide", &[input("waveguide_0um.csv"), other], &[])
            .contains("the same data stand in both")
    );
    let kind = Kind::named("mzi").unwrap();
    let one = input(MZI);
    let error = kind.fit(std::slice::from_ref(&one), Some(&one), &Given::default()).unwrap_err().to_string();
    assert!(error.contains("the same data stand in both"), "{error}");
    assert!(of("ring", &[RING], &["drop=2"]).contains("both ports are channel 2"));
}

/// What may be true, but seldom is, is said.
#[test]
fn a_guide_of_many_decibels_gets_a_note() {
    let found = ask("waveguide", &["ybranch_0.csv", "ybranch_56.csv"], &["length=0um,5000um"]).unwrap();
    assert!(
        found.fit.notes.iter().any(|n| n.contains("far more than strip guides have")),
        "{:?}",
        found.fit.notes
    );
}

/// Decibels with the sign turned.
#[test]
fn loss_counted_upwards_is_refused() {
    let w = grid(1530.0, 1570.0, 1500);
    let mut random = Pcg64::seed_from_u64(6);
    let power: Vec<f64> =
        w.iter().map(|w| 0.01 + (418e-6 * std::f64::consts::PI / w).cos().powi(2)).collect();
    let right = measured("turned_dl100um.csv", &w, &[(2, &power)], 0.0, &mut random);
    let text = String::from_utf8(right.bytes).unwrap();
    let turned = text.replace(",-", ",");
    let said = refusal("mzi", &[Input { file: right.file, bytes: turned.into_bytes() }], &[]);
    assert!(said.contains("end of its range") || said.contains("no minimum"), "{said}");
}

/// Couplers of 0.10 and 0.07 taken as alike: the level of the drop port gives it away.
#[test]
fn couplers_that_are_not_alike_are_noticed() {
    let w = grid(1535.0, 1565.0, 800);
    let ask = |couplers: (f64, f64), set: &[&str]| {
        let power = solve(&ring(couplers, 40.0), &[("through", "in"), ("drop", "in")], &w);
        let mut random = Pcg64::seed_from_u64(8);
        let input = measured("r.csv", &w, &[(2, &power[0]), (1, &power[1])], 0.0, &mut random);
        let kind = Kind::named("ring").unwrap();
        let set = [&["radius=10um", "envelope_degree=3", "couplers=equal"], set].concat();
        kind.fit(&[input], None, &Given::read(&set, kind.settings).unwrap())
    };
    let error = ask((0.1, 0.07), &[]).unwrap_err().to_string();
    assert!(error.contains("couplers may differ") && error.contains("--set couplers=free"), "{error}");
    let noted = ask((0.1, 0.07), &["repeatability=0.6dB"]).unwrap();
    assert!(noted.fit.notes.iter().any(|n| n.contains("couplers may differ")), "{:?}", noted.fit.notes);
    // The note goes with the numbers, and so does what a design needs beside them.
    let text = noted.fragment.text();
    assert!(text.contains("# Note: with couplers=equal the drop port is"), "{text}");
    for line in [
        "one number with coupling_bus",
        "detuning = {",
        "lock_residue = {",
        "[devices.unit]\nloss_accounting",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let alike = ask((0.08, 0.08), &[]).unwrap();
    assert!(!alike.fit.notes.iter().any(|n| n.contains("couplers may differ")), "{:?}", alike.fit.notes);
}
