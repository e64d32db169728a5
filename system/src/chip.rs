//! The chip: a design made into numbers, and the simulation of training steps on it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mirage_arithmetic::{BfpFormat, GemmEntry, Pass};
use rand_pcg::Pcg64;

use crate::SystemError;
use crate::design::{Dataflow, System};
use crate::energy::{ByComponent, Component, Parts};
use crate::engine::{Engine, Photonic};
use crate::machine::{Machine, Nest, Plans, Program, Setup, Stored, cut, room};
use crate::plan::Stationary;
use crate::repeats::RepeatModel;
use crate::result::StepResult;
use crate::trace::Trace;
use crate::workload::{Operation, Stage, Step, Tensor, TensorId, TensorKind, Work};

/// A design made into numbers.
#[derive(Debug, Clone)]
pub struct Chip {
    system: System,
    engine: Engine,
    setup: Setup,
}

/// What a simulation needs besides chip and step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Products that are read again; `None` for a chip without errors.
    pub repeats: Option<RepeatModel>,
    /// Seeds the draws of repeats.
    pub seed: u64,
    /// Steps to simulate, one after the other; at least one.
    pub steps: u32,
    /// Chips that share the gradients of their parts of the batch over a ring; the step is that of one of them.
    pub chips: u64,
    /// Writes down what every part did when, in intervals of so many ticks (0: as it was); see [`crate::trace::Trace`].
    pub trace: Option<u64>,
    /// Spans of the trace beyond which its grain doubles; 0 for no limit.
    pub trace_spans: usize,
}

impl Default for Options {
    /// One step of one chip without errors, without a trace.
    fn default() -> Self {
        Self { repeats: None, seed: 0, steps: 1, chips: 1, trace: None, trace_spans: 0 }
    }
}

impl Options {
    fn check(&self) -> Result<(), SystemError> {
        if let Some(model) = self.repeats {
            model.check()?;
        }
        let numbers = [
            ("the number of simulated steps", u64::from(self.steps), 1_000_000),
            ("the number of chips", self.chips, 1_000_000),
        ];
        for (what, value, largest) in numbers {
            if !(1..=largest).contains(&value) {
                let (value, largest) = (value as f64, largest as f64);
                return Err(SystemError::OutOfRange { what, value, smallest: 1.0, largest });
            }
        }
        Ok(())
    }
}

impl Chip {
    /// A chip from its design, the format of its operands and the parts of its photonic units.
    ///
    /// # Errors
    /// [`SystemError::Design`] for a section that does not pass [`System::check_for`], [`SystemError::Format`] for a format
    /// that there is not, [`SystemError::OutOfRange`] for a laser power that is no power.
    pub fn new(system: &System, format: BfpFormat, parts: &Parts) -> Result<Self, SystemError> {
        format.check()?;
        system.check_for(format)?;
        parts.check()?;
        Self::with_engine(system, Engine::Photonic(Photonic::new(system, format, parts)?))
    }

    /// The same chip around another engine; the section is checked by the caller.
    pub(crate) fn with_engine(system: &System, engine: Engine) -> Result<Self, SystemError> {
        let setup = Setup::new(system, &engine)?;
        Ok(Self { system: system.clone(), engine, setup })
    }

    /// Multiply-accumulates a second with every row and column of every unit in use.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.engine.peak()
    }

    /// Power while the chip is on, actions not included, by component, W.
    #[must_use]
    pub fn standing_power(&self) -> ByComponent {
        Component::ALL.map(|component| self.engine.costs().power(component))
    }

    /// Bytes a second of the off-chip memory.
    #[must_use]
    pub fn memory_bandwidth(&self) -> f64 {
        self.system.memory.bandwidth.si() * f64::from(*self.system.memory.channels.get())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Time of a product by the closed form, in ticks of one picosecond. With T tiles of ceil(rows / unit rows) x ceil(K / group) on
    /// U units, cut into c blocks of vectors, ceil(T / U) (c programming + N / clock) + issue + pipeline latency + drain of the last
    /// block. It holds when nothing else limits: no repeats, memories fast enough, `blocking` programming.
    ///
    /// # Errors
    /// [`SystemError`] for a product that cannot be simulated.
    pub fn closed_form(&self, entry: &GemmEntry, stationary: Stationary) -> Result<u64, SystemError> {
        let (step, _) = product_step(std::slice::from_ref(entry));
        let nest = self.nest(&step, &step.operations[0], entry, stationary)?;
        let last = nest.slice(nest.slices() - 1, &nest.no_room());
        let drain = self.setup.drain.ticks(nest.block_results(&last).saturating_mul(4));
        let fixed = self.setup.issue + self.engine.timing().pipeline + drain;
        let total = nest.streaming(&self.engine)?.checked_add(fixed);
        total.ok_or_else(|| SystemError::Overflow { what: "the time of a product".to_owned() })
    }

    /// A product cut with all its operands off the chip.
    fn nest(
        &self,
        step: &Step,
        operation: &Operation,
        entry: &GemmEntry,
        stationary: Stationary,
    ) -> Result<Nest, SystemError> {
        let stored = |id: TensorId| Stored::of(step.tensor(id), &self.engine);
        let [left, right] = match stationary {
            Stationary::Second => [operation.reads[1], operation.reads[0]],
            _ => [operation.reads[0], operation.reads[1]],
        };
        let (left, right, result) = (stored(left), stored(right), stored(operation.writes[0]));
        let places = [left.place, right.place, result.place];
        let room = room(&self.setup, places, [&left, &right], [false; 2], &result);
        Ok(cut(&self.engine, entry, stationary, &room)?.0)
    }

    /// Which operand each product of a step keeps, in the design's dataflow; by the estimate of the cut: the larger of streaming all
    /// tiles and moving all operands.
    fn dataflow(&self, step: &Step) -> Result<Vec<Option<Stationary>>, SystemError> {
        let candidates = self.engine.candidates(*self.system.dataflow.get())?;
        let products = step.operations.iter().map(|operation| match &operation.work {
            Work::Gemm(entry) if operation.reads.len() == 2 && operation.writes.len() == 1 => {
                Some((operation, entry))
            }
            _ => None,
        });
        if let [only] = candidates {
            return Ok(products.map(|product| product.map(|_| *only)).collect());
        }
        // Estimates of each product in each dataflow; infinite where it cannot be cut.
        let mut estimates: Vec<Option<(Pass, Vec<f64>)>> = Vec::new();
        for product in products {
            let Some((operation, entry)) = product else {
                estimates.push(None);
                continue;
            };
            let mut times = Vec::new();
            let mut refused = None;
            for &stationary in candidates {
                match self.nest(step, operation, entry, stationary) {
                    Ok(nest) => times.push(nest.estimate),
                    Err(error) => {
                        times.push(f64::INFINITY);
                        refused = Some(error);
                    }
                }
            }
            if let Some(error) = refused.filter(|_| times.iter().all(|time| time.is_infinite())) {
                return Err(error);
            }
            estimates.push(Some((entry.pass, times)));
        }
        let of_pass = *self.system.dataflow.get() == Dataflow::BestOfPass;
        let sums = Pass::ALL.map(|pass| {
            let of_this = estimates.iter().flatten().filter(|(other, _)| *other == pass);
            of_this.fold(vec![0.0; candidates.len()], |sum, (_, times)| {
                sum.iter().zip(times).map(|(sum, time)| sum + time).collect()
            })
        });
        let choose = |estimate: Option<(Pass, Vec<f64>)>| {
            let (pass, own) = estimate?;
            let place = Pass::ALL.iter().position(|other| *other == pass).unwrap_or(0);
            Some(candidates[fastest(if of_pass { &sums[place] } else { &own })])
        };
        Ok(estimates.into_iter().map(choose).collect())
    }

    /// Simulates a training step event by event, `options.steps` times in a row.
    ///
    /// The draws of repeats are keyed by the seed, by all that a product's entry says, by the number of equal entries
    /// before it and by the step: so they depend on nothing else.
    ///
    /// # Errors
    /// [`SystemError`] for a step that cannot be simulated.
    pub fn step(&self, step: &Step, options: &Options) -> Result<StepResult, SystemError> {
        options.check()?;
        let dataflow = self.dataflow(step)?;
        let stationary = |index: usize, _: &GemmEntry| {
            let missing = || SystemError::Overflow { what: "a product without dataflow".to_owned() };
            dataflow.get(index).copied().flatten().ok_or_else(missing)
        };
        let plans = Plans {
            engine: &self.engine,
            fusion: *self.system.controller.fusion.get(),
            pipelining: *self.system.controller.pipelining.get(),
            chips: options.chips,
            stationary: &stationary,
        };
        let program = Program::new(step, &plans)?;
        let trace = options.trace.map(|grain| Box::new(Trace::new(grain, options.trace_spans)));
        let outcome = Machine::run(&self.engine, self.setup.clone(), &program, *options, trace)?;
        StepResult::new(self, step, &program, outcome, options)
    }

    /// Simulates the products of a list, each with operands of its own and none waiting for another: one step for each
    /// network of the list, in the order of their first products.
    ///
    /// # Errors
    /// The first error in that order.
    pub fn products(
        &self,
        entries: &[GemmEntry],
        options: &Options,
        threads: usize,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<StepResult>, SystemError> {
        let mut steps = Vec::new();
        let mut rest: Vec<GemmEntry> = entries.to_vec();
        while !rest.is_empty() {
            let (step, others) = product_step(&rest);
            steps.push(step);
            rest = others;
        }
        self.run(&steps, options, threads, progress)
    }

    /// Simulates several steps, `threads` at a time (at least one); results in the order of the list, the same for any
    /// number of threads. `progress` is called with the number of steps done.
    ///
    /// # Errors
    /// The first error in the order of the list.
    pub fn run(
        &self,
        steps: &[Step],
        options: &Options,
        threads: usize,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<StepResult>, SystemError> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results: Mutex<Vec<(usize, Result<StepResult, SystemError>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, steps.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(step) = steps.get(index) else { break };
                        let result = self.step(step, options);
                        results.lock().unwrap_or_else(|poison| poison.into_inner()).push((index, result));
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(|poison| poison.into_inner());
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// The first of the smallest.
fn fastest(times: &[f64]) -> usize {
    (1..times.len()).fold(0, |best, index| if times[index] < times[best] { index } else { best })
}

/// The products of the first network of a list as a step; and those of the others.
fn product_step(entries: &[GemmEntry]) -> (Step, Vec<GemmEntry>) {
    let network = entries.first().map_or(String::new(), |entry| entry.network.clone());
    let (own, others): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|entry| entry.network == network);
    let mut step = Step { network, batch: 1, operations: Vec::new(), tensors: Vec::new() };
    for entry in own {
        let (kinds, sizes) =
            (kinds(entry.pass), [[entry.m, entry.k], [entry.k, entry.n], [entry.m, entry.n]]);
        let mut ids = Vec::with_capacity(3);
        for (kind, [rows, columns]) in kinds.into_iter().zip(sizes) {
            let name = format!("{} {}", entry.layer, entry.pass);
            // What does not fit is refused with the product.
            let elements = rows.saturating_mul(columns).saturating_mul(entry.repeats);
            ids.push(TensorId(step.tensors.len()));
            step.tensors.push(Tensor { name, kind, elements });
        }
        step.operations.push(Operation {
            layer: entry.layer.clone(),
            stage: Stage::from(entry.pass),
            reads: ids[..2].to_vec(),
            writes: ids[2..].to_vec(),
            work: Work::Gemm(entry),
        });
    }
    (step, others)
}

/// What the operands and the result of a pass are.
fn kinds(pass: Pass) -> [TensorKind; 3] {
    use TensorKind::{Activation, Gradient, Weight, WeightGradient};
    match pass {
        Pass::Forward => [Weight, Activation, Activation],
        Pass::InputGradient => [Weight, Gradient, Gradient],
        Pass::WeightGradient => [Gradient, Activation, WeightGradient],
    }
}

/// A random stream of its own for each entry of a list: FNV-1a of network, layer, pass, sizes, repeats and the number of
/// equal entries before it.
pub(crate) fn stream(seed: u64, entry: &GemmEntry, before: u64) -> Pcg64 {
    let names = format!("{}\0{}\0{}\0", entry.network, entry.layer, entry.pass);
    let numbers = [entry.m, entry.k, entry.n, entry.repeats, before].map(u64::to_le_bytes);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in names.as_bytes().iter().chain(numbers.as_flattened()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Pcg64::new(u128::from(seed) << 64 | u128::from(hash), u128::from(hash))
}

#[cfg(test)]
pub(crate) mod tests;
