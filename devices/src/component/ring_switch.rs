//! A ring as a switch between bus and detour: everything follows from radius, couplings, loss and detuning.

use super::generic::{ANY, FRACTION, NOT_NEGATIVE, POSITIVE};
use super::ring::{AddDrop, FOUR, RING_PAIRS, RingFields, fill_ring};
use super::simple::Simple;
use super::{ComponentError, Points, Scattering, Setting, Settings};
use crate::error::DeviceError;
use crate::physics::{LIGHT_SPEED, amplitude_left};
use num_complex::Complex64;
use std::f64::consts::TAU;

/// A ring that drops light when it is on resonance, and lets it pass when it is detuned.
///
/// ```text
///   detour ═══════════        on: resonance at the laser, but for the locking error: light goes to the detour
///            ╭───╮            off: resonance `detuning` away: light stays on the bus
///            ╰───╯
///      bus ═══════════
/// ```
///
/// Losses and extinctions are those of the closed form of a ring between two buses (Bogaerts et al., Laser Photonics Rev.
/// 6:47, 2012, eqs. 3 to 9), at the worse end of the locking error.
///
/// ```
/// use mirage_devices::component::RingSwitch;
///
/// // A ring of 5 um, 10 % coupled on both sides, with 0.05 dB a turn, moved by 600 GHz.
/// let ring = RingSwitch::new(5e-6, 0.10, 0.10, 0.05, 4.2, 600e9, 0.0)?;
/// assert!((ring.linewidth() / 80e9 - 1.0).abs() < 0.1);
/// assert!(ring.extinction_db() > 20.0 && ring.drop_loss_db() < 0.6);
/// # Ok::<(), mirage_devices::DeviceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RingSwitch {
    ring: AddDrop,
    free_spectral_range: f64,
    detuning: f64,
    locking_error: f64,
}

impl RingSwitch {
    /// A switch of `radius` (m), power couplings to bus and detour, loss of one round trip (dB), group index, detuning of the off
    /// state (Hz) and the largest error of the resonance's place (Hz).
    ///
    /// # Errors
    /// Values out of their physical range; a ring without resonance; a detuning that, with the locking error, exceeds half of the
    /// free spectral range, beyond which the next resonance comes nearer.
    pub fn new(
        radius: f64,
        coupling_bus: f64,
        coupling_detour: f64,
        round_trip_loss_db: f64,
        group_index: f64,
        detuning: f64,
        locking_error: f64,
    ) -> Result<Self, DeviceError> {
        let within = |name, value: f64, low: f64, high: f64, range: &str| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(DeviceError::parameter(name, value, range))
            }
        };
        within("ring.radius", radius, 1e-7, 1e-2, "must lie in 0.1 um to 1 cm")?;
        within("ring.coupling_bus", coupling_bus, 1e-6, 0.99, "must lie in 1e-6 to 0.99")?;
        within("ring.coupling_detour", coupling_detour, 1e-6, 0.99, "must lie in 1e-6 to 0.99")?;
        within("ring.round_trip_loss", round_trip_loss_db, 0.0, 20.0, "must lie in 0 dB to 20 dB")?;
        within("ring.group_index", group_index, 1.0, 10.0, "must lie in 1 to 10")?;
        let free_spectral_range = LIGHT_SPEED / (group_index * TAU * radius);
        let room = free_spectral_range / 2.0;
        let nearest = "must be positive and at most half of the free spectral range less the locking error";
        within(
            "ring.locking_error",
            locking_error,
            0.0,
            room,
            "must lie in 0 to half of the free spectral range",
        )?;
        if !(detuning > locking_error && detuning <= room - locking_error) {
            return Err(DeviceError::parameter("ring.detuning", detuning, nearest));
        }
        let amplitude = amplitude_left(round_trip_loss_db);
        let ring = AddDrop { bus: coupling_bus, drop: coupling_detour, amplitude };
        if ring.width().is_none() {
            let problem = "so strong a coupling leaves no resonance";
            return Err(DeviceError::parameter("ring.coupling_bus", coupling_bus, problem));
        }
        Ok(RingSwitch { ring, free_spectral_range, detuning, locking_error })
    }

    /// Distance of resonances, Hz: c/(n_g L).
    pub fn free_spectral_range(&self) -> f64 {
        self.free_spectral_range
    }

    /// Full width at half maximum of a resonance, Hz.
    pub fn linewidth(&self) -> f64 {
        // `new` made sure that there is one.
        self.ring.width().unwrap_or(f64::NAN) / TAU * self.free_spectral_range
    }

    /// Time in which the light stored in the ring falls to 1/e of its energy, s; its field takes twice as long.
    ///
    /// A round trip of 1/FSR leaves the share x^2 of the energy; for a narrow resonance this is 1/(2 pi linewidth).
    pub fn photon_lifetime(&self) -> f64 {
        -1.0 / (2.0 * self.ring.round_trip().ln() * self.free_spectral_range)
    }

    /// Field transfers to bus and detour at a laser frequency `offset` Hz above the resonance.
    pub fn transfer(&self, offset: f64) -> (Complex64, Complex64) {
        let fields = self.fields(offset);
        (fields.through, fields.drop)
    }

    fn fields(&self, offset: f64) -> RingFields {
        let zero = RingFields { through: Complex64::ZERO, drop: Complex64::ZERO, add: Complex64::ZERO };
        // Both couplings are positive, so that the field is bounded.
        self.ring.fields(TAU * offset / self.free_spectral_range).unwrap_or(zero)
    }

    /// Powers to bus and detour: (off, on), each (bus, detour), at the worse end of the locking error.
    fn states(&self) -> [(f64, f64); 2] {
        [self.detuning - self.locking_error, self.locking_error].map(|offset| {
            let (through, drop) = self.transfer(offset);
            (through.norm_sqr(), drop.norm_sqr())
        })
    }

    /// Loss of light that passes the detuned ring, dB.
    pub fn pass_loss_db(&self) -> f64 {
        decibels(self.states()[0].0)
    }

    /// Loss of light that is dropped on resonance, dB.
    pub fn drop_loss_db(&self) -> f64 {
        decibels(self.states()[1].1)
    }

    /// Power that leaks to the detour when it should pass, below what is dropped on resonance, dB.
    pub fn off_extinction_db(&self) -> f64 {
        let [off, on] = self.states();
        decibels(off.1 / on.1)
    }

    /// Power that stays on the bus when it should be dropped, below what passes when detuned, dB; infinite at critical coupling
    /// without locking error.
    pub fn on_extinction_db(&self) -> f64 {
        let [off, on] = self.states();
        decibels(on.0 / off.0)
    }

    /// The smaller of the two extinctions, dB.
    pub fn extinction_db(&self) -> f64 {
        self.off_extinction_db().min(self.on_extinction_db())
    }

    /// Change of the dropped field's phase for each hertz of error of the resonance, rad/Hz: twice the lifetime of the energy,
    /// times 2 pi, for a narrow resonance.
    pub fn phase_slope(&self) -> f64 {
        let step = self.linewidth() * 1e-3;
        let [before, after] = [-step, step].map(|offset| self.fields(offset).drop);
        (after / before).arg() / (2.0 * step)
    }
}

fn decibels(power: f64) -> f64 {
    -10.0 * power.log10()
}

/// The switch as a component: `drive` 0 is off (detuned), 1 is on (resonant at `resonance`).
///
/// ```text
///   drop ═══════════ add
///           ╭───╮            resonance at c/resonance + detuning (1 - drive) + locking_error
///           ╰───╯
///     in ═══════════ through
/// ```
pub(super) const RING_SWITCH: Simple = Simple {
    name: "ring_switch",
    summary: "ring switch: on resonance it drops, detuned it passes",
    ports: FOUR,
    settings: &[
        Setting::number("radius", 5.0, "um", POSITIVE, "radius"),
        Setting::number("coupling", 0.1, "", FRACTION, "power coupled between bus and ring"),
        Setting::number("coupling_drop", 0.1, "", FRACTION, "power coupled between drop guide and ring"),
        Setting::number("loss_dB_cm", 10.0, "dB/cm", NOT_NEGATIVE, "loss of the ring's guide"),
        Setting::number("ng", 4.2, "", (1.0, 10.0), "group index of the ring's guide"),
        Setting::number("resonance", 1.55, "um", POSITIVE, "wavelength of the resonance when on"),
        Setting::number("detuning", 600.0, "GHz", ANY, "how far the resonance lies away when off"),
        Setting::number("drive", 0.0, "", FRACTION, "0 = off, 1 = on"),
        Setting::number("locking_error", 0.0, "GHz", ANY, "error of the resonance's place"),
    ],
    pairs: RING_PAIRS,
    scatter: scatter_switch,
};

fn scatter_switch(points: &Points, settings: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
    let [radius, bus, drop, loss, ng, resonance, detuning, drive, error] = [
        "radius",
        "coupling",
        "coupling_drop",
        "loss_dB_cm",
        "ng",
        "resonance",
        "detuning",
        "drive",
        "locking_error",
    ]
    .map(|n| settings.number(n));
    let at = |i: usize| {
        let length = TAU * radius.at(i) * 1e-6;
        let shift = (detuning.at(i) * (1.0 - drive.at(i)) + error.at(i)) * 1e9;
        let offset = LIGHT_SPEED / points.wavelengths()[i] - LIGHT_SPEED / (resonance.at(i) * 1e-6) - shift;
        let amplitude = amplitude_left(100.0 * loss.at(i) * length);
        let ring = AddDrop { bus: bus.at(i), drop: drop.at(i), amplitude };
        ring.fields(TAU * offset * ng.at(i) * length / LIGHT_SPEED).ok_or_else(|| {
            let problem = "a ring without loss or coupling has no finite field on resonance";
            ComponentError::of("loss_dB_cm", problem)
        })
    };
    let fields: Vec<RingFields> = (0..points.len()).map(at).collect::<Result<_, _>>()?;
    fill_ring(s, &fields);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(locking_error: f64) -> RingSwitch {
        RingSwitch::new(5e-6, 0.1, 0.09, 0.05, 4.2, 600e9, locking_error).unwrap()
    }

    /// Near one resonance the dropped power is a Lorentzian of the linewidth (Bogaerts, sect. 2): 1/(1 + (2 d/width)^2).
    #[test]
    fn extinctions_are_those_of_a_lorentzian() {
        let r = RingSwitch::new(5e-6, 0.1, 0.09, 0.05, 4.2, 150e9, 0.0).unwrap();
        let lorentz = 10.0 * (1.0 + (2.0 * 150e9 / r.linewidth()).powi(2)).log10();
        assert!((r.off_extinction_db() - lorentz).abs() < 0.1, "{} {lorentz}", r.off_extinction_db());
        // With an error of a tenth of the width a hundredth of the light stays behind: (2 d/width)^2/(1 + (2 d/width)^2).
        let critical = RingSwitch::new(5e-6, 0.1, 0.1, 0.0, 4.2, 600e9, 0.0).unwrap();
        assert!(critical.on_extinction_db() > 250.0);
        let error = 0.1 * critical.linewidth();
        let off = RingSwitch::new(5e-6, 0.1, 0.1, 0.0, 4.2, 600e9, error).unwrap();
        let left = 0.04f64 / 1.04;
        assert!((off.on_extinction_db() + 10.0 * left.log10()).abs() < 0.1, "{}", off.on_extinction_db());
        assert!((off.drop_loss_db() - 10.0 * 1.04f64.log10()).abs() < 0.01);
        assert_eq!(off.extinction_db(), off.on_extinction_db());
    }

    #[test]
    fn lifetime_width_and_quality_are_consistent() {
        let r = ring(0.0);
        assert!((r.free_spectral_range() / (299_792_458.0 / (4.2 * 31.415_926_5e-6)) - 1.0).abs() < 1e-6);
        // Stored energy decays as e^{-2 pi width t}, for a narrow resonance.
        assert!((r.photon_lifetime() * TAU * r.linewidth() - 1.0).abs() < 0.002);
        // d arg/d offset of a Lorentzian field 1/(1 - 2i d/width): 2/width, and half a round trip's delay.
        let slope = 2.0 / r.linewidth();
        assert!((r.phase_slope() / slope - 1.0).abs() < 0.02, "{} {slope}", r.phase_slope());
    }

    #[test]
    fn lossless_switches_conserve_power() {
        let r = RingSwitch::new(5e-6, 0.1, 0.2, 0.0, 4.2, 600e9, 10e9).unwrap();
        for offset in [0.0, 1e9, 50e9, 1e12] {
            let (through, drop) = r.transfer(offset);
            assert!((through.norm_sqr() + drop.norm_sqr() - 1.0).abs() < 1e-12);
        }
        assert!(ring(20e9).pass_loss_db() > ring(0.0).pass_loss_db());
        assert!(ring(20e9).drop_loss_db() > ring(0.0).drop_loss_db());
    }

    /// The table of docs/ring-switch.md: what 28.5 dB asks of a critically coupled ring of 5 um.
    #[test]
    fn the_table_of_the_documentation() {
        let make = |loss_db_cm: f64, drop: f64, detuning: f64, error: f64| {
            let round_trip = loss_db_cm * 100.0 * TAU * 5e-6;
            let bus = 1.0 - (1.0 - drop) * 10f64.powf(-round_trip / 10.0);
            RingSwitch::new(5e-6, bus, drop, round_trip, 4.2, detuning, error).unwrap()
        };
        for (loss, drop, width, lifetime, drop_loss, detuning, error) in [
            (2.0, 0.02, 15.7e9, 10.16e-12, 0.300, 211e9, 0.294e9),
            (2.0, 0.05, 38.2e9, 4.17e-12, 0.121, 562e9, 0.717e9),
            (10.0, 0.02, 19.8e9, 8.02e-12, 1.329, 270e9, 0.373e9),
            (10.0, 0.05, 42.3e9, 3.76e-12, 0.573, 645e9, 0.796e9),
        ] {
            let ring = make(loss, drop, detuning, 0.0);
            assert!((ring.linewidth() - width).abs() < 0.05e9, "{}", ring.linewidth());
            assert!((ring.photon_lifetime() - lifetime).abs() < 0.006e-12, "{}", ring.photon_lifetime());
            assert!((ring.drop_loss_db() - drop_loss).abs() < 0.0006, "{}", ring.drop_loss_db());
            assert!((ring.off_extinction_db() - 28.5).abs() < 0.02, "{}", ring.off_extinction_db());
            let on = make(loss, drop, detuning, error).on_extinction_db();
            assert!((on - 28.5).abs() < 0.02, "{on}");
        }
        // 10 %: too wide at half of the free spectral range.
        assert!(make(2.0, 0.1, 1136e9, 0.0).off_extinction_db() < 28.5);
    }

    #[test]
    fn impossible_switches_are_refused() {
        let make = |bus, loss, detuning, error| RingSwitch::new(5e-6, bus, 0.1, loss, 4.2, detuning, error);
        let says = |r: Result<RingSwitch, DeviceError>, word: &str| {
            let text = r.unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        };
        says(make(1.5, 0.1, 6e11, 0.0), "coupling_bus");
        says(make(0.1, -0.1, 6e11, 0.0), "round_trip_loss");
        says(make(0.1, 0.1, 1.2e12, 0.0), "half of the free spectral range");
        says(make(0.1, 0.1, 1e9, 2e9), "ring.detuning");
        says(make(0.1, f64::NAN, 6e11, 0.0), "round_trip_loss");
        says(make(0.99, 19.0, 6e11, 0.0), "no resonance");
    }
}
