//! Nodes become layers.

use std::collections::{HashMap, HashSet};

use onnx_rs::ast::Node;

use super::super::{Imported, Unsupported};
use super::fold::fold;
use super::infer::{BINARY, UNARY, VIEWS, infer, shape_of};
use super::node::Op;
use super::shape::{Shape, Trouble, elements, text};
use super::value::{From, Value};
use crate::Network;
use crate::workload::{Activation, Kind, Layer, Norm, Optimiser, Source};

/// Operators that the import knows without a shape rule of their own, or that change which elements there are.
const MOVES: [&str; 9] =
    ["Transpose", "Slice", "Gather", "Expand", "Tile", "Pad", "Where", "CumSum", "Trilu"];

/// Reads a graph, node by node.
pub(super) struct Importer<'a> {
    pub values: HashMap<&'a str, Value>,
    pub stated: HashMap<&'a str, Shape>,
    pub outputs: HashSet<&'a str>,
    pub readers: HashMap<&'a str, usize>,
    pub notes: Vec<String>,
    name: String,
    pub(super) layers: Vec<Layer>,
    /// For each layer, whether parameters lie before or in it, so that a gradient must pass.
    trained: Vec<bool>,
    names: HashSet<String>,
    unsupported: Vec<Unsupported>,
    /// Operators that are not known, with their nodes, where the file does not state the sizes of what they make.
    sizeless: Vec<String>,
}

/// The name of a node; of its first output where it has none.
pub(super) fn node_name(node: &Node) -> String {
    let name = if node.name.is_empty() { node.output.first().copied().unwrap_or("") } else { node.name };
    let name = name.trim_matches('/');
    // Names go into tables.
    name.chars().map(|c| if c.is_control() || c == ',' || c == '"' || c == '#' { '_' } else { c }).collect()
}

impl<'a> Importer<'a> {
    pub fn new(name: &str) -> Self {
        Self {
            values: HashMap::new(),
            stated: HashMap::new(),
            outputs: HashSet::new(),
            readers: HashMap::new(),
            notes: vec!["ONNX: one sample is one run of the graph".to_owned()],
            name: name.to_owned(),
            layers: Vec::new(),
            trained: Vec::new(),
            names: HashSet::new(),
            unsupported: Vec::new(),
            sizeless: Vec::new(),
        }
    }

    /// What to add to an error about a size: the operators that may be why it is not known.
    pub fn suspects(&self) -> String {
        match &self.sizeless[..] {
            [] => String::new(),
            [.., last] => {
                let (more, listed) = (self.sizeless.len().saturating_sub(8), self.sizeless.iter().take(8));
                let listed: Vec<&str> = listed.map(String::as_str).collect();
                let more = if more > 0 {
                    format!(" and {more} more, the last of them {last}")
                } else {
                    String::new()
                };
                format!(
                    "; operators that are not known, and for which the file states no sizes, come before it: {}{more}: state their \
                     sizes in the file (value_info) or leave them out",
                    listed.join(", ")
                )
            }
        }
    }

    pub fn finish(self) -> Result<Imported, String> {
        if self.layers.is_empty() {
            return Err("nothing in the graph depends on its inputs: there is nothing to train".to_owned());
        }
        let network = Network {
            name: self.name,
            layers: self.layers,
            notes: self.notes,
            optimiser: Optimiser::Momentum,
        };
        Ok(Imported { network, unsupported: self.unsupported, assumed: Vec::new() })
    }

    /// Takes in one node, whose inputs are known.
    pub fn node(&mut self, node: &Node<'a>) -> Result<(), Trouble> {
        let op = Op(node);
        let inputs: Vec<Option<Value>> =
            node.input.iter().map(|name| self.values.get(name).cloned()).collect();
        if !inputs.iter().flatten().any(Value::flows) || op.name() == "Shape" {
            return self.constant(&op, &inputs);
        }
        let outputs: Vec<&'a str> = node.output.iter().copied().filter(|name| !name.is_empty()).collect();
        let Some(&output) = outputs.first() else { return Ok(()) };
        if self.product_or_pool(&op, &inputs, output)? {
            return Ok(());
        }
        if op.name() == "Split" {
            return self.split(&op, &inputs, node);
        }
        let name = op.name();
        let known = UNARY.contains(&name)
            || BINARY.contains(&name)
            || VIEWS.contains(&name)
            || MOVES.contains(&name)
            || name.starts_with("Reduce")
            || matches!(name, "Concat" | "Softmax" | "LogSoftmax" | "LRN" | "LpNormalization")
            || (name.ends_with("Normalization") && infer(&op, &inputs).is_ok());
        let own_domain = matches!(node.domain, "" | "ai.onnx");
        if !known || !own_domain {
            return self.unknown(&op, &inputs, &outputs);
        }
        let shape = self.agreed(output, infer(&op, &inputs))?;
        self.vector(&op, &inputs, output, shape)
    }

    /// Nothing that flows goes in.
    fn constant(&mut self, op: &Op<'_, 'a>, inputs: &[Option<Value>]) -> Result<(), Trouble> {
        let ints = fold(op, inputs);
        let parameter = inputs.iter().flatten().any(|value| value.from == From::Parameter);
        let floats = op.name() == "ConstantOfShape" && ints.is_none();
        for (index, output) in op.0.output.iter().copied().enumerate().filter(|(_, name)| !name.is_empty()) {
            let inferred =
                if index == 0 { infer(op, inputs) } else { Err(Trouble::unknown("its shape is not known")) };
            // What is not known may never be needed.
            let shape = match self.agreed(output, inferred) {
                Ok(shape) => Some(shape),
                Err(Trouble::Unknown(_)) => None,
                Err(trouble) => return Err(trouble),
            };
            if shape.is_none() {
                self.sizeless.push(format!("{} (node {})", op.name(), node_name(op.0)));
            }
            let many = shape.as_ref().is_some_and(|shape| shape.iter().any(|&size| size > 1));
            let from = if (parameter || floats) && many && op.name() != "Shape" {
                From::Parameter
            } else {
                From::Constant
            };
            let ints = if index == 0 { ints.clone() } else { None };
            self.values.insert(output, Value { shape, ints, from });
        }
        Ok(())
    }

    /// The shape by the rules, which the file must not contradict; the file's where the rules do not give one.
    /// What contradicts itself is wrong whatever the file states.
    pub(super) fn agreed(
        &self,
        output: &str,
        inferred: Result<Shape, impl Into<Trouble>>,
    ) -> Result<Shape, Trouble> {
        match (inferred.map_err(Into::into), self.stated.get(output)) {
            (Ok(shape), Some(stated)) if shape != *stated => Err(Trouble::Wrong(format!(
                "its output has the shape {} by the rules of ONNX, but the file says {}",
                text(&shape),
                text(stated)
            ))),
            (Ok(shape), _) => Ok(shape),
            (Err(Trouble::Unknown(_)), Some(stated)) => Ok(stated.clone()),
            (Err(trouble), _) => Err(trouble),
        }
    }

    /// An operator that is not known: a layer of one operation an element, if its size is stated.
    fn unknown(&mut self, op: &Op, inputs: &[Option<Value>], outputs: &[&'a str]) -> Result<(), Trouble> {
        for &output in outputs {
            let shape = self.stated.get(output).cloned();
            let count = shape.as_ref().map(|shape| elements(shape)).transpose()?;
            let operator = match op.0.domain {
                "" | "ai.onnx" => op.name().to_owned(),
                domain => format!("{domain}.{}", op.name()),
            };
            if count.is_none() {
                self.sizeless.push(format!("{operator} (node {})", node_name(op.0)));
            }
            self.unsupported.push(Unsupported { operator, node: node_name(op.0), elements: count });
            // Without a size it does nothing, but is still there for what follows to depend on.
            let mut layer = Layer::new(node_name(op.0), Kind::Other, 1, count.unwrap_or(1).max(1));
            layer.in_channels = layer.out_channels;
            let index = self.push(layer, &flowing(inputs));
            self.values.insert(output, Value { shape, ints: None, from: From::Layer { index, whole: true } });
        }
        Ok(())
    }

    /// Adds a layer that reads these values; gives its index.
    pub(super) fn push(&mut self, mut layer: Layer, inputs: &[&Value]) -> usize {
        layer.inputs = inputs
            .iter()
            .map(|value| match value.from {
                From::Layer { index, .. } => Source::Layer(index),
                _ => Source::Data,
            })
            .collect();
        let before =
            layer.inputs.iter().any(|source| matches!(source, Source::Layer(index) if self.trained[*index]));
        layer.input_gradient = before || layer.kind == Kind::Product;
        self.trained.push(before || layer.kind.has_weights() || layer.bias || layer.norm != Norm::None);
        let base = layer.name.clone();
        let mut copy = 2;
        while !self.names.insert(layer.name.clone()) {
            layer.name = format!("{base} ({copy})");
            copy += 1;
        }
        self.layers.push(layer);
        self.layers.len() - 1
    }

    /// The layer that made a value, if what follows may be written into it: nobody else reads the value.
    fn open(&mut self, name: &str, value: &Value) -> Option<(usize, &mut Layer)> {
        let From::Layer { index, whole: true } = value.from else { return None };
        let alone = self.readers.get(name) == Some(&1) && !self.outputs.contains(name);
        if alone { Some((index, &mut self.layers[index])) } else { None }
    }

    pub(super) fn set(&mut self, output: &'a str, shape: Shape, index: usize) {
        self.values.insert(output, Value::new(shape, From::Layer { index, whole: true }));
    }

    /// A layer of the vector unit, or something written into the layer before.
    fn vector(
        &mut self,
        op: &Op<'_, 'a>,
        inputs: &[Option<Value>],
        output: &'a str,
        shape: Shape,
    ) -> Result<(), Trouble> {
        let flows = flowing(inputs);
        let name = op.name();
        let first = *flows.first().ok_or("nothing goes in")?;
        if shape.contains(&0) {
            return Err("its output has no elements".into());
        }
        if VIEWS.contains(&name) {
            let from = match first.from {
                From::Layer { index, .. } => From::Layer { index, whole: name == "Identity" },
                other => other,
            };
            self.values.insert(output, Value::new(shape, from));
            return Ok(());
        }
        let reading = flow_name(op, inputs);
        let parameter = inputs.iter().flatten().find(|value| value.from == From::Parameter);
        let channels = channels(name, &shape);
        if let Some(activation) = activation(name)
            && let Some((index, layer)) = self.open(reading, first)
            && layer.activation == Activation::None
        {
            layer.activation = activation;
            self.set(output, shape, index);
            return Ok(());
        }
        let normal = name.ends_with("Normalization") || name == "LRN";
        // All but this one go through each sample for itself.
        let norm = if name == "BatchNormalization" { Norm::Batch } else { Norm::Layer };
        if normal
            && let Some((index, layer)) = self.open(reading, first)
            && layer.activation == Activation::None
            && layer.norm == Norm::None
            && layer.out_channels == channels
        {
            layer.norm = norm;
            self.trained[index] = true;
            self.set(output, shape, index);
            return Ok(());
        }
        let bias = parameter.filter(|_| name == "Add" && flows.len() == 1);
        let bias =
            bias.map(|value| value.shape.as_ref().map_or(Ok(1), |shape| elements(shape))).transpose()?;
        if let Some(count) = bias
            && let Some((index, layer)) = self.open(reading, first)
            && (layer.activation, layer.norm, layer.bias) == (Activation::None, Norm::None, false)
            && layer.out_channels == count
        {
            layer.bias = true;
            self.trained[index] = true;
            self.set(output, shape, index);
            return Ok(());
        }
        let total = elements(&shape)?;
        let mut layer = match (activation(name), bias) {
            (Some(activation), _) => {
                let mut layer = spread(Kind::Identity, channels, total);
                layer.activation = activation;
                layer
            }
            _ if normal => {
                let mut layer = spread(Kind::Identity, channels, total);
                layer.norm = norm;
                layer
            }
            (_, Some(count)) if count > 0 && total.is_multiple_of(count) => {
                let mut layer = spread(Kind::Identity, count, total);
                layer.bias = true;
                layer
            }
            _ if name.starts_with("Reduce") => {
                let going_in = elements(shape_of(inputs, 0)?)?;
                reduction(going_in, total)
            }
            _ => {
                let kind = match name {
                    "Add" | "Sub" | "Sum" | "Max" | "Min" => Kind::Add,
                    "Mul" | "Div" => Kind::Multiply,
                    "Concat" => Kind::Concat,
                    "Softmax" | "LogSoftmax" => Kind::Softmax,
                    _ if MOVES.contains(&name) => Kind::Move,
                    _ => Kind::Other,
                };
                spread(kind, channels, total)
            }
        };
        layer.name = node_name(op.0);
        if layer.kind == Kind::Move {
            layer.in_channels =
                elements(first.shape.as_ref().ok_or("the shape of its input is not known")?)?.max(1);
            (layer.out_channels, layer.in_height) = (total, 1);
        }
        let index = self.push(layer, &flows);
        self.set(output, shape, index);
        Ok(())
    }

    /// Each part is a layer that moves its elements.
    fn split(&mut self, op: &Op, inputs: &[Option<Value>], node: &Node<'a>) -> Result<(), Trouble> {
        let shape = shape_of(inputs, 0)?.clone();
        let axis = super::shape::axis(op.int("axis", 0), shape.len())?;
        let parts = node.output.len() as u64;
        let given = inputs.get(1).and_then(|value| value.as_ref()).and_then(|value| value.ints.clone());
        let lengths: Vec<u64> = match given.as_deref().or(op.ints("split")) {
            Some(lengths) => {
                lengths.iter().map(|&value| super::shape::size(value)).collect::<Result<_, _>>()?
            }
            None => {
                let length = shape[axis].div_ceil(parts.max(1));
                (0..parts).map(|part| shape[axis].saturating_sub(part * length).min(length)).collect()
            }
        };
        let total = lengths.iter().try_fold(0u64, |sum, &length| sum.checked_add(length));
        if lengths.len() as u64 != parts || total != Some(shape[axis]) || lengths.contains(&0) {
            return Err(format!("an axis of {} cannot be split into {lengths:?}", shape[axis]).into());
        }
        let flows = flowing(inputs);
        for (&output, length) in node.output.iter().zip(lengths) {
            let mut part = shape.clone();
            part[axis] = length;
            let part = self.agreed(output, Ok::<_, Trouble>(part))?;
            let layer = Layer::new(node_name(node), Kind::Move, elements(&shape)?, elements(&part)?);
            let index = self.push(layer, &flows);
            self.set(output, part, index);
        }
        Ok(())
    }
}

/// The inputs that change from sample to sample.
pub(super) fn flowing(inputs: &[Option<Value>]) -> Vec<&Value> {
    inputs.iter().flatten().filter(|value| value.flows()).collect()
}

/// The name of the first input that flows.
fn flow_name<'a>(op: &Op<'_, 'a>, inputs: &[Option<Value>]) -> &'a str {
    let place = inputs.iter().position(|value| value.as_ref().is_some_and(Value::flows));
    place.and_then(|place| op.0.input.get(place)).copied().unwrap_or("")
}

/// So many elements, in channels and positions.
fn spread(kind: Kind, channels: u64, total: u64) -> Layer {
    let mut layer = Layer::new("", kind, channels, channels);
    layer.in_height = total / channels.max(1);
    layer
}

/// Several elements become one: as a mean over a window.
fn reduction(going_in: u64, total: u64) -> Layer {
    let each = (going_in / total.max(1)).max(1);
    let mut layer = Layer::new("", Kind::AveragePool, total, total);
    (layer.in_height, layer.kernel_height) = (each, each);
    layer
}

/// Channels of a tensor: the second axis of images, the last of all else.
fn channels(operator: &str, shape: &[u64]) -> u64 {
    let image =
        matches!(operator, "BatchNormalization" | "InstanceNormalization" | "GroupNormalization" | "LRN");
    let last = shape.last().copied().unwrap_or(1);
    let of_image = shape.get(1).copied();
    if (image || shape.len() == 4) && operator != "LayerNormalization" && operator != "Softmax" {
        of_image.unwrap_or(last)
    } else {
        last
    }
}

fn activation(operator: &str) -> Option<Activation> {
    Some(match operator {
        "Relu" => Activation::Relu,
        "Clip" => Activation::Relu6,
        "LeakyRelu" => Activation::LeakyRelu,
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "HardSwish" => Activation::Silu,
        "Gelu" => Activation::Gelu,
        _ => return None,
    })
}
