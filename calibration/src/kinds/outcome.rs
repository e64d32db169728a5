//! What a calibration gives: numbers, the curves behind them, and a piece of a design file.

use super::fragment::Fragment;
use crate::fit::{Fit, Solution};
use crate::spectrum::Spectrum;

/// Data, model and residual of one curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// File and channel, or what else the curve is.
    pub name: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Measured.
    pub data: Vec<f64>,
    /// Fitted.
    pub model: Vec<f64>,
}

impl Series {
    /// The same with rising abscissae.
    fn sorted(self) -> Self {
        let mut order: Vec<usize> = (0..self.x.len()).collect();
        order.sort_by(|&a, &b| self.x[a].total_cmp(&self.x[b]));
        let pick = |list: &[f64]| order.iter().map(|&i| list[i]).collect();
        Self { x: pick(&self.x), data: pick(&self.data), model: pick(&self.model), name: self.name }
    }
}

/// A further table, such as one row a resonance.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Name of the file.
    pub name: &'static str,
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// Rows; `None` is an empty cell.
    pub rows: Vec<Vec<Option<f64>>>,
}

/// The outcome of a calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The numbers.
    pub fit: Fit,
    /// What the abscissae are, with their unit.
    pub x: &'static str,
    /// What the ordinates are, with their unit.
    pub y: &'static str,
    /// The curves.
    pub series: Vec<Series>,
    /// Further tables.
    pub tables: Vec<Table>,
    /// A piece of a design file. Empty where a design has no such key.
    pub fragment: Fragment,
    /// Whole files beside, by name, such as a matrix that a design can name.
    pub files: Vec<(&'static str, String)>,
}

impl Outcome {
    /// Numbers and curves over something with a name and a unit, such as `voltage (V)`.
    pub(crate) fn plain(fit: Fit, (x, y): (&'static str, &'static str), series: Vec<Series>) -> Self {
        let series = series.into_iter().map(Series::sorted).collect();
        Self { fit, x, y, series, tables: Vec::new(), fragment: Fragment::default(), files: Vec::new() }
    }

    /// Curves of the runs of a fit over wavelength.
    pub(crate) fn of(
        solution: Solution,
        curves: &[(String, &[f64], usize)],
        y: &'static str,
        data: &[f64],
    ) -> Self {
        let mut start = 0;
        let series = curves.iter().map(|(name, x, count)| {
            let range = start..start + count;
            start += count;
            Series {
                name: name.clone(),
                x: x.to_vec(),
                data: data[range.clone()].to_vec(),
                model: solution.model[range].to_vec(),
            }
        });
        let series = series.collect();
        Self {
            fit: solution.fit,
            x: "wavelength (nm)",
            y,
            series,
            tables: Vec::new(),
            fragment: Fragment::default(),
            files: Vec::new(),
        }
    }
}

/// A text as TOML has it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A number to five digits.
pub(crate) fn short(x: f64) -> String {
    rounded(x, 5)
}

/// A number to so many digits, without zeros at its end.
pub(crate) fn rounded(x: f64, digits: usize) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let text = if x.abs() >= 1e-4 && x.abs() < 1e7 {
        let decimals = (digits as i32 - 1 - x.abs().log10().floor() as i32).max(0) as usize;
        format!("{x:.decimals$}")
    } else {
        format!("{x:.*e}", digits - 1)
    };
    let (number, power) = text.split_at(text.find('e').unwrap_or(text.len()));
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned() + power,
        false => text,
    }
}

/// What stands for a channel of a spectrum.
pub(crate) fn label(spectrum: &Spectrum, channel: u32) -> String {
    format!("{} channel {channel}", spectrum.file)
}
