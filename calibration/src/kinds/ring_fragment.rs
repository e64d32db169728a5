//! What a fitted ring says in a design file.

use super::outcome::{line, real, short};
use super::ring_model::Shape;
use crate::fit::Solution;
use mirage_devices::LIGHT_SPEED;
use std::f64::consts::TAU;

/// Share of the free spectral range by which the ring is taken to move when light shall pass: short of half, where the next
/// resonance is as near.
const MOVED: f64 = 0.4;

/// The ring of the design, described by its own parameters, with all that a design needs beside them.
pub(super) fn fragment(solution: &Solution, shape: Shape, length: f64) -> String {
    let chosen = |key: &str, value: &str, source: &str| {
        format!("{key} = {{ value = \"{value}\", mark = \"choice\", source = \"{source}\" }}\n")
    };
    let mut text = String::from(
        "# Put this in place of the whole section [devices.ring], and the last line in place of that key of [devices.unit].\n\
         # detuning and lock_residue were not measured: they are choices to be made.\n[devices.ring]\n",
    );
    text.push_str(&chosen("radius", &format!("{} um", short(length / TAU * 1e6)), "as drawn"));
    let measured = |key: &str, name: &str, unit: &str, factor: f64, how: &str| {
        let estimate = solution.fit.get(name).filter(|e| e.value.is_finite());
        estimate.map_or(String::new(), |estimate| {
            let value = match unit {
                "" => real(estimate.value * factor),
                unit => format!("\"{} {unit}\"", short(estimate.value * factor)),
            };
            line(key, &value, estimate, how)
        })
    };
    let how = "fit of the ring";
    text.push_str(&measured("coupling_bus", "coupling_bus", "%", 100.0, how));
    text.push_str(&match shape {
        Shape::AddDrop => measured("coupling_detour", "coupling_drop", "%", 100.0, how),
        Shape::Equal => {
            let how = "fit of the ring with couplers alike: one number with coupling_bus, though draws of a spread are independent";
            measured("coupling_detour", "coupling_bus", "%", 100.0, how)
        }
        Shape::AllPass => {
            let value = format!("{} %", short(100.0 * solution.value("coupling_bus")));
            chosen("coupling_detour", &value, "a ring beside one bus has none: as coupling_bus")
        }
    });
    text.push_str(&measured("round_trip_loss", "round_trip_loss", "dB", 1.0, how));
    text.push_str(&measured("group_index", "group_index", "", 1.0, how));
    let range = LIGHT_SPEED / (solution.value("group_index") * length);
    let source = format!("not measured: {MOVED} of the free spectral range of {} GHz", short(range * 1e-9));
    text.push_str(&chosen("detuning", &format!("{} GHz", short(MOVED * range * 1e-9)), &source));
    text.push_str(&chosen("lock_residue", "0 %", "not measured: left out"));
    text.push_str("\n[devices.unit]\n");
    text.push_str(&chosen("loss_accounting", "per-mmu", "such a ring loses light at each passage"));
    text
}
