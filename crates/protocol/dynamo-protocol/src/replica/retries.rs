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
    /// By object too: clients choose request ids, and may use one for several objects.
    known: BTreeMap<(RequestId, Position), (WallTime, KnownRequest)>,
    order: VecDeque<(WallTime, (RequestId, Position))>,
    window_micros: u64,
    count_max: usize,
}

impl Retries {
    pub(crate) fn new(window: core::time::Duration, count_max: usize) -> Self {
        let window_micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Self { known: BTreeMap::new(), order: VecDeque::new(), window_micros, count_max }
    }

    /// Remembers a put; the first version of an object under a request id stays the one that is
    /// known.
    pub(crate) fn remember(&mut self, wall: WallTime, position: Position, put: KnownRequest) {
        let key = (put.request, position);
        if self.known.contains_key(&key) {
            return;
        }
        self.known.insert(key, (wall, put));
        self.order.push_back((wall, key));
        self.forget_old(wall);
    }

    /// Forgets a version whose store failed: it cannot be sent again.
    pub(crate) fn forget(&mut self, position: Position, put: &KnownRequest) {
        let key = (put.request, position);
        if self.known.get(&key).is_some_and(|(_, known)| known.dot == put.dot) {
            self.known.remove(&key);
        }
    }

    /// The put of that request on that object.
    pub(crate) fn find(&self, position: Position, request: RequestId) -> Option<KnownRequest> {
        self.known.get(&(request, position)).map(|(_, known)| *known)
    }

    /// Puts remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    fn forget_old(&mut self, wall: WallTime) {
        while let Some((at, key)) = self.order.front().copied() {
            let old = at.0.saturating_add(self.window_micros) < wall.0;
            if !old && self.order.len() <= self.count_max {
                return;
            }
            self.order.pop_front();
            // A put that was forgotten and came again has a later entry, and stays until that.
            if self.known.get(&key).is_some_and(|(since, _)| *since == at) {
                self.known.remove(&key);
            }
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
        retries.forget(Position(9), &put(1));
        assert_eq!(retries.find(Position(9), RequestId(1)), None);
    }

    #[test]
    fn one_request_id_is_remembered_for_each_object() {
        let mut retries = Retries::new(Duration::from_secs(600), 3);
        retries.remember(WallTime(1), Position(8), put(1));
        retries.remember(WallTime(1), Position(9), put(1));
        assert_eq!(retries.find(Position(8), RequestId(1)), Some(put(1)));
        assert_eq!(retries.find(Position(9), RequestId(1)), Some(put(1)));
    }

    #[test]
    fn a_put_that_came_again_after_its_store_failed_is_known_for_a_whole_window() {
        let mut retries = Retries::new(Duration::from_secs(600), 3);
        retries.remember(WallTime(0), Position(9), put(1));
        retries.forget(Position(9), &put(1));
        retries.remember(WallTime(599_000_000), Position(9), put(1));
        retries.remember(WallTime(601_000_000), Position(9), put(2));
        assert_eq!(retries.find(Position(9), RequestId(1)), Some(put(1)));
    }
}
