//! SAX's generic models under SAX's names, settings and defaults, so that a SAX netlist runs unchanged.
//!
//! Names, formulas and defaults are those of `sax.models` (github.com/flaport/sax, src/sax/models). Where this differs, the component's documentation says so.

use crate::physics::amplitude_left;
use std::sync::Arc;

use num_complex::Complex64;

use super::simple::Simple;
use super::{Component, Numbers, Setting, Settings, generic_guides, generic_mmi, generic_nxm};

pub(super) fn all() -> Vec<Arc<dyn Component>> {
    let mut all: Vec<Arc<dyn Component>> = vec![
        Arc::new(generic_guides::STRAIGHT),
        Arc::new(generic_guides::BEND),
        Arc::new(generic_guides::ATTENUATOR),
        Arc::new(generic_guides::PHASE_SHIFTER),
        Arc::new(COUPLER),
        Arc::new(COUPLER_IDEAL),
        Arc::new(SPLITTER_IDEAL),
        Arc::new(generic_mmi::MMI1X2),
        Arc::new(generic_mmi::MMI2X2),
        Arc::new(generic_mmi::MMI1X2_IDEAL),
        Arc::new(generic_mmi::MMI2X2_IDEAL),
        Arc::new(CROSSING_IDEAL),
        Arc::new(GRATING_COUPLER),
        Arc::new(REFLECTOR),
        Arc::new(MIRROR),
        Arc::new(TERMINATOR),
        Arc::new(ISOLATOR),
        Arc::new(CIRCULATOR),
    ];
    all.extend(generic_nxm::all());
    all
}

pub(super) const TWO_BY_TWO: &[&str] = &["in0", "in1", "out0", "out1"];
pub(super) const ONE_BY_TWO: &[&str] = &["in0", "out0", "out1"];
pub(super) const ONE_BY_ONE: &[&str] = &["in0", "out0"];
/// All inputs to all outputs of [`TWO_BY_TWO`].
pub(super) const TWO_TO_TWO: &[(usize, usize)] = &[(2, 0), (3, 0), (2, 1), (3, 1)];

pub(super) const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
pub(super) const NOT_NEGATIVE: (f64, f64) = (0.0, f64::INFINITY);
pub(super) const FRACTION: (f64, f64) = (0.0, 1.0);
/// Lengths and wavelengths in micrometres by which something is divided.
pub(super) const POSITIVE: (f64, f64) = (1e-9, f64::INFINITY);

pub(super) const WL0: Setting = Setting::number("wl0", 1.55, "um", POSITIVE, "centre wavelength");
pub(super) const COUPLING: Setting =
    Setting::number("coupling", 0.5, "", FRACTION, "power that crosses, from 0 to 1");

/// Micrometres in a metre: SAX's settings are in micrometres.
pub(super) const UM: f64 = 1e6;

/// Fills the four elements of a symmetric 2 x 2 coupler: `through` in0 to out0 and in1 to out1, i `cross` between.
pub(super) fn fill_coupler(s: &mut super::Scattering, element: impl Fn(usize) -> (f64, f64)) {
    s.fill_both(2, 0, |i| Complex64::new(element(i).0, 0.0));
    s.fill_both(3, 0, |i| Complex64::new(0.0, element(i).1));
    for (to, from) in [((3, 1), (2, 0)), ((1, 3), (2, 0)), ((2, 1), (3, 0)), ((1, 2), (3, 0))] {
        s.copy(to, from);
    }
}

/// ```text
/// in1 (o2) ──╮      ╭── (o3) out1      through sqrt(1 - coupling), across i sqrt(coupling)
///            ╰──────╯
///            ╭──────╮
/// in0 (o1) ──╯      ╰── (o4) out0
/// ```
const COUPLER_IDEAL: Simple = Simple {
    name: "coupler_ideal",
    summary: "directional coupler without loss or dispersion",
    ports: TWO_BY_TWO,
    settings: &[COUPLING],
    pairs: TWO_TO_TWO,
    scatter: |_, settings, s| {
        let coupling = settings.number("coupling");
        fill_coupler(s, |i| ((1.0 - coupling.at(i)).sqrt(), coupling.at(i).sqrt()));
        Ok(())
    },
};

/// The ports of `coupler_ideal`; the angle of coupling is a + pi dn(wl) length/wl, where a and dn are parabolas in wl - wl0:
/// through cos(angle), across -i sin(angle).
const COUPLER: Simple = Simple {
    name: "coupler",
    summary: "directional coupler with dispersion",
    ports: TWO_BY_TWO,
    settings: &[
        WL0,
        Setting::number("length", 0.0, "um", NOT_NEGATIVE, "length over which the guides run side by side"),
        Setting::number("coupling0", 0.2, "rad", ANY, "angle of coupling of the bends at wl0"),
        Setting::number("dk1", 1.2435, "rad/um", ANY, "its first derivative over wavelength"),
        Setting::number("dk2", 5.3022, "rad/um2", ANY, "its second derivative"),
        Setting::number("dn", 0.02, "", ANY, "index difference of even and odd mode at wl0"),
        Setting::number("dn1", 0.1169, "1/um", ANY, "its first derivative"),
        Setting::number("dn2", 0.4821, "1/um2", ANY, "its second derivative"),
    ],
    pairs: TWO_TO_TWO,
    scatter: |points, settings, s| {
        let [wl0, length, a0, a1, a2, n0, n1, n2] =
            ["wl0", "length", "coupling0", "dk1", "dk2", "dn", "dn1", "dn2"].map(|n| settings.number(n));
        let angles: Vec<f64> = points
            .wavelengths()
            .iter()
            .enumerate()
            .map(|(i, wavelength)| {
                let wl = wavelength * UM;
                let parabola = |c: [Numbers<'_>; 3]| {
                    let d = wl - wl0.at(i);
                    c[0].at(i) + c[1].at(i) * d + 0.5 * c[2].at(i) * d * d
                };
                let dn = parabola([n0, n1, n2]);
                parabola([a0, a1, a2]) + std::f64::consts::PI * dn * length.at(i) / wl
            })
            .collect();
        fill_coupler(s, |i| (angles[i].cos(), -angles[i].sin()));
        Ok(())
    },
};

/// ```text
///                 ╭── (o2) out1      sqrt(coupling)
/// in0 (o1) ───────┤
///                 ╰── (o3) out0      sqrt(1 - coupling)
/// ```
const SPLITTER_IDEAL: Simple = Simple {
    name: "splitter_ideal",
    summary: "1 x 2 power splitter without loss",
    ports: ONE_BY_TWO,
    settings: &[COUPLING],
    pairs: &[(1, 0), (2, 0)],
    scatter: |_, settings, s| {
        let coupling = settings.number("coupling");
        s.fill_both(1, 0, |i| (1.0 - coupling.at(i)).sqrt().into());
        s.fill_both(2, 0, |i| coupling.at(i).sqrt().into());
        Ok(())
    },
};

/// ```text
/// in1 (o2) ──╲╱── (o3) out1      o1 to o3, o2 to o4: in0 leaves at out1
/// in0 (o1) ──╱╲── (o4) out0
/// ```
const CROSSING_IDEAL: Simple = Simple {
    name: "crossing_ideal",
    summary: "crossing without loss or crosstalk",
    ports: TWO_BY_TWO,
    settings: &[],
    pairs: &[(3, 0), (2, 1)],
    scatter: |_, _, s| {
        s.fill_both(3, 0, |_| Complex64::ONE);
        s.fill_both(2, 1, |_| Complex64::ONE);
        Ok(())
    },
};

/// ```text
/// in0 (o1) ──/ / / /── (o2) out0 (fibre)      t = 10^(-loss/20) exp(-(wl - wl0)^2/(4 sigma^2)), sigma = bandwidth/2.355
/// ```
/// `bandwidth` is where the power, not the field, has fallen to one half. Reflections are amplitudes.
const GRATING_COUPLER: Simple = Simple {
    name: "grating_coupler",
    summary: "grating coupler with a Gaussian spectrum",
    ports: ONE_BY_ONE,
    settings: &[
        WL0,
        Setting::number("loss", 0.0, "dB", (0.0, 20.0), "insertion loss at wl0"),
        Setting::number("reflection", 0.0, "", FRACTION, "amplitude reflected into the guide"),
        Setting::number("reflection_fiber", 0.0, "", FRACTION, "amplitude reflected into the fibre"),
        Setting::number("bandwidth", 0.04, "um", POSITIVE, "full width at half power"),
    ],
    pairs: &[(0, 0), (1, 1), (1, 0)],
    scatter: |points, settings, s| {
        let [wl0, loss, back, back_fibre, width] =
            ["wl0", "loss", "reflection", "reflection_fiber", "bandwidth"].map(|n| settings.number(n));
        s.fill(0, 0, |i| back.at(i).into());
        s.fill(1, 1, |i| back_fibre.at(i).into());
        s.fill_both(1, 0, |i| {
            let sigma = width.at(i) / (2.0 * (2.0 * std::f64::consts::LN_2).sqrt());
            let x = (points.wavelengths()[i] * UM - wl0.at(i)) / (2.0 * sigma);
            (amplitude_left(loss.at(i)) * (-x * x).exp()).into()
        });
        Ok(())
    },
};

fn reflect(settings: &Settings, s: &mut super::Scattering) {
    let [reflection, loss] = ["reflection", "loss_dB"].map(|n| settings.number(n));
    let back = |i: usize| Complex64::from(reflection.at(i).sqrt() * amplitude_left(loss.at(i)));
    s.fill(0, 0, back);
    s.fill(1, 1, back);
    s.fill_both(1, 0, |i| ((1.0 - reflection.at(i)).sqrt() * amplitude_left(loss.at(i))).into());
}

const REFLECTION_LOSS: Setting =
    Setting::number("loss_dB", 0.0, "dB", NOT_NEGATIVE, "loss of what is reflected and of what is not");

/// Reflects sqrt(reflection) and passes sqrt(1 - reflection) of the field, both without phase: by itself that is no
/// lossless mirror (a lossless one has i between the two), and light from both sides at once can gain power. So SAX has it.
const REFLECTOR: Simple = Simple {
    name: "reflector",
    summary: "partial mirror, with SAX's phases",
    ports: ONE_BY_ONE,
    settings: &[
        Setting::number("reflection", 0.5, "", FRACTION, "power that is reflected, from 0 to 1"),
        REFLECTION_LOSS,
    ],
    pairs: &[(0, 0), (1, 1), (1, 0)],
    scatter: |_, settings, s| {
        reflect(settings, s);
        Ok(())
    },
};

/// `reflector` with full reflection.
const MIRROR: Simple = Simple {
    name: "mirror",
    summary: "mirror",
    ports: ONE_BY_ONE,
    settings: &[
        Setting::number("reflection", 1.0, "", FRACTION, "power that is reflected, from 0 to 1"),
        REFLECTION_LOSS,
    ],
    pairs: &[(0, 0), (1, 1), (1, 0)],
    scatter: |_, settings, s| {
        reflect(settings, s);
        Ok(())
    },
};

/// One port that takes in what comes, but for a reflected power.
const TERMINATOR: Simple = Simple {
    name: "terminator",
    summary: "end of a guide",
    ports: &["in0"],
    settings: &[Setting::number("reflection", 0.0, "", FRACTION, "power that is reflected, from 0 to 1")],
    pairs: &[(0, 0)],
    scatter: |_, settings, s| {
        let reflection = settings.number("reflection");
        s.fill(0, 0, |i| reflection.at(i).sqrt().into());
        Ok(())
    },
};

const INSERTION_LOSS: Setting =
    Setting::number("insertion_loss_dB", 0.0, "dB", NOT_NEGATIVE, "loss in the wanted direction");
const ISOLATION: Setting =
    Setting::number("isolation_dB", 40.0, "dB", NOT_NEGATIVE, "loss in the other direction");

/// Passes from in0 to out0; not reciprocal.
const ISOLATOR: Simple = Simple {
    name: "isolator",
    summary: "passes light one way",
    ports: ONE_BY_ONE,
    settings: &[INSERTION_LOSS, ISOLATION],
    pairs: &[(1, 0)],
    scatter: |_, settings, s| {
        let [loss, isolation] = ["insertion_loss_dB", "isolation_dB"].map(|n| settings.number(n));
        s.fill(1, 0, |i| amplitude_left(loss.at(i)).into());
        s.fill(0, 1, |i| amplitude_left(isolation.at(i)).into());
        Ok(())
    },
};

/// Passes from o1 to o2, o2 to o3, o3 to o1; not reciprocal.
const CIRCULATOR: Simple = Simple {
    name: "circulator",
    summary: "passes light round three ports",
    ports: &["o1", "o2", "o3"],
    settings: &[INSERTION_LOSS, ISOLATION],
    pairs: &[(1, 0), (2, 1), (0, 2)],
    scatter: |_, settings, s| {
        let [loss, isolation] = ["insertion_loss_dB", "isolation_dB"].map(|n| settings.number(n));
        for (to, from) in [(1, 0), (2, 1), (0, 2)] {
            s.fill(to, from, |i| amplitude_left(loss.at(i)).into());
            s.fill(from, to, |i| amplitude_left(isolation.at(i)).into());
        }
        Ok(())
    },
};
