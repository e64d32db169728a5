//! Complex numbers side by side, one for each of a few points, so that loops over them become vector instructions.

use std::collections::HashMap;

/// Points that are worked on at once.
pub(super) const WIDTH: usize = 4;

/// Real and imaginary parts over all points.
pub(super) type Planar<'a> = (&'a [f64], &'a [f64]);

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
    pub fn load((re, im): Planar<'_>, start: usize) -> Self {
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

/// Elements of S-matrices by slot, of which many are the same: those of equal parts are loaded once.
pub(super) struct Shared<'a> {
    /// The first slot with the same element, for each.
    first: Vec<u32>,
    distinct: Vec<(u32, Planar<'a>)>,
}

impl<'a> Shared<'a> {
    pub fn new(elements: &[Planar<'a>]) -> Self {
        let mut known = HashMap::new();
        let mut distinct = Vec::new();
        let mut first = Vec::with_capacity(elements.len());
        for (slot, element) in (0u32..).zip(elements) {
            let same = *known.entry(element.0.as_ptr()).or_insert(slot);
            if same == slot {
                distinct.push((slot, *element));
            }
            first.push(same);
        }
        Self { first, distinct }
    }

    /// The slot to be read instead of this one.
    pub fn slot(&self, slot: u32) -> u32 {
        self.first.get(slot as usize).copied().unwrap_or(slot)
    }

    /// Loads a block of points.
    pub fn load(&self, slots: &mut [Lanes], start: usize) {
        for (slot, element) in &self.distinct {
            slots[*slot as usize] = Lanes::load(*element, start);
        }
    }
}
