//! Plain tables of measured numbers.

use super::Input;
use crate::CalibrationError;
use crate::table::Columns;

/// Full columns of a file that were asked for by name.
pub(super) struct Data {
    pub file: String,
    /// Lines of the rows.
    pub lines: Vec<u64>,
    /// Columns, in the order asked for.
    pub columns: Vec<Vec<f64>>,
}

/// The text of an input.
pub(super) fn text(input: &Input) -> Result<&str, CalibrationError> {
    std::str::from_utf8(&input.bytes).map_err(|e| CalibrationError::File {
        file: input.file.clone(),
        problem: format!("needed is a table (CSV) in UTF-8; byte {} is no such text", e.valid_up_to() + 1),
    })
}

/// Names of the columns of a table.
pub(super) fn headers(input: &Input) -> Result<Vec<String>, CalibrationError> {
    Ok(Columns::open(text(input)?, &input.file)?.headers().to_vec())
}

/// Which of these columns a table has; each is one way to write the same thing.
pub(super) fn one_of<'n>(input: &Input, names: &[&'n str]) -> Result<&'n str, CalibrationError> {
    let table = Columns::open(text(input)?, &input.file)?;
    let headers = table.headers();
    let found: Vec<&str> = names.iter().copied().filter(|n| headers.iter().any(|h| h == n)).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(whole(input, format!("one column of {} is needed; {}", names.join(", "), table.has()))),
        _ => Err(whole(input, format!("columns {} say the same thing: leave one", found.join(" and ")))),
    }
}

pub(super) fn whole(input: &Input, problem: String) -> CalibrationError {
    CalibrationError::File { file: input.file.clone(), problem }
}

impl Data {
    /// Reads the columns; every cell must hold a number.
    pub fn read(input: &Input, names: &[&str]) -> Result<Self, CalibrationError> {
        let rows = Columns::open(text(input)?, &input.file)?.numbers(names)?;
        if rows.is_empty() {
            return Err(whole(input, "the table has a header and no row".into()));
        }
        let mut data =
            Data { file: input.file.clone(), lines: Vec::new(), columns: vec![Vec::new(); names.len()] };
        for (line, cells) in rows {
            data.lines.push(line);
            for ((column, cell), name) in data.columns.iter_mut().zip(cells).zip(names) {
                let missing = || data_error(&input.file, line, format!("`{name}` is missing"));
                column.push(cell.ok_or_else(missing)?);
            }
        }
        Ok(data)
    }

    /// Refuses numbers below `least` in a column.
    pub fn at_least(&self, column: usize, name: &str, least: f64) -> Result<(), CalibrationError> {
        match self.columns[column].iter().position(|x| *x < least) {
            Some(i) => Err(data_error(
                &self.file,
                self.lines[i],
                format!("{} in column `{name}` is below {least}", self.columns[column][i]),
            )),
            None => Ok(()),
        }
    }

    /// Refuses a column with fewer than `least` different values.
    pub fn varied(&self, column: usize, name: &str, least: usize) -> Result<(), CalibrationError> {
        let mut values = self.columns[column].clone();
        values.sort_by(f64::total_cmp);
        values.dedup();
        if values.len() >= least {
            return Ok(());
        }
        Err(CalibrationError::File {
            file: self.file.clone(),
            problem: format!("{} different values of `{name}`: at least {least} are needed", values.len()),
        })
    }
}

fn data_error(file: &str, line: u64, problem: String) -> CalibrationError {
    CalibrationError::Line { file: file.to_owned(), line, problem }
}
