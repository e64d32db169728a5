//! Photodiode and amplifier: responsivity and dark current from the mean current, noise from its variance.
//!
//! The variance of the current over its mean is the photon-transfer curve: its intercept is the amplifier's noise, its slope
//! 2 q B that of shot noise, with B the noise bandwidth (Janesick, *Photon Transfer*, SPIE 2007, for a camera's electrons). Where B is
//! known, the slope checks the scale of the currents: an unknown gain g between current and what was recorded makes it g.

use super::data::{Data, headers};
use super::fragment::{Fragment, Measured, Section};
use super::given::{Form, Given, Setting};
use super::outcome::{Outcome, Series, Table, short};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Estimate, Fit, Options, Parameter, Problem, Solution, Spread, fit};
use mirage_devices::ELEMENTARY_CHARGE;

/// Times that the weights of the variances are taken from the curve fitted before.
const REWEIGHTED: usize = 4;

const SAMPLES: Setting = Setting {
    name: "samples",
    doc: "samples behind each mean and variance; needed with a column variance_a2",
    form: Form::Number("", 3.0, 1e12),
    usual: &[],
};
const BANDWIDTH: Setting = Setting {
    name: "noise_bandwidth",
    doc: "of the recording, pi/2 times the 3 dB bandwidth of one pole; checks the gain by the shot noise",
    form: Form::Number("Hz", 1e-3, 1e15),
    usual: &[],
};
const INTENSITY: Setting = Setting {
    name: "intensity_noise",
    doc: "whether the light's own noise, which grows with the square of the current, is fitted: yes or no [default: no]",
    form: Form::Word(&["yes", "no"]),
    usual: &[],
};

/// A table of `power_w`, `current_a` and, for the noise, `variance_a2`.
pub(super) const KIND: Kind = Kind {
    name: "photodiode",
    summary: "responsivity, dark current, noise (columns power_w, current_a and, with samples, variance_a2)",
    files: Files::Each,
    takes_reference: false,
    settings: &[SAMPLES, BANDWIDTH, INTENSITY],
    run,
};

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let input = &inputs[0];
    let noisy = headers(input)?.iter().any(|h| h == "variance_a2");
    let names = ["power_w", "current_a", "variance_a2"];
    let data = Data::read(input, &names[..if noisy { 3 } else { 2 }])?;
    data.at_least(0, "power_w", 0.0)?;
    data.varied(0, "power_w", 3)?;
    data.varied(1, "current_a", 2)?;
    let missing =
        |name: &str, why: &str| CalibrationError::Setting(format!("{}: {why}: --set {name}=...", data.file));
    let samples = match (noisy, given.number("samples")) {
        (true, None) => return Err(missing("samples", "how many samples are behind each variance?")),
        (false, _) if given.number("noise_bandwidth").is_some() => {
            return Err(missing("noise_bandwidth", "there is no column variance_a2 to check with it"));
        }
        (_, samples) => samples.unwrap_or(0.0),
    };
    if noisy {
        data.at_least(2, "variance_a2", f64::MIN_POSITIVE)?;
        data.varied(2, "variance_a2", 2)?;
    }
    let (power, current) = (&data.columns[0], &data.columns[1]);
    let transfer = noisy.then(|| transfer(&data, samples, given)).transpose()?;
    // The scatter of a mean, up to a factor that the residuals tell.
    let scatter: Vec<f64> = match &transfer {
        Some((solution, _)) => solution.model.iter().map(|v| v.max(f64::MIN_POSITIVE).sqrt()).collect(),
        None => vec![1.0; power.len()],
    };
    let mut line_fit = straight(&data.file, (power, current), &scatter)?;
    let own = Series {
        name: data.file.clone(),
        x: power.clone(),
        data: current.clone(),
        model: line_fit.model.clone(),
    };
    let Some((solution, curve)) = transfer else {
        let fragment = fragment(&line_fit.fit);
        let outcome = Outcome::plain(line_fit.fit, ("optical power (W)", "current (A)"), vec![own]);
        return Ok(Outcome { fragment, ..outcome });
    };
    line_fit.fit.parameters.extend(solution.fit.parameters);
    line_fit.fit.notes.extend(solution.fit.notes);
    let fragment = fragment(&line_fit.fit);
    let row = |i: usize| [own.x[i], own.data[i], own.model[i]].map(Some).to_vec();
    let table = Table {
        name: "responsivity.csv",
        columns: vec!["power_w", "current_a", "model_a"],
        rows: (0..own.x.len()).map(row).collect(),
    };
    let outcome = Outcome::plain(line_fit.fit, ("mean current (A)", "variance (A^2)"), vec![curve]);
    Ok(Outcome { fragment, tables: vec![table], ..outcome })
}

/// Responsivity and dark current.
fn straight(
    file: &str,
    (power, current): (&[f64], &[f64]),
    scatter: &[f64],
) -> Result<Solution, CalibrationError> {
    let top = power.iter().fold(0f64, |m, p| m.max(*p));
    let most = current.iter().fold(0f64, |m, c| m.max(c.abs()));
    let model =
        |p: &[f64], out: &mut [f64]| out.iter_mut().zip(power).for_each(|(y, x)| *y = p[0] * x + p[1]);
    let parameters = vec![
        Parameter::new("responsivity", "A/W", -20.0 * most / top, 20.0 * most / top),
        Parameter::new("dark_current", "A", -5.0 * most, 5.0 * most),
    ];
    let problem =
        Problem { parameters, data: current, spread: Spread::Relative(scatter), runs: vec![], model: &model };
    let options = Options::new(file).from(vec![most / top, 0.0]);
    let solution = fit(&problem, &options).map_err(|e| CalibrationError::fit(file, e))?;
    let responsivity = &solution.fit.parameters[0];
    if responsivity.lower.is_some_and(|l| l <= 0.0) {
        return Err(CalibrationError::TooFew(format!(
            "{file}: the current does not rise with the light: {} A/W, 95 % from {}",
            short(responsivity.value),
            short(responsivity.lower.unwrap_or(f64::NAN))
        )));
    }
    Ok(solution)
}

/// The photon-transfer curve: variance over mean current. A variance of n samples has the relative error sqrt(2/(n - 1)), so
/// that weights follow the curve itself: they are taken from the fit before, since those of the data would favour what came out
/// small.
fn transfer(data: &Data, samples: f64, given: &Given) -> Result<(Solution, Series), CalibrationError> {
    let (current, variance) = (&data.columns[1], &data.columns[2]);
    let quadratic = given.word("intensity_noise") == Some("yes");
    let (top, most) =
        (current.iter().fold(0f64, |m, c| m.max(c.abs())), variance.iter().fold(0f64, |m, v| m.max(*v)));
    // In units of the largest current and variance.
    let curve = |p: &[f64], c: f64| {
        let u = c / top;
        most * (p[0] + p[1] * u + if quadratic { p[2] * u * u } else { 0.0 })
    };
    let model = |p: &[f64], out: &mut [f64]| out.iter_mut().zip(current).for_each(|(y, c)| *y = curve(p, *c));
    let relative = (2.0 / (samples - 1.0)).sqrt();
    let mut expected = variance.clone();
    let mut found: Option<Solution> = None;
    for _ in 0..REWEIGHTED {
        let spread: Vec<f64> = expected.iter().map(|v| relative * v.max(1e-9 * most)).collect();
        let mut parameters =
            vec![Parameter::new("floor", "", -5.0, 5.0), Parameter::new("shot", "", -5.0, 5.0)];
        if quadratic {
            parameters.push(Parameter::new("square", "", -5.0, 5.0));
        }
        let start = vec![0.5; parameters.len()];
        let problem = Problem {
            parameters,
            data: variance,
            spread: Spread::Relative(&spread),
            runs: vec![],
            model: &model,
        };
        let solution = fit(&problem, &Options::new(&data.file).from(start))
            .map_err(|e| CalibrationError::fit(&data.file, e))?;
        expected.clone_from(&solution.model);
        found = Some(solution);
    }
    let Some(mut solution) = found else {
        return Err(CalibrationError::TooFew(format!("{}: nothing was fitted", data.file)));
    };
    solution.fit.parameters.clear();
    scatter_note(&mut solution, &expected, relative);
    if solution.values[0] > 0.0 {
        solution.add("input_noise", "A", |p| (most * p[0].max(0.0)).sqrt());
    } else {
        solution.fit.notes.push("the amplifier's noise does not show beneath the shot noise".into());
    }
    solution.add("variance_floor", "A^2", |p| most * p[0]);
    solution.add("variance_slope", "A", |p| most / top * p[1]);
    solution.add("noise_bandwidth", "Hz", |p| most / top * p[1] / (2.0 * ELEMENTARY_CHARGE));
    if let Some(hertz) = given.number("noise_bandwidth") {
        solution.add("gain_check", "", |p| most / top * p[1] / (2.0 * ELEMENTARY_CHARGE * hertz));
        gain_note(&mut solution.fit);
    }
    if quadratic {
        solution.add("intensity_noise", "", |p| most / (top * top) * p[2]);
    }
    let series = Series {
        name: format!("{} variance over current", data.file),
        x: current.clone(),
        data: variance.clone(),
        model: solution.model.clone(),
    };
    Ok((solution, series))
}

/// Says so where variances scatter by much more, or less, than so many samples make them.
fn scatter_note(solution: &mut Solution, expected: &[f64], relative: f64) {
    let own = solution.sigma.iter().zip(expected).map(|(s, v)| s / (relative * v)).sum::<f64>();
    let factor = own / expected.len() as f64;
    // The factor of a fit with so many degrees of freedom is known to 1/sqrt(2 dof).
    if (factor - 1.0).abs() > 4.0 / (2.0 * solution.fit.dof as f64).sqrt() {
        solution.fit.notes.push(format!(
            "variances scatter {factor:.2} times as much as so many samples make them: samples that are not independent, drift, or another \
             number of them; the intervals follow the scatter"
        ));
    }
}

/// What the check of the gain says.
fn gain_note(fit: &mut Fit) {
    let Some(Estimate { value, lower: Some(low), upper: Some(high), .. }) = fit.get("gain_check").cloned()
    else {
        return;
    };
    let word = if low <= 1.0 && 1.0 <= high {
        "the currents are what they say, as far as shot noise tells"
    } else {
        "the scale of the currents, the bandwidth, or noise that is no shot noise is off"
    };
    fit.notes.push(format!(
        "shot noise is {} times what the mean current has in that bandwidth (95 %: {} to {}): {word}",
        short(value),
        short(low),
        short(high)
    ));
}

/// A dark current below zero is a true estimate and counts in a spread; a design takes none.
fn fragment(fit: &Fit) -> Fragment {
    let how = "current over power";
    let responsivity =
        fit.get("responsivity").map(|r| Measured::new("responsivity", r, ("A/W", 1.0), how).into());
    let dark = fit
        .get("dark_current")
        .map(|d| Measured::new("dark_current", d, ("nA", 1e9), how).not_negative().into());
    let how = "variance over current, at no current";
    let noise = fit.get("input_noise").map(|n| Measured::new("input_noise", n, ("uA", 1e6), how).into());
    let diode = responsivity.into_iter().chain(dark).collect();
    let sections = [("devices.photodiode", diode), ("devices.tia", noise.into_iter().collect())];
    let sections = sections.map(|(name, lines)| Section { name, comment: "", lines });
    Fragment { sections: sections.into(), ..Fragment::default() }
}
