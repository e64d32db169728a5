//! Following the drift of one unit of each modulus, over as many paths of the drift as a trimming is repeated.

use mirage_calibration::CalibrationError;
use mirage_calibration::trim::{Drift, Tracked, TrackedStep, track};
use mirage_devices::{Lab, SampledChips};
use serde::Serialize;

use super::rate;
use super::trials::{Benefit, Rates};
use crate::error::Result;

/// Rates at so many looks of each path stand for all.
const LOOKED: usize = 16;

/// Share of the drift that following must take off, by its own theory, for there to be something to follow.
const WORTH: f64 = 0.1;

/// One path of the drift, followed right after one trimming.
pub struct DriftTrial {
    pub modulus: u32,
    pub repeat: u32,
    /// Standard deviation of the drift's law, rad.
    deviation: f64,
    pub tracked: Tracked,
    settled: f64,
    untracked: f64,
    with: f64,
}

/// What drift leaves of a modulus.
#[derive(Debug, Clone, Serialize)]
pub struct DriftRow {
    pub modulus: u32,
    pub drift_law_rad: f64,
    pub drift_rms_rad: f64,
    pub left_rms_rad: f64,
    pub expected_rms_rad: f64,
    pub gain: f64,
    pub looks: usize,
    pub settings: u32,
    pub error_rate_settled: f64,
    pub error_rate_untracked: f64,
    pub error_rate_tracked: f64,
    pub benefit: f64,
    pub benefit_lower: f64,
    pub benefit_upper: f64,
    pub worth_following: bool,
}

/// Follows path `repeat` of the drift of a unit that was just trimmed; nothing where the design has no drift.
pub fn followed(
    chips: &SampledChips<'_>,
    (index, repeat): (usize, u32),
    lab: &mut Lab<'_>,
    looks: Drift,
    seed: u64,
) -> std::result::Result<Option<DriftTrial>, CalibrationError> {
    let deviation = lab.unit().ambient();
    if deviation == 0.0 {
        return Ok(None);
    }
    let tracked = track(lab, Drift { deviation, ..looks }, seed, repeat)?;
    let n = tracked.steps.len().max(1);
    let mut mean = |pick: fn(&TrackedStep) -> f64| {
        let looks: Vec<f64> = tracked.steps.iter().step_by(n.div_ceil(LOOKED)).map(pick).collect();
        let mut sum = 0.0;
        for &phase in &looks {
            lab.drift(phase);
            sum += rate(chips, index, lab).0;
        }
        lab.drift(0.0);
        sum / looks.len() as f64
    };
    let (untracked, with) = (mean(|s| s.drifted), mean(|s| s.left));
    let (modulus, settled) = (lab.unit().modulus(), rate(chips, index, lab).0);
    Ok(Some(DriftTrial { modulus, repeat, deviation, tracked, settled, untracked, with }))
}

/// What all paths of a modulus say; none where there is none.
pub fn row(modulus: u32, trials: &[DriftTrial]) -> Result<Option<DriftRow>> {
    let own: Vec<&DriftTrial> = trials.iter().filter(|t| t.modulus == modulus).collect();
    let Some(first) = own.first() else { return Ok(None) };
    let steps = || own.iter().flat_map(|t| &t.tracked.steps);
    let looks = steps().count();
    let rms = |pick: fn(&TrackedStep) -> f64| {
        (steps().map(|s| pick(s).powi(2)).sum::<f64>() / looks.max(1) as f64).sqrt()
    };
    let mean = |pick: fn(&DriftTrial) -> f64| own.iter().map(|t| pick(t)).sum::<f64>() / own.len() as f64;
    let expected_rms_rad = mean(|t| t.tracked.expected.powi(2)).sqrt();
    let of = |pick: fn(&DriftTrial) -> f64| -> Result<f64> {
        Ok(Rates::of(&[own.iter().map(|t| pick(t)).collect()])?.all.mean)
    };
    let benefit = Benefit::of(&[own.iter().map(|t| (t.untracked, t.with)).collect()])?;
    Ok(Some(DriftRow {
        modulus,
        drift_law_rad: first.deviation,
        drift_rms_rad: rms(|s| s.drifted),
        left_rms_rad: rms(|s| s.left),
        expected_rms_rad,
        gain: mean(|t| t.tracked.gain),
        looks,
        settings: own.iter().map(|t| t.tracked.settings).sum(),
        error_rate_settled: of(|t| t.settled)?,
        error_rate_untracked: of(|t| t.untracked)?,
        error_rate_tracked: of(|t| t.with)?,
        benefit: benefit.factor,
        benefit_lower: benefit.lower,
        benefit_upper: benefit.upper,
        worth_following: expected_rms_rad < (1.0 - WORTH) * first.deviation,
    }))
}

impl DriftRow {
    /// What following did, and whether there is anything to follow.
    pub fn words(&self) -> String {
        let benefit = Benefit { factor: self.benefit, lower: self.benefit_lower, upper: self.benefit_upper };
        let [law, drift, left, theory] =
            [self.drift_law_rad, self.drift_rms_rad, self.left_rms_rad, self.expected_rms_rad]
                .map(|x| 1e3 * x);
        let theory = if self.worth_following {
            format!("theory {theory:.2} of {law:.2}")
        } else {
            format!(
                "nothing to follow: by theory {theory:.2} of {law:.2} mrad would be left, for the step of the trims and the noise of looks"
            )
        };
        format!(
            "modulus {}: drift of {drift:.2} mrad rms is followed to {left:.2} mrad ({theory}), the arm set {} times in {} looks; error rate {:.1e} \
             without following, {:.1e} with: {}",
            self.modulus,
            self.settings,
            self.looks,
            self.error_rate_untracked,
            self.error_rate_tracked,
            benefit.words()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(repeat: u32, (drifted, left): (f64, f64), expected: f64, rates: (f64, f64)) -> DriftTrial {
        let steps = vec![TrackedStep { time: 0.0, drifted, left }; 4];
        let tracked = Tracked { steps, gain: 0.1, reading: 1e-3, expected, settings: 1 };
        DriftTrial {
            modulus: 31,
            repeat,
            deviation: 2e-3,
            tracked,
            settled: 1e-9,
            untracked: rates.0,
            with: rates.1,
        }
    }

    #[test]
    fn a_drift_below_the_steps_is_nothing_to_follow() {
        let lucky = [(1.0e-9, 1.3e-9), (1.2e-9, 1.0e-9), (1.1e-9, 1.2e-9)];
        let trials: Vec<DriftTrial> =
            lucky.iter().zip(0..).map(|(r, i)| trial(i, (6e-4, 6e-4), 1.9e-3, *r)).collect();
        let found = row(31, &trials).unwrap().unwrap();
        assert!(!found.worth_following && found.looks == 12 && found.settings == 3);
        let words = found.words();
        assert!(words.contains("nothing to follow") && words.contains("within the scatter"), "{words}");
        let far: Vec<DriftTrial> = (0..3).map(|i| trial(i, (2e-3, 6e-4), 6e-4, (3e-9, 1e-9))).collect();
        let found = row(31, &far).unwrap().unwrap();
        assert!(found.worth_following && found.words().contains("3.00 times less"), "{}", found.words());
        assert!(row(32, &far).unwrap().is_none());
    }
}
