//! Pictures of the tables of a run folder, as SVG.

pub mod calibration;
pub mod circuit;
pub mod depth;
pub mod rivals;
pub mod stream;
pub mod sweep;
pub mod system;
pub mod training;
pub mod trim;

use std::sync::Arc;

use kuva::plot::legend::LegendPosition;
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{BarPlot, LinePlot, ScatterPlot};
use kuva::render::annotations::ReferenceLine;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use crate::error::Result;
use crate::folder::Folder;
use crate::table::Table;

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
#[derive(Default)]
struct Frame<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    log_x: bool,
    log_y: bool,
    marks: bool,
    x_step: Option<f64>,
    y_range: Option<(f64, f64)>,
    /// A level on the vertical axis, with its name.
    line: Option<(f64, &'a str)>,
    /// A place on the horizontal axis, with its name.
    place: Option<(f64, &'a str)>,
    /// Points of their own, such as those of the design between the points of a coarse sweep.
    own: Vec<(f64, f64)>,
}

/// Decades of a horizontal axis below which its ticks are 1, 2 and 5 of each.
const SHORT: f64 = 2.5;

impl Frame<'_> {
    /// Logarithms are taken here, not by the plotting crate, whose logarithmic axes end at 1e-10.
    fn draw(&self, series: Vec<Series>) -> Option<String> {
        let all_x = || series.iter().flat_map(|s| &s.points).chain(&self.own).map(|p| p.0);
        let decades = spread(all_x().map(f64::log10));
        let (low, high) = ends(all_x());
        // On short axes the crate's own logarithms serve, and its ticks.
        let short = self.log_x && decades < SHORT && low > 1e-9;
        let x = |v: f64| if self.log_x && !short { v.log10() } else { v };
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
        if !self.own.is_empty() {
            let points: Vec<(f64, f64)> = self.own.iter().map(|p| (x(p.0), y(p.1))).collect();
            plots.push(own_points(points, "#000000", 4.5).into());
        }
        let mut layout = Layout::auto_from_plots(&plots)
            .with_title(self.title)
            .with_x_label(self.x)
            .with_y_label(self.y)
            .with_width(760.0)
            .with_height(420.0);
        if short {
            // Room at both ends, which the crate would widen to whole decades.
            let room = 10f64.powf(0.03 * decades.max(0.1));
            layout = layout.with_log_x().with_x_axis_min(low / room).with_x_axis_max(high * room);
            layout = layout.with_x_tick_format(TickFormat::Custom(Arc::new(|v| log_label(v.log10()))));
        } else if self.log_x {
            layout = layout.with_x_tick_step(log_step(decades)).with_x_tick_format(log_labels());
        }
        if self.log_y {
            layout = layout.with_y_tick_step(2.0).with_y_tick_format(log_labels());
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
        if let Some((value, label)) = self.place.filter(|(value, _)| !self.log_x || *value > 0.0) {
            let line = ReferenceLine::vertical(x(value)).with_color("#7F7F7F");
            layout = layout.with_reference_line(line.with_label(label));
        }
        Some(kuva::render_to_svg(plots, layout))
    }
}

/// How the design's own point looks.
fn own_points(points: Vec<(f64, f64)>, colour: &str, size: f64) -> ScatterPlot {
    let plot = ScatterPlot::new().with_data(points).with_color(colour).with_size(size);
    plot.with_marker(MarkerShape::Diamond)
}

/// The smallest and the largest of some numbers.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)))
}

/// Distance of the largest and the smallest of some numbers.
fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = ends(values);
    (high - low).max(0.0)
}

/// Distance of the ticks of an axis of logarithms that spans so many decades: some labels on short axes too.
fn log_step(decades: f64) -> f64 {
    match decades {
        d if d > 8.0 => 2.0,
        d if d > 2.5 => 1.0,
        d if d > 1.2 => 0.5,
        _ => 0.25,
    }
}

/// Distance of the ticks of a short axis of logarithms, of which 1, 2 and 5 are labelled: a tenth of a decade, on which
/// 2 and 5 lie to 0.3 %.
const TENTH: f64 = 0.1;

/// Step and labels of an axis of logarithms of so many decades.
fn log_ticks(decades: f64) -> (f64, TickFormat) {
    match decades < SHORT {
        true => (TENTH, TickFormat::Custom(Arc::new(short_label))),
        false => (log_step(decades), log_labels()),
    }
}

/// The label of a logarithm that is one of 1, 2 and 5; none for the ticks between.
fn short_label(v: f64) -> String {
    let digit = [1.0, 2.0, 5.0].into_iter().find(|d: &f64| (v - v.floor() - d.log10()).abs() < 5e-3);
    let near_one = v - v.floor() > 0.995;
    match digit {
        Some(d) => log_label(v.floor() + d.log10()),
        None if near_one => log_label(v.ceil()),
        None => String::new(),
    }
}

/// Labels of an axis of logarithms: the numbers themselves, with two digits where they are no powers of ten.
fn log_labels() -> TickFormat {
    TickFormat::Custom(Arc::new(log_label))
}

fn log_label(v: f64) -> String {
    let x = 10f64.powf(v);
    let whole = (v - v.round()).abs() < 1e-6;
    match (whole, (-2.001..3.999).contains(&v)) {
        (true, false) => format!("1e{}", v.round()),
        (false, false) => format!("{x:.1e}").replace(".0e", "e"),
        (_, true) if x < 9.95 => {
            let digits = (1.0 - v.floor()).max(0.0) as usize;
            let text = format!("{x:.digits$}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        (_, true) => format!("{:.0}", if whole { x } else { two_digits(x) }),
    }
}

fn two_digits(x: f64) -> f64 {
    format!("{x:.1e}").parse().unwrap_or(x)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_axes_name_one_two_and_five() {
        let labels: Vec<String> = (0..=20).map(|i| short_label(-0.0 + TENTH * f64::from(i))).collect();
        let named: Vec<&str> = labels.iter().map(String::as_str).filter(|l| !l.is_empty()).collect();
        assert_eq!(named, ["1", "2", "5", "10", "20", "50", "100"]);
    }

    #[test]
    fn labels_of_logarithms() {
        for (v, label) in [
            (-8.0, "1e-8"),
            (-2.0, "0.01"),
            (-0.5, "0.32"),
            (0.0, "1"),
            (0.25, "1.8"),
            (1.0, "10"),
            (1.5, "32"),
            (2.75, "560"),
            (-4.5, "3.2e-5"),
            (6.0, "1e6"),
            (2f64.log10(), "2"),
            (5e-7f64.log10(), "5e-7"),
            (0.05f64.log10(), "0.05"),
            (200f64.log10(), "200"),
        ] {
            assert_eq!(log_label(v), label);
        }
    }
}
