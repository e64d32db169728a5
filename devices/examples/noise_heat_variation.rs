//! What noise, heat and variation do to the default design: the tables of `docs/noise-heat-variation.md`.
//!
//! `cargo run --release -p mirage-devices --example noise_heat_variation`

use mirage_design::Document;
use mirage_devices::heat::{RingLock, phase_per_kelvin};
use mirage_devices::variation::{Floor, Process, Variation};
use mirage_devices::{
    Bench, DeviceError, DevicesSection, Mdpu, MdpuParameters, Operands, Population, RequiredPower, Watch,
    solve,
};

const MODULI: [u32; 3] = [31, 32, 33];
/// The largest, with the narrowest sectors and the most stages: phases below are those of its units.
const MODULUS: u32 = 33;

struct Setting {
    parameters: MdpuParameters,
    laser_power: f64,
    max_laser_power: f64,
    target: f64,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

impl Setting {
    /// The default design, what it leaves open solved for.
    fn new() -> Result<Self> {
        let text = include_str!("../../data/designs/parts/devices.toml");
        let section = DevicesSection::read(&Document::new(text, "devices.toml")?)?;
        let point = section.design_point(16);
        let solution = solve(&point, &MODULI, &MODULI.map(Operands::uniform), Watch::default())?;
        Ok(Setting {
            parameters: solution.parameters,
            laser_power: solution.laser_power,
            max_laser_power: point.max_laser_power,
            target: point.target,
        })
    }

    /// Laser power that the target needs after a change, in dB over the design's.
    fn penalty(&self, change: impl Fn(&mut MdpuParameters)) -> Result<String> {
        let mut p = self.parameters.clone();
        change(&mut p);
        let bench = Bench::new(&p, &MODULI, &MODULI.map(Operands::uniform))?;
        Ok(match bench.required_power(self.target, self.max_laser_power) {
            RequiredPower::Power(power) => format!("{:+.2} dB", 10.0 * (power / self.laser_power).log10()),
            RequiredPower::Floor(floor) => format!("unreachable (floor {floor:.1e})"),
        })
    }

    /// Standard deviation of the static phase of a unit in which only this is left.
    fn alone(&self, keep: impl Fn(&mut MdpuParameters)) -> std::result::Result<f64, DeviceError> {
        let mut p = MdpuParameters::ideal(16);
        p.shifters.max_voltage = self.parameters.shifters.max_voltage;
        p.crosstalk = self.parameters.crosstalk.clone();
        p.crosstalk.coefficient = 0.0;
        p.link.delay_mismatch = self.parameters.link.delay_mismatch;
        keep(&mut p);
        Ok(Population::new(&Mdpu::new(&p, MODULUS)?, &Operands::uniform(MODULUS)).moments().deviation)
    }
}

fn main() -> Result<()> {
    let setting = Setting::new()?;
    println!(
        "Moduli 31, 32, 33; half a sector of {MODULUS} {:.1} mrad; laser {:.1} mW, target {:e}.",
        1e3 * std::f64::consts::PI / f64::from(MODULUS),
        1e3 * setting.laser_power,
        setting.target
    );
    noise(&setting)?;
    crosstalk(&setting)?;
    ambient(&setting)?;
    locks(&setting)?;
    variation(&setting)
}

/// The laser power that each source of noise costs.
fn noise(setting: &Setting) -> Result<()> {
    println!("\n| without | laser power |\n|---|---|");
    type Remedy = fn(&mut MdpuParameters);
    let sources: [(&str, Remedy); 7] = [
        ("amplifier noise", |p| p.detector.front_end = mirage_devices::FrontEnd::InputNoise(0.0)),
        ("laser intensity noise", |p| p.link.rin = 0.0),
        ("laser phase noise", |p| p.link.linewidth = 0.0),
        ("DAC noise", |p| p.noise.dac_density = 0.0),
        ("ADC noise", |p| p.noise.adc = 0.0),
        ("clock jitter", |p| p.noise.jitter = 0.0),
        ("quantisation and ADC noise", |p| p.adc.bits = None),
    ];
    for (name, remedy) in sources {
        println!("| {name} | {} |", setting.penalty(remedy)?);
    }
    Ok(())
}

/// What compensation leaves of thermal crosstalk, and what coefficient it would allow.
fn crosstalk(setting: &Setting) -> Result<()> {
    let solved = setting.parameters.crosstalk.coefficient;
    println!("\nCrosstalk coefficient that the design allows without compensation: {solved:.1e}.\n");
    println!(
        "| matrix known to | phase left of a coefficient of 0.01 | coefficient allowed |\n|---|---|---|"
    );
    let left = |compensation| {
        setting.alone(|p| (p.crosstalk.coefficient, p.heat.compensation) = (0.01, compensation))
    };
    let none = left(None)?;
    println!("| no compensation | {none:.3} rad | {solved:.1e} |");
    for x in [0.5, 0.2, 0.1, 0.05, 0.02, 0.01] {
        let rms = left(Some(x))?;
        println!("| {} % | {rms:.4} rad | {:.1e} |", 100.0 * x, solved * none / rms);
    }
    Ok(())
}

/// Drift of the whole chip over the imbalance of signal and reference.
fn ambient(setting: &Setting) -> Result<()> {
    let (heat, delay) = (&setting.parameters.heat, setting.parameters.link.delay_mismatch);
    let slope = phase_per_kelvin(delay, heat.group_index, heat.thermo_optic, heat.wavelength);
    println!("\nImbalance of {:.1} ps: {slope:.4} rad/K.\n", delay * 1e12);
    println!("| drift, rms | phase | laser power |\n|---|---|---|");
    for kelvin in [0.0, 0.005, 0.01, 0.02, 0.05, 0.1] {
        let penalty = setting.penalty(|p| p.heat.drift = kelvin)?;
        println!("| {} mK | {:.2} mrad | {penalty} |", 1e3 * kelvin, 1e3 * slope * kelvin);
    }
    Ok(())
}

/// What the ring switches' locks leave.
fn locks(setting: &Setting) -> Result<()> {
    println!(
        "\n| detuning left, of half a linewidth | extinction | phase of a read | laser power |\n|---|---|---|---|"
    );
    for detuning in [1e-4, 3e-4, 1e-3, 3e-3, 1e-2] {
        let lock = RingLock { detuning };
        let extinction = lock.extinction_db(setting.parameters.rings.extinction_db);
        let phase = setting.alone(|p| p.heat.ring_lock = detuning)?;
        let penalty = setting.penalty(|p| p.heat.ring_lock = detuning)?;
        println!("| {detuning:.0e} | {extinction:.2} dB | {:.2} mrad | {penalty} |", 1e3 * phase);
    }
    Ok(())
}

/// What the foundries' numbers mean for paths and rings.
fn variation(setting: &Setting) -> Result<()> {
    let heat = &setting.parameters.heat;
    let (ng, pitch) = (heat.group_index, setting.parameters.crosstalk.pitch);
    let per_kelvin = heat.wavelength / ng * heat.thermo_optic;
    println!(
        "\n| of paths of 0.24 mm and of rings | {} |",
        Process::library()?.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|---|---|");
    type Figure<'a> = (&'a str, Box<dyn Fn(&Variation) -> String>);
    let figures: [Figure; 7] = [
        ("phase of a path as made", Box::new(|v| format!("{:.1} rad", v.path_deviation(false)))),
        ("within a wafer", Box::new(|v| format!("{:.2} rad", v.path_deviation(true)))),
        (
            "bus against detour, 20 um apart",
            Box::new(|v| format!("{:.1} mrad", 1e3 * v.path_difference(20e-6))),
        ),
        (
            "first against last stage of a unit",
            Box::new(move |v| format!("{:.2} rad", v.path_difference(79.0 * pitch))),
        ),
        (
            "resonance of a ring, within a wafer",
            Box::new(move |v| format!("{:.2} nm", 1e9 * v.resonance_deviation(ng))),
        ),
        (
            "the same as heating",
            Box::new(move |v| format!("{:.0} K", v.resonance_deviation(ng) / per_kelvin)),
        ),
        (
            "two rings of neighbouring stages",
            Box::new(move |v| format!("{:.1} pm", 1e12 * v.resonance_difference(pitch, ng))),
        ),
    ];
    let varied = |process| Variation::of(process, heat.wavelength, 240e-6, 20e-6, Floor::CLOSE);
    let all: Vec<Variation> =
        Process::library()?.iter().map(varied).collect::<std::result::Result<_, _>>()?;
    for (name, figure) in figures {
        println!("| {name} | {} |", all.iter().map(figure).collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}
