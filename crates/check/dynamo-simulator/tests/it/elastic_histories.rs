//! Histories that break looser rules of moving partitions, played with whole nodes (protocol rule 8).
//! Those of the register alone are walked by the model check of dynamo-register.

use core::time::Duration;

use dynamo_checker::history::HostIndex;
use dynamo_messages::{Options, Reply};
use dynamo_register::Stage;
use dynamo_simulator::script::{Script, join, leave, remove};
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
    for delay in (0..24).map(|step| step * 100) {
        let mut script = Script::new(5);
        let hosts = script.replicas_first(KEY);
        // A member coordinates what it is asked.
        let (friend, unaware, reader) = (hosts[1], hosts[2], hosts[3]);
        let partition = script.partition_of(KEY);
        let first = stored(&script.put(hosts[0], KEY, "first", &[]));
        // It reaches one of the others, which passes nothing on while the first member is up.
        for other in script.hosts().into_iter().filter(|other| ![unaware, friend].contains(other)) {
            script.cut(unaware, other, true);
        }
        script.wait(SETTLED);
        committed(&script.change(reader, &[leave(hosts[0])]));
        let stage = if delay % 200 == 0 { Stage::Synced } else { Stage::Decided };
        let arrived = |script: &Script| script.register(friend, partition).stage() >= Some(stage);
        assert!(script.wait_for(AT_REST, Duration::from_micros(100), arrived));
        script.wait(Duration::from_micros(delay));
        let is_behind = script.register(unaware, partition) < script.register(friend, partition);
        behind += u32::from(is_behind);
        if delay % 400 == 0 {
            // Two of the old set are not enough for a get any more, once a move is decided.
            if let Some(values) = shown(&script.get_with(unaware, KEY, strict())) {
                assert_eq!(values, ["first"], "{delay} us");
            }
        }
        // Blind, or it would be passed on to whoever coordinated the first one.
        let second = context(&script.mutate(unaware, KEY, Some("second"), &[], strict()));
        stale += script.counters(unaware).requests_stale;
        let mut expected = second.as_ref().map_or("first", |_| "second");
        for _ in 0..10 {
            if let Some(values) = shown(&script.get_with(reader, KEY, strict())) {
                assert!(is_there(&values, &[expected, "second"]), "{delay} us: {values:?}");
            }
            script.wait(milliseconds(10));
        }
        let contexts = [second.as_deref().unwrap_or(&first), &first];
        let third = context(&script.mutate(reader, KEY, Some("third"), &contexts, strict()));
        expected = third.map_or(expected, |_| "third");
        for _ in 0..10 {
            for at in [unaware, reader] {
                if let Some(values) = shown(&script.get_with(at, KEY, strict())) {
                    let there = is_there(&values, &[expected, "third"]);
                    assert!(there || unsure(&values, expected), "{delay} us, {at}: {values:?}");
                }
            }
            script.wait(milliseconds(10));
        }
        script.isolate(unaware, false);
        script.await_rest(AT_REST);
        for at in script.serving() {
            let values = script.read(at, KEY).values;
            let there = is_there(&values, &[expected, "third"]);
            assert!(there || unsure(&values, expected), "{delay} us, {at}: {values:?}");
        }
    }
    assert!(stale >= 3 && behind >= 3, "{stale} stale, {behind} behind");
}

/// One of these is shown: the last acknowledged write, or a later one that took effect all the same.
fn is_there(values: &[String], any: &[&str]) -> bool {
    values.iter().any(|value| any.contains(&value.as_str()))
}

/// Nobody knows whether the second one took effect, and it replaces the first.
fn unsure(values: &[String], expected: &str) -> bool {
    expected == "first" && is_there(values, &["second"])
}

fn context(reply: &Reply) -> Option<String> {
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
