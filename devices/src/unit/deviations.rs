//! Phase deviations of one MMU from its complex fields.

use crate::unit::mmu::{Mdpu, MmuErrors};
use crate::unit::operands::Operands;
use num_complex::Complex64;
use std::f64::consts::PI;

/// Phase deviation and log-amplitude of one MMU for every pair (index `w * m + x`), the mean deviation over the
/// operands taken out, as the calibrated read-out does.
pub(crate) fn deviations(unit: &Mdpu, errors: &MmuErrors, operands: &Operands) -> Vec<(f64, f64)> {
    let m = unit.modulus() as usize;
    let roots: Vec<Complex64> =
        (0..m).map(|t| Complex64::from_polar(1.0, -2.0 * PI * t as f64 / m as f64)).collect();
    let mut mean = Complex64::ZERO;
    let phasors: Vec<Complex64> = unit
        .transfers(errors)
        .into_iter()
        .enumerate()
        .map(|(at, field)| {
            let (w, x) = (at / m, at % m);
            let phasor = field * roots[w * x % m];
            mean += phasor / phasor.norm() * operands.stationary()[w] * operands.streaming()[x];
            phasor
        })
        .collect();
    // First turn by the circular mean, so that no deviation wraps, then take out the arithmetic mean.
    let turn = if mean.norm() > 1e-9 { (mean / mean.norm()).conj() } else { Complex64::new(1.0, 0.0) };
    let mut table: Vec<(f64, f64)> = phasors
        .into_iter()
        .map(|phasor| ((phasor * turn).arg(), 0.5 * libm::log(phasor.norm_sqr())))
        .collect();
    let rest: f64 = table
        .iter()
        .enumerate()
        .map(|(at, (deviation, _))| deviation * operands.stationary()[at / m] * operands.streaming()[at % m])
        .sum();
    table.iter_mut().for_each(|entry| entry.0 -= rest);
    table
}
