//! Pictures of the tables of a run folder, as SVG.

use std::sync::Arc;

use kuva::plot::legend::LegendPosition;
use kuva::plot::{BarPlot, LinePlot, ScatterPlot};
use kuva::render::annotations::ReferenceLine;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use crate::error::Result;
use crate::folder::Folder;
use crate::table::{Row, Table};

/// Colours that people with any colour vision tell apart (Okabe and Ito; Wong, Nature Methods 2011), and greys.
const COLOURS: [&str; 13] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31", "#7F7F7F",
    "#B4A7D6", "#A6D854", "#D9D9D9", "#5B3A8C",
];

fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// A line of a plot: its name, its points, and lower and upper bounds where there are any.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    bounds: Option<(Vec<f64>, Vec<f64>)>,
    dashed: bool,
}

/// What a plot of lines looks like.
struct Frame<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    log_x: bool,
    log_y: bool,
    marks: bool,
    x_step: Option<f64>,
    y_range: Option<(f64, f64)>,
    line: Option<(f64, &'a str)>,
}

impl Frame<'_> {
    /// Logarithms are taken here, not by the plotting crate, whose logarithmic axes end at 1e-10.
    fn draw(&self, series: Vec<Series>) -> Option<String> {
        let x = |v: f64| if self.log_x { v.log10() } else { v };
        let y = |v: f64| if self.log_y { v.log10() } else { v };
        let mut plots: Vec<Plot> = Vec::new();
        for (i, s) in series.into_iter().filter(|s| !s.points.is_empty()).enumerate() {
            let points: Vec<(f64, f64)> = s.points.iter().map(|p| (x(p.0), y(p.1))).collect();
            let mut line =
                LinePlot::new().with_data(points.clone()).with_color(colour(i)).with_legend(s.name);
            if let Some((lower, upper)) = s.bounds {
                line = line.with_band(lower.into_iter().map(y), upper.into_iter().map(y));
            }
            plots.push(if s.dashed { line.with_dashed() } else { line }.into());
            if self.marks {
                plots.push(ScatterPlot::new().with_data(points).with_color(colour(i)).with_size(3.0).into());
            }
        }
        if plots.is_empty() {
            return None;
        }
        let mut layout = Layout::auto_from_plots(&plots)
            .with_title(self.title)
            .with_x_label(self.x)
            .with_y_label(self.y)
            .with_width(760.0)
            .with_height(420.0);
        if self.log_x {
            layout = layout.with_x_tick_step(1.0).with_x_tick_format(powers_of_ten());
        }
        if self.log_y {
            layout = layout.with_y_tick_step(2.0).with_y_tick_format(powers_of_ten());
        }
        if let Some(step) = self.x_step {
            layout = layout.with_x_tick_step(step);
        }
        if let Some((low, high)) = self.y_range {
            layout = layout.with_y_axis_min(y(low)).with_y_axis_max(y(high));
        }
        if let Some((value, label)) = self.line {
            layout = layout.with_reference_line(ReferenceLine::horizontal(y(value)).with_label(label));
        }
        Some(kuva::render_to_svg(plots, layout))
    }
}

/// Labels of an axis of logarithms: the whole powers of ten.
fn powers_of_ten() -> TickFormat {
    TickFormat::Custom(Arc::new(|v: f64| {
        if (v - v.round()).abs() < 1e-6 { format!("1e{}", v.round()) } else { String::new() }
    }))
}

/// The smallest probability that a plot shows: what lies below is drawn on the edge.
const FLOOR: f64 = 1e-14;

/// One plot for each sweep of errors.csv: error rate over the swept value, a line for each modulus.
pub fn sweeps(folder: &Folder, target: f64) -> Result<Vec<String>> {
    let table = Table::read(
        folder.path(),
        "errors.csv",
        &["sweep", "value", "unit", "modulus", "error_rate", "lower", "upper"],
    )?;
    let mut names = Vec::new();
    for sweep in table.distinct("sweep") {
        let of_sweep = |row: &Row<'_>| row.text("sweep") == sweep && row.number("error_rate") > 0.0;
        let Some(first) = table.rows().find(|r| r.text("sweep") == sweep) else { continue };
        let values: Vec<f64> = table.rows().filter(of_sweep).map(|r| r.number("value")).collect();
        let positive = values.iter().copied().filter(|v| *v > 0.0);
        let (low, high) = positive.fold((f64::MAX, 0f64), |(l, h), v| (l.min(v), h.max(v)));
        let log_x = high / low > 8.0;
        let series = table.distinct("modulus").into_iter().map(|modulus| {
            // A logarithmic axis has no place for zero; the CSV has it.
            let shown = |r: &Row<'_>| r.text("modulus") == modulus && !(log_x && r.number("value") <= 0.0);
            let rows: Vec<Row<'_>> = table.rows().filter(of_sweep).filter(shown).collect();
            let clip = |p: f64| p.clamp(FLOOR, 1.0);
            let bound = |column: &str| rows.iter().map(|r| clip(r.number(column))).collect::<Vec<f64>>();
            let bounds = (bound("lower"), bound("upper"));
            Series {
                name: format!("modulus {modulus}"),
                points: rows.iter().map(|r| (r.number("value"), clip(r.number("error_rate")))).collect(),
                bounds: bounds.0.iter().chain(&bounds.1).all(|b| b.is_finite()).then_some(bounds),
                dashed: false,
            }
        });
        let unit = first.text("unit");
        let x = format!(
            "{} {}",
            sweep.replace(['_', '-'], " "),
            if unit.is_empty() { String::new() } else { format!("({unit})") }
        );
        let title = format!("Residue error rate over {}", sweep.replace(['_', '-'], " "));
        let frame = Frame {
            title: &title,
            x: x.trim(),
            y: "error rate per residue",
            log_x,
            log_y: true,
            marks: true,
            x_step: (unit == "bit").then_some(2.0),
            y_range: Some((FLOOR, 1.0)),
            line: Some((target, "target")),
        };
        if let Some(svg) = frame.draw(series.collect()) {
            let name = format!("sweep-{}.svg", sweep.replace([' ', '_'], "-"));
            folder.text(&name, &svg)?;
            names.push(name);
        }
    }
    Ok(names)
}

/// Columns of training.csv that the curves need.
const TRAINING: [&str; 9] =
    ["arithmetic", "error_shape", "rate", "protection", "seed", "epoch", "step", "loss", "test_accuracy"];

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
pub fn training(folder: &Folder, file: &str, keep: impl Fn(&Row<'_>) -> bool) -> Result<()> {
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
    let frame = |title, x, y, marks| Frame {
        title,
        x,
        y,
        log_x: false,
        log_y: false,
        marks,
        x_step: None,
        y_range: None,
        line: None,
    };
    let loss =
        frame("Training loss", "step", "cross-entropy (nats)", false).draw(curve("loss", "step").collect());
    let accuracy = frame("Test accuracy", "epoch", "share of test images", true)
        .draw(curve("test_accuracy", "epoch").collect());
    for (name, svg) in [("loss.svg", loss), ("accuracy.svg", accuracy)] {
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
    for shape in table.distinct("error_shape") {
        for protection in table.distinct("protection") {
            let rows: Vec<Row<'_>> = table
                .rows()
                .filter(|r| r.text("error_shape") == shape && r.text("protection") == protection)
                .collect();
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
    let frame = Frame {
        title: "Where training breaks",
        x: "error rate per residue",
        y: "test accuracy",
        log_x: true,
        log_y: false,
        marks: true,
        x_step: None,
        y_range: Some((0.0, 1.0)),
        line: None,
    };
    match frame.draw(series) {
        Some(svg) => folder.text("tolerance.svg", &svg),
        None => Ok(()),
    }
}

/// Stacked bars of a long table: one bar for each value of `bar`, one part for each of `part`; each bar sums to 1.
pub fn shares(
    folder: &Folder,
    file: &str,
    name: &str,
    title: &str,
    [bar, part, value]: [&str; 3],
) -> Result<()> {
    let table = Table::read(folder.path(), file, &[bar, part, value])?;
    let parts: Vec<String> = table
        .distinct(part)
        .into_iter()
        .filter(|p| table.rows().any(|r| r.text(part) == p && r.number(value) > 0.0))
        .collect();
    let mut plot = BarPlot::new().with_legend(parts.iter().map(String::as_str).collect()).with_stacked();
    for b in table.distinct(bar) {
        let of = |p: &String| {
            table
                .rows()
                .filter(|r| r.text(bar) == b && r.text(part) == p)
                .map(|r| r.number(value))
                .sum::<f64>()
        };
        let values: Vec<f64> = parts.iter().map(of).collect();
        let total: f64 = values.iter().sum();
        let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
        plot = plot.with_group(
            b,
            values.iter().enumerate().map(|(i, v)| (v * scale, colour(i))).collect::<Vec<_>>(),
        );
    }
    let plots: Vec<Plot> = vec![plot.into()];
    let layout = Layout::auto_from_plots(&plots)
        .with_title(title)
        .with_y_label("share")
        .with_width(860.0)
        .with_height(440.0)
        .with_y_axis_min(0.0)
        .with_y_axis_max(1.0)
        .with_x_tick_rotate(-30.0)
        .with_legend_position(LegendPosition::OutsideRightTop);
    folder.text(name, &kuva::render_to_svg(plots, layout))
}
