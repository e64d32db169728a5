//! `mirage stream`

use comfy_table::Table;
use mirage_devices::time::MemoryLimits;

use crate::args::StreamArgs;
use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::devices::{self, Question};
use crate::study::stream::{MemoryRow, SYMBOLS, Settling, Streaming, TILES, noise_seeds};
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
    let limits = streaming.limits(&folder)?;
    let settling = streaming.settling(&folder)?;
    let summary = serde_json::json!({
        "clock_hz": time.clock, "laser_power_w": answer.solution.laser_power, "shown_modulus": modulus,
        "sampling_s": portrait.instant, "best_sampling_s": portrait.eye.instant(), "best_opening": portrait.eye.opening(),
        "memory": memory,
        "limits": { "penalty_db": question.point.penalty_db, "ring_lifetime_s": limits.lifetime, "clock_hz": limits.clock },
        "settling": {
            "program_time_s": answer.solution.parameters.shifters.program_time,
            "design_time_constant_s": answer.solution.parameters.shifters.settling_time,
            "required_time_constant_s": settling.required.map(|r| r.time_constant),
            "unsettled_phase_rad": settling.unsettled, "phase_left_rad": settling.left,
        },
    });
    folder.json("summary.json", &summary)?;
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&summary)?);
        return Ok(());
    }
    say!("{}", table(&memory));
    for line in symbols_and_limits(&streaming, &memory, limits) {
        say!("{line}");
    }
    say!("{}", words(&settling, answer.solution.parameters.shifters.program_time));
    say!("results in {}", folder.path().display());
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
            row.eye_opening.map_or("not seen".to_owned(), |eye| format!("{:.1} %", eye * 100.0)),
            format!("{:.3}", row.phase_rms_rad * 1e3),
            format!("{:.2}", row.phase_worst_rad * 1e3),
            format!("{:.2e}", row.channel_rate),
            row.channel_rate_with_memory.map_or("cannot be read".to_owned(), |rate| format!("{rate:.2e}")),
            row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            if row.ratio.is_none() {
                "-".to_owned()
            } else if row.effective_symbols < FEWEST {
                "too few symbols".to_owned()
            } else {
                format!("{:.2} ± {:.2}", row.sampled_ratio, row.sampled_ratio_error)
            },
            format!("{:.0} of {}", row.effective_symbols, row.symbols),
        ]);
    }
    table
}

/// How much was streamed, whether it can be read, and what memory would allow.
fn symbols_and_limits(streaming: &Streaming<'_>, memory: &[MemoryRow], limits: MemoryLimits) -> Vec<String> {
    let (ps, ghz) = (|time: f64| time * 1e12, |clock: f64| clock * 1e-9);
    let time = &streaming.time;
    let mut lines = Vec::new();
    if let Some(row) = memory.first() {
        let chips = row.symbols / (TILES * SYMBOLS);
        lines.push(format!(
            "{} symbols of each modulus: {chips} chips of {TILES} tiles of {SYMBOLS} symbols (whole tiles for the {} asked for)",
            row.symbols, streaming.symbols
        ));
    }
    let rings = format!(
        "rings whose field lives {:.3} ps (Q = {:.0})",
        ps(time.ring_lifetime),
        streaming.quality(time.ring_lifetime)
    );
    let lost: Vec<String> = memory
        .iter()
        .filter(|row| row.lost > 0)
        .map(|row| format!("{} of {} symbols modulo {}", row.lost, row.symbols, row.modulus))
        .collect();
    if !lost.is_empty() {
        lines.push(format!(
            "warning: nothing can be read at {:.3} GHz with {rings}: {} are turned by half a sector or more. Each digit that is set \
             holds light for twice that lifetime, as the data decide; a symbol lasts {:.1} ps. The channel of this design (`mirage \
             characterize`) is the one of settled symbols",
            ghz(time.clock),
            lost.join(", "),
            ps(1.0 / time.clock)
        ));
    }
    let penalty = streaming.question.point.penalty_db;
    lines.push(match limits.lifetime {
        Some(lifetime) => format!(
            "at {:.3} GHz rings may cost {penalty} dB of light: a lifetime of at most {:.3} ps (Q = {:.0}), by the same symbols",
            ghz(time.clock),
            ps(lifetime),
            streaming.quality(lifetime)
        ),
        None => format!(
            "at {:.3} GHz no lifetime of the rings costs as little as {penalty} dB of light: driver or front end are too slow",
            ghz(time.clock)
        ),
    });
    lines.push(match limits.clock {
        Some(clock) => {
            format!(
                "with {rings} all memory costs more than {penalty} dB above a clock of {:.3} GHz, as far as {} symbols show; rarer \
                 ones come later, so a rate like 1e-8 asks for a slower clock",
                ghz(clock),
                limits.symbols
            )
        }
        None => format!(
            "with {rings} memory costs more than {penalty} dB at every clock tried, a ten-thousandth to ten times the design's"
        ),
    });
    lines
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
