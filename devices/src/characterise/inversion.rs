//! Tolerance inversion: the loosest value of each parameter that still meets the target, all others held.

use crate::characterise::bench::{Bench, Watch};
use crate::characterise::search::{bisect, first_that_holds};
use crate::characterise::study::Study;
use crate::characterise::sweep::SweepSetting;
use crate::characterise::tolerances::Toleranced;
use crate::error::DeviceError;
use serde::Serialize;

/// Candidates looser than the answer that are tried to see whether a looser value would do after all.
const PROBES: usize = 3;
/// Steps from the answer with quantisation as noise to that over ADC cells.
const CORRECTIONS: usize = 12;

/// The loosest value of every toleranced parameter at the design's laser power and at powers above it.
///
/// A design whose power was solved for the target has no slack: there the answer is the design's own value, and the margins
/// say what some more light buys. One item for each parameter and margin.
#[derive(Debug, Clone)]
pub struct InversionStudy<'a> {
    setting: SweepSetting<'a>,
    questions: Vec<(&'static Toleranced, f64)>,
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
    /// "limit", "unreachable" (not even the tightest value meets the target), "no limit" (the loosest one does) or
    /// "not monotonic" (some value looser than the limit meets the target too).
    pub verdict: &'static str,
}

impl<'a> InversionStudy<'a> {
    /// A study at `margins_db` of laser power above the design's.
    ///
    /// # Errors
    /// No margins, or margins that are not finite.
    pub fn new(setting: SweepSetting<'a>, margins_db: &[f64]) -> Result<Self, DeviceError> {
        if margins_db.is_empty() || margins_db.iter().any(|m| !(-60.0..=60.0).contains(m)) {
            let problem = format!("margins of {margins_db:?} dB; give at least one, within -60 to 60 dB");
            return Err(DeviceError::Question(problem));
        }
        let asked = Toleranced::all()
            .iter()
            .filter(|t| t.rises().is_some() && t.value(setting.parameters, setting.laser_power).is_some());
        let mut questions = Vec::new();
        for tolerance in asked {
            let own = tolerance.key() == "devices.laser.power";
            // More light than the design's is no question where the light itself is asked for.
            questions.extend(
                margins_db
                    .iter()
                    .take(if own { 1 } else { usize::MAX })
                    .map(|&m| (tolerance, if own { 0.0 } else { m })),
            );
        }
        Ok(InversionStudy { setting, questions })
    }

    /// The bench with one value changed and its laser power; none for values that no unit can have.
    fn changed(&self, question: usize, value: f64) -> Result<Option<(Bench, f64)>, DeviceError> {
        let (tolerance, margin) = self.questions[question];
        let mut parameters = self.setting.parameters.clone();
        let mut power = self.setting.laser_power * 10f64.powf(margin / 10.0);
        tolerance.set(&mut parameters, &mut power, value);
        match Bench::new(&parameters, self.setting.moduli, self.setting.operands) {
            Ok(bench) => Ok(Some((bench, power))),
            Err(DeviceError::Parameter { .. } | DeviceError::DriveRange { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// From the answer with quantisation as noise to that over ADC cells: a few steps to either side.
    fn correct(
        &self,
        question: usize,
        start: usize,
        values: &[f64],
    ) -> Result<(Option<usize>, f64), DeviceError> {
        let exact = |at: usize| -> Result<f64, DeviceError> {
            Ok(self.changed(question, values[at])?.map_or(1.0, |(bench, power)| bench.worst(power)))
        };
        let mut at = start.min(values.len() - 1);
        let mut rate = exact(at)?;
        for _ in 0..CORRECTIONS {
            if rate > self.setting.target {
                if at + 1 == values.len() {
                    return Ok((None, rate));
                }
                at += 1;
                rate = exact(at)?;
                if rate <= self.setting.target {
                    return Ok((Some(at), rate));
                }
            } else {
                if at == 0 {
                    return Ok((Some(0), rate));
                }
                let looser = exact(at - 1)?;
                if looser > self.setting.target {
                    return Ok((Some(at), rate));
                }
                (at, rate) = (at - 1, looser);
            }
        }
        Ok(((rate <= self.setting.target).then_some(at), rate))
    }
}

impl Study for InversionStudy<'_> {
    type Outcome = Vec<InversionRow>;

    fn name(&self) -> &'static str {
        "inversion"
    }

    fn items(&self) -> usize {
        self.questions.len()
    }

    fn width(&self) -> usize {
        4
    }

    /// Whether there is a limit, the limit, the rate there, and whether a looser value was seen to do.
    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let values = self.questions[index].0.candidates();
        let holds = |value: f64| -> Result<Option<()>, DeviceError> {
            watch.check()?;
            let quick = self.changed(index, value)?.map(|(bench, power)| bench.quick(power));
            Ok(quick.filter(|rate| *rate <= self.setting.target).map(|_| ()))
        };
        let integer = self.questions[index].0.integer();
        let found = if integer { first_that_holds(&values, &holds)? } else { bisect(&values, &holds)? };
        let start = found.map_or(values.len() - 1, |(at, ())| at);
        let (limit, rate) = self.correct(index, start, &values)?;
        let mut looser = false;
        for probe in 0..PROBES {
            let at = limit.unwrap_or(0) * probe / PROBES;
            looser |= limit.is_some_and(|limit| at < limit) && holds(values[at])?.is_some();
        }
        let value = limit.map_or(f64::NAN, |at| values[at]);
        let kind = match limit {
            None => 0.0,
            Some(0) => 2.0,
            Some(_) => 1.0,
        };
        Ok(vec![kind, value, rate, f64::from(u8::from(looser))])
    }

    fn outcome(&self, items: &[Vec<f64>]) -> Result<Vec<InversionRow>, DeviceError> {
        let row = |(&(tolerance, margin_db), item): (&(&'static Toleranced, f64), &Vec<f64>)| InversionRow {
            parameter: tolerance.key(),
            unit: tolerance.unit(),
            design: tolerance.value(self.setting.parameters, self.setting.laser_power).unwrap_or(f64::NAN),
            margin_db,
            laser_power_w: self.setting.laser_power * 10f64.powf(margin_db / 10.0),
            sense: if tolerance.rises() == Some(true) { "smallest" } else { "largest" },
            limit: (item[0] > 0.0).then_some(item[1]),
            error_rate: item[2],
            verdict: match item[0] {
                0.0 => "unreachable",
                _ if item[3] > 0.0 => "not monotonic",
                2.0 => "no limit",
                _ => "limit",
            },
        };
        Ok(self.questions.iter().zip(items).map(row).collect())
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
        let asked =
            |key: &str| (0..study.items()).filter(|&i| study.questions[i].0.key() == key).collect::<Vec<_>>();
        let mut known = BTreeMap::new();
        // All others are not what this test is about: they are taken as found before.
        (0..study.items()).for_each(|i| drop(known.insert(i, vec![0.0, 1.0, 1.0, 0.0])));
        for key in
            ["devices.laser.power", "devices.trim.resolution", "devices.ring.extinction", "devices.adc.bits"]
        {
            asked(key).iter().for_each(|i| drop(known.remove(i)));
        }
        let rows = run_study(&study, &known, &|_, _| Ok(()), Watch::default()).unwrap();
        let of = |key: &str, margin: f64| {
            rows.iter().find(|r| (r.parameter, r.margin_db) == (key, margin)).unwrap()
        };
        let limit = of("devices.laser.power", 0.0).limit.unwrap();
        assert!(limit >= power && limit < 1.12 * power, "{limit} {power}");
        let trims = [0.0, 1.0].map(|m| of("devices.trim.resolution", m).limit.unwrap());
        assert!((0.0039..=0.0042).contains(&trims[0]) && trims[1] > 1.2 * trims[0], "{trims:?}");
        let mut looser = p.clone();
        looser.trim.resolution = trims[1] * 1.03;
        let rate = Bench::new(&looser, &[32], &operands).unwrap().worst(power * 10f64.powf(0.1));
        assert!(rate > target && of("devices.trim.resolution", 1.0).error_rate <= target, "{rate}");
        assert_eq!(of("devices.adc.bits", 0.0).limit, Some(8.0));
        let extinction = of("devices.ring.extinction", 1.0);
        assert!(extinction.limit.unwrap() > 15.0 && extinction.sense == "smallest", "{extinction:?}");
    }
}
