//! The general solver: every wave is taken out, whatever loops there are, in an order that keeps the work small.
//!
//! The order is chosen once from the structure (the cheapest node next, after Markowitz, Management Science 3:255, 1957);
//! values are put through many times. Without pivoting: of parts that do not amplify, 1 - M has no negative Hermitian part,
//! for which elimination in any order is stable (Golub and Van Loan, Matrix Computations, section 4.3).

use std::collections::BTreeSet;

use super::eliminate::{Elimination, Program};
use super::graph::Graph;
use super::lanes::{Lanes, Shared, WIDTH};
use crate::vectorised::vectorised;

/// Steps of arithmetic for each point beyond which a circuit is refused: some gigabytes of plan.
const MOST_OPS: usize = 200_000_000;

#[derive(Debug, Clone)]
pub(super) struct General {
    program: Program,
    /// (sink, source, slot)
    results: Vec<(usize, usize, u32)>,
}

impl General {
    /// `None` when the circuit is too large.
    pub fn new(graph: &Graph) -> Option<Self> {
        let mut elimination = Elimination::new(graph);
        let waves = graph.sources..graph.sources + graph.waves;
        let mut queue: BTreeSet<(usize, usize)> = waves.map(|n| (elimination.cost(n), n)).collect();
        while let Some((_, node)) = queue.pop_first() {
            let around: BTreeSet<usize> = elimination
                .predecessors(node)
                .keys()
                .chain(elimination.successors(node).keys())
                .map(|n| *n as usize)
                .filter(|n| *n != node && graph.is_wave(*n))
                .collect();
            for &n in &around {
                queue.remove(&(elimination.cost(n), n));
            }
            elimination.eliminate(node);
            if elimination.op_count() > MOST_OPS {
                return None;
            }
            queue.extend(around.into_iter().map(|n| (elimination.cost(n), n)));
        }
        let first_sink = graph.sources + graph.waves;
        let results = (first_sink..graph.nodes())
            .flat_map(|sink| {
                let into = elimination.predecessors(sink).iter();
                into.map(move |(source, slot)| (sink - first_sink, *source as usize, *slot))
                    .collect::<Vec<_>>()
            })
            .collect();
        Some(Self { program: elimination.finish(), results })
    }

    pub fn pairs(&self) -> Vec<(usize, usize)> {
        self.results.iter().map(|&(sink, source, _)| (sink, source)).collect()
    }

    pub fn op_count(&self) -> usize {
        self.program.ops.len()
    }

    /// Evaluates all points. The elements are in the graph's order; the lanes of the results follow [`General::pairs`]. Fails with the wave and the first point of the block where a resonance has no loss.
    pub fn solve(
        &self,
        shared: &Shared<'_>,
        points: usize,
        (re, im): (&mut [f64], &mut [f64]),
    ) -> Result<(), (u32, usize)> {
        let program = self.program.renamed(|slot| shared.slot(slot));
        let mut slots = vec![Lanes::ZERO; program.slots];
        for start in (0..points).step_by(WIDTH) {
            if let Some(node) = run(&program, shared, &mut slots, start) {
                return Err((node, start));
            }
            let lanes = re.chunks_exact_mut(points).zip(im.chunks_exact_mut(points));
            for (&(_, _, slot), lane) in self.results.iter().zip(lanes) {
                slots[shared.slot(slot) as usize].store(lane, start);
            }
        }
        Ok(())
    }
}

vectorised! {
    fn run(program: &Program, shared: &Shared<'_>, slots: &mut [Lanes], start: usize) -> Option<u32> {
        shared.load(slots, start);
        program.run(slots)
    }
}
