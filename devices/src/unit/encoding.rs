//! How residues become drive levels and switch bits.

use serde::Deserialize;

/// How the residues 0..m-1 are represented by phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Levels and streamed values 0..m-1, binary weights 1, 2, 4, ...: ceil(log2 m) digits.
    Natural,
    /// Levels and values centred on zero: the drive is push-pull and the last binary weight is negative (two's
    /// complement); odd moduli of the form 2^k + 1 need one more digit of weight one. Phases are about four times smaller.
    Centred,
}

/// The digits of one modulus: weights of the shifters, switch bits of every streamed residue, drive level of every
/// stationary residue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits {
    modulus: u32,
    weights: Vec<i32>,
    bits: Vec<u64>,
    levels: Vec<i32>,
}

impl Digits {
    /// Digits for `modulus` (at least 2; the caller checks).
    pub fn new(modulus: u32, encoding: Encoding) -> Self {
        match encoding {
            Encoding::Natural => Self::natural(modulus),
            Encoding::Centred => Self::centred(modulus),
        }
    }

    fn natural(modulus: u32) -> Self {
        let count = 32 - (modulus - 1).leading_zeros();
        Digits {
            modulus,
            weights: (0..count).map(|d| 1 << d).collect(),
            bits: (0..modulus).map(u64::from).collect(),
            levels: (0..modulus).map(|w| w as i32).collect(),
        }
    }

    fn centred(modulus: u32) -> Self {
        let m = modulus as i32;
        let low = m / 2;
        let mut magnitude = 1; // of the negative weight
        let mut positive = 0; // digits below it
        while magnitude < low {
            magnitude *= 2;
            positive += 1;
        }
        let mut weights: Vec<i32> = (0..positive).map(|d| 1 << d).collect();
        weights.push(-magnitude);
        let largest = m - 1 - low; // of the streamed values -low ..= largest
        let extra = largest > magnitude - 1;
        if extra {
            weights.push(1);
        }
        let code = |residue: i32| -> u64 {
            let value = if residue <= largest { residue } else { residue - m };
            if value < 0 {
                ((value + magnitude) as u64) | (1 << positive)
            } else if value > magnitude - 1 {
                ((value - 1) as u64) | (1 << (positive + 1))
            } else {
                value as u64
            }
        };
        Digits {
            modulus,
            weights,
            bits: (0..m).map(code).collect(),
            levels: (0..m).map(|w| if w <= m / 2 { w } else { w - m }).collect(),
        }
    }

    /// The modulus.
    pub fn modulus(&self) -> u32 {
        self.modulus
    }

    /// Number of digits, hence of shifters and of pairs of rings of one MMU.
    pub fn count(&self) -> usize {
        self.weights.len()
    }

    /// Weights of the shifters in units of the unit shifter; negative = driven with the opposite sign.
    pub fn weights(&self) -> &[i32] {
        &self.weights
    }

    /// Whether digit `digit` of streamed residue `x` steers the light through the shifter.
    pub fn bit(&self, x: usize, digit: usize) -> bool {
        self.bits[x] >> digit & 1 == 1
    }

    /// Drive level of the stationary residue `w`: 0..m-1, or centred on zero.
    pub fn level(&self, w: usize) -> i32 {
        self.levels[w]
    }

    /// Value of streamed residue `x` as the sum of the weights of its bits.
    pub fn value(&self, x: usize) -> i32 {
        self.weights.iter().enumerate().map(|(d, &weight)| if self.bit(x, d) { weight } else { 0 }).sum()
    }

    /// The largest magnitude of a drive level.
    pub fn largest_level(&self) -> i32 {
        self.levels.iter().map(|level| level.abs()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_represent_every_residue() {
        for encoding in [Encoding::Natural, Encoding::Centred] {
            for m in 2..=300u32 {
                let digits = Digits::new(m, encoding);
                for r in 0..m as usize {
                    assert_eq!(digits.value(r).rem_euclid(m as i32), r as i32, "{encoding:?} {m} {r}");
                    assert_eq!(digits.level(r).rem_euclid(m as i32), r as i32);
                }
            }
        }
    }

    #[test]
    fn digit_counts_are_the_papers() {
        let count = |m, e| Digits::new(m, e).count();
        assert_eq!([31, 32, 33].map(|m| count(m, Encoding::Natural)), [5, 5, 6]);
        assert_eq!([31, 32, 33].map(|m| count(m, Encoding::Centred)), [5, 5, 6]);
        assert_eq!(Digits::new(33, Encoding::Centred).weights(), [1, 2, 4, 8, -16, 1]);
        assert_eq!(Digits::new(33, Encoding::Centred).largest_level(), 16);
    }
}
