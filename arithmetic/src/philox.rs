//! Philox 4x32-10, a counter-based generator (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011, section 4.3): the draw at any counter is had without drawing the ones before.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words for a counter and a key.
#[inline]
pub(crate) fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let b = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// Counters that are drawn at once.
pub(crate) const MANY: usize = 8;

/// [`philox`] for counters that differ in word 1 only: `counter[1]` and those that follow it.
#[inline]
pub(crate) fn philox_many(counter: [u32; 4], key: [u32; 2]) -> [[u32; MANY]; 4] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as was just asked; the function has no other precondition.
        return unsafe { many_avx2(counter, key) };
    }
    many(counter, key)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn many_avx2(counter: [u32; 4], key: [u32; 2]) -> [[u32; MANY]; 4] {
    many(counter, key)
}

#[inline(always)]
fn many(counter: [u32; 4], mut key: [u32; 2]) -> [[u32; MANY]; 4] {
    let [mut x, mut y, mut z, mut w] =
        [[counter[0]; MANY], [counter[1]; MANY], [counter[2]; MANY], [counter[3]; MANY]];
    for (i, y) in y.iter_mut().enumerate() {
        *y = y.wrapping_add(i as u32);
    }
    for _ in 0..10 {
        for i in 0..MANY {
            let a = u64::from(MULTIPLIERS[0]) * u64::from(x[i]);
            let b = u64::from(MULTIPLIERS[1]) * u64::from(z[i]);
            (x[i], y[i], z[i], w[i]) =
                ((b >> 32) as u32 ^ y[i] ^ key[0], b as u32, (a >> 32) as u32 ^ w[i] ^ key[1], a as u32);
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    [x, y, z, w]
}

/// A uniform number in (0, 1) of 52 bits and a half, never 0 and never 1.
#[inline]
pub(crate) fn uniform(high: u32, low: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 12;
    (bits as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (file kat_vectors) for philox4x32-10.
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn many_draws_are_those_of_each() {
        for counter in [[3, 5, 7, 11], [u32::MAX, u32::MAX - 2, 1 << 31, 0]] {
            let (words, plain) = (philox_many(counter, [13, 17]), many(counter, [13, 17]));
            for i in 0..MANY {
                let one =
                    philox([counter[0], counter[1].wrapping_add(i as u32), counter[2], counter[3]], [13, 17]);
                assert_eq!(words.map(|w| w[i]), one);
                assert_eq!(plain.map(|w| w[i]), one);
            }
        }
    }

    #[test]
    fn uniforms_stay_inside() {
        assert!(uniform(0, 0) > 0.0);
        assert!(uniform(u32::MAX, u32::MAX) < 1.0);
    }
}
