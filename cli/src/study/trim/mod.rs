//! Trimming a sampled chip on the bench: what it takes, what it leaves, and what stops it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mirage_calibration::CalibrationError;
use mirage_calibration::trim::{Drift, Step, TrimPlan, Trimmed, trim};
use mirage_devices::{Lab, MdpuParameters, SampledChips, Solution, SweepSetting};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::folder::Folder;
use crate::study::devices::Question;

pub mod drift;
pub mod trials;
pub mod verdict;

use drift::{DriftRow, DriftTrial};
use trials::{Benefit, Rates, Trial, Trials};
use verdict::{Lifted, Verdict};

/// Vectors of operands that a unit's error rate is judged over.
const VECTORS: usize = 128;
/// Vectors of operands behind a root mean square of phase errors.
const PHASES: u32 = 4096;
/// By how much reads are multiplied to see what more of them would do.
const MORE: u32 = 4;

/// What to trim, and how.
pub struct Trimming<'a> {
    pub question: &'a Question<'a>,
    pub solution: &'a Solution,
    pub chip: u32,
    /// Rows of the chip's first unit that are trimmed.
    pub rows: u32,
    /// How often each unit is trimmed, always from as made, with other noise.
    pub repeats: u32,
    pub plan: TrimPlan,
    /// Reads for each angle of the curve.
    pub curve: Vec<u32>,
    pub looks: Drift,
}

/// One trimming of one unit.
#[derive(Debug, Clone, Serialize)]
pub struct UnitRow {
    pub modulus: u32,
    pub row: u32,
    pub repeat: u32,
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
    repeat: u32,
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
    pub standard_error: f64,
    pub lowest: f64,
    pub highest: f64,
}

/// Error rates of a modulus with a limit lifted.
#[derive(Debug, Clone, Serialize)]
pub struct LimitRow {
    pub lifted: &'static str,
    pub modulus: u32,
    pub error_rate: f64,
    pub standard_error: f64,
    pub lowest: f64,
    pub highest: f64,
    pub benefit: f64,
    pub benefit_lower: f64,
    pub benefit_upper: f64,
}

impl LimitRow {
    /// What lifting it does, in words.
    pub fn words(&self) -> String {
        Benefit { factor: self.benefit, lower: self.benefit_lower, upper: self.benefit_upper }.words()
    }
}

/// All of it.
pub struct TrimReport {
    pub units: Vec<UnitRow>,
    pub reads: Vec<ReadsRow>,
    pub limits: Vec<LimitRow>,
    pub drift: Vec<DriftRow>,
    pub verdict: Verdict,
}

/// A limit of trimming, and the design without it.
struct Limit {
    name: &'static str,
    /// What is done without it, for the line of progress.
    doing: &'static str,
    several: bool,
    lift: fn(&mut MdpuParameters),
    reads: u32,
}

/// What trim-limits.csv calls the trimmings that all others are held against.
pub const NOTHING: &str = "nothing";

const LIMITS: [Limit; 4] = [
    Limit {
        name: "devices.trim.resolution",
        doing: "trimming in steps of no size",
        several: false,
        lift: |p| p.trim.resolution = 0.0,
        reads: 1,
    },
    Limit {
        name: "devices.dac.bits",
        doing: "trimming with a DAC of 24 bits",
        several: false,
        lift: fine_dac,
        reads: 1,
    },
    Limit {
        name: "reads",
        doing: "trimming with four times the reads",
        several: false,
        lift: |_| (),
        reads: MORE,
    },
    Limit {
        name: "all of these",
        doing: "trimming without any of these limits",
        several: true,
        lift: |p| {
            p.trim.resolution = 0.0;
            fine_dac(p);
        },
        reads: MORE,
    },
];

/// What trimming all units, every repeat, gave.
struct AsMade {
    units: Vec<UnitRow>,
    steps: Vec<StepRow>,
    stages: Vec<StageRow>,
    drift: Vec<DriftTrial>,
    trials: Trials,
}

/// The same of one unit and one repeat.
struct OneUnit {
    unit: UnitRow,
    steps: Vec<StepRow>,
    stages: Vec<StageRow>,
    drift: Option<DriftTrial>,
}

/// A DAC of the most bits that are modelled, so that its steps and its errors in LSB are nothing.
fn fine_dac(p: &mut MdpuParameters) {
    (p.dac.bits, p.dac.inl, p.dac.dnl) = (24, 0.0, 0.0);
}

impl Trimming<'_> {
    /// Trims, writes all tables and pictures, and returns what they hold.
    pub fn run(&self, folder: &Folder) -> Result<TrimReport> {
        let chips = self.chips(&self.solution.parameters)?;
        let made = self.units(&chips)?;
        folder.rows("trim.csv", &made.units)?;
        folder.rows("trim-steps.csv", &made.steps)?;
        folder.rows("trim-phases.csv", &made.stages)?;
        // Trimmings without a limit lifted, by their reads: none is made twice.
        let mut known = BTreeMap::from([(self.plan.reads, made.trials.clone())]);
        let reads = self.curve(&chips, &mut known)?;
        folder.rows("trim-reads.csv", &reads)?;
        let lifted = self.lifted(&chips, &known)?;
        let limits = limit_rows(&made.trials, &lifted)?;
        folder.rows("trim-limits.csv", &limits)?;
        let drift = self.drift(&made.drift, folder)?;
        let target = self.question.point.target;
        let verdict = Verdict::new(target, &made.trials, &lifted)?;
        crate::plots::trim::reads(folder, target, &made.units)?;
        crate::plots::trim::phases(folder)?;
        Ok(TrimReport { units: made.units, reads, limits, drift, verdict })
    }

    /// The whole chip, so that its maps are those of `characterize --chip`.
    fn chips<'b>(&'b self, parameters: &'b MdpuParameters) -> Result<SampledChips<'b>> {
        let setting = SweepSetting { parameters, ..self.question.setting_of(self.solution) };
        Ok(SampledChips::new(setting, self.question.gemm.placement, VECTORS)?)
    }

    fn moduli(&self) -> &[u32] {
        self.question.gemm.moduli.as_slice()
    }

    /// `work` on every unit, repeat by repeat, in parallel: told the number of the unit on the chip, and the repeat.
    fn each<T: Send>(
        &self,
        what: &str,
        work: impl Fn(usize, u32) -> std::result::Result<T, CalibrationError> + Sync,
    ) -> Result<Vec<T>> {
        let units = self.rows as usize * self.moduli().len();
        let count = units * self.repeats as usize;
        let bar = self.question.progress.bar(count as u64, what);
        let one = |index| {
            self.question.stop.check()?;
            let result = work(index % units, (index / units) as u32)?;
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

    fn units(&self, chips: &SampledChips<'_>) -> Result<AsMade> {
        let all = self.each("trimming", |index, repeat| self.unit(chips, index, repeat))?;
        let trial = |one: &OneUnit| Trial { rate: one.unit.error_rate_after, reads: one.unit.reads };
        let trials = Trials::new(self.moduli(), self.rows, &all.iter().map(trial).collect::<Vec<_>>());
        let (mut units, mut steps, mut stages, mut drift) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for one in all {
            units.push(one.unit);
            steps.extend(one.steps);
            stages.extend(one.stages);
            drift.extend(one.drift);
        }
        Ok(AsMade { units, steps, stages, drift, trials })
    }

    /// Trims one unit; of the first row it also follows the drift, of the first repeat it keeps the stages.
    fn unit(
        &self,
        chips: &SampledChips<'_>,
        index: usize,
        repeat: u32,
    ) -> std::result::Result<OneUnit, CalibrationError> {
        let (modulus, row) = self.seat(index);
        // Looked at on a bench of its own: what is drawn here must not move the noise of the trimming, which other tables share.
        let phase_rms_before_rad = chips.lab(self.chip, index)?.deviation(PHASES);
        let mut lab = chips.lab_again(self.chip, index, repeat)?;
        let (before, made) = (rate(chips, index, &lab), lab.differences());
        let step = |step, reads, error_rate| StepRow { modulus, row, repeat, step, reads, error_rate };
        let mut steps = vec![step("as made", 0, before.0)];
        let after = |name: Step, lab: &Lab<'_>| {
            steps.push(step(name.name(), lab.spent().0, rate(chips, index, lab).0));
        };
        let trimmed = trim(&mut lab, self.plan, after)?;
        let after = rate(chips, index, &lab);
        let stages = match repeat {
            0 => stages((modulus, row), &made, &trimmed, &lab.differences()),
            _ => Vec::new(),
        };
        let unit = UnitRow {
            modulus,
            row,
            repeat,
            error_rate_before: before.0,
            error_rate_after: after.0,
            relative_error: after.1,
            phase_rms_before_rad,
            phase_rms_after_rad: lab.deviation(PHASES),
            reads: trimmed.reads,
            settings: trimmed.settings,
            codes_moved: trimmed.moved,
            out_of_range: trimmed.out_of_range,
        };
        let drift = match row {
            0 => drift::followed(chips, (index, repeat), &mut lab, self.looks, self.question.seed)?,
            _ => None,
        };
        Ok(OneUnit { unit, steps, stages, drift })
    }

    /// Every unit trimmed with so many reads an angle, every repeat with the noise that it has in all tables.
    fn trials(&self, chips: &SampledChips<'_>, reads: u32, what: &str) -> Result<Trials> {
        let plan = TrimPlan { reads, ..self.plan };
        let all = self.each(what, |index, repeat| {
            let mut lab = chips.lab_again(self.chip, index, repeat)?;
            let trimmed = trim(&mut lab, plan, |_, _| ())?;
            Ok(Trial { rate: rate(chips, index, &lab).0, reads: trimmed.reads })
        })?;
        Ok(Trials::new(self.moduli(), self.rows, &all))
    }

    fn curve(&self, chips: &SampledChips<'_>, known: &mut BTreeMap<u32, Trials>) -> Result<Vec<ReadsRow>> {
        let mut rows = Vec::new();
        for &reads in &self.curve {
            let trials = match known.entry(reads) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    new.insert(self.trials(chips, reads, &format!("trimming with {reads} reads an angle"))?)
                }
            };
            for &modulus in self.moduli() {
                let Rates { all, lowest, highest } = trials.rates(modulus)?;
                rows.push(ReadsRow {
                    modulus,
                    reads_per_angle: reads,
                    reads: trials.reads(modulus),
                    error_rate: all.mean,
                    standard_error: all.error,
                    lowest,
                    highest,
                });
            }
        }
        Ok(rows)
    }

    fn lifted(&self, chips: &SampledChips<'_>, known: &BTreeMap<u32, Trials>) -> Result<Vec<Lifted>> {
        let one = |limit: &Limit| -> Result<Lifted> {
            let reads = self.plan.reads.saturating_mul(limit.reads);
            let mut parameters = self.solution.parameters.clone();
            (limit.lift)(&mut parameters);
            let trials = match known.get(&reads).filter(|_| parameters == self.solution.parameters) {
                Some(trials) => trials.clone(),
                None if parameters == self.solution.parameters => self.trials(chips, reads, limit.doing)?,
                None => self.trials(&self.chips(&parameters)?, reads, limit.doing)?,
            };
            Ok(Lifted { name: limit.name, several: limit.several, trials })
        };
        LIMITS.iter().map(one).collect()
    }

    /// What following the drift of the first row's units left; nothing where the design has no drift.
    fn drift(&self, trials: &[DriftTrial], folder: &Folder) -> Result<Vec<DriftRow>> {
        let mut rows = Vec::new();
        for &modulus in self.moduli() {
            rows.extend(drift::row(modulus, trials)?);
        }
        if !rows.is_empty() {
            let looks = trials.iter().flat_map(|t| {
                t.tracked.steps.iter().map(|s| {
                    let numbers = [s.time, s.drifted, s.left].map(crate::folder::number);
                    [t.modulus.to_string(), t.repeat.to_string()]
                        .into_iter()
                        .chain(numbers)
                        .collect::<Vec<_>>()
                })
            });
            folder.rows("drift.csv", &rows)?;
            let columns = ["modulus", "repeat", "time_s", "drifted_rad", "left_rad"];
            folder.table("drift-looks.csv", &columns, looks)?;
            crate::plots::trim::drift(folder, self.moduli()[0])?;
        }
        Ok(rows)
    }
}

/// trim-limits.csv: the trimmings that all tables share, and those with a limit lifted beside them.
fn limit_rows(trimmed: &Trials, lifted: &[Lifted]) -> Result<Vec<LimitRow>> {
    let named = lifted.iter().map(|l| (l.name, &l.trials));
    let mut rows = Vec::new();
    for (lifted, trials) in std::iter::once((NOTHING, trimmed)).chain(named) {
        for &modulus in trimmed.moduli() {
            let Rates { all, lowest, highest } = trials.rates(modulus)?;
            let benefit = trials.benefit(trimmed, modulus)?;
            rows.push(LimitRow {
                lifted,
                modulus,
                error_rate: all.mean,
                standard_error: all.error,
                lowest,
                highest,
                benefit: benefit.factor,
                benefit_lower: benefit.lower,
                benefit_upper: benefit.upper,
            });
        }
    }
    Ok(rows)
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
