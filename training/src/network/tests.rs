use std::sync::Mutex;

use super::*;
use crate::NetworkError;
use crate::builder::{Conv, NetworkBuilder};
use crate::gemm::{Fp32, Gemm, Tally};
use crate::layers::Positions;
use crate::models::NETWORKS;
use crate::tape::Moment;
use crate::tensor::{Pool, Tensor};
use crate::{Level, Sequences, TextKind, TextOptions};
use mirage_arithmetic::{Counters, Matrix, Pass, Site};

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

/// The products of a training step on `batch` images as the door sees them; one after another with the same site, pass and
/// sizes, each another group, become one entry with so many repeats.
fn seen(network: &Network, batch: usize) -> Vec<GemmEntry> {
    let step = 41;
    let parameters = network.initial(1);
    let (mut pool, mut tally) = (Pool::default(), Tally::default());
    let door = Recorder::default();
    let moment = Moment { seed: 1, step, training: true };
    let mut tape = Tape::new(&door, &parameters, &mut pool, &mut tally, moment);
    let input = tape.input(Tensor::zeros(network.input().with_batch(batch)));
    let logits = network.forward(&mut tape, input);
    let columns = tape.value(logits).data().len() / network.outputs();
    let loss = crate::layers::softmax_cross_entropy(&mut tape, logits, &vec![3; columns]);
    tape.backward(loss);
    let seen = door.0.into_inner().unwrap();
    let mut sites = std::collections::BTreeSet::new();
    let mut entries: Vec<GemmEntry> = Vec::new();
    for (site, [m, k, n]) in seen {
        assert_eq!(site.step, step);
        assert!(sites.insert((site.layer, site.pass)), "no two products may share their draws: {site:?}");
        let layer = network.sites()[crate::site_index(site.layer)].clone();
        let (m, k, n) = (m as u64, k as u64, n as u64);
        let entry = GemmEntry { network: network.name().into(), layer, pass: site.pass, m, k, n, repeats: 1 };
        match entries.last_mut() {
            Some(last) if GemmEntry { repeats: 1, ..last.clone() } == entry => last.repeats += 1,
            _ => entries.push(entry),
        }
    }
    entries
}

#[test]
fn the_gemm_list_is_exactly_what_the_door_sees() {
    for image in [Shape::new(1, 28, 28, 1), Shape::new(3, 32, 32, 1), Shape::new(1, 15, 13, 1)] {
        for name in NETWORKS {
            let network = Network::by_name(name, image, 10).unwrap();
            assert_eq!(seen(&network, 3), gemm_list(&network, 3), "{name}");
        }
    }
}

#[test]
fn the_gemm_list_of_transformers_is_what_the_door_sees() {
    let side = |vocabulary, length| Side { vocabulary, length };
    for (name, sides) in [("transformer-lm", &[side(11, 6)][..]), ("translation", &[side(9, 5), side(12, 7)])]
    {
        let network = Network::language(name, sides, 0.1).unwrap();
        assert_eq!(seen(&network, 3), gemm_list(&network, 3), "{name}");
    }
}

/// The counts that docs/training.md states, for the samples and the settings of the built-in design.
#[test]
fn the_page_tells_how_many_numbers_transformers_train() {
    let page = include_str!("../../../docs/training.md");
    let options = |level, length, vocabulary| TextOptions { level, length, vocabulary, held_out: 0.1 };
    for (name, kind, options) in [
        ("transformer-lm", TextKind::Plain, options(Level::Character, 64, 8192)),
        ("translation", TextKind::Pairs, options(Level::Word, 24, 4096)),
    ] {
        let data = Sequences::sample(kind, options).unwrap();
        let trained = Network::language(name, data.sides(), 0.1).unwrap().trained();
        let line = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        let stated = line.rsplit('|').nth(1).unwrap().trim().replace(',', "");
        assert_eq!(trained.to_string(), stated, "{name}");
    }
}

/// Counted by hand from the description of the network.
#[test]
fn transformers_have_the_parameters_of_their_description() {
    let side = |vocabulary, length| Side { vocabulary, length };
    let (dense, norm) = (|depth: usize, outputs: usize| (depth + 1) * outputs, 2 * 128);
    let attention = 4 * dense(128, 128) + norm;
    let lm = Network::language("transformer-lm", &[side(81, 64)], 0.0).unwrap();
    let block = attention + norm + dense(128, 512) + dense(512, 128);
    assert_eq!(lm.trained(), (81 + 64) * 128 + 3 * block + norm + dense(128, 81));
    let translation = Network::language("translation", &[side(900, 20), side(1000, 30)], 0.0).unwrap();
    let inner = norm + dense(128, 256) + dense(256, 128);
    let blocks = 2 * (attention + inner) + 2 * (2 * attention + inner);
    assert_eq!(translation.trained(), 1900 * 128 + blocks + 2 * norm + dense(128, 1000));
}

#[test]
fn networks_of_sequences_that_cannot_be_are_refused_by_name() {
    let side = Side { vocabulary: 9, length: 5 };
    let refuse = |name, sides: &[Side]| Network::language(name, sides, 0.0).err().unwrap().to_string();
    assert!(refuse("transformer", &[side]).contains("did you mean \"transformer-lm\"?"));
    assert_eq!(
        refuse("translation", &[side]),
        "translation reads 2 sequences in each example, but the data has 1"
    );
    assert_eq!(
        refuse("transformer-lm", &[Side { length: 0, ..side }]),
        "layer embedding: the length must be at least 1"
    );
    let large = refuse("transformer-lm", &[Side { vocabulary: usize::MAX, ..side }]);
    assert!(large.contains("parameters up to here"), "{large}");
    let build =
        || Network::sequence_builder("n", &[side]).embedding("e", (0, 6), Positions::Learned).unwrap();
    let error = |built: Result<NetworkBuilder, NetworkError>| built.err().unwrap().to_string();
    assert_eq!(error(build().self_attention("a", 4, true)), "layer a: 4 heads do not divide 6 channels");
    assert_eq!(
        error(build().self_attention("a", 0, true)),
        "layer a: the number of heads must be at least 1"
    );
    assert!(error(build().self_attention("a", 16, true)).contains("16 heads, more than the 15"));
    assert!(error(build().cross_attention("a", 2)).contains("there is no encoder"));
    assert!(error(build().dense("d", 0)).contains("number of outputs"));
}

#[test]
fn groups_are_repeats_and_blocks_play_backwards() {
    let conv = |filters, groups| Conv::new(filters, 3).padding(1).groups(groups).without_bias();
    let network = Network::builder("n", 4, 6, 6)
        .residual(
            "b",
            |n| n.conv2d("a", conv(4, 4))?.relu("r")?.conv2d("c", conv(8, 2)),
            |n| n.conv2d("s", Conv::new(8, 1)),
        )
        .and_then(|n| n.linear("d", 10))
        .unwrap()
        .build();
    let list = gemm_list(&network, 2);
    assert_eq!(seen(&network, 2), list);
    let (f, x, w) = (Pass::Forward, Pass::InputGradient, Pass::WeightGradient);
    let got: Vec<_> = list.iter().map(|e| (e.layer.as_str(), e.pass, [e.m, e.k, e.n, e.repeats])).collect();
    let want = [
        ("a", f, [1, 9, 72, 4]),
        ("c", f, [4, 18, 72, 2]),
        ("s", f, [8, 4, 72, 1]),
        ("d", f, [10, 288, 2, 1]),
        ("d", w, [10, 2, 288, 1]),
        ("d", x, [288, 10, 2, 1]),
        ("s", w, [8, 72, 4, 1]),
        ("c", w, [4, 72, 18, 2]),
        ("c", x, [18, 4, 72, 2]),
        ("a", w, [1, 72, 9, 4]),
    ];
    assert_eq!(got, want);
}

/// He et al., CVPR 2016, table 6: 0.27 M. Worked out by hand: convolutions 432 + 6 x 2,304 + 4,608 + 5 x 9,216 + 18,432 +
/// 5 x 36,864, batch norms 2 x (7 x 16 + 6 x 32 + 6 x 64), classes 65 x 10.
#[test]
fn resnet20_has_the_parameters_that_were_published() {
    let network = |image| Network::by_name("resnet20", image, 10).unwrap();
    let cifar = network(Shape::new(3, 32, 32, 1));
    assert_eq!(cifar.trained(), 269_722);
    // One channel instead of three: 288 weights fewer.
    assert_eq!(network(Shape::new(1, 28, 28, 1)).trained(), 269_434);
    // 19 convolutions and a dense layer; a running mean and variance for each channel behind them.
    assert_eq!(cifar.sites().len(), 20);
    let statistics = cifar.parameters().iter().filter(|p| p.role == Role::Statistic).map(|p| p.len);
    assert_eq!(statistics.sum::<usize>(), 2 * (7 * 16 + 6 * 32 + 6 * 64));
    assert!(cifar.parameters().iter().all(|p| !p.name.contains("conv") || !p.name.ends_with("bias")));
    // A multiplication for each weight and place: 40.6 million of the 3 x 3 convolutions and 640 of the classes.
    let macs: u64 =
        cifar.products(1).iter().filter(|p| p.pass == Pass::Forward).map(|p| (p.m * p.k * p.n) as u64).sum();
    let stage =
        |filters: u64, places: u64| 5 * 9 * filters * filters * places + 9 * filters * filters / 2 * places;
    assert_eq!(macs, (432 + 6 * 2304) * 1024 + stage(32, 256) + stage(64, 64) + 640);
    // The usual batch of 128 fits.
    assert!(cifar.activations() * 128 <= MOST_ACTIVATIONS, "{}", cifar.activations());
}

/// The counts that docs/training.md states.
#[test]
fn the_page_tells_how_many_numbers_are_trained() {
    let page = include_str!("../../../docs/training.md");
    for name in NETWORKS {
        let line = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        let stated: Vec<String> =
            line.rsplit('|').skip(1).take(2).map(|cell| cell.trim().replace(',', "")).collect();
        for (image, stated) in [Shape::new(3, 32, 32, 1), Shape::new(1, 28, 28, 1)].into_iter().zip(&stated) {
            assert_eq!(&Network::by_name(name, image, 10).unwrap().trained().to_string(), stated, "{name}");
        }
    }
}

/// Worked out by hand from the table in its description.
#[test]
fn mobilenet_small_has_the_parameters_of_its_table() {
    // (channels in, widened, out) of the blocks; the first does not widen.
    let blocks =
        [(16, 16, 16), (16, 64, 24), (24, 96, 24), (24, 96, 32), (32, 128, 32), (32, 128, 64), (64, 256, 64)];
    let block = |(i, (channels, wide, filters)): (usize, (usize, usize, usize))| {
        let widen = if i == 0 { 0 } else { channels * wide + 2 * wide };
        widen + 9 * wide + 2 * wide + wide * filters + 2 * filters
    };
    let blocks: usize = blocks.into_iter().enumerate().map(block).sum();
    let network = Network::by_name("mobilenet-small", Shape::new(3, 32, 32, 1), 10).unwrap();
    assert_eq!(network.trained(), 27 * 16 + 32 + blocks + 64 * 128 + 256 + 129 * 10);
    assert_eq!(network.trained(), 86_922);
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
    assert!(error.starts_with("layer conv1: 400000000 activations of an image, more than the"), "{error}");
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
    refuse(Network::builder("n", 1, 8, 8).conv2d("c", Conv::new(max, max).padding(max)));
    refuse(Network::builder("n", 1, 8, 8).conv2d("c", Conv::new(1, 1).padding(max)));
    // The usual sizes pass, with the largest batch that a design may ask for.
    let usual = Network::small_cnn(28, 28, 10).unwrap().activations();
    assert!(usual * 4096 <= MOST_ACTIVATIONS, "{usual}");
    assert!(Network::small_cnn(224, 224, 10).unwrap().activations() * 50 <= MOST_ACTIVATIONS);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let error = Network::small_cnn(8, 28, 10).err().unwrap().to_string();
    assert!(error.contains("layer conv2: a window of 3 x 3 does not fit an input of 2 x 12"), "{error}");
    let error = Network::by_name("small-cn", Shape::new(1, 28, 28, 1), 10).err().unwrap().to_string();
    assert!(error.contains("did you mean \"small-cnn\"?"), "{error}");
    let zero = Network::builder("n", 1, 8, 8).conv2d("c", Conv::new(4, 0)).err().unwrap().to_string();
    assert_eq!(zero, "layer c: the side of the window must be at least 1");
    let zero =
        Network::builder("n", 1, 8, 8).conv2d("c", Conv::new(4, 3).stride(0)).err().unwrap().to_string();
    assert_eq!(zero, "layer c: the stride must be at least 1");
    let conv = |groups| {
        Network::builder("n", 4, 8, 8).conv2d("c", Conv::new(6, 3).groups(groups)).err().unwrap().to_string()
    };
    assert_eq!(conv(4), "layer c: 4 groups do not divide 4 channels and 6 filters");
    assert_eq!(conv(0), "layer c: the number of groups must be at least 1");
    let block = Network::builder("n", 4, 8, 8).residual("b", |n| n.conv2d("c", Conv::new(4, 3)), Ok);
    let error = block.err().unwrap().to_string();
    assert!(error.starts_with("block b: its body gives 4 x 6 x 6, its shortcut 4 x 8 x 8"), "{error}");
    let shrink = Network::builder("n", 4, 8, 8).padded_shortcut("s", 3, 2).err().unwrap().to_string();
    assert_eq!(shrink, "layer s: made for 3 input features, but gets 4");
    let rate = Network::builder("n", 4, 8, 8).dropout("d", 1.0).err().unwrap().to_string();
    assert_eq!(rate, "layer d: a rate of 1; it must be at least 0 and below 1");
}
