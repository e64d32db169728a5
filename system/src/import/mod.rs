//! Networks from other tools' files: ONNX graphs and SCALE-Sim topologies.
//!
//! A graph of any tool becomes a [`Network`] of the same layers as a layer table has. What is not known is named in
//! [`Imported::unsupported`], with the vector work that it was counted as; nothing is left out in silence.

mod onnx;
mod scale_sim;

pub use onnx::read_onnx;
pub use scale_sim::read_scale_sim;

use crate::Network;

/// A network from a file, and what of it was not understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The network.
    pub network: Network,
    /// Operators that are not known, in the order of the graph.
    pub unsupported: Vec<Unsupported>,
    /// Batches that have no size in the file and were taken to be 1, in words.
    pub assumed: Vec<String>,
}

/// An operator that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The operator.
    pub operator: String,
    /// The node.
    pub node: String,
    /// Elements of its output, each counted as one operation of the vector unit; `None` where its size is not known.
    pub elements: Option<u64>,
}

/// What is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {place}{message}")]
pub struct ImportError {
    /// The file, as the caller named it.
    pub file: String,
    /// Node or line, with a colon and a blank; empty for the whole file.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// No dimension of a real network comes near this; what does is a mistake.
pub(crate) const LARGEST: u64 = 1 << 40;
