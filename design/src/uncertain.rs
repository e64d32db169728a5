//! Values that carry a standard deviation.

use toml::de::{DeTable, DeValue};

use crate::{DesignError, Document, convert, quantity};

/// A value and its standard deviation: `{ value = "2.1 dB/cm", sigma = "0.2 dB/cm" }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Uncertain {
    /// Dotted key.
    pub key: String,
    /// The value in its unit.
    pub value: f64,
    /// Its standard deviation, in the unit of the value.
    pub sigma: f64,
    /// Unit as the value has it; empty for plain numbers.
    pub unit: String,
}

impl Document {
    /// All values with a standard deviation, in the order of the file.
    ///
    /// # Errors
    /// A `sigma` of another kind than its value, that is not positive, or beside a value that is no number.
    pub fn uncertain(&self) -> Result<Vec<Uncertain>, DesignError> {
        let mut found = Vec::new();
        self.collect("", &self.table()?, &mut found)?;
        Ok(found)
    }

    fn collect(
        &self,
        prefix: &str,
        table: &DeTable<'_>,
        found: &mut Vec<Uncertain>,
    ) -> Result<(), DesignError> {
        for (name, value) in table.iter() {
            let DeValue::Table(inner) = value.get_ref() else { continue };
            let name: &str = name.get_ref();
            let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
            match (inner.get("value"), inner.get("sigma")) {
                (None, _) => self.collect(&key, inner, found)?,
                (Some(_), None) => {}
                (Some(value), Some(sigma)) => {
                    let one = uncertain(&key, value.get_ref(), sigma.get_ref());
                    let wrong =
                        |why: String| self.locate(DesignError::new(why).with_span(Some(sigma.span())));
                    found.push(one.map_err(wrong)?);
                }
            }
        }
        Ok(())
    }
}

/// A number and its unit as text or as a plain number.
fn number(value: &DeValue<'_>) -> Option<(f64, String)> {
    match value {
        DeValue::String(text) => {
            let (number, unit) = quantity(text)?;
            Some((number.parse().ok()?, unit.to_owned()))
        }
        DeValue::Integer(i) => Some((i.to_string().parse().ok()?, String::new())),
        DeValue::Float(x) => Some((x.to_string().parse().ok()?, String::new())),
        _ => None,
    }
}

fn uncertain(key: &str, value: &DeValue<'_>, sigma: &DeValue<'_>) -> Result<Uncertain, String> {
    if matches!(value, DeValue::Integer(_)) {
        return Err("only a real number or a quantity can have a sigma, not a whole number".into());
    }
    let (value, unit) =
        number(value).ok_or("only a number can have a sigma; the value beside it is none".to_owned())?;
    let (sigma, own) = number(sigma).ok_or("this sigma is no number".to_owned())?;
    let sigma = if own.is_empty() && unit.is_empty() { Some(sigma) } else { convert(sigma, &own, &unit) };
    let sigma = sigma.ok_or_else(|| match (unit.as_str(), own.as_str()) {
        ("", own) => format!("the value is a plain number, its sigma has the unit {own}"),
        (unit, "") => format!("this sigma has no unit: write it in {unit}, as the value"),
        (unit, own) => format!("the value is in {unit}, its sigma in {own}: another kind of quantity"),
    })?;
    if !(sigma.is_finite() && sigma > 0.0) {
        return Err("this sigma must be above zero".into());
    }
    Ok(Uncertain { key: key.to_owned(), value, sigma, unit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Uncertain>, String> {
        Document::new(text, "x.toml").unwrap().uncertain().map_err(|e| e.to_string())
    }

    #[test]
    fn sigmas_are_read_in_the_unit_of_their_value() {
        let text = "[a.b]\nloss = { value = \"2 dB/cm\", sigma = \"10 dB/m\", mark = \"S\" }\nplain = { value = 0.1, sigma = 0.02 }\n\
            other = { value = 3, source = \"x\" }\nbare = 4\n";
        let found = read(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].key.as_str(), found[0].value, found[0].unit.as_str()),
            ("a.b.loss", 2.0, "dB/cm")
        );
        assert!((found[0].sigma - 0.1).abs() < 1e-12);
        assert_eq!((found[1].value, found[1].sigma), (0.1, 0.02));
    }

    #[test]
    fn wrong_sigmas_show_their_line() {
        for (value, sigma, word) in [
            ("\"2 dB\"", "\"1 mW\"", "another kind"),
            ("\"2 dB\"", "0.1", "has no unit"),
            ("0.1", "\"1 dB\"", "plain number"),
            ("0.1", "-0.1", "above zero"),
            ("0.1", "\"x\"", "no number"),
            ("\"natural\"", "1.0", "only a number"),
            ("8", "1.0", "whole number"),
            ("\"required\"", "\"1 dB\"", "only a number"),
        ] {
            let error = read(&format!("[a]\nk = {{ value = {value}, sigma = {sigma} }}\n")).unwrap_err();
            assert!(error.contains(word) && error.contains("x.toml:2"), "{value} {sigma}: {error}");
        }
    }
}
