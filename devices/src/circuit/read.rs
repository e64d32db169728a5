//! From the tree of a netlist's text to its cells.

use super::error::CircuitError;
use super::netlist::{Cell, Instance, Net, Port};
use super::node::{Content, Key, Node};
use mirage_design::hint;

/// Keys of a cell that are kept and written again, but mean nothing to a circuit.
const KEPT: [&str; 10] = [
    "placements",
    "settings",
    "name",
    "info",
    "pdk",
    "warnings",
    "default_settings",
    "schema",
    "schema_version",
    "labels",
];
/// Keys of an instance of the same kind.
const INSTANCE_KEPT: [&str; 5] = ["placement", "name", "virtual", "hash", "rename"];
/// The cell that is the circuit, wherever it stands, as SAX has it.
const TOP: &str = "top_level";

pub(super) fn cells(root: &Node) -> Result<Vec<Cell>, CircuitError> {
    let entries = root.entries("a netlist")?;
    if root.get("instances").is_some() {
        let named = root.get("name").filter(|n| !n.is_null()).and_then(Node::as_text);
        let mut only = cell(named.unwrap_or(TOP), root.line, root)?;
        only.kept.retain(|(key, _)| key != "name" || named.is_none());
        return Ok(vec![only]);
    }
    if let Some((key, _)) =
        entries.iter().find(|(k, v)| KEPT.contains(&k.text.as_str()) || v.get("instances").is_none())
    {
        let message = format!(
            "`{}` is no cell: a netlist has `instances` and `ports`, or names cells that have them",
            key.text
        );
        return Err(CircuitError::new(message).at_line(key.line));
    }
    let mut cells =
        entries.iter().map(|(key, node)| cell(&key.text, key.line, node)).collect::<Result<Vec<_>, _>>()?;
    if cells.is_empty() {
        return Err(CircuitError::new("the netlist has no `instances`"));
    }
    if let Some(top) = cells.iter().position(|c| c.name == TOP) {
        cells[..=top].rotate_right(1);
    }
    Ok(cells)
}

fn cell(name: &str, line: usize, node: &Node) -> Result<Cell, CircuitError> {
    let mut cell = Cell { line, ..Cell::new(name) };
    for (key, value) in node.entries("a cell")? {
        match key.text.as_str() {
            "instances" => {
                cell.instances = value
                    .entries("`instances`")?
                    .iter()
                    .map(|(k, v)| instance(k, v))
                    .collect::<Result<_, _>>()?;
            }
            "connections" => {
                for (k, v) in value.entries("`connections`")? {
                    cell.nets.push(Net { line: k.line, ends: [k.text.clone(), end(v)?], kept: Vec::new() });
                }
            }
            "nets" => {
                for item in value.items("`nets`")? {
                    cell.nets.push(net(item)?);
                }
            }
            "routes" => routes(value, &mut cell.nets)?,
            "ports" => {
                for (k, v) in value.entries("`ports`")? {
                    cell.ports.push(Port { name: k.text.clone(), line: k.line, end: end(v)? });
                }
            }
            kept if KEPT.contains(&kept) => cell.kept.push((kept.to_owned(), value.clone())),
            unknown => {
                let known = ["instances", "connections", "nets", "routes", "ports"].into_iter().chain(KEPT);
                let message = format!("unknown key `{unknown}` in a cell{}", hint(unknown, known));
                return Err(CircuitError::new(message).at_line(key.line));
            }
        }
    }
    Ok(cell)
}

/// An `instance,port` as text.
fn end(node: &Node) -> Result<String, CircuitError> {
    let text = node.as_text().filter(|_| !node.is_null());
    text.map(str::to_owned)
        .ok_or_else(|| node.error(format!("expected `instance,port`, found {}", node.kind())))
}

fn net(node: &Node) -> Result<Net, CircuitError> {
    let ends =
        |key: &str| node.get(key).ok_or_else(|| node.error(format!("a net needs `{key}: instance,port`")));
    let mut kept = Vec::new();
    for (key, value) in node.entries("a net")? {
        match key.text.as_str() {
            "p1" | "p2" => {}
            "name" | "settings" => kept.push((key.text.clone(), value.clone())),
            unknown => {
                let hint = hint(unknown, ["p1", "p2", "name", "settings"]);
                return Err(
                    CircuitError::new(format!("unknown key `{unknown}` in a net{hint}")).at_line(key.line)
                );
            }
        }
    }
    Ok(Net { line: node.line, ends: [end(ends("p1")?)?, end(ends("p2")?)?], kept })
}

/// gdsfactory's bundles of routes: their links are nets.
fn routes(node: &Node, nets: &mut Vec<Net>) -> Result<(), CircuitError> {
    for (name, bundle) in node.entries("`routes`")? {
        let missing = || bundle.error(format!("the route bundle `{}` needs `links`", name.text));
        let links = bundle.get("links").ok_or_else(missing)?;
        for (k, v) in links.entries("`links`")? {
            let kept = vec![("name".to_owned(), Node::text(&name.text))];
            nets.push(Net { line: k.line, ends: [k.text.clone(), end(v)?], kept });
        }
    }
    Ok(())
}

fn instance(key: &Key, node: &Node) -> Result<Instance, CircuitError> {
    let mut instance = Instance {
        name: key.text.clone(),
        line: key.line,
        component: String::new(),
        settings: Vec::new(),
        info: Vec::new(),
        array: None,
        kept: Vec::new(),
    };
    if let Content::Scalar { text, .. } = &node.content
        && !node.is_null()
    {
        instance.component.clone_from(text);
        return Ok(instance);
    }
    for (k, value) in node.entries(&format!("instance `{}`", key.text))? {
        match k.text.as_str() {
            "component" => instance.component = component(value)?,
            "settings" => instance.settings = values(value, "`settings`")?,
            "info" => instance.info = values(value, "`info`")?,
            "array" => instance.array = array(value, &mut instance.kept)?,
            kept if INSTANCE_KEPT.contains(&kept) => instance.kept.push((kept.to_owned(), value.clone())),
            unknown => {
                let known = ["component", "settings", "info", "array"].into_iter().chain(INSTANCE_KEPT);
                let message =
                    format!("unknown key `{unknown}` in instance `{}`{}", key.text, hint(unknown, known));
                return Err(CircuitError::new(message).at_line(k.line));
            }
        }
    }
    if instance.component.is_empty() {
        let message = format!("instance `{}` names no `component`", key.text);
        return Err(CircuitError::new(message).at_line(key.line));
    }
    Ok(instance)
}

fn component(node: &Node) -> Result<String, CircuitError> {
    let text = node.as_text().filter(|t| !t.is_empty() && !node.is_null());
    text.map(str::to_owned)
        .ok_or_else(|| node.error(format!("`component` must be a name, not {}", node.kind())))
}

fn values(node: &Node, what: &str) -> Result<Vec<(String, Node)>, CircuitError> {
    Ok(node.entries(what)?.iter().map(|(k, v)| (k.text.clone(), v.clone())).collect())
}

/// Columns and rows; the pitches are kept.
fn array(node: &Node, kept: &mut Vec<(String, Node)>) -> Result<Option<(usize, usize)>, CircuitError> {
    if node.is_null() {
        return Ok(None);
    }
    let (mut columns, mut rows, mut pitches) = (None, None, Vec::new());
    for (key, value) in node.entries("`array`")? {
        match key.text.as_str() {
            "columns" | "num_a" if columns.is_none() => columns = Some(count(value)?),
            "rows" | "num_b" if rows.is_none() => rows = Some(count(value)?),
            "columns" | "num_a" | "rows" | "num_b" => {
                let message = format!("`{}` says again how many there are", key.text);
                return Err(CircuitError::new(message).at_line(key.line));
            }
            "column_pitch" | "row_pitch" | "pitch_a" | "pitch_b" => {
                pitches.push((key.text.as_str(), value.clone()))
            }
            unknown => {
                let hint = hint(unknown, ["columns", "rows", "column_pitch", "row_pitch"]);
                return Err(
                    CircuitError::new(format!("unknown key `{unknown}` in an array{hint}")).at_line(key.line)
                );
            }
        }
    }
    if !pitches.is_empty() {
        kept.push(("array".to_owned(), Node::map(pitches)));
    }
    if columns.is_none() && rows.is_none() {
        return Err(node.error("an array needs `columns` and `rows`"));
    }
    Ok(Some((columns.unwrap_or(1), rows.unwrap_or(1))))
}

fn count(node: &Node) -> Result<usize, CircuitError> {
    let given = node.as_text().filter(|_| node.as_number().is_some()).and_then(|t| t.parse::<usize>().ok());
    let fits = given.filter(|n| (1..=100_000).contains(n));
    fits.ok_or_else(|| node.error("columns and rows are whole numbers from 1 to 100,000"))
}
