use std::collections::BinaryHeap;
use std::io::{Read, Write};

use crate::bfp::Quantised;
use crate::draws::{Domain, key};
use crate::philox::philox;
use crate::{BfpFormat, HistogramError, Site};

/// A uniform sample of the reads of a run: the mantissas of both groups of a dot product.
///
/// Values of a group are far from independent (a group of background pixels is sixteen times the same value), so that the
/// loss of light and the phase errors of a read cannot be had from the distribution of single operands.
#[derive(Debug, Clone)]
pub struct GroupSample {
    format: BfpFormat,
    most: usize,
    /// The reads with the smallest keys among all that were seen, the largest key first.
    reads: BinaryHeap<Sampled>,
}

/// One read; the order is that of random keys, so that the smallest are a uniform sample, whatever the order of products.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Sampled {
    key: u64,
    groups: GroupPair,
}

/// Mantissas of the two groups of a dot product.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupPair {
    /// Of the first operand (the stationary one, unless the dataflow turns them round).
    pub first: Vec<i16>,
    /// Of the second.
    pub second: Vec<i16>,
}

const FORMAT: &str = "# mirage group sample 1";

impl GroupSample {
    /// An empty sample that will keep `most` reads.
    pub fn new(format: BfpFormat, most: usize) -> Self {
        Self { format, most, reads: BinaryHeap::new() }
    }

    /// The format of the products that were sampled.
    pub fn format(&self) -> BfpFormat {
        self.format
    }

    /// Refuses a format other than that of the products that were sampled.
    pub fn check(&self, format: BfpFormat) -> Result<(), HistogramError> {
        HistogramError::check(self.format, format)
    }

    /// The sampled reads, each as likely as the others.
    pub fn pairs(&self) -> impl Iterator<Item = &GroupPair> {
        let mut sorted: Vec<&Sampled> = self.reads.iter().collect();
        sorted.sort_unstable();
        sorted.into_iter().map(|s| &s.groups)
    }

    /// Offers every read of a product; keys are drawn by counter from the seed, the site and the read's position.
    pub(crate) fn offer(&mut self, seed: u64, site: Site, a: &Quantised, b: &Quantised) {
        let key = key(seed, site, Domain::Sampling);
        for m in 0..a.rows() {
            for n in 0..b.rows() {
                for group in 0..a.groups() {
                    let words = philox([group as u32, n as u32, m as u32, 0], key);
                    let key = u64::from(words[0]) << 32 | u64::from(words[1]);
                    if self.reads.len() == self.most && self.reads.peek().is_some_and(|last| key >= last.key)
                    {
                        continue;
                    }
                    let groups = GroupPair {
                        first: a.mantissas(m, group).to_vec(),
                        second: b.mantissas(n, group).to_vec(),
                    };
                    self.reads.push(Sampled { key, groups });
                    if self.reads.len() > self.most {
                        self.reads.pop();
                    }
                }
            }
        }
    }

    /// Writes the sample: one line for each read, the mantissas of the first operand and then those of the second.
    pub fn write_csv(&self, mut out: impl Write) -> std::io::Result<()> {
        let group = self.format.group;
        writeln!(out, "{FORMAT}")?;
        writeln!(out, "# mantissa_bits: {}", self.format.mantissa_bits)?;
        let columns =
            (0..group).map(|i| format!("first_{i}")).chain((0..group).map(|i| format!("second_{i}")));
        writeln!(out, "{}", columns.collect::<Vec<_>>().join(","))?;
        for pair in self.pairs() {
            let values = pair.first.iter().chain(&pair.second).map(i16::to_string);
            writeln!(out, "{}", values.collect::<Vec<_>>().join(","))?;
        }
        Ok(())
    }

    /// Reads what [`GroupSample::write_csv`] wrote; `file` is its name for messages.
    pub fn read_csv(mut input: impl Read, file: &str) -> Result<Self, HistogramError> {
        let at = |line: usize, message: &str| HistogramError::at(file, line, message);
        let mut text = String::new();
        input.read_to_string(&mut text).map_err(|e| at(0, &format!("cannot be read: {e}")))?;
        let mut lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines();
        if lines.next() != Some(FORMAT) {
            return Err(at(1, &format!("is no sample of groups: the first line must be `{FORMAT}`")));
        }
        let bits =
            lines.next().and_then(|l| l.strip_prefix("# mantissa_bits: ")).and_then(|b| b.parse().ok());
        let mantissa_bits = bits.ok_or_else(|| at(2, "expected `# mantissa_bits: N`"))?;
        let columns = lines.next().map_or(0, |l| l.split(',').filter(|c| !c.is_empty()).count());
        let format = BfpFormat { mantissa_bits, group: columns / 2, ..BfpFormat::mirage() };
        format.check().map_err(|e| at(3, &e.to_string()))?;
        let mut sample = Self::new(format, usize::MAX);
        for (i, line) in lines.enumerate() {
            let pair = parse(line, format).map_err(|m| at(i + 4, &m))?;
            sample.reads.push(Sampled { key: i as u64, groups: pair });
        }
        if sample.reads.is_empty() {
            return Err(at(4, "has no reads: it may be cut short"));
        }
        Ok(sample)
    }
}

fn parse(line: &str, format: BfpFormat) -> Result<GroupPair, String> {
    let largest = format.largest();
    let mantissa = |text: &str| {
        let value = text.trim().parse().ok().filter(|q: &i16| i32::from(*q).abs() <= largest);
        value.ok_or_else(|| format!("`{text}` is no mantissa between -{largest} and {largest}"))
    };
    let values: Vec<i16> = line.split(',').map(mantissa).collect::<Result<_, _>>()?;
    if values.len() != 2 * format.group {
        return Err(format!("{} mantissas where {} are needed", values.len(), 2 * format.group));
    }
    let (first, second) = values.split_at(format.group);
    Ok(GroupPair { first: first.to_vec(), second: second.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmulatedGemm, GemmConfig, Matrix, Pass};

    fn sample(most: usize, order: [u64; 2]) -> GroupSample {
        let gemm = EmulatedGemm::new(GemmConfig::mirage(3), None).unwrap();
        let data: Vec<f32> = (0..40 * 64).map(|i| ((i * 7919) % 997) as f32 / 498.5 - 1.0).collect();
        let a = Matrix::new(&data, 40, 64);
        let mut sample = GroupSample::new(gemm.config().format, most);
        for step in order {
            let site = Site { layer: 0, pass: Pass::Forward, step };
            gemm.sample(site, a, a.transposed(), &mut sample);
        }
        sample
    }

    #[test]
    fn the_sample_does_not_depend_on_order_and_survives_its_file() {
        let (one, other) = (sample(500, [0, 1]), sample(500, [1, 0]));
        assert!(one.pairs().eq(other.pairs()));
        assert_eq!(one.pairs().count(), 500);
        let mut file = Vec::new();
        one.write_csv(&mut file).unwrap();
        let back = GroupSample::read_csv(&file[..], "g.csv").unwrap();
        assert!(one.pairs().eq(back.pairs()));
        let text = String::from_utf8(file).unwrap();
        let last = text.lines().last().unwrap();
        for (bad, says) in [
            (text.replace(last, "1,2"), "2 mantissas where 32"),
            (text.replace(last, &last.replacen(',', ",99,", 1)), "no mantissa"),
            (text.replace("group sample", "sample"), "no sample of groups"),
            (text.lines().take(3).collect::<Vec<_>>().join("\n"), "no reads"),
        ] {
            let error = GroupSample::read_csv(bad.as_bytes(), "g.csv").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    /// Every read is as likely to be kept: the mean dot product of the sample is that of all reads.
    #[test]
    fn the_sample_is_fair() {
        let (some, all) = (sample(1500, [0, 1]), sample(usize::MAX, [0, 1]));
        let square = |s: &GroupSample| {
            let dots: Vec<f64> =
                s.pairs().map(|p| f64::from(crate::gemm::dot(&p.first, &p.second)).powi(2)).collect();
            let mean = dots.iter().sum::<f64>() / dots.len() as f64;
            let variance = dots.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / dots.len() as f64;
            (mean, (variance / dots.len() as f64).sqrt())
        };
        let ((some, error), (all, _)) = (square(&some), square(&all));
        assert!((some - all).abs() < 4.0 * error, "{some} {all} {error}");
    }
}
