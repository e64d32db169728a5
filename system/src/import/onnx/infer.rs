//! The shape of a node's first output from its inputs, for operators that are no product, window or split.

use super::node::Op;
use super::shape::{Shape, Trouble, axis, broadcast, elements, matmul, reshape, size, slice};
use super::value::Value;

/// Operators that compute each element on its own.
pub(super) const UNARY: [&str; 36] = [
    "Abs",
    "Acos",
    "Asin",
    "Atan",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tanh",
];

/// Operators that join tensors element by element.
pub(super) const BINARY: [&str; 17] = [
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
];

/// Operators that only name the axes anew.
pub(super) const VIEWS: [&str; 7] =
    ["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Cast"];

/// The shape; an error says what does not fit, or what is not known.
pub(super) fn infer(op: &Op, inputs: &[Option<Value>]) -> Result<Shape, Trouble> {
    let ints = |index: usize| inputs.get(index)?.as_ref()?.ints.clone();
    let first = || shape_of(inputs, 0);
    match op.name() {
        name if UNARY.contains(&name) => first().cloned(),
        name if BINARY.contains(&name) || name == "Where" => (1..inputs.len())
            .try_fold(first()?.clone(), |shape, index| Ok(broadcast(&shape, shape_of(inputs, index)?)?)),
        "Softmax"
        | "LogSoftmax"
        | "BatchNormalization"
        | "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "LRN"
        | "LpNormalization"
        | "CumSum"
        | "Trilu" => first().cloned(),
        "Shape" => Ok(vec![first()?.len() as u64]),
        "Constant" => constant(op),
        "ConstantOfShape" => {
            let sizes = ints(0).ok_or_else(|| Trouble::unknown("its size is not known"))?;
            sizes.iter().map(|&value| size_or_none(value)).collect()
        }
        "Range" => {
            let numbers = super::fold::fold(op, inputs);
            Ok(vec![numbers.ok_or_else(|| Trouble::unknown("its length is not known"))?.len() as u64])
        }
        "Reshape" => {
            let wanted = ints(1).or_else(|| op.ints("shape").map(<[i64]>::to_vec));
            let wanted = wanted.ok_or_else(|| Trouble::unknown("its new shape is not known"))?;
            Ok(reshape(first()?, &wanted, op.int("allowzero", 0) != 0)?)
        }
        "Flatten" => {
            let shape = first()?;
            let cut = match op.int("axis", 1) {
                end if end == shape.len() as i64 => shape.len(),
                inner => axis(inner, shape.len())?,
            };
            Ok(vec![elements(&shape[..cut])?, elements(&shape[cut..])?])
        }
        "Transpose" => transpose(op, first()?),
        "Squeeze" | "Unsqueeze" => {
            let axes = axes_of(op, inputs)?;
            if op.name() == "Squeeze" {
                squeeze(first()?, axes)
            } else {
                unsqueeze(first()?, &axes.ok_or("its axes are missing")?)
            }
        }
        "Slice" => slices(op, inputs),
        "Gather" => {
            let (from, which) = (first()?, shape_of(inputs, 1)?);
            let axis = axis(op.int("axis", 0), from.len())?;
            Ok(from[..axis].iter().chain(which).chain(&from[axis + 1..]).copied().collect())
        }
        "Concat" => {
            let mut shape = first()?.clone();
            let axis = axis(op.int("axis", 0), shape.len())?;
            for index in 1..inputs.len() {
                let other = shape_of(inputs, index)?;
                let fits =
                    other.len() == shape.len() && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
                if !fits {
                    return Err("its inputs do not fit beside one another".into());
                }
                shape[axis] = shape[axis].checked_add(other[axis]).ok_or("its axis is too long")?;
            }
            Ok(shape)
        }
        "Expand" => {
            let wanted = ints(1).ok_or_else(|| Trouble::unknown("its new shape is not known"))?;
            let wanted: Shape = wanted.iter().map(|&value| size(value)).collect::<Result<_, _>>()?;
            Ok(broadcast(first()?, &wanted)?)
        }
        "Tile" => {
            let times = ints(1).ok_or_else(|| Trouble::unknown("its repeats are not known"))?;
            let repeat = |(&old, &times): (&u64, &i64)| {
                old.checked_mul(size(times)?).ok_or_else(|| "its axis is too long".into())
            };
            first()?.iter().zip(&times).map(repeat).collect()
        }
        "Pad" => {
            let pads = ints(1).or_else(|| op.ints("pads").map(<[i64]>::to_vec));
            let pads = pads.ok_or_else(|| Trouble::unknown("its padding is not known"))?;
            let shape = first()?;
            if pads.len() != 2 * shape.len() {
                return Err(format!("{} pads for {} axes", pads.len(), shape.len()).into());
            }
            let pad = |(index, &old): (usize, &u64)| {
                let sum = (old as i64)
                    .checked_add(pads[index])
                    .and_then(|s| s.checked_add(pads[index + shape.len()]));
                Ok(size(sum.ok_or("its axis is too long")?)?)
            };
            shape.iter().enumerate().map(pad).collect()
        }
        name if name.starts_with("Reduce") => reduce(op, first()?, axes_of(op, inputs)?),
        "MatMul" => Ok(matmul(first()?, shape_of(inputs, 1)?)?),
        name => Err(Trouble::Unknown(format!("the operator {name} is not known"))),
    }
}

/// The shape of an input.
pub(super) fn shape_of(inputs: &[Option<Value>], index: usize) -> Result<&Shape, Trouble> {
    match inputs.get(index) {
        Some(Some(value)) => {
            let unknown = || Trouble::Unknown(format!("the shape of input {} is not known", index + 1));
            value.shape.as_ref().ok_or_else(unknown)
        }
        _ => Err(format!("input {} is missing", index + 1).into()),
    }
}

/// A constant may have no elements.
fn size_or_none(value: i64) -> Result<u64, Trouble> {
    if value == 0 { Ok(0) } else { Ok(size(value)?) }
}

/// The axes that an operator names in its second input or, in older files, in an attribute.
fn axes_of(op: &Op, inputs: &[Option<Value>]) -> Result<Option<Vec<i64>>, Trouble> {
    match inputs.get(1) {
        Some(Some(value)) => {
            value.ints.clone().map(Some).ok_or_else(|| Trouble::unknown("its axes are not known"))
        }
        _ => Ok(op.ints("axes").map(<[i64]>::to_vec)),
    }
}

fn constant(op: &Op) -> Result<Shape, Trouble> {
    if let Some(tensor) = op.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        return tensor.dims().iter().map(|&value| size_or_none(value)).collect();
    }
    let list = op
        .attribute("value_ints")
        .map(|a| a.ints.len())
        .or(op.attribute("value_floats").map(|a| a.floats.len()));
    Ok(list.map_or(Vec::new(), |length| vec![length as u64]))
}

fn transpose(op: &Op, shape: &Shape) -> Result<Shape, Trouble> {
    let Some(order) = op.ints("perm") else { return Ok(shape.iter().rev().copied().collect()) };
    let mut seen = vec![false; shape.len()];
    let pick = |&from: &i64| {
        let from = axis(from, shape.len())?;
        if std::mem::replace(&mut seen[from], true) {
            return Err(format!("perm names axis {from} twice").into());
        }
        Ok(shape[from])
    };
    if order.len() != shape.len() {
        return Err(format!("perm has {} axes for a tensor with {}", order.len(), shape.len()).into());
    }
    order.iter().map(pick).collect()
}

fn squeeze(shape: &Shape, axes: Option<Vec<i64>>) -> Result<Shape, Trouble> {
    let mut drop = vec![axes.is_none(); shape.len()];
    for value in axes.into_iter().flatten() {
        drop[axis(value, shape.len())?] = true;
    }
    Ok(shape.iter().zip(drop).filter(|&(&size, drop)| !(drop && size == 1)).map(|(&size, _)| size).collect())
}

fn unsqueeze(shape: &Shape, axes: &[i64]) -> Result<Shape, Trouble> {
    let rank = shape.len() + axes.len();
    let mut new = vec![false; rank];
    for &value in axes {
        let place = axis(value, rank)?;
        if std::mem::replace(&mut new[place], true) {
            return Err(format!("axes names {value} twice").into());
        }
    }
    let mut old = shape.iter().copied();
    Ok(new.into_iter().map(|new| if new { 1 } else { old.next().unwrap_or(1) }).collect())
}

fn slices(op: &Op, inputs: &[Option<Value>]) -> Result<Shape, Trouble> {
    let list = |place: usize, name: &str| {
        let given = inputs.get(place).and_then(|value| value.as_ref());
        match given {
            Some(value) => value
                .ints
                .clone()
                .map(Some)
                .ok_or_else(|| Trouble::Unknown(format!("its {name} are not known"))),
            None => Ok(op.ints(name).map(<[i64]>::to_vec)),
        }
    };
    let mut shape = shape_of(inputs, 0)?.clone();
    let starts = list(1, "starts")?.ok_or("its starts are missing")?;
    let ends = list(2, "ends")?.ok_or("its ends are missing")?;
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("its starts, ends, axes and steps differ in number".into());
    }
    for (index, &along) in axes.iter().enumerate() {
        let place = axis(along, shape.len())?;
        shape[place] = slice(shape[place], starts[index], ends[index], steps[index])?.1;
    }
    Ok(shape)
}

fn reduce(op: &Op, shape: &Shape, axes: Option<Vec<i64>>) -> Result<Shape, Trouble> {
    let mut gone = vec![axes.as_ref().is_none_or(Vec::is_empty); shape.len()];
    for value in axes.into_iter().flatten() {
        gone[axis(value, shape.len())?] = true;
    }
    let keep = op.int("keepdims", 1) != 0;
    let sizes = shape.iter().zip(gone).filter_map(|(&size, gone)| match (gone, keep) {
        (false, _) => Some(size),
        (true, true) => Some(1),
        (true, false) => None,
    });
    Ok(sizes.collect())
}
