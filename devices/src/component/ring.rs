//! Rings between one or two buses, in closed form.
//!
//! The formulas are those of Bogaerts et al., "Silicon microring resonators", Laser Photonics Rev. 6:47 (2012): r are the
//! couplers' through amplitudes, a that of one round trip, phi its phase.

use super::generic::{FRACTION, ONE_BY_ONE, POSITIVE};
use super::guide::{
    INDEX_SLOPE, LOSS, Modes, PHASE, POLARIZATION, TEMPERATURE, THICKNESS, THICKNESS_ERROR, WIDTH,
    WIDTH_ERROR, modes,
};
use super::simple::Simple;
use super::{ComponentError, Points, Setting, Settings};
use num_complex::Complex64;
use std::f64::consts::TAU;

/// A ring between two buses whose couplers have no loss of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddDrop {
    /// Power coupling to the bus.
    pub bus: f64,
    /// Power coupling to the drop guide; zero for an all-pass ring.
    pub drop: f64,
    /// Field amplitude that is left after one round trip, couplers apart.
    pub amplitude: f64,
}

/// Field transfers of an [`AddDrop`] ring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RingFields {
    /// Input to through.
    pub through: Complex64,
    /// Input to drop, and add to through.
    pub drop: Complex64,
    /// Add to drop.
    pub add: Complex64,
}

impl AddDrop {
    /// Amplitude that is left after a round trip, both couplers counted: x = r1 r2 a.
    pub fn round_trip(&self) -> f64 {
        ((1.0 - self.bus) * (1.0 - self.drop)).sqrt() * self.amplitude
    }

    /// Fields at a round-trip phase. `None` on the resonance of a ring without any loss, where the field has no bound.
    ///
    /// Powers are eqs. (2) and (3) of Bogaerts; the phases follow from through r and across i k at each coupler, and half a
    /// round trip between them.
    pub fn fields(&self, phase: f64) -> Option<RingFields> {
        let (r1, r2) = ((1.0 - self.bus).sqrt(), (1.0 - self.drop).sqrt());
        let turn = Complex64::from_polar(self.amplitude, phase);
        let denominator = 1.0 - r1 * r2 * turn;
        if denominator.norm_sqr() < 1e-24 {
            return None;
        }
        let half = Complex64::from_polar(self.amplitude.sqrt(), phase / 2.0);
        Some(RingFields {
            through: (r1 - r2 * turn) / denominator,
            drop: -(self.bus * self.drop).sqrt() * half / denominator,
            add: (r2 - r1 * turn) / denominator,
        })
    }

    /// Field of the through port alone, as in [`AddDrop::fields`], for the turn e^{i phase} of a round trip.
    pub fn through(&self, turn: Complex64) -> Option<Complex64> {
        let (r1, r2) = ((1.0 - self.bus).sqrt(), (1.0 - self.drop).sqrt());
        let back = r2 * self.amplitude * turn;
        let denominator = 1.0 - r1 * back;
        (denominator.norm_sqr() >= 1e-24).then(|| (r1 - back) / denominator)
    }

    /// Powers of the through port and the drop port for light into the bus, at a round-trip phase: |.|^2 of
    /// [`AddDrop::fields`], eqs. (2) and (3) of Bogaerts, with 1 - cos written as 2 sin^2 of half the phase so that nothing
    /// cancels at the bottom of a dip. `None` as there.
    pub fn powers(&self, phase: f64) -> Option<[f64; 2]> {
        let (r1, r2) = ((1.0 - self.bus).sqrt(), (1.0 - self.drop).sqrt());
        let a = self.amplitude;
        let turned = 4.0 * r1 * r2 * a * (0.5 * phase).sin().powi(2);
        let denominator = (1.0 - r1 * r2 * a).powi(2) + turned;
        if denominator < 1e-24 {
            return None;
        }
        Some([((r1 - r2 * a).powi(2) + turned) / denominator, self.bus * self.drop * a / denominator])
    }

    /// Full width of a resonance at half of its height, in radians of round-trip phase: 4 asin((1 - x)/(2 sqrt x)), which
    /// for x near one is the 2 (1 - x)/sqrt x of eqs. (8) and (9). `None` for a ring so lossy that it has no half height.
    pub fn width(&self) -> Option<f64> {
        let x = self.round_trip();
        let sine = (1.0 - x) / (2.0 * x.sqrt());
        (sine > 0.0 && sine <= 1.0).then(|| 4.0 * sine.asin())
    }
}

const RADIUS: Setting = Setting::number("radius", 10.0, "um", POSITIVE, "radius");
const COUPLING: Setting =
    Setting::number("coupling", 0.05, "", FRACTION, "power coupled between bus and ring, from 0 to 1");
const COUPLING_DROP: Setting =
    Setting::number("coupling_drop", 0.05, "", FRACTION, "power coupled between drop guide and ring");

/// Fields at each point of the ring that the settings describe.
fn fields(points: &Points, settings: &Settings, two: bool) -> Result<Vec<RingFields>, ComponentError> {
    let modes: Modes = modes(points, settings)?;
    let [radius, coupling, loss, phase] =
        ["radius", "coupling", "loss_dB_cm", "phase"].map(|n| settings.number(n));
    let second = two.then(|| settings.number("coupling_drop"));
    let at = |i: usize| {
        let turn = modes.propagate(points, i, TAU * radius.at(i) * 1e-6, loss.at(i));
        let drop = second.map_or(0.0, |n| n.at(i));
        let ring = AddDrop { bus: coupling.at(i), drop, amplitude: turn.norm() };
        // Not `turn.arg()`: half of the whole phase decides the sign of the dropped field.
        let wavenumber = modes.at(i).wavenumber(points.wavelengths()[i]);
        ring.fields(wavenumber * TAU * radius.at(i) * 1e-6 + phase.at(i)).ok_or_else(|| {
            let problem = "a ring without loss or coupling has no finite field on resonance";
            ComponentError::of("loss_dB_cm", problem)
        })
    };
    (0..points.len()).map(at).collect()
}

/// Ring beside one bus.
///
/// ```text
///             ╭───╮
///             ╰───╯
/// in0 (o1) ═══════════ (o2) out0      (r - a e^{i phi})/(1 - r a e^{i phi})
/// ```
///
/// Eq. (1) of Bogaerts, up to its convention for the couplers' phases.
pub(super) const RING_ALL_PASS: Simple = Simple {
    name: "ring_all_pass",
    summary: "ring beside one bus, closed form",
    ports: ONE_BY_ONE,
    settings: &[
        RADIUS,
        COUPLING,
        PHASE,
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
        let fields = fields(points, settings, false)?;
        s.fill_both(1, 0, |i| fields[i].through);
        Ok(())
    },
};

/// Ports of a ring between two buses.
pub(super) const FOUR: &[&str] = &["in", "through", "add", "drop"];
/// in-through, in-drop, add-through, add-drop.
pub(super) const RING_PAIRS: &[(usize, usize)] = &[(1, 0), (3, 0), (1, 2), (3, 2)];

/// Fills the four elements of a ring with ports [`FOUR`].
pub(super) fn fill_ring(s: &mut super::Scattering, fields: &[RingFields]) {
    s.fill_both(1, 0, |i| fields[i].through);
    s.fill_both(3, 2, |i| fields[i].add);
    s.fill_both(3, 0, |i| fields[i].drop);
    s.fill_both(1, 2, |i| fields[i].drop);
}

/// Ring between two buses.
///
/// ```text
///   drop ═══════════ add
///           ╭───╮              through and add (r1 - r2 a e^{i phi}) / (1 - r1 r2 a e^{i phi}), r1 and r2 swapped for add
///           ╰───╯              drop            -k1 k2 sqrt(a) e^{i phi/2} / (the same)
///     in ═══════════ through
/// ```
///
/// Eqs. (3) and (4) of Bogaerts. A netlist of two couplers and two guides gives the same numbers.
pub(super) const RING_ADD_DROP: Simple = Simple {
    name: "ring_add_drop",
    summary: "ring between two buses, closed form",
    ports: FOUR,
    settings: &[
        RADIUS,
        COUPLING,
        COUPLING_DROP,
        PHASE,
        WIDTH,
        THICKNESS,
        WIDTH_ERROR,
        THICKNESS_ERROR,
        TEMPERATURE,
        INDEX_SLOPE,
        POLARIZATION,
        LOSS,
    ],
    pairs: RING_PAIRS,
    scatter: |points, settings, s| {
        fill_ring(s, &fields(points, settings, true)?);
        Ok(())
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Powers of eqs. (2), (3) and (4), written out as the paper has them.
    #[test]
    fn powers_are_the_papers() {
        for (k1, k2, a) in [(0.1, 0.0, 0.98f64), (0.1, 0.2, 0.9), (0.5, 0.3, 1.0)] {
            let ring = AddDrop { bus: k1, drop: k2, amplitude: a };
            let (r1, r2) = ((1.0f64 - k1).sqrt(), (1.0f64 - k2).sqrt());
            for step in 1..100 {
                let phi = 0.0628 * f64::from(step);
                let fields = ring.fields(phi).unwrap();
                let below = 1.0 - 2.0 * r1 * r2 * a * phi.cos() + (r1 * r2 * a).powi(2);
                let through = (r2 * a).powi(2) - 2.0 * r1 * r2 * a * phi.cos() + r1 * r1;
                assert!((fields.through.norm_sqr() - through / below).abs() < 1e-12);
                let dropped = (1.0 - r1 * r1) * (1.0 - r2 * r2) * a / below;
                assert!((fields.drop.norm_sqr() - dropped).abs() < 1e-12);
                let turned = ring.through(Complex64::from_polar(1.0, phi)).unwrap();
                assert!((fields.through - turned).norm() < 1e-12);
                let powers = ring.powers(phi).unwrap();
                assert!((powers[0] - through / below).abs() < 1e-12 && (powers[1] - dropped).abs() < 1e-12);
                if a == 1.0 {
                    let sum = fields.through.norm_sqr() + fields.drop.norm_sqr();
                    assert!((sum - 1.0).abs() < 1e-12, "energy: {sum}");
                }
            }
        }
    }

    #[test]
    fn critical_coupling_extinguishes_and_the_width_is_where_half_is_dropped() {
        // r1 = r2 a: nothing passes on resonance.
        let drop = 0.1;
        let amplitude: f64 = 0.97;
        let ring = AddDrop { bus: 1.0 - (1.0 - drop) * amplitude * amplitude, drop, amplitude };
        assert!(ring.fields(0.0).unwrap().through.norm() < 1e-15);
        let half = ring.fields(ring.width().unwrap() / 2.0).unwrap().drop.norm_sqr();
        assert!((half / ring.fields(0.0).unwrap().drop.norm_sqr() - 0.5).abs() < 1e-12);
        // Eq. (9) holds for a narrow resonance.
        let x = ring.round_trip();
        assert!((ring.width().unwrap() / (2.0 * (1.0 - x) / x.sqrt()) - 1.0).abs() < 2e-3);
    }

    #[test]
    fn rings_without_a_bound_or_a_width_say_so() {
        assert!(AddDrop { bus: 0.0, drop: 0.0, amplitude: 1.0 }.fields(0.0).is_none());
        assert!(AddDrop { bus: 0.0, drop: 0.0, amplitude: 1.0 }.width().is_none());
        assert!(AddDrop { bus: 1.0, drop: 0.5, amplitude: 1.0 }.width().is_none());
    }
}
