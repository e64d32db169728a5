//! A whole training run from the steps that were simulated, and how far its time may be off.

use libm::sqrt;

use crate::SystemError;
use crate::chip::{Chip, Options};
use crate::machine::{FinishedStep, TIME};
use crate::result::StepResult;

/// Where the error of a run's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorBasis {
    /// There is none: no read is drawn to be repeated and no unit is recalibrated, so that all steps are equal.
    Exact,
    /// Half the range between calibrations that hide behind each other and calibrations that each stop the whole chip; of several
    /// steps, in which calibrations fall differently, their standard error too.
    Calibrations,
    /// The standard error of the simulated steps, whose repeats are drawn; and the calibrations, if there are any.
    Steps,
    /// Not known: repeats are drawn, but one step, or steps that happened to be equal, tell nothing of their spread.
    Unknown,
}

impl ErrorBasis {
    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Exact => "exact: nothing is drawn and no unit is recalibrated so all steps are equal",
            Self::Calibrations => {
                "half the range from calibrations that hide behind one another to ones that each stop the chip; of several steps also their standard error"
            }
            Self::Steps => {
                "standard error of the simulated steps, and half the range from calibrations that hide behind one another to ones that each stop the chip"
            }
            Self::Unknown => {
                "not known: repeats are drawn and the simulated steps show no spread; give more with --steps"
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
    /// How far it may be off, s; `None` where that is not known.
    pub seconds_error: Option<f64>,
    /// Where that comes from.
    pub error_basis: ErrorBasis,
    /// Energy, J, of one chip.
    pub joules: f64,
    /// How far it may be off for the time's sake, J; `None` where that is not known.
    pub joules_error: Option<f64>,
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
    /// Whether repeats are drawn.
    drawn: bool,
}

impl Pace {
    pub fn new(chip: &Chip, steps: &[FinishedStep], options: &Options) -> Self {
        Self { steady: steady(chip, steps), drawn: options.repeats.is_some_and(|model| model.active()) }
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
    /// The error is that of the mean step times their number. Where repeats are drawn it needs several steps. One tells no spread,
    /// and the law of the repeats does not either: a repeat of a tenth of a nanosecond changes which of two requests comes
    /// first at a memory, and what follows moves the end of a step by microseconds.
    ///
    /// # Errors
    /// As [`steps_of_run`].
    pub fn extrapolate(&self, samples: u64, batch: u64, epochs: u64) -> Result<RunResult, SystemError> {
        let steps = steps_of_run(samples, batch, epochs)?;
        let n = self.steps.len() as f64;
        let mean = self.steps.iter().sum::<f64>() / n;
        let squares = self.steps.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>();
        // Equal steps have no spread, whatever the rounding of their mean says.
        let differ = self.steps.iter().any(|&seconds| seconds != self.steps[0]);
        let seen = if differ { sqrt(squares / (n - 1.0)) } else { 0.0 };
        let Pace { steady: [low, high], drawn } = self.pace;
        let error_basis = match (drawn, differ, high > low) {
            (true, false, _) => ErrorBasis::Unknown,
            (false, _, true) => ErrorBasis::Calibrations,
            (_, true, _) => ErrorBasis::Steps,
            (false, false, false) => ErrorBasis::Exact,
        };
        let error = 0.5 * (high - low) + seen / sqrt(n);
        let error = Some(error).filter(|_| error_basis != ErrorBasis::Unknown);
        let count = steps as f64;
        let seconds = count * 0.5 * (low + high);
        Ok(RunResult {
            steps,
            simulated: self.steps.len() as u64,
            seconds,
            seconds_error: error.map(|error| count * error),
            error_basis,
            joules: self.network.watts() * seconds,
            joules_error: error.map(|error| self.network.watts() * count * error),
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

    /// The standard error of several steps holds what many steps give; that of one, or of steps without any repeat in them, is not
    /// known, however little the repeats are.
    #[test]
    fn the_spread_of_drawn_repeats_needs_several_steps() {
        let run = |steps: u32, model| simulate(&FAST, Some(model), steps).extrapolate(1_000, 10, 1).unwrap();
        let (few, many) = (run(10, MODEL), run(300, MODEL));
        assert_eq!((few.error_basis, many.error_basis), (ErrorBasis::Steps, ErrorBasis::Steps));
        let (error, less) = (few.seconds_error.unwrap(), many.seconds_error.unwrap());
        assert!(0.0 < less && less < error);
        // Four standard errors.
        assert!((few.seconds - many.seconds).abs() < 4.0 * error, "{few:?} {many:?}");
        let rare = RepeatModel { detected_per_group: 1e-12, ..MODEL };
        for run in [run(1, MODEL), run(1, rare), run(2, rare)] {
            assert_eq!((run.seconds_error, run.joules_error), (None, None));
            assert_eq!(run.error_basis, ErrorBasis::Unknown);
        }
    }

    /// The error without draws and calibrations is zero, and the steps are equal indeed; with calibrations it is their range; where
    /// decoding puts everything right nothing is drawn.
    #[test]
    fn a_zero_is_earned() {
        let none = RepeatModel { detected_per_group: 0.0, ..MODEL };
        for model in [None, Some(none)] {
            let result = simulate(&[("recalibration.period", "0 s")], model, 5);
            assert!(result.steps.iter().all(|&seconds| seconds == result.steps[0]), "{:?}", result.steps);
            let run = result.extrapolate(1_000, 10, 1).unwrap();
            assert_eq!((run.seconds_error, run.error_basis), (Some(0.0), ErrorBasis::Exact));
        }
        let often = &FAST[..FAST.len() - 1];
        let run = simulate(often, None, 1).extrapolate(1_000, 10, 1).unwrap();
        assert!(run.seconds_error.unwrap() > 0.0 && run.error_basis == ErrorBasis::Calibrations);
    }

    #[test]
    fn steps_are_counted_or_refused() {
        assert_eq!(steps_of_run(1_281_167, 64, 90).unwrap(), 1_801_710);
        assert!(matches!(steps_of_run(1, 0, 1), Err(SystemError::EmptyBatch)));
        assert!(matches!(steps_of_run(u64::MAX, 1, 2), Err(SystemError::TooManySteps { .. })));
    }
}
