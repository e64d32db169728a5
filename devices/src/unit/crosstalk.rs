//! Thermal crosstalk between the stages of an MDPU.

use crate::unit::encoding::Digits;
use crate::unit::parameters::Crosstalk;
use nalgebra::DMatrix;

/// The crosstalk matrix: entry (victim, source) is the phase in a stage per phase of the source stage's drive, stages
/// counted along the light, MMU by MMU and digit by digit. The diagonal is zero: what a drive does to its own shifter
/// is its calibrated curve.
pub fn crosstalk_matrix(crosstalk: &Crosstalk, stages: usize) -> DMatrix<f64> {
    DMatrix::from_fn(stages, stages, |victim, source| {
        if victim == source {
            0.0
        } else {
            let distance = crosstalk.pitch * victim.abs_diff(source) as f64;
            crosstalk.coefficient * (-distance / crosstalk.decay).exp()
        }
    })
}

/// For each MMU, the phase that its drive adds to the whole MDPU per phase of its unit shifter: the column sums of the
/// matrix, weighted by the digits.
pub(crate) fn source_gains(crosstalk: &Crosstalk, digits: &Digits, group: usize) -> Vec<f64> {
    let count = digits.count();
    if crosstalk.coefficient == 0.0 {
        return vec![0.0; group];
    }
    let stages = group * count;
    // Geometric sums over the neighbours on either side.
    let ratio = (-crosstalk.pitch / crosstalk.decay).exp();
    let sums: Vec<f64> =
        std::iter::successors(Some(0.0), |sum| Some(ratio * (1.0 + sum))).take(stages).collect();
    let column = |stage: usize| crosstalk.coefficient * (sums[stage] + sums[stages - 1 - stage]);
    (0..group)
        .map(|mmu| {
            digits.weights().iter().enumerate().map(|(d, &w)| f64::from(w) * column(mmu * count + d)).sum()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::encoding::Encoding;

    #[test]
    fn gains_are_the_matrix_column_sums() {
        let crosstalk = Crosstalk { coefficient: 3e-4, decay: 80e-6, pitch: 30e-6 };
        let digits = Digits::new(33, Encoding::Centred);
        let gains = source_gains(&crosstalk, &digits, 4);
        let matrix = crosstalk_matrix(&crosstalk, 4 * digits.count());
        for (mmu, gain) in gains.iter().enumerate() {
            let direct: f64 = (0..digits.count())
                .map(|d| f64::from(digits.weights()[d]) * matrix.column(mmu * digits.count() + d).sum())
                .sum();
            assert!((gain - direct).abs() < 1e-12);
        }
        assert!((matrix[(3, 3)], matrix[(2, 5)] == matrix[(5, 2)]) == (0.0, true));
    }
}
