//! The two rings of a digit, by coupled-mode theory.
//!
//! A ring between two buses has one mode (Little et al., J. Lightwave Technol. 15, 998, 1997). Light u on the bus fills it, it
//! empties with the lifetime tau of its field, and what it gives back is missing on the bus and present on the detour. With the
//! driver at d (0 = far from resonance, 1 = on it, critically coupled):
//!
//! ```text
//!   a' = (d u - a)/tau          detour d a          bus u - d a
//! ```
//!
//! d stands on the way in and on the way out, as reciprocity demands. Energy: what goes out, and into the ring, is |u|^2 - 2 (1 - d^2) |a|^2;
//! the rest, never negative, is the light that a detuned ring loses at its own frequency, whose beat with the carrier the
//! front end averages out. The second ring gets u - d a from the bus and d a from the detour; each fills its own part of the mode,
//!
//! ```text
//!   b' = (d (u - d a) - b)/tau          e' = (d d a - e)/tau          b + e = a
//! ```
//!
//! (the sum obeys the first ring's equation, whatever u is), and the bus goes on with p = u - d a - d b = u - 2 d a + d e of what
//! took the bus and q = d e of what took the detour. u is the field that left the digit before, at the same time.

use crate::time::collocation::{NODES, Wave};
use crate::time::panels::Panel;
use crate::vectorised::vectorised;
use num_complex::Complex64;

/// Drivers this near to zero couple nothing.
const IDLE: f64 = 1e-15;

/// A digit's driver and the modes of its rings.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Switch {
    /// 0 or 1: where the driver is going.
    target: f64,
    /// How far it is from there.
    away: f64,
    /// Mode of the first ring, a.
    pub first: Complex64,
    /// Part of the second ring's mode that came over the detour, e.
    pub second: Complex64,
}

impl Switch {
    /// Long at a bit, with light `u` in front.
    pub fn settled(bit: bool, u: Complex64) -> Self {
        let target = f64::from(u8::from(bit));
        Switch { target, away: 0.0, first: u * target, second: u * target }
    }

    /// Sends the driver to a bit.
    pub fn turn(&mut self, bit: bool) {
        let target = f64::from(u8::from(bit));
        (self.away, self.target) = (self.away + self.target - target, target);
    }

    /// How far the driver has moved, d, at each node of a panel.
    pub fn driver(&self, panel: &Panel) -> [f64; NODES] {
        panel.driver.map(|left| self.target + self.away * left)
    }

    /// Lets the field `u` pass for a panel: what took bus and detour behind both rings, (p, q), of unit transfers; `None` where the
    /// rings are far from resonance all along, so that p = u and q = 0.
    pub fn pass(&mut self, panel: &Panel, u: &Wave) -> Option<(Wave, Wave)> {
        if self.target == 0.0 && self.away.abs() < IDLE {
            let left = panel.ring.rest[NODES - 1];
            (self.away, self.first, self.second) = (0.0, self.first * left, self.second * left);
            return None;
        }
        let both = resonant(self, panel, u);
        self.away *= panel.driver_left();
        Some(both)
    }
}

vectorised! {
    /// [`Switch::pass`] where the rings are not far from resonance; the driver is left where it was.
    fn resonant(switch: &mut Switch, panel: &Panel, u: &Wave) -> (Wave, Wave) {
        let d = switch.driver(panel);
        let mut driven = *u;
        for (i, d) in d.iter().enumerate() {
            (driven.re[i], driven.im[i]) = (u.re[i] * d, u.im[i] * d);
        }
        let mut first = panel.ring.apply(&driven, switch.first);
        switch.first = first.end();
        for (i, d) in d.iter().enumerate() {
            (first.re[i], first.im[i]) = (first.re[i] * d, first.im[i] * d);
            (driven.re[i], driven.im[i]) = (first.re[i] * d, first.im[i] * d);
        }
        let mut detour = panel.ring.apply(&driven, switch.second);
        switch.second = detour.end();
        let mut bus = *u;
        for (i, d) in d.iter().enumerate() {
            (detour.re[i], detour.im[i]) = (detour.re[i] * d, detour.im[i] * d);
            bus.re[i] = u.re[i] - 2.0 * first.re[i] + detour.re[i];
            bus.im[i] = u.im[i] - 2.0 * first.im[i] + detour.im[i];
        }
        (bus, detour)
    }
}
