//! Residual blocks.

use crate::NetworkError;
use crate::layers::{Layer, Passes, Product, chain_forward, chain_output, chain_passes};
use crate::tape::{Backward, NodeId, Operation, Scope, Tape};
use crate::tensor::{Shape, Tensor};

/// body(x) + shortcut(x) (He et al., CVPR 2016); a shortcut without layers is x itself.
#[derive(Debug)]
pub(crate) struct Residual {
    pub name: String,
    pub body: Vec<Box<dyn Layer>>,
    pub shortcut: Vec<Box<dyn Layer>>,
}

impl Layer for Residual {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        let (body, shortcut) = (chain_output(&self.body, input)?, chain_output(&self.shortcut, input)?);
        if body == shortcut {
            return Ok(body);
        }
        let text = |s: Shape| format!("{} x {} x {}", s.channels, s.height, s.width);
        let (body, shortcut) = (text(body), text(shortcut));
        Err(NetworkError::Branches { layer: self.name.clone(), body, shortcut })
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let body = chain_forward(&self.body, tape, input);
        let shortcut = chain_forward(&self.shortcut, tape, input);
        tape.enter(&self.name);
        let mut out = tape.tensor(tape.value(body).shape());
        let pairs = tape.value(body).data().iter().zip(tape.value(shortcut).data());
        out.data_mut().iter_mut().zip(pairs).for_each(|(out, (a, b))| *out = a + b);
        tape.push(out, vec![body, shortcut], Box::new(Sum))
    }

    fn products(&self, input: Shape, input_gradient: bool) -> Vec<Product> {
        let Passes { mut forward, back } = chain_passes(&self.body, input, input_gradient);
        let shortcut = chain_passes(&self.shortcut, input, input_gradient);
        forward.extend(shortcut.forward);
        // Played backwards, the shortcut comes first.
        forward.into_iter().chain(shortcut.back).chain(back).collect()
    }

    fn is_trained(&self) -> bool {
        self.body.iter().chain(&self.shortcut).any(|layer| layer.is_trained())
    }
}

struct Sum;

impl Operation for Sum {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let copy = (step.wanted[0] && step.wanted[1]).then(|| {
            let mut copy = scope.pool().tensor(step.upstream.shape());
            copy.data_mut().copy_from_slice(step.upstream.data());
            copy
        });
        match (step.wanted[0], step.wanted[1]) {
            (true, true) => vec![copy, Some(step.upstream)],
            (first, second) => {
                let mut upstream = Some(step.upstream);
                vec![first.then(|| upstream.take()).flatten(), second.then(|| upstream.take()).flatten()]
            }
        }
    }
}

/// The shortcut without parameters: every `stride`-th row and column, and zeros for the channels that the input does not have
/// (He et al., CVPR 2016, section 4.2, option A).
#[derive(Debug, Clone)]
pub(crate) struct PaddedShortcut {
    pub name: String,
    pub stride: usize,
    /// Channels that come out, no fewer than go in.
    pub channels: usize,
}

impl Layer for PaddedShortcut {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self, input: Shape) -> Result<Shape, NetworkError> {
        if self.stride == 0 {
            return Err(NetworkError::Zero { layer: self.name.clone(), what: "the stride" });
        }
        if input.channels > self.channels {
            let (expected, found) = (self.channels, input.channels);
            return Err(NetworkError::Features { layer: self.name.clone(), expected, found });
        }
        let (height, width) = (input.height.div_ceil(self.stride), input.width.div_ceil(self.stride));
        Ok(Shape { channels: self.channels, height, width, ..input })
    }

    fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let shape = tape.value(input).shape();
        let output = self.output(shape).expect("the network has checked its shapes");
        let mut out = tape.tensor(output);
        let image = tape.value(input).data();
        for (place, to) in out.data_mut().chunks_exact_mut(output.batch).enumerate() {
            match self.source(shape, output, place) {
                Some(start) => to.copy_from_slice(&image[start..start + output.batch]),
                None => to.fill(0.0),
            }
        }
        tape.push(out, vec![input], Box::new(self.clone()))
    }
}

impl PaddedShortcut {
    /// Where the values of an output place begin in the image; None for the channels of zeros.
    fn source(&self, input: Shape, output: Shape, place: usize) -> Option<usize> {
        let (line, column) = (place / output.width, place % output.width);
        let (channel, row) = (line / output.height, line % output.height);
        let pixel = (channel * input.height + row * self.stride) * input.width + column * self.stride;
        (channel < input.channels).then_some(pixel * input.batch)
    }
}

impl Operation for PaddedShortcut {
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
        let (input, output) = (step.inputs[0].shape(), step.output.shape());
        let mut gradient = scope.pool().tensor(input);
        gradient.data_mut().fill(0.0);
        for (place, dy) in step.upstream.data().chunks_exact(output.batch).enumerate() {
            if let Some(start) = self.source(input, output, place) {
                gradient.data_mut()[start..start + output.batch].copy_from_slice(dy);
            }
        }
        scope.pool().give(step.upstream.into_data());
        vec![step.wanted[0].then_some(gradient)]
    }
}
