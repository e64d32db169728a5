//! An open product: its slices on their way in, its tiles on their way through the units, its blocks on their way out.

use std::collections::VecDeque;

use mirage_events::Scheduler;

use super::account::{Part, TaskAccount};
use super::drain::Finished;
use super::memory::Owner;
use super::nest::{Nest, Room, Slice};
use super::order::Prefix;
use super::program::{Job, Stored};
use super::units::timing_index;
use super::{Axis, Event, Machine, Place};
use crate::engine::{Engine, TileCount, TileShape, TileTiming};
use crate::plan::{Plan, TileKind};
use crate::repeats::Sampler;
use crate::{SystemError, chip};

/// Kinds of tile, of full and short slices, first of their block or not.
pub(crate) const TIMINGS: usize = 4 * TileKind::COUNT;

/// A slice that is loading or in use.
#[derive(Debug, Clone, Copy)]
struct Held {
    slice: Slice,
    /// Transfers that have not arrived.
    transfers: u32,
    /// Tiles not yet done.
    left: u64,
}

/// Where a unit stands.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    slice: u64,
    /// The next tile, if it was looked for already.
    tile: Option<(u64, u64)>,
}

/// A tile that was found.
pub(crate) struct Found {
    pub slice: u64,
    pub row: u64,
    pub column: u64,
    pub timing: u8,
}

pub(crate) struct Product {
    pub task: u32,
    pub nest: Nest,
    room: Room,
    units: u64,
    /// Partitions of the operands and the result.
    pub places: [Place; 3],
    pub timings: [TileTiming; TIMINGS],
    pub shapes: [TileShape; TIMINGS],
    pub counts: [TileCount; TIMINGS],
    pub sampler: Option<Sampler>,
    cursors: Vec<Cursor>,
    slices: VecDeque<Held>,
    /// Slices that are done with, and asked for.
    released: u64,
    asked: u64,
    /// Blocks that have accumulators.
    begun: u64,
    /// Blocks that are stored.
    pub stored: Prefix,
    /// Bytes of the result, and how many are not yet sent off.
    result_bytes: u64,
    result_left: u64,
    result_resident: bool,
    /// Elements of the result in memory over elements of the product.
    folded: (u64, u64),
    /// How it goes through the samples.
    axis: Option<Axis>,
    /// Whether its next slice waits for samples of what it follows.
    waits: bool,
}

impl Product {
    /// Takes a slice's tile off; whether that was its last.
    pub fn tile_done(&mut self, slice: u64) -> bool {
        let Some(held) = self.slices.get_mut((slice - self.released) as usize) else { return false };
        held.left -= 1;
        held.left == 0
    }

    /// The group of columns that a tile streams, counted over repeats.
    pub fn group(&self, row: u64, column: u64) -> u64 {
        let plan = &self.nest.plan;
        (row / plan.row_tiles).wrapping_mul(plan.k_tiles).wrapping_add(column)
    }

    /// The next tile of a unit, or what it waits for; begins a block if a half of the accumulators is free.
    pub fn next_tile(&mut self, unit: u32, halves: &mut u32) -> Result<Found, Part> {
        let slices = self.nest.slices();
        loop {
            let cursor = &mut self.cursors[unit as usize];
            if cursor.slice < self.released {
                *cursor = Cursor { slice: self.released, tile: None };
            }
            if cursor.slice >= slices {
                return Err(Part::Imbalance);
            }
            let Some(held) = self.slices.get((cursor.slice - self.released) as usize) else {
                return Err(if self.waits { Part::Dependencies } else { Part::Operands });
            };
            let slice = &held.slice;
            if cursor.tile.is_none() {
                cursor.tile = first_tile(&self.nest.plan, slice, slice.rows[0], u64::from(unit), self.units);
            }
            let Some((row, column)) = cursor.tile else {
                *cursor = Cursor { slice: cursor.slice + 1, tile: None };
                continue;
            };
            if held.transfers > 0 {
                return Err(Part::Operands);
            }
            // Blocks begin in order, those before this one too where other units have their tiles.
            let wanted = (slice.block + 1).saturating_sub(self.begun);
            if wanted > u64::from(*halves) {
                return Err(Part::Accumulators);
            }
            *halves -= wanted as u32;
            self.begun += wanted;
            let kind = self.nest.plan.kind(row, column);
            let timing = timing_index(kind, slice.short, slice.first) as u8;
            let found = Found { slice: cursor.slice, row, column, timing };
            let next = column + self.units;
            cursor.tile = if next < slice.columns[1] {
                Some((row, next))
            } else {
                first_tile(&self.nest.plan, slice, row + 1, u64::from(unit), self.units)
            };
            if cursor.tile.is_none() {
                *cursor = Cursor { slice: cursor.slice + 1, tile: None };
            }
            return Ok(found);
        }
    }

    /// Samples that the next slice needs of what the product follows, of `batch`.
    fn needs(&self, batch: u64) -> u64 {
        let Some(axis) = self.axis else { return batch };
        super::nest::part(batch, self.nest.reach(axis, self.nest.block_of(self.asked)))
    }

    /// How far its results are stored, if they come sample by sample.
    pub fn progress(&self) -> Option<(u64, u64)> {
        self.axis.map(|axis| self.nest.complete(axis, self.stored.first))
    }

    /// Most slices held at a time.
    fn full(&self) -> bool {
        self.slices.len() as u64 >= self.room.prefetch || self.asked >= self.nest.slices()
    }
}

/// The first tile of a unit in a slice, from row tile `row` on.
fn first_tile(plan: &Plan, slice: &Slice, row: u64, unit: u64, units: u64) -> Option<(u64, u64)> {
    let [begin, end] = slice.columns;
    if begin == 0 && end == plan.k_tiles {
        // Tiles follow one another without a gap.
        let from = row * plan.k_tiles;
        let tile = from + (unit + units - from % units) % units;
        let found = (tile / plan.k_tiles, tile % plan.k_tiles);
        return (found.0 < slice.rows[1]).then_some(found);
    }
    // A unit's tile of a row lies `ahead` of the first column; how far changes by the same from row to row.
    let ahead = (unit + units - (row * plan.k_tiles + begin) % units) % units;
    let (width, step) = (end - begin, units - plan.k_tiles % units);
    let rows = if ahead < width {
        0
    } else {
        first_in(step % units, units, [units - ahead, units - ahead + width - 1])?
    };
    let found = (row + rows, begin + (ahead + rows % units * step) % units);
    (found.0 < slice.rows[1]).then_some(found)
}

/// The smallest x >= 0 for which low <= a x mod m <= high, with 0 < low <= high < m and a < m. As the greatest common divisor is
/// found: where no multiple of a lies in the range, a x - m y does for the smallest y that does so modulo a.
fn first_in(a: u64, m: u64, [low, high]: [u64; 2]) -> Option<u64> {
    if a == 0 {
        return None;
    }
    let x = low.div_ceil(a);
    if x * a <= high {
        return Some(x);
    }
    let y = first_in(m % a, a, [(a - high % a) % a, (a - low % a) % a])?;
    Some((low + m * y).div_ceil(a))
}

impl Machine<'_> {
    /// Cuts a product and opens it.
    pub(super) fn open_product(&mut self, task: usize, now: u64) -> Result<u8, SystemError> {
        self.begin(task, now);
        let room = self.room(task);
        let Job::Gemm { entry, stationary, before } = &self.program.tasks[task].job else {
            return Err(SystemError::Overflow { what: "a task that is no product".to_owned() });
        };
        let (nest, room) = cut(self.engine, entry, *stationary, &room)?;
        let (timings, shapes) = tiles(self.engine, &nest)?;
        let sampler = match self.options.repeats.filter(|model| model.active()) {
            Some(model) => {
                let random =
                    chip::stream(self.options.seed, entry, before + u64::from(self.step) * (1 << 32));
                Some(Sampler::new(model, self.timing.stall, random))
            }
            None => None,
        };
        let places = self.places(task);
        let result = self.program.tasks[task].writes[0];
        let tensor = &self.program.tensors[result];
        let product = Product {
            task: task as u32,
            nest,
            room,
            units: u64::from(self.setup.units),
            places,
            timings,
            shapes,
            counts: [TileCount::default(); TIMINGS],
            sampler,
            cursors: vec![Cursor::default(); self.setup.units as usize],
            slices: VecDeque::new(),
            released: 0,
            asked: 0,
            begun: 0,
            stored: Prefix::default(),
            result_bytes: tensor.bytes(),
            result_left: tensor.bytes(),
            result_resident: self.residency.resident(result),
            folded: (tensor.elements, nest.plan.results() * nest.plan.repeats),
            axis: self.program.tasks[task].axis,
            waits: false,
        };
        let slot = self.products.iter().position(Option::is_none).unwrap_or(self.products.len());
        if slot == self.products.len() {
            self.products.push(None);
        }
        self.products[slot] = Some(product);
        self.order.push(slot as u8);
        Ok(slot as u8)
    }

    /// Where the product of a task is open.
    pub(super) fn slot_of(&self, task: usize) -> Option<u8> {
        let of =
            |slot: &&u8| self.products[usize::from(**slot)].as_ref().is_some_and(|p| p.task as usize == task);
        self.order.iter().find(of).copied()
    }

    /// What a product may use, with the operands where they are now.
    fn room(&self, task: usize) -> Room {
        let places = self.places(task);
        let reads = self.operands(task);
        let resident = reads.map(|tensor| self.residency.resident(tensor));
        room(&self.setup, places, reads.map(|tensor| &self.program.tensors[tensor]), resident, {
            &self.program.tensors[self.program.tasks[task].writes[0]]
        })
    }

    /// Stationary or left operand, streaming or right one.
    fn operands(&self, task: usize) -> [usize; 2] {
        let task = &self.program.tasks[task];
        operands(task)
    }

    fn places(&self, task: usize) -> [Place; 3] {
        let [left, right] = self.operands(task);
        let result = self.program.tasks[task].writes[0];
        [left, right, result].map(|tensor| self.program.tensors[tensor].place)
    }

    /// Asks for slices while there is room for them.
    pub(super) fn ask_for_slices(&mut self, slot: u8, now: u64, scheduler: &mut Scheduler<Event>) {
        let Some(product) = &self.products[usize::from(slot)] else { return };
        let (available, batch) = (self.available(product.task as usize), self.program.batch);
        let mut ready = false;
        loop {
            let Some(product) = &mut self.products[usize::from(slot)] else { return };
            if product.full() {
                break;
            }
            product.waits = available < batch && available < product.needs(batch);
            if product.waits {
                break;
            }
            let number = product.asked;
            let slice = product.nest.slice(number, &product.room);
            let transfers = slice.fetch.iter().filter(|&&bytes| bytes > 0).count() as u32;
            product.slices.push_back(Held { slice, transfers, left: slice.tiles() });
            product.asked += 1;
            ready |= transfers == 0;
            let (task, places) = (product.task, product.places);
            for (bytes, place) in slice.fetch.into_iter().zip(places) {
                if bytes > 0 {
                    let owner = Owner::Slice { slot, slice: number };
                    self.transfer((owner, task), (place.port(), false), bytes, now, scheduler);
                    self.moved_in[place.index()] += bytes;
                    self.account.tasks[task as usize].fetched[place.index()] += bytes;
                }
            }
        }
        if ready {
            self.wake(now, scheduler);
        }
    }

    /// A transfer of a slice is through.
    pub(super) fn slice_arrived(&mut self, slot: u8, slice: u64, now: u64, scheduler: &mut Scheduler<Event>) {
        let Some(product) = &mut self.products[usize::from(slot)] else { return };
        let Some(held) = product.slices.get_mut((slice - product.released) as usize) else { return };
        held.transfers -= 1;
        if held.transfers == 0 {
            self.wake(now, scheduler);
        }
    }

    /// Lets go of slices that are done with, in order; ends blocks; asks for more.
    pub(super) fn release(&mut self, slot: u8, now: u64, scheduler: &mut Scheduler<Event>) {
        let Some(product) = &mut self.products[usize::from(slot)] else { return };
        while let Some(held) = product.slices.front()
            && held.left == 0
        {
            let slice = held.slice;
            product.slices.pop_front();
            product.released += 1;
            if !slice.last {
                continue;
            }
            let results = product.nest.block_results(&slice);
            let elements = super::nest::part(product.folded.0, (results, product.folded.1));
            let share = super::nest::part(product.result_bytes, (results, product.folded.1));
            // The last block takes what rounding left.
            let last = slice.block + 1 == product.nest.blocks();
            let bytes = if last { product.result_left } else { share.min(product.result_left) };
            product.result_left -= bytes;
            let bytes = if product.result_resident { 0 } else { bytes };
            let ready = now + self.timing.pipeline;
            self.drain.push(Finished { slot, block: slice.block, ready, elements, bytes });
        }
        self.drain_next(now, scheduler);
        self.ask_for_slices(slot, now, scheduler);
    }

    /// Books the energy of a finished product on its task.
    pub(super) fn book_product(&mut self, product: &Product) {
        let [left, right, _] = product.places;
        let result = &self.program.tensors[self.program.tasks[product.task as usize].writes[0]];
        let tiles = product.shapes.iter().copied().zip(product.counts.iter().copied());
        let account = &mut self.account.tasks[product.task as usize];
        let result = (result, product.result_resident);
        book(self.engine, &product.nest.plan, tiles, [left, right], result, account);
    }
}

/// Books a product on its account: its tiles, its accesses to the SRAM (what was fetched stands in the account already), its results.
pub(crate) fn book(
    engine: &Engine,
    plan: &Plan,
    tiles: impl Iterator<Item = (TileShape, TileCount)>,
    places: [Place; 2],
    (result, resident): (&Stored, bool),
    account: &mut TaskAccount,
) {
    let mut actions = crate::engine::Actions::default();
    for (shape, count) in tiles.filter(|(_, count)| count.tiles > 0) {
        let read = engine.book(shape, count, &mut actions);
        for (place, bytes) in places.into_iter().zip(read) {
            account.sram[place.index()] += bytes;
        }
    }
    // What is fetched is written into the SRAM before it is read; results are written there, and read again if they leave.
    for place in Place::ALL {
        account.sram[place.index()] += account.fetched[place.index()];
    }
    account.sram[result.place.index()] += if resident { 1 } else { 2 } * result.bytes();
    // Sums of different columns lie in the accumulators of different units until they are joined.
    let units = u64::from(engine.placement().units);
    let copies = if plan.sums_columns() { plan.k_tiles.min(units) } else { 1 };
    let sums = plan.results() * plan.repeats;
    actions[crate::Component::AccumulatorMemory as usize] += 4 * sums * copies;
    actions[crate::Component::Accumulation as usize] += sums * (copies - 1);
    engine.book_results(result.elements, result.groupings, &mut actions);
    for (total, count) in account.actions.iter_mut().zip(actions) {
        *total += count;
    }
}

/// The operands of a product's task: left and right, which is stationary and streaming.
pub(crate) fn operands(task: &super::program::Task) -> [usize; 2] {
    match task.job {
        Job::Gemm { stationary: crate::Stationary::Second, .. } => [task.reads[1], task.reads[0]],
        _ => [task.reads[0], task.reads[1]],
    }
}

/// What a product may use.
pub(crate) fn room(
    setup: &super::setup::Setup,
    places: [Place; 3],
    operands: [&super::program::Stored; 2],
    resident: [bool; 2],
    result: &super::program::Stored,
) -> Room {
    let shared = if places[0] == places[1] { 2 } else { 1 };
    Room {
        operands: operands.map(|tensor| tensor.operand),
        resident,
        working: [0, 1].map(|operand: usize| setup.working[places[operand].index()] / shared),
        accumulators: setup.accumulators,
        results: result.elements,
        prefetch: setup.prefetch,
        bytes_per_tick: setup.memory_bandwidth().bytes_per_tick(),
    }
}

/// The best cut of a product.
pub(crate) fn cut(
    engine: &Engine,
    entry: &mirage_arithmetic::GemmEntry,
    stationary: crate::Stationary,
    room: &Room,
) -> Result<(Nest, Room), SystemError> {
    let plan = engine.plan(entry, stationary)?;
    let operands = fetched_once(engine, &plan, room.operands);
    let room = Room { operands, ..*room };
    let nest = Nest::new(engine, plan, &room)?.ok_or_else(|| SystemError::NoRoom {
        network: entry.network.clone(),
        layer: entry.layer.clone(),
        pass: entry.pass.to_string(),
        reason: format!(
            "{} B and {} B of the SRAM for the slices of its operands, {} B of accumulators for a block of a unit",
            room.working[0], room.working[1], room.accumulators
        ),
    })?;
    Ok((nest, room))
}

/// Bytes of the left and the right operand that a product fetches if it does so once: no more than it has, since strides skip the
/// rest of a tensor.
pub(crate) fn fetched_once(engine: &Engine, plan: &Plan, tensors: [u64; 2]) -> [u64; 2] {
    let sizes = match plan.stationary {
        crate::Stationary::Output => [(plan.rows, plan.vectors), (plan.inner, plan.vectors)],
        _ => [(plan.rows, plan.inner), (plan.vectors, plan.inner)],
    };
    [0, 1].map(|operand: usize| {
        let elements = sizes[operand].0.saturating_mul(sizes[operand].1).saturating_mul(plan.repeats);
        tensors[operand].min(engine.tensor_bytes(elements))
    })
}

/// Timings and shapes of all kinds of tile.
fn tiles(engine: &Engine, nest: &Nest) -> Result<([TileTiming; TIMINGS], [TileShape; TIMINGS]), SystemError> {
    let mut timings = [TileTiming::default(); TIMINGS];
    let blank = nest.shape(TileKind::new(false, false, false), false, false);
    let mut shapes = [blank; TIMINGS];
    for kind in TileKind::all() {
        for (short, first) in [(false, false), (false, true), (true, false), (true, true)] {
            let index = timing_index(kind, short, first);
            let shape = nest.shape(kind, short, first);
            let timing = engine.tile(shape)?;
            let longest = timing.load.max(timing.program).max(timing.stream);
            if longest > super::setup::LONGEST {
                return Err(SystemError::Overflow { what: "the time of a tile".to_owned() });
            }
            (timings[index], shapes[index]) = (timing, shape);
        }
    }
    Ok((timings, shapes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_multiple_in_a_range_is_found(m in 2u64..400, a in 0u64..400, low in 1u64..400, width in 0u64..400) {
            let (a, low) = (a % m, 1 + low % (m - 1));
            let high = (low + width).min(m - 1);
            let searched = (0..m).find(|x| (low..=high).contains(&(a * x % m)));
            prop_assert_eq!(first_in(a, m, [low, high]), searched);
        }
    }
}
