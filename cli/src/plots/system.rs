//! Pictures of a simulated step.

use std::collections::BTreeMap;
use std::sync::Arc;

use kuva::plot::legend::LegendPosition;
use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use mirage_system::trace::{Bar, lines};

use super::colour;
use crate::error::Result;
use crate::folder::Folder;
use crate::table::{Row, Table};

/// The lines of the picture, from the top: what they hold, by stage and work.
const ROWS: [&str; 6] = ["forward", "dX", "dW", "vector unit", "update", "all-reduce"];

fn row_of(row: &Row<'_>) -> usize {
    match (row.text("work"), row.text("stage")) {
        ("all-reduce", _) => 5,
        ("optimiser", _) => 4,
        ("product", "forward") => 0,
        ("product", "dX") => 1,
        ("product", _) => 2,
        _ => 3,
    }
}

/// When each operation of the step was done: gantt.svg from layers.csv. What overlaps lies side by side.
pub fn gantt(folder: &Folder, network: &str) -> Result<()> {
    let table = Table::read(folder.path(), "layers.csv", &["stage", "work", "begin_s", "seconds"])?;
    let longest = table.rows().map(|row| row.number("begin_s") + row.number("seconds")).fold(0.0, f64::max);
    let (scale, unit) = if longest < 1e-3 { (1e6, "us") } else { (1e3, "ms") };
    // Whole picoseconds, as the simulation has them.
    let ticks = |seconds: f64| (seconds * 1e12).round() as u64;
    let mut by_row: BTreeMap<usize, Vec<Bar>> = BTreeMap::new();
    for row in table.rows() {
        let begin = row.number("begin_s");
        let (begin, end) = (ticks(begin), ticks(begin + row.number("seconds")));
        by_row.entry(row_of(&row)).or_default().push(Bar { name: String::new(), kind: "", begin, end });
    }
    let mut plots: Vec<Plot> = Vec::new();
    for (row, bars) in &by_row {
        let sides = lines(bars);
        let most = sides.iter().max().map_or(1, |most| most + 1) as f64;
        for (number, (bar, side)) in bars.iter().zip(sides).enumerate() {
            let y = (ROWS.len() - row) as f64 + 0.36 * (0.5 - (side as f64 + 0.5) / most) * 2.0;
            let at = |tick: u64| tick as f64 * 1e-12 * scale;
            let width = 30.0 / most;
            let mut line = LinePlot::new()
                .with_data(vec![(at(bar.begin), y), (at(bar.end), y)])
                .with_color(colour(*row))
                .with_stroke_width(width);
            if number == 0 {
                line = line.with_legend(ROWS[*row]);
            }
            plots.push(line.into());
        }
    }
    let layout = Layout::auto_from_plots(&plots)
        .with_title(format!("A training step of {network}"))
        .with_x_label(format!("time, {unit}"))
        .with_width(1000.0)
        .with_height(420.0)
        .with_x_axis_min(0.0)
        .with_x_axis_max(longest * scale)
        .with_y_axis_min(0.4)
        .with_y_axis_max(ROWS.len() as f64 + 0.6)
        .with_y_tick_step(1.0)
        .with_y_tick_format(TickFormat::Custom(Arc::new(|y| {
            let row = ROWS.len() as f64 - y.round();
            ROWS.get(row as usize).filter(|_| row >= 0.0).map_or(String::new(), |name| (*name).to_owned())
        })))
        .with_legend_position(LegendPosition::OutsideRightTop);
    folder.text("gantt.svg", &kuva::render_to_svg(plots, layout))
}

/// Utilisation of each product by layer: utilisation.svg from layers.csv.
pub fn utilisation(folder: &Folder, network: &str) -> Result<()> {
    let table = Table::read(folder.path(), "layers.csv", &["layer", "stage", "work", "utilisation"])?;
    let products = || table.rows().filter(|row| row.text("work") == "product");
    let mut layers: Vec<&str> = Vec::new();
    for row in products() {
        if !layers.contains(&row.text("layer")) {
            layers.push(row.text("layer"));
        }
    }
    if layers.is_empty() {
        return Ok(());
    }
    let mut plots: Vec<Plot> = Vec::new();
    for (index, stage) in ROWS[..3].iter().enumerate() {
        let of = products().filter(|row| row.text("stage") == *stage);
        let points: Vec<(f64, f64)> = of
            .filter_map(|row| {
                let place = layers.iter().position(|layer| *layer == row.text("layer"))?;
                Some((place as f64 + 1.0, row.number("utilisation")))
            })
            .collect();
        if !points.is_empty() {
            let plot = ScatterPlot::new().with_data(points).with_color(colour(index)).with_size(4.0);
            plots.push(plot.with_legend(*stage).into());
        }
    }
    let layout = Layout::auto_from_plots(&plots)
        .with_title(format!("Utilisation while each product is open: {network}"))
        .with_x_label("layer, in the order of the forward pass")
        .with_y_label("share of the peak")
        .with_width(860.0)
        .with_height(420.0)
        .with_y_axis_min(0.0)
        .with_y_axis_max(1.0)
        .with_legend_position(LegendPosition::OutsideRightTop);
    folder.text("utilisation.svg", &kuva::render_to_svg(plots, layout))
}
