//! Correlated Gaussian maps at given points.

use crate::error::DeviceError;
use crate::unit::shifter::normal_pair;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// Variance, relative to the map's, that the factors may leave out at any point.
const TOLERANCE: f64 = 1e-10;
/// Numbers that the factors may take.
const MOST: usize = 1 << 26;

/// Correlation of two points `distance` m apart: exp(-2 (distance/length)^2).
pub fn correlation(distance: f64, length: f64) -> f64 {
    (-2.0 * (distance / length).powi(2)).exp()
}

/// Variance of the mean of a map of variance one along a straight path of length `path` m: the double integral of the
/// correlation over the path, over its length squared. With a = length/sqrt 2 it is
/// (sqrt(pi) a L erf(L/a) - a^2 (1 - e^{-(L/a)^2})) / L^2: one for short paths, sqrt(pi) a/L for long ones.
pub fn path_average(path: f64, length: f64) -> f64 {
    let u = path / (length / 2f64.sqrt());
    if u < 1e-3 {
        return 1.0 - u * u / 6.0;
    }
    (PI.sqrt() * u * libm::erf(u) + (-u * u).exp_m1()) / (u * u)
}

/// A Gaussian map of mean zero and variance one at fixed points, to be drawn many times.
///
/// The covariance is factored by Cholesky with pivoting, which stops when no point has more than 1e-10 of its variance left:
/// smooth maps need few factors (a dozen for a chip as large as its correlation length), whatever the number of points.
#[derive(Debug, Clone)]
pub struct CorrelatedField {
    points: usize,
    /// One column of the factor after the other.
    factors: Vec<Vec<f64>>,
}

impl CorrelatedField {
    /// For points (x, y) in m and a correlation length in m.
    ///
    /// # Errors
    /// A correlation length that is not positive, or so many points of so rough a map that the factors would take more than
    /// half a gigabyte.
    pub fn new(points: &[(f64, f64)], length: f64) -> Result<Self, DeviceError> {
        if !(length.is_finite() && length > 0.0) {
            return Err(DeviceError::parameter(
                "variation.correlation",
                length,
                "must be finite and above zero",
            ));
        }
        let distance = |a: usize, b: usize| (points[a].0 - points[b].0).hypot(points[a].1 - points[b].1);
        let mut left: Vec<f64> = vec![1.0; points.len()];
        let mut factors: Vec<Vec<f64>> = Vec::new();
        loop {
            let largest = left.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let Some((pivot, &variance)) = largest.filter(|(_, variance)| **variance > TOLERANCE) else {
                break;
            };
            if (factors.len() + 1) * points.len() > MOST {
                let problem =
                    "points of a map too rough for them: fewer points or a larger correlation length";
                return Err(DeviceError::parameter("variation.points", points.len() as f64, problem));
            }
            let root = variance.sqrt();
            let entry = |i: usize| {
                let known: f64 = factors.iter().map(|f| f[i] * f[pivot]).sum();
                (correlation(distance(i, pivot), length) - known) / root
            };
            let mut factor: Vec<f64> = (0..points.len()).map(entry).collect();
            factor[pivot] = root;
            left.iter_mut().zip(&factor).for_each(|(left, f)| *left -= f * f);
            left[pivot] = 0.0;
            factors.push(factor);
        }
        Ok(CorrelatedField { points: points.len(), factors })
    }

    /// Number of independent normal numbers behind a map.
    pub fn rank(&self) -> usize {
        self.factors.len()
    }

    /// One map: its values at the points, in their order.
    pub fn sample(&self, rng: &mut Pcg64) -> Vec<f64> {
        let mut map = vec![0.0; self.points];
        for factor in &self.factors {
            let z = normal_pair(rng).0;
            map.iter_mut().zip(factor).for_each(|(value, f)| *value += z * f);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn factors_give_the_covariance_back() {
        let points: Vec<(f64, f64)> =
            (0..600).map(|i| (f64::from(i % 40) * 0.1e-3, f64::from(i / 40) * 0.2e-3)).collect();
        // A smooth map needs few factors; one that changes over a few points needs most of them.
        for (length, most) in [(4.5e-3, 60), (0.8e-3, 600)] {
            let field = CorrelatedField::new(&points, length).unwrap();
            assert!(field.rank() <= most, "{}", field.rank());
            for (a, b) in [(0, 0), (0, 1), (5, 599), (77, 300), (599, 599)] {
                let found: f64 = field.factors.iter().map(|f| f[a] * f[b]).sum();
                let distance = (points[a].0 - points[b].0).hypot(points[a].1 - points[b].1);
                assert!((found - correlation(distance, length)).abs() < 1e-9, "{length} {a} {b}");
            }
        }
        assert!(CorrelatedField::new(&points, 0.0).is_err());
        assert_eq!(CorrelatedField::new(&[], 1.0).unwrap().rank(), 0);
    }

    #[test]
    fn nearby_points_vary_alike() {
        let points: Vec<(f64, f64)> = (0..5).map(|i| (f64::from(i) * 1e-3, 0.0)).collect();
        let field = CorrelatedField::new(&points, 4.5e-3).unwrap();
        let mut rng = Pcg64::seed_from_u64(9);
        let n = 20_000;
        let mut products = [0.0; 5];
        for _ in 0..n {
            let map = field.sample(&mut rng);
            products.iter_mut().zip(&map).for_each(|(sum, value)| *sum += map[0] * value / n as f64);
        }
        for (i, found) in products.iter().enumerate() {
            let law = (-2.0 * (i as f64 / 4.5).powi(2)).exp();
            // The variance of a product of normal numbers is 1 + law^2.
            let error = ((1.0 + law * law) / n as f64).sqrt();
            assert!((found - law).abs() < 4.0 * error, "{i} mm: {found} {law}");
        }
    }

    #[test]
    fn the_average_over_a_path_is_the_double_integral() {
        for (path, length) in [(1e-7, 1e-2), (1e-3, 1e-2), (5e-3, 4.5e-3), (0.05, 4.5e-3)] {
            let n = 1500;
            let at = |i: usize| (i as f64 + 0.5) * path / n as f64;
            let row = |i: usize| (0..n).map(|j| correlation(at(i) - at(j), length)).sum::<f64>();
            let integral: f64 = (0..n).map(row).sum::<f64>() / (n * n) as f64;
            let found = path_average(path, length);
            assert!((found / integral - 1.0).abs() < 1e-5, "{path} {length}: {found} {integral}");
        }
        assert!((path_average(10.0, 1e-3) / (PI.sqrt() * 1e-3 / 2f64.sqrt() / 10.0) - 1.0).abs() < 1e-3);
    }
}
