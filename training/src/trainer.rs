//! One training run.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::Rng;
use rand_pcg::Pcg64;

use crate::dataset::{Dataset, Images};
use crate::gemm::{Gemm, Tally};
use crate::layers::softmax_cross_entropy;
use crate::network::MOST_ACTIVATIONS;
use crate::parameters::{Gradients, Parameters, Sgd};
use crate::record::{Label, Record};
use crate::tape::Tape;
use crate::tensor::{Pool, Shape, Tensor};
use crate::{Network, TrainConfig};

/// `Site::step` of evaluation products: this plus a running number, so that training and evaluation never
/// share random draws.
pub const EVALUATION_STEP: u64 = 1 << 62;

/// Stream of the generator that orders the images; those of initial weights are counted from 1.
const ORDER_STREAM: u128 = 1 << 64;

/// What is trained, on what, and how.
#[derive(Clone, Copy)]
pub struct Task<'t> {
    /// The network.
    pub network: &'t Network,
    /// Its images; they must have the network's input size.
    pub data: &'t Dataset,
    /// The settings.
    pub config: &'t TrainConfig,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs were done.
    Finished,
    /// A value stopped being finite.
    Diverged(Divergence),
    /// Somebody asked it to stop.
    Cancelled,
}

impl Outcome {
    /// Whether a value stopped being finite.
    pub fn is_diverged(&self) -> bool {
        matches!(self, Self::Diverged(_))
    }
}

/// Where a run stopped being finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The step, from 1.
    pub step: u64,
    /// The layer, or the parameter, that was the first to hold a value which is not finite.
    pub place: String,
    /// Whether that was on the way back; if not, it was on the way forward.
    pub backward: bool,
}

/// What is left of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// Steps whose update was done.
    pub steps: u64,
    /// Share of test images whose class the last weights find; `None` for a run that was cancelled before it
    /// was measured.
    pub test_accuracy: Option<f64>,
    /// What the training products met, by site and pass.
    pub training: Tally,
    /// What the evaluation products met.
    pub evaluation: Tally,
    /// The last weights.
    pub parameters: Parameters,
}

/// Why a run could not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.backward { "gradient" } else { "output" };
        let Self { epoch, step, place, .. } = self;
        write!(f, "the {what} of {place} stopped being finite in step {step} (epoch {epoch})")
    }
}

/// Trains from the network's initial weights and evaluates after each epoch, with every product through
/// `gemm`. Weights and batches depend on the seed alone, not on `gemm`. `observe` gets a record every
/// `record_every` steps, at the end of each epoch, and where the run stops.
///
/// When a loss or a gradient is not finite the run stops before that step's update, and the accuracy is that
/// of the weights so far: an image's class is its largest logit, the first among equals; what is not a
/// number is never the largest, and an image without any number counts as class 0. A run whose logits are
/// all lost therefore scores the share of class 0, which is chance.
///
/// `cancel` is looked at before every step.
///
/// # Errors
/// When a setting is out of range or the images do not fit the network.
pub fn train(
    task: Task<'_>,
    gemm: &dyn Gemm,
    label: &Label,
    cancel: &AtomicBool,
    observe: &mut dyn FnMut(&Record),
) -> Result<Run, TrainError> {
    check(task)?;
    let mut trainer = Trainer::new(task, gemm, label);
    let outcome = trainer.run(cancel, observe);
    let Trainer { training, evaluation, parameters, steps, test_accuracy, .. } = trainer;
    Ok(Run { outcome, steps, test_accuracy, training, evaluation, parameters })
}

fn check(Task { network, data, config }: Task<'_>) -> Result<(), TrainError> {
    let wrong = |what, found: String, range| Err(TrainError::Setting { what, found, range });
    if config.batch == 0 {
        return wrong("batch", "0".into(), "be at least 1");
    }
    if config.record_every == 0 {
        return wrong("record_every", "0".into(), "be at least 1");
    }
    for (what, value) in [
        ("learning_rate", config.learning_rate),
        ("momentum", config.momentum),
        ("weight_decay", config.weight_decay),
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
    let output = network.layers().iter().try_fold(input, |shape, layer| layer.output(shape));
    let outputs = output.map_or(0, |shape| shape.features());
    let (rows, columns) = data.train().size();
    let largest = data.train().labels().iter().chain(data.test().labels()).copied().max().unwrap_or(0);
    if (input.channels, input.height, input.width) != (1, rows, columns) || usize::from(largest) >= outputs {
        let expected = format!("{} x {} x {}", input.channels, input.height, input.width);
        return Err(TrainError::Data {
            expected,
            found: format!("1 x {rows} x {columns}"),
            outputs,
            largest,
        });
    }
    // What data has fewer images than the batch fills a part of it.
    let (batch, limit) = (config.batch.min(train.max(test)), MOST_ACTIVATIONS);
    let numbers = network.activations().saturating_mul(batch);
    if numbers > limit {
        return Err(TrainError::LargeBatch { batch, rows, columns, numbers, limit });
    }
    Ok(())
}

struct Trainer<'t> {
    task: Task<'t>,
    gemm: &'t dyn Gemm,
    label: &'t Label,
    parameters: Parameters,
    sgd: Sgd,
    pool: Pool,
    training: Tally,
    evaluation: Tally,
    labels: Vec<u8>,
    steps: u64,
    evaluated: u64,
    test_accuracy: Option<f64>,
    losses: Mean,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f32) {
        self.sum += f64::from(value);
        self.count += 1.0;
    }

    /// The mean so far, which starts anew. Without any value it is not a number.
    fn take(&mut self) -> f64 {
        let Self { sum, count } = std::mem::take(self);
        sum / count
    }
}

impl<'t> Trainer<'t> {
    fn new(task: Task<'t>, gemm: &'t dyn Gemm, label: &'t Label) -> Self {
        let specs = task.network.parameters();
        let config = task.config;
        Self {
            task,
            gemm,
            label,
            parameters: Parameters::initial(specs, config.seed),
            sgd: Sgd::new(specs, config.momentum as f32, config.weight_decay as f32),
            pool: Pool::default(),
            training: Tally::default(),
            evaluation: Tally::default(),
            labels: Vec::new(),
            steps: 0,
            evaluated: 0,
            test_accuracy: None,
            losses: Mean::default(),
        }
    }

    fn run(&mut self, cancel: &AtomicBool, observe: &mut dyn FnMut(&Record)) -> Outcome {
        let config = self.task.config;
        let mut generator = Pcg64::new(u128::from(config.seed), ORDER_STREAM);
        let mut order: Vec<u32> = (0..).take(self.task.data.train().len()).collect();
        for epoch in 1..=config.epochs {
            shuffle(&mut order, &mut generator);
            let batches = order.len().div_ceil(config.batch);
            for (index, items) in order.chunks(config.batch).enumerate() {
                if cancel.load(Ordering::Relaxed) {
                    return Outcome::Cancelled;
                }
                if let Err((place, backward)) = self.step(items) {
                    let step = self.steps + 1;
                    self.test_accuracy = Some(self.evaluate());
                    self.tell(epoch, step, true, observe);
                    return Outcome::Diverged(Divergence { epoch, step, place, backward });
                }
                let last = index + 1 == batches;
                if last {
                    self.test_accuracy = Some(self.evaluate());
                }
                if last || self.steps.is_multiple_of(u64::from(config.record_every)) {
                    self.tell(epoch, self.steps, last, observe);
                }
            }
        }
        Outcome::Finished
    }

    fn tell(&mut self, epoch: u32, step: u64, measured: bool, observe: &mut dyn FnMut(&Record)) {
        let mut record = Record::new(self.label, epoch, step, self.losses.take(), self.training.total());
        record.test_accuracy = self.test_accuracy.filter(|_| measured);
        observe(&record);
    }

    /// One step; else where it stopped being finite, and whether that was on the way back.
    fn step(&mut self, items: &[u32]) -> Result<(), (String, bool)> {
        let Task { network, config, .. } = self.task;
        let gradients = self.gradients(items).map_err(|layer| (layer, false))?;
        if let Some(id) = gradients.last_not_finite() {
            return Err((network.parameters()[id.index()].name.clone(), true));
        }
        let rate = config.learning_rate as f32;
        self.sgd.update(network.parameters(), &mut self.parameters, &gradients, rate);
        gradients.give(&mut self.pool);
        self.steps += 1;
        Ok(())
    }

    fn gradients(&mut self, items: &[u32]) -> Result<Gradients, String> {
        let Task { network, data, .. } = self.task;
        let batch = self.batch(data.train(), items);
        let (gemm, parameters, step) = (self.gemm, &self.parameters, self.steps);
        let mut tape = Tape::new(gemm, parameters, &mut self.pool, &mut self.training, step);
        let input = tape.input(batch);
        let logits = network.forward(&mut tape, input);
        tape.enter(network.layers().len());
        let loss = softmax_cross_entropy(&mut tape, logits, &self.labels);
        let value = tape.value(loss).data()[0];
        self.losses.add(value);
        if value.is_finite() {
            return Ok(tape.backward(loss));
        }
        let layer = tape.first_not_finite().and_then(|index| network.layers().get(index));
        let place = layer.map_or("the loss", |layer| layer.name()).to_owned();
        tape.finish();
        Err(place)
    }

    fn batch(&mut self, part: &Images, items: &[u32]) -> Tensor {
        let Task { network, data, .. } = self.task;
        let mut batch = self.pool.tensor(network.input().with_batch(items.len()));
        data.fill(part, items, &mut batch, &mut self.labels);
        batch
    }

    fn evaluate(&mut self) -> f64 {
        let Task { network, data, config } = self.task;
        let items: Vec<u32> = (0..).take(data.test().len()).collect();
        let mut right = 0_usize;
        for items in items.chunks(config.batch) {
            let batch = self.batch(data.test(), items);
            let step = EVALUATION_STEP + self.evaluated;
            self.evaluated += 1;
            let tape = Tape::new(self.gemm, &self.parameters, &mut self.pool, &mut self.evaluation, step);
            let mut tape = tape.without_gradients();
            let input = tape.input(batch);
            let logits = network.forward(&mut tape, input);
            let pairs = classes(tape.value(logits)).zip(&self.labels);
            right += pairs.filter(|(class, label)| *class == usize::from(**label)).count();
            tape.finish();
        }
        right as f64 / data.test().len() as f64
    }
}

/// The class of each image, as [`train`] says.
fn classes(logits: &Tensor) -> impl Iterator<Item = usize> {
    let Shape { batch, .. } = logits.shape();
    (0..batch).map(move |image| {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, row) in logits.data().chunks_exact(batch).enumerate() {
            if row[image] > best.1 {
                best = (class, row[image]);
            }
        }
        best.0
    })
}

/// Fisher-Yates; the bounded draw is Lemire's multiplication (ACM TOMACS 29, 2019) without its rejection: the
/// bias is below 2^-32 for any set that fits `u32` indices.
fn shuffle(order: &mut [u32], generator: &mut Pcg64) {
    for last in (1..order.len()).rev() {
        let draw = (u128::from(generator.next_u64()) * (last as u128 + 1)) >> 64;
        order.swap(last, draw as usize);
    }
}

#[cfg(test)]
mod tests;
