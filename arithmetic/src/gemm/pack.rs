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
use super::round::{self, Cell, Lanes};
use crate::bfp::Rounder;
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
        let mut scratch = Scratch::new(self.layout);
        for group in 0..groups {
            self.cell(row..row + spans.len(), group, 0, &mut scratch);
            let cell = &scratch.cell;
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
        let mut scratch = Scratch::new(self.layout);
        for group in 0..groups {
            for (p, span) in spans.iter_mut().enumerate() {
                let column = (panel + p) * LANES;
                let columns = column..(column + LANES).min(self.matrix.rows());
                let lanes = columns.len();
                self.cell(columns, group, self.layout.offset(), &mut scratch);
                let cell = &scratch.cell;
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
    fn cell(&self, rows: Range<usize>, group: usize, offset: i32, scratch: &mut Scratch) {
        let g = self.layout.format.group;
        let columns = group * g..((group + 1) * g).min(self.matrix.cols());
        let nearest = self.layout.format.rounding == Rounding::NearestEven;
        let across = nearest && self.matrix.row_stride() == 1 && rows.len() == LANES;
        let Scratch { cell, across: values, .. } = scratch;
        if across {
            for (to, k) in values.iter_mut().zip(columns.clone()) {
                *to = *self.matrix.data()[rows.start + k * self.matrix.col_stride()..].first_chunk().expect("sixteen rows");
            }
            values[columns.len()..].fill([0.0; LANES]);
            if round::across(self.path, self.layout, values, offset, cell) {
                return;
            }
        }
        cell.clear(self.layout, offset);
        for (lane, row) in rows.enumerate() {
            self.lane(row, columns.clone(), offset, lane, scratch);
        }
    }

    /// Quantises one group of one row.
    fn lane(&self, row: usize, columns: Range<usize>, offset: i32, lane: usize, scratch: &mut Scratch) {
        let Scratch { cell, along, mantissas, .. } = scratch;
        let whole = columns.len() == self.layout.format.group;
        let values = if whole && self.matrix.col_stride() == 1 {
            &self.matrix.data()[row * self.matrix.row_stride() + columns.start..][..columns.len()]
        } else {
            along.fill(0.0);
            for (to, column) in along.iter_mut().zip(columns.clone()) {
                *to = self.matrix.at(row, column);
            }
            along
        };
        let nearest = self.layout.format.rounding == Rounding::NearestEven;
        if nearest && round::along(self.path, self.layout, values, offset, lane, cell) {
            return;
        }
        mantissas.fill(0);
        let count = columns.len();
        cell.exponents[lane] = self.rounder.group(&values[..count], &mut mantissas[..count], row, columns.start);
        cell.sums[lane] = mantissas.iter().map(|&q| i32::from(q)).sum();
        let word = self.layout.word;
        for (words, m) in cell.words.iter_mut().zip(mantissas.chunks(word.values())) {
            words[lane] = word.join(m.iter().map(|&q| i32::from(q) + offset));
        }
    }
}

/// What quantising a cell needs, and the cell.
struct Scratch {
    cell: Cell,
    across: Vec<Lanes<f32>>,
    along: Vec<f32>,
    mantissas: Vec<i16>,
}

impl Scratch {
    fn new(layout: Layout) -> Self {
        let group = layout.format.group;
        let mut cell = Cell { words: Vec::new(), exponents: [0; LANES], sums: [0; LANES] };
        cell.clear(layout, 0);
        Self { cell, across: vec![[0.0; LANES]; group], along: vec![0.0; group], mantissas: vec![0; group] }
    }
}
