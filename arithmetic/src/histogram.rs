use std::io::{Read, Write};

use thiserror::Error;

use crate::bfp::Quantised;
use crate::{BfpFormat, Moduli, SlipCode};

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
    dot: Vec<u64>,
}

/// Why a histogram file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{line}: {message}")]
pub struct HistogramError {
    file: String,
    line: u64,
    message: String,
}

const FORMAT: &str = "# mirage operand histogram 1";

impl OperandHistogram {
    /// An empty histogram for products of this format.
    pub fn new(format: BfpFormat) -> Self {
        let width = (2 * format.largest() + 1) as usize;
        let dots = (2 * format.bound() + 1) as usize;
        Self { format, first: vec![0; width], second: vec![0; width], dot: vec![0; dots] }
    }

    /// The format of the products that were counted.
    pub fn format(&self) -> BfpFormat {
        self.format
    }

    /// Dot products counted.
    pub fn reads(&self) -> u64 {
        self.dot.iter().sum()
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
        let bound = self.format.bound();
        for m in 0..a.rows() {
            for n in 0..b.rows() {
                for group in 0..a.groups() {
                    let dot = crate::gemm::dot(a.mantissas(m, group), b.mantissas(n, group));
                    self.dot[(i64::from(dot) + bound) as usize] += 1;
                }
            }
        }
    }

    /// Dot products that occurred, each with its share of all.
    pub fn dots(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let (bound, total) = (self.format.bound(), self.reads() as f64);
        self.dot
            .iter()
            .enumerate()
            .filter(|(_, c)| **c > 0)
            .map(move |(i, &c)| (i as i64 - bound, c as f64 / total))
    }

    /// Standard deviation of the dot products.
    pub fn dot_sigma(&self) -> f64 {
        let mean: f64 = self.dots().map(|(v, p)| v as f64 * p).sum();
        self.dots().map(|(v, p)| (v as f64 - mean).powi(2) * p).sum::<f64>().sqrt()
    }

    /// Probabilities of the stationary operand's levels (u w mod m, as the unit stores them) and of the streaming operand's
    /// residues, for the modulus at `index`; the first operand is the stationary one.
    pub fn residue_probabilities(
        &self,
        moduli: &Moduli,
        code: &SlipCode,
        index: usize,
    ) -> (Vec<f64>, Vec<f64>) {
        let spread = |counts: &[u64], level: &dyn Fn(u32) -> u32| {
            let mut p = vec![0.0; moduli.as_slice()[index] as usize];
            let total: f64 = counts.iter().map(|&c| c as f64).sum();
            for (i, &c) in counts.iter().enumerate() {
                let q = i as i64 - i64::from(self.format.largest());
                p[level(moduli.residue(q, index)) as usize] += c as f64 / total;
            }
            p
        };
        (spread(&self.first, &|r| code.level(index, r)), spread(&self.second, &|r| r))
    }

    /// Writes the counts: `operand,value,count` with operand first, second or dot; zero counts are left out.
    pub fn write_csv(&self, mut out: impl Write) -> std::io::Result<()> {
        writeln!(out, "{FORMAT}")?;
        writeln!(out, "# mantissa_bits: {}", self.format.mantissa_bits)?;
        writeln!(out, "# group: {}", self.format.group)?;
        writeln!(out, "operand,value,count")?;
        let largest = i64::from(self.format.largest());
        for (name, counts, low) in [
            ("first", &self.first, largest),
            ("second", &self.second, largest),
            ("dot", &self.dot, self.format.bound()),
        ] {
            for (i, &c) in counts.iter().enumerate().filter(|(_, c)| **c > 0) {
                writeln!(out, "{name},{},{c}", i as i64 - low)?;
            }
        }
        Ok(())
    }

    /// Reads what [`OperandHistogram::write_csv`] wrote; `file` is its name for messages.
    pub fn read_csv(mut input: impl Read, file: &str) -> Result<Self, HistogramError> {
        let at =
            |line: usize, message: String| HistogramError { file: file.into(), line: line as u64, message };
        let mut text = String::new();
        input.read_to_string(&mut text).map_err(|e| at(0, format!("cannot be read: {e}")))?;
        let mut lines = text.lines().enumerate().map(|(i, l)| (i + 1, l));
        let mut header = |prefix: &str| -> Result<&str, HistogramError> {
            let (line, text) = lines.next().unwrap_or((0, ""));
            text.strip_prefix(prefix)
                .ok_or_else(|| at(line, format!("expected a line that begins with `{prefix}`")))
        };
        header(FORMAT)?;
        let (bits, group) = (header("# mantissa_bits: ")?, header("# group: ")?);
        let (Ok(mantissa_bits), Ok(group)) = (bits.parse(), group.parse()) else {
            return Err(at(2, "mantissa_bits and group must be whole numbers".into()));
        };
        header("operand,value,count")?;
        let format = BfpFormat { mantissa_bits, group, ..BfpFormat::mirage() };
        format.check().map_err(|e| at(2, e.to_string()))?;
        let mut histogram = Self::new(format);
        for (line, text) in lines {
            histogram.put(text).map_err(|e| at(line, e))?;
        }
        if [&histogram.first, &histogram.second, &histogram.dot].iter().any(|c| c.iter().all(|n| *n == 0)) {
            return Err(at(0, "has no counts for one of first, second and dot: it may be cut short".into()));
        }
        Ok(histogram)
    }

    fn put(&mut self, text: &str) -> Result<(), String> {
        let fields: Vec<&str> = text.split(',').collect();
        let [operand, value, count] = fields[..] else {
            return Err("a line reads operand,value,count".into());
        };
        let (counts, low) = match operand {
            "first" => (&mut self.first, i64::from(self.format.largest())),
            "second" => (&mut self.second, i64::from(self.format.largest())),
            "dot" => (&mut self.dot, self.format.bound()),
            other => return Err(format!("`{other}` is no operand: use first, second or dot")),
        };
        let value: i64 = value.parse().map_err(|_| format!("`{value}` is no whole number"))?;
        let count: u64 = count.parse().map_err(|_| format!("`{count}` is no count"))?;
        let slot =
            value.checked_add(low).and_then(|i| usize::try_from(i).ok()).and_then(|i| counts.get_mut(i));
        *slot.ok_or_else(|| format!("{value} lies beyond ±{low}"))? = count;
        Ok(())
    }
}
