//! Tolerance inversion: the loosest value of each parameter that still meets the target, all others held.

use crate::characterise::bench::{Bench, Watch};
use crate::characterise::search::{Stride, crossing, first_that_holds};
use crate::characterise::study::Study;
use crate::characterise::sweep::SweepSetting;
use crate::characterise::tolerances::Toleranced;
use crate::error::DeviceError;
use serde::Serialize;
use std::collections::BTreeMap;

/// Looser values on an even grid of this many that are tried, to see whether one of them would do after all.
const PROBES: usize = 6;
/// Logarithms of rate over target beyond this say no more.
const FAR: f64 = 60.0;
/// Numbers of an item for each margin.
const WIDTH: usize = 4;
/// From where a search begins to where the rates with quantisation as noise say that it ends.
const WIDE: Stride = Stride { first: 4, times: 2 };
/// From there to the sum over ADC cells.
const NEAR: Stride = Stride { first: 1, times: 2 };
/// Whole numbers, one by one: what rounds to codes is not monotonic.
const SINGLE: Stride = Stride { first: 1, times: 1 };

/// The loosest value of every toleranced parameter at the design's laser power and at powers above it.
///
/// A design whose power was solved for the target has no slack: there the answer is about the design's own value, and the
/// margins say what some more light buys. One item for each parameter: its units are built once for all margins.
#[derive(Debug, Clone)]
pub struct InversionStudy<'a> {
    setting: SweepSetting<'a>,
    margins_db: Vec<f64>,
    asked: Vec<&'static Toleranced>,
    design: Bench,
    /// Logarithm of the design's rate over ADC cells over that with quantisation as noise, at each margin.
    corrections: Vec<f64>,
}

/// One line of `inversion.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InversionRow {
    /// Key of the parameter.
    pub parameter: &'static str,
    /// Unit of its values.
    pub unit: &'static str,
    /// Its value in the design.
    pub design: f64,
    /// Laser power above the design's, dB.
    pub margin_db: f64,
    /// Laser power, W (for the laser power itself: the design's).
    pub laser_power_w: f64,
    /// "largest" or "smallest": what the limit is.
    pub sense: &'static str,
    /// The loosest value that meets the target; empty where none does.
    pub limit: Option<f64>,
    /// Error rate at the limit, worst modulus; without one, at the tightest value that was tried.
    pub error_rate: f64,
    /// "limit", "unreachable" (not even the tightest value meets the target), "no limit" (the loosest one that a unit can have does) or
    /// "not monotonic" (some value looser than the limit meets the target too).
    pub verdict: &'static str,
}

impl<'a> InversionStudy<'a> {
    /// A study at `margins_db` of laser power above the design's.
    ///
    /// # Errors
    /// No margins, or margins that are not finite; as [`Bench::new`].
    pub fn new(setting: SweepSetting<'a>, margins_db: &[f64]) -> Result<Self, DeviceError> {
        if margins_db.is_empty() || margins_db.iter().any(|m| !(-60.0..=60.0).contains(m)) {
            let problem = format!("margins of {margins_db:?} dB; give at least one, within -60 to 60 dB");
            return Err(DeviceError::Question(problem));
        }
        let has = |t: &&'static Toleranced| {
            t.rises().is_some() && t.value(setting.parameters, setting.laser_power).is_some()
        };
        let asked = Toleranced::all().iter().filter(has).collect();
        let design = Bench::new(setting.parameters, setting.moduli, setting.operands)?;
        let correction = |&margin: &f64| {
            let power = setting.laser_power * ratio(margin);
            score(design.worst(power), setting.target) - score(design.quick(power), setting.target)
        };
        let corrections = margins_db.iter().map(correction).collect();
        Ok(InversionStudy { margins_db: margins_db.to_vec(), asked, design, corrections, setting })
    }

    /// The margins of a question: more light than the design's is none where the light itself is asked for.
    fn margins(&self, tolerance: &Toleranced) -> &[f64] {
        if tolerance.key() == "devices.laser.power" { &[0.0] } else { &self.margins_db }
    }
}

/// A ratio of powers from dB.
fn ratio(db: f64) -> f64 {
    10f64.powf(db / 10.0)
}

/// Logarithm of a rate over the target: above zero where it misses.
fn score(rate: f64, target: f64) -> f64 {
    (rate / target).ln().clamp(-FAR, FAR)
}

/// The values of one parameter on trial.
struct Trials<'s> {
    study: &'s InversionStudy<'s>,
    tolerance: &'static Toleranced,
    watch: Watch<'s>,
    /// Loosest first, the design's own among them.
    values: Vec<f64>,
    /// Where the design's own is.
    own: usize,
    /// The units with each value that was tried, or why there are none.
    benches: BTreeMap<usize, Result<Bench, Unmade>>,
}

/// Why no unit has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unmade {
    /// It lies outside what the model takes.
    OutOfRange,
    /// The driver does not reach the largest level: a limit of the design.
    Driver,
}

/// What was found at one margin.
struct Limit {
    at: Option<usize>,
    /// Worst modulus there, or at the tightest value.
    rate: f64,
    /// Whether a looser value was seen to do.
    looser: bool,
    /// Whether there is no looser value.
    loosest: bool,
}

impl<'s> Trials<'s> {
    fn new(study: &'s InversionStudy<'s>, tolerance: &'static Toleranced, watch: Watch<'s>) -> Self {
        let setting = &study.setting;
        let mut values = tolerance.candidates();
        let own = tolerance.value(setting.parameters, setting.laser_power).unwrap_or(f64::INFINITY);
        let rises = tolerance.rises() == Some(true);
        let at = values.partition_point(|&v| if rises { v < own } else { v > own });
        if own.is_finite() && values.get(at) != Some(&own) {
            values.insert(at, own);
        }
        let own = at.min(values.len() - 1);
        Trials { study, tolerance, watch, values, own, benches: BTreeMap::new() }
    }

    /// The units with one value, and their laser power; none for values that no unit can have.
    fn changed(&mut self, at: usize, margin: f64) -> Result<Option<(&Bench, f64)>, DeviceError> {
        self.watch.check()?;
        let setting = &self.study.setting;
        let mut parameters = setting.parameters.clone();
        let mut power = setting.laser_power * ratio(margin);
        self.tolerance.set(&mut parameters, &mut power, self.values[at]);
        if !self.benches.contains_key(&at) {
            let same = self.study.design.with_receiver(&parameters);
            let built = same.unwrap_or_else(|| Bench::new(&parameters, setting.moduli, setting.operands));
            let bench = match built {
                Ok(bench) => Ok(bench),
                Err(DeviceError::Parameter { .. }) => Err(Unmade::OutOfRange),
                Err(DeviceError::DriveRange { .. }) => Err(Unmade::Driver),
                Err(other) => return Err(other),
            };
            self.benches.insert(at, bench);
        }
        Ok(self.benches.get(&at).and_then(|bench| bench.as_ref().ok()).map(|bench| (bench, power)))
    }

    /// Score with quantisation as noise.
    fn quick(&mut self, at: usize, margin: f64) -> Result<f64, DeviceError> {
        let target = self.study.setting.target;
        Ok(self.changed(at, margin)?.map_or(FAR, |(bench, power)| score(bench.quick(power), target)))
    }

    /// The limit at a margin; `correction` is the design's from [`Trials::quick`] to the sum over ADC cells.
    fn limit(&mut self, margin: f64, mut correction: f64) -> Result<Limit, DeviceError> {
        let (count, target) = (self.values.len(), self.study.setting.target);
        let (mut quick, mut exact) = (BTreeMap::new(), BTreeMap::new());
        let mut worst = |trials: &mut Self, at: usize| -> Result<f64, DeviceError> {
            if let Some(&rate) = exact.get(&at) {
                return Ok(rate);
            }
            let rate = trials.changed(at, margin)?.map_or(1.0, |(bench, power)| bench.worst(power));
            exact.insert(at, rate);
            Ok(rate)
        };
        let mut cheap = |trials: &mut Self, at: usize| -> Result<f64, DeviceError> {
            if let Some(&score) = quick.get(&at) {
                return Ok(score);
            }
            let score = trials.quick(at, margin)?;
            quick.insert(at, score);
            Ok(score)
        };
        let found = if self.tolerance.integer() {
            let numbered: Vec<f64> = (0..count).map(|at| at as f64).collect();
            let trials = std::cell::RefCell::new(&mut *self);
            let holds = |at: f64| Ok((trials.borrow_mut().quick(at as usize, margin)? <= 0.0).then_some(()));
            first_that_holds(&numbered, &holds)?.map(|(at, ())| at)
        } else {
            // What the ADC cells change hardly depends on the value: once the design's, once that of where it led.
            let mut start = crossing(count, self.own, WIDE, &mut |at| Ok(cheap(self, at)? + correction))?;
            if let Some(at) = start {
                correction = score(worst(self, at)?, target) - cheap(self, at)?;
                start = crossing(count, at, NEAR, &mut |at| Ok(cheap(self, at)? + correction))?;
            }
            start
        };
        let stride = if self.tolerance.integer() { SINGLE } else { NEAR };
        let start = found.unwrap_or(count - 1);
        let at = crossing(count, start, stride, &mut |at| Ok(score(worst(self, at)?, target)))?;
        let rate = worst(self, at.unwrap_or(count - 1))?;
        let mut looser = false;
        let looser_than = at.unwrap_or(0);
        for probe in (0..PROBES).map(|probe| count * probe / PROBES).filter(|probe| *probe < looser_than) {
            looser |= cheap(self, probe)? <= 0.0;
        }
        let outside =
            |at: usize| self.benches.get(&at).is_some_and(|b| b.as_ref().err() == Some(&Unmade::OutOfRange));
        let loosest = at.is_some_and(|at| at == 0 || outside(at - 1));
        Ok(Limit { at, rate, looser, loosest })
    }
}

impl Study for InversionStudy<'_> {
    type Outcome = Vec<InversionRow>;

    fn name(&self) -> &'static str {
        "inversion"
    }

    fn items(&self) -> usize {
        self.asked.len()
    }

    fn width(&self) -> usize {
        WIDTH * self.margins_db.len()
    }

    /// For each margin: whether there is a limit, the limit, the rate there, and whether a looser value was seen to do.
    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let tolerance = self.asked[index];
        let mut trials = Trials::new(self, tolerance, watch);
        let mut item = Vec::new();
        for (&margin, &correction) in self.margins(tolerance).iter().zip(&self.corrections) {
            let limit = trials.limit(margin, correction)?;
            let value = limit.at.map_or(f64::NAN, |at| trials.values[at]);
            let kind = match limit.at {
                None => 0.0,
                Some(_) if limit.loosest => 2.0,
                Some(_) => 1.0,
            };
            item.extend([kind, value, limit.rate, f64::from(u8::from(limit.looser))]);
        }
        item.resize(self.width(), 0.0);
        Ok(item)
    }

    fn outcome(&self, items: &[Vec<f64>]) -> Result<Vec<InversionRow>, DeviceError> {
        let mut rows = Vec::new();
        for (tolerance, item) in self.asked.iter().zip(items) {
            rows.extend(self.margins(tolerance).iter().zip(item.chunks(WIDTH)).map(|(&margin_db, item)| {
                InversionRow {
                    parameter: tolerance.key(),
                    unit: tolerance.unit(),
                    design: tolerance
                        .value(self.setting.parameters, self.setting.laser_power)
                        .unwrap_or(f64::NAN),
                    margin_db,
                    laser_power_w: self.setting.laser_power * ratio(margin_db),
                    sense: if tolerance.rises() == Some(true) { "smallest" } else { "largest" },
                    limit: (item[0] > 0.0).then_some(item[1]),
                    error_rate: item[2],
                    verdict: match item[0] {
                        0.0 => "unreachable",
                        _ if item[3] > 0.0 => "not monotonic",
                        2.0 => "no limit",
                        _ => "limit",
                    },
                }
            }));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::characterise::bench::RequiredPower;
    use crate::characterise::study::run_study;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::{FrontEnd, MdpuParameters, Trim};
    use std::collections::BTreeMap;

    #[test]
    fn limits_meet_the_target_and_looser_values_do_not() {
        let mut p = MdpuParameters::ideal(16);
        p.trim = Trim { fabrication: 1.0, resolution: 0.004, range: 4.0 };
        p.detector.front_end = FrontEnd::InputNoise(1.1e-6);
        p.adc.bits = Some(8);
        let operands = [Operands::uniform(32)];
        let target = 1e-6;
        let bench = Bench::new(&p, &[32], &operands).unwrap();
        let RequiredPower::Power(power) = bench.required_power(target, 1.0) else { panic!("reachable") };
        let setting = SweepSetting {
            parameters: &p,
            laser_power: power,
            max_laser_power: 1.0,
            target,
            moduli: &[32],
            operands: &operands,
            seed: 1,
        };
        let study = InversionStudy::new(setting, &[0.0, 1.0]).unwrap();
        let wanted =
            ["devices.laser.power", "devices.trim.resolution", "devices.ring.extinction", "devices.adc.bits"];
        // All others are not what this test is about: they are taken as found before.
        let other = |i: &usize| !wanted.contains(&study.asked[*i].key());
        let known: BTreeMap<_, _> =
            (0..study.items()).filter(other).map(|i| (i, [0.0, 1.0, 1.0, 0.0].repeat(2))).collect();
        let rows = run_study(&study, &known, &|_, _| Ok(()), Watch::default()).unwrap();
        let of = |key: &str, margin: f64| {
            rows.iter().find(|r| (r.parameter, r.margin_db) == (key, margin)).unwrap()
        };
        // The power was solved for the target: it is its own limit, to the two digits of the values that are tried.
        let limit = of("devices.laser.power", 0.0).limit.unwrap();
        assert!((0.99 * power..=power).contains(&limit), "{limit} {power}");
        let trims = [0.0, 1.0].map(|m| of("devices.trim.resolution", m).limit.unwrap());
        assert!((0.004..=0.0042).contains(&trims[0]) && trims[1] > 1.2 * trims[0], "{trims:?}");
        let mut looser = p.clone();
        looser.trim.resolution = trims[1] * 1.03;
        let rate = Bench::new(&looser, &[32], &operands).unwrap().worst(power * 10f64.powf(0.1));
        assert!(rate > target && of("devices.trim.resolution", 1.0).error_rate <= target, "{rate}");
        assert_eq!(of("devices.adc.bits", 0.0).limit, Some(8.0));
        let extinction = of("devices.ring.extinction", 1.0);
        assert!(extinction.limit.unwrap() > 15.0 && extinction.sense == "smallest", "{extinction:?}");
    }
}
