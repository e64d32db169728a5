//! The distribution of what a symbol keeps of others, as it enters the population's error rate.

use crate::unit::mmu::Mdpu;
use crate::unit::population::Population;
use crate::unit::rates::spread_rate;
use num_complex::Complex64;

/// Rows of equally many symbols by settled amplitude, parts of each with equally many by the remainder along the field, and bins
/// of each part by that across it. (With the mean alone of what is along the field, memory that makes some symbols fainter and others
/// louder counted too little: by a tenth of its ratio where that was seven.)
const ROWS: usize = 32;
const PARTS: usize = 8;
const BINS: usize = 32;

/// What a symbol keeps of others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remainder {
    /// Its settled log-amplitude.
    pub log_amplitude: f64,
    /// Its settled phase less that of its true level, rad.
    pub deviation: f64,
    /// What its field has besides the settled one, turned so that the settled field is real: real part along it, imaginary
    /// part across it.
    pub field: Complex64,
}

/// A share of the symbols, and their remainder.
type Share = (f64, Complex64);

/// Remainders by settled amplitude. Those of fainter symbols are nearly as large as others', since they come from the symbol
/// before, and so turn their phase further.
pub(crate) struct Memory {
    /// The largest log-amplitude of each row, rising, and its shares.
    rows: Vec<(f64, Vec<Share>)>,
    /// Phase that the remainder adds for each radian of settled deviation. What is not yet dropped interferes as what leaks
    /// does, so the two depend on each other.
    follow: f64,
}

impl Memory {
    pub fn new(mut symbols: Vec<Remainder>) -> Self {
        symbols.sort_by(|a, b| a.log_amplitude.total_cmp(&b.log_amplitude));
        let follow = follow(&symbols);
        for symbol in &mut symbols {
            symbol.field.im -= follow * symbol.deviation * symbol.log_amplitude.exp();
        }
        let many = symbols.len().div_ceil(ROWS).max(1);
        let row = |row: &mut [Remainder]| (row.last().map_or(0.0, |last| last.log_amplitude), shares(row));
        let rows = symbols.chunks_mut(many).map(row).collect();
        Memory { rows, follow }
    }

    /// Error rate of a population with one laser of `laser_power` W, each of whose reads keeps what one of the symbols keeps.
    pub fn rate(&self, unit: &Mdpu, population: &Population, laser_power: f64) -> f64 {
        spread_rate(unit, population, laser_power, self.follow, |log| self.spread(log))
    }

    /// What symbols of this settled log-amplitude may become: shares, each with its changes of log-amplitude and phase.
    fn spread(&self, log_amplitude: f64) -> Vec<(f64, f64, f64)> {
        let fits = |row: &&(f64, Vec<Share>)| row.0 >= log_amplitude;
        let Some((_, shares)) = self.rows.iter().find(fits).or(self.rows.last()) else {
            return vec![(1.0, 0.0, 0.0)];
        };
        let changed = |&(share, remainder): &Share| {
            let ratio = Complex64::ONE + remainder * (-log_amplitude).exp();
            (share, 0.5 * libm::log(ratio.norm_sqr()), libm::atan2(ratio.im, ratio.re))
        };
        shares.iter().map(changed).collect()
    }
}

/// Least squares of the remainders' phases over the settled deviations; zero without any.
fn follow(symbols: &[Remainder]) -> f64 {
    let (mut products, mut squares) = (0.0, 0.0);
    for symbol in symbols {
        products += symbol.deviation * symbol.field.im * (-symbol.log_amplitude).exp();
        squares += symbol.deviation * symbol.deviation;
    }
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// The shares of a row.
fn shares(row: &mut [Remainder]) -> Vec<Share> {
    row.sort_by(|a, b| a.field.re.total_cmp(&b.field.re));
    let all = row.len() as f64;
    row.chunks(row.len().div_ceil(PARTS).max(1)).flat_map(|part| bins(part, all)).collect()
}

/// Bins of even width by the deviation across the field, each with the mean of its symbols, as shares of `all`.
fn bins(symbols: &[Remainder], all: f64) -> Vec<Share> {
    let across = symbols.iter().map(|symbol| symbol.field.im);
    let (low, high) = across.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
    let mut bins = [(0.0, Complex64::ZERO); BINS];
    for Remainder { field: remainder, .. } in symbols {
        let place = (remainder.im - low) / (high - low).max(f64::MIN_POSITIVE);
        let bin = &mut bins[((place * BINS as f64) as usize).min(BINS - 1)];
        (bin.0, bin.1) = (bin.0 + 1.0, bin.1 + remainder);
    }
    bins.into_iter().filter(|bin| bin.0 > 0.0).map(|(n, sum)| (n / all, sum / n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_keep_the_mean() {
        let symbols: Vec<Remainder> = (0..1024)
            .map(|k| {
                let x = f64::from(k * 617 % 1024) / 1024.0;
                let field = Complex64::new(0.01 * x, 0.02 * (x - 0.3));
                Remainder { log_amplitude: -x, deviation: 0.0, field }
            })
            .collect();
        let memory = Memory::new(symbols.clone());
        let (mut share, mut mean) = (0.0, Complex64::ZERO);
        for (_, shares) in &memory.rows {
            share += shares.iter().map(|s| s.0).sum::<f64>() / memory.rows.len() as f64;
            mean += shares.iter().map(|s| s.1 * s.0).sum::<Complex64>() / memory.rows.len() as f64;
        }
        let expected = symbols.iter().map(|s| s.field).sum::<Complex64>() / 1024.0;
        assert!((share - 1.0).abs() < 1e-12 && (mean - expected).norm() < 1e-12, "{share} {mean} {expected}");
        // A remainder of 2 % across turns a field of amplitude 1/e by 0.054 rad.
        let one = Memory::new(vec![Remainder {
            log_amplitude: -1.0,
            deviation: 0.0,
            field: Complex64::new(0.0, 0.02),
        }]);
        let [(share, _, phase)] = one.spread(-1.0)[..] else { panic!("one share") };
        assert!(share == 1.0 && (phase - (0.02 * std::f64::consts::E).atan()).abs() < 1e-12);
        assert_eq!(Memory::new(Vec::new()).spread(0.0), [(1.0, 0.0, 0.0)]);
    }

    #[test]
    fn what_follows_the_settled_deviation_is_taken_out_of_the_shares() {
        let symbols = (0..400).map(|k| {
            let deviation = 0.01 * (f64::from(k % 20) - 9.5);
            let field = Complex64::new(0.0, 0.5 * (-0.2 * deviation + 0.001 * f64::from(k / 20 % 2)));
            Remainder { log_amplitude: 0.5f64.ln(), deviation, field }
        });
        let memory = Memory::new(symbols.collect());
        assert!((memory.follow + 0.2).abs() < 1e-12);
        for (_, _, phase) in memory.spread(0.5f64.ln()) {
            assert!(phase.abs() < 1e-9 || (phase - 0.001).abs() < 1e-9, "{phase}");
        }
    }
}
