//! Tabulated scattering matrices: interpolation, reciprocity, passivity.

use nalgebra::{DMatrix, SVD};
use num_complex::Complex64;
use std::f64::consts::{PI, TAU};

/// Ports that a tabulated component can have.
pub(crate) const MAX_PORTS: usize = 64;

/// Steps that a singular value decomposition may take; a few for each port are usual.
const ITERATIONS: usize = 10_000;

/// Scattering parameters over frequency, S indexed (out, in), e^{-i omega t}.
///
/// Between the points of the table magnitude and *unwrapped* phase are interpolated linearly in frequency: interpolating the
/// complex number would cut across the circle and invent dips. Outside the table there is no value.
#[derive(Debug, Clone, PartialEq)]
pub struct SParameters {
    ports: Vec<String>,
    frequencies: Vec<f64>,
    /// Magnitude and unwrapped phase of pair (out, in) at point k: index `(out * ports + in) * points + k`.
    magnitude: Vec<f64>,
    phase: Vec<f64>,
}

/// How far a table is from reciprocity: the largest |S_ij - S_ji|.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reciprocity {
    /// max |S(i, j) - S(j, i)|.
    pub deviation: f64,
    /// Index of the one port.
    pub first: usize,
    /// Index of the other port.
    pub second: usize,
    /// Where, Hz.
    pub frequency: f64,
}

/// The largest singular value of a table: above one the component would emit more than it receives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Passivity {
    /// Largest singular value over all frequencies.
    pub singular_value: f64,
    /// Where, Hz.
    pub frequency: f64,
}

impl SParameters {
    /// A table from polar values: `polar[(out * n + in) * points + k]` is (magnitude, phase in rad) at `frequencies[k]` in Hz.
    ///
    /// # Errors
    /// No port or more than 64, repeated port names, fewer than one point, frequencies that are not positive and strictly
    /// rising, lengths that do not fit, negative magnitudes, values that are not finite or whose squares would not be.
    pub fn from_polar(
        ports: Vec<String>,
        frequencies: Vec<f64>,
        polar: &[(f64, f64)],
    ) -> Result<Self, String> {
        let (n, points) = (ports.len(), frequencies.len());
        if n == 0 || n > MAX_PORTS {
            return Err(format!("{n} ports; a table has 1 to {MAX_PORTS}"));
        }
        if let Some(twice) = ports.iter().enumerate().find(|(i, p)| ports[..*i].contains(p)) {
            return Err(format!("two ports are called `{}`", twice.1));
        }
        let rising = frequencies.windows(2).all(|pair| pair[0] < pair[1]);
        if points == 0 || !rising || !frequencies.iter().all(|f| f.is_finite() && *f > 0.0) {
            return Err("frequencies must be positive and strictly rising".into());
        }
        if polar.len() != n * n * points {
            return Err(format!("{} values for {n} x {n} pairs at {points} frequencies", polar.len()));
        }
        if let Some(bad) = polar.iter().find(|(r, a)| !((0.0..1e100).contains(r) && a.is_finite())) {
            return Err(format!(
                "magnitude {} and phase {} rad: magnitudes lie in 0 to 1e100, phases are finite",
                bad.0, bad.1
            ));
        }
        let magnitude = polar.iter().map(|value| value.0).collect();
        let mut phase: Vec<f64> = polar.iter().map(|value| value.1).collect();
        phase.chunks_mut(points).for_each(unwrap_phase);
        Ok(SParameters { ports, frequencies, magnitude, phase })
    }

    /// A table from complex values in the same order; see [`SParameters::from_polar`].
    ///
    /// # Errors
    /// As for [`SParameters::from_polar`].
    pub fn from_complex(
        ports: Vec<String>,
        frequencies: Vec<f64>,
        values: &[Complex64],
    ) -> Result<Self, String> {
        let polar: Vec<(f64, f64)> = values.iter().map(|s| s.to_polar()).collect();
        Self::from_polar(ports, frequencies, &polar)
    }

    /// Names of the ports.
    pub fn ports(&self) -> &[String] {
        &self.ports
    }

    /// Frequencies, Hz, strictly rising.
    pub fn frequencies(&self) -> &[f64] {
        &self.frequencies
    }

    /// Lowest and highest frequency, Hz.
    pub fn range(&self) -> (f64, f64) {
        (self.frequencies[0], self.frequencies[self.frequencies.len() - 1])
    }

    /// S(out, in) at point `k` of the table.
    ///
    /// # Panics
    /// When an index is out of bounds.
    pub fn value(&self, out: usize, input: usize, k: usize) -> Complex64 {
        let at = (out * self.ports.len() + input) * self.frequencies.len() + k;
        Complex64::from_polar(self.magnitude[at], self.phase[at])
    }

    /// The matrix at point `k` of the table.
    pub(crate) fn matrix(&self, k: usize) -> DMatrix<Complex64> {
        let n = self.ports.len();
        DMatrix::from_fn(n, n, |out, input| self.value(out, input, k))
    }

    /// The matrix at a frequency in Hz; `None` outside the table.
    pub fn at(&self, frequency: f64) -> Option<DMatrix<Complex64>> {
        let (k, share) = self.locate(frequency)?;
        let (n, points) = (self.ports.len(), self.frequencies.len());
        Some(DMatrix::from_fn(n, n, |out, input| {
            let at = (out * n + input) * points + k;
            let between = |v: &[f64]| if share == 0.0 { v[at] } else { v[at] + share * (v[at + 1] - v[at]) };
            Complex64::from_polar(between(&self.magnitude), between(&self.phase))
        }))
    }

    /// Point and share of the way to the next one.
    fn locate(&self, frequency: f64) -> Option<(usize, f64)> {
        let (low, high) = self.range();
        // A wavelength that was given as the table's own end may come back one rounding error outside.
        let slack = 1e-12 * high;
        if !(low - slack..=high + slack).contains(&frequency) {
            return None;
        }
        let above = self.frequencies.partition_point(|f| *f <= frequency);
        let k = above.saturating_sub(1);
        let Some(next) = self.frequencies.get(k + 1) else { return Some((k, 0.0)) };
        let here = self.frequencies[k];
        Some((k, ((frequency - here) / (next - here)).clamp(0.0, 1.0)))
    }

    /// Whether (out, in) differs from zero anywhere.
    pub(crate) fn couples(&self, out: usize, input: usize) -> bool {
        let points = self.frequencies.len();
        let start = (out * self.ports.len() + input) * points;
        self.magnitude[start..start + points].iter().any(|m| *m != 0.0)
    }

    /// The largest deviation from reciprocity.
    pub fn reciprocity(&self) -> Reciprocity {
        let n = self.ports.len();
        let mut worst = Reciprocity { deviation: 0.0, first: 0, second: 0, frequency: self.frequencies[0] };
        for first in 0..n {
            for second in first + 1..n {
                for (k, &frequency) in self.frequencies.iter().enumerate() {
                    let deviation = (self.value(first, second, k) - self.value(second, first, k)).norm();
                    if deviation > worst.deviation {
                        worst = Reciprocity { deviation, first, second, frequency };
                    }
                }
            }
        }
        worst
    }

    /// The largest singular value over frequency.
    pub fn passivity(&self) -> Passivity {
        let mut worst = Passivity { singular_value: 0.0, frequency: self.frequencies[0] };
        for (k, &frequency) in self.frequencies.iter().enumerate() {
            let singular_value = largest_singular_value(&self.matrix(k));
            if singular_value > worst.singular_value {
                worst = Passivity { singular_value, frequency };
            }
        }
        worst
    }

    /// The nearest table in which no singular value at a point exceeds one.
    pub fn enforced(&self) -> SParameters {
        let (n, points) = (self.ports.len(), self.frequencies.len());
        let mut enforced = self.clone();
        for k in 0..points {
            let before = self.matrix(k);
            let after = enforce_passivity(&before);
            if after == before {
                continue;
            }
            for (out, input) in (0..n).flat_map(|out| (0..n).map(move |input| (out, input))) {
                let at = (out * n + input) * points + k;
                (enforced.magnitude[at], enforced.phase[at]) = after[(out, input)].to_polar();
            }
        }
        enforced.phase.chunks_mut(points).for_each(unwrap_phase);
        enforced
    }
}

/// The largest singular value of a scattering matrix: the amplitude gain of the worst combination of inputs.
pub(crate) fn largest_singular_value(s: &DMatrix<Complex64>) -> f64 {
    let parts = SVD::try_new_unordered(s.clone(), false, false, f64::EPSILON, ITERATIONS);
    // The norm is an upper bound, for a matrix on which the iteration does not end.
    parts.map_or(s.norm(), |parts| parts.singular_values.iter().fold(0.0, |a, b| a.max(*b)))
}

/// Sets singular values above one to one: the nearest passive matrix in the spectral and the Frobenius norm.
pub(crate) fn enforce_passivity(s: &DMatrix<Complex64>) -> DMatrix<Complex64> {
    if largest_singular_value(s) <= 1.0 {
        return s.clone();
    }
    let parts = SVD::try_new_unordered(s.clone(), true, true, f64::EPSILON, ITERATIONS);
    let limited = parts.and_then(|mut parts| {
        parts.singular_values.iter_mut().for_each(|value| *value = value.min(1.0));
        parts.recompose().ok()
    });
    limited.unwrap_or_else(|| s / Complex64::from(s.norm()))
}

/// Adds whole turns so that neighbours differ by at most half a turn.
fn unwrap_phase(phase: &mut [f64]) {
    for k in 1..phase.len() {
        let step = phase[k] - phase[k - 1];
        if step.abs() > PI {
            phase[k] -= (step / TAU).round() * TAU;
        }
    }
}
