//! The distribution of what a symbol keeps of others, as it enters the population's error rate.

use num_complex::Complex64;

/// Rows of equally many symbols by settled amplitude, and bins of each by deviation across the field.
const ROWS: usize = 16;
const BINS: usize = 64;

/// One symbol's settled log-amplitude, and what its field has besides the settled one, turned so that the settled field is
/// real: real part along it, imaginary part across it.
pub(crate) type Remainder = (f64, Complex64);

/// A share of the symbols, and their remainder.
type Share = (f64, Complex64);

/// Remainders by settled amplitude. Those of fainter symbols are nearly as large as others', since they come from the symbol
/// before, and so turn their phase further.
pub(crate) struct Memory {
    /// The largest log-amplitude of each row, rising, and its shares.
    rows: Vec<(f64, Vec<Share>)>,
}

impl Memory {
    pub fn new(mut symbols: Vec<Remainder>) -> Self {
        symbols.sort_by(|a, b| a.0.total_cmp(&b.0));
        let row = |part: &[Remainder]| (part.last().map_or(0.0, |last| last.0), shares(part));
        Memory { rows: symbols.chunks(symbols.len().div_ceil(ROWS).max(1)).map(row).collect() }
    }

    /// What symbols of this settled log-amplitude may become: shares, each with its changes of log-amplitude and phase.
    pub fn spread(&self, log_amplitude: f64) -> Vec<(f64, f64, f64)> {
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

/// Bins of even width by the deviation across the field, each with the mean of its symbols.
fn shares(symbols: &[Remainder]) -> Vec<Share> {
    let across = symbols.iter().map(|symbol| symbol.1.im);
    let (low, high) = across.fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
    let mut bins = [(0.0, Complex64::ZERO); BINS];
    for (_, remainder) in symbols {
        let place = (remainder.im - low) / (high - low).max(f64::MIN_POSITIVE);
        let bin = &mut bins[((place * BINS as f64) as usize).min(BINS - 1)];
        (bin.0, bin.1) = (bin.0 + 1.0, bin.1 + remainder);
    }
    let all = symbols.len() as f64;
    bins.into_iter().filter(|bin| bin.0 > 0.0).map(|(n, sum)| (n / all, sum / n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_keep_the_mean() {
        let symbols: Vec<Remainder> = (0..1000)
            .map(|k| {
                let x = f64::from(k * 617 % 1000) / 1000.0;
                (-x, Complex64::new(0.01 * x, 0.02 * (x - 0.3)))
            })
            .collect();
        let memory = Memory::new(symbols.clone());
        let (mut share, mut mean) = (0.0, Complex64::ZERO);
        for (_, shares) in &memory.rows {
            share += shares.iter().map(|s| s.0).sum::<f64>() / memory.rows.len() as f64;
            mean += shares.iter().map(|s| s.1 * s.0).sum::<Complex64>() / memory.rows.len() as f64;
        }
        let expected = symbols.iter().map(|s| s.1).sum::<Complex64>() / 1000.0;
        assert!((share - 1.0).abs() < 1e-12 && (mean - expected).norm() < 1e-4, "{share} {mean} {expected}");
        // A remainder of 2 % across turns a field of amplitude 1/e by 0.054 rad.
        let one = Memory::new(vec![(-1.0, Complex64::new(0.0, 0.02))]);
        let [(share, _, phase)] = one.spread(-1.0)[..] else { panic!("one share") };
        assert!(share == 1.0 && (phase - (0.02 * std::f64::consts::E).atan()).abs() < 1e-12);
        assert_eq!(Memory::new(Vec::new()).spread(0.0), [(1.0, 0.0, 0.0)]);
    }
}
