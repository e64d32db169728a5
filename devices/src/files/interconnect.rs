//! Lumerical INTERCONNECT S-parameters in text form (.sparam, .dat, .txt).
//!
//! ```text
//! ["port 1","LEFT"]                                  optional, one line for each port; or [nLeft,nRight]
//! ('port 1','TE',1,'port 2',1,'transmission')        out, its mode, in, its mode [, group delay in s][, "sweep;names"]
//! (51,3)                                             rows, columns
//! 1.8737e+14  0.0023  -0.19                          [sweeps] frequency in Hz, magnitude, angle in rad
//! ```

use super::error::{FileError, number};
use super::lines::{Item, Lines, items};
use super::sparameters::{MAX_PORTS, SParameters};
use std::collections::BTreeMap;
use std::f64::consts::TAU;

/// What to take from a file that holds more than one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// The mode, as numbered in the file; `None` is the first. Blocks of other modes are left out: light that goes there is lost.
    pub mode: Option<u32>,
    /// Value of each swept parameter, for files that sweep parameters beside the frequency.
    pub sweep: BTreeMap<String, f64>,
}

/// A file as it stands: all blocks, ready for a [`Selection`].
#[derive(Debug, Clone)]
pub struct InterconnectFile {
    file: String,
    ports: Vec<String>,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
struct Block {
    line: usize,
    output: (String, u32),
    input: (String, u32),
    group_delay: f64,
    sweeps: Vec<String>,
    /// Line, then the numbers of each row.
    rows: Vec<(usize, Vec<f64>)>,
}

impl InterconnectFile {
    /// Reads the text of a file called `file`. Blanks in port names become `_`, so that `port 1` is `port_1`.
    ///
    /// # Errors
    /// The first line that is wrong: rows that are missing or too many, numbers that are none, a block given twice.
    pub fn read(text: &str, file: &str) -> Result<Self, FileError> {
        let mut lines = Lines::new(text, file);
        let header = read_header(&mut lines)?;
        let mut blocks: Vec<Block> = Vec::new();
        let mut known = BTreeMap::new();
        while let Some((line, text)) = lines.next() {
            let block = read_block(&mut lines, line, text)?;
            if let Some(first) = known.insert((block.output.clone(), block.input.clone()), line) {
                let (out, input) = (&block.output.0, &block.input.0);
                let problem = format!("out `{out}` from in `{input}` stands at line {first} already");
                return Err(FileError::at(file, line, problem));
            }
            blocks.push(block);
        }
        let ports = port_names(&header, &blocks, file)?;
        Ok(InterconnectFile { file: file.to_owned(), ports, blocks })
    }

    /// Names of the ports: as the header has them, else in the order of the blocks.
    pub fn ports(&self) -> &[String] {
        &self.ports
    }

    /// Numbers of the modes, in the order of the file.
    pub fn modes(&self) -> Vec<u32> {
        let mut modes = Vec::new();
        for mode in self.blocks.iter().flat_map(|b| [b.output.1, b.input.1]) {
            if !modes.contains(&mode) {
                modes.push(mode);
            }
        }
        modes
    }

    /// Names of the swept parameters with the values that stand in the file.
    pub fn sweeps(&self) -> BTreeMap<String, Vec<f64>> {
        let mut sweeps: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for block in &self.blocks {
            for (column, name) in block.sweeps.iter().enumerate() {
                let values = sweeps.entry(name.clone()).or_default();
                values.extend(block.rows.iter().map(|(_, row)| row[column]));
            }
        }
        for values in sweeps.values_mut() {
            values.sort_by(f64::total_cmp);
            values.dedup_by(|a, b| alike(*a, *b));
        }
        sweeps
    }

    /// The table of one mode at one value of each sweep.
    ///
    /// # Errors
    /// A mode or sweep value that is not in the file, a missing pair of ports, frequencies that differ between blocks, repeat, or
    /// turn round.
    pub fn select(&self, selection: &Selection) -> Result<SParameters, FileError> {
        let modes = self.modes();
        let Some(mode) = selection.mode.or(modes.first().copied()) else {
            return Err(FileError::whole(&self.file, "there is no block of S-parameters"));
        };
        if !modes.contains(&mode) {
            return Err(FileError::whole(
                &self.file,
                format!("mode {mode} is not in the file; it has {modes:?}"),
            ));
        }
        self.check_sweep_names(selection)?;
        let mut frequencies: Vec<f64> = Vec::new();
        let mut polar = Vec::new();
        for output in &self.ports {
            for input in &self.ports {
                let block = self.block((output, mode), (input, mode))?;
                let rows = self.rows(block, selection)?;
                if frequencies.is_empty() {
                    frequencies = rows.iter().map(|row| row[0]).collect();
                }
                let same = rows.len() == frequencies.len()
                    && rows.iter().zip(&frequencies).all(|(row, f)| alike(row[0], *f));
                if !same {
                    let problem = "the frequencies differ from those of the first block";
                    return Err(FileError::at(&self.file, block.line, problem));
                }
                let centre = (rows[0][0] + rows[rows.len() - 1][0]) / 2.0;
                polar.extend(rows.iter().map(|r| (r[1], r[2] + TAU * block.group_delay * (r[0] - centre))));
            }
        }
        SParameters::from_polar(self.ports.clone(), frequencies, &polar)
            .map_err(|problem| FileError::whole(&self.file, problem))
    }

    fn check_sweep_names(&self, selection: &Selection) -> Result<(), FileError> {
        let sweeps = self.sweeps();
        for name in selection.sweep.keys() {
            if !sweeps.contains_key(name) {
                let near = mirage_design::closest(name, sweeps.keys().map(String::as_str));
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it sweeps {:?}", sweeps.keys().collect::<Vec<_>>()),
                };
                let problem = format!("the file does not sweep `{name}`; {hint}");
                return Err(FileError::whole(&self.file, problem));
            }
        }
        for (name, values) in &sweeps {
            if !selection.sweep.contains_key(name) {
                let problem = format!("the file sweeps `{name}`: choose one of its values {values:?}");
                return Err(FileError::whole(&self.file, problem));
            }
        }
        Ok(())
    }

    fn block(&self, output: (&String, u32), input: (&String, u32)) -> Result<&Block, FileError> {
        let is = |end: &(String, u32), (port, mode): (&String, u32)| end.0 == *port && end.1 == mode;
        self.blocks.iter().find(|b| is(&b.output, output) && is(&b.input, input)).ok_or_else(|| {
            let problem = format!("no block for out `{}` from in `{}`, mode {}", output.0, input.0, output.1);
            FileError::whole(&self.file, problem)
        })
    }

    /// Frequency, magnitude and angle of the chosen rows, frequencies rising.
    fn rows(&self, block: &Block, selection: &Selection) -> Result<Vec<[f64; 3]>, FileError> {
        let sweeps = block.sweeps.len();
        let chosen = |row: &&(usize, Vec<f64>)| {
            let wanted = block.sweeps.iter().map(|name| selection.sweep.get(name));
            wanted.zip(&row.1).all(|(want, have)| want.is_some_and(|want| alike(*want, *have)))
        };
        let rows: Vec<&(usize, Vec<f64>)> = block.rows.iter().filter(chosen).collect();
        let Some(first) = rows.first() else {
            let problem = format!("no row has the values {:?}", selection.sweep);
            return Err(FileError::at(&self.file, block.line, problem));
        };
        let falls = rows.get(1).is_some_and(|second| second.1[sweeps] < first.1[sweeps]);
        for pair in rows.windows(2) {
            let (before, after) = (pair[0].1[sweeps], pair[1].1[sweeps]);
            let problem = if before == after {
                "this frequency stands twice in the block"
            } else if (after < before) != falls {
                "frequencies must all rise or all fall within a block"
            } else {
                continue;
            };
            return Err(FileError::at(&self.file, pair[1].0, problem));
        }
        let mut chosen: Vec<[f64; 3]> =
            rows.iter().map(|(_, r)| [r[sweeps], r[sweeps + 1], r[sweeps + 2]]).collect();
        if falls {
            chosen.reverse();
        }
        Ok(chosen)
    }
}

/// Equal but for rounding in the text.
fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

enum Header {
    None,
    /// Number of ports, from `[nLeft,nRight]`, and its line.
    Count(usize, usize),
    Names(Vec<String>),
}

fn read_header(lines: &mut Lines<'_>) -> Result<Header, FileError> {
    let mut header = Header::None;
    while let Some((line, text)) = lines.next_if(|text| text.starts_with('[')) {
        let wrong = |problem: &str| FileError::at(lines.file(), line, problem);
        let shape = "a header line is [\"port\",\"SIDE\"] for each port, or one [nLeft,nRight]";
        match (items(text, '[', ']').map_err(|problem| wrong(&problem))?.as_slice(), &mut header) {
            ([Item::Text(port), Item::Text(_)], Header::None) => header = Header::Names(vec![clean(port)]),
            ([Item::Text(port), Item::Text(_)], Header::Names(names)) => {
                if names.contains(&clean(port)) {
                    return Err(wrong(&format!("port `{port}` stands twice in the header")));
                }
                names.push(clean(port));
            }
            ([Item::Number(left), Item::Number(right)], Header::None) => {
                let count = whole(left).zip(whole(right)).and_then(|(l, r)| l.checked_add(r));
                header = Header::Count(count.ok_or_else(|| wrong(shape))? as usize, line);
            }
            _ => return Err(wrong(shape)),
        }
    }
    Ok(header)
}

fn read_block(lines: &mut Lines<'_>, line: usize, text: &str) -> Result<Block, FileError> {
    let file = lines.file().to_owned();
    let wrong = |problem: String| FileError::at(&file, line, problem);
    let head = items(text, '(', ')').map_err(wrong)?;
    let [
        Item::Text(output),
        Item::Text(_),
        out_mode,
        Item::Text(input),
        in_mode,
        Item::Text(kind),
        rest @ ..,
    ] = head.as_slice()
    else {
        let shape = "expected ('port OUT','TE',1,'port IN',1,'transmission'), out before in";
        return Err(wrong(shape.into()));
    };
    if kind != "transmission" {
        return Err(wrong(format!("`{kind}` is not `transmission`, the only kind that is read")));
    }
    let mode = |item: &Item| {
        let Item::Number(text) = item else { return Err(wrong("a mode is a whole number".into())) };
        whole(text).ok_or_else(|| wrong(format!("mode `{text}` is not a whole number")))
    };
    let (group_delay, sweeps) = match rest {
        [] => (None, None),
        [Item::Number(delay)] => (Some(delay), None),
        [Item::Text(sweeps)] => (None, Some(sweeps)),
        [Item::Number(delay), Item::Text(sweeps)] => (Some(delay), Some(sweeps)),
        _ => {
            return Err(wrong(
                "after 'transmission' stand at most a group delay and the names of sweeps".into(),
            ));
        }
    };
    let group_delay = group_delay.map_or(Ok(0.0), |text| number(text)).map_err(wrong)?;
    let sweeps: Vec<String> =
        sweeps.map_or(Vec::new(), |names| names.split(';').map(|name| name.trim().to_owned()).collect());
    let rows = read_rows(lines, line, sweeps.len() + 3)?;
    let (output, input) = ((clean(output), mode(out_mode)?), (clean(input), mode(in_mode)?));
    Ok(Block { line, output, input, group_delay, sweeps, rows })
}

fn read_rows(
    lines: &mut Lines<'_>,
    head: usize,
    columns: usize,
) -> Result<Vec<(usize, Vec<f64>)>, FileError> {
    let file = lines.file().to_owned();
    let (line, text) =
        lines.next().ok_or_else(|| FileError::at(&file, head, "the file ends after this line"))?;
    let wrong = |line: usize, problem: String| FileError::at(&file, line, problem);
    let size = items(text, '(', ')').map_err(|problem| wrong(line, problem))?;
    let size = match size.as_slice() {
        [Item::Number(rows), Item::Number(columns)] => whole(rows).zip(whole(columns)),
        _ => None,
    };
    let Some((count, declared)) = size.filter(|(rows, _)| *rows > 0) else {
        return Err(wrong(line, "expected the size of the block, such as (51,3)".into()));
    };
    if declared as usize != columns {
        let problem = format!("{declared} columns declared, but {columns} follow from the line above");
        return Err(wrong(line, problem));
    }
    // The declared size is only compared, never allocated.
    let mut rows = Vec::new();
    while let Some((at, text)) = lines.next_if(|text| !text.starts_with('(')) {
        let row: Result<Vec<f64>, String> = text.split_whitespace().map(number).collect();
        let row = row.map_err(|problem| wrong(at, problem))?;
        if row.len() != columns {
            return Err(wrong(at, format!("{} numbers where {columns} are due", row.len())));
        }
        if rows.len() == count as usize {
            return Err(wrong(at, format!("more rows than the {count} declared at line {line}")));
        }
        rows.push((at, row));
    }
    if rows.len() != count as usize {
        return Err(wrong(line, format!("{count} rows declared, {} found", rows.len())));
    }
    Ok(rows)
}

fn port_names(header: &Header, blocks: &[Block], file: &str) -> Result<Vec<String>, FileError> {
    let mut found: Vec<String> = Vec::new();
    for block in blocks {
        for port in [&block.output.0, &block.input.0] {
            if found.contains(port) {
                continue;
            }
            if let Header::Names(names) = header
                && !names.contains(port)
            {
                return Err(FileError::at(file, block.line, format!("port `{port}` is not in the header")));
            }
            if found.len() == MAX_PORTS {
                return Err(FileError::at(file, block.line, format!("more than {MAX_PORTS} ports")));
            }
            found.push(port.clone());
        }
    }
    match header {
        Header::Count(count, line) if *count != found.len() => {
            let problem = format!("{count} ports declared, {} have blocks", found.len());
            Err(FileError::at(file, *line, problem))
        }
        Header::Names(names) => match names.iter().find(|name| !found.contains(name)) {
            Some(name) => Err(FileError::whole(file, format!("port `{name}` of the header has no block"))),
            None => Ok(names.clone()),
        },
        _ => Ok(found),
    }
}

fn whole(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn clean(port: &str) -> String {
    port.split_whitespace().collect::<Vec<_>>().join("_")
}
