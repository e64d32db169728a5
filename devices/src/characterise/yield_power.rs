//! Yield at more laser power than the design's: what a chip needs that passes as a whole.
//!
//! The design's power is set for the mean over chips and reads, and the mean is carried by a few bad units. A chip passes when its
//! every unit does, which takes more light.

use crate::characterise::bench::Watch;
use crate::characterise::rows::SampledChips;
use crate::characterise::study::Study;
use crate::characterise::sweep::SweepSetting;
use crate::error::DeviceError;
use crate::unit::chips::clopper_pearson;
use mirage_arithmetic::Placement;
use serde::Serialize;

/// Sampled chips at several laser powers. One item for each chip and power: units that pass, units, and the worst rate.
#[derive(Debug, Clone)]
pub struct YieldPowerStudy<'a> {
    /// Laser power above the design's, dB, and the chips at that power.
    at: Vec<(f64, SampledChips<'a>)>,
    count: u32,
}

/// One line of `yield-power.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct YieldPowerRow {
    /// Laser power above the design's, dB.
    pub margin_db: f64,
    /// Power of one laser, W.
    pub laser_power_w: f64,
    /// Error rate to stay at or under.
    pub target: f64,
    /// Chips that were sampled.
    pub chips: u64,
    /// Share of their MDPUs that meet the target, and its interval (Clopper and Pearson, 95 %).
    pub mdpus_share: f64,
    /// Lower end.
    pub mdpus_lower: f64,
    /// Upper end.
    pub mdpus_upper: f64,
    /// Share of the chips whose every MDPU meets the target.
    pub chips_share: f64,
    /// Lower end.
    pub chips_lower: f64,
    /// Upper end.
    pub chips_upper: f64,
    /// Error rate of the worst MDPU of all these chips.
    pub worst_rate: f64,
}

impl<'a> YieldPowerStudy<'a> {
    /// Chips 0 to `count` - 1 of `setting`, each at all those powers of `margins_db` above the design's that a laser may have.
    ///
    /// # Errors
    /// No chips; as [`SampledChips::new`].
    pub fn new(
        setting: &SweepSetting<'a>,
        placement: Placement,
        vectors: usize,
        (count, margins_db): (u32, &[f64]),
    ) -> Result<Self, DeviceError> {
        if count == 0 {
            return Err(DeviceError::Question("a yield of 0 chips; give at least one".into()));
        }
        let mut at = Vec::new();
        for &margin in margins_db {
            let laser_power = setting.laser_power * 10f64.powf(margin / 10.0);
            if laser_power <= setting.max_laser_power {
                let setting = SweepSetting { laser_power, ..setting.clone() };
                at.push((margin, SampledChips::new(setting, placement, vectors)?));
            }
        }
        Ok(Self { at, count })
    }
}

impl Study for YieldPowerStudy<'_> {
    type Outcome = Vec<YieldPowerRow>;

    fn name(&self) -> &'static str {
        "yield at more laser power"
    }

    fn items(&self) -> usize {
        self.at.len() * self.count as usize
    }

    fn width(&self) -> usize {
        3
    }

    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError> {
        let (chip, place) = (index / self.at.len(), index % self.at.len());
        let chips = &self.at[place].1;
        let rates = chips.rates(chip as u32, watch)?;
        let passed = rates.iter().filter(|(rate, _)| *rate <= chips.setting().target).count();
        // A rate that could not be computed counts as certain.
        let worst = rates.iter().map(|r| if r.0.is_nan() { 1.0 } else { r.0 }).fold(0.0, f64::max);
        Ok(vec![passed as f64, rates.len() as f64, worst])
    }

    fn outcome(&self, items: &[Vec<f64>]) -> Result<Vec<YieldPowerRow>, DeviceError> {
        let row = |(place, (margin_db, chips)): (usize, &(f64, SampledChips))| {
            let own = || items.iter().skip(place).step_by(self.at.len());
            let (passed, all) = own().fold((0.0, 0.0), |(p, a), item| (p + item[0], a + item[1]));
            let whole = own().filter(|item| item[0] == item[1]).count() as f64;
            let (mdpus, of_chips) =
                (clopper_pearson(passed, all), clopper_pearson(whole, f64::from(self.count)));
            YieldPowerRow {
                margin_db: *margin_db,
                laser_power_w: chips.setting().laser_power,
                target: chips.setting().target,
                chips: u64::from(self.count),
                mdpus_share: passed / all,
                mdpus_lower: mdpus.0,
                mdpus_upper: mdpus.1,
                chips_share: whole / f64::from(self.count),
                chips_lower: of_chips.0,
                chips_upper: of_chips.1,
                worst_rate: own().map(|item| item[2]).fold(0.0, f64::max),
            }
        };
        Ok(self.at.iter().enumerate().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::operands::Operands;
    use crate::unit::parameters::{FrontEnd, MdpuParameters};

    #[test]
    fn more_light_makes_chips_pass_and_no_power_above_the_limit_is_tried() {
        let mut p = MdpuParameters::ideal(4);
        p.detector.front_end = FrontEnd::InputNoise(1e-6);
        (p.trim.fabrication, p.trim.resolution) = (0.5, 0.012);
        let operands = [Operands::uniform(31)];
        let setting = SweepSetting {
            parameters: &p,
            laser_power: 7e-5,
            max_laser_power: 3e-4,
            target: 1e-6,
            moduli: &[31],
            operands: &operands,
            seed: 1,
        };
        let placement = Placement { units: 1, rows: 4 };
        let study = YieldPowerStudy::new(&setting, placement, 32, (3, &[0.0, 2.0, 5.0, 9.0])).unwrap();
        let items: Vec<Vec<f64>> =
            (0..study.items()).map(|i| study.item(i, Watch::default()).unwrap()).collect();
        let rows = study.outcome(&items).unwrap();
        assert_eq!(
            rows.iter().map(|r| r.margin_db).collect::<Vec<_>>(),
            [0.0, 2.0, 5.0],
            "9 dB are too much"
        );
        for pair in rows.windows(2) {
            assert!(pair[0].worst_rate > pair[1].worst_rate && pair[0].mdpus_share <= pair[1].mdpus_share);
        }
        assert_eq!(
            (rows[0].chips_share, rows[2].chips_share, rows[2].mdpus_share),
            (0.0, 1.0, 1.0),
            "{rows:?}"
        );
        // The same as the yield study counts at that power.
        let more = SweepSetting { laser_power: rows[1].laser_power_w, ..setting.clone() };
        let chips = SampledChips::new(more, placement, 32).unwrap();
        let yields = crate::YieldStudy::new(chips, 3).unwrap();
        let items: Vec<Vec<f64>> = (0..3).map(|i| yields.item(i, Watch::default()).unwrap()).collect();
        let counted = yields.outcome(&items).unwrap();
        let all = counted.rows.iter().find(|r| r.of == "mdpu" && r.modulus.is_none()).unwrap();
        assert_eq!(rows[1].mdpus_share, all.share);
    }
}
