//! Networks as layer tables, and the products of training that follow from them.

mod layer;
mod library;
mod lowering;
mod table;

pub use layer::{Kind, Layer, Network};
pub use library::{NETWORKS, all, builtin};

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
