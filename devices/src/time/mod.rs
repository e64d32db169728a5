//! The streaming path in time: what is left of the last symbol when the next is read.
//!
//! ```text
//!   x(k) at the clock ─ drivers ─ rings ──┐
//!   w at reprogramming ─ shifters ─────── MMUs ─ hybrid ─ diode ─ amplifier ─ sampling ─ I, Q
//! ```
//!
//! What is modelled:
//!
//! * **Switches.** A digit's two rings are two modes in series, by coupled-mode theory (`rings`): the first takes light
//!   off the bus, the second puts it back. The driver (one pole, rise time from 10 to 90 % over ln 9) couples both; their field
//!   lifetime is 2 Q/omega, twice that of the energy ([`crate::component::RingSwitch::photon_lifetime`]). The settled ends
//!   are the static transfers, leakage included. A detuned ring's own light, which beats with the carrier at the detuning, is taken as
//!   averaged out; that the driver moves a resonance through its Lorentzian and not the coupling itself is left out.
//! * **Cascade.** Every digit gets the field that left the digit before it, as it changes in time (`path`): light is held back by
//!   twice the lifetime in each digit that is set.
//! * **Skew.** Every stage's drive is delayed by the light's flight to it, so all stages switch at the same retarded time.
//! * **Shifters.** After reprogramming the driven level (and the heat on the neighbours) goes from old to new with one time
//!   constant; the detours' phases follow it, multiplied by their weights.
//! * **Front end.** Diode and amplifier are one pole each. The balanced current is linear in the signal's field, so the
//!   transfer is filtered and then detected, by the same formulas as the static read-out.
//! * **Sampling** at one instant of every symbol; the clock's jitter acts through the slope of the filtered field.
//! * The noise is the static read-out's, from the amplifier's bandwidth alone: the diode's pole would make it a little less.
//!
//! The simulation is driven by events in femtoseconds ([`stream`]). The time between two events is cut into panels short enough for
//! polynomials of degree 16 (`panels` has the rule), and light goes through them digit by digit, by collocation at Radau's nodes
//! (`collocation`). Panels half as long change no sampled field by more than 1e-9 of a settled one.

mod collocation;
mod eye;
mod front;
mod isi;
mod limits;
mod memory;
mod panels;
mod path;
mod portrait;
mod rate;
mod rings;
mod settling;
mod stream;

pub use eye::{Eye, eye};
pub use isi::{PairDeviation, pair_deviations};
pub use limits::{MemoryLimits, MemoryRule, memory_limits};
pub use portrait::{ConstellationPoint, EyePoint, MOST_SYMBOLS, Portrait, Sitting, eye_of, portrait};
pub use rate::{MemoryPlan, MemoryRates, memory_rates};
pub use settling::{RequiredSettling, required_settling, unsettled_phase};
pub use stream::{Symbol, Tile, Trace, stream, trace};

use crate::error::DeviceError;
use crate::unit::parameters::MdpuParameters;
use panels::TimeConstants;

/// Speeds of the streaming path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeParameters {
    /// Photonic clock: symbols per second, Hz.
    pub clock: f64,
    /// Rise time of the switch drivers from 10 to 90 %, s; zero = immediate.
    pub driver_rise: f64,
    /// Lifetime of the field amplitude in a ring, 2 Q/omega, s; zero = immediate.
    pub ring_lifetime: f64,
    /// 3 dB bandwidth of the photodiodes alone, Hz; the amplifiers' is the detector's bandwidth.
    pub diode_bandwidth: f64,
}

impl TimeParameters {
    /// Checks every value against its physical range.
    ///
    /// # Errors
    /// [`DeviceError::Parameter`] names the first value that is out of range.
    pub fn check(&self) -> Result<(), DeviceError> {
        for (name, value, low, high, text) in [
            ("time.clock", self.clock, 1e3, 1e13, "must lie in 1 kHz to 10 THz"),
            (
                "time.driver_rise",
                self.driver_rise * self.clock,
                0.0,
                1e3,
                "must lie within 0 to 1000 symbols",
            ),
            (
                "time.ring_lifetime",
                self.ring_lifetime * self.clock,
                0.0,
                1e3,
                "must lie within 0 to 1000 symbols",
            ),
            (
                "time.diode_bandwidth",
                self.diode_bandwidth / self.clock,
                1e-3,
                1e6,
                "must lie in 1e-3 to 1e6 of the clock",
            ),
        ] {
            if !(low..=high).contains(&value) {
                return Err(DeviceError::parameter(name, value, text));
            }
        }
        Ok(())
    }

    pub(crate) fn constants(&self, unit: &MdpuParameters) -> TimeConstants {
        let pole = |bandwidth: f64| 1.0 / (std::f64::consts::TAU * bandwidth);
        TimeConstants {
            driver: self.driver_rise / 9f64.ln(),
            ring: self.ring_lifetime,
            diode: pole(self.diode_bandwidth),
            amplifier: pole(unit.detector.bandwidth),
            settling: unit.shifters.settling_time,
        }
    }
}

#[cfg(test)]
mod tests;
