//! How long the rings may hold light, and how fast the clock may be, before symbols run into each other.

use crate::characterise::bench::{Bench, Watch};
use crate::characterise::search::bisect;
use crate::error::DeviceError;
use crate::time::TimeParameters;
use crate::time::portrait::eye_of;
use crate::time::rate::{MemoryPlan, memory_of};
use crate::unit::operands::Operands;
use crate::unit::rates::quick_rate;

/// Candidates stand so far apart, as a ratio.
const STEP: f64 = 1.05;
/// Lifetimes are looked for from one symbol down by this factor, then at zero.
const SHORTEST: f64 = 1e-5;
/// Clocks are looked for between these multiples of the design's.
const CLOCKS: (f64, f64) = (10.0, 1e-4);

/// What memory allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryLimits {
    /// The longest lifetime of the rings' field at the given clock, s; zero = only immediate rings; `None` = not even these.
    pub lifetime: Option<f64>,
    /// The fastest clock with the given lifetime, Hz; `None` = none within a ten-thousandth to ten times the given one.
    pub clock: Option<f64>,
}

/// What is asked of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryRule {
    /// Power of one laser, W.
    pub laser_power: f64,
    /// So much more light must make up for memory, dB.
    pub penalty_db: f64,
}

/// The longest lifetime at the clock of `time`, and the fastest clock with its lifetime, for which memory costs no more light than any
/// required tolerance may: at `penalty_db` more light, the population of each modulus with the memory of the sampled symbols has no
/// larger error rate than without memory at `laser_power`. All else stays. Each trial samples where the eye of its own speeds is widest,
/// for clock and delay move that instant; where a symbol is turned by half a sector, memory costs too much. By bisection, in steps of
/// 5 %.
///
/// # Errors
/// As [`crate::time::memory_rates`].
pub fn memory_limits(
    bench: &Bench,
    operands: &[Operands],
    rule: MemoryRule,
    time: &TimeParameters,
    plan: MemoryPlan,
    watch: Watch<'_>,
) -> Result<MemoryLimits, DeviceError> {
    let holds = |time: TimeParameters| -> Result<Option<()>, DeviceError> {
        // (the last is the largest, as designs list them: its sectors are the smallest, and it fails first)
        for ((unit, population), operands) in bench.units().iter().zip(operands).rev() {
            let eye = eye_of(unit, operands, &time, plan.seed)?;
            if eye.opening() <= 0.0 {
                return Ok(None);
            }
            let Some(memory) = memory_of(unit, operands, &time, eye.instant(), plan, watch)? else {
                return Ok(None);
            };
            let more = rule.laser_power * 10f64.powf(0.1 * rule.penalty_db);
            if memory.rate(unit, population, more) > quick_rate(unit, population, rule.laser_power) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    };
    let falling = |from: f64, to: f64| -> Vec<f64> {
        let steps = ((from / to).ln() / STEP.ln()) as i32;
        (0..=steps).map(|step| from * STEP.powi(-step)).collect()
    };
    let mut lifetimes = falling(1.0 / time.clock, SHORTEST / time.clock);
    lifetimes.push(0.0);
    let lifetime = bisect(&lifetimes, &|ring_lifetime| holds(TimeParameters { ring_lifetime, ..*time }))?;
    let mut clocks = falling(CLOCKS.0 * time.clock, CLOCKS.1 * time.clock);
    // Clocks at which the other speeds would be out of range are no clocks.
    clocks.retain(|&clock| TimeParameters { clock, ..*time }.check().is_ok());
    let clock = bisect(&clocks, &|clock| holds(TimeParameters { clock, ..*time }))?;
    Ok(MemoryLimits {
        lifetime: lifetime.map(|(at, ())| lifetimes[at]),
        clock: clock.map(|(at, ())| clocks[at]),
    })
}
