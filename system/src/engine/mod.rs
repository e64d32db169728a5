//! What does the products: how an engine cuts them into tiles, how long a tile takes it, what that costs.
//!
//! An engine has `units`, each of which keeps a tile of `rows` x `columns` still while vectors stream through it. Which matrix
//! is still is the dataflow:
//!
//! | dataflow | rows | columns | vectors | what comes out |
//! |---|---|---|---|---|
//! | DF1 | M | K | N | a partial sum for each row and vector |
//! | DF2 | N | K | M | the same |
//! | DF3 | M | N | K | the finished element of each row and column, when the last vector is through |
//!
//! The machine knows nothing else of it: memories, queues, vector unit and links are the same for all engines.

mod photonic;
mod systolic;

use mirage_arithmetic::{GemmEntry, Placement};

pub(crate) use photonic::Photonic;
pub(crate) use systolic::Systolic;

use crate::SystemError;
use crate::design::{Dataflow, Stall};
use crate::energy::{Component, Costs};
use crate::plan::{Plan, Stationary};

/// An engine.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// RNS-MMVMUs, as the design file has them.
    Photonic(Photonic),
    /// Arrays of multipliers to compare with.
    Systolic(Systolic),
}

/// A tile and what streams through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TileShape {
    pub stationary: Stationary,
    /// Rows and columns in use.
    pub rows: u64,
    pub columns: u64,
    /// Vectors that stream through it.
    pub vectors: u64,
    /// Whether its sums are the first of their elements: nothing is read before they are written.
    pub first: bool,
}

/// What a tile takes, in ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TileTiming {
    /// Moving its stationary operand from the SRAM to the unit.
    pub load: u64,
    /// Making the unit ready: programming, or filling with weights.
    pub program: u64,
    /// From the first vector in to the last one in; for an array of multipliers, to the last sum out.
    pub stream: u64,
    /// The same if no memory were in the way.
    pub ideal: u64,
}

/// What is the same for all tiles, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// From the last vector of a tile to its last sum in the accumulators.
    pub pipeline: u64,
    /// How long a tile is held for the check of its last products, where products are read again.
    pub hold: u64,
    /// Whether the next tile is programmed behind the present one.
    pub shadow: bool,
    /// What a repeat stalls.
    pub stall: Stall,
}

/// What the tiles of one shape did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TileCount {
    /// Tiles programmed.
    pub tiles: u64,
    /// Vectors fetched again for repeats.
    pub refetched: u64,
    /// Rows read out again.
    pub reread: u64,
}

/// Actions by component.
pub(crate) type Actions = [u64; Component::COUNT];

impl Engine {
    /// Units that take tiles, and rows of each.
    pub fn placement(&self) -> Placement {
        match self {
            Self::Photonic(engine) => engine.placement(),
            Self::Systolic(engine) => engine.placement(),
        }
    }

    /// Columns of a unit.
    pub fn columns(&self) -> u64 {
        match self {
            Self::Photonic(engine) => engine.columns(),
            Self::Systolic(engine) => engine.columns(),
        }
    }

    /// Multiply-accumulates a second with every row and column in use, mapped-out units included.
    pub fn peak(&self) -> f64 {
        match self {
            Self::Photonic(engine) => engine.peak(),
            Self::Systolic(engine) => engine.peak(),
        }
    }

    /// What is the same for all tiles.
    pub fn timing(&self) -> Timing {
        match self {
            Self::Photonic(engine) => engine.timing(),
            Self::Systolic(engine) => engine.timing(),
        }
    }

    /// What one tile takes.
    ///
    /// # Errors
    /// [`SystemError::Time`] for a time that does not fit.
    pub fn tile(&self, shape: TileShape) -> Result<TileTiming, SystemError> {
        match self {
            Self::Photonic(engine) => engine.tile(shape),
            Self::Systolic(engine) => engine.tile(shape),
        }
    }

    /// Bytes of `values` neighbouring values of an operand, in the format in which the engine takes it.
    pub fn operand_bytes(&self, values: u64) -> u64 {
        match self {
            Self::Photonic(engine) => engine.operand_bytes(values),
            Self::Systolic(engine) => engine.operand_bytes(values),
        }
    }

    /// Bytes of a whole operand of so many elements, in that format; groups that edges leave open are not counted.
    pub fn tensor_bytes(&self, elements: u64) -> u64 {
        let columns = self.columns();
        let whole = (elements / columns).saturating_mul(self.operand_bytes(columns));
        whole.saturating_add(if elements.is_multiple_of(columns) {
            0
        } else {
            self.operand_bytes(elements % columns)
        })
    }

    /// Energy of each action, and power.
    pub fn costs(&self) -> &Costs {
        match self {
            Self::Photonic(engine) => engine.costs(),
            Self::Systolic(engine) => engine.costs(),
        }
    }

    /// Books what the tiles of one shape did inside the engine and between it, accumulators and converters. Traffic of the
    /// operand memories is returned: bytes read for (stationary, streaming) operands.
    pub fn book(&self, shape: TileShape, count: TileCount, actions: &mut Actions) -> [u64; 2] {
        match self {
            Self::Photonic(engine) => engine.book(shape, count, actions),
            Self::Systolic(engine) => engine.book(shape, count, actions),
        }
    }

    /// Books the making of `results` elements into operands for `copies` later products.
    pub fn book_results(&self, results: u64, copies: u64, actions: &mut Actions) {
        match self {
            Self::Photonic(engine) => engine.book_results(results, copies, actions),
            Self::Systolic(engine) => engine.book_results(results, copies, actions),
        }
    }

    /// The grid of tiles of a product.
    ///
    /// # Errors
    /// [`SystemError`] for a product that cannot be simulated.
    pub fn plan(&self, entry: &GemmEntry, stationary: Stationary) -> Result<Plan, SystemError> {
        Plan::new(entry, stationary, self.placement().rows, self.columns())
    }

    /// The operands that a dataflow lets this engine keep.
    ///
    /// # Errors
    /// [`SystemError::NoDataflow`] for one that it does not have.
    pub fn candidates(&self, dataflow: Dataflow) -> Result<&'static [Stationary], SystemError> {
        use Stationary::{First, Output, Second};
        match (self, dataflow) {
            (_, Dataflow::First) => Ok(&[First]),
            (_, Dataflow::Second) => Ok(&[Second]),
            (Self::Photonic(_), Dataflow::Best | Dataflow::BestOfPass) => Ok(&[First, Second]),
            (Self::Photonic(_), Dataflow::Output) => Err(SystemError::NoDataflow),
            (Self::Systolic(_), Dataflow::Output) => Ok(&[Output]),
            (Self::Systolic(_), Dataflow::Best | Dataflow::BestOfPass) => Ok(&[First, Second, Output]),
        }
    }
}
