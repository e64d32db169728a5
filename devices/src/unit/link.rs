//! The light outside the MMUs, the four diodes, and the noise of the pair (I, Q).

use crate::unit::mmu::Mdpu;
use crate::unit::parameters::FrontEnd;
use nalgebra::Matrix2;
use num_complex::Complex64;
use std::f64::consts::PI;

/// Elementary charge, C (exact in the SI).
pub(crate) const ELEMENTARY_CHARGE: f64 = 1.602_176_634e-19;
/// Boltzmann constant, J/K (exact in the SI).
const BOLTZMANN: f64 = 1.380_649e-23;

/// Optical power at the hybrid of one MDPU, before the MMUs' transfer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Signal arm if the MMUs were transparent, W.
    pub signal: f64,
    /// Reference arm, W.
    pub reference: f64,
}

/// Noise of one read, standard deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Additive noise of the I branch (front end and shot), A.
    pub i: f64,
    /// Additive noise of the Q branch, A.
    pub q: f64,
    /// Relative fluctuation of both, from laser intensity noise: rank one along (I, Q).
    pub relative: f64,
    /// Phase fluctuation from laser phase noise, rad: rank one across (I, Q).
    pub phase: f64,
}

impl Noise {
    /// The full covariance of (I, Q) around its mean, A^2.
    pub fn covariance(&self, i: f64, q: f64) -> Matrix2<f64> {
        let (r, p) = (self.relative.powi(2), self.phase.powi(2));
        Matrix2::new(
            self.i.powi(2) + r * i * i + p * q * q,
            (r - p) * i * q,
            (r - p) * i * q,
            self.q.powi(2) + r * q * q + p * i * i,
        )
    }
}

impl Mdpu {
    /// Distributes the light of a laser of `laser_power` watts: edge coupler, a tree of ceil(log2 N) Y-branches to N
    /// MDPUs, one more to the two arms, the arms' own losses, the hybrid.
    pub fn light(&self, laser_power: f64) -> Light {
        let link = &self.parameters().link;
        let stages = f64::from(32 - (link.units_per_laser.max(1) - 1).leading_zeros()) + 1.0;
        let common_db = link.coupler_db + stages * link.splitter_db + link.hybrid_db;
        let unit = laser_power / f64::from(link.units_per_laser) * 10f64.powf(-common_db / 10.0);
        Light {
            signal: unit * link.split * 10f64.powf(-link.signal_routing_db / 10.0),
            reference: unit * (1.0 - link.split) * 10f64.powf(-link.reference_db / 10.0),
        }
    }

    /// Currents (I, Q) of the two balanced pairs, A, and the sums of the two diode currents of each branch, for a
    /// signal field that has passed MMUs of transfer `transfer`.
    ///
    /// The hybrid's ports carry (E_s + i^k E_r)/2, k = 0..3; I is port 0 minus port 2, Q port 1 minus port 3.
    pub fn detect(&self, light: Light, transfer: Complex64) -> ([f64; 2], [f64; 2]) {
        let (link, detector) = (&self.parameters().link, &self.parameters().detector);
        let signal = transfer * light.signal.sqrt();
        let reference = Complex64::new(light.reference.sqrt(), 0.0);
        let turned = reference * Complex64::from_polar(1.0, PI / 2.0 - link.hybrid_phase_error);
        let gain = [1.0, 1.0 + link.hybrid_gain_error];
        let mut difference = [0.0; 2];
        let mut sum = [0.0; 2];
        for (branch, other) in [reference, turned].into_iter().enumerate() {
            let bright = ((signal + other) * 0.5).norm_sqr() * detector.responsivity;
            let dark = ((signal - other) * 0.5).norm_sqr() * detector.responsivity;
            difference[branch] = gain[branch] * (bright - dark);
            sum[branch] = gain[branch] * (bright + dark) + 2.0 * detector.dark_current;
        }
        (difference, sum)
    }

    /// Noise of a read whose branches carry the summed diode currents `sums`, A.
    ///
    /// A noise density passes the detector's one-pole filter with a noise bandwidth of pi/2 times its 3 dB bandwidth:
    /// shot 2 q (I+ + I-) df, Johnson 4 k T df / R, intensity RIN df, phase 2 pi linewidth x delay mismatch.
    pub fn noise(&self, sums: [f64; 2]) -> Noise {
        let (link, detector) = (&self.parameters().link, &self.parameters().detector);
        let band = 0.5 * PI * detector.bandwidth;
        let electrical = match detector.front_end {
            FrontEnd::InputNoise(rms) => rms * rms,
            FrontEnd::Resistor(ohm, kelvin) => 4.0 * BOLTZMANN * kelvin * band / ohm,
        };
        let branch = |sum: f64| (electrical + 2.0 * ELEMENTARY_CHARGE * sum * band).sqrt();
        Noise {
            i: branch(sums[0]),
            q: branch(sums[1]),
            relative: (link.rin * band).sqrt(),
            phase: (2.0 * PI * link.linewidth * link.delay_mismatch).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parameters::MdpuParameters;

    #[test]
    fn balanced_pairs_give_the_quadratures() {
        let mut p = MdpuParameters::ideal(1);
        p.detector.responsivity = 1.1;
        p.detector.dark_current = 1e-8;
        let unit = Mdpu::new(&p, 31).unwrap();
        let light = Light { signal: 2e-4, reference: 5e-4 };
        let ([i, q], sums) = unit.detect(light, Complex64::from_polar(0.5, 0.7));
        let amplitude = 1.1 * (0.25 * 2e-4f64 * 5e-4).sqrt();
        assert!((i - amplitude * 0.7f64.cos()).abs() < 1e-15 && (q - amplitude * 0.7f64.sin()).abs() < 1e-15);
        for sum in sums {
            assert!((sum - (1.1 * 0.5 * (0.25 * 2e-4 + 5e-4) + 2e-8)).abs() < 1e-15);
        }
    }

    #[test]
    fn light_is_shared_and_lost_by_the_stated_decibels() {
        let mut p = MdpuParameters::ideal(1);
        (p.link.units_per_laser, p.link.coupler_db, p.link.splitter_db) = (32, 0.2, 0.1);
        (p.link.split, p.link.reference_db) = (0.7, 3.0);
        let light = Mdpu::new(&p, 31).unwrap().light(32e-3);
        let unit = 1e-3 * 10f64.powf(-0.08);
        assert!((light.signal / (0.7 * unit) - 1.0).abs() < 1e-12);
        assert!((light.reference / (0.3 * unit * 10f64.powf(-0.3)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn noise_bandwidth_is_that_of_one_pole() {
        let mut p = MdpuParameters::ideal(1);
        p.detector.bandwidth = 2e9;
        p.detector.front_end = FrontEnd::Resistor(50.0, 300.0);
        let unit = Mdpu::new(&p, 31).unwrap();
        // Integrate the one-pole response 1/(1 + (f/B)^2) numerically up to 2,000 B.
        let (mut band, steps) = (0.0, 2_000_000);
        for k in 0..steps {
            let f = (k as f64 + 0.5) * 2e9 * 2000.0 / steps as f64;
            band += 2e9 * 2000.0 / steps as f64 / (1.0 + (f / 2e9).powi(2));
        }
        let current = 1e-3;
        let expected = (4.0 * 1.380649e-23 * 300.0 / 50.0 + 2.0 * 1.602176634e-19 * current) * band;
        let noise = unit.noise([current, current]);
        assert!((noise.i.powi(2) / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn covariance_has_intensity_along_and_phase_across() {
        let noise = Noise { i: 0.0, q: 0.0, relative: 0.01, phase: 0.02 };
        let (i, q) = (3.0f64, 4.0f64);
        let c = noise.covariance(i, q);
        let (along, across) = (nalgebra::Vector2::new(0.6, 0.8), nalgebra::Vector2::new(-0.8, 0.6));
        assert!(((along.transpose() * c * along)[0] - (0.01f64 * 5.0).powi(2)).abs() < 1e-12);
        assert!(((across.transpose() * c * across)[0] - (0.02f64 * 5.0).powi(2)).abs() < 1e-12);
        assert!((along.transpose() * c * across)[0].abs() < 1e-12);
    }
}
