//! Curves of training runs, and where training breaks.

use super::{Frame, Series};
use crate::error::Result;
use crate::folder::Folder;
use crate::table::{Row, Table};

/// Columns of training.csv that the curves need.
const TRAINING: [&str; 10] = [
    "arithmetic",
    "error_shape",
    "rate",
    "protection",
    "seed",
    "epoch",
    "step",
    "loss",
    "test_accuracy",
    "test_loss",
];

/// A name for a run of training.csv.
fn run_name(row: &Row<'_>) -> String {
    let rate = row.number("rate");
    let parts = [
        row.text("arithmetic").to_owned(),
        row.text("error_shape").to_owned(),
        if rate.is_finite() { format!("at a mean of {rate:.1e}") } else { String::new() },
        if row.text("protection").is_empty() {
            String::new()
        } else {
            format!("({})", row.text("protection"))
        },
    ];
    parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}

/// Loss over steps and accuracy over epochs of the runs of a file like training.csv that `keep` takes.
pub fn curves(folder: &Folder, file: &str, keep: impl Fn(&Row<'_>) -> bool) -> Result<()> {
    let table = Table::read(folder.path(), file, &TRAINING)?;
    let mut runs: Vec<(String, Vec<Row<'_>>)> = Vec::new();
    for row in table.rows().filter(|r| keep(r)) {
        let name = format!("{} seed {}", run_name(&row), row.text("seed"));
        match runs.iter_mut().find(|(n, _)| *n == name) {
            Some((_, rows)) => rows.push(row),
            None => runs.push((name, vec![row])),
        }
    }
    let curve = |column: &'static str, x: &'static str| {
        runs.iter().enumerate().map(move |(i, (name, rows))| Series {
            name: name.clone(),
            points: rows
                .iter()
                .map(|r| (r.number(x), r.number(column)))
                .filter(|p| p.1.is_finite())
                .collect(),
            bounds: None,
            dashed: i % 2 == 1,
        })
    };
    let frame = |title, x, y, marks| Frame { title, x, y, marks, ..Frame::default() };
    let loss =
        frame("Training loss", "step", "cross-entropy (nats)", false).draw(curve("loss", "step").collect());
    // Whole epochs, at most ten or so of them.
    let epochs = runs.iter().flat_map(|(_, rows)| rows).map(|r| r.number("epoch")).fold(1.0, f64::max);
    let by_epoch = |title, y, column| {
        let frame = Frame { x_step: Some((epochs / 10.0).ceil()), ..frame(title, "epoch", y, true) };
        frame.draw(curve(column, "epoch").collect())
    };
    let held_out = by_epoch("Test loss", "cross-entropy (nats)", "test_loss");
    let accuracy = by_epoch("Test accuracy", "share of test images or tokens", "test_accuracy");
    for (name, svg) in [("loss.svg", loss), ("test-loss.svg", held_out), ("accuracy.svg", accuracy)] {
        if let Some(svg) = svg {
            folder.text(name, &svg)?;
        }
    }
    Ok(())
}

/// Final accuracy over the error rate for each shape and protection of tolerance.csv, the mean over seeds with its range.
pub fn tolerance(folder: &Folder) -> Result<()> {
    let table = Table::read(
        folder.path(),
        "tolerance.csv",
        &["error_shape", "protection", "rate", "seeds", "accuracy_mean", "accuracy_min", "accuracy_max"],
    )?;
    let mut series = Vec::new();
    // Runs without errors have no place on a logarithmic axis.
    for shape in table.distinct("error_shape").into_iter().filter(|shape| !shape.is_empty()) {
        for protection in table.distinct("protection") {
            let rows: Vec<Row<'_>> = table
                .rows()
                .filter(|r| r.text("error_shape") == shape && r.text("protection") == protection)
                .collect();
            if rows.is_empty() {
                continue;
            }
            let get = |column: &str| rows.iter().map(|r| r.number(column)).collect::<Vec<f64>>();
            series.push(Series {
                name: format!("{shape}, {protection}"),
                points: get("rate").into_iter().zip(get("accuracy_mean")).collect(),
                bounds: rows
                    .iter()
                    .any(|r| r.number("seeds") > 1.0)
                    .then(|| (get("accuracy_min"), get("accuracy_max"))),
                dashed: shape == "uniform",
            });
        }
    }
    let clean = table.rows().find(|r| r.text("error_shape").is_empty()).map(|r| r.number("accuracy_mean"));
    let rates = || series.iter().flat_map(|s: &Series| &s.points).map(|(rate, _)| *rate);
    let ends = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    if let Some(clean) = clean.filter(|_| !series.is_empty()) {
        let points = vec![(ends.0, clean), (ends.1, clean)];
        series.push(Series { name: "without errors".into(), points, bounds: None, dashed: true });
    }
    let frame = Frame {
        title: "Where training breaks",
        x: "error rate per residue",
        y: "test accuracy",
        log_x: true,
        marks: true,
        y_range: Some((0.0, 1.0)),
        ..Frame::default()
    };
    match frame.draw(series) {
        Some(svg) => folder.text("tolerance.svg", &svg),
        None => Ok(()),
    }
}

/// Final accuracy over the swept key of device-tolerance.csv, a line for each protection: the mean over seeds with its range.
pub fn device_tolerance(folder: &Folder, log: bool) -> Result<()> {
    let columns =
        ["key", "unit", "value", "protection", "seeds", "accuracy_mean", "accuracy_min", "accuracy_max"];
    let table = Table::read(folder.path(), "device-tolerance.csv", &columns)?;
    let series = table.distinct("protection").into_iter().map(|protection| {
        let rows: Vec<Row<'_>> = table.rows().filter(|r| r.text("protection") == protection).collect();
        let get = |column: &str| rows.iter().map(|r| r.number(column)).collect::<Vec<f64>>();
        let several = rows.iter().any(|r| r.number("seeds") > 1.0);
        Series {
            points: get("value").into_iter().zip(get("accuracy_mean")).collect(),
            bounds: several.then(|| (get("accuracy_min"), get("accuracy_max"))),
            name: protection,
            dashed: false,
        }
    });
    let first = table.rows().next().map(|r| format!("{} ({})", r.text("key"), r.text("unit")));
    let x = first.unwrap_or_default().replace(" ()", "");
    let frame = Frame {
        title: "What training makes of the devices",
        x: &x,
        y: "test accuracy",
        log_x: log,
        marks: true,
        y_range: Some((0.0, 1.0)),
        ..Frame::default()
    };
    match frame.draw(series.collect()) {
        Some(svg) => folder.text("device-tolerance.svg", &svg),
        None => Ok(()),
    }
}
