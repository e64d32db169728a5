//! The `[devices]` section of the design file.

use crate::encoding::Encoding;
use crate::parameters::{self as plain, Codes, FrontEnd, LossAccounting, MdpuParameters};
use crate::solve::{DesignPoint, Tolerance};
use mirage_design::{
    Angle, Current, Decibel, DesignError, Document, Frequency, Length, Power, PropagationLoss, Ratio,
    RelativeIntensityNoise, Resistance, Responsivity, Setting, Temperature, Time, Value, VoltLength, Voltage,
};
use serde::Deserialize;

/// All of `[devices]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the sub-sections document themselves
pub struct DevicesSection {
    pub unit: UnitSection,
    pub solve: SolveSection,
    pub laser: LaserSection,
    pub distribution: DistributionSection,
    pub waveguide: WaveguideSection,
    pub ring: RingSection,
    pub shifter: ShifterSection,
    pub dac: DacSection,
    pub trim: TrimSection,
    pub crosstalk: CrosstalkSection,
    pub hybrid: HybridSection,
    pub photodiode: PhotodiodeSection,
    pub tia: TiaSection,
    pub adc: AdcSection,
}

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
    pub reference_loss: Value<Decibel>,
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

/// `[devices.ring]`: the ring switches.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingSection {
    /// Loss of a ring that lets light pass.
    pub pass_loss: Value<Decibel>,
    /// Loss of a ring that drops light.
    pub drop_loss: Value<Decibel>,
    /// Extinction of one ring towards the wrong path, or "required".
    pub extinction: Value<Setting<Decibel>>,
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
}

/// `[devices.trim]`: static phase errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrimSection {
    /// Phase error of each path as made, standard deviation.
    pub fabrication: Value<Angle>,
    /// Step of the trim, or "required".
    pub resolution: Value<Setting<Angle>>,
    /// Largest correction.
    pub range: Value<Angle>,
}

/// `[devices.crosstalk]`: thermal crosstalk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrosstalkSection {
    /// Phase per phase at distance zero, or "required".
    pub coefficient: Value<Setting<f64>>,
    /// Decay length.
    pub decay: Value<Length>,
    /// Distance of neighbouring stages.
    pub pitch: Value<Length>,
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
    /// Effective bits of the ideal quantiser.
    pub bits: Value<u32>,
    /// Full scale over the largest amplitude.
    pub headroom: Value<f64>,
}

fn within<T>(value: &Value<T>, number: f64, low: f64, high: f64, text: &str) -> Result<(), DesignError> {
    if (low..=high).contains(&number) { Ok(()) } else { Err(value.invalid(format!("must lie in {text}"))) }
}

fn loss(value: &Value<Decibel>) -> Result<(), DesignError> {
    within(value, value.db(), 0.0, 100.0, "0 dB to 100 dB: a loss is not negative")
}

/// The number of a setting, if it is given.
fn given<T: Copy>(value: &Value<Setting<T>>) -> Option<T> {
    (**value).given()
}

impl DevicesSection {
    /// Reads and checks the section.
    ///
    /// # Errors
    /// Whatever is wrong, with file, line and key.
    pub fn read(document: &Document) -> Result<Self, DesignError> {
        let section: DevicesSection = document.section("devices")?;
        section.check().map_err(|error| document.locate(error))?;
        Ok(section)
    }

    /// Checks every value against its physical range.
    ///
    /// # Errors
    /// The first value that is out of range.
    pub fn check(&self) -> Result<(), DesignError> {
        let s = &self.solve;
        within(&s.target_error_rate, *s.target_error_rate, 1e-13, 0.5, "1e-13 to 0.5")?;
        within(&s.power_penalty, s.power_penalty.db(), 0.01, 20.0, "0.01 dB to 20 dB")?;
        self.check_optics()?;
        self.check_units()?;
        self.check_electronics()
    }

    fn check_optics(&self) -> Result<(), DesignError> {
        let (l, d, w, h) = (&self.laser, &self.distribution, &self.waveguide, &self.hybrid);
        within(&l.max_power, l.max_power.si(), 1e-9, 1e3, "1 nW to 1 kW")?;
        if let Some(power) = given(&l.power) {
            within(&l.power, power.si(), 1e-9, l.max_power.si(), "1 nW to `max_power`")?;
        }
        within(&l.wall_plug_efficiency, l.wall_plug_efficiency.si(), 1e-4, 1.0, "0.01 % to 100 %")?;
        within(
            &l.relative_intensity_noise,
            l.relative_intensity_noise.si(),
            0.0,
            1e-12,
            "at most -120 dB/Hz",
        )?;
        within(&l.linewidth, l.linewidth.si(), 0.0, 1e10, "0 Hz to 10 GHz")?;
        loss(&d.coupler_loss)?;
        loss(&d.splitter_loss)?;
        loss(&d.reference_loss)?;
        within(&d.units_per_laser, f64::from(*d.units_per_laser), 1.0, 65536.0, "1 to 65536")?;
        within(&d.signal_share, d.signal_share.si(), 1e-3, 0.999, "0.1 % to 99.9 %")?;
        within(&d.delay_mismatch, d.delay_mismatch.si(), 0.0, 1e-6, "0 s to 1 us")?;
        within(&w.loss, w.loss.si(), 0.0, f64::MAX, "values that are not negative")?;
        within(&w.length_per_mmu, w.length_per_mmu.si(), 0.0, 0.1, "0 m to 0.1 m")?;
        loss(&h.loss)?;
        within(&h.gain_error, *h.gain_error, -0.5, 0.5, "-0.5 to 0.5")?;
        within(&h.phase_error, h.phase_error.si(), -0.5, 0.5, "-0.5 rad to 0.5 rad")
    }

    fn check_units(&self) -> Result<(), DesignError> {
        let (r, p, t, c) = (&self.ring, &self.shifter, &self.trim, &self.crosstalk);
        loss(&r.pass_loss)?;
        loss(&r.drop_loss)?;
        if let Some(extinction) = given(&r.extinction) {
            within(&r.extinction, extinction.db(), 0.0, 200.0, "0 dB to 200 dB")?;
        }
        loss(&p.loss)?;
        within(&p.drive_loss, p.drive_loss.si(), 0.0, 10.0, "0 % to 1000 %")?;
        within(&p.v_pi_length, p.v_pi_length.si(), 1e-9, 1.0, "1e-7 V cm to 100 V cm")?;
        within(&p.unit_length, p.unit_length.si(), 1e-9, 0.1, "1 nm to 0.1 m")?;
        within(&p.max_voltage, p.max_voltage.si(), 1e-6, 1e4, "1 uV to 10 kV")?;
        within(&p.curvature, *p.curvature, -0.45, 10.0, "-0.45 to 10: phase must rise with voltage")?;
        within(&p.mismatch, p.mismatch.si(), 0.0, 0.5, "0 % to 50 %")?;
        within(&p.settling_time, p.settling_time.si(), 0.0, 1.0, "0 s to 1 s")?;
        within(&p.program_time, p.program_time.si(), 0.0, 1.0, "0 s to 1 s")?;
        within(&t.fabrication, t.fabrication.si(), 0.0, 100.0, "0 rad to 100 rad")?;
        if let Some(resolution) = given(&t.resolution) {
            within(&t.resolution, resolution.si(), 0.0, 6.3, "0 rad to 6.3 rad")?;
        }
        within(&t.range, t.range.si(), 0.0, 7.0, "0 rad to 7 rad")?;
        if let Some(coefficient) = given(&c.coefficient) {
            within(&c.coefficient, coefficient, 0.0, 1.0, "0 to 1")?;
        }
        within(&c.decay, c.decay.si(), 1e-9, 1.0, "1 nm to 1 m")?;
        within(&c.pitch, c.pitch.si(), 1e-9, 1.0, "1 nm to 1 m")
    }

    fn check_electronics(&self) -> Result<(), DesignError> {
        let (d, p, t, a) = (&self.dac, &self.photodiode, &self.tia, &self.adc);
        if let Some(bits) = given(&d.bits) {
            within(&d.bits, f64::from(bits), 2.0, 24.0, "2 to 24 bits")?;
        }
        within(&d.inl, *d.inl, 0.0, 1e4, "0 to 10000 LSB")?;
        within(&d.dnl, *d.dnl, 0.0, 1e4, "0 to 10000 LSB")?;
        within(&p.responsivity, p.responsivity.si(), 1e-6, 100.0, "1 uA/W to 100 A/W")?;
        within(&p.dark_current, p.dark_current.si(), 0.0, 1.0, "0 A to 1 A")?;
        within(&p.bandwidth, p.bandwidth.si(), 1.0, 1e13, "1 Hz to 10 THz")?;
        match (&t.input_noise, &t.load, &t.temperature) {
            (Some(noise), None, None) => within(noise, noise.si(), 0.0, 1.0, "0 A to 1 A")?,
            (None, Some(load), Some(temperature)) => {
                within(load, load.si(), 1e-3, 1e12, "1 mOhm to 1 TOhm")?;
                within(temperature, temperature.si(), 0.1, 1e4, "0.1 K to 10000 K")?;
            }
            _ => {
                let help = "give `input_noise` alone, or `load` and `temperature` together";
                let error = DesignError::new("the amplifier's noise is not defined in exactly one way")
                    .with_help(help);
                return Err(error.with_key("devices.tia"));
            }
        }
        within(&a.bits, f64::from(*a.bits), 2.0, 16.0, "2 to 16 bits")?;
        within(&a.headroom, *a.headroom, 0.01, 100.0, "0.01 to 100")
    }

    /// The plain parameters of an MDPU of `group` MMUs; what is required stands at its ideal value and in the list.
    pub fn design_point(&self, group: usize) -> DesignPoint {
        let mut required = Vec::new();
        let mut or_ideal = |tolerance: Tolerance, value: Option<f64>, ideal: f64| {
            value.unwrap_or_else(|| {
                required.push(tolerance);
                ideal
            })
        };
        let bits = given(&self.dac.bits);
        or_ideal(Tolerance::DacBits, bits.map(f64::from), 0.0);
        let resolution =
            or_ideal(Tolerance::TrimResolution, given(&self.trim.resolution).map(|a| a.si()), 0.0);
        let extinction =
            or_ideal(Tolerance::RingExtinction, given(&self.ring.extinction).map(|d| d.db()), f64::INFINITY);
        let coefficient = or_ideal(Tolerance::Crosstalk, given(&self.crosstalk.coefficient), 0.0);
        if *self.dac.codes == Codes::OnLevel {
            required.retain(|tolerance| *tolerance != Tolerance::DacBits);
        }
        let parameters = MdpuParameters {
            group,
            encoding: *self.unit.encoding,
            accounting: *self.unit.loss_accounting,
            rings: plain::Rings {
                pass_loss_db: self.ring.pass_loss.db(),
                drop_loss_db: self.ring.drop_loss.db(),
                extinction_db: extinction,
            },
            shifters: self.shifters(),
            dac: plain::Dac {
                codes: if bits.is_some() { *self.dac.codes } else { Codes::OnLevel },
                bits: bits.unwrap_or(16),
                inl: *self.dac.inl,
                dnl: *self.dac.dnl,
            },
            trim: plain::Trim {
                fabrication: self.trim.fabrication.si(),
                resolution,
                range: self.trim.range.si(),
            },
            crosstalk: plain::Crosstalk {
                coefficient,
                decay: self.crosstalk.decay.si(),
                pitch: self.crosstalk.pitch.si(),
            },
            link: self.link(group),
            detector: self.detector(),
            adc: plain::Adc { bits: Some(*self.adc.bits), headroom: *self.adc.headroom },
        };
        DesignPoint {
            parameters,
            required,
            laser_power: given(&self.laser.power).map(|power| power.si()),
            max_laser_power: self.laser.max_power.si(),
            wall_plug_efficiency: self.laser.wall_plug_efficiency.si(),
            target: *self.solve.target_error_rate,
            penalty_db: self.solve.power_penalty.db(),
        }
    }

    fn shifters(&self) -> plain::Shifters {
        let s = &self.shifter;
        plain::Shifters {
            loss_db: s.loss.db(),
            drive_loss: s.drive_loss.si(),
            vpi_length: s.v_pi_length.si(),
            unit_length: s.unit_length.si(),
            max_voltage: s.max_voltage.si(),
            curvature: *s.curvature,
            mismatch: s.mismatch.si(),
            settling_time: s.settling_time.si(),
            program_time: s.program_time.si(),
        }
    }

    fn link(&self, group: usize) -> plain::Link {
        let (l, d, h, w) = (&self.laser, &self.distribution, &self.hybrid, &self.waveguide);
        plain::Link {
            rin: l.relative_intensity_noise.si(),
            linewidth: l.linewidth.si(),
            delay_mismatch: d.delay_mismatch.si(),
            coupler_db: d.coupler_loss.db(),
            splitter_db: d.splitter_loss.db(),
            units_per_laser: *d.units_per_laser,
            split: d.signal_share.si(),
            signal_routing_db: w.loss.si() * w.length_per_mmu.si() * group as f64,
            reference_db: d.reference_loss.db(),
            hybrid_db: h.loss.db(),
            hybrid_gain_error: *h.gain_error,
            hybrid_phase_error: h.phase_error.si(),
        }
    }

    fn detector(&self) -> plain::Detector {
        let front_end = match (&self.tia.input_noise, &self.tia.load, &self.tia.temperature) {
            (None, Some(load), Some(temperature)) => FrontEnd::Resistor(load.si(), temperature.si()),
            (noise, _, _) => FrontEnd::InputNoise(noise.as_ref().map_or(0.0, |noise| noise.si())),
        };
        plain::Detector {
            responsivity: self.photodiode.responsivity.si(),
            dark_current: self.photodiode.dark_current.si(),
            bandwidth: self.photodiode.bandwidth.si(),
            front_end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = include_str!("../../data/designs/parts/devices.toml");

    fn read(text: &str) -> Result<DevicesSection, DesignError> {
        DevicesSection::read(&Document::new(text, "d.toml").unwrap())
    }

    #[test]
    fn the_default_design_reads_and_leaves_four_tolerances_open() {
        let section = read(DEFAULT).unwrap();
        let point = section.design_point(16);
        point.parameters.check().unwrap();
        use Tolerance::{Crosstalk, DacBits, RingExtinction, TrimResolution};
        assert_eq!(point.required, [DacBits, TrimResolution, RingExtinction, Crosstalk]);
        assert_eq!(point.laser_power, None);
        let routing = point.parameters.link.signal_routing_db;
        assert!((routing - 16.0 * 0.12).abs() < 1e-12, "1 dB/cm over 16 x 1.2 mm: {routing}");
    }

    #[test]
    fn every_value_of_the_default_has_a_mark() {
        for line in DEFAULT.lines().filter(|line| line.contains(" = ")) {
            assert!(line.starts_with('#') || line.contains("mark = "), "{line}");
        }
    }

    #[test]
    fn faults_are_shown_with_their_line() {
        let faults = [
            (
                "value = \"0.2 dB\", mark = \"S\", source = \"T4, edge coupler\"",
                "value = \"200 dB\"",
                "coupler_loss",
            ),
            ("value = \"0.91 dB\"", "value = \"0.91\"", "loss"),
            ("linewidth =", "linewith =", "linewidth"),
            ("value = 8, mark", "value = 40, mark", "bits"),
            ("encoding = { value = \"natural\"", "encoding = { value = \"centered\"", "encoding"),
            ("input_noise = ", "load = ", "load"),
        ];
        for (old, new, word) in faults {
            assert!(DEFAULT.contains(old), "{old}");
            let text = DEFAULT.replacen(old, new, 1);
            let error = read(&text).unwrap_err();
            let rendered = format!("{error} {:?}", error.help());
            assert!(rendered.contains(word), "{word}: {rendered}");
            assert!(error.line().is_some() || rendered.contains("devices"), "{rendered}");
        }
    }
}
