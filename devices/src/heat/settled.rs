//! The settled state under drive, and the way there.

use crate::error::DeviceError;
use crate::heat::ThermalMatrix;
use nalgebra::{DMatrix, DVector};

/// Settled phases of the guides for drives of `drives` rad (the phase of each heater's own guide, alone and cold).
///
/// A voltage gives the power d/(1 + kappa theta), where theta is the phase of the heater's own guide and stands for its
/// temperature, and kappa (`feedback`, 1/rad) is the temperature coefficient of resistance over the phase per kelvin; zero
/// for heaters driven by power, and the phases are then A d. One heater alone has kappa theta^2 + theta = d.
/// Solved by Newton's method, which rises to the only solution from below since A and d are not negative.
///
/// # Errors
/// A matrix that is not square, another number of drives, negative drives or feedback, or no solution found.
pub fn settle(
    matrix: &ThermalMatrix,
    drives: &DVector<f64>,
    feedback: f64,
) -> Result<DVector<f64>, DeviceError> {
    let all = matrix.with_own()?;
    if drives.len() != all.ncols() {
        let problem = format!("drives for {} heaters", all.ncols());
        return Err(DeviceError::Parameter { name: "heat.drives", value: drives.len() as f64, problem });
    }
    if !(feedback.is_finite() && feedback >= 0.0) {
        return Err(DeviceError::parameter("heat.feedback", feedback, "must be finite and not negative"));
    }
    if feedback == 0.0 {
        return Ok(all * drives);
    }
    if let Some(&drive) = drives.iter().find(|d| !(d.is_finite() && **d >= 0.0)) {
        return Err(DeviceError::parameter("heat.drive", drive, "heaters only heat: must not be negative"));
    }
    let mut phase = DVector::zeros(drives.len());
    for _ in 0..100 {
        let power = drives.zip_map(&phase, |d: f64, theta: f64| d / (1.0 + feedback * theta));
        let slope =
            drives.zip_map(&phase, |d: f64, theta: f64| feedback * d / (1.0 + feedback * theta).powi(2));
        let excess = &phase - &all * power;
        let jacobian = DMatrix::identity(drives.len(), drives.len()) + &all * DMatrix::from_diagonal(&slope);
        let Some(step) = jacobian.lu().solve(&excess) else { break };
        // A step beyond absolute zero of the model is halved back: 1 + kappa theta stays positive.
        phase = (&phase - &step).map(|theta: f64| theta.max(0.0));
        if step.amax() < 1e-13 * (1.0 + phase.amax()) {
            return Ok(phase);
        }
    }
    Err(DeviceError::parameter("heat.feedback", feedback, "the settled state was not found in 100 steps"))
}

/// First-order response of the guides' phases: each approaches its settled value as e^{-t/tau}.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    time_constant: f64,
    phases: DVector<f64>,
    target: DVector<f64>,
}

impl Response {
    /// At rest at `phases` rad, with a time constant in seconds.
    ///
    /// # Errors
    /// A time constant that is not positive and finite.
    pub fn new(time_constant: f64, phases: DVector<f64>) -> Result<Self, DeviceError> {
        if !(time_constant.is_finite() && time_constant > 0.0) {
            let problem = "must be finite and greater than zero";
            return Err(DeviceError::parameter("heat.time_constant", time_constant, problem));
        }
        Ok(Response { time_constant, target: phases.clone(), phases })
    }

    /// Drives changed: from now on the phases approach `settled`.
    ///
    /// # Errors
    /// Another number of phases.
    pub fn drive(&mut self, settled: DVector<f64>) -> Result<(), DeviceError> {
        if settled.len() != self.phases.len() {
            let problem = format!("settled phases for {} guides", self.phases.len());
            return Err(DeviceError::Parameter {
                name: "heat.settled",
                value: settled.len() as f64,
                problem,
            });
        }
        self.target = settled;
        Ok(())
    }

    /// `time` seconds later: exact for any step.
    pub fn advance(&mut self, time: f64) -> &DVector<f64> {
        let left = (-time / self.time_constant).exp();
        self.phases = &self.target + (&self.phases - &self.target) * left;
        &self.phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heat::Layout;

    #[test]
    fn one_heater_solves_its_quadratic() {
        let matrix = ThermalMatrix::new(DMatrix::zeros(1, 1));
        for (drive, feedback) in [(3.0, 0.05), (0.0, 0.3), (20.0, 1.5)] {
            let theta = settle(&matrix, &DVector::from_element(1, drive), feedback).unwrap()[0];
            let exact = ((1.0f64 + 4.0 * feedback * drive).sqrt() - 1.0) / (2.0 * feedback);
            assert!((theta - exact).abs() < 1e-12, "{theta} {exact}");
        }
    }

    #[test]
    fn the_settled_state_satisfies_its_equation() {
        let layout = Layout::rows(2, 20, 40e-6, 100e-6);
        let matrix = ThermalMatrix::by_distance(&layout, 0.05, 50e-6);
        let drives = DVector::from_fn(40, |i, _| f64::from(i as u32 % 7));
        for feedback in [0.0, 0.02, 0.4] {
            let theta = settle(&matrix, &drives, feedback).unwrap();
            for i in 0..40 {
                let sum: f64 = (0..40)
                    .map(|j| {
                        let share = if i == j { 1.0 } else { matrix.entries()[(i, j)] };
                        share * drives[j] / (1.0 + feedback * theta[j])
                    })
                    .sum();
                assert!((theta[i] - sum).abs() < 1e-11, "{feedback} {i}");
            }
        }
        let cold = settle(&matrix, &-drives, 0.1).unwrap_err().to_string();
        assert!(cold.contains("heaters only heat"), "{cold}");
    }

    #[test]
    fn response_is_exact_and_has_the_square_waves_ripple() {
        let one = |x: f64| DVector::from_element(1, x);
        let (mut coarse, mut fine) =
            (Response::new(2e-6, one(0.0)).unwrap(), Response::new(2e-6, one(0.0)).unwrap());
        coarse.drive(one(1.0)).unwrap();
        fine.drive(one(1.0)).unwrap();
        let end = coarse.advance(3e-6)[0];
        for _ in 0..300 {
            fine.advance(1e-8);
        }
        assert!((end - (1.0 - (-1.5f64).exp())).abs() < 1e-14 && (fine.phases[0] - end).abs() < 1e-12);
        // A square wave of half period h settles between 1/(1 + e^{h/tau}) and 1/(1 + e^{-h/tau}).
        for k in 0..60 {
            coarse.drive(one(f64::from(k % 2))).unwrap();
            coarse.advance(1e-6);
        }
        assert!((coarse.phases[0] - 1.0 / (1.0 + (-0.5f64).exp())).abs() < 1e-12);
        assert!(Response::new(0.0, one(0.0)).is_err() && coarse.drive(DVector::zeros(2)).is_err());
    }
}
