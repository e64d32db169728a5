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
use crate::philox::{MANY, Words, philox, philox_many, philox_row, uniform};
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
    /// ln(1 - rate), and its inverse.
    log_keep: f64,
    per_log: f64,
    /// Probability that a whole block has no candidate.
    no_hit: f64,
    /// Quantiles whose high word is less are not above `no_hit`.
    least: u32,
}

impl Stream {
    pub fn new(rate: f64) -> Self {
        let log_keep = libm::log1p(-rate);
        let no_hit = libm::exp(log_keep * BLOCK as f64);
        // One less than the high word of `no_hit`, so that no rounding counts.
        let least = if rate > 0.0 { ((no_hit * 2f64.powi(32)) as u32).saturating_sub(1) } else { u32::MAX };
        Self { rate, log_keep, per_log: 1.0 / log_keep, no_hit, least }
    }

    pub fn rate(self) -> f64 {
        self.rate
    }

    /// The gap at the quantile `u`, the whole part of ln u / ln(1 - rate); `None` when it is `left` or more. `log` is about ln u.
    ///
    /// Almost always the estimate tells; where a whole number lies within its error, the logarithm of `libm` decides.
    #[inline]
    fn gap(&self, u: f64, log: f64, left: u32) -> Option<u32> {
        if self.rate >= 1.0 {
            return Some(0);
        }
        let gap = log * self.per_log;
        let error = LOG_ERROR * -self.per_log + 1e-12 * gap;
        let (low, high) = (gap - error, gap + error);
        if low >= f64::from(left) {
            return None;
        }
        if low >= 0.0 && high < f64::from(left) && low as i32 == high as i32 {
            return Some(low as u32);
        }
        let gap = libm::log(u) / self.log_keep;
        (gap < f64::from(left)).then_some(gap as u32)
    }
}

/// Bound of the error of [`estimated_log`].
const LOG_ERROR: f64 = 1e-12;

/// ln x for a normal x in (0, 1): with x = 2^e m, m within a factor sqrt 2 of 1, and s = (m - 1)/(m + 1), it is
/// e ln 2 + 2 artanh s. The series is left off after s^13; what is missing is below 2 s^15/15 / (1 - s^2) < 5e-13.
#[inline(always)]
fn estimated_log(x: f64) -> f64 {
    const ONE: u64 = 1f64.to_bits();
    const HALF_ROOT: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    /// Added to a small whole number, it leaves that in the mantissa: so vectors turn it into f64.
    const SHIFT: f64 = 1.5 * (1u64 << 52) as f64;
    // e + 1023 without its fraction.
    let biased = (x.to_bits() + (ONE - HALF_ROOT)) >> 52;
    let m = f64::from_bits(x.to_bits() + ONE - (biased << 52));
    let e = f64::from_bits(SHIFT.to_bits() + biased) - (SHIFT + 1023.0);
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let (low, high) = (1.0 + q * (1.0 / 3.0), 1.0 / 5.0 + q * (1.0 / 7.0));
    let (above, top) = (1.0 / 9.0 + q * (1.0 / 11.0), q * q * (1.0 / 13.0));
    let q2 = q * q;
    e * std::f64::consts::LN_2 + 2.0 * s * (low + q2 * (high + q2 * (above + top)))
}

/// Quantiles of many gaps, and about their logarithms.
#[inline]
fn quantiles([high, low, ..]: &[Words; 4]) -> ([f64; MANY], [f64; MANY]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as was just asked; the function has no other precondition.
        return unsafe { quantiles_avx2(high, low) };
    }
    quantiles_any(high, low)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantiles_avx2(high: &Words, low: &Words) -> ([f64; MANY], [f64; MANY]) {
    quantiles_any(high, low)
}

#[inline(always)]
fn quantiles_any(high: &Words, low: &Words) -> ([f64; MANY], [f64; MANY]) {
    let (mut us, mut logs) = ([0.0; MANY], [0.0; MANY]);
    for i in 0..MANY {
        us[i] = uniform(high[i], low[i]);
    }
    for i in 0..MANY {
        logs[i] = estimated_log(us[i]);
    }
    (us, logs)
}

/// Where the draws of a stream are taken from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamId {
    pub key: [u32; 2],
    pub row: u32,
    pub modulus: u32,
}

/// A candidate for an error of the first read: whether it is one depends on the true residue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Candidate {
    pub position: u64,
    pub row: u32,
    pub modulus: u32,
    pub quantiles: Quantiles,
}

/// What decides what a candidate reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quantiles {
    /// Accepted when below the rate of the true residue.
    thin: f64,
    /// Quantile of the wrong residue.
    which: f64,
}

impl Quantiles {
    /// Whether the candidate is accepted for any true residue.
    #[inline]
    pub fn possible(self, table: &ChannelTable) -> bool {
        self.thin < table.largest_rate()
    }

    /// The residue that is read instead of `truth`; `None` when the candidate is thinned away.
    #[inline]
    pub fn read(self, table: &ChannelTable, truth: u32) -> Option<u32> {
        (self.thin < table.rate(truth)).then(|| table.pick(truth, self.which))
    }
}

/// A block whose candidates are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub key: [u32; 2],
    pub block: u64,
    /// How many moduli there are.
    pub moduli: usize,
    /// Reads that a row has.
    pub positions: u64,
    /// The gap streams, by row of the chip and modulus.
    pub streams: &'a [Vec<Stream>],
}

impl<'a> Block<'a> {
    fn stream(&self, row: u32, modulus: u32) -> &'a Stream {
        // Most channels are the same for all rows: a division saved.
        let of_row = if self.streams.len() == 1 { 0 } else { row as usize % self.streams.len() };
        &self.streams[of_row][modulus as usize]
    }
}

/// Draws candidates, of many streams at a time.
#[derive(Default)]
pub(crate) struct Drawer {
    /// Streams of a block that may have another candidate.
    active: Vec<Active>,
    /// Candidates whose wrong residue is still to be drawn.
    waiting: Vec<(u32, Candidate)>,
}

#[derive(Clone, Copy)]
struct Active {
    row: u32,
    modulus: u32,
    /// Number of the next candidate.
    number: u32,
    /// First position that it may have in the block.
    at: u32,
}

/// One draw of a stream: the quantile of the gap, about its logarithm, and the words of the thinning.
struct Draw {
    u: f64,
    log: f64,
    thin: [u32; 2],
}

impl Drawer {
    /// Hands over the candidates of one block of some rows, in no order; only those that are `wanted`, which is asked before
    /// it is drawn which residue they read.
    pub fn draw(
        &mut self,
        block: Block<'_>,
        rows: Range<usize>,
        wanted: impl Fn(&Candidate) -> bool,
        mut found: impl FnMut(Candidate),
    ) {
        self.active.clear();
        self.first(block, rows);
        while !self.active.is_empty() {
            let mut kept = 0;
            for start in (0..self.active.len()).step_by(MANY) {
                let count = (self.active.len() - start).min(MANY);
                let now = &self.active[start..][..count];
                let mut counters = [[0; MANY], [0; MANY], [block.block as u32; MANY], [0; MANY]];
                for (i, a) in now.iter().enumerate() {
                    (counters[0][i], counters[1][i], counters[3][i]) = (2 * a.number, a.row, a.modulus);
                }
                let words = philox_many(counters, block.key);
                let (us, logs) = quantiles(&words);
                for i in 0..count {
                    let active = self.active[start + i];
                    let draw = Draw { u: us[i], log: logs[i], thin: [words[2][i], words[3][i]] };
                    if let Some(next) = self.step(block, active, draw, &wanted, &mut found) {
                        self.active[kept] = next;
                        kept += 1;
                    }
                }
            }
            self.active.truncate(kept);
        }
        self.pick(block, &mut found);
    }

    /// Finds the streams whose first draw may be a candidate.
    fn first(&mut self, block: Block<'_>, rows: Range<usize>) {
        for modulus in 0..block.moduli as u32 {
            for start in rows.clone().step_by(MANY) {
                let words = philox_row::<1>([0, start as u32, block.block as u32, modulus], block.key);
                // Whether there is one is not foreseeable: so each stream is written down, and kept or overwritten.
                let (mut some, mut count) = ([0; MANY], 0);
                for (row, &word) in (start..rows.end).zip(&words[0]) {
                    let row = row as u32;
                    some[count] = row;
                    count += usize::from(word >= block.stream(row, modulus).least);
                }
                let active = |&row: &u32| Active { row, modulus, number: 0, at: 0 };
                self.active.extend(some[..count].iter().map(active));
            }
        }
    }

    /// Takes a draw of a stream; returns the stream if it may have another candidate.
    #[inline]
    fn step(
        &mut self,
        block: Block<'_>,
        Active { row, modulus, number, at }: Active,
        draw: Draw,
        wanted: &impl Fn(&Candidate) -> bool,
        found: &mut impl FnMut(Candidate),
    ) -> Option<Active> {
        let (start, stream) = (block.block * BLOCK, block.stream(row, modulus));
        // Most streams of a rare error have no hit at all: a comparison settles those.
        if number == 0 && (draw.u <= stream.no_hit || stream.rate <= 0.0) {
            return None;
        }
        let end = (block.positions - start).min(BLOCK) as u32;
        let at = at + stream.gap(draw.u, draw.log, end - at)?;
        let position = start + u64::from(at);
        let thin = uniform(draw.thin[0], draw.thin[1]) * stream.rate;
        let candidate = Candidate { position, row, modulus, quantiles: Quantiles { thin, which: 0.0 } };
        if wanted(&candidate) {
            self.waiting.push((2 * number + 1, candidate));
            if self.waiting.len() == MANY {
                self.pick(block, found);
            }
        }
        (at + 1 < end).then_some(Active { row, modulus, number: number + 1, at: at + 1 })
    }

    /// Draws which residue the waiting candidates read, and hands them over.
    fn pick(&mut self, block: Block<'_>, found: &mut impl FnMut(Candidate)) {
        let mut counters = [[0; MANY], [0; MANY], [block.block as u32; MANY], [0; MANY]];
        for (i, (draw, candidate)) in self.waiting.iter().enumerate() {
            (counters[0][i], counters[1][i], counters[3][i]) = (*draw, candidate.row, candidate.modulus);
        }
        let words = philox_many(counters, block.key);
        for (i, (_, candidate)) in self.waiting.iter().enumerate() {
            let quantiles = Quantiles { which: uniform(words[0][i], words[1][i]), ..candidate.quantiles };
            found(Candidate { quantiles, ..*candidate });
        }
        self.waiting.clear();
    }
}

/// The draws of a repeat for up to [`MANY`] moduli from that of the number `modulus` on.
pub(crate) struct Repeat([Words; 4]);

impl Repeat {
    pub fn new(id: StreamId, position: u64, attempt: u32) -> Self {
        let block = (position / BLOCK) as u32;
        let counter = [(position % BLOCK) as u32, id.row, block, id.modulus + (attempt << 8)];
        Self(philox_row::<3>(counter, id.key))
    }

    /// Uniform number that tells whether the modulus with the number `modulus` + i is wrong.
    #[inline]
    pub fn wrong(&self, i: usize) -> f64 {
        uniform(self.0[0][i], self.0[1][i])
    }

    /// Whether [`Repeat::wrong`] may be below the number that `bound` is of.
    #[inline]
    pub fn below(&self, i: usize, bound: u32) -> bool {
        self.0[0][i] <= bound
    }

    /// High words above this make uniform numbers that are not below `rate`.
    pub fn bound(rate: f64) -> u32 {
        (rate * 2f64.powi(32)) as u32
    }

    /// Quantile of the residue that is read then.
    #[inline]
    pub fn which(&self, i: usize) -> f64 {
        uniform(self.0[2][i], self.0[3][i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaps by estimate are those that the logarithm of `libm` gives, whatever is left.
    #[test]
    fn gaps_are_whole_parts_of_the_logarithm() {
        for rate in [1e-300, 1e-17, 1e-12, 1e-8, 1e-4, 1e-2, 0.3, 0.5, 0.999, 1.0 - 1e-16, 1.0] {
            let stream = Stream::new(rate);
            for i in 0..if cfg!(miri) { 50 } else { 20_000u32 } {
                let words = philox([i, 1, 2, 3], [4, 5]);
                // Quantiles of all sizes, and those next to whole gaps.
                let at_whole = libm::exp(stream.log_keep * f64::from(i % 4096)).max(2f64.powi(-52));
                let near = f64::from_bits(at_whole.to_bits().wrapping_add(u64::from(i % 7)).wrapping_sub(3));
                let small = uniform(words[0] >> (i % 33).min(31), words[1]);
                for u in
                    [uniform(words[0], words[1]), small, near.clamp(2f64.powi(-53), 1.0 - 2f64.powi(-53))]
                {
                    let exact = if rate < 1.0 { libm::log(u) / stream.log_keep } else { 0.0 };
                    for left in [1, 7, 4096] {
                        let expected = (exact < f64::from(left)).then_some(exact as u32);
                        assert_eq!(stream.gap(u, estimated_log(u), left), expected, "{rate} {u} {left}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_estimated_logarithm_keeps_its_bound() {
        for i in 0..if cfg!(miri) { 500 } else { 200_000u32 } {
            let words = philox([i, 0, 0, 0], [1, 1]);
            let u = uniform(words[0] >> (i % 32), words[1]);
            assert!((estimated_log(u) - u.ln()).abs() < LOG_ERROR, "{u}");
        }
    }
}
