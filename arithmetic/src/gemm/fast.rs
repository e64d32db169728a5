//! The fast path: operands are quantised into packed bytes, dot products formed without residues, and what the channel hit is
//! put right on the way.
//!
//! A is packed as a whole. B is packed in *slabs* of columns that fit the second-level cache, once each, and every *strip* of
//! rows meets a slab panel by panel. Where a read is hit, the tile is cut: the groups before it, then its group, whose wrong
//! value takes the place of the true one in the one element, then the groups after it. So nothing is formed twice.

use rayon::prelude::*;

use super::pack::Packer;
use super::packed::{First, LANES, Layout, Second, Span, dot};
use super::queue::{Hit, Queue};
use super::read::Reads;
use super::tile::{Place, Sums, any_exponent};
use super::{EmulatedGemm, canonical};
use crate::bfp::scale;
use crate::{Counters, Matrix, Site};
use std::ops::Range;

/// The most rows of C in one unit of work.
const STRIP: usize = 96;

/// Bytes of a slab of B, for each thread.
const SLAB: usize = 256 << 10;

/// Products smaller than this are not worth a second thread.
const SMALL: usize = 1 << 21;

pub(super) fn multiply(
    gemm: &EmulatedGemm,
    site: Site,
    a: Matrix<'_>,
    b: Matrix<'_>,
    out: &mut [f32],
) -> Counters {
    let (rows, columns, format) = (a.rows(), b.cols(), gemm.config.format);
    let groups = format.groups(a.cols());
    if out.is_empty() || groups == 0 {
        out.fill(0.0);
        return Counters::default();
    }
    let threads = if rows * columns * a.cols() < SMALL { 1 } else { rayon::current_num_threads() };
    let (layout, parallel) = (Layout::new(format), threads > 1);
    let packer = |matrix, operand| {
        let rounder = gemm.rounder(site, operand);
        Packer { matrix, layout, rounder, path: gemm.path, parallel }
    };
    let (first, packer) = (packer(a, 0).first(), packer(b.transposed(), 1));

    let panels = columns.div_ceil(LANES);
    let slab = (threads * SLAB / (groups * layout.panel_group() * 4 * LANES)).clamp(1, panels);
    let mut second = Second::new(layout, slab, groups);
    let size = strip_rows(gemm, rows, groups, threads);
    let mut strips: Vec<Strip> = (0..rows)
        .step_by(size)
        .map(|row| Strip::new(gemm, site, &first, row..rows.min(row + size), columns))
        .collect();
    for panel in (0..panels).step_by(slab) {
        packer.second(panel, &mut second);
        let slab = panel..panels.min(panel + slab);
        let run = |(strip, out): (&mut Strip, &mut [f32])| strip.slab(&second, slab.clone(), out);
        if parallel {
            strips.par_iter_mut().zip(out.par_chunks_mut(size * columns)).for_each(run);
        } else {
            strips.iter_mut().zip(out.chunks_mut(size * columns)).for_each(run);
        }
    }
    let residues = rows as u64 * columns as u64 * groups as u64 * gemm.config.moduli.len() as u64;
    strips.iter().map(|strip| strip.reads.counters).sum::<Counters>()
        + Counters { residues, ..Counters::default() }
}

/// Rows of a strip: enough strips for all threads, and where errors are frequent so few rows that their candidates take
/// little memory.
fn strip_rows(gemm: &EmulatedGemm, rows: usize, groups: usize, threads: usize) -> usize {
    const CANDIDATES: f64 = 262_144.0;
    let block = gemm.path.rows();
    let share = if threads == 1 { STRIP } else { rows.div_ceil(2 * threads).min(STRIP) };
    let of_row = gemm.candidates() * Queue::reach(groups) as f64;
    let share = if of_row * share as f64 > CANDIDATES { (CANDIDATES / of_row) as usize } else { share };
    share.max(1).next_multiple_of(block)
}

/// Some rows of C.
struct Strip<'a> {
    gemm: &'a EmulatedGemm,
    first: &'a First,
    rows: Range<usize>,
    columns: usize,
    span: Span,
    queue: Queue,
    reads: Reads<'a>,
    /// By panel of the slab and row.
    sums: Vec<Sums>,
    /// Elements before the group that was hit.
    before: Vec<f32>,
}

impl<'a> Strip<'a> {
    fn new(gemm: &'a EmulatedGemm, site: Site, first: &'a First, rows: Range<usize>, columns: usize) -> Self {
        let span = first.spans[rows.clone()].iter().fold(Span::EMPTY, |s, &row| s.with(row));
        let reads = Reads::new(gemm, site, first.groups);
        let queue = Queue::new(rows.clone(), columns, first.groups);
        Self { gemm, first, rows, columns, span, queue, reads, sums: Vec::new(), before: Vec::new() }
    }

    /// Forms the columns of a slab, which holds the given panels.
    fn slab(&mut self, second: &Second, panels: Range<usize>, out: &mut [f32]) {
        let rows = self.rows.len();
        self.sums.clear();
        self.sums.resize(panels.len() * rows, [0.0; LANES]);
        let mut sums = std::mem::take(&mut self.sums);
        for ((at, panel), sums) in panels.clone().enumerate().zip(sums.chunks_exact_mut(rows)) {
            self.panel(second, (at, panel), sums);
        }
        // Whole stretches of a row of C are written at once.
        let (first, end) = (panels.start * LANES, (panels.end * LANES).min(self.columns));
        for (r, out) in out.chunks_exact_mut(self.columns).enumerate() {
            for (panel, out) in out[first..end].chunks_mut(LANES).enumerate() {
                let sums = &mut sums[panel * rows + r];
                canonical(sums);
                match out.first_chunk_mut() {
                    Some(out) => *out = *sums,
                    None => out.copy_from_slice(&sums[..out.len()]),
                }
            }
        }
        self.sums = sums;
    }

    /// Forms the columns of a panel, the one `at` in its slab.
    fn panel(&mut self, second: &Second, (at, panel): (usize, usize), sums: &mut [Sums]) {
        let (groups, chunk) = (self.first.groups, self.first.layout.chunk());
        let hits = self.queue.panel(&self.reads, panel, self.gemm.path.rows(), chunk);
        let mut left = &hits[..];
        for (i, start) in (0..groups).step_by(chunk).enumerate() {
            let here = left.iter().take_while(|hit| hit.chunk() == i).count();
            let (hits, rest) = left.split_at(here);
            left = rest;
            self.chunk(second, (at, panel), start..groups.min(start + chunk), hits, sums);
        }
        self.queue.take_back(hits);
    }

    /// Adds a chunk of groups to all rows.
    fn chunk(
        &mut self,
        second: &Second,
        (at, panel): (usize, usize),
        groups: Range<usize>,
        hits: &[Hit],
        sums: &mut [Sums],
    ) {
        let (block, mut row) = (self.gemm.path.rows(), 0);
        for hits in hits.chunk_by(|x, y| x.block() == y.block()) {
            let start = hits[0].block() * block;
            let end = (start + block).min(self.rows.len());
            self.add(second, at, groups.clone(), row..start, sums);
            self.block(second, (at, panel), groups.clone(), start..end, hits, sums);
            row = end;
        }
        self.add(second, at, groups, row..self.rows.len(), sums);
    }

    /// Adds a chunk of groups to a block of rows some of whose reads were hit.
    fn block(
        &mut self,
        second: &Second,
        (at, panel): (usize, usize),
        groups: Range<usize>,
        rows: Range<usize>,
        hits: &[Hit],
        sums: &mut [Sums],
    ) {
        let mut next = groups.start;
        for hits in hits.chunk_by(|x, y| x.group() == y.group()) {
            let group = groups.start + hits[0].group();
            self.add(second, at, next..group, rows.clone(), sums);
            let reads = || hits.chunk_by(|x, y| x.same_read(y));
            self.before.clear();
            self.before.extend(reads().map(|hits| sums[hits[0].row()][hits[0].lane()]));
            self.add(second, at, group..group + 1, rows.clone(), sums);
            for (i, hits) in reads().enumerate() {
                let (r, lane) = (hits[0].row(), hits[0].lane());
                let (row, column) = (self.rows.start + r, panel * LANES + lane);
                let truth = i64::from(dot(self.first, second, row, group, (at, lane)));
                let candidates = hits.iter().map(|hit| hit.candidate);
                let value = self.reads.value(row, column, group, truth, candidates);
                if value != truth {
                    let ea = self.first.exponents[row * self.first.groups + group];
                    let eb = second.exponents[at * second.groups + group][lane];
                    sums[r][lane] = self.before[i] + scale(value as f32, ea, eb);
                }
            }
            next = group + 1;
        }
        self.add(second, at, next..groups.end, rows, sums);
    }

    /// Adds groups to rows, with vectors where exponents let them.
    fn add(
        &self,
        second: &Second,
        panel: usize,
        groups: Range<usize>,
        rows: Range<usize>,
        sums: &mut [Sums],
    ) {
        if groups.is_empty() || rows.is_empty() {
            return;
        }
        let (tile, row) = (self.gemm.path.tile(), self.rows.start + rows.start);
        if self.span.fits(second.spans[panel]) {
            tile(self.first, second, Place { row, panel, groups }, &mut sums[rows]);
            return;
        }
        for r in rows {
            let (row, groups) = (self.rows.start + r, groups.clone());
            let tile = if self.first.spans[row].fits(second.spans[panel]) { tile } else { any_exponent };
            tile(self.first, second, Place { row, panel, groups }, &mut sums[r..=r]);
        }
    }
}
