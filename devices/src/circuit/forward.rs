//! The forward solver, for circuits in which light never comes back to where it was.
//!
//! First, parts that lie in a row or side by side are multiplied together where that leaves fewer edges. Then every node
//! takes, in topological order, what its predecessors have, for all inputs at once. That is exact whatever the number of
//! parts on the paths. A node holds values only for the inputs that can reach it (its light cone).

use std::ops::Range;

use super::eliminate::{Elimination, Program};
use super::graph::Graph;
use super::lanes::{Lanes, Planar, Shared, WIDTH};
use crate::vectorised::vectorised;

#[derive(Debug, Clone)]
pub(super) struct Forward {
    program: Program,
    columns: usize,
    /// Buffers of one value for each input.
    buffers: usize,
    steps: Vec<Step>,
    segments: Vec<Segment>,
    terms: Vec<Term>,
    directs: Vec<Direct>,
    /// (sink, source) of each result, in the order of their lanes.
    pairs: Vec<(usize, usize)>,
}

/// The values of one node.
#[derive(Debug, Clone)]
struct Step {
    /// Where they go: a buffer, or the lanes of results from here on.
    target: Target,
    /// Inputs whose light gets there lie in this range.
    columns: Range<usize>,
    segments: Range<usize>,
    directs: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Buffer(usize),
    Results(usize),
}

/// A range of inputs over which the same predecessors count.
#[derive(Debug, Clone)]
struct Segment {
    columns: Range<usize>,
    terms: Range<usize>,
}

/// The values in a buffer, which begin with the input `first`, times the value of a slot.
#[derive(Debug, Clone, Copy)]
struct Term {
    buffer: usize,
    first: usize,
    slot: usize,
}

/// An input that drives the node itself.
#[derive(Debug, Clone, Copy)]
struct Direct {
    column: usize,
    slot: usize,
}

impl Forward {
    /// The plan, or a loop of nodes where there is one.
    pub fn new(graph: &Graph) -> Result<Self, Vec<usize>> {
        let order = graph.order()?;
        let mut elimination = Elimination::new(graph);
        while fuse(&mut elimination, graph, &order) {}
        let mut planner = Planner::new(graph, &elimination);
        for &node in order.iter().filter(|n| **n >= graph.sources && elimination.is_connected(**n)) {
            planner.node(node);
        }
        let Planner { mut plan, .. } = planner;
        plan.program = elimination.finish();
        Ok(plan)
    }

    pub fn pairs(&self) -> &[(usize, usize)] {
        &self.pairs
    }

    /// The same with slots renamed.
    fn renamed(&self, name: impl Fn(u32) -> u32) -> Self {
        let mut plan = self.clone();
        plan.program = plan.program.renamed(&name);
        plan.terms.iter_mut().for_each(|t| t.slot = name(t.slot as u32) as usize);
        plan.directs.iter_mut().for_each(|d| d.slot = name(d.slot as u32) as usize);
        plan
    }

    /// Evaluates all points. `elements` are planar lanes in the graph's order; the lanes of the results follow
    /// [`Forward::pairs`].
    pub fn solve(&self, elements: &[Planar<'_>], points: usize, results: (&mut [f64], &mut [f64])) {
        let (re, im) = results;
        let shared = Shared::new(elements);
        let plan = self.renamed(|slot| shared.slot(slot));
        let mut work = Work {
            slots: vec![Lanes::ZERO; plan.program.slots],
            buffers: vec![vec![Lanes::ZERO; plan.columns]; plan.buffers],
            spare: vec![Lanes::ZERO; plan.columns],
        };
        for start in (0..points).step_by(WIDTH) {
            shared.load(&mut work.slots, start);
            run(&plan, &mut work, (re, im), points, start);
        }
    }
}

/// Takes out waves where that leaves fewer edges: those with one predecessor or one successor, and twins that share all
/// predecessors and successors, such as the two arms of an interferometer. Says whether there were any.
fn fuse(elimination: &mut Elimination, graph: &Graph, order: &[usize]) -> bool {
    let mut any = false;
    for &node in order.iter().filter(|n| graph.is_wave(**n)) {
        let (p, q) = (elimination.predecessors(node).len(), elimination.successors(node).len());
        if p == 1 || q == 1 {
            elimination.eliminate(node);
            any = true;
        } else if p > 1 && q > 1 {
            let twins = twins(elimination, graph, node);
            if p * q < twins.len() * (p + q) {
                twins.into_iter().for_each(|n| elimination.eliminate(n));
                any = true;
            }
        }
    }
    any
}

/// All waves with the same predecessors and successors as `node`, itself among them.
fn twins(elimination: &Elimination, graph: &Graph, node: usize) -> Vec<usize> {
    let (into, out) = (elimination.predecessors(node), elimination.successors(node));
    let Some((first, _)) = into.iter().next() else { return vec![node] };
    let alike = |n: &usize| {
        graph.is_wave(*n)
            && elimination.predecessors(*n).keys().eq(into.keys())
            && elimination.successors(*n).keys().eq(out.keys())
    };
    elimination.successors(*first as usize).keys().map(|n| *n as usize).filter(alike).collect()
}

struct Planner<'a> {
    graph: &'a Graph,
    elimination: &'a Elimination,
    plan: Forward,
    /// Buffer and inputs of each node that has values.
    held: Vec<Option<(usize, Range<usize>)>>,
    /// How many successors still need a node.
    needed: Vec<usize>,
    free: Vec<usize>,
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, elimination: &'a Elimination) -> Self {
        let plan = Forward {
            program: Program { slots: 0, ops: Vec::new() },
            columns: graph.sources,
            buffers: 0,
            steps: Vec::new(),
            segments: Vec::new(),
            terms: Vec::new(),
            directs: Vec::new(),
            pairs: Vec::new(),
        };
        let needed = (0..graph.nodes()).map(|n| elimination.successors(n).len()).collect();
        Self { graph, elimination, plan, held: vec![None; graph.nodes()], needed, free: Vec::new() }
    }

    /// Plans one node whose predecessors are planned.
    fn node(&mut self, node: usize) {
        let (mut waves, mut directs) = (Vec::new(), Vec::new());
        for (&from, &slot) in self.elimination.predecessors(node) {
            match &self.held[from as usize] {
                Some((buffer, columns)) => waves.push((*buffer, columns.clone(), slot as usize)),
                None => directs.push(Direct { column: from as usize, slot: slot as usize }),
            }
        }
        let spans = waves.iter().map(|w| w.1.clone()).chain(directs.iter().map(|d| d.column..d.column + 1));
        let Some(columns) = spans.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)) else { return };
        let segments = self.plan_segments(&columns, &waves);
        let first_direct = self.plan.directs.len();
        self.plan.directs.extend(directs);
        let target = self.target(node, &columns);
        let directs = first_direct..self.plan.directs.len();
        self.plan.steps.push(Step { target, columns, segments, directs });
        for &from in self.elimination.predecessors(node).keys() {
            self.needed[from as usize] -= 1;
            if self.needed[from as usize] == 0
                && let Some((buffer, _)) = self.held[from as usize].take()
            {
                self.free.push(buffer);
            }
        }
    }

    /// Cuts a range of inputs where the set of predecessors that they reach changes.
    fn plan_segments(
        &mut self,
        columns: &Range<usize>,
        waves: &[(usize, Range<usize>, usize)],
    ) -> Range<usize> {
        let first = self.plan.segments.len();
        let ends = waves.iter().flat_map(|w| [w.1.start, w.1.end]);
        let mut cuts: Vec<usize> = ends.chain([columns.start, columns.end]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        for cut in cuts.windows(2) {
            let start = self.plan.terms.len();
            let covering = waves.iter().filter(|w| w.1.start <= cut[0] && w.1.end >= cut[1]);
            self.plan.terms.extend(covering.map(|w| Term { buffer: w.0, first: w.1.start, slot: w.2 }));
            self.plan.segments.push(Segment { columns: cut[0]..cut[1], terms: start..self.plan.terms.len() });
        }
        first..self.plan.segments.len()
    }

    fn target(&mut self, node: usize, columns: &Range<usize>) -> Target {
        if !self.graph.is_wave(node) {
            let sink = node - self.graph.sources - self.graph.waves;
            let first = self.plan.pairs.len();
            self.plan.pairs.extend(columns.clone().map(|source| (sink, source)));
            return Target::Results(first);
        }
        let buffer = self.free.pop().unwrap_or(self.plan.buffers);
        self.plan.buffers = self.plan.buffers.max(buffer + 1);
        self.held[node] = Some((buffer, columns.clone()));
        Target::Buffer(buffer)
    }
}

/// What a block of points is worked on in.
struct Work {
    slots: Vec<Lanes>,
    buffers: Vec<Vec<Lanes>>,
    spare: Vec<Lanes>,
}

vectorised! {
    fn run(
        plan: &Forward,
        work: &mut Work,
        results: (&mut [f64], &mut [f64]),
        points: usize,
        start: usize,
    ) -> () {
        let (re, im) = results;
        // Without loops there are no resonances.
        let _ = plan.program.run(&mut work.slots);
        for step in &plan.steps {
            let mut to = std::mem::take(&mut work.spare);
            for segment in &plan.segments[step.segments.clone()] {
                let out = segment.columns.start - step.columns.start..segment.columns.end - step.columns.start;
                pull(&mut to[out], &plan.terms[segment.terms.clone()], segment.columns.clone(), work);
            }
            for direct in &plan.directs[step.directs.clone()] {
                let cell = &mut to[direct.column - step.columns.start];
                *cell = cell.plus(&work.slots[direct.slot]);
            }
            match step.target {
                Target::Buffer(buffer) => work.spare = std::mem::replace(&mut work.buffers[buffer], to),
                Target::Results(first) => {
                    for (k, value) in to[..step.columns.len()].iter().enumerate() {
                        let lane = (first + k) * points..(first + k + 1) * points;
                        value.store((&mut re[lane.clone()], &mut im[lane]), start);
                    }
                    work.spare = to;
                }
            }
        }
    }
}

/// The sum of the terms, for each input.
#[inline(always)]
fn pull(to: &mut [Lanes], terms: &[Term], columns: Range<usize>, work: &Work) {
    let source =
        |term: &Term| &work.buffers[term.buffer][columns.start - term.first..columns.end - term.first];
    let mut pairs = terms.chunks_exact(2);
    let mut fresh = true;
    for pair in pairs.by_ref() {
        let (a, b) = (work.slots[pair[0].slot], work.slots[pair[1].slot]);
        for ((to, x), y) in to.iter_mut().zip(source(&pair[0])).zip(source(&pair[1])) {
            let sum = if fresh { Lanes::product(&a, x) } else { to.plus_product(&a, x) };
            *to = sum.plus_product(&b, y);
        }
        fresh = false;
    }
    for term in pairs.remainder() {
        let a = work.slots[term.slot];
        for (to, x) in to.iter_mut().zip(source(term)) {
            *to = if fresh { Lanes::product(&a, x) } else { to.plus_product(&a, x) };
        }
        fresh = false;
    }
    if fresh {
        to.fill(Lanes::ZERO);
    }
}
