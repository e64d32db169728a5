//! The plan of the forward solver: what is multiplied together, and in which order nodes take their predecessors' values.

use std::ops::Range;

use super::eliminate::{Elimination, Program};
use super::forward::{Direct, Forward, Segment, Step, Target, Term};
use super::graph::Graph;

/// Zeros that a node may hold on each side of its light cone, so that a successor finds all its predecessors over the whole
/// of its own cone: multiplying a few zeros costs less than changing over to other predecessors.
const PADDING: usize = 4;

/// The plan, or a loop of nodes where there is one.
pub(super) fn plan(graph: &Graph) -> Result<Forward, Vec<usize>> {
    let order = graph.order()?;
    let mut elimination = Elimination::new(graph);
    while fuse(&mut elimination, graph, &order) {}
    let order: Vec<usize> =
        order.into_iter().filter(|n| *n >= graph.sources && elimination.is_connected(*n)).collect();
    let mut planner = Planner::new(graph, &elimination, cones(graph, &elimination, &order));
    order.into_iter().for_each(|node| planner.node(node));
    let Planner { mut plan, .. } = planner;
    plan.program = elimination.finish();
    Ok(plan)
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

/// Inputs that one node has values for.
#[derive(Debug, Clone, Default)]
struct Cone {
    /// From the first to the last input whose light gets there.
    lit: Range<usize>,
    /// The same with zeros beside them.
    held: Range<usize>,
}

fn hull(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.min(b.start)..a.end.max(b.end)
}

/// The inputs of every node in `order`; sources are their own input.
fn cones(graph: &Graph, elimination: &Elimination, order: &[usize]) -> Vec<Cone> {
    let mut cones = vec![Cone::default(); graph.nodes()];
    for (source, cone) in cones.iter_mut().enumerate().take(graph.sources) {
        cone.lit = source..source + 1;
    }
    for &node in order {
        let lit = elimination.predecessors(node).keys().map(|n| cones[*n as usize].lit.clone());
        let lit = lit.reduce(|a, b| hull(&a, &b)).unwrap_or_default();
        cones[node] = Cone { held: lit.clone(), lit };
    }
    for &node in order {
        let wanted = cones[node].lit.clone();
        for &from in elimination.predecessors(node).keys() {
            let cone = &mut cones[from as usize];
            let near = wanted.start + PADDING >= cone.lit.start && wanted.end <= cone.lit.end + PADDING;
            if near {
                cone.held = hull(&cone.held, &wanted);
            }
        }
    }
    cones
}

struct Planner<'a> {
    graph: &'a Graph,
    elimination: &'a Elimination,
    plan: Forward,
    cones: Vec<Cone>,
    planned: Vec<bool>,
    /// Buffer and inputs of each node that has values.
    held: Vec<Option<(usize, Range<usize>)>>,
    /// How many successors still need a node.
    needed: Vec<usize>,
    free: Vec<usize>,
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, elimination: &'a Elimination, cones: Vec<Cone>) -> Self {
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
        let nodes = graph.nodes();
        let needed = (0..nodes).map(|n| elimination.successors(n).len()).collect();
        let (planned, held) = (vec![false; nodes], vec![None; nodes]);
        Self { graph, elimination, plan, cones, planned, held, needed, free: Vec::new() }
    }

    /// Plans one node whose predecessors are planned, and its twin.
    fn node(&mut self, node: usize) {
        if self.planned[node] {
            return;
        }
        let twin = self.twin(node);
        let nodes = [Some(node), twin];
        let (mut waves, mut directs) = (Vec::new(), Vec::new());
        let other = self.elimination.predecessors(twin.unwrap_or(node));
        for ((&from, &slot), &other) in self.elimination.predecessors(node).iter().zip(other.values()) {
            let (from, slots) = (from as usize, [slot, other]);
            match &self.held[from] {
                Some((buffer, columns)) => waves.push((columns.clone(), Term { buffer: *buffer, slots })),
                None => directs.push(Direct { column: from, slots }),
            }
        }
        let columns = hull(&self.cones[node].held, &self.cones[twin.unwrap_or(node)].held);
        let segments = self.plan_segments(&columns, &self.cones[node].lit.clone(), &waves);
        let first_direct = self.plan.directs.len();
        self.plan.directs.extend(directs);
        let target = self.target(node, &columns);
        let second = twin.map(|twin| self.target(twin, &columns));
        let directs = first_direct..self.plan.directs.len();
        self.plan.steps.push(Step { target, twin: second, columns, segments, directs });
        nodes.into_iter().flatten().for_each(|n| self.release(n));
    }

    /// A node of the same kind with the same predecessors that is not planned yet.
    fn twin(&self, node: usize) -> Option<usize> {
        let into = self.elimination.predecessors(node);
        let (first, _) = into.first_key_value()?;
        let alike = |n: &usize| {
            *n != node
                && !self.planned[*n]
                && self.graph.is_wave(*n) == self.graph.is_wave(node)
                && self.elimination.predecessors(*n).keys().eq(into.keys())
        };
        self.elimination.successors(*first as usize).keys().map(|n| *n as usize).find(alike)
    }

    /// Marks a node as planned; buffers that nobody needs any more are free.
    fn release(&mut self, node: usize) {
        self.planned[node] = true;
        for &from in self.elimination.predecessors(node).keys() {
            self.needed[from as usize] -= 1;
            if self.needed[from as usize] == 0
                && let Some((buffer, _)) = self.held[from as usize].take()
            {
                self.free.push(buffer);
            }
        }
    }

    /// Cuts a range of inputs where the set of predecessors that they reach changes; only those in `lit` reach any.
    fn plan_segments(
        &mut self,
        columns: &Range<usize>,
        lit: &Range<usize>,
        waves: &[(Range<usize>, Term)],
    ) -> Range<usize> {
        let first = self.plan.segments.len();
        let ends = waves.iter().flat_map(|w| [w.0.start, w.0.end]).filter(|c| lit.contains(c));
        let mut cuts: Vec<usize> = ends.chain([columns.start, lit.start, lit.end, columns.end]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        for cut in cuts.windows(2) {
            let start = self.plan.terms.len();
            if lit.contains(&cut[0]) {
                let covering = waves.iter().filter(|w| w.0.start <= cut[0] && w.0.end >= cut[1]);
                self.plan.terms.extend(covering.map(|w| w.1));
            }
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
