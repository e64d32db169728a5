//! Correlated Gaussian maps over a rectangle.

use crate::error::DeviceError;
use crate::numerics::normal_pair;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// Variance, relative to the map's, that the functions of one coordinate may leave out anywhere.
const TOLERANCE: f64 = 1e-10;
/// Places to a correlation length among which the functions' own places are chosen.
const PLACES: f64 = 32.0;
/// Numbers that the functions of one coordinate may take.
const MOST: f64 = (1 << 24) as f64;

/// Correlation of two points `distance` m apart: exp(-(distance/length)^2), so that it falls to 1/e over the length.
pub fn correlation(distance: f64, length: f64) -> f64 {
    (-(distance / length).powi(2)).exp()
}

/// Variance of the mean of a map of variance one along a straight path of length `path` m: the double integral of the
/// correlation over the path, over its length squared. With a = length it is
/// (sqrt(pi) a L erf(L/a) - a^2 (1 - e^{-(L/a)^2})) / L^2: one for short paths, sqrt(pi) a/L for long ones.
pub fn path_average(path: f64, length: f64) -> f64 {
    let u = path / length;
    if u < 1e-3 {
        return 1.0 - u * u / 6.0;
    }
    (PI.sqrt() * u * libm::erf(u) + (-u * u).exp_m1()) / (u * u)
}

/// Functions f_k of one coordinate with sum_k f_k(a) f_k(b) = exp(-((a - b)/l)^2): Cholesky's factors with pivoting over a
/// dense set of places, carried on to any place between them. Smooth maps need few: a dozen for a stretch of two lengths.
#[derive(Debug, Clone)]
struct Axis {
    length: f64,
    pivots: Vec<Pivot>,
}

/// A place that was chosen, what was left of the variance there (as a root), and the functions before it.
#[derive(Debug, Clone)]
struct Pivot {
    place: f64,
    root: f64,
    before: Vec<f64>,
}

impl Axis {
    fn new((from, to): (f64, f64), length: f64) -> Result<Self, DeviceError> {
        let steps = ((to - from) / length * PLACES).ceil();
        // Each length takes about three functions.
        if !(steps.is_finite() && steps * steps * 3.0 / PLACES <= MOST) {
            let problem =
                "m across a map: a chip so large, for its correlation length, takes too many factors";
            return Err(DeviceError::parameter("variation.chip", to - from, problem));
        }
        let place = |i: usize| from + (to - from) * i as f64 / steps.max(1.0);
        let places: Vec<f64> = (0..=steps as usize).map(place).collect();
        let mut axis = Axis { length, pivots: Vec::new() };
        let mut left: Vec<f64> = vec![1.0; places.len()];
        loop {
            let largest = left.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let Some((at, &variance)) = largest.filter(|(_, variance)| **variance > TOLERANCE) else {
                return Ok(axis);
            };
            let before = axis.at(places[at]);
            axis.pivots.push(Pivot { place: places[at], root: variance.sqrt(), before });
            for (left, &place) in left.iter_mut().zip(&places) {
                *left -= axis.at(place).last().map_or(0.0, |f| f * f);
            }
            left[at] = 0.0;
        }
    }

    /// The functions at a place.
    fn at(&self, place: f64) -> Vec<f64> {
        let mut values: Vec<f64> = Vec::with_capacity(self.pivots.len());
        for pivot in &self.pivots {
            let known: f64 = values.iter().zip(&pivot.before).map(|(a, b)| a * b).sum();
            values.push((correlation(place - pivot.place, self.length) - known) / pivot.root);
        }
        values
    }
}

/// Gaussian maps of mean zero and variance one over a rectangle, with the correlation exp(-(d/l)^2) of points d apart.
///
/// That correlation is a product of one along x and one along y, so a map is sum_ab f_a(x) Z_ab g_b(y) with independent normal
/// numbers Z and a few functions f and g of one coordinate each, whatever the number of points; the covariance is that of the law
/// to 1e-9.
#[derive(Debug, Clone)]
pub struct CorrelatedField {
    x: Axis,
    y: Axis,
}

/// One map of a [`CorrelatedField`]: its normal numbers.
#[derive(Debug, Clone)]
pub struct Map(Vec<f64>);

impl CorrelatedField {
    /// Over the rectangle of these ranges of x and y, m, for a correlation length in m.
    ///
    /// # Errors
    /// A correlation length that is not positive, or a rectangle of many hundreds of them.
    pub fn new(x: (f64, f64), y: (f64, f64), length: f64) -> Result<Self, DeviceError> {
        if !(length.is_finite() && length > 0.0) {
            return Err(DeviceError::parameter(
                "variation.correlation",
                length,
                "must be finite and above zero",
            ));
        }
        Ok(CorrelatedField { x: Axis::new(x, length)?, y: Axis::new(y, length)? })
    }

    /// Number of independent normal numbers behind a map.
    pub fn rank(&self) -> usize {
        self.x.pivots.len() * self.y.pivots.len()
    }

    /// Draws a map.
    pub fn sample(&self, rng: &mut Pcg64) -> Map {
        Map((0..self.rank()).map(|_| normal_pair(rng).0).collect())
    }

    /// A map's value at (`xs[i]`, `ys[j]`) within the rectangle, for every (i, j) of `points`.
    pub fn at(&self, map: &Map, xs: &[f64], ys: &[f64], points: &[(usize, usize)]) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let along: Vec<Vec<f64>> = xs.iter().map(|&x| self.x.at(x)).collect();
        let line = |&y: &f64| -> Vec<f64> {
            let across = self.y.at(y);
            map.0.chunks(across.len()).map(|row| dot(row, &across)).collect()
        };
        let lines: Vec<Vec<f64>> = ys.iter().map(line).collect();
        points.iter().map(|&(i, j)| dot(&along[i], &lines[j])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn functions_give_the_correlation_back_at_any_two_points() {
        let mut rng = Pcg64::seed_from_u64(1);
        // A chip, a long one, a single line.
        for (width, height, length) in [(16e-3, 11.5e-3, 8.72e-3), (60e-3, 5e-3, 4.5e-3), (3e-3, 0.0, 12e-3)]
        {
            let field = CorrelatedField::new((-1e-3, width - 1e-3), (0.0, height), length).unwrap();
            let mut point = || {
                let (x, y): (f64, f64) = (rng.random(), rng.random());
                (x * width - 1e-3, y * height)
            };
            for _ in 0..300 {
                let (a, b) = (point(), point());
                let product = |f: &[f64], g: &[f64]| f.iter().zip(g).map(|(f, g)| f * g).sum::<f64>();
                let found =
                    product(&field.x.at(a.0), &field.x.at(b.0)) * product(&field.y.at(a.1), &field.y.at(b.1));
                let law = correlation((a.0 - b.0).hypot(a.1 - b.1), length);
                assert!((found - law).abs() < 1e-9, "{a:?} {b:?}: {found} {law}");
            }
        }
        let chip = CorrelatedField::new((0.0, 16e-3), (0.0, 11.5e-3), 8.72e-3).unwrap();
        assert!(chip.rank() < 200, "{}", chip.rank());
        assert!(CorrelatedField::new((0.0, 1.0), (0.0, 1.0), 0.0).is_err());
        let error = CorrelatedField::new((0.0, 1e3), (0.0, 1.0), 1e-3).unwrap_err().to_string();
        assert!(error.contains("variation.chip"), "{error}");
    }

    #[test]
    fn nearby_points_vary_alike() {
        let xs: Vec<f64> = (0..5).map(|i| f64::from(i) * 1e-3).collect();
        let field = CorrelatedField::new((0.0, 4e-3), (0.0, 2e-3), 4.5e-3).unwrap();
        let points: Vec<(usize, usize)> = (0..10).map(|i| (i % 5, i / 5)).collect();
        let mut rng = Pcg64::seed_from_u64(9);
        let n = 20_000;
        let mut products = [0.0; 10];
        for _ in 0..n {
            let map = field.sample(&mut rng);
            let values = field.at(&map, &xs, &[0.0, 2e-3], &points);
            products.iter_mut().zip(&values).for_each(|(sum, value)| *sum += values[0] * value / n as f64);
        }
        for (&(i, j), found) in points.iter().zip(products) {
            let law = (-((i as f64 / 4.5).powi(2) + (2.0 * j as f64 / 4.5).powi(2))).exp();
            // The variance of a product of normal numbers is 1 + law^2.
            let error = ((1.0 + law * law) / n as f64).sqrt();
            assert!((found - law).abs() < 4.0 * error, "{i} mm, {j}: {found} {law}");
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
        assert!((path_average(10.0, 1e-3) / (PI.sqrt() * 1e-3 / 10.0) - 1.0).abs() < 1e-3);
    }
}
