//! A reverse-mode tape: what the forward pass did, played backwards.

use std::rc::Rc;
use std::sync::Arc;

use crate::gemm::{Gemm, Tally, layer_number};
use crate::parameters::{Gradients, ParameterId, Parameters};
use crate::tensor::{Pool, Shape, Tensor, all_finite};
use mirage_arithmetic::{Counters, Matrix, Pass, Site};
use rayon::prelude::*;

/// A value on a [`Tape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(usize);

/// How a value came about, with whatever of the forward pass the way back needs.
pub trait Operation {
    /// Gradients with respect to the inputs, in their order: `Some` exactly where `step.wanted` says so.
    /// Gradients of parameters go to [`Scope::add_gradient`].
    fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>>;

    /// Gives buffers back when no gradient will be asked for.
    fn discard(self: Box<Self>, _scope: &mut Scope<'_>) {}
}

/// What an operation is told on the way back.
#[derive(Debug)]
pub struct Backward<'t> {
    /// Gradient of the loss with respect to the output; the operation may change and keep it.
    pub upstream: Tensor,
    /// The inputs' values.
    pub inputs: &'t [&'t Tensor],
    /// The output's value.
    pub output: &'t Tensor,
    /// Which inputs need a gradient.
    pub wanted: &'t [bool],
}

/// Where in a run a tape stands, and whether it is to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Seed of what is drawn at random.
    pub seed: u64,
    /// `Site::step` of all products.
    pub step: u64,
    /// Whether this is training: statistics are those of the batch, values drop out, and there is a way back. In evaluation the
    /// running statistics are used, nothing is drawn at random, and no more than the values is kept.
    pub training: bool,
}

/// What layers and operations work with: products, parameters, buffers.
pub struct Scope<'a> {
    gemm: &'a dyn Gemm,
    parameters: &'a Parameters,
    pool: &'a mut Pool,
    tally: &'a mut Tally,
    gradients: Gradients,
    moment: Moment,
}

/// Values in the order in which they were computed, each with the way back.
pub struct Tape<'a> {
    scope: Scope<'a>,
    nodes: Vec<Node>,
    layer: Rc<str>,
    source: Option<Source>,
}

/// The sequence that another one is made from.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the encoder has made of it; `None` while it is at work.
    pub value: Option<NodeId>,
    /// Tokens of each example without those that fill it up, at least 1.
    pub lengths: Arc<[usize]>,
}

struct Node {
    value: Tensor,
    inputs: Vec<NodeId>,
    operation: Option<Box<dyn Operation>>,
    needs_gradient: bool,
    layer: Rc<str>,
}

impl<'a> Scope<'a> {
    /// One product through the door, for a site of the network and a group of it (0 where there is but one); see
    /// [`Gemm::multiply`].
    pub fn multiply(
        &mut self,
        (site, group): (u32, u32),
        pass: Pass,
        a: Matrix<'_>,
        b: Matrix<'_>,
        out: &mut [f32],
    ) {
        let site = Site { layer: layer_number(site, group), pass, step: self.moment.step };
        let counters = self.gemm.multiply(site, a, b, out);
        self.tally.add(site, counters);
    }

    /// Products of one site and pass that have nothing to do with each other, such as those of the heads of an attention: `size`
    /// numbers of `out` for each, the operands from `operands`, which is told its group. On as many threads as there are.
    pub fn multiply_each<'m>(
        &mut self,
        site: u32,
        pass: Pass,
        (out, size): (&mut [f32], usize),
        operands: impl Fn(usize) -> (Matrix<'m>, Matrix<'m>) + Sync,
    ) {
        let (gemm, step) = (self.gemm, self.moment.step);
        let one = |(group, out): (usize, &mut [f32])| {
            let (a, b) = operands(group);
            gemm.multiply(Site { layer: layer_number(site, group as u32), pass, step }, a, b, out)
        };
        // Sums of whole numbers, so that their order does not matter.
        let counters: Counters = out.par_chunks_exact_mut(size).enumerate().map(one).sum();
        self.tally.add(Site { layer: site, pass, step }, counters);
    }

    /// The values of a parameter.
    pub fn parameter(&self, id: ParameterId) -> &'a [f32] {
        self.parameters.get(id)
    }

    /// Adds to the gradient of a parameter.
    pub fn add_gradient(&mut self, id: ParameterId, gradient: Vec<f32>) {
        if let Some(spare) = self.gradients.add(id, gradient) {
            self.pool.give(spare);
        }
    }

    /// Sets numbers that are followed, not trained; from the next step on, if this one is done to its end.
    pub fn set_statistic(&mut self, id: ParameterId, values: Vec<f32>) {
        self.gradients.set_statistic(id, values);
    }

    /// Where in the run this is.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The store of buffers.
    pub fn pool(&mut self) -> &mut Pool {
        self.pool
    }
}

impl<'a> Tape<'a> {
    /// An empty tape.
    pub fn new(
        gemm: &'a dyn Gemm,
        parameters: &'a Parameters,
        pool: &'a mut Pool,
        tally: &'a mut Tally,
        moment: Moment,
    ) -> Self {
        let gradients = Gradients::none(parameters);
        let scope = Scope { gemm, parameters, pool, tally, gradients, moment };
        Self { scope, nodes: Vec::new(), layer: "the input".into(), source: None }
    }

    /// What layers work with.
    pub fn scope(&mut self) -> &mut Scope<'a> {
        &mut self.scope
    }

    /// A tensor of any values from the store of buffers.
    pub fn tensor(&mut self, shape: Shape) -> Tensor {
        self.scope.pool.tensor(shape)
    }

    /// The value of a node.
    pub fn value(&self, node: NodeId) -> &Tensor {
        &self.nodes[node.0].value
    }

    /// The value of a node and the scope, for layers that read one and work with the other.
    pub fn value_and_scope(&mut self, node: NodeId) -> (&Tensor, &mut Scope<'a>) {
        (&self.nodes[node.0].value, &mut self.scope)
    }

    /// Says what the decoder sees from here on.
    pub fn set_source(&mut self, source: Source) {
        self.source = Some(source);
    }

    /// What the decoder sees.
    ///
    /// # Panics
    /// When there is no encoder: a mistake of a network, not of any input.
    pub fn source(&self) -> Source {
        self.source.clone().expect("a source")
    }

    /// From here on, values belong to what is called this (for [`Tape::first_not_finite`]).
    pub fn enter(&mut self, layer: &str) {
        self.layer = layer.into();
    }

    /// Puts down a value from outside. It needs no gradient, and nothing before it does.
    pub fn input(&mut self, value: Tensor) -> NodeId {
        self.node(value, Vec::new(), None, false)
    }

    /// Puts down a value that an operation without parameters made from `inputs`.
    pub fn push(&mut self, value: Tensor, inputs: Vec<NodeId>, operation: Box<dyn Operation>) -> NodeId {
        let needs = inputs.iter().any(|input| self.nodes[input.0].needs_gradient);
        self.node(value, inputs, Some(operation), needs)
    }

    /// Puts down a value that an operation with parameters made from `inputs`: it needs a gradient even
    /// where the inputs do not.
    pub fn push_trained(
        &mut self,
        value: Tensor,
        inputs: Vec<NodeId>,
        operation: Box<dyn Operation>,
    ) -> NodeId {
        self.node(value, inputs, Some(operation), true)
    }

    fn node(
        &mut self,
        value: Tensor,
        inputs: Vec<NodeId>,
        operation: Option<Box<dyn Operation>>,
        needs_gradient: bool,
    ) -> NodeId {
        let needs_gradient = needs_gradient && self.scope.moment.training;
        let operation = match operation {
            Some(operation) if !needs_gradient => {
                operation.discard(&mut self.scope);
                None
            }
            other => other,
        };
        self.nodes.push(Node { value, inputs, operation, needs_gradient, layer: Rc::clone(&self.layer) });
        NodeId(self.nodes.len() - 1)
    }

    /// The layer of the first value, in the order of computation, that is not finite.
    pub fn first_not_finite(&self) -> Option<&str> {
        self.nodes.iter().find(|node| !all_finite(node.value.data())).map(|node| &*node.layer)
    }

    /// Gradients of `loss` (a tensor of one number) with respect to all parameters; all buffers go back to
    /// the store.
    pub fn backward(mut self, loss: NodeId) -> Gradients {
        let mut upstream: Vec<Option<Tensor>> = self.nodes.iter().map(|_| None).collect();
        let mut one = self.scope.pool.tensor(self.nodes[loss.0].value.shape());
        one.data_mut().fill(1.0);
        upstream[loss.0] = Some(one);
        for index in (0..=loss.0).rev() {
            let Some(gradient) = upstream[index].take() else { continue };
            let Some(operation) = self.nodes[index].operation.take() else {
                self.scope.pool.give(gradient.into_data());
                continue;
            };
            let node = &self.nodes[index];
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|input| &self.nodes[input.0].value).collect();
            let wanted: Vec<bool> =
                node.inputs.iter().map(|input| self.nodes[input.0].needs_gradient).collect();
            let step = Backward { upstream: gradient, inputs: &inputs, output: &node.value, wanted: &wanted };
            let gradients = operation.backward(step, &mut self.scope);
            for (input, gradient) in node.inputs.iter().zip(gradients) {
                if let Some(gradient) = gradient {
                    accumulate(&mut upstream[input.0], gradient, self.scope.pool);
                }
            }
        }
        self.finish()
    }

    /// Ends the tape without a way back; all buffers go back to the store.
    pub fn finish(mut self) -> Gradients {
        for node in self.nodes.drain(..) {
            if let Some(operation) = node.operation {
                operation.discard(&mut self.scope);
            }
            self.scope.pool.give(node.value.into_data());
        }
        self.scope.gradients
    }
}

/// A value that several operations read gets the sum of their gradients.
fn accumulate(slot: &mut Option<Tensor>, gradient: Tensor, pool: &mut Pool) {
    match slot {
        None => *slot = Some(gradient),
        Some(sum) => {
            sum.data_mut().iter_mut().zip(gradient.data()).for_each(|(sum, x)| *sum += x);
            pool.give(gradient.into_data());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::Fp32;

    const MOMENT: Moment = Moment { seed: 1, step: 0, training: true };

    struct Scale(f32);
    impl Operation for Scale {
        fn backward(self: Box<Self>, mut step: Backward<'_>, _: &mut Scope<'_>) -> Vec<Option<Tensor>> {
            step.upstream.data_mut().iter_mut().for_each(|x| *x *= self.0);
            vec![step.wanted[0].then_some(step.upstream)]
        }
    }

    struct Product;
    impl Operation for Product {
        fn backward(self: Box<Self>, step: Backward<'_>, _: &mut Scope<'_>) -> Vec<Option<Tensor>> {
            let times = |other: &Tensor| {
                let mut gradient = step.upstream.clone();
                gradient.data_mut().iter_mut().zip(other.data()).for_each(|(g, x)| *g *= x);
                Some(gradient)
            };
            vec![times(step.inputs[1]), times(step.inputs[0])]
        }
    }

    struct Leaf(ParameterId);
    impl Operation for Leaf {
        fn backward(self: Box<Self>, step: Backward<'_>, scope: &mut Scope<'_>) -> Vec<Option<Tensor>> {
            scope.add_gradient(self.0, step.upstream.into_data());
            Vec::new()
        }
    }

    #[test]
    fn a_value_read_twice_gets_both_gradients() {
        let parameters = Parameters::from_values(vec![vec![3.0]]);
        let (mut pool, mut tally) = (Pool::default(), Tally::default());
        let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, MOMENT);
        let shape = Shape::new(1, 1, 1, 1);
        let id = parameters.ids().next().unwrap();
        // y = (2 p) (5 p), so dy/dp = 20 p.
        let leaf = tape.push_trained(Tensor::new(shape, vec![3.0]), vec![], Box::new(Leaf(id)));
        let two = tape.push(Tensor::new(shape, vec![6.0]), vec![leaf], Box::new(Scale(2.0)));
        let five = tape.push(Tensor::new(shape, vec![15.0]), vec![leaf], Box::new(Scale(5.0)));
        let y = tape.push(Tensor::new(shape, vec![90.0]), vec![two, five], Box::new(Product));
        assert_eq!(tape.backward(y).get(id), Some([60.0].as_slice()));
    }

    #[test]
    fn the_first_value_that_is_not_finite_names_its_layer() {
        let parameters = Parameters::from_values(vec![]);
        let (mut pool, mut tally) = (Pool::default(), Tally::default());
        let mut tape = Tape::new(&Fp32, &parameters, &mut pool, &mut tally, MOMENT);
        let shape = Shape::new(1, 1, 1, 1);
        for (layer, value) in [1.0, f32::MAX, f32::INFINITY, f32::NAN].into_iter().enumerate() {
            tape.enter(&layer.to_string());
            tape.input(Tensor::new(shape, vec![value]));
            assert_eq!(tape.first_not_finite(), (layer >= 2).then_some("2"));
        }
    }
}
