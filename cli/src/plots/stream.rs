//! Eye, constellation and settling.

use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::annotations::ReferenceLine;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use super::{Frame, Series, colour};
use crate::error::Result;
use crate::folder::Folder;
use crate::table::{Row, Table};

/// Noisy symbols that a constellation shows.
const SHOWN: usize = 3000;

/// eye.svg: the way to the sector's edge that each symbol's phase goes, over the eye's instants.
pub fn eye(folder: &Folder, modulus: u32, instant: f64) -> Result<()> {
    let table = Table::read(folder.path(), "eye.csv", &["symbol", "time_s", "phase_deviation_rad"])?;
    let half = std::f64::consts::PI / f64::from(modulus);
    let mut plots: Vec<Plot> = Vec::new();
    for symbol in table.distinct("symbol") {
        // Beyond the neighbour's far edge the trace says no more than that it is far away.
        let height = |r: &Row<'_>| (r.number("phase_deviation_rad") / half).clamp(-3.0, 3.0);
        let of_symbol = table.rows().filter(|r| r.text("symbol") == symbol);
        let points: Vec<(f64, f64)> = of_symbol.map(|r| (r.number("time_s") * 1e12, height(&r))).collect();
        plots.push(LinePlot::new().with_data(points).with_color(colour(0)).with_stroke_width(0.4).into());
    }
    let layout = Layout::auto_from_plots(&plots)
        .with_title(format!("Eye of modulus {modulus}: phase deviation of each symbol"))
        .with_x_label("time after the beginning of the symbol (ps)")
        .with_y_label("phase deviation (half sectors)")
        .with_width(760.0)
        .with_height(420.0)
        .with_y_axis_min(-3.0)
        .with_y_axis_max(3.0)
        .with_reference_line(ReferenceLine::horizontal(1.0).with_label("sector's edge"))
        .with_reference_line(ReferenceLine::horizontal(-1.0))
        .with_reference_line(ReferenceLine::vertical(instant * 1e12).with_label("sampled"));
    folder.text("eye.svg", &kuva::render_to_svg(plots, layout))
}

/// constellation.svg: (I, Q) at the sampling instant with noise, without it, and the sectors' edges.
pub fn constellation(folder: &Folder, modulus: u32) -> Result<()> {
    let needed = ["i_a", "q_a", "noisy_i_a", "noisy_q_a"];
    let table = Table::read(folder.path(), "constellation.csv", &needed)?;
    let points = |i: &str, q: &str| -> Vec<(f64, f64)> {
        table.rows().take(SHOWN).map(|r| (r.number(i) * 1e6, r.number(q) * 1e6)).collect()
    };
    let (noisy, streamed) = (points("noisy_i_a", "noisy_q_a"), points("i_a", "q_a"));
    let radius = 1.05 * noisy.iter().fold(0f64, |most, p| most.max(p.0.hypot(p.1)));
    let mut plots: Vec<Plot> = Vec::new();
    for sector in 0..modulus {
        let (sine, cosine) =
            ((f64::from(sector) + 0.5) * std::f64::consts::TAU / f64::from(modulus)).sin_cos();
        let ray = vec![(0.0, 0.0), (radius * cosine, radius * sine)];
        plots.push(LinePlot::new().with_data(ray).with_color("#7F7F7F").with_stroke_width(0.6).into());
    }
    let cloud = |data, shade, size, name: &str| {
        ScatterPlot::new().with_data(data).with_color(colour(shade)).with_size(size).with_legend(name)
    };
    plots.push(cloud(noisy, 5, 1.2, "with noise").into());
    plots.push(cloud(streamed, 1, 1.2, "without").into());
    let layout = Layout::auto_from_plots(&plots)
        .with_title(format!("Constellation of modulus {modulus} and its sectors"))
        .with_x_label("I (uA)")
        .with_y_label("Q (uA)")
        .with_width(760.0)
        .with_height(680.0)
        .with_x_axis_min(-radius)
        .with_x_axis_max(radius)
        .with_y_axis_min(-radius)
        .with_y_axis_max(radius)
        .with_show_grid(false);
    folder.text("constellation.svg", &kuva::render_to_svg(plots, layout))
}

/// settling.svg: phase error over the time since reprogramming, of the largest modulus.
pub fn settling(folder: &Folder, program_time: f64) -> Result<()> {
    let needed = ["modulus", "shifter", "time_constant_s", "time_s", "phase_rms_levels"];
    let table = Table::read(folder.path(), "settling.csv", &needed)?;
    let largest = table.rows().map(|r| r.number("modulus")).fold(f64::NAN, f64::max);
    let series = table.distinct("shifter").into_iter().map(|shifter| {
        let own = |r: &Row<'_>| r.text("shifter") == shifter && r.number("modulus") == largest;
        let tau = table.rows().find(own).map_or(f64::NAN, |r| r.number("time_constant_s"));
        let point = |r: Row<'_>| (r.number("time_s") * 1e9, r.number("phase_rms_levels"));
        Series {
            name: format!("{shifter}: {:.0} ps", tau * 1e12),
            points: table.rows().filter(own).map(point).filter(|p| p.1 > 1e-6).collect(),
            bounds: None,
            dashed: false,
        }
    });
    let frame = Frame {
        title: "Phase error after reprogramming",
        x: "time since reprogramming (ns)",
        y: "phase error (levels rms)",
        log_y: true,
        line: Some((0.5, "half a level")),
        place: Some((program_time * 1e9, "first symbol")),
        ..Frame::default()
    };
    match frame.draw(series.collect()) {
        Some(svg) => folder.text("settling.svg", &svg),
        None => Ok(()),
    }
}
