//! Thermal crosstalk: a law of distance over a row of stages or a layout, or a measured matrix.

use super::check::within;
use super::{DevicesSection, given};
use crate::heat::HeaterMap;
use crate::unit::parameters::{Crosstalk, OwnBus};
use mirage_design::{DesignError, Document, Value};
use std::sync::Arc;

const KEY: &str = "devices.crosstalk";

impl DevicesSection {
    /// Reads and checks the section, and the file of heaters that it may name: `open` gives the text of a file by its name as it
    /// stands in the design, or says why it cannot.
    ///
    /// # Errors
    /// Whatever is wrong, with file, line and key.
    pub fn read_with(
        document: &Document,
        open: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<Self, DesignError> {
        let mut section: DevicesSection = document.section("devices")?;
        section.read_heaters(open).map_err(|error| document.locate(error))?;
        section.check().map_err(|error| document.locate(error))?;
        Ok(section)
    }

    /// The key that names a file of heaters, with its value.
    pub fn heater_file(&self) -> Option<(&'static str, &Value<String>)> {
        let c = &self.crosstalk;
        let layout = c.layout.as_ref().map(|name| ("devices.crosstalk.layout", name));
        layout.or(c.matrix.as_ref().map(|name| ("devices.crosstalk.matrix", name)))
    }

    fn read_heaters(&mut self, open: impl FnOnce(&str) -> Result<String, String>) -> Result<(), DesignError> {
        let c = &self.crosstalk;
        if let (Some(_), Some(matrix)) = (&c.layout, &c.matrix) {
            return Err(matrix.invalid("and `layout` both say where heat goes: give one of them"));
        }
        let Some((_, name)) = self.heater_file() else { return Ok(()) };
        let unusable = |problem: String| name.invalid(format!("names a file that cannot be used: {problem}"));
        let text = open(name.as_str()).map_err(unusable)?;
        let read = if c.matrix.is_some() { HeaterMap::read_matrix } else { HeaterMap::read_layout };
        let map = read(&text, name.as_str()).map_err(|e| unusable(e.to_string()))?;
        self.crosstalk.heaters = Some(Arc::new(map));
        Ok(())
    }

    /// Checks `[devices.crosstalk]`.
    pub(super) fn check_crosstalk(&self) -> Result<(), DesignError> {
        let c = &self.crosstalk;
        if let (Some((_, name)), None) = (self.heater_file(), &c.heaters) {
            return Err(name.invalid("names a file that was not read: files need DevicesSection::read_with"));
        }
        let needed = |key: &str, why: &str| {
            DesignError::new(format!("the key `{key}` is missing here")).with_key(KEY).with_help(why)
        };
        if c.matrix.is_some() {
            let useless = "says nothing beside a measured `matrix`: remove this key";
            if let Some(coefficient) = &c.coefficient {
                return Err(coefficient.invalid(useless));
            }
            if let Some(length) = c.decay.as_ref().or(c.bus_distance.as_ref()) {
                return Err(length.invalid(useless));
            }
            let why = "what a heater does to the bus beside its own guide is not in the matrix: phase per phase, as measured";
            let own_bus = c.own_bus.as_ref().ok_or_else(|| needed("own_bus", why))?;
            within(own_bus, **own_bus, -1.0, 1.0, "-1 to 1")?;
        } else {
            let why = "crosstalk is coefficient x exp(-distance/decay), unless a measured `matrix` is given";
            let coefficient = c.coefficient.as_ref().ok_or_else(|| needed("coefficient", why))?;
            if let Some(number) = given(coefficient) {
                within(coefficient, number, 0.0, 1.0, "0 to 1")?;
            }
            let decay = c.decay.as_ref().ok_or_else(|| needed("decay", why))?;
            within(decay, decay.si(), 1e-9, 1.0, "1 nm to 1 m")?;
            let why = "a heater also warms the bus beside it, by the same law over this distance";
            let distance = c.bus_distance.as_ref().ok_or_else(|| needed("bus_distance", why))?;
            within(distance, distance.si(), 0.0, 1.0, "0 m to 1 m")?;
            if let Some(own_bus) = &c.own_bus {
                return Err(own_bus.invalid(
                    "belongs to a measured `matrix`: the law of distance says it by `bus_distance`",
                ));
            }
        }
        match (&c.layout, &c.pitch) {
            (Some(_), Some(pitch)) => Err(pitch.invalid("says nothing beside a `layout`: remove this key")),
            (Some(_), None) => Ok(()),
            (None, Some(pitch)) => within(pitch, pitch.si(), 1e-9, 1.0, "1 nm to 1 m"),
            (None, None) => {
                let why = "stages lie in a row, `pitch` apart, unless a `layout` is given; a measured matrix does not say where they \
                           lie, which the maps of width and thickness must know";
                Err(needed("pitch", why))
            }
        }
    }

    /// The plain parameters, a required coefficient at zero. A section that was checked has what is needed; NaN, which the unit
    /// refuses, stands where it was not.
    pub(super) fn plain_crosstalk(&self) -> Crosstalk {
        let c = &self.crosstalk;
        let length = |value: &Option<Value<mirage_design::Length>>, unused: Option<f64>| {
            value.as_ref().map_or(unused.unwrap_or(f64::NAN), |length| length.si())
        };
        let read = self.heater_file().is_none() || c.heaters.is_some();
        let coefficient = match &c.coefficient {
            Some(coefficient) => given(coefficient).unwrap_or(0.0),
            None if c.matrix.is_some() => 0.0,
            None => f64::NAN,
        };
        Crosstalk {
            coefficient: if read { coefficient } else { f64::NAN },
            decay: length(&c.decay, c.matrix.as_ref().map(|_| Crosstalk::NONE.decay)),
            pitch: length(&c.pitch, c.layout.as_ref().map(|_| Crosstalk::NONE.pitch)),
            heaters: c.heaters.clone(),
            own_bus: match &c.own_bus {
                Some(ratio) => OwnBus::Measured(**ratio),
                None => OwnBus::Distance(length(&c.bus_distance, None)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::mmu::Mdpu;
    use crate::unit::parameters::MdpuParameters;
    use crate::{Tolerance, crosstalk_matrix};

    const DEFAULT: &str = include_str!("../../../data/designs/parts/devices.toml");

    /// The keys of the law of distance.
    const LAW: &[&str] = &["coefficient", "decay", "bus_distance"];

    /// The default design without the keys that start with one of `gone`, and with `more` keys.
    fn design(gone: &[&str], more: &str) -> String {
        let (start, end) =
            (DEFAULT.find("[devices.crosstalk]").unwrap(), DEFAULT.find("[devices.ambient]").unwrap());
        let kept = DEFAULT[start..end].lines().filter(|line| !gone.iter().any(|key| line.starts_with(key)));
        format!("{}{}\n{more}\n\n{}", &DEFAULT[..start], kept.collect::<Vec<_>>().join("\n"), &DEFAULT[end..])
    }

    fn read(text: &str, file: &str) -> Result<DevicesSection, DesignError> {
        let open =
            |name: &str| if name == "h.csv" { Ok(file.to_owned()) } else { Err(format!("no file {name}")) };
        DevicesSection::read_with(&Document::new(text, "d.toml").unwrap(), open)
    }

    /// The stages of `group` MMUs of `digits` digits.
    fn names(group: usize, digits: usize) -> Vec<String> {
        (0..group * digits).map(|s| format!("{}.{}", s / digits, s % digits)).collect()
    }

    /// The default row of stages as a layout.
    fn row(group: usize, digits: usize) -> String {
        let line = |kind: &str| -> String {
            let at = |(s, name): (usize, &String)| format!("{kind},{name},{},0\n", 40 * s);
            names(group, digits).iter().enumerate().map(at).collect()
        };
        format!("kind,name,x_um,y_um\n{}{}", line("heater"), line("guide"))
    }

    fn matrix(group: usize, digits: usize, entry: impl Fn(usize, usize) -> f64) -> String {
        let names = names(group, digits);
        let line = |i: usize| -> String {
            let numbers: Vec<String> = (0..names.len()).map(|j| format!("{:e}", entry(i, j))).collect();
            format!("{},{}\n", names[i], numbers.join(","))
        };
        format!("guide,{}\n{}", names.join(","), (0..names.len()).map(line).collect::<String>())
    }

    #[test]
    fn a_layout_of_the_row_is_the_row() {
        let text = design(&["pitch"], "layout = \"h.csv\"")
            .replace("coefficient = { value = \"required\", mark = \"required\" }", "coefficient = 1e-3");
        let laid = read(&text, &row(16, 5)).unwrap().design_point(16).parameters;
        let plain = MdpuParameters {
            crosstalk: Crosstalk {
                coefficient: 1e-3,
                decay: 50e-6,
                pitch: 40e-6,
                heaters: None,
                own_bus: OwnBus::Distance(20e-6),
            },
            ..laid.clone()
        };
        let of = |p: &MdpuParameters, m: u32| Mdpu::new(p, m).unwrap().crosstalk_gains().to_vec();
        for (a, b) in of(&laid, 31).iter().zip(of(&plain, 31)) {
            assert!((a.mean / b.mean - 1.0).abs() < 1e-12, "{a:?} {b:?}");
        }
        let open = read(&design(&["pitch"], "layout = \"h.csv\""), &row(16, 6)).unwrap().design_point(16);
        assert!(open.required.contains(&Tolerance::Crosstalk));
        // Modulus 31 on the layout of 33 has a gap of one heater's place behind every MMU.
        let mut p = open.parameters;
        p.crosstalk.coefficient = 1.0;
        let gap = crosstalk_matrix(&p.crosstalk, 16, 5);
        assert!((gap[(4, 5)] - f64::exp(-2.0 * 0.8)).abs() < 1e-12, "{}", gap[(4, 5)]);
        assert!((gap[(3, 4)] - f64::exp(-0.8)).abs() < 1e-12);
    }

    #[test]
    fn a_measured_matrix_takes_the_place_of_the_law() {
        let text = design(LAW, "matrix = { value = \"h.csv\", mark = \"S\" }\nown_bus = 2e-6");
        let entry =
            |i: usize, j: usize| if i == j { 0.0 } else { 1e-5 * (1.0 + (7 * i + 3 * j) as f64 % 11.0) };
        let section = read(&text, &matrix(16, 6, entry)).unwrap();
        let point = section.design_point(16);
        assert!(!point.required.contains(&Tolerance::Crosstalk), "nothing to solve");
        point.parameters.check().unwrap();
        for (m, digits) in [(31u32, 5usize), (33, 6)] {
            let unit = Mdpu::new(&point.parameters, m).unwrap();
            let at = |stage: usize| stage / digits * 6 + stage % digits;
            for (mmu, gain) in unit.crosstalk_gains().iter().enumerate() {
                let direct: f64 = (0..digits)
                    .map(|d| {
                        let source = mmu * digits + d;
                        let column = (0..16 * digits).map(|victim| entry(at(victim), at(source)));
                        f64::from(1 << d) * column.sum::<f64>()
                    })
                    .sum();
                assert!((gain.mean / direct - 1.0).abs() < 1e-12, "{m} {mmu}");
            }
        }
        let coefficient = crate::Toleranced::find("devices.crosstalk.coefficient").unwrap();
        assert_eq!(coefficient.value(&point.parameters, 1.0), None);
        let error = Mdpu::new(&section.design_point(8).parameters, 33).unwrap_err().to_string();
        assert!(error.contains("modulus 33") && error.contains("stages 0.0 to 7.5"), "{error}");
        let small = read(&text, &matrix(16, 5, entry)).unwrap().design_point(16).parameters;
        let error = Mdpu::new(&small, 33).unwrap_err().to_string();
        assert!(error.contains("16 MMUs of at least 6 digits are needed: stages 0.0 to 15.5"), "{error}");
    }

    #[test]
    fn mixtures_gaps_and_bad_files_are_errors_with_a_line() {
        let good = matrix(2, 2, |_, _| 0.0);
        for (gone, more, says) in [
            (LAW, "matrix = \"h.csv\"\nlayout = \"h.csv\"", "give one of them"),
            (&["decay", "bus_distance"], "matrix = \"h.csv\"", "says nothing beside a measured `matrix`"),
            (&["coefficient", "decay"], "matrix = \"h.csv\"", "says nothing beside a measured `matrix`"),
            (LAW, "matrix = \"h.csv\"", "`own_bus` is missing"),
            (LAW, "matrix = \"h.csv\"\nown_bus = 2", "-1 to 1"),
            (&[], "own_bus = 1e-6", "belongs to a measured `matrix`"),
            (&["bus_distance"], "", "`bus_distance` is missing"),
            (
                &["coefficient", "bus_distance"],
                "matrix = \"h.csv\"",
                "says nothing beside a measured `matrix`",
            ),
            (
                &["coefficient", "decay", "bus_distance", "pitch"],
                "matrix = \"h.csv\"\nown_bus = 0",
                "`pitch` is missing",
            ),
            (LAW, "matrix = \"i.csv\"", "no file i.csv"),
            (LAW, "layout = \"h.csv\"", "h.csv:1: the header must be kind,name"),
            (&["coefficient"], "", "`coefficient` is missing"),
            (&["decay"], "", "`decay` is missing"),
            (&["pitch"], "", "`pitch` is missing"),
        ] {
            let error = read(&design(gone, more), &good).unwrap_err();
            assert!(error.to_string().contains(says), "{more}: {error}");
            assert!(error.to_string().contains("devices.crosstalk"), "{error}");
            assert!(more.is_empty() || says.contains("missing") || error.line().is_some(), "{error}");
        }
        let error = read(&design(&[], "layout = \"h.csv\""), &row(2, 2)).unwrap_err().to_string();
        assert!(error.contains("says nothing beside a `layout`"), "{error}");
        let named = design(LAW, "matrix = \"h.csv\"");
        let error = DevicesSection::read(&Document::new(named, "d.toml").unwrap()).unwrap_err();
        assert!(error.to_string().contains("files need") && error.line().is_some(), "{error}");
    }
}
