//! Random generators that depend on what they are for and where they are used, and on nothing that came before.

use mirage_arithmetic::draw_key;
use rand_pcg::Pcg64;

/// What draws are for; draws of different domains have nothing to do with each other, whatever their seeds and places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    /// Errors and operands of chips that are looked at one by one, at (chip, 0).
    Chips = 1,
    /// A chip of many units, at (chip, unit), what all units share at (chip, 2^64 - 1).
    Rows = 2,
    /// Noise of a read, at (source, element).
    Noise = 3,
    /// Samples behind the bounds of a channel, at (modulus, 0).
    Bounds = 4,
    /// Resampling of sensitivity indices, at (0, 0).
    Sobol = 5,
    /// Choice of operand vectors, at (modulus, 0).
    Vectors = 6,
    /// Groups of operands of importance sampling, at (modulus, 0).
    Groups = 7,
    /// Draws of importance sampling, at (batch, 0).
    Importance = 8,
    /// Chips and symbols in time, at (chip, 0).
    Streams = 9,
    /// The symbols of a picture, at (modulus, 0).
    Portrait = 10,
    /// The own error of a code of a sampled DAC, at (code, 0) of the DAC's key.
    DacCodes = 11,
    /// Noise of reads while a unit is trimmed, and what drifts since, at (repeat 2^32 + chip, MDPU).
    Lab = 12,
}

/// The generator for one place of a study with this seed.
pub(crate) fn generator(seed: u64, domain: Domain, at: [u64; 2]) -> Pcg64 {
    Pcg64::new(draw_key(seed, domain as u64, at), u128::from(domain as u64) << 64)
}
