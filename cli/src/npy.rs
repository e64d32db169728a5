//! NumPy's .npy files of float32 matrices (format 1.0 to 3.0, NEP 1).

use std::path::Path;

use mirage_arithmetic::Matrix;

use crate::error::{CliError, Result};
use crate::folder::write_whole;

/// A matrix read from a file.
#[derive(Debug)]
pub struct Npy {
    rows: usize,
    cols: usize,
    fortran: bool,
    data: Vec<f32>,
}

const MAGIC: &[u8] = b"\x93NUMPY";

impl Npy {
    /// Reads a two-dimensional float32 array.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| CliError::read(path, e))?;
        Self::parse(&bytes).map_err(|m| CliError::message(format!("{}: {m}", path.display())))
    }

    /// The values as a matrix.
    pub fn matrix(&self) -> Matrix<'_> {
        if self.fortran {
            Matrix::new(&self.data, self.cols, self.rows).transposed()
        } else {
            Matrix::new(&self.data, self.rows, self.cols)
        }
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("is no .npy file: it does not begin with \\x93NUMPY")?;
        let cut = || "is cut short inside its header".to_owned();
        let (&version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let (length, rest) = match version[0] {
            1 => {
                let (n, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
                (usize::from(u16::from_le_bytes(*n)), rest)
            }
            2 | 3 => {
                let (n, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
                (u32::from_le_bytes(*n) as usize, rest)
            }
            v => return Err(format!("has format version {v}; versions 1 to 3 are known")),
        };
        let (header, body) = rest.split_at_checked(length).ok_or_else(cut)?;
        let header = std::str::from_utf8(header).map_err(|_| "has a header that is no text".to_owned())?;
        let kind = field(header, "descr")?;
        if kind != "'<f4'" {
            return Err(format!("holds {kind}; float32 is needed: save x.astype('<f4')"));
        }
        let fortran = match field(header, "fortran_order")? {
            "True" => true,
            "False" => false,
            other => return Err(format!("has fortran_order {other}; True or False is expected")),
        };
        let (rows, cols) = shape(field(header, "shape")?)?;
        let count = rows.checked_mul(cols).and_then(|n| n.checked_mul(4));
        if count != Some(body.len()) {
            let (have, want) = (body.len(), count.map_or("too many".into(), |n| n.to_string()));
            return Err(format!(
                "a {rows} x {cols} float32 array needs {want} bytes of data; the file has {have}"
            ));
        }
        let data = body.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok(Self { rows, cols, fortran, data })
    }
}

/// The text of a value in the header's Python dictionary.
fn field<'a>(header: &'a str, name: &str) -> std::result::Result<&'a str, String> {
    let missing = || format!("has no `{name}` in its header");
    let at = header.find(&format!("'{name}':")).ok_or_else(missing)?;
    let text = header[at + name.len() + 3..].trim_start();
    let end = if text.starts_with('(') { text.find(')').map(|i| i + 1) } else { text.find([',', '}']) };
    end.map(|i| text[..i].trim()).ok_or_else(missing)
}

fn shape(text: &str) -> std::result::Result<(usize, usize), String> {
    let inner = text.trim_start_matches('(').trim_end_matches(')');
    let sizes: Vec<usize> = inner
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| s.parse().map_err(|_| format!("has a shape {text} that is not understood")))
        .collect::<std::result::Result<_, _>>()?;
    match sizes[..] {
        [rows, cols] => Ok((rows, cols)),
        _ => Err(format!("has {} dimensions; a matrix with 2 is needed", sizes.len())),
    }
}

/// Writes a row-major float32 matrix, whole or not at all.
pub fn write(path: &Path, rows: usize, cols: usize, data: &[f32]) -> Result<()> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}");
    // Magic, version, length and header together fill a multiple of 64 bytes, the last of which ends the line.
    while !(MAGIC.len() + 4 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| CliError::message("the header is too long"))?;
    let mut bytes = [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat();
    bytes.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    write_whole(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[f32]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        let mut bytes = [MAGIC, &[1, 0], &length, header.as_bytes()].concat();
        bytes.extend(data.iter().flat_map(|x| x.to_le_bytes()));
        bytes
    }

    #[test]
    fn both_orders_give_the_same_matrix() {
        let c =
            file("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", &[1., 2., 3., 4., 5., 6.]);
        let f = file("{'shape': (2, 3), 'fortran_order': True, 'descr': '<f4'}", &[1., 4., 2., 5., 3., 6.]);
        for bytes in [c, f] {
            let npy = Npy::parse(&bytes).unwrap();
            assert_eq!(npy.matrix().at(1, 0), 4.0);
            assert_eq!((npy.matrix().rows(), npy.matrix().cols()), (2, 3));
        }
    }

    #[test]
    fn wrong_files_are_refused() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
        for (bytes, says) in [
            (b"PK".to_vec(), "no .npy"),
            (file(good, &[1.0]), "needs 8 bytes"),
            (file(good, &[1.0; 3]), "needs 8 bytes"),
            (file(&good.replace("<f4", "<f8"), &[1.0, 2.0]), "float32 is needed"),
            (file(&good.replace("(1, 2)", "(2,)"), &[1.0, 2.0]), "1 dimensions"),
            (file(&good.replace("(1, 2)", "(-1, 2)"), &[1.0, 2.0]), "not understood"),
            (file(&good.replace("shape", "form"), &[1.0, 2.0]), "no `shape`"),
            (file(&good.replace("(1, 2)", "(99999999999, 99999999999)"), &[]), "too many"),
            (file(good, &[1.0, 2.0])[..20].to_vec(), "cut short"),
        ] {
            let error = Npy::parse(&bytes).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
