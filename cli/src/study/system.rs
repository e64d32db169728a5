//! Simulations of the chip, their tables and plots.

use comfy_table::Table;
use mirage_arithmetic::{GemmConfig, GemmEntry, OperandHistogram, ResidueChannel, expected_reads};
use mirage_devices::UnitBudget;
use mirage_system::workload::Step;
use mirage_system::{
    Chip, Component, LayerResult, NetworkResult, Options, Parts, RepeatModel, StepResult, System,
};

use crate::error::Result;
use crate::folder::{Folder, number};
use crate::progress::Progress;

/// How often a read is repeated on this channel with operands like these; `None` where nothing is read again.
pub fn repeat_model(
    gemm: &GemmConfig,
    channel: &ResidueChannel,
    operands: &OperandHistogram,
) -> Result<Option<RepeatModel>> {
    let expected = expected_reads(channel, gemm, operands)?;
    Ok(RepeatModel::of_channel(&expected, gemm.protection)?)
}

/// The chip of a design with the parts that its devices have.
pub fn chip(system: &System, gemm: &GemmConfig, budget: &UnitBudget) -> Result<Chip> {
    let parts = Parts {
        laser_watts: budget.electrical_power,
        rings: budget.rings,
        multipliers: budget.mmus,
        amplifiers: budget.amplifiers,
        adcs: budget.adcs,
    };
    Ok(Chip::new(system, gemm.format, &parts)?)
}

/// Simulates training steps with a bar over them.
pub fn simulate(
    chip: &Chip,
    steps: &[Step],
    options: &Options,
    progress: Progress,
    what: &str,
) -> Result<Vec<StepResult>> {
    let bar = progress.bar(steps.len() as u64, what);
    let results =
        chip.run(steps, options, rayon::current_num_threads(), &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(results)
}

/// Simulates a list of products, network by network.
pub fn simulate_products(chip: &Chip, entries: &[GemmEntry], options: &Options) -> Result<Vec<StepResult>> {
    Ok(chip.products(entries, options, rayon::current_num_threads(), &|_| {})?)
}

const LAYERS: [&str; 23] = [
    "network",
    "layer",
    "stage",
    "work",
    "M",
    "K",
    "N",
    "repeats",
    "stationary",
    "tiles",
    "blocks",
    "macs",
    "vector_operations",
    "begin_s",
    "seconds",
    "utilisation",
    "joules",
    "bottleneck",
    "off_chip_bytes",
    "intensity",
    "reads",
    "reads_repeated",
    "reads_repeated_expected",
];

fn layer_row(l: &LayerResult) -> Vec<String> {
    let size = |of: fn(&GemmEntry) -> u64| l.product.as_ref().map_or(String::new(), |p| of(p).to_string());
    vec![
        l.network.clone(),
        l.layer.clone(),
        l.stage.name().to_owned(),
        l.work.clone(),
        size(|p| p.m),
        size(|p| p.k),
        size(|p| p.n),
        size(|p| p.repeats),
        l.stationary.map_or(String::new(), |stationary| stationary.to_string()),
        l.tiles.to_string(),
        l.blocks.to_string(),
        l.macs.to_string(),
        l.vector_operations.to_string(),
        number(l.begin),
        number(l.seconds),
        number(l.utilisation),
        number(l.joules()),
        l.bottleneck().to_owned(),
        l.off_chip_bytes.to_string(),
        // Without traffic there is no ratio.
        if l.off_chip_bytes > 0 { number(l.intensity()) } else { String::new() },
        l.reads.to_string(),
        l.repeated.to_string(),
        number(l.repeated_expected),
    ]
}

const NETWORKS: [&str; 21] = [
    "network",
    "batch",
    "products",
    "tiles",
    "blocks",
    "events",
    "macs",
    "vector_operations",
    "seconds",
    "bound_s",
    "steps_simulated",
    "utilisation",
    "joules",
    "watts",
    "pj_per_mac",
    "off_chip_read_bytes",
    "off_chip_written_bytes",
    "calibrations",
    "reads",
    "reads_repeated",
    "reads_repeated_expected",
];

fn network_row(result: &StepResult) -> Vec<String> {
    let n = &result.network;
    vec![
        n.network.clone(),
        n.batch.to_string(),
        n.products.to_string(),
        n.tiles.to_string(),
        n.blocks.to_string(),
        n.events.to_string(),
        n.macs.to_string(),
        n.vector_operations.to_string(),
        number(n.seconds),
        number(n.bound),
        result.steps.len().to_string(),
        number(n.utilisation),
        number(n.joules()),
        number(n.watts()),
        number(n.joules_per_mac() * 1e12),
        n.traffic.read.to_string(),
        n.traffic.written.to_string(),
        n.calibrations.to_string(),
        n.reads.to_string(),
        n.repeated.to_string(),
        number(n.repeated_expected),
    ]
}

/// Writes layers.csv, energy.csv, time.csv, busy.csv, queues.csv and networks.csv.
pub fn write(folder: &Folder, results: &[StepResult]) -> Result<()> {
    folder.table("layers.csv", &LAYERS, results.iter().flat_map(|r| &r.layers).map(layer_row))?;
    let networks = || results.iter().map(|result| &result.network);
    let energy = networks().flat_map(|n| {
        Component::ALL.into_iter().map(move |c| {
            let joules = n.energy_of(c);
            let watts = if n.seconds > 0.0 { joules / n.seconds } else { 0.0 };
            let share = if n.joules() > 0.0 { joules / n.joules() } else { 0.0 };
            vec![n.network.clone(), c.name().to_owned(), number(joules), number(watts), number(share)]
        })
    });
    folder.table("energy.csv", &["network", "component", "joules", "watts", "share"], energy)?;
    let time = networks().flat_map(|n| {
        n.breakdown.parts().map(move |(part, share)| {
            vec![n.network.clone(), part.to_owned(), number(share * n.seconds), number(share)]
        })
    });
    folder.table("time.csv", &["network", "part", "seconds", "share"], time)?;
    let busy = networks().flat_map(|n| {
        n.busy.iter().map(move |(part, share)| [n.network.clone(), (*part).to_owned(), number(*share)])
    });
    folder.table("busy.csv", &["network", "part", "share"], busy)?;
    let queues = results.iter().flat_map(|result| {
        result.queues.iter().map(move |q| {
            [result.network.network.clone(), q.queue.to_owned(), q.peak.to_string(), q.bound.to_string()]
        })
    });
    folder.table("queues.csv", &["network", "queue", "peak", "bound"], queues)?;
    folder.table("networks.csv", &NETWORKS, results.iter().map(network_row))
}

/// Draws energy.svg, time.svg and, of a single network, gantt.svg and utilisation.svg.
pub fn draw(folder: &Folder, results: &[StepResult]) -> Result<()> {
    let by = |part, value| ["network", part, value];
    crate::plots::shares(
        folder,
        "energy.csv",
        "energy.svg",
        "Where the energy goes",
        by("component", "joules"),
    )?;
    crate::plots::shares(
        folder,
        "time.csv",
        "time.svg",
        "Where the units' time goes",
        by("part", "seconds"),
    )?;
    if let [only] = results {
        crate::plots::system::gantt(folder, &only.network.network)?;
        crate::plots::system::utilisation(folder, &only.network.network)?;
    }
    Ok(())
}

/// Share of the memories on the chip in a network's energy.
pub fn sram_share(network: &NetworkResult) -> f64 {
    let memories = Component::ALL.into_iter().filter(|c| c.is_sram());
    let joules: f64 = memories.map(|c| network.energy_of(c)).sum();
    if network.joules() > 0.0 { joules / network.joules() } else { 0.0 }
}

/// What the summary says of a network.
pub fn summary(n: &NetworkResult) -> serde_json::Value {
    serde_json::json!({
        "network": n.network, "batch": n.batch, "products": n.products, "tiles": n.tiles, "blocks": n.blocks,
        "events": n.events, "macs": n.macs, "vector_operations": n.vector_operations, "seconds": n.seconds,
        "bound": n.bound, "utilisation": n.utilisation, "joules": n.joules(), "watts": n.watts(),
        "joules_per_mac": n.joules_per_mac(), "off_chip": n.traffic.read + n.traffic.written, "off_chip_read": n.traffic.read, "off_chip_written": n.traffic.written,
        "reads": n.reads, "repeated": n.repeated, "repeated_expected": n.repeated_expected,
    })
}

/// A table of networks for the terminal.
pub fn table<'a>(networks: impl IntoIterator<Item = &'a NetworkResult>) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "network",
        "tiles",
        "events",
        "step (s)",
        "at least (s)",
        "utilisation",
        "energy (J)",
        "power (W)",
        "off-chip (GB)",
    ]);
    for n in networks {
        table.add_row([
            n.network.clone(),
            n.tiles.to_string(),
            n.events.to_string(),
            format!("{:.4e}", n.seconds),
            format!("{:.4e}", n.bound),
            format!("{:.1} %", 100.0 * n.utilisation),
            format!("{:.4e}", n.joules()),
            format!("{:.2}", n.watts()),
            format!("{:.2}", (n.traffic.read + n.traffic.written) as f64 * 1e-9),
        ]);
    }
    table
}

/// What the price of partial sums rests on. The sums of a block are alive together: far more than the small memory whose
/// energy they are charged with.
pub fn partial_sums_note(system: &System, network: &NetworkResult) -> String {
    let price = system.sram.energy_per_byte.si() / system.sram.accumulator_energy_per_byte.si();
    let sums = network.energy_of(Component::AccumulatorMemory);
    let other = network.joules() - sums + sums * price;
    format!(
        "Partial sums are charged as accesses to a small memory ({:.2} pJ/B), though all sums of a block are alive together and \
         fill {:.2} MB for each unit: at the operand memory's {:.1} pJ/B {} would need {:.0} W instead of {:.0} W.",
        system.sram.accumulator_energy_per_byte.si() * 1e12,
        system.sram.accumulators.si() / f64::from(system.units_in_use()) * 1e-6,
        system.sram.energy_per_byte.si() * 1e12,
        network.network,
        other / network.seconds,
        network.watts()
    )
}
