//! What random seeds seldom meet amid a move: who is behind, right when it matters. Leaving a rule out
//! must break one of these, which a build with planted bugs demands (`planted_bugs.rs`).

use dynamo_checker::history::HostIndex;
use dynamo_messages::{Options, Reply};
use dynamo_register::Stage;
use dynamo_simulator::script::{Script, join, leave, remove};
use dynamo_types::{PartitionId, Profile, RequestId};

use crate::steps::{
    AT_REST, COLLECTED, SETTLED, committed, keys_beside, milliseconds, shown, stored, strict,
};

const KEY: &str = "cart";
/// Gossip comes once a second; each history is played with it in another phase.
const PHASES: u64 = 8;

/// A strict get that is answered shows this.
fn shows(script: &mut Script, at: HostIndex, key: &str, expected: &str) -> Result<(), String> {
    match shown(&script.get_with(at, key, strict())) {
        Some(values) if !values.iter().any(|value| value == expected) => {
            Err(format!("{at} shows {values:?} and misses {expected}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn await_stage(script: &mut Script, hosts: &[HostIndex], stage: Stage) {
    let partition = script.partition_of(KEY);
    let there = script.wait_for(AT_REST, milliseconds(1), |script| {
        hosts.iter().all(|host| script.register(*host, partition).stage() >= Some(stage))
    });
    assert!(there, "{stage:?} is not known to {hosts:?}: {:?}", script.unrest(hosts));
}

/// Three members, of which the first two leave or the last two do, and two that join. The last one reaches
/// only the second one, and has not heard of anything.
fn two_of_three_move(phase: u64, leavers: [usize; 2]) -> (Script, Vec<HostIndex>, String) {
    let mut script = Script::with_spares(3, 2);
    let hosts = script.replicas_first(KEY);
    let behind = hosts[2];
    let context = stored(&script.put(hosts[0], KEY, "first", &[]));
    for other in [hosts[0], hosts[3], hosts[4]] {
        script.cut(behind, other, true);
    }
    script.wait(SETTLED + milliseconds(phase * 130));
    // It stays for a while where it is decided.
    script.slow_disk(hosts[0], 60);
    script.slow_disk(hosts[1], 60);
    let leave = leavers.map(|leaver| leave(hosts[leaver]));
    let changes = [&[join(hosts[3]), join(hosts[4])], &leave[..]].concat();
    committed(&script.change(hosts[0], &changes));
    (script, hosts, context)
}

/// A coordinator that is behind, and one of the old set that knows better, are no quorum for a put.
pub(crate) fn a_put_of_who_is_behind_needs_both_sets() -> Result<(), String> {
    let mut behind = 0;
    for phase in 0..PHASES {
        let (mut script, hosts, context) = two_of_three_move(phase, [0, 1]);
        let (first, friend, unaware, new) = (hosts[0], hosts[1], hosts[2], hosts[3]);
        await_stage(&mut script, &[friend, new, hosts[4]], Stage::Decided);
        // With one of the old set it stays so.
        script.pause(first);
        let partition = script.partition_of(KEY);
        behind += u32::from(script.register(unaware, partition).movement.is_none());
        let reply = script.mutate(unaware, KEY, Some("second"), &[&context], strict());
        script.pause(friend);
        if let Reply::Stored { .. } = reply {
            shows(&mut script, new, KEY, "second")?;
        }
    }
    assert!(behind > 0, "nobody was behind");
    Ok(())
}

/// A coordinator that is behind, and one that has to leave, are no quorum for a get.
pub(crate) fn a_get_of_who_is_behind_is_not_answered_by_a_leaver() -> Result<(), String> {
    let mut behind = 0;
    for phase in 0..PHASES {
        let (mut script, hosts, context) = two_of_three_move(phase, [1, 2]);
        let (at, friend, unaware) = (hosts[0], hosts[1], hosts[2]);
        script.slow_disk(at, 1);
        script.slow_disk(friend, 1);
        await_stage(&mut script, &[at, friend, hosts[3], hosts[4]], Stage::Committed);
        let partition = script.partition_of(KEY);
        behind += u32::from(script.register(unaware, partition).movement.is_none());
        stored(&script.mutate(at, KEY, Some("second"), &[&context], strict()));
        shows(&mut script, unaware, KEY, "second")?;
    }
    assert!(behind > 0, "nobody was behind");
    Ok(())
}

/// A joiner needs everything of a majority: one member may have missed what the others acknowledged.
pub(crate) fn a_joiner_is_filled_by_a_majority() -> Result<(), String> {
    let mut script = Script::with_spares(3, 1);
    let hosts = script.replicas_first(KEY);
    let (first, leaver, missed, new) = (hosts[0], hosts[1], hosts[2], hosts[3]);
    let keys = keys_beside(&script, KEY, 100);
    script.cut(missed, first, true);
    script.cut(missed, leaver, true);
    script.wait(SETTLED);
    for key in &keys {
        stored(&script.mutate(first, key, Some("there"), &[], strict()));
    }
    // It has soon all that the one has that has nothing.
    script.slow_disk(first, 200);
    script.slow_disk(leaver, 200);
    committed(&script.change(new, &[join(new), leave(leaver)]));
    await_stage(&mut script, &[new], Stage::Decided);
    script.pause(first);
    script.pause(leaver);
    await_stage(&mut script, &[missed], Stage::Decided);
    for key in &keys {
        shows(&mut script, new, key, "there")?;
    }
    Ok(())
}

/// Three members, one of them dead, and a joiner: no node is left that could be a fallback. The joiner's own
/// copy stands in for the dead one, and stays until that one has it, though the move was cancelled.
pub(crate) fn a_copy_stands_in_where_no_fallback_is_left() -> Result<(), String> {
    let mut script = Script::with_spares(3, 1);
    let hosts = script.replicas_first(KEY);
    let (at, dead, leaver, new) = (hosts[0], hosts[1], hosts[2], hosts[3]);
    script.set_profile(Profile::ReadEngine);
    script.pause(dead);
    // Filled by one of three it stays a joiner.
    script.cut(new, leaver, true);
    script.wait(SETTLED);
    committed(&script.change(at, &[join(new), leave(leaver)]));
    await_stage(&mut script, &[at, leaver, new], Stage::Fenced);
    // All three, which is what this profile wants anyway.
    let all = Options { w: Some(3), strict: true, ..Options::default() };
    let refused = script.mutate(at, KEY, Some("value"), &[], all);
    assert!(matches!(refused, Reply::Failed(_)), "one of them is dead: {refused:?}");
    let reply = script.mutate(at, KEY, Some("value"), &[], Options { strict: false, ..all });
    let Reply::Stored { receipt, .. } = reply else { return Err(format!("{reply:?}")) };
    assert_eq!((receipt.copies, receipt.hints), (3, 1), "{receipt:?}");
    // One that is sent again, and reached nobody before; and then somebody.
    let other = &keys_beside(&script, KEY, 1)[0];
    for _ in 0..2 {
        stored(&script.retry(at, other, "again", &[], RequestId(1_000)));
    }
    let stage = script.register(at, script.partition_of(KEY)).stage();
    assert!(stage.is_some() && stage < Some(Stage::Decided), "{stage:?}");
    script.cancel(at);
    script.cut(new, leaver, false);
    script.wait(COLLECTED);
    let partition = script.partition_of(KEY);
    assert!(script.register(at, partition).movement.is_none(), "the move was cancelled");
    let copies = script.holders(KEY).into_iter().filter(|host| *host != dead).count();
    if copies < 3 {
        return Err(format!("{copies} of 3 copies that were acknowledged are left"));
    }
    script.resume(dead);
    script.wait(COLLECTED);
    assert!(script.has_row(dead, KEY) && !script.has_row(new, KEY), "{:?}", script.holders(KEY));
    assert_eq!(script.read(dead, other).values, ["again"], "one version");
    shows(&mut script, dead, KEY, "value")
}

/// A copy stood in for a member that was removed later. It stays until another one has come in its stead and
/// has it.
#[test]
#[cfg(not(planted_bugs))]
fn a_copy_that_stood_in_waits_for_the_successor_of_a_removed_member() {
    let mut script = Script::with_spares(3, 2);
    let hosts = script.replicas_first(KEY);
    let (at, dead, third, new, successor) = (hosts[0], hosts[1], hosts[2], hosts[3], hosts[4]);
    script.pause(dead);
    // Filled by one of three they stay joiners.
    script.cut(new, third, true);
    script.cut(successor, third, true);
    script.wait(SETTLED);
    committed(&script.change(at, &[join(new)]));
    let moving = |script: &Script| {
        let is_known = |id: &PartitionId| {
            [at, third, new].iter().all(|host| script.next_set(*host, *id).is_some())
        };
        script.partitions().into_iter().find(is_known)
    };
    assert!(script.wait_for(AT_REST, milliseconds(1), |script| moving(script).is_some()));
    let partition = moving(&script).expect("one that moves");
    let mut names = (0..).map(|number| format!("key-{number}"));
    let key = names.find(|key| script.partition_of(key) == partition).expect("endless");
    let all = Options { w: Some(3), ..Options::default() };
    stored(&script.mutate(at, &key, Some("value"), &[], all));
    script.cancel(at);
    script.cut(new, third, false);
    script.wait(COLLECTED);
    let copies = |script: &Script| -> Vec<HostIndex> {
        script.holders(&key).into_iter().filter(|host| *host != dead).collect()
    };
    assert_eq!(copies(&script), sorted([at, third, new]), "those that were acknowledged");
    committed(&script.change(at, &[remove(dead), join(successor)]));
    script.wait(COLLECTED);
    let set = script.replica_set(at, partition);
    assert!(!set.contains(&successor), "it is not there yet: {set:?}");
    let held = copies(&script);
    assert!([at, third, new].iter().all(|host| held.contains(host)), "{held:?}");
    script.cut(successor, third, false);
    script.wait(COLLECTED);
    assert_eq!(copies(&script), sorted([at, third, successor]));
}

#[cfg(not(planted_bugs))]
fn sorted<const N: usize>(mut hosts: [HostIndex; N]) -> [HostIndex; N] {
    hosts.sort_unstable();
    hosts
}

#[cfg(not(planted_bugs))]
mod tests {
    #[test]
    fn a_put_of_who_is_behind_needs_both_sets() {
        assert_eq!(super::a_put_of_who_is_behind_needs_both_sets(), Ok(()));
    }

    #[test]
    fn a_get_of_who_is_behind_is_not_answered_by_a_leaver() {
        assert_eq!(super::a_get_of_who_is_behind_is_not_answered_by_a_leaver(), Ok(()));
    }

    #[test]
    fn a_joiner_is_filled_by_a_majority() {
        assert_eq!(super::a_joiner_is_filled_by_a_majority(), Ok(()));
    }

    #[test]
    fn a_copy_stands_in_where_no_fallback_is_left() {
        assert_eq!(super::a_copy_stands_in_where_no_fallback_is_left(), Ok(()));
    }
}
