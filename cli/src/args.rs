//! The command line.

mod calibrate;
mod training;

use std::path::PathBuf;

use crate::study::stream::{NoiseSeed, Sampling};
use mirage_design::Time;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use calibrate::CalibrateArgs;
pub use training::{ArithmeticName, LevelName, OnDivergenceName, SlipCodeArgs, TolerateArgs, TrainArgs};

/// From the laser to the loss curve: simulate a photonic accelerator that trains neural networks.
///
/// A design file (TOML) describes devices, units, chip and training. Without one, the built-in design is used;
/// `mirage design show` prints it with the source of every number.
#[derive(Debug, Parser)]
#[command(name = "mirage", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Everything: characterise the devices, train a network on their errors, simulate the chip, write a report.
    Run(RunArgs),
    /// Turn the devices of a design into a residue channel, error tables and the tolerances they need.
    #[command(visible_alias = "characterise")]
    Characterize(CharacterizeArgs),
    /// Solve a netlist of photonic components: its S-parameters over wavelength.
    Circuit(CircuitArgs),
    /// Stream symbols through the units in time: memory of earlier symbols, eye, constellation, settling.
    Stream(StreamArgs),
    /// Trim a sampled chip as a lab would, reading I and Q of known residues: what it takes, leaves, and what stops it.
    Trim(TrimArgs),
    /// Train a network with every product on the emulated hardware.
    Train(TrainArgs),
    /// From sweeps of the error rate to devices: the rate that training tolerates, and the tolerances that it asks for.
    Tolerate(TolerateArgs),
    /// Which slip code leaves the fewest errors unseen: all codes, judged by a channel and the dot products of training.
    SlipCode(SlipCodeArgs),
    /// Simulate a training step of a network on the chip, tile by tile.
    Simulate(SimulateArgs),
    /// The chip beside systolic arrays of six number formats, at equal energy and at equal area.
    Compare(CompareArgs),
    /// Every published number beside ours: with intervals, what moves them, and what would have to change.
    Reproduce(ReproduceArgs),
    /// Try designs over any keys: time, energy, area and error rate, and which of them nothing beats.
    Explore(ExploreArgs),
    /// Multiply two matrices (.npy, float32) in the arithmetic of a design, with or without errors.
    Gemm(GemmArgs),
    /// Look at a file of S-parameters (INTERCONNECT or Touchstone): ports, range, reciprocity, passivity; convert it.
    Sparam(SparamArgs),
    /// Turn measured spectra into device parameters with uncertainties, ready for a design file.
    Calibrate(CalibrateArgs),
    /// Look at a design file.
    #[command(subcommand)]
    Design(DesignCommand),
}

/// What every long command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Seed of every random draw [default: the design's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(0, u64::MAX))]
    pub seed: Option<u64>,
    /// Threads to use; results do not depend on it [default: all cores].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u16>(1, 1024))]
    pub threads: Option<u16>,
    /// Print the summary as JSON to standard output, and nothing else.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mirage run\n  mirage run my-chip.toml -o runs/my-chip --seed 7\n\n\
    Open report.html in the run folder first; every table and plot in it stands as a CSV beside it.")]
pub struct RunArgs {
    /// Design file [default: the built-in design].
    pub design: Option<PathBuf>,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/mirage")]
    pub output: PathBuf,
    /// A rough look in under a minute: fewer samples, fewer images, one large network, a coarser sweep.
    #[arg(long)]
    pub quick: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    mirage characterize my-chip.toml -o runs/devices\n  \
    mirage characterize --sweep devices.ring.extinction=10dB:40dB:13\n  \
    mirage characterize --sweep devices.laser.power=10mW:200mW:9:log --sweep devices.dac.bits=12:18:7\n  \
    mirage characterize --sweep devices.ring.pass_loss,devices.ring.drop_loss=0dB:0.5dB:6 --resolve\n  \
    mirage characterize --no-sweeps --sobol 256 --yield 100 --chip 7\n  \
    mirage characterize --no-sweeps --invert --importance 20000\n\n\
    Writes channel.csv (P(read | true) for each modulus), operands.csv, errors.csv (error rate over each swept parameter) or sweep.csv,\n\
    requirements.csv (the tolerances that the target needs), variance-budget.csv (where phase errors come from), limit.csv\n\
    (photons per read beside the quantum limit), and plots. docs/outputs.md defines every column.\n\n\
    Ctrl-C stops a long sweep, yield, inversion, sensitivity study or importance sampling and keeps what is finished in the\n\
    folder; the same command goes on from there and gives the same bytes.")]
pub struct CharacterizeArgs {
    /// Design file [default: the built-in design].
    pub design: Option<PathBuf>,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/devices")]
    pub output: PathBuf,
    /// Operands of the units: `training` (those of the small CNN in training), `uniform`, or a groups.csv of a run.
    #[arg(long, value_name = "WHAT", default_value = "training")]
    pub operands: String,
    /// Leave out the usual sweeps (errors.csv).
    #[arg(long)]
    pub no_sweeps: bool,
    /// Sweep any numeric key of the design instead of the usual ones; twice for two dimensions. KEY can be several keys
    /// with commas between them that take the same value.
    #[arg(long, value_name = "KEY=FROM:TO:COUNT[:log|lin]")]
    pub sweep: Vec<String>,
    /// Solve for what the design leaves open (`"required"`) at each point of --sweep, instead of holding the values solved at
    /// the design itself.
    #[arg(long, requires = "sweep")]
    pub resolve: bool,
    #[command(flatten)]
    pub depth: DepthArgs,
    /// Check the channel by plain Monte-Carlo with this many reads of each modulus as well, such as 1000000 (validation.csv).
    #[arg(long, value_name = "READS", allow_negative_numbers = true, value_parser = whole::<u64>(1000, 1_000_000_000))]
    pub monte_carlo: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}

/// Long questions about the devices; each goes on where it was when the same command is given again.
#[derive(Debug, Args)]
pub struct DepthArgs {
    /// Loosest value of each tolerance that still meets the target, at the design's laser power, 1 dB and 3 dB above
    /// (inversion.csv).
    #[arg(long)]
    pub invert: bool,
    /// Check the channel at its own depth: error rates of sampled chips by importance sampling with this many draws for each
    /// modulus, rounded up to 250s, such as 20000 (importance.csv).
    #[arg(long, value_name = "DRAWS", allow_negative_numbers = true, value_parser = whole::<usize>(250, 10_000_000))]
    pub importance: Option<usize>,
    /// Which tolerance matters: Sobol indices of log10 of the error rate from this many base points, best a power of two such
    /// as 256 (sobol.csv).
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true, value_parser = whole::<usize>(8, 65_536))]
    pub sobol: Option<usize>,
    /// Yield over this many sampled chips: the share of units and of chips under the target (yield.csv).
    #[arg(long = "yield", value_name = "CHIPS", allow_negative_numbers = true, value_parser = whole::<u32>(1, 100_000))]
    pub yield_chips: Option<u32>,
    /// Distribution of the error rate over this many samples of the values that carry a `sigma` in the design, such as those of
    /// `mirage calibrate` (spread.csv). What the design leaves open stays as solved.
    #[arg(long, value_name = "SAMPLES", allow_negative_numbers = true, value_parser = whole::<usize>(20, 100_000))]
    pub spread: Option<usize>,
    /// A residue channel for each row of the sampled chip with this number, to run products, training and the system on
    /// (chip-channel.csv); the yield's chips are numbered from 0.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX.into()))]
    pub chip: Option<u32>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mirage stream my-chip.toml --modulus 33 --sampling 95ps -o runs/stream\n\n\
    Writes memory.csv (error rates with what is left of other symbols), channel-with-memory.csv (the residue channel at these\n\
    rates; not where nothing can be read), memory-limits.csv (the longest ring lifetime and the fastest clock), isi.csv (deviation by previous and present level), eye.csv, eye-opening.csv and constellation.csv of one sampled chip, settling.csv (phase error after reprogramming), and\n\
    plots. docs/time-domain.md says what is modelled."
)]
pub struct StreamArgs {
    /// Design file [default: the built-in design].
    pub design: Option<PathBuf>,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/stream")]
    pub output: PathBuf,
    /// Symbols to stream, of each modulus, rounded up to whole chips of 4 tiles of 64 symbols; the constellation shows as many as asked
    /// for, at most 20,000.
    #[arg(long, value_name = "N", default_value_t = 20_000, allow_negative_numbers = true, value_parser = whole::<u64>(1, 10_000_000))]
    pub symbols: u64,
    /// Modulus of eye and constellation [default: the largest].
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = whole::<u32>(2, u32::MAX.into()))]
    pub modulus: Option<u32>,
    /// When the converters sample after the beginning of a symbol: `design` (devices.adc.sampling_time, as in the channel's
    /// jitter), `best-eye`, or a time such as 95ps.
    #[arg(long, value_name = "WHEN", default_value = "design", allow_hyphen_values = true)]
    pub sampling: Sampling,
    /// Another seed for the noise in the constellation: `N` for all sources, or `SOURCE=N` for one of shot, front-end,
    /// intensity, laser-phase, dac, adc, jitter; may be repeated. Chip and symbols stay [default: --seed for all].
    #[arg(long, value_name = "[SOURCE=]N")]
    pub noise_seed: Vec<NoiseSeed>,
    /// Operands of the units: `training` (those of the small CNN in training), `uniform`, or a groups.csv of a run.
    #[arg(long, value_name = "WHAT", default_value = "training")]
    pub operands: String,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mirage trim my-chip.toml --rows 4 --reads 64 -o runs/trim\n\n\
    Writes trim.csv (each dot-product unit as made and trimmed, repeat by repeat), trim-steps.csv (after each step), trim-phases.csv (each stage),\n\
    trim-reads.csv (error rate over reads), trim-limits.csv (what a finer trim, a finer DAC or more reads would do), drift.csv and\n\
    drift-looks.csv (following the drift), and plots. docs/trimming.md says what is modelled.")]
pub struct TrimArgs {
    /// Design file [default: the built-in design].
    pub design: Option<PathBuf>,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/trim")]
    pub output: PathBuf,
    /// Number of the sampled chip; its paths are those of the same chip in `characterize --chip`.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX.into()))]
    pub chip: u32,
    /// How many rows of the chip's first unit are trimmed, from the first on, each with a dot-product unit for every modulus; at most
    /// `system.rows` of the design.
    #[arg(long, value_name = "N", default_value_t = 2, allow_negative_numbers = true, value_parser = whole::<u32>(1, 256))]
    pub rows: u32,
    /// How often each unit is trimmed, always from as made and with other noise: the scatter of all results comes from it.
    #[arg(long, value_name = "N", default_value_t = 4, allow_negative_numbers = true, value_parser = whole::<u32>(2, 256))]
    pub repeats: u32,
    /// Reads that each angle is averaged over.
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true, value_parser = whole::<u32>(1, 65_536))]
    pub reads: u32,
    /// How often the code of a level may be moved and read again.
    #[arg(long, value_name = "N", default_value_t = 4, allow_negative_numbers = true, value_parser = whole::<u32>(1, 100))]
    pub passes: u32,
    /// Reads for each angle in the curve of error rate over reads.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "1,4,16,64,256", value_parser = whole::<u32>(1, 65_536))]
    pub curve: Vec<u32>,
    /// Time over which drift forgets.
    #[arg(long, value_name = "TIME", default_value = "1 s")]
    pub drift_memory: Time,
    /// Time from one look at the drift to the next.
    #[arg(long, value_name = "TIME", default_value = "2 ms")]
    pub look_every: Time,
    /// Known vectors that are read at each look.
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true, value_parser = whole::<u32>(1, 65_536))]
    pub look_reads: u32,
    /// Looks.
    #[arg(long, value_name = "N", default_value_t = 2000, allow_negative_numbers = true, value_parser = whole::<u32>(1, 100_000))]
    pub looks: u32,
    /// Operands of the units: `training` (those of the small CNN in training), `uniform`, or a groups.csv of a run.
    #[arg(long, value_name = "WHAT", default_value = "training")]
    pub operands: String,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SolverName {
    /// Forward where the circuit allows it, general otherwise.
    Auto,
    /// In order from inputs to outputs: fast, for circuits without loops.
    Forward,
    /// With all loops and reflections.
    General,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mirage circuit data/circuits/mzi.yml --wavelength 1.50um:1.58um:2001 -o s.csv --plot\n  \
    mirage circuit data/circuits/mzi.yml --set long.length=60 --set split.coupling=0.3\n  mirage circuit --list\n\n\
    Reads netlists as SAX and gdsfactory write them (YAML or JSON); docs/circuits.md describes the form. Writes\n\
    wavelength_um,out,in,re,im for every pair of ports between which light can run; other elements are zero."
)]
pub struct CircuitArgs {
    /// Netlist, YAML or JSON.
    #[arg(required_unless_present = "list")]
    pub netlist: Option<PathBuf>,
    /// Wavelengths FROM:TO:COUNT, or one wavelength.
    #[arg(long, value_name = "RANGE", default_value = "1.50um:1.60um:1001", allow_hyphen_values = true)]
    pub wavelength: String,
    /// Another setting for a part, such as arm.length=12.5, in the setting's unit or with one (12.5um); may be repeated.
    #[arg(long, value_name = "PART.SETTING=VALUE")]
    pub set: Vec<String>,
    /// File for the S-parameters [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Solver.
    #[arg(long, value_enum, default_value_t = SolverName::Auto)]
    pub solver: SolverName,
    /// Draw |S|^2 over wavelength beside the output, as SVG.
    #[arg(long, requires = "output")]
    pub plot: bool,
    /// Write a Touchstone file as well, .sNp for N ports, in the convention e^{-i omega t}.
    #[arg(long, value_name = "FILE")]
    pub touchstone: Option<PathBuf>,
    /// Take this cell of the netlist as the circuit [default: top_level, or the first].
    #[arg(long, value_name = "NAME")]
    pub cell: Option<String>,
    /// Leave out settings that a component does not know, with a warning, such as gdsfactory's settings of the layout.
    #[arg(long)]
    pub lenient: bool,
    /// List the components with their ports and settings.
    #[arg(long, conflicts_with = "netlist")]
    pub list: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mirage simulate --network resnet50 --batch 256\n  mirage simulate --gemms gemms.csv --channel channel.csv --operands operands.csv\n\n\
    Writes layers.csv (time, utilisation and energy of each layer and pass), energy.csv (by component) and plots."
)]
pub struct SimulateArgs {
    /// Design file [default: the built-in design].
    #[arg(long, value_name = "FILE")]
    pub design: Option<PathBuf>,
    /// Network: one of the built-in seven, or `all`.
    #[arg(long, value_name = "NAME", default_value = "all", conflicts_with_all = ["layers", "gemms", "onnx", "scale_sim"])]
    pub network: String,
    /// A layer table of your own, in the form of data/workloads/*.csv.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["gemms", "onnx", "scale_sim"])]
    pub layers: Option<PathBuf>,
    /// A list of products: network,layer,pass,M,K,N,repeats. Each has operands of its own and waits for none.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["onnx", "scale_sim", "chips"])]
    pub gemms: Option<PathBuf>,
    /// A network as an ONNX graph; weights may be missing.
    #[arg(long, value_name = "FILE", conflicts_with = "scale_sim")]
    pub onnx: Option<PathBuf>,
    /// The size of a named axis of the ONNX graph, such as seq=128; once for each axis but the batch.
    #[arg(long, value_name = "NAME=SIZE", requires = "onnx", conflicts_with_all = ["network", "layers", "gemms", "scale_sim"])]
    pub axis: Vec<String>,
    /// A SCALE-Sim topology (CSV).
    #[arg(long, value_name = "FILE")]
    pub scale_sim: Option<PathBuf>,
    /// Images (or sentences) of the training step, on all chips together [default: the design's].
    #[arg(long, value_name = "N", conflicts_with = "gemms", allow_negative_numbers = true, value_parser = whole::<u64>(1, u64::MAX))]
    pub batch: Option<u64>,
    /// Steps to simulate one after the other; the results are their means.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u32>(1, 100_000))]
    pub steps: u32,
    /// Chips that share the batch and sum their gradients over a ring of links.
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = whole::<u64>(1, 65_536))]
    pub chips: u64,
    /// Samples of the data set: with --epochs, extrapolates the whole run from the simulated steps.
    #[arg(long, value_name = "N", requires = "epochs", conflicts_with = "gemms", allow_negative_numbers = true, value_parser = whole::<u64>(1, u64::MAX))]
    pub samples: Option<u64>,
    /// Epochs of the whole run.
    #[arg(long, value_name = "N", requires = "samples", conflicts_with = "gemms", allow_negative_numbers = true, value_parser = whole::<u64>(1, u64::MAX))]
    pub epochs: Option<u64>,
    /// Write what each part of the chip did when, as JSON for a trace viewer (ui.perfetto.dev); needs a single network.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Intervals of the trace: what a part did within one is drawn one after the other, each thing as long as it took; 0 keeps
    /// everything as it was [default: 0, and coarser by doubling as long as there are more than 150,000 spans].
    #[arg(long, value_name = "SECONDS", requires = "trace", allow_negative_numbers = true, value_parser = grain)]
    pub trace_grain: Option<f64>,
    /// Residue channel (channel.csv of a run) whose detected errors are read again.
    #[arg(long, value_name = "FILE", requires = "operands")]
    pub channel: Option<PathBuf>,
    /// Operand histogram (operands.csv of a run), needed with --channel: decides which share of the errors is detected.
    #[arg(long, value_name = "FILE", requires = "channel")]
    pub operands: Option<PathBuf>,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/system")]
    pub output: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mirage compare\n  mirage compare my-chip.toml --network resnet50 -o runs/compare\n\n\
    Writes compare.csv (each network and array), compare-mean.csv (means over the networks), breakdown.csv (power by component),\n\
    roofline.csv and plots. docs/baselines.md says what is held equal, and what the two scopes are."
)]
pub struct CompareArgs {
    /// Design file [default: the built-in design].
    pub design: Option<PathBuf>,
    /// Network: one of the built-in seven, or `all`.
    #[arg(long, value_name = "NAME", default_value = "all")]
    pub network: String,
    /// Images (or sentences) of the training step [default: the design's].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(1, u64::MAX))]
    pub batch: Option<u64>,
    /// Simulate every array event by event too (compare-events.csv): minutes for all networks, where closed forms take a second.
    #[arg(long)]
    pub events: bool,
    /// Operands that the lasers are solved for: `training`, `uniform`, or a groups.csv of a run.
    #[arg(long, value_name = "WHAT", default_value = "training")]
    pub operands: String,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/compare")]
    pub output: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mirage reproduce -o runs/reproduce\n\n\
    Writes reproduction.md (start here), reproduction.csv (every published number beside ours), headline.csv (the three ratios for\n\
    every format, with intervals), tornado.csv (each recalled input moved alone), needed.csv (what an input would have to be),\n\
    area.csv and plots.")]
pub struct ReproduceArgs {
    /// Design file [default: the built-in design].
    pub design: Option<PathBuf>,
    /// Operands that the lasers are solved for: `training`, `uniform`, or a groups.csv of a run.
    #[arg(long, value_name = "WHAT", default_value = "training")]
    pub operands: String,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/reproduce")]
    pub output: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mirage explore --sweep system.units=2:16:4 --sweep system.rows=16:64:3\n  \
    mirage explore --sweep arithmetic.group=8:24:3 --sweep system.clock=2GHz:10GHz:3 --network resnet18\n  \
    mirage explore --choose \"arithmetic.moduli=[31, 32, 33]; [63, 64, 65]\" --choose arithmetic.mantissa_bits=3;4 --sweep system.units=4:16:3\n\n\
    Writes explore.csv, a line for each design, and explore.svg. Designs that cannot be built, or whose devices cannot reach the\n\
    target, are lines with the reason."
)]
pub struct ExploreArgs {
    /// Design file [default: the built-in design].
    pub design: Option<PathBuf>,
    /// Vary any numeric key of the design; all combinations of several. KEY can be several keys with commas between them that
    /// take the same value.
    #[arg(long, value_name = "KEY=FROM:TO:COUNT[:log|lin]", required_unless_present = "choose")]
    pub sweep: Vec<String>,
    /// Vary any key over values given one by one, such as lists and choices; all combinations with the others.
    #[arg(long, value_name = "KEY=VALUE;VALUE;...")]
    pub choose: Vec<String>,
    /// Another value at a key of the design, before anything is varied; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Network: one of the built-in seven, or `all` (sums over them).
    #[arg(long, value_name = "NAME", default_value = "resnet50")]
    pub network: String,
    /// Operands that the devices are solved for: `training`, `uniform`, or a groups.csv of a run.
    #[arg(long, value_name = "WHAT", default_value = "uniform")]
    pub operands: String,
    /// Folder for the results.
    #[arg(short, long, value_name = "DIR", default_value = "runs/explore")]
    pub output: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mirage gemm A.npy B.npy -o C.npy --channel channel.csv --seed 7")]
pub struct GemmArgs {
    /// First operand, M x K.
    pub a: PathBuf,
    /// Second operand, K x N.
    pub b: PathBuf,
    /// The product, M x N.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Design file, of which only the section `arithmetic` is used [default: the built-in design].
    #[arg(long, value_name = "FILE")]
    pub design: Option<PathBuf>,
    /// Residue channel to read through [default: no errors].
    #[arg(long, value_name = "FILE")]
    pub channel: Option<PathBuf>,
    /// Use the plain reference that forms every residue; the result is the same, bit for bit.
    #[arg(long)]
    pub reference: bool,
    #[command(flatten)]
    pub common: Common,
}

/// What to do about a table that emits more than it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PassivityChoice {
    /// Take the numbers as they are.
    Ignore,
    /// Refuse a table with a singular value above one.
    Test,
    /// Lower the singular values above one to one.
    Enforce,
}

/// The sign of time in a file's phasors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConventionName {
    /// e^{-i omega t}, as in optics; what SAX writes.
    Optics,
    /// e^{+j omega t}, as network analysers have it.
    Engineering,
}

impl From<ConventionName> for mirage_devices::files::TimeConvention {
    fn from(name: ConventionName) -> Self {
        match name {
            ConventionName::Optics => Self::Optics,
            ConventionName::Engineering => Self::Engineering,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mirage sparam data/siepic-fdtd/ybranch_te1550.sparam\n  \
    mirage sparam coupler.sparam --passivity enforce -o coupler.s4p\n\n\
    Reads .sparam, .dat and .txt as INTERCONNECT, .s1p, .s2p, ... as Touchstone. Writes Touchstone (.sNp) or CSV.")]
pub struct SparamArgs {
    /// The file.
    pub file: PathBuf,
    /// Mode of an INTERCONNECT file [default: the first].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX.into()))]
    pub mode: Option<u32>,
    /// Values of the parameters that an INTERCONNECT file sweeps, as name=value;name=value.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub sweep: String,
    /// Sign of time in a Touchstone file that is read [default: optics].
    #[arg(long, value_enum)]
    pub convention: Option<ConventionName>,
    /// What to do about singular values above one.
    #[arg(long, value_enum, default_value_t = PassivityChoice::Ignore)]
    pub passivity: PassivityChoice,
    /// Convert to this file: .sNp for Touchstone, .csv for columns wavelength_um,out,in,re,im.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Sign of time in a Touchstone file that is written.
    #[arg(long, value_enum, default_value_t = ConventionName::Optics, requires = "output")]
    pub output_convention: ConventionName,
    /// Print the summary as JSON to standard output, and nothing else.
    #[arg(long)]
    pub json: bool,
}

/// A whole number on the command line, from `low` to `high`.
fn whole<T: TryFrom<u64> + Clone + Send + Sync + 'static>(
    low: u64,
    high: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|n| (low..=high).contains(n));
        number.and_then(|n: u64| T::try_from(n).ok()).ok_or_else(|| match high {
            u64::MAX => format!("a whole number of at least {low} is needed, in digits alone"),
            _ => format!("a whole number from {low} to {high} is needed, in digits alone"),
        })
    }
}

/// A time on the command line, s.
fn grain(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=1e3).contains(seconds));
    seconds.ok_or_else(|| "a time in seconds is needed, from 0 to 1000, such as 1e-6".to_owned())
}

#[derive(Debug, Subcommand)]
pub enum DesignCommand {
    /// Read a design file and say what is wrong with it.
    Check {
        /// Design file [default: the built-in design].
        design: Option<PathBuf>,
    },
    /// Print a design: as a table of values with source and mark, or as its text.
    Show {
        /// Design file [default: the built-in design].
        design: Option<PathBuf>,
        /// Print the text, ready to be edited.
        #[arg(long)]
        text: bool,
        /// Print the table as JSON.
        #[arg(long)]
        json: bool,
    },
}
