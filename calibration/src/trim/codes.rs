//! Scale of each MMU's drive, and the codes of its levels.

use super::TrimPlan;
use super::bench::{Bench, probes, usual};
use crate::CalibrationError;
use mirage_devices::wrap;

/// Finds the gain of each digit of each MMU, sets the references of the DACs to what they have in common, and returns that.
///
/// A digit of weight v turns by (2 pi/m) v l (1 + gain) at level l. From one level to the next, at most twice as large, the gain
/// found so far foretells the turn to much less than half a turn, so that no turn is lost.
pub(super) fn scale(bench: &mut Bench, reads: u32) -> Result<Vec<f64>, CalibrationError> {
    let (levels, probes) = (ladder(bench), probes(bench));
    let weights: Vec<f64> = bench.lab.unit().digits().weights().iter().map(|&w| f64::from(w)).collect();
    let mut knobs = bench.lab.knobs().clone();
    let mut common = Vec::new();
    for mmu in 0..bench.mmus() {
        let mut gains = vec![0.0; weights.len()];
        let idle = bench.angle(mmu, 0, 0, reads);
        for (digit, x, others) in &probes {
            // What the paths differ by without any drive is left out.
            let undriven = bench.angle(mmu, 0, *x, reads) - idle;
            for &w in &levels {
                let drive = bench.turn() * bench.level(w);
                let found = bench.angle(mmu, w, *x, reads) - bench.angle(mmu, w, 0, reads) - undriven;
                let known: f64 = others.iter().map(|&d| weights[d] * (1.0 + gains[d])).sum();
                let own = weights[*digit];
                gains[*digit] += wrap(found - drive * (known + own * (1.0 + gains[*digit]))) / (drive * own);
            }
        }
        let square: f64 = weights.iter().map(|w| w * w).sum();
        let gain = weights.iter().zip(&gains).map(|(w, g)| w * w * g).sum::<f64>() / square;
        knobs.scale[mmu] /= 1.0 + gain;
        common.push(gain);
    }
    bench.lab.set(knobs)?;
    Ok(common)
}

/// Stationary residues whose levels grow in magnitude, each at most twice the one before, up to the largest.
fn ladder(bench: &Bench) -> Vec<usize> {
    let level = |w: usize| bench.level(w).abs();
    let mut ladder: Vec<usize> = Vec::new();
    let mut reached = 0.5;
    loop {
        let next = (0..bench.modulus()).filter(|&w| level(w) > reached && level(w) <= 2.0 * reached);
        let Some(w) = next.max_by(|&a, &b| level(a).total_cmp(&level(b))) else { return ladder };
        reached = level(w);
        ladder.push(w);
    }
}

/// Moves the code of every level of every MMU to where its error, as read, is smallest; returns how many moved.
///
/// The error of a level is what least squares over streamed residues as they occur make of the angles, beyond the MMU's mean
/// angle: what crosstalk and light past the rings add to a level at all residues alike is in it, as far as a code can take it off.
pub(super) fn set(bench: &mut Bench, plan: TrimPlan) -> Result<usize, CalibrationError> {
    let m = bench.modulus();
    let Some(lsb) = (0..m).map(|w| bench.lab.levels_per_lsb(w)).collect::<Option<Vec<f64>>>() else {
        return Ok(0); // codes lie on the levels: there are no others
    };
    let (begun, (low, high)) = (bench.lab.knobs().codes.clone(), bench.lab.code_range());
    let mut search: Vec<Search> = begun.iter().map(|codes| Search::new(codes)).collect();
    for _ in 0..plan.passes {
        let mut knobs = bench.lab.knobs().clone();
        for (mmu, search) in search.iter_mut().enumerate() {
            for (w, error) in search.errors(bench, mmu, plan.reads) {
                let code = knobs.codes[mmu][w];
                let next = (code - (error / lsb[w]).round() as i64).clamp(low, high);
                search.judge(w, error, (code, next));
                knobs.codes[mmu][w] = next;
            }
        }
        if search.iter().all(|search| search.open.is_empty()) {
            break;
        }
        bench.lab.set(knobs)?;
    }
    let mut knobs = bench.lab.knobs().clone();
    knobs.codes = search.iter().map(|search| search.best.iter().map(|best| best.1).collect()).collect();
    let changed = |(set, old): (&Vec<i64>, &Vec<i64>)| set.iter().zip(old).filter(|(a, b)| a != b).count();
    let moved = knobs.codes.iter().zip(&begun).map(changed).sum();
    bench.lab.set(knobs)?;
    Ok(moved)
}

/// The search for the codes of one MMU.
struct Search {
    /// Levels whose code still moves.
    open: Vec<usize>,
    /// For each level the smallest error seen, and the code that gave it.
    best: Vec<(f64, i64)>,
    /// Mean angle over the true one over all levels, once it is known.
    mean: Option<f64>,
}

impl Search {
    fn new(codes: &[i64]) -> Self {
        let best = codes.iter().map(|&code| (f64::INFINITY, code)).collect();
        Search { open: (0..codes.len()).collect(), best, mean: None }
    }

    /// Keeps the better code, and the level open if its code moves.
    fn judge(&mut self, w: usize, error: f64, (code, next): (i64, i64)) {
        if error.abs() < self.best[w].0 {
            self.best[w] = (error.abs(), code);
        }
        if next != code {
            self.open.push(w);
        }
    }

    /// Reads the open levels, closes them, and gives their errors in levels.
    fn errors(&mut self, bench: &mut Bench, mmu: usize, reads: u32) -> Vec<(usize, f64)> {
        let (_, streamed) = usual(bench);
        let each = reads.div_ceil(streamed.len() as u32).max(1);
        let (turn, open) = (bench.turn(), std::mem::take(&mut self.open));
        // A first angle that the others differ from by far less than half a turn.
        let first = bench.angle(mmu, 0, 0, reads);
        let mut angles = Vec::with_capacity(open.len());
        for &w in &open {
            let off = |bench: &mut Bench, x: usize| {
                wrap(bench.angle(mmu, w, x, each) - first - turn * bench.level(w) * bench.value(x))
            };
            angles.push(streamed.iter().map(|&x| off(bench, x)).collect::<Vec<f64>>());
        }
        let mean = *self.mean.get_or_insert_with(|| {
            let share = bench.lab.operands().stationary();
            let of_level = |offs: &Vec<f64>| offs.iter().sum::<f64>() / offs.len() as f64;
            first + open.iter().zip(&angles).map(|(&w, offs)| share[w] * of_level(offs)).sum::<f64>()
        });
        let error = |offs: &Vec<f64>| -> f64 {
            let (mut sum, mut weight) = (0.0, 0.0);
            for (off, &x) in offs.iter().zip(&streamed) {
                let value = bench.value(x);
                sum += value * (off + wrap(first - mean));
                weight += value * value;
            }
            if weight > 0.0 { sum / (turn * weight) } else { 0.0 }
        };
        open.iter().zip(&angles).map(|(&w, offs)| (w, error(offs))).collect()
    }
}
