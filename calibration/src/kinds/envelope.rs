//! The broad response of a pair of grating couplers, from a structure that does nothing else.

use super::checks::{broad, not_gain, within};
use super::given::{Form, Given, Setting};
use super::outcome::Outcome;
use super::trace::{BAND, FLOOR, Owned, Trace, fit_traces, milliwatts, notes};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Options, Parameter};
use crate::spectrum::Spectrum;
use mirage_devices::component::grating_loss;

pub(super) const CHANNEL: Setting =
    Setting { name: "channel", doc: "channel with the signal", form: Form::Whole(0, 1000), usual: &[2.0] };
const LASER: Setting = Setting {
    name: "laser_power",
    doc: "power into the first coupler; gives the loss of one coupler",
    form: Form::Number("dBm", -100.0, 50.0),
    usual: &[],
};

/// Grating couplers: the law of the component `grating` twice, with a skew and a flatness of the measured shape.
pub(super) const KIND: Kind = Kind {
    name: "envelope",
    summary: "response of a pair of grating couplers: peak, bandwidth, skew",
    files: Files::Each,
    takes_reference: false,
    settings: &[CHANNEL, BAND, FLOOR, LASER],
    run,
};

/// Peak power (dBm), peak wavelength (nm), full width of the pair at 1 dB (nm), skew and flatness (dB).
fn level(p: &[f64], nanometres: f64) -> f64 {
    let off = nanometres - p[1];
    let x = 2.0 * off / p[2];
    p[0] - grating_loss(off, 0.0, p[2]) + p[3] * x.powi(3) + p[4] * x.powi(4)
}

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let spectrum = Spectrum::read(&inputs[0].bytes, &inputs[0].file)?;
    let trace = Trace::new(&spectrum, given.value(&CHANNEL) as u32, given)?;
    let (from, to) = trace.band();
    let (from, to) = (from * 1e9, to * 1e9);
    let parameters = vec![
        Parameter::new("peak_power", "dBm", -120.0, 50.0),
        Parameter::new("peak_wavelength", "nm", from - (to - from), to + (to - from)),
        Parameter::new("bandwidth_1db", "nm", 0.5, 500.0),
        Parameter::new("skew", "dB", -5.0, 5.0),
        Parameter::new("flatness", "dB", -2.0, 2.0),
    ];
    let make = |traces: &[Trace]| -> Owned<'_> {
        let trace = traces[0].clone();
        Box::new(move |p, out| {
            out.iter_mut()
                .zip(&trace.nanometres)
                .for_each(|(y, nm)| *y = trace.shown(milliwatts(level(p, *nm))));
        })
    };
    let top = (0..trace.dbm.len()).max_by(|a, b| trace.dbm[*a].total_cmp(&trace.dbm[*b])).unwrap_or(0);
    let start = |width: f64| vec![trace.dbm[top], trace.nanometres[top], width, 0.0, 0.0];
    let mut options = Options::new(&trace.name).robust();
    options.starts = [0.1, 0.3, 1.0].map(|share| start((share * (to - from)).clamp(0.5, 500.0))).to_vec();
    options.draws = 0;
    let found = fit_traces(std::slice::from_ref(&trace), 3000, parameters, &make, &options);
    let mut solution = found.map_err(|e| CalibrationError::fit(&trace.name, e))?;
    within(&solution, &trace.name, &[])?;
    broad(&trace.name, &trace.dbm, &solution.model, &solution.sigma, "the response of a pair of couplers")?;
    solution.add("bandwidth_3db", "nm", |p| width(p, 3.0));
    if let Some(laser) = given.number("laser_power") {
        solution.add("loss_per_coupler", "dB", |p| 0.5 * (laser - p[0]));
    }
    if let Some(loss) = solution.fit.get("loss_per_coupler") {
        not_gain(loss, &trace.name, "is the laser's power right?")?;
    }
    solution.fit.notes.extend(notes(std::slice::from_ref(&trace)));
    let peak = solution.value("peak_wavelength");
    if !(from..=to).contains(&peak) {
        solution
            .fit
            .notes
            .push(format!("the peak at {peak:.1} nm lies outside the measured band: it is extrapolated"));
    }
    let curves = [(trace.name.clone(), trace.nanometres.as_slice(), trace.dbm.len())];
    Ok(Outcome::of(solution, &curves, "power (dBm)", &trace.dbm))
}

/// Full width at so many dB below the peak, nm; NaN where the shape never falls so far.
fn width(p: &[f64], down: f64) -> f64 {
    let side = |sign: f64| {
        let loss = |off: f64| p[0] - level(p, p[1] + sign * off);
        let mut low = 0.0;
        let mut high = p[2] / 64.0;
        while loss(high) < down {
            (low, high) = (high, 1.1 * high);
            if high > 1e4 {
                return f64::NAN;
            }
        }
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if loss(middle) < down { low = middle } else { high = middle }
        }
        high
    };
    side(1.0) + side(-1.0)
}
