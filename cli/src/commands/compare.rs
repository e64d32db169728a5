//! `mirage compare`

use mirage_system::compare::{Contender, Cost, Ratios, Scope};
use mirage_system::{Component, Estimate, NetworkResult, Step};
use serde::Serialize;

use crate::args::CompareArgs;
use crate::design::Design;
use crate::error::Result;
use crate::folder::{Folder, number};
use crate::progress::Progress;
use crate::study::rivals::{self, Devices, Rivals};
use crate::study::{devices, training::Setup};

pub fn run(args: &CompareArgs) -> Result<()> {
    let design = Design::read(args.design.as_deref())?;
    let progress = Progress::new(args.common.json);
    let seed = design.seed(args.common.seed);
    let steps = rivals::steps(&[&args.network], args.batch.unwrap_or(*design.system.batch))?;
    let folder = Folder::create(&args.output)?;
    let setup = Setup::new(&design, args.common.seed, progress)?;
    let operands = devices::operands_named(&args.operands, &setup, &design.gemm(seed)?)?;
    let solved = Devices::solve(&design, operands, seed, progress)?;
    let rivals = Rivals::new(&design, &solved, &rivals::all())?;
    let estimates = rivals.estimate(&steps)?;
    let costs = rivals.costs(&estimates);
    let events = if args.events { Some(rivals.simulate(&steps, seed, progress)?) } else { None };
    write_compare(&folder, &rivals, &steps, &estimates, &costs)?;
    let mut means = means(&rivals, &costs, &Scope::ALL.map(|scope| (scope, scope.name())));
    if let Some(events) = &events {
        let costs = by_events(&costs, events);
        write_events(&folder, &rivals, events, &estimates, &costs)?;
        means.extend(self::means(&rivals, &costs, &[(Scope::Chip, "chip, events")]));
    }
    folder.rows("compare-mean.csv", &means)?;
    write_breakdown(&folder, &rivals, &steps, &estimates)?;
    write_roofline(&folder, &design, &rivals, &steps, &estimates)?;
    crate::plots::rivals::compare(&folder)?;
    folder.repeatable(&design, &crate::command_line(seed))?;
    folder.finish();
    if args.common.json {
        say!("{}", serde_json::to_string_pretty(&means)?);
    } else {
        print(&means);
        say!("results in {}", folder.path().display());
    }
    Ok(())
}

/// A line of compare-mean.csv: means over the networks.
#[derive(Debug, Serialize)]
struct Mean {
    rule: &'static str,
    format: &'static str,
    scope: &'static str,
    mean: &'static str,
    networks: usize,
    arrays: u32,
    rows: u32,
    columns: u32,
    speedup: f64,
    energy_ratio: f64,
    power_ratio: f64,
    edp_ratio: f64,
}

fn means(rivals: &Rivals, costs: &[Vec<Cost>], scopes: &[(Scope, &'static str)]) -> Vec<Mean> {
    let mut rows = Vec::new();
    for &(scope, name) in scopes {
        for (contender, ratios) in rivals.baselines.iter().zip(rivals::ratios(costs, scope)) {
            let Some((rule, format, arrays)) = contender.arrays else { continue };
            for (mean, r) in
                [("arithmetic", Ratios::mean(&ratios)), ("geometric", Ratios::geometric_mean(&ratios))]
            {
                rows.push(Mean {
                    rule: rule.name(),
                    format: format.name(),
                    scope: name,
                    mean,
                    networks: ratios.len(),
                    arrays: arrays.units,
                    rows: arrays.rows,
                    columns: arrays.columns,
                    speedup: r.speedup,
                    energy_ratio: r.energy,
                    power_ratio: r.power,
                    edp_ratio: r.edp,
                });
            }
        }
    }
    rows
}

/// compare.csv: a line for each network and contender.
fn write_compare(
    folder: &Folder,
    rivals: &Rivals,
    steps: &[Step],
    estimates: &[Vec<Estimate>],
    costs: &[Vec<Cost>],
) -> Result<()> {
    let header = [
        "network",
        "rule",
        "format",
        "arrays",
        "rows",
        "columns",
        "peak_macs_per_second",
        "seconds",
        "product_seconds",
        "vector_seconds",
        "memory_seconds",
        "joules",
        "watts",
        "arithmetic_joules",
        "utilisation",
        "off_chip_bytes",
        "speedup",
        "energy_ratio",
        "power_ratio",
        "edp_ratio",
        "arithmetic_speedup",
        "arithmetic_energy_ratio",
        "arithmetic_power_ratio",
        "arithmetic_edp_ratio",
    ];
    let contenders: Vec<&Contender> = std::iter::once(&rivals.mirage).chain(&rivals.baselines).collect();
    let mut rows = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        for (index, contender) in contenders.iter().enumerate() {
            let (e, cost) = (&estimates[index][at], &costs[index][at]);
            let (rule, arrays) = match contender.arrays {
                Some((rule, _, a)) => {
                    (rule.name(), [a.units, a.rows, a.columns].map(|size| size.to_string()))
                }
                None => ("", Default::default()),
            };
            let mut row = vec![step.network.clone(), rule.to_owned(), contender.name().to_owned()];
            row.extend(arrays);
            let useful = e.macs as f64 / contender.peak() / e.product_seconds;
            row.extend(
                [
                    contender.peak(),
                    e.seconds,
                    e.product_seconds,
                    e.vector_seconds,
                    e.memory_seconds,
                    e.joules(),
                    e.joules() / e.seconds,
                    cost.arithmetic_joules,
                    useful,
                    e.off_chip_bytes,
                ]
                .map(number),
            );
            for scope in [Scope::Chip, Scope::Arithmetic] {
                let r = cost.over(&costs[0][at], scope);
                row.extend([r.speedup, r.energy, r.power, r.edp].map(number));
            }
            rows.push(row);
        }
    }
    folder.table("compare.csv", &header, rows)
}

/// Costs with the time and energy of the events.
fn by_events(costs: &[Vec<Cost>], events: &[Vec<NetworkResult>]) -> Vec<Vec<Cost>> {
    let one = |(cost, result): (&Cost, &NetworkResult)| Cost {
        seconds: result.seconds,
        joules: result.joules(),
        ..*cost
    };
    costs.iter().zip(events).map(|(costs, events)| costs.iter().zip(events).map(one).collect()).collect()
}

/// compare-events.csv: the same by events, beside the closed form.
fn write_events(
    folder: &Folder,
    rivals: &Rivals,
    events: &[Vec<NetworkResult>],
    estimates: &[Vec<Estimate>],
    costs: &[Vec<Cost>],
) -> Result<()> {
    let header = [
        "network",
        "rule",
        "format",
        "tiles",
        "events",
        "seconds",
        "joules",
        "utilisation",
        "over_closed_form",
        "speedup",
        "energy_ratio",
        "power_ratio",
        "edp_ratio",
    ];
    let contenders = std::iter::once(&rivals.mirage).chain(&rivals.baselines);
    let mut rows = Vec::new();
    for (index, contender) in contenders.enumerate() {
        for (at, result) in events[index].iter().enumerate() {
            let rule = contender.arrays.map_or("", |(rule, _, _)| rule.name());
            let r = costs[index][at].over(&costs[0][at], Scope::Chip);
            let mut row = vec![result.network.clone(), rule.to_owned(), contender.name().to_owned()];
            row.extend([result.tiles.to_string(), result.events.to_string()]);
            let over = result.seconds / estimates[index][at].seconds;
            row.extend(
                [
                    result.seconds,
                    result.joules(),
                    result.utilisation,
                    over,
                    r.speedup,
                    r.energy,
                    r.power,
                    r.edp,
                ]
                .map(number),
            );
            rows.push(row);
        }
    }
    folder.table("compare-events.csv", &header, rows)
}

/// breakdown.csv: the mean power of each component of the chip and of the arrays at equal energy.
fn write_breakdown(
    folder: &Folder,
    rivals: &Rivals,
    steps: &[Step],
    estimates: &[Vec<Estimate>],
) -> Result<()> {
    let contenders: Vec<&Contender> = std::iter::once(&rivals.mirage).chain(&rivals.baselines).collect();
    let mut rows = Vec::new();
    for (contender, estimates) in contenders.iter().zip(estimates) {
        for (step, e) in steps.iter().zip(estimates) {
            for component in Component::ALL {
                let joules = e.energy[component as usize];
                if joules > 0.0 {
                    let rule = contender.arrays.map_or("", |(rule, _, _)| rule.name());
                    rows.push(vec![
                        step.network.clone(),
                        rule.to_owned(),
                        contender.name().to_owned(),
                        component.name().to_owned(),
                        number(joules),
                        number(joules / e.seconds),
                    ]);
                }
            }
        }
    }
    folder.table("breakdown.csv", &["network", "rule", "format", "component", "joules", "watts"], rows)
}

/// roofline.csv: what each network reaches of the roof that its traffic leaves.
fn write_roofline(
    folder: &Folder,
    design: &Design,
    rivals: &Rivals,
    steps: &[Step],
    estimates: &[Vec<Estimate>],
) -> Result<()> {
    let memory = &design.system.memory;
    let bandwidth = memory.bandwidth.si() * f64::from(*memory.channels);
    let header = [
        "network",
        "rule",
        "format",
        "macs_per_byte",
        "macs_per_second",
        "roof_macs_per_second",
        "peak_macs_per_second",
        "bytes_per_second",
    ];
    let contenders: Vec<&Contender> = std::iter::once(&rivals.mirage).chain(&rivals.baselines).collect();
    let mut rows = Vec::new();
    for (contender, estimates) in contenders.iter().zip(estimates) {
        for (step, e) in steps.iter().zip(estimates) {
            let intensity = e.macs as f64 / e.off_chip_bytes;
            let roof = contender.peak().min(intensity * bandwidth);
            let rule = contender.arrays.map_or("", |(rule, _, _)| rule.name());
            let mut row = vec![step.network.clone(), rule.to_owned(), contender.name().to_owned()];
            row.extend([intensity, e.macs as f64 / e.seconds, roof, contender.peak(), bandwidth].map(number));
            rows.push(row);
        }
    }
    folder.table("roofline.csv", &header, rows)
}

fn print(means: &[Mean]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["rule", "format", "arrays", "scope", "time", "energy", "power", "EDP"]);
    for m in means.iter().filter(|m| m.mean == "arithmetic") {
        table.add_row([
            m.rule.to_owned(),
            m.format.to_owned(),
            format!("{} of {} x {}", m.arrays, m.rows, m.columns),
            m.scope.to_owned(),
            format!("{:.3}x", m.speedup),
            format!("{:.3}x", m.energy_ratio),
            format!("{:.3}x", m.power_ratio),
            format!("{:.3}x", m.edp_ratio),
        ]);
    }
    say!("{table}");
    say!(
        "Arithmetic means over {} networks of what the array takes over what the chip takes: above one the chip is better. Scope arithmetic: products alone, \
         published energy of a multiply-accumulate on both sides; chip: the whole step with memories and vector unit, bottom-up. \
         In closed form where events are not named. How sure these are: mirage reproduce.",
        means.first().map_or(0, |m| m.networks)
    );
}
