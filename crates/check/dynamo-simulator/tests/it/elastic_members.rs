//! Histories that break looser rules of who is a member, played with whole nodes (protocol rule 8): force,
//! refusals, removals, leaves that are held up.

use core::time::Duration;
use std::collections::BTreeSet;

use dynamo_checker::history::HostIndex;
use dynamo_membership::MemberStatus;
use dynamo_messages::{ClusterChange, Failure, Reply};
use dynamo_register::Stage;
use dynamo_simulator::disk::Crash;
use dynamo_simulator::script::{Script, join, leave, remove, reweight};

use crate::steps::{
    AT_REST, COLLECTED, SETTLED, all_are_there, committed, keys, keys_beside, milliseconds,
    one_copy, put_all, rows_are_where_they_belong, stored, strict, value_of,
};

const KEY: &str = "cart";

/// Operators force on both sides of a split, and give up different nodes. What either side acknowledged is
/// there afterwards, and so is what only the nodes had that were given up.
#[test]
pub(crate) fn history_21_double_force_then_heal() {
    for second_gives_up_more in [true, false] {
        let mut script = Script::new(7);
        let hosts = script.replicas_first(KEY);
        // Two of three members of this one die; for others it may be one, or none.
        let (dead, left) = (hosts[..2].to_vec(), &hosts[2..]);
        let (one, two) = (&left[..3], &left[3..]);
        let keys = keys("key", 40);
        put_all(&mut script, &hosts, &keys);
        script.wait(Duration::from_secs(2));
        // The dead ones acknowledge something that nobody else ever sees.
        let last = keys_beside(&script, KEY, 1).pop().expect("one");
        script.split(&dead, true);
        script.wait(SETTLED);
        stored(&script.mutate(dead[0], &last, Some("unseen"), &[], strict()));
        for host in &dead {
            script.pause(*host);
        }
        script.split(&dead, false);
        script.split(one, true);
        script.wait(SETTLED);
        // One of the sides also gives up a node that lives on, on the other side.
        let alive = if second_gives_up_more { one[1] } else { two[0] };
        let more = [dead.clone(), Vec::from([alive])].concat();
        let (by_one, by_two) = if second_gives_up_more { (&dead, &more) } else { (&more, &dead) };
        committed(&script.force(one[0], by_one));
        committed(&script.force(two[1], by_two));
        let partition = script.partition_of(KEY);
        let forced = [one[0], two[1]].map(|host| script.register(host, partition));
        assert!(forced.iter().all(|register| register.epoch.force.is_some()), "{forced:?}");
        assert_ne!(forced[0].current, forced[1].current, "two sets under one number");
        let mut written: Vec<(String, String)> = Vec::new();
        let mut of_sides = [0, 0];
        for round in 0..3 {
            script.wait(Duration::from_secs(3));
            for key in keys.iter().take(12).chain([&last]) {
                for (side, at) in [(0, one[round % 3]), (1, two[round % 2])] {
                    let value = format!("{key} {round} {at}");
                    let reply = script.mutate(at, key, Some(&value), &[], one_copy());
                    if let Reply::Stored { .. } = reply {
                        written.push((key.clone(), value));
                        of_sides[side] += 1;
                    }
                }
            }
        }
        assert!(of_sides.iter().all(|count| *count >= 30), "each side wrote: {of_sides:?}");
        script.split(one, false);
        script.wait(SETTLED);
        script.await_rest(AT_REST * 2);
        for host in &dead {
            script.resume(*host);
        }
        script.wait(SETTLED);
        script.await_rest(AT_REST * 2);
        script.wait(COLLECTED);
        written.push((last, "unseen".to_owned()));
        let serving = script.serving();
        assert_eq!(serving.len(), 4, "{serving:?}");
        for at in &serving {
            for (key, value) in &written {
                let values = script.read(*at, key).values;
                assert!(values.contains(value), "{at}: {value} is missing in {values:?}");
            }
            for key in &keys {
                assert!(script.read(*at, key).values.contains(&value_of(key)), "{key} at {at}");
            }
        }
        rows_are_where_they_belong(&script, &keys);
        for host in more {
            assert_eq!(script.status(serving[0], host), MemberStatus::Removed);
            assert_eq!(script.object_rows(host), 0);
        }
    }
}

/// A replica set always has N members: whoever would leave fewer behind is told so, and nothing changes.
#[test]
fn history_22_leave_below_n_refused() {
    let mut script = Script::with_spares(4, 1);
    let hosts = script.hosts();
    let keys = keys("key", 20);
    put_all(&mut script, &hosts[..4], &keys);
    let refuses = |script: &mut Script, change: &[ClusterChange]| {
        let known: Vec<_> = hosts.iter().map(|host| script.status(hosts[1], *host)).collect();
        for reply in [script.plan(hosts[1], change), script.commit(hosts[1], change, 0)] {
            match reply {
                Reply::Failed(Failure::Invalid { detail, .. }) => {
                    assert!(detail.contains('3'), "it does not say how many: {detail}");
                }
                other => panic!("{change:?} is answered {other:?}"),
            }
        }
        script.wait(Duration::from_secs(3));
        assert_eq!(script.unrest(&hosts), None);
        let after: Vec<_> = hosts.iter().map(|host| script.status(hosts[1], *host)).collect();
        assert_eq!(known, after, "nothing changed");
    };
    refuses(&mut script, &[leave(hosts[0]), leave(hosts[1])]);
    committed(&script.change(hosts[1], &[leave(hosts[0])]));
    script.await_rest(AT_REST);
    refuses(&mut script, &[leave(hosts[2])]);
    refuses(&mut script, &[remove(hosts[2])]);
    all_are_there(&mut script, &keys);
    // With one more it is possible.
    committed(&script.change(hosts[1], &[join(hosts[4]), leave(hosts[2])]));
    script.await_rest(AT_REST);
    assert_eq!(script.serving(), [hosts[1], hosts[3], hosts[4]]);
    all_are_there(&mut script, &keys);
}

/// One side removes a node while the other one sets its details, later and more often.
#[test]
fn history_23_removed_stays_removed() {
    let mut script = Script::with_spares(6, 1);
    let hosts = script.hosts();
    let removed = hosts[5];
    let keys = keys("key", 30);
    put_all(&mut script, &hosts[..6], &keys);
    let other_side = [hosts[3], hosts[4], removed, hosts[6]];
    script.split(&other_side, true);
    script.wait(SETTLED);
    committed(&script.change(hosts[0], &[remove(removed)]));
    for weight in [7, 2, 5, 3] {
        committed(&script.change(hosts[3], &[reweight(removed, weight)]));
        script.wait(Duration::from_secs(2));
    }
    assert_eq!(script.status(hosts[3], removed), MemberStatus::Active);
    script.split(&other_side, false);
    script.wait(SETTLED);
    script.await_rest(AT_REST);
    for crash in [false, true] {
        if crash {
            script.crash(removed, Crash::Process);
            script.wait(SETTLED);
            script.await_rest(AT_REST);
        }
        for by in script.hosts() {
            assert_eq!(script.status(by, removed), MemberStatus::Removed, "in the eyes of {by}");
            for partition in script.partitions() {
                assert!(!script.replica_set(by, partition).contains(&removed), "{by}");
            }
        }
    }
    all_are_there(&mut script, &keys);
    rows_are_where_they_belong(&script, &keys);
}

/// A leaver keeps hints for a node that never comes back: it does not wait for that.
#[test]
fn history_24_leaver_with_hints_for_a_dead_node() {
    let mut left = 0;
    for (dead, leaver) in (0..8).flat_map(|dead| (0..8).map(move |leaver| (dead, leaver))) {
        let mut script = Script::with_spares(8, 1);
        let hosts = script.hosts();
        let (dead, leaver, new) = (hosts[dead], hosts[leaver], hosts[8]);
        let at = hosts.iter().copied().find(|host| ![dead, leaver].contains(host)).expect("more");
        // Of what they share the dead one is a new member: that holds a leave up. Here it is hints alone.
        let sets = |script: &Script| -> Vec<Vec<HostIndex>> {
            script.partitions().into_iter().map(|id| script.replica_set(at, id)).collect()
        };
        if sets(&script).iter().any(|set| set.contains(&dead) && set.contains(&leaver)) {
            continue;
        }
        let keys: Vec<String> = keys("key", 80);
        script.pause(dead);
        script.wait(SETTLED);
        put_all(&mut script, &[at], &keys);
        script.wait(Duration::from_secs(1));
        let kept = keys.iter().filter(|key| script.hints_of(leaver, key).contains(&dead)).count();
        if kept == 0 {
            continue;
        }
        committed(&script.change(at, &[join(new), leave(leaver)]));
        let gone = script.wait_for(AT_REST, milliseconds(100), |script| {
            script.status(at, leaver) == MemberStatus::Removed
        });
        if !gone {
            let has_dead =
                sets(&script).iter().any(|set| set.contains(&dead) && set.contains(&new));
            let view = script.transfers(at);
            assert!(!view.transfers.is_empty() && has_dead, "held up by nothing: {view:?}");
            continue;
        }
        left += 1;
        assert_eq!((script.hints(leaver), script.object_rows(leaver)), (0, 0));
        // What it kept did not go with it: the dead one gets it from the others.
        script.isolate(leaver, true);
        script.resume(dead);
        script.wait(COLLECTED);
        for at in script.serving().into_iter().filter(|at| *at != leaver) {
            for key in &keys {
                assert_eq!(script.read(at, key).values, [value_of(key)], "{key} at {at}");
            }
        }
        for key in &keys {
            let set = script.replica_set(at, script.partition_of(key));
            assert!(!set.contains(&dead) || script.has_row(dead, key), "{key} is not at {dead}");
        }
    }
    assert!(left > 0, "no node left");
}

/// A new member dies: the leave is held up, can be seen to be, and ends when that one is replaced.
#[test]
pub(crate) fn history_24_a_dead_new_member_holds_a_leave_up_until_it_is_replaced() {
    let mut script = Script::with_spares(4, 2);
    let hosts = script.replicas_first(KEY);
    let (leaver, at) = (hosts[0], hosts[1]);
    let partition = script.partition_of(KEY);
    let keys = keys_beside(&script, KEY, 60);
    put_all(&mut script, &hosts[..4], &keys);
    let (new, spare) = (HostIndex(4), HostIndex(5));
    script.slow_disk(leaver, 300);
    committed(&script.change(at, &[join(new), leave(leaver)]));
    let decided = script.wait_for(AT_REST, milliseconds(1), |script| {
        script.register(at, partition).stage() >= Some(Stage::Decided)
    });
    assert!(decided, "{:?}", script.unrest(&hosts));
    let joined = script.next_set(at, partition).expect("a move");
    let dead = *joined.iter().find(|host| !hosts[..3].contains(host)).expect("a joiner");
    script.pause(dead);
    script.wait(AT_REST);
    assert_eq!(script.status(at, leaver), MemberStatus::Leaving, "nobody compared with {dead}");
    assert!(keys.iter().all(|key| script.has_row(leaver, key)), "it has dropped nothing");
    let view = script.transfers(at);
    let named: BTreeSet<HostIndex> = view
        .transfers
        .iter()
        .flat_map(|t| &t.waiting)
        .map(|(node, _)| script.host_of(*node))
        .collect();
    assert!(named.contains(&dead), "transfers do not name {dead}: {view:?}");
    assert!(view.leaving.iter().any(|node| script.host_of(*node) == leaver));
    committed(&script.change(at, &[remove(dead), join(spare)]));
    let gone = script.wait_for(AT_REST, milliseconds(100), |script| {
        script.status(at, leaver) == MemberStatus::Removed
    });
    assert!(gone, "{:?}", script.unrest(&[at]));
    script.await_rest(AT_REST);
    all_are_there(&mut script, &keys);
    rows_are_where_they_belong_but_for(&script, &keys, dead);
}

/// As if the dead one's disk were not there.
fn rows_are_where_they_belong_but_for(script: &Script, keys: &[String], dead: HostIndex) {
    for key in keys {
        let mut holders = script.holders(key);
        holders.retain(|host| *host != dead);
        let set = script.replica_set(script.serving()[0], script.partition_of(key));
        let (holders, set): (BTreeSet<_>, BTreeSet<_>) =
            (holders.into_iter().collect(), set.into_iter().collect());
        assert_eq!(holders, set, "{key}");
    }
}
