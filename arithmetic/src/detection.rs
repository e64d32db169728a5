use crate::channel::Share;
use crate::{ChannelError, ChannelTable, GemmConfig, OperandHistogram, ResidueChannel};

/// What to expect of one read (one dot product of one group).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedReads {
    /// Wrong residues for each read, over all moduli.
    pub wrong: f64,
    /// Probability that the rebuilt value is out of range.
    pub detected: f64,
    /// Probability that it is wrong but in range.
    pub silent: f64,
    /// Expected repeats for each read; 0 unless the protection reads again what it does not correct.
    pub repeats: f64,
}

/// Expected errors of a read whose true dot products are distributed as in `histogram`, on every row of the chip as often as
/// on the others. Reads with several wrong residues are counted once, moduli being wrong independently, and taken to be detected as
/// often as those with one: an error of the share of such reads, of the order of the rates.
///
/// # Errors
/// When the channel does not fit the moduli, the slip code, or the rows of the chip.
pub fn expected_reads(
    channel: &ResidueChannel,
    config: &GemmConfig,
    histogram: &OperandHistogram,
) -> Result<ExpectedReads, ChannelError> {
    channel.check(&config.moduli, &config.code)?;
    let mut expected = ExpectedReads { wrong: 0.0, detected: 0.0, silent: 0.0, repeats: 0.0 };
    // ln of the probability that no residue is wrong.
    let mut right = 0.0;
    for (index, &m) in config.moduli.as_slice().iter().enumerate() {
        let reads = Reads::new(config, histogram, index);
        let before = expected.wrong;
        for Share { share, table, again } in channel.shares(config.placement, m)? {
            let (detected, silent) = reads.with(table);
            expected.wrong += share * (detected + silent);
            expected.detected += share * detected;
            expected.silent += share * silent;
            if let Some(repeats) = config.protection.repeats().filter(|_| !config.protection.corrects()) {
                expected.repeats += share * detected * repeats_of_detected(table, again, repeats);
            }
        }
        right += (-(expected.wrong - before).min(1.0)).ln_1p();
    }
    if expected.wrong > 0.0 {
        let once = -right.exp_m1() / expected.wrong;
        expected.detected *= once;
        expected.silent *= once;
        expected.repeats *= once;
    }
    Ok(expected)
}

/// Mean repeats of a read that was found wrong, when a repeat that is wrong again is found wrong again: 1 + a1 + a1 a2 + …
fn repeats_of_detected(table: &ChannelTable, again: Option<&[f64]>, repeats: u32) -> f64 {
    let again = again.unwrap_or_default();
    let last = again.len().saturating_sub(1);
    let (mut left, mut sum) = (1.0, 0.0);
    for attempt in 0..repeats as usize {
        sum += left;
        // A repeat is wrong at least as often as any read.
        left *= again.get(attempt.min(last)).map_or(0.0, |&again| again).max(table.mean_rate());
    }
    sum
}

/// What reads hold in the residue of one modulus.
struct Reads {
    modulus: u32,
    /// By true residue: the share of all reads.
    of: Vec<f64>,
    /// By true residue and residue read: the share of all reads that would then be out of range.
    out: Vec<f64>,
}

impl Reads {
    fn new(config: &GemmConfig, histogram: &OperandHistogram, index: usize) -> Self {
        let (moduli, bound) = (&config.moduli, config.format.bound());
        let modulus = moduli.as_slice()[index];
        let m = modulus as usize;
        let mut reads = Self { modulus, of: vec![0.0; m], out: vec![0.0; m * m] };
        for (value, share) in histogram.dots() {
            let truth = moduli.residue(value, index);
            reads.of[truth as usize] += share;
            for read in (0..modulus).filter(|&r| r != truth) {
                let wrong = moduli.add(value, moduli.shift_of(index, i64::from(read) - i64::from(truth)));
                if wrong.abs() > bound {
                    reads.out[(truth * modulus + read) as usize] += share;
                }
            }
        }
        reads
    }

    /// Probabilities that this table makes a residue wrong and the value is then out of range, or in it.
    fn with(&self, table: &ChannelTable) -> (f64, f64) {
        let (mut detected, mut silent) = (0.0, 0.0);
        for (truth, &share) in (0..self.modulus).zip(&self.of) {
            for read in (0..self.modulus).filter(|&r| r != truth) {
                let (p, out) =
                    (table.probability(truth, read), self.out[(truth * self.modulus + read) as usize]);
                detected += p * out;
                silent += p * (share - out);
            }
        }
        (detected, silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ChannelKey, EmulatedGemm, Matrix, Moduli, Pass, Place, Placement, Protection, Site, SlipCode,
    };

    /// The formula against the counts of a real product, with room for a few reads that are wrong twice.
    fn compare(config: &GemmConfig, channel: &ResidueChannel, twice: f64) {
        let data: Vec<f32> =
            (0..128 * 512).map(|i| ((i * 7919 + i / 13) % 997) as f32 / 498.5 - 1.0).collect();
        let (a, b) = (Matrix::new(&data, 128, 512), Matrix::new(&data, 128, 512).transposed());
        let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
        let gemm = EmulatedGemm::new(config.clone(), Some(channel.clone())).unwrap();
        let mut histogram = OperandHistogram::new(config.format);
        gemm.observe(site, a, b, &mut histogram);
        let mut out = vec![0.0; 128 * 128];
        let seen = gemm.multiply(site, a, b, &mut out);
        let reads = histogram.reads() as f64;
        let e = expected_reads(channel, config, &histogram).unwrap();
        for (seen, expected) in [
            (seen.wrong, e.wrong),
            (seen.detected, e.detected),
            (seen.repeated, e.repeats),
            (seen.silent, e.silent),
        ] {
            let expected = expected * reads;
            // Four standard errors, and the neglected double errors of order 3 p.
            assert!(
                (seen as f64 - expected).abs() <= 4.0 * expected.sqrt() + 2e-3 * expected + twice,
                "{seen} {expected}"
            );
        }
    }

    /// The formula against the counters of a real product, for both codes.
    #[test]
    fn expectation_agrees_with_the_product() {
        let moduli = Moduli::mirage();
        for code in [SlipCode::natural(&moduli), SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap()] {
            let channel = ResidueChannel::slip(&moduli, &code, 5e-4).unwrap();
            let protection = Protection::ReadAgain { repeats: 3 };
            compare(&GemmConfig { code, protection, ..GemmConfig::mirage(3) }, &channel, 2.0);
        }
    }

    /// Two redundant moduli: a single wrong residue is always found, and never read again.
    #[test]
    fn correction_takes_no_repeats() {
        let moduli = Moduli::new(&[31, 32, 33, 35, 37]).unwrap();
        let code = SlipCode::natural(&moduli);
        let channel = ResidueChannel::uniform(&moduli, 5e-5).unwrap();
        let protection = Protection::Correct { redundant: 2, repeats: 3 };
        let config = GemmConfig { moduli, code, protection, ..GemmConfig::mirage(3) };
        // 524,288 reads, of which 10 (5e-5)^2 / 2 are wrong twice: none.
        compare(&config, &channel, 2.0);
    }

    /// However often residues are wrong, probabilities are probabilities, and every read that is wrong is seen or not.
    #[test]
    fn probabilities_stay_below_one() {
        let config = GemmConfig { protection: Protection::ReadAgain { repeats: 3 }, ..GemmConfig::mirage(3) };
        let mut histogram = OperandHistogram::new(config.format);
        let data: Vec<f32> = (0..16 * 64).map(|i| ((i * 7919) % 997) as f32 / 498.5 - 1.0).collect();
        let (a, b) = (Matrix::new(&data, 16, 64), Matrix::new(&data, 16, 64).transposed());
        let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
        EmulatedGemm::new(config.clone(), None).unwrap().observe(site, a, b, &mut histogram);
        for rate in [1e-9, 0.1, 0.35, 0.99] {
            let channel = ResidueChannel::uniform(&config.moduli, rate).unwrap();
            let e = expected_reads(&channel, &config, &histogram).unwrap();
            let wrong = 1.0 - (1.0 - rate).powi(3);
            assert!((e.wrong - 3.0 * rate).abs() < 1e-12, "{e:?}");
            assert!((e.detected + e.silent - wrong).abs() < 1e-12, "{e:?}");
            assert!(e.repeats <= 3.0 * e.detected + 1e-12, "{e:?}");
        }
    }

    /// One bad row among eight: it weighs an eighth, and its repeats are as wrong as its first reads, while the average's
    /// static errors repeat.
    #[test]
    fn a_bad_row_weighs_as_much_as_it_is_used() {
        let moduli = Moduli::mirage();
        let code = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
        let slip = |p: f64| ResidueChannel::slip(&moduli, &code, p).unwrap();
        let bad = ChannelKey { chip: Some(0), place: Some(Place { unit: 1, row: 3 }) };
        let tables = |p: f64, key: ChannelKey| {
            slip(p).tables().map(|(_, table)| (key, table.clone())).collect::<Vec<_>>()
        };
        let mut all = tables(5e-4, ChannelKey::default());
        all.extend(tables(4e-3, bad));
        let mut channel = ResidueChannel::keyed(all);
        for &m in moduli.as_slice() {
            channel.set_again(m, &[0.4]);
        }
        let protection = Protection::ReadAgain { repeats: 3 };
        let placement = Placement { units: 2, rows: 4 };
        let config = GemmConfig { code, protection, placement, ..GemmConfig::mirage(3) };
        // 65,536 reads on the bad row, each wrong twice with probability 3 p^2: three.
        compare(&config, &channel, 10.0);
        channel.header.insert("slip_code".into(), "natural".into());
        assert!(expected_reads(&channel, &config, &OperandHistogram::new(config.format)).is_err());
    }
}
