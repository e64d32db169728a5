//! The fast path: dot products without residues, then the elements that the channel hit once more.

use rayon::prelude::*;

use super::packed::{First, Second, fits};
use super::read::RowErrors;
use super::{EmulatedGemm, canonical, kernel};
use crate::bfp::{POISON, Quantised, scale};
use crate::{Counters, Site};

/// Rows of C in one unit of work.
const STRIP: usize = 32;

/// Products smaller than this are not worth a second thread.
const SMALL: usize = 1 << 21;

pub(super) fn multiply(
    gemm: &EmulatedGemm,
    site: Site,
    a: &Quantised,
    b: &Quantised,
    out: &mut [f32],
) -> Counters {
    let (rows, columns, groups) = (a.rows(), b.rows(), a.groups());
    let reads = rows as u64 * columns as u64 * groups as u64;
    let mut counters = Counters { residues: reads * gemm.config.moduli.len() as u64, ..Counters::default() };
    if out.is_empty() {
        return counters;
    }
    let format = gemm.config.format;
    let exact = fits(format, a, b);
    let packed = (exact && kernel::available()).then(|| (First::new(format, a), Second::new(format, b)));
    let strip = |(i, out): (usize, &mut [f32])| {
        let (first, mut elements) = (i * STRIP, Elements::new(a, b, exact));
        match &packed {
            Some((pa, pb)) => kernel::rows(pa, pb, first, columns, out),
            None => plain(&mut elements, first, columns, out),
        }
        let mut counters = Counters::default();
        for (r, out) in out.chunks_mut(columns).enumerate() {
            counters += errors(gemm, site, &mut elements, first + r, out);
        }
        canonical(out);
        counters
    };
    let strips = STRIP * columns;
    counters += if rows * columns * groups * format.group < SMALL {
        out.chunks_mut(strips).enumerate().map(strip).sum::<Counters>()
    } else {
        out.par_chunks_mut(strips).enumerate().map(strip).sum()
    };
    counters
}

/// The portable path, for processors without the kernel and operands that do not fit it.
fn plain(elements: &mut Elements<'_>, first: usize, columns: usize, out: &mut [f32]) {
    for (r, out) in out.chunks_mut(columns).enumerate() {
        for (column, out) in out.iter_mut().enumerate() {
            *out = elements.form(first + r, column, |_, dot| dot);
        }
    }
}

/// Forms single elements of C once more; the buffer holds the dot products of one element.
struct Elements<'a> {
    a: &'a Quantised,
    b: &'a Quantised,
    /// Whether scaling in f32 is exact.
    exact: bool,
    dots: Vec<i32>,
}

impl<'a> Elements<'a> {
    fn new(a: &'a Quantised, b: &'a Quantised, exact: bool) -> Self {
        Self { a, b, exact, dots: vec![0; a.groups()] }
    }

    /// One element; `read` turns the true dot product of a group into the value that is used.
    fn form(&mut self, row: usize, column: usize, mut read: impl FnMut(usize, i64) -> i64) -> f32 {
        let (a, b) = (self.a, self.b);
        kernel::dots(a.row(row), b.row(column), &mut self.dots);
        let exponents = a.row_exponents(row).iter().zip(b.row_exponents(column));
        let mut sum = 0f32;
        for (group, (&dot, (&ea, &eb))) in self.dots.iter().zip(exponents).enumerate() {
            let value = read(group, i64::from(dot));
            // A group of zeros has a dot product of 0, unless it was hit.
            let small = self.exact && value == i64::from(dot);
            sum += if small { dot as f32 * (normal(ea) * normal(eb)) } else { scale(value as f32, ea, eb) };
        }
        sum
    }
}

/// 2^e for the exponents that the kernel takes.
#[inline]
fn normal(e: i16) -> f32 {
    if e == POISON { f32::NAN } else { f32::from_bits(((i32::from(e).max(-126) + 127) as u32) << 23) }
}

/// Forms the elements of a row that the channel may have hit once more, in order, with what was read.
fn errors(
    gemm: &EmulatedGemm,
    site: Site,
    elements: &mut Elements<'_>,
    row: usize,
    out: &mut [f32],
) -> Counters {
    let groups = elements.a.groups();
    let errors = RowErrors::new(gemm, site, row, out.len(), groups);
    let mut counters = Counters::default();
    for of_column in
        errors.candidates.chunk_by(|x, y| x.position / groups as u64 == y.position / groups as u64)
    {
        let column = (of_column[0].position / groups as u64) as usize;
        let mut left = of_column;
        out[column] = elements.form(row, column, |group, truth| {
            let position = (column * groups + group) as u64;
            let here = left.iter().take_while(|c| c.position == position).count();
            if here == 0 {
                return truth;
            }
            let (hits, rest) = left.split_at(here);
            left = rest;
            errors.value(truth, hits, group, &mut counters)
        });
    }
    counters
}
