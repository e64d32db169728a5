//! Residuals that know of their neighbours, and intervals that stand in spite of them.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_pcg::Pcg64;

/// Independent blocks beyond the number of parameters that a bootstrap needs.
const SPARE: usize = 5;
/// Standard errors of a correlation of nothing with nothing, beyond which it is taken for real.
const REAL: f64 = 3.5;

/// How residuals hang together along their runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Correlation of neighbours.
    pub neighbours: f64,
    /// Data that one independent datum is worth: 1 + 2 sum of the correlations.
    pub time: f64,
}

/// Correlation along the runs; `None` where that of neighbours could be chance, or is negative (which makes intervals
/// for independent errors too wide, not too narrow).
///
/// The sum ends where two correlations that follow each other add up to nothing (Geyer, Stat. Sci. 7:473, 1992).
pub(super) fn correlation(scores: &[f64], runs: &[usize]) -> Option<Correlation> {
    let longest = runs.iter().copied().max()?;
    let power: f64 = scores.iter().map(|s| s * s).sum();
    if power == 0.0 || longest < 8 {
        return None;
    }
    let at = |lag: usize| -> f64 {
        let mut start = 0;
        let mut sum = 0.0;
        for run in runs {
            let part = &scores[start..start + run];
            sum += part.iter().zip(part.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>();
            start += run;
        }
        sum / power
    };
    let neighbours = at(1);
    if neighbours < REAL / (scores.len() as f64).sqrt() {
        return None;
    }
    let mut time = 1.0 + 2.0 * neighbours;
    let mut lag = 2;
    while lag + 1 < longest / 2 {
        let pair = at(lag) + at(lag + 1);
        if pair <= 0.0 {
            break;
        }
        time += 2.0 * pair;
        lag += 2;
    }
    Some(Correlation { neighbours, time })
}

/// A covariance from resampled blocks.
pub(super) struct Resampled {
    pub covariance: DMatrix<f64>,
    /// Length of a block.
    pub block: usize,
    /// Blocks that fit into the data.
    pub blocks: usize,
    /// By how much longer blocks would have to be for the correlation; the covariance is larger by it. One if they fit.
    pub short: f64,
}

/// Moving-block bootstrap of the residuals (Kuensch, Ann. Statist. 17:1217, 1989): each run is filled anew with blocks of its
/// own residuals, drawn with replacement from anywhere in it, and the estimate follows them through `gain`, a row of
/// derivatives for each datum, as it does to first order close to the minimum. Residuals must be over their spread, so that
/// any may stand in any place.
///
/// Two shortfalls are given back: what p parameters took of n/T independent residuals, by N/(N - p), and the correlation
/// that blocks of length l cut at their ends, by 1/(1 - T/(2 l)), T the correlation's time (Kuensch's bias for correlations
/// that fall exponentially).
///
/// Where blocks of the length that the correlation asks for do not fit, the covariance grows by wanted over used length: the sum of
/// a run's residuals grows with the root of the length over which they hang together, and with the length itself if they are the same
/// throughout, so that this is the most that blocks of the wanted length could have shown.
pub(super) fn block_bootstrap(
    scores: &[f64],
    gain: &DMatrix<f64>,
    runs: &[usize],
    correlation: Correlation,
    resamples: usize,
    seed: u64,
) -> Resampled {
    let (n, p) = (gain.nrows(), gain.ncols());
    let wanted = (4.0 * correlation.time).max((n as f64).cbrt()).ceil() as usize;
    let shortest = runs.iter().copied().min().unwrap_or(n);
    let block = wanted.min(n / (p + SPARE)).min(shortest / 2).max(1);
    let blocks: usize = runs.iter().map(|run| run / block).sum();
    // A column for each datum: what belongs together lies together.
    let gain = gain.transpose();
    let mut random = Pcg64::new(u128::from(seed), 0x626c_6f63_6b73);
    let mut covariance = DMatrix::zeros(p, p);
    for _ in 0..resamples {
        let mut moved = DVector::zeros(p);
        let mut start = 0;
        for run in runs {
            let own = &scores[start..start + run];
            let mean = own.iter().sum::<f64>() / *run as f64;
            for place in (0..*run).step_by(block) {
                let from = random.random_range(0..=run - block);
                for k in 0..block.min(run - place) {
                    moved.axpy(own[from + k] - mean, &gain.column(start + place + k), 1.0);
                }
            }
            start += run;
        }
        covariance += &moved * moved.transpose();
    }
    let independent = n as f64 / correlation.time;
    let lost = independent / (independent - p as f64).max(1.0);
    let cut = 1.0 / (1.0 - (0.5 * correlation.time / block as f64).min(0.5));
    let short = wanted as f64 / block as f64;
    covariance *= lost * cut * short / resamples as f64;
    Resampled { covariance, block, blocks, short }
}
