//! What the uncertainty of a design's values makes of its error rate.

use mirage_calibration::value_draws;
use mirage_design::Uncertain;
use mirage_devices::{Bench, Quantisation, chips::clopper_pearson, rates};
use serde::Serialize;

use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::{Folder, number};
use crate::journal::Journal;
use crate::study::axis::column;
use crate::study::devices::{Answer, Question};
use crate::study::sweep::solved;

/// Draws of one sample's values until they are all within their physical range, before the question is given up.
const TRIES: usize = 100;
/// Quantiles that are told.
const QUANTILES: [f64; 5] = [0.025, 0.25, 0.5, 0.75, 0.975];

/// Which values are sampled, and how often.
pub struct Spread {
    values: Vec<Uncertain>,
    samples: usize,
}

/// The distribution that was found.
#[derive(Debug, Serialize)]
pub struct Found {
    pub samples: usize,
    /// Draws thrown away because a value was out of its physical range.
    pub redrawn: usize,
    pub keys: Vec<String>,
    /// Error rate of the worst modulus at the design's own values.
    pub own_error_rate: f64,
    /// Mean over the samples, and its standard error.
    pub mean_error_rate: f64,
    pub standard_error: f64,
    pub quantiles: Vec<(f64, f64)>,
    pub target: f64,
    /// Share of the samples that meet the target, with the interval of Clopper and Pearson.
    pub share: f64,
    pub share_lower: f64,
    pub share_upper: f64,
}

impl Spread {
    /// The values of the design that have a `sigma`; they must enter the devices.
    pub fn new(design: &Design, samples: usize) -> Result<Self> {
        let values = design.document.uncertain()?;
        if values.is_empty() {
            return Err(CliError::message(
                "--spread: no value of the design carries a `sigma`\nhelp: write one as { value = \"2.1 dB/cm\", sigma = \"0.2 dB/cm\" }, as the \
                 design.toml of `mirage calibrate` does",
            ));
        }
        if let Some(other) = values.iter().find(|v| !v.key.starts_with("devices.")) {
            return Err(CliError::message(format!(
                "--spread: `{}` has a sigma but does not enter the error rates of the devices: only keys of [devices] are sampled",
                other.key
            )));
        }
        Ok(Self { values, samples })
    }

    /// Writes spread.csv and its picture; what the journal has is not done again.
    pub fn run(
        &self,
        folder: &Folder,
        question: &Question<'_>,
        answer: &Answer,
        journal: &Journal,
    ) -> Result<Found> {
        let work = |i| self.sample(i, question, answer);
        let rows = journal.run(self.samples, "sampling values", (&question.stop, question.progress), work)?;
        let names: Vec<String> = ["sample".to_owned(), "redrawn".to_owned()]
            .into_iter()
            .chain(self.values.iter().map(|v| column(&v.key, &v.unit)))
            .chain(["modulus".to_owned(), "error_rate".to_owned()])
            .collect();
        let header: Vec<&str> = names.iter().map(String::as_str).collect();
        let lines = rows.iter().flat_map(|row| row.chunks(header.len())).map(<[String]>::to_vec);
        folder.table("spread.csv", &header, lines)?;
        let target = question.point.target;
        crate::plots::depth::spread(folder, target)?;
        let read =
            |row: &[String], at: usize| row.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(f64::NAN);
        let worst_of = |row: &Vec<String>| {
            row.chunks(header.len()).map(|line| read(line, header.len() - 1)).fold(0.0, f64::max)
        };
        let worst: Vec<f64> = rows.iter().map(worst_of).collect();
        let redrawn: f64 = rows.iter().map(|row| read(row, 1)).sum();
        let own = answer.characterisation.rates.iter().map(|r| r.error_rate).fold(0.0, f64::max);
        Ok(self.found(worst, redrawn as usize, own, target))
    }

    /// One sample: values drawn until all are possible, and the error rate of each modulus.
    fn sample(&self, index: usize, question: &Question<'_>, answer: &Answer) -> Result<Vec<String>> {
        let held = solved(&answer.solution);
        let own = |key: &str| self.values.iter().any(|v| v.key == key);
        let mut normals = value_draws(question.seed, index as u64);
        let mut last = None;
        for redrawn in 0..TRIES {
            let drawn: Vec<f64> =
                self.values.iter().map(|v| v.value + v.sigma * normals.next().unwrap_or(0.0)).collect();
            let texts = self.values.iter().zip(&drawn).map(|(v, x)| {
                let text = if v.unit.is_empty() { format!("{x:?}") } else { format!("{x:?} {}", v.unit) };
                (v.key.clone(), text)
            });
            let open = held.iter().filter(|o| !own(&o.key)).map(|o| (o.key.clone(), o.text.clone()));
            let design = match question.design.with(&texts.chain(open).collect::<Vec<_>>()) {
                Ok(design) => design,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            let rates = error_rates(&design, question, answer)?;
            let head: Vec<String> = [index.to_string(), redrawn.to_string()]
                .into_iter()
                .chain(drawn.into_iter().map(number))
                .collect();
            let moduli = question.gemm.moduli.as_slice();
            let line = |(m, rate): (&u32, f64)| [&head[..], &[m.to_string(), number(rate)]].concat();
            return Ok(moduli.iter().zip(rates).flat_map(line).collect());
        }
        let why = last.map_or(String::new(), |error| format!(": {error}"));
        Err(CliError::message(format!(
            "--spread: none of {TRIES} draws lies within the physical range of the values; their sigma is too large{why}"
        )))
    }

    fn found(&self, mut worst: Vec<f64>, redrawn: usize, own: f64, target: f64) -> Found {
        worst.sort_by(f64::total_cmp);
        let n = worst.len() as f64;
        let mean = worst.iter().sum::<f64>() / n;
        let scatter: f64 = worst.iter().map(|r| (r - mean).powi(2)).sum();
        let at = |q: f64| worst[((q * n).ceil() as usize).clamp(1, worst.len()) - 1];
        let passed = worst.iter().filter(|r| **r <= target).count() as f64;
        let (share_lower, share_upper) = clopper_pearson(passed, n);
        Found {
            samples: worst.len(),
            redrawn,
            keys: self.values.iter().map(|v| v.key.clone()).collect(),
            own_error_rate: own,
            mean_error_rate: mean,
            standard_error: (scatter / (n - 1.0) / n).sqrt(),
            quantiles: QUANTILES.iter().map(|&q| (q, at(q))).collect(),
            target,
            share: passed / n,
            share_lower,
            share_upper,
        }
    }
}

/// Error rate of each modulus of a design whose every value is given, at the laser power of the answer.
fn error_rates(design: &Design, question: &Question<'_>, answer: &Answer) -> Result<Vec<f64>> {
    let point = design.devices.design_point(question.gemm.format.group);
    // A value may be the laser's own.
    let power = point.laser_power.unwrap_or(answer.solution.laser_power);
    let bench = Bench::new(&point.parameters, question.gemm.moduli.as_slice(), &question.operands)?;
    question.stop.check()?;
    let of = |(unit, population)| rates(unit, population, power, Quantisation::Cells).error_rate;
    Ok(bench.units().iter().map(|(unit, population)| of((unit, population))).collect())
}

impl Found {
    /// What to say of it.
    pub fn words(&self) -> Vec<String> {
        let at = |q: f64| self.quantiles.iter().find(|found| found.0 == q).map_or(f64::NAN, |found| found.1);
        let mut words = vec![format!(
            "over {} samples of {}: the worst modulus errs at {:.1e} in the median, 95 % between {:.1e} and {:.1e} (mean {:.1e}; {:.1e} at the design's \
             own values); {:.0} % meet the target of {:.0e} (95 %: {:.0} to {:.0} %)",
            self.samples,
            self.keys.join(", "),
            at(0.5),
            at(0.025),
            at(0.975),
            self.mean_error_rate,
            self.own_error_rate,
            100.0 * self.share,
            self.target,
            100.0 * self.share_lower,
            100.0 * self.share_upper
        )];
        if self.redrawn > 0 {
            words.push(format!(
                "{} draws had a value out of its physical range and were made again: the values are not quite normal",
                self.redrawn
            ));
        }
        words
    }
}
