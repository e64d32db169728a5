//! Random draws that depend on where in a run they are made, and on nothing that came before.

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
    let mut key = mix(seed);
    for word in [domain as u64, at[0], at[1]] {
        key = mix(key ^ mix(word));
    }
    Pcg64::new(u128::from(key) << 64 | u128::from(mix(key)), u128::from(domain as u64) << 64)
}

/// SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): the next output after state `x`.
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

    /// The published outputs of SplitMix64 for the seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64").
    #[test]
    fn the_mixer_is_splitmix64() {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let outputs = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (i, want) in (0..).zip(outputs) {
            assert_eq!(mix(step.wrapping_mul(i).wrapping_add(1_234_567)), want);
        }
    }

    #[test]
    fn every_place_has_draws_of_its_own() {
        let first = |seed, domain, at| generator(seed, domain, at).next_u64();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..4 {
            for (a, b) in (0..20).flat_map(|a| (0..20).map(move |b| (a, b))) {
                seen.insert(first(seed, Domain::Dropout, [a, b]));
                seen.insert(first(seed, Domain::Augment, [a, b]));
            }
        }
        assert_eq!(seen.len(), 2 * 4 * 400);
        assert_eq!(first(1, Domain::Augment, [2, 3]), first(1, Domain::Augment, [2, 3]));
    }
}
