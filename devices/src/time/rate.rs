//! What the memory of the last symbol does to the error rate.

use crate::characterise::bench::Watch;
use crate::draws::{Domain, generator};
use crate::error::DeviceError;
use crate::noise::jitter_variance;
use crate::time::TimeParameters;
use crate::time::eye::settled;
use crate::time::isi::{deviation, levels};
use crate::time::memory::{Memory, Remainder};
use crate::time::stream::{Symbol, Tile, stream};
use crate::unit::chips::{Chip, operating};
use crate::unit::mmu::Mdpu;
use crate::unit::operands::Operands;
use crate::unit::population::Population;
use crate::unit::rates::{Operating, quick_rate};
use num_complex::Complex64;
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// How much is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Sampled chips (one MDPU each).
    pub chips: usize,
    /// Tiles streamed through each.
    pub tiles: usize,
    /// Symbols of each tile.
    pub symbols: usize,
    /// Seed; chip k draws from its stream k.
    pub seed: u64,
}

/// Error rates of one modulus on the same sampled chips and symbols, settled and streamed.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryRates {
    /// The modulus.
    pub modulus: u32,
    /// Symbols that were looked at.
    pub symbols: usize,
    /// Mean probability of a wrong read if every symbol had settled.
    pub settled_rate: f64,
    /// The same with what switches and front end leave of other symbols, and with jitter.
    pub streamed_rate: f64,
    /// Standard error of their ratio, from the scatter between chips.
    pub sampled_ratio_error: f64,
    /// Symbols that other symbols turn by half a sector or more: the eye is shut.
    pub lost: usize,
    /// Streamed over settled rate of the whole population of chips and operands: the deviations of the sampled symbols, by
    /// their amplitude, added to the population's. Quantisation counts as noise in both. `None` where some symbols are lost
    /// altogether: nothing can be read at this clock, and the rate is no matter of noise.
    pub ratio: Option<f64>,
    /// Effective number of symbols that the streamed rate rests on, (sum of p)^2 / sum of p^2.
    pub effective_symbols: f64,
    /// Probability of reading level t + j if every symbol had settled, mean over symbols, at index j; entry 0 is not filled.
    pub settled_offsets: Vec<f64>,
    /// The same as streamed.
    pub streamed_offsets: Vec<f64>,
    /// Phase deviation of a symbol from its settled answer, rad rms.
    pub phase_rms: f64,
    /// Its largest magnitude.
    pub phase_worst: f64,
    /// Deviation of the log of the field amplitude, rms.
    pub amplitude_rms: f64,
}

impl MemoryRates {
    /// Streamed over settled rate of the sampled symbols alone; one where both are zero. Where few symbols carry the rates (see
    /// `effective_symbols`) it is too low more often than too high, since the symbols that would carry it are missing; `ratio` is free
    /// of that, and the two agree where the symbols see the rate.
    pub fn sampled_ratio(&self) -> f64 {
        if self.settled_rate > 0.0 {
            self.streamed_rate / self.settled_rate
        } else if self.streamed_rate > 0.0 {
            f64::INFINITY
        } else {
            1.0
        }
    }
}

/// Sums over the symbols of one chip.
#[derive(Clone)]
struct Sums {
    settled: Vec<f64>,
    streamed: Vec<f64>,
    streamed_squares: f64,
    phase_squares: f64,
    phase_worst: f64,
    amplitude_squares: f64,
    lost: usize,
    remainders: Vec<Remainder>,
}

/// Streams random tiles through sampled chips and integrates the read-out's noise over the sectors for every symbol, once at
/// the sampled field and once at the settled one: semi-analytic, so that rates far below one over the number of symbols are
/// seen as long as the deviations of the symbols carry them (see `effective_symbols`). Rarer ones follow from the population,
/// to whose deviations those of the sampled symbols are added as independent of all but the amplitude and, in proportion, the
/// settled deviation.
///
/// Stationary operands are those of one drawn read, streamed operands those of further ones. Noise across the field (of laser,
/// DACs and jitter) acts in both quadratures, as in the static estimator given a chip; along the field it moves no read out of
/// its sector.
///
/// # Errors
/// As [`stream`]; a plan without symbols or with more than twenty million; [`DeviceError::Cancelled`].
pub fn memory_rates(
    (unit, population): &(Mdpu, Population),
    operands: &Operands,
    laser_power: f64,
    time: &TimeParameters,
    instant: f64,
    plan: MemoryPlan,
    watch: Watch<'_>,
) -> Result<MemoryRates, DeviceError> {
    let symbols = plan.chips.saturating_mul(plan.tiles).saturating_mul(plan.symbols);
    if !(1..=20_000_000).contains(&symbols) {
        let problem = format!("{symbols} symbols are to be streamed; give 1 to 20000000");
        return Err(DeviceError::Question(problem));
    }
    // Jitter acts through each sample's own slope here, not through the mean slope of the static read-out.
    let mut without_jitter = unit.parameters().clone();
    without_jitter.noise.jitter = 0.0;
    let jitter = unit.parameters().noise.jitter;
    let steady = Mdpu::new(&without_jitter, unit.modulus())?;
    let operating = operating(&steady, operands, laser_power);
    let one = |k: usize| -> Result<Sums, DeviceError> {
        watch.check()?;
        let (chip, tiles, streamed) = streamed(&steady, operands, time, instant, plan, k)?;
        Ok(judge(&operating, &chip, &tiles, &streamed, jitter))
    };
    let sums: Result<Vec<Sums>, DeviceError> = (0..plan.chips).into_par_iter().map(one).collect();
    let mut sums = sums?;
    let found = summarise(unit.modulus(), symbols, &sums);
    if found.lost > 0 {
        return Ok(found);
    }
    let memory = Memory::new(sums.iter_mut().flat_map(|s| std::mem::take(&mut s.remainders)).collect());
    let streamed = memory.rate(unit, population, laser_power);
    let settled = quick_rate(unit, population, laser_power);
    Ok(MemoryRates { ratio: Some(if settled > 0.0 { streamed / settled } else { 1.0 }), ..found })
}

/// What the symbols of some sampled chips keep of others, sampled at an instant; `None` where some are lost.
///
/// # Errors
/// As [`stream`]; [`DeviceError::Cancelled`].
pub(crate) fn memory_of(
    unit: &Mdpu,
    operands: &Operands,
    time: &TimeParameters,
    instant: f64,
    plan: MemoryPlan,
    watch: Watch<'_>,
) -> Result<Option<Memory>, DeviceError> {
    let one = |k: usize| -> Result<Vec<(Remainder, bool)>, DeviceError> {
        watch.check()?;
        let (chip, tiles, symbols) = streamed(unit, operands, time, instant, plan, k)?;
        let m = unit.modulus() as usize;
        let known: Vec<_> = tiles.iter().map(|tile| (levels(tile, m), settled(&chip, tile))).collect();
        let of = |s: &Symbol| remainder(s.field, known[s.tile].1[s.place], known[s.tile].0[s.place], m);
        Ok(symbols.iter().map(of).collect())
    };
    let found: Result<Vec<Vec<_>>, DeviceError> = (0..plan.chips).into_par_iter().map(one).collect();
    let found: Vec<_> = found?.into_iter().flatten().collect();
    if found.iter().any(|(_, lost)| *lost) {
        return Ok(None);
    }
    Ok(Some(Memory::new(found.into_iter().map(|(remainder, _)| remainder).collect())))
}

/// Chip `k` of a plan, its tiles, and what is sampled of them.
fn streamed<'a>(
    unit: &'a Mdpu,
    operands: &'a Operands,
    time: &TimeParameters,
    instant: f64,
    plan: MemoryPlan,
    k: usize,
) -> Result<(Chip<'a>, Vec<Tile>, Vec<Symbol>), DeviceError> {
    let mut rng = generator(plan.seed, Domain::Streams, [k as u64, 0]);
    let chip = Chip::sample(unit, operands, &mut rng);
    let tiles: Vec<Tile> = (0..plan.tiles).map(|_| tile(&chip, plan.symbols, &mut rng)).collect();
    let symbols = stream(&chip, time, &tiles, instant)?;
    Ok((chip, tiles, symbols))
}

/// What a field has besides the settled one of its level modulo `m`, and whether it is turned by half a sector or more.
fn remainder(field: Complex64, settled: Complex64, level: usize, m: usize) -> (Remainder, bool) {
    let (size, turn) = (settled.norm(), std::f64::consts::TAU / m as f64);
    let true_level = Complex64::from_polar(1.0, turn * level as f64);
    let remainder = Remainder {
        log_amplitude: libm::log(size),
        deviation: deviation(settled, true_level).im,
        field: (field / settled - 1.0) * size,
    };
    (remainder, deviation(field, settled).im.abs() >= 0.5 * turn)
}

/// A random tile of `symbols` symbols.
pub(crate) fn tile(chip: &Chip<'_>, symbols: usize, rng: &mut Pcg64) -> Tile {
    let stationary = chip.draw(rng).0;
    Tile { stationary, streamed: (0..symbols).map(|_| chip.draw(rng).1).collect() }
}

fn judge(
    operating: &Operating<'_>,
    chip: &Chip<'_>,
    tiles: &[Tile],
    symbols: &[Symbol],
    jitter: f64,
) -> Sums {
    let m = operating.unit.modulus() as usize;
    let known: Vec<_> = tiles.iter().map(|tile| (levels(tile, m), settled(chip, tile))).collect();
    let mut sums = Sums {
        settled: vec![0.0; m],
        streamed: vec![0.0; m],
        streamed_squares: 0.0,
        phase_squares: 0.0,
        phase_worst: 0.0,
        amplitude_squares: 0.0,
        lost: 0,
        remainders: Vec::with_capacity(symbols.len()),
    };
    let mut row = vec![0.0; m];
    for symbol in symbols {
        let (truth, expected) = (known[symbol.tile].0[symbol.place], known[symbol.tile].1[symbol.place]);
        let tile = &tiles[symbol.tile];
        let pairs = tile.stationary.iter().zip(&tile.streamed[symbol.place]);
        let dac: f64 = pairs.map(|(&w, &x)| operating.unit.dac_phase_variance(w, x)).sum();
        add(operating, truth, expected, dac, &mut sums.settled);
        row.fill(0.0);
        let across = jitter_variance((symbol.slope / symbol.field).im.powi(2), jitter);
        add(operating, truth, symbol.field, dac + across, &mut row);
        let wrong: f64 = row.iter().sum();
        sums.streamed.iter_mut().zip(&row).for_each(|(sum, p)| *sum += p);
        sums.streamed_squares += wrong * wrong;
        let away = deviation(symbol.field, expected);
        sums.phase_squares += away.im * away.im;
        sums.phase_worst = sums.phase_worst.max(away.im.abs());
        sums.amplitude_squares += away.re * away.re;
        let (remainder, lost) = remainder(symbol.field, expected, truth, m);
        sums.lost += usize::from(lost);
        sums.remainders.push(remainder);
    }
    sums
}

/// Adds the probabilities of wrong reads of a field, with `variance` rad^2 of phase noise besides the laser's.
fn add(operating: &Operating<'_>, truth: usize, field: Complex64, variance: f64, row: &mut [f64]) {
    let away = deviation(field, Complex64::ONE);
    operating.readout.add_errors(truth, operating.noisy_point(away.re, away.im, variance), 1.0, row);
}

fn summarise(modulus: u32, symbols: usize, chips: &[Sums]) -> MemoryRates {
    let n = symbols as f64;
    let total = |f: &dyn Fn(&Sums) -> f64| chips.iter().map(f).sum::<f64>();
    let offsets = |f: &dyn Fn(&Sums) -> &Vec<f64>| -> Vec<f64> {
        (0..modulus as usize).map(|j| total(&|sums| f(sums)[j]) / n).collect()
    };
    let (settled_offsets, streamed_offsets) = (offsets(&|s| &s.settled), offsets(&|s| &s.streamed));
    let (settled_rate, streamed_rate) =
        (settled_offsets.iter().sum::<f64>(), streamed_offsets.iter().sum::<f64>());
    let squares = total(&|s| s.streamed_squares);
    let ratio = if settled_rate > 0.0 { streamed_rate / settled_rate } else { 1.0 };
    let residue = |s: &Sums| s.streamed.iter().sum::<f64>() - ratio * s.settled.iter().sum::<f64>();
    let scatter = total(&|s| residue(s).powi(2)) * chips.len() as f64 / (chips.len() as f64 - 1.0).max(1.0);
    MemoryRates {
        modulus,
        symbols,
        settled_rate,
        streamed_rate,
        lost: chips.iter().map(|s| s.lost).sum(),
        ratio: None,
        sampled_ratio_error: if settled_rate > 0.0 { scatter.sqrt() / (n * settled_rate) } else { 0.0 },
        effective_symbols: if squares > 0.0 { (streamed_rate * n).powi(2) / squares } else { n },
        settled_offsets,
        streamed_offsets,
        phase_rms: (total(&|s| s.phase_squares) / n).sqrt(),
        phase_worst: chips.iter().map(|s| s.phase_worst).fold(0.0, f64::max),
        amplitude_rms: (total(&|s| s.amplitude_squares) / n).sqrt(),
    }
}
