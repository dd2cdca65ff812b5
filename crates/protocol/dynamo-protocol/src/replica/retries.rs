//! Which puts were made lately (protocol rule 7, history 9).
//!
//! A retry must not mint a second version, also when the first was replaced since. So a replica
//! remembers the request of each version that it stored for ten minutes. The memory is rebuilt from
//! journal rows at a start, and bounded: beyond the bound the oldest is forgotten first.

use alloc::collections::{BTreeMap, VecDeque};

use dynamo_messages::KnownRequest;
use dynamo_types::{Position, RequestId, WallTime};

/// The memory of recent puts.
#[derive(Debug)]
pub(crate) struct Retries {
    known: BTreeMap<RequestId, (Position, KnownRequest)>,
    order: VecDeque<(WallTime, RequestId)>,
    window_micros: u64,
    count_max: usize,
}

impl Retries {
    pub(crate) fn new(window: core::time::Duration, count_max: usize) -> Self {
        let window_micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Self { known: BTreeMap::new(), order: VecDeque::new(), window_micros, count_max }
    }

    /// Remembers a put; the first version under a request id stays the one that is known.
    pub(crate) fn remember(&mut self, wall: WallTime, position: Position, put: KnownRequest) {
        if self.known.contains_key(&put.request) {
            return;
        }
        self.known.insert(put.request, (position, put));
        self.order.push_back((wall, put.request));
        self.forget_old(wall);
    }

    /// Forgets a version whose store failed: it cannot be sent again.
    pub(crate) fn forget(&mut self, put: &KnownRequest) {
        if self.known.get(&put.request).is_some_and(|(_, known)| known.dot == put.dot) {
            self.known.remove(&put.request);
        }
    }

    /// The put of that request on that object.
    pub(crate) fn find(&self, position: Position, request: RequestId) -> Option<KnownRequest> {
        self.known.get(&request).filter(|(at, _)| *at == position).map(|(_, known)| *known)
    }

    /// Puts remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    fn forget_old(&mut self, wall: WallTime) {
        while let Some((at, request)) = self.order.front().copied() {
            let old = at.0.saturating_add(self.window_micros) < wall.0;
            if !old && self.order.len() <= self.count_max {
                return;
            }
            self.order.pop_front();
            self.known.remove(&request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use dynamo_types::ActorId;
    use dynamo_versioning::{BodyDigest, Dot};

    fn put(number: u64) -> KnownRequest {
        KnownRequest {
            request: RequestId(number.into()),
            digest: BodyDigest(0),
            dot: Dot { actor: ActorId(1), counter: number },
        }
    }

    #[test]
    fn puts_are_forgotten_by_age_and_by_number() {
        let mut retries = Retries::new(Duration::from_secs(600), 3);
        for number in 1..=4 {
            retries.remember(WallTime(number), Position(9), put(number));
        }
        assert_eq!(retries.find(Position(9), RequestId(1)), None, "beyond the bound");
        assert_eq!(retries.find(Position(9), RequestId(4)), Some(put(4)));
        assert_eq!(retries.find(Position(8), RequestId(4)), None, "another object");
        retries.remember(WallTime(700_000_000), Position(9), put(5));
        assert_eq!(retries.len(), 1, "the others are older than the window");
    }

    #[test]
    fn a_version_that_was_not_stored_is_not_known() {
        let mut retries = Retries::new(Duration::from_secs(600), 3);
        retries.remember(WallTime(1), Position(9), put(1));
        retries.forget(&put(1));
        assert_eq!(retries.find(Position(9), RequestId(1)), None);
    }
}
