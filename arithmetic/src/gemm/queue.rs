//! Candidates for errors of a strip of rows, drawn block by block as its panels pass.

use std::ops::Range;

use super::packed::LANES;
use super::read::Reads;
use crate::draws::{BLOCK, Candidate};

/// A candidate and where it strikes: from the highest bits down the chunk of groups, the block of rows, the group in its
/// chunk, the row in its strip, the lane and the modulus, which is the order in which they are taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    key: u64,
    pub candidate: Candidate,
}

impl Hit {
    pub fn chunk(&self) -> usize {
        (self.key >> 34) as usize
    }

    /// The block of rows in its strip.
    pub fn block(&self) -> usize {
        self.bits(27, 7)
    }

    /// The group in its chunk.
    pub fn group(&self) -> usize {
        self.bits(20, 7)
    }

    /// The row in its strip.
    pub fn row(&self) -> usize {
        self.bits(13, 7)
    }

    pub fn lane(&self) -> usize {
        self.bits(8, 5)
    }

    pub fn same_read(&self, other: &Self) -> bool {
        self.key >> 8 == other.key >> 8
    }

    fn bits(&self, at: u32, count: u32) -> usize {
        (self.key >> at & ((1 << count) - 1)) as usize
    }
}

/// The candidates of a strip that are still to come.
pub(super) struct Queue {
    rows: Range<usize>,
    columns: usize,
    groups: usize,
    /// The first block that was not drawn yet.
    block: u64,
    /// Row in the strip, and candidate.
    waiting: Vec<(u32, Candidate)>,
    spare: Vec<Hit>,
}

impl Queue {
    pub fn new(rows: Range<usize>, columns: usize, groups: usize) -> Self {
        Self { rows, columns, groups, block: 0, waiting: Vec::new(), spare: Vec::new() }
    }

    /// Positions of a row whose candidates may wait at once.
    pub fn reach(groups: usize) -> u64 {
        (LANES * groups) as u64 + BLOCK
    }

    /// Takes the candidates of the next panel, in their order; panels must be taken in turn. `block` is the number of rows
    /// in a block, `chunk` that of groups in a chunk.
    pub fn panel(&mut self, reads: &Reads<'_>, panel: usize, block: usize, chunk: usize) -> Vec<Hit> {
        let mut hits = std::mem::take(&mut self.spare);
        hits.clear();
        if !reads.any() {
            return hits;
        }
        let column = panel * LANES;
        let end = ((column + LANES).min(self.columns) * self.groups) as u64;
        let positions = (self.columns * self.groups) as u64;
        while self.block * BLOCK < end {
            reads.draw(self.rows.clone(), self.block, positions, &mut self.waiting);
            self.block += 1;
        }
        let groups = self.groups as u64;
        self.waiting.retain(|&(row, candidate)| {
            if candidate.position >= end {
                return true;
            }
            let (lane, group) = (candidate.position / groups - column as u64, candidate.position % groups);
            let (chunk, group, row) = (group / chunk as u64, group % chunk as u64, u64::from(row));
            let key = chunk << 34 | (row / block as u64) << 27 | group << 20 | row << 13 | lane << 8;
            hits.push(Hit { key: key | u64::from(candidate.modulus), candidate });
            false
        });
        hits.sort_unstable_by_key(|hit| hit.key);
        hits
    }

    /// Takes back the memory of a panel's hits.
    pub fn take_back(&mut self, hits: Vec<Hit>) {
        self.spare = hits;
    }
}
