//! The CSV form of the residue channel; see `docs/residue-channel.md`.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::channel::{ChannelError, ChannelKey, ChannelTable, ResidueChannel};
use crate::{Moduli, Place};

const FORMAT: &str = "# mirage residue channel 1";
/// Numbers that all tables of a file may hold, 512 MiB of them.
const LARGEST: u64 = 1 << 26;
/// Further attempts that can have a probability of their own: as many as a read is ever repeated.
const ATTEMPTS: usize = 255;

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
            for (key, _) in self.tables().filter(|(_, table)| table.modulus() == m) {
                if let Some(again) = self.again_of(key, m) {
                    let again: Vec<String> = again.iter().map(|p| format!("{p:e}")).collect();
                    writeln!(out, "# {}: {}", of_text(m, key.place), again.join(" "))?;
                }
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
        let names = reader.headers().map_err(|e| csv_error(&e, file))?.clone();
        if names.iter().ne(COLUMNS) {
            return Err(whole(format!(
                "the columns must be {}; they are {}",
                COLUMNS.join(","),
                names.iter().collect::<Vec<_>>().join(",")
            )));
        }
        let mut entries: BTreeMap<(ChannelKey, u32), Entries> = BTreeMap::new();
        let mut order: Vec<(ChannelKey, u32)> = Vec::new();
        let mut chip: Option<Option<u32>> = None;
        for record in reader.records() {
            let record = record.map_err(|e| csv_error(&e, file))?;
            let line = record.position().map_or(0, csv::Position::line);
            let at = |message: String| ChannelError::Syntax { file: file.into(), line, message };
            let entry = Entry::parse(&record).map_err(at)?;
            if entry.key.place.is_some() && *chip.get_or_insert(entry.key.chip) != entry.key.chip {
                let name = |chip: Option<u32>| chip.map_or("no chip".into(), |c| format!("chip {c}"));
                let (one, other) = (name(chip.flatten()), name(entry.key.chip));
                return Err(at(format!(
                    "is a row of {other}, but those above are of {one}: keep the rows of one"
                )));
            }
            let key = (entry.key, entry.modulus);
            let table = entries.entry(key).or_insert_with(|| {
                order.push(key);
                Entries::new(entry.modulus, line)
            });
            table.put(&entry, line).map_err(at)?;
        }
        if order.is_empty() {
            return Err(whole("has no entries: it may be cut short".into()));
        }
        for table in entries.values() {
            table.check().map_err(|(line, e)| ChannelError::Syntax {
                file: file.into(),
                line,
                message: e.to_string(),
            })?;
        }
        let numbers: u64 = entries.values().map(Entries::numbers).sum();
        if numbers > LARGEST {
            return Err(whole(format!(
                "its {} tables hold {numbers} numbers, more than the {LARGEST} that are read: keep fewer rows",
                order.len()
            )));
        }
        let mut tables = Vec::with_capacity(order.len());
        for key in order {
            let table = entries.remove(&key).expect("every key in the order has its entries");
            tables.push((key.0, table.finish().map_err(|e| whole(e.to_string()))?));
        }
        let mut channel = Self::keyed(tables);
        channel.header = head.header;
        let chip = channel.chip();
        for ((modulus, place), (line, again)) in head.again {
            let key = ChannelKey { chip: place.and(chip), place };
            if !channel.tables.contains_key(&(key, modulus)) {
                let (of, file) = (of_text(modulus, place), file.into());
                let message =
                    format!("`{of}` has no entries of modulus {modulus} {} to go with", of_whom(place));
                return Err(ChannelError::Syntax { file, line, message });
            }
            channel.set_again_of(key, modulus, &again);
        }
        Ok(channel)
    }
}

/// The header key of P(wrong again | wrong): of the average, or of a row.
fn of_text(modulus: u32, place: Option<Place>) -> String {
    let row = place.map_or(String::new(), |Place { unit, row }| format!(" {unit} {row}"));
    format!("again {modulus}{row}")
}

fn of_whom(place: Option<Place>) -> String {
    place.map_or("and of an average".into(), |p| format!("and of unit {}, row {}", p.unit, p.row))
}

/// What stands behind `again`: a modulus, or a modulus, a unit and a row.
fn parse_of(text: &str) -> Result<(u32, Option<Place>), String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let number = |part: &str, what| part.parse().map_err(|_| format!("`{part}` is no {what}"));
    match parts[..] {
        [modulus] => Ok((number(modulus, "modulus")?, None)),
        [modulus, unit, row] => {
            let place = Place { unit: number(unit, "unit")?, row: number(row, "row")? };
            Ok((number(modulus, "modulus")?, Some(place)))
        }
        _ => Err("reads `again MODULUS`, or `again MODULUS UNIT ROW` for a row".into()),
    }
}

fn csv_error(error: &csv::Error, file: &str) -> ChannelError {
    let line = error.position().map_or(0, csv::Position::line);
    ChannelError::Syntax { file: file.into(), line, message: format!("is no valid CSV line: {error}") }
}

/// The comment lines.
struct Head {
    header: BTreeMap<String, String>,
    /// By modulus, and for a row by its place: the line, and P(wrong again | wrong) of each attempt.
    again: BTreeMap<(u32, Option<Place>), (u64, Vec<f64>)>,
}

impl Head {
    fn read(text: &str, file: &str) -> Result<Self, ChannelError> {
        let mut head = Self { header: BTreeMap::new(), again: BTreeMap::new() };
        if text.lines().next() != Some(FORMAT) {
            let message = format!("is no residue channel: the first line must be `{FORMAT}`");
            return Err(ChannelError::File { file: file.into(), message });
        }
        let mut ended = false;
        for (line, text) in (1..).zip(text.lines()).skip(1) {
            let at = |message: String| ChannelError::Syntax { file: file.into(), line, message };
            let Some(comment) = text.strip_prefix('#') else {
                ended |= !text.trim().is_empty();
                continue;
            };
            if ended {
                return Err(at("lines that begin with # stand above the column names".into()));
            }
            if !comment.trim().is_empty() {
                head.put(comment, line).map_err(at)?;
            }
        }
        Ok(head)
    }

    /// Takes one line `key: value`.
    fn put(&mut self, comment: &str, line: u64) -> Result<(), String> {
        let (key, value) = comment.split_once(':').ok_or("a header line reads `# key: value`")?;
        let (key, value) = (key.trim(), value.trim());
        let repeated = if let Some(of) = key.strip_prefix("again ") {
            let attempts: Vec<f64> = value.split_whitespace().map(probability).collect::<Result<_, _>>()?;
            if attempts.is_empty() || attempts.len() > ATTEMPTS {
                return Err(format!(
                    "`{key}` needs one probability for each further attempt, {ATTEMPTS} at most"
                ));
            }
            self.again.insert(parse_of(of)?, (line, attempts)).is_some()
        } else {
            self.header.insert(key.to_owned(), value.to_owned()).is_some()
        };
        if repeated { Err(format!("`{key}` stands here a second time")) } else { Ok(()) }
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
        if let ChannelKey { chip: Some(chip), place: None } = key {
            return Err(format!("an entry of chip {chip} needs its unit and row; an average has no chip"));
        }
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

/// The entries of one table while they are read; only a table with all its sums gets room for all its entries.
struct Entries {
    modulus: u32,
    /// Where the table begins.
    line: u64,
    /// By true residue and residue read: probability and bounds.
    cells: BTreeMap<(u32, u32), Cell>,
    bounded: bool,
}

struct Cell {
    line: u64,
    probability: f64,
    bounds: Option<(f64, f64)>,
}

impl Entries {
    fn new(modulus: u32, line: u64) -> Self {
        Self { modulus, line, cells: BTreeMap::new(), bounded: false }
    }

    fn put(&mut self, entry: &Entry, line: u64) -> Result<(), String> {
        let cell = Cell { line, probability: entry.probability, bounds: entry.bounds };
        if self.cells.insert((entry.truth, entry.read), cell).is_some() {
            return Err(format!("true {} read {} stands here a second time", entry.truth, entry.read));
        }
        self.bounded |= entry.bounds.is_some();
        Ok(())
    }

    /// Whether the probabilities of every true residue sum to 1; the error with its line.
    fn check(&self) -> Result<(), (u64, ChannelError)> {
        for truth in 0..self.modulus {
            let row = || self.cells.range((truth, 0)..=(truth, self.modulus)).map(|(_, cell)| cell);
            let sum = row().fold(0.0, |sum, cell| sum + cell.probability);
            if (sum - 1.0).abs() > 1e-9 {
                let line = row().map(|cell| cell.line).max().unwrap_or(self.line);
                return Err((line, ChannelError::RowSum { modulus: self.modulus, truth, sum }));
            }
        }
        Ok(())
    }

    /// Numbers that the table needs room for.
    fn numbers(&self) -> u64 {
        u64::from(self.modulus).pow(2) * if self.bounded { 3 } else { 1 }
    }

    fn finish(self) -> Result<ChannelTable, ChannelError> {
        let n = (self.modulus * self.modulus) as usize;
        let mut probability = vec![0.0; n];
        let mut bounds = self.bounded.then(|| (vec![0.0; n], vec![0.0; n]));
        for ((truth, read), cell) in self.cells {
            let at = (truth * self.modulus + read) as usize;
            probability[at] = cell.probability;
            if let (Some((lower, upper)), Some((l, u))) = (&mut bounds, cell.bounds) {
                (lower[at], upper[at]) = (l, u);
            }
        }
        ChannelTable::new(self.modulus, probability, bounds)
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
        channel.set_again(32, &[0.02, 0.3, 0.5]);
        let key = ChannelKey { chip: Some(3), place: Some(Place { unit: 1, row: 5 }) };
        let mut rows = ResidueChannel::keyed(vec![(key, channel.table(31).unwrap().clone())]);
        rows.set_again_of(key, 31, &[0.4]);
        for channel in [channel, rows] {
            let written = text(&channel);
            let read = ResidueChannel::read_csv(written.as_bytes(), "c.csv").unwrap();
            assert_eq!(read, channel);
            assert_eq!(text(&read), written);
        }
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

    /// Every header line is read wherever it stands above the column names, or refused; none is passed over.
    #[test]
    fn header_lines_are_all_read() {
        let moduli = Moduli::mirage();
        let mut channel = ResidueChannel::slip(&moduli, &SlipCode::natural(&moduli), 1e-3).unwrap();
        channel.set_again(32, &[0.25]);
        let good = text(&channel);
        let first = "# mirage residue channel 1\n";
        let loose = good
            .replacen(first, &format!("{first}#\n\n# \n"), 1)
            .replace("# slip_code: natural", "#slip_code:natural ")
            .replace('\n', "\r\n");
        assert_eq!(ResidueChannel::read_csv(loose.as_bytes(), "c.csv").unwrap(), channel);
        let with = |lines: &str| good.replacen(first, &format!("{first}{lines}\n"), 1);
        for (bad, says) in [
            (with("# a note"), "c.csv:2: a header line reads"),
            (with("#\n#note"), "c.csv:3: a header line reads"),
            (with("# again 31: 0.1"), "`again 31` stands here a second time"),
            (with("# slip_code: natural"), "`slip_code` stands here a second time"),
            (with("# again 30: 0.1"), "c.csv:2: `again 30` has no entries"),
            (with("# again 31 0 5: 0.1"), "c.csv:2: `again 31 0 5` has no entries"),
            (with("# again 31 0: 0.1"), "`again MODULUS UNIT ROW` for a row"),
            (with("# again 31 0 -1: 0.1"), "c.csv:2: `-1` is no row"),
            (with("# again x: 0.1"), "c.csv:2: `x` is no modulus"),
            (with("# again 31: 2"), "c.csv:2: `2` is no probability"),
            (with("# again 31: 0.1 x"), "c.csv:2: `x` is no probability"),
            (with("# again 31:"), "needs one probability for each further attempt"),
            (format!("{good}# slip_code: changes 17 23 17\n"), "stand above the column names"),
        ] {
            let error = ResidueChannel::read_csv(bad.as_bytes(), "c.csv").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    const HEAD: &str =
        "# mirage residue channel 1\nchip,unit,row,modulus,true,read,probability,lower,upper\n";

    #[test]
    fn rows_belong_to_one_chip_and_sums_say_where() {
        for (lines, says) in [
            ("3,,,2,0,0,1,,\n", "c.csv:3: an entry of chip 3 needs its unit and row"),
            (
                "3,0,0,2,0,0,1,,\n,0,1,2,0,0,1,,\n",
                "c.csv:4: is a row of no chip, but those above are of chip 3",
            ),
            (
                ",0,0,2,0,0,1,,\n3,0,1,2,0,0,1,,\n",
                "c.csv:4: is a row of chip 3, but those above are of no chip",
            ),
            (
                "3,0,0,2,0,0,1,,\n4,0,1,2,0,0,1,,\n",
                "c.csv:4: is a row of chip 4, but those above are of chip 3",
            ),
            (",,,2,0,0,1,,\n,,,2,1,1,0.5,,\n,,,2,1,0,0.25,,\n", "c.csv:5: modulus 2, true residue 1"),
            (",,,2,0,0,1,,\n", "c.csv:3: modulus 2, true residue 1: the probabilities sum to 0"),
        ] {
            let bad = format!("{HEAD}{lines}");
            let error = ResidueChannel::read_csv(bad.as_bytes(), "c.csv").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    /// Neither few lines of large tables nor many complete ones take memory before they are refused.
    #[test]
    fn small_files_do_not_become_large_tables() {
        let lines = |rows: u32, entries: u32| {
            let line = |(row, r)| format!("0,0,{row},4096,{r},{r},1,,\n");
            (0..rows).flat_map(|row| (0..entries).map(move |r| (row, r))).map(line).collect::<String>()
        };
        for (lines, says) in [
            (lines(4000, 1), "true residue 1: the probabilities sum to 0"),
            (lines(5, 4096), "keep fewer rows"),
        ] {
            let text = format!("{HEAD}{lines}");
            let error = ResidueChannel::read_csv(text.as_bytes(), "c.csv").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
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
