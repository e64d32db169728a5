//! The Mach-Zehnder interferometer.

use super::generic::{ANY, FRACTION, NOT_NEGATIVE, TWO_BY_TWO, TWO_TO_TWO};
use super::guide::{
    INDEX_SLOPE, LOSS, PHASE, POLARIZATION, TEMPERATURE, THICKNESS, THICKNESS_ERROR, WIDTH, WIDTH_ERROR,
    modes,
};
use super::simple::Simple;
use super::{ComponentError, Points, Scattering, Setting, Settings};
use num_complex::Complex64;

/// Two couplers and two arms.
///
/// ```text
/// in1 (o2) ──╮  ╭── length + delta_length, phase ──╮  ╭── (o3) out1
///            ╞══╡                                  ╞══╡               through sqrt(1 - coupling), across i sqrt(coupling)
/// in0 (o1) ──╯  ╰── length ────────────────────────╯  ╰── (o4) out0
/// ```
///
/// With even couplers |out1/in0|^2 = cos^2(phi/2) and |out0/in0|^2 = sin^2(phi/2), phi the phase by which the arms differ; the
/// free spectral range is c/(n_g delta_length) (Chrostowski and Hochberg, Silicon Photonics Design, 2015, sect. 4.3).
pub(super) const MZI: Simple = Simple {
    name: "mzi",
    summary: "Mach-Zehnder interferometer of two couplers and two guides",
    ports: TWO_BY_TWO,
    settings: &[
        Setting::number("length", 100.0, "um", NOT_NEGATIVE, "length of the arm from in0"),
        Setting::number("delta_length", 0.0, "um", ANY, "how much longer the other arm is"),
        PHASE,
        Setting::number("coupling_in", 0.5, "", FRACTION, "power that crosses in the first coupler"),
        Setting::number("coupling_out", 0.5, "", FRACTION, "power that crosses in the second coupler"),
        WIDTH,
        THICKNESS,
        WIDTH_ERROR,
        THICKNESS_ERROR,
        TEMPERATURE,
        INDEX_SLOPE,
        POLARIZATION,
        LOSS,
    ],
    pairs: TWO_TO_TWO,
    scatter,
};

fn scatter(points: &Points, settings: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
    let modes = modes(points, settings)?;
    let [length, delta, phase, first, second, loss] =
        ["length", "delta_length", "phase", "coupling_in", "coupling_out", "loss_dB_cm"]
            .map(|n| settings.number(n));
    let mut fields = Vec::with_capacity(points.len());
    for i in 0..points.len() {
        let other = (length.at(i) + delta.at(i)) * 1e-6;
        if other < 0.0 {
            let problem = format!("an arm of {} um has no length", length.at(i) + delta.at(i));
            return Err(ComponentError::of("delta_length", problem));
        }
        let lower = modes.propagate(points, i, length.at(i) * 1e-6, loss.at(i));
        let upper = modes.propagate(points, i, other, loss.at(i)) * Complex64::from_polar(1.0, phase.at(i));
        let coupler = |power: f64| ((1.0 - power).sqrt(), Complex64::new(0.0, power.sqrt()));
        let ((t1, k1), (t2, k2)) = (coupler(first.at(i)), coupler(second.at(i)));
        fields.push([
            t2 * lower * t1 + k2 * upper * k1,
            k2 * lower * t1 + t2 * upper * k1,
            t2 * lower * k1 + k2 * upper * t1,
            k2 * lower * k1 + t2 * upper * t1,
        ]);
    }
    for (k, (out, input)) in [(2, 0), (3, 0), (2, 1), (3, 1)].into_iter().enumerate() {
        s.fill_both(out, input, |i| fields[i][k]);
    }
    Ok(())
}
