//! `mirage stream`

use comfy_table::Table;

use crate::args::StreamArgs;
use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::devices::{self, Question};
use crate::study::stream::{MemoryRow, Settling, Streaming, noise_seeds};
use crate::study::training::Setup;

pub fn run(args: &StreamArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let gemm = design.gemm(seed)?;
    let moduli = gemm.moduli.as_slice();
    let modulus = args.modulus.or(moduli.iter().copied().max()).unwrap_or(2);
    if !moduli.contains(&modulus) {
        return Err(CliError::message(format!("--modulus {modulus}: the design's moduli are {moduli:?}")));
    }
    let folder = Folder::create(&args.output)?;
    let stop = Stop::on_signals()?;
    let setup = Setup { stop: stop.clone(), ..Setup::new(&design, args.common.seed, progress)? };
    let operands = devices::operands_named(&args.operands, &setup, &gemm)?;
    let question = Question { stop, ..Question::new(&design, gemm, operands, seed, progress) };
    let answer = question.answer()?;
    let time = design.devices.time_parameters(design.system.clock.si())?;
    let streaming = Streaming {
        question: &question,
        answer: &answer,
        time,
        sampling: args.sampling,
        symbols: args.symbols as usize,
        noise: noise_seeds(seed, &args.noise_seed),
    };
    let portrait = streaming.portrait(&folder, modulus)?;
    let memory = streaming.memory(&folder)?;
    let settling = streaming.settling(&folder)?;
    let summary = serde_json::json!({
        "clock_hz": time.clock, "laser_power_w": answer.solution.laser_power, "shown_modulus": modulus,
        "sampling_s": portrait.instant, "best_sampling_s": portrait.eye.instant(), "best_opening": portrait.eye.opening(),
        "memory": memory,
        "settling": {
            "program_time_s": answer.solution.parameters.shifters.program_time,
            "design_time_constant_s": answer.solution.parameters.shifters.settling_time,
            "required_time_constant_s": settling.required.map(|r| r.time_constant),
            "unsettled_phase_rad": settling.unsettled, "phase_left_rad": settling.left,
        },
    });
    folder.text("summary.json", &format!("{}\n", serde_json::to_string_pretty(&summary)?))?;
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
        return Ok(());
    }
    println!("{}", table(&memory));
    println!("{}", words(&settling, answer.solution.parameters.shifters.program_time));
    println!("results in {}", folder.path().display());
    Ok(())
}

/// Effective symbols below which the ratio of the streamed symbols says nothing.
const FEWEST: f64 = 30.0;

fn table(memory: &[MemoryRow]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "modulus",
        "sampled at",
        "eye",
        "memory (mrad rms)",
        "worst",
        "rate without",
        "with memory",
        "ratio",
        "ratio of the symbols",
        "rests on",
    ]);
    for row in memory {
        table.add_row([
            row.modulus.to_string(),
            format!("{:.1} ps", row.sampling_s * 1e12),
            format!("{:.1} %", row.eye_opening * 100.0),
            format!("{:.3}", row.phase_rms_rad * 1e3),
            format!("{:.2}", row.phase_worst_rad * 1e3),
            format!("{:.2e}", row.channel_rate),
            format!("{:.2e}", row.channel_rate_with_memory),
            format!("{:.2}", row.ratio),
            if row.effective_symbols < FEWEST {
                "too few symbols".to_owned()
            } else {
                format!("{:.2} ± {:.2}", row.sampled_ratio, row.sampled_ratio_error)
            },
            format!("{:.0} of {}", row.effective_symbols, row.symbols),
        ]);
    }
    table
}

fn words(settling: &Settling, program_time: f64) -> String {
    let (ns, unsettled) = (program_time * 1e9, settling.unsettled);
    match (settling.required, settling.left) {
        (Some(required), Some(left)) => format!(
            "reprogramming: {unsettled:.0} rad rms at first; {ns:.1} ns allow a time constant of at most {:.0} ps, which leaves \
             {:.2} mrad",
            required.time_constant * 1e12,
            left * 1e3
        ),
        _ => format!(
            "reprogramming: {unsettled:.0} rad rms at first; no settling time constant from a hundredth of {ns:.1} ns on reaches \
             the target error rate within the allowed power"
        ),
    }
}
