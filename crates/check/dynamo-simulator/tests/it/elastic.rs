//! Partitions move while clients are at work, and nothing goes wrong but that: bugs that other systems
//! had, by the names under which they are known.

use core::time::Duration;
use std::collections::BTreeSet;

use dynamo_checker::history::HostIndex;
use dynamo_membership::MemberStatus;
use dynamo_messages::{ClusterChange, Options, Reply};
use dynamo_simulator::script::{Script, join, leave, reweight};

use crate::steps::{
    AT_REST, COLLECTED, Chains, all_are_there, committed, keys, milliseconds, put_all,
    rows_are_where_they_belong, shown, stages, stored, strict, value_of,
};

const KEY: &str = "cart";

/// A cluster adds a node, and keys are missing afterwards.
#[test]
fn rebalance_keeps_every_key() {
    let mut script = Script::with_spares(4, 1);
    let (hosts, new) = (script.hosts(), HostIndex(4));
    let keys = keys("key", 300);
    put_all(&mut script, &hosts[..4], &keys);
    assert_eq!(script.object_rows(new), 0);
    committed(&script.change(hosts[0], &[join(new)]));
    script.await_rest(AT_REST);
    assert_eq!(script.status(hosts[0], new), MemberStatus::Active);
    assert!(script.object_rows(new) > 0, "it got its share");
    all_are_there(&mut script, &keys);
    rows_are_where_they_belong(&script, &keys);
}

/// Two nodes join and two leave under load, and recent acknowledged puts are lost.
#[test]
fn acked_put_in_heavy_handoff() {
    let mut script = Script::with_spares(4, 2);
    let hosts = script.hosts();
    let mut chains = Chains::begin(&mut script, hosts[0], &keys("chain", 40), Options::default());
    let changes = [join(hosts[4]), join(hosts[5]), leave(hosts[0]), leave(hosts[1])];
    committed(&script.change(hosts[2], &changes));
    let before = chains.acknowledged;
    while script.unrest(&hosts).is_some() {
        assert!(script.elapsed() < AT_REST, "{:?}", script.unrest(&hosts));
        for at in script.serving() {
            let reply = chains.put(&mut script, at);
            let is_out = script.status(at, at) == MemberStatus::Removed;
            assert!(is_out || matches!(reply, Reply::Stored { .. }), "{at}: {reply:?}");
        }
    }
    assert!(chains.acknowledged > before + 200, "{} puts were made", chains.acknowledged);
    assert_eq!(script.serving(), hosts[2..]);
    chains.all_are_there(&mut script);
    assert_eq!((script.object_rows(hosts[0]), script.object_rows(hosts[1])), (0, 0));
}

/// Requests follow the ring before the data does: a key is there, and is not found.
#[test]
fn no_read_from_target_before_data() {
    let mut script = Script::with_spares(4, 1);
    let (hosts, new) = (script.hosts(), HostIndex(4));
    let keys = keys("key", 120);
    put_all(&mut script, &hosts[..4], &keys);
    // Its data comes late.
    script.slow_disk(new, 40);
    committed(&script.change(hosts[0], &[join(new)]));
    let mut seen = BTreeSet::new();
    let mut reads = 0;
    while script.unrest(&hosts).is_some() {
        for key in keys.iter().skip(reads % 7).step_by(7) {
            let at = hosts[reads % 5];
            seen.extend(stages(&script, at));
            for r in [Some(1), None, Some(3)] {
                let values = shown(&script.get(at, key, r));
                assert_eq!(values, Some(Vec::from([value_of(key)])), "{key} at {at}, r={r:?}");
            }
            reads += 1;
        }
        assert!(script.elapsed() < AT_REST, "{:?}", script.unrest(&hosts));
    }
    assert!(seen.contains("Fenced") && seen.contains("Committed"), "reads saw only {seen:?}");
    assert!(script.object_rows(new) > 0);
}

/// Quorums of the old ring and of the new one have no node in common.
#[test]
fn read_after_write_over_ring_change() {
    for slow in [1, 30] {
        let mut script = Script::with_spares(4, 2);
        let hosts = script.hosts();
        let mut chains = Chains::begin(&mut script, hosts[0], &keys("chain", 24), strict());
        script.slow_disk(hosts[4], slow);
        let changes = [join(hosts[4]), join(hosts[5]), leave(hosts[0]), leave(hosts[1])];
        committed(&script.change(hosts[3], &changes));
        let mut seen = BTreeSet::new();
        let (mut turn, mut moment) = (0, 0);
        while script.unrest(&hosts).is_some() {
            let serving = script.serving();
            let (writer, reader) =
                (serving[turn % serving.len()], serving[(turn + 2) % serving.len()]);
            seen.extend(stages(&script, writer));
            if let Reply::Stored { .. } = chains.put(&mut script, writer) {
                let (key, _) = chains.last();
                let values = shown(&script.get_with(reader, &key, strict()));
                // A leaver may have been removed in this very moment, and then serves nothing.
                if script.status(reader, reader) != MemberStatus::Removed {
                    let values = values.unwrap_or_else(|| panic!("{reader} cannot read {key}"));
                    chains.judge(&key, &values);
                }
            }
            turn += 1;
            moment = (moment + 1) % 5;
            script.wait(milliseconds(moment));
            assert!(script.elapsed() < AT_REST, "{:?}", script.unrest(&hosts));
        }
        assert!(seen.contains("Fenced") && seen.contains("Committed"), "puts saw only {seen:?}");
        assert!(chains.acknowledged * 10 > turn * 9, "{} of {turn}", chains.acknowledged);
        chains.all_are_there(&mut script);
    }
}

/// Reconfigurations overlap and lose writes.
#[test]
fn reconfigure_fast() {
    for pause in [0, 10, 40, 150, 700] {
        let mut script = Script::with_spares(4, 2);
        let hosts = script.hosts();
        let all = keys("chain", 30);
        let mut chains = Chains::begin(&mut script, hosts[0], &all, Options::default());
        let pause = milliseconds(pause);
        insist(&mut script, hosts[0], &[join(hosts[4])]);
        chains.put_for(&mut script, pause);
        insist(&mut script, hosts[2], &[reweight(hosts[1], 4)]);
        chains.put_for(&mut script, pause);
        script.cancel(hosts[3]);
        chains.put_for(&mut script, pause);
        // Whoever has not heard of the last one may refuse; then nothing was begun.
        script.change(hosts[1], &[join(hosts[5]), leave(hosts[0])]);
        chains.put_for(&mut script, pause);
        script.cancel(hosts[2]);
        script.change(hosts[3], &[reweight(hosts[1], 1)]);
        chains.put_for(&mut script, pause);
        script.change(hosts[2], &[reweight(hosts[3], 3), reweight(hosts[2], 1)]);
        chains.put_for(&mut script, Duration::from_secs(1));
        insist(&mut script, hosts[1], &[]);
        script.await_rest(AT_REST);
        chains.all_are_there(&mut script);
        rows_are_where_they_belong(&script, &all);
        assert!(chains.acknowledged > 100, "{} puts", chains.acknowledged);
    }
}

/// Commits a change. Where the cluster is another one between plan and commit, operators plan again.
fn insist(script: &mut Script, at: HostIndex, changes: &[ClusterChange]) {
    let mut reply = script.change(at, changes);
    for _ in 0..20 {
        if matches!(reply, Reply::Failed(_)) {
            script.wait(milliseconds(3));
            reply = script.change(at, changes);
        }
    }
    committed(&reply);
}

/// A put that is passed on during a move is coordinated twice, and stands beside itself.
#[test]
fn put_forwarded_in_handoff_coordinated_once() {
    let mut during = 0;
    for delay in [0, 5, 15, 40, 120, 400] {
        for silent in 0..3 {
            let mut script = Script::with_spares(5, 1);
            let hosts = script.replicas_first(KEY);
            let (leaver, outsider) = (hosts[0], hosts[3]);
            script.slow_disk(HostIndex(5), 20);
            let first = stored(&script.put(outsider, KEY, "bread", &[]));
            committed(&script.change(outsider, &[join(HostIndex(5)), leave(leaver)]));
            script.wait(milliseconds(delay));
            let stage = script.register(outsider, script.partition_of(KEY)).stage();
            during += usize::from(stage.is_some());
            // Whoever is asked may stay silent, is passed over, and wakes up to an old request.
            script.pause(hosts[silent]);
            stored(&script.put(outsider, KEY, "milk", &[&first]));
            script.resume(hosts[silent]);
            script.await_rest(AT_REST);
            for at in script.serving() {
                assert_eq!(script.read(at, KEY).values, ["milk"], "{delay} ms, {silent}, {at}");
            }
        }
    }
    assert!(during >= 6, "only {during} puts met a move");
}

/// A delete during a move is collected by one side only: it returns, and is repaired for ever.
#[test]
fn delete_during_handoff_reaped_both() {
    let mut during = 0;
    for delay in [0, 3, 10, 30, 80, 200, 600] {
        let mut script = Script::with_spares(4, 1);
        let hosts = script.replicas_first(KEY);
        let (leaver, new) = (hosts[0], HostIndex(4));
        script.slow_disk(new, 20);
        let seen = stored(&script.put(hosts[1], KEY, "milk", &[]));
        committed(&script.change(hosts[1], &[join(new), leave(leaver)]));
        script.wait(milliseconds(delay));
        let stage = script.register(hosts[1], script.partition_of(KEY)).stage();
        during += usize::from(stage.is_some());
        stored(&script.mutate(hosts[2], KEY, None, &[&seen], Options::default()));
        script.await_rest(AT_REST);
        script.wait(COLLECTED * 2);
        assert_eq!(script.holders(KEY), [], "after {delay} ms the tombstone was not collected");
        let written = script.object_rows_written();
        script.wait(COLLECTED);
        assert_eq!(script.object_rows_written(), written, "traffic falls silent");
        for at in script.serving() {
            assert!(script.read(at, KEY).values.is_empty(), "it is back at {at}");
        }
        assert_eq!(script.holders(KEY), []);
    }
    assert!(during >= 3, "only {during} deletes met a move");
}

/// Replicas of a partition share a node at the seam of the ring.
#[test]
fn n_distinct_nodes_incl_wraparound() {
    let mut script = Script::with_spares(4, 3);
    let hosts = script.hosts();
    let keys = keys("key", 60);
    put_all(&mut script, &hosts[..4], &keys);
    let changes = [
        Vec::from([join(hosts[4])]),
        Vec::from([leave(hosts[1])]),
        Vec::from([join(hosts[5]), join(hosts[6])]),
        Vec::from([leave(hosts[0]), leave(hosts[4])]),
        Vec::from([leave(hosts[3])]),
    ];
    for change in changes {
        let at = script.serving()[1];
        committed(&script.change(at, &change));
        script.await_rest(AT_REST);
        for by in script.serving() {
            for partition in script.partitions() {
                let set: BTreeSet<HostIndex> =
                    script.replica_set(by, partition).into_iter().collect();
                assert_eq!(set.len(), 3, "{partition} after {change:?}");
                for host in set {
                    let status = script.status(by, host);
                    assert_eq!(status, MemberStatus::Active, "{host} has {partition}");
                }
            }
        }
        rows_are_where_they_belong(&script, &keys);
    }
    let edges: BTreeSet<_> = keys.iter().map(|key| script.partition_of(key)).collect();
    assert_eq!(edges.len(), script.partitions().len(), "the seam is among what was looked at");
    all_are_there(&mut script, &keys);
}

/// What moves travels once: the joiner gets each record from one member, comparing with the others and with
/// the leaver finds nothing, and the leaver hears from all that it has nothing left to offer.
#[test]
fn at_rest_a_move_sends_each_record_once() {
    let mut script = Script::with_spares(3, 1);
    let (hosts, new) = (script.hosts(), HostIndex(3));
    let keys = keys("key", 600);
    put_all(&mut script, &hosts[..3], &keys);
    script.wait(Duration::from_secs(30));
    let before = script.records_sent();
    committed(&script.change(hosts[0], &[join(new)]));
    script.await_rest(AT_REST);
    let sent = usize::try_from(script.records_sent() - before).expect("a few hundred");
    assert_eq!(sent, script.object_rows(new));
    let offered: u64 = hosts.iter().map(|host| script.counters(*host).leftovers_offered).sum();
    assert_eq!(offered, 0);
    let wiped: u64 = hosts.iter().map(|host| script.counters(*host).copies_wiped).sum();
    assert!(wiped > 0, "something moved");
}
