//! One fit for all kinds of data: global search, Levenberg-Marquardt, errors, checks.
//!
//! ```
//! use mirage_calibration::fit::{Options, Parameter, Problem, Spread, fit};
//!
//! // A straight line through five points.
//! let x = [0.0, 1.0, 2.0, 3.0, 4.0];
//! let data = [1.1, 2.9, 5.2, 6.9, 9.0];
//! let line = |p: &[f64], out: &mut [f64]| out.iter_mut().zip(x).for_each(|(y, x)| *y = p[0] + p[1] * x);
//! let parameters = vec![Parameter::new("offset", "V", -10.0, 10.0), Parameter::new("slope", "V/s", -10.0, 10.0)];
//! let problem = Problem { parameters, data: &data, spread: Spread::Equal, runs: vec![], model: &line };
//! let found = fit(&problem, &Options::new("an example"))?;
//! let slope = found.fit.get("slope").unwrap();
//! // By hand: sum (x - 2)(y - 5.02)/10 = 1.98.
//! assert!((slope.value - 1.98).abs() < 1e-6 && slope.lower.unwrap() < 1.98 && slope.upper.unwrap() < 2.2);
//! # Ok::<(), mirage_calibration::fit::FitError>(())
//! ```
//!
//! The steps are those of `basin`, a kept crate: bounded Levenberg-Marquardt in the unit box that the ranges are mapped to,
//! with its robust losses. Derivatives are central differences, since the models are those of `mirage-devices`, in plain
//! `f64`. What the solver says of its end is not believed: a minimum is where the step that is left is small against the
//! standard errors.
//!
//! Intervals are those of normal errors to first order, t-distributed; where residuals are correlated along their runs, the
//! covariance comes from a block bootstrap. A parameter that the data do not determine is an error that names it.

mod correlation;
mod error;
mod information;
mod problem;
mod result;
mod solve;
#[cfg(test)]
pub(crate) mod tests;

pub use correlation::Correlation;
pub use error::FitError;
pub use problem::{Loss, Model, Options, Parameter, Problem, Spread};
pub use result::{Covariance, Estimate, Fit, Solution};
pub(crate) use solve::MEDIAN_OF_NORMAL;

use correlation::{block_bootstrap, correlation};
use information::{Information, inside_box};
use nalgebra::DMatrix;
use rand::RngExt;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use solve::{Minimum, Standard, Unit};
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

/// Standard errors within which a minimum is known.
const NEAR: f64 = 0.03;
/// Standard errors from which on a Newton step finds it, where descents are costly.
const CLOSE: f64 = 10.0;
/// How far from its end a range is entered again, as a share of it.
const OFF_END: f64 = 1e-4;
/// Descents from the point where the last one stopped.
const DESCENTS: usize = 8;
/// Standard deviations beyond which a residual is called an outlier.
const OUTLIER: f64 = 5.0;
/// Data from which on their residuals tell their scatter one by one.
const MANY: usize = 100;
/// Chi-squared over its degrees of freedom from which on it is said where the residuals themselves tell the scatter. Laplace's law,
/// with tails as heavy as ripple makes them, gives 1.9.
const TAILS: f64 = 1.5;
/// Times by which blocks in their places must widen intervals for it to be said.
const TOLD: f64 = 1.5;
/// Probability of a larger chi-squared, below which the stated scatter is not believed.
const UNBELIEVABLE: f64 = 1e-3;

/// Fits a model to data.
///
/// # Errors
/// See [`FitError`]: a question that makes no sense, too few data, no minimum, parameters that the data do not determine.
pub fn fit(problem: &Problem<'_>, options: &Options) -> Result<Solution, FitError> {
    check(problem, options)?;
    let standard = Standard::new(problem);
    let minimum = search(&standard, options)?;
    let (minimum, information) = settle(&standard, minimum, options.loss)?;
    conclude(&standard, &minimum, &information, options)
}

fn check(problem: &Problem<'_>, options: &Options) -> Result<(), FitError> {
    let question = |text: String| Err(FitError::Question(text));
    let (n, p) = (problem.data.len(), problem.parameters.len());
    if p == 0 {
        return question("no parameter is to be fitted".into());
    }
    if let Some(p) =
        problem.parameters.iter().find(|p| !(p.low.is_finite() && p.high.is_finite() && p.low < p.high))
    {
        return question(format!("`{}` has no range: {} to {}", p.name, p.low, p.high));
    }
    if n <= p {
        return Err(FitError::TooFew { data: n, parameters: p });
    }
    if let Some(i) = problem.data.iter().position(|d| !d.is_finite()) {
        return question(format!("datum {} is {}", i + 1, problem.data[i]));
    }
    if let Spread::Known(s) | Spread::Relative(s) | Spread::Guessed(s) = problem.spread
        && !(s.len() == n && s.iter().all(|s| s.is_finite() && *s > 0.0))
    {
        return question(format!("{n} data need as many standard deviations, all larger than zero"));
    }
    if !problem.runs.is_empty() && problem.runs.iter().sum::<usize>() != n {
        return question(format!("the runs do not add up to {n} data"));
    }
    if options.starts.iter().any(|s| s.len() != p) {
        return question(format!("a start needs {p} values"));
    }
    Ok(())
}

/// Where to settle: the best minimum that several starts lead to at a first look, or a single start, as it is where descents are
/// costly. Starts are ranked, and minima compared, by their mean absolute residual, which needs no scale of the noise and heeds no
/// outliers.
fn search(standard: &Standard<'_, '_>, options: &Options) -> Result<Minimum, FitError> {
    let parameters = &standard.problem.parameters;
    let mut starts: Vec<Unit> = Vec::new();
    for start in &options.starts {
        let unit = standard.unit(start);
        if !inside_box(&unit) {
            let outside = parameters.iter().zip(start).find(|(p, v)| !(p.low..=p.high).contains(v));
            let what = outside.map_or(String::new(), |(p, v)| {
                format!("the start {v} of `{}` is outside {} to {} {}", p.name, p.low, p.high, p.unit)
            });
            return Err(FitError::Question(what));
        }
        starts.push(unit);
    }
    let mut random = Pcg64::new(u128::from(options.seed), 0x7374_6172_7473);
    let draw = |_| Unit::from_iterator(parameters.len(), parameters.iter().map(|_| random.random::<f64>()));
    starts.extend((0..options.draws).map(draw));
    let mean = |r: &[f64]| r.iter().map(|r| r.abs()).sum::<f64>() / r.len() as f64;
    let mut ranked: Vec<(f64, &Unit)> = match starts.len() {
        1 => vec![(0.0, &starts[0])],
        _ => starts.iter().map(|s| (mean(standard.residuals(s).as_slice()), s)).collect(),
    };
    ranked.retain(|(cost, _)| cost.is_finite());
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(options.polish.max(1));
    let nowhere = || FitError::NoMinimum("the model has no value at any start".into());
    if let [(_, start)] = ranked[..] {
        let found = match standard.costly() {
            true => standard.at(start, options.loss),
            false => standard.minimise(start, options.loss, false),
        };
        return found.ok_or_else(nowhere);
    }
    let followed = ranked.par_iter().map(|(_, start)| standard.minimise(start, options.loss, true));
    let minima: Vec<Minimum> = followed.collect::<Vec<_>>().into_iter().flatten().collect();
    let best = minima.into_iter().min_by(|a, b| mean(&a.residuals).total_cmp(&mean(&b.residuals)));
    match best {
        Some(best) if !standard.costly() => standard.minimise(&best.at, options.loss, false).ok_or_else(lost),
        best => best.ok_or_else(nowhere),
    }
}

fn lost() -> FitError {
    FitError::NoMinimum("the model lost its value on the way".into())
}

/// Goes on until the step that is left is small against the standard errors.
fn settle(
    standard: &Standard<'_, '_>,
    mut minimum: Minimum,
    loss: Loss,
) -> Result<(Minimum, Information), FitError> {
    let mut last = f64::INFINITY;
    let close = if standard.costly() { CLOSE } else { 1.0 };
    for descent in 0..=DESCENTS {
        let newton = match Information::new(standard, &minimum, loss) {
            // What a start does not determine, a minimum may.
            Err(error) if descent > 0 => return Err(error),
            Err(_) => None,
            Ok(information) => {
                let step = information.step(minimum.at.len());
                let distance = information.distance(&step);
                if distance < NEAR {
                    return Ok((minimum, information));
                }
                // Close by, Newton's step lands better than another descent, whose model of the loss is a cautious one, unless
                // the last one brought little.
                let near = distance < close && distance < 0.2 * last;
                last = if near { distance } else { f64::INFINITY };
                if near { standard.step(&minimum, &step, loss) } else { None }
            }
        };
        minimum = match newton {
            Some(next) => next,
            None => {
                // A descent can stick at an end of a range that the data pull away from.
                let inside = |u: f64| if descent > 1 { u.clamp(OFF_END, 1.0 - OFF_END) } else { u };
                let rough = descent < 2 && standard.costly();
                standard.minimise(&minimum.at.map(inside), loss, rough).ok_or_else(lost)?
            }
        };
    }
    let information = Information::new(standard, &minimum, loss)?;
    let distance = information.distance(&information.step(minimum.at.len()));
    if distance < NEAR {
        return Ok((minimum, information));
    }
    // A valley without a floor is no minimum either, but the reason is another.
    let covariance = spread_out(&information.covariance(), &information, &standard.problem.parameters);
    determined(&covariance, 2.0, &standard.problem.parameters)?;
    Err(FitError::NoMinimum(format!(
        "the search still moves by {:.2} standard errors{}",
        distance,
        minimum.complaint.map_or(String::new(), |c| format!("; {c}"))
    )))
}

fn conclude(
    standard: &Standard<'_, '_>,
    minimum: &Minimum,
    information: &Information,
    options: &Options,
) -> Result<Solution, FitError> {
    let problem = standard.problem;
    let parameters = &problem.parameters;
    let (n, p) = (problem.data.len(), parameters.len());
    let dof = n - p;
    let mut notes = Vec::new();
    let each = match problem.spread {
        Spread::Guessed(_) if n >= MANY => information.covariance_of_each(),
        _ => None,
    };
    let mut covariance = each.unwrap_or_else(|| information.covariance());
    let chi2 = minimum.residuals.iter().map(|r| (r / minimum.scale).powi(2)).sum::<f64>();
    if matches!(problem.spread, Spread::Known(_)) {
        covariance *= trust(chi2, dof, &mut notes);
    }
    let mut freedom = dof as f64;
    let correlation = correlation(information.scores(), &problem.runs);
    if let Some(c) = correlation {
        let seed = options.seed;
        let (scores, gain) = (information.scores(), information.gain());
        let found = block_bootstrap(scores, &gain, &problem.runs, c, options.resamples, seed);
        // Independent errors are the least that there is.
        let wider = |least: &DMatrix<f64>, other: &DMatrix<f64>| {
            (0..information.free.len()).all(|j| other[(j, j)] >= least[(j, j)])
        };
        let short = match found.short > 1.0 {
            true => format!(
                "; the ripple is so slow that blocks of its length do not fit: standard errors are {:.2} times larger for it",
                found.short.sqrt()
            ),
            false => String::new(),
        };
        notes.push(format!(
            "residuals are correlated (neighbours {:.2}, one independent datum in {:.0}): intervals by block bootstrap, {} blocks of {}{}",
            c.neighbours,
            c.time,
            found.blocks,
            found.block,
            short
        ));
        freedom = found.blocks.saturating_sub(p).max(1) as f64;
        let join = |least: &DMatrix<f64>, other: DMatrix<f64>| {
            if wider(least, &other) { other } else { larger(least, &other) }
        };
        covariance = join(&covariance, found.covariance);
        // Where the model errs in places, what is drawn from elsewhere tells too little of them.
        if let Some((blocks, say)) = information.covariance_of_blocks(&problem.runs, found.block) {
            let growth = |j: usize| (blocks[(j, j)] / covariance[(j, j)]).sqrt();
            let most = (0..information.free.len()).map(growth).fold(1.0, f64::max);
            if most > TOLD {
                let grown = (0..information.free.len()).filter(|j| growth(*j) > TOLD);
                freedom = grown.map(|j| (say[j] - 1.0).max(1.0)).fold(freedom, f64::min);
                notes.push(format!(
                    "residuals are larger, or lie to one side, where parameters are read from: standard errors are up to {most:.1} times those of \
                     the bootstrap, from the blocks where they stand"
                ));
            }
            covariance = join(&covariance, blocks);
        }
    }
    if !matches!(problem.spread, Spread::Known(_)) && chi2 > TAILS * dof as f64 {
        notes.push(format!(
            "chi-squared is {chi2:.0} for {dof} degrees of freedom with the scatter of the middle of the residuals: they have heavier tails than normal \
             ones, or the model falls short in places; intervals are made of the residuals as they are, tails included"
        ));
    }
    let outliers = minimum.residuals.iter().filter(|r| r.abs() > OUTLIER * minimum.scale).count();
    if outliers > 0 {
        notes.push(format!("{outliers} of {n} data are more than {OUTLIER} standard deviations off"));
    }
    for (j, upper) in &information.ends {
        let (parameter, end) = (&parameters[*j], if *upper { "upper" } else { "lower" });
        notes.push(format!(
            "`{}` stands at the {end} end of its range: it has no interval, and those of the others take it as given",
            parameter.name
        ));
    }
    let reach = StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(0.975));
    let covariance = spread_out(&covariance, information, parameters);
    determined(&covariance, reach, parameters)?;
    let mut values = standard.physical(&minimum.at);
    for (j, upper) in &information.ends {
        values[*j] = if *upper { parameters[*j].high } else { parameters[*j].low };
    }
    let sigma: Vec<f64> = (0..n).map(|i| minimum.scale * problem.spread.at(i)).collect();
    let model = (0..n).map(|i| problem.data[i] + minimum.residuals[i] * problem.spread.at(i)).collect();
    let residuals = minimum.residuals.iter().map(|r| -r / minimum.scale).collect();
    let fit = Fit { kind: String::new(), parameters: Vec::new(), chi2, dof, covariance: None, notes };
    let (parameters, source) = (parameters.clone(), options.source.clone());
    let added = Vec::new();
    let mut solution = Solution {
        fit,
        values,
        covariance,
        model,
        residuals,
        sigma,
        correlation,
        reach,
        added,
        parameters,
        source,
    };
    for (i, parameter) in solution.parameters.clone().iter().enumerate() {
        let error = Some(solution.covariance[(i, i)].sqrt()).filter(|e| *e > 0.0);
        let estimate = solution.estimate(&parameter.name, &parameter.unit, solution.values[i], error);
        solution.fit.parameters.push(estimate);
    }
    solution.covary();
    Ok(solution)
}

/// By how much variances grow when chi-squared says that the scatter was understated or the model falls short.
fn trust(chi2: f64, dof: usize, notes: &mut Vec<String>) -> f64 {
    let beyond = ChiSquared::new(dof as f64).map_or(f64::NAN, |law| law.sf(chi2));
    if beyond >= UNBELIEVABLE {
        return 1.0;
    }
    let factor = chi2 / dof as f64;
    notes.push(format!(
        "chi-squared is {chi2:.1} for {dof} degrees of freedom: the stated scatter is too small or the model falls short; \
         standard errors are {:.2} times larger for it",
        factor.sqrt()
    ));
    factor
}

/// Variances at least those of both, with the correlations of the second.
fn larger(independent: &DMatrix<f64>, blocks: &DMatrix<f64>) -> DMatrix<f64> {
    let grow = |j: usize| (independent[(j, j)] / blocks[(j, j)]).max(1.0).sqrt();
    DMatrix::from_fn(blocks.nrows(), blocks.ncols(), |i, j| blocks[(i, j)] * grow(i) * grow(j))
}

/// From the free parameters in the unit box to all in their units.
fn spread_out(unit: &DMatrix<f64>, information: &Information, parameters: &[Parameter]) -> DMatrix<f64> {
    let mut all = DMatrix::zeros(parameters.len(), parameters.len());
    let width = |j: usize| parameters[j].high - parameters[j].low;
    for (a, i) in information.free.iter().enumerate() {
        for (b, j) in information.free.iter().enumerate() {
            all[(*i, *j)] = unit[(a, b)] * width(*i) * width(*j);
        }
    }
    all
}

/// Refuses parameters that could stand anywhere in their range.
fn determined(covariance: &DMatrix<f64>, reach: f64, parameters: &[Parameter]) -> Result<(), FitError> {
    let lost = |(i, p): (usize, &Parameter)| {
        (2.0 * reach * covariance[(i, i)].sqrt() > 2.0 * (p.high - p.low)).then(|| p.name.clone())
    };
    let parameters: Vec<String> = parameters.iter().enumerate().filter_map(lost).collect();
    if parameters.is_empty() {
        return Ok(());
    }
    Err(FitError::Undetermined {
        parameters,
        reason: "their 95 % interval is wider than the whole range in which they are looked for".into(),
    })
}
