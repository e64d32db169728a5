//! Ring switches: three given numbers, or the parameters of a ring from which they follow.

use super::check::{loss, within};
use super::{DevicesSection, RingSection, given};
use crate::component::RingSwitch;
use crate::error::DeviceError;
use crate::unit::parameters::{LossAccounting, Rings};
use mirage_design::{DesignError, Value};
use std::f64::consts::TAU;

const KEY: &str = "devices.ring";
const OWN: &str = "radius, coupling_bus, coupling_detour, round_trip_loss or loss, group_index, detuning";

fn missing(key: &str, why: &str) -> DesignError {
    DesignError::new(format!("the key `{key}` is missing here")).with_key(KEY).with_help(why)
}

impl DevicesSection {
    /// The ring that the design describes by its own parameters; `None` when losses and extinction are given.
    ///
    /// # Errors
    /// A mixture of both, a key that is missing, values out of their physical range.
    pub fn ring_switch(&self) -> Result<Option<RingSwitch>, DesignError> {
        let r = &self.ring;
        if !r.is_described() {
            return Ok(None);
        }
        if r.pass_loss.is_some() || r.drop_loss.is_some() || r.extinction.is_some() {
            let error = DesignError::new(
                "the ring is described twice: by losses and extinction, and by its own parameters",
            );
            let help = format!("give either pass_loss, drop_loss and extinction, or {OWN}");
            return Err(error.with_key(KEY).with_help(help));
        }
        if *self.unit.loss_accounting == LossAccounting::MmuTotal {
            let error = self.unit.loss_accounting.invalid(
                "must be \"per-mmu\" or \"per-element\" with a ring described by its own parameters: each passage has its loss",
            );
            return Err(error);
        }
        r.described().map(Some)
    }

    /// Checks `[devices.ring]`.
    pub(super) fn check_rings(&self) -> Result<(), DesignError> {
        let lock = &self.ring.lock_residue;
        within(lock, lock.si(), 0.0, 0.5, "0 % to 50 % of half the linewidth")?;
        if self.ring_switch()?.is_some() {
            return Ok(());
        }
        let help =
            format!("give pass_loss, drop_loss and extinction, or a ring by its own parameters: {OWN}");
        let r = &self.ring;
        loss(r.pass_loss.as_ref().ok_or_else(|| missing("pass_loss", &help))?)?;
        loss(r.drop_loss.as_ref().ok_or_else(|| missing("drop_loss", &help))?)?;
        let extinction = r.extinction.as_ref().ok_or_else(|| missing("extinction", &help))?;
        given(extinction).map_or(Ok(()), |e| within(extinction, e.db(), 0.0, 200.0, "0 dB to 200 dB"))
    }

    /// Losses and extinction, given or computed; NaN, which the unit refuses, when the section was not checked. What is
    /// "required" stands at its ideal value, and the extinction is then `None`.
    pub(super) fn rings(&self) -> (Rings, Option<f64>) {
        let r = &self.ring;
        let ring = self.ring_switch();
        let locked = matches!(ring, Ok(Some(_)));
        let described = match ring {
            Ok(None) => {
                let db = |v: &Option<Value<mirage_design::Decibel>>| v.as_ref().map_or(f64::NAN, |v| v.db());
                let extinction = r.extinction.as_ref().map_or(Some(f64::NAN), |e| given(e).map(|e| e.db()));
                (db(&r.pass_loss), db(&r.drop_loss), extinction)
            }
            Ok(Some(ring)) => (ring.pass_loss_db(), ring.drop_loss_db(), Some(ring.extinction_db())),
            Err(_) => (f64::NAN, f64::NAN, Some(f64::NAN)),
        };
        let (pass_loss_db, drop_loss_db, extinction) = described;
        let extinction_db = extinction.unwrap_or(f64::INFINITY);
        (Rings { pass_loss_db, drop_loss_db, extinction_db, locked }, extinction)
    }
}

impl RingSection {
    /// Whether any of the ring's own parameters is given.
    fn is_described(&self) -> bool {
        self.radius.is_some()
            || self.coupling_bus.is_some()
            || self.coupling_detour.is_some()
            || self.round_trip_loss.is_some()
            || self.loss.is_some()
            || self.group_index.is_some()
            || self.detuning.is_some()
    }

    fn described(&self) -> Result<RingSwitch, DesignError> {
        let help = format!("a ring by its own parameters needs {OWN}");
        let need = |key: &str| missing(key, &help);
        let radius = self.radius.as_ref().ok_or_else(|| need("radius"))?;
        let bus = self.coupling_bus.as_ref().ok_or_else(|| need("coupling_bus"))?;
        let detour = self.coupling_detour.as_ref().ok_or_else(|| need("coupling_detour"))?;
        let index = self.group_index.as_ref().ok_or_else(|| need("group_index"))?;
        let detuning = self.detuning.as_ref().ok_or_else(|| need("detuning"))?;
        let (round_trip, lossy) = match (&self.round_trip_loss, &self.loss) {
            (Some(loss), None) => (loss.db(), Lossy::RoundTrip(loss)),
            (None, Some(loss)) => (loss.si() * TAU * radius.si(), Lossy::Guide(loss)),
            (Some(loss), Some(_)) => return Err(loss.invalid("and `loss` say the same: give one of them")),
            (None, None) => return Err(need("round_trip_loss")),
        };
        let make = |error: f64| {
            let (radius, bus, detour) = (radius.si(), bus.si(), detour.si());
            RingSwitch::new(radius, bus, detour, round_trip, **index, detuning.si(), error)
        };
        // The power that a detuned ring leaves behind grows with the square, so that the rms stands for the mean.
        let made = make(0.0).and_then(|ring| make(self.lock_residue.si() * ring.linewidth() / 2.0));
        made.map_err(|fault| match fault {
            DeviceError::Parameter { name, problem, .. } => match name {
                "ring.radius" => radius.invalid(problem),
                "ring.coupling_bus" => bus.invalid(problem),
                "ring.coupling_detour" => detour.invalid(problem),
                "ring.round_trip_loss" => lossy.invalid(problem),
                "ring.group_index" => index.invalid(problem),
                "ring.detuning" => detuning.invalid(problem),
                _ => self.lock_residue.invalid(problem),
            },
            other => DesignError::new(other.to_string()).with_key(KEY),
        })
    }
}

/// The key that gave the loss.
enum Lossy<'a> {
    RoundTrip(&'a Value<mirage_design::Decibel>),
    Guide(&'a Value<mirage_design::PropagationLoss>),
}

impl Lossy<'_> {
    fn invalid(&self, problem: String) -> DesignError {
        match self {
            Lossy::RoundTrip(value) => value.invalid(problem),
            Lossy::Guide(value) => value.invalid(format!("gives a loss of one round trip that {problem}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::mmu::Mdpu;
    use mirage_design::Document;

    const DEFAULT: &str = include_str!("../../../data/designs/parts/devices.toml");
    const RING: &str = "[devices.ring]\nradius = \"5 um\"\ncoupling_bus = \"10 %\"\ncoupling_detour = \"9 %\"\nround_trip_loss = \"0.05 dB\"\n\
                        group_index = 4.2\ndetuning = \"600 GHz\"\nlock_residue = \"2 %\"\n\n";

    /// The default design with another `[devices.ring]`, each passage charged.
    fn design(ring: &str) -> String {
        let (start, end) =
            (DEFAULT.find("[devices.ring]").unwrap(), DEFAULT.find("[devices.shifter]").unwrap());
        let text = format!("{}{ring}{}", &DEFAULT[..start], &DEFAULT[end..]);
        text.replace("\"mmu-total\"", "\"per-mmu\"")
    }

    fn read(text: &str) -> Result<DevicesSection, DesignError> {
        DevicesSection::read(&Document::new(text, "d.toml").unwrap())
    }

    #[test]
    fn losses_and_extinction_follow_from_the_ring() {
        let section = read(&design(RING)).unwrap();
        // Written as the units do, to the last digit.
        let make = |error| RingSwitch::new(5.0 * 1e-6, 0.1, 0.09, 0.05, 4.2, 600e9, error).unwrap();
        let ring = make(0.02 * make(0.0).linewidth() / 2.0);
        assert_eq!(section.ring_switch().unwrap(), Some(ring));
        let point = section.design_point(16);
        let rings = &point.parameters.rings;
        assert_eq!(
            (rings.pass_loss_db, rings.drop_loss_db, rings.extinction_db),
            (ring.pass_loss_db(), ring.drop_loss_db(), ring.extinction_db())
        );
        assert!(!point.required.contains(&crate::Tolerance::RingExtinction));
        // The unit leaks what `design check` prints: the locking error counts once.
        let unit = Mdpu::new(&point.parameters, 31).unwrap();
        assert!((-10.0 * (-unit.leakage()).log10() / ring.extinction_db() - 1.0).abs() < 1e-12);
        assert!((unit.lock_variance() - 2.0 * 0.02f64.powi(2)).abs() < 1e-15, "its phase still does");
        // 0.05 dB over 2 pi 5 um.
        let guide = RING.replace("round_trip_loss = \"0.05 dB\"", "loss = \"15.9154943 dB/cm\"");
        let same = read(&design(&guide)).unwrap().ring_switch().unwrap().unwrap();
        assert!((same.drop_loss_db() - ring.drop_loss_db()).abs() < 1e-8);
        assert_eq!(read(DEFAULT).unwrap().ring_switch().unwrap(), None);
    }

    #[test]
    fn the_lifetime_of_the_field_follows_from_the_ring() {
        let given = "ring_lifetime = { value = \"8 ps\"";
        let from_ring = |text: &str| text.replace(given, "ring_lifetime = { value = \"from-ring\"");
        let section = read(&from_ring(&design(RING))).unwrap();
        let time = section.time_parameters(10e9).unwrap();
        // Energy lives 1/(2 pi linewidth), the field twice as long.
        let expected = 1.0 / (std::f64::consts::PI * section.ring_switch().unwrap().unwrap().linewidth());
        assert!((time.ring_lifetime / expected - 1.0).abs() < 0.01, "{} {expected}", time.ring_lifetime);
        let error = read(&from_ring(DEFAULT)).unwrap_err();
        assert!(error.to_string().contains("its own parameters") && error.line().is_some(), "{error}");
    }

    #[test]
    fn mixtures_and_gaps_are_errors() {
        let faults = [
            ("radius = \"5 um\"", "radius = \"5 um\"\npass_loss = \"0.1 dB\"", "described twice"),
            ("radius = \"5 um\"\n", "", "`radius` is missing"),
            ("detuning = \"600 GHz\"\n", "", "`detuning` is missing"),
            ("round_trip_loss = \"0.05 dB\"\n", "", "`round_trip_loss` is missing"),
            ("group_index = 4.2", "group_index = 4.2\nloss = \"1 dB/cm\"", "give one of them"),
            ("10 %", "100 %", "0.99"),
            ("600 GHz", "2 THz", "half of the free spectral range"),
            ("group_index = 4.2", "group_index = 42.0", "1 to 10"),
            ("lock_residue = \"2 %\"", "lock_residue = \"60 %\"", "half the linewidth"),
            ("0.05 dB", "50 dB", "0 dB to 20 dB"),
        ];
        for (old, new, says) in faults {
            assert!(RING.contains(old), "{old}");
            let error = read(&design(&RING.replacen(old, new, 1))).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("devices.ring"), "{new}: {error}");
        }
        let total = design(RING).replace("\"per-mmu\"", "\"mmu-total\"");
        assert!(read(&total).unwrap_err().to_string().contains("each passage has its loss"));
        let gap = DEFAULT.replace("pass_loss = { value = \"0.2 dB\"", "#");
        assert!(read(&gap).unwrap_err().to_string().contains("`pass_loss` is missing"));
    }
}
