//! What keeps a run from beginning.

use crate::checkpoint::CheckpointError;
use crate::layers::chain_output;
use crate::network::MOST_ACTIVATIONS;
use crate::tensor::Shape;
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
    #[error("{train} training images and {test} test images: there must be at least one of each")]
    Empty {
        /// Training images.
        train: usize,
        /// Test images.
        test: usize,
    },
    /// A batch would take more memory than is accepted.
    #[error(
        "a batch of {batch} images of {rows} x {columns} takes {numbers} activations, more than the {limit} that are \
         accepted; use a smaller batch or smaller images"
    )]
    LargeBatch {
        /// Images of the batch.
        batch: usize,
        /// Rows of an image.
        rows: usize,
        /// Columns of an image.
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
}

/// Whether a run can begin.
pub(super) fn check(Task { network, data, config }: Task<'_>) -> Result<(), TrainError> {
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
    let (train, test) = (data.train().len(), data.test().len());
    if train == 0 || test == 0 {
        return Err(TrainError::Empty { train, test });
    }
    let input = network.input();
    let outputs = chain_output(network.layers(), input).map_or(0, |shape| shape.features());
    let found = data.train().shape();
    let largest = data.train().labels().iter().chain(data.test().labels()).copied().max().unwrap_or(0);
    if input != found || usize::from(largest) >= outputs {
        let text = |shape: Shape| format!("{} x {} x {}", shape.channels, shape.height, shape.width);
        return Err(TrainError::Data { expected: text(input), found: text(found), outputs, largest });
    }
    // What data has fewer images than the batch fills a part of it.
    let (batch, limit) = (config.batch.min(train.max(test)), MOST_ACTIVATIONS);
    let numbers = network.activations().saturating_mul(batch);
    if numbers > limit {
        let (rows, columns) = (input.height, input.width);
        return Err(TrainError::LargeBatch { batch, rows, columns, numbers, limit });
    }
    Ok(())
}
