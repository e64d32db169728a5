//! Spectra in MATLAB files as openEBL writes them.

use super::matlab_values::{Value, variables};
use super::{Channel, Spectrum, assemble};
use crate::CalibrationError;

const HEADER: usize = 128;

/// Whether the header says so: the byte order at its end, and version 1.
pub(super) fn is_matlab(bytes: &[u8]) -> bool {
    bytes.starts_with(b"MATLAB 5.0")
        || (bytes.len() >= HEADER && order(bytes).is_some() && !bytes[..HEADER].is_ascii())
}

/// Whether numbers have their large end first.
fn order(bytes: &[u8]) -> Option<bool> {
    match bytes.get(124..HEADER)? {
        [0x00, 0x01, b'I', b'M'] => Some(false),
        [0x01, 0x00, b'M', b'I'] => Some(true),
        _ => None,
    }
}

pub(super) fn read(bytes: &[u8], file: &str) -> Result<Spectrum, CalibrationError> {
    let whole = |problem: String| CalibrationError::File { file: file.into(), problem };
    let big = order(bytes).ok_or_else(|| whole("a MATLAB 5 file with a damaged header".into()))?;
    let all = variables(&bytes[HEADER..], big).map_err(&whole)?;
    let (wavelengths, rows) = spectrum(&all).map_err(&whole)?;
    let mut channels = Vec::new();
    for (name, value) in rows {
        let Some(number) = name.strip_prefix("channel_").and_then(|n| n.parse().ok()) else { continue };
        match value {
            // A detector that was not connected.
            Value::Numbers(powers) if powers.is_empty() => {}
            Value::Numbers(powers) if powers.len() == wavelengths.len() => {
                channels.push(Channel { number, dbm: powers.clone() });
            }
            Value::Numbers(powers) => {
                return Err(whole(format!(
                    "`rows.{name}` has {} numbers, `header.wavelength` {}",
                    powers.len(),
                    wavelengths.len()
                )));
            }
            Value::Fields(_) => {
                return Err(whole(format!("`rows.{name}` is a structure, not powers in dBm")));
            }
            Value::Other(what) => return Err(whole(format!("`rows.{name}` is {what}, not powers in dBm"))),
        }
    }
    if channels.is_empty() {
        return Err(whole("`rows` has no `channel_1`, `channel_2`, .. with data".into()));
    }
    assemble(file, wavelengths.to_vec(), channels, |_| None)
}

fn field<'v>(fields: &'v [(String, Value)], name: &str) -> Option<&'v Value> {
    fields.iter().find(|(n, _)| n == name).map(|(_, v)| v)
}

/// Wavelengths, and the fields that hold the channels.
type Parts<'v> = (&'v [f64], &'v [(String, Value)]);

/// The one variable with `header.wavelength` and `rows`.
fn spectrum(all: &[(String, Value)]) -> Result<Parts<'_>, String> {
    let mut found = all.iter().filter_map(|(name, value)| parts(value).map(|p| (name, p)));
    let names = || all.iter().map(|(n, _)| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let first = found.next().ok_or_else(|| {
        format!(
            "no variable has `header.wavelength` and `rows.channel_1`, .. as openEBL's `testResult` has; the file holds {}",
            if all.is_empty() { "no variables".into() } else { names() }
        )
    })?;
    match found.next() {
        None => Ok(first.1),
        Some((other, _)) => {
            Err(format!("both `{}` and `{other}` hold a spectrum: keep one of them", first.0))
        }
    }
}

fn parts(value: &Value) -> Option<Parts<'_>> {
    let Value::Fields(fields) = value else { return None };
    let Value::Fields(header) = field(fields, "header")? else { return None };
    let Value::Numbers(wavelengths) = field(header, "wavelength")? else { return None };
    let Value::Fields(rows) = field(fields, "rows")? else { return None };
    Some((wavelengths, rows))
}
