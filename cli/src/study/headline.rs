//! The published headline: three ratios of the chip to systolic arrays, how far ours move over what is only recalled, and which
//! input would have to change for them to be equal.

use mirage_design::Scalar;
use mirage_system::Step;
use mirage_system::baselines::{Format, Rule};
use mirage_system::compare::{Ratios, Scope};
use rayon::prelude::*;

use crate::design::Design;
use crate::error::{CliError, Result};
use crate::progress::Progress;
use crate::study::rivals::{self, Devices, Rivals};

/// The three ratios: name in data/published/mirage.csv, rule, and which of the ratios.
pub const TRIPLE: [Figure; 3] = [
    Figure { name: "speedup_iso_energy", rule: Rule::IsoEnergy, of: |r| r.speedup },
    Figure { name: "edp_ratio_iso_energy", rule: Rule::IsoEnergy, of: |r| r.edp },
    Figure { name: "power_ratio_iso_area", rule: Rule::IsoArea, of: |r| r.power },
];

/// One of the three.
pub struct Figure {
    pub name: &'static str,
    pub rule: Rule,
    of: fn(&Ratios) -> f64,
}

/// The inputs of the devices, taken together: they reach the system through the power of the lasers.
pub const LASERS: &str = "devices (power of the lasers)";

/// Keys that the design wants equal.
pub const TOGETHER: [&[&str]; 1] = [&["system.program_time", "devices.shifter.program_time"]];

/// How far an input may be off by its mark: a choice, for no source says it. Known ones do not move.
fn range(mark: &str) -> Option<f64> {
    match mark {
        "R+" => Some(1.1),
        "R" => Some(1.25),
        "R-" => Some(2.0),
        _ => None,
    }
}

/// Choices of the design that are not numbers: what else they could be.
const CHOICES: [(&str, &str); 8] = [
    ("system.dataflow", "OPT2"),
    ("system.programming", "shadow"),
    ("system.converters.adc_model", "as-published"),
    ("system.converters.tx_model", "while-programming"),
    ("system.baselines.dataflow", "DF1"),
    ("system.baselines.fill", "shadow"),
    ("system.baselines.rows,system.baselines.columns", "128"),
    ("system.baselines.rows,system.baselines.columns", "8"),
];

/// The energy of a multiply-accumulate and the area that arrays are made equal to: published numbers, or what the design's own
/// components add up to. Neither is known better than the other, so this counts for the interval.
pub const BASIS: (&str, &str) = ("system.baselines.basis", "bottom-up");
/// Its mark.
const OWN: &str = "own";
/// That of a choice.
const CHOICE: &str = "choice";

/// Means over the networks of one scope and format, for each of [`TRIPLE`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triple {
    pub scope: Scope,
    pub format: Format,
    pub arithmetic: [f64; 3],
    pub geometric: [f64; 3],
}

/// An input that is moved.
pub struct Input {
    pub key: String,
    pub mark: String,
    /// Values at both ends as text; one for a choice.
    pub values: Vec<String>,
    factors: Vec<f64>,
    /// Keys that move with it.
    keys: Vec<String>,
}

/// An input and what it makes of the headline: one entry for each end, or why it cannot be moved there.
pub struct Moved {
    pub input: Input,
    pub ends: Vec<std::result::Result<Vec<Triple>, String>>,
}

/// All that a headline is computed from.
pub struct Headline<'a> {
    pub design: &'a Design,
    pub devices: &'a Devices,
    pub networks: Vec<&'a str>,
    pub formats: Vec<Format>,
}

impl Input {
    /// Whether it can be searched for a value: not a word.
    pub fn is_number(&self) -> bool {
        !self.factors.is_empty()
    }
}

impl Headline<'_> {
    /// The headline of the design itself.
    pub fn ours(&self) -> Result<Vec<Triple>> {
        self.of(self.design, 1.0, &self.formats)
    }

    /// The headline of a design whose lasers take so many times the power.
    fn of(&self, design: &Design, lasers: f64, formats: &[Format]) -> Result<Vec<Triple>> {
        let steps = rivals::steps(&self.networks, *design.system.batch)?;
        let wanted: Vec<(Rule, Format)> = Rule::ALL
            .into_iter()
            .flat_map(|rule| formats.iter().map(move |&format| (rule, format)))
            .collect();
        let rivals = Rivals::with_lasers(design, self.devices, &wanted, lasers)?;
        triples(&rivals, &steps, &wanted, formats)
    }

    /// Every recalled number of `[system]`, the power of the lasers, the basis of the rules, and the choices.
    pub fn inputs(&self) -> Result<Vec<Input>> {
        let mut inputs = Vec::new();
        for p in self.design.document.provenance()? {
            let Some(factor) = range(&p.mark).filter(|_| p.key.starts_with("system.")) else { continue };
            let keys = TOGETHER.iter().find(|keys| keys.contains(&p.key.as_str()));
            let keys =
                keys.map_or(vec![p.key.clone()], |keys| keys.iter().map(|&key| key.to_owned()).collect());
            let factors = vec![1.0 / factor, factor];
            let Some(values) = factors
                .iter()
                .map(|&f| scaled(self.design, &p.key, f))
                .collect::<Result<Option<Vec<_>>>>()?
            else {
                continue;
            };
            inputs.push(Input { key: p.key, mark: p.mark, values, factors, keys });
        }
        let laser = ["half".to_owned(), "twice".to_owned()];
        inputs.push(Input {
            key: LASERS.to_owned(),
            mark: "R-".to_owned(),
            values: laser.to_vec(),
            factors: vec![0.5, 2.0],
            keys: Vec::new(),
        });
        let others = std::iter::once((BASIS, OWN)).chain(CHOICES.map(|choice| (choice, CHOICE)));
        for ((key, value), mark) in others {
            inputs.push(Input {
                key: key.to_owned(),
                mark: mark.to_owned(),
                values: vec![value.to_owned()],
                factors: Vec::new(),
                keys: key.split(',').map(str::to_owned).collect(),
            });
        }
        Ok(inputs)
    }

    /// Moves every input to its ends, one at a time.
    pub fn tornado(&self, progress: Progress) -> Result<Vec<Moved>> {
        let inputs = self.inputs()?;
        let bar = progress.bar(inputs.len() as u64, "moving inputs");
        let moved: Vec<Moved> = inputs
            .into_par_iter()
            .map(|input| {
                let ends = (0..input.values.len()).map(|end| self.at_end(&input, end)).collect();
                bar.inc(1);
                Moved { input, ends }
            })
            .collect();
        bar.finish_and_clear();
        Ok(moved)
    }

    fn at_end(&self, input: &Input, end: usize) -> std::result::Result<Vec<Triple>, String> {
        let text = |e: CliError| e.to_string().lines().next().unwrap_or_default().to_owned();
        if input.keys.is_empty() {
            return self.of(self.design, input.factors[end], &self.formats).map_err(text);
        }
        let changes: Vec<_> = input.keys.iter().map(|key| (key.clone(), input.values[end].clone())).collect();
        let design = self.design.with(&changes).map_err(text)?;
        self.of(&design, 1.0, &self.formats).map_err(text)
    }

    /// The factor on an input at which one of the three is as published; an error with the value at the better end of a
    /// tenth to ten times where there is none.
    pub fn needed(
        &self,
        input: &Input,
        (scope, format, figure): (Scope, Format, usize),
        published: f64,
    ) -> std::result::Result<f64, f64> {
        let value = |exponent: f64| -> Option<f64> {
            let factor = 10f64.powf(exponent);
            let triples = if input.keys.is_empty() {
                self.of(self.design, factor, &[format])
            } else {
                let text = scaled(self.design, &input.key, factor).ok().flatten()?;
                let changes: Vec<_> = input.keys.iter().map(|key| (key.clone(), text.clone())).collect();
                self.design.with(&changes).and_then(|design| self.of(&design, 1.0, &[format]))
            };
            let triples = triples.ok()?;
            triples.iter().find(|t| t.scope == scope).map(|t| (t.arithmetic[figure] / published).ln())
        };
        let Some(here) = value(0.0) else { return Err(f64::NAN) };
        let mut best = here;
        for end in [-1.0, 1.0] {
            // The widest end at which the design still stands.
            let Some((far, there)) = [1.0, 0.5, 0.2].iter().find_map(|w| Some((end * w, value(end * w)?)))
            else {
                continue;
            };
            if there.abs() < best.abs() {
                best = there;
            }
            if here.signum() == there.signum() {
                continue;
            }
            let (mut a, mut b, mut at_a) = (0.0, far, here);
            for _ in 0..14 {
                let middle = 0.5 * (a + b);
                let Some(at) = value(middle) else { break };
                if at.signum() == at_a.signum() {
                    (a, at_a) = (middle, at);
                } else {
                    b = middle;
                }
            }
            // Whole numbers move in steps: the first step beyond.
            let text = |factor: f64| {
                scaled(self.design, &input.key, factor)
                    .ok()
                    .flatten()
                    .and_then(|text| text.parse::<f64>().ok())
            };
            return match (text(10f64.powf(b)), text(1.0)) {
                (Some(there), Some(here)) if there.fract() == 0.0 && here.fract() == 0.0 => Ok(there / here),
                _ => Ok(10f64.powf(0.5 * (a + b))),
            };
        }
        Err(published * best.exp())
    }
}

fn triples(
    rivals: &Rivals,
    steps: &[Step],
    wanted: &[(Rule, Format)],
    formats: &[Format],
) -> Result<Vec<Triple>> {
    let costs = rivals.costs(&rivals.estimate(steps)?);
    let mut all = Vec::new();
    for scope in Scope::ALL {
        let ratios = rivals::ratios(&costs, scope);
        for &format in formats {
            let mean = |mean: fn(&[Ratios]) -> Ratios| {
                TRIPLE.each_ref().map(|figure| {
                    let place = wanted.iter().position(|&w| w == (figure.rule, format));
                    place.map_or(f64::NAN, |place| (figure.of)(&mean(&ratios[place])))
                })
            };
            let (arithmetic, geometric) = (mean(Ratios::mean), mean(Ratios::geometric_mean));
            all.push(Triple { scope, format, arithmetic, geometric });
        }
    }
    Ok(all)
}

/// The text of a number of the design times a factor; nothing for what is no number, or zero.
fn scaled(design: &Design, key: &str, factor: f64) -> Result<Option<String>> {
    let (number, unit) = match design.document.scalar(key) {
        Ok(Scalar::Number(number)) => (number, String::new()),
        Ok(Scalar::Quantity(number, unit)) => (number, unit),
        Ok(Scalar::Required) | Err(_) => return Ok(None),
    };
    let Some(value) = number.parse::<f64>().ok().filter(|value| *value != 0.0) else { return Ok(None) };
    let whole = unit.is_empty() && number.parse::<i64>().is_ok();
    let moved = value * factor;
    let text = if whole {
        // A step of one at least, where the factor asks for a move at all.
        let step = if factor > 1.0 { moved.round().max(value + 1.0) } else { moved.round().min(value - 1.0) };
        format!("{}", if factor == 1.0 { value } else { step.max(1.0) })
    } else {
        format!("{:?}", format!("{moved:.6e}").parse::<f64>().unwrap_or(moved))
    };
    Ok(Some(if unit.is_empty() { text } else { format!("{text} {unit}") }))
}

/// What moving all inputs does to one value, as factors down and up: moves one at a time, as if independent, added as squares of
/// logarithms. Choices are not in it.
pub fn spread(moved: &[Moved], ours: &Triple, figure: usize) -> (f64, f64) {
    let (mut down, mut up) = (0.0, 0.0);
    for m in moved.iter().filter(|m| m.input.mark != CHOICE) {
        let at = |end: &std::result::Result<Vec<Triple>, String>| {
            let triple =
                end.as_ref().ok()?.iter().find(|t| t.scope == ours.scope && t.format == ours.format)?;
            Some((triple.arithmetic[figure] / ours.arithmetic[figure]).ln())
        };
        let moves: Vec<f64> = m.ends.iter().filter_map(at).collect();
        let lowest = moves.iter().copied().fold(0.0, f64::min);
        let highest = moves.iter().copied().fold(0.0, f64::max);
        down += lowest * lowest;
        up += highest * highest;
    }
    ((-f64::sqrt(down)).exp(), f64::sqrt(up).exp())
}
