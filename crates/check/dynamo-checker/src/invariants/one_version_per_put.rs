//! **A retried put stays one version** (protocol rule 7): whoever retries under the same request id
//! gets the version that exists, unless no replica that saw the first attempt could be reached.
//!
//! The same holds for a node that forwarded a put and passes a silent coordinator over.
//!
//! Check: a write that was minted again is excused, unless *every* replica of its key had stored the
//! first version before the write was handed to the node that minted again. Then even that node's
//! own disk knew it, so that no fault can be the reason. A fallback that mints is excused: it does so
//! where no replica can be reached. If the same node minted both, the first time
//! it was handed the write does not count: that one made the first version. A power loss may make replicas of a
//! `buffered` key forget, and a wall clock that jumps ahead by minutes ends the time for which puts
//! are remembered.

use dynamo_types::Durability;

use super::Violation;
use crate::evidence::{Evidence, Minted};
use crate::history::{Write, WriteId};

/// The check's name.
pub const NAME: &str = "one_version_per_put";

/// Looks at every write of more than one attempt.
///
/// # Errors
/// The first one that was minted again for no reason.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    for (id, write) in (0u32..).map(WriteId).zip(&evidence.history.writes) {
        let minted = evidence.minted.get(&id).map_or(&[][..], Vec::as_slice);
        if write.attempts.len() > 1 {
            checked += 1;
        }
        for again in minted.iter().skip(1) {
            if let Some(detail) = unexcused(evidence, id, write, again) {
                return Err(Violation::at_key(NAME, write.key, detail));
            }
        }
    }
    Ok(checked)
}

fn unexcused(evidence: &Evidence, id: WriteId, write: &Write, again: &Minted) -> Option<String> {
    let first = evidence.minted.get(&id)?.first()?;
    let used = usize::from(first.by == again.by);
    let asked = evidence.asked.get(&(id, again.by))?.get(used).filter(|at| **at <= again.at)?;
    let replicas = &evidence.history.key(write.key).replicas;
    // A fallback stands in where no replica can be reached, and then nobody can tell it.
    if !replicas.contains(&again.by) {
        return None;
    }
    let known_everywhere = replicas
        .iter()
        .all(|host| evidence.stored.get(&(id, *host)).is_some_and(|stored| stored < asked));
    let buffered = evidence.history.key(write.key).durability == Durability::Buffered;
    let forgotten = buffered
        && evidence
            .power_losses
            .iter()
            .any(|(at, host)| replicas.contains(host) && write.invoked <= *at && *at <= again.at);
    // The window of ten minutes runs on wall clocks, or a restart would begin it anew.
    let expired = evidence
        .forgetting_jumps
        .iter()
        .any(|(at, host)| replicas.contains(host) && write.invoked <= *at && *at <= again.at);
    // What a node remembers of puts is on its disk.
    let lost = evidence
        .lost_disks
        .iter()
        .any(|(at, host)| *host == again.by && write.invoked <= *at && *at <= again.at);
    (known_everywhere && !forgotten && !expired && !lost).then(|| {
        format!("{id} was minted again as {again:?} although all of {replicas:?} had stored it")
    })
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, REPLICAS, dot, hlc};
    use super::*;
    use crate::history::{Attempt, HostIndex};
    use dynamo_types::{ActorId, Instant};
    use dynamo_versioning::Dot;

    fn retried(known_by: usize) -> Evidence {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let again = example.tick();
        let write = &mut example.history.writes[a.index()];
        let sent = write.invoked;
        write.attempts.push(Attempt { host: HostIndex(1), sent: again });
        let mut evidence = example.evidence(&[a]);
        evidence.minted.get_mut(&a).unwrap().push(Minted {
            dot: Dot { actor: ActorId(2), ..dot(a) },
            hlc: hlc(a),
            at: Instant(again.0 + 1),
            by: HostIndex(1),
        });
        evidence.asked.insert((a, HostIndex(1)), vec![again]);
        for host in &REPLICAS[..known_by] {
            evidence.stored.insert((a, *host), sent);
        }
        evidence
    }

    #[test]
    fn minting_again_where_some_replica_had_not_seen_the_first_is_excused() {
        assert_eq!(check(&retried(2)), Ok(1));
    }

    #[test]
    fn minting_again_what_every_replica_knew_is_found() {
        assert!(check(&retried(3)).is_err());
    }

    #[test]
    fn a_node_that_minted_the_first_version_is_judged_by_the_second_time_it_was_asked() {
        for (asked_again, fine) in [(true, false), (false, true)] {
            let mut evidence = retried(3);
            let (id, minted) =
                evidence.minted.first_entry().map(|e| (*e.key(), e.get().clone())).unwrap();
            let again = minted[1].at;
            let asked = evidence.asked.entry((id, minted[0].by)).or_default();
            asked.push(minted[0].at);
            if asked_again {
                asked.push(Instant(again.0 - 1));
            }
            evidence.minted.get_mut(&id).unwrap()[1].by = minted[0].by;
            assert_eq!(check(&evidence).is_ok(), fine, "asked again: {asked_again}");
        }
    }
}
