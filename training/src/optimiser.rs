//! The update: what gradients do to the trained numbers.

use crate::parameters::{Gradients, ParameterSpec, Parameters, Role};

/// How trained numbers follow their gradients. In all formulas w is a number, g its gradient, and d the weight decay where it
/// applies (see [`Role`]), else 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent with momentum: v <- momentum v + g + d w, then w <- w - rate v
    /// (Sutskever et al., ICML 2013, in the form without Nesterov's look-ahead and with the rate outside v).
    Sgd {
        /// What is kept of the velocity, from 0 to below 1.
        momentum: f64,
    },
    /// Adam (Kingma & Ba, ICLR 2015, algorithm 1): with g + d w as the gradient, m <- beta1 m + (1 - beta1) g,
    /// v <- beta2 v + (1 - beta2) g^2, then w <- w - rate m' / (sqrt(v') + epsilon), where
    /// m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) after t updates.
    Adam(Moments),
    /// AdamW (Loshchilov & Hutter, ICLR 2019, algorithm 2): Adam with the plain g, and the decay beside it:
    /// w <- w - rate (m' / (sqrt(v') + epsilon) + d w).
    AdamW(Moments),
}

/// How Adam averages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// What is kept of the mean gradient, from 0 to below 1.
    pub beta1: f64,
    /// What is kept of the mean square, from 0 to below 1.
    pub beta2: f64,
    /// Keeps the division finite; above 0.
    pub epsilon: f64,
}

/// A [`Method`] at work, with what it remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimiser {
    method: Method,
    weight_decay: f32,
    /// Updates done.
    pub(crate) updates: u64,
    /// Velocity, or mean gradient; empty for what is not trained.
    pub(crate) first: Vec<Vec<f32>>,
    /// Mean square of the gradient; empty without Adam.
    pub(crate) second: Vec<Vec<f32>>,
}

impl Optimiser {
    /// At rest.
    pub fn new(specs: &[ParameterSpec], method: Method, weight_decay: f64) -> Self {
        let zeros = |needed: bool| -> Vec<Vec<f32>> {
            let len =
                |spec: &ParameterSpec| if needed && spec.role != Role::Statistic { spec.len } else { 0 };
            specs.iter().map(|spec| vec![0.0; len(spec)]).collect()
        };
        let second = zeros(!matches!(method, Method::Sgd { .. }));
        Self { method, weight_decay: weight_decay as f32, updates: 0, first: zeros(true), second }
    }

    /// One update with learning rate `rate`. Parameters without a gradient keep their values.
    pub fn update(
        &mut self,
        specs: &[ParameterSpec],
        parameters: &mut Parameters,
        gradients: &Gradients,
        rate: f32,
    ) {
        self.updates += 1;
        for (id, spec) in parameters.ids().zip(specs) {
            let Some(gradient) = gradients.get(id) else { continue };
            let decay = if spec.role == Role::Weight { self.weight_decay } else { 0.0 };
            let values = &mut parameters.values_mut()[id.index()];
            let first = &mut self.first[id.index()];
            let second = &mut self.second[id.index()];
            match self.method {
                Method::Sgd { momentum } => sgd(values, gradient, first, momentum as f32, decay, rate),
                Method::Adam(moments) => {
                    let adam = Adam::new(moments, self.updates, rate, decay, 0.0);
                    adam.update(values, gradient, first, second);
                }
                Method::AdamW(moments) => {
                    let adam = Adam::new(moments, self.updates, rate, 0.0, decay);
                    adam.update(values, gradient, first, second);
                }
            }
        }
    }
}

fn sgd(values: &mut [f32], gradient: &[f32], velocity: &mut [f32], momentum: f32, decay: f32, rate: f32) {
    for ((w, g), v) in values.iter_mut().zip(gradient).zip(velocity) {
        *v = momentum * *v + g + decay * *w;
        *w -= rate * *v;
    }
}

/// The numbers of one update of Adam.
struct Adam {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// 1 / (1 - beta^t).
    correction1: f32,
    correction2: f32,
    rate: f32,
    /// Decay as a part of the gradient, and beside it.
    inner: f32,
    outer: f32,
}

impl Adam {
    fn new(moments: Moments, updates: u64, rate: f32, inner: f32, outer: f32) -> Self {
        // The portable power, so that a run is the same on any machine.
        let correction = |beta: f64| (1.0 / (1.0 - libm::pow(beta, updates as f64))) as f32;
        let Moments { beta1, beta2, epsilon } = moments;
        Self {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: epsilon as f32,
            correction1: correction(beta1),
            correction2: correction(beta2),
            rate,
            inner,
            outer,
        }
    }

    fn update(&self, values: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
        for (((w, g), m), v) in values.iter_mut().zip(gradient).zip(mean).zip(square) {
            let g = g + self.inner * *w;
            *m = self.beta1 * *m + (1.0 - self.beta1) * g;
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            let step = self.correction1 * *m / ((self.correction2 * *v).sqrt() + self.epsilon);
            *w -= self.rate * (step + self.outer * *w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Start;

    const ADAM: Moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    fn specs() -> Vec<ParameterSpec> {
        [Role::Weight, Role::Bias, Role::Weight, Role::Statistic]
            .map(|role| ParameterSpec { name: "w".into(), len: 1, start: Start::Constant(1.0), role })
            .into()
    }

    /// Weight, bias, a weight without a gradient, a statistic after `steps` with gradients `g`, 0.1 of decay.
    fn after(method: Method, rate: f32, gradients: &[f32]) -> Vec<f32> {
        let specs = specs();
        let mut parameters = Parameters::initial(&specs, 1);
        let ids: Vec<_> = parameters.ids().collect();
        let mut optimiser = Optimiser::new(&specs, method, 0.1);
        for &g in gradients {
            let mut step = Gradients::none(&parameters);
            step.add(ids[0], vec![g]);
            step.add(ids[1], vec![g]);
            optimiser.update(&specs, &mut parameters, &step, rate);
        }
        parameters.values().concat()
    }

    #[test]
    fn sgd_follows_its_formula() {
        let got = after(Method::Sgd { momentum: 0.9 }, 0.01, &[0.5; 3]);
        let (mut w, mut v) = ([1.0_f32; 2], [0.0_f32; 2]);
        for _ in 0..3 {
            for (i, decay) in [0.1, 0.0].into_iter().enumerate() {
                v[i] = 0.9 * v[i] + 0.5 + decay * w[i];
                w[i] -= 0.01 * v[i];
            }
        }
        assert_eq!(got, [w[0], w[1], 1.0, 1.0]);
        assert_ne!(w[0], w[1]);
    }

    /// The algorithms written again in f64, with the powers of beta as products.
    #[test]
    fn adam_and_adamw_follow_their_formulas() {
        let gradients = [0.5_f32, -0.25, 2.0, 1e-3];
        for decoupled in [false, true] {
            let method = if decoupled { Method::AdamW(ADAM) } else { Method::Adam(ADAM) };
            let got = after(method, 0.01, &gradients);
            for (which, decay) in [0.1, 0.0].into_iter().enumerate() {
                let (mut w, mut m, mut v, mut power1, mut power2) = (1.0_f64, 0.0, 0.0, 1.0, 1.0);
                for g in gradients.map(f64::from) {
                    let g = if decoupled { g } else { g + decay * w };
                    m = 0.9 * m + 0.1 * g;
                    v = 0.999 * v + 0.001 * g * g;
                    power1 *= 0.9;
                    power2 *= 0.999;
                    let step = m / (1.0 - power1) / ((v / (1.0 - power2)).sqrt() + 1e-8);
                    w -= 0.01 * (step + if decoupled { decay * w } else { 0.0 });
                }
                assert!((f64::from(got[which]) - w).abs() < 2e-6, "{decoupled} {which}: {} {w}", got[which]);
            }
            assert_eq!(got[2..], [1.0, 1.0]);
            assert_ne!(got[0], got[1]);
        }
    }

    /// Kingma & Ba, section 2.1: the first step is the learning rate, whatever the size of the gradient.
    #[test]
    fn the_first_step_of_adam_is_the_learning_rate() {
        for g in [1e-3, 1.0, 1e3] {
            assert!((after(Method::Adam(ADAM), 0.01, &[g])[1] - 0.99).abs() < 1e-6);
        }
    }
}
