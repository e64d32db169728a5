//! What the user sets: `name=value` with units, checked against what a kind understands.

use crate::CalibrationError;
use std::collections::BTreeMap;

/// Something that may be set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// How it is written.
    pub form: Form,
    /// Its default, in the unit of the form: nothing, a number, or both ends of a range.
    pub usual: &'static [f64],
}

impl Setting {
    /// What it is, with its default, for people.
    pub fn told(&self) -> String {
        let unit = match self.form {
            Form::Number(unit, ..) | Form::Range(unit, ..) | Form::List(unit, ..) => unit,
            Form::Whole(..) | Form::Word(_) => "",
        };
        let one = |x: &f64| format!("{} {unit}", super::outcome::short(*x)).trim_end().to_owned();
        let all: Vec<String> = self.usual.iter().map(one).collect();
        match all.is_empty() {
            true => self.doc.to_owned(),
            false => format!("{} [default: {}]", self.doc, all.join(":")),
        }
    }
}

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// A number with a unit (the first is that of the value in the code; "" is none), within a range.
    Number(&'static str, f64, f64),
    /// A whole number within a range.
    Whole(u32, u32),
    /// Two such numbers with a colon between them.
    Range(&'static str, f64, f64),
    /// Such numbers with commas between them.
    List(&'static str, f64, f64),
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A number as text in a unit, as the setting's own unit has it.
fn number(text: &str, unit: &str, low: f64, high: f64) -> Result<f64, String> {
    let (number, given) = mirage_design::quantity(text.trim())
        .ok_or_else(|| format!("`{}` is not a number{}", text.trim(), with(unit)))?;
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
    let value = match (given, unit) {
        ("", "") => number,
        ("", _) => return Err(format!("`{}` has no unit: write it as {number} {unit}", text.trim())),
        (given, "") => return Err(format!("`{given}` is too much: the number has no unit")),
        (given, unit) => mirage_design::convert(number, given, unit)
            .ok_or_else(|| format!("`{given}` is no unit that can be turned into {unit}"))?,
    };
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "`{}` is outside {low} to {high}{}",
        text.trim(),
        if unit.is_empty() { String::new() } else { format!(" {unit}") }
    ))
}

fn with(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" with a unit, such as {unit}") }
}

/// The settings that were given, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    numbers: BTreeMap<&'static str, Vec<f64>>,
    words: BTreeMap<&'static str, &'static str>,
}

impl Given {
    /// Reads `name=value` texts.
    ///
    /// # Errors
    /// An unknown name (with the closest), a name given twice, a value of another form, a unit that is missing or wrong.
    pub fn read<S: AsRef<str>>(texts: &[S], known: &[Setting]) -> Result<Self, CalibrationError> {
        let mut all = Self::default();
        for text in texts {
            let text = text.as_ref();
            let wrong = |why: String| CalibrationError::Setting(format!("--set {text}: {why}"));
            let Some((name, value)) = text.split_once('=') else {
                return Err(wrong("write name=value".into()));
            };
            let name = name.trim();
            let setting = known.iter().find(|s| s.name == name).ok_or_else(|| {
                let near = mirage_design::hint(name, known.iter().map(|s| s.name));
                let names: Vec<&str> = known.iter().map(|s| s.name).collect();
                wrong(format!("`{name}` is no setting here: {}{near}", names.join(", ")))
            })?;
            if all.numbers.contains_key(setting.name) || all.words.contains_key(setting.name) {
                return Err(wrong(format!("`{name}` is given twice")));
            }
            all.take(setting, value).map_err(wrong)?;
        }
        Ok(all)
    }

    fn take(&mut self, setting: &Setting, value: &str) -> Result<(), String> {
        let numbers = match setting.form {
            Form::Number(unit, low, high) => vec![number(value, unit, low, high)?],
            Form::Whole(low, high) => {
                let number = value.trim().parse::<u32>().ok().filter(|n| (low..=high).contains(n));
                vec![number.ok_or_else(|| format!("a whole number from {low} to {high} is needed"))?.into()]
            }
            Form::List(unit, low, high) => {
                value.split(',').map(|v| number(v, unit, low, high)).collect::<Result<_, _>>()?
            }
            Form::Range(unit, low, high) => {
                let (from, to) = value.split_once(':').ok_or("write FROM:TO")?;
                let ends = vec![number(from, unit, low, high)?, number(to, unit, low, high)?];
                if ends[0] >= ends[1] {
                    return Err("the first must be smaller than the second".into());
                }
                ends
            }
            Form::Word(words) => {
                let word = words.iter().find(|w| **w == value.trim());
                let word = word.ok_or_else(|| format!("one of {} is needed", words.join(", ")))?;
                self.words.insert(setting.name, word);
                return Ok(());
            }
        };
        self.numbers.insert(setting.name, numbers);
        Ok(())
    }

    /// A number, if it was given.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).and_then(|n| n.first().copied())
    }

    /// A number as it was given, else its default; NaN where it has none.
    pub fn value(&self, setting: &Setting) -> f64 {
        self.number(setting.name).or(setting.usual.first().copied()).unwrap_or(f64::NAN)
    }

    /// Both ends of a range as given, else of its default; NaN where it has none.
    pub fn ends(&self, setting: &Setting) -> (f64, f64) {
        let usual = match *setting.usual {
            [from, to] => (from, to),
            _ => (f64::NAN, f64::NAN),
        };
        self.range(setting.name).unwrap_or(usual)
    }

    /// A range, if it was given.
    pub fn range(&self, name: &str) -> Option<(f64, f64)> {
        self.numbers.get(name).filter(|n| n.len() == 2).map(|n| (n[0], n[1]))
    }

    /// A list, if it was given.
    pub fn list(&self, name: &str) -> Option<&[f64]> {
        self.numbers.get(name).map(Vec::as_slice)
    }

    /// A word, if it was given.
    pub fn word(&self, name: &str) -> Option<&'static str> {
        self.words.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every default could have been given: it is read back as itself.
    #[test]
    fn defaults_are_values_that_may_be_given() {
        let mut seen = 0;
        for setting in super::super::KINDS.iter().flat_map(|k| k.settings).filter(|s| !s.usual.is_empty()) {
            let told = setting.told();
            let text = told.rsplit_once("[default: ").unwrap().1.trim_end_matches(']');
            let text = format!("{}={text}", setting.name);
            let given = Given::read(&[&text], &[*setting]).unwrap_or_else(|e| panic!("{text}: {e}"));
            match *setting.usual {
                [one] => assert_eq!(given.value(setting), one, "{text}"),
                [from, to] => assert_eq!(given.ends(setting), (from, to), "{text}"),
                _ => panic!("{}: one number or two", setting.name),
            }
            assert!(Given::default().value(setting) == setting.usual[0]);
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }
}
