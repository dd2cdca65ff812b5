//! What this node has seen of its peers lately: whom to ask first, and whom not to count on.
//!
//! Evidence is local (Paper §4.8.3): links and answers to requests, never hearsay. An opinion here
//! steers routing and fallbacks, and costs a hint at worst; it never changes who owns what.
//!
//! ```text
//!                  3 timeouts without an answer between
//!   healthy  ------------------------------------------->  suspect
//!      ^                                                     |  |
//!      |  anything is heard from it, or a new link           |  | 1 s: tried again,
//!      +-----------------------------------------------------+  | one more timeout brings it back
//!      ^                                                        v
//!      +---------------- answer ---------------------------  on trial
//! ```
//!
//! A peer without a link is never healthy.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use dynamo_types::{Instant, NodeId};

/// The health of all peers as this node sees it.
///
/// Tell it of every link ([`connected`](Self::connected), [`disconnected`](Self::disconnected)) and
/// of every request: [`request_sent`](Self::request_sent), and later
/// [`request_answered`](Self::request_answered) or [`request_timed_out`](Self::request_timed_out). A
/// request whose end nobody waits for may be left open; it is forgotten after 2 to 4 seconds. There
/// is a row for each node that was ever named, so name members only; the own node needs none.
#[derive(Debug, Clone, Default)]
pub struct PeerHealth {
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    connected: bool,
    outstanding: Outstanding,
    /// Requests that waited there when it last answered.
    reported_queue: u32,
    /// Moving average of the time to an answer, in nanoseconds.
    average: u64,
    sampled_at: Option<Instant>,
    timeouts_in_a_row: u32,
    suspect_until: Option<Instant>,
}

impl PeerHealth {
    /// So many timeouts without an answer between make a peer suspect. One or two are a lost frame
    /// or a slow disk.
    pub const TIMEOUTS_TO_SUSPECT: u32 = 3;

    /// How long a suspect is left alone before it is tried again. Below the idle timeout of links
    /// (3 s), so that a peer that only stalled is used again before its link would have broken.
    pub const SUSPICION: Duration = Duration::from_secs(1);

    /// A latency older than this says nothing: the peer ranks with the best until it is measured
    /// again, or a peer that was slow once would never be asked again.
    pub const SAMPLE_LIFETIME: Duration = Duration::from_secs(5);

    /// What a request that timed out counts as. A forwarded request is passed over after that long.
    pub const TIMEOUT_LATENCY: Duration = Duration::from_millis(500);

    /// Nothing known, nobody connected.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A node is gone for good.
    pub fn remove(&mut self, node: NodeId) {
        self.peers.remove(&node);
    }

    /// There is a link. What was held against the peer is forgotten: it may be a new process.
    pub fn connected(&mut self, node: NodeId, _now: Instant) {
        self.change(node, |peer| {
            peer.connected = true;
            peer.timeouts_in_a_row = 0;
            peer.suspect_until = None;
            peer.sampled_at = None;
            peer.reported_queue = 0;
        });
    }

    /// There is no link any more. Requests under way still end by their timeouts.
    pub fn disconnected(&mut self, node: NodeId, _now: Instant) {
        self.change(node, |peer| peer.connected = false);
    }

    /// A request is on its way.
    pub fn request_sent(&mut self, node: NodeId, now: Instant) {
        self.change(node, |peer| peer.outstanding.add(now));
    }

    /// A request was answered, whatever the answer, so long after it was sent.
    pub fn request_answered(&mut self, node: NodeId, now: Instant, latency: Duration) {
        self.change(node, |peer| {
            peer.outstanding.end(now);
            peer.timeouts_in_a_row = 0;
            peer.suspect_until = None;
            peer.sample(now, latency);
        });
    }

    /// A request was given up.
    pub fn request_timed_out(&mut self, node: NodeId, now: Instant) {
        self.change(node, |peer| {
            peer.outstanding.end(now);
            peer.timeouts_in_a_row = peer.timeouts_in_a_row.saturating_add(1);
            if peer.timeouts_in_a_row >= Self::TIMEOUTS_TO_SUSPECT {
                peer.suspect_until = Some(now + Self::SUSPICION);
            }
            peer.sample(now, Self::TIMEOUT_LATENCY);
        });
    }

    /// Something came from the peer that ends no request: a late answer, a request of its own.
    pub fn heard_from(&mut self, node: NodeId) {
        self.change(node, |peer| {
            peer.timeouts_in_a_row = 0;
            peer.suspect_until = None;
        });
    }

    /// The peer said how many requests wait there.
    pub fn queue_reported(&mut self, node: NodeId, queue: u32) {
        self.change(node, |peer| peer.reported_queue = queue);
    }

    /// Whether there is a link to the peer.
    #[must_use]
    pub fn is_connected(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.connected)
    }

    /// Whether to count on the peer: it has a link and is no suspect.
    #[must_use]
    pub fn is_healthy(&self, node: NodeId, now: Instant) -> bool {
        self.peers.get(&node).is_some_and(|peer| {
            peer.connected && peer.suspect_until.is_none_or(|until| until <= now)
        })
    }

    /// What asking the node is expected to cost, in nanoseconds; less is better. The moving average
    /// of its latency times the requests that stand before a new one, here and there.
    #[must_use]
    pub fn score(&self, node: NodeId, now: Instant) -> u64 {
        self.score_against(node, now, self.best_average(now))
    }

    /// The nodes, the best to ask first: healthy ones by score, then the others by score. Among
    /// equals the given order stays, so pass them in order of preference.
    #[must_use]
    pub fn rank(&self, nodes: &[NodeId], now: Instant) -> Vec<NodeId> {
        let best = self.best_average(now);
        let mut ranked = nodes.to_vec();
        ranked.sort_by_cached_key(|node| {
            (!self.is_healthy(*node, now), self.score_against(*node, now, best))
        });
        ranked
    }

    /// The least recent average: what a peer without a recent one is taken for.
    fn best_average(&self, now: Instant) -> u64 {
        self.peers.values().filter_map(|peer| peer.recent_average(now)).min().unwrap_or(1)
    }

    fn score_against(&self, node: NodeId, now: Instant, best_average: u64) -> u64 {
        let peer = self.peers.get(&node).copied().unwrap_or_default();
        let average = peer.recent_average(now).unwrap_or(best_average);
        let before = u64::from(peer.outstanding.count(now)) + u64::from(peer.reported_queue);
        average.saturating_mul(before + 1)
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Peer)) {
        change(self.peers.entry(node).or_default());
    }
}

impl Peer {
    /// Moves the average by a fifth of the difference; the first sample, and the first after a
    /// silence, stands for itself.
    fn sample(&mut self, now: Instant, latency: Duration) {
        // At least 1, so that the queue always counts.
        let latency = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.average = match self.recent_average(now) {
            None => latency,
            Some(average) => average - average / 5 + latency / 5,
        }
        .max(1);
        self.sampled_at = Some(now);
    }

    fn recent_average(&self, now: Instant) -> Option<u64> {
        let age = now.saturating_since(self.sampled_at?);
        (age <= PeerHealth::SAMPLE_LIFETIME).then_some(self.average)
    }
}

/// Requests sent and not ended, in two generations: what is still open when its generation has
/// passed twice will not be ended by anybody.
#[derive(Debug, Clone, Copy)]
struct Outstanding {
    since: Instant,
    current: u32,
    previous: u32,
}

impl Default for Outstanding {
    fn default() -> Self {
        Self { since: Instant::ZERO, current: 0, previous: 0 }
    }
}

impl Outstanding {
    /// The default timeout of a request.
    const GENERATION: Duration = Duration::from_secs(2);

    fn count(self, now: Instant) -> u32 {
        let counted = self.at(now);
        counted.current.saturating_add(counted.previous)
    }

    fn add(&mut self, now: Instant) {
        *self = self.at(now);
        self.current = self.current.saturating_add(1);
    }

    /// Ends the oldest.
    fn end(&mut self, now: Instant) {
        *self = self.at(now);
        if self.previous > 0 {
            self.previous -= 1;
        } else {
            self.current = self.current.saturating_sub(1);
        }
    }

    fn at(self, now: Instant) -> Self {
        let age = now.saturating_since(self.since);
        if age < Self::GENERATION {
            self
        } else if age < 2 * Self::GENERATION {
            Self { since: self.since + Self::GENERATION, current: 0, previous: self.current }
        } else {
            Self { since: now, current: 0, previous: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(2);
    const B: NodeId = NodeId(3);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(milliseconds: u64) -> Instant {
        Instant::ZERO + ms(milliseconds)
    }

    fn health() -> PeerHealth {
        let mut health = PeerHealth::new();
        health.connected(A, at(0));
        health.connected(B, at(0));
        health
    }

    fn answer(health: &mut PeerHealth, node: NodeId, now: u64, latency: u64) {
        health.request_sent(node, at(now));
        health.request_answered(node, at(now), ms(latency));
    }

    fn time_out(health: &mut PeerHealth, node: NodeId, now: u64) {
        health.request_sent(node, at(now));
        health.request_timed_out(node, at(now));
    }

    #[test]
    fn a_peer_is_healthy_while_it_has_a_link() {
        let mut health = PeerHealth::new();
        assert!(!health.is_healthy(A, at(0)));
        health.connected(A, at(0));
        assert!(health.is_healthy(A, at(0)));
        health.disconnected(A, at(1));
        assert!(!health.is_healthy(A, at(1)));
        assert!(!health.is_healthy(NodeId(9), at(1)), "nobody");
    }

    #[test]
    fn three_timeouts_in_a_row_make_a_suspect_for_a_second() {
        let mut health = health();
        time_out(&mut health, A, 10);
        time_out(&mut health, A, 20);
        answer(&mut health, A, 30, 1);
        time_out(&mut health, A, 40);
        time_out(&mut health, A, 50);
        assert!(health.is_healthy(A, at(50)), "an answer came between");
        time_out(&mut health, A, 60);
        assert!(!health.is_healthy(A, at(60)));
        assert!(!health.is_healthy(A, at(1059)));
        assert!(health.is_healthy(A, at(1060)), "it is tried again");
    }

    #[test]
    fn a_peer_on_trial_is_suspect_again_after_one_timeout_and_free_after_one_answer() {
        let mut health = health();
        for now in [1, 2, 3] {
            time_out(&mut health, A, now);
        }
        time_out(&mut health, A, 1500);
        assert!(!health.is_healthy(A, at(2499)));
        answer(&mut health, A, 2600, 1);
        time_out(&mut health, A, 2700);
        assert!(health.is_healthy(A, at(2700)));
    }

    #[test]
    fn a_new_link_or_a_late_sign_of_life_clears_a_suspect() {
        for clear in [
            |health: &mut PeerHealth| health.heard_from(A),
            |health: &mut PeerHealth| health.connected(A, at(5)),
        ] {
            let mut health = health();
            for now in [1, 2, 3] {
                time_out(&mut health, A, now);
            }
            clear(&mut health);
            assert!(health.is_healthy(A, at(5)));
        }
    }

    #[test]
    fn the_faster_and_the_less_busy_peer_ranks_first() {
        let mut health = health();
        answer(&mut health, A, 10, 10);
        answer(&mut health, B, 10, 4);
        assert_eq!(health.rank(&[A, B], at(10)), [B, A]);
        health.request_sent(B, at(10));
        health.request_sent(B, at(10));
        assert_eq!(health.rank(&[A, B], at(10)), [A, B], "4 ms behind two others");
        health.queue_reported(A, 5);
        assert_eq!(health.rank(&[A, B], at(10)), [B, A], "10 ms behind five others");
    }

    #[test]
    fn one_slow_answer_moves_the_average_by_a_fifth() {
        let mut health = health();
        answer(&mut health, A, 10, 10);
        answer(&mut health, A, 11, 110);
        assert_eq!(health.score(A, at(11)), 30_000_000);
    }

    #[test]
    fn a_peer_that_was_slow_is_tried_again_after_five_seconds() {
        let mut health = health();
        answer(&mut health, A, 0, 900);
        answer(&mut health, B, 5001, 1);
        assert_eq!(health.rank(&[A, B], at(5000)), [B, A]);
        // As good as the best now, and first among equals by preference.
        assert_eq!(health.rank(&[A, B], at(5001)), [A, B]);
        health.request_sent(A, at(5001));
        assert_eq!(health.rank(&[A, B], at(5001)), [B, A], "but only one request at a time");
    }

    #[test]
    fn the_unhealthy_rank_last_and_equals_keep_their_order() {
        let mut health = health();
        assert_eq!(health.rank(&[B, A], at(0)), [B, A]);
        health.disconnected(B, at(0));
        answer(&mut health, A, 0, 1000);
        assert_eq!(health.rank(&[B, A], at(0)), [A, B]);
        assert_eq!(health.rank(&[NodeId(9), B, A], at(0)), [A, NodeId(9), B]);
    }

    #[test]
    fn requests_that_nobody_ends_are_forgotten() {
        let mut health = health();
        for now in [1000, 2500] {
            health.request_sent(A, at(now));
        }
        let outstanding = |health: &PeerHealth, now| health.peers[&A].outstanding.count(at(now));
        assert_eq!(outstanding(&health, 2500), 2);
        assert_eq!(outstanding(&health, 4000), 1, "the first one is two generations old");
        health.request_sent(A, at(4100));
        health.request_answered(A, at(4200), ms(1));
        assert_eq!(outstanding(&health, 4200), 1, "an answer ends the oldest");
        assert_eq!(outstanding(&health, 9000), 0);
    }
}
