//! Energy, counted by hand.

use super::*;

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
    // Cycles streamed again, from the time of the units; of a row on its own, its repeats.
    let cycles = unit.network.breakdown.share("repeats") * 8.0 * unit.network.seconds * 10e9;
    again_by_hand(&unit, &clean, [cycles, 32.0 * cycles]);
    again_by_hand(&row, &clean, [row.network.repeated as f64; 2]);
}

/// Energy of repeats: each vector that streams again is fetched (11 B) and brought into residues (16 values), each row that it
/// crosses drives the 32 rings of each of its 16 values and is converted once more. Lasers, converters and amplifiers are
/// on all the time; nothing else is done twice.
fn again_by_hand(result: &StepResult, clean: &StepResult, [vectors, rows]: [f64; 2]) {
    assert!(vectors > 0.0);
    let expected = [
        ("ring drive", rows * 16.0 * 32.0 * 0.9e-15),
        ("forward conversion", vectors * 16.0 * 0.06e-12),
        ("reverse conversion", rows * 0.3e-12),
        ("SRAM, activations", vectors * 11.0 * 12.5e-12),
    ];
    for component in Component::ALL {
        let standing = result.network.seconds - clean.network.seconds;
        let power = chip(&FAST).standing_power()[component as usize];
        let by_hand =
            expected.iter().find(|e| e.0 == component.name()).map_or(0.0, |e| e.1) + power * standing;
        let extra = result.network.energy_of(component) - clean.network.energy_of(component);
        let scale = clean.network.energy_of(component).max(by_hand);
        assert!(
            (extra - by_hand).abs() <= 1e-9 * scale,
            "{}: {extra} J, by hand {by_hand}",
            component.name()
        );
    }
}
