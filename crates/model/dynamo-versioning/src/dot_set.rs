//! Sets of dots, as intervals per actor.
//!
//! One type serves as a record's context, as a replica's dot clock and as its horizon. Most sets
//! are tiny: one to three actors with one interval each. All intervals therefore lie in one sorted
//! vector, so that a set costs one allocation and the operations on two sets are single passes.

mod encoding;

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use dynamo_types::ActorId;

pub use encoding::DecodeDotSetError;

use crate::dot::Dot;

/// The counters `lo + 1 ..= hi` of one actor; never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Interval {
    actor: ActorId,
    lo: u64,
    hi: u64,
}

/// A set of dots.
///
/// Kept as half-open intervals `(lo, hi]`, sorted, disjoint and never adjacent, so that equal sets
/// are equal values and have equal bytes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct DotSet {
    intervals: Vec<Interval>,
}

impl DotSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no dot is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Whether the dot is in it. O(log n).
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        let at = self.first_ending_at_or_above(dot.actor, dot.counter);
        self.intervals.get(at).is_some_and(|i| i.actor == dot.actor && i.lo < dot.counter)
    }

    /// Adds one dot. A counter of 0 names no version and adds nothing.
    pub fn insert(&mut self, dot: Dot) {
        if let Some(lo) = dot.counter.checked_sub(1) {
            self.insert_interval(dot.actor, lo, dot.counter);
        }
    }

    /// Adds the dots `lo + 1 ..= hi` of an actor; nothing where `lo >= hi`.
    pub fn insert_interval(&mut self, actor: ActorId, lo: u64, hi: u64) {
        if lo >= hi {
            return;
        }
        // All intervals that overlap or touch (lo, hi]: they become one.
        let first = self.first_ending_at_or_above(actor, lo);
        let after = self.intervals.partition_point(|i| (i.actor, i.lo) <= (actor, hi));
        if first == after {
            self.intervals.insert(first, Interval { actor, lo, hi });
            return;
        }
        let joined = Interval {
            actor,
            lo: lo.min(self.intervals[first].lo),
            hi: hi.max(self.intervals[after - 1].hi),
        };
        self.intervals[first] = joined;
        self.intervals.drain(first + 1..after);
    }

    /// Takes one dot out, splitting its interval where it must.
    pub fn remove(&mut self, dot: Dot) {
        if !self.contains(dot) {
            return;
        }
        let at = self.first_ending_at_or_above(dot.actor, dot.counter);
        let whole = self.intervals[at];
        let below = Interval { hi: dot.counter - 1, ..whole };
        let above = Interval { lo: dot.counter, ..whole };
        let rest = [below, above].into_iter().filter(|i| i.lo < i.hi);
        self.intervals.splice(at..=at, rest);
    }

    /// Adds all dots of the other set.
    pub fn union_with(&mut self, other: &Self) {
        // A few intervals into many: a search each beats copying the many.
        if other.intervals.len() <= 2 || other.intervals.len() * 8 <= self.intervals.len() {
            for i in &other.intervals {
                self.insert_interval(i.actor, i.lo, i.hi);
            }
            return;
        }
        if self.is_empty() {
            self.intervals.clone_from(&other.intervals);
            return;
        }
        let mut joined: Vec<Interval> =
            Vec::with_capacity(self.intervals.len() + other.intervals.len());
        let mut left = self.intervals.iter().copied().peekable();
        let mut right = other.intervals.iter().copied().peekable();
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(l), Some(r)) if (l.actor, l.lo) <= (r.actor, r.lo) => left.next(),
                (_, Some(_)) => right.next(),
                (_, None) => left.next(),
            };
            let Some(next) = next else { break };
            match joined.last_mut() {
                Some(last) if last.actor == next.actor && next.lo <= last.hi => {
                    last.hi = last.hi.max(next.hi);
                }
                _ => joined.push(next),
            }
        }
        self.intervals = joined;
    }

    /// The dots that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut l, mut r) = (0, 0);
        let mut common = Vec::new();
        while let (Some(left), Some(right)) = (self.intervals.get(l), other.intervals.get(r)) {
            match left.actor.cmp(&right.actor) {
                Ordering::Less => l += 1,
                Ordering::Greater => r += 1,
                Ordering::Equal => {
                    let (lo, hi) = (left.lo.max(right.lo), left.hi.min(right.hi));
                    if lo < hi {
                        common.push(Interval { actor: left.actor, lo, hi });
                    }
                    if left.hi <= right.hi {
                        l += 1;
                    } else {
                        r += 1;
                    }
                }
            }
        }
        Self { intervals: common }
    }

    /// Takes all dots of the other set out of this one.
    pub fn subtract(&mut self, other: &Self) {
        let mut rest = Vec::with_capacity(self.intervals.len());
        let mut r = 0;
        for &whole in &self.intervals {
            let mut lo = whole.lo;
            while let Some(right) = other.intervals.get(r) {
                if (right.actor, right.hi) <= (whole.actor, lo) {
                    r += 1;
                } else if right.actor == whole.actor && right.lo < whole.hi {
                    if lo < right.lo {
                        rest.push(Interval { lo, hi: right.lo, ..whole });
                    }
                    lo = right.hi;
                    if lo >= whole.hi {
                        break;
                    }
                    r += 1;
                } else {
                    break;
                }
            }
            if lo < whole.hi {
                rest.push(Interval { lo, ..whole });
            }
        }
        self.intervals = rest;
    }

    /// Whether every dot of this set is in the other.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.intervals.iter().all(|i| {
            let at = other.first_ending_at_or_above(i.actor, i.hi);
            other.intervals.get(at).is_some_and(|o| o.actor == i.actor && o.lo <= i.lo)
        })
    }

    /// All intervals `(actor, lo, hi)`, by actor, then counter.
    pub fn intervals(&self) -> impl Iterator<Item = (ActorId, u64, u64)> {
        self.intervals.iter().map(|i| (i.actor, i.lo, i.hi))
    }

    /// The last interval `(lo, hi)` of an actor.
    #[must_use]
    pub fn last_interval(&self, actor: ActorId) -> Option<(u64, u64)> {
        let after = self.intervals.partition_point(|i| i.actor <= actor);
        let last = self.intervals.get(after.checked_sub(1)?)?;
        (last.actor == actor).then_some((last.lo, last.hi))
    }

    /// How many intervals the set has; its size in memory and in bytes follows this number.
    #[must_use]
    pub fn interval_count(&self) -> usize {
        self.intervals.len()
    }

    fn first_ending_at_or_above(&self, actor: ActorId, counter: u64) -> usize {
        self.intervals.partition_point(|i| (i.actor, i.hi) < (actor, counter))
    }
}

impl FromIterator<Dot> for DotSet {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut set = Self::new();
        for dot in dots {
            set.insert(dot);
        }
        set
    }
}

impl fmt::Debug for DotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, i) in self.intervals.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}:({}, {}]", i.actor, i.lo, i.hi)?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const A: ActorId = ActorId(1);
    const B: ActorId = ActorId(2);

    fn set(intervals: &[(ActorId, u64, u64)]) -> DotSet {
        let mut set = DotSet::new();
        for &(actor, lo, hi) in intervals {
            set.insert_interval(actor, lo, hi);
        }
        set
    }

    #[test]
    fn intervals_that_touch_become_one() {
        let mut dots = set(&[(A, 0, 1), (A, 2, 3), (B, 0, 1)]);
        assert_eq!(dots.interval_count(), 3);
        dots.insert(Dot::new(A, 2));
        assert_eq!(dots, set(&[(A, 0, 3), (B, 0, 1)]));
    }

    #[test]
    fn a_long_interval_swallows_all_that_lie_within() {
        let mut dots = set(&[(A, 1, 2), (A, 4, 5), (A, 7, 9), (B, 3, 4)]);
        dots.insert_interval(A, 1, 8);
        assert_eq!(dots, set(&[(A, 1, 9), (B, 3, 4)]));
    }

    #[test]
    fn a_dot_in_the_middle_splits_its_interval_when_it_leaves() {
        let mut dots = set(&[(A, 0, 3)]);
        dots.remove(Dot::new(A, 2));
        assert_eq!(dots.intervals().collect::<Vec<_>>(), vec![(A, 0, 1), (A, 2, 3)]);
        dots.remove(Dot::new(A, 2));
        dots.remove(Dot::new(A, 1));
        dots.remove(Dot::new(A, 3));
        assert!(dots.is_empty());
    }

    #[test]
    fn the_last_interval_is_the_actors_own() {
        let dots = set(&[(A, 0, 1), (A, 5, 7), (B, 1, 2)]);
        assert_eq!(dots.last_interval(A), Some((5, 7)));
        assert_eq!(dots.last_interval(B), Some((1, 2)));
        assert_eq!(dots.last_interval(ActorId(0)), None);
        assert_eq!(dots.last_interval(ActorId(9)), None);
    }

    #[test]
    fn a_counter_of_zero_is_no_dot() {
        let mut dots = DotSet::new();
        dots.insert(Dot::new(A, 0));
        assert!(dots.is_empty());
        assert!(!set(&[(A, 0, 3)]).contains(Dot::new(A, 0)));
    }
}
