//! Where heaters and guides lie.

use crate::files::{FileError, number};

/// Heaters and guides of a layout file, at most.
const MOST: usize = 4096;

/// A named point on the chip.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Position, m.
    pub x: f64,
    /// Position, m.
    pub y: f64,
}

impl Place {
    /// Distance to another place, m.
    pub fn distance(&self, other: &Place) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// Positions of heaters and of the guides that feel them. Guide i belongs to heater i as far as there are heaters.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Heaters.
    pub heaters: Vec<Place>,
    /// Guides.
    pub guides: Vec<Place>,
}

impl Layout {
    /// `rows` MDPUs of `stages` stages: stages `pitch` apart along x, rows `row_pitch` apart along y, each guide under its
    /// own heater. Names are "row.stage", counted from zero.
    pub fn rows(rows: usize, stages: usize, pitch: f64, row_pitch: f64) -> Self {
        let place = |at: usize| Place {
            name: format!("{}.{}", at / stages, at % stages),
            x: (at % stages) as f64 * pitch,
            y: (at / stages) as f64 * row_pitch,
        };
        let heaters: Vec<Place> = (0..rows * stages).map(place).collect();
        Layout { guides: heaters.clone(), heaters }
    }

    /// Reads a CSV with the columns `kind,name,x_um,y_um`, kind being `heater` or `guide`; `file` names it in messages.
    ///
    /// # Errors
    /// File and line of what is wrong: another header, an unknown kind, a name used twice, a position that is no number,
    /// no heater or no guide, more than 4096 of either.
    pub fn read_csv(text: &str, file: &str) -> Result<Self, FileError> {
        let mut layout = Layout { heaters: Vec::new(), guides: Vec::new() };
        let mut lines = text.lines().enumerate().filter(|(_, line)| !skipped(line));
        match lines.next() {
            Some((_, header)) if header.trim() == "kind,name,x_um,y_um" => {}
            Some((at, _)) => {
                return Err(FileError::at(file, at + 1, "the header must be kind,name,x_um,y_um"));
            }
            None => return Err(FileError::whole(file, "is empty: the header must be kind,name,x_um,y_um")),
        }
        for (at, line) in lines {
            let wrong = |problem: String| FileError::at(file, at + 1, problem);
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let [kind, name, x, y] = cells[..] else {
                return Err(wrong(format!("{} columns instead of kind,name,x_um,y_um", cells.len())));
            };
            let list = match kind {
                "heater" => &mut layout.heaters,
                "guide" => &mut layout.guides,
                _ => return Err(wrong(format!("the kind `{kind}` is neither `heater` nor `guide`"))),
            };
            if list.iter().any(|place| place.name == name) {
                return Err(wrong(format!("the {kind} `{name}` is there already")));
            }
            if list.len() == MOST {
                return Err(wrong(format!("more than {MOST} of the kind `{kind}`")));
            }
            let position = |text: &str| number(text).map(|um| um * 1e-6).map_err(wrong);
            list.push(Place { name: name.to_owned(), x: position(x)?, y: position(y)? });
        }
        if layout.heaters.is_empty() || layout.guides.is_empty() {
            return Err(FileError::whole(file, "has no heater or no guide"));
        }
        Ok(layout)
    }
}

/// Lines that hold nothing: empty, or a comment.
pub(super) fn skipped(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_grid() {
        let layout = Layout::rows(2, 80, 40e-6, 200e-6);
        assert_eq!(layout.heaters.len(), 160);
        let (a, b) = (&layout.heaters[1], &layout.guides[81]);
        assert_eq!((a.name.as_str(), b.name.as_str()), ("0.1", "1.1"));
        assert!((a.distance(b) - 200e-6).abs() < 1e-18);
    }

    #[test]
    fn files_are_read_and_faults_have_a_line() {
        let good = "kind,name,x_um,y_um\n# two heaters\nheater,a,0,0\nheater,b,30,40\nguide,a,0,0\n";
        let layout = Layout::read_csv(good, "l.csv").unwrap();
        assert!((layout.heaters[1].distance(&layout.guides[0]) - 50e-6).abs() < 1e-18);
        for (old, new, word) in [
            ("heater,b,30,40", "heater,b,30", "l.csv:4"),
            ("heater,b,30,40", "heeter,b,30,40", "heeter"),
            ("heater,b,30,40", "heater,a,30,40", "already"),
            ("heater,b,30,40", "heater,b,NaN,40", "finite"),
            ("guide,a,0,0\n", "", "no guide"),
            ("kind,name", "type,name", "header"),
        ] {
            let error = Layout::read_csv(&good.replace(old, new), "l.csv").unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
        assert!(Layout::read_csv("", "l.csv").is_err());
    }
}
