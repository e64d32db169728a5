//! Phase shifters: heaters, depletion and electro-mechanical ones.

use super::generic::{NOT_NEGATIVE, ONE_BY_ONE, POSITIVE};
use super::guide::{
    INDEX_SLOPE, Modes, POLARIZATION, TEMPERATURE, THICKNESS, THICKNESS_ERROR, WIDTH, WIDTH_ERROR, modes,
};
use super::simple::Simple;
use super::{ComponentError, Points, Scattering, Setting, Settings};
use crate::physics::amplitude_left;
use num_complex::Complex64;
use std::f64::consts::{PI, TAU};

const SETTLE: Setting = Setting::optional(
    "time_since_step",
    "us",
    NOT_NEGATIVE,
    "time since the drive was switched from 0 to its value; settled when left out",
);

/// Share of the settled phase that is reached `time` after a step of a first-order system of this time constant.
fn settled(time: f64, time_constant: f64) -> f64 {
    if time_constant > 0.0 { -(-time / time_constant).exp_m1() } else { 1.0 }
}

/// Fills in0 to out0: guide times drive, whose phase (rad) and loss (dB) `drive` gives; the phase settles with the time
/// constant (s) that `slow` gives.
fn fill_driven(
    points: &Points,
    settings: &Settings,
    s: &mut Scattering,
    drive: impl Fn(usize) -> (f64, f64),
    slow: impl Fn(usize) -> f64,
) -> Result<(), ComponentError> {
    let modes: Modes = modes(points, settings)?;
    let [length, loss, time] = ["length", "loss_dB_cm", "time_since_step"].map(|n| settings.number(n));
    let waits = settings.is_given("time_since_step");
    let mut fields = Vec::with_capacity(points.len());
    for i in 0..points.len() {
        let share = if waits { settled(time.at(i) * 1e-6, slow(i)) } else { 1.0 };
        let (phase, extra) = drive(i);
        let total = 1e-4 * loss.at(i) * length.at(i) + extra;
        if total < 0.0 {
            let problem =
                format!("at this drive the loss is {total:.3} dB: negative, light would be amplified");
            return Err(ComponentError::of("dloss_dV", problem));
        }
        let guide = modes.propagate(points, i, length.at(i) * 1e-6, loss.at(i));
        fields.push(guide * Complex64::from_polar(amplitude_left(extra), phase * share));
    }
    s.fill_both(1, 0, |i| fields[i]);
    Ok(())
}

/// Heater above or in a guide: phase = pi power/p_pi.
///
/// ```text
///            ~~~~~~~~ power
/// in0 (o1) ══════════════ (o2) out0
/// ```
///
/// The default is the heater of Harris et al., Opt. Express 22:10487 (2014): 61.6 um, 24.77 mW for half a turn, a bandwidth of
/// 130 kHz, 0.23 dB.
pub(super) const THERMO_OPTIC: Simple = Simple {
    name: "thermo_optic_shifter",
    summary: "heater: phase proportional to power",
    ports: ONE_BY_ONE,
    settings: &[
        Setting::number("power", 0.0, "mW", NOT_NEGATIVE, "electrical power"),
        Setting::number("p_pi", 24.77, "mW", POSITIVE, "power for half a turn"),
        Setting::number(
            "bandwidth",
            0.13,
            "MHz",
            POSITIVE,
            "3 dB bandwidth; the time constant is 1/(2 pi bandwidth)",
        ),
        SETTLE,
        Setting::number("length", 61.6, "um", NOT_NEGATIVE, "length"),
        WIDTH,
        THICKNESS,
        WIDTH_ERROR,
        THICKNESS_ERROR,
        TEMPERATURE,
        INDEX_SLOPE,
        POLARIZATION,
        Setting::number("loss_dB_cm", 37.3, "dB/cm", NOT_NEGATIVE, "loss: 0.23 dB over the default length"),
    ],
    pairs: &[(1, 0)],
    scatter: |points, settings, s| {
        let [power, p_pi, bandwidth] = ["power", "p_pi", "bandwidth"].map(|n| settings.number(n));
        let drive = |i: usize| (PI * power.at(i) / p_pi.at(i), 0.0);
        fill_driven(points, settings, s, drive, |i| 1.0 / (TAU * bandwidth.at(i) * 1e6))
    },
};

/// Phase pi V length/v_pi_length and the loss dloss_dV V length, in dB: the drive of both electro-optic shifters.
fn electro_optic(points: &Points, settings: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
    let [voltage, length, v_pi_length, curvature, dloss, bandwidth] =
        ["voltage", "length", "v_pi_length", "curvature", "dloss_dV", "bandwidth"]
            .map(|n| settings.number(n));
    let drive = |i: usize| {
        let centimetres = length.at(i) * 1e-4;
        let bent = voltage.at(i) * (1.0 + curvature.at(i) * voltage.at(i).abs());
        let loss = dloss.at(i) * voltage.at(i).abs() * centimetres;
        (PI * bent * centimetres / v_pi_length.at(i), loss)
    };
    fill_driven(points, settings, s, drive, |i| 1.0 / (TAU * bandwidth.at(i) * 1e9))
}

const VOLTAGE: Setting = Setting::number("voltage", 0.0, "V", (-1e3, 1e3), "voltage");

/// Junction in the guide, driven in reverse.
///
/// ```text
///            ┌─ V ─┐
/// in0 (o1) ══════════════ (o2) out0      pi V length/v_pi_length (1 + curvature |V|)
/// ```
///
/// Reverse bias sweeps carriers out of the light: the loss falls with the voltage. Defaults lie in the middle of what Reed et
/// al., Nature Photonics 4:518 (2010), list for depletion modulators: 1 to 4 V cm, some tens of GHz; a guide with doping
/// loses about 10 dB/cm.
pub(super) const DEPLETION: Simple = Simple {
    name: "depletion_shifter",
    summary: "carrier-depletion phase shifter",
    ports: ONE_BY_ONE,
    settings: &[
        VOLTAGE,
        Setting::number("v_pi_length", 2.0, "V cm", POSITIVE, "voltage times length for half a turn"),
        Setting::number(
            "curvature",
            0.0,
            "1/V",
            (-0.1, 10.0),
            "quadratic part of the phase over the linear, for each volt",
        ),
        Setting::number("dloss_dV", -0.5, "dB/cm/V", (-100.0, 100.0), "change of the loss with the voltage"),
        Setting::number("bandwidth", 30.0, "GHz", POSITIVE, "3 dB bandwidth"),
        SETTLE,
        Setting::number("length", 1000.0, "um", NOT_NEGATIVE, "length"),
        WIDTH,
        THICKNESS,
        WIDTH_ERROR,
        THICKNESS_ERROR,
        TEMPERATURE,
        INDEX_SLOPE,
        POLARIZATION,
        Setting::number("loss_dB_cm", 10.0, "dB/cm", NOT_NEGATIVE, "loss without voltage"),
    ],
    pairs: &[(1, 0)],
    scatter: electro_optic,
};

/// Nano-opto-electro-mechanical shifter: the voltage draws the rails of a slot guide together.
///
/// ```text
///            ║ V ║
/// in0 (o1) ══════════════ (o2) out0      pi V length/v_pi_length (1 + curvature |V|)
/// ```
///
/// Defaults are those of the default design's `[devices.shifter]`, a guess of the order of such slots: 0.0025 V cm, curvature 0.1
/// at 2.5 V; 0.33 dB over 210 um and a settling of nanoseconds are of that order too. The table of strips stands in for the
/// slot's own dispersion.
pub(super) const NOEMS: Simple = Simple {
    name: "noems_shifter",
    summary: "electro-mechanical phase shifter",
    ports: ONE_BY_ONE,
    settings: &[
        VOLTAGE,
        Setting::number("v_pi_length", 0.0025, "V cm", POSITIVE, "voltage times length for half a turn"),
        Setting::number(
            "curvature",
            0.04,
            "1/V",
            (-0.1, 10.0),
            "quadratic part of the phase over the linear, for each volt",
        ),
        Setting::number("dloss_dV", 0.0, "dB/cm/V", (-100.0, 100.0), "change of the loss with the voltage"),
        Setting::number("bandwidth", 0.1, "GHz", POSITIVE, "3 dB bandwidth of the moving rails"),
        SETTLE,
        Setting::number("length", 25.0, "um", NOT_NEGATIVE, "length"),
        WIDTH,
        THICKNESS,
        WIDTH_ERROR,
        THICKNESS_ERROR,
        TEMPERATURE,
        INDEX_SLOPE,
        POLARIZATION,
        Setting::number("loss_dB_cm", 15.7, "dB/cm", NOT_NEGATIVE, "loss without voltage"),
    ],
    pairs: &[(1, 0)],
    scatter: electro_optic,
};
