//! SCALE-Sim's topology files, in both forms.
//!
//! The first line is a heading and skipped. In SCALE-Sim each line ends with a comma: what comes after the last one is not read.
//!
//! * Convolution: `name, ifmap height, ifmap width, filter height, filter width, channels, filters, stride,`, sizes padded
//!   before; there is no padding, batch or group. A ninth field (`1:2`, sparsity) is refused unless it says `1:1`. `DP` in a
//!   name means depthwise.
//! * Product: `name, M, N, K,`.
//!
//! The output of a convolution is ceil((ifmap - filter + stride) / stride): a last step that the input does not fill is
//! done, as if it were padded.

use super::{ImportError, Imported, LARGEST};
use crate::workload::{Kind, Layer, Optimiser, Source};
use crate::{Network, SystemError};

/// Reads a topology; `file` is used in messages, its stem as the name of the network. Layers run one after the other, as SCALE-Sim
/// runs them. The file does not say what lies between two layers: where the one does not give as much as the next takes
/// (pooling, padding, a branch), that is one sweep which reads the one and writes the other. Only the first layer needs no gradient
/// of its input.
///
/// # Errors
/// [`ImportError`] with the line: a line of neither form, a size that is none, no layer at all.
pub fn read_scale_sim(text: &str, file: &str) -> Result<Imported, ImportError> {
    let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let name = stem.strip_suffix(".csv").unwrap_or(stem).to_owned();
    let notes = vec![
        "SCALE-Sim topology: layers run one after the other; what lies between two of different sizes (pooling, padding, a branch) is one \
         sweep that reads the one and writes the other"
            .to_owned(),
    ];
    let mut network = Network { name, layers: Vec::new(), notes, optimiser: Optimiser::Momentum };
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate().skip(1) {
        let line = raw.trim();
        if line.is_empty() {
            continue;
        }
        let fail = |message: String| ImportError {
            file: file.to_owned(),
            place: format!("line {}: ", index + 1),
            message,
        };
        let mut layer = parse(line).map_err(fail)?;
        layer.input_gradient = layer.kind == Kind::Product || !network.layers.is_empty();
        let twice = network.layers.iter().filter(|other| other.name == layer.name).count();
        if twice > 0 {
            // SCALE-Sim does not ask for different names.
            layer.name = format!("{} (line {})", layer.name, index + 1);
        }
        link(&mut network.layers, layer).map_err(|e| fail(e.to_string()))?;
    }
    if network.layers.is_empty() {
        let message = "no layers: a topology is a heading and a line per layer, `name, ifmap height, ifmap width, filter height, filter width, channels, filters, stride,` or `name, M, N, K,`".to_owned();
        return Err(ImportError { file: file.to_owned(), place: String::new(), message });
    }
    Ok(Imported { network, unsupported: Vec::new(), assumed: Vec::new() })
}

/// Adds a layer that takes what the last one gave, with a sweep between them if sizes differ.
fn link(layers: &mut Vec<Layer>, mut layer: Layer) -> Result<(), SystemError> {
    let last = layers.len().checked_sub(1);
    layer.inputs = vec![last.map_or(Source::Data, Source::Layer)];
    if let Some(last) = last {
        let (given, taken) = (layers[last].output_elements()?, layer.input_elements()?);
        if given != taken {
            let name = format!("{} to {}", layers[last].name, layer.name);
            let mut sweep = Layer::new(name, Kind::Move, given, taken);
            sweep.inputs = vec![Source::Layer(last)];
            layers.push(sweep);
            layer.inputs = vec![Source::Layer(last + 1)];
        }
    }
    layers.push(layer);
    Ok(())
}

fn parse(line: &str) -> Result<Layer, String> {
    // A file that was written without the last comma is meant the same way.
    let line = line.strip_suffix(',').unwrap_or(line);
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [name, sizes @ ..] = fields.as_slice() else { return Err("an empty line".to_owned()) };
    if name.is_empty() {
        return Err("the layer has no name".to_owned());
    }
    let number = |field: &&str| match field.parse::<u64>() {
        Ok(number) if (1..=LARGEST).contains(&number) => Ok(number),
        _ => Err(format!("`{field}` is not a whole number from 1 to {LARGEST}")),
    };
    match sizes {
        [m, n, k] => {
            // O (M x N) = I (M x K) W (K x N): as a dense layer, M positions with K features in and N out.
            let mut layer = Layer::new(*name, Kind::Linear, number(k)?, number(n)?);
            layer.in_height = number(m)?;
            Ok(layer)
        }
        [shape @ .., sparsity] if shape.len() == 7 => {
            if *sparsity != "1:1" {
                return Err(format!(
                    "sparsity `{sparsity}` is not modelled: leave the field out, or write 1:1"
                ));
            }
            convolution(name, &shape.iter().map(number).collect::<Result<Vec<_>, _>>()?)
        }
        shape if shape.len() == 7 => {
            convolution(name, &shape.iter().map(number).collect::<Result<Vec<_>, _>>()?)
        }
        _ => Err(format!(
            "{} fields after the name, where a convolution has 7 (ifmap height, ifmap width, filter height, filter width, channels, filters, stride) and a product 3 (M, N, K)",
            sizes.len()
        )),
    }
}

fn convolution(name: &str, shape: &[u64]) -> Result<Layer, String> {
    let &[height, width, kernel_height, kernel_width, channels, filters, stride] = shape else {
        return Err("a convolution has 7 sizes".to_owned());
    };
    let fill = |input: u64, kernel: u64| match input.checked_sub(kernel) {
        Some(rest) => Ok((stride - rest % stride) % stride),
        None => Err(format!(
            "a filter of {kernel_height} x {kernel_width} does not fit on an input of {height} x {width}"
        )),
    };
    let depthwise = name.contains("DP");
    let mut layer = Layer::new(name, Kind::Convolution, channels, if depthwise { channels } else { filters });
    layer.groups = if depthwise { channels } else { 1 };
    (layer.in_height, layer.in_width) = (height, width);
    (layer.kernel_height, layer.kernel_width) = (kernel_height, kernel_width);
    layer.stride = [stride; 2];
    layer.padding = [0, 0, fill(height, kernel_height)?, fill(width, kernel_width)?];
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use mirage_arithmetic::Pass;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let text = "\u{feff}Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\r\nConv1, 224, 224, 7, 7, 3, 64, 2,\r\nDP2, 9, 9, 3, 3, 16, 1, 1, 1:1,\r\nConv1, 5, 5, 1, 1, 4, 4, 1\r\nfc, 1, 1000, 512,\r\n";
        let network = read_scale_sim(text, "a/topo.csv").unwrap().network;
        assert_eq!(network.name, "topo");
        let products = network.training_step(1).unwrap();
        let forward: Vec<[u64; 4]> =
            products.iter().filter(|e| e.pass == Pass::Forward).map(|e| [e.m, e.k, e.n, e.repeats]).collect();
        // ceil((224 - 7 + 2) / 2) = 110 positions a side.
        assert_eq!(forward, [[64, 147, 110 * 110, 1], [1, 9, 49, 16], [4, 4, 25, 1], [1000, 512, 1, 1]]);
        assert!(products.iter().all(|e| e.layer != "Conv1" || e.pass != Pass::InputGradient));
        let names: Vec<&str> = network.layers.iter().map(|layer| layer.name.as_str()).collect();
        let between = ["Conv1 to DP2", "DP2 to Conv1 (line 4)", "Conv1 (line 4) to fc"];
        assert_eq!(names, ["Conv1", between[0], "DP2", between[1], "Conv1 (line 4)", between[2], "fc"]);
    }

    /// Nothing runs before what it stands on: forward in order, backward in reverse, with as many bytes between as go in and out.
    #[test]
    fn layers_wait_for_one_another() {
        let text = "h\nA, 8, 8, 1, 1, 4, 6, 1,\nB, 8, 8, 1, 1, 6, 2, 1,\nC, 3, 3, 1, 1, 5, 7, 1,\n";
        let network = read_scale_sim(text, "t.csv").unwrap().network;
        assert!(network.linked());
        let step = network.step(2, Optimiser::Momentum).unwrap();
        let order = |layer: &str, stage| {
            step.operations.iter().position(|o| o.layer == layer && o.stage == stage).unwrap()
        };
        use crate::workload::Stage::{Forward, InputGradient, WeightGradient};
        assert!(order("A", Forward) < order("B", Forward) && order("B", Forward) < order("C", Forward));
        assert!(order("C", InputGradient) < order("B", InputGradient));
        // B reads the very tensor that A wrote, and A's weights wait for the gradient that B makes.
        let operation = |layer: &str, stage| &step.operations[order(layer, stage)];
        assert!(operation("B", Forward).reads.contains(&operation("A", Forward).writes[0]));
        assert!(operation("A", WeightGradient).reads.contains(&operation("B", InputGradient).writes[0]));
        let sweep = operation("B to C", Forward);
        let elements = |id| step.tensor(id).elements;
        assert_eq!((elements(sweep.reads[0]), elements(sweep.writes[0])), (2 * 8 * 8 * 2, 2 * 3 * 3 * 5));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("h\n", "no layers"),
            ("h\nc, 5, 5, 7, 7, 3, 4, 1,\n", "line 2: a filter of 7 x 7 does not fit"),
            ("h\nc, 5, 5, 3, 3, 3, -4, 1,\n", "`-4` is not a whole number"),
            ("h\nc, 5, 5, 3, 3, 3, 4, 0,\n", "`0` is not a whole number"),
            ("h\nc, 5, 5, 3, 3, 3, 4, 1, 2:4,\n", "sparsity `2:4` is not modelled"),
            ("h\n\nc, 5, 5,\n", "line 3: 2 fields after the name"),
            ("h\n, 5, 5, 5,\n", "has no name"),
            ("h\nc, 99999999999999999999, 5, 5,\n", "is not a whole number"),
        ];
        for (text, expected) in cases {
            let message = read_scale_sim(text, "t.csv").unwrap_err().to_string();
            assert!(message.contains(expected), "{message}\nshould contain {expected}");
        }
    }
}
