//! The same arithmetic as on [`Lanes`], in vector registers: for the innermost loops, where the compiler left to itself puts
//! numbers together in ways that need many shuffles.

use super::lanes::{Lanes, WIDTH};

/// A real number at each of [`WIDTH`] points.
pub(super) trait Vector: Copy {
    fn load(from: &[f64; WIDTH]) -> Self;
    fn store(self, to: &mut [f64; WIDTH]);
    fn times(self, other: Self) -> Self;
    /// self + a b, rounded once.
    fn plus(self, a: Self, b: Self) -> Self;
    /// self - a b, rounded once.
    fn minus(self, a: Self, b: Self) -> Self;
}

/// For all processors.
impl Vector for [f64; WIDTH] {
    #[inline(always)]
    fn load(from: &[f64; WIDTH]) -> Self {
        *from
    }

    #[inline(always)]
    fn store(self, to: &mut [f64; WIDTH]) {
        *to = self;
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        std::array::from_fn(|k| self[k] * other[k])
    }

    #[inline(always)]
    fn plus(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|k| a[k].mul_add(b[k], self[k]))
    }

    #[inline(always)]
    fn minus(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|k| (-a[k]).mul_add(b[k], self[k]))
    }
}

/// For x86 with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m256d, _mm256_fmadd_pd, _mm256_fnmadd_pd, _mm256_loadu_pd, _mm256_mul_pd, _mm256_storeu_pd,
    };

    use super::{Vector, WIDTH};

    /// Four numbers in a register. Only code that runs after the processor was asked for AVX2 and FMA may use it: that is
    /// what all its operations rely on.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Register(__m256d);

    impl Vector for Register {
        #[inline(always)]
        fn load(from: &[f64; WIDTH]) -> Self {
            // SAFETY: the processor has AVX (see the type); the array has four numbers, aligned or not.
            Self(unsafe { _mm256_loadu_pd(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f64; WIDTH]) {
            // SAFETY: as above.
            unsafe { _mm256_storeu_pd(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn times(self, other: Self) -> Self {
            // SAFETY: the processor has AVX (see the type).
            Self(unsafe { _mm256_mul_pd(self.0, other.0) })
        }

        #[inline(always)]
        fn plus(self, a: Self, b: Self) -> Self {
            // SAFETY: the processor has FMA (see the type).
            Self(unsafe { _mm256_fmadd_pd(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn minus(self, a: Self, b: Self) -> Self {
            // SAFETY: the processor has FMA (see the type).
            Self(unsafe { _mm256_fnmadd_pd(a.0, b.0, self.0) })
        }
    }
}

/// A complex number at each of [`WIDTH`] points.
#[derive(Clone, Copy)]
pub(super) struct Wide<V> {
    re: V,
    im: V,
}

impl<V: Vector> Wide<V> {
    #[inline(always)]
    pub fn load(from: &Lanes) -> Self {
        Self { re: V::load(&from.re), im: V::load(&from.im) }
    }

    #[inline(always)]
    pub fn store(self, to: &mut Lanes) {
        self.re.store(&mut to.re);
        self.im.store(&mut to.im);
    }

    /// a b, rounded as [`Lanes::product`] does.
    #[inline(always)]
    pub fn product(a: Self, b: Self) -> Self {
        Self { re: a.re.times(b.re).minus(a.im, b.im), im: a.re.times(b.im).plus(a.im, b.re) }
    }

    /// self + a b, rounded as [`Lanes::plus_product`] does.
    #[inline(always)]
    pub fn plus_product(self, a: Self, b: Self) -> Self {
        Self { re: self.re.plus(a.re, b.re).minus(a.im, b.im), im: self.im.plus(a.re, b.im).plus(a.im, b.re) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<V: Vector>() {
        let lanes = |seed: f64| {
            let numbers = |s: f64| std::array::from_fn(|k| (s * (k as f64 + 1.3)).sin() / 3.0);
            Lanes { re: numbers(seed), im: numbers(seed + 0.7) }
        };
        let (a, b, c) = (lanes(1.0), lanes(2.0), lanes(3.0));
        let [wide_a, wide_b, wide_c] = [a, b, c].map(|x| Wide::<V>::load(&x));
        let mut found = [Lanes::ZERO; 2];
        Wide::product(wide_a, wide_b).store(&mut found[0]);
        wide_c.plus_product(wide_a, wide_b).store(&mut found[1]);
        assert_eq!(found, [Lanes::product(&a, &b), c.plus_product(&a, &b)]);
    }

    #[test]
    fn registers_round_as_lanes_do() {
        check::<[f64; WIDTH]>();
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            check::<x86::Register>();
        }
    }
}
