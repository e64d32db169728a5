//! `mirage simulate`

use comfy_table::Table;
use mirage_arithmetic::{GemmEntry, OperandHistogram, ResidueChannel};
use mirage_system::{Chip, Network, NetworkResult, Options, builtin};

use crate::args::SimulateArgs;
use crate::design::Design;
use crate::error::{CliError, Result, open};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::study::{devices, system};

pub fn run(args: &SimulateArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let gemm = design.gemm(seed)?;
    let entries = entries(args, &design)?;
    let repeats = match (&args.channel, &args.operands) {
        (Some(channel), Some(operands)) => {
            let channel = ResidueChannel::read_csv(open(channel)?, &channel.display().to_string())?;
            channel.check(&gemm.moduli, &gemm.code)?;
            let operands = OperandHistogram::read_csv(open(operands)?, &operands.display().to_string())?;
            system::repeat_model(&gemm, &channel, &operands)?
        }
        _ => None,
    };
    let folder = Folder::create(&args.output)?;
    let watts = devices::laser_watts(&design, seed, progress)?;
    let chip = Chip::new(&design.system, &gemm.moduli, gemm.format, watts)?;
    let layers = system::simulate(&chip, &entries, &Options { repeats, seed }, progress, "simulating")?;
    let networks = system::write(&folder, &layers)?;
    system::draw(&folder)?;
    if args.common.json {
        let rows: Vec<_> = networks.iter().map(summary).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!("{}", table(&networks));
        println!("results in {}", folder.path().display());
    }
    Ok(())
}

fn entries(args: &SimulateArgs, design: &Design) -> Result<Vec<GemmEntry>> {
    let batch = args.batch.unwrap_or(*design.system.batch);
    if let Some(path) = &args.gemms {
        return Ok(GemmEntry::read_csv(open(path)?, &path.display().to_string())?);
    }
    if let Some(path) = &args.layers {
        let text = std::fs::read_to_string(path).map_err(|e| CliError::read(path, e))?;
        return Ok(Network::parse(&text, &path.display().to_string())?.training_step(batch)?);
    }
    let names: Vec<&str> = match args.network.as_str() {
        "all" => mirage_system::NETWORKS.to_vec(),
        one => vec![one],
    };
    let mut entries = Vec::new();
    for name in names {
        entries.extend(builtin(name)?.training_step(batch)?);
    }
    Ok(entries)
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
