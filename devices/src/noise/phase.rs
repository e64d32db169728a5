//! Noise that is not white where it acts: laser phase over a delay, and jitter over a slope.

use std::f64::consts::PI;

/// Variance, rad^2, of the phase difference of a laser against itself `delay` seconds later, behind a one-pole filter of
/// 3 dB bandwidth `bandwidth` Hz (infinite = none).
///
/// A Lorentzian line of full width `linewidth` Hz is white frequency noise: the phase performs a random walk with
/// variance 2 pi linewidth t (Agrawal, *Fiber-Optic Communication Systems*, 4th ed., eq. 10.4.3). Filtering the
/// difference with the impulse response w e^{-w t}, w = 2 pi bandwidth, leaves
/// 2 pi linewidth (T - (1 - e^{-w T})/w): all of it for delays far above 1/w, pi linewidth w T^2 for short ones, since
/// the difference then fluctuates faster than the detector follows.
pub fn phase_difference_variance(linewidth: f64, delay: f64, bandwidth: f64) -> f64 {
    let rate = 2.0 * PI * bandwidth;
    let lost = if rate.is_finite() { -(-rate * delay).exp_m1() / rate } else { 0.0 };
    (2.0 * PI * linewidth * (delay - lost)).max(0.0)
}

/// Variance of a sample taken with a timing error of `jitter` seconds rms on a signal whose slope has the mean square
/// `slope_square` (units^2/s^2): slope^2 jitter^2 (Walden, "Analog-to-digital converter survey and analysis", 1999).
pub fn jitter_variance(slope_square: f64, jitter: f64) -> f64 {
    slope_square * jitter * jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filtered_phase_difference_is_the_integral_of_its_spectrum() {
        // Frequency noise of one-sided density linewidth/pi: S = 4 sin^2(pi f T) linewidth / (pi f^2), times |H|^2.
        for (delay, bandwidth) in [(2e-12, 10e9), (50e-12, 10e9), (1e-9, 2e9)] {
            let linewidth = 1e6;
            let (steps, top) = (4_000_000, 400.0 / delay);
            let h = top / steps as f64;
            let term = |k: usize| {
                let f = (k as f64 + 0.5) * h;
                let s = 4.0 * (PI * f * delay).sin().powi(2) * linewidth / (PI * f * f);
                s / (1.0 + (f / bandwidth).powi(2)) * h
            };
            let integral: f64 = (0..steps).map(term).sum();
            let found = phase_difference_variance(linewidth, delay, bandwidth);
            assert!((found / integral - 1.0).abs() < 2e-3, "{delay} {bandwidth}: {found:e} {integral:e}");
        }
    }

    #[test]
    fn limits_are_the_textbook_ones() {
        let unfiltered = phase_difference_variance(1e6, 2e-12, f64::INFINITY);
        assert!((unfiltered - 2.0 * PI * 1e6 * 2e-12).abs() < 1e-18);
        let short = phase_difference_variance(1e6, 1e-15, 1e9);
        assert!((short / (2.0 * PI * PI * 1e6 * 1e9 * 1e-30) - 1.0).abs() < 1e-4);
        assert_eq!(phase_difference_variance(1e6, 0.0, 1e9), 0.0);
        // A full-scale sine of 5 GHz sampled with 100 fs: SNR -20 log10(2 pi f sigma) = 50.06 dB.
        let slope_square = 0.5 * (2.0 * PI * 5e9f64).powi(2);
        let snr = -10.0 * (jitter_variance(slope_square, 100e-15) / 0.5).log10();
        assert!((snr - 50.06).abs() < 0.01, "{snr}");
    }
}
