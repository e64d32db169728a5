use std::ops::Range;

/// What is wrong in a design file, where, and what to do about it.
///
/// A check inside a section knows only the byte span of the value; [`crate::Document::locate`] adds file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesignError(Box<Detail>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detail {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) span: Option<Range<usize>>,
    pub(crate) place: Option<Place>,
}

/// Where an error stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub source_line: String,
}

impl DesignError {
    /// An error that is not tied to one place, such as a condition between sections.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Detail { message: message.into(), help: None, key: None, span: None, place: None }))
    }

    /// Adds what the reader can do about it.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Names the key, such as `devices.ring.extinction`.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    pub(crate) fn detail(&mut self) -> &mut Detail {
        &mut self.0
    }

    pub(crate) fn with_span(mut self, span: Option<Range<usize>>) -> Self {
        self.0.span = span;
        self
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, when known.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The key that it is about, when known.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Bytes of the offending text in the file.
    pub fn span(&self) -> Option<Range<usize>> {
        self.0.span.clone()
    }

    /// The line, counted from one, once located.
    pub fn line(&self) -> Option<usize> {
        self.0.place.as_ref().map(|p| p.line)
    }

    /// The file's name, once located.
    pub fn file(&self) -> Option<&str> {
        self.0.place.as_ref().map(|p| p.file.as_str())
    }
}

impl std::fmt::Display for DesignError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(p) = &self.0.place {
            write!(f, "{}:{}:{}: ", p.file, p.line, p.column)?;
        }
        if let Some(key) = &self.0.key {
            write!(f, "{key}: ")?;
        }
        write!(f, "{}", self.0.message)?;
        if let Some(p) = &self.0.place {
            let number = p.line.to_string();
            write!(f, "\n{:>w$} |\n{number} | {}", "", p.source_line, w = number.len())?;
            write!(f, "\n{:>w$} | {:>c$}", "", "^", w = number.len(), c = p.column)?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DesignError {}

/// The candidate nearest to `name` by edit distance, when it is near enough to be a slip of the pen.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::osa_distance(&name.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= 1 + c.chars().count().max(name.chars().count()) / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// "; did you mean `x`?" for the candidate that is [closest] to `name`, or nothing: the end of a message.
pub fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(name, candidates).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}
