//! What foundries say of their processes.

use crate::files::{FileError, number};
use mirage_design::closest;
use roxmltree::{Document, Node};
use std::sync::LazyLock;

const LIBRARY: &str = include_str!("../../../data/siepic-fdtd/process_variation.xml");

static PROCESSES: LazyLock<Result<Vec<Process>, FileError>> =
    LazyLock::new(|| Process::read_xml(LIBRARY, "process_variation.xml"));

/// A quantity that varies over a wafer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Standard deviation over the wafer, m.
    pub deviation: f64,
    /// Correlation length, m.
    pub correlation: f64,
    /// Standard deviation from wafer to wafer, m: the same for a whole chip.
    pub wafer: f64,
}

/// Variations of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// Of the guides' width.
    pub width: Spread,
    /// Of their thickness.
    pub thickness: Spread,
}

impl Process {
    /// The processes that come with the toolkit (`data/siepic-fdtd/process_variation.xml`).
    ///
    /// # Errors
    /// None in a sound build: the file is part of it, and a test reads it.
    pub fn library() -> Result<&'static [Process], FileError> {
        PROCESSES.as_deref().map_err(Clone::clone)
    }

    /// The process of the library with this name.
    ///
    /// # Errors
    /// The names there are, the closest first.
    pub fn find(name: &str) -> Result<&'static Process, String> {
        let all = Self::library().map_err(|e| e.to_string())?;
        all.iter().find(|p| p.name == name).ok_or_else(|| {
            let names = || all.iter().map(|p| p.name.as_str());
            match closest(name, names()) {
                Some(near) => format!("no process is called `{name}`: did you mean `{near}`?"),
                None => format!(
                    "no process is called `{name}`: there are {}",
                    names().collect::<Vec<_>>().join(", ")
                ),
            }
        })
    }

    /// Reads the form of the SiEPIC kit: `technology` with `name`, `wafer` and `wafer_to_wafer`, each with `width` and
    /// `height` (or `thickness`) of `std_dev` in nm and `corr_length` in m.
    ///
    /// # Errors
    /// File and line of what is missing or no number above zero.
    pub fn read_xml(text: &str, file: &str) -> Result<Vec<Process>, FileError> {
        let document = Document::parse(text)
            .map_err(|e| FileError::at(file, e.pos().row as usize, format!("is not XML: {e}")))?;
        let reader = Reader { file, document: &document };
        let technologies = document.root_element().children().filter(|n| n.has_tag_name("technology"));
        let processes: Vec<Process> =
            technologies.map(|node| reader.process(node)).collect::<Result<_, _>>()?;
        if processes.is_empty() {
            return Err(FileError::whole(file, "has no `technology`"));
        }
        Ok(processes)
    }
}

struct Reader<'a> {
    file: &'a str,
    document: &'a Document<'a>,
}

impl<'a> Reader<'a> {
    fn wrong(&self, node: Node, problem: String) -> FileError {
        let line = self.document.text_pos_at(node.range().start).row;
        FileError::at(self.file, line as usize, problem)
    }

    /// The child with one of these names.
    fn child(&self, node: Node<'a, 'a>, names: &[&str]) -> Result<Node<'a, 'a>, FileError> {
        let found = node.children().find(|n| n.is_element() && names.contains(&n.tag_name().name()));
        found.ok_or_else(|| {
            self.wrong(node, format!("`{}` has no `{}`", node.tag_name().name(), names.join("` or `")))
        })
    }

    fn number(&self, node: Node<'a, 'a>, name: &str) -> Result<f64, FileError> {
        let child = self.child(node, &[name])?;
        let value = number(child.text().unwrap_or_default().trim()).map_err(|e| self.wrong(child, e))?;
        if value > 0.0 { Ok(value) } else { Err(self.wrong(child, format!("`{name}` must be above zero"))) }
    }

    fn process(&self, node: Node<'a, 'a>) -> Result<Process, FileError> {
        let (wafer, between) = (self.child(node, &["wafer"])?, self.child(node, &["wafer_to_wafer"])?);
        let spread = |names: &[&str]| -> Result<Spread, FileError> {
            let (local, common) = (self.child(wafer, names)?, self.child(between, names)?);
            Ok(Spread {
                deviation: self.number(local, "std_dev")? * 1e-9,
                correlation: self.number(local, "corr_length")?,
                wafer: self.number(common, "std_dev")? * 1e-9,
            })
        };
        let name = self.child(node, &["name"])?.text().unwrap_or_default().trim().to_owned();
        Ok(Process { name, width: spread(&["width"])?, thickness: spread(&["height", "thickness"])? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foundries_numbers_are_read() {
        let all = Process::library().unwrap();
        assert_eq!(all.len(), 2);
        let p = Process::find("Electron Beam Lithography (Applied Nanotools)").unwrap();
        assert!((p.width.deviation - 1.132e-9).abs() < 1e-20 && (p.thickness.wafer - 3e-9).abs() < 1e-20);
        assert_eq!((p.width.correlation, p.thickness.correlation), (12.23e-3, 8.72e-3));
        let error = Process::find("Electron Beam Lithography (Applied Nanotool)").unwrap_err();
        assert!(error.contains("did you mean") && error.contains("Nanotools"), "{error}");
        assert!(Process::find("x").unwrap_err().contains("University of Washington"));
    }

    #[test]
    fn faults_have_their_line() {
        for (old, new, word) in [
            ("<std_dev>1.132</std_dev>", "<std_dev>x</std_dev>", "p.xml:7: `x` is not a number"),
            ("<std_dev>1.132</std_dev>", "<std_dev>-1</std_dev>", "above zero"),
            ("<std_dev>1.132</std_dev>", "", "`width` has no `std_dev`"),
            ("</technologies>", "", "is not XML"),
        ] {
            assert!(LIBRARY.contains(old));
            let error = Process::read_xml(&LIBRARY.replacen(old, new, 1), "p.xml").unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
        assert!(Process::read_xml("<technologies/>", "p.xml").is_err());
    }
}
