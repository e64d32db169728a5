//! Into which panels the time between two events is cut.

use crate::time::collocation::{Filter, NODES, Nodes, Rule};
use std::collections::HashMap;
use std::rc::Rc;

/// Time constants of the streaming path, s; zero = immediate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TimeConstants {
    pub driver: f64,
    pub ring: f64,
    pub diode: f64,
    pub amplifier: f64,
    /// Of the phase shifters.
    pub settling: f64,
}

/// A stretch of time short enough for a polynomial through its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Its length, s.
    pub length: f64,
    /// What is left at each node of the drivers' deviations at the panel's beginning.
    pub driver: Nodes,
    /// The same of the shifters' deviations.
    pub settling: Nodes,
    pub ring: Filter,
    pub diode: Filter,
    pub amplifier: Filter,
}

/// Phase of the shortest waves of a cascade that a panel may hold, rad: six waves to 16 nodes. Panels half as long change what
/// the converters see by less than 1e-9 of a settled field (tests).
const CHANGE: f64 = 40.0;
/// Time constants after which nothing is left of a pole: exp(-45) = 3e-20.
const MEMORY: f64 = 45.0;
/// Phase that an unsettled shifter may turn within a panel, rad.
const TURN: f64 = 8.0;

/// Panels by the time since the last switching and the time to go, formed once each.
#[derive(Debug)]
pub(crate) struct Panels {
    rule: Rule,
    constants: TimeConstants,
    digits: f64,
    /// Length over what the rule asks for.
    scale: f64,
    known: HashMap<(u64, u64), Rc<Vec<Panel>>>,
}

impl Panels {
    /// For a cascade of so many digits, `scale` times as long as the rule asks for.
    pub fn new(constants: TimeConstants, digits: usize, scale: f64) -> Self {
        Panels { rule: Rule::new(), constants, digits: digits.max(1) as f64, scale, known: HashMap::new() }
    }

    /// Those of `dt` ticks that begin `age` ticks after the last switching, `seconds` s a tick.
    pub fn of(&mut self, age: u64, dt: u64, seconds: f64) -> Rc<Vec<Panel>> {
        if let Some(known) = self.known.get(&(age, dt)) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.cut(age as f64 * seconds, dt as f64 * seconds, &|_| f64::INFINITY));
        self.known.insert((age, dt), Rc::clone(&found));
        found
    }

    /// The same while shifters settle, where `turning` says how fast they turn the light some time after the beginning, rad/s.
    pub fn unsettled(&self, age: f64, dt: f64, turning: &dyn Fn(f64) -> f64) -> Vec<Panel> {
        self.cut(age, dt, &|t| TURN / turning(t))
    }

    fn cut(&self, age: f64, dt: f64, limit: &dyn Fn(f64) -> f64) -> Vec<Panel> {
        let (mut panels, mut start) = (Vec::new(), 0.0);
        while start < dt {
            let wanted = self.scale * self.longest(age + start).min(limit(start));
            // A panel that leaves next to nothing takes the rest; one too short for the clock to move too.
            let last = start + 1.001 * wanted >= dt || start + wanted <= start;
            let length = if last { dt - start } else { wanted };
            panels.push(self.panel(length));
            start = if last { dt } else { start + length };
        }
        panels
    }

    /// The longest panel that may begin `t` seconds after the switches began to move.
    ///
    /// N digits that all move at once answer like Laguerre's functions of order N, cos(2 sqrt(N t/tau)): their phase turns by
    /// sqrt(N/(t tau)) a second, and by N/tau at most. A single pole needs panels that grow with the time it has had.
    fn longest(&self, t: f64) -> f64 {
        let (c, n) = (self.constants, self.digits);
        let passage = 2.0 * n + 12.0 * (2.0 * n).sqrt() + MEMORY;
        let mut longest = f64::INFINITY;
        for (tau, ends, digits) in [
            (c.driver, MEMORY, Some(n)),
            (c.ring, passage, Some(n)),
            (c.diode, MEMORY, None),
            (c.amplifier, MEMORY, None),
        ] {
            if t < ends * tau {
                let waves = digits.map_or(f64::INFINITY, |n| CHANGE * ((t / tau + 1.0 / n) / n).sqrt() * tau);
                longest = longest.min(waves).min(2.0 * tau + 0.25 * t);
            }
        }
        longest
    }

    fn panel(&self, length: f64) -> Panel {
        let c = self.constants;
        let left = |tau: f64| -> Nodes {
            self.rule.nodes.map(|node| if tau > 0.0 { (-node * length / tau).exp() } else { 0.0 })
        };
        Panel {
            length,
            driver: left(c.driver),
            settling: left(c.settling),
            ring: self.rule.filter(length, c.ring),
            diode: self.rule.filter(length, c.diode),
            amplifier: self.rule.filter(length, c.amplifier),
        }
    }
}

impl Panel {
    /// What is left of a driver's deviation at the end.
    pub fn driver_left(&self) -> f64 {
        self.driver[NODES - 1]
    }

    /// What is left of a shifter's deviation at the end.
    pub fn settling_left(&self) -> f64 {
        self.settling[NODES - 1]
    }
}
