//! The two rings of a digit, by coupled-mode theory, exactly.
//!
//! A ring between two buses has one mode (Little et al., J. Lightwave Technol. 15, 998, 1997). Light u on the bus fills it, it
//! empties with the lifetime tau of its field, and what it gives back is missing on the bus and present on the detour. With the
//! driver at d (0 = far from resonance, 1 = on it, critically coupled) and unit light on the bus:
//!
//! ```text
//!   a' = (d - a)/tau          detour d a          bus 1 - d a
//! ```
//!
//! d stands on the way in and on the way out, as reciprocity demands. Energy: what goes out, and into the ring, is 1 - 2 (1 - d^2) a^2;
//! the rest, never negative, is the light that a detuned ring loses at its own frequency, whose beat with the carrier the
//! front end averages out. The second ring gets 1 - d a from the bus and d a from the detour; each fills its own part of the mode,
//!
//! ```text
//!   b' = (d (1 - d a) - b)/tau          e' = (d d a - e)/tau          b + e = a
//! ```
//!
//! (the sum obeys the first ring's equation), and the bus goes on with p = 1 - d a - d b = 1 - 2 d a + d e of what took the bus
//! and q = d e of what took the detour.

use crate::time::poles::{TwoPoles, divided2, divided3};

/// A digit's driver and rings: where they are going, and how far they are from there.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Switch {
    /// 0 or 1: d, a and e once settled.
    target: f64,
    driver: f64,
    first: f64,
    second: f64,
}

/// Driver and modes of a digit's rings, of unit light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Modes {
    /// How far the driver has moved, d.
    pub driver: f64,
    /// Mode of the first ring, a.
    pub first: f64,
    /// Part of the second ring's mode that came over the detour, e.
    pub second: f64,
}

impl Modes {
    /// Shares of the field that take bus and detour, (p, q).
    pub fn shares(self) -> (f64, f64) {
        let detour = self.driver * self.second;
        (1.0 - 2.0 * self.driver * self.first + detour, detour)
    }
}

/// What is left of deviations some time later: the driver's z, the ring's y, and G f = the ring's answer to f,
/// (G f)' = (f - G f)/tau.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Past {
    z: f64,
    y: f64,
    /// G z: what of the driver's deviation is in the first ring.
    c: f64,
    gy: f64,
    gc: f64,
    gzz: f64,
    gzy: f64,
    gzc: f64,
    gzzy: f64,
    gzzc: f64,
}

impl Past {
    /// `t` seconds after an event, with the poles of driver and ring; zero = immediate.
    ///
    /// Every G of a product of exponentials is a divided difference of the exponential function at its rates, so equal rates
    /// are no special case.
    pub fn new(poles: TwoPoles, t: f64) -> Self {
        let (driver, ring) = (poles.first, poles.second);
        if ring <= 0.0 {
            let z = poles.left(t).first;
            let (zz, zzz) = (z * z, z * z * z);
            return Past { z, c: z, gc: z, gzz: zz, gzc: zz, gzzc: zzz, ..Past::default() };
        }
        let r = -t / ring;
        let settled = Past { y: r.exp(), gy: -r * r.exp(), ..Past::default() };
        if driver <= 0.0 {
            return settled;
        }
        let d = -t / driver;
        Past {
            z: d.exp(),
            c: -r * divided2(d, r),
            gc: r * r * divided3(d, r, r),
            gzz: -r * divided2(2.0 * d, r),
            gzy: -r * divided2(r + d, r),
            gzc: r * r * divided3(2.0 * d, r + d, r),
            gzzy: -r * divided2(r + 2.0 * d, r),
            gzzc: r * r * divided3(3.0 * d, r + 2.0 * d, r),
            ..settled
        }
    }
}

impl Switch {
    /// Sends the switch to a bit.
    pub fn turn(&mut self, bit: bool) {
        let target = f64::from(u8::from(bit));
        let away = self.target - target;
        let [driver, first, second] = [self.driver, self.first, self.second].map(|old| old + away);
        *self = Switch { target, driver, first, second };
    }

    /// Takes the switch as settled.
    pub fn settle(&mut self) {
        *self = Switch { target: self.target, ..Switch::default() };
    }

    /// Driver and modes after what `past` leaves: d = T + D z and a = T + R y + D c, and e answers to
    /// d d a with T T = T.
    pub fn modes(&self, past: &Past) -> Modes {
        let Switch { target, driver, first, second } = *self;
        let from_one = first * past.gy
            + driver * (past.gc + 2.0 * (past.c + first * past.gzy) + driver * (2.0 * past.gzc + past.gzz));
        let from_zero = driver * driver * (first * past.gzzy + driver * past.gzzc);
        Modes {
            driver: target + driver * past.z,
            first: target + first * past.y + driver * past.c,
            second: target + second * past.y + target * from_one + from_zero,
        }
    }

    /// Moves the last event to where `past` is.
    pub fn advance(&mut self, past: &Past) {
        let modes = self.modes(past);
        let [driver, first, second] =
            [modes.driver, modes.first, modes.second].map(|mode| mode - self.target);
        *self = Switch { driver, first, second, ..*self };
    }

    /// A bound on |dp/dt| + |dq/dt|, now and later, 1/s: |p'| + |q'| <= 2 |(d a)'| + 2 |(d e)'| with d, a and e within 0 to 1.
    pub fn speed(&self, poles: TwoPoles, past: &Past) -> f64 {
        let (driver, first, second) = (self.driver.abs(), self.first.abs(), self.second.abs());
        let moved = if poles.first > 0.0 { driver * past.z / poles.first } else { 0.0 };
        if poles.second <= 0.0 {
            // (d d)' and (d^4)'
            return 12.0 * moved;
        }
        // The largest of a chain of poles falls: whichever it is, the one before it is smaller.
        let slow = past.z.max(past.c);
        let filling = (first * past.y + driver * slow).min(1.0) / poles.second;
        let passing = 6.0 * driver * slow.max(past.gc) + 2.0 * first * past.y.max(past.gy) + second * past.y;
        let coupled = if self.target > 0.0 { 1.0 } else { driver * past.z };
        4.0 * moved + 2.0 * coupled * (filling + passing.min(1.0) / poles.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_complex::Complex64;

    const TAU: f64 = 8e-12;

    /// Poles of driver and ring: the default design's, equal ones, and those where rates of products coincide.
    const POLES: [(f64, f64); 6] =
        [(6.8e-12, TAU), (TAU, TAU), (2.0 * TAU, TAU), (3.0 * TAU, TAU), (TAU / 2.0, TAU), (8.001e-12, TAU)];

    fn switched(bits: &[(bool, f64)], poles: TwoPoles) -> Switch {
        let mut switch = Switch::default();
        for &(bit, t) in bits {
            switch.turn(bit);
            switch.advance(&Past::new(poles, t));
        }
        switch
    }

    /// The three equations as they are written above, by Runge and Kutta's method of fourth order.
    fn integrate(poles: TwoPoles, target: f64, mut s: [f64; 3], t: f64) -> [f64; 3] {
        let steps = 40_000;
        let h = t / f64::from(steps);
        let slope = |[d, a, e]: [f64; 3]| {
            [(target - d) / poles.first, (d - a) / poles.second, (d * d * a - e) / poles.second]
        };
        let plus = |s: [f64; 3], k: [f64; 3], h: f64| [0, 1, 2].map(|i| s[i] + h * k[i]);
        for _ in 0..steps {
            let a = slope(s);
            let b = slope(plus(s, a, 0.5 * h));
            let c = slope(plus(s, b, 0.5 * h));
            let e = slope(plus(s, c, h));
            s = [0, 1, 2].map(|i| s[i] + h / 6.0 * (a[i] + 2.0 * b[i] + 2.0 * c[i] + e[i]));
        }
        s
    }

    #[test]
    fn modes_solve_the_coupled_mode_equations() {
        for (first, second) in POLES {
            let poles = TwoPoles { first, second };
            let mut switch = Switch::default();
            let mut state = [0.0; 3];
            for (bit, t) in [(true, 3e-11), (false, 4e-12), (true, 1e-12), (true, 7e-12), (false, 2e-10)] {
                switch.turn(bit);
                state = integrate(poles, f64::from(u8::from(bit)), state, t);
                let modes = switch.modes(&Past::new(poles, t));
                for (found, expected) in [modes.driver, modes.first, modes.second].iter().zip(state) {
                    assert!((found - expected).abs() < 1e-12, "{poles:?} {bit} {t}: {modes:?} {state:?}");
                }
                switch.advance(&Past::new(poles, t));
            }
        }
    }

    /// With an immediate driver ring 1 has one pole; both fill like a second-order low-pass; detuned, the bus has all at once.
    #[test]
    fn an_immediate_driver_leaves_the_poles_of_the_rings() {
        let poles = TwoPoles { first: 0.0, second: TAU };
        let mut on = Switch::default();
        on.turn(true);
        for t in [0.0, 1e-12, 1e-11, 1e-10] {
            let (x, modes) = (t / TAU, on.modes(&Past::new(poles, t)));
            assert!((modes.driver * modes.first + (-x).exp_m1()).abs() < 1e-14, "ring 1 alone");
            let (p, q) = modes.shares();
            assert!((p - (1.0 - x) * (-x).exp()).abs() < 1e-14);
            assert!((q - (1.0 - (1.0 + x) * (-x).exp())).abs() < 1e-14);
        }
        let mut off = switched(&[(true, 1e-9)], poles);
        off.turn(false);
        assert_eq!(off.modes(&Past::new(poles, 1e-15)).shares(), (1.0, 0.0));
        // What is left in the rings is still there when they are tuned again.
        off.advance(&Past::new(poles, TAU));
        off.turn(true);
        assert!((off.modes(&Past::new(poles, 0.0)).first - (-1f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn immediate_poles_are_the_limits_of_fast_ones() {
        let t = 3e-12;
        for (first, second) in [(0.0, 4e-12), (4e-12, 0.0), (0.0, 0.0)] {
            let end = |poles| {
                let mut switch = switched(&[(true, t), (false, t)], poles);
                switch.turn(true);
                switch.modes(&Past::new(poles, t)).shares()
            };
            let (exact, near) = (
                end(TwoPoles { first, second }),
                end(TwoPoles { first: f64::max(first, 1e-19), second: f64::max(second, 1e-19) }),
            );
            assert!((exact.0 - near.0).abs() < 1e-6 && (exact.1 - near.1).abs() < 1e-6, "{first} {second}");
        }
    }

    /// Both outputs of a lossless digit, with any phase on the detour, and the light in its rings: nothing but what the detuned
    /// rings lose at their own frequency is missing.
    #[test]
    fn energy_is_accounted_for_and_never_gained() {
        for (first, second) in POLES {
            let poles = TwoPoles { first, second };
            for (phase, bit) in [(0.0, true), (1.0, true), (3.1, true), (0.0, false), (2.0, false)] {
                let mut switch = switched(&[(!bit, 3e-11), (bit, 2e-12), (!bit, 5e-12)], poles);
                switch.turn(bit);
                let turned = Complex64::from_polar(1.0, phase);
                // (light out, light lost, energy in the rings)
                let powers = |t: f64| {
                    let m = switch.modes(&Past::new(poles, t));
                    let ((p, q), d) = (m.shares(), m.driver);
                    let mode = (m.first - m.second) - turned * m.second;
                    let other = -turned * (d * m.first) - mode * d;
                    let lost = 2.0 * (1.0 - d * d) * (m.first * m.first + mode.norm_sqr());
                    let out = (p + q * turned).norm_sqr();
                    assert!((0.0..=1.0 + 1e-12).contains(&out), "{out}");
                    (out + other.norm_sqr(), lost, second * (m.first * m.first + mode.norm_sqr()))
                };
                let (steps, end) = (4000, 4e-11);
                let (mut out, mut lost) = (0.0, 0.0);
                for k in 0..=steps {
                    let weight = if k == 0 || k == steps { 1.0 } else { f64::from(2 + 2 * (k % 2)) };
                    let now = powers(f64::from(k) * end / f64::from(steps));
                    (out, lost) = (out + weight * now.0, lost + weight * now.1);
                    assert!(now.1 >= 0.0);
                }
                let share = end / f64::from(steps) / 3.0;
                let stored = powers(end).2 - powers(0.0).2;
                let balance = (out + lost) * share + stored - end;
                assert!(balance.abs() < 1e-10 * end, "{poles:?} {phase} {bit}: {balance:e}");
            }
        }
    }

    #[test]
    fn speeds_are_bounds_and_fall() {
        for (first, second) in POLES.into_iter().chain([(0.0, TAU), (TAU, 0.0)]) {
            let poles = TwoPoles { first, second };
            for bit in [true, false] {
                let mut switch = switched(&[(!bit, 1e-10), (bit, 3e-12), (!bit, 6e-12)], poles);
                switch.turn(bit);
                let shares = |t: f64| switch.modes(&Past::new(poles, t)).shares();
                let mut last = f64::INFINITY;
                for step in 1..400 {
                    let (t, h) = (f64::from(step) * 3e-13, 1e-16);
                    let speed = switch.speed(poles, &Past::new(poles, t));
                    let (before, after) = (shares(t - h), shares(t + h));
                    let slope = ((after.0 - before.0).abs() + (after.1 - before.1).abs()) / (2.0 * h);
                    assert!(slope <= speed * (1.0 + 1e-3) + 1.0, "{poles:?} {bit} {t}: {slope} {speed}");
                    assert!(speed <= last);
                    last = speed;
                }
            }
        }
    }
}
