//! A 32 x 32 mesh of 496 Mach-Zehnder interferometers in the arrangement of Clements et al. (Optica 3:1460, 2016), read from
//! a netlist's text, at 100 wavelengths, on one thread: times to read, analyse and evaluate with both solvers, beside the same
//! mesh by hand. Run with `cargo bench -p mirage-devices --bench circuit`.

use std::f64::consts::TAU;
use std::time::Instant;

use mirage_devices::circuit::{Cell, Circuit, Netlist, Solver};
use mirage_devices::component::{Library, Points};
use nalgebra::DMatrix;
use num_complex::Complex64;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const MODES: usize = 32;
const REPEATS: usize = 30;

/// Lengths of the two guides of each interferometer: between its couplers, and behind them, each in the lower mode.
struct Mzi {
    mode: usize,
    inner: f64,
    outer: f64,
}

fn mesh() -> Vec<Mzi> {
    let mut rng = Pcg64::seed_from_u64(1);
    let places = (0..MODES).flat_map(|layer| (layer % 2..MODES - 1).step_by(2));
    places
        .map(|mode| Mzi { mode, inner: 40.0 * rng.random::<f64>(), outer: 40.0 * rng.random::<f64>() })
        .collect()
}

fn netlist(mesh: &[Mzi]) -> Netlist {
    let mut cell = Cell::new("mesh");
    let mut ends: Vec<Option<String>> = vec![None; MODES];
    for (k, mzi) in mesh.iter().enumerate() {
        cell = cell
            .instance(&format!("a{k}"), "coupler_ideal", &[])
            .instance(&format!("i{k}"), "straight", &[("length", mzi.inner.into())])
            .instance(&format!("b{k}"), "coupler_ideal", &[])
            .instance(&format!("o{k}"), "straight", &[("length", mzi.outer.into())])
            .connect(&format!("a{k},out0"), &format!("i{k},in0"))
            .connect(&format!("i{k},out0"), &format!("b{k},in0"))
            .connect(&format!("a{k},out1"), &format!("b{k},in1"))
            .connect(&format!("b{k},out0"), &format!("o{k},in0"));
        for side in 0..2 {
            let here = format!("a{k},in{side}");
            let end = if side == 0 { format!("o{k},out0") } else { format!("b{k},out1") };
            cell = match ends[mzi.mode + side].replace(end) {
                Some(before) => cell.connect(&before, &here),
                None => cell.port(&format!("in{}", mzi.mode + side), &here),
            };
        }
    }
    let ends = ends.into_iter().enumerate().filter_map(|(mode, end)| Some((mode, end?)));
    Netlist::new(ends.fold(cell, |cell, (mode, end)| cell.port(&format!("out{mode}"), &end)))
}

/// The 2 x 2 matrix of an interferometer at a wavelength in um.
fn by_hand(mzi: &Mzi, wl: f64) -> [[Complex64; 2]; 2] {
    let n = 2.34 - (wl - 1.55) * (3.4 - 2.34) / 1.55;
    let phase = |length: f64| Complex64::from_polar(1.0, TAU * n * length / wl);
    let (p, q) = (phase(mzi.inner), phase(mzi.outer));
    let i = Complex64::I;
    [[q * (p - 1.0) / 2.0, q * i * (p + 1.0) / 2.0], [i * (p + 1.0) / 2.0, (1.0 - p) / 2.0]]
}

/// Each interferometer turns two rows of the transfer matrix.
fn rows(mesh: &[Mzi], wl: f64) -> DMatrix<Complex64> {
    let mut u = DMatrix::identity(MODES, MODES);
    for mzi in mesh {
        let m = by_hand(mzi, wl);
        for column in 0..MODES {
            let (a, b) = (u[(mzi.mode, column)], u[(mzi.mode + 1, column)]);
            u[(mzi.mode, column)] = m[0][0] * a + m[0][1] * b;
            u[(mzi.mode + 1, column)] = m[1][0] * a + m[1][1] * b;
        }
    }
    u
}

/// Each layer is a 32 x 32 matrix, and the mesh is their product.
fn dense(mesh: &[Mzi], wl: f64) -> DMatrix<Complex64> {
    let mut u = DMatrix::identity(MODES, MODES);
    let mut rest = mesh;
    while let Some(first) = rest.first() {
        let count = if first.mode == 0 { MODES / 2 } else { MODES / 2 - 1 };
        let mut layer = DMatrix::identity(MODES, MODES);
        for mzi in &rest[..count] {
            let m = by_hand(mzi, wl);
            for (r, c) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                layer[(mzi.mode + r, mzi.mode + c)] = m[r][c];
            }
        }
        u = layer * u;
        rest = &rest[count..];
    }
    u
}

/// Smallest and middle time of several runs, in milliseconds, and the last result.
fn time<T>(repeats: usize, mut run: impl FnMut() -> T) -> (f64, f64, T) {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..repeats {
        drop(last.take());
        let start = Instant::now();
        last = Some(run());
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2], last.expect("at least one run"))
}

fn main() {
    let mesh = mesh();
    let text = netlist(&mesh).to_yaml();
    let wavelengths: Vec<f64> = (0..100).map(|i| 1.5 + 8e-4 * f64::from(i)).collect();
    let points = Points::new(wavelengths.iter().map(|w| w * 1e-6).collect()).expect("positive wavelengths");
    println!(
        "{} interferometers, netlist of {} kB, {} wavelengths",
        mesh.len(),
        text.len() / 1000,
        points.len()
    );
    let (read, _, circuit) = time(5, || {
        let netlist = Netlist::read(&text, "mesh.yml").expect("a netlist");
        Circuit::new(&netlist, &Library::standard()).expect("a circuit")
    });
    println!("read and check: {read:.1} ms");
    let (by_rows, _, expected) = time(5, || wavelengths.iter().map(|w| rows(&mesh, *w)).collect::<Vec<_>>());
    let (by_layers, _, _) = time(3, || wavelengths.iter().map(|w| dense(&mesh, *w)).collect::<Vec<_>>());
    println!(
        "by hand, scalar: rows turned in place {by_rows:.1} ms, dense layers multiplied {by_layers:.1} ms"
    );
    let names = |prefix: &str| (0..MODES).map(|m| format!("{prefix}{m}")).collect::<Vec<_>>();
    let (inputs, outputs) = (names("in"), names("out"));
    let (inputs, outputs): (Vec<&str>, Vec<&str>) =
        (inputs.iter().map(String::as_str).collect(), outputs.iter().map(String::as_str).collect());
    let all: Vec<&str> = circuit.ports().collect();
    for solver in [Solver::Forward, Solver::General] {
        for (what, from, to) in [("32 inputs to 32 outputs", &inputs, &outputs), ("all 64 ports", &all, &all)]
        {
            let (planned, _, plan) = time(3, || circuit.plan(&points, from, to, solver).expect("a plan"));
            let (best, middle, response) =
                time(REPEATS, || circuit.solve(&plan, &points).expect("a response"));
            let difference = |w: usize, o: usize, i: usize| {
                let found = response.at(outputs[o], inputs[i], w).expect("a port and a point");
                (found - expected[w][(o, i)]).norm()
            };
            let error = [0, 50, 99]
                .iter()
                .flat_map(|w| (0..MODES * MODES).map(move |k| (*w, k / MODES, k % MODES)))
                .map(|(w, o, i)| difference(w, o, i))
                .fold(0.0, f64::max);
            println!(
                "{solver:?}, {what}: analysed in {planned:.1} ms; evaluated in {best:.2} ms (median {middle:.2}), {:.1} x faster \
                 than rows by hand, {:.0} x than dense layers; largest difference {error:.1e}",
                by_rows / best,
                by_layers / best
            );
        }
    }
}
