//! The numbers of a network: those that are trained, with their gradients, and the statistics that it follows.

use rand::Rng;
use rand_pcg::Pcg64;

use crate::tensor::{Pool, all_finite};

/// Which parameter of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterId(usize);

/// What a parameter is and how it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Layer and role, such as `conv1.weight`.
    pub name: String,
    /// How many numbers.
    pub len: usize,
    /// How it starts.
    pub start: Start,
    /// What becomes of it.
    pub role: Role,
}

/// The numbers with which a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All the same.
    Constant(f32),
    /// Uniform within plus and minus this.
    Uniform(f32),
}

/// What becomes of a parameter in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Trained, and pulled towards zero by weight decay.
    Weight,
    /// Trained without decay: biases, and scale and shift of a batch norm.
    Bias,
    /// Not trained but followed, such as the running mean of a batch norm.
    Statistic,
}

/// The numbers of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    values: Vec<Vec<f32>>,
}

/// Gradients of a loss with respect to [`Parameters`], and what the statistics become if the step is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    values: Vec<Option<Vec<f32>>>,
    statistics: Vec<(ParameterId, Vec<f32>)>,
}

impl ParameterId {
    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }

    /// Position among the network's parameters.
    pub fn index(self) -> usize {
        self.0
    }
}

impl Parameters {
    /// The start of a run: each parameter from its own stream of `seed`, so that the same layer starts the
    /// same whatever else the network holds before it is counted.
    pub fn initial(specs: &[ParameterSpec], seed: u64) -> Self {
        let values = specs.iter().zip(1_u128..).map(|(spec, stream)| start(spec, seed, stream)).collect();
        Self { values }
    }

    /// Given numbers.
    pub fn from_values(values: Vec<Vec<f32>>) -> Self {
        Self { values }
    }

    /// The numbers of one parameter.
    pub fn get(&self, id: ParameterId) -> &[f32] {
        &self.values[id.0]
    }

    /// All parameters, in the network's order.
    pub fn ids(&self) -> impl Iterator<Item = ParameterId> + use<> {
        (0..self.values.len()).map(ParameterId)
    }

    /// All numbers, parameter after parameter.
    pub fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// All numbers, to change.
    pub(crate) fn values_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.values
    }

    /// Sets the statistics to what the step has made of them.
    pub fn follow(&mut self, gradients: &Gradients) {
        for (id, values) in &gradients.statistics {
            self.values[id.0].copy_from_slice(values);
        }
    }
}

fn start(spec: &ParameterSpec, seed: u64, stream: u128) -> Vec<f32> {
    let mut generator = Pcg64::new(u128::from(seed), stream);
    let mut draw = || {
        // 24 bits, exact in f32, symmetric about zero.
        let bits = (generator.next_u64() >> 40) as f32;
        (bits + 0.5) / (1 << 23) as f32 - 1.0
    };
    match spec.start {
        Start::Constant(value) => vec![value; spec.len],
        Start::Uniform(bound) => (0..spec.len).map(|_| draw() * bound).collect(),
    }
}

impl Gradients {
    pub(crate) fn none(parameters: &Parameters) -> Self {
        Self { values: parameters.values.iter().map(|_| None).collect(), statistics: Vec::new() }
    }

    pub(crate) fn set_statistic(&mut self, id: ParameterId, values: Vec<f32>) {
        self.statistics.push((id, values));
    }

    /// Adds to one gradient; a buffer that is no longer needed comes back.
    pub(crate) fn add(&mut self, id: ParameterId, gradient: Vec<f32>) -> Option<Vec<f32>> {
        match &mut self.values[id.0] {
            slot @ None => {
                *slot = Some(gradient);
                None
            }
            Some(sum) => {
                sum.iter_mut().zip(&gradient).for_each(|(sum, x)| *sum += x);
                Some(gradient)
            }
        }
    }

    /// The gradient of one parameter, if the loss depends on it.
    pub fn get(&self, id: ParameterId) -> Option<&[f32]> {
        self.values[id.0].as_deref()
    }

    /// The first statistic that is not finite, else the last parameter, so the first on the way back, whose gradient is not.
    pub fn first_not_finite(&self) -> Option<ParameterId> {
        let statistic = self.statistics.iter().find(|(_, values)| !all_finite(values)).map(|(id, _)| *id);
        let bad = |gradient: &Option<Vec<f32>>| gradient.as_ref().is_some_and(|values| !all_finite(values));
        statistic.or_else(|| self.values.iter().rposition(bad).map(ParameterId))
    }

    pub(crate) fn give(self, pool: &mut Pool) {
        self.values.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(len: usize, start: Start) -> ParameterSpec {
        ParameterSpec { name: "w".into(), len, start, role: Role::Weight }
    }

    #[test]
    fn starts_are_seeded_uniform_and_independent() {
        let specs = [
            spec(20_000, Start::Uniform(0.5)),
            spec(20_000, Start::Uniform(0.5)),
            spec(3, Start::Constant(1.0)),
        ];
        let first = Parameters::initial(&specs, 7);
        assert_eq!(first, Parameters::initial(&specs, 7));
        assert_ne!(first, Parameters::initial(&specs, 8));
        assert_ne!(first.values[0], first.values[1]);
        assert_eq!(first.values[2], [1.0; 3]);
        let mean = first.values[0].iter().sum::<f32>() / 20_000.0;
        let square = first.values[0].iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        // Uniform within 0.5: mean 0 (sigma 0.002 here), variance 1/12.
        assert!(mean.abs() < 0.01 && (square - 1.0 / 12.0).abs() < 0.003, "{mean} {square}");
        assert!(first.values[0].iter().all(|x| x.abs() <= 0.5));
    }

    #[test]
    fn gradients_add_and_tell_where_they_break() {
        let parameters = Parameters::from_values(vec![vec![0.0], vec![0.0]]);
        let mut gradients = Gradients::none(&parameters);
        let id = ParameterId(1);
        assert_eq!(gradients.add(id, vec![1.0]), None);
        assert_eq!(gradients.add(id, vec![2.0]), Some(vec![2.0]));
        assert_eq!(gradients.get(id), Some([3.0].as_slice()));
        assert_eq!(gradients.first_not_finite(), None);
        gradients.add(id, vec![f32::INFINITY]);
        gradients.add(ParameterId(0), vec![f32::NAN]);
        assert_eq!(gradients.first_not_finite(), Some(id));
        gradients.set_statistic(ParameterId(0), vec![f32::NAN]);
        assert_eq!(gradients.first_not_finite(), Some(ParameterId(0)));
    }

    #[test]
    fn statistics_follow() {
        let mut parameters = Parameters::from_values(vec![vec![0.0], vec![0.0]]);
        let mut gradients = Gradients::none(&parameters);
        gradients.set_statistic(ParameterId(1), vec![3.0]);
        parameters.follow(&gradients);
        assert_eq!(parameters.values, [[0.0], [3.0]]);
    }
}
