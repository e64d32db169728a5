//! What the data say of each parameter at a minimum: covariance, and which parameters they do not determine.

use super::problem::Loss;
use super::solve::{HUBER, Minimum, Standard, Unit};
use super::{FitError, Parameter};
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// A parameter this close to the end of its range, as a share of it, and pulled outwards, stands at the end.
const AT_END: f64 = 1e-5;
/// Smallest eigenvalue of the correlations of the Jacobian's columns; below, rounding decides.
const SINGULAR: f64 = 1e-10;
/// Share of a vanishing direction that makes a parameter part of it.
const PART: f64 = 0.3;
/// Most that a block is taken to say of a direction, as a share of what all data say.
const DECISIVE: f64 = 0.9;

/// Derivatives at a minimum and what follows from them, in the unit box.
pub(super) struct Information {
    /// Parameters inside their range, by index.
    pub free: Vec<usize>,
    /// Parameters at an end of their range: index, and whether it is the upper end.
    pub ends: Vec<(usize, bool)>,
    /// Residuals' derivatives over the free parameters.
    jacobian: DMatrix<f64>,
    /// (J'J)^-1 of the free parameters.
    inverse: DMatrix<f64>,
    /// Residuals as the loss counts them, in units of the noise.
    scores: DVector<f64>,
    scale: f64,
    loss: Loss,
}

impl Information {
    /// # Errors
    /// Data that do not depend on a parameter, or only on a combination of several.
    pub fn new(standard: &Standard<'_, '_>, minimum: &Minimum, loss: Loss) -> Result<Self, FitError> {
        let scale = minimum.scale;
        let score = |r: &f64| match loss {
            Loss::Squares => r / scale,
            Loss::Huber => (r / scale).clamp(-HUBER, HUBER),
        };
        let scores = DVector::from_iterator(minimum.residuals.len(), minimum.residuals.iter().map(score));
        let all = standard.jacobian(&minimum.at);
        let (mut free, mut ends) = (Vec::new(), Vec::new());
        for (j, u) in minimum.at.iter().enumerate() {
            let pull = -all.column(j).dot(&scores);
            match (*u < AT_END && pull <= 0.0, *u > 1.0 - AT_END && pull >= 0.0) {
                (true, _) => ends.push((j, false)),
                (_, true) => ends.push((j, true)),
                _ => free.push(j),
            }
        }
        let jacobian = all.select_columns(&free);
        let inverse = invert(&jacobian, &free, &standard.problem.parameters)?;
        Ok(Self { free, ends, jacobian, inverse, scores, scale, loss })
    }

    /// The step that still leads to the minimum, in the unit box: Newton's, with the second derivative of the loss.
    pub fn step(&self, all: usize) -> Unit {
        let bread = self.bread().unwrap_or_else(|| &self.inverse / self.inside());
        let free = bread * self.jacobian.tr_mul(&self.scores) * -self.scale;
        let mut step = Unit::zeros(all);
        self.free.iter().zip(free.iter()).for_each(|(j, s)| step[*j] = *s);
        step
    }

    /// Length of that step, in standard errors of each free parameter, and as a share of its range; the larger of all, the
    /// smaller of both.
    pub fn distance(&self, step: &Unit) -> f64 {
        let errors = self.inverse.diagonal().map(|v| v.sqrt() * self.scale);
        let each =
            self.free.iter().zip(errors.iter()).map(|(j, e)| (step[*j] / e).abs().min(1e4 * step[*j].abs()));
        each.fold(0.0, f64::max)
    }

    /// Covariance of the free parameters for independent errors: s^2 (J'J)^-1, and for Huber's loss with the factor
    /// K^2 [sum psi^2/(n-p)]/(mean psi')^2, K = 1 + (p/n)(1-m)/m (Huber, Robust Statistics, 1981, sect. 7.6).
    pub fn covariance(&self) -> DMatrix<f64> {
        let (n, p) = (self.jacobian.nrows() as f64, self.jacobian.ncols() as f64);
        let factor = match self.loss {
            Loss::Squares => self.scale.powi(2),
            Loss::Huber => {
                let inside = self.inside();
                let k = 1.0 + p / n * (1.0 - inside) / inside;
                let squares = self.scores.norm_squared() / (n - p);
                (self.scale * k / inside).powi(2) * squares
            }
        };
        &self.inverse * factor
    }

    /// Covariance for independent errors whose scatter each residual tells for itself: s^2 B J' diag(psi^2/(1-h)^2) J B,
    /// B = (J' diag(psi') J)^-1, h the diagonal of J B J' (White, Econometrica 48:817, 1980; HC3 of MacKinnon and White,
    /// J. Econometrics 29:305, 1985). Nothing if what counts as squares does not determine the parameters.
    pub fn covariance_of_each(&self) -> Option<DMatrix<f64>> {
        let mut moved = &self.jacobian * self.bread()?;
        for (i, score) in self.scores.iter().enumerate() {
            // A datum that alone determines something leaves no residual, and nothing to learn from it.
            let leverage = moved.row(i).dot(&self.jacobian.row(i)).min(DECISIVE);
            moved.row_mut(i).scale_mut(self.scale * score / (1.0 - leverage));
        }
        Some(moved.transpose() * moved)
    }

    /// Covariance for errors that hang together along their runs, each block of residuals telling for itself, where it stands:
    /// (b - 1)/b sum m m', m = s (A - A_k)^-1 J_k' psi_k what the estimate moves when block k is left out, A = J' diag(psi') J and A_k the
    /// block's part of it (the jackknife that leaves out blocks; Kuensch, Ann. Statist. 17:1217, 1989). And how many independent blocks
    /// each variance rests on: 3 (sum m^2)^2/sum m^4, all if they have an equal say (Satterthwaite, Biometrics Bull. 2:110, 1946, with the fourth
    /// moment of normal m). Nothing if what counts as squares does not determine the parameters.
    pub fn covariance_of_blocks(&self, runs: &[usize], block: usize) -> Option<(DMatrix<f64>, Vec<f64>)> {
        // In units in which all data together say one of each direction.
        let unit = self.bread()?.cholesky()?.unpack();
        let jacobian = &self.jacobian * &unit;
        let counts = |score: f64| self.loss == Loss::Squares || score.abs() < HUBER;
        let (mut moved, mut start) = (Vec::new(), 0);
        for run in runs {
            let count = (run / block).max(1);
            for k in 0..count {
                let [from, to] = [k, k + 1].map(|edge| start + run * edge / count);
                let counted: Vec<usize> = (from..to).filter(|i| counts(self.scores[*i])).collect();
                let counted = jacobian.select_rows(&counted);
                let own = SymmetricEigen::new(counted.tr_mul(&counted));
                let pull = jacobian.rows(from, to - from).tr_mul(&self.scores.rows(from, to - from));
                // A block that alone determines something leaves no residual, and nothing to learn from it.
                let left = own.eigenvalues.map(|share| 1.0 - share.min(DECISIVE));
                let along = own.eigenvectors.tr_mul(&pull).component_div(&left);
                moved.push(&unit * &own.eigenvectors * along * self.scale);
            }
            start += run;
        }
        let blocks = moved.len() as f64;
        let sum =
            |power: i32| moved.iter().fold(DVector::zeros(unit.nrows()), |s, m| s + m.map(|x| x.powi(power)));
        let say =
            sum(2).zip_map(&sum(4), |squares: f64, fourth: f64| (3.0 * squares.powi(2) / fourth).min(blocks));
        let all = moved.iter().fold(DMatrix::zeros(unit.nrows(), unit.nrows()), |s, m| s + m * m.transpose());
        Some((all * ((blocks - 1.0) / blocks), say.iter().copied().collect()))
    }

    /// (J' diag(psi') J)^-1, the second derivative of the loss turned round, if there is one.
    fn bread(&self) -> Option<DMatrix<f64>> {
        if self.loss == Loss::Squares {
            return Some(self.inverse.clone());
        }
        let counted: Vec<usize> = (0..self.scores.len()).filter(|i| self.scores[*i].abs() < HUBER).collect();
        // In units of the errors, so that no parameter is small beside another.
        let unit = DMatrix::from_diagonal(&self.inverse.diagonal().map(f64::sqrt));
        let counted = self.jacobian.select_rows(&counted) * &unit;
        Some(&unit * counted.tr_mul(&counted).cholesky()?.inverse() * &unit)
    }

    /// Share of residuals that count as squares.
    fn inside(&self) -> f64 {
        match self.loss {
            Loss::Squares => 1.0,
            Loss::Huber => {
                let count = self.scores.iter().filter(|s| s.abs() < HUBER).count();
                (count.max(1) as f64) / self.scores.len() as f64
            }
        }
    }

    /// Residuals as the loss counts them.
    pub fn scores(&self) -> &[f64] {
        self.scores.as_slice()
    }

    /// What a residual, as the loss counts it, does to the free parameters: row i of J_i (J'J)^-1 s/m.
    pub fn gain(&self) -> DMatrix<f64> {
        &self.jacobian * &self.inverse * (self.scale / self.inside())
    }
}

/// (J'J)^-1 by way of the columns' correlations, whose eigenvalues do not depend on units.
fn invert(
    jacobian: &DMatrix<f64>,
    free: &[usize],
    parameters: &[Parameter],
) -> Result<DMatrix<f64>, FitError> {
    let name = |j: usize| parameters[free[j]].name.clone();
    let norms: Vec<f64> = jacobian.column_iter().map(|c| c.norm()).collect();
    let dead: Vec<String> =
        (0..free.len()).filter(|j| !(norms[*j].is_finite() && norms[*j] > 1e-300)).map(name).collect();
    if !dead.is_empty() {
        return Err(FitError::Undetermined {
            parameters: dead,
            reason: "no datum changes when it changes".into(),
        });
    }
    let gram = jacobian.tr_mul(jacobian);
    let correlations = DMatrix::from_fn(free.len(), free.len(), |i, j| gram[(i, j)] / (norms[i] * norms[j]));
    let eigen = SymmetricEigen::new(correlations);
    for (k, value) in eigen.eigenvalues.iter().enumerate() {
        if *value < SINGULAR {
            let direction = eigen.eigenvectors.column(k);
            let parameters: Vec<String> =
                (0..free.len()).filter(|j| direction[*j].abs() > PART).map(name).collect();
            let reason = "they can change together so that no datum changes".into();
            return Err(FitError::Undetermined { parameters, reason });
        }
    }
    let inverse = &eigen.eigenvectors
        * DMatrix::from_diagonal(&eigen.eigenvalues.map(f64::recip))
        * eigen.eigenvectors.transpose();
    Ok(DMatrix::from_fn(free.len(), free.len(), |i, j| inverse[(i, j)] / (norms[i] * norms[j])))
}

/// Whether a point is inside the unit box.
pub(super) fn inside_box(unit: &Unit) -> bool {
    unit.iter().all(|u| (0.0..=1.0).contains(u))
}
