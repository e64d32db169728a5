//! The distribution of operands over which a unit is characterised.

use crate::error::DeviceError;

/// Probabilities of the operands of one modulus: stationary *levels* (after the slip code) and streamed residues.
#[derive(Debug, Clone, PartialEq)]
pub struct Operands {
    name: String,
    stationary: Vec<f64>,
    streaming: Vec<f64>,
    groups: Vec<Group>,
}

/// Stationary levels and streamed residues of one read, MMU by MMU.
pub type Group = (Vec<usize>, Vec<usize>);

impl Operands {
    /// Uniform residues.
    pub fn uniform(modulus: u32) -> Self {
        let m = modulus as usize;
        let each = vec![1.0 / f64::from(modulus); m];
        Operands {
            name: "uniform residues".into(),
            stationary: each.clone(),
            streaming: each,
            groups: Vec::new(),
        }
    }

    /// Probabilities handed in, for example from a histogram of a training run; `name` goes into every result file.
    ///
    /// # Errors
    /// Lengths that are not the modulus, negative or not finite entries, sums off one by more than 1e-6.
    pub fn new(
        name: &str,
        modulus: u32,
        stationary: Vec<f64>,
        streaming: Vec<f64>,
    ) -> Result<Self, DeviceError> {
        let fail = |problem: String| DeviceError::Operands { name: name.to_string(), modulus, problem };
        for (kind, list) in [("stationary levels", &stationary), ("streamed residues", &streaming)] {
            if list.len() != modulus as usize {
                return Err(fail(format!("{} probabilities of {kind}, {modulus} expected", list.len())));
            }
            if let Some(index) = list.iter().position(|p| !(p.is_finite() && *p >= 0.0)) {
                return Err(fail(format!("probability {index} of {kind} is {}", list[index])));
            }
            let sum: f64 = list.iter().sum();
            if (sum - 1.0).abs() > 1e-6 {
                return Err(fail(format!("probabilities of {kind} sum to {sum}")));
            }
        }
        Ok(Operands { name: name.to_string(), stationary, streaming, groups: Vec::new() })
    }

    /// From a sample of whole reads, each as likely as the others. The probabilities of single operands are those of the
    /// sample; averages run over its reads, since operands of a group depend on each other.
    ///
    /// # Errors
    /// No groups, groups of different sizes, operands that are not below the modulus.
    pub fn sampled(name: &str, modulus: u32, groups: Vec<Group>) -> Result<Self, DeviceError> {
        let fail = |problem: String| DeviceError::Operands { name: name.to_string(), modulus, problem };
        let size = groups.first().map_or(0, |g| g.0.len());
        if size == 0 {
            return Err(fail("a sample of at least one group is needed".into()));
        }
        let (mut stationary, mut streaming) = (vec![0.0; modulus as usize], vec![0.0; modulus as usize]);
        let each = 1.0 / (groups.len() * size) as f64;
        for (w, x) in &groups {
            if w.len() != size || x.len() != size {
                return Err(fail(format!("groups of {size} operands and of others")));
            }
            for (list, operands) in [(&mut stationary, w), (&mut streaming, x)] {
                for &operand in operands {
                    *list.get_mut(operand).ok_or_else(|| fail(format!("operand {operand} in a group")))? +=
                        each;
                }
            }
        }
        Ok(Operands { groups, ..Self::new(name, modulus, stationary, streaming)? })
    }

    /// The sampled reads; empty where operands are independent.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Probability of each stationary level.
    pub fn stationary(&self) -> &[f64] {
        &self.stationary
    }

    /// Probability of each streamed residue.
    pub fn streaming(&self) -> &[f64] {
        &self.streaming
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lists_are_refused() {
        let good = vec![0.5, 0.25, 0.25];
        assert!(Operands::new("x", 3, good.clone(), good.clone()).is_ok());
        for bad in [vec![0.5, 0.5], vec![0.5, 0.6, -0.1], vec![0.5, 0.2, 0.2], vec![f64::NAN, 0.5, 0.5]] {
            assert!(Operands::new("x", 3, good.clone(), bad).is_err());
        }
    }
}
