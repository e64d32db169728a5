//! One product on the chip, as discrete events.
//!
//! Each unit has two operand buffers, its phase shifters, and light. A tile goes through: its operands are
//! loaded into the free buffer over the one load port (first come, first served); the shifters are
//! programmed; the vectors stream; vectors whose products were found wrong stream again; the tile is held
//! until its last products are checked. Loading of the next tile begins when programming of this one does.

use mirage_arithmetic::Placement;
use mirage_events::{Model, Scheduler};

use crate::design::{Programming, Stall};
use crate::plan::{Plan, TileKind};
use crate::repeats::Sampler;

/// What can happen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The operands of the unit's next tile are in its buffer, its shifters are free: programming begins.
    Program(u32),
    /// The last sum of the unit's last tile has left the pipeline.
    Drained(u32),
}

/// What a tile of one kind takes, in ticks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TileCost {
    pub rows: u64,
    pub columns: u64,
    /// Loading its operands over the port.
    pub load: u64,
    /// Streaming all vectors through it.
    pub stream: u64,
    /// The same if no memory were in the way.
    pub ideal: u64,
}

/// Fixed times and choices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub program: u64,
    pub pipeline: u64,
    /// How long a tile is held for its check: 0 if it is not.
    pub hold: u64,
    pub programming: Programming,
    pub stall: Stall,
}

#[derive(Debug, Clone, Copy, Default)]
struct Unit {
    /// The tile that is programmed next.
    next: u64,
    /// When its light is free.
    free: u64,
    /// When its last sum is out.
    drained: u64,
}

/// Ticks of all units together, by use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub stream: u128,
    pub ideal: u128,
    /// Streaming with every row and column in use, weighted: rows x columns x ticks.
    pub useful: u128,
    pub programming: u128,
    pub loading: u128,
    pub repeats: u128,
    pub checking: u128,
    pub draining: u128,
}

/// Counts of what was done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    /// Tiles of each kind.
    pub tiles: [u64; TileKind::COUNT],
    /// Reads done again.
    pub repeated: u64,
    /// Multiplication units driven again.
    pub redriven: u64,
    /// Rows read out again.
    pub reread: u64,
    /// Vectors fetched again, by kind of tile.
    pub refetched: [u64; TileKind::COUNT],
}

/// The state machine.
pub(crate) struct Product {
    plan: Plan,
    placement: Placement,
    costs: [TileCost; TileKind::COUNT],
    timing: Timing,
    sampler: Option<Sampler>,
    units: Vec<Unit>,
    port_free: u64,
    overflowed: bool,
    pub spent: Spent,
    pub done: Done,
}

impl Product {
    pub fn new(
        plan: Plan,
        placement: Placement,
        costs: [TileCost; TileKind::COUNT],
        timing: Timing,
        sampler: Option<Sampler>,
    ) -> Self {
        let units = (0..u64::from(placement.units)).map(|next| Unit { next, ..Unit::default() }).collect();
        let (spent, done) = (Spent::default(), Done::default());
        Self { plan, placement, costs, timing, sampler, units, port_free: 0, overflowed: false, spent, done }
    }

    /// When each unit's first tile is ready to be programmed: at once if it was loaded before, else after
    /// its turn at the port.
    pub fn first_events(&mut self, prefetched: bool) -> Vec<(u64, Event)> {
        let busy = u64::from(self.placement.units).min(self.plan.tiles);
        let ready = |tile| {
            let arrival = if prefetched { 0 } else { self.load(0, tile) };
            (arrival, Event::Program(self.placement.unit(tile)))
        };
        (0..busy).map(ready).collect()
    }

    /// Reserves the port for a tile's operands; returns when they arrive.
    #[inline]
    fn load(&mut self, now: u64, tile: u64) -> u64 {
        let arrival = now.max(self.port_free) + self.costs[self.plan.kind(tile).index()].load;
        self.port_free = arrival;
        arrival
    }

    /// Whether the repeats of a tile took more ticks than can be counted; the product was left unfinished then.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Extra ticks for the repeats of a tile; `None` if there are more than can be counted.
    fn repeats(&mut self, kind: TileKind) -> Option<u64> {
        let Some(sampler) = &mut self.sampler else { return Some(0) };
        let cost = self.costs[kind.index()];
        let drawn = sampler.draw(self.plan.vectors, cost.rows);
        if drawn.groups == 0 {
            return Some(0);
        }
        self.done.repeated += drawn.groups;
        // A unit streams whole vectors again; a row that stalls alone fetches and drives only its own.
        let (fetched, rows) = match self.timing.stall {
            Stall::Unit => (drawn.cycles, drawn.cycles * cost.rows),
            Stall::Row => (drawn.groups, drawn.groups),
        };
        self.done.redriven += rows * cost.columns;
        self.done.reread += rows;
        self.done.refetched[kind.index()] += fetched;
        // At the pace of this kind of tile.
        let ticks =
            (u128::from(drawn.cycles) * u128::from(cost.stream)).div_ceil(u128::from(self.plan.vectors));
        u64::try_from(ticks).ok()
    }

    fn program(&mut self, now: u64, unit: u32, scheduler: &mut Scheduler<Event>) {
        let Some(&state) = self.units.get(unit as usize) else { return };
        let kind = self.plan.kind(state.next);
        let cost = self.costs[kind.index()];
        let following = state.next + u64::from(self.placement.units);
        let begin = (now + self.timing.program).max(state.free);
        let repeats = self.repeats(kind);
        let end = repeats.and_then(|repeats| (begin + cost.stream).checked_add(repeats));
        let (Some(repeats), Some(end)) = (repeats, end) else {
            // The bound on all ticks, checked before the start, keeps everything from here; if it ever does not, the
            // product ends without a result.
            self.overflowed = true;
            return;
        };
        let free = end + self.timing.hold;
        // Dark since the light was free: first for want of operands, then for the programming.
        let waited = now.saturating_sub(state.free);
        self.spent.loading += u128::from(waited);
        self.spent.programming += u128::from(begin - state.free - waited);
        self.spent.stream += u128::from(cost.stream);
        self.spent.ideal += u128::from(cost.ideal);
        self.spent.useful += u128::from(cost.ideal) * u128::from(cost.rows * cost.columns);
        self.spent.repeats += u128::from(repeats);
        self.spent.checking += u128::from(self.timing.hold);
        self.done.tiles[kind.index()] += 1;
        if following < self.plan.tiles {
            let arrival = self.load(now, following);
            let open = match self.timing.programming {
                Programming::Blocking => free,
                Programming::Shadow => begin,
            };
            scheduler.at(open.max(arrival), Event::Program(unit));
        } else {
            scheduler.at(end + self.timing.pipeline, Event::Drained(unit));
        }
        if let Some(state) = self.units.get_mut(unit as usize) {
            state.next = following;
            state.free = free;
        }
    }

    fn drain(&mut self, now: u64, unit: u32) {
        if let Some(state) = self.units.get_mut(unit as usize) {
            state.drained = now;
            self.spent.draining += u128::from(now.saturating_sub(state.free));
        }
    }

    /// Ticks that units had no tile while the product went on until `end`.
    pub fn imbalance(&self, end: u64) -> u128 {
        self.units.iter().map(|unit| u128::from(end.saturating_sub(unit.drained))).sum()
    }
}

impl Model for Product {
    type Event = Event;

    fn handle(&mut self, now: u64, event: Event, scheduler: &mut Scheduler<Event>) {
        match event {
            Event::Program(unit) => self.program(now, unit, scheduler),
            Event::Drained(unit) => self.drain(now, unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Stationary;
    use crate::repeats::RepeatModel;
    use mirage_arithmetic::{GemmEntry, Pass};
    use mirage_events::Simulation;
    use rand_pcg::Pcg64;

    #[test]
    fn repeats_beyond_counting_end_the_product() {
        let (network, layer, pass) = ("net".to_owned(), "layer".to_owned(), Pass::Forward);
        let entry = GemmEntry { network, layer, pass, m: 1, k: 1, n: 1, repeats: 2 };
        let plan = Plan::new(&entry, Stationary::First, 1, 1).unwrap();
        let placement = Placement { units: 1, rows: 1 };
        let model = RepeatModel { detected_per_group: 1.0, again: 1.0, repeats: 255 };
        let timing = Timing {
            program: 0,
            pipeline: 0,
            hold: 0,
            programming: Programming::Blocking,
            stall: Stall::Unit,
        };
        for (stream, overflows) in [(1 << 40, false), (1 << 58, true), (1 << 56, true)] {
            let cost = TileCost { rows: 1, columns: 1, load: 0, stream, ideal: 1 };
            let sampler = Sampler::new(model, Stall::Unit, Pcg64::new(1, 1));
            let mut product = Product::new(plan, placement, [cost; TileKind::COUNT], timing, Some(sampler));
            let first = product.first_events(true);
            let mut bench = Simulation::new(product);
            for (time, event) in first {
                bench.schedule(time, event).unwrap();
            }
            bench.run().unwrap();
            assert_eq!(bench.model().overflowed(), overflows, "{stream}");
        }
    }
}
