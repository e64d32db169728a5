//! The command line of training.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Common, whole};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArithmeticName {
    /// Single precision.
    Fp32,
    /// 16-bit brain floating point, sums in FP32.
    Bfloat16,
    /// Hybrid 8-bit floating point: 1-4-3 for values, 1-5-2 for gradients, sums in FP32.
    Hfp8,
    /// 8-bit integers with a scale for each operand.
    Int8,
    /// 12-bit integers with a scale for each operand.
    Int12,
    /// The design's block floating point with stochastic rounding, without residues.
    Fmac,
    /// Block floating point through residues, without errors.
    Bfp,
    /// The same through the residue channel.
    Mirage,
}

/// Of what text is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    /// Characters.
    Character,
    /// Words in lower case; signs are words.
    Word,
}

impl LevelName {
    pub fn level(self) -> mirage_training::Level {
        match self {
            Self::Character => mirage_training::Level::Character,
            Self::Word => mirage_training::Level::Word,
        }
    }
}

/// What happens when a loss or a gradient is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnDivergenceName {
    /// The run ends before that step's update, and says where it broke.
    Stop,
    /// That step's update is left out, and the run goes on.
    Continue,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mirage train --arithmetic fp32\n  mirage train --arithmetic hfp8 --seeds 3\n  mirage train --arithmetic mirage --channel channel.csv --epochs 5\n  \
    mirage train --network resnet20 --data cifar-10-batches-bin --arithmetic bfp --epochs 10\n  \
    mirage train --sweep error-rate=1e-8:1e-2:7 --error-shape slip --epochs 1 --seeds 3\n  \
    mirage train --sweep devices.laser.power=5mW:150mW:6:log --epochs 1 --seeds 3\n  \
    mirage train --network transformer-lm --arithmetic fp32\n  \
    mirage train --network translation --data pairs.tsv --arithmetic mirage --error-rate 1e-8\n\n\
    Without --channel, --arithmetic mirage characterises the design first. Writes training.csv,\n\
    training-layers.csv (counters by layer and pass), gemms.csv (the products of a run), plots, and for text\n\
    baseline.csv (n-gram models on the same tokens).\n\n\
    Checkpoints lie in the folder `checkpoints` of the results. After Ctrl-C or a crash the same command with --resume goes on\n\
    from the last one, and ends with the same bytes."
)]
pub struct TrainArgs {
    /// Design file [default: the built-in design].
    #[arg(long, value_name = "FILE")]
    pub design: Option<PathBuf>,
    /// Network: small-cnn, resnet20, mobilenet-small, transformer-lm or translation [default: the design's].
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// Folder with IDX files (train-images-idx3-ubyte[.gz] and so on) or the binary version of CIFAR-10 (data_batch_1.bin and
    /// so on) [default: the built-in subset of Fashion-MNIST]; for transformer-lm a text (.txt), for translation sentence pairs
    /// with a tab between (.tsv), the file or its folder [default: the built-in samples].
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Of what text is made, for transformer-lm and translation [default: the design's].
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub level: Option<LevelName>,
    /// Arithmetic of every product.
    #[arg(long, value_enum, default_value_t = ArithmeticName::Mirage)]
    pub arithmetic: ArithmeticName,
    /// Residue channel to read through.
    #[arg(long, value_name = "FILE")]
    pub channel: Option<PathBuf>,
    /// Errors at this mean rate per residue instead of the channel's own: all of its rates times one factor.
    #[arg(long, value_name = "P", value_parser = rate, conflicts_with = "sweep")]
    pub error_rate: Option<f64>,
    /// Shape of errors at a given rate: slip, uniform or design (the channel's own).
    #[arg(long, value_name = "SHAPE")]
    pub error_shape: Option<String>,
    /// Sweep the error rate: `error-rate=FIRST:LAST:COUNT`, spaced evenly on a logarithmic axis; or any numeric key of the design's
    /// `[devices]`, as `mirage characterize --sweep` takes it, such as devices.laser.power=5mW:150mW:6:log: then the
    /// network is trained on the devices as they are at each point (device-tolerance.csv).
    #[arg(long, value_name = "SWEEP")]
    pub sweep: Option<String>,
    /// In a sweep of a key, each seed on a sampled chip of its own (numbered from 0, with a channel for each row), in place of
    /// the average over chips.
    #[arg(long, requires = "sweep")]
    pub sampled_chips: bool,
    /// Protections of a sweep, any of none, read-again, read-again+slip-code, read-again+redundant (one modulus more), correct
    /// (decoding by two moduli more) [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "sweep")]
    pub protection: Vec<String>,
    /// Begin with the weights and running statistics of a checkpoint, of whatever run of the same network.
    #[arg(long, value_name = "CHECKPOINT")]
    pub weights: Option<PathBuf>,
    /// Another value for a key of the design, such as training.deep.learning_rate=0.01; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Passes over the training images, of each run of a sweep too [default: the design's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>(1, 10_000))]
    pub epochs: Option<u32>,
    /// Runs with this many seeds, counted from --seed.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u32>(1, 1000))]
    pub seeds: u32,
    /// What happens when a loss or a gradient is not finite.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnDivergenceName::Stop)]
    pub on_divergence: OnDivergenceName,
    /// Steps between two checkpoints of a run [default: one at the end of each epoch].
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true, value_parser = whole::<u64>(1, u64::MAX))]
    pub checkpoint_every: Option<u64>,
    /// Go on from the last checkpoints in the folder of the results; runs that have none begin.
    #[arg(long)]
    pub resume: bool,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/training")]
    pub output: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mirage train --sweep error-rate=1e-8:1e-2:7 --error-shape slip --seeds 3 -o runs/slip\n  \
    mirage tolerate runs/slip/tolerance.csv\n\n\
    A rate is tolerated if at it and at all lower rates of the sweep no run diverged and the mean accuracy over the seeds is within\n\
    --within points of that without errors. For each such rate the design is solved anew with it as target. Writes tolerated.csv."
)]
pub struct TolerateArgs {
    /// tolerance.csv of sweeps of the error rate.
    #[arg(required = true)]
    pub tolerances: Vec<PathBuf>,
    /// Design file [default: the built-in design].
    #[arg(long, value_name = "FILE")]
    pub design: Option<PathBuf>,
    /// Points of accuracy (per cent) that errors may cost; the mean over three seeds on the 2,000 test images of the built-in set is
    /// itself sure to half a point only.
    #[arg(long, value_name = "POINTS", default_value_t = 2.0, value_parser = points)]
    pub within: f64,
    /// Operands of the units: `training` (those of the design's network in training), `uniform`, or a groups.csv of a run.
    #[arg(long, value_name = "WHAT", default_value = "training")]
    pub operands: String,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/tolerated")]
    pub output: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mirage slip-code\n  mirage slip-code --channel channel.csv --operands operands.csv --error-rate 1e-3\n\n\
    A slip code lays residues on phase levels so that a slip by a level changes the rebuilt value by much, and the range check sees it. It costs\n\
    nothing: the stationary operand is stored times a unit of the modulus, the level read is multiplied by its inverse. Put the changes of\n\
    the best code into arithmetic.slip_code. Writes slip-codes.csv."
)]
pub struct SlipCodeArgs {
    /// Design file [default: the built-in design].
    #[arg(long, value_name = "FILE")]
    pub design: Option<PathBuf>,
    /// Residue channel, for the design's moduli and slip code [default: the design's own].
    #[arg(long, value_name = "FILE")]
    pub channel: Option<PathBuf>,
    /// Dot products that occur, operands.csv of a run [default: those of the design's network in training].
    #[arg(long, value_name = "FILE")]
    pub operands: Option<PathBuf>,
    /// Scale the channel to this mean rate per residue, all of its rates by one factor: the more errors, the more slips of two moduli
    /// matter.
    #[arg(long, value_name = "P", value_parser = rate)]
    pub error_rate: Option<f64>,
    /// Codes to show.
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = whole::<usize>(1, 10_000))]
    pub top: usize,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/slip-code")]
    pub output: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

fn points(text: &str) -> Result<f64, String> {
    let points = text.parse().ok().filter(|p: &f64| (0.0..=100.0).contains(p));
    points.ok_or_else(|| "points of accuracy lie between 0 and 100".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|p: &f64| (0.0..=1.0).contains(p));
    rate.ok_or_else(|| "an error rate lies between 0 and 1".into())
}
