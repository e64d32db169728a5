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
use crate::study::trim::{TrimReport, Trimming};

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
        plan: TrimPlan { reads: args.reads, passes: args.passes },
        curve: args.curve.clone(),
        looks: Drift { deviation: 0.0, memory, interval, reads: args.look_reads, looks: args.looks },
    };
    let report = trimming.run(&folder)?;
    let (reached, verdict) = report.verdict(question.point.target);
    let required = solution.tolerances.iter().map(|s| (s.tolerance.key(), s.value));
    let summary = serde_json::json!({
        "chip": args.chip, "laser_power_w": solution.laser_power, "target": question.point.target,
        "required": required.collect::<std::collections::BTreeMap<_, _>>(),
        "reached": reached, "verdict": verdict,
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
    say!("{verdict}");
    for row in &report.drift {
        say!(
            "modulus {}: drift of {:.2} mrad rms is followed to {:.2} mrad (theory {:.2}); error rate {:.1e} without following, {:.1e} with",
            row.modulus,
            1e3 * row.drift_rms_rad,
            1e3 * row.left_rms_rad,
            1e3 * row.expected_rms_rad,
            row.error_rate_untracked,
            row.error_rate_tracked
        );
    }
    say!("results in {}", folder.path().display());
    Ok(())
}

fn table(report: &TrimReport) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "modulus",
        "row",
        "error rate as made",
        "trimmed",
        "phase as made (mrad rms)",
        "trimmed",
        "reads",
        "settings",
        "codes moved",
    ]);
    for u in &report.units {
        table.add_row([
            u.modulus.to_string(),
            u.row.to_string(),
            format!("{:.2}", u.error_rate_before),
            format!("{:.2e}", u.error_rate_after),
            format!("{:.0}", 1e3 * u.phase_rms_before_rad),
            format!("{:.1}", 1e3 * u.phase_rms_after_rad),
            u.reads.to_string(),
            u.settings.to_string(),
            u.codes_moved.to_string(),
        ]);
    }
    table
}
