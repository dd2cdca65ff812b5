//! **Promise 1.** A write that was acknowledged survives: it, or something that replaced it, or, in
//! a bucket where the last write wins, something that won over it.
//!
//! Check, after healing and quiet, at *every* replica of the key: each acknowledged value is
//! present or an ancestor of something present, or of a delete that was collected. Where the last write wins, a present version with a
//! greater timestamp will do. A delete survives if nothing that it covered is present
//! ([`deleted_stays_deleted`](super::deleted_stays_deleted)). A `buffered` write of which no copy
//! was synced may be gone if a node lost power after the write began, because its receipt said so;
//! a lost disk may cost one of the copies that the receipt counted.
//!
//! The simulator damages rows only within the budget that the promise states, so damage excuses
//! nothing here.

use super::Violation;
use crate::evidence::{Evidence, HeldRecord};
use crate::history::{Write, WriteId, WriteKind};

/// The check's name.
pub const NAME: &str = "acked_write_survives";

/// Looks at every acknowledged value at every replica.
///
/// # Errors
/// The first value that is gone.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    for (id, write, receipt) in evidence.history.acknowledged() {
        if write.kind != WriteKind::Value {
            continue;
        }
        let facts = evidence.history.key(write.key);
        if evidence.may_be_lost(write, receipt) {
            continue;
        }
        for host in &facts.replicas {
            checked += 1;
            let held = evidence.held(write.key, *host);
            if !survives(evidence, id, write, &held) {
                let have: Vec<WriteId> = held.writes().collect();
                let detail = format!(
                    "{id} was acknowledged ({receipt:?}), and {host} has neither it nor anything \
                     that replaced it; it has {have:?}"
                );
                return Err(Violation::at_key(NAME, write.key, detail));
            }
        }
    }
    Ok(checked)
}

fn survives(evidence: &Evidence, id: WriteId, write: &Write, held: &HeldRecord) -> bool {
    let collected = || evidence.collected.iter().copied();
    let won_over = || {
        let later = |hlc| {
            let of_key = |other: &WriteId| evidence.history.write(*other).key == write.key;
            let deletes = collected().filter(of_key).filter_map(|other| evidence.hlc_of(other));
            held.versions.iter().any(|v| v.hlc >= hlc) || deletes.into_iter().any(|d| d >= hlc)
        };
        evidence.history.key(write.key).last_write_wins && evidence.hlc_of(id).is_some_and(later)
    };
    let deleted = || evidence.ancestry.any_covers(collected(), id);
    evidence.ancestry.any_covers(held.writes(), id) || deleted() || won_over()
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, KEY, REPLICAS};
    use super::*;
    use crate::evidence::HeldRecord;
    use dynamo_types::Durability;
    use dynamo_types::Instant;

    #[test]
    fn present_or_replaced_is_fine() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[a]);
        let c = example.acknowledged(&[]);
        assert_eq!(check(&example.evidence(&[b, c])), Ok(9));
    }

    #[test]
    fn a_write_that_one_replica_lost_is_found() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let mut evidence = example.evidence(&[a]);
        evidence.disks.insert((KEY, REPLICAS[2]), HeldRecord::default());
        assert!(check(&evidence).is_err());
    }

    #[test]
    fn a_concurrent_write_does_not_replace() {
        let mut example = Example::new();
        example.acknowledged(&[]);
        let b = example.acknowledged(&[]);
        assert!(check(&example.evidence(&[b])).is_err());
    }

    #[test]
    fn where_the_last_write_wins_a_later_one_will_do_and_an_earlier_one_will_not() {
        for (kept, fine) in [(1, true), (0, false)] {
            let mut example = Example::new();
            let writes = [example.acknowledged(&[]), example.acknowledged(&[])];
            example.history.keys[0].last_write_wins = true;
            assert_eq!(check(&example.evidence(&[writes[kept]])).is_ok(), fine);
        }
    }

    #[test]
    fn a_buffered_write_may_be_lost_only_as_its_receipt_says() {
        for (synced, power_lost, fine) in [(0, true, true), (0, false, false), (1, true, false)] {
            let mut example = Example::new();
            let a = example.acknowledged(&[]);
            example.history.keys[0].durability = Durability::Buffered;
            if let crate::history::Outcome::Acknowledged(receipt) =
                &mut example.history.writes[a.index()].outcome
            {
                receipt.synced = synced;
            }
            let mut evidence = example.evidence(&[]);
            if power_lost {
                evidence.power_losses.push((Instant(u64::MAX), REPLICAS[0]));
            }
            assert_eq!(check(&evidence).is_ok(), fine, "synced {synced}, power {power_lost}");
        }
    }
}
