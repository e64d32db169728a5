//! An MDPU judged by its reads.

use crate::characterise::targets::Vectors;
use crate::unit::chips::Sample;
use crate::unit::rates::Operating;
use crate::unit::repeats::{ATTEMPTS, Repeats};

/// Reads that together make up less than this share of a row's errors are judged with quantisation as noise.
const REST: f64 = 1e-3;

/// How an MDPU errs.
pub(super) struct Row {
    /// P(read `t + j` | true `t`) at t m + j, averaged over the reads of the vectors at every true level.
    pub offsets: Vec<f64>,
    /// Relative standard error: of the choice of vectors, and of the groups that they were chosen from.
    pub error: f64,
    /// P(wrong again | wrong) on the same operands, of each further attempt.
    pub again: [f64; ATTEMPTS],
}

/// Judges an MDPU by its reads of the vectors; `settled` is what a repeat of one of them meets.
pub(super) fn judge(
    at: &Operating,
    reads: &[Sample],
    settled: &dyn Fn(usize) -> Sample,
    vectors: &Vectors,
) -> Row {
    let m = at.unit.modulus() as usize;
    let quick = |read: &Sample| {
        at.readout.wedge_error(at.noisy_snr(read.log_amplitude, read.dac_variance), read.deviation)
    };
    let shares: Vec<f64> = reads.iter().zip(&vectors.weights).map(|(read, w)| w * quick(read)).collect();
    let total: f64 = shares.iter().sum();
    let mut order: Vec<usize> = (0..reads.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    let own = at.own_levels();
    let mut table = vec![0.0; m * m];
    let (mut left, mut common) = (total, vec![0.0; m]);
    let (mut repeats, mut row) = (Repeats::default(), vec![0.0; m]);
    for index in order {
        let (read, weight) = (&reads[index], vectors.weights[index]);
        if left <= REST * total {
            at.readout.add_wedges(
                at.noisy_snr(read.log_amplitude, read.dac_variance),
                read.deviation,
                weight,
                &mut common,
            );
        } else {
            // A repeat is as often wrong as this read, but for what had not settled.
            let changed = quick(&settled(index)) * weight / shares[index];
            for (truth, sums) in table.chunks_mut(m).take(own).enumerate() {
                row.fill(0.0);
                at.readout.add_errors(truth, at.point_of(read, truth), 1.0, &mut row);
                let wrong: f64 = row.iter().sum();
                repeats.add(weight, wrong, (wrong * changed).min(1.0));
                sums.iter_mut().zip(&row).for_each(|(sum, p)| *sum += weight * p);
            }
        }
        left -= shares[index];
    }
    for truth in own..m {
        table.copy_within((truth - own) * m..(truth - own + 1) * m, truth * m);
    }
    for row in table.chunks_mut(m) {
        row.iter_mut().zip(&common).skip(1).for_each(|(p, c)| *p += c);
    }
    Row { offsets: table, error: choice_error(&shares, vectors), again: repeats.again() }
}

/// Relative standard error of a rate: of the choice of vectors, and of the groups that they were chosen from.
fn choice_error(shares: &[f64], vectors: &Vectors) -> f64 {
    let chance = shares.iter().zip(&vectors.sure).filter(|(_, sure)| !**sure).map(|(share, _)| *share);
    let chance: Vec<f64> = chance.collect();
    let n = chance.len() as f64;
    let mean = chance.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = chance.iter().map(|share| (share - mean).powi(2)).sum();
    let total: f64 = shares.iter().sum();
    let of_choice = if total > 0.0 { squares * n / (n - 1.0).max(1.0) / (total * total) } else { 0.0 };
    (of_choice + vectors.of_groups).sqrt()
}
