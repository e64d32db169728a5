//! A CSV read back: plots and reports are made from the files that lie beside them.

use std::path::Path;

use crate::error::{CliError, Result};

/// Rows of text with named columns.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a file that must have the given columns; lines that begin with # are comments.
    pub fn read(folder: &Path, name: &str, needed: &[&str]) -> Result<Self> {
        let path = folder.join(name);
        let text = std::fs::read(&path).map_err(|e| CliError::read(&path, e))?;
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(&text[..]);
        let columns: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        if let Some(missing) = needed.iter().find(|n| !columns.iter().any(|c| c == *n)) {
            return Err(CliError::message(format!("{} has no column `{missing}`", path.display())));
        }
        let rows =
            reader.records().map(|r| Ok(r?.iter().map(str::to_owned).collect())).collect::<Result<_>>()?;
        Ok(Self { columns, rows })
    }

    fn index(&self, column: &str) -> usize {
        self.columns.iter().position(|c| c == column).unwrap_or(usize::MAX)
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(move |fields| Row { table: self, fields })
    }

    /// Different values of a column, in the order of their first row.
    pub fn distinct(&self, column: &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        for row in self.rows() {
            if !seen.iter().any(|s| s == row.text(column)) {
                seen.push(row.text(column).to_owned());
            }
        }
        seen
    }
}

/// One row of a [`Table`].
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    fields: &'a [String],
}

impl<'a> Row<'a> {
    /// The text of a column that the reader asked for.
    pub fn text(&self, column: &str) -> &'a str {
        self.fields.get(self.table.index(column)).map_or("", String::as_str)
    }

    /// The number of a column; NaN where it is empty.
    pub fn number(&self, column: &str) -> f64 {
        self.text(column).parse().unwrap_or(f64::NAN)
    }
}

/// Prints lines of texts under their columns, long numbers to four digits; or with `json` as a list of objects, as they are.
pub fn say_rows(header: &[String], rows: &[Vec<String>], json: bool) -> Result<()> {
    if json {
        let line = |row: &Vec<String>| -> serde_json::Map<String, serde_json::Value> {
            header.iter().cloned().zip(row.iter().map(|text| text.clone().into())).collect()
        };
        say!("{}", serde_json::to_string_pretty(&rows.iter().map(line).collect::<Vec<_>>())?);
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header);
    rows.iter().for_each(|row| {
        table.add_row(row.iter().map(|cell| shortened(cell)));
    });
    say!("{table}");
    Ok(())
}

/// A number with more digits than anybody reads, to four of them.
fn shortened(cell: &str) -> String {
    let digits = cell.bytes().take_while(|b| !matches!(b, b'e' | b'E')).filter(u8::is_ascii_digit).count();
    match cell.parse::<f64>() {
        Ok(x) if digits > 5 && x.is_finite() && x.abs() >= 1e-3 && x.abs() < 1e5 => {
            let places = (3 - x.abs().log10().floor() as i32).max(0) as usize;
            format!("{x:.places$}")
        }
        Ok(x) if digits > 5 && x.is_finite() => format!("{x:.3e}"),
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn four_digits_are_shown() {
        let cases = [
            ("0.0123456789", "0.01235"),
            ("123456.789", "1.235e5"),
            ("12345.678", "12346"),
            ("1.23456789e-9", "1.235e-9"),
            ("1000", "1000"),
            ("OPT2", "OPT2"),
            ("[31, 32, 33]", "[31, 32, 33]"),
            ("", ""),
        ];
        for (cell, expected) in cases {
            assert_eq!(shortened(cell), expected);
        }
    }
}
