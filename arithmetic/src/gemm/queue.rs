//! Candidates for errors of a strip of rows, drawn block by block as the panels of a slab pass.

use std::ops::Range;

use super::packed::LANES;
use super::read::Reads;
use crate::divisor::Divisor;
use crate::draws::{BLOCK, Candidate, Drawer, Quantiles};

/// A candidate and where it strikes: from the highest bits down the panel in its slab, the chunk of groups, the block of rows,
/// the group in its chunk, the row in its block, the lane and the modulus, which is the order in which they are taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    key: u64,
    pub quantiles: Quantiles,
}

/// Bits of a [`Hit`]'s key, the lowest first. There are at most 15 coprime moduli whose product stays below 2^62, and at most
/// 2^26 chunks where K stays below 2^32.
const MODULUS: (u32, u32) = (0, 4);
const LANE: (u32, u32) = (4, 4);
const ROW: (u32, u32) = (8, 3);
const GROUP: (u32, u32) = (11, 6);
const BLOCK_OF_ROWS: (u32, u32) = (17, 7);
const CHUNK: (u32, u32) = (24, 26);
const PANEL: (u32, u32) = (50, 13);

impl Hit {
    /// The most panels of a slab.
    pub const PANELS: usize = 1 << PANEL.1;

    pub fn chunk(&self) -> usize {
        self.bits(CHUNK)
    }

    /// The block of rows in its strip.
    pub fn block(&self) -> usize {
        self.bits(BLOCK_OF_ROWS)
    }

    /// The group in its chunk.
    pub fn group(&self) -> usize {
        self.bits(GROUP)
    }

    /// The row in its block.
    pub fn row(&self) -> usize {
        self.bits(ROW)
    }

    pub fn modulus(&self) -> usize {
        self.bits(MODULUS)
    }

    pub fn lane(&self) -> usize {
        self.bits(LANE)
    }

    pub fn same_read(&self, other: &Self) -> bool {
        self.key >> LANE.0 == other.key >> LANE.0
    }

    fn bits(&self, (at, count): (u32, u32)) -> usize {
        (self.key >> at & ((1 << count) - 1)) as usize
    }
}

/// A strip of rows meets a slab.
#[derive(Clone)]
pub(super) struct Meeting {
    pub rows: Range<usize>,
    pub panels: Range<usize>,
    pub columns: usize,
    pub groups: usize,
    /// Rows in a block, and groups in a chunk.
    pub block: usize,
    pub chunk: usize,
}

/// The candidates of a strip and a slab that are still to come.
#[derive(Default)]
pub(super) struct Queue {
    /// The first block that was not drawn yet.
    block: u64,
    /// In their order.
    hits: Vec<Hit>,
    /// How many of them were taken.
    taken: usize,
    drawer: Drawer,
}

impl Queue {
    /// Positions of a row whose candidates may wait at once.
    pub fn reach(groups: usize) -> u64 {
        (LANES * groups) as u64 + BLOCK
    }

    /// Begins with the first panel of a slab.
    pub fn start(&mut self, meeting: &Meeting) {
        self.block = (meeting.panels.start * LANES * meeting.groups) as u64 / BLOCK;
        self.hits.clear();
        self.taken = 0;
    }

    /// Takes the candidates of the next panel, in their order; `panel` counts from that of the start.
    pub fn panel(&mut self, reads: &Reads<'_>, meeting: &Meeting, panel: usize) -> &[Hit] {
        if !reads.any() {
            return &[];
        }
        let of_columns = |columns: usize| (columns.min(meeting.columns) * meeting.groups) as u64;
        let end = of_columns((meeting.panels.start + panel + 1) * LANES);
        if self.block * BLOCK < end {
            self.hits.drain(..self.taken);
            self.taken = 0;
            self.draw(reads, meeting, end);
            self.hits.sort_unstable_by_key(|hit| hit.key);
        }
        let start = self.taken;
        let left = &self.hits[start..];
        self.taken += left.iter().take_while(|hit| hit.bits(PANEL) == panel).count();
        &self.hits[start..self.taken]
    }

    /// Draws the blocks that begin before the position `end`.
    fn draw(&mut self, reads: &Reads<'_>, meeting: &Meeting, end: u64) {
        let Meeting { rows, panels, columns, groups, .. } = meeting.clone();
        let (from, to) = (panels.start * LANES, (panels.end * LANES).min(columns));
        let [from, to, positions] = [from, to, columns].map(|columns| (columns * groups) as u64);
        let drawn = (end.next_multiple_of(BLOCK).min(to) - from.max(self.block * BLOCK)) * rows.len() as u64;
        let expected = reads.expected(drawn);
        self.hits.reserve_exact((expected + 4.0 * expected.sqrt() + 4.0) as usize);
        let split = Split::new(meeting);
        while self.block * BLOCK < end {
            let Self { drawer, hits, .. } = self;
            let wanted = |c: &Candidate| (from..to).contains(&c.position) && reads.possible(c);
            drawer.draw(reads.block(self.block, positions), rows.clone(), wanted, |candidate| {
                hits.push(split.hit(candidate));
            });
            self.block += 1;
        }
    }
}

/// Finds where a candidate strikes.
struct Split {
    groups: Divisor,
    chunk: Divisor,
    block: Divisor,
    first_row: u64,
    first_column: u64,
}

impl Split {
    fn new(meeting: &Meeting) -> Self {
        let [groups, chunk, block] =
            [meeting.groups, meeting.chunk, meeting.block].map(|divisor| Divisor::new(divisor as u64));
        let first_column = (meeting.panels.start * LANES) as u64;
        Self { groups, chunk, block, first_row: meeting.rows.start as u64, first_column }
    }

    fn hit(&self, candidate: Candidate) -> Hit {
        let (column, group) = self.groups.divide(candidate.position);
        let column = column - self.first_column;
        let (chunk, group) = self.chunk.divide(group);
        let (block, row) = self.block.divide(u64::from(candidate.row) - self.first_row);
        let parts = [
            (MODULUS, u64::from(candidate.modulus)),
            (LANE, column % LANES as u64),
            (ROW, row),
            (GROUP, group),
            (BLOCK_OF_ROWS, block),
            (CHUNK, chunk),
            (PANEL, column / LANES as u64),
        ];
        let key = parts.into_iter().fold(0, |key, ((at, count), part)| {
            debug_assert!(part >> count == 0);
            key | part << at
        });
        Hit { key, quantiles: candidate.quantiles }
    }
}
