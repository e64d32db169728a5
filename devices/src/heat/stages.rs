//! Heaters and guides of one MDPU, each at its stage, as a design file names them.

use crate::files::FileError;
use crate::heat::layout::{Layout, Place};
use crate::heat::matrix::MatrixFile;
use nalgebra::DMatrix;
use std::collections::HashMap;

/// The largest crosstalk that is one: a guide that feels another's heater more than its own is a slip of the pen.
const MOST: f64 = 1.0;

/// How the heaters of an MDPU reach its guides: a layout or a measured matrix over its stages.
///
/// Stages are named `mmu.digit`, both counted from zero, MMUs along the light and digits in the order of
/// [`crate::Digits::weights`]. A file holds every stage of a grid of MMUs and digits, in any order. An MDPU whose modulus has
/// fewer digits takes the first digits of every MMU: chips are laid out for the largest modulus.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaterMap {
    group: usize,
    digits: usize,
    source: Source,
}

/// Everything in the order of stages: MMU by MMU, digit by digit.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    Placed(Layout),
    Measured(DMatrix<f64>),
}

impl HeaterMap {
    /// Reads a layout, [`Layout::read_csv`], with one heater and one guide for each stage.
    ///
    /// # Errors
    /// As [`Layout::read_csv`]; names that are no stages; stages that are missing.
    pub fn read_layout(text: &str, file: &str) -> Result<Self, FileError> {
        let layout = Layout::read_csv(text, file)?;
        let names = |places: &[Place]| places.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        let guides = Stages::of("guide", &names(&layout.guides), file)?;
        let heaters = Stages::of("heater", &names(&layout.heaters), file)?;
        guides.same_as(&heaters, file)?;
        let sorted = |places: &[Place], stages: &Stages| {
            stages.order.iter().map(|&at| places[at].clone()).collect::<Vec<_>>()
        };
        let layout =
            Layout { guides: sorted(&layout.guides, &guides), heaters: sorted(&layout.heaters, &heaters) };
        Ok(HeaterMap { group: guides.group, digits: guides.digits, source: Source::Placed(layout) })
    }

    /// Reads a measured matrix: a header `guide,HEATER,...`, then for each guide its name and rad/rad for each heater; heaters and
    /// guides named by their stages.
    ///
    /// # Errors
    /// As [`crate::heat::ThermalMatrix::read_csv`]; names that are no stages; stages that are missing; what a heater does to its
    /// own guide, which is its calibrated curve and must be left at zero; numbers beyond one.
    pub fn read_matrix(text: &str, file: &str) -> Result<Self, FileError> {
        let read = MatrixFile::read(text, file)?;
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let guides = Stages::of("guide", &owned(&read.guides), file)?;
        let heaters = Stages::of("heater", &owned(&read.heaters), file)?;
        guides.same_as(&heaters, file)?;
        let stages = guides.order.len();
        let entries = DMatrix::from_fn(stages, stages, |guide, heater| {
            read.entries[guides.order[guide] * stages + heaters.order[heater]]
        });
        for (at, &line) in read.lines.iter().enumerate() {
            let row = &read.entries[at * stages..(at + 1) * stages];
            for (&value, &heater) in row.iter().zip(&read.heaters) {
                let own = heater == read.guides[at];
                if own && value != 0.0 {
                    let problem = format!(
                        "heater `{heater}` on its own guide is {value}: leave 0, its own effect is its calibrated curve"
                    );
                    return Err(FileError::at(file, line, problem));
                }
                if value.abs() > MOST {
                    let problem =
                        format!("{value} of heater `{heater}` is no crosstalk: at most {MOST} rad/rad");
                    return Err(FileError::at(file, line, problem));
                }
            }
        }
        Ok(HeaterMap { group: guides.group, digits: guides.digits, source: Source::Measured(entries) })
    }

    /// MMUs, and digits of each.
    pub fn size(&self) -> (usize, usize) {
        (self.group, self.digits)
    }

    /// Whether the matrix was measured, so that no law of distance is needed.
    pub fn is_measured(&self) -> bool {
        matches!(self.source, Source::Measured(_))
    }

    /// Where the guide of a stage lies, m; none without a layout, or outside it.
    pub fn guide(&self, mmu: usize, digit: usize) -> Option<(f64, f64)> {
        match &self.source {
            Source::Placed(layout) if digit < self.digits => {
                layout.guides.get(mmu * self.digits + digit).map(|place| (place.x, place.y))
            }
            _ => None,
        }
    }

    /// What the map lacks for `group` MMUs of `digits` digits, if anything.
    pub(crate) fn fault(&self, group: usize, digits: usize) -> Option<String> {
        let fits = self.group == group && self.digits >= digits;
        (!fits).then(|| {
            format!(
                "is for {} MMUs of {} digits; {group} MMUs of at least {digits} digits are needed: stages 0.0 to {}.{}",
                self.group,
                self.digits,
                group.saturating_sub(1),
                digits.saturating_sub(1)
            )
        })
    }

    /// The crosstalk matrix over the first `digits` digits of every MMU, rows guides, columns heaters; without a measured matrix
    /// `coefficient` x exp(-distance/`decay`).
    pub(crate) fn matrix(&self, digits: usize, coefficient: f64, decay: f64) -> DMatrix<f64> {
        let stages = self.group * digits;
        let at = |stage: usize| stage / digits.max(1) * self.digits + stage % digits.max(1);
        DMatrix::from_fn(stages, stages, |guide, heater| match &self.source {
            _ if guide == heater => 0.0,
            Source::Measured(entries) => entries[(at(guide), at(heater))],
            Source::Placed(layout) => {
                let distance = layout.guides[at(guide)].distance(&layout.heaters[at(heater)]);
                coefficient * (-distance / decay).exp()
            }
        })
    }
}

/// A full grid of stages among the names of a file.
struct Stages {
    kind: &'static str,
    group: usize,
    digits: usize,
    /// For each stage the place of its name in the file.
    order: Vec<usize>,
}

impl Stages {
    /// The grid that `names`, all different, span.
    fn of(kind: &'static str, names: &[String], file: &str) -> Result<Self, FileError> {
        let mut known: HashMap<(usize, usize), usize> = HashMap::new();
        let (mut group, mut digits) = (0, 0);
        for (at, name) in names.iter().enumerate() {
            let stage = stage(name).ok_or_else(|| {
                let problem = format!(
                    "the {kind} `{name}` is no stage: stages are called mmu.digit, both counted from zero, as 0.0 or 15.5"
                );
                FileError::whole(file, problem)
            })?;
            known.insert(stage, at);
            (group, digits) = (group.max(stage.0 + 1), digits.max(stage.1 + 1));
        }
        // Names are few, but their numbers may be large: the first stage that is missing comes early.
        let order: Result<Vec<usize>, FileError> = (0..group)
            .flat_map(|mmu| (0..digits).map(move |digit| (mmu, digit)))
            .map(|stage| {
                known.get(&stage).copied().ok_or_else(|| {
                    let problem = format!(
                        "has {} {kind}s, up to stage {}.{}, but no {kind} `{}.{}`: every stage needs one",
                        names.len(),
                        group - 1,
                        digits - 1,
                        stage.0,
                        stage.1
                    );
                    FileError::whole(file, problem)
                })
            })
            .collect();
        Ok(Stages { kind, group, digits, order: order? })
    }

    fn same_as(&self, other: &Stages, file: &str) -> Result<(), FileError> {
        if (self.group, self.digits) == (other.group, other.digits) {
            return Ok(());
        }
        let side = |s: &Stages| format!("{}s of {} MMUs of {} digits", s.kind, s.group, s.digits);
        Err(FileError::whole(
            file,
            format!("has {} but {}: each heater needs its own guide", side(self), side(other)),
        ))
    }
}

/// The MMU and the digit of a name, written in one way only.
fn stage(name: &str) -> Option<(usize, usize)> {
    let (mmu, digit) = name.split_once('.')?;
    let number = |text: &str| -> Option<usize> {
        let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        let value = plain.then(|| text.parse().ok()).flatten()?;
        (text.len() == 1 || !text.starts_with('0')).then_some(value)
    };
    Some((number(mmu)?, number(digit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two MMUs of two digits, guides and heaters in different orders.
    const MATRIX: &str = "guide,1.1,0.0,0.1,1.0\n0.1,0.3,0.1,0,0.2\n0.0,0.03,0,0.01,0.02\n\
                          1.0,0.4,0.5,0.6,0\n# the last\n1.1,0,0.7,0.8,0.9\n";
    const LAYOUT: &str = "kind,name,x_um,y_um\nheater,0.0,0,0\nheater,0.1,40,0\nheater,1.1,40,30\nheater,1.0,0,30\n\
                          guide,1.0,0,30\nguide,0.0,0,0\nguide,0.1,40,0\nguide,1.1,40,30\n";

    #[test]
    fn matrices_stand_in_the_order_of_stages() {
        let map = HeaterMap::read_matrix(MATRIX, "m.csv").unwrap();
        assert_eq!((map.size(), map.is_measured(), map.guide(0, 0)), ((2, 2), true, None));
        let expected = [0.0, 0.01, 0.02, 0.03, 0.1, 0.0, 0.2, 0.3, 0.5, 0.6, 0.0, 0.4, 0.7, 0.8, 0.9, 0.0];
        assert_eq!(map.matrix(2, 7.0, 1.0), DMatrix::from_row_slice(4, 4, &expected));
        // One digit: stages 0.0 and 1.0.
        assert_eq!(map.matrix(1, 7.0, 1.0), DMatrix::from_row_slice(2, 2, &[0.0, 0.02, 0.5, 0.0]));
        assert_eq!(map.fault(2, 1), None);
        for (group, digits) in [(2, 3), (3, 2), (1, 1)] {
            let fault = map.fault(group, digits).unwrap();
            let last = format!("0.0 to {}.{}", group - 1, digits - 1);
            assert!(fault.contains("2 MMUs of 2 digits") && fault.contains(&last), "{fault}");
        }
    }

    #[test]
    fn layouts_follow_the_law_of_distance() {
        let map = HeaterMap::read_layout(LAYOUT, "l.csv").unwrap();
        assert_eq!((map.size(), map.is_measured()), ((2, 2), false));
        let (x, y) = map.guide(1, 0).unwrap();
        assert!(x == 0.0 && (y - 30e-6).abs() < 1e-18 && map.guide(0, 2).is_none());
        let matrix = map.matrix(2, 0.1, 50e-6);
        // 40 um along, 30 um across, 50 um between 0.0 and 1.1.
        for (at, distance) in [((0, 1), 0.8), ((0, 2), 0.6), ((0, 3), 1.0), ((1, 2), 1.0)] {
            assert!((matrix[at] - 0.1 * f64::exp(-distance)).abs() < 1e-15, "{at:?}");
        }
        assert_eq!(matrix.diagonal().amax(), 0.0);
        assert!((map.matrix(1, 0.1, 50e-6)[(0, 1)] - 0.1 * f64::exp(-0.6)).abs() < 1e-15);
    }

    #[test]
    fn faults_are_named() {
        for (old, new, says) in [
            ("0.03,0,0.01", "0.03,0.02,0.01", "m.csv:3: heater `0.0` on its own guide is 0.02"),
            ("0.7", "1.7", "m.csv:6: 1.7 of heater `0.0` is no crosstalk"),
            ("0.7", "seven", "m.csv:6: `seven` is not a number"),
            ("guide,1.1", "guide,1.2", "has 4 heaters, up to stage 1.2, but no heater `0.2`"),
            ("guide,1.1", "guide,0.1", "m.csv:1: the heater `0.1` is there already"),
            ("\n1.0,", "\n0.1,", "m.csv:4: the guide `0.1` is there already"),
            ("\n1.0,", "\n1.00,", "the guide `1.00` is no stage"),
            ("\n1.0,", "\nlast,", "the guide `last` is no stage"),
            ("1.1,0,0.7,0.8,0.9\n", "", "has 3 guides, up to stage 1.1, but no guide `1.1`"),
        ] {
            assert!(MATRIX.contains(old), "{old}");
            let text = MATRIX.replacen(old, new, 1);
            let error = HeaterMap::read_matrix(&text, "m.csv").unwrap_err().to_string();
            assert!(error.contains(says), "{new}: {error}");
        }
        let short = "guide,0.0,0.1\n0.0,0,0.1\n";
        let error = HeaterMap::read_matrix(short, "m.csv").unwrap_err().to_string();
        assert!(error.contains("guides of 1 MMUs of 1 digits but heaters of 1 MMUs of 2 digits"), "{error}");
        for (old, new, says) in [
            ("guide,1.1,40,30\n", "", "has 3 guides"),
            ("heater,1.1", "heater,1.10", "but no heater"),
            ("heater,1.1", "heater,99999.0", "is no stage"),
            ("heater,0.1,40,0", "heater,0.1,40,x", "l.csv:3"),
        ] {
            let error =
                HeaterMap::read_layout(&LAYOUT.replacen(old, new, 1), "l.csv").unwrap_err().to_string();
            assert!(error.contains(says), "{new}: {error}");
        }
    }
}
