//! Measured transmission spectra, from CSV or MATLAB files.

mod csv_file;
mod matlab;
mod matlab_values;
#[cfg(test)]
mod tests;

use crate::CalibrationError;

/// Powers of one detector over the wavelengths of its spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its number, as in `channel_2`.
    pub number: u32,
    /// Power at each wavelength, dBm.
    pub dbm: Vec<f64>,
}

/// A measured spectrum: wavelengths that rise, and what one or more detectors saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Name of the file, for messages and as the source of what is fitted.
    pub file: String,
    /// Wavelengths, m.
    pub wavelengths: Vec<f64>,
    channels: Vec<Channel>,
}

/// Wavelengths that make sense, nm.
const WAVELENGTHS: (f64, f64) = (200.0, 20_000.0);
/// Powers that make sense, dBm.
const POWERS: (f64, f64) = (-200.0, 60.0);

impl Spectrum {
    /// Reads a spectrum; MATLAB files are known by their first bytes, everything else is taken for CSV. `file` is its name
    /// for messages.
    ///
    /// A CSV has the columns `wavelength_nm` and `channel_1_dbm`, `channel_2_dbm`, ..; lines that begin with # are comments. A
    /// MATLAB 5 file holds a structure with `header.wavelength` (nm) and `rows.channel_1`, .. (dBm), as openEBL writes them.
    ///
    /// # Errors
    /// Files of another kind, missing columns or cells, numbers that cannot be read, other units than nm and dBm,
    /// wavelengths that do not rise; with the line, or the number of the point, where there is one.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, CalibrationError> {
        if let Some(what) = foreign(bytes) {
            let problem = format!(
                "this is {what}; needed is a CSV with wavelength_nm and channel_k_dbm, or a MATLAB 5 file"
            );
            return Err(CalibrationError::File { file: file.into(), problem });
        }
        if matlab::is_matlab(bytes) {
            return matlab::read(bytes, file);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => csv_file::read(text, file),
            Err(e) => Err(CalibrationError::File {
                file: file.into(),
                problem: format!(
                    "byte {} is no text in UTF-8, and this is no MATLAB 5 file: needed is a CSV with wavelength_nm and channel_k_dbm",
                    e.valid_up_to() + 1
                ),
            }),
        }
    }

    /// Powers of a channel, dBm.
    ///
    /// # Errors
    /// A channel that the file does not have.
    pub fn channel(&self, number: u32) -> Result<&[f64], CalibrationError> {
        let found = self.channels.iter().find(|c| c.number == number);
        found.map(|c| c.dbm.as_slice()).ok_or_else(|| {
            let known: Vec<String> = self.channels.iter().map(|c| c.number.to_string()).collect();
            self.wrong(format!("there is no channel {number}; the file has {}", known.join(", ")))
        })
    }

    /// Its channels.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The part between two wavelengths (m, both included).
    ///
    /// # Errors
    /// Fewer than 20 points between them.
    pub fn between(&self, from: f64, to: f64) -> Result<Self, CalibrationError> {
        // An end that was meant to be on a point is, in spite of rounding.
        let (low, high) = (from * (1.0 - 1e-10), to * (1.0 + 1e-10));
        let inside: Vec<usize> =
            (0..self.wavelengths.len()).filter(|i| (low..=high).contains(&self.wavelengths[*i])).collect();
        if inside.len() < LEAST {
            let [low, high] = [0, self.wavelengths.len() - 1].map(|i| self.wavelengths[i] * 1e9);
            return Err(self.wrong(format!(
                "{} points lie between {:.3} nm and {:.3} nm: at least {LEAST} are needed; the spectrum reaches from {low:.3} nm to {high:.3} nm",
                inside.len(),
                from * 1e9,
                to * 1e9
            )));
        }
        let pick = |all: &[f64]| inside.iter().map(|i| all[*i]).collect::<Vec<f64>>();
        Ok(Self {
            file: self.file.clone(),
            wavelengths: pick(&self.wavelengths),
            channels: self.channels.iter().map(|c| Channel { number: c.number, dbm: pick(&c.dbm) }).collect(),
        })
    }

    /// An error about this file.
    pub(crate) fn wrong(&self, problem: impl Into<String>) -> CalibrationError {
        CalibrationError::File { file: self.file.clone(), problem: problem.into() }
    }
}

/// Points below which nothing can be said of a spectrum.
const LEAST: usize = 20;

/// A spectrum from columns of numbers; `line` gives the line of a point, where the file has lines.
fn assemble(
    file: &str,
    nanometres: Vec<f64>,
    channels: Vec<Channel>,
    line: impl Fn(usize) -> Option<u64>,
) -> Result<Spectrum, CalibrationError> {
    let whole = |problem: String| CalibrationError::File { file: file.into(), problem };
    let at = |point: usize, problem: String| match line(point) {
        Some(line) => CalibrationError::Line { file: file.into(), line, problem },
        None => whole(format!("point {}: {problem}", point + 1)),
    };
    if nanometres.len() < LEAST {
        return Err(whole(format!("{} points: a spectrum needs at least {LEAST}", nanometres.len())));
    }
    units(&nanometres).map_err(whole)?;
    if let Some(i) = nanometres.iter().position(|w| !(WAVELENGTHS.0..=WAVELENGTHS.1).contains(w)) {
        let (low, high) = WAVELENGTHS;
        return Err(at(i, format!("{} is no wavelength between {low} nm and {high} nm", nanometres[i])));
    }
    order(&nanometres, &at, &whole)?;
    for channel in &channels {
        if let Some(i) = channel.dbm.iter().position(|p| !(POWERS.0..=POWERS.1).contains(p)) {
            let (low, high) = POWERS;
            let problem = format!(
                "{} in channel {} is no power between {low} dBm and {high} dBm",
                channel.dbm[i], channel.number
            );
            return Err(at(i, problem));
        }
        if channel.dbm.iter().all(|p| *p >= 0.0) && channel.dbm.iter().any(|p| *p < 1.0) {
            return Err(whole(format!(
                "the powers of channel {} lie between 0 and {:.3}: this looks like milliwatts or a share of the input; dBm are needed",
                channel.number,
                channel.dbm.iter().copied().fold(0.0, f64::max)
            )));
        }
    }
    if channels.is_empty() {
        return Err(whole("there is no channel with data".into()));
    }
    Ok(Spectrum { file: file.into(), wavelengths: nanometres.iter().map(|w| w * 1e-9).collect(), channels })
}

/// Names the unit that numbers seem to have, if that is not the nanometre.
fn units(numbers: &[f64]) -> Result<(), String> {
    let all = |low: f64, high: f64| numbers.iter().all(|w| (low..high).contains(w));
    let what = if all(0.2, 20.0) {
        "micrometres"
    } else if all(0.2e-6, 20e-6) {
        "metres"
    } else if all(1e13, 2e15) {
        "frequencies in hertz"
    } else {
        return Ok(());
    };
    Err(format!(
        "the wavelengths lie about {}: this looks like {what}; nanometres are needed",
        shortest(numbers[0])
    ))
}

/// A number as one would write it: twelve digits, without those that rounding made.
fn shortest(x: f64) -> f64 {
    format!("{x:.11e}").parse().unwrap_or(x)
}

/// Wavelengths must rise.
fn order(
    numbers: &[f64],
    at: &dyn Fn(usize, String) -> CalibrationError,
    whole: &dyn Fn(String) -> CalibrationError,
) -> Result<(), CalibrationError> {
    if numbers.windows(2).all(|w| w[0] > w[1]) {
        return Err(whole("the wavelengths fall from the first to the last: turn the rows round".into()));
    }
    match numbers.windows(2).position(|w| w[0] >= w[1]) {
        None => Ok(()),
        Some(i) if numbers[i] == numbers[i + 1] => {
            Err(at(i + 1, format!("the wavelength {} nm stands twice", numbers[i])))
        }
        Some(i) => Err(at(
            i + 1,
            format!(
                "the wavelength {} nm does not rise above the {} nm before it",
                numbers[i + 1],
                numbers[i]
            ),
        )),
    }
}

/// What a file is, when it is neither text nor MATLAB 5.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const HDF: &[u8] = b"\x89HDF";
    if bytes.starts_with(b"MATLAB 7.3") || bytes.get(512..516) == Some(HDF) {
        return Some("a MATLAB 7.3 file (HDF5); save it with save(name, '-v7')");
    }
    let kinds: [(&[u8], &str); 7] = [
        (HDF, "an HDF5 file"),
        (b"PK\x03\x04", "a ZIP archive, or a file made of one such as .npz or .xlsx"),
        (b"\x1F\x8B", "a gzip archive; unpack it first"),
        (b"\x89PNG", "a PNG picture"),
        (b"%PDF", "a PDF document"),
        (b"\xFF\xFE", "text in UTF-16; save it as UTF-8"),
        (b"\xFE\xFF", "text in UTF-16; save it as UTF-8"),
    ];
    kinds.iter().find(|(first, _)| bytes.starts_with(first)).map(|(_, what)| *what)
}
