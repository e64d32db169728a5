//! Variance budget, sensitivity and yield.

use kuva::plot::BarPlot;
use kuva::plot::legend::LegendPosition;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use super::{Frame, Series, colour};
use crate::error::Result;
use crate::folder::Folder;
use crate::table::{Row, Table};

/// Shares below this are too small to see.
const VISIBLE: f64 = 0.002;

/// Most tolerances of a picture.
const SHOWN: usize = 16;

/// One bar: its length, and how far its interval reaches below and above.
type Bar = (f64, (f64, f64));

/// Lying bars in groups, the first group on top.
fn bars(title: &str, x: &str, legend: &[String], groups: Vec<(String, Vec<Bar>)>) -> Option<String> {
    if groups.is_empty() {
        return None;
    }
    let mut plot = BarPlot::new().with_horizontal(true);
    let mut errors = Vec::new();
    let height = 130.0 + groups.len() as f64 * (12.0 + 11.0 * legend.len() as f64);
    for (name, values) in groups.into_iter().rev() {
        errors.extend(values.iter().map(|v| v.1));
        let coloured: Vec<_> = values.iter().enumerate().map(|(i, v)| (v.0, colour(i))).collect();
        plot = plot.with_group(name, coloured);
    }
    plot = plot.with_legend(legend.iter().map(String::as_str).collect());
    if errors.iter().any(|e| *e != (0.0, 0.0)) {
        plot = plot.with_asymmetric_error(errors);
    }
    let plots: Vec<Plot> = vec![plot.into()];
    let layout = Layout::auto_from_plots(&plots)
        .with_title(title)
        .with_x_label(x)
        .with_width(860.0)
        .with_height(height)
        .with_legend_position(LegendPosition::OutsideRightTop);
    Some(kuva::render_to_svg(plots, layout))
}

/// variance-budget.svg: what each imperfection alone adds to the phase variance.
pub fn variance(folder: &Folder) -> Result<()> {
    let needed = ["modulus", "imperfection", "without", "share"];
    let table = Table::read(folder.path(), "variance-budget.csv", &needed)?;
    let single = |r: &Row<'_>| !r.text("without").is_empty();
    let moduli = table.distinct("modulus");
    let mut groups: Vec<(String, Vec<Bar>)> = table
        .distinct("imperfection")
        .into_iter()
        .map(|name| {
            let share = |modulus: &String| {
                let own =
                    |r: &Row<'_>| single(r) && r.text("imperfection") == name && r.text("modulus") == modulus;
                (100.0 * table.rows().filter(own).map(|r| r.number("share")).sum::<f64>(), (0.0, 0.0))
            };
            let shares = moduli.iter().map(share).collect();
            (name, shares)
        })
        .collect();
    let largest = |bars: &[Bar]| bars.iter().map(|b| b.0).fold(0.0, f64::max);
    groups.retain(|(_, bars)| largest(bars) > 100.0 * VISIBLE);
    groups.sort_by(|a, b| largest(&b.1).total_cmp(&largest(&a.1)));
    let legend: Vec<String> = moduli.iter().map(|m| format!("modulus {m}")).collect();
    let title = "Where the phase variance comes from";
    match bars(title, "share of the whole phase variance, each imperfection alone (%)", &legend, groups) {
        Some(svg) => folder.text("variance-budget.svg", &svg),
        None => Ok(()),
    }
}

/// sobol.svg: first-order and total index of each tolerance, with their intervals.
pub fn sobol(folder: &Folder) -> Result<()> {
    let columns = ["parameter", "first", "first_lower", "first_upper", "total", "total_lower", "total_upper"];
    let table = Table::read(folder.path(), "sobol.csv", &columns)?;
    let bar = |r: &Row<'_>, value: &str, lower: &str, upper: &str| {
        let v = r.number(value);
        (v, ((v - r.number(lower)).max(0.0), (r.number(upper) - v).max(0.0)))
    };
    let visible = table.rows().filter(|r| r.number("total_upper") > VISIBLE);
    let groups = visible.take(SHOWN).map(|r| {
        let first = bar(&r, "first", "first_lower", "first_upper");
        (r.text("parameter").to_owned(), vec![first, bar(&r, "total", "total_lower", "total_upper")])
    });
    let legend = ["alone (first order)", "with others (total)"].map(str::to_owned);
    let title = "Which tolerance moves the error rate";
    match bars(title, "Sobol index of log10 of the error rate", &legend, groups.collect()) {
        Some(svg) => folder.text("sobol.svg", &svg),
        None => Ok(()),
    }
}

/// yield.svg: the share of units and of chips that stay under an error rate.
pub fn yields(folder: &Folder, target: f64) -> Result<()> {
    let needed = ["error_rate", "mdpus", "mdpus_lower", "mdpus_upper", "chips", "chips_lower", "chips_upper"];
    let table = Table::read(folder.path(), "yield-curve.csv", &needed)?;
    let column = |name: &str| table.rows().map(|r| r.number(name)).collect::<Vec<f64>>();
    let series = |name: &str, of: &str| Series {
        name: name.to_owned(),
        points: column("error_rate").into_iter().zip(column(of)).collect(),
        bounds: Some((column(&format!("{of}_lower")), column(&format!("{of}_upper")))),
        dashed: false,
    };
    let frame = Frame {
        title: "Yield over sampled chips",
        x: "error rate per residue",
        y: "share at or under it",
        log_x: true,
        y_range: Some((0.0, 1.0)),
        place: Some((target, "target")),
        ..Frame::default()
    };
    let all = vec![series("dot-product units", "mdpus"), series("whole chips", "chips")];
    frame.draw(all).map_or(Ok(()), |svg| folder.text("yield.svg", &svg))
}

/// spread.svg: the share of samples of the design's uncertain values that stay under an error rate.
pub fn spread(folder: &Folder, target: f64) -> Result<()> {
    let table = Table::read(folder.path(), "spread.csv", &["sample", "error_rate"])?;
    let mut worst: std::collections::BTreeMap<String, f64> = Default::default();
    for row in table.rows() {
        let rate = worst.entry(row.text("sample").to_owned()).or_default();
        *rate = rate.max(row.number("error_rate"));
    }
    let mut rates: Vec<f64> = worst.into_values().filter(|rate| *rate > 0.0).collect();
    rates.sort_by(f64::total_cmp);
    let n = rates.len() as f64;
    let points = rates.into_iter().enumerate().map(|(i, rate)| (rate, (i as f64 + 1.0) / n)).collect();
    let series = Series { name: "worst modulus".to_owned(), points, bounds: None, dashed: false };
    let frame = Frame {
        title: "Error rate over what is known of the values",
        x: "error rate per residue",
        y: "share of samples at or under it",
        log_x: true,
        y_range: Some((0.0, 1.0)),
        place: Some((target, "target")),
        ..Frame::default()
    };
    frame.draw(vec![series]).map_or(Ok(()), |svg| folder.text("spread.svg", &svg))
}
