//! S-parameters from a file of either kind, told apart by the extension.

use super::error::{FileError, number};
use super::interconnect::{InterconnectFile, Selection};
use super::sparameters::SParameters;
use super::touchstone::{TimeConvention, read_touchstone};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest file that is read, bytes.
const MAX_BYTES: u64 = 1 << 28;

/// How a file is to be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    /// What to take from an INTERCONNECT file.
    pub selection: Selection,
    /// The sign of time in a Touchstone file.
    pub convention: TimeConvention,
}

/// Reads `.sparam`, `.dat` and `.txt` as INTERCONNECT, `.s1p`, `.s2p`, ... as Touchstone.
///
/// # Errors
/// A file that cannot be read or is larger than 256 MiB, another extension, a mode or sweep for a Touchstone file, and
/// whatever the readers find.
pub fn load_sparameters(path: &Path, load: &Load) -> Result<SParameters, FileError> {
    let name = path.display().to_string();
    let whole = |problem: String| FileError::whole(&name, problem);
    let size = std::fs::metadata(path).map_err(|e| whole(format!("cannot be read: {e}")))?;
    if size.is_dir() {
        return Err(whole("is a folder".into()));
    }
    if size.len() > MAX_BYTES {
        return Err(whole(format!("{} bytes; the largest file that is read has {MAX_BYTES}", size.len())));
    }
    let text = std::fs::read_to_string(path).map_err(|e| whole(format!("cannot be read: {e}")))?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "sparam" | "dat" | "txt" => InterconnectFile::read(&text, &name)?.select(&load.selection),
        touchstone if touchstone.starts_with('s') && touchstone.ends_with('p') => {
            if load.selection != Selection::default() {
                return Err(whole(
                    "modes and sweeps are of INTERCONNECT files; a Touchstone file has none".into(),
                ));
            }
            Ok(read_touchstone(&text, &name, load.convention)?.parameters)
        }
        _ => Err(whole(
            "the extension is none of .sparam, .dat, .txt (INTERCONNECT), .sNp (Touchstone)".into(),
        )),
    }
}

/// Reads `name=value;name=value`; an empty text is no sweep.
///
/// # Errors
/// An entry without `=`, a number that is none, a name given twice.
pub fn read_sweep(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let mut sweep = BTreeMap::new();
    for entry in text.split(';').filter(|entry| !entry.trim().is_empty()) {
        let (name, value) =
            entry.split_once('=').ok_or_else(|| format!("`{}` is not name=value", entry.trim()))?;
        if sweep.insert(name.trim().to_owned(), number(value.trim())?).is_some() {
            return Err(format!("`{}` is given twice", name.trim()));
        }
    }
    Ok(sweep)
}
