//! What happens to one read that the channel hit: shared by both paths, so that they cannot drift apart.

use super::seats::Seats;
use super::{EmulatedGemm, Protection};
use crate::channel::ChannelTable;
use crate::draws::{BLOCK, Block, Candidate, Domain, Drawer, Quantiles, Repeat, StreamId, key};
use crate::philox::MANY;
use crate::{Counters, Decoded, Site};

/// The reads of a product.
pub(super) struct Reads<'a> {
    gemm: &'a EmulatedGemm,
    key: [u32; 2],
    groups: usize,
    by_row: bool,
    pub counters: Counters,
    /// Residues as they are and as they were read.
    right: Vec<u32>,
    read: Vec<u32>,
}

/// A read of a product.
#[derive(Clone, Copy)]
struct At {
    row: usize,
    group: usize,
    position: u64,
}

impl<'a> Reads<'a> {
    pub fn new(gemm: &'a EmulatedGemm, site: Site, groups: usize) -> Self {
        let key = key(gemm.config.seed, site, Domain::Errors);
        let none = vec![0; gemm.config.moduli.len()];
        let by_row = gemm.seats.as_ref().is_some_and(Seats::by_row);
        Self { gemm, key, groups, by_row, counters: Counters::default(), right: none.clone(), read: none }
    }

    /// Whether any read can be wrong.
    pub fn any(&self) -> bool {
        !self.gemm.streams.is_empty()
    }

    /// What the candidates of a block are drawn from, where rows have `positions` reads.
    pub fn block(&self, block: u64, positions: u64) -> Block<'a> {
        let (gemm, key) = (self.gemm, self.key);
        Block { key, block, moduli: gemm.config.moduli.len(), positions, streams: &gemm.streams }
    }

    /// Candidates that are expected among some reads of a row.
    pub fn expected(&self, reads: u64) -> f64 {
        self.gemm.candidates() * reads as f64
    }

    /// Whether a candidate may be a wrong read at its place, of a row and a group. Candidates come at the largest rate of the
    /// row on any unit: those of a single bad unit are many, and most are told here, before anything is formed for them.
    #[inline]
    pub fn possible(&self, candidate: &Candidate, group: usize) -> bool {
        let at = At { row: candidate.row as usize, group, position: candidate.position };
        !self.by_row || candidate.quantiles.possible(self.table(at, candidate.modulus as usize).0)
    }

    /// Draws all candidates of a row of `positions` reads, in the order of their positions.
    pub fn draw_row(&self, row: usize, positions: u64) -> Vec<Candidate> {
        let (mut all, mut drawer) = (Vec::new(), Drawer::default());
        if self.any() {
            for block in 0..positions.div_ceil(BLOCK) {
                drawer.draw(self.block(block, positions), row..row + 1, 0, |candidate| all.push(candidate));
            }
        }
        all.sort_by_key(|c| (c.position, c.modulus));
        all
    }

    fn table(&self, at: At, index: usize) -> (&'a ChannelTable, &'a [f64]) {
        let seats = self.gemm.seats.as_ref().expect("candidates exist only with a channel");
        seats.table(&self.gemm.config, at.row, at.group, self.groups, index)
    }

    /// The value that a read of the true value `truth` ends with, given the candidates at its position, each with its modulus.
    pub fn value(
        &mut self,
        row: usize,
        column: usize,
        group: usize,
        truth: i64,
        hits: impl Iterator<Item = (usize, Quantiles)>,
    ) -> i64 {
        let moduli = &self.gemm.config.moduli;
        let at = At { row, group, position: column as u64 * self.groups as u64 + group as u64 };
        for (index, (right, read)) in self.right.iter_mut().zip(&mut self.read).enumerate() {
            *right = moduli.residue(truth, index);
            *read = *right;
        }
        let mut changed = false;
        for (index, quantiles) in hits {
            let right = self.right[index];
            if let Some(r) = quantiles.read(self.table(at, index).0, right) {
                self.read[index] = r;
                self.counters.wrong += 1;
                changed |= r != right;
            }
        }
        if !changed {
            return truth;
        }
        self.counters.groups_hit += 1;
        let (value, known) = self.settle(at);
        self.counters.silent += u64::from(value != truth && !known);
        value
    }

    /// Rebuilds the value and does what the protection says; the flag tells whether somebody knows that it is wrong. What is given
    /// up is zero, as if the group were not there: of a read that is lost, the mean is the best guess, and the bound the worst.
    fn settle(&mut self, at: At) -> (i64, bool) {
        let config = &self.gemm.config;
        let bound = config.format.bound();
        let mut value = config.moduli.signed(&self.read);
        if value.abs() <= bound || config.protection == Protection::None {
            return (value, false);
        }
        self.counters.detected += 1;
        let repeats = match config.protection {
            Protection::None | Protection::Count => return (value, true),
            Protection::Saturate => return (value.clamp(-bound, bound), true),
            Protection::ReadAgain { repeats } | Protection::Correct { repeats, .. } => repeats,
        };
        if let Some(value) = self.decoded() {
            self.counters.corrected += 1;
            return (value, false);
        }
        for attempt in 1..=repeats {
            self.counters.repeated += 1;
            self.read_again(at, attempt);
            value = config.moduli.signed(&self.read);
            if value.abs() <= bound {
                return (value, false);
            }
            if let Some(value) = self.decoded() {
                return (value, false);
            }
        }
        self.counters.exhausted += 1;
        (0, true)
    }

    /// The value that redundant moduli make of the residues as they were read.
    fn decoded(&self) -> Option<i64> {
        match self.gemm.decoder.as_ref()?.decode(&self.read) {
            Decoded::Clean(value) | Decoded::Corrected { value, .. } => Some(value),
            Decoded::Detected => None,
        }
    }

    /// All residues of a repeat, `attempt` from 1. Static errors persist: a table carries P(wrong again | wrong) for that, and what
    /// goes beyond the rate of fresh errors returns the residue of before.
    fn read_again(&mut self, at: At, attempt: u32) {
        for start in (0..self.read.len()).step_by(MANY) {
            let id = StreamId { key: self.key, row: at.row as u32, modulus: start as u32 };
            let draws = Repeat::new(id, at.position, attempt);
            for (i, index) in (start..self.read.len()).take(MANY).enumerate() {
                let (right, before, u) = (self.right[index], self.read[index], draws.wrong(i));
                let (table, again) = self.table(at, index);
                let last = again.len().saturating_sub(1);
                self.read[index] = match again.get((attempt as usize - 1).min(last)) {
                    _ if u < table.rate(right) => table.pick(right, draws.which(i)),
                    Some(&again) if before != right && u < again => before,
                    _ => right,
                };
            }
        }
    }
}
