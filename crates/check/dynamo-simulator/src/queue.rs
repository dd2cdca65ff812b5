//! What will happen, in a total order: by time, then by the order of scheduling.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dynamo_types::Instant;

/// Things that will happen. Two queues that were given the same things in the same order give them
/// back in the same order.
///
/// The heap moves places only: things are large, and stay in their slot until they happen.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Place>>,
    slots: Vec<Option<E>>,
    free: Vec<usize>,
    scheduled: u64,
}

/// When something happens, and in which slot it waits. No two have the same sequence, so that the
/// slot never decides the order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: Instant,
    sequence: u64,
    slot: usize,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), scheduled: 0 }
    }
}

impl<E> EventQueue<E> {
    /// Schedules something.
    pub fn push(&mut self, at: Instant, event: E) {
        let sequence = self.scheduled;
        self.scheduled += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(event);
        self.heap.push(Reverse(Place { at, sequence, slot }));
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(place)| place.at)
    }

    /// Takes the next thing.
    pub fn pop(&mut self) -> Option<(Instant, E)> {
        let Reverse(Place { at, slot, .. }) = self.heap.pop()?;
        self.free.push(slot);
        let event = self.slots[slot].take().expect("a place in the heap owns its slot");
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_comes_first_and_equal_times_keep_the_order_of_scheduling() {
        let mut queue = EventQueue::default();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            queue.push(Instant(at), event);
        }
        let order: Vec<char> = core::iter::from_fn(|| queue.pop().map(|(_, e)| e)).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
    }
}
