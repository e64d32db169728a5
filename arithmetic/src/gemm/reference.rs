//! The plain path: every residue of every read is formed, multiplied, added, and rebuilt.

use super::read::Reads;
use super::{EmulatedGemm, canonical};
use crate::bfp::{Quantised, scale};
use crate::{Counters, Moduli, Site};

pub(super) fn multiply(
    gemm: &EmulatedGemm,
    site: Site,
    a: &Quantised,
    b: &Quantised,
    out: &mut [f32],
) -> Counters {
    let (columns, groups) = (b.rows(), a.groups());
    let moduli = &gemm.config.moduli;
    let mut reads = Reads::new(gemm, site, groups);
    for row in 0..a.rows() {
        let candidates = reads.draw_row(row, columns as u64 * groups as u64);
        let mut next = candidates.into_iter().peekable();
        for column in 0..columns {
            let mut sum = 0f32;
            for group in 0..groups {
                let position = (column * groups + group) as u64;
                let mut hits = Vec::new();
                while let Some(c) = next.next_if(|c| c.position == position) {
                    hits.push((c.modulus as usize, c.quantiles));
                }
                let residues = dot_residues(moduli, a.mantissas(row, group), b.mantissas(column, group));
                reads.counters.residues += residues.len() as u64;
                let truth = moduli.signed(&residues);
                let value = if hits.is_empty() {
                    truth
                } else {
                    reads.value(row, column, group, truth, hits.into_iter())
                };
                sum += scale(value as f32, a.exponent(row, group), b.exponent(column, group));
            }
            out[row * columns + column] = canonical(sum);
        }
    }
    reads.counters
}

/// The dot product of two groups as each modulus's unit forms it.
fn dot_residues(moduli: &Moduli, a: &[i16], b: &[i16]) -> Vec<u32> {
    let of_modulus = |index: usize| {
        let m = moduli.as_slice()[index];
        a.iter().zip(b).fold(0, |sum, (&x, &y)| {
            let product = moduli.residue(i64::from(x), index) * moduli.residue(i64::from(y), index) % m;
            (sum + product) % m
        })
    };
    (0..moduli.len()).map(of_modulus).collect()
}
