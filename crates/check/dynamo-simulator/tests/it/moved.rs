//! What random seeds seldom meet amid a move: who is behind, right when it matters. Leaving a rule out
//! must break one of these, which a build with planted bugs demands (`planted_bugs.rs`).

use dynamo_checker::history::HostIndex;
use dynamo_messages::Reply;
use dynamo_register::Stage;
use dynamo_simulator::script::{Script, join, leave};

use crate::steps::{AT_REST, SETTLED, committed, keys_beside, milliseconds, shown, stored, strict};

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
}
