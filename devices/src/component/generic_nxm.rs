//! SAX's models with any number of ports. Their counts are settings, so they are made when a circuit is.

use std::sync::Arc;

use num_complex::Complex64;

use super::{Component, ComponentError, Points, Scattering, Setting, Settings, both_ways};

/// How many inputs or outputs one component may have.
const MOST: usize = 1024;

const INPUTS: Setting = Setting::number("num_inputs", 2.0, "", (1.0, MOST as f64), "number of inputs");
const OUTPUTS: Setting = Setting::number("num_outputs", 2.0, "", (1.0, MOST as f64), "number of outputs");
const LINKS: Setting = Setting::number("num_links", 2.0, "", (1.0, MOST as f64), "number of guides");

#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    /// Every input to every output with 1/sqrt(n), n the larger number of the two: no loss for 1 x n, more power out than in
    /// for n x n with equal inputs.
    Unitary,
    /// Every input to every output with 1: all the power at each output.
    Copier,
    /// Input k to output k.
    Passthru,
}

#[derive(Debug)]
struct Many {
    family: Family,
    ports: Vec<String>,
    inputs: usize,
}

pub(super) fn all() -> Vec<Arc<dyn Component>> {
    let unloaded = |family| Arc::new(Many { family, ports: Vec::new(), inputs: 0 }) as Arc<dyn Component>;
    [Family::Unitary, Family::Copier, Family::Passthru].map(unloaded).into()
}

impl Component for Many {
    fn name(&self) -> &str {
        match self.family {
            Family::Unitary => "unitary",
            Family::Copier => "copier",
            Family::Passthru => "passthru",
        }
    }

    fn summary(&self) -> &str {
        match self.family {
            Family::Unitary => "every input to every output, 1/sqrt(the larger number)",
            Family::Copier => "every input to every output, undiminished",
            Family::Passthru => "guides side by side",
        }
    }

    fn ports(&self) -> Vec<&str> {
        self.ports.iter().map(String::as_str).collect()
    }

    fn settings(&self) -> &'static [Setting] {
        if self.family == Family::Passthru { &[LINKS] } else { &[INPUTS, OUTPUTS] }
    }

    fn couplings(&self) -> Vec<(usize, usize)> {
        let outputs = self.inputs..self.ports.len();
        match self.family {
            Family::Passthru => both_ways(&outputs.zip(0..).collect::<Vec<_>>()),
            _ => both_ways(&outputs.flat_map(|o| (0..self.inputs).map(move |i| (o, i))).collect::<Vec<_>>()),
        }
    }

    fn scatter(&self, _: &Points, _: &Settings, s: &mut Scattering) -> Result<(), ComponentError> {
        let larger = self.inputs.max(self.ports.len() - self.inputs) as f64;
        let value = if self.family == Family::Unitary { larger.sqrt().recip() } else { 1.0 };
        for (out, input) in self.couplings() {
            s.fill(out, input, |_| Complex64::from(value));
        }
        Ok(())
    }

    fn load(&self, settings: &Settings) -> Result<Option<Arc<dyn Component>>, ComponentError> {
        let count = |setting: &str| {
            let given = settings.number(setting).same().filter(|x| x.fract() == 0.0 && *x >= 1.0);
            let whole = || {
                ComponentError::of(
                    setting,
                    format!("setting `{setting}` must be a whole number, the same at all points"),
                )
            };
            given.map(|x| x as usize).ok_or_else(whole)
        };
        let (inputs, outputs) = match self.family {
            Family::Passthru => (count("num_links")?, count("num_links")?),
            _ => (count("num_inputs")?, count("num_outputs")?),
        };
        let ports = (0..inputs).map(|i| format!("in{i}")).chain((0..outputs).map(|i| format!("out{i}")));
        Ok(Some(Arc::new(Many { family: self.family, ports: ports.collect(), inputs })))
    }
}
