//! The model that a network has to beat: counts of the last few tokens.

use std::collections::HashMap;

/// Interpolated Kneser-Ney (Kneser & Ney, ICASSP 1995, in the interpolated form of Chen & Goodman, Computer Speech & Language
/// 13, 1999, section 3): with c the counts of the longest context, and for shorter ones the number of different tokens that stand
/// before,
///
/// P(w | h) = max(c(h w) - D, 0) / c(h) + D N(h) / c(h) P(w | h without its first token),
///
/// where c(h) is the sum of c(h w) and N(h) the number of different w. Below a single token stands the same probability for each token of the
/// vocabulary. A context that was never seen leaves the word to the shorter one. D = n1 / (n1 + 2 n2) for each length, n1 and
/// n2 the numbers of entries with c = 1 and c = 2 (Ney, Essen & Kneser, 1994); 1/2 where one of them is 0. Everything is counted on what
/// is trained on, and nothing is tuned.
#[derive(Debug, Clone)]
pub struct NGram {
    vocabulary: usize,
    /// By length, from 1.
    levels: Vec<Level>,
}

#[derive(Debug, Clone, Default)]
struct Level {
    discount: f64,
    counts: HashMap<Key, u64>,
    /// Sum of the counts, and how many there are.
    contexts: HashMap<Key, (u64, u64)>,
}

/// Tokens of 25 bits, the last one lowest.
type Key = u128;
const BITS: u32 = 25;

/// The longest; the key holds no more.
pub const LONGEST: usize = 5;

impl NGram {
    /// Counts sequences of tokens below `vocabulary`; `order` tokens in a row, the predicted one among them. Before each sequence stands
    /// a token that is nowhere else.
    ///
    /// # Panics
    /// When `order` is not 1 to 5, or the vocabulary has 2^25 tokens or more: mistakes of the caller.
    pub fn count<'s>(
        order: usize,
        vocabulary: usize,
        sequences: impl IntoIterator<Item = &'s [u32]>,
    ) -> Self {
        assert!(
            (1..=LONGEST).contains(&order) && vocabulary < (1 << BITS) - 1,
            "an n-gram that can be counted"
        );
        let mut levels = vec![Level::default(); order];
        for sequence in sequences {
            let padded = padded(order, vocabulary, sequence);
            for gram in padded.windows(order) {
                *levels[order - 1].counts.entry(key(gram)).or_default() += 1;
            }
        }
        for length in (1..order).rev() {
            let (short, long) = levels.split_at_mut(length);
            for &gram in long[0].counts.keys() {
                // Without its first token: one more that stands before.
                *short[length - 1].counts.entry(gram & mask(length)).or_default() += 1;
            }
        }
        levels.iter_mut().for_each(Level::finish);
        Self { vocabulary, levels }
    }

    /// The probability of a token behind a context, of which the last tokens count; a short one stands at the beginning of a sequence.
    pub fn probability(&self, context: &[u32], token: u32) -> f64 {
        let order = self.levels.len();
        let mut gram = padded(order, self.vocabulary, context);
        gram.push(token);
        let gram = &gram[gram.len() - order..];
        let mut probability = 1.0 / self.vocabulary as f64;
        for (length, level) in (1..).zip(&self.levels) {
            let gram = key(&gram[order - length..]);
            let Some(&(sum, different)) = level.contexts.get(&(gram >> BITS)) else { break };
            let count = level.counts.get(&gram).map_or(0.0, |&count| count as f64);
            let left = level.discount * different as f64 * probability;
            probability = ((count - level.discount).max(0.0) + left) / sum as f64;
        }
        probability
    }

    /// Mean of -log P in nats over the tokens of sequences from the one with number `first` on, and how many these are.
    pub fn loss<'s>(&self, sequences: impl IntoIterator<Item = &'s [u32]>, first: usize) -> (f64, usize) {
        let (mut sum, mut count) = (0.0, 0_usize);
        for sequence in sequences {
            for place in first..sequence.len() {
                let context = &sequence[place.saturating_sub(self.levels.len())..place];
                sum -= libm::log(self.probability(context, sequence[place]));
                count += 1;
            }
        }
        (sum / count as f64, count)
    }
}

impl Level {
    fn finish(&mut self) {
        for (&gram, &count) in &self.counts {
            let context = self.contexts.entry(gram >> BITS).or_default();
            context.0 += count;
            context.1 += 1;
        }
        let of = |wanted| self.counts.values().filter(|&&count| count == wanted).count() as f64;
        let (once, twice) = (of(1), of(2));
        self.discount = if once > 0.0 && twice > 0.0 { once / (once + 2.0 * twice) } else { 0.5 };
    }
}

/// The sequence behind as many tokens from outside the vocabulary as a context has.
fn padded(order: usize, vocabulary: usize, sequence: &[u32]) -> Vec<u32> {
    let mut all = vec![vocabulary as u32; order - 1];
    all.extend_from_slice(sequence);
    all
}

fn key(gram: &[u32]) -> Key {
    gram.iter().fold(0, |key, &token| key << BITS | Key::from(token))
}

fn mask(length: usize) -> Key {
    (1 << (BITS * length as u32)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences() -> Vec<Vec<u32>> {
        (0..30_u32).map(|i| (0..40).map(|j| (i * j + j * j / 3) % 7).collect()).collect()
    }

    #[test]
    fn probabilities_of_all_tokens_sum_to_one() {
        let text = sequences();
        for order in 1..=LONGEST {
            let model = NGram::count(order, 9, text.iter().map(Vec::as_slice));
            // Seen, never seen, and short contexts; tokens 7 and 8 never occur.
            for context in [&[0, 1, 2, 3][..], &[6, 6, 6, 6], &[8, 7, 8, 7], &[1], &[]] {
                let all: Vec<f64> = (0..9).map(|token| model.probability(context, token)).collect();
                assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{order} {context:?} {all:?}");
                assert!(all.iter().all(|&p| p > 0.0));
            }
        }
    }

    /// Two tokens, a = 0 and b = 1, and the sequence a a b a a b: worked out by hand. Bigrams with their counts: ^a 1, aa 2,
    /// ab 2, ba 1; n1 = 2, n2 = 2, D = 1/3. Before a stand ^, a, b; before b stands a: counts 3 and 1 of 4; n2 = 0, D = 1/2.
    #[test]
    fn a_bigram_is_what_it_is_by_hand() {
        let model = NGram::count(2, 2, [&[0, 0, 1, 0, 0, 1][..]]);
        let a = (3.0 - 0.5) / 4.0 + 0.5 * 2.0 / 4.0 * 0.5;
        let b = (1.0 - 0.5) / 4.0 + 0.5 * 2.0 / 4.0 * 0.5;
        let third = 1.0 / 3.0;
        let want = [
            (&[0][..], 0, (2.0 - third) / 4.0 + third * 2.0 / 4.0 * a),
            (&[0], 1, (2.0 - third) / 4.0 + third * 2.0 / 4.0 * b),
            (&[1], 0, (1.0 - third) + third * a),
            (&[1], 1, third * b),
            (&[], 0, (1.0 - third) + third * a),
        ];
        for (context, token, want) in want {
            assert!((model.probability(context, token) - want).abs() < 1e-15, "{context:?} {token}");
        }
        let (loss, count) = model.loss([&[0, 1][..]], 1);
        assert_eq!(count, 1);
        assert!((loss + model.probability(&[0], 1).ln()).abs() < 1e-15);
        let (loss, count) = model.loss([&[0, 1][..]], 0);
        assert_eq!(count, 2);
        assert!((loss + (want[4].2.ln() + want[1].2.ln()) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn longer_contexts_know_more_of_what_has_an_order() {
        let text = sequences();
        let all = || text.iter().map(Vec::as_slice);
        let losses: Vec<f64> = [1, 2, 3].map(|order| NGram::count(order, 7, all()).loss(all(), 0).0).to_vec();
        assert!(
            losses[0] < 7_f64.ln() + 1e-3 && losses[1] < losses[0] && losses[2] < losses[1],
            "{losses:?}"
        );
    }
}
