//! Rings as loops of parts, through the circuit solver, against the closed form.

use super::ring::AddDrop;
use super::{Library, Points};
use crate::circuit::{Circuit, Netlist, Response, Solver};
use crate::files::{InterconnectFile, SParameters, Selection, TimeConvention, write_touchstone};
use std::f64::consts::TAU;
use std::path::Path;

use crate::physics::LIGHT_SPEED;

/// The response of a netlist that stands in `folder`, at these frequencies.
fn response(netlist: &str, folder: &Path, frequencies: &[f64]) -> Response {
    let file = folder.join("ring.yml");
    let netlist = Netlist::read(netlist, &file.to_string_lossy()).unwrap();
    let points = Points::new(frequencies.iter().map(|f| LIGHT_SPEED / f).collect()).unwrap();
    Circuit::new(&netlist, &Library::standard()).unwrap().response(&points, Solver::Auto).unwrap()
}

#[test]
fn a_loop_of_couplers_and_guides_is_the_add_drop_ring() {
    let netlist = "
instances:
  bus: {component: coupler_ideal, settings: {coupling: 0.1}}
  top: {component: coupler_ideal, settings: {coupling: 0.25}}
  up: {component: waveguide, settings: {length: 31.41592653589793, loss_dB_cm: 20.0}}
  down: {component: waveguide, settings: {length: 31.41592653589793, loss_dB_cm: 20.0}}
  closed: {component: ring_add_drop, settings: {radius: 10.0, coupling: 0.1, coupling_drop: 0.25, loss_dB_cm: 20.0}}
nets:
  - {p1: 'bus,out1', p2: 'up,in0'}
  - {p1: 'up,out0', p2: 'top,in1'}
  - {p1: 'top,out1', p2: 'down,in0'}
  - {p1: 'down,out0', p2: 'bus,in1'}
ports:
  in: 'bus,in0'
  through: 'bus,out0'
  add: 'top,in0'
  drop: 'top,out0'
  c_in: 'closed,in'
  c_through: 'closed,through'
  c_add: 'closed,add'
  c_drop: 'closed,drop'
";
    let frequencies: Vec<f64> = (0..500).map(|k| 193e12 + 5e9 * f64::from(k)).collect();
    let s = response(netlist, Path::new("."), &frequencies);
    for k in 0..frequencies.len() {
        for out in ["in", "through", "add", "drop"] {
            for input in ["in", "through", "add", "drop"] {
                let (out_closed, in_closed) = (format!("c_{out}"), format!("c_{input}"));
                let (a, b) = (s.at(out, input, k), s.at(&out_closed, &in_closed, k));
                assert!((a.unwrap() - b.unwrap()).norm() < 1e-10, "{out} from {input} at point {k}");
            }
        }
    }
}

const HALF_RING: &str = include_str!("../../../data/siepic-fdtd/halfring_r10um_g100nm.dat");

/// Two half rings: ports 1 and 3 are the straight guide, 2 and 4 the ends of the half circle.
fn two_halves(file: &str) -> String {
    format!(
        "
instances:
  lower: {{component: tabulated, settings: {{file: {file}}}}}
  upper: {{component: tabulated, settings: {{file: {file}}}}}
connections: {{'lower,port_4': 'upper,port_2', 'upper,port_4': 'lower,port_2'}}
ports: {{in: 'lower,port_1', through: 'lower,port_3', add: 'upper,port_1', drop: 'upper,port_3'}}
"
    )
}

/// Frequency and full width at half maximum of every dropped peak that lies inside the band.
fn peaks(frequencies: &[f64], s: &Response) -> Vec<(f64, f64)> {
    let power: Vec<f64> = (0..frequencies.len()).map(|k| s.at("drop", "in", k).unwrap().norm_sqr()).collect();
    let step = frequencies[1] - frequencies[0];
    let mut found = Vec::new();
    for k in 1..power.len() - 1 {
        if !(power[k] > 0.3 && power[k] > power[k - 1] && power[k] >= power[k + 1]) {
            continue;
        }
        let half = power[k] / 2.0;
        let left = (0..k).rev().find(|&i| power[i] < half);
        let right = (k..power.len()).find(|&i| power[i] < half);
        let (Some(left), Some(right)) = (left, right) else { continue };
        let from = left as f64 + (half - power[left]) / (power[left + 1] - power[left]);
        let to = right as f64 - (half - power[right]) / (power[right - 1] - power[right]);
        found.push((frequencies[k], (to - from) * step));
    }
    found
}

/// Free spectral range and width at a frequency, of the closed form with the half ring's own coupling, loss and phase.
fn closed_form(half: &SParameters, frequency: f64) -> (f64, f64) {
    let s = half.at(frequency).unwrap();
    let coupling = s[(3, 0)].norm_sqr();
    // Along the half circle: what neither couples out nor is lost; twice makes the round trip.
    let round_trip = s[(3, 1)].norm_sqr();
    let ring = AddDrop { bus: coupling, drop: coupling, amplitude: round_trip / (1.0 - coupling) };
    let step = 1e10;
    let turn = |f: f64| half.at(f).unwrap()[(3, 1)].powi(2);
    let slope = (turn(frequency + step) / turn(frequency - step)).arg() / (2.0 * step);
    let range = TAU / slope;
    (range, ring.width().unwrap() / TAU * range)
}

/// The table without what comes back: reflections, and light that a coupler sends against the direction of the ring.
fn forward(half: &SParameters) -> SParameters {
    let passes =
        |out: usize, input: usize| (out + input).is_multiple_of(2) && out != input || out + input == 3;
    let n = half.ports().len();
    let mut values = Vec::new();
    for (out, input) in (0..n).flat_map(|out| (0..n).map(move |input| (out, input))) {
        for k in 0..half.frequencies().len() {
            let keep = if passes(out, input) { 1.0 } else { 0.0 };
            values.push(half.value(out, input, k) * keep);
        }
    }
    SParameters::from_complex(half.ports().to_vec(), half.frequencies().to_vec(), &values).unwrap()
}

#[test]
fn two_half_rings_are_a_ring() {
    let half = InterconnectFile::read(HALF_RING, "half.dat").unwrap().select(&Selection::default()).unwrap();
    let (low, high) = half.range();
    let frequencies: Vec<f64> = (0..=20_000).map(|k| low + (high - low) * f64::from(k) / 20_000.0).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("published.dat"), HALF_RING).unwrap();
    let clean = write_touchstone(&forward(&half), TimeConvention::Optics);
    std::fs::write(folder.path().join("forward.s4p"), clean).unwrap();

    let ring = peaks(&frequencies, &response(&two_halves("forward.s4p"), folder.path(), &frequencies));
    assert!(ring.len() >= 10, "{}", ring.len());
    for pair in ring.windows(2) {
        let (range, _) = closed_form(&half, (pair[0].0 + pair[1].0) / 2.0);
        assert!(((pair[1].0 - pair[0].0) / range - 1.0).abs() < 0.01, "free spectral range at {}", pair[0].0);
    }
    for (frequency, width) in &ring {
        let (_, expected) = closed_form(&half, *frequency);
        assert!((width / expected - 1.0).abs() < 0.01, "width {width} at {frequency}: {expected}");
    }

    // The table as published sends 1.6 % of the field back at each half circle. That couples the two directions of the ring: the
    // resonances split by a part of their width, most where they are narrow, but stay where they are.
    let published = peaks(&frequencies, &response(&two_halves("published.dat"), folder.path(), &frequencies));
    assert_eq!(published.len(), ring.len());
    for pair in published.windows(2) {
        let (range, _) = closed_form(&half, (pair[0].0 + pair[1].0) / 2.0);
        assert!(((pair[1].0 - pair[0].0) / range - 1.0).abs() < 0.01, "free spectral range at {}", pair[0].0);
    }
    let (frequency, width) = published[0];
    assert!((width / closed_form(&half, frequency).1 - 1.0).abs() < 0.01, "the widest resonance: {width}");
}
