//! What is to be fitted, and how.

/// A parameter and the range in which it is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name, as results and messages have it.
    pub name: String,
    /// Unit of the values.
    pub unit: String,
    /// Smallest value that makes sense.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

impl Parameter {
    /// A parameter between `low` and `high`, both finite, which also set the scale of its steps.
    pub fn new(name: &str, unit: &str, low: f64, high: f64) -> Self {
        Self { name: name.into(), unit: unit.into(), low, high }
    }

    /// The value at a share of the range.
    pub(super) fn at(&self, share: f64) -> f64 {
        self.low + share * (self.high - self.low)
    }
}

/// What is known of the scatter of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spread<'a> {
    /// Standard deviation of each datum: chi-squared then tests the model.
    Known(&'a [f64]),
    /// Standard deviations up to a common factor, which the residuals tell.
    Relative(&'a [f64]),
    /// Standard deviations that are a guess: good enough for weights, while the residuals tell the scatter of each datum. Needs
    /// a hundred data.
    Guessed(&'a [f64]),
    /// The same for all data; the residuals tell it.
    Equal,
}

impl Spread<'_> {
    /// The standard deviation of a datum, up to a factor unless it is known.
    pub(super) fn at(&self, datum: usize) -> f64 {
        match self {
            Self::Known(s) | Self::Relative(s) | Self::Guessed(s) => s[datum],
            Self::Equal => 1.0,
        }
    }
}

/// What large residuals cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Their square: best where there are no outliers, and the one for a handful of data.
    Squares,
    /// Their square up to 1.345 standard deviations, beyond in proportion (Huber 1964): 95 % as sharp as squares on normal
    /// noise, and outliers pull no harder than points at the edge. The scale of the noise is the median of the residuals.
    Huber,
}

/// Fills the second argument with what the model expects of each datum at these parameters. Where the model has no value
/// it writes NaN.
pub type Model<'a> = dyn Fn(&[f64], &mut [f64]) + Sync + 'a;

/// Data and the model that is to describe them.
#[derive(Clone)]
pub struct Problem<'a> {
    /// The parameters, in the order in which the model takes them.
    pub parameters: Vec<Parameter>,
    /// The data.
    pub data: &'a [f64],
    /// Their scatter.
    pub spread: Spread<'a>,
    /// Lengths of runs of data that follow one another, such as the points of each spectrum; within a run residuals may be
    /// correlated. Empty: the data have no order.
    pub runs: Vec<usize>,
    /// The model.
    pub model: &'a Model<'a>,
}

/// How to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Cost of large residuals.
    pub loss: Loss,
    /// Where to start; at least one start, or some draws.
    pub starts: Vec<Vec<f64>>,
    /// Starts drawn at random within the ranges, beside those given.
    pub draws: usize,
    /// How many of the best starts are followed to their minimum.
    pub polish: usize,
    /// Seed of draws and resampling.
    pub seed: u64,
    /// Resamples of the block bootstrap.
    pub resamples: usize,
    /// Where the data come from; goes with every estimate.
    pub source: String,
}

impl Options {
    /// Squares, and 200 random starts of which the best four are followed.
    pub fn new(source: &str) -> Self {
        Self {
            loss: Loss::Squares,
            starts: Vec::new(),
            draws: 200,
            polish: 4,
            seed: 1,
            resamples: 400,
            source: source.into(),
        }
    }

    /// The same with Huber's loss.
    pub fn robust(mut self) -> Self {
        self.loss = Loss::Huber;
        self
    }

    /// The same from this start alone.
    pub fn from(mut self, start: Vec<f64>) -> Self {
        self.starts = vec![start];
        self.draws = 0;
        self
    }
}
