//! Trimming: error rate over reads, phase errors before and after, drift.

use super::{Frame, Series};
use crate::error::Result;
use crate::folder::Folder;
use crate::study::trim::UnitRow;
use crate::table::Table;

/// The smallest probability that is drawn: below it is double precision's own rounding.
const FLOOR: f64 = 1e-18;

/// trim-reads.svg: the mean error rate of each modulus over the reads spent on a unit, the lowest and the highest trimming as a band.
pub fn reads(folder: &Folder, target: f64, units: &[UnitRow]) -> Result<()> {
    let table = Table::read(
        folder.path(),
        "trim-reads.csv",
        &["modulus", "reads", "error_rate", "lowest", "highest"],
    )?;
    let series = |modulus: &String| {
        let mut own: Vec<_> = table.rows().filter(|r| r.text("modulus") == modulus).collect();
        own.sort_by(|a, b| a.number("reads").total_cmp(&b.number("reads")));
        let column = |name: &str| own.iter().map(|r| r.number(name).max(FLOOR)).collect::<Vec<f64>>();
        Series {
            name: format!("modulus {modulus}"),
            points: column("reads").into_iter().zip(column("error_rate")).collect(),
            bounds: Some((column("lowest"), column("highest"))),
            dashed: false,
        }
    };
    let before = units.iter().map(|u| u.error_rate_before).sum::<f64>() / units.len().max(1) as f64;
    let title = format!("Error rate after trimming: mean, and range of repeats (as made: {before:.2})");
    let frame = Frame {
        title: &title,
        x: "reads spent on a dot-product unit",
        y: "error rate per residue",
        log_x: true,
        log_y: true,
        marks: true,
        line: Some((target, "target")),
        ..Frame::default()
    };
    let all = table.distinct("modulus").iter().map(series).collect();
    frame.draw(all).map_or(Ok(()), |svg| folder.text("trim-reads.svg", &svg))
}

/// trim-phases.svg: the share of stages whose detour and bus differ by less than a phase, as made and trimmed.
pub fn phases(folder: &Folder) -> Result<()> {
    let table = Table::read(folder.path(), "trim-phases.csv", &["made_rad", "left_rad"])?;
    let series = |name: &str, column: &str| {
        let mut phases: Vec<f64> = table.rows().map(|r| r.number(column).abs().max(1e-7)).collect();
        phases.sort_by(f64::total_cmp);
        let n = phases.len() as f64;
        let points = phases.into_iter().enumerate().map(|(i, p)| (p, (i as f64 + 1.0) / n)).collect();
        Series { name: name.to_owned(), points, bounds: None, dashed: false }
    };
    let frame = Frame {
        title: "Phase between detour and bus of each stage",
        x: "magnitude (rad)",
        y: "share of stages below it",
        log_x: true,
        y_range: Some((0.0, 1.0)),
        ..Frame::default()
    };
    let all = vec![series("as made", "made_rad"), series("trimmed", "left_rad")];
    frame.draw(all).map_or(Ok(()), |svg| folder.text("trim-phases.svg", &svg))
}

/// drift.svg: what drifts in, and what following it leaves, of one modulus, on the first of its paths.
pub fn drift(folder: &Folder, modulus: u32) -> Result<()> {
    let table = Table::read(
        folder.path(),
        "drift-looks.csv",
        &["modulus", "repeat", "time_s", "drifted_rad", "left_rad"],
    )?;
    let own =
        || table.rows().filter(move |r| r.text("modulus") == modulus.to_string() && r.text("repeat") == "0");
    let series = |name: &str, column: &str| {
        let points = own().map(|r| (r.number("time_s"), 1e3 * r.number(column))).collect();
        Series { name: name.to_owned(), points, bounds: None, dashed: false }
    };
    let title = format!("Drift of the arms, modulus {modulus}");
    let frame = Frame { title: &title, x: "time (s)", y: "phase (mrad)", ..Frame::default() };
    let all = vec![series("drifted in", "drifted_rad"), series("left when followed", "left_rad")];
    frame.draw(all).map_or(Ok(()), |svg| folder.text("drift.svg", &svg))
}
