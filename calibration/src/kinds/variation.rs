//! How a parameter varies over a chip or wafer: standard deviation and correlation length of many devices.
//!
//! The model is that of the device models: a Gaussian map whose correlation is exp(-(d/l)^2), and what each device has of its own (its
//! fit's error, roughness), the nugget. The empirical variogram is drawn by Matheron's estimator, the mean of half the squared
//! differences, and by Cressie and Hawkins' robust one (*Mathematical Geology* 12, 115 (1980)). Its bins share devices, so that
//! intervals from it would be wrong: estimates are those of the restricted likelihood (Patterson and Thompson, *Biometrika* 58, 545
//! (1971)), their intervals those of its profile.

use super::data::{Data, one_of, whole};
use super::given::{Form, Given, Setting};
use super::outcome::{Outcome, Series, Table, short};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::draws::{Domain, generator, normals};
use crate::fit::{Estimate, Fit};
use crate::quantile::median;
use mirage_devices::variation::Process;
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

/// Devices below which nothing is said.
const FEWEST: usize = 20;
/// Devices above which the likelihood would take minutes.
const MOST: usize = 800;
/// Correlation lengths that are tried, evenly in their logarithm, from far below the nearest pair to far beyond the chip.
const LENGTHS: usize = 36;
/// Logarithm of the odds of the nugget's share that is tried.
const ODDS: (f64, f64) = (-12.0, 6.0);
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
    usual: &[],
};

/// A table of `x_mm`, `y_mm` and `value`.
pub(super) const KIND: Kind = Kind {
    name: "variation",
    summary: "standard deviation and correlation length over a chip (columns x_mm, y_mm, value; in nm: value_nm)",
    files: Files::Each,
    takes_reference: false,
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
    let mut fit = report(&devices, &law, &data.file, unit, compare)?;
    if let Some(chance) = devices.chance(&law.best, &bins) {
        fit.notes.push(held(chance));
    }
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

/// Maps drawn of the fitted law, for what its variogram may look like by chance.
const MAPS: usize = 200;
/// Share of maps at least as far off, below which the law is said to miss.
const MISSED: f64 = 0.05;

fn held(chance: f64) -> String {
    let far = format!(
        "{:.1} % of {MAPS} maps drawn of the fitted law are as far off its variogram as these devices",
        100.0 * chance
    );
    match chance < MISSED {
        true => format!(
            "the law misses the variogram: {far}; a correlation exp(-(d/l)^2) is not that of these devices, and `correlation_length` and `nugget` \
             are only those that serve best: look at variogram.csv"
        ),
        false => far,
    }
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

    /// Share of maps of a law whose variogram is at least as far off as that of the devices. Distance is the sum over the bins of the
    /// squared deviation of the logarithm of Matheron's estimate, from its mean over the maps and over its variance among them. The
    /// law was fitted to the devices and not to the maps, so that this share is too large rather than too small. `None` where the
    /// correlations have no eigenvalues.
    fn chance(&self, law: &Law, bins: &[Bin]) -> Option<f64> {
        let n = self.values.len();
        let entry = |a: usize, b: usize| {
            let own = if a == b { law.nugget.powi(2) } else { 0.0 };
            own + law.sigma.powi(2) * (-(self.distance(a, b) / law.length).powi(2)).exp()
        };
        let eigen = DMatrix::from_fn(n, n, entry).try_symmetric_eigen(1e-12, 10_000)?;
        let scale = DMatrix::from_diagonal(&eigen.eigenvalues.map(|v| v.max(0.0).sqrt()));
        let root = &eigen.eigenvectors * scale;
        let logs = |bins: &[Bin]| bins.iter().map(|b| b.classical.max(f64::MIN_POSITIVE).ln()).collect();
        let map = |seed: u64| -> Vec<f64> {
            let draws = DVector::from_iterator(n, normals(generator(0, Domain::Maps, seed)).take(n));
            let values = (&root * draws).iter().copied().collect();
            logs(&Devices { places: self.places.clone(), values }.variogram())
        };
        let maps: Vec<Vec<f64>> = (0..MAPS as u64).into_par_iter().map(map).collect();
        let law: Vec<(f64, f64)> = (0..bins.len())
            .map(|b| {
                let mean = maps.iter().map(|m| m[b]).sum::<f64>() / MAPS as f64;
                let square = maps.iter().map(|m| (m[b] - mean).powi(2)).sum::<f64>() / (MAPS - 1) as f64;
                (mean, square)
            })
            .collect();
        let off = |logs: &[f64]| -> f64 {
            logs.iter().zip(&law).map(|(l, (mean, square))| (l - mean).powi(2) / square).sum()
        };
        let own: Vec<f64> = logs(bins);
        let own = off(&own);
        Some(maps.iter().filter(|m| off(m) >= own).count() as f64 / MAPS as f64)
    }

    /// The law of the largest likelihood, and the ends of its profiles.
    fn estimate(&self) -> Option<Estimated> {
        let n = self.values.len();
        let pairs = || (0..n).flat_map(move |a| (0..a).map(move |b| (a, b)));
        let farthest = pairs().map(|(a, b)| self.distance(a, b)).fold(0.0, f64::max);
        let nearest = pairs().map(|(a, b)| self.distance(a, b)).filter(|d| *d > 0.0).fold(f64::MAX, f64::min);
        let (low, high) = ((0.3 * nearest).ln(), (5.0 * farthest).ln());
        let log = |i: usize| low + (high - low) * i as f64 / (LENGTHS - 1) as f64;
        let all: Vec<Option<AtLength>> =
            (0..LENGTHS).into_par_iter().map(|i| AtLength::new(self, log(i))).collect();
        let all: Vec<AtLength> = all.into_iter().collect::<Option<_>>()?;
        let free = |at: &AtLength| golden(ODDS, |odds| at.likelihood(share(odds), None).0);
        let profile: Vec<(f64, f64)> = all.iter().map(|at| (at.log, free(at).1)).collect();
        let (peak, top) = summit(&profile);
        let at = AtLength::new(self, peak)?;
        let (odds, top) = (free(&at).0, top.max(free(&at).1));
        let variance = at.likelihood(share(odds), None).1;
        let best = Law {
            sigma: (variance * (1.0 - share(odds))).sqrt(),
            length: peak.exp(),
            nugget: (variance * share(odds)).sqrt(),
        };
        // Lengths whose best is far below cannot be the best of any profile that counts.
        let near: Vec<&AtLength> = all
            .iter()
            .zip(&profile)
            .filter(|(_, p)| p.1 > top - 3.0 * DROP - 4.0)
            .map(|(at, _)| at)
            .chain([&at])
            .collect();
        let over = |part: &dyn Fn(f64) -> f64| {
            let held = |at: &&AtLength| {
                let value = |odds: f64| at.likelihood(share(odds), Some(part(share(odds)))).0;
                (at.log, golden(ODDS, value).1)
            };
            let mut values: Vec<(f64, f64)> = near.iter().map(held).collect();
            values.sort_by(|a, b| a.0.total_cmp(&b.0));
            summit(&values).1
        };
        let spread = (variance.sqrt().ln() - 6.0, variance.sqrt().ln() + 4.0);
        let floor = top - DROP;
        let sigma =
            ends(best.sigma.ln(), spread, floor, |log| over(&|share| (2.0 * log).exp() / (1.0 - share)));
        let nugget = ends(best.nugget.ln(), spread, floor, |log| over(&|share| (2.0 * log).exp() / share));
        let both = |(low, high): (Option<f64>, Option<f64>)| (low.map(f64::exp), high.map(f64::exp));
        Some(Estimated {
            best,
            sigma: both(sigma),
            length: both(crossings(&profile, peak, top)),
            nugget: both(nugget),
        })
    }
}

/// The devices' correlations at one correlation length, turned so that they are independent.
struct AtLength {
    /// Logarithm of the length in mm.
    log: f64,
    /// Variances of the independent combinations, and what they make of the constant and of the values.
    variances: Vec<f64>,
    ones: Vec<f64>,
    values: Vec<f64>,
}

impl AtLength {
    fn new(devices: &Devices, log: f64) -> Option<Self> {
        let (n, length) = (devices.values.len(), log.exp());
        let entry = |a: usize, b: usize| (-(devices.distance(a, b) / length).powi(2)).exp();
        let eigen = DMatrix::from_fn(n, n, entry).try_symmetric_eigen(1e-12, 10_000)?;
        let turned = |list: DVector<f64>| (eigen.eigenvectors.transpose() * list).iter().copied().collect();
        Some(AtLength {
            log,
            variances: eigen.eigenvalues.iter().map(|v| v.max(0.0)).collect(),
            ones: turned(DVector::from_element(n, 1.0)),
            values: turned(DVector::from_column_slice(&devices.values)),
        })
    }

    /// Restricted log-likelihood where the nugget has this share of the variance, and the variance at which it is largest; or at a
    /// given one. Minus infinity where it has no value.
    fn likelihood(&self, share: f64, variance: Option<f64>) -> (f64, f64) {
        let (mut ones, mut both, mut values, mut determinant) = (0.0, 0.0, 0.0, 0.0);
        for ((own, u), y) in self.variances.iter().zip(&self.ones).zip(&self.values) {
            let d = (1.0 - share) * own + share;
            ones += u * u / d;
            both += u * y / d;
            values += y * y / d;
            determinant += d.ln();
        }
        let rest = values - both * both / ones;
        let dof = (self.values.len() - 1) as f64;
        let variance = variance.unwrap_or(rest / dof);
        let twice = dof * variance.ln() + determinant + ones.ln() + rest / variance;
        (if twice.is_finite() { -0.5 * twice } else { f64::NEG_INFINITY }, variance)
    }
}

/// The nugget's share of the variance from the logarithm of its odds.
fn share(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// The largest value of a list over a rising abscissa, by a parabola through the best and its neighbours, and where it is.
fn summit(values: &[(f64, f64)]) -> (f64, f64) {
    let best = (0..values.len()).max_by(|&a, &b| values[a].1.total_cmp(&values[b].1)).unwrap_or(0);
    let Some(&at) = values.get(best) else { return (f64::NAN, f64::NEG_INFINITY) };
    if best == 0 || best + 1 == values.len() {
        return at;
    }
    let (before, after) = (values[best - 1], values[best + 1]);
    let (s, t) = ((before.1 - at.1) / (before.0 - at.0), (after.1 - at.1) / (after.0 - at.0));
    let bend = (t - s) / (after.0 - before.0);
    let slope = s - bend * (before.0 - at.0);
    if !(bend < 0.0 && bend.is_finite()) {
        return at;
    }
    let step = (-0.5 * slope / bend).clamp(before.0 - at.0, after.0 - at.0);
    (at.0 + step, at.1 + slope * step + bend * step * step)
}

/// Where a profile falls by [`DROP`] on either side of its peak: its signed root is nearly straight in the abscissa.
fn crossings(profile: &[(f64, f64)], peak: f64, top: f64) -> (Option<f64>, Option<f64>) {
    let root = |value: f64| (2.0 * (top - value)).max(0.0).sqrt();
    let wanted = (2.0 * DROP).sqrt();
    let side = |points: Vec<(f64, f64)>| {
        let mut inside = (peak, 0.0);
        for (at, value) in points {
            let depth = root(value);
            if depth > wanted {
                return Some(inside.0 + (at - inside.0) * (wanted - inside.1) / (depth - inside.1));
            }
            inside = (at, depth);
        }
        None
    };
    let below = profile.iter().copied().filter(|p| p.0 < peak).rev().collect();
    (side(below), side(profile.iter().copied().filter(|p| p.0 > peak).collect()))
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
            if !next.is_finite() || (end - next) * (end - peak).signum() < 0.0 {
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
                "{}, {quantity}: sigma {} nm ({}), correlation length {} mm ({})",
                process.name,
                short(sigma),
                within(sigma, law.sigma),
                short(length),
                within(length, law.length)
            ));
        }
    }
    Ok(Fit {
        kind: String::new(),
        parameters,
        chi2: (devices.values.len() - 1) as f64,
        dof: devices.values.len() - 4,
        covariance: None,
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
    let centre = median(values.to_vec());
    let scale = 1.4826 * median(values.iter().map(|v| (v - centre).abs()).collect());
    values.iter().filter(|v| (*v - centre).abs() > OUTLIER * scale).count()
}
