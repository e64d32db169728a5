//! Spectra of a circuit.

use std::collections::HashMap;
use std::path::Path;

use super::{Frame, Series};
use crate::error::{CliError, Result};
use crate::folder::write_whole;
use crate::table::{Row, Table};

/// Curves in one picture; the strongest are drawn.
const MOST: usize = 8;

/// Power below which nothing is drawn, dB.
const FLOOR: f64 = -100.0;

/// A pair of ports, and its power over wavelength.
#[derive(Clone)]
struct Curve<'a> {
    out: &'a str,
    input: &'a str,
    points: Vec<(f64, f64)>,
}

impl Curve<'_> {
    fn strongest(&self) -> f64 {
        self.points.iter().map(|p| p.1).fold(FLOOR, f64::max)
    }

    /// Whether both look the same.
    fn covers(&self, other: &Curve<'_>) -> bool {
        let same = |(a, b): (&(f64, f64), &(f64, f64))| (a.1 - b.1).abs() < 1e-6;
        self.points.iter().zip(&other.points).all(same)
    }

    /// Whether this is the other with the ports exchanged.
    fn is_back_of(&self, other: &Curve<'_>) -> bool {
        (self.out, self.input) == (other.input, other.out) && self.covers(other)
    }
}

/// |S|^2 in decibel over wavelength of the pairs in a table as `mirage circuit` writes it. Of two pairs that run to and fro
/// with the same powers, the one is drawn that enters at the port that the netlist names first.
pub fn spectra(csv: &Path, svg: &Path, ports: &[&str]) -> Result<()> {
    let folder = csv.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = csv.file_name().unwrap_or_default().to_string_lossy();
    let table = Table::read(folder, &name, &["wavelength_um", "out", "in", "re", "im"])?;
    let mut shown: Vec<Curve<'_>> = Vec::new();
    let mut all = curves(&table);
    let place = |port: &str| ports.iter().position(|p| *p == port);
    all.sort_by_key(|c| place(c.input) > place(c.out));
    for curve in all.into_iter().filter(|c| c.strongest() > FLOOR) {
        if !shown.iter().any(|other| other.is_back_of(&curve)) {
            shown.push(curve);
        }
    }
    let total = shown.len();
    shown.sort_by(|a, b| b.strongest().total_cmp(&a.strongest()));
    shown.truncate(MOST);
    let title = match total > MOST {
        true => format!("Power transmission: the {MOST} strongest of {total} paths"),
        false => "Power transmission".to_owned(),
    };
    // A curve that lies on an earlier one is dashed, so that both are seen.
    let hides = |i: usize| shown[..i].iter().any(|earlier| shown[i].covers(earlier));
    let dashed: Vec<bool> = (0..shown.len()).map(hides).collect();
    let series = shown.into_iter().zip(dashed).map(|(curve, dashed)| Series {
        name: format!("{} -> {}", curve.input, curve.out),
        points: curve.points,
        bounds: None,
        dashed,
    });
    let frame = Frame { title: &title, x: "wavelength (um)", y: "|S|^2 (dB)", ..Frame::default() };
    match frame.draw(series.collect()) {
        Some(picture) => write_whole(svg, picture.as_bytes()),
        None => Err(CliError::message("nothing to draw: no light gets from any port to another")),
    }
}

/// The curves of all pairs, in the order of the table.
fn curves(table: &Table) -> Vec<Curve<'_>> {
    let decibel = |r: &Row<'_>| {
        let power = r.number("re").powi(2) + r.number("im").powi(2);
        (10.0 * power.log10()).max(FLOOR)
    };
    let mut curves: Vec<Curve<'_>> = Vec::new();
    let mut places = HashMap::new();
    for row in table.rows() {
        let (out, input) = (row.text("out"), row.text("in"));
        let place = *places.entry((out, input)).or_insert(curves.len());
        if place == curves.len() {
            curves.push(Curve { out, input, points: Vec::new() });
        }
        curves[place].points.push((row.number("wavelength_um"), decibel(&row)));
    }
    curves
}
