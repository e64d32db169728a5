//! What happens to one read that the channel hit: shared by both paths, so that they cannot drift apart.

use std::ops::Range;

use super::{EmulatedGemm, Protection};
use crate::channel::ChannelTable;
use crate::draws::{Candidate, Domain, StreamId, candidates, key, repeat};
use crate::{Counters, Decoded, Site};

/// The reads of a product.
pub(super) struct Reads<'a> {
    gemm: &'a EmulatedGemm,
    key: [u32; 2],
    groups: usize,
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
        Self { gemm, key, groups, counters: Counters::default(), right: Vec::new(), read: Vec::new() }
    }

    /// Whether any read can be wrong.
    pub fn any(&self) -> bool {
        !self.gemm.streams.is_empty()
    }

    /// Draws the candidates of one block of each of some rows, which have `positions` reads; each with the number of its row,
    /// from 0.
    pub fn draw(&self, rows: Range<usize>, block: u64, positions: u64, out: &mut Vec<(u32, Candidate)>) {
        let streams = &self.gemm.streams;
        // Most channels are the same for all rows: a division saved.
        let of_row =
            |row: usize| if streams.len() == 1 { &streams[0] } else { &streams[row % streams.len()] };
        for (index, _) in self.gemm.config.moduli.as_slice().iter().enumerate() {
            let found = |row, candidate| out.push((row, candidate));
            let what = (self.key, index as u32, block);
            candidates(what, rows.clone(), positions, |row| of_row(row)[index], found);
        }
    }

    /// Draws all candidates of a row of `positions` reads, in the order of their positions.
    pub fn draw_row(&self, row: usize, positions: u64) -> Vec<Candidate> {
        let mut all = Vec::new();
        if self.any() {
            for block in 0..positions.div_ceil(crate::draws::BLOCK) {
                self.draw(row..row + 1, block, positions, &mut all);
            }
        }
        all.sort_by_key(|(_, c)| (c.position, c.modulus));
        all.into_iter().map(|(_, c)| c).collect()
    }

    fn id(&self, row: usize, index: usize) -> StreamId {
        StreamId { key: self.key, row: row as u32, modulus: index as u32 }
    }

    fn table(&self, at: At, index: usize) -> (&'a ChannelTable, Option<f64>) {
        let seats = self.gemm.seats.as_ref().expect("candidates exist only with a channel");
        seats.table(&self.gemm.config, at.row, at.group, self.groups, index)
    }

    /// The value that a read of the true value `truth` ends with, given the candidates at its position.
    pub fn value(
        &mut self,
        row: usize,
        column: usize,
        group: usize,
        truth: i64,
        hits: impl Iterator<Item = Candidate>,
    ) -> i64 {
        let moduli = &self.gemm.config.moduli;
        let at = At { row, group, position: column as u64 * self.groups as u64 + group as u64 };
        self.right.clear();
        self.right.extend((0..moduli.len()).map(|index| moduli.residue(truth, index)));
        self.read.clear();
        self.read.extend_from_slice(&self.right);
        let mut changed = false;
        for hit in hits {
            let index = hit.modulus as usize;
            let right = self.right[index];
            if let Some(r) = hit.read(self.table(at, index).0, right, self.id(row, index)) {
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

    /// Rebuilds the value and does what the protection says; the flag tells whether somebody knows that it is wrong.
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
            for index in 0..self.read.len() {
                self.read[index] = self.read_again(at, index, attempt);
            }
            value = config.moduli.signed(&self.read);
            if value.abs() <= bound {
                return (value, false);
            }
            if let Some(value) = self.decoded() {
                return (value, false);
            }
        }
        self.counters.exhausted += 1;
        (value.clamp(-bound, bound), true)
    }

    /// The value that redundant moduli make of the residues as they were read.
    fn decoded(&self) -> Option<i64> {
        match self.gemm.decoder.as_ref()?.decode(&self.read) {
            Decoded::Clean(value) | Decoded::Corrected { value, .. } => Some(value),
            Decoded::Detected => None,
        }
    }

    /// One residue of a repeat. Static errors persist: an average table carries P(wrong again | wrong) for that, and what goes
    /// beyond the rate of fresh errors returns the residue of before. Rows with tables of their own have it in their rates.
    fn read_again(&self, at: At, index: usize, attempt: u32) -> u32 {
        let (right, before) = (self.right[index], self.read[index]);
        let (table, again) = self.table(at, index);
        let rate = table.rate(right);
        let (u, pick) = repeat(self.id(at.row, index), at.position, attempt);
        match again {
            _ if u < rate => table.pick(right, pick),
            Some(again) if before != right && u < again => before,
            _ => right,
        }
    }
}
