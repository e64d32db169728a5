//! Characterisation of the devices, its tables and plots.

use std::path::Path;

use mirage_arithmetic::{GemmConfig, GroupSample, OperandHistogram, ResidueChannel};
use mirage_devices::chips::{Judge, Samples, sample_rate};
use mirage_devices::{
    Bench, Characterisation, DesignPoint, Obstacle, Operands, Provenance, ReadOut, Report, RequiredPower,
    Solution, SweepRow, SweepSetting, SweepStudy, Tolerance, Toleranced, UnitBudget, Watch, characterise,
    default_sweeps, run_sweeps, solve, unit_budget, write_errors_csv,
};
use serde::Serialize;

use crate::design::Design;
use crate::error::{CliError, Result, open_text};
use crate::folder::{Folder, number};
use crate::journal::Journal;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::study::training::{self, Setup};

/// Reads that an answer must rest on before it says anything.
const FEWEST: f64 = 100.0;

/// Reads of each sampled chip in a Monte-Carlo check.
const READS_PER_CHIP: usize = 64;

/// The question put to the devices: a design point, the arithmetic it serves, and the operands it meets.
pub struct Question<'a> {
    pub design: &'a Design,
    pub gemm: GemmConfig,
    pub point: DesignPoint,
    pub operands: Vec<Operands>,
    pub seed: u64,
    pub progress: Progress,
    /// Asked to stop by the user.
    pub stop: Stop,
}

/// The answer: everything solved, and the channel.
pub struct Answer {
    pub solution: Solution,
    pub bench: Bench,
    pub characterisation: Characterisation,
    pub budget: UnitBudget,
    pub rule: Vec<Rule>,
}

/// What the recalled rule "SNR = m" gives for one modulus.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    pub modulus: u32,
    pub laser_power_w: f64,
    pub error_rate: f64,
    pub noise_only: f64,
}

/// Operands of the units from a sample of whole reads: stationary levels and streamed residues of each modulus.
pub fn operands_from(sample: &GroupSample, gemm: &GemmConfig, name: &str) -> Result<Vec<Operands>> {
    let (moduli, code) = (&gemm.moduli, &gemm.code);
    let one = |(index, &m): (usize, &u32)| {
        let residue = |q: &i16| moduli.residue(i64::from(*q), index);
        let groups = sample.pairs().map(|pair| {
            let level = |q| code.level(index, residue(q)) as usize;
            let stationary = pair.first.iter().map(level).collect();
            (stationary, pair.second.iter().map(|q| residue(q) as usize).collect())
        });
        Ok(Operands::sampled(name, m, groups.collect())?)
    };
    moduli.as_slice().iter().enumerate().map(one).collect()
}

/// What `--operands` names: `uniform`, `training` (of `setup`), or a groups.csv.
pub fn operands_named(what: &str, setup: &Setup, gemm: &GemmConfig) -> Result<Vec<Operands>> {
    let name = match what {
        "uniform" => return Ok(gemm.moduli.as_slice().iter().map(|&m| Operands::uniform(m)).collect()),
        "training" => setup.operands_name(),
        path => path.to_owned(),
    };
    operands_from(&groups_named(what, setup, gemm)?, gemm, &name)
}

/// Whole reads: `training` (of `setup`), or a groups.csv.
pub fn groups_named(what: &str, setup: &Setup, gemm: &GemmConfig) -> Result<GroupSample> {
    if what == "training" {
        return Ok(training::operands(setup, gemm)?.1);
    }
    let file = open_text(what.as_ref(), "a table of reads, groups.csv").map_err(|e| match e {
        CliError::Read { source, .. } => no_operands(what, source),
        other => other,
    })?;
    let sample = GroupSample::read_csv(file, what)?;
    sample.check(gemm.format).map_err(|e| CliError::message(format!("{what}: {e}")))?;
    Ok(sample)
}

/// A file of operands that cannot be read: perhaps none was meant.
fn no_operands(path: &str, error: std::io::Error) -> CliError {
    CliError::message(format!(
        "--operands {path}: cannot read this file: {error}\nhelp: give `training`, `uniform`, or the groups.csv of a run"
    ))
}

/// What every answer depends on, to tell whether kept work can be used again.
pub struct Asked(serde_json::Value);

impl Asked {
    pub fn new(design: &Design, seed: u64, operands: &str) -> Result<Self> {
        let operands = match operands {
            "uniform" | "training" => operands.to_owned(),
            path => sha256(&std::fs::read(path).map_err(|e| no_operands(path, e))?),
        };
        Ok(Self(serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "design": design.sha256(), "seed": seed,
            "operands": operands,
        })))
    }

    /// The journal of one part of the work, which also depends on `more`.
    pub fn journal(&self, folder: &Folder, name: &str, more: serde_json::Value) -> Result<Journal> {
        let mut question = self.0.clone();
        question[name] = more;
        Journal::open(folder.path(), name, &question)
    }
}

/// Reads an operand histogram and checks that it is for this format.
pub fn histogram(path: &Path, gemm: &GemmConfig) -> Result<OperandHistogram> {
    let name = path.display().to_string();
    let histogram = OperandHistogram::read_csv(open_text(path, "a histogram, operands.csv")?, &name)?;
    histogram.check(gemm.format).map_err(|e| CliError::message(format!("{name}: {e}")))?;
    Ok(histogram)
}

impl<'a> Question<'a> {
    pub fn new(
        design: &'a Design,
        gemm: GemmConfig,
        operands: Vec<Operands>,
        seed: u64,
        progress: Progress,
    ) -> Self {
        let point = design.devices.design_point(gemm.format.group);
        Self { design, gemm, point, operands, seed, progress, stop: Stop::default() }
    }

    fn moduli(&self) -> &[u32] {
        self.gemm.moduli.as_slice()
    }

    /// Solves for what the design leaves open, and characterises the result.
    pub fn answer(&self) -> Result<Answer> {
        let solution = self.solve()?;
        let bench = Bench::new(&solution.parameters, self.moduli(), &self.operands)?;
        let (moduli, code) = (&self.gemm.moduli, &self.gemm.code);
        let power = solution.laser_power;
        let characterisation = characterise(&bench, power, moduli, code, &self.operands, &self.provenance())?;
        let budget = self.budget(&solution, &bench);
        let rule = self.rule(&bench);
        Ok(Answer { solution, bench, characterisation, budget, rule })
    }

    /// What the header of a channel says of its origin.
    pub fn provenance(&self) -> Provenance {
        Provenance { design: self.design.sha256(), seed: self.seed }
    }

    pub fn budget(&self, solution: &Solution, bench: &Bench) -> UnitBudget {
        let (units, rows) = (*self.design.system.units, *self.design.system.rows);
        unit_budget(bench, units, rows, solution.laser_power, self.point.wall_plug_efficiency)
    }

    /// Values for what the design leaves open.
    pub fn solve(&self) -> Result<Solution> {
        let bar = self.progress.bar(self.point.required.len() as u64 + 1, "solving for tolerances");
        let report = |step: usize, _: usize, _: &str| bar.set_position(step as u64);
        let solution = solve(&self.point, self.moduli(), &self.operands, self.watch(&report))?;
        bar.finish_and_clear();
        Ok(solution)
    }

    /// The solved design, for studies around it.
    pub fn setting<'b>(&'b self, answer: &'b Answer) -> SweepSetting<'b> {
        self.setting_of(&answer.solution)
    }

    /// The same of a solution alone.
    pub fn setting_of<'b>(&'b self, solution: &'b Solution) -> SweepSetting<'b> {
        SweepSetting {
            parameters: &solution.parameters,
            laser_power: solution.laser_power,
            max_laser_power: self.point.max_laser_power,
            target: self.point.target,
            moduli: self.moduli(),
            operands: &self.operands,
            seed: self.seed,
        }
    }

    /// Progress to `report`, and Ctrl-C.
    pub fn watch<'b>(&'b self, report: Report<'b>) -> Watch<'b> {
        Watch { report: Some(report), cancel: Some(self.stop.flag()) }
    }

    /// The recalled rule: amplitude over noise is m.
    fn rule(&self, bench: &Bench) -> Vec<Rule> {
        let found = bench.snr_rule(1.0, self.point.max_laser_power).into_iter().flatten();
        found
            .map(|r| Rule {
                modulus: r.modulus,
                laser_power_w: r.laser_power,
                error_rate: r.error_rate,
                noise_only: ReadOut::new(r.modulus, None).wedge_error(f64::from(r.modulus), 0.0),
            })
            .collect()
    }

    /// Writes errors.csv: each parameter swept alone around the solved design. What the journal has is not done again.
    pub fn sweeps(&self, folder: &Folder, answer: &Answer, journal: Option<&Journal>) -> Result<Swept> {
        let sweeps = default_sweeps(&answer.solution.parameters, answer.solution.laser_power);
        let setting = self.setting(answer);
        let rows = match journal {
            Some(journal) => {
                journal.study(&SweepStudy::new(&sweeps, setting)?, (&self.stop, self.progress))?
            }
            None => {
                let points: usize = sweeps.iter().map(|s| s.values().len()).sum();
                let bar = self.progress.bar(points as u64, "sweeping tolerances");
                let report = |_: usize, _: usize, _: &str| bar.inc(1);
                let rows = run_sweeps(&sweeps, &setting, self.watch(&report))?;
                bar.finish_and_clear();
                rows
            }
        };
        folder.write("errors.csv", |out| write_errors_csv(&rows, out))?;
        let rates: Vec<f64> = answer.characterisation.rates.iter().map(|r| r.error_rate).collect();
        let own = |parameter: &str| own(&answer.solution, parameter);
        let pictures = crate::plots::sweep::around(folder, self.point.target, &rates, own)?;
        Ok(Swept { pictures, unreachable: unreachable(&rows) })
    }

    /// What a design whose laser power is given lacks for its target; nothing where it meets it.
    pub fn shortfall(&self, answer: &Answer) -> Result<Option<String>> {
        let target = self.point.target;
        let rates = answer.characterisation.rates.iter().map(|r| r.error_rate);
        let worst = rates.fold(0.0, f64::max);
        if answer.solution.power_solved || worst <= target {
            return Ok(None);
        }
        let given = answer.solution.laser_power;
        let why = match answer.bench.required_power(target, self.point.max_laser_power) {
            RequiredPower::Power(power) => {
                let more = 10.0 * (power / given).log10();
                format!("devices.laser.power = {power:.3e} W would do, {more:.2} dB more")
            }
            RequiredPower::Floor(_) => {
                let cause = Obstacle::find(&answer.bench, &self.setting(answer))?.cause();
                format!("unreachable: {cause}")
            }
        };
        Ok(Some(format!("the target of {target:.0e} is not met at the given {given:.3e} W: {why}")))
    }

    /// Writes validation.csv: the channel's rates beside plain Monte-Carlo with noise draws on sampled chips, and beside the
    /// sector integral on the same chips; returns what to say of each modulus.
    pub fn monte_carlo(&self, folder: &Folder, answer: &Answer, reads: u64) -> Result<Vec<String>> {
        let chips = usize::try_from(reads / READS_PER_CHIP as u64).unwrap_or(usize::MAX).max(2);
        let judges =
            [("plain Monte-Carlo", Judge::Noise), ("sector integral on sampled chips", Judge::Conditional)];
        let all_chips = chips.saturating_mul(judges.len() * self.moduli().len());
        let bar = self.progress.bar(all_chips as u64, "plain Monte-Carlo");
        let report = |_: usize, _: usize, _: &str| bar.inc(1);
        let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
        let all = answer
            .bench
            .units()
            .iter()
            .zip(&answer.characterisation.rates)
            .zip(&answer.characterisation.bounds);
        for (index, (((unit, _), found), bounds)) in all.enumerate() {
            let (low, high) =
                (found.error_rate * bounds.lower_ratio, (found.error_rate * bounds.upper_ratio).min(1.0));
            for (name, judge) in judges {
                let (operands, power) = (&self.operands[index], answer.solution.laser_power);
                let samples = Samples { chips, reads: READS_PER_CHIP, seed: self.seed };
                let e = sample_rate(unit, operands, power, samples, judge, self.watch(&report))?;
                // Reads that the answer rests on: errors for draws of noise; for the integral, whose mean is carried by few
                // reads of high probability, E[p]^2 / E[p^2] of them, where E[p^2] / E[p] is P(wrong again | wrong).
                let seen = e.reads as f64
                    * match judge {
                        Judge::Noise => found.error_rate,
                        Judge::Conditional => found.error_rate / found.again[0].max(found.error_rate),
                    };
                verdicts.push(if seen < FEWEST {
                    format!(
                        "modulus {}: {name} gives {:.1e} but cannot see a mean of {:.1e}, which rests on about {seen:.1} of its {} reads",
                        found.modulus, e.error_rate, found.error_rate, e.reads
                    )
                } else {
                    let word = if e.lower <= high && e.upper >= low { "agrees" } else { "does not overlap" };
                    format!(
                        "modulus {}: {name} gives {:.2e} ({:.1e} to {:.1e}): {word} with the channel's {:.2e} ({low:.1e} to {high:.1e})",
                        found.modulus, e.error_rate, e.lower, e.upper, found.error_rate
                    )
                });
                let numbers = [e.error_rate, e.lower, e.upper, found.error_rate, low, high].map(number);
                let names =
                    [found.modulus.to_string(), name.to_owned(), chips.to_string(), e.reads.to_string()];
                rows.push(names.into_iter().chain(numbers).collect::<Vec<_>>());
            }
        }
        bar.finish_and_clear();
        let header = [
            "modulus",
            "estimator",
            "chips",
            "reads",
            "error_rate",
            "lower",
            "upper",
            "channel_error_rate",
            "channel_lower",
            "channel_upper",
        ];
        folder.table("validation.csv", &header, rows)?;
        Ok(verdicts)
    }
}

/// What the usual sweeps leave beside errors.csv.
pub struct Swept {
    /// Names of the pictures.
    pub pictures: Vec<String>,
    /// For each sweep with values at which the target is unreachable: which, and why.
    pub unreachable: Vec<String>,
}

/// Values of each sweep at which the target is unreachable, with the cause at the last of them before it is reachable.
fn unreachable(rows: &[SweepRow]) -> Vec<String> {
    let mut words = Vec::new();
    for sweep in rows.chunk_by(|a, b| a.sweep == b.sweep) {
        let points: Vec<&SweepRow> =
            sweep.chunk_by(|a, b| a.value == b.value).filter_map(|rows| rows.first()).collect();
        let out: Vec<&SweepRow> = points.iter().copied().filter(|p| p.reachable != "yes").collect();
        // Nearest to what is reachable.
        let near = match points.first().is_some_and(|p| p.reachable != "yes") {
            true => points.iter().take_while(|p| p.reachable != "yes").last(),
            false => points.iter().find(|p| p.reachable != "yes"),
        };
        let Some(near) = near else { continue };
        let values = out.iter().map(|p| number(p.value)).collect::<Vec<_>>().join(", ");
        words.push(format!(
            "{}: unreachable at {values} {}. At {}: {}",
            near.parameter,
            near.unit,
            number(near.value),
            near.cause
        ));
    }
    words
}

/// The design's own value of what one of the usual sweeps varies.
fn own(solution: &Solution, parameter: &str) -> Option<f64> {
    let parameters = &solution.parameters;
    match Toleranced::find(parameter) {
        Ok(tolerance) => tolerance.value(parameters, solution.laser_power),
        // What the trim leaves on a path: even within a step, as long as it reaches.
        Err(_) => Some(parameters.trim.resolution / 12f64.sqrt()),
    }
}

/// Writes channel.csv and requirements.csv.
pub fn write(folder: &Folder, answer: &Answer) -> Result<()> {
    folder.write("channel.csv", |out| answer.characterisation.channel.write_csv(out))?;
    let rows = answer.solution.tolerances.iter().map(|s| {
        let known = s.tolerance.known();
        [
            s.tolerance.key().to_owned(),
            number(s.value),
            s.tolerance.unit().to_owned(),
            number(s.penalty_db),
            number(s.ideal_power),
            number(s.power),
            known.text.to_owned(),
            known.mark.to_owned(),
        ]
    });
    let header = [
        "key",
        "required",
        "unit",
        "power_penalty_db",
        "laser_power_if_ideal_w",
        "laser_power_with_it_w",
        "known",
        "mark_of_known",
    ];
    folder.table("requirements.csv", &header, rows)
}

/// What the summary says of the devices.
pub fn summary(question: &Question<'_>, answer: &Answer) -> serde_json::Value {
    let rates = &answer.characterisation.rates;
    let worst = rates.iter().max_by(|a, b| a.error_rate.total_cmp(&b.error_rate));
    let channel: Vec<_> = rates
        .iter()
        .zip(&answer.characterisation.bounds)
        .map(|(r, b)| {
            serde_json::json!({
                "modulus": r.modulus, "error_rate": r.error_rate, "lower": r.error_rate * b.lower_ratio,
                "upper": (r.error_rate * b.upper_ratio).min(1.0), "adjacent": r.adjacent, "other": r.other,
                "again": r.again[0], "snr": r.snr, "snr_db": r.snr_db(), "signal_w": r.signal_power,
                "reference_w": r.reference_power,
            })
        })
        .collect();
    let requirements: Vec<_> = answer
        .solution
        .tolerances
        .iter()
        .map(|s| {
            serde_json::json!({
                "key": s.tolerance.key(), "value": s.value, "unit": s.tolerance.unit(), "shown": shown(s.tolerance, s.value),
                "penalty_db": s.penalty_db, "known": s.tolerance.known().text, "mark": s.tolerance.known().mark,
            })
        })
        .collect();
    let header = &answer.characterisation.channel.header;
    let (b, point) = (&answer.budget, &question.point);
    serde_json::json!({
        "target": point.target, "penalty_db": point.penalty_db,
        "worst_rate": worst.map(|r| r.error_rate), "worst_modulus": worst.map(|r| r.modulus),
        "laser_power_w": answer.solution.laser_power, "power_solved": answer.solution.power_solved,
        "max_laser_power_w": point.max_laser_power, "lasers": b.lasers, "laser_optical_w": b.optical_power,
        "laser_electrical_w": b.electrical_power, "requirements": requirements, "channel": channel, "rule": answer.rule,
        "estimator": header.get("estimator"), "operands": header.get("operands"),
        "parts": {
            "mdpus": b.mdpus, "mmus": b.mmus, "shifters": b.shifters, "rings": b.rings, "photodiodes": b.photodiodes,
            "amplifiers": b.amplifiers, "adcs": b.adcs,
        },
        "worst_loss_db": b.worst_loss_db, "mean_loss_db": b.mean_loss_db,
    })
}

/// A required value for people.
fn shown(tolerance: Tolerance, value: f64) -> String {
    match tolerance {
        Tolerance::DacBits => format!("{value} bits at least"),
        Tolerance::TrimResolution => format!("{:.3} mrad step at most", value * 1e3),
        Tolerance::RingExtinction => format!("{value} dB at least"),
        Tolerance::Crosstalk => format!("{value:.1e} at most"),
    }
}

/// The design's channel, characterised with the operands of this training.
pub fn channel_of(design: &Design, setup: &Setup, seed: u64) -> Result<ResidueChannel> {
    let gemm = design.gemm(seed)?;
    let operands = operands_named("training", setup, &gemm)?;
    let question = Question::new(design, gemm, operands, seed, setup.progress);
    Ok(Question { stop: setup.stop.clone(), ..question }.answer()?.characterisation.channel)
}

/// Light and parts of the chip, laser power solved for if the design leaves it open.
pub fn budget_of(
    design: &Design,
    operands: Vec<Operands>,
    seed: u64,
    progress: Progress,
) -> Result<UnitBudget> {
    let question = Question::new(design, design.gemm(seed)?, operands, seed, progress);
    let solution = question.solve()?;
    let bench = Bench::new(&solution.parameters, question.moduli(), &question.operands)?;
    Ok(question.budget(&solution, &bench))
}

/// The laser power that a target needs with everything else as solved; `None` where a floor lies above it.
pub fn power_for(question: &Question<'_>, answer: &Answer, target: f64) -> Option<f64> {
    match answer.bench.required_power(target, question.point.max_laser_power) {
        RequiredPower::Power(power) => Some(power),
        RequiredPower::Floor(_) => None,
    }
}

/// SHA-256 as hexadecimal text.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

/// Bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
