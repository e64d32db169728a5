//! The same units trimmed again and again with other noise, and what comes of it with one thing or another changed.

use mirage_calibration::trim::Repeated;
use serde::Serialize;

use crate::error::{CliError, Result};

/// The smallest probability that a ratio is taken of: below it is the rounding of sums near one.
const FLOOR: f64 = 1e-18;

/// What one trimming of one unit came to.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    pub rate: f64,
    pub reads: u64,
}

/// Trimmings of units: for each unit, row by row and modulus by modulus, its repeats.
#[derive(Debug, Clone)]
pub struct Trials {
    moduli: Vec<u32>,
    units: Vec<Vec<Trial>>,
}

/// Error rates of a modulus: mean over its units and repeats, with what the repeats scatter by.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    pub all: Repeated,
    pub lowest: f64,
    pub highest: f64,
}

/// By what factor a change lowers the error rate: geometric mean over pairs of trimmings of the same unit with the same noise, and its 95 %
/// interval over repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Benefit {
    pub factor: f64,
    pub lower: f64,
    pub upper: f64,
}

impl Trials {
    /// From trials in the order of [`super::Trimming::each`]: repeat by repeat all units.
    pub fn new(moduli: &[u32], rows: u32, all: &[Trial]) -> Self {
        let units = rows as usize * moduli.len();
        let of = |unit: usize| all.iter().copied().skip(unit).step_by(units).collect();
        Self { moduli: moduli.to_vec(), units: (0..units).map(of).collect() }
    }

    pub fn moduli(&self) -> &[u32] {
        &self.moduli
    }

    /// The units of a modulus.
    fn of(&self, modulus: u32) -> impl Iterator<Item = &Vec<Trial>> {
        let at = self.moduli.iter().position(|&m| m == modulus).unwrap_or(self.units.len());
        self.units.iter().skip(at).step_by(self.moduli.len())
    }

    /// Error rates of a modulus.
    pub fn rates(&self, modulus: u32) -> Result<Rates> {
        let rates: Vec<Vec<f64>> =
            self.of(modulus).map(|unit| unit.iter().map(|t| t.rate).collect()).collect();
        Rates::of(&rates)
    }

    /// Reads of a trimming, mean over the units and repeats of a modulus.
    pub fn reads(&self, modulus: u32) -> f64 {
        let (mut sum, mut count) = (0.0, 0u32);
        for trial in self.of(modulus).flatten() {
            (sum, count) = (sum + trial.reads as f64, count + 1);
        }
        sum / f64::from(count.max(1))
    }

    /// How many trimmings of a modulus there are, and how many of them end at or below a target.
    pub fn reaching(&self, modulus: u32, target: f64) -> (usize, usize) {
        let all = || self.of(modulus).flatten();
        (all().count(), all().filter(|t| t.rate <= target).count())
    }

    /// The modulus with the largest mean error rate, and its rates.
    pub fn worst(&self) -> Result<(u32, Rates)> {
        let mut worst: Option<(u32, Rates)> = None;
        for &modulus in &self.moduli {
            let rates = self.rates(modulus)?;
            if worst.is_none_or(|(_, w)| rates.all.mean > w.all.mean) {
                worst = Some((modulus, rates));
            }
        }
        worst.ok_or_else(too_few)
    }

    /// What a modulus gains from these over `before`, pair by pair.
    pub fn benefit(&self, before: &Trials, modulus: u32) -> Result<Benefit> {
        let unit = |(after, before): (&Vec<Trial>, &Vec<Trial>)| -> Vec<(f64, f64)> {
            before.iter().zip(after).map(|(b, a)| (b.rate, a.rate)).collect()
        };
        Benefit::of(&self.of(modulus).zip(before.of(modulus)).map(unit).collect::<Vec<_>>())
    }
}

impl Rates {
    /// Of the repeats of each unit.
    pub fn of(rates: &[Vec<f64>]) -> Result<Self> {
        let all = Repeated::of(rates).ok_or_else(too_few)?;
        let each = || rates.iter().flatten().copied();
        Ok(Self { all, lowest: each().fold(f64::INFINITY, f64::min), highest: each().fold(0.0, f64::max) })
    }
}

impl Benefit {
    /// Of pairs of error rates (before, after): the repeats of each unit.
    pub fn of(pairs: &[Vec<(f64, f64)>]) -> Result<Self> {
        let log = |&(before, after): &(f64, f64)| (before.max(FLOOR) / after.max(FLOOR)).ln();
        let logs: Vec<Vec<f64>> = pairs.iter().map(|unit| unit.iter().map(log).collect()).collect();
        let found = Repeated::of(&logs).ok_or_else(too_few)?;
        let [factor, lower, upper] =
            [found.mean, found.mean - found.reach, found.mean + found.reach].map(f64::exp);
        Ok(Self { factor, lower, upper })
    }

    /// Whether it cannot be told from no change at all.
    pub fn within_scatter(&self) -> bool {
        self.lower <= 1.0 && self.upper >= 1.0
    }

    /// In words.
    pub fn words(&self) -> String {
        let Self { factor, lower, upper } = *self;
        match factor {
            _ if self.within_scatter() => {
                format!("within the scatter ({factor:.2} times less; 95 %: {lower:.2} to {upper:.2})")
            }
            f if f >= 1.0 => format!("{factor:.2} times less (95 %: {lower:.2} to {upper:.2})"),
            _ => {
                let [factor, lower, upper] = [factor, upper, lower].map(|x| 1.0 / x);
                format!("{factor:.2} times more (95 %: {lower:.2} to {upper:.2})")
            }
        }
    }
}

fn too_few() -> CliError {
    CliError::message("scatter needs a unit and two repeats of its trimming, or more")
}
