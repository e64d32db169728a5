//! The vector unit and the optimiser: sweeps over tensors in pieces.
//!
//! A piece of the operands comes in (from off-chip memory, or at once from the SRAM), is worked on, and its results leave.
//! Only so many pieces wait in front and behind (`staging`), so a slow memory holds the lanes back on both sides. The operands of
//! the next sweep are fetched while the last pieces of the present one are worked on.

use std::collections::VecDeque;

use mirage_events::Scheduler;

use super::account::Track;
use super::memory::Owner;
use super::order::Prefix;
use super::program::Job;
use super::setup::Lanes;
use super::{Event, Machine, Port};

#[derive(Debug, Clone)]
struct Sweep {
    task: u32,
    pieces: u64,
    /// Bytes of all pieces together from and to off-chip memory.
    bytes: [u64; 2],
    /// Ticks of all pieces together.
    ticks: u64,
    /// Pieces asked for, there, worked on, gone.
    asked: u64,
    arrived: Prefix,
    done: u64,
    stored: Prefix,
}

impl Sweep {
    fn share(&self, total: u64, piece: u64) -> u64 {
        let upto = |piece: u64| u128::from(total) * u128::from(piece) / u128::from(self.pieces);
        // At most the total.
        (upto(piece + 1) - upto(piece)) as u64
    }
}

/// One set of lanes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sweeper {
    queue: VecDeque<usize>,
    /// The present sweep and the next one.
    sweeps: Vec<Sweep>,
    /// The task of the one that is worked on, since when.
    busy: Option<(u32, u64)>,
    /// Results that have not left.
    leaving: u32,
    pub busy_ticks: u64,
    /// Most pieces ever in front and behind.
    pub fullest: [u64; 2],
}

/// Sweeps whose operands may be fetched at a time.
const OPEN: usize = 2;

impl Sweeper {
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.sweeps.is_empty()
    }

    /// What lanes that have work and do none wait for, and on behalf of which task.
    pub fn waits(&self, lanes: &Lanes) -> Option<(&'static str, Option<u32>)> {
        let sweep = self.sweeps.iter().find(|sweep| sweep.done < sweep.pieces)?;
        let reason = match self.busy {
            Some(_) => return None,
            None if self.leaving >= lanes.staging => "waiting for results to leave",
            // Nothing is on its way: what it follows has not come so far.
            None if self.sweeps.iter().all(|sweep| sweep.asked == sweep.done) => "waiting for other work",
            None => "waiting for operands",
        };
        Some((reason, Some(sweep.task)))
    }
}

impl Machine<'_> {
    /// A sweep is ready: its operands are there.
    pub(super) fn enqueue_sweep(
        &mut self,
        lanes: u8,
        task: usize,
        now: u64,
        scheduler: &mut Scheduler<Event>,
    ) {
        // In the order of the step among those that wait.
        let queue = &mut self.sweepers[usize::from(lanes)].queue;
        let place = queue.iter().position(|&other| other > task).unwrap_or(queue.len());
        queue.insert(place, task);
        self.sweep(lanes, now, scheduler);
    }

    /// Does whatever the lanes can do now.
    pub(super) fn sweep(&mut self, lanes: u8, now: u64, scheduler: &mut Scheduler<Event>) {
        let index = usize::from(lanes);
        while self.sweepers[index].sweeps.len() < OPEN
            && let Some(task) = self.sweepers[index].queue.pop_front()
        {
            let sweep = self.open_sweep(index, task, now);
            self.sweepers[index].sweeps.push(sweep);
        }
        self.ask_for_pieces(lanes, now, scheduler);
        self.work(lanes, now, scheduler);
    }

    fn open_sweep(&mut self, lanes: usize, task: usize, now: u64) -> Sweep {
        self.begin(task, now);
        let account = &mut self.account.tasks[task];
        let (bytes, inside) = self.residency.sweep(self.program, &self.program.tasks[task], account);
        let operations = match self.program.tasks[task].job {
            Job::Sweep { operations, .. } => operations,
            _ => 0,
        };
        let setup = self.setup.lanes[lanes];
        let all = bytes[0].saturating_add(bytes[1]).saturating_add(inside);
        let ticks = setup.ticks(operations, all);
        if ticks > super::setup::LONGEST {
            self.overflowed = true;
        }
        let pieces = bytes[0].max(bytes[1]).max(inside).div_ceil(self.setup.piece(setup)).max(1);
        let (arrived, stored) = (Prefix::default(), Prefix::default());
        Sweep { task: task as u32, pieces, bytes, ticks, asked: 0, arrived, done: 0, stored }
    }

    fn ask_for_pieces(&mut self, lanes: u8, now: u64, scheduler: &mut Scheduler<Event>) {
        let staging = u64::from(self.setup.lanes[usize::from(lanes)].staging);
        loop {
            let sweeper = &mut self.sweepers[usize::from(lanes)];
            let waiting: u64 = sweeper.sweeps.iter().map(|sweep| sweep.asked - sweep.done).sum();
            sweeper.fullest[0] = sweeper.fullest[0].max(waiting);
            let next = self.sweepers[usize::from(lanes)].sweeps.iter().position(|sweep| self.can_ask(sweep));
            let Some(place) = next.filter(|_| waiting < staging) else { return };
            let sweep = &mut self.sweepers[usize::from(lanes)].sweeps[place];
            let (task, piece) = (sweep.task, sweep.asked);
            let bytes = sweep.share(sweep.bytes[0], piece);
            sweep.asked += 1;
            if bytes == 0 {
                sweep.arrived.add(piece);
            } else {
                let port = [Port::Vector, Port::Optimiser][usize::from(lanes)];
                self.transfer(
                    (Owner::Piece { lanes, task, piece }, task),
                    (port, false),
                    bytes,
                    now,
                    scheduler,
                );
            }
        }
    }

    /// Whether a sweep's next piece is there to be fetched.
    fn can_ask(&self, sweep: &Sweep) -> bool {
        let (task, batch) = (sweep.task as usize, self.program.batch);
        let needs = || super::nest::part(batch, (sweep.asked + 1, sweep.pieces));
        sweep.asked < sweep.pieces && self.available(task) >= needs()
    }

    fn work(&mut self, lanes: u8, now: u64, scheduler: &mut Scheduler<Event>) {
        let index = usize::from(lanes);
        let staging = self.setup.lanes[index].staging;
        let sweeper = &mut self.sweepers[index];
        if sweeper.busy.is_some() || sweeper.leaving >= staging {
            return;
        }
        let Some(sweep) = sweeper.sweeps.iter().find(|sweep| sweep.arrived.first > sweep.done) else {
            return;
        };
        sweeper.busy = Some((sweep.task, now));
        scheduler.after(sweep.share(sweep.ticks, sweep.done), Event::Piece(lanes));
    }

    /// The lanes are through with a piece.
    pub(super) fn piece_done(&mut self, lanes: u8, now: u64, scheduler: &mut Scheduler<Event>) {
        let sweeper = &mut self.sweepers[usize::from(lanes)];
        let Some((task, begun)) = sweeper.busy.take() else { return };
        sweeper.busy_ticks += now - begun;
        let Some(sweep) = sweeper.sweeps.iter_mut().find(|sweep| sweep.task == task) else { return };
        let piece = sweep.done;
        let bytes = sweep.share(sweep.bytes[1], piece);
        sweep.done += 1;
        self.account.tasks[task as usize].busy += u128::from(now - begun);
        if let Some(trace) = &mut self.trace {
            trace.span(Track::Lanes(lanes), "sweep", Some(task), begun, now);
        }
        if bytes == 0 {
            self.stored(lanes, (task, piece), now, scheduler);
        } else {
            sweeper.leaving += 1;
            sweeper.fullest[1] = sweeper.fullest[1].max(u64::from(sweeper.leaving));
            let port = [Port::Vector, Port::Optimiser][usize::from(lanes)];
            self.transfer((Owner::Store { lanes, task, piece }, task), (port, true), bytes, now, scheduler);
        }
        self.sweep(lanes, now, scheduler);
    }

    pub(super) fn piece_arrived(
        &mut self,
        lanes: u8,
        (task, piece): (u32, u64),
        now: u64,
        scheduler: &mut Scheduler<Event>,
    ) {
        let sweeps = &mut self.sweepers[usize::from(lanes)].sweeps;
        if let Some(sweep) = sweeps.iter_mut().find(|sweep| sweep.task == task) {
            sweep.arrived.add(piece);
        }
        self.work(lanes, now, scheduler);
    }

    pub(super) fn piece_stored(
        &mut self,
        lanes: u8,
        which: (u32, u64),
        now: u64,
        scheduler: &mut Scheduler<Event>,
    ) {
        let sweeper = &mut self.sweepers[usize::from(lanes)];
        sweeper.leaving -= 1;
        self.stored(lanes, which, now, scheduler);
        self.sweep(lanes, now, scheduler);
    }

    /// One more piece of a sweep's results is stored; the last one ends it.
    fn stored(&mut self, lanes: u8, (task, piece): (u32, u64), now: u64, scheduler: &mut Scheduler<Event>) {
        let sweeps = &mut self.sweepers[usize::from(lanes)].sweeps;
        let Some(place) = sweeps.iter().position(|sweep| sweep.task == task) else { return };
        let sweep = &mut sweeps[place];
        sweep.stored.add(piece);
        let done = (sweep.stored.first, sweep.pieces);
        if sweep.stored.first == sweep.pieces {
            sweeps.remove(place);
            self.finish(task as usize, now, scheduler);
        } else {
            self.progressed(task as usize, done, now, scheduler);
        }
    }
}
