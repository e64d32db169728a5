//! Energy laws and figures of merit of published converters.

use super::data::text;
use super::given::{Form, Given, Setting};
use super::outcome::{Outcome, Series, Table};
use super::{Files, Input, Kind};
use crate::CalibrationError;
use crate::adc::{AdcSurvey, Converter};
use crate::draws::{Domain, generator, normals};
use crate::fit::{Estimate, Fit, MEDIAN_OF_NORMAL};
use crate::quantile::{linear, loss, quantile};
use nalgebra::DMatrix;
use rand::RngExt;
use rayon::prelude::*;

/// Corners of the speed-limited slope that are tried first, half decades of the rate in samples/s.
const CORNERS: std::ops::RangeInclusive<u32> = 7..=20;
/// Decades within which the best corner is then found.
const NEAR: f64 = 0.02;

const RATE: Setting = Setting {
    name: "rate",
    doc: "slowest converters of the energy law",
    form: Form::Number("Hz", 1.0, 1e13),
    usual: &[1e9],
};
const TAU: Setting = Setting {
    name: "quantile",
    doc: "share of converters that lie beyond the envelope, on the good side",
    form: Form::Number("%", 0.5, 50.0),
    usual: &[10.0],
};
const RESAMPLES: Setting = Setting {
    name: "resamples",
    doc: "resamples of the bootstrap",
    form: Form::Number("", 50.0, 100_000.0),
    usual: &[500.0],
};
const YEARS: Setting = Setting {
    name: "years",
    doc: "years FROM:TO of publication [default: all]",
    form: Form::Range("", 1900.0, 2200.0),
    usual: &[],
};

/// A survey of converters with `year`, `sndr_db`, `power_w`, `fsnyq_hz`.
pub(super) const KIND: Kind = Kind {
    name: "converters",
    summary: "energy law k1 b + k2 4^b and envelopes of figures of merit of a survey of ADCs",
    files: Files::Each,
    takes_reference: false,
    settings: &[RATE, TAU, RESAMPLES, YEARS],
    run,
};

fn run(inputs: &[Input], _: Option<&Input>, given: &Given) -> Result<Outcome, CalibrationError> {
    let input = &inputs[0];
    let survey = AdcSurvey::read(text(input)?, &input.file)?;
    let years = given.range("years").unwrap_or((0.0, f64::INFINITY));
    let all: Vec<Converter> =
        survey.converters().iter().copied().filter(|c| (years.0..=years.1).contains(&c.year)).collect();
    let rate = given.value(&RATE);
    let fast: Vec<Converter> = all.iter().copied().filter(|c| c.rate >= rate).collect();
    let tau = given.value(&TAU) / 100.0;
    let resamples = given.value(&RESAMPLES) as usize;
    let least = (5.0 / tau).ceil() as usize;
    if fast.len() < least {
        return Err(CalibrationError::TooFew(format!(
            "{}: {} converters at or above {rate:e} samples/s; a quantile of {tau} needs {least}",
            input.file,
            fast.len()
        )));
    }
    let mut fit = Fit {
        kind: String::new(),
        parameters: Vec::new(),
        chi2: fast.len() as f64,
        dof: fast.len() - 2,
        covariance: None,
        notes: notes(&survey, all.len(), &fast, rate, tau, resamples),
    };
    let source = &input.file;
    let best = AdcSurvey::law_of(&fast, rate)?;
    let of_best = |c: &[Converter]| AdcSurvey::law_of(c, rate).map_or([f64::NAN; 2], |law| [law.k1, law.k2]);
    let of_quantile = |c: &[Converter]| energy_quantile(c, tau);
    let [k1, k2] = of_quantile(&fast);
    let names = ["k1_three_best", "k2_three_best"];
    fit.parameters.extend(estimates(
        source,
        names,
        "J",
        [best.k1, best.k2],
        resample(&fast, resamples, (0, 0.0), of_best),
    ));
    let names = ["k1_quantile", "k2_quantile"];
    fit.parameters.extend(estimates(
        source,
        names,
        "J",
        [k1, k2],
        resample(&fast, resamples, (1, smear(&fast, [k1, k2])), of_quantile),
    ));
    let envelope = |c: &[Converter]| Envelope::fit(c, tau).map_or([f64::NAN; 4], |e| e.0);
    let found = Envelope::fit(&all, tau).ok_or_else(|| {
        CalibrationError::TooFew(format!("{source}: rates and years are too much alike for an envelope"))
    })?;
    let many = resample(&all, resamples, (2, 0.0), envelope);
    let names = ["schreier_slow_2020", "schreier_per_year", "schreier_slope_fast", "schreier_corner"];
    let units = ["dB", "dB/year", "dB/decade", "Hz"];
    for (i, estimate) in estimates(source, names, "", found.0, many.clone()).into_iter().enumerate() {
        fit.parameters.push(Estimate { unit: units[i].into(), ..estimate });
    }
    let laws = [("three best", [best.k1, best.k2]), ("quantile", [k1, k2])];
    let series: Vec<Series> = laws.iter().map(|(name, k)| energy_series(name, &fast, *k)).collect();
    let tables = vec![law_table(&fast, laws), envelope_table(found, &many, &all)];
    let outcome = Outcome::plain(fit, ("effective bits", "log10 of the energy of a conversion (J)"), series);
    Ok(Outcome { tables, ..outcome })
}

fn notes(
    survey: &AdcSurvey,
    all: usize,
    fast: &[Converter],
    rate: f64,
    tau: f64,
    resamples: usize,
) -> Vec<String> {
    let years = fast.iter().map(|c| c.year).fold((f64::MAX, f64::MIN), |(l, h), y| (l.min(y), h.max(y)));
    vec![
        format!(
            "{} rows lack SNDR, power, rate or year or have no bits and are left out; {all} converters, {} of them at or above {rate:e} \
             samples/s, of {} to {}",
            survey.left_out(),
            fast.len(),
            years.0,
            years.1
        ),
        "E = k1 b + k2 4^b, b = (SNDR - 1.76)/6.02, E = power over Nyquist rate. three_best: k1 and k2 each the mean of the three \
         smallest E/b and E/4^b"
            .into(),
        format!(
            "quantile: the law that a share of {tau} of the converters lies below, by quantile regression of ln E. Both coefficients \
             together describe it, while three_best lets each claim the whole energy of its own converters"
        ),
        format!(
            "intervals: {resamples} bootstrap resamples of the converters, 2.5 to 97.5 %. The smallest of a sample have no proper \
             bootstrap (Bickel and Freedman, Ann. Statist. 9, 1196 (1981)): those of three_best say how far it hangs on single \
             converters, no more. Energies of k1_quantile and k2_quantile are smeared by 1.06 n^(-1/5) of their scatter: smoothed bootstrap"
        ),
        "Schreier figure of merit SNDR + 10 log10(rate/2/power): schreier_slow_2020 at low rates in 2020, falling by \
         schreier_slope_fast for each decade beyond schreier_corner"
            .into(),
    ]
}

/// How far the energies of a resample are moved, in ln: the width of a normal kernel for their scatter about the law, 1.06 s n^(-1/5)
/// (Silverman, *Density Estimation*, 1986, eq. 3.28), s from the quartiles. A share of a sample sits on few values, and resamples of
/// these alone err too little; smoothed ones know what lies between (Silverman and Young, *Biometrika* 74, 469 (1987)).
fn smear(converters: &[Converter], [k1, k2]: [f64; 2]) -> f64 {
    let off = |c: &Converter| (c.energy / (k1 * c.bits + k2 * 4f64.powf(c.bits))).ln();
    let off: Vec<f64> = converters.iter().map(off).collect();
    let quartiles = quantile(off.clone(), 0.75) - quantile(off, 0.25);
    1.06 * quartiles / (2.0 * MEDIAN_OF_NORMAL) * (converters.len() as f64).powf(-0.2)
}

/// Values of the bootstrap's resamples, those that failed left out; `smear` is how far their energies are moved, in ln.
fn resample<const N: usize>(
    converters: &[Converter],
    resamples: usize,
    (stream, smear): (u64, f64),
    estimate: impl Fn(&[Converter]) -> [f64; N] + Sync,
) -> Vec<[f64; N]> {
    let one = |k: usize| {
        let mut rng = generator(1, Domain::Converters, (stream << 32) + k as u64);
        let n = converters.len();
        let mut drawn: Vec<Converter> = (0..n).map(|_| converters[rng.random_range(0..n)]).collect();
        if smear > 0.0 {
            drawn.iter_mut().zip(normals(rng)).for_each(|(c, z)| c.energy *= (smear * z).exp());
        }
        estimate(&drawn)
    };
    let all: Vec<[f64; N]> = (0..resamples).into_par_iter().map(one).collect();
    all.into_iter().filter(|values| values.iter().all(|v| v.is_finite())).collect()
}

fn estimates<const N: usize>(
    source: &str,
    names: [&str; N],
    unit: &str,
    values: [f64; N],
    resampled: Vec<[f64; N]>,
) -> Vec<Estimate> {
    let one = |i: usize| {
        let list: Vec<f64> = resampled.iter().map(|r| r[i]).collect();
        let n = list.len() as f64;
        let mean = list.iter().sum::<f64>() / n;
        let error = (list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        Estimate {
            name: names[i].into(),
            value: values[i],
            standard_error: Some(error).filter(|e| e.is_finite()),
            lower: Some(quantile(list.clone(), 0.025)).filter(|e| e.is_finite()),
            upper: Some(quantile(list, 0.975)).filter(|e| e.is_finite()),
            unit: unit.into(),
            source: source.into(),
        }
    };
    (0..N).map(one).collect()
}

/// k1 and k2 of the law that a share `tau` of the converters lies below: quantile regression of ln E on ln(k1 b + k2 4^b). For each
/// ratio of k2 to k1 the best k1 is the quantile of what is left, so that one search over the ratio does.
fn energy_quantile(converters: &[Converter], tau: f64) -> [f64; 2] {
    let known: Vec<[f64; 3]> = converters.iter().map(|c| [c.energy, c.bits, 4f64.powf(c.bits)]).collect();
    let left = |ratio: f64| -> Vec<f64> {
        known.iter().map(|[energy, bits, power]| (energy / (bits + ratio * power)).ln()).collect()
    };
    let cost = |log: f64| {
        let left = left(log.exp());
        let level = quantile(left.clone(), tau);
        loss(left.iter().map(|r| r - level), tau)
    };
    // From laws without a part for noise to laws of nothing else, for any converters of 1 to 20 bits.
    let steps = 120;
    let at = |i: usize| -30.0 + 30.0 * i as f64 / steps as f64;
    let best = (0..=steps).min_by(|&a, &b| cost(at(a)).total_cmp(&cost(at(b)))).unwrap_or(0);
    let (mut low, mut high) = (at(best.saturating_sub(1)), at((best + 1).min(steps)));
    while high - low > 1e-4 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if cost(a) < cost(b) { high = b } else { low = a }
    }
    let ratio = (0.5 * (low + high)).exp();
    let k1 = quantile(left(ratio), tau).exp();
    [k1, k1 * ratio]
}

/// Level at low rates in 2020 (dB), change a year, fall for each decade beyond the corner, corner (samples/s).
#[derive(Debug, Clone, Copy)]
struct Envelope([f64; 4]);

impl Envelope {
    /// The envelope that a share `tau` of the converters lies above.
    fn fit(converters: &[Converter], tau: f64) -> Option<Self> {
        let merit: Vec<f64> = converters.iter().map(schreier).collect();
        let one = |decades: f64| {
            let row = |c: &Converter| [1.0, c.year - 2020.0, (c.rate.log10() - decades).max(0.0)];
            let rows: Vec<[f64; 3]> = converters.iter().map(row).collect();
            let features = DMatrix::from_fn(rows.len(), 3, |i, j| rows[i][j]);
            let (at, loss) = linear(&features, &merit, 1.0 - tau)?;
            Some((loss, decades, Envelope([at[0], at[1], -at[2], 10f64.powf(decades)])))
        };
        let coarse = CORNERS.filter_map(|corner| one(0.5 * f64::from(corner)));
        let mut best = coarse.min_by(|a, b| a.0.total_cmp(&b.0))?;
        // By golden sections of what lies between its neighbours.
        let golden = 0.5 * (5f64.sqrt() - 1.0);
        let (mut low, mut high) = (best.1 - 0.5, best.1 + 0.5);
        let cut = |low: f64, high: f64| [high - golden * (high - low), low + golden * (high - low)];
        let mut tried = cut(low, high).map(one);
        while high - low > NEAR {
            let cost = tried.each_ref().map(|found| found.as_ref().map_or(f64::INFINITY, |f| f.0));
            best = tried.iter().flatten().fold(best, |best, &f| if f.0 < best.0 { f } else { best });
            let [_, second] = cut(low, high);
            if cost[0] <= cost[1] {
                high = second;
                tried = [one(cut(low, high)[0]), tried[0]];
            } else {
                low = cut(low, high)[0];
                tried = [tried[1], one(cut(low, high)[1])];
            }
        }
        Some(best.2)
    }

    fn at(&self, rate: f64, year: f64) -> f64 {
        let [level, yearly, slope, corner] = self.0;
        level + yearly * (year - 2020.0) - slope * (rate / corner).log10().max(0.0)
    }
}

/// Schreier's figure of merit, dB.
fn schreier(c: &Converter) -> f64 {
    c.sndr + 10.0 * (0.5 * c.rate / (c.energy * c.rate)).log10()
}

fn energy_series(name: &str, fast: &[Converter], [k1, k2]: [f64; 2]) -> Series {
    let mut sorted = fast.to_vec();
    sorted.sort_by(|a, b| a.bits.total_cmp(&b.bits));
    let law = |c: &Converter| (k1 * c.bits + k2 * 4f64.powf(c.bits)).log10();
    Series {
        name: format!("law of the {name}"),
        x: sorted.iter().map(|c| c.bits).collect(),
        data: sorted.iter().map(|c| c.energy.log10()).collect(),
        model: sorted.iter().map(law).collect(),
    }
}

/// What the laws make of every number of bits among the converters.
fn law_table(fast: &[Converter], laws: [(&str, [f64; 2]); 2]) -> Table {
    let (low, high) = fast.iter().fold((f64::MAX, f64::MIN), |(l, h), c| (l.min(c.bits), h.max(c.bits)));
    let energy = |[k1, k2]: [f64; 2], bits: f64| k1 * bits + k2 * 4f64.powf(bits);
    let rows = (low.floor() as i32..=high.ceil() as i32).map(|bits| {
        let bits = f64::from(bits);
        [bits, energy(laws[0].1, bits), energy(laws[1].1, bits)].map(Some).to_vec()
    });
    Table {
        name: "converter-law.csv",
        columns: vec!["effective_bits", "three_best_j", "quantile_j"],
        rows: rows.collect(),
    }
}

/// The envelope over rate and year, with its interval.
fn envelope_table(found: Envelope, many: &[[f64; 4]], all: &[Converter]) -> Table {
    let (first, last) = all.iter().fold((f64::MAX, f64::MIN), |(l, h), c| (l.min(c.year), h.max(c.year)));
    let mut rows = Vec::new();
    for year in [first, (0.5 * (first + last)).round(), last] {
        for half in CORNERS {
            let rate = 10f64.powf(0.5 * f64::from(half));
            let values: Vec<f64> = many.iter().map(|e| Envelope(*e).at(rate, year)).collect();
            let row =
                [year, rate, found.at(rate, year), quantile(values.clone(), 0.025), quantile(values, 0.975)];
            rows.push(row.map(|x| Some(x).filter(|x| x.is_finite())).to_vec());
        }
    }
    Table {
        name: "converter-envelope.csv",
        columns: vec!["year", "rate_hz", "schreier_db", "lower_db", "upper_db"],
        rows,
    }
}
