//! Lines with their numbers, and the bracketed lists of INTERCONNECT files.

use std::iter::Peekable;

/// Lines of a text that are not blank, trimmed, with their numbers from one.
pub(crate) struct Lines<'a> {
    file: &'a str,
    lines: Peekable<Box<dyn Iterator<Item = (usize, &'a str)> + 'a>>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str, file: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        let lines: Box<dyn Iterator<Item = (usize, &'a str)>> =
            Box::new(lines.filter(|(_, line)| !line.is_empty()));
        Lines { file, lines: lines.peekable() }
    }

    pub(crate) fn file(&self) -> &'a str {
        self.file
    }

    pub(crate) fn next(&mut self) -> Option<(usize, &'a str)> {
        self.lines.next()
    }

    pub(crate) fn next_if(&mut self, test: impl Fn(&str) -> bool) -> Option<(usize, &'a str)> {
        self.lines.next_if(|(_, line)| test(line))
    }
}

/// One entry of a bracketed list: quoted text, or the bare text of a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Text(String),
    Number(String),
}

/// Entries of `(a, 'b', "c")`, between the given brackets; quotes may be single or double, and may hold commas.
pub(crate) fn items(text: &str, open: char, close: char) -> Result<Vec<Item>, String> {
    let inner = text.trim().strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let mut rest =
        inner.ok_or_else(|| format!("expected `{open}...{close}`, found `{}`", start(text)))?.trim();
    let mut list = Vec::new();
    loop {
        let (item, after) = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let (inside, after) = rest[1..].split_once(quote).ok_or("a quote is not closed")?;
                (Item::Text(inside.to_owned()), after)
            }
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Item::Number(rest[..end].trim().to_owned()), &rest[end..])
            }
        };
        list.push(item);
        let after = after.trim_start();
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => return Ok(list),
            None => return Err(format!("expected a comma before `{}`", start(after))),
        }
    }
}

/// The first characters of a text, for messages.
fn start(text: &str) -> String {
    text.chars().take(40).collect()
}
