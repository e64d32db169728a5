//! Networks: layers in a row, their parameters, and the products of a training step.

use crate::NetworkError;
use crate::error::did_you_mean;
use crate::layers::{Affine, Conv2d, Layer, Linear, MaxPool, Product, Relu, Window};
use crate::parameters::{ParameterId, ParameterSpec, Parameters};
use crate::tape::{NodeId, Tape};
use crate::tensor::Shape;
use mirage_arithmetic::{GemmEntry, Pass};

/// The networks that [`Network::by_name`] knows.
pub const NETWORKS: [&str; 1] = ["small-cnn"];

/// Most parameters of a network: 256 MiB, and as much again each for gradients and velocities.
const MOST_PARAMETERS: usize = 1 << 26;

/// Most numbers that the forward pass of a batch may keep: 1 GiB, and about as much again on the way back.
pub(crate) const MOST_ACTIVATIONS: usize = 1 << 28;

/// An architecture: what is computed, not with which numbers.
pub struct Network {
    name: String,
    input: Shape,
    layers: Vec<Box<dyn Layer>>,
    sites: Vec<String>,
    parameters: Vec<ParameterSpec>,
    activations: usize,
}

/// Builds a [`Network`] layer by layer; each is checked against the shape that reaches it.
pub struct NetworkBuilder {
    network: Network,
    shape: Shape,
}

impl Network {
    /// Starts a network for images of `channels` x `height` x `width`.
    pub fn builder(name: &str, channels: usize, height: usize, width: usize) -> NetworkBuilder {
        let input = Shape::new(channels, height, width, 1);
        let (layers, sites, parameters) = (vec![], vec![], vec![]);
        let network = Self { name: name.into(), input, layers, sites, parameters, activations: 0 };
        NetworkBuilder { network, shape: input }
    }

    /// One of [`NETWORKS`] for grey images of `rows` x `columns`.
    ///
    /// # Errors
    /// For a name that is not known, and for images that are too small.
    pub fn by_name(name: &str, rows: usize, columns: usize, classes: usize) -> Result<Self, NetworkError> {
        match name {
            "small-cnn" => Self::small_cnn(rows, columns, classes),
            _ => Err(NetworkError::Unknown {
                name: name.into(),
                known: NETWORKS.join(", "),
                hint: did_you_mean(name, NETWORKS),
            }),
        }
    }

    /// Two convolutions and two dense layers: 16 filters of 5 x 5, 32 filters of 3 x 3, each with a 2 x 2
    /// maximum and a rectifier behind it, then 128 rectified features, then the classes.
    ///
    /// # Errors
    /// When the images are smaller than 12 x 12.
    pub fn small_cnn(rows: usize, columns: usize, classes: usize) -> Result<Self, NetworkError> {
        // The maximum of rectified values is the rectified maximum; this order does a quarter of the work.
        Self::builder("small-cnn", 1, rows, columns)
            .conv2d("conv1", 16, 5, 1, 0)?
            .max_pool("pool1", 2)?
            .relu("relu1")?
            .conv2d("conv2", 32, 3, 1, 0)?
            .max_pool("pool2", 2)?
            .relu("relu2")?
            .linear("dense1", 128)?
            .relu("relu3")?
            .linear("dense2", classes)
            .map(NetworkBuilder::build)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape of one image that it takes.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.layers
    }

    /// What each product site is called: `Site::layer` is an index into this.
    pub fn sites(&self) -> &[String] {
        &self.sites
    }

    /// Its parameters and how they start.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// Numbers that a forward pass keeps for each image: all values, and for each product its second operand.
    pub fn activations(&self) -> usize {
        self.activations
    }

    /// Initial numbers, from `seed` alone.
    pub fn initial(&self, seed: u64) -> Parameters {
        Parameters::initial(&self.parameters, seed)
    }

    /// Puts all layers on the tape; the result is the last one's value.
    ///
    /// # Panics
    /// When `input` is not a batch of [`Network::input`].
    pub fn forward(&self, tape: &mut Tape<'_>, input: NodeId) -> NodeId {
        let shape = tape.value(input).shape();
        assert_eq!(shape, self.input.with_batch(shape.batch), "shape of a batch");
        self.layers.iter().enumerate().fold(input, |value, (index, layer)| {
            tape.enter(index);
            layer.forward(tape, value)
        })
    }

    /// The products of one training step on `batch` images, in the order in which they are done: forward
    /// through the layers, then back, dW before dX in each. The first trained layer needs no dX.
    pub fn products(&self, batch: usize) -> Vec<Product> {
        let mut shape = self.input.with_batch(batch);
        let (mut forward, mut back, mut trained) = (vec![], vec![], false);
        for layer in &self.layers {
            let is_forward = |p: &Product| p.pass == Pass::Forward;
            let (f, b): (Vec<_>, Vec<_>) = layer.products(shape, trained).into_iter().partition(is_forward);
            forward.extend(f);
            back.push(b);
            trained |= layer.is_trained();
            shape = layer.output(shape).expect("the builder has checked all shapes");
        }
        forward.extend(back.into_iter().rev().flatten());
        forward
    }
}

/// The products of one training step of `network` on `batch` images as a GEMM list, in the order in which
/// the trainer does them, each with `repeats` 1. M, K and N follow the paper's orientation (O = W X,
/// dX = W^T dO, dW = dO X^T). A batch of no images needs no products.
pub fn gemm_list(network: &Network, batch: usize) -> Vec<GemmEntry> {
    entries(network, batch, 1)
}

/// The products of one epoch over `images` images: those of a full step as often as there are full batches,
/// then those of the last, smaller batch if there is one. Evaluation is not part of it.
pub fn epoch_gemm_list(network: &Network, images: usize, batch: usize) -> Vec<GemmEntry> {
    let batch = batch.max(1);
    let mut list = entries(network, batch, images / batch);
    list.extend(entries(network, images % batch, 1));
    list
}

fn entries(network: &Network, batch: usize, repeats: usize) -> Vec<GemmEntry> {
    if repeats == 0 || batch == 0 {
        return Vec::new();
    }
    let entry = |product: Product| GemmEntry {
        network: network.name.clone(),
        layer: network.sites[product.site as usize].clone(),
        pass: product.pass,
        m: product.m as u64,
        k: product.k as u64,
        n: product.n as u64,
        repeats: repeats as u64,
    };
    network.products(batch).into_iter().map(entry).collect()
}

impl NetworkBuilder {
    /// A convolution with `filters` square filters of `side`, and a bias each.
    ///
    /// # Errors
    /// When the window does not fit, a size is zero, or the layer is too large.
    pub fn conv2d(
        mut self,
        name: &str,
        filters: usize,
        side: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Self, NetworkError> {
        let channels = self.shape.channels;
        let depth = side.saturating_mul(side).saturating_mul(channels);
        let affine = self.affine(name, filters, depth)?;
        let window = Window { side, stride, padding };
        self.push(Conv2d { name: name.into(), affine, channels, window })
    }

    /// A dense layer with `outputs` features, and a bias each.
    ///
    /// # Errors
    /// When `outputs` is zero, or the layer is too large.
    pub fn linear(mut self, name: &str, outputs: usize) -> Result<Self, NetworkError> {
        let depth = size_within(self.shape, name)?;
        let affine = self.affine(name, outputs, depth)?;
        self.push(Linear { name: name.into(), affine })
    }

    /// Maxima over squares of `side`.
    ///
    /// # Errors
    /// When the square does not fit, is empty, or the images are too large.
    pub fn max_pool(self, name: &str, side: usize) -> Result<Self, NetworkError> {
        self.push(MaxPool { name: name.into(), side })
    }

    /// A rectifier.
    ///
    /// # Errors
    /// When the images are too large.
    pub fn relu(self, name: &str) -> Result<Self, NetworkError> {
        self.push(Relu { name: name.into() })
    }

    /// The network so far.
    pub fn build(self) -> Network {
        self.network
    }

    fn push(mut self, layer: impl Layer + 'static) -> Result<Self, NetworkError> {
        let input = size_within(self.shape, layer.name())?;
        let shape = layer.output(self.shape)?;
        let output = size_within(shape, layer.name())?;
        let operands = layer.products(self.shape, false).into_iter().filter(|p| p.pass == Pass::Forward);
        let operands = operands.fold(0, |sum: usize, p| sum.saturating_add(p.k.saturating_mul(p.n)));
        let kept = if self.network.layers.is_empty() { input } else { self.network.activations };
        let kept = kept.saturating_add(output).saturating_add(operands);
        within(kept as u128, MOST_ACTIVATIONS, "activations of an image", layer.name())?;
        self.network.activations = kept;
        self.shape = shape;
        self.network.layers.push(Box::new(layer));
        Ok(self)
    }

    /// A new product site with its weights (He et al., ICCV 2015: variance 2 / depth, here uniform, so a
    /// bound of sqrt(6 / depth)) and biases (zero).
    fn affine(&mut self, name: &str, outputs: usize, depth: usize) -> Result<Affine, NetworkError> {
        if outputs == 0 || depth == 0 {
            let what = if outputs == 0 { "the number of outputs" } else { "the side of the window" };
            return Err(NetworkError::Zero { layer: name.into(), what });
        }
        let specs = &self.network.parameters;
        let parameters =
            specs.iter().fold((depth as u128 + 1) * outputs as u128, |sum, p| sum + p.len as u128);
        within(parameters, MOST_PARAMETERS, "parameters up to here", name)?;
        let site = u32::try_from(self.network.sites.len()).expect("fewer layers than u32 counts");
        self.network.sites.push(name.into());
        let bound = (6.0 / depth as f32).sqrt();
        let weight = self.parameter(format!("{name}.weight"), outputs * depth, bound, true);
        let bias = self.parameter(format!("{name}.bias"), outputs, 0.0, false);
        Ok(Affine { site, weight, bias, outputs, depth })
    }

    fn parameter(&mut self, name: String, len: usize, bound: f32, decays: bool) -> ParameterId {
        self.network.parameters.push(ParameterSpec { name, len, bound, decays });
        ParameterId::new(self.network.parameters.len() - 1)
    }
}

fn within(numbers: u128, limit: usize, what: &'static str, layer: &str) -> Result<(), NetworkError> {
    if numbers <= limit as u128 {
        return Ok(());
    }
    Err(NetworkError::TooLarge { layer: layer.into(), what, numbers, limit })
}

/// Numbers of an image of this shape, if they are not too many.
fn size_within(shape: Shape, layer: &str) -> Result<usize, NetworkError> {
    let sizes = [shape.channels, shape.height, shape.width];
    let numbers = sizes.iter().fold(1_u128, |product, &size| product.saturating_mul(size as u128));
    within(numbers, MOST_ACTIVATIONS, "activations of an image", layer)?;
    Ok(shape.features())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::gemm::{Fp32, Gemm, Tally};
    use crate::tensor::{Pool, Tensor};
    use mirage_arithmetic::{Counters, Matrix, Site};

    /// Multiplies, and notes what it was asked.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<(Site, [usize; 3])>>);

    impl Gemm for Recorder {
        fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
            self.0.lock().unwrap().push((site, [a.rows(), a.cols(), b.cols()]));
            Fp32.multiply(site, a, b, out)
        }
        fn name(&self) -> &str {
            "recorder"
        }
    }

    #[test]
    fn the_gemm_list_is_exactly_what_the_door_sees() {
        let network = Network::small_cnn(28, 28, 10).unwrap();
        let (batch, step) = (6, 41);
        let parameters = network.initial(1);
        let (mut pool, mut tally) = (Pool::default(), Tally::default());
        let door = Recorder::default();
        let mut tape = Tape::new(&door, &parameters, &mut pool, &mut tally, step);
        let input = tape.input(Tensor::zeros(network.input().with_batch(batch)));
        let logits = network.forward(&mut tape, input);
        let loss = crate::layers::softmax_cross_entropy(&mut tape, logits, &vec![3; batch]);
        tape.backward(loss);
        let seen = door.0.into_inner().unwrap();
        assert!(seen.iter().all(|(site, _)| site.step == step));
        let seen: Vec<GemmEntry> = seen
            .into_iter()
            .map(|(site, [m, k, n])| GemmEntry {
                network: "small-cnn".into(),
                layer: network.sites()[site.layer as usize].clone(),
                pass: site.pass,
                m: m as u64,
                k: k as u64,
                n: n as u64,
                repeats: 1,
            })
            .collect();
        assert_eq!(seen, gemm_list(&network, batch));
    }

    /// Sizes worked out by hand from the shapes of the network for a batch of B images:
    /// conv1 24 x 24 out of 28 x 28, conv2 10 x 10 out of 12 x 12, then 32 x 5 x 5 = 800 features.
    #[test]
    fn the_gemm_list_has_the_sizes_of_the_paper() {
        let network = Network::small_cnn(28, 28, 10).unwrap();
        let b = 64;
        let (f, x, w) = (Pass::Forward, Pass::InputGradient, Pass::WeightGradient);
        let want = [
            ("conv1", f, [16, 25, 576 * b]),
            ("conv2", f, [32, 144, 100 * b]),
            ("dense1", f, [128, 800, b]),
            ("dense2", f, [10, 128, b]),
            ("dense2", w, [10, b, 128]),
            ("dense2", x, [128, 10, b]),
            ("dense1", w, [128, b, 800]),
            ("dense1", x, [800, 128, b]),
            ("conv2", w, [32, 100 * b, 144]),
            ("conv2", x, [144, 32, 100 * b]),
            ("conv1", w, [16, 576 * b, 25]),
        ];
        let got = gemm_list(&network, b as usize);
        let got: Vec<_> = got.iter().map(|e| (e.layer.as_str(), e.pass, [e.m, e.k, e.n])).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn an_epoch_is_its_full_batches_and_the_rest() {
        let network = Network::small_cnn(28, 28, 10).unwrap();
        let list = epoch_gemm_list(&network, 130, 60);
        assert_eq!(list.len(), 22);
        assert!(list[..11].iter().all(|entry| entry.repeats == 2));
        assert!(list[11..].iter().all(|entry| entry.repeats == 1));
        assert_eq!(list[11].n, 576 * 10);
        assert_eq!(epoch_gemm_list(&network, 120, 60).len(), 11);
        assert_eq!(epoch_gemm_list(&network, 20, 60).len(), 11);
        assert!(gemm_list(&network, 0).is_empty());
    }

    #[test]
    fn what_is_too_large_is_refused_with_its_size() {
        let refuse = |network: Result<NetworkBuilder, NetworkError>| network.err().unwrap().to_string();
        let error = Network::small_cnn(20_000, 20_000, 10).err().unwrap().to_string();
        // 400 million pixels are more than may be.
        assert!(
            error.starts_with("layer conv1: 400000000 activations of an image, more than the"),
            "{error}"
        );
        let error = Network::small_cnn(2_000, 2_000, 10).err().unwrap().to_string();
        // The input, and 16 filters and 25 taps at 1996 x 1996 places, fit; conv2 behind it does not: 998 x 998
        // maxima, as many rectified, and 32 filters and 144 taps at 996 x 996 places.
        let sum = 4_000_000_u64 + 41 * 1996 * 1996 + 2 * 16 * 998 * 998 + 176 * 996 * 996;
        assert!(error.starts_with(&format!("layer conv2: {sum} activations of an image")), "{error}");
        let error = Network::small_cnn(800, 800, 10).err().unwrap().to_string();
        let sum = 16 * 26 + 32 * 145 + 128 * (32 * 198 * 198 + 1);
        assert!(error.starts_with(&format!("layer dense1: {sum} parameters up to here")), "{error}");
        let max = usize::MAX;
        refuse(Network::builder("n", max, max, max).relu("r"));
        refuse(Network::builder("n", max, max, max).linear("l", max));
        refuse(Network::builder("n", 1, 8, 8).conv2d("c", max, max, 1, max));
        refuse(Network::builder("n", 1, 8, 8).conv2d("c", 1, 1, 1, max));
        // The usual sizes pass, with the largest batch that a design may ask for.
        let usual = Network::small_cnn(28, 28, 10).unwrap().activations();
        assert!(usual * 4096 <= MOST_ACTIVATIONS, "{usual}");
        assert!(Network::small_cnn(224, 224, 10).unwrap().activations() * 50 <= MOST_ACTIVATIONS);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let error = Network::small_cnn(8, 28, 10).err().unwrap().to_string();
        assert!(error.contains("layer conv2: a window of 3 x 3 does not fit an input of 2 x 12"), "{error}");
        let error = Network::by_name("small-cn", 28, 28, 10).err().unwrap().to_string();
        assert!(error.contains("did you mean \"small-cnn\"?"), "{error}");
        let zero = Network::builder("n", 1, 8, 8).conv2d("c", 4, 0, 1, 0).err().unwrap().to_string();
        assert_eq!(zero, "layer c: the side of the window must be at least 1");
        let zero = Network::builder("n", 1, 8, 8).conv2d("c", 4, 3, 0, 0).err().unwrap().to_string();
        assert_eq!(zero, "layer c: the stride must be at least 1");
    }
}
