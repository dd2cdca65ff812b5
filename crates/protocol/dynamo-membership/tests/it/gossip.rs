//! Whatever is exchanged, lost or flipped, all come to know the same.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use dynamo_membership::{
    Gossip, GossipConfig, GossipEffect, GossipEvent, Member, MemberDetails, MemberStatus, Members,
    Stamp,
};
use dynamo_ring::Zone;
use dynamo_types::{Instant, NodeId};
use proptest::prelude::*;

/// Nodes with their gossip, and the messages between them. What is sent to members that do not run
/// is lost.
struct Cluster {
    now: Instant,
    nodes: Vec<Gossip>,
    wire: VecDeque<(usize, usize, Bytes)>,
    sent: usize,
    bytes: usize,
    refused: usize,
    changes: usize,
}

fn id(place: usize) -> NodeId {
    NodeId(place as u64 + 1)
}

fn member(place: usize, lamport: u64, status: MemberStatus) -> Member {
    let details = MemberDetails {
        name: format!("node-{place}-{lamport}"),
        address: format!("host-{place}:7100"),
        http_address: format!("host-{place}:8100"),
        weight: 1,
        zone: Zone::default(),
    };
    Member { status, stamp: Stamp { lamport, author: id(place) }, details }
}

fn first_members(nodes: usize) -> Members {
    let mut members = Members::new();
    for place in 0..nodes {
        members.merge_member(id(place), &member(place, 0, MemberStatus::Active));
    }
    members
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        let gossip = |place| {
            let config = GossipConfig::new(id(place));
            Gossip::new(Instant::ZERO, config, first_members(nodes), place as u64)
        };
        Self {
            now: Instant::ZERO,
            nodes: (0..nodes).map(gossip).collect(),
            wire: VecDeque::new(),
            sent: 0,
            bytes: 0,
            refused: 0,
            changes: 0,
        }
    }

    fn drain(&mut self, place: usize) {
        while let Some(effect) = self.nodes[place].poll_effect() {
            match effect {
                GossipEffect::Send { to, bytes } => {
                    self.sent += 1;
                    self.bytes += bytes.len();
                    let to = usize::try_from(to.0 - 1).expect("small");
                    if to < self.nodes.len() {
                        self.wire.push_back((place, to, bytes));
                    }
                }
                GossipEffect::Changed => self.changes += 1,
                GossipEffect::Refused { .. } => self.refused += 1,
            }
        }
    }

    fn decide(&mut self, place: usize, change: &Members) {
        self.nodes[place].handle(self.now, GossipEvent::Decided(change.clone()));
        self.drain(place);
    }

    /// Delivers one message.
    fn deliver(&mut self, (from, to, bytes): (usize, usize, Bytes)) {
        let event = GossipEvent::Received { from: id(from), bytes };
        self.nodes[to].handle(self.now, event);
        self.drain(to);
    }

    fn deliver_all(&mut self) {
        while let Some(message) = self.wire.pop_front() {
            self.deliver(message);
        }
    }

    /// A second in which every message arrives.
    fn second(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        for place in 0..self.nodes.len() {
            assert!(self.nodes[place].poll_timeout().is_some_and(|due| due <= self.now));
            self.nodes[place].handle_timeout(self.now);
            self.drain(place);
        }
        self.deliver_all();
    }

    fn agree(&self) -> bool {
        self.nodes.iter().all(|node| node.members() == self.nodes[0].members())
    }
}

/// What the adversary does next.
#[derive(Debug, Clone)]
enum Step {
    Decide { place: usize, subject: usize, lamport: u64, status: MemberStatus },
    Timeout { place: usize },
    Deliver { which: usize },
    Lose { which: usize },
    Repeat { which: usize },
    Flip { which: usize, bit: usize },
}

fn step(nodes: usize) -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![
        MemberStatus::Active,
        MemberStatus::Leaving,
        MemberStatus::Removed,
    ]);
    prop_oneof![
        (0..nodes, 0..nodes + 2, 0..5u64, status).prop_map(|(place, subject, lamport, status)| {
            Step::Decide { place, subject, lamport, status }
        }),
        (0..nodes).prop_map(|place| Step::Timeout { place }),
        any::<usize>().prop_map(|which| Step::Deliver { which }),
        any::<usize>().prop_map(|which| Step::Lose { which }),
        any::<usize>().prop_map(|which| Step::Repeat { which }),
        (any::<usize>(), any::<usize>()).prop_map(|(which, bit)| Step::Flip { which, bit }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, cases: 64, ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_exchanges_converges(steps in prop::collection::vec(step(4), 0..120)) {
        let mut cluster = Cluster::new(4);
        let mut all = first_members(4);
        for step in steps {
            let count = cluster.wire.len();
            match step {
                Step::Decide { place, subject, lamport, status } => {
                    let mut change = Members::new();
                    // Whoever is removed here is only another one: those who gossip stay members.
                    let status = if subject < 4 { MemberStatus::Active } else { status };
                    change.merge_member(id(subject), &member(subject, lamport, status));
                    all.merge(&change);
                    cluster.decide(place, &change);
                }
                Step::Timeout { place } => {
                    cluster.now = cluster.now + Duration::from_secs(1);
                    let now = cluster.now;
                    cluster.nodes[place].handle_timeout(now);
                    cluster.drain(place);
                }
                Step::Deliver { which } if count > 0 => {
                    let message = cluster.wire.remove(which % count).expect("it is there");
                    cluster.deliver(message);
                }
                Step::Lose { which } if count > 0 => {
                    cluster.wire.remove(which % count);
                }
                Step::Repeat { which } if count > 0 => {
                    let message = cluster.wire[which % count].clone();
                    cluster.deliver(message);
                }
                Step::Flip { which, bit } if count > 0 => {
                    let (from, to, bytes) = cluster.wire.remove(which % count).expect("there");
                    let mut flipped = bytes.to_vec();
                    let bit = bit % (flipped.len() * 8);
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let (before, refused) = (cluster.nodes[to].members().clone(), cluster.refused);
                    cluster.deliver((from, to, flipped.into()));
                    prop_assert_eq!(cluster.nodes[to].members(), &before);
                    prop_assert_eq!(cluster.refused, refused + 1);
                }
                Step::Deliver { .. }
                | Step::Lose { .. }
                | Step::Repeat { .. }
                | Step::Flip { .. } => {}
            }
            for node in &cluster.nodes {
                let mut with_all = all.clone();
                prop_assert!(!with_all.merge(node.members()), "nobody knows what nobody decided");
            }
        }
        cluster.deliver_all();
        for _ in 0..40 {
            cluster.second();
        }
        prop_assert!(cluster.agree());
        prop_assert_eq!(cluster.nodes[0].members(), &all);
    }
}

#[test]
fn a_decision_reaches_a_hundred_nodes_within_seconds_and_then_all_is_quiet() {
    let mut cluster = Cluster::new(100);
    let mut change = Members::new();
    change.merge_member(id(7), &member(7, 3, MemberStatus::Leaving));
    cluster.decide(42, &change);
    cluster.deliver_all();
    let reached = cluster.nodes.iter().filter(|n| n.members().get(id(7)) == change.get(id(7)));
    assert!(reached.count() > 80, "most hear of it at once");
    let mut seconds = 0;
    while !cluster.agree() {
        cluster.second();
        seconds += 1;
        assert!(seconds <= 10);
    }
    assert_eq!(cluster.changes, 100, "each node learns it once");
    cluster.second();
    (cluster.sent, cluster.bytes) = (0, 0);
    cluster.second();
    assert_eq!((cluster.sent, cluster.bytes), (100, 100 * 34), "one digest a node");
}

#[test]
fn what_was_lost_is_made_up_for_within_the_rhythm() {
    let mut cluster = Cluster::new(5);
    let mut change = Members::new();
    change.merge_member(id(1), &member(1, 1, MemberStatus::Removed));
    cluster.decide(0, &change);
    cluster.wire.clear();
    for _ in 0..20 {
        cluster.second();
    }
    // The removed node is told nothing any more, but asks, and so it learns it too.
    assert!(cluster.agree());
}

#[test]
fn a_new_link_makes_up_for_what_was_missed_at_once() {
    let mut cluster = Cluster::new(3);
    let mut change = Members::new();
    change.merge_member(id(1), &member(1, 1, MemberStatus::Active));
    cluster.decide(0, &change);
    cluster.wire.clear();
    cluster.nodes[2].handle(cluster.now, GossipEvent::Connected(id(0)));
    cluster.nodes[2].handle(cluster.now, GossipEvent::Connected(id(77)));
    cluster.drain(2);
    assert_eq!(cluster.sent, 3, "two when it was decided, one to the new link, none to strangers");
    cluster.deliver_all();
    assert!(cluster.agree());
}

#[test]
fn nodes_that_start_together_do_not_speak_together() {
    let cluster = Cluster::new(50);
    let mut times: Vec<_> = cluster.nodes.iter().filter_map(Gossip::poll_timeout).collect();
    times.dedup();
    assert_eq!(times.len(), 50);
    assert!(times.iter().all(|time| *time < Instant::ZERO + Duration::from_secs(1)));
}

#[test]
fn a_decision_that_others_would_refuse_does_not_begin() {
    let mut cluster = Cluster::new(3);
    let mut unnamed = member(1, 1, MemberStatus::Active);
    unnamed.details.name.clear();
    let used_up = member(1, u64::MAX, MemberStatus::Active);
    for change in [unnamed, used_up] {
        let mut decided = Members::new();
        decided.merge_member(id(1), &change);
        cluster.decide(0, &decided);
    }
    assert_eq!(cluster.refused, 2);
    assert_eq!(cluster.nodes[0].members(), &first_members(3));
}
