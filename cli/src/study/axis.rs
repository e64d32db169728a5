//! An axis of a sweep: `KEY=FROM:TO:COUNT[:log|lin]`.

use mirage_design::{Scalar, convert, quantity};

use crate::design::Design;
use crate::error::{CliError, Result};

/// Most points on one axis.
const MOST: usize = 10_000;

/// Digits of a point between the ends: plenty for a sweep, and the same number on every machine.
const DIGITS: usize = 8;

/// Keys of the design that are set together, and the values that they take.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Dotted keys; all take the same value.
    pub keys: Vec<String>,
    /// Unit of the values as the user wrote it; empty for plain numbers.
    pub unit: String,
    pub values: Vec<f64>,
    pub log: bool,
    integer: bool,
}

impl Axis {
    /// Reads the text of `--sweep` and checks keys, unit and kind against the design.
    pub fn parse(text: &str, design: &Design) -> Result<Self> {
        let wrong = |why: String| {
            CliError::message(format!(
                "--sweep {text}: {why}\nhelp: write KEY=FROM:TO:COUNT, such as devices.ring.extinction=10dB:40dB:13 or \
                 devices.crosstalk.coefficient=1e-6:1e-2:9:log"
            ))
        };
        let (keys, range) = text.split_once('=').ok_or_else(|| wrong("there is no `=`".into()))?;
        let keys: Vec<String> = keys.split(',').map(|key| key.trim().to_owned()).collect();
        let parts: Vec<&str> = range.split(':').map(str::trim).collect();
        let (from, to, count, log) = match parts[..] {
            [from, to, count] | [from, to, count, "lin"] => (from, to, count, false),
            [from, to, count, "log"] => (from, to, count, true),
            [_, _, _, scale] => return Err(wrong(format!("`{scale}` is no scale: take log or lin"))),
            _ => {
                return Err(wrong(
                    "first value, last value and count are needed, with `:` between them".into(),
                ));
            }
        };
        let ((first, unit), (last, other)) = (split(from).map_err(wrong)?, split(to).map_err(wrong)?);
        let last = convert(last, other, unit)
            .ok_or_else(|| wrong(format!("`{from}` and `{to}` are different kinds of quantities")))?;
        let count: usize = count
            .parse()
            .ok()
            .filter(|n| (1..=MOST).contains(n))
            .ok_or_else(|| wrong(format!("the count must be a whole number from 1 to {MOST}")))?;
        if (first == last) != (count == 1) {
            let why = "one point needs the same first and last value, and more points different ones";
            return Err(wrong(why.into()));
        }
        if log && !(first > 0.0 && last > 0.0) {
            return Err(wrong("a logarithmic axis needs positive values".into()));
        }
        let mut integer = false;
        for (i, key) in keys.iter().enumerate() {
            if keys[..i].contains(key) {
                return Err(wrong(format!("`{key}` stands twice")));
            }
            integer |= kind(key, from, design)?;
        }
        let values = spaced(first, last, count, log);
        let values = if integer { whole(values).map_err(wrong)? } else { values };
        let axis = Self { keys, unit: unit.to_owned(), values, log, integer };
        for i in [0, axis.values.len() - 1] {
            design.with(&axis.changes(i))?;
        }
        Ok(axis)
    }

    /// What to change in the design for the point `i`: keys and the text of their value.
    pub fn changes(&self, i: usize) -> Vec<(String, String)> {
        let value = self.values[i];
        let number = if self.integer { format!("{value}") } else { format!("{value:?}") };
        let text = if self.unit.is_empty() { number } else { format!("{number} {}", self.unit) };
        self.keys.iter().map(|key| (key.clone(), text.clone())).collect()
    }

    /// Column names: each key, with the unit in brackets.
    pub fn columns(&self) -> impl Iterator<Item = String> + '_ {
        self.keys.iter().map(|key| column(key, &self.unit))
    }

    /// The design's own value of the first key in the axis' unit; `None` where it is not a number.
    pub fn own(&self, design: &Design) -> Option<f64> {
        let (number, unit) = match design.document.scalar(&self.keys[0]).ok()? {
            Scalar::Number(number) => (number, String::new()),
            Scalar::Quantity(number, unit) => (number, unit),
            Scalar::Required => return None,
        };
        convert(number.parse().ok()?, &unit, &self.unit)
    }
}

/// A column of a table: a key of the design and the unit of the numbers below it.
pub fn column(key: &str, unit: &str) -> String {
    if unit.is_empty() { key.to_owned() } else { format!("{key} [{unit}]") }
}

fn split(text: &str) -> std::result::Result<(f64, &str), String> {
    let found = quantity(text).and_then(|(number, unit)| Some((number.parse().ok()?, unit)));
    found.ok_or_else(|| format!("`{text}` is neither a number nor a quantity with a unit"))
}

/// Whether a numeric key takes whole numbers only: those refuse 8.0 where they take 8.
fn kind(key: &str, from: &str, design: &Design) -> Result<bool> {
    let own = design.document.scalar(key)?;
    if from.parse::<i64>().is_err() {
        return Ok(false);
    }
    // Asked with the value that is there, which is allowed: what the axis begins with may not be.
    let whole = match own {
        Scalar::Number(number) if number.parse::<i64>().is_ok() => number,
        _ => from.to_owned(),
    };
    let takes = |text: String| design.with(&[(key.to_owned(), text)]);
    Ok(takes(whole.clone()).is_ok() && takes(format!("{whole}.0")).is_err())
}

fn spaced(first: f64, last: f64, count: usize, log: bool) -> Vec<f64> {
    let steps = count.saturating_sub(1).max(1) as f64;
    let between = |i: usize| {
        let t = i as f64 / steps;
        let x = if log { first * ((last / first).ln() * t).exp() } else { first + (last - first) * t };
        format!("{x:.DIGITS$e}").parse().unwrap_or(x)
    };
    let ends = |i: usize| match i {
        0 => first,
        i if i + 1 == count => last,
        i => between(i),
    };
    (0..count).map(ends).collect()
}

fn whole(values: Vec<f64>) -> std::result::Result<Vec<f64>, String> {
    let whole: Vec<f64> = values.iter().map(|v| v.round()).collect();
    match whole.windows(2).find(|w| w[0] == w[1]) {
        Some(w) => {
            Err(format!("this key takes whole numbers, and so many points would visit {} twice", w[0]))
        }
        None => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design() -> Design {
        Design::read(None).unwrap()
    }

    fn axis(text: &str) -> Axis {
        Axis::parse(text, &design()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn values_are_spaced_and_keep_their_kind() {
        let extinction = axis("devices.ring.extinction=10dB:40dB:13");
        assert_eq!(
            (extinction.values.len(), extinction.values[1], extinction.unit.as_str()),
            (13, 12.5, "dB")
        );
        assert_eq!(extinction.changes(1), [("devices.ring.extinction".into(), "12.5 dB".into())]);
        let power = axis("devices.laser.power = 1 mW : 0.1 W : 3 : log");
        assert_eq!((power.values.as_slice(), power.unit.as_str()), (&[1.0, 10.0, 100.0][..], "mW"));
        let bits = axis("devices.dac.bits=8:16:9");
        assert_eq!(bits.changes(1), [("devices.dac.bits".into(), "9".into())]);
        assert_eq!(axis("devices.adc.bits=4:12:4").values, [4.0, 7.0, 9.0, 12.0]);
        // A whole number for a key of real numbers stays a real number.
        assert_eq!(axis("devices.crosstalk.coefficient=0:1:3").changes(1)[0].1, "0.5");
        assert_eq!(axis("devices.crosstalk.coefficient=1e-6:1e-2:3:log").values, [1e-6, 1e-4, 1e-2]);
        let both = axis("devices.ring.pass_loss,devices.ring.drop_loss=0dB:1dB:2");
        assert_eq!(both.changes(1).len(), 2);
        assert_eq!(both.own(&design()), Some(0.2));
        assert_eq!(axis("devices.laser.max_power=1mW:2mW:2").own(&design()), Some(500.0));
        assert_eq!(extinction.own(&design()), None);
    }

    #[test]
    fn what_cannot_be_swept_is_refused_before_any_work() {
        for (text, says) in [
            ("devices.ring.extincton=10dB:40dB:3", "did you mean `devices.ring.extinction`?"),
            ("devices.unit.encoding=1:2:2", "is no number"),
            ("arithmetic.moduli=1:2:2", "is no number"),
            ("devices.ring.extinction=10dB:40dB", "count are needed"),
            ("devices.ring.extinction", "no `=`"),
            ("devices.ring.extinction=10:40:3", "as text with a unit"),
            ("devices.ring.extinction=10dB:40GHz:3", "different kinds"),
            ("devices.ring.extinction=10dB:400dB:3", "must lie in 0 dB to 200 dB"),
            ("devices.ring.extinction=10dB:40dB:3:cubic", "no scale"),
            ("devices.ring.extinction=0dB:40dB:3:log", "positive"),
            ("devices.ring.extinction=10dB:40dB:0", "count must be"),
            ("devices.ring.extinction=10dB:10dB:3", "different ones"),
            ("devices.dac.bits=8:10:9", "visit 8 twice"),
            ("devices.dac.bits=8.5:10.5:3", "whole number"),
            ("devices.dac.bits=8 bit:10 bit:3", "bit"),
            ("devices.dac.inl=0.1 dB:1 dB:3", "plain number"),
            ("devices.dac.inl,devices.dac.inl=0.1:1:3", "twice"),
            ("devices.dac.inl=NaN:1:3", "neither a number"),
        ] {
            let error = Axis::parse(text, &design()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
