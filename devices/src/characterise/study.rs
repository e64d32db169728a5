//! Long work in independent items: stopped and taken up again, with the same result either way.

use crate::characterise::bench::Watch;
use crate::error::DeviceError;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A question that is answered by items which do not depend on each other.
///
/// An item is a plain list of numbers, so that a caller can keep it in any form that gives back the same bits (the shortest
/// decimal form of each number does, when it is read by a parser that rounds correctly).
pub trait Study: Sync {
    /// What all items together say.
    type Outcome;

    /// A word for it, used in progress.
    fn name(&self) -> &'static str;

    /// Number of items.
    fn items(&self) -> usize;

    /// Computes item `index`, below [`Study::items`]; the same numbers each time.
    ///
    /// # Errors
    /// Parameters that no unit can have, and [`DeviceError::Cancelled`].
    fn item(&self, index: usize, watch: Watch) -> Result<Vec<f64>, DeviceError>;

    /// Length that each item has.
    fn width(&self) -> usize;

    /// Puts all items, in their order, together. Each has [`Study::width`] numbers.
    ///
    /// # Errors
    /// Items from which nothing can be concluded.
    fn outcome(&self, items: &[Vec<f64>]) -> Result<Self::Outcome, DeviceError>;
}

/// Called with each newly computed item, from any thread and in any order.
pub type Store<'a> = &'a (dyn Fn(usize, &[f64]) -> std::io::Result<()> + Sync);

/// Runs a study on all threads. Items in `known`, from an earlier run of the same study, are not computed again; each new one
/// goes to `store`. The outcome does not depend on which items were known, nor on the number of threads.
///
/// # Errors
/// Those of the items, of `store`, and known items that are none of this study's.
pub fn run_study<S: Study>(
    study: &S,
    known: &BTreeMap<usize, Vec<f64>>,
    store: Store,
    watch: Watch,
) -> Result<S::Outcome, DeviceError> {
    let (count, width) = (study.items(), study.width());
    if let Some((index, item)) = known.iter().find(|(index, item)| **index >= count || item.len() != width) {
        let (index, found) = (*index, item.len());
        return Err(DeviceError::Item { study: study.name(), index, found, width, count });
    }
    let done = AtomicUsize::new(known.len());
    let one = |index: usize| -> Result<Vec<f64>, DeviceError> {
        if let Some(item) = known.get(&index) {
            return Ok(item.clone());
        }
        watch.check()?;
        let item = study.item(index, watch)?;
        store(index, &item)?;
        watch.done(done.fetch_add(1, Ordering::Relaxed) + 1, count, study.name());
        Ok(item)
    };
    let items: Result<Vec<_>, _> = (0..count).into_par_iter().map(one).collect();
    study.outcome(&items?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Squares;

    impl Study for Squares {
        type Outcome = Vec<f64>;
        fn name(&self) -> &'static str {
            "squares"
        }
        fn items(&self) -> usize {
            20
        }
        fn width(&self) -> usize {
            1
        }
        fn item(&self, index: usize, _: Watch) -> Result<Vec<f64>, DeviceError> {
            Ok(vec![(index as f64).powi(2) / 3.0])
        }
        fn outcome(&self, items: &[Vec<f64>]) -> Result<Vec<f64>, DeviceError> {
            Ok(items.concat())
        }
    }

    #[test]
    fn a_study_taken_up_again_gives_the_same() {
        let kept = Mutex::new(BTreeMap::new());
        let store = |index: usize, item: &[f64]| -> std::io::Result<()> {
            if index >= 7 {
                return Err(std::io::Error::other("disk full"));
            }
            kept.lock().unwrap().insert(index, item.to_vec());
            Ok(())
        };
        let none = BTreeMap::new();
        let error = run_study(&Squares, &none, &store, Watch::default()).unwrap_err();
        assert!(error.to_string().contains("disk full"), "{error}");
        let known = kept.into_inner().unwrap();
        assert!(!known.is_empty() && known.len() <= 7);
        let fresh = Mutex::new(0);
        let count = |_: usize, _: &[f64]| -> std::io::Result<()> {
            *fresh.lock().unwrap() += 1;
            Ok(())
        };
        let resumed = run_study(&Squares, &known, &count, Watch::default()).unwrap();
        assert_eq!(resumed, run_study(&Squares, &none, &|_, _| Ok(()), Watch::default()).unwrap());
        assert_eq!(*fresh.lock().unwrap(), 20 - known.len());
        let strange = BTreeMap::from([(25, vec![1.0])]);
        assert!(run_study(&Squares, &strange, &|_, _| Ok(()), Watch::default()).is_err());
    }
}
