use super::*;
use crate::characterise::bench::Watch;
use crate::noise::Seeds;
use crate::unit::chips::Chip;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::parameters::{Codes, Crosstalk, Dac, FrontEnd, MdpuParameters, OwnBus, Trim};
use crate::unit::population::Population;
use num_complex::Complex64;
use rand::SeedableRng;
use rand_pcg::Pcg64;

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
    p.crosstalk = Crosstalk {
        coefficient: 2e-5,
        decay: 60e-6,
        pitch: 30e-6,
        own_bus: OwnBus::Distance(20e-6),
        ..Crosstalk::NONE
    };
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

/// One stage, no losses: driver, both rings' modes, diode and amplifier by Runge and Kutta's method, 40,000 steps of fourth
/// order, of the equations as they are written.
#[test]
fn a_single_switch_solves_its_differential_equations() {
    let unit = Mdpu::new(&MdpuParameters::ideal(1), 2).unwrap();
    let operands = Operands::uniform(2);
    let chip = Chip::sample(&unit, &operands, &mut Pcg64::seed_from_u64(1));
    let time = speeds();
    let tile = Tile { stationary: vec![1], streamed: vec![vec![0], vec![1], vec![0], vec![1]] };
    let points = 10;
    let found = trace(&chip, &time, &tile, points).unwrap();
    let (bus, detour) = (chip.field(&[1], &[0]), chip.field(&[1], &[1]));
    let poles = time.front_end(unit.parameters().detector.bandwidth);
    let (driver, ring) = (time.driver_rise / 9f64.ln(), time.ring_lifetime);
    // (driver, first ring, part over the bus, part over the detour, diode, amplifier) of each path: the rings know of no phase.
    let slope = |target: f64, [d, a, b, e, f, g]: [Complex64; 6]| {
        let through = bus * (1.0 - d * a - d * b) + detour * d * e;
        [
            (target - d) / driver,
            (d - a) / ring,
            (d * (1.0 - d * a) - b) / ring,
            (d * (d * a) - e) / ring,
            (through - f) / poles.first,
            (f - g) / poles.second,
        ]
    };
    let plus = |s: [Complex64; 6], k: [Complex64; 6], h: f64| std::array::from_fn(|i| s[i] + k[i] * h);
    let (zero, steps) = (Complex64::ZERO, 1000);
    let mut s = [zero, zero, zero, zero, bus, bus];
    let h = found.period / f64::from(points as u32 * steps);
    for at in 0..found.fields.len() {
        assert!((found.fields[at] - s[5]).norm() < 1e-12, "{at}: {} {}", found.fields[at], s[5]);
        let target = tile.streamed[at / points][0] as f64;
        for _ in 0..steps {
            let k1 = slope(target, s);
            let k2 = slope(target, plus(s, k1, 0.5 * h));
            let k3 = slope(target, plus(s, k2, 0.5 * h));
            let k4 = slope(target, plus(s, k3, h));
            s = std::array::from_fn(|i| s[i] + (k1[i] + (k2[i] + k3[i]) * 2.0 + k4[i]) * (h / 6.0));
        }
    }
}

/// The whole cascade against Simpson's rule on 40,000 steps.
#[test]
fn the_convolution_of_all_stages_is_exact() {
    let unit = Mdpu::new(&rough(16), 32).unwrap();
    let operands = Operands::uniform(32);
    let mut rng = Pcg64::seed_from_u64(3);
    let chip = Chip::sample(&unit, &operands, &mut rng);
    let time = speeds();
    // Every switch moves.
    let tile = Tile { stationary: chip.draw(&mut rng).0, streamed: vec![vec![0; 16], vec![31; 16]] };
    let mut path = path::Path::new(&chip, &time, &tile.stationary, &tile.streamed[0]);
    let poles = time.front_end(unit.parameters().detector.bandwidth);
    let start = path.transfer(0.0);
    path.switch(&tile.streamed[1]);
    let found = trace(&chip, &time, &tile, 4).unwrap();
    for at in 1..4 {
        let t = at as f64 / 4.0 / time.clock;
        let steps = 40_000;
        let h = t / f64::from(steps);
        let integrand = |s: f64| path.transfer(s) * (poles.left(t - s).carried / poles.first);
        let sum: Complex64 = (0..=steps)
            .map(|k| {
                let weight = if k == 0 || k == steps { 1.0 } else { f64::from(2 + 2 * (k % 2)) };
                integrand(f64::from(k) * h) * weight
            })
            .sum();
        let left = poles.left(t);
        let expected = sum * (h / 3.0) + start * (left.carried + left.second);
        assert!((found.fields[4 + at] - expected).norm() < 1e-11 * start.norm(), "{at}");
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
    assert!((slow.ratio - 1.0).abs() < 1e-9, "{}", slow.ratio);
    // At the full clock the memory is seen, and raises the rate.
    let fast = at(10e9);
    assert!((fast.settled_rate / slow.settled_rate - 1.0).abs() < 1e-12);
    assert!(fast.phase_rms > 1e-4 && fast.sampled_ratio() > 1.001, "{fast:?}");
    assert_eq!(fast, at(10e9));
}

#[test]
fn the_population_sees_the_memory_that_sampled_symbols_see() {
    let mut p = rough(16);
    p.detector.bandwidth = 7e9;
    let unit = Mdpu::new(&p, 31).unwrap();
    let operands = Operands::uniform(31);
    let both = (unit.clone(), Population::new(&unit, &operands));
    let plan = MemoryPlan { chips: 60, tiles: 2, symbols: 64, seed: 5 };
    let found = memory_rates(&both, &operands, 4e-4, &speeds(), 1.05e-10, plan, Watch::default()).unwrap();
    assert!(found.effective_symbols > 300.0 && found.sampled_ratio() > 1.2, "{found:?}");
    let sigmas = (found.ratio - found.sampled_ratio()) / found.sampled_ratio_error;
    assert!(sigmas.abs() < 3.5, "{} {} {sigmas}", found.ratio, found.sampled_ratio());
    assert!(found.sampled_ratio_error < 0.1 * found.ratio, "{found:?}");
}

#[test]
fn eyes_open_with_bandwidth_and_the_best_instant_follows_the_delay() {
    let operands = Operands::uniform(31);
    let eye_at = |bandwidth: f64| {
        let mut p = rough(16);
        p.detector.bandwidth = bandwidth;
        let unit = Mdpu::new(&p, 31).unwrap();
        let mut rng = Pcg64::seed_from_u64(6);
        let chip = Chip::sample(&unit, &operands, &mut rng);
        let tile = rate::tile(&chip, 60, &mut rng);
        let found = trace(&chip, &speeds(), &tile, 40).unwrap();
        eye(&chip, &[(tile, found)])
    };
    let (narrow, middle, wide) = (eye_at(5e9), eye_at(10e9), eye_at(40e9));
    assert!(narrow.opening() < middle.opening() && middle.opening() < wide.opening(), "{narrow:?}");
    assert!(wide.opening() > 0.9 && wide.opening() < 1.0);
    // The last moment is the best as long as the eye is not wide open; a little later, since the next symbol comes with delay.
    assert!(middle.instant() >= 0.95e-10 && middle.instant() < 1.3e-10, "{}", middle.instant());
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
    let front = time.front_end(unit.parameters().detector.bandwidth);
    let age = 5e-9 + instant - front.first - front.second;
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
    let shown = |time: &TimeParameters, instant| {
        let sitting = Sitting { instant, symbols: 130, seed: 9, noise: Seeds::all(9) };
        portrait(&unit, &operands, 1.0, time, sitting).unwrap()
    };
    let found = shown(&speeds(), None);
    assert_eq!((found.constellation.len(), found.instant), (130, found.eye.instant()));
    assert!(found.constellation.iter().any(|c| (c.i_a - c.settled_i_a).abs() > 1e-4 * c.i_a.abs()));
    // (each tile of 64, 64 and 2 symbols has a first one without a symbol before it)
    assert_eq!(found.pairs.iter().map(|pair| pair.count).sum::<usize>(), 127);
    let slow = shown(&TimeParameters { clock: 1e8, ..speeds() }, Some(9e-9));
    for c in &slow.constellation {
        let size = c.i_a.hypot(c.q_a);
        assert!((c.i_a - c.settled_i_a).hypot(c.q_a - c.settled_q_a) < 1e-9 * size);
        // A watt of light: shot noise is next to nothing.
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

/// The product of the digits' transfers against their cascade, in which every ring gets the light that really arrives: five
/// digits, by Runge and Kutta's method of fourth order. What the product leaves out is in proportion to the lifetime.
#[test]
fn the_product_is_the_cascade_where_lifetimes_are_short() {
    let unit = Mdpu::new(&MdpuParameters::ideal(1), 31).unwrap();
    let operands = Operands::uniform(31);
    let chip = Chip::sample(&unit, &operands, &mut Pcg64::seed_from_u64(1));
    let tile = Tile { stationary: vec![7], streamed: [0, 30, 9, 21, 30].map(|x| vec![x]).to_vec() };
    let detours: Vec<Complex64> = (0..5).map(|bit| chip.field(&[7], &[1 << bit])).collect();
    let away = |ring_lifetime: f64, steps: usize| {
        let time = TimeParameters { ring_lifetime, ..speeds() };
        let found = trace(&chip, &time, &tile, 4).unwrap();
        let (front, driver) =
            (time.front_end(unit.parameters().detector.bandwidth), time.driver_rise / 9f64.ln());
        // Of each digit driver, first and second mode; then diode and amplifier.
        let slope = |x: usize, s: &[Complex64]| {
            let (mut light, mut k) = (Complex64::ONE, Vec::with_capacity(17));
            for (bit, (digit, detour)) in s.chunks(3).zip(&detours).enumerate() {
                let (d, a, c) = (digit[0], digit[1], digit[2]);
                let (bus, dropped) = (light - d * a, -d * a * detour);
                k.push((f64::from(((x >> bit) & 1) as u32) - d) / driver);
                k.push((d * light - a) / ring_lifetime);
                k.push((d * (bus + dropped) - c) / ring_lifetime);
                light = bus - d * c;
            }
            k.push((light - s[15]) / front.first);
            k.push((s[15] - s[16]) / front.second);
            k
        };
        let plus = |s: &[Complex64], k: &[Complex64], h: f64| -> Vec<Complex64> {
            s.iter().zip(k).map(|(s, k)| s + k * h).collect()
        };
        let h = found.period / (4 * steps) as f64;
        let mut s = vec![Complex64::ZERO; 17];
        (s[15], s[16]) = (Complex64::ONE, Complex64::ONE);
        let mut most = 0f64;
        for (at, field) in found.fields.iter().enumerate() {
            most = most.max((field - s[16]).norm());
            let x = tile.streamed[at / 4][0];
            for _ in 0..steps {
                let k1 = slope(x, &s);
                let k2 = slope(x, &plus(&s, &k1, 0.5 * h));
                let k3 = slope(x, &plus(&s, &k2, 0.5 * h));
                let k4 = slope(x, &plus(&s, &k3, h));
                for (shares, weight) in [(k1, 1.0), (k2, 2.0), (k3, 2.0), (k4, 1.0)] {
                    s = plus(&s, &shares, weight * h / 6.0);
                }
            }
        }
        most
    };
    let (shorter, short, long) = (away(0.05e-12, 1000), away(0.1e-12, 1000), away(8e-12, 250));
    assert!((short / shorter / 2.0 - 1.0).abs() < 0.05, "{shorter} {short}");
    assert!(short < 0.02 && long > 0.1, "{short} {long}");
}
