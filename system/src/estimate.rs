//! A training step in closed form: quick enough for sweeps over designs, and the same for all engines.
//!
//! The tasks are those of the machine, sweeps joined as the design says, and so are the forms of tensors, the rule by which they
//! stay in the SRAM, and the booking of energy. But tasks follow one another: a product takes as long as its tiles on the unit
//! that has most of them, a sweep as long as its operations or its bytes, and each at least as long as its tensors need to
//! and from the off-chip memory. Not in it: overlap of tasks, latencies, how a product is cut to fit the memories and what it
//! fetches more than once for that, repeats, calibrations.

use mirage_arithmetic::GemmEntry;

use crate::SystemError;
use crate::design::{Dataflow, System};
use crate::energy::{ByComponent, Component};
use crate::engine::{Actions, Engine, TileCount, TileShape};
use crate::machine::{Job, Place, Plans, Program, Residency, Setup, TIME, Task, TaskAccount};
use crate::machine::{book, fetched_once, operands};
use crate::plan::{Plan, TileKind};
use crate::workload::{Stage, Step, Work};

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

/// Estimates a step on an engine.
///
/// # Errors
/// [`SystemError`] for a step or a product that cannot be simulated, or a dataflow that the engine does not have.
pub(crate) fn estimate(
    engine: &Engine,
    system: &System,
    step: &Step,
    dataflow: Dataflow,
) -> Result<Estimate, SystemError> {
    let overflow = || SystemError::Overflow { what: format!("a step of {}", step.network) };
    let chosen = choose(engine, step, dataflow)?;
    let stationary = |index: usize, _: &GemmEntry| {
        chosen.get(index).copied().flatten().map(|(plan, _)| plan.stationary).ok_or_else(overflow)
    };
    let (fusion, pipelining) = (*system.controller.fusion.get(), *system.controller.pipelining.get());
    let plans = Plans { engine, fusion, pipelining, chips: 1, stationary: &stationary };
    let program = Program::new(step, &plans)?;
    let setup = Setup::new(system, engine)?;
    let mut residency = Residency::new(&program, setup.holding);
    // Products keep their order.
    let mut plans = chosen.iter().flatten();
    let mut actions: Actions = [0; Component::COUNT];
    let (mut product, mut vector, mut memory, mut macs, mut bytes) = (0.0, 0.0, 0.0, 0u64, 0u64);
    for (index, task) in program.tasks.iter().enumerate() {
        residency.begin(&program, index);
        let mut account = TaskAccount::default();
        let busy = match &task.job {
            Job::Gemm { entry, .. } => {
                macs = entry.macs().and_then(|done| macs.checked_add(done)).ok_or_else(overflow)?;
                let &(plan, ticks) = plans.next().ok_or_else(overflow)?;
                book_product(engine, &program, task, &plan, &residency, &mut account);
                product += TIME.seconds(ticks);
                ticks
            }
            Job::Sweep { operations, optimiser, .. } => {
                let (outside, inside) = residency.sweep(&program, task, &mut account);
                account.moved = outside[0].saturating_add(outside[1]);
                let lanes = setup.lanes[usize::from(*optimiser)];
                let ticks = lanes.ticks(*operations, account.moved.saturating_add(inside));
                vector += TIME.seconds(ticks);
                ticks
            }
            Job::Reduce { .. } => 0,
        };
        memory += TIME.seconds(setup.memory_bandwidth().ticks(account.moved).saturating_sub(busy));
        bytes = bytes.saturating_add(account.moved);
        for (sum, count) in actions.iter_mut().zip(account.all_actions()) {
            *sum = sum.saturating_add(count);
        }
        residency.end(&program, index);
    }
    let seconds = product + vector + memory;
    let costs = engine.costs();
    let energy = Component::ALL.map(|component| {
        actions[component as usize] as f64 * costs.per_action(component) + seconds * costs.power(component)
    });
    Ok(Estimate {
        seconds,
        product_seconds: product,
        vector_seconds: vector,
        memory_seconds: memory,
        macs,
        off_chip_bytes: bytes as f64,
        energy,
    })
}

/// Books what a product does, each operand and the result moved once.
fn book_product(
    engine: &Engine,
    program: &Program,
    task: &Task,
    plan: &Plan,
    residency: &Residency,
    account: &mut TaskAccount,
) {
    let reads = operands(task);
    let once = fetched_once(engine, plan, reads.map(|tensor| program.tensors[tensor].operand));
    for (tensor, bytes) in reads.into_iter().zip(once) {
        if !residency.resident(tensor) {
            account.fetched[program.tensors[tensor].place.index()] += bytes;
            account.moved += bytes;
        }
    }
    let result = &program.tensors[task.writes[0]];
    let stays = residency.resident(task.writes[0]);
    if !stays {
        account.moved += result.bytes();
    }
    let tiles = TileKind::all().map(|kind| {
        let shape = TileShape {
            stationary: plan.stationary,
            rows: plan.rows_of(kind),
            columns: plan.columns_of(kind),
            vectors: plan.vectors,
            first: !plan.sums_columns() || kind.first_k(),
        };
        (shape, TileCount { tiles: tiles_of(plan, kind), ..TileCount::default() })
    });
    let places: [Place; 2] = reads.map(|tensor| program.tensors[tensor].place);
    book(engine, plan, tiles, places, (result, stays), account);
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
