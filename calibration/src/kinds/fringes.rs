//! Where to start: the period and place of a pattern that repeats over frequency.

use super::trace::{Envelope, Trace, polynomial};
use mirage_devices::LIGHT_SPEED;
use num_complex::Complex64;

/// Zeros behind the data, as a multiple of them.
const PADDING: usize = 8;

/// A candidate of the group index, with the wavelength (m) nearest to the middle of the band at which the pattern has a
/// maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fringe {
    pub group_index: f64,
    pub maximum: f64,
}

/// Candidates, best first: peaks of the spectrum (Hann window) of a pattern over frequency, where light of group index n takes
/// a detour of `length` m; the pattern is given at wavelengths in m. With more than one harmonic their magnitudes are summed, as a comb has them.
pub(super) fn fringes(
    wavelengths: &[f64],
    pattern: &[f64],
    length: f64,
    indices: (f64, f64),
    harmonics: usize,
    count: usize,
) -> Vec<Fringe> {
    let n = pattern.len();
    // Evenly over frequency.
    let hertz = |w: f64| LIGHT_SPEED / w;
    let (low, high) = (hertz(wavelengths[n - 1]), hertz(wavelengths[0]));
    let step = (high - low) / (n - 1) as f64;
    let mean = pattern.iter().sum::<f64>() / n as f64;
    let mut data: Vec<Complex64> = (0..n)
        .map(|i| {
            let wavelength = LIGHT_SPEED / (low + step * i as f64);
            let window = 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / (n - 1) as f64).cos();
            (window * (linear(wavelengths, pattern, wavelength) - mean)).into()
        })
        .collect();
    let size = (n * PADDING).next_power_of_two();
    data.resize(size, Complex64::ZERO);
    rustfft::FftPlanner::new().plan_fft_forward(size).process(&mut data);
    // One bin is so much of the group index.
    let bin = LIGHT_SPEED / (size as f64 * step * length);
    let score = |k: usize| -> f64 {
        (1..=harmonics).filter(|h| k * h < size / 2).map(|h| data[k * h].norm()).sum::<f64>()
    };
    let (first, last) = ((indices.0 / bin).ceil() as usize, (indices.1 / bin).floor() as usize);
    let last = last.min(size / 2 - 1);
    let mut peaks: Vec<(f64, usize)> = (first.max(1)..=last)
        .map(|k| (score(k), k))
        .filter(|(s, k)| *s >= score(k - 1) && *s >= score(k + 1))
        .collect();
    peaks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let middle = 0.5 * (low + high);
    let fringe = |(_, k): &(f64, usize)| {
        let delay = *k as f64 / (size as f64 * step);
        // cos(2 pi delay (f - low) + arg) is largest where its phase is a multiple of a turn.
        let turns = delay * (middle - low) + data[*k].arg() / std::f64::consts::TAU;
        let at = middle - (turns - turns.round()) / delay;
        Fringe { group_index: *k as f64 * bin, maximum: LIGHT_SPEED / at }
    };
    peaks.iter().take(count).map(fringe).collect()
}

/// Transmission below the upper edge of a trace, between 0 and 1.5.
pub(super) fn transmission(trace: &Trace) -> Vec<f64> {
    let envelope = Envelope::new(6, trace.band());
    let edge = envelope.start(&trace.wavelengths, &trace.dbm, true);
    let basis = envelope.basis(&trace.wavelengths);
    let share = |(row, dbm): (&[f64], &f64)| 10f64.powf((dbm - polynomial(row, &edge)) / 10.0).min(1.5);
    basis.chunks_exact(envelope.degree + 1).zip(&trace.dbm).map(share).collect()
}

/// Linear between points; the ends beyond them.
fn linear(x: &[f64], y: &[f64], at: f64) -> f64 {
    let right = x.partition_point(|v| *v < at).clamp(1, x.len() - 1);
    let share = ((at - x[right - 1]) / (x[right] - x[right - 1])).clamp(0.0, 1.0);
    y[right - 1] + share * (y[right] - y[right - 1])
}
