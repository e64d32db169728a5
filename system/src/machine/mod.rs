//! The whole chip during a training step, as discrete events.
//!
//! | module | what it models |
//! |---|---|
//! | `setup` | the design's numbers in ticks and bytes |
//! | `program` | the step as tasks: forms and sizes of tensors |
//! | `order` | what waits for what |
//! | `controller` | opens tasks when what they wait for is there |
//! | `nest` | how a product is cut into blocks and slices |
//! | `product` | open products: slices in, blocks out |
//! | `drain` | the way from the accumulators to memory |
//! | `units` | the units and the ports of the SRAM banks |
//! | `memory` | DMA and off-chip channels |
//! | `sweep` | vector unit and optimiser |
//! | `residency` | where tensors lie, and how many bytes a sweep moves |
//! | `ring` | the link to the next chip |
//! | `watch` | what is waited for, for a trace |
//! | `account` | what each of them spent |

pub(crate) mod account;
mod controller;
mod drain;
mod memory;
mod nest;
mod order;
mod product;
mod program;
mod residency;
mod ring;
mod setup;
mod sweep;
mod units;
mod watch;

use std::collections::BTreeSet;

use mirage_events::{Model, Scheduler, Simulation};

use self::account::Account;
use self::drain::Drain;
use self::memory::Memory;
use self::product::Product;
use self::ring::Ring;
use self::sweep::Sweeper;
use self::units::{Banks, Unit};
use self::watch::Watch;
use crate::chip::Options;
use crate::engine::{Engine, Timing};
use crate::trace::Trace;
use crate::{Component, SystemError};

pub(crate) use self::account::{Part, Spent, TaskAccount};
pub use self::memory::Traffic;
pub(crate) use self::nest::Nest;
pub(crate) use self::order::Axis;
pub(crate) use self::product::{book, cut, fetched_once, operands, room};
pub(crate) use self::program::{Job, Plans, Program, Stored, Task};
pub(crate) use self::residency::Residency;
pub(crate) use self::setup::{Setup, TIME};

/// Partitions of the SRAM that hold tensors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    Weights,
    #[default]
    Activations,
    Gradients,
}

/// How many there are.
pub(crate) const PLACES: usize = 3;

impl Place {
    pub const ALL: [Self; PLACES] = [Self::Weights, Self::Activations, Self::Gradients];

    fn port(self) -> Port {
        [Port::Weights, Port::Activations, Port::Gradients][self.index()]
    }

    pub fn component(self) -> Component {
        [Component::WeightMemory, Component::ActivationMemory, Component::GradientMemory][self.index()]
    }
}

/// Where data enter and leave the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Port {
    Weights,
    Activations,
    Gradients,
    Vector,
    Optimiser,
    Links,
}

impl Port {
    pub const COUNT: usize = 6;
}

/// What can happen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A task's operands are there and its addresses set up.
    Start(u32),
    /// A block has come from, or gone to, off-chip memory.
    Block {
        transfer: u32,
        channel: u16,
        bytes: u32,
    },
    /// The operands of a unit's next tile have arrived.
    Loaded(u32),
    /// A unit's tile is programmed.
    Programmed(u32),
    /// A unit's tile is done.
    Streamed(u32),
    /// The time for a unit's calibration has come; it is over.
    Calibrate(u32),
    Calibrated(u32),
    /// A block of results has left the accumulators.
    Drained,
    /// Lanes are through with a piece.
    Piece(u8),
    /// A part of a gradient has arrived at the next chip.
    Sent,
}

/// One finished step.
#[derive(Debug, Clone)]
pub(crate) struct FinishedStep {
    pub begin: u64,
    pub end: u64,
    pub account: Account,
    pub traffic: Traffic,
    pub channel_busy: u128,
    pub drain_busy: u64,
    pub lanes_busy: [u64; 2],
    pub link_busy: u64,
    pub load_busy: u64,
    pub ports_busy: [[u64; 2]; Port::COUNT],
    pub calibrations: u64,
    pub events: u64,
}

/// The fullest that each queue has been, beside its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePeak {
    /// Which queue.
    pub queue: &'static str,
    /// Most that it held.
    pub peak: u64,
    /// Most that it may hold.
    pub bound: u64,
}

/// The model.
pub(crate) struct Machine<'a> {
    engine: &'a Engine,
    setup: Setup,
    timing: Timing,
    hold: u64,
    options: Options,
    program: &'a Program,
    trace: Option<Box<Trace>>,
    /// What each task still waits for.
    waits: Vec<u32>,
    /// Samples that each task has stored.
    progress: Vec<u64>,
    /// Products whose operands are there, in the order of the step.
    ready: BTreeSet<usize>,
    /// Products that are being set up or open.
    opening: usize,
    /// Most of them at a time.
    most_open: usize,
    tasks_left: usize,
    residency: Residency,
    products: Vec<Option<Product>>,
    /// Open products, the oldest first.
    order: Vec<u8>,
    /// Free halves of the accumulators.
    halves: u32,
    units: Vec<Unit>,
    banks: Banks,
    load_free: u64,
    load_busy: u64,
    watch: Watch,
    memory: Memory,
    drain: Drain,
    sweepers: [Sweeper; 2],
    ring: Ring,
    moved_in: [u64; PLACES],
    moved_out: [u64; PLACES],
    account: Account,
    calibrations: u64,
    /// Whether any time could not be counted.
    overflowed: bool,
    failed: Option<SystemError>,
    step: u32,
    steps: u32,
    step_began: u64,
    events: u64,
    finished: Vec<FinishedStep>,
}

/// What a run of the machine gives.
pub(crate) struct Outcome {
    pub steps: Vec<FinishedStep>,
    pub queues: Vec<QueuePeak>,
    pub trace: Option<Box<Trace>>,
}

impl<'a> Machine<'a> {
    /// Runs `steps` steps of a program, one after the other.
    ///
    /// # Errors
    /// [`SystemError`] for a product that does not fit, or times that cannot be counted.
    pub fn run(
        engine: &'a Engine,
        setup: Setup,
        program: &'a Program,
        options: Options,
        trace: Option<Box<Trace>>,
    ) -> Result<Outcome, SystemError> {
        let (period, issue) = (setup.period, setup.issue);
        let units = setup.units;
        let machine = Self::new(engine, setup, program, options, trace);
        let mut bench = Simulation::new(machine);
        for unit in 0..u64::from(if period == 0 { 0 } else { units }) {
            // Spread over the period: never two at a time unless the calibration is longer than that.
            let first = u128::from(period) * u128::from(unit + 1) / u128::from(units);
            bench.schedule((first as u64).max(1), Event::Calibrate(unit as u32))?;
        }
        for task in bench.model_mut().first_tasks() {
            bench.schedule(issue, Event::Start(task))?;
        }
        bench.run()?;
        let mut machine = bench.into_model();
        if let Some(error) = machine.failed.take() {
            return Err(error);
        }
        if machine.overflowed {
            return Err(SystemError::Overflow { what: "the time of a step".to_owned() });
        }
        if machine.finished.len() != options.steps as usize || !machine.idle() {
            // A model that stops with work left is wrong; the property tests look for it.
            return Err(SystemError::Deadlock { left: machine.tasks_left });
        }
        let queues = machine.queues();
        Ok(Outcome { steps: machine.finished, queues, trace: machine.trace })
    }

    fn new(
        engine: &'a Engine,
        setup: Setup,
        program: &'a Program,
        options: Options,
        trace: Option<Box<Trace>>,
    ) -> Self {
        let timing = engine.timing();
        let waits = options.repeats.is_some_and(|model| model.waits());
        let mut machine = Self {
            engine,
            timing,
            hold: if waits { timing.hold } else { 0 },
            options,
            program,
            trace,
            waits: Vec::new(),
            progress: Vec::new(),
            ready: BTreeSet::new(),
            opening: 0,
            most_open: 0,
            tasks_left: 0,
            residency: Residency::new(program, setup.holding),
            products: Vec::new(),
            order: Vec::new(),
            halves: 2,
            units: vec![Unit::new(); setup.units as usize],
            banks: Banks::new(setup.banks as usize * PLACES, setup.ports),
            load_free: 0,
            load_busy: 0,
            watch: Watch::default(),
            memory: Memory::new(&setup),
            drain: Drain::default(),
            sweepers: Default::default(),
            ring: Ring::default(),
            moved_in: [0; PLACES],
            moved_out: [0; PLACES],
            account: Account::default(),
            calibrations: 0,
            overflowed: false,
            failed: None,
            step: 0,
            steps: options.steps,
            step_began: 0,
            events: 0,
            finished: Vec::new(),
            setup,
        };
        machine.reset();
        machine
    }

    fn queues(&self) -> Vec<QueuePeak> {
        let setup = &self.setup;
        let queue = |queue, peak: u64, bound: u64| QueuePeak { queue, peak, bound };
        let mut queues = vec![
            queue("controller, products open", self.most_open as u64, setup.open_products as u64),
            queue("off-chip channel, blocks", self.memory.fullest.into(), setup.queue.into()),
            queue("output, blocks of results", self.drain.fullest[0] as u64, setup.output_queue.into()),
            queue("accumulators, blocks to drain", self.drain.fullest[1] as u64, 2),
            queue("bank port, units", self.banks.longest as u64, setup.units.into()),
        ];
        for (lanes, name) in [
            ["vector unit, pieces in", "vector unit, pieces out"],
            ["optimiser, pieces in", "optimiser, pieces out"],
        ]
        .into_iter()
        .enumerate()
        {
            for (side, name) in name.into_iter().enumerate() {
                queues.push(queue(
                    name,
                    self.sweepers[lanes].fullest[side],
                    setup.lanes[lanes].staging.into(),
                ));
            }
        }
        for (place, name) in ["SRAM, weights kept, B", "SRAM, activations kept, B", "SRAM, gradients kept, B"]
            .into_iter()
            .enumerate()
        {
            queues.push(queue(name, self.residency.most_held[place], setup.holding[place]));
        }
        queues
    }

    /// Whether everything has come to rest.
    fn idle(&self) -> bool {
        self.memory.idle()
            && self.drain.idle()
            && self.ring.idle()
            && self.banks.idle()
            && self.sweepers.iter().all(Sweeper::idle)
            && self.order.is_empty()
    }
}

impl Model for Machine<'_> {
    type Event = Event;

    #[inline]
    fn handle(&mut self, now: u64, event: Event, scheduler: &mut Scheduler<Event>) {
        self.events += 1;
        if now > setup::LONGEST {
            self.overflowed = true;
        }
        match event {
            Event::Block { transfer, channel, bytes } => {
                self.block((transfer, channel, bytes), now, scheduler);
            }
            Event::Loaded(unit) => self.loaded(unit, now, scheduler),
            Event::Programmed(unit) => self.programmed(unit, now, scheduler),
            Event::Streamed(unit) => self.streamed(unit, now, scheduler),
            Event::Start(task) => self.start(task as usize, now, scheduler),
            Event::Drained => self.drained(now, scheduler),
            Event::Piece(lanes) => self.piece_done(lanes, now, scheduler),
            Event::Sent => self.sent(now, scheduler),
            Event::Calibrate(unit) => self.calibrate(unit, now, scheduler),
            Event::Calibrated(unit) => self.calibrated(unit, now, scheduler),
        }
        if self.trace.is_some() {
            self.watch(now);
        }
        if self.overflowed {
            scheduler.stop();
        }
    }
}
