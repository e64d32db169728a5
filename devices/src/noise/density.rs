//! White densities, filters, and the variance that is left after them.

use crate::physics::{BOLTZMANN, ELEMENTARY_CHARGE};
use std::f64::consts::PI;

/// A white, one-sided power spectral density: A^2/Hz for currents, V^2/Hz for voltages, 1/Hz for relative intensity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpectralDensity(f64);

impl SpectralDensity {
    /// A density given as a number.
    pub const fn new(value: f64) -> Self {
        SpectralDensity(value)
    }

    /// Shot noise 2 q I of a current, A^2/Hz (Schottky 1918).
    pub fn shot(current: f64) -> Self {
        SpectralDensity(2.0 * ELEMENTARY_CHARGE * current)
    }

    /// Johnson noise 4 k T / R of a load's current, A^2/Hz (Nyquist 1928, eq. 1 as a current).
    pub fn johnson(ohm: f64, kelvin: f64) -> Self {
        SpectralDensity(4.0 * BOLTZMANN * kelvin / ohm)
    }

    /// The density that gives an rms of `rms` behind `filter`: how amplifiers are specified.
    pub fn from_rms(rms: f64, filter: &Filter) -> Self {
        SpectralDensity(rms * rms / filter.noise_bandwidth())
    }

    /// The number, units squared per hertz.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Variance behind `filter`: the density times the filter's noise bandwidth.
    pub fn variance(self, filter: &Filter) -> f64 {
        self.0 * filter.noise_bandwidth()
    }
}

impl std::ops::Add for SpectralDensity {
    type Output = Self;

    /// Densities of independent sources add.
    fn add(self, other: Self) -> Self {
        SpectralDensity(self.0 + other.0)
    }
}

/// A low-pass filter of unit gain at zero frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filter {
    /// Equal real poles in cascade.
    Poles {
        /// 3 dB bandwidth of the whole, Hz.
        bandwidth: f64,
        /// Number of poles, at least 1.
        count: u32,
    },
    /// Any filter of which only the noise bandwidth is known, Hz.
    NoiseBandwidth(f64),
}

impl Filter {
    /// One pole with a 3 dB bandwidth of `bandwidth` Hz.
    pub const fn one_pole(bandwidth: f64) -> Self {
        Filter::Poles { bandwidth, count: 1 }
    }

    /// Integral of |H(f)|^2 over positive frequencies, Hz.
    ///
    /// One pole: pi/2 times the 3 dB bandwidth. n equal poles at f_p have |H|^2 = (1 + (f/f_p)^2)^-n, with the 3 dB
    /// bandwidth f_p sqrt(2^(1/n) - 1) and the integral f_p (pi/2) prod_{k<n} (2k - 1)/(2k) (Wallis).
    pub fn noise_bandwidth(&self) -> f64 {
        match *self {
            Filter::Poles { bandwidth, count } => {
                let wallis: f64 = (1..count).map(|k| f64::from(2 * k - 1) / f64::from(2 * k)).product();
                0.5 * PI * wallis * pole_frequency(bandwidth, count)
            }
            Filter::NoiseBandwidth(hertz) => hertz,
        }
    }
}

/// Frequency of each of `count` equal poles whose cascade has a 3 dB bandwidth of `bandwidth`, Hz.
pub(super) fn pole_frequency(bandwidth: f64, count: u32) -> f64 {
    bandwidth / (2f64.powf(1.0 / f64::from(count.max(1))) - 1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_bandwidth_is_the_integral_of_the_response() {
        for count in 1..=5u32 {
            let bandwidth = 3e9;
            let corner = bandwidth / (2f64.powf(1.0 / f64::from(count)) - 1.0).sqrt();
            let response = |f: f64| (1.0 + (f / corner).powi(2)).powi(-(count as i32));
            assert!((response(bandwidth) - 0.5).abs() < 1e-12, "3 dB at the bandwidth");
            // f = corner tan(u) makes the integrand finite on [0, pi/2).
            let steps = 100_000;
            let h = 0.5 * PI / steps as f64;
            let sum: f64 = (0..steps).map(|k| ((k as f64 + 0.5) * h).cos().powi(2 * count as i32 - 2)).sum();
            let found = Filter::Poles { bandwidth, count }.noise_bandwidth();
            assert!((found / (corner * sum * h) - 1.0).abs() < 1e-8, "{count}");
        }
        assert_eq!(Filter::NoiseBandwidth(2.0).noise_bandwidth(), 2.0);
    }

    #[test]
    fn densities_are_the_textbook_numbers() {
        // 50 ohm at 290 K: kT = -174 dBm/Hz is the available power, (4 k T R) / (4 R).
        let voltage = SpectralDensity::johnson(50.0, 290.0).value() * 50.0 * 50.0;
        assert!((10.0 * (voltage / 200.0 / 1e-3).log10() + 173.975).abs() < 0.01);
        // 1 mA of shot noise: 17.9 pA/sqrt(Hz).
        assert!((SpectralDensity::shot(1e-3).value().sqrt() / 17.9e-12 - 1.0).abs() < 1e-3);
        let filter = Filter::one_pole(10e9);
        let back = SpectralDensity::from_rms(1.128e-6, &filter).variance(&filter).sqrt();
        assert!((back / 1.128e-6 - 1.0).abs() < 1e-14);
        let sum = SpectralDensity::new(1.0) + SpectralDensity::new(2.0);
        assert_eq!(sum.variance(&Filter::NoiseBandwidth(4.0)), 12.0);
    }
}
