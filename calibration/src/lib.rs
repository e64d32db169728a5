//! Measurements in, device parameters out: the inverse of `mirage-devices`.
//!
//! ```
//! use mirage_calibration::{AdcSurvey, CouplerRepeatability, Spectrum, guide_loss};
//!
//! let survey = AdcSurvey::read(include_str!("../../data/adc-survey/adc_survey_2025.csv"), "adc_survey_2025.csv")?;
//! let law = survey.law(1e9)?;
//! // An 8-bit conversion at 10 GS/s, and what the law makes of it in watts.
//! let power = law.energy(8.0) * 10e9;
//! assert!(power > 1e-3 && power < 20e-3);
//!
//! let short = Spectrum::read(include_str!("../../data/openebl-2024-10/waveguide_0um.csv"), "waveguide_0um.csv")?;
//! let long = Spectrum::read(include_str!("../../data/openebl-2024-10/waveguide_34909um.csv"), "waveguide_34909um.csv")?;
//! let loss = guide_loss(&short, &long, 34_909e-6, -55.0, CouplerRepeatability { sigma_db: 0.3 })?;
//! assert!(loss.lower < loss.db_per_cm && loss.db_per_cm < loss.upper);
//! # Ok::<(), mirage_calibration::CalibrationError>(())
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `adc` | [`AdcSurvey`] and the energy law fitted to it |
//! | `guide` | [`guide_loss`]: propagation loss from two guides |
//! | `table` | CSV columns of numbers, errors with line numbers |
//!
//! Fits of rings and interferometers, and trimming a unit's phases, will live here too.

mod adc;
pub mod fit;
mod guide;
mod table;

pub use adc::{AdcLaw, AdcSurvey, Converter};
pub use guide::{CouplerRepeatability, GuideLoss, Spectrum, guide_loss};

use thiserror::Error;

/// Why a measurement cannot be used.
#[derive(Debug, Error)]
pub enum CalibrationError {
    /// A line of a file is wrong.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file.
        file: String,
        /// Line number, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The file as a whole is wrong.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// There are too few usable data.
    #[error("{0}")]
    TooFew(String),
}
