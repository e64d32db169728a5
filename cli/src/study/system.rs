//! Simulations of the chip, their tables and plots.

use comfy_table::Table;
use mirage_arithmetic::{GemmConfig, GemmEntry, OperandHistogram, ResidueChannel, expected_reads};
use mirage_devices::UnitBudget;
use mirage_system::{
    Chip, Component, LayerResult, NetworkResult, Options, Parts, RepeatModel, System, summarise,
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

/// Simulates the products with a bar over them.
pub fn simulate(
    chip: &Chip,
    entries: &[GemmEntry],
    options: &Options,
    progress: Progress,
    what: &str,
) -> Result<Vec<LayerResult>> {
    let bar = progress.bar(entries.len() as u64, what);
    let layers =
        chip.run(entries, options, rayon::current_num_threads(), &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(layers)
}

/// Writes layers.csv, energy.csv, networks.csv and time.csv; returns the sums over networks.
pub fn write(folder: &Folder, layers: &[LayerResult]) -> Result<Vec<NetworkResult>> {
    let header = [
        "network",
        "layer",
        "pass",
        "M",
        "K",
        "N",
        "repeats",
        "stationary",
        "tiles",
        "events",
        "macs",
        "seconds",
        "utilisation",
        "joules",
        "bottleneck",
        "reads",
        "reads_repeated",
        "reads_repeated_expected",
        "working_set_bytes",
    ];
    let row = |l: &LayerResult| {
        vec![
            l.network.clone(),
            l.layer.clone(),
            l.pass.to_string(),
            l.m.to_string(),
            l.k.to_string(),
            l.n.to_string(),
            l.repeats.to_string(),
            l.stationary.to_string(),
            l.tiles.to_string(),
            l.events.to_string(),
            l.macs.to_string(),
            number(l.seconds),
            number(l.utilisation),
            number(l.joules()),
            l.bottleneck().to_owned(),
            l.reads.to_string(),
            l.repeated.to_string(),
            number(l.repeated_expected),
            number(l.working_set),
        ]
    };
    folder.table("layers.csv", &header, layers.iter().map(row))?;
    let networks = summarise(layers);
    let energy = networks.iter().flat_map(|n| {
        Component::ALL.into_iter().map(move |c| {
            let joules = n.energy_of(c);
            let watts = if n.seconds > 0.0 { joules / n.seconds } else { 0.0 };
            let share = if n.joules() > 0.0 { joules / n.joules() } else { 0.0 };
            vec![n.network.clone(), c.name().to_owned(), number(joules), number(watts), number(share)]
        })
    });
    folder.table("energy.csv", &["network", "component", "joules", "watts", "share"], energy)?;
    let time = networks.iter().flat_map(|n| {
        n.breakdown.parts().into_iter().map(move |(part, share)| {
            vec![n.network.clone(), part.to_owned(), number(share * n.seconds), number(share)]
        })
    });
    folder.table("time.csv", &["network", "part", "seconds", "share"], time)?;
    let header = [
        "network",
        "products",
        "tiles",
        "events",
        "macs",
        "seconds",
        "utilisation",
        "joules",
        "watts",
        "pj_per_mac",
        "reads",
        "reads_repeated",
        "reads_repeated_expected",
        "largest_working_set_bytes",
    ];
    let row = |n: &NetworkResult| {
        vec![
            n.network.clone(),
            n.products.to_string(),
            n.tiles.to_string(),
            n.events.to_string(),
            n.macs.to_string(),
            number(n.seconds),
            number(n.utilisation),
            number(n.joules()),
            number(n.watts()),
            number(n.joules_per_mac() * 1e12),
            n.reads.to_string(),
            n.repeated.to_string(),
            number(n.repeated_expected),
            number(n.working_set),
        ]
    };
    folder.table("networks.csv", &header, networks.iter().map(row))?;
    Ok(networks)
}

/// Draws energy.svg and time.svg.
pub fn draw(folder: &Folder) -> Result<()> {
    let by = |part, value| ["network", part, value];
    crate::plots::shares(
        folder,
        "energy.csv",
        "energy.svg",
        "Where the energy goes",
        by("component", "joules"),
    )?;
    crate::plots::shares(folder, "time.csv", "time.svg", "Where the units' time goes", by("part", "seconds"))
}

/// Share of the memories in a network's energy.
pub fn sram_share(network: &NetworkResult) -> f64 {
    let memories = Component::ALL.into_iter().filter(|c| c.is_memory());
    let joules: f64 = memories.map(|c| network.energy_of(c)).sum();
    if network.joules() > 0.0 { joules / network.joules() } else { 0.0 }
}

/// What the summary says of a network.
pub fn summary(n: &NetworkResult) -> serde_json::Value {
    serde_json::json!({
        "network": n.network, "products": n.products, "tiles": n.tiles, "events": n.events, "macs": n.macs,
        "seconds": n.seconds, "utilisation": n.utilisation, "joules": n.joules(), "watts": n.watts(),
        "joules_per_mac": n.joules_per_mac(), "reads": n.reads, "repeated": n.repeated,
        "repeated_expected": n.repeated_expected, "working_set": n.working_set,
    })
}

/// A table of networks for the terminal.
pub fn table(networks: &[NetworkResult]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "network",
        "tiles",
        "events",
        "time (s)",
        "utilisation",
        "energy (J)",
        "power (W)",
        "pJ/MAC",
    ]);
    for n in networks {
        table.add_row([
            n.network.clone(),
            n.tiles.to_string(),
            n.events.to_string(),
            format!("{:.4e}", n.seconds),
            format!("{:.1} %", 100.0 * n.utilisation),
            format!("{:.4e}", n.joules()),
            format!("{:.2}", n.watts()),
            format!("{:.3}", n.joules_per_mac() * 1e12),
        ]);
    }
    table
}

/// What the price of partial sums rests on. A tile streams all N vectors before the next one comes, so that the sums of a
/// row tile are alive together: far more than the small memory whose energy they are charged with.
pub fn partial_sums_note(system: &System, network: &NetworkResult) -> String {
    let price = system.sram.energy_per_byte.si() / system.sram.accumulator_energy_per_byte.si();
    let sums = network.energy_of(Component::AccumulatorMemory);
    let other = network.joules() - sums + sums * price;
    format!(
        "Partial sums are charged as accesses to a small memory ({:.2} pJ/B), though all sums of a row tile are alive together and \
         take megabytes: at the operand memory's {:.1} pJ/B {} would need {:.0} W instead of {:.0} W.",
        system.sram.accumulator_energy_per_byte.si() * 1e12,
        system.sram.energy_per_byte.si() * 1e12,
        network.network,
        other / network.seconds,
        network.watts()
    )
}
