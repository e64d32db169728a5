use std::collections::BTreeMap;
use std::io::{Read, Write};

use thiserror::Error;

use crate::bfp::Quantised;
use crate::{BfpFormat, FormatError};

/// How often each mantissa and each dot product occurs in the products of a run: the operand distribution that devices are
/// characterised with.
///
/// A mantissa counts once for each multiplication it takes part in, zeros that fill a short group included, since the units
/// stream those too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperandHistogram {
    format: BfpFormat,
    first: Vec<u64>,
    second: Vec<u64>,
    /// By dot product; only those that occurred, since a format may allow a hundred million.
    dot: BTreeMap<i64, u64>,
}

/// Why a histogram cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum HistogramError {
    #[error("{file}:{line}: {message}")]
    Syntax { file: String, line: u64, message: String },
    #[error("{file}: {message}")]
    File { file: String, message: String },
    #[error(
        "the operands were counted with {bits} mantissa bits in groups of {group}, but the arithmetic has {wanted_bits} in \
         groups of {wanted_group}: count operands with this arithmetic"
    )]
    OtherFormat { bits: u8, group: usize, wanted_bits: u8, wanted_group: usize },
}

impl HistogramError {
    /// Refuses operands that were made for another mantissa width or group.
    pub(crate) fn check(made: BfpFormat, wanted: BfpFormat) -> Result<(), Self> {
        let (bits, group) = (made.mantissa_bits, made.group);
        let (wanted_bits, wanted_group) = (wanted.mantissa_bits, wanted.group);
        if (bits, group) == (wanted_bits, wanted_group) {
            return Ok(());
        }
        Err(Self::OtherFormat { bits, group, wanted_bits, wanted_group })
    }

    pub(crate) fn at(file: &str, line: usize, message: &str) -> Self {
        Self::Syntax { file: file.into(), line: line as u64, message: message.into() }
    }
}

const FORMAT: &str = "# mirage operand histogram 1";

impl OperandHistogram {
    /// An empty histogram for products of this format.
    pub fn new(format: BfpFormat) -> Self {
        let width = (2 * format.largest() + 1) as usize;
        Self { format, first: vec![0; width], second: vec![0; width], dot: BTreeMap::new() }
    }

    /// The format of the products that were counted.
    pub fn format(&self) -> BfpFormat {
        self.format
    }

    /// Whether the operands were counted in this format; rounding does not matter, since a file does not say it.
    pub fn check(&self, format: BfpFormat) -> Result<(), HistogramError> {
        HistogramError::check(self.format, format)
    }

    /// Dot products counted.
    pub fn reads(&self) -> u64 {
        self.dot.values().sum()
    }

    pub(crate) fn count(&mut self, a: &Quantised, b: &Quantised) {
        let largest = self.format.largest();
        let at = |q: i16| (i32::from(q) + largest) as usize;
        for (operand, counts, weight) in [(a, &mut self.first, b.rows()), (b, &mut self.second, a.rows())] {
            for row in 0..operand.rows() {
                for group in 0..operand.groups() {
                    for &q in operand.mantissas(row, group) {
                        counts[at(q)] += weight as u64;
                    }
                }
            }
        }
        let mut dots = Vec::with_capacity(b.rows() * a.groups());
        for m in 0..a.rows() {
            dots.clear();
            for n in 0..b.rows() {
                let of = |group| crate::gemm::dot(a.mantissas(m, group), b.mantissas(n, group));
                dots.extend((0..a.groups()).map(of));
            }
            dots.sort_unstable();
            for same in dots.chunk_by(|x, y| x == y) {
                *self.dot.entry(i64::from(same[0])).or_insert(0) += same.len() as u64;
            }
        }
    }

    /// Dot products that occurred, each with its share of all, in rising order.
    pub fn dots(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let total = self.reads() as f64;
        self.dot.iter().map(move |(&value, &count)| (value, count as f64 / total))
    }

    /// Standard deviation of the dot products.
    pub fn dot_sigma(&self) -> f64 {
        let mean: f64 = self.dots().map(|(v, p)| v as f64 * p).sum();
        self.dots().map(|(v, p)| (v as f64 - mean).powi(2) * p).sum::<f64>().sqrt()
    }

    /// Writes the counts: `operand,value,count` with operand first, second or dot; zero counts are left out.
    pub fn write_csv(&self, mut out: impl Write) -> std::io::Result<()> {
        writeln!(out, "{FORMAT}")?;
        writeln!(out, "# mantissa_bits: {}", self.format.mantissa_bits)?;
        writeln!(out, "# group: {}", self.format.group)?;
        writeln!(out, "operand,value,count")?;
        let largest = i64::from(self.format.largest());
        for (name, counts) in [("first", &self.first), ("second", &self.second)] {
            for (value, count) in (-largest..).zip(counts).filter(|(_, c)| **c > 0) {
                writeln!(out, "{name},{value},{count}")?;
            }
        }
        for (value, count) in &self.dot {
            writeln!(out, "dot,{value},{count}")?;
        }
        Ok(())
    }

    /// Reads what [`OperandHistogram::write_csv`] wrote; `file` is its name for messages. The four lines of the head stand as
    /// they are written, each value of an operand stands once, and the counts of an operand stay below 2^63.
    pub fn read_csv(mut input: impl Read, file: &str) -> Result<Self, HistogramError> {
        let whole = |message: String| HistogramError::File { file: file.into(), message };
        let at = |line: u64, message: String| HistogramError::Syntax { file: file.into(), line, message };
        let mut text = String::new();
        input.read_to_string(&mut text).map_err(|e| whole(format!("cannot be read: {e}")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut lines = (1..).zip(text.lines());
        let mut head = || lines.next().ok_or_else(|| whole("ends within its first four lines".into()));
        let exactly = |(line, text): (u64, &str), wanted: &str| {
            if text == wanted { Ok(()) } else { Err(at(line, format!("expected the line `{wanted}`"))) }
        };
        let number = |(line, text): (u64, &str), key: &str| -> Result<u16, HistogramError> {
            let value = text.strip_prefix(key).and_then(|n| n.parse().ok());
            value.ok_or_else(|| at(line, format!("expected the line `{key}N` with a small whole number N")))
        };
        exactly(head()?, FORMAT)?;
        let (bits, group) = (number(head()?, "# mantissa_bits: ")?, number(head()?, "# group: ")?);
        exactly(head()?, "operand,value,count")?;
        let mantissa_bits =
            u8::try_from(bits).map_err(|_| at(2, format!("{bits} mantissa bits are too many")))?;
        let format = BfpFormat { mantissa_bits, group: group.into(), ..BfpFormat::mirage() };
        format
            .check()
            .map_err(|e| at(if matches!(e, FormatError::Group(_)) { 3 } else { 2 }, e.to_string()))?;
        let (mut histogram, mut totals) = (Self::new(format), [0; 3]);
        for (line, text) in lines {
            histogram.put(text, &mut totals).map_err(|e| at(line, e))?;
        }
        if totals.contains(&0) {
            return Err(whole("has no counts for one of first, second and dot: it may be cut short".into()));
        }
        Ok(histogram)
    }

    /// Takes one line; `totals` are the sums of first, second and dot so far.
    fn put(&mut self, text: &str, totals: &mut [u64; 3]) -> Result<(), String> {
        let fields: Vec<&str> = text.split(',').collect();
        let [operand, value, count] = fields[..] else {
            return Err("a line reads operand,value,count".into());
        };
        let largest = i64::from(self.format.largest());
        let (index, limit) = match operand {
            "first" => (0, largest),
            "second" => (1, largest),
            "dot" => (2, self.format.bound()),
            other => return Err(format!("`{other}` is no operand: use first, second or dot")),
        };
        let value = value.parse().map_err(|_| format!("`{value}` is no whole number"))?;
        let count = count.parse().ok().filter(|c| *c > 0);
        let count: u64 =
            count.ok_or("a count is a positive whole number; values without any are left out")?;
        if !(-limit..=limit).contains(&value) {
            return Err(format!("{value} lies beyond ±{limit}"));
        }
        let total = totals[index].checked_add(count).filter(|t| *t < 1 << 63);
        totals[index] = total.ok_or("the counts of this operand exceed 2^63")?;
        let slot = match index {
            0 => &mut self.first[(value + largest) as usize],
            1 => &mut self.second[(value + largest) as usize],
            _ => self.dot.entry(value).or_insert(0),
        };
        if std::mem::replace(slot, count) != 0 {
            return Err(format!("{operand} {value} stands here a second time"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EmulatedGemm, GemmConfig, Matrix, Pass, Site};

    fn counted() -> OperandHistogram {
        let config = GemmConfig::mirage(1);
        let mut histogram = OperandHistogram::new(config.format);
        let gemm = EmulatedGemm::new(config, None).unwrap();
        let data: Vec<f32> = (0..12 * 20).map(|i| ((i * 7919) % 997) as f32 / 498.5 - 1.0).collect();
        let (a, b) = (Matrix::new(&data[..100], 5, 20), Matrix::new(&data, 20, 12));
        gemm.observe(Site { layer: 0, pass: Pass::Forward, step: 0 }, a, b, &mut histogram);
        histogram
    }

    fn text(histogram: &OperandHistogram) -> String {
        let mut out = Vec::new();
        histogram.write_csv(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_multiplication_and_read_is_counted_and_survives_the_file() {
        let histogram = counted();
        // Two groups of 16 in a row of 20.
        assert_eq!(histogram.reads(), 5 * 12 * 2);
        assert_eq!(histogram.first.iter().sum::<u64>(), 5 * 12 * 32);
        assert_eq!(histogram.second.iter().sum::<u64>(), 5 * 12 * 32);
        assert!((histogram.dots().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
        let written = text(&histogram);
        for form in [written.clone(), format!("\u{feff}{}", written.replace('\n', "\r\n"))] {
            assert_eq!(OperandHistogram::read_csv(form.as_bytes(), "h.csv").unwrap(), histogram);
        }
    }

    #[test]
    fn another_format_is_refused() {
        let (histogram, format) = (counted(), BfpFormat::mirage());
        assert_eq!(histogram.check(BfpFormat { rounding: crate::Rounding::Truncate, ..format }), Ok(()));
        for other in [BfpFormat { group: 8, ..format }, BfpFormat { mantissa_bits: 5, ..format }] {
            let error = histogram.check(other).unwrap_err().to_string();
            assert!(error.contains("counted with 4 mantissa bits in groups of 16"), "{error}");
        }
    }

    #[test]
    fn wrong_files_say_where() {
        let good = text(&counted());
        let last = good.lines().last().unwrap();
        for (bad, says) in [
            (good.replacen("histogram 1", "histogram 12", 1), "h.csv:1: expected the line"),
            (good.replacen("bits: 4", "bits: 9", 1), "h.csv:2: 9 mantissa bits"),
            (good.replacen("bits: 4", "bits: 300", 1), "h.csv:2: 300 mantissa bits"),
            (good.replacen("group: 16", "group: 0", 1), "h.csv:3: a group of 0"),
            (good.replacen("group: 16", "group: x", 1), "h.csv:3: expected the line `# group: N`"),
            (good.replacen("value,count", "value,count,", 1), "h.csv:4: expected the line"),
            (format!("{good}{last}\n"), "a second time"),
            (format!("{good}dot,3601,1\n"), "3601 lies beyond ±3600"),
            (format!("{good}first,-16,1\n"), "-16 lies beyond ±15"),
            (format!("{good}third,1,1\n"), "`third` is no operand"),
            (format!("{good}dot,3600,0\n"), "a positive whole number"),
            (format!("{good}dot,3600,{}\n", u64::MAX), "exceed 2^63"),
            (format!("{good}dot,1\n"), "a line reads"),
            (good.replace("\ndot", "\nfirst"), "lies beyond"),
            (good.lines().take(30).collect::<Vec<_>>().join("\n"), "cut short"),
            (good.lines().take(3).collect::<Vec<_>>().join("\n"), "ends within"),
        ] {
            let error = OperandHistogram::read_csv(bad.as_bytes(), "h.csv").unwrap_err().to_string();
            assert!(error.starts_with("h.csv") && error.contains(says), "{says}: {error}");
        }
    }

    /// The largest format's dot products number 133 millions: a file of few lines takes no room for those.
    #[test]
    fn only_dot_products_that_occurred_take_room() {
        let lines = "first,255,1\nsecond,-255,1\ndot,-66585600,1\n";
        let text = format!("{FORMAT}\n# mantissa_bits: 8\n# group: 1024\noperand,value,count\n{lines}");
        let histogram = OperandHistogram::read_csv(text.as_bytes(), "h.csv").unwrap();
        assert_eq!(histogram.dot.len(), 1);
        assert_eq!(histogram.dots().collect::<Vec<_>>(), [(-66_585_600, 1.0)]);
    }
}
