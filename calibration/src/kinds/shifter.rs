//! Phase over drive of a phase shifter: what it takes for half a turn, and how the curve bends.

use super::data::{Data, one_of};
use super::envelope::CHANNEL;
use super::fragment::{Condition, Fragment, Line, Measured};
use super::given::{Form, Given, Setting};
use super::names::{per_file, volts_in};
use super::outcome::{Outcome, Series, rounded, short};
use super::trace::{BAND, FLOOR, Trace};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Options, Parameter, Problem, Spread, fit};
use crate::quantile::median;
use crate::spectrum::Spectrum;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;
use std::f64::consts::PI;

/// Points from which on outliers are weighed less.
const MANY: usize = 30;

const RESISTANCE: Setting = Setting {
    name: "resistance",
    doc: "of a heater; turns its voltage into power, over which the phase is fitted",
    form: Form::Number("ohm", 1e-3, 1e9),
    usual: &[],
};
const LENGTH: Setting = Setting {
    name: "length",
    doc: "of the shifter; gives V_pi L",
    form: Form::Number("um", 1e-3, 1e6),
    usual: &[],
};
const LARGEST: Setting = Setting {
    name: "max_voltage",
    doc: "voltage that the curvature refers to, the driver's largest [default: the largest that was measured]",
    form: Form::Number("V", 1e-6, 1e4),
    usual: &[],
};
const PHASE: Setting = Setting {
    name: "phase",
    doc: "whether the phase was measured modulo a turn: continuous or wrapped [default: continuous]",
    form: Form::Word(&["continuous", "wrapped"]),
    usual: &[],
};

/// A table of `voltage_v` or `power_w`, and `phase_rad`.
pub(super) const KIND: Kind = Kind {
    name: "phase-shifter",
    summary: "phase over voltage or power: V_pi or P_pi, curvature (columns voltage_v or power_w, phase_rad)",
    files: Files::Each,
    takes_reference: false,
    settings: &[PHASE, RESISTANCE, LENGTH, LARGEST],
    run,
};

/// Drives and phases, ready to be fitted.
struct Curve {
    file: String,
    drive: Vec<f64>,
    phase: Vec<f64>,
    /// Whether the drive is a voltage, else a power.
    voltage: bool,
}

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let input = &inputs[0];
    let name = one_of(input, &["voltage_v", "power_w"])?;
    let data = Data::read(input, &[name, "phase_rad"])?;
    let mut drive = data.columns[0].clone();
    let mut voltage = name == "voltage_v";
    match (given.number("resistance"), voltage) {
        (Some(ohm), true) => {
            drive.iter_mut().for_each(|v| *v = *v * *v / ohm);
            voltage = false;
        }
        (Some(_), false) => {
            return Err(CalibrationError::Setting(format!(
                "--set resistance: {} has the power itself, column power_w",
                data.file
            )));
        }
        (None, true) => {}
        (None, false) => data.at_least(0, "power_w", 0.0)?,
    }
    data.varied(0, name, 4)?;
    data.varied(1, "phase_rad", 2)?;
    let mut curve = Curve { file: data.file, drive, phase: data.columns[1].clone(), voltage };
    if given.word("phase") == Some("wrapped") {
        curve.unwrap()?;
    }
    curve.fit(given)
}

impl Curve {
    /// Takes turns out along the drive. Neighbours must differ by clearly less than half a turn.
    fn unwrap(&mut self) -> Result<(), CalibrationError> {
        let mut order: Vec<usize> = (0..self.drive.len()).collect();
        order.sort_by(|&a, &b| self.drive[a].total_cmp(&self.drive[b]));
        let mut turns = 0.0;
        for pair in order.windows(2) {
            let step = self.phase[pair[1]] + turns - self.phase[pair[0]];
            turns -= 2.0 * PI * (step / (2.0 * PI)).round();
            self.phase[pair[1]] += turns;
            let step = (self.phase[pair[1]] - self.phase[pair[0]]).abs();
            if step > 0.8 * PI {
                return Err(CalibrationError::File {
                    file: self.file.clone(),
                    problem: format!(
                        "between {} and {} the phase moves by {step:.2} rad: too near half a turn to count turns; measure at drives \
                         that lie closer",
                        self.drive[pair[0]], self.drive[pair[1]]
                    ),
                });
            }
        }
        Ok(())
    }

    fn fit(&self, given: &Given) -> Result<Outcome, CalibrationError> {
        let unit = if self.voltage { "V" } else { "W" };
        let reach = self.drive.iter().fold(0f64, |most, d| most.max(d.abs()));
        let spread = |list: &[f64]| {
            let (low, high) = list.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
            (low, high, high - low)
        };
        let (low, high, swing) = spread(&self.phase);
        // In units of the largest drive: phase = offset + linear u + bend u|u|.
        let shape = |d: f64| (d / reach, d * d.abs() / (reach * reach));
        let model = |p: &[f64], out: &mut [f64]| {
            for (y, &d) in out.iter_mut().zip(&self.drive) {
                let (u, square) = shape(d);
                *y = p[0] + p[1] * u + p[2] * square;
            }
        };
        let most = 20.0 * swing * reach / spread(&self.drive).2;
        let parameters = vec![
            Parameter::new("phase_offset", "rad", low - most, high + most),
            Parameter::new("linear", "rad", -most, most),
            Parameter::new("bend", "rad", -most, most),
        ];
        let problem =
            Problem { parameters, data: &self.phase, spread: Spread::Equal, runs: vec![], model: &model };
        let options = Options::new(&self.file).from(vec![low, swing, 0.0]);
        // A handful of points has no outliers that could be told.
        let options = if self.drive.len() < MANY { options } else { options.robust() };
        let mut solution = fit(&problem, &options).map_err(|e| CalibrationError::fit(&self.file, e))?;
        let linear = solution.fit.get("linear").cloned();
        let (Some(linear), name) = (linear, if self.voltage { "v_pi" } else { "p_pi" }) else {
            return Err(CalibrationError::TooFew(format!("{}: nothing was fitted", self.file)));
        };
        if !(linear.lower.is_some_and(|l| l > 0.0) || linear.upper.is_some_and(|u| u < 0.0)) {
            return Err(CalibrationError::TooFew(format!(
                "{}: the phase does not follow the drive: its slope at zero, {} rad per full drive, is not told from none",
                self.file,
                short(linear.value)
            )));
        }
        let largest = given.number("max_voltage").filter(|_| self.voltage).unwrap_or(reach);
        solution.add(name, unit, |p| PI * reach / p[1].abs());
        solution.add("curvature", "", |p| p[2] / p[1] * largest / reach);
        if self.voltage
            && let Some(um) = given.number("length")
        {
            solution.add("v_pi_length", "V cm", |p| PI * reach / p[1].abs() * um * 1e-4);
        }
        // What is fitted stays inside; what it means goes out.
        solution.fit.forget(&["linear", "bend"]);
        solution.fit.notes.push(format!(
            "phase = offset + pi/{name} (d + curvature d|d|/{}), d the drive in {unit}; {name} is the slope's at no drive",
            short(largest)
        ));
        let fragment = fragment(&solution.fit, largest, given);
        let series = Series {
            name: self.file.clone(),
            x: self.drive.clone(),
            data: self.phase.clone(),
            model: solution.model.clone(),
        };
        let x = if self.voltage { "voltage (V)" } else { "power (W)" };
        Ok(Outcome { fragment, ..Outcome::plain(solution.fit, (x, "phase (rad)"), vec![series]) })
    }
}

/// What a design takes: the curvature together with the voltage that it refers to. Only where the drive is a voltage and the
/// length is known.
fn fragment(fit: &crate::fit::Fit, largest: f64, given: &Given) -> Fragment {
    let (Some(length), Some(curvature)) = (fit.get("v_pi_length"), fit.get("curvature")) else {
        return Fragment::default();
    };
    let volts = rounded(largest, 12);
    let how = format!("phase over voltage, curvature at max_voltage = {volts} V");
    let condition = Condition { setting: LARGEST.name, value: largest, unit: "V" };
    let source = match given.number(LARGEST.name) {
        Some(_) => "as set; the curvature refers to it",
        None => {
            "the largest that was measured; the curvature refers to it: --set max_voltage=.. for the driver's own"
        }
    };
    let lines = vec![
        Measured::new("v_pi_length", length, ("V cm", 1.0), "phase over voltage, slope at no drive").into(),
        Measured::new("curvature", curvature, ("", 1.0), &how).at(condition).into(),
        Line::choice(LARGEST.name, &format!("{volts} V"), source),
    ];
    Fragment::of(
        "devices.shifter",
        "curvature and max_voltage belong together: put in both, or neither.",
        lines,
    )
}

const VOLTAGES: Setting = Setting {
    name: "voltage",
    doc: "voltage of each file, in their order [default: from names such as mzi_1.5V.csv]",
    form: Form::List("V", -1e4, 1e4),
    usual: &[],
};

/// A spectrum of an interferometer for each voltage.
pub(super) const SPECTRA: Kind = Kind {
    name: "phase-shifter-spectra",
    summary: "the same from a spectrum of an unbalanced interferometer for each voltage: how far its fringes move",
    files: Files::Together,
    takes_reference: false,
    settings: &[VOLTAGES, CHANNEL, BAND, FLOOR, RESISTANCE, LENGTH, LARGEST],
    run: spectra,
};

fn spectra(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let voltages = per_file(inputs, given, "voltage", "0V,0.5V", volts_in)?;
    if inputs.len() < 5 {
        return Err(CalibrationError::TooFew(format!(
            "{} spectra: at least 5 voltages are needed",
            inputs.len()
        )));
    }
    let channel = given.value(&CHANNEL) as u32;
    let mut fringes = Vec::new();
    for input in inputs {
        let spectrum = Spectrum::read(&input.bytes, &input.file)?;
        fringes.push(Fringes::new(&Trace::new(&spectrum, channel, given)?)?);
    }
    let delay = fringes[0].delay()?;
    let phase = fringes.iter().map(|f| f.phase(delay, &fringes[0])).collect();
    let voltage = given.number("resistance").is_none();
    let drive = match given.number("resistance") {
        Some(ohm) => voltages.iter().map(|v| v * v / ohm).collect(),
        None => voltages,
    };
    let file = inputs.iter().map(|i| i.file.as_str()).collect::<Vec<_>>().join(", ");
    let mut curve = Curve { file, drive, phase, voltage };
    curve.unwrap()?;
    let mut outcome = curve.fit(given)?;
    outcome.fit.notes.push(format!(
        "fringes of {:.4} ps of delay; phases are those of their first harmonic against the first file, so that a shift of the fringes \
         to higher frequencies counts as negative",
        1e12 * delay
    ));
    Ok(outcome)
}

/// A spectrum without its broad shape, over optical frequency.
struct Fringes {
    file: String,
    /// Frequency, Hz.
    hertz: Vec<f64>,
    /// Power in dB less a cubic in frequency, under a window that falls to nothing at both ends.
    shape: Vec<f64>,
}

/// Trial delays, in steps of half of what the band resolves.
const DELAYS: usize = 4000;

impl Fringes {
    fn new(trace: &Trace) -> Result<Self, CalibrationError> {
        let hertz: Vec<f64> =
            trace.nanometres.iter().map(|nm| mirage_devices::LIGHT_SPEED / (nm * 1e-9)).collect();
        let (low, high) = hertz.iter().fold((f64::MAX, f64::MIN), |(l, h), f| (l.min(*f), h.max(*f)));
        let unit = |f: f64| 2.0 * (f - low) / (high - low) - 1.0;
        let basis = DMatrix::from_fn(hertz.len(), 4, |i, j| unit(hertz[i]).powi(j as i32));
        let data = DVector::from_column_slice(&trace.dbm);
        let smooth = (basis.transpose() * &basis).cholesky().map(|c| c.solve(&(basis.transpose() * &data)));
        let smooth = smooth.filter(|_| hertz.len() > 20 && high > low).ok_or_else(|| {
            CalibrationError::TooFew(format!("{}: too few wavelengths above the floor", trace.name))
        })?;
        let rest = data - basis * smooth;
        let window = |f: f64| (0.5 * PI * unit(f)).cos().powi(2);
        let shape = hertz.iter().zip(rest.iter()).map(|(f, r)| r * window(*f)).collect();
        Ok(Fringes { file: trace.name.clone(), hertz, shape })
    }

    /// Component of a delay, frequencies counted from `origin`.
    fn component(&self, delay: f64, origin: f64) -> Complex64 {
        let term = |(f, y): (&f64, &f64)| Complex64::from_polar(*y, -2.0 * PI * delay * (f - origin));
        self.hertz.iter().zip(&self.shape).map(term).sum()
    }

    /// The delay with the largest component; it must stand out.
    fn delay(&self) -> Result<f64, CalibrationError> {
        let (low, high) = self.hertz.iter().fold((f64::MAX, f64::MIN), |(l, h), f| (l.min(*f), h.max(*f)));
        let step = 0.5 / (high - low);
        let most = DELAYS.min(self.hertz.len());
        // The first few belong to what the cubic leaves of the broad shape.
        let sizes: Vec<(f64, f64)> = (6..most)
            .map(|i| step * i as f64)
            .map(|delay| (delay, self.component(delay, low).norm()))
            .collect();
        let best = sizes.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let typical = median(sizes.iter().map(|s| s.1).collect());
        match best {
            Some((delay, size)) if size > 10.0 * typical => {
                let near =
                    |shift: f64| (delay + shift * step, self.component(delay + shift * step, low).norm());
                let fine = (-20..=20).map(|i| near(0.05 * f64::from(i))).max_by(|a, b| a.1.total_cmp(&b.1));
                Ok(fine.map_or(delay, |f| f.0))
            }
            _ => Err(CalibrationError::TooFew(format!(
                "{}: no fringes stand out of the noise: an interferometer with unequal arms is needed",
                self.file
            ))),
        }
    }

    /// Phase of the fringes of that delay against those of another spectrum, rad.
    fn phase(&self, delay: f64, other: &Fringes) -> f64 {
        let origin = other.hertz.iter().sum::<f64>() / other.hertz.len() as f64;
        (self.component(delay, origin) * other.component(delay, origin).conj()).arg()
    }
}
