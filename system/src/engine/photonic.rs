//! The photonic engine: units of modular dot products, programmed with one operand and crossed by the other.

use mirage_arithmetic::{BfpFormat, Placement};
use mirage_events::TimeBase;

use super::{Actions, TileCount, TileShape, TileTiming, Timing};
use crate::SystemError;
use crate::design::{Hold, Programming, System};
use crate::energy::{Component, Costs, Parts};

const TIME: TimeBase = TimeBase::PICOSECONDS;

/// The units of a design.
#[derive(Debug, Clone)]
pub(crate) struct Photonic {
    system: Box<System>,
    placement: Placement,
    format: BfpFormat,
    /// Vectors a second.
    clock: u64,
    program: u64,
    timing: Timing,
    costs: Costs,
}

impl Photonic {
    /// # Errors
    /// [`SystemError::Time`] for a time that does not fit; the section is checked by the caller.
    pub fn new(system: &System, format: BfpFormat, parts: &Parts) -> Result<Self, SystemError> {
        let timing = Timing {
            pipeline: TIME.ticks(system.pipeline_latency.si())?,
            hold: match system.hold.get() {
                Hold::UntilChecked => TIME.ticks(system.check_latency.si())?,
                Hold::None => 0,
            },
            shadow: *system.programming.get() == Programming::Shadow,
            stall: *system.stall.get(),
        };
        Ok(Self {
            placement: Placement { units: system.units_in_use(), rows: *system.rows.get() },
            format,
            // Checked: a whole number between 1 and 1e12.
            clock: system.clock.si() as u64,
            program: TIME.ticks(system.program_time.si())?,
            timing,
            costs: Costs::photonic(system, format, parts),
            system: Box::new(system.clone()),
        })
    }

    pub fn placement(&self) -> Placement {
        self.placement
    }

    pub fn columns(&self) -> u64 {
        self.format.group as u64
    }

    pub fn peak(&self) -> f64 {
        let slots = u64::from(*self.system.units.get()) * u64::from(self.placement.rows) * self.columns();
        slots as f64 * self.clock as f64
    }

    pub fn timing(&self) -> Timing {
        self.timing
    }

    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    pub fn operand_bytes(&self, values: u64) -> u64 {
        self.system.group_bytes(self.format, values)
    }

    pub fn tile(&self, shape: TileShape) -> Result<TileTiming, SystemError> {
        let sram = &self.system.sram;
        let bytes = self.operand_bytes(shape.columns) as f64;
        // A partial sum is written, and but for the first group read before.
        let sums = if shape.first { 4 * shape.rows } else { 8 * shape.rows };
        let pace = (sram.stream_bandwidth.si() / bytes).min(sram.accumulate_bandwidth.si() / sums as f64);
        let ideal = TIME.span(shape.vectors, self.clock)?;
        let stream = if pace >= self.clock as f64 { ideal } else { ceil_ticks(shape.vectors as f64 / pace)? };
        let load = ceil_ticks(shape.rows as f64 * bytes / sram.load_bandwidth.si())?;
        Ok(TileTiming { load, program: self.program, stream: stream.max(ideal), ideal })
    }

    pub fn book(&self, shape: TileShape, count: TileCount, actions: &mut Actions) -> [u64; 2] {
        let streamed = count.tiles * shape.vectors;
        let fetched = streamed + count.refetched;
        let places = count.tiles * shape.rows * shape.columns;
        let sums = streamed * shape.rows;
        let mut add = |component: Component, number: u64| actions[component as usize] += number;
        add(Component::Transmitters, places);
        add(Component::ForwardConversion, places + fetched * shape.columns);
        add(Component::RingDrive, (sums + count.reread) * shape.columns);
        add(Component::ReverseConversion, sums + count.reread);
        add(Component::AccumulatorMemory, if shape.first { 4 * sums } else { 8 * sums });
        add(Component::Accumulation, if shape.first { 0 } else { sums });
        let group = self.operand_bytes(shape.columns);
        [count.tiles * shape.rows * group, fetched * group]
    }

    pub fn book_results(&self, results: u64, copies: u64, actions: &mut Actions) {
        actions[Component::Quantisation as usize] += results * copies;
    }
}

/// Ticks of a time in seconds, rounded up.
pub(crate) fn ceil_ticks(seconds: f64) -> Result<u64, SystemError> {
    let ticks = TIME.ticks(seconds)?;
    Ok(if TIME.seconds(ticks) < seconds { ticks.saturating_add(1) } else { ticks })
}
