//! The read-out with Gaussian noise alone is m-ary phase-shift keying, whose symbol error rate has a known integral
//! (J. G. Proakis and M. Salehi, Digital Communications, 5th ed., McGraw-Hill 2008, section 4.3; in the form of
//! J. W. Craig, MILCOM 1991): p = (1/pi) Integral_0^{pi - pi/m} exp(-rho sin^2(pi/m) / sin^2 t) dt, rho = A^2 / (2 sigma^2).
//! The integral is done here by Simpson's rule, independently of the toolkit.

use std::f64::consts::PI;

use mirage_devices::{Bench, MdpuParameters, Operands, RequiredPower};

fn symbol_error_rate(m: u32, snr: f64) -> f64 {
    let (rho, s) = (snr * snr / 2.0, (PI / f64::from(m)).sin().powi(2));
    let f = |t: f64| if t == 0.0 { 0.0 } else { (-rho * s / t.sin().powi(2)).exp() };
    let (end, steps) = (PI - PI / f64::from(m), 200_000);
    let h = end / f64::from(steps);
    let inner: f64 = (1..steps).map(|i| f(h * f64::from(i)) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    (f(0.0) + inner + f(end)) * h / 3.0 / PI
}

#[test]
fn noise_alone_gives_the_symbol_error_rate_of_phase_shift_keying() {
    let mut parameters = MdpuParameters::ideal(16);
    parameters.detector.front_end = mirage_devices::FrontEnd::InputNoise(1.128e-6);
    let moduli = [31, 32, 33];
    let bench = Bench::new(&parameters, &moduli, &moduli.map(Operands::uniform)).unwrap();
    for target in [1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12] {
        let RequiredPower::Power(power) = bench.required_power(target, 1.0) else {
            panic!("{target} is within reach of a watt");
        };
        for rates in bench.rates(power) {
            let expected = symbol_error_rate(rates.modulus, rates.snr);
            let ratio = rates.error_rate / expected;
            assert!((ratio - 1.0).abs() < 0.01, "modulus {} at {target}: {ratio}", rates.modulus);
        }
    }
}

/// Rates quoted for amplitude over noise of m, 1.5 m and 2 m take the angle pi/m for its sine, 0.16 % less: with
/// d = factor pi that changes exp(-d^2/2) by up to 0.0032 d^2/2, 6.5 % at 2 m.
#[test]
fn the_recalled_rule_is_a_rate_of_two_in_a_thousand() {
    for (factor, rate) in [(1.0, 1.7e-3), (1.5, 2.4e-6), (2.0, 3.3e-10)] {
        let p = symbol_error_rate(32, factor * 32.0);
        assert!((p / rate - 1.0).abs() < 0.08, "{factor}: {p}");
    }
}
