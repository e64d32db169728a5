//! What keeps a run from beginning.

use crate::checkpoint::CheckpointError;
use crate::examples::Part;
use crate::network::MOST_ACTIVATIONS;
use crate::trainer::Task;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting is out of range.
    #[error("{what} is {found}, but must {range}")]
    Setting {
        /// Which.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it must be.
        range: &'static str,
    },
    /// There is nothing to train on, or nothing to test on.
    #[error("{train} examples to train on and {test} to test on: there must be at least one of each")]
    Empty {
        /// Examples to train on.
        train: usize,
        /// Examples to test on.
        test: usize,
    },
    /// A batch would take more memory than is accepted.
    #[error(
        "a batch of {batch} {examples} of {rows} x {columns} takes {numbers} activations, more than the {limit} that are \
         accepted; use a smaller batch or smaller {examples}"
    )]
    LargeBatch {
        /// Examples of the batch.
        batch: usize,
        /// What they are called.
        examples: &'static str,
        /// Rows of one.
        rows: usize,
        /// Columns of one.
        columns: usize,
        /// What the forward pass keeps of it.
        numbers: usize,
        /// The most that are accepted.
        limit: usize,
    },
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The images are not those that the network takes.
    #[error(
        "the network takes {expected} images with {outputs} classes, but the data has {found} images with labels up to {largest}"
    )]
    Data {
        /// Channels x rows x columns of the network.
        expected: String,
        /// Channels x rows x columns of the data.
        found: String,
        /// Classes of the network.
        outputs: usize,
        /// Largest label of the data.
        largest: u8,
    },
    /// The sequences are not those that the network takes.
    #[error(
        "the network reads {expected} and decides between {outputs} tokens, but the data has {found}, the last with as many classes as tokens"
    )]
    Sequences {
        /// Of the network.
        expected: String,
        /// Of the data.
        found: String,
        /// Classes of the network.
        outputs: usize,
    },
}

/// Whether a run can begin.
pub(super) fn check(Task { network, data, config, .. }: Task<'_>) -> Result<(), TrainError> {
    let wrong = |what, found: String, range| Err(TrainError::Setting { what, found, range });
    if config.batch == 0 {
        return wrong("batch", "0".into(), "be at least 1");
    }
    if config.record_every == 0 {
        return wrong("record_every", "0".into(), "be at least 1");
    }
    for (what, value) in [
        ("learning_rate", config.learning_rate),
        ("weight_decay", config.weight_decay),
        ("schedule.warm_up", config.schedule.warm_up),
    ] {
        if !value.is_finite() {
            return wrong(what, value.to_string(), "be finite");
        }
    }
    let [train, test] = [Part::Train, Part::Test].map(|part| data.count(part));
    if train == 0 || test == 0 {
        return Err(TrainError::Empty { train, test });
    }
    data.suits(network)?;
    // What data has fewer examples than the batch fills a part of it.
    let (batch, limit) = (config.batch.min(train.max(test)), MOST_ACTIVATIONS);
    let numbers = network.activations().saturating_mul(batch);
    if numbers > limit {
        let (rows, columns, examples) = (network.input().height, network.input().width, data.words()[1]);
        return Err(TrainError::LargeBatch { batch, examples, rows, columns, numbers, limit });
    }
    Ok(())
}
