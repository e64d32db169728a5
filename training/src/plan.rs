//! Many runs at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mirage_arithmetic::Pass;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::arithmetic::{Arithmetic, RunError};
use crate::checkpoint::{CheckpointError, CheckpointPlan, Checkpoints, Identity};
use crate::record::{Label, LayerRecord, Record};
use crate::trainer::{Run, State, Task, train_from};
use crate::{Examples, Network, Parameters, TrainConfig};

/// One run to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What its records are labelled with; usually from [`Arithmetic::label`].
    pub label: Label,
    /// Its arithmetic.
    pub arithmetic: Arithmetic,
    /// Its settings; the seed is also that of the errors.
    pub config: TrainConfig,
    /// What its weights start from, where it is not the seed.
    pub weights: Option<Arc<Parameters>>,
    /// Where its checkpoints are, if it is to have any.
    pub checkpoints: Option<CheckpointPlan>,
}

/// A run that was done.
#[derive(Debug, Clone)]
pub struct PlanResult {
    /// Its label.
    pub label: Label,
    /// All its records.
    pub records: Vec<Record>,
    /// Damaged checkpoints that it was not resumed from, though they were newer than the one that it was.
    pub damaged: Vec<String>,
    /// How it went.
    pub run: Run,
}

impl PlanResult {
    /// What the training products met, layer by layer and pass by pass, without those that did not take place
    /// or read no residues.
    pub fn layers(&self, network: &Network) -> Vec<LayerRecord> {
        let sites = network.sites().iter().enumerate();
        let each = sites.flat_map(|(site, name)| Pass::ALL.map(|pass| (site, name, pass)));
        let records = each.map(|(site, name, pass)| {
            LayerRecord::new(&self.label, name, pass, self.run.training.get(site, pass))
        });
        records.filter(|record| record.residues > 0).collect()
    }
}

impl Plan {
    /// A run in `arithmetic`, labelled by it.
    pub fn new(arithmetic: Arithmetic, error_shape: &str, config: TrainConfig) -> Self {
        let label = arithmetic.label(error_shape, config.seed);
        Self { label, arithmetic, config, weights: None, checkpoints: None }
    }

    /// Does it, or what is left of it after its last checkpoint. `observe` gets each new record as it arises.
    ///
    /// # Errors
    /// When arithmetic, settings, network and data do not fit each other; when a checkpoint cannot be written, or those that
    /// are there cannot be used.
    pub fn run(
        &self,
        network: &Network,
        data: &dyn Examples,
        cancel: &AtomicBool,
        mut observe: impl FnMut(&Record),
    ) -> Result<PlanResult, RunError> {
        let gemm = self.arithmetic.gemm(self.config.seed)?;
        let task = Task { network, data, config: &self.config, weights: self.weights.as_deref() };
        let identity = || Identity::of(task, &self.arithmetic);
        let checkpoints = self.checkpoints.as_ref().map(|plan| Checkpoints::new(plan.clone(), identity()));
        let resumed = checkpoints.as_ref().map(|c| c.resume(task, &self.label)).transpose()?;
        let (state, damaged) = resumed.unwrap_or_default();
        let state = state.unwrap_or_else(|| State::start(task));
        let what = (task, gemm.as_ref(), &self.label);
        let mut run = train_from(state, what, checkpoints.as_ref(), cancel, &mut observe)?;
        let records = std::mem::take(&mut run.records);
        Ok(PlanResult { label: self.label.clone(), records, damaged, run })
    }
}

/// Sees before any work whether the checkpoints that are there suit what is asked: a run that begins anew takes the place of
/// one that has ended, but not of an unfinished one.
fn begin(plans: &[Plan]) -> Result<(), CheckpointError> {
    let kept: Vec<&CheckpointPlan> = plans.iter().filter_map(|plan| plan.checkpoints.as_ref()).collect();
    let (resumed, fresh): (Vec<_>, Vec<_>) = kept.into_iter().partition(|plan| plan.resume);
    if let Some(first) = resumed.first() {
        let any = resumed.iter().map(|plan| plan.exist()).collect::<Result<Vec<_>, _>>()?.contains(&true);
        if !any {
            return Err(CheckpointError::None { folder: first.folder.clone() });
        }
    }
    fresh.iter().try_for_each(|plan| plan.refuse_unfinished())?;
    fresh.iter().try_for_each(|plan| plan.clear())
}

/// Does all plans, as many at a time as rayon has threads; results come in the order of the plans and do not
/// depend on the number of threads. `observe` gets the plan's index and each record as it arises, from several
/// threads. Runs that `cancel` stops, or keeps from beginning, come out as cancelled.
///
/// # Errors
/// The error of the first plan, in their order, that cannot be done; [`RunError::Threads`] when the system gives no threads;
/// [`RunError::Checkpoint`] when there is nothing to resume, or an unfinished run would be lost.
pub fn run_all(
    network: &Network,
    data: &dyn Examples,
    plans: &[Plan],
    cancel: &AtomicBool,
    observe: &(dyn Fn(usize, &Record) + Sync),
) -> Result<Vec<PlanResult>, RunError> {
    begin(plans)?;
    let threads = rayon::current_num_threads();
    let workers = threads.min(plans.len()).max(1);
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<_>>> = plans.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while let Some((index, plan)) = take(plans, &next) {
            let result = plan.run(network, data, cancel, |record| observe(index, record));
            *results[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(result);
        }
    };
    // Each worker has rayon threads of its own: with shared ones, a run that waits for a part of a product
    // would begin another run on top of itself.
    let pools = pools(workers, || ThreadPoolBuilder::new().num_threads(threads / workers))?;
    std::thread::scope(|scope| {
        for pool in &pools {
            let worker = std::thread::Builder::new().spawn_scoped(scope, || pool.install(work));
            if let Err(error) = worker {
                // What has begun ends; nothing else begins.
                next.store(plans.len(), Ordering::Relaxed);
                return Err(RunError::Threads(error.to_string()));
            }
        }
        Ok(())
    })?;
    let results = results.into_iter();
    results.filter_map(|slot| slot.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())).collect()
}

fn pools(count: usize, builder: impl Fn() -> ThreadPoolBuilder) -> Result<Vec<ThreadPool>, RunError> {
    let pools = (0..count).map(|_| builder().build().map_err(|error| RunError::Threads(error.to_string())));
    pools.collect()
}

fn take<'p>(plans: &'p [Plan], next: &AtomicUsize) -> Option<(usize, &'p Plan)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    plans.get(index).map(|plan| (index, plan))
}

#[cfg(test)]
mod tests;
