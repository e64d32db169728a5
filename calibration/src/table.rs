//! CSV columns of numbers.

use crate::CalibrationError;

/// Line number and the cells of the wanted columns.
pub(crate) type Row<const N: usize> = (u64, [Option<f64>; N]);

/// Reads the named columns; an empty cell is `None`.
pub(crate) fn columns<const N: usize>(
    text: &str,
    file: &str,
    names: [&str; N],
) -> Result<Vec<Row<N>>, CalibrationError> {
    let whole = |problem: String| CalibrationError::File { file: file.to_string(), problem };
    let mut reader =
        csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| whole(error.to_string()))?.clone();
    let mut at = [0; N];
    for (place, name) in at.iter_mut().zip(names) {
        *place = headers.iter().position(|header| header == name).ok_or_else(|| {
            whole(format!(
                "no column `{name}`; the columns are {}",
                headers.iter().collect::<Vec<_>>().join(", ")
            ))
        })?;
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| whole(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut values = [None; N];
        for ((value, &place), name) in values.iter_mut().zip(&at).zip(names) {
            let cell = record.get(place).unwrap_or("");
            if !cell.is_empty() {
                let number: Option<f64> = cell.parse().ok().filter(|x: &f64| x.is_finite());
                *value = Some(number.ok_or_else(|| CalibrationError::Line {
                    file: file.to_string(),
                    line,
                    problem: format!("`{cell}` in column `{name}` is not a number"),
                })?);
            }
        }
        rows.push((line, values));
    }
    Ok(rows)
}
