//! Histories that break looser rules of moving partitions, played with whole nodes (protocol rule 8).
//! Those of the register alone are walked by the model check of dynamo-register.

use core::time::Duration;
use std::collections::BTreeSet;

use dynamo_checker::history::HostIndex;
use dynamo_membership::MemberStatus;
use dynamo_messages::{ClusterChange, Failure, Options, Reply};
use dynamo_register::Stage;
use dynamo_simulator::disk::Crash;
use dynamo_simulator::script::{Script, join, leave, remove, reweight};
use dynamo_types::{PartitionId, Profile};

use crate::steps::{
    AT_REST, COLLECTED, SETTLED, all_are_there, committed, keys, keys_beside, milliseconds,
    one_copy, put_all, rows_are_where_they_belong, shown, stored, strict, value_of,
};

const KEY: &str = "cart";

/// A cluster falls apart amid a move, and the other side plans another one. A strict get that is answered
/// has every strict put that was acknowledged before.
#[test]
fn history_16_duelling_plans_on_both_sides_of_a_split() {
    let (mut during, mut puts, mut gets) = (0, 0, 0);
    for delay in (0..12).map(|step| step * step * 8) {
        let mut script = Script::with_spares(5, 2);
        let hosts = script.replicas_first(KEY);
        let (j, k) = (HostIndex(5), HostIndex(6));
        let (a, x, y) = (hosts[0], hosts[3], hosts[4]);
        script.slow_disk(j, 20);
        script.slow_disk(k, 20);
        let mut context = stored(&script.put(a, KEY, "first", &[]));
        let mut expected = "first".to_owned();
        // One side wants the joiner that it will have, in the stead of a member that it will not have.
        committed(&script.change(x, &[join(j), leave(hosts[2])]));
        script.wait(milliseconds(delay));
        let stage = script.register(a, script.partition_of(KEY)).stage();
        during += usize::from(stage.is_some());
        script.split(&[x, a, j], true);
        // The other one changes its mind at once; it may not have heard of the first plan.
        script.cancel(y);
        script.change(y, &[join(k)]);
        for round in 0..40 {
            let (at, other) = if round % 2 == 0 { (y, x) } else { (x, y) };
            let value = format!("{round}");
            let reply = script.mutate(at, KEY, Some(&value), &[&context], quick());
            if let Reply::Stored { context: covers, .. } = reply {
                (context, expected) = (covers, value);
                puts += 1;
            }
            for reader in [other, at] {
                if let Some(values) = shown(&script.get_with(reader, KEY, quick())) {
                    assert!(
                        values.contains(&expected),
                        "{delay} ms: {reader} shows {values:?}, and misses {expected}"
                    );
                    gets += 1;
                }
            }
            script.wait(milliseconds(100));
        }
        script.split(&[x, a, j], false);
        script.wait(SETTLED);
        committed(&script.change(x, &[]));
        script.await_rest(AT_REST);
        for at in script.serving() {
            assert!(script.read(at, KEY).values.contains(&expected), "at {at}");
        }
        rows_are_where_they_belong(&script, &[KEY.to_owned()]);
    }
    assert!(during > 3 && puts > 100 && gets > 100, "{during} moves, {puts} puts, {gets} gets");
}

/// Strict, and given up soon.
fn quick() -> Options {
    Options { timeout_ms: Some(150), ..strict() }
}

/// Where every put wants all three members, one of them dies and is replaced: that needs majorities alone.
#[test]
fn history_17_dead_member_replaced_with_a_read_engine_bucket() {
    let mut script = Script::with_spares(4, 1);
    script.set_profile(Profile::ReadEngine);
    let hosts = script.replicas_first(KEY);
    let (dead, at, new) = (hosts[2], hosts[0], HostIndex(4));
    let keys = keys_beside(&script, KEY, 50);
    put_all(&mut script, &hosts[..4], &keys);
    script.pause(dead);
    script.wait(SETTLED);
    let all = Options { strict: true, ..Options::default() };
    let refused = script.mutate(at, KEY, Some("v"), &[], all);
    assert!(matches!(refused, Reply::Failed(_)), "w is 3 here: {refused:?}");
    committed(&script.change(at, &[join(new), remove(dead)]));
    script.await_rest(AT_REST);
    let set = script.replica_set(at, script.partition_of(KEY));
    assert!(!set.contains(&dead), "{set:?}");
    for replica in set {
        assert!(keys.iter().all(|key| script.has_row(replica, key)), "{replica} lacks something");
    }
    all_are_there(&mut script, &keys);
    stored(&script.mutate(at, &keys[0], Some("all three have it"), &[], all));
}

/// A move gets stuck because its new nodes die. Puts go on, by hints too, and a cancel ends it.
#[test]
fn history_18_puts_succeed_by_hints_amid_a_move() {
    let mut script = Script::with_spares(5, 2);
    let hosts = script.hosts();
    let joiners = [HostIndex(5), HostIndex(6)];
    let keys = keys("key", 120);
    put_all(&mut script, &hosts[..5], &keys);
    for joiner in joiners {
        script.slow_disk(joiner, 200);
    }
    let change = [join(joiners[0]), join(joiners[1]), leave(hosts[1]), leave(hosts[2])];
    committed(&script.change(hosts[0], &change));
    let fenced = |script: &Script| {
        let all = script.partitions().into_iter();
        let mut moving = all.filter(|id| script.next_set(hosts[0], *id).is_some());
        let known = |id| hosts.iter().all(|host| script.next_set(*host, id).is_some());
        moving.next().is_some_and(known) && moving.all(known)
    };
    assert!(script.wait_for(AT_REST, milliseconds(1), fenced), "all know of the move");
    for joiner in joiners {
        script.pause(joiner);
    }
    script.wait(SETTLED);
    // A partition of which both joiners are to be members, and a node that has nothing to do with it.
    let both = |id: &PartitionId| {
        let next = script.next_set(hosts[0], *id).unwrap_or_default();
        joiners.iter().all(|joiner| next.contains(joiner))
    };
    let partition =
        script.partitions().into_iter().find(both).expect("a partition of both joiners");
    let old = script.replica_set(hosts[0], partition);
    let next = script.next_set(hosts[0], partition).expect("a move");
    let outside = |host: &HostIndex| !old.contains(host) && !next.contains(host);
    let fallback = hosts[..5].iter().copied().find(outside).expect("a fallback");
    let of_it: Vec<&String> =
        keys.iter().filter(|key| script.partition_of(key) == partition).collect();
    assert!(of_it.len() >= 4, "{of_it:?}");
    let amid = |script: &Script, by: HostIndex| {
        let stage = script.register(by, partition).stage();
        assert!(stage.is_some() && stage <= Some(Stage::Synced), "amid the move: {stage:?}");
        assert_eq!(script.replica_set(by, partition), old);
    };
    // With the joiners dead: w of both sets, by hints for those.
    stored(&script.put(old[0], of_it[0], "two", &[]));
    // With all of the old set out of reach, too: one copy at a fallback.
    for member in &old {
        script.isolate(*member, true);
    }
    script.wait(SETTLED);
    amid(&script, fallback);
    stored(&script.mutate(fallback, of_it[1], Some("one"), &[], one_copy()));
    let strict = Options { strict: true, ..one_copy() };
    let refused = script.mutate(fallback, of_it[2], Some("no"), &[], strict);
    assert!(matches!(refused, Reply::Failed(_)), "a hint was counted as a copy: {refused:?}");
    for member in &old {
        script.isolate(*member, false);
    }
    script.wait(SETTLED);
    amid(&script, old[0]);
    script.cancel(old[0]);
    script.await_rest(AT_REST);
    assert_eq!(script.register(old[0], partition).movement, None);
    assert_eq!(script.replica_set(old[0], partition), old, "hints decided nothing");
    for joiner in joiners {
        script.resume(joiner);
    }
    script.wait(SETTLED);
    script.await_rest(AT_REST);
    script.wait(COLLECTED);
    for at in script.serving() {
        for (key, value) in [(of_it[0], "two"), (of_it[1], "one")] {
            assert_eq!(script.read(at, key).values, sorted([value, &value_of(key)]));
        }
    }
    assert_eq!(hosts.iter().map(|host| script.hints(*host)).sum::<usize>(), 0);
}

fn sorted(values: [&str; 2]) -> Vec<String> {
    let mut values = values.map(str::to_owned).to_vec();
    values.sort_unstable();
    values
}

/// A coordinator that has not heard of a move asks members that are ahead.
#[test]
fn history_19_a_coordinator_that_is_behind_is_told() {
    let (mut stale, mut behind) = (0, 0);
    for delay in (0..12).map(|step| step * step * 8) {
        for friend in 0..2 {
            let mut script = Script::with_spares(5, 1);
            let hosts = script.replicas_first(KEY);
            // A member coordinates what it is asked.
            let (unaware, reader, new) = (hosts[2], hosts[3], HostIndex(5));
            let partition = script.partition_of(KEY);
            let first = stored(&script.put(hosts[0], KEY, "first", &[]));
            // It reaches one of the others, and hears of nothing that this one does not say.
            for other in script.hosts().into_iter().filter(|other| *other != unaware) {
                script.cut(unaware, other, other != hosts[friend]);
            }
            script.wait(SETTLED);
            committed(&script.change(reader, &[join(new), leave(hosts[0])]));
            script.wait(milliseconds(delay));
            let is_behind =
                script.register(unaware, partition) < script.register(hosts[friend], partition);
            behind += u32::from(is_behind);
            let second =
                stored_at(&script.mutate(reader, KEY, Some("second"), &[&first], strict()));
            let expected = if second.is_some() { "second" } else { "first" };
            // Two of the old set do not know of it.
            if let Some(values) = shown(&script.get_with(unaware, KEY, strict())) {
                assert!(values.contains(&expected.to_owned()), "{delay} ms: {values:?}");
            }
            let contexts = [second.as_deref().unwrap_or(&first)];
            let third = script.mutate(unaware, KEY, Some("third"), &contexts, strict());
            stale += script.counters(unaware).requests_stale;
            let expected = if stored_at(&third).is_some() { "third" } else { expected };
            let mut answered = 0;
            for _ in 0..20 {
                if let Some(values) = shown(&script.get_with(reader, KEY, strict())) {
                    answered += 1;
                    assert!(is_there(&values, expected), "{delay} ms: {values:?}");
                }
                script.wait(milliseconds(10));
            }
            assert!(answered > 15, "{answered} gets were answered");
            script.isolate(unaware, false);
            script.await_rest(AT_REST);
            for at in script.serving() {
                let values = script.read(at, KEY).values;
                assert!(is_there(&values, expected), "{delay} ms, {at}: {values:?}");
            }
        }
    }
    assert!(stale >= 3 && behind >= 3, "{stale} stale, {behind} behind");
}

/// The last acknowledged write, or the last of all, which replaces it, if that one took effect all the same.
fn is_there(values: &[String], expected: &str) -> bool {
    values.iter().any(|value| value == expected || value == "third")
}

fn stored_at(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Stored { context, .. } => Some(context.clone()),
        _ => None,
    }
}

/// A move is cancelled and leaves something on the node that was to join; a delete is collected without
/// that node; then it joins after all.
#[test]
fn history_20_cancel_collect_replan() {
    for at_once in [true, false] {
        let mut script = Script::with_spares(3, 1);
        let hosts = script.replicas_first(KEY);
        let (at, new) = (hosts[1], HostIndex(3));
        let keys = keys_beside(&script, KEY, 200);
        let mut contexts = Vec::new();
        for key in &keys {
            contexts.push(stored(&script.put(hosts[0], key, &value_of(key), &[])));
        }
        let (deleted, kept) = keys.split_at(100);
        script.slow_disk(new, 30);
        committed(&script.change(at, &[join(new), leave(hosts[0])]));
        let arrived =
            script.wait_for(AT_REST, milliseconds(1), |script| script.object_rows(new) >= 50);
        assert!(arrived);
        script.isolate(new, true);
        script.wait(SETTLED);
        let stage = script.register(at, script.partition_of(KEY)).stage();
        assert!(stage.is_some() && stage <= Some(Stage::Synced), "amid the move: {stage:?}");
        let left = deleted.iter().filter(|key| script.has_row(new, key)).count();
        assert!(left > 0, "nothing is left behind");
        script.cancel(hosts[2]);
        script.await_rest_of(&hosts[..3], AT_REST);
        for (key, context) in deleted.iter().zip(&contexts) {
            stored(&script.mutate(at, key, None, &[context], Options::default()));
        }
        script.wait(COLLECTED * 2);
        for key in deleted {
            assert!(script.holders(key).iter().all(|host| *host == new), "{key} is collected");
        }
        assert!(script.object_rows(new) > 0);
        // Wanted again before, or after, it could offer and wipe what it has.
        if at_once {
            committed(&script.change(at, &[]));
        }
        script.isolate(new, false);
        script.await_rest(AT_REST);
        if !at_once {
            assert_eq!(script.object_rows(new), 0, "it wipes what is not its own");
            committed(&script.change(at, &[]));
            script.await_rest(AT_REST);
        }
        script.wait(COLLECTED);
        assert!(script.replica_set(at, script.partition_of(KEY)).contains(&new));
        for by in script.serving() {
            for key in deleted {
                assert!(script.read(by, key).values.is_empty(), "{key} is back at {by}");
            }
        }
        for key in deleted {
            assert_eq!(script.holders(key), [], "{key} is back");
        }
        all_are_there(&mut script, kept);
        rows_are_where_they_belong(&script, kept);
    }
}

/// Operators force on both sides of a split, and give up different nodes. What either side acknowledged is
/// there afterwards, and so is what only the nodes had that were given up.
#[test]
fn history_21_double_force_then_heal() {
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
fn history_24_a_dead_new_member_holds_a_leave_up_until_it_is_replaced() {
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
