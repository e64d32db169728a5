//! Splitters and couplers: Y-branch, directional coupler, multi-mode interference couplers.

use super::generic::{ANY, NOT_NEGATIVE, ONE_BY_TWO, POSITIVE, TWO_BY_TWO, TWO_TO_TWO, UM, WL0};
use super::guide::{
    INDEX_SLOPE, LOSS, POLARIZATION, TEMPERATURE, THICKNESS, THICKNESS_ERROR, WIDTH, WIDTH_ERROR, modes,
};
use super::simple::Simple;
use super::{ComponentError, Numbers, Points, Scattering, Setting, Settings};
use crate::physics::amplitude_left;
use num_complex::Complex64;
use std::f64::consts::PI;

const IMBALANCE: Setting =
    Setting::number("imbalance_dB", 0.0, "dB", (-60.0, 60.0), "power at out0 over power at out1");

/// Field amplitudes of the two outputs of a splitter, as `y_branch` has them: they share what is left after `loss_db`, and the
/// power of out0 is stronger by `imbalance_db`.
pub fn shares(loss_db: f64, imbalance_db: f64) -> [f64; 2] {
    let ratio = 10f64.powf(imbalance_db / 10.0);
    [ratio / (1.0 + ratio), 1.0 / (1.0 + ratio)].map(|share| amplitude_left(loss_db) * share.sqrt())
}

/// Y-branch.
///
/// ```text
///                 ╭── (o2) out1
/// in0 (o1) ───────┤                  sqrt(1/2) each, without loss and imbalance
///                 ╰── (o3) out0
/// ```
///
/// Light that enters both outputs out of phase is radiated, so the outputs do not see each other. Flat over wavelength, as
/// Y-branches are. Excess loss: public device libraries give 0.1 to 0.3 dB; the FDTD table `ybranch_te1550.sparam` 0.2 dB.
pub(super) const Y_BRANCH: Simple = Simple {
    name: "y_branch",
    summary: "Y-branch with excess loss and imbalance",
    ports: ONE_BY_TWO,
    settings: &[Setting::number("loss_dB", 0.2, "dB", NOT_NEGATIVE, "excess loss"), IMBALANCE],
    pairs: &[(1, 0), (2, 0)],
    scatter: |_, settings, s| {
        let [loss, imbalance] = ["loss_dB", "imbalance_dB"].map(|n| settings.number(n));
        for output in 0..2 {
            s.fill_both(1 + output, 0, |i| shares(loss.at(i), imbalance.at(i))[output].into());
        }
        Ok(())
    },
};

/// The law of coupling of `directional_coupler`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuideCoupling {
    /// Wavelength of the numbers, m.
    pub wl0: f64,
    /// Coupling per length (rad/m) and its derivative over wavelength (rad/m^2).
    pub kappa: [f64; 2],
    /// Angle of the bends (rad) and its derivative over wavelength (rad/m).
    pub bend: [f64; 2],
}

impl GuideCoupling {
    /// The angle at a wavelength, of guides side by side over `length` (both m): its cosine squared is the share of power that
    /// stays, its sine squared the share that crosses.
    pub fn angle(&self, wavelength: f64, length: f64) -> f64 {
        let off = wavelength - self.wl0;
        (self.kappa[0] + self.kappa[1] * off) * length + self.bend[0] + self.bend[1] * off
    }
}

/// Two strip guides side by side, by coupled-mode theory (Yariv, IEEE J. Quantum Electron. 9:919, 1973).
///
/// ```text
/// in1 (o2) ──╮      ╭── (o3) out1      e^{i beta length} (through cos(angle), across i sin(angle))
///            ╞══════╡                  angle = kappa(wl) length + bend_angle + dbend_angle (wl - wl0)
/// in0 (o1) ──╯      ╰── (o4) out0      kappa(wl) = kappa + dkappa (wl - wl0)
/// ```
///
/// With length 0 it is a point coupler of angle `bend_angle`. The defaults are the index difference of even and odd mode of
/// SAX's `coupler` (0.02 at 1.55 um, 0.1169 /um): kappa = pi dn/wl. A wider guide also narrows the gap; say by how much with
/// `dkappa_dwidth`, which is zero unless it is given.
pub(super) const DIRECTIONAL_COUPLER: Simple = Simple {
    name: "directional_coupler",
    summary: "directional coupler by coupled modes, with the guides' phase",
    ports: TWO_BY_TWO,
    settings: &[
        WL0,
        Setting::number("length", 19.4, "um", NOT_NEGATIVE, "length over which the guides run side by side"),
        Setting::number("kappa", 0.0405, "rad/um", ANY, "coupling per length at wl0"),
        Setting::number("dkappa", 0.211, "rad/um2", ANY, "its derivative over wavelength"),
        Setting::number(
            "dkappa_dwidth",
            0.0,
            "1/nm",
            (-0.1, 0.1),
            "relative change of kappa for each nm of width",
        ),
        Setting::number(
            "bend_angle",
            0.0,
            "rad",
            ANY,
            "angle of coupling of the bends or of the point coupler",
        ),
        Setting::number("dbend_angle", 0.0, "rad/um", ANY, "its derivative over wavelength"),
        Setting::number(
            "excess_loss_dB",
            0.0,
            "dB",
            NOT_NEGATIVE,
            "loss of power besides that of the guides",
        ),
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
    scatter: |points, settings, s| {
        let modes = modes(points, settings)?;
        let [wl0, length, kappa, dkappa, by_width, bend, dbend, excess, width_error, loss] = [
            "wl0",
            "length",
            "kappa",
            "dkappa",
            "dkappa_dwidth",
            "bend_angle",
            "dbend_angle",
            "excess_loss_dB",
            "width_error",
            "loss_dB_cm",
        ]
        .map(|n| settings.number(n));
        let parts: Vec<(Complex64, f64)> = (0..points.len())
            .map(|i| {
                let wider = 1.0 + by_width.at(i) * width_error.at(i);
                let coupling = GuideCoupling {
                    wl0: wl0.at(i) / UM,
                    kappa: [kappa.at(i) * wider * UM, dkappa.at(i) * wider * UM * UM],
                    bend: [bend.at(i), dbend.at(i) * UM],
                };
                let guide = modes.propagate(points, i, length.at(i) / UM, loss.at(i));
                let angle = coupling.angle(points.wavelengths()[i], length.at(i) / UM);
                (guide * amplitude_left(excess.at(i)), angle)
            })
            .collect();
        for (out, input) in [(2, 0), (3, 1)] {
            s.fill_both(out, input, |i| parts[i].0 * parts[i].1.cos());
        }
        for (out, input) in [(3, 0), (2, 1)] {
            s.fill_both(out, input, |i| parts[i].0 * Complex64::new(0.0, parts[i].1.sin()));
        }
        Ok(())
    },
};

const MMI_BAND: Setting =
    Setting::number("bandwidth", 0.1, "um", POSITIVE, "full width over which the loss rises by at most 1 dB");
const MMI_LOSS: Setting = Setting::number("loss_dB", 0.3, "dB", NOT_NEGATIVE, "excess loss at wl0");

/// Loss in dB at each point: a parabola about `wl0` that rises by 1 dB at the ends of the band.
fn mmi_loss<'a>(points: &'a Points, settings: &'a Settings) -> impl Fn(usize) -> f64 + 'a {
    let [wl0, loss, band]: [Numbers<'a>; 3] = ["wl0", "loss_dB", "bandwidth"].map(|n| settings.number(n));
    move |i| {
        let x = 2.0 * (points.wavelengths()[i] * UM - wl0.at(i)) / band.at(i);
        loss.at(i) + x * x
    }
}

/// 1 x 2 multi-mode interference splitter.
///
/// ```text
///            ╭─────────╮── (o2) out1
/// in0 (o1) ──┤         │                 sqrt(1/2) each, without loss and imbalance
///            ╰─────────╯── (o3) out0
/// ```
///
/// The image forms at one wavelength; away from it the loss grows as a parabola (Besse et al., J. Lightwave Technol. 12:1004,
/// 1994, give bandwidths of this kind). Default loss: public device libraries, 0.2 to 0.4 dB.
pub(super) const MMI_SPLITTER: Simple = Simple {
    name: "mmi_splitter",
    summary: "1 x 2 multi-mode interference splitter with loss, bandwidth and imbalance",
    ports: ONE_BY_TWO,
    settings: &[WL0, MMI_LOSS, MMI_BAND, IMBALANCE],
    pairs: &[(1, 0), (2, 0)],
    scatter: |points, settings, s| {
        let loss = mmi_loss(points, settings);
        let imbalance = settings.number("imbalance_dB");
        for output in 0..2 {
            s.fill_both(1 + output, 0, |i| shares(loss(i), imbalance.at(i))[output].into());
        }
        Ok(())
    },
};

/// 2 x 2 multi-mode interference coupler.
///
/// ```text
/// in1 (o2) ──┬─────────┬── (o3) out1      through: sqrt(share), across: i e^{i phase_error} sqrt(1 - share)
/// in0 (o1) ──┴─────────┴── (o4) out0      imbalance_dB = through over across
/// ```
///
/// A passive coupler cannot be off quadrature for nothing: its two supermodes have the gains
/// through^2 + across^2 -+ 2 through across sin(phase_error), so a phase error demands excess loss, and settings without
/// enough of it are refused.
pub(super) const MMI_COUPLER: Simple = Simple {
    name: "mmi_coupler",
    summary: "2 x 2 multi-mode interference coupler with loss, bandwidth, imbalance and phase error",
    ports: TWO_BY_TWO,
    settings: &[
        WL0,
        MMI_LOSS,
        MMI_BAND,
        Setting::number("imbalance_dB", 0.0, "dB", (-60.0, 60.0), "power through over power across"),
        Setting::number(
            "phase_error",
            0.0,
            "deg",
            (-90.0, 90.0),
            "phase of across against through, less 90 degrees",
        ),
    ],
    pairs: TWO_TO_TWO,
    scatter: mmi_coupler,
};

fn mmi_coupler(points: &Points, settings: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
    let loss = mmi_loss(points, settings);
    let [imbalance, error] = ["imbalance_dB", "phase_error"].map(|n| settings.number(n));
    let mut parts = Vec::with_capacity(points.len());
    for i in 0..points.len() {
        let [through, across] = shares(loss(i), imbalance.at(i));
        let phase = error.at(i) * PI / 180.0;
        let gain = through * through + across * across + 2.0 * through * across * phase.sin().abs();
        if gain > 1.0 + 1e-12 {
            let least = loss(i) + 10.0 * gain.log10();
            let problem = format!(
                "with a phase error of {} degrees the excess loss is at least {least:.3} dB, else light from both sides gains power",
                error.at(i)
            );
            return Err(ComponentError::of("phase_error", problem));
        }
        parts.push((through, Complex64::from_polar(across, phase + PI / 2.0)));
    }
    for (out, input) in [(2, 0), (3, 1)] {
        s.fill_both(out, input, |i| parts[i].0.into());
    }
    for (out, input) in [(3, 0), (2, 1)] {
        s.fill_both(out, input, |i| parts[i].1);
    }
    Ok(())
}
