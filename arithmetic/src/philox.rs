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

/// A word of each of many counters, or of each of many draws.
pub(crate) type Words = [u32; MANY];

/// A function that does what another does, compiled for the widest vectors that the processor has.
macro_rules! with_vectors {
    ($(#[$doc:meta])* $name:ident$(<const $n:ident: usize>)?($($arg:ident: $type:ty),*) as $plain:ident) => {
        $(#[$doc])*
        #[inline]
        pub(crate) fn $name$(<const $n: usize>)?($($arg: $type),*) -> [Words; 4] {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq")]
                fn avx512$(<const $n: usize>)?($($arg: $type),*) -> [Words; 4] {
                    $plain$(::<$n>)?($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2$(<const $n: usize>)?($($arg: $type),*) -> [Words; 4] {
                    $plain$(::<$n>)?($($arg),*)
                }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                    // SAFETY: the processor has these, as was just asked; the function has no other precondition.
                    return unsafe { avx512$(::<$n>)?($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { avx2$(::<$n>)?($($arg),*) };
                }
            }
            $plain$(::<$n>)?($($arg),*)
        }
    };
}

with_vectors! {
    /// [`philox`] for many counters, word by word.
    philox_many(counters: [Words; 4], key: [u32; 2]) as many
}

with_vectors! {
    /// [`philox`] for counters in a row: in the word `WORD` each is the one before plus 1. They never pass through memory, for
    /// which a single draw would have to wait.
    philox_row<const WORD: usize>(counter: [u32; 4], key: [u32; 2]) as row
}

#[inline(always)]
fn row<const WORD: usize>(counter: [u32; 4], key: [u32; 2]) -> [Words; 4] {
    let mut counters = counter.map(|word| [word; MANY]);
    for (i, word) in counters[WORD].iter_mut().enumerate() {
        *word = word.wrapping_add(i as u32);
    }
    many(counters, key)
}

/// Words stand in the low halves of 64 bits, where vectors multiply them; what is in the high halves is left there.
#[inline(always)]
fn many(counters: [Words; 4], mut key: [u32; 2]) -> [Words; 4] {
    const LOW: u64 = 0xffff_ffff;
    let mut wide = [[0u64; MANY]; 4];
    for (wide, words) in wide.iter_mut().zip(&counters) {
        for (wide, &word) in wide.iter_mut().zip(words) {
            *wide = u64::from(word);
        }
    }
    let [mut x, mut y, mut z, mut w] = wide;
    for _ in 0..10 {
        for i in 0..MANY {
            let a = u64::from(MULTIPLIERS[0]) * (x[i] & LOW);
            let b = u64::from(MULTIPLIERS[1]) * (z[i] & LOW);
            (x[i], z[i]) = (b >> 32 ^ y[i] ^ u64::from(key[0]), a >> 32 ^ w[i] ^ u64::from(key[1]));
            (y[i], w[i]) = (b, a);
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    let mut words = [[0; MANY]; 4];
    for (words, wide) in words.iter_mut().zip(&[x, y, z, w]) {
        for (word, &wide) in words.iter_mut().zip(wide) {
            *word = wide as u32;
        }
    }
    words
}

/// A uniform number in (0, 1) of 52 bits and a half, never 0 and never 1.
#[inline(always)]
pub(crate) fn uniform(high: u32, low: u32) -> f64 {
    // The whole number stands in the mantissa of 2^52 + it, an exact f64: so it is had without a conversion.
    const SHIFT: f64 = (1u64 << 52) as f64;
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 12;
    (f64::from_bits(SHIFT.to_bits() | bits) - SHIFT + 0.5) * (1.0 / SHIFT)
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
        let word = |seed: u32| -> Words {
            std::array::from_fn(|i| if i == 5 { u32::MAX } else { philox([i as u32, seed, 0, 0], [1, 2])[0] })
        };
        for seed in 0..100 {
            let counters = [word(4 * seed), word(4 * seed + 1), word(4 * seed + 2), word(4 * seed + 3)];
            let (words, plain) = (philox_many(counters, [13, u32::MAX]), many(counters, [13, u32::MAX]));
            let start = counters.map(|c| c[0]);
            let (in_row, plain_row) =
                (philox_row::<1>(start, [13, u32::MAX]), row::<1>(start, [13, u32::MAX]));
            assert_eq!(in_row, plain_row);
            for i in 0..MANY {
                let one = philox(counters.map(|c| c[i]), [13, u32::MAX]);
                assert_eq!(words.map(|w| w[i]), one);
                assert_eq!(plain.map(|w| w[i]), one);
                let next = [start[0], start[1].wrapping_add(i as u32), start[2], start[3]];
                assert_eq!(in_row.map(|w| w[i]), philox(next, [13, u32::MAX]));
            }
        }
    }

    #[test]
    fn uniforms_stay_inside() {
        assert!(uniform(0, 0) > 0.0);
        assert!(uniform(u32::MAX, u32::MAX) < 1.0);
        const STEP: f64 = f64::EPSILON / 2.0;
        assert_eq!(uniform(0, 0), STEP);
        assert_eq!(uniform(1 << 31, 0), 0.5 + STEP);
        assert_eq!(uniform(u32::MAX, u32::MAX), 1.0 - STEP);
    }
}
