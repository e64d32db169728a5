//! From a key of the design to what training makes of it: at each point the devices are characterised, a network is trained on
//! their channel with each protection, and the chip does the same training with its repeats.

use mirage_arithmetic::{GemmConfig, GroupSample, OperandHistogram, ResidueChannel};
use mirage_devices::{Bench, SampledChips, Solution, UnitBudget, characterise};
use mirage_system::Options;
use mirage_training::{Arithmetic, Label, Plan, PlanResult, Sweep as TrainingSweep, SweepProtection};
use serde::Serialize;

use crate::design::Design;
use crate::error::{CliError, Result};
use crate::folder::Folder;
use crate::study::axis::Axis;
use crate::study::depth::VECTORS;
use crate::study::devices::{self, Question};
use crate::study::seeds::Tolerance;
use crate::study::sweep::held;
use crate::study::system;
use crate::study::training::{self, RunSummary, Setup};

/// What is swept, and on what.
pub struct DeviceSweep<'a> {
    pub design: &'a Design,
    pub setup: &'a Setup,
    pub axis: Axis,
    pub protections: Vec<SweepProtection>,
    /// Each seed on a sampled chip of its own, in place of the average over chips.
    pub chips: bool,
    pub seeds: Vec<u64>,
}

/// One protection at one point: the channel is the same for all seeds, or there is one for each.
pub struct Point {
    value: f64,
    protection: SweepProtection,
    gemm: GemmConfig,
    channels: Vec<ResidueChannel>,
    laser_power: f64,
    rates: Vec<f64>,
    cost: Cost,
}

/// What the devices are at one value of the key: a channel, or one for each seed.
struct Devices {
    channels: Vec<ResidueChannel>,
    laser_power: f64,
    budget: UnitBudget,
}

/// The training run on the chip.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    joules: f64,
    /// Seconds over those without repeats.
    slowdown: f64,
}

/// A line of device-tolerance.csv.
#[derive(Debug, Serialize)]
pub struct Row {
    pub key: String,
    pub value: f64,
    pub unit: String,
    pub chips: String,
    pub protection: String,
    pub laser_power_w: f64,
    pub mean_rate: f64,
    pub worst_rate: f64,
    pub seeds: usize,
    pub accuracy_mean: f64,
    pub accuracy_min: f64,
    pub accuracy_max: f64,
    pub diverged: usize,
    pub residues: u64,
    pub wrong: u64,
    pub detected: u64,
    pub corrected: u64,
    pub repeated: u64,
    pub exhausted: u64,
    pub silent: u64,
    pub seconds: f64,
    pub joules: f64,
    pub slowdown: f64,
}

/// How the runs without errors and those at a point are told apart in training.csv.
fn shape(point: &Point, axis: &Axis) -> String {
    format!("design at {} {}", crate::folder::number(point.value), axis.unit).trim_end().to_owned()
}

impl DeviceSweep<'_> {
    /// Characterises every point.
    pub fn points(&self, sweep: &TrainingSweep) -> Result<Vec<Point>> {
        let (design, setup) = (self.design, self.setup);
        let base = design.gemm(setup.config.seed)?;
        let (histogram, groups) = training::operands(setup, &base)?;
        let open = self.open(&base, &groups)?;
        let count = self.axis.values.len() * self.protections.len();
        let bar = setup.progress.bar(count as u64, "devices at each point");
        let mut points: Vec<Point> = Vec::new();
        for (i, &value) in self.axis.values.iter().enumerate() {
            let mut changes = self.axis.changes(i);
            changes.extend(open.iter().filter(|(key, _)| !self.axis.keys.contains(key)).cloned());
            let here = design.with(&changes)?;
            // Protections that share moduli and code share their devices.
            let mut known: Vec<(GemmConfig, Devices)> = Vec::new();
            for &protection in &self.protections {
                let gemm = sweep.protected(protection)?;
                let same = |(other, _): &(GemmConfig, Devices)| {
                    other.moduli == gemm.moduli && other.code == gemm.code
                };
                if !known.iter().any(same) {
                    known.push((gemm.clone(), self.devices(&here, &gemm, &groups)?));
                }
                let devices = known
                    .iter()
                    .find(|k| same(k))
                    .map(|(_, devices)| devices)
                    .expect("it was just put there");
                points.push(self.point((&here, value), (protection, gemm.clone()), devices, &histogram)?);
                bar.inc(1);
                setup.stop.check()?;
            }
        }
        bar.finish_and_clear();
        Ok(points)
    }

    /// What the design leaves open, as solved at the design itself.
    fn open(&self, gemm: &GemmConfig, groups: &GroupSample) -> Result<Vec<(String, String)>> {
        let question = self.question(self.design, gemm, groups)?;
        Ok(held(&question.solve()?))
    }

    fn question<'d>(
        &self,
        design: &'d Design,
        gemm: &GemmConfig,
        groups: &GroupSample,
    ) -> Result<Question<'d>> {
        let setup = self.setup;
        let operands = devices::operands_from(groups, gemm, &setup.operands_name())?;
        let progress = setup.progress.quiet();
        let question = Question::new(design, gemm.clone(), operands, setup.config.seed, progress);
        Ok(Question { stop: setup.stop.clone(), ..question })
    }

    /// The devices at a point, with the moduli and the code of a protection.
    fn devices(&self, design: &Design, gemm: &GemmConfig, groups: &GroupSample) -> Result<Devices> {
        let question = self.question(design, gemm, groups)?;
        let solution = question.solve()?;
        let moduli = gemm.moduli.as_slice();
        let bench = Bench::new(&solution.parameters, moduli, &question.operands)?;
        let budget = question.budget(&solution, &bench);
        let channels = if self.chips {
            self.sampled(&question, &solution)?
        } else {
            let (power, provenance) = (solution.laser_power, question.provenance());
            let (operands, code) = (&question.operands, &gemm.code);
            vec![characterise(&bench, power, &gemm.moduli, code, operands, &provenance)?.channel]
        };
        Ok(Devices { channels, laser_power: solution.laser_power, budget })
    }

    fn point(
        &self,
        (design, value): (&Design, f64),
        (protection, gemm): (SweepProtection, GemmConfig),
        devices: &Devices,
        histogram: &OperandHistogram,
    ) -> Result<Point> {
        let (moduli, channels) = (gemm.moduli.as_slice(), &devices.channels);
        let mean = |channel: &ResidueChannel| -> Result<Vec<f64>> {
            let rate = |&m: &u32| channel.error_rate_on(gemm.placement, m);
            Ok(moduli.iter().map(rate).collect::<std::result::Result<_, _>>()?)
        };
        let all = channels.iter().map(mean).collect::<Result<Vec<_>>>()?;
        let rates = (0..moduli.len()).map(|i| all.iter().map(|r| r[i]).sum::<f64>() / all.len() as f64);
        let rates = rates.collect();
        let chip = system::chip(&design.system, &gemm, &devices.budget)?;
        let entries = training::gemms(self.setup);
        let run = |repeats| -> Result<(f64, f64)> {
            let options = Options { repeats, seed: self.setup.config.seed, ..Options::default() };
            let results = system::simulate_products(&chip, &entries, &options)?;
            let sums = results.iter().map(|result| (result.network.seconds, result.network.joules()));
            Ok(sums.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1)))
        };
        let (without, _) = run(None)?;
        let repeats = system::repeat_model(&gemm, &channels[0], histogram)?;
        let (seconds, joules) = run(repeats)?;
        let cost = Cost { seconds, joules, slowdown: seconds / without };
        let (channels, laser_power) = (channels.clone(), devices.laser_power);
        Ok(Point { value, protection, gemm, channels, laser_power, rates, cost })
    }

    /// A channel for each seed: that of the chip of its number, counted from 0.
    fn sampled(&self, question: &Question<'_>, solution: &Solution) -> Result<Vec<ResidueChannel>> {
        let chips = SampledChips::new(question.setting_of(solution), question.gemm.placement, VECTORS)?;
        let report = |_: usize, _: usize, _: &str| {};
        let channel = |number: u32| {
            let (code, provenance) = (&question.gemm.code, question.provenance());
            chips.channel(number, code, &provenance, question.watch(&report)).map_err(CliError::from)
        };
        (0..).take(self.seeds.len()).map(channel).collect()
    }

    /// The runs without errors, one for each seed, and those of each point.
    pub fn plans(&self, points: &[Point], sweep: &TrainingSweep) -> Vec<Plan> {
        let mut plans = sweep.baselines();
        for point in points {
            for (i, &seed) in self.seeds.iter().enumerate() {
                let channel = &point.channels[i.min(point.channels.len() - 1)];
                let arithmetic = Arithmetic::Mirage(point.gemm.clone(), Box::new(channel.clone()));
                let config = mirage_training::TrainConfig { seed, ..self.setup.config.clone() };
                let mut plan = Plan::new(arithmetic, &shape(point, &self.axis), config);
                plan.label = Label { protection: point.protection.to_string(), ..plan.label };
                plans.push(plan);
            }
        }
        plans
    }

    /// Writes device-tolerance.csv and its picture.
    pub fn write(&self, folder: &Folder, points: &[Point], results: &[PlanResult]) -> Result<Vec<Row>> {
        let runs = training::summaries(results);
        let mut rows = Vec::new();
        for point in points {
            let (name, protection) = (shape(point, &self.axis), point.protection.to_string());
            let own = |run: &&RunSummary| run.error_shape == name && run.protection == protection;
            let own: Vec<RunSummary> = runs.iter().filter(own).cloned().collect();
            let of = Tolerance::of(&self.setup.network, &own);
            rows.extend(of.map(|of| self.row(point, of, &own)));
        }
        folder.rows("device-tolerance.csv", &rows)?;
        crate::plots::training::device_tolerance(folder, self.axis.log)?;
        Ok(rows)
    }

    fn row(&self, point: &Point, of: Tolerance, runs: &[RunSummary]) -> Row {
        Row {
            key: self.axis.keys.join(","),
            value: point.value,
            unit: self.axis.unit.clone(),
            chips: if self.chips { "one for each seed".into() } else { "average".into() },
            protection: of.protection,
            laser_power_w: point.laser_power,
            mean_rate: point.rates.iter().sum::<f64>() / point.rates.len() as f64,
            worst_rate: point.rates.iter().copied().fold(0.0, f64::max),
            seeds: of.seeds,
            accuracy_mean: of.accuracy_mean,
            accuracy_min: of.accuracy_min,
            accuracy_max: of.accuracy_max,
            diverged: of.diverged,
            residues: runs.iter().map(|r| r.residues).sum(),
            wrong: of.wrong,
            detected: of.detected,
            corrected: of.corrected,
            repeated: of.repeated,
            exhausted: runs.iter().map(|r| r.exhausted).sum(),
            silent: of.silent,
            seconds: point.cost.seconds,
            joules: point.cost.joules,
            slowdown: point.cost.slowdown,
        }
    }
}
