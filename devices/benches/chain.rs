//! Prints rates of the device models: MMU chains of complex fields per second on one thread, and the time to
//! characterise the default design. Run with `cargo bench -p mirage-devices`.

use mirage_design::Document;
use mirage_devices::chips::Chip;
use mirage_devices::{
    Bench, DevicesSection, Mdpu, MdpuParameters, Operands, SweepSetting, Watch, default_sweeps, run_sweeps,
    solve, unit_budget,
};
use rand::SeedableRng;
use std::time::Instant;

fn main() {
    chains();
    let text = include_str!("../../data/designs/parts/devices.toml");
    let document = Document::new(text, "devices.toml").expect("the default design is valid TOML");
    let section = DevicesSection::read(&document).expect("the default design is valid");
    let point = section.design_point(16);
    let moduli = [31, 32, 33];
    let operands = moduli.map(Operands::uniform);
    let start = Instant::now();
    let solution =
        solve(&point, &moduli, &operands, Watch::default()).expect("the default design has a solution");
    println!("solving the default design: {:.2} s", start.elapsed().as_secs_f64());
    for solved in &solution.tolerances {
        println!(
            "  {:?} = {:.3e} {} (penalty {:.2} dB, power {:.3e} W, ideal {:.3e} W)",
            solved.tolerance,
            solved.value,
            solved.tolerance.unit(),
            solved.penalty_db,
            solved.power,
            solved.ideal_power
        );
    }
    println!("  laser power {:.4e} W", solution.laser_power);
    let start = Instant::now();
    let bench = Bench::new(&solution.parameters, &moduli, &operands).expect("solved parameters are valid");
    let populations = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let rates = bench.rates(solution.laser_power);
    println!(
        "three moduli: populations {populations:.3} s, rates over ADC cells {:.3} s",
        start.elapsed().as_secs_f64()
    );
    for r in rates {
        println!(
            "  m={} p={:.3e} adjacent={:.3e} other={:.3e} again={:.3e} snr={:.1} dB signal={:.3e} W",
            r.modulus,
            r.error_rate,
            r.adjacent,
            r.other,
            r.again,
            r.snr_db(),
            r.signal_power
        );
    }
    let (unit, population) = &bench.units()[2];
    println!("{:?} worst loss {:.1} dB", population.moments(), unit.worst_loss_db());
    for rule in bench.snr_rule(1.0, point.max_laser_power).into_iter().flatten() {
        println!(
            "  rule SNR = m: m={} laser {:.3e} W, error rate {:.3e}",
            rule.modulus, rule.laser_power, rule.error_rate
        );
    }
    let budget = unit_budget(&bench, 8, 32, solution.laser_power, point.wall_plug_efficiency);
    println!("  {budget:?}");
    let start = Instant::now();
    println!(
        "required power {:?} in {:.3} s",
        bench.required_power(1e-8, 0.5),
        start.elapsed().as_secs_f64()
    );
    let setting = SweepSetting {
        parameters: &solution.parameters,
        laser_power: solution.laser_power,
        max_laser_power: point.max_laser_power,
        target: point.target,
        moduli: &moduli,
        operands: &operands,
        seed: 1,
    };
    let sweeps = default_sweeps(&solution.parameters, solution.laser_power);
    let start = Instant::now();
    let rows = run_sweeps(&sweeps, &setting, Watch::default()).expect("sweeps of a valid design");
    println!("all sweeps, {} rows: {:.2} s", rows.len(), start.elapsed().as_secs_f64());
    for r in rows.iter().filter(|r| r.modulus == 32) {
        println!(
            "  {} {:.3e} {}: p={:.2e} [{:.2e} {:.2e}] required {:?} {}",
            r.sweep, r.value, r.unit, r.error_rate, r.lower, r.upper, r.required_laser_power_w, r.reachable
        );
    }
}

fn chains() {
    let unit = Mdpu::new(&MdpuParameters::ideal(16), 31).expect("ideal parameters are valid");
    let operands = Operands::uniform(31);
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let chip = Chip::sample(&unit, &operands, &mut rng);
    let settings: Vec<_> = (0..10_000).map(|_| chip.draw(&mut rng)).collect();
    let start = Instant::now();
    let sum: f64 = settings.iter().map(|(w, x)| chip.field(w, x).re).sum();
    let rate = settings.len() as f64 / start.elapsed().as_secs_f64();
    println!(
        "chains of 16 MMUs x 5 stages, every stage evaluated, full crosstalk matrix: {rate:.0} chains/s ({sum:.3})"
    );
    let errors = unit.no_errors();
    let start = Instant::now();
    let chain = |(w, x): &(Vec<usize>, Vec<usize>)| -> f64 {
        let field: num_complex::Complex64 = w.iter().zip(x).map(|(&w, &x)| unit.mmu(&errors, w, x)).product();
        field.re
    };
    let sum: f64 = settings.iter().map(chain).sum();
    let rate = settings.len() as f64 / start.elapsed().as_secs_f64();
    println!(
        "chains of 16 MMUs x 5 stages, every stage evaluated, no crosstalk: {rate:.0} chains/s ({sum:.3})"
    );
    let start = Instant::now();
    let sum: f64 = settings.iter().map(|(w, x)| chip.read(w, x).deviation).sum();
    let rate = settings.len() as f64 / start.elapsed().as_secs_f64();
    println!("the same reads from a chip's tables: {rate:.0} reads/s ({sum:.3e})");
}
