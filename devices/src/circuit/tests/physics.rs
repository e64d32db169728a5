use std::f64::consts::TAU;

use num_complex::Complex64;

use super::{circuit, points};
use crate::circuit::{Cell, Circuit, Netlist, Solver};
use crate::component::{Library, Value};

/// Two paths of different numbers of parts must interfere as one path of the same lengths does.
#[test]
fn paths_of_different_numbers_of_parts_interfere() {
    let netlist = "
instances:
  split: coupler_ideal
  a: {component: straight, settings: {length: 20.0}}
  b: {component: straight, settings: {length: 15.0}}
  c: {component: attenuator, settings: {loss: 0.0}}
  short: {component: straight, settings: {length: 10.0}}
  join: coupler_ideal
nets:
  - {p1: 'split,out0', p2: 'a,in0'}
  - {p1: 'a,out0', p2: 'b,in0'}
  - {p1: 'b,out0', p2: 'c,in0'}
  - {p1: 'c,out0', p2: 'join,in0'}
  - {p1: 'split,out1', p2: 'short,in0'}
  - {p1: 'short,out0', p2: 'join,in1'}
ports: {in: 'split,in0', bar: 'join,out0', cross: 'join,out1'}
";
    let wl = [1.5, 1.53, 1.55, 1.571];
    for solver in [Solver::Forward, Solver::General] {
        let response = circuit(netlist).response(&points(&wl), solver).unwrap();
        for (i, wl) in wl.iter().enumerate() {
            let n = 2.34 - (wl - 1.55) * (3.4 - 2.34) / 1.55;
            let half = TAU * n * 25.0 / wl / 2.0;
            assert!((response.at("bar", "in", i).unwrap().norm_sqr() - half.sin().powi(2)).abs() < 1e-12);
            assert!((response.at("cross", "in", i).unwrap().norm_sqr() - half.cos().powi(2)).abs() < 1e-12);
        }
    }
}

/// A ring of a coupler and a guide: (t - a e^{i phi})/(1 - t a e^{i phi}), Yariv, Electron. Lett. 36:321 (2000), eq. 4, with
/// t real as our coupler has it.
#[test]
fn a_ring_of_coupler_and_guide_is_the_closed_form() {
    let netlist = "
instances:
  coupler: {component: coupler_ideal, settings: {coupling: 0.1}}
  loop: {component: straight, settings: {length: 60.0, loss_dB_cm: 20.0}}
nets: [{p1: 'coupler,out1', p2: 'loop,in0'}, {p1: 'loop,out0', p2: 'coupler,in1'}]
ports: {in: 'coupler,in0', through: 'coupler,out0'}
";
    let wl: Vec<f64> = (0..200).map(|i| 1.54 + 1e-4 * i as f64).collect();
    let response = circuit(netlist).response(&points(&wl), Solver::Auto).unwrap();
    let (t, a) = (0.9f64.sqrt(), 10f64.powf(-20.0 * 60e-4 / 20.0));
    for (i, wl) in wl.iter().enumerate() {
        let n = 2.34 - (wl - 1.55) * (3.4 - 2.34) / 1.55;
        let turn = Complex64::from_polar(a, TAU * n * 60.0 / wl);
        let expected = (t - turn) / (1.0 - t * turn);
        // A phase of 570 rad is rounded to 1e-13, which the resonance amplifies up to forty times.
        let difference = (response.at("through", "in", i).unwrap() - expected).norm();
        assert!(difference < 1e-11, "{difference:e}");
    }
}

#[test]
fn indices_are_out_and_in() {
    let netlist = "
instances: {one_way: {component: isolator, settings: {insertion_loss_dB: 1.0, isolation_dB: 30.0}}, guide: straight}
connections: {'one_way,out0': 'guide,in0'}
ports: {a: 'one_way,in0', b: 'guide,out0'}
";
    for solver in [Solver::Forward, Solver::General] {
        let response = circuit(netlist).response(&points(&[1.55]), solver).unwrap();
        let db = |out, input| 10.0 * response.at(out, input, 0).unwrap().norm_sqr().log10();
        assert!((db("b", "a") + 1.0).abs() < 1e-12 && (db("a", "b") + 30.0).abs() < 1e-12);
    }
}

#[test]
fn islands_and_unused_parts_do_not_matter() {
    let alone = "{instances: {g: straight}, ports: {a: 'g,in0', b: 'g,out0'}}";
    let with = "
instances: {g: straight, spare: coupler, c: coupler_ideal, d: straight, m: mirror}
nets: [{p1: 'c,out1', p2: 'd,in0'}, {p1: 'd,out0', p2: 'c,in1'}]
ports: {a: 'g,in0', b: 'g,out0', m: 'm,out0'}
";
    let at = points(&[1.55, 1.56]);
    let (alone, with) = (circuit(alone), circuit(with));
    let [x, y] = [&alone, &with].map(|c| c.response(&at, Solver::Forward).unwrap().at("b", "a", 1));
    assert_eq!(x, y);
    let response = with.response(&at, Solver::Auto).unwrap();
    assert_eq!(response.at("m", "m", 0), Some(Complex64::ONE));
    assert_eq!(response.at("b", "m", 0), Some(Complex64::ZERO));
}

/// Guide of two turns at 1.55 um in a loop: without coupling light would go round for ever.
const RESONANT: &str = "
instances:
  coupler: coupler_ideal
  loop: {component: straight, settings: {length: 1.55, neff: 2.0, ng: 2.0}}
nets: [{p1: 'coupler,out1', p2: 'loop,in0'}, {p1: 'loop,out0', p2: 'coupler,in1'}]
ports: {in: 'coupler,in0', through: 'coupler,out0'}
";

#[test]
fn a_resonance_without_loss_is_an_error_or_finite() {
    let mut ring = circuit(RESONANT);
    let response = ring.response(&points(&[1.55]), Solver::Auto).unwrap();
    // On resonance: (t - 1)/(1 - t) = -1.
    assert!((response.at("through", "in", 0).unwrap() + 1.0).norm() < 1e-12);
    ring.set("coupler", "coupling", vec![0.0, 0.5].into()).unwrap();
    let error = ring.response(&points(&[1.55, 1.55]), Solver::Auto).unwrap_err().to_string();
    assert!(error.contains("resonance without loss") && error.contains("1.55"), "{error}");
    // Never coupled, the loop is an island.
    ring.set("coupler", "coupling", 0.0.into()).unwrap();
    let response = ring.response(&points(&[1.55]), Solver::Forward).unwrap();
    assert_eq!(response.at("through", "in", 0), Some(Complex64::ONE));
}

#[test]
fn the_forward_solver_names_the_loop_that_forbids_it() {
    let error = circuit(RESONANT).response(&points(&[1.55]), Solver::Forward).unwrap_err().to_string();
    assert!(error.contains("coupler,in1") && error.contains("loop,in0"), "{error}");
    let plan = circuit(RESONANT).plan(&points(&[1.55]), &["in"], &["through"], Solver::Auto).unwrap();
    assert!(plan.reason().starts_with("general") && plan.reason().contains("->"), "{}", plan.reason());
}

#[test]
fn plans_serve_other_values_until_a_coupling_appears() {
    let text = "
instances: {gc: grating_coupler, g: straight, end: terminator}
connections: {'gc,in0': 'g,in0', 'g,out0': 'end,in0'}
ports: {fibre: 'gc,out0'}
";
    let (mut circuit, at) = (circuit(text), points(&[1.55, 1.56]));
    let plan = circuit.plan(&at, &["fibre"], &["fibre"], Solver::Auto).unwrap();
    assert_eq!(plan.solver(), Solver::Forward);
    circuit.set("g", "length", 20.0.into()).unwrap();
    circuit.set("gc", "reflection_fiber", 0.1.into()).unwrap();
    let error = circuit.solve(&plan, &at).unwrap_err().to_string();
    assert!(error.contains("plan again") && error.contains("`gc`"), "{error}");
    let response = circuit.response(&at, Solver::Auto).unwrap();
    assert_eq!(response.at("fibre", "fibre", 0), Some(Complex64::from(0.1)));
}

#[test]
fn settings_vary_over_points() {
    let mut circuit = circuit(
        "{instances: {a: attenuator, b: attenuator}, connections: {'a,out0': 'b,in0'}, ports: {i: 'a,in0', o: 'b,out0'}}",
    );
    circuit.set("a", "loss", Value::from(vec![0.0, 10.0, 20.0])).unwrap();
    let response = circuit.response(&points(&[1.55; 3]), Solver::Auto).unwrap();
    let losses: Vec<f64> = (0..3).map(|i| response.at("o", "i", i).unwrap().re).collect();
    assert!((losses[0] - 1.0).abs() < 1e-15 && (losses[2] - 0.1).abs() < 1e-15);
    let error = circuit.response(&points(&[1.55; 2]), Solver::Auto).unwrap_err().to_string();
    assert!(error.contains("`a`") && error.contains("3 values for 2 points"), "{error}");
}

/// Couplers and guides in more rows than the inputs that are worked on together: light cones that begin and end everywhere,
/// and points that do not fill the last block.
#[test]
fn forward_and_general_agree_on_a_wide_mesh() {
    const MODES: usize = 21;
    let mut cell = Cell::new("mesh");
    let mut ends: Vec<Option<String>> = vec![None; MODES];
    for layer in 0..13 {
        for mode in (layer % 2..MODES - 1).step_by(2) {
            let (guide, coupler) = (format!("g{layer}_{mode}"), format!("c{layer}_{mode}"));
            let length = 3.0 + ((7 * layer + 5 * mode) % 11) as f64;
            let coupling = 0.1 + 0.07 * ((3 * layer + mode) % 12) as f64;
            cell = cell
                .instance(&guide, "straight", &[("length", length.into()), ("loss_dB_cm", 100.0.into())])
                .instance(&coupler, "coupler_ideal", &[("coupling", coupling.into())])
                .connect(&format!("{guide},out0"), &format!("{coupler},in0"));
            for (side, here) in [format!("{guide},in0"), format!("{coupler},in1")].into_iter().enumerate() {
                cell = match ends[mode + side].replace(format!("{coupler},out{side}")) {
                    Some(before) => cell.connect(&before, &here),
                    None => cell.port(&format!("in{}", mode + side), &here),
                };
            }
        }
    }
    for (mode, end) in ends.iter().enumerate() {
        cell = cell.port(&format!("out{mode}"), end.as_deref().unwrap());
    }
    let circuit = Circuit::new(&Netlist::new(cell), &Library::standard()).unwrap();
    let points = points(&[1.50, 1.51, 1.52, 1.53, 1.54, 1.55, 1.56]);
    let [forward, general] =
        [Solver::Forward, Solver::General].map(|s| circuit.response(&points, s).unwrap());
    let mut passed = 0;
    for (out, input) in (0..2 * MODES).flat_map(|o| (0..2 * MODES).map(move |i| (o, i))) {
        for point in 0..points.len() {
            let [f, g] = [&forward, &general].map(|r| r.scattering().at(out, input, point));
            assert!((f - g).norm() < 1e-12, "{out} {input} {point}: {f} {g}");
            passed += usize::from(f.norm() > 1e-9);
        }
    }
    // Most modes are reached from most others, both ways.
    assert!(passed > MODES * MODES * points.len(), "{passed}");
}
