//! `mirage trim`

use comfy_table::Table;
use mirage_calibration::trim::{Drift, TrimPlan};

use crate::args::TrimArgs;
use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::devices::{self, Question};
use crate::study::training::Setup;
use crate::study::trim::{NOTHING, TrimReport, Trimming, UnitRow};

pub fn run(args: &TrimArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let gemm = design.gemm(seed)?;
    let (memory, interval) = (args.drift_memory.si(), args.look_every.si());
    if !(interval > 0.0 && interval < memory) {
        return Err(CliError::message(
            "--look-every must be above zero and below --drift-memory: drift is followed within its memory",
        ));
    }
    let rows = gemm.placement.rows;
    if args.rows > rows {
        return Err(CliError::message(format!(
            "--rows {}: the rows of a unit that are trimmed, but the design's units have {rows} (system.rows); give 1 to {rows}",
            args.rows
        )));
    }
    let folder = Folder::create(&args.output)?;
    let stop = Stop::on_signals()?;
    let setup = Setup { stop: stop.clone(), ..Setup::new(&design, args.common.seed, progress)? };
    let operands = devices::operands_named(&args.operands, &setup, &gemm)?;
    let question = Question { stop, ..Question::new(&design, gemm, operands, seed, progress) };
    let solution = question.solve()?;
    let trimming = Trimming {
        question: &question,
        solution: &solution,
        chip: args.chip,
        rows: args.rows,
        repeats: args.repeats,
        plan: TrimPlan { reads: args.reads, passes: args.passes },
        curve: args.curve.clone(),
        looks: Drift { deviation: 0.0, memory, interval, reads: args.look_reads, looks: args.looks },
    };
    let report = trimming.run(&folder)?;
    let verdict = &report.verdict;
    let required = solution.tolerances.iter().map(|s| (s.tolerance.key(), s.value));
    let summary = serde_json::json!({
        "chip": args.chip, "laser_power_w": solution.laser_power, "target": question.point.target,
        "required": required.collect::<std::collections::BTreeMap<_, _>>(),
        "reached": verdict.reached, "verdict": verdict.words, "worst": verdict,
        "units": report.units, "reads": report.reads, "limits": report.limits, "drift": report.drift,
    });
    folder.json("summary.json", &summary)?;
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&summary)?);
        return Ok(());
    }
    say!("{}", table(&report));
    say!("{}", verdict.words);
    say!(
        "modulus {} with a limit lifted, held against the same trimmings pair by pair:",
        verdict.worst_modulus
    );
    let lifted = report.limits.iter().filter(|l| l.modulus == verdict.worst_modulus && l.lifted != NOTHING);
    lifted.for_each(|l| {
        say!("  {}: {:.1e} +- {:.1e}, {}", l.lifted, l.error_rate, l.standard_error, l.words())
    });
    report.drift.iter().for_each(|row| say!("{}", row.words()));
    say!("results in {}", folder.path().display());
    Ok(())
}

/// One line for each unit: means over its repeats, and the range of its error rates.
fn table(report: &TrimReport) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "modulus",
        "row",
        "error rate as made",
        "trimmed, mean",
        "of repeats",
        "phase as made (mrad rms)",
        "trimmed",
        "reads",
        "settings",
        "codes moved",
    ]);
    for first in report.units.iter().filter(|u| u.repeat == 0) {
        let own = || report.units.iter().filter(|u| (u.modulus, u.row) == (first.modulus, first.row));
        let mean = |of: fn(&UnitRow) -> f64| own().map(of).sum::<f64>() / own().count() as f64;
        let rates = || own().map(|u| u.error_rate_after);
        let [low, high] = [rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max)];
        table.add_row([
            first.modulus.to_string(),
            first.row.to_string(),
            format!("{:.2}", first.error_rate_before),
            format!("{:.1e}", mean(|u| u.error_rate_after)),
            format!("{low:.1e} to {high:.1e}"),
            format!("{:.0}", 1e3 * first.phase_rms_before_rad),
            format!("{:.1}", 1e3 * mean(|u| u.phase_rms_after_rad)),
            format!("{:.0}", mean(|u| u.reads as f64)),
            format!("{:.0}", mean(|u| u.settings as f64)),
            format!("{:.0}", mean(|u| u.codes_moved as f64)),
        ]);
    }
    table
}
