//! The way out of the accumulators: finished blocks are joined over the units, brought into groups and stored.

use std::collections::VecDeque;

use mirage_events::Scheduler;

use super::account::Track;
use super::memory::Owner;
use super::{Event, Machine};

/// Finished blocks on their way out of the accumulators.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drain {
    queue: VecDeque<Finished>,
    /// The block that is drained, since when; `None` in the time if it waits for room in the output queue.
    present: Option<(Finished, Option<u64>)>,
    /// Blocks that wait to be written.
    outputs: u32,
    pub busy: u64,
    /// Most blocks ever in the output queue, and waiting to be drained.
    pub fullest: [usize; 2],
}

impl Drain {
    /// A block is finished.
    pub fn push(&mut self, finished: Finished) {
        self.queue.push_back(finished);
        self.fullest[1] = self.fullest[1].max(self.queue.len());
    }

    /// The product whose block has left the accumulators but finds the output queue full.
    pub fn waits(&self) -> Option<u8> {
        self.present.as_ref().filter(|(_, begin)| begin.is_none()).map(|(finished, _)| finished.slot)
    }

    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.present.is_none() && self.outputs == 0
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Finished {
    pub slot: u8,
    pub block: u64,
    /// When its last sum leaves the pipeline.
    pub ready: u64,
    /// Results as they lie in memory.
    pub elements: u64,
    /// Bytes to store off the chip.
    pub bytes: u64,
}

impl Machine<'_> {
    pub(super) fn drain_next(&mut self, now: u64, scheduler: &mut Scheduler<Event>) {
        if self.drain.present.is_some() {
            return;
        }
        let Some(finished) = self.drain.queue.pop_front() else { return };
        let begin = now.max(finished.ready);
        let end = begin + self.setup.drain.ticks(finished.elements.saturating_mul(4));
        self.drain.present = Some((finished, Some(begin)));
        scheduler.at(end, Event::Drained);
    }

    /// A block's results have left the accumulators.
    pub(super) fn drained(&mut self, now: u64, scheduler: &mut Scheduler<Event>) {
        let Some((finished, begin)) = self.drain.present else { return };
        if let Some(begin) = begin {
            self.drain.busy += now - begin;
            let task = self.products[usize::from(finished.slot)].as_ref().map(|product| product.task);
            if let Some(trace) = &mut self.trace {
                trace.span(Track::Drain, "drain", task, begin, now);
            }
        }
        if finished.bytes > 0 {
            if self.drain.outputs >= self.setup.output_queue {
                // Pushed back: the accumulators stay full until a block before is written.
                self.drain.present = Some((finished, None));
                return;
            }
            self.drain.outputs += 1;
            self.drain.fullest[0] = self.drain.fullest[0].max(self.drain.outputs as usize);
        }
        self.drain.present = None;
        self.halves += 1;
        let (slot, block) = (finished.slot, finished.block);
        if finished.bytes == 0 {
            self.block_stored(slot, block, now, scheduler);
        } else if let Some(product) = &self.products[usize::from(slot)] {
            let (task, place) = (product.task, product.places[2]);
            self.transfer(
                (Owner::Output { slot, block }, task),
                (place.port(), true),
                finished.bytes,
                now,
                scheduler,
            );
            self.moved_out[place.index()] += finished.bytes;
            self.account.tasks[task as usize].stored += finished.bytes;
        }
        self.drain_next(now, scheduler);
        self.wake(now, scheduler);
    }

    /// A block's results lie in off-chip memory.
    pub(super) fn output_stored(&mut self, slot: u8, block: u64, now: u64, scheduler: &mut Scheduler<Event>) {
        self.drain.outputs -= 1;
        self.block_stored(slot, block, now, scheduler);
        if matches!(self.drain.present, Some((_, None))) {
            self.drained(now, scheduler);
        }
    }

    fn block_stored(&mut self, slot: u8, block: u64, now: u64, scheduler: &mut Scheduler<Event>) {
        let Some(product) = &mut self.products[usize::from(slot)] else { return };
        product.stored.add(block);
        if product.stored.first < product.nest.blocks() {
            if let Some(done) = product.progress() {
                let task = product.task as usize;
                self.progressed(task, done, now, scheduler);
            }
            return;
        }
        let Some(product) = self.products[usize::from(slot)].take() else { return };
        self.order.retain(|&other| other != slot);
        self.book_product(&product);
        self.finish(product.task as usize, now, scheduler);
        self.wake(now, scheduler);
    }
}
