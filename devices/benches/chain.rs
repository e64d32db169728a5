//! Prints rates of the device models: MMU chains of complex fields per second on one thread, and the time to
//! characterise the default design. Run with `cargo bench -p mirage-devices`.

use mirage_design::Document;
use mirage_devices::chips::Chip;
use mirage_devices::{
    Bench, DevicesSection, Mdpu, MdpuParameters, Operands, SweepSetting, Trim, Watch, default_sweeps,
    run_sweeps, solve, unit_budget,
};
use num_complex::Complex64;
use rand::SeedableRng;
use std::time::Instant;

fn main() {
    chains();
    // `cargo bench -p mirage-devices --bench chain -- chains` ends here.
    if std::env::args().any(|argument| argument == "chains") {
        return;
    }
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
            r.again[0],
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

/// Random settings that every chain is measured with.
const SETTINGS: usize = 10_000;

/// 16 MMUs of 5 stages, every setting a random pair of operands for each MMU: errors of a sampled chip, loss and leakage
/// along both paths. The best of several runs counts, since other programs may share the machine.
fn chains() {
    let mut parameters = MdpuParameters::ideal(16);
    (parameters.rings.pass_loss_db, parameters.rings.drop_loss_db) = (0.2, 0.2);
    (parameters.rings.extinction_db, parameters.shifters.loss_db) = (25.0, 0.91);
    parameters.trim = Trim { fabrication: 1.0, resolution: 0.01, range: std::f64::consts::PI };
    let unit = Mdpu::new(&parameters, 31).expect("the parameters are valid");
    let operands = Operands::uniform(31);
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let chip = Chip::sample(&unit, &operands, &mut rng);
    let reads: Vec<_> = (0..SETTINGS).map(|_| chip.draw(&mut rng)).collect();
    let (batched, tables) = (chip.chains(), chip.chains().tables());
    let hand = ByHand::new(&unit, &reads);
    println!("chains of 16 MMUs x 5 stages, {SETTINGS} random settings, one thread:");
    let scalar = rate("by hand, one after the other", 5, || hand.fields());
    let model = rate("scalar model, without crosstalk", 3, || {
        let errors = unit.no_errors();
        let field = |(w, x): &(Vec<usize>, Vec<usize>)| -> Complex64 {
            w.iter().zip(x).map(|(&w, &x)| unit.mmu(&errors, w, x)).product()
        };
        reads.iter().map(field).sum()
    });
    let fast = rate("batched model, every stage formed from level and bit", 20, || {
        batched.fields(&reads).iter().sum()
    });
    let looked_up = rate("from the chip's tables of MMU transfers", 20, || {
        reads.iter().map(|(w, x)| tables.field(w, x)).sum()
    });
    rate("deviations from the chip's tables", 20, || {
        reads.iter().map(|(w, x)| Complex64::new(chip.read(w, x).deviation, 0.0)).sum()
    });
    println!(
        "  batched over by hand: {:.1}; over the scalar model: {:.1}; tables over by hand: {:.1}",
        fast / scalar,
        fast / model,
        looked_up / scalar
    );
}

/// Prints and returns the best rate of `runs` runs over all settings.
fn rate(what: &str, runs: usize, mut run: impl FnMut() -> Complex64) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        std::hint::black_box(run());
        best = best.min(start.elapsed().as_secs_f64());
    }
    let rate = SETTINGS as f64 / best;
    println!("  {what}: {:.2} million chains/s", rate / 1e6);
    rate
}

/// The peer: phases and switch bits laid out beforehand, the obvious loop.
struct ByHand {
    phases: Vec<[f64; 80]>,
    bits: Vec<[bool; 80]>,
    leakage: f64,
}

impl ByHand {
    fn new(unit: &Mdpu, reads: &[(Vec<usize>, Vec<usize>)]) -> Self {
        let (digits, turn) = (unit.digits(), std::f64::consts::TAU / 31.0);
        let phase = |w: &[usize], stage: usize| {
            turn * f64::from(digits.weights()[stage % 5]) * f64::from(digits.level(w[stage / 5]))
        };
        ByHand {
            phases: reads.iter().map(|(w, _)| std::array::from_fn(|s| phase(w, s))).collect(),
            bits: reads.iter().map(|(_, x)| std::array::from_fn(|s| digits.bit(x[s / 5], s % 5))).collect(),
            leakage: 10f64.powf(-unit.parameters().rings.extinction_db / 10.0),
        }
    }

    fn fields(&self) -> Complex64 {
        let stage = |(&phase, &bit): (&f64, &bool)| {
            let (detour, bus) = (Complex64::from_polar(0.97, phase), Complex64::new(0.99, 0.0));
            if bit { detour + bus * self.leakage } else { bus + detour * self.leakage }
        };
        let chain = |(phases, bits): (&[f64; 80], &[bool; 80])| -> Complex64 {
            phases.iter().zip(bits).map(stage).product()
        };
        self.phases.iter().zip(&self.bits).map(chain).sum()
    }
}
