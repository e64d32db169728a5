//! A piece of a design file, kept as numbers: text is made of it once, at the end, and the spread of a process from several.

use super::outcome::{quoted, short};
use crate::fit::Estimate;
use mirage_devices::LIGHT_SPEED;

/// Keys of a design with their values and sources.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fragment {
    /// A comment above all; empty for none.
    pub heading: &'static str,
    /// What is to be known of the numbers, as comments.
    pub remarks: Vec<String>,
    /// The sections, in the order in which they are written.
    pub sections: Vec<Section>,
}

/// A section of a design.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Such as `devices.ring`.
    pub name: &'static str,
    /// Comments on how it goes into a design; empty for none.
    pub comment: &'static str,
    /// Its keys.
    pub lines: Vec<Line>,
}

/// One key of a design.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A number that was measured.
    Measured(Measured),
    /// A number that others of the section determine.
    Follows {
        /// The key.
        key: &'static str,
        /// From which, and how.
        rule: Rule,
    },
    /// What was not fitted.
    Chosen {
        /// The key.
        key: &'static str,
        /// Its value, as TOML has it.
        value: String,
        /// Mark of a design's values.
        mark: &'static str,
        /// Where it comes from.
        source: String,
    },
}

/// A number that was measured, in the unit in which it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The key.
    pub key: &'static str,
    /// Best value.
    pub value: f64,
    /// Its standard error; none for a value at the end of its range.
    pub error: Option<f64>,
    /// Standard deviation with which a design draws it: the standard error of one device, or how much devices differ.
    pub sigma: Option<f64>,
    /// Unit; empty for a plain number.
    pub unit: &'static str,
    /// How it was had.
    pub how: String,
    /// Source: data, how it was had, interval.
    pub source: String,
    /// What it refers to, if it is another number elsewhere.
    pub condition: Option<Condition>,
    /// The least that a design takes.
    pub least: f64,
}

/// What a number refers to, by the name of the setting that determines it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// Name of the setting.
    pub setting: &'static str,
    /// Its value.
    pub value: f64,
    /// Unit of the value.
    pub unit: &'static str,
}

/// How a number follows from another of its section.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// It is the same number.
    Same {
        /// The other key.
        as_key: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A share of the free spectral range c/(n_g L) of a ring, GHz.
    OfRange {
        /// The key with the group index n_g.
        index: &'static str,
        /// Length L of a round trip, m.
        length: f64,
        /// The share.
        share: f64,
    },
}

impl Rule {
    /// The key that it takes.
    fn other(&self) -> &'static str {
        match self {
            Self::Same { as_key, .. } => as_key,
            Self::OfRange { index, .. } => index,
        }
    }

    /// Value and source.
    fn apply(&self, other: &Measured) -> (String, String) {
        match self {
            Self::Same { why, .. } => {
                (in_unit(told(other.value, other.error), other.unit), (*why).to_owned())
            }
            Self::OfRange { length, share, .. } => {
                let range = 1e-9 * LIGHT_SPEED / (other.value * length);
                let source =
                    format!("not measured: {share} of the free spectral range of {} GHz", short(range));
                (in_unit(short(share * range), "GHz"), source)
            }
        }
    }
}

impl Measured {
    /// A fitted value. `unit` is what it is written in, and how many of them the estimate's own unit is.
    pub(crate) fn new(
        key: &'static str,
        estimate: &Estimate,
        (unit, scale): (&'static str, f64),
        how: &str,
    ) -> Self {
        let value = estimate.value * scale;
        let error = estimate.standard_error.map(|e| e * scale).filter(|e| e.is_finite() && *e > 0.0);
        let interval = match (estimate.lower, estimate.upper) {
            (Some(low), Some(high)) => {
                let [low, high] = [low, high].map(|end| told(end * scale, error));
                format!("95 % interval {low} to {high} {unit}").trim_end().to_owned()
            }
            _ => "no interval: at the end of its range".to_owned(),
        };
        Self {
            key,
            value,
            error,
            sigma: error,
            unit,
            how: how.to_owned(),
            source: format!("{}: {how}, {interval}", estimate.source),
            condition: None,
            least: f64::NEG_INFINITY,
        }
    }

    /// The same for a key that takes nothing below zero.
    pub(crate) fn not_negative(self) -> Self {
        Self { least: 0.0, ..self }
    }

    /// The same, as it refers to the value of a setting.
    pub(crate) fn at(self, condition: Condition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    /// Whether a design takes it.
    fn fits(&self) -> bool {
        self.value.is_finite() && self.value >= self.least
    }

    fn text(&self) -> String {
        let of = |number: String| in_unit(number, self.unit);
        let value = of(told(self.value, self.error));
        let sigma = self.sigma.map_or(String::new(), |s| format!(" sigma = {},", of(short(s))));
        format!(
            "{} = {{ value = {value},{sigma} mark = \"M\", source = {} }}\n",
            self.key,
            quoted(&self.source)
        )
    }
}

impl From<Measured> for Line {
    fn from(measured: Measured) -> Self {
        Self::Measured(measured)
    }
}

impl Line {
    /// What was chosen; `value` is a text.
    pub(crate) fn choice(key: &'static str, value: &str, source: &str) -> Self {
        Self::Chosen { key, value: quoted(value), mark: "choice", source: source.to_owned() }
    }

    /// Its key.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Measured(measured) => measured.key,
            Self::Follows { key, .. } | Self::Chosen { key, .. } => key,
        }
    }
}

impl Section {
    /// The measured number of that key.
    fn measured(&self, key: &str) -> Option<&Measured> {
        self.lines.iter().find_map(|line| match line {
            Line::Measured(measured) if measured.key == key && measured.fits() => Some(measured),
            _ => None,
        })
    }

    /// A line as text, or why there is none.
    fn text(&self, line: &Line) -> Result<String, String> {
        match line {
            Line::Measured(measured) if measured.fits() => Ok(measured.text()),
            Line::Measured(measured) => Err(format!(
                "{} is left out: {} {} lies below {}, the least that a design takes ({})",
                measured.key,
                told(measured.value, measured.error),
                measured.unit,
                measured.least,
                measured.source
            )),
            Line::Follows { key, rule } => {
                let from = rule.other();
                let other = self.measured(from);
                let other = other.ok_or_else(|| format!("{key} is left out: it follows from {from}"))?;
                let (value, source) = rule.apply(other);
                Ok(stated(key, &value, "choice", &source))
            }
            Line::Chosen { key, value, mark, source } => Ok(stated(key, value, mark, source)),
        }
    }
}

impl Fragment {
    /// One section, with its measured lines and what goes with them.
    pub(crate) fn of(name: &'static str, comment: &'static str, lines: Vec<Line>) -> Self {
        Self { sections: vec![Section { name, comment, lines }], ..Self::default() }
    }

    /// Whether it has no line that a design takes.
    pub fn is_empty(&self) -> bool {
        self.written().0.is_empty()
    }

    /// Why lines are left out, because a design would not take them.
    pub fn left_out(&self) -> Vec<String> {
        self.written().1
    }

    /// The text: remarks as comments, what is left out among them, then the sections.
    pub fn text(&self) -> String {
        let (sections, left) = self.written();
        let notes: String =
            self.remarks.iter().chain(&left).map(|remark| comment("Note: ", &plain(remark))).collect();
        comment("", self.heading) + &notes + &sections.join("\n")
    }

    /// The line of that key.
    pub(crate) fn line(&self, section: &str, key: &str) -> Option<&Line> {
        let mut lines = self.sections.iter().filter(|s| s.name == section).flat_map(|s| &s.lines);
        lines.find(|line| line.key() == key)
    }

    /// The sections as text, and why lines are left out.
    fn written(&self) -> (Vec<String>, Vec<String>) {
        let (mut sections, mut left) = (Vec::new(), Vec::new());
        for section in &self.sections {
            let mut text = String::new();
            for line in &section.lines {
                match section.text(line) {
                    Ok(line) => text += &line,
                    Err(why) => left.push(why),
                }
            }
            if !text.is_empty() {
                sections.push(format!("{}[{}]\n{text}", comment("", section.comment), section.name));
            }
        }
        (sections, left)
    }
}

/// Lines of comment.
fn comment(word: &str, text: &str) -> String {
    text.lines().map(|line| format!("# {word}{line}\n")).collect()
}

/// A text on one line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn stated(key: &str, value: &str, mark: &str, source: &str) -> String {
    format!("{key} = {{ value = {value}, mark = \"{mark}\", source = {} }}\n", quoted(source))
}

/// A number as TOML: with its unit in quotes, or a real number, never a whole one.
fn in_unit(number: String, unit: &str) -> String {
    match unit {
        "" if number.contains(['.', 'e']) => number,
        "" => number + ".0",
        unit => format!("\"{number} {unit}\""),
    }
}

/// A number to the second digit of its standard error, and at least to two digits of its own; to five where there is no error.
fn told(x: f64, error: Option<f64>) -> String {
    let first = |x: f64| x.abs().log10().floor() as i32;
    match error.filter(|e| e.is_finite() && *e > 0.0) {
        Some(error) if x != 0.0 && x.is_finite() => {
            super::outcome::rounded(x, (first(x) - first(error) + 2).clamp(2, 15) as usize)
        }
        _ => short(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, error: f64) -> Estimate {
        Estimate {
            name: "x".into(),
            value,
            standard_error: Some(error),
            lower: Some(value - 2.0 * error),
            upper: Some(value + 2.0 * error),
            unit: "A".into(),
            source: "a \"b\"\n.csv".into(),
        }
    }

    #[test]
    fn numbers_go_two_digits_beyond_their_error_and_intervals_have_their_unit() {
        assert_eq!(told(4.181_599_71, Some(5.4e-5)), "4.1816");
        assert_eq!(told(4.181_639_71, Some(5.4e-5)), "4.18164");
        assert_eq!(told(4.181_634_56, Some(9.0e-7)), "4.18163456");
        assert_eq!(told(1234.5, Some(30.0)), "1234");
        assert_eq!((told(0.012_345, Some(3.0)), told(0.0, Some(3.0))), ("0.012".into(), "0".into()));
        assert_eq!((told(2.123_456_7e-9, Some(1e-11)), told(7.0, None)), ("2.123e-9".into(), "7".into()));
        let text = Measured::new("k", &estimate(0.076_776, 0.000_712), ("%", 100.0), "fit").text();
        let source = "a \\\"b\\\"\\u000A.csv: fit, 95 % interval 7.535 to 7.82 %";
        let wanted = format!(
            "k = {{ value = \"7.678 %\", sigma = \"0.0712 %\", mark = \"M\", source = \"{source}\" }}\n"
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn what_a_design_does_not_take_becomes_a_remark_and_so_does_what_follows() {
        let index = Measured::new("group_index", &estimate(4.0, 0.1), ("", 1.0), "fit");
        let rule = Rule::OfRange { index: "group_index", length: 100e-6, share: 0.5 };
        let lines = |index: Measured| vec![index.into(), Line::Follows { key: "detuning", rule }];
        let text = Fragment::of("devices.ring", "", lines(index.clone())).text();
        // c/(4 x 100 um) = 749.48 GHz.
        assert!(text.contains("detuning = { value = \"374.74 GHz\", mark = \"choice\""), "{text}");
        let gone = Fragment::of("devices.ring", "", lines(Measured { value: -1.0, ..index }.not_negative()));
        assert!(gone.is_empty());
        let text = gone.text();
        assert!(text.contains("# Note: group_index is left out: -1 ") && !text.contains('['), "{text}");
        assert!(text.contains("# Note: detuning is left out: it follows from group_index"), "{text}");
    }
}
