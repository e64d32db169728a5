//! What the user sees when something is wrong.

use std::path::{Path, PathBuf};

use mirage_design::DesignError;

/// Any reason why a command did not do its work. The text says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Design(#[from] DesignError),
    #[error(transparent)]
    Device(mirage_devices::DeviceError),
    #[error("{0}")]
    Message(String),
    /// The user asked to stop; the text says what is kept.
    #[error("{}", if .0.is_empty() { "nothing was finished yet" } else { .0 })]
    Stopped(String),
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
}

pub type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    pub fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}

/// Errors of the libraries carry their own words.
macro_rules! from_library {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::Message(error.to_string())
            }
        })+
    };
}

from_library!(
    mirage_arithmetic::ChannelError,
    mirage_arithmetic::GemmError,
    mirage_arithmetic::GemmListError,
    mirage_arithmetic::HistogramError,
    mirage_calibration::CalibrationError,
    mirage_devices::circuit::CircuitError,
    mirage_system::SystemError,
    mirage_system::TableError,
    mirage_training::DataError,
    mirage_training::NetworkError,
    mirage_training::RunError,
    csv::Error,
    serde_json::Error,
);

impl From<mirage_devices::DeviceError> for CliError {
    fn from(error: mirage_devices::DeviceError) -> Self {
        match error {
            mirage_devices::DeviceError::Cancelled => Self::Stopped(String::new()),
            error => Self::Device(error),
        }
    }
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<std::io::BufReader<std::fs::File>> {
    let file = std::fs::File::open(path).map_err(|e| CliError::read(path, e))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(CliError::message(format!("cannot read {}: it is a folder", path.display())));
    }
    Ok(std::io::BufReader::new(file))
}
