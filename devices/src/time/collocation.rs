//! One panel of time: waves at the nodes of Radau's right rule, and low-passes that they run through.
//!
//! A low-pass r' = (f - r)/tau is integrated by collocation at the nodes (Radau IIA, of order 2 x 16 - 1 at the panel's end; Hairer,
//! Wanner, Solving Ordinary Differential Equations II, IV.5). It is stable for a panel of any length, forgets what is much faster
//! than a panel, and keeps a settled state to the last digit.

use crate::numerics::gauss_legendre;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// Nodes of a panel; the last is its end.
pub(crate) const NODES: usize = 16;

/// A number for each node.
pub(crate) type Nodes = [f64; NODES];

/// A complex field at the nodes of a panel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wave {
    pub re: Nodes,
    pub im: Nodes,
}

impl Wave {
    /// The same field all along.
    pub fn constant(field: Complex64) -> Self {
        Wave { re: [field.re; NODES], im: [field.im; NODES] }
    }

    /// The field at node `i`.
    pub fn at(&self, i: usize) -> Complex64 {
        Complex64::new(self.re[i], self.im[i])
    }

    /// The field at the end of the panel.
    pub fn end(&self) -> Complex64 {
        self.at(NODES - 1)
    }
}

/// The rule on the panel from 0 to 1.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Rising, the last one 1.
    pub nodes: Nodes,
    /// Integrals from 0 to each node (row) of the polynomial that is one at one node (column) and zero at the others.
    integrals: DMatrix<f64>,
}

/// What a low-pass makes of a wave over one panel: linear in the wave and in where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// For each node what one unit there adds at every node.
    pub response: [Nodes; NODES],
    /// What is left of the start at every node.
    pub rest: Nodes,
    /// No time constant: what comes in goes out.
    pub immediate: bool,
}

impl Rule {
    pub fn new() -> Self {
        let nodes = radau();
        let legendre = gauss_legendre(NODES / 2 + 1);
        let integral = |i: usize, j: usize| -> f64 {
            let half = 0.5 * nodes[i];
            legendre.iter().map(|&(x, weight)| half * weight * basis(&nodes, j, half * (1.0 + x))).sum()
        };
        let integrals = DMatrix::from_fn(NODES, NODES, integral);
        Rule { nodes, integrals }
    }

    /// A low-pass of time constant `tau` over a panel of length `h`, both in seconds.
    pub fn filter(&self, h: f64, tau: f64) -> Filter {
        let mut filter =
            Filter { response: [[0.0; NODES]; NODES], rest: [0.0; NODES], immediate: tau <= 0.0 };
        // r = start + (h/tau) A (f - r)
        let system = DMatrix::identity(NODES, NODES) + &self.integrals * (h / tau);
        let inverse = if filter.immediate { None } else { system.try_inverse() };
        let Some(inverse) = inverse else {
            // (A has no negative eigenvalue, so that the system is regular.)
            (0..NODES).for_each(|i| filter.response[i][i] = 1.0);
            filter.immediate = true;
            return filter;
        };
        let rest = &inverse * DVector::from_element(NODES, 1.0);
        let response = inverse * &self.integrals * (h / tau);
        for i in 0..NODES {
            filter.rest[i] = rest[i];
            (0..NODES).for_each(|j| filter.response[j][i] = response[(i, j)]);
        }
        filter
    }

    /// The collocation polynomial of a state that started at `start` and went through `wave`, at `t` of 0 to 1.
    pub fn between(&self, start: Complex64, wave: &Wave, t: f64) -> Complex64 {
        let at_start = self.nodes.iter().map(|c| (c - t) / c).product::<f64>();
        let others = (0..NODES).map(|j| wave.at(j) * (basis(&self.nodes, j, t) * t / self.nodes[j]));
        start * at_start + others.sum::<Complex64>()
    }
}

impl Filter {
    /// The wave behind the low-pass that was at `start`.
    #[inline(always)]
    pub fn apply(&self, wave: &Wave, start: Complex64) -> Wave {
        if self.immediate {
            return *wave;
        }
        let (mut re, mut im) = ([0.0; NODES], [0.0; NODES]);
        for i in 0..NODES {
            (re[i], im[i]) = (self.rest[i] * start.re, self.rest[i] * start.im);
        }
        for j in 0..NODES {
            let (x, y) = (wave.re[j], wave.im[j]);
            for i in 0..NODES {
                re[i] += self.response[j][i] * x;
                im[i] += self.response[j][i] * y;
            }
        }
        Wave { re, im }
    }
}

/// The polynomial through one at node `j` and zero at the others, at `t`.
fn basis(nodes: &Nodes, j: usize, t: f64) -> f64 {
    let factor = |k: usize| if k == j { 1.0 } else { (t - nodes[k]) / (nodes[j] - nodes[k]) };
    (0..NODES).map(factor).product()
}

/// The zeros of P_n - P_(n-1) on 0 to 1, rising, by Newton's method.
fn radau() -> Nodes {
    std::array::from_fn(|i| {
        if i + 1 == NODES {
            return 1.0;
        }
        let mut x = -(std::f64::consts::TAU * (i as f64 + 0.5) / (2 * NODES - 1) as f64).cos();
        for _ in 0..100 {
            // (P, P') of two degrees in succession.
            let (mut before, mut here) = ((1.0, 0.0), (x, 1.0));
            for k in 1..NODES {
                let k = k as f64;
                let next = ((2.0 * k + 1.0) * x * here.0 - k * before.0) / (k + 1.0);
                (before, here) = (here, (next, before.1 + (2.0 * k + 1.0) * here.0));
            }
            let step = (here.0 - before.0) / (here.1 - before.1);
            x -= step;
            if step.abs() < 1e-15 {
                break;
            }
        }
        0.5 * (1.0 + x)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_integrates_polynomials_of_degree_2n_minus_2() {
        let rule = Rule::new();
        assert!(rule.nodes.windows(2).all(|pair| pair[0] < pair[1]) && rule.nodes[0] > 0.0);
        for power in 0..2 * NODES - 1 {
            let term = |j: usize| rule.integrals[(NODES - 1, j)] * rule.nodes[j].powi(power as i32);
            let sum: f64 = (0..NODES).map(term).sum();
            assert!((sum * (power + 1) as f64 - 1.0).abs() < 1e-13, "{power}: {sum}");
        }
    }

    /// r' = (f - r)/tau with f = cos(w t): r = Re[(1 + i w tau)^-1 (exp(i w t) - exp(-t/tau))] + r(0) exp(-t/tau).
    #[test]
    fn a_low_pass_gives_its_closed_form() {
        let rule = Rule::new();
        for (tau, w) in [(1.0, 3.0), (0.3, 1.0), (50.0, 5.0)] {
            let filter = rule.filter(1.0, tau);
            let field = |t: f64| Complex64::new((w * t).cos(), 0.5);
            let closed = |t: f64| {
                let left = (-t / tau).exp();
                let swing = (Complex64::from_polar(1.0, w * t) - left) / Complex64::new(1.0, w * tau);
                Complex64::new(swing.re + 0.7 * left, 0.5 - 0.8 * left)
            };
            let wave = Wave { re: rule.nodes.map(|t| field(t).re), im: rule.nodes.map(|t| field(t).im) };
            let found = filter.apply(&wave, Complex64::new(0.7, -0.3));
            for (i, &t) in rule.nodes.iter().enumerate() {
                assert!((found.at(i) - closed(t)).norm() < 1e-11, "{tau} {t}");
            }
            for t in [0.0, 0.123, 0.9] {
                let between = rule.between(Complex64::new(0.7, -0.3), &found, t);
                assert!((between - closed(t)).norm() < 1e-11, "{tau} {t}: {between}");
            }
        }
    }

    #[test]
    fn what_is_much_faster_than_a_panel_follows_at_once() {
        let rule = Rule::new();
        let wave = Wave { re: rule.nodes, im: [1.0; NODES] };
        for tau in [0.0, 1e-30, 1e-9] {
            let found = rule.filter(1.0, tau).apply(&wave, Complex64::new(5.0, 5.0));
            for i in 0..NODES {
                assert!((found.at(i) - wave.at(i)).norm() < 1e-5, "{tau} {i} {}", found.at(i));
            }
            assert!((found.end() - wave.end()).norm() < 1e-6);
        }
        // A settled state stays.
        let held = Wave::constant(Complex64::new(0.3, -0.8));
        let found = rule.filter(1.0, 0.4).apply(&held, held.end());
        assert!((found.end() - held.end()).norm() < 1e-15);
    }
}
