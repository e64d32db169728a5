//! A design file as a whole: the sections of all crates put together.

use std::path::{Path, PathBuf};

use mirage_arithmetic::{ArithmeticSection, GemmConfig, Placement, ResidueChannel};
use mirage_design::{Document, Value};
use mirage_devices::{DevicesSection, Mdpu};
use mirage_system::System;
use mirage_training::{TrainConfig, TrainingSection};

use crate::error::{CliError, Result, read_text};
use crate::folder::HEATERS;
use crate::study::devices::sha256;

/// The built-in design: one file a section, put together here.
pub const DEFAULT: &str = concat!(
    "# The built-in design of the Mirage toolkit. Every value may be changed; `mirage design check FILE` says what is wrong.\n",
    "# Marks: P read in the paper, M measured, S secondary source, R+ recalled and consistent, R recalled, R- a guess, D derived,\n",
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

/// The file of heaters that a design names, as it was read.
#[derive(Debug, Clone)]
pub struct HeaterFile {
    pub name: String,
    pub text: String,
}

/// A design that was read and checked.
#[derive(Debug)]
pub struct Design {
    pub document: Document,
    /// Where files that the design names are looked for.
    folder: PathBuf,
    pub heaters: Option<HeaterFile>,
    /// The text as a folder of results keeps it, where the file of heaters has a name of its own.
    pub kept: String,
    pub arithmetic: ArithmeticSection,
    pub devices: DevicesSection,
    pub system: System,
    pub training: TrainingSection,
    pub run: RunSection,
}

impl Design {
    /// Reads and checks a file, or the built-in design.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let (text, file, folder) = match path {
            None => (DEFAULT.to_owned(), "built-in design".to_owned(), PathBuf::new()),
            Some(path) => {
                let text = read_text(path, "a design file (TOML)")?;
                (text, path.display().to_string(), path.parent().unwrap_or(Path::new("")).to_owned())
            }
        };
        Self::from_document(Document::new(text, file)?, folder, None)
    }

    /// Reads and checks a file, or the built-in design, and changes what `--set KEY=VALUE` says.
    pub fn with_set(path: Option<&Path>, set: &[String]) -> Result<Self> {
        let design = Self::read(path)?;
        let changes = set.iter().map(|text| match text.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => Err(CliError::message(format!("--set {text}: there is no `=`; write KEY=VALUE"))),
        });
        let changes = changes.collect::<Result<Vec<_>>>()?;
        if changes.is_empty() { Ok(design) } else { design.with(&changes) }
    }

    /// This design with other values at some keys, read and checked as if they had been written in the file.
    pub fn with(&self, changes: &[(String, String)]) -> Result<Self> {
        let mut document = self.document.clone();
        for (key, value) in changes {
            document = document.with_value(key, value)?;
        }
        Self::from_document(document, self.folder.clone(), self.heaters.as_ref()).map_err(|e| {
            let values = changes.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>();
            let what = match &e {
                // The line that would be shown is not the user's: the value came from elsewhere.
                CliError::Design(e) if e.key().is_some_and(|key| changes.iter().any(|c| c.0 == key)) => {
                    let help = e.help().map_or(String::new(), |help| format!("\nhelp: {help}"));
                    let key = e.key().filter(|_| changes.len() > 1);
                    format!("{}{}{help}", key.map_or(String::new(), |key| format!("{key}: ")), e.message())
                }
                e => e.to_string(),
            };
            CliError::message(format!("with {}: {what}", values.join(", ")))
        })
    }

    /// `known` is the file of heaters if it was read before: a run reads it once.
    fn from_document(document: Document, folder: PathBuf, known: Option<&HeaterFile>) -> Result<Self> {
        document.only_sections(&["arithmetic", "devices", "system", "training", "run"])?;
        let arithmetic: ArithmeticSection = document.section("arithmetic")?;
        let mut heaters = None;
        let open = |name: &str| {
            let text = match known.filter(|known| known.name == name) {
                Some(known) => known.text.clone(),
                None => {
                    let path = folder.join(name);
                    read_text(&path, "a table of heaters (CSV)").map_err(|e| e.to_string())?
                }
            };
            heaters = Some(HeaterFile { name: name.to_owned(), text: text.clone() });
            Ok(text)
        };
        let devices = DevicesSection::read_with(&document, open)?;
        let kept = match devices.heater_file() {
            Some((key, _)) => document.with_value(key, HEATERS)?.text().to_owned(),
            None => document.text().to_owned(),
        };
        let system: System = document.section("system")?;
        let training: TrainingSection = document.section("training")?;
        let run: RunSection = document.section("run")?;
        document.uncertain()?;
        arithmetic.check().map_err(|e| document.locate(e))?;
        system.check().map_err(|e| document.locate(e))?;
        training.check().map_err(|e| document.locate(e))?;
        for name in run.networks.iter() {
            if let Err(e) = mirage_system::builtin(name) {
                return Err(document.locate(run.networks.invalid(format!("cannot be used: {e}"))).into());
            }
        }
        let design = Self { document, folder, heaters, kept, arithmetic, devices, system, training, run };
        design.check_together()?;
        Ok(design)
    }

    /// Conditions between sections, so that a design that cannot run is refused before any work.
    fn check_together(&self) -> Result<()> {
        let gemm = self.gemm(0)?;
        let (own, shared) = (&self.devices.shifter.program_time, &self.system.program_time);
        if own.si() != shared.si() {
            let reason =
                "differs from system.program_time: the shifters settle in the time that the chip gives them";
            return Err(self.document.locate(own.invalid(reason)).into());
        }
        let parameters = self.devices.design_point(gemm.format.group).parameters;
        for &modulus in gemm.moduli.as_slice() {
            if let Err(e) = Mdpu::new(&parameters, modulus) {
                return Err(CliError::message(format!("{}: {e}", self.document.file())));
            }
        }
        if self.training.sweep.is_some() {
            self.sweep(&gemm, None, &self.train_config(&self.training.network, None))?;
        }
        self.devices.time_parameters(self.system.clock.si()).map_err(|e| {
            self.document.locate(self.system.clock.invalid(format!("does not fit [devices.time]: {e}")))
        })?;
        self.system.check_for(gemm.format).map_err(|e| self.document.locate(e))?;
        Ok(())
    }

    /// SHA-256 of all that the design says: its text as it is kept, and the file of heaters if there is one.
    pub fn sha256(&self) -> String {
        let heaters = self.heaters.as_ref().map_or("", |file| &file.text);
        sha256([self.kept.as_bytes(), heaters.as_bytes()].concat().as_slice())
    }

    /// Seed of the command line, or the design's.
    pub fn seed(&self, given: Option<u64>) -> u64 {
        given.unwrap_or(*self.run.seed)
    }

    /// Settings of training `network`: the seed of the command line, the section's own, or the run's.
    pub fn train_config(&self, network: &str, given: Option<u64>) -> TrainConfig {
        let config = self.training.config_for(network, *self.run.seed);
        TrainConfig { seed: given.unwrap_or(config.seed), ..config }
    }

    /// The sweep over error rates that the design describes, with the devices' own channel if it is known.
    pub fn sweep(
        &self,
        gemm: &GemmConfig,
        own: Option<ResidueChannel>,
        config: &TrainConfig,
    ) -> Result<mirage_training::Sweep> {
        let section = self.training.sweep.as_ref().ok_or_else(|| {
            CliError::message(format!(
                "{}: a section [training.sweep] is needed, for its slip code and redundant moduli; `mirage design show` prints \
                 the built-in one",
                self.document.file()
            ))
        })?;
        section.sweep(gemm, own, config).map_err(|e| self.document.locate(e).into())
    }

    /// The products' configuration.
    pub fn gemm(&self, seed: u64) -> Result<GemmConfig> {
        let placement = Placement { units: *self.system.units, rows: *self.system.rows };
        Ok(self.arithmetic.config(placement, seed).map_err(|e| self.document.locate(e))?)
    }
}
