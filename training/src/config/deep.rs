//! The section of the deeper networks for images: `[training.deep]`.

use mirage_design::{DesignError, Value};
use serde::Deserialize;

use super::{AugmentSection, LARGEST_BATCH, LARGEST_FRAME, ScheduleSection, below_one};
use crate::augment::Augment;
use crate::optimiser::Method;
use crate::schedule::Schedule;
use crate::{OnDivergence, TrainConfig};

/// Networks that `[training.deep]` is for.
const DEEP: [&str; 2] = ["resnet20", "mobilenet-small"];

/// How `resnet20` and `mobilenet-small` are trained, in place of the values for the small network: by SGD with momentum.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepSection {
    /// Passes over the training images.
    pub epochs: Value<u32>,
    /// Images of a step.
    pub batch: Value<u32>,
    /// Learning rate.
    pub learning_rate: Value<f64>,
    /// Momentum.
    pub momentum: Value<f64>,
    /// Weight decay.
    pub weight_decay: Value<f64>,
    /// Steps between two records.
    pub record_every: Value<u32>,
    /// How the learning rate changes; it does not where this is left out.
    pub schedule: Option<ScheduleSection>,
    /// How training images are varied; they are not where this is left out.
    pub augment: Option<AugmentSection>,
}

impl DeepSection {
    /// Whether it is for this network.
    pub fn is_for(network: &str) -> bool {
        DEEP.contains(&network)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names the value that is out of range, and the range.
    pub fn check(&self) -> Result<(), DesignError> {
        self.epochs.within(1, 10_000)?;
        self.batch.within(1, LARGEST_BATCH)?;
        self.record_every.within(1, u32::MAX)?;
        if !(1e-9..=100.0).contains(&*self.learning_rate) {
            return Err(self.learning_rate.invalid("must lie between 1e-9 and 100"));
        }
        below_one(&self.momentum)?;
        if !(0.0..=1.0).contains(&*self.weight_decay) {
            return Err(self.weight_decay.invalid("must lie between 0 and 1"));
        }
        self.schedule.as_ref().map_or(Ok(()), |schedule| schedule.check(*self.epochs))?;
        self.augment.as_ref().map_or(Ok(()), |augment| augment.frame.within(0, LARGEST_FRAME))
    }

    /// The plain numbers. Call after [`Self::check`].
    pub fn config(&self, seed: u64) -> TrainConfig {
        TrainConfig {
            epochs: *self.epochs,
            batch: *self.batch as usize,
            learning_rate: *self.learning_rate,
            schedule: self.schedule.as_ref().map_or_else(Schedule::default, ScheduleSection::schedule),
            method: Method::Sgd { momentum: *self.momentum },
            weight_decay: *self.weight_decay,
            augment: self.augment.as_ref().map_or_else(Augment::default, AugmentSection::augment),
            on_divergence: OnDivergence::Stop,
            record_every: *self.record_every,
            seed,
        }
    }
}
