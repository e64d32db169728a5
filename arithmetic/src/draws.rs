//! Random draws of the emulated GEMM, counter-based, so that the result does not depend on threads, tiles or CPU path.
//!
//! Generator: Philox 4x32-10. A product's key is the first half of Philox(counter = (step low, step high, layer, pass + 16
//! domain), key = (seed low, seed high)); domain 0 is errors, 1 is stochastic rounding, 2 the sampling of reads. Counters under
//! that key, lowest word first:
//!
//! | use | word 0 | word 1 | word 2 | word 3 |
//! |---|---|---|---|---|
//! | errors of the first read | draw number | output row | block | index of the modulus |
//! | errors of a repeat | position in the block | output row | block | index + 256 attempt |
//! | stochastic rounding | column / 4 | row | operand (0 first, 1 second) | 0 |
//! | sampling of reads | group | output column | output row | 0 |
//!
//! Rows, columns and K stay below 2^32, which the product checks; positions then stay below 2^44 in any memory there is.
//!
//! The *position* of a read in its output row is n groups + group; a *block* is 4,096 positions. The first read of each
//! (row, modulus, block) has one stream of gaps, geometric at the largest error rate that this row's channel has for any true
//! residue: hit i consumes draws 2i (gap, thinning) and 2i + 1 (which wrong residue). Logarithms come from `libm`.

use std::ops::Range;

use crate::channel::ChannelTable;
use crate::philox::{MANY, philox, philox_many, uniform};
use crate::{Pass, Site};

/// Reads in a block of a gap stream.
pub(crate) const BLOCK: u64 = 4096;

/// What a key is for.
#[derive(Clone, Copy)]
pub(crate) enum Domain {
    Errors = 0,
    Rounding = 1,
    Sampling = 2,
}

/// The key of one product's draws.
pub(crate) fn key(seed: u64, site: Site, domain: Domain) -> [u32; 2] {
    let pass = match site.pass {
        Pass::Forward => 0,
        Pass::InputGradient => 1,
        Pass::WeightGradient => 2,
    };
    let counter = [site.step as u32, (site.step >> 32) as u32, site.layer, pass + 16 * domain as u32];
    let words = philox(counter, [seed as u32, (seed >> 32) as u32]);
    [words[0], words[1]]
}

/// The gap streams of one output row and modulus.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    /// The largest error rate of this row for any true residue, on any unit that forms its groups.
    rate: f64,
    /// ln(1 - rate).
    log_keep: f64,
    /// Probability that a whole block has no candidate.
    no_hit: f64,
}

impl Stream {
    pub fn new(rate: f64) -> Self {
        let log_keep = libm::log1p(-rate);
        Self { rate, log_keep, no_hit: libm::exp(log_keep * BLOCK as f64) }
    }

    pub fn rate(self) -> f64 {
        self.rate
    }
}

/// Where the draws of a stream are taken from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamId {
    pub key: [u32; 2],
    pub row: u32,
    pub modulus: u32,
}

/// A candidate for an error of the first read: whether it is one depends on the true residue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub position: u64,
    pub modulus: u32,
    /// Its number among the candidates of its block.
    number: u32,
    /// Accepted when below the rate of the true residue.
    thin: f64,
}

impl Candidate {
    /// The residue that is read instead of `truth`; `None` when this candidate is thinned away.
    pub fn read(self, table: &ChannelTable, truth: u32, id: StreamId) -> Option<u32> {
        (self.thin < table.rate(truth)).then(|| {
            let block = (self.position / BLOCK) as u32;
            let words = philox([2 * self.number + 1, id.row, block, id.modulus], id.key);
            table.pick(truth, uniform(words[0], words[1]))
        })
    }
}

/// The candidates of one block of some rows, for the modulus of number `modulus`: handed over with the number of the row from
/// 0, by row and in rising position. A row has `positions` reads; `stream` is that of a row.
pub(crate) fn candidates(
    (key, modulus, block): ([u32; 2], u32, u64),
    rows: Range<usize>,
    positions: u64,
    stream: impl Fn(usize) -> Stream,
    mut found: impl FnMut(u32, Candidate),
) {
    for start in rows.clone().step_by(MANY) {
        let first = philox_many([0, start as u32, block as u32, modulus], key);
        for row in start..(start + MANY).min(rows.end) {
            let (stream, words) = (stream(row), first.map(|words| words[row - start]));
            // Most streams of a rare error have no hit at all: one comparison settles those.
            if stream.rate > 0.0 && uniform(words[0], words[1]) > stream.no_hit {
                let id = StreamId { key, row: row as u32, modulus };
                candidates_of(id, stream, words, block, positions, |c| found((row - rows.start) as u32, c));
            }
        }
    }
}

/// The candidates of a stream that may have some; `words` are its first draw.
fn candidates_of(
    id: StreamId,
    stream: Stream,
    mut words: [u32; 4],
    block: u64,
    positions: u64,
    mut found: impl FnMut(Candidate),
) {
    let (mut at, end) = (block * BLOCK, ((block + 1) * BLOCK).min(positions));
    for number in 0.. {
        if number > 0 {
            words = philox([2 * number, id.row, block as u32, id.modulus], id.key);
        }
        let u = uniform(words[0], words[1]);
        // The gap is the whole part.
        let gap = if stream.rate < 1.0 { libm::log(u) / stream.log_keep } else { 0.0 };
        if gap >= (end - at) as f64 {
            return;
        }
        at += gap as u64;
        let thin = uniform(words[2], words[3]) * stream.rate;
        found(Candidate { position: at, modulus: id.modulus, number, thin });
        at += 1;
        if at >= end {
            return;
        }
    }
}

/// The two uniform numbers of a repeat: whether it is wrong, and which residue is read then.
pub(crate) fn repeat(id: StreamId, position: u64, attempt: u32) -> (f64, f64) {
    let counter = [(position % BLOCK) as u32, id.row, (position / BLOCK) as u32, id.modulus | attempt << 8];
    let words = philox(counter, id.key);
    (uniform(words[0], words[1]), uniform(words[2], words[3]))
}
