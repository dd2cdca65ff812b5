//! **A retried put stays one version** (protocol rule 7): whoever retries under the same request id
//! gets the version that exists, unless no replica that saw the first attempt could be reached.
//!
//! The same holds for a node that forwarded a put and passes a silent coordinator over.
//!
//! Check: a write that was minted again is excused, unless *every* replica of its key had stored the
//! first version before the write was first handed to the node that minted again. Then even that
//! node's own disk knew it, so that no fault can be the reason. A power loss may make replicas of a
//! `buffered` key forget.

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
    let asked = evidence.asked.get(&(id, again.by))?;
    let replicas = &evidence.history.key(write.key).replicas;
    let known_everywhere = replicas
        .iter()
        .all(|host| evidence.stored.get(&(id, *host)).is_some_and(|stored| stored < asked));
    let buffered = evidence.history.key(write.key).durability == Durability::Buffered;
    let forgotten = buffered
        && evidence
            .power_losses
            .iter()
            .any(|(at, host)| replicas.contains(host) && write.invoked <= *at && *at <= again.at);
    (known_everywhere && !forgotten).then(|| {
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
        evidence.asked.insert((a, HostIndex(1)), again);
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
}
