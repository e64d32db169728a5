//! The IDX format of MNIST and its kin, plain or gzipped.
//!
//! A file is a big-endian magic number (`0x0000_0803` for images, `0x0000_0801` for labels: two zero
//! bytes, type 8 = unsigned byte, number of dimensions), one big-endian `u32` per dimension, then the
//! bytes, last dimension fastest.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::DataError;

const IMAGE_MAGIC: u32 = 0x0000_0803;
const LABEL_MAGIC: u32 = 0x0000_0801;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Larger files than this are refused: MNIST-like sets are 20 times smaller, and a gzip bomb is not.
const LARGEST: u64 = 1 << 30;

/// Grey images of one size, as an IDX file holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images.
    pub count: usize,
    /// Rows of an image.
    pub rows: usize,
    /// Columns of an image.
    pub columns: usize,
    /// `count * rows * columns` bytes, row by row, image after image.
    pub pixels: Vec<u8>,
}

/// Reads an IDX file of images; gzip is recognised by its first bytes, not by its name.
///
/// # Errors
/// Anything that is not exactly one such file: see [`DataError`].
pub fn read_idx_images(path: &Path) -> Result<IdxImages, DataError> {
    let name = path.display().to_string();
    parse_idx_images(open(path)?, &name)
}

/// Reads an IDX file of labels; gzip is recognised by its first bytes, not by its name.
///
/// # Errors
/// Anything that is not exactly one such file, and labels that are not below `classes`.
pub fn read_idx_labels(path: &Path, classes: usize) -> Result<Vec<u8>, DataError> {
    let name = path.display().to_string();
    parse_idx_labels(open(path)?, &name, classes)
}

/// As [`read_idx_images`], from bytes; `name` stands for the file in errors.
///
/// # Errors
/// As [`read_idx_images`].
pub fn parse_idx_images(bytes: impl BufRead, name: &str) -> Result<IdxImages, DataError> {
    let (sizes, pixels) = parse(bytes, name, "images", IMAGE_MAGIC)?;
    let [count, rows, columns] = sizes;
    Ok(IdxImages { count, rows, columns, pixels })
}

/// As [`read_idx_labels`], from bytes; `name` stands for the file in errors.
///
/// # Errors
/// As [`read_idx_labels`].
pub fn parse_idx_labels(bytes: impl BufRead, name: &str, classes: usize) -> Result<Vec<u8>, DataError> {
    let ([_count], labels) = parse(bytes, name, "labels", LABEL_MAGIC)?;
    match labels.iter().position(|&label| usize::from(label) >= classes) {
        Some(item) => Err(DataError::Label { file: name.into(), item, label: labels[item], classes }),
        None => Ok(labels),
    }
}

/// Opens a file.
pub(crate) fn open(path: &Path) -> Result<impl BufRead, DataError> {
    let file = std::fs::File::open(path)
        .map_err(|source| DataError::Unreadable { file: path.display().to_string(), source })?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn parse<const D: usize>(
    mut bytes: impl BufRead,
    name: &str,
    kind: &'static str,
    magic: u32,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let start = bytes.fill_buf().map_err(|source| unreadable(name, source))?;
    if start.starts_with(&GZIP_MAGIC) {
        parse_plain(MultiGzDecoder::new(bytes), name, kind, magic)
    } else {
        parse_plain(bytes, name, kind, magic)
    }
}

fn parse_plain<const D: usize>(
    mut bytes: impl Read,
    name: &str,
    kind: &'static str,
    magic: u32,
) -> Result<([usize; D], Vec<u8>), DataError> {
    let head = take(&mut bytes, 4, name)?;
    let found = <[u8; 4]>::try_from(head.as_slice()).ok().map(u32::from_be_bytes);
    if found != Some(magic) {
        let found = match found {
            Some(number) => format!("{number:#010x}"),
            None => format!("only {} bytes", head.len()),
        };
        return Err(DataError::Magic { file: name.into(), kind, found, expected: magic });
    }
    let (sizes, expected) = header::<D>(&mut bytes, name)?;
    // Memory grows with what really arrives; the header alone reserves nothing.
    let body = take(&mut bytes, expected + 1, name)?;
    let found = body.len() as u64;
    if found < expected {
        return Err(DataError::Truncated { file: name.into(), found, expected });
    }
    if found > expected {
        return Err(DataError::Trailing { file: name.into(), expected });
    }
    Ok((sizes, body))
}

/// The sizes behind the magic number, and how many bytes they announce.
fn header<const D: usize>(bytes: &mut impl Read, name: &str) -> Result<([usize; D], u64), DataError> {
    let raw = take(bytes, 4 * D as u64, name)?;
    if raw.len() < 4 * D {
        let expected = 4 * D as u64;
        return Err(DataError::Truncated {
            file: format!("{name} (header)"),
            found: raw.len() as u64,
            expected,
        });
    }
    let mut sizes = [0_u64; D];
    for (size, four) in sizes.iter_mut().zip(raw.chunks_exact(4)) {
        *size = four.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    }
    let bad = |problem: String| {
        let sizes = sizes.map(|size| size.to_string()).join(" x ");
        DataError::Sizes { file: name.into(), sizes, problem }
    };
    if sizes.contains(&0) {
        return Err(bad("but no size may be 0".into()));
    }
    let total = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
    match total.filter(|&total| total <= LARGEST) {
        // Each size divides a total that fits 31 bits, so each fits a usize.
        Some(total) => Ok((sizes.map(|size| size as usize), total)),
        None => Err(bad(format!("more than the {LARGEST} bytes that are accepted"))),
    }
}

/// Up to `limit` bytes of a file that may be gzipped.
pub(crate) fn take_plain(mut bytes: impl BufRead, limit: u64, name: &str) -> Result<Vec<u8>, DataError> {
    let start = bytes.fill_buf().map_err(|source| unreadable(name, source))?;
    if start.starts_with(&GZIP_MAGIC) {
        take(&mut MultiGzDecoder::new(bytes), limit, name)
    } else {
        take(&mut bytes, limit, name)
    }
}

/// Up to `limit` bytes; fewer when the file ends.
fn take(bytes: &mut impl Read, limit: u64, name: &str) -> Result<Vec<u8>, DataError> {
    let mut all = Vec::new();
    bytes.take(limit).read_to_end(&mut all).map_err(|source| unreadable(name, source))?;
    Ok(all)
}

fn unreadable(name: &str, source: std::io::Error) -> DataError {
    DataError::Unreadable { file: name.into(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn images(count: u32, rows: u32, columns: u32, bytes: usize) -> Vec<u8> {
        let mut file = IMAGE_MAGIC.to_be_bytes().to_vec();
        for size in [count, rows, columns] {
            file.extend(size.to_be_bytes());
        }
        file.extend((0..bytes).map(|i| i as u8));
        file
    }

    fn labels(values: &[u8]) -> Vec<u8> {
        let mut file = LABEL_MAGIC.to_be_bytes().to_vec();
        file.extend((values.len() as u32).to_be_bytes());
        file.extend(values);
        file
    }

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn refuse(bytes: &[u8]) -> String {
        let plain = parse_idx_images(bytes, "f").unwrap_err().to_string();
        let zipped = parse_idx_images(zip(bytes).as_slice(), "f").unwrap_err().to_string();
        assert_eq!(plain, zipped);
        plain
    }

    #[test]
    fn plain_and_gzipped_images_are_the_same() {
        let file = images(2, 3, 4, 24);
        let plain = parse_idx_images(file.as_slice(), "f").unwrap();
        assert_eq!((plain.count, plain.rows, plain.columns), (2, 3, 4));
        assert_eq!(plain.pixels, (0..24).collect::<Vec<u8>>());
        assert_eq!(parse_idx_images(zip(&file).as_slice(), "f").unwrap(), plain);
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let file = images(2, 3, 4, 24);
        for length in 0..file.len() {
            refuse(&file[..length]);
        }
        let zipped = zip(&file);
        for length in 0..zipped.len() {
            assert!(parse_idx_images(&zipped[..length], "f").is_err(), "cut at {length}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(
            refuse(&images(2, 3, 4, 23))
                .contains("truncated: 23 bytes follow the header, which announces 24")
        );
        assert!(refuse(&images(2, 3, 4, 25)).contains("more bytes than the 24"));
        assert!(refuse(&images(2, 0, 4, 0)).contains("no size may be 0"));
        assert!(refuse(&images(u32::MAX, u32::MAX, u32::MAX, 9)).contains("more than the 1073741824 bytes"));
        assert!(refuse(&labels(&[1, 2])).contains("0x00000801"));
        assert!(refuse(b"ab").contains("only 2 bytes"));
        // A header that announces a gigabyte is believed only as far as bytes arrive.
        assert!(refuse(&images(1 << 20, 32, 32, 9)).contains("truncated"));
    }

    #[test]
    fn a_flipped_byte_in_the_gzip_stream_is_noticed() {
        let mut zipped = zip(&images(2, 3, 4, 24));
        let last = zipped.len() - 6;
        zipped[last] ^= 1;
        assert!(matches!(parse_idx_images(zipped.as_slice(), "f"), Err(DataError::Unreadable { .. })));
    }

    #[test]
    fn labels_must_be_classes() {
        assert_eq!(parse_idx_labels(labels(&[0, 9]).as_slice(), "f", 10).unwrap(), [0, 9]);
        let error = parse_idx_labels(labels(&[0, 9, 10]).as_slice(), "f", 10).unwrap_err().to_string();
        assert_eq!(error, "f: label 10 of item 2 is out of range; labels go from 0 to 9");
    }
}
