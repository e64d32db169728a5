//! Prints the time of residue channels on one thread: of a design point whose static errors are as large as its noise, beside
//! the closed form of its rate, and of every row of a sampled chip. Run with `cargo bench -p mirage-devices --bench channel`.

use mirage_arithmetic::{Moduli, Placement, SlipCode};
use mirage_design::Document;
use mirage_devices::{
    Bench, DevicesSection, FrontEnd, MdpuParameters, Operands, Provenance, SampledChips, SweepSetting, Watch,
    characterise, solve,
};
use rand::{RngExt, SeedableRng};
use std::f64::consts::PI;
use std::time::Instant;

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
    pool.install(|| {
        deep_channel();
        chip();
    });
}

fn provenance() -> Provenance {
    Provenance { design: "bench".into(), seed: 1 }
}

/// Rates near 1e-12 against E[Q((a - d)/s)] = Q(a / sqrt(s^2 + sigma^2)), the angle of the edge taken exactly.
fn deep_channel() {
    let moduli = Moduli::mirage();
    let operands: Vec<Operands> = moduli.as_slice().iter().map(|&m| Operands::uniform(m)).collect();
    // One unit for all moduli: noise and static errors are set for modulus 32.
    let each = PI / 32.0 / 7.03 / 2f64.sqrt();
    let mut p = MdpuParameters::ideal(16);
    p.detector.bandwidth = 1.0; // no shot noise worth speaking of
    p.detector.front_end = FrontEnd::InputNoise(0.5 * each);
    p.trim.range = 0.0;
    p.trim.fabrication = (each * each / (16.0 * 5.0 * 0.5)).sqrt();
    let start = Instant::now();
    let bench = Bench::new(&p, moduli.as_slice(), &operands).expect("a valid unit");
    let code = SlipCode::natural(&moduli);
    let result = characterise(&bench, 1.0, &moduli, &code, &operands, &provenance()).expect("a channel");
    let seconds = start.elapsed().as_secs_f64();
    println!("channel of three moduli, static errors as large as the noise: {seconds:.2} s (goal 2 s)");
    for (rates, (_, population)) in result.rates.iter().zip(bench.units()) {
        let half = PI / f64::from(rates.modulus);
        let sigma = population.moments().deviation;
        let exact = closed_form(half, each, sigma) * spread(rates.modulus, half / each, sigma / each);
        let off = 100.0 * (rates.error_rate / exact - 1.0);
        println!(
            "  m={} p={:.4e}, closed form {exact:.4e}: off by {off:+.2} % (goal 5 %)",
            rates.modulus, rates.error_rate
        );
    }
}

/// The mean over normal static errors `sigma` of the probability beyond either edge, at 1/`noise` of signal to noise; the
/// probability of a phase beyond an angle, for a signal far above the noise, is Q(snr sin(angle)).
fn closed_form(half: f64, noise: f64, sigma: f64) -> f64 {
    let steps = 20_000;
    let width = 10.0 * sigma;
    let term = |i: i32| {
        let d = width * f64::from(i) / f64::from(steps);
        let density = (-0.5 * (d / sigma).powi(2)).exp() / (sigma * (2.0 * PI).sqrt());
        density * 2.0 * 0.5 * libm::erfc((half - d).sin() / noise / 2f64.sqrt()) * width / f64::from(steps)
    };
    (-steps..=steps).map(term).sum()
}

/// What it adds to the rate that the static variance depends on the operands (the highest digit of 33 is rarely used): the mean
/// of Q(half / sqrt(s^2 + variance)) over operands, over that at the mean variance; lengths in units of the noise.
fn spread(modulus: u32, half: f64, sigma: f64) -> f64 {
    let digits = 32 - (modulus - 1).leading_zeros();
    let bit = |x: u32, d: u32| f64::from(x >> d & 1);
    let ones: Vec<f64> =
        (0..digits).map(|d| (0..modulus).map(|x| bit(x, d)).sum::<f64>() / f64::from(modulus)).collect();
    let one = |x: u32| -> f64 { (0..digits).map(|d| (bit(x, d) - ones[d as usize]).powi(2)).sum() };
    let mean = 16.0 * (0..modulus).map(one).sum::<f64>() / f64::from(modulus);
    let tail = |share: f64| libm::erfc(half / (1.0 + sigma * sigma * share).sqrt() / 2f64.sqrt());
    let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
    let draws = 100_000;
    let vector = |rng: &mut rand_pcg::Pcg64| (0..16).map(|_| one(rng.random_range(0..modulus))).sum::<f64>();
    (0..draws).map(|_| tail(vector(&mut rng) / mean)).sum::<f64>() / f64::from(draws) / tail(1.0)
}

fn chip() {
    let text = include_str!("../../data/designs/parts/devices.toml");
    let document = Document::new(text, "devices.toml").expect("the default design is valid TOML");
    let point = DevicesSection::read(&document).expect("the default design is valid").design_point(16);
    let moduli = Moduli::mirage();
    let operands: Vec<Operands> = moduli.as_slice().iter().map(|&m| Operands::uniform(m)).collect();
    let solution = solve(&point, moduli.as_slice(), &operands, Watch::default()).expect("a solution");
    let setting = SweepSetting {
        parameters: &solution.parameters,
        laser_power: solution.laser_power,
        max_laser_power: point.max_laser_power,
        target: point.target,
        moduli: moduli.as_slice(),
        operands: &operands,
        seed: 1,
    };
    let chips = SampledChips::new(setting, Placement { units: 8, rows: 32 }, 256).expect("a valid chip");
    let start = Instant::now();
    let rates = chips.rates(0, Watch::default()).expect("rates of a chip");
    println!(
        "error rates of {} rows over 256 operand vectors: {:.2} s",
        rates.len(),
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    let code = SlipCode::natural(&moduli);
    let channel = chips.channel(0, &code, &provenance(), Watch::default()).expect("the channel of a chip");
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "residue channels of {} rows over 256 operand vectors: {seconds:.2} s (goal 5 s)",
        channel.tables().count()
    );
    for (index, &m) in moduli.as_slice().iter().enumerate() {
        let own: Vec<f64> = rates.iter().skip(index).step_by(3).map(|rate| rate.0).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let over = own.iter().filter(|rate| **rate > point.target).count();
        println!(
            "  m={m}: mean of the rows {mean:.2e}, of the channel {:.2e}; {over} of {} rows above {:e}",
            channel.error_rate(m).unwrap_or(f64::NAN),
            own.len(),
            point.target
        );
    }
}
