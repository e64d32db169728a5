//! Why a fit is refused.

use thiserror::Error;

/// Why data and model give no parameters.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FitError {
    /// The question makes no sense.
    #[error("{0}")]
    Question(String),
    /// Not enough data for so many parameters.
    #[error(
        "{data} data cannot determine {parameters} parameters: more data, or fewer parameters, are needed"
    )]
    TooFew {
        /// Number of data.
        data: usize,
        /// Number of parameters.
        parameters: usize,
    },
    /// The data say nothing of these parameters, or only of a combination of them.
    #[error("the data cannot determine {}: {reason}", quoted(.parameters))]
    Undetermined {
        /// Their names.
        parameters: Vec<String>,
        /// Why.
        reason: String,
    },
    /// No start led to a minimum.
    #[error(
        "no minimum was found: {0}; is it the file of such a device, and the channel right? A narrower band, or values that are known, may help"
    )]
    NoMinimum(String),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}
