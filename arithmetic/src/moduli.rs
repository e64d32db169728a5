use thiserror::Error;

use crate::divisor::Divisor;

/// Why a set of moduli cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum ModuliError {
    #[error("a residue number system needs at least one modulus")]
    Empty,
    #[error("the modulus {0} is out of range: use 2 to {max}", max = Moduli::LARGEST)]
    OutOfRange(u32),
    #[error("the moduli {0} and {1} share the factor {2}: they must be pairwise coprime")]
    NotCoprime(u32, u32, u32),
    #[error("the product of the moduli exceeds 2^62: use fewer or smaller ones")]
    TooLarge,
    #[error(
        "the range of the moduli reaches ±{psi}, but a dot product of {group} mantissas of {bits} bits reaches ±{bound}: \
         use larger moduli, a smaller group or fewer mantissa bits"
    )]
    RangeTooSmall { psi: i64, group: usize, bits: u8, bound: i64 },
    #[error(
        "the redundant modulus {redundant} is smaller than {information}: it would weaken the code's distance"
    )]
    WeakRedundancy { redundant: u32, information: u32 },
    #[error(
        "legal values up to ±{bound} do not fit the range ±{psi} of the information moduli: use larger moduli"
    )]
    Legal { bound: i64, psi: i64 },
    #[error("{unit} is no unit modulo {modulus}: they share the factor {factor}")]
    NotAUnit { unit: u32, modulus: u32, factor: u32 },
    #[error("{given} values were given for {expected} moduli")]
    WrongCount { given: usize, expected: usize },
    #[error(
        "no slip code detects slips of up to {depth} levels for |dot product| up to {usual} with these moduli"
    )]
    NoSlipCode { depth: u32, usual: i64 },
}

/// A set of pairwise coprime moduli: a residue number system with signed range -psi..=psi (and -psi-1 when M is even).
///
/// Values are rebuilt by the Chinese remainder theorem, A = sum a_i (M_i T_i) mod M with M_i = M/m_i and T_i the inverse
/// of M_i modulo m_i, minus M when above psi = floor((M-1)/2)
/// (Demirkiran et al., "A blueprint for precise and fault-tolerant analog neural networks", Nature Communications 2024, Methods).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moduli {
    moduli: Vec<u32>,
    weights: Vec<u64>,
    product: u64,
    /// Weights modulo M, where sums of residues times these fit 64 bits.
    small: Option<Vec<u64>>,
    by_product: Divisor,
    by_modulus: Vec<Divisor>,
}

impl Moduli {
    /// The largest modulus taken.
    pub const LARGEST: u32 = 1 << 12;

    /// Checks the set and computes its CRT weights.
    pub fn new(moduli: &[u32]) -> Result<Self, ModuliError> {
        if moduli.is_empty() {
            return Err(ModuliError::Empty);
        }
        let mut product = 1u64;
        for (i, &m) in moduli.iter().enumerate() {
            if !(2..=Self::LARGEST).contains(&m) {
                return Err(ModuliError::OutOfRange(m));
            }
            for &other in &moduli[..i] {
                let factor = gcd(m, other);
                if factor != 1 {
                    return Err(ModuliError::NotCoprime(other, m, factor));
                }
            }
            product =
                product.checked_mul(u64::from(m)).filter(|p| *p <= 1 << 62).ok_or(ModuliError::TooLarge)?;
        }
        let weight = |&m: &u32| {
            let rest = product / u64::from(m);
            let inverse = inverse((rest % u64::from(m)) as u32, m).expect("coprime moduli have inverses");
            rest * u64::from(inverse)
        };
        let weights: Vec<u64> = moduli.iter().map(weight).collect();
        let sum: u128 = moduli.iter().map(|&m| u128::from(m) * u128::from(product)).sum();
        let small = u64::try_from(sum).ok().map(|_| weights.iter().map(|w| w % product).collect());
        let by_modulus = moduli.iter().map(|&m| Divisor::new(m.into())).collect();
        let by_product = Divisor::new(product);
        Ok(Self { weights, moduli: moduli.to_vec(), product, small, by_product, by_modulus })
    }

    /// {2^k-1, 2^k, 2^k+1}; see [`crate::SpecialSet`] for the shift-and-add forms.
    pub fn special(k: u32) -> Result<Self, ModuliError> {
        if !(2..12).contains(&k) {
            return Err(ModuliError::OutOfRange(1u32.checked_shl(k).unwrap_or(u32::MAX)));
        }
        let n = 1 << k;
        Self::new(&[n - 1, n, n + 1])
    }

    /// The set {31, 32, 33} of Mirage, with range ±16367.
    pub fn mirage() -> Self {
        Self::special(5).expect("31, 32 and 33 are pairwise coprime")
    }

    /// The moduli in their given order.
    pub fn as_slice(&self) -> &[u32] {
        &self.moduli
    }

    /// How many moduli there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.moduli.len()
    }

    /// M, the product of the moduli.
    pub fn product(&self) -> u64 {
        self.product
    }

    /// CRT weights M_i T_i, each below M times m_i.
    pub fn weights(&self) -> &[u64] {
        &self.weights
    }

    /// floor((M-1)/2), the largest value of the symmetric signed range.
    pub fn psi(&self) -> i64 {
        ((self.product - 1) / 2) as i64
    }

    /// The residue of a signed value for the modulus at `index`; negatives wrap.
    pub fn residue(&self, value: i64, index: usize) -> u32 {
        match i32::try_from(value) {
            Ok(value) => self.by_modulus[index].residue(value) as u32,
            Err(_) => value.rem_euclid(i64::from(self.moduli[index])) as u32,
        }
    }

    /// All residues of a signed value.
    pub fn residues(&self, value: i64) -> Vec<u32> {
        (0..self.len()).map(|i| self.residue(value, i)).collect()
    }

    /// The signed value of residues (one for each modulus, each below it).
    pub fn signed(&self, residues: &[u32]) -> i64 {
        debug_assert_eq!(residues.len(), self.len());
        if let Some(weights) = &self.small {
            let sum = residues.iter().zip(weights).fold(0, |s, (&r, &w)| s + u64::from(r) * w);
            return self.wrap(self.by_product.remainder(sum));
        }
        let sum =
            residues.iter().zip(&self.weights).fold(0u128, |s, (&r, &w)| s + u128::from(r) * u128::from(w));
        self.wrap((sum % u128::from(self.product)) as u64)
    }

    /// What a change by `delta` of the residue at `index` adds to the value, in the signed range.
    pub fn shift_of(&self, index: usize, delta: i64) -> i64 {
        let delta = self.residue(delta, index);
        let shift = match &self.small {
            Some(weights) => self.by_product.remainder(u64::from(delta) * weights[index]),
            None => (u128::from(delta) * u128::from(self.weights[index]) % u128::from(self.product)) as u64,
        };
        self.wrap(shift)
    }

    /// Adds two values in the signed range modulo M.
    pub fn add(&self, a: i64, b: i64) -> i64 {
        self.wrap((a + b).rem_euclid(self.product as i64) as u64)
    }

    fn wrap(&self, value: u64) -> i64 {
        if value as i64 > self.psi() { value as i64 - self.product as i64 } else { value as i64 }
    }
}

/// Greatest common divisor.
pub(crate) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The inverse of `a` modulo `m`, if there is one.
pub(crate) fn inverse(a: u32, m: u32) -> Option<u32> {
    let (mut r0, mut r1) = (i64::from(m), i64::from(a % m));
    let (mut t0, mut t1) = (0i64, 1i64);
    while r1 != 0 {
        let q = r0 / r1;
        (r0, r1) = (r1, r0 - q * r1);
        (t0, t1) = (t1, t0 - q * t1);
    }
    (r0 == 1).then(|| t0.rem_euclid(i64::from(m)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mirage_set_has_the_known_constants() {
        let m = Moduli::mirage();
        assert_eq!(m.product(), 32736);
        assert_eq!(m.psi(), 16367);
        assert_eq!(m.weights().iter().map(|w| w % m.product()).collect::<Vec<_>>(), [16896, 31713, 16864]);
    }

    #[test]
    fn every_value_of_the_mirage_range_survives() {
        let m = Moduli::mirage();
        for v in -m.psi()..=m.psi() {
            assert_eq!(m.signed(&m.residues(v)), v);
        }
    }

    #[test]
    fn bad_sets_are_refused() {
        assert_eq!(Moduli::new(&[]), Err(ModuliError::Empty));
        assert_eq!(Moduli::new(&[31, 1]), Err(ModuliError::OutOfRange(1)));
        assert_eq!(Moduli::new(&[30, 32]), Err(ModuliError::NotCoprime(30, 32, 2)));
        assert!(Moduli::new(&[4093, 4091, 4079, 4073, 4057, 4051]).is_err());
    }

    #[test]
    fn single_slips_move_the_value_as_published_in_the_notes() {
        let m = Moduli::mirage();
        assert_eq!([0, 1, 2].map(|i| m.shift_of(i, 1).abs()), [15840, 1023, 15872]);
    }

    #[test]
    fn a_changed_residue_moves_the_value_as_the_theorem_says() {
        for moduli in [
            &[31, 32, 33][..],
            &[3],
            &[4095, 4096],
            &[127, 128, 129],
            &[4091, 4093, 4095, 4096],
            &[4087, 4091, 4093, 4095, 4096],
        ] {
            let moduli = Moduli::new(moduli).unwrap();
            let (last, step) = (moduli.psi(), (moduli.psi() / 40).max(1));
            let all = (-last..=last).step_by(step as usize).chain([last, 0, -last]);
            for value in all {
                for index in 0..moduli.len() {
                    let (mut residues, from) = (moduli.residues(value), moduli.residue(value, index));
                    for to in 0..moduli.as_slice()[index].min(40) {
                        residues[index] = to;
                        assert_eq!(
                            moduli.add(value, moduli.shift_of(index, i64::from(to) - i64::from(from))),
                            moduli.signed(&residues),
                            "{value} {to}"
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn residues_are_a_ring_homomorphism(a in -120i64..120, b in -120i64..120, set in 0usize..4) {
            let m = Moduli::new([&[31u32, 32, 33][..], &[15, 14, 13, 11], &[127, 126, 125], &[255, 254, 253]][set]).unwrap();
            let product: Vec<u32> = (0..m.len()).map(|i| {
                let n = m.as_slice()[i];
                (m.residue(a, i) * m.residue(b, i) + m.residue(b, i)) % n
            }).collect();
            prop_assert_eq!(m.signed(&product), m.add(a * b, b));
        }

        #[test]
        fn a_changed_residue_shifts_by_its_weight(v in -16367i64..=16367, i in 0usize..3, d in 1i64..33) {
            let m = Moduli::mirage();
            let mut r = m.residues(v);
            let n = m.as_slice()[i];
            r[i] = (i64::from(r[i]) + d).rem_euclid(i64::from(n)) as u32;
            prop_assert_eq!(m.signed(&r), m.add(v, m.shift_of(i, d)));
        }
    }
}
