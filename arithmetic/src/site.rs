use std::fmt;
use std::str::FromStr;

/// The three products of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pass {
    /// O = W X.
    Forward,
    /// dX = W^T dO.
    InputGradient,
    /// dW = dO X^T.
    WeightGradient,
}

impl Pass {
    /// All three, in the order in which a step runs them.
    pub const ALL: [Self; 3] = [Self::Forward, Self::InputGradient, Self::WeightGradient];

    fn text(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::InputGradient => "dX",
            Self::WeightGradient => "dW",
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl FromStr for Pass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|p| p.text() == text);
        known.ok_or_else(|| format!("`{text}` is not a pass: use forward, dX or dW"))
    }
}

/// Where in a training run a product stands. Together with the seed it keys every random draw of that product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Site {
    /// Number of the layer in the network.
    pub layer: u32,
    /// Which of the three products.
    pub pass: Pass,
    /// Number of the training step.
    pub step: u64,
}
