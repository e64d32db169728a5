//! A component read from a file of S-parameters.

use super::{Component, ComponentError, Points, Scattering, Setting, Settings};
use crate::files::{Load, SParameters, TimeConvention, enforce_passivity, load_sparameters};
use crate::physics::LIGHT_SPEED;
use std::path::Path;
use std::sync::Arc;

/// Singular values above one by less than this are rounding of the file's digits.
const TOLERANCE: f64 = 1e-6;

/// Ports and S-matrix of an INTERCONNECT or Touchstone file.
///
/// ```text
///             ┌──────┐
/// port_1 ─────┤ file ├───── port_2      names as the file has them, blanks as `_`
///             └──────┘
/// ```
///
/// Magnitude and unwrapped phase are interpolated in frequency; a wavelength outside the file is an error. `passivity`:
/// `ignore` takes the numbers as they are; `test` refuses a file with a singular value above 1.000001; `enforce` lowers the
/// singular values above one to one, at every point that is evaluated. Of a file with several modes the first is taken unless
/// `mode` says another; a file that sweeps parameters needs `sweep`, such as "gap=1e-7;width=5e-7" in the file's own units.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tabulated {
    table: Option<Table>,
}

#[derive(Debug, Clone)]
struct Table {
    file: String,
    parameters: SParameters,
    enforce: bool,
}

const SETTINGS: &[Setting] = &[
    Setting::file("file", "S-parameters: .sparam, .dat or .txt (INTERCONNECT), or .sNp (Touchstone)"),
    Setting::text("passivity", "ignore", "ignore, test or enforce"),
    Setting::optional(
        "mode",
        "",
        (1.0, 1e6),
        "number of the mode in an INTERCONNECT file; the first when left out",
    ),
    Setting::text("sweep", "", "values of swept parameters of an INTERCONNECT file: name=value;name=value"),
    Setting::text(
        "convention",
        "optics",
        "sign of time in a Touchstone file: optics (-i) or engineering (+j)",
    ),
];

impl Component for Tabulated {
    fn name(&self) -> &str {
        "tabulated"
    }

    fn summary(&self) -> &str {
        "S-parameters from a file"
    }

    fn ports(&self) -> Vec<&str> {
        let table = self.table.iter();
        table.flat_map(|t| t.parameters.ports()).map(String::as_str).collect()
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn couplings(&self) -> Vec<(usize, usize)> {
        let Some(Table { parameters, enforce, .. }) = &self.table else { return Vec::new() };
        let n = parameters.ports().len();
        let pairs = (0..n).flat_map(|out| (0..n).map(move |input| (out, input)));
        // Enforcing mixes all elements.
        pairs.filter(|&(out, input)| *enforce || parameters.couples(out, input)).collect()
    }

    fn scatter(&self, points: &Points, _: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
        let Some(table) = &self.table else {
            return Err(ComponentError::of("file", "the file of this component was not loaded"));
        };
        let pairs = self.couplings();
        for (k, wavelength) in points.wavelengths().iter().enumerate() {
            let mut matrix =
                table.parameters.at(LIGHT_SPEED / wavelength).ok_or_else(|| table.outside(*wavelength))?;
            if table.enforce {
                matrix = enforce_passivity(&matrix);
            }
            for &(out, input) in &pairs {
                if let Some((re, im)) = s.lane_mut(out, input) {
                    (re[k], im[k]) = (matrix[(out, input)].re, matrix[(out, input)].im);
                }
            }
        }
        Ok(())
    }

    fn load(&self, settings: &Settings) -> Result<Option<Arc<dyn Component>>, ComponentError> {
        let file = settings.text("file").to_owned();
        let options = Load {
            selection: crate::files::Selection { mode: mode(settings)?, sweep: sweep(settings)? },
            convention: convention(settings)?,
        };
        let parameters = load_sparameters(Path::new(&file), &options)
            .map_err(|error| ComponentError::of("file", error.to_string()))?;
        let enforce = match settings.text("passivity") {
            "ignore" => false,
            "enforce" => true,
            "test" => {
                let found = parameters.passivity();
                if found.singular_value > 1.0 + TOLERANCE {
                    let problem = format!(
                        "{file}: not passive: the largest singular value is {:.6} at {:.6} um; `passivity: enforce` lowers it",
                        found.singular_value,
                        LIGHT_SPEED / found.frequency * 1e6
                    );
                    return Err(ComponentError::of("passivity", problem));
                }
                false
            }
            other => {
                let problem = format!("passivity `{other}` is none of ignore, test, enforce");
                return Err(ComponentError::of("passivity", problem));
            }
        };
        Ok(Some(Arc::new(Tabulated { table: Some(Table { file, parameters, enforce }) })))
    }
}

impl Table {
    fn outside(&self, wavelength: f64) -> ComponentError {
        let (low, high) = self.parameters.range();
        let (short, long) = (LIGHT_SPEED / high * 1e6, LIGHT_SPEED / low * 1e6);
        let problem = format!(
            "{}: {:.6} um is outside the file's {short:.6} um to {long:.6} um",
            self.file,
            wavelength * 1e6
        );
        ComponentError::of("file", problem)
    }
}

fn mode(settings: &Settings) -> Result<Option<u32>, ComponentError> {
    if !settings.is_given("mode") {
        return Ok(None);
    }
    match settings.number("mode").same() {
        Some(mode) if mode.fract() == 0.0 => Ok(Some(mode as u32)),
        _ => Err(ComponentError::of("mode", "a mode is one whole number")),
    }
}

fn sweep(settings: &Settings) -> Result<std::collections::BTreeMap<String, f64>, ComponentError> {
    crate::files::read_sweep(settings.text("sweep")).map_err(|problem| ComponentError::of("sweep", problem))
}

fn convention(settings: &Settings) -> Result<TimeConvention, ComponentError> {
    settings.text("convention").parse().map_err(|problem: String| ComponentError::of("convention", problem))
}
