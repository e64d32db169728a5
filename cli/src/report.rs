//! The report of a run: one HTML page made from the summary and the pictures of its folder.

use std::collections::BTreeMap;

use minijinja::{Environment, Value};

use crate::error::{CliError, Result};
use crate::folder::Folder;

const TEMPLATE: &str = include_str!("report.html");

/// Writes report.html with the pictures that this run wrote to the folder.
pub fn write(folder: &Folder, summary: &serde_json::Value) -> Result<()> {
    let mut environment = Environment::new();
    environment.add_filter("si", si);
    environment.add_filter("sci", sci);
    environment.add_filter("percent", percent);
    environment.add_filter("fixed", |x: f64, digits: usize| format!("{x:.digits$}"));
    // Only pictures of this run: a folder may hold those of an earlier one.
    let pictures: BTreeMap<String, String> = folder.pictures()?;
    environment.add_function("picture", move |name: String, text: String| {
        Value::from_safe_string(pictures.get(&name).map(|svg| image(svg, &text)).unwrap_or_default())
    });
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    let render = || -> std::result::Result<String, minijinja::Error> {
        environment.add_template("report.html", TEMPLATE)?;
        environment.get_template("report.html")?.render(Value::from(minijinja::value::Serde(summary)))
    };
    let page = { render }().map_err(|e| CliError::message(format!("cannot make the report: {e:#}")))?;
    folder.text("report.html", &page)
}

/// An SVG as an image inside the page, so that the names inside one picture cannot disturb another.
fn image(svg: &str, text: &str) -> String {
    let mut url = String::with_capacity(svg.len() * 5 / 4);
    for c in svg.chars() {
        match c {
            '%' | '#' | '<' | '>' | '"' | '\'' | '&' | '\n' | '\r' => {
                url.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c => url.push(c),
        }
    }
    let text = text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    format!("<img alt=\"{text}\" src=\"data:image/svg+xml,{url}\">")
}

/// A quantity with a prefix: 0.0123 W is 12.3 mW.
fn si(value: f64, unit: String) -> String {
    const PREFIXES: [(f64, &str); 9] = [
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
        (1.0, ""),
        (1e-3, "m"),
        (1e-6, "µ"),
        (1e-9, "n"),
        (1e-12, "p"),
    ];
    let found = PREFIXES.iter().find(|(scale, _)| value.abs() >= *scale * 0.9995);
    match found {
        Some((scale, prefix)) => {
            let x = value / scale;
            let digits = if x.abs() >= 99.95 {
                0
            } else if x.abs() >= 9.995 {
                1
            } else {
                2
            };
            format!("{x:.digits$} {prefix}{unit}")
        }
        None if value == 0.0 => format!("0 {unit}"),
        None => format!("{value:.2e} {unit}"),
    }
}

/// A probability or rate: 1.23e-8.
fn sci(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.2e}") }
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(si(0.0123, "W".into()), "12.3 mW");
        assert_eq!(si(0.9999, "s".into()), "1.00 s");
        assert_eq!(si(1234.0, "J".into()), "1.23 kJ");
        assert_eq!(si(0.0, "J".into()), "0 J");
        assert_eq!(si(-5e-7, "A".into()), "-500 nA");
    }

    #[test]
    fn pictures_are_one_attribute() {
        let html = image("<svg id=\"a\">&#37;\n</svg>", "a < b");
        assert_eq!(html.matches('"').count(), 4);
        assert_eq!(html.matches('<').count(), 1);
    }
}
