//! Whole numbers that a graph computes from its own shapes (sizes of a reshape, bounds of a slice), followed through the
//! operators that exporters use for them. What is not followed is not known; the caller then needs the stated shape.

use super::node::Op;
use super::shape::slice;
use super::value::Value;

/// More numbers than any chain of shapes has.
const MOST: usize = 1 << 16;

/// The numbers of the first output, if all that it depends on is known.
pub(super) fn fold(op: &Op, inputs: &[Option<Value>]) -> Option<Vec<i64>> {
    let ints = |index: usize| inputs.get(index)?.as_ref()?.ints.as_deref();
    match op.name() {
        "Constant" => {
            let tensor = op.attribute("value").and_then(|a| a.t.as_ref());
            match tensor {
                Some(tensor) => numbers(tensor),
                None => op
                    .ints("value_ints")
                    .map(<[i64]>::to_vec)
                    .or_else(|| op.attribute("value_int").map(|a| vec![a.i])),
            }
        }
        "Shape" => {
            let shape = inputs.first()?.as_ref()?.shape.as_ref()?;
            let rank = shape.len() as i64;
            let (start, count) = slice(rank as u64, op.int("start", 0), op.int("end", rank), 1).ok()?;
            let kept = shape.iter().skip(usize::try_from(start).ok()?).take(count as usize);
            kept.map(|&size| i64::try_from(size).ok()).collect()
        }
        "Identity" | "Cast" | "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" => ints(0).map(<[i64]>::to_vec),
        "Gather" => {
            let (from, which) = (ints(0)?, ints(1)?);
            let shape = inputs.first()?.as_ref()?.shape.as_ref()?;
            let length = from.len() as i64;
            let pick = |&index: &i64| {
                let index = if index < 0 { index.checked_add(length)? } else { index };
                from.get(usize::try_from(index).ok()?).copied()
            };
            if shape.len() == 1 { which.iter().map(pick).collect() } else { None }
        }
        "Slice" => {
            let from = ints(0)?;
            let bound = |place: usize, name: &str| match ints(place) {
                Some(values) => Some(values.to_vec()),
                None => op.ints(name).map(<[i64]>::to_vec),
            };
            let (starts, ends) = (bound(1, "starts")?, bound(2, "ends")?);
            let step = bound(4, "steps").unwrap_or_else(|| vec![1]);
            let ([start], [end], [step]) = (&starts[..], &ends[..], &step[..]) else { return None };
            let (first, count) = slice(from.len() as u64, *start, *end, *step).ok()?;
            (0..count as i64).map(|i| from.get(usize::try_from(first + i * step).ok()?).copied()).collect()
        }
        "Concat" => {
            let mut all = Vec::new();
            for index in 0..inputs.len() {
                all.extend_from_slice(ints(index)?);
            }
            (all.len() <= MOST).then_some(all)
        }
        "ConstantOfShape" => {
            let count = ints(0)?.iter().try_fold(1i64, |product, &size| product.checked_mul(size))?;
            let value = match op.attribute("value").and_then(|a| a.t.as_ref()) {
                Some(tensor) => *numbers(tensor)?.first()?,
                None => return None,
            };
            let count = usize::try_from(count).ok().filter(|&count| count <= MOST)?;
            Some(vec![value; count])
        }
        "Range" => {
            let (&[start], &[end], &[step]) = (ints(0)?, ints(1)?, ints(2)?) else { return None };
            let (span, step_size) = (end.checked_sub(start)?, step);
            if step_size == 0 || span / step_size > MOST as i64 {
                return None;
            }
            let mut all = Vec::new();
            let mut value = start;
            while (step_size > 0 && value < end) || (step_size < 0 && value > end) {
                all.push(value);
                value = value.checked_add(step_size)?;
            }
            Some(all)
        }
        "ReduceProd" => ints(0)?.iter().try_fold(1i64, |p, &x| p.checked_mul(x)).map(|p| vec![p]),
        "Where" => {
            let (which, yes, no) = (ints(0)?, ints(1)?, ints(2)?);
            let pick =
                |index: usize| Some(if at(which, index)? != 0 { at(yes, index)? } else { at(no, index)? });
            (0..which.len().max(yes.len()).max(no.len())).map(pick).collect()
        }
        name => {
            let binary: fn(i64, i64) -> Option<i64> = match name {
                "Add" => i64::checked_add,
                "Sub" => i64::checked_sub,
                "Mul" => i64::checked_mul,
                "Div" => i64::checked_div,
                // The sign of the divisor, as in Python.
                "Mod" => {
                    |a, b| a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r })
                }
                "Max" => |a, b| Some(a.max(b)),
                "Min" => |a, b| Some(a.min(b)),
                "Equal" => |a, b| Some(i64::from(a == b)),
                _ => return None,
            };
            let (a, b) = (ints(0)?, ints(1)?);
            if a.len() != b.len() && a.len() != 1 && b.len() != 1 {
                return None;
            }
            (0..a.len().max(b.len())).map(|index| binary(at(a, index)?, at(b, index)?)).collect()
        }
    }
}

/// An element, or the only one there is.
fn at(values: &[i64], index: usize) -> Option<i64> {
    values.get(if values.len() == 1 { 0 } else { index }).copied()
}

/// The whole numbers of a tensor that has them beside it.
pub(super) fn numbers(tensor: &onnx_rs::ast::TensorProto) -> Option<Vec<i64>> {
    use onnx_rs::ast::DataType;
    let values: Vec<i64> = match tensor.data_type() {
        DataType::Int64 => tensor.as_i64()?.into_owned(),
        DataType::Int32 => tensor.as_i32()?.iter().map(|&value| i64::from(value)).collect(),
        _ => return None,
    };
    let wanted = tensor.dims().iter().try_fold(1i64, |product, &size| product.checked_mul(size))?;
    (values.len() <= MOST && i64::try_from(values.len()) == Ok(wanted)).then_some(values)
}
