use crate::{Matrix, Pass};

/// A format to which the operands of a product are rounded value by value, for comparison with block floating point.
///
/// Sums are not rounded to the format: floating-point products are added in f32, integer products exactly, as the
/// multiply-accumulate units of these formats do.
///
/// | format | an operand becomes | source |
/// |---|---|---|
/// | bfloat16 | 8 bits of exponent, 7 of mantissa; nearest-even; subnormals kept | Kalamkar et al., arXiv 1905.12322 (2019), section 2 |
/// | HFP8 | 1-4-3 (sign, exponent, mantissa) where it is a weight or an activation, 1-5-2 where it is a gradient; nearest-even | Sun et al., NeurIPS 2019 |
/// | INT8, INT12 | integers of 8 or 12 bits times max\|x\|/(2^(bits-1) - 1); nearest-even | symmetric per-tensor scales: Wu et al., arXiv 2004.09602 (2020), section 3.1.2 |
///
/// Two things of HFP8 are choices of ours. The exponent's bias is chosen for each operand, so that its largest value lies in the
/// top binade; that replaces fixed biases and the scaling of the loss. And all codes stand for numbers: exponent 0 for
/// zero and subnormals, the others for 15 (31) binades, without infinities; a mantissa that would round past the top saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberFormat {
    /// Brain floating point of 16 bits.
    Bfloat16,
    /// Hybrid 8-bit floating point.
    Hfp8,
    /// 8-bit integers.
    Int8,
    /// 12-bit integers.
    Int12,
}

/// An operand in a [`NumberFormat`]: numbers that the format holds, and the scale that they are to be multiplied by.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounded {
    /// In the memory order of the operand.
    pub values: Vec<f32>,
    /// A power of two, or any positive number for integers; NaN where the operand has a value that is not finite and the
    /// format has a common scale.
    pub scale: f64,
}

impl NumberFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bfloat16, Self::Hfp8, Self::Int8, Self::Int12];

    /// `bfloat16`, `hfp8`, `int8` or `int12`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bfloat16 => "bfloat16",
            Self::Hfp8 => "hfp8",
            Self::Int8 => "int8",
            Self::Int12 => "int12",
        }
    }

    /// Whether sums of products are to be exact, and not in f32.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::Int8 | Self::Int12)
    }

    /// Rounds an operand of a product of `pass`; `second` says which of the two it is.
    pub fn round(self, operand: Matrix<'_>, pass: Pass, second: bool) -> Rounded {
        let values = operand.data();
        match self {
            Self::Bfloat16 => Rounded { values: values.iter().map(|&x| bfloat16(x)).collect(), scale: 1.0 },
            // dX = W^T dO has its gradient in second place, dW = dO X^T in first.
            Self::Hfp8 => match (pass, second) {
                (Pass::InputGradient, true) | (Pass::WeightGradient, false) => {
                    MiniFloat::GRADIENT.round(values)
                }
                _ => MiniFloat::VALUE.round(values),
            },
            Self::Int8 => integers(values, 127.0),
            Self::Int12 => integers(values, 2047.0),
        }
    }
}

/// The upper half of an f32, to the nearest, ties to even. What rounds past the largest number is infinite, as in IEEE 754.
fn bfloat16(x: f32) -> f32 {
    if x.is_nan() {
        return f32::NAN;
    }
    let bits = x.to_bits();
    let odd = (bits >> 16) & 1;
    // Adding to an infinity would make it a NaN, but its lower half is zero, so that at most 0x7fff is added.
    f32::from_bits(bits.wrapping_add(0x7fff + odd) & 0xffff_0000)
}

/// A small floating-point format whose bias is chosen for each operand.
#[derive(Debug, Clone, Copy)]
struct MiniFloat {
    exponent_bits: i32,
    mantissa_bits: i32,
}

impl MiniFloat {
    const VALUE: Self = Self { exponent_bits: 4, mantissa_bits: 3 };
    const GRADIENT: Self = Self { exponent_bits: 5, mantissa_bits: 2 };

    fn round(self, values: &[f32]) -> Rounded {
        let largest = largest(values);
        if !(largest > 0.0 && largest.is_finite()) {
            return without_scale(values, largest);
        }
        // The top binade becomes [1, 2), so that the numbers lie far from the ends of f32.
        let top = floor_log2(largest);
        let down = power_of_two(-top);
        let rounded = values.iter().map(|&x| self.in_units(f64::from(x) * down)).collect();
        Rounded { values: rounded, scale: power_of_two(top) }
    }

    /// Rounds a number of less than 2.
    fn in_units(self, x: f64) -> f32 {
        let lowest = 2 - (1 << self.exponent_bits);
        let quantum = floor_log2(x).max(lowest) - self.mantissa_bits;
        let most = 2.0 - power_of_two(-self.mantissa_bits);
        let rounded = nearest(x * power_of_two(-quantum)) * power_of_two(quantum);
        // At most 4 bits at exponents of -32 and more: exact.
        rounded.clamp(-most, most) as f32
    }
}

fn integers(values: &[f32], most: f64) -> Rounded {
    let largest = largest(values);
    if !(largest > 0.0 && largest.is_finite()) {
        return without_scale(values, largest);
    }
    let scale = largest / most;
    let inverse = most / largest;
    // At most 11 bits: exact.
    let rounded = values.iter().map(|&x| nearest(f64::from(x) * inverse) as f32).collect();
    Rounded { values: rounded, scale }
}

/// Zeros, times one where all are zeros and times NaN where some value is not finite.
fn without_scale(values: &[f32], largest: f64) -> Rounded {
    Rounded { values: vec![0.0; values.len()], scale: if largest == 0.0 { 1.0 } else { f64::NAN } }
}

/// The largest magnitude: NaN where there is one, 0 of nothing.
fn largest(values: &[f32]) -> f64 {
    // Magnitudes are ordered as their bits are, NaN above all.
    let bits = values.iter().fold(0, |most, x| (x.to_bits() & 0x7fff_ffff).max(most));
    f64::from(f32::from_bits(bits))
}

/// To the nearest integer, ties to even, of less than 2^51 in magnitude.
fn nearest(x: f64) -> f64 {
    const ROUND: f64 = 1.5 * (1_u64 << 52) as f64;
    (x + ROUND) - ROUND
}

/// Exponent of a normal f64, which each f32 is; of zero a number far below all others.
fn floor_log2(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

/// 2^e for |e| up to 1022.
fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(format: NumberFormat, values: &[f32], pass: Pass, second: bool) -> Vec<f64> {
        let rounded = format.round(Matrix::new(values, 1, values.len()), pass, second);
        rounded.values.iter().map(|&x| f64::from(x) * rounded.scale).collect()
    }

    /// Every number of a floating-point format with this largest binade, from its definition.
    fn all_numbers(exponent_bits: i32, mantissa_bits: i32, top: i32) -> Vec<f64> {
        let steps = 1 << mantissa_bits;
        let mut all = Vec::new();
        for code in 0..1 << exponent_bits {
            let exponent = top - ((1 << exponent_bits) - 1) + i32::max(code, 1);
            let hidden = if code == 0 { 0 } else { steps };
            all.extend((0..steps).map(|m| f64::from(hidden + m) * 2f64.powi(exponent - mantissa_bits)));
        }
        all
    }

    /// The nearest of the numbers, of two equally near ones that with the even mantissa (numbers alternate); saturating.
    fn nearest_of(all: &[f64], x: f64) -> f64 {
        let at = all.partition_point(|&y| y <= x.abs());
        if at == all.len() {
            return all[at - 1].copysign(x);
        }
        let (below, above) = (x.abs() - all[at - 1], all[at] - x.abs());
        let up = above < below || above == below && (at - 1) % 2 == 1;
        all[if up { at } else { at - 1 }].copysign(x)
    }

    #[test]
    fn bfloat16_is_the_upper_half_rounded() {
        // 1 + 2^-8 lies halfway between 1 and 1 + 2^-7: to even; so does 1 + 3 2^-8.
        for (x, want) in [
            (1.0 + 2f32.powi(-8), 1.0),
            (1.0 + 3.0 * 2f32.powi(-8), 1.0 + 2f32.powi(-6)),
            (-(1.0 + 2f32.powi(-8) + 2f32.powi(-20)), -(1.0 + 2f32.powi(-7))),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (1e-40, f32::from_bits(0x0001_0000)),
            (-0.0, 0.0),
        ] {
            assert_eq!(bfloat16(x), want, "{x:e}");
        }
        assert!(bfloat16(f32::NAN).is_nan() && bfloat16(f32::from_bits(0x7f80_0001)).is_nan());
    }

    /// 127 and 2047 steps each way; halves go to even.
    #[test]
    fn integers_are_even_steps_to_the_largest_value() {
        let values = [127.0, -127.0, 0.5, 1.5, -2.5, 0.49, 100.2];
        let want = [127.0, -127.0, 0.0, 2.0, -2.0, 0.0, 100.0];
        assert_eq!(round(NumberFormat::Int8, &values, Pass::Forward, false), want);
        let largest = round(NumberFormat::Int12, &[3.0, 1.0], Pass::WeightGradient, true);
        assert!((largest[0] - 3.0).abs() < 1e-12 && (largest[1] - 682.0 * 3.0 / 2047.0).abs() < 1e-12);
    }

    #[test]
    fn gradients_have_the_longer_exponent() {
        let values = [1.0, 1.125, 2f32.powi(-18)];
        for (pass, second, gradient) in [
            (Pass::Forward, false, false),
            (Pass::Forward, true, false),
            (Pass::InputGradient, false, false),
            (Pass::InputGradient, true, true),
            (Pass::WeightGradient, false, true),
            (Pass::WeightGradient, true, false),
        ] {
            let got = round(NumberFormat::Hfp8, &values, pass, second);
            let want = if gradient { [1.0, 1.0, 2f64.powi(-18)] } else { [1.0, 1.125, 0.0] };
            assert_eq!(got, want, "{pass} {second}");
        }
    }

    #[test]
    fn what_has_no_scale_says_so() {
        for format in NumberFormat::ALL {
            assert_eq!(round(format, &[0.0, -0.0], Pass::Forward, false), [0.0, 0.0]);
            assert_eq!(round(format, &[], Pass::Forward, false), []);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let got = round(format, &[1.0, bad], Pass::Forward, false);
                assert!(!got[1].is_finite(), "{format:?}");
                assert_eq!(got[0].is_finite(), format == NumberFormat::Bfloat16);
            }
        }
    }

    proptest! {
        #[test]
        fn small_floats_are_the_nearest_number_of_their_format(
            bits in prop::collection::vec(any::<u32>(), 1..40), spread in 0_u32..40,
        ) {
            // Finite values of any size, and values close together.
            let wide = bits.iter().map(|&b| f32::from_bits(b)).filter(|x| x.is_finite());
            let near = bits.iter().map(|&b| {
                let x = (b as f32 / 2f32.powi(31) - 1.0) * 2f32.powi(-((b % (spread + 1)) as i32));
                // Few bits, so that ties occur.
                f32::from_bits(x.to_bits() & 0xfff8_0000)
            });
            for values in [wide.collect::<Vec<f32>>(), near.collect()] {
                let most = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
                if most == 0.0 {
                    continue;
                }
                for (second, e, m) in [(false, 4, 3), (true, 5, 2)] {
                    let all = all_numbers(e, m, f64::from(most).log2().floor() as i32);
                    let got = round(NumberFormat::Hfp8, &values, Pass::InputGradient, second);
                    for (&x, got) in values.iter().zip(got) {
                        prop_assert_eq!(got, nearest_of(&all, f64::from(x)), "{:e}", x);
                    }
                }
            }
        }

        #[test]
        fn integers_are_within_half_a_step(values in prop::collection::vec(-1e3_f32..1e3, 1..50)) {
            for (format, most) in [(NumberFormat::Int8, 127.0), (NumberFormat::Int12, 2047.0)] {
                let rounded = format.round(Matrix::new(&values, 1, values.len()), Pass::Forward, false);
                for (&x, &q) in values.iter().zip(&rounded.values) {
                    prop_assert!(q.fract() == 0.0 && f64::from(q.abs()) <= most);
                    let off = (f64::from(q) * rounded.scale - f64::from(x)).abs();
                    prop_assert!(off <= 0.5 * rounded.scale * (1.0 + 1e-9));
                }
            }
        }
    }
}
