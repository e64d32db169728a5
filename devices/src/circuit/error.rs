use std::fmt;

/// What is wrong with a netlist or a circuit: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitError {
    file: Option<String>,
    line: Option<usize>,
    message: String,
}

impl CircuitError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, message: message.into() }
    }

    /// Adds the line, counted from one, where none is known yet; 0 stands for text that was not read from a file.
    pub(crate) fn at_line(mut self, line: usize) -> Self {
        if line > 0 {
            self.line.get_or_insert(line);
        }
        self
    }

    pub(crate) fn in_file(mut self, file: Option<&str>) -> Self {
        if self.file.is_none() {
            self.file = file.map(str::to_owned);
        }
        self
    }

    /// The file, when it was read from one.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line, counted from one, where it is known.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for CircuitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for CircuitError {}
