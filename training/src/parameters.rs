//! Trained numbers, their gradients, and the update.

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
    /// Starts uniform within plus and minus this; 0 for zeros.
    pub bound: f32,
    /// Whether weight decay applies: to weights it does, to biases it does not.
    pub decays: bool,
}

/// The trained numbers of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    values: Vec<Vec<f32>>,
}

/// Gradients of a loss with respect to [`Parameters`].
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    values: Vec<Option<Vec<f32>>>,
}

/// Stochastic gradient descent with momentum and weight decay.
///
/// For each number w with gradient g: v <- momentum v + g + weight_decay w, then w <- w - rate v
/// (Sutskever et al., ICML 2013, in the form without Nesterov's look-ahead and with the rate outside v).
#[derive(Debug, Clone)]
pub struct Sgd {
    momentum: f32,
    weight_decay: f32,
    velocity: Vec<Vec<f32>>,
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
        let values = specs.iter().zip(1_u128..).map(|(spec, stream)| uniform(spec, seed, stream)).collect();
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
}

fn uniform(spec: &ParameterSpec, seed: u64, stream: u128) -> Vec<f32> {
    let mut generator = Pcg64::new(u128::from(seed), stream);
    let mut draw = || {
        // 24 bits, exact in f32, symmetric about zero.
        let bits = (generator.next_u64() >> 40) as f32;
        ((bits + 0.5) / (1 << 23) as f32 - 1.0) * spec.bound
    };
    (0..spec.len).map(|_| if spec.bound == 0.0 { 0.0 } else { draw() }).collect()
}

impl Gradients {
    pub(crate) fn none(parameters: &Parameters) -> Self {
        Self { values: parameters.values.iter().map(|_| None).collect() }
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

    /// The last parameter, so the first on the way back, whose gradient is not finite.
    pub fn last_not_finite(&self) -> Option<ParameterId> {
        let bad = |gradient: &Option<Vec<f32>>| gradient.as_ref().is_some_and(|values| !all_finite(values));
        self.values.iter().rposition(bad).map(ParameterId)
    }

    pub(crate) fn give(self, pool: &mut Pool) {
        self.values.into_iter().flatten().for_each(|buffer| pool.give(buffer));
    }
}

impl Sgd {
    /// At rest.
    pub fn new(specs: &[ParameterSpec], momentum: f32, weight_decay: f32) -> Self {
        Self { momentum, weight_decay, velocity: specs.iter().map(|spec| vec![0.0; spec.len]).collect() }
    }

    /// One update with learning rate `rate`. Parameters without a gradient keep their values.
    pub fn update(
        &mut self,
        specs: &[ParameterSpec],
        parameters: &mut Parameters,
        gradients: &Gradients,
        rate: f32,
    ) {
        let each = specs.iter().zip(&mut parameters.values).zip(&gradients.values).zip(&mut self.velocity);
        for (((spec, values), gradient), velocity) in each {
            let Some(gradient) = gradient else { continue };
            let decay = if spec.decays { self.weight_decay } else { 0.0 };
            for ((w, g), v) in values.iter_mut().zip(gradient).zip(velocity) {
                *v = self.momentum * *v + g + decay * *w;
                *w -= rate * *v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(len: usize, bound: f32, decays: bool) -> ParameterSpec {
        ParameterSpec { name: "w".into(), len, bound, decays }
    }

    #[test]
    fn starts_are_seeded_uniform_and_independent() {
        let specs = [spec(20_000, 0.5, true), spec(20_000, 0.5, true), spec(3, 0.0, false)];
        let first = Parameters::initial(&specs, 7);
        assert_eq!(first, Parameters::initial(&specs, 7));
        assert_ne!(first, Parameters::initial(&specs, 8));
        assert_ne!(first.values[0], first.values[1]);
        assert_eq!(first.values[2], [0.0; 3]);
        let mean = first.values[0].iter().sum::<f32>() / 20_000.0;
        let square = first.values[0].iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        // Uniform within 0.5: mean 0 (sigma 0.002 here), variance 1/12.
        assert!(mean.abs() < 0.01 && (square - 1.0 / 12.0).abs() < 0.003, "{mean} {square}");
        assert!(first.values[0].iter().all(|x| x.abs() <= 0.5));
    }

    #[test]
    fn sgd_follows_its_formula() {
        let specs = [spec(1, 0.0, true), spec(1, 0.0, false), spec(1, 0.0, true)];
        let mut parameters = Parameters::from_values(vec![vec![1.0], vec![1.0], vec![1.0]]);
        let gradients = Gradients { values: vec![Some(vec![0.5]), Some(vec![0.5]), None] };
        let mut sgd = Sgd::new(&specs, 0.9, 0.1);
        let (mut w, mut v) = ([1.0_f32; 2], [0.0_f32; 2]);
        for _ in 0..3 {
            sgd.update(&specs, &mut parameters, &gradients, 0.01);
            for (i, decay) in [0.1, 0.0].into_iter().enumerate() {
                v[i] = 0.9 * v[i] + 0.5 + decay * w[i];
                w[i] -= 0.01 * v[i];
            }
        }
        assert_eq!(parameters.values, [vec![w[0]], vec![w[1]], vec![1.0]]);
        assert_ne!(w[0], w[1]);
    }

    #[test]
    fn gradients_add_and_tell_where_they_break() {
        let parameters = Parameters::from_values(vec![vec![0.0], vec![0.0]]);
        let mut gradients = Gradients::none(&parameters);
        let id = ParameterId(1);
        assert_eq!(gradients.add(id, vec![1.0]), None);
        assert_eq!(gradients.add(id, vec![2.0]), Some(vec![2.0]));
        assert_eq!(gradients.get(id), Some([3.0].as_slice()));
        assert_eq!(gradients.last_not_finite(), None);
        gradients.add(id, vec![f32::INFINITY]);
        gradients.add(ParameterId(0), vec![f32::NAN]);
        assert_eq!(gradients.last_not_finite(), Some(id));
    }
}
