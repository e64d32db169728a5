//! Complex numbers side by side, one for each of a few points, so that loops over them become vector instructions.

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

    /// Takes points `start..` of a planar lane; zeros beyond its end.
    #[inline(always)]
    pub fn load(&mut self, (re, im): Planar<'_>, start: usize) {
        for (to, from) in [(&mut self.re, re), (&mut self.im, im)] {
            match from[start..].first_chunk() {
                Some(whole) => *to = *whole,
                None => {
                    *to = [0.0; WIDTH];
                    to.iter_mut().zip(&from[start..]).for_each(|(t, f)| *t = *f);
                }
            }
        }
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

/// Elements of S-matrices by slot, of which many are the same: those of equal parts, and both ways through a part. Each is
/// loaded once, and all slots are counted anew without the others.
pub(super) struct Shared<'a> {
    /// The new slot of each element's slot.
    slots: Vec<u32>,
    distinct: Vec<Planar<'a>>,
}

impl<'a> Shared<'a> {
    /// Elements by slot; those with the same number, which is below `numbers`, are the same.
    pub fn new(numbers: usize, elements: impl Iterator<Item = (usize, Planar<'a>)>) -> Self {
        const NONE: u32 = u32::MAX;
        let mut known = vec![NONE; numbers];
        let mut distinct = Vec::new();
        let new_slot = |(number, element)| {
            if known[number] == NONE {
                known[number] = distinct.len() as u32;
                distinct.push(element);
            }
            known[number]
        };
        Self { slots: elements.map(new_slot).collect(), distinct }
    }

    /// The slot to be taken instead of this one.
    pub fn slot(&self, slot: u32) -> u32 {
        let behind = || slot - (self.slots.len() - self.distinct.len()) as u32;
        self.slots.get(slot as usize).copied().unwrap_or_else(behind)
    }

    /// Loads a block of points into the first slots.
    #[inline(always)]
    pub fn load(&self, slots: &mut [Lanes], start: usize) {
        for (slot, element) in slots.iter_mut().zip(&self.distinct) {
            slot.load(*element, start);
        }
    }
}
