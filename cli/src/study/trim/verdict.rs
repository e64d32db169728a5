//! Whether trimming reaches the target, and what stops it: said of the same trimmings that the tables hold.

use serde::Serialize;

use super::trials::{Benefit, Rates, Trials};
use crate::error::Result;

/// Factor that lifting a limit must gain to be named.
const WORTH: f64 = 2.0;

/// The same units and noise with limits lifted.
pub struct Lifted {
    /// As in trim-limits.csv.
    pub name: &'static str,
    /// Whether several are lifted at once.
    pub several: bool,
    pub trials: Trials,
}

/// Whether the target is reached, and what stops it.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub reached: bool,
    /// Whether the target lies inside the 95 % interval of the worst modulus' mean.
    pub within_scatter: bool,
    pub worst_modulus: u32,
    pub error_rate: f64,
    pub standard_error: f64,
    /// Trimmings of that modulus, and how many of them end at or below the target.
    pub trimmings: usize,
    pub trimmings_reaching: usize,
    pub words: String,
}

/// A rate with its standard error.
pub fn rate_words(rates: &Rates) -> String {
    format!("{:.1e} +- {:.1e}", rates.all.mean, rates.all.error)
}

impl Verdict {
    /// Of trimmings with nothing lifted, beside the same with limits lifted.
    pub fn new(target: f64, trimmed: &Trials, lifted: &[Lifted]) -> Result<Self> {
        let (worst, rates) = trimmed.worst()?;
        let reached = rates.all.mean <= target;
        let within_scatter = rates.all.covers(target);
        let (trimmings, reaching) = trimmed.reaching(worst, target);
        let place = match (reached, within_scatter) {
            (true, false) => format!("the target of {target:.0e} is reached"),
            (true, true) => {
                format!("below the target of {target:.0e}, by less than what repeats of the trimming scatter")
            }
            (false, true) => {
                format!("above the target of {target:.0e}, by less than what repeats of the trimming scatter")
            }
            (false, false) => format!("above the target of {target:.0e}"),
        };
        let mut words = format!(
            "trimmed, the worst modulus, {worst}, errs at {} (standard error over repeats): {place}; {reaching} of its {trimmings} trimmings reach it",
            rate_words(&rates)
        );
        if !reached {
            words += &format!("; {}", stops(target, (worst, &rates), trimmed, lifted)?);
        }
        Ok(Verdict {
            reached,
            within_scatter,
            worst_modulus: worst,
            error_rate: rates.all.mean,
            standard_error: rates.all.error,
            trimmings,
            trimmings_reaching: reaching,
            words,
        })
    }
}

/// What stops the worst modulus: a limit is named only where its lifting lowers this modulus' rate beyond the scatter.
fn stops(target: f64, (worst, now): (u32, &Rates), trimmed: &Trials, lifted: &[Lifted]) -> Result<String> {
    let mut best: Option<(&'static str, Benefit, Rates)> = None;
    for limit in lifted.iter().filter(|l| !l.several) {
        let (benefit, rates) = (limit.trials.benefit(trimmed, worst)?, limit.trials.rates(worst)?);
        let counts = benefit.lower > 1.0 && benefit.factor >= WORTH && rates.all.mean < now.all.mean;
        if counts && best.as_ref().is_none_or(|b| benefit.factor > b.1.factor) {
            best = Some((limit.name, benefit, rates));
        }
    }
    if let Some((name, benefit, rates)) = best {
        return Ok(format!(
            "{name} stops it most: without that limit {}, {}",
            rate_words(&rates),
            benefit.words()
        ));
    }
    let Some(all) = lifted.iter().find(|l| l.several) else {
        return Ok("no limit's lifting does more than the scatter".into());
    };
    let (modulus, rates) = all.trials.worst()?;
    Ok(if rates.all.mean > target && !rates.all.covers(target) {
        format!(
            "without any of its limits modulus {modulus} still errs at {}: noise, leaking rings or crosstalk stop it, not trimming",
            rate_words(&rates)
        )
    } else {
        format!(
            "no single limit's lifting does twice as well beyond the scatter; without all of them {}",
            rate_words(&rates)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::trials::Trial;
    use super::*;

    /// Two rows of moduli 31 and 32, the latter's trimmings given row by row.
    fn trials(of_32: [[f64; 4]; 2]) -> Trials {
        let rate = |repeat: usize, row: usize| [1e-10, of_32[row][repeat]];
        let all: Vec<Trial> = (0..4)
            .flat_map(|repeat| (0..2).flat_map(move |row| rate(repeat, row)))
            .map(|rate| Trial { rate, reads: 1 })
            .collect();
        Trials::new(&[31, 32], 2, &all)
    }

    fn verdict(nothing: [[f64; 4]; 2], trims: [[f64; 4]; 2], all: [[f64; 4]; 2]) -> Verdict {
        let lifted = [
            Lifted { name: "devices.trim.resolution", several: false, trials: trials(trims) },
            Lifted { name: "all of these", several: true, trials: trials(all) },
        ];
        Verdict::new(1e-8, &trials(nothing), &lifted).unwrap()
    }

    const HIGH: [[f64; 4]; 2] = [[3e-8, 4e-8, 3.5e-8, 3e-8], [5e-8, 4e-8, 4.5e-8, 5e-8]];
    const LOW: [[f64; 4]; 2] = [[1e-9, 1.2e-9, 1.1e-9, 1e-9], [2e-9, 1.8e-9, 2e-9, 2.1e-9]];
    /// Means of 9.4e-9 and 1.8e-8, each with one bad repeat.
    const WIDE: [[f64; 4]; 2] = [[4.6e-9, 2.5e-8, 4e-9, 4e-9], [3e-9, 6e-8, 3e-9, 4e-9]];

    #[test]
    fn a_limit_is_named_where_lifting_it_does_more_than_the_scatter() {
        let found = verdict(HIGH, LOW, LOW);
        assert!(!found.reached && !found.within_scatter && found.worst_modulus == 32);
        assert!(found.words.contains("devices.trim.resolution stops it most"), "{}", found.words);
        assert_eq!((found.trimmings, found.trimmings_reaching), (8, 0));
        // The number is that of the trimmings themselves.
        assert!((found.error_rate / 4e-8 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn scatter_is_called_scatter() {
        let found = verdict(WIDE, [[3e-9, 4e-9, 2e-8, 5e-9], [5e-9, 4e-9, 3e-9, 2e-9]], LOW);
        assert!(!found.reached && found.within_scatter, "{found:?}");
        assert!(found.words.contains("by less than what repeats of the trimming scatter"), "{}", found.words);
        assert!(found.words.contains("6 of its 8 trimmings reach it"), "{}", found.words);
        assert!(!found.words.contains("stops it most"), "{}", found.words);
        assert!(found.words.contains("no single limit"), "{}", found.words);
    }

    #[test]
    fn nothing_that_is_worse_when_lifted_stops_it() {
        let found = verdict(HIGH, HIGH.map(|row| row.map(|rate| 2.0 * rate)), HIGH);
        assert!(!found.words.contains("stops it most"), "{}", found.words);
        assert!(found.words.contains("noise, leaking rings or crosstalk stop it"), "{}", found.words);
        let met = verdict(LOW, HIGH, HIGH);
        assert!(met.reached && !met.words.contains("stop"), "{}", met.words);
        assert!(met.words.contains("is reached; 8 of its 8"), "{}", met.words);
    }

    #[test]
    fn benefits_are_ratios_pair_by_pair() {
        let (nothing, half) = (trials(HIGH), trials(HIGH.map(|row| row.map(|rate| 0.5 * rate))));
        let found = half.benefit(&nothing, 32).unwrap();
        // However far the pairs differ among themselves, each is halved.
        assert!([found.factor, found.lower, found.upper].iter().all(|x| (x - 2.0).abs() < 1e-9), "{found:?}");
        let back = nothing.benefit(&half, 32).unwrap();
        assert!(back.words().starts_with("2.00 times more (95 %: 2.00 to 2.00)"), "{}", back.words());
        let itself = nothing.benefit(&nothing, 31).unwrap();
        assert!(itself.within_scatter() && itself.words().starts_with("within the scatter"));
    }
}
