//! A dot-product unit as made, on a bench: knobs to turn, operands to drive, and (I, Q) to read with all noise.
//!
//! What the controller does not know stays in here: the paths' phases, the shifters' gains, the DACs' errors at every code.

use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::noise::Seeds;
use crate::numerics::normal_pair;
use crate::unit::mmu::{Mdpu, MdpuErrors, MmuErrors};
use crate::unit::noise_draws::NoiseDraws;
use crate::unit::operands::{Group, Operands};
use crate::unit::rates::Operating;
use crate::unit::readout::wrap;
use crate::unit::sampled::{SampledMdpu, draw};
use crate::unit::shifter::DacErrors;
use crate::variation::MadeErrors;
use num_complex::Complex64;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// What a controller can set in one MDPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Knobs {
    /// Trim of the bus path of each digit of each MMU, rad: whole steps of the trim's resolution, within its range.
    pub bus: Vec<Vec<f64>>,
    /// Trim of each detour, rad.
    pub detour: Vec<Vec<f64>>,
    /// Code of the DAC of each MMU for every stationary residue.
    pub codes: Vec<Vec<i64>>,
    /// Reference voltage of each DAC over the nominal one.
    pub scale: Vec<f64>,
    /// Phase taken off the whole MDPU per phase of each MMU's unit shifter, where crosstalk is compensated at all.
    pub heat: Vec<f64>,
    /// Trim of the reference arm, rad: whole steps, within the range.
    pub rotation: f64,
}

/// What fabrication made of an MDPU.
#[derive(Debug, Clone)]
pub(crate) struct RawMdpu {
    /// Phases as made, gains, heat; levels are those of the DACs.
    mmus: Vec<MmuErrors>,
    dacs: Vec<DacErrors>,
    /// What the ring locks add to each detour later, in use: they settle anew.
    locks: Vec<Vec<f64>>,
}

impl RawMdpu {
    /// Draws one, its paths as its chip's maps made them if it varies by maps.
    pub fn sample(unit: &Mdpu, made: Option<&MadeErrors>, rng: &mut Pcg64) -> Self {
        let n = unit.digits().count();
        let parameters = unit.parameters();
        let fabrication = parameters.trim.fabrication;
        let mut normal = |sigma: f64| if sigma > 0.0 { sigma * normal_pair(rng).0 } else { 0.0 };
        let lock = unit.lock_variance().sqrt();
        let (mut mmus, mut locks) = (Vec::new(), Vec::new());
        for (mmu, gain) in unit.crosstalk_gains().iter().enumerate() {
            let mut errors = unit.no_errors();
            for d in 0..n {
                let stage = mmu * n + d;
                let own = made.map(|made| (made.bus[stage], made.detour[stage], made.gain[stage]));
                (errors.bus[d], errors.detour[d], errors.gain[d]) =
                    own.unwrap_or_else(|| (normal(fabrication), normal(fabrication), 0.0));
                errors.gain[d] += normal(parameters.shifters.mismatch);
                errors.detour[d] += normal(lock);
            }
            errors.heat = normal(gain.variance.sqrt());
            locks.push((0..n).map(|_| normal(lock)).collect());
            mmus.push(errors);
        }
        let dacs = mmus.iter().map(|_| unit.drive().sample_dac(rng)).collect();
        RawMdpu { mmus, dacs, locks }
    }

    /// The errors that are left with these knobs.
    fn with(&self, unit: &Mdpu, knobs: &Knobs, in_use: bool) -> Vec<MmuErrors> {
        let drive = unit.drive();
        let set = |(mmu, made): (usize, &MmuErrors)| {
            let mut errors = made.clone();
            for d in 0..unit.digits().count() {
                errors.bus[d] += knobs.bus[mmu][d];
                errors.detour[d] += knobs.detour[mmu][d] + if in_use { self.locks[mmu][d] } else { 0.0 };
            }
            for (w, level) in errors.level.iter_mut().enumerate() {
                let driven = drive.level_of(&self.dacs[mmu], w, knobs.codes[mmu][w], knobs.scale[mmu]);
                *level = driven - f64::from(unit.digits().level(w)) - drive.rounding[w];
            }
            errors.heat -= knobs.heat[mmu];
            errors
        };
        self.mmus.iter().enumerate().map(set).collect()
    }
}

/// One MDPU of a sampled chip on the bench.
pub struct Lab<'a> {
    operands: &'a Operands,
    operating: Operating<'a>,
    raw: RawMdpu,
    noise: NoiseDraws,
    vectors: Pcg64,
    knobs: Knobs,
    set: SampledMdpu<'a>,
    /// Phase that has drifted into the arms, rad.
    drifted: f64,
    reads: u64,
    settings: u64,
}

impl<'a> Lab<'a> {
    /// On the bench at the converters' setting `operating`, with noise from the key of `at` = (chip, MDPU).
    pub(crate) fn new(
        operating: Operating<'a>,
        operands: &'a Operands,
        raw: RawMdpu,
        (seed, at): (u64, [u64; 2]),
    ) -> Self {
        let mut rng = generator(seed, Domain::Lab, at);
        let noise = NoiseDraws::new(Seeds::all(rng.random()), 0);
        let unit = operating.unit;
        let (group, n, m) = (raw.mmus.len(), unit.digits().count(), unit.modulus() as usize);
        let knobs = Knobs {
            bus: vec![vec![0.0; n]; group],
            detour: vec![vec![0.0; n]; group],
            codes: vec![(0..m).map(|w| unit.drive().nominal_code(w)).collect(); group],
            scale: vec![1.0; group],
            heat: vec![0.0; group],
            rotation: 0.0,
        };
        let errors = MdpuErrors { mmus: raw.with(unit, &knobs, false), ambient: 0.0 };
        let set = SampledMdpu::new(unit, operands, &errors);
        Lab { operands, operating, raw, noise, vectors: rng, knobs, set, drifted: 0.0, reads: 0, settings: 0 }
    }

    /// The unit's nominal description, all that the controller knows.
    pub fn unit(&self) -> &'a Mdpu {
        self.operating.unit
    }

    /// The operands that it is made for.
    pub fn operands(&self) -> &'a Operands {
        self.operands
    }

    /// As they are set.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// Reads made so far, and how often the knobs were set.
    pub fn spent(&self) -> (u64, u64) {
        (self.reads, self.settings)
    }

    /// The smallest and the largest code of a DAC.
    pub fn code_range(&self) -> (i64, i64) {
        self.unit().drive().code_range()
    }

    /// Levels per LSB at stationary residue `w` on the nominal curve; none where codes lie on the levels.
    pub fn levels_per_lsb(&self, w: usize) -> Option<f64> {
        let drive = self.unit().drive();
        (!drive.is_exact()).then(|| drive.levels_per_lsb(w))
    }

    /// Turns the knobs.
    ///
    /// # Errors
    /// What the actuators cannot do: a trim off its steps or beyond its range, a code that the DAC has not, a list of another size.
    pub fn set(&mut self, knobs: Knobs) -> Result<(), DeviceError> {
        self.check(&knobs)?;
        let errors = MdpuErrors { mmus: self.raw.with(self.unit(), &knobs, false), ambient: 0.0 };
        self.set = SampledMdpu::new(self.unit(), self.operands, &errors);
        self.knobs = knobs;
        self.settings += 1;
        Ok(())
    }

    fn check(&self, knobs: &Knobs) -> Result<(), DeviceError> {
        let trim = &self.unit().parameters().trim;
        let (low, high) = self.code_range();
        let sizes = |list: &[Vec<f64>]| list.iter().map(Vec::len).collect::<Vec<_>>();
        let own = (sizes(&self.knobs.bus), self.knobs.codes.len(), self.unit().modulus() as usize);
        let fits = sizes(&knobs.bus) == own.0 && sizes(&knobs.detour) == own.0;
        let codes = knobs.codes.len() == own.1 && knobs.codes.iter().all(|list| list.len() == own.2);
        if !(fits && codes && knobs.scale.len() == own.1 && knobs.heat.len() == own.1) {
            return Err(DeviceError::Question("knobs of a dot-product unit of another size".into()));
        }
        let trims = knobs.bus.iter().chain(&knobs.detour).flatten().chain([&knobs.rotation]);
        for &trimmed in trims {
            let steps = if trim.resolution > 0.0 { trimmed / trim.resolution } else { 0.0 };
            let largest = trim.range * (1.0 + 1e-9);
            if !(trimmed.abs() <= largest && (steps - steps.round()).abs() < 1e-6) {
                let problem = "rad is no whole number of trim steps within the range";
                return Err(DeviceError::parameter("trim", trimmed, problem));
            }
        }
        if let Some(&code) = knobs.codes.iter().flatten().find(|code| !(low..=high).contains(*code)) {
            let problem = format!("is no code of the DAC: {low} to {high}");
            return Err(DeviceError::parameter("code", code as f64, &problem));
        }
        if let Some(&scale) = knobs.scale.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return Err(DeviceError::parameter("scale", scale, "must be finite and above zero"));
        }
        let (full, available) =
            (self.unit().drive().full_voltage(), self.unit().parameters().shifters.max_voltage);
        let needed = knobs.scale.iter().copied().fold(0.0, f64::max) * full;
        if needed > available * (1.0 + 1e-9) {
            return Err(DeviceError::DriveRange { modulus: self.unit().modulus(), needed, available });
        }
        Ok(())
    }

    /// Lets the arms drift apart by `phase` rad in sum.
    pub fn drift(&mut self, phase: f64) {
        self.drifted = phase;
    }

    /// A vector of operands as they occur in use, known to whoever drives it.
    pub fn draw(&mut self) -> Group {
        draw(self.operands, self.raw.mmus.len(), &mut self.vectors)
    }

    /// Means of I and Q over `times` reads of one vector of operands, A, as the ADCs give them.
    pub fn read(&mut self, group: &Group, times: u32) -> [f64; 2] {
        let sample = self.set.read(group, &[]);
        let truth = 2.0 * PI / f64::from(self.unit().modulus()) * sample.truth as f64;
        let angle = truth + sample.deviation + self.set.mean() + self.drifted + self.knobs.rotation;
        let field = Complex64::from_polar(sample.log_amplitude.exp(), angle);
        let mut sum = [0.0; 2];
        for _ in 0..times {
            let currents = self.noise.read(&self.operating, field, sample.dac_variance);
            for (sum, current) in sum.iter_mut().zip(currents) {
                *sum += self.operating.readout.centre(current);
            }
        }
        self.reads += u64::from(times);
        sum.map(|sum| sum / f64::from(times.max(1)))
    }

    /// Noise of the angle of a single read of light that has lost nothing to operands, rad, quantisation included: what a
    /// controller can tell from repeated reads, or from its data sheet.
    pub fn angle_noise(&self) -> f64 {
        1.0 / self.operating.noisy_snr(0.0, 0.0)
    }

    /// The errors in use, in the form that a rate is made of. For the report of a simulation: no controller sees them.
    pub fn in_use(&self) -> MdpuErrors {
        let mut errors = MdpuErrors { mmus: self.raw.with(self.unit(), &self.knobs, true), ambient: 0.0 };
        let mean = SampledMdpu::new(self.unit(), self.operands, &errors).mean();
        errors.ambient = wrap(mean + self.drifted + self.knobs.rotation);
        errors
    }

    /// Root mean square of the static phase deviation over `vectors` vectors of operands as they occur, rad, as it really is in use:
    /// the angle that the mean read has off its true one, wrapped to half a turn either way.
    pub fn deviation(&mut self, vectors: u32) -> f64 {
        let set = SampledMdpu::new(self.unit(), self.operands, &self.in_use());
        let mut squares = 0.0;
        for _ in 0..vectors {
            squares += wrap(set.read(&self.draw(), &[]).deviation).powi(2);
        }
        (squares / f64::from(vectors.max(1))).sqrt()
    }

    /// Phase of each detour over that of its bus, rad, as it really is in use: wrapped to half a turn either way.
    pub fn differences(&self) -> Vec<Vec<f64>> {
        let of = |e: &MmuErrors| e.detour.iter().zip(&e.bus).map(|(d, b)| wrap(d - b)).collect();
        self.raw.with(self.unit(), &self.knobs, true).iter().map(of).collect()
    }

    /// Error of each MMU's level for every stationary residue, in levels, as it really is.
    pub fn level_errors(&self) -> Vec<Vec<f64>> {
        let rounding = &self.unit().drive().rounding;
        let of = |e: &MmuErrors| e.level.iter().zip(rounding).map(|(level, known)| level + known).collect();
        self.raw.with(self.unit(), &self.knobs, true).iter().map(of).collect()
    }
}
