//! Temperature of the whole chip, and what the ring switches' locks leave.

use crate::physics::{LIGHT_SPEED, power_left};
use std::f64::consts::PI;

/// Phase of signal against reference per kelvin of the whole chip, rad/K.
///
/// Common mode cancels; what counts is the imbalance dL = c `delay_mismatch` / `group_index` of the two paths, which turns by
/// (2 pi/`wavelength`) `thermo_optic` dL for each kelvin. `thermo_optic` is dn_eff/dT, 1/K.
pub fn phase_per_kelvin(delay_mismatch: f64, group_index: f64, thermo_optic: f64, wavelength: f64) -> f64 {
    let imbalance = LIGHT_SPEED * delay_mismatch / group_index;
    2.0 * PI / wavelength * thermo_optic * imbalance
}

/// What the lock of a ring switch leaves: a detuning of standard deviation `detuning`, in half-linewidths.
///
/// Near resonance a ring with x = 2 detuning/linewidth drops the field 1/(1 - i x) and lets -i x/(1 - i x) pass (add-drop
/// ring, Bogaerts et al. 2012, with the wrong path dark at x = 0). To lowest order a lock that leaves x rms leaks x^2 of the
/// power, loses x^2 of it from the right path, and turns the dropped field by x. The turn is first order: it is what hurts.
/// Rings that pass the light are far from resonance and change in second order only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RingLock {
    /// Standard deviation of the detuning over half the linewidth (full width at half maximum).
    pub detuning: f64,
}

impl RingLock {
    /// Extinction, dB, of one ring whose extinction at perfect lock is `extinction_db`: the powers that leak add in the mean.
    pub fn extinction_db(&self, extinction_db: f64) -> f64 {
        -10.0 * (power_left(extinction_db) + self.detuning.powi(2)).log10()
    }

    /// Mean loss that the detuning adds to a dropping ring, dB.
    pub fn drop_loss_db(&self) -> f64 {
        10.0 * self.detuning.powi(2).ln_1p() / std::f64::consts::LN_10
    }

    /// Phase variance of one detour, which two rings drop light into and out of, rad^2.
    pub fn detour_variance(&self) -> f64 {
        2.0 * self.detuning.powi(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_complex::Complex64;

    #[test]
    fn drift_of_an_imbalance_is_the_phase_of_its_length() {
        // 2 ps in a guide of group index 4.19: 143.1 um; 1.87e-4 /K at 1.55 um turn it by 0.1085 rad/K.
        let found = phase_per_kelvin(2e-12, 4.19, 1.87e-4, 1.55e-6);
        let length = 143.099e-6;
        assert!((found - 2.0 * PI * 1.87e-4 * length / 1.55e-6).abs() < 1e-6, "{found}");
        assert_eq!(phase_per_kelvin(0.0, 4.19, 1.87e-4, 1.55e-6), 0.0, "common mode cancels");
    }

    #[test]
    fn lock_residues_are_the_rings_response_near_resonance() {
        let x = 0.02;
        let drop = Complex64::ONE / Complex64::new(1.0, -x);
        let pass = drop * Complex64::new(0.0, -x);
        let lock = RingLock { detuning: x };
        assert!((drop.norm_sqr() + pass.norm_sqr() - 1.0).abs() < 1e-15, "nothing is lost");
        let leak = power_left(lock.extinction_db(f64::INFINITY));
        assert!((leak / pass.norm_sqr() - 1.0).abs() < 1e-3);
        assert!((lock.drop_loss_db() / (-10.0 * drop.norm_sqr().log10()) - 1.0).abs() < 1e-9);
        assert!((lock.detour_variance() / (2.0 * drop.arg().powi(2)) - 1.0).abs() < 1e-3);
        assert!((RingLock { detuning: 0.0 }.extinction_db(28.5) - 28.5).abs() < 1e-12);
    }
}
