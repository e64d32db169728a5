//! What is wrong in a file, and where.

use thiserror::Error;

/// A file that cannot be used: its name, the line when there is one, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}{}: {problem}", .line.map_or(String::new(), |line| format!(":{line}")))]
pub struct FileError {
    /// Name of the file.
    pub file: String,
    /// Line, counted from one.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub problem: String,
}

impl FileError {
    pub(crate) fn at(file: &str, line: usize, problem: impl Into<String>) -> Self {
        FileError { file: file.to_owned(), line: Some(line), problem: problem.into() }
    }

    pub(crate) fn whole(file: &str, problem: impl Into<String>) -> Self {
        FileError { file: file.to_owned(), line: None, problem: problem.into() }
    }
}

/// A finite number, or what is wrong with it.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(_) => Err(format!("`{text}` is not finite")),
        Err(_) => Err(format!("`{text}` is not a number")),
    }
}
