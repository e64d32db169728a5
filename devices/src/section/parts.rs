//! The sub-sections of `[devices]`, as they stand in the file.

use crate::heat::HeaterMap;
use crate::unit::encoding::Encoding;
use crate::unit::parameters::{Codes, LossAccounting};
use mirage_design::{
    Angle, Current, Decibel, Frequency, Length, Power, PropagationLoss, Ratio, RelativeIntensityNoise,
    Resistance, Responsivity, Setting, Temperature, TemperatureDifference, ThermoOptic, Time, Value,
    VoltLength, Voltage, VoltageNoise,
};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// `[devices.unit]`: how numbers and losses are represented.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitSection {
    /// "natural" or "centred".
    pub encoding: Value<Encoding>,
    /// "per-element", "per-mmu" or "mmu-total".
    pub loss_accounting: Value<LossAccounting>,
}

/// `[devices.solve]`: what "required" values have to reach.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolveSection {
    /// Target probability of misreading a residue, the worst modulus.
    pub target_error_rate: Value<f64>,
    /// Laser power that one required tolerance may cost.
    pub power_penalty: Value<Decibel>,
}

/// `[devices.laser]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaserSection {
    /// Optical power of one laser, or "required".
    pub power: Value<Setting<Power>>,
    /// The largest power that a laser can have.
    pub max_power: Value<Power>,
    /// Optical over electrical power.
    pub wall_plug_efficiency: Value<Ratio>,
    /// Relative intensity noise.
    pub relative_intensity_noise: Value<RelativeIntensityNoise>,
    /// Linewidth.
    pub linewidth: Value<Frequency>,
    /// Wavelength in vacuum; enters the photon count, the drift of path imbalance and the phase of varied guides.
    pub wavelength: Value<Length>,
}

/// `[devices.distribution]`: from the laser to the two arms of each MDPU.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistributionSection {
    /// Edge coupler.
    pub coupler_loss: Value<Decibel>,
    /// Excess loss of one Y-branch.
    pub splitter_loss: Value<Decibel>,
    /// MDPUs fed by one laser.
    pub units_per_laser: Value<u32>,
    /// Share of an MDPU's light in the signal arm.
    pub signal_share: Value<Ratio>,
    /// Loss of the reference arm.
    pub reference_loss: Value<ReferenceLoss>,
    /// Delay mismatch of signal and reference.
    pub delay_mismatch: Value<Time>,
}

/// `[devices.waveguide]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveguideSection {
    /// Propagation loss.
    pub loss: Value<PropagationLoss>,
    /// Routing length of one MMU, its shifters not counted.
    pub length_per_mmu: Value<Length>,
}

/// `[devices.ring]`: the ring switches, either by three given numbers (`pass_loss`, `drop_loss`, `extinction`) or by the ring's
/// own parameters (`radius` to `detuning`), from which those three follow; see `DevicesSection::ring_switch`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingSection {
    /// Loss of a ring that lets light pass.
    pub pass_loss: Option<Value<Decibel>>,
    /// Loss of a ring that drops light.
    pub drop_loss: Option<Value<Decibel>>,
    /// Extinction of one ring towards the wrong path, or "required".
    pub extinction: Option<Value<Setting<Decibel>>>,
    /// Radius.
    pub radius: Option<Value<Length>>,
    /// Power coupled between bus and ring.
    pub coupling_bus: Option<Value<Ratio>>,
    /// Power coupled between detour and ring.
    pub coupling_detour: Option<Value<Ratio>>,
    /// Loss of one round trip, couplers apart.
    pub round_trip_loss: Option<Value<Decibel>>,
    /// Propagation loss of the ring's guide, instead of `round_trip_loss`.
    pub loss: Option<Value<PropagationLoss>>,
    /// Group index of the ring's guide, a plain number.
    pub group_index: Option<Value<f64>>,
    /// How far the resonance is moved when light shall pass (at 1550 nm, 1 nm is 124.8 GHz).
    pub detuning: Option<Value<Frequency>>,
    /// Detuning that the lock leaves in a ring that drops light, rms over half the linewidth; needed either way.
    pub lock_residue: Value<Ratio>,
}

/// `[devices.shifter]`: the phase shifters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShifterSection {
    /// Insertion loss, charged as `loss_accounting` says.
    pub loss: Value<Decibel>,
    /// Relative increase of the loss at full drive.
    pub drive_loss: Value<Ratio>,
    /// V_pi L.
    pub v_pi_length: Value<VoltLength>,
    /// Length of the shifter of weight one.
    pub unit_length: Value<Length>,
    /// The driver's largest voltage.
    pub max_voltage: Value<Voltage>,
    /// Quadratic part of the phase-voltage curve at the largest voltage, a plain number (known to the controller).
    pub curvature: Value<f64>,
    /// Standard deviation of each shifter's relative length error.
    pub mismatch: Value<Ratio>,
    /// Time constant of settling.
    pub settling_time: Value<Time>,
    /// Time from reprogramming to the first read.
    pub program_time: Value<Time>,
}

/// `[devices.dac]`: the DAC of the stationary operand.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DacSection {
    /// "nearest" or "on-level".
    pub codes: Value<Codes>,
    /// Resolution, or "required".
    pub bits: Value<Setting<u32>>,
    /// Integral non-linearity, LSB rms.
    pub inl: Value<f64>,
    /// Differential non-linearity, LSB rms.
    pub dnl: Value<f64>,
    /// Voltage noise of DAC and driver at the shifters.
    pub noise: Value<VoltageNoise>,
    /// 3 dB bandwidth of the driver.
    pub bandwidth: Value<Frequency>,
}

/// `[devices.trim]`: static phase errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrimSection {
    /// Phase error of each path as made, standard deviation, or "from-variation".
    pub fabrication: Value<Fabrication>,
    /// Step of the trim, or "required".
    pub resolution: Value<Setting<Angle>>,
    /// Largest correction.
    pub range: Value<Angle>,
}

/// Where the phase errors of paths as made come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fabrication {
    /// A given standard deviation.
    Given(Angle),
    /// What `[devices.variation]` implies for a path.
    FromVariation,
}

impl<'de> Deserialize<'de> for Fabrication {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(given_or(d, "from-variation")?.map_or(Fabrication::FromVariation, Fabrication::Given))
    }
}

/// How the paths of sampled chips vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChipVariation {
    /// By correlated maps of width and thickness.
    Correlated,
    /// Each path by itself, with the deviation of `trim.fabrication`.
    Independent,
}

/// `[devices.variation]`: width and thickness of the guides over chip and wafer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariationSection {
    /// Name of the process in `data/siepic-fdtd/process_variation.xml`.
    pub process: Value<String>,
    /// "correlated" or "independent".
    pub chips: Value<ChipVariation>,
    /// Length of each path (bus or detour) of a stage.
    pub path_length: Value<Length>,
    /// Distance between bus and detour of a stage.
    pub separation: Value<Length>,
    /// Relative change of a shifter's phase per volt with the width of its guide, per nm: a plain number.
    pub gain_per_nm: Value<f64>,
    /// Distance of neighbouring MDPUs of a unit, side by side.
    pub row_pitch: Value<Length>,
    /// Distance of neighbouring units along the light.
    pub unit_pitch: Value<Length>,
    /// Units in a line along the light; further lines lie beside it.
    pub units_across: Value<u32>,
}

/// `[devices.crosstalk]`: thermal crosstalk, by a law of distance in a row of stages or in a layout, or as measured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrosstalkSection {
    /// Phase per phase at distance zero, or "required"; not with a measured matrix.
    pub coefficient: Option<Value<Setting<f64>>>,
    /// Decay length; not with a measured matrix.
    pub decay: Option<Value<Length>>,
    /// From a stage's heater to the bus beside it; not with a measured matrix.
    pub bus_distance: Option<Value<Length>>,
    /// Phase on a stage's bus per phase of its own drive, as measured; only with a measured matrix.
    pub own_bus: Option<Value<f64>>,
    /// Distance of neighbouring stages; not with a layout.
    pub pitch: Option<Value<Length>>,
    /// CSV file of a layout of heaters and guides, [`HeaterMap::read_layout`], named from the design file's folder.
    pub layout: Option<Value<String>>,
    /// CSV file of a measured matrix, [`HeaterMap::read_matrix`], named from the design file's folder.
    pub matrix: Option<Value<String>>,
    /// "none", or "known to 5 %": drives corrected with a matrix of which each entry is known to that relative error.
    pub compensation: Value<Compensation>,
    /// What the file says, once it was read.
    #[serde(skip)]
    pub(super) heaters: Option<Arc<HeaterMap>>,
}

/// How the drives are corrected for thermal crosstalk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Compensation {
    /// Not at all.
    None,
    /// By the inverse of the matrix, each entry known to this relative error (standard deviation).
    Known(Ratio),
}

impl<'de> Deserialize<'de> for Compensation {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        match (text.as_str(), text.strip_prefix("known to ")) {
            ("none", _) => Ok(Compensation::None),
            (_, Some(ratio)) => ratio.parse().map(Compensation::Known).map_err(D::Error::custom),
            _ => Err(D::Error::custom(format!("`{text}` is neither \"none\" nor like \"known to 5 %\""))),
        }
    }
}

/// `[devices.ambient]`: the temperature of the whole chip.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmbientSection {
    /// How far the temperature strays between calibrations of the read-out, rms.
    pub drift: Value<TemperatureDifference>,
    /// dn_eff/dT of the guides.
    pub thermo_optic: Value<ThermoOptic>,
    /// Group index of the guides.
    pub group_index: Value<f64>,
}

/// `[devices.hybrid]`: the 90-degree hybrid.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridSection {
    /// Excess loss.
    pub loss: Value<Decibel>,
    /// Relative gain error of Q, a plain number.
    pub gain_error: Value<f64>,
    /// Error of the 90 degrees.
    pub phase_error: Value<Angle>,
}

/// `[devices.photodiode]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotodiodeSection {
    /// Responsivity.
    pub responsivity: Value<Responsivity>,
    /// Dark current.
    pub dark_current: Value<Current>,
    /// 3 dB bandwidth of diode and amplifier.
    pub bandwidth: Value<Frequency>,
}

/// `[devices.tia]`: either an input noise current, or a load and its temperature.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TiaSection {
    /// Input-referred noise, rms in the amplifier's bandwidth.
    pub input_noise: Option<Value<Current>>,
    /// Load resistance, for Johnson noise instead.
    pub load: Option<Value<Resistance>>,
    /// Its temperature.
    pub temperature: Option<Value<Temperature>>,
}

/// `[devices.adc]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdcSection {
    /// Bits of the quantiser.
    pub bits: Value<u32>,
    /// Noise referred to the input, LSB rms, beside the quantisation.
    pub noise: Value<f64>,
    /// Aperture jitter, rms.
    pub jitter: Value<Time>,
    /// From the start of a symbol to its sample.
    pub sampling_time: Value<Time>,
    /// Full scale over the largest amplitude.
    pub headroom: Value<f64>,
}

/// `[devices.time]`: speeds of the streaming path. The amplifier's bandwidth is `photodiode.bandwidth`, the sampling instant
/// and the jitter are those of the ADC, settling is the shifters', the clock is the system's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSection {
    /// Rise time of the switch drivers, 10 to 90 %.
    pub driver_rise: Value<Time>,
    /// Lifetime of the field in a ring: 2 Q/omega, twice that of the energy; or "from-ring".
    pub ring_lifetime: Value<RingLifetime>,
    /// 3 dB bandwidth of the photodiodes alone.
    pub diode_bandwidth: Value<Frequency>,
}

/// Loss of the reference's guide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReferenceLoss {
    /// A given loss.
    Given(Decibel),
    /// That of a guide as long as the signal's: all that a small delay mismatch allows.
    AsSignal,
}

impl<'de> Deserialize<'de> for ReferenceLoss {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(given_or(d, "as-signal")?.map_or(ReferenceLoss::AsSignal, ReferenceLoss::Given))
    }
}

/// How long a ring holds its field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RingLifetime {
    /// A given lifetime.
    Given(Time),
    /// What follows from the ring's own parameters in `[devices.ring]`.
    FromRing,
}

impl<'de> Deserialize<'de> for RingLifetime {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(given_or(d, "from-ring")?.map_or(RingLifetime::FromRing, RingLifetime::Given))
    }
}

/// A quantity, or nothing where the text is `word`.
fn given_or<'de, D, T>(d: D, word: &str) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(d)?;
    if text == word {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|e| D::Error::custom(format!("{e}; or \"{word}\"")))
}
