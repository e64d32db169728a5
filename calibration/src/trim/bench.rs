//! Angles of single units of multiplication, all others idle.

use mirage_devices::Lab;
use std::f64::consts::PI;

/// Shares of the operands that something is averaged over.
const SPREAD: usize = 8;

/// The bench with everything idle but one unit of multiplication (MMU).
pub(super) struct Bench<'a, 'b> {
    pub lab: &'b mut Lab<'a>,
    /// Stationary levels and streamed residues of all MMUs: zero but where one is looked at.
    group: (Vec<usize>, Vec<usize>),
}

impl<'a, 'b> Bench<'a, 'b> {
    pub fn new(lab: &'b mut Lab<'a>) -> Self {
        let mmus = lab.knobs().codes.len();
        Bench { lab, group: (vec![0; mmus], vec![0; mmus]) }
    }

    pub fn mmus(&self) -> usize {
        self.group.0.len()
    }

    pub fn digits(&self) -> usize {
        self.lab.unit().digits().count()
    }

    pub fn modulus(&self) -> usize {
        self.lab.unit().modulus() as usize
    }

    /// Phase of one level, rad.
    pub fn turn(&self) -> f64 {
        2.0 * PI / self.modulus() as f64
    }

    /// Drive level of a stationary residue, and value of a streamed one.
    pub fn level(&self, w: usize) -> f64 {
        f64::from(self.lab.unit().digits().level(w))
    }

    pub fn value(&self, x: usize) -> f64 {
        f64::from(self.lab.unit().digits().value(x))
    }

    /// Angle of (I, Q), rad, averaged over `times` reads of MMU `mmu` with (w, x).
    pub fn angle(&mut self, mmu: usize, w: usize, x: usize, times: u32) -> f64 {
        (self.group.0[mmu], self.group.1[mmu]) = (w, x);
        let [i, q] = self.lab.read(&self.group, times);
        (self.group.0[mmu], self.group.1[mmu]) = (0, 0);
        libm::atan2(q, i)
    }
}

/// For each digit a streamed residue that sets it, and the digits that this sets as well; those come before it in the list.
pub(super) fn probes(bench: &Bench) -> Vec<(usize, usize, Vec<usize>)> {
    let (digits, m) = (bench.lab.unit().digits(), bench.modulus());
    let set = |x: usize| -> Vec<usize> { (0..digits.count()).filter(|&d| digits.bit(x, d)).collect() };
    let mut found: Vec<(usize, usize, Vec<usize>)> = Vec::new();
    while found.len() < digits.count() {
        let known: Vec<usize> = found.iter().map(|f| f.0).collect();
        let fresh = |x: usize| -> Option<(usize, usize, Vec<usize>)> {
            let (new, old): (Vec<usize>, Vec<usize>) = set(x).into_iter().partition(|d| !known.contains(d));
            (new.len() == 1).then(|| (new[0], x, old))
        };
        match (0..m).filter_map(fresh).min_by_key(|f| (f.2.len(), f.1)) {
            Some(probe) => found.push(probe),
            // No residue sets the digit without another unknown one: it is never needed apart from them.
            None => break,
        }
    }
    found
}

/// Residues as they occur with these probabilities: the middles of equal shares, and the largest.
fn quantiles(probabilities: &[f64]) -> Vec<usize> {
    let mut found: Vec<usize> = (0..SPREAD)
        .map(|k| {
            let mut left = (k as f64 + 0.5) / SPREAD as f64;
            let at = probabilities.iter().position(|p| {
                left -= p;
                left <= 0.0
            });
            at.unwrap_or(probabilities.len() - 1)
        })
        .collect();
    found.push(probabilities.len() - 1);
    found
}

/// Stationary residues that paths are compared at, and streamed ones that levels are judged by.
pub(super) fn usual(bench: &Bench) -> (Vec<usize>, Vec<usize>) {
    let operands = bench.lab.operands();
    (quantiles(operands.stationary()), quantiles(operands.streaming()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_follow_the_probabilities() {
        let uniform = quantiles(&[1.0 / 32.0; 32]);
        assert_eq!(uniform, [1, 5, 9, 13, 17, 21, 25, 29, 31]);
        assert_eq!(quantiles(&[0.5, 0.0, 0.25, 0.25]), [0, 0, 0, 0, 2, 2, 3, 3, 3]);
    }
}
