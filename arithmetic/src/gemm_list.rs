use std::io::{Read, Write};

use thiserror::Error;

use crate::Pass;

/// One product of a workload: C (M x N) = A (M x K) B (K x N), done `repeats` times on different data.
///
/// A is the paper's first operand: W in O = W X, W^T in dX = W^T dO, dO in dW = dO X^T.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GemmEntry {
    /// Name of the network.
    pub network: String,
    /// Name of the layer.
    pub layer: String,
    /// Which product of training.
    pub pass: Pass,
    /// Rows of the first operand.
    pub m: u64,
    /// Columns of the first operand, rows of the second.
    pub k: u64,
    /// Columns of the second operand.
    pub n: u64,
    /// How many products of this shape.
    pub repeats: u64,
}

/// What is wrong in a GEMM list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}:{line}: {message}")]
pub struct GemmListError {
    file: String,
    line: u64,
    message: String,
}

const COLUMNS: [&str; 7] = ["network", "layer", "pass", "M", "K", "N", "repeats"];

impl GemmEntry {
    /// Multiplications and additions, M K N repeats; `None` when they exceed a u64.
    pub fn macs(&self) -> Option<u64> {
        self.m.checked_mul(self.k)?.checked_mul(self.n)?.checked_mul(self.repeats)
    }

    /// Reads a list with the columns `network,layer,pass,M,K,N,repeats`; lines that begin with # are comments.
    /// Sizes must be positive and the products of a list must stay below 2^63.
    pub fn read_csv(input: impl Read, file: &str) -> Result<Vec<Self>, GemmListError> {
        let at = |line: u64, message: String| GemmListError { file: file.into(), line, message };
        let mut reader =
            csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(input);
        let names = reader.headers().map_err(|e| at(1, e.to_string()))?;
        if names.iter().ne(COLUMNS) {
            let given = names.iter().collect::<Vec<_>>().join(",");
            return Err(at(1, format!("the columns must be {}; they are {given}", COLUMNS.join(","))));
        }
        let (mut list, mut total) = (Vec::new(), 0u64);
        for record in reader.records() {
            let record =
                record.map_err(|e| at(e.position().map_or(0, csv::Position::line), e.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let entry = Self::parse(&record).map_err(|m| at(line, m))?;
            total = entry
                .macs()
                .and_then(|macs| total.checked_add(macs))
                .filter(|t| *t < 1 << 63)
                .ok_or_else(|| at(line, "the multiplications of this list exceed 2^63".into()))?;
            list.push(entry);
        }
        if list.is_empty() {
            return Err(at(1, "the list has no products".into()));
        }
        Ok(list)
    }

    fn parse(record: &csv::StringRecord) -> Result<Self, String> {
        let field = |i: usize| record.get(i).unwrap_or_default();
        let size = |i: usize| {
            let n = field(i).parse().ok().filter(|n| *n > 0u64);
            n.ok_or_else(|| format!("`{}` in column {} is no positive whole number", field(i), COLUMNS[i]))
        };
        Ok(Self {
            network: field(0).to_owned(),
            layer: field(1).to_owned(),
            pass: field(2).parse()?,
            m: size(3)?,
            k: size(4)?,
            n: size(5)?,
            repeats: size(6)?,
        })
    }

    /// Writes a list that [`GemmEntry::read_csv`] reads.
    pub fn write_csv(list: &[Self], out: impl Write) -> Result<(), csv::Error> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        for e in list {
            let sizes = [e.m, e.k, e.n, e.repeats].map(|n| n.to_string());
            let names = [e.network.clone(), e.layer.clone(), e.pass.to_string()];
            writer.write_record(names.iter().chain(&sizes))?;
        }
        Ok(writer.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_its_file_and_wrong_lines_are_named() {
        let e = GemmEntry {
            network: "a".into(),
            layer: "b, c".into(),
            pass: Pass::InputGradient,
            m: 1,
            k: 2,
            n: 3,
            repeats: 4,
        };
        let mut out = Vec::new();
        GemmEntry::write_csv(std::slice::from_ref(&e), &mut out).unwrap();
        assert_eq!(e.macs(), Some(24));
        assert_eq!(GemmEntry { m: u64::MAX, ..e.clone() }.macs(), None);
        assert_eq!(GemmEntry::read_csv(&out[..], "l.csv").unwrap(), [e]);
        let text = String::from_utf8(out).unwrap();
        for (from, to, says) in [
            ("dX", "dY", "l.csv:2: `dY` is not a pass"),
            (",1,2", ",0,2", "l.csv:2: `0` in column M"),
            ("network", "net", "l.csv:1: the columns"),
            (",1,2,3", ",9000000000,9000000000,3", "exceed 2^63"),
        ] {
            let error = GemmEntry::read_csv(text.replacen(from, to, 1).as_bytes(), "l.csv").unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
