//! Data, fit and residual of a calibration.

use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use super::colour;
use crate::error::Result;
use crate::folder::Folder;
use crate::table::Table;

/// Points of a curve that a picture shows; of more, the lowest and the highest of each stretch, so that no dip is lost.
const SHOWN: usize = 3000;
/// Curves in one picture.
const MOST: usize = 6;

/// fit.svg from fit.csv: above, data as points and the model as a line; below, their difference.
pub fn fit(folder: &Folder, kind: &str, x: &str, y: &str) -> Result<()> {
    let table = Table::read(folder.path(), "fit.csv", &["series", "x", "data", "model", "residual"])?;
    let (mut above, mut below): (Vec<Plot>, Vec<Plot>) = (Vec::new(), Vec::new());
    for (i, name) in table.distinct("series").into_iter().take(MOST).enumerate() {
        let rows: Vec<_> = table.rows().filter(|r| r.text("series") == name).collect();
        let curve = |column: &str| extremes(rows.iter().map(|r| (r.number("x"), r.number(column))).collect());
        let size = if rows.len() > SHOWN { 1.0 } else { 2.5 };
        let points =
            |data: Vec<(f64, f64)>| ScatterPlot::new().with_data(data).with_color(colour(i)).with_size(size);
        above.push(points(curve("data")).with_legend(name).into());
        below.push(points(curve("residual")).into());
        let line = LinePlot::new().with_data(curve("model")).with_color("#000000").with_stroke_width(0.9);
        above.push(if i == 0 { line.with_legend("fit") } else { line }.into());
    }
    let count = table.distinct("series").len();
    let part = if count > MOST { format!(" (the first {MOST} of {count} curves)") } else { String::new() };
    let difference = if y.contains("dBm") { "data less fit (dB)" } else { "data less fit" };
    let layout =
        |plots: &[Plot], label: &str| Layout::auto_from_plots(plots).with_x_label(x).with_y_label(label);
    let layouts = vec![
        layout(&above, y).with_title(format!("{kind}: data and fit{part}")),
        layout(&below, difference).with_title("Residual"),
    ];
    let figure = Figure::new(2, 1)
        .with_plots(vec![above, below])
        .with_layouts(layouts)
        .with_cell_size(760.0, 340.0)
        .with_row_height(1, 220.0);
    let scene = figure.render();
    folder.text("fit.svg", &kuva::backend::svg::SvgBackend.render_scene(&scene))
}

/// The lowest and the highest point of each stretch, in their order; all where they are few.
fn extremes(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let stretch = (2 * points.len()).div_ceil(SHOWN).max(1);
    if points.len() <= SHOWN {
        return points;
    }
    let ends = |part: &[(f64, f64)]| {
        let place = |better: fn(f64, f64) -> bool| {
            (1..part.len()).fold(0, |best, i| if better(part[i].1, part[best].1) { i } else { best })
        };
        let (low, high) = (place(|a, b| a < b), place(|a, b| a > b));
        let mut ends = vec![part[low.min(high)], part[low.max(high)]];
        ends.dedup();
        ends
    };
    points.chunks(stretch).flat_map(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_dip_is_lost() {
        let mut points: Vec<(f64, f64)> = (0..20_000).map(|i| (f64::from(i), 0.0)).collect();
        (points[7_001].1, points[13_333].1) = (-40.0, 3.0);
        let shown = extremes(points.clone());
        assert!(shown.len() <= SHOWN + 2 && shown.is_sorted_by(|a, b| a.0 < b.0), "{}", shown.len());
        assert!(shown.contains(&(7_001.0, -40.0)) && shown.contains(&(13_333.0, 3.0)));
        assert_eq!(extremes(points[..100].to_vec()), points[..100]);
    }
}
