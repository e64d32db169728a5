//! Spectra as CSV.

use super::{Channel, Spectrum, assemble};
use crate::CalibrationError;
use crate::table::Columns;

const WAVELENGTH: &str = "wavelength_nm";

/// The number of `channel_2_dbm`.
fn channel(header: &str) -> Option<u32> {
    header.strip_prefix("channel_")?.strip_suffix("_dbm")?.parse().ok()
}

pub(super) fn read(text: &str, file: &str) -> Result<Spectrum, CalibrationError> {
    let table = Columns::open(text, file)?;
    let names: Vec<(u32, String)> =
        table.headers().iter().filter_map(|h| Some((channel(h)?, h.clone()))).collect();
    let whole = |problem: String| CalibrationError::File { file: file.into(), problem };
    if names.is_empty() {
        return Err(whole(format!("no column `channel_1_dbm`, `channel_2_dbm`, ..; {}", table.has())));
    }
    if let Some(odd) = table.headers().iter().find(|h| *h != WAVELENGTH && channel(h).is_none()) {
        return Err(whole(format!(
            "the column `{odd}` is neither `{WAVELENGTH}` nor of the form `channel_1_dbm`; remove it"
        )));
    }
    for (i, (number, _)) in names.iter().enumerate() {
        if names[..i].iter().any(|(other, _)| other == number) {
            return Err(whole(format!("channel {number} stands twice")));
        }
    }
    let wanted: Vec<&str> =
        std::iter::once(WAVELENGTH).chain(names.iter().map(|(_, name)| name.as_str())).collect();
    let rows = table.numbers(&wanted)?;
    let mut channels = Vec::new();
    for (k, (number, name)) in names.iter().enumerate() {
        let filled = rows.iter().filter(|(_, cells)| cells[k + 1].is_some()).count();
        // A detector that was not connected leaves its whole column empty: it is no channel.
        if filled == 0 && !rows.is_empty() {
            continue;
        }
        let cell = |(line, cells): &(u64, Vec<Option<f64>>)| {
            cells[k + 1].ok_or_else(|| CalibrationError::Line {
                file: file.into(),
                line: *line,
                problem: format!("the cell of `{name}` is empty"),
            })
        };
        channels.push(Channel { number: *number, dbm: rows.iter().map(cell).collect::<Result<_, _>>()? });
    }
    let wavelength = |(line, cells): &(u64, Vec<Option<f64>>)| {
        cells[0].ok_or_else(|| CalibrationError::Line {
            file: file.into(),
            line: *line,
            problem: format!("the cell of `{WAVELENGTH}` is empty"),
        })
    };
    let nanometres = rows.iter().map(wavelength).collect::<Result<Vec<f64>, _>>()?;
    assemble(file, nanometres, channels, |point| rows.get(point).map(|(line, _)| *line))
}
