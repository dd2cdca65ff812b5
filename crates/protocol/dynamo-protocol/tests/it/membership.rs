//! Members: passed on, written down, announced; and what is thought of them.

use std::time::Duration;

use bytes::Bytes;
use dynamo_membership::{Liveness, Member, MemberStatus, Members};
use dynamo_messages::{Envelope, PeerMessage, Reply, Request};
use dynamo_protocol::Event;
use dynamo_types::{Bucket, BucketSettings, NodeId, Profile, Replication};
use dynamo_versioning::Hlc;

use crate::cluster::{Cluster, node};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Where a node believes another one to be.
fn address(cluster: &Cluster, at: u64, of: u64) -> String {
    cluster.node(node(at)).members().get(node(of)).unwrap().details.address.clone()
}

fn received(from: NodeId, message: PeerMessage) -> Event {
    Event::Received { from, envelope: Envelope { hlc: Hlc::ZERO, message } }
}

fn set(profile: Profile) -> Request {
    let n = Replication::new(3).unwrap();
    let bucket = Bucket::new("carts").unwrap();
    Request::PutBucket { bucket, settings: BucketSettings::of_profile(profile, n) }
}

/// The message in which a restarted node told the others its new address.
fn news_of_an_address() -> Bytes {
    let mut cluster = Cluster::new(3, 3);
    cluster.gossip.clear();
    cluster.restart_elsewhere(node(1), "elsewhere");
    let of_node_1 = cluster.gossip.iter().filter(|(from, ..)| *from == node(1));
    let entries = of_node_1
        .map(|(.., bytes)| bytes)
        .find(|bytes| bytes.windows(9).any(|part| part == b"elsewhere"));
    entries.expect("it told its address").clone()
}

#[test]
fn a_node_that_restarts_elsewhere_is_found_there() {
    let mut cluster = Cluster::new(3, 3);
    cluster.restart_elsewhere(node(2), "elsewhere");
    for at in 1..=3 {
        assert_eq!(address(&cluster, at, 2), "elsewhere:7100", "at node {at}");
        let told = &cluster.told[&(node(at), node(2))];
        assert_eq!(told.details.http_address, "elsewhere:8100", "the shell was told");
        assert_eq!(address(&cluster, at, 3), "host-3:7100");
    }
    let Reply::Cluster(view) = cluster.request(node(3), Request::Cluster) else { panic!() };
    assert_eq!(view.members[1].address, "elsewhere:7100");
    // What was learnt is on disk: nobody tells it this time.
    cluster.restart(node(3));
    cluster.cut_links.extend([(node(1), node(3)), (node(2), node(3))]);
    cluster.restart(node(3));
    assert_eq!(address(&cluster, 3, 2), "elsewhere:7100");
}

#[test]
fn a_shell_is_told_of_every_member_at_the_start_and_then_of_what_changes() {
    let mut cluster = Cluster::new(3, 3);
    for (at, of) in (1..=3).flat_map(|at| (1..=3).map(move |of| (at, of))) {
        let told = &cluster.told[&(node(at), node(of))];
        assert_eq!(told.details.address, format!("host-{of}:7100"));
    }
    cluster.told.clear();
    cluster.pass(seconds(5));
    assert!(cluster.told.is_empty(), "nothing is new");
    assert_eq!(cluster.counters(node(1)).members_changed, 0);
}

#[test]
fn a_stamp_that_its_author_forgot_does_not_bring_an_old_address_back() {
    let mut cluster = Cluster::new(3, 3);
    // The others learn where it is, but its own disk does not keep it.
    cluster.full_disks.insert(node(1));
    cluster.restart_elsewhere(node(1), "z-first");
    assert_eq!(address(&cluster, 2, 1), "z-first:7100");
    cluster.restart_elsewhere(node(1), "a-second");
    for at in 1..=3 {
        assert_eq!(address(&cluster, at, 1), "a-second:7100", "at node {at}");
    }
}

#[test]
fn members_that_a_full_disk_refused_are_written_once_there_is_room() {
    let mut cluster = Cluster::new(3, 3);
    cluster.full_disks.insert(node(3));
    cluster.restart_elsewhere(node(1), "elsewhere");
    cluster.full_disks.clear();
    cluster.pass(seconds(2));
    cluster.cut_links.extend([(node(1), node(3)), (node(2), node(3))]);
    cluster.restart(node(3));
    assert_eq!(address(&cluster, 3, 1), "elsewhere:7100");
}

#[test]
fn gossip_bit_flip() {
    let news = news_of_an_address();
    let mut cluster = Cluster::new(3, 3);
    let before = cluster.node(node(2)).members().clone();
    let bits = news.len() * 8;
    for bit in 0..bits {
        let mut flipped = news.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let message = PeerMessage::Gossip { bytes: flipped.into() };
        cluster.event(node(2), received(node(1), message));
    }
    cluster.pass(seconds(3));
    assert_eq!(cluster.counters(node(2)).gossip_refused, bits as u64);
    for at in 1..=3 {
        assert_eq!(cluster.node(node(at)).members(), &before, "node {at} has heard of it");
        assert_eq!(cluster.counters(node(at)).members_changed, 0);
    }
    // The message itself is fine, and spreads.
    cluster.event(node(2), received(node(1), PeerMessage::Gossip { bytes: news }));
    cluster.pass(seconds(3));
    assert_eq!(address(&cluster, 3, 1), "elsewhere:7100");
}

#[test]
fn gossip_generation_after_long_uptime() {
    let mut cluster = Cluster::new(3, 3);
    cluster.pass(seconds(10));
    cluster.skip_years(20);
    cluster.restart_elsewhere(node(3), "elsewhere");
    cluster.pass(seconds(10));
    for at in 1..=2 {
        assert_eq!(address(&cluster, at, 3), "elsewhere:7100");
        assert_eq!(cluster.node(node(at)).liveness(node(3)), Liveness::Up);
        let counters = cluster.counters(node(at));
        assert_eq!((counters.gossip_refused, counters.datagrams_refused), (0, 0));
    }
}

#[test]
fn settings_that_went_past_a_node_reach_it_without_a_new_connection() {
    let mut cluster = Cluster::new(3, 3);
    let ways = [(1, 3), (2, 3), (3, 1), (3, 2)].map(|(from, to)| (node(from), node(to)));
    cluster.cut_links.extend(ways);
    cluster.request(node(1), set(Profile::Timestamp));
    cluster.cut_links.clear();
    let carts = Bucket::new("carts").unwrap();
    assert!(!cluster.stored_settings(node(3), &carts));
    cluster.pass(seconds(10));
    assert!(cluster.stored_settings(node(3), &carts));
    let reply = cluster.request(node(3), Request::GetBucket { bucket: carts });
    assert!(matches!(reply, Reply::Bucket { version: 1, .. }), "{reply:?}");
}

#[test]
fn groups_of_another_number_are_refused() {
    let mut cluster = Cluster::new(3, 3);
    for groups in [vec![], vec![0; 63], vec![0; 65]] {
        cluster.event(node(1), received(node(2), PeerMessage::BucketGroups { groups }));
    }
    assert_eq!(cluster.counters(node(1)).messages_refused, 3);
}

#[test]
fn who_is_cut_off_is_judged_down_and_nobody_waits_for_it() {
    let mut cluster = Cluster::new(3, 3);
    cluster.pass(seconds(5));
    let liveness = |cluster: &Cluster, of| cluster.node(node(1)).liveness(node(of));
    assert_eq!([1, 2, 3].map(|of| liveness(&cluster, of)), [Liveness::Up; 3]);
    cluster.isolate(node(3));
    assert_eq!(cluster.node(node(1)).awaited_members(), [node(3)]);
    cluster.pass(seconds(10));
    assert_eq!(liveness(&cluster, 3), Liveness::Down);
    assert_eq!(liveness(&cluster, 2), Liveness::Up);
    assert_eq!(cluster.node(node(1)).awaited_members(), []);
    let Reply::Cluster(view) = cluster.request(node(1), Request::Cluster) else { panic!() };
    let shown: Vec<(bool, &str)> =
        view.members.iter().map(|m| (m.reachable, m.liveness.as_str())).collect();
    assert_eq!(shown, [(true, "up"), (true, "up"), (false, "down")]);
    // Opinions move nothing: it is a member as before, and holds what it held.
    assert!(view.members.iter().all(|member| member.state == "member"));
    assert!(view.members[2].replicas_held > 0);
    cluster.rejoin(node(3));
    cluster.pass(seconds(3));
    assert_eq!(liveness(&cluster, 3), Liveness::Up);
}

#[test]
fn a_member_whose_link_works_is_used_whatever_is_thought_of_it() {
    let mut cluster = Cluster::new(3, 3);
    cluster.isolate(node(3));
    cluster.pass(seconds(10));
    assert_eq!(cluster.node(node(1)).liveness(node(3)), Liveness::Down);
    // A link stands again, and nothing was probed on it yet.
    cluster.event(node(1), Event::Connected { node: node(3) });
    cluster.event(node(3), Event::Connected { node: node(1) });
    cluster.put(node(1), "k", "v", "");
    assert!(cluster.holds(node(3), "k"));
}

#[test]
fn a_node_that_says_goodbye_is_down_at_once() {
    let mut cluster = Cluster::new(3, 3);
    cluster.pass(seconds(5));
    cluster.event(node(2), Event::Stopping);
    cluster.pass(seconds(1));
    assert_eq!(cluster.node(node(1)).liveness(node(2)), Liveness::Down);
    assert_eq!(cluster.counters(node(1)).peers_lost, 0, "and its link is used to the end");
}

#[test]
fn who_was_removed_learns_of_it_and_is_not_listened_to() {
    let mut cluster = Cluster::new(4, 3);
    let mut change = Members::new();
    let last = cluster.node(node(4)).members().get(node(4)).unwrap().clone();
    change.merge_member(node(4), &Member { status: MemberStatus::Removed, ..last });
    // Node 2 passes a decision on.
    let message = PeerMessage::Gossip { bytes: change.encode() };
    cluster.event(node(1), received(node(2), message));
    cluster.pass(seconds(5));
    for at in 1..=4 {
        let status = cluster.node(node(at)).members().get(node(4)).unwrap().status;
        assert_eq!(status, MemberStatus::Removed, "at node {at}");
    }
    let refused = cluster.counters(node(1)).messages_refused;
    let bucket = Bucket::new("carts").unwrap();
    cluster.event(node(1), received(node(4), PeerMessage::AskBucket { bucket }));
    assert_eq!(cluster.counters(node(1)).messages_refused, refused + 1);
    assert_eq!(cluster.node(node(1)).liveness(node(4)), Liveness::Unknown);
    assert_eq!(cluster.node(node(1)).unreachable_members(), []);
}
