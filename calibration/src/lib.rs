//! Measurements in, device parameters out: the inverse of `mirage-devices`.
//!
//! ```
//! use mirage_calibration::kinds::{Given, Input, Kind};
//!
//! let file = |name: &str, bytes: &[u8]| Input { file: name.into(), bytes: bytes.to_vec() };
//! let guides = [
//!     file("waveguide_0um.csv", include_bytes!("../../data/openebl-2024-10/waveguide_0um.csv")),
//!     file("waveguide_34909um.csv", include_bytes!("../../data/openebl-2024-10/waveguide_34909um.csv")),
//! ];
//! let kind = Kind::named("waveguide")?;
//! let given = Given::read(&["repeatability=0.3dB"], kind.settings)?;
//! let loss = kind.fit(&guides, None, &given)?.fit.parameters[0].clone();
//! assert!(loss.unit == "dB/cm" && loss.value > 1.0 && loss.value < 2.5, "{loss:?}");
//! assert!(loss.lower.unwrap() < loss.value && loss.value < loss.upper.unwrap());
//!
//! let survey = include_str!("../../data/adc-survey/adc_survey_2025.csv");
//! let law = mirage_calibration::AdcSurvey::read(survey, "adc_survey_2025.csv")?.law(1e9)?;
//! // An 8-bit conversion at 10 GS/s, and what the law makes of it in watts.
//! let power = law.energy(8.0) * 10e9;
//! assert!(power > 1e-3 && power < 20e-3);
//! # Ok::<(), mirage_calibration::CalibrationError>(())
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`fit`] | the fit behind all kinds: search, Levenberg-Marquardt, errors, checks |
//! | [`kinds`] | one entry for each kind of measurement: what it reads, may be told, and gives |
//! | `spectrum` | [`Spectrum`]: CSV and MATLAB 5 files of measured spectra |
//! | `adc` | [`AdcSurvey`] and the energy law fitted to it |
//! | [`trim`] | trimming loops over a sampled unit, and following its drift |
//! | `quantile` | quantile regression |
//! | `table` | CSV columns of numbers, errors with line numbers |

mod adc;
mod draws;
pub mod fit;
pub mod kinds;
mod quantile;
mod spectrum;
mod table;
pub mod trim;

pub use adc::{AdcLaw, AdcSurvey, Converter};
pub use draws::value_draws;
pub use spectrum::{Channel, Spectrum};

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
    /// The models refuse.
    #[error(transparent)]
    Device(#[from] mirage_devices::DeviceError),
    /// There are too few usable data.
    #[error("{0}")]
    TooFew(String),
    /// Something was set that does not fit.
    #[error("{0}")]
    Setting(String),
    /// The data are not what they are said to be.
    #[error("{what}: {reason}")]
    Refused {
        /// The data.
        what: String,
        /// Why.
        reason: String,
    },
    /// The fit is refused.
    #[error("{what}: {error}")]
    Fit {
        /// The data.
        what: String,
        /// Why.
        error: fit::FitError,
    },
}

impl CalibrationError {
    /// A refusal of the fit of these data.
    pub(crate) fn fit(what: &str, error: fit::FitError) -> Self {
        Self::Fit { what: what.into(), error }
    }
}
