use super::{Component, ComponentError, Points, Scattering, Setting, Settings, both_ways};

/// A component with fixed ports: a few constants and one function.
#[derive(Debug)]
pub(crate) struct Simple {
    pub name: &'static str,
    pub summary: &'static str,
    pub ports: &'static [&'static str],
    pub settings: &'static [Setting],
    /// Pairs of ports that can couple, each taken both ways; (a, a) is a reflection.
    pub pairs: &'static [(usize, usize)],
    pub scatter: fn(&Points, &Settings, &mut Scattering) -> Result<(), ComponentError>,
}

impl Component for Simple {
    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn ports(&self) -> Vec<&str> {
        self.ports.to_vec()
    }

    fn settings(&self) -> &'static [Setting] {
        self.settings
    }

    fn couplings(&self) -> Vec<(usize, usize)> {
        both_ways(self.pairs)
    }

    fn scatter(
        &self,
        points: &Points,
        settings: &Settings,
        s: &mut Scattering,
    ) -> Result<(), ComponentError> {
        (self.scatter)(points, settings, s)
    }
}
