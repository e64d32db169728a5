//! Taking waves out of the graph, symbolically: which multiplications that needs, in which order, on which slots.
//!
//! Without node k, an edge from j over k to i becomes m_ij + m_ik m_kj/(1 - m_kk): a step of Gaussian elimination on 1 - M.

use std::collections::BTreeMap;

use super::graph::Graph;
use super::lanes::Lanes;

/// A step of arithmetic on slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    /// slot[to] = a b
    Product { to: u32, a: u32, b: u32 },
    /// slot[to] = slot[from] + a b
    PlusProduct { to: u32, from: u32, a: u32, b: u32 },
    /// slot[to] = 1/(1 - a), where `a` is the round trip of the wave `node`
    Resolvent { to: u32, a: u32, node: u32 },
}

/// A graph that shrinks. Slots `0..elements` hold the S-matrices' elements and are never written.
#[derive(Debug)]
pub(super) struct Elimination {
    elements: u32,
    /// Predecessors of each node with the slot of the edge; successors likewise.
    into: Vec<BTreeMap<u32, u32>>,
    out: Vec<BTreeMap<u32, u32>>,
    free: Vec<u32>,
    slots: u32,
    ops: Vec<Op>,
}

impl Elimination {
    pub fn new(graph: &Graph) -> Self {
        let mut into = vec![BTreeMap::new(); graph.nodes()];
        let mut out = vec![BTreeMap::new(); graph.nodes()];
        for e in &graph.edges {
            into[e.to as usize].insert(e.from, e.element);
            out[e.from as usize].insert(e.to, e.element);
        }
        let elements = graph.elements.len() as u32;
        Self { elements, into, out, free: Vec::new(), slots: elements, ops: Vec::new() }
    }

    pub fn predecessors(&self, node: usize) -> &BTreeMap<u32, u32> {
        &self.into[node]
    }

    pub fn successors(&self, node: usize) -> &BTreeMap<u32, u32> {
        &self.out[node]
    }

    /// Whether anything leads to the node; false once it is taken out.
    pub fn is_connected(&self, node: usize) -> bool {
        !self.into[node].is_empty()
    }

    /// What taking the node out costs: products.
    pub fn cost(&self, node: usize) -> usize {
        self.into[node].len() * self.out[node].len()
    }

    pub fn op_count(&self) -> usize {
        self.ops.len()
    }

    pub fn finish(self) -> Program {
        Program { slots: self.slots as usize, ops: self.ops }
    }

    fn fresh(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    /// Takes a node out; its neighbours are connected directly.
    pub fn eliminate(&mut self, node: usize) {
        let key = node as u32;
        let mut into = std::mem::take(&mut self.into[node]);
        let mut out = std::mem::take(&mut self.out[node]);
        let mut done: Vec<u32> = into.values().chain(out.values()).copied().collect();
        let round = out.remove(&key);
        into.remove(&key);
        // The factor 1/(1 - m_kk) goes to the side with fewer edges.
        if let Some(a) = round {
            let to = self.fresh();
            self.ops.push(Op::Resolvent { to, a, node: key });
            let side = if into.len() < out.len() { &mut into } else { &mut out };
            for slot in side.values_mut() {
                let scaled = self.fresh();
                self.ops.push(Op::Product { to: scaled, a: *slot, b: to });
                *slot = scaled;
                done.push(scaled);
            }
            done.push(to);
        }
        for (&i, &a) in &out {
            self.into[i as usize].remove(&key);
            for (&j, &b) in &into {
                match self.into[i as usize].get(&j).copied() {
                    Some(from) => {
                        let to = if from < self.elements { self.fresh() } else { from };
                        self.ops.push(Op::PlusProduct { to, from, a, b });
                        self.link(j, i, to);
                    }
                    None => {
                        let to = self.fresh();
                        self.ops.push(Op::Product { to, a, b });
                        self.link(j, i, to);
                    }
                }
            }
        }
        for j in into.keys() {
            self.out[*j as usize].remove(&key);
        }
        done.sort_unstable();
        done.dedup();
        self.free.extend(done.into_iter().filter(|s| *s >= self.elements));
    }

    fn link(&mut self, from: u32, to: u32, slot: u32) {
        self.into[to as usize].insert(from, slot);
        self.out[from as usize].insert(to, slot);
    }
}

/// Arithmetic on slots, ready to be run for any values of the elements.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub slots: usize,
    pub ops: Vec<Op>,
}

/// Below this |1 - m|^2, a wave that returns to itself undiminished has no finite answer in double precision.
const SINGULAR: f64 = 1e-24;

impl Program {
    /// The same with slots renamed.
    pub fn renamed(&self, name: impl Fn(u32) -> u32) -> Self {
        let rename = |op: &Op| match *op {
            Op::Product { to, a, b } => Op::Product { to: name(to), a: name(a), b: name(b) },
            Op::PlusProduct { to, from, a, b } => {
                Op::PlusProduct { to: name(to), from: name(from), a: name(a), b: name(b) }
            }
            Op::Resolvent { to, a, node } => Op::Resolvent { to: name(to), a: name(a), node },
        };
        Self { slots: name(self.slots as u32) as usize, ops: self.ops.iter().map(rename).collect() }
    }

    /// Runs all steps; the node whose round trip is a resonance without loss, where there is one.
    #[inline(always)]
    pub fn run(&self, slots: &mut [Lanes]) -> Option<u32> {
        let mut singular = None;
        for op in &self.ops {
            match *op {
                Op::Product { to, a, b } => {
                    slots[to as usize] = Lanes::product(&slots[a as usize], &slots[b as usize]);
                }
                Op::PlusProduct { to, from, a, b } => {
                    slots[to as usize] =
                        slots[from as usize].plus_product(&slots[a as usize], &slots[b as usize]);
                }
                Op::Resolvent { to, a, node } => {
                    let (value, smallest) = Lanes::resolvent(&slots[a as usize]);
                    slots[to as usize] = value;
                    if smallest < SINGULAR && singular.is_none() {
                        singular = Some(node);
                    }
                }
            }
        }
        singular
    }
}
