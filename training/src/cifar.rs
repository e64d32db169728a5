//! The binary version of CIFAR-10 (Krizhevsky, 2009), plain or gzipped.
//!
//! A file is a row of records of 3,073 bytes: a label from 0 to 9, then the red, the green and the blue pixels of an image of
//! 32 x 32, each row by row. There is no header.

use std::io::BufRead;
use std::path::PathBuf;

use crate::dataset::{CLASSES, Images};
use crate::error::DataError;
use crate::idx::{open, take_plain};
use crate::tensor::Shape;

/// Names of the files, that of the test images last.
pub(crate) const NAMES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

const SHAPE: Shape = Shape::new(3, 32, 32, 1);
const RECORD: usize = 1 + SHAPE.features();

/// Larger files than this are refused: those of CIFAR-10 have 10,000 records, and a gzip bomb has more.
const MOST_RECORDS: usize = 100_000;

/// Reads files of CIFAR-10 one behind the other; gzip is recognised by its first bytes, not by the name.
///
/// # Errors
/// A file that cannot be read, that is no whole number of records or has none or more than 100,000, and labels above 9.
pub(crate) fn read_cifar(files: &[PathBuf]) -> Result<Images, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for path in files {
        parse(open(path)?, &path.display().to_string(), &mut pixels, &mut labels)?;
    }
    Ok(Images::from_pixels(SHAPE, pixels, labels))
}

/// Reads one file of CIFAR-10's binary version from bytes, plain or gzipped; `name` stands for the file in errors.
///
/// # Errors
/// When it is no whole number of records, or has none or more than 100,000, and for labels above 9.
pub fn parse_cifar(bytes: impl BufRead, name: &str) -> Result<Images, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    parse(bytes, name, &mut pixels, &mut labels)?;
    Ok(Images::from_pixels(SHAPE, pixels, labels))
}

fn parse(
    bytes: impl BufRead,
    name: &str,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let most = MOST_RECORDS * RECORD;
    let bytes = take_plain(bytes, most as u64 + 1, name)?;
    if bytes.len() > most {
        let expected = most as u64;
        return Err(DataError::Trailing { file: name.into(), expected });
    }
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        return Err(DataError::Records { file: name.into(), found: bytes.len(), record: RECORD });
    }
    for (item, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, classes) = (record[0], CLASSES);
        if usize::from(label) >= classes {
            return Err(DataError::Label { file: name.into(), item, label, classes });
        }
        labels.push(label);
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;
    use crate::Dataset;
    use crate::tensor::Tensor;

    fn record(label: u8, pixel: impl Fn(usize) -> u8) -> Vec<u8> {
        std::iter::once(label).chain((0..3072).map(pixel)).collect()
    }

    fn write_set(folder: &Path) {
        for (file, name) in NAMES.iter().enumerate() {
            let bytes =
                [record(file as u8, |i| (i / 1024 * 100 + file) as u8), record(9, |i| (i % 251) as u8)];
            std::fs::write(folder.join(name), bytes.concat()).unwrap();
        }
    }

    #[test]
    fn records_become_images_with_planes_of_colour() {
        let folder = tempfile::tempdir().unwrap();
        write_set(folder.path());
        let data = Dataset::from_folder(folder.path()).unwrap();
        assert_eq!((data.train().len(), data.test().len()), (10, 2));
        assert_eq!(data.train().shape(), Shape::new(3, 32, 32, 1));
        assert_eq!(data.train().labels(), [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]);
        assert_eq!(data.test().labels(), [5, 9]);
        // Each channel is standardised by itself: mean 0, variance 1 over the training images.
        let items: Vec<u32> = (0..10).collect();
        let mut batch = Tensor::zeros(SHAPE.with_batch(10));
        data.fill(data.train(), (&items, None), &mut batch, &mut Vec::new());
        for plane in batch.data().chunks_exact(1024 * 10) {
            let moment = |power| plane.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / 10_240.0;
            assert!(moment(1).abs() < 1e-5 && (moment(2) - 1.0).abs() < 1e-4);
        }
        // The same bytes zipped.
        let path = folder.path().join(NAMES[5]);
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(&std::fs::read(&path).unwrap()).unwrap();
        std::fs::write(folder.path().join("test_batch.bin.gz"), zipped.finish().unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(Dataset::from_folder(folder.path()).unwrap(), data);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refuse = |bytes: &[u8]| parse_cifar(bytes, "f.bin").unwrap_err().to_string();
        let error = refuse(&record(1, |_| 0)[..3000]);
        assert!(
            error.starts_with("f.bin: 3000 bytes are no whole number of records of 3073 bytes"),
            "{error}"
        );
        assert!(refuse(&[]).contains("0 bytes are no whole number"));
        assert!(refuse(&record(10, |_| 0)).contains("label 10 of item 0"));
        let large = vec![0; (MOST_RECORDS + 1) * RECORD];
        assert!(refuse(&large).contains("more bytes than the 307300000"));
    }

    #[test]
    fn folders_say_what_they_lack() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Dataset::from_folder(folder.path()).unwrap_err().to_string();
        let error = open();
        assert!(error.contains("holds no images") && error.contains("cifar-10-binary.tar.gz"), "{error}");
        let inner = folder.path().join("cifar-10-batches-bin");
        std::fs::create_dir(&inner).unwrap();
        write_set(&inner);
        let error = open();
        assert!(error.contains("did you mean") && error.contains("cifar-10-batches-bin?"), "{error}");
        write_set(folder.path());
        std::fs::remove_file(folder.path().join("data_batch_3.bin")).unwrap();
        let error = open();
        assert!(error.contains("neither data_batch_3.bin nor data_batch_3.bin.gz is there"), "{error}");
        std::fs::write(folder.path().join("t10k-labels-idx1-ubyte"), []).unwrap();
        let error = open();
        assert!(error.contains("holds both t10k-labels-idx1-ubyte and data_batch_1.bin"), "{error}");
    }
}
