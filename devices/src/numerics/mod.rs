//! Small numerical tools: the normal tail, Gauss-Legendre nodes, the wedge probability of phase noise, normal numbers, phasors
//! of many angles at once.

mod phasor;

pub(crate) use phasor::{phasor, signed, sincos_turns};

use rand::RngExt;
use rand_pcg::Pcg64;
use std::f64::consts::{PI, SQRT_2};

/// Upper tail of the standard normal distribution, accurate relative to itself at any depth.
pub fn normal_tail(x: f64) -> f64 {
    0.5 * libm::erfc(x / SQRT_2)
}

/// Two independent standard normal numbers by Box and Muller's method, with a portable logarithm, sine and cosine.
pub(crate) fn normal_pair(rng: &mut Pcg64) -> (f64, f64) {
    let u: f64 = 1.0 - rng.random::<f64>();
    let radius = (-2.0 * libm::log(u)).sqrt();
    let (sine, cosine) = libm::sincos(2.0 * PI * rng.random::<f64>());
    (radius * cosine, radius * sine)
}

/// Nodes and weights of Gauss-Legendre quadrature with `n` points on [-1, 1], by Newton's method on the
/// three-term recurrence.
pub fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let degree = n as f64;
    (0..n)
        .map(|i| {
            let mut x = (PI * (i as f64 + 0.75) / (degree + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..100 {
                let (mut before, mut value) = (0.0, 1.0);
                for k in 0..n {
                    let k = k as f64;
                    (before, value) = (value, ((2.0 * k + 1.0) * x * value - k * before) / (k + 1.0));
                }
                slope = degree * (x * value - before) / (x * x - 1.0);
                let step = value / slope;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

/// Probability that the phase of a signal lies beyond an angle.
///
/// The signal is a constant of amplitude `snr` (in units of the standard deviation of either quadrature) at angle
/// zero, with isotropic Gaussian noise. The result is P(`angle` < phase <= pi), for `angle` in (-pi, pi).
///
/// For `angle` > 0 it is (1/2 pi) times the integral over t in (0, pi - angle) of exp(-snr^2 sin^2(angle) / (2 sin^2 t)),
/// the form given by Craig ("A new, simple and exact result for calculating the probability of error for two-dimensional
/// signal constellations", MILCOM 1991). Twice the value at pi/m is the symbol error rate of m-ary phase-shift keying.
/// It is evaluated as the tail of a half-plane minus the wedge behind the origin, which keeps full relative accuracy.
#[derive(Debug, Clone)]
pub struct PhaseTail {
    nodes: Vec<(f64, f64)>,
}

impl Default for PhaseTail {
    fn default() -> Self {
        PhaseTail { nodes: gauss_legendre(24) }
    }
}

impl PhaseTail {
    /// P(`angle` < phase <= pi) at amplitude-to-noise ratio `snr`; see the type.
    pub fn beyond(&self, snr: f64, angle: f64) -> f64 {
        if angle < 0.0 {
            return 1.0 - self.beyond(snr, -angle);
        }
        if angle >= PI {
            return 0.0;
        }
        if angle > PI / 2.0 {
            return self.craig(snr, angle, PI - angle);
        }
        let distance = snr * angle.sin();
        let half_plane = normal_tail(distance);
        if snr > 9.5 + distance {
            // The wedge behind the origin holds at most exp(-snr^2/2): nothing beside the half-plane's tail.
            return half_plane;
        }
        (half_plane - self.craig(snr, angle, angle)).max(0.0)
    }

    fn craig(&self, snr: f64, angle: f64, limit: f64) -> f64 {
        if limit <= 0.0 {
            return 0.0;
        }
        let exponent = 0.5 * (snr * angle.sin()).powi(2);
        let half = 0.5 * limit;
        let sum: f64 = self
            .nodes
            .iter()
            .map(|&(x, weight)| {
                let sine = (half * (1.0 + x)).sin();
                weight * (-exponent / (sine * sine)).exp()
            })
            .sum();
        sum * half / (2.0 * PI)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Symbol error rate of m-ary phase-shift keying by brute force on Craig's integral, split at its peak.
    fn mpsk(m: f64, snr: f64) -> f64 {
        let sine = (PI / m).sin();
        let exponent = 0.5 * snr * snr * sine * sine;
        let steps = 400_000;
        let limit = PI - PI / m;
        let h = limit / steps as f64;
        (0..steps).map(|i| (-exponent / ((i as f64 + 0.5) * h).sin().powi(2)).exp()).sum::<f64>() * h / PI
    }

    #[test]
    fn equals_the_phase_shift_keying_formula_at_every_depth() {
        let tail = PhaseTail::default();
        for m in [4.0, 31.0, 32.0, 33.0] {
            for target in [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12] {
                // Find an amplitude near the wanted rate, then compare the two expressions there.
                let mut snr = 1.0;
                while 2.0 * tail.beyond(snr, PI / m) > target {
                    snr *= 1.002;
                }
                let (ours, reference) = (2.0 * tail.beyond(snr, PI / m), mpsk(m, snr));
                assert!((ours / reference - 1.0).abs() < 1e-6, "m={m} target={target}: {ours} {reference}");
                assert!(ours < target && ours > target * 0.5);
            }
        }
    }

    #[test]
    fn phase_tail_covers_the_circle() {
        let tail = PhaseTail::default();
        for snr in [0.0, 0.3, 1.0, 3.0, 12.0] {
            assert!((tail.beyond(snr, 0.0) - 0.5).abs() < 1e-9, "{snr}");
            for i in 1..60 {
                let angle = PI * i as f64 / 60.0;
                let (a, b) = (tail.beyond(snr, angle), tail.beyond(snr, angle + PI / 61.0));
                assert!(a >= b && a >= 0.0, "falls with the angle: {snr} {angle}");
                assert!((tail.beyond(snr, -angle) + a - 1.0).abs() < 1e-12);
            }
            // Without a signal the phase is uniform.
            if snr == 0.0 {
                assert!((tail.beyond(0.0, 1.0) - (PI - 1.0) / (2.0 * PI)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn tails_equal_published_values() {
        assert!((normal_tail(-1.0) - normal_tail(1.0) - 0.682_689_492_137_086).abs() < 1e-12);
        assert!((normal_tail(8.0) / 6.220_960_574_271_785e-16 - 1.0).abs() < 1e-10);
    }

    #[test]
    fn quadrature_is_exact_for_polynomials() {
        let nodes = gauss_legendre(24);
        let sum: f64 = nodes.iter().map(|&(x, w)| w * x.powi(40)).sum();
        assert!((sum - 2.0 / 41.0).abs() < 1e-13);
    }
}
