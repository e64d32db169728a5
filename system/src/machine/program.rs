//! A training step made into tasks: what waits for what, how many bytes each tensor takes and who reads it.

use mirage_arithmetic::GemmEntry;

use super::order::Axis;
use super::{Place, order};
use crate::design::{Fusion, Pipelining};
use crate::engine::Engine;
use crate::workload::{Operation, Stage, Step, Tensor, TensorId, TensorKind, VectorKind, Work};
use crate::{SystemError, plan::Stationary};

/// Something to do.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub layer: String,
    pub stage: Stage,
    pub job: Job,
    pub reads: Vec<usize>,
    pub writes: Vec<usize>,
    /// How a product goes through the samples.
    pub axis: Option<Axis>,
    /// Tasks that wait for the end of this one.
    pub successors: Vec<usize>,
    /// Tasks that go through its results sample by sample, behind it.
    pub followers: Vec<usize>,
    /// Tasks that this one follows.
    pub follows: Vec<usize>,
    /// Tasks that this one waits for, to their end or to their first samples.
    pub waits_for: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Job {
    Gemm {
        entry: GemmEntry,
        stationary: Stationary,
        before: u64,
    },
    Sweep {
        kinds: Vec<VectorKind>,
        operations: u64,
        optimiser: bool,
        /// Whether each sample of what it writes needs no other sample of what it reads.
        samplewise: bool,
    },
    /// All-reduce of so many bytes over the ring.
    Reduce {
        bytes: u64,
    },
}

/// A tensor in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub elements: u64,
    pub place: Place,
    /// Bytes in groups, for one product.
    pub operand: u64,
    /// How many ways it is grouped: one for each pass that reads it.
    pub groupings: u64,
    /// Bytes as FP32; 0 if no sweep reads it.
    pub plain: u64,
    /// Tasks that read it or change it.
    pub uses: u32,
    /// Whether it lies in memory before the step, and after it.
    pub lasting: bool,
    /// Whether it can stay in the SRAM from step to step: parameters and states.
    pub pinnable: bool,
}

impl Stored {
    /// All its forms together.
    pub fn bytes(&self) -> u64 {
        self.operand.saturating_mul(self.groupings).saturating_add(self.plain)
    }
}

/// All tasks of a step.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Samples of the step.
    pub batch: u64,
    pub tasks: Vec<Task>,
    pub tensors: Vec<Stored>,
}

/// How a step is prepared.
pub(crate) struct Plans<'a> {
    pub engine: &'a Engine,
    pub fusion: Fusion,
    pub pipelining: Pipelining,
    /// Chips of the ring.
    pub chips: u64,
    /// Which operand of an operation is stationary.
    pub stationary: &'a dyn Fn(usize, &GemmEntry) -> Result<Stationary, SystemError>,
}

impl Program {
    /// # Errors
    /// [`SystemError::Step`] for an operation that reads what is not there, or whose operands are missing.
    pub fn new(step: &Step, plans: &Plans<'_>) -> Result<Self, SystemError> {
        check(step)?;
        let operations = match plans.fusion {
            Fusion::Chains => fused(step),
            Fusion::None => {
                step.operations.iter().cloned().enumerate().map(|(i, o)| (i, o, Vec::new())).collect()
            }
        };
        let mut tasks = Vec::with_capacity(operations.len());
        let mut seen: std::collections::HashMap<GemmKey, u64> = std::collections::HashMap::new();
        for (index, operation, kinds) in operations {
            let job = match &operation.work {
                Work::Gemm(entry) => {
                    let count = seen.entry(key(entry)).or_default();
                    *count += 1;
                    let stationary = (plans.stationary)(index, entry)?;
                    Job::Gemm { entry: entry.clone(), stationary, before: *count - 1 }
                }
                Work::Vector { kind, operations, samplewise, .. } => {
                    let kinds = if kinds.is_empty() { vec![*kind] } else { kinds };
                    let optimiser = *kind == VectorKind::Optimiser;
                    Job::Sweep { kinds, operations: *operations, optimiser, samplewise: *samplewise }
                }
            };
            let ids = |ids: &[TensorId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
            let (reads, writes) = (ids(&operation.reads), ids(&operation.writes));
            let gradients: Vec<usize> = match plans.chips {
                1 => Vec::new(),
                _ => reduced(step, index, &writes),
            };
            let (layer, stage) = (operation.layer.clone(), operation.stage);
            let task = |job, reads, writes| Task {
                layer: layer.clone(),
                stage,
                job,
                reads,
                writes,
                axis: None,
                successors: Vec::new(),
                followers: Vec::new(),
                follows: Vec::new(),
                waits_for: 0,
            };
            tasks.push(task(job, reads, writes));
            for gradient in gradients {
                let bytes = step.tensors[gradient].elements.saturating_mul(4);
                tasks.push(task(Job::Reduce { bytes }, vec![gradient], vec![gradient]));
            }
        }
        let tensors = tensors(step, &tasks, plans.engine);
        let mut program = Self { batch: step.batch, tasks, tensors };
        let samples = |tensor: usize| step.tensors[tensor].kind.has_samples();
        order::link(&mut program, plans.pipelining, &samples);
        Ok(program)
    }
}

type GemmKey = (String, String, mirage_arithmetic::Pass, [u64; 4]);

fn key(e: &GemmEntry) -> GemmKey {
    (e.network.clone(), e.layer.clone(), e.pass, [e.m, e.k, e.n, e.repeats])
}

/// Gradients of parameters that an operation finishes: no later one adds to them, the update aside.
fn reduced(step: &Step, index: usize, writes: &[usize]) -> Vec<usize> {
    let gradient = |&&tensor: &&usize| step.tensors[tensor].kind == TensorKind::WeightGradient;
    let finished = |&&tensor: &&usize| {
        let later = step.operations[index + 1..].iter();
        !later.into_iter().any(|operation| operation.writes.contains(&TensorId(tensor)))
    };
    writes.iter().filter(gradient).filter(finished).copied().collect()
}

fn check(step: &Step) -> Result<(), SystemError> {
    if step.operations.is_empty() {
        return Err(SystemError::Step {
            network: step.network.clone(),
            layer: "none".into(),
            operation: 0,
            problem: "is missing: a step needs at least one operation".into(),
        });
    }
    for (index, operation) in step.operations.iter().enumerate() {
        let fail = |problem: String| SystemError::Step {
            network: step.network.clone(),
            layer: operation.layer.clone(),
            operation: index,
            problem,
        };
        for id in operation.reads.iter().chain(&operation.writes) {
            if id.0 >= step.tensors.len() {
                let known = step.tensors.len();
                return Err(fail(format!("uses tensor {}, but there are only {known}", id.0)));
            }
        }
        if matches!(operation.work, Work::Gemm(_))
            && (operation.reads.len() != 2 || operation.writes.len() != 1)
        {
            return Err(fail(format!(
                "is a product that reads {} tensors and writes {}: it must read two and write one",
                operation.reads.len(),
                operation.writes.len()
            )));
        }
    }
    for tensor in &step.tensors {
        // Sixteen bytes for each element is more than any of its forms together.
        if tensor.elements.checked_mul(64).is_none() {
            return Err(SystemError::Overflow {
                what: format!("tensor {} of {}", tensor.name, step.network),
            });
        }
    }
    Ok(())
}

/// Joins sweeps: an operation that works on what the one before it wrote, element by element, is done in the same sweep; what
/// nobody else reads is then never stored. Returns (index of the first, operation, kinds joined).
fn fused(step: &Step) -> Vec<(usize, Operation, Vec<VectorKind>)> {
    let mut joined: Vec<(usize, Operation, Vec<VectorKind>)> = Vec::new();
    // Readers yet to come of each tensor.
    let mut readers = vec![0u32; step.tensors.len()];
    for id in step.operations.iter().flat_map(|operation| &operation.reads) {
        readers[id.0] += 1;
    }
    for (index, operation) in step.operations.iter().enumerate() {
        if let Some((last, before, kinds)) = joined.last_mut()
            && joins(step, before, operation)
        {
            let (
                Work::Vector { operations: sum, elements: most, samplewise: all, .. },
                Work::Vector { kind, operations, elements, samplewise },
            ) = (&mut before.work, &operation.work)
            else {
                continue;
            };
            *sum = sum.saturating_add(*operations);
            *most = (*most).max(*elements);
            *all &= *samplewise;
            kinds.push(*kind);
            let passed: Vec<TensorId> =
                operation.reads.iter().copied().filter(|id| before.writes.contains(id)).collect();
            for id in &passed {
                readers[id.0] -= 1;
            }
            before.reads.extend(operation.reads.iter().filter(|id| !passed.contains(id)));
            before.reads.sort_unstable();
            before.reads.dedup();
            before.writes.retain(|id| !passed.contains(id) || readers[id.0] > 0);
            before.writes.extend(&operation.writes);
            before.writes.sort_unstable();
            before.writes.dedup();
            *last = index;
            continue;
        }
        let kinds = match operation.work {
            Work::Vector { kind, .. } => vec![kind],
            Work::Gemm(_) => Vec::new(),
        };
        joined.push((index, operation.clone(), kinds));
    }
    joined
}

/// Whether `next` can be done in the sweep of `before`.
fn joins(step: &Step, before: &Operation, next: &Operation) -> bool {
    let (Work::Vector { kind, .. }, Work::Vector { kind: second, elements, .. }) = (&before.work, &next.work)
    else {
        return false;
    };
    let element_wise =
        |kind| matches!(kind, VectorKind::Activation | VectorKind::Elementwise | VectorKind::Movement);
    let starts = element_wise(*kind) || matches!(kind, VectorKind::Normalisation | VectorKind::Pooling);
    let same = |id: &TensorId| before.writes.contains(id) && step.tensors[id.0].elements == *elements;
    // What is changed in place must be what the sweep has just made.
    let in_place = next.writes.iter().any(|id| before.reads.contains(id) && !before.writes.contains(id));
    starts && element_wise(*second) && before.stage == next.stage && next.reads.iter().any(same) && !in_place
}

fn tensors(step: &Step, tasks: &[Task], engine: &Engine) -> Vec<Stored> {
    let mut tensors: Vec<Stored> = step.tensors.iter().map(|tensor| stored(tensor, engine)).collect();
    let mut passes: Vec<Vec<Stage>> = vec![Vec::new(); tensors.len()];
    let mut written = vec![false; tensors.len()];
    let mut swept = vec![false; tensors.len()];
    for task in tasks {
        for &tensor in &task.reads {
            if matches!(task.job, Job::Gemm { .. }) {
                if !passes[tensor].contains(&task.stage) {
                    passes[tensor].push(task.stage);
                }
            } else {
                swept[tensor] = true;
            }
            tensors[tensor].uses += 1;
            tensors[tensor].lasting |= !written[tensor];
        }
        for &tensor in &task.writes {
            written[tensor] = true;
            tensors[tensor].uses += u32::from(!task.reads.contains(&tensor));
        }
    }
    for (index, tensor) in tensors.iter_mut().enumerate() {
        tensor.groupings = passes[index].len() as u64;
        // What nobody reads leaves the chip as FP32.
        let plain = swept[index] || tensor.groupings == 0;
        tensor.plain = if plain { tensor.elements * 4 } else { 0 };
        tensor.pinnable &= tensor.lasting;
    }
    tensors
}

impl Stored {
    /// A tensor of which only the size is known: it is read by one product.
    pub fn of(tensor: &Tensor, engine: &Engine) -> Self {
        stored(tensor, engine)
    }
}

fn stored(tensor: &Tensor, engine: &Engine) -> Stored {
    let place = match tensor.kind {
        TensorKind::Weight | TensorKind::OptimiserState => Place::Weights,
        TensorKind::Input | TensorKind::Activation => Place::Activations,
        TensorKind::Gradient | TensorKind::WeightGradient => Place::Gradients,
    };
    let pinnable = matches!(tensor.kind, TensorKind::Weight | TensorKind::OptimiserState);
    let operand = engine.tensor_bytes(tensor.elements);
    Stored { elements: tensor.elements, place, operand, pinnable, ..Stored::default() }
}
