//! SAX's generic multimode interference couplers.

use crate::physics::amplitude_left;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

use num_complex::Complex64;

use super::generic::{
    FRACTION, NOT_NEGATIVE, ONE_BY_TWO, POSITIVE, TWO_BY_TWO, TWO_TO_TWO, UM, WL0, fill_coupler,
};
use super::simple::Simple;
use super::{ComponentError, Points, Setting, Settings};

const FWHM: Setting = Setting::number("fwhm", 0.2, "um", POSITIVE, "full width at half maximum of the field");
const LOSS: Setting = Setting::number("loss_dB", 0.3, "dB", NOT_NEGATIVE, "insertion loss at the centre");

/// Amplitude over frequency: a Gaussian around `centre`, as wide as `fwhm` is in wavelength (both in um).
///
/// SAX also divides by the largest value among the wavelengths asked for, so that its answer at one wavelength depends on the
/// others; here the largest value is that at the centre.
fn gaussian(wl: f64, centre: f64, fwhm: f64) -> f64 {
    let width = 1.0 / (centre - fwhm / 2.0) - 1.0 / (centre + fwhm / 2.0);
    let sigma = width / (2.0 * (2.0 * LN_2).sqrt());
    let x = (1.0 / wl - 1.0 / centre) / sigma;
    (-x * x / 2.0).exp()
}

/// The spectrum of an MMI at every point, without its loss.
fn spectrum(points: &Points, settings: &Settings, shift: &str) -> Result<Vec<f64>, ComponentError> {
    let [wl0, fwhm] = ["wl0", "fwhm"].map(|n| settings.number(n));
    let shift = if shift.is_empty() { super::Numbers::Same(0.0) } else { settings.number(shift) };
    let point = |(i, wavelength): (usize, &f64)| {
        let centre = wl0.at(i) + shift.at(i);
        if centre <= fwhm.at(i) / 2.0 {
            let problem =
                format!("setting `fwhm` = {} um must be less than twice the centre wavelength", fwhm.at(i));
            return Err(ComponentError::of("fwhm", problem));
        }
        Ok(gaussian(wavelength * UM, centre, fwhm.at(i)))
    };
    points.wavelengths().iter().enumerate().map(point).collect()
}

/// ```text
///                ┌─────┐── (o2) out1
/// in0 (o1) ──────┤     │
///                └─────┘── (o3) out0
/// ```
pub(super) const MMI1X2: Simple = Simple {
    name: "mmi1x2",
    summary: "1 x 2 MMI with loss and a Gaussian spectrum",
    ports: ONE_BY_TWO,
    settings: &[WL0, FWHM, LOSS],
    pairs: &[(1, 0), (2, 0)],
    scatter: |points, settings, s| {
        let spectrum = spectrum(points, settings, "")?;
        let loss = settings.number("loss_dB");
        for out in [1, 2] {
            s.fill_both(out, 0, |i| (spectrum[i] * amplitude_left(loss.at(i)) * FRAC_1_SQRT_2).into());
        }
        Ok(())
    },
};

/// `splitter_ideal` with halves.
pub(super) const MMI1X2_IDEAL: Simple = Simple {
    name: "mmi1x2_ideal",
    summary: "1 x 2 MMI without loss or dispersion",
    ports: ONE_BY_TWO,
    settings: &[],
    pairs: &[(1, 0), (2, 0)],
    scatter: |_, _, s| {
        for out in [1, 2] {
            s.fill_both(out, 0, |_| FRAC_1_SQRT_2.into());
        }
        Ok(())
    },
};

/// `coupler_ideal` with halves.
pub(super) const MMI2X2_IDEAL: Simple = Simple {
    name: "mmi2x2_ideal",
    summary: "2 x 2 MMI without loss or dispersion",
    ports: TWO_BY_TWO,
    settings: &[],
    pairs: TWO_TO_TWO,
    scatter: |_, _, s| {
        fill_coupler(s, |_| (FRAC_1_SQRT_2, FRAC_1_SQRT_2));
        Ok(())
    },
};

/// ```text
/// in1 (o2) ──┌─────┐── (o3) out1
///            │     │                 through, o1 to o3 and o2 to o4; across, with i, o1 to o4 and o2 to o3
/// in0 (o1) ──└─────┘── (o4) out0
/// ```
/// SAX counts o1 to o3 (in0 to out1) as through, unlike in its couplers.
pub(super) const MMI2X2: Simple = Simple {
    name: "mmi2x2",
    summary: "2 x 2 MMI with loss, imbalance and a Gaussian spectrum",
    ports: TWO_BY_TWO,
    settings: &[
        WL0,
        FWHM,
        LOSS,
        Setting::number("shift", 0.0, "um", (-1.0, 1.0), "shift of the centre by fabrication"),
        Setting::optional("loss_dB_cross", "dB", NOT_NEGATIVE, "loss across [default: loss_dB]"),
        Setting::optional("loss_dB_thru", "dB", NOT_NEGATIVE, "loss through [default: loss_dB]"),
        Setting::number("splitting_ratio_cross", 0.5, "", FRACTION, "share of the power across"),
        Setting::number("splitting_ratio_thru", 0.5, "", FRACTION, "share of the power through"),
    ],
    pairs: TWO_TO_TWO,
    scatter: |points, settings, s| {
        let spectrum = spectrum(points, settings, "shift")?;
        let [ratio_through, ratio_cross] =
            ["splitting_ratio_thru", "splitting_ratio_cross"].map(|n| settings.number(n));
        let loss = |name: &str| settings.number(if settings.is_given(name) { name } else { "loss_dB" });
        let (loss_through, loss_cross) = (loss("loss_dB_thru"), loss("loss_dB_cross"));
        let through =
            |i: usize| spectrum[i] * amplitude_left(loss_through.at(i)) * ratio_through.at(i).sqrt();
        let cross = |i: usize| spectrum[i] * amplitude_left(loss_cross.at(i)) * ratio_cross.at(i).sqrt();
        for (out, input) in [(3, 0), (2, 1)] {
            s.fill_both(out, input, |i| through(i).into());
        }
        for (out, input) in [(2, 0), (3, 1)] {
            s.fill_both(out, input, |i| Complex64::new(0.0, cross(i)));
        }
        Ok(())
    },
};
