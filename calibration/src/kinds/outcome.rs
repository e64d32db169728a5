//! What a calibration gives: numbers, the curves behind them, and a piece of a design file.

use crate::fit::{Estimate, Fit, Solution};
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
    /// A piece of a design file: sections and keys with value, source and mark. Empty where a design has no such key.
    pub fragment: String,
    /// Whole files beside, by name, such as a matrix that a design can name.
    pub files: Vec<(&'static str, String)>,
}

impl Outcome {
    /// Numbers and curves over something with a name and a unit, such as `voltage (V)`.
    pub(crate) fn plain(fit: Fit, (x, y): (&'static str, &'static str), series: Vec<Series>) -> Self {
        let series = series.into_iter().map(Series::sorted).collect();
        Self { fit, x, y, series, tables: Vec::new(), fragment: String::new(), files: Vec::new() }
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
            fragment: String::new(),
            files: Vec::new(),
        }
    }
}

/// One line of a design file: a fitted value with its standard error, and its interval as the source.
pub(crate) fn line(key: &str, value: &str, estimate: &Estimate, how: &str) -> String {
    let interval = match (estimate.lower, estimate.upper) {
        (Some(low), Some(high)) => {
            format!("95 % interval {} to {} {}", short(low), short(high), estimate.unit)
        }
        _ => "no interval: at the end of its range".to_owned(),
    };
    let source = format!("{}: {how}, {}", estimate.source, interval.trim_end());
    let sigma = sigma(value, estimate).map_or(String::new(), |sigma| format!(" sigma = {sigma},"));
    format!("{key} = {{ value = {value},{sigma} mark = \"M\", source = {} }}\n", quoted(&source))
}

/// A measured line of a fragment, read back.
pub(crate) struct Reading {
    pub key: String,
    pub value: f64,
    /// Standard error in the same unit, if there is one.
    pub error: Option<f64>,
    /// Unit; empty for a plain number.
    pub unit: String,
}

/// Reads what [`line`] wrote; `None` for every other line.
pub(crate) fn reading(text: &str) -> Option<Reading> {
    let (key, rest) = text.split_once(" = { value = ")?;
    let (head, _) = rest.split_once(" mark = \"M\", ")?;
    let (value, sigma) = match head.split_once(", sigma = ") {
        Some((value, sigma)) => (value, Some(sigma.trim_end_matches(','))),
        None => (head.trim_end_matches(','), None),
    };
    let number = |text: &str| {
        let (number, unit) = mirage_design::quantity(text.trim_matches('"'))?;
        Some((number.parse::<f64>().ok()?, unit.to_owned()))
    };
    let (value, unit) = number(value)?;
    let error = match sigma {
        Some(text) => Some(number(text)?.0),
        None => None,
    };
    Some(Reading { key: key.to_owned(), value, error, unit })
}

/// The line of several devices: mean, and the spread between them.
pub(crate) fn spread_line(all: &[Reading]) -> String {
    let count = all.len() as f64;
    let mean = all.iter().map(|r| r.value).sum::<f64>() / count;
    let square = all.iter().map(|r| (r.value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let errors = all.iter().map(|r| r.error.unwrap_or(0.0).powi(2)).sum::<f64>() / count;
    let spread = (square - errors).max(0.0).sqrt();
    let (key, unit) = (&all[0].key, &all[0].unit);
    let text = |x: f64| if unit.is_empty() { real(x) } else { format!("\"{} {unit}\"", short(x)) };
    let total = format!("{} {unit}", short(square.sqrt()));
    let error = format!("{} {unit}", short(errors.sqrt()));
    let (sigma, how) = match spread > 0.0 {
        true => (
            format!(" sigma = {},", text(spread)),
            format!(
                "they scatter by {}, the fits' own errors of {} taken off; known to {:.0} %",
                total.trim_end(),
                error.trim_end(),
                100.0 / (2.0 * (count - 1.0)).sqrt()
            ),
        ),
        false => (
            String::new(),
            format!(
                "they scatter by {}, no more than the fits' own errors of {}",
                total.trim_end(),
                error.trim_end()
            ),
        ),
    };
    let source = quoted(&format!("mean of {count} devices; {how}"));
    format!("{key} = {{ value = {},{sigma} mark = \"M\", source = {source} }}\n", text(mean))
}

/// Notes as comments of a fragment: what is to be known of the numbers goes where they go.
pub(crate) fn remarks(notes: &[String]) -> String {
    let plain =
        |note: &String| note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    notes.iter().map(|note| format!("{NOTE}{}\n", plain(note))).collect()
}

/// How the comment of a note begins.
pub(crate) const NOTE: &str = "# Note: ";

/// The standard error in the unit that the value is written in; none where there is none, or for a value of nothing.
fn sigma(value: &str, estimate: &Estimate) -> Option<String> {
    let text = value.trim_matches('"');
    let (number, unit) = mirage_design::quantity(text)?;
    let error = estimate.standard_error? * (number.parse::<f64>().ok()? / estimate.value).abs();
    if !(error.is_finite() && error > 0.0) {
        return None;
    }
    Some(if text == value { real(error) } else { format!("\"{} {unit}\"", short(error)) })
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
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
    if x == 0.0 {
        return "0".into();
    }
    let digits = (4 - x.abs().log10().floor() as i32).clamp(0, 12) as usize;
    if x.abs() >= 1e-4 && x.abs() < 1e7 {
        let text = format!("{x:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{x:.4e}")
    }
}

/// A number to five digits for a key that takes a real number: never a whole one.
pub(crate) fn real(x: f64) -> String {
    let text = short(x);
    if text.contains(['.', 'e']) { text } else { text + ".0" }
}

/// What stands for a channel of a spectrum.
pub(crate) fn label(spectrum: &Spectrum, channel: u32) -> String {
    format!("{} channel {channel}", spectrum.file)
}
