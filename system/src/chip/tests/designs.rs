//! Any design: what is refused, what is drawn, and random ones to their end.

use super::*;

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

/// A random small network: convolutions, some with a branch around them, and attention of the last one's positions to each other.
fn network() -> impl Strategy<Value = Network> {
    let layer = (1u64..40, 1u64..3, prop::bool::ANY, prop::bool::ANY, prop::bool::ANY);
    (prop::collection::vec(layer, 1..5), prop::bool::ANY).prop_map(|(layers, attention)| {
        let mut text = String::from("# network: random\nlayer,kind,in_channels,out_channels,in_height,in_width,kernel_height,kernel_width,stride,padding,groups,bias,norm,tied,input_gradient,activation,inputs\n");
        let (mut channels, mut size, mut last) = (3, 12, "data".to_owned());
        for (index, (out, stride, norm, relu, branch)) in layers.into_iter().enumerate() {
            let yes = |flag| if flag { "yes" } else { "no" };
            let branch = branch && index > 0;
            let (out, stride) = if branch { (channels, 1) } else { (out, stride) };
            text += &format!(
                "l{index},conv,{channels},{out},{size},{size},3,3,{stride},1,1,{},{},no,{},{},{last}\n",
                yes(!norm), if norm { ["batch", "layer"][index % 2] } else { "no" }, yes(index > 0), if relu { "relu" } else { "none" }
            );
            channels = out;
            size = (size + 2 - 3) / stride + 1;
            if branch {
                text += &format!("a{index},add,{channels},{channels},{size},{size},1,1,1,0,1,no,no,no,yes,relu,l{index} {last}\n");
                last = format!("a{index}");
            } else {
                last = format!("l{index}");
            }
        }
        if attention {
            let positions = size * size;
            text += &format!("m,matmul,{channels},{positions},{positions},1,1,1,1,0,1,no,no,no,yes,none,{last} {last}\n");
            text += &format!("s,softmax,{positions},{positions},{positions},1,1,1,1,0,1,no,no,no,yes,none,m\n");
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
        batch in 1u64..8,
        (units, rows, group) in (1u32..12, 1u32..40, 1usize..40),
        (channels, queue, block, staging) in (1u32..6, 1u32..4, 1u32..9, 1u32..4),
        (open, prefetch, outputs) in (1u32..7, 1u32..4, 1u32..4),
        (banks, ports, working) in (1u32..5, 1u32..4, 1u32..101),
        (sram, accumulators) in (0u32..8, 0u32..8),
        choices in prop::array::uniform7(any::<bool>()),
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
            ("controller.pipelining", pick(6, "none", "samples")),
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
