//! The cascade of digits against differential equations, closed forms and the ring's own scattering.

use super::*;
use crate::component::RingSwitch;
use crate::time::collocation::{NODES, Rule, Wave};
use crate::time::panels::{Panel, Panels, TimeConstants};
use crate::time::rings::Switch;

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
    let constants = time.constants(unit.parameters());
    let (driver, ring) = (constants.driver, constants.ring);
    // (driver, first ring, part over the bus, part over the detour, diode, amplifier) of each path: the rings know of no phase.
    let slope = |target: f64, [d, a, b, e, f, g]: [Complex64; 6]| {
        let through = bus * (1.0 - d * a - d * b) + detour * d * e;
        [
            (target - d) / driver,
            (d - a) / ring,
            (d * (1.0 - d * a) - b) / ring,
            (d * (d * a) - e) / ring,
            (through - f) / constants.diode,
            (f - g) / constants.amplifier,
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

/// Five digits, with losses, leakage and errors, against the equations of all their rings, each with the light that really arrives: Runge and
/// Kutta's method of fourth order.
#[test]
fn five_digits_in_cascade_solve_their_differential_equations() {
    let mut p = rough(1);
    p.crosstalk.coefficient = 0.0;
    let unit = Mdpu::new(&p, 31).unwrap();
    let operands = Operands::uniform(31);
    let chip = Chip::sample(&unit, &operands, &mut Pcg64::seed_from_u64(1));
    let tile = Tile { stationary: vec![7], streamed: [0, 30, 9, 21, 30].map(|x| vec![x]).to_vec() };
    let stages: Vec<[Complex64; 2]> = (0..5).map(|digit| unit.stage(&chip.errors()[0], digit, 7)).collect();
    let all: Complex64 = stages.iter().map(|stage| stage[0]).product();
    let turned = chip.field(&[7], &[0]) / all;
    for (ring_lifetime, steps) in [(8e-12, 1000), (1e-12, 2000)] {
        let time = TimeParameters { ring_lifetime, ..speeds() };
        let found = trace(&chip, &time, &tile, 4).unwrap();
        let c = time.constants(unit.parameters());
        // Of each digit driver, first mode and both parts of the second; then diode and amplifier. Bus and detour are those that give
        // the static transfers B - l D and D - l B, with l the leak.
        let leak = unit.leakage();
        let paths: Vec<[Complex64; 2]> = stages
            .iter()
            .map(|[low, high]| {
                let scale = 1.0 / (1.0 - leak * leak);
                [(low - high * leak) * scale, (high - low * leak) * scale]
            })
            .collect();
        let slope = |x: usize, s: &[Complex64]| {
            let (mut light, mut k) = (Complex64::ONE, Vec::with_capacity(22));
            for (bit, (digit, [bus, detour])) in s.chunks(4).zip(&paths).enumerate() {
                let [d, a, b, e] = [digit[0], digit[1], digit[2], digit[3]];
                k.push((f64::from(((x >> bit) & 1) as u32) - d) / c.driver);
                k.push((d * light - a) / c.ring);
                k.push((d * (light - d * a) - b) / c.ring);
                k.push((d * (d * a) - e) / c.ring);
                let (p, q) = (light - d * a - d * b, d * e);
                light = bus * (light * leak + p * (1.0 - leak)) + detour * (light * leak + q * (1.0 - leak));
            }
            k.push((light * turned - s[20]) / c.diode);
            k.push((s[20] - s[21]) / c.amplifier);
            k
        };
        let plus = |s: &[Complex64], k: &[Complex64], h: f64| -> Vec<Complex64> {
            s.iter().zip(k).map(|(s, k)| s + k * h).collect()
        };
        let h = found.period / (4 * steps) as f64;
        let mut s = vec![Complex64::ZERO; 22];
        (s[20], s[21]) = (all * turned, all * turned);
        for (at, field) in found.fields.iter().enumerate() {
            assert!((field - s[21]).norm() < 1e-10, "{ring_lifetime} {at}: {field} {}", s[21]);
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
    }
}

/// Panels half as long as the rule asks for: what the converters see changes by less than 1e-9 of a settled field, whatever is slow.
#[test]
fn half_the_step_changes_nothing() {
    let operands = Operands::uniform(33);
    for (group, ring, rise, clock, bandwidth) in [
        (16, 8e-12, 15e-12, 10e9, 10e9),
        (16, 8e-12, 0.0, 10e9, 10e9),
        (16, 0.3e-12, 15e-12, 10e9, 10e9),
        (16, 0.3e-12, 1e-12, 10e9, 100e9),
        (16, 0.05e-12, 15e-12, 10e9, 10e9),
        (16, 0.0, 15e-12, 10e9, 100e9),
        (16, 8e-12, 15e-12, 0.7e9, 10e9),
        (16, 100e-12, 200e-12, 10e9, 3e9),
        (1, 8e-12, 15e-12, 10e9, 100e9),
        (2, 1e-12, 1e-12, 1e9, 1e12),
    ] {
        let mut p = rough(group);
        p.detector.bandwidth = bandwidth;
        let unit = Mdpu::new(&p, 33).unwrap();
        let mut rng = Pcg64::seed_from_u64(3);
        let chip = Chip::sample(&unit, &operands, &mut rng);
        let tile = [rate::tile(&chip, 12, &mut rng)];
        let time = TimeParameters { clock, driver_rise: rise, ring_lifetime: ring, ..speeds() };
        let ticks = Some((1e15 / clock) as u64);
        let fields = |scale: f64| stream::run(&chip, &time, &tile, ticks, 0, scale).unwrap().symbols;
        let size = chip.field(&tile[0].stationary, &tile[0].streamed[0]).norm();
        let (whole, half) = (fields(1.0), fields(0.5));
        let away =
            whole.iter().zip(&half).map(|(a, b)| (a.field - b.field).norm() / size).fold(0.0, f64::max);
        assert!(away < 1e-9, "{group} {ring} {rise} {clock} {bandwidth}: {away}");
    }
}

/// Panels of `t` seconds for rings of `ring` s behind drivers of `driver` s.
fn panels(driver: f64, ring: f64, digits: usize, age: u64, t: f64) -> Vec<Panel> {
    let constants = TimeConstants { driver, ring, diode: 1e-12, amplifier: 1e-12, settling: 0.0 };
    let ticks = (t * 1e15) as u64;
    Panels::new(constants, digits, 1.0).of(age, ticks, 1e-15).to_vec()
}

/// Light that is switched on in front of N digits held at 1, whose rings are empty: the step comes through with a mean delay of 2 N tau, and
/// through one digit as 1 - 2 x exp(-x), x = t/tau (the inverse transform of (1 + s^2)/(1 + s)^2/s with equal paths).
#[test]
fn a_step_is_delayed_by_two_lifetimes_for_each_set_digit() {
    let (tau, rule) = (8e-12, Rule::new());
    for digits in [1, 5, 80] {
        let mut switches = vec![Switch::settled(true, Complex64::ZERO); digits];
        let (mut time, mut missing) = (0.0, 0.0);
        let span = (2.0 * digits as f64 + 12.0 * (2.0 * digits as f64).sqrt() + 60.0) * tau;
        for panel in panels(0.0, tau, digits, 0, span) {
            let mut field = Wave::constant(Complex64::ONE);
            for switch in &mut switches {
                let (p, q) = switch.pass(&panel, &field).unwrap();
                field = Wave { re: std::array::from_fn(|i| p.re[i] + q.re[i]), im: [0.0; NODES] };
            }
            // 1 - y, integrated by the rule: what an integrator, a low-pass far slower than the panel, has at its end.
            let short = Wave { re: field.re.map(|y| 1.0 - y), im: [0.0; NODES] };
            let slow = 1e9 * panel.length;
            let collected = rule.filter(panel.length, slow).apply(&short, Complex64::ZERO);
            missing += collected.end().re * slow;
            if digits == 1 {
                for (i, node) in rule.nodes.iter().enumerate() {
                    let x = (time + node * panel.length) / tau;
                    assert!((field.re[i] - (1.0 - 2.0 * x * (-x).exp())).abs() < 1e-11, "{x}");
                }
            }
            time += panel.length;
        }
        let delay = 2.0 * digits as f64 * tau;
        assert!((missing / delay - 1.0).abs() < 1e-6, "{digits}: {missing:e} {delay:e}");
    }
}

/// With an immediate driver and steady light ring 1 has one pole, both fill like a second-order low-pass, and detuned the bus has all at once.
#[test]
fn an_immediate_driver_leaves_the_poles_of_the_rings() {
    let (tau, rule) = (8e-12, Rule::new());
    let mut switch = Switch::settled(false, Complex64::ONE);
    switch.turn(true);
    let mut time = 0.0;
    for panel in panels(0.0, tau, 1, 0, 1e-10) {
        let (p, q) = switch.pass(&panel, &Wave::constant(Complex64::ONE)).unwrap();
        for (i, node) in rule.nodes.iter().enumerate() {
            let x = (time + node * panel.length) / tau;
            assert!((p.re[i] - (1.0 - x) * (-x).exp()).abs() < 1e-12, "{x}");
            assert!((q.re[i] - 1.0 + (1.0 + x) * (-x).exp()).abs() < 1e-12, "{x}");
        }
        time += panel.length;
    }
    switch.turn(false);
    for panel in panels(0.0, tau, 1, 0, tau) {
        // (the first panel still has a driver to move, at once)
        if let Some((p, q)) = switch.pass(&panel, &Wave::constant(Complex64::ONE)) {
            assert_eq!((p, q), (Wave::constant(Complex64::ONE), Wave::constant(Complex64::ZERO)));
        }
    }
    // What is left in the rings is still there when they are tuned again.
    assert!((switch.first.re - (-1f64).exp() * (1.0 - (-12.5f64).exp())).abs() < 1e-12);
}

#[test]
fn immediate_poles_are_the_limits_of_fast_ones() {
    let unit = Mdpu::new(&rough(2), 31).unwrap();
    let operands = Operands::uniform(31);
    let mut rng = Pcg64::seed_from_u64(2);
    let chip = Chip::sample(&unit, &operands, &mut rng);
    let tile = rate::tile(&chip, 6, &mut rng);
    let fields = |driver_rise: f64, ring_lifetime: f64| {
        trace(&chip, &TimeParameters { driver_rise, ring_lifetime, ..speeds() }, &tile, 5).unwrap().fields
    };
    for (rise, ring) in [(0.0, 4e-12), (4e-12, 0.0), (0.0, 0.0)] {
        let (exact, near) = (fields(rise, ring), fields(f64::max(rise, 1e-19), f64::max(ring, 1e-19)));
        for (a, b) in exact.iter().zip(&near) {
            assert!((a - b).norm() < 1e-6, "{rise} {ring}: {a} {b}");
        }
    }
}

/// Both outputs of a lossless digit with light that comes and goes, any phase on the detour, and the light in its rings: nothing but what
/// the detuned rings lose at their own frequency is missing.
#[test]
fn energy_is_accounted_for_and_never_gained() {
    let rule = Rule::new();
    let integrate = |panel: &Panel, values: [f64; NODES]| {
        let slow = 1e9 * panel.length;
        let wave = Wave { re: values, im: [0.0; NODES] };
        rule.filter(panel.length, slow).apply(&wave, Complex64::ZERO).end().re * slow
    };
    for (driver, ring) in [(6.8e-12, 8e-12), (8e-12, 8e-12), (0.0, 8e-12), (16e-12, 4e-12)] {
        for phase in [0.0, 1.0, 3.1] {
            let turned = Complex64::from_polar(1.0, phase);
            let mut switch = Switch::settled(false, Complex64::ONE);
            let (mut time, mut gained, mut lost, mut through) = (0.0, 0.0, 0.0, 0.0);
            let stored = |switch: &Switch| {
                let second = switch.first - switch.second - turned * switch.second;
                ring * (switch.first.norm_sqr() + second.norm_sqr())
            };
            let start = stored(&switch);
            for (bit, t) in [(true, 30e-12), (false, 6e-12), (true, 5e-12), (false, 40e-12)] {
                switch.turn(bit);
                // (cut as for 80 digits, so that the nodes see the light's own waves)
                for panel in panels(driver, ring, 80, 0, t) {
                    let light = |t: f64| Complex64::from_polar(1.0 + 0.5 * (2e11 * t).sin(), 1e11 * t);
                    let fields = rule.nodes.map(|node| light(time + node * panel.length));
                    let u = Wave { re: fields.map(|f| f.re), im: fields.map(|f| f.im) };
                    let (d, mut before) = (switch.driver(&panel), switch);
                    let parts = switch.pass(&panel, &u);
                    let (p, q) = parts.unwrap_or((u, Wave::constant(Complex64::ZERO)));
                    // The modes at the nodes, from the rings' own equations.
                    let scaled = |wave: &Wave| Wave {
                        re: std::array::from_fn(|i| wave.re[i] * d[i]),
                        im: std::array::from_fn(|i| wave.im[i] * d[i]),
                    };
                    let first = panel.ring.apply(&scaled(&u), before.first);
                    let second = panel.ring.apply(&scaled(&scaled(&first)), before.second);
                    before.first = first.end();
                    assert!((before.first - switch.first).norm() < 1e-14);
                    let (mut flow, mut own, mut out) = ([0.0; NODES], [0.0; NODES], [0.0; NODES]);
                    for i in 0..NODES {
                        let (a, e) = (first.at(i), second.at(i));
                        let whole = a - e - turned * e;
                        let (main, other) = (p.at(i) + turned * q.at(i), d[i] * a * turned + d[i] * whole);
                        out[i] = main.norm_sqr() + other.norm_sqr();
                        flow[i] = u.at(i).norm_sqr() - out[i];
                        own[i] = 2.0 * (1.0 - d[i] * d[i]) * (a.norm_sqr() + whole.norm_sqr());
                        assert!(own[i] >= 0.0);
                    }
                    gained += integrate(&panel, flow);
                    lost += integrate(&panel, own);
                    through += integrate(&panel, out);
                    time += panel.length;
                }
            }
            let balance = gained - lost - (stored(&switch) - start);
            assert!(balance.abs() < 1e-7 * through, "{driver} {ring} {phase}: {balance} {through}");
        }
    }
}

/// A pair of equal, critically coupled rings by the closed form of a ring between two buses, with trimmed paths, against the static
/// transfers and the time domain's settled ones: what leaks is turned by half a turn, in either state.
#[test]
fn leaks_of_a_pair_have_the_sign_of_the_rings_closed_form() {
    let (detuning, error) = (645e9, 0.796e9);
    let loss = 10.0 * 100.0 * std::f64::consts::TAU * 5e-6;
    let bus = 1.0 - 0.95 * 10f64.powf(-loss / 10.0);
    let ring = RingSwitch::new(5e-6, bus, 0.05, loss, 4.2, detuning, error).unwrap();
    let mut p = MdpuParameters::ideal(1);
    p.rings.extinction_db = ring.extinction_db();
    let unit = Mdpu::new(&p, 31).unwrap();
    let operands = Operands::uniform(31);
    let chip = Chip::sample(&unit, &operands, &mut Pcg64::seed_from_u64(1));
    let stage = |bit: usize, w: usize| unit.stage(&chip.errors()[0], 0, w)[bit];
    // Through twice while off, dropped twice while on, off by the same error: each over the path that is meant, which is trimmed.
    let (off, on) = (ring.transfer(detuning), ring.transfer(error));
    let (exact, far) = (ring.transfer(0.0), ring.transfer(detuning));
    let squared = |f: Complex64| f * f;
    for w in [1, 9, 20] {
        let detour = Complex64::from_polar(1.0, std::f64::consts::TAU * w as f64 / 31.0);
        let low = 1.0 + detour * squared(off.1) / squared(exact.1);
        let high = detour * (squared(on.1) / squared(on.1)) + squared(on.0) / squared(far.0);
        let leak = 10f64.powf(-ring.extinction_db() / 10.0);
        // (on resonance the error turns the dropped field, too, by a 27th of a radian; the losses of the paths are 0.57 dB)
        // Paths without loss of their own lose what leaks: 1/(1 + l) of each is left.
        let (found_low, found_high) = (stage(0, w) * (1.0 + leak), stage(1, w) * (1.0 + leak));
        assert!((found_low - low).norm() < 0.25 * leak, "{w}: {found_low} {low}");
        assert!((found_high - high).norm() < 0.25 * leak, "{w}: {found_high} {high}");
        for bit in [0, 1] {
            let tile = Tile { stationary: vec![w], streamed: vec![vec![1 - bit], vec![bit]] };
            let symbols = stream(&chip, &speeds(), &[tile], 2e-9).unwrap();
            let others: Complex64 = (1..5).map(|digit| unit.stage(&chip.errors()[0], digit, w)[0]).product();
            let field = symbols[1].field / (chip.field(&[w], &[bit]) / (stage(bit, w) * others)) / others;
            assert!((field - stage(bit, w)).norm() < 1e-9, "{w} {bit}");
        }
    }
    // Two equal rings without loss keep the energy with this sign and no other: the field that is left on the wrong output, t d (B + D),
    // has the rest.
    let ideal = RingSwitch::new(5e-6, 0.05, 0.05, 0.0, 4.2, detuning, 0.0).unwrap();
    let (t, d) = ideal.transfer(detuning);
    for detour in [Complex64::ONE, Complex64::I, -Complex64::ONE] {
        let (main, other) = (t * t + d * d * detour, t * d * (1.0 + detour));
        assert!((main.norm_sqr() + other.norm_sqr() - 1.0).abs() < 1e-12);
        assert!((d * d / (t * t)).re < 0.0);
    }
}
