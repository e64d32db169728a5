//! One training step of each of the seven networks on the default chip, with off-chip memory, vector unit and all contention: time,
//! utilisation, energy, and how fast the simulation goes, in time of the
//! processor. One thread; nothing is skipped.
//!
//! Run with `cargo bench -p mirage-system --bench networks`; a number after `--` is the batch (default 256), a second one the
//! probability that a dot product is read again (default 0), a word the networks whose name has it.

use std::time::Instant;

use mirage_arithmetic::BfpFormat;
use mirage_design::parse_section;
use mirage_system::{Chip, Component, Options, Parts, RepeatModel, System, all, design};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<f64>().ok());
    let batch = numbers.next().unwrap_or(256.0) as u64;
    let detected_per_group = numbers.next().unwrap_or(0.0);
    let word = arguments.iter().find(|word| word.parse::<f64>().is_err());
    let repeats = Some(RepeatModel { detected_per_group, again: 0.1, repeats: 3 });
    let system: System = parse_section(design::DEFAULT_SECTION, "default", "system")?;
    let parts =
        Parts { laser_watts: 5.0, rings: 131_072, multipliers: 12_288, amplifiers: 1_536, adcs: 1_536 };
    let chip = Chip::new(&system, BfpFormat::mirage(), &parts)?;
    let (mut events, mut seconds) = (0, 0.0);
    println!(
        "network        step, ms  bound, ms   util     J/step   W mean   tiles, M  blocks, M  events, M  CPU, s  M events/s"
    );
    for network in
        all()?.into_iter().filter(|network| word.is_none_or(|word| network.name.contains(word.as_str())))
    {
        let (start, processor) = (Instant::now(), processor_seconds());
        let step = network.step(batch, network.optimiser)?;
        let result = chip.step(&step, &Options { repeats, seed: 1, ..Options::default() })?;
        // The processor's time where the system tells: other work does not count.
        let wall = match (processor, processor_seconds()) {
            (Some(before), Some(after)) if after > before => after - before,
            _ => start.elapsed().as_secs_f64(),
        };
        let sum = &result.network;
        println!(
            "{:<12} {:>10.3} {:>10.3} {:>6.3} {:>10.4} {:>8.2} {:>10.3} {:>10.3} {:>10.3} {:>8.2} {:>11.2}",
            sum.network,
            sum.seconds * 1e3,
            sum.bound * 1e3,
            sum.utilisation,
            sum.joules(),
            sum.watts(),
            sum.tiles as f64 / 1e6,
            sum.blocks as f64 / 1e6,
            sum.events as f64 / 1e6,
            wall,
            sum.events as f64 / wall / 1e6
        );
        let shares = Component::ALL.map(|c| format!("{} {:.2} W", c.name(), sum.energy_of(c) / sum.seconds));
        println!("    {}", shares.join(", "));
        let parts: Vec<String> =
            sum.breakdown.parts().map(|(name, share)| format!("{name} {share:.3}")).collect();
        println!("    {}", parts.join(", "));
        let busy: Vec<String> = sum.busy.iter().map(|(name, share)| format!("{name} {share:.3}")).collect();
        let traffic = [sum.traffic.read, sum.traffic.written].map(|bytes| bytes as f64 / 1e9);
        println!("    busy: {}; {:.2} GB read, {:.2} GB written", busy.join(", "), traffic[0], traffic[1]);
        println!(
            "    repeated {} of {} reads, expected {:.1}",
            sum.repeated, sum.reads, sum.repeated_expected
        );
        for queue in &result.queues {
            print!("    {}: {} of {};", queue.queue, queue.peak, queue.bound);
        }
        println!();
        events += sum.events;
        seconds += wall;
    }
    println!(
        "{:.1} M events in {seconds:.1} s: {:.2} M events/s; {} MiB at most",
        events as f64 / 1e6,
        events as f64 / seconds / 1e6,
        peak_memory().map_or("unknown".to_owned(), |mib| mib.to_string())
    );
    Ok(())
}

/// Time that this process had the processor for, in hundredths of a second, where the system tells.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Most memory that the process ever had, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}
