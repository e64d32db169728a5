//! Plain parameters of a modular dot-product unit, in SI units and decibels where the name says so.

use crate::error::DeviceError;
use crate::heat::HeaterMap;
pub use crate::unit::disturbances::{ConverterNoise, Heat};
use crate::unit::encoding::Encoding;
use crate::variation::Variation;
use serde::Deserialize;
use std::sync::Arc;

/// How the published losses per ring and per shifter are charged to the stages of an MMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossAccounting {
    /// The ring loss at every passage of a ring, the shifter loss at every shifter passed.
    PerElement,
    /// The ring loss at every passage of a ring, the shifter loss for all shifters of an MMU together, shared in
    /// proportion to their lengths.
    PerMmu,
    /// The ring loss for all ring passages of an MMU together, the shifter loss for all its shifters together.
    MmuTotal,
}

/// Which codes the stationary DAC can produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codes {
    /// The code nearest to the level on the calibrated phase-voltage curve; codes are evenly spaced in voltage.
    Nearest,
    /// The named ideal: a code exactly on every level, without INL and DNL.
    OnLevel,
}

/// Ring switches at the entry and exit of every shifter's detour.
#[derive(Debug, Clone, PartialEq)]
pub struct Rings {
    /// Loss of a ring that lets the light pass on the bus, dB.
    pub pass_loss_db: f64,
    /// Loss of a ring that drops the light into or out of the detour, dB.
    pub drop_loss_db: f64,
    /// Power extinction of one ring towards the wrong path, dB; infinite = no leakage.
    pub extinction_db: f64,
    /// Whether losses and extinction already hold what the ring locks leave ([`Heat::ring_lock`]), as those of a ring
    /// described by its own parameters do. The phase that the locks leave is added either way.
    pub locked: bool,
}

/// The binary-weighted phase shifters.
#[derive(Debug, Clone, PartialEq)]
pub struct Shifters {
    /// Insertion loss, dB, charged as the accounting says.
    pub loss_db: f64,
    /// Relative increase of the loss (in dB) at the full drive voltage.
    pub drive_loss: f64,
    /// V_pi L, V m.
    pub vpi_length: f64,
    /// Length of the shifter of weight one, m.
    pub unit_length: f64,
    /// The largest voltage that the driver can give, V.
    pub max_voltage: f64,
    /// Quadratic part of the phase-voltage curve: phase = (pi L / V_pi L)(V + curvature V|V| / max_voltage). Calibrated.
    pub curvature: f64,
    /// Standard deviation of the relative error of each shifter's length.
    pub mismatch: f64,
    /// Time constant of settling after reprogramming, s; zero = settled.
    pub settling_time: f64,
    /// Time between reprogramming and the first read, s.
    pub program_time: f64,
}

/// The DAC of the stationary operand, one for each MMU.
#[derive(Debug, Clone, PartialEq)]
pub struct Dac {
    /// Which codes exist.
    pub codes: Codes,
    /// Resolution, bits, over the voltage range that covers the largest level.
    pub bits: u32,
    /// Smooth integral non-linearity that the calibration does not know, LSB rms.
    pub inl: f64,
    /// Differential non-linearity, independent for each code, that the calibration does not know, LSB rms.
    pub dnl: f64,
}

/// Fabrication's static phase errors and their trimming.
#[derive(Debug, Clone, PartialEq)]
pub struct Trim {
    /// Standard deviation of the phase error of each path (bus and detour) of each stage as made, rad.
    pub fabrication: f64,
    /// Step of the trimming, rad; zero = continuous.
    pub resolution: f64,
    /// Largest correction, rad; zero = no trimming.
    pub range: f64,
}

/// Thermal crosstalk between the stages of an MDPU: coefficient x exp(-distance / decay), or a measured matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Crosstalk {
    /// Phase in a stage per phase of the drive of another stage, extrapolated to distance zero.
    pub coefficient: f64,
    /// Decay length, m.
    pub decay: f64,
    /// Distance between neighbouring stages, m.
    pub pitch: f64,
    /// Heaters and guides that do not lie in a row `pitch` apart: a layout, which keeps the law of distance, or a measured
    /// matrix, which takes its place.
    pub heaters: Option<Arc<HeaterMap>>,
    /// What a stage's drive does to the bus beside its own detour.
    pub own_bus: OwnBus,
}

/// How a stage's drive reaches its own bus, on which light runs when the stage's bit is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OwnBus {
    /// By the law of distance, over so many m.
    Distance(f64),
    /// As measured: phase on the bus per phase of the drive.
    Measured(f64),
}

impl Crosstalk {
    /// No crosstalk at all.
    pub const NONE: Self = Crosstalk {
        coefficient: 0.0,
        decay: 50e-6,
        pitch: 50e-6,
        heaters: None,
        own_bus: OwnBus::Measured(0.0),
    };

    /// Stages 30 um apart beside their buses, for tests.
    #[cfg(test)]
    pub(crate) fn of_a_row(coefficient: f64) -> Self {
        Crosstalk {
            coefficient,
            decay: 60e-6,
            pitch: 30e-6,
            own_bus: OwnBus::Distance(20e-6),
            ..Crosstalk::NONE
        }
    }

    /// Phase on a stage's bus per phase of its own drive.
    pub fn on_own_bus(&self) -> f64 {
        match self.own_bus {
            OwnBus::Distance(distance) => self.coefficient * (-distance / self.decay).exp(),
            OwnBus::Measured(ratio) => ratio,
        }
    }

    /// Whether a law of distance with coefficient and decay length holds.
    pub fn by_distance(&self) -> bool {
        !self.heaters.as_ref().is_some_and(|map| map.is_measured())
    }
}

/// From the laser to the detector, outside the MMUs.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Relative intensity noise, 1/Hz.
    pub rin: f64,
    /// Laser linewidth, Hz.
    pub linewidth: f64,
    /// Delay mismatch of signal and reference path, s.
    pub delay_mismatch: f64,
    /// Loss of the edge coupler, dB.
    pub coupler_db: f64,
    /// Excess loss of one Y-branch, dB.
    pub splitter_db: f64,
    /// MDPUs fed by one laser.
    pub units_per_laser: u32,
    /// Share of an MDPU's power that goes to the signal arm.
    pub split: f64,
    /// Loss of the signal arm's routing waveguides, dB.
    pub signal_routing_db: f64,
    /// Loss of the reference arm, dB.
    pub reference_db: f64,
    /// Excess loss of the 90-degree hybrid, dB.
    pub hybrid_db: f64,
    /// Relative gain error of Q against I.
    pub hybrid_gain_error: f64,
    /// Error of the hybrid's 90 degrees, rad.
    pub hybrid_phase_error: f64,
}

/// Noise of the electrical front end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FrontEnd {
    /// Input-referred noise current, A rms in its own bandwidth.
    InputNoise(f64),
    /// Johnson noise of a load (ohm) at a temperature (K): 4 k T / R times the noise bandwidth.
    Resistor(f64, f64),
}

/// Balanced photodiodes and their amplifiers.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// Responsivity, A/W.
    pub responsivity: f64,
    /// Dark current of one diode, A.
    pub dark_current: f64,
    /// 3 dB bandwidth of the one-pole front end, Hz; the noise bandwidth is pi/2 times it.
    pub bandwidth: f64,
    /// Electrical noise of each branch.
    pub front_end: FrontEnd,
}

/// The two ADCs of an MDPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Adc {
    /// Resolution of the ideal quantiser, bits; none = no quantisation.
    pub bits: Option<u32>,
    /// Full scale over the largest possible amplitude; below one, large amplitudes clip.
    pub headroom: f64,
}

/// Everything that is needed to characterise one MDPU at a given laser power.
#[derive(Debug, Clone, PartialEq)]
pub struct MdpuParameters {
    /// MMUs in cascade (the group size g).
    pub group: usize,
    /// How residues are represented.
    pub encoding: Encoding,
    /// How losses are charged.
    pub accounting: LossAccounting,
    /// Ring switches.
    pub rings: Rings,
    /// Phase shifters.
    pub shifters: Shifters,
    /// Stationary DACs.
    pub dac: Dac,
    /// Static phase errors.
    pub trim: Trim,
    /// Thermal crosstalk.
    pub crosstalk: Crosstalk,
    /// Optics outside the MMUs.
    pub link: Link,
    /// Photodiodes and amplifiers.
    pub detector: Detector,
    /// Converters.
    pub adc: Adc,
    /// Their noise.
    pub noise: ConverterNoise,
    /// What controllers leave of heat.
    pub heat: Heat,
    /// Correlated fabrication errors of sampled chips; none = independent ones of [`Trim::fabrication`].
    pub variation: Option<Variation>,
}

impl MdpuParameters {
    /// A unit without any imperfection: no loss, no leakage, no noise, no error, no quantisation.
    pub fn ideal(group: usize) -> Self {
        MdpuParameters {
            group,
            encoding: Encoding::Natural,
            accounting: LossAccounting::MmuTotal,
            rings: Rings {
                pass_loss_db: 0.0,
                drop_loss_db: 0.0,
                extinction_db: f64::INFINITY,
                locked: false,
            },
            shifters: Shifters {
                loss_db: 0.0,
                drive_loss: 0.0,
                vpi_length: 2.5e-5,
                unit_length: 25e-6,
                max_voltage: 2.2,
                curvature: 0.0,
                mismatch: 0.0,
                settling_time: 0.0,
                program_time: 5e-9,
            },
            dac: Dac { codes: Codes::OnLevel, bits: 8, inl: 0.0, dnl: 0.0 },
            trim: Trim { fabrication: 0.0, resolution: 0.0, range: std::f64::consts::PI },
            crosstalk: Crosstalk::NONE,
            link: Link {
                rin: 0.0,
                linewidth: 0.0,
                delay_mismatch: 0.0,
                coupler_db: 0.0,
                splitter_db: 0.0,
                units_per_laser: 1,
                split: 0.5,
                signal_routing_db: 0.0,
                reference_db: 0.0,
                hybrid_db: 0.0,
                hybrid_gain_error: 0.0,
                hybrid_phase_error: 0.0,
            },
            detector: Detector {
                responsivity: 1.0,
                dark_current: 0.0,
                bandwidth: 10e9,
                front_end: FrontEnd::InputNoise(0.0),
            },
            adc: Adc { bits: None, headroom: 1.0 },
            noise: ConverterNoise::NONE,
            heat: Heat::NONE,
            variation: None,
        }
    }

    /// Checks every value against its physical range.
    ///
    /// # Errors
    /// [`DeviceError::Parameter`] names the first value that is out of range.
    pub fn check(&self) -> Result<(), DeviceError> {
        if self.group == 0 || self.group > 1024 {
            return Err(DeviceError::parameter("group", self.group as f64, "must lie in 1..=1024"));
        }
        let (r, s, l, d) = (&self.rings, &self.shifters, &self.link, &self.detector);
        let (electrical, temperature) = match d.front_end {
            FrontEnd::InputNoise(rms) => (rms, 1.0),
            FrontEnd::Resistor(ohm, kelvin) => {
                positive("detector.load_resistance", ohm)?;
                (0.0, kelvin)
            }
        };
        for (name, value) in [
            ("rings.pass_loss", r.pass_loss_db),
            ("rings.drop_loss", r.drop_loss_db),
            ("shifters.loss", s.loss_db),
            ("shifters.drive_loss", s.drive_loss),
            ("shifters.mismatch", s.mismatch),
            ("shifters.settling_time", s.settling_time),
            ("shifters.program_time", s.program_time),
            ("dac.inl", self.dac.inl),
            ("dac.dnl", self.dac.dnl),
            ("trim.fabrication", self.trim.fabrication),
            ("trim.resolution", self.trim.resolution),
            ("trim.range", self.trim.range),
            ("crosstalk.coefficient", self.crosstalk.coefficient),
            ("crosstalk.own_bus", self.crosstalk.on_own_bus().abs()),
            ("link.rin", l.rin),
            ("link.linewidth", l.linewidth),
            ("link.delay_mismatch", l.delay_mismatch),
            ("link.coupler_loss", l.coupler_db),
            ("link.splitter_loss", l.splitter_db),
            ("link.signal_routing", l.signal_routing_db),
            ("link.reference_loss", l.reference_db),
            ("link.hybrid_loss", l.hybrid_db),
            ("detector.dark_current", d.dark_current),
            ("detector.noise", electrical),
            ("heat.compensation", self.heat.compensation.unwrap_or(0.0)),
            ("heat.ring_lock", self.heat.ring_lock),
            ("heat.drift", self.heat.drift),
            ("heat.thermo_optic", self.heat.thermo_optic),
            ("noise.dac_density", self.noise.dac_density),
            ("noise.adc", self.noise.adc),
            ("noise.jitter", self.noise.jitter),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(DeviceError::parameter(name, value, "must be finite and not negative"));
            }
        }
        for (name, value) in [
            ("shifters.vpi_length", s.vpi_length),
            ("shifters.unit_length", s.unit_length),
            ("shifters.max_voltage", s.max_voltage),
            ("crosstalk.decay", self.crosstalk.decay),
            ("crosstalk.pitch", self.crosstalk.pitch),
            ("detector.responsivity", d.responsivity),
            ("detector.bandwidth", d.bandwidth),
            ("detector.temperature", temperature),
            ("adc.headroom", self.adc.headroom),
            ("heat.group_index", self.heat.group_index),
            ("heat.wavelength", self.heat.wavelength),
            ("noise.dac_bandwidth", self.noise.dac_bandwidth),
            ("link.units_per_laser", f64::from(l.units_per_laser)),
        ] {
            positive(name, value)?;
        }
        if let Some((name, value)) = self.variation.as_ref().and_then(Variation::fault) {
            return Err(DeviceError::parameter(
                name,
                value,
                "must be finite and not negative, lengths above zero",
            ));
        }
        self.check_ranges()
    }

    fn check_ranges(&self) -> Result<(), DeviceError> {
        for (name, value, low, high, text) in [
            ("rings.extinction", self.rings.extinction_db, 0.0, f64::INFINITY, "must not be negative"),
            (
                "shifters.curvature",
                self.shifters.curvature,
                -0.45,
                10.0,
                "must lie above -0.45: phase must rise with voltage",
            ),
            ("dac.bits", f64::from(self.dac.bits), 2.0, 24.0, "must lie in 2..=24"),
            ("adc.bits", f64::from(self.adc.bits.unwrap_or(8)), 2.0, 16.0, "must lie in 2..=16"),
            ("link.split", self.link.split, 1e-6, 1.0 - 1e-6, "must lie between 0 and 1"),
            ("link.hybrid_gain_error", self.link.hybrid_gain_error, -0.5, 0.5, "must lie in -0.5..=0.5"),
            (
                "link.hybrid_phase_error",
                self.link.hybrid_phase_error,
                -0.5,
                0.5,
                "must lie in -0.5..=0.5 rad",
            ),
            (
                "link.rin",
                self.link.rin * self.detector.bandwidth,
                0.0,
                0.04,
                "makes intensity noise as large as the light",
            ),
            (
                "noise.sampling_time",
                self.noise.sampling_time,
                0.0,
                f64::INFINITY,
                "must not be negative or no number",
            ),
            ("trim.range", self.trim.range, 0.0, 7.0, "must not exceed 7 rad: phases repeat after 2 pi"),
        ] {
            if !(low..=high).contains(&value) {
                return Err(DeviceError::parameter(name, value, text));
            }
        }
        Ok(())
    }
}

fn positive(name: &'static str, value: f64) -> Result<(), DeviceError> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(DeviceError::parameter(name, value, "must be finite and greater than zero"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ideal_passes_and_each_fault_is_named() {
        assert!(MdpuParameters::ideal(16).check().is_ok());
        type Change = fn(&mut MdpuParameters);
        let faults: [(&str, Change); 7] = [
            ("group", |p| p.group = 0),
            ("rings.pass_loss", |p| p.rings.pass_loss_db = -0.1),
            ("rings.extinction", |p| p.rings.extinction_db = f64::NAN),
            ("dac.bits", |p| p.dac.bits = 40),
            ("link.split", |p| p.link.split = 1.0),
            ("detector.responsivity", |p| p.detector.responsivity = 0.0),
            ("detector.load_resistance", |p| p.detector.front_end = FrontEnd::Resistor(-1.0, 300.0)),
        ];
        for (name, change) in faults {
            let mut parameters = MdpuParameters::ideal(16);
            change(&mut parameters);
            let message = parameters.check().unwrap_err().to_string();
            assert!(message.contains(name), "{name}: {message}");
        }
    }
}
