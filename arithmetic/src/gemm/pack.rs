//! Quantising operands into their packed layout.
//!
//! Values come in two orders: along K, where a group lies side by side, and across, where the same K of neighbouring rows
//! (columns of B) does. Both are taken as they lie. The inner loops are plain code over arrays, compiled for the instructions
//! of each path; groups that are not ordinary, and roundings other than to the nearest, go through the same
//! [`Rounder::group`] as the reference.

use std::ops::Range;

use rayon::prelude::*;

use super::CpuPath;
use super::packed::{First, LANES, Layout, Line, Second, Span};
use crate::bfp::{ROUND, Rounder};
use crate::{Matrix, Rounding};

/// Sixteen rows of one group: values or words.
type Lanes<T> = [T; LANES];

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

/// The groups of some rows, as the inner loops leave them: words by step and lane.
struct Cell {
    words: Vec<Lanes<u32>>,
    exponents: Lanes<i16>,
    /// Sums of the mantissas.
    sums: Lanes<i32>,
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
        let parts = words.zip(first.exponents.chunks_mut(strip)).zip(first.spans.chunks_mut(LANES)).enumerate();
        let fill = |(i, ((words, exponents), spans)): (usize, ((&mut [u32], &mut [i16]), &mut [Span]))| {
            self.rows_of_first(i * LANES, words, exponents, spans);
        };
        if self.parallel { parts.par_bridge().for_each(fill) } else { parts.for_each(fill) }
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
        let parts = lines.zip(exponents).zip(second.spans.chunks_mut(several)).enumerate();
        let parts = parts.take(panels.div_ceil(several));
        let fill = |(i, ((lines, exponents), spans)): (usize, ((&mut [Line], &mut [Lanes<i16>]), &mut [Span]))| {
            let count = (panels - i * several).min(several);
            self.panels_of_second(panel + i * several, lines, exponents, &mut spans[..count]);
        };
        if self.parallel { parts.par_bridge().for_each(fill) } else { parts.for_each(fill) }
    }

    fn rows_of_first(&self, row: usize, words: &mut [u32], exponents: &mut [i16], spans: &mut [Span]) {
        let (groups, steps, format) = (self.groups(), self.layout.steps, self.layout.format);
        spans.fill(Span::EMPTY);
        let mut cell = Cell::new(self.layout);
        for group in 0..groups {
            self.cell(row..row + spans.len(), group, 0, &mut cell);
            for (lane, span) in spans.iter_mut().enumerate() {
                let at = lane * groups + group;
                let words = &mut words[at * self.layout.row_group()..][..self.layout.row_group()];
                for (word, lanes) in words.iter_mut().zip(&cell.words) {
                    *word = lanes[lane];
                }
                let scale = self.layout.scale(cell.exponents[lane]);
                let correction = -((self.layout.offset() * cell.sums[lane]) as f32) * scale;
                (words[steps], words[steps + 1]) = (scale.to_bits(), correction.to_bits());
                exponents[at] = cell.exponents[lane];
                span.add(format, cell.exponents[lane]);
            }
        }
    }

    fn panels_of_second(&self, panel: usize, lines: &mut [Line], exponents: &mut [Lanes<i16>], spans: &mut [Span]) {
        let (groups, steps, size) = (self.groups(), self.layout.steps, self.layout.panel_group());
        spans.fill(Span::EMPTY);
        let mut cell = Cell::new(self.layout);
        for group in 0..groups {
            for (p, span) in spans.iter_mut().enumerate() {
                let column = (panel + p) * LANES;
                let columns = column..(column + LANES).min(self.matrix.rows());
                let lanes = columns.len();
                self.cell(columns, group, self.layout.offset(), &mut cell);
                let at = p * groups + group;
                let lines = &mut lines[at * size..][..size];
                for (line, words) in lines.iter_mut().zip(&cell.words) {
                    line.0 = *words;
                }
                lines[steps].0 = cell.exponents.map(|e| self.layout.scale(e).to_bits());
                exponents[at] = cell.exponents;
                for &e in &cell.exponents[..lanes] {
                    span.add(self.layout.format, e);
                }
            }
        }
    }

    /// Quantises one group of up to sixteen rows, with `offset` added to each mantissa; other lanes become groups of zeros.
    fn cell(&self, rows: Range<usize>, group: usize, offset: i32, cell: &mut Cell) {
        let g = self.layout.format.group;
        let columns = group * g..((group + 1) * g).min(self.matrix.cols());
        let nearest = self.layout.format.rounding == Rounding::NearestEven;
        if nearest && rows.len() == LANES && self.matrix.row_stride() == 1 {
            let _ = (&rows, &columns, offset);
        }
        self.slowly(rows, columns, offset, cell);
    }

    fn slowly(&self, rows: Range<usize>, columns: Range<usize>, offset: i32, cell: &mut Cell) {
        let mut values = Vec::with_capacity(columns.len());
        let mut mantissas = vec![0i16; self.layout.format.group];
        cell.clear(self.layout, offset);
        for (lane, row) in rows.enumerate() {
            values.clear();
            values.extend(columns.clone().map(|column| self.matrix.at(row, column)));
            mantissas.fill(0);
            cell.exponents[lane] =
                self.rounder.group(&values, &mut mantissas[..values.len()], row, columns.start);
            let word = self.layout.word;
            for (step, m) in mantissas.chunks(word.values()).enumerate() {
                cell.words[step][lane] = word.join(m.iter().map(|&q| i32::from(q) + offset));
            }
            cell.sums[lane] = mantissas.iter().map(|&q| i32::from(q)).sum();
        }
    }
}

impl Cell {
    fn new(layout: Layout) -> Self {
        let words = vec![[0; LANES]; layout.steps];
        Self { words, exponents: [0; LANES], sums: [0; LANES] }
    }

    /// All lanes become groups of zeros.
    fn clear(&mut self, layout: Layout, offset: i32) {
        let zeros = layout.word.join(std::iter::repeat_n(offset, layout.word.values()));
        self.words.fill([zeros; LANES]);
        self.exponents = [layout.format.zero_exponent(); LANES];
        self.sums = [0; LANES];
    }
}
