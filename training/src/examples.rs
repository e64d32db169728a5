//! What a network is trained and tested on.

use crate::augment::Variation;
use crate::tensor::{Shape, Tensor};
use crate::{Dataset, Network, TrainError};

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// To train on.
    Train,
    /// To test on: held out from training.
    Test,
}

/// Examples to train on, and others to test on. A further kind of data is a type with this.
pub trait Examples: Send + Sync {
    /// How many there are in a part.
    fn count(&self, part: Part) -> usize;

    /// Places with a label of a part: as many as there are examples, unless each has several.
    fn asked(&self, part: Part) -> usize {
        self.count(part)
    }

    /// The shape of one example.
    fn shape(&self) -> Shape;

    /// What one, and what several of them are called.
    fn words(&self) -> [&'static str; 2];

    /// Whether the classes are tokens of a text, so that the loss has a perplexity.
    fn is_text(&self) -> bool;

    /// Whether they are what the network reads.
    ///
    /// # Errors
    /// What the network takes, and what the data has.
    fn suits(&self, network: &Network) -> Result<(), TrainError>;

    /// Fills `batch` (their shape, with so many examples) with the examples `items` of a part, varied if so asked, and `labels` with the
    /// classes of their columns, as [`crate::softmax_cross_entropy`] takes them.
    fn batch(&self, part: Part, of: (&[u32], Option<Variation>), batch: &mut Tensor, labels: &mut Vec<u32>);

    /// The same with at most so many examples of each part, the first ones.
    fn few(&self, train: usize, test: usize) -> Box<dyn Examples>;

    /// SHA-256 of all that training sees.
    fn hash(&self) -> [u8; 32];

    /// What simple models reach that are counted on the same training set, on the same test set; none where there are no such models.
    fn baselines(&self) -> Vec<Baseline> {
        Vec::new()
    }
}

/// What a simple model reaches on a test set.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Baseline {
    /// What it is.
    pub model: String,
    /// Tokens of the test set.
    pub tokens: usize,
    /// Mean of -log p in nats.
    pub test_loss: f64,
    /// e to the power of it.
    pub perplexity: f64,
}

impl Examples for Dataset {
    fn count(&self, part: Part) -> usize {
        self.part(part).len()
    }

    fn shape(&self) -> Shape {
        self.train().shape()
    }

    fn words(&self) -> [&'static str; 2] {
        ["image", "images"]
    }

    fn is_text(&self) -> bool {
        false
    }

    fn suits(&self, network: &Network) -> Result<(), TrainError> {
        let (input, found, outputs) = (network.input(), self.shape(), network.outputs());
        let labels = self.train().labels().iter().chain(self.test().labels());
        let largest = labels.copied().max().unwrap_or(0);
        if network.sides().is_empty() && input == found && usize::from(largest) < outputs {
            return Ok(());
        }
        let text = |shape: Shape| format!("{} x {} x {}", shape.channels, shape.height, shape.width);
        Err(TrainError::Data { expected: text(input), found: text(found), outputs, largest })
    }

    fn batch(&self, part: Part, of: (&[u32], Option<Variation>), batch: &mut Tensor, labels: &mut Vec<u32>) {
        let mut classes = Vec::new();
        self.fill(self.part(part), of, batch, &mut classes);
        labels.clear();
        labels.extend(classes.into_iter().map(u32::from));
    }

    fn few(&self, train: usize, test: usize) -> Box<dyn Examples> {
        Box::new(self.first(train, test))
    }

    fn hash(&self) -> [u8; 32] {
        Self::hash(self)
    }
}
