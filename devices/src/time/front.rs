//! The electrical front end: diode and amplifier as two poles that the field's transfer passes.

use crate::time::collocation::Wave;
use crate::time::panels::Panel;
use num_complex::Complex64;

/// The state of both poles, in units of the field transfer: the balanced current is linear in it, so the filter may be
/// applied before detection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrontEnd {
    amplifier: f64,
    first: Complex64,
    second: Complex64,
}

impl FrontEnd {
    /// Settled at `field`, with the amplifier's time constant, s, greater than zero.
    pub fn new(amplifier: f64, field: Complex64) -> Self {
        FrontEnd { amplifier, first: field, second: field }
    }

    /// What the converter sees.
    pub fn output(&self) -> Complex64 {
        self.second
    }

    /// How fast that changes, 1/s.
    pub fn slope(&self) -> Complex64 {
        (self.first - self.second) / self.amplifier
    }

    /// Lets a field act for a panel: what the converter sees all along.
    pub fn pass(&mut self, panel: &Panel, field: &Wave) -> Wave {
        let first = panel.diode.apply(field, self.first);
        let second = panel.amplifier.apply(&first, self.second);
        (self.first, self.second) = (first.end(), second.end());
        second
    }
}
