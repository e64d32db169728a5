//! Plain parameters of what disturbs a unit from outside its optics: heat, and the noise of converters.

/// Heat beyond crosstalk itself: what controllers leave of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heat {
    /// Relative error, standard deviation of each entry, of the crosstalk matrix that the drives are corrected with; none =
    /// no correction.
    pub compensation: Option<f64>,
    /// Detuning that the locks leave in a ring that drops light, standard deviation over half the linewidth.
    pub ring_lock: f64,
    /// Temperature of the chip since the read-out was calibrated, K rms.
    pub drift: f64,
    /// dn_eff/dT of the guides, 1/K.
    pub thermo_optic: f64,
    /// Group index of the guides.
    pub group_index: f64,
    /// Wavelength, m.
    pub wavelength: f64,
}

impl Heat {
    /// No drift, perfect locks, no compensation; a silicon strip at 1.55 um.
    pub const NONE: Self = Heat {
        compensation: None,
        ring_lock: 0.0,
        drift: 0.0,
        thermo_optic: 1.87e-4,
        group_index: 4.19,
        wavelength: 1.55e-6,
    };
}

/// Noise of the converters and their clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConverterNoise {
    /// Voltage noise of a stationary DAC and its driver, V/sqrt(Hz), one-sided.
    pub dac_density: f64,
    /// 3 dB bandwidth of the one-pole driver, Hz.
    pub dac_bandwidth: f64,
    /// Noise of each ADC referred to its input, LSB rms.
    pub adc: f64,
    /// Timing error of the ADCs' samples, s rms.
    pub jitter: f64,
    /// Time from the start of a symbol to its sample, s; infinite = the front end has settled.
    pub sampling_time: f64,
}

impl ConverterNoise {
    /// None at all.
    pub const NONE: Self = ConverterNoise {
        dac_density: 0.0,
        dac_bandwidth: 1e9,
        adc: 0.0,
        jitter: 0.0,
        sampling_time: f64::INFINITY,
    };
}
