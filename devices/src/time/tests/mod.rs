use super::*;
use crate::characterise::bench::Watch;
use crate::noise::Seeds;
use crate::unit::chips::Chip;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::parameters::{Codes, Crosstalk, Dac, FrontEnd, MdpuParameters, Trim};
use crate::unit::population::Population;
use num_complex::Complex64;
use rand::SeedableRng;
use rand_pcg::Pcg64;

mod cascade;

fn speeds() -> TimeParameters {
    TimeParameters { clock: 10e9, driver_rise: 15e-12, ring_lifetime: 8e-12, diode_bandwidth: 40e9 }
}

/// Everything that a chip's fields depend on.
fn rough(group: usize) -> MdpuParameters {
    let mut p = MdpuParameters::ideal(group);
    (p.rings.pass_loss_db, p.rings.drop_loss_db, p.rings.extinction_db) = (0.2, 0.3, 25.0);
    (p.shifters.loss_db, p.shifters.drive_loss, p.shifters.mismatch) = (0.91, 0.1, 1e-5);
    p.dac = Dac { codes: Codes::Nearest, bits: 13, inl: 0.3, dnl: 0.2 };
    p.trim = Trim { fabrication: 1.0, resolution: 0.006, range: std::f64::consts::PI };
    p.crosstalk = Crosstalk::of_a_row(2e-5);
    p.detector.front_end = FrontEnd::InputNoise(1.1e-6);
    (p.noise.jitter, p.noise.sampling_time) = (1e-13, 1e-10);
    p
}

#[test]
fn settled_currents_equal_the_static_answer() {
    let mut p = rough(16);
    (p.shifters.settling_time, p.shifters.program_time) = (0.1e-9, 5e-9);
    for m in [31u32, 33] {
        let unit = Mdpu::new(&p, m).unwrap();
        let operands = Operands::uniform(m);
        let mut rng = Pcg64::seed_from_u64(u64::from(m));
        let chip = Chip::sample(&unit, &operands, &mut rng);
        // The last symbol of each tile is held until it is sampled, here 60 periods later.
        let tiles: Vec<Tile> = (0..3).map(|_| rate::tile(&chip, 2, &mut rng)).collect();
        let symbols = stream(&chip, &speeds(), &tiles, 6e-9).unwrap();
        let light = unit.light(1e-3);
        for symbol in symbols.iter().filter(|s| s.place == 1) {
            let tile = &tiles[symbol.tile];
            let expected = chip.field(&tile.stationary, &tile.streamed[1]);
            let (read, settled) = (unit.detect(light, symbol.field).0, unit.detect(light, expected).0);
            let size = settled[0].hypot(settled[1]);
            assert!(
                (read[0] - settled[0]).hypot(read[1] - settled[1]) < 1e-11 * size,
                "{read:?} {settled:?}"
            );
            assert!(symbol.slope.norm() * 1e-10 < 1e-10 * expected.norm());
        }
    }
}

/// With immediate switches only the amplifier remembers: y(k) = x(k) + (y(k-1) - x(k)) exp(-T/tau).
#[test]
fn a_slow_amplifier_gives_the_textbook_recursion() {
    let mut p = rough(4);
    p.detector.bandwidth = 5e9;
    let unit = Mdpu::new(&p, 31).unwrap();
    let operands = Operands::uniform(31);
    let mut rng = Pcg64::seed_from_u64(4);
    let chip = Chip::sample(&unit, &operands, &mut rng);
    let time = TimeParameters { driver_rise: 0.0, ring_lifetime: 0.0, diode_bandwidth: 1e16, ..speeds() };
    let tile = rate::tile(&chip, 40, &mut rng);
    let symbols = stream(&chip, &time, std::slice::from_ref(&tile), 1.0 / time.clock).unwrap();
    let left = (-std::f64::consts::TAU * 5e9 / time.clock).exp();
    let mut y = chip.field(&tile.stationary, &tile.streamed[0]);
    for symbol in &symbols {
        let x = chip.field(&tile.stationary, &tile.streamed[symbol.place]);
        y = x + (y - x) * left;
        // (the diode's pole, a million times faster, still delays by 1.6e-17 s)
        assert!((symbol.field - y).norm() < 2e-6, "{}: {} {y}", symbol.place, symbol.field);
    }
    let pairs = pair_deviations(&chip, std::slice::from_ref(&tile), &symbols);
    assert_eq!(pairs.iter().map(|pair| pair.count).sum::<usize>(), 39);
    assert!(pairs.iter().any(|pair| pair.phase_worst_rad > 0.01));
}

#[test]
fn with_bandwidths_far_above_the_clock_the_channel_is_the_static_one() {
    let unit = Mdpu::new(&rough(16), 31).unwrap();
    let operands = Operands::uniform(31);
    let unit = (unit.clone(), Population::new(&unit, &operands));
    let plan = MemoryPlan { chips: 4, tiles: 2, symbols: 30, seed: 5 };
    let at = |clock: f64| {
        let time = TimeParameters { clock, ..speeds() };
        memory_rates(&unit, &operands, 2.2e-4, &time, 0.9 / clock, plan, Watch::default()).unwrap()
    };
    let slow = at(0.1e9);
    assert!(slow.settled_rate > 1e-3 && slow.settled_rate < 0.5, "{slow:?}");
    for (a, b) in slow.streamed_offsets.iter().zip(&slow.settled_offsets) {
        assert!((a - b).abs() < 1e-9 * slow.settled_rate, "{a} {b}");
    }
    assert!((slow.ratio.unwrap() - 1.0).abs() < 1e-9, "{:?}", slow.ratio);
    // At a gigahertz the memory is seen, and raises the rate.
    let fast = at(1e9);
    assert!((fast.settled_rate / slow.settled_rate - 1.0).abs() < 1e-12);
    assert!(fast.phase_rms > 1e-5 && fast.ratio > Some(1.0), "{fast:?}");
    assert_eq!(fast, at(1e9));
    // Through 80 digits of 8 ps nothing can be read at 10 GHz, and no ratio is given.
    let shut = at(10e9);
    assert!(shut.lost > shut.symbols / 2 && shut.ratio.is_none(), "{shut:?}");
}

/// The default design's devices, with numbers for what it leaves open.
fn default_devices() -> (MdpuParameters, TimeParameters) {
    let mut text = include_str!("../../../../data/designs/parts/devices.toml").to_owned();
    for (key, value) in [
        ("power", "\"62 mW\""),
        ("extinction", "\"30.5 dB\""),
        ("bits", "16"),
        ("resolution", "\"3.6 mrad\""),
        ("coefficient", "1.2e-5"),
    ] {
        text = text.replacen(
            &format!("\n{key} = {{ value = \"required\""),
            &format!("\n{key} = {{ value = {value}"),
            1,
        );
    }
    let document = mirage_design::Document::new(&text, "devices.toml").unwrap();
    let section = crate::section::DevicesSection::read(&document).unwrap();
    (section.design_point(16).parameters, section.time_parameters(10e9).unwrap())
}

/// What the population makes of the memory against the symbols themselves, at rates that they see: a little memory and much of it.
#[test]
fn the_population_sees_the_memory_that_sampled_symbols_see() {
    let (parameters, time) = default_devices();
    let unit = Mdpu::new(&parameters, 31).unwrap();
    let operands = Operands::uniform(31);
    let both = (unit.clone(), Population::new(&unit, &operands));
    let plan = MemoryPlan { chips: 60, tiles: 2, symbols: 64, seed: 5 };
    for (ring_lifetime, power, least) in [(0.0, 25e-3, 1.2), (0.4e-12, 25e-3, 2.0), (0.4e-12, 15e-3, 1.5)] {
        let time = TimeParameters { ring_lifetime, ..time };
        let instant = eye_of(&unit, &operands, &time, 5).unwrap().instant();
        let found = memory_rates(&both, &operands, power, &time, instant, plan, Watch::default()).unwrap();
        let (ratio, sampled) = (found.ratio.unwrap(), found.sampled_ratio());
        println!("{ratio} {sampled} {} {}", found.sampled_ratio_error, found.effective_symbols);
        assert!(found.effective_symbols > 300.0 && sampled > least, "{found:?}");
        let sigmas = (ratio - sampled) / found.sampled_ratio_error;
        assert!(sigmas.abs() < 3.5, "{ratio} {sampled} {sigmas}");
        assert!(found.sampled_ratio_error < 0.1 * ratio, "{found:?}");
    }
}

/// With immediate switches and one pole, the eye at the end of a symbol is that of y(k) = x(k) + (y(k-1) - x(k)) exp(-T/tau), in closed
/// form; and it shuts by no more than the largest step from one symbol to the next leaves.
#[test]
fn the_eye_behind_one_pole_is_its_closed_form() {
    let operands = Operands::uniform(31);
    let half = std::f64::consts::PI / 31.0;
    let time = TimeParameters { driver_rise: 0.0, ring_lifetime: 0.0, diode_bandwidth: 1e16, ..speeds() };
    let mut openings = Vec::new();
    for bandwidth in [5e9, 10e9, 20e9, 40e9] {
        let mut p = rough(16);
        p.detector.bandwidth = bandwidth;
        let unit = Mdpu::new(&p, 31).unwrap();
        let mut rng = Pcg64::seed_from_u64(6);
        let chip = Chip::sample(&unit, &operands, &mut rng);
        let tile = rate::tile(&chip, 60, &mut rng);
        let found = trace(&chip, &time, &tile, 40).unwrap();
        let eye = eye(&chip, &[(tile.clone(), found)], 2);
        let left = (-std::f64::consts::TAU * bandwidth / time.clock).exp();
        let x: Vec<Complex64> = tile.streamed.iter().map(|x| chip.field(&tile.stationary, x)).collect();
        let (mut y, mut closed, mut bound) = (x[0], f64::INFINITY, f64::INFINITY);
        let largest = x.iter().map(|x| x.norm()).fold(0.0, f64::max);
        for (k, &x) in x.iter().enumerate().take(59) {
            y = x + (y - x) * left;
            if k >= 2 {
                let ratio = y / x;
                closed = closed.min(ratio.norm() * (half - ratio.arg().abs()).sin() / half.sin());
                bound = bound.min(1.0 - left * (largest + x.norm()) / (x.norm() * half.sin()));
            }
        }
        // (The diode's pole, a million times faster, still delays by 1.6e-17 s.)
        assert!((eye.openings[40] - closed).abs() < 1e-4, "{bandwidth}: {} {closed}", eye.openings[40]);
        assert!(eye.opening() > closed - 1e-3 && closed >= bound - 1e-4, "{bandwidth}: {closed} {bound}");
        // Nothing is gained by waiting beyond the last moment.
        assert!((eye.instant() - 1e-10).abs() < 0.5e-10, "{}", eye.instant());
        openings.push(eye.opening());
    }
    assert!(openings.windows(2).all(|pair| pair[0] < pair[1] + 1e-3), "{openings:?}");
    assert!(openings[0] < 0.9 && openings[3] > 1.0 - 1e-3, "{openings:?}");
}

/// The best instant follows the light's delay in the rings: 2 tau for each digit that is set.
#[test]
fn the_best_instant_follows_the_delay() {
    let unit = Mdpu::new(&rough(16), 31).unwrap();
    let operands = Operands::uniform(31);
    let best = |clock: f64, ring_lifetime: f64| {
        eye_of(&unit, &operands, &TimeParameters { clock, ring_lifetime, ..speeds() }, 6).unwrap()
    };
    let (none, some) = (best(1e9, 0.0), best(1e9, 2e-12));
    assert!(none.opening() > 0.99 && some.opening() > 0.9, "{} {}", none.opening(), some.opening());
    assert!(best(10e9, 8e-12).opening() < 0.0, "shut");
    assert_eq!(best(10e9, 8e-12).instants.len(), 800, "2 symbols and 80 x 8 ps");
}

/// Slower rings need a slower clock: the limits stand where the rule turns, and follow each other.
#[test]
fn limits_stand_where_the_rule_turns() {
    let p = rough(4);
    let operands = [Operands::uniform(31)];
    let bench = crate::characterise::bench::Bench::new(&p, &[31], &operands).unwrap();
    let rule = MemoryRule { laser_power: 1e-3, penalty_db: 0.5 };
    let plan = MemoryPlan { chips: 2, tiles: 2, symbols: 64, seed: 5 };
    let limits = |clock: f64, ring_lifetime: f64| {
        let time = TimeParameters { clock, ring_lifetime, driver_rise: 0.0, ..speeds() };
        memory_limits(&bench, &operands, rule, &time, plan, Watch::default()).unwrap()
    };
    let found = limits(5e9, 1e-12);
    let (lifetime, clock) = (found.lifetime.unwrap(), found.clock.unwrap());
    assert!(lifetime > 0.0, "{found:?}");
    // With just that lifetime, the fastest clock is the one it was found at (or the next step).
    let back = limits(5e9, lifetime).clock.unwrap();
    assert!((5e9..5e9 * 1.3).contains(&back), "{lifetime} {back}");
    assert!((clock > 5e9) == (lifetime > 1e-12), "{found:?}");
}

#[test]
fn what_has_not_settled_is_amplified_as_the_closed_form_says() {
    let operands = Operands::uniform(32);
    let mut p = MdpuParameters::ideal(16);
    (p.shifters.settling_time, p.shifters.program_time) = (0.5e-9, 5e-9);
    let unit = Mdpu::new(&p, 32).unwrap();
    // sqrt(2 x 16) (2 pi/32) x rms of 0..31 x standard deviation of 0..31.
    let (rms, deviation) = ((31.0f64 * 63.0 / 6.0).sqrt(), (1023.0f64 / 12.0).sqrt());
    let closed = 32f64.sqrt() * std::f64::consts::TAU / 32.0 * rms * deviation;
    let unsettled = unsettled_phase(&unit, &operands).unwrap();
    assert!((unsettled / closed - 1.0).abs() < 1e-9, "{unsettled} {closed}");
    // Simulated: the first symbol of each tile, sampled 5.1 ns after reprogramming, all else fast.
    let mut rng = Pcg64::seed_from_u64(7);
    let chip = Chip::sample(&unit, &operands, &mut rng);
    let time = TimeParameters { driver_rise: 0.0, ring_lifetime: 1e-13, ..speeds() };
    let tiles: Vec<Tile> = (0..400).map(|_| rate::tile(&chip, 1, &mut rng)).collect();
    let instant = 0.2e-9;
    let symbols = stream(&chip, &time, &tiles, instant).unwrap();
    let squares: f64 = symbols[1..]
        .iter()
        .map(|s| {
            let tile = &tiles[s.tile];
            let settled = chip.field(&tile.stationary, &tile.streamed[0]);
            (s.field / settled).arg().powi(2)
        })
        .sum();
    let rms = (squares / (symbols.len() - 1) as f64).sqrt();
    // The front end looks back by its time constants.
    let front = time.constants(unit.parameters());
    let age = 5e-9 + instant - front.diode - front.amplifier;
    let expected = unsettled * (-age / 0.5e-9).exp();
    assert!((rms / expected - 1.0).abs() < 0.12, "{rms} {expected}");
}

#[test]
fn a_portrait_without_noise_shows_what_streams() {
    let mut p = rough(16);
    p.detector.front_end = FrontEnd::InputNoise(0.0);
    p.noise.jitter = 0.0;
    let unit = Mdpu::new(&p, 31).unwrap();
    let operands = Operands::uniform(31);
    let quick = TimeParameters { ring_lifetime: 0.3e-12, ..speeds() };
    let shown = |time: &TimeParameters, instant| {
        let sitting = Sitting { instant, symbols: 130, seed: 9, noise: Seeds::all(9) };
        portrait(&unit, &operands, 100.0, time, sitting).unwrap()
    };
    let found = shown(&quick, None);
    assert_eq!((found.constellation.len(), found.instant), (130, found.eye.instant()));
    assert!(found.constellation.iter().any(|c| (c.i_a - c.settled_i_a).abs() > 1e-4 * c.i_a.abs()));
    // (each tile of 64, 64 and 2 symbols has a first one without a symbol before it)
    assert_eq!(found.pairs.iter().map(|pair| pair.count).sum::<usize>(), 127);
    let slow = shown(&TimeParameters { clock: 1e8, ..quick }, Some(9e-9));
    for c in &slow.constellation {
        let size = c.i_a.hypot(c.q_a);
        assert!((c.i_a - c.settled_i_a).hypot(c.q_a - c.settled_q_a) < 1e-9 * size);
        // A hundred watts of light: shot noise is next to nothing.
        assert!((c.noisy_i_a - c.i_a).hypot(c.noisy_q_a - c.q_a) < 1e-3 * size);
        // What this chip reads of the settled symbol, right or wrong.
        let turns = c.settled_q_a.atan2(c.settled_i_a) / std::f64::consts::TAU * 31.0;
        assert_eq!(c.read as i64, (turns.round() as i64).rem_euclid(31));
    }
}

#[test]
fn slopes_are_those_of_the_trace() {
    let unit = Mdpu::new(&rough(4), 31).unwrap();
    let operands = Operands::uniform(31);
    let mut rng = Pcg64::seed_from_u64(8);
    let chip = Chip::sample(&unit, &operands, &mut rng);
    let tile = rate::tile(&chip, 3, &mut rng);
    let at = |instant: f64| stream(&chip, &speeds(), std::slice::from_ref(&tile), instant).unwrap()[2];
    let (before, here, after) = (at(29e-12), at(30e-12), at(31e-12));
    let slope = (after.field - before.field) / 2e-12;
    assert!((here.slope - slope).norm() < 1e-2 * slope.norm(), "{} {slope}", here.slope);
}

#[test]
fn what_does_not_fit_is_refused() {
    let unit = Mdpu::new(&MdpuParameters::ideal(2), 31).unwrap();
    let operands = Operands::uniform(31);
    let chip = Chip::sample(&unit, &operands, &mut Pcg64::seed_from_u64(1));
    let tile = |stationary: &[usize], streamed: &[&[usize]]| Tile {
        stationary: stationary.to_vec(),
        streamed: streamed.iter().map(|x| x.to_vec()).collect(),
    };
    for (tiles, says) in [
        (vec![], "at least one tile"),
        (vec![tile(&[1, 2], &[])], "a symbol in each"),
        (vec![tile(&[1, 2], &[&[1]])], "1 operands for 2 MMUs"),
        (vec![tile(&[1, 31], &[&[1, 1]])], "operand 31 is not below"),
    ] {
        let error = stream(&chip, &speeds(), &tiles, 1e-10).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let good = [tile(&[1, 2], &[&[3, 4]])];
    for instant in [f64::NAN, -1e-12, 1.0] {
        assert!(stream(&chip, &speeds(), &good, instant).unwrap_err().to_string().contains("sampling"));
    }
    let broken = TimeParameters { diode_bandwidth: 0.0, ..speeds() };
    assert!(stream(&chip, &broken, &good, 1e-10).unwrap_err().to_string().contains("diode_bandwidth"));
    assert!(trace(&chip, &speeds(), &good[0], 0).is_err());
}
