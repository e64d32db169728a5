//! Solving for what the design requires: tolerances first, then the laser power.

use crate::characterise::bench::{Bench, RequiredPower, Watch};
use crate::characterise::obstacle::Obstacle;
use crate::characterise::search::{bisect, first_that_holds};
use crate::characterise::sweep::SweepSetting;
use crate::characterise::tolerances::{self, Toleranced};
use crate::error::DeviceError;
use crate::unit::operands::Operands;
use crate::unit::parameters::MdpuParameters;

/// A tolerance that the design may leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// Resolution of the stationary DAC.
    DacBits,
    /// Step of the phase trim.
    TrimResolution,
    /// Extinction of one ring switch.
    RingExtinction,
    /// Thermal crosstalk coefficient.
    Crosstalk,
}

/// What is known of a tolerance beside what is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The knowledge, as a sentence.
    pub text: &'static str,
    /// Its mark: S, R+, R, R- or D.
    pub mark: &'static str,
}

impl Tolerance {
    fn toleranced(self) -> Toleranced {
        match self {
            Tolerance::DacBits => tolerances::DAC_BITS,
            Tolerance::TrimResolution => tolerances::TRIM_RESOLUTION,
            Tolerance::RingExtinction => tolerances::RING_EXTINCTION,
            Tolerance::Crosstalk => tolerances::CROSSTALK,
        }
    }

    /// Key in the design file.
    pub fn key(self) -> &'static str {
        self.toleranced().key()
    }

    /// Unit of its values.
    pub fn unit(self) -> &'static str {
        self.toleranced().unit()
    }

    /// What is known beside the required value.
    pub fn known(self) -> Known {
        match self {
            Tolerance::DacBits => Known {
                text: "at least 8 bits is recalled of the paper; it can hold only for codes that sit exactly on the levels",
                mark: "R+",
            },
            Tolerance::TrimResolution => {
                Known { text: "nothing is known of how finely Mirage's phases are trimmed", mark: "R-" }
            }
            Tolerance::RingExtinction => {
                Known { text: "20 to 25 dB is common for one silicon microring", mark: "R-" }
            }
            Tolerance::Crosstalk => Known {
                text: "thermo-optic shifters tens of micrometres apart pass on about a hundredth of their phase; electro-static \
                       shifters far less",
                mark: "R-",
            },
        }
    }

    /// Sets this tolerance in `parameters`.
    pub fn apply(self, parameters: &mut MdpuParameters, value: f64) {
        self.toleranced().set(parameters, &mut 0.0, value);
    }
}

/// A design as read from the file: some values may still be open.
#[derive(Debug, Clone, PartialEq)]
pub struct DesignPoint {
    /// Parameters; what is required stands at its ideal value.
    pub parameters: MdpuParameters,
    /// What is required, in the order of solving.
    pub required: Vec<Tolerance>,
    /// Power of one laser, W, if it is given.
    pub laser_power: Option<f64>,
    /// The largest power of one laser, W.
    pub max_laser_power: f64,
    /// Optical over electrical power of a laser.
    pub wall_plug_efficiency: f64,
    /// Target error rate per residue, worst modulus.
    pub target: f64,
    /// Allowed penalty of each required tolerance, dB of laser power.
    pub penalty_db: f64,
}

/// One required tolerance, solved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolvedTolerance {
    /// Which.
    pub tolerance: Tolerance,
    /// The loosest value that keeps the penalty.
    pub value: f64,
    /// Laser power with this tolerance ideal, W.
    pub ideal_power: f64,
    /// Laser power at the value, W.
    pub power: f64,
    /// Their ratio, dB.
    pub penalty_db: f64,
}

/// A design with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Parameters with the solved values.
    pub parameters: MdpuParameters,
    /// Power of one laser, W.
    pub laser_power: f64,
    /// Whether the power was solved for (or given).
    pub power_solved: bool,
    /// The solved tolerances, in order.
    pub tolerances: Vec<SolvedTolerance>,
}

/// Solves for the required tolerances and the laser power.
///
/// Each tolerance becomes the loosest value whose laser power at the target exceeds that of an ideal value by no more
/// than the penalty; those after it are still ideal, those before it have their solved values. Powers are compared
/// with quantisation as noise; the final laser power is found with the sum over ADC cells.
///
/// # Errors
/// [`DeviceError::OutOfReach`] when the target takes more light than there may be, [`DeviceError::Tolerance`] when no value in
/// the search range keeps the penalty, [`DeviceError::Cancelled`].
pub fn solve(
    point: &DesignPoint,
    moduli: &[u32],
    operands: &[Operands],
    watch: Watch,
) -> Result<Solution, DeviceError> {
    let mut parameters = point.parameters.clone();
    let mut tolerances = Vec::new();
    let steps = point.required.len() + 1;
    for (done, &tolerance) in point.required.iter().enumerate() {
        let solved = solve_tolerance(point, &parameters, tolerance, moduli, operands, watch)?;
        tolerance.apply(&mut parameters, solved.value);
        tolerances.push(solved);
        watch.done(done + 1, steps, tolerance.key());
    }
    watch.check()?;
    let laser_power = match point.laser_power {
        Some(power) => power,
        None => {
            let bench = Bench::new(&parameters, moduli, operands)?;
            let power = bench.required_power(point.target, point.max_laser_power);
            reachable(point, &parameters, (&bench, moduli, operands), power)?
        }
    };
    watch.done(steps, steps, "devices.laser.power");
    Ok(Solution { parameters, laser_power, power_solved: point.laser_power.is_none(), tolerances })
}

/// The power, or what stands in the way.
fn reachable(
    point: &DesignPoint,
    parameters: &MdpuParameters,
    (bench, moduli, operands): (&Bench, &[u32], &[Operands]),
    power: RequiredPower,
) -> Result<f64, DeviceError> {
    match power {
        RequiredPower::Power(power) => Ok(power),
        RequiredPower::Floor(_) => {
            let (target, max_laser_power) = (point.target, point.max_laser_power);
            let setting = SweepSetting {
                parameters,
                laser_power: max_laser_power,
                max_laser_power,
                target,
                moduli,
                operands,
                seed: 0,
            };
            Err(DeviceError::OutOfReach(Box::new(Obstacle::find(bench, &setting)?)))
        }
    }
}

fn solve_tolerance(
    point: &DesignPoint,
    parameters: &MdpuParameters,
    tolerance: Tolerance,
    moduli: &[u32],
    operands: &[Operands],
    watch: Watch,
) -> Result<SolvedTolerance, DeviceError> {
    let power = |parameters: &MdpuParameters| -> Result<RequiredPower, DeviceError> {
        watch.check()?;
        Ok(Bench::new(parameters, moduli, operands)?.quick_power(point.target, point.max_laser_power))
    };
    watch.check()?;
    let ideal = Bench::new(parameters, moduli, operands)?;
    let ideal_power = ideal.quick_power(point.target, point.max_laser_power);
    let ideal_power = reachable(point, parameters, (&ideal, moduli, operands), ideal_power)?;
    let try_value = |value: f64| -> Result<Option<(f64, f64)>, DeviceError> {
        let mut changed = parameters.clone();
        tolerance.apply(&mut changed, value);
        Ok(match power(&changed)? {
            RequiredPower::Power(power) => {
                let penalty = 10.0 * (power / ideal_power).log10();
                (penalty <= point.penalty_db).then_some((power, penalty))
            }
            RequiredPower::Floor(_) => None,
        })
    };
    let toleranced = tolerance.toleranced();
    let candidates = toleranced.candidates();
    // Rounding to codes is not monotonic in the bits: the first that holds.
    let search = if toleranced.integer() { first_that_holds } else { bisect };
    let Some((at, (power, penalty_db))) = search(&candidates, &try_value)? else {
        let (low, high) = (candidates[0], candidates[candidates.len() - 1]);
        return Err(DeviceError::Tolerance { name: tolerance.key(), low, high, penalty: point.penalty_db });
    };
    Ok(SolvedTolerance { tolerance, value: candidates[at], ideal_power, power, penalty_db })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parameters::FrontEnd;

    fn point() -> (DesignPoint, Vec<u32>, Vec<Operands>) {
        let mut p = MdpuParameters::ideal(16);
        (p.shifters.loss_db, p.rings.pass_loss_db, p.rings.drop_loss_db) = (0.91, 0.2, 0.2);
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        p.trim.fabrication = 0.5;
        p.adc.bits = Some(8);
        let point = DesignPoint {
            parameters: p,
            required: vec![Tolerance::DacBits, Tolerance::TrimResolution],
            laser_power: None,
            max_laser_power: 1e-2,
            wall_plug_efficiency: 0.2,
            target: 1e-8,
            penalty_db: 0.5,
        };
        (point, vec![33], vec![Operands::uniform(33)])
    }

    #[test]
    fn solved_values_are_the_loosest_and_meet_the_target() {
        let (point, moduli, operands) = point();
        let solution = solve(&point, &moduli, &operands, Watch::default()).unwrap();
        assert_eq!(solution.tolerances.len(), 2);
        for solved in &solution.tolerances {
            assert!(solved.penalty_db > 0.0 && solved.penalty_db <= 0.5, "{solved:?}");
        }
        // One bit fewer breaks the penalty.
        let bits = solution.tolerances[0].value;
        let mut coarser = point.parameters.clone();
        Tolerance::DacBits.apply(&mut coarser, bits - 1.0);
        let bench = Bench::new(&coarser, &moduli, &operands).unwrap();
        match bench.quick_power(point.target, point.max_laser_power) {
            RequiredPower::Power(power) => {
                assert!(power > solution.tolerances[0].ideal_power * 10f64.powf(0.05))
            }
            RequiredPower::Floor(floor) => assert!(floor > point.target),
        }
        let rate = Bench::new(&solution.parameters, &moduli, &operands).unwrap().rates(solution.laser_power)
            [0]
        .error_rate;
        assert!(rate <= point.target && rate > 0.99 * point.target, "{rate}");
    }

    #[test]
    fn a_floor_is_unreachable() {
        let (mut point, moduli, operands) = point();
        point.required.clear();
        point.parameters.trim.resolution = 0.05;
        let error = solve(&point, &moduli, &operands, Watch::default()).unwrap_err();
        let DeviceError::OutOfReach(obstacle) = &error else { panic!("{error}") };
        assert!(obstacle.needed.is_none() && obstacle.rate > 1e-8, "{error}");
    }

    #[test]
    fn cancelling_stops() {
        let (point, moduli, operands) = point();
        let flag = std::sync::atomic::AtomicBool::new(true);
        let watch = Watch { cancel: Some(&flag), report: None };
        assert!(matches!(solve(&point, &moduli, &operands, watch), Err(DeviceError::Cancelled)));
    }
}
