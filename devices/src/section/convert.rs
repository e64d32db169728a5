//! From the design file to plain parameters.

use super::{ChipVariation, Compensation, DevicesSection, Fabrication, ReferenceLoss, RingLifetime, given};
use crate::characterise::solve::{DesignPoint, Tolerance};
use crate::error::DeviceError;
use crate::time::TimeParameters;
use crate::unit::parameters::{self as plain, Codes, FrontEnd, MdpuParameters};
use crate::variation::{Floor, Process, Variation};

impl DevicesSection {
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
        let (rings, extinction) = self.rings();
        or_ideal(Tolerance::RingExtinction, extinction, f64::INFINITY);
        if self.crosstalk.coefficient.as_ref().is_some_and(|c| given(c).is_none()) {
            required.push(Tolerance::Crosstalk);
        }
        if *self.dac.codes == Codes::OnLevel {
            required.retain(|tolerance| *tolerance != Tolerance::DacBits);
        }
        let parameters = MdpuParameters {
            group,
            encoding: *self.unit.encoding,
            accounting: *self.unit.loss_accounting,
            rings,
            shifters: self.shifters(),
            dac: plain::Dac {
                codes: if bits.is_some() { *self.dac.codes } else { Codes::OnLevel },
                bits: bits.unwrap_or(16),
                inl: *self.dac.inl,
                dnl: *self.dac.dnl,
            },
            trim: plain::Trim { fabrication: self.fabrication(), resolution, range: self.trim.range.si() },
            crosstalk: self.plain_crosstalk(),
            link: self.link(group),
            detector: self.detector(),
            adc: plain::Adc { bits: Some(*self.adc.bits), headroom: *self.adc.headroom },
            heat: self.heat(),
            // A checked section has a process that can be used.
            variation: match *self.variation.chips {
                ChipVariation::Correlated => self.varied().ok(),
                ChipVariation::Independent => None,
            },
            noise: plain::ConverterNoise {
                dac_density: self.dac.noise.si(),
                dac_bandwidth: self.dac.bandwidth.si(),
                adc: *self.adc.noise,
                jitter: self.adc.jitter.si(),
                sampling_time: self.adc.sampling_time.si(),
            },
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

    /// The variations of the process on the paths of this design.
    pub(super) fn varied(&self) -> Result<Variation, DeviceError> {
        let v = &self.variation;
        let process = Process::find(&v.process).map_err(DeviceError::Question)?;
        let (length, separation) = (v.path_length.si(), v.separation.si());
        let floor = Floor {
            row_pitch: v.row_pitch.si(),
            unit_pitch: v.unit_pitch.si(),
            units_across: *v.units_across,
        };
        let varied = Variation::of(process, self.laser.wavelength.si(), length, separation, floor)?;
        Ok(Variation { gain_per_width: *v.gain_per_nm * 1e9, ..varied })
    }

    fn fabrication(&self) -> f64 {
        match *self.trim.fabrication {
            Fabrication::Given(angle) => angle.si(),
            // A checked section has one; no number would be refused with the parameters.
            Fabrication::FromVariation => self.varied().map_or(f64::NAN, |v| v.path_deviation(false)),
        }
    }

    fn heat(&self) -> plain::Heat {
        plain::Heat {
            compensation: match *self.crosstalk.compensation {
                Compensation::None => None,
                Compensation::Known(error) => Some(error.si()),
            },
            ring_lock: self.ring.lock_residue.si(),
            drift: self.ambient.drift.si(),
            thermo_optic: self.ambient.thermo_optic.si(),
            group_index: *self.ambient.group_index,
            wavelength: self.laser.wavelength.si(),
        }
    }

    /// Speeds of the streaming path at a photonic clock of `clock` Hz.
    ///
    /// # Errors
    /// As [`TimeParameters::check`]; a lifetime from a ring that is not described by its own parameters.
    pub fn time_parameters(&self, clock: f64) -> Result<TimeParameters, DeviceError> {
        let ring_lifetime = match (*self.time.ring_lifetime, self.ring_switch()?) {
            (RingLifetime::Given(time), _) => time.si(),
            // The field lives twice as long as the energy.
            (RingLifetime::FromRing, Some(ring)) => 2.0 * ring.photon_lifetime(),
            (RingLifetime::FromRing, None) => f64::NAN,
        };
        let time = TimeParameters {
            clock,
            driver_rise: self.time.driver_rise.si(),
            ring_lifetime,
            diode_bandwidth: self.time.diode_bandwidth.si(),
        };
        time.check()?;
        Ok(time)
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
        let routing = w.loss.si() * w.length_per_mmu.si() * group as f64;
        plain::Link {
            rin: l.relative_intensity_noise.si(),
            linewidth: l.linewidth.si(),
            delay_mismatch: d.delay_mismatch.si(),
            coupler_db: d.coupler_loss.db(),
            splitter_db: d.splitter_loss.db(),
            units_per_laser: *d.units_per_laser,
            split: d.signal_share.si(),
            signal_routing_db: routing,
            reference_db: match *d.reference_loss {
                ReferenceLoss::Given(loss) => loss.db(),
                ReferenceLoss::AsSignal => routing,
            },
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
