//! Where time goes: each unit is at one thing at a time, on behalf of one task or of none.

use super::{PLACES, Place};
use crate::Component;
use crate::engine::Actions;
use crate::trace::Trace;

pub(crate) use crate::trace::Track;

/// What a unit is at. The first three are parts of streaming, told apart when a tile ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Part {
    /// Streaming at full speed.
    Streaming,
    /// Of that, slots of rows and columns that the product does not fill.
    Edges,
    /// Streaming slowed by a memory.
    Bandwidth,
    Programming,
    /// Waiting for the load port.
    Loading,
    /// Waiting for a port of the bank that its vectors lie in.
    Conflicts,
    Repeats,
    Checking,
    Calibration,
    /// Waiting for operands from off-chip memory.
    Operands,
    /// Waiting for accumulators that are drained.
    Accumulators,
    /// No tile left for it in the open products.
    Imbalance,
    /// No product is open: other work must be done first.
    Dependencies,
    /// Mapped out.
    OutOfUse,
}

impl Part {
    pub const COUNT: usize = 14;

    pub const ALL: [Self; Self::COUNT] = [
        Self::Streaming,
        Self::Edges,
        Self::Bandwidth,
        Self::Programming,
        Self::Loading,
        Self::Conflicts,
        Self::Repeats,
        Self::Checking,
        Self::Calibration,
        Self::Operands,
        Self::Accumulators,
        Self::Imbalance,
        Self::Dependencies,
        Self::OutOfUse,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Edges => "edges",
            Self::Bandwidth => "bandwidth",
            Self::Programming => "programming",
            Self::Loading => "loading",
            Self::Conflicts => "bank conflicts",
            Self::Repeats => "repeats",
            Self::Checking => "checking",
            Self::Calibration => "calibration",
            Self::Operands => "waiting for operands",
            Self::Accumulators => "waiting for accumulators",
            Self::Imbalance => "imbalance",
            Self::Dependencies => "waiting for other work",
            Self::OutOfUse => "out of use",
        }
    }
}

/// Ticks by part.
pub(crate) type Spent = [u128; Part::COUNT];

/// What one task took.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskAccount {
    pub begin: u64,
    pub end: u64,
    /// Ticks of units.
    pub spent: Spent,
    /// Streaming with every row and column in use, weighted: rows x columns x ticks.
    pub useful: u128,
    /// Ticks of lanes or links.
    pub busy: u128,
    /// Bytes over the channels, and blocks.
    pub moved: u64,
    pub blocks: u64,
    /// Tiles, and multiply-accumulates counted tile by tile.
    pub tiles: u64,
    pub macs: u64,
    /// Reads done again.
    pub repeated: u64,
    /// Bytes fetched into each partition, accesses to each in bytes, bytes of results sent off the chip.
    pub fetched: [u64; PLACES],
    pub sram: [u64; PLACES],
    pub stored: u64,
    pub actions: Actions,
}

impl TaskAccount {
    /// All that energy is charged for: actions, bytes of the SRAM and of the off-chip memory.
    pub fn all_actions(&self) -> Actions {
        let mut actions = self.actions;
        for place in Place::ALL {
            actions[place.component() as usize] += self.sram[place.index()];
        }
        actions[Component::OffChipMemory as usize] += self.moved;
        actions
    }
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    pub tasks: Vec<TaskAccount>,
    /// Ticks of units on behalf of no task.
    pub spent: Spent,
}

impl Account {
    #[inline]
    pub fn spend(&mut self, part: Part, task: Option<u32>, ticks: u64) {
        let spent = match task {
            Some(task) => &mut self.tasks[task as usize].spent,
            None => &mut self.spent,
        };
        spent[part as usize] += u128::from(ticks);
    }
}

/// Writes down a span, if anybody wants to know.
pub(crate) fn note(
    trace: &mut Option<Box<Trace>>,
    track: Track,
    part: Part,
    task: Option<u32>,
    span: [u64; 2],
) {
    if let Some(trace) = trace {
        trace.span(track, part.name(), task, span[0], span[1]);
    }
}
