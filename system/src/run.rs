//! A list of products on several threads.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mirage_arithmetic::GemmEntry;

use crate::{Chip, LayerResult, Options, SystemError};

impl Chip {
    /// Simulates every entry of a list, `threads` at a time (at least one); results in the order of the
    /// list, the same for any number of threads. `progress` is called with the number of entries done.
    ///
    /// # Errors
    /// The first error in the order of the list.
    pub fn run(
        &self,
        entries: &[GemmEntry],
        options: &Options,
        threads: usize,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<LayerResult>, SystemError> {
        let before = occurrences(entries);
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results: Mutex<Vec<(usize, Result<LayerResult, SystemError>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads.clamp(1, entries.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some((entry, &before)) = entries.get(index).zip(before.get(index)) else { break };
                        let result = self.simulate_again(entry, before, options);
                        let mut results = results.lock().unwrap_or_else(|poison| poison.into_inner());
                        results.push((index, result));
                        drop(results);
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap_or_else(|poison| poison.into_inner());
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// For each entry, how many equal ones come before it.
fn occurrences(entries: &[GemmEntry]) -> Vec<u64> {
    let mut seen = HashMap::new();
    let key = |e: &GemmEntry| (e.network.clone(), e.layer.clone(), e.pass, [e.m, e.k, e.n, e.repeats]);
    let count = |entry| {
        let count: &mut u64 = seen.entry(key(entry)).or_default();
        *count += 1;
        *count - 1
    };
    entries.iter().map(count).collect()
}
