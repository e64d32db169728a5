//! Where training breaks: runs over error shapes, protections, rates and seeds.

use std::fmt;
use std::str::FromStr;

use mirage_arithmetic::{GemmConfig, Protection, ResidueChannel, SlipCode};
use mirage_design::{DesignError, Value};
use serde::Deserialize;

use crate::TrainConfig;
use crate::arithmetic::{Arithmetic, RunError, recoded};
use crate::config::within;
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
    pub const ALL: [Self; 3] = [Self::None, Self::ReadAgain, Self::SlipCode];

    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ReadAgain => "read-again",
            Self::SlipCode => "read-again+slip-code",
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
    /// The most repeats of a read, where reads are repeated.
    pub repeats: u32,
    /// The design's own channel.
    pub design: Option<ResidueChannel>,
    /// Settings of each run; its seed is not used.
    pub config: TrainConfig,
}

impl Sweep {
    /// The runs: shape by shape, in each protection by protection, in each rate by rate, in each seed by seed.
    /// A shape `Design` without a channel gives no runs; nor do uniform errors with a slip code, which are the same
    /// errors as without one.
    ///
    /// # Errors
    /// When a rate is no probability, or the channel cannot be scaled to it.
    pub fn plans(&self) -> Result<Vec<Plan>, RunError> {
        let mut plans = Vec::new();
        for &shape in &self.shapes {
            for &protection in &self.protections {
                let same = protection == SweepProtection::SlipCode
                    && self.protections.contains(&SweepProtection::ReadAgain);
                if shape == ErrorShape::Uniform && same {
                    continue;
                }
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
        Plan { label, arithmetic: arithmetic.clone(), config, checkpoints: None }
    }

    fn arithmetic(
        &self,
        shape: ErrorShape,
        protection: SweepProtection,
        rate: f64,
    ) -> Result<Option<Arithmetic>, RunError> {
        let moduli = &self.base.moduli;
        let code = match protection {
            SweepProtection::SlipCode => self.code.clone(),
            SweepProtection::None | SweepProtection::ReadAgain => SlipCode::natural(moduli),
        };
        let channel = match (shape, &self.design) {
            (ErrorShape::Slip, _) => ResidueChannel::slip(moduli, &code, rate)?,
            (ErrorShape::Uniform, _) => ResidueChannel::uniform(moduli, rate)?,
            (ErrorShape::Design, Some(design)) => {
                recoded(design, moduli, &self.base.code, &code)?.scaled(rate)?
            }
            (ErrorShape::Design, None) => return Ok(None),
        };
        let protection = match protection {
            SweepProtection::None => Protection::None,
            _ => Protection::ReadAgain { repeats: self.repeats },
        };
        let config = GemmConfig { code, protection, ..self.base.clone() };
        Ok(Some(Arithmetic::Mirage(config, Box::new(channel))))
    }
}

/// `[training.sweep]` as it stands in the design file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSection {
    /// `slip`, `uniform`, `design`.
    pub shapes: Value<Vec<String>>,
    /// `none`, `read-again`, `read-again+slip-code`.
    pub protections: Value<Vec<String>>,
    /// Rates of misreading per residue, above 0 and below 1.
    pub rates: Value<Vec<f64>>,
    /// How many seeds, counted up from the run's.
    pub seeds: Value<u32>,
    /// Epochs of each run.
    pub epochs: Value<u32>,
    /// Residue change of a one-level slip, one for each modulus, of the slip code.
    pub slip_code: Value<Vec<u32>>,
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
        within(&self.seeds, 1, 1000)?;
        within(&self.epochs, 1, 10_000)?;
        within(&self.repeats, 1, 255)
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
        Ok(Sweep {
            shapes: self.shapes()?,
            protections: self.protections()?,
            rates: self.rates.get().clone(),
            seeds: (0..u64::from(*self.seeds)).map(|offset| config.seed.wrapping_add(offset)).collect(),
            base: base.clone(),
            code,
            repeats: *self.repeats,
            design,
            config: TrainConfig { epochs: *self.epochs, ..config.clone() },
        })
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
