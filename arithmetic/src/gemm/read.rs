//! What happens to one read that the channel hit: shared by both paths, so that they cannot drift apart.

use super::seats::Seats;
use super::{EmulatedGemm, Protection};
use crate::channel::ChannelTable;
use crate::divisor::Divisor;
use crate::draws::{BLOCK, Block, Candidate, Domain, Drawer, Quantiles, Repeat, StreamId, key};
use crate::philox::MANY;
use crate::{Counters, Decoded, Site};

/// The reads of a product.
pub(super) struct Reads<'a> {
    gemm: &'a EmulatedGemm,
    key: [u32; 2],
    groups: usize,
    /// Where tables differ from row to row, the divisor that finds the group of a position.
    by_row: Option<Divisor>,
    pub counters: Counters,
    /// A draw that is not below this means a right residue, in a repeat too.
    sure: u32,
    /// Moduli whose residue was read wrong, and how.
    wrong: Vec<(usize, u32)>,
    /// Residues as they are and as they were read, where somebody asks for them.
    right: Vec<u32>,
    read: Vec<u32>,
    /// Of a repeat, for all moduli.
    draws: Vec<Repeat>,
}

/// A read of a product.
#[derive(Clone, Copy)]
struct At {
    row: usize,
    group: usize,
    position: u64,
    truth: i64,
}

impl<'a> Reads<'a> {
    pub fn new(gemm: &'a EmulatedGemm, site: Site, groups: usize) -> Self {
        let key = key(gemm.config.seed, site, Domain::Errors);
        let seats = gemm.seats.as_ref();
        Self {
            gemm,
            key,
            groups,
            by_row: seats.filter(|seats| seats.by_row()).map(|_| Divisor::new(groups.max(1) as u64)),
            counters: Counters::default(),
            sure: Repeat::bound(seats.map_or(0.0, Seats::largest_rate)),
            wrong: Vec::new(),
            right: Vec::new(),
            read: Vec::new(),
            draws: Vec::new(),
        }
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

    /// Whether a candidate may be a wrong read at its place. Candidates come at the largest rate of the row on any unit: those of
    /// a single bad unit are many, and most are told here, before anything else is drawn or formed for them.
    #[inline]
    pub fn possible(&self, candidate: &Candidate) -> bool {
        let Some(groups) = self.by_row else { return true };
        let at = (candidate.row as usize, groups.remainder(candidate.position) as usize);
        candidate.quantiles.possible(self.table(at, candidate.modulus as usize).0)
    }

    /// Draws all candidates of a row of `positions` reads, in the order of their positions.
    pub fn draw_row(&self, row: usize, positions: u64) -> Vec<Candidate> {
        let (mut all, mut drawer) = (Vec::new(), Drawer::default());
        if self.any() {
            for block in 0..positions.div_ceil(BLOCK) {
                let of_block = self.block(block, positions);
                drawer.draw(of_block, row..row + 1, |_| true, |candidate| all.push(candidate));
            }
        }
        all.sort_by_key(|c| (c.position, c.modulus));
        all
    }

    /// The table of a row and a group.
    fn table(&self, (row, group): (usize, usize), index: usize) -> (&'a ChannelTable, &'a [f64]) {
        let seats = self.gemm.seats.as_ref().expect("candidates exist only with a channel");
        seats.table(&self.gemm.config, row, group, self.groups, index)
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
        let at = At { row, group, position: column as u64 * self.groups as u64 + group as u64, truth };
        let mut value = truth;
        self.wrong.clear();
        for (index, quantiles) in hits {
            let right = moduli.residue(truth, index);
            if let Some(r) = quantiles.read(self.table((at.row, at.group), index).0, right) {
                self.counters.wrong += 1;
                if r != right {
                    value = moduli.add(value, moduli.shift_of(index, i64::from(r) - i64::from(right)));
                    self.wrong.push((index, r));
                }
            }
        }
        if self.wrong.is_empty() {
            return truth;
        }
        self.counters.groups_hit += 1;
        let (value, known) = self.settle(at, value);
        self.counters.silent += u64::from(value != truth && !known);
        value
    }

    /// Does with a value that was read what the protection says; the flag tells whether somebody knows that it is wrong. What is
    /// given up is zero, as if the group were not there: of a read that is lost, the mean is the best guess, and the bound the worst.
    fn settle(&mut self, at: At, value: i64) -> (i64, bool) {
        let config = &self.gemm.config;
        let bound = config.format.bound();
        if value.abs() <= bound || config.protection == Protection::None {
            return (value, false);
        }
        self.counters.detected += 1;
        let repeats = match config.protection {
            Protection::None | Protection::Count => return (value, true),
            Protection::Saturate => return (value.clamp(-bound, bound), true),
            Protection::ReadAgain { repeats } | Protection::Correct { repeats, .. } => repeats,
        };
        if self.gemm.decoder.is_some() {
            self.form(at.truth);
        }
        if let Some(value) = self.decoded() {
            self.counters.corrected += 1;
            return (value, false);
        }
        for attempt in 1..=repeats {
            self.counters.repeated += 1;
            let value = self.read_again(at, attempt);
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

    /// Forms the residues of the first read.
    fn form(&mut self, truth: i64) {
        let moduli = &self.gemm.config.moduli;
        self.right.clear();
        self.right.extend((0..moduli.len()).map(|index| moduli.residue(truth, index)));
        self.read.clone_from(&self.right);
        for &(index, r) in &self.wrong {
            self.read[index] = r;
        }
    }

    /// The value that redundant moduli make of the residues as they were read.
    fn decoded(&self) -> Option<i64> {
        match self.gemm.decoder.as_ref()?.decode(&self.read) {
            Decoded::Clean(value) | Decoded::Corrected { value, .. } => Some(value),
            Decoded::Detected => None,
        }
    }

    /// The value of a repeat, `attempt` from 1. Static errors persist: a table carries P(wrong again | wrong) for that, and what
    /// goes beyond the rate of fresh errors returns the residue of before.
    fn read_again(&mut self, at: At, attempt: u32) -> i64 {
        let count = self.gemm.config.moduli.len();
        let mut draws = std::mem::take(&mut self.draws);
        draws.clear();
        draws.extend((0..count).step_by(MANY).map(|start| self.repeat(at, start, attempt)));
        // Where errors are rare nearly every repeat is right, which is known before any residue is.
        let may_err = (0..count).any(|index| draws[index / MANY].below(index % MANY, self.sure));
        let value = if may_err { self.drawn(at, attempt, &draws) } else { at.truth };
        self.draws = draws;
        value
    }

    /// The value of a repeat with these draws.
    fn drawn(&mut self, at: At, attempt: u32, draws: &[Repeat]) -> i64 {
        if attempt == 1 {
            self.form(at.truth);
        }
        for index in 0..self.read.len() {
            let (draws, i) = (&draws[index / MANY], index % MANY);
            let (right, before, u) = (self.right[index], self.read[index], draws.wrong(i));
            let (table, again) = self.table((at.row, at.group), index);
            let last = again.len().saturating_sub(1);
            self.read[index] = match again.get((attempt as usize - 1).min(last)) {
                _ if u < table.rate(right) => table.pick(right, draws.which(i)),
                Some(&again) if before != right && u < again => before,
                _ => right,
            };
        }
        self.gemm.config.moduli.signed(&self.read)
    }

    /// The draws of a repeat for the moduli from that of the number `start` on.
    fn repeat(&self, at: At, start: usize, attempt: u32) -> Repeat {
        let id = StreamId { key: self.key, row: at.row as u32, modulus: start as u32 };
        Repeat::new(id, at.position, attempt)
    }
}
