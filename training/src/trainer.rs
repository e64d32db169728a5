//! One training run.

mod check;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::Rng;
use rand_pcg::Pcg64;

use crate::augment::Variation;
use crate::checkpoint::Checkpoints;
use crate::config::OnDivergence;
use crate::examples::{Examples, Part};
use crate::gemm::{Gemm, Tally};
use crate::layers::{NO_LABEL, cross_entropy, softmax_cross_entropy};
use crate::optimiser::Optimiser;
use crate::parameters::{Gradients, Parameters};
use crate::record::{Label, Record};
use crate::tape::{Moment, Tape};
use crate::tensor::{Pool, Tensor};
use crate::{Network, TrainConfig};
use check::check;

pub use check::TrainError;

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
    /// Its examples; they must be what the network reads.
    pub data: &'t dyn Examples,
    /// The settings.
    pub config: &'t TrainConfig,
    /// What the weights start from, where it is not the seed: those of [`crate::weights_of`].
    pub weights: Option<&'t Parameters>,
}

/// What weights make of the test set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Share of the places with a label, images or tokens, whose class is found.
    pub accuracy: f64,
    /// Mean cross-entropy of these places in nats.
    pub loss: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs were done, though steps may have been skipped: see [`Run::skipped`].
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
    /// Steps done, skipped ones included.
    pub steps: u64,
    /// Steps whose update was left out because a value was not finite.
    pub skipped: u64,
    /// Where a value first was not finite, if one ever was.
    pub divergence: Option<Divergence>,
    /// All records, those from before a resumed checkpoint included.
    pub records: Vec<Record>,
    /// Share of test images or tokens whose class the last weights find; `None` for a run that was cancelled before it
    /// was measured.
    pub test_accuracy: Option<f64>,
    /// Mean cross-entropy of the same in nats.
    pub test_loss: Option<f64>,
    /// What the training products met, by site and pass.
    pub training: Tally,
    /// What the evaluation products met.
    pub evaluation: Tally,
    /// The last weights and statistics.
    pub parameters: Parameters,
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
/// number is never the largest, and a place without any number counts as class 0. A run whose logits are
/// all lost therefore scores the share of class 0, which is chance. With [`OnDivergence::Continue`] the run goes on with
/// the next step instead.
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
    let state = State::start(task);
    train_from(state, (task, gemm, label), None, cancel, observe)
}

/// As [`train`], but from a state of the same task, and with checkpoints: where they are due, where `cancel` stops the run, and
/// at its end.
pub(crate) fn train_from(
    state: State,
    (task, gemm, label): (Task<'_>, &dyn Gemm, &Label),
    checkpoints: Option<&Checkpoints>,
    cancel: &AtomicBool,
    observe: &mut dyn FnMut(&Record),
) -> Result<Run, TrainError> {
    check(task)?;
    let (pool, labels) = (Pool::default(), Vec::new());
    let mut trainer = Trainer { task, gemm, label, pool, labels, state };
    let outcome = trainer.run(checkpoints, cancel, observe)?;
    let State { steps, skipped, divergence, records, test, training, evaluation, parameters, .. } =
        trainer.state;
    let (test_accuracy, test_loss) = (test.map(|test| test.accuracy), test.map(|test| test.loss));
    let measured = Run {
        outcome,
        steps,
        skipped,
        divergence,
        records,
        test_accuracy,
        test_loss,
        training,
        evaluation,
        parameters,
    };
    Ok(measured)
}

/// All that changes in the course of a run. Order of the images, their variation and dropout follow from the seed and the
/// place in the run, and need no memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    /// Epoch of the next step, from 1.
    pub epoch: u32,
    /// Steps of that epoch that are done.
    pub done: u64,
    pub steps: u64,
    pub skipped: u64,
    /// Batches of evaluation so far.
    pub evaluated: u64,
    /// Whether the run is over, finished or diverged.
    pub ended: bool,
    pub divergence: Option<Divergence>,
    pub test: Option<Measured>,
    pub losses: Mean,
    pub training: Tally,
    pub evaluation: Tally,
    pub parameters: Parameters,
    pub optimiser: Optimiser,
    pub records: Vec<Record>,
}

impl State {
    /// Before the first step.
    pub fn start(Task { network, config, weights, .. }: Task<'_>) -> Self {
        let initial = || Parameters::initial(network.parameters(), config.seed);
        Self::start_with(weights.cloned().unwrap_or_else(initial), network, config)
    }

    /// Before the first step, with these weights.
    pub fn start_with(parameters: Parameters, network: &Network, config: &TrainConfig) -> Self {
        let optimiser = Optimiser::new(network.parameters(), config.method, config.weight_decay);
        Self {
            epoch: 1,
            done: 0,
            steps: 0,
            skipped: 0,
            evaluated: 0,
            ended: false,
            divergence: None,
            test: None,
            losses: Mean::default(),
            training: Tally::default(),
            evaluation: Tally::default(),
            parameters,
            optimiser,
            records: Vec::new(),
        }
    }
}

struct Trainer<'t> {
    task: Task<'t>,
    gemm: &'t dyn Gemm,
    label: &'t Label,
    pool: Pool,
    labels: Vec<u32>,
    state: State,
}

/// Of the losses since the last record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Mean {
    pub sum: f64,
    pub count: f64,
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

impl Trainer<'_> {
    fn run(
        &mut self,
        checkpoints: Option<&Checkpoints>,
        cancel: &AtomicBool,
        observe: &mut dyn FnMut(&Record),
    ) -> Result<Outcome, TrainError> {
        let Task { config, data, .. } = self.task;
        let mut generator = Pcg64::new(u128::from(config.seed), ORDER_STREAM);
        let mut order: Vec<u32> = (0..).take(data.count(Part::Train)).collect();
        let per_epoch = order.len().div_ceil(config.batch) as u64;
        for epoch in 1..=config.epochs {
            shuffle(&mut order, &mut generator);
            // What a resumed run has done already costs no more than its order.
            while self.state.epoch == epoch && !self.state.ended {
                if cancel.load(Ordering::Relaxed) {
                    self.save(checkpoints)?;
                    return Ok(Outcome::Cancelled);
                }
                let first = self.state.done as usize * config.batch;
                let items = &order[first..order.len().min(first + config.batch)];
                self.one(items, per_epoch, observe);
                if self.state.ended || checkpoints.is_some_and(|c| c.is_due(self.state.steps, per_epoch)) {
                    self.save(checkpoints)?;
                }
            }
        }
        let stopped = self.state.divergence.clone().filter(|_| config.on_divergence == OnDivergence::Stop);
        Ok(stopped.map_or(Outcome::Finished, Outcome::Diverged))
    }

    fn save(&self, checkpoints: Option<&Checkpoints>) -> Result<(), TrainError> {
        Ok(checkpoints.map_or(Ok(()), |checkpoints| checkpoints.save(&self.state))?)
    }

    /// One step, and what is to be told after it.
    fn one(&mut self, items: &[u32], per_epoch: u64, observe: &mut dyn FnMut(&Record)) {
        let config = self.task.config;
        let epoch = self.state.epoch;
        let broken = self.step(items, per_epoch).err();
        if let Some((place, backward)) = broken {
            let step = self.state.steps + 1;
            self.state.divergence.get_or_insert(Divergence { epoch, step, place, backward });
            if config.on_divergence == OnDivergence::Stop {
                self.state.test = Some(self.evaluate());
                self.state.ended = true;
                return self.tell(epoch, step, true, observe);
            }
            self.state.skipped += 1;
        }
        self.state.steps += 1;
        self.state.done += 1;
        let last = self.state.done == per_epoch;
        if last {
            self.state.test = Some(self.evaluate());
            (self.state.epoch, self.state.done) = (epoch + 1, 0);
            self.state.ended = epoch == config.epochs;
        }
        if last || self.state.steps.is_multiple_of(u64::from(config.record_every)) {
            self.tell(epoch, self.state.steps, last, observe);
        }
    }

    fn tell(&mut self, epoch: u32, step: u64, measured: bool, observe: &mut dyn FnMut(&Record)) {
        let state = &mut self.state;
        let mut record = Record::new(self.label, epoch, step, state.losses.take(), state.training.total());
        if let Some(test) = state.test.filter(|_| measured) {
            record.measure(test, self.task.data.is_text());
        }
        observe(&record);
        state.records.push(record);
    }

    /// One step; else where it stopped being finite, and whether that was on the way back.
    fn step(&mut self, items: &[u32], per_epoch: u64) -> Result<(), (String, bool)> {
        let Task { network, config, .. } = self.task;
        let gradients = self.gradients(items).map_err(|layer| (layer, false))?;
        if let Some(id) = gradients.first_not_finite() {
            gradients.give(&mut self.pool);
            return Err((network.parameters()[id.index()].name.clone(), true));
        }
        let factor = config.schedule.factor(self.state.steps, per_epoch, config.epochs);
        let rate = (config.learning_rate * factor) as f32;
        let State { parameters, optimiser, .. } = &mut self.state;
        optimiser.update(network.parameters(), parameters, &gradients, rate);
        parameters.follow(&gradients);
        gradients.give(&mut self.pool);
        Ok(())
    }

    fn gradients(&mut self, items: &[u32]) -> Result<Gradients, String> {
        let Task { network, config, .. } = self.task;
        let variation = config.augment.variation(config.seed, self.state.epoch);
        let batch = self.batch(Part::Train, items, variation);
        let moment = Moment { seed: config.seed, step: self.state.steps, training: true };
        let State { parameters, training, losses, .. } = &mut self.state;
        let mut tape = Tape::new(self.gemm, parameters, &mut self.pool, training, moment);
        let input = tape.input(batch);
        let logits = network.forward(&mut tape, input);
        tape.enter("the loss");
        let loss = softmax_cross_entropy(&mut tape, logits, &self.labels);
        let value = tape.value(loss).data()[0];
        losses.add(value);
        if value.is_finite() {
            return Ok(tape.backward(loss));
        }
        let place = tape.first_not_finite().unwrap_or("the loss").to_owned();
        tape.finish();
        Err(place)
    }

    fn batch(&mut self, part: Part, items: &[u32], variation: Option<Variation>) -> Tensor {
        let Task { network, data, .. } = self.task;
        let mut batch = self.pool.tensor(network.input().with_batch(items.len()));
        data.batch(part, (items, variation), &mut batch, &mut self.labels);
        batch
    }

    fn evaluate(&mut self) -> Measured {
        let Task { network, data, config, .. } = self.task;
        let items: Vec<u32> = (0..).take(data.count(Part::Test)).collect();
        let (mut right, mut asked, mut loss) = (0_usize, 0_usize, 0.0);
        for items in items.chunks(config.batch) {
            let batch = self.batch(Part::Test, items, None);
            let step = EVALUATION_STEP + self.state.evaluated;
            let moment = Moment { seed: config.seed, step, training: false };
            self.state.evaluated += 1;
            let State { parameters, evaluation, .. } = &mut self.state;
            let mut tape = Tape::new(self.gemm, parameters, &mut self.pool, evaluation, moment);
            let input = tape.input(batch);
            let logits = network.forward(&mut tape, input);
            let pairs = classes(tape.value(logits)).zip(&self.labels);
            right += pairs.filter(|(class, label)| **label != NO_LABEL && *class == **label as usize).count();
            let (sum, count) = cross_entropy(tape.value(logits), &self.labels, None);
            loss += sum;
            asked += count;
            tape.finish();
        }
        let share = |sum: f64| sum / asked.max(1) as f64;
        Measured { accuracy: share(right as f64), loss: share(loss) }
    }
}

/// The class of each column, as [`train`] says.
pub(crate) fn classes(logits: &Tensor) -> impl Iterator<Item = usize> {
    let columns = logits.data().len() / logits.shape().channels;
    let mut best = vec![(0, f32::NEG_INFINITY); columns];
    for (class, row) in logits.data().chunks_exact(columns).enumerate() {
        for (best, &x) in best.iter_mut().zip(row) {
            if x > best.1 {
                *best = (class, x);
            }
        }
    }
    best.into_iter().map(|(class, _)| class)
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
