use thiserror::Error;

use crate::philox::philox;
use crate::{Matrix, Moduli, ModuliError};

/// How a value becomes a mantissa.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest, ties to even.
    NearestEven,
    /// Towards zero.
    Truncate,
    /// Up with the probability of the fraction, with draws keyed by seed, site, operand and position; but never past the largest
    /// mantissa, so that what lies within half a step above it is rounded down on average.
    Stochastic,
}

impl std::fmt::Display for Rounding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NearestEven => "nearest-even",
            Self::Truncate => "truncate",
            Self::Stochastic => "stochastic",
        })
    }
}

/// Why a format cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum FormatError {
    #[error("{0} mantissa bits are not supported: use 2 to 8")]
    MantissaBits(u8),
    #[error("a group of {0} values is not supported: use 1 to {max}", max = BfpFormat::LARGEST_GROUP)]
    Group(usize),
}

/// Block floating point: a group of values shares the exponent of its largest, each keeps a sign and a few mantissa bits.
///
/// With e = floor(log2 max|x|) the shared scale is 2^(e - b + 1) and q = round(x / scale), clamped to ±(2^b - 1), since
/// 1.99 would otherwise round to 2^b. A group of zeros has the scale 0: whatever is read of it counts for nothing.
/// Subnormals are ordinary values here. A group with a NaN or an infinity has no meaning in this format: its scale becomes
/// NaN, and so does every output it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BfpFormat {
    /// Mantissa bits b without the sign, 2 to 8.
    pub mantissa_bits: u8,
    /// Values in a group, g.
    pub group: usize,
    /// How mantissas are rounded.
    pub rounding: Rounding,
}

/// Stands for the exponent of the scale of a group of zeros, which is 0.
pub(crate) const ZERO: i16 = i16::MIN;

/// Stands for the exponent of the scale of a group that is not finite, which is NaN.
pub(crate) const POISON: i16 = i16::MAX;

impl BfpFormat {
    /// The largest group taken.
    pub const LARGEST_GROUP: usize = 1024;

    /// Mirage's format: 4 bits, 16 values.
    pub fn mirage() -> Self {
        Self { mantissa_bits: 4, group: 16, rounding: Rounding::NearestEven }
    }

    /// Checks the ranges of the fields.
    pub fn check(self) -> Result<(), FormatError> {
        if !(2..=8).contains(&self.mantissa_bits) {
            return Err(FormatError::MantissaBits(self.mantissa_bits));
        }
        if !(1..=Self::LARGEST_GROUP).contains(&self.group) {
            return Err(FormatError::Group(self.group));
        }
        Ok(())
    }

    /// 2^b - 1, the largest mantissa.
    pub fn largest(self) -> i32 {
        (1 << self.mantissa_bits) - 1
    }

    /// g (2^b - 1)^2, the largest dot product of two groups.
    pub fn bound(self) -> i64 {
        self.group as i64 * i64::from(self.largest()).pow(2)
    }

    /// Whether the moduli can hold every dot product of a group.
    pub fn check_range(self, moduli: &Moduli) -> Result<(), ModuliError> {
        if moduli.psi() < self.bound() {
            let (psi, bound) = (moduli.psi(), self.bound());
            return Err(ModuliError::RangeTooSmall {
                psi,
                group: self.group,
                bits: self.mantissa_bits,
                bound,
            });
        }
        Ok(())
    }

    /// Groups in a row of `k` values; the last may be short and is filled with zeros.
    pub fn groups(self, k: usize) -> usize {
        k.div_ceil(self.group)
    }
}

/// A matrix of rows in block floating point; groups run along the columns.
#[derive(Debug, Clone)]
pub struct Quantised {
    format: BfpFormat,
    rows: usize,
    groups: usize,
    mantissas: Vec<i16>,
    exponents: Vec<i16>,
}

impl Quantised {
    /// Quantises the rows of `matrix`.
    pub(crate) fn new(matrix: Matrix<'_>, rounder: Rounder) -> Self {
        let (rows, k, format) = (matrix.rows(), matrix.cols(), rounder.format);
        let (g, groups) = (format.group, format.groups(k));
        let mut mantissas = vec![0; rows * groups * g];
        let mut exponents = vec![ZERO; rows * groups];
        let mut gathered = Vec::with_capacity(k);
        for row in 0..rows {
            gathered.clear();
            gathered.extend((0..k).map(|col| matrix.at(row, col)));
            for (i, group) in gathered.chunks(g).enumerate() {
                let at = row * groups + i;
                exponents[at] = rounder.group(group, &mut mantissas[at * g..][..group.len()], row, i * g);
            }
        }
        Self { format, rows, groups, mantissas, exponents }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Groups in a row.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Mantissas of one group; a short last group is filled with zeros.
    pub fn mantissas(&self, row: usize, group: usize) -> &[i16] {
        let (g, at) = (self.format.group, row * self.groups + group);
        &self.mantissas[at * g..(at + 1) * g]
    }

    /// Exponent s of a group's scale 2^s.
    pub(crate) fn exponent(&self, row: usize, group: usize) -> i16 {
        self.exponents[row * self.groups + group]
    }

    /// The values that the mantissas and scales stand for.
    pub fn value(&self, row: usize, col: usize) -> f32 {
        let group = col / self.format.group;
        let q = self.mantissas(row, group)[col % self.format.group];
        scale(f32::from(q), self.exponent(row, group), 0)
    }
}

/// x times the scales with these exponents, rounded once; exact where the result is normal.
#[inline]
pub(crate) fn scale(x: f32, a: i16, b: i16) -> f32 {
    if a == POISON || b == POISON {
        return f32::NAN;
    }
    if a == ZERO || b == ZERO {
        return 0.0;
    }
    // x has 24 bits and |a + b| < 400: exact in f64, so that the only rounding is the one to f32.
    (f64::from(x) * pow2(i32::from(a) + i32::from(b))) as f32
}

fn pow2(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// Rounds the groups of one operand of one product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounder {
    pub format: BfpFormat,
    /// Key of the draws of stochastic rounding.
    pub key: [u32; 2],
    /// Number of the operand in those draws.
    pub operand: u32,
}

/// 1.5 2^23: the sum with an f32 of less than 2^22 is rounded to an integer, ties to even.
pub(crate) const ROUND: f32 = 12_582_912.0;

impl Rounder {
    /// Fills `out` with the mantissas of a group, whose first value stands at (`row`, `col`), and returns the exponent of its
    /// scale. Mantissas of a group that is not finite are left as they were.
    pub fn group(self, values: &[f32], out: &mut [i16], row: usize, col: usize) -> i16 {
        let top = values.iter().fold(0u32, |m, x| m.max(x.to_bits() & 0x7fff_ffff));
        if top == 0 {
            return ZERO;
        }
        if top >= f32::INFINITY.to_bits() {
            return POISON;
        }
        let exponent = floor_log2(top) - i32::from(self.format.mantissa_bits) + 1;
        let limit = self.format.largest() as f32;
        let inverse = pow2(-exponent);
        // Where 2^-s is no f32 the product is formed in f64; both are exact.
        let narrow = if (-126..=127).contains(&-exponent) { Some(inverse as f32) } else { None };
        let scaled = |x: f32| match narrow {
            Some(s) => x * s,
            None => (f64::from(x) * inverse) as f32,
        };
        match self.format.rounding {
            Rounding::NearestEven => match narrow {
                Some(s) => out.iter_mut().zip(values).for_each(|(o, &x)| *o = self.nearest(x * s)),
                None => out.iter_mut().zip(values).for_each(|(o, &x)| *o = self.nearest(scaled(x))),
            },
            Rounding::Truncate => {
                for (o, &x) in out.iter_mut().zip(values) {
                    *o = scaled(x) as i16;
                }
            }
            Rounding::Stochastic => {
                for (i, (o, &x)) in out.iter_mut().zip(values).enumerate() {
                    let v = scaled(x);
                    let u = (self.draw(row, col + i) >> 8) as f32 * (1.0 / 16_777_216.0);
                    let low = v.floor();
                    *o = (low + f32::from(u8::from(v - low > u))).clamp(-limit, limit) as i16;
                }
            }
        }
        exponent as i16
    }

    /// The nearest mantissa: adding 1.5 2^23 leaves the rounded integer in the low bits of the sum.
    fn nearest(self, scaled: f32) -> i16 {
        let largest = self.format.largest();
        let integer = (scaled + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
        integer.clamp(-largest, largest) as i16
    }

    fn draw(self, row: usize, col: usize) -> u32 {
        let counter = [(col / 4) as u32, row as u32, self.operand, 0];
        philox(counter, self.key)[col % 4]
    }
}

/// floor(log2 x) of a positive finite f32 given by its bits, subnormals included.
fn floor_log2(bits: u32) -> i32 {
    match bits >> 23 {
        0 => -149 + (31 - bits.leading_zeros() as i32),
        e => e as i32 - 127,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantised(matrix: Matrix<'_>, format: BfpFormat) -> Quantised {
        Quantised::new(matrix, Rounder { format, key: [1, 2], operand: 0 })
    }

    fn one(values: &[f32], bits: u8, rounding: Rounding) -> Quantised {
        let format = BfpFormat { mantissa_bits: bits, group: values.len(), rounding };
        quantised(Matrix::new(values, 1, values.len()), format)
    }

    #[test]
    fn the_largest_is_clamped_not_carried() {
        let q = one(&[1.99, -1.99, 1.0, 0.0625, 0.1875], 4, Rounding::NearestEven);
        assert_eq!(q.mantissas(0, 0), [15, -15, 8, 0, 2]);
        assert_eq!(q.exponent(0, 0), -3);
        assert_eq!(q.value(0, 2), 1.0);
        let t = one(&[1.99, -1.99, 1.0, 0.24], 4, Rounding::Truncate);
        assert_eq!(t.mantissas(0, 0), [15, -15, 8, 1]);
    }

    #[test]
    fn zeros_subnormals_and_the_largest_f32() {
        assert_eq!(one(&[0.0, -0.0], 4, Rounding::NearestEven).exponent(0, 0), ZERO);
        let tiny = f32::from_bits(1);
        let q = one(&[tiny, -3.0 * tiny], 4, Rounding::NearestEven);
        assert_eq!((q.value(0, 0), q.value(0, 1)), (tiny, -3.0 * tiny));
        let q = one(&[f32::MAX, f32::MIN_POSITIVE], 8, Rounding::NearestEven);
        assert_eq!(q.mantissas(0, 0), [255, 0]);
    }

    #[test]
    fn what_is_not_finite_poisons_its_group_only() {
        let format = BfpFormat { mantissa_bits: 4, group: 2, rounding: Rounding::NearestEven };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let q = quantised(Matrix::new(&[1.0, bad, 1.0, 1.0], 1, 4), format);
            assert!(q.value(0, 0).is_nan());
            assert_eq!(q.value(0, 2), 1.0);
        }
    }

    #[test]
    fn transposed_and_copied_operands_quantise_alike() {
        let data: Vec<f32> = (0..70 * 37).map(|i| ((i * 7919) % 1000) as f32 - 500.0).collect();
        let copy: Vec<f32> = (0..37 * 70).map(|i| data[i % 70 * 37 + i / 70]).collect();
        let format = BfpFormat::mirage();
        let a = quantised(Matrix::new(&data, 70, 37).transposed(), format);
        let b = quantised(Matrix::new(&copy, 37, 70), format);
        assert_eq!((a.mantissas, a.exponents), (b.mantissas, b.exponents));
    }

    #[test]
    fn stochastic_rounding_is_unbiased() {
        let values = vec![0.3f32; 1 << 14];
        let mut with_top = values.clone();
        with_top[0] = 8.0;
        let q = one(&with_top[..1024], 4, Rounding::Stochastic);
        let mean = q.mantissas(0, 0)[1..].iter().map(|&m| f64::from(m)).sum::<f64>() / 1023.0;
        // Standard error sqrt(0.3 0.7 / 1023) = 0.0143.
        assert!((mean - 0.3).abs() < 4.0 * 0.0143, "{mean}");
    }

    proptest! {
        #[test]
        fn rounding_follows_the_definition(values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 1..20), bits in 2u8..=8) {
            let q = one(&values, bits, Rounding::NearestEven);
            let top = values.iter().fold(0f64, |m, x| m.max(f64::from(x.abs())));
            if top > 0.0 {
                let e = top.log2().floor();
                // log2 may round up to the next power just below it.
                let e = if 2f64.powf(e) > top { e - 1.0 } else { e };
                let unit = 2f64.powf(e - f64::from(bits) + 1.0);
                let limit = f64::from((1 << bits) - 1);
                for (i, &x) in values.iter().enumerate() {
                    let expected = (f64::from(x) / unit).round_ties_even().clamp(-limit, limit);
                    prop_assert_eq!(f64::from(q.mantissas(0, 0)[i]), expected);
                }
            }
        }
    }
}
