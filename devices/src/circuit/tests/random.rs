//! Random circuits: both solvers against each other and against a dense solve of 1 - S C.

use nalgebra::DMatrix;
use num_complex::Complex64;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::points;
use crate::circuit::{Cell, Circuit, Netlist, Response, Solver};
use crate::component::{Component, ComponentError, Library, Points, Scattering, Setting, Settings, Value};

/// A component with any constant S-matrix.
#[derive(Debug)]
struct Block {
    name: String,
    ports: Vec<String>,
    s: DMatrix<Complex64>,
}

impl Component for Block {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> &str {
        "a test"
    }

    fn ports(&self) -> Vec<&str> {
        self.ports.iter().map(String::as_str).collect()
    }

    fn settings(&self) -> &'static [Setting] {
        &[]
    }

    fn couplings(&self) -> Vec<(usize, usize)> {
        let n = self.ports.len();
        (0..n * n).map(|k| (k / n, k % n)).collect()
    }

    fn scatter(&self, _: &Points, _: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
        for (out, input) in self.couplings() {
            s.fill(out, input, |_| self.s[(out, input)]);
        }
        Ok(())
    }
}

fn random_matrix(n: usize, rng: &mut Pcg64) -> DMatrix<Complex64> {
    DMatrix::from_fn(n, n, |_, _| Complex64::new(rng.random::<f64>() - 0.5, rng.random::<f64>() - 0.5))
}

/// A library with random blocks: `lossless` ones are unitary with all elements, others have a norm of 0.9.
fn library(rng: &mut Pcg64, lossless: bool) -> Library {
    let mut library = Library::standard();
    for n in 1..=4 {
        let m = random_matrix(n, rng);
        let s = if lossless { m.qr().q() } else { m.clone() * Complex64::from(0.9 / m.norm()) };
        let ports = (0..n).map(|i| format!("p{i}")).collect();
        library.add(std::sync::Arc::new(Block { name: format!("block{n}"), ports, s }));
    }
    library
}

/// A part's component, its ports at the left and at the right, and its only setting.
struct Part {
    component: &'static str,
    left: &'static [&'static str],
    right: &'static [&'static str],
    setting: Option<(&'static str, Value)>,
}

fn part(rng: &mut Pcg64) -> Part {
    const ONE: [&[&str]; 2] = [&["in0"], &["out0"]];
    const TWO: [&[&str]; 2] = [&["in0", "in1"], &["out0", "out1"]];
    const SPLIT: [&[&str]; 2] = [&["in0"], &["out0", "out1"]];
    let kinds = [
        ("coupler_ideal", TWO, Some(("coupling", 1.0))),
        ("straight", ONE, Some(("length", 100.0))),
        ("phase_shifter", ONE, Some(("voltage", 1.0))),
        ("splitter_ideal", SPLIT, Some(("coupling", 1.0))),
        ("isolator", ONE, Some(("insertion_loss_dB", 1.0))),
        ("crossing_ideal", TWO, None),
        ("coupler", TWO, Some(("length", 10.0))),
    ];
    let (component, [left, right], setting) = kinds[rng.random_range(0..kinds.len())];
    let setting = setting.map(|(name, most)| (name, (most * rng.random::<f64>()).into()));
    Part { component, left, right, setting }
}

/// Right ports of earlier parts run into left ports of later ones, so that light never comes back.
fn forward_netlist(rng: &mut Pcg64) -> Netlist {
    let mut cell = Cell::new("random");
    let mut ends: Vec<String> = Vec::new();
    let mut count = 0;
    for index in 0..rng.random_range(2..25) {
        let Part { component, left, right, setting } = part(rng);
        let name = format!("c{index}");
        cell = cell.instance(&name, component, setting.as_slice());
        for port in left {
            if !ends.is_empty() && rng.random_bool(0.8) {
                let end = ends.swap_remove(rng.random_range(0..ends.len()));
                cell = cell.connect(&end, &format!("{name},{port}"));
            } else if rng.random_bool(0.9) {
                cell = cell.port(&format!("x{count}"), &format!("{name},{port}"));
                count += 1;
            }
        }
        ends.extend(right.iter().map(|port| format!("{name},{port}")));
    }
    for end in ends {
        cell = cell.port(&format!("x{count}"), &end);
        count += 1;
    }
    Netlist::new(cell)
}

/// Blocks with reflections whose ports are connected at random: loops everywhere.
fn tangled_netlist(rng: &mut Pcg64) -> Netlist {
    let mut cell = Cell::new("random");
    let mut ends: Vec<String> = Vec::new();
    for index in 0..rng.random_range(2..16) {
        let n: usize = rng.random_range(1..=4);
        let name = format!("c{index}");
        cell = cell.instance(&name, &format!("block{n}"), &[]);
        ends.extend((0..n).map(|port| format!("{name},p{port}")));
        let guide = format!("g{index}");
        cell = cell.instance(&guide, "straight", &[("length", (50.0 * rng.random::<f64>()).into())]);
        ends.extend([format!("{guide},in0"), format!("{guide},out0")]);
    }
    for index in 0..rng.random_range(1..4) {
        let end = ends.swap_remove(rng.random_range(0..ends.len()));
        cell = cell.port(&format!("x{index}"), &end);
    }
    while ends.len() > 1 {
        let a = ends.swap_remove(rng.random_range(0..ends.len()));
        let b = ends.swap_remove(rng.random_range(0..ends.len()));
        // Some ends stay open, where light is lost.
        if rng.random_bool(0.9) {
            cell = cell.connect(&a, &b);
        }
    }
    Netlist::new(cell)
}

/// (1 - S C)^-1 S of all ports at one point, from the parts and connections alone.
fn dense(circuit: &Circuit, points: &Points, point: usize) -> DMatrix<Complex64> {
    let flat = &circuit.flat;
    let n = flat.port_count;
    let (mut s, mut c) = (DMatrix::zeros(n, n), DMatrix::zeros(n, n));
    for part in &flat.parts {
        let component = &part.component;
        let k = component.ports().len();
        let mut block = Scattering::new(k, &component.couplings(), points.len());
        component.scatter(points, &part.settings, &mut block).unwrap();
        for (out, input) in component.couplings() {
            s[(part.first_port + out, part.first_port + input)] = block.at(out, input, point);
        }
    }
    for &(a, b) in &flat.connections {
        c[(a, b)] = Complex64::ONE;
        c[(b, a)] = Complex64::ONE;
    }
    let system = DMatrix::identity(n, n) - &s * c;
    let all = system.lu().solve(&s).unwrap();
    let outside: Vec<usize> = flat.ports.iter().map(|p| p.1).collect();
    DMatrix::from_fn(outside.len(), outside.len(), |o, i| all[(outside[o], outside[i])])
}

fn largest_difference(response: &Response, expected: &DMatrix<Complex64>, point: usize) -> f64 {
    let n = expected.nrows();
    let pairs = (0..n * n).map(|k| (k / n, k % n));
    pairs.map(|(o, i)| (response.scattering().at(o, i, point) - expected[(o, i)]).norm()).fold(0.0, f64::max)
}

#[test]
fn forward_general_and_dense_agree_without_loops() {
    let points = points(&[1.5, 1.55, 1.553, 1.56, 1.58]);
    for seed in 0..220 {
        let netlist = forward_netlist(&mut Pcg64::seed_from_u64(seed));
        let Ok(circuit) = Circuit::new(&netlist, &Library::standard()) else {
            assert!(netlist.cells[0].ports.is_empty());
            continue;
        };
        let forward = circuit.response(&points, Solver::Forward).unwrap();
        let general = circuit.response(&points, Solver::General).unwrap();
        for point in [0, 4] {
            let expected = dense(&circuit, &points, point);
            assert!(largest_difference(&forward, &expected, point) < 1e-10, "seed {seed}");
            assert!(largest_difference(&general, &expected, point) < 1e-10, "seed {seed}");
        }
    }
}

#[test]
fn general_and_dense_agree_with_loops_and_reflections() {
    let points = points(&[1.5, 1.55, 1.553, 1.56, 1.58, 1.59]);
    for seed in 0..220 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let library = library(&mut rng, false);
        let circuit = Circuit::new(&tangled_netlist(&mut rng), &library).unwrap();
        let general = circuit.response(&points, Solver::Auto).unwrap();
        for point in [0, 5] {
            let difference = largest_difference(&general, &dense(&circuit, &points, point), point);
            assert!(difference < 1e-10, "seed {seed}: {difference}");
        }
    }
}

/// What goes in comes out, whatever the loops, when no part loses light and no end is open.
#[test]
fn lossless_circuits_conserve_energy() {
    let points = points(&[1.5, 1.55, 1.57]);
    let mut loops = 0;
    for seed in 0..220 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let library = library(&mut rng, true);
        let mut netlist = tangled_netlist(&mut rng);
        // Open ends become ports.
        let circuit = Circuit::new(&netlist, &library).unwrap();
        let mut used: Vec<usize> = circuit.flat.connections.iter().flat_map(|c| [c.0, c.1]).collect();
        used.extend(circuit.flat.ports.iter().map(|p| p.1));
        let cell = std::mem::replace(&mut netlist.cells[0], Cell::new(""));
        let cell = (0..circuit.flat.port_count)
            .filter(|p| !used.contains(p))
            .fold(cell, |cell, p| cell.port(&format!("open{p}"), &circuit.port_name(p)));
        let circuit = Circuit::new(&Netlist::new(cell), &library).unwrap();
        let all: Vec<&str> = circuit.ports().collect();
        let plan = circuit.plan(&points, &all, &all, Solver::Auto).unwrap();
        loops += usize::from(plan.solver() == Solver::General);
        let response = circuit.solve(&plan, &points).unwrap();
        for (point, input) in (0..points.len()).flat_map(|p| (0..all.len()).map(move |i| (p, i))) {
            let out = |o| response.scattering().at(o, input, point).norm_sqr();
            let power: f64 = (0..all.len()).map(out).sum();
            assert!((power - 1.0).abs() < 1e-12, "seed {seed}: {power}");
        }
    }
    assert!(loops > 150);
}
