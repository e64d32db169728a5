//! Resonances one by one: each dip for itself, with backscatter where the data ask for it.

use super::mzi::guide;
use super::outcome::Table;
use super::ring::Measured;
use super::ring_model::{OWN, at, quality};
use super::trace::{Owned, Trace, fit_traces, milliwatts, time};
use crate::CalibrationError;
use crate::fit::{Options, Parameter, Solution};
use mirage_devices::component::{AddDrop, GuideMode};
use num_complex::Complex64;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Reach of a window in linewidths to either side.
const REACH: f64 = 8.0;
/// By how much chi-squared must fall, for each independent datum's worth, before a dip counts as split: five sigma and one
/// parameter more.
const SPLIT: f64 = 26.0;

/// A resonance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resonance {
    /// nm.
    pub wavelength: f64,
    pub wavelength_error: Option<f64>,
    /// pm, at half depth of the ring without backscatter.
    pub linewidth: f64,
    pub loaded_q: f64,
    pub loaded_q_error: Option<f64>,
    pub extinction: f64,
    pub extinction_error: Option<f64>,
    /// Distance of the two dips that backscatter makes of one, pm.
    pub splitting: Option<f64>,
    pub splitting_error: Option<f64>,
    /// Root mean square of the residual, dB.
    pub residual: f64,
}

/// A dip as a ring beside one bus has it: a drop coupler is loss like any other.
struct Dip {
    trace: Trace,
    guide: GuideMode,
    length: f64,
    /// dBm of the envelope at each point.
    under: Vec<f64>,
    middle: f64,
}

impl Dip {
    /// Resonance (nm), coupling of power, loss (dB), level (dB), tilt (dB/nm), and half the splitting in round-trip phase.
    ///
    /// Backscatter couples the two senses of rotation; their even and odd sums are resonant at phases +- beta, and each takes
    /// half of the light (Little, Laine and Chu, Opt. Lett. 22:4, 1997).
    fn fill(&self, p: &[f64], out: &mut [f64]) {
        let ring = AddDrop { bus: p[1], drop: 0.0, amplitude: 10f64.powf(-p[2] / 20.0) };
        let zero = self.guide.wavenumber(p[0] * 1e-9);
        let beta = p.get(5).copied().unwrap_or(0.0);
        let split = Complex64::from_polar(1.0, beta);
        for (i, out) in out.iter_mut().enumerate() {
            let phase = (self.guide.wavenumber(self.trace.wavelengths[i]) - zero) * self.length;
            let power = match beta {
                0.0 => ring.powers(phase).map(|[through, _]| through),
                _ => {
                    let turn = Complex64::from_polar(1.0, phase);
                    let sums = ring.through(turn * split).zip(ring.through(turn * split.conj()));
                    sums.map(|(even, odd)| (0.5 * (even + odd)).norm_sqr())
                }
            };
            let level = self.under[i] + p[3] + p[4] * (self.trace.nanometres[i] - self.middle);
            *out = self.trace.shown(milliwatts(level) * power.map_or(f64::NAN, |power| power.max(1e-12)));
        }
    }

    fn fit(&self, parameters: Vec<Parameter>, starts: Vec<Vec<f64>>) -> Option<Solution> {
        let make = |_: &[Trace]| -> Owned<'_> { Box::new(|p, out| self.fill(p, out)) };
        let mut options = Options::new(&self.trace.name).robust();
        (options.starts, options.draws, options.polish) = (starts, 0, 2);
        let all = self.trace.dbm.len();
        fit_traces(std::slice::from_ref(&self.trace), all, parameters, &make, &options).ok()
    }
}

/// Fits every dip of the through port whose window lies inside the band and whose data determine it. `global` are the ring's
/// parameters over the whole band, `envelope` the couplers' response in dBm over nm.
pub(super) fn resonances(
    measured: &Measured,
    global: &[f64; OWN],
    envelope: &(dyn Fn(f64) -> f64 + Sync),
) -> Result<Vec<Resonance>, CalibrationError> {
    let guide = guide(measured.centre, global[1], global[2]);
    let zero = guide.wavenumber(global[0] * 1e-9);
    let turns = |w: f64| (guide.wavenumber(w) - zero) * measured.length / TAU;
    let (from, to) = measured.through.band();
    let orders = turns(to).ceil() as i64..=turns(from).floor() as i64;
    let orders: Vec<i64> = orders.rev().collect();
    let each = |order: &i64| {
        let place = place(&turns, *order as f64, (from, to));
        single(measured, global, &guide, place, envelope)
    };
    Ok(orders.par_iter().filter_map(each).collect())
}

/// The wavelength of an order, by halving: turns fall with wavelength.
fn place(turns: &dyn Fn(f64) -> f64, order: f64, band: (f64, f64)) -> f64 {
    let (mut low, mut high) = band;
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if turns(middle) > order { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

fn single(
    measured: &Measured,
    global: &[f64; OWN],
    guide: &GuideMode,
    place: f64,
    envelope: &dyn Fn(f64) -> f64,
) -> Option<Resonance> {
    let length = measured.length;
    let ring = at(global, measured.centre, place);
    let group_index = global[1] + global[2] * (place - measured.centre) * 1e6;
    let width = place / quality(ring.width()?, group_index, length, place);
    let period = place * place / (group_index * length);
    let reach = (REACH * width).min(0.45 * period);
    let through = &measured.through;
    let inside = |i: &usize| (through.wavelengths[*i] - place).abs() < reach;
    let points: Vec<usize> = (0..through.dbm.len()).filter(inside).collect();
    let (from, to) = through.band();
    if points.len() < 30 || place - reach < from || place + reach > to {
        return None;
    }
    let pick = |all: &[f64]| points.iter().map(|i| all[*i]).collect::<Vec<f64>>();
    let trace = Trace {
        wavelengths: pick(&through.wavelengths),
        nanometres: pick(&through.nanometres),
        dbm: pick(&through.dbm),
        ..through.clone()
    };
    let reference =
        measured.reference.as_ref().map_or(vec![0.0; trace.dbm.len()], |r| r.at(&trace.nanometres));
    let under = trace.nanometres.iter().zip(reference).map(|(nm, r)| envelope(*nm) + r).collect();
    let dip = Dip { trace: trace.clone(), guide: *guide, length, under, middle: place * 1e9 };
    let lost = ring.amplitude * (1.0 - ring.drop).sqrt();
    let mut bottom = (0..trace.dbm.len()).collect::<Vec<_>>();
    bottom.sort_by(|a, b| trace.dbm[*a].total_cmp(&trace.dbm[*b]));
    let nm = |m: f64| m * 1e9;
    let parameters = || {
        vec![
            Parameter::new("resonance", "nm", nm(place - 0.8 * reach), nm(place + 0.8 * reach)),
            Parameter::new("coupling", "", 1e-6, 0.995),
            Parameter::new("loss", "dB", 1e-6, 22.0),
            Parameter::new("level", "dB", -20.0, 20.0),
            Parameter::new("tilt", "dB/nm", -50.0, 50.0),
        ]
    };
    let start =
        |nm: f64| vec![nm, ring.bus.clamp(1e-5, 0.99), (-20.0 * lost.log10()).clamp(1e-4, 20.0), 0.0, 0.0];
    let seen = trace.nanometres[bottom[0]].clamp(nm(place - 0.79 * reach), nm(place + 0.79 * reach));
    let plain = dip.fit(parameters(), vec![start(seen), start(nm(place))])?;
    let split = split(&dip, &plain, parameters(), ring.width()?);
    Some(describe(&dip, split.as_ref().unwrap_or(&plain), split.is_some(), measured, group_index))
}

/// The fit with backscatter, where it is that much better.
fn split(dip: &Dip, plain: &Solution, mut parameters: Vec<Parameter>, width: f64) -> Option<Solution> {
    parameters.push(Parameter::new("beta", "rad", 0.0, 8.0 * width));
    let with = |beta: f64| [plain.values.as_slice(), &[beta]].concat();
    let found = dip.fit(parameters, vec![with(0.2 * width), with(0.5 * width), with(1.5 * width)])?;
    found.fit.parameters[5].standard_error?;
    // On one scale: the noise as the better model has it, and what data that know of each other are worth.
    let squares = |s: &Solution| -> f64 {
        let off = |(d, m): (&f64, &f64)| d - m;
        let r = dip.trace.dbm.iter().zip(&s.model).map(off).zip(&found.sigma);
        r.map(|(r, sigma)| (r / sigma).powi(2).min(25.0)).sum()
    };
    let gain = (squares(plain) - squares(&found)) / time(found.correlation);
    (gain > SPLIT).then_some(found)
}

fn describe(dip: &Dip, solution: &Solution, split: bool, measured: &Measured, group_index: f64) -> Resonance {
    let ring = |p: &[f64]| AddDrop { bus: p[1], drop: 0.0, amplitude: 10f64.powf(-p[2] / 20.0) };
    let place = solution.values[0] * 1e-9;
    let q = |p: &[f64]| ring(p).width().map_or(f64::NAN, |w| quality(w, group_index, measured.length, place));
    let loaded = solution.derive("", "", q);
    let extinction = solution.derive("", "", |p| {
        let beta = p.get(5).copied().unwrap_or(0.0);
        let field = |phase: f64| ring(p).fields(phase).map_or(f64::NAN.into(), |f| f.through);
        let power = |phase: f64| (0.5 * (field(phase + beta) + field(phase - beta))).norm_sqr();
        // The deepest point is between the two dips or on them.
        let lowest = (0..=40).map(|k| power(1.2 * beta * f64::from(k) / 40.0)).fold(f64::INFINITY, f64::min);
        10.0 * (power(std::f64::consts::PI) / lowest).log10()
    });
    // The phase turns by 2 pi for a free spectral range.
    let period = place * place / (group_index * measured.length);
    let splitting = split.then(|| solution.derive("", "", |p| 2.0 * p[5] / TAU * period * 1e12));
    let off = dip.trace.dbm.iter().zip(&solution.model).map(|(d, m)| (d - m).powi(2)).sum::<f64>();
    Resonance {
        wavelength: solution.values[0],
        wavelength_error: solution.fit.parameters[0].standard_error,
        linewidth: place / loaded.value * 1e12,
        loaded_q: loaded.value,
        loaded_q_error: loaded.standard_error,
        extinction: extinction.value,
        extinction_error: extinction.standard_error,
        splitting: splitting.as_ref().map(|s| s.value),
        splitting_error: splitting.and_then(|s| s.standard_error),
        residual: (off / dip.trace.dbm.len() as f64).sqrt(),
    }
}

/// One row a resonance.
pub(super) fn table(all: &[Resonance]) -> Table {
    let columns = vec![
        "wavelength_nm",
        "wavelength_error",
        "linewidth_pm",
        "loaded_q",
        "loaded_q_error",
        "extinction_db",
        "extinction_error",
        "splitting_pm",
        "splitting_error",
        "residual_db",
    ];
    let row = |r: &Resonance| {
        vec![
            Some(r.wavelength),
            r.wavelength_error,
            Some(r.linewidth),
            Some(r.loaded_q),
            r.loaded_q_error,
            Some(r.extinction),
            r.extinction_error,
            r.splitting,
            r.splitting_error,
            Some(r.residual),
        ]
    };
    Table { name: "resonances.csv", columns, rows: all.iter().map(row).collect() }
}
