//! One training step of each of the seven networks on the default chip: time, utilisation, energy, and
//! how fast the simulation goes. One thread; nothing is skipped.
//!
//! Run with `cargo bench -p mirage-system`; a number after `--` is the batch (default 256), a second one the probability
//! that a dot product is read again (default 0).

use std::time::Instant;

use mirage_arithmetic::BfpFormat;
use mirage_design::parse_section;
use mirage_system::{Chip, Component, Options, Parts, RepeatModel, System, all, design, summarise};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<f64>().ok());
    let batch = numbers.next().unwrap_or(256.0) as u64;
    let detected_per_group = numbers.next().unwrap_or(0.0);
    let repeats = Some(RepeatModel { detected_per_group, again: 0.1, repeats: 3 });
    let system: System = parse_section(design::DEFAULT_SECTION, "default", "system")?;
    let parts =
        Parts { laser_watts: 5.0, rings: 131_072, multipliers: 12_288, amplifiers: 1_536, adcs: 1_536 };
    let chip = Chip::new(&system, BfpFormat::mirage(), &parts)?;
    let (mut events, mut seconds) = (0, 0.0);
    println!(
        "network        step, ms   util     J/step   W mean  pJ/MAC   tiles, M  events, M  wall, s  M events/s"
    );
    for network in all()? {
        let start = Instant::now();
        let step = network.training_step(batch)?;
        let layers = chip.run(&step, &Options { repeats, seed: 1 }, 1, &|_| {})?;
        let wall = start.elapsed().as_secs_f64();
        for sum in summarise(&layers) {
            println!(
                "{:<12} {:>10.3} {:>6.3} {:>10.4} {:>8.2} {:>7.3} {:>10.3} {:>10.3} {:>8.2} {:>11.2}",
                sum.network,
                sum.seconds * 1e3,
                sum.utilisation,
                sum.joules(),
                sum.watts(),
                sum.joules_per_mac() * 1e12,
                sum.tiles as f64 / 1e6,
                sum.events as f64 / 1e6,
                wall,
                sum.events as f64 / wall / 1e6
            );
            let shares =
                Component::ALL.map(|c| format!("{} {:.2} W", c.name(), sum.energy_of(c) / sum.seconds));
            println!("    {}", shares.join(", "));
            let parts = sum.breakdown.parts().map(|(name, share)| format!("{name} {share:.3}"));
            println!("    {}", parts.join(", "));
            println!(
                "    repeated {} of {} reads, expected {:.1}",
                sum.repeated, sum.reads, sum.repeated_expected
            );
            events += sum.events;
        }
        seconds += wall;
    }
    println!(
        "{:.1} M events in {seconds:.1} s: {:.2} M events/s",
        events as f64 / 1e6,
        events as f64 / seconds / 1e6
    );
    Ok(())
}
