//! Crossings, and couplers to fibres. The terminator is the generic one.

use super::generic::{NOT_NEGATIVE, ONE_BY_ONE, POSITIVE, TWO_BY_TWO};
use super::simple::Simple;
use super::{ComponentError, Points, Scattering, Setting, Settings};
use crate::physics::amplitude_left;
use num_complex::Complex64;

/// Two guides that cross.
///
/// ```text
/// in1 (o2) ──╲╱── (o3) out1      in0 leaves at out1, in1 at out0
/// in0 (o1) ──╱╲── (o4) out0      crosstalk: i times its amplitude into both guides of the other line
/// ```
///
/// The crosstalk is in quadrature, as the symmetry of a crossing and energy demand. Defaults: Bogaerts et al., Opt. Lett.
/// 32:2801 (2007): 0.16 dB, -40 dB.
pub(super) const CROSSING: Simple = Simple {
    name: "crossing",
    summary: "crossing with loss, crosstalk and reflection",
    ports: TWO_BY_TWO,
    settings: &[
        Setting::number("loss_dB", 0.16, "dB", NOT_NEGATIVE, "insertion loss"),
        Setting::number(
            "crosstalk_dB",
            40.0,
            "dB",
            (1.0, 1000.0),
            "power into each guide of the other line, below the input",
        ),
        Setting::number("reflection_dB", 60.0, "dB", (1.0, 1000.0), "power reflected, below the input"),
    ],
    pairs: &[(0, 0), (1, 1), (2, 2), (3, 3), (3, 0), (2, 1), (1, 0), (2, 0), (3, 1), (3, 2)],
    scatter: crossing,
};

fn crossing(points: &Points, settings: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
    let [loss, crosstalk, reflection] =
        ["loss_dB", "crosstalk_dB", "reflection_dB"].map(|n| settings.number(n));
    for i in 0..points.len() {
        let [t, x, r] = [loss.at(i), crosstalk.at(i), reflection.at(i)].map(amplitude_left);
        // Eigenvalues of the symmetric crossing: r + t -+ 2 i x and twice r - t.
        let gain = ((r + t).powi(2) + 4.0 * x * x).max((r - t).powi(2));
        if gain > 1.0 + 1e-12 {
            let problem = format!(
                "{} dB are too little loss for this crosstalk and reflection: light from all sides would gain power",
                loss.at(i)
            );
            return Err(ComponentError::of("loss_dB", problem));
        }
    }
    for port in 0..4 {
        s.fill(port, port, |i| amplitude_left(reflection.at(i)).into());
    }
    for (a, b) in [(3, 0), (2, 1)] {
        s.fill_both(a, b, |i| amplitude_left(loss.at(i)).into());
    }
    for (a, b) in [(1, 0), (2, 0), (3, 1), (3, 2)] {
        s.fill_both(a, b, |i| Complex64::new(0.0, amplitude_left(crosstalk.at(i))));
    }
    Ok(())
}

/// Edge coupler to a fibre.
///
/// ```text
/// in0 (o1) ──◁│── (o2) out0 (fibre)
/// ```
///
/// Flat over wavelength. Default loss: 0.2 dB, Table IV (Mirage column) of Mukherjee, Lis and Shekhar, "Shining light on Silicon
/// Photonic DNN Accelerators"; no reflection unless given.
pub(super) const EDGE_COUPLER: Simple = Simple {
    name: "edge_coupler",
    summary: "edge coupler to a fibre",
    ports: ONE_BY_ONE,
    settings: &[
        Setting::number("loss_dB", 0.2, "dB", NOT_NEGATIVE, "insertion loss"),
        Setting::optional(
            "reflection_dB",
            "dB",
            (1.0, 1000.0),
            "power reflected to either side, below the input",
        ),
    ],
    pairs: &[(0, 0), (1, 1), (1, 0)],
    scatter: |points, settings, s| {
        let [loss, reflection] = ["loss_dB", "reflection_dB"].map(|n| settings.number(n));
        let reflects = settings.is_given("reflection_dB");
        let back = |i: usize| if reflects { amplitude_left(reflection.at(i)) } else { 0.0 };
        for i in 0..points.len() {
            if amplitude_left(loss.at(i)).hypot(back(i)) > 1.0 + 1e-12 {
                let problem = "what passes and what is reflected are more than the input: give more loss";
                return Err(ComponentError::of("loss_dB", problem));
            }
        }
        // Transmission in quadrature to the reflection, as energy demands of a symmetric two-port.
        s.fill(0, 0, |i| Complex64::new(0.0, back(i)));
        s.fill(1, 1, |i| Complex64::new(0.0, back(i)));
        s.fill_both(1, 0, |i| amplitude_left(loss.at(i)).into());
        Ok(())
    },
};

/// Loss of `grating` in dB at an offset from its peak, where it is `loss` dB; offset and full width at 1 dB in the same unit.
pub fn grating_loss(offset: f64, loss: f64, bandwidth_1db: f64) -> f64 {
    let x = 2.0 * offset / bandwidth_1db;
    loss + x * x
}

/// Grating coupler whose peak follows temperature and fabrication.
///
/// ```text
/// in0 (o1) ──/ / / /── (o2) out0 (fibre)
/// ```
///
/// The peak is where the first order leaves at the fibre's angle: wl = period (n(wl) - sin(angle)), angle in air, n the mean
/// index of the grating, n(wl) = n - (n_group - n)(wl - 1.55)/1.55 (Chrostowski and Hochberg, Silicon Photonics Design, 2015,
/// sect. 5.2). About it the spectrum is Gaussian. Defaults: a shallow grating of 220 nm silicon at 10 degrees, about 5 dB
/// and 40 nm (Taillaert et al., Jpn. J. Appl. Phys. 45:6071, 2006); `index` puts its peak at 1.55 um. `dindex_dT` is that of
/// silicon; `dindex_dthickness` is that of a wide strip in the table of guides.
pub(super) const GRATING: Simple = Simple {
    name: "grating",
    summary: "grating coupler whose peak follows period, angle, temperature and thickness",
    ports: ONE_BY_ONE,
    settings: &[
        Setting::number("loss_dB", 5.0, "dB", NOT_NEGATIVE, "insertion loss at the peak"),
        Setting::number("bandwidth_1dB", 0.04, "um", POSITIVE, "full width at 1 dB below the peak"),
        Setting::number("period", 0.63, "um", POSITIVE, "period"),
        Setting::number("index", 2.633965, "", (1.0, 4.0), "mean effective index at 1.55 um and 300 K"),
        Setting::number("group_index", 3.8, "", (1.0, 10.0), "its group index"),
        Setting::number(
            "angle",
            10.0,
            "deg",
            (-60.0, 60.0),
            "angle of the fibre in air, against the vertical",
        ),
        Setting::number("temperature", 300.0, "K", (200.0, 600.0), "temperature"),
        Setting::number("dindex_dT", 1.87e-4, "1/K", (-1e-3, 1e-3), "change of the index with temperature"),
        Setting::number(
            "thickness_error",
            0.0,
            "nm",
            (-50.0, 50.0),
            "fabrication sample: thickness less that ordered",
        ),
        Setting::number(
            "dindex_dthickness",
            3.3e-3,
            "1/nm",
            (-0.1, 0.1),
            "change of the index with thickness",
        ),
    ],
    pairs: &[(1, 0)],
    scatter: |points, settings, s| {
        let [loss, band, period, index, group, angle, temperature, by_temperature, error, by_thickness] = [
            "loss_dB",
            "bandwidth_1dB",
            "period",
            "index",
            "group_index",
            "angle",
            "temperature",
            "dindex_dT",
            "thickness_error",
            "dindex_dthickness",
        ]
        .map(|n| settings.number(n));
        s.fill_both(1, 0, |i| {
            let shift = by_temperature.at(i) * (temperature.at(i) - 300.0) + by_thickness.at(i) * error.at(i);
            let (n, slope) = (index.at(i) + shift, (group.at(i) - index.at(i)) / 1.55);
            let sine = angle.at(i).to_radians().sin();
            let peak = period.at(i) * (n + slope * 1.55 - sine) / (1.0 + period.at(i) * slope);
            let off = points.wavelengths()[i] * 1e6 - peak;
            amplitude_left(grating_loss(off, loss.at(i), band.at(i))).into()
        });
        Ok(())
    },
};
