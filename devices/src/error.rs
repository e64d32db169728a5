//! What can go wrong.

use thiserror::Error;

/// Errors of the device models.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// A parameter is outside its physical range.
    #[error("device parameter {name} = {value}: {problem}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Its value, in SI units or dB.
        value: f64,
        /// What is wrong.
        problem: String,
    },
    /// A modulus that the units cannot have.
    #[error("modulus {0}: the optical units are modelled for moduli 2 to 512")]
    Modulus(u32),
    /// Operand probabilities of the wrong length or not summing to one.
    #[error("operand distribution '{name}', modulus {modulus}: {problem}")]
    Operands {
        /// Name of the distribution.
        name: String,
        /// The modulus.
        modulus: u32,
        /// What is wrong.
        problem: String,
    },
    /// The driver cannot reach the largest level.
    #[error(
        "modulus {modulus}: the largest level needs {needed:.3} V at the phase shifters, the driver gives {available:.3} V; \
         lengthen the unit shifter, or take centred encoding"
    )]
    DriveRange {
        /// The modulus.
        modulus: u32,
        /// Voltage needed.
        needed: f64,
        /// Voltage at hand.
        available: f64,
    },
    /// The target error rate cannot be reached by more light.
    #[error(
        "error rate {target:e} per residue is unreachable: at {power:e} W per laser the rate is still {floor:e}"
    )]
    Unreachable {
        /// The target.
        target: f64,
        /// The rate that remains.
        floor: f64,
        /// The laser power at which it remains, W.
        power: f64,
    },
    /// The target error rate cannot be reached with the light that the design allows.
    #[error("{0}")]
    OutOfReach(Box<crate::Obstacle>),
    /// A required tolerance has no value in its search range that keeps the power penalty.
    #[error("no value of {name} between {low} and {high} keeps the laser power penalty below {penalty} dB")]
    Tolerance {
        /// Name of the parameter.
        name: &'static str,
        /// Loose end of the search range.
        low: f64,
        /// Tight end.
        high: f64,
        /// Allowed penalty, dB.
        penalty: f64,
    },
    /// The caller asked to stop.
    #[error("stopped on request")]
    Cancelled,
    /// A stored item does not belong to the study.
    #[error(
        "stored item {index} of the {study} study has {found} numbers; the study has {count} items of {width} numbers: \
         it belongs to another question"
    )]
    Item {
        /// The study.
        study: &'static str,
        /// Number of the item.
        index: usize,
        /// Its length.
        found: usize,
        /// Length that it should have.
        width: usize,
        /// Items of the study.
        count: usize,
    },
    /// An item could not be stored.
    #[error("storing a finished item: {0}")]
    Store(#[from] std::io::Error),
    /// A key that is not a toleranced parameter.
    #[error("no toleranced parameter is called '{key}'; did you mean '{closest}'?")]
    UnknownTolerance {
        /// The key asked for.
        key: String,
        /// The most similar one.
        closest: &'static str,
    },
    /// A question that has no answer as it was put.
    #[error("{0}")]
    Question(String),
    /// The residue channel could not be built from the computed rates.
    #[error("residue channel: {0}")]
    Channel(String),
    /// The design section is wrong.
    #[error(transparent)]
    Design(#[from] mirage_design::DesignError),
    /// A CSV file could not be written.
    #[error("writing CSV: {0}")]
    Csv(#[from] csv::Error),
}

impl DeviceError {
    pub(crate) fn parameter(name: &'static str, value: f64, problem: &str) -> Self {
        DeviceError::Parameter { name, value, problem: problem.to_string() }
    }
}
