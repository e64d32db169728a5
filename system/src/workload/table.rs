//! Reads layer tables: strict, with the line of what is wrong.

use mirage_design::hint;

use super::vector::{Activation, Optimiser};
use super::{Kind, Layer, Network, Norm, Source, TableError, Tied};

/// The columns that every layer table has, in this order.
const COLUMNS: [&str; 15] = [
    "layer",
    "kind",
    "in_channels",
    "out_channels",
    "in_height",
    "in_width",
    "kernel_height",
    "kernel_width",
    "stride",
    "padding",
    "groups",
    "bias",
    "norm",
    "tied",
    "input_gradient",
];

/// Columns that may follow, in any order.
const OPTIONAL: [&str; 3] = ["dilation", "activation", "inputs"];

/// The word for the data of a sample among the inputs of a layer.
const DATA: &str = "data";

/// No dimension of a real layer comes near this; what does is a mistake.
const LARGEST: u64 = 1 << 40;

impl Network {
    /// Reads a layer table: comment lines (`# network: NAME` gives the name, `# optimiser: adam` what updates the parameters in
    /// place of `momentum`, others are kept as notes),
    /// the header, one line per layer. `file` is used in messages, and as the name if there is none.
    ///
    /// # Errors
    /// [`TableError`] with the line: a wrong header, a missing or superfluous field, a number out of
    /// range, an unknown kind, a shape that does not fit, an input that is no earlier layer, a name used twice, no layer at all.
    pub fn parse(text: &str, file: &str) -> Result<Self, TableError> {
        let fail = |line: usize, message: String| TableError { file: file.to_owned(), line, message };
        let mut network = Self {
            name: file.to_owned(),
            layers: Vec::new(),
            notes: Vec::new(),
            optimiser: Optimiser::Momentum,
        };
        let (mut header, mut last) = (None, 1);
        for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let (line, number) = (raw.trim(), index + 1);
            last = number;
            if line.is_empty() {
                continue;
            }
            if let Some(comment) = line.strip_prefix('#') {
                network.comment(comment.trim()).map_err(|message| fail(number, message))?;
                continue;
            }
            match &header {
                None => header = Some(check_header(line).map_err(|message| fail(number, message))?),
                Some(optional) => {
                    let layer = parse_layer(line, optional, &network.layers);
                    network.layers.push(layer.map_err(|message| fail(number, message))?);
                }
            }
        }
        if network.layers.is_empty() {
            let columns = COLUMNS.join(",");
            return Err(fail(
                last,
                format!("no layers: a table needs the header `{columns}` and a line per layer"),
            ));
        }
        Ok(network)
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        if let Some(name) = comment.strip_prefix("network:") {
            self.name = name.trim().to_owned();
        } else if let Some(name) = comment.strip_prefix("optimiser:") {
            self.optimiser = parse_word("optimiser", name.trim(), &Optimiser::TEXTS)?;
        } else {
            self.notes.push(comment.to_owned());
        }
        Ok(())
    }
}

/// Checks the header; gives the optional columns that it has.
fn check_header(line: &str) -> Result<Vec<&'static str>, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    for (index, column) in COLUMNS.iter().enumerate() {
        match fields.get(index) {
            Some(field) if field == column => {}
            Some(field) => {
                return Err(format!("column {} is `{field}` but must be `{column}`", index + 1));
            }
            None => {
                return Err(format!(
                    "the column `{column}` is missing; the header is `{}`",
                    COLUMNS.join(",")
                ));
            }
        }
    }
    let mut optional = Vec::new();
    for field in &fields[COLUMNS.len()..] {
        let Some(known) = OPTIONAL.iter().find(|column| *column == field) else {
            let hint = hint(field, OPTIONAL);
            return Err(format!(
                "unknown column `{field}`: after `{}` come {}{hint}",
                COLUMNS[COLUMNS.len() - 1],
                OPTIONAL.join(", ")
            ));
        };
        if optional.contains(known) {
            return Err(format!("the column `{field}` stands there twice"));
        }
        optional.push(*known);
    }
    Ok(optional)
}

fn parse_layer(line: &str, optional: &[&str], before: &[Layer]) -> Result<Layer, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let columns = COLUMNS.len() + optional.len();
    if fields.len() != columns {
        return Err(format!("{} fields where the header has {columns}", fields.len()));
    }
    let field = |column: &str| {
        let place = COLUMNS.iter().chain(optional).position(|known| *known == column);
        place.map_or("", |place| fields[place])
    };
    let size = |column: &'static str| parse_size(column, field(column));
    let name = field("layer");
    if name.is_empty() {
        return Err("the layer has no name".to_owned());
    }
    if name == DATA {
        return Err(format!("`{DATA}` is the word for the input of the network: name the layer otherwise"));
    }
    if before.iter().any(|other| other.name == name) {
        return Err(format!("the layer `{name}` is named twice; names must differ"));
    }
    let layer = Layer {
        name: name.to_owned(),
        kind: parse_word("kind of layer", field("kind"), &Kind::TEXTS)?,
        in_channels: size("in_channels")?,
        out_channels: size("out_channels")?,
        in_height: size("in_height")?,
        in_width: size("in_width")?,
        kernel_height: size("kernel_height")?,
        kernel_width: size("kernel_width")?,
        stride: parse_sides("stride", field("stride"))?,
        padding: parse_sides("padding", field("padding"))?,
        dilation: parse_sides(
            "dilation",
            if optional.contains(&"dilation") { field("dilation") } else { "1" },
        )?,
        groups: size("groups")?,
        bias: parse_flag("bias", field("bias"))?,
        norm: parse_word("norm", field("norm"), &Norm::TEXTS)?,
        tied: parse_tied(field("tied"), before)?,
        input_gradient: parse_flag("input_gradient", field("input_gradient"))?,
        activation: match field("activation") {
            "" => Activation::None,
            text => parse_word("activation", text, &Activation::TEXTS)?,
        },
        inputs: match optional.contains(&"inputs") {
            true => parse_inputs(field("inputs"), before)?,
            false => Vec::new(),
        },
    };
    check_shape(&layer)?;
    if !layer.inputs.is_empty() {
        check_inputs(&layer, before)?;
    }
    Ok(layer)
}

fn parse_size(column: &str, field: &str) -> Result<u64, String> {
    let smallest = u64::from(column != "padding");
    match field.parse::<u64>() {
        Ok(number) if (smallest..=LARGEST).contains(&number) => Ok(number),
        _ => {
            Err(format!("`{field}` in column `{column}` is not a whole number from {smallest} to {LARGEST}"))
        }
    }
}

/// One number for all sides, or one for each, joined by `x`: height x width, or (four sides) top x left x bottom x right.
fn parse_sides<const SIDES: usize>(column: &str, field: &str) -> Result<[u64; SIDES], String> {
    let numbers: Vec<u64> =
        field.split('x').map(|part| parse_size(column, part)).collect::<Result<_, _>>()?;
    match numbers.len() {
        1 | 2 => Ok(std::array::from_fn(|side| numbers[side % numbers.len()])),
        count if count == SIDES => Ok(std::array::from_fn(|side| numbers[side])),
        _ if SIDES == 4 => Err(format!(
            "`{field}` in column `{column}`: write 1, or 1x2 (height x width), or 1x2x3x4 (top x left x bottom x right)"
        )),
        _ => Err(format!("`{field}` in column `{column}`: write 1, or 1x2 (height x width)")),
    }
}

fn parse_word<T: Copy>(what: &str, field: &str, texts: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = texts.iter().find(|(text, _)| *text == field) {
        return Ok(*value);
    }
    let known: Vec<&str> = texts.iter().map(|(text, _)| *text).collect();
    let hint = hint(field, known.iter().copied());
    Err(format!("`{field}` is no {what} (use {}){hint}", known.join(", ")))
}

fn parse_flag(column: &str, field: &str) -> Result<bool, String> {
    match field {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{field}` in column `{column}` must be yes or no")),
    }
}

fn parse_tied(field: &str, before: &[Layer]) -> Result<Tied, String> {
    match field {
        "no" => Ok(Tied::No),
        "yes" => Ok(Tied::Elsewhere),
        name => match before.iter().position(|layer| layer.name == name) {
            Some(index) if before[index].tied == Tied::No && before[index].kind.has_weights() => {
                Ok(Tied::To(index))
            }
            Some(_) => Err(format!("the layer `{name}` in column `tied` has no weights of its own")),
            None => Err(format!(
                "`{name}` in column `tied` must be yes, no, or the name of an earlier layer{}",
                nearest(name, before)
            )),
        },
    }
}

/// Names joined by blanks; empty: the layer before, or the data for the first.
fn parse_inputs(field: &str, before: &[Layer]) -> Result<Vec<Source>, String> {
    if field.is_empty() {
        return Ok(vec![before.len().checked_sub(1).map_or(Source::Data, Source::Layer)]);
    }
    let source = |name: &str| {
        if name == DATA {
            return Ok(Source::Data);
        }
        let index = before.iter().position(|layer| layer.name == name);
        index.map(Source::Layer).ok_or_else(|| {
            format!(
                "the input `{name}` is no layer above (layers stand in the order of the forward pass; `{DATA}` is the input of the network){}",
                nearest(name, before)
            )
        })
    };
    field.split_whitespace().map(source).collect()
}

fn nearest(name: &str, before: &[Layer]) -> String {
    hint(name, before.iter().map(|layer| layer.name.as_str()))
}

fn check_shape(layer: &Layer) -> Result<(), String> {
    if layer.kind.has_window() {
        for (column, channels) in [("in_channels", layer.in_channels), ("out_channels", layer.out_channels)] {
            if channels % layer.groups != 0 {
                return Err(format!("{column} = {channels} cannot be split into {} groups", layer.groups));
            }
        }
        if layer.output_size().0 == 0 || layer.output_size().1 == 0 {
            return Err(format!(
                "a filter of {} x {} does not fit on a padded input of {} x {}",
                layer.kernel_height,
                layer.kernel_width,
                layer.in_height + layer.padding[0] + layer.padding[2],
                layer.in_width + layer.padding[1] + layer.padding[3]
            ));
        }
    } else {
        let plain = layer.kernel_height == 1 && layer.kernel_width == 1;
        if !plain || layer.stride != [1; 2] || layer.padding != [0; 4] || layer.dilation != [1; 2] {
            return Err(
                "only a conv or pool has a kernel, stride, padding or dilation: write 1, 1, 1, 0".to_owned()
            );
        }
    }
    if !matches!(layer.kind, Kind::Product | Kind::Convolution) && layer.groups != 1 {
        return Err("only a conv or matmul has groups: write 1".to_owned());
    }
    if layer.kind == Kind::Product && layer.in_width != 1 {
        return Err("the rows of a matmul go into in_height: in_width must be 1".to_owned());
    }
    if layer.kind == Kind::Product && !layer.input_gradient {
        return Err(
            "a matmul has no weights, so both gradients are of inputs: input_gradient must be yes".to_owned()
        );
    }
    if !layer.kind.has_weights() && layer.tied != Tied::No {
        return Err("only a layer with weights can be tied: write no".to_owned());
    }
    let same = matches!(
        layer.kind,
        Kind::MaxPool
            | Kind::AveragePool
            | Kind::Add
            | Kind::Multiply
            | Kind::Concat
            | Kind::Softmax
            | Kind::Identity
    );
    if same && layer.in_channels != layer.out_channels {
        return Err(format!(
            "what goes in has {} channels and what comes out {}: this kind of layer keeps them",
            layer.in_channels, layer.out_channels
        ));
    }
    Ok(())
}

/// Whether the inputs that are named have the sizes that the layer says.
fn check_inputs(layer: &Layer, before: &[Layer]) -> Result<(), String> {
    let text = |e: crate::SystemError| e.to_string();
    let wanted = layer.input_elements().map_err(text)?;
    let count = layer.inputs.len();
    let (fits, needs) = match layer.kind {
        Kind::Add | Kind::Multiply | Kind::Concat => (count >= 2, "at least two inputs"),
        Kind::Product => (count == 2, "two inputs"),
        Kind::Other => (true, ""),
        _ => (count == 1, "one input"),
    };
    if !fits {
        return Err(format!("this kind of layer has {needs}, not {count}"));
    }
    let mut joined = 0u64;
    for (index, source) in layer.inputs.iter().enumerate() {
        let Source::Layer(from) = *source else { continue };
        if !layer.input_gradient && layer.kind != Kind::Embedding {
            return Err(format!(
                "its input `{}` is a layer that is trained: input_gradient must be yes",
                before[from].name
            ));
        }
        let found = before[from].output_elements().map_err(text)?;
        joined = joined.saturating_add(found);
        let wanted = match layer.kind {
            Kind::Other | Kind::Concat => continue,
            Kind::Product if index == 1 => {
                layer.multiply(&[layer.groups, layer.in_channels, layer.out_channels]).map_err(text)?
            }
            _ => wanted,
        };
        if found != wanted {
            return Err(format!(
                "`{}` gives {found} elements a sample, but {wanted} go in here",
                before[from].name
            ));
        }
    }
    if layer.kind == Kind::Concat && !layer.inputs.contains(&Source::Data) && joined != wanted {
        return Err(format!("the inputs have {joined} elements a sample together, but {wanted} go in here"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# network: tiny\n# source: none\nlayer,kind,in_channels,out_channels,in_height,in_width,kernel_height,kernel_width,stride,padding,groups,bias,norm,tied,input_gradient\r\n\nc,conv,4,8,5,7,3,3,2,1,2,yes,no,no,no\n";

    fn failure(from: &str, to: &str) -> String {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "the test changes nothing");
        Network::parse(&text, "t.csv").unwrap_err().to_string()
    }

    #[test]
    fn a_table_is_read() {
        let network = Network::parse(GOOD, "t.csv").unwrap();
        assert_eq!(
            (network.name.as_str(), network.notes.as_slice()),
            ("tiny", &["source: none".to_owned()][..])
        );
        let layer = &network.layers[0];
        assert_eq!(layer.output_size(), (3, 4));
        assert_eq!(layer.macs().unwrap(), 2 * 9 * 8 * 12);
        assert_eq!(layer.parameters().unwrap(), 2 * 9 * 8 + 8);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            (
                "# source: none",
                "# optimiser: adan",
                "t.csv:2: `adan` is no optimiser (use momentum, adam); did you mean `adam`?",
            ),
            ("c,conv", "c,konv", "t.csv:5: `konv` is no kind of layer"),
            ("c,conv,4", "c,conv,0", "`0` in column `in_channels`"),
            ("c,conv,4", "c,conv,-4", "`-4` in column `in_channels`"),
            ("c,conv,4", "c,conv,5", "in_channels = 5 cannot be split into 2 groups"),
            ("3,3,2,1,2", "9,3,2,1,2", "does not fit on a padded input of 7 x 9"),
            ("yes,no,no,no", "yes,no,no", "14 fields where the header has 15"),
            ("yes,no,no,no", "1,no,no,no", "`1` in column `bias` must be yes or no"),
            ("layer,kind", "layer,type", "t.csv:3: column 2 is `type` but must be `kind`"),
            ("input_gradient\r", "input_gradient,colour\r", "unknown column `colour`"),
            (",input_gradient\r", "\r", "the column `input_gradient` is missing"),
            ("c,conv", ",conv", "has no name"),
            ("3,3,2,1,2", "3,3,2x2x2,1,2", "`2x2x2` in column `stride`: write 1, or 1x2"),
            (
                "3,3,2,1,2",
                "3,3,2,1x2x3,2",
                "`1x2x3` in column `padding`: write 1, or 1x2 (height x width), or",
            ),
            ("no,no,no\n", "no,b,no\n", "`b` in column `tied` must be yes, no, or the name"),
            ("c,conv", "data,conv", "`data` is the word for"),
            ("c,conv", "c,linear", "only a conv or pool has a kernel"),
            (
                "no,no,no\n",
                "no,no,no\nc,conv,4,8,5,7,3,3,2,1,2,yes,no,no,no\n",
                "t.csv:6: the layer `c` is named twice",
            ),
        ];
        for (from, to, expected) in cases {
            let message = failure(from, to);
            assert!(message.contains(expected), "{message}\nshould contain {expected}");
        }
        let empty = Network::parse("# nothing\n", "t.csv").unwrap_err().to_string();
        assert!(empty.contains("no layers"), "{empty}");
    }

    #[test]
    fn inputs_are_earlier_layers_of_the_right_size() {
        let header = format!("{},inputs,activation", COLUMNS.join(","));
        let read =
            |rows: &str| Network::parse(&format!("{header}\n{rows}"), "t.csv").map_err(|e| e.to_string());
        let conv = "c,conv,3,8,6,6,3,3,1,1x0x1x2,1,yes,no,no,no,,relu\n";
        let network = read(&format!("{conv}p,max-pool,8,8,6,6,2,2,2,0,1,no,no,no,yes,,none\nf,linear,72,5,1,1,1,1,1,0,1,no,no,no,yes,,\n")).unwrap();
        assert!(network.linked());
        assert_eq!(network.layers[0].output_size(), (6, 6));
        assert_eq!(
            (network.layers[0].inputs[0], network.layers[2].inputs[0]),
            (Source::Data, Source::Layer(1))
        );
        let cases = [
            ("a,add,8,8,6,6,1,1,1,0,1,no,no,no,yes,c,none\n", "has at least two inputs, not 1"),
            ("a,add,8,8,6,6,1,1,1,0,1,no,no,no,yes,c d,none\n", "the input `d` is no layer above"),
            ("a,add,8,8,6,6,1,1,1,0,1,no,no,no,yes,c a,none\n", "the input `a` is no layer above"),
            (
                "a,add,8,8,6,5,1,1,1,0,1,no,no,no,yes,c c,none\n",
                "`c` gives 288 elements a sample, but 240 go in here",
            ),
            (
                "a,concat,8,8,6,6,1,1,1,0,1,no,no,no,yes,c c,none\n",
                "have 576 elements a sample together, but 288",
            ),
            (
                "l,linear,288,4,1,1,1,1,1,0,1,no,no,no,no,c,none\n",
                "is a layer that is trained: input_gradient must be yes",
            ),
            ("i,identity,8,8,6,6,1,1,1,0,1,no,no,c,yes,c,none\n", "only a layer with weights can be tied"),
            ("i,identity,8,8,6,6,1,1,1,0,1,no,no,no,yes,c,rely\n", "did you mean `relu`?"),
            ("i,identity,8,9,6,6,1,1,1,0,1,no,no,no,yes,c,\n", "this kind of layer keeps them"),
        ];
        for (row, expected) in cases {
            let message = read(&format!("{conv}{row}")).unwrap_err();
            assert!(message.contains(expected), "{message}\nshould contain {expected}");
        }
    }

    #[test]
    fn sizes_beyond_64_bits_are_an_error() {
        let n = LARGEST;
        let text = GOOD.replacen("c,conv,4,8,5,7,3,3,2,1,2", &format!("c,linear,{n},{n},1,1,1,1,1,0,1"), 1);
        let network = Network::parse(&text, "t.csv").unwrap();
        assert!(network.macs().is_err() && network.parameters().is_err());
    }
}
