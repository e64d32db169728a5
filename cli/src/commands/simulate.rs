//! `mirage simulate`

use std::path::Path;

use mirage_arithmetic::{GemmEntry, ResidueChannel};
use mirage_system::import::{Imported, read_onnx, read_scale_sim};
use mirage_system::workload::Step;
use mirage_system::{
    Chip, ErrorBasis, Network, Options, RunResult, StepResult, builtin, steps_of_run, trace,
};

use crate::args::SimulateArgs;
use crate::design::Design;
use crate::error::{CliError, Result, open_text, read_text};
use crate::folder::{Folder, number, write_whole};
use crate::progress::Progress;
use crate::study::training::Setup;
use crate::study::{devices, system};

/// Spans of a trace whose grain is not given: some 20 MB of JSON, which viewers take without effort.
const MOST_SPANS: usize = 150_000;

/// What is simulated.
enum Work {
    Steps(Vec<Step>),
    Products(Vec<GemmEntry>),
}

pub fn run(args: &SimulateArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let gemm = design.gemm(seed)?;
    let work = work(args, &design)?;
    if let (Some(samples), Some(epochs)) = (args.samples, args.epochs) {
        steps_of_run(samples, args.batch.unwrap_or(*design.system.batch), epochs)
            .map_err(|e| CliError::message(format!("--samples {samples} --epochs {epochs}: {e}")))?;
    }
    let histogram = args.operands.as_deref().map(|path| devices::histogram(path, &gemm)).transpose()?;
    let repeats = match (&args.channel, &histogram) {
        (Some(path), Some(operands)) => {
            let channel = ResidueChannel::read_csv(
                open_text(path, "a residue channel (CSV)")?,
                &path.display().to_string(),
            )?;
            channel.check(&gemm.moduli, &gemm.code)?;
            system::repeat_model(&gemm, &channel, operands)?
        }
        _ => None,
    };
    let folder = Folder::create(&args.output)?;
    let setup = Setup::new(&design, args.common.seed, progress)?;
    let operands = devices::operands_named("training", &setup, &gemm)?;
    let budget = devices::budget_of(&design, operands, seed, progress)?;
    let chip = system::chip(&design.system, &gemm, &budget)?;
    // Picoseconds are the ticks of the simulation. Without a grain, every span is kept as long as there are not too many.
    let grain = args.trace.as_ref().map(|_| (args.trace_grain.unwrap_or(0.0) * 1e12).round() as u64);
    let trace_spans = if args.trace_grain.is_some() { 0 } else { MOST_SPANS };
    let options = Options { repeats, seed, steps: args.steps, chips: args.chips, trace: grain, trace_spans };
    let results = simulate(&chip, &work, &options, progress)?;
    system::write(&folder, &results)?;
    let runs = whole_runs(args, &design, &folder, &results)?;
    system::draw(&folder, &results)?;
    if let (Some(path), [only]) = (&args.trace, &results[..]) {
        write_whole(path, trace::to_json(&only.spans, &only.bars, only.grain).as_bytes())?;
    }
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    say(args, &results, &runs, &folder)
}

fn simulate(chip: &Chip, work: &Work, options: &Options, progress: Progress) -> Result<Vec<StepResult>> {
    match work {
        Work::Steps(steps) => system::simulate(chip, steps, options, progress, "simulating"),
        Work::Products(entries) => system::simulate_products(chip, entries, options),
    }
}

/// Extrapolates the whole run, and writes run.csv.
fn whole_runs(
    args: &SimulateArgs,
    design: &Design,
    folder: &Folder,
    results: &[StepResult],
) -> Result<Vec<RunResult>> {
    let (Some(samples), Some(epochs)) = (args.samples, args.epochs) else { return Ok(Vec::new()) };
    let batch = args.batch.unwrap_or(*design.system.batch);
    let runs = results
        .iter()
        .map(|result| Ok(result.extrapolate(samples, batch, epochs)?))
        .collect::<Result<Vec<RunResult>>>()?;
    let header = [
        "network",
        "chips",
        "samples",
        "epochs",
        "steps",
        "steps_simulated",
        "seconds",
        "seconds_error",
        "error_basis",
        "joules",
        "joules_error",
        "reads",
        "reads_repeated_expected",
    ];
    let chips = args.chips as f64;
    let rows = results.iter().zip(&runs).map(|(result, run)| {
        vec![
            result.network.network.clone(),
            args.chips.to_string(),
            samples.to_string(),
            epochs.to_string(),
            run.steps.to_string(),
            run.simulated.to_string(),
            number(run.seconds),
            run.seconds_error.map_or(String::new(), number),
            run.error_basis.text().to_owned(),
            number(run.joules * chips),
            run.joules_error.map_or(String::new(), |error| number(error * chips)),
            number(run.reads * chips),
            number(run.repeats_expected * chips),
        ]
    });
    folder.table("run.csv", &header, rows)?;
    Ok(runs)
}

fn say(args: &SimulateArgs, results: &[StepResult], runs: &[RunResult], folder: &Folder) -> Result<()> {
    if args.common.json {
        let rows = results.iter().enumerate().map(|(index, result)| {
            let mut row = system::summary(&result.network);
            if let Some(run) = runs.get(index) {
                row["run"] = serde_json::json!({
                    "steps": run.steps, "steps_simulated": run.simulated, "seconds": run.seconds,
                    "seconds_error": run.seconds_error, "error_basis": run.error_basis.text(), "joules_per_chip": run.joules,
                    "repeats_expected_per_chip": run.repeats_expected,
                });
            }
            row
        });
        say!("{}", serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?);
        return Ok(());
    }
    say!("{}", system::table(results.iter().map(|result| &result.network)));
    for (result, run) in results.iter().zip(runs) {
        say!(
            "{}: {} steps of {:.4e} s, with as many calibrations as in a long run, from {} simulated: {:.4e} s{} ({}), {:.4e} J on each \
             chip",
            result.network.network,
            run.steps,
            run.seconds / run.steps.max(1) as f64,
            run.simulated,
            run.seconds,
            match (run.error_basis, run.seconds_error) {
                (ErrorBasis::Exact, _) | (_, None) => String::new(),
                (_, Some(error)) => format!(" +- {error:.1e} s"),
            },
            match run.seconds_error {
                None => format!("error {}", run.error_basis.text()),
                Some(_) => run.error_basis.text().to_owned(),
            },
            run.joules
        );
    }
    say!("results in {}", folder.path().display());
    Ok(())
}

fn work(args: &SimulateArgs, design: &Design) -> Result<Work> {
    if let Some(path) = &args.gemms {
        let entries =
            GemmEntry::read_csv(open_text(path, "a list of products (CSV)")?, &path.display().to_string())?;
        let first = entries.first().map(|entry| entry.network.clone());
        let several = entries.iter().any(|entry| Some(&entry.network) != first.as_ref());
        return if several { single(args, 2) } else { Ok(()) }.map(|()| Work::Products(entries));
    }
    let networks = networks(args)?;
    single(args, networks.len())?;
    let batch = args.batch.unwrap_or(*design.system.batch);
    if !batch.is_multiple_of(args.chips) {
        return Err(CliError::message(format!(
            "a batch of {batch} cannot be shared evenly by {} chips: give a --batch that can",
            args.chips
        )));
    }
    let steps = networks.iter().map(|network| Ok(network.step(batch / args.chips, network.optimiser)?));
    Ok(Work::Steps(steps.collect::<Result<_>>()?))
}

/// A trace holds one network.
fn single(args: &SimulateArgs, networks: usize) -> Result<()> {
    if args.trace.is_some() && networks != 1 {
        return Err(CliError::message(
            "--trace needs a single network: name one with --network, or give a list of one".to_owned(),
        ));
    }
    Ok(())
}

fn networks(args: &SimulateArgs) -> Result<Vec<Network>> {
    if let Some(path) = &args.layers {
        let text = read_text(path, "a layer table (CSV)")?;
        return Ok(vec![Network::parse(&text, &path.display().to_string())?]);
    }
    if let Some(path) = &args.onnx {
        let bytes = std::fs::read(path).map_err(|e| CliError::read(path, e))?;
        let axes = args.axis.iter().map(|axis| axis_size(axis)).collect::<Result<Vec<_>>>()?;
        return Ok(vec![imported(read_onnx(&bytes, &path.display().to_string(), &axes)?, path)]);
    }
    if let Some(path) = &args.scale_sim {
        let text = read_text(path, "a SCALE-Sim topology (CSV)")?;
        return Ok(vec![imported(read_scale_sim(&text, &path.display().to_string())?, path)]);
    }
    let names: Vec<&str> = match args.network.as_str() {
        "all" => mirage_system::NETWORKS.to_vec(),
        one => vec![one],
    };
    names.into_iter().map(|name| Ok(builtin(name)?)).collect()
}

/// The network, after a word on what of it was not understood.
fn imported(imported: Imported, path: &Path) -> Network {
    for operator in &imported.unsupported {
        let counted = match operator.elements {
            Some(elements) => format!("counted as {elements} operations of the vector unit"),
            None => "not counted, its size is not known".to_owned(),
        };
        eprintln!(
            "warning: {}: operator {} (node {}) is not known: {counted}",
            path.display(),
            operator.operator,
            operator.node
        );
    }
    for assumed in &imported.assumed {
        eprintln!("note: {}: {assumed}", path.display());
    }
    imported.network
}

fn axis_size(text: &str) -> Result<(String, u64)> {
    let parsed = text.split_once('=').and_then(|(name, size)| Some((name.to_owned(), size.parse().ok()?)));
    parsed.filter(|(_, size)| *size > 0).ok_or_else(|| {
        CliError::message(format!(
            "--axis {text}: a name and a size of at least 1 are needed, such as seq=128"
        ))
    })
}
