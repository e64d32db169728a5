//! Off-chip memory and the DMA: transfers cut into blocks, channels with queues of their own.
//!
//! A transfer's blocks lie on the channels in turn. The DMA takes a block from each transfer in turn, as long as the queue of the
//! block's channel has room: a full queue holds back all transfers whose next block is there. Writes may fill half of a queue only,
//! since what is read is waited for and what is written is not. A channel serves one block after
//! another, whole bursts at its bandwidth; a block that is read arrives a latency later, and goes through the port of
//! its partition, which serves one block at a time too. A block that is written takes the way back, through a port of its own.

use mirage_events::Scheduler;

use super::account::Track;
use super::setup::Setup;
use super::{Event, Machine, Port};

/// Whose transfer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A slice of an open product.
    Slice { slot: u8, slice: u64 },
    /// A finished block of results of an open product.
    Output { slot: u8, block: u64 },
    /// Operands of a sweep: which lanes, which task.
    Piece { lanes: u8, task: u32, piece: u64 },
    /// Results of a sweep.
    Store { lanes: u8, task: u32, piece: u64 },
    /// A gradient on its way to the ring, and back.
    Gradient { task: u32, back: bool },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub owner: Owner,
    pub task: u32,
    pub port: Port,
    pub write: bool,
    /// Bytes not yet asked for.
    pub bytes: u64,
    /// Bytes of one of its blocks.
    pub block: u64,
    /// Channel of the next block.
    pub channel: u32,
    /// Blocks that have not arrived.
    pub blocks: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Channel {
    free: u64,
    /// Blocks that wait or travel.
    waiting: u32,
}

/// Counts of the off-chip memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes read, asked for by transfers.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Bytes that went over the channels: whole bursts.
    pub moved: u64,
    /// Blocks.
    pub blocks: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    channels: Vec<Channel>,
    /// When each port is free, inwards and outwards.
    ports: Vec<[u64; 2]>,
    transfers: Vec<Transfer>,
    /// Places of finished transfers.
    vacant: Vec<u32>,
    /// Transfers with blocks to ask for.
    active: Vec<u32>,
    turn: usize,
    pub traffic: Traffic,
    /// Ticks that channels were busy, and ports, inwards and outwards.
    pub busy: u128,
    pub ports_busy: [[u64; 2]; Port::COUNT],
    /// Most blocks ever in a channel's queue, and most transfers ever open.
    pub fullest: u32,
    pub most_transfers: usize,
    /// Bytes that arrived.
    pub arrived: u64,
}

impl Memory {
    pub fn new(setup: &Setup) -> Self {
        let channels = vec![Channel::default(); setup.channels as usize];
        Self { channels, ports: vec![[0; 2]; Port::COUNT], ..Self::default() }
    }

    /// Whether nothing is on its way.
    pub fn idle(&self) -> bool {
        self.transfers.len() == self.vacant.len()
    }
}

impl Machine<'_> {
    /// Begins a transfer of at least one byte.
    pub(super) fn transfer(
        &mut self,
        (owner, task): (Owner, u32),
        (port, write): (Port, bool),
        bytes: u64,
        now: u64,
        scheduler: &mut Scheduler<Event>,
    ) {
        let memory = &mut self.memory;
        // Small transfers are spread over the channels too, down to a quarter of a block.
        let (setup, channels) = (&self.setup, u64::from(self.setup.channels));
        let block = bytes.div_ceil(channels).max(setup.block / 4).min(setup.block);
        let block = (block.div_ceil(setup.burst) * setup.burst).min(setup.block);
        let blocks = bytes.div_ceil(block);
        let channel = (memory.traffic.blocks % u64::from(self.setup.channels)) as u32;
        let transfer = Transfer { owner, task, port, write, bytes, block, channel, blocks };
        let place = match memory.vacant.pop() {
            Some(place) => {
                memory.transfers[place as usize] = transfer;
                place
            }
            None => {
                memory.transfers.push(transfer);
                (memory.transfers.len() - 1) as u32
            }
        };
        memory.active.push(place);
        memory.most_transfers = memory.most_transfers.max(memory.transfers.len() - memory.vacant.len());
        let traffic = &mut memory.traffic;
        if write {
            traffic.written += bytes
        } else {
            traffic.read += bytes
        }
        self.ask(now, scheduler);
    }

    /// Asks for blocks while queues have room.
    fn ask(&mut self, now: u64, scheduler: &mut Scheduler<Event>) {
        let mut refused = 0;
        while refused < self.memory.active.len() {
            if self.memory.turn >= self.memory.active.len() {
                self.memory.turn = 0;
            }
            let place = self.memory.active[self.memory.turn];
            let channel = self.memory.transfers[place as usize].channel;
            let write = self.memory.transfers[place as usize].write;
            let room = if write { self.setup.queue.div_ceil(2) } else { self.setup.queue };
            if self.memory.channels[channel as usize].waiting >= room {
                refused += 1;
                self.memory.turn += 1;
                continue;
            }
            refused = 0;
            self.ask_for(place, now, scheduler);
            if self.memory.transfers[place as usize].bytes == 0 {
                self.memory.active.swap_remove(self.memory.turn);
            } else {
                self.memory.turn += 1;
            }
        }
    }

    /// Asks for one block.
    fn ask_for(&mut self, place: u32, now: u64, scheduler: &mut Scheduler<Event>) {
        let (setup, memory) = (&self.setup, &mut self.memory);
        let transfer = &mut memory.transfers[place as usize];
        let bytes = transfer.bytes.min(transfer.block);
        let bursts = bytes.div_ceil(setup.burst) * setup.burst;
        let on_channel = setup.channel.ticks(bursts);
        let through_port = setup.port.ticks(bytes);
        let channel = &mut memory.channels[transfer.channel as usize];
        let port = &mut memory.ports[transfer.port as usize][usize::from(transfer.write)];
        let free = channel.free.max(now);
        let (begin, arrival) = if transfer.write {
            *port = now.max(*port) + through_port;
            let begin = free.max(*port);
            (begin, begin + on_channel + setup.latency)
        } else {
            *port = (free + on_channel + setup.latency).max(*port) + through_port;
            (free, *port)
        };
        let at_port = [*port - through_port, *port];
        channel.free = begin + on_channel;
        memory.ports_busy[transfer.port as usize][usize::from(transfer.write)] += through_port;
        channel.waiting += 1;
        memory.fullest = memory.fullest.max(channel.waiting);
        memory.busy += u128::from(on_channel);
        memory.traffic.moved += bursts;
        memory.traffic.blocks += 1;
        self.account.tasks[transfer.task as usize].moved += bursts;
        self.account.tasks[transfer.task as usize].blocks += 1;
        let number = transfer.channel;
        if let Some(trace) = &mut self.trace {
            let what = if transfer.write { "write" } else { "read" };
            let (channel, task) = (Track::Channel(number), Some(transfer.task));
            trace.span(channel, "waiting for the DMA", task, free, begin);
            trace.span(channel, what, task, begin, begin + on_channel);
            trace.span(Track::Port(transfer.port as u8, transfer.write), what, task, at_port[0], at_port[1]);
        }
        transfer.bytes -= bytes;
        transfer.channel = (number + 1) % setup.channels;
        scheduler.at(arrival, Event::Block { transfer: place, channel: number as u16, bytes: bytes as u32 });
    }

    /// A block has arrived.
    pub(super) fn block(
        &mut self,
        (place, channel, bytes): (u32, u16, u32),
        now: u64,
        scheduler: &mut Scheduler<Event>,
    ) {
        let memory = &mut self.memory;
        memory.channels[usize::from(channel)].waiting -= 1;
        memory.arrived += u64::from(bytes);
        let transfer = &mut memory.transfers[place as usize];
        transfer.blocks -= 1;
        let (done, owner) = (transfer.blocks == 0, transfer.owner);
        if done {
            memory.vacant.push(place);
        }
        if !memory.active.is_empty() {
            self.ask(now, scheduler);
        }
        if !done {
            return;
        }
        match owner {
            Owner::Slice { slot, slice } => self.slice_arrived(slot, slice, now, scheduler),
            Owner::Output { slot, block } => self.output_stored(slot, block, now, scheduler),
            Owner::Piece { lanes, task, piece } => self.piece_arrived(lanes, (task, piece), now, scheduler),
            Owner::Store { lanes, task, piece } => self.piece_stored(lanes, (task, piece), now, scheduler),
            Owner::Gradient { task, back: false } => self.reduce(task, now, scheduler),
            Owner::Gradient { task, back: true } => self.finish(task as usize, now, scheduler),
        }
    }
}
