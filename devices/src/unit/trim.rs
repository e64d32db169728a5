//! What trimming leaves of fabrication's phase errors.

use crate::numerics::gauss_legendre;
use crate::numerics::normal_pair;
use crate::unit::parameters::Trim;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// Distribution of the phase error that is left on one path of one stage: a symmetric set of weighted nodes.
///
/// The error as made is normal, wrapped to (-pi, pi]; the trim subtracts the nearest multiple of its step within its
/// range.
#[derive(Debug, Clone)]
pub(crate) struct TrimResidue {
    trim: Trim,
    /// Non-negative residues with weights that sum to one.
    nodes: Vec<(f64, f64)>,
}

impl TrimResidue {
    pub fn new(trim: &Trim) -> Self {
        let sigma = trim.fabrication;
        if sigma == 0.0 {
            return TrimResidue { trim: trim.clone(), nodes: Vec::new() };
        }
        let rule = gauss_legendre(48);
        let (largest, half_step) = limits(trim);
        // The distribution is symmetric: half of it is visited.
        let mut nodes = tail(&rule, sigma, if largest > 0.0 { largest + half_step } else { 0.0 }, largest);
        let inside = 0.5 - nodes.iter().map(|node| node.1).sum::<f64>();
        if largest > 0.0 && inside > 0.0 {
            nodes.extend(fold(&rule, sigma, half_step, largest, inside));
        }
        let total: f64 = nodes.iter().map(|node| node.1).sum();
        nodes.iter_mut().for_each(|node| node.1 /= total);
        nodes.retain(|node| node.1 > 1e-22);
        TrimResidue { trim: trim.clone(), nodes }
    }

    /// Characteristic function E[cos(u residue)].
    pub fn characteristic(&self, u: f64) -> f64 {
        if self.nodes.is_empty() {
            return 1.0;
        }
        self.nodes.iter().map(|&(r, weight)| weight * (u * r).cos()).sum()
    }

    /// Variance, rad^2.
    pub fn variance(&self) -> f64 {
        self.nodes.iter().map(|&(r, weight)| weight * r * r).sum()
    }

    /// How the residue can be drawn with its distribution tilted.
    pub fn law(&self) -> Law {
        let (sigma, (largest, half_step)) = (self.trim.fabrication, limits(&self.trim));
        if sigma == 0.0 {
            Law::Other
        } else if largest == 0.0 {
            Law::Normal(sigma)
        } else if half_step > 0.0 && sigma > 4.0 * half_step {
            Law::Uniform(half_step)
        } else {
            Law::Other
        }
    }

    /// What trimming leaves of a phase error of `made` rad.
    pub fn left_of(&self, made: f64) -> f64 {
        let error = made - 2.0 * PI * (made / (2.0 * PI)).round();
        let (largest, half_step) = limits(&self.trim);
        let correction =
            if half_step > 0.0 { (error / (2.0 * half_step)).round() * 2.0 * half_step } else { error };
        error - correction.clamp(-largest, largest)
    }

    /// One sampled residue.
    pub fn sample(&self, rng: &mut Pcg64) -> f64 {
        if self.trim.fabrication == 0.0 {
            return 0.0;
        }
        self.left_of(self.trim.fabrication * normal_pair(rng).0)
    }
}

/// What the residue of one path is, as far as it matters for tilting its distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Law {
    /// Not trimmed: normal with this standard deviation (wrapped).
    Normal(f64),
    /// Trimmed in steps far finer than the error: uniform over this much to either side, if the error is within the range.
    Uniform(f64),
    /// Anything else: drawn as it is.
    Other,
}

/// Largest correction (a whole number of steps) and half a step.
fn limits(trim: &Trim) -> (f64, f64) {
    if trim.resolution > 0.0 {
        ((trim.range / trim.resolution).floor() * trim.resolution, 0.5 * trim.resolution)
    } else {
        (trim.range, 0.0)
    }
}

fn wrapped_density(sigma: f64, e: f64) -> f64 {
    let images = (9.0 * sigma / (2.0 * PI)).ceil() as i64 + 1;
    (-images..=images)
        .map(|j| {
            let z = (e + 2.0 * PI * j as f64) / sigma;
            (-0.5 * z * z).exp()
        })
        .sum::<f64>()
        / (sigma * (2.0 * PI).sqrt())
}

/// Errors beyond the trim's range, from `start` on: residue = error - `largest`.
fn tail(rule: &[(f64, f64)], sigma: f64, start: f64, largest: f64) -> Vec<(f64, f64)> {
    let pieces = 4;
    let width = (PI.min(9.0 * sigma) - start) / pieces as f64;
    if width <= 0.0 {
        return Vec::new();
    }
    let node = |piece: usize, x: f64, weight: f64| {
        let e = start + width * (piece as f64 + 0.5 * (1.0 + x));
        (e - largest, 0.5 * width * weight * wrapped_density(sigma, e))
    };
    (0..pieces).flat_map(|piece| rule.iter().map(move |&(x, weight)| node(piece, x, weight))).collect()
}

/// Residues of errors within the trim's range, of total probability `inside`: the density folded onto one step.
fn fold(rule: &[(f64, f64)], sigma: f64, half_step: f64, largest: f64, inside: f64) -> Vec<(f64, f64)> {
    if half_step == 0.0 {
        return vec![(0.0, inside)];
    }
    let step = 2.0 * half_step;
    let bins = ((largest / step).round() as i64).min((9.0 * sigma / step).ceil() as i64);
    let density = |r: f64| -> f64 {
        if sigma > 2.0 * step {
            1.0 // a normal density folded onto less than half its sigma is uniform to 1e-30
        } else {
            (-bins..=bins).map(|n| wrapped_density(sigma, r + n as f64 * step)).sum()
        }
    };
    let mut nodes: Vec<(f64, f64)> = rule
        .iter()
        .filter(|(x, _)| *x > 0.0)
        .map(|&(x, weight)| (half_step * x, weight * density(half_step * x)))
        .collect();
    let seen: f64 = nodes.iter().map(|node| node.1).sum();
    if seen > 0.0 {
        nodes.iter_mut().for_each(|node| node.1 *= inside / seen);
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn check(fabrication: f64, resolution: f64, range: f64) {
        let residue = TrimResidue::new(&Trim { fabrication, resolution, range });
        let mut rng = Pcg64::seed_from_u64(7);
        let n = 60_000;
        let draws: Vec<f64> = (0..n).map(|_| residue.sample(&mut rng)).collect();
        let variance = draws.iter().map(|r| r * r).sum::<f64>() / n as f64;
        let fourth = draws.iter().map(|r| r.powi(4)).sum::<f64>() / n as f64;
        let error = 5.0 * ((fourth - variance * variance) / n as f64).sqrt() + 1e-12;
        let label = format!("{fabrication} {resolution} {range}");
        assert!((variance - residue.variance()).abs() < error, "{label}: {variance} {}", residue.variance());
        let u = 1.3 / (residue.variance().sqrt() + 1e-6);
        let mean = draws.iter().map(|r| (u * r).cos()).sum::<f64>() / n as f64;
        assert!((mean - residue.characteristic(u)).abs() < 5.0 / (n as f64).sqrt(), "{label}");
    }

    #[test]
    fn distribution_and_samples_agree() {
        check(0.5, 0.01, PI);
        check(0.5, 0.6, PI);
        check(0.5, 0.4, 0.9);
        check(0.5, 0.0, 0.7);
        check(0.02, 0.1, PI);
        check(0.3, 0.0, 0.0);
        check(2.5, 0.0, 0.0);
        check(0.1, 0.05, 0.02);
    }

    #[test]
    fn fine_trimming_leaves_a_uniform_residue() {
        let residue = TrimResidue::new(&Trim { fabrication: 0.5, resolution: 0.01, range: PI });
        assert!((residue.variance() - 1e-4 / 12.0).abs() < 1e-12);
        assert_eq!(TrimResidue::new(&Trim { fabrication: 0.0, resolution: 0.1, range: 1.0 }).variance(), 0.0);
        let perfect = TrimResidue::new(&Trim { fabrication: 0.5, resolution: 0.0, range: PI });
        assert!(perfect.variance() < 1e-12);
    }
}
