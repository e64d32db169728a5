//! Sine and cosine of angles in turns, in loops that vectorise.

use std::f64::consts::TAU;

/// Coefficients of sin(2 pi t)/t and cos(2 pi t) in powers of t^2, highest first: (2 pi)^n/n! with alternating signs.
const SINE: [f64; TERMS] = series(1);
const COSINE: [f64; TERMS] = series(0);
const TERMS: usize = 10;

const fn series(lowest: usize) -> [f64; TERMS] {
    let mut coefficients = [0.0; TERMS];
    let (mut coefficient, mut n) = (1.0, 0);
    while n < 2 * TERMS {
        if n % 2 == lowest {
            coefficients[TERMS - 1 - n / 2] = if n / 2 % 2 == 0 { coefficient } else { -coefficient };
        }
        n += 1;
        coefficient = coefficient * TAU / n as f64;
    }
    coefficients
}

/// A phasor of an angle in turns (of magnitude below 2^50) as (sine, cosine, sign), sine and cosine to be multiplied by the
/// sign, which has its highest bit set where that is -1. Without branches, so that loops over it vectorise.
///
/// The angle is reduced to a quarter of a turn either side of a whole half turn; there the Taylor series left out
/// contribute less than (pi/2)^20/20! = 3.5e-15.
#[inline(always)]
pub(crate) fn phasor(turns: f64) -> (f64, f64, u64) {
    // Adding 1.5 x 2^52 rounds to a whole number, whose lowest bit then stands in the mantissa's lowest.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    let halves = turns.mul_add(2.0, WHOLE);
    let t = (halves - WHOLE).mul_add(-0.5, turns);
    let square = t * t;
    let sum = |series: &[f64; TERMS]| series.iter().fold(0.0, |sum: f64, &c| sum.mul_add(square, c));
    (t * sum(&SINE), sum(&COSINE), halves.to_bits() << 63)
}

/// Turns a number's sign where the highest bit of `sign` is set.
#[inline(always)]
pub(crate) fn signed(value: f64, sign: u64) -> f64 {
    f64::from_bits(value.to_bits() ^ sign)
}

/// Sine and cosine of an angle in turns (of magnitude below 2^50).
#[inline(always)]
pub(crate) fn sincos_turns(turns: f64) -> (f64, f64) {
    let (sine, cosine, sign) = phasor(turns);
    (signed(sine, sign), signed(cosine, sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    #[test]
    fn sine_and_cosine_equal_the_library() {
        let mut rng = Pcg64::seed_from_u64(2);
        let eighths = (-80..=80).map(|n| f64::from(n) / 8.0);
        let random: Vec<f64> = (0..200_000).map(|_| 80.0 * rng.random::<f64>() - 40.0).collect();
        for turns in eighths.chain(random) {
            let (sine, cosine) = sincos_turns(turns);
            // (the library is given the angle without its whole turns, whose product with 2 pi would round)
            let (expected_sine, expected_cosine) = libm::sincos((turns - turns.round()) * TAU);
            assert!((sine - expected_sine).abs() < 5e-15, "{turns}: {sine} {expected_sine}");
            assert!((cosine - expected_cosine).abs() < 5e-15, "{turns}: {cosine} {expected_cosine}");
        }
    }
}
