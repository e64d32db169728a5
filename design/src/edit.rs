//! One value of a design replaced by another, for sweeps.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::{DesignError, Document, closest};

/// The word for a value that the toolkit has to find.
pub(crate) const REQUIRED: &str = "required";

/// What kind of value stands at a key, as far as the text tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A plain number, as written.
    Number(String),
    /// A number with the text of its unit, such as `20` and `dB`.
    Quantity(String, String),
    /// `"required"`: solved for, of a kind that only the section knows.
    Required,
}

impl Document {
    /// The number or quantity at a dotted key such as `devices.ring.extinction`.
    ///
    /// # Errors
    /// A key that is not in the file (with the closest one), or whose value is no number.
    pub fn scalar(&self, key: &str) -> Result<Scalar, DesignError> {
        let found = self.find(key)?;
        let scalar = match &found.value {
            Leaf::Number(text) => Some(Scalar::Number(text.clone())),
            Leaf::Text(text) if text == REQUIRED => Some(Scalar::Required),
            Leaf::Text(text) => quantity(text).map(|(number, unit)| match unit {
                "" => Scalar::Number(number.to_owned()),
                unit => Scalar::Quantity(number.to_owned(), unit.to_owned()),
            }),
            Leaf::Other => None,
        };
        scalar.ok_or_else(|| {
            let written = self.text()[found.span.clone()].chars().take(40).collect::<String>();
            let error = DesignError::new(format!("{written} is no number")).with_span(Some(found.span));
            self.locate(error)
                .with_help("a key is numeric when its value is a number or a quantity with a unit")
        })
    }

    /// The same design with another value at a dotted key; source, mark and everything else stay.
    ///
    /// A quantity stays text in quotes and a number stays a number; in the place of `"required"` a bare number is written
    /// as a number, anything else as text. A list takes the place of a list. Whether the section takes the value shows when the section is read.
    ///
    /// # Errors
    /// A key that is not in the file (with the closest one), text for a number, or a value that is neither number, text nor list.
    pub fn with_value(&self, key: &str, value: &str) -> Result<Self, DesignError> {
        let found = self.find(key)?;
        let number = value.parse::<f64>().is_ok_and(f64::is_finite);
        let written = match &found.value {
            Leaf::Number(_) if number => value.to_owned(),
            Leaf::Text(text) if text == REQUIRED && number => value.to_owned(),
            Leaf::Text(_) => toml::Value::from(value).to_string(),
            Leaf::Number(old) => {
                let error = DesignError::new(format!(
                    "`{value}` cannot stand here: {old} is a plain number, without a unit"
                ));
                return Err(self.locate(error.with_span(Some(found.span))));
            }
            Leaf::Other if is_array(value) => value.to_owned(),
            Leaf::Other => {
                let error = DesignError::new(format!(
                    "`{value}` cannot stand here: only numbers, text and lists such as [1, 2, 3] can be replaced"
                ));
                return Err(self.locate(error.with_span(Some(found.span))));
            }
        };
        let mut text = self.text().to_owned();
        text.replace_range(found.span, &written);
        Self::new(text, self.file())
    }

    fn find(&self, key: &str) -> Result<Found, DesignError> {
        let table = self.table()?;
        if let Some(found) = descend(&table, key) {
            return Ok(found);
        }
        let keys: Vec<String> = self.provenance()?.into_iter().map(|p| p.key).collect();
        let under: Vec<&str> = keys.iter().filter_map(|k| k.strip_prefix(key)?.strip_prefix('.')).collect();
        let help = if !under.is_empty() {
            format!("`{key}` is a section with the keys {}", under.join(", "))
        } else {
            match nearest(key, &keys) {
                Some(near) => format!("did you mean `{near}`? A key that the file leaves out must be written there first"),
                None => "`mirage design show` lists all keys; one that the file leaves out must be written there first".to_owned(),
            }
        };
        Err(DesignError::new(format!("{}: there is no key `{key}`", self.file())).with_help(help))
    }
}

/// The closest key, or the one whose last name is closest: people forget sections more often than they misspell them.
fn nearest<'a>(key: &str, keys: &'a [String]) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let wanted = last(key);
    let same = keys.iter().filter(|k| last(k) == wanted).map(String::as_str);
    closest(key, keys.iter().map(String::as_str))
        .filter(|near| strsim::osa_distance(near, key) <= 4)
        .or_else(|| same.min_by_key(|k| strsim::osa_distance(k, key)))
        .or_else(|| closest(key, keys.iter().map(String::as_str)))
}

struct Found {
    value: Leaf,
    /// Bytes of the value alone, without its source and mark.
    span: Range<usize>,
}

enum Leaf {
    /// As written.
    Number(String),
    Text(String),
    Other,
}

fn descend(table: &DeTable<'_>, key: &str) -> Option<Found> {
    let (name, rest) = match key.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (key, None),
    };
    let value = table.get(name)?;
    let (value, rest) = match (value.get_ref(), rest) {
        (DeValue::Table(inner), rest) => match (inner.get("value"), rest) {
            (Some(value), None) => (value, None),
            (Some(_), Some(_)) | (None, None) => return None,
            (None, Some(rest)) => return descend(inner, rest),
        },
        (_, rest) => (value, rest),
    };
    if rest.is_some() {
        return None;
    }
    let leaf = match value.get_ref() {
        DeValue::String(text) => Leaf::Text(text.to_string()),
        DeValue::Integer(i) => Leaf::Number(i.to_string()),
        DeValue::Float(x) => Leaf::Number(x.to_string()),
        _ => Leaf::Other,
    };
    Some(Found { value: leaf, span: value.span() })
}

/// Whether a text is a TOML list.
fn is_array(text: &str) -> bool {
    let table = toml::from_str::<toml::Table>(&format!("list = {text}"));
    table.is_ok_and(|table| table.len() == 1 && table.get("list").is_some_and(toml::Value::is_array))
}

/// A number and the text of its unit, as quantities are written; `None` when the text does not begin with a number.
///
/// ```
/// assert_eq!(mirage_design::quantity("1.5e-3 mW"), Some(("1.5e-3", "mW")));
/// assert_eq!(mirage_design::quantity("natural"), None);
/// ```
pub fn quantity(text: &str) -> Option<(&str, &str)> {
    let (number, unit) = crate::quantity::split(text);
    number.parse::<f64>().is_ok_and(f64::is_finite).then_some((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decibel, Setting, Value};

    const TEXT: &str = "[devices.ring]\nextinction = { value = \"required\", mark = \"required\" } # open\n\
        loss = { value = \"0.2 dB\", source = \"a\", mark = \"S\" }\nkind = \"natural\"\nlist = [1, 2]\n\
        [devices.dac]\nbits = 8\ninl = 0.3\n";

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ring {
        extinction: Value<Setting<Decibel>>,
        loss: Value<Decibel>,
        #[serde(rename = "kind")]
        _kind: String,
        #[serde(rename = "list")]
        _list: Vec<u32>,
    }

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Dac {
        bits: Value<u32>,
        inl: Value<f64>,
    }

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Devices {
        ring: Ring,
        dac: Dac,
    }

    fn document() -> Document {
        Document::new(TEXT, "x.toml").unwrap()
    }

    #[test]
    fn values_are_replaced_and_everything_else_stays() {
        let changed = document().with_value("devices.ring.extinction", "12.5 dB").unwrap();
        let changed = changed.with_value("devices.ring.loss", "0.3 dB").unwrap();
        let changed = changed.with_value("devices.dac.bits", "12").unwrap();
        let changed = changed.with_value("devices.dac.inl", "1e-3").unwrap();
        let devices: Devices = changed.section("devices").unwrap();
        assert_eq!(devices.ring.extinction.given().unwrap().db(), 12.5);
        assert_eq!((devices.ring.loss.db(), devices.ring.loss.source.as_deref()), (0.3, Some("a")));
        assert_eq!((*devices.dac.bits, *devices.dac.inl), (12, 1e-3));
        assert!(changed.text().contains("# open"));
    }

    #[test]
    fn the_kind_of_a_value_is_seen() {
        let kind = |key: &str| document().scalar(key).unwrap();
        assert_eq!(kind("devices.ring.extinction"), Scalar::Required);
        assert_eq!(kind("devices.ring.loss"), Scalar::Quantity("0.2".into(), "dB".into()));
        assert_eq!(kind("devices.dac.bits"), Scalar::Number("8".into()));
        for key in ["devices.ring.kind", "devices.ring.list"] {
            let error = document().scalar(key).unwrap_err();
            assert!(error.to_string().contains("is no number") && error.line().is_some(), "{error}");
        }
    }

    #[test]
    fn wrong_keys_and_values_are_explained() {
        let says = |key: &str, value: &str| document().with_value(key, value).unwrap_err().to_string();
        assert!(says("devices.ring.extincton", "1 dB").contains("did you mean `devices.ring.extinction`?"));
        assert!(says("ring.extinction", "1 dB").contains("did you mean `devices.ring.extinction`?"));
        assert!(says("bits", "1").contains("did you mean `devices.dac.bits`?"));
        assert!(says("devices.ring", "1").contains("a section with the keys extinction, loss"));
        assert!(says("devices.ring.loss.source", "1").contains("no key"));
        assert!(says("devices.dac.bits", "8 bit").contains("a plain number"));
        assert!(says("", "1").contains("no key"));
        // The section still checks the kind: half a bit, and a number without its unit.
        for (key, value, word) in [
            ("devices.dac.bits", "8.5", "expected a whole number"),
            ("devices.ring.loss", "3", "has no unit"),
        ] {
            let error =
                document().with_value(key, value).unwrap().section::<Devices>("devices").err().unwrap();
            assert!(error.to_string().contains(word) && error.line().is_some(), "{error}");
        }
    }
}
