//! Trimming a sampled chip on the bench: what it takes, what it leaves, and what stops it.

use mirage_arithmetic::Placement;
use mirage_calibration::CalibrationError;
use mirage_calibration::trim::{Drift, Step, Tracked, TrackedStep, TrimPlan, Trimmed, track, trim};
use mirage_devices::{Lab, MdpuParameters, SampledChips, Solution, SweepSetting};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::folder::Folder;
use crate::study::devices::Question;

/// Vectors of operands that a unit's error rate is judged over.
const VECTORS: usize = 128;
/// Vectors of operands behind a root mean square of phase errors.
const PHASES: u32 = 4096;
/// By how much reads are multiplied to see what more of them would do.
const MORE: u32 = 4;
/// Factor that lifting a limit must gain to be named.
const WORTH: f64 = 2.0;

/// What to trim, and how.
pub struct Trimming<'a> {
    pub question: &'a Question<'a>,
    pub solution: &'a Solution,
    pub chip: u32,
    pub rows: u32,
    pub plan: TrimPlan,
    /// Reads for each angle of the curve.
    pub curve: Vec<u32>,
    pub looks: Drift,
}

/// One unit before and after.
#[derive(Debug, Clone, Serialize)]
pub struct UnitRow {
    pub modulus: u32,
    pub row: u32,
    pub error_rate_before: f64,
    pub error_rate_after: f64,
    pub relative_error: f64,
    pub phase_rms_before_rad: f64,
    pub phase_rms_after_rad: f64,
    pub reads: u64,
    pub settings: u64,
    pub codes_moved: usize,
    pub out_of_range: usize,
}

/// The error rate of a unit after one step of trimming.
#[derive(Debug, Clone, Serialize)]
struct StepRow {
    modulus: u32,
    row: u32,
    step: &'static str,
    reads: u64,
    error_rate: f64,
}

/// One stage: its detour over its bus.
#[derive(Debug, Clone, Serialize)]
struct StageRow {
    modulus: u32,
    row: u32,
    mmu: usize,
    digit: usize,
    made_rad: f64,
    found_rad: f64,
    left_rad: f64,
}

/// Error rates of a modulus for a number of reads.
#[derive(Debug, Clone, Serialize)]
pub struct ReadsRow {
    pub modulus: u32,
    pub reads_per_angle: u32,
    pub reads: f64,
    pub error_rate: f64,
    pub worst_error_rate: f64,
}

/// Error rates of a modulus with a limit lifted.
#[derive(Debug, Clone, Serialize)]
pub struct LimitRow {
    pub lifted: &'static str,
    pub modulus: u32,
    pub error_rate: f64,
}

/// What drift leaves of a modulus.
#[derive(Debug, Clone, Serialize)]
pub struct DriftRow {
    pub modulus: u32,
    pub drift_rms_rad: f64,
    pub left_rms_rad: f64,
    pub expected_rms_rad: f64,
    pub gain: f64,
    pub error_rate_settled: f64,
    pub error_rate_untracked: f64,
    pub error_rate_tracked: f64,
}

/// All of it.
pub struct TrimReport {
    pub units: Vec<UnitRow>,
    pub reads: Vec<ReadsRow>,
    pub limits: Vec<LimitRow>,
    pub drift: Vec<DriftRow>,
}

/// A limit of trimming, and the design without it.
struct Limit {
    name: &'static str,
    lift: fn(&mut MdpuParameters),
    reads: u32,
}

const LIMITS: [Limit; 5] = [
    Limit { name: "nothing", lift: |_| (), reads: 1 },
    Limit { name: "devices.trim.resolution", lift: |p| p.trim.resolution = 0.0, reads: 1 },
    Limit { name: "devices.dac.bits", lift: fine_dac, reads: 1 },
    Limit { name: "reads", lift: |_| (), reads: MORE },
    Limit {
        name: "all of these",
        lift: |p| {
            p.trim.resolution = 0.0;
            fine_dac(p);
        },
        reads: MORE,
    },
];

/// A DAC of the most bits that are modelled, so that its steps and its errors in LSB are nothing.
fn fine_dac(p: &mut MdpuParameters) {
    (p.dac.bits, p.dac.inl, p.dac.dnl) = (24, 0.0, 0.0);
}

impl Trimming<'_> {
    /// Trims, writes all tables and pictures, and returns what they hold.
    pub fn run(&self, folder: &Folder) -> Result<TrimReport> {
        let chips = self.chips(&self.solution.parameters)?;
        let (units, steps, stages) = self.units(&chips)?;
        folder.rows("trim.csv", &units)?;
        folder.rows("trim-steps.csv", &steps)?;
        folder.rows("trim-phases.csv", &stages)?;
        let reads = self.curve(&chips)?;
        folder.rows("trim-reads.csv", &reads)?;
        let limits = self.limits()?;
        folder.rows("trim-limits.csv", &limits)?;
        let drift = self.drift(&chips, folder)?;
        let target = self.question.point.target;
        crate::plots::trim::reads(folder, target, &units)?;
        crate::plots::trim::phases(folder)?;
        Ok(TrimReport { units, reads, limits, drift })
    }

    fn chips<'b>(&'b self, parameters: &'b MdpuParameters) -> Result<SampledChips<'b>> {
        let setting = SweepSetting { parameters, ..self.question.setting_of(self.solution) };
        Ok(SampledChips::new(setting, Placement { units: 1, rows: self.rows }, VECTORS)?)
    }

    fn moduli(&self) -> &[u32] {
        self.question.gemm.moduli.as_slice()
    }

    /// `work` on every unit, in parallel.
    fn each<T: Send>(
        &self,
        what: &str,
        work: impl Fn(usize) -> std::result::Result<T, CalibrationError> + Sync,
    ) -> Result<Vec<T>> {
        let count = self.rows as usize * self.moduli().len();
        let bar = self.question.progress.bar(count as u64, what);
        let one = |index| {
            self.question.stop.check()?;
            let result = work(index)?;
            bar.inc(1);
            Ok(result)
        };
        let all: Result<Vec<T>> = (0..count).into_par_iter().map(one).collect();
        bar.finish_and_clear();
        all
    }

    /// Modulus and row of a unit.
    fn seat(&self, index: usize) -> (u32, u32) {
        let moduli = self.moduli();
        (moduli[index % moduli.len()], (index / moduli.len()) as u32)
    }

    fn units(&self, chips: &SampledChips<'_>) -> Result<(Vec<UnitRow>, Vec<StepRow>, Vec<StageRow>)> {
        let one = |index: usize| {
            let (modulus, row) = self.seat(index);
            let mut lab = chips.lab(self.chip, index)?;
            let (before, made, phase) = (rate(chips, index, &lab), lab.differences(), lab.deviation(PHASES));
            let step = |step, reads, error_rate| StepRow { modulus, row, step, reads, error_rate };
            let mut steps = vec![step("as made", 0, before.0)];
            let after = |name: Step, lab: &Lab<'_>| {
                steps.push(step(name.name(), lab.spent().0, rate(chips, index, lab).0));
            };
            let trimmed = trim(&mut lab, self.plan, after)?;
            let (after, left) = (rate(chips, index, &lab), lab.deviation(PHASES));
            let unit = UnitRow {
                modulus,
                row,
                error_rate_before: before.0,
                error_rate_after: after.0,
                relative_error: after.1,
                phase_rms_before_rad: phase,
                phase_rms_after_rad: left,
                reads: trimmed.reads,
                settings: trimmed.settings,
                codes_moved: trimmed.moved,
                out_of_range: trimmed.out_of_range,
            };
            let stages = stages((modulus, row), &made, &trimmed, &lab.differences());
            Ok((unit, steps, stages))
        };
        let all = self.each("trimming", one)?;
        let (mut units, mut steps, mut phases) = (Vec::new(), Vec::new(), Vec::new());
        for (unit, step, stage) in all {
            units.push(unit);
            steps.extend(step);
            phases.extend(stage);
        }
        Ok((units, steps, phases))
    }

    /// Error rate and reads of every unit after trimming it with `plan`.
    fn trimmed(&self, chips: &SampledChips<'_>, plan: TrimPlan, what: &str) -> Result<Vec<(f64, u64)>> {
        self.each(what, |index| {
            let mut lab = chips.lab(self.chip, index)?;
            let trimmed = trim(&mut lab, plan, |_, _| ())?;
            Ok((rate(chips, index, &lab).0, trimmed.reads))
        })
    }

    /// For each modulus the numbers of its units.
    fn by_modulus<'b>(&self, all: &'b [(f64, u64)]) -> impl Iterator<Item = (u32, Vec<&'b (f64, u64)>)> {
        let moduli = self.moduli().to_vec();
        let count = moduli.len();
        moduli.into_iter().enumerate().map(move |(i, m)| (m, all.iter().skip(i).step_by(count).collect()))
    }

    fn curve(&self, chips: &SampledChips<'_>) -> Result<Vec<ReadsRow>> {
        let mut rows = Vec::new();
        for &reads in &self.curve {
            let plan = TrimPlan { reads, ..self.plan };
            let all = self.trimmed(chips, plan, &format!("trimming with {reads} reads an angle"))?;
            rows.extend(self.by_modulus(&all).map(|(modulus, units)| ReadsRow {
                modulus,
                reads_per_angle: reads,
                reads: units.iter().map(|u| u.1 as f64).sum::<f64>() / units.len() as f64,
                error_rate: units.iter().map(|u| u.0).sum::<f64>() / units.len() as f64,
                worst_error_rate: units.iter().map(|u| u.0).fold(0.0, f64::max),
            }));
        }
        Ok(rows)
    }

    fn limits(&self) -> Result<Vec<LimitRow>> {
        let mut rows = Vec::new();
        for limit in LIMITS {
            let mut parameters = self.solution.parameters.clone();
            (limit.lift)(&mut parameters);
            let chips = self.chips(&parameters)?;
            let plan = TrimPlan { reads: self.plan.reads.saturating_mul(limit.reads), ..self.plan };
            let all = self.trimmed(&chips, plan, &format!("trimming without the limit of {}", limit.name))?;
            rows.extend(self.by_modulus(&all).map(|(modulus, units)| LimitRow {
                lifted: limit.name,
                modulus,
                error_rate: units.iter().map(|u| u.0).sum::<f64>() / units.len() as f64,
            }));
        }
        Ok(rows)
    }

    /// Follows the drift of the first unit of each modulus; nothing where the design has none.
    fn drift(&self, chips: &SampledChips<'_>, folder: &Folder) -> Result<Vec<DriftRow>> {
        let (mut rows, mut looks) = (Vec::new(), Vec::new());
        for (index, &modulus) in self.moduli().iter().enumerate() {
            self.question.stop.check()?;
            let mut lab = chips.lab(self.chip, index)?;
            let drift = Drift { deviation: lab.unit().ambient(), ..self.looks };
            if drift.deviation == 0.0 {
                continue;
            }
            trim(&mut lab, self.plan, |_, _| ())?;
            let tracked = track(&mut lab, drift, self.question.seed)?;
            rows.push(drift_row(chips, index, &mut lab, &tracked));
            let look = |s: &TrackedStep| {
                let numbers = [s.time, s.drifted, s.left].map(crate::folder::number);
                [modulus.to_string()].into_iter().chain(numbers).collect::<Vec<_>>()
            };
            looks.extend(tracked.steps.iter().map(look));
        }
        if !rows.is_empty() {
            folder.rows("drift.csv", &rows)?;
            folder.table("drift-looks.csv", &["modulus", "time_s", "drifted_rad", "left_rad"], looks)?;
            crate::plots::trim::drift(folder, self.moduli()[0])?;
        }
        Ok(rows)
    }
}

/// A rate is a probability, and above a tenth its estimate may exceed one by a few per cent.
fn rate(chips: &SampledChips<'_>, index: usize, lab: &Lab<'_>) -> (f64, f64) {
    let (rate, error) = chips.rate_of(index, lab);
    (rate.min(1.0), error)
}

fn stages(
    (modulus, row): (u32, u32),
    made: &[Vec<f64>],
    trimmed: &Trimmed,
    left: &[Vec<f64>],
) -> Vec<StageRow> {
    let mut rows = Vec::new();
    for (mmu, made) in made.iter().enumerate() {
        for (digit, &made_rad) in made.iter().enumerate() {
            let (found_rad, left_rad) = (trimmed.found[mmu][digit], left[mmu][digit]);
            rows.push(StageRow { modulus, row, mmu, digit, made_rad, found_rad, left_rad });
        }
    }
    rows
}

/// Rates at so many of the looks stand for all.
const LOOKED: usize = 64;

fn drift_row(chips: &SampledChips<'_>, index: usize, lab: &mut Lab<'_>, tracked: &Tracked) -> DriftRow {
    let n = tracked.steps.len().max(1);
    let square = |pick: fn(&TrackedStep) -> f64| {
        (tracked.steps.iter().map(|s| pick(s).powi(2)).sum::<f64>() / n as f64).sqrt()
    };
    let mut mean = |pick: fn(&TrackedStep) -> f64| {
        let looks: Vec<f64> = tracked.steps.iter().step_by(n.div_ceil(LOOKED)).map(pick).collect();
        let mut sum = 0.0;
        for &phase in &looks {
            lab.drift(phase);
            sum += rate(chips, index, lab).0;
        }
        lab.drift(0.0);
        sum / looks.len() as f64
    };
    let (untracked, with) = (mean(|s| s.drifted), mean(|s| s.left));
    DriftRow {
        modulus: lab.unit().modulus(),
        drift_rms_rad: square(|s| s.drifted),
        left_rms_rad: square(|s| s.left),
        expected_rms_rad: tracked.expected,
        gain: tracked.gain,
        error_rate_settled: rate(chips, index, lab).0,
        error_rate_untracked: untracked,
        error_rate_tracked: with,
    }
}

impl TrimReport {
    /// The worst modulus' mean error rate with a limit lifted.
    fn without(&self, name: &str) -> f64 {
        self.limits.iter().filter(|l| l.lifted == name).map(|l| l.error_rate).fold(0.0, f64::max)
    }

    /// The worst modulus' mean error rate as trimmed (trim.csv).
    fn trimmed(&self) -> f64 {
        let of = |modulus: u32| -> f64 {
            let rates: Vec<f64> =
                self.units.iter().filter(|u| u.modulus == modulus).map(|u| u.error_rate_after).collect();
            rates.iter().sum::<f64>() / rates.len() as f64
        };
        self.units.iter().map(|unit| of(unit.modulus)).fold(0.0, f64::max)
    }

    /// Whether the target is reached, and what stops it otherwise.
    pub fn verdict(&self, target: f64) -> (bool, String) {
        let after = self.trimmed();
        let all = self.without("all of these");
        if after <= target {
            let words = format!(
                "trimmed, the worst modulus errs at {after:.1e}: the target of {target:.0e} is reached"
            );
            return (true, words);
        }
        let single = LIMITS.iter().filter(|l| !["nothing", "all of these"].contains(&l.name));
        let best = single.map(|l| (self.without(l.name), l.name)).min_by(|a, b| a.0.total_cmp(&b.0));
        let words = match best {
            Some((rate, name)) if rate < after / WORTH => {
                format!("{name} stops it most: without that limit {rate:.1e}, without all of them {all:.1e}")
            }
            _ if all > target => format!(
                "without any of these limits it is still {all:.1e}: noise, leaking rings or crosstalk stop it, not trimming"
            ),
            _ => format!("no single limit stops it: without all of them {all:.1e}"),
        };
        (
            false,
            format!(
                "trimmed, the worst modulus errs at {after:.1e}, above the target of {target:.0e}; {words}"
            ),
        )
    }
}
