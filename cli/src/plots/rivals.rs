//! The chip beside systolic arrays: bars of ratios, where the power goes, roofs, intervals.

use std::sync::Arc;

use kuva::plot::legend::LegendPosition;
use kuva::plot::{BarPlot, ForestPlot, LinePlot, ScatterPlot};
use kuva::render::annotations::ReferenceLine;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use super::{colour, ends, log_label, log_labels, log_step};
use crate::error::Result;
use crate::folder::Folder;
use crate::table::Table;

/// Share of the power below which a component is not drawn on its own.
const LEAST: f64 = 0.015;

/// compare-speedup.svg, compare-edp.svg, breakdown.svg and roofline.svg from the tables of `mirage compare`.
pub fn compare(folder: &Folder) -> Result<()> {
    for (rule, column, name, title) in [
        (
            "iso-energy",
            "speedup",
            "compare-speedup.svg",
            "Time of a step over the chip's, arrays of equal energy a cycle",
        ),
        (
            "iso-energy",
            "edp_ratio",
            "compare-edp.svg",
            "Energy-delay product over the chip's, arrays of equal energy a cycle",
        ),
        ("iso-area", "power_ratio", "compare-power.svg", "Mean power over the chip's, arrays of equal area"),
    ] {
        bars(folder, rule, column, name, title)?;
    }
    power(folder)?;
    roofline(folder)
}

/// Bars of a ratio on a logarithmic axis, a group for each network and a bar for each format.
fn bars(folder: &Folder, rule: &str, column: &str, name: &str, title: &str) -> Result<()> {
    let table = Table::read(folder.path(), "compare.csv", &["network", "rule", "format", column])?;
    let rows = || table.rows().filter(|row| row.text("rule") == rule);
    let mut formats: Vec<String> = Vec::new();
    for row in rows() {
        if !formats.iter().any(|format| format == row.text("format")) {
            formats.push(row.text("format").to_owned());
        }
    }
    let values: Vec<f64> = rows().map(|row| row.number(column).log10()).filter(|v| v.is_finite()).collect();
    let (low, high) = ends(values.iter().copied().chain([0.0]));
    // Bars begin at the bottom of the plot: a decade below the least.
    let base = (low - 0.3).floor();
    let mut plot = BarPlot::new().with_legend(formats.iter().map(String::as_str).collect());
    for network in table.distinct("network") {
        let of = |format: &String| {
            let row =
                rows().find(|row| row.text("network") == network && row.text("format") == format.as_str());
            row.map_or(0.0, |row| (row.number(column).log10() - base).max(0.0))
        };
        let group: Vec<(f64, &str)> =
            formats.iter().enumerate().map(|(i, format)| (of(format), colour(i))).collect();
        plot = plot.with_group(network, group);
    }
    let plots: Vec<Plot> = vec![plot.into()];
    let layout = Layout::auto_from_plots(&plots)
        .with_title(title)
        .with_y_label("ratio (more than 1: the chip is better)")
        .with_width(900.0)
        .with_height(440.0)
        .with_y_axis_min(0.0)
        .with_y_axis_max(high.ceil() - base)
        .with_y_tick_step(1.0)
        .with_y_tick_format(TickFormat::Custom(Arc::new(move |v| log_label(v + base))))
        .with_x_tick_rotate(-30.0)
        .with_reference_line(ReferenceLine::horizontal(-base).with_label("equal"))
        .with_legend_position(LegendPosition::OutsideRightTop);
    folder.text(name, &kuva::render_to_svg(plots, layout))
}

/// breakdown.svg: mean power of each component, the chip on each network.
fn power(folder: &Folder) -> Result<()> {
    let table = Table::read(folder.path(), "breakdown.csv", &["network", "format", "component", "watts"])?;
    let rows = || table.rows().filter(|row| row.text("format") == "Mirage");
    // Parts that nowhere take much are drawn as one.
    let total = |network: &str| -> f64 {
        rows().filter(|row| row.text("network") == network).map(|row| row.number("watts")).sum()
    };
    let mut parts: Vec<String> = Vec::new();
    for row in rows() {
        let name = row.text("component");
        if row.number("watts") > LEAST * total(row.text("network")) && !parts.iter().any(|part| part == name)
        {
            parts.push(name.to_owned());
        }
    }
    parts.sort_by_key(|part| table.distinct("component").iter().position(|name| name == part));
    let legend: Vec<&str> = parts.iter().map(String::as_str).chain(["all else"]).collect();
    let mut plot = BarPlot::new().with_legend(legend).with_stacked();
    for network in table.distinct("network") {
        let of = |part: &String| {
            let row =
                rows().find(|row| row.text("network") == network && row.text("component") == part.as_str());
            row.map_or(0.0, |row| row.number("watts"))
        };
        let mut values: Vec<f64> = parts.iter().map(of).collect();
        values.push((total(&network) - values.iter().sum::<f64>()).max(0.0));
        let group: Vec<(f64, &str)> =
            values.into_iter().enumerate().map(|(i, watts)| (watts, colour(i))).collect();
        plot = plot.with_group(network, group);
    }
    let plots: Vec<Plot> = vec![plot.into()];
    let layout = Layout::auto_from_plots(&plots)
        .with_title("Mean power of the chip in a training step")
        .with_y_label("W")
        .with_width(900.0)
        .with_height(460.0)
        .with_y_axis_min(0.0)
        .with_x_tick_rotate(-30.0)
        .with_legend_position(LegendPosition::OutsideRightTop);
    folder.text("breakdown.svg", &kuva::render_to_svg(plots, layout))
}

/// roofline.svg: what the chip reaches on each network under its roofs.
fn roofline(folder: &Folder) -> Result<()> {
    let columns =
        ["network", "format", "macs_per_byte", "macs_per_second", "peak_macs_per_second", "bytes_per_second"];
    let table = Table::read(folder.path(), "roofline.csv", &columns)?;
    let rows: Vec<_> = table.rows().filter(|row| row.text("format") == "Mirage").collect();
    let Some(first) = rows.first() else { return Ok(()) };
    let (peak, bandwidth) = (first.number("peak_macs_per_second"), first.number("bytes_per_second"));
    let ridge = peak / bandwidth;
    let (low, high) = ends(rows.iter().map(|row| row.number("macs_per_byte")).chain([ridge]));
    let roof = |x: f64| (x.log10(), peak.min(x * bandwidth).log10());
    let line: Vec<(f64, f64)> = [low / 3.0, ridge, high * 3.0].into_iter().map(roof).collect();
    let mut plots: Vec<Plot> =
        vec![LinePlot::new().with_data(line).with_color("#000000").with_legend("roof").into()];
    for (i, row) in rows.iter().enumerate() {
        let point = (row.number("macs_per_byte").log10(), row.number("macs_per_second").log10());
        let plot = ScatterPlot::new().with_data(vec![point]).with_color(colour(i)).with_size(5.0);
        plots.push(plot.with_legend(row.text("network")).into());
    }
    let layout = Layout::auto_from_plots(&plots)
        .with_title("Roofline: a training step under the peak and the off-chip memory")
        .with_x_label("multiply-accumulates for each byte off the chip")
        .with_y_label("multiply-accumulates a second")
        .with_width(760.0)
        .with_height(440.0)
        .with_x_tick_step(log_step((9.0 * high / low).log10()))
        .with_x_tick_format(log_labels())
        .with_y_tick_step(1.0)
        .with_y_tick_format(log_labels())
        .with_legend_position(LegendPosition::OutsideRightTop);
    folder.text("roofline.svg", &kuva::render_to_svg(plots, layout))
}

/// A value with its ends.
pub struct Interval {
    pub label: String,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Intervals below one another on a logarithmic axis, with a line at `mark`.
pub fn intervals(
    folder: &Folder,
    name: &str,
    (title, x): (&str, &str),
    intervals: &[Interval],
    mark: Option<f64>,
) -> Result<()> {
    let mut plot = ForestPlot::new().with_color(colour(0)).with_marker_size(4.0).with_cap_size(4.0);
    plot = match mark {
        Some(mark) => plot.with_null_value(mark.log10()),
        None => plot.with_show_null_line(false),
    };
    for i in intervals {
        plot = plot.with_row(i.label.clone(), i.value.log10(), i.low.log10(), i.high.log10());
    }
    let all = intervals.iter().flat_map(|i| [i.low, i.high]).chain(mark).map(f64::log10);
    let (low, high) = ends(all);
    let plots = vec![Plot::Forest(plot)];
    let layout = Layout::auto_from_plots(&plots)
        .with_title(title)
        .with_x_label(x)
        .with_width(860.0)
        .with_height(120.0 + 22.0 * intervals.len() as f64)
        .with_x_tick_step(log_step(high - low))
        .with_x_tick_format(log_labels());
    folder.text(name, &kuva::render_to_svg(plots, layout))
}

/// explore.svg: energy over time of all designs; those that nothing beats are marked. An axis is logarithmic from a decade on.
pub fn explore(folder: &Folder) -> Result<()> {
    let table = Table::read(folder.path(), "explore.csv", &["seconds", "joules", "pareto"])?;
    let of = |front: &str| -> Vec<(f64, f64)> {
        let rows = table.rows().filter(|row| row.text("pareto") == front);
        let points = rows.map(|row| (row.number("seconds"), row.number("joules")));
        points.filter(|point| point.0.is_finite() && point.1.is_finite()).collect()
    };
    let (others, front) = (of("no"), of("yes"));
    let all = || others.iter().chain(&front);
    if all().next().is_none() {
        return Ok(());
    }
    let decades = |(low, high): (f64, f64)| (high / low).log10();
    let (x, y) = (decades(ends(all().map(|p| p.0))), decades(ends(all().map(|p| p.1))));
    let scale = |decades: f64, value: f64| if decades < 1.0 { value } else { value.log10() };
    let mut plots: Vec<Plot> = Vec::new();
    for (points, colour, name) in [
        (&others, colour(8), "others"),
        (&front, colour(1), "not beaten in time, energy, area and error rate"),
    ] {
        if !points.is_empty() {
            let data: Vec<(f64, f64)> = points.iter().map(|p| (scale(x, p.0), scale(y, p.1))).collect();
            plots.push(
                ScatterPlot::new().with_data(data).with_color(colour).with_size(4.0).with_legend(name).into(),
            );
        }
    }
    let mut layout = Layout::auto_from_plots(&plots)
        .with_title("Designs: energy over time of a training step")
        .with_x_label("time (s)")
        .with_y_label("energy (J)")
        .with_width(760.0)
        .with_height(460.0)
        .with_legend_position(LegendPosition::OutsideBottomColumns);
    if x >= 1.0 {
        layout = layout.with_x_tick_step(log_step(x)).with_x_tick_format(log_labels());
    }
    if y >= 1.0 {
        layout = layout.with_y_tick_step(log_step(y)).with_y_tick_format(log_labels());
    }
    folder.text("explore.svg", &kuva::render_to_svg(plots, layout))
}
