//! Refusals after a fit: data that are not what they are said to be. A fit always gives numbers; these ask whether the device is in
//! the data at all.

use super::Input;
use super::outcome::short;
use super::trace::{Trace, polynomial};
use crate::CalibrationError;
use crate::fit::{Estimate, Solution};
use nalgebra::{DMatrix, DVector};
use std::f64::consts::TAU;

/// Share of the scatter about the envelope, in squares over their variances, that a device must explain. The measured
/// interferometer and ring of openEBL explain 0.94 to 0.99; a ring of twice the size, where its fit ended, 0.34 of the same data.
const EXPLAINED: f64 = 0.5;
/// The same for a broad response about its mean: 0.99 for the measured couplers, 0.65 for an interferometer in their place.
const BROAD: f64 = 0.8;
/// Share of a residual that one period must hold before it counts as fringes.
const PERIODIC: f64 = 0.4;
/// Amplitude of such a period over the mean of the data: an interferometer has one.
const SWING: f64 = 0.4;
/// Points of a spectrum that are looked at for fringes.
const LOOKED: usize = 3000;

/// Loss of a guide that no strip has, dB/cm.
const LOSSY: f64 = 10.0;

/// Which end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Low,
    High,
}

fn refused(what: &str, reason: String) -> CalibrationError {
    CalibrationError::Refused { what: what.into(), reason }
}

/// The least that polynomials (rows of `basis`) leave of data, in squares over their variances; summed where `near` says so.
fn left(data: &[f64], sigma: &[f64], basis: &[f64], near: &dyn Fn(usize) -> bool) -> f64 {
    let terms = basis.len() / data.len();
    let (mut gram, mut right) = (DMatrix::<f64>::zeros(terms, terms), DVector::<f64>::zeros(terms));
    for (i, row) in basis.chunks_exact(terms).enumerate() {
        let row = DVector::from_column_slice(row) / sigma[i];
        gram.ger(1.0, &row, &row, 1.0);
        right.axpy(data[i] / sigma[i], &row, 1.0);
    }
    // Without a solution the envelope explains nothing, and the device all that it does explain.
    let found = gram.cholesky().map_or_else(|| DVector::zeros(terms), |c| c.solve(&right));
    let off =
        |i: usize| (data[i] - polynomial(&basis[i * terms..(i + 1) * terms], found.as_slice())) / sigma[i];
    (0..data.len()).filter(|i| near(*i)).map(|i| off(i).powi(2)).sum()
}

/// A trace with what a fit makes of it.
pub(super) struct Seen<'a> {
    pub trace: &'a Trace,
    /// Of the fit, at the trace's points.
    pub model: &'a [f64],
    /// Standard deviations of the points.
    pub sigma: &'a [f64],
    /// Powers of the reference at the points, zero without one.
    pub reference: &'a [f64],
    /// Of the envelope at the points.
    pub basis: &'a [f64],
}

impl Seen<'_> {
    /// Share of the scatter about the envelope alone that the device explains, among points that are `near` to where it acts.
    pub fn explained(&self, near: &dyn Fn(usize) -> bool) -> f64 {
        let data: Vec<f64> = self.trace.dbm.iter().zip(self.reference).map(|(d, r)| d - r).collect();
        let without = left(&data, self.sigma, self.basis, near);
        let off = |i: usize| (self.trace.dbm[i] - self.model[i]) / self.sigma[i];
        let with: f64 = (0..data.len()).filter(|i| near(*i)).map(|i| off(i).powi(2)).sum();
        1.0 - with / without
    }

    /// # Errors
    /// A device that explains too little.
    pub fn device(&self, device: &str, near: &dyn Fn(usize) -> bool) -> Result<(), CalibrationError> {
        let share = self.explained(near);
        if share >= EXPLAINED {
            return Ok(());
        }
        Err(refused(
            &self.trace.name,
            format!(
                "{device} explains {:.0} % of what a smooth response of the couplers leaves; at least {:.0} % are needed. Is the file of such a \
                 device, the channel right, and the size as set? If so and ripple hides it: a narrower band, a higher envelope_degree, a reference",
                100.0 * share.max(0.0),
                100.0 * EXPLAINED
            ),
        ))
    }
}

/// # Errors
/// A curve that explains too little of the scatter about the mean.
pub(super) fn broad(
    name: &str,
    data: &[f64],
    model: &[f64],
    sigma: &[f64],
    what: &str,
) -> Result<(), CalibrationError> {
    let without = left(data, sigma, &vec![1.0; data.len()], &|_| true);
    let with: f64 = (0..data.len()).map(|i| ((data[i] - model[i]) / sigma[i]).powi(2)).sum();
    let share = 1.0 - with / without;
    if share >= BROAD {
        return Ok(());
    }
    Err(refused(
        name,
        format!(
            "{what} explains {:.0} % of how the data differ from their mean; at least {:.0} % are needed. Is the file of such a structure, and the \
             channel right?",
            100.0 * share.max(0.0),
            100.0 * BROAD
        ),
    ))
}

/// Refuses a fit whose own parameters stand at an end of their range: then the model cannot follow the data, and what it says is the
/// range's. `allowed` are ends that are true values, such as a loss of zero. The couplers' response may go where it likes.
///
/// # Errors
/// Names the parameters.
pub(super) fn within(
    solution: &Solution,
    what: &str,
    allowed: &[(&str, End)],
) -> Result<(), CalibrationError> {
    let own = |name: &str| !name.starts_with("envelope_");
    let wrong = solution.at_end().into_iter().filter(|(p, high)| {
        let end = if *high { End::High } else { End::Low };
        own(&p.name) && !allowed.contains(&(p.name.as_str(), end))
    });
    let each = wrong.map(|(p, high)| {
        let (end, value) = if high { ("upper", p.high) } else { ("lower", p.low) };
        format!("`{}` stands at the {end} end of its range, {} {}", p.name, short(value), p.unit)
            .trim_end()
            .to_owned()
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        return Ok(());
    }
    Err(refused(
        what,
        format!(
            "{}: the model cannot follow these data. Is the file of such a device, are channel and sizes right, and are powers in dBm that fall where \
             light is lost?",
            each.join("; ")
        ),
    ))
}

/// # Errors
/// A loss whose whole interval lies below zero.
pub(super) fn not_gain(loss: &Estimate, what: &str, why: &str) -> Result<(), CalibrationError> {
    match loss.upper {
        Some(upper) if upper < 0.0 => Err(refused(
            what,
            format!(
                "`{}` is {:.4} {} with an interval of {:.4} to {upper:.4}, all below zero, and nothing here amplifies: {why}",
                loss.name,
                loss.value,
                loss.unit,
                loss.lower.unwrap_or(f64::NEG_INFINITY)
            ),
        )),
        _ => Ok(()),
    }
}

/// What there is to say of a guide's loss that may be true, but seldom is.
pub(super) fn lossy(loss: &Estimate) -> Option<String> {
    (loss.value > LOSSY).then(|| {
        format!(
            "{:.1} dB/cm is far more than strip guides have (0.1 to 3 dB/cm): are these guides, and the lengths right?",
            loss.value
        )
    })
}

/// Whether each input is a measurement of its own.
///
/// # Errors
/// Two with the same bytes: one device measured once tells nothing twice.
pub fn different<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Result<(), CalibrationError> {
    let mut before: Vec<&Input> = Vec::new();
    for one in inputs {
        if let Some(other) = before.iter().find(|other| other.bytes == one.bytes) {
            return Err(twice(&other.file, &one.file));
        }
        before.push(one);
    }
    Ok(())
}

/// # Errors
/// Two curves with the same numbers, whatever their files look like.
pub(super) fn curves<'a>(all: impl Iterator<Item = (&'a str, &'a [f64])>) -> Result<(), CalibrationError> {
    let all: Vec<(&str, &[f64])> = all.collect();
    for (i, (name, data)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..i].iter().find(|(_, earlier)| earlier == data) {
            return Err(twice(other, name));
        }
    }
    Ok(())
}

/// # Errors
/// Two ports that are the same channel.
pub(super) fn apart([(one, a), (other, b)]: [(&str, u32); 2]) -> Result<(), CalibrationError> {
    if a != b {
        return Ok(());
    }
    Err(CalibrationError::Setting(format!(
        "--set {one}, {other}: both ports are channel {a}; each has its own"
    )))
}

fn twice(one: &str, other: &str) -> CalibrationError {
    let what = if one == other { format!("{one}, given twice") } else { format!("{one} and {other}") };
    refused(&what, "the same data stand in both, and tell nothing twice: give each measurement once".into())
}

/// The period that holds most of a residual over wavelength (nm), as path times group index in um, if that is fringes: it holds a
/// good part of the residual, and swings as far as an interferometer's share does.
pub(super) fn fringes(nanometres: &[f64], residual: &[f64], mean: f64) -> Option<f64> {
    let step = (nanometres.len() / LOOKED).max(1);
    let points: Vec<(f64, f64)> =
        nanometres.iter().zip(residual).step_by(step).map(|(nm, r)| (1e3 / nm, *r)).collect();
    let n = points.len() as f64;
    let middle = points.iter().map(|p| p.1).sum::<f64>() / n;
    let power: f64 = points.iter().map(|p| (p.1 - middle).powi(2)).sum();
    let span = points[0].0 - points[points.len() - 1].0;
    let at = |periods: f64| {
        let path = periods / span;
        let (mut gram, mut right) = (nalgebra::Matrix3::zeros(), nalgebra::Vector3::zeros());
        for (x, r) in &points {
            let (sin, cos) = (TAU * path * x).sin_cos();
            let row = nalgebra::Vector3::new(1.0, cos, sin);
            gram += row * row.transpose();
            right += row * (r - middle);
        }
        let found = gram.cholesky()?.solve(&right);
        Some((found.dot(&right) / power, found[1].hypot(found[2]), path))
    };
    // Two periods and more, in steps of a quarter.
    let most = 4.0 * (n / 8.0).clamp(2.0, 100.0);
    let tried = (8..=most as usize).filter_map(|quarters| at(0.25 * quarters as f64));
    let best = tried.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > PERIODIC && best.1 > SWING * mean.abs()).then_some(best.2)
}

/// # Errors
/// A residual with fringes, in words.
pub(super) fn no_fringes(
    name: &str,
    nanometres: &[f64],
    residual: &[f64],
    mean: f64,
) -> Result<(), CalibrationError> {
    match fringes(nanometres, residual, mean) {
        None => Ok(()),
        Some(path) => Err(refused(
            name,
            format!(
                "the share of the cross port has fringes (path difference times group index about {path:.0} um) that no single coupler has: it looks \
                 like an interferometer; --set structure=interferometer"
            ),
        )),
    }
}
