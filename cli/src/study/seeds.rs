//! Runs that differ in their seeds alone, together: points of a tolerance curve, means and spreads.

use mirage_training::Network;
use serde::{Deserialize, Serialize};
use statrs::statistics::Statistics;

use super::training::RunSummary;

/// One point of the tolerance curve: all seeds of a shape, protection and rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tolerance {
    pub network: String,
    pub error_shape: String,
    pub protection: String,
    pub rate: f64,
    pub seeds: usize,
    pub accuracy_mean: f64,
    pub accuracy_min: f64,
    pub accuracy_max: f64,
    pub diverged: usize,
    pub wrong: u64,
    pub detected: u64,
    pub corrected: u64,
    pub repeated: u64,
    pub silent: u64,
}

impl Tolerance {
    /// Of runs that differ in their seeds alone; `None` where none of them was measured. Runs without errors have rate 0.
    pub fn of(network: &Network, runs: &[RunSummary]) -> Option<Self> {
        let measured: Vec<(&RunSummary, f64)> = runs.iter().filter_map(|r| Some((r, r.accuracy?))).collect();
        let (first, _) = measured.first()?;
        let accuracies = || measured.iter().map(|(_, accuracy)| *accuracy);
        let sum = |of: fn(&RunSummary) -> u64| measured.iter().map(|(run, _)| of(run)).sum();
        Some(Self {
            network: network.name().to_owned(),
            error_shape: first.error_shape.clone(),
            protection: first.protection.clone(),
            rate: first.rate.unwrap_or(0.0),
            seeds: measured.len(),
            accuracy_mean: accuracies().sum::<f64>() / measured.len() as f64,
            accuracy_min: accuracies().fold(1.0, f64::min),
            accuracy_max: accuracies().fold(0.0, f64::max),
            diverged: measured.iter().filter(|(run, _)| run.diverged).count(),
            wrong: sum(|r| r.wrong),
            detected: sum(|r| r.detected),
            corrected: sum(|r| r.corrected),
            repeated: sum(|r| r.repeated),
            silent: sum(|r| r.silent),
        })
    }
}

/// Gathers the runs of a sweep by shape, protection and rate, in their order; runs without errors are points of rate 0.
pub fn tolerances(network: &Network, runs: &[RunSummary]) -> Vec<Tolerance> {
    alike(runs).iter().filter_map(|runs| Tolerance::of(network, runs)).collect()
}

/// Runs that differ in their seeds alone, in their order.
fn alike(runs: &[RunSummary]) -> Vec<Vec<RunSummary>> {
    let key = |r: &RunSummary| {
        let errors = (r.error_shape.clone(), r.rate.map(f64::to_bits));
        (r.arithmetic.clone(), r.protection.clone(), errors)
    };
    let mut points: Vec<Vec<RunSummary>> = Vec::new();
    for run in runs {
        match points.iter_mut().find(|point| key(&point[0]) == key(run)) {
            Some(point) => point.push(run.clone()),
            None => points.push(vec![run.clone()]),
        }
    }
    points
}

/// What several seeds of one arithmetic make together.
#[derive(Debug, Clone, Serialize)]
pub struct Seeds {
    pub network: String,
    pub arithmetic: String,
    pub protection: String,
    pub error_shape: String,
    pub rate: Option<f64>,
    pub seeds: usize,
    pub diverged: usize,
    pub accuracy_mean: f64,
    /// Standard deviation between seeds.
    pub accuracy_deviation: f64,
    pub accuracy_min: f64,
    pub accuracy_max: f64,
    pub test_loss_mean: Option<f64>,
}

/// The means and spreads of runs that differ in their seeds alone, where there are at least two that were measured.
pub fn over_seeds(network: &Network, runs: &[RunSummary]) -> Vec<Seeds> {
    let one = |runs: &Vec<RunSummary>| {
        let accuracies: Vec<f64> = runs.iter().filter_map(|r| r.accuracy).collect();
        let losses: Vec<f64> = runs.iter().filter_map(|r| r.test_loss).collect();
        (accuracies.len() > 1).then(|| Seeds {
            network: network.name().into(),
            arithmetic: runs[0].arithmetic.clone(),
            protection: runs[0].protection.clone(),
            error_shape: runs[0].error_shape.clone(),
            rate: runs[0].rate,
            seeds: accuracies.len(),
            diverged: runs.iter().filter(|r| r.diverged).count(),
            accuracy_mean: accuracies.iter().mean(),
            accuracy_deviation: accuracies.iter().std_dev(),
            accuracy_min: Statistics::min(accuracies.iter()),
            accuracy_max: Statistics::max(accuracies.iter()),
            test_loss_mean: (losses.len() == accuracies.len()).then(|| losses.iter().mean()),
        })
    };
    alike(runs).iter().filter_map(one).collect()
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |x: f64| 100.0 * x;
        write!(
            f,
            "{}: accuracy {:.1} %, standard deviation {:.1} points over {} seeds ({:.1} to {:.1} %)",
            self.arithmetic,
            percent(self.accuracy_mean),
            percent(self.accuracy_deviation),
            self.seeds,
            percent(self.accuracy_min),
            percent(self.accuracy_max)
        )?;
        self.test_loss_mean.map_or(Ok(()), |loss| write!(f, ", mean test loss {loss:.4}"))?;
        if self.diverged > 0 { write!(f, "; {} diverged", self.diverged) } else { Ok(()) }
    }
}
