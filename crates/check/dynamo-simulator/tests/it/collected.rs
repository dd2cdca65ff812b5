//! What was deleted and collected everywhere does not come back, whatever was overlooked until then.
//!
//! Each history takes a coincidence that random runs do not meet: a late hint, a lost write and a
//! collection in the one order that hurts. Leaving its rule out must break it, which a build with
//! planted bugs demands (`planted_bugs.rs`).

use core::time::Duration;

use dynamo_checker::history::HostIndex;
use dynamo_messages::{Options, Reply};
use dynamo_simulator::disk::Crash;
use dynamo_simulator::script::Script;

const KEY: &str = "cart";
/// The first value, which is deleted.
const DELETED: &str = "milk";
/// Longer than connections take to time out, and to come back.
const SETTLED: Duration = Duration::from_secs(8);
/// Longer than checkpoints, their reports and a round of anti-entropy take.
const COLLECTED: Duration = Duration::from_secs(60);

/// Puts the value while one replica is cut off; gives its context, and the node that keeps the hint.
fn put_with_hint(
    script: &mut Script,
    hosts: &[HostIndex],
    missing: HostIndex,
) -> (String, HostIndex) {
    script.isolate(missing, true);
    script.wait(SETTLED);
    let context = stored(&script.put(hosts[0], KEY, DELETED, &[]));
    script.wait(Duration::from_secs(1));
    let keeper = hosts.iter().copied().find(|host| script.hints(*host) > 0);
    (context, keeper.expect("somebody keeps a hint"))
}

fn delete(script: &mut Script, at: HostIndex, context: &str) {
    stored(&script.mutate(at, KEY, None, &[context], Options::default()));
}

fn stored(reply: &Reply) -> String {
    match reply {
        Reply::Stored { context, .. } => context.clone(),
        other => panic!("not stored: {other:?}"),
    }
}

/// A read of so many replicas shows nothing.
fn shows_nothing(script: &mut Script, at: HostIndex, r: u8) -> Result<(), String> {
    match script.get(at, KEY, Some(r)) {
        Reply::Object(object) if object.siblings.is_empty() => Ok(()),
        reply => Err(format!("{at}, asked for {r} replies, shows {reply:?}")),
    }
}

fn holders(script: &Script, replicas: &[HostIndex]) -> usize {
    replicas.iter().filter(|host| script.has_row(**host, KEY)).count()
}

/// History 13: a fallback keeps a hint that its target got by other ways, until nobody remembers the
/// delete but by its horizon. Then the target is gone again, and the fallback is asked in its stead.
pub(crate) fn a_hint_is_not_shown_after_its_delete_was_collected() -> Result<(), String> {
    let mut script = Script::new(5);
    let hosts = script.replicas_first(KEY);
    let replicas = &hosts[..3];
    let (context, keeper) = put_with_hint(&mut script, &hosts, hosts[1]);
    script.pause(keeper);
    script.isolate(hosts[1], false);
    script.wait(COLLECTED);
    assert!(script.has_row(hosts[1], KEY), "anti-entropy brought it");
    delete(&mut script, hosts[0], &context);
    script.wait(COLLECTED);
    assert_eq!(holders(&script, replicas), 0, "the tombstone was collected");
    script.isolate(hosts[1], true);
    script.resume(keeper);
    script.wait(SETTLED);
    assert!(script.hints(keeper) > 0);
    shows_nothing(&mut script, hosts[0], 3)
}

/// History 2: a replica hears of the delete and not of what it replaced, which is still to come.
pub(crate) fn a_tombstone_stays_while_what_it_replaced_is_on_its_way() -> Result<(), String> {
    let mut script = Script::without_anti_entropy(5);
    let hosts = script.replicas_first(KEY);
    let (context, keeper) = put_with_hint(&mut script, &hosts, hosts[2]);
    script.pause(keeper);
    script.isolate(hosts[2], false);
    script.wait(SETTLED);
    assert!(!script.has_row(hosts[2], KEY), "only the hint would bring it");
    delete(&mut script, hosts[0], &context);
    script.wait(COLLECTED);
    script.resume(keeper);
    script.wait(COLLECTED);
    assert_eq!(script.hints(keeper), 0, "it was handed over");
    shows_nothing(&mut script, hosts[2], 1)
}

/// History 12: a replica loses a delete that it never synced, after its clock had it. Had it reported
/// that clock, the others would have collected the delete by now.
pub(crate) fn a_delete_that_one_replica_may_lose_is_not_collected() -> Result<(), String> {
    let mut script = Script::new(4);
    script.buffer_writes();
    let hosts = script.replicas_first(KEY);
    // The other one is the replica that syncs what goes through the first.
    let (loser, others) = (hosts[1], [hosts[0], hosts[2]]);
    let context = stored(&script.put(hosts[0], KEY, DELETED, &[]));
    // To just after a checkpoint, ten seconds before the next one.
    script.wait_until(Duration::from_millis(50_500));
    assert_eq!(holders(&script, &hosts[..3]), 3);
    delete(&mut script, hosts[0], &context);
    script.wait(Duration::from_millis(50));
    // They come back and have nothing to report yet, which the loser would have to sync.
    for other in others {
        script.crash(other, Crash::Process);
    }
    script.wait(Duration::from_secs(6));
    script.crash(loser, Crash::PowerAtWorst);
    script.isolate(loser, true);
    script.wait(SETTLED);
    assert!(shows_nothing(&mut script, loser, 1).is_err(), "the delete is lost there");
    script.wait(COLLECTED);
    script.isolate(loser, false);
    script.wait(COLLECTED);
    if script.rollbacks_noticed() > 0 {
        return Err("a power cut was taken for a disk that was set back".to_owned());
    }
    shows_nothing(&mut script, loser, 1)
}

#[test]
#[cfg(not(planted_bugs))]
fn history_13_a_hint_is_not_shown_after_its_delete_was_collected() {
    assert_eq!(a_hint_is_not_shown_after_its_delete_was_collected(), Ok(()));
}

#[test]
#[cfg(not(planted_bugs))]
fn history_2_a_tombstone_stays_while_what_it_replaced_is_on_its_way() {
    assert_eq!(a_tombstone_stays_while_what_it_replaced_is_on_its_way(), Ok(()));
}

#[test]
#[cfg(not(planted_bugs))]
fn history_12_a_delete_that_one_replica_may_lose_is_not_collected() {
    assert_eq!(a_delete_that_one_replica_may_lose_is_not_collected(), Ok(()));
}
