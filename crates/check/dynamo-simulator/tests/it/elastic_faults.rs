//! Nodes die, stand still or lose rows while partitions move: bugs that other systems had, by the names
//! under which they are known.

use core::time::Duration;

use dynamo_checker::history::HostIndex;
use dynamo_membership::MemberStatus;
use dynamo_messages::{Options, Reply};
use dynamo_register::Stage;
use dynamo_simulator::disk::Crash;
use dynamo_simulator::script::{Script, join, leave, remove};

use crate::steps::{
    AT_REST, COLLECTED, SETTLED, all_are_there, committed, keys, keys_beside, milliseconds,
    one_copy, put_all, rows_are_where_they_belong, shown, stored, value_of,
};

const KEY: &str = "cart";

/// The only copy of a put is a hint for a node that is leaving.
#[test]
fn hint_for_leaving_replica() {
    for delay in [0, 30, 100, 300, 1_000, 3_000, 20_000] {
        let mut script = Script::with_spares(4, 1);
        let hosts = script.replicas_first(KEY);
        let (members, fallback, new) = (&hosts[..3], hosts[3], HostIndex(4));
        for member in members {
            script.pause(*member);
        }
        script.wait(SETTLED);
        stored(&script.mutate(fallback, KEY, Some("milk"), &[], one_copy()));
        assert_eq!(script.holders(KEY), [], "nobody else has it");
        let intended = script.hints_of(fallback, KEY);
        let leaver = *intended.first().expect("a hint is kept");
        let other = members.iter().copied().find(|member| *member != leaver).expect("three");
        script.pause(fallback);
        for member in members {
            script.resume(*member);
        }
        script.wait(SETTLED);
        committed(&script.change(other, &[join(new), leave(leaver)]));
        script.wait(milliseconds(delay));
        script.resume(fallback);
        script.await_rest(AT_REST);
        script.wait(SETTLED);
        assert_eq!(script.status(other, leaver), MemberStatus::Removed);
        assert_eq!(script.hints(fallback), 0, "after {delay} ms the hint stays");
        assert_ne!(script.holders(KEY), [], "it is lost after {delay} ms");
        // One member has it, and brings it to the others.
        script.wait(COLLECTED);
        for at in script.serving() {
            assert_eq!(script.read(at, KEY).values, ["milk"], "at {at} after {delay} ms");
        }
        rows_are_where_they_belong(&script, &[KEY.to_owned()]);
    }
}

/// Who has given a partition away drops it before all others have it, or its move is given up and what
/// was copied is all that is left.
#[test]
fn handoff_source_not_dropped_early() {
    let mut dropped = 0;
    for cancel_after in [None, Some(10), Some(60), Some(300)] {
        let mut script = Script::with_spares(4, 1);
        let hosts = script.replicas_first(KEY);
        let (leaver, at, new) = (hosts[0], hosts[1], HostIndex(4));
        let keys = keys("key", 150);
        put_all(&mut script, &hosts[..4], &keys);
        script.wait(Duration::from_secs(1));
        script.slow_disk(new, 40);
        committed(&script.change(at, &[join(new), leave(leaver)]));
        let begun = script.elapsed();
        let mut cancel = cancel_after.map(|delay| begun + milliseconds(delay));
        while script.unrest(&hosts).is_some() {
            for key in &keys {
                let holders = script.holders(key);
                assert!(holders.len() >= 3, "{key} is at {holders:?} alone");
                if holders.len() == 3 {
                    let set = script.replica_set(at, script.partition_of(key));
                    dropped += usize::from(!holders.contains(&leaver));
                    assert!(holders.iter().all(|host| set.contains(host)), "{holders:?}, {set:?}");
                }
            }
            if cancel.is_some_and(|due| script.elapsed() >= due) {
                cancel = None;
                script.cancel(hosts[2]);
            }
            script.wait(milliseconds(3));
            assert!(script.elapsed() < AT_REST, "{:?}", script.unrest(&hosts));
        }
        rows_are_where_they_belong(&script, &keys);
        // What a cancel left behind is planned once more.
        committed(&script.change(at, &[]));
        script.await_rest(AT_REST);
        all_are_there(&mut script, &keys);
        rows_are_where_they_belong(&script, &keys);
        assert_eq!(script.object_rows(leaver), 0);
    }
    assert!(dropped > 0, "nobody dropped anything");
}

/// The source, the node that gets the data, or the node that drives the move is killed amid it. What
/// arrived before is not sent again, but for what was under way.
#[test]
fn kill_mid_stream() {
    for crash in [Crash::Process, Crash::Power] {
        let (mut script, [driver, at, source, new], keys, before) = stream(STREAMED);
        let mut parts = [STREAMED / 4, STREAMED / 2, STREAMED * 3 / 4].into_iter();
        for (killed, part) in [source, new, driver].into_iter().zip(&mut parts) {
            let arrived = |script: &Script| script.object_rows(new) >= part;
            assert!(script.wait_for(AT_REST, milliseconds(1), arrived), "{part} came");
            let there = script.object_rows(new);
            assert!(there < STREAMED, "{killed} is killed too late: {there} records came");
            let stage = script.register(at, script.partition_of(KEY)).stage();
            assert_eq!(stage, Some(Stage::Fenced), "{killed} is killed amid the move");
            script.crash(killed, crash);
        }
        let arrived = |script: &Script| script.object_rows(new) == STREAMED;
        assert!(script.wait_for(AT_REST, milliseconds(100), arrived));
        script.cut(new, driver, false);
        script.cut(new, at, false);
        script.await_rest(AT_REST);
        let sent = usize::try_from(script.records_sent() - before).expect("a few thousand");
        assert!(sent <= STREAMED + 3 * WINDOW, "{crash:?}: {sent} records were sent");
        // Until links to what was killed last stand again.
        script.wait(Duration::from_secs(2));
        for by in script.serving() {
            for key in &keys {
                assert_eq!(script.read(by, key).values, [streamed(key)], "{key} at {by}");
            }
        }
        rows_are_where_they_belong(&script, &keys);
    }
}

/// The link between the source and the node that gets the data is cut twenty times amid one transfer. Each
/// cut costs at most what was under way.
#[test]
fn link_cut_mid_stream() {
    const CUTS: usize = 20;
    let (mut script, [driver, at, source, new], keys, before) = stream(LONG_STREAM);
    for cut in 1..=CUTS {
        let part = LONG_STREAM * cut / (CUTS + 1);
        let arrived = |script: &Script| script.object_rows(new) >= part;
        assert!(script.wait_for(AT_REST, milliseconds(1), arrived), "{part} came");
        let there = script.object_rows(new);
        assert!(there < LONG_STREAM, "cut {cut} is too late: {there} records came");
        script.cut(new, source, true);
        // Until both sides have noticed.
        script.wait(Duration::from_secs(4));
        script.cut(new, source, false);
    }
    let arrived = |script: &Script| script.object_rows(new) == LONG_STREAM;
    assert!(script.wait_for(AT_REST, milliseconds(100), arrived));
    script.cut(new, driver, false);
    script.cut(new, at, false);
    script.await_rest(AT_REST);
    let sent = usize::try_from(script.records_sent() - before).expect("a few thousand");
    assert!(sent <= LONG_STREAM + CUTS * WINDOW, "{sent} records were sent");
    for by in script.serving() {
        for key in &keys {
            assert_eq!(script.read(by, key).values, [streamed(key)], "{key} at {by}");
        }
    }
    rows_are_where_they_belong(&script, &keys);
}

/// All nodes of a partition that was committed elsewhere start again before the leaver was compared with
/// anyone. It hands over what it has, and gets nothing that was written since.
#[test]
fn leaver_restarts_after_the_commit() {
    for crash in [Crash::Process, Crash::Power] {
        let mut script = Script::with_spares(3, 1);
        let hosts = script.replicas_first(KEY);
        let (leaver, at, new) = (hosts[0], hosts[1], hosts[3]);
        let partition = script.partition_of(KEY);
        let keys = keys_beside(&script, KEY, 20);
        put_all(&mut script, &hosts[..3], &keys);
        script.wait(Duration::from_secs(1));
        committed(&script.change(at, &[join(new), leave(leaver)]));
        let is_committed = |script: &Script| {
            script.register(at, partition).stage() == Some(Stage::Committed)
                && script.register(leaver, partition).stage() == Some(Stage::Committed)
        };
        assert!(script.wait_for(AT_REST, Duration::from_micros(50), is_committed));
        script.isolate(leaver, true);
        for key in &keys {
            stored(&script.put(at, key, "later", &[]));
        }
        for host in &hosts {
            script.crash(*host, crash);
        }
        script.wait(Duration::from_secs(1));
        script.isolate(leaver, false);
        script.await_rest(AT_REST);
        for by in script.serving() {
            for key in &keys {
                let values = script.read(by, key).values;
                assert!(values.contains(&"later".to_owned()), "{key} at {by}: {values:?}");
            }
        }
        assert_eq!(
            script.exchanges_of(leaver).pieces_stored,
            0,
            "{crash:?}: nothing is sent to it"
        );
        rows_are_where_they_belong(&script, &keys);
        assert_eq!(script.object_rows(leaver), 0);
    }
}

/// Records of a partition that takes long to move.
const LONG_STREAM: usize = 2_500;
/// The value of a record that streams.
fn streamed(key: &str) -> String {
    format!("{key:x>STREAMED_BYTES$}")
}

/// Begins to move a partition of so many records to a node with a slow disk: the driver, which leaves, the
/// node that took the commit, the source, and the new one; and how many records had been sent before. From
/// several sources at once it would get some records more than once anyway: two of them are cut off.
fn stream(records: usize) -> (Script, [HostIndex; 4], Vec<String>, u64) {
    let mut script = Script::with_spares(3, 1);
    let hosts: [HostIndex; 4] = script.replicas_first(KEY).try_into().expect("four");
    let [driver, at, _, new] = hosts;
    let keys = keys_beside(&script, KEY, records);
    for key in &keys {
        stored(&script.put(at, key, &streamed(key), &[]));
    }
    script.cut(new, driver, true);
    script.cut(new, at, true);
    script.wait(Duration::from_secs(30));
    let before = script.records_sent();
    script.slow_disk(new, 20);
    committed(&script.change(at, &[join(new), leave(driver)]));
    (script, hosts, keys, before)
}

/// Records of the partition that moves.
const STREAMED: usize = 600;
/// How long each is.
const STREAMED_BYTES: usize = 4_000;
/// Records under way in one exchange: its window and a message.
const WINDOW: usize = ((256 + 32) << 10) / STREAMED_BYTES;

/// One row that cannot be read stops a move, or is lost in it.
#[test]
fn handoff_hits_unreadable_object() {
    for damaged in 0..3 {
        let mut script = Script::with_spares(4, 1);
        let hosts = script.replicas_first(KEY);
        let new = HostIndex(4);
        let keys = keys_beside(&script, KEY, 40);
        put_all(&mut script, &hosts[..4], &keys);
        script.wait(Duration::from_secs(1));
        for key in [&keys[0], &keys[20], &keys[39]] {
            assert!(script.damage(hosts[damaged], key), "{key} is there");
        }
        committed(&script.change(hosts[1], &[join(new), leave(hosts[0])]));
        script.await_rest(AT_REST);
        script.wait(COLLECTED);
        assert_eq!(script.status(hosts[1], hosts[0]), MemberStatus::Removed);
        all_are_there(&mut script, &keys);
        rows_are_where_they_belong(&script, &keys);
    }
}

/// A node leaves before all have heard of it: whoever asks it is told that there is nothing.
#[test]
fn leaving_node_waits_for_convergence() {
    let mut script = Script::with_spares(4, 2);
    let hosts = script.replicas_first(KEY);
    // Who holds nothing keeps nobody from leaving.
    let (leaver, at, new, unaware) = (hosts[0], hosts[1], HostIndex(4), HostIndex(5));
    let keys = keys_beside(&script, KEY, 60);
    put_all(&mut script, &hosts[..4], &keys);
    script.wait(Duration::from_secs(1));
    script.isolate(unaware, true);
    script.wait(SETTLED);
    script.slow_disk(new, 20);
    committed(&script.change(at, &[join(new), leave(leaver)]));
    let aware: Vec<HostIndex> =
        script.hosts().into_iter().filter(|host| *host != unaware).collect();
    while script.unrest(&aware).is_some() {
        assert!(script.elapsed() < AT_REST, "{:?}", script.unrest(&aware));
        if script.status(at, leaver) == MemberStatus::Removed {
            assert_eq!(script.object_rows(leaver), 0, "it went before it was done");
            for partition in script.partitions() {
                assert!(!script.replica_set(leaver, partition).contains(&leaver), "{partition}");
            }
        }
        script.wait(milliseconds(5));
    }
    assert_eq!(script.status(at, leaver), MemberStatus::Removed);
    assert!(script.replica_set(unaware, script.partition_of(KEY)).contains(&leaver));
    script.isolate(unaware, false);
    let mut answered = 0;
    for round in 0..200 {
        let key = &keys[round % keys.len()];
        for r in [Some(1), None] {
            if let Some(values) = shown(&script.get(unaware, key, r)) {
                assert_eq!(values, [value_of(key)], "in round {round}");
                answered += 1;
            }
        }
        script.wait(milliseconds(10));
    }
    assert!(answered > 100, "{answered} gets were answered");
    script.await_rest(AT_REST);
    all_are_there(&mut script, &keys);
}

/// A node that was replaced starts again, takes part, and brings back what was deleted since.
#[test]
fn replaced_node_stays_out() {
    let mut script = Script::with_spares(4, 1);
    let hosts = script.replicas_first(KEY);
    let (replaced, others, new) = (hosts[2], [hosts[0], hosts[1], hosts[3]], HostIndex(4));
    let deleted = keys_beside(&script, KEY, 10);
    let mut seen = Vec::new();
    for key in &deleted {
        seen.push(stored(&script.put(hosts[0], key, "old", &[])));
    }
    script.wait(Duration::from_secs(2));
    assert!(deleted.iter().all(|key| script.has_row(replaced, key)));
    script.isolate(replaced, true);
    // Nobody else ever has this one.
    let unseen = keys_beside(&script, KEY, 11).pop().expect("eleven");
    script.wait(SETTLED);
    stored(&script.mutate(replaced, &unseen, Some("unseen"), &[], one_copy()));
    committed(&script.change(others[0], &[join(new), remove(replaced)]));
    let staying = [others[0], others[1], others[2], new];
    script.await_rest_of(&staying, AT_REST);
    for (key, context) in deleted.iter().zip(&seen) {
        stored(&script.mutate(others[1], key, None, &[context], Options::default()));
    }
    script.wait(COLLECTED * 2);
    for key in &deleted {
        assert_eq!(script.holders(key), [replaced], "collected by all that count");
    }

    script.crash(replaced, Crash::Process);
    script.wait(SETTLED);
    script.isolate(replaced, false);
    script.await_rest(AT_REST);
    script.wait(COLLECTED);
    for by in script.hosts() {
        assert_eq!(script.status(by, replaced), MemberStatus::Removed, "in the eyes of {by}");
        for partition in script.partitions() {
            assert!(!script.replica_set(by, partition).contains(&replaced), "{by}, {partition}");
        }
    }
    assert_eq!(script.object_rows(replaced), 0, "it keeps nothing");
    for at in staying {
        assert_eq!(script.read(at, &unseen).values, ["unseen"], "{at} has not what only it had");
        for key in &deleted {
            assert!(script.read(at, key).values.is_empty(), "{key} is back at {at}");
        }
    }
    rows_are_where_they_belong(&script, &[unseen]);
    let reply = script.change(others[0], &[join(replaced)]);
    assert!(matches!(reply, Reply::Failed(_)), "{reply:?}");
}
