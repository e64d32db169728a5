//! All-reduce of gradients over a ring of equal chips that train on parts of the batch.
//!
//! Each chip sends 2 (p - 1) parts of 1/p of a gradient to its neighbour: p - 1 to add them up, p - 1 to hand the sums on (Patarasuk
//! and Yuan, J. Parallel Distrib. Comput. 69 (2009), section 4: no all-reduce moves less). All chips do the same at the same time, so
//! one of them and its link tell the time of all. Gradients are reduced one after the other, each as soon as it is there, while the
//! backward pass goes on.

use std::collections::VecDeque;

use mirage_events::Scheduler;

use super::account::Track;
use super::memory::Owner;
use super::program::Job;
use super::{Event, Machine, Port};

/// The link to the next chip.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ring {
    queue: VecDeque<u32>,
    /// The task whose gradient travels, and the parts still to be sent.
    present: Option<(u32, u64)>,
    pub busy: u64,
    /// Bytes sent.
    pub sent: u64,
}

impl Ring {
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.present.is_none()
    }
}

impl Machine<'_> {
    /// A gradient is ready to be reduced: it is fetched if it does not lie in the SRAM.
    pub(super) fn begin_reduce(&mut self, task: usize, now: u64, scheduler: &mut Scheduler<Event>) {
        self.begin(task, now);
        let tensor = self.program.tasks[task].reads[0];
        let bytes = self.program.tensors[tensor].plain;
        let number = task as u32;
        if self.residency.resident(tensor) {
            self.reduce(number, now, scheduler);
        } else {
            let owner = Owner::Gradient { task: number, back: false };
            self.transfer((owner, number), (Port::Links, false), bytes, now, scheduler);
        }
    }

    /// A gradient waits for the link.
    pub(super) fn reduce(&mut self, task: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        self.ring.queue.push_back(task);
        self.send_next(now, scheduler);
    }

    fn send_next(&mut self, now: u64, scheduler: &mut Scheduler<Event>) {
        if self.ring.present.is_some() {
            return;
        }
        let Some(task) = self.ring.queue.pop_front() else { return };
        self.ring.present = Some((task, 2 * (self.options.chips - 1)));
        self.send(task, now, scheduler);
    }

    fn send(&mut self, task: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        let part = self.part(task);
        let ticks = self.setup.link.ticks(part) + self.setup.link_latency;
        self.ring.sent += part;
        self.ring.busy += ticks;
        if let Some(trace) = &mut self.trace {
            trace.span(Track::Link, "all-reduce", Some(task), now, now + ticks);
        }
        scheduler.after(ticks, Event::Sent);
    }

    /// Bytes of one part.
    fn part(&self, task: u32) -> u64 {
        match self.program.tasks[task as usize].job {
            Job::Reduce { bytes } => bytes.div_ceil(self.options.chips),
            _ => 0,
        }
    }

    /// A part has arrived at every chip.
    pub(super) fn sent(&mut self, now: u64, scheduler: &mut Scheduler<Event>) {
        let Some((task, left)) = self.ring.present else { return };
        if left > 1 {
            self.ring.present = Some((task, left - 1));
            self.send(task, now, scheduler);
            return;
        }
        self.ring.present = None;
        self.book_reduce(task);
        let tensor = self.program.tasks[task as usize].reads[0];
        if self.residency.resident(tensor) {
            self.finish(task as usize, now, scheduler);
        } else {
            let bytes = self.program.tensors[tensor].plain;
            let owner = Owner::Gradient { task, back: true };
            self.transfer((owner, task), (Port::Links, true), bytes, now, scheduler);
        }
        self.send_next(now, scheduler);
    }

    fn book_reduce(&mut self, task: u32) {
        let (part, chips) = (self.part(task), self.options.chips);
        let tensor = self.program.tasks[task as usize].reads[0];
        let place = self.program.tensors[tensor].place;
        let account = &mut self.account.tasks[task as usize];
        account.actions[crate::Component::Links as usize] += 2 * (chips - 1) * part;
        // Half of the parts are added to what lies here; all are read here and written there.
        account.actions[crate::Component::Accumulation as usize] += (chips - 1) * part / 4;
        account.sram[place.index()] += 4 * (chips - 1) * part;
    }
}
