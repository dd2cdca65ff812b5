//! **A retried put stays one version** (protocol rule 7): whoever retries under the same request id
//! gets the version that exists, unless no replica that saw the first attempt could be reached.
//!
//! Check: a write that was minted again is excused, unless *every* replica of its key had stored the
//! first version before the attempt that minted again was sent. Then even the second coordinator's
//! own disk knew it, so that no fault can be the reason. The first attempt's coordinator may mint
//! again only after its restart, which the same rule covers.

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
    if write.attempts.len() < 2 {
        return Some(format!("{id} was sent once and minted twice: {again:?}"));
    }
    // The attempt that minted again is the last one sent before, or any later than the first.
    let earliest = write.attempts.get(1).filter(|a| a.sent <= again.at)?;
    let replicas = &evidence.history.key(write.key).replicas;
    let known_everywhere = replicas.iter().all(|host| {
        evidence.stored.get(&(id, *host)).is_some_and(|stored| *stored < earliest.sent)
    });
    known_everywhere.then(|| {
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

    fn retried(known_by: usize, attempts: usize) -> Evidence {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let again = example.tick();
        let write = &mut example.history.writes[a.index()];
        let sent = write.invoked;
        write.attempts = vec![Attempt { host: HostIndex(0), sent }; 1];
        if attempts > 1 {
            write.attempts.push(Attempt { host: HostIndex(1), sent: again });
        }
        let mut evidence = example.evidence(&[a]);
        evidence.minted.get_mut(&a).unwrap().push(Minted {
            dot: Dot { actor: ActorId(2), ..dot(a) },
            hlc: hlc(a),
            at: Instant(again.0 + 1),
            by: HostIndex(1),
        });
        for host in &REPLICAS[..known_by] {
            evidence.stored.insert((a, *host), sent);
        }
        evidence
    }

    #[test]
    fn minting_again_where_some_replica_had_not_seen_the_first_is_excused() {
        assert_eq!(check(&retried(2, 2)), Ok(1));
    }

    #[test]
    fn minting_again_what_every_replica_knew_is_found() {
        assert!(check(&retried(3, 2)).is_err());
    }

    #[test]
    fn one_attempt_that_mints_twice_is_found() {
        assert!(check(&retried(0, 1)).is_err());
    }
}
