//! Quantile regression: the surface that a share of the data lies below.

use nalgebra::{DMatrix, DVector};

/// Rounds of majorisation, and the change of the loss at which they end.
const ROUNDS: usize = 400;
const SMALL: f64 = 1e-8;

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

/// Coefficients of the linear `tau` quantile of `values` over the rows of `features`, and its loss: the majorising iteration of
/// Hunter and Lange (*J. Comput. Graph. Stat.* 9, 60 (2000)). None where the features are not independent.
pub(crate) fn linear(features: &DMatrix<f64>, values: &[f64], tau: f64) -> Option<(DVector<f64>, f64)> {
    let columns = features.ncols();
    let spread = quantile(values.to_vec(), 0.9) - quantile(values.to_vec(), 0.1);
    let near = 1e-6 * spread.max(f64::MIN_POSITIVE);
    // A column for each datum: what belongs together lies together.
    let rows = features.transpose();
    // Normal equations of weights, `pull` being added to what each datum is worth.
    let normal = |weights: &[f64], pull: f64| {
        let mut gram = DMatrix::zeros(columns, columns);
        let mut right = DVector::zeros(columns);
        for ((row, weight), value) in rows.as_slice().chunks_exact(columns).zip(weights).zip(values) {
            for (j, x) in row.iter().enumerate() {
                right[j] += x * (weight * value + pull);
                row[..=j].iter().enumerate().for_each(|(i, other)| gram[(j, i)] += weight * x * other);
            }
        }
        // Of the lower triangle alone.
        gram.cholesky().map(|c| c.solve(&right))
    };
    let misses = |at: &DVector<f64>, residuals: &mut [f64]| {
        for ((r, row), value) in residuals.iter_mut().zip(rows.as_slice().chunks_exact(columns)).zip(values) {
            *r = value - row.iter().zip(at.iter()).map(|(x, c)| x * c).sum::<f64>();
        }
        loss(residuals.iter().copied(), tau)
    };
    let mut weights = vec![1.0; values.len()];
    let mut residuals = weights.clone();
    let mut at = normal(&weights, 0.0)?;
    let mut before = f64::MAX;
    for _ in 0..ROUNDS {
        let now = misses(&at, &mut residuals);
        if before - now < SMALL * now.abs() {
            break;
        }
        before = now;
        weights.iter_mut().zip(&residuals).for_each(|(w, r)| *w = 1.0 / (near + r.abs()));
        at = normal(&weights, 2.0 * tau - 1.0)?;
    }
    let loss = misses(&at, &mut residuals);
    Some((at, loss))
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
