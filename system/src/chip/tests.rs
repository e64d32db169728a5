use super::*;
use crate::design::DEFAULT_SECTION;
use crate::result::LayerResult;
use crate::workload::{Optimiser, VectorKind};
use crate::{Network, builtin};
use mirage_design::Document;
use proptest::prelude::*;

/// Of 8 units with 32 rows and 16 columns for 3 moduli of 5, 5 and 6 digits, and 0.5 W of laser light.
pub(crate) const PARTS: Parts =
    Parts { laser_watts: 2.5, rings: 131_072, multipliers: 12_288, amplifiers: 1_536, adcs: 1_536 };

/// The default section with some values replaced, by key within the section.
pub(crate) fn system(changes: &[(&str, &str)]) -> System {
    let mut document = Document::new(DEFAULT_SECTION, "test.toml").expect("a document");
    for (key, value) in changes {
        document = document.with_value(&format!("system.{key}"), value).expect("a value");
    }
    document.section("system").expect("a section")
}

pub(crate) fn chip(changes: &[(&str, &str)]) -> Chip {
    Chip::new(&system(changes), BfpFormat::mirage(), &PARTS).expect("a chip")
}

/// Nothing is shared that could be waited for.
pub(crate) const FAST: [(&str, &str); 16] = [
    ("sram.capacity", "8 GB"),
    ("sram.weights", "2 GB"),
    ("sram.activations", "2 GB"),
    ("sram.gradients", "2 GB"),
    ("sram.accumulators", "2 GB"),
    ("memory.bandwidth", "10 PB/s"),
    ("memory.latency", "0 ns"),
    ("sram.load_bandwidth", "10 PB/s"),
    ("sram.stream_bandwidth", "10 PB/s"),
    ("sram.accumulate_bandwidth", "10 PB/s"),
    ("sram.dma_bandwidth", "10 PB/s"),
    ("sram.drain_bandwidth", "10 PB/s"),
    ("vector.bandwidth", "10 PB/s"),
    ("optimiser.bandwidth", "10 PB/s"),
    ("controller.issue_time", "0 ns"),
    ("recalibration.period", "0 s"),
];

fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    base.iter().chain(more).copied().collect()
}

pub(crate) fn entry(m: u64, k: u64, n: u64, repeats: u64) -> GemmEntry {
    GemmEntry { network: "net".into(), layer: "layer".into(), pass: Pass::Forward, m, k, n, repeats }
}

fn run(chip: &Chip, entries: &[GemmEntry]) -> StepResult {
    let results = chip.products(entries, &Options::default(), 1, &|_| {}).expect("a result");
    results.into_iter().next().expect("one network")
}

fn one(chip: &Chip, entry: &GemmEntry) -> LayerResult {
    run(chip, std::slice::from_ref(entry)).layers.remove(0)
}

fn picoseconds(result: &StepResult) -> u64 {
    (result.network.seconds * 1e12).round() as u64
}

#[test]
fn the_closed_form_holds_where_nothing_is_shared() {
    let chip = chip(&FAST);
    for m in [1, 31, 33, 64, 100, 1000] {
        for k in [1, 16, 17, 130, 576, 2048] {
            for n in [1, 7, 256, 1001, 200_704] {
                let entry = entry(m, k, n, 1);
                let expected = chip.closed_form(&entry, Stationary::First).unwrap();
                // By hand, where all vectors stream at once: ceil(tiles / 8) (5 ns + N / 10 GHz) + 10 ns.
                let tiles: u64 = u64::div_ceil(m, 32) * u64::div_ceil(k, 16);
                let whole = tiles.div_ceil(8) * (5_000 + 100 * n) + 10_000;
                assert!(
                    expected >= whole && (n > 7 || expected <= whole + 10),
                    "{m} x {k} x {n}: {expected}"
                );
                let result = run(&chip, &[entry]);
                let off = picoseconds(&result) as f64 / expected as f64 - 1.0;
                assert!(off.abs() < 1e-3, "{m} x {k} x {n}: {} {expected}", picoseconds(&result));
                assert!(result.network.events >= result.network.tiles + result.network.blocks);
                assert!(result.layers[0].tiles >= tiles);
            }
        }
    }
}

#[test]
fn peak_is_reached_by_large_products_only() {
    let chip = chip(&FAST);
    assert_eq!(chip.peak(), 40.96e12);
    let large = one(&chip, &entry(256, 4096, 100_000, 1));
    assert!(large.utilisation > 0.97 && large.bottleneck() == "streaming", "{large:?}");
    let single = one(&chip, &entry(1, 1, 1, 1));
    assert!((single.utilisation * 4096.0 * 151.0 - 1.0).abs() < 0.02, "{single:?}");
    assert_eq!(one(&chip, &entry(32, 160_000, 9, 1)).bottleneck(), "programming");
    assert_eq!(one(&chip, &entry(1, 16 * 8, 100_000, 1)).bottleneck(), "edges");
}

#[test]
fn shadow_registers_hide_the_programming() {
    let chip = chip(&with(&FAST, &[("programming", "shadow")]));
    // Ten tiles for each unit; streaming longer than programming, and shorter.
    let near = |ps: u64, expected: u64| assert!(ps.abs_diff(expected) <= 40, "{ps} {expected}");
    near(picoseconds(&run(&chip, &[entry(32, 16 * 80, 100, 1)])), 5_000 + 10 * 10_000 + 10_000);
    near(picoseconds(&run(&chip, &[entry(32, 16 * 80, 20, 1)])), 10 * 5_000 + 2_000 + 10_000);
}

#[test]
fn the_load_port_is_shared() {
    // 352 B a tile at 35.2 GB/s: 10 ns each, one after the other for all eight units; then the last is programmed, streamed, drained.
    let chip = chip(&with(&FAST, &[("sram.load_bandwidth", "35.2 GB/s")]));
    let result = run(&chip, &[entry(32, 16 * 80, 10, 1)]);
    assert!(picoseconds(&result).abs_diff(80 * 10_000 + 5_000 + 1_000 + 10_000) <= 20, "{result:?}");
    assert_eq!(result.layers[0].bottleneck(), "loading");
}

#[test]
fn slow_memories_slow_the_stream() {
    // 11 B a vector at 55 GB/s: 200 ps a vector instead of 100.
    let slow = chip(&with(&FAST, &[("sram.stream_bandwidth", "55 GB/s")]));
    let result = run(&slow, &[entry(32, 16 * 8, 1000, 1)]);
    assert!(picoseconds(&result).abs_diff(5_000 + 200_000 + 10_000) <= 100);
    assert!((result.network.breakdown.share("bandwidth") - 100.0 / 215.0).abs() < 1e-3);
    // Partial sums: a first group only writes, 128 B a vector, all others read as well.
    let slow = chip(&with(&FAST, &[("sram.accumulate_bandwidth", "1.28 TB/s")]));
    assert!(picoseconds(&run(&slow, &[entry(32, 16, 1000, 1)])).abs_diff(115_000) <= 100);
    assert!(picoseconds(&run(&slow, &[entry(32, 32, 1000, 1)])).abs_diff(215_000) <= 100);
}

#[test]
fn streams_of_one_bank_wait_for_its_ports() {
    // Eight row tiles of one group: all units stream the same bank, two at a time.
    let group = with(&FAST, &[("sram.interleave", "group")]);
    let wide = run(&chip(&FAST), &[entry(256, 16, 1_000, 1)]);
    let narrow = run(&chip(&group), &[entry(256, 16, 1_000, 1)]);
    assert!(picoseconds(&wide).abs_diff(5_000 + 100_000 + 10_000) <= 200);
    assert!(picoseconds(&narrow).abs_diff(5_000 + 4 * 100_000 + 10_000) <= 200);
    assert!(narrow.layers[0].breakdown.share("bank conflicts") > 0.3, "{:?}", narrow.layers[0].breakdown);
    // Eight groups lie in eight banks.
    let spread = run(&chip(&group), &[entry(32, 128, 1_000, 1)]);
    assert!(picoseconds(&spread).abs_diff(5_000 + 100_000 + 10_000) <= 200);
}

#[test]
fn off_chip_memory_is_as_fast_as_its_channels_and_no_faster() {
    // A product with little work for its bytes: the time is that of the traffic.
    let slow = chip(&[
        ("memory.bandwidth", "1 GB/s"),
        ("controller.prefetch", "8"),
        ("recalibration.period", "0 s"),
    ]);
    let result = run(&slow, &[entry(32, 16, 4_000_000, 1)]);
    let n = &result.network;
    let bytes = 11.0 * 4e6 + 32.0 * 4e6 * 4.0;
    assert!((n.traffic.read + n.traffic.written) as f64 >= bytes && n.traffic.moved as f64 <= bytes * 1.001);
    // Reads wait behind writes, so a channel rests now and then.
    assert!(n.seconds >= bytes / 16e9 && n.seconds < 1.5 * bytes / 16e9, "{} {}", n.seconds, bytes / 16e9);
    assert!((n.busy[0].1 * n.seconds / (n.traffic.moved as f64 / 16e9) - 1.0).abs() < 1e-6, "{:?}", n.busy);
}

#[test]
fn dataflows_choose_what_is_faster() {
    let wide = entry(32, 128, 10_000, 1);
    let tall = GemmEntry { m: 10_000, n: 32, layer: "other".into(), ..wide.clone() };
    for (entry, stationary) in [(&wide, Stationary::First), (&tall, Stationary::Second)] {
        let time = |dataflow| {
            let result = run(&chip(&with(&FAST, &[("dataflow", dataflow)])), std::slice::from_ref(entry));
            (result.layers[0].stationary, picoseconds(&result))
        };
        let (best, first, second) = (time("OPT2"), time("DF1").1, time("DF2").1);
        assert_eq!(best, (Some(stationary), first.min(second)));
        assert_ne!(first, second);
    }
    // One choice for all products of a pass: what is better for their sum.
    let taller = GemmEntry { m: 50_000, ..tall.clone() };
    let result = run(&chip(&with(&FAST, &[("dataflow", "OPT1")])), &[wide, taller]);
    assert!(result.layers.iter().all(|layer| layer.stationary == Some(Stationary::Second)));
    let mut out = system(&[]);
    out.dataflow = mirage_design::Value::new(Dataflow::Output);
    let error = Chip::new(&out, BfpFormat::mirage(), &PARTS).unwrap_err().to_string();
    assert!(error.contains("use DF1, DF2, OPT1 or OPT2"), "{error}");
}

#[test]
fn energy_is_what_was_done() {
    // Tiles of (32, 8) x (16, 4) of a 40 x 20 operand, seven vectors; default numbers, by hand.
    let result = run(&chip(&[]), &[entry(40, 20, 7, 1)]);
    let seconds = result.network.seconds;
    let (values, results) = (40.0 * 20.0, 40.0 * 7.0);
    // Groups of 16 take 11 B, of 4 take 28 bits, 4 B.
    let (loaded, streamed) = (40.0 * 15.0, 2.0 * 7.0 * 15.0);
    // Parameters and results stay in the SRAM, the data come from off the chip, in whole groups.
    let inputs = 8.0 * 11.0 + 9.0;
    let bursts = |bytes: f64| (bytes / 64.0).ceil() * 64.0;
    let expected = [
        ("laser", 0.5 / 0.2 * seconds),
        ("ring tuning", 8.0 * 32.0 * 16.0 * 32.0 * 10e-6 * seconds),
        ("ring drive", values * 7.0 * 32.0 * 0.9e-15),
        ("phase-shifter DACs", values * 3.0 * 6.8e-12),
        ("TIAs", 2.0 * 768.0 * 0.75e-3 * seconds),
        ("ADCs", 2.0 * 768.0 * 11.5e-3 / 2.4 * seconds),
        ("forward conversion", (values + 2.0 * 7.0 * 20.0) * 0.06e-12),
        ("reverse conversion", 2.0 * results * 0.3e-12),
        // One sum of two groups in a unit's accumulators, and one when the units' parts are joined.
        ("FP32 accumulation", 2.0 * results * 0.9e-12),
        ("SRAM, partial sums", (results * 12.0 + results * 8.0) * 1.25e-12),
        ("SRAM, weights", loaded * 12.5e-12),
        ("SRAM, activations", (inputs + streamed + results * 4.0) * 12.5e-12),
        ("leakage", 0.8 * seconds),
        ("off-chip memory", 1.0 * seconds + bursts(inputs) * 31.2e-12),
    ];
    let mut total = 0.0;
    for component in Component::ALL {
        let joules = result.network.energy_of(component);
        let by_hand = expected.iter().find(|e| e.0 == component.name()).map_or(0.0, |e| e.1);
        assert!(
            (joules - by_hand).abs() <= 1e-9 * by_hand,
            "{}: {joules} J, by hand {by_hand}",
            component.name()
        );
        total += by_hand;
    }
    assert!((result.network.joules() / total - 1.0).abs() < 1e-9);
}

#[test]
fn converters_can_be_charged_as_published() {
    let changes = [("converters.adc_model", "as-published"), ("converters.tx_model", "always-on")];
    let chip = chip(&changes);
    let power = chip.standing_power();
    assert!((power[Component::Adcs as usize] - 17.664).abs() < 1e-9);
    assert!((power[Component::Transmitters as usize] - 835.584).abs() < 1e-9);
    let warnings = chip.system.warnings();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("11.500 mW as published at 24.000 GS/s"), "{}", warnings[0]);
    assert!(warnings[0].contains("it would be 4.792 mW"), "{}", warnings[0]);
    assert!(warnings[1].contains("68.000 mW all the time"), "{}", warnings[1]);
    // They follow the design, whatever its numbers.
    let slow = system(&[("clock", "6 GHz"), ("converters.adc_model", "as-published")]);
    assert!(slow.warnings()[0].contains("it would be 2.875 mW"), "{:?}", slow.warnings());
}

#[test]
fn parts_are_charged_as_counted() {
    // Half the rings and a modulus less: nothing is counted a second time here.
    let fewer = Parts { rings: 65_536, multipliers: 8_192, amplifiers: 1_024, adcs: 768, ..PARTS };
    let [all, few] = [PARTS, fewer]
        .map(|parts| Chip::new(&system(&[]), BfpFormat::mirage(), &parts).unwrap())
        .map(|chip| run(&chip, &[entry(64, 64, 640, 1)]).network.energy);
    for (component, share) in [
        (Component::RingTuning, 0.5),
        (Component::RingDrive, 0.5),
        (Component::Transmitters, 2.0 / 3.0),
        (Component::Amplifiers, 2.0 / 3.0),
        (Component::Adcs, 0.5),
        (Component::Laser, 1.0),
        (Component::ForwardConversion, 1.0),
    ] {
        let index = component as usize;
        assert!((few[index] / all[index] / share - 1.0).abs() < 1e-9, "{}", component.name());
    }
}

#[test]
fn repeats_take_time_and_energy() {
    let model = RepeatModel { detected_per_group: 1e-3, again: 0.2, repeats: 3 };
    let options = Options { repeats: Some(model), seed: 9, ..Options::default() };
    let entry = entry(64, 256, 4_000, 1);
    let simulate = |changes: &[(&str, &str)]| {
        chip(&with(&FAST, changes))
            .products(std::slice::from_ref(&entry), &options, 1, &|_| {})
            .unwrap()
            .remove(0)
    };
    let clean = run(&chip(&FAST), std::slice::from_ref(&entry));
    let (unit, row) = (simulate(&[]), simulate(&[("stall", "row")]));
    for result in [&unit.network, &row.network] {
        let expected = 64.0 * 16.0 * 4_000.0 * 1e-3 * 1.24;
        assert!((result.repeated_expected - expected).abs() < 1e-6);
        assert!((result.repeated as f64 - expected).abs() < 6.0 * (1.3 * expected).sqrt());
        assert_eq!(result.macs, clean.network.macs);
        assert!(result.joules() > clean.network.joules());
    }
    // Four tiles for each unit, all held for 3 ns; about 128 (then 26, 5) vectors a tile stream again.
    let extra = picoseconds(&unit) - picoseconds(&clean) - 4 * 3_000;
    assert!((extra as f64 / (4.0 * 100.0 * 158.0) - 1.0).abs() < 0.25, "{extra} ps");
    // A row on its own waits for its own repeats alone.
    let waited = picoseconds(&row) - picoseconds(&clean) - 4 * 3_000;
    assert!(waited < extra / 3 && waited > 4 * 100 * 4, "{waited} ps");
    let none = simulate(&[("hold", "none")]);
    assert_eq!(none.network.repeated, unit.network.repeated);
    assert!((picoseconds(&unit) - picoseconds(&none)).abs_diff(4 * 3_000) <= 10);
}

#[test]
fn equal_entries_draw_independently_and_neighbours_do_not_matter() {
    let model = RepeatModel { detected_per_group: 1e-3, again: 0.1, repeats: 3 };
    let options = Options { repeats: Some(model), seed: 3, ..Options::default() };
    let chip = chip(&[]);
    let drawn = |list: &[GemmEntry]| -> Vec<u64> {
        let results = chip.products(list, &options, 2, &|_| {}).unwrap();
        results[0].layers.iter().map(|layer| layer.repeated).collect()
    };
    let (same, other) = (entry(64, 256, 2_000, 1), entry(64, 256, 2_001, 1));
    let six = drawn(&vec![same.clone(); 6]);
    let distinct: std::collections::BTreeSet<u64> = six.iter().copied().collect();
    assert!(distinct.len() > 3, "{six:?}");
    // Spread as independent draws are: about 2,275 each.
    let mean = six.iter().sum::<u64>() as f64 / 6.0;
    let expected = model.expected(64 * 16 * 2_000);
    assert!((mean - expected).abs() < 4.0 * (1.5 * expected / 6.0).sqrt(), "{mean} {expected}");
    let keys: Vec<u64> = [[65, 256, 2_000, 1], [64, 257, 2_000, 1], [64, 256, 2_001, 1], [64, 256, 2_000, 2]]
        .iter()
        .map(|&[m, k, n, repeats]| entry(m, k, n, repeats))
        .chain([same, other].into_iter().take(1))
        .map(|entry| rand::Rng::next_u64(&mut stream(3, &entry, 0)))
        .collect();
    assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
}

#[test]
fn results_do_not_depend_on_threads() {
    let model = RepeatModel { detected_per_group: 1e-4, again: 0.0, repeats: 2 };
    let options = Options { repeats: Some(model), seed: 1, steps: 2, ..Options::default() };
    let steps: Vec<Step> = ["alexnet", "resnet18", "mobilenetv2"]
        .iter()
        .map(|name| builtin(name).unwrap().step(1, Optimiser::Momentum).unwrap())
        .collect();
    let chip = chip(&[]);
    let results = chip.run(&steps, &options, 1, &|_| {}).unwrap();
    let calls = AtomicUsize::new(0);
    let count = |_: usize| {
        calls.fetch_add(1, Ordering::Relaxed);
    };
    assert_eq!(chip.run(&steps, &options, 8, &count).unwrap(), results);
    assert_eq!(calls.into_inner(), steps.len());
    let other = chip.run(&steps, &Options { seed: 2, ..options }, 1, &|_| {}).unwrap();
    assert_ne!(other, results);
    assert!(chip.run(&[], &options, 4, &|_| {}).unwrap().is_empty());
}

#[test]
fn what_is_no_chip_is_refused() {
    let plain = system(&[]);
    let new =
        |system: &System, format, laser_watts| Chip::new(system, format, &Parts { laser_watts, ..PARTS });
    assert!(matches!(new(&plain, BfpFormat::mirage(), f64::NAN), Err(SystemError::OutOfRange { .. })));
    assert!(matches!(new(&plain, BfpFormat::mirage(), -1.0), Err(SystemError::OutOfRange { .. })));
    let empty = BfpFormat { group: 0, ..BfpFormat::mirage() };
    assert!(matches!(new(&plain, empty, 0.0), Err(SystemError::Format(_))));
    for (changes, expected) in [
        (vec![("sram.weights", "5 kB")], "cannot hold 8 slices of one tile each"),
        (vec![("sram.accumulators", "2000 B")], "cannot hold two sums for each row"),
        (vec![("sram.weights", "20 MB")], "is less than its partitions together"),
        (vec![("memory.bandwidth", "0 B/s")], "nothing ever arrives"),
        (vec![("links.bandwidth", "0 B/s")], "nothing ever arrives"),
        (vec![("memory.channels", "0")], "must lie between 1"),
        (vec![("memory.queue", "0")], "must lie between 1"),
        (vec![("memory.block", "100 B")], "multiple of the burst"),
        (vec![("vector.lanes", "0")], "must lie between 1"),
        (vec![("vector.staging", "0")], "must lie between 1"),
        (vec![("controller.prefetch", "0")], "must lie between 1"),
        (vec![("controller.output_queue", "0")], "must lie between 1"),
        (vec![("recalibration.duration", "200 ms")], "at least ten times the duration"),
    ] {
        let error = new(&system(&changes), BfpFormat::mirage(), 0.0).unwrap_err().to_string();
        assert!(error.contains(expected), "{changes:?}: {error}");
    }
    for (text, expected) in
        [("[8]", "the last one is 7"), ("[1, 1]", "twice"), ("[0, 1, 2, 3, 4, 5, 6, 7]", "no unit")]
    {
        let error = out_of_use(text).check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

fn out_of_use(units: &str) -> System {
    let text = DEFAULT_SECTION.replacen("value = [], mark", &format!("value = {units}, mark"), 1);
    assert_ne!(text, DEFAULT_SECTION);
    mirage_design::parse_section(&text, "test.toml", "system").unwrap()
}

#[test]
fn units_can_be_mapped_out() {
    let fewer = Chip::new(&out_of_use("[3, 5]"), BfpFormat::mirage(), &PARTS).unwrap();
    let product = entry(32, 16 * 24, 4_000, 1);
    let (all, six) = (run(&chip(&[]), std::slice::from_ref(&product)), run(&fewer, &[product]));
    assert_eq!(all.network.macs, six.network.macs);
    assert_eq!(all.network.energy_of(Component::RingDrive), six.network.energy_of(Component::RingDrive));
    assert!((six.network.breakdown.share("out of use") - 0.25).abs() < 1e-9);
    assert!(six.network.seconds > all.network.seconds);
}

#[test]
fn what_would_take_for_ever_is_refused() {
    let slow = chip(&[("clock", "1 Hz")]);
    let step = [entry(1 << 20, 1 << 10, 1 << 10, 1)];
    let error = slow.products(&step, &Options::default(), 1, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("too large to be simulated"), "{error}");
    let bad = RepeatModel { detected_per_group: 2.0, again: 0.0, repeats: 1 };
    for options in [
        Options { repeats: Some(bad), ..Options::default() },
        Options { steps: 0, ..Options::default() },
        Options { chips: 0, ..Options::default() },
    ] {
        let error = slow.products(&[entry(1, 1, 1, 1)], &options, 1, &|_| {}).unwrap_err();
        assert!(matches!(error, SystemError::OutOfRange { .. }), "{error}");
    }
    let chip = chip(&[]);
    assert!(chip.products(&[], &Options::default(), 1, &|_| {}).unwrap().is_empty());
    let empty = Step { network: "net".into(), batch: 1, operations: vec![], tensors: vec![] };
    assert!(matches!(chip.step(&empty, &Options::default()), Err(SystemError::Step { .. })));
    for product in [entry(0, 1, 1, 1), entry(u64::MAX, 2, 1, 1), entry(1 << 30, 1 << 30, 1, 1)] {
        assert!(chip.products(&[product], &Options::default(), 1, &|_| {}).is_err());
    }
}

/// What must hold of every result.
fn check(chip: &Chip, step: &Step, result: &StepResult, chips: u64) -> Result<(), TestCaseError> {
    let n = &result.network;
    prop_assert_eq!(n.macs, step.macs().unwrap());
    prop_assert_eq!(n.vector_operations, step.vector_operations(None).unwrap());
    let parts: Vec<_> = n.breakdown.parts().collect();
    prop_assert!((parts.iter().map(|part| part.1).sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", parts);
    prop_assert!(parts.iter().all(|part| part.1 >= 0.0), "{:?}", parts);
    prop_assert!(n.seconds >= n.bound * (1.0 - 1e-9), "{} below {}", n.seconds, n.bound);
    prop_assert!(n.events >= n.tiles + n.blocks);
    let layers: f64 = result.layers.iter().map(LayerResult::joules).sum();
    let sum: f64 = n.energy.iter().sum();
    // The layers are those of the last step.
    if result.steps.len() == 1 {
        prop_assert!((layers / (sum - n.energy_of(Component::Recalibration)) - 1.0).abs() < 1e-9);
    }
    prop_assert!(n.energy.iter().all(|joules| joules.is_finite() && *joules >= 0.0));
    for queue in &result.queues {
        prop_assert!(queue.peak <= queue.bound, "{:?}", queue);
    }
    for &(part, share) in &n.busy {
        prop_assert!((0.0..=1.0 + 1e-9).contains(&share), "{} {}", part, share);
    }
    let moved: u64 = result.layers.iter().map(|layer| layer.off_chip_bytes).sum();
    prop_assert_eq!(moved, n.traffic.moved);
    prop_assert!(n.traffic.read + n.traffic.written <= n.traffic.moved);
    // The streaming part is the utilisation.
    let units = f64::from(chip.setup.units + chip.setup.units_out);
    let peak = chip.engine.peak() * units / f64::from(*chip.system.units.get());
    prop_assert!(
        (n.breakdown.share("streaming") * peak * n.seconds / (n.macs as f64).max(1.0) - 1.0).abs() < 1e-6
    );
    // Nothing does two things at a time.
    for pair in result.spans.windows(2) {
        prop_assert!(pair[0].track != pair[1].track || pair[0].end <= pair[1].begin, "{:?}", pair);
    }
    prop_assert_eq!(chips > 1, result.layers.iter().any(|layer| layer.work == "all-reduce"));
    Ok(())
}

#[test]
fn a_step_loses_nothing() {
    let options = Options { trace: Some(0), ..Options::default() };
    for (name, batch) in [("resnet18", 2), ("mobilenetv2", 1), ("transformer", 1)] {
        let step = builtin(name).unwrap().step(batch, Optimiser::Adam).unwrap();
        for changes in
            [vec![], vec![("dataflow", "OPT2"), ("sram.interleave", "group"), ("controller.fusion", "none")]]
        {
            let chip = chip(&changes);
            let result = chip.step(&step, &options).unwrap();
            check(&chip, &step, &result, 1).unwrap();
            println!(
                "{name} {batch}: {} tiles, {} blocks, {} events",
                result.network.tiles, result.network.blocks, result.network.events
            );
            // The spans of the units cover all of their time.
            let ticks: u64 = result
                .spans
                .iter()
                .filter(|s| matches!(s.track, crate::trace::Track::Unit(_)))
                .map(|s| s.end - s.begin)
                .sum();
            assert_eq!(ticks, 8 * picoseconds(&result));
        }
    }
}

/// Tensors that are written and read once are written whole and read whole: what comes in has gone out.
#[test]
fn bytes_in_are_bytes_out() {
    use crate::workload::{TensorKind, Work};
    let tensor = |name: &str, kind, elements| Tensor { name: name.into(), kind, elements };
    let vector = |reads: &[usize], writes: &[usize]| Operation {
        layer: "sweep".into(),
        stage: Stage::Forward,
        work: Work::Vector { kind: VectorKind::Other, elements: 1 << 22, operations: 1 << 22 },
        reads: reads.iter().map(|&id| TensorId(id)).collect(),
        writes: writes.iter().map(|&id| TensorId(id)).collect(),
    };
    let step = Step {
        network: "net".into(),
        batch: 1,
        operations: vec![vector(&[0], &[1]), vector(&[1], &[2])],
        tensors: vec![
            tensor("data", TensorKind::Input, 1 << 22),
            tensor("large", TensorKind::Activation, 1 << 22),
            tensor("small", TensorKind::Activation, 1 << 10),
        ],
    };
    let traffic = run_step(&chip(&[]), &step).network.traffic;
    // 16 MB come in; 16 MB do not fit, go out and come back; the small one stays.
    assert_eq!((traffic.read, traffic.written), (2 << 24, 1 << 24));
    let large = [("sram.capacity", "100 MB"), ("sram.activations", "40 MB")];
    let traffic = run_step(&chip(&large), &step).network.traffic;
    assert_eq!((traffic.read, traffic.written), (1 << 24, 0));
}

fn run_step(chip: &Chip, step: &Step) -> StepResult {
    chip.step(step, &Options::default()).expect("a result")
}

#[test]
fn independent_work_overlaps_and_dependent_work_waits() {
    let network = builtin("vgg16").unwrap();
    let step = network.step(2, Optimiser::Momentum).unwrap();
    let result = run_step(&chip(&[("dataflow", "OPT2")]), &step);
    let find = |layer: &str, stage, work: &str| {
        result
            .layers
            .iter()
            .find(|l| l.layer == layer && l.stage == stage && l.work.starts_with(work))
            .unwrap()
    };
    let end = |l: &LayerResult| l.begin + l.seconds;
    let products: Vec<_> =
        result.layers.iter().filter(|l| l.product.is_some() && l.stage == Stage::Forward).collect();
    for pair in products.windows(2) {
        assert!(pair[1].begin >= end(pair[0]), "{} before {}", pair[1].layer, pair[0].layer);
    }
    let last = products.last().unwrap();
    let (dx, dw) = (
        find(&last.layer, Stage::InputGradient, "product"),
        find(&last.layer, Stage::WeightGradient, "product"),
    );
    assert!(dw.begin < end(dx), "dW waits for dX");
    // Updates of late layers are done while early ones still go backward.
    let update = result.layers.iter().find(|l| l.stage == Stage::Update).unwrap();
    assert!(update.begin < result.network.seconds);
}

#[test]
fn a_ring_moves_what_it_must_and_hides_behind_the_backward_pass() {
    let step = builtin("resnet18").unwrap().step(8, Optimiser::Momentum).unwrap();
    let chip = chip(&[]);
    let simulate = |chips| chip.step(&step, &Options { chips, ..Options::default() }).unwrap();
    let (alone, four) = (simulate(1), simulate(4));
    check(&chip, &step, &four, 4).unwrap();
    // 2 (p - 1) / p of every parameter's gradient, 4 B each (Patarasuk and Yuan).
    let parameters = builtin("resnet18").unwrap().parameters().unwrap() as f64;
    let sent = four.network.energy_of(Component::Links) / 40e-12;
    assert!(
        (sent / (2.0 * 3.0 / 4.0 * 4.0 * parameters) - 1.0).abs() < 1e-4,
        "{sent} B of {parameters} parameters"
    );
    assert_eq!(alone.network.energy_of(Component::Links), 0.0);
    let link: f64 = four.layers.iter().filter(|l| l.work == "all-reduce").map(|l| l.seconds).sum();
    assert!(four.network.seconds < alone.network.seconds + link);
    assert!(four.network.busy[4].1 > 0.0 && alone.network.busy[4].1 == 0.0);
}

#[test]
fn calibrations_pause_units_and_whole_runs_say_how_sure_they_are() {
    let often = with(&FAST, &[("recalibration.duration", "5 us"), ("recalibration.period", "100 us")]);
    let (step, _) = product_step(&[entry(512, 4096, 6_000, 1)]);
    let options = Options { steps: 3, ..Options::default() };
    let never = chip(&FAST).step(&step, &options).unwrap();
    let paused = chip(&often[10..]).step(&step, &options).unwrap();
    let time: f64 = paused.steps.iter().sum();
    let expected = 8.0 * time / 1e-4;
    let seen = paused.network.calibrations as f64 * 3.0;
    assert!((seen / expected - 1.0).abs() < 0.05, "{seen} {expected}");
    assert!(paused.network.seconds > never.network.seconds);
    assert!(paused.network.seconds < never.network.seconds * (1.0 + 8.0 * 0.05 + 0.05));
    assert!(paused.network.energy_of(Component::Recalibration) > 0.0);
    // Without anything drawn, every step takes the same time and the run is exact.
    assert_eq!(never.steps[0], never.steps[2]);
    let run = never.extrapolate(1_000, 32, 2).unwrap();
    assert_eq!((run.steps, run.simulated), (64, 3));
    assert!(
        (run.seconds / (64.0 * never.steps[0]) - 1.0).abs() < 1e-9 && run.seconds_error < 1e-9 * run.seconds
    );
    let run = paused.extrapolate(1_000, 32, 2).unwrap();
    assert!(
        run.seconds_error > 0.0 && (run.seconds - 64.0 * paused.network.seconds).abs() <= run.seconds_error
    );
    assert!(never.extrapolate(1, 0, 1).is_err() && never.extrapolate(u64::MAX, 1, 2).is_err());
}

/// A random small network.
fn network() -> impl Strategy<Value = Network> {
    let layer = (1u64..40, 1u64..3, prop::bool::ANY, prop::bool::ANY);
    prop::collection::vec(layer, 1..5).prop_map(|layers| {
        let mut text = String::from("# network: random\nlayer,kind,in_channels,out_channels,in_height,in_width,kernel_height,kernel_width,stride,padding,groups,bias,norm,tied,input_gradient,activation,inputs\n");
        let (mut channels, mut size) = (3, 12);
        for (index, (out, stride, norm, relu)) in layers.into_iter().enumerate() {
            let yes = |flag| if flag { "yes" } else { "no" };
            text += &format!(
                "l{index},conv,{channels},{out},{size},{size},3,3,{stride},1,1,{},{},no,{},{},\n",
                yes(!norm), yes(norm), yes(index > 0), if relu { "relu" } else { "none" }
            );
            channels = out;
            size = (size + 2 - 3) / stride + 1;
        }
        Network::parse(&text, "random.csv").expect("a network")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Any small network on any chip: no deadlock, nothing lost, no bound passed, the same each time.
    #[test]
    fn random_designs_come_to_their_end(
        network in network(),
        batch in 1u64..5,
        (units, rows, group) in (1u32..12, 1u32..40, 1usize..40),
        (channels, queue, block, staging) in (1u32..6, 1u32..4, 1u32..9, 1u32..4),
        (open, prefetch, outputs) in (1u32..4, 1u32..4, 1u32..4),
        (banks, ports, working) in (1u32..5, 1u32..4, 1u32..101),
        (sram, accumulators) in (0u32..8, 0u32..8),
        choices in prop::array::uniform6(any::<bool>()),
        detected in prop_oneof![Just(0.0), 0.0..0.01, 0.0..1.0],
        (chips, steps, dataflow) in (1u64..4, 1u32..3, 0usize..4),
    ) {
        let pick = |index: usize, no: &str, yes: &str| if choices[index] { yes } else { no }.to_owned();
        // From barely enough to plenty.
        let row_bytes = (group as u64 * 5 + 8).div_ceil(8);
        let tile = u64::from(rows) * row_bytes * 2 * u64::from(open) * u64::from(prefetch);
        let sram = ((tile * 100).div_ceil(u64::from(working)) + 1) << sram;
        let accumulators = (8 * u64::from(rows) * u64::from(units)) << accumulators;
        let changes = [
            ("units", units.to_string()),
            ("rows", rows.to_string()),
            ("sram.capacity", format!("{} B", 3 * sram + accumulators)),
            ("sram.weights", format!("{sram} B")),
            ("sram.activations", format!("{sram} B")),
            ("sram.gradients", format!("{sram} B")),
            ("sram.accumulators", format!("{accumulators} B")),
            ("sram.working", format!("{working} %")),
            ("sram.banks", banks.to_string()),
            ("sram.ports", ports.to_string()),
            ("sram.interleave", pick(0, "vector", "group")),
            ("memory.channels", channels.to_string()),
            ("memory.queue", queue.to_string()),
            ("memory.block", format!("{} B", 64 * block)),
            ("vector.staging", staging.to_string()),
            ("optimiser.staging", staging.to_string()),
            ("controller.open_products", open.to_string()),
            ("controller.prefetch", prefetch.to_string()),
            ("controller.output_queue", outputs.to_string()),
            ("controller.fusion", pick(1, "none", "chains")),
            ("programming", pick(2, "blocking", "shadow")),
            ("stall", pick(3, "unit", "row")),
            ("hold", pick(4, "until-checked", "none")),
            ("recalibration.period", pick(5, "0 s", "20 us")),
            ("recalibration.duration", "1 us".to_owned()),
            ("dataflow", ["DF1", "DF2", "OPT1", "OPT2"][dataflow].to_owned()),
        ];
        let changes: Vec<(&str, &str)> = changes.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let format = BfpFormat { group, ..BfpFormat::mirage() };
        let chip = Chip::new(&system(&changes), format, &PARTS).unwrap();
        let step = network.step(batch, Optimiser::Momentum).unwrap();
        let model = RepeatModel { detected_per_group: detected, again: 0.3, repeats: 2 };
        let options = Options { repeats: Some(model), seed: 5, steps, chips, trace: Some(0), trace_spans: 0 };
        let result = chip.step(&step, &options).unwrap();
        check(&chip, &step, &result, chips)?;
        prop_assert_eq!(chip.step(&step, &options).unwrap(), result);
    }
}
