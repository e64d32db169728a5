//! Keys of random generators that depend on where their draws are used, and on nothing that came before.

/// The state of a generator for draws of `domain` at the place `at` of a run with this seed: keys of different domains, places or
/// seeds have nothing to do with each other.
pub fn draw_key(seed: u64, domain: u64, at: [u64; 2]) -> u128 {
    // (twice, so that seed and domain cannot change places)
    let mut key = mix(mix(seed));
    for word in [domain, at[0], at[1]] {
        key = mix(key ^ mix(word));
    }
    u128::from(key) << 64 | u128::from(mix(key))
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
    fn every_place_has_a_key_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for (seed, domain) in (0..4).flat_map(|seed| (0..4).map(move |domain| (seed, domain))) {
            for (a, b) in (0..20).flat_map(|a| (0..20).map(move |b| (a, b))) {
                seen.insert(draw_key(seed, domain, [a, b]));
            }
        }
        assert_eq!(seen.len(), 4 * 4 * 400);
        assert_eq!(draw_key(1, 2, [2, 3]), draw_key(1, 2, [2, 3]));
    }
}
