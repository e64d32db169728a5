use crate::{BfpFormat, Moduli, OperandHistogram, Protection, ResidueChannel};

/// What to expect of one read (one dot product of one group), to first order in the error rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedReads {
    /// Wrong residues for each read, over all moduli.
    pub wrong: f64,
    /// Probability that the rebuilt value is out of range.
    pub detected: f64,
    /// Probability that it is wrong but in range.
    pub silent: f64,
    /// Expected repeats for each read; 0 unless the protection reads again.
    pub repeats: f64,
}

/// Expected errors of a read whose true dot products are distributed as in `histogram`, on an average channel (or the mean
/// of its rows). Only one wrong residue in a read is considered: for error rates p the neglected share is of order p.
pub fn expected_reads(
    channel: &ResidueChannel,
    moduli: &Moduli,
    format: BfpFormat,
    protection: Protection,
    histogram: &OperandHistogram,
) -> ExpectedReads {
    let bound = format.bound();
    let mut expected = ExpectedReads { wrong: 0.0, detected: 0.0, silent: 0.0, repeats: 0.0 };
    for (index, &m) in moduli.as_slice().iter().enumerate() {
        let tables: Vec<_> = channel.tables().map(|(_, t)| t).filter(|t| t.modulus() == m).collect();
        let mut detected = 0.0;
        for (value, share) in histogram.dots() {
            let truth = moduli.residue(value, index);
            for read in (0..m).filter(|&r| r != truth) {
                let p = tables.iter().map(|t| t.probability(truth, read)).sum::<f64>() / tables.len() as f64;
                let wrong = moduli.add(value, moduli.shift_of(index, i64::from(read) - i64::from(truth)));
                expected.wrong += share * p;
                if wrong.abs() > bound {
                    detected += share * p;
                } else {
                    expected.silent += share * p;
                }
            }
        }
        expected.detected += detected;
        if let Protection::ReadAgain { repeats } = protection {
            let again = channel.again(m).unwrap_or_else(|| channel.error_rate(m).unwrap_or(0.0));
            // A repeat that is wrong again is taken to be detected again: 1 + q + q^2 + … repeats.
            expected.repeats += detected * (0..repeats).map(|i| again.powi(i as i32)).sum::<f64>();
        }
    }
    expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmulatedGemm, GemmConfig, Matrix, Pass, Site, SlipCode};

    /// The formula against the counters of a real product, for both codes.
    #[test]
    fn expectation_agrees_with_the_product() {
        let moduli = Moduli::mirage();
        let data: Vec<f32> =
            (0..128 * 512).map(|i| ((i * 7919 + i / 13) % 997) as f32 / 498.5 - 1.0).collect();
        let (a, b) = (Matrix::new(&data, 128, 512), Matrix::new(&data, 128, 512).transposed());
        let site = Site { layer: 0, pass: Pass::Forward, step: 0 };
        for code in [SlipCode::natural(&moduli), SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap()] {
            let channel = ResidueChannel::slip(&moduli, &code, 5e-4).unwrap();
            let protection = Protection::ReadAgain { repeats: 3 };
            let config = GemmConfig { code, protection, ..GemmConfig::mirage(3) };
            let gemm = EmulatedGemm::new(config.clone(), Some(channel.clone())).unwrap();
            let mut histogram = OperandHistogram::new(config.format);
            gemm.observe(site, a, b, &mut histogram);
            let mut out = vec![0.0; 128 * 128];
            let seen = gemm.multiply(site, a, b, &mut out);
            let reads = histogram.reads() as f64;
            let e = expected_reads(&channel, &moduli, config.format, protection, &histogram);
            for (seen, expected) in [
                (seen.wrong, e.wrong),
                (seen.detected, e.detected),
                (seen.repeated, e.repeats),
                (seen.silent, e.silent),
            ] {
                let expected = expected * reads;
                // Four standard errors, and the neglected double errors of order 3 p.
                assert!(
                    (seen as f64 - expected).abs() <= 4.0 * expected.sqrt() + 2e-3 * expected + 2.0,
                    "{seen} {expected}"
                );
            }
        }
    }
}
