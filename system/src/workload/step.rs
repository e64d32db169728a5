//! One training step as a list of operations on tensors, each with its real size.

use mirage_arithmetic::{GemmEntry, Pass};

use super::vector::VectorKind;
use crate::SystemError;

/// One training step: what is done, in order: the layers forward, the loss, the layers backward, the update.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Name of the network.
    pub network: String,
    /// Samples of a step.
    pub batch: u64,
    /// What is done, each after all that it reads is written.
    pub operations: Vec<Operation>,
    /// What it is done on.
    pub tensors: Vec<Tensor>,
}

/// One product, or one sweep of the vector unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Name of the layer.
    pub layer: String,
    /// Where in the step.
    pub stage: Stage,
    /// What is done.
    pub work: Work,
    /// What must come in. A tensor waits for the last operation before this one in the list that wrote it; one that nobody
    /// wrote (data, weights, states) is there from the start.
    pub reads: Vec<TensorId>,
    /// What goes out. A tensor that is read as well is changed in place.
    pub writes: Vec<TensorId>,
}

/// Where in the step an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The forward pass, and the loss.
    Forward,
    /// Gradients of activations.
    InputGradient,
    /// Gradients of parameters.
    WeightGradient,
    /// The update of the parameters.
    Update,
}

impl Stage {
    /// All stages, in the order of the step.
    pub const ALL: [Self; 4] = [Self::Forward, Self::InputGradient, Self::WeightGradient, Self::Update];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::InputGradient => "dX",
            Self::WeightGradient => "dW",
            Self::Update => "update",
        }
    }
}

impl From<Pass> for Stage {
    fn from(pass: Pass) -> Self {
        match pass {
            Pass::Forward => Self::Forward,
            Pass::InputGradient => Self::InputGradient,
            Pass::WeightGradient => Self::WeightGradient,
        }
    }
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A matrix product, for the tensor cores. Its first operand is `reads[0]`, its second `reads[1]`.
    Gemm(GemmEntry),
    /// Work for the vector unit.
    Vector {
        /// What kind.
        kind: VectorKind,
        /// Elements it goes through (those that come out, or parameters).
        elements: u64,
        /// Operations on all of them together.
        operations: u64,
        /// Whether a sample of what comes out needs no other sample of what comes in.
        samplewise: bool,
    },
}

/// The index of a tensor in [`Step::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// A tensor, as it lies in memory (an activation once, not once for each window that it is part of).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name: layer and role.
    pub name: String,
    /// What it is; how many bytes an element of that kind takes is a choice of the chip.
    pub kind: TensorKind,
    /// Its elements.
    pub elements: u64,
}

/// What a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TensorKind {
    /// The samples of a step.
    Input,
    /// Parameters.
    Weight,
    /// Outputs of layers.
    Activation,
    /// Gradients of activations.
    Gradient,
    /// Gradients of parameters.
    WeightGradient,
    /// States of the optimiser.
    OptimiserState,
}

impl TensorKind {
    /// Whether it holds something for each sample of the batch.
    #[must_use]
    pub fn has_samples(self) -> bool {
        matches!(self, Self::Input | Self::Activation | Self::Gradient)
    }
}

impl Step {
    /// A tensor of the step.
    #[must_use]
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The matrix products, in order.
    pub fn gemms(&self) -> impl Iterator<Item = &GemmEntry> {
        self.operations.iter().filter_map(|operation| match &operation.work {
            Work::Gemm(entry) => Some(entry),
            Work::Vector { .. } => None,
        })
    }

    /// Multiply-accumulates of all products.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn macs(&self) -> Result<u64, SystemError> {
        self.total(self.gemms().map(GemmEntry::macs))
    }

    /// Operations of the vector unit, of one kind or of all.
    ///
    /// # Errors
    /// [`SystemError::Overflow`] beyond 2^64.
    pub fn vector_operations(&self, wanted: Option<VectorKind>) -> Result<u64, SystemError> {
        self.total(self.operations.iter().map(|operation| match operation.work {
            Work::Vector { kind, operations, .. } if wanted.is_none_or(|wanted| wanted == kind) => {
                Some(operations)
            }
            _ => Some(0),
        }))
    }

    fn total(&self, terms: impl Iterator<Item = Option<u64>>) -> Result<u64, SystemError> {
        let mut terms = terms;
        let sum = terms.try_fold(0u64, |sum, term| sum.checked_add(term?));
        sum.ok_or_else(|| SystemError::Overflow { what: format!("a training step of {}", self.network) })
    }
}
