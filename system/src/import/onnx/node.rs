//! A node and its attributes.

use onnx_rs::ast::{Attribute, Node};

use super::shape::{AutoPad, Window, size};

/// A node.
#[derive(Clone, Copy)]
pub(super) struct Op<'g, 'f>(pub &'g Node<'f>);

impl<'g, 'f> Op<'g, 'f> {
    /// The operator; with its domain if that is not ONNX's own.
    pub fn name(&self) -> &str {
        self.0.op_type.as_str()
    }

    pub fn attribute(&self, name: &str) -> Option<&'g Attribute<'f>> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub fn ints(&self, name: &str) -> Option<&'g [i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    fn sizes(&self, name: &str, count: usize, default: u64) -> Result<Vec<u64>, String> {
        match self.ints(name) {
            None => Ok(vec![default; count]),
            Some(values) if values.len() == count => values.iter().map(|&value| size(value)).collect(),
            Some(values) => Err(format!("{name} has {} numbers where {count} are needed", values.len())),
        }
    }

    /// The window of a convolution or pool along `rank` axes; `kernel` from the weights, where there are any.
    pub fn window(&self, rank: usize, kernel: Option<&[u64]>) -> Result<Window, String> {
        let kernel = match kernel {
            Some(kernel) => kernel.to_vec(),
            None if self.attribute("kernel_shape").is_some() => self.sizes("kernel_shape", rank, 1)?,
            None => return Err("the attribute kernel_shape is missing".to_owned()),
        };
        let pads = match self.ints("pads") {
            None => vec![0; 2 * rank],
            Some(pads) if pads.len() == 2 * rank => {
                let pad = |&value: &i64| if value == 0 { Ok(0) } else { size(value) };
                pads.iter().map(pad).collect::<Result<_, _>>()?
            }
            Some(pads) => {
                return Err(format!("pads has {} numbers where {} are needed", pads.len(), 2 * rank));
            }
        };
        let strides = self.sizes("strides", rank, 1)?;
        let dilations = self.sizes("dilations", rank, 1)?;
        Ok(Window { kernel, strides, pads, dilations, ceil: self.int("ceil_mode", 0) != 0 })
    }

    pub fn auto_pad(&self) -> Result<AutoPad, String> {
        match self.attribute("auto_pad").map_or(&b"NOTSET"[..], |attribute| attribute.s) {
            b"NOTSET" | b"" => Ok(AutoPad::No),
            b"SAME_UPPER" => Ok(AutoPad::SameUpper),
            b"SAME_LOWER" => Ok(AutoPad::SameLower),
            b"VALID" => Ok(AutoPad::Valid),
            other => Err(format!(
                "auto_pad is `{}`: NOTSET, SAME_UPPER, SAME_LOWER or VALID are known",
                String::from_utf8_lossy(other)
            )),
        }
    }
}
