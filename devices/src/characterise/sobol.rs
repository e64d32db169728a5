//! Which tolerance matters: first-order and total Sobol indices of the logarithm of the error rate.
//!
//! A first-order index is the share of the variance that a parameter explains alone; a total index adds all its
//! interactions. Estimators: first order after Saltelli et al., "Variance based sensitivity analysis of model output",
//! Computer Physics Communications 181 (2010), table 2, entry (b); total after Jansen (1999), entry (f) of the same table.
//! Points: Owen-scrambled Sobol sequence; intervals: bootstrap over the base points.

use crate::characterise::bench::{Bench, Watch};
use crate::characterise::study::Study;
use crate::characterise::sweep::SweepSetting;
use crate::characterise::tolerances::{Range, Toleranced};
use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::unit::parameters::MdpuParameters;
use rand::RngExt;
use serde::Serialize;

/// Rates below this are beyond the population's resolution and count as this large.
const FLOOR: f64 = 1e-13;
/// Resamples behind the intervals.
const RESAMPLES: usize = 1000;

/// Sensitivity of the worst modulus' error rate to every toleranced parameter with a range around the design.
///
/// One item for each base point: the logarithms at A, at B, and at A with one parameter at a time taken from B.
#[derive(Debug, Clone)]
pub struct SobolStudy<'a> {
    setting: SweepSetting<'a>,
    varied: Vec<(&'static Toleranced, Range)>,
    samples: usize,
}

/// One line of `sobol.csv`: the indices of one parameter, with 95 % intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SobolRow {
    /// Key of the parameter.
    pub parameter: &'static str,
    /// Unit of the range.
    pub unit: &'static str,
    /// Smallest value.
    pub low: f64,
    /// Largest value.
    pub high: f64,
    /// "log", "linear" or "integer".
    pub scale: &'static str,
    /// Where the range comes from.
    pub source: &'static str,
    /// First-order index.
    pub first: f64,
    /// Lower end of its interval.
    pub first_lower: f64,
    /// Upper end.
    pub first_upper: f64,
    /// Total index.
    pub total: f64,
    /// Lower end of its interval.
    pub total_lower: f64,
    /// Upper end.
    pub total_upper: f64,
}

/// What the study finds.
#[derive(Debug, Clone, PartialEq)]
pub struct SobolReport {
    /// The parameters, the largest total index first.
    pub rows: Vec<SobolRow>,
    /// Mean of log10 of the error rate.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
    /// Share of evaluations whose rate was too small to resolve and counted as 1e-13.
    pub floored: f64,
    /// Evaluations of the model.
    pub evaluations: usize,
}

impl<'a> SobolStudy<'a> {
    /// A study of `samples` base points, best a power of two: it evaluates the unit `samples` times the number of parameters
    /// plus two.
    ///
    /// # Errors
    /// Fewer than 8 or more than 65,536 base points, or a design at which nothing varies.
    pub fn new(setting: SweepSetting<'a>, samples: usize) -> Result<Self, DeviceError> {
        let range = |t: &'static Toleranced| {
            let range = t.range(t.value(setting.parameters, setting.laser_power)?)?;
            Some((t, range))
        };
        let varied: Vec<_> = Toleranced::all().iter().filter_map(range).collect();
        if !(8..=65_536).contains(&samples) {
            let problem = format!("{samples} base points of a sensitivity analysis; give 8 to 65536");
            return Err(DeviceError::Question(problem));
        }
        if varied.is_empty() {
            return Err(DeviceError::Question("no toleranced parameter has a range at this design".into()));
        }
        Ok(SobolStudy { setting, varied, samples })
    }

    /// The parameters that vary, with their ranges.
    pub fn varied(&self) -> &[(&'static Toleranced, Range)] {
        &self.varied
    }

    /// log10 of the worst modulus' rate at the quantiles `point`; a bench for the same optics may be used again.
    fn evaluate(&self, point: &[f64], known: Option<&Bench>) -> Result<(f64, Bench), DeviceError> {
        let mut parameters = self.setting.parameters.clone();
        let mut power = self.setting.laser_power;
        for ((tolerance, range), &u) in self.varied.iter().zip(point) {
            tolerance.set(&mut parameters, &mut power, range.at(u));
        }
        let bench = self.bench(&parameters, known)?;
        let rate = bench.quick(power).max(FLOOR);
        Ok((rate.log10(), bench))
    }

    fn bench(&self, parameters: &MdpuParameters, known: Option<&Bench>) -> Result<Bench, DeviceError> {
        match known.map(|bench| bench.with_receiver(parameters)) {
            Some(Some(bench)) => bench,
            _ => Bench::new(parameters, self.setting.moduli, self.setting.operands),
        }
    }
}

impl Study for SobolStudy<'_> {
    type Outcome = SobolReport;

    fn name(&self) -> &'static str {
        "sensitivity"
    }

    fn items(&self) -> usize {
        self.samples
    }

    fn width(&self) -> usize {
        self.varied.len() + 2
    }

    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let d = self.varied.len();
        let (a, b) = base_points(index, d, self.setting.seed);
        let (at_a, bench) = self.evaluate(&a, None)?;
        let mut item = vec![at_a, self.evaluate(&b, Some(&bench))?.0];
        for i in 0..d {
            watch.check()?;
            let mut mixed = a.clone();
            mixed[i] = b[i];
            item.push(self.evaluate(&mixed, Some(&bench))?.0);
        }
        Ok(item)
    }

    fn outcome(&self, items: &[Vec<f64>]) -> Result<SobolReport, DeviceError> {
        let indices = indices(items, self.setting.seed)?;
        let mut rows: Vec<SobolRow> = self
            .varied
            .iter()
            .zip(&indices)
            .map(|((tolerance, range), index)| SobolRow {
                parameter: tolerance.key(),
                unit: tolerance.unit(),
                low: range.low,
                high: range.high,
                scale: if range.integer {
                    "integer"
                } else if range.log {
                    "log"
                } else {
                    "linear"
                },
                source: tolerance.source(),
                first: index.first[0],
                first_lower: index.first[1],
                first_upper: index.first[2],
                total: index.total[0],
                total_lower: index.total[1],
                total_upper: index.total[2],
            })
            .collect();
        rows.sort_by(|a, b| b.total.total_cmp(&a.total));
        let values: Vec<f64> = items.iter().flatten().copied().collect();
        let base: Vec<f64> = items.iter().flat_map(|item| item[..2].to_vec()).collect();
        let (mean, variance) = moments(&base);
        let floored = values.iter().filter(|v| **v <= FLOOR.log10()).count() as f64 / values.len() as f64;
        Ok(SobolReport { rows, mean, deviation: variance.sqrt(), floored, evaluations: values.len() })
    }
}

/// Base point `index` of the two matrices A and B, in `d` dimensions each.
fn base_points(index: usize, d: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let scramble = (seed ^ (seed >> 32)) as u32;
    let one = |dimension: usize| f64::from(sobol_burley::sample(index as u32, dimension as u32, scramble));
    ((0..d).map(one).collect(), (d..2 * d).map(one).collect())
}

/// First-order and total index.
type Both = (f64, f64);

/// Value, lower and upper end of the 95 % interval.
struct Index {
    first: [f64; 3],
    total: [f64; 3],
}

/// Indices of every parameter from items [f(A), f(B), f(A with the parameter from B) ...].
fn indices(items: &[Vec<f64>], seed: u64) -> Result<Vec<Index>, DeviceError> {
    let width = items.first().map_or(0, Vec::len);
    let all: Vec<usize> = (0..items.len()).collect();
    let Some(found) = estimate(items, &all, width) else {
        return Err(DeviceError::Question(
            "the error rate does not vary over the ranges: nothing is sensitive to anything".into(),
        ));
    };
    let mut rng = generator(seed, Domain::Sobol, [0, 0]);
    let mut resampled = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let picked: Vec<usize> = all.iter().map(|_| rng.random_range(0..items.len())).collect();
        resampled.extend(estimate(items, &picked, width));
    }
    let interval = |value: f64, pick: &dyn Fn(&[Both]) -> f64| {
        let mut list: Vec<f64> = resampled.iter().map(|r| pick(r)).collect();
        list.sort_by(f64::total_cmp);
        let quantile = |q: f64| list.get((q * (list.len() - 1) as f64).round() as usize).copied();
        [value, quantile(0.025).unwrap_or(value), quantile(0.975).unwrap_or(value)]
    };
    let one = |(i, &(first, total)): (usize, &Both)| Index {
        first: interval(first, &|r| r[i].0),
        total: interval(total, &|r| r[i].1),
    };
    Ok(found.iter().enumerate().map(one).collect())
}

/// First-order and total index of each parameter over the picked items; none without variance.
fn estimate(items: &[Vec<f64>], picked: &[usize], width: usize) -> Option<Vec<Both>> {
    let base: Vec<f64> = picked.iter().flat_map(|&n| [items[n][0], items[n][1]]).collect();
    let (mean, variance) = moments(&base);
    if variance.is_nan() || variance <= 1e-24 {
        return None;
    }
    let n = picked.len() as f64;
    let one = |column: usize| {
        let (mut first, mut total) = (0.0, 0.0);
        for item in picked.iter().map(|&n| &items[n]) {
            // Centred on the mean, which changes nothing in expectation and lowers the scatter.
            first += (item[1] - mean) * (item[column] - item[0]);
            total += (item[0] - item[column]).powi(2);
        }
        (first / n / variance, 0.5 * total / n / variance)
    };
    Some((2..width).map(one).collect())
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    fn items_of(f: impl Fn(&[f64]) -> f64, d: usize, n: usize) -> Vec<Vec<f64>> {
        let item = |index: usize| {
            let (a, b) = base_points(index, d, 7);
            let mut item = vec![f(&a), f(&b)];
            for i in 0..d {
                let mut mixed = a.clone();
                mixed[i] = b[i];
                item.push(f(&mixed));
            }
            item
        };
        (0..n).map(item).collect()
    }

    #[test]
    fn ishigami_has_its_known_indices() {
        // Ishigami and Homma (1990) with a = 7, b = 0.1; the indices follow from its variance terms in closed form.
        let f = |u: &[f64]| {
            let x: Vec<f64> = u.iter().map(|u| PI * (2.0 * u - 1.0)).collect();
            x[0].sin() + 7.0 * x[1].sin().powi(2) + 0.1 * x[2].powi(4) * x[0].sin()
        };
        let found = indices(&items_of(f, 3, 8192), 3).unwrap();
        let expected = [(0.3139, 0.5576), (0.4424, 0.4424), (0.0, 0.2437)];
        for (index, (first, total)) in found.iter().zip(expected) {
            assert!((index.first[0] - first).abs() < 0.01, "{} {first}", index.first[0]);
            assert!((index.total[0] - total).abs() < 0.01, "{} {total}", index.total[0]);
            for (range, exact) in [(index.first, first), (index.total, total)] {
                assert!(
                    range[1] < exact && exact < range[2] && range[2] - range[1] < 0.15,
                    "{range:?} {exact}"
                );
            }
        }
    }

    #[test]
    fn a_sum_has_the_shares_of_its_variances_and_a_constant_none() {
        let found = indices(&items_of(|u| 3.0 * u[0] + 4.0 * u[1], 2, 1024), 1).unwrap();
        for (index, share) in found.iter().zip([9.0 / 25.0, 16.0 / 25.0]) {
            assert!((index.first[0] - share).abs() < 0.01 && (index.total[0] - share).abs() < 0.01);
        }
        assert!(indices(&items_of(|_| -8.0, 2, 64), 1).is_err());
    }
}
