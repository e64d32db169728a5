//! Numbers in the names of files, and one number for each file.

use super::Input;
use super::given::Given;
use crate::CalibrationError;

/// The stem of a path.
pub(super) fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The number that ends before byte `end` of a name, of such characters.
fn before(name: &str, end: usize, part: impl Fn(char) -> bool) -> Option<f64> {
    let other = name[..end].char_indices().rfind(|(_, c)| !part(*c));
    name[other.map_or(0, |(at, c)| at + c.len_utf8())..end].parse().ok()
}

/// The whole number that ends before byte `end` of a name.
pub(super) fn digits_before(name: &str, end: usize) -> Option<f64> {
    before(name, end, |c| c.is_ascii_digit())
}

/// A length in a name, in um: the last number before `um` or `mm`.
pub(super) fn length_in(name: &str) -> Option<f64> {
    let places =
        name.match_indices("um").map(|p| (p.0, 1.0)).chain(name.match_indices("mm").map(|p| (p.0, 1e3)));
    let (end, factor) =
        places.filter(|(at, _)| digits_before(name, *at).is_some()).max_by_key(|(at, _)| *at)?;
    Some(factor * digits_before(name, end)?)
}

/// A count in a name: its last digits, unless they are a length.
pub(super) fn count_in(name: &str) -> Option<f64> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let length = ["nm", "um", "mm"].iter().any(|unit| name[end..].starts_with(unit));
    digits_before(name, end).filter(|_| !length)
}

/// A voltage in a name: the last number before `V`.
pub(super) fn volts_in(name: &str) -> Option<f64> {
    let part = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    name.match_indices('V').rev().find_map(|(end, _)| before(name, end, part))
}

/// A number for each file: the list that was set, in the order of the files, or what the names say. `example` is how the list is
/// written.
///
/// # Errors
/// A list of another length, a name that does not say it.
pub(super) fn per_file(
    inputs: &[Input],
    given: &Given,
    key: &str,
    example: &str,
    named: fn(&str) -> Option<f64>,
) -> Result<Vec<f64>, CalibrationError> {
    let of = |input: &Input| {
        named(stem(&input.file)).ok_or_else(|| {
            let text = format!(
                "{}: the name does not say its {key}: --set {key}={example}, in the order of the files",
                input.file
            );
            CalibrationError::Setting(text)
        })
    };
    match given.list(key) {
        Some(list) if list.len() == inputs.len() => Ok(list.to_vec()),
        Some(list) => {
            let (files, values) = (inputs.len(), list.len());
            let text =
                format!("--set {key}: {files} files need as many values, in their order; {values} are given");
            Err(CalibrationError::Setting(text))
        }
        None => inputs.iter().map(of).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_long_how_many_and_at_which_voltage() {
        assert_eq!(length_in("waveguide_34909um"), Some(34909.0));
        assert_eq!(length_in("guide_3mm_w500nm"), Some(3000.0));
        assert_eq!(length_in("guide"), None);
        assert_eq!(stem("a/b/ring_r10um.csv"), "ring_r10um");
        assert_eq!(count_in("ybranch_56"), Some(56.0));
        assert_eq!(volts_in("mzi_-1.5V"), Some(-1.5));
        assert_eq!(volts_in("mzi_2V_V"), Some(2.0));
        // Letters of several bytes before a number.
        assert_eq!(
            (length_in("µ5um"), count_in("é56"), volts_in("ß1.5V")),
            (Some(5.0), Some(56.0), Some(1.5))
        );
    }
}
