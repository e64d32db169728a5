//! `mirage train`

use comfy_table::Table;
use mirage_arithmetic::{GemmEntry, ResidueChannel};
use mirage_training::{
    Arithmetic, Dataset, ErrorShape, Network, Plan, Sweep, SweepProtection, TrainConfig, TrainingSection,
    fashion_mnist_subset,
};

use crate::args::{ArithmeticName, TrainArgs};
use crate::design::Design;
use crate::error::{CliError, Result, open};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::study::devices;
use crate::study::training::{self, Bench, RunSummary};

pub fn run(args: &TrainArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let sweep = args.sweep.as_deref().map(rates).transpose()?;
    let data = match &args.data {
        Some(folder) => Dataset::from_folder(folder)?,
        None => fashion_mnist_subset()?,
    };
    let network = network(&design.training, &data)?;
    let seed = design.seed(args.common.seed);
    let mut config = design.training.config(seed);
    config.seed = args.common.seed.unwrap_or(config.seed);
    if let Some(epochs) = args.epochs {
        if !(1..=10_000).contains(&epochs) {
            return Err(CliError::message("--epochs must lie between 1 and 10000"));
        }
        config.epochs = epochs;
    }
    let folder = Folder::create(&args.output)?;
    let bench =
        Bench { network: &network, data: &data, config: &config, progress: Progress::new(args.common.json) };
    let plans = match &sweep {
        Some(rates) => sweep_plans(args, &design, &bench, rates)?,
        None => single_plans(args, &design, &bench)?,
    };
    let results = training::run(&bench, &plans, "training")?;
    let runs = training::summaries(&results);
    training::write(&folder, &network, &results)?;
    folder.write("gemms.csv", |out| GemmEntry::write_csv(&training::gemms(&bench), out))?;
    crate::plots::training(&folder, "training.csv", |_| plans.len() <= 8)?;
    if sweep.is_some() {
        training::write_tolerances(&folder, &training::tolerances(&runs))?;
        crate::plots::tolerance(&folder)?;
    }
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&runs)?);
    } else {
        println!("{}", table(&runs));
        println!("results in {}", folder.path().display());
    }
    Ok(())
}

/// The section's network, for images of this size.
pub fn network(section: &TrainingSection, data: &Dataset) -> Result<Network> {
    let (rows, columns) = data.train().size();
    Ok(Network::by_name(&section.network, rows, columns, mirage_training::CLASSES)?)
}

fn configs<'a>(bench: &'a Bench<'_>, seeds: u32) -> impl Iterator<Item = TrainConfig> + 'a {
    (0..u64::from(seeds))
        .map(|i| TrainConfig { seed: bench.config.seed.wrapping_add(i), ..bench.config.clone() })
}

fn single_plans(args: &TrainArgs, design: &Design, bench: &Bench<'_>) -> Result<Vec<Plan>> {
    let gemm = design.gemm(bench.config.seed)?;
    let shape = args.error_shape.as_deref().map(str::parse).transpose().map_err(CliError::Message)?;
    let (arithmetic, shape) = match args.arithmetic {
        ArithmeticName::Fp32 => (Arithmetic::Fp32, String::new()),
        ArithmeticName::Bfp => (Arithmetic::Bfp(gemm), String::new()),
        ArithmeticName::Mirage => {
            let channel = match (shape, args.error_rate) {
                (Some(ErrorShape::Slip), Some(p)) => ResidueChannel::slip(&gemm.moduli, &gemm.code, p)?,
                (Some(ErrorShape::Uniform), Some(p)) => ResidueChannel::uniform(&gemm.moduli, p)?,
                (Some(ErrorShape::Slip | ErrorShape::Uniform), None) => {
                    return Err(CliError::message("--error-shape slip and uniform need --error-rate P"));
                }
                (Some(ErrorShape::Design) | None, Some(p)) => channel(args, design, bench)?.scaled(p)?,
                (Some(ErrorShape::Design) | None, None) => channel(args, design, bench)?,
            };
            let name = shape.unwrap_or(ErrorShape::Design).to_string();
            (Arithmetic::Mirage(gemm, Box::new(channel)), name)
        }
    };
    Ok(configs(bench, args.seeds).map(|config| Plan::new(arithmetic.clone(), &shape, config)).collect())
}

/// The channel of the command line, or that of the design.
fn channel(args: &TrainArgs, design: &Design, bench: &Bench<'_>) -> Result<ResidueChannel> {
    match &args.channel {
        Some(path) => Ok(ResidueChannel::read_csv(open(path)?, &path.display().to_string())?),
        None => devices::channel_of(design, bench.config.seed, bench.progress),
    }
}

fn sweep_plans(args: &TrainArgs, design: &Design, bench: &Bench<'_>, rates: &[f64]) -> Result<Vec<Plan>> {
    let gemm = design.gemm(bench.config.seed)?;
    let section = design.training.sweep.as_ref();
    let section = section
        .ok_or_else(|| CliError::message("a sweep needs the design's [training.sweep] for its slip code"))?;
    let shape: ErrorShape =
        args.error_shape.as_deref().unwrap_or("slip").parse().map_err(CliError::Message)?;
    let protections = if args.protection.is_empty() {
        SweepProtection::ALL.to_vec()
    } else {
        args.protection
            .iter()
            .map(|p| p.parse())
            .collect::<std::result::Result<_, _>>()
            .map_err(CliError::Message)?
    };
    let own = if shape == ErrorShape::Design { Some(channel(args, design, bench)?) } else { None };
    let sweep = section.sweep(&gemm, own, bench.config).map_err(|e| design.document.locate(e))?;
    let seeds = configs(bench, args.seeds).map(|c| c.seed).collect();
    let config = bench.config.clone();
    let sweep = Sweep { shapes: vec![shape], protections, rates: rates.to_vec(), seeds, config, ..sweep };
    Ok(sweep.plans()?)
}

/// `error-rate=FIRST:LAST:COUNT`, evenly spaced on a logarithmic axis.
fn rates(text: &str) -> Result<Vec<f64>> {
    let wrong =
        |why: &str| CliError::message(format!("--sweep {text}: {why}; write error-rate=1e-8:1e-2:13"));
    let (key, range) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
    if key != "error-rate" {
        return Err(wrong(&format!("`{key}` cannot be swept here")));
    }
    let parts: Vec<&str> = range.split(':').collect();
    let [first, last, count] = parts[..] else { return Err(wrong("three numbers are needed")) };
    let rate = |t: &str| {
        let p = t.parse().ok().filter(|p: &f64| *p > 0.0 && *p < 1.0);
        p.ok_or_else(|| wrong(&format!("`{t}` is no rate between 0 and 1")))
    };
    let (first, last) = (rate(first)?, rate(last)?);
    let count: u32 = count
        .parse()
        .ok()
        .filter(|n| (1..=1000).contains(n))
        .ok_or_else(|| wrong("the count must be 1 to 1000"))?;
    let step = (last / first).ln() / f64::from((count - 1).max(1));
    // Four digits are plenty for a rate, and give the same number on every machine.
    let short = |x: f64| format!("{x:.3e}").parse().unwrap_or(x);
    Ok((0..count).map(|i| short(first * (step * f64::from(i)).exp())).collect())
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
        "wrong",
        "detected",
        "repeated",
        "silent",
        "outcome",
    ]);
    for r in runs {
        let errors = r.rate.map_or(String::new(), |p| format!("{} at {p:.2e}", r.error_shape));
        let accuracy = r.accuracy.map_or(String::new(), |a| format!("{:.1} %", 100.0 * a));
        let counts = [r.wrong, r.detected, r.repeated, r.silent].map(|n| n.to_string());
        let names = [r.arithmetic.clone(), r.protection.clone(), errors, r.seed.to_string(), accuracy];
        table.add_row(names.into_iter().chain(counts).chain([r.outcome.clone()]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_evenly_spaced() {
        assert_eq!(rates("error-rate=1e-8:1e-2:3").unwrap(), [1e-8, 1e-5, 1e-2]);
        for (text, says) in [
            ("1e-8:1e-2:3", "no `=`"),
            ("rate=1e-8:1e-2:3", "cannot be swept"),
            ("error-rate=1e-8:1e-2", "three numbers"),
            ("error-rate=0:1e-2:3", "no rate"),
            ("error-rate=1e-8:2:3", "no rate"),
            ("error-rate=1e-8:1e-2:0", "count"),
        ] {
            assert!(rates(text).unwrap_err().to_string().contains(says), "{text}");
        }
    }
}
