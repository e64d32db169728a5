//! The units of all moduli side by side: what is characterised, solved for and swept.

use crate::error::DeviceError;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::parameters::MdpuParameters;
use crate::unit::population::Population;
use crate::unit::rates::{Quantisation, Rates, detector_snr, quick_rate, rates};
use rayon::prelude::*;

pub(crate) use crate::watch::Watch;

/// Relative accuracy to which a required laser power meets the target error rate.
const ACCURACY: f64 = 2e-3;

/// Units of several moduli with the distributions of their deviations; computed once, valid at any laser power.
#[derive(Debug, Clone)]
pub struct Bench {
    units: Vec<(Mdpu, Population)>,
}

/// The laser power that a target needs, or the floor that no power gets under.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RequiredPower {
    /// Power of one laser, W.
    Power(f64),
    /// The error rate that remains at the largest power.
    Floor(f64),
}

impl Bench {
    /// Builds the units: one for each entry of `operands`, whose order gives the moduli.
    ///
    /// # Errors
    /// As [`Mdpu::new`].
    pub fn new(
        parameters: &MdpuParameters,
        moduli: &[u32],
        operands: &[Operands],
    ) -> Result<Self, DeviceError> {
        if moduli.len() != operands.len() {
            return Err(DeviceError::Operands {
                name: operands.first().map_or("(none)", |o| o.name()).to_string(),
                modulus: moduli.first().copied().unwrap_or(0),
                problem: format!("{} distributions for {} moduli", operands.len(), moduli.len()),
            });
        }
        let build = |(&modulus, operands): (&u32, &Operands)| {
            if operands.stationary().len() != modulus as usize {
                let (name, problem) = (operands.name().to_string(), "made for another modulus".to_string());
                return Err(DeviceError::Operands { name, modulus, problem });
            }
            if operands.groups().first().is_some_and(|(w, _)| w.len() != parameters.group) {
                let problem = format!("groups of another size than the unit's {}", parameters.group);
                return Err(DeviceError::Operands { name: operands.name().to_string(), modulus, problem });
            }
            let unit = Mdpu::new(parameters, modulus)?;
            let population = Population::new(&unit, operands);
            Ok((unit, population))
        };
        let units: Result<Vec<_>, _> = moduli.par_iter().zip(operands).map(build).collect();
        Ok(Bench { units: units? })
    }

    /// The same populations with another receiver, distribution and converters, where `parameters` change nothing that the
    /// populations rest on; none where they do.
    pub(crate) fn with_receiver(&self, parameters: &MdpuParameters) -> Option<Result<Bench, DeviceError>> {
        let same = |(unit, _): &(Mdpu, Population)| unit.same_population(parameters);
        if !self.units.iter().all(same) {
            return None;
        }
        let build = |(unit, population): &(Mdpu, Population)| {
            Ok((Mdpu::new(parameters, unit.modulus())?, population.clone()))
        };
        Some(self.units.iter().map(build).collect::<Result<_, _>>().map(|units| Bench { units }))
    }

    /// The units and their populations, in the order of the moduli.
    pub fn units(&self) -> &[(Mdpu, Population)] {
        &self.units
    }

    /// Error rates of all moduli at a laser power.
    pub fn rates(&self, laser_power: f64) -> Vec<Rates> {
        self.units
            .par_iter()
            .map(|(unit, population)| rates(unit, population, laser_power, Quantisation::Cells))
            .collect()
    }

    /// The worst modulus' error rate; moduli that are far better with quantisation as noise are not looked at again.
    pub(crate) fn worst(&self, laser_power: f64) -> f64 {
        let quick = self.quick_rates(laser_power);
        let largest = largest_rate(quick.iter().copied());
        let close = self.units.par_iter().zip(quick).filter(|(_, rate)| *rate >= 0.05 * largest);
        let exact = |((unit, population), _): (&(Mdpu, Population), f64)| {
            rates(unit, population, laser_power, Quantisation::Cells).error_rate
        };
        largest_rate(close.map(exact).collect::<Vec<_>>())
    }

    fn slope(&self, power: f64) -> f64 {
        ((self.quick(power * 1.01) / self.quick(power / 1.01)).ln() / (2.0 * 1.01f64.ln())).min(-0.1)
    }

    /// As [`Bench::required_power`], with as few corrections of the quick answer as bring it within about 1 %.
    pub fn estimated_power(&self, target: f64, max_power: f64) -> RequiredPower {
        let power = match self.quick_power(target, max_power) {
            RequiredPower::Power(power) => power,
            // Quantisation as noise overrates a floor a little; only a near one is looked at again.
            RequiredPower::Floor(floor) if floor > 30.0 * target => return RequiredPower::Floor(floor),
            RequiredPower::Floor(_) => return self.required_power(target, max_power),
        };
        let mut corrected = power;
        for _ in 0..3 {
            let excess = (self.worst(corrected) / target).ln();
            if !(excess.abs() < 2.0 && corrected < max_power) {
                return self.required_power(target, max_power);
            }
            corrected *= (-excess / self.slope(corrected)).exp();
            if excess.abs() < 0.15 {
                break;
            }
        }
        if corrected <= max_power {
            RequiredPower::Power(corrected)
        } else {
            self.required_power(target, max_power)
        }
    }

    /// The worst modulus' error rate with quantisation as noise: good enough to compare powers.
    pub(crate) fn quick(&self, laser_power: f64) -> f64 {
        largest_rate(self.quick_rates(laser_power))
    }

    /// Error rates of all moduli with quantisation as noise.
    pub(crate) fn quick_rates(&self, laser_power: f64) -> Vec<f64> {
        self.units.iter().map(|(unit, population)| quick_rate(unit, population, laser_power)).collect()
    }

    /// The laser power for a worst error rate of `target`, quantisation as noise, by bisection of its logarithm.
    pub fn quick_power(&self, target: f64, max_power: f64) -> RequiredPower {
        let floor = self.quick(max_power);
        if floor > target {
            return RequiredPower::Floor(floor);
        }
        let (mut high, mut low) = (max_power.ln(), max_power.ln());
        loop {
            low -= 2.0;
            if self.quick(low.exp()) > target || low < -60.0 {
                break;
            }
            high = low;
        }
        while high - low > 2e-4 {
            let middle = 0.5 * (low + high);
            if self.quick(middle.exp()) > target {
                low = middle;
            } else {
                high = middle;
            }
        }
        RequiredPower::Power(high.exp())
    }

    /// The laser power for a worst error rate of `target`, summed over ADC cells: secant steps from the quick answer,
    /// kept within a bracket.
    pub fn required_power(&self, target: f64, max_power: f64) -> RequiredPower {
        let floor = self.worst(max_power);
        if floor > target {
            return RequiredPower::Floor(floor);
        }
        let (mut low, mut high) = (f64::NEG_INFINITY, max_power.ln());
        let mut here = match self.quick_power(target, max_power) {
            RequiredPower::Power(power) => power.ln(),
            RequiredPower::Floor(_) => high - 0.2,
        };
        for _ in 0..40 {
            let rate = self.worst(here.exp());
            if rate <= target {
                high = here;
            } else {
                low = here;
            }
            // A power on the safe side, and close enough.
            if rate <= target && rate > target * (1.0 - ACCURACY) || high - low < 1e-5 {
                break;
            }
            let slope = self.slope(here.exp());
            let aim = if rate > 0.0 {
                here - (rate / (target * (1.0 - 0.5 * ACCURACY))).ln() / slope
            } else {
                here - 1.0
            };
            let inside = aim > low && aim < high;
            here = if inside {
                aim
            } else if low.is_finite() {
                0.5 * (low + high)
            } else {
                high - 0.5
            };
        }
        RequiredPower::Power(high.exp())
    }

    /// What the recalled design rule "SNR at the detector of at least m" gives: for each modulus its rates at the laser
    /// power where the amplitude of (I, Q) is `factor` x m times the noise of either (quantisation not counted); `None`
    /// where even `max_power` does not give that.
    pub fn snr_rule(&self, factor: f64, max_power: f64) -> Vec<Option<Rates>> {
        let at = |(unit, population): &(Mdpu, Population)| {
            let wanted = factor * f64::from(unit.modulus());
            let snr = |power: f64| detector_snr(unit, population, power);
            if snr(max_power) < wanted {
                return None;
            }
            let (mut low, mut high) = (max_power.ln() - 60.0, max_power.ln());
            while high - low > 1e-9 {
                let middle = 0.5 * (low + high);
                if snr(middle.exp()) < wanted {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            Some(rates(unit, population, high.exp(), Quantisation::Cells))
        };
        self.units.par_iter().map(at).collect()
    }
}

/// The largest of some rates. One that could not be computed counts as certain, so that no search takes it for a success.
fn largest_rate(rates: impl IntoIterator<Item = f64>) -> f64 {
    rates.into_iter().map(|rate| if rate.is_nan() { 1.0 } else { rate }).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_is_no_number_is_no_success() {
        assert_eq!(largest_rate([1e-9, f64::NAN]), 1.0);
        assert_eq!(largest_rate([1e-9, 1e-3]), 1e-3);
    }
    use crate::unit::parameters::FrontEnd;

    #[test]
    fn the_recalled_rule_is_three_point_one_four_sigma() {
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        let bench = Bench::new(&p, &[31, 33], &[31, 33].map(Operands::uniform)).unwrap();
        for (factor, rate) in [(1.0, 1.7e-3), (1.5, 2.4e-6), (2.0, 3.3e-10)] {
            for rates in bench.snr_rule(factor, 1.0) {
                let rates = rates.unwrap();
                assert!((rates.snr / (factor * f64::from(rates.modulus)) - 1.0).abs() < 1e-6);
                // (the rule of thumb takes the sine for the angle: a few per cent of the rate)
                assert!((rates.error_rate / rate - 1.0).abs() < 0.08, "{factor}: {}", rates.error_rate);
            }
        }
        assert!(bench.snr_rule(1.0, 1e-9)[0].is_none());
    }

    #[test]
    fn required_power_meets_the_target_and_estimates_agree() {
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        p.adc.bits = Some(7);
        p.shifters.loss_db = 0.9;
        let bench = Bench::new(&p, &[32], &[Operands::uniform(32)]).unwrap();
        let (RequiredPower::Power(power), RequiredPower::Power(estimate)) =
            (bench.required_power(1e-6, 1.0), bench.estimated_power(1e-6, 1.0))
        else {
            panic!("reachable")
        };
        let rate = bench.rates(power)[0].error_rate;
        assert!(rate <= 1e-6 && rate > 0.99e-6, "{rate}");
        assert!((estimate / power - 1.0).abs() < 0.02, "{estimate} {power}");
        p.trim = crate::unit::parameters::Trim { fabrication: 0.5, resolution: 0.05, range: 3.2 };
        let rough = Bench::new(&p, &[32], &[Operands::uniform(32)]).unwrap();
        assert!(matches!(rough.required_power(1e-6, 1.0), RequiredPower::Floor(floor) if floor > 1e-3));
    }
}
