//! A whole training run from the steps that were simulated, and how far its time may be off.

use libm::sqrt;

use crate::SystemError;
use crate::chip::{Chip, Options};
use crate::machine::{FinishedStep, Job, Part, Program, TIME};
use crate::result::StepResult;

/// Where the error of a run's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorBasis {
    /// There is none: no read is drawn to be repeated and no unit is recalibrated, so that all steps are equal.
    Exact,
    /// Half the range between calibrations that hide behind each other and calibrations that each stop the whole chip.
    Calibrations,
    /// The standard error of the simulated steps, whose repeats are drawn; and the calibrations, if there are any.
    Steps,
    /// One step, or steps that happened to be equal, tell nothing of the spread: the most that the law of the repeats lets it be
    /// (see [`StepResult::extrapolate`]); and the calibrations, if there are any.
    Repeats,
}

impl ErrorBasis {
    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Exact => "exact: nothing is drawn and no unit is recalibrated so all steps are equal",
            Self::Calibrations => "half the range that calibrations leave open",
            Self::Steps => {
                "standard error of the simulated steps and half the range that calibrations leave open"
            }
            Self::Repeats => {
                "upper bound from the law of the repeats (too few steps for a standard error) and half the range that \
                 calibrations leave open"
            }
        }
    }
}

/// A whole training run, extrapolated from simulated steps. Every step is taken as full and equal; energy follows the time.
#[derive(Debug, Clone, PartialEq)]
pub struct RunResult {
    /// Steps of the run.
    pub steps: u64,
    /// Steps that were simulated.
    pub simulated: u64,
    /// Time, s.
    pub seconds: f64,
    /// How far it may be off, s.
    pub seconds_error: f64,
    /// Where that comes from.
    pub error_basis: ErrorBasis,
    /// Energy, J, of one chip.
    pub joules: f64,
    /// How far it may be off for the time's sake, J.
    pub joules_error: f64,
    /// Dot products read, of one chip.
    pub reads: f64,
    /// Reads expected to be done again.
    pub repeats_expected: f64,
}

/// What a step tells of a long run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Shortest and longest time that a step takes when calibrations come as often as they do in a long run, s.
    steady: [f64; 2],
    /// Most that the standard deviation of a step's time can be for the draws of repeats, s; 0 where nothing is drawn.
    spread: f64,
}

impl Pace {
    pub fn new(
        chip: &Chip,
        program: &Program,
        steps: &[FinishedStep],
        options: &Options,
    ) -> Result<Self, SystemError> {
        Ok(Self { steady: steady(chip, steps), spread: spread(chip, program, steps, options)? })
    }
}

/// Steps of a run: `samples` of the data set, `epochs` times, `batch` at a time on all chips together.
///
/// # Errors
/// [`SystemError::EmptyBatch`], or [`SystemError::TooManySteps`] for more than can be counted.
pub fn steps_of_run(samples: u64, batch: u64, epochs: u64) -> Result<u64, SystemError> {
    if batch == 0 {
        return Err(SystemError::EmptyBatch);
    }
    let each = samples.div_ceil(batch);
    each.checked_mul(epochs).ok_or(SystemError::TooManySteps { each, epochs })
}

impl StepResult {
    /// A whole training run from these steps: `samples` of the data set, `epochs` times, `batch` at a time on all chips together.
    ///
    /// The error is that of the mean step times their number. Of several steps whose repeats are drawn it is their standard error.
    /// One step tells no spread; a bound takes its place. The time of a step changes by at most as much as the repeats of
    /// one read do, and these are drawn independently, so that by the inequality of Efron and Stein (Ann. Statist. 9 (1981)
    /// 586) its variance is at most the sum of theirs: of each read, the variance of its repeats ([`RepeatModel::variance`])
    /// times the square of the time that a vector takes. That units and rows repeat side by side makes the truth smaller.
    ///
    /// [`RepeatModel::variance`]: crate::RepeatModel::variance
    ///
    /// # Errors
    /// As [`steps_of_run`].
    pub fn extrapolate(&self, samples: u64, batch: u64, epochs: u64) -> Result<RunResult, SystemError> {
        let steps = steps_of_run(samples, batch, epochs)?;
        let n = self.steps.len() as f64;
        let mean = self.steps.iter().sum::<f64>() / n;
        let squares = self.steps.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>();
        let seen = sqrt(squares / (n - 1.0).max(1.0));
        let Pace { steady: [low, high], spread } = self.pace;
        // Without draws, steps differ only by where calibrations fall: that is in the range already.
        let (drawn, error_basis) = match (spread > 0.0, seen > 0.0) {
            (true, true) => (seen, ErrorBasis::Steps),
            (true, false) => (spread, ErrorBasis::Repeats),
            (false, _) if high > low => (seen, ErrorBasis::Calibrations),
            (false, _) => (0.0, ErrorBasis::Exact),
        };
        let error = 0.5 * (high - low) + drawn / sqrt(n);
        let count = steps as f64;
        let seconds = count * 0.5 * (low + high);
        Ok(RunResult {
            steps,
            simulated: self.steps.len() as u64,
            seconds,
            seconds_error: count * error,
            error_basis,
            joules: self.network.watts() * seconds,
            joules_error: self.network.watts() * count * error,
            reads: self.network.reads as f64 * count,
            repeats_expected: self.network.repeated_expected * count,
        })
    }
}

/// Time of a step with calibrations as frequent as in the long run: between those that hide behind each other and those
/// that each stop the whole chip.
fn steady(chip: &Chip, steps: &[FinishedStep]) -> [f64; 2] {
    let n = steps.len() as f64;
    let mean = steps.iter().map(|s| TIME.seconds(s.end - s.begin)).sum::<f64>() / n;
    let setup = chip.setup();
    if setup.period == 0 {
        return [mean; 2];
    }
    let paused = setup.calibration as f64 / setup.period as f64;
    let seen = steps.iter().map(|s| s.calibrations).sum::<u64>() as f64;
    let inside = TIME.seconds(setup.calibration) * seen / n;
    let least = (mean - inside).max(0.0) * (1.0 + paused);
    [least.min(mean), mean.max((mean) * (1.0 + paused * f64::from(setup.units)))]
}

/// Bound of the standard deviation of a step's time: see [`StepResult::extrapolate`].
fn spread(
    chip: &Chip,
    program: &Program,
    steps: &[FinishedStep],
    options: &Options,
) -> Result<f64, SystemError> {
    let (Some(model), Some(last)) = (options.repeats.filter(|model| model.active()), steps.last()) else {
        return Ok(0.0);
    };
    let mut variance = 0.0;
    for (task, account) in program.tasks.iter().zip(&last.account.tasks) {
        let Job::Gemm { entry, stationary, .. } = &task.job else { continue };
        let plan = chip.engine().plan(entry, *stationary)?;
        // Ticks that a vector takes in a unit, memories included: repeats go at the same pace.
        let streamed = account.spent[Part::Streaming as usize] + account.spent[Part::Bandwidth as usize];
        let passes = plan.tiles as f64 * plan.vectors as f64;
        let vector = streamed as f64 / passes / TIME.ticks_per_second() as f64;
        variance += model.variance(plan.groups()) * vector * vector;
    }
    Ok(sqrt(variance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RepeatModel;
    use crate::chip::tests::{FAST, chip, entry};

    const MODEL: RepeatModel = RepeatModel { detected_per_group: 1e-4, again: 0.2, repeats: 3 };

    fn simulate(changes: &[(&str, &str)], model: Option<RepeatModel>, steps: u32) -> StepResult {
        let options = Options { repeats: model, seed: 3, steps, ..Options::default() };
        let entries = [entry(512, 256, 3_000, 1)];
        chip(changes).products(&entries, &options, 1, &|_| {}).unwrap().remove(0)
    }

    /// One step with repeats has an error that the spread of many steps does not pass, and that is no more than the units and
    /// rows side by side explain; and the run of many steps agrees with it.
    #[test]
    fn one_step_says_how_far_it_may_be_off() {
        for stall in ["unit", "row"] {
            let mut changes = FAST.to_vec();
            changes.push(("stall", stall));
            let many = simulate(&changes, Some(MODEL), 300);
            let one = simulate(&changes, Some(MODEL), 1);
            let mean = many.steps.iter().sum::<f64>() / 300.0;
            let spread = sqrt(many.steps.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / 299.0);
            let bound = one.pace.spread;
            assert!(spread > 0.0 && spread < bound, "{stall}: {spread} {bound}");
            // Eight units side by side, 32 rows each: no looser than that.
            assert!(bound < 40.0 * spread, "{stall}: {spread} {bound}");
            let [run, long] = [one, many].map(|result| result.extrapolate(1_000, 10, 1).unwrap());
            assert_eq!((run.error_basis, long.error_basis), (ErrorBasis::Repeats, ErrorBasis::Steps));
            assert!(run.seconds_error > 0.0 && run.seconds_error > long.seconds_error);
            assert!((run.seconds - long.seconds).abs() < run.seconds_error);
        }
    }

    /// The error without draws and calibrations is zero and says why; with calibrations their range; where decoding puts
    /// everything right nothing is drawn.
    #[test]
    fn a_zero_is_earned() {
        let none = RepeatModel { detected_per_group: 0.0, ..MODEL };
        for model in [None, Some(none)] {
            let run = simulate(&FAST, model, 1).extrapolate(1_000, 10, 1).unwrap();
            assert_eq!((run.seconds_error, run.error_basis), (0.0, ErrorBasis::Exact));
        }
        let often = &FAST[..FAST.len() - 1];
        let run = simulate(often, None, 1).extrapolate(1_000, 10, 1).unwrap();
        assert!(run.seconds_error > 0.0 && run.error_basis == ErrorBasis::Calibrations);
        // So few errors that no step meets one: still no zero.
        let rare = RepeatModel { detected_per_group: 1e-9, ..MODEL };
        let run = simulate(&FAST, Some(rare), 2).extrapolate(1_000, 10, 1).unwrap();
        assert!(run.seconds_error > 0.0 && run.error_basis == ErrorBasis::Repeats);
    }

    #[test]
    fn steps_are_counted_or_refused() {
        assert_eq!(steps_of_run(1_281_167, 64, 90).unwrap(), 1_801_710);
        assert!(matches!(steps_of_run(1, 0, 1), Err(SystemError::EmptyBatch)));
        assert!(matches!(steps_of_run(u64::MAX, 1, 2), Err(SystemError::TooManySteps { .. })));
    }
}
