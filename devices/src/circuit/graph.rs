//! Which wave drives which: the directed graph of a circuit's couplings.
//!
//! The nodes are the waves that run into ports. A wave into a connected port is what leaves its partner; a wave into a port
//! to the outside is a source. What leaves a port to the outside is a sink. An edge is an element (out, in) of a part's
//! S-matrix. With x the inner waves, u the sources and y the sinks: x = M x + B u, y = D x + F u.

use super::flatten::Flat;

/// An element (out, in) of the S-matrix of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Element {
    pub part: u32,
    pub out: u32,
    pub input: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub from: u32,
    pub to: u32,
    /// Index into [`Graph::elements`].
    pub element: u32,
}

/// Nodes are numbered: sources, then inner waves, then sinks.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    pub sources: usize,
    pub waves: usize,
    pub sinks: usize,
    pub edges: Vec<Edge>,
    pub elements: Vec<Element>,
    /// The port of the flat circuit that each inner wave runs into.
    pub wave_ports: Vec<usize>,
}

/// What is asked of a circuit: how the ports in `inputs` reach those in `outputs`, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Role {
    Open,
    Outside(usize),
    Inner { partner: usize },
}

impl Graph {
    /// The graph of the elements that are not zero, `non_zero` by part, as far as it leads from wanted inputs to wanted
    /// outputs. Islands and unused parts fall out here.
    pub fn new(flat: &Flat, non_zero: &[&[(usize, usize)]], wanted: &Wanted) -> Self {
        let mut roles = vec![Role::Open; flat.port_count];
        for &(a, b) in &flat.connections {
            roles[a] = Role::Inner { partner: b };
            roles[b] = Role::Inner { partner: a };
        }
        for (index, (_, port)) in flat.ports.iter().enumerate() {
            roles[*port] = Role::Outside(index);
        }
        let (outside, ports) = (flat.ports.len(), flat.port_count);
        // Raw nodes: sources by outside port, waves by the port they run into, sinks by outside port.
        let mut raw: Vec<(usize, usize, Element)> = Vec::new();
        for (index, (part, pairs)) in flat.parts.iter().zip(non_zero).enumerate() {
            for &(out, input) in *pairs {
                let from = match roles[part.first_port + input] {
                    Role::Open => continue,
                    Role::Outside(source) => source,
                    Role::Inner { .. } => outside + part.first_port + input,
                };
                let to = match roles[part.first_port + out] {
                    Role::Open => continue,
                    Role::Outside(sink) => outside + ports + sink,
                    Role::Inner { partner } => outside + partner,
                };
                raw.push((from, to, Element { part: index as u32, out: out as u32, input: input as u32 }));
            }
        }
        let forward = raw.iter().map(|e| (e.0, e.1));
        let lit = reach(2 * outside + ports, forward.clone(), wanted.inputs.iter().copied());
        let sinks = wanted.outputs.iter().map(|o| outside + ports + o);
        let seen = reach(2 * outside + ports, forward.map(|(a, b)| (b, a)), sinks);
        Self::numbered(outside, ports, wanted, |node| lit[node] && seen[node], &raw)
    }

    /// Numbers the nodes that `keep` keeps; wanted inputs and outputs are always there.
    fn numbered(
        outside: usize,
        ports: usize,
        wanted: &Wanted,
        keep: impl Fn(usize) -> bool,
        raw: &[(usize, usize, Element)],
    ) -> Self {
        const NONE: u32 = u32::MAX;
        let mut number = vec![NONE; 2 * outside + ports];
        for (i, input) in wanted.inputs.iter().enumerate() {
            number[*input] = i as u32;
        }
        let wave_ports: Vec<usize> = (0..ports).filter(|p| keep(outside + p)).collect();
        let sources = wanted.inputs.len();
        for (i, port) in wave_ports.iter().enumerate() {
            number[outside + port] = (sources + i) as u32;
        }
        for (i, output) in wanted.outputs.iter().enumerate() {
            number[outside + ports + output] = (sources + wave_ports.len() + i) as u32;
        }
        let mut elements = Vec::new();
        let mut edges = Vec::new();
        for &(from, to, element) in raw {
            if number[from] != NONE && number[to] != NONE && keep(from) && keep(to) {
                edges.push(Edge { from: number[from], to: number[to], element: elements.len() as u32 });
                elements.push(element);
            }
        }
        let (waves, sinks) = (wave_ports.len(), wanted.outputs.len());
        Self { sources, waves, sinks, edges, elements, wave_ports }
    }

    pub fn nodes(&self) -> usize {
        self.sources + self.waves + self.sinks
    }

    pub fn is_wave(&self, node: usize) -> bool {
        (self.sources..self.sources + self.waves).contains(&node)
    }

    /// All nodes so that every edge leads onward, or a loop of waves where there is none.
    pub fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let mut waiting = vec![0usize; self.nodes()];
        let mut next = vec![Vec::new(); self.nodes()];
        for e in &self.edges {
            waiting[e.to as usize] += 1;
            next[e.from as usize].push(e.to as usize);
        }
        let mut order: Vec<usize> = (0..self.nodes()).filter(|n| waiting[*n] == 0).collect();
        let mut done = 0;
        while let Some(&node) = order.get(done) {
            done += 1;
            for &to in &next[node] {
                waiting[to] -= 1;
                if waiting[to] == 0 {
                    order.push(to);
                }
            }
        }
        if order.len() == self.nodes() { Ok(order) } else { Err(self.find_loop(&waiting)) }
    }

    /// A loop among the nodes that still wait: each has a predecessor that waits as well.
    fn find_loop(&self, waiting: &[usize]) -> Vec<usize> {
        let mut before = vec![usize::MAX; self.nodes()];
        for e in &self.edges {
            if waiting[e.from as usize] > 0 && waiting[e.to as usize] > 0 {
                before[e.to as usize] = e.from as usize;
            }
        }
        let Some(mut node) = (0..self.nodes()).find(|n| waiting[*n] > 0) else { return Vec::new() };
        let mut seen = vec![false; self.nodes()];
        while !seen[node] {
            seen[node] = true;
            node = before[node];
        }
        let mut round = vec![node];
        let mut at = before[node];
        while at != node {
            round.push(at);
            at = before[at];
        }
        round.reverse();
        round
    }
}

/// Nodes that can be reached.
fn reach(
    nodes: usize,
    edges: impl Iterator<Item = (usize, usize)>,
    from: impl Iterator<Item = usize>,
) -> Vec<bool> {
    let mut next = vec![Vec::new(); nodes];
    for (a, b) in edges {
        next[a].push(b);
    }
    let mut reached = vec![false; nodes];
    let mut stack: Vec<usize> = from.collect();
    while let Some(node) = stack.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            stack.extend(next[node].iter().filter(|n| !reached[**n]));
        }
    }
    reached
}
