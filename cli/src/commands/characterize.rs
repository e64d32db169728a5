//! `mirage characterize`

use comfy_table::Table;
use mirage_arithmetic::GemmConfig;

use crate::args::CharacterizeArgs;
use crate::design::Design;
use crate::error::Result;
use crate::folder::Folder;
use crate::journal::Journal;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::depth::{Around, Budget, Depth};
use crate::study::devices::{self, Answer, Asked, Question};
use crate::study::sweep::{Setting, Sweep};
use crate::study::training::{self, Setup};

pub fn run(args: &CharacterizeArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let gemm = design.gemm(seed)?;
    let folder = Folder::create(&args.output)?;
    let asked = Asked::new(&design, seed, &args.operands)?;
    let sweep = match Sweep::parse(&args.sweep, args.resolve, &design)? {
        Some(sweep) => Some((asked.journal(&folder, "sweep", sweep.question())?, sweep)),
        None => None,
    };
    let usual = match sweep.is_none() && !args.no_sweeps {
        true => Some(asked.journal(&folder, "sweeps", serde_json::json!("usual"))?),
        false => None,
    };
    let depth = Depth::open(&args.depth, &asked, &folder, &design)?;
    let stop = Stop::on_signals()?;
    let setup = Setup { stop: stop.clone(), ..Setup::new(&design, args.common.seed, progress)? };
    let operands_of = |gemm: &GemmConfig| devices::operands_named(&args.operands, &setup, gemm);
    let operands = match args.operands.as_str() {
        "training" => {
            let (_, groups) = training::written_operands(&folder, &setup, &gemm)?;
            devices::operands_from(&groups, &gemm, &setup.operands_name())?
        }
        _ => operands_of(&gemm)?,
    };
    let question = Question { stop, ..Question::new(&design, gemm, operands, seed, progress) };
    let answer = question.answer()?;
    let around = Around { folder: &folder, question: &question, answer: &answer };
    let mut unreachable: Vec<String> = question.shortfall(&answer)?.into_iter().collect();
    if let Some((journal, sweep)) = &sweep {
        sweep.run(
            &folder,
            &Setting { question: &question, answer: &answer, operands: &operands_of },
            journal,
        )?;
    } else if let Some(journal) = &usual {
        unreachable.extend(question.sweeps(&folder, &answer, Some(journal))?.unreachable);
    }
    let (summary, words) = results(args, around, &depth)?;
    let words = [unreachable, words].concat();
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    depth.finish()?;
    [sweep.map(|(journal, _)| journal), usual].into_iter().flatten().try_for_each(Journal::finish)?;
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print(&answer, &words);
        say!("results in {}", folder.path().display());
    }
    Ok(())
}

/// Writes all tables but the sweeps'; returns the summary, and what to say beside the channel.
fn results(
    args: &CharacterizeArgs,
    around: Around<'_>,
    depth: &Depth,
) -> Result<(serde_json::Value, Vec<String>)> {
    let Around { folder, question, answer } = around;
    devices::write(folder, answer)?;
    let budget = Budget::write(folder, question, answer)?;
    let mut summary = devices::summary(question, answer);
    summary["budget"] = budget.summary();
    let mut words = budget.words();
    words.extend(depth.run(around, &mut summary)?);
    if let Some(reads) = args.monte_carlo {
        words.extend(question.monte_carlo(folder, answer, reads)?);
    }
    folder.json("summary.json", &summary)?;
    Ok((summary, words))
}

fn print(answer: &Answer, words: &[String]) {
    say!("laser power {:.3e} W for each of {} lasers", answer.solution.laser_power, answer.budget.lasers);
    for s in &answer.solution.tolerances {
        let (key, unit) = (s.tolerance.key(), s.tolerance.unit());
        say!("required: {key} = {} {unit} (costs {:.2} dB of laser power)", s.value, s.penalty_db);
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["modulus", "error rate", "lower", "upper", "adjacent", "again", "SNR (dB)"]);
    for (r, b) in answer.characterisation.rates.iter().zip(&answer.characterisation.bounds) {
        let (lower, upper) = (r.error_rate * b.lower_ratio, r.error_rate * b.upper_ratio);
        let numbers =
            [r.error_rate, lower, upper.min(1.0), r.adjacent, r.again[0]].map(|x| format!("{x:.3e}"));
        table.add_row(
            [r.modulus.to_string()].into_iter().chain(numbers).chain([format!("{:.1}", r.snr_db())]),
        );
    }
    say!("{table}");
    for line in words {
        say!("{line}");
    }
}
