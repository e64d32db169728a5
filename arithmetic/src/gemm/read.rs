//! What happens to one read that the channel hit: shared by both paths, so that they cannot drift apart.

use super::{EmulatedGemm, Protection};
use crate::channel::ChannelTable;
use crate::draws::{Candidate, Domain, StreamId, candidates, key, repeat};
use crate::{Counters, Place, ResidueChannel, Site};

/// The errors of one output row.
pub(super) struct RowErrors<'a> {
    gemm: &'a EmulatedGemm,
    key: [u32; 2],
    row: usize,
    groups: usize,
    /// Candidates in the order of their positions.
    pub candidates: Vec<Candidate>,
}

impl<'a> RowErrors<'a> {
    /// Draws the candidates of a row of `columns` elements of `groups` groups each.
    pub fn new(gemm: &'a EmulatedGemm, site: Site, row: usize, columns: usize, groups: usize) -> Self {
        let mut errors = Self {
            gemm,
            key: key(gemm.config.seed, site, Domain::Errors),
            row,
            groups,
            candidates: Vec::new(),
        };
        if gemm.streams.is_empty() {
            return errors;
        }
        let of_row = &gemm.streams[row % gemm.streams.len()];
        for (index, &stream) in of_row.iter().enumerate() {
            let positions = columns as u64 * groups as u64;
            candidates(errors.id(index), stream, positions, &mut errors.candidates);
        }
        errors.candidates.sort_by_key(|c| (c.position, c.modulus));
        errors
    }

    fn id(&self, index: usize) -> StreamId {
        StreamId { key: self.key, row: self.row as u32, modulus: index as u32 }
    }

    fn channel(&self) -> &'a ResidueChannel {
        self.gemm.channel.as_ref().expect("candidates exist only with a channel")
    }

    fn place(&self, group: usize) -> Place {
        if self.channel().by_row() {
            self.gemm.config.placement.place(self.row as u64, group as u64, self.groups as u64)
        } else {
            Place { unit: 0, row: 0 }
        }
    }

    fn table(&self, group: usize, index: usize) -> &'a ChannelTable {
        let (channel, modulus) = (self.channel(), self.gemm.config.moduli.as_slice()[index]);
        let table = channel.table_at(channel.chip(), self.place(group), modulus);
        table.expect("every table was looked up when the product was set up")
    }

    /// The value that a read of the true value `truth` ends with, given the candidates at its position.
    pub fn value(&self, truth: i64, hits: &[Candidate], group: usize, counters: &mut Counters) -> i64 {
        let moduli = &self.gemm.config.moduli;
        let right = moduli.residues(truth);
        let mut read = right.clone();
        for hit in hits {
            let index = hit.modulus as usize;
            if let Some(r) = hit.read(self.table(group, index), right[index]) {
                read[index] = r;
                counters.wrong += 1;
            }
        }
        if read == right {
            return truth;
        }
        counters.groups_hit += 1;
        let (value, known) = self.settle(&right, read, group, hits[0].position, counters);
        counters.silent += u64::from(value != truth && !known);
        value
    }

    /// Rebuilds the value and does what the protection says; the flag tells whether somebody knows that it is wrong.
    fn settle(
        &self,
        right: &[u32],
        mut read: Vec<u32>,
        group: usize,
        position: u64,
        counters: &mut Counters,
    ) -> (i64, bool) {
        let config = &self.gemm.config;
        let bound = config.format.bound();
        let mut value = config.moduli.signed(&read);
        if value.abs() <= bound || config.protection == Protection::None {
            return (value, false);
        }
        counters.detected += 1;
        let repeats = match config.protection {
            Protection::None | Protection::Count => return (value, true),
            Protection::Saturate => return (value.clamp(-bound, bound), true),
            Protection::ReadAgain { repeats } => repeats,
        };
        for attempt in 1..=repeats {
            counters.repeated += 1;
            for (index, residue) in read.iter_mut().enumerate() {
                *residue = self.read_again(right[index], *residue, group, index, position, attempt);
            }
            value = config.moduli.signed(&read);
            if value.abs() <= bound {
                return (value, false);
            }
        }
        counters.exhausted += 1;
        (value.clamp(-bound, bound), true)
    }

    /// One residue of a repeat. Static errors persist: an average table carries P(wrong again | wrong) for that, and what goes
    /// beyond the rate of fresh errors returns the residue of before. Rows with tables of their own have it in their rates.
    fn read_again(
        &self,
        right: u32,
        before: u32,
        group: usize,
        index: usize,
        position: u64,
        attempt: u32,
    ) -> u32 {
        let table = self.table(group, index);
        let again = self.channel().again_at(self.place(group), table.modulus());
        let rate = table.rate(right);
        let (u, pick) = repeat(self.id(index), position, attempt);
        match again {
            _ if u < rate => table.pick(right, pick),
            Some(again) if before != right && u < again => before,
            _ => right,
        }
    }
}
