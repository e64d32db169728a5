//! `mirage simulate`

use mirage_arithmetic::{GemmEntry, ResidueChannel};
use mirage_system::{Network, Options, builtin};

use crate::args::SimulateArgs;
use crate::design::Design;
use crate::error::{Result, open_text, read_text};
use crate::folder::Folder;
use crate::progress::Progress;
use crate::study::training::Setup;
use crate::study::{devices, system};

pub fn run(args: &SimulateArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let gemm = design.gemm(seed)?;
    let entries = entries(args, &design)?;
    let histogram = args.operands.as_deref().map(|path| devices::histogram(path, &gemm)).transpose()?;
    let repeats = match (&args.channel, &histogram) {
        (Some(path), Some(operands)) => {
            let channel = ResidueChannel::read_csv(
                open_text(path, "a residue channel (CSV)")?,
                &path.display().to_string(),
            )?;
            channel.check(&gemm.moduli, &gemm.code)?;
            system::repeat_model(&gemm, &channel, operands)?
        }
        _ => None,
    };
    let folder = Folder::create(&args.output)?;
    let setup = Setup::new(&design, args.common.seed, progress)?;
    let operands = devices::operands_named("training", &setup, &gemm)?;
    let budget = devices::budget_of(&design, operands, seed, progress)?;
    let chip = system::chip(&design.system, &gemm, &budget)?;
    let layers = system::simulate(&chip, &entries, &Options { repeats, seed }, progress, "simulating")?;
    let networks = system::write(&folder, &layers)?;
    system::draw(&folder)?;
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    if args.common.json {
        let rows: Vec<_> = networks.iter().map(system::summary).collect();
        say!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        say!("{}", system::table(&networks));
        say!("results in {}", folder.path().display());
    }
    Ok(())
}

fn entries(args: &SimulateArgs, design: &Design) -> Result<Vec<GemmEntry>> {
    let batch = args.batch.unwrap_or(*design.system.batch);
    if let Some(path) = &args.gemms {
        return Ok(GemmEntry::read_csv(
            open_text(path, "a list of products (CSV)")?,
            &path.display().to_string(),
        )?);
    }
    if let Some(path) = &args.layers {
        let text = read_text(path, "a layer table (CSV)")?;
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
