//! The unbalanced Mach-Zehnder interferometer of two Y-branches.

use super::checks::{End, Seen, not_gain, within};
use super::envelope::CHANNEL;
use super::fringes::{fringes, transmission};
use super::given::{Form, Given, Setting};
use super::names::{digits_before, stem};
use super::outcome::Outcome;
use super::reference::Reference;
use super::trace::{
    BAND, DEGREE, Envelope, FLOOR, Owned, REPEATABILITY, Trace, degree, fit_traces, milliwatts, notes,
    polynomial,
};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Options, Parameter};
use crate::spectrum::Spectrum;
use mirage_devices::LIGHT_SPEED;
use mirage_devices::component::{GuideMode, GuideTable, Polarization, shares};
use num_complex::Complex64;

const DELTA: Setting = Setting {
    name: "delta_length",
    doc: "how much longer one arm is [default: from a name such as mzi_dl100um.csv]",
    form: Form::Number("um", 0.1, 1e6),
    usual: &[],
};
pub(super) const WAVELENGTH: Setting = Setting {
    name: "wavelength",
    doc: "wavelength of the group index and of what follows from it [default: 1550 nm, or the middle of the band]",
    form: Form::Number("nm", 200.0, 20_000.0),
    usual: &[],
};
pub(super) const INDEX: Setting = Setting {
    name: "group_index",
    doc: "group indices among which the period is looked for",
    form: Form::Range("", 1.0, 10.0),
    usual: &[3.0, 5.0],
};

/// Two Y-branches and two guides: the components `y_branch` and `waveguide`.
pub(super) const KIND: Kind = Kind {
    name: "mzi",
    summary: "unbalanced interferometer of two Y-branches: group index, its slope, extinction, imbalance",
    files: Files::Each,
    takes_reference: true,
    settings: &[DELTA, CHANNEL, BAND, FLOOR, WAVELENGTH, INDEX, DEGREE, REPEATABILITY],
    run,
};

/// Slope of the group index in 1/um from which fits start: that of the strip of 500 x 220 nm.
pub(super) fn usual_slope() -> f64 {
    let table = GuideTable::silicon_strips().ok();
    let mode = table.and_then(|t| t.mode(500e-9, 220e-9, Polarization::Te));
    mode.map_or(0.0, |m| m.dispersion * LIGHT_SPEED * 1e-6)
}

/// The wavelength that group indices are for, m.
pub(super) fn centre(trace: &Trace, given: &Given) -> f64 {
    let (from, to) = trace.band();
    let usual = if (from..=to).contains(&1550e-9) { 1550e-9 } else { 0.5 * (from + to) };
    given.number("wavelength").map_or(usual, |nm| nm * 1e-9)
}

/// Guide of a group index and its slope (1/um) at a wavelength. Its effective index is left open: phases count from a fringe.
pub(super) fn guide(centre: f64, group_index: f64, slope: f64) -> GuideMode {
    GuideMode { wavelength: centre, neff: 0.0, ng: group_index, dispersion: slope * 1e6 / LIGHT_SPEED }
}

/// Power that passes at a phase between the arms, one on a maximum, from what [`shares`] says of the Y-branches: their
/// stronger outputs meet.
pub(super) fn passes([strong, weak]: [f64; 2], phase: f64) -> f64 {
    (strong * strong + Complex64::from_polar(weak * weak, phase)).norm_sqr()
}

/// Ratio of the fields of the weaker and the stronger arm.
fn ratio(imbalance_db: f64) -> f64 {
    let [strong, weak] = shares(0.0, imbalance_db);
    (weak / strong).powi(2)
}

/// What the fit needs to know.
pub(super) struct Interferometer {
    pub trace: Trace,
    /// m.
    pub delta: f64,
    pub centre: f64,
    pub basis: Vec<f64>,
    pub terms: usize,
    /// Power of the reference at each point, dBm; zero without one.
    pub reference: Vec<f64>,
}

/// Parameters before those of the envelope.
const OWN: usize = 4;

impl Interferometer {
    pub fn fill(&self, p: &[f64], out: &mut [f64]) {
        let guide = guide(self.centre, p[1], p[2]);
        let fringe = guide.wavenumber(p[0] * 1e-9);
        let split = shares(0.0, p[3]);
        let rows = self.basis.chunks_exact(self.terms);
        for (i, (out, row)) in out.iter_mut().zip(rows).enumerate() {
            let phase = (guide.wavenumber(self.trace.wavelengths[i]) - fringe) * self.delta;
            let level = milliwatts(self.reference[i] + polynomial(row, &p[OWN..]));
            *out = self.trace.shown(level * passes(split, phase).max(1e-12));
        }
    }
}

/// The path difference in a name: `dl100um`.
fn delta_in(name: &str) -> Option<f64> {
    let at = name.find("dl")?;
    let end = at + name[at..].find("um")?;
    digits_before(name, end)
}

fn run(inputs: &[Input], reference: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let input = &inputs[0];
    let spectrum = Spectrum::read(&input.bytes, &input.file)?;
    let channel = given.value(&CHANNEL) as u32;
    let trace = Trace::new(&spectrum, channel, given)?;
    let delta = given.number("delta_length").or_else(|| delta_in(stem(&input.file))).ok_or_else(|| {
        CalibrationError::Setting(format!(
            "{}: the name does not say how much longer one arm is: --set delta_length=100um",
            input.file
        ))
    })?;
    let reference = reference.map(|r| Reference::read(r, channel, given)).transpose()?;
    let trace = match &reference {
        Some(r) => r.cut(&trace)?,
        None => trace,
    };
    let degree = degree(given, reference.is_some());
    let measured = Measured {
        envelope: Envelope::new(degree, trace.band()),
        delta: delta * 1e-6,
        centre: centre(&trace, given),
        trace,
        reference,
    };
    let (indices, starts) = starts(&measured, given)?;
    let solution = solve(&measured, indices, starts, &input.file)?;
    check(&solution, &measured)?;
    let outcome = finish(solution, &measured, given);
    if let Some(loss) = outcome.fit.get("insertion_loss") {
        let why = "the reference is darker than what it is to stand for";
        not_gain(loss, &measured.trace.name, why)?;
    }
    Ok(outcome)
}

/// Whether there are fringes at all, and of such a device. No imbalance is a true value: fringes then go down to the floor.
fn check(solution: &crate::fit::Solution, measured: &Measured) -> Result<(), CalibrationError> {
    let device = measured.device(&measured.trace);
    let seen = Seen {
        trace: &measured.trace,
        model: &solution.model,
        sigma: &solution.sigma,
        reference: &device.reference,
        basis: &device.basis,
    };
    within(solution, &measured.trace.name, &[("imbalance", End::Low)])?;
    seen.device("an interferometer", &|_| true)
}

/// What was measured, and how it is to be seen.
pub(super) struct Measured {
    pub trace: Trace,
    /// m.
    pub delta: f64,
    pub centre: f64,
    pub envelope: Envelope,
    pub reference: Option<Reference>,
}

impl Measured {
    fn device(&self, trace: &Trace) -> Interferometer {
        let flat = || vec![0.0; trace.dbm.len()];
        Interferometer {
            trace: trace.clone(),
            delta: self.delta,
            centre: self.centre,
            basis: self.envelope.basis(&trace.wavelengths),
            terms: self.envelope.degree + 1,
            reference: self.reference.as_ref().map_or_else(flat, |r| r.at(&trace.nanometres)),
        }
    }
}

/// Range of group indices, and where to start.
type Starts = ((f64, f64), Vec<Vec<f64>>);

fn starts(measured: &Measured, given: &Given) -> Result<Starts, CalibrationError> {
    let (trace, device) = (&measured.trace, measured.device(&measured.trace));
    let indices = given.ends(&INDEX);
    let found = fringes(&trace.wavelengths, &transmission(trace), device.delta, indices, 1, 3);
    let (from, to) = trace.band();
    let periods = found.first().map_or(0.0, |f| (1.0 / from - 1.0 / to) * device.delta * f.group_index);
    if periods < 1.5 {
        return Err(CalibrationError::TooFew(format!(
            "{}: fewer than two fringes with a group index of {} to {} lie between {:.1} and {:.1} nm: the band is too narrow for a path difference of {} um",
            trace.name,
            indices.0,
            indices.1,
            from * 1e9,
            to * 1e9,
            device.delta * 1e6
        )));
    }
    let lifted: Vec<f64> = trace.dbm.iter().zip(&device.reference).map(|(d, r)| d - r).collect();
    let level = measured.envelope.start(&trace.wavelengths, &lifted, true);
    let mut starts = Vec::new();
    for fringe in &found {
        for imbalance in [0.1, 1.0] {
            let mut start = vec![fringe.maximum * 1e9, fringe.group_index, usual_slope(), imbalance];
            start.extend(&level);
            starts.push(start);
        }
    }
    Ok((indices, starts))
}

pub(super) fn solve(
    measured: &Measured,
    indices: (f64, f64),
    starts: Vec<Vec<f64>>,
    source: &str,
) -> Result<crate::fit::Solution, CalibrationError> {
    let trace = &measured.trace;
    let first = starts[0][0];
    // Half a period to either side of the fringe, and a little.
    let period = measured.centre.powi(2) / (measured.delta * indices.0) * 1e9;
    let mut parameters = vec![
        Parameter::new("fringe_wavelength", "nm", first - 0.6 * period, first + 0.6 * period),
        Parameter::new("group_index", "", indices.0, indices.1),
        Parameter::new("group_index_slope", "1/um", -2.0, 2.0),
        Parameter::new("imbalance", "dB", 0.0, 20.0),
    ];
    parameters.extend(measured.envelope.parameters());
    let make = |traces: &[Trace]| -> Owned<'_> {
        let device = measured.device(&traces[0]);
        Box::new(move |p, out| device.fill(p, out))
    };
    let mut options = Options::new(source).robust();
    let inside = |s: &Vec<f64>| (first - 0.6 * period..=first + 0.6 * period).contains(&s[0]);
    options.starts = starts.into_iter().filter(inside).collect();
    options.draws = 0;
    // Some points for each fringe.
    let (from, to) = trace.band();
    let fringes = (1.0 / from - 1.0 / to) * measured.delta * indices.1;
    let few = 2500.max((40.0 * fringes) as usize);
    fit_traces(std::slice::from_ref(trace), few, parameters, &make, &options)
        .map_err(|e| CalibrationError::fit(&trace.name, e))
}

fn finish(mut solution: crate::fit::Solution, measured: &Measured, given: &Given) -> Outcome {
    let trace = &measured.trace;
    let (delta, centre) = (measured.delta, measured.centre);
    solution.add("free_spectral_range", "nm", |p| centre.powi(2) / (p[1] * delta) * 1e9);
    solution.add("extinction", "dB", |p| {
        let r = ratio(p[3]);
        20.0 * ((1.0 + r) / (1.0 - r)).log10()
    });
    solution.add("splitting_ratio", "", |p| shares(0.0, p[3])[0].powi(2));
    solution.add("imbalance_loss", "dB", |p| 2.0 * p[3]);
    if measured.reference.is_some() {
        let basis = measured.envelope.basis(&[centre]);
        let repeatability = given.value(&REPEATABILITY);
        let loss = solution.derive("insertion_loss", "dB", |p| -polynomial(&basis, &p[OWN..]));
        let error = loss.standard_error.unwrap_or(0.0).hypot(std::f64::consts::SQRT_2 * repeatability);
        let (lower, upper) = (loss.value - solution.reach * error, loss.value + solution.reach * error);
        solution.fit.parameters.push(crate::fit::Estimate {
            standard_error: Some(error),
            lower: Some(lower),
            upper: Some(upper),
            ..loss
        });
    }
    let all = [
        format!("group index, its slope and what follows hold at {:.3} nm", centre * 1e9),
        "which order the fringe is of is not known, so that the effective index is open to multiples of wavelength over path difference".into(),
        "one output tells the product of both branches' and the arms' imbalance alone: `imbalance` and `splitting_ratio` take the arms as \
         alike and both Y-branches as the same, `imbalance_loss` takes the Y-branches as even"
            .into(),
    ];
    solution.fit.notes.extend(all);
    if measured.reference.is_none() {
        solution.fit.notes.push(
            "the slope of the group index rests on a polynomial for the couplers' response, above all where they give little light: its interval \
             holds for that; --set band=.., another envelope_degree or a --reference show how far it moves"
                .into(),
        );
    }
    solution.fit.notes.extend(notes(std::slice::from_ref(trace)));
    let curves = [(trace.name.clone(), trace.nanometres.as_slice(), trace.dbm.len())];
    Outcome::of(solution, &curves, "power (dBm)", &trace.dbm)
}
