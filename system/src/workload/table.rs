//! Reads layer tables: strict, with the line of what is wrong.

use mirage_design::closest;

use super::{Kind, Layer, Network, TableError};

/// The columns of a layer table, in this order.
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

/// No dimension of a real layer comes near this; what does is a mistake.
const LARGEST: u64 = 1 << 40;

impl Network {
    /// Reads a layer table: comment lines (`# network: NAME` gives the name, others are kept as notes),
    /// the header, one line per layer. `file` is used in messages, and as the name if there is none.
    ///
    /// # Errors
    /// [`TableError`] with the line: a wrong header, a missing or superfluous field, a number out of
    /// range, an unknown kind, a shape that does not fit, a name used twice, no layer at all.
    pub fn parse(text: &str, file: &str) -> Result<Self, TableError> {
        let fail = |line: usize, message: String| TableError { file: file.to_owned(), line, message };
        let mut network = Self { name: file.to_owned(), layers: Vec::new(), notes: Vec::new() };
        let (mut header, mut last) = (false, 1);
        for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let (line, number) = (raw.trim(), index + 1);
            last = number;
            if line.is_empty() {
                continue;
            }
            if let Some(comment) = line.strip_prefix('#') {
                network.comment(comment.trim());
            } else if !header {
                check_header(line).map_err(|message| fail(number, message))?;
                header = true;
            } else {
                let layer = parse_layer(line).map_err(|message| fail(number, message))?;
                if network.layers.iter().any(|other| other.name == layer.name) {
                    let twice = format!("the layer `{}` is named twice; names must differ", layer.name);
                    return Err(fail(number, twice));
                }
                network.layers.push(layer);
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

    fn comment(&mut self, comment: &str) {
        match comment.strip_prefix("network:") {
            Some(name) => self.name = name.trim().to_owned(),
            None => self.notes.push(comment.to_owned()),
        }
    }
}

fn check_header(line: &str) -> Result<(), String> {
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
    match fields.get(COLUMNS.len()) {
        Some(extra) => {
            Err(format!("unknown column `{extra}`: the last one is `{}`", COLUMNS[COLUMNS.len() - 1]))
        }
        None => Ok(()),
    }
}

fn parse_layer(line: &str) -> Result<Layer, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let fields: [&str; 15] = fields
        .try_into()
        .map_err(|f: Vec<&str>| format!("{} fields where the header has {}", f.len(), COLUMNS.len()))?;
    let [name, kind, sizes @ .., bias, norm, tied, input_gradient] = fields;
    if name.is_empty() {
        return Err("the layer has no name".to_owned());
    }
    let mut numbers = [0; 9];
    for (index, (number, field)) in numbers.iter_mut().zip(sizes).enumerate() {
        *number = parse_size(COLUMNS[2 + index], field)?;
    }
    let [
        in_channels,
        out_channels,
        in_height,
        in_width,
        kernel_height,
        kernel_width,
        stride,
        padding,
        groups,
    ] = numbers;
    let layer = Layer {
        name: name.to_owned(),
        kind: parse_kind(kind)?,
        in_channels,
        out_channels,
        in_height,
        in_width,
        kernel_height,
        kernel_width,
        stride,
        padding,
        groups,
        bias: parse_flag("bias", bias)?,
        norm: parse_flag("norm", norm)?,
        tied: parse_flag("tied", tied)?,
        input_gradient: parse_flag("input_gradient", input_gradient)?,
    };
    check_shape(&layer)?;
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

fn parse_kind(field: &str) -> Result<Kind, String> {
    if let Some((_, kind)) = Kind::TEXTS.iter().find(|(text, _)| *text == field) {
        return Ok(*kind);
    }
    let known = Kind::TEXTS.map(|(text, _)| text);
    let hint = closest(field, known).map_or(String::new(), |near| format!(", did you mean `{near}`?"));
    Err(format!("`{field}` is not a kind of layer (use {}){hint}", known.join(", ")))
}

fn parse_flag(column: &str, field: &str) -> Result<bool, String> {
    match field {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{field}` in column `{column}` must be yes or no")),
    }
}

fn check_shape(layer: &Layer) -> Result<(), String> {
    if layer.kind == Kind::Convolution {
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
                layer.in_height + 2 * layer.padding,
                layer.in_width + 2 * layer.padding
            ));
        }
        return Ok(());
    }
    let plain = [layer.kernel_height, layer.kernel_width, layer.stride, layer.padding] == [1, 1, 1, 0];
    if !plain {
        return Err("only a conv has a kernel, stride or padding: write 1, 1, 1, 0".to_owned());
    }
    if layer.kind != Kind::Product && layer.groups != 1 {
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
            ("c,conv", "c,konv", "t.csv:5: `konv` is not a kind of layer"),
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
            ("c,conv", "c,linear", "only a conv has a kernel"),
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
    fn sizes_beyond_64_bits_are_an_error() {
        let n = LARGEST;
        let text = GOOD.replacen("c,conv,4,8,5,7,3,3,2,1,2", &format!("c,linear,{n},{n},1,1,1,1,1,0,1"), 1);
        let network = Network::parse(&text, "t.csv").unwrap();
        assert!(network.macs().is_err() && network.parameters().is_err());
    }
}
