//! The pending events: a 4-ary min-heap ordered by (time, sequence number).
//!
//! The keys of four siblings fill one cache line, so going down a level costs one line, and a 4-ary heap
//! is half as deep as a binary one. Empty places hold a key that loses every comparison, so that every
//! family is complete. After a pop the root stays vacant until the next push: a timer that schedules its
//! successor, the commonest pattern of all, then costs one sift instead of two.

/// Time above sequence number: one wide comparison, and no two keys are equal.
type Key = u128;

/// Loses against every event: 2^64 pushes take centuries, so no event has this sequence number.
const EMPTY: Key = Key::MAX;

const ARITY: usize = 4;

/// The keys of four siblings.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Family([Key; ARITY]);

impl Family {
    /// The sibling with the smallest key. Two semifinals and a final, selected without branches: which
    /// one wins is a coin toss, and a mispredicted branch costs more than all three comparisons.
    #[inline]
    fn smallest(&self) -> usize {
        let [a, b, c, d] = self.0;
        let (left, right) = (usize::from(b < a), usize::from(d < c));
        let (l, r) = ([a, b][left], [c, d][right]);
        [left, 2 + right][usize::from(r < l)]
    }
}

/// A stable priority queue: equal times leave in the order of their pushes.
///
/// Node 0 is the root; nodes 4 f + 1 to 4 f + 4 are family f, the children of node f.
#[derive(Debug, Clone)]
pub(crate) struct Heap<E> {
    root: Key,
    families: Vec<Family>,
    /// What happens, by node.
    events: Vec<E>,
    next_sequence: u64,
    /// The root was popped and its place not filled yet.
    vacant: bool,
}

impl<E: Copy> Heap<E> {
    pub(crate) fn new() -> Self {
        Self { root: EMPTY, families: Vec::new(), events: Vec::new(), next_sequence: 0, vacant: false }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.events.len() - usize::from(self.vacant)
    }

    #[inline]
    pub(crate) fn push(&mut self, time: u64, event: E) {
        let key = Key::from(time) << 64 | Key::from(self.next_sequence);
        self.next_sequence += 1;
        if self.vacant {
            self.vacant = false;
            self.sift_down(key, event);
        } else {
            self.append(key, event);
        }
    }

    /// The earliest time, if any event is pending.
    pub(crate) fn peek_time(&mut self) -> Option<u64> {
        self.settle();
        (!self.events.is_empty()).then_some(time_of(self.root))
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        self.settle();
        let event = *self.events.first()?;
        self.vacant = true;
        Some((time_of(self.root), event))
    }

    /// Fills a vacant root with the last node.
    #[inline]
    fn settle(&mut self) {
        if !self.vacant {
            return;
        }
        self.vacant = false;
        let Some(event) = self.events.pop() else { return };
        let Some(last) = self.events.len().checked_sub(1) else { return };
        // `last` counts without the root, so it is a place among the families.
        let (family, sibling) = (last / ARITY, last % ARITY);
        let key = std::mem::replace(&mut self.families[family].0[sibling], EMPTY);
        if sibling == 0 {
            self.families.pop();
        }
        self.sift_down(key, event);
    }

    /// Places an event in the tree whose root is free.
    #[inline]
    fn sift_down(&mut self, key: Key, event: E) {
        let events = self.events.as_mut_slice();
        let (mut hole, mut place) = (0, &mut self.root);
        let mut families = self.families.as_mut_slice();
        let mut passed = 0;
        // The families still ahead are split off one by one: a family lies behind its parent.
        while let Some((family, rest)) = families.get_mut(hole - passed..).and_then(<[_]>::split_first_mut) {
            let sibling = family.smallest();
            let smallest = family.0[sibling];
            if smallest >= key {
                break;
            }
            *place = smallest;
            place = &mut family.0[sibling];
            passed = hole + 1;
            families = rest;
            let child = ARITY * hole + 1 + sibling;
            events[hole] = events[child];
            hole = child;
        }
        *place = key;
        events[hole] = event;
    }

    /// Adds a node at the end and moves it up to its place.
    #[inline]
    fn append(&mut self, key: Key, event: E) {
        let mut hole = self.events.len();
        self.events.push(event);
        if hole % ARITY == 1 {
            self.families.push(Family([EMPTY; ARITY]));
        }
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            let above = self.key(parent);
            if key >= above {
                break;
            }
            *self.key_mut(hole) = above;
            self.events[hole] = self.events[parent];
            hole = parent;
        }
        *self.key_mut(hole) = key;
        self.events[hole] = event;
    }

    #[inline]
    fn key(&self, node: usize) -> Key {
        match node.checked_sub(1) {
            None => self.root,
            Some(place) => self.families[place / ARITY].0[place % ARITY],
        }
    }

    #[inline]
    fn key_mut(&mut self, node: usize) -> &mut Key {
        match node.checked_sub(1) {
            None => &mut self.root,
            Some(place) => &mut self.families[place / ARITY].0[place % ARITY],
        }
    }
}

#[inline]
fn time_of(key: Key) -> u64 {
    (key >> 64) as u64
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
