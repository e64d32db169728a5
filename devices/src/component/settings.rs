use std::sync::Arc;

use mirage_design::closest;

/// A setting of a component, as it is declared: name, default, unit, physical range, meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// The name that netlists use.
    pub name: &'static str,
    /// What it holds, with its default.
    pub kind: Kind,
    /// Unit of a number, as text; empty for a pure number.
    pub unit: &'static str,
    /// Smallest and largest number that makes sense.
    pub range: (f64, f64),
    /// What it means, in one line.
    pub doc: &'static str,
}

/// What a setting holds, with its default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A number.
    Number(f64),
    /// A number that may be left out, which the component then replaces as its documentation says.
    Optional,
    /// Text.
    Text(&'static str),
    /// The name of a file, relative to the netlist; it must be given.
    File,
}

impl Setting {
    /// A number between `low` and `high`, both allowed.
    pub const fn number(
        name: &'static str,
        default: f64,
        unit: &'static str,
        (low, high): (f64, f64),
        doc: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Number(default), unit, range: (low, high), doc }
    }

    /// A number that may be left out.
    pub const fn optional(
        name: &'static str,
        unit: &'static str,
        (low, high): (f64, f64),
        doc: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Optional, unit, range: (low, high), doc }
    }

    /// Text.
    pub const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self { name, kind: Kind::Text(default), unit: "", range: (0.0, 0.0), doc }
    }

    /// The value that a text stands for: for a number also with a unit, such as "0.5 mm" where the setting is in um.
    ///
    /// # Errors
    /// Text that is no number, or has a unit that cannot become the setting's.
    pub fn parse(&self, text: &str) -> Result<Value, ComponentError> {
        if matches!(self.kind, Kind::Text(_) | Kind::File) {
            return Ok(Value::Text(text.to_owned()));
        }
        if let Ok(x) = text.trim().parse() {
            return Ok(Value::Number(x));
        }
        let with_unit = mirage_design::quantity(text).and_then(|(number, unit)| {
            let x = number.parse().ok()?;
            if unit == self.unit { Some(x) } else { mirage_design::convert(x, unit, self.unit) }
        });
        with_unit.map(Value::Number).ok_or_else(|| {
            let unit = if self.unit.is_empty() { "without unit".into() } else { format!("in {}", self.unit) };
            ComponentError::of(
                self.name,
                format!("setting `{}` is a number {unit}, not \"{text}\"", self.name),
            )
        })
    }

    /// The name of a file.
    pub const fn file(name: &'static str, doc: &'static str) -> Self {
        Self { name, kind: Kind::File, unit: "", range: (0.0, 0.0), doc }
    }
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The same number at every point.
    Number(f64),
    /// A number for each point of the batch.
    Numbers(Arc<[f64]>),
    /// Text, or the name of a file.
    Text(String),
}

/// What is wrong with a component's settings or points; who uses the component adds where it stands.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{problem}")]
pub struct ComponentError {
    /// The setting that is wrong, when it is one.
    pub setting: Option<String>,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl ComponentError {
    /// An error that is not of one setting.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { setting: None, problem: problem.into() }
    }

    /// An error of one setting.
    pub fn of(setting: &str, problem: impl Into<String>) -> Self {
        Self { setting: Some(setting.to_owned()), problem: problem.into() }
    }
}

/// The settings of one component: what is given, over the defaults of its declaration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    declared: &'static [Setting],
    given: Vec<Option<Value>>,
}

impl Settings {
    /// Every setting at its default.
    pub fn defaults(declared: &'static [Setting]) -> Self {
        Self { declared, given: vec![None; declared.len()] }
    }

    /// Gives a setting.
    ///
    /// # Errors
    /// An unknown name (with the closest one), text for a number or a number for text, a number that is not finite or out of
    /// its range.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), ComponentError> {
        let Some(index) = self.declared.iter().position(|s| s.name == name) else {
            return Err(ComponentError::of(name, self.unknown(name)));
        };
        let setting = &self.declared[index];
        match (&setting.kind, &value) {
            (Kind::Number(_) | Kind::Optional, Value::Number(x)) => check_range(setting, *x)?,
            (Kind::Number(_) | Kind::Optional, Value::Numbers(all)) => {
                all.iter().try_for_each(|x| check_range(setting, *x))?;
            }
            (Kind::Text(_) | Kind::File, Value::Text(_)) => {}
            (Kind::Text(_) | Kind::File, _) => {
                return Err(ComponentError::of(name, format!("setting `{name}` is text, not a number")));
            }
            (_, Value::Text(text)) => {
                let problem = format!("setting `{name}` is a number, not the text \"{text}\"");
                return Err(ComponentError::of(name, problem));
            }
        }
        self.given[index] = Some(value);
        Ok(())
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.declared.iter().map(|s| s.name).collect();
        match closest(name, names.iter().copied()) {
            Some(near) => format!("unknown setting `{name}`; did you mean `{near}`?"),
            None if names.is_empty() => format!("unknown setting `{name}`: this component has none"),
            None => format!("unknown setting `{name}`: this component has {}", names.join(", ")),
        }
    }

    /// Equal for equal settings, and nearly always different for different ones.
    pub(crate) fn fingerprint(&self) -> Vec<u64> {
        let of = |value: &Option<Value>| match value {
            None => 0,
            Some(Value::Number(x)) => x.to_bits(),
            Some(Value::Numbers(all)) => all.iter().fold(1, |hash: u64, x| hash.rotate_left(7) ^ x.to_bits()),
            Some(Value::Text(text)) => {
                text.bytes().fold(2, |hash: u64, b| hash.rotate_left(7) ^ u64::from(b))
            }
        };
        self.given.iter().map(of).collect()
    }

    /// Whether every setting that must be given is given.
    ///
    /// # Errors
    /// The first file that is missing.
    pub fn check_complete(&self) -> Result<(), ComponentError> {
        let missing =
            self.declared.iter().zip(&self.given).find(|(s, g)| s.kind == Kind::File && g.is_none());
        missing.map_or(Ok(()), |(s, _)| {
            Err(ComponentError::of(s.name, format!("setting `{}` is missing: {}", s.name, s.doc)))
        })
    }

    /// Whether every setting that varies has `points` values.
    ///
    /// # Errors
    /// The first setting that has another number of values.
    pub fn check_points(&self, points: usize) -> Result<(), ComponentError> {
        for (s, given) in self.declared.iter().zip(&self.given) {
            if let Some(Value::Numbers(all)) = given
                && all.len() != points
            {
                let problem = format!("setting `{}` has {} values for {points} points", s.name, all.len());
                return Err(ComponentError::of(s.name, problem));
            }
        }
        Ok(())
    }

    /// What was given for a setting, if anything.
    pub fn given(&self, name: &str) -> Option<&Value> {
        self.given[self.declared.iter().position(|s| s.name == name)?].as_ref()
    }

    /// Whether a setting was given.
    pub fn is_given(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// The number of a declared setting at each point; NaN at all points for an optional one that is not given.
    pub fn number(&self, name: &str) -> Numbers<'_> {
        let Some(index) = self.declared.iter().position(|s| s.name == name) else {
            return Numbers::Same(f64::NAN);
        };
        match (&self.given[index], self.declared[index].kind) {
            (Some(Value::Number(x)), _) => Numbers::Same(*x),
            (Some(Value::Numbers(all)), _) => Numbers::Each(all),
            (None, Kind::Number(default)) => Numbers::Same(default),
            _ => Numbers::Same(f64::NAN),
        }
    }

    /// The text of a declared setting; empty for a file that is not given.
    pub fn text(&self, name: &str) -> &str {
        let declared = self.declared.iter().find(|s| s.name == name);
        match (self.given(name), declared.map(|s| s.kind)) {
            (Some(Value::Text(text)), _) => text,
            (_, Some(Kind::Text(default))) => default,
            _ => "",
        }
    }
}

fn check_range(setting: &Setting, x: f64) -> Result<(), ComponentError> {
    let (low, high) = setting.range;
    if x.is_finite() && x >= low && x <= high {
        return Ok(());
    }
    let allowed = match (low.is_finite(), high.is_finite()) {
        _ if !x.is_finite() => "be finite".to_owned(),
        (true, true) => format!("lie between {low} and {high}"),
        (true, false) => format!("be at least {low}"),
        _ => format!("be at most {high}"),
    };
    let unit = if setting.unit.is_empty() { String::new() } else { format!(" {}", setting.unit) };
    Err(ComponentError::of(setting.name, format!("setting `{}` = {x}{unit} must {allowed}", setting.name)))
}

/// A number for each point of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Numbers<'a> {
    /// The same number at every point.
    Same(f64),
    /// One for each point.
    Each(&'a [f64]),
}

impl Numbers<'_> {
    /// The number at a point; NaN beyond the last one.
    pub fn at(&self, point: usize) -> f64 {
        match self {
            Numbers::Same(x) => *x,
            Numbers::Each(all) => all.get(point).copied().unwrap_or(f64::NAN),
        }
    }

    /// A function of two numbers at each point, worked out once where both are the same at every point.
    pub(crate) fn map2(self, other: Self, f: impl Fn(f64, f64) -> f64) -> impl Fn(usize) -> f64 {
        let both = self.same().zip(other.same()).map(|(a, b)| f(a, b));
        move |point| both.unwrap_or_else(|| f(self.at(point), other.at(point)))
    }

    /// The number, where it is the same at every point.
    pub fn same(&self) -> Option<f64> {
        match self {
            Numbers::Same(x) => Some(*x),
            Numbers::Each(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Setting] = &[
        Setting::number("length", 10.0, "um", (0.0, f64::INFINITY), "length"),
        Setting::number("coupling", 0.5, "", (0.0, 1.0), "power coupling"),
        Setting::optional("loss_dB_cross", "dB", (0.0, f64::INFINITY), "loss"),
        Setting::file("file", "a table of S-parameters"),
    ];

    #[test]
    fn wrong_settings_are_refused_with_reason() {
        let mut settings = Settings::defaults(DECLARED);
        let problem = |s: &mut Settings, name: &str, value| s.set(name, value).unwrap_err().problem;
        let unknown = problem(&mut settings, "lenght", Value::Number(1.0));
        assert!(unknown.contains("did you mean `length`?"), "{unknown}");
        let range = problem(&mut settings, "length", Value::Number(-1.0));
        assert!(range.contains("= -1 um must be at least 0"), "{range}");
        assert!(problem(&mut settings, "coupling", Value::Number(1.1)).contains("between 0 and 1"));
        assert!(problem(&mut settings, "length", Value::Number(f64::NAN)).contains("finite"));
        assert!(problem(&mut settings, "length", Value::Number(f64::INFINITY)).contains("finite"));
        assert!(problem(&mut settings, "length", Value::Text("long".into())).contains("is a number"));
        assert!(problem(&mut settings, "file", Value::Number(1.0)).contains("is text"));
        assert!(settings.check_complete().unwrap_err().problem.contains("`file` is missing"));
        let bad: Arc<[f64]> = vec![1.0, -1.0].into();
        assert!(settings.set("length", Value::Numbers(bad)).is_err());
    }

    #[test]
    fn texts_may_carry_a_unit() {
        let (length, coupling) = (&DECLARED[0], &DECLARED[1]);
        assert_eq!(length.parse("12.5").unwrap(), Value::Number(12.5));
        let in_mm = length.parse("0.5 mm").unwrap();
        assert!(matches!(in_mm, Value::Number(x) if (x - 500.0).abs() < 1e-9), "{in_mm:?}");
        assert_eq!(coupling.parse("0.25").unwrap(), Value::Number(0.25));
        assert!(length.parse("5 V").unwrap_err().problem.contains("a number in um"));
        assert!(coupling.parse("half").is_err());
        assert_eq!(DECLARED[3].parse("5").unwrap(), Value::Text("5".into()));
    }

    #[test]
    fn values_lie_over_defaults() {
        let mut settings = Settings::defaults(DECLARED);
        assert_eq!(settings.number("length").at(3), 10.0);
        assert!(settings.number("loss_dB_cross").at(0).is_nan());
        settings.set("length", Value::Numbers(vec![1.0, 2.0].into())).unwrap();
        assert_eq!(settings.number("length").at(1), 2.0);
        assert!(settings.check_points(3).is_err() && settings.check_points(2).is_ok());
        settings.set("file", Value::Text("a.dat".into())).unwrap();
        assert_eq!(settings.text("file"), "a.dat");
        assert!(settings.check_complete().is_ok());
    }
}
