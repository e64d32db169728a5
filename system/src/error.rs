//! Errors of this crate.

use mirage_design::DesignError;
use mirage_events::{LedgerError, SimulationError, TimeError};
use thiserror::Error;

use crate::workload::TableError;

/// Everything that can be wrong with a simulation.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SystemError {
    /// A layer table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The `[system]` section.
    #[error(transparent)]
    Design(#[from] DesignError),
    /// A number format.
    #[error(transparent)]
    Format(#[from] mirage_arithmetic::FormatError),
    /// No such network.
    #[error("no network is called `{name}`{}; known are {}", .closest.map_or(String::new(), |c| format!(", did you mean {c}?")), crate::workload::NETWORKS.join(", "))]
    UnknownNetwork {
        /// The name asked for.
        name: String,
        /// The nearest known name.
        closest: Option<&'static str>,
    },
    /// A batch of nothing.
    #[error("a batch of 0 samples does nothing: it must be at least 1")]
    EmptyBatch,
    /// A product without work.
    #[error("the product {layer} {pass} of {network} has a size of zero")]
    EmptyProduct {
        /// Its network.
        network: String,
        /// Its layer.
        layer: String,
        /// Its pass.
        pass: String,
    },
    /// A number beyond 64 bits.
    #[error("{what} is too large to be simulated; simulate a part (one step) and scale")]
    Overflow {
        /// What overflowed.
        what: String,
    },
    /// More steps of a run than 64 bits count.
    #[error(
        "{each} steps an epoch in {epochs} epochs are more than can be counted: take fewer samples or epochs"
    )]
    TooManySteps {
        /// Steps of one epoch.
        each: u64,
        /// Epochs.
        epochs: u64,
    },
    /// More tiles than a simulation can go through.
    #[error("{layer} {pass} of {network} has {tiles} tiles; at most {limit} can be simulated")]
    TooManyTiles {
        /// Its network.
        network: String,
        /// Its layer.
        layer: String,
        /// Its pass.
        pass: String,
        /// Its tiles.
        tiles: u128,
        /// The limit.
        limit: u64,
    },
    /// A dataflow that the engine does not have.
    #[error("DF3 keeps the results in the unit, which photonic units cannot: use DF1, DF2, OPT1 or OPT2")]
    NoDataflow,
    /// A step that cannot be done.
    #[error("operation {operation} ({layer}) of {network} {problem}")]
    Step {
        /// The network.
        network: String,
        /// The layer.
        layer: String,
        /// The place of the operation in the step, from 0.
        operation: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Operands that do not fit.
    #[error("{layer} {pass} of {network} cannot be cut into slices that fit: {reason}")]
    NoRoom {
        /// The network.
        network: String,
        /// The layer.
        layer: String,
        /// The pass.
        pass: String,
        /// What does not fit where.
        reason: String,
    },
    /// The simulation came to rest before its end: a fault of the model, not of the input.
    #[error(
        "the simulation came to rest with {left} operations left: a fault of the simulator, please report it with the design"
    )]
    Deadlock {
        /// Operations that were not done.
        left: usize,
    },
    /// An input that is not in its range.
    #[error("{what} is {value}, but must lie between {smallest} and {largest}")]
    OutOfRange {
        /// Which input.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The smallest it may be.
        smallest: f64,
        /// The largest it may be.
        largest: f64,
    },
    /// Time that does not fit.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// An account that does not fit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The event kernel gave up.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// A rule that leaves a baseline nothing.
    #[error(
        "the {rule} rule gives {format} arrays {multipliers:.3} multipliers: not even one multiplier; see system.baselines"
    )]
    NoArray {
        /// The format.
        format: &'static str,
        /// The rule.
        rule: &'static str,
        /// What it gives.
        multipliers: f64,
    },
}
