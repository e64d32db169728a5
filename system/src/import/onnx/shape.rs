//! The shape rules of ONNX operators, as plain functions of sizes.

use super::super::LARGEST;

/// The sizes of a tensor.
pub(super) type Shape = Vec<u64>;

/// Why a shape cannot be inferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Something that it follows from is not known: the file may state the shape instead.
    Unknown(String),
    /// The sizes contradict one another: whatever the file states, the graph is wrong.
    Wrong(String),
}

impl Trouble {
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::Unknown(message.into())
    }
}

/// The rules below see sizes that are known.
impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

impl From<&str> for Trouble {
    fn from(message: &str) -> Self {
        Self::Wrong(message.to_owned())
    }
}

/// Where a shape is needed, both end the import.
impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unknown(message) | Trouble::Wrong(message) => message,
        }
    }
}

/// Elements of a shape.
pub(super) fn elements(shape: &[u64]) -> Result<u64, String> {
    let product = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
    product.ok_or_else(|| format!("a tensor of {} has more elements than can be counted", text(shape)))
}

/// A shape in words.
pub(super) fn text(shape: &[u64]) -> String {
    let sizes: Vec<String> = shape.iter().map(u64::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

/// A size from the file.
pub(super) fn size(value: i64) -> Result<u64, String> {
    match u64::try_from(value) {
        Ok(size) if (1..=LARGEST).contains(&size) => Ok(size),
        _ => Err(format!("a size of {value} is not between 1 and {LARGEST}")),
    }
}

/// An axis, counted from the end if negative.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match from_start.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank) {
        Some(axis) => Ok(axis),
        None => Err(format!("axis {axis} of a tensor with {rank} axes")),
    }
}

/// The shape of an element-wise operation.
pub(super) fn broadcast(a: &[u64], b: &[u64]) -> Result<Shape, String> {
    let rank = a.len().max(b.len());
    let at =
        |shape: &[u64], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |index| shape[index]);
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(format!("tensors of {} and {} do not fit element by element", text(a), text(b))),
        })
        .collect()
}

/// How a filter moves: sizes, steps, padding (all starts, then all ends), distances.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub kernel: Vec<u64>,
    pub strides: Vec<u64>,
    pub pads: Vec<u64>,
    pub dilations: Vec<u64>,
    /// Whether a step that the input does not fill is taken.
    pub ceil: bool,
}

/// `auto_pad` of ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AutoPad {
    No,
    SameUpper,
    SameLower,
    Valid,
}

impl Window {
    /// Replaces the padding by that of `auto_pad`, for an input of these sizes.
    pub fn auto_pad(&mut self, auto: AutoPad, input: &[u64]) -> Result<(), String> {
        let rank = self.kernel.len();
        if auto == AutoPad::No {
            return Ok(());
        }
        self.pads = vec![0; 2 * rank];
        if auto == AutoPad::Valid {
            return Ok(());
        }
        for (axis, &input) in input.iter().enumerate().take(rank) {
            let steps = input.div_ceil(self.strides[axis]);
            let covered = (steps - 1)
                .checked_mul(self.strides[axis])
                .and_then(|s| s.checked_add(self.reach(axis).ok()?));
            let total = covered.ok_or("a filter larger than can be counted")?.saturating_sub(input);
            let (less, more) = (total / 2, total - total / 2);
            let (start, end) = if auto == AutoPad::SameUpper { (less, more) } else { (more, less) };
            (self.pads[axis], self.pads[axis + rank]) = (start, end);
        }
        Ok(())
    }

    /// Length of the filter along an axis, gaps included.
    fn reach(&self, axis: usize) -> Result<u64, String> {
        let reach = (self.kernel[axis] - 1).checked_mul(self.dilations[axis]).and_then(|r| r.checked_add(1));
        reach.ok_or_else(|| "a filter larger than can be counted".to_owned())
    }

    /// Sizes of the output; where a last step is not filled (`ceil`), the padding at the end is made to fit it, so that
    /// the usual formula gives the same.
    pub fn output(&mut self, input: &[u64]) -> Result<Shape, String> {
        let rank = self.kernel.len();
        let mut output = Vec::with_capacity(rank);
        for (axis, &size) in input.iter().enumerate().take(rank) {
            let (stride, reach) = (self.strides[axis], self.reach(axis)?);
            let padded =
                size.checked_add(self.pads[axis]).and_then(|s| s.checked_add(self.pads[axis + rank]));
            let Some(rest) = padded.and_then(|padded| padded.checked_sub(reach)) else {
                return Err(format!(
                    "a filter of {} does not fit on an input of {}",
                    text(&self.kernel),
                    text(input)
                ));
            };
            let mut steps = rest / stride + 1;
            if self.ceil && !rest.is_multiple_of(stride) && steps * stride < size + self.pads[axis] {
                // A last window must begin inside the input or the padding before it (ONNX since opset 19, PyTorch).
                self.pads[axis + rank] += stride - rest % stride;
                steps += 1;
            }
            output.push(steps);
        }
        Ok(output)
    }
}

/// `Reshape`: 0 copies a size (unless `allow_zero`), one -1 is what is left.
pub(super) fn reshape(input: &[u64], wanted: &[i64], allow_zero: bool) -> Result<Shape, String> {
    let total = elements(input)?;
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (place, &value) in wanted.iter().enumerate() {
        shape.push(match value {
            -1 if open.is_none() => {
                open = Some(place);
                1
            }
            0 if !allow_zero => *input.get(place).ok_or("a size of 0 copies an axis that is not there")?,
            value => size(value)?,
        });
    }
    let known = elements(&shape)?;
    if let Some(place) = open
        && total.is_multiple_of(known)
    {
        shape[place] = total / known;
    } else if known != total {
        return Err(format!("a tensor of {} cannot be given the shape {wanted:?}", text(input)));
    }
    Ok(shape)
}

/// `MatMul`: leading axes are matched as in [`broadcast`]; vectors get an axis and lose it again.
pub(super) fn matmul(a: &[u64], b: &[u64]) -> Result<Shape, String> {
    let misfit = || format!("a product of {} and {}", text(a), text(b));
    if a.is_empty() || b.is_empty() {
        return Err(misfit());
    }
    let left = if a.len() == 1 { vec![1, a[0]] } else { a.to_vec() };
    let right = if b.len() == 1 { vec![b[0], 1] } else { b.to_vec() };
    let (batch_a, [m, k]) = left.split_at(left.len() - 2) else { return Err(misfit()) };
    let (batch_b, [inner, n]) = right.split_at(right.len() - 2) else { return Err(misfit()) };
    if k != inner {
        return Err(misfit());
    }
    let mut shape = broadcast(batch_a, batch_b)?;
    if a.len() > 1 {
        shape.push(*m);
    }
    if b.len() > 1 {
        shape.push(*n);
    }
    Ok(shape)
}

/// How many elements a slice takes of an axis, and from where: NumPy's rules.
pub(super) fn slice(size: u64, start: i64, end: i64, step: i64) -> Result<(i64, u64), String> {
    if step == 0 {
        return Err("a slice with a step of 0".to_owned());
    }
    let size = i64::try_from(size).map_err(|_| "an axis larger than can be counted")?;
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let clamp = |value: i64| if value < 0 { value.saturating_add(size) } else { value }.clamp(low, high);
    let (start, end) = (clamp(start), clamp(end));
    let span = if step > 0 { end - start } else { start - end };
    Ok((start, if span > 0 { (span as u64).div_ceil(step.unsigned_abs()) } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: u64, stride: u64, pads: [u64; 2], dilation: u64, ceil: bool) -> Window {
        Window {
            kernel: vec![kernel],
            strides: vec![stride],
            pads: pads.to_vec(),
            dilations: vec![dilation],
            ceil,
        }
    }

    #[test]
    fn windows_by_hand() {
        let out = |mut w: Window, input: u64| w.output(&[input]).map(|o| o[0]);
        assert_eq!(out(window(3, 2, [1, 1], 1, false), 224), Ok(112));
        assert_eq!(out(window(3, 1, [2, 2], 2, false), 10), Ok(10));
        assert_eq!(out(window(3, 2, [0, 1], 1, false), 10), Ok(5));
        assert_eq!(out(window(3, 2, [0, 0], 1, true), 112), Ok(56));
        assert_eq!(out(window(3, 2, [0, 0], 1, false), 112), Ok(55));
        // A last window that would begin in the padding at the end is not taken.
        assert_eq!(out(window(2, 2, [1, 1], 1, true), 3), Ok(2));
        assert!(out(window(7, 1, [0, 0], 1, false), 5).is_err());
        let mut same = window(3, 2, [9, 9], 1, false);
        same.auto_pad(AutoPad::SameUpper, &[224]).unwrap();
        assert_eq!((same.pads.clone(), same.output(&[224]).unwrap()), (vec![0, 1], vec![112]));
        same.auto_pad(AutoPad::SameLower, &[224]).unwrap();
        assert_eq!(same.pads, [1, 0]);
    }

    #[test]
    fn shapes_by_hand() {
        assert_eq!(broadcast(&[8, 1, 6, 1], &[7, 1, 5]), Ok(vec![8, 7, 6, 5]));
        assert!(broadcast(&[3], &[4]).is_err());
        assert_eq!(reshape(&[2, 3, 4], &[0, -1], false), Ok(vec![2, 12]));
        assert!(reshape(&[2, 3, 4], &[5, -1], false).is_err());
        assert!(reshape(&[2, 3], &[-2, 3], false).is_err());
        assert_eq!(matmul(&[2, 1, 3, 4], &[5, 4, 6]), Ok(vec![2, 5, 3, 6]));
        assert_eq!(matmul(&[4], &[4, 6]), Ok(vec![6]));
        assert!(matmul(&[3, 4], &[3, 4]).is_err());
        assert_eq!(slice(10, -3, i64::MAX, 1), Ok((7, 3)));
        assert_eq!(slice(10, -1, i64::MIN, -2), Ok((9, 5)));
        assert_eq!(slice(10, 5, 2, 1), Ok((5, 0)));
        assert_eq!(axis(-1, 4), Ok(3));
        assert!(axis(4, 4).is_err());
    }
}
