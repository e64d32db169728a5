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

/// How [`crossing`] looks for the other side: its first step, and what each further one is times the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stride {
    pub first: usize,
    pub times: usize,
}

/// The candidate, of `count`, at which a score comes to zero or below while that of the next looser one is above: the loosest
/// that holds where the score falls with tightness, and one that holds beside one that does not in any case. `None` if the
/// search ends at the tightest and that does not hold.
///
/// From `start` in growing steps until the other side is seen; between both sides by false position, and by halves where that
/// does not shrink the bracket.
pub(crate) fn crossing(
    count: usize,
    start: usize,
    stride: Stride,
    score: &mut dyn FnMut(usize) -> Result<f64, DeviceError>,
) -> Result<Option<usize>, DeviceError> {
    let (mut at, mut step) = (start.min(count - 1), stride.first);
    let mut here = score(at)?;
    loop {
        let before = (at, here);
        if here > 0.0 {
            if at + 1 == count {
                return Ok(None);
            }
            at = (at + step).min(count - 1);
        } else {
            if at == 0 {
                return Ok(Some(0));
            }
            at = at.saturating_sub(step);
        }
        here = score(at)?;
        match (before.1 > 0.0, here > 0.0) {
            (true, false) => return between(before, (at, here), score).map(Some),
            (false, true) => return between((at, here), before, score).map(Some),
            _ => step *= stride.times,
        }
    }
}

/// [`crossing`] between a candidate that fails and a tighter one that holds.
fn between(
    (mut fails, mut above): (usize, f64),
    (mut holds, mut below): (usize, f64),
    score: &mut dyn FnMut(usize) -> Result<f64, DeviceError>,
) -> Result<usize, DeviceError> {
    let mut slow = 0;
    while fails + 1 < holds {
        let width = holds - fails;
        let share = if slow < 2 { above / (above - below) } else { 0.5 };
        let at = (fails + (share * width as f64).round() as usize).clamp(fails + 1, holds - 1);
        let here = score(at)?;
        if here > 0.0 {
            (fails, above) = (at, here);
        } else {
            (holds, below) = (at, here);
        }
        slow = if 2 * (holds - fails) > width { slow + 1 } else { 0 };
    }
    Ok(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crossing_is_found_from_anywhere_in_few_steps() {
        let count = 541;
        // Like an error rate over a tolerance: flat at the top, steep, and flat again.
        let curve = |limit: f64, at: usize| 18.0 * ((limit - 0.5 - at as f64) / 40.0).tanh() + 1e-9;
        let mut most = 0;
        for limit in [1usize, 2, 77, 300, 539, 540] {
            for start in [0, 1, 76, 77, 299, 300, 302, 540, 900] {
                for stride in [Stride { first: 4, times: 2 }, Stride { first: 1, times: 2 }] {
                    let mut asked = 0;
                    let mut score = |at: usize| {
                        asked += 1;
                        Ok(curve(limit as f64, at))
                    };
                    assert_eq!(crossing(count, start, stride, &mut score).unwrap(), Some(limit), "{start}");
                    most = asked.max(most);
                }
            }
        }
        assert!(most <= 22, "{most}");
        let always =
            |value: f64| crossing(count, 200, Stride { first: 1, times: 2 }, &mut |_| Ok(value)).unwrap();
        assert_eq!((always(1.0), always(-1.0)), (None, Some(0)));
        // Not monotonic: still one that holds beside one that does not.
        let wavy = |at: usize| if (at / 7).is_multiple_of(2) { 1.0 } else { -1.0 };
        for stride in [Stride { first: 1, times: 1 }, Stride { first: 5, times: 2 }] {
            for start in 0..40 {
                let at = crossing(40, start, stride, &mut |at| Ok(wavy(at))).unwrap().unwrap();
                assert!(wavy(at) <= 0.0 && wavy(at - 1) > 0.0, "{start} {at}");
            }
        }
    }

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
