//! The light outside the MMUs, the four diodes, and the noise of the pair (I, Q).

use crate::noise::{Filter, NoiseSource, SpectralDensity, jitter_variance, phase_difference_variance};
use crate::physics::power_left;
use crate::unit::mmu::Mdpu;
use crate::unit::parameters::FrontEnd;
use nalgebra::Matrix2;
use num_complex::Complex64;
use std::f64::consts::PI;

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
    /// Phase fluctuation from laser phase noise behind the detector's filter, rad: rank one across (I, Q).
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
        let unit = laser_power / f64::from(link.units_per_laser) * power_left(common_db);
        Light {
            signal: unit * link.split * power_left(link.signal_routing_db),
            reference: unit * (1.0 - link.split) * power_left(link.reference_db),
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
        let turned = reference * self.quarter;
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

    /// Noise of a read whose branches carry the summed diode currents `sums`, A: the densities of [`crate::noise`]
    /// behind the detector's one-pole filter. What the converters add is not in it.
    pub fn noise(&self, sums: [f64; 2]) -> Noise {
        let (link, detector) = (&self.parameters().link, &self.parameters().detector);
        let filter = self.detector_filter();
        let branch = |sum| (self.front_end() + SpectralDensity::shot(sum)).variance(&filter).sqrt();
        Noise {
            i: branch(sums[0]),
            q: branch(sums[1]),
            relative: SpectralDensity::new(link.rin).variance(&filter).sqrt(),
            phase: phase_difference_variance(link.linewidth, link.delay_mismatch, detector.bandwidth).sqrt(),
        }
    }

    /// The filter of diode and amplifier.
    pub fn detector_filter(&self) -> Filter {
        Filter::one_pole(self.parameters().detector.bandwidth)
    }

    fn front_end(&self) -> SpectralDensity {
        match self.parameters().detector.front_end {
            FrontEnd::InputNoise(rms) => SpectralDensity::from_rms(rms, &self.detector_filter()),
            FrontEnd::Resistor(ohm, kelvin) => SpectralDensity::johnson(ohm, kelvin),
        }
    }

    /// What each source adds to I and to Q, variances in A^2, for a symbol of amplitude `amplitude` A whose branches carry
    /// the summed diode currents `sums` A and whose ADCs have an LSB of `lsb` A.
    pub fn additive_noise(&self, sums: [f64; 2], amplitude: f64, lsb: f64) -> [(NoiseSource, [f64; 2]); 4] {
        let filter = self.detector_filter();
        let adc = (self.parameters().noise.adc * lsb).powi(2);
        [
            (NoiseSource::Shot, sums.map(|sum| SpectralDensity::shot(sum).variance(&filter))),
            (NoiseSource::FrontEnd, [self.front_end().variance(&filter); 2]),
            (NoiseSource::Adc, [adc; 2]),
            (NoiseSource::Jitter, [self.jitter(amplitude); 2]),
        ]
    }

    /// Variance of either branch from the sampling clock's jitter, A^2, for symbols of amplitude `amplitude` A.
    ///
    /// A one-pole front end has approached the symbol from the one before it by the time of the sample, and its slope is
    /// w e^{-w t} times the step. For independent symbols the step's mean square is twice amplitude^2, half in I.
    fn jitter(&self, amplitude: f64) -> f64 {
        let noise = &self.parameters().noise;
        if noise.jitter == 0.0 {
            return 0.0;
        }
        let rate = 2.0 * PI * self.parameters().detector.bandwidth;
        let slope = amplitude * rate * (-rate * noise.sampling_time).exp();
        jitter_variance(slope * slope, noise.jitter)
    }

    /// Variance, rad^2, of an MMU's phase from its DAC's voltage noise, for stationary residue `w` and streamed residue
    /// `x`: the level's noise is multiplied by the streamed value, (2 pi/m) x dlevel. Noise slower than a read and faster
    /// than a repeat of it counts in full; what is slower than a recalibration (1/f) is left out.
    pub fn dac_phase_variance(&self, w: usize, x: usize) -> f64 {
        let noise = &self.parameters().noise;
        let voltage = SpectralDensity::new(noise.dac_density.powi(2));
        let variance = voltage.variance(&Filter::one_pole(noise.dac_bandwidth));
        let gain = 2.0 * PI / f64::from(self.modulus()) * f64::from(self.digits().value(x));
        variance * (gain * self.drive().levels_per_volt[w]).powi(2)
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
    fn noise_of_the_dacs_is_amplified_by_the_streamed_residue() {
        use crate::numerics::normal_tail;
        use crate::unit::rates::{Quantisation, rates};
        use crate::unit::{operands::Operands, population::Population};
        // (A large modulus, for which the sine of half a sector is the angle.)
        let (m, x, group) = (128u32, 9usize, 16);
        let mut p = MdpuParameters::ideal(group);
        let half = PI / f64::from(m);
        for depth in [3.0, 5.5] {
            // Levels per volt of a straight curve: m L / (2 V_pi L).
            let slope = f64::from(m) * p.shifters.unit_length / (2.0 * p.shifters.vpi_length);
            let each = half / depth / 2f64.sqrt(); // of the DACs, and as much of the front end
            p.detector.front_end = FrontEnd::InputNoise(0.5 * each);
            let volts = each / (2.0 * PI / f64::from(m) * x as f64 * slope * (group as f64).sqrt());
            p.noise.dac_density = volts / (0.5 * PI * p.noise.dac_bandwidth).sqrt();
            let unit = Mdpu::new(&p, m).unwrap();
            let mut streaming = vec![0.0; m as usize];
            streaming[x] = 1.0;
            let operands = Operands::new("one", m, vec![1.0 / f64::from(m); m as usize], streaming).unwrap();
            let ours = rates(&unit, &Population::new(&unit, &operands), 1.0, Quantisation::Cells);
            let exact = 2.0 * normal_tail(depth);
            assert!((ours.error_rate / exact - 1.0).abs() < 0.02, "{depth}: {} {exact}", ours.error_rate);
            assert!((ours.again[0] / exact - 1.0).abs() < 0.05, "fresh for each read: {:?}", ours.again);
        }
    }

    #[test]
    fn jitter_moves_only_what_has_not_settled() {
        let mut p = MdpuParameters::ideal(1);
        (p.detector.bandwidth, p.noise.jitter) = (10e9, 1e-13);
        assert_eq!(Mdpu::new(&p, 31).unwrap().jitter(1.0), 0.0);
        p.noise.sampling_time = 20e-12;
        // The mean square step between independent phases is 2: half of it in each quadrature. By sampling the exponential.
        let settle = |t: f64| 1.0 - (-2.0 * PI * 10e9 * t).exp();
        let moved = (settle(20.01e-12) - settle(20e-12)) * 10.0;
        let found = Mdpu::new(&p, 31).unwrap().jitter(1.0).sqrt();
        assert!((found / moved - 1.0).abs() < 1e-3, "{found} {moved}");
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
