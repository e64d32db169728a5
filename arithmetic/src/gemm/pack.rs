//! Quantising operands into their packed layout.
//!
//! Values come in two orders: along K, where a group lies side by side, and across, where the same K of neighbouring rows
//! (columns of B) does. Both are taken as they lie, without a transposed copy. Groups that are not ordinary, and roundings
//! other than to the nearest, go through the same [`Rounder::group`] as the reference.

use std::ops::Range;

use rayon::prelude::*;

use super::CpuPath;
use super::packed::{First, LANES, Layout, Line, ONE, Second, Span, Word};
use super::round::{self, Across, Cell, Lanes, Scale, Sink};
use crate::bfp::{Rounder, ZERO};
use crate::{Matrix, Rounding};

/// What quantising an operand needs.
#[derive(Clone, Copy)]
pub(super) struct Packer<'a> {
    /// Rows are those of A, or the columns of B; columns run along K.
    pub matrix: Matrix<'a>,
    pub layout: Layout,
    pub rounder: Rounder,
    pub path: CpuPath,
    pub parallel: bool,
}

impl Packer<'_> {
    fn groups(&self) -> usize {
        self.layout.format.groups(self.matrix.cols())
    }

    /// The whole operand as rows of A.
    pub fn first(&self) -> First {
        let (rows, groups) = (self.matrix.rows(), self.groups());
        let mut first = First::new(self.layout, rows, groups);
        if groups == 0 {
            return first;
        }
        let strip = LANES * groups;
        let words = first.words.chunks_mut(strip * self.layout.row_group());
        let rest = first.exponents.chunks_mut(strip).zip(first.spans.chunks_mut(LANES));
        self.each(words.zip(rest), |i, (words, (exponents, spans))| {
            self.rows_of_first(i * LANES, words, exponents, spans);
        });
        first
    }

    /// Fills `second` with the panels from `panel` on, as many as there are and fit.
    pub fn second(&self, panel: usize, second: &mut Second) {
        let groups = self.groups();
        if groups == 0 {
            return;
        }
        let panels = (self.matrix.rows().div_ceil(LANES) - panel).min(second.spans.len());
        // A task takes several panels, so that it reads whole stretches of values that lie across.
        let tasks = if self.parallel { 2 * rayon::current_num_threads() } else { 1 };
        let several = panels.div_ceil(tasks).max(1);
        let lines = second.lines.chunks_mut(several * groups * self.layout.panel_group());
        let exponents = second.exponents.chunks_mut(several * groups);
        let rest = exponents.zip(second.spans.chunks_mut(several));
        self.each(lines.zip(rest).take(panels.div_ceil(several)), |i, (lines, (exponents, spans))| {
            let count = (panels - i * several).min(several);
            self.panels_of_second(panel + i * several, lines, exponents, &mut spans[..count]);
        });
    }

    /// Does something with each part and its number, on all threads or on this one.
    fn each<T: Send>(&self, parts: impl Iterator<Item = T> + Send, run: impl Fn(usize, T) + Sync) {
        if self.parallel {
            parts.enumerate().par_bridge().for_each(|(i, part)| run(i, part));
        } else {
            parts.enumerate().for_each(|(i, part)| run(i, part));
        }
    }

    /// Whether rows lie along K and have groups of 16 in bytes, the usual case, which is taken row by row.
    fn by_rows(&self) -> bool {
        let Layout { format, word, steps, .. } = self.layout;
        let usual = word == Word::Bytes && steps == 4 && format.group == 16;
        usual && self.nearest() && self.matrix.col_stride() == 1
    }

    fn nearest(&self) -> bool {
        self.layout.format.rounding == Rounding::NearestEven
    }

    fn rows_of_first(&self, row: usize, words: &mut [u32], exponents: &mut [i16], spans: &mut [Span]) {
        let (groups, size) = (self.groups(), self.layout.row_group());
        let mut scratch = Scratch::new(self.layout);
        if self.by_rows() {
            let rows =
                words.chunks_mut(groups * size).zip(exponents.chunks_mut(groups)).zip(spans).enumerate();
            for (r, ((words, exponents), span)) in rows {
                let mut sink =
                    Row { words: words.as_chunks_mut().0, exponents, offset: self.layout.offset() };
                *span = self.row(row + r, 0, &mut sink, &mut scratch);
            }
            return;
        }
        for group in 0..groups {
            self.cell(row..row + spans.len(), group, 0, &mut scratch);
            let Cell { words: steps, exponents: of_lanes, scales, sums, .. } = &scratch.cell;
            for lane in 0..spans.len() {
                let at = lane * groups + group;
                let words = &mut words[at * size..][..size];
                let correction = correction(self.layout.offset(), sums[lane]);
                match (<&mut [u32; 6]>::try_from(&mut *words), &steps[..]) {
                    // The usual size is known to the compiler.
                    (Ok(words), [x, y, z, w]) => {
                        *words = [x[lane], y[lane], z[lane], w[lane], scales[lane], correction];
                    }
                    _ => {
                        for (word, lanes) in words.iter_mut().zip(steps) {
                            *word = lanes[lane];
                        }
                        (words[size - 2], words[size - 1]) = (scales[lane], correction);
                    }
                }
                exponents[at] = of_lanes[lane];
            }
        }
        for (lane, span) in spans.iter_mut().enumerate() {
            *span = Span::new(scratch.cell.low[lane], scratch.cell.high[lane]);
        }
    }

    fn panels_of_second(
        &self,
        panel: usize,
        lines: &mut [Line],
        exponents: &mut [Lanes<i16>],
        spans: &mut [Span],
    ) {
        let (groups, size) = (self.groups(), self.layout.panel_group());
        let mut scratch = Scratch::new(self.layout);
        let columns = |p: usize| (panel + p) * LANES..((panel + p + 1) * LANES).min(self.matrix.rows());
        spans.fill(Span::EMPTY);
        if self.by_rows() {
            let panels =
                lines.chunks_mut(groups * size).zip(exponents.chunks_mut(groups)).zip(spans).enumerate();
            for (p, ((lines, exponents), span)) in panels {
                if columns(p).len() < LANES {
                    lines.fill(Line::ZERO);
                    exponents.fill([ZERO; LANES]);
                }
                for (lane, column) in columns(p).enumerate() {
                    let mut sink = Lane { lines: lines.as_chunks_mut().0, exponents, lane };
                    *span = span.with(self.row(column, self.layout.offset(), &mut sink, &mut scratch));
                }
            }
            return;
        }
        // Groups in the outer loop: whole stretches of values that lie across are read side by side.
        for group in 0..groups {
            for (p, span) in spans.iter_mut().enumerate() {
                scratch.cell.restart();
                self.cell(columns(p), group, self.layout.offset(), &mut scratch);
                let (cell, at) = (&scratch.cell, p * groups + group);
                let lines = &mut lines[at * size..][..size];
                let scales = cell.scales.map(|scale| scale.wrapping_add(ONE));
                for (line, words) in lines.iter_mut().zip(cell.words.iter().chain([&scales])) {
                    line.0 = *words;
                }
                exponents[at] = cell.exponents;
                let (low, high) = (cell.low.into_iter().min(), cell.high.into_iter().max());
                *span = span.with(Span::new(low.unwrap_or(i16::MAX), high.unwrap_or(i16::MIN)));
            }
        }
    }

    /// Quantises a row that lies along K.
    fn row(&self, row: usize, offset: i32, sink: &mut impl Sink, scratch: &mut Scratch) -> Span {
        let (stride, k) = (self.matrix.row_stride(), self.matrix.cols());
        let values = &self.matrix.data()[row * stride..][..k];
        let (whole, mut span, mut group) = (values.as_chunks().0, Span::EMPTY, 0);
        while group < self.groups() {
            group = round::along(self.path, self.layout, (whole, group), offset, &mut span, sink);
            if group < self.groups() {
                scratch.cell.restart();
                self.cell(row..row + 1, group, offset, scratch);
                let cell = &scratch.cell;
                let words = std::array::from_fn(|step| cell.words[step][0]);
                let scale = Scale { exponent: cell.exponents[0], bits: cell.scales[0], inverse: 0 };
                sink.put(group, words, scale, cell.sums[0]);
                span = span.with(Span::new(cell.low[0], cell.high[0]));
                group += 1;
            }
        }
        span
    }

    /// Quantises one group of up to sixteen rows, with `offset` added to each mantissa; other lanes become groups of zeros.
    fn cell(&self, rows: Range<usize>, group: usize, offset: i32, scratch: &mut Scratch) {
        let g = self.layout.format.group;
        let columns = group * g..((group + 1) * g).min(self.matrix.cols());
        if self.nearest() {
            let Scratch { values, cell, .. } = scratch;
            let across = if self.matrix.row_stride() == 1 && rows.len() == LANES {
                let stride = self.matrix.col_stride();
                Across::new(&self.matrix.data()[rows.start + columns.start * stride..], stride, columns.len())
            } else {
                for (to, k) in values.iter_mut().zip(columns.clone()) {
                    *to = [0.0; LANES];
                    for (to, row) in to.iter_mut().zip(rows.clone()) {
                        *to = self.matrix.at(row, k);
                    }
                }
                Across::new(values.as_flattened(), LANES, columns.len())
            };
            if round::across(self.path, self.layout, across, offset, cell) {
                return;
            }
        }
        scratch.cell.clear(self.layout, offset);
        for (lane, row) in rows.enumerate() {
            self.lane(row, columns.clone(), offset, lane, scratch);
        }
    }

    /// Quantises one group of one row as the reference does.
    fn lane(&self, row: usize, columns: Range<usize>, offset: i32, lane: usize, scratch: &mut Scratch) {
        let Scratch { cell, along, mantissas, .. } = scratch;
        along.clear();
        along.extend(columns.clone().map(|column| self.matrix.at(row, column)));
        mantissas.fill(0);
        let e = self.rounder.group(along, &mut mantissas[..columns.len()], row, columns.start);
        cell.exponents[lane] = e;
        cell.scales[lane] = Layout::scale(e);
        cell.sums[lane] = mantissas.iter().map(|&q| i32::from(q)).sum();
        if e != ZERO {
            cell.low[lane] = cell.low[lane].min(e);
            cell.high[lane] = cell.high[lane].max(e);
        }
        let word = self.layout.word;
        for (words, m) in cell.words.iter_mut().zip(mantissas.chunks(word.values())) {
            words[lane] = word.join(m.iter().map(|&q| i32::from(q) + offset));
        }
    }
}

/// What takes the second operand's offset away again: `sum` is that of the first's mantissas.
fn correction(offset: i32, sum: i32) -> u32 {
    -(offset * sum) as u32
}

/// A row of the first operand.
struct Row<'a> {
    words: &'a mut [[u32; 6]],
    exponents: &'a mut [i16],
    offset: i32,
}

impl Sink for Row<'_> {
    #[inline(always)]
    fn put(&mut self, group: usize, [x, y, z, w]: [u32; 4], scale: Scale, sum: i32) {
        self.words[group] = [x, y, z, w, scale.bits, correction(self.offset, sum)];
        self.exponents[group] = scale.exponent;
    }
}

/// A column of the second operand, in its lane of a panel.
struct Lane<'a> {
    lines: &'a mut [[Line; 5]],
    exponents: &'a mut [Lanes<i16>],
    lane: usize,
}

impl Sink for Lane<'_> {
    #[inline(always)]
    fn put(&mut self, group: usize, [x, y, z, w]: [u32; 4], scale: Scale, _: i32) {
        for (line, word) in self.lines[group].iter_mut().zip([x, y, z, w, scale.bits.wrapping_add(ONE)]) {
            line.0[self.lane] = word;
        }
        self.exponents[group][self.lane] = scale.exponent;
    }
}

/// What quantising a cell needs, and the cell.
struct Scratch {
    cell: Cell,
    values: Vec<Lanes<f32>>,
    along: Vec<f32>,
    mantissas: Vec<i16>,
}

impl Scratch {
    fn new(layout: Layout) -> Self {
        let group = layout.format.group;
        let (values, mantissas) = (vec![[0.0; LANES]; group], vec![0; group]);
        Self { cell: Cell::new(layout), values, along: Vec::with_capacity(group), mantissas }
    }
}
