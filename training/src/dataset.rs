//! Images with labels, and the batches that are cut from them.

use std::path::{Path, PathBuf};

use crate::DataError;
use crate::idx::{IdxImages, parse_idx_images, parse_idx_labels, read_idx_images, read_idx_labels};
use crate::tensor::Tensor;

/// Classes of MNIST, Fashion-MNIST and their kin.
pub const CLASSES: usize = 10;

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Grey images of one size, each with its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    images: IdxImages,
    labels: Vec<u8>,
}

/// A set to train on and a set to test on, with images of the same size.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    train: Images,
    test: Images,
    // What each byte of a pixel becomes: mean 0 and standard deviation 1 over the training images.
    levels: Box<[f32; 256]>,
}

impl Images {
    /// Puts images and labels together; `names` are those of the two files, for the error.
    ///
    /// # Errors
    /// [`DataError::Counts`] when there are not as many labels as images.
    pub fn new(images: IdxImages, labels: Vec<u8>, names: [&str; 2]) -> Result<Self, DataError> {
        if images.count != labels.len() {
            return Err(DataError::Counts {
                images: names[0].into(),
                labels: names[1].into(),
                image_count: images.count,
                label_count: labels.len(),
            });
        }
        Ok(Self { images, labels })
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Rows and columns of an image.
    pub fn size(&self) -> (usize, usize) {
        (self.images.rows, self.images.columns)
    }

    /// The class of each image, below [`CLASSES`].
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    fn truncated(&self, count: usize) -> Self {
        let count = count.min(self.len());
        let pixels = self.images.pixels[..count * self.images.rows * self.images.columns].to_vec();
        Self { images: IdxImages { count, pixels, ..self.images }, labels: self.labels[..count].to_vec() }
    }
}

impl Dataset {
    /// Joins a training and a test set, and takes mean and standard deviation of the training pixels.
    ///
    /// # Errors
    /// [`DataError::Shapes`] when the images differ in size.
    pub fn new(train: Images, test: Images) -> Result<Self, DataError> {
        if train.size() != test.size() {
            let text = |(rows, columns): (usize, usize)| format!("{rows} x {columns}");
            return Err(DataError::Shapes { train: text(train.size()), test: text(test.size()) });
        }
        let levels = Box::new(standardised(&train.images.pixels));
        Ok(Self { train, test, levels })
    }

    /// Reads the four files of an MNIST-like set (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    /// `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`), each plain or with `.gz` behind its name; the
    /// plain one is taken where both are there.
    ///
    /// # Errors
    /// Says which file is missing or wrong, and what was expected.
    pub fn from_folder(folder: &Path) -> Result<Self, DataError> {
        if !folder.is_dir() {
            return Err(DataError::NoFolder { folder: folder.into(), expected: NAMES.join(", ") });
        }
        let part = |images: &str, labels: &str| {
            let (images, labels) = (find(folder, images)?, find(folder, labels)?);
            let names = [images.display().to_string(), labels.display().to_string()];
            let pixels = read_idx_images(&images)?;
            Images::new(pixels, read_idx_labels(&labels, CLASSES)?, [&names[0], &names[1]])
        };
        Self::new(part(NAMES[0], NAMES[1])?, part(NAMES[2], NAMES[3])?)
    }

    /// The images to train on.
    pub fn train(&self) -> &Images {
        &self.train
    }

    /// The images to test on.
    pub fn test(&self) -> &Images {
        &self.test
    }

    /// The same set with at most so many images of each kind, the first ones; pixels keep the scale that
    /// they have in the whole set.
    #[must_use]
    pub fn first(&self, train: usize, test: usize) -> Self {
        Self {
            train: self.train.truncated(train),
            test: self.test.truncated(test),
            levels: self.levels.clone(),
        }
    }

    /// Fills `batch` (1 channel x rows x columns x `items.len()`) with images of `part`, standardised, and
    /// `labels` with their classes. `items` must be indices of `part`, which must be a part of this set.
    pub(crate) fn fill(&self, part: &Images, items: &[u32], batch: &mut Tensor, labels: &mut Vec<u8>) {
        let pixels = part.images.rows * part.images.columns;
        let width = items.len();
        debug_assert_eq!(batch.data().len(), pixels * width);
        labels.clear();
        let out = batch.data_mut();
        for (column, &item) in items.iter().enumerate() {
            let item = item as usize;
            labels.push(part.labels[item]);
            let image = &part.images.pixels[item * pixels..][..pixels];
            for (row, &pixel) in out.chunks_exact_mut(width).zip(image) {
                row[column] = self.levels[usize::from(pixel)];
            }
        }
    }
}

/// The files of [`fashion_mnist_subset`] with their names, as they are inside the program: training images and labels,
/// test images and labels.
pub const FASHION_MNIST_FILES: [(&str, &[u8]); 4] = {
    macro_rules! file {
        ($name:literal) => {
            ($name, include_bytes!(concat!("../../data/fashion-mnist/", $name)))
        };
    }
    [
        file!("train-images-idx3-ubyte.gz"),
        file!("train-labels-idx1-ubyte.gz"),
        file!("t10k-images-idx3-ubyte.gz"),
        file!("t10k-labels-idx1-ubyte.gz"),
    ]
};

/// The Fashion-MNIST subset that comes with the toolkit (10,000 training and 2,000 test images of 28 x 28;
/// Zalando Research, MIT licence), from inside the program.
///
/// # Errors
/// None unless the program was built from damaged files.
pub fn fashion_mnist_subset() -> Result<Dataset, DataError> {
    let part = |images: (&str, &[u8]), labels: (&str, &[u8])| {
        let pixels = parse_idx_images(images.1, images.0)?;
        Images::new(pixels, parse_idx_labels(labels.1, labels.0, CLASSES)?, [images.0, labels.0])
    };
    let [a, b, c, d] = FASHION_MNIST_FILES;
    Dataset::new(part(a, b)?, part(c, d)?)
}

fn find(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    [folder.join(name), folder.join(format!("{name}.gz"))]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::NoFile { folder: folder.into(), name: name.into() })
}

/// (x - mean) / standard deviation for each value of a byte; integer sums, so no order of summation.
fn standardised(pixels: &[u8]) -> [f32; 256] {
    let mut counts = [0_u64; 256];
    for &pixel in pixels {
        counts[usize::from(pixel)] += 1;
    }
    let moment = |power: u32| -> f64 {
        let sum: u64 = counts.iter().zip(0_u64..).map(|(&count, value)| count * value.pow(power)).sum();
        sum as f64 / (pixels.len().max(1)) as f64
    };
    let mean = moment(1);
    let variance = (moment(2) - mean * mean).max(0.0);
    // Images of a single grey carry nothing; their scale is arbitrary.
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    std::array::from_fn(|value| ((value as f64 - mean) / deviation) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    #[test]
    fn the_subset_is_what_it_should_be() {
        let data = fashion_mnist_subset().unwrap();
        assert_eq!((data.train().len(), data.test().len()), (10_000, 2_000));
        assert_eq!(data.train().size(), (28, 28));
        let mut counts = [0; CLASSES];
        data.train().labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        // Fashion-MNIST's first training image is an ankle boot (class 9).
        assert_eq!(data.train().labels()[0], 9);
    }

    #[test]
    fn a_batch_is_standardised_with_the_image_last() {
        let data = fashion_mnist_subset().unwrap();
        let items: Vec<u32> = (0..1000).collect();
        let mut batch = Tensor::zeros(Shape::new(1, 28, 28, items.len()));
        let mut labels = Vec::new();
        data.fill(data.train(), &items, &mut batch, &mut labels);
        assert_eq!(labels, data.train().labels()[..1000]);
        let count = batch.data().len() as f64;
        let mean = batch.data().iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let square = batch.data().iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        let pixel = data.train.images.pixels[7 * 784 + 300];
        assert_eq!(batch.data()[300 * 1000 + 7], data.levels[usize::from(pixel)]);
    }

    #[test]
    fn counts_and_sizes_must_agree() {
        let images =
            |count: usize, rows| IdxImages { count, rows, columns: 2, pixels: vec![0; count * rows * 2] };
        let error = Images::new(images(3, 2), vec![0; 2], ["a", "b"]).unwrap_err().to_string();
        assert_eq!(error, "a holds 3 images, but b holds 2 labels");
        let part = |rows| Images::new(images(3, rows), vec![0; 3], ["a", "b"]).unwrap();
        let error = Dataset::new(part(2), part(3)).unwrap_err().to_string();
        assert!(error.contains("training images are 2 x 2 pixels, test images 3 x 2"), "{error}");
        // A set of a single grey has no spread; it must still give numbers.
        assert!(Dataset::new(part(2), part(2)).unwrap().levels.iter().all(|level| level.is_finite()));
    }

    #[test]
    fn folders_are_read_plain_or_zipped_and_missing_files_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("set");
        let error = Dataset::from_folder(&folder).unwrap_err().to_string();
        assert!(error.contains("no such folder") && error.contains(NAMES[0]), "{error}");
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/fashion-mnist");
        for name in &NAMES[..3] {
            std::fs::copy(source.join(format!("{name}.gz")), folder.join(format!("{name}.gz"))).unwrap();
        }
        let error = Dataset::from_folder(&folder).unwrap_err().to_string();
        assert!(error.contains("neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"), "{error}");
        // Zipped bytes under the plain name: the content decides.
        std::fs::copy(source.join(format!("{}.gz", NAMES[3])), folder.join(NAMES[3])).unwrap();
        assert_eq!(Dataset::from_folder(&folder).unwrap(), fashion_mnist_subset().unwrap());
    }

    #[test]
    fn the_first_images_keep_their_scale() {
        let data = fashion_mnist_subset().unwrap();
        let few = data.first(5, 100_000);
        assert_eq!((few.train().len(), few.test().len()), (5, 2_000));
        assert_eq!(few.levels, data.levels);
    }
}
