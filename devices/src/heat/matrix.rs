//! The thermal crosstalk matrix.

use crate::error::DeviceError;
use crate::files::{FileError, number};
use crate::heat::layout::{Layout, skipped};
use nalgebra::DMatrix;
use std::collections::HashSet;

/// Rows and columns of a matrix file, at most.
const MOST: usize = 4096;

/// Phase in each guide (row) per phase of each heater's drive (column), rad/rad, what a heater does to its own guide left
/// out: that is its calibrated curve.
#[derive(Debug, Clone, PartialEq)]
pub struct ThermalMatrix(DMatrix<f64>);

impl ThermalMatrix {
    /// A given matrix.
    pub fn new(entries: DMatrix<f64>) -> Self {
        ThermalMatrix(entries)
    }

    /// By distance: `coefficient` x exp(-distance/`decay`) between each heater and each guide that is not its own.
    pub fn by_distance(layout: &Layout, coefficient: f64, decay: f64) -> Self {
        ThermalMatrix(DMatrix::from_fn(layout.guides.len(), layout.heaters.len(), |guide, heater| {
            if guide == heater {
                0.0
            } else {
                let distance = layout.guides[guide].distance(&layout.heaters[heater]);
                coefficient * (-distance / decay).exp()
            }
        }))
    }

    /// Reads a measured matrix: a header `guide,HEATER,...`, then for each guide its name and rad/rad for each heater.
    ///
    /// # Errors
    /// File and line of a cell that is no finite number, of a row whose length differs from the header's, of a heater or guide
    /// named twice; a file without rows, or with more than 4096 of either.
    pub fn read_csv(text: &str, file: &str) -> Result<Self, FileError> {
        let read = MatrixFile::read(text, file)?;
        Ok(ThermalMatrix(DMatrix::from_row_slice(read.guides.len(), read.heaters.len(), &read.entries)))
    }

    /// The numbers: rows are guides, columns heaters.
    pub fn entries(&self) -> &DMatrix<f64> {
        &self.0
    }

    /// With the heaters' own effect, one, on the diagonal.
    ///
    /// # Errors
    /// Numbers of guides and heaters differ, so that no guide is a heater's own.
    pub fn with_own(&self) -> Result<DMatrix<f64>, DeviceError> {
        if !self.0.is_square() {
            let problem = format!("guides for {} heaters: each heater needs its own guide", self.0.ncols());
            return Err(DeviceError::Parameter {
                name: "heat.matrix",
                value: self.0.nrows() as f64,
                problem,
            });
        }
        Ok(DMatrix::identity(self.0.nrows(), self.0.ncols()) + &self.0)
    }
}

/// A matrix file as it stands.
pub(super) struct MatrixFile<'a> {
    pub heaters: Vec<&'a str>,
    pub guides: Vec<&'a str>,
    /// The line of each guide, from one.
    pub lines: Vec<usize>,
    /// Guide by guide.
    pub entries: Vec<f64>,
}

impl<'a> MatrixFile<'a> {
    pub fn read(text: &'a str, file: &str) -> Result<Self, FileError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !skipped(line));
        let (at, header) = lines.next().ok_or_else(|| FileError::whole(file, "is empty"))?;
        let wrong = |problem: String| FileError::at(file, at + 1, problem);
        let heaters: Vec<&str> = header.split(',').skip(1).map(str::trim).collect();
        if !header.starts_with("guide,") || heaters.len() > MOST {
            return Err(wrong(format!("the header must be guide,HEATER,... with at most {MOST} heaters")));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = heaters.iter().find(|name| !seen.insert(**name)) {
            return Err(wrong(format!("the heater `{twice}` is there already")));
        }
        let mut read = MatrixFile { heaters, guides: Vec::new(), lines: Vec::new(), entries: Vec::new() };
        seen.clear();
        for (at, line) in lines {
            let wrong = |problem: String| FileError::at(file, at + 1, problem);
            let mut cells = line.split(',').map(str::trim);
            let name = cells.next().unwrap_or_default();
            if !seen.insert(name) {
                return Err(wrong(format!("the guide `{name}` is there already")));
            }
            if read.guides.len() == MOST {
                return Err(wrong(format!("more than {MOST} guides")));
            }
            read.guides.push(name);
            read.lines.push(at + 1);
            let before = read.entries.len();
            for cell in cells {
                read.entries.push(number(cell).map_err(wrong)?);
            }
            let (found, wanted) = (read.entries.len() - before, read.heaters.len());
            if found != wanted {
                return Err(wrong(format!("{found} numbers for {wanted} heaters")));
            }
        }
        if read.guides.is_empty() {
            return Err(FileError::whole(file, "has a header and no guide"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_matrices_are_read_and_faults_have_a_line() {
        let good = "guide,h0,h1,h2\ng0,0,0.01,2e-3\n\ng1,0.01,0,0.01\n";
        let matrix = ThermalMatrix::read_csv(good, "m.csv").unwrap();
        assert_eq!(matrix.entries().shape(), (2, 3));
        assert_eq!(matrix.entries()[(0, 2)], 2e-3);
        assert!(matrix.with_own().unwrap_err().to_string().contains("3 heaters"));
        for (old, new, word) in [
            ("2e-3", "2e-3x", "m.csv:2"),
            ("0,0.01\n", "0\n", "m.csv:4: 2 numbers"),
            ("g1", "g0", "already"),
            ("guide,", "row,", "header"),
            ("h2", "h0", "m.csv:1: the heater `h0` is there already"),
            ("2e-3", "inf", "finite"),
        ] {
            let error = ThermalMatrix::read_csv(&good.replace(old, new), "m.csv").unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
        assert!(ThermalMatrix::read_csv("guide,a\n", "m.csv").is_err());
    }
}
