//! Known truths with realistic noise: are they in the intervals?
//!
//! The spectra are made by the circuit solver of `mirage-devices` from netlists, not by the formulas of the fits, seen through
//! couplers with a bent response, with relative noise, noise of the detector and its floor.

use super::coverage::{Question, held, judge, repeats};
use super::*;
use crate::fit::tests::normal;
use crate::spectrum::{Channel, Spectrum};
use mirage_devices::circuit::{Circuit, Netlist, Solver};
use mirage_devices::component::{Library, Points};
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Relative noise, dB.
const NOISE: f64 = 0.05;
/// Noise of the detector, mW.
const DETECTOR: f64 = 2e-7;
/// Its floor, mW: the -60 dBm that the fits take.
const DARK: f64 = 1e-6;

/// What couplers to the fibres leave of the power, dBm; `x` from -1 to 1 over the band.
fn couplers(x: f64) -> f64 {
    -20.0 + 2.0 * x - 5.0 * x * x + 0.7 * x.powi(3)
}

/// |S|^2 of ports of a netlist over wavelengths in m.
pub(super) fn solve(netlist: &str, pairs: &[(&str, &str)], wavelengths: &[f64]) -> Vec<Vec<f64>> {
    let netlist = Netlist::read(netlist, "test.yml").unwrap();
    let circuit = Circuit::new(&netlist, &Library::standard()).unwrap();
    let points = Points::new(wavelengths.to_vec()).unwrap();
    let ports: Vec<&str> = circuit.ports().collect();
    let plan = circuit.plan(&points, &ports, &ports, Solver::Auto).unwrap();
    let response = circuit.solve(&plan, &points).unwrap();
    let place = |name: &str| response.ports().iter().position(|p| p == name).unwrap();
    let pair = |(out, input): &(&str, &str)| {
        let (out, input) = (place(out), place(input));
        (0..wavelengths.len()).map(|k| response.scattering().at(out, input, k).norm_sqr()).collect()
    };
    pairs.iter().map(pair).collect()
}

/// Wavelengths in m.
pub(super) fn grid(from: f64, to: f64, count: usize) -> Vec<f64> {
    // Rounded to 0.1 pm, as instruments do.
    let at = |i: usize| ((from + (to - from) * i as f64 / (count - 1) as f64) * 1e4).round() / 1e4 * 1e-9;
    (0..count).map(at).collect()
}

/// A spectrum as an instrument would show it.
pub(super) fn measured(
    file: &str,
    wavelengths: &[f64],
    powers: &[(u32, &[f64])],
    level: f64,
    random: &mut Pcg64,
) -> Input {
    let mut text = String::from("wavelength_nm");
    powers.iter().for_each(|(channel, _)| text.push_str(&format!(",channel_{channel}_dbm")));
    text.push('\n');
    for (i, w) in wavelengths.iter().enumerate() {
        text.push_str(&format!("{:.4}", w * 1e9));
        let x = 2.0 * i as f64 / (wavelengths.len() - 1) as f64 - 1.0;
        for (_, power) in powers {
            let seen = power[i] * 10f64.powf((couplers(x) + level + NOISE * normal(random)) / 10.0);
            let shown = (seen + DARK + DETECTOR * normal(random)).max(1e-8);
            text.push_str(&format!(",{:.4}", 10.0 * shown.log10()));
        }
        text.push('\n');
    }
    Input { file: file.into(), bytes: text.into_bytes() }
}

/// Repeats in the tests of every day.
const FEW: u64 = 100;

/// Whether the intervals of a kind hold these truths as often as they say.
fn covers(kind: &str, truths: &[(&str, f64)], set: &[&str], make: impl Fn(&mut Pcg64) -> Vec<Input> + Sync) {
    let question = Question { kind, set, truths, open: false };
    let repeats = repeats(FEW);
    judge(&question, &held(&question, repeats, |seed| make(&mut Pcg64::seed_from_u64(seed))), repeats);
}

#[test]
fn envelope_holds_the_truth() {
    let truths = [("peak_power", -20.0), ("peak_wavelength", 1545.0), ("bandwidth_1db", 30.0)];
    let wavelengths = grid(1520.0, 1570.0, 400);
    covers("envelope", &truths, &[], |random| {
        let power = |w: &f64| 10f64.powf(-(2.0 * (w * 1e9 - 1545.0) / 30.0).powi(2) / 10.0);
        let bent: Vec<f64> = wavelengths.iter().map(power).collect();
        // The couplers' own bend is taken out again.
        let flat: Vec<f64> = bent
            .iter()
            .enumerate()
            .map(|(i, p)| {
                let x = 2.0 * i as f64 / (wavelengths.len() - 1) as f64 - 1.0;
                p * 10f64.powf((-20.0 - couplers(x)) / 10.0)
            })
            .collect();
        vec![measured("e.csv", &wavelengths, &[(2, &flat)], 0.0, random)]
    });
}

/// Five guides whose couplers scatter by 0.3 dB.
#[test]
fn waveguide_holds_the_truth() {
    let truths = [("loss", 2.0)];
    let wavelengths = grid(1540.0, 1560.0, 100);
    covers("waveguide", &truths, &["length=0um,5000um,10000um,20000um,30000um"], |random| {
        [0.0, 0.5, 1.0, 2.0, 3.0]
            .iter()
            .map(|cm| {
                let power = vec![10f64.powf(-2.0 * cm / 10.0); wavelengths.len()];
                let level = 0.3 * normal(random);
                measured("w.csv", &wavelengths, &[(2, &power)], level, random)
            })
            .collect()
    });
}

/// Two counts alone: the repeatability of 0.3 dB is what the interval stands on.
#[test]
fn series_holds_the_truth() {
    let truths = [("loss", 0.25)];
    let wavelengths = grid(1540.0, 1560.0, 100);
    covers("series", &truths, &["count=0,40"], |random| {
        [0.0, 40.0]
            .iter()
            .map(|count| {
                let power = vec![10f64.powf(-0.25 * count / 10.0); wavelengths.len()];
                let level = 0.3 * normal(random);
                measured("y.csv", &wavelengths, &[(2, &power)], level, random)
            })
            .collect()
    });
}

/// Two Y-branches with an imbalance of 0.4 dB, and guides of SAX's form.
const MZI: &str = "
instances:
  a: {component: y_branch, settings: {loss_dB: 0.0, imbalance_dB: 0.4}}
  b: {component: y_branch, settings: {loss_dB: 0.0, imbalance_dB: 0.4}}
  long: {component: waveguide, settings: {length: 200.0, loss_dB_cm: 0.0}}
  short: {component: waveguide, settings: {length: 100.0, loss_dB_cm: 0.0}}
connections: {\"a,out0\": \"short,in0\", \"a,out1\": \"long,in0\", \"short,out0\": \"b,out0\", \"long,out0\": \"b,out1\"}
ports: {in: \"a,in0\", out: \"b,in0\"}
";

#[test]
fn mzi_holds_the_truth() {
    // The strip of 500 x 220 nm: 4.19088, and c D = 299792458 x 0.000354275 per m.
    let truths = [
        ("group_index", 4.19088),
        ("group_index_slope", 0.106_209),
        ("imbalance", 0.4),
        ("splitting_ratio", 0.523_007),
    ];
    let wavelengths = grid(1530.0, 1570.0, 500);
    let power = solve(MZI, &[("out", "in")], &wavelengths);
    let set = ["delta_length=100um", "envelope_degree=3"];
    covers("mzi", &truths, &set, |random| {
        vec![measured("m.csv", &wavelengths, &[(2, &power[0])], 0.0, random)]
    });
}

/// A ring of two point couplers and two guides, with the reflections and loops that the general solver has.
pub(super) fn ring(couplers: (f64, f64), loss: f64) -> String {
    let coupler = |k: f64| format!("{{component: coupler_ideal, settings: {{coupling: {k}}}}}");
    let half =
        format!("{{component: waveguide, settings: {{length: 31.41592653589793, loss_dB_cm: {loss}}}}}");
    format!(
        "instances:\n  a: {}\n  b: {}\n  left: {half}\n  right: {half}\n\
         connections: {{\"a,out1\": \"right,in0\", \"right,out0\": \"b,in1\", \"b,out1\": \"left,in0\", \"left,out0\": \"a,in1\"}}\n\
         ports: {{in: \"a,in0\", through: \"a,out0\", add: \"b,in0\", drop: \"b,out0\"}}\n",
        coupler(couplers.0),
        coupler(couplers.1)
    )
}

#[test]
fn add_drop_ring_holds_the_truth() {
    // 40 dB/cm over 62.83 um.
    let truths = [
        ("group_index", 4.19088),
        ("coupling_bus", 0.1),
        ("coupling_drop", 0.07),
        ("round_trip_loss", 0.251_327),
    ];
    let wavelengths = grid(1535.0, 1565.0, 800);
    let power = solve(&ring((0.1, 0.07), 40.0), &[("through", "in"), ("drop", "in")], &wavelengths);
    let set = ["radius=10um", "envelope_degree=3", "repeatability=0.05dB"];
    covers("ring", &truths, &set, |random| {
        // The drop port's coupler to the fibre is off by what is said of it.
        let off = 10f64.powf(0.05 * normal(random) / 10.0);
        let drop: Vec<f64> = power[1].iter().map(|p| p * off).collect();
        vec![measured("r.csv", &wavelengths, &[(2, &power[0]), (1, &drop)], 0.0, random)]
    });
}

#[test]
fn ring_with_equal_couplers_holds_the_truth() {
    let truths = [("group_index", 4.19088), ("coupling_bus", 0.08), ("round_trip_loss", 0.062_832)];
    let wavelengths = grid(1535.0, 1565.0, 800);
    let power = solve(&ring((0.08, 0.08), 10.0), &[("through", "in"), ("drop", "in")], &wavelengths);
    let set = ["radius=10um", "envelope_degree=3", "couplers=equal", "repeatability=2dB"];
    covers("ring", &truths, &set, |random| {
        let off = 10f64.powf(normal(random) / 10.0);
        let drop: Vec<f64> = power[1].iter().map(|p| p * off).collect();
        vec![measured("r.csv", &wavelengths, &[(2, &power[0]), (1, &drop)], 0.0, random)]
    });
}

#[test]
fn all_pass_ring_holds_the_truth_on_the_side_that_is_asked_for() {
    // 100 dB/cm: 0.628 dB a round trip, 13.5 % of the power, against 5 % coupled.
    let wavelengths = grid(1535.0, 1565.0, 800);
    let power = solve(&ring((0.05, 0.0), 100.0), &[("through", "in")], &wavelengths);
    let truths = [("coupling_bus", 0.05), ("round_trip_loss", 0.628_319)];
    let set = ["radius=10um", "envelope_degree=3"];
    let make = |random: &mut Pcg64| vec![measured("r.csv", &wavelengths, &[(2, &power[0])], 0.0, random)];
    covers("ring", &truths, &set, make);
    // The other answer exchanges the two.
    let truths =
        [("coupling_bus", 1.0 - 10f64.powf(-0.062_831_9)), ("round_trip_loss", -10.0 * 0.95f64.log10())];
    let set = ["radius=10um", "envelope_degree=3", "regime=over"];
    covers("ring", &truths, &set, make);
}

#[test]
fn coupler_holds_the_truth() {
    let netlist = |length: f64| {
        format!(
            "instances:\n  c: {{component: directional_coupler, settings: {{length: {length}, kappa: 0.08, dkappa: 0.3, bend_angle: 0.25, \
             dbend_angle: 0.8, loss_dB_cm: 0.0}}}}\nports: {{in: \"c,in0\", through: \"c,out0\", cross: \"c,out1\"}}\n"
        )
    };
    let truths = [("kappa", 0.08), ("bend_angle", 0.25), ("dkappa", 0.3), ("dbend_angle", 0.8)];
    let wavelengths = grid(1530.0, 1570.0, 200);
    let pairs = [("through", "in"), ("cross", "in")];
    let powers = [0.0, 5.0, 10.0].map(|l| solve(&netlist(l), &pairs, &wavelengths));
    covers("coupler", &truths, &["length=0um,5um,10um", "repeatability=0.0dB"], |random| {
        let file =
            |p: &Vec<Vec<f64>>| measured("c.csv", &wavelengths, &[(2, &p[0]), (3, &p[1])], 0.0, random);
        powers.iter().map(file).collect()
    });
}

/// Two alike couplers in an interferometer, as openEBL has them.
#[test]
fn couplers_in_an_interferometer_hold_the_truth() {
    let netlist = |length: f64| {
        let coupler = format!(
            "{{component: directional_coupler, settings: {{length: {length}, kappa: 0.08, dkappa: 0.3, bend_angle: 0.2, dbend_angle: 0.8, loss_dB_cm: 0.0}}}}"
        );
        format!(
            "instances:\n  a: {coupler}\n  b: {coupler}\n  long: {{component: waveguide, settings: {{length: 153.0, loss_dB_cm: 0.0}}}}\n  \
             short: {{component: waveguide, settings: {{length: 100.0, loss_dB_cm: 0.0}}}}\n\
             connections: {{\"a,out0\": \"short,in0\", \"a,out1\": \"long,in0\", \"short,out0\": \"b,in0\", \"long,out0\": \"b,in1\"}}\n\
             ports: {{in: \"a,in0\", through: \"b,out0\", cross: \"b,out1\"}}\n"
        )
    };
    let truths = [("kappa", 0.08), ("bend_angle", 0.2), ("group_path", 53.0 * 4.19088)];
    let wavelengths = grid(1520.0, 1580.0, 500);
    let pairs = [("through", "in"), ("cross", "in")];
    let powers = [0.0, 5.0].map(|l| solve(&netlist(l), &pairs, &wavelengths));
    let set = ["length=0um,5um", "structure=interferometer", "repeatability=0.0dB"];
    covers("coupler", &truths, &set, |random| {
        let file =
            |p: &Vec<Vec<f64>>| measured("c.csv", &wavelengths, &[(2, &p[0]), (3, &p[1])], 0.0, random);
        powers.iter().map(file).collect()
    });
}

/// A spectrum in memory equals the one that is read.
#[test]
fn what_is_written_reads_again() {
    let wavelengths = grid(1530.0, 1570.0, 50);
    let power = vec![0.5; 50];
    let input = measured("a.csv", &wavelengths, &[(2, &power)], 0.0, &mut Pcg64::seed_from_u64(1));
    let read = Spectrum::read(&input.bytes, "a.csv").unwrap();
    assert!(read.wavelengths.iter().zip(&wavelengths).all(|(a, b)| (a - b).abs() < 1e-17));
    assert!(matches!(read.channels(), [Channel { number: 2, .. }]));
}
