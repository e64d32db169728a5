//! Netlists as text: YAML in block style, or JSON.

use std::fmt::Write;

use super::netlist::{Cell, Instance, Netlist};
use super::node::{Content, Node};

pub(super) fn netlist(netlist: &Netlist) -> Node {
    match netlist.cells.as_slice() {
        // The name of a flat netlist is its `name`; a cell that has kept another one is written by its own.
        [only] if !only.kept.iter().any(|(key, _)| key == "name") => {
            cell(only, (only.name != "top_level").then_some(only.name.as_str()))
        }
        cells => Node::map(cells.iter().map(|c| (c.name.as_str(), cell(c, None)))),
    }
}

fn cell(cell: &Cell, name: Option<&str>) -> Node {
    let mut entries = Vec::new();
    entries.extend(name.map(|n| ("name", Node::text(n))));
    entries.push(("instances", Node::map(cell.instances.iter().map(|i| (i.name.as_str(), instance(i))))));
    if !cell.nets.is_empty() {
        let net = |n: &super::netlist::Net| {
            let ends = [("p1", Node::text(&n.ends[0])), ("p2", Node::text(&n.ends[1]))];
            Node::map(ends.into_iter().chain(n.kept.iter().map(|(k, v)| (k.as_str(), v.clone()))))
        };
        entries.push(("nets", Node::list(cell.nets.iter().map(net))));
    }
    entries.push(("ports", Node::map(cell.ports.iter().map(|p| (p.name.as_str(), Node::text(&p.end))))));
    entries.extend(cell.kept.iter().map(|(k, v)| (k.as_str(), v.clone())));
    Node::map(entries)
}

fn instance(instance: &Instance) -> Node {
    let values = |v: &[(String, Node)]| Node::map(v.iter().map(|(k, v)| (k.as_str(), v.clone())));
    let mut entries = vec![("component", Node::text(&instance.component))];
    if !instance.settings.is_empty() {
        entries.push(("settings", values(&instance.settings)));
    }
    if !instance.info.is_empty() {
        entries.push(("info", values(&instance.info)));
    }
    let count = |n: usize| Node { line: 0, content: Content::Scalar { text: n.to_string(), is_text: false } };
    for (key, value) in &instance.kept {
        if key != "array" {
            entries.push((key, value.clone()));
        }
    }
    if let Some((columns, rows)) = instance.array {
        let pitches = instance.kept.iter().find(|(k, _)| k == "array");
        let pitches = pitches.and_then(|(_, v)| v.entries("").ok()).unwrap_or_default();
        let pitches = pitches.iter().map(|(k, v)| (k.text.as_str(), v.clone()));
        let counts = [("columns", count(columns)), ("rows", count(rows))];
        entries.push(("array", Node::map(counts.into_iter().chain(pitches))));
    }
    Node::map(entries)
}

/// A word that no reader takes for anything but text.
fn is_word(text: &str) -> bool {
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !reserved.contains(&text.to_ascii_lowercase().as_str())
}

/// In double quotes with JSON's escapes, which YAML shares.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Controls, and what YAML does not print: line separators and the byte order mark.
            c if (c as u32) < 0x20
                || matches!(c as u32, 0x7f..=0x9f | 0x2028 | 0x2029 | 0xfeff | 0xfffe | 0xffff) =>
            {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

pub(super) fn yaml(node: &Node) -> String {
    let mut out = String::new();
    yaml_value(node, 0, &mut out);
    out
}

/// Writes a value that begins after `key:` or `-`; nested values go to lines of their own.
fn yaml_value(node: &Node, indent: usize, out: &mut String) {
    match &node.content {
        Content::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Content::List(items) if items.is_empty() => out.push_str(" []\n"),
        Content::Map(entries) => {
            if indent > 0 {
                out.push('\n');
            }
            for (key, value) in entries {
                out.extend(std::iter::repeat_n("  ", indent));
                if is_word(&key.text) {
                    out.push_str(&key.text)
                } else {
                    quote(&key.text, out)
                }
                out.push(':');
                yaml_value(value, indent + 1, out);
            }
        }
        Content::List(items) => {
            out.push('\n');
            for item in items {
                out.extend(std::iter::repeat_n("  ", indent));
                out.push('-');
                yaml_value(item, indent + 1, out);
            }
        }
        Content::Scalar { text, is_text } => {
            out.push(' ');
            if *is_text && !is_word(text) {
                quote(text, out)
            } else {
                out.push_str(text)
            }
            out.push('\n');
        }
    }
}

pub(super) fn json(node: &Node) -> String {
    let mut out = String::new();
    json_value(node, 1, &mut out);
    out.push('\n');
    out
}

fn json_value(node: &Node, indent: usize, out: &mut String) {
    let line = |out: &mut String, indent: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", indent));
    };
    match &node.content {
        Content::Map(entries) => {
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                line(out, indent);
                quote(&key.text, out);
                out.push_str(": ");
                json_value(value, indent + 1, out);
            }
            if !entries.is_empty() {
                line(out, indent - 1);
            }
            out.push('}');
        }
        Content::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                json_value(item, indent + 1, out);
            }
            out.push(']');
        }
        Content::Scalar { .. } if node.is_null() => out.push_str("null"),
        Content::Scalar { text, .. } if node.is_bool() => out.push_str(&text.to_ascii_lowercase()),
        Content::Scalar { text, .. } => match node.as_number().filter(|x| x.is_finite()) {
            // YAML's `+1`, `.5` and `1.` are no JSON; a number is written again only where it must be.
            Some(x) if !is_json_number(text) => {
                let _ = write!(out, "{x:?}");
            }
            Some(_) => out.push_str(text),
            None => quote(text, out),
        },
    }
}

fn is_json_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}
