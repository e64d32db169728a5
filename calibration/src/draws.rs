//! Random numbers for what they are used for, and standard normal ones.

use mirage_arithmetic::draw_key;
use mirage_devices::noise::{SpectralDensity, WhiteNoise};
use rand_pcg::Pcg64;

/// What draws are for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Domain {
    /// Drift while a unit is in use.
    Drift = 101,
    /// Resampling of converters.
    Converters = 102,
    /// Values of a design within what is known of them.
    Values = 103,
    /// Maps of a fitted law of variation.
    Maps = 104,
}

/// The generator for one place of a study with this seed.
pub(crate) fn generator(seed: u64, domain: Domain, at: u64) -> Pcg64 {
    Pcg64::new(draw_key(seed, domain as u64, [at, 0]), u128::from(domain as u64) << 64)
}

/// Independent standard normal numbers for sample `sample` of a design's uncertain values, without end.
pub fn value_draws(seed: u64, sample: u64) -> impl Iterator<Item = f64> {
    normals(generator(seed, Domain::Values, sample))
}

/// Independent standard normal numbers without end.
pub(crate) fn normals(rng: Pcg64) -> impl Iterator<Item = f64> {
    // White noise of density 2 at one sample a second has variance one.
    WhiteNoise::new(SpectralDensity::new(2.0), 1.0, rng)
}
