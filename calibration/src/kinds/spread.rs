//! The spread of a process: what the fragments of several devices say together.

use super::fragment::{Fragment, Line, Measured, Section};
use super::outcome::{rounded, short};

/// Devices from which on a spread is told.
pub const FEWEST: usize = 3;

/// A device: the name of its file, and a line of it.
type Of<'a, T> = (&'a str, &'a T);

/// One fragment of several, each with the name of its file: every measured value becomes the mean, with the standard deviation over
/// the devices as `sigma`, the fits' own errors taken off. What follows from measured values follows from the means. What was
/// chosen stays, if it is the same for all. A key that some devices do not have is left out, and a remark says so; remarks
/// that all devices share stay.
///
/// With s the standard deviation of N values and e_i their standard errors, sigma^2 = s^2 - mean(e_i^2), the usual estimate of the
/// variance between in a one-way layout (Searle, Casella and McCulloch, Variance Components, 1992, sect. 3.6), zero where that is negative.
///
/// # Errors
/// Why there is none: too few files, no fragment, or fragments that differ in what was chosen or in what the numbers refer to.
pub fn spread(fragments: &[(&str, &Fragment)]) -> Result<Fragment, String> {
    if fragments.len() < FEWEST {
        return Err(format!("{} devices: at least {FEWEST} are needed", fragments.len()));
    }
    let mut keys: Vec<(&Section, &'static str)> = Vec::new();
    for section in fragments.iter().flat_map(|(_, f)| &f.sections) {
        for key in section.lines.iter().map(Line::key) {
            if !keys.iter().any(|(s, k)| s.name == section.name && *k == key) {
                keys.push((section, key));
            }
        }
    }
    if keys.is_empty() {
        return Err("a design has no key for these numbers".into());
    }
    let first = fragments[0].1;
    let common = |r: &&String| fragments.iter().all(|(_, f)| f.remarks.contains(r));
    let mut out = Fragment {
        heading: "Spread of the process: values are means over the devices, sigma their standard deviation without the fits' own errors.",
        remarks: first.remarks.iter().filter(common).cloned().collect(),
        sections: Vec::new(),
    };
    let mut left = Vec::new();
    for (section, key) in keys {
        let all = fragments.iter().map(|(name, f)| (*name, f.line(section.name, key)));
        let lines: Vec<Of<'_, Line>> = all.clone().filter_map(|(name, line)| Some((name, line?))).collect();
        if lines.len() < fragments.len() {
            let without: Vec<&str> = all.filter(|(_, line)| line.is_none()).map(|(name, _)| name).collect();
            left.push(format!("{key} is left out: there is none of {}", without.join(", ")));
            continue;
        }
        let line = together(&lines)?;
        match out.sections.iter_mut().find(|s| s.name == section.name) {
            Some(s) => s.lines.push(line),
            None => out.sections.push(Section { lines: vec![line], ..section.clone() }),
        }
    }
    if out.is_empty() {
        left.extend(out.left_out());
        return Err(left.join("; "));
    }
    out.remarks.extend(left);
    Ok(out)
}

/// One line of those of all devices.
fn together(lines: &[Of<'_, Line>]) -> Result<Line, String> {
    let measured: Vec<Of<'_, Measured>> = lines
        .iter()
        .filter_map(|(name, line)| match line {
            Line::Measured(measured) => Some((*name, measured)),
            _ => None,
        })
        .collect();
    if measured.len() == lines.len() {
        return mean(&measured).map(Line::from);
    }
    let (first, line) = lines[0];
    let same = |other: &Line| match (line, other) {
        (Line::Chosen { value: a, .. }, Line::Chosen { value: b, .. }) => a == b,
        (a, b) => a == b,
    };
    match lines.iter().find(|(_, other)| !same(other)) {
        None => Ok(line.clone()),
        Some((name, other)) => Err(format!(
            "{first} and {name} differ in more than what was measured: {} is {} and {}",
            line.key(),
            said(line),
            said(other)
        )),
    }
}

/// What a line says, in a few words.
fn said(line: &Line) -> String {
    match line {
        Line::Measured(measured) => format!("measured as {} {}", short(measured.value), measured.unit),
        Line::Follows { .. } => "taken from others".into(),
        Line::Chosen { value, .. } => value.clone(),
    }
}

/// The mean of several devices, and the spread between them.
fn mean(all: &[Of<'_, Measured>]) -> Result<Measured, String> {
    let (name, first) = all[0];
    if let Some((other, b)) = all.iter().find(|(_, m)| m.condition != first.condition || m.unit != first.unit)
    {
        let of = |m: &Measured| {
            m.condition.map_or("nothing".into(), |c| format!("{} {}", rounded(c.value, 12), c.unit))
        };
        let setting = first.condition.or(b.condition).map_or("", |c| c.setting);
        return Err(format!(
            "{} refers to a {setting} of {} in {name} and of {} in {other}: give one for all, --set {setting}=..",
            first.key,
            of(first),
            of(b)
        ));
    }
    let count = all.len() as f64;
    let mean = all.iter().map(|(_, m)| m.value).sum::<f64>() / count;
    let square = all.iter().map(|(_, m)| (m.value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let errors = all.iter().map(|(_, m)| m.error.unwrap_or(0.0).powi(2)).sum::<f64>() / count;
    let sigma = Some((square - errors).max(0.0).sqrt()).filter(|s| *s > 0.0);
    let text = |x: f64| format!("{} {}", short(x), first.unit).trim_end().to_owned();
    let (total, error) = (text(square.sqrt()), text(errors.sqrt()));
    let found = match sigma {
        Some(_) => format!(
            "they scatter by {total}, the fits' own errors of {error} taken off; known to {:.0} %",
            100.0 / (2.0 * (count - 1.0)).sqrt()
        ),
        None => format!("they scatter by {total}, no more than the fits' own errors of {error}"),
    };
    Ok(Measured {
        value: mean,
        error: Some((square.max(errors) / count).sqrt()),
        sigma,
        source: format!("mean of {count} devices, {}; {found}", first.how),
        ..first.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::super::fragment::{Condition, Rule};
    use super::*;

    fn measured(key: &'static str, value: f64, error: f64, unit: &'static str) -> Measured {
        Measured {
            key,
            value,
            error: Some(error),
            sigma: Some(error),
            unit,
            how: "fit".into(),
            source: "a: fit".into(),
            condition: None,
            least: f64::NEG_INFINITY,
        }
    }

    fn ring(coupling: f64, error: f64, radius: &str) -> Fragment {
        let coupling = measured("coupling_bus", coupling, error, "%");
        let rule = Rule::Same { as_key: "coupling_bus", why: "as that" };
        let lines = vec![
            Line::choice("radius", radius, "as drawn"),
            coupling.into(),
            Line::Follows { key: "coupling_detour", rule },
        ];
        Fragment { remarks: vec!["look".into()], ..Fragment::of("devices.ring", "whole", lines) }
    }

    fn of(all: &[Fragment; 3]) -> Result<Fragment, String> {
        spread(&[("a", &all[0]), ("b", &all[1]), ("c", &all[2])])
    }

    /// By hand: values 7, 8, 9 with s = 1; errors of 0.6 leave a spread of 0.8, errors of 2 nothing.
    #[test]
    fn the_spread_is_what_errors_do_not_explain() {
        let rings = |error: f64| [7.0, 8.0, 9.0].map(|v| ring(v, error, "10 um"));
        let text = of(&rings(0.6)).unwrap().text();
        assert!(text.contains("coupling_bus = { value = \"8 %\", sigma = \"0.8 %\", mark = \"M\""), "{text}");
        assert!(text.contains("radius = { value = \"10 um\"") && text.contains("# Note: look"), "{text}");
        // What follows does so from the mean.
        assert!(text.contains("coupling_detour = { value = \"8 %\", mark = \"choice\""), "{text}");
        let mut rings = rings(2.0);
        rings[1].remarks.clear();
        let text = of(&rings).unwrap().text();
        assert!(text.contains("value = \"8 %\", mark = \"M\"") && text.contains("no more than"), "{text}");
        assert!(!text.contains("look"), "{text}");
    }

    #[test]
    fn devices_that_differ_in_what_was_chosen_have_no_spread() {
        let all = [ring(7.0, 0.1, "10 um"), ring(8.0, 0.1, "10 um"), ring(9.0, 0.1, "5 um")];
        let error = of(&all).unwrap_err();
        assert!(error.contains("a and c differ") && error.contains("radius is \"10 um\""), "{error}");
        let two = spread(&[("a", &all[0]), ("b", &all[1])]).unwrap_err();
        assert!(two.contains("at least 3"), "{two}");
        assert!(of(&Default::default()).unwrap_err().contains("no key"));
    }

    /// Numbers that refer to another voltage are other numbers.
    #[test]
    fn numbers_that_refer_to_something_else_have_no_spread() {
        let at = |value: f64| {
            let condition = Condition { setting: "max_voltage", value, unit: "V" };
            let curvature = measured("curvature", 0.1, 0.01, "").at(condition);
            Fragment::of("devices.shifter", "", vec![curvature.into()])
        };
        let error = of(&[at(2.0), at(2.0), at(8.0)]).unwrap_err();
        let wanted = "curvature refers to a max_voltage of 2 V in a and of 8 V in c: give one for all, --set max_voltage=..";
        assert_eq!(error, wanted);
        assert!(of(&[at(2.0), at(2.0), at(2.0)]).is_ok());
    }

    /// A value below what a design takes counts in the mean: leaving it out would raise that.
    #[test]
    fn keys_that_some_do_not_have_are_left_out_and_values_below_zero_count() {
        let diode = |dark: f64, noise: Option<f64>| {
            let dark = measured("dark_current", dark, 0.1, "nA").not_negative();
            let noise = noise.map(|n| measured("input_noise", n, 0.1, "uA").into());
            let lines = std::iter::once(dark.into()).chain(noise).collect();
            Fragment::of("devices.photodiode", "", lines)
        };
        let all = [diode(2.0, None), diode(-1.0, Some(3.0)), diode(2.0, Some(3.0))];
        let text = of(&all).unwrap().text();
        assert!(text.contains("dark_current = { value = \"1 nA\""), "{text}");
        assert!(text.contains("# Note: input_noise is left out: there is none of a\n"), "{text}");
        assert!(!text.contains("input_noise = "), "{text}");
        let below = [-1.0, -2.0, 1.0].map(|dark| diode(dark, None));
        let error = of(&below).unwrap_err();
        assert!(error.contains("dark_current is left out") && error.contains("below 0"), "{error}");
    }
}
