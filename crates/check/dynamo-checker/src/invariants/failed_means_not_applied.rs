//! **Promise 6.** A reply of "failed" means not applied: a write whose every attempt failed for
//! certain is in no read and on no disk, at any time.
//!
//! Check: no node ever stored such a write, and no read shows it. Exempt are writes of which the
//! network doubled a message, which no real connection does.

use super::Violation;
use crate::evidence::Evidence;
use crate::history::{Outcome, WriteId};

/// The check's name.
pub const NAME: &str = "failed_means_not_applied";

/// Looks at every failed write.
///
/// # Errors
/// The first failed write that was applied.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    for (id, write) in (0u32..).map(WriteId).zip(&evidence.history.writes) {
        if write.outcome != Outcome::Failed || evidence.doubled.contains(&id) {
            continue;
        }
        checked += 1;
        if let Some((_, host)) = evidence.stored.keys().find(|(stored, _)| *stored == id) {
            let detail = format!("{id} was answered as failed, and {host} stored it");
            return Err(Violation::at_key(NAME, write.key, detail));
        }
    }
    for read in &evidence.history.reads {
        if let Some(id) = read.writes().find(|id| {
            let write = evidence.history.writes.get(id.index());
            write.is_some_and(|write| write.outcome == Outcome::Failed)
                && !evidence.doubled.contains(id)
        }) {
            let detail = format!("{id} was answered as failed, and a read shows it");
            return Err(Violation::at_key(NAME, read.key, detail));
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, REPLICAS};
    use super::*;
    use crate::history::WriteKind;
    use dynamo_types::Instant;

    #[test]
    fn a_failed_write_that_is_nowhere_is_fine() {
        let mut example = Example::new();
        example.write(WriteKind::Value, &[], Outcome::Failed);
        example.read(&[]);
        assert_eq!(check(&example.evidence(&[])), Ok(1));
    }

    #[test]
    fn a_failed_write_that_was_stored_or_read_is_found() {
        let mut example = Example::new();
        let a = example.write(WriteKind::Value, &[], Outcome::Failed);
        let mut evidence = example.evidence(&[]);
        evidence.stored.insert((a, REPLICAS[1]), Instant(1));
        assert!(check(&evidence).is_err());

        let mut example = Example::new();
        let a = example.write(WriteKind::Value, &[], Outcome::Failed);
        example.read(&[a]);
        assert!(check(&example.evidence(&[])).is_err());
    }

    #[test]
    fn an_unknown_outcome_may_go_either_way() {
        let mut example = Example::new();
        let a = example.write(WriteKind::Value, &[], Outcome::Unknown);
        example.read(&[a]);
        assert_eq!(check(&example.evidence(&[a])), Ok(0));
    }
}
