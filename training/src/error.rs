use std::path::PathBuf;

/// What a folder of an MNIST-like set holds, and where to get one.
pub(crate) const IDX: &str = "the four IDX files of an MNIST-like set (train-images-idx3-ubyte, train-labels-idx1-ubyte, \
     t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each plain or with .gz; Debian packages the full Fashion-MNIST as \
     dataset-fashion-mnist)";

/// What a folder of CIFAR-10 holds, and where to get it.
pub(crate) const CIFAR: &str = "the six files of CIFAR-10's binary version (data_batch_1.bin to data_batch_5.bin and \
     test_batch.bin, each plain or with .gz; unpack cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html)";

const EXPECTED: &str = "either the four IDX files of an MNIST-like set (train-images-idx3-ubyte, train-labels-idx1-ubyte, \
     t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each plain or with .gz; Debian packages the full Fashion-MNIST as \
     dataset-fashion-mnist) or the six of CIFAR-10's binary version (data_batch_1.bin to data_batch_5.bin and test_batch.bin; \
     unpack cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html)";

/// Why images and labels could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder itself is not there, or is not a folder.
    #[error("{}: no such folder; expected a folder that holds {EXPECTED}", folder.display())]
    NoFolder {
        /// The folder that was asked for.
        folder: PathBuf,
    },
    /// The folder holds the beginning of no set.
    #[error(
        "{}: holds no images; expected {EXPECTED}{}", folder.display(),
        inner.as_ref().map_or(String::new(), |inner| format!("; did you mean {}?", inner.display()))
    )]
    NoSet {
        /// The folder that was searched.
        folder: PathBuf,
        /// A folder in it that does hold a set.
        inner: Option<PathBuf>,
    },
    /// The folder holds files of two kinds of sets.
    #[error(
        "{}: holds both {} and {}; keep the IDX files and those of CIFAR-10 in folders of their own",
        folder.display(), idx, cifar
    )]
    TwoSets {
        /// The folder that was searched.
        folder: PathBuf,
        /// A file of an IDX set.
        idx: String,
        /// A file of CIFAR-10.
        cifar: String,
    },
    /// One of the files of a set is missing.
    #[error("{}: neither {name} nor {name}.gz is there; the folder must hold {expected}", folder.display())]
    NoFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The name without `.gz`.
        name: String,
        /// What it should hold, and where that comes from.
        expected: &'static str,
    },
    /// A file of CIFAR-10 is no whole number of records.
    #[error(
        "{file}: {found} bytes are no whole number of records of {record} bytes (a label, then 32 x 32 pixels of red, of \
         green, of blue); is this the binary version of CIFAR-10?"
    )]
    Records {
        /// The file.
        file: String,
        /// Bytes of the file.
        found: usize,
        /// Bytes of a record.
        record: usize,
    },
    /// The operating system refused to read a file.
    #[error("{file}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system, or the gzip decoder, said.
        source: std::io::Error,
    },
    /// The first four bytes are not those of the expected kind of IDX file.
    #[error("{file}: starts with {found}, but an IDX file of {kind} starts with {expected:#010x}")]
    Magic {
        /// The file.
        file: String,
        /// "images" or "labels".
        kind: &'static str,
        /// The number that stands there.
        found: String,
        /// The number that should stand there.
        expected: u32,
    },
    /// A size in the header is zero, or the whole is larger than this reader accepts.
    #[error("{file}: the header announces {sizes}, {problem}")]
    Sizes {
        /// The file.
        file: String,
        /// The sizes of the header.
        sizes: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The file ends before the bytes that its header announces.
    #[error("{file}: truncated: {found} bytes follow the header, which announces {expected}")]
    Truncated {
        /// The file.
        file: String,
        /// Bytes after the header.
        found: u64,
        /// Bytes that the header announces.
        expected: u64,
    },
    /// The file goes on behind the bytes that its header announces.
    #[error("{file}: more bytes than the {expected} that its header announces")]
    Trailing {
        /// The file.
        file: String,
        /// Bytes that the header announces.
        expected: u64,
    },
    /// A label is not a class.
    #[error("{file}: label {label} of item {item} is out of range; labels go from 0 to {}", classes - 1)]
    Label {
        /// The file.
        file: String,
        /// Index of the item, from 0.
        item: usize,
        /// The label.
        label: u8,
        /// How many classes there are.
        classes: usize,
    },
    /// Images and labels do not belong together.
    #[error("{images} holds {image_count} images, but {labels} holds {label_count} labels")]
    Counts {
        /// File of the images.
        images: String,
        /// File of the labels.
        labels: String,
        /// Number of images.
        image_count: usize,
        /// Number of labels.
        label_count: usize,
    },
    /// Training and test images differ in shape.
    #[error("training images are {train} pixels, test images {test}; both must be the same")]
    Shapes {
        /// Rows x columns of the training images, and channels where there are several.
        train: String,
        /// The same of the test images.
        test: String,
    },
}

/// Why a text could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// Neither a file nor a folder.
    #[error("{}: no such file or folder; expected {expected}", path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
        /// What it should be, and where to get it.
        expected: &'static str,
    },
    /// A folder without such a file.
    #[error("{}: holds no such file; expected {expected}", folder.display())]
    Empty {
        /// The folder that was searched.
        folder: PathBuf,
        /// What it should hold, and where to get it.
        expected: &'static str,
    },
    /// A folder with several.
    #[error("{}: holds more than one such file; name the one that is meant: {names}", folder.display())]
    Several {
        /// The folder that was searched.
        folder: PathBuf,
        /// The files.
        names: String,
    },
    /// The operating system, or the gzip decoder, refused.
    #[error("{file}: cannot be read: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// What it said.
        source: std::io::Error,
    },
    /// More than is accepted.
    #[error("{file}: more than {limit} bytes of text; use a part of it")]
    Large {
        /// The file.
        file: String,
        /// The most bytes that are accepted.
        limit: u64,
    },
    /// Bytes that are no text.
    #[error("{file}, line {line}: not UTF-8; convert it, for example with `iconv -t UTF-8`")]
    Utf8 {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// A line that is no pair.
    #[error("{file}, line {line}: {problem}; expected a sentence, one tab and its translation")]
    Pair {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Too little to train and to test on.
    #[error("{file}: {found}, which is too little: {needed}")]
    Short {
        /// The file.
        file: String,
        /// What there is.
        found: String,
        /// What there must be.
        needed: String,
    },
}

impl TextError {
    pub(crate) fn unreadable(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Unreadable { file: path.display().to_string(), source }
    }
}

/// Why a network cannot be built for an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The window of a layer is larger than what it slides over.
    #[error(
        "layer {layer}: a window of {window} x {window} does not fit an input of {height} x {width} \
         (padding {padding}); use larger images"
    )]
    Window {
        /// Name of the layer.
        layer: String,
        /// Side of the window.
        window: usize,
        /// Height of the input.
        height: usize,
        /// Width of the input.
        width: usize,
        /// Zeros added on each side.
        padding: usize,
    },
    /// A layer gets a number of channels or features that it was not made for.
    #[error("layer {layer}: made for {expected} input features, but gets {found}")]
    Features {
        /// Name of the layer.
        layer: String,
        /// What the weights were made for.
        expected: usize,
        /// What arrives.
        found: usize,
    },
    /// More numbers than a network may have.
    #[error(
        "layer {layer}: {numbers} {what}, more than the {limit} that are accepted; use smaller images or a smaller layer"
    )]
    TooLarge {
        /// Name of the layer.
        layer: String,
        /// Numbers of what: parameters or activations of an image.
        what: &'static str,
        /// How many.
        numbers: u128,
        /// The most that are accepted.
        limit: usize,
    },
    /// The groups of a convolution do not divide its channels and filters.
    #[error("layer {layer}: {groups} groups do not divide {channels} channels and {filters} filters")]
    Groups {
        /// Name of the layer.
        layer: String,
        /// Groups.
        groups: usize,
        /// Channels that arrive.
        channels: usize,
        /// Filters.
        filters: usize,
    },
    /// The heads of an attention do not divide its channels.
    #[error("layer {layer}: {heads} heads do not divide {channels} channels")]
    Heads {
        /// Name of the layer.
        layer: String,
        /// Heads.
        heads: usize,
        /// Channels.
        channels: usize,
    },
    /// A cross-attention outside a decoder.
    #[error("layer {layer}: attention to a source, but there is no encoder; it belongs in a decoder")]
    NoSource {
        /// Name of the layer.
        layer: String,
    },
    /// Body and shortcut of a residual block do not fit each other.
    #[error(
        "block {layer}: its body gives {body}, its shortcut {shortcut}; both must be the same to be added"
    )]
    Branches {
        /// Name of the block.
        layer: String,
        /// Channels x height x width.
        body: String,
        /// Channels x height x width.
        shortcut: String,
    },
    /// The rate of a dropout is none.
    #[error("layer {layer}: a rate of {rate}; it must be at least 0 and below 1")]
    Rate {
        /// Name of the layer.
        layer: String,
        /// The rate.
        rate: String,
    },
    /// A size is zero.
    #[error("layer {layer}: {what} must be at least 1")]
    Zero {
        /// Name of the layer.
        layer: String,
        /// Which size.
        what: &'static str,
    },
    /// A network for one sequence, or two, on data that has another number.
    #[error("{name} reads {expected} sequences in each example, but the data has {found}")]
    Sides {
        /// The network.
        name: String,
        /// Sequences that it reads.
        expected: usize,
        /// Sequences that there are.
        found: usize,
    },
    /// No network of that name.
    #[error("no network is called \"{name}\"; known: {known}{hint}")]
    Unknown {
        /// The name.
        name: String,
        /// All names.
        known: String,
        /// A question about the closest one, or nothing.
        hint: String,
    },
}

/// ` (did you mean "x"?)` for the known name that is closest, if one is close.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    mirage_design::closest(name, known).map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"))
}
