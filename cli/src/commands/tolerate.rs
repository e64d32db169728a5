//! `mirage tolerate`

use std::path::Path;

use mirage_arithmetic::GroupSample;
use mirage_training::SweepProtection;

use crate::args::TolerateArgs;
use crate::design::Design;
use crate::error::{CliError, Result, open_text};
use crate::folder::{Folder, number};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::axis::column;
use crate::study::devices::{self, Question};
use crate::study::seeds::Tolerance;
use crate::study::training::Setup;

pub fn run(args: &TolerateArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let mut curves = Vec::new();
    for file in &args.tolerances {
        curves.extend(read(file, args.within)?);
    }
    let progress = Progress::new(args.common.json);
    let folder = Folder::create(&args.output)?;
    let setup = Setup { stop: Stop::on_signals()?, ..Setup::new(&design, args.common.seed, progress)? };
    let lines = Lines::new(&design, &setup, &args.operands)?;
    let bar = progress.bar(curves.len() as u64, "devices for each rate");
    let mut rows = Vec::new();
    for curve in &curves {
        rows.push(lines.row(curve)?);
        bar.inc(1);
        setup.stop.check()?;
    }
    bar.finish_and_clear();
    let header = lines.header();
    folder.table("tolerated.csv", &header.iter().map(String::as_str).collect::<Vec<_>>(), rows.clone())?;
    folder.repeatable(&design, &crate::command_line(lines.seed))?;
    folder.finish();
    crate::table::say_rows(&header, &rows, args.common.json)?;
    if !args.common.json {
        say!("results in {}", folder.path().display());
    }
    Ok(())
}

/// What one network makes of one shape of errors with one protection.
struct Curve {
    network: String,
    error_shape: String,
    protection: SweepProtection,
    seeds: usize,
    /// Accuracy without errors.
    clean: f64,
    /// The largest rate up to which all is well, with the accuracy there.
    tolerated: Option<(f64, f64)>,
    /// The next rate of the sweep.
    fails: Option<(f64, f64)>,
}

/// The curves of a tolerance.csv.
fn read(path: &Path, within: f64) -> Result<Vec<Curve>> {
    let name = path.display();
    let mut reader = csv::Reader::from_reader(open_text(path, "the tolerance.csv of a sweep")?);
    let points: Vec<Tolerance> =
        reader.deserialize().collect::<std::result::Result<_, _>>().map_err(|e| {
            CliError::message(format!(
                "{name}: {e}\nhelp: give the tolerance.csv of `mirage train --sweep error-rate=…`"
            ))
        })?;
    let clean = |network: &str| {
        let found = points.iter().find(|p| p.network == network && p.error_shape.is_empty());
        found.map(|p| p.accuracy_mean).ok_or_else(|| {
            CliError::message(format!(
                "{name}: no line for {network} without errors (rate 0), to compare with\nhelp: `mirage train --sweep error-rate=…` also trains \
                 without errors, and its tolerance.csv has that line"
            ))
        })
    };
    let key = |p: &Tolerance| (p.network.clone(), p.error_shape.clone(), p.protection.clone());
    let mut groups: Vec<Vec<&Tolerance>> = Vec::new();
    for point in points.iter().filter(|p| !p.error_shape.is_empty()) {
        match groups.iter_mut().find(|group| key(group[0]) == key(point)) {
            Some(group) => group.push(point),
            None => groups.push(vec![point]),
        }
    }
    groups
        .into_iter()
        .map(|mut group| {
            group.sort_by(|a, b| a.rate.total_cmp(&b.rate));
            let clean = clean(&group[0].network)?;
            let fine = |p: &&&Tolerance| p.diverged == 0 && p.accuracy_mean >= clean - within / 100.0;
            let good = group.iter().take_while(fine).count();
            let at = |p: &&Tolerance| (p.rate, p.accuracy_mean);
            Ok(Curve {
                network: group[0].network.clone(),
                error_shape: group[0].error_shape.clone(),
                protection: group[0]
                    .protection
                    .parse()
                    .map_err(|e| CliError::message(format!("{name}: {e}")))?,
                seeds: group.iter().map(|p| p.seeds).min().unwrap_or(0),
                clean,
                tolerated: good.checked_sub(1).map(|last| at(&group[last])),
                fails: group.get(good).map(at),
            })
        })
        .collect()
}

/// From a rate to what the devices must be.
struct Lines<'a> {
    design: &'a Design,
    setup: &'a Setup,
    /// Whole reads; none where operands are uniform.
    groups: Option<GroupSample>,
    /// What they are called.
    operands: String,
    sweep: mirage_training::Sweep,
    seed: u64,
    /// Keys and units of what the design leaves open.
    open: Vec<(String, &'static str)>,
}

impl<'a> Lines<'a> {
    fn new(design: &'a Design, setup: &'a Setup, operands: &str) -> Result<Self> {
        let seed = setup.config.seed;
        let gemm = design.gemm(seed)?;
        let groups = match operands {
            "uniform" => None,
            named => Some(devices::groups_named(named, setup, &gemm)?),
        };
        let operands = if operands == "training" { setup.operands_name() } else { operands.to_owned() };
        let sweep = design.sweep(&gemm, None, &setup.config)?;
        let point = design.devices.design_point(gemm.format.group);
        let open = point.required.iter().map(|t| (t.key().to_owned(), t.unit())).collect();
        Ok(Self { design, setup, groups, operands, sweep, seed, open })
    }

    fn header(&self) -> Vec<String> {
        let fixed = [
            "network",
            "error_shape",
            "protection",
            "seeds",
            "accuracy_without_errors",
            "tolerated_rate",
            "accuracy",
            "fails_at",
            "accuracy_there",
            "laser_power_w",
            "lasers",
        ];
        let open = self.open.iter().map(|(key, unit)| column(key, unit));
        fixed.iter().map(|name| (*name).to_owned()).chain(open).collect()
    }

    fn row(&self, curve: &Curve) -> Result<Vec<String>> {
        let pair = |pair: Option<(f64, f64)>| match pair {
            Some((rate, accuracy)) => [number(rate), number(accuracy)],
            None => [String::new(), String::new()],
        };
        let mut row = vec![
            curve.network.clone(),
            curve.error_shape.clone(),
            curve.protection.to_string(),
            curve.seeds.to_string(),
            number(curve.clean),
        ];
        row.extend(pair(curve.tolerated));
        row.extend(pair(curve.fails));
        row.extend(match curve.tolerated {
            Some((rate, _)) => self.devices(rate, curve.protection)?,
            None => vec![String::new(); 2 + self.open.len()],
        });
        Ok(row)
    }

    /// Laser power, number of lasers, and the values that the design leaves open, for a target of this rate.
    fn devices(&self, rate: f64, protection: SweepProtection) -> Result<Vec<String>> {
        let design = self.design.with(&[("devices.solve.target_error_rate".into(), format!("{rate:e}"))])?;
        let gemm = self.sweep.protected(protection)?;
        let operands = match &self.groups {
            Some(groups) => devices::operands_from(groups, &gemm, &self.operands)?,
            None => devices::operands_named("uniform", self.setup, &gemm)?,
        };
        let question = Question::new(&design, gemm, operands, self.seed, self.setup.progress.quiet());
        let question = Question { stop: self.setup.stop.clone(), ..question };
        let answer = question.answer()?;
        let mut found = vec![number(answer.solution.laser_power), answer.budget.lasers.to_string()];
        for (key, _) in &self.open {
            let solved = answer.solution.tolerances.iter().find(|s| s.tolerance.key() == *key);
            found.push(solved.map_or(String::new(), |s| number(s.value)));
        }
        Ok(found)
    }
}
