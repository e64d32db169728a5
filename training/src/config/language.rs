//! The sections of networks that read text: `[training.language]` and `[training.translation]`.

use mirage_design::{DesignError, Value};
use serde::Deserialize;

use super::{LARGEST_BATCH, OptimiserSection, ScheduleSection, below_one, one_of};
use crate::augment::Augment;
use crate::optimiser::{Method, Moments};
use crate::schedule::Schedule;
use crate::sequences::TextOptions;
use crate::text::Level;
use crate::{OnDivergence, TrainConfig};

/// How a network that reads text is trained, in place of the values for images.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageSection {
    /// `character` or `word`.
    pub level: Value<String>,
    /// Tokens of a window; of a sentence of a pair, at most.
    pub length: Value<u32>,
    /// The most tokens of a vocabulary.
    pub vocabulary: Value<u32>,
    /// Share of the lines that is held out.
    pub held_out: Value<f64>,
    /// Share of the values that drop out in training.
    pub dropout: Value<f64>,
    /// Passes over the training sequences.
    pub epochs: Value<u32>,
    /// Sequences of a step.
    pub batch: Value<u32>,
    /// Learning rate.
    pub learning_rate: Value<f64>,
    /// Weight decay.
    pub weight_decay: Value<f64>,
    /// Steps between two records.
    pub record_every: Value<u32>,
    /// How weights follow their gradients: `adam` or `adamw`.
    pub optimiser: OptimiserSection,
    /// How the learning rate changes; it does not where this is left out.
    pub schedule: Option<ScheduleSection>,
}

/// Longest window: attention takes memory with its square.
const LONGEST: u32 = 4096;

/// Most tokens of a vocabulary.
const LARGEST_VOCABULARY: u32 = 1 << 20;

impl LanguageSection {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the value that is out of range, and the range.
    pub fn check(&self) -> Result<(), DesignError> {
        one_of(&self.level, "a level", &Level::NAMES.map(|(name, _)| name))?;
        self.length.within(2, LONGEST)?;
        self.vocabulary.within(8, LARGEST_VOCABULARY)?;
        if !(0.001..=0.5).contains(&*self.held_out) {
            return Err(self.held_out.invalid("must lie between 0.001 and 0.5"));
        }
        below_one(&self.dropout)?;
        self.epochs.within(1, 10_000)?;
        self.batch.within(1, LARGEST_BATCH)?;
        self.record_every.within(1, u32::MAX)?;
        if !(1e-9..=100.0).contains(&*self.learning_rate) {
            return Err(self.learning_rate.invalid("must lie between 1e-9 and 100"));
        }
        if !(0.0..=1.0).contains(&*self.weight_decay) {
            return Err(self.weight_decay.invalid("must lie between 0 and 1"));
        }
        one_of(&self.optimiser.method, "an optimiser for text", &["adam", "adamw"])?;
        self.optimiser.check()?;
        self.schedule.as_ref().map_or(Ok(()), |schedule| schedule.check(*self.epochs))
    }

    /// How the text becomes sequences. Call after [`Self::check`].
    pub fn options(&self) -> TextOptions {
        let level = Level::NAMES.into_iter().find(|(name, _)| *name == self.level.as_str());
        TextOptions {
            level: level.map_or(Level::Character, |(_, level)| level),
            length: *self.length as usize,
            vocabulary: *self.vocabulary as usize,
            held_out: *self.held_out,
        }
    }

    /// The plain numbers. Call after [`Self::check`].
    pub fn config(&self, seed: u64) -> TrainConfig {
        let OptimiserSection { method, beta1, beta2, epsilon } = &self.optimiser;
        let moments = Moments { beta1: **beta1, beta2: **beta2, epsilon: **epsilon };
        TrainConfig {
            epochs: *self.epochs,
            batch: *self.batch as usize,
            learning_rate: *self.learning_rate,
            schedule: self.schedule.as_ref().map_or_else(Schedule::default, ScheduleSection::schedule),
            method: if method.as_str() == "adam" { Method::Adam(moments) } else { Method::AdamW(moments) },
            weight_decay: *self.weight_decay,
            augment: Augment::default(),
            on_divergence: OnDivergence::Stop,
            record_every: *self.record_every,
            seed,
        }
    }
}
