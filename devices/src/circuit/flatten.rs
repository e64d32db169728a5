//! From the cells of a netlist to one flat list of loaded components, their connections and the ports to the outside.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::error::CircuitError;
use super::netlist::{Cell, Instance, Netlist};
use super::node::Node;
use crate::component::{Component, ComponentError, Kind, Library, Settings, Value, port_index};
use mirage_design::hint;

/// Parts beyond which a circuit is refused, and cells within cells.
const MOST: usize = 300_000;
const DEEPEST: usize = 100;

/// A part of the flat circuit.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Its name, with the names of the cells' instances around it: `outer~inner`.
    pub name: String,
    pub line: usize,
    pub component: Arc<dyn Component>,
    pub settings: Settings,
    /// Number of its first port among all ports of the circuit.
    pub first_port: usize,
}

/// All parts; a port of a part is `first_port` + its index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flat {
    pub parts: Vec<Part>,
    pub port_count: usize,
    pub connections: Vec<(usize, usize)>,
    /// Ports to the outside.
    pub ports: Vec<(String, usize)>,
    /// Settings that were left out because their component does not know them, as `instance.setting`.
    pub ignored: Vec<String>,
}

pub(super) fn flatten(netlist: &Netlist, library: &Library, lenient: bool) -> Result<Flat, CircuitError> {
    let in_file = |e: CircuitError| e.in_file(netlist.file.as_deref());
    let mut cells: BTreeMap<&str, &Cell> = BTreeMap::new();
    for cell in &netlist.cells {
        if cells.insert(&cell.name, cell).is_some() {
            let message = format!("cell `{}` stands here for the second time", cell.name);
            return Err(in_file(CircuitError::new(message).at_line(cell.line)));
        }
    }
    let top = netlist.cells.first().ok_or_else(|| in_file(CircuitError::new("the netlist has no cells")))?;
    let folder = netlist.file.as_deref().and_then(|f| Path::new(f).parent());
    let mut flattener = Flattener {
        cells,
        library,
        folder,
        lenient,
        flat: Flat::default(),
        stack: Vec::new(),
        elements: 0,
        loaded: Vec::new(),
    };
    let ports = flattener.cell(top, "", &[]).map_err(in_file)?;
    let mut flat = flattener.flat;
    flat.ports = top.ports.iter().map(|p| p.name.clone()).zip(ports.into_iter().map(|(_, p)| p)).collect();
    if flat.ports.is_empty() {
        let message = format!("cell `{}` has no `ports`: nothing goes in or out", top.name);
        return Err(in_file(CircuitError::new(message).at_line(top.line)));
    }
    Ok(flat)
}

struct Flattener<'a> {
    cells: BTreeMap<&'a str, &'a Cell>,
    library: &'a Library,
    folder: Option<&'a Path>,
    lenient: bool,
    flat: Flat,
    stack: Vec<&'a str>,
    /// Elements so far, cells too: cells without parts can multiply as well.
    elements: usize,
    /// Components that had to be loaded, with their settings.
    loaded: Vec<(String, Settings, Arc<dyn Component>)>,
}

/// Ports of an instance within its cell: names to ports of the flat circuit. A component also takes `o1, o2, ..`.
enum Ports {
    Component { first: usize, component: Arc<dyn Component> },
    Cell(Vec<(String, usize)>),
}

impl Ports {
    fn find(&self, name: &str) -> Option<usize> {
        match self {
            Ports::Component { first, component } => port_index(&component.ports(), name).map(|i| first + i),
            Ports::Cell(ports) => ports.iter().find(|(n, _)| n == name).map(|(_, p)| *p),
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Ports::Component { component, .. } => component.ports(),
            Ports::Cell(ports) => ports.iter().map(|(n, _)| n.as_str()).collect(),
        }
    }
}

impl<'a> Flattener<'a> {
    /// Adds a cell's parts and connections; returns its ports.
    fn cell(
        &mut self,
        cell: &'a Cell,
        prefix: &str,
        overrides: &[(String, Node)],
    ) -> Result<Vec<(String, usize)>, CircuitError> {
        if self.stack.contains(&cell.name.as_str()) {
            let round =
                self.stack.iter().skip_while(|n| **n != cell.name).copied().collect::<Vec<_>>().join("`, `");
            let message =
                format!("recursion without end: cell `{}` contains itself through `{round}`", cell.name);
            return Err(CircuitError::new(message).at_line(cell.line));
        }
        if self.stack.len() >= DEEPEST {
            let message = format!("cells are nested more than {DEEPEST} deep at `{}`", cell.name);
            return Err(CircuitError::new(message).at_line(cell.line));
        }
        self.stack.push(&cell.name);
        self.check_overrides(cell, prefix, overrides)?;
        let mut instances: BTreeMap<String, Ports> = BTreeMap::new();
        let mut arrays: HashSet<&str> = HashSet::new();
        for instance in &cell.instances {
            self.instance(instance, prefix, overrides, &mut instances)?;
            if instance.array.is_some() {
                arrays.insert(&instance.name);
            }
        }
        let mut used: HashMap<usize, &str> = HashMap::new();
        let mut resolve = |end: &'a str, line: usize| -> Result<usize, CircuitError> {
            let port = find_port(&instances, &arrays, end).map_err(|e| e.at_line(line))?;
            match used.insert(port, end) {
                Some(_) => Err(CircuitError::new(format!(
                    "port `{end}` is used twice: a port has one connection, or one name to the outside"
                ))
                .at_line(line)),
                None => Ok(port),
            }
        };
        for net in &cell.nets {
            let [a, b] = [resolve(&net.ends[0], net.line)?, resolve(&net.ends[1], net.line)?];
            self.flat.connections.push((a, b));
        }
        let mut ports: Vec<(String, usize)> = Vec::new();
        let mut names: HashSet<&str> = HashSet::new();
        for port in &cell.ports {
            if !names.insert(&port.name) {
                let message = format!("port `{}` stands here for the second time", port.name);
                return Err(CircuitError::new(message).at_line(port.line));
            }
            ports.push((port.name.clone(), resolve(&port.end, port.line)?));
        }
        self.stack.pop();
        Ok(ports)
    }

    /// Settings for a cell must name its instances.
    fn check_overrides(
        &mut self,
        cell: &Cell,
        prefix: &str,
        overrides: &[(String, Node)],
    ) -> Result<(), CircuitError> {
        for (name, value) in overrides {
            if cell.instances.iter().any(|i| i.name == *name) {
                continue;
            }
            if self.lenient {
                self.flat.ignored.push(format!("{}.{name}", prefix.trim_end_matches('~')));
                continue;
            }
            let hint = hint(name, cell.instances.iter().map(|i| i.name.as_str()));
            let message = format!(
                "cell `{}` has no instance `{name}` to give settings to{hint} (settings of a cell are maps by instance)",
                cell.name
            );
            return Err(value.error(message));
        }
        Ok(())
    }

    fn instance(
        &mut self,
        instance: &'a Instance,
        prefix: &str,
        overrides: &[(String, Node)],
        instances: &mut BTreeMap<String, Ports>,
    ) -> Result<(), CircuitError> {
        let at = |message: String| CircuitError::new(message).at_line(instance.line);
        if instance.name.is_empty() || instance.name.contains([',', '~']) {
            return Err(at(format!("`{}` is no name for an instance: no `,` and no `~`", instance.name)));
        }
        let extra = match overrides.iter().find(|(n, _)| *n == instance.name) {
            Some((_, node)) => {
                let entries = node.entries(&format!("settings of instance `{}`", instance.name))?;
                entries.iter().map(|(k, v)| (k.text.clone(), v.clone())).collect()
            }
            None => Vec::new(),
        };
        let (columns, rows) = instance.array.unwrap_or((1, 1));
        if columns.saturating_mul(rows) > MOST {
            return Err(at(format!("array `{}` has more than {MOST} elements", instance.name)));
        }
        for element in 0..columns * rows {
            let name = match instance.array {
                Some(_) => format!("{}<{}.{}>", instance.name, element % columns, element / columns),
                None => instance.name.clone(),
            };
            let ports = self.element(instance, &format!("{prefix}{name}"), &extra)?;
            if instances.insert(name, ports).is_some() {
                return Err(at(format!("instance `{}` stands here for the second time", instance.name)));
            }
        }
        Ok(())
    }

    fn element(
        &mut self,
        instance: &'a Instance,
        name: &str,
        extra: &[(String, Node)],
    ) -> Result<Ports, CircuitError> {
        let at = |message: String| CircuitError::new(message).at_line(instance.line);
        self.elements += 1;
        if self.elements > MOST {
            return Err(at(format!("the circuit has more than {MOST} parts")));
        }
        // A component of the library wins over a cell of that name, as in SAX.
        if let Some(component) = self.library.get(&instance.component) {
            return self.part(instance, name, component, extra);
        }
        let Some(cell) = self.cells.get(instance.component.as_str()).copied() else {
            let known = self.library.iter().map(|c| c.name()).chain(self.cells.keys().copied());
            return Err(at(format!(
                "instance `{}`: unknown component `{}`{}",
                instance.name,
                instance.component,
                hint(&instance.component, known)
            )));
        };
        let settings: Vec<_> = instance.settings.iter().chain(extra).cloned().collect();
        Ok(Ports::Cell(self.cell(cell, &format!("{name}~"), &settings)?))
    }

    fn part(
        &mut self,
        instance: &Instance,
        name: &str,
        component: &Arc<dyn Component>,
        extra: &[(String, Node)],
    ) -> Result<Ports, CircuitError> {
        let wrong = |e: ComponentError, line: usize| {
            CircuitError::new(format!("instance `{name}` ({}): {e}", component.name())).at_line(line)
        };
        let mut settings = Settings::defaults(component.settings());
        let known = |key: &str| component.settings().iter().any(|s| s.name == key);
        // What gdsfactory found out is merged over the settings; what the component does not know of it is no setting.
        let info = instance.info.iter().filter(|(k, v)| known(k) && !v.is_null());
        for (key, node) in instance.settings.iter().chain(info).chain(extra) {
            if self.lenient && !known(key) {
                self.flat.ignored.push(format!("{name}.{key}"));
                continue;
            }
            if node.is_null() && known(key) {
                continue; // SAX's None: the default
            }
            let value = value(key, node).map_err(|e| wrong(e, node.line))?;
            settings.set(key, self.resolve_file(component, key, value)).map_err(|e| wrong(e, node.line))?;
        }
        settings.check_complete().map_err(|e| wrong(e, instance.line))?;
        let component = self.load(component, &settings).map_err(|e| wrong(e, instance.line))?;
        let first = self.flat.port_count;
        self.flat.port_count += component.ports().len();
        self.flat.parts.push(Part {
            name: name.to_owned(),
            line: instance.line,
            component: component.clone(),
            settings,
            first_port: first,
        });
        Ok(Ports::Component { first, component })
    }

    /// The component for these settings; a file is read once for all parts that name it.
    fn load(
        &mut self,
        component: &Arc<dyn Component>,
        settings: &Settings,
    ) -> Result<Arc<dyn Component>, ComponentError> {
        let known = self.loaded.iter().find(|(name, s, _)| name == component.name() && s == settings);
        if let Some((_, _, loaded)) = known {
            return Ok(loaded.clone());
        }
        let Some(loaded) = component.load(settings)? else { return Ok(component.clone()) };
        self.loaded.push((component.name().to_owned(), settings.clone(), loaded.clone()));
        Ok(loaded)
    }

    /// Files are named relative to the netlist.
    fn resolve_file(&self, component: &Arc<dyn Component>, key: &str, value: Value) -> Value {
        let is_file = component.settings().iter().any(|s| s.name == key && s.kind == Kind::File);
        match (value, self.folder) {
            (Value::Text(text), Some(folder)) if is_file => {
                Value::Text(folder.join(text).to_string_lossy().into_owned())
            }
            (value, _) => value,
        }
    }
}

/// The value of a setting as the netlist has it.
fn value(key: &str, node: &Node) -> Result<Value, ComponentError> {
    if let Some(x) = node.as_number() {
        return Ok(Value::Number(x));
    }
    let wrong = || {
        let kind = if node.is_bool() { "true or false" } else { node.kind() };
        ComponentError::of(
            key,
            format!("setting `{key}` must be a number, a list of numbers or text, not {kind}"),
        )
    };
    match node.as_text() {
        Some(text) if !node.is_null() && !node.is_bool() => Ok(Value::Text(text.to_owned())),
        Some(_) => Err(wrong()),
        None => {
            let items = node.items(key).map_err(|_| wrong())?;
            let numbers: Option<Vec<f64>> = items.iter().map(Node::as_number).collect();
            numbers.filter(|n| !n.is_empty()).map(Value::from).ok_or_else(wrong)
        }
    }
}

fn find_port(
    instances: &BTreeMap<String, Ports>,
    arrays: &HashSet<&str>,
    end: &str,
) -> Result<usize, CircuitError> {
    let Some((instance, port)) = end.split_once(',') else {
        return Err(CircuitError::new(format!("`{end}` is no `instance,port`")));
    };
    let (instance, port) = (instance.trim(), port.trim());
    // The only element of an array of one may also be named without its place.
    let only = || {
        instances.get(&format!("{instance}<0.0>")).filter(|_| {
            !instances.contains_key(&format!("{instance}<1.0>"))
                && !instances.contains_key(&format!("{instance}<0.1>"))
        })
    };
    let Some(ports) = instances.get(instance).or_else(only) else {
        let hint = match arrays.contains(instance) {
            true => format!(": it is an array, say `{instance}<0.0>,{port}`"),
            false => hint(instance, instances.keys().map(String::as_str)),
        };
        return Err(CircuitError::new(format!("`{end}`: no instance `{instance}`{hint}")));
    };
    ports.find(port).ok_or_else(|| {
        let names = ports.names();
        let hint = hint(port, names.iter().copied());
        CircuitError::new(format!(
            "`{end}`: `{instance}` has no port `{port}`{hint} (it has {})",
            names.join(", ")
        ))
    })
}
