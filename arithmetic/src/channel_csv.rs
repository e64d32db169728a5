//! The CSV form of the residue channel; see `docs/residue-channel.md`.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::channel::{ChannelError, ChannelKey, ChannelTable, ResidueChannel};
use crate::{Moduli, Place};

const FORMAT: &str = "# mirage residue channel 1";
const COLUMNS: [&str; 9] =
    ["chip", "unit", "row", "modulus", "true", "read", "probability", "lower", "upper"];

impl ResidueChannel {
    /// Writes the channel: comment lines, a header, one line for each entry that is not zero.
    pub fn write_csv(&self, mut out: impl Write) -> std::io::Result<()> {
        writeln!(out, "{FORMAT}")?;
        for (key, value) in &self.header {
            writeln!(out, "# {key}: {}", value.replace(['\n', '\r'], " "))?;
        }
        for &m in self.moduli() {
            if let Some(again) = self.again(m) {
                writeln!(out, "# again {m}: {again:e}")?;
            }
        }
        writeln!(out, "{}", COLUMNS.join(","))?;
        let text = |n: Option<u32>| n.map_or(String::new(), |n| n.to_string());
        for &modulus in self.moduli() {
            for (key, table) in self.tables().filter(|(_, t)| t.modulus() == modulus) {
                let (unit, row) = (key.place.map(|p| p.unit), key.place.map(|p| p.row));
                for t in 0..modulus {
                    for r in (0..modulus).filter(|&r| r == t || table.probability(t, r) > 0.0) {
                        let p = table.probability(t, r);
                        let bounds = table.bounds(t, r).map_or(",".into(), |(l, u)| format!("{l:e},{u:e}"));
                        writeln!(
                            out,
                            "{},{},{},{modulus},{t},{r},{p:e},{bounds}",
                            text(key.chip),
                            text(unit),
                            text(row)
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a channel; `file` is its name for messages.
    pub fn read_csv(mut input: impl Read, file: &str) -> Result<Self, ChannelError> {
        let whole = |message: String| ChannelError::File { file: file.into(), message };
        let mut text = String::new();
        input.read_to_string(&mut text).map_err(|e| whole(format!("cannot be read: {e}")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let head = Head::read(text, file)?;
        let mut reader =
            csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
        let names = reader.headers().map_err(|e| whole(e.to_string()))?.clone();
        if names.iter().ne(COLUMNS) {
            return Err(whole(format!(
                "the columns must be {}; they are {}",
                COLUMNS.join(","),
                names.iter().collect::<Vec<_>>().join(",")
            )));
        }
        let mut entries: BTreeMap<(ChannelKey, u32), Entries> = BTreeMap::new();
        let mut order: Vec<(ChannelKey, u32)> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|e| csv_error(&e, file))?;
            let line = record.position().map_or(0, csv::Position::line);
            let at = |message: String| ChannelError::Syntax { file: file.into(), line, message };
            let entry = Entry::parse(&record).map_err(at)?;
            let key = (entry.key, entry.modulus);
            let table = entries.entry(key).or_insert_with(|| {
                order.push(key);
                Entries::new(entry.modulus)
            });
            table.put(&entry).map_err(at)?;
        }
        if order.is_empty() {
            return Err(whole("has no entries: it may be cut short".into()));
        }
        let chips: std::collections::BTreeSet<_> = order.iter().filter_map(|(k, _)| k.chip).collect();
        if chips.len() > 1 {
            return Err(whole(format!("describes {} chips; keep the rows of one", chips.len())));
        }
        let mut tables = Vec::with_capacity(order.len());
        for key in order {
            let table = entries.remove(&key).expect("every key in the order has its entries");
            tables.push((key.0, table.finish().map_err(|e| whole(e.to_string()))?));
        }
        let mut channel = Self::keyed(tables);
        channel.header = head.header;
        for (m, again) in head.again {
            channel.set_again(m, again);
        }
        Ok(channel)
    }
}

fn csv_error(error: &csv::Error, file: &str) -> ChannelError {
    let line = error.position().map_or(0, csv::Position::line);
    ChannelError::Syntax { file: file.into(), line, message: format!("is no valid CSV line: {error}") }
}

/// The comment lines.
struct Head {
    header: BTreeMap<String, String>,
    again: Vec<(u32, f64)>,
}

impl Head {
    fn read(text: &str, file: &str) -> Result<Self, ChannelError> {
        let mut head = Self { header: BTreeMap::new(), again: Vec::new() };
        if text.lines().next() != Some(FORMAT) {
            let message = format!("is no residue channel: the first line must be `{FORMAT}`");
            return Err(ChannelError::File { file: file.into(), message });
        }
        for (i, line) in text.lines().enumerate().skip(1) {
            let Some(comment) = line.strip_prefix("# ") else { break };
            let at =
                |message: String| ChannelError::Syntax { file: file.into(), line: i as u64 + 1, message };
            let (key, value) =
                comment.split_once(": ").ok_or_else(|| at("a header line reads `# key: value`".into()))?;
            if let Some(modulus) = key.strip_prefix("again ") {
                let modulus = modulus.parse().map_err(|_| at(format!("`{modulus}` is no modulus")))?;
                let p = probability(value).map_err(at)?;
                head.again.push((modulus, p));
            } else {
                head.header.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok(head)
    }
}

struct Entry {
    key: ChannelKey,
    modulus: u32,
    truth: u32,
    read: u32,
    probability: f64,
    bounds: Option<(f64, f64)>,
}

impl Entry {
    fn parse(record: &csv::StringRecord) -> Result<Self, String> {
        let field = |i: usize| record.get(i).unwrap_or_default();
        let number = |i: usize| -> Result<u32, String> {
            field(i)
                .parse()
                .map_err(|_| format!("`{}` is no whole number in column {}", field(i), COLUMNS[i]))
        };
        let optional = |i: usize| if field(i).is_empty() { Ok(None) } else { number(i).map(Some) };
        let place = match (optional(1)?, optional(2)?) {
            (Some(unit), Some(row)) => Some(Place { unit, row }),
            (None, None) => None,
            _ => return Err("unit and row are both given or both empty".into()),
        };
        let key = ChannelKey { chip: optional(0)?, place };
        let (modulus, truth, read) = (number(3)?, number(4)?, number(5)?);
        if !(2..=Moduli::LARGEST).contains(&modulus) {
            return Err(format!("the modulus {modulus} is out of range"));
        }
        if truth >= modulus || read >= modulus {
            return Err(format!("residues {truth} and {read} must be below the modulus {modulus}"));
        }
        let bounds = match (field(7), field(8)) {
            ("", "") => None,
            (l, u) => Some((probability(l)?, probability(u)?)),
        };
        Ok(Self { key, modulus, truth, read, probability: probability(field(6))?, bounds })
    }
}

fn probability(text: &str) -> Result<f64, String> {
    let value = text.trim().parse().ok().filter(|p| (0.0..=1.0).contains(p));
    value.ok_or_else(|| format!("`{text}` is no probability between 0 and 1"))
}

/// The entries of one table while they are read.
struct Entries {
    modulus: u32,
    probability: Vec<Option<f64>>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    bounded: bool,
}

impl Entries {
    fn new(modulus: u32) -> Self {
        let n = (modulus * modulus) as usize;
        Self { modulus, probability: vec![None; n], lower: vec![0.0; n], upper: vec![0.0; n], bounded: false }
    }

    fn put(&mut self, entry: &Entry) -> Result<(), String> {
        let at = (entry.truth * self.modulus + entry.read) as usize;
        if self.probability[at].replace(entry.probability).is_some() {
            return Err(format!("true {} read {} stands here a second time", entry.truth, entry.read));
        }
        if let Some((l, u)) = entry.bounds {
            (self.lower[at], self.upper[at], self.bounded) = (l, u, true);
        }
        Ok(())
    }

    fn finish(self) -> Result<ChannelTable, ChannelError> {
        let m = self.modulus as usize;
        for t in 0..m {
            let sum: f64 = self.probability[t * m..(t + 1) * m].iter().flatten().sum();
            if (sum - 1.0).abs() > 1e-9 {
                return Err(ChannelError::RowSum { modulus: self.modulus, truth: t as u32, sum });
            }
        }
        let probability = self.probability.into_iter().map(|p| p.unwrap_or(0.0)).collect();
        ChannelTable::new(self.modulus, probability, self.bounded.then_some((self.lower, self.upper)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SlipCode;

    fn text(channel: &ResidueChannel) -> String {
        let mut out = Vec::new();
        channel.write_csv(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_channel_survives_its_file() {
        let moduli = Moduli::mirage();
        let mut channel =
            ResidueChannel::slip(&moduli, &SlipCode::natural(&moduli), 1.234_567_890_123e-5).unwrap();
        channel.header.insert("seed".into(), "7".into());
        channel.set_again(32, 0.02);
        let written = text(&channel);
        let read = ResidueChannel::read_csv(written.as_bytes(), "c.csv").unwrap();
        assert_eq!(read, channel);
        assert_eq!(text(&read), written);
    }

    #[test]
    fn wrong_files_say_where() {
        let moduli = Moduli::new(&[3, 4]).unwrap();
        let good = text(&ResidueChannel::uniform(&moduli, 0.1).unwrap());
        let cases = [
            (good.replace(",3,0,1,5e-2", ",3,0,1,6e-2"), "sum to"),
            (good.replace(",3,0,1,5e-2", ",3,0,1,-5e-2"), "no probability"),
            (good.replace(",3,0,1,", ",3,0,7,"), "below the modulus"),
            (good.replace(",3,0,1,", ",3,0,2,"), "a second time"),
            (good.replace(",3,0,1,", ",x,0,1,"), "no whole number in column modulus"),
            (good.replace("modulus", "modulo"), "the columns must be"),
            (good.replace("# mirage residue channel 1", "# other"), "no residue channel"),
            (good[..good.len() / 2].to_owned(), ""),
            (String::new(), "no residue channel"),
            ("# mirage residue channel 1\n".to_owned(), ""),
        ];
        for (bad, says) in cases {
            let error = ResidueChannel::read_csv(bad.as_bytes(), "c.csv").unwrap_err().to_string();
            assert!(error.starts_with("c.csv") && error.contains(says), "{error}");
        }
        let error =
            ResidueChannel::read_csv(good.replace(",3,0,1,", ",3,0,7,").as_bytes(), "c.csv").unwrap_err();
        assert!(error.to_string().starts_with("c.csv:7: "), "{error}");
    }

    /// The examples of `docs/residue-channel.md` are read as they stand there.
    #[test]
    fn the_examples_of_the_format_page_are_channels() {
        let page = include_str!("../../docs/residue-channel.md");
        let blocks = page.split("\n\n").filter(|b| b.starts_with("    # mirage residue channel 1\n"));
        let channels: Vec<_> = blocks
            .map(|b| b.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
            .map(|text| ResidueChannel::read_csv(text.as_bytes(), "page").unwrap())
            .collect();
        assert_eq!(channels.len(), 2);
        assert_eq!(channels[0].table(2).unwrap().probability(1, 0), 1e-3);
        let place = Place { unit: 0, row: 5 };
        assert_eq!(channels[1].table_at(Some(3), place, 3).unwrap().rate(2), 0.01);
        assert_eq!(channels[1].table_at(Some(3), Place { unit: 1, row: 5 }, 3).unwrap().rate(2), 0.0);
    }
}
