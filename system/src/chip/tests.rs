use super::*;
use crate::design::DEFAULT_SECTION;
use crate::energy::Parts;
use mirage_arithmetic::Pass;
use mirage_design::parse_section;
use proptest::prelude::*;

/// Of 8 units with 32 rows and 16 columns for 3 moduli of 5, 5 and 6 digits, and 0.5 W of laser light.
const PARTS: Parts =
    Parts { laser_watts: 2.5, rings: 131_072, multipliers: 12_288, amplifiers: 1_536, adcs: 1_536 };

/// The default section with some values replaced.
fn system(changes: &[(&str, &str)]) -> System {
    let mut text = DEFAULT_SECTION.to_owned();
    for (key, value) in changes {
        let line = text.lines().find(|line| line.split(' ').next() == Some(key)).expect("the key").to_owned();
        text = text.replacen(&line, &format!("{key} = {value}"), 1);
    }
    parse_section(&text, "test.toml", "system").expect("a section")
}

/// The default chip with some values replaced.
fn chip(changes: &[(&str, &str)]) -> Chip {
    Chip::new(&system(changes), BfpFormat::mirage(), &PARTS).expect("a chip")
}

const FIRST: (&str, &str) = ("dataflow", "\"DF1\"");
/// A port so fast that loading hides behind programming, whatever the tile.
const FAST: (&str, &str) = ("load_bandwidth", "\"1 PB/s\"");

fn entry(m: u64, k: u64, n: u64, repeats: u64) -> GemmEntry {
    GemmEntry { network: "net".into(), layer: "layer".into(), pass: Pass::Forward, m, k, n, repeats }
}

fn run(chip: &Chip, entry: &GemmEntry) -> LayerResult {
    chip.simulate(entry, &Options::default()).expect("a result")
}

#[test]
fn the_closed_form_holds_to_the_picosecond() {
    // T = ceil(tiles / 8) (5 ns + N / 10 GHz) + 10 ns, with the default's memories.
    let chip = chip(&[FIRST]);
    for m in [1, 31, 32, 33, 64, 100, 1000] {
        for k in [1, 15, 16, 17, 130, 576, 2048] {
            for n in [1, 2, 7, 50, 256, 1001] {
                let tiles: u64 = u64::div_ceil(m, 32) * u64::div_ceil(k, 16);
                let expected = tiles.div_ceil(8) * (5_000 + 100 * n) + 10_000;
                let result = run(&chip, &entry(m, k, n, 1));
                assert_eq!(result.picoseconds, expected, "{m} x {k} x {n}");
                assert_eq!(result.tiles, tiles);
                assert!(result.events >= tiles);
            }
        }
    }
}

#[test]
fn peak_is_reached_by_large_products_only() {
    let chip = chip(&[FIRST]);
    assert_eq!(chip.peak(), 40.96e12);
    let large = run(&chip, &entry(256, 256, 1_000_000, 1));
    assert!(large.utilisation > 0.9999 && large.bottleneck() == "streaming", "{large:?}");
    let single = run(&chip, &entry(1, 1, 1, 1));
    assert!((single.utilisation - 1.0 / (4096.0 * 151.0)).abs() < 1e-12);
    assert_eq!(single.bottleneck(), "imbalance");
    assert_eq!(run(&chip, &entry(32, 160_000, 9, 1)).bottleneck(), "programming");
    assert_eq!(run(&chip, &entry(1, 16 * 8, 100_000, 1)).bottleneck(), "edges");
}

#[test]
fn shadow_registers_hide_the_programming() {
    let chip = chip(&[FIRST, FAST, ("programming", "\"shadow\"")]);
    // Ten tiles for each unit; streaming longer than programming, and shorter.
    let long = run(&chip, &entry(32, 16 * 80, 100, 1));
    assert_eq!(long.picoseconds, 5_000 + 10 * 10_000 + 10_000);
    let short = run(&chip, &entry(32, 16 * 80, 20, 1));
    assert_eq!(short.picoseconds, 10 * 5_000 + 2_000 + 10_000);
}

#[test]
fn the_load_port_is_shared_and_first_tiles_can_be_cold() {
    // 352 B a tile at 35.2 GB/s: 10 ns each, one after the other for all eight units.
    let slow = [FIRST, ("load_bandwidth", "\"35.2 GB/s\"")];
    let prefetched = run(&chip(&slow), &entry(32, 16 * 80, 10, 1));
    // The port is never idle: 72 tiles after the prefetched ones; then the last is programmed, streamed, drained.
    assert_eq!(prefetched.picoseconds, 72 * 10_000 + 5_000 + 1_000 + 10_000);
    assert_eq!(prefetched.bottleneck(), "loading");
    let cold = run(&chip(&[slow[0], slow[1], ("first_tile", "\"cold\"")]), &entry(32, 16 * 80, 10, 1));
    // Eight more loads; and the unit that is served first asks again 5 ns later, when its programming begins.
    assert_eq!(cold.picoseconds, 80 * 10_000 + 5_000 + 1_000 + 10_000);
}

#[test]
fn slow_memories_slow_the_stream() {
    // 11 B a vector at 55 GB/s: 200 ps a vector instead of 100.
    let chip = chip(&[FIRST, ("stream_bandwidth", "\"55 GB/s\"")]);
    let result = run(&chip, &entry(32, 16 * 8, 1000, 1));
    assert_eq!(result.picoseconds, 5_000 + 200_000 + 10_000);
    assert!((result.breakdown.bandwidth - 100.0 / 215.0).abs() < 1e-12);
    // Partial sums: a first group only writes, 128 B a vector, all others read as well.
    let chip = self::chip(&[FIRST, ("accumulate_bandwidth", "\"1.28 TB/s\"")]);
    assert_eq!(run(&chip, &entry(32, 16, 1000, 1)).picoseconds, 5_000 + 100_000 + 10_000);
    assert_eq!(run(&chip, &entry(32, 32, 1000, 1)).picoseconds, 5_000 + 200_000 + 10_000);
}

#[test]
fn opt2_takes_the_faster_dataflow() {
    let wide = entry(32, 128, 10_000, 1);
    let tall = GemmEntry { m: 10_000, n: 32, ..wide.clone() };
    for (entry, stationary) in [(wide, Stationary::First), (tall, Stationary::Second)] {
        let best = run(&chip(&[("dataflow", "\"OPT2\"")]), &entry);
        let first = run(&chip(&[FIRST]), &entry);
        let second = run(&chip(&[("dataflow", "\"DF2\"")]), &entry);
        assert_eq!(best.stationary, stationary);
        assert_eq!(best.picoseconds, first.picoseconds.min(second.picoseconds));
        assert_ne!(first.picoseconds, second.picoseconds);
    }
}

#[test]
fn energy_is_what_was_done() {
    // Tiles of (32, 8) x (16, 4) of a 40 x 20 operand, seven vectors; default numbers, by hand.
    let result = run(&chip(&[FIRST]), &entry(40, 20, 7, 1));
    let seconds = (5_000.0 + 700.0 + 10_000.0) * 1e-12;
    let values = 40.0 * 20.0;
    let (sums, results) = (40.0 * 7.0, 40.0 * 7.0);
    // Groups of 16 take 11 B, of 4 take 28 bits, 4 B.
    let loaded = 40.0 * (11.0 + 4.0);
    let streamed = 2.0 * 7.0 * (11.0 + 4.0);
    let groups = (results / 16.0_f64).ceil() * 11.0;
    let expected = [
        0.5 / 0.2 * seconds,
        8.0 * 32.0 * 16.0 * 32.0 * 10e-6 * seconds,
        values * 7.0 * 32.0 * 0.9e-15,
        values * 3.0 * 6.8e-12,
        2.0 * 768.0 * 0.75e-3 * seconds,
        2.0 * 768.0 * 11.5e-3 / 2.4 * seconds,
        2.0 * results * 0.1e-12,
        (values + 2.0 * 7.0 * 20.0) * 0.06e-12,
        2.0 * sums * 0.3e-12,
        sums * 0.9e-12,
        sums * 12.0 * 1.25e-12,
        (loaded + streamed + 4.0 * results + 2.0 * groups) * 12.5e-12,
        0.8 * seconds,
    ];
    for ((component, joules), expected) in Component::ALL.into_iter().zip(result.energy).zip(expected) {
        assert!(
            (joules / expected - 1.0).abs() < 1e-9,
            "{}: {joules} J, by hand {expected}",
            component.name()
        );
    }
    let total: f64 = expected.iter().sum();
    assert!((result.joules() / total - 1.0).abs() < 1e-9);
}

#[test]
fn long_products_draw_the_streaming_power() {
    let chip = chip(&[FIRST]);
    let result = run(&chip, &entry(320, 16 * 3_200, 40_000, 1));
    let power = chip.streaming_power();
    for (component, joules) in Component::ALL.into_iter().zip(result.energy) {
        if !matches!(component, Component::Transmitters | Component::Quantisation) {
            let drawn = joules / result.seconds;
            let off = drawn / power[component as usize] - 1.0;
            assert!(off.abs() < 0.01, "{}: {drawn} W", component.name());
        }
    }
}

#[test]
fn converters_can_be_charged_as_published() {
    let chip = chip(&[("adc_model", "\"as-published\""), ("tx_model", "\"always-on\"")]);
    let power = chip.standing_power();
    assert!((power[Component::Adcs as usize] - 17.664).abs() < 1e-9);
    assert!((power[Component::Transmitters as usize] - 835.584).abs() < 1e-9);
    let warnings = chip.system.warnings();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("11.500 mW as published at 24.000 GS/s"), "{}", warnings[0]);
    assert!(warnings[0].contains("it would be 4.792 mW"), "{}", warnings[0]);
    assert!(warnings[1].contains("68.000 mW all the time"), "{}", warnings[1]);
    assert!(warnings[1].contains("6.800 pJ"), "{}", warnings[1]);
    // They follow the design, whatever its numbers.
    let slow = system(&[("clock", "\"6 GHz\""), ("adc_model", "\"as-published\"")]);
    assert!(slow.warnings()[0].contains("it would be 2.875 mW"), "{:?}", slow.warnings());
}

#[test]
fn parts_are_charged_as_counted() {
    // Half the rings and a modulus less: nothing is counted a second time here.
    let fewer = Parts { rings: 65_536, multipliers: 8_192, amplifiers: 1_024, adcs: 768, ..PARTS };
    let [all, few] = [PARTS, fewer]
        .map(|parts| Chip::new(&system(&[FIRST]), BfpFormat::mirage(), &parts).unwrap())
        .map(|chip| run(&chip, &entry(64, 64, 640, 1)).energy);
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
    let options = Options { repeats: Some(model), seed: 9 };
    let entry = entry(64, 256, 20_000, 1);
    let clean = run(&chip(&[FIRST]), &entry);
    let unit = chip(&[FIRST]).simulate(&entry, &options).unwrap();
    let row = chip(&[FIRST, ("stall", "\"row\"")]).simulate(&entry, &options).unwrap();
    for result in [&unit, &row] {
        let expected = 64.0 * 16.0 * 20_000.0 * 1e-3 * 1.24;
        assert!((result.repeated_expected - expected).abs() < 1e-6);
        assert!((result.repeated as f64 - expected).abs() < 6.0 * (1.3 * expected).sqrt());
        assert_eq!(result.macs, clean.macs);
        assert!(result.joules() > clean.joules());
    }
    // Four tiles for each unit, the first three held for 3 ns (the last one drains meanwhile); about 640 (then 128, 26) repeats a tile, one cycle each.
    let extra = unit.picoseconds - clean.picoseconds - 3 * 3_000;
    assert!((extra as f64 / (4.0 * 100.0 * 790.0) - 1.0).abs() < 0.1, "{extra} ps");
    // A row on its own waits for its own repeats alone.
    let waited = row.picoseconds - clean.picoseconds - 3 * 3_000;
    assert!(waited < extra / 10 && waited > 4 * 100 * 20, "{waited} ps");
    let none = chip(&[FIRST, ("hold", "\"none\"")]).simulate(&entry, &options).unwrap();
    assert_eq!(none.picoseconds, unit.picoseconds - 3 * 3_000);
    assert_eq!(none.repeated, unit.repeated);
}

#[test]
fn results_do_not_depend_on_threads_or_neighbours() {
    let model = RepeatModel { detected_per_group: 1e-4, again: 0.0, repeats: 2 };
    let options = Options { repeats: Some(model), seed: 1 };
    let list: Vec<GemmEntry> =
        (1..12).map(|i| GemmEntry { layer: format!("l{i}"), ..entry(20 * i, 300, 999, 1 + i % 3) }).collect();
    let chip = chip(&[]);
    let one = chip.run(&list, &options, 1, &|_| {}).unwrap();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let count = |_: usize| {
        calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    assert_eq!(chip.run(&list, &options, 8, &count).unwrap(), one);
    assert_eq!(calls.into_inner(), list.len());
    assert_eq!(chip.simulate(&list[4], &options).unwrap(), one[4]);
    let other = chip.run(&list, &Options { seed: 2, ..options }, 1, &|_| {}).unwrap();
    assert_ne!(other, one);
    assert!(chip.run(&[], &options, 4, &|_| {}).unwrap().is_empty());
}

#[test]
fn equal_entries_draw_independently() {
    let model = RepeatModel { detected_per_group: 1e-3, again: 0.1, repeats: 3 };
    let options = Options { repeats: Some(model), seed: 3 };
    let chip = chip(&[]);
    let drawn = |list: &[GemmEntry]| -> Vec<u64> {
        chip.run(list, &options, 2, &|_| {}).unwrap().iter().map(|layer| layer.repeated).collect()
    };
    let (same, other) = (entry(64, 256, 2_000, 1), entry(64, 256, 2_001, 1));
    let six = drawn(&vec![same.clone(); 6]);
    let distinct: std::collections::BTreeSet<u64> = six.iter().copied().collect();
    assert!(distinct.len() > 3, "{six:?}");
    // Spread as independent draws are: about 2,275 each.
    let mean = six.iter().sum::<u64>() as f64 / 6.0;
    let expected = chip.simulate(&same, &options).unwrap().repeated_expected;
    assert!((mean - expected).abs() < 4.0 * (1.5 * expected / 6.0).sqrt(), "{mean} {expected}");
    // What else stands in the list, and where, changes nothing; a size or the repeats alone make another stream.
    let mixed = drawn(&[other.clone(), same.clone(), other, same.clone()]);
    assert_eq!([mixed[1], mixed[3]], six[..2]);
    let keys: Vec<u64> = [[65, 256, 2_000, 1], [64, 257, 2_000, 1], [64, 256, 2_001, 1], [64, 256, 2_000, 2]]
        .iter()
        .map(|&[m, k, n, repeats]| entry(m, k, n, repeats))
        .chain([same])
        .map(|entry| rand::Rng::next_u64(&mut stream(3, &entry, 0)))
        .collect();
    assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
}

#[test]
fn sums_over_a_network_are_sums() {
    let chip = chip(&[]);
    let list = [entry(64, 64, 640, 1), entry(640, 30, 64, 2)];
    let layers = chip.run(&list, &Options::default(), 1, &|_| {}).unwrap();
    let sums = crate::summarise(&layers);
    assert_eq!(sums.len(), 1);
    assert_eq!(sums[0].macs, 64 * 64 * 640 + 2 * 640 * 30 * 64);
    assert!((sums[0].joules() - layers[0].joules() - layers[1].joules()).abs() < 1e-15);
    let utilisation = sums[0].macs as f64 / (chip.peak() * sums[0].seconds);
    assert!((sums[0].utilisation - utilisation).abs() < 1e-12);
    assert!((sums[0].breakdown.parts().iter().map(|part| part.1).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!((sums[0].watts() * sums[0].seconds - sums[0].joules()).abs() < 1e-15);
}

#[test]
fn what_is_no_chip_is_refused() {
    let system: System = parse_section(DEFAULT_SECTION, "test.toml", "system").unwrap();
    let new =
        |system: &System, format, laser_watts| Chip::new(system, format, &Parts { laser_watts, ..PARTS });
    assert!(matches!(new(&system, BfpFormat::mirage(), f64::NAN), Err(SystemError::OutOfRange { .. })));
    assert!(matches!(new(&system, BfpFormat::mirage(), -1.0), Err(SystemError::OutOfRange { .. })));
    let empty = BfpFormat { group: 0, ..BfpFormat::mirage() };
    assert!(matches!(new(&system, empty, 0.0), Err(SystemError::Format(_))));
    let small = DEFAULT_SECTION.replacen("\"24 MB\"", "\"5 kB\"", 1);
    let system: System = parse_section(&small, "test.toml", "system").unwrap();
    let error = new(&system, BfpFormat::mirage(), 0.0).unwrap_err().to_string();
    assert!(error.contains("cannot hold two tiles"), "{error}");
    // Known from the section and the format alone: 512 rows of 11 B.
    assert!(system.check().is_ok());
    let error = system.check_for(BfpFormat::mirage()).unwrap_err().to_string();
    assert!(error.contains("which take 5632 B"), "{error}");
    let half = BfpFormat { group: 8, ..BfpFormat::mirage() };
    assert!(system.check_for(half).is_ok());
}

#[test]
fn what_would_take_for_ever_is_refused() {
    let slow = chip(&[("clock", "\"1 Hz\"")]);
    let error = slow.simulate(&entry(1 << 20, 1 << 10, 1 << 10, 1), &Options::default()).unwrap_err();
    assert!(error.to_string().contains("too large to be simulated"), "{error}");
    let bad = RepeatModel { detected_per_group: 2.0, again: 0.0, repeats: 1 };
    let options = Options { repeats: Some(bad), seed: 0 };
    assert!(matches!(slow.simulate(&entry(1, 1, 1, 1), &options), Err(SystemError::OutOfRange { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any product on any chip: each multiplication once, all time accounted for, never faster than light.
    #[test]
    fn nothing_is_lost(
        (m, k, n, repeats) in (1u64..300, 1u64..300, 1u64..300, 1u64..5),
        (units, rows) in (1u32..12, 1u32..40),
        (load, stream, sums) in (1u32..2000, 1u32..2000, 1u32..5000),
        (group, program, pipeline) in (1usize..40, 0u32..20, 3u32..30),
        choices in prop::array::uniform5(any::<bool>()),
        detected in prop_oneof![Just(0.0), 0.0..0.01, 0.0..1.0],
    ) {
        let pick = |index: usize, no: &str, yes: &str| format!("\"{}\"", if choices[index] { yes } else { no });
        let rate = |gigabytes: u32| format!("\"{gigabytes} GB/s\"");
        let changes = [
            ("units", units.to_string()),
            ("rows", rows.to_string()),
            ("program_time", format!("\"{program} ns\"")),
            ("pipeline_latency", format!("\"{pipeline} ns\"")),
            ("load_bandwidth", rate(load)),
            ("stream_bandwidth", rate(stream)),
            ("accumulate_bandwidth", rate(sums)),
            ("programming", pick(0, "blocking", "shadow")),
            ("stall", pick(1, "unit", "row")),
            ("first_tile", pick(2, "prefetched", "cold")),
            ("dataflow", pick(3, "DF1", "DF2")),
            ("hold", pick(4, "until-checked", "none")),
        ];
        let changes: Vec<(&str, &str)> = changes.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let format = BfpFormat { group, ..BfpFormat::mirage() };
        let make = |changes: &[(&str, &str)]| Chip::new(&system(changes), format, &PARTS).unwrap();
        let entry = entry(m, k, n, repeats);
        let model = RepeatModel { detected_per_group: detected, again: 0.3, repeats: 2 };
        let chip = make(&changes);
        let result = chip.simulate(&entry, &Options { repeats: Some(model), seed: 5 }).unwrap();
        prop_assert_eq!(result.macs, m * k * n * repeats);
        // Every tile was done, none is left waiting.
        let height = if result.stationary == Stationary::First { m } else { n };
        let tiles = height.div_ceil(u64::from(rows)) * k.div_ceil(group as u64) * repeats;
        prop_assert_eq!(result.tiles, tiles);
        let parts = result.breakdown.parts();
        prop_assert!((parts.iter().map(|part| part.1).sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", parts);
        prop_assert!(parts.iter().all(|part| part.1 >= -1e-12), "{:?}", parts);
        prop_assert!((result.breakdown.useful - result.utilisation).abs() < 1e-9);
        prop_assert!(result.utilisation <= 1.0);
        prop_assert!(result.events >= result.tiles);
        prop_assert!(result.energy.iter().all(|joules| joules.is_finite() && *joules >= 0.0));
        // Blocking and without errors, nothing beats the closed form; with fast memories it is met.
        if !choices[0] {
            prop_assert!(result.picoseconds >= chip.closed_form(&entry, result.stationary).unwrap());
        }
        if !choices[0] && detected == 0.0 && !choices[2] {
            let mut fast = changes.clone();
            for (key, value) in &mut fast {
                if key.ends_with("bandwidth") {
                    *value = "\"10 PB/s\"";
                }
            }
            let fast = make(&fast);
            let exact = fast.simulate(&entry, &Options::default()).unwrap();
            prop_assert_eq!(exact.picoseconds, fast.closed_form(&entry, exact.stationary).unwrap());
        }
    }
}
