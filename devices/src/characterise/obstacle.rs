//! Why a target is out of reach: the laser that is too weak, or the floor that no light gets under, and what the phase variance
//! is made of there.

use crate::characterise::bench::{Bench, RequiredPower};
use crate::characterise::sweep::SweepSetting;
use crate::characterise::variance::{contributors, imperfections};
use crate::error::DeviceError;
use std::fmt;

/// How far above the largest laser power a power that would do is looked for, dB. What takes more is called a floor.
pub const BEYOND_DB: f64 = 40.0;

/// Contributors that are named.
const NAMED: usize = 3;

/// Numbers that hold an obstacle.
pub(crate) const NUMBERS: usize = 5 + 2 * NAMED;

/// Key of the largest laser power.
const KEY: &str = "devices.laser.max_power";

/// Why a target cannot be reached with the light that the design allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Obstacle {
    /// The target error rate per residue.
    pub target: f64,
    /// The largest power of one laser, W.
    pub max_power: f64,
    /// Error rate that remains there, worst modulus.
    pub rate: f64,
    /// The modulus that errs most.
    pub modulus: u32,
    /// Laser power that would do, W; none where even [`BEYOND_DB`] more light would not.
    pub needed: Option<f64>,
    /// Imperfections with their share of the phase variance of that modulus, the largest first: at the largest power, or with
    /// [`BEYOND_DB`] more light where even that would not do.
    pub parts: Vec<(&'static str, f64)>,
    /// Half a sector over the standard deviation of the phase at that power.
    pub sigmas: f64,
    /// Mean loss of that modulus' MMUs, dB.
    pub loss_db: f64,
}

impl Obstacle {
    /// What stops the target of `setting`, whose units are `bench`.
    ///
    /// # Errors
    /// As [`crate::Mdpu::new`].
    pub fn find(bench: &Bench, setting: &SweepSetting) -> Result<Self, DeviceError> {
        let (target, max_power) = (setting.target, setting.max_laser_power);
        let rates = bench.quick_rates(max_power);
        let worst = (0..rates.len()).max_by(|&a, &b| rates[a].total_cmp(&rates[b])).unwrap_or(0);
        let beyond = max_power * 10f64.powf(BEYOND_DB / 10.0);
        // In steps: with very much light the cells of an ADC can stand worse than with a little more than there may be.
        let up_to = |db: f64| match bench.estimated_power(target, max_power * 10f64.powf(db / 10.0)) {
            RequiredPower::Power(power) => Some(power.max(max_power)),
            RequiredPower::Floor(_) => None,
        };
        let needed = [10.0, 20.0, BEYOND_DB].into_iter().find_map(up_to);
        let modulus = setting.moduli[worst];
        // A floor is made of what light does not lower.
        let at = if needed.is_some() { max_power } else { beyond };
        let (mut parts, sigmas) = contributors(setting, modulus, &setting.operands[worst], at)?;
        parts.truncate(NAMED);
        let loss_db = -10.0 * bench.units()[worst].1.moments().mean_power.log10();
        Ok(Self { target, max_power, rate: rates[worst], modulus, needed, parts, sigmas, loss_db })
    }

    /// As plain numbers, for an item of a study; [`Obstacle::from_numbers`] reads them back.
    pub(crate) fn numbers(&self) -> [f64; NUMBERS] {
        let mut all = [f64::NAN; NUMBERS];
        let needed = self.needed.unwrap_or(f64::NAN);
        all[..5].copy_from_slice(&[self.rate, f64::from(self.modulus), needed, self.sigmas, self.loss_db]);
        for ((name, share), pair) in self.parts.iter().zip(all[5..].chunks_mut(2)) {
            let place = imperfections().position(|known| known == *name).unwrap_or(usize::MAX);
            pair.copy_from_slice(&[place as f64, *share]);
        }
        all
    }

    /// The obstacle for which [`Obstacle::numbers`] stand; none where they stand for none.
    pub(crate) fn from_numbers(numbers: &[f64], setting: &SweepSetting) -> Option<Self> {
        let [rate, modulus, needed, sigmas, loss_db] = *numbers.first_chunk()?;
        let part = |pair: &[f64]| Some((imperfections().nth(pair[0] as usize)?, pair[1]));
        (!rate.is_nan()).then(|| Self {
            target: setting.target,
            max_power: setting.max_laser_power,
            rate,
            modulus: modulus as u32,
            needed: (!needed.is_nan()).then_some(needed),
            parts: numbers[5..].chunks(2).filter(|pair| !pair[0].is_nan()).filter_map(part).collect(),
            sigmas,
            loss_db,
        })
    }

    /// What stands in the way, without the target: `devices.laser.max_power = 500 mW; 1.2 W would do; ...`.
    pub fn cause(&self) -> String {
        let needed = match self.needed {
            Some(power) => format!("{} would do; at the limit", watts(power)),
            None => format!("{BEYOND_DB} dB more light would not do either; with so much,"),
        };
        // The largest in any case, others where they count.
        let counts = self.parts.iter().enumerate().filter(|(i, part)| *i == 0 || part.1 >= 0.01);
        let share = |(_, (name, share)): (usize, &(&str, f64))| format!("{name} {:.0} %", 100.0 * share);
        let parts = counts.map(share).collect::<Vec<_>>().join(", ");
        format!(
            "{KEY} = {}, and {needed} modulus {} has half a sector of {:.1} standard deviations of phase, a mean loss of {:.1} dB, \
             and owes most of its phase variance to {parts}",
            watts(self.max_power),
            self.modulus,
            self.sigmas,
            self.loss_db
        )
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, rate, modulus) = (self.target, self.rate, self.modulus);
        write!(
            f,
            "the target of {target:.0e} misread residues is unreachable: modulus {modulus} still errs at {rate:.1e} with the \
             most light there may be.\ncause: {}\nhelp: ",
            self.cause()
        )?;
        match self.needed {
            Some(_) => write!(f, "raise {KEY}, lower the losses, or loosen devices.solve.target_error_rate"),
            None => write!(
                f,
                "more light does not help: tighten what makes most of the phase variance, or loosen devices.solve.target_error_rate"
            ),
        }
    }
}

/// A power with its prefix and three digits.
fn watts(power: f64) -> String {
    let (scale, unit) = match power {
        p if p >= 0.9995e3 => (1e3, "kW"),
        p if p >= 0.9995 => (1.0, "W"),
        p if p >= 0.9995e-3 => (1e-3, "mW"),
        _ => (1e-6, "uW"),
    };
    let x = power / scale;
    let digits = (2 - x.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{x:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::{FrontEnd, MdpuParameters};

    fn obstacle(change: impl FnOnce(&mut MdpuParameters)) -> (Obstacle, Bench) {
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        change(&mut p);
        let operands = [Operands::uniform(31), Operands::uniform(33)];
        let setting = SweepSetting {
            parameters: &p,
            laser_power: 1e-5,
            max_laser_power: 1e-5,
            target: 1e-8,
            moduli: &[31, 33],
            operands: &operands,
            seed: 1,
        };
        let bench = Bench::new(&p, setting.moduli, &operands).unwrap();
        let found = Obstacle::find(&bench, &setting).unwrap();
        assert_eq!(Obstacle::from_numbers(&found.numbers(), &setting).as_ref(), Some(&found));
        assert_eq!(Obstacle::from_numbers(&[f64::NAN; NUMBERS], &setting), None);
        (found, bench)
    }

    #[test]
    fn too_little_light_says_how_much_would_do() {
        let (found, bench) = obstacle(|_| ());
        let needed = found.needed.unwrap();
        assert!(bench.quick_rates(1.03 * needed).iter().all(|rate| *rate <= 1e-8));
        assert!(bench.quick_rates(0.97 * needed).iter().any(|rate| *rate > 1e-8));
        // Noise of the amplifier alone, for the larger modulus.
        assert_eq!((found.modulus, found.parts[0].0), (33, "amplifier noise"));
        assert!(found.parts[0].1 > 0.9 && found.loss_db.abs() < 1e-9, "{found:?}");
        let text = found.to_string();
        for says in ["devices.laser.max_power = 10 uW", "would do", "amplifier noise", "raise devices"] {
            assert!(text.contains(says), "{says}: {text}");
        }
    }

    #[test]
    fn a_floor_names_the_error_that_makes_it() {
        let (found, _) = obstacle(|p| (p.trim.fabrication, p.trim.resolution) = (0.5, 0.1));
        // At the limit the amplifier makes more; it is not what makes the floor.
        assert_eq!((found.needed, found.parts[0].0), (None, "trim residue"));
        assert!(found.to_string().contains("more light does not help"), "{found}");
    }

    #[test]
    fn powers_have_three_digits_and_their_unit() {
        for (power, text) in [
            (0.5, "500 mW"),
            (1.0, "1 W"),
            (0.13271, "133 mW"),
            (5e3, "5 kW"),
            (1.3e-5, "13 uW"),
            (2.345, "2.35 W"),
        ] {
            assert_eq!(watts(power), text);
        }
    }
}
