//! Work of a training step that is no matrix product, and how many operations it takes for each element.
//!
//! Counted are additions, multiplications, comparisons and selections; an exponential, logarithm, hyperbolic tangent, root,
//! reciprocal or division counts as one too (a choice: a vector unit does each with a table in one pass through its pipe).
//!
//! | work | forward | backward | counted from |
//! |---|---|---|---|
//! | normalisation | 7: sum; difference, square, sum; times 1/sigma; times gamma, plus beta | 9: normalised value again 2; sums for gamma 2 and beta 1; input 4 | Ioffe and Szegedy, arXiv 1502.03167, algorithm 1 and the gradients of section 3 (layer normalisation, Ba et al., arXiv 1607.06450, is the same along another axis) |
//! | bias | 1 | 1: sum over positions | |
//! | ReLU; ReLU6; leaky ReLU | 1; 2; 2 | 1; 2; 2 | comparisons and one product |
//! | sigmoid; tanh | 3; 1 | 3; 3: from the output, y (1 - y) dy and (1 - y^2) dy | |
//! | SiLU | 4: sigmoid, product | 8: sigmoid again, s (1 + x (1 - s)) dy | |
//! | GELU | 9: tanh form | 18 | Hendrycks and Gimpel, arXiv 1606.08415, section 2 |
//! | max pooling, window w | w - 1 | w: the largest is found again, one addition | for each output |
//! | average pooling, window w | w | w + 1 | for each output |
//! | softmax | 5: largest, difference, exponential, sum, division | 4: product, sum, difference, product | |
//! | sum or product of inputs | 1 for each input but the first | 0 for sums (the gradient is passed on), 1 for each input of a product | |
//! | gradients of a tensor with several readers | | 1 for each but the first | |
//! | look-up | 0 | 1: added to the row | |
//! | loss | 7: softmax 5, logarithm, difference | | cross-entropy; other losses are counted as it |
//! | momentum | 6: decay 2, momentum 2, step 2 | | Sutskever et al., ICML 2013, equations 1 and 2, with weight decay |
//! | Adam | 14: moments 3 + 4, corrections 2, root, sum, division, step 2 | | Kingma and Ba, arXiv 1412.6980, algorithm 1 |

/// The kinds of vector work, by which tables sum them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VectorKind {
    /// Batch or layer normalisation.
    Normalisation,
    /// Biases and activation functions.
    Activation,
    /// Pooling.
    Pooling,
    /// Softmax.
    Softmax,
    /// Sums and products of tensors, of gradients too.
    Elementwise,
    /// Elements moved without arithmetic: look-ups, joins, transpositions.
    Movement,
    /// The loss and its gradient.
    Loss,
    /// The update of the parameters.
    Optimiser,
    /// What an imported graph has that is none of these; the name of the layer says what.
    Other,
}

impl VectorKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Normalisation,
        Self::Activation,
        Self::Pooling,
        Self::Softmax,
        Self::Elementwise,
        Self::Movement,
        Self::Loss,
        Self::Optimiser,
        Self::Other,
    ];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Normalisation => "normalisation",
            Self::Activation => "activation",
            Self::Pooling => "pooling",
            Self::Softmax => "softmax",
            Self::Elementwise => "element-wise",
            Self::Movement => "movement",
            Self::Loss => "loss",
            Self::Optimiser => "optimiser",
            Self::Other => "other",
        }
    }
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// None.
    None,
    /// max(x, 0).
    Relu,
    /// max(x, 0), at most 6; any clipping from both sides.
    Relu6,
    /// x, or a fraction of it below 0.
    LeakyRelu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// x times its sigmoid.
    Silu,
    /// x times the normal distribution's share below x.
    Gelu,
}

impl Activation {
    /// Activations by their text in a layer table.
    pub(crate) const TEXTS: [(&'static str, Self); 8] = [
        ("none", Self::None),
        ("relu", Self::Relu),
        ("relu6", Self::Relu6),
        ("leaky-relu", Self::LeakyRelu),
        ("sigmoid", Self::Sigmoid),
        ("tanh", Self::Tanh),
        ("silu", Self::Silu),
        ("gelu", Self::Gelu),
    ];

    /// Operations for each element: forward, backward.
    #[must_use]
    pub fn operations(self) -> [u64; 2] {
        match self {
            Self::None => [0, 0],
            Self::Relu => [1, 1],
            Self::Relu6 | Self::LeakyRelu => [2, 2],
            Self::Sigmoid => [3, 3],
            Self::Tanh => [1, 3],
            Self::Silu => [4, 8],
            Self::Gelu => [9, 18],
        }
    }

    /// Whether its derivative follows from what comes out; otherwise what goes in is kept.
    #[must_use]
    pub fn output_suffices(self) -> bool {
        !matches!(self, Self::Silu | Self::Gelu)
    }
}

/// How parameters are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Optimiser {
    /// Stochastic gradient descent with momentum and weight decay: one state for each parameter.
    Momentum,
    /// Adam: two states for each parameter.
    Adam,
}

impl Optimiser {
    /// Optimisers by their text in a layer table.
    pub(crate) const TEXTS: [(&'static str, Self); 2] = [("momentum", Self::Momentum), ("adam", Self::Adam)];

    /// States kept for each parameter.
    #[must_use]
    pub fn states(self) -> u64 {
        match self {
            Self::Momentum => 1,
            Self::Adam => 2,
        }
    }

    /// Operations for each parameter.
    #[must_use]
    pub fn operations(self) -> u64 {
        match self {
            Self::Momentum => 6,
            Self::Adam => 14,
        }
    }
}

/// Operations for each element, see the table above.
pub(super) const NORMALISATION: [u64; 2] = [7, 9];
pub(super) const SOFTMAX: [u64; 2] = [5, 4];
pub(super) const LOSS: u64 = 7;
