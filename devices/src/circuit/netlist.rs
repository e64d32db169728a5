use std::sync::Arc;

use super::error::CircuitError;
use super::node::Node;
use crate::component::Value;

/// A netlist: named cells, of which the first is the circuit and the others can be used as components in it.
///
/// Read from YAML or JSON ([`Netlist::read`]) or made in Rust, and written back in either form:
///
/// ```
/// use mirage_devices::circuit::{Cell, Netlist};
///
/// let mzi = Cell::new("mzi")
///     .instance("split", "mmi1x2_ideal", &[])
///     .instance("long", "straight", &[("length", 35.0.into())])
///     .instance("short", "straight", &[("length", 10.0.into())])
///     .instance("join", "mmi1x2_ideal", &[])
///     .connect("split,out0", "long,in0")
///     .connect("split,out1", "short,in0")
///     .connect("long,out0", "join,out0")
///     .connect("short,out0", "join,out1")
///     .port("in", "split,in0")
///     .port("out", "join,in0");
/// let netlist = Netlist::new(mzi);
/// assert_eq!(Netlist::read(&netlist.to_yaml(), "mzi.yml")?, netlist);
/// # Ok::<(), mirage_devices::circuit::CircuitError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Netlist {
    pub(crate) file: Option<String>,
    pub(crate) cells: Vec<Cell>,
}

/// Equal in content; the file's name and lines do not count.
impl PartialEq for Netlist {
    fn eq(&self, other: &Self) -> bool {
        self.cells == other.cells
    }
}

impl Netlist {
    /// A circuit of one cell.
    pub fn new(top: Cell) -> Self {
        Self { file: None, cells: vec![top] }
    }

    /// Adds a cell that instances can name as their component.
    pub fn with_cell(mut self, cell: Cell) -> Self {
        self.cells.push(cell);
        self
    }

    /// Reads YAML or JSON in the form of SAX and gdsfactory; `file` is for messages. See `docs/circuits.md` for the form.
    ///
    /// # Errors
    /// Text that is no YAML, keys that are unknown or given twice, values of the wrong type; with the line.
    pub fn read(text: &str, file: &str) -> Result<Self, CircuitError> {
        let cells = Node::read(text).and_then(|root| super::read::cells(&root));
        let cells = cells.map_err(|e| e.in_file(Some(file)))?;
        Ok(Self { file: Some(file.to_owned()), cells })
    }

    /// As YAML: flat for one cell, recursive for several.
    pub fn to_yaml(&self) -> String {
        super::write::yaml(&super::write::netlist(self))
    }

    /// As JSON: flat for one cell, recursive for several.
    pub fn to_json(&self) -> String {
        super::write::json(&super::write::netlist(self))
    }

    /// Makes another cell the circuit.
    ///
    /// # Errors
    /// A name that no cell has.
    pub fn with_top(mut self, name: &str) -> Result<Self, CircuitError> {
        let Some(index) = self.cells.iter().position(|c| c.name == name) else {
            let hint = mirage_design::hint(name, self.cells.iter().map(|c| c.name.as_str()));
            return Err(
                CircuitError::new(format!("no cell is named `{name}`{hint}")).in_file(self.file.as_deref())
            );
        };
        self.cells.swap(0, index);
        Ok(self)
    }
}

/// One flat netlist: instances, connections between them, and ports to the outside.
#[derive(Debug, Clone)]
pub struct Cell {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) instances: Vec<Instance>,
    pub(crate) nets: Vec<Net>,
    pub(crate) ports: Vec<Port>,
    /// What is read, kept and written again, but means nothing here: placements, info and the like.
    pub(crate) kept: Vec<(String, Node)>,
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.instances, &self.nets, &self.ports, &self.kept)
            == (&other.name, &other.instances, &other.nets, &other.ports, &other.kept)
    }
}

/// A part of a cell: a component or another cell, with settings.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub name: String,
    pub line: usize,
    pub component: String,
    pub settings: Vec<(String, Node)>,
    /// What gdsfactory found out about the part; settings that the component knows are taken from here.
    pub info: Vec<(String, Node)>,
    /// Columns and rows.
    pub array: Option<(usize, usize)>,
    pub kept: Vec<(String, Node)>,
}

impl PartialEq for Instance {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.component, &self.settings, &self.info, self.array, &self.kept)
            == (&other.name, &other.component, &other.settings, &other.info, other.array, &other.kept)
    }
}

/// A connection of two ports, each `instance,port`.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    pub line: usize,
    pub ends: [String; 2],
    pub kept: Vec<(String, Node)>,
}

impl PartialEq for Net {
    fn eq(&self, other: &Self) -> bool {
        (&self.ends, &self.kept) == (&other.ends, &other.kept)
    }
}

/// A port to the outside, and the `instance,port` that it is.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub name: String,
    pub line: usize,
    pub end: String,
}

impl PartialEq for Port {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.end) == (&other.name, &other.end)
    }
}

/// Mistakes such as names given twice are found when a circuit is made of the netlist.
impl Cell {
    /// A cell without parts.
    pub fn new(name: &str) -> Self {
        let (instances, nets, ports) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.to_owned(), line: 0, instances, nets, ports, kept: Vec::new() }
    }

    /// Adds a part: a component of the library or a cell of the netlist.
    pub fn instance(mut self, name: &str, component: &str, settings: &[(&str, Value)]) -> Self {
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone().into())).collect();
        self.instances.push(Instance {
            name: name.to_owned(),
            line: 0,
            component: component.to_owned(),
            settings,
            info: Vec::new(),
            array: None,
            kept: Vec::new(),
        });
        self
    }

    /// Makes an array of the part that was added last: its elements are `name<column.row>`, counted from 0.
    pub fn array(mut self, columns: usize, rows: usize) -> Self {
        if let Some(last) = self.instances.last_mut() {
            last.array = Some((columns, rows));
        }
        self
    }

    /// Connects two ports, each `instance,port`.
    pub fn connect(mut self, a: &str, b: &str) -> Self {
        self.nets.push(Net { line: 0, ends: [a.to_owned(), b.to_owned()], kept: Vec::new() });
        self
    }

    /// Gives an `instance,port` a name to the outside.
    pub fn port(mut self, name: &str, end: &str) -> Self {
        self.ports.push(Port { name: name.to_owned(), line: 0, end: end.to_owned() });
        self
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Value::Number(x)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<Vec<f64>> for Value {
    fn from(numbers: Vec<f64>) -> Self {
        Value::Numbers(Arc::from(numbers))
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Number(x) => Node::number(x),
            Value::Numbers(all) => Node::list(all.iter().map(|x| Node::number(*x))),
            Value::Text(text) => Node::text(&text),
        }
    }
}
