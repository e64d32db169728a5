//! The `[devices]` section of the design file.

mod check;
mod convert;
mod crosstalk;
mod parts;
mod ring;

pub use parts::*;

use mirage_design::{DesignError, Document, Setting, Value};
use serde::Deserialize;

/// All of `[devices]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the sub-sections document themselves
pub struct DevicesSection {
    pub unit: UnitSection,
    pub solve: SolveSection,
    pub laser: LaserSection,
    pub distribution: DistributionSection,
    pub waveguide: WaveguideSection,
    pub ring: RingSection,
    pub shifter: ShifterSection,
    pub dac: DacSection,
    pub trim: TrimSection,
    pub crosstalk: CrosstalkSection,
    pub ambient: AmbientSection,
    pub variation: VariationSection,
    pub hybrid: HybridSection,
    pub photodiode: PhotodiodeSection,
    pub tia: TiaSection,
    pub adc: AdcSection,
    pub time: TimeSection,
}

/// The number of a setting, if it is given.
fn given<T: Copy>(value: &Value<Setting<T>>) -> Option<T> {
    (**value).given()
}

impl DevicesSection {
    /// Reads and checks the section; one that names a file of heaters needs [`DevicesSection::read_with`].
    ///
    /// # Errors
    /// Whatever is wrong, with file, line and key.
    pub fn read(document: &Document) -> Result<Self, DesignError> {
        Self::read_with(document, |_| Err("files need DevicesSection::read_with".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = include_str!("../../../data/designs/parts/devices.toml");

    fn read(text: &str) -> Result<DevicesSection, DesignError> {
        DevicesSection::read(&Document::new(text, "d.toml").unwrap())
    }

    #[test]
    fn the_default_design_reads_and_leaves_four_tolerances_open() {
        let section = read(DEFAULT).unwrap();
        let point = section.design_point(16);
        point.parameters.check().unwrap();
        use crate::Tolerance::{Crosstalk, DacBits, RingExtinction, TrimResolution};
        assert_eq!(point.required, [DacBits, TrimResolution, RingExtinction, Crosstalk]);
        assert_eq!(point.laser_power, None);
        let routing = point.parameters.link.signal_routing_db;
        assert!((routing - 16.0 * 0.12).abs() < 1e-12, "1 dB/cm over 16 x 1.2 mm: {routing}");
    }

    #[test]
    fn every_value_of_the_default_has_a_mark() {
        for line in DEFAULT.lines().filter(|line| line.contains(" = ")) {
            assert!(line.starts_with('#') || line.contains("mark = "), "{line}");
        }
    }

    #[test]
    fn faults_are_shown_with_their_line() {
        let faults = [
            (
                "value = \"0.2 dB\", mark = \"S\", source = \"T4, edge coupler\"",
                "value = \"200 dB\"",
                "coupler_loss",
            ),
            ("value = \"0.91 dB\"", "value = \"0.91\"", "loss"),
            ("linewidth =", "linewith =", "linewidth"),
            ("value = 8, mark", "value = 40, mark", "bits"),
            ("encoding = { value = \"natural\"", "encoding = { value = \"centered\"", "encoding"),
            ("input_noise = ", "load = ", "load"),
        ];
        for (old, new, word) in faults {
            assert!(DEFAULT.contains(old), "{old}");
            let text = DEFAULT.replacen(old, new, 1);
            let error = read(&text).unwrap_err();
            let rendered = format!("{error} {:?}", error.help());
            assert!(rendered.contains(word), "{word}: {rendered}");
            assert!(error.line().is_some() || rendered.contains("devices"), "{rendered}");
        }
    }
}
