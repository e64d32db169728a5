//! The design file's `[training]` section.

use mirage_design::{DesignError, Value};
use serde::Deserialize;

use crate::error::did_you_mean;

/// How a run is done.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images of a step; the last step of an epoch takes what is left.
    pub batch: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// What is kept of the velocity from step to step, from 0 to below 1.
    pub momentum: f64,
    /// Pull of the weights towards zero, per unit of learning rate.
    pub weight_decay: f64,
    /// Steps between two records.
    pub record_every: u32,
    /// Of initial weights, order of images and errors.
    pub seed: u64,
}

impl TrainConfig {
    /// Steps of the whole run on so many training images.
    pub fn steps(&self, images: usize) -> u64 {
        u64::from(self.epochs) * images.div_ceil(self.batch.max(1)) as u64
    }
}

impl Default for TrainConfig {
    /// Settings with which the small network learns the Fashion-MNIST subset.
    fn default() -> Self {
        Self {
            epochs: 3,
            batch: 50,
            learning_rate: 0.007,
            momentum: 0.9,
            weight_decay: 1e-4,
            record_every: 10,
            seed: 1,
        }
    }
}

/// `[training]` as it stands in the design file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSection {
    /// Name of the network, one of [`crate::NETWORKS`].
    pub network: Value<String>,
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
    /// Seed, where it is not to be the run's.
    pub seed: Option<Value<u64>>,
    /// The sweep over error rates.
    pub sweep: Option<crate::SweepSection>,
}

/// Largest batch: of images of 28 x 28, it keeps the buffers of a step of the small network near a gigabyte.
const LARGEST_BATCH: u32 = 4096;

impl TrainingSection {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the value that is out of range, and the range.
    pub fn check(&self) -> Result<(), DesignError> {
        if !crate::NETWORKS.contains(&self.network.as_str()) {
            let hint = did_you_mean(&self.network, crate::NETWORKS);
            let known = crate::NETWORKS.join(", ");
            return Err(self.network.invalid(format!("must be the name of a network: {known}{hint}")));
        }
        within(&self.epochs, 1, 10_000)?;
        within(&self.batch, 1, LARGEST_BATCH)?;
        within(&self.record_every, 1, u32::MAX)?;
        let rate = &self.learning_rate;
        if !(1e-9..=100.0).contains(&**rate) {
            return Err(rate.invalid("must lie between 1e-9 and 100"));
        }
        if !(0.0..1.0).contains(&*self.momentum) {
            return Err(self.momentum.invalid("must be at least 0 and below 1"));
        }
        if !(0.0..=1.0).contains(&*self.weight_decay) {
            return Err(self.weight_decay.invalid("must lie between 0 and 1"));
        }
        self.sweep.as_ref().map_or(Ok(()), crate::SweepSection::check)
    }

    /// The plain numbers; `seed` stands in where the section has none. Call after [`Self::check`].
    pub fn config(&self, seed: u64) -> TrainConfig {
        TrainConfig {
            epochs: *self.epochs,
            batch: *self.batch as usize,
            learning_rate: *self.learning_rate,
            momentum: *self.momentum,
            weight_decay: *self.weight_decay,
            record_every: *self.record_every,
            seed: self.seed.as_ref().map_or(seed, |seed| **seed),
        }
    }
}

pub(crate) fn within(value: &Value<u32>, lowest: u32, highest: u32) -> Result<(), DesignError> {
    if (lowest..=highest).contains(&**value) {
        return Ok(());
    }
    Err(value.invalid(format!("must lie between {lowest} and {highest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[training]
network = "small-cnn"
epochs = { value = 3, mark = "choice" }
batch = 50
learning_rate = 0.05
momentum = 0.9
weight_decay = 1e-4
record_every = 20
"#;

    fn read(text: &str) -> Result<TrainingSection, DesignError> {
        let document = mirage_design::Document::new(text, "d.toml")?;
        let section: TrainingSection = document.section("training")?;
        section.check().map_err(|error| document.locate(error))?;
        Ok(section)
    }

    #[test]
    fn a_good_section_gives_its_numbers() {
        let section = read(GOOD).unwrap();
        let config = section.config(7);
        assert_eq!((config.epochs, config.batch, config.seed), (3, 50, 7));
        // Batches of 50: three, the last with 10 images.
        assert_eq!(config.steps(110), 9);
        let own = read(&GOOD.replace("batch = 50", "batch = 50\nseed = 9")).unwrap();
        assert_eq!(own.config(7).seed, 9);
    }

    #[test]
    fn every_value_out_of_range_is_an_error_with_its_line() {
        for (from, to, line, says) in [
            ("\"small-cnn\"", "\"small-cn\"", 3, "did you mean \"small-cnn\"?"),
            ("value = 3", "value = 0", 4, "between 1 and 10000"),
            ("batch = 50", "batch = 5000", 5, "between 1 and 4096"),
            ("batch = 50", "batch = -1", 5, ""),
            ("0.05", "0", 6, "between 1e-9 and 100"),
            ("0.05", "nan", 6, ""),
            ("0.9", "1.0", 7, "below 1"),
            ("1e-4", "-1e-4", 8, "between 0 and 1"),
            ("record_every = 20", "record_every = 0", 9, "between 1"),
            ("record_every", "record_evry", 9, "record_every"),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(error.line(), Some(line), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
