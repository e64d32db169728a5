//! Convolutions, matrix products, look-ups and pools.

use super::infer::{infer, shape_of};
use super::lower::{Importer, flowing, node_name};
use super::node::Op;
use super::shape::{Shape, Trouble, Window, elements, matmul};
use super::value::{From, Value};
use crate::workload::{Kind, Layer};

impl<'a> Importer<'a> {
    /// Takes a node in if it is one of these.
    pub(super) fn product_or_pool(
        &mut self,
        op: &Op<'_, 'a>,
        inputs: &[Option<Value>],
        output: &'a str,
    ) -> Result<bool, Trouble> {
        if !matches!(op.0.domain, "" | "ai.onnx") {
            return Ok(false);
        }
        let parameter = |index: usize| {
            let value = inputs.get(index)?.as_ref()?;
            if value.flows() { None } else { value.shape.as_ref() }
        };
        match op.name() {
            "Conv" => {
                let unknown = || Trouble::unknown("its filters are no initialiser of known shape");
                let weights = parameter(1).ok_or_else(unknown)?.clone();
                self.convolution(op, inputs, output, &weights)?;
            }
            "MaxPool" | "AveragePool" => self.pool(op, inputs, output)?,
            "GlobalMaxPool" | "GlobalAveragePool" => self.global_pool(op, inputs, output)?,
            "Gemm" => self.gemm(op, inputs, output)?,
            "MatMul" => self.matmul(op, inputs, output)?,
            "Gather" if parameter(0).is_some() => {
                let table = shape_of(inputs, 0)?;
                let (&[vocabulary, ref width @ ..], 0) = (table.as_slice(), op.int("axis", 0)) else {
                    return Ok(false);
                };
                let shape = self.agreed(output, infer(op, inputs))?;
                let mut layer = Layer::new(node_name(op.0), Kind::Embedding, vocabulary, elements(width)?);
                layer.in_height = elements(shape_of(inputs, 1)?)?;
                let index = self.push(layer, &flowing(inputs));
                self.set(output, shape, index);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn convolution(
        &mut self,
        op: &Op,
        inputs: &[Option<Value>],
        output: &'a str,
        weights: &Shape,
    ) -> Result<(), Trouble> {
        let (batch, channels, sizes) = image(shape_of(inputs, 0)?)?;
        let groups = super::shape::size(op.int("group", 1))?;
        let &[filters, per_group, ref kernel @ ..] = weights.as_slice() else {
            return Err("its filters have too few axes".into());
        };
        if kernel.len() != sizes.len()
            || per_group.checked_mul(groups) != Some(channels)
            || !filters.is_multiple_of(groups)
        {
            return Err(format!(
                "filters of {} in {groups} groups do not fit on an input of {}",
                super::shape::text(weights),
                super::shape::text(shape_of(inputs, 0)?)
            )
            .into());
        }
        let mut window = op.window(sizes.len(), Some(kernel))?;
        window.auto_pad(op.auto_pad()?, sizes)?;
        let steps = window.output(sizes)?;
        let mut layer = Layer::new(node_name(op.0), Kind::Convolution, channels, filters);
        layer.groups = groups;
        layer.bias = inputs.get(2).is_some_and(Option::is_some);
        place(&mut layer, &window, sizes, batch)?;
        let shape = [&[batch, filters], steps.as_slice()].concat();
        let shape = self.agreed(output, Ok::<_, Trouble>(shape))?;
        let index = self.push(layer, &flowing(inputs));
        self.set(output, shape, index);
        Ok(())
    }

    fn pool(&mut self, op: &Op, inputs: &[Option<Value>], output: &'a str) -> Result<(), Trouble> {
        let (batch, channels, sizes) = image(shape_of(inputs, 0)?)?;
        let mut window = op.window(sizes.len(), None)?;
        window.auto_pad(op.auto_pad()?, sizes)?;
        let steps = window.output(sizes)?;
        let shape = [&[batch, channels], steps.as_slice()].concat();
        let shape = self.agreed(output, Ok::<_, Trouble>(shape))?;
        if window.kernel.iter().chain(&window.strides).all(|&size| size == 1) {
            // A window of one element does nothing.
            let from = flowing(inputs).first().map_or(From::Data, |value| value.from);
            self.values.insert(output, Value::new(shape, from));
            return Ok(());
        }
        let kind = if op.name() == "MaxPool" { Kind::MaxPool } else { Kind::AveragePool };
        let mut layer = Layer::new(node_name(op.0), kind, channels, channels);
        place(&mut layer, &window, sizes, batch)?;
        let index = self.push(layer, &flowing(inputs));
        self.set(output, shape, index);
        Ok(())
    }

    fn global_pool(&mut self, op: &Op, inputs: &[Option<Value>], output: &'a str) -> Result<(), Trouble> {
        let (batch, channels, sizes) = image(shape_of(inputs, 0)?)?;
        let kind = if op.name() == "GlobalMaxPool" { Kind::MaxPool } else { Kind::AveragePool };
        let all = channels.checked_mul(batch).ok_or("its output is too large")?;
        let mut layer = Layer::new(node_name(op.0), kind, all, all);
        let area = elements(sizes)?;
        (layer.in_height, layer.kernel_height) = (area, area);
        let mut shape = vec![batch, channels];
        shape.resize(2 + sizes.len(), 1);
        let shape = self.agreed(output, Ok::<_, Trouble>(shape))?;
        let index = self.push(layer, &flowing(inputs));
        self.set(output, shape, index);
        Ok(())
    }

    fn gemm(&mut self, op: &Op, inputs: &[Option<Value>], output: &'a str) -> Result<(), Trouble> {
        let turn = |index: usize, name: &str| -> Result<[u64; 2], Trouble> {
            let shape = shape_of(inputs, index)?;
            match (shape.as_slice(), op.int(name, 0) != 0) {
                (&[rows, columns], false) => Ok([rows, columns]),
                (&[rows, columns], true) => Ok([columns, rows]),
                _ => Err(format!("input {} of a Gemm has {} axes, not 2", index + 1, shape.len()).into()),
            }
        };
        let ([m, k], [inner, n]) = (turn(0, "transA")?, turn(1, "transB")?);
        if k != inner {
            return Err(format!("a product of {m} x {k} and {inner} x {n}").into());
        }
        let mut layer = dense(op, inputs, (1, m, k, n))?;
        layer.bias = inputs
            .get(2)
            .is_some_and(|value| value.as_ref().is_some_and(|value| value.from == From::Parameter));
        let shape = self.agreed(output, Ok::<_, Trouble>(vec![m, n]))?;
        let index = self.push(layer, &flowing(inputs).into_iter().take(2).collect::<Vec<_>>());
        self.set(output, shape, index);
        Ok(())
    }

    fn matmul(&mut self, op: &Op, inputs: &[Option<Value>], output: &'a str) -> Result<(), Trouble> {
        let (a, b) = (shape_of(inputs, 0)?, shape_of(inputs, 1)?);
        let shape = self.agreed(output, matmul(a, b))?;
        let k = *a.last().ok_or("an operand without axes")?;
        let m = if a.len() > 1 { a[a.len() - 2] } else { 1 };
        let n = if b.len() > 1 { b[b.len() - 1] } else { 1 };
        let each = m.checked_mul(n).filter(|&each| each > 0).ok_or("its output is too large, or empty")?;
        let copies = elements(&shape)? / each;
        let layer = dense(op, inputs, (copies, m, k, n))?;
        let index = self.push(layer, &flowing(inputs));
        self.set(output, shape, index);
        Ok(())
    }
}

/// A dense layer where one operand is trained, a product of activations where none is.
fn dense(
    op: &Op,
    inputs: &[Option<Value>],
    (copies, m, k, n): (u64, u64, u64, u64),
) -> Result<Layer, Trouble> {
    if k == 0 || m == 0 || n == 0 {
        return Err("a product with a size of zero".into());
    }
    let fixed = |index: usize| inputs.get(index).and_then(Option::as_ref).filter(|value| !value.flows());
    // One matrix for all copies: its elements are those of one product.
    let single = |value: &Value, size: Option<u64>| {
        value.shape.as_ref().and_then(|shape| elements(shape).ok()) == size && size.is_some()
    };
    let too_large = || "a product larger than can be counted".to_owned();
    match (fixed(0), fixed(1)) {
        (_, Some(weights)) if single(weights, k.checked_mul(n)) => {
            let mut layer = Layer::new(node_name(op.0), Kind::Linear, k, n);
            layer.in_height = copies.checked_mul(m).ok_or_else(too_large)?;
            Ok(layer)
        }
        (Some(weights), _) if single(weights, m.checked_mul(k)) => {
            let mut layer = Layer::new(node_name(op.0), Kind::Linear, k, m);
            layer.in_height = copies.checked_mul(n).ok_or_else(too_large)?;
            Ok(layer)
        }
        (None, None) => {
            let mut layer = Layer::new(node_name(op.0), Kind::Product, k, n);
            (layer.in_height, layer.groups) = (m, copies);
            Ok(layer)
        }
        // Another matrix for each copy: groups of a convolution of 1 x 1.
        (left, _) => {
            let (rows, positions) = if left.is_some() { (m, n) } else { (n, m) };
            let all = |size: u64| copies.checked_mul(size).ok_or_else(too_large);
            let mut layer = Layer::new(node_name(op.0), Kind::Convolution, all(k)?, all(rows)?);
            (layer.in_height, layer.groups) = (positions, copies);
            Ok(layer)
        }
    }
}

/// Batch, channels and sizes of an image with one or two axes.
fn image(shape: &Shape) -> Result<(u64, u64, &[u64]), String> {
    match shape.as_slice() {
        [batch, channels, sizes @ ..] if (1..=2).contains(&sizes.len()) => Ok((*batch, *channels, sizes)),
        _ => Err(format!("an input of {} is no image with one or two axes", super::shape::text(shape))),
    }
}

/// Puts a window into a layer. Samples of a batch lie below one another: the graph's own batch is part of the sample.
fn place(layer: &mut Layer, window: &Window, sizes: &[u64], batch: u64) -> Result<(), Trouble> {
    let one = sizes.len() == 1;
    let pair = |values: &[u64], fill: u64| if one { [fill, values[0]] } else { [values[0], values[1]] };
    let [height, width] = pair(sizes, 1);
    [layer.kernel_height, layer.kernel_width] = pair(&window.kernel, 1);
    layer.stride = pair(&window.strides, 1);
    layer.dilation = pair(&window.dilations, 1);
    let [top, left] = pair(&window.pads[..sizes.len()], 0);
    let [bottom, right] = pair(&window.pads[sizes.len()..], 0);
    layer.padding = [top, left, bottom, right];
    (layer.in_height, layer.in_width) = (height, width);
    if batch > 1 {
        return Err(format!(
            "the graph is made for a batch of {batch}: export it with a batch of 1 or a free axis; the batch of the run is an option"
        )
        .into());
    }
    Ok(())
}
