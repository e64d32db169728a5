//! The units: tiles of the open products are loaded, programmed and streamed.
//!
//! A unit takes the tiles that the placement gives it, in the order of the slices, from the oldest open product that has one ready;
//! so it goes on with the next product while others finish the last one. The operands of its next tile are loaded over the one load
//! port while it works on the present tile. To stream it takes a port of the bank that its vectors lie in.

use std::collections::VecDeque;

use mirage_events::Scheduler;

use super::account::{Part, Track};
use super::product::TIMINGS;
use super::{Event, Machine, Place};
use crate::design::Stall;
use crate::plan::TileKind;

/// A tile on its way through a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    pub slot: u8,
    /// Which of the product's kinds and lengths it is.
    pub timing: u8,
    pub slice: u64,
    pub bank: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing to do, for this reason.
    Idle,
    Loading,
    Programming,
    /// Waits for a port.
    Port,
    Streaming,
    Calibrating,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    phase: Phase,
    part: Part,
    task: Option<u32>,
    since: u64,
    tile: Option<Tile>,
    /// The next tile, and when it may be programmed (with shadow registers: streamed).
    next: Option<(Tile, u64)>,
    /// Of the present tile: ticks of repeats and of holding.
    repeats: u64,
    hold: u64,
    /// Whether a calibration is due.
    due: bool,
}

impl Unit {
    pub fn new() -> Self {
        Self {
            phase: Phase::Idle,
            part: Part::Dependencies,
            task: None,
            since: 0,
            tile: None,
            next: None,
            repeats: 0,
            hold: 0,
            due: false,
        }
    }
}

/// Ports of the banks, and who waits for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Banks {
    free: Vec<u32>,
    waiting: Vec<VecDeque<u32>>,
    /// Most units ever in one line.
    pub longest: usize,
}

impl Banks {
    pub fn new(banks: usize, ports: u32) -> Self {
        Self { free: vec![ports; banks], waiting: vec![VecDeque::new(); banks], longest: 0 }
    }

    pub fn idle(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }
}

impl Machine<'_> {
    /// Closes what the unit was at, and begins something else.
    fn turn_to(&mut self, unit: u32, (phase, part): (Phase, Part), task: Option<u32>, now: u64) {
        let state = &mut self.units[unit as usize];
        let (old, of, since) = (state.part, state.task, state.since);
        if state.phase != Phase::Streaming && now > since {
            self.account.spend(old, of, now - since);
            super::account::note(&mut self.trace, Track::Unit(unit), old, of, [since, now]);
        }
        state.phase = phase;
        state.part = part;
        state.task = task;
        state.since = now;
    }

    /// Ends the accounts of all units at the end of a step.
    pub(super) fn settle_units(&mut self, now: u64) {
        for unit in 0..self.setup.units {
            let state = &self.units[unit as usize];
            let (phase, part, task) = (state.phase, state.part, state.task);
            self.turn_to(unit, (phase, part), task, now);
        }
        let out = u128::from(self.setup.units_out) * u128::from(now - self.step_began);
        self.account.spent[Part::OutOfUse as usize] += out;
    }

    /// There may be something to do for units that have nothing, or nothing next.
    pub(super) fn wake(&mut self, now: u64, scheduler: &mut Scheduler<Event>) {
        for unit in 0..self.setup.units {
            match self.units[unit as usize].phase {
                Phase::Idle => self.advance(unit, now, scheduler),
                // The reason why there is no next tile matters only once the present one is done.
                Phase::Streaming => drop(self.prefetch(unit, now)),
                Phase::Programming | Phase::Port if !self.timing.shadow => drop(self.prefetch(unit, now)),
                _ => {}
            }
        }
    }

    /// Chooses the unit's next tile, if it has none, and loads it.
    fn prefetch(&mut self, unit: u32, now: u64) -> Option<(Part, Option<u32>)> {
        if self.units[unit as usize].next.is_some() {
            return None;
        }
        let tile = match self.pick(unit) {
            Ok(tile) => tile,
            Err(reason) => return Some(reason),
        };
        let Some(product) = &self.products[usize::from(tile.slot)] else { return None };
        let timing = product.timings[usize::from(tile.timing)];
        let begin = now.max(self.load_free);
        let arrival = begin + timing.load;
        self.load_free = arrival;
        self.load_busy += timing.load;
        if let Some(trace) = &mut self.trace {
            trace.span(Track::Load, "loading", Some(product.task), begin, arrival);
        }
        let ready = if self.timing.shadow { arrival + timing.program } else { arrival };
        self.units[unit as usize].next = Some((tile, ready));
        None
    }

    /// The unit's shifters are free: what now?
    pub(super) fn advance(&mut self, unit: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        if self.units[unit as usize].due {
            self.units[unit as usize].due = false;
            self.turn_to(unit, (Phase::Calibrating, Part::Calibration), None, now);
            self.calibrations += 1;
            scheduler.after(self.setup.calibration, Event::Calibrated(unit));
            return;
        }
        if let Some((part, task)) = self.prefetch(unit, now) {
            let state = &self.units[unit as usize];
            if state.phase != Phase::Idle || state.part != part || state.task != task {
                self.turn_to(unit, (Phase::Idle, part), task, now);
            }
            return;
        }
        let Some((tile, ready)) = self.units[unit as usize].next else { return };
        if ready > now {
            let task = self.products[usize::from(tile.slot)].as_ref().map(|product| product.task);
            let part = if self.timing.shadow { Part::Programming } else { Part::Loading };
            self.turn_to(unit, (Phase::Loading, part), task, now);
            scheduler.at(ready, Event::Loaded(unit));
        } else {
            self.loaded(unit, now, scheduler);
        }
    }

    /// The next tile's operands are there: it becomes the present one.
    pub(super) fn loaded(&mut self, unit: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        let state = &mut self.units[unit as usize];
        let Some((tile, _)) = state.next.take() else { return };
        state.tile = Some(tile);
        if self.timing.shadow {
            self.programmed(unit, now, scheduler);
            return;
        }
        let Some(product) = &self.products[usize::from(tile.slot)] else { return };
        let (task, program) = (product.task, product.timings[usize::from(tile.timing)].program);
        self.turn_to(unit, (Phase::Programming, Part::Programming), Some(task), now);
        if self.setup.ports >= self.setup.units {
            // No line is ever longer than the ports: the tile's way is known to its end.
            self.stream(unit, tile, [now, now + program], scheduler);
        } else {
            scheduler.after(program, Event::Programmed(unit));
            self.prefetch(unit, now);
        }
    }

    /// The unit can stream as soon as it has a port.
    pub(super) fn programmed(&mut self, unit: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        let Some(tile) = self.units[unit as usize].tile else { return };
        let bank = tile.bank as usize;
        if self.setup.ports >= self.setup.units {
            self.stream(unit, tile, [now; 2], scheduler);
            return;
        }
        if self.banks.free[bank] == 0 {
            let task = self.products[usize::from(tile.slot)].as_ref().map(|product| product.task);
            self.turn_to(unit, (Phase::Port, Part::Conflicts), task, now);
            self.banks.waiting[bank].push_back(unit);
            self.banks.longest = self.banks.longest.max(self.banks.waiting[bank].len());
            return;
        }
        self.banks.free[bank] -= 1;
        self.stream(unit, tile, [now; 2], scheduler);
    }

    /// The unit streams from `begin` on, which may lie ahead by the time of programming.
    fn stream(&mut self, unit: u32, tile: Tile, [now, begin]: [u64; 2], scheduler: &mut Scheduler<Event>) {
        let hold = self.hold;
        let stall = self.timing.stall;
        let Some(product) = &mut self.products[usize::from(tile.slot)] else { return };
        let (index, task) = (usize::from(tile.timing), product.task);
        let (timing, shape) = (product.timings[index], product.shapes[index]);
        let mut repeats = 0;
        if let Some(sampler) = &mut product.sampler {
            let drawn = sampler.draw(shape.vectors, shape.rows);
            if drawn.groups > 0 {
                let (fetched, rows) = match stall {
                    // A unit streams whole vectors again; a row that stalls alone fetches and drives only its own.
                    Stall::Unit => (drawn.cycles, drawn.cycles.saturating_mul(shape.rows)),
                    Stall::Row => (drawn.groups, drawn.groups),
                };
                product.counts[index].refetched += fetched;
                product.counts[index].reread += rows;
                self.account.tasks[task as usize].repeated += drawn.groups;
                // At the pace of this kind of tile.
                let ticks = (u128::from(drawn.cycles) * u128::from(timing.stream))
                    .div_ceil(u128::from(shape.vectors));
                repeats = u64::try_from(ticks).unwrap_or(u64::MAX);
            }
        }
        let end = begin.checked_add(timing.stream).and_then(|end| end.checked_add(repeats));
        let Some(end) = end.and_then(|end| end.checked_add(hold)) else {
            self.overflowed = true;
            scheduler.stop();
            return;
        };
        // Closes the programming too.
        self.turn_to(unit, (Phase::Streaming, Part::Streaming), Some(task), begin);
        let state = &mut self.units[unit as usize];
        (state.repeats, state.hold) = (repeats, hold);
        scheduler.at(end, Event::Streamed(unit));
        self.prefetch(unit, now);
    }

    /// A tile is done.
    pub(super) fn streamed(&mut self, unit: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        let state = &mut self.units[unit as usize];
        let (repeats, hold, since) = (state.repeats, state.hold, state.since);
        let Some(tile) = state.tile.take() else { return };
        // A port goes to whoever waits longest.
        if self.setup.ports < self.setup.units {
            let bank = tile.bank as usize;
            match self.banks.waiting[bank].pop_front() {
                Some(other) => {
                    if let Some(next) = self.units[other as usize].tile {
                        self.stream(other, next, [now; 2], scheduler);
                    }
                }
                None => self.banks.free[bank] += 1,
            }
        }
        let Some(product) = &mut self.products[usize::from(tile.slot)] else { return };
        let index = usize::from(tile.timing);
        let (timing, shape, task) = (product.timings[index], product.shapes[index], product.task);
        product.counts[index].tiles += 1;
        let account = &mut self.account.tasks[task as usize];
        account.spent[Part::Streaming as usize] += u128::from(timing.ideal);
        account.spent[Part::Bandwidth as usize] += u128::from(timing.stream - timing.ideal);
        account.spent[Part::Repeats as usize] += u128::from(repeats);
        account.spent[Part::Checking as usize] += u128::from(hold);
        account.useful += u128::from(timing.ideal) * u128::from(shape.rows * shape.columns);
        account.tiles += 1;
        account.macs += shape.rows * shape.columns * shape.vectors;
        if let Some(trace) = &mut self.trace {
            let marks = [timing.ideal, timing.stream - timing.ideal, repeats, hold];
            let parts = [Part::Streaming, Part::Bandwidth, Part::Repeats, Part::Checking];
            let mut from = since;
            for (part, ticks) in parts.into_iter().zip(marks) {
                trace.span(Track::Unit(unit), part.name(), Some(task), from, from + ticks);
                from += ticks;
            }
        }
        // What it is at next is told by `advance`; the tile itself is booked.
        let finished = product.tile_done(tile.slice);
        let state = &mut self.units[unit as usize];
        (state.phase, state.part, state.since, state.task) = (Phase::Idle, Part::Streaming, now, Some(task));
        if finished {
            self.release(tile.slot, now, scheduler);
        }
        // Releasing a slice may have set this unit to work already.
        if self.units[unit as usize].tile.is_none() && self.units[unit as usize].phase == Phase::Idle {
            self.advance(unit, now, scheduler);
        }
    }

    /// The time for a unit's calibration has come.
    pub(super) fn calibrate(&mut self, unit: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        scheduler.after(self.setup.period, Event::Calibrate(unit));
        self.units[unit as usize].due = true;
        if self.units[unit as usize].phase == Phase::Idle {
            self.advance(unit, now, scheduler);
        }
    }

    pub(super) fn calibrated(&mut self, unit: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        self.turn_to(unit, (Phase::Idle, Part::Imbalance), None, now);
        self.advance(unit, now, scheduler);
    }

    /// The next tile of a unit: of the oldest open product that has one ready. Otherwise why there is none.
    fn pick(&mut self, unit: u32) -> Result<Tile, (Part, Option<u32>)> {
        let mut reason = None;
        for place in 0..self.order.len() {
            let slot = self.order[place];
            let Some(product) = &mut self.products[usize::from(slot)] else { continue };
            let task = product.task;
            match product.next_tile(unit, &mut self.halves) {
                Ok(found) => {
                    let group = if self.setup.banks > 1 { product.group(found.row, found.column) } else { 0 };
                    let bank = self.setup.bank(product.places[1], group) as u32;
                    return Ok(Tile { slot, timing: found.timing, slice: found.slice, bank });
                }
                Err(Part::Imbalance) => {
                    reason.get_or_insert((Part::Imbalance, Some(task)));
                }
                Err(part) => {
                    // What holds up work that is there says more than that there is none.
                    if reason.is_none_or(|(old, _)| old == Part::Imbalance) {
                        reason = Some((part, Some(task)));
                    }
                }
            }
        }
        Err(reason.unwrap_or((Part::Dependencies, None)))
    }
}

/// Which timing a tile has.
pub(crate) fn timing_index(kind: TileKind, short: bool, first: bool) -> usize {
    let index = kind.index() | usize::from(short) << 3 | usize::from(first) << 4;
    debug_assert!(index < TIMINGS);
    index
}

impl Place {
    /// The partition's number.
    pub fn index(self) -> usize {
        self as usize
    }
}
