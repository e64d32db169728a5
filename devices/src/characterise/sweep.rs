//! Sweeps of one parameter at a time around a solved design, and `errors.csv`.

use crate::characterise::bench::{Bench, RequiredPower, Watch};
use crate::characterise::channel::sampling_error;
use crate::characterise::obstacle::{NUMBERS, Obstacle};
use crate::characterise::study::{Study, run_study};
use crate::error::DeviceError;
use crate::unit::bounds::bounds;
use crate::unit::operands::Operands;
use crate::unit::parameters::{Codes, FrontEnd, MdpuParameters};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

/// MMUs sampled for the bounds of a sweep's point.
const SAMPLES: usize = 16;

/// One line of `errors.csv`: one modulus at one value of one swept parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepRow {
    /// Name of the sweep.
    pub sweep: &'static str,
    /// Key of the parameter.
    pub parameter: &'static str,
    /// Its value, in `unit`.
    pub value: f64,
    /// Unit of the value.
    pub unit: &'static str,
    /// The modulus.
    pub modulus: u32,
    /// Probability of misreading a residue.
    pub error_rate: f64,
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Share that lands on a neighbouring level.
    pub adjacent: f64,
    /// Share that lands further away.
    pub other: f64,
    /// I/Q signal-to-noise ratio, dB.
    pub snr_db: f64,
    /// Mean signal power at the detectors of an MDPU, W.
    pub detector_power_w: f64,
    /// Power of one laser, W.
    pub laser_power_w: f64,
    /// Laser power that would reach the target with this value, all moduli; empty if not computed or unreachable.
    pub required_laser_power_w: Option<f64>,
    /// "yes" or "unreachable".
    pub reachable: &'static str,
    /// Laser power above the largest that would do; empty where the target is reachable or no power would do.
    pub beyond_limit_w: Option<f64>,
    /// What makes it unreachable, in words with units; empty where it is reachable.
    pub cause: String,
    /// The operand distribution.
    pub operands: String,
}

/// A sweep: a parameter and its values.
#[derive(Debug, Clone)]
pub struct Sweep {
    name: &'static str,
    parameter: &'static str,
    unit: &'static str,
    values: Vec<f64>,
    apply: fn(&mut MdpuParameters, &mut f64, f64),
}

impl Sweep {
    /// Name of the sweep.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The values that are visited.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

/// The usual sweeps around a design with `parameters` at `laser_power` W: laser power, DAC bits 6 to 18, extinction 10
/// to 60 dB, static phase after trimming, thermal crosstalk, front-end noise, ADC bits 4 to 12. A measured matrix of crosstalk
/// has no coefficient to sweep, a ring described by its own parameters no extinction.
pub fn default_sweeps(parameters: &MdpuParameters, laser_power: f64) -> Vec<Sweep> {
    let around = |centre: f64, low: f64, high: f64, n: usize| -> Vec<f64> {
        let step = (high / low).powf(1.0 / (n - 1) as f64);
        (0..n).map(|i| centre * low * step.powi(i as i32)).collect()
    };
    let linear =
        |low: i32, high: i32, step: usize| (low..=high).step_by(step).map(f64::from).collect::<Vec<_>>();
    let noise = match parameters.detector.front_end {
        FrontEnd::InputNoise(rms) => around(if rms > 0.0 { rms } else { 1e-6 }, 0.25, 4.0, 9),
        FrontEnd::Resistor(ohm, _) => around(ohm, 0.0625, 16.0, 9),
    };
    let (noise_key, noise_unit) = match parameters.detector.front_end {
        FrontEnd::InputNoise(_) => ("devices.tia.input_noise", "A"),
        FrontEnd::Resistor(..) => ("devices.tia.load", "ohm"),
    };
    let residual = [0.0, 0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05];
    let crosstalk = [0.0, 1e-6, 3e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 3e-4, 1e-3, 1e-2];
    let sweep = |name, parameter, unit, values, apply| Sweep { name, parameter, unit, values, apply };
    let mut sweeps = vec![
        sweep("laser-power", "devices.laser.power", "W", around(laser_power, 0.2, 5.0, 11), |_, power, v| {
            *power = v
        }),
        sweep("dac-bits", "devices.dac.bits", "bit", linear(6, 18, 1), |p, _, v| {
            (p.dac.bits, p.dac.codes) = (v as u32, Codes::Nearest);
        }),
        sweep("extinction", "devices.ring.extinction", "dB", linear(10, 60, 5), |p, _, v| {
            p.rings.extinction_db = v
        }),
        sweep(
            "static-phase",
            "phase error left on each path after trimming (resolution / sqrt 12)",
            "rad rms",
            residual.to_vec(),
            |p, _, v| (p.trim.resolution, p.trim.range) = (v * 12f64.sqrt(), std::f64::consts::PI),
        ),
        sweep("crosstalk", "devices.crosstalk.coefficient", "rad/rad", crosstalk.to_vec(), |p, _, v| {
            p.crosstalk.coefficient = v
        }),
        sweep("tia-noise", noise_key, noise_unit, noise, |p, _, v| match &mut p.detector.front_end {
            FrontEnd::InputNoise(rms) => *rms = v,
            FrontEnd::Resistor(ohm, _) => *ohm = v,
        }),
        sweep("adc-bits", "devices.adc.bits", "bit", linear(4, 12, 1), |p, _, v| p.adc.bits = Some(v as u32)),
    ];
    sweeps.retain(|sweep| match sweep.name {
        "crosstalk" => parameters.crosstalk.by_distance(),
        "extinction" => !parameters.rings.locked,
        _ => true,
    });
    sweeps
}

/// What the sweeps are run around.
#[derive(Debug, Clone)]
pub struct SweepSetting<'a> {
    /// The solved parameters.
    pub parameters: &'a MdpuParameters,
    /// Power of one laser, W.
    pub laser_power: f64,
    /// The largest power that a laser may have, W.
    pub max_laser_power: f64,
    /// Target error rate.
    pub target: f64,
    /// The moduli.
    pub moduli: &'a [u32],
    /// Operand distribution of each.
    pub operands: &'a [Operands],
    /// Seed of the sampled chips behind the bounds.
    pub seed: u64,
}

/// Sweeps as a study that can be stopped and taken up again: one item for each point, in the order of the sweeps.
#[derive(Debug)]
pub struct SweepStudy<'a> {
    sweeps: &'a [Sweep],
    setting: SweepSetting<'a>,
    /// Sweep and value of each point.
    points: Vec<(usize, f64)>,
    /// What the design itself needs: the laser's own sweep changes nothing of it.
    base: RequiredPower,
}

/// Numbers of one modulus at a point.
const WIDTH: usize = 8;

impl<'a> SweepStudy<'a> {
    /// The sweeps around a solved design.
    ///
    /// # Errors
    /// As [`Bench::new`].
    pub fn new(sweeps: &'a [Sweep], setting: SweepSetting<'a>) -> Result<Self, DeviceError> {
        let points =
            sweeps.iter().enumerate().flat_map(|(i, s)| s.values.iter().map(move |&v| (i, v))).collect();
        let base = Bench::new(setting.parameters, setting.moduli, setting.operands)?
            .estimated_power(setting.target, setting.max_laser_power);
        Ok(SweepStudy { sweeps, setting, points, base })
    }

    /// Parameters and laser power of a point.
    fn at(&self, index: usize) -> (&'a Sweep, f64, MdpuParameters, f64) {
        let (sweep, value) = self.points[index];
        let sweep = &self.sweeps[sweep];
        let (mut parameters, mut power) = (self.setting.parameters.clone(), self.setting.laser_power);
        (sweep.apply)(&mut parameters, &mut power, value);
        (sweep, value, parameters, power)
    }
}

impl Study for SweepStudy<'_> {
    type Outcome = Vec<SweepRow>;

    fn name(&self) -> &'static str {
        "sweeping tolerances"
    }

    fn items(&self) -> usize {
        self.points.len()
    }

    fn width(&self) -> usize {
        WIDTH * self.setting.moduli.len() + NUMBERS
    }

    /// For each modulus: rate, its bounds, its parts, SNR, power at the detectors, and the laser power that the target needs, not
    /// a number where none does; then what stands in the way, not numbers where nothing does.
    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let setting = &self.setting;
        let (_, _, parameters, power) = self.at(index);
        let bench = Bench::new(&parameters, setting.moduli, setting.operands)?;
        watch.check()?;
        let required = if parameters == *setting.parameters {
            self.base
        } else {
            bench.estimated_power(setting.target, setting.max_laser_power)
        };
        let (required, obstacle) = match required {
            RequiredPower::Power(power) => (power, [f64::NAN; NUMBERS]),
            RequiredPower::Floor(_) => {
                let changed = SweepSetting { parameters: &parameters, ..setting.clone() };
                (f64::NAN, Obstacle::find(&bench, &changed)?.numbers())
            }
        };
        watch.check()?;
        let rates = bench.rates(power);
        let units = bench.units().iter().zip(&rates).zip(setting.operands);
        let numbers: Result<Vec<_>, DeviceError> = units
            .map(|(((unit, _), rates), operands)| {
                let bounds = bounds(unit, operands, rates, SAMPLES, setting.seed)
                    .widened(sampling_error(unit, operands, power)?);
                let (p, lower) = (rates.error_rate, rates.error_rate * bounds.lower_ratio);
                let upper = (p * bounds.upper_ratio).min(1.0);
                let snr = rates.snr_db();
                Ok([p, lower, upper, rates.adjacent, rates.other, snr, rates.signal_power, required])
            })
            .collect();
        Ok(numbers?.into_iter().flatten().chain(obstacle).collect())
    }

    fn outcome(&self, items: &[Vec<f64>]) -> Result<Vec<SweepRow>, DeviceError> {
        let mut rows = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let (sweep, value, _, power) = self.at(index);
            let (item, obstacle) = item.split_at(item.len() - NUMBERS);
            let obstacle = Obstacle::from_numbers(obstacle, &self.setting);
            let units = self.setting.moduli.iter().zip(self.setting.operands).zip(item.chunks(WIDTH));
            rows.extend(units.map(|((&modulus, operands), n)| SweepRow {
                sweep: sweep.name,
                parameter: sweep.parameter,
                value,
                unit: sweep.unit,
                modulus,
                error_rate: n[0],
                lower: n[1],
                upper: n[2],
                adjacent: n[3],
                other: n[4],
                snr_db: n[5],
                detector_power_w: n[6],
                laser_power_w: power,
                required_laser_power_w: n[7].is_finite().then_some(n[7]),
                reachable: if n[7].is_finite() { "yes" } else { "unreachable" },
                beyond_limit_w: obstacle.as_ref().and_then(|o| o.needed),
                cause: obstacle.as_ref().map_or(String::new(), Obstacle::cause),
                operands: operands.name().to_string(),
            }));
        }
        Ok(rows)
    }
}

/// Runs the sweeps, points in parallel; the rows come in the order of the sweeps, whatever the number of threads.
///
/// # Errors
/// As [`Bench::new`], and [`DeviceError::Cancelled`].
pub fn run_sweeps(
    sweeps: &[Sweep],
    setting: &SweepSetting,
    watch: Watch,
) -> Result<Vec<SweepRow>, DeviceError> {
    run_study(&SweepStudy::new(sweeps, setting.clone())?, &BTreeMap::new(), &|_, _| Ok(()), watch)
}

/// Writes rows as `errors.csv`, with a header line.
///
/// # Errors
/// Whatever the writer says.
pub fn write_errors_csv(rows: &[SweepRow], out: impl Write) -> Result<(), DeviceError> {
    let mut writer = csv::Writer::from_writer(out);
    for row in rows {
        writer.serialize(row)?;
    }
    writer.flush().map_err(csv::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ordered_and_floors_are_unreachable() {
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        p.trim.fabrication = 0.5;
        let operands = [Operands::uniform(31)];
        let setting = SweepSetting {
            parameters: &p,
            laser_power: 1.5e-4,
            max_laser_power: 1e-2,
            target: 1e-8,
            moduli: &[31],
            operands: &operands,
            seed: 3,
        };
        let mut sweeps = default_sweeps(&p, setting.laser_power);
        assert_eq!(sweeps.len(), 7);
        sweeps.retain(|s| ["laser-power", "dac-bits", "static-phase"].contains(&s.name()));
        let rows = run_sweeps(&sweeps, &setting, Watch::default()).unwrap();
        assert_eq!(rows, run_sweeps(&sweeps, &setting, Watch::default()).unwrap());
        let of = |name: &str| rows.iter().filter(|r| r.sweep == name).collect::<Vec<_>>();
        let power = of("laser-power");
        assert!(
            power
                .windows(2)
                .all(|w| w[0].laser_power_w < w[1].laser_power_w && w[0].error_rate >= w[1].error_rate)
        );
        assert!(power[0].error_rate > 1e-3 && power[10].error_rate < 1e-10);
        let bits = of("dac-bits");
        assert_eq!((bits.len(), bits[0].value, bits[12].value), (13, 6.0, 18.0));
        // Codes evenly spread over the full scale: 70-86 % wrong at 8 bits, up to 46 % at 10, none at 14 (mirage.md).
        assert!(bits[2].error_rate > 0.6 && bits[2].error_rate < 0.9, "{}", bits[2].error_rate);
        assert_eq!((bits[2].reachable, bits[2].required_laser_power_w), ("unreachable", None));
        assert!(
            bits[2].cause.contains("rounding to DAC codes") && bits[2].cause.contains("max_power = 10 mW")
        );
        assert_eq!((bits[12].reachable, bits[12].cause.as_str()), ("yes", ""));
        assert_eq!(of("static-phase").last().unwrap().reachable, "unreachable");
        let mut text = Vec::new();
        write_errors_csv(&rows, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with(
                "sweep,parameter,value,unit,modulus,error_rate,lower,upper,adjacent,other,snr_db,"
            )
        );
        assert_eq!(text.lines().count(), rows.len() + 1);
    }
}
