//! One product at a time: closed forms, and what each memory does to it.

use super::*;

#[test]
fn the_closed_form_holds_where_nothing_is_shared() {
    // Drained at once: a tick for any block.
    let chip = chip(&with(&FAST, &[("sram.drain_bandwidth", "1000000 PB/s")]));
    for m in [1, 31, 33, 64, 100, 1000] {
        for k in [1, 16, 17, 130, 576, 2048] {
            for n in [1, 7, 256, 1001, 200_704] {
                let entry = entry(m, k, n, 1);
                let expected = chip.closed_form(&entry, Stationary::First).unwrap();
                // By hand: ceil(tiles / 8) (5 ns + N / 10 GHz) + 10 ns, and the tick of the drain.
                let tiles: u64 = u64::div_ceil(m, 32) * u64::div_ceil(k, 16);
                assert_eq!(expected, tiles.div_ceil(8) * (5_000 + 100 * n) + 10_000 + 1, "{m} x {k} x {n}");
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
fn units_can_be_mapped_out() {
    let fewer = Chip::new(&out_of_use("[3, 5]"), BfpFormat::mirage(), &PARTS).unwrap();
    let product = entry(32, 16 * 24, 4_000, 1);
    let (all, six) = (run(&chip(&[]), std::slice::from_ref(&product)), run(&fewer, &[product]));
    assert_eq!(all.network.macs, six.network.macs);
    assert_eq!(all.network.energy_of(Component::RingDrive), six.network.energy_of(Component::RingDrive));
    assert!((six.network.breakdown.share("out of use") - 0.25).abs() < 1e-9);
    assert!(six.network.seconds > all.network.seconds);
}
