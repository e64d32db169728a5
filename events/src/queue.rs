//! A bounded queue that pushes back.

use std::collections::VecDeque;

use thiserror::Error;

/// The queue was full; the item comes back to its owner.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the queue is full")]
pub struct Full<T>(pub T);

/// First in, first out, with room for a fixed number of items.
///
/// A producer that was refused must be woken when there is room again: after a [`Fifo::pop`] ask
/// [`Fifo::take_refused`], and schedule the producer if it says yes.
#[derive(Debug, Clone)]
pub struct Fifo<T> {
    items: VecDeque<T>,
    capacity: usize,
    refused: bool,
    peak: usize,
}

impl<T> Fifo<T> {
    /// A queue with room for `capacity` items; with 0 it refuses everything.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { items: VecDeque::new(), capacity, refused: false, peak: 0 }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// [`Full`] with the item when there is no room.
    pub fn push(&mut self, item: T) -> Result<(), Full<T>> {
        if self.items.len() >= self.capacity {
            self.refused = true;
            return Err(Full(item));
        }
        self.items.push_back(item);
        self.peak = self.peak.max(self.items.len());
        Ok(())
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// The oldest item.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// Whether a push was refused since the last call: its producer waits to be woken.
    pub fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Items now in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is in the queue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the next push would be refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.len() >= self.capacity
    }

    /// The largest number of items ever held.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_back_when_full_and_remembers() {
        let mut queue = Fifo::new(2);
        assert_eq!(queue.push('a'), Ok(()));
        assert_eq!(queue.push('b'), Ok(()));
        assert!(!queue.take_refused());
        assert_eq!(queue.push('c'), Err(Full('c')));
        assert_eq!(queue.pop(), Some('a'));
        assert!(queue.take_refused());
        assert!(!queue.take_refused());
        assert_eq!(queue.push('c'), Ok(()));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some('b'), Some('c'), None));
        assert_eq!(queue.peak(), 2);
    }

    #[test]
    fn no_room_at_all_is_a_queue_too() {
        let mut queue = Fifo::new(0);
        assert!(queue.is_full() && queue.is_empty());
        assert_eq!(queue.push(1), Err(Full(1)));
    }
}
