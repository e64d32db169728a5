//! Error rate over swept parameters.

use kuva::plot::{ColorMap, ContourPlot, ScatterPlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use super::{Frame, Series, log_ticks, own_points, spread};
use crate::error::Result;
use crate::folder::Folder;
use crate::study::axis::Axis;
use crate::table::{Row, Table};

/// The smallest probability that a plot shows: what lies below is drawn on the edge.
const FLOOR: f64 = 1e-14;

/// Error rates over a column, with their bounds.
fn rates<'a>(name: String, rows: impl Iterator<Item = Row<'a>>, over: &str) -> Series {
    let rows: Vec<Row<'_>> = rows.collect();
    let clip = |p: f64| p.clamp(FLOOR, 1.0);
    let bound = |column: &str| rows.iter().map(|r| clip(r.number(column))).collect::<Vec<f64>>();
    let bounds = (bound("lower"), bound("upper"));
    Series {
        name,
        points: rows.iter().map(|r| (r.number(over), clip(r.number("error_rate")))).collect(),
        bounds: bounds.0.iter().chain(&bounds.1).all(|b| b.is_finite()).then_some(bounds),
        dashed: false,
    }
}

/// One plot for each sweep of errors.csv: error rate over the swept value, a line for each modulus. `own` gives the design's own
/// value of a parameter, which is marked where the sweep passes it, with the design's own rates.
pub fn around(
    folder: &Folder,
    target: f64,
    rates_of_design: &[f64],
    own: impl Fn(&str) -> Option<f64>,
) -> Result<Vec<String>> {
    let columns = ["sweep", "parameter", "value", "unit", "modulus", "error_rate", "lower", "upper"];
    let table = Table::read(folder.path(), "errors.csv", &columns)?;
    let mut names = Vec::new();
    for sweep in table.distinct("sweep") {
        let of_sweep = |row: &Row<'_>| row.text("sweep") == sweep && row.number("error_rate") > 0.0;
        let Some(first) = table.rows().find(|r| r.text("sweep") == sweep) else { continue };
        let values: Vec<f64> = table.rows().filter(of_sweep).map(|r| r.number("value")).collect();
        let positive = values.iter().copied().filter(|v| *v > 0.0);
        let log_x = spread(positive.map(f64::ln)).exp() > 8.0;
        let series = table.distinct("modulus").into_iter().map(|modulus| {
            // A logarithmic axis has no place for zero; the CSV has it.
            let shown = |r: &Row<'_>| r.text("modulus") == modulus && !(log_x && r.number("value") <= 0.0);
            rates(format!("modulus {modulus}"), table.rows().filter(of_sweep).filter(shown), "value")
        });
        let (name, unit) = (spoken(&sweep), first.text("unit"));
        let own = own(first.text("parameter"))
            .filter(|own| values.iter().any(|v| v <= own) && values.iter().any(|v| v >= own));
        let x = if unit.is_empty() { name.clone() } else { format!("{name} ({unit})") };
        let title = format!("Residue error rate over {name}");
        let frame = Frame {
            title: &title,
            x: &x,
            y: "error rate per residue",
            log_x,
            log_y: true,
            marks: true,
            x_step: (unit == "bit").then_some(2.0),
            y_range: Some((FLOOR, 1.0)),
            line: Some((target, "target")),
            place: own.map(|own| (own, "this design")),
            own: at_design(own.filter(|own| !log_x || *own > 0.0), rates_of_design),
        };
        if let Some(svg) = frame.draw(series.collect()) {
            let name = format!("sweep-{}.svg", sweep.replace([' ', '_'], "-"));
            folder.text(&name, &svg)?;
            names.push(name);
        }
    }
    Ok(names)
}

/// The design's own rates at its own value.
fn at_design(own: Option<f64>, rates: &[f64]) -> Vec<(f64, f64)> {
    own.iter().flat_map(|x| rates.iter().map(move |p| (*x, p.clamp(FLOOR, 1.0)))).collect()
}

/// The name of a sweep in words.
fn spoken(sweep: &str) -> String {
    let words = sweep.split(['_', '-']).map(|word| match word {
        "dac" | "adc" | "tia" => word.to_uppercase(),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// sweep.svg from sweep.csv: the waterfall of each modulus in one dimension, the worst modulus as a map in two. The design's
/// own values are marked. Nothing is drawn when no point has a rate.
pub fn draw(
    folder: &Folder,
    axes: &[Axis],
    (own, rates_of_design): (&[Option<f64>], &[f64]),
    target: f64,
) -> Result<()> {
    let keys: Vec<String> = axes.iter().filter_map(|axis| axis.columns().next()).collect();
    let mut needed: Vec<&str> = keys.iter().map(String::as_str).collect();
    needed.extend(["modulus", "error_rate", "lower", "upper"]);
    let table = Table::read(folder.path(), "sweep.csv", &needed)?;
    let svg = match (axes, &keys[..], own) {
        ([axis], [key], [own]) => waterfall(&table, (axis, key, *own), rates_of_design, target),
        ([x, y], [x_key, y_key], [x_own, y_own]) => {
            map(&table, (x, x_key, *x_own), (y, y_key, *y_own), target)
        }
        _ => None,
    };
    svg.map_or(Ok(()), |svg| folder.text("sweep.svg", &svg))
}

/// An axis, its column, and the design's own value.
type Along<'a> = (&'a Axis, &'a str, Option<f64>);

fn waterfall(
    table: &Table,
    (axis, key, own): Along<'_>,
    rates_of_design: &[f64],
    target: f64,
) -> Option<String> {
    let series = table.distinct("modulus").into_iter().map(|modulus| {
        let of = |r: &Row<'_>| r.text("modulus") == modulus && r.number("error_rate").is_finite();
        rates(format!("modulus {modulus}"), table.rows().filter(of), key)
    });
    let title = format!("Residue error rate over {}", axis.keys.join(", "));
    let own = own.filter(|own| inside(axis, *own));
    let frame = Frame {
        title: &title,
        x: key,
        y: "error rate per residue",
        log_x: axis.log,
        log_y: true,
        marks: true,
        y_range: Some((FLOOR, 1.0)),
        line: Some((target, "target")),
        place: own.map(|own| (own, "this design")),
        own: at_design(own, rates_of_design),
        ..Frame::default()
    };
    frame.draw(series.collect())
}

fn inside(axis: &Axis, value: f64) -> bool {
    let (low, high) = axis.values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    (low..=high).contains(&value)
}

/// Logarithm of the worst modulus' error rate in colour, with the target as a line.
fn map(table: &Table, x: Along<'_>, y: Along<'_>, target: f64) -> Option<String> {
    let place = |axis: &Axis, v: f64| if axis.log { v.log10() } else { v };
    let worst = |x_value: f64, y_value: f64| {
        let here = |r: &Row<'_>| r.number(x.1) == x_value && r.number(y.1) == y_value;
        table.rows().filter(here).map(|r| r.number("error_rate")).fold(f64::NAN, f64::max)
    };
    // Rising values, as contours need; a point without a rate has no solution and counts as certain.
    let sorted = |axis: &Axis| {
        let mut values = axis.values.clone();
        values.sort_by(f64::total_cmp);
        values
    };
    let (xs, ys) = (sorted(x.0), sorted(y.0));
    let rate =
        |x: f64, y: f64| Some(worst(x, y)).filter(|p| p.is_finite()).unwrap_or(1.0).clamp(FLOOR, 1.0).log10();
    let z: Vec<Vec<f64>> = ys.iter().map(|&y| xs.iter().map(|&x| rate(x, y)).collect()).collect();
    if xs.len() < 2 || ys.len() < 2 {
        return None;
    }
    let at = |axis: &Axis, values: &[f64]| values.iter().map(|v| place(axis, *v)).collect::<Vec<_>>();
    let (x_at, y_at) = (at(x.0, &xs), at(y.0, &ys));
    // One band for each power of ten.
    let (low, high) = z.iter().flatten().fold((0f64, FLOOR.log10()), |(l, h), v| (l.min(*v), h.max(*v)));
    let levels: Vec<f64> = (low.floor() as i32..=high.ceil() as i32).map(f64::from).collect();
    let filled = ContourPlot::new().with_grid(z.clone(), x_at.clone(), y_at.clone()).with_levels(&levels);
    let filled = filled.with_filled().with_colormap(ColorMap::Viridis).with_legend("log10 of the error rate");
    let line = ContourPlot::new().with_grid(z, x_at.clone(), y_at.clone()).with_levels(&[target.log10()]);
    let line = line.with_line_color("#D55E00").with_line_width(2.5);
    // Where the sweep was: between these the contours are drawn straight.
    let visited: Vec<(f64, f64)> = x_at.iter().flat_map(|x| y_at.iter().map(move |y| (*x, *y))).collect();
    let visited = ScatterPlot::new().with_data(visited).with_color("#B0B0B0").with_size(1.5);
    let mut plots: Vec<Plot> = vec![filled.into(), line.into(), visited.into()];
    if let (Some(x_own), Some(y_own)) = (x.2.filter(|v| inside(x.0, *v)), y.2.filter(|v| inside(y.0, *v))) {
        let here = vec![(place(x.0, x_own), place(y.0, y_own))];
        plots.push(own_points(here.clone(), "#000000", 9.0).into());
        plots.push(own_points(here, "#FFFFFF", 6.0).into());
    }
    let mut layout = Layout::auto_from_plots(&plots)
        .with_title("Worst modulus (line: target; diamond: this design; dots: sweep)")
        .with_x_label(x.1)
        .with_y_label(y.1)
        .with_width(820.0)
        .with_height(560.0)
        .with_x_axis_min(x_at[0])
        .with_x_axis_max(x_at[x_at.len() - 1])
        .with_y_axis_min(y_at[0])
        .with_y_axis_max(y_at[y_at.len() - 1]);
    if x.0.log {
        let (step, labels) = log_ticks(spread(x_at.into_iter()));
        layout = layout.with_x_tick_step(step).with_x_tick_format(labels);
    }
    if y.0.log {
        let (step, labels) = log_ticks(spread(y_at.into_iter()));
        layout = layout.with_y_tick_step(step).with_y_tick_format(labels);
    }
    Some(kuva::render_to_svg(plots, layout))
}
