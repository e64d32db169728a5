//! Loss for each length, or for each device, from structures that hold more and more of it.

use super::checks::{curves, lossy, not_gain};
use super::envelope::CHANNEL;
use super::fragment::{Fragment, Measured};
use super::given::{Form, Given, Setting};
use super::names::{count_in, length_in, per_file};
use super::outcome::{Outcome, Series, Table, short};
use super::trace::{BAND, FLOOR, REPEATABILITY, Trace, notes};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Estimate, Fit, Options, Parameter, Problem, Solution, Spread, fit};
use crate::spectrum::Spectrum;
use statrs::distribution::{ContinuousCDF, StudentsT};

const LENGTHS: Setting = Setting {
    name: "length",
    doc: "lengths of the guides, in the order of the files [default: from names such as guide_3500um.csv]",
    form: Form::List("um", 0.0, 1e7),
    usual: &[],
};
const COUNTS: Setting = Setting {
    name: "count",
    doc: "devices in series, in the order of the files [default: from names such as ybranch_56.csv]",
    form: Form::List("", 0.0, 1e6),
    usual: &[],
};

/// Guides of several lengths.
pub(super) const WAVEGUIDE: Kind = Kind {
    name: "waveguide",
    summary: "propagation loss from guides of several lengths",
    files: Files::Together,
    takes_reference: false,
    settings: &[LENGTHS, CHANNEL, BAND, FLOOR, REPEATABILITY],
    run: |inputs, _, given| {
        let lengths = differing(per_file(inputs, given, "length", "0um,3500um", length_in)?)?;
        let centimetres: Vec<f64> = lengths.iter().map(|um| um * 1e-4).collect();
        let unit = Amount {
            unit: "dB/cm",
            file: "loss.csv",
            column: "loss_db_cm",
            what: "guides",
            order: "lengths",
        };
        let mut outcome = run(inputs, given, &centimetres, &unit)?;
        outcome.fit.notes.extend(lossy(&outcome.fit.parameters[0]));
        let loss = &outcome.fit.parameters[0];
        let loss = Measured::new("loss", loss, ("dB/cm", 1.0), "loss over length").not_negative();
        outcome.fragment = Fragment::of("devices.waveguide", "", vec![loss.into()]);
        Ok(outcome)
    },
};

/// Devices in series, such as Y-branches.
pub(super) const SERIES: Kind = Kind {
    name: "series",
    summary: "loss of one device from several in series, such as Y-branches",
    files: Files::Together,
    takes_reference: false,
    settings: &[COUNTS, CHANNEL, BAND, FLOOR, REPEATABILITY],
    run: |inputs, _, given| {
        let counts = differing(per_file(inputs, given, "count", "0,56", count_in)?)?;
        let unit = Amount {
            unit: "dB",
            file: "loss.csv",
            column: "loss_db",
            what: "devices in series",
            order: "numbers",
        };
        let mut outcome = run(inputs, given, &counts, &unit)?;
        let loss = &outcome.fit.parameters[0];
        let how = "loss over the number in series";
        let loss = Measured::new("splitter_loss", loss, ("dB", 1.0), how).not_negative();
        let comment = "If the devices are the splitters of the distribution.";
        outcome.fragment = Fragment::of("devices.distribution", comment, vec![loss.into()]);
        Ok(outcome)
    },
};

/// What is counted.
struct Amount {
    unit: &'static str,
    file: &'static str,
    column: &'static str,
    what: &'static str,
    order: &'static str,
}

/// Amounts of files that differ.
fn differing(amounts: Vec<f64>) -> Result<Vec<f64>, CalibrationError> {
    let mut sorted = amounts.clone();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    if sorted.len() < 2 {
        let text = "at least two files that differ in length or number are needed";
        return Err(CalibrationError::Setting(text.into()));
    }
    Ok(amounts)
}

/// Traces at the wavelengths that all of them have seen, in nm, and their powers there.
fn common(traces: &[Trace]) -> Result<(Vec<f64>, Vec<Vec<f64>>), CalibrationError> {
    let first = &traces[0];
    let at = |trace: &Trace, nm: f64| -> Option<f64> {
        let right = trace.nanometres.partition_point(|w| *w < nm);
        if trace.nanometres.get(right) == Some(&nm) {
            return Some(trace.dbm[right]);
        }
        let (a, b) = (right.checked_sub(1)?, right);
        let (x0, x1) = (trace.nanometres[a], *trace.nanometres.get(b)?);
        // Not across a gap that the floor made.
        let step = (trace.nanometres[trace.nanometres.len() - 1] - trace.nanometres[0])
            / trace.nanometres.len() as f64;
        let share = (nm - x0) / (x1 - x0);
        (x1 - x0 < 5.0 * step).then(|| trace.dbm[a] + share * (trace.dbm[b] - trace.dbm[a]))
    };
    let mut nanometres = Vec::new();
    let mut powers = vec![Vec::new(); traces.len()];
    for nm in &first.nanometres {
        let all: Option<Vec<f64>> = traces.iter().map(|t| at(t, *nm)).collect();
        if let Some(all) = all {
            nanometres.push(*nm);
            powers.iter_mut().zip(all).for_each(|(list, p)| list.push(p));
        }
    }
    if nanometres.len() < 40 {
        let names: Vec<&str> = traces.iter().map(|t| t.name.as_str()).collect();
        return Err(CalibrationError::TooFew(format!(
            "{} wavelengths are seen in all of {}: at least 40 are needed",
            nanometres.len(),
            names.join(", ")
        )));
    }
    Ok((nanometres, powers))
}

fn run(inputs: &[Input], given: &Given, amounts: &[f64], unit: &Amount) -> Result<Outcome, CalibrationError> {
    let channel = given.value(&CHANNEL) as u32;
    let read = |input: &Input| Trace::new(&Spectrum::read(&input.bytes, &input.file)?, channel, given);
    let traces = inputs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    curves(traces.iter().map(|t| (t.name.as_str(), t.dbm.as_slice())))?;
    let (nanometres, powers) = common(&traces)?;
    let line = Line::new(amounts);
    let middle = 0.5 * (nanometres[0] + nanometres[nanometres.len() - 1]);
    // Least squares over the amounts at each wavelength is a fixed combination of the powers there.
    let losses: Vec<f64> = (0..nanometres.len()).map(|k| -line.slope(powers.iter().map(|p| p[k]))).collect();
    let source = inputs.iter().map(|i| i.file.as_str()).collect::<Vec<_>>().join(", ");
    let along = along(&losses, &nanometres, middle, &source, unit)?;
    let levels: Vec<f64> = powers.iter().map(|p| p.iter().sum::<f64>() / p.len() as f64).collect();
    let devices = Devices::new(&line, &levels, given.number(REPEATABILITY.name), given.value(&REPEATABILITY));
    let scatter = along.fit.parameters[0].standard_error.unwrap_or(0.0);
    let loss = devices.estimate("loss", along.values[0], scatter, unit.unit, &source);
    let why = format!("are the files in the order of their {}, and all of them {}?", unit.order, unit.what);
    not_gain(&loss, &source, &why)?;
    let tilts = powers.iter().map(|p| tilt(p, &nanometres, middle));
    let slope = slope(&line, &tilts.collect::<Vec<_>>(), &along.fit.parameters[1]);
    let intercept = Estimate {
        name: "couplers".into(),
        value: levels.iter().sum::<f64>() / levels.len() as f64 + along.values[0] * line.mean,
        unit: "dBm".into(),
        ..devices.estimate("", 0.0, 0.0, "", &source)
    };
    let couplers = devices.intercept(&line, intercept);
    let mut all = vec![devices.note.clone()];
    if slope.standard_error.is_none() {
        all.push(
            "loss_slope has no interval: with two structures nothing tells how much of it is couplers whose response is not the same".into(),
        );
    }
    all.extend(along.fit.notes.iter().map(|n| format!("along the spectrum: {n}")));
    all.extend(notes(&traces));
    let table = by_wavelength(&losses, &nanometres, &devices, unit);
    all.extend(uneven(&table, unit));
    let parameters = vec![loss, slope, couplers];
    let fit = Fit {
        kind: String::new(),
        parameters,
        chi2: devices.chi2,
        dof: devices.dof,
        covariance: None,
        notes: all,
    };
    let model = |i: usize, k: usize| {
        let mean = powers.iter().map(|p| p[k]).sum::<f64>() / powers.len() as f64;
        let here = along.values[0] + along.values[1] * (nanometres[k] - middle);
        mean - here * (amounts[i] - line.mean)
    };
    let series = (0..traces.len()).map(|i| Series {
        name: traces[i].name.clone(),
        x: nanometres.clone(),
        data: powers[i].clone(),
        model: (0..nanometres.len()).map(|k| model(i, k)).collect(),
    });
    let series = series.collect();
    Ok(Outcome {
        fit,
        x: "wavelength (nm)",
        y: "power (dBm)",
        series,
        tables: vec![table],
        fragment: Fragment::default(),
        files: Vec::new(),
    })
}

/// What a spectrum changes by for each nm, by least squares.
fn tilt(power: &[f64], nanometres: &[f64], middle: f64) -> f64 {
    let mean = power.iter().sum::<f64>() / power.len() as f64;
    let [up, width] = nanometres.iter().zip(power).fold([0.0; 2], |[up, width], (nm, p)| {
        [up + (nm - middle) * (p - mean), width + (nm - middle).powi(2)]
    });
    up / width
}

/// How the loss changes along the spectrum, with the interval that the tilts of the structures leave: their couplers' responses
/// differ, and a tilt of one is the same all along its spectrum. None where there are two.
fn slope(line: &Line, tilts: &[f64], along: &Estimate) -> Estimate {
    let (sigma, dof) = line.scatter(tilts);
    let reach = (dof > 0).then(|| reach(dof));
    let error = reach.map(|_| sigma / line.width.sqrt());
    let end = |side: f64| reach.zip(error).map(|(reach, error)| along.value + side * reach * error);
    Estimate {
        name: "loss_slope".into(),
        standard_error: error,
        lower: end(-1.0),
        upper: end(1.0),
        ..along.clone()
    }
}

/// Standard errors in half a 95 % interval of so many degrees of freedom.
fn reach(dof: usize) -> f64 {
    StudentsT::new(0.0, 1.0, dof as f64).map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

/// Loss along the spectrum: a line, whose scatter is correlated as ripple is.
fn along(
    losses: &[f64],
    nanometres: &[f64],
    middle: f64,
    source: &str,
    unit: &Amount,
) -> Result<Solution, CalibrationError> {
    let model = |p: &[f64], out: &mut [f64]| {
        out.iter_mut().zip(nanometres).for_each(|(y, nm)| *y = p[0] + p[1] * (nm - middle));
    };
    let largest = losses.iter().fold(0.0f64, |m, l| m.max(l.abs())).max(1e-9);
    let span = nanometres[nanometres.len() - 1] - nanometres[0];
    let parameters = vec![
        Parameter::new("loss", unit.unit, -2.0 * largest, 2.0 * largest),
        Parameter::new(
            "slope",
            &format!("{} per nm", unit.unit),
            -4.0 * largest / span,
            4.0 * largest / span,
        ),
    ];
    let runs = vec![losses.len()];
    let problem = Problem { parameters, data: losses, spread: Spread::Equal, runs, model: &model };
    let start = losses.iter().sum::<f64>() / losses.len() as f64;
    let options = Options::new(source).robust().from(vec![start, 0.0]);
    fit(&problem, &options).map_err(|e| CalibrationError::fit(source, e))
}

/// A straight line over the amounts.
struct Line {
    amounts: Vec<f64>,
    mean: f64,
    /// Sum of squared distances from the mean.
    width: f64,
}

impl Line {
    fn new(amounts: &[f64]) -> Self {
        let mean = amounts.iter().sum::<f64>() / amounts.len() as f64;
        let width = amounts.iter().map(|x| (x - mean).powi(2)).sum();
        Self { amounts: amounts.to_vec(), mean, width }
    }

    fn slope(&self, values: impl Iterator<Item = f64>) -> f64 {
        self.amounts.iter().zip(values).map(|(x, y)| (x - self.mean) * y).sum::<f64>() / self.width
    }

    /// Standard deviation of values about their line (0 without degrees of freedom), and the degrees of freedom.
    fn scatter(&self, values: &[f64]) -> (f64, usize) {
        let (dof, slope) = (values.len() - 2, self.slope(values.iter().copied()));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let off = values.iter().zip(&self.amounts).map(|(y, x)| (y - mean - slope * (x - self.mean)).powi(2));
        ((off.sum::<f64>() / dof.max(1) as f64).sqrt(), dof)
    }
}

/// How well structures agree apart from what they hold: couplers, above all.
struct Devices {
    /// Standard deviation of one structure, dB.
    sigma: f64,
    /// Standard error of the slope from it.
    error: f64,
    reach: f64,
    /// Whether it was taken from elsewhere, and so does not hold what these spectra scatter by.
    assumed: bool,
    chi2: f64,
    dof: usize,
    note: String,
}

impl Devices {
    fn new(line: &Line, levels: &[f64], given: Option<f64>, usual: f64) -> Self {
        let (scatter, dof) = line.scatter(levels);
        let squares = scatter.powi(2) * dof.max(1) as f64;
        let normal = 1.959_963_984_540_054;
        let (sigma, reach, note) = match (given, dof) {
            (None, 0) => (
                usual,
                normal,
                format!(
                    "two structures determine loss and couplers and leave no degree of freedom: nothing tests the model, and the interval \
                     stands on an assumed repeatability of a pair of couplers of {usual} dB (--set repeatability=.. to give it)"
                ),
            ),
            (Some(sigma), _) => (
                sigma,
                normal,
                format!(
                    "the interval takes the repeatability of a pair of couplers as given: {} dB",
                    short(sigma)
                ),
            ),
            (None, dof) => {
                let note = format!(
                    "structures scatter about the line by {} dB (standard deviation, {dof} degrees of freedom): the interval holds that",
                    short(scatter)
                );
                (scatter, reach(dof), note)
            }
        };
        let chi2 = if sigma > 0.0 { squares / sigma.powi(2) } else { 0.0 };
        let assumed = given.is_some() || dof == 0;
        Self { sigma, error: sigma / line.width.sqrt(), reach, assumed, chi2, dof, note }
    }

    /// An estimate of the slope. The scatter along the spectrum is part of the scatter between structures where that is
    /// estimated, and comes on top where it is assumed.
    fn estimate(&self, name: &str, value: f64, along: f64, unit: &str, source: &str) -> Estimate {
        let error = if self.assumed { self.error.hypot(along) } else { self.error };
        Estimate {
            name: name.into(),
            value,
            standard_error: Some(error),
            lower: Some(value - self.reach * error),
            upper: Some(value + self.reach * error),
            unit: unit.into(),
            source: source.into(),
        }
    }

    /// The level without any length or device, with the error of a straight line's end.
    fn intercept(&self, line: &Line, estimate: Estimate) -> Estimate {
        let error = self.sigma * (1.0 / line.amounts.len() as f64 + line.mean.powi(2) / line.width).sqrt();
        let (lower, upper) = (estimate.value - self.reach * error, estimate.value + self.reach * error);
        Estimate { standard_error: Some(error), lower: Some(lower), upper: Some(upper), ..estimate }
    }
}

/// Parts of the spectrum of the table over wavelength.
const PARTS: usize = 20;

/// Says so where parts of the spectrum have losses whose intervals are apart: then no number holds for all of it.
fn uneven(table: &Table, unit: &Amount) -> Option<String> {
    let cell = |row: &Vec<Option<f64>>, column: usize| row[column].unwrap_or(f64::NAN);
    let highest = table.rows.iter().max_by(|a, b| cell(a, 2).total_cmp(&cell(b, 2)))?;
    let lowest = table.rows.iter().min_by(|a, b| cell(a, 3).total_cmp(&cell(b, 3)))?;
    (cell(highest, 2) > cell(lowest, 3)).then(|| {
        let [a, b] = [highest, lowest].map(|row| format!("{:.3} {} at {:.1} nm", cell(row, 1), unit.unit, cell(row, 0)));
        format!(
            "the loss changes along the spectrum by more than its interval, {a} and {b} ({}): no one number holds for all of it, \
             --set band=FROM:TO takes a part",
            unit.file
        )
    })
}

/// Loss in parts of the spectrum, with the interval of the structures and the scatter within the part.
fn by_wavelength(losses: &[f64], nanometres: &[f64], devices: &Devices, unit: &Amount) -> Table {
    let size = losses.len().div_ceil(PARTS);
    let rows = losses.chunks(size).zip(nanometres.chunks(size)).map(|(part, nm)| {
        let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
        let middle = mean(part);
        let scatter = (part.iter().map(|l| (l - middle).powi(2)).sum::<f64>() / part.len() as f64).sqrt();
        let error = devices.reach * devices.error;
        [mean(nm), middle, middle - error, middle + error, scatter].map(Some).to_vec()
    });
    let columns = vec!["wavelength_nm", unit.column, "lower", "upper", "ripple"];
    Table { name: unit.file, columns, rows: rows.collect() }
}
