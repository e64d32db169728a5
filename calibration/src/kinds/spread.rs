//! The spread of a process: what the fragments of several devices say together.

use super::outcome::{NOTE, Reading, reading, spread_line};

/// Devices from which on a spread is told.
pub const FEWEST: usize = 3;

/// One fragment of several, each with the name of its file: every measured value becomes the mean, with the standard deviation over
/// the devices as `sigma`, the fits' own errors taken off. What was chosen stays, if it is the same for all.
///
/// With s the standard deviation of N values and e_i their standard errors, sigma^2 = s^2 - mean(e_i^2), the usual estimate of the
/// variance between in a one-way layout (Searle, Casella and McCulloch, Variance Components, 1992, sect. 3.6), zero where that is negative.
///
/// # Errors
/// Why there is none: too few files, no fragment, or fragments that differ in what was chosen.
pub fn spread(fragments: &[(&str, &str)]) -> Result<String, String> {
    if fragments.len() < FEWEST {
        return Err(format!("{} devices: at least {FEWEST} are needed", fragments.len()));
    }
    let own: Vec<Vec<&str>> =
        fragments.iter().map(|(_, text)| text.lines().filter(|l| !l.starts_with(NOTE)).collect()).collect();
    let first = &own[0];
    if first.is_empty() {
        return Err("a design has no key for these numbers".into());
    }
    if let Some(i) = own.iter().position(|o| o.len() != first.len()) {
        return Err(format!("{} and {} do not say the same keys", fragments[0].0, fragments[i].0));
    }
    let mut out = String::from(
        "# Spread of the process: values are means over the devices, sigma their standard deviation without the fits' own errors.\n",
    );
    for (place, line) in first.iter().enumerate() {
        let all: Vec<&str> = own.iter().filter_map(|o| o.get(place).copied()).collect();
        let readings: Vec<Reading> = all.iter().filter_map(|l| reading(l)).collect();
        let alike = |r: &Reading| r.key == readings[0].key && r.unit == readings[0].unit;
        if readings.len() == fragments.len() && readings.iter().all(alike) {
            out += &spread_line(&readings);
        } else if all.len() == fragments.len() && all.iter().all(|l| l == line) {
            out += line;
            out.push('\n');
        } else if let Some((name, _)) =
            fragments.iter().zip(&own).find(|(_, o)| o.get(place) != Some(line)).map(|(f, _)| f)
        {
            return Err(format!(
                "{} and {name} differ in more than what was measured: {line}",
                fragments[0].0
            ));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(value: f64, sigma: f64) -> String {
        format!(
            "{NOTE}look\n[devices.ring]\nradius = {{ value = \"10 um\", mark = \"choice\", source = \"as drawn\" }}\n\
             coupling_bus = {{ value = \"{value} %\", sigma = \"{sigma} %\", mark = \"M\", source = \"a\" }}\n"
        )
    }

    /// By hand: values 7, 8, 9 with s = 1; errors of 0.6 leave a spread of 0.8, errors of 2 nothing.
    #[test]
    fn the_spread_is_what_errors_do_not_explain() {
        let of = |sigma: f64| {
            let all = [7.0, 8.0, 9.0].map(|v| fragment(v, sigma));
            spread(&[("a", &all[0]), ("b", &all[1]), ("c", &all[2])]).unwrap()
        };
        let text = of(0.6);
        assert!(text.contains("coupling_bus = { value = \"8 %\", sigma = \"0.8 %\", mark = \"M\""), "{text}");
        assert!(text.contains("radius = { value = \"10 um\"") && !text.contains("look"), "{text}");
        let text = of(2.0);
        assert!(text.contains("value = \"8 %\", mark = \"M\"") && text.contains("no more than"), "{text}");
    }

    #[test]
    fn devices_that_differ_in_what_was_chosen_have_no_spread() {
        let all = [fragment(7.0, 0.1), fragment(8.0, 0.1), fragment(9.0, 0.1).replace("10 um", "5 um")];
        let error = spread(&[("a", &all[0]), ("b", &all[1]), ("c", &all[2])]).unwrap_err();
        assert!(error.contains("a and c differ") && error.contains("radius"), "{error}");
        assert!(spread(&[("a", &all[0]), ("b", &all[1])]).unwrap_err().contains("at least 3"));
    }
}
