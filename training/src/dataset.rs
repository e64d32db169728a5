//! Images with labels, and the batches that are cut from them.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::augment::Variation;
use crate::cifar;
use crate::error::{CIFAR, DataError, IDX};
use crate::examples::Part;
use crate::idx::{IdxImages, parse_idx_images, parse_idx_labels, read_idx_images, read_idx_labels};
use crate::tensor::{Shape, Tensor};

/// Classes of MNIST, Fashion-MNIST and their kin.
pub const CLASSES: usize = 10;

/// Names of the files of an MNIST-like set.
const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Images of one shape, each with its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Of one image.
    shape: Shape,
    /// Image after image; in each channel after channel, row by row.
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

/// A set to train on and a set to test on, with images of the same size.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    train: Images,
    test: Images,
    // For each channel, what each byte of a pixel becomes: mean 0 and standard deviation 1 over the training images.
    levels: Vec<[f32; 256]>,
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
        let shape = Shape::new(1, images.rows, images.columns, 1);
        Ok(Self { shape, pixels: images.pixels, labels })
    }

    /// Images of `shape` whose pixels lie image after image, channel after channel.
    pub(crate) fn from_pixels(shape: Shape, pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), labels.len() * shape.features(), "pixels");
        Self { shape, pixels, labels }
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Channels, rows and columns of an image, as a batch of one.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All pixels, image after image, in each channel after channel, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The class of each image, below [`CLASSES`].
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    fn truncated(&self, count: usize) -> Self {
        let count = count.min(self.len());
        let pixels = self.pixels[..count * self.shape.features()].to_vec();
        Self { shape: self.shape, pixels, labels: self.labels[..count].to_vec() }
    }
}

impl Dataset {
    /// Joins a training and a test set, and takes mean and standard deviation of the training pixels.
    ///
    /// # Errors
    /// [`DataError::Shapes`] when the images differ in size.
    pub fn new(train: Images, test: Images) -> Result<Self, DataError> {
        if train.shape != test.shape {
            let text = |shape: Shape| match shape.channels {
                1 => format!("{} x {}", shape.height, shape.width),
                channels => format!("{} x {} in {channels} channels", shape.height, shape.width),
            };
            return Err(DataError::Shapes { train: text(train.shape), test: text(test.shape) });
        }
        let levels = (0..train.shape.channels).map(|channel| standardised(&train, channel)).collect();
        Ok(Self { train, test, levels })
    }

    /// Reads the files of a folder: the four of an MNIST-like set (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    /// `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`), or the six of CIFAR-10's binary version (`data_batch_1.bin` to
    /// `data_batch_5.bin`, `test_batch.bin`), each plain or with `.gz` behind its name; the plain one is taken where both are
    /// there.
    ///
    /// # Errors
    /// Says which file is missing or wrong, what was expected, and where to get it.
    pub fn from_folder(folder: &Path) -> Result<Self, DataError> {
        if !folder.is_dir() {
            return Err(DataError::NoFolder { folder: folder.into() });
        }
        match (first_of(folder, &NAMES), first_of(folder, &cifar::NAMES)) {
            (Some(idx), Some(cifar)) => Err(DataError::TwoSets { folder: folder.into(), idx, cifar }),
            (Some(_), None) => Self::idx_folder(folder),
            (None, Some(_)) => Self::cifar_folder(folder),
            (None, None) => {
                let inner = inner_folder(folder);
                Err(DataError::NoSet { folder: folder.into(), inner })
            }
        }
    }

    fn idx_folder(folder: &Path) -> Result<Self, DataError> {
        let part = |images: &str, labels: &str| {
            let (images, labels) = (find(folder, images, IDX)?, find(folder, labels, IDX)?);
            let names = [images.display().to_string(), labels.display().to_string()];
            let pixels = read_idx_images(&images)?;
            Images::new(pixels, read_idx_labels(&labels, CLASSES)?, [&names[0], &names[1]])
        };
        Self::new(part(NAMES[0], NAMES[1])?, part(NAMES[2], NAMES[3])?)
    }

    fn cifar_folder(folder: &Path) -> Result<Self, DataError> {
        let paths = cifar::NAMES.map(|name| find(folder, name, CIFAR));
        let paths: Vec<PathBuf> = paths.into_iter().collect::<Result<_, _>>()?;
        let (test, train) = paths.split_last().expect("six files");
        Self::new(cifar::read_cifar(train)?, cifar::read_cifar(std::slice::from_ref(test))?)
    }

    pub(crate) fn part(&self, part: Part) -> &Images {
        match part {
            Part::Train => &self.train,
            Part::Test => &self.test,
        }
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

    /// SHA-256 of all that training sees: shape, pixels, their scale, labels.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [&self.train, &self.test] {
            let Shape { channels, height, width, .. } = part.shape;
            for size in [channels, height, width, part.len()] {
                hash.update((size as u64).to_le_bytes());
            }
            hash.update(&part.pixels);
            hash.update(&part.labels);
        }
        self.levels.iter().flatten().for_each(|level| hash.update(level.to_bits().to_le_bytes()));
        hash.finalize().into()
    }

    /// Fills `batch` (the images' channels x rows x columns x `items.len()`) with images of `part`, standardised and, if so
    /// asked, varied, and `labels` with their classes. `items` must be indices of `part`, which must be a part of this set.
    pub(crate) fn fill(
        &self,
        part: &Images,
        (items, variation): (&[u32], Option<Variation>),
        batch: &mut Tensor,
        labels: &mut Vec<u8>,
    ) {
        let (features, width) = (part.shape.features(), items.len());
        let plane = features / part.shape.channels;
        debug_assert_eq!(batch.data().len(), features * width);
        labels.clear();
        let mut varied = vec![0; if variation.is_some() { features } else { 0 }];
        let out = batch.data_mut();
        for (column, &item) in items.iter().enumerate() {
            labels.push(part.labels[item as usize]);
            let mut image = &part.pixels[item as usize * features..][..features];
            if let Some(variation) = variation {
                variation.of(item).apply(image, part.shape, &mut varied);
                image = &varied;
            }
            let planes = out.chunks_exact_mut(plane * width).zip(image.chunks_exact(plane));
            for ((out, image), levels) in planes.zip(&self.levels) {
                for (row, &pixel) in out.chunks_exact_mut(width).zip(image) {
                    row[column] = levels[usize::from(pixel)];
                }
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

fn find(folder: &Path, name: &str, expected: &'static str) -> Result<PathBuf, DataError> {
    found(folder, name).ok_or_else(|| DataError::NoFile {
        folder: folder.into(),
        name: name.into(),
        expected,
    })
}

fn found(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

/// The first of these files that the folder holds.
fn first_of(folder: &Path, names: &[&str]) -> Option<String> {
    names.iter().find(|name| found(folder, name).is_some()).map(|&name| name.to_owned())
}

/// A folder in this one that holds a set: archives unpack to one. The first by name.
fn inner_folder(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let holds = |path: &PathBuf| first_of(path, &NAMES).or_else(|| first_of(path, &cifar::NAMES)).is_some();
    entries.filter(holds).min()
}

/// (x - mean) / standard deviation of a channel for each value of a byte; integer sums, so no order of summation.
fn standardised(images: &Images, channel: usize) -> [f32; 256] {
    let plane = images.shape.height * images.shape.width;
    let mut counts = [0_u64; 256];
    for image in images.pixels.chunks_exact(images.shape.features().max(1)) {
        for &pixel in &image[channel * plane..][..plane] {
            counts[usize::from(pixel)] += 1;
        }
    }
    let moment = |power: u32| -> f64 {
        let sum: u64 = counts.iter().zip(0_u64..).map(|(&count, value)| count * value.pow(power)).sum();
        sum as f64 / (images.len() * plane).max(1) as f64
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

    #[test]
    fn the_subset_is_what_it_should_be() {
        let data = fashion_mnist_subset().unwrap();
        assert_eq!((data.train().len(), data.test().len()), (10_000, 2_000));
        assert_eq!(data.train().shape(), Shape::new(1, 28, 28, 1));
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
        data.fill(data.train(), (&items, None), &mut batch, &mut labels);
        assert_eq!(labels, data.train().labels()[..1000]);
        let count = batch.data().len() as f64;
        let mean = batch.data().iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let square = batch.data().iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        let pixel = data.train.pixels[7 * 784 + 300];
        assert_eq!(batch.data()[300 * 1000 + 7], data.levels[0][usize::from(pixel)]);
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
        assert!(Dataset::new(part(2), part(2)).unwrap().levels[0].iter().all(|level| level.is_finite()));
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
