//! The design file's `[training]` section.

mod deep;
mod language;

use mirage_design::{DesignError, Value};
use serde::Deserialize;

pub use deep::DeepSection;
pub use language::LanguageSection;

use crate::augment::Augment;
use crate::error::did_you_mean;
use crate::optimiser::{Method, Moments};
use crate::schedule::{Schedule, ScheduleShape};

/// What happens when a loss or a gradient is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDivergence {
    /// The run ends before that step's update.
    #[default]
    Stop,
    /// That step's update is left out, and the run goes on.
    Continue,
}

/// How a run is done.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images of a step; the last step of an epoch takes what is left.
    pub batch: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// How the weights follow their gradients.
    pub method: Method,
    /// Pull of the weights towards zero, per unit of learning rate.
    pub weight_decay: f64,
    /// How training images are varied.
    pub augment: Augment,
    /// What happens when a loss or a gradient is not finite.
    pub on_divergence: OnDivergence,
    /// Steps between two records.
    pub record_every: u32,
    /// Of initial weights, order and variation of images, dropout and errors.
    pub seed: u64,
}

impl TrainConfig {
    /// Steps of the whole run on so many training images.
    pub fn steps(&self, images: usize) -> u64 {
        u64::from(self.epochs) * images.div_ceil(self.batch.max(1)) as u64
    }
}

impl Default for TrainConfig {
    /// Settings with which the small network learns the Fashion-MNIST subset.
    fn default() -> Self {
        Self {
            epochs: 3,
            batch: 50,
            learning_rate: 0.007,
            schedule: Schedule::default(),
            method: Method::Sgd { momentum: 0.9 },
            weight_decay: 1e-4,
            augment: Augment::default(),
            on_divergence: OnDivergence::default(),
            record_every: 10,
            seed: 1,
        }
    }
}

/// `[training]` as it stands in the design file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSection {
    /// Name of the network, one of [`crate::NETWORKS`] or [`crate::LANGUAGE_NETWORKS`].
    pub network: Value<String>,
    /// Passes over the training images.
    pub epochs: Value<u32>,
    /// Images of a step.
    pub batch: Value<u32>,
    /// Learning rate.
    pub learning_rate: Value<f64>,
    /// Momentum of SGD.
    pub momentum: Value<f64>,
    /// Weight decay.
    pub weight_decay: Value<f64>,
    /// Steps between two records.
    pub record_every: Value<u32>,
    /// Seed, where it is not to be the run's.
    pub seed: Option<Value<u64>>,
    /// How weights follow their gradients; SGD with momentum where it is left out.
    pub optimiser: Option<OptimiserSection>,
    /// How the learning rate changes; it does not where this is left out.
    pub schedule: Option<ScheduleSection>,
    /// How training images are varied; they are not where this is left out.
    pub augment: Option<AugmentSection>,
    /// The networks `resnet20` and `mobilenet-small`; trained as the small network is where it is left out.
    pub deep: Option<DeepSection>,
    /// The network `transformer-lm` and its text.
    pub language: Option<LanguageSection>,
    /// The network `translation` and its pairs.
    pub translation: Option<LanguageSection>,
    /// The sweep over error rates.
    pub sweep: Option<crate::SweepSection>,
}

/// `[training.optimiser]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserSection {
    /// `sgd`, `adam` or `adamw`.
    pub method: Value<String>,
    /// What Adam and AdamW keep of the mean gradient.
    pub beta1: Value<f64>,
    /// What they keep of the mean square.
    pub beta2: Value<f64>,
    /// What keeps their division finite.
    pub epsilon: Value<f64>,
}

/// `[training.schedule]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSection {
    /// `constant`, `step` or `cosine`.
    pub shape: Value<String>,
    /// Epochs, and parts of them, of linear warm-up.
    pub warm_up: Value<f64>,
    /// Epochs after which `step` multiplies the rate by `factor`.
    pub milestones: Value<Vec<u32>>,
    /// What `step` multiplies by.
    pub factor: Value<f64>,
    /// Share of the rate that `cosine` ends with.
    pub floor: Value<f64>,
}

/// `[training.augment]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentSection {
    /// Width in pixels of the black frame from which images are cut at a random place.
    pub frame: Value<u32>,
    /// Whether every second image, at random, is mirrored.
    pub flip: Value<bool>,
}

/// Largest batch: of images of 28 x 28, it keeps the buffers of a step of the small network near a gigabyte.
const LARGEST_BATCH: u32 = 4096;

/// Widest frame: images that leave it are all black, and those of 64 pixels would.
const LARGEST_FRAME: u32 = 64;

impl TrainingSection {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the value that is out of range, and the range.
    pub fn check(&self) -> Result<(), DesignError> {
        let networks = [&crate::NETWORKS[..], &crate::LANGUAGE_NETWORKS].concat();
        one_of(&self.network, "a network", &networks)?;
        self.deep.as_ref().map_or(Ok(()), DeepSection::check)?;
        self.language.as_ref().map_or(Ok(()), LanguageSection::check)?;
        self.translation.as_ref().map_or(Ok(()), LanguageSection::check)?;
        self.epochs.within(1, 10_000)?;
        self.batch.within(1, LARGEST_BATCH)?;
        self.record_every.within(1, u32::MAX)?;
        let rate = &self.learning_rate;
        if !(1e-9..=100.0).contains(&**rate) {
            return Err(rate.invalid("must lie between 1e-9 and 100"));
        }
        below_one(&self.momentum)?;
        if !(0.0..=1.0).contains(&*self.weight_decay) {
            return Err(self.weight_decay.invalid("must lie between 0 and 1"));
        }
        self.optimiser.as_ref().map_or(Ok(()), OptimiserSection::check)?;
        self.schedule.as_ref().map_or(Ok(()), |schedule| schedule.check(*self.epochs))?;
        self.augment.as_ref().map_or(Ok(()), |augment| augment.frame.within(0, LARGEST_FRAME))?;
        self.sweep.as_ref().map_or(Ok(()), crate::SweepSection::check)
    }

    /// The section of a network that reads text; `None` for one of images, or where the design has none.
    pub fn text(&self, network: &str) -> Option<&LanguageSection> {
        match network {
            "transformer-lm" => self.language.as_ref(),
            "translation" => self.translation.as_ref(),
            _ => None,
        }
    }

    /// The plain numbers for a network of images; `seed` stands in where the section has none. Call after [`Self::check`].
    pub fn config_for(&self, network: &str, seed: u64) -> TrainConfig {
        match &self.deep {
            Some(deep) if DeepSection::is_for(network) => deep.config(self.seed_or(seed)),
            _ => self.config(seed),
        }
    }

    fn seed_or(&self, seed: u64) -> u64 {
        self.seed.as_ref().map_or(seed, |seed| **seed)
    }

    /// The plain numbers for the small network; `seed` stands in where the section has none. Call after [`Self::check`].
    pub fn config(&self, seed: u64) -> TrainConfig {
        TrainConfig {
            epochs: *self.epochs,
            batch: *self.batch as usize,
            learning_rate: *self.learning_rate,
            schedule: self.schedule.as_ref().map_or_else(Schedule::default, ScheduleSection::schedule),
            method: self.method(),
            weight_decay: *self.weight_decay,
            augment: self.augment.as_ref().map_or_else(Augment::default, AugmentSection::augment),
            on_divergence: OnDivergence::Stop,
            record_every: *self.record_every,
            seed: self.seed_or(seed),
        }
    }

    fn method(&self) -> Method {
        let sgd = Method::Sgd { momentum: *self.momentum };
        let Some(section) = &self.optimiser else { return sgd };
        let moments = Moments { beta1: *section.beta1, beta2: *section.beta2, epsilon: *section.epsilon };
        match section.method.as_str() {
            "adam" => Method::Adam(moments),
            "adamw" => Method::AdamW(moments),
            _ => sgd,
        }
    }
}

impl OptimiserSection {
    fn check(&self) -> Result<(), DesignError> {
        one_of(&self.method, "an optimiser", &["sgd", "adam", "adamw"])?;
        below_one(&self.beta1)?;
        below_one(&self.beta2)?;
        if (1e-30..=1.0).contains(&*self.epsilon) {
            return Ok(());
        }
        Err(self.epsilon.invalid("must lie between 1e-30 and 1"))
    }
}

impl ScheduleSection {
    fn check(&self, epochs: u32) -> Result<(), DesignError> {
        one_of(&self.shape, "a schedule", &["constant", "step", "cosine"])?;
        if !(0.0..=f64::from(epochs)).contains(&*self.warm_up) {
            return Err(self
                .warm_up
                .invalid(format!("must lie between 0 and the {epochs} epochs of the run")));
        }
        if !self.milestones.windows(2).all(|pair| pair[0] < pair[1]) || self.milestones.contains(&0) {
            return Err(self
                .milestones
                .invalid("must be numbers of epochs above 0, each larger than the one before"));
        }
        for value in [&self.factor, &self.floor] {
            if !(0.0..=1.0).contains(&**value) {
                return Err(value.invalid("must lie between 0 and 1"));
            }
        }
        Ok(())
    }

    fn schedule(&self) -> Schedule {
        let shape = match self.shape.as_str() {
            "step" => ScheduleShape::Step { milestones: self.milestones.to_vec(), factor: *self.factor },
            "cosine" => ScheduleShape::Cosine { floor: *self.floor },
            _ => ScheduleShape::Constant,
        };
        Schedule { shape, warm_up: *self.warm_up }
    }
}

impl AugmentSection {
    fn augment(&self) -> Augment {
        Augment { frame: *self.frame, flip: *self.flip }
    }
}

fn one_of(value: &Value<String>, what: &str, known: &[&str]) -> Result<(), DesignError> {
    if known.contains(&value.as_str()) {
        return Ok(());
    }
    let hint = did_you_mean(value, known.iter().copied());
    Err(value.invalid(format!("must be the name of {what}: {}{hint}", known.join(", "))))
}

fn below_one(value: &Value<f64>) -> Result<(), DesignError> {
    if (0.0..1.0).contains(&**value) {
        return Ok(());
    }
    Err(value.invalid("must be at least 0 and below 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[training]
network = "small-cnn"
epochs = { value = 3, mark = "choice" }
batch = 50
learning_rate = 0.05
momentum = 0.9
weight_decay = 1e-4
record_every = 20

[training.optimiser]
method = "adamw"
beta1 = 0.9
beta2 = 0.999
epsilon = 1e-8

[training.schedule]
shape = "step"
warm_up = 0.5
milestones = [1, 2]
factor = 0.1
floor = 0.0

[training.augment]
frame = 4
flip = true
"#;

    const TEXT: &str = r#"
[training.translation]
level = "word"
length = 24
vocabulary = 2000
held_out = 0.1
dropout = 0.2
epochs = 7
batch = 16
learning_rate = 0.002
weight_decay = 0.02
record_every = 5

[training.translation.optimiser]
method = "adamw"
beta1 = 0.9
beta2 = 0.98
epsilon = 1e-9
"#;

    fn read(text: &str) -> Result<TrainingSection, DesignError> {
        let document = mirage_design::Document::new(text, "d.toml")?;
        let section: TrainingSection = document.section("training")?;
        section.check().map_err(|error| document.locate(error))?;
        Ok(section)
    }

    #[test]
    fn a_good_section_gives_its_numbers() {
        let section = read(GOOD).unwrap();
        let config = section.config(7);
        assert_eq!((config.epochs, config.batch, config.seed), (3, 50, 7));
        // Batches of 50: three, the last with 10 images.
        assert_eq!(config.steps(110), 9);
        let moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        assert_eq!(config.method, Method::AdamW(moments));
        let shape = ScheduleShape::Step { milestones: vec![1, 2], factor: 0.1 };
        assert_eq!(config.schedule, Schedule { shape, warm_up: 0.5 });
        assert_eq!(config.augment, Augment { frame: 4, flip: true });
        let method = |name: &str| read(&GOOD.replace("adamw", name)).unwrap().config(7).method;
        assert_eq!(method("adam"), Method::Adam(moments));
        assert_eq!(method("sgd"), Method::Sgd { momentum: 0.9 });
        let shape = |name: &str| read(&GOOD.replace("step", name)).unwrap().config(7).schedule.shape;
        assert_eq!(shape("constant"), ScheduleShape::Constant);
        assert_eq!(shape("cosine"), ScheduleShape::Cosine { floor: 0.0 });
        let own = read(&GOOD.replace("batch = 50", "batch = 50\nseed = 9")).unwrap();
        assert_eq!(own.config(7).seed, 9);
    }

    #[test]
    fn without_the_further_sections_nothing_is_changed() {
        let plain = read(GOOD.split("\n[training.optimiser]").next().unwrap()).unwrap().config(7);
        assert_eq!(plain.method, Method::Sgd { momentum: 0.9 });
        assert_eq!((plain.schedule, plain.augment), (Schedule::default(), Augment::default()));
    }

    #[test]
    fn deep_networks_have_settings_of_their_own() {
        let deep = GOOD[GOOD.find("epochs").unwrap()..].replace("[training.", "[training.deep.");
        let deep = deep.replace("value = 3", "value = 8");
        // Their optimiser is SGD.
        let (first, rest) = deep.split_once("[training.deep.optimiser]").unwrap();
        let deep = format!("{first}{}", &rest[rest.find("[training").unwrap()..]);
        let section = read(&format!("{GOOD}\n[training.deep]\n{deep}")).unwrap();
        assert_eq!(section.config_for("small-cnn", 1), section.config(1));
        for name in ["resnet20", "mobilenet-small"] {
            let config = section.config_for(name, 1);
            assert_eq!((config.epochs, config.method), (8, Method::Sgd { momentum: 0.9 }));
            assert_eq!(config.augment, Augment { frame: 4, flip: true });
            assert_eq!(read(GOOD).unwrap().config_for(name, 1), section.config(1));
        }
        for (from, to, says) in [
            ("value = 8", "value = 0", "between 1 and 10000"),
            ("batch = 50", "batch = 0", "between 1 and 4096"),
            ("0.05", "0", "between 1e-9 and 100"),
            ("0.9", "1.0", "below 1"),
            ("1e-4", "2", "between 0 and 1"),
            ("warm_up = 0.5", "warm_up = 9", "the 8 epochs of the run"),
            ("frame = 4", "frame = 65", "between 0 and 64"),
            ("momentum", "momentu", "momentu"),
        ] {
            let text = format!("{GOOD}\n[training.deep]\n{}", deep.replace(from, to));
            let error = read(&text).unwrap_err();
            assert!(error.line().is_some_and(|line| line > 27), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn networks_that_read_text_have_settings_of_their_own() {
        let section = read(&format!("{GOOD}{TEXT}")).unwrap();
        assert!(section.text("small-cnn").is_none() && section.text("transformer-lm").is_none());
        let text = section.text("translation").unwrap();
        let options =
            crate::TextOptions { level: crate::Level::Word, length: 24, vocabulary: 2000, held_out: 0.1 };
        assert_eq!(text.options(), options);
        let config = text.config(4);
        assert_eq!((config.epochs, config.batch, config.record_every, config.seed), (7, 16, 5, 4));
        let moments = Moments { beta1: 0.9, beta2: 0.98, epsilon: 1e-9 };
        assert_eq!((config.learning_rate, config.weight_decay), (0.002, 0.02));
        assert_eq!((config.method, config.schedule), (Method::AdamW(moments), Schedule::default()));
        for (from, to, says) in [
            ("\"word\"", "\"words\"", "character, word (did you mean \"word\"?)"),
            ("length = 24", "length = 1", "between 2 and 4096"),
            ("vocabulary = 2000", "vocabulary = 7", "between 8 and"),
            ("held_out = 0.1", "held_out = 0.6", "between 0.001 and 0.5"),
            ("dropout = 0.2", "dropout = 1.0", "below 1"),
            ("epochs = 7", "epochs = 0", "between 1 and 10000"),
            ("batch = 16", "batch = 0", "between 1 and 4096"),
            ("learning_rate = 0.002", "learning_rate = 0", "between 1e-9 and 100"),
            ("weight_decay = 0.02", "weight_decay = 2", "between 0 and 1"),
            ("record_every = 5", "record_every = 0", "between 1 and"),
            ("\"adamw\"\nbeta1 = 0.9\nbeta2 = 0.98", "\"sgd\"\nbeta1 = 0.9\nbeta2 = 0.98", "adam, adamw"),
            ("0.98", "1.0", "below 1"),
            ("level", "levl", "levl"),
        ] {
            let error = read(&format!("{GOOD}{}", TEXT.replace(from, to))).unwrap_err();
            assert!(
                error.line().is_some_and(|line| line > 26) && error.to_string().contains(says),
                "{from} {error}"
            );
        }
    }

    #[test]
    fn every_value_out_of_range_is_an_error_with_its_line() {
        for (from, to, line, says) in [
            ("\"small-cnn\"", "\"small-cn\"", 3, "did you mean \"small-cnn\"?"),
            ("value = 3", "value = 0", 4, "between 1 and 10000"),
            ("batch = 50", "batch = 5000", 5, "between 1 and 4096"),
            ("batch = 50", "batch = -1", 5, ""),
            ("0.05", "0", 6, "between 1e-9 and 100"),
            ("0.05", "nan", 6, ""),
            ("0.9", "1.0", 7, "below 1"),
            ("1e-4", "-1e-4", 8, "between 0 and 1"),
            ("record_every = 20", "record_every = 0", 9, "between 1"),
            ("record_every", "record_evry", 9, "record_every"),
            ("\"adamw\"", "\"damw\"", 12, "sgd, adam, adamw (did you mean \"adamw\"?)"),
            ("beta1 = 0.9", "beta1 = 1.0", 13, "below 1"),
            ("beta2 = 0.999", "beta2 = -0.1", 14, "below 1"),
            ("epsilon = 1e-8", "epsilon = 0.0", 15, "between 1e-30 and 1"),
            ("\"step\"", "\"steps\"", 18, "did you mean \"step\"?"),
            ("warm_up = 0.5", "warm_up = 3.5", 19, "the 3 epochs of the run"),
            ("[1, 2]", "[2, 1]", 20, "larger than the one before"),
            ("[1, 2]", "[0, 1]", 20, "above 0"),
            ("factor = 0.1", "factor = 1.5", 21, "between 0 and 1"),
            ("floor = 0.0", "floor = nan", 22, ""),
            ("frame = 4", "frame = 65", 25, "between 0 and 64"),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(error.line(), Some(line), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
