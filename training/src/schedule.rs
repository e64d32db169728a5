//! How the learning rate changes in the course of a run.

/// A learning-rate schedule: a factor on the learning rate for each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its shape after the warm-up.
    pub shape: ScheduleShape,
    /// Epochs (and parts of them) over which the rate rises in a straight line: step s of W, counted from 0, gets (s + 1) / W
    /// (Goyal et al., arXiv 1706.02677, section 2.2). 0 for none.
    pub warm_up: f64,
}

/// The factor on the learning rate over the run.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleShape {
    /// 1.
    Constant,
    /// Multiplied by `factor` after each of these numbers of epochs.
    Step {
        /// Epochs after which the rate falls.
        milestones: Vec<u32>,
        /// What it is multiplied by.
        factor: f64,
    },
    /// From 1 after the warm-up to `floor` at the end: floor + (1 - floor) (1 + cos(pi t)) / 2, t from 0 to 1
    /// (Loshchilov & Hutter, ICLR 2017, equation 5, without restarts).
    Cosine {
        /// What is left at the end.
        floor: f64,
    },
}

impl Default for Schedule {
    /// A constant rate from the first step.
    fn default() -> Self {
        Self { shape: ScheduleShape::Constant, warm_up: 0.0 }
    }
}

impl Schedule {
    /// The factor for a step, counted from 0, of a run of `epochs` epochs with `per_epoch` steps each.
    pub fn factor(&self, step: u64, per_epoch: u64, epochs: u32) -> f64 {
        let warm_up = self.warm_up * per_epoch as f64;
        let rise = if warm_up > 0.0 { ((step + 1) as f64 / warm_up).min(1.0) } else { 1.0 };
        let after = match &self.shape {
            ScheduleShape::Constant => 1.0,
            ScheduleShape::Step { milestones, factor } => {
                let epoch = step / per_epoch.max(1);
                let passed = milestones.iter().filter(|&&milestone| u64::from(milestone) <= epoch).count();
                (0..passed).fold(1.0, |product, _| product * factor)
            }
            ScheduleShape::Cosine { floor } => {
                let total = (per_epoch * u64::from(epochs)) as f64 - warm_up;
                let done = ((step as f64 - warm_up) / total.max(1.0)).clamp(0.0, 1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))
            }
        };
        rise * after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(shape: ScheduleShape, warm_up: f64) -> Vec<f64> {
        let schedule = Schedule { shape, warm_up };
        (0..40).map(|step| schedule.factor(step, 10, 4)).collect()
    }

    #[test]
    fn a_constant_rate_is_untouched() {
        assert_eq!(factors(ScheduleShape::Constant, 0.0), [1.0; 40]);
    }

    #[test]
    fn the_rate_falls_at_milestones() {
        let got = factors(ScheduleShape::Step { milestones: vec![1, 3], factor: 0.1 }, 0.0);
        let at = |range: std::ops::Range<usize>, want: f64| {
            assert!(got[range].iter().all(|x| (x - want).abs() < 1e-15), "{got:?}");
        };
        at(0..10, 1.0);
        at(10..30, 0.1);
        at(30..40, 0.01);
    }

    #[test]
    fn a_cosine_warms_up_and_falls_to_its_floor() {
        let got = factors(ScheduleShape::Cosine { floor: 0.2 }, 0.5);
        for (step, want) in [0.2, 0.4, 0.6, 0.8, 1.0, 1.0].into_iter().enumerate() {
            assert!((got[step] - want).abs() < 1e-12, "{got:?}");
        }
        // The middle of the 35 steps after five of warm-up lies between steps 22 and 23.
        assert!((0.5 * (got[22] + got[23]) - 0.6).abs() < 1e-12);
        assert!(got[5..].windows(2).all(|pair| pair[1] < pair[0]));
        // One more step would reach the floor: a sine of pi / 35 squared short of it.
        let last = 0.2 + 0.8 * (std::f64::consts::PI / 70.0).sin().powi(2);
        assert!((got[39] - last).abs() < 1e-12);
    }
}
