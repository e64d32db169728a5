use super::*;
use crate::design::DEFAULT_SECTION;
use crate::result::LayerResult;
use crate::workload::{Optimiser, VectorKind};
use crate::{Network, builtin};
use mirage_design::Document;
use proptest::prelude::*;

mod designs;
mod energy;
mod products;
mod steps;

/// Of 8 units with 32 rows and 16 columns for 3 moduli of 5, 5 and 6 digits, and 0.5 W of laser light.
pub(crate) const PARTS: Parts =
    Parts { laser_watts: 2.5, rings: 131_072, multipliers: 12_288, amplifiers: 1_536, adcs: 1_536 };

/// The default section with some values replaced, by key within the section.
pub(crate) fn system(changes: &[(&str, &str)]) -> System {
    let mut document = Document::new(DEFAULT_SECTION, "test.toml").expect("a document");
    for (key, value) in changes {
        document = document.with_value(&format!("system.{key}"), value).expect("a value");
    }
    document.section("system").expect("a section")
}

pub(crate) fn chip(changes: &[(&str, &str)]) -> Chip {
    Chip::new(&system(changes), BfpFormat::mirage(), &PARTS).expect("a chip")
}

/// Nothing is shared that could be waited for.
pub(crate) const FAST: [(&str, &str); 16] = [
    ("sram.capacity", "8 GB"),
    ("sram.weights", "2 GB"),
    ("sram.activations", "2 GB"),
    ("sram.gradients", "2 GB"),
    ("sram.accumulators", "2 GB"),
    ("memory.bandwidth", "10 PB/s"),
    ("memory.latency", "0 ns"),
    ("sram.load_bandwidth", "10 PB/s"),
    ("sram.stream_bandwidth", "10 PB/s"),
    ("sram.accumulate_bandwidth", "10 PB/s"),
    ("sram.dma_bandwidth", "10 PB/s"),
    ("sram.drain_bandwidth", "10 PB/s"),
    ("vector.bandwidth", "10 PB/s"),
    ("optimiser.bandwidth", "10 PB/s"),
    ("controller.issue_time", "0 ns"),
    ("recalibration.period", "0 s"),
];

fn with<'a>(base: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    base.iter().chain(more).copied().collect()
}

pub(crate) fn entry(m: u64, k: u64, n: u64, repeats: u64) -> GemmEntry {
    GemmEntry { network: "net".into(), layer: "layer".into(), pass: Pass::Forward, m, k, n, repeats }
}

fn run(chip: &Chip, entries: &[GemmEntry]) -> StepResult {
    let results = chip.products(entries, &Options::default(), 1, &|_| {}).expect("a result");
    results.into_iter().next().expect("one network")
}

fn one(chip: &Chip, entry: &GemmEntry) -> LayerResult {
    run(chip, std::slice::from_ref(entry)).layers.remove(0)
}

fn picoseconds(result: &StepResult) -> u64 {
    (result.network.seconds * 1e12).round() as u64
}

fn out_of_use(units: &str) -> System {
    let text = DEFAULT_SECTION.replacen("value = [], mark", &format!("value = {units}, mark"), 1);
    assert_ne!(text, DEFAULT_SECTION);
    mirage_design::parse_section(&text, "test.toml", "system").unwrap()
}

fn run_step(chip: &Chip, step: &Step) -> StepResult {
    chip.step(step, &Options::default()).expect("a result")
}

/// What must hold of every result.
fn check(chip: &Chip, step: &Step, result: &StepResult, chips: u64) -> Result<(), TestCaseError> {
    let n = &result.network;
    prop_assert_eq!(n.macs, step.macs().unwrap());
    prop_assert_eq!(n.vector_operations, step.vector_operations(None).unwrap());
    let parts: Vec<_> = n.breakdown.parts().collect();
    prop_assert!((parts.iter().map(|part| part.1).sum::<f64>() - 1.0).abs() < 1e-9, "{:?}", parts);
    prop_assert!(parts.iter().all(|part| part.1 >= 0.0), "{:?}", parts);
    prop_assert!(n.seconds >= n.bound * (1.0 - 1e-9), "{} below {}", n.seconds, n.bound);
    prop_assert!(n.events >= n.tiles + n.blocks);
    let layers: f64 = result.layers.iter().map(LayerResult::joules).sum();
    let sum: f64 = n.energy.iter().sum();
    // The layers are those of the last step.
    if result.steps.len() == 1 {
        prop_assert!((layers / (sum - n.energy_of(Component::Recalibration)) - 1.0).abs() < 1e-9);
    }
    prop_assert!(n.energy.iter().all(|joules| joules.is_finite() && *joules >= 0.0));
    for queue in &result.queues {
        prop_assert!(queue.peak <= queue.bound, "{:?}", queue);
    }
    for &(part, share) in &n.busy {
        prop_assert!((0.0..=1.0 + 1e-9).contains(&share), "{} {}", part, share);
    }
    let moved: u64 = result.layers.iter().map(|layer| layer.off_chip_bytes).sum();
    prop_assert_eq!(moved, n.traffic.moved);
    prop_assert!(n.traffic.read + n.traffic.written <= n.traffic.moved);
    // The streaming part is the utilisation.
    let units = f64::from(chip.setup.units + chip.setup.units_out);
    let peak = chip.engine.peak() * units / f64::from(*chip.system.units.get());
    prop_assert!(
        (n.breakdown.share("streaming") * peak * n.seconds / (n.macs as f64).max(1.0) - 1.0).abs() < 1e-6
    );
    // Nothing does two things at a time.
    for pair in result.spans.windows(2) {
        prop_assert!(pair[0].track != pair[1].track || pair[0].end <= pair[1].begin, "{:?}", pair);
    }
    prop_assert_eq!(chips > 1, result.layers.iter().any(|layer| layer.work == "all-reduce"));
    Ok(())
}
