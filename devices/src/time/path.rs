//! The light's way through the MMUs as it changes in time.

use crate::time::TimeParameters;
use crate::time::poles::{TwoPoles, left};
use crate::time::rings::{Past, Switch};
use crate::unit::chips::Chip;
use crate::unit::mmu::{Mdpu, MmuErrors};
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
    /// Bit 0 has the shares (1, 0), bit 1 (0, 1): both settled transfers are exactly the static ones.
    fn through(&self, (bus, detour): (f64, f64)) -> Complex64 {
        self.leaked + self.bus * bus + self.detour * detour
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

/// The stages of a sampled MDPU between two events. Time counts from the last event.
#[derive(Debug, Clone)]
pub(crate) struct Path<'a> {
    unit: &'a Mdpu,
    errors: &'a [MmuErrors],
    rotations: Vec<f64>,
    /// Phase of the whole MDPU per phase of each MMU's unit shifter.
    gains: Vec<f64>,
    mean_level: f64,
    switches: TwoPoles,
    settling: f64,
    stages: Vec<Stage>,
    drives: Vec<Drive>,
    deviations: Vec<Drive>,
    /// Phasor of crosstalk and the read-out's rotation.
    turned: Complex64,
    settled: bool,
}

impl<'a> Path<'a> {
    /// Settled at stationary operands `w` and streamed operands `x`.
    pub fn new(chip: &'a Chip<'a>, time: &TimeParameters, w: &[usize], x: &[usize]) -> Self {
        let (unit, group) = (chip.unit(), chip.errors().len());
        let mut path = Path {
            unit,
            errors: chip.errors(),
            gains: chip.gains().collect(),
            rotations: chip.rotations(),
            mean_level: chip.mean_level(),
            switches: time.switches(),
            settling: unit.parameters().shifters.settling_time,
            stages: vec![Stage::default(); group * unit.digits().count()],
            drives: vec![Drive::default(); group],
            deviations: vec![Drive::default(); group],
            turned: Complex64::ONE,
            settled: false,
        };
        path.program(w);
        path.switch(x);
        path.deviations.fill(Drive::default());
        path.stages.iter_mut().for_each(|stage| stage.switch.settle());
        path.settle();
        path
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
        let digits = self.unit.digits();
        for (at, stage) in self.stages.iter_mut().enumerate() {
            stage.switch.turn(digits.bit(x[at / digits.count()], at % digits.count()));
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

    /// Field transfer of the whole MDPU `t` seconds after the last event.
    pub fn transfer(&self, t: f64) -> Complex64 {
        let past = Past::new(self.switches, t);
        let shares = |stage: &Stage| stage.switch.modes(&past).shares();
        if self.settled {
            let through = |field, stage: &Stage| field * stage.paths.through(shares(stage));
            return self.stages.iter().fold(self.turned, through);
        }
        let unsettled = left(t, self.settling);
        let through =
            |field, (at, stage): (usize, &Stage)| field * self.paths(at, unsettled).through(shares(stage));
        self.stages.iter().enumerate().fold(self.turn(unsettled), through)
    }

    /// A bound on how fast the transfer changes `t` seconds after the last event, 1/s; it never rises with t.
    pub fn speed(&self, t: f64) -> f64 {
        let past = Past::new(self.switches, t);
        let switching: f64 = self.stages.iter().map(|s| s.switch.speed(self.switches, &past)).sum();
        if self.settled || self.settling <= 0.0 {
            return switching;
        }
        let turn = 2.0 * PI / f64::from(self.unit.modulus());
        let weights: f64 = self.unit.digits().weights().iter().map(|w| f64::from(w.abs())).sum();
        // (twice the weights, for length errors and crosstalk)
        let levels: f64 = self.deviations.iter().map(|d| d.level.abs().max(d.nominal.abs())).sum();
        switching + 2.0 * turn * weights * levels * left(t, self.settling) / self.settling
    }

    /// Moves the last event to `t` seconds after it.
    pub fn advance(&mut self, t: f64) {
        let past = Past::new(self.switches, t);
        self.stages.iter_mut().for_each(|stage| stage.switch.advance(&past));
        if !self.settled {
            let share = left(t, self.settling);
            self.deviations.iter_mut().for_each(|d| *d = Drive::default().plus(*d, share));
            self.settle();
        }
    }
}
