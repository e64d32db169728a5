//! Complex numbers side by side, one for each of a few points, so that loops over them become vector instructions.

/// Points that are worked on at once.
pub(super) const WIDTH: usize = 4;

/// A complex number at each of [`WIDTH`] points.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub(super) struct Lanes {
    pub re: [f64; WIDTH],
    pub im: [f64; WIDTH],
}

impl Lanes {
    pub const ZERO: Self = Self { re: [0.0; WIDTH], im: [0.0; WIDTH] };

    /// Points `start..` of a planar lane; zeros beyond its end.
    #[inline(always)]
    pub fn load((re, im): (&[f64], &[f64]), start: usize) -> Self {
        let mut lanes = Self::ZERO;
        if let (Some(r), Some(i)) = (re[start..].first_chunk(), im[start..].first_chunk()) {
            (lanes.re, lanes.im) = (*r, *i);
        } else {
            for (k, (r, i)) in re[start..].iter().zip(&im[start..]).enumerate() {
                (lanes.re[k], lanes.im[k]) = (*r, *i);
            }
        }
        lanes
    }

    /// Writes to points `start..` of a planar lane, as far as it goes.
    #[inline(always)]
    pub fn store(&self, (re, im): (&mut [f64], &mut [f64]), start: usize) {
        for (to, from) in [(re, &self.re), (im, &self.im)] {
            match to[start..].first_chunk_mut() {
                Some(whole) => *whole = *from,
                None => to[start..].iter_mut().zip(from).for_each(|(t, f)| *t = *f),
            }
        }
    }

    /// self + a b. Fused multiply-add throughout, which has one right answer: all processors give the same bits.
    #[inline(always)]
    pub fn plus_product(mut self, a: &Self, b: &Self) -> Self {
        for k in 0..WIDTH {
            self.re[k] = a.re[k].mul_add(b.re[k], self.re[k]);
            self.im[k] = a.re[k].mul_add(b.im[k], self.im[k]);
        }
        for k in 0..WIDTH {
            self.re[k] = (-a.im[k]).mul_add(b.im[k], self.re[k]);
            self.im[k] = a.im[k].mul_add(b.re[k], self.im[k]);
        }
        self
    }

    /// a b.
    #[inline(always)]
    pub fn product(a: &Self, b: &Self) -> Self {
        let mut c = Self::ZERO;
        for k in 0..WIDTH {
            c.re[k] = (-a.im[k]).mul_add(b.im[k], a.re[k] * b.re[k]);
            c.im[k] = a.im[k].mul_add(b.re[k], a.re[k] * b.im[k]);
        }
        c
    }

    #[inline(always)]
    pub fn plus(mut self, other: &Self) -> Self {
        for k in 0..WIDTH {
            self.re[k] += other.re[k];
            self.im[k] += other.im[k];
        }
        self
    }

    /// 1/(1 - a), and the smallest |1 - a|^2.
    #[inline(always)]
    pub fn resolvent(a: &Self) -> (Self, f64) {
        let mut c = Self::ZERO;
        let mut smallest = f64::INFINITY;
        for k in 0..WIDTH {
            let (re, im) = (1.0 - a.re[k], -a.im[k]);
            let square = re.mul_add(re, im * im);
            (c.re[k], c.im[k]) = (re / square, -im / square);
            smallest = smallest.min(square);
        }
        (c, smallest)
    }
}

/// Defines a function that runs `$body` compiled for the vector instructions that the processor has. The result does not
/// depend on it.
macro_rules! vectorised {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $out:ty $body:block) => {
        $(#[$doc])*
        fn $name($($arg: $type),*) -> $out {
            #[inline(always)]
            fn body($($arg: $type),*) -> $out $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn vector($($arg: $type),*) -> $out {
                    body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has both features, as was just asked; the function has no other precondition.
                    return unsafe { vector($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}
pub(super) use vectorised;
