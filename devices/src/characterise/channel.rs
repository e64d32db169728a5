//! A unit becomes a residue channel.

use crate::characterise::bench::Bench;
use crate::error::DeviceError;
use crate::unit::bounds::{Bounds, bounds};
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::population::Population;
use crate::unit::rates::{Rates, quick_rate};
use mirage_arithmetic::{ChannelTable, Moduli, ResidueChannel, SlipCode};
use rayon::prelude::*;

/// Sampled MMUs for the bounds.
const SAMPLES: usize = 64;

/// What is stated in the header of every channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Hash of the design file.
    pub design: String,
    /// Seed of the sampled chips that give the bounds.
    pub seed: u64,
}

/// Error rates of all moduli with their bounds, and the channel made of them.
#[derive(Debug, Clone)]
pub struct Characterisation {
    /// One for each modulus.
    pub rates: Vec<Rates>,
    /// Their bounds.
    pub bounds: Vec<Bounds>,
    /// The channel in residues, as the arithmetic uses it: an average over chips, with `again`.
    pub channel: ResidueChannel,
}

/// Characterises the units of `bench` at `laser_power` W. The optical levels are turned into residues by `code`, whose
/// stationary operand the `operands` must already contain.
///
/// # Errors
/// Moduli of the bench and of the arithmetic that differ, or a channel that the arithmetic refuses.
pub fn characterise(
    bench: &Bench,
    laser_power: f64,
    moduli: &Moduli,
    code: &SlipCode,
    operands: &[Operands],
    provenance: &Provenance,
) -> Result<Characterisation, DeviceError> {
    let of_bench: Vec<u32> = bench.units().iter().map(|(unit, _)| unit.modulus()).collect();
    if of_bench != moduli.as_slice() || operands.len() != of_bench.len() {
        let problem = format!("units of moduli {of_bench:?}, arithmetic of moduli {:?}", moduli.as_slice());
        return Err(DeviceError::Channel(problem));
    }
    let rates = bench.rates(laser_power);
    let bounds: Result<Vec<Bounds>, DeviceError> = bench
        .units()
        .par_iter()
        .zip(operands)
        .zip(&rates)
        .map(|(((unit, _), operands), rates)| {
            let bounds = bounds(unit, operands, rates, SAMPLES, provenance.seed);
            Ok(bounds.widened(sampling_error(unit, operands, laser_power)?))
        })
        .collect();
    let bounds = bounds?;
    let mut tables = Vec::new();
    for (index, (rates, bounds)) in rates.iter().zip(&bounds).enumerate() {
        let probability = |truth, read| rates.probability(truth, read);
        tables.push(table(
            rates.modulus,
            &probability,
            (bounds.lower_ratio, bounds.upper_ratio),
            code,
            index,
        )?);
    }
    let mut channel = ResidueChannel::average(tables);
    for rates in &rates {
        channel.set_again(rates.modulus, &rates.again);
    }
    let effective = bounds.iter().map(|b| b.effective_samples).fold(f64::INFINITY, f64::min);
    for (key, value) in [
        ("design", provenance.design.clone()),
        ("seed", provenance.seed.to_string()),
        ("samples", samples(operands, effective)),
        ("estimator", estimator(operands)),
        ("operands", operands.first().map_or("none", |o| o.name()).to_string()),
        ("slip_code", code.to_string()),
        ("laser_power_w", format!("{laser_power:e}")),
    ] {
        channel.header.insert(key.to_string(), value);
    }
    Ok(Characterisation { rates, bounds, channel })
}

/// How the means were found, in words.
fn estimator(operands: &[Operands]) -> String {
    let over = match operands.first().map_or(0, |o| o.groups().len()) {
        0 => "characteristic functions over chips and independent operands",
        _ => "distribution over chips of whole reads sampled from a run",
    };
    format!("semi-analytic: {over}, sum over ADC cells")
}

fn samples(operands: &[Operands], effective: f64) -> String {
    let reads = operands.first().map_or(0, |o| o.groups().len());
    let reads = if reads > 0 { format!("{reads} reads; ") } else { String::new() };
    format!("{reads}{SAMPLES} MMUs for the bounds of the linearisation, effective {effective:.1}")
}

/// Half the 95 % interval of the log of the rate that the sampling of reads leaves: from the scatter of four quarters of the
/// sample, with Student's quantile for three degrees of freedom. Zero where operands are independent.
pub(super) fn sampling_error(unit: &Mdpu, operands: &Operands, laser_power: f64) -> Result<f64, DeviceError> {
    const QUARTERS: usize = 4;
    const STUDENT: f64 = 3.182;
    if operands.groups().len() < QUARTERS {
        return Ok(0.0);
    }
    let mut found = Vec::new();
    for first in 0..QUARTERS {
        let part = operands.groups().iter().skip(first).step_by(QUARTERS).cloned().collect();
        let part = Operands::sampled(operands.name(), unit.modulus(), part)?;
        found.push(quick_rate(unit, &Population::new(unit, &part), laser_power));
    }
    let n = QUARTERS as f64;
    let mean = found.iter().sum::<f64>() / n;
    let variance = found.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // The interval of the mean, carried over to its logarithm.
    Ok(if mean > 0.0 { (STUDENT * (variance / n).sqrt() / mean).ln_1p() } else { 0.0 })
}

/// The table of one modulus from P(read level | true level) and the factors to its bounds: levels of the light become residues
/// of the arithmetic.
pub(crate) fn table(
    m: u32,
    probability: &dyn Fn(usize, usize) -> f64,
    bounds: (f64, f64),
    code: &SlipCode,
    index: usize,
) -> Result<ChannelTable, DeviceError> {
    let entry = |truth: u32, read: u32| {
        if truth == read {
            return 0.0;
        }
        probability(code.level(index, truth) as usize, code.level(index, read) as usize)
    };
    let all = |scale: f64| -> Vec<f64> {
        (0..m)
            .flat_map(|truth| (0..m).map(move |read| (truth, read)))
            .map(|(t, r)| (entry(t, r) * scale).min(1.0))
            .collect()
    };
    let mut limits = (all(bounds.0), all(bounds.1));
    for t in 0..m as usize {
        // The diagonal is one minus the rest, so its bounds change places.
        let row = t * m as usize..(t + 1) * m as usize;
        let (low, high): (f64, f64) = (limits.0[row.clone()].iter().sum(), limits.1[row].iter().sum());
        limits.0[t * m as usize + t] = (1.0 - high).max(0.0);
        limits.1[t * m as usize + t] = (1.0 - low).max(0.0);
    }
    ChannelTable::new(m, all(1.0), Some(limits)).map_err(|error| DeviceError::Channel(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parameters::{FrontEnd, MdpuParameters};

    fn provenance() -> Provenance {
        Provenance { design: "test".into(), seed: 1 }
    }

    fn run(parameters: &MdpuParameters, code: &SlipCode) -> Characterisation {
        let moduli = Moduli::mirage();
        let operands: Vec<Operands> = moduli.as_slice().iter().map(|&m| Operands::uniform(m)).collect();
        let bench = Bench::new(parameters, moduli.as_slice(), &operands).unwrap();
        characterise(&bench, 1e-3, &moduli, code, &operands, &provenance()).unwrap()
    }

    #[test]
    fn all_imperfections_off_is_the_identity() {
        let moduli = Moduli::mirage();
        let result = run(&MdpuParameters::ideal(16), &SlipCode::natural(&moduli));
        for m in [31u32, 32, 33] {
            let table = result.channel.table(m).unwrap();
            for t in 0..m {
                for r in 0..m {
                    // 1 mW into one MDPU: shot noise alone is 500 standard deviations away.
                    assert_eq!(table.probability(t, r), f64::from(u8::from(t == r)), "{m} {t} {r}");
                }
            }
        }
    }

    #[test]
    fn slip_codes_move_the_neighbours() {
        let moduli = Moduli::mirage();
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1e-5);
        let code = SlipCode::with_changes(&moduli, &[17, 23, 17]).unwrap();
        let (plain, coded) = (run(&p, &SlipCode::natural(&moduli)), run(&p, &code));
        for (index, change) in [17u32, 23, 17].into_iter().enumerate() {
            let m = moduli.as_slice()[index];
            let (a, b) = (plain.channel.table(m).unwrap(), coded.channel.table(m).unwrap());
            assert!((a.mean_rate() / b.mean_rate() - 1.0).abs() < 1e-9);
            // A level up from residue r is residue r + change.
            let slip = b.probability(5, (5 + change) % m);
            assert!(slip > 0.3 * b.rate(5) && slip < 0.7 * b.rate(5), "{m}: {slip} {}", b.rate(5));
            assert!(b.probability(5, 6) < 1e-3 * b.rate(5));
        }
        let mut text = Vec::new();
        coded.channel.write_csv(&mut text).unwrap();
        let back = ResidueChannel::read_csv(text.as_slice(), "channel.csv").unwrap();
        assert_eq!(back.moduli(), &[31, 32, 33]);
        assert_eq!(back.header["operands"], "uniform residues");
        assert!(back.again(32).is_some());
        // The reader refuses the channel for any other code.
        assert!(
            back.check(&moduli, &code).is_ok() && back.check(&moduli, &SlipCode::natural(&moduli)).is_err()
        );
    }

    #[test]
    fn bounds_enclose_and_stay_close_when_errors_are_small() {
        let moduli = Moduli::mirage();
        let mut p = MdpuParameters::ideal(16);
        p.detector.front_end = FrontEnd::InputNoise(1e-5);
        (p.trim.fabrication, p.trim.resolution, p.rings.extinction_db) = (0.5, 0.004, 30.0);
        let result = run(&p, &SlipCode::natural(&moduli));
        for b in &result.bounds {
            assert!(b.lower_ratio <= 1.0 && b.upper_ratio >= 1.0 && b.effective_samples > 20.0, "{b:?}");
            assert!(b.lower_ratio > 0.8 && b.upper_ratio < 1.25, "{b:?}");
        }
    }
}
