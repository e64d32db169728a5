//! From a start to a minimum: bounded Levenberg-Marquardt, with the scale of the noise found on the way.

use super::problem::{Loss, Problem};
use crate::quantile::median;
use basin::{
    BoundedLevenbergMarquardt, BoxBounds, ConstraintDescription, ConstraintSet, Constraints, CostFunction,
    Executor, HuberLoss, Jacobian, PointState, Residual, RobustLeastSquares, SquaredLoss, TerminationCode,
};
use nalgebra::{DMatrix, DVector};
use std::convert::Infallible;

/// Huber's constant: 95 % efficiency on normal noise.
pub(super) const HUBER: f64 = 1.345;
/// Median of |x| of a standard normal x, and so its upper quartile.
pub(crate) const MEDIAN_OF_NORMAL: f64 = 0.674_489_750_196_081_7;
/// Step of the central differences, as a share of a parameter's range.
const STEP: f64 = 1e-6;
/// Step of the one-sided differences.
const SIDE: f64 = 1e-8;
/// Data from which on a descent takes long.
const COSTLY: usize = 1000;
const ITERATIONS: u64 = 100;
/// Rounds in which minimum and scale of the noise settle together.
const ROUNDS: usize = 6;

/// A point of the unit box that the ranges are mapped to.
pub(super) type Unit = DVector<f64>;

/// The problem in the unit box, residuals over their spread.
pub(super) struct Standard<'p, 'a> {
    pub problem: &'p Problem<'a>,
    lower: Unit,
    upper: Unit,
    /// Deviations from the data below this cannot be told from rounding, in standard deviations.
    grain: f64,
}

/// A minimum.
#[derive(Debug, Clone)]
pub(super) struct Minimum {
    pub at: Unit,
    /// (model - data) / spread.
    pub residuals: Vec<f64>,
    /// Scale of the noise in units of the spread: one where it is known.
    pub scale: f64,
    /// Why the solver stopped, if that was not a minimum.
    pub complaint: Option<String>,
}

impl<'p, 'a> Standard<'p, 'a> {
    pub fn new(problem: &'p Problem<'a>) -> Self {
        let n = problem.parameters.len();
        let largest = (0..problem.data.len()).map(|i| problem.data[i].abs() / problem.spread.at(i));
        let grain = 1e-12 * largest.fold(0.0, f64::max);
        Self { problem, lower: Unit::zeros(n), upper: Unit::from_element(n, 1.0), grain: grain.max(1e-300) }
    }

    /// Whether there are so many data that descents are to be saved.
    pub fn costly(&self) -> bool {
        self.problem.data.len() >= COSTLY
    }

    pub fn physical(&self, unit: &Unit) -> Vec<f64> {
        self.problem.parameters.iter().zip(unit.iter()).map(|(p, u)| p.at(*u)).collect()
    }

    pub fn unit(&self, values: &[f64]) -> Unit {
        let share = |(p, v): (&super::Parameter, &f64)| (v - p.low) / (p.high - p.low);
        Unit::from_iterator(values.len(), self.problem.parameters.iter().zip(values).map(share))
    }

    pub fn residuals(&self, unit: &Unit) -> DVector<f64> {
        let p = self.problem;
        let mut out = DVector::zeros(p.data.len());
        (p.model)(&self.physical(unit), out.as_mut_slice());
        for (i, r) in out.iter_mut().enumerate() {
            *r = (*r - p.data[i]) / p.spread.at(i);
        }
        out
    }

    /// Derivatives of the residuals over the unit box on the way to a minimum: one-sided differences, at half the cost.
    fn slopes(&self, unit: &Unit) -> DMatrix<f64> {
        let here = self.residuals(unit);
        let mut all = DMatrix::zeros(self.problem.data.len(), unit.len());
        for (j, mut column) in all.column_iter_mut().enumerate() {
            let mut moved = unit.clone();
            moved[j] += if unit[j] < 0.5 { SIDE } else { -SIDE };
            let step = moved[j] - unit[j];
            column.copy_from(&((self.residuals(&moved) - &here) / step));
        }
        all
    }

    /// Derivatives of the residuals over the unit box, by central differences that stay inside it.
    pub fn jacobian(&self, unit: &Unit) -> DMatrix<f64> {
        let mut all = DMatrix::zeros(self.problem.data.len(), unit.len());
        for (j, mut column) in all.column_iter_mut().enumerate() {
            let (low, high) = ((unit[j] - STEP).max(0.0), (unit[j] + STEP).min(1.0));
            let at = |x: f64| {
                let mut moved = unit.clone();
                moved[j] = x;
                self.residuals(&moved)
            };
            column.copy_from(&((at(high) - at(low)) / (high - low)));
        }
        all
    }

    /// Follows a start to its minimum; `rough` is for a first look. `None` where the model has no value at the start.
    pub fn minimise(&self, start: &Unit, loss: Loss, rough: bool) -> Option<Minimum> {
        let mut residuals = self.residuals(start);
        if !residuals.iter().all(|r| r.is_finite()) {
            return None;
        }
        let mut at = start.clone();
        let mut scale = self.scale(residuals.as_slice(), loss);
        let mut complaint = None;
        for _ in 0..if rough { 2 } else { ROUNDS } {
            let (next, problem) = self.descend(at, scale, loss, if rough { 1e-4 } else { 1e-8 });
            at = next;
            complaint = problem;
            residuals = self.residuals(&at);
            let settled = self.scale(residuals.as_slice(), loss);
            let moved = (settled / scale - 1.0).abs();
            scale = settled;
            // Squares have the same minimum at any scale.
            if moved < 1e-3 || loss == Loss::Squares {
                break;
            }
        }
        Some(Minimum { at, residuals: residuals.as_slice().to_vec(), scale, complaint })
    }

    /// A Gauss-Newton step taken as it is: at a minimum, with the scale of the noise there. `None` where it leaves the box or
    /// the model.
    pub fn step(&self, from: &Minimum, step: &Unit, loss: Loss) -> Option<Minimum> {
        let at = &from.at + step;
        if at.iter().all(|u| (0.0..=1.0).contains(u)) { self.at(&at, loss) } else { None }
    }

    /// A point as it is. `None` where the model has no value.
    pub fn at(&self, point: &Unit, loss: Loss) -> Option<Minimum> {
        let residuals = self.residuals(point);
        let scale = self.scale(residuals.as_slice(), loss);
        let known = residuals.iter().all(|r| r.is_finite());
        let residuals = residuals.as_slice().to_vec();
        known.then(|| Minimum { at: point.clone(), residuals, scale, complaint: None })
    }

    /// Scale of the noise: the median of the residuals under Huber's loss, else their root mean square.
    fn scale(&self, residuals: &[f64], loss: Loss) -> f64 {
        if matches!(self.problem.spread, super::Spread::Known(_)) {
            return 1.0;
        }
        let free = residuals.len().saturating_sub(self.problem.parameters.len()).max(1) as f64;
        let scale = match loss {
            Loss::Squares => (residuals.iter().map(|r| r * r).sum::<f64>() / free).sqrt(),
            Loss::Huber => {
                let sizes: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
                // As for the root mean square, what the parameters took must be given back.
                let lost = (residuals.len() as f64 / free).sqrt();
                median(sizes) / MEDIAN_OF_NORMAL * lost
            }
        };
        scale.max(self.grain)
    }

    fn descend(&self, start: Unit, scale: f64, loss: Loss, tolerance: f64) -> (Unit, Option<String>) {
        // In units of the noise the cost is of the order of the number of data, whatever they are.
        let raw = Scaled { standard: self, scale };
        let state = PointState::new(start.clone());
        macro_rules! run {
            ($loss:expr, $reach:expr) => {{
                let solver = BoundedLevenbergMarquardt::<Unit, DMatrix<f64>>::new()
                    .with_absolute_scaled_gradient_tolerance(1e-8)
                    .with_relative_cost_change_tolerance::<f64>(tolerance);
                let robust = RobustLeastSquares::new(raw, $loss).with_scale($reach);
                Executor::new(robust, solver, state).max_iter(ITERATIONS).run()
            }};
        }
        let run = match loss {
            Loss::Huber => run!(HuberLoss, HUBER),
            Loss::Squares => run!(SquaredLoss, 1.0),
        };
        match run {
            Ok(found) => {
                let complaint = complaint(found.report.code());
                (found.param().clone(), complaint)
            }
            Err(error) => (start, Some(error.to_string())),
        }
    }
}

/// What a termination says against the point where it stopped. Whether that is a minimum is for its gradient to say.
fn complaint(code: TerminationCode) -> Option<String> {
    match code {
        TerminationCode::MaxIter => Some(format!("{ITERATIONS} steps were not enough")),
        TerminationCode::SolverFailed => Some("the equations of a step could not be solved".into()),
        TerminationCode::SolverConverged
        | TerminationCode::RelativeCostTolerance
        | TerminationCode::NumericalNoProgress => None,
        other => Some(format!("stopped for an unexpected reason: {other:?}")),
    }
}

/// Residuals in units of the noise, as the solver wants them.
struct Scaled<'s, 'p, 'a> {
    standard: &'s Standard<'p, 'a>,
    scale: f64,
}

impl Constraints for Scaled<'_, '_, '_> {
    type Set = ConstraintSet<BoxBounds<Unit>>;

    fn constraints(&self) -> <Self::Set as ConstraintDescription>::Borrowed<'_> {
        let bounds = BoxBounds::new(Some(&self.standard.lower), Some(&self.standard.upper));
        ConstraintSet::new().with_bounds(bounds)
    }
}

impl CostFunction for Scaled<'_, '_, '_> {
    type Param = Unit;
    type Output = f64;
    type Error = Infallible;

    fn cost(&self, at: &Unit) -> Result<f64, Infallible> {
        Ok(0.5 * self.residual(at)?.norm_squared())
    }
}

impl Residual for Scaled<'_, '_, '_> {
    type Param = Unit;
    type Output = DVector<f64>;
    type Error = Infallible;

    fn residual(&self, at: &Unit) -> Result<DVector<f64>, Infallible> {
        Ok(self.standard.residuals(at) / self.scale)
    }
}

impl Jacobian for Scaled<'_, '_, '_> {
    type Jacobian = DMatrix<f64>;

    fn jacobian(&self, at: &Unit) -> Result<DMatrix<f64>, Infallible> {
        Ok(self.standard.slopes(at) / self.scale)
    }
}
