//! What can be fitted: one entry for each kind of measurement.

#[cfg(test)]
mod check_tests;
mod checks;
mod converters;
mod coupler;
mod coupler_model;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod curve_tests;
mod cutback;
mod data;
mod envelope;
mod fragment;
mod fringes;
mod given;
mod heaters;
mod mzi;
mod names;
mod outcome;
mod photodiode;
mod reference;
mod resonances;
mod ring;
mod ring_fragment;
mod ring_model;
mod ring_regime;
mod shifter;
mod spread;
mod step;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
mod trace;
mod variation;

pub use checks::different;
pub use fragment::{Condition, Fragment, Line, Measured, Rule, Section};
pub use given::{Form, Given, Setting};
pub use outcome::{Outcome, Series, Table};
pub use spread::{FEWEST, spread};

use crate::CalibrationError;

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name, for messages and sources.
    pub file: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Whether a kind makes one fit of each file, or one of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Each file is a device.
    Each,
    /// All files belong to one question.
    Together,
}

/// Fits files, with the spectrum of a reference structure if there is one.
pub type Run = fn(&[Input], Option<&Input>, &Given) -> Result<Outcome, CalibrationError>;

/// A kind of measurement.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures, in one line.
    pub summary: &'static str,
    /// One fit of each file, or of all.
    pub files: Files,
    /// Whether the spectrum of a reference structure helps.
    pub takes_reference: bool,
    /// What may be set.
    pub settings: &'static [Setting],
    /// Fits the files; with [`Files::Each`] it gets one.
    pub run: Run,
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    envelope::KIND,
    cutback::WAVEGUIDE,
    cutback::SERIES,
    mzi::KIND,
    ring::KIND,
    coupler::KIND,
    shifter::KIND,
    shifter::SPECTRA,
    step::KIND,
    heaters::KIND,
    photodiode::KIND,
    converters::KIND,
    variation::KIND,
];

impl Kind {
    /// The kind of that name.
    ///
    /// # Errors
    /// An unknown name, with the one that is closest.
    pub fn named(name: &str) -> Result<&'static Kind, CalibrationError> {
        KINDS.iter().find(|k| k.name == name).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|k| k.name).collect();
            let near = mirage_design::hint(name, names.iter().copied());
            CalibrationError::Setting(format!(
                "`{name}` is no kind of measurement: {}{near}",
                names.join(", ")
            ))
        })
    }

    /// Fits the files.
    ///
    /// # Errors
    /// Files that cannot be read, settings that do not fit, and the refusals of [`crate::fit::FitError`].
    pub fn fit(
        &self,
        inputs: &[Input],
        reference: Option<&Input>,
        given: &Given,
    ) -> Result<Outcome, CalibrationError> {
        different(inputs.iter().chain(reference))?;
        let mut outcome = (self.run)(inputs, reference, given)?;
        self.name.clone_into(&mut outcome.fit.kind);
        // What is to be known of the numbers goes where they go.
        outcome.fragment.remarks.clone_from(&outcome.fit.notes);
        Ok(outcome)
    }
}
