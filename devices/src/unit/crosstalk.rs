//! Thermal crosstalk between the stages of an MDPU.

use crate::heat::{Layout, ThermalMatrix};
use crate::unit::encoding::Digits;
use crate::unit::parameters::Crosstalk;
use nalgebra::DMatrix;

/// The crosstalk matrix of an MDPU of `group` MMUs of `digits` digits: entry (victim, source) is the phase in a stage per phase
/// of the source stage's drive, stages counted along the light, MMU by MMU and digit by digit. The diagonal is zero: what a
/// drive does to its own shifter is its calibrated curve, and what it does to its own bus depends on the bit; see
/// [`Mdpu::stage`](crate::unit::mmu::Mdpu::stage).
pub fn crosstalk_matrix(crosstalk: &Crosstalk, group: usize, digits: usize) -> DMatrix<f64> {
    let Crosstalk { coefficient, decay, pitch, ref heaters, .. } = *crosstalk;
    match heaters {
        Some(map) => map.matrix(digits, coefficient, decay),
        None => {
            let layout = Layout::rows(1, group * digits, pitch, 0.0);
            ThermalMatrix::by_distance(&layout, coefficient, decay).entries().clone()
        }
    }
}

/// Where the stages of an MDPU lie, m: in the layout, or in a row.
pub(crate) fn stage_places(crosstalk: &Crosstalk, group: usize, digits: usize) -> Vec<(f64, f64)> {
    let laid = |stage: usize| {
        let map = crosstalk.heaters.as_ref()?;
        map.guide(stage / digits, stage % digits)
    };
    let place = |stage: usize| laid(stage).unwrap_or((stage as f64 * crosstalk.pitch, 0.0));
    (0..group * digits).map(place).collect()
}

/// For each MMU, the phase that its drive adds to the whole MDPU per phase of its unit shifter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SourceGain {
    /// What is the same for every chip: the column sums of the matrix, weighted by the digits; zero where compensated.
    pub mean: f64,
    /// Variance over chips of what a compensation leaves that knows each entry to a relative error. The own buses count as if
    /// light ran on all of them, twice as often as it does: their part is an upper bound.
    pub variance: f64,
}

/// The gains of all MMUs; `compensation` is the relative error of the known matrix, if the drives are corrected at all.
pub(crate) fn source_gains(
    crosstalk: &Crosstalk,
    compensation: Option<f64>,
    digits: &Digits,
    group: usize,
) -> Vec<SourceGain> {
    let count = digits.count();
    let (columns, own_bus) = (columns(crosstalk, group, count), crosstalk.on_own_bus());
    let gain = |mmu: usize| {
        let own = columns.iter().skip(mmu * count).zip(digits.weights());
        match compensation {
            None => SourceGain { mean: own.map(|(c, &w)| f64::from(w) * c.sum).sum(), variance: 0.0 },
            Some(error) => SourceGain {
                mean: 0.0,
                variance: own
                    .map(|(c, &w)| (error * f64::from(w)).powi(2) * (c.squares + own_bus.powi(2)))
                    .sum(),
            },
        }
    };
    (0..group).map(gain).collect()
}

/// A column of the matrix: what one heater does to all guides.
struct Column {
    sum: f64,
    squares: f64,
}

/// The columns of all stages; in closed form for a row of stages.
fn columns(crosstalk: &Crosstalk, group: usize, digits: usize) -> Vec<Column> {
    if crosstalk.heaters.is_some() {
        let matrix = crosstalk_matrix(crosstalk, group, digits);
        return matrix.column_iter().map(|c| Column { sum: c.sum(), squares: c.norm_squared() }).collect();
    }
    let (stages, c) = (group * digits, crosstalk.coefficient);
    let ratio = (-crosstalk.pitch / crosstalk.decay).exp();
    let (sums, squares) = (geometric(ratio, stages), geometric(ratio * ratio, stages));
    let both = |sums: &[f64], stage: usize| sums[stage] + sums[stages - 1 - stage];
    (0..stages).map(|s| Column { sum: c * both(&sums, s), squares: c * c * both(&squares, s) }).collect()
}

/// Sums over the first k neighbours on one side, ratio + ratio^2 + ... + ratio^k, for k from 0 to `n` - 1.
fn geometric(ratio: f64, n: usize) -> Vec<f64> {
    std::iter::successors(Some(0.0), |sum| Some(ratio * (1.0 + sum))).take(n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::encoding::Encoding;
    use crate::unit::parameters::OwnBus;

    #[test]
    fn gains_are_the_matrix_column_sums() {
        let crosstalk = Crosstalk {
            coefficient: 3e-4,
            decay: 80e-6,
            pitch: 30e-6,
            own_bus: OwnBus::Distance(20e-6),
            ..Crosstalk::NONE
        };
        let digits = Digits::new(33, Encoding::Centred);
        let gains = source_gains(&crosstalk, None, &digits, 4);
        let matrix = crosstalk_matrix(&crosstalk, 4, digits.count());
        for (mmu, gain) in gains.iter().enumerate() {
            let direct: f64 = (0..digits.count())
                .map(|d| f64::from(digits.weights()[d]) * matrix.column(mmu * digits.count() + d).sum())
                .sum();
            assert!((gain.mean - direct).abs() < 1e-12 && gain.variance == 0.0);
        }
        let left = source_gains(&crosstalk, Some(0.1), &digits, 4);
        for (mmu, gain) in left.iter().enumerate() {
            let direct: f64 = (0..digits.count())
                .map(|d| {
                    let own = 3e-4 * f64::exp(-0.25);
                    let column = matrix.column(mmu * digits.count() + d).norm_squared() + own * own;
                    (0.1 * f64::from(digits.weights()[d])).powi(2) * column
                })
                .sum();
            assert!((gain.variance / direct - 1.0).abs() < 1e-12 && gain.mean == 0.0);
        }
        assert!((matrix[(3, 3)], matrix[(2, 5)] == matrix[(5, 2)]) == (0.0, true));
    }
}
