//! What a fit gives.

use nalgebra::{DMatrix, DVector};
use serde::Serialize;

use super::Parameter;
use super::correlation::Correlation;

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Name.
    pub name: String,
    /// Best value.
    pub value: f64,
    /// Standard error; none where the value stands at an end of its range.
    pub standard_error: Option<f64>,
    /// Lower end of the interval.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
    /// Unit.
    pub unit: String,
    /// The data behind it.
    pub source: String,
}

/// The outcome of a fit: what `fit.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// What was fitted.
    pub kind: String,
    /// Fitted parameters, then what follows from them.
    pub parameters: Vec<Estimate>,
    /// Sum of squared residuals over their variances. Where the scatter of the data is not known but estimated from the
    /// residuals, it is near `dof` by construction, unless there are outliers.
    pub chi2: f64,
    /// Data less fitted parameters.
    pub dof: usize,
    /// Covariance of the parameters that come from one fit, but for the couplers' response; none where each was found for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covariance: Option<Covariance>,
    /// What to know before using the numbers, in plain words.
    pub notes: Vec<String>,
}

/// Covariance of estimates, to first order. Zero for a parameter at an end of its range.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Covariance {
    /// Names of the estimates, in the order of rows and columns.
    pub names: Vec<String>,
    /// Rows, in products of the estimates' units.
    pub rows: Vec<Vec<f64>>,
}

impl Covariance {
    /// Correlation of two estimates; none where one is unknown or has no error.
    pub fn correlation(&self, one: &str, other: &str) -> Option<f64> {
        let place = |name: &str| self.names.iter().position(|n| n == name);
        let (i, j) = (place(one)?, place(other)?);
        let correlation = self.rows[i][j] / (self.rows[i][i] * self.rows[j][j]).sqrt();
        correlation.is_finite().then_some(correlation)
    }
}

impl Fit {
    /// Takes out parameters of a fit that mean nothing outside of it.
    pub fn forget(&mut self, names: &[&str]) {
        let kept = |name: &str| !names.contains(&name);
        self.parameters.retain(|e| kept(&e.name));
        if let Some(all) = &mut self.covariance {
            let places: Vec<usize> = (0..all.names.len()).filter(|i| kept(&all.names[*i])).collect();
            let rows = places.iter().map(|i| places.iter().map(|j| all.rows[*i][*j]).collect()).collect();
            *all = Covariance { names: places.iter().map(|i| all.names[*i].clone()).collect(), rows };
        }
    }

    /// The estimate of that name.
    pub fn get(&self, name: &str) -> Option<&Estimate> {
        self.parameters.iter().find(|e| e.name == name)
    }
}

/// A fit with all that further questions need.
#[derive(Debug, Clone)]
pub struct Solution {
    /// The outcome. `kind` is empty: it is for the caller to say.
    pub fit: Fit,
    /// Best values, in the order of the parameters.
    pub values: Vec<f64>,
    /// Their covariance; rows and columns of parameters at an end of their range are zero.
    pub covariance: DMatrix<f64>,
    /// What the model expects of each datum.
    pub model: Vec<f64>,
    /// (data - model) over the standard deviation of the datum.
    pub residuals: Vec<f64>,
    /// Standard deviation of each datum, as known or as the residuals tell it.
    pub sigma: Vec<f64>,
    /// Correlation of the residuals, where there is any.
    pub correlation: Option<Correlation>,
    /// Half the width of a 95 % interval in standard errors.
    pub reach: f64,
    /// Derivatives of what was added, by name.
    pub(super) added: Vec<(String, DVector<f64>)>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) source: String,
}

impl Solution {
    /// The value of a parameter; NaN for a name that was not fitted.
    pub fn value(&self, name: &str) -> f64 {
        let place = self.parameters.iter().position(|p| p.name == name);
        place.map_or(f64::NAN, |i| self.values[i])
    }

    /// Parameters that stand at an end of their range, and whether it is the upper one.
    pub fn at_end(&self) -> Vec<(&Parameter, bool)> {
        let each = self.parameters.iter().zip(&self.values);
        each.filter(|(p, v)| **v == p.low || **v == p.high).map(|(p, v)| (p, *v == p.high)).collect()
    }

    /// What follows from the parameters, with its error to first order: `f` takes their values in order.
    pub fn derive(&self, name: &str, unit: &str, f: impl Fn(&[f64]) -> f64) -> Estimate {
        self.derived(name, unit, f).0
    }

    /// The same, with the derivatives.
    fn derived(&self, name: &str, unit: &str, f: impl Fn(&[f64]) -> f64) -> (Estimate, DVector<f64>) {
        let value = f(&self.values);
        let slope = |i: usize| {
            let error = self.covariance[(i, i)].sqrt();
            if error == 0.0 {
                return 0.0;
            }
            // Over a fraction of the standard error, where the error is what counts, and never outside the range.
            let p = &self.parameters[i];
            let step = 0.05 * error;
            let (low, high) = ((self.values[i] - step).max(p.low), (self.values[i] + step).min(p.high));
            let at = |x: f64| {
                let mut moved = self.values.clone();
                moved[i] = x;
                f(&moved)
            };
            (at(high) - at(low)) / (high - low)
        };
        let slopes = DVector::from_iterator(self.values.len(), (0..self.values.len()).map(slope));
        let variance = (&self.covariance * &slopes).dot(&slopes);
        (self.estimate(name, unit, value, (variance > 0.0).then(|| variance.sqrt())), slopes)
    }

    /// Brings the outcome's covariance up to date: of the parameters, and of what was added to them.
    pub(super) fn covary(&mut self) {
        let count = self.values.len();
        let own = self.parameters.iter().enumerate().filter(|(_, p)| !p.name.starts_with("envelope_"));
        let own =
            own.map(|(i, p)| (p.name.clone(), DVector::from_fn(count, |j, _| f64::from(u8::from(i == j)))));
        let all: Vec<(String, DVector<f64>)> = own.chain(self.added.iter().cloned()).collect();
        let row = |a: &DVector<f64>| -> Vec<f64> {
            let moved = &self.covariance * a;
            all.iter().map(|(_, b)| moved.dot(b)).collect()
        };
        let rows = all.iter().map(|(_, a)| row(a)).collect();
        let names = all.iter().map(|(name, _)| name.clone()).collect();
        self.fit.covariance = Some(Covariance { names, rows });
    }

    /// Widens the intervals by an error that all data share: `shift` is what one standard deviation of it does to the
    /// parameters, such as the difference to a fit with the disturbance put in. To be called before anything is derived.
    pub fn add_systematic(&mut self, shift: &[f64]) {
        let shift = DVector::from_column_slice(shift);
        self.covariance += &shift * shift.transpose();
        for i in 0..self.values.len() {
            let parameter = &self.parameters[i];
            let error = Some(self.covariance[(i, i)].sqrt()).filter(|e| *e > 0.0);
            self.fit.parameters[i] = self.estimate(&parameter.name, &parameter.unit, self.values[i], error);
        }
        self.covary();
    }

    /// Adds what follows from the parameters to the outcome.
    pub fn add(&mut self, name: &str, unit: &str, f: impl Fn(&[f64]) -> f64) {
        let (estimate, slopes) = self.derived(name, unit, f);
        self.fit.parameters.push(estimate);
        self.added.push((name.into(), slopes));
        self.covary();
    }

    /// The same of something that is never negative, and may be known to a factor only: the interval is that of its logarithm.
    pub fn add_positive(&mut self, name: &str, unit: &str, f: impl Fn(&[f64]) -> f64) {
        self.add(name, unit, f);
        if let Some(estimate) = self.fit.parameters.last_mut()
            && let Some(error) = estimate.standard_error
        {
            let factor = (self.reach * error / estimate.value).exp();
            (estimate.lower, estimate.upper) = (Some(estimate.value / factor), Some(estimate.value * factor));
        }
    }

    pub(super) fn estimate(&self, name: &str, unit: &str, value: f64, error: Option<f64>) -> Estimate {
        Estimate {
            name: name.into(),
            value,
            standard_error: error,
            lower: error.map(|e| value - self.reach * e),
            upper: error.map(|e| value + self.reach * e),
            unit: unit.into(),
            source: self.source.clone(),
        }
    }
}
