/// A divisor whose quotients and remainders are had by multiplication (P. Barrett, "Implementing the Rivest Shamir and Adleman
/// public key encryption algorithm on a standard digital signal processor", CRYPTO '86).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Divisor {
    divisor: u64,
    /// floor((2^64 - 1) / divisor).
    inverse: u64,
    /// The least multiple of the divisor that makes every i32 positive.
    above: u64,
}

impl Divisor {
    /// For a divisor from 1 to 2^62.
    pub fn new(divisor: u64) -> Self {
        Self { divisor, inverse: u64::MAX / divisor, above: (1u64 << 31).next_multiple_of(divisor) }
    }

    /// Quotient and remainder. The inverse lies below 2^64 / divisor by 1 at most, so that the product lies below the quotient by
    /// less than 1: its whole part is right, or one too small.
    #[inline]
    pub fn divide(self, x: u64) -> (u64, u64) {
        let quotient = ((u128::from(x) * u128::from(self.inverse)) >> 64) as u64;
        let rest = x - quotient * self.divisor;
        if rest >= self.divisor { (quotient + 1, rest - self.divisor) } else { (quotient, rest) }
    }

    /// x modulo the divisor.
    #[inline]
    pub fn remainder(self, x: u64) -> u64 {
        self.divide(x).1
    }

    /// The residue of a signed number; negatives wrap.
    #[inline]
    pub fn residue(self, value: i32) -> u64 {
        self.remainder((self.above as i64 + i64::from(value)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_those_of_division() {
        for divisor in [1, 2, 3, 31, 33, 4095, 4096, 32736, (1 << 61) - 1, 1 << 62] {
            let by = Divisor::new(divisor);
            let near = |x: u64| (0..3).flat_map(move |i| [x.wrapping_add(i), x.wrapping_sub(i)]);
            let last = u64::MAX / divisor * divisor;
            let of = [0, divisor, 7 * (divisor >> 3), u64::MAX, last, 1 << 32, 0x1234_5678_9abc_def0];
            for x in of.into_iter().flat_map(near) {
                assert_eq!(by.divide(x), (x / divisor, x % divisor), "{x} by {divisor}");
            }
            for value in [i32::MIN, i32::MIN + 1, -32737, -31, -1, 0, 1, 33, i32::MAX] {
                let residue = i128::from(value).rem_euclid(divisor.into());
                assert_eq!(i128::from(by.residue(value)), residue, "{value} by {divisor}");
            }
        }
    }
}
