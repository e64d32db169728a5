//! The chip: a design made into numbers, and the simulation of a list of products on it.

use mirage_arithmetic::{BfpFormat, GemmEntry, Placement};
use mirage_events::{Simulation, TimeBase};
use rand_pcg::Pcg64;

use crate::SystemError;
use crate::design::{FirstTile, Hold, System};
use crate::energy::{ByComponent, Component, Costs, Parts};
use crate::plan::{Plan, Stationary, TileKind, candidates};
use crate::product::{Product, TileCost, Timing};
use crate::repeats::{RepeatModel, Sampler};
use crate::result::{Breakdown, LayerResult};

const TIME: TimeBase = TimeBase::PICOSECONDS;

/// A design made into numbers.
#[derive(Debug, Clone)]
pub struct Chip {
    system: System,
    placement: Placement,
    format: BfpFormat,
    clock: u64,
    program: u64,
    pipeline: u64,
    check: u64,
    costs: Costs,
}

/// What a simulation needs besides chip and products.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// Products that are read again; `None` for a chip without errors.
    pub repeats: Option<RepeatModel>,
    /// Seeds the draws of repeats.
    pub seed: u64,
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
        Ok(Self {
            placement: Placement { units: *system.units.get(), rows: *system.rows.get() },
            format,
            // Checked: a whole number between 1 and 1e12.
            clock: system.clock.si() as u64,
            program: TIME.ticks(system.program_time.si())?,
            pipeline: TIME.ticks(system.pipeline_latency.si())?,
            check: TIME.ticks(system.check_latency.si())?,
            costs: Costs::new(system, format, parts),
            system: system.clone(),
        })
    }

    /// Multiply-accumulates a second with every row and column in use.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.slots() as f64 * self.clock as f64
    }

    /// Power while the chip is on, actions not included, by component, W.
    #[must_use]
    pub fn standing_power(&self) -> ByComponent {
        Component::ALL.map(|component| self.costs.power(component))
    }

    /// Power while every unit streams through full tiles, by component, W; programming and the making of
    /// operands not included.
    #[must_use]
    pub fn streaming_power(&self) -> ByComponent {
        let (rows, group) = (f64::from(self.placement.rows), self.group() as f64);
        let vectors = f64::from(self.placement.units) * self.clock as f64;
        Component::ALL.map(|component| {
            let actions = match component {
                Component::RingDrive => rows * group,
                Component::ForwardConversion => group,
                Component::ReverseConversion | Component::Accumulation => rows,
                Component::AccumulatorMemory => 8.0 * rows,
                Component::OperandMemory => self.group_bytes(self.group()) as f64,
                _ => 0.0,
            };
            self.costs.power(component) + vectors * actions * self.costs.per_action(component)
        })
    }

    /// Time of a product by the closed form, in ticks of one picosecond: with T tiles of ceil(rows / unit rows) x
    /// ceil(K / group) on U units, ceil(T / U) (programming + N / clock) + pipeline latency. It holds when nothing
    /// else limits: no repeats, memories fast enough, `blocking` programming, `prefetched` first tiles.
    ///
    /// # Errors
    /// [`SystemError`] for a product that cannot be simulated.
    pub fn closed_form(&self, entry: &GemmEntry, stationary: Stationary) -> Result<u64, SystemError> {
        let plan = Plan::new(entry, stationary, self.placement.rows, self.group())?;
        self.closed_form_of(&plan)
    }

    fn closed_form_of(&self, plan: &Plan) -> Result<u64, SystemError> {
        let tile = self.program.checked_add(TIME.span(plan.vectors, self.clock)?);
        let tiles = tile.and_then(|tile| plan.rounds(self.placement).checked_mul(tile));
        let total = tiles.and_then(|ticks| ticks.checked_add(self.pipeline));
        total.ok_or_else(|| SystemError::Overflow { what: "the time of a product".to_owned() })
    }

    /// Simulates one entry of a list, the first of its kind. The draws of repeats are keyed by the seed, by all that
    /// the entry says, and by how many equal entries come before it ([`Chip::run`] counts them): so the
    /// result depends on nothing else in the list, and equal entries draw independently.
    ///
    /// # Errors
    /// [`SystemError`] for a product that cannot be simulated.
    pub fn simulate(&self, entry: &GemmEntry, options: &Options) -> Result<LayerResult, SystemError> {
        self.simulate_again(entry, 0, options)
    }

    /// As [`Chip::simulate`], for an entry with `before` equal ones before it.
    pub(crate) fn simulate_again(
        &self,
        entry: &GemmEntry,
        before: u64,
        options: &Options,
    ) -> Result<LayerResult, SystemError> {
        let plan = self.plan(entry)?;
        let sampler = match options.repeats {
            Some(model) => {
                model.check()?;
                let random = stream(options.seed, entry, before);
                model.active().then(|| Sampler::new(model, *self.system.stall.get(), random))
            }
            None => None,
        };
        let tile_costs = self.tile_costs(&plan)?;
        let most_repeats = options.repeats.map_or(0, |model| model.repeats);
        self.check_duration(&plan, &tile_costs, most_repeats)?;
        let hold = match self.system.hold.get() {
            Hold::UntilChecked if options.repeats.is_some_and(|model| model.waits()) => self.check,
            _ => 0,
        };
        let timing = Timing {
            program: self.program,
            pipeline: self.pipeline,
            hold,
            programming: *self.system.programming.get(),
            stall: *self.system.stall.get(),
        };
        let mut product = Product::new(plan, self.placement, tile_costs, timing, sampler);
        let first = product.first_events(*self.system.first_tile.get() == FirstTile::Prefetched);
        let mut bench = Simulation::new(product);
        for (time, event) in first {
            bench.schedule(time, event)?;
        }
        bench.run()?;
        if bench.model().overflowed() {
            return Err(SystemError::Overflow { what: "the time of a product".to_owned() });
        }
        self.result(entry, &plan, &tile_costs, &bench, options)
    }

    /// The plan of a product in the design's dataflow.
    fn plan(&self, entry: &GemmEntry) -> Result<Plan, SystemError> {
        let mut best: Option<(u64, Plan)> = None;
        let mut refused = None;
        for &stationary in candidates(*self.system.dataflow.get()) {
            match Plan::new(entry, stationary, self.placement.rows, self.group()) {
                Ok(plan) => {
                    let time = self.closed_form_of(&plan)?;
                    if best.is_none_or(|(fastest, _)| time < fastest) {
                        best = Some((time, plan));
                    }
                }
                Err(error) => refused = Some(error),
            }
        }
        match (best, refused) {
            (Some((_, plan)), _) => Ok(plan),
            (None, Some(error)) => Err(error),
            (None, None) => Err(SystemError::Overflow { what: "a product without dataflow".to_owned() }),
        }
    }

    fn group(&self) -> u64 {
        self.format.group as u64
    }

    /// Multiplication units for each modulus.
    fn slots(&self) -> u64 {
        u64::from(self.placement.units) * u64::from(self.placement.rows) * self.group()
    }

    fn group_bytes(&self, values: u64) -> u64 {
        self.system.group_bytes(self.format, values)
    }

    fn tile_costs(&self, plan: &Plan) -> Result<[TileCost; TileKind::COUNT], SystemError> {
        let mut costs = [TileCost::default(); TileKind::COUNT];
        let sram = &self.system.sram;
        for kind in TileKind::all() {
            let (rows, columns) = (plan.rows_of(kind), plan.columns_of(kind));
            let bytes = self.group_bytes(columns) as f64;
            // A partial sum is written, and but for the first group read before.
            let sums = if kind.first_k() { 4 * rows } else { 8 * rows };
            let pace = (sram.stream_bandwidth.si() / bytes).min(sram.accumulate_bandwidth.si() / sums as f64);
            let ideal = TIME.span(plan.vectors, self.clock)?;
            let stream =
                if pace >= self.clock as f64 { ideal } else { ceil_ticks(plan.vectors as f64 / pace)? };
            let load = ceil_ticks(rows as f64 * bytes / sram.load_bandwidth.si())?;
            costs[kind.index()] = TileCost { rows, columns, load, stream: stream.max(ideal), ideal };
        }
        Ok(costs)
    }

    /// Refuses what could run past 2^62 ticks, so that no sum inside the model can overflow.
    fn check_duration(
        &self,
        plan: &Plan,
        costs: &[TileCost; TileKind::COUNT],
        repeats: u32,
    ) -> Result<(), SystemError> {
        let slowest = |of: fn(&TileCost) -> u64| u128::from(costs.iter().map(of).max().unwrap_or(0));
        let streams = slowest(|cost| cost.stream) * (1 + u128::from(repeats));
        let tile = streams + slowest(|cost| cost.load) + u128::from(self.program) + u128::from(self.check);
        let total =
            tile.checked_mul(u128::from(plan.tiles)).and_then(|t| t.checked_add(u128::from(self.pipeline)));
        if total.is_none_or(|total| total >= 1 << 62) {
            return Err(SystemError::Overflow { what: "the time of a product".to_owned() });
        }
        Ok(())
    }

    fn result(
        &self,
        entry: &GemmEntry,
        plan: &Plan,
        costs: &[TileCost; TileKind::COUNT],
        bench: &Simulation<Product>,
        options: &Options,
    ) -> Result<LayerResult, SystemError> {
        let product = bench.model();
        let picoseconds = bench.now();
        let seconds = TIME.seconds(picoseconds);
        let tiles_of = |kind: TileKind| product.done.tiles[kind.index()];
        let macs: u64 = TileKind::all()
            .map(|kind| {
                tiles_of(kind) * costs[kind.index()].rows * costs[kind.index()].columns * plan.vectors
            })
            .sum();
        let reads = plan.groups();
        Ok(LayerResult {
            network: entry.network.clone(),
            layer: entry.layer.clone(),
            pass: entry.pass,
            m: entry.m,
            k: entry.k,
            n: entry.n,
            repeats: entry.repeats,
            stationary: plan.stationary,
            tiles: TileKind::all().map(tiles_of).sum(),
            events: bench.events(),
            macs,
            picoseconds,
            seconds,
            utilisation: macs as f64 / (self.peak() * seconds),
            energy: self.energy(plan, costs, product, picoseconds)?,
            breakdown: self.breakdown(product, picoseconds),
            reads,
            repeated: product.done.repeated,
            repeated_expected: options.repeats.map_or(0.0, |model| model.expected(reads)),
            working_set: self.working_set(plan),
        })
    }

    /// Operands in groups and FP32 results of one product, in bytes; repeats follow one another.
    fn working_set(&self, plan: &Plan) -> f64 {
        let operands = (plan.rows + plan.vectors) as f64 * self.vector_bytes(plan) as f64;
        operands + 4.0 * plan.rows as f64 * plan.vectors as f64
    }

    /// Bytes of one vector of K values in groups.
    fn vector_bytes(&self, plan: &Plan) -> u64 {
        let last = plan.inner - (plan.k_tiles - 1) * self.group();
        (plan.k_tiles - 1) * self.group_bytes(self.group()) + self.group_bytes(last)
    }

    fn energy(
        &self,
        plan: &Plan,
        costs: &[TileCost; TileKind::COUNT],
        product: &Product,
        ticks: u64,
    ) -> Result<ByComponent, SystemError> {
        let (mut ledger, accounts) = self.costs.open(TIME)?;
        let mut book =
            |component: Component, actions: u64| ledger.book(accounts[component as usize], actions, 0);
        // Every result is an operand of two later products (of the next pass, and of a gradient), grouped along another
        // direction for each: read once as FP32, written twice as groups.
        let results = plan.rows * plan.vectors * plan.repeats;
        book(Component::Quantisation, 2 * results);
        let groups = results.div_ceil(self.group());
        book(Component::OperandMemory, 4 * results + 2 * groups * self.group_bytes(self.group()));
        for kind in TileKind::all() {
            let (cost, tiles) = (costs[kind.index()], product.done.tiles[kind.index()]);
            let streamed = tiles * plan.vectors;
            let fetched = streamed + product.done.refetched[kind.index()];
            book(Component::Transmitters, tiles * cost.rows * cost.columns);
            book(Component::ForwardConversion, tiles * cost.rows * cost.columns + fetched * cost.columns);
            book(Component::OperandMemory, (tiles * cost.rows + fetched) * self.group_bytes(cost.columns));
            book(Component::RingDrive, streamed * cost.rows * cost.columns);
            book(Component::ReverseConversion, streamed * cost.rows);
            let sums = streamed * cost.rows;
            book(Component::AccumulatorMemory, if kind.first_k() { 4 * sums } else { 8 * sums });
            book(Component::Accumulation, if kind.first_k() { 0 } else { sums });
        }
        book(Component::RingDrive, product.done.redriven);
        book(Component::ReverseConversion, product.done.reread);
        for &account in &accounts {
            ledger.book(account, 0, ticks);
        }
        let mut energy = [0.0; Component::COUNT];
        for (slot, (_, joules)) in energy.iter_mut().zip(ledger.energies()?) {
            *slot = joules;
        }
        Ok(energy)
    }

    fn breakdown(&self, product: &Product, ticks: u64) -> Breakdown {
        let whole = f64::from(self.placement.units) * ticks as f64;
        if whole == 0.0 {
            return Breakdown::default();
        }
        let spent = &product.spent;
        let share = |ticks: u128| ticks as f64 / whole;
        let useful = share(spent.useful) / (f64::from(self.placement.rows) * self.format.group as f64);
        Breakdown {
            useful,
            edges: share(spent.ideal) - useful,
            bandwidth: share(spent.stream - spent.ideal),
            programming: share(spent.programming),
            loading: share(spent.loading),
            repeats: share(spent.repeats),
            checking: share(spent.checking),
            draining: share(spent.draining),
            imbalance: share(product.imbalance(ticks)),
        }
    }
}

/// Ticks of a time in seconds, rounded up.
fn ceil_ticks(seconds: f64) -> Result<u64, SystemError> {
    let ticks = TIME.ticks(seconds)?;
    Ok(if TIME.seconds(ticks) < seconds { ticks.saturating_add(1) } else { ticks })
}

/// A random stream of its own for each entry of a list: FNV-1a of network, layer, pass, sizes, repeats and the number of
/// equal entries before it.
fn stream(seed: u64, entry: &GemmEntry, before: u64) -> Pcg64 {
    let names = format!("{}\0{}\0{}\0", entry.network, entry.layer, entry.pass);
    let numbers = [entry.m, entry.k, entry.n, entry.repeats, before].map(u64::to_le_bytes);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in names.as_bytes().iter().chain(numbers.as_flattened()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Pcg64::new(u128::from(seed) << 64 | u128::from(hash), u128::from(hash))
}

#[cfg(test)]
mod tests;
