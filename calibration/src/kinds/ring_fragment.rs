//! What a fitted ring says in a design file.

use super::fragment::{Condition, Fragment, Line, Measured, Rule, Section};
use super::mzi::WAVELENGTH;
use super::outcome::rounded;
use super::ring_model::Shape;
use crate::fit::Fit;
use std::f64::consts::TAU;

/// Share of the free spectral range by which the ring is taken to move when light shall pass: short of half, where the next
/// resonance is as near.
const MOVED: f64 = 0.4;
/// Correlation beyond which two numbers of a fragment are said to go together.
const TOGETHER: f64 = 0.5;

/// The ring of the design, described by its own parameters, with all that a design needs beside them. `length` is that of a round
/// trip, `centre` the wavelength for which the numbers hold, both in m.
pub(super) fn fragment(fit: &Fit, shape: Shape, length: f64, centre: f64) -> Fragment {
    let condition = Condition { setting: WAVELENGTH.name, value: centre * 1e9, unit: "nm" };
    let measured = |key: &'static str, name: &str, unit: (&'static str, f64), how: &str| {
        let estimate = fit.get(name).filter(|e| e.value.is_finite());
        estimate.map(|estimate| Line::from(Measured::new(key, estimate, unit, how).at(condition)))
    };
    let (how, percent) = ("fit of the ring", ("%", 100.0));
    let together = fit.covariance.as_ref().and_then(|c| c.correlation("coupling_drop", "round_trip_loss"));
    let together = together.filter(|c| c.abs() > TOGETHER).map_or(how.to_owned(), |c| {
        format!(
            "{how}; known in sum with round_trip_loss, by which it has a correlation of {c:.2}, better than alone: draws of a spread are \
             independent and scatter the width of the resonances more than was measured"
        )
    });
    let detour = match shape {
        Shape::AddDrop => measured("coupling_detour", "coupling_drop", percent, &together),
        Shape::Equal => measured(
            "coupling_detour",
            "coupling_bus",
            percent,
            "fit of the ring with couplers alike: one number with coupling_bus, though draws of a spread are independent",
        ),
        Shape::AllPass => {
            let why = "a ring beside one bus has none: as coupling_bus";
            Some(Line::Follows { key: "coupling_detour", rule: Rule::Same { as_key: "coupling_bus", why } })
        }
    };
    let moved = Rule::OfRange { index: "group_index", length, share: MOVED };
    let radius = format!("{} um", rounded(length / TAU * 1e6, 8));
    let lines = [
        Some(Line::choice("radius", &radius, "as drawn")),
        measured("coupling_bus", "coupling_bus", percent, how),
        detour,
        measured("round_trip_loss", "round_trip_loss", ("dB", 1.0), how),
        measured("group_index", "group_index", ("", 1.0), how),
        Some(Line::Follows { key: "detuning", rule: moved }),
        Some(Line::choice("lock_residue", "0 %", "not measured: left out")),
    ];
    let ring = Section {
        name: "devices.ring",
        comment: "Put this in place of the whole section [devices.ring], and the last line in place of that key of [devices.unit].\n\
                  detuning and lock_residue were not measured: they are choices to be made.",
        lines: lines.into_iter().flatten().collect(),
    };
    let accounting = Line::choice("loss_accounting", "per-mmu", "such a ring loses light at each passage");
    let unit = Section { name: "devices.unit", comment: "", lines: vec![accounting] };
    Fragment { sections: vec![ring, unit], ..Fragment::default() }
}
