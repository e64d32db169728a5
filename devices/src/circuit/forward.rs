//! The forward solver, for circuits in which light never comes back to where it was.
//!
//! First, parts that lie in a row or side by side are multiplied together where that leaves fewer edges. Then every node
//! takes, in topological order, what its predecessors have, for many inputs at once. That is exact whatever the number of
//! parts on the paths. A node holds values only for the inputs that can reach it (its light cone).

use std::ops::Range;

use super::eliminate::Program;
use super::graph::Graph;
use super::lanes::{Lanes, Shared, WIDTH};
use super::schedule;
use super::wide::{Vector, Wide};

/// Inputs that are worked on together: the values of a few dozen nodes for so many stay in the caches of a core, and the steps
/// themselves cost little beside them. (Of 8, 16 and 32, the last was the fastest on a mesh of 32 rows.)
const TOGETHER: usize = 32;

#[derive(Debug, Clone)]
pub(super) struct Forward {
    pub program: Program,
    pub columns: usize,
    /// Buffers of one value for each input.
    pub buffers: usize,
    pub steps: Vec<Step>,
    pub segments: Vec<Segment>,
    pub terms: Vec<Term>,
    pub directs: Vec<Direct>,
    /// (sink, source) of each result, in the order of their lanes.
    pub pairs: Vec<(usize, usize)>,
}

/// The values of one node, or of two with the same predecessors, whose values are then read once for both.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub target: Target,
    pub twin: Option<Target>,
    /// Inputs for which there are values: those whose light gets there, and a few zeros beside them.
    pub columns: Range<usize>,
    pub segments: Range<usize>,
    pub directs: Range<usize>,
}

/// Where values go: a buffer, or the lanes of results from here on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Buffer(usize),
    Results(usize),
}

/// A range of inputs over which the same predecessors count.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub columns: Range<usize>,
    pub terms: Range<usize>,
}

/// The values in a buffer times the values of slots, one for the step's node and one for its twin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub buffer: usize,
    pub slots: [u32; 2],
}

/// An input that drives the nodes themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direct {
    pub column: usize,
    pub slots: [u32; 2],
}

impl Forward {
    /// The plan, or a loop of nodes where there is one.
    pub fn new(graph: &Graph) -> Result<Self, Vec<usize>> {
        schedule::plan(graph)
    }

    pub fn pairs(&self) -> &[(usize, usize)] {
        &self.pairs
    }

    /// Evaluates all points. The elements are in the graph's order; the lanes of the results follow [`Forward::pairs`].
    pub fn solve(&self, shared: &Shared<'_>, points: usize, results: (&mut [f64], &mut [f64])) {
        let (re, im) = results;
        let names = |slots: [u32; 2]| slots.map(|slot| shared.slot(slot));
        let program = self.program.renamed(|slot| shared.slot(slot));
        let terms: Vec<Term> = self.terms.iter().map(|t| Term { slots: names(t.slots), ..*t }).collect();
        let directs: Vec<Direct> =
            self.directs.iter().map(|d| Direct { slots: names(d.slots), ..*d }).collect();
        let mut work = Work {
            terms: &terms,
            directs: &directs,
            slots: vec![Lanes::ZERO; program.slots],
            buffers: vec![vec![Lanes::ZERO; TOGETHER]; self.buffers],
            spare: [vec![Lanes::ZERO; TOGETHER], vec![Lanes::ZERO; TOGETHER]],
        };
        for start in (0..points).step_by(WIDTH) {
            run(self, &program, shared, &mut work, Results { re, im, points, start });
        }
    }
}

/// What a block of points is worked on in, and with the slots' names of these values.
struct Work<'a> {
    terms: &'a [Term],
    directs: &'a [Direct],
    slots: Vec<Lanes>,
    buffers: Vec<Vec<Lanes>>,
    spare: [Vec<Lanes>; 2],
}

/// Where a block of points goes.
struct Results<'a> {
    re: &'a mut [f64],
    im: &'a mut [f64],
    points: usize,
    start: usize,
}

impl Results<'_> {
    #[inline(always)]
    fn store(&mut self, lane: usize, value: &Lanes) {
        let lane = lane * self.points..(lane + 1) * self.points;
        value.store((&mut self.re[lane.clone()], &mut self.im[lane]), self.start);
    }
}

/// Evaluates a block of points with the vector instructions that the processor has. The result does not depend on it.
fn run(plan: &Forward, program: &Program, shared: &Shared<'_>, work: &mut Work<'_>, results: Results<'_>) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn vector(
            plan: &Forward,
            program: &Program,
            shared: &Shared<'_>,
            work: &mut Work<'_>,
            results: Results<'_>,
        ) {
            run_with::<super::wide::x86::Register>(plan, program, shared, work, results);
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both features, as was just asked; the function has no other precondition.
            return unsafe { vector(plan, program, shared, work, results) };
        }
    }
    run_with::<[f64; WIDTH]>(plan, program, shared, work, results);
}

#[inline(always)]
fn run_with<V: Vector>(
    plan: &Forward,
    program: &Program,
    shared: &Shared<'_>,
    work: &mut Work<'_>,
    mut results: Results<'_>,
) {
    shared.load(&mut work.slots, results.start);
    // Without loops there are no resonances.
    let _ = program.run(&mut work.slots);
    for first in (0..plan.columns).step_by(TOGETHER) {
        for step in &plan.steps {
            let columns = common(&step.columns, first);
            if !columns.is_empty() {
                advance::<V>(plan, work, step, first, columns, &mut results);
            }
        }
    }
}

/// The part of a range of inputs that is among those worked on together from `first` on, counted from there.
#[inline(always)]
fn common(columns: &Range<usize>, first: usize) -> Range<usize> {
    columns.start.max(first) - first..columns.end.clamp(first, first + TOGETHER) - first
}

/// Works out a step for the inputs `columns`, counted from `first` on.
#[inline(always)]
fn advance<V: Vector>(
    plan: &Forward,
    work: &mut Work<'_>,
    step: &Step,
    first: usize,
    columns: Range<usize>,
    results: &mut Results<'_>,
) {
    let [mut one, mut two] = std::mem::take(&mut work.spare);
    for segment in &plan.segments[step.segments.clone()] {
        let among = common(&segment.columns, first);
        if among.is_empty() {
            continue;
        }
        let terms = &work.terms[segment.terms.clone()];
        match step.twin {
            None => pull::<V, 1>([&mut one[among.clone()]], terms, among, work),
            Some(_) => pull::<V, 2>([&mut one[among.clone()], &mut two[among.clone()]], terms, among, work),
        }
    }
    for direct in &work.directs[step.directs.clone()] {
        let column = direct.column.wrapping_sub(first);
        if column < TOGETHER {
            one[column] = one[column].plus(&work.slots[direct.slots[0] as usize]);
            two[column] = two[column].plus(&work.slots[direct.slots[1] as usize]);
        }
    }
    for (target, values) in [(Some(step.target), &mut one), (step.twin, &mut two)] {
        match target {
            None => {}
            Some(Target::Buffer(buffer)) => std::mem::swap(&mut work.buffers[buffer], values),
            Some(Target::Results(lane)) => {
                for column in columns.clone() {
                    results.store(lane + (first + column - step.columns.start), &values[column]);
                }
            }
        }
    }
    work.spare = [one, two];
}

/// The sum of the terms for each input, for one node or two.
#[inline(always)]
fn pull<V: Vector, const N: usize>(
    mut to: [&mut [Lanes]; N],
    terms: &[Term],
    columns: Range<usize>,
    work: &Work<'_>,
) {
    let source = |term: &Term| &work.buffers[term.buffer][columns.clone()];
    let factors = |term: &Term| -> [Wide<V>; N] {
        std::array::from_fn(|n| Wide::load(&work.slots[term.slots[n] as usize]))
    };
    let rest = match terms {
        [] => {
            to.iter_mut().for_each(|to| to.fill(Lanes::ZERO));
            return;
        }
        [one] => {
            let a = factors(one);
            for (k, x) in source(one).iter().enumerate() {
                let x = Wide::load(x);
                (0..N).for_each(|n| Wide::product(a[n], x).store(&mut to[n][k]));
            }
            return;
        }
        [one, two, rest @ ..] => {
            let (a, b) = (factors(one), factors(two));
            for (k, (x, y)) in source(one).iter().zip(source(two)).enumerate() {
                let (x, y) = (Wide::load(x), Wide::load(y));
                (0..N).for_each(|n| Wide::product(a[n], x).plus_product(b[n], y).store(&mut to[n][k]));
            }
            rest
        }
    };
    for term in rest {
        let a = factors(term);
        for (k, x) in source(term).iter().enumerate() {
            let x = Wide::load(x);
            (0..N).for_each(|n| Wide::load(&to[n][k]).plus_product(a[n], x).store(&mut to[n][k]));
        }
    }
}
