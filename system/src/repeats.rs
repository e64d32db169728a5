//! Products that are read again: how many, drawn from the rates of the residue channel.

use libm::{floor, lgamma, log, log1p, pow, sqrt};
use mirage_arithmetic::{ExpectedReads, Protection};
use rand::Rng;
use rand_pcg::Pcg64;

use crate::SystemError;
use crate::design::Stall;

/// How often a dot product of one group is found wrong and read again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepeatModel {
    /// Probability that a first read is found wrong (detected), per group.
    pub detected_per_group: f64,
    /// Probability that a repeat is found wrong again: equal to the former for fresh noise, larger where errors are static.
    pub again: f64,
    /// Most repeats of one group, at most 255.
    pub repeats: u32,
}

impl RepeatModel {
    /// From what the arithmetic expects of a channel; `None` if the protection does not read again.
    ///
    /// # Errors
    /// As [`RepeatModel::from_means`].
    pub fn of_channel(reads: &ExpectedReads, protection: Protection) -> Result<Option<Self>, SystemError> {
        match protection.repeats() {
            // To first order in the error rates, none is left that decoding does not put right; a unit must wait all the same.
            Some(repeats) if protection.corrects() => Self::from_means(0.0, 0.0, repeats).map(Some),
            Some(repeats) => Self::from_means(reads.detected, reads.repeats, repeats).map(Some),
            None => Ok(None),
        }
    }

    /// From means: P(detected) of a first read, the mean repeats of each
    /// read, and the most repeats allowed. `again` is what makes the means agree.
    ///
    /// # Errors
    /// [`SystemError::OutOfRange`] if `detected` is no probability or no `again` gives that mean.
    pub fn from_means(detected: f64, repeats_per_read: f64, repeats: u32) -> Result<Self, SystemError> {
        let at = |again: f64| Self { detected_per_group: detected, again, repeats };
        at(0.0).check()?;
        let (smallest, largest) = (at(0.0).expected(1), at(1.0).expected(1));
        // A rounding error of the caller's sum is no error of the caller.
        let slack = 1e-9 * detected;
        if !(smallest - slack..=largest + slack).contains(&repeats_per_read) {
            let what = "the mean number of repeats";
            return Err(SystemError::OutOfRange { what, value: repeats_per_read, smallest, largest });
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if at(middle).expected(1) < repeats_per_read { low = middle } else { high = middle }
        }
        Ok(at(low))
    }

    /// Checks the probabilities.
    ///
    /// # Errors
    /// [`SystemError::OutOfRange`].
    pub fn check(&self) -> Result<(), SystemError> {
        let probabilities = [
            ("the probability that an error is detected", self.detected_per_group),
            ("the probability that a repeat fails again", self.again),
        ];
        for (what, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return Err(SystemError::OutOfRange { what, value, smallest: 0.0, largest: 1.0 });
            }
        }
        if self.repeats > 255 {
            let (what, value) = ("the most repeats of a product", f64::from(self.repeats));
            return Err(SystemError::OutOfRange { what, value, smallest: 0.0, largest: 255.0 });
        }
        Ok(())
    }

    /// Expected repeats of `groups` dot products: p (1 + a + ... + a^(repeats - 1)) of them.
    #[must_use]
    pub fn expected(&self, groups: u64) -> f64 {
        let most = f64::from(self.repeats);
        let series =
            if self.again == 1.0 { most } else { (1.0 - pow(self.again, most)) / (1.0 - self.again) };
        groups as f64 * self.detected_per_group * series
    }

    /// Whether a unit has to keep its operands until its last product is checked.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.repeats > 0
    }

    /// Whether anything is ever read again.
    #[must_use]
    pub fn active(&self) -> bool {
        self.repeats > 0 && self.detected_per_group > 0.0
    }
}

/// The repeats of one tile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Dot products found wrong and read again, each time counted.
    pub groups: u64,
    /// Clock cycles that they take: vectors streamed again if the unit stalls, else the repeats of the row that has most.
    pub cycles: u64,
}

/// Above this expected number per tile, counts are drawn instead of positions.
const MANY: f64 = 16.0;

/// Draws repeats tile by tile.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    model: RepeatModel,
    stall: Stall,
    random: Pcg64,
    /// Error-free products until the next error: carried from tile to tile.
    gap: u64,
    /// ln(1 - p).
    log_clean: f64,
    /// Wrong reads of each row; if the whole unit stalls, of all rows together.
    wrong: Vec<u64>,
    /// The same, over all repeats.
    totals: Vec<u64>,
    /// P(at least k wrong) for the numbers of rows met so far: full tiles and the last ones.
    tails: Vec<(u64, Vec<f64>)>,
}

impl Sampler {
    pub fn new(model: RepeatModel, stall: Stall, random: Pcg64) -> Self {
        let log_clean = log1p(-model.detected_per_group);
        let (wrong, totals, tails) = (Vec::new(), Vec::new(), Vec::new());
        let mut sampler = Self { model, stall, random, gap: 0, log_clean, wrong, totals, tails };
        sampler.gap = gap(&mut sampler.random, log_clean);
        sampler
    }

    /// The repeats of a tile through which `vectors` vectors stream, `rows` rows in use.
    pub fn draw(&mut self, vectors: u64, rows: u64) -> Drawn {
        let products = vectors * rows;
        if products as f64 * self.model.detected_per_group >= MANY {
            let first = self.counts(vectors, rows);
            return self.repeat(first);
        }
        if self.gap >= products {
            self.gap -= products;
            return Drawn::default();
        }
        let first = self.positions(products, rows);
        self.repeat(first)
    }

    /// Walks from error to error; returns the vectors that were hit.
    fn positions(&mut self, products: u64, rows: u64) -> u64 {
        self.wrong.clear();
        self.wrong.resize(if self.stall == Stall::Row { size(rows) } else { 1 }, 0);
        let (mut vectors, mut last) = (0, None);
        while self.gap < products {
            let (vector, row) = (self.gap / rows, size(self.gap % rows));
            vectors += u64::from(last != Some(vector));
            last = Some(vector);
            // One slot for all rows, or one for each.
            let slot = row.min(self.wrong.len() - 1);
            self.wrong[slot] += 1;
            let skip = gap(&mut self.random, self.log_clean);
            self.gap = self.gap.saturating_add(1).saturating_add(skip);
        }
        self.gap -= products;
        vectors
    }

    /// As `positions`, by counts. Rows are independent. For a whole unit, the vectors with a hit are binomial; and of
    /// those, the ones with a second hit; and so on.
    fn counts(&mut self, vectors: u64, rows: u64) -> u64 {
        let p = self.model.detected_per_group;
        self.wrong.clear();
        if self.stall == Stall::Row {
            for _ in 0..rows {
                let wrong = binomial(&mut self.random, vectors, p);
                self.wrong.push(wrong);
            }
            return self.wrong.iter().sum::<u64>().min(vectors);
        }
        let (mut hit, mut before) = (vectors, 1.0);
        let (mut first, mut total) = (None, 0);
        let known = self.tails.iter().position(|(of, _)| *of == rows).unwrap_or_else(|| {
            self.tails.push((rows, tails(p, rows)));
            self.tails.len() - 1
        });
        for &tail in &self.tails[known].1 {
            hit = binomial(&mut self.random, hit, (tail / before).min(1.0));
            first.get_or_insert(hit);
            if hit == 0 {
                break;
            }
            total += hit;
            before = tail;
        }
        self.wrong.push(total);
        first.unwrap_or(0)
    }

    /// Reads again, and again what is wrong again.
    fn repeat(&mut self, hit_vectors: u64) -> Drawn {
        let mut drawn = Drawn::default();
        self.totals.clear();
        self.totals.resize(self.wrong.len(), 0);
        let mut vectors = hit_vectors;
        for number in 0..self.model.repeats {
            if number > 0 {
                for wrong in &mut self.wrong {
                    *wrong = binomial(&mut self.random, *wrong, self.model.again);
                }
            }
            let groups: u64 = self.wrong.iter().sum();
            if groups == 0 {
                break;
            }
            // A vector is streamed again while any of its rows is wrong: at most one vector for each wrong read.
            vectors = vectors.min(groups);
            drawn.groups += groups;
            drawn.cycles += if self.stall == Stall::Unit { vectors } else { 0 };
            for (total, wrong) in self.totals.iter_mut().zip(&self.wrong) {
                *total += wrong;
            }
        }
        if self.stall == Stall::Row {
            drawn.cycles = self.totals.iter().copied().max().unwrap_or(0);
        }
        drawn
    }
}

/// Rows of a unit are at most 65,536.
fn size(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

/// P(at least 1), P(at least 2), ... of `rows` rows being hit with probability `p` each.
fn tails(p: f64, rows: u64) -> Vec<f64> {
    if p >= 1.0 {
        return vec![1.0; size(rows)];
    }
    // Terms of the binomial distribution to either side of the largest, which does not vanish however many rows there are; tails
    // summed from the far end: no cancellation.
    let (n, odds) = (rows as f64, p / (1.0 - p));
    let mode = floor((n + 1.0) * p).min(n);
    let ways = lgamma(n + 1.0) - lgamma(mode + 1.0) - lgamma(n - mode + 1.0);
    let largest = libm::exp(ways + if mode > 0.0 { mode * log(p) } else { 0.0 } + (n - mode) * log1p(-p));
    let mut terms = vec![0.0; size(rows) + 1];
    let mode = mode as usize;
    terms[mode] = largest;
    let rise = |k: usize| (n - k as f64 + 1.0) / k as f64 * odds;
    for k in mode + 1..terms.len() {
        terms[k] = terms[k - 1] * rise(k);
    }
    for k in (0..mode).rev() {
        terms[k] = terms[k + 1] / rise(k + 1);
    }
    terms.remove(0);
    let mut sum = 0.0;
    for term in terms.iter_mut().rev() {
        sum += *term;
        *term = sum;
    }
    terms.retain(|&tail| tail > 0.0);
    terms
}

/// Uniform in (0, 1], 53 bits.
fn uniform(random: &mut Pcg64) -> f64 {
    ((random.next_u64() >> 11) + 1) as f64 / 9_007_199_254_740_992.0
}

/// Failures before the next success, from ln(1 - p).
fn gap(random: &mut Pcg64, log_failure: f64) -> u64 {
    // For p = 0 the quotient is infinite (or 0/0), for p = 1 it is 0.
    let gap = floor(log(uniform(random)) / log_failure);
    // Beyond 2^63 the next success is beyond every product that can be simulated.
    if gap < 9.2e18 { gap.max(0.0) as u64 } else { u64::MAX }
}

/// A binomial number: by inversion where few successes are expected, else by transformed rejection
/// (W. Hörmann, "The generation of binomial random variates", J. Stat. Comput. Simul. 46 (1993), algorithm BTRS).
fn binomial(random: &mut Pcg64, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p > 0.5 {
        return n - binomial(random, n, 1.0 - p);
    }
    if n as f64 * p < 10.0 {
        return inversion(random, n, p);
    }
    transformed_rejection(random, n, p)
}

/// Walks up the distribution until a uniform number is used up. With a mean below 10 the walk is short, and its
/// first term, (1 - p)^n, is far from underflow.
fn inversion(random: &mut Pcg64, n: u64, p: f64) -> u64 {
    let odds = p / (1.0 - p);
    let slope = (n as f64 + 1.0) * odds;
    let none = libm::exp(n as f64 * log1p(-p));
    loop {
        let (mut left, mut term, mut k) = (uniform(random), none, 0);
        // The terms vanish long before this: what rounding leaves of the uniform number is thrown away.
        while k <= n && k < 200 {
            if left <= term {
                return k;
            }
            left -= term;
            k += 1;
            term *= slope / k as f64 - odds;
        }
    }
}

fn transformed_rejection(random: &mut Pcg64, trials: u64, p: f64) -> u64 {
    let n = trials as f64;
    let (q, mean) = (1.0 - p, n * p);
    let spread = sqrt(mean * q);
    let b = 1.15 + 2.53 * spread;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let (c, quick) = (mean + 0.5, 0.92 - 4.2 / b);
    let (alpha, odds, mode) = ((2.83 + 5.1 / b) * spread, p / q, floor((n + 1.0) * p));
    loop {
        let u = uniform(random) - 0.5;
        let v = uniform(random);
        let edge = 0.5 - u.abs();
        let k = floor((2.0 * a / edge + b) * u + c);
        if k < 0.0 || k > n || k.is_nan() {
            continue;
        }
        if edge >= 0.07 && v <= quick {
            return k as u64;
        }
        let height = log(v * alpha / (a / (edge * edge) + b));
        let bound = (mode + 0.5) * log((mode + 1.0) / (odds * (n - mode + 1.0)))
            + (n + 1.0) * log((n - mode + 1.0) / (n - k + 1.0))
            + (k + 0.5) * log(odds * (n - k + 1.0) / (k + 1.0))
            + stirling(mode)
            + stirling(n - mode)
            - stirling(k)
            - stirling(n - k);
        if height <= bound {
            return k as u64;
        }
    }
}

/// ln k! less Stirling's (k + 1/2) ln(k + 1) - (k + 1) + ln(2 pi)/2.
fn stirling(k: f64) -> f64 {
    let x = k + 1.0;
    if k < 10.0 {
        return libm::lgamma(x) - ((k + 0.5) * log(x) - x + 0.918_938_533_204_672_8);
    }
    let square = x * x;
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / x
}

#[cfg(test)]
mod tests;
