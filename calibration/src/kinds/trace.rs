//! A channel of a spectrum made ready for a fit: what the detector's floor hides is left out, and what is left is weighted by
//! what noise there is.

use super::given::{Form, Given, Setting};
use super::outcome::label;
use crate::CalibrationError;
use crate::fit::{Correlation, FitError, Options, Parameter, Problem, Solution, Spread, fit};
use crate::spectrum::Spectrum;
use std::f64::consts::LN_10;

pub(super) const BAND: Setting = Setting {
    name: "band",
    doc: "wavelengths to use, FROM:TO [default: all]",
    form: Form::Range("nm", 200.0, 20_000.0),
    usual: &[],
};
pub(super) const THROUGH: Setting = Setting {
    name: "through",
    doc: "channel of the through port",
    form: Form::Whole(0, 1000),
    usual: &[2.0],
};
pub(super) const FLOOR: Setting = Setting {
    name: "floor",
    doc: "power that the detector shows without light, usually that of openEBL; data within 3 dB of it are left out",
    form: Form::Number("dBm", -200.0, 30.0),
    usual: &[-60.0],
};
pub(super) const DEGREE: Setting = Setting {
    name: "envelope_degree",
    doc: "degree of the polynomial, in dB, for the couplers' response; with a reference 3 unless given",
    form: Form::Whole(0, 20),
    usual: &[8.0],
};
/// Degree of the polynomial over the spectrum of a reference, which has taken most of the response.
const WITH_REFERENCE: f64 = 3.0;
pub(super) const REPEATABILITY: Setting = Setting {
    name: "repeatability",
    doc: "how well two pairs of couplers agree, standard deviation of one pair",
    form: Form::Number("dB", 0.0, 10.0),
    usual: &[0.3],
};

/// Half the width of the running median that decides what the floor hides, in points.
const SMOOTH: usize = 5;
/// dB above the floor below which data are left out.
pub(super) const CLEAR: f64 = 3.0;

/// A channel ready for a fit.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub name: String,
    /// m.
    pub wavelengths: Vec<f64>,
    /// nm, for tables and plots.
    pub nanometres: Vec<f64>,
    pub dbm: Vec<f64>,
    /// Points that the floor hides.
    pub hidden: usize,
    /// Power of the floor, mW.
    pub floor: f64,
}

impl Trace {
    /// # Errors
    /// A channel that is missing, constant, or hidden by the floor.
    pub fn new(spectrum: &Spectrum, channel: u32, given: &Given) -> Result<Self, CalibrationError> {
        let part = band(spectrum, given)?;
        let dbm = varied(&part, channel)?;
        let floor = floor(given);
        let level = running_median(dbm);
        let seen: Vec<usize> = (0..dbm.len()).filter(|i| level[*i] > floor + CLEAR).collect();
        if seen.len() < 40 {
            return Err(part.wrong(format!(
                "{} of {} points of channel {channel} lie more than {CLEAR} dB above the detector's floor of {floor} dBm: too few; is it the right channel?",
                seen.len(),
                dbm.len()
            )));
        }
        Ok(Self {
            name: label(spectrum, channel),
            wavelengths: seen.iter().map(|i| part.wavelengths[*i]).collect(),
            nanometres: seen.iter().map(|i| nanometres(part.wavelengths[*i])).collect(),
            dbm: seen.iter().map(|i| dbm[*i]).collect(),
            hidden: dbm.len() - seen.len(),
            floor: 10f64.powf(floor / 10.0),
        })
    }

    /// Shortest and longest wavelength, m.
    pub fn band(&self) -> (f64, f64) {
        (self.wavelengths[0], self.wavelengths[self.wavelengths.len() - 1])
    }

    /// Every so many points, so that about `count` are left.
    pub fn thinned(&self, count: usize) -> Self {
        let step = (self.dbm.len() / count).max(1);
        let pick = |all: &[f64]| all.iter().copied().step_by(step).collect::<Vec<f64>>();
        Self {
            name: self.name.clone(),
            wavelengths: pick(&self.wavelengths),
            nanometres: pick(&self.nanometres),
            dbm: pick(&self.dbm),
            hidden: self.hidden,
            floor: self.floor,
        }
    }

    /// What the detector shows (dBm) of a power in mW.
    pub fn shown(&self, power: f64) -> f64 {
        (10.0 / LN_10) * (power + self.floor).ln()
    }
}

/// A power in dBm as mW.
pub(super) fn milliwatts(dbm: f64) -> f64 {
    (dbm * (LN_10 / 10.0)).exp()
}

/// The part of a spectrum that is to be used.
pub(super) fn band(spectrum: &Spectrum, given: &Given) -> Result<Spectrum, CalibrationError> {
    match given.range("band") {
        Some((from, to)) => spectrum.between(from * 1e-9, to * 1e-9),
        None => Ok(spectrum.clone()),
    }
}

/// The detector's floor, dBm.
pub(super) fn floor(given: &Given) -> f64 {
    given.value(&FLOOR)
}

/// Degree of the polynomial for the couplers' response.
pub(super) fn degree(given: &Given, reference: bool) -> usize {
    match given.number(DEGREE.name) {
        None if reference => WITH_REFERENCE as usize,
        _ => given.value(&DEGREE) as usize,
    }
}

/// The powers of a channel, unless they are all the same.
pub(super) fn varied(spectrum: &Spectrum, channel: u32) -> Result<&[f64], CalibrationError> {
    let dbm = spectrum.channel(channel)?;
    if dbm.windows(2).all(|w| w[0] == w[1]) {
        let problem =
            format!("channel {channel} has {} dBm at all wavelengths: nothing was measured", dbm[0]);
        return Err(spectrum.wrong(problem));
    }
    Ok(dbm)
}

/// nm without the rounding of the conversion.
pub(super) fn nanometres(metres: f64) -> f64 {
    (metres * 1e15).round() / 1e6
}

/// Median over a few neighbours; fewer at the ends.
pub(super) fn running_median(all: &[f64]) -> Vec<f64> {
    let at = |i: usize| {
        let reach = SMOOTH.min(i).min(all.len() - 1 - i);
        let mut near = all[i - reach..=i + reach].to_vec();
        near.sort_by(f64::total_cmp);
        near[reach]
    };
    (0..all.len()).map(at).collect()
}

/// Polynomial in dB over a band, in Chebyshev's basis, whose coefficients do not fight each other.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub degree: usize,
    band: (f64, f64),
}

impl Envelope {
    pub fn new(degree: usize, band: (f64, f64)) -> Self {
        Self { degree, band }
    }

    /// The basis at each wavelength, one row after the other.
    pub fn basis(&self, wavelengths: &[f64]) -> Vec<f64> {
        let mut all = Vec::with_capacity(wavelengths.len() * (self.degree + 1));
        for w in wavelengths {
            let x = 2.0 * (w - self.band.0) / (self.band.1 - self.band.0) - 1.0;
            let (mut last, mut now) = (1.0, x);
            all.push(1.0);
            for _ in 1..=self.degree {
                all.push(now);
                (last, now) = (now, 2.0 * x * now - last);
            }
        }
        all
    }

    /// Its coefficients as parameters.
    pub fn parameters(&self) -> Vec<Parameter> {
        let range = |k: usize| if k == 0 { (-150.0, 50.0) } else { (-80.0, 80.0) };
        let each = |k: usize| Parameter::new(&format!("envelope_{k}"), "dB", range(k).0, range(k).1);
        (0..=self.degree).map(each).collect()
    }

    /// Least squares through the points, with weight one for each point above the line of the round before: light that a
    /// device takes away pulls the line down, so what lies well below counts less each time.
    pub fn start(&self, wavelengths: &[f64], dbm: &[f64], upper: bool) -> Vec<f64> {
        let basis = self.basis(wavelengths);
        let m = self.degree + 1;
        let mut weights = vec![1.0; dbm.len()];
        let mut coefficients = vec![0.0; m];
        for _ in 0..if upper { 12 } else { 1 } {
            let mut gram = nalgebra::DMatrix::<f64>::zeros(m, m);
            let mut right = nalgebra::DVector::<f64>::zeros(m);
            for (i, row) in basis.chunks_exact(m).enumerate() {
                for a in 0..m {
                    right[a] += weights[i] * row[a] * dbm[i];
                    for b in 0..m {
                        gram[(a, b)] += weights[i] * row[a] * row[b];
                    }
                }
            }
            let Some(solved) = gram.cholesky().map(|c| c.solve(&right)) else { break };
            coefficients = solved.iter().copied().collect();
            for (i, row) in basis.chunks_exact(m).enumerate() {
                let line: f64 = row.iter().zip(&coefficients).map(|(t, c)| t * c).sum();
                weights[i] = if dbm[i] < line { 1.0 / (1.0 + (2.0 * (line - dbm[i])).powi(2)) } else { 1.0 };
            }
        }
        coefficients
    }
}

/// Sum of a row of a basis.
pub(super) fn polynomial(row: &[f64], coefficients: &[f64]) -> f64 {
    row.iter().zip(coefficients).map(|(t, c)| t * c).sum()
}

/// A model that owns what it needs.
pub(super) type Owned<'m> = Box<dyn Fn(&[f64], &mut [f64]) + Sync + 'm>;
/// Makes the model of given traces, one after the other.
pub(super) type Maker<'m> = dyn Fn(&[Trace]) -> Owned<'m> + Sync + 'm;

/// One in so many points chooses among starts.
const PART: usize = 4;

/// A first look: the fit of traces with few points, and the noise of the detector that its residuals show.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub solution: Solution,
    /// mW, against relative noise of one.
    pub detector: f64,
}

/// Traces with the questions that they are to answer.
pub(super) struct Fitting<'m> {
    pub parameters: Vec<Parameter>,
    pub make: &'m Maker<'m>,
}

impl Fitting<'_> {
    /// From all starts, every point alike but for the floor; then weighted by the noise that the residuals show, relative noise
    /// and noise of the detector apart.
    pub fn look(&self, few: &[Trace], options: &Options) -> Result<Look, FitError> {
        let floor = |t: &Trace, dbm: &f64| (1.0 + (10.0 * t.floor / 10f64.powf(dbm / 10.0)).powi(2)).sqrt();
        let alike = |traces: &[Trace], options: &Options| {
            let first: Vec<f64> = traces.iter().flat_map(|t| t.dbm.iter().map(|d| floor(t, d))).collect();
            self.weighted(traces, &first, options)
        };
        // Which of several starts is best, a part of the points tells; if they tell too little, all do.
        let led = (options.starts.len() > 1).then(|| {
            let part: Vec<Trace> = few.iter().map(|t| t.thinned(t.dbm.len() / PART)).collect();
            alike(&part, options).ok().map(|found| options.clone().from(found.values))
        });
        let found = alike(few, led.flatten().as_ref().unwrap_or(options))?;
        let residuals: Vec<f64> = found.residuals.iter().zip(&found.sigma).map(|(r, s)| r * s).collect();
        let detector = detector_noise(&found.model, &residuals);
        let options = options.clone().from(found.values.clone());
        Ok(Look { solution: self.weighted(few, &law(&found.model, detector), &options)?, detector })
    }

    /// Other traces, from where a look has led and with its weights.
    pub fn go_on(&self, traces: &[Trace], from: &Look, options: &Options) -> Result<Solution, FitError> {
        let mut expected = vec![0.0; traces.iter().map(|t| t.dbm.len()).sum()];
        (self.make)(traces)(&from.solution.values, &mut expected);
        let options = options.clone().from(from.solution.values.clone());
        self.weighted(traces, &law(&expected, from.detector), &options)
    }

    fn weighted(&self, traces: &[Trace], spread: &[f64], options: &Options) -> Result<Solution, FitError> {
        let model = (self.make)(traces);
        let data: Vec<f64> = traces.iter().flat_map(|t| t.dbm.iter().copied()).collect();
        let runs = traces.iter().map(|t| t.dbm.len()).collect();
        let (parameters, spread) = (self.parameters.clone(), Spread::Relative(spread));
        fit(&Problem { parameters, data: &data, spread, runs, model: &model }, options)
    }
}

/// Fits traces: a look at every so many points of them (about `few` of each), then all points from there.
pub(super) fn fit_traces<'m>(
    traces: &[Trace],
    few: usize,
    parameters: Vec<Parameter>,
    make: &'m Maker<'m>,
    options: &Options,
) -> Result<Solution, FitError> {
    let fitting = Fitting { parameters, make };
    let thinned: Vec<Trace> = traces.iter().map(|t| t.thinned(few)).collect();
    let look = fitting.look(&thinned, options)?;
    if thinned.iter().zip(traces).all(|(a, b)| a.dbm.len() == b.dbm.len()) {
        return Ok(look.solution);
    }
    fitting.go_on(traces, &look, options)
}

/// Standard deviation of each point in dB up to a factor: a part that is the same for all powers, and one of the detector
/// (mW, against relative noise of one) that falls with power.
fn law(model_dbm: &[f64], detector: f64) -> Vec<f64> {
    model_dbm.iter().map(|m| (1.0 + (detector * 10f64.powf(-m / 10.0)).powi(2)).sqrt()).collect()
}

/// The noise of the detector that makes the residuals most likely, if they are distributed as Laplace has it: with tails.
fn detector_noise(model_dbm: &[f64], residuals: &[f64]) -> f64 {
    let unlikely = |detector: f64| {
        let law = law(model_dbm, detector);
        let count = residuals.len() as f64;
        let mean = residuals.iter().zip(&law).map(|(r, s)| (r / s).abs()).sum::<f64>() / count;
        mean.max(1e-12).ln() + law.iter().map(|s| s.ln()).sum::<f64>() / count
    };
    // From nothing up to 0.1 mW.
    let candidates = std::iter::once(0.0).chain((0..40).map(|k| 10f64.powf(-9.0 + 0.2 * f64::from(k))));
    candidates.min_by(|a, b| unlikely(*a).total_cmp(&unlikely(*b))).unwrap_or(0.0)
}

/// Notes that every fit of traces has.
pub(super) fn notes(traces: &[Trace]) -> Vec<String> {
    let hidden = |t: &&Trace| t.hidden > 0;
    let each = traces.iter().filter(hidden).map(|t| {
        let (hidden, all) = (t.hidden, t.hidden + t.dbm.len());
        format!("{}: {hidden} of {all} points are left out, since they lie within {CLEAR} dB of the detector's floor", t.name)
    });
    each.collect()
}

/// The time of correlation, or one.
pub(super) fn time(correlation: Option<Correlation>) -> f64 {
    correlation.map_or(1.0, |c| c.time)
}
