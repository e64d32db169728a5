use crate::{Moduli, ModuliError};

/// A redundant residue code: information moduli carry the range, redundant ones the distance.
///
/// With r redundant moduli, none smaller than an information modulus, two legal values differ in at least r + 1
/// residues, so r errors are detected and floor(r/2) corrected
/// (Szabo and Tanaka, "Residue Arithmetic and its Applications to Computer Technology", McGraw-Hill 1967, ch. 8).
/// Legal are values up to a bound that may be less than the information moduli could carry: what no dot product can reach
/// is wrong as well, which adds to what is detected.
///
/// The emulated product decodes by it with [`crate::Protection::Correct`].
#[derive(Debug, Clone)]
pub struct RedundantCode {
    bound: i64,
    all: Moduli,
    /// Subsets of places to keep, those that drop the fewest first, with their moduli.
    subsets: Vec<(Vec<usize>, Moduli)>,
}

/// What a decoder knows of a received word. A wrong word that is legal looks clean: only tests can count those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A legal word.
    Clean(i64),
    /// Not legal, but exactly one legal value is near enough; `wrong` are the places that were changed.
    Corrected {
        /// The value after correction.
        value: i64,
        /// Indices of the residues that were wrong.
        wrong: Vec<usize>,
    },
    /// Not legal, and no legal value is near enough.
    Detected,
}

impl RedundantCode {
    /// Builds the code for legal values up to ±`bound`; refuses redundant moduli that weaken the distance, and a bound beyond
    /// the range of the information moduli.
    pub fn new(information: &[u32], redundant: &[u32], bound: i64) -> Result<Self, ModuliError> {
        let psi = Moduli::new(information)?.psi();
        if !(0..=psi).contains(&bound) {
            return Err(ModuliError::Legal { bound, psi });
        }
        for &r in redundant {
            if let Some(&larger) = information.iter().find(|i| **i > r) {
                return Err(ModuliError::WeakRedundancy { redundant: r, information: larger });
            }
        }
        let all: Vec<u32> = information.iter().chain(redundant).copied().collect();
        let mut subsets = Vec::new();
        for drop in 1..=redundant.len() / 2 {
            for kept in combinations(all.len(), all.len() - drop) {
                let moduli: Vec<u32> = kept.iter().map(|&i| all[i]).collect();
                subsets.push((kept, Moduli::new(&moduli)?));
            }
        }
        Ok(Self { bound, all: Moduli::new(&all)?, subsets })
    }

    /// Information moduli followed by the redundant ones.
    pub fn moduli(&self) -> &Moduli {
        &self.all
    }

    /// Whether a value is within the bound.
    pub fn legal(&self, value: i64) -> bool {
        value.abs() <= self.bound
    }

    /// The residues of a value; `None` when it is not legal.
    pub fn encode(&self, value: i64) -> Option<Vec<u32>> {
        self.legal(value).then(|| self.all.residues(value))
    }

    /// Decodes one residue for each modulus of [`RedundantCode::moduli`].
    pub fn decode(&self, residues: &[u32]) -> Decoded {
        let value = self.all.signed(residues);
        if self.legal(value) {
            return Decoded::Clean(value);
        }
        for (kept, moduli) in &self.subsets {
            let part: Vec<u32> = kept.iter().map(|&i| residues[i]).collect();
            let value = moduli.signed(&part);
            if self.legal(value) {
                let wrong =
                    (0..residues.len()).filter(|&i| self.all.residue(value, i) != residues[i]).collect();
                return Decoded::Corrected { value, wrong };
            }
        }
        Decoded::Detected
    }
}

/// All ascending choices of `k` out of 0..n.
fn combinations(n: usize, k: usize) -> Vec<Vec<usize>> {
    if k == 0 {
        return vec![Vec::new()];
    }
    (k - 1..n)
        .flat_map(|last| {
            combinations(last, k - 1).into_iter().map(move |mut c| {
                c.push(last);
                c
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weak_redundancy_is_refused() {
        let error = RedundantCode::new(&[31, 32, 33], &[29], 3600).unwrap_err();
        assert_eq!(error, ModuliError::WeakRedundancy { redundant: 29, information: 31 });
        let error = RedundantCode::new(&[7, 8, 9], &[11], 252).unwrap_err();
        assert_eq!(error, ModuliError::Legal { bound: 252, psi: 251 });
    }

    #[test]
    fn one_redundant_modulus_detects_every_single_error() {
        let code = RedundantCode::new(&[7, 8, 9], &[11], 251).unwrap();
        for v in -251..=251 {
            let word = code.encode(v).unwrap();
            assert_eq!(code.decode(&word), Decoded::Clean(v));
            for i in 0..4 {
                for d in 1..code.moduli().as_slice()[i] {
                    let mut w = word.clone();
                    w[i] = (w[i] + d) % code.moduli().as_slice()[i];
                    assert_eq!(code.decode(&w), Decoded::Detected);
                }
            }
        }
        assert_eq!(code.encode(252), None);
    }

    proptest! {
        #[test]
        fn two_redundant_moduli_correct_any_single_error(v in -16367i64..=16367, i in 0usize..5, d in 1u32..31) {
            let code = RedundantCode::new(&[31, 32, 33], &[35, 37], 16367).unwrap();
            let mut word = code.encode(v).unwrap();
            let m = code.moduli().as_slice()[i];
            word[i] = (word[i] + d) % m;
            prop_assert_eq!(code.decode(&word), Decoded::Corrected { value: v, wrong: vec![i] });
        }

        #[test]
        fn two_redundant_moduli_never_pass_a_double_error_as_clean(
            v in -16367i64..=16367, i in 0usize..5, j in 0usize..5, d in 1u32..31, e in 1u32..31,
        ) {
            prop_assume!(i != j);
            let code = RedundantCode::new(&[31, 32, 33], &[35, 37], 16367).unwrap();
            let mut word = code.encode(v).unwrap();
            let m = code.moduli().as_slice();
            word[i] = (word[i] + d) % m[i];
            word[j] = (word[j] + e) % m[j];
            prop_assert!(!matches!(code.decode(&word), Decoded::Clean(_)));
        }
    }
}
