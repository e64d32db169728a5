//! ONNX graphs: shapes suffice, weights may be absent.
//!
//! One sample is one run of the graph as it stands. The first axis of an input is its batch: without a size (`N`, `batch`) it is 1, and
//! so is any other axis of the same name. Every other axis without a size must be given one. Shapes are inferred node by node and held against those that the file states. An initialiser of floats with
//! more than one number is trained; an `Identity` of one is another parameter (exporters merge those that are equal).
//! Normalisations that an export has folded into convolutions are not in the graph, and not counted.

mod fold;
mod guard;
mod infer;
mod lower;
mod node;
mod products;
mod shape;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashMap;

use onnx_rs::ast::{DataType, Dimension, Graph, Node, TensorProto, ValueInfo};

use self::lower::Importer;
use self::shape::{Shape, Trouble, size};
use self::value::{From, Value};
use super::{ImportError, Imported};
use crate::Network;
use crate::workload::{Kind, Norm};

/// Reads an ONNX model. `file` is used in messages, its stem as the name of the network; `axes` gives sizes to axes that
/// have a name instead of one. [`Imported::assumed`] says which batches were taken to be 1.
///
/// # Errors
/// [`ImportError`], with the node: no protocol buffer, no graph or an empty one, a cycle, a value that nobody makes, an axis other than the batch without a
/// size, a size that is none or too large, shapes that do not fit, a shape that cannot be known but is needed.
pub fn read_onnx(bytes: &[u8], file: &str, axes: &[(String, u64)]) -> Result<Imported, ImportError> {
    let whole = |message: String| ImportError { file: file.to_owned(), place: String::new(), message };
    if guard::too_deep(bytes) {
        return Err(whole("its graphs lie in one another more deeply than any real one".to_owned()));
    }
    let model = onnx_rs::parse(bytes).map_err(|e| whole(format!("this is no ONNX model: {e}")))?;
    let graph = model.graph.as_ref().ok_or_else(|| whole("the model has no graph".to_owned()))?;
    if graph.node.is_empty() {
        return Err(whole("the graph is empty: there is nothing to train".to_owned()));
    }
    let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let mut importer = Importer::new(stem.strip_suffix(".onnx").unwrap_or(stem));
    for (place, (name, _)) in axes.iter().enumerate() {
        if !graph.input.iter().any(|input| has_axis(input, name)) {
            return Err(whole(format!(
                "no input of the graph has an axis called `{name}`; {}",
                axes_of(graph)
            )));
        }
        if axes[..place].iter().any(|(before, _)| before == name) {
            return Err(whole(format!("the axis `{name}` is given two sizes")));
        }
    }
    let (all, assumed) = batches(graph, axes);
    start(graph, &all, &mut importer).map_err(|(place, message)| ImportError {
        file: file.to_owned(),
        place: format!("{place}: "),
        message,
    })?;
    for node in order(graph, &importer).map_err(whole)? {
        let taken = importer.node(node);
        taken.map_err(|trouble| ImportError {
            file: file.to_owned(),
            place: format!("node {} ({}): ", lower::node_name(node), node.op_type.as_str()),
            message: match trouble {
                Trouble::Unknown(message) => message + &importer.suspects(),
                Trouble::Wrong(message) => message,
            },
        })?;
    }
    let mut imported = importer.finish().map_err(whole)?;
    imported.assumed = assumed;
    imported.assumed.extend(folded(&imported.network));
    imported.network.notes.extend(imported.assumed.iter().cloned());
    Ok(imported)
}

/// What to say of convolutions with biases where nothing is normalised.
fn folded(network: &Network) -> Option<String> {
    let biased = network.layers.iter().any(|l| l.kind == Kind::Convolution && l.bias);
    let normalised = network.layers.iter().any(|l| l.norm != Norm::None);
    (biased && !normalised).then(|| {
        "its convolutions have biases and nothing is normalised: if the network has batch normalisation, this export for inference folded it \
         into the weights, and training's sweeps for it are missing here; export it for training, without folding constants"
            .to_owned()
    })
}

/// The named axes of the inputs, in words.
fn axes_of(graph: &Graph) -> String {
    let shapes = graph.input.iter().filter_map(|input| input.tensor_shape());
    let names = shapes.flat_map(|shape| &shape.dim).filter_map(|axis| match &axis.value {
        Dimension::Param(name) => Some(format!("`{name}`")),
        _ => None,
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        "none of them has a name".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    }
}

/// The sizes of named axes, those of batches (first axes of inputs) that the caller gives none among them; and what to say of
/// these.
fn batches(graph: &Graph, axes: &[(String, u64)]) -> (Vec<(String, u64)>, Vec<String>) {
    let (mut all, mut assumed) = (axes.to_vec(), Vec::new());
    let weights: Vec<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    for input in graph.input.iter().filter(|input| !weights.contains(&input.name)) {
        let first = input.tensor_shape().and_then(|shape| shape.dim.first());
        let name = match first.map(|axis| &axis.value) {
            Some(Dimension::Param(name)) if axes.iter().any(|(given, _)| given == name) => continue,
            Some(Dimension::Param(name)) => {
                if !all.iter().any(|(known, _)| known == name) {
                    all.push(((*name).to_owned(), 1));
                }
                format!("`{name}`")
            }
            Some(Dimension::Value(0)) => "without name or size".to_owned(),
            _ => continue,
        };
        assumed.push(format!(
            "the first axis of input {} ({name}) is its batch: 1 for each sample; --batch counts samples",
            input.name
        ));
    }
    (all, assumed)
}

fn has_axis(input: &ValueInfo, name: &str) -> bool {
    let axes = input.tensor_shape().into_iter().flat_map(|shape| &shape.dim);
    axes.into_iter().any(|axis| matches!(axis.value, Dimension::Param(param) if param == name))
}

/// Inputs, initialisers and stated shapes.
fn start<'a>(
    graph: &Graph<'a>,
    axes: &[(String, u64)],
    importer: &mut Importer<'a>,
) -> Result<(), (String, String)> {
    for tensor in &graph.initializer {
        let value = initialiser(tensor).map_err(|e| (format!("initialiser {}", tensor.name()), e))?;
        importer.values.insert(tensor.name(), value);
    }
    for tensor in &graph.sparse_initializer {
        if let Some(values) = &tensor.values {
            let shape: Result<Shape, String> = tensor.dims.iter().map(|&value| size(value)).collect();
            let shape = shape.map_err(|e| (format!("initialiser {}", values.name()), e))?;
            importer.values.insert(values.name(), Value::new(shape, From::Parameter));
        }
    }
    for input in &graph.input {
        if importer.values.contains_key(input.name) {
            continue;
        }
        let place = || format!("input {}", input.name);
        let sized = stated(input, axes).map_err(|e| (place(), e))?;
        let Some((mut shape, open)) = sized else {
            return Err((place(), "it has no shape".to_owned()));
        };
        for (axis, name) in open {
            match (axis, name) {
                // The batch.
                (0, _) => shape[0] = 1,
                (axis, "") => {
                    let message =
                        format!("its axis {axis} (from 0) has neither a name nor a size: export it with one");
                    return Err((place(), message));
                }
                (axis, name) => {
                    let message = format!(
                        "its axis {axis} (from 0), `{name}`, has no size: give one with --axis {name}=SIZE"
                    );
                    return Err((place(), message));
                }
            }
        }
        importer.values.insert(input.name, Value::new(shape, From::Data));
    }
    for info in graph.value_info.iter().chain(&graph.output) {
        if let Ok(Some((shape, open))) = stated(info, axes)
            && open.is_empty()
        {
            importer.stated.insert(info.name, shape);
        }
    }
    for output in &graph.output {
        importer.outputs.insert(output.name);
    }
    for name in graph.node.iter().flat_map(|node| &node.input) {
        *importer.readers.entry(*name).or_insert(0) += 1;
    }
    Ok(())
}

/// Axes of a value by place, with their names.
type Open<'a> = Vec<(usize, &'a str)>;

/// The sizes that the file states for a value, and the axes that have none (1 among the sizes) with their names.
fn stated<'a>(info: &ValueInfo<'a>, axes: &[(String, u64)]) -> Result<Option<(Shape, Open<'a>)>, String> {
    let Some(shape) = info.tensor_shape() else { return Ok(None) };
    let (mut sizes, mut open) = (Vec::new(), Vec::new());
    for (place, axis) in shape.dim.iter().enumerate() {
        let known = match axis.value {
            Dimension::Value(value) if value != 0 => Some(size(value)?),
            Dimension::Param(name) => match axes.iter().find(|(known, _)| known == name) {
                Some((_, given)) => Some(size(i64::try_from(*given).unwrap_or(i64::MAX))?),
                None => {
                    open.push((place, name));
                    None
                }
            },
            // What the parser makes of an axis that says nothing.
            Dimension::Value(_) => {
                open.push((place, ""));
                None
            }
        };
        sizes.push(known.unwrap_or(1));
    }
    Ok(Some((sizes, open)))
}

fn initialiser(tensor: &TensorProto) -> Result<Value, String> {
    let shape: Shape = tensor
        .dims()
        .iter()
        .map(|&value| if value == 0 { Ok(0) } else { size(value) })
        .collect::<Result<_, _>>()?;
    let floats = matches!(
        tensor.data_type(),
        DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16
    );
    let from = if floats && shape::elements(&shape)? > 1 { From::Parameter } else { From::Constant };
    Ok(Value { shape: Some(shape), ints: fold::numbers(tensor), from })
}

/// The nodes, each after those that make its inputs.
fn order<'g, 'a>(graph: &'g Graph<'a>, importer: &Importer<'a>) -> Result<Vec<&'g Node<'a>>, String> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if makers.insert(output, index).is_some() || importer.values.contains_key(output) {
                return Err(format!("the value `{output}` is made twice"));
            }
        }
    }
    let mut waits = vec![0usize; graph.node.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        for input in node.input.iter().filter(|name| !name.is_empty()) {
            if let Some(&maker) = makers.get(input) {
                waits[index] += 1;
                readers[maker].push(index);
            } else if !importer.values.contains_key(input) {
                let name = lower::node_name(node);
                return Err(format!(
                    "node {name} reads `{input}`, which nobody makes and which is no input or initialiser"
                ));
            }
        }
    }
    // The smallest index first: the order of the file, where it can be kept.
    let mut ready: std::collections::BTreeSet<usize> = (0..waits.len()).filter(|&i| waits[i] == 0).collect();
    let mut sorted = Vec::with_capacity(waits.len());
    while let Some(index) = ready.pop_first() {
        sorted.push(&graph.node[index]);
        for &reader in &readers[index] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if sorted.len() < graph.node.len() {
        let stuck = graph.node.iter().zip(&waits).filter(|&(_, &waits)| waits > 0);
        let names: Vec<String> = stuck.take(4).map(|(node, _)| lower::node_name(node)).collect();
        return Err(format!("the graph has a cycle, at or before {}", names.join(", ")));
    }
    Ok(sorted)
}
