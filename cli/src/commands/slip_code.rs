//! `mirage slip-code`

use mirage_arithmetic::{CodeJudge, GemmConfig, OperandHistogram, RankedCode, ResidueChannel, SlipCode};

use crate::args::SlipCodeArgs;
use crate::design::Design;
use crate::error::{CliError, Result, open_text};
use crate::folder::{Folder, number};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::devices::{self, Question};
use crate::study::training::{self, Setup};

const COLUMNS: [&str; 7] =
    ["rank", "changes", "what", "unseen", "unseen_single", "unseen_double", "unseen_share"];

pub fn run(args: &SlipCodeArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let folder = Folder::create(&args.output)?;
    let setup = Setup { stop: Stop::on_signals()?, ..Setup::new(&design, args.common.seed, progress)? };
    let gemm = design.gemm(setup.config.seed)?;
    let (channel, histogram) = inputs(args, &design, &setup, &gemm)?;
    let channel = match args.error_rate {
        Some(0.0) => {
            return Err(CliError::message("--error-rate 0: without errors all codes are alike"));
        }
        Some(rate) => channel.scaled(rate)?,
        None => channel,
    };
    let judge = CodeJudge::new(&channel, &gemm, &histogram)?;
    let mut codes: Vec<(String, RankedCode)> =
        judge.best(args.top)?.into_iter().enumerate().map(|(i, code)| ((i + 1).to_string(), code)).collect();
    for (_, code) in named(&design, &gemm)? {
        if !codes.iter().any(|(_, known)| known.code == code) {
            codes.push((String::new(), judge.judge(&code)));
        }
    }
    let rates = gemm.moduli.as_slice().iter().map(|&m| channel.error_rate_on(gemm.placement, m));
    let wrong: f64 = rates.sum::<std::result::Result<_, _>>()?;
    let names = named(&design, &gemm)?;
    let row = |(rank, ranked): &(String, RankedCode)| {
        let what = names.iter().filter(|(_, code)| *code == ranked.code).map(|(name, _)| *name);
        let changes: Vec<String> = ranked.code.changes().iter().map(u32::to_string).collect();
        let numbers = [ranked.silent(), ranked.single, ranked.double, ranked.silent() / wrong].map(number);
        let texts = [rank.clone(), changes.join(" "), what.collect::<Vec<_>>().join(", ")];
        texts.into_iter().chain(numbers).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = codes.iter().map(row).collect();
    folder.table("slip-codes.csv", &COLUMNS, rows.clone())?;
    folder.repeatable(&design, &crate::command_line(setup.config.seed))?;
    folder.finish();
    crate::table::say_rows(&COLUMNS.map(str::to_owned), &rows, args.common.json)?;
    if !args.common.json {
        say!("{wrong:.3e} residues are wrong in a read; results in {}", folder.path().display());
    }
    Ok(())
}

/// The channel and the dot products: given, or of the design.
fn inputs(
    args: &SlipCodeArgs,
    design: &Design,
    setup: &Setup,
    gemm: &GemmConfig,
) -> Result<(ResidueChannel, OperandHistogram)> {
    let given = |path: &std::path::PathBuf| -> Result<ResidueChannel> {
        let file = open_text(path, "a residue channel (CSV)")?;
        let channel = ResidueChannel::read_csv(file, &path.display().to_string())?;
        channel.check(&gemm.moduli, &gemm.code)?;
        Ok(channel)
    };
    if let (Some(channel), Some(operands)) = (&args.channel, &args.operands) {
        return Ok((given(channel)?, devices::histogram(operands, gemm)?));
    }
    let (histogram, groups) = training::operands(setup, gemm)?;
    let histogram = match &args.operands {
        Some(path) => devices::histogram(path, gemm)?,
        None => histogram,
    };
    if let Some(path) = &args.channel {
        return Ok((given(path)?, histogram));
    }
    let operands = devices::operands_from(&groups, gemm, &setup.operands_name())?;
    let question = Question::new(design, gemm.clone(), operands, setup.config.seed, setup.progress);
    let answer = Question { stop: setup.stop.clone(), ..question }.answer()?;
    Ok((answer.characterisation.channel, histogram))
}

/// Codes that are shown in any case.
fn named(design: &Design, gemm: &GemmConfig) -> Result<Vec<(&'static str, SlipCode)>> {
    let mut all = vec![("natural", SlipCode::natural(&gemm.moduli)), ("the design's", gemm.code.clone())];
    if let Some(sweep) = &design.training.sweep {
        let code = SlipCode::with_changes(&gemm.moduli, &sweep.slip_code);
        all.push(("training.sweep's", code.map_err(|e| CliError::message(e.to_string()))?));
    }
    Ok(all)
}
