//! Compensation of crosstalk by the inverse of the matrix as it is known, and what remains.

use crate::error::DeviceError;
use crate::heat::ThermalMatrix;
use nalgebra::DVector;

/// Phases that remain: what the guides have beyond `wanted` rad when the drives are K^-1 `wanted`, K being the matrix that
/// the controller knows and `actual` the true one.
///
/// # Errors
/// Matrices that are not square or of different sizes, or a known one without inverse.
pub fn remaining_after(
    actual: &ThermalMatrix,
    known: &ThermalMatrix,
    wanted: &DVector<f64>,
) -> Result<DVector<f64>, DeviceError> {
    let (actual, inverse) = (actual.with_own()?, known.with_own()?.lu());
    if wanted.len() != actual.nrows() || inverse.l().nrows() != actual.nrows() {
        let problem = format!("wanted phases for a matrix of {} guides", actual.nrows());
        return Err(DeviceError::Parameter { name: "heat.wanted", value: wanted.len() as f64, problem });
    }
    let drives = inverse.solve(wanted).ok_or_else(|| {
        DeviceError::parameter("heat.matrix", wanted.len() as f64, "rows of a matrix without inverse")
    })?;
    Ok(actual * drives - wanted)
}

/// What remains when the matrix is known to some relative error.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Remaining {
    /// Standard deviation of the relative error of each known entry, independent of the others.
    pub known_to: f64,
    /// Phase that remains in a guide, rms over guides, drives and errors, rad.
    pub guide_rms: f64,
    /// The same for the sum over all guides, which is what a read sees of a cascade, rad.
    pub sum_rms: f64,
}

/// Closed form of what remains for independent drives of `drive_rms` rad rms in each heater (mean zero).
///
/// To first order in the matrix, an entry known as M(1 + x e) leaves -x e M d: in a guide the variance
/// x^2 drive^2 sum_j M_ij^2, in the sum over guides x^2 drive^2 sum_ij M_ij^2. Without compensation (`None`) the whole matrix
/// is left, and in the sum the shares of one heater add up before they are squared: drive^2 sum_j (sum_i M_ij)^2.
pub fn remaining_table(
    matrix: &ThermalMatrix,
    drive_rms: f64,
    known_to: &[f64],
) -> (Remaining, Vec<Remaining>) {
    let entries = matrix.entries();
    let square = entries.norm_squared();
    let guides = entries.nrows().max(1) as f64;
    let columns: f64 = entries.row_sum().norm_squared();
    let none = Remaining {
        known_to: 1.0,
        guide_rms: drive_rms * (square / guides).sqrt(),
        sum_rms: drive_rms * columns.sqrt(),
    };
    let with = |&x: &f64| Remaining {
        known_to: x,
        guide_rms: x * drive_rms * (square / guides).sqrt(),
        sum_rms: x * drive_rms * square.sqrt(),
    };
    (none, known_to.iter().map(with).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heat::Layout;
    use crate::numerics::normal_pair;
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    #[test]
    fn a_matrix_known_exactly_leaves_nothing() {
        let matrix = ThermalMatrix::by_distance(&Layout::rows(1, 12, 40e-6, 0.0), 0.1, 50e-6);
        let wanted = DVector::from_fn(12, |i, _| (i as f64 * 0.7).sin());
        assert!(remaining_after(&matrix, &matrix, &wanted).unwrap().amax() < 1e-14);
        let nothing = ThermalMatrix::new(nalgebra::DMatrix::zeros(12, 12));
        let left = remaining_after(&matrix, &nothing, &wanted).unwrap();
        assert!((left - matrix.entries() * &wanted).amax() < 1e-14, "no compensation leaves M d");
    }

    #[test]
    fn sampled_errors_leave_what_the_closed_form_says() {
        let matrix = ThermalMatrix::by_distance(&Layout::rows(1, 30, 40e-6, 0.0), 0.01, 50e-6);
        let mut rng = Pcg64::seed_from_u64(2);
        for x in [0.05, 0.3] {
            let (_, table) = remaining_table(&matrix, 1.5, &[x]);
            let (mut guide, mut sum, mut fourth) = (0.0, 0.0, 0.0);
            let n = 3000;
            for _ in 0..n {
                let known = matrix.entries().map(|m| m * (1.0 + x * normal_pair(&mut rng).0));
                let wanted = DVector::from_fn(30, |_, _| 1.5 * normal_pair(&mut rng).0);
                let left = remaining_after(&matrix, &ThermalMatrix::new(known), &wanted).unwrap();
                guide += left.norm_squared() / 30.0 / n as f64;
                sum += left.sum().powi(2) / n as f64;
                fourth += left.sum().powi(4) / n as f64;
            }
            let error = ((fourth - sum * sum) / n as f64).sqrt() / sum;
            // Second order in the matrix: a few times 0.01.
            assert!((guide / table[0].guide_rms.powi(2) - 1.0).abs() < 0.05, "{guide} {:?}", table[0]);
            assert!((sum / table[0].sum_rms.powi(2) - 1.0).abs() < 4.0 * error + 0.03, "{sum} {error}");
        }
        let (none, _) = remaining_table(&matrix, 1.5, &[]);
        let drives = |rng: &mut Pcg64| DVector::from_fn(30, |_, _| 1.5 * normal_pair(rng).0);
        let n = 20_000;
        let sum: f64 = (0..n).map(|_| (matrix.entries() * drives(&mut rng)).sum().powi(2) / n as f64).sum();
        assert!((sum / none.sum_rms.powi(2) - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt());
    }
}
