//! One type for each kind of quantity. The text form is a number and a unit; the code holds SI.

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A unit: its text, and how a number in that unit becomes SI.
struct Unit {
    text: &'static str,
    to_si: Conversion,
}

enum Conversion {
    Factor(f64),
    /// SI = 10^(x/10) times the factor.
    Decibel(f64),
    /// SI = x plus the offset.
    Offset(f64),
}

const fn unit(text: &'static str, factor: f64) -> Unit {
    Unit { text, to_si: Conversion::Factor(factor) }
}

impl Unit {
    fn apply(&self, x: f64) -> f64 {
        match self.to_si {
            Conversion::Factor(f) => x * f,
            Conversion::Decibel(f) => 10f64.powf(x / 10.0) * f,
            Conversion::Offset(o) => x + o,
        }
    }

    fn undo(&self, si: f64) -> f64 {
        match self.to_si {
            Conversion::Factor(f) => si / f,
            Conversion::Decibel(f) => 10.0 * (si / f).log10(),
            Conversion::Offset(o) => si - o,
        }
    }
}

/// A number in one unit as a number in another of the same kind of quantity; `None` when no kind has both.
///
/// ```
/// assert_eq!(mirage_design::convert(3.0, "mW", "uW"), Some(3000.0));
/// assert_eq!(mirage_design::convert(3.0, "mW", "dB"), None);
/// ```
pub fn convert(x: f64, from: &str, to: &str) -> Option<f64> {
    if from == to {
        return Some(x);
    }
    KINDS.iter().find_map(|units| {
        let unit = |name: &str| units.iter().find(|u| u.text == name.replace(['µ', 'μ'], "u"));
        Some(unit(to)?.undo(unit(from)?.apply(x)))
    })
}

/// Where a number ends and its unit begins.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text
        .char_indices()
        .find(|&(i, c)| {
            let exponent = (c == 'e' || c == 'E')
                && text[..i].ends_with(|p: char| p.is_ascii_digit() || p == '.')
                && text[i + 1..].trim_start_matches(['+', '-']).starts_with(|n: char| n.is_ascii_digit());
            !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-') || exponent)
        })
        .map_or(text.len(), |(i, _)| i);
    (&text[..at], text[at..].trim())
}

fn parse(text: &str, units: &[Unit], kind: &str, example: &str) -> Result<f64, String> {
    let text = text.trim();
    let (number, name) = split(text);
    let x: f64 = number.parse().map_err(|_| {
        format!("`{text}` is not {}: write a number and a unit, such as \"{example}\"", a(kind))
    })?;
    let known = || units.iter().map(|u| u.text).collect::<Vec<_>>().join(", ");
    if name.is_empty() && !units.iter().any(|u| u.text.is_empty()) {
        return Err(format!(
            "`{text}` has no unit: {} is written with one of {}, such as \"{example}\"",
            a(kind),
            known()
        ));
    }
    let name = name.replace(['µ', 'μ'], "u");
    let unit = units.iter().find(|u| u.text == name).ok_or_else(|| {
        format!("`{name}` is not a unit of {}: use one of {}, such as \"{example}\"", a(kind), known())
    })?;
    let si = unit.apply(x);
    if si.is_finite() { Ok(si) } else { Err(format!("`{text}` is out of range")) }
}

/// The name of a kind with its article.
fn a(kind: &str) -> String {
    format!("{} {kind}", if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
}

/// Limits in words, in the unit in which they are plain numbers.
fn range(min: f64, max: f64, units: &[Unit]) -> String {
    let plain = units.iter().find(|u| u.apply(1.0) == 1.0 && u.apply(0.0) == 0.0);
    match (plain, units.first()) {
        (Some(unit), _) if max == f64::MAX => {
            format!("be at least {min} {}", unit.text).trim_end().to_owned()
        }
        (Some(unit), _) => format!("lie between {min} and {max} {}", unit.text).trim_end().to_owned(),
        // Decibels alone: their zero is the largest value there is.
        (None, Some(unit)) if max == unit.apply(0.0) => format!("be at most 0 {}", unit.text),
        (None, _) => format!("lie between {min} and {max} as a plain number"),
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $example:literal, $min:expr, $max:expr, [$($unit:expr),+ $(,)?]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            const UNITS: &[Unit] = &[$($unit),+];

            /// The number in SI units.
            pub const fn si(self) -> f64 {
                self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let si = parse(text, Self::UNITS, $kind, $example)?;
                let (min, max): (f64, f64) = ($min, $max);
                if si < min || si > max {
                    return Err(format!("`{}` is no physical {}: it must {}", text.trim(), $kind, range(min, max, Self::UNITS)));
                }
                Ok(Self(si))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "{} as text with a unit, such as \"{}\"", a($kind), $example)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                d.deserialize_any(Text)
            }
        }
    };
}

const ANY: f64 = f64::MAX;

quantity!(
    /// Power in watts; also read from dBm.
    Power, "power", "10 mW", 0.0, ANY,
    [unit("W", 1.0), unit("kW", 1e3), unit("mW", 1e-3), unit("uW", 1e-6), unit("nW", 1e-9),
     Unit { text: "dBm", to_si: Conversion::Decibel(1e-3) }]
);
quantity!(
    /// Frequency, bandwidth or linewidth in hertz.
    Frequency, "frequency", "10 GHz", 0.0, ANY,
    [unit("Hz", 1.0), unit("kHz", 1e3), unit("MHz", 1e6), unit("GHz", 1e9), unit("THz", 1e12)]
);
quantity!(
    /// Time in seconds.
    Time, "time", "5 ns", 0.0, ANY,
    [unit("s", 1.0), unit("ms", 1e-3), unit("us", 1e-6), unit("ns", 1e-9), unit("ps", 1e-12), unit("fs", 1e-15)]
);
quantity!(
    /// Length in metres.
    Length, "length", "10 um", 0.0, ANY,
    [unit("m", 1.0), unit("cm", 1e-2), unit("mm", 1e-3), unit("um", 1e-6), unit("nm", 1e-9)]
);
quantity!(
    /// A loss or a ratio of powers in decibel, positive for a loss or an extinction.
    Decibel, "ratio in decibel", "0.2 dB", 0.0, 1000.0, [unit("dB", 1.0)]
);
quantity!(
    /// A pure number from 0 to 1; also read from per cent.
    Ratio, "ratio", "20 %", 0.0, 1.0, [unit("%", 0.01), unit("", 1.0)]
);
quantity!(
    /// Electric current in amperes.
    Current, "current", "1.128 uA", 0.0, ANY, [unit("A", 1.0), unit("mA", 1e-3), unit("uA", 1e-6), unit("nA", 1e-9), unit("pA", 1e-12)]
);
quantity!(
    /// Responsivity of a photodiode in amperes per watt.
    Responsivity, "responsivity", "1.1 A/W", 0.0, 10.0, [unit("A/W", 1.0), unit("mA/mW", 1.0)]
);
quantity!(
    /// Angle in radians; may be negative.
    Angle, "angle", "10 mrad", -ANY, ANY,
    [unit("rad", 1.0), unit("mrad", 1e-3), unit("urad", 1e-6), unit("deg", std::f64::consts::PI / 180.0)]
);
quantity!(
    /// Absolute temperature in kelvin; also read from degC.
    Temperature, "temperature", "300 K", 0.0, 5000.0, [unit("K", 1.0), Unit { text: "degC", to_si: Conversion::Offset(273.15) }]
);
quantity!(
    /// Difference of temperatures in kelvin.
    TemperatureDifference, "temperature difference", "20 mK", 0.0, 5000.0, [unit("K", 1.0), unit("mK", 1e-3)]
);
quantity!(
    /// Change of a refractive index per kelvin.
    ThermoOptic, "thermo-optic coefficient", "1.87e-4 /K", -1.0, 1.0, [unit("/K", 1.0), unit("1/K", 1.0)]
);
quantity!(
    /// Voltage in volts.
    Voltage, "voltage", "1 V", -ANY, ANY, [unit("V", 1.0), unit("mV", 1e-3), unit("kV", 1e3)]
);
quantity!(
    /// Energy in joules.
    Energy, "energy", "75 fJ", 0.0, ANY,
    [unit("J", 1.0), unit("mJ", 1e-3), unit("uJ", 1e-6), unit("nJ", 1e-9), unit("pJ", 1e-12), unit("fJ", 1e-15), unit("aJ", 1e-18)]
);
quantity!(
    /// Area in square metres.
    Area, "area", "0.5 mm2", 0.0, ANY, [unit("m2", 1.0), unit("cm2", 1e-4), unit("mm2", 1e-6), unit("um2", 1e-12)]
);
quantity!(
    /// Memory capacity in bytes.
    Capacity, "capacity", "24 MiB", 0.0, ANY,
    [unit("B", 1.0), unit("KiB", 1024.0), unit("MiB", 1048576.0), unit("GiB", 1073741824.0), unit("kB", 1e3), unit("MB", 1e6), unit("GB", 1e9)]
);
quantity!(
    /// Data rate in bytes per second.
    DataRate, "data rate", "400 GB/s", 0.0, ANY,
    [unit("B/s", 1.0), unit("kB/s", 1e3), unit("MB/s", 1e6), unit("GB/s", 1e9), unit("TB/s", 1e12), unit("PB/s", 1e15)]
);
quantity!(
    /// Electrical resistance in ohms.
    Resistance, "resistance", "5 kohm", 0.0, ANY, [unit("ohm", 1.0), unit("kohm", 1e3), unit("Mohm", 1e6)]
);
quantity!(
    /// Relative intensity noise as a one-sided spectral density in 1/Hz; read from dB/Hz (-155 dB/Hz is 10^-15.5 /Hz).
    RelativeIntensityNoise, "relative intensity noise", "-155 dB/Hz", 0.0, 1.0,
    [Unit { text: "dB/Hz", to_si: Conversion::Decibel(1.0) }, Unit { text: "dBc/Hz", to_si: Conversion::Decibel(1.0) }]
);
quantity!(
    /// Voltage noise as the root of a one-sided spectral density, V/sqrt(Hz).
    VoltageNoise, "voltage noise", "0.9 nV/sqrt(Hz)", 0.0, ANY,
    [unit("V/sqrt(Hz)", 1.0), unit("uV/sqrt(Hz)", 1e-6), unit("nV/sqrt(Hz)", 1e-9), unit("pV/sqrt(Hz)", 1e-12)]
);
quantity!(
    /// Propagation loss in decibel per metre.
    PropagationLoss, "propagation loss", "2 dB/cm", 0.0, ANY, [unit("dB/m", 1.0), unit("dB/cm", 100.0), unit("dB/mm", 1000.0)]
);
quantity!(
    /// Modulation efficiency V_pi L in volt metres.
    VoltLength, "product of voltage and length", "1 V cm", 0.0, ANY, [unit("V m", 1.0), unit("V cm", 1e-2), unit("V mm", 1e-3), unit("V um", 1e-6)]
);

/// The units of every kind of quantity.
const KINDS: [&[Unit]; 19] = [
    Power::UNITS,
    Frequency::UNITS,
    Time::UNITS,
    Length::UNITS,
    Decibel::UNITS,
    Ratio::UNITS,
    Current::UNITS,
    Responsivity::UNITS,
    Angle::UNITS,
    Temperature::UNITS,
    Voltage::UNITS,
    Energy::UNITS,
    Area::UNITS,
    Capacity::UNITS,
    DataRate::UNITS,
    Resistance::UNITS,
    RelativeIntensityNoise::UNITS,
    PropagationLoss::UNITS,
    VoltLength::UNITS,
];

impl Decibel {
    /// The number in decibel.
    pub const fn db(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_si() {
        assert_eq!("10 GHz".parse::<Frequency>().unwrap().si(), 1e10);
        assert_eq!("1.1 A/W".parse::<Responsivity>().unwrap().si(), 1.1);
        assert!(("3 dBm".parse::<Power>().unwrap().si() - 1.995_262_3e-3).abs() < 1e-9);
        assert!(
            ("-155 dB/Hz".parse::<RelativeIntensityNoise>().unwrap().si() / 3.162_277_7e-16 - 1.0).abs()
                < 1e-6
        );
        assert_eq!("20 %".parse::<Ratio>().unwrap().si(), 0.2);
        assert_eq!("0.2".parse::<Ratio>().unwrap().si(), 0.2);
        assert_eq!("1e-3 W".parse::<Power>().unwrap().si(), 1e-3);
        assert!(("1.128 µA".parse::<Current>().unwrap().si() - 1.128e-6).abs() < 1e-18);
        assert_eq!("27 degC".parse::<Temperature>().unwrap().si(), 300.15);
    }

    #[test]
    fn units_of_a_kind_convert() {
        assert_eq!(convert(20.0, "%", ""), Some(0.2));
        assert!((convert(2.0, "mW", "dBm").unwrap() - 3.0103).abs() < 1e-4);
        assert!((convert(3.0, "dBm", "mW").unwrap() - 1.995_262_3).abs() < 1e-6);
        assert!((convert(300.15, "K", "degC").unwrap() - 27.0).abs() < 1e-9);
        assert_eq!(convert(1.0, "nonsense", "nonsense"), Some(1.0));
        assert_eq!(convert(1.0, "GHz", "GB"), None);
    }

    #[test]
    fn wrong_text_says_what_is_wrong() {
        let missing = "10".parse::<Frequency>().unwrap_err();
        assert!(missing.contains("has no unit") && missing.contains("GHz"), "{missing}");
        let error = "nan pJ".parse::<Energy>().unwrap_err();
        assert!(error.starts_with("`nan pJ` is not an energy: write"), "{error}");
        assert!("10 GHs".parse::<Frequency>().unwrap_err().contains("`GHs` is not a unit"));
        assert!("-3 ns".parse::<Time>().unwrap_err().contains("no physical time: it must be at least 0 s"));
        let rin = "3 dB/Hz".parse::<RelativeIntensityNoise>().unwrap_err();
        assert!(rin.ends_with("it must be at most 0 dB/Hz"), "{rin}");
        let hot = "9000 K".parse::<Temperature>().unwrap_err();
        assert!(hot.ends_with("it must lie between 0 and 5000 K"), "{hot}");
        assert!("120 %".parse::<Ratio>().unwrap_err().ends_with("it must lie between 0 and 1"));
        assert!("120 %".parse::<Ratio>().unwrap_err().contains("no physical ratio"));
        assert!("fast".parse::<Time>().unwrap_err().contains("not a time"));
        assert!("1e999 W".parse::<Power>().is_err());
        assert!("e W".parse::<Power>().is_err());
        assert!("".parse::<Power>().is_err());
        assert!("NaN W".parse::<Power>().is_err());
    }
}
