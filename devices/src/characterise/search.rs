//! Searches among candidates sorted from loose to tight.

use crate::error::DeviceError;

/// Tries a value: what it gives if it holds.
pub(crate) type Trial<'a, T> = &'a dyn Fn(f64) -> Result<Option<T>, DeviceError>;

/// Index of the candidate that was found, and what its trial gave.
pub(crate) type Found<T> = Option<(usize, T)>;

/// The first candidate that holds, where holding does not rise with tightness.
pub(crate) fn first_that_holds<T>(candidates: &[f64], trial: Trial<T>) -> Result<Found<T>, DeviceError> {
    for (at, &value) in candidates.iter().enumerate() {
        if let Some(result) = trial(value)? {
            return Ok(Some((at, result)));
        }
    }
    Ok(None)
}

/// The loosest candidate that holds, where every tighter one holds too.
pub(crate) fn bisect<T>(candidates: &[f64], trial: Trial<T>) -> Result<Found<T>, DeviceError> {
    let (mut fails, mut holds) = (0, candidates.len());
    let mut best = None;
    while fails < holds {
        let middle = (fails + holds) / 2;
        match trial(candidates[middle])? {
            Some(result) => {
                best = Some((middle, result));
                holds = middle;
            }
            None => fails = middle + 1,
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_find_the_loosest() {
        let candidates: Vec<f64> = (0..37).map(f64::from).collect();
        for limit in [0.0, 1.0, 17.0, 36.0] {
            let trial = |v: f64| Ok((v >= limit).then_some(v));
            let expected = Some((limit as usize, limit));
            assert_eq!(bisect(&candidates, &trial).unwrap(), expected);
            assert_eq!(first_that_holds(&candidates, &trial).unwrap(), expected);
        }
        assert_eq!(bisect(&candidates, &|_| Ok(None::<()>)).unwrap(), None);
    }
}
