//! The modular multiplication unit as complex fields.
//!
//! One digit (ring = ring switch, the loop above is the detour with its shifter):
//!
//! ```text
//!            ┌── shifter 2^d ──┐
//!   in ── ring ───── bus ───── ring ── out
//! ```

use crate::error::DeviceError;
use crate::heat::{RingLock, phase_per_kelvin};
use crate::numerics::normal_pair;
use crate::physics::{amplitude_left, power_left};
use crate::unit::crosstalk::{SourceGain, source_gains, stage_places};
use crate::unit::encoding::Digits;
use crate::unit::parameters::{LossAccounting, MdpuParameters};
use crate::unit::shifter::Drive;
use crate::unit::trim::TrimResidue;
use crate::variation::{MadeErrors, Maps, Site};
use num_complex::Complex64;
use rand_pcg::Pcg64;
use std::f64::consts::PI;

/// Loss, dB, beyond which the squares of fields come near the smallest numbers.
const DARK: f64 = 3e3;

/// Fabrication errors of one MMU of one chip.
#[derive(Debug, Clone, PartialEq)]
pub struct MmuErrors {
    /// Phase error left on the bus path of each digit, rad.
    pub bus: Vec<f64>,
    /// Phase error left on the detour of each digit, rad.
    pub detour: Vec<f64>,
    /// Relative length error of each shifter.
    pub gain: Vec<f64>,
    /// Error of the drive for each stationary residue beyond the known rounding of its code, levels.
    pub level: Vec<f64>,
    /// Phase added to the whole MDPU per phase of the unit shifter, by what compensation leaves of thermal crosstalk.
    pub heat: f64,
}

/// Errors of one sampled MDPU.
#[derive(Debug, Clone, PartialEq)]
pub struct MdpuErrors {
    /// Of each MMU.
    pub mmus: Vec<MmuErrors>,
    /// Phase that the ambient has added since the read-out was calibrated, rad.
    pub ambient: f64,
}

/// An MDPU of one modulus, ready to compute: derived from [`MdpuParameters`], immutable.
#[derive(Debug, Clone)]
pub struct Mdpu {
    parameters: MdpuParameters,
    digits: Digits,
    drive: Drive,
    residue: TrimResidue,
    bus_amplitude: f64,
    leakage: f64,
    detour_db: Vec<f64>,
    shifter_db: Vec<f64>,
    crosstalk: Vec<SourceGain>,
    /// Field of the hybrid's second branch over that of its first: a quarter turn, but for the hybrid's error.
    pub(crate) quarter: Complex64,
    /// Phase on a stage's bus per phase of its own drive; zero where compensated.
    own_bus: f64,
    lock: RingLock,
    /// Where its paths lie, and the maps over them, if they vary by maps.
    varied: Option<(Site, Maps)>,
}

impl Mdpu {
    /// Builds the unit of `modulus`.
    ///
    /// # Errors
    /// A parameter out of range, a modulus outside 2..=512, or a driver too weak for the largest level.
    pub fn new(parameters: &MdpuParameters, modulus: u32) -> Result<Self, DeviceError> {
        parameters.check()?;
        if !(2..=512).contains(&modulus) {
            return Err(DeviceError::Modulus(modulus));
        }
        let digits = Digits::new(modulus, parameters.encoding);
        let group = parameters.group;
        let map = parameters.crosstalk.heaters.as_deref();
        if let Some(fault) = map.and_then(|map| map.fault(group, digits.count())) {
            return Err(DeviceError::Question(format!("modulus {modulus}: the map of heaters {fault}")));
        }
        let drive = Drive::new(parameters, &digits)?;
        let total: f64 = digits.weights().iter().map(|w| f64::from(w.abs())).sum();
        let ring_share = match parameters.accounting {
            LossAccounting::PerElement | LossAccounting::PerMmu => 1.0,
            LossAccounting::MmuTotal => 1.0 / (2.0 * digits.count() as f64),
        };
        let shifter_db = digits.weights().iter().map(|w| match parameters.accounting {
            LossAccounting::PerElement => parameters.shifters.loss_db,
            _ => parameters.shifters.loss_db * f64::from(w.abs()) / total,
        });
        let lock = RingLock { detuning: parameters.heat.ring_lock };
        let (lock_db, extinction_db) = if parameters.rings.locked {
            (0.0, parameters.rings.extinction_db)
        } else {
            (lock.drop_loss_db(), lock.extinction_db(parameters.rings.extinction_db))
        };
        let drop_db = parameters.rings.drop_loss_db * ring_share + lock_db;
        let bus_db = 2.0 * parameters.rings.pass_loss_db * ring_share;
        let shifter_db: Vec<f64> = shifter_db.collect();
        let driven = 1.0 + parameters.shifters.drive_loss;
        let largest = |shifter: &f64| bus_db.max(2.0 * drop_db + shifter * driven);
        let loss = parameters.group as f64 * shifter_db.iter().map(largest).sum::<f64>();
        if loss > DARK {
            let problem =
                format!("dB in all MMUs of an MDPU, of at most {DARK} dB: no light is left at the detector");
            return Err(DeviceError::parameter("the loss", loss, &problem));
        }
        // Through both rings, hence the field as one ring leaks power.
        let leakage = -power_left(extinction_db);
        Ok(Mdpu {
            residue: TrimResidue::new(&parameters.trim),
            bus_amplitude: amplitude_left(bus_db).min(largest_amplitude(leakage)),
            leakage,
            detour_db: vec![2.0 * drop_db; digits.count()],
            shifter_db,
            crosstalk: source_gains(&parameters.crosstalk, parameters.heat.compensation, &digits, group),
            quarter: Complex64::from_polar(1.0, PI / 2.0 - parameters.link.hybrid_phase_error),
            own_bus: if parameters.heat.compensation.is_some() {
                0.0
            } else {
                parameters.crosstalk.on_own_bus()
            },
            lock,
            varied: varied(parameters, digits.count())?,
            parameters: parameters.clone(),
            digits,
            drive,
        })
    }

    /// The parameters it was built from.
    pub fn parameters(&self) -> &MdpuParameters {
        &self.parameters
    }

    /// Its digits.
    pub fn digits(&self) -> &Digits {
        &self.digits
    }

    /// Its modulus.
    pub fn modulus(&self) -> u32 {
        self.digits.modulus()
    }

    pub(crate) fn drive(&self) -> &Drive {
        &self.drive
    }

    pub(crate) fn residue(&self) -> &TrimResidue {
        &self.residue
    }

    /// Phase variance that the ring locks leave on a detour, rad^2.
    pub(crate) fn lock_variance(&self) -> f64 {
        self.lock.detour_variance()
    }

    /// Standard deviation of the phase that the ambient adds between calibrations of the read-out, rad.
    pub fn ambient(&self) -> f64 {
        let (heat, delay) = (&self.parameters.heat, self.parameters.link.delay_mismatch);
        heat.drift * phase_per_kelvin(delay, heat.group_index, heat.thermo_optic, heat.wavelength)
    }

    /// Phase added to the whole MDPU per phase of each MMU's unit shifter, by thermal crosstalk.
    pub(crate) fn crosstalk_gains(&self) -> &[SourceGain] {
        &self.crosstalk
    }

    /// Where its paths lie, if they vary by maps.
    pub(crate) fn site(&self) -> Option<&Site> {
        self.varied.as_ref().map(|varied| &varied.0)
    }

    /// An MMU without fabrication errors.
    pub fn no_errors(&self) -> MmuErrors {
        let n = self.digits.count();
        MmuErrors {
            bus: vec![0.0; n],
            detour: vec![0.0; n],
            gain: vec![0.0; n],
            level: vec![0.0; self.size()],
            heat: 0.0,
        }
    }

    /// Errors of one sampled MDPU, alone on a chip of its own.
    pub fn sample(&self, rng: &mut Pcg64) -> MdpuErrors {
        let alone = |(site, maps): &(Site, Maps)| maps.made(&maps.sample(rng), site, (0.0, 0.0));
        let made = self.varied.as_ref().map(alone);
        self.sample_made(made.as_ref(), rng)
    }

    /// Errors of one sampled MDPU, those of its paths as its chip's maps made them, if it varies by maps.
    pub(crate) fn sample_made(&self, made: Option<&MadeErrors>, rng: &mut Pcg64) -> MdpuErrors {
        let mut mmus: Vec<MmuErrors> = self.crosstalk.iter().map(|_| self.sample_errors(rng)).collect();
        if let Some(made) = made {
            self.vary(made, &mut mmus, rng);
        }
        for (errors, gain) in mmus.iter_mut().zip(&self.crosstalk).filter(|(_, gain)| gain.variance > 0.0) {
            errors.heat = gain.variance.sqrt() * normal_pair(rng).0;
        }
        let ambient = self.ambient();
        MdpuErrors { mmus, ambient: if ambient > 0.0 { ambient * normal_pair(rng).0 } else { 0.0 } }
    }

    /// Puts what trimming leaves of correlated errors in the place of independent ones.
    fn vary(&self, made: &MadeErrors, mmus: &mut [MmuErrors], rng: &mut Pcg64) {
        let n = self.digits.count();
        for (j, errors) in mmus.iter_mut().enumerate() {
            for d in 0..n {
                let stage = j * n + d;
                errors.bus[d] = self.residue.left_of(made.bus[stage]);
                errors.detour[d] = self.residue.left_of(made.detour[stage]) + self.sample_lock(rng);
                errors.gain[d] += made.gain[stage];
            }
        }
    }

    /// Fabrication errors of one sampled MMU, its paths independent of each other.
    pub fn sample_errors(&self, rng: &mut Pcg64) -> MmuErrors {
        let n = self.digits.count();
        let mismatch = self.parameters.shifters.mismatch;
        MmuErrors {
            bus: (0..n).map(|_| self.residue.sample(rng)).collect(),
            detour: (0..n).map(|_| self.residue.sample(rng) + self.sample_lock(rng)).collect(),
            gain: (0..n).map(|_| mismatch * normal_pair(rng).0).collect(),
            level: self.drive.sample(rng),
            heat: 0.0,
        }
    }

    fn sample_lock(&self, rng: &mut Pcg64) -> f64 {
        let variance = self.lock_variance();
        if variance > 0.0 { variance.sqrt() * normal_pair(rng).0 } else { 0.0 }
    }

    fn size(&self) -> usize {
        self.digits.modulus() as usize
    }

    /// Field transfer of one digit: `[bit 0, bit 1]`, for stationary residue `w`.
    ///
    /// The wrong path leaks through both rings, each with its extinction as a field amplitude, and interferes: with a minus, since
    /// what leaks past one ring is a quarter of a turn from what takes the right path. See [the two rings](crate::component::RingSwitch).
    pub fn stage(&self, errors: &MmuErrors, digit: usize, w: usize) -> [Complex64; 2] {
        let loss = self.detour_amplitude(digit, self.drive.relative_voltage[w]);
        let level = self.driven_level(errors, w);
        let detour = polar(loss, self.detour_phase(errors, digit, level));
        let bus = self.bus(errors, digit, level);
        [bus + detour * self.leakage, detour + bus * self.leakage]
    }

    /// The level to which stationary residue `w` drives an MMU, the errors of its DAC included.
    pub(crate) fn driven_level(&self, errors: &MmuErrors, w: usize) -> f64 {
        f64::from(self.digits.level(w)) + self.drive.rounding[w] + errors.level[w]
    }

    /// Field on the bus path of one digit, which its own drive at `level` warms too.
    pub(crate) fn bus(&self, errors: &MmuErrors, digit: usize, level: f64) -> Complex64 {
        polar(self.bus_amplitude, errors.bus[digit] + self.own_bus_phase(digit) * level)
    }

    /// Phase on the bus of one digit per drive level, rad.
    pub(crate) fn own_bus_phase(&self, digit: usize) -> f64 {
        2.0 * PI / f64::from(self.modulus()) * f64::from(self.digits.weights()[digit]) * self.own_bus
    }

    /// Phase on the detour of one digit at a drive level, rad.
    pub(crate) fn detour_phase(&self, errors: &MmuErrors, digit: usize, level: f64) -> f64 {
        let weight = f64::from(self.digits.weights()[digit]);
        2.0 * PI / f64::from(self.modulus()) * weight * level * (1.0 + errors.gain[digit])
            + errors.detour[digit]
    }

    /// Field amplitude on the detour of one digit at a voltage relative to the largest used.
    pub(crate) fn detour_amplitude(&self, digit: usize, relative_voltage: f64) -> f64 {
        let drive = 1.0 + self.parameters.shifters.drive_loss * relative_voltage.abs();
        let given = amplitude_left(self.detour_db[digit] + self.shifter_db[digit] * drive);
        given.min(largest_amplitude(self.leakage))
    }

    /// Field that takes the wrong path, through both rings of a digit, over that of the right one: never positive.
    ///
    /// A ring drops 1/(1 + i x) of the field and passes i x/(1 + i x) of it, x half-linewidths from resonance: a wrong path over a right
    /// one is 1/(i x) of a detuned ring and i x of one that is off its resonance by a locking error, and both squared are negative.
    /// (Without loss, no other sign of two equal rings keeps the energy: the two outputs' squares sum to one only so.) Couplings that
    /// are not critical would leave light with a plus on the bus of a set digit, locking errors of opposite signs too.
    pub(crate) fn leakage(&self) -> f64 {
        self.leakage
    }

    /// Field transfer of one MMU for stationary residue `w` and streamed residue `x`: the product over its digits.
    pub fn mmu(&self, errors: &MmuErrors, w: usize, x: usize) -> Complex64 {
        (0..self.digits.count())
            .map(|digit| self.stage(errors, digit, w)[usize::from(self.digits.bit(x, digit))])
            .product()
    }

    /// Field transfers of one MMU for every pair, at index `w * m + x`.
    pub(crate) fn transfers(&self, errors: &MmuErrors) -> Vec<Complex64> {
        let m = self.size();
        let mut table = Vec::with_capacity(m * m);
        let mut stages = Vec::with_capacity(self.digits.count());
        for w in 0..m {
            stages.clear();
            stages.extend((0..self.digits.count()).map(|digit| self.stage(errors, digit, w)));
            for x in 0..m {
                let product =
                    |field, (d, s): (usize, &[Complex64; 2])| field * s[usize::from(self.digits.bit(x, d))];
                table.push(stages.iter().enumerate().fold(Complex64::new(1.0, 0.0), product));
            }
        }
        table
    }

    /// Worst-case loss of the MMUs of an MDPU (over operands), dB.
    pub fn worst_loss_db(&self) -> f64 {
        let table = self.transfers(&self.no_errors());
        let least = table.iter().map(|h| h.norm_sqr()).fold(f64::INFINITY, f64::min);
        -10.0 * least.log10() * self.parameters.group as f64
    }
}

/// The paths of an MDPU with so many digits in an MMU, and the maps over them alone.
fn varied(parameters: &MdpuParameters, digits: usize) -> Result<Option<(Site, Maps)>, DeviceError> {
    let Some(variation) = parameters.variation else { return Ok(None) };
    let places = stage_places(&parameters.crosstalk, parameters.group, digits);
    let site = Site::new(&places, digits, variation.separation);
    let (x, y) = site.ranges();
    let maps = Maps::new(variation, x, y)?;
    Ok(Some((site, maps)))
}

/// The largest field amplitude of a path beside a wrong one of relative amplitude `leakage`: in phase, both together then give no more
/// light than came in. What leaks is part of the given losses, and only where these are smaller does it count.
fn largest_amplitude(leakage: f64) -> f64 {
    1.0 / (1.0 + leakage.abs())
}

fn polar(amplitude: f64, phase: f64) -> Complex64 {
    let (sine, cosine) = libm::sincos(phase);
    Complex64::new(amplitude * cosine, amplitude * sine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::encoding::Encoding;
    use crate::unit::parameters::{Crosstalk, OwnBus};

    #[test]
    fn a_drive_warms_the_buses_that_light_runs_on() {
        let mut p = MdpuParameters::ideal(16);
        p.crosstalk = Crosstalk { coefficient: 1e-3, own_bus: OwnBus::Distance(25e-6), ..Crosstalk::NONE };
        let own = 1e-3 * f64::exp(-0.5);
        for (encoding, m) in [(Encoding::Natural, 33u32), (Encoding::Centred, 32)] {
            p.encoding = encoding;
            let unit = Mdpu::new(&p, m).unwrap();
            let (digits, turn) = (unit.digits(), 2.0 * PI / f64::from(m));
            let all: i32 = digits.weights().iter().sum();
            for (w, x) in (0..m as usize).flat_map(|w| (0..m as usize).map(move |x| (w, x))) {
                let left = f64::from(all - digits.value(x)) * own * f64::from(digits.level(w));
                let expected = turn * (f64::from(digits.level(w) * digits.value(x)) + left);
                let off = unit.mmu(&unit.no_errors(), w, x) / Complex64::from_polar(1.0, expected) - 1.0;
                assert!(off.norm() < 1e-12, "{m} {w} {x}: {off}");
            }
            // Known exactly it is gone; known to a tenth it leaves a tenth of itself, at most.
            p.heat.compensation = Some(0.1);
            let known = Mdpu::new(&p, m).unwrap();
            assert!(known.own_bus_phase(1) == 0.0);
            assert!(known.crosstalk_gains()[0].variance > (0.1 * own).powi(2));
            p.heat.compensation = None;
        }
    }

    #[test]
    fn every_pair_of_every_modulus_is_exact_without_imperfections() {
        for encoding in [Encoding::Natural, Encoding::Centred] {
            for m in [31u32, 32, 33, 2, 3, 7, 64] {
                let mut p = MdpuParameters::ideal(1);
                p.encoding = encoding;
                p.shifters.max_voltage = 5.0;
                let unit = Mdpu::new(&p, m).unwrap();
                let errors = unit.no_errors();
                for w in 0..m as usize {
                    for x in 0..m as usize {
                        let field = unit.mmu(&errors, w, x);
                        assert!((field.norm() - 1.0).abs() < 1e-12);
                        let turns = field.arg() * f64::from(m) / (2.0 * PI);
                        let read = turns.round().rem_euclid(f64::from(m)) as usize;
                        assert_eq!(read, w * x % m as usize, "{encoding:?} m={m} w={w} x={x}");
                        assert!((turns - turns.round()).abs() < 1e-9);
                    }
                }
            }
        }
    }

    #[test]
    fn accounting_gives_the_documented_losses() {
        let worst = |accounting| {
            let mut p = MdpuParameters::ideal(16);
            p.accounting = accounting;
            (p.rings.pass_loss_db, p.rings.drop_loss_db, p.shifters.loss_db) = (0.2, 0.2, 0.91);
            Mdpu::new(&p, 31).unwrap().worst_loss_db()
        };
        // 16 MMUs of 5 digits: 160 ring passages of 0.2 dB are 32 dB.
        // (30 is the largest streamed residue of 31: its bits use 30/31 of the length.)
        assert!((worst(LossAccounting::PerElement) - (32.0 + 16.0 * 4.0 * 0.91)).abs() < 1e-9);
        assert!((worst(LossAccounting::PerMmu) - (32.0 + 16.0 * 0.91 * 30.0 / 31.0)).abs() < 1e-9);
        assert!((worst(LossAccounting::MmuTotal) - 16.0 * (0.2 + 0.91 * 30.0 / 31.0)).abs() < 1e-9);
        let mut p = MdpuParameters::ideal(1024);
        (p.accounting, p.shifters.loss_db) = (LossAccounting::MmuTotal, 0.91);
        assert!(Mdpu::new(&p, 31).is_ok(), "932 dB are no light, but numbers still");
        p.shifters.loss_db = 9.1;
        let error = Mdpu::new(&p, 31).unwrap_err().to_string();
        assert!(error.contains("the loss = 9318") && error.contains("3000 dB"), "{error}");
    }

    #[test]
    fn finite_extinction_interferes_coherently() {
        let mut p = MdpuParameters::ideal(1);
        p.rings.extinction_db = 20.0;
        let unit = Mdpu::new(&p, 4).unwrap();
        // m = 4, w = 2: the detour of weight one is a half turn. Bit 0 gives 1 + 0.01, bit 1 gives -1 - 0.01; of each path 1/1.01 at
        // most, as without loss of its own it loses what leaks.
        let stage = unit.stage(&unit.no_errors(), 0, 2);
        assert!((stage[0] - 1.0).norm() < 1e-12);
        assert!((stage[1] + 1.0).norm() < 1e-12);
        // A quarter turn leaks into the other quadrature.
        let quarter = unit.stage(&unit.no_errors(), 0, 1);
        assert!((quarter[0] - Complex64::new(1.0, -0.01) / 1.01).norm() < 1e-12);
    }

    #[test]
    fn no_operands_give_more_light_than_came_in_at_any_extinction() {
        for extinction in [0.0, 3.0, 10.0, 20.0, 30.0, 60.0, f64::INFINITY] {
            for (ring, shifter) in [(0.0, 0.0), (0.0, 0.9), (0.2, 0.9)] {
                let mut p = MdpuParameters::ideal(1);
                p.rings.extinction_db = extinction;
                (p.rings.pass_loss_db, p.rings.drop_loss_db, p.shifters.loss_db) = (ring, ring, shifter);
                let unit = Mdpu::new(&p, 33).unwrap();
                let largest = unit.transfers(&unit.no_errors()).iter().map(|h| h.norm()).fold(0.0, f64::max);
                assert!(
                    largest > 0.0 && largest <= 1.0 + 1e-12,
                    "{extinction} dB, {ring}, {shifter}: {largest}"
                );
            }
        }
        // Losses as given stand where they are larger than what leaks, as those of the default design are.
        let mut p = MdpuParameters::ideal(16);
        (p.rings.pass_loss_db, p.rings.drop_loss_db, p.shifters.loss_db) = (0.2, 0.2, 0.91);
        let given = Mdpu::new(&p, 31).unwrap().bus_amplitude;
        p.rings.extinction_db = 25.0;
        assert_eq!(Mdpu::new(&p, 31).unwrap().bus_amplitude, given);
    }

    #[test]
    fn transfers_agree_with_single_pairs() {
        let mut p = MdpuParameters::ideal(1);
        p.rings.extinction_db = 25.0;
        p.shifters.loss_db = 0.9;
        p.trim.fabrication = 0.3;
        let unit = Mdpu::new(&p, 33).unwrap();
        let errors = unit.sample_errors(&mut <Pcg64 as rand::SeedableRng>::seed_from_u64(3));
        let table = unit.transfers(&errors);
        for (w, x) in [(0, 0), (5, 32), (32, 32), (17, 9)] {
            assert!((table[w * 33 + x] - unit.mmu(&errors, w, x)).norm() < 1e-12);
        }
    }
}
