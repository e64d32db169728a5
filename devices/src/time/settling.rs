//! What the time of reprogramming buys in phase accuracy.

use crate::characterise::bench::{Bench, RequiredPower, Watch};
use crate::characterise::search::bisect;
use crate::characterise::solve::DesignPoint;
use crate::error::DeviceError;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::parameters::MdpuParameters;
use crate::unit::population::Population;

/// Phase error of a whole MDPU, rad rms over operands, if nothing had settled yet: stationary operands jump between two
/// independent draws, and every MMU multiplies what is left by its streamed operand. After t seconds the share exp(-t/tau) of it
/// remains.
///
/// With independent operands of rms streamed value x and standard deviation s of the levels, g MMUs give
/// sqrt(2 g) (2 pi/m) x s.
///
/// # Errors
/// As [`Mdpu::new`].
pub fn unsettled_phase(unit: &Mdpu, operands: &Operands) -> Result<f64, DeviceError> {
    let own = unit.parameters();
    let mut parameters = MdpuParameters::ideal(own.group);
    (parameters.encoding, parameters.shifters) = (own.encoding, own.shifters.clone());
    let shifters = &mut parameters.shifters;
    (shifters.loss_db, shifters.drive_loss, shifters.mismatch) = (0.0, 0.0, 0.0);
    // The population then has no other deviation than the share exp(-0/1) = 1.
    (shifters.settling_time, shifters.program_time) = (1.0, 0.0);
    let alone = Mdpu::new(&parameters, unit.modulus())?;
    Ok(Population::new(&alone, operands).moments().deviation)
}

/// The settling time constant that the time of reprogramming demands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequiredSettling {
    /// The longest time constant that keeps the power penalty, s.
    pub time_constant: f64,
    /// Laser power if the shifters were settled, W.
    pub settled_power: f64,
    /// Laser power with that time constant, W.
    pub power: f64,
}

/// The longest settling time constant that costs no more laser power at the target error rate than any required tolerance may,
/// all else being as in `parameters`; found as the other tolerances are. `None` where even a hundredth of the time of
/// reprogramming is too long.
///
/// # Errors
/// [`DeviceError::Unreachable`] where the target cannot be reached at all; no time for reprogramming;
/// [`DeviceError::Cancelled`].
pub fn required_settling(
    point: &DesignPoint,
    parameters: &MdpuParameters,
    operands: &[Operands],
    moduli: &[u32],
    watch: Watch<'_>,
) -> Result<Option<RequiredSettling>, DeviceError> {
    let program = parameters.shifters.program_time;
    if program <= 0.0 {
        let problem = "without a time for reprogramming no settling time constant is short enough";
        return Err(DeviceError::parameter("shifters.program_time", program, problem));
    }
    let power = |time_constant: f64| -> Result<RequiredPower, DeviceError> {
        watch.check()?;
        let mut changed = parameters.clone();
        changed.shifters.settling_time = time_constant;
        Ok(Bench::new(&changed, moduli, operands)?.quick_power(point.target, point.max_laser_power))
    };
    let settled_power = match power(0.0)? {
        RequiredPower::Power(power) => power,
        RequiredPower::Floor(floor) => {
            return Err(DeviceError::Unreachable {
                target: point.target,
                floor,
                power: point.max_laser_power,
            });
        }
    };
    // In steps of a hundredth of the time constant.
    let candidates: Vec<f64> = (0..460).map(|step| program * (-0.01 * f64::from(step)).exp()).collect();
    let holds = |time_constant: f64| -> Result<Option<f64>, DeviceError> {
        Ok(match power(time_constant)? {
            RequiredPower::Power(power) => {
                (10.0 * (power / settled_power).log10() <= point.penalty_db).then_some(power)
            }
            RequiredPower::Floor(_) => None,
        })
    };
    let found = bisect(&candidates, &holds)?;
    Ok(found.map(|(at, power)| RequiredSettling { time_constant: candidates[at], settled_power, power }))
}
