//! Touchstone version 1 (.s1p, .s2p, ... .sNp), in and out.

use super::error::{FileError, number};
use super::sparameters::{MAX_PORTS, SParameters};
use num_complex::Complex64;
use std::fmt::Write as _;

/// The sign of time in a file's phasors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeConvention {
    /// e^{-i omega t}, as in optics and inside this toolkit; what SAX writes.
    #[default]
    Optics,
    /// e^{+j omega t}, as electrical engineers and network analysers have it: the complex conjugate.
    Engineering,
}

impl std::str::FromStr for TimeConvention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "optics" => Ok(Self::Optics),
            "engineering" => Ok(Self::Engineering),
            _ => Err(format!("convention `{text}` is neither optics (-i) nor engineering (+j)")),
        }
    }
}

/// A Touchstone file.
#[derive(Debug, Clone, PartialEq)]
pub struct Touchstone {
    /// The table, already in e^{-i omega t}.
    pub parameters: SParameters,
    /// Reference resistance of the option line, ohm; light has none, so it is kept and not used.
    pub resistance: f64,
    /// Rows of the noise block of a two-port file; they are not used.
    pub noise_rows: usize,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    RealImaginary,
    MagnitudeAngle,
    DecibelAngle,
}

struct Options {
    unit: f64,
    form: Form,
    resistance: f64,
}

/// Reads the text of a file called `file`, whose extension `.sNp` says how many ports it has.
///
/// Ports are called as a comment `! ports: a, b` says, else `port_1`, `port_2`, ...
///
/// # Errors
/// The first line that is wrong: an extension that is not `.sNp`, parameters other than S, numbers that are none, records of the
/// wrong size, frequencies that do not rise.
pub fn read_touchstone(text: &str, file: &str, convention: TimeConvention) -> Result<Touchstone, FileError> {
    let ports = ports_of_extension(file)?;
    let mut options = None;
    let mut names: Option<Vec<String>> = None;
    let mut reader = Records {
        file,
        ports,
        record: Vec::new(),
        frequencies: Vec::new(),
        values: Vec::new(),
        noise: Vec::new(),
    };
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let (content, comment) = raw.split_once('!').unwrap_or((raw, ""));
        if let Some(list) = comment.trim().strip_prefix("ports:") {
            names = Some(list.split(',').map(|name| name.trim().to_owned()).collect());
        }
        let content = content.trim().trim_start_matches('\u{feff}').trim_start();
        if let Some(text) = content.strip_prefix('#') {
            if options.is_some() || reader.started() {
                return Err(FileError::at(file, line, "there is one option line, before the data"));
            }
            options = Some(read_options(text).map_err(|problem| FileError::at(file, line, problem))?);
        } else if content.starts_with('[') {
            let problem = "keywords in brackets are of version 2; only version 1 is read";
            return Err(FileError::at(file, line, problem));
        } else if !content.is_empty() {
            reader.take(line, content)?;
        }
    }
    let options = options.unwrap_or(Options { unit: 1e9, form: Form::MagnitudeAngle, resistance: 50.0 });
    let names = names.unwrap_or_else(|| (1..=ports).map(|i| format!("port_{i}")).collect());
    if names.len() != ports {
        let problem = format!("{} names in `! ports:` for {ports} ports", names.len());
        return Err(FileError::whole(file, problem));
    }
    let noise_rows = reader.noise.len();
    let parameters = reader.finish(names, &options, convention)?;
    Ok(Touchstone { parameters, resistance: options.resistance, noise_rows })
}

fn ports_of_extension(file: &str) -> Result<usize, FileError> {
    let extension = file.rsplit_once('.').map_or("", |(_, e)| e).to_ascii_lowercase();
    let count = extension.strip_prefix('s').and_then(|e| e.strip_suffix('p')).and_then(|n| n.parse().ok());
    match count {
        Some(ports) if (1..=MAX_PORTS).contains(&ports) => Ok(ports),
        _ => {
            let problem = format!(
                "the extension of a Touchstone file is .sNp with 1 to {MAX_PORTS} ports, such as .s2p"
            );
            Err(FileError::whole(file, problem))
        }
    }
}

fn read_options(text: &str) -> Result<Options, String> {
    let (mut unit, mut form, mut resistance, mut kind) = (None, None, None, None);
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split_whitespace();
    fn once<T>(slot: &mut Option<T>, value: T, word: &str) -> Result<(), String> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(format!("`{word}`: this was said already on the option line")),
        }
    }
    while let Some(word) = words.next() {
        match word {
            "hz" => once(&mut unit, 1.0, word)?,
            "khz" => once(&mut unit, 1e3, word)?,
            "mhz" => once(&mut unit, 1e6, word)?,
            "ghz" => once(&mut unit, 1e9, word)?,
            "s" => once(&mut kind, (), word)?,
            "y" | "z" | "g" | "h" => return Err(format!("`{word}` parameters are not read, only S")),
            "ri" => once(&mut form, Form::RealImaginary, word)?,
            "ma" => once(&mut form, Form::MagnitudeAngle, word)?,
            "db" => once(&mut form, Form::DecibelAngle, word)?,
            "r" => {
                let value = number(words.next().ok_or("`R` needs a resistance in ohm")?)?;
                if value <= 0.0 {
                    return Err(format!("a reference resistance of {value} ohm is not positive"));
                }
                once(&mut resistance, value, word)?;
            }
            _ => return Err(format!("`{word}` is no option: # <Hz|kHz|MHz|GHz> S <RI|MA|DB> R <ohm>")),
        }
    }
    Ok(Options {
        unit: unit.unwrap_or(1e9),
        form: form.unwrap_or(Form::MagnitudeAngle),
        resistance: resistance.unwrap_or(50.0),
    })
}

/// Collects records of one frequency and N x N pairs of numbers.
struct Records<'a> {
    file: &'a str,
    ports: usize,
    record: Vec<f64>,
    frequencies: Vec<f64>,
    values: Vec<f64>,
    noise: Vec<f64>,
}

impl Records<'_> {
    fn started(&self) -> bool {
        !(self.frequencies.is_empty() && self.record.is_empty())
    }

    fn take(&mut self, line: usize, text: &str) -> Result<(), FileError> {
        let wrong = |problem: String| FileError::at(self.file, line, problem);
        let numbers: Result<Vec<f64>, String> = text.split_whitespace().map(number).collect();
        let numbers = numbers.map_err(wrong)?;
        let last = self.frequencies.last().copied();
        if self.ports == 2 && numbers.len() == 5 && last.is_some_and(|last| numbers[0] <= last) {
            if self.noise.last().is_some_and(|before| numbers[0] <= *before) {
                return Err(wrong("frequencies of the noise block must rise".into()));
            }
            self.noise.push(numbers[0]);
            return Ok(());
        }
        if !self.noise.is_empty() {
            return Err(wrong(format!("{} numbers in the noise block; its rows have 5", numbers.len())));
        }
        let due = 1 + 2 * self.ports * self.ports;
        let most = if self.ports <= 2 { due } else { 9 };
        if numbers.len() > most || (self.ports <= 2 && numbers.len() != due) {
            let problem =
                format!("{} numbers; a line of a {}-port file holds {most}", numbers.len(), self.ports);
            return Err(wrong(if self.ports <= 2 {
                problem
            } else {
                problem.replace("holds", "holds at most")
            }));
        }
        self.record.extend_from_slice(&numbers);
        if self.record.len() > due {
            return Err(wrong(format!("{} numbers for one frequency; {due} are due", self.record.len())));
        }
        if self.record.len() == due {
            let frequency = self.record[0];
            if last.is_some_and(|last| frequency <= last) {
                return Err(wrong(format!("frequency {frequency} does not rise")));
            }
            self.frequencies.push(frequency);
            self.values.extend(self.record.drain(..).skip(1));
        }
        Ok(())
    }

    fn finish(
        self,
        names: Vec<String>,
        options: &Options,
        convention: TimeConvention,
    ) -> Result<SParameters, FileError> {
        let whole = |problem: String| FileError::whole(self.file, problem);
        if !self.record.is_empty() {
            return Err(whole("the file ends in the middle of a frequency".into()));
        }
        let (n, points) = (self.ports, self.frequencies.len());
        if points == 0 {
            return Err(whole("there are no data".into()));
        }
        let mut polar = vec![(0.0, 0.0); n * n * points];
        for (index, pair) in self.values.chunks_exact(2).enumerate() {
            let (k, place) = (index / (n * n), index % (n * n));
            // Two-port files run 11 21 12 22: the columns first.
            let at = if n == 2 { place % 2 * 2 + place / 2 } else { place };
            let (magnitude, angle) = match options.form {
                Form::RealImaginary => Complex64::new(pair[0], pair[1]).to_polar(),
                Form::MagnitudeAngle => (pair[0], pair[1].to_radians()),
                Form::DecibelAngle => (10f64.powf(pair[0] / 20.0), pair[1].to_radians()),
            };
            let sign = if convention == TimeConvention::Optics { 1.0 } else { -1.0 };
            polar[at * points + k] = (magnitude, sign * angle);
        }
        let frequencies = self.frequencies.iter().map(|f| f * options.unit).collect();
        SParameters::from_polar(names, frequencies, &polar).map_err(whole)
    }
}

/// The text of a Touchstone file: Hz, real and imaginary parts in full precision, names of the ports in a comment.
pub fn write_touchstone(table: &SParameters, convention: TimeConvention) -> String {
    let n = table.ports().len();
    let sign = if convention == TimeConvention::Optics { 1.0 } else { -1.0 };
    let time = if convention == TimeConvention::Optics { "e^{-i omega t}" } else { "e^{+j omega t}" };
    let mut text = format!("! phasors {time}\n! ports: {}\n# Hz S RI R 50\n", table.ports().join(", "));
    for (k, frequency) in table.frequencies().iter().enumerate() {
        let _ = write!(text, "{frequency:e}");
        for row in 0..n {
            for column in 0..n {
                if n > 2 && (column > 0 && column % 4 == 0 || column == 0 && row > 0) {
                    text.push('\n');
                }
                // Two-port files run 11 21 12 22.
                let (out, input) = if n == 2 { (column, row) } else { (row, column) };
                let s = table.value(out, input, k);
                let _ = write!(text, " {:e} {:e}", s.re, sign * s.im);
            }
        }
        text.push('\n');
    }
    text
}
