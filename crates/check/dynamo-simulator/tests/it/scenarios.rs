//! Histories that broke other systems, or looser rules, played word by word.

use core::time::Duration;

use dynamo_checker::history::HostIndex;
use dynamo_membership::Liveness;
use dynamo_messages::{Failure, Options, Reply};
use dynamo_simulator::disk::Crash;
use dynamo_simulator::script::Script;

const KEY: &str = "cart";

fn context_of(reply: &Reply) -> String {
    match reply {
        Reply::Stored { context, .. } => context.clone(),
        other => panic!("not stored: {other:?}"),
    }
}

#[test]
fn timeout_is_unknown_not_failed() {
    let mut script = Script::new(3);
    let hosts = script.replicas_first(KEY);
    script.isolate(hosts[0], true);
    // The connections still look whole: the coordinator sends, and nobody hears.
    let reply = script.put(hosts[0], KEY, "milk", &[]);
    assert!(matches!(reply, Reply::Failed(Failure::OutcomeUnknown { .. })), "{reply:?}");
    script.isolate(hosts[0], false);
    script.wait(Duration::from_secs(5));
    assert_eq!(script.read(hosts[0], KEY).values, ["milk"], "it was applied after all");
}

#[test]
fn no_writes_on_read() {
    let mut script = Script::new(5);
    let hosts = script.replicas_first(KEY);
    context_of(&script.put(hosts[0], KEY, "milk", &[]));
    script.wait(Duration::from_secs(1));
    let before = script.object_rows_written();
    assert!(before >= 3, "all replicas have it");
    for host in hosts {
        for r in 1..=3 {
            script.get(host, KEY, Some(r));
        }
    }
    script.wait(Duration::from_secs(2));
    assert_eq!(script.object_rows_written(), before);
}

#[test]
fn blind_put_and_stale_context() {
    let mut script = Script::new(4);
    let hosts = script.replicas_first(KEY);
    let first = context_of(&script.put(hosts[0], KEY, "a", &[]));
    context_of(&script.put(hosts[1], KEY, "b", &[&first]));
    assert_eq!(script.read(hosts[3], KEY).values, ["b"]);
    context_of(&script.put(hosts[2], KEY, "blind", &[]));
    assert_eq!(script.read(hosts[3], KEY).values, ["b", "blind"]);
    context_of(&script.put(hosts[0], KEY, "stale", &[&first]));
    let all = script.read(hosts[3], KEY);
    assert_eq!(all.values, ["b", "blind", "stale"]);
    context_of(&script.put(hosts[3], KEY, "merged", &[&all.context]));
    assert_eq!(script.read(hosts[1], KEY).values, ["merged"]);
}

#[test]
fn a_delete_with_the_context_of_an_empty_reply_deletes_nothing() {
    let mut script = Script::new(3);
    let hosts = script.replicas_first(KEY);
    let nothing = script.read(hosts[0], KEY);
    assert!(nothing.values.is_empty());
    context_of(&script.put(hosts[0], KEY, "unseen", &[]));
    let delete = script.mutate(hosts[1], KEY, None, &[&nothing.context], Options::default());
    context_of(&delete);
    assert_eq!(script.read(hosts[2], KEY).values, ["unseen"]);
}

#[test]
fn a_delete_without_context_deletes_what_is_there() {
    let mut script = Script::new(4);
    let hosts = script.replicas_first(KEY);
    context_of(&script.put(hosts[0], KEY, "a", &[]));
    context_of(&script.put(hosts[1], KEY, "b", &[]));
    context_of(&script.mutate(hosts[3], KEY, None, &[], Options::default()));
    assert!(script.read(hosts[2], KEY).values.is_empty());
}

#[test]
fn sibling_no_explosion() {
    let mut script = Script::new(3);
    let hosts = script.replicas_first(KEY);
    let mut contexts = [script.read(hosts[0], KEY).context, script.read(hosts[1], KEY).context];
    for round in 0..30 {
        for client in 0..2 {
            let value = format!("{client}-{round}");
            let reply = script.put(hosts[client], KEY, &value, &[&contexts[client]]);
            contexts[client] = context_of(&reply);
        }
        assert!(script.read(hosts[2], KEY).values.len() <= 2, "in round {round}");
    }
}

#[test]
fn notfound_needs_a_replica() {
    let mut script = Script::new(5);
    let hosts = script.replicas_first(KEY);
    context_of(&script.put(hosts[3], KEY, "milk", &[]));
    for host in &hosts[..3] {
        script.pause(*host);
    }
    for patience in [Duration::ZERO, Duration::from_secs(10)] {
        script.wait(patience);
        let reply = script.get(hosts[3], KEY, None);
        assert!(matches!(reply, Reply::Failed(_)), "nobody who knows was asked: {reply:?}");
    }
}

/// Lets time pass, and calls out the first of the healthy nodes that anybody else holds for down.
fn watch(script: &mut Script, paused: HostIndex, seconds: u32) {
    let step = Duration::from_millis(50);
    for _ in 0..seconds * 20 {
        script.wait(step);
        for observer in script.hosts() {
            for subject in script.hosts().into_iter().filter(|subject| *subject != paused) {
                let liveness = script.liveness(observer, subject);
                assert_ne!(liveness, Liveness::Down, "{observer} of {subject}");
            }
        }
    }
}

#[test]
fn slow_node_not_poisoning() {
    let mut script = Script::new(5);
    let hosts = script.hosts();
    let paused = hosts[2];
    script.wait(Duration::from_secs(5));
    let all_up = |script: &Script| {
        let pairs = hosts.iter().flat_map(|a| hosts.iter().map(move |b| (*a, *b)));
        pairs.into_iter().all(|(a, b)| script.liveness(a, b) == Liveness::Up)
    };
    assert!(all_up(&script));
    script.pause(paused);
    watch(&mut script, paused, 60);
    for observer in hosts.iter().filter(|observer| **observer != paused) {
        assert_eq!(script.liveness(*observer, paused), Liveness::Down, "{observer}");
    }
    script.resume(paused);
    watch(&mut script, paused, 5);
    assert!(all_up(&script), "the paused one is up again, and so are those it missed");
    watch(&mut script, paused, 30);
    assert!(all_up(&script));
}

#[test]
fn put_forwarded_in_handoff_coordinated_once() {
    for silent in 0..3 {
        let mut script = Script::new(5);
        let hosts = script.replicas_first(KEY);
        // Whoever is asked first may stay silent, is passed over, and wakes up to an old request.
        script.pause(hosts[silent]);
        context_of(&script.put(hosts[3], KEY, "milk", &[]));
        script.resume(hosts[silent]);
        script.wait(Duration::from_secs(2));
        assert_eq!(script.read(hosts[4], KEY).values, ["milk"]);
    }
}

#[test]
fn a_retry_after_its_version_was_deleted_does_not_bring_it_back() {
    let mut script = Script::new(4);
    let hosts = script.replicas_first(KEY);
    context_of(&script.put(hosts[0], KEY, "milk", &[]));
    let request = script.last_request();
    let seen = script.read(hosts[3], KEY);
    context_of(&script.mutate(hosts[2], KEY, None, &[&seen.context], Options::default()));
    context_of(&script.retry(hosts[1], KEY, "milk", &[], request));
    assert!(script.read(hosts[3], KEY).values.is_empty());
}

#[test]
fn read_repair_on_notfound_first() {
    let mut script = Script::without_anti_entropy(3);
    let hosts = script.replicas_first(KEY);
    script.isolate(hosts[2], true);
    script.wait(Duration::from_secs(8));
    context_of(&script.put(hosts[0], KEY, "milk", &[]));
    script.isolate(hosts[2], false);
    script.wait(Duration::from_secs(5));
    assert!(!script.has_row(hosts[2], KEY), "nobody told it yet");
    assert_eq!(script.read(hosts[2], KEY).values, ["milk"], "its own absence is no answer");
    script.get(hosts[2], KEY, Some(3));
    script.wait(Duration::from_secs(2));
    assert!(script.has_row(hosts[2], KEY), "the read repaired it");
}

#[test]
fn power_loss_all() {
    let mut script = Script::new(4);
    let hosts = script.replicas_first(KEY);
    let keys: Vec<String> = (0..20).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        context_of(&script.put(hosts[0], key, key, &[]));
    }
    script.power_cut();
    script.wait(Duration::from_secs(10));
    for key in &keys {
        assert_eq!(script.read(hosts[1], key).values, [key.as_str()]);
    }
}

#[test]
fn a_coordinator_that_lost_its_own_put_does_not_cover_it() {
    let mut script = Script::new(3);
    let hosts = script.replicas_first(KEY);
    let first = context_of(&script.put(hosts[0], KEY, "first", &[]));
    context_of(&script.put(hosts[0], KEY, "second", &[]));
    // Both copies of the others stand; the coordinator restarts and is given an old context.
    script.crash(hosts[0], Crash::Power);
    script.wait(Duration::from_secs(10));
    context_of(&script.put(hosts[0], KEY, "third", &[&first]));
    assert_eq!(script.read(hosts[1], KEY).values, ["second", "third"]);
}

/// What a replica missed while it was cut off, and nobody reads, it has soon after all the same.
#[test]
fn replicas_heal_without_anyone_asking() {
    let mut script = Script::new(3);
    let hosts = script.replicas_first(KEY);
    script.isolate(hosts[2], true);
    script.wait(Duration::from_secs(8));
    context_of(&script.put(hosts[0], KEY, "milk", &[]));
    script.isolate(hosts[2], false);
    script.wait(Duration::from_secs(30));
    assert!(script.has_row(hosts[2], KEY));
    let written = script.object_rows_written();
    script.wait(Duration::from_secs(60));
    assert_eq!(script.object_rows_written(), written, "and then falls silent");
}

/// Keys with the same replicas as the first one.
fn keys_of_one_set(script: &Script, count: usize) -> Vec<String> {
    let set = script.replicas_first("key-0")[..3].to_vec();
    let all = (0..).map(|number| format!("key-{number}"));
    all.filter(|key| script.replicas_first(key)[..3] == set).take(count).collect()
}

/// A get by the key's own replicas, two of which are needed.
fn strict_get(script: &mut Script, at: HostIndex, key: &str) -> Reply {
    script.get_with(at, key, Options { r: Some(2), strict: true, ..Options::default() })
}

/// A node whose disk is empty says nothing of what it should have: not that it is missing either.
#[test]
fn wiped_node_same_id() {
    let mut script = Script::new(5);
    let keys = keys_of_one_set(&script, 20);
    let hosts = script.replicas_first(&keys[0]);
    for key in &keys {
        context_of(&script.put(hosts[0], key, key, &[]));
    }
    script.lose_disk(hosts[0]);
    // One of the others is out of reach, so that nobody can tell whether it has all it should have.
    script.isolate(hosts[1], true);
    script.wait(Duration::from_secs(10));
    assert!(script.incomplete_partitions(hosts[0]) > 0);
    for key in &keys {
        for at in [hosts[0], hosts[2], hosts[3]] {
            let reply = strict_get(&mut script, at, key);
            assert!(matches!(reply, Reply::Failed(_)), "an empty copy was counted: {reply:?}");
        }
        let alone = script.get(hosts[0], key, Some(1));
        let is_right = matches!(&alone, Reply::Object(object) if object.siblings.len() == 1);
        assert!(is_right || matches!(alone, Reply::Failed(_)), "{alone:?}");
    }
    script.isolate(hosts[1], false);
    script.wait(Duration::from_secs(10));
    for key in &keys {
        assert_eq!(script.read(hosts[0], key).values, [key.as_str()]);
    }
    // With all others there it is filled, and counts again.
    assert_eq!(script.incomplete_partitions(hosts[0]), 0);
    assert!(keys.iter().all(|key| script.has_row(hosts[0], key)));
}

/// The same where nothing on the node says that it ever ran: the others do.
#[test]
fn wiped_node_same_id_that_knows_of_nothing_is_told_by_the_others() {
    let mut script = Script::new(5);
    let keys = keys_of_one_set(&script, 20);
    let hosts = script.replicas_first(&keys[0]);
    for key in &keys {
        context_of(&script.put(hosts[0], key, key, &[]));
    }
    // The others have the reports of its clock by then.
    script.wait(Duration::from_secs(30));
    script.lose_disk_unnoticed(hosts[0]);
    script.wait(Duration::from_secs(10));
    assert!(script.counters(hosts[0]).rollbacks_noticed > 0, "nobody told it");
    script.wait(Duration::from_secs(60));
    assert_eq!(script.incomplete_partitions(hosts[0]), 0);
    for key in &keys {
        assert!(script.has_row(hosts[0], key), "{key} was not brought back");
        let reply = script.get(hosts[0], key, Some(1));
        assert!(matches!(&reply, Reply::Object(object) if object.siblings.len() == 1), "{reply:?}");
    }
}

/// A node comes back to many hints at all others, with a disk that is slow: what clients want of it
/// meanwhile is done in time.
#[test]
fn hint_flood_on_return() {
    let mut script = Script::without_anti_entropy(7);
    let keys = keys_of_one_set(&script, 400);
    let hosts = script.replicas_first(&keys[0]);
    let target = hosts[0];
    script.isolate(target, true);
    script.wait(Duration::from_secs(15));
    let value = "v".repeat(4_000);
    let all = Options { w: Some(3), ..Options::default() };
    for (number, key) in keys.iter().enumerate() {
        let at = hosts[1 + number % 6];
        context_of(&script.mutate(at, key, Some(&value), &[], all));
    }
    let kept = |script: &Script| hosts.iter().map(|host| script.hints(*host)).sum::<usize>();
    assert!(kept(&script) >= keys.len(), "{} hints", kept(&script));

    // A tenth of a second for a sync, which no more than 16 stores share.
    script.slow_disk(target, 200);
    script.isolate(target, false);
    let strict = Options { strict: true, ..all };
    let begun = |script: &Script| keys.iter().any(|key| script.has_row(target, key));
    assert!(script.wait_for(Duration::from_secs(5), Duration::from_millis(10), begun));
    // Others have a link to it before the node that clients ask does.
    for _ in 0..500 {
        let reply = script.mutate(hosts[1], &keys[0], Some("w"), &[], strict);
        if matches!(reply, Reply::Stored { .. }) {
            break;
        }
        script.wait(Duration::from_millis(10));
    }
    let mut during = 0;
    for (number, key) in keys.iter().enumerate().take(200) {
        during += u32::from(kept(&script) > 0);
        let reply = script.mutate(hosts[1], key, Some("w"), &[], strict);
        assert!(matches!(reply, Reply::Stored { .. }), "put {number}: {reply:?}");
    }
    assert!(during > 20, "only {during} puts were made during the handoff");
    script.wait(Duration::from_secs(60));
    assert_eq!(kept(&script), 0);
    for key in &keys {
        assert!(script.has_row(target, key));
    }
}

/// A node comes back with an empty disk: the others fill it, and until then it does not count.
#[test]
fn wiped_node_is_refilled_by_anti_entropy_alone() {
    let mut script = Script::new(5);
    let hosts = script.replicas_first(KEY);
    let keys: Vec<String> = (0..50).map(|number| format!("key-{number}")).collect();
    for key in &keys {
        context_of(&script.put(hosts[0], key, key, &[]));
    }
    script.lose_disk(hosts[0]);
    script.wait(Duration::from_secs(60));
    for key in &keys {
        if script.replicas_first(key)[..3].contains(&hosts[0]) {
            assert!(script.has_row(hosts[0], key), "{key} was not brought back");
        }
        assert_eq!(script.read(hosts[0], key).values, [key.as_str()]);
    }
}

/// A tombstone stays as long as one replica may not have it, and goes when all have reported that
/// they do; the value does not come back.
#[test]
fn tombstones_go_when_every_replica_has_them_and_not_before() {
    let mut script = Script::new(3);
    let hosts = script.replicas_first(KEY);
    let put = context_of(&script.put(hosts[0], KEY, "milk", &[]));
    script.isolate(hosts[2], true);
    script.wait(Duration::from_secs(8));
    let options = Options::default();
    context_of(&script.mutate(hosts[0], KEY, None, &[&put], options));
    script.wait(Duration::from_secs(120));
    assert!(script.has_row(hosts[0], KEY), "one replica has not seen the delete");
    script.isolate(hosts[2], false);
    script.wait(Duration::from_secs(120));
    for host in &hosts {
        assert!(!script.has_row(*host, KEY), "{host} still holds the tombstone");
        assert!(script.read(*host, KEY).values.is_empty());
    }
}
