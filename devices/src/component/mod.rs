//! Components: small scattering matrices with named ports and named settings.
//!
//! A component says what its ports and settings are, and fills its S-matrix for a batch of points. Adding one is a file
//! with a type that implements [`Component`], and an entry where its kind is listed (`physical::all` or `generic::all`).
//!
//! * S is indexed (out, in), e^{-i omega t}: propagation over L is e^{+i k L}.
//! * Settings are plain numbers in the unit that their declaration names, as netlists have them; wavelengths are in metres.
//! * Ports are named as SAX does: `in0, in1, .., out0, out1, ..`. A netlist may also say `o1, o2, ..`, counted as gdsfactory
//!   does: in0 upwards, then the outputs from the last to the first (see [`port_index`]).

mod generic;
mod generic_guides;
mod generic_mmi;
mod generic_nxm;
#[cfg(test)]
mod generic_tests;
mod guide;
mod guide_table;
mod interferometer;
mod passives;
mod physical;
mod ring;
mod ring_switch;
#[cfg(test)]
mod ring_tests;
mod scattering;
mod settings;
mod shifters;
mod simple;
mod splitters;
mod tabulated;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use guide_table::{GuideMode, GuideTable, Polarization};
pub use passives::grating_loss;
pub use ring::{AddDrop, RingFields};
pub use ring_switch::RingSwitch;
pub use scattering::Scattering;
pub use settings::{ComponentError, Kind, Numbers, Setting, Settings, Value};
pub use splitters::{GuideCoupling, shares};

/// Where a circuit is evaluated: one wavelength for each point of the batch.
///
/// Settings may vary over the same points ([`Value::Numbers`]), so a batch can as well be a sweep of settings at one
/// wavelength.
#[derive(Debug, Clone)]
pub struct Points {
    wavelengths: Vec<f64>,
}

impl Points {
    /// A batch at these vacuum wavelengths in metres; `None` unless all are finite and positive.
    pub fn new(wavelengths: Vec<f64>) -> Option<Self> {
        wavelengths.iter().all(|w| w.is_finite() && *w > 0.0).then_some(Self { wavelengths })
    }

    /// How many points.
    pub fn len(&self) -> usize {
        self.wavelengths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.wavelengths.is_empty()
    }

    /// Vacuum wavelengths, m.
    pub fn wavelengths(&self) -> &[f64] {
        &self.wavelengths
    }
}

/// A component of a circuit.
pub trait Component: std::fmt::Debug + Send + Sync {
    /// The name that netlists use.
    fn name(&self) -> &str;

    /// What it is, in one line.
    fn summary(&self) -> &str;

    /// Names of the ports; their order is the index into the S-matrix. Empty for a component that has to be loaded first.
    fn ports(&self) -> Vec<&str>;

    /// The settings it understands.
    fn settings(&self) -> &'static [Setting];

    /// The (out, in) pairs that can be other than zero for some settings.
    fn couplings(&self) -> Vec<(usize, usize)>;

    /// Fills the S-matrix at every point. `s` holds zeros for the pairs of [`Component::couplings`].
    ///
    /// # Errors
    /// Settings that do not fit together, or points outside the range in which the component is known.
    fn scatter(&self, points: &Points, settings: &Settings, s: &mut Scattering)
    -> Result<(), ComponentError>;

    /// The component that stands for this one once its structural settings are known, such as the file of a table or a
    /// number of ports; `None` (the default) when that is the component itself. The loaded component has the same settings.
    ///
    /// # Errors
    /// A file that cannot be read, or settings that do not fit together.
    fn load(&self, settings: &Settings) -> Result<Option<Arc<dyn Component>>, ComponentError> {
        let _ = settings;
        Ok(None)
    }
}

/// Pairs in both directions.
pub fn both_ways(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut all: Vec<_> = pairs.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Index of the port that a netlist calls `name`: its own name, or `o1, o2, ..` where all ports are `in*` and `out*`
/// (gdsfactory counts inputs upwards and outputs downwards: o1 = in0, o2 = in1, o3 = out1, o4 = out0 of a coupler).
pub fn port_index(ports: &[&str], name: &str) -> Option<usize> {
    if let Some(index) = ports.iter().position(|p| *p == name) {
        return Some(index);
    }
    let number: usize = name.strip_prefix('o')?.parse().ok()?;
    let side = |prefix: &str| -> BTreeMap<usize, usize> {
        let numbered = |(i, p): (usize, &&str)| Some((p.strip_prefix(prefix)?.parse().ok()?, i));
        ports.iter().enumerate().filter_map(numbered).collect()
    };
    let (inputs, outputs) = (side("in"), side("out"));
    if inputs.len() + outputs.len() != ports.len() {
        return None;
    }
    inputs.into_values().chain(outputs.into_values().rev()).nth(number.checked_sub(1)?)
}

/// The components that netlists can name.
#[derive(Debug, Clone)]
pub struct Library {
    components: BTreeMap<String, Arc<dyn Component>>,
}

impl Library {
    /// All components of the toolkit.
    pub fn standard() -> Self {
        let mut all: Vec<Arc<dyn Component>> = generic::all();
        all.extend(physical::all());
        Self { components: all.into_iter().map(|c| (c.name().to_owned(), c)).collect() }
    }

    /// Adds a component; one of the same name is replaced.
    pub fn add(&mut self, component: Arc<dyn Component>) {
        self.components.insert(component.name().to_owned(), component);
    }

    /// The component of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Component>> {
        self.components.get(name)
    }

    /// All components, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Component>> {
        self.components.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optical_port_names_count_as_gdsfactory_does() {
        let coupler = ["in0", "in1", "out0", "out1"];
        let found: Vec<_> = ["o1", "o2", "o3", "o4"].map(|p| port_index(&coupler, p)).into();
        assert_eq!(found, [Some(0), Some(1), Some(3), Some(2)]);
        assert_eq!(port_index(&coupler, "out1"), Some(3));
        assert_eq!(port_index(&coupler, "o5"), None);
        assert_eq!(port_index(&coupler, "o0"), None);
        assert_eq!(port_index(&["in0", "drop"], "o1"), None);
        assert_eq!(port_index(&["o2", "o1"], "o1"), Some(1));
    }

    /// Every component of the library: couplings within its ports, finite values at its defaults, and declared pairs alone.
    #[test]
    fn the_library_keeps_its_word() {
        let points = Points::new(vec![1.5e-6, 1.55e-6, 1.58e-6]).unwrap();
        for component in Library::standard().iter() {
            let settings = Settings::defaults(component.settings());
            if settings.check_complete().is_err() {
                continue; // needs a file
            }
            let loaded = component.load(&settings).unwrap().unwrap_or_else(|| component.clone());
            let ports = loaded.ports();
            assert!(!ports.is_empty(), "{}", component.name());
            let mut s = Scattering::new(ports.len(), &loaded.couplings(), points.len());
            loaded.scatter(&points, &settings, &mut s).unwrap();
            assert_eq!(s.problem(), None, "{}", component.name());
        }
    }
}
