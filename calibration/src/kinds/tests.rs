//! Measured spectra against what can be read off them by hand (docs/calibration.md has the hand's way), and errors.

use super::*;

pub(super) fn input(name: &str) -> Input {
    let path = format!("{}/../data/openebl-2024-10/{name}", env!("CARGO_MANIFEST_DIR"));
    Input { file: name.into(), bytes: std::fs::read(path).unwrap() }
}

pub(super) fn ask(kind: &str, files: &[&str], set: &[&str]) -> Result<Outcome, CalibrationError> {
    let kind = Kind::named(kind)?;
    let inputs: Vec<Input> = files.iter().map(|f| input(f)).collect();
    kind.fit(&inputs, None, &Given::read(set, kind.settings)?)
}

fn value(outcome: &Outcome, name: &str) -> f64 {
    outcome.fit.get(name).unwrap_or_else(|| panic!("no {name}")).value
}

const RING: &str = "ring_double_r10um_g80nm.csv";

/// Both group indices, at 1550 nm: within 0.3 % of each other; by hand 4.181 from either.
#[test]
fn ring_and_interferometer_agree_on_the_group_index() {
    let mzi = ask("mzi", &["mzi_dl100um.csv"], &[]).unwrap();
    let ring = ask("ring", &[RING], &["couplers=equal"]).unwrap();
    let (a, b) = (value(&mzi, "group_index"), value(&ring, "group_index"));
    assert!((a / b - 1.0).abs() < 3e-3, "{a} {b}");
    assert!((a - 4.181).abs() < 8e-3 && (b - 4.181).abs() < 4e-3, "{a} {b}");
    // 13 fringes' period by hand: 1549.996 to 1555.768 nm.
    assert!((value(&mzi, "free_spectral_range") - 5.75).abs() < 0.05);
    // The dips by hand: 27 dB, from tops of -18.8 and bottoms of -46 dBm.
    assert!((value(&mzi, "extinction") - 27.2).abs() < 1.5, "{:?}", mzi.fit.get("extinction"));
    // Dropped light at 1548.696 nm: 244 pm wide; through port 29.5 dB deep. From these 8.1 % and 0.026 dB.
    assert!((value(&ring, "linewidth") / 244.0 - 1.0).abs() < 0.04);
    assert!((value(&ring, "coupling_bus") / 0.081 - 1.0).abs() < 0.1);
    assert!((value(&ring, "round_trip_loss") / 0.0256 - 1.0).abs() < 0.25);
    let resonances = &ring.tables[0];
    let peaks = [1530.644, 1539.608, 1548.696, 1557.868, 1567.164, 1576.568];
    for peak in peaks {
        let found = resonances.rows.iter().any(|r| (r[0].unwrap() - peak).abs() < 0.03);
        assert!(found, "{peak}: {:?}", resonances.rows);
    }
    let text = ring.fragment.text();
    assert!(text.contains("[devices.ring]") && text.contains("coupling_detour"), "{text}");
}

/// Without equal couplers the level of the drop port decides, and the loss has a wide interval that holds the narrow one.
#[test]
fn couplers_of_their_own_leave_the_loss_wide_open() {
    let free = ask("ring", &[RING], &[]).unwrap();
    let loss = free.fit.get("round_trip_loss").unwrap();
    assert!(loss.lower.unwrap() < 0.0256 && loss.upper.unwrap() > 0.0256, "{loss:?}");
    assert!(loss.standard_error.unwrap() > 0.01, "{loss:?}");
    assert!(free.fit.notes.iter().any(|n| n.contains("rests on the level of the drop port")));
    let all_pass = ask("ring", &[RING], &["type=all-pass"]).unwrap();
    assert!(all_pass.fit.notes.iter().any(|n| n.contains("one dip cannot tell coupling from loss")));
}

#[test]
fn guides_and_branches_match_the_mean_difference_of_the_spectra() {
    // By hand, over 1545 to 1575 nm: 4.3341 dB over 3.4909 cm, and 12.8139 dB over 56.
    let guide =
        ask("waveguide", &["waveguide_0um.csv", "waveguide_34909um.csv"], &["band=1545nm:1575nm"]).unwrap();
    let loss = guide.fit.get("loss").unwrap();
    assert!((loss.value - 4.3341 / 3.4909).abs() < 0.02, "{loss:?}");
    // 1.96 x 0.3 dB x sqrt 2 / 3.4909 cm, and a little ripple.
    let half = loss.upper.unwrap() - loss.value;
    assert!(half > 0.238 && half < 0.26, "{loss:?}");
    assert!(
        guide.fit.dof == 0 && guide.fit.notes[0].contains("no degree of freedom"),
        "{:?}",
        guide.fit.notes
    );
    let text = guide.fragment.text();
    assert!(text.contains("[devices.waveguide]\nloss = { value = \"1.24"), "{text}");
    let series = ask("series", &["ybranch_0.csv", "ybranch_56.csv"], &["band=1545nm:1575nm"]).unwrap();
    let loss = series.fit.get("loss").unwrap();
    assert!((loss.value - 12.8139 / 56.0).abs() < 2e-3, "{loss:?}");
}

#[test]
fn couplers_in_an_interferometer_match_their_fringes() {
    let set = ["structure=interferometer"];
    let found = ask("coupler", &["dc_length0um.csv", "dc_length5um.csv"], &set).unwrap();
    // By hand: (1 - sqrt(1 - s))/2 of the highest shares near 1550 nm, 0.169 and 0.883; fringes 225 um apart.
    assert!((value(&found, "cross_coupling_0um") - 0.044).abs() < 0.008, "{:?}", found.fit.parameters);
    assert!((value(&found, "cross_coupling_5um") - 0.329).abs() < 0.02, "{:?}", found.fit.parameters);
    assert!((value(&found, "group_path") / 225.0 - 1.0).abs() < 0.01);
}

/// Where one of the devices, or none, has fringes.
#[test]
fn couplers_without_fringes_in_the_range_are_refused_by_name() {
    for range in ["90um:95um", "160um:165um", "220um:225um", "1um:2um"] {
        let set = ["structure=interferometer", &format!("group_path={range}")];
        let files = ["dc_length0um.csv", "dc_length5um.csv"];
        let text = ask("coupler", &files, &set).unwrap_err().to_string();
        assert!(text.contains("no fringes of a group path between") && text.contains("dc_length"), "{text}");
    }
}

#[test]
fn the_couplers_response_peaks_where_it_does() {
    let found = ask("envelope", &["mzi_reference.csv"], &["laser_power=0dBm"]).unwrap();
    assert!((value(&found, "peak_wavelength") - 1549.5).abs() < 1.5);
    assert!((value(&found, "peak_power") + 17.6).abs() < 0.7);
    assert!((value(&found, "loss_per_coupler") + 0.5 * value(&found, "peak_power")).abs() < 1e-9);
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let error = |kind: &str, files: &[&str], set: &[&str]| ask(kind, files, set).unwrap_err().to_string();
    assert!(error("rng", &[RING], &[]).contains("did you mean `ring`?"));
    assert!(error("ring", &[RING], &["radios=10um"]).contains("did you mean `radius`?"));
    assert!(error("ring", &[RING], &["radius=10"]).contains("has no unit: write it as 10 um"));
    assert!(error("ring", &[RING], &["radius=10um", "length=3um"]).contains("say the same"));
    assert!(error("ring", &[RING], &["through=7"]).contains("there is no channel 7"));
    assert!(error("ring", &[RING], &["drop=1.5"]).contains("a whole number from 0 to 1000"));
    assert!(error("mzi", &[RING], &[]).contains("--set delta_length"));
    assert!(error("mzi", &["mzi_dl100um.csv"], &["delta_length=5um"]).contains("fewer than two fringes"));
    assert!(
        error("ring", &[RING], &["floor=-15dBm"])
            .contains("channel 2 lie more than 3 dB above the detector's floor")
    );
    assert!(error("waveguide", &["waveguide_0um.csv"], &[]).contains("at least two files"));
    assert!(
        error("waveguide", &["waveguide_0um.csv", "waveguide_34909um.csv"], &["length=1um"])
            .contains("as many values")
    );
    assert!(
        error("coupler", &["dc_length0um.csv", "dc_length5um.csv"], &["length=5um,5um"])
            .contains("`kappa`, `bend_angle`")
    );
    let flat = Input { file: "flat.csv".into(), bytes: flat().into_bytes() };
    let kind = Kind::named("envelope").unwrap();
    let error = kind.fit(&[flat], None, &Given::default()).unwrap_err().to_string();
    assert_eq!(error, "flat.csv: channel 2 has -30 dBm at all wavelengths: nothing was measured");
}

fn flat() -> String {
    (0..100).fold("wavelength_nm,channel_2_dbm\n".to_owned(), |t, i| format!("{t}{},-30\n", 1500 + i))
}
