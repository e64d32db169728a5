//! SAX's generic guides: one input, one output.

use super::generic::{ANY, NOT_NEGATIVE, ONE_BY_ONE, UM, WL0};
use super::simple::Simple;
use super::{ComponentError, Numbers, Points, Scattering, Setting, Settings};
use crate::numerics::sincos_turns;
use crate::physics::amplitude_left;
use crate::vectorised::vectorised;

const NEFF: Setting = Setting::number("neff", 2.34, "", ANY, "effective index at wl0");
const NG: Setting = Setting::number("ng", 3.4, "", ANY, "group index at wl0");
const LENGTH: Setting = Setting::number("length", 10.0, "um", NOT_NEGATIVE, "length");

/// ```text
/// in0 (o1) ──────── (o2) out0      10^(-loss/20) e^{i 2 pi n length/wl}, n = neff - (wl - wl0)(ng - neff)/wl0
/// ```
pub(super) const STRAIGHT: Simple = Simple {
    name: "straight",
    summary: "waveguide with dispersion",
    ports: ONE_BY_ONE,
    settings: &[
        WL0,
        NEFF,
        NG,
        LENGTH,
        Setting::number("loss_dB_cm", 0.0, "dB/cm", NOT_NEGATIVE, "propagation loss"),
    ],
    pairs: &[(1, 0)],
    scatter: guide,
};

/// `straight` with SAX's default loss of a bend.
pub(super) const BEND: Simple = Simple {
    name: "bend",
    summary: "bent waveguide with dispersion",
    ports: ONE_BY_ONE,
    settings: &[
        WL0,
        NEFF,
        NG,
        LENGTH,
        Setting::number("loss_dB_cm", 0.1, "dB/cm", NOT_NEGATIVE, "propagation loss"),
    ],
    pairs: &[(1, 0)],
    scatter: guide,
};

fn guide(points: &Points, settings: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
    let [wl0, neff, ng, length, loss] =
        ["wl0", "neff", "ng", "length", "loss_dB_cm"].map(|n| settings.number(n));
    let turns = |turns: &mut [f64]| fill_turns(turns, points.wavelengths(), [wl0, neff, ng, length]);
    transmit(turns, Numbers::map2(loss, length, |loss, length| amplitude_left(1e-4 * loss * length)), s);
    Ok(())
}

vectorised! {
    /// Length over wavelength in the guide at each point; `numbers` are wl0, neff, ng and length.
    fn fill_turns(turns: &mut [f64], wavelengths: &[f64], numbers: [Numbers<'_>; 4]) -> () {
        #[inline(always)]
        fn at(wavelength: f64, [wl0, neff, ng, length]: [f64; 4]) -> f64 {
            let wl = wavelength * UM;
            let n = neff - (wl - wl0) * (ng - neff) / wl0;
            n * length / wl
        }
        let all = turns.iter_mut().zip(wavelengths);
        match numbers.map(|n| n.same()) {
            // The usual case, whose loop becomes vector instructions.
            [Some(wl0), Some(neff), Some(ng), Some(length)] => {
                all.for_each(|(turns, wavelength)| *turns = at(*wavelength, [wl0, neff, ng, length]));
            }
            _ => {
                let each = all.enumerate();
                each.for_each(|(i, (turns, wavelength))| *turns = at(*wavelength, numbers.map(|n| n.at(i))));
            }
        }
    }
}

/// Fills both directions of a guide with amplitude e^{2 pi i turns}.
fn transmit(turns: impl Fn(&mut [f64]), amplitude: impl Fn(usize) -> f64, s: &mut Scattering) {
    if let Some((re, im)) = s.lane_mut(1, 0) {
        re.iter_mut().enumerate().for_each(|(i, re)| *re = amplitude(i));
        turns(im);
        phasors(re, im);
    }
    s.copy((0, 1), (1, 0));
}

vectorised! {
    /// From amplitudes and turns to real and imaginary parts.
    fn phasors(re: &mut [f64], im: &mut [f64]) -> () {
        for (re, im) in re.iter_mut().zip(im) {
            let (sine, cosine) = sincos_turns(*im - im.round_ties_even());
            (*re, *im) = (*re * cosine, *re * sine);
        }
    }
}

/// Passes 10^(-loss/20) of the field.
pub(super) const ATTENUATOR: Simple = Simple {
    name: "attenuator",
    summary: "loss without phase",
    ports: ONE_BY_ONE,
    settings: &[Setting::number("loss", 0.0, "dB", NOT_NEGATIVE, "loss of power")],
    pairs: &[(1, 0)],
    scatter: |_, settings, s| {
        let loss = settings.number("loss");
        s.fill_both(1, 0, |i| amplitude_left(loss.at(i)).into());
        Ok(())
    },
};

/// Phase 2 pi neff length/wl + pi voltage. SAX multiplies `loss` by the length, so it is in dB/um whatever its name says.
pub(super) const PHASE_SHIFTER: Simple = Simple {
    name: "phase_shifter",
    summary: "phase shifter of pi per volt, without dispersion",
    ports: ONE_BY_ONE,
    settings: &[
        NEFF,
        Setting::number("voltage", 0.0, "V", ANY, "voltage: pi of phase for each volt"),
        LENGTH,
        Setting::number("loss", 0.0, "dB/um", NOT_NEGATIVE, "propagation loss"),
    ],
    pairs: &[(1, 0)],
    scatter: |points, settings, s| {
        let [neff, voltage, length, loss] = ["neff", "voltage", "length", "loss"].map(|n| settings.number(n));
        let turns = |turns: &mut [f64]| {
            for (i, (turns, wavelength)) in turns.iter_mut().zip(points.wavelengths()).enumerate() {
                *turns = neff.at(i) * length.at(i) / (wavelength * UM) + voltage.at(i) / 2.0;
            }
        };
        transmit(turns, Numbers::map2(loss, length, |loss, length| amplitude_left(loss * length)), s);
        Ok(())
    },
};
