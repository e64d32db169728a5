//! Trainer and chip count the same products: the lists agree entry by entry, and the repeats within Poisson bounds.

use std::sync::atomic::AtomicBool;

use mirage_arithmetic::{
    BfpFormat, EmulatedGemm, GemmConfig, GemmEntry, Moduli, Pass, Protection, ResidueChannel, SlipCode,
    expected_reads,
};
use mirage_design::parse_section;
use mirage_system::{Chip, Network as LayerTable, Options, Parts, RepeatModel, System, design};
use mirage_training::{
    Arithmetic, CLASSES, Network, Plan, Task, TrainConfig, epoch_gemm_list, fashion_mnist_subset,
    operand_histogram,
};

fn chip() -> Chip {
    let system: System = parse_section(design::DEFAULT_SECTION, "system.toml", "system").unwrap();
    let parts =
        Parts { laser_watts: 3.0, rings: 131_072, multipliers: 12_288, amplifiers: 1_536, adcs: 1_536 };
    Chip::new(&system, BfpFormat::mirage(), &parts).unwrap()
}

/// The small network as a layer table of the system, written by hand from the network's description.
const SMALL_CNN: &str = include_str!("small-cnn.csv");

#[test]
fn the_trained_networks_list_is_the_systems_lowering_of_it() {
    let network = Network::small_cnn(28, 28, CLASSES).unwrap();
    let trained = mirage_training::gemm_list(&network, 50);
    let lowered = LayerTable::parse(SMALL_CNN, "small-cnn.csv").unwrap().training_step(50).unwrap();
    let shapes = |list: &[GemmEntry]| {
        let mut shapes: Vec<_> = list.iter().map(|e| (e.pass, e.m, e.k, e.n, e.repeats)).collect();
        shapes.sort_unstable();
        shapes
    };
    assert_eq!(shapes(&trained), shapes(&lowered));
    assert_eq!(
        trained.iter().filter(|e| e.pass == Pass::InputGradient).count(),
        3,
        "the first layer needs no dX"
    );
}

#[test]
fn the_chip_repeats_as_often_as_the_trainer() {
    let data = fashion_mnist_subset().unwrap().first(1000, 100);
    let network = Network::small_cnn(28, 28, CLASSES).unwrap();
    let config = TrainConfig { epochs: 1, ..TrainConfig::default() };
    let moduli = Moduli::mirage();
    let natural = SlipCode::natural(&moduli);
    let coded = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
    for code in [natural, coded] {
        let gemm = GemmConfig {
            code: code.clone(),
            protection: Protection::ReadAgain { repeats: 3 },
            ..GemmConfig::mirage(config.seed)
        };
        let mut channel = ResidueChannel::slip(&moduli, &code, 2e-5).unwrap();
        // Static errors: a repeat of a wrong read is wrong again in one of five.
        for &m in moduli.as_slice() {
            channel.set_again(m, &[0.2, 0.4]);
        }
        EmulatedGemm::new(gemm.clone(), Some(channel.clone())).unwrap();

        let cancel = AtomicBool::new(false);
        let arithmetic = Arithmetic::Mirage(gemm.clone(), Box::new(channel.clone()));
        let result =
            Plan::new(arithmetic, "slip", config.clone()).run(&network, &data, &cancel, |_| {}).unwrap();
        let counted = result.run.training.total();

        let task = Task { network: &network, data: &data, config: &config, weights: None };
        let (histogram, _) = operand_histogram(task, &gemm, 4, &cancel).unwrap();
        let expected = expected_reads(&channel, &gemm, &histogram).unwrap();
        let repeats = RepeatModel::of_channel(&expected, gemm.protection).unwrap();
        let options = Options { repeats, seed: 5, ..Options::default() };
        let list = epoch_gemm_list(&network, data.train().len(), config.batch);
        let results = chip().products(&list, &options, 2, &|_| {}).unwrap();
        let layers = || results.iter().flat_map(|result| &result.layers);

        let reads: u64 = layers().map(|l| l.reads).sum();
        assert_eq!(reads * 3, counted.residues);
        let repeated: u64 = layers().map(|l| l.repeated).sum();
        let mean: f64 = layers().map(|l| l.repeated_expected).sum();
        assert!(mean > 500.0, "{mean}: too few to compare");
        // Four standard deviations of either count, and 2 % for operands that drift while the network learns. A read
        // that is wrong again repeats in clusters of 1.3 on average, which widens the spread by a fifth.
        let bound = |n: f64| 4.0 * 1.2 * n.sqrt() + 0.02 * n;
        assert!((repeated as f64 - mean).abs() < bound(mean), "chip {repeated}, expected {mean}");
        let counted = counted.repeated as f64;
        assert!((counted - mean).abs() < bound(mean), "trainer {counted}, expected {mean} ({code})");
    }
}
