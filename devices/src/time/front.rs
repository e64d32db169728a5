//! The electrical front end: diode and amplifier as two poles that the field's transfer passes.

use crate::numerics::gauss_legendre;
use crate::time::path::Path;
use crate::time::poles::TwoPoles;
use num_complex::Complex64;

/// Nodes of a panel.
const NODES: usize = 32;
/// Change of the integrand over a panel: with 32 nodes, what such a panel misses is below 1e-15 (a function that grows by
/// exp(v h r/4) on the ellipse of parameter r is integrated to exp(v h r/4) r^-64, which is (e v h/256)^64 where r is best).
const CHANGE: f64 = 50.0;
/// Time constants after which nothing is remembered: exp(-45) = 3e-20.
const MEMORY: f64 = 45.0;

/// The state of both poles, in units of the field transfer: the balanced current is linear in it, so the filter may be
/// applied before detection.
#[derive(Debug, Clone)]
pub(crate) struct FrontEnd {
    poles: TwoPoles,
    nodes: Vec<(f64, f64)>,
    first: Complex64,
    second: Complex64,
}

impl FrontEnd {
    /// Settled at `field`. Both time constants must be greater than zero.
    pub fn new(poles: TwoPoles, field: Complex64) -> Self {
        FrontEnd { poles, nodes: gauss_legendre(NODES), first: field, second: field }
    }

    /// What the converter sees.
    pub fn output(&self) -> Complex64 {
        self.second
    }

    /// How fast that changes, 1/s.
    pub fn slope(&self) -> Complex64 {
        (self.first - self.second) / self.poles.second
    }

    /// Lets the field of `path` act for `dt` seconds from its last event.
    ///
    /// Old states fall exactly; the field's convolution with the two exponentials is integrated by Gauss and Legendre's rule
    /// on panels as short as the field's and the kernels' rates demand.
    pub fn advance(&mut self, path: &Path<'_>, dt: f64) {
        let left = self.poles.left(dt);
        self.second = self.second * left.second + self.first * left.carried;
        self.first *= left.first;
        let mut start = (dt - MEMORY * self.poles.slowest()).max(0.0);
        while start < dt {
            let end = self.panel_end(path, start, dt);
            let (middle, half) = (0.5 * (start + end), 0.5 * (end - start));
            for &(node, weight) in &self.nodes {
                let t = middle + half * node;
                let field = path.transfer(t) * (weight * half / self.poles.first);
                let left = self.poles.left(dt - t);
                self.first += field * left.first;
                self.second += field * left.carried;
            }
            start = end;
        }
    }

    /// Where a panel that begins at `start` ends.
    fn panel_end(&self, path: &Path<'_>, start: f64, dt: f64) -> f64 {
        // Kernels that have died out by the end of the interval do not count, and begin where they count.
        let mut speed = path.speed(start);
        let mut limit = dt;
        for tau in [self.poles.first, self.poles.second] {
            let begins = dt - MEMORY * tau;
            if begins > start {
                limit = limit.min(begins);
            } else {
                speed += 1.0 / tau;
            }
        }
        let end = start + CHANGE / speed;
        // A panel that leaves next to nothing takes the rest; one too short for the clock to move ends the interval.
        if end < limit - 1e-3 * (end - start) && end > start { end } else { limit }
    }
}
