//! Plain text and sentence pairs: from a file to tokens.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::TextError;

/// Files that unpack to more are refused.
const LARGEST: u64 = 1 << 30;

/// Of what a text is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Characters, as they are.
    Character,
    /// Words in lower case: longest runs of letters, digits and apostrophes between letters; each other character that is no
    /// white space is a word by itself.
    Word,
}

/// What stands at the end of a line, as a token.
const LINE_END: &str = "\n";

/// The name of the token for all that is not in a vocabulary.
pub const UNKNOWN: &str = "<unknown>";

/// Which tokens there are. The first are reserved; then those of the text, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
    index: HashMap<String, u32>,
    unknown: u32,
}

impl Level {
    /// The levels by name.
    pub const NAMES: [(&'static str, Self); 2] = [("character", Self::Character), ("word", Self::Word)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Character => "character",
            Self::Word => "word",
        }
    }

    /// The tokens of a line, without its end.
    pub fn tokens(self, line: &str) -> Vec<String> {
        match self {
            Self::Character => line.chars().map(String::from).collect(),
            Self::Word => words(line),
        }
    }

    /// Tokens as text, near to how they were written.
    pub fn text<'t>(self, tokens: impl IntoIterator<Item = &'t str>) -> String {
        let tokens: Vec<&str> = tokens.into_iter().collect();
        tokens.join(if self == Self::Character { "" } else { " " })
    }
}

fn words(line: &str) -> Vec<String> {
    let characters: Vec<char> = line.to_lowercase().chars().collect();
    let letter = |i: usize| characters.get(i).is_some_and(|c| c.is_alphanumeric());
    let apostrophe =
        |i: usize| matches!(characters[i], '\'' | '’') && i > 0 && letter(i - 1) && letter(i + 1);
    let (mut words, mut word) = (Vec::new(), String::new());
    for (i, &c) in characters.iter().enumerate() {
        if letter(i) || apostrophe(i) {
            word.push(c);
            continue;
        }
        words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        words.extend((!c.is_whitespace()).then(|| c.to_string()));
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

impl Vocabulary {
    /// The `reserved` tokens, of which the one called [`UNKNOWN`] stands for all that is not here, then those of `lines`: the most
    /// frequent ones, those of the same number in the order of their characters, at most `most` tokens in all, and none that occurs but once.
    pub fn of<'l>(reserved: &[&str], lines: impl IntoIterator<Item = &'l [String]>, most: usize) -> Self {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for token in lines.into_iter().flatten() {
            *counts.entry(token).or_default() += 1;
        }
        let mut found: Vec<(&str, u64)> = counts.into_iter().filter(|&(_, count)| count > 1).collect();
        found.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let room = most.saturating_sub(reserved.len());
        let tokens = reserved.iter().copied().chain(found.into_iter().take(room).map(|(token, _)| token));
        let tokens: Vec<String> = tokens.map(str::to_owned).collect();
        // A word of the text that is called like a reserved token cannot be: reserved ones hold < and >, words of more than one character do not.
        let index: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let unknown = index.get(UNKNOWN).copied().unwrap_or(0);
        Self { tokens, index, unknown }
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The token of this name, or that for what is not known.
    pub fn id(&self, token: &str) -> u32 {
        self.index.get(token).copied().unwrap_or(self.unknown)
    }

    /// That for what is not known.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The name of a token.
    ///
    /// # Panics
    /// When there is none with this number.
    pub fn token(&self, id: u32) -> &str {
        &self.tokens[id as usize]
    }
}

/// The tokens of lines, each with its end behind it.
pub(crate) fn stream(lines: &[&str], level: Level) -> Vec<Vec<String>> {
    let line = |line: &&str| {
        let mut tokens = level.tokens(line);
        tokens.push(LINE_END.to_owned());
        tokens
    };
    lines.iter().map(line).collect()
}

/// What a file of text should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Running text.
    Plain,
    /// A sentence, a tab, and its translation in each line.
    Pairs,
}

impl TextKind {
    /// How the names of such files end.
    fn ending(self) -> &'static str {
        match self {
            Self::Plain => ".txt",
            Self::Pairs => ".tsv",
        }
    }

    /// What is expected, and how to get it.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Plain => {
                "a text in UTF-8, a file or a folder with one whose name ends in .txt or .txt.gz; any book of Project Gutenberg \
                 (https://www.gutenberg.org) will do, and without --data the toolkit's own sample is used"
            }
            Self::Pairs => {
                "sentence pairs in UTF-8, a file or a folder with one whose name ends in .tsv or .tsv.gz, in each line a sentence, a \
                 tab and its translation; https://www.manythings.org/anki has such pairs (keep its first two columns), and \
                 without --data the toolkit's own sample is used"
            }
        }
    }
}

/// The file that is meant: the one that is given, or the only one of its kind in a folder.
///
/// # Errors
/// When there is none, or several.
pub(crate) fn find(path: &Path, kind: TextKind) -> Result<PathBuf, TextError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(source) if path.is_dir() => return Err(TextError::unreadable(path, source)),
        Err(_) => return Err(TextError::Missing { path: path.into(), expected: kind.expected() }),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| TextError::unreadable(path, source))?.path();
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_file() && name.strip_suffix(".gz").unwrap_or(&name).ends_with(kind.ending()) {
            found.push(entry);
        }
    }
    found.sort();
    match (found.pop(), found.len()) {
        (Some(file), 0) => Ok(file),
        (None, _) => Err(TextError::Empty { folder: path.into(), expected: kind.expected() }),
        (Some(last), _) => {
            found.push(last);
            let names: Vec<String> = found.iter().map(|file| file.display().to_string()).collect();
            Err(TextError::Several { folder: path.into(), names: names.join(", ") })
        }
    }
}

/// The text of a file, plain or gzipped (the content decides), without the mark that some begin with; `name` stands for it in errors.
///
/// # Errors
/// When it cannot be read, is too large, or is no UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, TextError> {
    let bytes = std::fs::File::open(path).and_then(|mut file| {
        let mut bytes = Vec::new();
        file.by_ref().take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let bytes = bytes.map_err(|source| TextError::unreadable(path, source))?;
    decode(&bytes, &path.display().to_string())
}

/// As [`read`], from bytes.
pub(crate) fn decode(bytes: &[u8], name: &str) -> Result<String, TextError> {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = MultiGzDecoder::new(bytes).take(LARGEST + 1);
        let read = unpacked.read_to_end(&mut plain);
        read.map_err(|source| TextError::Unreadable { file: name.into(), source })?;
    } else {
        plain.extend_from_slice(bytes);
    }
    if plain.len() as u64 > LARGEST {
        return Err(TextError::Large { file: name.into(), limit: LARGEST });
    }
    let text = String::from_utf8(plain).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count() + 1;
        TextError::Utf8 { file: name.into(), line }
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
