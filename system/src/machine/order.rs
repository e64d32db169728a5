//! Which task waits for which, to its end or to its first samples.
//!
//! A reader waits for the last writer before it, a writer for that and for all readers since. Where both go through the batch sample
//! by sample, the reader *follows* the writer: it begins when the first samples are there and never overtakes it.

use std::collections::BTreeSet;

use mirage_arithmetic::GemmEntry;

use super::program::{Job, Program, Task};
use crate::design::Pipelining;
use crate::workload::VectorKind;

/// The side of a product that runs through the samples of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// The columns of its second operand and of its result.
    Columns,
    /// Its repeats.
    Repeats,
}

/// What is there of a row of pieces that may come in another order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefix {
    /// So many from the first on.
    pub first: u64,
    /// Others, beyond a gap.
    ahead: BTreeSet<u64>,
}

impl Prefix {
    /// One more is there.
    pub fn add(&mut self, piece: u64) {
        self.ahead.insert(piece);
        while self.ahead.remove(&self.first) {
            self.first += 1;
        }
    }
}

/// Finds what waits for what. `has_samples` tells of a tensor whether it holds something for each sample.
pub(super) fn link(program: &mut Program, pipelining: Pipelining, has_samples: &dyn Fn(usize) -> bool) {
    for task in &mut program.tasks {
        task.axis = match &task.job {
            Job::Gemm { entry, .. } => axis(task, entry, program.batch, has_samples),
            _ => None,
        };
    }
    let mut writer: Vec<Option<usize>> = vec![None; program.tensors.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); program.tensors.len()];
    for index in 0..program.tasks.len() {
        let task = &program.tasks[index];
        let (mut ends, mut samples) = (Vec::new(), Vec::new());
        for &tensor in &task.reads {
            let Some(before) = writer[tensor] else { continue };
            let follows = pipelining == Pipelining::Samples
                && has_samples(tensor)
                && takes_samples(task, tensor)
                && gives_samples(&program.tasks[before]);
            if follows { samples.push(before) } else { ends.push(before) }
        }
        for &tensor in &task.writes {
            // What is changed in place is waited for as what is read.
            ends.extend(writer[tensor].filter(|_| !task.reads.contains(&tensor)));
            ends.extend(&readers[tensor]);
        }
        for list in [&mut ends, &mut samples] {
            list.sort_unstable();
            list.dedup();
            list.retain(|&other| other != index);
        }
        samples.retain(|other| !ends.contains(other));
        for &tensor in &task.reads {
            readers[tensor].push(index);
        }
        for &tensor in &task.writes {
            writer[tensor] = Some(index);
            readers[tensor].clear();
        }
        program.tasks[index].waits_for = (ends.len() + samples.len()) as u32;
        for other in ends {
            program.tasks[other].successors.push(index);
        }
        for &other in &samples {
            program.tasks[other].followers.push(index);
        }
        program.tasks[index].follows = samples;
    }
}

/// How a product goes through the batch: not at all if it sums over it.
fn axis(task: &Task, entry: &GemmEntry, batch: u64, has_samples: &dyn Fn(usize) -> bool) -> Option<Axis> {
    let samples = [task.reads[0], task.reads[1], task.writes[0]].map(has_samples);
    match samples {
        [false, true, true] => entry.n.is_multiple_of(batch).then_some(Axis::Columns),
        [true, true, true] => entry.repeats.is_multiple_of(batch).then_some(Axis::Repeats),
        _ => None,
    }
}

/// Whether a task needs only the samples of a tensor that it is at.
fn takes_samples(task: &Task, tensor: usize) -> bool {
    match task.job {
        Job::Gemm { .. } => match task.axis {
            Some(Axis::Columns) => tensor == task.reads[1],
            Some(Axis::Repeats) => true,
            None => false,
        },
        Job::Sweep { samplewise, .. } => samplewise,
        Job::Reduce { .. } => false,
    }
}

/// Whether a task writes one sample after the other. A batch normalisation does, once it has its statistics.
fn gives_samples(task: &Task) -> bool {
    match &task.job {
        Job::Gemm { .. } => task.axis.is_some(),
        Job::Sweep { kinds, .. } => {
            !kinds.iter().any(|kind| matches!(kind, VectorKind::Other | VectorKind::Optimiser))
        }
        Job::Reduce { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In any order, what is there from the first on is what comes before the first that is missing.
        #[test]
        fn pieces_in_any_order(order in Just((0u64..12).collect::<Vec<_>>()).prop_shuffle()) {
            let mut prefix = Prefix::default();
            for (count, piece) in order.iter().enumerate() {
                prefix.add(*piece);
                let missing = (0..12).find(|p| !order[..=count].contains(p));
                prop_assert_eq!(prefix.first, missing.unwrap_or(12));
            }
        }
    }
}
