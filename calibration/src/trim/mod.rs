//! Trimming a dot-product unit (MDPU) the way a lab would: drive known residues, read I and Q with all their noise, turn knobs.
//!
//! The controller knows the nominal design and what it reads. It goes from what shows without the rest to what needs the rest:
//!
//! 1. **Rotation** of the read-out over operands as they occur, and again after each of the following.
//! 2. **Paths.** With no drive, each digit's detour is compared with its bus; the difference, modulo a turn, is trimmed in
//!    whole steps. Twice: light that leaks past the rings interferes with the untrimmed phase of the other path.
//! 3. **Scale.** Levels that double from 1 on give the gain of each digit without ever losing count of the turns; what those of
//!    an MMU have in common goes into the reference of its DAC.
//! 4. **Compensation** of thermal crosstalk, if the design has it: what an MMU's drive does to the phase of the whole unit.
//! 5. **Codes.** Each level is read with streamed residues as they occur, and its code moved by what its error is in LSB, until
//!    it stays; then the paths once more, over levels as they occur, and the codes again.

mod bench;
mod codes;
mod drift;
mod paths;
mod repeats;

pub use drift::{Drift, Tracked, TrackedStep, track};
pub use repeats::Repeated;

use crate::CalibrationError;
use bench::Bench;
use mirage_devices::Lab;
use mirage_devices::wrap;

/// Vectors of operands that the rotation is averaged over.
const VECTORS: u32 = 256;

/// How a unit is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimPlan {
    /// Reads that each angle is averaged over.
    pub reads: u32,
    /// How often a code may be moved and read again.
    pub passes: u32,
}

/// What the controller found and set.
#[derive(Debug, Clone, PartialEq)]
pub struct Trimmed {
    /// Estimated phase of each detour over its bus before trimming, rad, MMU by MMU.
    pub found: Vec<Vec<f64>>,
    /// Estimated common gain of each MMU before trimming, relative to the nominal one.
    pub gains: Vec<f64>,
    /// Codes moved away from their nominal ones.
    pub moved: usize,
    /// Stages whose difference the trims' range does not reach.
    pub out_of_range: usize,
    /// Reads.
    pub reads: u64,
    /// Times that the knobs were set.
    pub settings: u64,
}

/// What was done last, in the order of trimming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The read-out was rotated, and nothing else.
    Rotated,
    /// The paths were trimmed, the read-out rotated to match.
    Paths,
    /// References were set to the gains.
    Scaled,
    /// Everything was done.
    Done,
}

impl Step {
    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Step::Rotated => "rotation",
            Step::Paths => "paths",
            Step::Scaled => "scale",
            Step::Done => "codes",
        }
    }
}

/// Trims the unit on the bench from what it is set to; `after` is shown the unit after each step.
///
/// # Errors
/// A plan without reads or passes; what [`Lab::set`] refuses, such as a reference voltage beyond the driver's largest.
pub fn trim(
    lab: &mut Lab<'_>,
    plan: TrimPlan,
    mut after: impl FnMut(Step, &Lab<'_>),
) -> Result<Trimmed, CalibrationError> {
    if plan.reads == 0 || plan.passes == 0 {
        return Err(CalibrationError::TooFew("trimming needs at least one read and one pass".into()));
    }
    let before = lab.spent();
    let mut bench = Bench::new(lab);
    let mut rotated = |bench: &mut Bench, step| -> Result<(), CalibrationError> {
        rotate(bench.lab, plan.reads)?;
        after(step, bench.lab);
        Ok(())
    };
    rotated(&mut bench, Step::Rotated)?;
    let found = paths::trim(&mut bench, &[0], plan.reads)?.differences;
    paths::trim(&mut bench, &[0], plan.reads)?;
    rotated(&mut bench, Step::Paths)?;
    let gains = codes::scale(&mut bench, plan.reads)?;
    codes::scale(&mut bench, plan.reads)?;
    rotated(&mut bench, Step::Scaled)?;
    compensate(&mut bench, plan.reads)?;
    let begun = bench.lab.knobs().codes.clone();
    codes::set(&mut bench, plan)?;
    let (levels, _) = bench::usual(&bench);
    let out_of_range = paths::trim(&mut bench, &levels, plan.reads)?.out_of_range;
    codes::set(&mut bench, plan)?;
    rotated(&mut bench, Step::Done)?;
    let codes = bench.lab.knobs().codes.iter().flatten();
    let moved = codes.zip(begun.iter().flatten()).filter(|(a, b)| a != b).count();
    let spent = lab.spent();
    Ok(Trimmed { found, gains, moved, out_of_range, reads: spent.0 - before.0, settings: spent.1 - before.1 })
}

/// Takes off what each MMU's drive does to the phase of the whole unit, where there is a shifter for it: the slope of the angle
/// over the drive with all light on the bus, beyond what nominal rings let past.
fn compensate(bench: &mut Bench, reads: u32) -> Result<(), CalibrationError> {
    if bench.lab.unit().parameters().heat.compensation.is_none() {
        return Ok(());
    }
    let m = bench.modulus();
    let drives: Vec<f64> = (0..m).map(|w| bench.turn() * bench.level(w)).collect();
    let mean = drives.iter().sum::<f64>() / m as f64;
    let (unit, none) = (bench.lab.unit(), bench.lab.unit().no_errors());
    let leaked: Vec<f64> = (0..m).map(|w| unit.mmu(&none, w, 0).arg()).collect();
    let square: f64 = drives.iter().map(|d| (d - mean).powi(2)).sum();
    let mut knobs = bench.lab.knobs().clone();
    for mmu in 0..bench.mmus() {
        let first = bench.angle(mmu, 0, 0, reads);
        let product = |(w, drive): (usize, &f64)| {
            (drive - mean) * wrap(bench.angle(mmu, w, 0, reads) - first - leaked[w])
        };
        knobs.heat[mmu] += drives.iter().enumerate().map(product).sum::<f64>() / square;
    }
    Ok(bench.lab.set(knobs)?)
}

/// Trims the reference arm so that deviations are centred over operands as they occur.
fn rotate(lab: &mut Lab<'_>, reads: u32) -> Result<(), CalibrationError> {
    let mean = deviation(lab, VECTORS, reads);
    let mut knobs = lab.knobs().clone();
    knobs.rotation = paths::Steps::of(lab).nearest(wrap(knobs.rotation - mean));
    Ok(lab.set(knobs)?)
}

/// Mean angle over the true one, rad, over `vectors` vectors of operands as they occur, read `times` each.
fn deviation(lab: &mut Lab<'_>, vectors: u32, times: u32) -> f64 {
    let m = lab.unit().modulus() as usize;
    let turn = 2.0 * std::f64::consts::PI / m as f64;
    let mut angles = Vec::with_capacity(vectors as usize);
    let (mut x, mut y) = (0.0, 0.0);
    for _ in 0..vectors {
        let group = lab.draw();
        let truth = group.0.iter().zip(&group.1).map(|(w, x)| w * x).sum::<usize>() % m;
        let [i, q] = lab.read(&group, times);
        let angle = libm::atan2(q, i) - turn * truth as f64;
        let (sine, cosine) = libm::sincos(angle);
        (x, y) = (x + cosine, y + sine);
        angles.push(angle);
    }
    // Around the circular mean nothing wraps.
    let centre = libm::atan2(y, x);
    let rest: f64 = angles.iter().map(|a| wrap(a - centre)).sum();
    wrap(centre + rest / f64::from(vectors.max(1)))
}

#[cfg(test)]
mod tests;
