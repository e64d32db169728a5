//! How a parameter varies over a chip or wafer: standard deviation and correlation length of many devices.
//!
//! The model is that of the device models: a Gaussian map whose correlation is exp(-(d/l)^2), and what each device has of its own (its
//! fit's error, roughness), the nugget. The empirical variogram is drawn by Matheron's estimator, the mean of half the squared
//! differences, and by Cressie and Hawkins' robust one (*Mathematical Geology* 12, 115 (1980)). Its bins share devices, so that
//! intervals from it would be wrong: estimates are those of the restricted likelihood (Patterson and Thompson, *Biometrika* 58, 545
//! (1971)), their intervals those of its profile.

use super::data::{Data, one_of, whole};
use super::given::{Form, Given, Setting};
use super::outcome::{Outcome, Series, Table};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::fit::{Estimate, Fit};
use mirage_devices::variation::Process;
use nalgebra::{DMatrix, DVector};

/// Devices below which nothing is said.
const FEWEST: usize = 20;
/// Devices above which the likelihood would take minutes.
const MOST: usize = 1500;
/// Bins of the variogram, up to half the largest distance.
const BINS: usize = 15;
/// Half the drop of twice the log-likelihood to the end of a 95 % interval: the quantile of chi-squared with one degree of
/// freedom, halved.
const DROP: f64 = 1.920_729_4;
/// Robust standard deviations beyond which a device is called an outlier.
const OUTLIER: f64 = 5.0;

const FOUNDRY: Setting = Setting {
    name: "compare",
    doc: "quantity of the foundry's table to compare with: width or thickness, the values then in nm [default: none]",
    form: Form::Word(&["width", "thickness"]),
};

/// A table of `x_mm`, `y_mm` and `value`.
pub(super) const KIND: Kind = Kind {
    name: "variation",
    summary: "standard deviation and correlation length over a chip (columns x_mm, y_mm, value; in nm: value_nm)",
    files: Files::Each,
    settings: &[FOUNDRY],
    run,
};

/// Devices: places in mm, and what was measured there.
struct Devices {
    places: Vec<(f64, f64)>,
    values: Vec<f64>,
}

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let input = &inputs[0];
    let column = one_of(input, &["value", "value_nm"])?;
    let unit = if column == "value_nm" { "nm" } else { "" };
    let compare = given.word("compare");
    if compare.is_some() && unit.is_empty() {
        return Err(CalibrationError::Setting(format!(
            "--set compare: {} has a column `value` without a unit; name it `value_nm` if its values are nm",
            input.file
        )));
    }
    let data = Data::read(input, &["x_mm", "y_mm", column])?;
    data.varied(2, column, 3)?;
    let count = data.lines.len();
    if !(FEWEST..=MOST).contains(&count) {
        return Err(CalibrationError::TooFew(format!(
            "{}: {count} devices; {FEWEST} to {MOST} are needed",
            data.file
        )));
    }
    let places: Vec<(f64, f64)> =
        data.columns[0].iter().copied().zip(data.columns[1].iter().copied()).collect();
    let mut different = places.clone();
    different.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    different.dedup();
    if different.len() < FEWEST / 2 {
        return Err(whole(input, format!("{} different places: distances cannot be told", different.len())));
    }
    let devices = Devices { places, values: data.columns[2].clone() };
    let law = devices.estimate().ok_or_else(|| whole(input, "the likelihood has no largest value".into()))?;
    let bins = devices.variogram();
    let fit = report(&devices, &law, &data.file, unit, compare)?;
    let model = |bin: &Bin| law.best.semivariance(bin.distance);
    let series = [("Cressie-Hawkins", true), ("Matheron", false)].map(|(name, robust)| Series {
        name: format!("{} {name}", data.file),
        x: bins.iter().map(|b| b.distance).collect(),
        data: bins.iter().map(|b| if robust { b.robust } else { b.classical }).collect(),
        model: bins.iter().map(model).collect(),
    });
    let table = Table {
        name: "variogram.csv",
        columns: vec!["distance_mm", "pairs", "matheron", "cressie_hawkins", "model"],
        rows: bins
            .iter()
            .map(|b| [b.distance, b.pairs as f64, b.classical, b.robust, model(b)].map(Some).to_vec())
            .collect(),
    };
    let outcome = Outcome::plain(fit, ("distance (mm)", "semivariance"), series.to_vec());
    Ok(Outcome { tables: vec![table], ..outcome })
}

/// One bin of the empirical variogram.
struct Bin {
    distance: f64,
    pairs: usize,
    classical: f64,
    robust: f64,
}

/// Standard deviation of the map, correlation length (mm) and standard deviation of each device by itself.
#[derive(Debug, Clone, Copy)]
struct Law {
    sigma: f64,
    length: f64,
    nugget: f64,
}

impl Law {
    fn semivariance(&self, distance: f64) -> f64 {
        self.nugget.powi(2) - self.sigma.powi(2) * (-(distance / self.length).powi(2)).exp_m1()
    }
}

/// The best law, and the ends of its 95 % intervals where the likelihood falls far enough.
struct Estimated {
    best: Law,
    sigma: (Option<f64>, Option<f64>),
    length: (Option<f64>, Option<f64>),
    nugget: (Option<f64>, Option<f64>),
}

impl Devices {
    fn distance(&self, a: usize, b: usize) -> f64 {
        let ((x, y), (u, v)) = (self.places[a], self.places[b]);
        (x - u).hypot(y - v)
    }

    /// Semivariances by distance, up to half the largest.
    fn variogram(&self) -> Vec<Bin> {
        let n = self.values.len();
        let pairs = || (0..n).flat_map(move |a| (0..a).map(move |b| (a, b)));
        let reach = 0.5 * pairs().map(|(a, b)| self.distance(a, b)).fold(0.0, f64::max);
        let mut sums = vec![(0.0, 0usize, 0.0, 0.0); BINS];
        for (a, b) in pairs() {
            let (distance, step) = (self.distance(a, b), (self.values[a] - self.values[b]).abs());
            if distance < reach {
                let bin = &mut sums[((distance / reach * BINS as f64) as usize).min(BINS - 1)];
                *bin = (bin.0 + distance, bin.1 + 1, bin.2 + step * step, bin.3 + step.sqrt());
            }
        }
        let bin = |&(distance, pairs, squares, roots): &(f64, usize, f64, f64)| {
            let n = pairs as f64;
            Bin {
                distance: distance / n,
                pairs,
                classical: 0.5 * squares / n,
                robust: 0.5 * (roots / n).powi(4) / (0.457 + 0.494 / n),
            }
        };
        sums.iter().filter(|s| s.1 > 0).map(bin).collect()
    }

    /// Twice-halved restricted log-likelihood at a correlation length (mm) and a share of the nugget in the whole variance, and the
    /// whole variance at which it is largest; or at a given one.
    fn likelihood(&self, length: f64, share: f64, variance: Option<f64>) -> Option<(f64, f64)> {
        let n = self.values.len();
        let entry = |a: usize, b: usize| {
            let map = (1.0 - share) * (-(self.distance(a, b) / length).powi(2)).exp();
            if a == b { map + share + 1e-9 } else { map }
        };
        let factor = DMatrix::from_fn(n, n, entry).cholesky()?;
        let ones = DVector::from_element(n, 1.0);
        let values = DVector::from_column_slice(&self.values);
        let (of_ones, of_values) = (factor.solve(&ones), factor.solve(&values));
        let weight = ones.dot(&of_ones);
        let mean = ones.dot(&of_values) / weight;
        let rest = values.dot(&of_values) - mean * mean * weight;
        let dof = (n - 1) as f64;
        let variance = variance.unwrap_or(rest / dof);
        let determinant = 2.0 * factor.l_dirty().diagonal().iter().map(|d| d.ln()).sum::<f64>();
        let twice = dof * variance.ln() + determinant + weight.ln() + rest / variance;
        twice.is_finite().then_some((-0.5 * twice, variance))
    }

    /// The law of the largest likelihood, and the ends of its profiles.
    fn estimate(&self) -> Option<Estimated> {
        let n = self.values.len();
        let pairs = || (0..n).flat_map(move |a| (0..a).map(move |b| (a, b)));
        let farthest = pairs().map(|(a, b)| self.distance(a, b)).fold(0.0, f64::max);
        let nearest = pairs().map(|(a, b)| self.distance(a, b)).filter(|d| *d > 0.0).fold(f64::MAX, f64::min);
        let range = Ranges { length: ((0.3 * nearest).ln(), (5.0 * farthest).ln()), odds: (-12.0, 6.0) };
        let free = |at: [f64; 2]| {
            self.likelihood(at[0].exp(), share(at[1]), None).map_or(f64::NEG_INFINITY, |l| l.0)
        };
        let (at, top) = range.search(&free);
        let (_, variance) = self.likelihood(at[0].exp(), share(at[1]), None)?;
        let law = |at: [f64; 2], variance: f64| Law {
            sigma: (variance * (1.0 - share(at[1]))).sqrt(),
            length: at[0].exp(),
            nugget: (variance * share(at[1])).sqrt(),
        };
        let best = law(at, variance);
        let floor = top - DROP;
        // Profile over the length: the best share for each.
        let over_length = |log: f64| golden(range.odds, |odds| free([log, odds])).1;
        let length = ends(at[0], range.length, floor, over_length);
        // Profiles over sigma and over the nugget: the whole variance follows from the share.
        let profile = |part: &dyn Fn(f64) -> f64| {
            let value = |odds: f64, length: f64| {
                let variance = part(share(odds));
                self.likelihood(length.exp(), share(odds), Some(variance)).map_or(f64::NEG_INFINITY, |l| l.0)
            };
            climb(at, &range, &|p: [f64; 2]| value(p[1], p[0]))
        };
        let spread = (variance.sqrt().ln() - 6.0, variance.sqrt().ln() + 4.0);
        let over_sigma = |log: f64| profile(&|share: f64| (2.0 * log).exp() / (1.0 - share));
        let over_nugget = |log: f64| profile(&|share: f64| (2.0 * log).exp() / share);
        let sigma = ends(best.sigma.ln(), spread, floor, over_sigma);
        let nugget = ends(best.nugget.ln(), spread, floor, over_nugget);
        let both = |(low, high): (Option<f64>, Option<f64>)| (low.map(f64::exp), high.map(f64::exp));
        Some(Estimated { best, sigma: both(sigma), length: both(length), nugget: both(nugget) })
    }
}

/// The nugget's share of the variance from the logarithm of its odds.
fn share(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// Where the logarithm of the length and the odds of the nugget's share are looked for.
struct Ranges {
    length: (f64, f64),
    odds: (f64, f64),
}

impl Ranges {
    /// The best of a grid, improved.
    fn search(&self, value: &dyn Fn([f64; 2]) -> f64) -> ([f64; 2], f64) {
        let between =
            |(low, high): (f64, f64), i: usize, n: usize| low + (high - low) * (i as f64 + 0.5) / n as f64;
        let mut best = ([0.0; 2], f64::NEG_INFINITY);
        for i in 0..12 {
            for j in 0..6 {
                let at = [between(self.length, i, 12), between(self.odds, j, 6)];
                let found = value(at);
                if found > best.1 {
                    best = (at, found);
                }
            }
        }
        let at = climb_to(best.0, self, value);
        (at, value(at))
    }

    fn clamp(&self, at: [f64; 2]) -> [f64; 2] {
        [at[0].clamp(self.length.0, self.length.1), at[1].clamp(self.odds.0, self.odds.1)]
    }
}

/// The largest value near a place, by pattern search with shrinking steps.
fn climb_to(start: [f64; 2], ranges: &Ranges, value: &dyn Fn([f64; 2]) -> f64) -> [f64; 2] {
    let (mut at, mut top, mut step) = (start, value(start), 0.4);
    while step > 1e-4 {
        let moves = [
            [step, 0.0],
            [-step, 0.0],
            [0.0, step],
            [0.0, -step],
            [step, step],
            [-step, -step],
            [step, -step],
            [-step, step],
        ];
        let tried = moves.map(|m| ranges.clamp([at[0] + m[0], at[1] + 2.0 * m[1]]));
        let best = tried.into_iter().map(|t| (t, value(t))).max_by(|a, b| a.1.total_cmp(&b.1));
        match best {
            Some((to, found)) if found > top + 1e-9 => (at, top) = (to, found),
            _ => step *= 0.4,
        }
    }
    at
}

fn climb(start: [f64; 2], ranges: &Ranges, value: &dyn Fn([f64; 2]) -> f64) -> f64 {
    value(climb_to(start, ranges, value))
}

/// The largest value of a function with one peak between two places, by golden sections, and where it is.
fn golden((mut low, mut high): (f64, f64), value: impl Fn(f64) -> f64) -> (f64, f64) {
    let ratio = 0.5 * (5f64.sqrt() - 1.0);
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_a, mut at_b) = (value(a), value(b));
    while high - low > 1e-3 {
        if at_a > at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - ratio * (high - low);
            at_a = value(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + ratio * (high - low);
            at_b = value(b);
        }
    }
    let middle = 0.5 * (low + high);
    (middle, value(middle))
}

/// Where a profile falls to `floor` on either side of its peak; none where it does not within the range.
fn ends(
    peak: f64,
    (low, high): (f64, f64),
    floor: f64,
    profile: impl Fn(f64) -> f64,
) -> (Option<f64>, Option<f64>) {
    let side = |end: f64| {
        // Steps that grow, then halving.
        let (mut inside, mut step) = (peak, 0.1f64.copysign(end - peak));
        loop {
            let next = inside + step;
            if (end - next) * (end - peak).signum() < 0.0 {
                return None;
            }
            if profile(next) < floor {
                let (mut near, mut far) = (inside, next);
                while (far - near).abs() > 2e-3 {
                    let middle = 0.5 * (near + far);
                    if profile(middle) < floor { far = middle } else { near = middle }
                }
                return Some(0.5 * (near + far));
            }
            (inside, step) = (next, 1.5 * step);
        }
    };
    (side(low), side(high))
}

fn report(
    devices: &Devices,
    law: &Estimated,
    file: &str,
    unit: &str,
    compare: Option<&str>,
) -> Result<Fit, CalibrationError> {
    let one = |name: &str, value: f64, (lower, upper): (Option<f64>, Option<f64>), unit: &str| Estimate {
        name: name.into(),
        value,
        standard_error: lower.zip(upper).map(|(l, u)| (u - l) / (2.0 * 1.959_964)),
        lower,
        upper,
        unit: unit.into(),
        source: file.into(),
    };
    let mut notes = vec![
        "correlation exp(-(d/l)^2); restricted maximum likelihood, intervals by its profile".to_owned(),
        "mean and wafer are common to all devices here: what differs from chip to chip is not in these numbers".to_owned(),
    ];
    for (name, (low, high)) in
        [("sigma", law.sigma), ("correlation_length", law.length), ("nugget", law.nugget)]
    {
        if low.is_none() || high.is_none() {
            let side = if low.is_none() { "below" } else { "above" };
            notes.push(format!("`{name}` is not bounded from {side} by these devices"));
        }
    }
    if law.length.0.is_none() && law.length.1.is_none() {
        return Err(CalibrationError::TooFew(format!(
            "{file}: the data cannot determine `correlation_length`: nearby devices are no more alike than far ones"
        )));
    }
    let outliers = outliers(&devices.values);
    if outliers > 0 {
        notes.push(format!(
            "{outliers} of {} devices are more than {OUTLIER} robust standard deviations off: look at them, the likelihood takes them for \
             the map's; the variogram of Cressie and Hawkins does not",
            devices.values.len()
        ));
    }
    let best = law.best;
    let parameters = vec![
        one("sigma", best.sigma, law.sigma, unit),
        one("correlation_length", best.length, law.length, "mm"),
        one("nugget", best.nugget, law.nugget, unit),
    ];
    if let Some(quantity) = compare {
        let processes = Process::library().map_err(|e| CalibrationError::TooFew(e.to_string()))?;
        for process in processes {
            let spread = if quantity == "width" { process.width } else { process.thickness };
            let (sigma, length) = (1e9 * spread.deviation, 1e3 * spread.correlation);
            notes.push(format!(
                "{}, {quantity}: sigma {sigma} nm ({}), correlation length {length} mm ({})",
                process.name,
                within(sigma, law.sigma),
                within(length, law.length)
            ));
        }
    }
    Ok(Fit {
        kind: String::new(),
        parameters,
        chi2: (devices.values.len() - 1) as f64,
        dof: devices.values.len() - 4,
        notes,
    })
}

fn within(value: f64, (low, high): (Option<f64>, Option<f64>)) -> &'static str {
    if low.is_some_and(|l| value < l) {
        "below the interval"
    } else if high.is_some_and(|h| value > h) {
        "above the interval"
    } else {
        "within the interval"
    }
}

fn outliers(values: &[f64]) -> usize {
    let median = |mut list: Vec<f64>| {
        list.sort_by(f64::total_cmp);
        list[list.len() / 2]
    };
    let centre = median(values.to_vec());
    let scale = 1.4826 * median(values.iter().map(|v| (v - centre).abs()).collect());
    values.iter().filter(|v| (*v - centre).abs() > OUTLIER * scale).count()
}
