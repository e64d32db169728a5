//! Random generators that depend on what they are for and where they are used, and on nothing that came before.

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
}

/// The generator for one place of a study with this seed.
pub(crate) fn generator(seed: u64, domain: Domain, at: [u64; 2]) -> Pcg64 {
    let mut key = mix(seed);
    for word in [domain as u64, at[0], at[1]] {
        key = mix(key ^ mix(word));
    }
    Pcg64::new(u128::from(key) << 64 | u128::from(mix(key)), u128::from(domain as u64) << 64)
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the next output after state `x`.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn every_place_has_draws_of_its_own() {
        let domains = [Domain::Chips, Domain::Rows, Domain::Noise, Domain::Importance, Domain::Streams];
        let mut seen = std::collections::BTreeSet::new();
        for (seed, domain) in (0..4).flat_map(|seed| domains.map(|domain| (seed, domain))) {
            for (a, b) in (0..20).flat_map(|a| (0..20).map(move |b| (a, b))) {
                seen.insert(generator(seed, domain, [a, b]).next_u64());
            }
        }
        assert_eq!(seen.len(), 4 * domains.len() * 400);
        let first = |at| generator(3, Domain::Rows, at).next_u64();
        assert_eq!(first([2, 3]), first([2, 3]));
    }
}
