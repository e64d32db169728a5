//! The only door for matrix products.

use mirage_arithmetic::{Counters, Matrix, Pass, Site};

/// Something that multiplies matrices: exactly, or as hardware does it.
///
/// Every product of the forward pass and of both gradients goes through one of these, and nothing else
/// does: sums over the batch, activations, losses and updates stay in `f32`, as in the paper.
pub trait Gemm: Send + Sync {
    /// `out` (row-major, `a.rows()` x `b.cols()`) becomes `a` x `b`; what `out` held is lost.
    ///
    /// `site` says which product of the run this is; an implementation that draws random numbers takes
    /// them from there and from its own seed alone, so that a product is the same whenever it is done.
    ///
    /// # Panics
    /// When the sizes do not fit each other, which is a mistake of a layer and not of any input.
    fn multiply(&self, site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters;

    /// A short name for tables: `fp32`, `bfp`, `mirage`.
    fn name(&self) -> &str;
}

/// Plain single precision, on one thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fp32;

impl Gemm for Fp32 {
    fn multiply(&self, _site: Site, a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) -> Counters {
        let (m, k, n) = (a.rows(), a.cols(), b.cols());
        assert_eq!(b.rows(), k, "rows of the second operand");
        assert_eq!(out.len(), m * n, "numbers in the result");
        // SAFETY: a view of m x k (k x n) with these strides lies within its data, which `Matrix` has
        // checked; `out` has m rows of n, and nothing else borrows it.
        unsafe {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                1.0,
                a.data().as_ptr(),
                a.row_stride() as isize,
                a.col_stride() as isize,
                b.data().as_ptr(),
                b.row_stride() as isize,
                b.col_stride() as isize,
                0.0,
                out.as_mut_ptr(),
                n as isize,
                1,
            );
        }
        Counters::default()
    }

    fn name(&self) -> &str {
        "fp32"
    }
}

/// Product sites of a network, and groups of one, stay below this, so that `Site::layer` holds both.
pub const MOST_SITES: u32 = 1 << 16;

/// `Site::layer` of group `group` of a product site: the site, and the group in the upper half, so that each product has random
/// draws of its own.
pub(crate) fn layer_number(site: u32, group: u32) -> u32 {
    debug_assert!(site < MOST_SITES && group < MOST_SITES);
    site | group << 16
}

/// The index into a network's site names that belongs to a `Site::layer`.
pub fn site_index(layer: u32) -> usize {
    (layer % MOST_SITES) as usize
}

/// What the products of each site have met, by pass; the groups of a site together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    sites: Vec<[Counters; 3]>,
}

impl Tally {
    /// Adds what one product has met.
    pub fn add(&mut self, site: Site, counters: Counters) {
        let index = site_index(site.layer);
        if self.sites.len() <= index {
            self.sites.resize(index + 1, Default::default());
        }
        self.sites[index][pass_index(site.pass)] += counters;
    }

    /// What the products of one layer (an index into the network's site names) have met in one pass.
    pub fn get(&self, layer: usize, pass: Pass) -> Counters {
        self.sites.get(layer).map_or_else(Counters::default, |site| site[pass_index(pass)])
    }

    /// By site, and in each by pass (forward, dX, dW).
    pub(crate) fn sites(&self) -> &[[Counters; 3]] {
        &self.sites
    }

    /// From what [`Self::sites`] gave.
    pub(crate) fn from_sites(sites: Vec<[Counters; 3]>) -> Self {
        Self { sites }
    }

    /// Over all sites and passes.
    pub fn total(&self) -> Counters {
        self.sites.iter().flatten().copied().sum()
    }
}

fn pass_index(pass: Pass) -> usize {
    match pass {
        Pass::Forward => 0,
        Pass::InputGradient => 1,
        Pass::WeightGradient => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site { layer: 0, pass: Pass::Forward, step: 0 };

    #[test]
    fn fp32_multiplies_views_and_their_transposes() {
        let (m, k, n) = (3, 5, 4);
        let a: Vec<f32> = (0..m * k).map(|x| x as f32 - 7.0).collect();
        let b: Vec<f32> = (0..k * n).map(|x| (x * x) as f32 * 0.5).collect();
        let flip = |data: &[f32], rows: usize, cols: usize| -> Vec<f32> {
            (0..cols * rows).map(|i| data[i % rows * cols + i / rows]).collect()
        };
        let want: Vec<f32> =
            (0..m * n).map(|i| (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum()).collect();
        let (at, bt) = (flip(&a, m, k), flip(&b, k, n));
        let mut out = vec![f32::NAN; m * n];
        Fp32.multiply(SITE, Matrix::new(&a, m, k), Matrix::new(&b, k, n), &mut out);
        assert_eq!(out, want);
        out.fill(f32::NAN);
        Fp32.multiply(
            SITE,
            Matrix::new(&at, k, m).transposed(),
            Matrix::new(&bt, n, k).transposed(),
            &mut out,
        );
        assert_eq!(out, want);
    }

    #[test]
    fn a_tally_keeps_sites_and_passes_apart() {
        let mut tally = Tally::default();
        let counters = Counters { residues: 5, ..Counters::default() };
        tally.add(Site { layer: 2, pass: Pass::WeightGradient, step: 1 }, counters);
        tally.add(Site { layer: 2, pass: Pass::WeightGradient, step: 2 }, counters);
        tally.add(Site { layer: 0, pass: Pass::Forward, step: 2 }, counters);
        // The last group of site 1.
        tally.add(Site { layer: layer_number(1, 65535), pass: Pass::Forward, step: 2 }, counters);
        assert_eq!(tally.get(1, Pass::Forward).residues, 5);
        assert_eq!(tally.get(2, Pass::WeightGradient).residues, 10);
        assert_eq!(tally.get(2, Pass::Forward).residues, 0);
        assert_eq!(tally.get(9, Pass::Forward).residues, 0);
        assert_eq!(tally.total().residues, 20);
    }
}
