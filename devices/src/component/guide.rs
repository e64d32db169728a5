//! Strip guides: the component, and what rings, interferometers and shifters made of them share.

use super::generic::{ANY, NOT_NEGATIVE, ONE_BY_ONE};
use super::guide_table::{GuideMode, GuideTable, Polarization};
use super::simple::Simple;
use super::{ComponentError, Points, Setting, Settings};
use crate::physics::amplitude_left;
use num_complex::Complex64;

/// Temperature at which the table of guides holds, K.
const ROOM: f64 = 300.0;
/// The expansion of the wavenumber about 1550 nm is trusted between these wavelengths, m.
const BAND: (f64, f64) = (1.4e-6, 1.7e-6);

pub(super) const WIDTH: Setting = Setting::number("width", 0.5, "um", (0.4, 3.5), "width as drawn");
pub(super) const THICKNESS: Setting =
    Setting::number("thickness", 0.22, "um", (0.21, 0.23), "thickness of the silicon as ordered");
pub(super) const WIDTH_ERROR: Setting = Setting::number(
    "width_error",
    0.0,
    "nm",
    (-500.0, 500.0),
    "fabrication sample: width made less width drawn",
);
pub(super) const THICKNESS_ERROR: Setting = Setting::number(
    "thickness_error",
    0.0,
    "nm",
    (-20.0, 20.0),
    "fabrication sample: thickness less that ordered",
);
pub(super) const TEMPERATURE: Setting =
    Setting::number("temperature", ROOM, "K", (200.0, 600.0), "temperature of the guide");
pub(super) const INDEX_SLOPE: Setting = Setting::number(
    "dneff_dT",
    1.87e-4,
    "1/K",
    (-1e-3, 1e-3),
    "change of the effective index with temperature",
);
pub(super) const POLARIZATION: Setting = Setting::text("polarization", "TE", "TE or TM");
pub(super) const LOSS: Setting =
    Setting::number("loss_dB_cm", 1.0, "dB/cm", NOT_NEGATIVE, "propagation loss of power");
pub(super) const PHASE: Setting =
    Setting::number("phase", 0.0, "rad", ANY, "phase added, by a shifter or a trim");

/// Modes of the guide that the settings describe: one for all points, or one for each.
pub(super) struct Modes(Vec<GuideMode>);

impl Modes {
    pub fn at(&self, point: usize) -> &GuideMode {
        &self.0[point.min(self.0.len() - 1)]
    }

    /// Field transfer over `length` (m) at a point, with `loss` in dB/cm.
    pub fn propagate(&self, points: &Points, point: usize, length: f64, loss: f64) -> Complex64 {
        let phase = self.at(point).wavenumber(points.wavelengths()[point]) * length;
        Complex64::from_polar(amplitude_left(100.0 * loss * length), phase)
    }
}

/// Looks the guide of `settings` up in the table, at its temperature and with its fabrication sample.
pub(super) fn modes(points: &Points, settings: &Settings) -> Result<Modes, ComponentError> {
    if let Some(far) = points.wavelengths().iter().find(|w| !(BAND.0..=BAND.1).contains(*w)) {
        let (low, high) = (BAND.0 * 1e6, BAND.1 * 1e6);
        let problem = format!("at {} um: this guide is known between {low} um and {high} um only", far * 1e6);
        return Err(ComponentError::new(problem));
    }
    let table = GuideTable::silicon_strips().map_err(|error| ComponentError::new(error.to_string()))?;
    let polarization = match settings.text("polarization") {
        "TE" => Polarization::Te,
        "TM" => Polarization::Tm,
        other => {
            let problem = format!("`{other}` is no polarization: TE or TM");
            return Err(ComponentError::of("polarization", problem));
        }
    };
    let numbers = ["width", "width_error", "thickness", "thickness_error", "temperature", "dneff_dT"]
        .map(|name| settings.number(name));
    let count = if numbers.iter().all(|n| n.same().is_some()) { 1 } else { points.len() };
    let mode = |i: usize| {
        let [w, dw, h, dh, temperature, slope] = numbers.map(|n| n.at(i));
        let (width, thickness) = (w + 1e-3 * dw, h + 1e-3 * dh);
        let mut mode = table.mode(width * 1e-6, thickness * 1e-6, polarization).ok_or_else(|| {
            let [(w0, w1), (h0, h1)] = table.range().map(|(a, b)| (a * 1e6, b * 1e6));
            let problem = format!(
                "a guide {width} um wide and {thickness} um thick is outside the table: {w0} um to {w1} um, {h0} um to {h1} um"
            );
            ComponentError::of("width", problem)
        })?;
        mode.neff += slope * (temperature - ROOM);
        Ok(mode)
    };
    // An empty batch still has one mode, so that `at` never fails.
    (0..count.max(1)).map(mode).collect::<Result<_, _>>().map(Modes)
}

/// Strip guide of silicon in oxide.
///
/// ```text
/// in0 (o1) ════════ (o2) out0      10^(-loss/20) e^{i beta(wl) length}
/// ```
///
/// Effective index, group index and dispersion come from the table of the SiEPIC kit, bilinear in width and thickness; the
/// temperature moves the effective index by `dneff_dT` for each kelvin above 300 K. Its default is the coefficient of bulk
/// silicon (Chrostowski and Hochberg, Silicon Photonics Design, 2015, sect. 3.1: 1.87e-4 /K), since light in a strip is
/// mostly in silicon. Loss: public device libraries give 0.1 to 2 dB/cm.
pub(super) const WAVEGUIDE: Simple = Simple {
    name: "waveguide",
    summary: "silicon strip guide over wavelength, temperature and fabrication",
    ports: ONE_BY_ONE,
    settings: &[
        Setting::number("length", 10.0, "um", NOT_NEGATIVE, "length"),
        WIDTH,
        THICKNESS,
        WIDTH_ERROR,
        THICKNESS_ERROR,
        TEMPERATURE,
        INDEX_SLOPE,
        POLARIZATION,
        LOSS,
    ],
    pairs: &[(1, 0)],
    scatter: |points, settings, s| {
        let modes = modes(points, settings)?;
        let [length, loss] = ["length", "loss_dB_cm"].map(|n| settings.number(n));
        s.fill_both(1, 0, |i| modes.propagate(points, i, length.at(i) * 1e-6, loss.at(i)));
        Ok(())
    },
};
