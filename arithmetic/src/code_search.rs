//! Which slip code leaves the fewest errors unseen, for a channel and for the dot products that occur.

use std::collections::BTreeMap;

use crate::moduli::gcd;
use crate::{ChannelError, GemmConfig, ModuliError, OperandHistogram, ResidueChannel, SlipCode};

/// The most codes that are compared.
const MOST: usize = 50_000;

/// A slip code, and what it does not see.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedCode {
    /// The code.
    pub code: SlipCode,
    /// Probability that one residue of a read is wrong and the rebuilt value possible, so that nobody sees it.
    pub single: f64,
    /// The same for residues of two moduli that slip by one level each.
    pub double: f64,
}

impl RankedCode {
    /// Probability that a read is wrong and not seen.
    pub fn silent(&self) -> f64 {
        self.single + self.double
    }
}

/// Why codes cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CodeError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Moduli(#[from] ModuliError),
}

/// Judges slip codes: what happens to a phase level stays as the channel has it, and each code gives it another meaning.
///
/// A single wrong residue of modulus i moves the value by what a slip by d levels changes, c d M_i T_i mod M with the change c
/// of that modulus alone, so each modulus is judged by itself; pairs of slips bind them together. The value goes unseen where it
/// stays within the range of dot products; the true values are those of the histogram.
pub struct CodeJudge<'a> {
    config: &'a GemmConfig,
    /// Dot products and their shares.
    values: Vec<(i64, f64)>,
    /// By modulus, level and slip: the probability.
    slips: Vec<Vec<f64>>,
}

impl<'a> CodeJudge<'a> {
    /// For a channel that was made for the moduli and the code of `config`, on its chip.
    ///
    /// # Errors
    /// When the channel does not fit.
    pub fn new(
        channel: &ResidueChannel,
        config: &'a GemmConfig,
        histogram: &OperandHistogram,
    ) -> Result<Self, CodeError> {
        channel.check(&config.moduli, &config.code)?;
        let mut slips = Vec::new();
        for (index, &m) in config.moduli.as_slice().iter().enumerate() {
            let mut of = vec![0.0; (m * m) as usize];
            for share in channel.shares(config.placement, m)? {
                for (level, slip) in (0..m).flat_map(|level| (1..m).map(move |slip| (level, slip))) {
                    let residue = |level| config.code.residue(index, level % m);
                    let p = share.table.probability(residue(level), residue(level + slip));
                    of[(level * m + slip) as usize] += share.share * p;
                }
            }
            slips.push(of);
        }
        Ok(Self { config, values: histogram.dots().filter(|(_, share)| *share > 0.0).collect(), slips })
    }

    /// What a code does not see.
    pub fn judge(&self, code: &SlipCode) -> RankedCode {
        let changes = code.changes();
        let single = (0..changes.len()).map(|i| self.single(i, code, changes[i])).sum();
        let pairs = (0..changes.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let double = pairs.map(|(i, j)| self.double((i, changes[i]), (j, changes[j]))).sum();
        RankedCode { code: code.clone(), single, double }
    }

    /// The codes that leave the least unseen, the best first, at most `count`. All codes are compared where they are few, as
    /// those of three moduli near 32 are; of more, the best changes of each modulus.
    ///
    /// # Errors
    /// None for moduli that have passed their own checks.
    pub fn best(&self, count: usize) -> Result<Vec<RankedCode>, CodeError> {
        let moduli = &self.config.moduli;
        let keep = (MOST as f64).powf(1.0 / moduli.len() as f64) as usize;
        let mut choices = Vec::new();
        for (i, &m) in moduli.as_slice().iter().enumerate() {
            let mut of = Vec::new();
            for change in (1..m).filter(|&c| gcd(c, m) == 1) {
                let mut all = vec![1; moduli.len()];
                all[i] = change;
                let code = SlipCode::with_changes(moduli, &all)?;
                of.push((self.single(i, &code, change), change));
            }
            of.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            of.truncate(keep.max(2));
            choices.push(of);
        }
        let mut pairs = BTreeMap::new();
        for (i, j) in (0..choices.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            for (&(_, a), &(_, b)) in choices[i].iter().flat_map(|a| choices[j].iter().map(move |b| (a, b))) {
                pairs.insert((i, a, j, b), self.double((i, a), (j, b)));
            }
        }
        let mut found: Vec<(f64, f64, Vec<u32>)> = vec![(0.0, 0.0, Vec::new())];
        for (i, of) in choices.iter().enumerate() {
            let with = |(single, double, changes): &(f64, f64, Vec<u32>), &(more, change): &(f64, u32)| {
                let bound: f64 = changes.iter().enumerate().map(|(j, &c)| pairs[&(i, change, j, c)]).sum();
                (single + more, double + bound, [&changes[..], &[change]].concat())
            };
            found = found.iter().flat_map(|head| of.iter().map(move |choice| with(head, choice))).collect();
        }
        found.sort_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)).then_with(|| a.2.cmp(&b.2)));
        let ranked = found.into_iter().take(count).map(|(single, double, changes)| {
            Ok(RankedCode { code: SlipCode::with_changes(moduli, &changes)?, single, double })
        });
        ranked.collect()
    }

    /// Probability that the residue of modulus `i` alone is wrong, unseen.
    fn single(&self, i: usize, code: &SlipCode, change: u32) -> f64 {
        let m = self.config.moduli.as_slice()[i];
        let shift = |slip: u32| self.config.moduli.shift_of(i, i64::from(change) * i64::from(slip));
        let shifts: Vec<i64> = (0..m).map(shift).collect();
        let mut sum = 0.0;
        for &(value, share) in &self.values {
            let level = code.level(i, self.config.moduli.residue(value, i));
            let row = &self.slips[i][(level * m) as usize..][..m as usize];
            for (slip, &p) in row.iter().enumerate().filter(|(_, p)| **p > 0.0) {
                if self.unseen(value, shifts[slip]) {
                    sum += share * p;
                }
            }
        }
        sum
    }

    /// Probability that residues of two moduli slip by one level each, unseen.
    fn double(&self, (i, a): (usize, u32), (j, b): (usize, u32)) -> f64 {
        let moduli = &self.config.moduli;
        let mut sum = 0.0;
        for (up, of_i) in self.one_level(i) {
            for (also, of_j) in self.one_level(j) {
                let shift = moduli
                    .add(moduli.shift_of(i, up * i64::from(a)), moduli.shift_of(j, also * i64::from(b)));
                let unseen = self.values.iter().filter(|(value, _)| self.unseen(*value, shift));
                sum += of_i * of_j * unseen.map(|(_, share)| share).sum::<f64>();
            }
        }
        sum
    }

    /// Slips by one level up and down with their probabilities, the mean over the levels.
    fn one_level(&self, i: usize) -> [(i64, f64); 2] {
        let m = self.config.moduli.as_slice()[i];
        let mean = |slip: u32| {
            (0..m).map(|level| self.slips[i][(level * m + slip) as usize]).sum::<f64>() / f64::from(m)
        };
        // With two levels up and down are the same.
        let down = if m > 2 { mean(m - 1) } else { 0.0 };
        [(1, mean(1)), (-1, down)]
    }

    fn unseen(&self, value: i64, shift: i64) -> bool {
        self.config.moduli.add(value, shift).abs() <= self.config.format.bound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmulatedGemm, Matrix, Moduli, Pass, Protection, Site, expected_reads};

    fn histogram() -> OperandHistogram {
        let data: Vec<f32> =
            (0..128 * 512).map(|i| ((i * 7919 + i / 13) % 997) as f32 / 498.5 - 1.0).collect();
        let (a, b) = (Matrix::new(&data, 128, 512), Matrix::new(&data, 128, 512).transposed());
        let config = GemmConfig::mirage(3);
        let mut histogram = OperandHistogram::new(config.format);
        let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
        EmulatedGemm::new(config, None).unwrap().observe(site, a, b, &mut histogram);
        histogram
    }

    /// Single errors are those that the range check's own estimate counts, in each code.
    #[test]
    fn single_errors_agree_with_the_range_checks_estimate() {
        let histogram = histogram();
        let config = GemmConfig::mirage(3);
        let rate: f64 = 1e-3;
        // The estimate counts a read with several wrong residues once: 1 - (1 - p)^3 of them where single ones add up to 3 p.
        let once = (1.0 - (1.0 - rate).powi(3)) / (3.0 * rate);
        let channel = ResidueChannel::slip(&config.moduli, &config.code, rate).unwrap();
        let judge = CodeJudge::new(&channel, &config, &histogram).unwrap();
        for changes in [[1, 1, 1], [17, 23, 17], [18, 27, 23], [4, 9, 5]] {
            let code = SlipCode::with_changes(&config.moduli, &changes).unwrap();
            let own = ResidueChannel::slip(&config.moduli, &code, rate).unwrap();
            let other = GemmConfig { code: code.clone(), ..config.clone() };
            let expected = expected_reads(&own, &other, &histogram).unwrap();
            let found = judge.judge(&code);
            let difference = found.single * once - expected.silent;
            assert!(difference.abs() < 1e-12, "{changes:?} {found:?} {expected:?}");
        }
    }

    /// Double slips are those that a product with many errors lets pass.
    #[test]
    fn double_slips_agree_with_the_counts_of_a_product() {
        let histogram = histogram();
        let natural = GemmConfig::mirage(3);
        let code = SlipCode::with_changes(&natural.moduli, &[17, 23, 17]).unwrap();
        let config = GemmConfig { protection: Protection::Count, code, ..natural };
        let rate = 0.02;
        let channel = ResidueChannel::slip(&config.moduli, &config.code, rate).unwrap();
        let judge = CodeJudge::new(&channel, &config, &histogram).unwrap();
        let found = judge.judge(&config.code);
        assert_eq!(found.single, 0.0);
        let data: Vec<f32> =
            (0..128 * 512).map(|i| ((i * 7919 + i / 13) % 997) as f32 / 498.5 - 1.0).collect();
        let (a, b) = (Matrix::new(&data, 128, 512), Matrix::new(&data, 128, 512).transposed());
        let mut out = vec![0.0; 128 * 128];
        let gemm = EmulatedGemm::new(config, Some(channel)).unwrap();
        let mut silent = 0;
        for step in 0..8 {
            silent += gemm.multiply(Site { layer: 0, pass: Pass::Forward, step }, a, b, &mut out).silent;
        }
        let reads = 8.0 * histogram.reads() as f64;
        let expected = found.double * reads;
        // Triple slips are left out: their share is of the order of the rate.
        let (spread, triple) = (4.0 * expected.sqrt(), 3.0 * rate * expected + 1e-3 * rate * rate * reads);
        assert!(expected > 100.0, "{expected}: too few to compare");
        assert!((silent as f64 - expected).abs() < spread + triple, "{silent} {expected}");
    }

    #[test]
    fn the_best_codes_are_in_order_and_no_worse_than_the_known_ones() {
        let histogram = histogram();
        let config = GemmConfig::mirage(3);
        let channel = ResidueChannel::slip(&config.moduli, &config.code, 1e-3).unwrap();
        let judge = CodeJudge::new(&channel, &config, &histogram).unwrap();
        let best = judge.best(50).unwrap();
        assert_eq!(best.len(), 50);
        assert!(best.windows(2).all(|pair| pair[0].silent() <= pair[1].silent()));
        for ranked in &best {
            let again = judge.judge(&ranked.code);
            assert!((again.silent() - ranked.silent()).abs() <= 1e-12 * ranked.silent().max(1e-12));
        }
        for changes in [[1, 1, 1], [17, 23, 17], [18, 27, 23]] {
            let known = judge.judge(&SlipCode::with_changes(&config.moduli, &changes).unwrap());
            assert!(best[0].silent() <= known.silent(), "{changes:?}");
        }
        let moduli = Moduli::new(&[31, 32, 35]).unwrap();
        let other = GemmConfig { code: SlipCode::natural(&moduli), moduli, ..config };
        assert!(CodeJudge::new(&channel, &other, &histogram).is_err());
    }
}
