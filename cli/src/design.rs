//! A design file as a whole: the sections of all crates put together.

use std::path::Path;

use mirage_arithmetic::{ArithmeticSection, GemmConfig, Placement};
use mirage_design::{Document, Value};
use mirage_devices::DevicesSection;
use mirage_system::System;
use mirage_training::TrainingSection;

use crate::error::{CliError, Result};

/// The built-in design: one file a section, put together here.
pub const DEFAULT: &str = concat!(
    "# The built-in design of the Mirage toolkit. Every value may be changed; `mirage design check FILE` says what is wrong.\n",
    "# Marks: P read in the paper, S secondary source, R+ recalled and consistent, R recalled, R- a guess, D derived,\n",
    "# choice a decision of this design, required to be solved for.\n\n",
    include_str!("../../data/designs/parts/run.toml"),
    "\n",
    include_str!("../../data/designs/parts/arithmetic.toml"),
    "\n",
    include_str!("../../data/designs/parts/devices.toml"),
    "\n",
    include_str!("../../data/designs/parts/system.toml"),
    "\n",
    include_str!("../../data/designs/parts/training.toml"),
);

/// The design file's `[run]`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSection {
    /// Seed of every random draw, unless given on the command line.
    pub seed: Value<u64>,
    /// Networks whose training step is simulated.
    pub networks: Value<Vec<String>>,
}

/// A design that was read and checked.
#[derive(Debug)]
pub struct Design {
    pub document: Document,
    pub arithmetic: ArithmeticSection,
    pub devices: DevicesSection,
    pub system: System,
    pub training: TrainingSection,
    pub run: RunSection,
}

impl Design {
    /// Reads and checks a file, or the built-in design.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        match path {
            None => Self::parse(DEFAULT, "built-in design"),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| CliError::read(path, e))?;
                Self::parse(&text, &path.display().to_string())
            }
        }
    }

    fn parse(text: &str, file: &str) -> Result<Self> {
        let document = Document::new(text, file)?;
        document.only_sections(&["arithmetic", "devices", "system", "training", "run"])?;
        let arithmetic: ArithmeticSection = document.section("arithmetic")?;
        let devices: DevicesSection = document.section("devices")?;
        let system: System = document.section("system")?;
        let training: TrainingSection = document.section("training")?;
        let run: RunSection = document.section("run")?;
        arithmetic.check().map_err(|e| document.locate(e))?;
        devices.check().map_err(|e| document.locate(e))?;
        system.check().map_err(|e| document.locate(e))?;
        training.check().map_err(|e| document.locate(e))?;
        for name in run.networks.iter() {
            if let Err(e) = mirage_system::builtin(name) {
                return Err(document.locate(run.networks.invalid(format!("cannot be used: {e}"))).into());
            }
        }
        Ok(Self { document, arithmetic, devices, system, training, run })
    }

    /// Seed of the command line, or the design's.
    pub fn seed(&self, given: Option<u64>) -> u64 {
        given.unwrap_or(*self.run.seed)
    }

    /// The products' configuration.
    pub fn gemm(&self, seed: u64) -> Result<GemmConfig> {
        let placement = Placement { units: *self.system.units, rows: *self.system.rows };
        Ok(self.arithmetic.config(placement, seed).map_err(|e| self.document.locate(e))?)
    }
}
