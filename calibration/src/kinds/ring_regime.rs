//! Two rings whose ports shine alike, and which of them is taken; whether couplers that are taken as alike can be so.

use super::given::Given;
use super::outcome::short;
use super::ring_model::Shape;
use super::trace::REPEATABILITY;
use crate::CalibrationError;
use crate::fit::Solution;

/// The other ring whose ports shine the same at the centre: r = sqrt(1 - coupling) and u = (what is left of a round trip but for
/// the bus coupler) change places, which no through port notices, and the drop port is as bright as before if k1^2 k2^2 a is.
/// It loses what the first one loses, so there always is one, but for couplers that are alike (`None`).
fn other(shape: Shape, coupling: f64, drop: f64, loss: f64) -> Option<[f64; 3]> {
    let a = 10f64.powf(-loss / 20.0);
    let (r, u) = ((1.0 - coupling).sqrt(), (1.0 - drop).sqrt() * a);
    let bus = 1.0 - u * u;
    let (left, rest) = match shape {
        Shape::AllPass => (r, 0.0),
        Shape::Equal => return None,
        Shape::AddDrop => {
            let dropped = coupling * drop * a / bus;
            let left = 0.5 * (dropped + (dropped * dropped + 4.0 * r * r).sqrt());
            (left, 1.0 - (r / left).powi(2))
        }
    };
    Some([bus, rest, -20.0 * left.log10()])
}

/// The answer on the wanted side: under-coupled, where the bus coupler takes less than the rest of a round trip, or over.
pub(super) fn regime(mut fitted: Vec<f64>, shape: Shape, wanted: &str) -> Vec<f64> {
    let all = shape.expand(&fitted[..shape.fitted().len()], 0.0);
    let rest = 1.0 - (1.0 - all[5]) * 10f64.powf(-all[7] / 10.0);
    if (all[3] > rest) == (wanted == "over") {
        return fitted;
    }
    if let Some([bus, drop, loss]) = other(shape, all[3], all[5], all[7]) {
        let place = |parameter: usize| shape.fitted().iter().position(|p| *p == parameter);
        let values = [(3, bus.clamp(2e-6, 0.98)), (5, drop.clamp(2e-6, 0.98)), (7, loss.clamp(0.0, 19.9))];
        for (parameter, value) in values {
            if let Some(i) = place(parameter) {
                fitted[i] = value;
            }
        }
    }
    fitted
}

/// Says which other ring the data fit as well.
///
/// The exchange is exact at the centre alone, since couplings change along the band: the data may have a minimum on one side only.
pub(super) fn alternative(
    solution: &Solution,
    shape: Shape,
    wanted: &str,
    what: &str,
    remedy: &str,
) -> String {
    let [coupling, loss] = ["coupling_bus", "round_trip_loss"].map(|n| solution.value(n));
    let drop = if shape == Shape::AddDrop { solution.value("coupling_drop") } else { 0.0 };
    let rest = 1.0 - (1.0 - drop) * 10f64.powf(-loss / 10.0);
    let side = if coupling > rest { "over" } else { "under" };
    match other(shape, coupling, drop, loss) {
        None => what.to_owned(),
        Some(_) if side != wanted => format!(
            "{what} at one wavelength; over the whole band the fit comes to the {side}-coupled answer from the {wanted}-coupled side as well, \
             since couplings change along it, which rests on how smooth the couplers' response is: {remedy}"
        ),
        Some([bus, drop, loss]) => {
            let drop = if shape == Shape::AddDrop {
                format!(", coupling_drop {}", short(drop))
            } else {
                String::new()
            };
            format!(
                "{what}: coupling_bus {}{drop}, round_trip_loss {} dB fit as well; taken is the {side}-coupled answer (--set regime=under|over), and \
                 {remedy}",
                short(bus),
                short(loss)
            )
        }
    }
}

/// Standard deviations of the drop port's level beyond which alike couplers get a note, and beyond which they are refused.
const DOUBTED: f64 = 2.0;
const REFUSED: f64 = 3.0;

/// Whether the couplers can be alike: if they are not, the level of the drop port, which is free, takes what the other coupler
/// would, and the loss is wrong by any factor. Levels of fibre couplers scatter by the repeatability.
pub(super) fn alike(
    solution: &Solution,
    given: &Given,
    file: &str,
) -> Result<Option<String>, CalibrationError> {
    let Some(level) = solution.fit.get("drop_level") else { return Ok(None) };
    let repeatability = given.value(&REPEATABILITY);
    let scatter = repeatability.hypot(level.standard_error.unwrap_or(0.0));
    let off = level.value.abs() / scatter;
    if off <= DOUBTED {
        return Ok(None);
    }
    let text = format!(
        "with couplers=equal the drop port is {:.2} dB off the through port's level, {off:.1} times what fibre couplers scatter by ({} dB): the \
         ring's couplers may differ, and the loss of a round trip is then wrong by any factor; --set couplers=free, or --set repeatability=.. if \
         fibre couplers scatter more",
        level.value,
        short(repeatability)
    );
    if off > REFUSED {
        return Err(CalibrationError::Refused { what: file.into(), reason: text });
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirage_devices::component::AddDrop;

    /// Both ports of both rings at many phases, by the devices' closed form.
    #[test]
    fn the_other_ring_shines_the_same() {
        for (shape, coupling, drop, loss) in [
            (Shape::AddDrop, 0.1, 0.07, 0.25),
            (Shape::AllPass, 0.05, 0.0, 0.6),
            (Shape::AllPass, 0.1, 0.0, 0.2),
        ] {
            let [bus, rest, lost] = other(shape, coupling, drop, loss).unwrap();
            assert!((bus - coupling).abs() > 1e-3);
            let ring = |bus, drop, loss: f64| AddDrop { bus, drop, amplitude: 10f64.powf(-loss / 20.0) };
            let (one, two) = (ring(coupling, drop, loss), ring(bus, rest, lost));
            for k in 0..50 {
                let phase = 0.13 * f64::from(k);
                let (a, b) = (one.fields(phase).unwrap(), two.fields(phase).unwrap());
                assert!((a.through.norm_sqr() - b.through.norm_sqr()).abs() < 1e-12, "{shape:?}");
                assert!((a.drop.norm_sqr() - b.drop.norm_sqr()).abs() < 1e-12, "{shape:?}");
            }
            // And back again.
            let again = other(shape, bus, rest, lost).unwrap();
            assert!((again[0] - coupling).abs() < 1e-12 && (again[2] - loss).abs() < 1e-9);
        }
        assert_eq!(other(Shape::Equal, 0.1, 0.1, 0.1), None);
    }
}
