//! Where training breaks: runs over error shapes, protections, rates and seeds.

use std::fmt;
use std::str::FromStr;

use mirage_arithmetic::{GemmConfig, GemmError, Moduli, Protection, RedundantCode, ResidueChannel, SlipCode};
use mirage_design::{DesignError, Value};
use serde::Deserialize;

use crate::TrainConfig;
use crate::arithmetic::{Arithmetic, RunError, recoded};
use crate::error::did_you_mean;
use crate::plan::Plan;
use crate::record::Label;

/// How errors are distributed over the wrong residues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorShape {
    /// One level up or down.
    Slip,
    /// Any wrong residue.
    Uniform,
    /// As in the design's own channel, scaled to the rate.
    Design,
}

/// What a run of the sweep does about errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SweepProtection {
    /// Nothing.
    None,
    /// The range check, and reading again.
    ReadAgain,
    /// The same, with residues laid on levels by a slip code.
    SlipCode,
    /// The same in the natural code with one redundant modulus, which sees every single wrong residue.
    Redundant,
    /// Decoding by two or more redundant moduli, which puts a single wrong residue right; what it cannot decode is read again.
    Correct,
}

impl ErrorShape {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Slip, Self::Uniform, Self::Design];

    fn text(self) -> &'static str {
        match self {
            Self::Slip => "slip",
            Self::Uniform => "uniform",
            Self::Design => "design",
        }
    }
}

impl SweepProtection {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::ReadAgain, Self::SlipCode, Self::Redundant, Self::Correct];

    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ReadAgain => "read-again",
            Self::SlipCode => "read-again+slip-code",
            Self::Redundant => "read-again+redundant",
            Self::Correct => "correct",
        }
    }
}

impl fmt::Display for ErrorShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl fmt::Display for SweepProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl FromStr for ErrorShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(text, "error shape", &Self::ALL, Self::text)
    }
}

impl FromStr for SweepProtection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        named(text, "protection", &Self::ALL, Self::text)
    }
}

fn named<T: Copy>(text: &str, kind: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let names: Vec<&str> = all.iter().map(|&item| name(item)).collect();
    let found = all.iter().find(|&&item| name(item) == text).copied();
    found.ok_or_else(|| {
        let hint = did_you_mean(text, names.iter().copied());
        format!("\"{text}\" is no {kind}: use {}{hint}", names.join(", "))
    })
}

/// What to sweep.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Shapes of errors; `Design` needs `design`.
    pub shapes: Vec<ErrorShape>,
    /// Protections.
    pub protections: Vec<SweepProtection>,
    /// Rates of misreading per residue.
    pub rates: Vec<f64>,
    /// Seeds; each decides initial weights, order of images and errors.
    pub seeds: Vec<u64>,
    /// Moduli, format and placement; its code is that of `design`, its protection is not used.
    pub base: GemmConfig,
    /// The code that [`SweepProtection::SlipCode`] uses.
    pub code: SlipCode,
    /// Moduli that come to those of `base`: the first one for [`SweepProtection::Redundant`], all for
    /// [`SweepProtection::Correct`].
    pub redundant: Vec<u32>,
    /// The most repeats of a read, where reads are repeated.
    pub repeats: u32,
    /// The design's own channel.
    pub design: Option<ResidueChannel>,
    /// Settings of each run; its seed is not used.
    pub config: TrainConfig,
}

impl Sweep {
    /// The runs: shape by shape, in each protection by protection, in each rate by rate, in each seed by seed;
    /// none for the protections of [`Self::left_out`], nor for a shape `Design` without a channel.
    ///
    /// # Errors
    /// When a rate is no probability, the channel cannot be scaled to it, or redundant moduli do not fit.
    pub fn plans(&self) -> Result<Vec<Plan>, RunError> {
        let mut plans = Vec::new();
        for &shape in &self.shapes {
            for &protection in self.protections.iter().filter(|p| !self.is_left_out(shape, **p)) {
                for &rate in &self.rates {
                    let Some(arithmetic) = self.arithmetic(shape, protection, rate)? else { continue };
                    plans.extend(
                        self.seeds.iter().map(|&seed| self.plan(&arithmetic, shape, protection, rate, seed)),
                    );
                }
            }
        }
        Ok(plans)
    }

    /// Protections that give no runs with some shape: uniform errors with a slip code are the same errors as without one, and
    /// the design's own channel has no redundant moduli.
    pub fn left_out(&self) -> impl Iterator<Item = SweepProtection> {
        let shapes = |protection| self.shapes.iter().any(|&shape| self.is_left_out(shape, protection));
        self.protections.iter().copied().filter(move |&protection| shapes(protection))
    }

    fn is_left_out(&self, shape: ErrorShape, protection: SweepProtection) -> bool {
        match (shape, protection) {
            (ErrorShape::Uniform, SweepProtection::SlipCode) => {
                self.protections.contains(&SweepProtection::ReadAgain)
            }
            (ErrorShape::Design, SweepProtection::Redundant | SweepProtection::Correct) => true,
            _ => false,
        }
    }

    /// One run for each seed without errors: what the others are to be compared with.
    pub fn baselines(&self) -> Vec<Plan> {
        let run = |&seed| {
            let config = TrainConfig { seed, ..self.config.clone() };
            Plan::new(Arithmetic::Bfp(self.base.clone()), "", config)
        };
        self.seeds.iter().map(run).collect()
    }

    fn plan(
        &self,
        arithmetic: &Arithmetic,
        shape: ErrorShape,
        protection: SweepProtection,
        rate: f64,
        seed: u64,
    ) -> Plan {
        let label = Label {
            arithmetic: arithmetic.name().into(),
            protection: protection.to_string(),
            error_shape: shape.to_string(),
            rate: Some(rate),
            seed,
        };
        let config = TrainConfig { seed, ..self.config.clone() };
        Plan { label, arithmetic: arithmetic.clone(), config, weights: None, checkpoints: None }
    }

    fn arithmetic(
        &self,
        shape: ErrorShape,
        protection: SweepProtection,
        rate: f64,
    ) -> Result<Option<Arithmetic>, RunError> {
        let config = self.protected(protection)?;
        let (moduli, code) = (&config.moduli, &config.code);
        let channel = match (shape, &self.design) {
            (ErrorShape::Slip, _) => ResidueChannel::slip(moduli, code, rate)?,
            (ErrorShape::Uniform, _) => ResidueChannel::uniform(moduli, rate)?,
            (ErrorShape::Design, Some(design)) => {
                recoded(design, moduli, &self.base.code, code)?.scaled(rate)?
            }
            (ErrorShape::Design, None) => return Ok(None),
        };
        Ok(Some(Arithmetic::Mirage(config, Box::new(channel))))
    }

    /// The configuration of a protection.
    ///
    /// # Errors
    /// When the redundant moduli do not fit, or are too few.
    pub fn protected(&self, protection: SweepProtection) -> Result<GemmConfig, RunError> {
        let repeats = self.repeats;
        let (more, needed) = match protection {
            SweepProtection::Redundant => (self.redundant.len().min(1), 1),
            SweepProtection::Correct => (self.redundant.len(), 2),
            _ => (0, 0),
        };
        if more < needed {
            return Err(RunError::Redundant { protection: protection.text(), needed, given: more });
        }
        let own = self.base.moduli.as_slice();
        let moduli = Moduli::new(&[own, &self.redundant[..more]].concat()).map_err(GemmError::from)?;
        if more > 0 {
            RedundantCode::new(own, &self.redundant[..more], self.base.format.bound())
                .map_err(GemmError::from)?;
        }
        let natural = SlipCode::natural(&moduli);
        let (code, protection) = match protection {
            SweepProtection::None => (natural, Protection::None),
            SweepProtection::ReadAgain | SweepProtection::Redundant => {
                (natural, Protection::ReadAgain { repeats })
            }
            SweepProtection::SlipCode => (self.code.clone(), Protection::ReadAgain { repeats }),
            SweepProtection::Correct => (natural, Protection::Correct { redundant: more, repeats }),
        };
        Ok(GemmConfig { moduli, code, protection, ..self.base.clone() })
    }
}

/// `[training.sweep]` as it stands in the design file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSection {
    /// `slip`, `uniform`, `design`.
    pub shapes: Value<Vec<String>>,
    /// `none`, `read-again`, `read-again+slip-code`, `read-again+redundant`, `correct`.
    pub protections: Value<Vec<String>>,
    /// Rates of misreading per residue, above 0 and below 1.
    pub rates: Value<Vec<f64>>,
    /// How many seeds, counted up from the run's.
    pub seeds: Value<u32>,
    /// Epochs of each run.
    pub epochs: Value<u32>,
    /// Residue change of a one-level slip, one for each modulus, of the slip code.
    pub slip_code: Value<Vec<u32>>,
    /// Moduli that come to the others where redundancy protects: none smaller than the others; two to correct.
    pub redundant: Value<Vec<u32>>,
    /// The most repeats of a read.
    pub repeats: Value<u32>,
}

impl SweepSection {
    /// Checks every value on its own; that the slip code fits the moduli is checked by [`Self::sweep`].
    ///
    /// # Errors
    /// Names the value that is wrong, and what it may be.
    pub fn check(&self) -> Result<(), DesignError> {
        self.shapes()?;
        self.protections()?;
        each_once(&self.rates, "rate", |rate| rate.to_string())?;
        if let Some(rate) = self.rates.iter().find(|rate| !(**rate > 0.0 && **rate < 1.0)) {
            return Err(self.rates.invalid(format!("holds {rate}; a rate must be above 0 and below 1")));
        }
        self.seeds.within(1, 1000)?;
        self.epochs.within(1, 10_000)?;
        self.repeats.within(1, 255)
    }

    /// The sweep on the given arithmetic and settings, with seeds counted up from that of `config`.
    ///
    /// # Errors
    /// As [`Self::check`], and when the slip code does not fit the moduli.
    pub fn sweep(
        &self,
        base: &GemmConfig,
        design: Option<ResidueChannel>,
        config: &TrainConfig,
    ) -> Result<Sweep, DesignError> {
        self.check()?;
        let code = SlipCode::with_changes(&base.moduli, &self.slip_code)
            .map_err(|error| self.slip_code.invalid(format!("cannot be used: {error}")))?;
        let sweep = Sweep {
            shapes: self.shapes()?,
            protections: self.protections()?,
            rates: self.rates.get().clone(),
            seeds: (0..u64::from(*self.seeds)).map(|offset| config.seed.wrapping_add(offset)).collect(),
            base: base.clone(),
            code,
            redundant: self.redundant.get().clone(),
            repeats: *self.repeats,
            design,
            config: TrainConfig { epochs: *self.epochs, ..config.clone() },
        };
        // What is not used need not fit: a design may have other moduli than the usual ones.
        for &protection in &sweep.protections {
            sweep
                .protected(protection)
                .map_err(|e| self.redundant.invalid(format!("cannot be used: {e}")))?;
        }
        Ok(sweep)
    }

    fn shapes(&self) -> Result<Vec<ErrorShape>, DesignError> {
        parse(&self.shapes)
    }

    fn protections(&self) -> Result<Vec<SweepProtection>, DesignError> {
        parse(&self.protections)
    }
}

fn parse<T: FromStr<Err = String>>(value: &Value<Vec<String>>) -> Result<Vec<T>, DesignError> {
    each_once(value, "name", |text| format!("\"{text}\""))?;
    let parsed: Result<Vec<T>, String> = value.iter().map(|text| text.parse()).collect();
    parsed.map_err(|error| value.invalid(format!("cannot be used: {error}")))
}

/// A list that is swept: empty, there would be no sweep; twice the same would count the same runs twice.
fn each_once<T: PartialEq>(
    value: &Value<Vec<T>>,
    what: &str,
    show: impl Fn(&T) -> String,
) -> Result<(), DesignError> {
    if value.is_empty() {
        return Err(value
            .invalid(format!("must hold at least one {what}; without [training.sweep] there is no sweep")));
    }
    let twice = value.iter().enumerate().find(|(index, item)| value[..*index].contains(item));
    match twice {
        Some((_, item)) => Err(value.invalid(format!("holds {} twice", show(item)))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
