//! The matrix of thermal crosstalk from pairs of drives and phase shifts.

use super::data::text;
use super::fragment::{Fragment, Line};
use super::given::{Form, Given, Setting};
use super::outcome::{Outcome, Series, quoted};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Estimate, Fit};
use mirage_devices::heat::HeaterMap;
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::BTreeMap;

const OFFSET: Setting = Setting {
    name: "offset",
    doc: "whether a guide's phase has an unknown zero: fitted or none [default: none, phases are shifts]",
    form: Form::Word(&["fitted", "none"]),
    usual: &[],
};

/// A table of `heater`, `guide`, `drive_rad` and `phase_rad`.
pub(super) const KIND: Kind = Kind {
    name: "thermal-crosstalk",
    summary: "matrix of crosstalk (columns heater, guide, drive_rad, phase_rad: phase of the heater's own guide, of this guide)",
    files: Files::Together,
    takes_reference: false,
    settings: &[OFFSET],
    run,
};

/// The file that a design's `devices.crosstalk.matrix` can name.
pub(super) const MATRIX: &str = "design-heaters.csv";

/// What one heater does to one guide, as measured.
#[derive(Debug, Default, Clone)]
struct Pair {
    drive: Vec<f64>,
    phase: Vec<f64>,
}

/// The slope of a pair.
struct Slope {
    value: f64,
    offset: f64,
    /// Variance of the slope over that of a phase.
    weight: f64,
    squares: f64,
    dof: usize,
}

/// Names in the order in which they come first, and the pairs.
#[derive(Default)]
struct Pairs {
    names: Vec<String>,
    all: BTreeMap<(usize, usize), Pair>,
}

impl Pairs {
    fn place(&mut self, name: &str) -> usize {
        self.names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }

    fn read(&mut self, input: &Input) -> Result<(), CalibrationError> {
        let whole = |problem: String| CalibrationError::File { file: input.file.clone(), problem };
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text(input)?.as_bytes());
        let headers = reader.headers().map_err(|e| whole(e.to_string()))?.clone();
        let column = |name: &str| {
            headers.iter().position(|h| h.trim_start_matches('\u{feff}') == name).ok_or_else(|| {
                whole(format!(
                    "no column `{name}`; the columns are {}",
                    headers.iter().collect::<Vec<_>>().join(", ")
                ))
            })
        };
        let [heater, guide, drive, phase] =
            [column("heater")?, column("guide")?, column("drive_rad")?, column("phase_rad")?];
        let mut rows = 0;
        for record in reader.records() {
            let record = record.map_err(|e| whole(e.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let wrong = |problem: String| CalibrationError::Line { file: input.file.clone(), line, problem };
            let name = |at: usize, what: &str| match record.get(at).unwrap_or("") {
                "" => Err(wrong(format!("`{what}` has no name"))),
                name => Ok(name.to_owned()),
            };
            let number = |at: usize, what: &str| {
                let cell = record.get(at).unwrap_or("");
                let number: Option<f64> = cell.parse().ok().filter(|x: &f64| x.is_finite());
                number.ok_or_else(|| wrong(format!("`{cell}` in column `{what}` is not a number")))
            };
            let (heater, guide) = (name(heater, "heater")?, name(guide, "guide")?);
            if heater == guide {
                return Err(wrong(format!(
                    "heater `{heater}` on its own guide: that is its phase-shifter curve, not crosstalk"
                )));
            }
            let (drive, phase) = (number(drive, "drive_rad")?, number(phase, "phase_rad")?);
            let heater = self.place(&heater);
            let key = (self.place(&guide), heater);
            let pair = self.all.entry(key).or_default();
            pair.drive.push(drive);
            pair.phase.push(phase);
            rows += 1;
        }
        if rows == 0 {
            return Err(whole("the table has a header and no row".into()));
        }
        Ok(())
    }
}

impl Pair {
    fn slope(&self, offset: bool) -> Option<Slope> {
        let n = self.drive.len();
        let mean = |list: &[f64]| if offset { list.iter().sum::<f64>() / n as f64 } else { 0.0 };
        let (d0, p0) = (mean(&self.drive), mean(&self.phase));
        let square: f64 = self.drive.iter().map(|d| (d - d0).powi(2)).sum();
        let used = 1 + usize::from(offset);
        if n < used || square <= 1e-24 * self.drive.iter().map(|d| d * d).sum::<f64>() {
            return None;
        }
        let both = || self.drive.iter().zip(&self.phase);
        let value = both().map(|(d, p)| (d - d0) * (p - p0)).sum::<f64>() / square;
        let offset = p0 - value * d0;
        let squares = both().map(|(d, p)| (p - offset - value * d).powi(2)).sum();
        Some(Slope { value, offset, weight: 1.0 / square, squares, dof: n - used })
    }
}

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let offset = given.word("offset") == Some("fitted");
    let mut pairs = Pairs::default();
    for input in inputs {
        pairs.read(input)?;
    }
    let names = &pairs.names;
    let mut slopes = BTreeMap::new();
    for guide in 0..names.len() {
        for heater in (0..names.len()).filter(|h| *h != guide) {
            let what = |why: &str| {
                CalibrationError::TooFew(format!(
                    "heater `{}` on guide `{}`: {why}",
                    names[heater], names[guide]
                ))
            };
            let pair =
                pairs.all.get(&(guide, heater)).ok_or_else(|| what("not measured; every pair is needed"))?;
            let slope = pair.slope(offset).ok_or_else(|| what("the drives are all alike, or all nothing"))?;
            slopes.insert((guide, heater), slope);
        }
    }
    if slopes.is_empty() {
        return Err(CalibrationError::TooFew("one heater and its own guide have no crosstalk".into()));
    }
    // All phases are read by the same instrument: its scatter comes from all pairs together.
    let dof: usize = slopes.values().map(|s| s.dof).sum();
    let squares: f64 = slopes.values().map(|s| s.squares).sum();
    if dof == 0 {
        return Err(CalibrationError::TooFew(
            "one phase for each pair leaves no degree of freedom: measure at least one of them again".into(),
        ));
    }
    let sigma = (squares / dof as f64).sqrt();
    let reach = StudentsT::new(0.0, 1.0, dof as f64).map_or(f64::NAN, |t| t.inverse_cdf(0.975));
    let source = inputs.iter().map(|i| i.file.as_str()).collect::<Vec<_>>().join(", ");
    let parameters = slopes.iter().map(|(&(guide, heater), slope)| {
        let error = sigma * slope.weight.sqrt();
        Estimate {
            name: format!("{} on {}", names[heater], names[guide]),
            value: slope.value,
            standard_error: Some(error),
            lower: Some(slope.value - reach * error),
            upper: Some(slope.value + reach * error),
            unit: "rad/rad".into(),
            source: source.clone(),
        }
    });
    let mut fit = Fit {
        kind: String::new(),
        parameters: parameters.collect(),
        chi2: dof as f64,
        dof,
        covariance: None,
        notes: vec![format!("scatter of a phase, from all pairs together: {sigma:.3e} rad")],
    };
    let matrix = matrix(names, &slopes)?;
    let fragment = match HeaterMap::read_matrix(&matrix, MATRIX) {
        Ok(_) => fragment(&source, sigma),
        Err(why) => {
            fit.notes.push(format!("a design cannot name this matrix: {why}"));
            Fragment::default()
        }
    };
    let series = slopes.iter().map(|(key, slope)| {
        let pair = &pairs.all[key];
        let model = pair.drive.iter().map(|d| slope.offset + slope.value * d).collect();
        let name = format!("{} on {}", names[key.1], names[key.0]);
        Series { name, x: pair.drive.clone(), data: pair.phase.clone(), model }
    });
    let outcome =
        Outcome::plain(fit, ("phase of the heater's own guide (rad)", "phase (rad)"), series.collect());
    Ok(Outcome { fragment, files: vec![(MATRIX, matrix)], ..outcome })
}

fn fragment(source: &str, sigma: f64) -> Fragment {
    let matrix = Line::Chosen {
        key: "matrix",
        value: quoted(MATRIX),
        mark: "M",
        source: format!("{source}: slopes of phase over drive, scatter {sigma:.2e} rad"),
    };
    let own = Line::Chosen {
        key: "own_bus",
        value: "0.0".into(),
        mark: "choice",
        source: "not measured: left out".into(),
    };
    let comment = "Put these in place of coefficient, decay and bus_distance; the design names a file beside itself. own_bus was not measured:\n\
                   a choice to be made.";
    Fragment::of("devices.crosstalk", comment, vec![matrix, own])
}

/// The matrix in the form that a design names: guides down, heaters across, zero for a heater's own guide.
fn matrix(names: &[String], slopes: &BTreeMap<(usize, usize), Slope>) -> Result<String, CalibrationError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut all = vec![std::iter::once("guide".to_owned()).chain(names.iter().cloned()).collect::<Vec<_>>()];
    for (guide, name) in names.iter().enumerate() {
        let value =
            |heater| slopes.get(&(guide, heater)).map_or("0".to_owned(), |s| format!("{:e}", s.value));
        all.push(std::iter::once(name.clone()).chain((0..names.len()).map(value)).collect());
    }
    let failed = |problem: String| CalibrationError::File { file: MATRIX.into(), problem };
    all.iter().try_for_each(|row| writer.write_record(row)).map_err(|e| failed(e.to_string()))?;
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
}
