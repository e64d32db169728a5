//! What a simulation gives: a row for each layer and pass, the sums over a step, and a whole run from them.

use mirage_arithmetic::GemmEntry;

use crate::SystemError;
use crate::chip::{Chip, Options};
use crate::energy::{ByComponent, Component};
use crate::machine::{FinishedStep, Job, Outcome, Part, Program, QueuePeak, Spent, TIME, Traffic};
use crate::plan::Stationary;
use crate::run::Pace;
use crate::trace::{Bar, PORTS, Span};
use crate::workload::{Stage, Step};

/// Where the time of the units went, in shares of units x duration; they sum to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Breakdown([f64; Part::COUNT]);

impl Breakdown {
    /// (name, share) of each part.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let shares = self.0;
        Part::ALL.into_iter().map(move |part| (part.name(), shares[part as usize]))
    }

    /// The share of one part by its name; 0 for a name that is none.
    #[must_use]
    pub fn share(&self, name: &str) -> f64 {
        self.parts().find(|part| part.0 == name).map_or(0.0, |part| part.1)
    }

    /// The name of the largest part; `streaming` means that the units run at the speed of light.
    #[must_use]
    pub fn bottleneck(&self) -> &'static str {
        self.parts().fold(("streaming", 0.0), |best, part| if part.1 > best.1 { part } else { best }).0
    }

    /// Ticks as shares of `whole`; `useful` of the streaming is in slots of rows and columns.
    fn new(spent: &Spent, useful: f64, whole: f64) -> Self {
        if whole <= 0.0 {
            return Self::default();
        }
        let mut shares = spent.map(|ticks| ticks as f64 / whole);
        let streaming = shares[Part::Streaming as usize];
        let useful = useful / whole;
        shares[Part::Streaming as usize] = useful;
        shares[Part::Edges as usize] = (streaming - useful).max(0.0);
        Self(shares)
    }
}

/// One operation of a step: a product, a sweep of the vector unit, an all-reduce.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerResult {
    /// Name of the network.
    pub network: String,
    /// Name of the layer.
    pub layer: String,
    /// Where in the step.
    pub stage: Stage,
    /// What was done: `product`, the kinds of vector work joined in a sweep, or `all-reduce`.
    pub work: String,
    /// Of a product: its sizes, and how many there are of this shape.
    pub product: Option<GemmEntry>,
    /// Which operand was stationary.
    pub stationary: Option<Stationary>,
    /// Tiles programmed.
    pub tiles: u64,
    /// Blocks of off-chip memory.
    pub blocks: u64,
    /// Multiply-accumulates done, counted tile by tile.
    pub macs: u64,
    /// Operations of the vector unit.
    pub vector_operations: u64,
    /// From the beginning of the step to its beginning, s.
    pub begin: f64,
    /// From its beginning to its end, s. Operations overlap: the sum is more than the time of the step.
    pub seconds: f64,
    /// Multiply-accumulates over what the peak would do in that time.
    pub utilisation: f64,
    /// Energy in joules, by component in the order of [`Component::ALL`]: of its actions, and of the standing power in
    /// proportion to its time.
    pub energy: ByComponent,
    /// Where the time of the units went while they worked for it or waited for its operands.
    pub breakdown: Breakdown,
    /// Bytes over the channels of the off-chip memory.
    pub off_chip_bytes: u64,
    /// Dot products of groups: residues read are these times the number of moduli.
    pub reads: u64,
    /// Repeated reads, drawn.
    pub repeated: u64,
    /// Repeated reads, expected.
    pub repeated_expected: f64,
}

impl LayerResult {
    /// Total energy in joules.
    #[must_use]
    pub fn joules(&self) -> f64 {
        self.energy.iter().sum()
    }

    /// The largest part of the units' time; for what is no product, which side held it up cannot be told from the units.
    #[must_use]
    pub fn bottleneck(&self) -> &'static str {
        if self.product.is_some() { self.breakdown.bottleneck() } else { "" }
    }

    /// Operations (multiply-accumulates, or of the vector unit) for each byte of off-chip traffic; infinite without traffic.
    #[must_use]
    pub fn intensity(&self) -> f64 {
        (self.macs + self.vector_operations) as f64 / self.off_chip_bytes as f64
    }
}

/// The sums over a step; of several simulated steps, their means.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkResult {
    /// Name of the network.
    pub network: String,
    /// Samples of the step on this chip.
    pub batch: u64,
    /// Products, their repeats counted.
    pub products: u64,
    /// Tiles programmed.
    pub tiles: u64,
    /// Blocks of off-chip memory.
    pub blocks: u64,
    /// Events simulated.
    pub events: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Operations of vector unit and optimiser.
    pub vector_operations: u64,
    /// Time in seconds.
    pub seconds: f64,
    /// Multiply-accumulates over what the peak would do in that time.
    pub utilisation: f64,
    /// Energy in joules, by component in the order of [`Component::ALL`].
    pub energy: ByComponent,
    /// Where the time of the units went.
    pub breakdown: Breakdown,
    /// Share of the time that these were busy: off-chip channels (their mean), drain, vector unit, optimiser, link, load port, and the
    /// ways of the DMA into and out of each partition.
    pub busy: Vec<(&'static str, f64)>,
    /// Bytes read from and written to off-chip memory, and bytes over its channels in whole bursts.
    pub traffic: Traffic,
    /// What the time cannot be below: the products at the peak, the vector work on all lanes, the off-chip traffic at the full
    /// bandwidth; the largest of the three, s.
    pub bound: f64,
    /// Dot products of groups.
    pub reads: u64,
    /// Repeated reads, drawn.
    pub repeated: u64,
    /// Repeated reads, expected.
    pub repeated_expected: f64,
    /// Calibrations of units.
    pub calibrations: u64,
}

impl NetworkResult {
    /// Total energy in joules.
    #[must_use]
    pub fn joules(&self) -> f64 {
        self.energy.iter().sum()
    }

    /// Mean power in watts; 0 if nothing was done.
    #[must_use]
    pub fn watts(&self) -> f64 {
        if self.seconds > 0.0 { self.joules() / self.seconds } else { 0.0 }
    }

    /// Energy of one multiply-accumulate in joules; 0 if nothing was done.
    #[must_use]
    pub fn joules_per_mac(&self) -> f64 {
        if self.macs > 0 { self.joules() / self.macs as f64 } else { 0.0 }
    }

    /// Energy of one component in joules.
    #[must_use]
    pub fn energy_of(&self, component: Component) -> f64 {
        self.energy[component as usize]
    }
}

/// What the simulation of a step gives.
#[derive(Debug, Clone, PartialEq)]
pub struct StepResult {
    /// The operations of the last simulated step.
    pub layers: Vec<LayerResult>,
    /// Its sums: means over the simulated steps.
    pub network: NetworkResult,
    /// Time of each simulated step, s.
    pub steps: Vec<f64>,
    /// The fullest that each queue was.
    pub queues: Vec<QueuePeak>,
    /// The operations as bars, in the order of `layers`, ticks from the beginning of the simulation.
    pub bars: Vec<Bar>,
    /// What each part did when, if asked for; what was done within a grain is laid one after the other.
    pub spans: Vec<Span>,
    /// That grain, in ticks; 0 where every span is as it was.
    pub grain: u64,
    /// What a whole run needs to know of a step.
    pub(crate) pace: Pace,
}

impl StepResult {
    pub(crate) fn new(
        chip: &Chip,
        step: &Step,
        program: &Program,
        outcome: Outcome,
        options: &Options,
    ) -> Result<Self, SystemError> {
        let Some(last) = outcome.steps.last() else {
            return Err(SystemError::Overflow { what: "a run without steps".to_owned() });
        };
        let layers = layers(chip, step, program, last, options)?;
        let network = network(chip, step, &layers, &outcome.steps, options)?;
        let steps: Vec<f64> = outcome.steps.iter().map(|s| TIME.seconds(s.end - s.begin)).collect();
        let bars = program.tasks.iter().zip(&last.account.tasks).map(|(task, account)| Bar {
            name: format!("{} {}", task.layer, task.stage.name()),
            kind: match task.job {
                Job::Gemm { .. } => "product",
                Job::Sweep { .. } => "sweep",
                Job::Reduce { .. } => "all-reduce",
            },
            begin: account.begin,
            end: account.end,
        });
        let pace = Pace::new(chip, &outcome.steps, options);
        Ok(Self {
            layers,
            steps,
            queues: outcome.queues,
            bars: bars.collect(),
            grain: outcome.trace.as_ref().map_or(0, |trace| trace.grain()),
            spans: outcome.trace.map_or(Vec::new(), |trace| trace.into_spans()),
            network,
            pace,
        })
    }
}

fn layers(
    chip: &Chip,
    step: &Step,
    program: &Program,
    finished: &FinishedStep,
    options: &Options,
) -> Result<Vec<LayerResult>, SystemError> {
    let costs = chip.engine().costs();
    let spans: f64 = finished.account.tasks.iter().map(|a| (a.end - a.begin) as f64).sum();
    let duration = TIME.seconds(finished.end - finished.begin);
    let slots = f64::from(chip.engine().placement().rows) * chip.engine().columns() as f64;
    let mut layers = Vec::with_capacity(program.tasks.len());
    for (task, account) in program.tasks.iter().zip(&finished.account.tasks) {
        let ticks = account.end - account.begin;
        let seconds = TIME.seconds(ticks);
        let share = if spans > 0.0 { ticks as f64 / spans } else { 0.0 };
        let counts = account.all_actions();
        let energy = Component::ALL.map(|component| {
            let standing = costs.power(component) * duration * share;
            counts[component as usize] as f64 * costs.per_action(component) + standing
        });
        let whole: f64 = account.spent.iter().map(|&ticks| ticks as f64).sum();
        let mut result = LayerResult {
            network: step.network.clone(),
            layer: task.layer.clone(),
            stage: task.stage,
            work: String::new(),
            product: None,
            stationary: None,
            tiles: account.tiles,
            blocks: account.blocks,
            macs: account.macs,
            vector_operations: 0,
            begin: TIME.seconds(account.begin - finished.begin),
            seconds,
            utilisation: if seconds > 0.0 { account.macs as f64 / (chip.peak() * seconds) } else { 0.0 },
            energy,
            breakdown: Breakdown::new(&account.spent, account.useful as f64 / slots, whole),
            off_chip_bytes: account.moved,
            reads: 0,
            repeated: account.repeated,
            repeated_expected: 0.0,
        };
        match &task.job {
            Job::Gemm { entry, stationary, .. } => {
                let plan = chip.engine().plan(entry, *stationary)?;
                result.work = "product".to_owned();
                result.product = Some(entry.clone());
                result.stationary = Some(*stationary);
                result.reads = plan.groups();
                result.repeated_expected = options.repeats.map_or(0.0, |model| model.expected(result.reads));
            }
            Job::Sweep { kinds, operations, .. } => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                result.work = names.join(" + ");
                result.vector_operations = *operations;
            }
            Job::Reduce { .. } => result.work = "all-reduce".to_owned(),
        }
        layers.push(result);
    }
    Ok(layers)
}

fn network(
    chip: &Chip,
    step: &Step,
    layers: &[LayerResult],
    steps: &[FinishedStep],
    options: &Options,
) -> Result<NetworkResult, SystemError> {
    let n = steps.len() as f64;
    let overflow = || SystemError::Overflow { what: format!("the sums over {}", step.network) };
    let sum = |of: fn(&LayerResult) -> u64| {
        layers.iter().try_fold(0u64, |sum, layer| sum.checked_add(of(layer))).ok_or_else(overflow)
    };
    let total = |of: &dyn Fn(&FinishedStep) -> f64| steps.iter().map(of).sum::<f64>();
    let ticks = total(&|s| (s.end - s.begin) as f64);
    let seconds = ticks / n / TIME.ticks_per_second() as f64;
    let macs = sum(|layer| layer.macs)?;
    let vector_operations = sum(|layer| layer.vector_operations)?;
    let busy = |of: &dyn Fn(&FinishedStep) -> f64| if ticks > 0.0 { total(of) / ticks } else { 0.0 };
    let setup = chip.setup();
    let mut shares = vec![
        ("off-chip channels", busy(&|s| s.channel_busy as f64 / f64::from(setup.channels))),
        ("drain", busy(&|s| s.drain_busy as f64)),
        ("vector unit", busy(&|s| s.lanes_busy[0] as f64)),
        ("optimiser", busy(&|s| s.lanes_busy[1] as f64)),
        ("link", busy(&|s| s.link_busy as f64)),
        ("load port", busy(&|s| s.load_busy as f64)),
    ];
    for (port, names) in PORTS.into_iter().enumerate() {
        shares.extend([0, 1].map(|way: usize| (names[way], busy(&|s| s.ports_busy[port][way] as f64))));
    }
    let traffic = steps.last().map_or(Traffic::default(), |s| s.traffic);
    let reads = sum(|layer| layer.reads)?;
    let sweeps = |optimiser: bool| {
        let of_kind = layers.iter().filter(|l| (l.work == "optimiser") == optimiser);
        of_kind.map(|l| l.vector_operations as f64).sum::<f64>()
            / setup.lanes[usize::from(optimiser)].rate as f64
    };
    let bounds = [
        macs as f64 / chip.peak(),
        sweeps(false),
        sweeps(true),
        traffic.moved as f64 / chip.memory_bandwidth(),
    ];
    let mean = |of: fn(&FinishedStep) -> u64| (total(&|s| of(s) as f64) / n).round() as u64;
    Ok(NetworkResult {
        network: step.network.clone(),
        batch: step.batch,
        products: layers
            .iter()
            .filter_map(|l| l.product.as_ref())
            .map(|p| p.repeats)
            .fold(0, u64::saturating_add),
        tiles: sum(|layer| layer.tiles)?,
        blocks: traffic.blocks,
        events: mean(|s| s.events),
        macs,
        vector_operations,
        seconds,
        utilisation: if seconds > 0.0 { macs as f64 / (chip.peak() * seconds) } else { 0.0 },
        energy: energy(chip, steps)?,
        breakdown: breakdown(chip, steps),
        busy: shares,
        traffic,
        bound: bounds.into_iter().fold(0.0, f64::max),
        reads,
        repeated: (total(&|s| s.account.tasks.iter().map(|a| a.repeated as f64).sum()) / n).round() as u64,
        repeated_expected: options.repeats.map_or(0.0, |model| model.expected(reads)),
        calibrations: mean(|s| s.calibrations),
    })
}

/// The ledger of all steps, by component; mean of a step.
fn energy(chip: &Chip, steps: &[FinishedStep]) -> Result<ByComponent, SystemError> {
    let (mut ledger, accounts) = chip.engine().costs().open(TIME)?;
    for step in steps {
        for account in &step.account.tasks {
            for (&id, count) in accounts.iter().zip(account.all_actions()) {
                ledger.book(id, count, 0);
            }
        }
        let calibrated = step.calibrations.saturating_mul(chip.setup().calibration);
        ledger.book(accounts[Component::Recalibration as usize], calibrated, 0);
        for &id in &accounts {
            ledger.book(id, 0, step.end - step.begin);
        }
    }
    let mut energy = [0.0; Component::COUNT];
    for (slot, (_, joules)) in energy.iter_mut().zip(ledger.energies()?) {
        *slot = joules / steps.len() as f64;
    }
    Ok(energy)
}

fn breakdown(chip: &Chip, steps: &[FinishedStep]) -> Breakdown {
    let mut spent = Spent::default();
    let (mut useful, mut whole) = (0.0, 0.0);
    let slots = f64::from(chip.engine().placement().rows) * chip.engine().columns() as f64;
    for step in steps {
        let of_tasks = step.account.tasks.iter().map(|account| &account.spent);
        for account in of_tasks.chain([&step.account.spent]) {
            for (sum, ticks) in spent.iter_mut().zip(account) {
                *sum += ticks;
            }
        }
        useful += step.account.tasks.iter().map(|account| account.useful as f64).sum::<f64>() / slots;
        let units = f64::from(chip.setup().units + chip.setup().units_out);
        whole += units * (step.end - step.begin) as f64;
    }
    Breakdown::new(&spent, useful, whole)
}
