//! Physical ranges of the values of `[devices]`.

use super::{Compensation, DevicesSection, Fabrication, ReferenceLoss, RingLifetime, given};
use crate::variation::Process;
use mirage_design::{Decibel, DesignError, Value};

pub(super) fn within<T>(
    value: &Value<T>,
    number: f64,
    low: f64,
    high: f64,
    text: &str,
) -> Result<(), DesignError> {
    if (low..=high).contains(&number) { Ok(()) } else { Err(value.invalid(format!("must lie in {text}"))) }
}

pub(super) fn loss(value: &Value<Decibel>) -> Result<(), DesignError> {
    within(value, value.db(), 0.0, 100.0, "0 dB to 100 dB: a loss is not negative")
}

impl DevicesSection {
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
        self.check_heat()?;
        self.check_variation()?;
        self.check_electronics()?;
        let t = &self.time;
        within(&t.driver_rise, t.driver_rise.si(), 0.0, 1e-6, "0 s to 1 us")?;
        match (*t.ring_lifetime, self.ring_switch()?) {
            (RingLifetime::Given(time), _) => within(&t.ring_lifetime, time.si(), 0.0, 1e-6, "0 s to 1 us")?,
            (RingLifetime::FromRing, Some(_)) => {}
            (RingLifetime::FromRing, None) => {
                let reason = "needs a ring described by its own parameters (radius, couplings, loss, detuning) in [devices.ring]";
                return Err(t.ring_lifetime.invalid(reason));
            }
        }
        within(&t.diode_bandwidth, t.diode_bandwidth.si(), 1e3, 1e15, "1 kHz to 1000 THz")
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
        if let ReferenceLoss::Given(given) = *d.reference_loss {
            within(&d.reference_loss, given.db(), 0.0, 100.0, "0 dB to 100 dB, or \"as-signal\"")?;
        }
        within(&l.wavelength, l.wavelength.si(), 100e-9, 100e-6, "100 nm to 100 um")?;
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
        let (p, t) = (&self.shifter, &self.trim);
        self.check_rings()?;
        loss(&p.loss)?;
        within(&p.drive_loss, p.drive_loss.si(), 0.0, 10.0, "0 % to 1000 %")?;
        within(&p.v_pi_length, p.v_pi_length.si(), 1e-9, 1.0, "1e-7 V cm to 100 V cm")?;
        within(&p.unit_length, p.unit_length.si(), 1e-9, 0.1, "1 nm to 0.1 m")?;
        within(&p.max_voltage, p.max_voltage.si(), 1e-6, 1e4, "1 uV to 10 kV")?;
        within(&p.curvature, *p.curvature, -0.45, 10.0, "-0.45 to 10: phase must rise with voltage")?;
        within(&p.mismatch, p.mismatch.si(), 0.0, 0.5, "0 % to 50 %")?;
        within(&p.settling_time, p.settling_time.si(), 0.0, 1.0, "0 s to 1 s")?;
        within(&p.program_time, p.program_time.si(), 0.0, 1.0, "0 s to 1 s")?;
        if let Fabrication::Given(fabrication) = *t.fabrication {
            within(&t.fabrication, fabrication.si(), 0.0, 100.0, "0 rad to 100 rad")?;
        }
        if let Some(resolution) = given(&t.resolution) {
            within(&t.resolution, resolution.si(), 0.0, 6.3, "0 rad to 6.3 rad")?;
        }
        within(&t.range, t.range.si(), 0.0, 7.0, "0 rad to 7 rad")?;
        self.check_crosstalk()
    }

    fn check_heat(&self) -> Result<(), DesignError> {
        let (c, a) = (&self.crosstalk, &self.ambient);
        if let Compensation::Known(error) = *c.compensation {
            within(&c.compensation, error.si(), 0.0, 1.0, "none, or known to 0 % to 100 %")?;
        }
        within(&a.drift, a.drift.si(), 0.0, 100.0, "0 K to 100 K")?;
        within(&a.thermo_optic, a.thermo_optic.si(), 0.0, 1e-2, "0 /K to 0.01 /K")?;
        within(&a.group_index, *a.group_index, 1.0, 10.0, "1 to 10")
    }

    fn check_variation(&self) -> Result<(), DesignError> {
        let v = &self.variation;
        Process::find(&v.process).map_err(|problem| v.process.invalid(format!("is not known: {problem}")))?;
        within(&v.path_length, v.path_length.si(), 1e-9, 1.0, "1 nm to 1 m")?;
        within(&v.separation, v.separation.si(), 0.0, 1e-2, "0 m to 1 cm")?;
        within(&v.gain_per_nm, *v.gain_per_nm, -1.0, 1.0, "-1 to 1 per nm")?;
        within(&v.row_pitch, v.row_pitch.si(), 1e-9, 0.1, "1 nm to 0.1 m")?;
        within(&v.unit_pitch, v.unit_pitch.si(), 1e-9, 0.1, "1 nm to 0.1 m")?;
        within(&v.units_across, f64::from(*v.units_across), 1.0, 65536.0, "1 to 65536")?;
        let made = self.varied().map_err(|e| v.process.invalid(format!("cannot be used: {e}")))?;
        within(
            &v.path_length,
            made.path_deviation(false),
            0.0,
            100.0,
            "lengths with a phase error below 100 rad",
        )
    }

    fn check_electronics(&self) -> Result<(), DesignError> {
        let (d, p, t, a) = (&self.dac, &self.photodiode, &self.tia, &self.adc);
        if let Some(bits) = given(&d.bits) {
            within(&d.bits, f64::from(bits), 2.0, 24.0, "2 to 24 bits")?;
        }
        within(&d.inl, *d.inl, 0.0, 1e4, "0 to 10000 LSB")?;
        within(&d.dnl, *d.dnl, 0.0, 1e4, "0 to 10000 LSB")?;
        within(&d.noise, d.noise.si(), 0.0, 1e-3, "0 to 1 mV/sqrt(Hz)")?;
        within(&d.bandwidth, d.bandwidth.si(), 1.0, 1e13, "1 Hz to 10 THz")?;
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
        within(&a.noise, *a.noise, 0.0, 1e4, "0 to 10000 LSB")?;
        within(&a.jitter, a.jitter.si(), 0.0, 1e-6, "0 s to 1 us")?;
        within(&a.sampling_time, a.sampling_time.si(), 0.0, 1.0, "0 s to 1 s")?;
        within(&a.headroom, *a.headroom, 0.01, 100.0, "0.01 to 100")
    }
}
