use crate::{Moduli, ModuliError};

/// The special set {2^k-1, 2^k, 2^k+1} with conversions that need only shifts, adds and masks.
///
/// Forward: 2^k is 1 modulo 2^k-1 and -1 modulo 2^k+1, so digits of k bits are added, or added with alternating sign.
/// Reverse: in two steps, with x2 = x mod 2^k as the low digit and the high part found modulo (2^k-1)(2^k+1) = 4^k - 1
/// (A. Omondi and B. Premkumar, "Residue Number Systems: Theory and Implementation", Imperial College Press 2007, ch. 7).
///
/// It is the arithmetic of a converter in hardware, to count its adders and to check it against; no command uses it yet,
/// and the emulated product divides instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialSet {
    k: u32,
}

impl SpecialSet {
    /// The set for 2 <= k <= 11.
    pub fn new(k: u32) -> Result<Self, ModuliError> {
        Moduli::special(k).map(|_| Self { k })
    }

    /// The residues of a value with |value| < 2^(3k) modulo 2^k-1, 2^k and 2^k+1, by shifts and adds.
    pub fn residues(self, value: i64) -> [u32; 3] {
        let (k, n) = (self.k, 1i64 << self.k);
        let magnitude = value.abs();
        let digit = |i: u32| (magnitude >> (i * k)) & (n - 1);
        let low = fold(digit(0) + digit(1) + digit(2), n - 1);
        let high = fold(digit(0) - digit(1) + digit(2), n + 1);
        let signed = |r: i64, m: i64| if value < 0 && r != 0 { m - r } else { r };
        [signed(low, n - 1) as u32, signed(digit(0), n) as u32, signed(high, n + 1) as u32]
    }

    /// The signed value of three residues, by shifts and adds.
    pub fn signed(self, [r1, r2, r3]: [u32; 3]) -> i64 {
        let (k, n) = (self.k, 1i64 << self.k);
        let full = (n - 1) * (n + 1);
        let (r1, r2, r3) = (i64::from(r1), i64::from(r2), i64::from(r3));
        // y = x mod (4^k - 1): y = r3 + (2^k+1) h with (2^k+1) = 2 modulo 2^k-1, so h is half of r1 - r3 there.
        let h = halve(fold(r1 - r3, n - 1), n - 1);
        let y = r3 + (h << k) + h;
        // x = r2 + 2^k z, and 2^k is its own inverse modulo 4^k - 1.
        let z = fold((fold(y - r2, full)) << k, full);
        let x = r2 + (z << k);
        let product = full << k;
        if x > (product - 1) / 2 { x - product } else { x }
    }
}

/// Half of `r` modulo an odd `m`: a rotation by one bit when m = 2^k - 1.
fn halve(r: i64, m: i64) -> i64 {
    if r & 1 == 0 { r >> 1 } else { (r + m) >> 1 }
}

/// Reduces modulo 2^j - 1 or 2^k + 1 by adding the high digits to the low ones.
fn fold(value: i64, m: i64) -> i64 {
    if (m + 1) & m == 0 {
        let bits = m.trailing_ones();
        let mut v = value;
        while v > m {
            v = (v & m) + (v >> bits);
        }
        while v < 0 {
            v += m;
        }
        if v == m { 0 } else { v }
    } else {
        let mut v = value;
        while v >= m {
            v -= m;
        }
        while v < 0 {
            v += m;
        }
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_and_adds_equal_division_everywhere() {
        for k in [2, 3, 4, 5] {
            let (special, general) = (SpecialSet::new(k).unwrap(), Moduli::special(k).unwrap());
            for v in -general.psi()..=general.psi() {
                let r = special.residues(v);
                assert_eq!(r.to_vec(), general.residues(v), "k = {k}, v = {v}");
                assert_eq!(special.signed(r), v, "k = {k}, v = {v}");
            }
        }
    }

    #[test]
    fn larger_k_agree_on_a_stride() {
        for k in [6, 8, 11] {
            let (special, general) = (SpecialSet::new(k).unwrap(), Moduli::special(k).unwrap());
            let step = (general.psi() / 5000).max(1) as usize;
            for v in (-general.psi()..=general.psi()).step_by(step) {
                let r = special.residues(v);
                assert_eq!(r.to_vec(), general.residues(v));
                assert_eq!(special.signed(r), v);
            }
        }
        assert!(SpecialSet::new(1).is_err() && SpecialSet::new(12).is_err());
    }
}
