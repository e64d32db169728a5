//! The pending events: a 4-ary min-heap ordered by (time, sequence number).
//!
//! Four children share one or two cache lines, so a 4-ary heap is half as deep as a binary one for
//! the same memory traffic. After a pop the root stays vacant until the next push: a timer that
//! schedules its successor, the commonest pattern of all, then costs one sift instead of two.

/// One pending event.
#[derive(Debug, Clone, Copy)]
struct Entry<E> {
    time: u64,
    sequence: u64,
    event: E,
}

impl<E> Entry<E> {
    /// Time above sequence number: one wide comparison instead of two with a branch between.
    #[inline]
    fn key(&self) -> u128 {
        u128::from(self.time) << 64 | u128::from(self.sequence)
    }

    #[inline]
    fn before(&self, other: &Self) -> bool {
        self.key() < other.key()
    }
}

/// A stable priority queue: equal times leave in the order of their pushes.
#[derive(Debug, Clone)]
pub(crate) struct Heap<E> {
    entries: Vec<Entry<E>>,
    next_sequence: u64,
    /// The root was popped and its place not filled yet.
    vacant: bool,
}

const ARITY: usize = 4;

impl<E: Copy> Heap<E> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), next_sequence: 0, vacant: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - usize::from(self.vacant)
    }

    #[inline]
    pub(crate) fn push(&mut self, time: u64, event: E) {
        // 2^64 pushes take centuries: the sequence number cannot run out.
        let entry = Entry { time, sequence: self.next_sequence, event };
        self.next_sequence += 1;
        if self.vacant {
            self.vacant = false;
            self.sift_down(entry);
        } else {
            self.entries.push(entry);
            self.sift_up(entry);
        }
    }

    /// The earliest time, if any event is pending.
    pub(crate) fn peek_time(&mut self) -> Option<u64> {
        self.settle();
        self.entries.first().map(|entry| entry.time)
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        self.settle();
        let root = self.entries.first()?;
        self.vacant = true;
        Some((root.time, root.event))
    }

    /// Fills a vacant root with the last leaf.
    #[inline]
    fn settle(&mut self) {
        if self.vacant {
            self.vacant = false;
            if let Some(last) = self.entries.pop()
                && !self.entries.is_empty()
            {
                self.sift_down(last);
            }
        }
    }

    /// Places `entry` in the tree whose root is free.
    #[inline]
    fn sift_down(&mut self, entry: Entry<E>) {
        let entries = self.entries.as_mut_slice();
        let mut hole = 0;
        loop {
            let first = ARITY * hole + 1;
            let smallest = match entries.get(first..first + ARITY) {
                Some([a, b, c, d]) => {
                    // Two semifinals and a final, selected without branches: which child wins is a
                    // coin toss, and a mispredicted branch costs more than all three comparisons.
                    let left = usize::from(b.before(a));
                    let right = usize::from(d.before(c));
                    let (l, r) = ([a, b][left], [c, d][right]);
                    first + [left, 2 + right][usize::from(r.before(l))]
                }
                _ => match last_family(entries, first) {
                    Some(index) => index,
                    None => break,
                },
            };
            if !entries[smallest].before(&entry) {
                break;
            }
            entries[hole] = entries[smallest];
            hole = smallest;
        }
        entries[hole] = entry;
    }

    /// Moves `entry`, just pushed at the end, up to its place.
    #[inline]
    fn sift_up(&mut self, entry: Entry<E>) {
        let entries = self.entries.as_mut_slice();
        let mut hole = entries.len() - 1;
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if !entry.before(&entries[parent]) {
                break;
            }
            entries[hole] = entries[parent];
            hole = parent;
        }
        entries[hole] = entry;
    }
}

/// The earliest of the fewer than four children that start at `first`.
fn last_family<E>(entries: &[Entry<E>], first: usize) -> Option<usize> {
    let mut smallest = first;
    entries.get(first)?;
    for index in first + 1..entries.len() {
        if entries[index].before(&entries[smallest]) {
            smallest = index;
        }
    }
    Some(smallest)
}

#[cfg(test)]
mod tests {
    use super::Heap;
    use proptest::prelude::*;

    proptest! {
        /// Against a sorted list, for any interleaving of pushes and pops.
        #[test]
        fn pops_in_order_of_time_then_push(operations in prop::collection::vec(prop::option::of(0u64..20), 0..300)) {
            let mut heap = Heap::new();
            let mut reference: Vec<(u64, usize)> = Vec::new();
            for (push, operation) in operations.into_iter().enumerate() {
                match operation {
                    Some(time) => {
                        heap.push(time, push);
                        reference.push((time, push));
                    }
                    None => {
                        reference.sort_unstable();
                        let expected = if reference.is_empty() { None } else { Some(reference.remove(0)) };
                        prop_assert_eq!(heap.pop(), expected);
                    }
                }
                prop_assert_eq!(heap.len(), reference.len());
                let earliest = reference.iter().map(|&(time, _)| time).min();
                // Peeking must not disturb anything, so do it only now and then.
                if push % 3 == 0 {
                    prop_assert_eq!(heap.peek_time(), earliest);
                }
            }
        }
    }
}
