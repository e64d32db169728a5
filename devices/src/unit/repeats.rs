//! How often a read that was wrong is wrong again, attempt by attempt.

/// Further attempts that have a probability of their own.
pub const ATTEMPTS: usize = 4;

/// Sums over chips and operands of p p'^k: p the probability that the first read is wrong, p' that of each repeat, which meets the
/// same static errors and all noise anew. After k wrong attempts the next is wrong with probability E\[p p'^k\] / E\[p p'^(k-1)\]:
/// these rise, since what was wrong often is what is wrong for good.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Repeats {
    sums: [f64; ATTEMPTS + 1],
}

impl Repeats {
    /// Adds a share of the reads.
    pub fn add(&mut self, share: f64, first: f64, repeat: f64) {
        let mut term = share * first;
        for sum in &mut self.sums {
            *sum += term;
            term *= repeat;
        }
    }

    /// P(wrong again | wrong) of each further attempt; zeros where nothing is ever wrong.
    ///
    /// At depths where nobody asks for a third repeat (rates of 1e-12), the sums of high powers rest on chips beyond the smallest
    /// density that a population keeps. Then the probability of the attempt before, below which none can fall, is the bound.
    pub fn again(&self) -> [f64; ATTEMPTS] {
        let mut least = 0.0;
        std::array::from_fn(|k| {
            let (before, after) = (self.sums[k], self.sums[k + 1]);
            let again: f64 = if before > 0.0 { (after / before).min(1.0) } else { 0.0 };
            least = again.max(least);
            least
        })
    }
}
