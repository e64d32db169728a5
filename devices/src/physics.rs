//! Constants of nature (SI, exact since 2019; CODATA) and decibels.

/// Speed of light in vacuum, m/s.
pub const LIGHT_SPEED: f64 = 299_792_458.0;
/// Charge of an electron, C.
pub const ELEMENTARY_CHARGE: f64 = 1.602_176_634e-19;
/// Boltzmann's constant, J/K.
pub(crate) const BOLTZMANN: f64 = 1.380_649e-23;
/// Planck's constant, J s.
pub(crate) const PLANCK: f64 = 6.626_070_15e-34;

/// Share of the power that a loss of `db` dB leaves.
pub(crate) fn power_left(db: f64) -> f64 {
    10f64.powf(-db / 10.0)
}

/// Share of the field's amplitude that a loss of `db` dB leaves.
pub(crate) fn amplitude_left(db: f64) -> f64 {
    10f64.powf(-db / 20.0)
}
