//! The networks that have a name.

mod language;

use crate::builder::{Conv, NetworkBuilder};
use crate::error::did_you_mean;
use crate::tensor::Shape;
use crate::{Network, NetworkError};

pub use language::LANGUAGE_NETWORKS;

/// The networks of images, which [`Network::by_name`] knows.
pub const NETWORKS: [&str; 3] = ["small-cnn", "resnet20", "mobilenet-small"];

type Built = Result<NetworkBuilder, NetworkError>;

impl Network {
    /// Whether a network of images, or one that reads text, is called so.
    ///
    /// # Errors
    /// For a name that is not known, with all that are.
    pub fn check_name(name: &str) -> Result<(), NetworkError> {
        if NETWORKS.into_iter().chain(LANGUAGE_NETWORKS).any(|known| known == name) {
            return Ok(());
        }
        Err(unknown(name))
    }

    /// One of [`NETWORKS`] for images of the given shape.
    ///
    /// # Errors
    /// For a name that is not known, and for images that are too small or too large.
    pub fn by_name(name: &str, image: Shape, classes: usize) -> Result<Self, NetworkError> {
        let built = match name {
            "small-cnn" => small_cnn(image, classes),
            "resnet20" => resnet20(image, classes),
            "mobilenet-small" => mobilenet_small(image, classes),
            _ => return Err(unknown(name)),
        };
        built.map(NetworkBuilder::build)
    }

    /// The network `small-cnn` for grey images of `rows` x `columns`: two convolutions and two dense layers. 16 filters of
    /// 5 x 5, 32 filters of 3 x 3, each with a 2 x 2 maximum and a rectifier behind it, then 128 rectified features, then the
    /// classes.
    ///
    /// # Errors
    /// When the images are smaller than 12 x 12.
    pub fn small_cnn(rows: usize, columns: usize, classes: usize) -> Result<Self, NetworkError> {
        Self::by_name("small-cnn", Shape::new(1, rows, columns, 1), classes)
    }
}

fn unknown(name: &str) -> NetworkError {
    let all = [&NETWORKS[..], &LANGUAGE_NETWORKS].concat();
    let (known, hint) = (all.join(", "), did_you_mean(name, all));
    NetworkError::Unknown { name: name.into(), known, hint }
}

fn begin(name: &str, image: Shape) -> NetworkBuilder {
    Network::builder(name, image.channels, image.height, image.width)
}

fn small_cnn(image: Shape, classes: usize) -> Built {
    // The maximum of rectified values is the rectified maximum; this order does a quarter of the work.
    begin("small-cnn", image)
        .conv2d("conv1", Conv::new(16, 5))?
        .max_pool("pool1", 2)?
        .relu("relu1")?
        .conv2d("conv2", Conv::new(32, 3))?
        .max_pool("pool2", 2)?
        .relu("relu2")?
        .linear("dense1", 128)?
        .relu("relu3")?
        .linear("dense2", classes)
}

/// The residual network of 20 layers of He et al. (CVPR 2016, section 4.2): a convolution with 16 filters, three stages of
/// three blocks with 16, 32 and 64 filters, each block two convolutions of 3 x 3 beside a shortcut without parameters
/// (option A), the second and third stage with a stride of 2 at their beginning; the mean of each channel, and the classes.
/// A batch norm follows each convolution. On images of 3 x 32 x 32 with 10 classes, 269,722 trained numbers.
fn resnet20(image: Shape, classes: usize) -> Built {
    let mut network = normalised(begin("resnet20", image), "conv1", conv3(16))?.relu("conv1.relu")?;
    for (stage, filters) in (1..).zip([16, 32, 64]) {
        for block in 1..=3 {
            let stride = if stage > 1 && block == 1 { 2 } else { 1 };
            network = residual_block(network, &format!("stage{stage}.block{block}"), filters, stride)?;
        }
    }
    network.global_average_pool("pool")?.linear("dense", classes)
}

fn residual_block(network: NetworkBuilder, name: &str, filters: usize, stride: usize) -> Built {
    let (first, second) = (format!("{name}.conv1"), format!("{name}.conv2"));
    let body = |network| {
        let network = normalised(network, &first, conv3(filters).stride(stride))?;
        normalised(network.relu(&format!("{first}.relu"))?, &second, conv3(filters))
    };
    let shortcut = |network: NetworkBuilder| match stride {
        1 => Ok(network),
        _ => network.padded_shortcut(&format!("{name}.shortcut"), filters, stride),
    };
    network.residual(name, body, shortcut)?.relu(&format!("{name}.relu"))
}

/// A small network in the manner of MobileNetV2 (Sandler et al., CVPR 2018, table 2): inverted residuals with depthwise
/// convolutions, for images of about 32 x 32. A convolution with 16 filters; blocks with (expansion, filters, repeats, first
/// stride) of (1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 2, 2), (4, 64, 2, 1); a convolution of 1 x 1 with 128 filters; the mean of
/// each channel, and the classes. On images of 3 x 32 x 32 with 10 classes, 86,922 trained numbers.
fn mobilenet_small(image: Shape, classes: usize) -> Built {
    let network = begin("mobilenet-small", image);
    let mut network = normalised(network, "conv1", conv3(16))?.relu6("conv1.relu")?;
    let stages = [(1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 2, 2), (4, 64, 2, 1)];
    for (stage, (expansion, filters, repeats, first_stride)) in (1..).zip(stages) {
        for block in 1..=repeats {
            let stride = if block == 1 { first_stride } else { 1 };
            let name = format!("stage{stage}.block{block}");
            network = inverted_residual(network, &name, expansion, filters, stride)?;
        }
    }
    let network = normalised(network, "conv2", Conv::new(128, 1).without_bias())?.relu6("conv2.relu")?;
    network.global_average_pool("pool")?.linear("dense", classes)
}

/// Widens by 1 x 1, filters each channel by itself with 3 x 3, narrows by 1 x 1 without a rectifier; the value itself is added
/// where its shape is still the same (Sandler et al., figure 3).
fn inverted_residual(
    network: NetworkBuilder,
    name: &str,
    expansion: usize,
    filters: usize,
    stride: usize,
) -> Built {
    let channels = network.shape().channels;
    let wide = channels.saturating_mul(expansion);
    let (widen, depthwise, narrow) =
        (format!("{name}.widen"), format!("{name}.depthwise"), format!("{name}.narrow"));
    let body = |network: NetworkBuilder| {
        let network = if expansion == 1 {
            network
        } else {
            normalised(network, &widen, Conv::new(wide, 1).without_bias())?.relu6(&format!("{widen}.relu"))?
        };
        let network = normalised(network, &depthwise, conv3(wide).stride(stride).groups(wide))?;
        let network = network.relu6(&format!("{depthwise}.relu"))?;
        normalised(network, &narrow, Conv::new(filters, 1).without_bias())
    };
    if stride == 1 && channels == filters { network.residual(name, body, Ok) } else { body(network) }
}

/// 3 x 3, keeping the size of the image, for a batch norm to follow.
fn conv3(filters: usize) -> Conv {
    Conv::new(filters, 3).padding(1).without_bias()
}

fn normalised(network: NetworkBuilder, name: &str, conv: Conv) -> Built {
    network.conv2d(name, conv)?.batch_norm(&format!("{name}.norm"))
}
