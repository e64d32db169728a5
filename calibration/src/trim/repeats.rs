//! Repeats of the same trimming with other noise, and what they scatter by.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean over units and over repeats of their trimming, for these units: of its error the noise of the repeats alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repeated {
    /// Mean over units and repeats.
    pub mean: f64,
    /// Standard error from the scatter of each unit's repeats about their own mean.
    pub error: f64,
    /// Half the 95 % interval of the mean: the error times Student's t, a degree of freedom lost for each unit.
    pub reach: f64,
}

impl Repeated {
    /// Of the repeats of each unit; none without a unit, or where the units have not all the same number of repeats, two or more.
    pub fn of(units: &[Vec<f64>]) -> Option<Self> {
        let repeats = units.first()?.len();
        if repeats < 2 || units.iter().any(|unit| unit.len() != repeats) {
            return None;
        }
        let (u, n) = (units.len() as f64, repeats as f64);
        let own_mean = |unit: &Vec<f64>| unit.iter().sum::<f64>() / n;
        let squares = |unit: &Vec<f64>| {
            let mean = own_mean(unit);
            unit.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
        };
        let freedom = u * (n - 1.0);
        let error = (units.iter().map(squares).sum::<f64>() / freedom / (u * n)).sqrt();
        let t = StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(0.975));
        Some(Repeated { mean: units.iter().map(own_mean).sum::<f64>() / u, error, reach: t * error })
    }

    /// Whether `value` lies within the scatter: inside the 95 % interval.
    pub fn covers(&self, value: f64) -> bool {
        (self.mean - value).abs() <= self.reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_may_differ_and_repeats_tell_the_error() {
        let found = Repeated::of(&[vec![1.0, 3.0], vec![10.0, 14.0]]).unwrap();
        // Squares 2 and 8 over two degrees of freedom: variance 5; of a mean of four 1.25. t at two degrees of freedom: 4.3027 (tables).
        assert_eq!((found.mean, found.error), (7.0, 1.25f64.sqrt()));
        assert!((found.reach / found.error - 4.302_653).abs() < 1e-5);
        assert!(found.covers(7.0 + 4.8) && !found.covers(7.0 - 4.9));
        assert!(Repeated::of(&[]).is_none() && Repeated::of(&[vec![1.0]]).is_none());
        assert!(Repeated::of(&[vec![1.0, 2.0], vec![1.0]]).is_none());
    }

    #[test]
    fn the_interval_holds_the_mean_as_often_as_it_says() {
        use crate::draws::{Domain, generator, normals};
        let mut draws = normals(generator(8, Domain::Drift, 0));
        let trials = 4000;
        let mut unit = |at: f64| draws.by_ref().take(4).map(|x| at + x).collect::<Vec<f64>>();
        let held =
            (0..trials).filter(|_| Repeated::of(&[unit(-3.0), unit(5.0)]).unwrap().covers(1.0)).count();
        let share = held as f64 / f64::from(trials);
        assert!((share - 0.95).abs() < 4.0 * (0.95 * 0.05 / f64::from(trials)).sqrt(), "{share}");
    }
}
