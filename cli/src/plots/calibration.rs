//! Data, fit and residual of a calibration.

use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use super::colour;
use crate::error::Result;
use crate::folder::Folder;
use crate::table::Table;

/// Points of a curve that a picture shows.
const SHOWN: usize = 1500;
/// Curves in one picture.
const MOST: usize = 6;

/// fit.svg from fit.csv: above, data as points and the model as a line; below, their difference.
pub fn fit(folder: &Folder, kind: &str, x: &str, y: &str) -> Result<()> {
    let table = Table::read(folder.path(), "fit.csv", &["series", "x", "data", "model", "residual"])?;
    let (mut above, mut below): (Vec<Plot>, Vec<Plot>) = (Vec::new(), Vec::new());
    for (i, name) in table.distinct("series").into_iter().take(MOST).enumerate() {
        let rows: Vec<_> = table.rows().filter(|r| r.text("series") == name).collect();
        let step = rows.len().div_ceil(SHOWN).max(1);
        let curve = |column: &str| -> Vec<(f64, f64)> {
            rows.iter().step_by(step).map(|r| (r.number("x"), r.number(column))).collect()
        };
        let points = |data: Vec<(f64, f64)>| {
            ScatterPlot::new().with_data(data).with_color(colour(i)).with_size(if step > 1 {
                1.0
            } else {
                2.5
            })
        };
        above.push(points(curve("data")).with_legend(name).into());
        below.push(points(curve("residual")).into());
        let line = LinePlot::new().with_data(curve("model")).with_color("#000000").with_stroke_width(0.9);
        above.push(if i == 0 { line.with_legend("fit") } else { line }.into());
    }
    let layout =
        |plots: &[Plot], label: &str| Layout::auto_from_plots(plots).with_x_label(x).with_y_label(label);
    let layouts = vec![
        layout(&above, y).with_title(format!("{kind}: data and fit")),
        layout(&below, "data less fit").with_title("Residual"),
    ];
    let figure = Figure::new(2, 1)
        .with_plots(vec![above, below])
        .with_layouts(layouts)
        .with_cell_size(760.0, 340.0)
        .with_row_height(1, 220.0);
    let scene = figure.render();
    folder.text("fit.svg", &kuva::backend::svg::SvgBackend.render_scene(&scene))
}
