//! Who of the members seems to be up: failure detection, as an opinion.
//!
//! It never changes who owns what, and nothing here overrides what this node sees by itself: a
//! member whose link works is worked with, whatever the others think of it (Paper §4.8.3). It tells
//! people and clients what to expect, and a node that starts for whom it need not wait.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use dynamo_membership::{Liveness, Swim, SwimConfig, SwimEffect, SwimEvent, SwimIdentity};
use dynamo_types::{Instant, NodeId, Now};

use super::Node;
use crate::config::{NodeConfig, Timing};
use crate::effect::Effect;

/// Probes closer together than this would be all that a node does.
const PROBE_PERIOD_MIN: Duration = Duration::from_millis(10);

/// The failure detector.
#[derive(Debug)]
pub(super) struct Detector {
    swim: Swim,
    /// It said goodbye, and neither speaks nor listens any more.
    is_stopping: bool,
}

impl Detector {
    pub(super) fn new(config: &NodeConfig, now: Now, seed: u64) -> Self {
        // Higher than that of the process before, if the clock did not go back; if it did, the others
        // still know, and it is raised.
        let incarnation = now.wall.0 / 1000;
        let identity = SwimIdentity { node: config.node, incarnation };
        Self { swim: Swim::new(swim_config(&config.timing), identity, seed), is_stopping: false }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.swim.poll_timeout().filter(|_| !self.is_stopping)
    }
}

impl Node {
    /// What the members together think of a node, as far as this one has heard. Of itself it thinks
    /// well. An opinion: whether there is a link to a node is the better question wherever it can be
    /// asked.
    #[must_use]
    pub fn liveness(&self, node: NodeId) -> Liveness {
        if node == self.config.node { Liveness::Up } else { self.detector.swim.liveness(node) }
    }

    /// How little this node trusts its own judgement of others: 0 is well, 8 is worst.
    #[must_use]
    pub fn local_health(&self) -> u8 {
        self.detector.swim.local_health()
    }

    /// Members to which no connection stands, and of which it is not known either that they are
    /// down: a node that starts waits for them.
    #[must_use]
    pub fn awaited_members(&self) -> Vec<NodeId> {
        let mut unreachable = self.unreachable_members();
        unreachable.retain(|node| self.liveness(*node) != Liveness::Down);
        unreachable
    }

    /// Nobody but these members is probed and listened to.
    pub(super) fn probe_members(&mut self, members: BTreeSet<NodeId>) {
        self.swim_event(SwimEvent::Members(members));
    }

    pub(super) fn datagram_received(&mut self, from: NodeId, bytes: Bytes) {
        self.swim_event(SwimEvent::Datagram { from, bytes });
    }

    /// A link to a member stands anew.
    pub(super) fn greet_linked(&mut self, node: NodeId) {
        self.swim_event(SwimEvent::Linked(node));
    }

    /// The loop that drives this node ran so late.
    pub(super) fn loop_lagged(&mut self, lag: Duration) {
        self.swim_event(SwimEvent::LoopLag(lag));
    }

    /// The process is about to stop: the others need not find out.
    pub(super) fn say_goodbye(&mut self) {
        self.swim_event(SwimEvent::Stopping);
        self.detector.is_stopping = true;
    }

    pub(super) fn liveness_timeout(&mut self) {
        let now = self.now.monotonic;
        if self.detector.poll_timeout().is_some_and(|due| due <= now) {
            self.detector.swim.handle_timeout(now);
            self.drive_swim();
        }
    }

    fn swim_event(&mut self, event: SwimEvent) {
        if !self.detector.is_stopping {
            self.detector.swim.handle(self.now.monotonic, event);
            self.drive_swim();
        }
    }

    fn drive_swim(&mut self) {
        while let Some(effect) = self.detector.swim.poll_effect() {
            match effect {
                // Datagrams travel on links.
                SwimEffect::Send { to, bytes } if self.is_reachable(to) => {
                    self.effects.push_back(Effect::Datagram { to, bytes });
                }
                SwimEffect::Send { .. } => {}
                SwimEffect::BecameUp(node) => self.tell_liveness(node, Liveness::Up),
                SwimEffect::BecameDown(node) => {
                    self.counters.members_judged_down += 1;
                    self.tell_liveness(node, Liveness::Down);
                }
                // It is up as before; that its link broke was noticed elsewhere.
                SwimEffect::Returned(_) => {}
                SwimEffect::WasCalledDown => self.counters.called_down += 1,
                SwimEffect::Refused { .. } => self.counters.datagrams_refused += 1,
            }
        }
    }

    fn tell_liveness(&mut self, node: NodeId, liveness: Liveness) {
        self.effects.push_back(Effect::LivenessChanged { node, liveness });
    }
}

fn swim_config(timing: &Timing) -> SwimConfig {
    let probe_period = timing.probe_period.max(PROBE_PERIOD_MIN);
    SwimConfig {
        probe_period,
        // The detour by way of others has to fit into the rest of the period.
        probe_rtt: timing.probe_timeout.min(probe_period / 3),
        suspicion_min: timing.suspicion_min,
        gossip_period: timing.news_period.max(PROBE_PERIOD_MIN),
        announce_to_down_period: timing.ask_down_period.max(PROBE_PERIOD_MIN),
        ..SwimConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_timing_is_the_detectors_own() {
        assert_eq!(swim_config(&Timing::default()), SwimConfig::default());
    }

    #[test]
    fn periods_that_the_detector_cannot_have_are_bent() {
        let none = Duration::ZERO;
        let timing = Timing {
            probe_period: none,
            probe_timeout: Duration::from_secs(1),
            news_period: none,
            ask_down_period: none,
            ..Timing::default()
        };
        let config = swim_config(&timing);
        assert_eq!(config.probe_period, PROBE_PERIOD_MIN);
        assert!(config.probe_rtt * 3 <= config.probe_period);
        assert!(config.gossip_period > none && config.announce_to_down_period > none);
    }
}
