//! The fast path: operands are quantised into packed bytes, dot products formed without residues, and what the channel hit is
//! put right on the way.
//!
//! A is packed as a whole. B is packed in *slabs* of columns that fit the second-level cache, once each, and every *strip* of
//! rows meets a slab panel by panel. The reads that the channel hit are known before a tile is formed, and so are the wrong
//! products that come of them: as [`Patch`]es they go along with the tile, and nothing is formed twice.

use rayon::prelude::*;

use super::pack::Packer;
use super::packed::{First, LANES, Layout, Second, Span, dot};
use super::queue::{Hit, Meeting, Queue};
use super::read::Reads;
use super::tile::{Patch, Place, Sums, Tile, any_row};
use super::{EmulatedGemm, canonical};
use crate::bfp::ZERO;
use crate::{Counters, Matrix, Site};
use std::hint::black_box;
use std::ops::Range;
use std::slice;

/// The most rows of C in one unit of work.
const STRIP: usize = 96;

/// Bytes of a slab of B, for each thread.
const SLAB: usize = 256 << 10;

/// Panels whose sums are written to C at once, so that stretches of a row are whole lines of the cache.
const WRITTEN: usize = 8;

/// The most candidates of a strip that are expected to wait at once.
const CANDIDATES: f64 = 4096.0;

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
    let slab = (threads * SLAB / (groups * layout.panel_bytes())).clamp(1, panels.min(Hit::PANELS));
    let mut second = Second::new(layout, slab, groups);
    let size = strip_rows(gemm, rows, groups, threads);
    let worker = || Worker::new(gemm, site, &first, columns);
    let mut one = worker();
    let mut counters = Counters::default();
    for panel in (0..panels).step_by(slab) {
        packer.second(panel, &mut second);
        let slab = panel..panels.min(panel + slab);
        let run = |worker: &mut Worker<'_>, (strip, out): (usize, &mut [f32])| {
            let rows = strip * size..rows.min((strip + 1) * size);
            worker.slab(&second, rows, slab.clone(), out)
        };
        counters += if parallel {
            out.par_chunks_mut(size * columns).enumerate().map_init(worker, run).sum::<Counters>()
        } else {
            out.chunks_mut(size * columns).enumerate().map(|strip| run(&mut one, strip)).sum()
        };
    }
    let residues = rows as u64 * columns as u64 * groups as u64 * gemm.config.moduli.len() as u64;
    counters + Counters { residues, ..Counters::default() }
}

/// Rows of a strip: enough strips for all threads, and where errors are frequent so few rows that their candidates take
/// little memory.
fn strip_rows(gemm: &EmulatedGemm, rows: usize, groups: usize, threads: usize) -> usize {
    let block = gemm.path.rows();
    let share = if threads == 1 { STRIP } else { rows.div_ceil(2 * threads).min(STRIP) };
    let of_row = gemm.candidates() * Queue::reach(groups) as f64;
    let share = if of_row * share as f64 > CANDIDATES { (CANDIDATES / of_row) as usize } else { share };
    share.max(1).next_multiple_of(block)
}

/// What a thread forms strips of C with.
struct Worker<'a> {
    gemm: &'a EmulatedGemm,
    first: &'a First,
    columns: usize,
    queue: Queue,
    reads: Reads<'a>,
    /// By panel and row.
    sums: Vec<Sums>,
    /// Of several panels, and how many each has.
    patches: Vec<Patch>,
    counts: Vec<usize>,
}

impl<'a> Worker<'a> {
    fn new(gemm: &'a EmulatedGemm, site: Site, first: &'a First, columns: usize) -> Self {
        let reads = Reads::new(gemm, site, first.groups);
        let (queue, sums, patches, counts) = (Queue::default(), Vec::new(), Vec::new(), Vec::new());
        Self { gemm, first, columns, queue, reads, sums, patches, counts }
    }

    /// Forms some rows of a slab, which holds the given panels.
    fn slab(
        &mut self,
        second: &Second,
        rows: Range<usize>,
        panels: Range<usize>,
        out: &mut [f32],
    ) -> Counters {
        let span = self.first.spans[rows.clone()].iter().fold(Span::EMPTY, |s, &row| s.with(row));
        let (block, chunk, count) = (self.gemm.path.rows(), self.first.layout.chunk(), rows.len());
        let (columns, groups) = (self.columns, self.first.groups);
        let meeting = Meeting { rows, panels: panels.clone(), columns, groups, block, chunk };
        self.queue.start(&meeting);
        let mut sums = std::mem::take(&mut self.sums);
        for start in (0..panels.len()).step_by(WRITTEN) {
            let several = start..panels.len().min(start + WRITTEN);
            self.find(second, &meeting, several.clone());
            sums.resize(several.len() * count, [0.0; LANES]);
            let mut patches = &self.patches[..];
            for (panel, sums) in several.zip(sums.chunks_exact_mut(count)) {
                let (here, later) = patches.split_at(self.counts[panel - start]);
                self.panel(second, &meeting, span, (panel, here), sums);
                patches = later;
            }
            let column = (panels.start + start) * LANES;
            for (r, out) in out.chunks_exact_mut(columns).enumerate() {
                write(sums[r..].iter().step_by(count), &mut out[column..]);
            }
        }
        self.sums = sums;
        std::mem::take(&mut self.reads.counters)
    }

    /// Finds what is read wrong in some panels, which count from the first of the slab: in several at once, since tiles leave
    /// nothing of the channel's tables in the first-level cache.
    fn find(&mut self, second: &Second, meeting: &Meeting, panels: Range<usize>) {
        self.patches.clear();
        self.counts.clear();
        for panel in panels {
            let (before, of_panel) =
                (self.patches.len(), OfPanel { first: self.first, second, meeting, panel });
            let hits = self.queue.panel(&self.reads, meeting, panel);
            of_panel.fetch(hits);
            for hits in hits.chunk_by(Hit::same_read) {
                self.patches.extend(of_panel.patch(hits, &mut self.reads));
            }
            self.counts.push(self.patches.len() - before);
        }
    }

    /// Forms the columns of a panel, which has the given patches.
    fn panel(
        &self,
        second: &Second,
        meeting: &Meeting,
        span: Span,
        (panel, mut patches): (usize, &[Patch]),
        sums: &mut [Sums],
    ) {
        for start in (0..meeting.groups).step_by(meeting.chunk) {
            let groups = start..meeting.groups.min(start + meeting.chunk);
            let count = patches.iter().take_while(|patch| groups.contains(&(patch.group as usize))).count();
            let (here, later) = patches.split_at(count);
            let tile = Place { row: meeting.rows.start, panel, groups };
            add(self.gemm, (self.first, second), span, tile, here, sums);
            patches = later;
        }
    }
}

/// A panel of a meeting.
struct OfPanel<'a> {
    first: &'a First,
    second: &'a Second,
    meeting: &'a Meeting,
    panel: usize,
}

impl OfPanel<'_> {
    /// Brings the rows of all hits into the cache: the waits for them overlap, which they do not later on, when what is done
    /// with one row must be known before the next is asked for.
    fn fetch(&self, hits: &[Hit]) {
        let first = |hit: &Hit| {
            let (row, group) = self.place(hit);
            self.first.row(row, group..group + 1)[0]
        };
        black_box(hits.iter().map(first).fold(0, |all, word| all ^ word));
    }

    /// Row and group.
    fn place(&self, hit: &Hit) -> (usize, usize) {
        let Meeting { rows, block, chunk, .. } = self.meeting;
        (rows.start + hit.block() * block + hit.row(), hit.chunk() * chunk + hit.group())
    }

    /// What is wrong of a read with these candidates.
    fn patch(&self, hits: &[Hit], reads: &mut Reads<'_>) -> Option<Patch> {
        let (hit, meeting) = (&hits[0], self.meeting);
        let ((row, group), lane) = (self.place(hit), hit.lane());
        let truth = dot(self.first, self.second, row, group, (self.panel, lane));
        let column = (meeting.panels.start + self.panel) * LANES + lane;
        let candidates = hits.iter().map(|hit| (hit.modulus(), hit.quantiles));
        let value = reads.value(row, column, group, truth.into(), candidates);
        (value != truth.into() && !(truth == 0 && self.of_zeros(row, group, lane))).then_some(Patch {
            block: hit.block() as u16,
            row: hit.row() as u8,
            lane: lane as u8,
            group: group as u32,
            truth,
            value,
        })
    }

    /// Whether a group of either operand is one of zeros.
    fn of_zeros(&self, row: usize, group: usize, lane: usize) -> bool {
        self.first.exponents[row * self.first.groups + group] == ZERO
            || self.second.exponents[self.panel * self.second.groups + group][lane] == ZERO
    }
}

/// Adds a tile to the sums of its rows, with vectors where they hold what there is.
fn add(
    gemm: &EmulatedGemm,
    (first, second): (&First, &Second),
    span: Span,
    at: Place,
    patches: &[Patch],
    sums: &mut [Sums],
) {
    let (tile, block, of_second) = (gemm.path.tile(), gemm.path.rows(), second.spans[at.panel]);
    if span.fits(of_second) && patches.iter().all(Patch::narrow) {
        tile(first, second, at, patches, sums);
        return;
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        let row = at.row + r;
        let mine = |patch: &&Patch| usize::from(patch.block) * block + usize::from(patch.row) == r;
        let patches: Vec<Patch> =
            patches.iter().filter(mine).map(|patch| Patch { block: 0, row: 0, ..*patch }).collect();
        let at = Place { row, ..at.clone() };
        if first.spans[row].fits(of_second) {
            cut(tile, (first, second), at, &patches, sums);
        } else {
            any_row(first, second, at, &patches, sums);
        }
    }
}

/// Adds groups to the sums of a row by `tile`, but by themselves those that have patches which are not narrow.
fn cut(tile: Tile, (first, second): (&First, &Second), at: Place, mut patches: &[Patch], sums: &mut Sums) {
    let place = |groups| Place { groups, ..at };
    let mut start = at.groups.start;
    while let Some(patch) = patches.iter().find(|patch| !patch.narrow()) {
        let (before, rest) = patches.split_at(patches.partition_point(|p| p.group < patch.group));
        let (here, later) = rest.split_at(rest.partition_point(|p| p.group == patch.group));
        let group = patch.group as usize;
        tile(first, second, place(start..group), before, slice::from_mut(sums));
        any_row(first, second, place(group..group + 1), here, sums);
        (start, patches) = (group + 1, later);
    }
    tile(first, second, place(start..at.groups.end), patches, slice::from_mut(sums));
}

/// Writes sums to C, of which `out` is the rest of a row.
fn write<'s>(sums: impl Iterator<Item = &'s Sums>, out: &mut [f32]) {
    for (out, sums) in out.chunks_mut(LANES).zip(sums) {
        match out.first_chunk_mut::<LANES>() {
            Some(out) => *out = sums.map(canonical),
            None => out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = canonical(sum)),
        }
    }
}
