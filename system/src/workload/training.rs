//! A network becomes a training step: forward, loss, backward, update.

use std::collections::HashMap;

use mirage_arithmetic::{GemmEntry, Pass};

use super::step::{Operation, Stage, Step, Tensor, TensorId, TensorKind, Work};
use super::vector::{LOSS, NORMALISATION, Optimiser, SOFTMAX, VectorKind};
use super::{Activation, Kind, Layer, Network, Norm, Source, Tied};
use crate::SystemError;

impl Network {
    /// One training step with `batch` samples: the products of [`Network::training_step`] and all that is none, with the
    /// tensors they read and write.
    ///
    /// Kept for the backward pass is what a framework keeps: inputs of products and normalisations, outputs of activations.
    /// In a network that is not [linked](Network::linked) each layer reads an input, and is handed a gradient, that nobody made.
    ///
    /// # Errors
    /// [`SystemError::EmptyBatch`], or [`SystemError::Overflow`] if a size passes 2^64.
    pub fn step(&self, batch: u64, optimiser: Optimiser) -> Result<Step, SystemError> {
        if batch == 0 {
            return Err(SystemError::EmptyBatch);
        }
        let mut builder = Builder::new(self, batch);
        for index in 0..self.layers.len() {
            builder.forward(index)?;
        }
        builder.loss()?;
        for index in (0..self.layers.len()).rev() {
            builder.backward(index)?;
        }
        builder.update(optimiser)?;
        Ok(builder.step)
    }
}

/// The tensors of a layer's forward pass.
#[derive(Clone, Default)]
struct Trace {
    inputs: Vec<TensorId>,
    /// What goes into the normalisation, and into the activation.
    before_norm: Option<TensorId>,
    before_activation: Option<TensorId>,
    output: Option<TensorId>,
    weight: Option<TensorId>,
    bias: Option<TensorId>,
    scale: Option<TensorId>,
}

struct Builder<'a> {
    network: &'a Network,
    linked: bool,
    batch: u64,
    step: Step,
    traces: Vec<Trace>,
    /// Data tensors, by their size.
    data: HashMap<u64, TensorId>,
    gradients: HashMap<TensorId, TensorId>,
}

/// Adds to a list of operations.
type Reads<'a> = &'a [TensorId];

impl<'a> Builder<'a> {
    fn new(network: &'a Network, batch: u64) -> Self {
        let step = Step { network: network.name.clone(), batch, operations: Vec::new(), tensors: Vec::new() };
        let traces = vec![Trace::default(); network.layers.len()];
        let (data, gradients) = (HashMap::new(), HashMap::new());
        Self { network, linked: network.linked(), batch, step, traces, data, gradients }
    }

    fn layer(&self, index: usize) -> &'a Layer {
        &self.network.layers[index]
    }

    fn tensor(&mut self, name: String, kind: TensorKind, elements: u64) -> TensorId {
        self.step.tensors.push(Tensor { name, kind, elements });
        TensorId(self.step.tensors.len() - 1)
    }

    fn elements(&self, id: TensorId) -> u64 {
        self.step.tensor(id).elements
    }

    /// A tensor of the size of another.
    fn like(&mut self, id: TensorId, name: String, kind: TensorKind) -> TensorId {
        let elements = self.elements(id);
        self.tensor(name, kind, elements)
    }

    fn samples(&self, layer: &Layer, elements: u64) -> Result<u64, SystemError> {
        layer.multiply(&[self.batch, elements])
    }

    fn push(&mut self, layer: &Layer, stage: Stage, work: Work, reads: Reads, writes: Reads) {
        let (reads, writes) = (reads.to_vec(), writes.to_vec());
        self.step.operations.push(Operation { layer: layer.name.clone(), stage, work, reads, writes });
    }

    /// Vector work of so many operations for each element of a size.
    fn vector(
        &mut self,
        (layer, stage): (&Layer, Stage),
        (kind, elements, per_element): (VectorKind, u64, u64),
        reads: Reads,
        writes: Reads,
    ) -> Result<(), SystemError> {
        let operations = layer.multiply(&[elements, per_element])?;
        let samplewise = match kind {
            VectorKind::Normalisation => layer.norm == Norm::Layer,
            // Of operators that are not known it is not known either.
            VectorKind::Optimiser | VectorKind::Other => false,
            _ => true,
        };
        self.push(layer, stage, Work::Vector { kind, elements, operations, samplewise }, reads, writes);
        Ok(())
    }

    fn product(
        &mut self,
        layer: &Layer,
        pass: Pass,
        reads: Reads,
        write: TensorId,
    ) -> Result<(), SystemError> {
        if let Some([m, k, n, repeats]) = layer.product(pass, self.batch)? {
            let (network, name) = (self.network.name.clone(), layer.name.clone());
            let entry = GemmEntry { network, layer: name, pass, m, k, n, repeats };
            self.push(layer, pass.into(), Work::Gemm(entry), reads, &[write]);
        }
        Ok(())
    }

    fn inputs(&mut self, layer: &Layer) -> Result<Vec<TensorId>, SystemError> {
        if !self.linked {
            let mut inputs =
                vec![(format!("{}.input", layer.name), self.samples(layer, layer.input_elements()?)?)];
            if layer.kind == Kind::Product {
                let second = layer.multiply(&[layer.groups, layer.in_channels, layer.out_channels])?;
                inputs.push((format!("{}.second", layer.name), self.samples(layer, second)?));
            }
            let kind = if layer.input_gradient { TensorKind::Activation } else { TensorKind::Input };
            return Ok(inputs
                .into_iter()
                .map(|(name, elements)| self.tensor(name, kind, elements))
                .collect());
        }
        let mut inputs = Vec::with_capacity(layer.inputs.len());
        for source in &layer.inputs {
            inputs.push(match source {
                Source::Layer(index) => match self.traces[*index].output {
                    Some(output) => output,
                    None => return Err(layer.overflow()),
                },
                Source::Data => {
                    let elements = self.samples(layer, layer.input_elements()?)?;
                    match self.data.get(&elements) {
                        Some(&known) => known,
                        None => {
                            let id = self.tensor("data".to_owned(), TensorKind::Input, elements);
                            self.data.insert(elements, id);
                            id
                        }
                    }
                }
            });
        }
        Ok(inputs)
    }

    fn forward(&mut self, index: usize) -> Result<(), SystemError> {
        let layer = self.layer(index);
        let mut trace = Trace { inputs: self.inputs(layer)?, ..Trace::default() };
        if layer.kind.has_weights() {
            let owner = if let Tied::To(owner) = layer.tied { self.traces[owner].weight } else { None };
            let weights = layer.weights()?;
            let own = format!("{}.weight", layer.name);
            trace.weight = Some(match owner {
                Some(owner) => owner,
                None => self.tensor(own, TensorKind::Weight, weights),
            });
        }
        let elements = self.samples(layer, layer.output_elements()?)?;
        let mut now = self.core(layer, &trace, elements)?;
        // A layer without work of its own hands on the tensor of another, which must not be changed.
        let mut own = layer.kind != Kind::Identity;
        let at = (layer, Stage::Forward);
        if layer.bias {
            let bias = self.tensor(format!("{}.bias", layer.name), TensorKind::Weight, layer.out_channels);
            let sum = self.changed(now, own, format!("{}.sum", layer.name));
            self.vector(at, (VectorKind::Activation, elements, 1), &[now, bias], &[sum])?;
            (now, own, trace.bias) = (sum, true, Some(bias));
        }
        if layer.norm != Norm::None {
            let parameters = layer.multiply(&[2, layer.out_channels])?;
            let scale = self.tensor(format!("{}.scale", layer.name), TensorKind::Weight, parameters);
            let normal = self.changed(now, false, format!("{}.norm", layer.name));
            let work = (VectorKind::Normalisation, elements, NORMALISATION[0]);
            self.vector(at, work, &[now, scale], &[normal])?;
            (trace.before_norm, trace.scale) = (Some(now), Some(scale));
            (now, own) = (normal, true);
        }
        if layer.activation != Activation::None {
            let in_place = own && layer.activation.output_suffices();
            let active = self.changed(now, in_place, format!("{}.activation", layer.name));
            let work = (VectorKind::Activation, elements, layer.activation.operations()[0]);
            self.vector(at, work, &[now], &[active])?;
            trace.before_activation = Some(now);
            now = active;
        }
        trace.output = Some(now);
        self.traces[index] = trace;
        Ok(())
    }

    /// The tensor itself where it may be changed in place, or a new one of its size.
    fn changed(&mut self, tensor: TensorId, in_place: bool, name: String) -> TensorId {
        if in_place { tensor } else { self.like(tensor, name, TensorKind::Activation) }
    }

    /// What a layer does before bias, normalisation and activation; gives its output.
    fn core(&mut self, layer: &Layer, trace: &Trace, elements: u64) -> Result<TensorId, SystemError> {
        let inputs = &trace.inputs;
        if layer.kind == Kind::Identity {
            return Ok(inputs[0]);
        }
        let output = self.tensor(format!("{}.output", layer.name), TensorKind::Activation, elements);
        let window = layer.multiply(&[layer.kernel_height, layer.kernel_width])?;
        let more = inputs.len().saturating_sub(1) as u64;
        let (kind, per_element) = match (layer.kind, trace.weight) {
            (Kind::Convolution | Kind::Linear, Some(weight)) => {
                self.product(layer, Pass::Forward, &[weight, inputs[0]], output)?;
                return Ok(output);
            }
            (Kind::Product, _) => {
                self.product(layer, Pass::Forward, inputs, output)?;
                return Ok(output);
            }
            (Kind::MaxPool, _) => (VectorKind::Pooling, window - 1),
            (Kind::AveragePool, _) => (VectorKind::Pooling, window),
            (Kind::Add | Kind::Multiply, _) => (VectorKind::Elementwise, more),
            (Kind::Softmax, _) => (VectorKind::Softmax, SOFTMAX[0]),
            (Kind::Other, _) => (VectorKind::Other, 1),
            _ => (VectorKind::Movement, 0),
        };
        let mut reads = inputs.clone();
        // A look-up reads as many rows as it gives, not the table.
        if layer.kind != Kind::Embedding {
            reads.extend(trace.weight);
        }
        self.vector((layer, Stage::Forward), (kind, elements, per_element), &reads, &[output])?;
        Ok(output)
    }

    /// The loss of every output that no layer reads.
    fn loss(&mut self) -> Result<(), SystemError> {
        let mut read = vec![false; self.network.layers.len()];
        for source in self.network.layers.iter().flat_map(|layer| &layer.inputs) {
            if let Source::Layer(index) = source {
                read[*index] = true;
            }
        }
        for (index, read) in read.into_iter().enumerate() {
            let (layer, Some(output)) = (self.layer(index), self.traces[index].output) else { continue };
            let last = index + 1 == self.network.layers.len();
            if read || (!self.linked && !last) {
                continue;
            }
            let gradient = self.like(output, format!("{}.loss gradient", layer.name), TensorKind::Gradient);
            let work = (VectorKind::Loss, self.elements(output), LOSS);
            self.vector((layer, Stage::Forward), work, &[output], &[gradient])?;
            self.gradients.insert(output, gradient);
        }
        Ok(())
    }

    /// A gradient reaches a tensor; what reached it before is added.
    fn contribute(
        &mut self,
        layer: &Layer,
        to: TensorId,
        gradient: TensorId,
        stage: Stage,
    ) -> Result<(), SystemError> {
        let gradient = match self.gradients.get(&to).copied() {
            None => gradient,
            Some(before) => {
                let kind = self.step.tensor(gradient).kind;
                let name = format!("{}.gradient", self.step.tensor(to).name);
                let sum = self.like(gradient, name, kind);
                let work = (VectorKind::Elementwise, self.elements(sum), 1);
                self.vector((layer, stage), work, &[before, gradient], &[sum])?;
                sum
            }
        };
        self.gradients.insert(to, gradient);
        Ok(())
    }

    fn backward(&mut self, index: usize) -> Result<(), SystemError> {
        let (layer, trace) = (self.layer(index), self.traces[index].clone());
        let Some(output) = trace.output else { return Ok(()) };
        let mut gradient = match self.gradients.get(&output).copied() {
            Some(gradient) => gradient,
            None if self.linked => return Ok(()),
            None => self.like(output, format!("{}.output gradient", layer.name), TensorKind::Gradient),
        };
        let at = (layer, Stage::InputGradient);
        let elements = self.elements(output);
        if let Some(before) = trace.before_activation {
            let known = if layer.activation.output_suffices() { output } else { before };
            let next = self.like(gradient, format!("{}.sum gradient", layer.name), TensorKind::Gradient);
            let work = (VectorKind::Activation, elements, layer.activation.operations()[1]);
            self.vector(at, work, &[gradient, known], &[next])?;
            gradient = next;
        }
        if let (Some(before), Some(scale)) = (trace.before_norm, trace.scale) {
            let next = self.like(gradient, format!("{}.norm gradient", layer.name), TensorKind::Gradient);
            let scales =
                self.like(scale, format!("{}.scale gradient", layer.name), TensorKind::WeightGradient);
            let work = (VectorKind::Normalisation, elements, NORMALISATION[1]);
            self.vector(at, work, &[gradient, before, scale], &[next, scales])?;
            self.gradients.insert(scale, scales);
            gradient = next;
        }
        if let Some(bias) = trace.bias {
            let biases = self.like(bias, format!("{}.bias gradient", layer.name), TensorKind::WeightGradient);
            let at = (layer, Stage::WeightGradient);
            self.vector(at, (VectorKind::Activation, elements, 1), &[gradient], &[biases])?;
            self.gradients.insert(bias, biases);
        }
        self.core_backward(layer, &trace, gradient)
    }

    fn core_backward(&mut self, layer: &Layer, trace: &Trace, gradient: TensorId) -> Result<(), SystemError> {
        let inputs = &trace.inputs;
        match (layer.kind, trace.weight) {
            (Kind::Identity | Kind::Add, _) => {
                for &input in inputs {
                    if self.trains(layer, input) {
                        self.contribute(layer, input, gradient, Stage::InputGradient)?;
                    }
                }
                Ok(())
            }
            (Kind::Convolution | Kind::Linear, Some(weight)) => {
                if layer.input_gradient {
                    let next = self.gradient_of(layer, inputs[0]);
                    self.product(layer, Pass::InputGradient, &[weight, gradient], next)?;
                    self.contribute(layer, inputs[0], next, Stage::InputGradient)?;
                }
                let weights = self.weight_gradient(layer, weight);
                self.product(layer, Pass::WeightGradient, &[gradient, inputs[0]], weights)?;
                self.contribute(layer, weight, weights, Stage::WeightGradient)
            }
            (Kind::Embedding, Some(weight)) => {
                let weights = self.weight_gradient(layer, weight);
                let work = (VectorKind::Elementwise, self.elements(gradient), 1);
                self.vector((layer, Stage::WeightGradient), work, &[gradient, inputs[0]], &[weights])?;
                self.contribute(layer, weight, weights, Stage::WeightGradient)
            }
            (Kind::Product, _) if inputs.len() == 2 => {
                let (first, second) = (inputs[0], inputs[1]);
                let next = self.gradient_of(layer, first);
                self.product(layer, Pass::InputGradient, &[gradient, second], next)?;
                self.contribute(layer, first, next, Stage::InputGradient)?;
                let next = self.gradient_of(layer, second);
                self.product(layer, Pass::WeightGradient, &[first, gradient], next)?;
                self.contribute(layer, second, next, Stage::WeightGradient)
            }
            _ => self.vector_backward(layer, trace, gradient),
        }
    }

    /// Backward through a layer of the vector unit.
    fn vector_backward(
        &mut self,
        layer: &Layer,
        trace: &Trace,
        gradient: TensorId,
    ) -> Result<(), SystemError> {
        let at = (layer, Stage::InputGradient);
        let window = layer.multiply(&[layer.kernel_height, layer.kernel_width])?;
        let size = self.elements(gradient);
        for (index, &input) in trace.inputs.iter().enumerate() {
            if !self.trains(layer, input) {
                continue;
            }
            let mut reads = vec![gradient];
            let work = match layer.kind {
                Kind::MaxPool => {
                    reads.push(input);
                    (VectorKind::Pooling, size, window)
                }
                Kind::AveragePool => (VectorKind::Pooling, size, window.saturating_add(1)),
                Kind::Softmax => {
                    reads.extend(trace.before_activation.or(trace.output));
                    (VectorKind::Softmax, size, SOFTMAX[1])
                }
                Kind::Multiply => {
                    let others = trace.inputs.iter().enumerate().filter(|(other, _)| *other != index);
                    reads.extend(others.map(|(_, &other)| other));
                    (VectorKind::Elementwise, size, reads.len() as u64 - 1)
                }
                Kind::Other => {
                    reads.push(input);
                    (VectorKind::Other, size, 1)
                }
                _ => (VectorKind::Movement, self.elements(input), 0),
            };
            let next = self.gradient_of(layer, input);
            self.vector(at, work, &reads, &[next])?;
            self.contribute(layer, input, next, Stage::InputGradient)?;
        }
        Ok(())
    }

    /// Whether the gradient of an input is wanted.
    fn trains(&self, layer: &Layer, input: TensorId) -> bool {
        layer.input_gradient && self.step.tensor(input).kind != TensorKind::Input
    }

    fn gradient_of(&mut self, layer: &Layer, input: TensorId) -> TensorId {
        let name = format!("{} from {}", self.step.tensor(input).name, layer.name);
        self.like(input, format!("{name} gradient"), TensorKind::Gradient)
    }

    fn weight_gradient(&mut self, layer: &Layer, weight: TensorId) -> TensorId {
        self.like(weight, format!("{}.weight gradient", layer.name), TensorKind::WeightGradient)
    }

    /// The update of every layer's own parameters.
    fn update(&mut self, optimiser: Optimiser) -> Result<(), SystemError> {
        for index in 0..self.network.layers.len() {
            let (layer, trace) = (self.layer(index), self.traces[index].clone());
            let weight = trace.weight.filter(|_| layer.tied == Tied::No);
            let parameters: Vec<TensorId> = [weight, trace.bias, trace.scale].into_iter().flatten().collect();
            let (mut reads, mut writes, mut elements) = (Vec::new(), Vec::new(), 0u64);
            for parameter in parameters {
                let Some(&gradient) = self.gradients.get(&parameter) else { continue };
                let size = self.elements(parameter);
                let states = layer.multiply(&[size, optimiser.states()])?;
                let name = format!("{} state", self.step.tensor(parameter).name);
                let state = self.tensor(name, TensorKind::OptimiserState, states);
                elements = elements.checked_add(size).ok_or_else(|| layer.overflow())?;
                reads.extend([parameter, gradient, state]);
                writes.extend([parameter, state]);
            }
            if elements > 0 {
                let work = (VectorKind::Optimiser, elements, optimiser.operations());
                self.vector((layer, Stage::Update), work, &reads, &writes)?;
            }
        }
        Ok(())
    }
}
