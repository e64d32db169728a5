//! CSV columns of numbers.

use crate::CalibrationError;

/// Line number and the cells of the wanted columns.
pub(crate) type Row<const N: usize> = (u64, [Option<f64>; N]);

/// The same for columns whose number is not known beforehand.
pub(crate) type Cells = (u64, Vec<Option<f64>>);

/// A CSV whose header has been read.
pub(crate) struct Columns<'t> {
    file: String,
    headers: Vec<String>,
    reader: csv::Reader<&'t [u8]>,
}

impl<'t> Columns<'t> {
    /// Reads the header; lines that begin with # are comments.
    pub fn open(text: &'t str, file: &str) -> Result<Self, CalibrationError> {
        let mut reader =
            csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
        let headers = reader.headers().map_err(|error| whole(file, error.to_string()))?;
        // (a byte-order mark, as spreadsheets write it, is no part of a name)
        let headers = headers.iter().map(|h| h.trim_start_matches('\u{feff}').to_owned()).collect();
        Ok(Self { file: file.to_owned(), headers, reader })
    }

    /// Names of the columns.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// What the header holds, in words.
    pub fn has(&self) -> String {
        match self.headers.iter().all(String::is_empty) {
            true => "the file is empty: it has no header".into(),
            false => format!("the columns are {}", self.headers.join(", ")),
        }
    }

    /// All rows of the named columns, with their lines; an empty cell is `None`.
    pub fn numbers(mut self, names: &[&str]) -> Result<Vec<Cells>, CalibrationError> {
        let place = |name: &&str| {
            self.headers.iter().position(|header| header == name).ok_or_else(|| {
                let problem = format!("no column `{name}`; {}", self.has());
                whole(&self.file, problem)
            })
        };
        let places = names.iter().map(place).collect::<Result<Vec<usize>, _>>()?;
        let mut rows = Vec::new();
        for record in self.reader.records() {
            let record = record.map_err(|error| whole(&self.file, error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |(&place, name): (&usize, &&str)| match record.get(place).unwrap_or("") {
                "" => Ok(None),
                text => {
                    let number: Option<f64> = text.parse().ok().filter(|x: &f64| x.is_finite());
                    number.map(Some).ok_or_else(|| CalibrationError::Line {
                        file: self.file.clone(),
                        line,
                        problem: format!("`{text}` in column `{name}` is not a number"),
                    })
                }
            };
            rows.push((line, places.iter().zip(names).map(cell).collect::<Result<Vec<_>, _>>()?));
        }
        Ok(rows)
    }
}

fn whole(file: &str, problem: String) -> CalibrationError {
    CalibrationError::File { file: file.to_owned(), problem }
}

/// Reads the named columns; an empty cell is `None`.
pub(crate) fn columns<const N: usize>(
    text: &str,
    file: &str,
    names: [&str; N],
) -> Result<Vec<Row<N>>, CalibrationError> {
    let rows = Columns::open(text, file)?.numbers(&names)?;
    let fixed = |(line, cells): (u64, Vec<Option<f64>>)| {
        let mut values = [None; N];
        values.copy_from_slice(&cells);
        (line, values)
    };
    Ok(rows.into_iter().map(fixed).collect())
}
