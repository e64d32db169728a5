//! The light's way through the MMUs as it changes in time: digit by digit, each with the field that left the one before.

use crate::time::collocation::{NODES, Wave};
use crate::time::panels::{Panel, Panels};
use crate::time::rings::Switch;
use crate::unit::chips::Chip;
use crate::unit::mmu::{Mdpu, MmuErrors};
use crate::vectorised::vectorised;
use num_complex::Complex64;
use std::f64::consts::PI;

/// Deviations of the drive below this many levels are settled.
const SETTLED: f64 = 1e-15;

/// One digit: its settled transfers and the switch between them.
#[derive(Debug, Clone, Default)]
struct Stage {
    switch: Switch,
    paths: Paths,
}

/// A digit's field transfers over bus and detour, less what the rings leak, and the leaked sum.
#[derive(Debug, Clone, Copy, Default)]
struct Paths {
    bus: Complex64,
    detour: Complex64,
    leaked: Complex64,
}

impl Paths {
    /// The field behind the digit where `u` is before it and its rings give (p, q) of it. Settled, bit 0 has (u, 0) and bit 1 (0, u):
    /// both transfers are exactly the static ones.
    fn through(&self, u: Complex64, p: Complex64, q: Complex64) -> Complex64 {
        self.leaked * u + self.bus * p + self.detour * q
    }
}

/// The stationary operand of one MMU: where its drive is going, and how far it is from there.
#[derive(Debug, Clone, Copy, Default)]
struct Drive {
    /// Driven level, errors included.
    level: f64,
    /// Nominal level, which heats the neighbours.
    nominal: f64,
    /// Voltage over the largest used.
    voltage: f64,
}

impl Drive {
    fn plus(self, other: Drive, share: f64) -> Drive {
        Drive {
            level: self.level + share * other.level,
            nominal: self.nominal + share * other.nominal,
            voltage: self.voltage + share * other.voltage,
        }
    }
}

/// The stages of a sampled MDPU, with the light that is in their rings.
#[derive(Debug, Clone)]
pub(crate) struct Path<'a> {
    unit: &'a Mdpu,
    errors: &'a [MmuErrors],
    rotations: Vec<f64>,
    /// Phase of the whole MDPU per phase of each MMU's unit shifter.
    gains: Vec<f64>,
    mean_level: f64,
    settling: f64,
    stages: Vec<Stage>,
    drives: Vec<Drive>,
    deviations: Vec<Drive>,
    /// Phasor of crosstalk and the read-out's rotation.
    turned: Complex64,
    settled: bool,
}

impl<'a> Path<'a> {
    /// Settled at stationary operands `w` and streamed operands `x`; the field behind it too.
    pub fn new(chip: &'a Chip<'a>, w: &[usize], x: &[usize]) -> (Self, Complex64) {
        let (unit, group) = (chip.unit(), chip.errors().len());
        let mut path = Path {
            unit,
            errors: chip.errors(),
            gains: chip.gains().collect(),
            rotations: chip.rotations(),
            mean_level: chip.mean_level(),
            settling: unit.parameters().shifters.settling_time,
            stages: vec![Stage::default(); group * unit.digits().count()],
            drives: vec![Drive::default(); group],
            deviations: vec![Drive::default(); group],
            turned: Complex64::ONE,
            settled: false,
        };
        path.program(w);
        path.deviations.fill(Drive::default());
        path.settle();
        let mut field = Complex64::ONE;
        for at in 0..path.stages.len() {
            let (bit, stage) = (path.bit(x, at), &mut path.stages[at]);
            stage.switch = Switch::settled(bit, field);
            let (p, q) = if bit { (Complex64::ZERO, field) } else { (field, Complex64::ZERO) };
            field = stage.paths.through(field, p, q);
        }
        let field = field * path.turned;
        (path, field)
    }

    /// The bit of stage `at`, of streamed operands `x`.
    fn bit(&self, x: &[usize], at: usize) -> bool {
        let digits = self.unit.digits();
        digits.bit(x[at / digits.count()], at % digits.count())
    }

    /// How many digits are in cascade.
    pub fn digits(&self) -> usize {
        self.stages.len()
    }

    /// The drives of the stationary operands jump to `w`; the shifters follow with their time constant.
    pub fn program(&mut self, w: &[usize]) {
        let (digits, voltages) = (self.unit.digits(), &self.unit.drive().relative_voltage);
        for (j, &w) in w.iter().enumerate() {
            let target = Drive {
                level: self.unit.driven_level(&self.errors[j], w),
                nominal: f64::from(digits.level(w)),
                voltage: voltages[w],
            };
            let away = self.drives[j].plus(target, -1.0);
            self.deviations[j] =
                if self.settling > 0.0 { self.deviations[j].plus(away, 1.0) } else { Drive::default() };
            self.drives[j] = target;
        }
        self.settled = false;
        self.settle();
    }

    /// The switch bits of the streamed operands jump to `x`; drivers and rings follow.
    pub fn switch(&mut self, x: &[usize]) {
        for at in 0..self.stages.len() {
            let bit = self.bit(x, at);
            self.stages[at].switch.turn(bit);
        }
    }

    /// Takes what is all but settled as settled, so that its phasors need not be formed again.
    fn settle(&mut self) {
        let most = self.deviations.iter().fold(0f64, |most, d| most.max(d.level.abs()).max(d.nominal.abs()));
        if self.settled || most > SETTLED {
            return;
        }
        self.deviations.fill(Drive::default());
        (self.turned, self.settled) = (self.turn(0.0), true);
        for at in 0..self.stages.len() {
            self.stages[at].paths = self.paths(at, 0.0);
        }
    }

    /// The two paths of stage `at`, with the share `unsettled` of the drives' deviations.
    fn paths(&self, at: usize, unsettled: f64) -> Paths {
        let (j, digit) = (at / self.unit.digits().count(), at % self.unit.digits().count());
        let drive = self.drives[j].plus(self.deviations[j], unsettled);
        let phase = self.unit.detour_phase(&self.errors[j], digit, drive.level);
        let detour = Complex64::from_polar(self.unit.detour_amplitude(digit, drive.voltage), phase);
        let (bus, leakage) = (self.unit.bus(&self.errors[j], digit, drive.level), self.unit.leakage());
        Paths {
            bus: bus * (1.0 - leakage),
            detour: detour * (1.0 - leakage),
            leaked: (bus + detour) * leakage,
        }
    }

    /// Crosstalk and rotation.
    fn turn(&self, unsettled: f64) -> Complex64 {
        let turn = 2.0 * PI / f64::from(self.unit.modulus());
        let phase = |j: usize| {
            let nominal = self.drives[j].plus(self.deviations[j], unsettled).nominal;
            self.gains[j] * turn * (nominal - self.mean_level) + self.rotations[j]
        };
        Complex64::from_polar(1.0, (0..self.drives.len()).map(phase).sum())
    }

    /// How fast what has not settled turns the light `t` seconds from now, rad/s: a bound.
    fn turning(&self, t: f64) -> f64 {
        let turn = 2.0 * PI / f64::from(self.unit.modulus());
        let weights: f64 = self.unit.digits().weights().iter().map(|w| f64::from(w.abs())).sum();
        // (twice the weights, for length errors and crosstalk)
        let levels: f64 = self.deviations.iter().map(|d| d.level.abs().max(d.nominal.abs())).sum();
        2.0 * turn * weights * levels * (-t / self.settling).exp() / self.settling
    }

    /// The panels of the next `dt` ticks of `seconds` s, `age` ticks after the last switching, each handed over with the field behind
    /// all digits.
    pub fn advance(
        &mut self,
        panels: &mut Panels,
        [age, dt]: [u64; 2],
        seconds: f64,
        behind: &mut dyn FnMut(&Panel, &Wave),
    ) {
        if self.settled {
            for panel in panels.of(age, dt, seconds).iter() {
                let field = self.pass_settled(panel);
                behind(panel, &field);
            }
            return;
        }
        let cut = panels.unsettled(age as f64 * seconds, dt as f64 * seconds, &|t| self.turning(t));
        for panel in &cut {
            let field = self.pass_unsettled(panel);
            behind(panel, &field);
        }
        self.settle();
    }

    fn pass_settled(&mut self, panel: &Panel) -> Wave {
        let mut field = Wave::constant(Complex64::ONE);
        for Stage { switch, paths } in &mut self.stages {
            match switch.pass(panel, &field) {
                None => scale(&mut field, paths.leaked + paths.bus),
                Some((p, q)) => combine(&mut field, &p, &q, paths),
            }
        }
        scale(&mut field, self.turned);
        field
    }

    fn pass_unsettled(&mut self, panel: &Panel) -> Wave {
        let mut field = Wave::constant(Complex64::ONE);
        for at in 0..self.stages.len() {
            let parts = self.stages[at].switch.pass(panel, &field);
            for i in 0..NODES {
                let (u, paths) = (field.at(i), self.paths(at, panel.settling[i]));
                let (p, q) = parts.as_ref().map_or((u, Complex64::ZERO), |(p, q)| (p.at(i), q.at(i)));
                let out = paths.through(u, p, q);
                (field.re[i], field.im[i]) = (out.re, out.im);
            }
        }
        for i in 0..NODES {
            let out = field.at(i) * self.turn(panel.settling[i]);
            (field.re[i], field.im[i]) = (out.re, out.im);
        }
        let left = panel.settling_left();
        self.deviations.iter_mut().for_each(|d| *d = Drive::default().plus(*d, left));
        field
    }
}

fn scale(field: &mut Wave, factor: Complex64) {
    for i in 0..NODES {
        let (x, y) = (field.re[i], field.im[i]);
        (field.re[i], field.im[i]) = (x * factor.re - y * factor.im, x * factor.im + y * factor.re);
    }
}

vectorised! {
    /// [`Paths::through`] at all nodes.
    fn combine(u: &mut Wave, p: &Wave, q: &Wave, paths: &Paths) -> () {
        let Paths { bus, detour, leaked } = *paths;
        for i in 0..NODES {
            let (x, y) = (u.re[i], u.im[i]);
            let (straight, around) = ([p.re[i], p.im[i]], [q.re[i], q.im[i]]);
            u.re[i] = leaked.re * x - leaked.im * y + bus.re * straight[0] - bus.im * straight[1]
                + detour.re * around[0]
                - detour.im * around[1];
            u.im[i] = leaked.re * y + leaked.im * x + bus.re * straight[1] + bus.im * straight[0]
                + detour.re * around[1]
                + detour.im * around[0];
        }
    }
}
