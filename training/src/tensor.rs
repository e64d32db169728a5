//! Arrays of `f32` whose last axis is the batch, and the store that buffers return to.

use std::collections::BTreeMap;

/// Sizes of an activation: channels, height, width and, last and fastest, the images of a batch.
///
/// With the batch last, an activation *is* the matrix that the paper's products want: features x batch for
/// a dense layer, filters x (height, width, batch) for a convolution, and nothing is ever transposed or
/// flattened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels, or features.
    pub channels: usize,
    /// Rows of an image; 1 for plain features.
    pub height: usize,
    /// Columns of an image; 1 for plain features.
    pub width: usize,
    /// Images.
    pub batch: usize,
}

/// An activation or its gradient, in the order of [`Shape`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Vec<f32>,
}

/// Buffers of past steps for those to come: a step allocates nothing once each size has been seen.
#[derive(Debug, Default)]
pub struct Pool {
    free: BTreeMap<usize, Vec<Vec<f32>>>,
}

impl Shape {
    /// Channels x height x width x batch.
    pub const fn new(channels: usize, height: usize, width: usize, batch: usize) -> Self {
        Self { channels, height, width, batch }
    }

    /// Numbers per image: channels x height x width.
    pub const fn features(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Numbers in all.
    pub const fn len(self) -> usize {
        self.features() * self.batch
    }

    /// Whether it holds no number.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The same with another batch.
    #[must_use]
    pub const fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }
}

impl Tensor {
    /// All zeros.
    pub fn zeros(shape: Shape) -> Self {
        Self { shape, data: vec![0.0; shape.len()] }
    }

    /// The numbers of `data` in the order of `shape`.
    ///
    /// # Panics
    /// When there are not as many as `shape` holds.
    pub fn new(shape: Shape, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), shape.len(), "numbers in a tensor of {shape:?}");
        Self { shape, data }
    }

    /// Its sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Its numbers.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Its numbers, to change.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// Its numbers, to keep.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

impl Pool {
    /// A buffer of so many numbers of **any** value: the taker writes all of them.
    pub fn take(&mut self, len: usize) -> Vec<f32> {
        self.free.get_mut(&len).and_then(Vec::pop).unwrap_or_else(|| vec![0.0; len])
    }

    /// A tensor whose numbers have **any** value: the taker writes all of them.
    pub fn tensor(&mut self, shape: Shape) -> Tensor {
        Tensor { shape, data: self.take(shape.len()) }
    }

    /// Takes a buffer back.
    pub fn give(&mut self, data: Vec<f32>) {
        self.free.entry(data.len()).or_default().push(data);
    }
}

/// Sum in `f32` with sixteen partial sums: always the same order, and fast.
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = values.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Sums of both of `of(a, b)` over the pairs of two slices of one length: blocks in `f32` with sixteen partial sums, and their
/// sums in `f64`. Always the same order.
pub(crate) fn sums_of_pairs(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> [f32; 2]) -> [f64; 2] {
    const BLOCK: usize = 1024;
    let mut sums = [0.0; 2];
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = [[0.0_f32; 16]; 2];
        for (a, b) in a.chunks(16).zip(b.chunks(16)) {
            for (lane, (&a, &b)) in a.iter().zip(b).enumerate() {
                let [first, second] = of(a, b);
                lanes[0][lane] += first;
                lanes[1][lane] += second;
            }
        }
        sums.iter_mut().zip(lanes).for_each(|(sum, lanes)| *sum += f64::from(lanes.iter().sum::<f32>()));
    }
    sums
}

/// Whether none is infinite or not a number.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    // No early end within a chunk, so that it is done in vectors.
    values.chunks(1024).all(|chunk| chunk.iter().fold(true, |finite, x| finite & x.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let mut pool = Pool::default();
        let buffer = pool.take(100);
        let address = buffer.as_ptr();
        pool.give(buffer);
        let again = pool.take(100);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(pool.take(99).len(), 99);
    }

    #[test]
    fn sums_and_finiteness() {
        let values: Vec<f32> = (1..=100).map(|x| x as f32).collect();
        assert_eq!(sum(&values), 5050.0);
        let many: Vec<f32> = (0..5000).map(|x| (x % 7) as f32).collect();
        let squares: u64 = (0..5000).map(|x| (x % 7) * (x % 7)).sum();
        let total: u64 = (0..5000).map(|x| x % 7).sum();
        assert_eq!(sums_of_pairs(&many, &many, |a, b| [a * b, a]), [squares as f64, total as f64]);
        assert!(all_finite(&values) && all_finite(&[]) && all_finite(&[f32::MAX, f32::MAX, -0.0]));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 4096, 9999] {
                let mut values = vec![1.0; 10_000];
                values[place] = bad;
                assert!(!all_finite(&values));
            }
        }
    }
}
