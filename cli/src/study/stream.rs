//! The streaming path in time: pictures of one chip, error rates with memory, and what reprogramming leaves.

use std::str::FromStr;

use mirage_arithmetic::ResidueChannel;
use mirage_design::Time;
use mirage_devices::DeviceError;
use mirage_devices::noise::{NoiseSource, Seeds};
use mirage_devices::time::{
    MOST_SYMBOLS, MemoryLimits, MemoryPlan, MemoryRates, MemoryRule, Portrait, RequiredSettling, Sitting,
    TimeParameters, memory_limits, memory_rates, portrait, required_settling, unsettled_phase,
};
use serde::Serialize;

use crate::error::{CliError, Result};
use crate::folder::Folder;
use crate::study::devices::{Answer, Question};

/// Tiles of a sampled chip and symbols of a tile.
pub const TILES: usize = 4;
pub const SYMBOLS: usize = 64;
/// Symbols of a trial when limits are looked for, at most.
const TRIAL: usize = 2048;

/// Points of a settling curve, over twice the time of reprogramming.
const POINTS: usize = 100;

/// When the converters sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// Where the eye of each modulus is widest.
    BestEye,
    /// At `devices.adc.sampling_time`.
    Design,
    /// At a time after the beginning of a symbol, s.
    At(f64),
}

impl FromStr for Sampling {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "best-eye" => Ok(Self::BestEye),
            "design" => Ok(Self::Design),
            time => match time.parse::<Time>() {
                Ok(time) => Ok(Self::At(time.si())),
                Err(e) => Err(format!("{e}; or `best-eye`, or `design` for devices.adc.sampling_time")),
            },
        }
    }
}

/// `[SOURCE=]N`: a seed for one source of noise, or for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseSeed {
    source: Option<NoiseSource>,
    seed: u64,
}

impl FromStr for NoiseSeed {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (source, seed) = match text.split_once('=') {
            None => (None, text),
            Some((name, seed)) => {
                let names = NoiseSource::ALL.map(NoiseSource::name);
                let unknown = || {
                    let hint = mirage_design::hint(name, names);
                    format!("`{name}` is no source of noise: use {}{hint}", names.join(", "))
                };
                (Some(NoiseSource::named(name).ok_or_else(unknown)?), seed)
            }
        };
        let seed = seed
            .parse()
            .map_err(|_| format!("`{seed}` is no seed: use a whole number from 0 to 2^64 - 1"))?;
        Ok(Self { source, seed })
    }
}

/// Seeds of all sources: `seed`, but for what is given; the last one counts.
pub fn noise_seeds(seed: u64, given: &[NoiseSeed]) -> Seeds {
    given.iter().fold(Seeds::all(seed), |seeds, given| match given.source {
        None => Seeds::all(given.seed),
        Some(source) => seeds.with(source, given.seed),
    })
}

/// A design that streams.
pub struct Streaming<'a> {
    pub question: &'a Question<'a>,
    pub answer: &'a Answer,
    pub time: TimeParameters,
    pub sampling: Sampling,
    /// Symbols of each modulus.
    pub symbols: usize,
    /// Seeds of the noise in the constellation.
    pub noise: Seeds,
}

/// One line of memory.csv.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryRow {
    pub modulus: u32,
    /// Sampling instant after the beginning of a symbol.
    pub sampling_s: f64,
    /// Empty where the eye was not looked for at that instant.
    pub eye_opening: Option<f64>,
    /// Symbols that were streamed, how many of them others turn by half a sector or more, and how many the streamed rate rests on.
    pub symbols: usize,
    pub lost: usize,
    pub effective_symbols: f64,
    pub phase_rms_rad: f64,
    pub phase_worst_rad: f64,
    pub amplitude_rms: f64,
    /// Error rates on the same chips and symbols.
    pub settled_rate: f64,
    pub streamed_rate: f64,
    pub sampled_ratio: f64,
    pub sampled_ratio_error: f64,
    /// What memory does to the population's rate; empty where symbols are lost.
    pub ratio: Option<f64>,
    /// The channel's rate, without memory, and times that.
    pub channel_rate: f64,
    pub channel_rate_with_memory: Option<f64>,
}

/// One line of memory-limits.csv.
#[derive(Debug, Clone, Serialize)]
pub struct LimitRow {
    pub case: &'static str,
    pub clock_hz: Option<f64>,
    pub ring_lifetime_s: Option<f64>,
    /// Q = omega tau/2.
    pub quality: Option<f64>,
    pub penalty_db: f64,
}

/// One line of settling.csv.
#[derive(Debug, Clone, Serialize)]
struct SettlingRow {
    modulus: u32,
    shifter: &'static str,
    time_constant_s: f64,
    time_s: f64,
    phase_rms_rad: f64,
    phase_rms_levels: f64,
}

/// What reprogramming leaves of the phases before it.
pub struct Settling {
    pub required: Option<RequiredSettling>,
    /// Phase error of the largest modulus, rad rms: unsettled, and after the time of reprogramming with the longest time
    /// constant allowed.
    pub unsettled: f64,
    pub left: Option<f64>,
}

impl Streaming<'_> {
    /// Eye, constellation and pair tables of one sampled chip of a modulus.
    pub fn portrait(&self, folder: &Folder, modulus: u32) -> Result<Portrait> {
        let (unit, operands) = self.unit(modulus)?;
        let power = self.answer.solution.laser_power;
        let found =
            portrait(unit, operands, power, &self.time, self.sitting(self.symbols.min(MOST_SYMBOLS)))?;
        folder.rows("eye.csv", &found.traces)?;
        let opening = found.eye.instants.iter().zip(&found.eye.openings);
        let row = |(instant, opening): (&f64, &f64)| [instant, opening].map(|x| crate::folder::number(*x));
        folder.table("eye-opening.csv", &["instant_s", "opening"], opening.map(row))?;
        folder.rows("constellation.csv", &found.constellation)?;
        folder.rows("isi.csv", &found.pairs)?;
        crate::plots::stream::eye(folder, modulus, found.instant)?;
        crate::plots::stream::constellation(folder, modulus)?;
        Ok(found)
    }

    fn unit(&self, modulus: u32) -> Result<(&mirage_devices::Mdpu, &mirage_devices::Operands)> {
        let units = self.answer.bench.units().iter().zip(&self.question.operands);
        let mut found = units.filter(|((unit, _), _)| unit.modulus() == modulus);
        let ((unit, _), operands) = found.next().ok_or_else(|| {
            let moduli = self.question.gemm.moduli.as_slice();
            CliError::message(format!(
                "--modulus {modulus}: the design computes modulo {moduli:?}; choose one of these"
            ))
        })?;
        Ok((unit, operands))
    }

    fn sitting(&self, symbols: usize) -> Sitting {
        let instant = match self.sampling {
            Sampling::BestEye => None,
            Sampling::Design => Some(self.question.design.devices.adc.sampling_time.si()),
            Sampling::At(time) => Some(time),
        };
        Sitting { instant, symbols, seed: self.question.seed, noise: self.noise }
    }

    /// Writes memory.csv: error rates of all moduli with and without memory.
    pub fn memory(&self, folder: &Folder) -> Result<Vec<MemoryRow>> {
        let units = self.answer.bench.units();
        let bar = self.question.progress.bar(units.len() as u64, "streaming");
        let mut rows = Vec::new();
        for (index, both) in units.iter().enumerate() {
            let unit = &both.0;
            let (operands, power) = (&self.question.operands[index], self.answer.solution.laser_power);
            let seed = self.question.seed;
            let eye = portrait(unit, operands, power, &self.time, self.sitting(1))?;
            let plan = plan(self.symbols, seed);
            let watch = self.question.watch(&|_, _, _| {});
            let found = memory_rates(both, operands, power, &self.time, eye.instant, plan, watch)?;
            let channel = self.answer.characterisation.rates[index].error_rate;
            rows.push(memory_row(&found, &eye, channel));
            bar.inc(1);
        }
        bar.finish_and_clear();
        folder.rows("memory.csv", &rows)?;
        // A channel whose symbols are lost is none.
        let ratios: Option<Vec<(u32, f64)>> =
            rows.iter().map(|row| row.ratio.map(|ratio| (row.modulus, ratio))).collect();
        if let Some(ratios) = ratios {
            let channel = self.channel(&ratios)?;
            folder.write("channel-with-memory.csv", |out| channel.write_csv(out))?;
        }
        Ok(rows)
    }

    /// Writes memory-limits.csv: the longest ring lifetime and the fastest clock.
    pub fn limits(&self, folder: &Folder) -> Result<MemoryLimits> {
        let rule = MemoryRule {
            laser_power: self.answer.solution.laser_power,
            penalty_db: self.question.point.penalty_db,
        };
        let plan = plan(self.symbols.min(TRIAL), self.question.seed);
        let bar = self.question.progress.bar(1, "looking for the longest lifetime and the fastest clock");
        let watch = self.question.watch(&|_, _, _| {});
        let (bench, operands) = (&self.answer.bench, &self.question.operands);
        let found = memory_limits(bench, operands, rule, &self.time, plan, watch)?;
        bar.finish_and_clear();
        let row = |case, clock_hz, ring_lifetime_s: Option<f64>| LimitRow {
            case,
            clock_hz,
            ring_lifetime_s,
            quality: ring_lifetime_s.map(|tau| self.quality(tau)),
            penalty_db: rule.penalty_db,
        };
        let own = (Some(self.time.clock), Some(self.time.ring_lifetime));
        let rows = [
            row("design", own.0, own.1),
            row("longest-lifetime", own.0, found.lifetime),
            row("fastest-clock", found.clock, own.1),
        ];
        folder.rows("memory-limits.csv", &rows)?;
        Ok(found)
    }

    /// Q = omega tau/2 of a ring whose field lives `lifetime` s.
    pub fn quality(&self, lifetime: f64) -> f64 {
        std::f64::consts::PI * mirage_devices::LIGHT_SPEED / self.answer.solution.parameters.heat.wavelength
            * lifetime
    }

    /// The design's channel with the rates of each modulus times what memory does to them.
    fn channel(&self, ratios: &[(u32, f64)]) -> Result<ResidueChannel> {
        let ratio = |m: u32| ratios.iter().find(|known| known.0 == m).map_or(1.0, |known| known.1);
        let mut channel = self.answer.characterisation.channel.times(ratio)?;
        let factors: Vec<String> = ratios.iter().map(|(m, ratio)| format!("{ratio:.3} for {m}")).collect();
        channel
            .header
            .insert("memory".into(), format!(
                "of the symbols before: rates times {}; what is late more seldom than once in {} symbols is not in it",
                factors.join(", "),
                self.symbols
            ));
        Ok(channel)
    }

    /// Writes settling.csv: the phase error over the time since reprogramming.
    pub fn settling(&self, folder: &Folder) -> Result<Settling> {
        let (parameters, point) = (&self.answer.solution.parameters, &self.question.point);
        let moduli = self.question.gemm.moduli.as_slice();
        let bar = self.question.progress.bar(1, "solving for the settling time");
        let watch = self.question.watch(&|_, _, _| {});
        let required = match required_settling(point, parameters, &self.question.operands, moduli, watch) {
            // A given laser power may be too little for the target; the other results stand all the same.
            Err(DeviceError::Unreachable { .. }) => None,
            found => found?,
        };
        bar.finish_and_clear();
        let shifters = &parameters.shifters;
        let mut curves = vec![("design", shifters.settling_time)];
        match &required {
            Some(found) => {
                curves.push(("required", found.time_constant));
                curves.push(("twice as slow", 2.0 * found.time_constant));
                curves.push(("four times as slow", 4.0 * found.time_constant));
            }
            None => curves.push(("a tenth of the time", 0.1 * shifters.program_time)),
        }
        let (mut rows, mut largest) = (Vec::new(), 0.0);
        for ((unit, _), operands) in self.answer.bench.units().iter().zip(&self.question.operands) {
            let unsettled = unsettled_phase(unit, operands)?;
            largest = f64::max(largest, unsettled);
            for &(shifter, time_constant_s) in curves.iter().filter(|(_, tau)| *tau > 0.0) {
                rows.extend((0..=POINTS).map(|at| {
                    let time_s = 2.0 * shifters.program_time * at as f64 / POINTS as f64;
                    let phase_rms_rad = unsettled * (-time_s / time_constant_s).exp();
                    let turn = std::f64::consts::TAU / f64::from(unit.modulus());
                    let phase_rms_levels = phase_rms_rad / turn;
                    let modulus = unit.modulus();
                    SettlingRow { modulus, shifter, time_constant_s, time_s, phase_rms_rad, phase_rms_levels }
                }));
            }
        }
        folder.rows("settling.csv", &rows)?;
        crate::plots::stream::settling(folder, shifters.program_time)?;
        let left = required.map(|r| largest * (-shifters.program_time / r.time_constant).exp());
        Ok(Settling { required, unsettled: largest, left })
    }
}

/// Whole chips of whole tiles, for at least so many symbols.
fn plan(symbols: usize, seed: u64) -> MemoryPlan {
    MemoryPlan { chips: symbols.div_ceil(TILES * SYMBOLS), tiles: TILES, symbols: SYMBOLS, seed }
}

fn memory_row(found: &MemoryRates, eye: &Portrait, channel_rate: f64) -> MemoryRow {
    let next = eye.eye.instants.iter().position(|instant| *instant > eye.instant);
    MemoryRow {
        modulus: found.modulus,
        sampling_s: eye.instant,
        eye_opening: next.map(|next| eye.eye.openings[next.saturating_sub(1)]),
        symbols: found.symbols,
        lost: found.lost,
        effective_symbols: found.effective_symbols,
        phase_rms_rad: found.phase_rms,
        phase_worst_rad: found.phase_worst,
        amplitude_rms: found.amplitude_rms,
        settled_rate: found.settled_rate,
        streamed_rate: found.streamed_rate,
        sampled_ratio: found.sampled_ratio(),
        sampled_ratio_error: found.sampled_ratio_error,
        ratio: found.ratio,
        channel_rate,
        channel_rate_with_memory: found.ratio.map(|ratio| (channel_rate * ratio).min(1.0)),
    }
}
