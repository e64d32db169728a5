//! `mirage train`

use mirage_arithmetic::{GemmEntry, NumberFormat, ResidueChannel};
use std::sync::Arc;

use mirage_training::{
    Arithmetic, CheckpointPlan, ErrorShape, Label, OnDivergence, Outcome, Plan, PlanResult, RunError,
    Sweep as TrainingSweep, SweepProtection, TrainConfig, weights_of,
};

use crate::args::{ArithmeticName, LevelName, OnDivergenceName, TrainArgs};
use crate::design::Design;
use crate::error::{CliError, Result, open_text};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::axis::Axis;
use crate::study::device_sweep::DeviceSweep;
use crate::study::sweep::Sweep;
use crate::study::training::{self, Given, Setup};
use crate::study::{devices, seeds};

/// More curves than this make no picture.
const MOST_CURVES: usize = 8;

/// Where checkpoints lie in the folder of the results.
const CHECKPOINTS: &str = "checkpoints";

pub fn run(args: &TrainArgs) -> Result<()> {
    let shape = shape(args)?;
    let design = Design::with_set(args.design.as_deref(), &args.set)?;
    let asked = args.sweep.as_deref().map(|text| Asked::parse(args, text, &design)).transpose()?;
    let progress = Progress::new(args.common.json);
    let level = args.level.map(LevelName::level);
    let given =
        Given { network: args.network.as_deref(), data: args.data.as_deref(), level, seed: args.common.seed };
    let mut setup = Setup::of(&design, given, progress)?;
    setup.stop = Stop::on_signals()?;
    if let Some(epochs) = args.epochs {
        setup.config.epochs = epochs;
    }
    setup.config.on_divergence = match args.on_divergence {
        OnDivergenceName::Stop => OnDivergence::Stop,
        OnDivergenceName::Continue => OnDivergence::Continue,
    };
    let weights = args.weights.as_deref().map(|path| weights_of(path, &setup.network)).transpose();
    let weights = weights.map_err(RunError::from)?.map(Arc::new);
    let folder = Folder::create(&args.output)?;
    let (mut plans, devices) = match &asked {
        None => (single_plans(args, &design, &setup, shape)?, None),
        Some(Asked::Rates(rates)) => (rate_plans(args, &design, &setup, shape, rates)?, None),
        Some(Asked::Key(axis)) => {
            let sweep = sweep(args, &design, &setup, None)?;
            let (protections, seeds) = (sweep.protections.clone(), sweep.seeds.clone());
            let (axis, chips) = (axis.clone(), args.sampled_chips);
            let of = DeviceSweep { design: &design, setup: &setup, axis, protections, chips, seeds };
            let points = of.points(&sweep)?;
            (of.plans(&points, &sweep), Some((of, points)))
        }
    };
    for plan in &mut plans {
        plan.weights = weights.clone();
        plan.checkpoints = Some(checkpoints(args, &folder, &plan.label));
    }
    let results = training::run(&setup, &plans, "training")?;
    stopped(&results, &folder)?;
    let runs = training::summaries(&results);
    training::write(&folder, &setup.network, &results)?;
    folder.write("gemms.csv", |out| GemmEntry::write_csv(&training::gemms(&setup), out))?;
    training::write_translations(&folder, &setup, &plans, &results)?;
    let over_seeds = if asked.is_none() { seeds::over_seeds(&setup.network, &runs) } else { Vec::new() };
    if !over_seeds.is_empty() {
        folder.rows("seeds.csv", &over_seeds)?;
    }
    let baselines = training::baselines(&folder, &setup)?;
    if plans.len() <= MOST_CURVES {
        crate::plots::training::curves(&folder, "training.csv", |_| true)?;
    }
    if let Some((of, points)) = &devices {
        of.write(&folder, points, &results)?;
    } else if asked.is_some() {
        folder.rows("tolerance.csv", &seeds::tolerances(&setup.network, &runs))?;
        crate::plots::training::tolerance(&folder)?;
    }
    if asked.is_some() {
        // Of a sweep nobody needs the weights. Those of other runs that stand beside them are not the sweep's.
        let own = plans.iter().filter_map(|plan| plan.checkpoints.as_ref());
        own.into_iter().try_for_each(|own| own.discard()).map_err(RunError::from)?;
    }
    folder.repeatable(&design, &crate::command_line(setup.config.seed))?;
    folder.finish();
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&runs)?);
    } else {
        say!("{}", training::table(&runs));
        over_seeds.iter().for_each(|seeds| say!("{seeds}"));
        say_part!("{}", training::baseline_lines(&baselines));
        say!("results in {}", folder.path().display());
    }
    Ok(())
}

/// What `--sweep` asks for.
enum Asked {
    Rates(Vec<f64>),
    /// A key of the design.
    Key(Axis),
}

impl Asked {
    fn parse(args: &TrainArgs, text: &str, design: &Design) -> Result<Self> {
        if text.split_once('=').is_none_or(|(key, _)| !key.contains('.')) {
            if args.sampled_chips {
                return Err(CliError::message(
                    "--sampled-chips is for sweeps of a key of the design: at given rates there are no chips",
                ));
            }
            return Ok(Self::Rates(rates(text)?));
        }
        let unused = [("--channel", args.channel.is_some()), ("--error-shape", args.error_shape.is_some())];
        if let Some((flag, _)) = unused.iter().find(|(_, given)| *given) {
            return Err(CliError::message(format!(
                "{flag} is not used in a sweep of a key of the design, which makes the channel at each point"
            )));
        }
        let axis = match Sweep::parse(&[text.to_owned()], false, design)? {
            Some(mut sweep) => sweep.axes.remove(0),
            None => return Err(CliError::message(format!("--sweep {text}: nothing to sweep"))),
        };
        // Another arithmetic has other operands, and other runs without errors.
        match axis.keys.iter().find(|key| !key.starts_with("devices.")) {
            Some(key) => Err(CliError::message(format!(
                "--sweep {text}: `{key}` is no key of [devices]; give it another value with --set, and sweep a key of the devices"
            ))),
            None => Ok(Self::Key(axis)),
        }
    }
}

/// The shape of errors, and whether the flags make sense together: none is ever ignored.
fn shape(args: &TrainArgs) -> Result<Option<ErrorShape>> {
    let shape: Option<ErrorShape> =
        args.error_shape.as_deref().map(str::parse).transpose().map_err(CliError::Message)?;
    let given = matches!(shape, Some(ErrorShape::Slip | ErrorShape::Uniform));
    let errors = args.error_rate.is_some() || args.error_shape.is_some() || args.channel.is_some();
    let wrong = if args.arithmetic != ArithmeticName::Mirage && (errors || args.sweep.is_some()) {
        "--channel, --error-rate, --error-shape and --sweep need --arithmetic mirage: the others have no errors"
    } else if given && args.channel.is_some() {
        "--channel is not used with --error-shape slip or uniform, which make a channel of their own"
    } else if given && args.error_rate.is_none() && args.sweep.is_none() {
        "--error-shape slip and uniform need --error-rate P"
    } else {
        return Ok(shape);
    };
    Err(CliError::message(wrong))
}

/// The checkpoints of the run with this label, by which they are named.
fn checkpoints(args: &TrainArgs, folder: &Folder, label: &Label) -> CheckpointPlan {
    let Label { arithmetic, protection, error_shape, rate, seed } = label;
    let rate = rate.map_or(String::new(), |rate| format!("{rate:e}"));
    let words = [arithmetic, error_shape, protection, &rate].into_iter().filter(|word| !word.is_empty());
    let name: Vec<&str> = words.map(String::as_str).collect();
    CheckpointPlan {
        folder: folder.path().join(CHECKPOINTS),
        name: format!("{}-seed{seed}", name.join("-")),
        every: args.checkpoint_every,
        resume: args.resume,
    }
}

/// Says what is kept if the user asked to stop before all runs had ended.
fn stopped(results: &[PlanResult], folder: &Folder) -> Result<()> {
    let open = results.iter().filter(|result| result.run.outcome == Outcome::Cancelled).count();
    if open == 0 {
        return Ok(());
    }
    Err(CliError::Stopped(format!(
        "{} of {} runs have ended, the others are kept in {}; the same command with --resume goes on from there",
        results.len() - open,
        results.len(),
        folder.path().join(CHECKPOINTS).display()
    )))
}

fn configs(setup: &Setup, seeds: u32) -> impl Iterator<Item = TrainConfig> {
    let config = setup.config.clone();
    (0..u64::from(seeds)).map(move |i| TrainConfig { seed: config.seed.wrapping_add(i), ..config.clone() })
}

fn single_plans(
    args: &TrainArgs,
    design: &Design,
    setup: &Setup,
    shape: Option<ErrorShape>,
) -> Result<Vec<Plan>> {
    let gemm = design.gemm(setup.config.seed)?;
    let (arithmetic, name) = match args.arithmetic {
        ArithmeticName::Fp32 => (Arithmetic::Fp32, String::new()),
        ArithmeticName::Bfloat16 => (Arithmetic::Rounded(NumberFormat::Bfloat16), String::new()),
        ArithmeticName::Hfp8 => (Arithmetic::Rounded(NumberFormat::Hfp8), String::new()),
        ArithmeticName::Int8 => (Arithmetic::Rounded(NumberFormat::Int8), String::new()),
        ArithmeticName::Int12 => (Arithmetic::Rounded(NumberFormat::Int12), String::new()),
        ArithmeticName::Fmac => (Arithmetic::Fmac(gemm), String::new()),
        ArithmeticName::Bfp => (Arithmetic::Bfp(gemm), String::new()),
        ArithmeticName::Mirage => {
            let shape = shape.unwrap_or(ErrorShape::Design);
            let channel = match (shape, args.error_rate) {
                (ErrorShape::Slip, Some(p)) => ResidueChannel::slip(&gemm.moduli, &gemm.code, p)?,
                (ErrorShape::Uniform, Some(p)) => ResidueChannel::uniform(&gemm.moduli, p)?,
                (_, Some(p)) => channel(args, design, setup)?.scaled(p)?,
                (_, None) => channel(args, design, setup)?,
            };
            (Arithmetic::Mirage(gemm, Box::new(channel)), shape.to_string())
        }
    };
    Ok(configs(setup, args.seeds).map(|config| Plan::new(arithmetic.clone(), &name, config)).collect())
}

/// The channel of the command line, or that of the design.
fn channel(args: &TrainArgs, design: &Design, setup: &Setup) -> Result<ResidueChannel> {
    match &args.channel {
        Some(path) => Ok(ResidueChannel::read_csv(
            open_text(path, "a residue channel (CSV)")?,
            &path.display().to_string(),
        )?),
        None => devices::channel_of(design, setup, setup.config.seed),
    }
}

/// The protections of a sweep, each once.
fn protections(args: &TrainArgs) -> Result<Vec<SweepProtection>> {
    if args.protection.is_empty() {
        return Ok(SweepProtection::ALL.to_vec());
    }
    let parsed: std::result::Result<Vec<SweepProtection>, _> =
        args.protection.iter().map(|p| p.parse()).collect();
    let parsed = parsed.map_err(CliError::Message)?;
    match parsed.iter().enumerate().find(|(i, p)| parsed[..*i].contains(p)) {
        Some((_, twice)) => Err(CliError::message(format!("--protection names {twice} twice"))),
        None => Ok(parsed),
    }
}

/// The sweep that the command line and the design's section ask for.
fn sweep(
    args: &TrainArgs,
    design: &Design,
    setup: &Setup,
    own: Option<ResidueChannel>,
) -> Result<TrainingSweep> {
    let gemm = design.gemm(setup.config.seed)?;
    let protections = protections(args)?;
    let sweep = design.sweep(&gemm, own, &setup.config)?;
    let seeds = configs(setup, args.seeds).map(|c| c.seed).collect();
    Ok(TrainingSweep { protections, seeds, config: setup.config.clone(), ..sweep })
}

/// The runs without errors, and those of each rate.
fn rate_plans(
    args: &TrainArgs,
    design: &Design,
    setup: &Setup,
    shape: Option<ErrorShape>,
    rates: &[f64],
) -> Result<Vec<Plan>> {
    let shape = shape.unwrap_or(ErrorShape::Slip);
    let own = if shape == ErrorShape::Design { Some(channel(args, design, setup)?) } else { None };
    let sweep =
        TrainingSweep { shapes: vec![shape], rates: rates.to_vec(), ..sweep(args, design, setup, own)? };
    let left_out: Vec<String> = sweep.left_out().map(|p| p.to_string()).collect();
    if !left_out.is_empty() {
        let left_out = left_out.join(", ");
        eprintln!("note: no runs for {left_out} with errors of the shape {shape}: docs/training.md says why");
    }
    Ok([sweep.baselines(), sweep.plans()?].concat())
}

/// `error-rate=FIRST:LAST:COUNT`, evenly spaced on a logarithmic axis.
fn rates(text: &str) -> Result<Vec<f64>> {
    let wrong = |why: &str| {
        CliError::message(format!(
            "--sweep {text}: {why}; write error-rate=1e-8:1e-2:13, or a key of the design such as devices.laser.power=5mW:150mW:6:log"
        ))
    };
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
    if count > 1 && first == last {
        return Err(wrong("all its rates are the same"));
    }
    let step = (last / first).ln() / f64::from((count - 1).max(1));
    // Four digits are plenty for a rate, and give the same number on every machine.
    let short = |x: f64| format!("{x:.3e}").parse().unwrap_or(x);
    Ok((0..count).map(|i| short(first * (step * f64::from(i)).exp())).collect())
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
            ("error-rate=1e-8:1e-8:2", "the same"),
        ] {
            assert!(rates(text).unwrap_err().to_string().contains(says), "{text}");
        }
    }
}
