//! How far a read is from the quantum limit of telling m phases apart.
//!
//! An ideal phase-diversity receiver splits the signal to two balanced pairs with a strong reference and has no noise but the
//! shot noise of the reference. With R = eta q / (h nu), a noise bandwidth of 1/(2 T) (a matched filter over the symbol time T)
//! and signal power P each quadrature has amplitude^2 / (2 variance) = R P T / q = eta N, the number of detected photons:
//! twice as many are needed as by homodyne detection of one quadrature (Kikuchi, "Fundamentals of Coherent Optical Fiber
//! Communications", J. Lightwave Technol. 34 (2016) 157). The error rate of m phases at that ratio is that of m-ary phase-shift
//! keying (Proakis, "Digital Communications", 4th ed., section 5.2-7; Craig's form, see [`crate::numerics::PhaseTail`]).

use crate::characterise::bench::Bench;
use crate::characterise::sweep::SweepSetting;
use crate::error::DeviceError;
use crate::numerics::PhaseTail;
use crate::physics::{ELEMENTARY_CHARGE, LIGHT_SPEED, PLANCK};
use crate::unit::mmu::Mdpu;
use crate::unit::parameters::FrontEnd;
use crate::unit::rates::Operating;
use serde::Serialize;
use std::f64::consts::PI;

/// What turns powers into photons of a read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Symbol {
    /// Wavelength in vacuum, m.
    pub wavelength: f64,
    /// Reads per second.
    pub clock: f64,
}

/// One line of `limit.csv`: a step from the quantum limit to the design.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitRow {
    /// The modulus.
    pub modulus: u32,
    /// What this step adds.
    pub step: &'static str,
    /// Photons that it costs, dB; the first line is the limit itself.
    pub cost_db: f64,
    /// Signal photons per read at the detectors with all steps up to this one (mean over the operands); in the last line,
    /// photons per read and MDPU that leave the laser.
    pub photons: f64,
}

/// Signal photons per read at which an ideal phase-diversity receiver misreads one of `modulus` phases with probability
/// `error_rate`; none for rates that need no light or cannot be had.
pub fn quantum_limit(modulus: u32, error_rate: f64) -> Option<f64> {
    let tail = PhaseTail::default();
    let half = PI / f64::from(modulus.max(2));
    let rate = |snr: f64| 2.0 * tail.beyond(snr, half);
    if !(error_rate > 0.0 && error_rate < rate(0.0)) {
        return None;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while rate(high) > error_rate {
        (low, high) = (high, 2.0 * high);
        if high > 1e9 {
            return None;
        }
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if rate(middle) > error_rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(0.5 * high * high)
}

/// The steps from the quantum limit at the design's own error rate to the light that the design uses, for every modulus.
///
/// # Errors
/// As [`Bench::new`], a wavelength or clock that is not positive, and an error rate below what can be resolved.
pub fn photon_limit(setting: &SweepSetting, symbol: Symbol) -> Result<Vec<LimitRow>, DeviceError> {
    if !(symbol.wavelength > 0.0
        && symbol.wavelength.is_finite()
        && symbol.clock > 0.0
        && symbol.clock.is_finite())
    {
        let problem =
            format!("a wavelength of {} m and {} reads per second", symbol.wavelength, symbol.clock);
        return Err(DeviceError::Question(problem));
    }
    let bench = Bench::new(setting.parameters, setting.moduli, setting.operands)?;
    let rates = bench.rates(setting.laser_power);
    let mut rows = Vec::new();
    for ((unit, population), rates) in bench.units().iter().zip(rates) {
        let Some(least) = quantum_limit(rates.modulus, rates.error_rate) else {
            let problem = format!(
                "modulus {}: at this laser power the error rate is {:e}, for which there is no least number of photons",
                rates.modulus, rates.error_rate
            );
            return Err(DeviceError::Question(problem));
        };
        let moments = population.moments();
        let ladder = Ladder::new(
            unit,
            setting,
            symbol,
            (0.5 * moments.mean_power.ln(), moments.largest_log_amplitude),
        )?;
        rows.extend(ladder.rows(rates.modulus, least, setting.laser_power));
    }
    Ok(rows)
}

/// Amplitude^2 / (2 variance) of a quadrature, with one imperfection of the receiver after the other.
struct Ladder {
    photons: f64,
    steps: [(&'static str, f64); 6],
    photons_per_watt: f64,
    units_per_laser: f64,
}

impl Ladder {
    fn new(
        unit: &Mdpu,
        setting: &SweepSetting,
        symbol: Symbol,
        (mean, largest): (f64, f64),
    ) -> Result<Self, DeviceError> {
        let photon = PLANCK * LIGHT_SPEED / symbol.wavelength;
        let photons_per_watt = 1.0 / (photon * symbol.clock);
        let p = unit.parameters();
        // With shot noise alone, and with the amplifier's too.
        let mut amplified = p.clone();
        (amplified.noise.adc, amplified.noise.jitter) = (0.0, 0.0);
        let mut silent = amplified.clone();
        silent.detector.front_end = FrontEnd::InputNoise(0.0);
        let (amplified, silent) =
            (Mdpu::new(&amplified, unit.modulus())?, Mdpu::new(&silent, unit.modulus())?);
        let ratio = |unit: &Mdpu, cells: bool| {
            let operating = Operating::new(unit, largest, setting.laser_power);
            let point = operating.point(mean, 0.0);
            let cells = if cells { operating.readout.lsb().powi(2) / 12.0 } else { 0.0 };
            let variance = 0.5 * (point.sigma_i.powi(2) + point.sigma_q.powi(2)) + cells;
            (point.i.powi(2) + point.q.powi(2)) / (2.0 * variance)
        };
        let signal = unit.light(setting.laser_power).signal * (2.0 * mean).exp();
        let photons = signal * photons_per_watt;
        let detected = photons * p.detector.responsivity * photon / ELEMENTARY_CHARGE;
        let band = 0.5 * PI * p.detector.bandwidth;
        let steps = [
            ("quantum efficiency", detected),
            ("noise bandwidth of the receiver", detected * symbol.clock / (2.0 * band)),
            ("shot noise of signal and dark current", ratio(&silent, false)),
            ("amplifier noise", ratio(&amplified, false)),
            ("ADC noise and clock jitter", ratio(unit, false)),
            ("quantisation", ratio(unit, true)),
        ];
        let units_per_laser = f64::from(p.link.units_per_laser.max(1));
        Ok(Ladder { photons, steps, photons_per_watt, units_per_laser })
    }

    fn rows(&self, modulus: u32, least: f64, laser_power: f64) -> Vec<LimitRow> {
        let mut photons = least;
        let mut rows = vec![LimitRow { modulus, step: "quantum limit", cost_db: 0.0, photons }];
        let mut add = |step: &'static str, factor: f64| {
            photons *= factor;
            rows.push(LimitRow { modulus, step, cost_db: 10.0 * factor.log10(), photons });
        };
        let mut before = self.photons;
        for (step, ratio) in self.steps {
            add(step, before / ratio);
            before = ratio;
        }
        // What is left of the light, beyond what the receiver's noise alone would need.
        add("static errors, noise of laser and DACs, uneven loss of operands", before / least);
        let emitted = laser_power / self.units_per_laser * self.photons_per_watt;
        add("loss from the laser to the detectors, and the reference", emitted / self.photons);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::MdpuParameters;

    const SYMBOL: Symbol = Symbol { wavelength: 1.55e-6, clock: 10e9 };

    #[test]
    fn four_phases_need_the_textbook_number_of_photons() {
        // Quadrature phase-shift keying: each of two bits fails with erfc(sqrt(N/2))/2, the symbol with 2 q - q^2.
        for target in [1e-3, 1e-6, 1e-9] {
            let photons = quantum_limit(4, target).unwrap();
            let q = 0.5 * libm::erfc((photons / 2.0).sqrt());
            assert!(((2.0 * q - q * q) / target - 1.0).abs() < 1e-6, "{target}: {photons}");
        }
        assert_eq!(quantum_limit(32, 0.0), None);
        assert_eq!(quantum_limit(32, 1.0), None);
    }

    /// A strong reference, a quantum efficiency of one, a matched bandwidth and no other noise.
    fn ideal() -> MdpuParameters {
        let mut p = MdpuParameters::ideal(16);
        p.link.split = 1e-5;
        p.detector.responsivity = ELEMENTARY_CHARGE * SYMBOL.wavelength / (PLANCK * LIGHT_SPEED);
        p.detector.bandwidth = SYMBOL.clock / PI; // noise bandwidth of half the clock
        p
    }

    #[test]
    fn an_ideal_receiver_stands_at_the_limit() {
        let operands = [Operands::uniform(32)];
        let p = ideal();
        let wanted = quantum_limit(32, 1e-8).unwrap();
        let power = wanted * PLANCK * LIGHT_SPEED / SYMBOL.wavelength * SYMBOL.clock / 1e-5;
        let setting = SweepSetting {
            parameters: &p,
            laser_power: power,
            max_laser_power: 10.0 * power,
            target: 1e-8,
            moduli: &[32],
            operands: &operands,
            seed: 1,
        };
        let rows = photon_limit(&setting, SYMBOL).unwrap();
        let above: f64 = rows[..rows.len() - 1].iter().map(|row| row.cost_db).sum();
        assert!(above.abs() < 0.01, "{above} dB above: {rows:?}");
        assert!((rows[0].photons / wanted - 1.0).abs() < 0.01);
    }

    #[test]
    fn each_step_costs_what_it_should() {
        let operands = [Operands::uniform(32)];
        let mut p = ideal();
        p.link.split = 0.5;
        p.detector.responsivity *= 0.5;
        p.detector.bandwidth *= 4.0;
        let setting = SweepSetting {
            parameters: &p,
            laser_power: 20e-6,
            max_laser_power: 1.0,
            target: 1e-8,
            moduli: &[32],
            operands: &operands,
            seed: 1,
        };
        let rows = photon_limit(&setting, SYMBOL).unwrap();
        let cost = |step: &str| rows.iter().find(|row| row.step.starts_with(step)).unwrap().cost_db;
        assert!((cost("quantum efficiency") - 3.0103).abs() < 1e-3);
        assert!((cost("noise bandwidth") - 6.0206).abs() < 1e-3);
        // As much signal as reference: its shot noise doubles the variance.
        assert!((cost("shot noise") - 3.0103).abs() < 1e-3);
        assert!(cost("amplifier").abs() < 1e-9 && cost("static errors").abs() < 0.02, "{rows:?}");
        assert!(cost("ADC noise").abs() < 1e-9);
        // Half an LSB of an 8-bit ADC, whose full scale is the amplitude A: (1/256)^2 A^2 of variance beside the shot noise
        // of A^2 / (2 photons), two of which the noises before have made of each detected one.
        let mut quantised = p.clone();
        (quantised.adc.bits, quantised.noise.adc) = (Some(8), 0.5);
        let noisy = photon_limit(&SweepSetting { parameters: &quantised, ..setting }, SYMBOL).unwrap();
        let cost = |step: &str| noisy.iter().find(|row| row.step.starts_with(step)).unwrap().cost_db;
        let detected = 10e-6 * SYMBOL.wavelength / (PLANCK * LIGHT_SPEED * SYMBOL.clock) * 0.5;
        let ratio = detected / (4.0 * 2.0);
        let adc = 10.0 * (1.0 + 2.0 * ratio * (0.5f64 * 2.0 / 256.0).powi(2)).log10();
        assert!((cost("shot noise") - 3.0103).abs() < 1e-3, "not booked here");
        assert!((cost("ADC noise") / adc - 1.0).abs() < 0.02, "{} {adc}", cost("ADC noise"));
        let photons = rows[rows.len() - 2].photons;
        let expected = 10e-6 * SYMBOL.wavelength / (PLANCK * LIGHT_SPEED * SYMBOL.clock);
        assert!((photons / expected - 1.0).abs() < 1e-9, "{photons} {expected}");
    }
}
