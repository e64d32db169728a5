//! A training step in closed form: quick enough for sweeps over designs, and the same for all engines.
//!
//! Operations follow one another. A product takes as long as its tiles on the unit that has most of them, a sweep of the vector
//! unit as long as its operations or its SRAM traffic, and each at least as long as its tensors need to and from the off-chip
//! memory. A tensor stays on the chip from one operation to one of the next [`NEAR`] if it fits the part of its partition that
//! is not for working; parameters and states stay altogether if all of them fit. Not in it: waiting of one operation for
//! another beyond that, latencies, operands fetched more than once by a product, repeats. So it is a bound from below for each
//! operation alone, and the events overlap what it adds up.

use mirage_arithmetic::GemmEntry;

use crate::SystemError;
use crate::design::{Dataflow, System};
use crate::energy::{ByComponent, Component};
use crate::engine::{Actions, Engine, TileCount, TileShape};
use crate::plan::{Plan, Stationary, TileKind};
use crate::workload::{Operation, Stage, Step, TensorKind, VectorKind, Work};

/// Operations for which a tensor is kept.
const NEAR: usize = 3;

/// Seconds of a tick.
const TICK: f64 = 1e-12;

/// What a step takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Time of the step, s.
    pub seconds: f64,
    /// Part of it in which products are worked on, s.
    pub product_seconds: f64,
    /// Part of it in which the vector unit or the optimiser works, s.
    pub vector_seconds: f64,
    /// Part of it in which an operation waits for the off-chip memory, s.
    pub memory_seconds: f64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes to and from the off-chip memory.
    pub off_chip_bytes: f64,
    /// Energy by component, J.
    pub energy: ByComponent,
}

impl Estimate {
    /// Energy of the step, J.
    #[must_use]
    pub fn joules(&self) -> f64 {
        self.energy.iter().sum()
    }
}

/// Where a tensor is, and since when.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The last operation that had it on the chip.
    last: Option<usize>,
}

struct Estimator<'a> {
    engine: &'a Engine,
    system: &'a System,
    step: &'a Step,
    actions: Actions,
    seen: Vec<Seen>,
    /// The next operation that reads each tensor after a given one: positions of all readers, in order.
    readers: Vec<Vec<usize>>,
    pinned: bool,
}

/// Estimates a step on an engine.
///
/// # Errors
/// [`SystemError`] for a product that cannot be simulated, or a dataflow that the engine does not have.
pub(crate) fn estimate(
    engine: &Engine,
    system: &System,
    step: &Step,
    dataflow: Dataflow,
) -> Result<Estimate, SystemError> {
    let chosen = choose(engine, step, dataflow)?;
    let mut estimator = Estimator::new(engine, system, step);
    let (mut product, mut vector, mut memory, mut macs, mut bytes) = (0.0, 0.0, 0.0, 0u64, 0.0);
    for (index, operation) in step.operations.iter().enumerate() {
        let traffic = estimator.traffic(index, operation);
        bytes += traffic;
        let off_chip = traffic / (system.memory.bandwidth.si() * f64::from(*system.memory.channels.get()));
        let busy = match (&operation.work, &chosen[index]) {
            (Work::Gemm(entry), Some((plan, ticks))) => {
                let done = entry.macs().and_then(|done| macs.checked_add(done));
                macs = done
                    .ok_or_else(|| SystemError::Overflow { what: format!("a step of {}", step.network) })?;
                estimator.book(operation, plan);
                let seconds = *ticks as f64 * TICK;
                product += seconds;
                seconds
            }
            (Work::Vector { kind, operations, .. }, _) => {
                let seconds = estimator.sweep(operation, *kind, *operations);
                vector += seconds;
                seconds
            }
            (Work::Gemm(_), None) => 0.0,
        };
        memory += (off_chip - busy).max(0.0);
    }
    let seconds = product + vector + memory;
    estimator.actions[Component::OffChipMemory as usize] = bytes as u64;
    let costs = engine.costs();
    let energy = Component::ALL.map(|component| {
        let actions = estimator.actions[component as usize] as f64;
        actions * costs.per_action(component) + seconds * costs.power(component)
    });
    Ok(Estimate {
        seconds,
        product_seconds: product,
        vector_seconds: vector,
        memory_seconds: memory,
        macs,
        off_chip_bytes: bytes,
        energy,
    })
}

/// The grid of tiles of each product, and its time in ticks.
fn choose(engine: &Engine, step: &Step, dataflow: Dataflow) -> Result<Vec<Option<(Plan, u64)>>, SystemError> {
    let candidates = engine.candidates(dataflow)?;
    let options = |entry: &GemmEntry| -> Result<Vec<(Plan, u64)>, SystemError> {
        candidates
            .iter()
            .map(|&stationary| {
                let plan = engine.plan(entry, stationary)?;
                Ok((plan, closed_form(engine, &plan)?))
            })
            .collect()
    };
    let mut all = Vec::with_capacity(step.operations.len());
    let mut sums = vec![[0u64; Stage::ALL.len()]; candidates.len()];
    for operation in &step.operations {
        let Work::Gemm(entry) = &operation.work else {
            all.push(None);
            continue;
        };
        let options = options(entry)?;
        for (sum, (_, ticks)) in sums.iter_mut().zip(&options) {
            let stage = &mut sum[operation.stage as usize];
            *stage = stage.saturating_add(*ticks);
        }
        all.push(Some((options, operation.stage)));
    }
    let best_of = |stage: Stage| (0..candidates.len()).min_by_key(|&index| sums[index][stage as usize]);
    Ok(all
        .into_iter()
        .map(|options| {
            let (options, stage) = options?;
            match dataflow {
                Dataflow::BestOfPass => best_of(stage).map(|index| options[index]),
                _ => options.into_iter().min_by_key(|&(_, ticks)| ticks),
            }
        })
        .collect())
}

/// Ticks of a product by the closed form: the unit with most tiles works them off, nothing else in the way.
pub(crate) fn closed_form(engine: &Engine, plan: &Plan) -> Result<u64, SystemError> {
    let shape = TileShape {
        stationary: plan.stationary,
        rows: plan.rows.min(plan.tile_rows),
        columns: plan.inner.min(plan.tile_columns),
        vectors: plan.vectors,
        first: false,
    };
    let (tile, timing) = (engine.tile(shape)?, engine.timing());
    let rounds = plan.rounds(engine.placement());
    let total = if timing.shadow {
        rounds.checked_mul(tile.stream.max(tile.program)).and_then(|all| all.checked_add(tile.program))
    } else {
        tile.program.checked_add(tile.stream).and_then(|tile| tile.checked_mul(rounds))
    };
    let total = total.and_then(|total| total.checked_add(timing.pipeline));
    total.ok_or_else(|| SystemError::Overflow { what: "the time of a product".to_owned() })
}

impl<'a> Estimator<'a> {
    fn new(engine: &'a Engine, system: &'a System, step: &'a Step) -> Self {
        let mut readers = vec![Vec::new(); step.tensors.len()];
        for (index, operation) in step.operations.iter().enumerate() {
            for id in &operation.reads {
                readers[id.0].push(index);
            }
        }
        let lasting = |kind| matches!(kind, TensorKind::Weight | TensorKind::OptimiserState);
        let parameters = step.tensors.iter().filter(|tensor| lasting(tensor.kind));
        let bytes: f64 = parameters.map(|tensor| 4.0 * tensor.elements as f64).sum();
        Self {
            engine,
            system,
            step,
            actions: [0; Component::COUNT],
            seen: vec![Seen::default(); step.tensors.len()],
            readers,
            pinned: bytes <= system.sram.weights.si() * (1.0 - system.sram.working.si()),
        }
    }

    /// The SRAM of a tensor, and how much of it tensors can stay in.
    fn room(&self, kind: TensorKind) -> (Component, f64) {
        let sram = &self.system.sram;
        let (component, capacity) = match kind {
            TensorKind::Weight | TensorKind::OptimiserState => (Component::WeightMemory, &sram.weights),
            TensorKind::Input | TensorKind::Activation => (Component::ActivationMemory, &sram.activations),
            TensorKind::Gradient | TensorKind::WeightGradient => (Component::GradientMemory, &sram.gradients),
        };
        (component, capacity.si() * (1.0 - sram.working.si()))
    }

    /// Bytes of a tensor as an operation reads or writes it.
    fn bytes(&self, operation: &Operation, tensor: usize) -> f64 {
        let elements = self.step.tensors[tensor].elements;
        let operand =
            matches!(operation.work, Work::Gemm(_)) && operation.reads.iter().any(|id| id.0 == tensor);
        if operand { self.engine.tensor_bytes(elements) as f64 } else { 4.0 * elements as f64 }
    }

    /// Bytes that an operation moves to or from the off-chip memory.
    fn traffic(&mut self, index: usize, operation: &Operation) -> f64 {
        let mut sum = 0.0;
        for (tensor, written) in operation
            .reads
            .iter()
            .map(|id| (id.0, false))
            .chain(operation.writes.iter().map(|id| (id.0, true)))
        {
            let kind = self.step.tensors[tensor].kind;
            let lasting = matches!(kind, TensorKind::Weight | TensorKind::OptimiserState);
            let bytes = self.bytes(operation, tensor);
            let fits = bytes <= self.room(kind).1;
            let near = |from: usize, to: usize| fits && to - from <= NEAR;
            let stays = if lasting {
                self.pinned
            } else if written {
                // It need not leave if all that read it come soon; what nobody reads has to.
                let after = self.readers[tensor].iter().filter(|&&reader| reader > index);
                let mut last = index;
                let mut all = self.readers[tensor].last().is_some_and(|&reader| reader > index);
                for &reader in after {
                    all &= near(last, reader);
                    last = reader;
                }
                all
            } else {
                self.seen[tensor].last.is_some_and(|last| near(last, index))
            };
            if !stays {
                sum += bytes;
            }
            self.seen[tensor].last = Some(index);
        }
        sum
    }

    /// Books what a product does.
    fn book(&mut self, operation: &Operation, plan: &Plan) {
        let mut bytes = [0u64; 2];
        for kind in TileKind::all() {
            let tiles = tiles_of(plan, kind);
            if tiles == 0 {
                continue;
            }
            let first = !plan.sums_columns() || kind.first_k();
            let (rows, columns) = (plan.rows_of(kind), plan.columns_of(kind));
            let shape =
                TileShape { stationary: plan.stationary, rows, columns, vectors: plan.vectors, first };
            let count = TileCount { tiles, ..TileCount::default() };
            let read = self.engine.book(shape, count, &mut self.actions);
            bytes = [bytes[0].saturating_add(read[0]), bytes[1].saturating_add(read[1])];
        }
        // (stationary, streaming), or (rows, columns) where results stay.
        let operands = if plan.stationary == Stationary::Second { [1, 0] } else { [0, 1] };
        for (operand, bytes) in operands.into_iter().zip(bytes) {
            if let Some(id) = operation.reads.get(operand) {
                let (memory, _) = self.room(self.step.tensors[id.0].kind);
                self.add(memory, bytes);
            }
        }
        if let Some(id) = operation.writes.first() {
            let elements = self.step.tensors[id.0].elements;
            let (memory, _) = self.room(self.step.tensors[id.0].kind);
            self.add(memory, elements.saturating_mul(4));
            self.engine.book_results(elements, 1, &mut self.actions);
        }
    }

    /// Books a sweep; gives its time.
    fn sweep(&mut self, operation: &Operation, kind: VectorKind, operations: u64) -> f64 {
        let optimiser = kind == VectorKind::Optimiser;
        let unit = if optimiser { &self.system.optimiser } else { &self.system.vector };
        let mut moved = 0u64;
        for id in operation.reads.iter().chain(&operation.writes) {
            let tensor = &self.step.tensors[id.0];
            let bytes = tensor.elements.saturating_mul(4);
            let (memory, _) = self.room(tensor.kind);
            self.add(memory, bytes);
            moved = moved.saturating_add(bytes);
        }
        self.add(if optimiser { Component::Optimiser } else { Component::VectorUnit }, operations);
        let compute = operations as f64 / (f64::from(*unit.lanes.get()) * unit.clock.si());
        compute.max(moved as f64 / unit.bandwidth.si())
    }

    fn add(&mut self, component: Component, number: u64) {
        let actions = &mut self.actions[component as usize];
        *actions = actions.saturating_add(number);
    }
}

/// How many tiles of a product are of a kind.
fn tiles_of(plan: &Plan, kind: TileKind) -> u64 {
    let rows = if kind.last_row() { 1 } else { plan.row_tiles - 1 };
    let columns = match (kind.first_k(), kind.last_k(), plan.k_tiles) {
        (true, true, 1) | (true, false, 2..) | (false, true, 2..) => 1,
        (false, false, tiles) => tiles.saturating_sub(2),
        _ => 0,
    };
    rows * columns * plan.repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::{Arrays, Format};
    use crate::design::tests::system;
    use crate::engine::{Photonic, Systolic};
    use crate::workload::{Optimiser, all};
    use mirage_arithmetic::BfpFormat;

    fn engines() -> Vec<Engine> {
        let system = system();
        let parts = crate::Parts {
            laser_watts: 10.0,
            rings: 1000,
            multipliers: 12_288,
            amplifiers: 1536,
            adcs: 1536,
        };
        let arrays = Arrays { units: 3, rows: 20, columns: 12 };
        vec![
            Engine::Photonic(Photonic::new(&system, BfpFormat::mirage(), &parts).unwrap()),
            Engine::Systolic(Systolic::new(&system, Format::Int8, arrays)),
        ]
    }

    /// Every multiplication is done once; a step is no faster than its products at the peak, or its bytes at full bandwidth.
    #[test]
    fn work_is_conserved_and_no_faster_than_the_roofs() {
        let system = system();
        for network in all().unwrap() {
            let step = network.step(4, Optimiser::Momentum).unwrap();
            for engine in engines() {
                let estimate = estimate(&engine, &system, &step, Dataflow::Best).unwrap();
                assert_eq!(estimate.macs, step.macs().unwrap());
                if let Engine::Systolic(_) = engine {
                    let joules = estimate.energy[Component::Multipliers as usize];
                    assert!((joules / (step.macs().unwrap() as f64 * 0.42e-12) - 1.0).abs() < 1e-9);
                }
                let bandwidth = system.memory.bandwidth.si() * f64::from(*system.memory.channels.get());
                let roof = (estimate.macs as f64 / engine.peak()).max(estimate.off_chip_bytes / bandwidth);
                assert!(estimate.seconds >= roof, "{}: {estimate:?}", network.name);
                let parts = estimate.product_seconds + estimate.vector_seconds + estimate.memory_seconds;
                assert!((parts / estimate.seconds - 1.0).abs() < 1e-12);
                // The weights and their states move at least.
                assert!(estimate.off_chip_bytes >= 4.0 * network.parameters().unwrap() as f64);
            }
        }
    }

    #[test]
    fn freer_dataflows_are_no_slower() {
        let system = system();
        let step = crate::builtin("resnet18").unwrap().step(8, Optimiser::Momentum).unwrap();
        for engine in engines() {
            let time = |dataflow| estimate(&engine, &system, &step, dataflow).map(|e| e.product_seconds);
            let (df1, df2) = (time(Dataflow::First).unwrap(), time(Dataflow::Second).unwrap());
            let (opt1, opt2) = (time(Dataflow::BestOfPass).unwrap(), time(Dataflow::Best).unwrap());
            assert!(opt1 <= df1.min(df2) && opt2 <= opt1, "{df1} {df2} {opt1} {opt2}");
        }
        assert!(matches!(
            estimate(&engines()[0], &system, &step, Dataflow::Output),
            Err(SystemError::NoDataflow)
        ));
    }
}
