//! Networks as layer tables, and what training them takes: the products, and the whole step.

mod layer;
mod library;
mod lowering;
pub mod step;
mod table;
#[cfg(test)]
mod tests;
mod training;
pub mod vector;

pub use layer::{Kind, Layer, Network, Norm, Source, Tied};
pub use library::{NETWORKS, all, builtin};
pub use step::{Operation, Stage, Step, Tensor, TensorId, TensorKind, Work};
pub use vector::{Activation, Optimiser, VectorKind};

/// One wrong line of a layer table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct TableError {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}
