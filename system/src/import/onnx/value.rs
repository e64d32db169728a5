//! What is known of a value of the graph.

use super::shape::Shape;

/// A value: its sizes, its numbers where they are small and known, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    /// Sizes; `None` behind an operator that is not known.
    pub shape: Option<Shape>,
    /// Whole numbers, of values that only shapes depend on.
    pub ints: Option<Vec<i64>>,
    /// Where it comes from.
    pub from: From,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The input of the network.
    Data,
    /// The output of a layer, `whole` if it is that output as it stands.
    Layer {
        /// Index of the layer.
        index: usize,
        /// Not a view with other axes.
        whole: bool,
    },
    /// An initialiser with many numbers: it is trained.
    Parameter,
    /// Numbers that do not change.
    Constant,
}

impl Value {
    pub fn new(shape: Shape, from: From) -> Self {
        Self { shape: Some(shape), ints: None, from }
    }

    /// Whether it changes from sample to sample.
    pub fn flows(&self) -> bool {
        matches!(self.from, From::Data | From::Layer { .. })
    }
}
