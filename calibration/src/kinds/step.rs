//! Time constant from a step response.

use super::data::{Data, one_of};
use super::fragment::{Fragment, Measured};
use super::given::{Form, Given, Setting};
use super::outcome::{Outcome, Series};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Options, Parameter, Problem, Spread, fit};

const ONSET: Setting = Setting {
    name: "onset",
    doc: "when the drive was switched [default: fitted]",
    form: Form::Number("s", -1e3, 1e3),
    usual: &[],
};

/// A table of `time_s` and `phase_rad` or `signal`.
pub(super) const KIND: Kind = Kind {
    name: "step-response",
    summary: "time constant after a step of the drive (columns time_s, phase_rad or signal)",
    files: Files::Each,
    takes_reference: false,
    settings: &[ONSET],
    run,
};

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let input = &inputs[0];
    let column = one_of(input, &["phase_rad", "signal"])?;
    let data = Data::read(input, &["time_s", column])?;
    data.varied(0, "time_s", 6)?;
    data.varied(1, column, 2)?;
    let (time, signal) = (&data.columns[0], &data.columns[1]);
    if let Some(i) = time.windows(2).position(|w| w[1] <= w[0]) {
        let problem = format!("the time {} s does not rise", time[i + 1]);
        return Err(CalibrationError::Line { file: data.file, line: data.lines[i + 1], problem });
    }
    let (first, last) = (time[0], time[time.len() - 1]);
    let span = last - first;
    let (low, high) = signal.iter().fold((f64::MAX, f64::MIN), |(l, h), s| (l.min(*s), h.max(*s)));
    let swing = high - low;
    let unit = if column == "phase_rad" { "rad" } else { "" };
    let fixed = given.number("onset");
    if let Some(onset) = fixed.filter(|t| !(first..last).contains(t)) {
        return Err(CalibrationError::Setting(format!(
            "--set onset: {onset} s is outside the measured {first} to {last} s"
        )));
    }
    let longest = time.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
    // An onset between two samples: its corner is rounded over one of them, so that the search can move it smoothly.
    let after = |x: f64| match fixed {
        Some(_) => x.max(0.0),
        None if x.abs() < longest => (x + longest).powi(2) / (4.0 * longest),
        None => x.max(0.0),
    };
    let level = |p: &[f64], t: f64| {
        let since = after(t - fixed.unwrap_or_else(|| p[3]));
        p[0] - p[1] * (-since / p[2]).exp_m1()
    };
    let model = |p: &[f64], out: &mut [f64]| out.iter_mut().zip(time).for_each(|(y, t)| *y = level(p, *t));
    let shortest = time.windows(2).map(|w| w[1] - w[0]).fold(f64::MAX, f64::min);
    let mut parameters = vec![
        Parameter::new("start", unit, low - 2.0 * swing, high + 2.0 * swing),
        Parameter::new("change", unit, -5.0 * swing, 5.0 * swing),
        Parameter::new("time_constant", "s", 0.05 * shortest, 5.0 * span),
    ];
    if fixed.is_none() {
        parameters.push(Parameter::new("onset", "s", first - 0.5 * span, last));
    }
    let problem =
        Problem { parameters, data: signal, spread: Spread::Equal, runs: vec![time.len()], model: &model };
    let mut options = Options::new(&data.file).robust();
    options.starts = starts(time, signal, fixed);
    options.draws = 0;
    options.polish = 6;
    let solution = fit(&problem, &options).map_err(|e| CalibrationError::fit(&data.file, e))?;
    super::checks::within(&solution, &data.file, &[])?;
    let tau = &solution.fit.parameters[2];
    let settling = Measured::new("settling_time", tau, ("ns", 1e9), "step response, one exponential");
    let fragment = Fragment::of("devices.shifter", "", vec![settling.into()]);
    let series = Series {
        name: data.file.clone(),
        x: time.clone(),
        data: signal.clone(),
        model: solution.model.clone(),
    };
    let y = if unit.is_empty() { "signal" } else { "phase (rad)" };
    Ok(Outcome { fragment, ..Outcome::plain(solution.fit, ("time (s)", y), vec![series]) })
}

/// Starts: levels from the ends, a step at the onset or at several places, time constants of several sizes.
fn starts(time: &[f64], signal: &[f64], fixed: Option<f64>) -> Vec<Vec<f64>> {
    let (first, span) = (time[0], time[time.len() - 1] - time[0]);
    let tenth = (time.len() / 10).max(1);
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let (start, end) = (mean(&signal[..tenth]), mean(&signal[signal.len() - tenth..]));
    let mut all = Vec::new();
    for share in [0.01, 0.03, 0.1, 0.3] {
        match fixed {
            Some(_) => all.push(vec![start, end - start, share * span]),
            None => {
                for place in [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] {
                    all.push(vec![start, end - start, share * span, first + place * span]);
                }
            }
        }
    }
    all
}
