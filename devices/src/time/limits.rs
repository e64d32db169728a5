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
/// Lifetimes are looked for from one symbol down to this part of it.
const SHORTEST: f64 = 1e-5;
/// Clocks are looked for between these multiples of the design's.
const CLOCKS: (f64, f64) = (10.0, 1e-4);

/// What memory allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryLimits {
    /// The longest lifetime of the rings' field at the given clock, s; `None` = none down to a hundred-thousandth of a symbol.
    pub lifetime: Option<f64>,
    /// The fastest clock with the given lifetime, Hz; `None` = none within a ten-thousandth to ten times the given one.
    pub clock: Option<f64>,
    /// Symbols of each trial and modulus: what is late more seldom than once in so many is not seen.
    pub symbols: usize,
}

/// What is asked of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryRule {
    /// Power of one laser, W.
    pub laser_power: f64,
    /// So much more light must make up for it, dB.
    pub penalty_db: f64,
}

/// What all trials share.
struct Trials<'a> {
    bench: &'a Bench,
    operands: &'a [Operands],
    plan: MemoryPlan,
    watch: Watch<'a>,
}

/// The longest lifetime at the clock of `time`, and the fastest clock with its lifetime, by the rule that every required tolerance has:
/// at `penalty_db` more light, no modulus has a larger error rate than at `laser_power` without what costs the light, all else being the same. For the
/// lifetime that is the rings alone, against immediate ones with the same driver and front end at the same clock; for the clock it is memory
/// as a whole, against settled symbols.
///
/// The rates are the population's with the memory of the sampled symbols. Each trial samples where the eye of its own speeds is widest, for clock
/// and delay move that instant; where a symbol is turned by half a sector, the trial fails. By bisection, in steps of 5 %.
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
    let trials = Trials { bench, operands, plan, watch };
    let more = rule.laser_power * 10f64.powf(0.1 * rule.penalty_db);
    let falling = |from: f64, to: f64| -> Vec<f64> {
        let steps = ((from / to).ln() / STEP.ln()) as i32;
        (0..=steps).map(|step| from * STEP.powi(-step)).collect()
    };
    let lifetimes = falling(1.0 / time.clock, SHORTEST / time.clock);
    let immediate = TimeParameters { ring_lifetime: 0.0, ..*time };
    let (mut most, mut readable) = (Vec::new(), true);
    for at in 0..bench.units().len() {
        let rate = trials.rate(at, &immediate, rule.laser_power)?;
        readable &= rate.is_some();
        most.extend(rate);
    }
    let lifetime = if readable {
        let holds = |ring_lifetime| trials.holds(&TimeParameters { ring_lifetime, ..*time }, more, &most);
        bisect(&lifetimes, &holds)?.map(|(at, ())| lifetimes[at])
    } else {
        None
    };
    let settled: Vec<f64> = bench
        .units()
        .iter()
        .map(|(unit, population)| quick_rate(unit, population, rule.laser_power))
        .collect();
    let mut clocks = falling(CLOCKS.0 * time.clock, CLOCKS.1 * time.clock);
    // Clocks at which the other speeds would be out of range are no clocks.
    clocks.retain(|&clock| TimeParameters { clock, ..*time }.check().is_ok());
    let clock = bisect(&clocks, &|clock| trials.holds(&TimeParameters { clock, ..*time }, more, &settled))?;
    let symbols = plan.chips * plan.tiles * plan.symbols;
    Ok(MemoryLimits { lifetime, clock: clock.map(|(at, ())| clocks[at]), symbols })
}

impl Trials<'_> {
    /// Error rate of unit `at` with memory; `None` where symbols are lost.
    fn rate(&self, at: usize, time: &TimeParameters, power: f64) -> Result<Option<f64>, DeviceError> {
        let ((unit, population), operands) = (&self.bench.units()[at], &self.operands[at]);
        let eye = eye_of(unit, operands, time, self.plan.seed)?;
        if eye.opening() <= 0.0 {
            return Ok(None);
        }
        let memory = memory_of(unit, operands, time, eye.instant(), self.plan, self.watch)?;
        Ok(memory.map(|memory| memory.rate(unit, population, power)))
    }

    /// Whether no unit's rate is above what it may be at most.
    fn holds(&self, time: &TimeParameters, power: f64, most: &[f64]) -> Result<Option<()>, DeviceError> {
        // (the last is the largest, as designs list them: its sectors are the smallest, and it fails first)
        for (at, &most) in most.iter().enumerate().rev() {
            if self.rate(at, time, power)?.is_none_or(|rate| rate > most) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}
