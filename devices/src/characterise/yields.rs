//! Yield: which share of the MDPUs, and of whole chips, meets the target error rate.

use crate::characterise::bench::Watch;
use crate::characterise::rows::SampledChips;
use crate::characterise::study::Study;
use crate::error::DeviceError;
use crate::unit::chips::clopper_pearson;
use serde::Serialize;

/// Rows that may be mapped out of each array of a unit and modulus, at most.
const MAPPED_OUT: u32 = 4;
/// The yield curve reaches this many decades to either side of the target, with this many points in each.
const DECADES: i32 = 6;
const POINTS: i32 = 8;

/// Yield over sampled chips. One item for each chip: the error rates of its MDPUs, then their relative standard errors.
///
/// Intervals are Clopper and Pearson's, their lower end with every rate two of its standard errors higher, their upper end with
/// every rate two lower: all MDPUs are judged over the same operand vectors, so that these errors do not average out.
#[derive(Debug, Clone)]
pub struct YieldStudy<'a> {
    chips: SampledChips<'a>,
    count: u32,
}

/// One line of `yield.csv`: passed of sampled, with Clopper and Pearson's interval at 95 %.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct YieldRow {
    /// "mdpu" or "chip".
    pub of: &'static str,
    /// The modulus; empty for all.
    pub modulus: Option<u32>,
    /// Rows that may fail in each array of one unit and modulus, because they can be mapped out.
    pub mapped_out: u32,
    /// Error rate to stay under.
    pub target: f64,
    /// Number looked at.
    pub sampled: u64,
    /// Number that met the target.
    pub passed: u64,
    /// Their share.
    pub share: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// One line of `yield-curve.csv`: the share that stays under an error rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct YieldPoint {
    /// The error rate.
    pub error_rate: f64,
    /// Share of the MDPUs of all moduli at or under it, and its interval.
    pub mdpus: f64,
    /// Lower end.
    pub mdpus_lower: f64,
    /// Upper end.
    pub mdpus_upper: f64,
    /// Share of the chips whose every MDPU is at or under it, and its interval.
    pub chips: f64,
    /// Lower end.
    pub chips_lower: f64,
    /// Upper end.
    pub chips_upper: f64,
}

/// What the study finds.
#[derive(Debug, Clone, PartialEq)]
pub struct YieldReport {
    /// Shares at the target.
    pub rows: Vec<YieldRow>,
    /// Shares at other rates.
    pub curve: Vec<YieldPoint>,
    /// Mean error rate over all MDPUs.
    pub mean: f64,
    /// Error rate of the median MDPU.
    pub median: f64,
    /// Error rate of the worst MDPU.
    pub worst: f64,
}

impl<'a> YieldStudy<'a> {
    /// A study of chips 0 to `count` - 1.
    ///
    /// # Errors
    /// No chips, or more than 100,000.
    pub fn new(chips: SampledChips<'a>, count: u32) -> Result<Self, DeviceError> {
        if !(1..=100_000).contains(&count) {
            return Err(DeviceError::Question(format!("a yield of {count} chips; give 1 to 100000")));
        }
        Ok(YieldStudy { chips, count })
    }

    fn row(&self, of: &'static str, modulus: Option<u32>, mapped_out: u32, counts: [u64; 4]) -> YieldRow {
        let [sampled, _, passed, _] = counts;
        let (share, lower, upper) = shares(counts);
        YieldRow {
            of,
            modulus,
            mapped_out,
            target: self.chips.setting().target,
            sampled,
            passed,
            share,
            lower,
            upper,
        }
    }

    /// Whether a chip works when up to `mapped_out` rows of each array may fail.
    fn works(&self, rates: &[f64], limit: f64, mapped_out: u32) -> bool {
        let moduli = self.chips.setting().moduli.len();
        let mut failed = std::collections::BTreeMap::new();
        for (seat, rate) in self.chips.seats().iter().zip(rates) {
            if rate.is_nan() || *rate > limit {
                *failed.entry(seat.place.unit as usize * moduli + seat.modulus).or_insert(0) += 1;
            }
        }
        failed.values().all(|&count| count <= mapped_out)
    }

    fn curve(&self, judged: &[Vec<Vec<f64>>; 3]) -> Vec<YieldPoint> {
        let sorted = |mut rates: Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates
        };
        let mdpus = judged.each_ref().map(|chips| sorted(chips.concat()));
        let largest = |chip: &Vec<f64>| chip.iter().copied().fold(0.0, f64::max);
        let worst = judged.each_ref().map(|chips| sorted(chips.iter().map(largest).collect()));
        let point = |step: i32| {
            let error_rate = self.chips.setting().target * 10f64.powf(f64::from(step) / f64::from(POINTS));
            let under = |rates: &[Vec<f64>; 3]| {
                let [high, own, low] =
                    rates.each_ref().map(|rates| rates.partition_point(|rate| *rate <= error_rate) as u64);
                shares([rates[1].len() as u64, high, own, low])
            };
            let (of_mdpus, of_chips) = (under(&mdpus), under(&worst));
            YieldPoint {
                error_rate,
                mdpus: of_mdpus.0,
                mdpus_lower: of_mdpus.1,
                mdpus_upper: of_mdpus.2,
                chips: of_chips.0,
                chips_lower: of_chips.1,
                chips_upper: of_chips.2,
            }
        };
        (-DECADES * POINTS..=DECADES * POINTS).map(point).filter(|p| p.error_rate <= 1.0).collect()
    }
}

/// Share and interval of how many were sampled, and passed with their rates raised, as they are, and lowered.
fn shares([sampled, raised, passed, lowered]: [u64; 4]) -> (f64, f64, f64) {
    let lower = clopper_pearson(raised as f64, sampled as f64).0;
    let upper = clopper_pearson(lowered as f64, sampled as f64).1;
    (passed as f64 / sampled.max(1) as f64, lower, upper)
}

/// The rates of an item moved by so many of their standard errors; NaN stays what it is.
fn moved(item: &[f64], by: f64) -> Vec<f64> {
    let (rates, errors) = item.split_at(item.len() / 2);
    let one = |(rate, error): (&f64, &f64)| {
        let factor = 1.0 + by * error;
        if factor < 0.0 { 0.0 * rate } else { factor * rate }
    };
    rates.iter().zip(errors).map(one).collect()
}

impl Study for YieldStudy<'_> {
    type Outcome = YieldReport;

    fn name(&self) -> &'static str {
        "yield"
    }

    fn items(&self) -> usize {
        self.count as usize
    }

    fn width(&self) -> usize {
        2 * self.chips.seats().len()
    }

    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let (rates, errors): (Vec<f64>, Vec<f64>) =
            self.chips.rates(index as u32, watch)?.into_iter().unzip();
        Ok([rates, errors].concat())
    }

    fn outcome(&self, items: &[Vec<f64>]) -> Result<YieldReport, DeviceError> {
        let (target, seats) = (self.chips.setting().target, self.chips.seats());
        let mut rows = Vec::new();
        let judged = [2.0, 0.0, -2.0].map(|by| items.iter().map(|item| moved(item, by)).collect::<Vec<_>>());
        let of = |modulus: Option<usize>| -> [u64; 4] {
            let wanted = |seat: usize| modulus.is_none_or(|wanted| seats[seat].modulus == wanted);
            let each = |chips: &[Vec<f64>]| -> Vec<f64> {
                let rates =
                    chips.iter().flat_map(|chip| chip.iter().enumerate().filter(|(at, _)| wanted(*at)));
                rates.map(|(_, rate)| *rate).collect()
            };
            let [raised, passed, lowered] = judged
                .each_ref()
                .map(|chips| each(chips).iter().filter(|rate| **rate <= target).count() as u64);
            [each(&judged[1]).len() as u64, raised, passed, lowered]
        };
        for (index, &modulus) in self.chips.setting().moduli.iter().enumerate() {
            rows.push(self.row("mdpu", Some(modulus), 0, of(Some(index))));
        }
        rows.push(self.row("mdpu", None, 0, of(None)));
        for mapped_out in 0..=MAPPED_OUT {
            let working = |chips: &Vec<Vec<f64>>| {
                chips.iter().filter(|chip| self.works(chip, target, mapped_out)).count() as u64
            };
            let [raised, passed, lowered] = judged.each_ref().map(working);
            rows.push(self.row("chip", None, mapped_out, [items.len() as u64, raised, passed, lowered]));
        }
        let mut all = judged[1].concat();
        all.sort_by(f64::total_cmp);
        let at =
            |quantile: f64| all.get((quantile * (all.len() - 1) as f64) as usize).copied().unwrap_or(0.0);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        Ok(YieldReport { rows, curve: self.curve(&judged), mean, median: at(0.5), worst: at(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::characterise::sweep::SweepSetting;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::MdpuParameters;
    use mirage_arithmetic::Placement;

    #[test]
    fn shares_count_units_chips_and_rows_that_may_fail() {
        let (p, operands) = (MdpuParameters::ideal(16), [31, 32].map(Operands::uniform));
        let setting = SweepSetting {
            parameters: &p,
            laser_power: 1e-3,
            max_laser_power: 1.0,
            target: 1e-8,
            moduli: &[31, 32],
            operands: &operands,
            seed: 1,
        };
        let chips = SampledChips::new(setting, Placement { units: 1, rows: 3 }, 1).unwrap();
        let study = YieldStudy::new(chips, 3).unwrap();
        // Row by row: modulus 31, modulus 32. A good chip, one with two bad rows of modulus 32, one with a row of each.
        let items = [
            vec![1e-9; 6],
            vec![1e-9, 1e-7, 1e-9, 1e-7, 1e-9, 1e-9],
            vec![1e-7, f64::NAN, 1e-9, 1e-9, 1e-9, 1e-9],
        ];
        let sure = items.each_ref().map(|rates| [rates.as_slice(), &[0.0; 6]].concat());
        let report = study.outcome(&sure).unwrap();
        let passed = |of: &str, modulus, mapped_out| {
            let found = |r: &&YieldRow| (r.of, r.modulus, r.mapped_out) == (of, modulus, mapped_out);
            report.rows.iter().find(found).map(|r| (r.passed, r.sampled)).unwrap()
        };
        assert_eq!(passed("mdpu", Some(31), 0), (8, 9));
        assert_eq!(passed("mdpu", Some(32), 0), (6, 9));
        assert_eq!(passed("mdpu", None, 0), (14, 18));
        assert_eq!([0, 1, 2].map(|n| passed("chip", None, n).0), [1, 2, 3]);
        let row = report.rows.iter().find(|r| r.of == "mdpu" && r.modulus.is_none()).unwrap();
        assert_eq!((row.lower, row.upper), clopper_pearson(14.0, 18.0));
        // Rates known to a factor of eleven either way: those at 1e-9 could be bad, those at 1e-7 could be good.
        let vague = items.each_ref().map(|rates| [rates.as_slice(), &[5.0; 6]].concat());
        let row = study.outcome(&vague).unwrap().rows.swap_remove(0);
        assert_eq!((row.passed, row.lower), (8, clopper_pearson(0.0, 9.0).0));
        assert_eq!(row.upper, clopper_pearson(9.0, 9.0).1);
        assert!(report.curve.windows(2).all(|w| w[0].mdpus <= w[1].mdpus && w[0].chips <= w[1].chips));
    }
}
