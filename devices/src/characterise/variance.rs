//! The budget of phase variance: every imperfection alone, all together, all but one.
//!
//! Error rates do not add; variances nearly do. What is static for a chip comes from the second moments of the population,
//! what is fresh for each read from the noise over the squared amplitude, averaged over the loss of the operands. Fresh noises
//! are independent and add exactly; static errors need not (rounding and leakage both depend on the operands), and the residue
//! of their sum is a line of its own.

use crate::characterise::sweep::SweepSetting;
use crate::error::DeviceError;
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::parameters::{Crosstalk, MdpuParameters};
use crate::unit::population::Population;
use crate::unit::rates::Operating;
use crate::unit::readout::wrap;
use num_complex::Complex64;
use serde::Serialize;
use std::f64::consts::PI;

/// Bits at which rounding to codes no longer counts.
const FINE_BITS: u32 = 24;

/// One line of `variance-budget.csv`, all variances in rad^2.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VarianceRow {
    /// The modulus.
    pub modulus: u32,
    /// "static" (fixed for a chip and its operands), "fresh" (new in each read) or "both".
    pub part: &'static str,
    /// The imperfection; "all together", "residue of the sum" (all together minus the sum of each alone) or "total".
    pub imperfection: &'static str,
    /// Variance with this imperfection alone; of the summary lines, what they name.
    pub alone: f64,
    /// Variance of the part with all imperfections but this; empty in summary lines.
    pub without: Option<f64>,
    /// `alone` over the total of static and fresh.
    pub share: f64,
    /// Half a sector over the square root of `alone`: how many standard deviations away a wrong read is, if this were all.
    pub sigmas: f64,
}

/// Takes one imperfection away.
type Remedy = fn(&mut MdpuParameters);

/// Static imperfections, each with its remedy.
const STATIC: [(&str, Remedy); 11] = [
    ("ring extinction", |p| p.rings.extinction_db = f64::INFINITY),
    ("rounding to DAC codes", |p| {
        // The same INL and DNL in volts on a scale so fine that every level has a code.
        let finer =
            f64::from((1u32 << FINE_BITS) - 1) / ((1u64 << p.dac.bits.min(FINE_BITS)) - 1).max(1) as f64;
        (p.dac.bits, p.dac.inl, p.dac.dnl) = (FINE_BITS, p.dac.inl * finer, p.dac.dnl * finer);
    }),
    ("DAC INL", |p| p.dac.inl = 0.0),
    ("DAC DNL", |p| p.dac.dnl = 0.0),
    ("shifter mismatch", |p| p.shifters.mismatch = 0.0),
    ("settling", |p| p.shifters.settling_time = 0.0),
    ("trim residue", |p| p.trim.fabrication = 0.0),
    ("thermal crosstalk", |p| p.crosstalk = Crosstalk { pitch: p.crosstalk.pitch, ..Crosstalk::NONE }),
    ("ambient drift", |p| p.heat.drift = 0.0),
    ("ring locks", |p| p.heat.ring_lock = 0.0),
    ("hybrid", |p| (p.link.hybrid_gain_error, p.link.hybrid_phase_error) = (0.0, 0.0)),
];

/// Noises that are fresh for each read.
const FRESH: [&str; 8] = [
    "shot noise",
    "amplifier noise",
    "laser phase noise",
    "laser intensity noise",
    "DAC noise",
    "ADC noise",
    "clock jitter",
    "quantisation",
];

/// Names of all imperfections, static and fresh.
pub(crate) fn imperfections() -> impl Iterator<Item = &'static str> {
    STATIC.iter().map(|(name, _)| *name).chain(FRESH)
}

/// The budget of every modulus: static lines, fresh lines, the total.
///
/// # Errors
/// As [`Mdpu::new`].
pub fn variance_budget(setting: &SweepSetting) -> Result<Vec<VarianceRow>, DeviceError> {
    let mut rows = Vec::new();
    for (&modulus, operands) in setting.moduli.iter().zip(setting.operands) {
        let (still, all_still) = static_parts(setting, modulus, operands)?;
        let (fresh, all_fresh) = fresh_parts(setting, modulus, operands)?;
        let total = all_still + all_fresh;
        let half = PI / f64::from(modulus);
        let row = |part, imperfection, alone: f64, without| VarianceRow {
            modulus,
            part,
            imperfection,
            alone,
            without,
            share: if total > 0.0 { alone / total } else { 0.0 },
            sigmas: half / alone.max(0.0).sqrt(),
        };
        for (part, lines, all) in [("static", still, all_still), ("fresh", fresh, all_fresh)] {
            let sum: f64 = lines.iter().map(|line| line.1).sum();
            rows.extend(
                lines.into_iter().map(|(name, alone, without)| row(part, name, alone, Some(without))),
            );
            rows.push(row(part, "all together", all, None));
            rows.push(row(part, "residue of the sum", all - sum, None));
        }
        rows.push(row("both", "total", total, None));
    }
    Ok(rows)
}

/// An imperfection and its share of the phase variance.
pub(crate) type Share = (&'static str, f64);

/// Imperfections of one modulus at `laser_power` W with their share of the whole phase variance, the largest first; and half a
/// sector over the standard deviation of the phase.
pub(crate) fn contributors(
    setting: &SweepSetting,
    modulus: u32,
    operands: &Operands,
    laser_power: f64,
) -> Result<(Vec<Share>, f64), DeviceError> {
    let setting = SweepSetting { laser_power, ..setting.clone() };
    let (still, all_still) = static_parts(&setting, modulus, operands)?;
    let (fresh, all_fresh) = fresh_parts(&setting, modulus, operands)?;
    let total = all_still + all_fresh;
    let share = |&(name, alone, _): &Line| (name, if total > 0.0 { alone / total } else { 0.0 });
    let mut parts: Vec<_> = still.iter().chain(&fresh).map(share).filter(|part| part.1 > 0.0).collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok((parts, PI / f64::from(modulus) / total.max(0.0).sqrt()))
}

/// Name, variance alone, variance of all but this.
type Line = (&'static str, f64, f64);

fn static_parts(
    setting: &SweepSetting,
    modulus: u32,
    operands: &Operands,
) -> Result<(Vec<Line>, f64), DeviceError> {
    let of = |p: &MdpuParameters| -> Result<f64, DeviceError> {
        let unit = Mdpu::new(p, modulus)?;
        let moments = Population::moments_of(&unit, operands);
        let operating = Operating::new(&unit, moments.largest_log_amplitude, setting.laser_power);
        Ok(moments.deviation.powi(2) + hybrid_variance(&operating, moments.mean_log_amplitude))
    };
    // Codes of 24 bits still round: what is left with every remedy belongs to none.
    let mut clean = setting.parameters.clone();
    STATIC.iter().for_each(|(_, remedy)| remedy(&mut clean));
    let left = of(&clean)?;
    let mut lines = Vec::new();
    for (index, (name, remedy)) in STATIC.iter().enumerate() {
        let (mut alone, mut without) = (setting.parameters.clone(), setting.parameters.clone());
        STATIC
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .for_each(|(_, (_, other))| other(&mut alone));
        remedy(&mut without);
        lines.push((*name, of(&alone)? - left, of(&without)?));
    }
    Ok((lines, of(setting.parameters)?))
}

/// Variance over the true levels of what an unbalanced hybrid adds to the angle.
fn hybrid_variance(operating: &Operating, log_amplitude: f64) -> f64 {
    let m = operating.unit.modulus();
    if !operating.imbalanced() {
        return 0.0;
    }
    let error = |level: u32| {
        let angle = 2.0 * PI * f64::from(level) / f64::from(m);
        let point = operating.point(log_amplitude, angle);
        wrap(point.q.atan2(point.i) - angle)
    };
    let errors: Vec<f64> = (0..m).map(error).collect();
    let mean = errors.iter().sum::<f64>() / f64::from(m);
    errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / f64::from(m)
}

fn fresh_parts(
    setting: &SweepSetting,
    modulus: u32,
    operands: &Operands,
) -> Result<(Vec<Line>, f64), DeviceError> {
    let unit = Mdpu::new(setting.parameters, modulus)?;
    let population = Population::new(&unit, operands);
    let moments = population.moments();
    let operating = Operating::new(&unit, moments.largest_log_amplitude, setting.laser_power);
    let lsb = operating.readout.lsb();
    let (mut weight, mut added, mut cells) = (0.0, [0.0; 4], 0.0);
    for (log_amplitude, probability) in population.loudness() {
        let field = Complex64::new(log_amplitude.exp(), 0.0);
        let ([i, q], sums) = unit.detect(operating.light, field);
        let over = probability / (i * i + q * q);
        weight += probability;
        let sources = unit.additive_noise(sums, i.hypot(q), lsb);
        added.iter_mut().zip(sources).for_each(|(sum, (_, [a, b]))| *sum += 0.5 * (a + b) * over);
        cells += lsb.powi(2) / 12.0 * over;
    }
    let [shot, amplifier, adc, jitter] = added.map(|sum| sum / weight);
    let parts = [
        shot,
        amplifier,
        unit.noise([0.0; 2]).phase.powi(2),
        0.0, // along the signal: no phase
        moments.dac_noise.powi(2),
        adc,
        jitter,
        cells / weight,
    ];
    let all: f64 = parts.iter().sum();
    Ok((FRESH.iter().zip(parts).map(|(name, alone)| (*name, alone, all - alone)).collect(), all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parameters::FrontEnd;

    fn budget(p: &MdpuParameters, m: u32) -> Vec<VarianceRow> {
        let operands = [Operands::uniform(m)];
        let setting = SweepSetting {
            parameters: p,
            laser_power: 1e-3,
            max_laser_power: 1.0,
            target: 1e-8,
            moduli: &[m],
            operands: &operands,
            seed: 1,
        };
        variance_budget(&setting).unwrap()
    }

    fn line<'a>(rows: &'a [VarianceRow], name: &str) -> &'a VarianceRow {
        rows.iter().find(|row| row.imperfection == name).unwrap()
    }

    #[test]
    fn independent_parts_have_their_closed_forms_and_add_up() {
        let mut p = MdpuParameters::ideal(16);
        p.trim.fabrication = 0.5;
        p.trim.resolution = 0.01;
        p.shifters.mismatch = 1e-5;
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        (p.link.linewidth, p.link.delay_mismatch) = (1e6, 2e-12);
        let rows = budget(&p, 32);
        // Trim: a uniform residue on each of two paths of 80 stages, one of them used half the time: 2 r p (1 - p).
        let trim = 16.0 * 5.0 * 2.0 * (0.01f64.powi(2) / 12.0) * 0.25;
        assert!((line(&rows, "trim residue").alone / trim - 1.0).abs() < 1e-6);
        // Amplifier: (1 uA)^2 over (0.5 mA)^2, both arms having half a milliwatt.
        assert!((line(&rows, "amplifier noise").alone / 4e-6 - 1.0).abs() < 1e-3);
        // 2 pi linewidth times the delay, less what the 10 GHz of the detector average out: see `noise::phase`.
        let rate = 2.0 * PI * 10e9;
        let phase = 2.0 * PI * 1e6 * (2e-12 - (1.0 - (-rate * 2e-12f64).exp()) / rate);
        assert!((line(&rows, "laser phase noise").alone / phase - 1.0).abs() < 1e-12);
        let still = rows.iter().filter(|r| r.part == "static").collect::<Vec<_>>();
        let all = still.iter().find(|r| r.imperfection == "all together").unwrap();
        let residue = still.iter().find(|r| r.imperfection == "residue of the sum").unwrap();
        assert!(residue.alone.abs() < 1e-9 * all.alone, "independent errors add: {residue:?}");
        let trim = line(&rows, "trim residue");
        assert!((trim.without.unwrap() + trim.alone - all.alone).abs() < 1e-9 * all.alone);
        assert!((line(&rows, "total").share - 1.0).abs() < 1e-12);
    }

    #[test]
    fn rounding_is_apart_from_what_calibration_does_not_know_and_dependent_parts_leave_a_residue() {
        let mut p = MdpuParameters::ideal(16);
        p.dac = crate::unit::parameters::Dac {
            codes: crate::unit::parameters::Codes::Nearest,
            bits: 12,
            inl: 0.3,
            dnl: 0.2,
        };
        let rows = budget(&p, 33);
        // A DNL of 0.2 LSB: level error 0.2 x 32/4095 times the streamed value, whose variance about its mean counts.
        let turn = 2.0 * PI / 33.0;
        let square = turn * turn * (0..33).map(|x| f64::from(x).powi(2)).sum::<f64>() / 33.0;
        let mean = turn * turn * 16.0f64.powi(2);
        let dnl = 16.0 * (0.2f64 * 32.0 / 4095.0).powi(2) * (square - mean * (2.0 - 1.0) / 33.0);
        let found = line(&rows, "DAC DNL").alone;
        assert!((found / dnl - 1.0).abs() < 0.01, "{found} {dnl}");
        assert!(line(&rows, "rounding to DAC codes").alone > 0.0);
        (p.link.hybrid_phase_error, p.rings.extinction_db) = (0.02, 25.0);
        let rows = budget(&p, 33);
        // A hybrid off by e turns Q towards I: the angle error is about e sin^2, of variance e^2/8.
        assert!((line(&rows, "hybrid").alone / (0.02f64.powi(2) / 8.0) - 1.0).abs() < 0.05);
        assert!(line(&rows, "residue of the sum").alone.abs() > 0.0);
    }
}
