//! Random draws that depend on where in a run they are made, and on nothing that came before.

use mirage_arithmetic::draw_key;
use rand_pcg::Pcg64;

/// What draws are for; draws of different domains have nothing to do with each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Domain {
    /// At (step, number of the layer).
    Dropout = 1,
    /// At (epoch, index of the image).
    Augment = 2,
}

/// The generator for one place of the run with this seed.
pub(crate) fn generator(seed: u64, domain: Domain, at: [u64; 2]) -> Pcg64 {
    Pcg64::new(draw_key(seed, domain as u64, at), u128::from(domain as u64) << 64)
}
