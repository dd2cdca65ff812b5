//! **Promise 3.** Once a delete has reached the replicas, the value does not come back, whatever
//! arrives late.
//!
//! Check: after healing and quiet no disk holds, and no read shows, a value that an acknowledged
//! delete covers. Nor does a strict read amid the faults whose r and the copies that the delete's
//! receipt named are together more than N, asked after the delete was acknowledged: one of those it
//! asked had the tombstone, or has collected it. Copies on fallbacks and lost disks do not count, nor do keys with a
//! damaged row, `buffered` ones after a power loss, or what came before a disk was set back. Exempt are writes minted more than once
//! ([`one_version_per_put`](super::one_version_per_put)), keys with a damaged row of which every
//! copy of the delete may have been in the budget, and deletes whose every copy a power loss or a
//! lost disk may have cost. Where the last write wins, the tombstone must have won at all: a
//! value with a greater timestamp stays.

use dynamo_types::Durability;

use super::Violation;
use crate::evidence::Evidence;
use crate::history::{Outcome, Read, Write, WriteId, WriteKind};

/// The check's name.
pub const NAME: &str = "deleted_stays_deleted";

/// Looks at every acknowledged delete.
///
/// # Errors
/// The first value that came back.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    for (id, write, receipt) in evidence.history.acknowledged() {
        let facts = evidence.history.key(write.key);
        if write.kind == WriteKind::Value || evidence.may_be_lost(write, receipt) {
            continue;
        }
        checked += 1;
        let came_back =
            |value: WriteId| evidence.ancestry.descends(id, value) && !evidence.minted_twice(value);
        if !facts.last_write_wins {
            for host in &facts.replicas {
                let held = evidence.held(write.key, *host);
                let back = held.versions.iter().filter_map(|v| v.write).find(|v| came_back(*v));
                if let Some(value) = back {
                    let detail = format!("{host} holds {value}, which {id} deleted");
                    return Err(Violation::at_key(NAME, write.key, detail));
                }
            }
        }
        let reads = evidence.history.reads.iter().filter(|read| read.key == write.key);
        // A delete without context that was made twice, since nobody who knew of the first attempt could be
        // reached, covers what its second coordinator saw: that was not deleted before.
        let once = write.kind != WriteKind::DeleteUnseen || !evidence.minted_twice(id);
        let must = |read: &&Read| read.after_convergence || once && meets(evidence, read, write);
        for read in reads.filter(must) {
            if let Some(value) = read.writes().find(|v| came_back(*v)) {
                let detail = format!("{} answered {value}, which {id} deleted", read.host);
                return Err(Violation::at_key(NAME, write.key, detail));
            }
        }
    }
    Ok(checked)
}

/// Whether a replica that a read asked must have had the delete before.
fn meets(evidence: &Evidence, read: &Read, delete: &Write) -> bool {
    let Outcome::Acknowledged(receipt) = &delete.outcome else { return false };
    let facts = evidence.history.key(delete.key);
    let copies = usize::from(receipt.copies.saturating_sub(receipt.hints));
    let synced = facts.durability == Durability::Synced;
    read.strict
        && !facts.last_write_wins
        && facts.damaged_rows == 0
        && copies + usize::from(read.r) > facts.replicas.len()
        && !evidence.replicas_may_have_lost(delete, *receipt)
        && !evidence.may_have_moved_past(delete, read.r)
        && delete.ended.is_some_and(|ended| ended < read.invoked)
        && (synced || evidence.power_losses.is_empty())
        && !evidence.rollbacks.iter().any(|(at, _)| *at >= delete.invoked)
}

#[cfg(test)]
mod tests {
    use super::super::examples::Example;
    use super::*;

    #[test]
    fn a_tombstone_alone_or_beside_an_unseen_value_is_fine() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let unseen = example.acknowledged(&[]);
        let delete = example.deleted(&[a]);
        assert_eq!(check(&example.evidence(&[delete, unseen])), Ok(1));
    }

    #[test]
    fn a_value_that_came_back_is_found_on_disks_and_in_late_reads() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        example.deleted(&[a]);
        assert!(check(&example.evidence(&[a])).is_err());

        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let delete = example.deleted(&[a]);
        example.read(&[a]);
        example.history.reads[0].after_convergence = true;
        assert!(check(&example.evidence(&[delete])).is_err());
    }

    #[test]
    fn a_read_during_the_faults_may_show_it_only_if_it_missed_the_delete() {
        for (r, strict, fine) in [(2, true, false), (1, true, true), (2, false, true)] {
            let mut example = Example::new();
            let a = example.acknowledged(&[]);
            let delete = example.deleted(&[a]);
            example.read(&[a]);
            (example.history.reads[0].r, example.history.reads[0].strict) = (r, strict);
            let outcome = check(&example.evidence(&[delete]));
            assert_eq!(outcome.is_ok(), fine, "r={r}, strict: {strict}: {outcome:?}");
        }
    }

    #[test]
    fn a_read_asked_before_the_delete_was_acknowledged_may_show_it() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let delete = example.deleted(&[a]);
        example.read(&[a]);
        example.history.reads[0].invoked = example.history.write(delete).invoked;
        assert_eq!(check(&example.evidence(&[delete])), Ok(1));
    }
}
