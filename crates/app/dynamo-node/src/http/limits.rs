//! How much is served at once: requests and the bytes of their bodies.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::problem::{Problem, ProblemKind};

/// When to come back if the node is full, in milliseconds: a few requests' time.
const RETRY_AFTER_MS: u32 = 50;

/// Counts what is under way.
#[derive(Debug)]
pub(super) struct InFlight {
    requests: Counter,
    bytes: Counter,
}

#[derive(Debug)]
struct Counter {
    taken: AtomicUsize,
    max: usize,
}

/// A share of a counter, given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    counter: &'a Counter,
    amount: usize,
}

impl InFlight {
    pub(super) fn new(requests_max: usize, bytes_max: usize) -> Self {
        let counter = |max| Counter { taken: AtomicUsize::new(0), max };
        Self { requests: counter(requests_max), bytes: counter(bytes_max) }
    }

    /// A place for one request.
    pub(super) fn request(&self) -> Result<Share<'_>, Problem> {
        self.requests.take(1).ok_or_else(|| overloaded("too many requests are under way"))
    }

    /// Room for a body of that many bytes. A body beyond the whole bound passes when it is alone.
    pub(super) fn body(&self, bytes: usize) -> Result<Share<'_>, Problem> {
        self.bytes.take(bytes.min(self.bytes.max)).ok_or_else(|| {
            overloaded("the bodies under way take all the memory that there is for them")
        })
    }

    /// Requests under way.
    pub(super) fn requests(&self) -> usize {
        self.requests.taken.load(Ordering::Relaxed)
    }
}

impl Counter {
    fn take(&self, amount: usize) -> Option<Share<'_>> {
        let update = |taken: usize| taken.checked_add(amount).filter(|sum| *sum <= self.max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).ok()?;
        Some(Share { counter: self, amount })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.counter.taken.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

fn overloaded(detail: &str) -> Problem {
    Problem::retry(ProblemKind::Overloaded, detail, RETRY_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_free_again_when_it_is_dropped() {
        let in_flight = InFlight::new(1, 100);
        let share = in_flight.request().unwrap();
        assert_eq!(in_flight.request().unwrap_err().kind, ProblemKind::Overloaded);
        drop(share);
        assert!(in_flight.request().is_ok());
        let alone = in_flight.body(1000).unwrap();
        assert!(in_flight.body(1).is_err());
        drop(alone);
        assert!(in_flight.body(100).is_ok());
    }
}
