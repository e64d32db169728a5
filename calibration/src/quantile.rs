//! Quantile regression: the surface that a share of the data lies below.

use nalgebra::{DMatrix, DVector};

/// Most steps of the interior point, and the gap at which they end, over the sum of the deviations that they start from.
const ROUNDS: usize = 60;
const SMALL: f64 = 1e-9;

/// Loss of Koenker and Bassett (*Econometrica* 46, 33 (1978)): tau r above, (tau - 1) r below.
pub(crate) fn loss(residuals: impl Iterator<Item = f64>, tau: f64) -> f64 {
    residuals.map(|r| r * (tau - f64::from(u8::from(r < 0.0)))).sum()
}

/// The `tau` quantile of numbers, between neighbours; not a number of none.
pub(crate) fn quantile(mut list: Vec<f64>, tau: f64) -> f64 {
    list.sort_by(f64::total_cmp);
    let Some(last) = list.len().checked_sub(1) else { return f64::NAN };
    let at = tau * last as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(last);
    list[below] + (at - below as f64) * (list[above] - list[below])
}

/// The middle one, or halfway between the two in the middle; not a number of none.
pub(crate) fn median(mut list: Vec<f64>) -> f64 {
    if list.is_empty() {
        return f64::NAN;
    }
    // In linear time: fits ask for it at every step.
    let middle = list.len() / 2;
    let upper = *list.select_nth_unstable_by(middle, f64::total_cmp).1;
    if list.len() % 2 == 1 {
        return upper;
    }
    let lower = list[..middle].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    0.5 * (lower + upper)
}

/// Coefficients of the linear `tau` quantile of `values` over the rows of `features`, and its loss. None where the features are not
/// independent.
///
/// The linear program max y'a, X'a = (1 - tau) X'1, 0 <= a <= 1, whose multipliers are the coefficients (Koenker and Bassett 1978,
/// sect. 3), by an interior point with predictor and corrector (Portnoy and Koenker, *Stat. Sci.* 12, 279 (1997)). The slacks z of
/// a >= 0 and w of a <= 1 hold z - w = X b - y throughout; each step is a least-squares problem with weights of its own.
pub(crate) fn linear(features: &DMatrix<f64>, values: &[f64], tau: f64) -> Option<(DVector<f64>, f64)> {
    let n = values.len();
    let y = DVector::from_column_slice(values);
    let mut at = weighted(features, &vec![1.0; n], values)?;
    let misses = &y - features * &at;
    let size = misses.iter().map(|e| e.abs()).sum::<f64>();
    let inside = 0.01 * size / n as f64 + f64::MIN_POSITIVE;
    let mut points: Vec<Interior> = misses
        .iter()
        .map(|e| Interior { a: 1.0 - tau, z: (-e).max(0.0) + inside, w: e.max(0.0) + inside })
        .collect();
    for _ in 0..ROUNDS {
        let gap: f64 = points.iter().map(|p| p.a * p.z + (1.0 - p.a) * p.w).sum();
        if gap < SMALL * size {
            break;
        }
        let weights: Vec<f64> = points.iter().map(Interior::weight).collect();
        let aims: Vec<[f64; 2]> = points.iter().map(|p| [-p.a * p.z, -(1.0 - p.a) * p.w]).collect();
        let (_, first) = newton(features, &points, &weights, &aims)?;
        let (along, across) =
            (reach(&points, &first, Interior::primal), reach(&points, &first, Interior::dual));
        let left: f64 = points
            .iter()
            .zip(&first)
            .map(|(p, d)| {
                let (a, z, w) = (p.a + along * d.a, p.z + across * d.z, p.w + across * d.w);
                a * z + (1.0 - a) * w
            })
            .sum();
        // Towards the centre as far as the first step fell short of closing the gap, and with what it left out.
        let centre = gap * (left / gap).powi(3) / (2 * n) as f64;
        let corrected = aims
            .iter()
            .zip(&first)
            .map(|([low, high], d)| [low + centre - d.a * d.z, high + centre + d.a * d.w]);
        let (moved, step) = newton(features, &points, &weights, &corrected.collect::<Vec<_>>())?;
        let (along, across) =
            (reach(&points, &step, Interior::primal), reach(&points, &step, Interior::dual));
        at.axpy(across, &moved, 1.0);
        for (p, d) in points.iter_mut().zip(&step) {
            *p = Interior { a: p.a + along * d.a, z: p.z + across * d.z, w: p.w + across * d.w };
        }
    }
    let loss = loss((&y - features * &at).iter().copied(), tau);
    Some((at, loss))
}

/// A datum inside the bounds of the linear program, or a step of it.
#[derive(Clone, Copy)]
struct Interior {
    a: f64,
    z: f64,
    w: f64,
}

impl Interior {
    fn weight(&self) -> f64 {
        1.0 / (self.z / self.a + self.w / (1.0 - self.a))
    }

    /// What must stay above zero, and how it changes along a step.
    fn primal(&self, step: &Self) -> [(f64, f64); 2] {
        [(self.a, step.a), (1.0 - self.a, -step.a)]
    }

    fn dual(&self, step: &Self) -> [(f64, f64); 2] {
        [(self.z, step.z), (self.w, step.w)]
    }
}

/// Newton's step for a z and (1 - a) w to change by `aims`: of the coefficients, and of each datum.
fn newton(
    features: &DMatrix<f64>,
    points: &[Interior],
    weights: &[f64],
    aims: &[[f64; 2]],
) -> Option<(DVector<f64>, Vec<Interior>)> {
    let pull = |(p, [low, high]): (&Interior, &[f64; 2])| low / p.a - high / (1.0 - p.a);
    let pulls: Vec<f64> = points.iter().zip(aims).map(pull).collect();
    let moved = weighted(features, weights, &pulls)?;
    let lines = features * &moved;
    let each = |(i, p): (usize, &Interior)| {
        let a = weights[i] * (pulls[i] - lines[i]);
        Interior { a, z: (aims[i][0] - p.z * a) / p.a, w: (aims[i][1] + p.w * a) / (1.0 - p.a) }
    };
    let steps = points.iter().enumerate().map(each).collect();
    Some((moved, steps))
}

/// The share of a step, at most all of it, that stays inside the bounds.
fn reach(points: &[Interior], steps: &[Interior], of: fn(&Interior, &Interior) -> [(f64, f64); 2]) -> f64 {
    let one = |(p, d): (&Interior, &Interior)| {
        of(p, d)
            .into_iter()
            .map(|(x, dx)| if dx < 0.0 { -x / dx } else { f64::INFINITY })
            .fold(f64::INFINITY, f64::min)
    };
    (0.9995 * points.iter().zip(steps).map(one).fold(f64::INFINITY, f64::min)).min(1.0)
}

/// Least squares with weights.
fn weighted(features: &DMatrix<f64>, weights: &[f64], values: &[f64]) -> Option<DVector<f64>> {
    let columns = features.ncols();
    let heavy = DMatrix::from_fn(features.nrows(), columns, |k, j| weights[k] * features[(k, j)]);
    let right = heavy.tr_mul(&DVector::from_column_slice(values));
    heavy.tr_mul(features).cholesky().map(|c| c.solve(&right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_constant_is_the_quantile() {
        let values: Vec<f64> = (0..101).map(|i| f64::from((i * 37) % 101)).collect();
        let ones = DMatrix::from_element(101, 1, 1.0);
        for tau in [0.1, 0.5, 0.9] {
            let (at, _) = linear(&ones, &values, tau).unwrap();
            assert!((at[0] - 100.0 * tau).abs() < 0.6, "{tau}: {}", at[0]);
            assert!((quantile(values.clone(), tau) - 100.0 * tau).abs() < 1e-9);
        }
    }

    #[test]
    fn the_median_is_the_half_quantile() {
        for n in [1usize, 2, 3, 8, 101] {
            let values: Vec<f64> = (0..n).map(|i| ((i * 37) % 101) as f64).collect();
            assert_eq!(median(values.clone()), quantile(values, 0.5), "{n}");
        }
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_share_of_the_data_lies_below() {
        // A skew scatter about a line that widens: its quantiles are lines of other slopes.
        let x: Vec<f64> = (0..2000).map(|i| f64::from(i) / 2000.0).collect();
        let u = |i: usize| ((i * 7919) % 2000) as f64 / 2000.0 + 0.00025;
        let y: Vec<f64> =
            x.iter().enumerate().map(|(i, x)| 1.0 + 2.0 * x + (1.0 + x) * u(i).powi(2)).collect();
        let features = DMatrix::from_fn(2000, 2, |i, j| if j == 0 { 1.0 } else { x[i] });
        for tau in [0.1, 0.5, 0.9f64] {
            let (at, _) = linear(&features, &y, tau).unwrap();
            let below = (0..2000).filter(|&i| y[i] < at[0] + at[1] * x[i]).count() as f64 / 2000.0;
            assert!((below - tau).abs() < 0.005, "{tau}: {below}");
            assert!(
                (at[0] - 1.0 - tau * tau).abs() < 0.05 && (at[1] - 2.0 - tau * tau).abs() < 0.08,
                "{tau}: {at}"
            );
        }
        let twice = DMatrix::from_element(2000, 2, 1.0);
        assert!(linear(&twice, &y, 0.5).is_none());
    }
}
