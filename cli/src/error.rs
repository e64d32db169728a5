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
    mirage_arithmetic::CodeError,
    mirage_arithmetic::GemmError,
    mirage_arithmetic::GemmListError,
    mirage_arithmetic::HistogramError,
    mirage_calibration::CalibrationError,
    mirage_devices::circuit::CircuitError,
    mirage_system::SystemError,
    mirage_system::TableError,
    mirage_system::import::ImportError,
    mirage_training::DataError,
    mirage_training::NetworkError,
    mirage_training::TextError,
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

/// First bytes of files that people take for text, and what they are.
const KINDS: [(&[u8], &str); 10] = [
    (b"\x89PNG", "a PNG picture"),
    (b"\xFF\xD8\xFF", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1F\x8B", "a gzip archive; unpack it first"),
    (b"PK\x03\x04", "a ZIP archive, or a file made of one such as .npz or .xlsx"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xFF\xFE", "text in UTF-16; save it as UTF-8"),
    (b"\xFE\xFF", "text in UTF-16; save it as UTF-8"),
];

/// Reads a text that is to be `what`, such as "a design file (TOML)".
pub fn read_text(path: &Path, what: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| CliError::read(path, e))?;
    check_text(path, &bytes, what)?;
    // No text but this is left to refuse.
    String::from_utf8(bytes).map_err(|e| CliError::message(format!("{}: {e}", path.display())))
}

/// Refuses what is no text in UTF-8, with the place where it ceases to be.
fn check_text(path: &Path, bytes: &[u8], what: &str) -> Result<()> {
    let name = path.display();
    if let Some((_, kind)) = KINDS.iter().find(|(first, _)| bytes.starts_with(first)) {
        return Err(CliError::message(format!("{name}: needed is {what}; this is {kind}")));
    }
    let Err(error) = std::str::from_utf8(bytes) else { return Ok(()) };
    let before = &bytes[..error.valid_up_to()];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
    let byte = bytes[error.valid_up_to()];
    Err(CliError::message(format!(
        "{name}:{line}:{column}: needed is {what} in UTF-8; the byte 0x{byte:02X} here is no such text\nhelp: save the file as UTF-8, or give another one"
    )))
}

/// Opens a text for reading that is to be `what`.
pub fn open_text(path: &Path, what: &str) -> Result<std::io::Cursor<Vec<u8>>> {
    // (a folder opens on some systems, and says so when it is read)
    drop(open(path)?);
    Ok(std::io::Cursor::new(read_text(path, what)?.into_bytes()))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<std::io::BufReader<std::fs::File>> {
    let file = std::fs::File::open(path).map_err(|e| CliError::read(path, e))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(CliError::message(format!("cannot read {}: it is a folder", path.display())));
    }
    Ok(std::io::BufReader::new(file))
}
