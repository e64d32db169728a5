//! The design file: one TOML text that describes devices, units, chip and run.
//!
//! Quantities carry their unit in the text and are SI in the code; every value may carry its source
//! and a mark that says how sure it is; every error names file, line and key.
//!
//! ```
//! use mirage_design::{Document, DesignError, Frequency, Ratio, Value};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Laser {
//!     linewidth: Value<Frequency>,
//!     wall_plug_efficiency: Value<Ratio>,
//! }
//!
//! let text = r#"
//! [laser]
//! linewidth = "100 kHz"
//! wall_plug_efficiency = { value = "20 %", source = "Mukherjee et al., Table IV", mark = "S" }
//! "#;
//! let laser: Laser = Document::new(text, "my.toml")?.section("laser")?;
//! assert_eq!(laser.linewidth.si(), 1e5);
//! assert_eq!(laser.wall_plug_efficiency.mark.unwrap().to_string(), "S");
//!
//! let wrong = Document::new("[laser]\nlinewith = \"1 Hz\"\n", "my.toml")?.section::<Laser>("laser");
//! let error = wrong.err().unwrap();
//! assert_eq!(error.line(), Some(2));
//! assert!(error.to_string().contains("did you mean `linewidth`?"));
//! # Ok::<(), DesignError>(())
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `document` | the text, its sections, and where in it an error stands |
//! | `edit` | one value replaced by another, by its dotted key |
//! | `error` | [`DesignError`] |
//! | `quantity` | one type for each kind of quantity, with its units |
//! | `uncertain` | [`Uncertain`]: values with a standard deviation |
//! | `value` | [`Value`]: a value with source, [`Mark`] and place; [`Setting`]: given or to be solved for |

mod document;
mod edit;
mod error;
mod quantity;
mod uncertain;
mod value;

pub use document::{Document, Provenance, parse_section};
pub use edit::{Scalar, quantity};
pub use error::{DesignError, closest, hint};
pub use quantity::{
    Angle, Area, Capacity, Current, DataRate, Decibel, Energy, Frequency, Length, Power, PropagationLoss,
    Ratio, RelativeIntensityNoise, Resistance, Responsivity, Temperature, TemperatureDifference, ThermoOptic,
    Time, VoltLength, Voltage, VoltageNoise, convert,
};
pub use uncertain::Uncertain;
pub use value::{Mark, Setting, Value};
