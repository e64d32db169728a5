//! The design's numbers as the machine uses them: ticks, bytes, counts.

use mirage_events::TimeBase;

use super::{PLACES, Place};
use crate::SystemError;
use crate::design::{Interleave, System, VectorUnit};
use crate::engine::Engine;

pub(crate) const TIME: TimeBase = TimeBase::PICOSECONDS;

/// No single duration may be longer, so that sums of a few never wrap: 13 days.
pub(crate) const LONGEST: u64 = 1 << 60;

/// A bandwidth: exact time for any number of bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bandwidth {
    bytes_per_second: f64,
}

impl Bandwidth {
    pub fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second }
    }

    /// Ticks for so many bytes, rounded up; the longest duration if it would be longer.
    pub fn ticks(self, bytes: u64) -> u64 {
        let ticks = (bytes as f64 / self.bytes_per_second * TIME.ticks_per_second() as f64).ceil();
        // Checked against NaN by the design: a bandwidth is at least 1 B/s. The cast saturates.
        (ticks as u64).min(LONGEST)
    }

    pub fn bytes_per_tick(self) -> f64 {
        self.bytes_per_second / TIME.ticks_per_second() as f64
    }
}

/// Lanes that work on vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes {
    /// Operations a second.
    pub rate: u64,
    pub bandwidth: Bandwidth,
    pub staging: u32,
}

impl Lanes {
    /// Ticks of so many operations on so many bytes, moved in and out together.
    pub fn ticks(self, operations: u64, bytes: u64) -> u64 {
        let compute = TIME.span(operations, self.rate).unwrap_or(u64::MAX);
        compute.max(self.bandwidth.ticks(bytes))
    }
}

/// All of it.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub units: u32,
    pub units_out: u32,
    pub channels: u32,
    pub channel: Bandwidth,
    pub latency: u64,
    pub burst: u64,
    pub block: u64,
    pub queue: u32,
    pub port: Bandwidth,
    pub drain: Bandwidth,
    pub lanes: [Lanes; 2],
    pub link: Bandwidth,
    pub link_latency: u64,
    pub issue: u64,
    pub open_products: usize,
    pub prefetch: u64,
    pub output_queue: u32,
    /// Working part of each partition for one open product, bytes.
    pub working: [u64; PLACES],
    /// The part that holds tensors, bytes.
    pub holding: [u64; PLACES],
    /// Accumulators of one unit for one block, bytes.
    pub accumulators: u64,
    /// Banks that streams choose from, and streams that each serves.
    pub banks: u64,
    pub ports: u32,
    /// From one calibration of a unit to the next; 0 is never.
    pub period: u64,
    pub calibration: u64,
}

impl Setup {
    /// From a section that passed its checks.
    ///
    /// # Errors
    /// [`SystemError::Time`] for a time that does not fit.
    pub fn new(system: &System, engine: &Engine) -> Result<Self, SystemError> {
        let (sram, memory, controller) = (&system.sram, &system.memory, &system.controller);
        let ticks = |time: f64| TIME.ticks(time);
        let units = engine.placement().units;
        let open = u64::from(*controller.open_products.get());
        let partitions = [&sram.weights, &sram.activations, &sram.gradients].map(|p| p.si());
        let working = partitions.map(|bytes| (bytes * sram.working.si()) as u64);
        let holding = [0, 1, 2].map(|place| partitions[place] as u64 - working[place]);
        let (banks, ports) = match sram.interleave.get() {
            Interleave::Group => (u64::from(*sram.banks.get()), *sram.ports.get()),
            Interleave::Vector => (1, sram.banks.get().saturating_mul(*sram.ports.get())),
        };
        Ok(Self {
            units,
            units_out: system.units_out.get().len() as u32,
            channels: *memory.channels.get(),
            channel: Bandwidth::new(memory.bandwidth.si()),
            latency: ticks(memory.latency.si())?,
            burst: memory.burst.si() as u64,
            block: memory.block.si() as u64,
            queue: *memory.queue.get(),
            port: Bandwidth::new(sram.dma_bandwidth.si()),
            drain: Bandwidth::new(sram.drain_bandwidth.si()),
            lanes: [lanes(&system.vector), lanes(&system.optimiser)],
            link: Bandwidth::new(system.links.bandwidth.si()),
            link_latency: ticks(system.links.latency.si())?,
            issue: ticks(controller.issue_time.si())?,
            open_products: *controller.open_products.get() as usize,
            prefetch: u64::from(*controller.prefetch.get()),
            output_queue: *controller.output_queue.get(),
            working: working.map(|bytes| bytes / open),
            holding,
            // Two blocks: one is filled while the other is drained.
            accumulators: sram.accumulators.si() as u64 / u64::from(units) / 2,
            banks,
            ports,
            period: ticks(system.recalibration.period.si())?,
            calibration: ticks(system.recalibration.duration.si())?,
        })
    }

    /// Bytes a second of the whole off-chip memory.
    pub fn memory_bandwidth(&self) -> Bandwidth {
        Bandwidth::new(self.channel.bytes_per_second * f64::from(self.channels))
    }

    /// Bytes that one piece of a sweep moves: together the pieces on their way keep every channel busy.
    pub fn piece(&self, lanes: Lanes) -> u64 {
        let all = self.block.saturating_mul(u64::from(self.channels));
        (all / u64::from(lanes.staging)).max(self.block)
    }

    /// The number of a partition's first bank.
    pub fn bank(&self, place: Place, group: u64) -> usize {
        (place as u64 * self.banks + group % self.banks) as usize
    }
}

fn lanes(unit: &VectorUnit) -> Lanes {
    // Both are checked: at most 2^24 lanes at 10^12 Hz.
    let rate = u64::from(*unit.lanes.get()).saturating_mul(unit.clock.si() as u64);
    Lanes { rate, bandwidth: Bandwidth::new(unit.bandwidth.si()), staging: *unit.staging.get() }
}
