//! The chip of a design beside the systolic arrays that its rules allow, on training steps of networks.

use mirage_arithmetic::GemmConfig;
use mirage_devices::{Bench, Operands, Solution, unit_budget};
use mirage_system::area::{AreaItem, areas};
use mirage_system::baselines::{Format, Rule};
use mirage_system::compare::{Contender, Cost, Ratios, Scope, reference};
use mirage_system::{Estimate, NetworkResult, Options, Parts, Step, builtin};
use rayon::prelude::*;

use crate::design::Design;
use crate::error::Result;
use crate::progress::Progress;
use crate::study::devices::Question;

/// The devices of a design, solved once: what the design leaves open, and what the units are made of.
pub struct Devices {
    pub gemm: GemmConfig,
    pub solution: Solution,
    pub bench: Bench,
}

impl Devices {
    pub fn solve(design: &Design, operands: Vec<Operands>, seed: u64, progress: Progress) -> Result<Self> {
        let question = Question::new(design, design.gemm(seed)?, operands, seed, progress);
        let solution = question.solve()?;
        let moduli = question.gemm.moduli.as_slice();
        let bench = Bench::new(&solution.parameters, moduli, &question.operands)?;
        Ok(Self { gemm: question.gemm, solution, bench })
    }

    /// The largest error rate of a residue.
    pub fn worst_rate(&self) -> f64 {
        self.bench.rates(self.solution.laser_power).iter().map(|rates| rates.error_rate).fold(0.0, f64::max)
    }
}

/// All that is compared for one design.
pub struct Rivals {
    pub mirage: Contender,
    pub baselines: Vec<Contender>,
    pub areas: Vec<AreaItem>,
    pub parts: Parts,
    /// Published energy of a multiply-accumulate of the chip, J.
    own_energy: f64,
    energies: Vec<f64>,
}

impl Rivals {
    /// The chip of a design with these devices, and arrays of these formats under these rules.
    pub fn new(design: &Design, devices: &Devices, wanted: &[(Rule, Format)]) -> Result<Self> {
        Self::with_lasers(design, devices, wanted, 1.0)
    }

    /// The same with lasers that take so many times the power.
    pub fn with_lasers(
        design: &Design,
        devices: &Devices,
        wanted: &[(Rule, Format)],
        lasers: f64,
    ) -> Result<Self> {
        let system = &design.system;
        let (units, rows) = (*system.units, *system.rows);
        let efficiency = design.devices.design_point(devices.gemm.format.group).wall_plug_efficiency;
        let budget = unit_budget(&devices.bench, units, rows, devices.solution.laser_power, efficiency);
        let parts = Parts {
            laser_watts: budget.electrical_power * lasers,
            rings: budget.rings,
            multipliers: budget.mmus,
            amplifiers: budget.amplifiers,
            adcs: budget.adcs,
        };
        let photonic = photonic_area(design, devices.gemm.moduli.as_slice().len());
        let mirage = Contender::mirage(system, devices.gemm.format, &parts)?;
        let reference = reference(system, &mirage, &parts, photonic)?;
        let areas = areas(system, &parts, devices.gemm.format.group, photonic);
        let baselines: Vec<Contender> = wanted
            .iter()
            .map(|&(rule, format)| Contender::baseline(system, format, rule, &reference))
            .collect::<std::result::Result<_, _>>()?;
        let energy = |&(_, format): &(Rule, Format)| system.baselines.format(format).energy_per_mac.si();
        let energies = wanted.iter().map(energy).collect();
        let own_energy = reference.energy_per_mac;
        Ok(Self { mirage, baselines, areas, parts, own_energy, energies })
    }

    /// Every contender on every step: the chip first, then the baselines in their order.
    pub fn estimate(&self, steps: &[Step]) -> Result<Vec<Vec<Estimate>>> {
        let contenders: Vec<&Contender> = std::iter::once(&self.mirage).chain(&self.baselines).collect();
        let all: std::result::Result<Vec<Vec<Estimate>>, _> = contenders
            .par_iter()
            .map(|contender| steps.iter().map(|step| contender.estimate(step)).collect())
            .collect();
        Ok(all?)
    }

    /// Every contender on every step, event by event, in the order of [`Rivals::estimate`].
    pub fn simulate(&self, steps: &[Step], seed: u64, progress: Progress) -> Result<Vec<Vec<NetworkResult>>> {
        let contenders: Vec<&Contender> = std::iter::once(&self.mirage).chain(&self.baselines).collect();
        let bar = progress.bar((contenders.len() * steps.len()) as u64, "events of every array");
        let options = Options { seed, ..Options::default() };
        let one = |contender: &Contender, step: &Step| {
            let result = contender.simulate(step, &options).map(|result| result.network);
            bar.inc(1);
            result
        };
        let all: std::result::Result<Vec<Vec<NetworkResult>>, _> = contenders
            .par_iter()
            .map(|contender| steps.par_iter().map(|step| one(contender, step)).collect())
            .collect();
        bar.finish_and_clear();
        Ok(all?)
    }

    /// Costs of [`Rivals::estimate`], in the same order.
    pub fn costs(&self, estimates: &[Vec<Estimate>]) -> Vec<Vec<Cost>> {
        let energies = std::iter::once(&self.own_energy).chain(&self.energies);
        let costs =
            |(all, &energy): (&Vec<Estimate>, &f64)| all.iter().map(|e| Cost::new(e, energy)).collect();
        estimates.iter().zip(energies).map(costs).collect()
    }
}

/// Ratios of each baseline to the chip, network by network, from costs with the chip first.
pub fn ratios(costs: &[Vec<Cost>], scope: Scope) -> Vec<Vec<Ratios>> {
    let Some((chip, baselines)) = costs.split_first() else { return Vec::new() };
    let of = |all: &Vec<Cost>| all.iter().zip(chip).map(|(cost, chip)| cost.over(chip, scope)).collect();
    baselines.iter().map(of).collect()
}

/// Every format under both rules.
pub fn all() -> Vec<(Rule, Format)> {
    Rule::ALL.into_iter().flat_map(|rule| Format::ALL.map(|format| (rule, format))).collect()
}

/// The photonic units as they are laid out: MDPUs of all moduli side by side, `row_pitch` apart, each `unit_pitch` long.
fn photonic_area(design: &Design, moduli: usize) -> f64 {
    let variation = &design.devices.variation;
    let rows = f64::from(*design.system.units) * f64::from(*design.system.rows) * moduli as f64;
    rows * variation.row_pitch.si() * variation.unit_pitch.si()
}

/// Training steps of built-in networks, `all` for the seven.
pub fn steps(names: &[&str], batch: u64) -> Result<Vec<Step>> {
    let names = if names == ["all"] { mirage_system::NETWORKS.to_vec() } else { names.to_vec() };
    names
        .into_iter()
        .map(|name| {
            let network = builtin(name)?;
            Ok(network.step(batch, network.optimiser)?)
        })
        .collect()
}
