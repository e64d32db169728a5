//! Training runs, their tables and plots.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use comfy_table::Table;
use mirage_arithmetic::{Counters, GemmConfig, GemmEntry, GroupSample, OperandHistogram, ResidueChannel};
use mirage_training::{
    Arithmetic, Baseline, CLASSES, Dataset, Examples, LANGUAGE_NETWORKS, Label, LayerRecord, Level, Network,
    Outcome, Part, Plan, PlanResult, Sequences, Task, TextKind, TrainConfig, Translation, epoch_gemm_list,
    fashion_mnist_subset, operand_histogram, run_all, translations, write_records,
};
use serde::Serialize;

use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::stop::Stop;

/// Images and steps from which operands are counted: enough for a histogram, a small part of an epoch.
const OBSERVED_IMAGES: usize = 2000;
const OBSERVED_EVERY: u64 = 8;

/// What is trained on what.
pub struct Setup {
    pub network: Network,
    pub data: Box<dyn Examples>,
    /// The same, where they are sentence pairs.
    pub pairs: Option<Sequences>,
    /// In words, for reports and headers.
    pub data_name: String,
    pub config: TrainConfig,
    pub progress: Progress,
    /// Asked to stop by the user.
    pub stop: Stop,
}

/// What of the command line stands in place of the design.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    pub network: Option<&'a str>,
    pub data: Option<&'a Path>,
    pub level: Option<Level>,
    pub seed: Option<u64>,
}

impl Setup {
    /// The design's network and settings on the built-in images or text.
    pub fn new(design: &Design, seed: Option<u64>, progress: Progress) -> Result<Self> {
        Self::of(design, Given { seed, ..Given::default() }, progress)
    }

    /// The design's settings, on other data and with a network of another name if they are given.
    pub fn of(design: &Design, given: Given<'_>, progress: Progress) -> Result<Self> {
        let name = given.network.unwrap_or(&design.training.network);
        Network::check_name(name)?;
        if LANGUAGE_NETWORKS.contains(&name) {
            return Self::text(design, name, given, progress);
        }
        if given.level.is_some() {
            return Err(CliError::message(format!(
                "--level is for networks that read text ({}); {name} does not",
                LANGUAGE_NETWORKS.join(", ")
            )));
        }
        let (data, data_name) = match given.data {
            Some(folder) => (Dataset::from_folder(folder)?, format!("images of {}", folder.display())),
            None => (fashion_mnist_subset()?, "the built-in Fashion-MNIST subset".to_owned()),
        };
        let network = Network::by_name(name, data.train().shape(), CLASSES)?;
        let config = design.train_config(name, given.seed);
        Ok(Self {
            network,
            data: Box::new(data),
            pairs: None,
            data_name,
            config,
            progress,
            stop: Stop::default(),
        })
    }

    /// A network that reads text.
    fn text(design: &Design, name: &str, given: Given<'_>, progress: Progress) -> Result<Self> {
        let section = design.training.text(name).ok_or_else(|| {
            CliError::message(format!(
                "{}: {name} needs a section [training.{}]; `mirage design show` prints the built-in one",
                design.document.file(),
                if name == "translation" { name } else { "language" }
            ))
        })?;
        let kind = if name == "translation" { TextKind::Pairs } else { TextKind::Plain };
        let mut options = section.options();
        options.level = given.level.unwrap_or(options.level);
        let (data, from) = match given.data {
            Some(path) => (Sequences::open(path, kind, options)?, path.display().to_string()),
            None => (Sequences::sample(kind, options)?, "the built-in sample".to_owned()),
        };
        let what = if kind == TextKind::Pairs { "sentence pairs" } else { "text" };
        let mut data_name = format!("{what} of {from}, {} by {}", options.level.name(), options.level.name());
        if data.left_out() > 0 {
            data_name +=
                &format!(", without {} with more than {} in a sentence", data.left_out(), options.length);
        }
        let network = Network::language(name, data.sides(), *section.dropout)?;
        let config = section.config(design.train_config(name, given.seed).seed);
        let pairs = (kind == TextKind::Pairs).then(|| data.clone());
        Ok(Self { network, data: Box::new(data), pairs, data_name, config, progress, stop: Stop::default() })
    }

    /// Name of the operands that training this gives.
    pub fn operands_name(&self) -> String {
        format!("{} in training on {}, first operand stationary", self.network.name(), self.data_name)
    }
}

/// The outcome of one run, for tables and the summary.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    pub arithmetic: String,
    pub protection: String,
    pub error_shape: String,
    pub rate: Option<f64>,
    pub seed: u64,
    pub accuracy: Option<f64>,
    pub test_loss: Option<f64>,
    pub perplexity: Option<f64>,
    pub last_loss: Option<f64>,
    pub outcome: String,
    pub diverged: bool,
    pub residues: u64,
    pub wrong: u64,
    pub detected: u64,
    pub corrected: u64,
    pub repeated: u64,
    pub exhausted: u64,
    pub silent: u64,
}

/// The operands that the units meet in the first part of an epoch, without errors: how often each occurs, and whole reads.
pub fn operands(setup: &Setup, gemm: &GemmConfig) -> Result<(OperandHistogram, GroupSample)> {
    let data = setup.data.few(OBSERVED_IMAGES, 100);
    let config = TrainConfig { epochs: 1, ..setup.config.clone() };
    let bar = setup.progress.bar(1, "operands of training");
    let task = Task { network: &setup.network, data: data.as_ref(), config: &config, weights: None };
    let operands = operand_histogram(task, gemm, OBSERVED_EVERY, setup.stop.flag())?;
    bar.finish_and_clear();
    setup.stop.check()?;
    Ok(operands)
}

/// [`operands`], written to operands.csv and groups.csv.
pub fn written_operands(
    folder: &Folder,
    setup: &Setup,
    gemm: &GemmConfig,
) -> Result<(OperandHistogram, GroupSample)> {
    let operands = operands(setup, gemm)?;
    folder.write("operands.csv", |out| operands.0.write_csv(out))?;
    folder.write("groups.csv", |out| operands.1.write_csv(out))?;
    Ok(operands)
}

/// FP32, block floating point without errors, and the design's channel: same seed, same batches.
pub fn comparison(setup: &Setup, gemm: &GemmConfig, channel: &ResidueChannel) -> Vec<Plan> {
    let config = || setup.config.clone();
    vec![
        Plan::new(Arithmetic::Fp32, "", config()),
        Plan::new(Arithmetic::Bfp(gemm.clone()), "", config()),
        Plan::new(Arithmetic::Mirage(gemm.clone(), Box::new(channel.clone())), "design", config()),
    ]
}

/// Does the runs, with a bar over their steps, until the user asks to stop.
pub fn run(setup: &Setup, plans: &[Plan], what: &str) -> Result<Vec<PlanResult>> {
    let steps = |p: &Plan| {
        let per_epoch = setup.data.count(Part::Train).div_ceil(p.config.batch.max(1)) as u64;
        per_epoch * u64::from(p.config.epochs)
    };
    let bar = setup.progress.bar(plans.iter().map(steps).sum(), what);
    let done: Vec<AtomicU64> = plans.iter().map(|_| AtomicU64::new(0)).collect();
    let results = run_all(&setup.network, setup.data.as_ref(), plans, setup.stop.flag(), &|plan, record| {
        let before = done[plan].swap(record.step, Ordering::Relaxed);
        let resumed = plans[plan].checkpoints.as_ref().is_some_and(|c| c.resume);
        if before == 0 && resumed {
            // But for those since the record before, its steps are of an earlier run.
            let earlier = record.step.saturating_sub(plans[plan].config.record_every.into());
            bar.skip(earlier);
            return bar.inc(record.step - earlier);
        }
        bar.inc(record.step.saturating_sub(before));
    })?;
    bar.finish_and_clear();
    for damaged in results.iter().flat_map(|result| &result.damaged) {
        eprintln!("warning: {damaged}; an older checkpoint was used");
    }
    Ok(results)
}

/// Summaries of runs, in their order.
pub fn summaries(results: &[PlanResult]) -> Vec<RunSummary> {
    results.iter().map(summary).collect()
}

fn summary(result: &PlanResult) -> RunSummary {
    let Label { arithmetic, protection, error_shape, rate, seed } = result.label.clone();
    let c: Counters = result.run.training.total();
    RunSummary {
        arithmetic,
        protection,
        error_shape,
        rate,
        seed,
        accuracy: result.run.test_accuracy,
        test_loss: result.run.test_loss,
        perplexity: result.records.last().and_then(|r| r.perplexity),
        last_loss: result.records.last().map(|r| r.loss),
        outcome: match &result.run.outcome {
            Outcome::Finished => match &result.run.divergence {
                Some(first) => format!("finished; {} steps skipped, first: {first}", result.run.skipped),
                None => "finished".into(),
            },
            Outcome::Diverged(d) => format!("diverged: {d}"),
            Outcome::Cancelled => "cancelled".into(),
        },
        diverged: result.run.outcome.is_diverged(),
        residues: c.residues,
        wrong: c.wrong,
        detected: c.detected,
        corrected: c.corrected,
        repeated: c.repeated,
        exhausted: c.exhausted,
        silent: c.silent,
    }
}

/// Test accuracy of each run at the end of an epoch, where it got that far.
pub fn accuracies_after(results: &[PlanResult], epoch: u32) -> Vec<(String, f64)> {
    let at = |r: &PlanResult| {
        let record = r.records.iter().find(|record| record.epoch == epoch && record.test_accuracy.is_some());
        record.and_then(|record| Some((r.label.arithmetic.clone(), record.test_accuracy?)))
    };
    results.iter().filter_map(at).collect()
}

/// Writes training.csv and training-layers.csv.
pub fn write(folder: &Folder, network: &Network, results: &[PlanResult]) -> Result<()> {
    folder.write("training.csv", |out| write_records(out, results.iter().flat_map(|r| &r.records)))?;
    let layers: Vec<_> = results.iter().flat_map(|r| r.layers(network)).collect();
    if layers.is_empty() {
        // Nothing was read in residues: a table without lines.
        return folder.table("training-layers.csv", &LayerRecord::COLUMNS, Vec::<Vec<String>>::new());
    }
    folder.write("training-layers.csv", |out| write_records(out, &layers))
}

/// The products of a whole run, all epochs: what the system simulates as "the network that is trained".
pub fn gemms(setup: &Setup) -> Vec<GemmEntry> {
    let mut list = epoch_gemm_list(&setup.network, setup.data.count(Part::Train), setup.config.batch);
    for entry in &mut list {
        entry.repeats *= u64::from(setup.config.epochs);
    }
    list
}

/// A table of runs for the terminal.
pub fn table(runs: &[RunSummary]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "arithmetic",
        "protection",
        "errors",
        "seed",
        "accuracy",
        "test loss",
        "wrong",
        "detected",
        "corrected",
        "repeated",
        "silent",
        "outcome",
    ]);
    for r in runs {
        let errors = r.rate.map_or(String::new(), |p| format!("{} at {p:.2e}", r.error_shape));
        let accuracy = r.accuracy.map_or(String::new(), |a| format!("{:.1} %", 100.0 * a));
        let loss = match (r.test_loss, r.perplexity) {
            (Some(loss), Some(perplexity)) => format!("{loss:.4} (perplexity {perplexity:.2})"),
            (Some(loss), None) => format!("{loss:.4}"),
            (None, _) => String::new(),
        };
        let counts = [r.wrong, r.detected, r.corrected, r.repeated, r.silent].map(|n| n.to_string());
        let names = [r.arithmetic.clone(), r.protection.clone(), errors, r.seed.to_string(), accuracy, loss];
        table.add_row(names.into_iter().chain(counts).chain([r.outcome.clone()]));
    }
    table
}

/// Writes baseline.csv where there are simple models to compare with, and gives them.
pub fn baselines(folder: &Folder, setup: &Setup) -> Result<Vec<Baseline>> {
    let baselines = setup.data.baselines();
    if !baselines.is_empty() {
        folder.rows("baseline.csv", &baselines)?;
    }
    Ok(baselines)
}

/// Simple models, a line each.
pub fn baseline_lines(baselines: &[Baseline]) -> String {
    let line = |b: &Baseline| {
        format!(
            "{} on the same {} tokens: test loss {:.4} (perplexity {:.2})\n",
            b.model, b.tokens, b.test_loss, b.perplexity
        )
    };
    baselines.iter().map(line).collect()
}

/// Sentences of translations.csv for each run.
const TRANSLATED: usize = 12;

/// One line of translations.csv.
#[derive(Serialize)]
struct Translated {
    arithmetic: String,
    protection: String,
    error_shape: String,
    rate: Option<f64>,
    seed: u64,
    source: String,
    reference: String,
    output: String,
}

/// Writes translations.csv, where sentences are translated: what each run makes of the first held-out ones.
pub fn write_translations(
    folder: &Folder,
    setup: &Setup,
    plans: &[Plan],
    results: &[PlanResult],
) -> Result<()> {
    let Some(pairs) = &setup.pairs else { return Ok(()) };
    let mut rows = Vec::new();
    for (plan, result) in plans.iter().zip(results) {
        let gemm = plan.arithmetic.gemm(plan.config.seed)?;
        let said = translations(&setup.network, &result.run.parameters, pairs, gemm.as_ref(), TRANSLATED);
        for Translation { source, reference, output } in said.into_iter().flatten() {
            let Label { arithmetic, protection, error_shape, rate, seed } = result.label.clone();
            rows.push(Translated {
                arithmetic,
                protection,
                error_shape,
                rate,
                seed,
                source,
                reference,
                output,
            });
        }
    }
    folder.rows("translations.csv", &rows)
}
