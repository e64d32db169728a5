use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::error::Place;
use crate::{DesignError, closest};

/// The text of a design file.
#[derive(Debug, Clone)]
pub struct Document {
    text: String,
    file: String,
}

/// One value of the file with what is said of it, for tables of provenance.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Provenance {
    /// Dotted key, such as `devices.ring.extinction`.
    pub key: String,
    /// The value as written.
    pub value: String,
    /// Where it comes from; empty when not said.
    pub source: String,
    /// How sure it is; empty when not said.
    pub mark: String,
}

impl Document {
    /// Takes the text of a file named `file`; an error when it is not TOML.
    pub fn new(text: impl Into<String>, file: impl Into<String>) -> Result<Self, DesignError> {
        let document = Self { text: text.into(), file: file.into() };
        match document.table() {
            Ok(_) => Ok(document),
            Err(error) => Err(match other_format(&document.text) {
                Some(help) => error.with_help(help),
                None => error,
            }),
        }
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file's name.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Reads the top-level table `name`, refusing unknown keys when `T` does.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, DesignError> {
        let mut table = self.table()?;
        let value = table.remove(name).ok_or_else(|| {
            let help = format!("add a table `[{name}]`; `mirage design show` prints a complete design");
            let mut error = DesignError::new(format!("the section `[{name}]` is missing")).with_help(help);
            error.detail().place = Some(self.place(0));
            error
        })?;
        T::deserialize(ValueDeserializer::from(value)).map_err(|e| self.explained(&e).with_section(name))
    }

    /// Refuses a top-level section that is not among `known`.
    pub fn only_sections(&self, known: &[&str]) -> Result<(), DesignError> {
        for key in self.table()?.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let error = DesignError::new(format!("unknown section `{name}`")).with_span(Some(key.span()));
                let help = match closest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the sections are {}", known.join(", ")),
                };
                return Err(self.locate(error.with_help(help)));
            }
        }
        Ok(())
    }

    /// Adds file, line and text to an error that knows only its span.
    pub fn locate(&self, mut error: DesignError) -> DesignError {
        let detail = error.detail();
        if detail.place.is_none()
            && let Some(span) = &detail.span
        {
            let start = span.start;
            detail.place = Some(self.place(start));
            detail.key = detail.key.take().or_else(|| self.key_at(start));
        }
        error
    }

    /// Every value of the file with its source and mark, in the file's order.
    pub fn provenance(&self) -> Result<Vec<Provenance>, DesignError> {
        fn walk(prefix: &str, value: &DeValue<'_>, start: usize, out: &mut Vec<(usize, Provenance)>) {
            let DeValue::Table(table) = value else {
                let value = plain(value);
                out.push((
                    start,
                    Provenance { key: prefix.into(), value, source: String::new(), mark: String::new() },
                ));
                return;
            };
            if let Some(value) = table.get("value") {
                let text =
                    |k: &str| table.get(k).and_then(|v| v.get_ref().as_str()).unwrap_or_default().to_owned();
                let value = plain(value.get_ref());
                out.push((
                    start,
                    Provenance { key: prefix.into(), value, source: text("source"), mark: text("mark") },
                ));
                return;
            }
            for (key, value) in table.iter() {
                let name: &str = key.get_ref();
                let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
                walk(&key, value.get_ref(), value.span().start, out);
            }
        }
        let mut out = Vec::new();
        walk("", &DeValue::Table(self.table()?), 0, &mut out);
        out.sort_by_key(|(start, _)| *start);
        Ok(out.into_iter().map(|(_, p)| p).collect())
    }

    pub(crate) fn table(&self) -> Result<DeTable<'_>, DesignError> {
        DeTable::parse(&self.text).map(toml::Spanned::into_inner).map_err(|e| self.explained(&e))
    }

    fn explained(&self, error: &toml::de::Error) -> DesignError {
        let (message, help) = explain(error.message());
        let mut e = DesignError::new(message).with_span(error.span());
        e.detail().help = help;
        self.locate(e)
    }

    fn place(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        Place {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            source_line: self.text[start..].lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// The dotted key whose value starts at or spans `offset`.
    fn key_at(&self, offset: usize) -> Option<String> {
        fn find(prefix: &str, table: &DeTable<'_>, offset: usize) -> Option<String> {
            for (key, value) in table.iter() {
                let name: &str = key.get_ref();
                let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
                if let DeValue::Table(inner) = value.get_ref()
                    && !inner.contains_key("value")
                {
                    if let Some(found) = find(&path, inner, offset) {
                        return Some(found);
                    }
                } else if value.span().contains(&offset) || key.span().contains(&offset) {
                    return Some(path);
                }
            }
            None
        }
        find("", DeTable::parse(&self.text).ok()?.get_ref(), offset)
    }
}

impl DesignError {
    fn with_section(mut self, name: &str) -> Self {
        self.detail().key.get_or_insert_with(|| name.to_owned());
        self
    }
}

/// Reads one top-level section of a design text; see [`Document::section`].
pub fn parse_section<T: DeserializeOwned>(text: &str, file: &str, section: &str) -> Result<T, DesignError> {
    Document::new(text, file)?.section(section)
}

fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) => s.to_string(),
        DeValue::Integer(i) => i.to_string(),
        DeValue::Float(x) => x.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(d) => d.to_string(),
        DeValue::Array(a) => {
            format!("[{}]", a.iter().map(|v| plain(v.get_ref())).collect::<Vec<_>>().join(", "))
        }
        DeValue::Table(_) => "{…}".to_owned(),
    }
}

/// Turns the parser's words into a message and, for an unknown name, the closest match.
fn explain(message: &str) -> (String, Option<String>) {
    for what in ["unknown field", "unknown variant"] {
        if message.starts_with(what) {
            let mut names = message.split('`').skip(1).step_by(2);
            let Some(wrong) = names.next() else { break };
            let known: Vec<&str> = names.collect();
            let word = if what == "unknown field" { "unknown key" } else { "unknown choice" };
            let help = match closest(wrong, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            return (format!("{word} `{wrong}`"), Some(help));
        }
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return (format!("the key {rest} is missing here"), None);
    }
    (in_words(message.trim_end()).replace('\n', "; "), None)
}

/// The names that numbers have in the program, as words.
fn in_words(message: &str) -> String {
    let Some((before, kind)) = message.rsplit_once("expected ") else { return message.to_owned() };
    let word = match kind {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 up",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        _ => return message.to_owned(),
    };
    format!("{before}expected {word}")
}

/// What to do about a text that begins as another format does.
fn other_format(text: &str) -> Option<String> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let format = match first {
        f if f.starts_with('{') => "JSON",
        f if f.starts_with('<') => "XML or HTML",
        f if f.contains('=') || f.starts_with('[') => return None,
        f if f == "---" || f.ends_with(':') || f.contains(": ") => "YAML",
        f if f.contains(',') => "CSV",
        _ => return None,
    };
    Some(format!(
        "this looks like {format}; a design file is TOML: `mirage design show --text` prints one to start from"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frequency, Mark, Power, Setting, Value};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Laser {
        power: Value<Setting<Power>>,
        linewidth: Value<Frequency>,
        count: Value<u32>,
        moduli: Value<Vec<u32>>,
    }

    const GOOD: &str = "[laser]\npower = \"required\"\nlinewidth = { value = \"100 kHz\", source = \"data sheet\", mark = \"R-\" }\ncount = 3\nmoduli = { value = [31, 32, 33], mark = \"R+\" }\n";

    fn read(text: &str) -> Result<Laser, DesignError> {
        Document::new(text, "x.toml")?.section("laser")
    }

    #[test]
    fn reads_plain_and_sourced_values() {
        let laser = read(GOOD).unwrap();
        assert_eq!(*laser.power, Setting::Required);
        assert_eq!(laser.linewidth.si(), 1e5);
        assert_eq!(laser.linewidth.mark, Some(Mark::Guess));
        assert_eq!(*laser.count, 3);
        assert_eq!(laser.moduli.get(), &[31, 32, 33]);
        let given = read(&GOOD.replace("\"required\"", "\"3 mW\"")).unwrap();
        assert_eq!(given.power.given().unwrap().si(), 3e-3);
    }

    #[test]
    fn errors_show_line_and_key() {
        let cases = [
            ("linewidth = { value = \"100 kHz\"", "linewidth = { value = \"100\"", 3, "has no unit"),
            ("linewidth = { value = \"100 kHz\"", "linewidth = { value = 100", 3, "as text with a unit"),
            ("mark = \"R-\"", "mark = \"Q\"", 3, "not a mark"),
            ("source =", "sauce =", 3, "did you mean `source`?"),
            ("count = 3", "count = -3", 4, "invalid value"),
            ("count = 3", "cuont = 3", 4, "did you mean `count`?"),
            ("count = 3\n", "", 1, "the key `count` is missing"),
            ("power = \"required\"", "power = \"3 kg\"", 2, "not a unit"),
            ("count = 3", "count = = 3", 4, ""),
        ];
        for (from, to, line, says) in cases {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(error.line(), Some(line), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_check_is_located_and_names_its_key() {
        let document = Document::new(GOOD, "x.toml").unwrap();
        let laser: Laser = document.section("laser").unwrap();
        let error = document.locate(laser.linewidth.invalid("must be below 10 Hz"));
        assert!(error.to_string().starts_with("x.toml:3:13: laser.linewidth: this value must be"), "{error}");
    }

    #[test]
    fn another_format_is_named() {
        for (text, format) in [
            ("{\"devices\": {}}", "JSON"),
            ("# mine\ndevices:\n  laser: 3\n", "YAML"),
            ("a,b,c\n1,2,3\n", "CSV"),
            ("<html>", "XML or HTML"),
        ] {
            let error = Document::new(text, "x").unwrap_err().to_string();
            assert!(error.contains(&format!("looks like {format}")) && error.starts_with("x:"), "{error}");
        }
        assert!(!Document::new("[a]\nb = = 3\n", "x").unwrap_err().to_string().contains("looks like"));
        let error = read(&GOOD.replace("count = 3", "count = 3.5")).unwrap_err();
        assert!(error.to_string().contains("expected a whole number"), "{error}");
    }

    #[test]
    fn unknown_sections_are_refused() {
        let document = Document::new("[lazer]\n", "x.toml").unwrap();
        let error = document.only_sections(&["laser", "system"]).unwrap_err();
        assert!(error.to_string().contains("did you mean `laser`?"), "{error}");
    }

    #[test]
    fn provenance_lists_all_values_in_order() {
        let list = Document::new(GOOD, "x.toml").unwrap().provenance().unwrap();
        assert_eq!(list.len(), 4);
        assert_eq!(list[1].key, "laser.linewidth");
        assert_eq!(list[1].mark, "R-");
        assert_eq!(list[3].value, "[31, 32, 33]");
    }
}
