//! **Nothing is invented or damaged.** Every value that is read, or that a disk holds at the end,
//! was written by a client to this very key, before, and is intact: its checksum is right.

use super::Violation;
use crate::evidence::Evidence;
use crate::history::Seen;

/// The check's name.
pub const NAME: &str = "no_invention";

/// Looks at every value of every read and every disk.
///
/// # Errors
/// The first value that no client wrote.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    let violation = |key, detail| Err(Violation::at_key(NAME, key, detail));
    for read in &evidence.history.reads {
        for seen in &read.values {
            checked += 1;
            match seen {
                Seen::Invention(what) => {
                    return violation(read.key, format!("{} answered {what}", read.host));
                }
                Seen::Write(id) => {
                    let known = evidence.history.writes.get(id.index());
                    if !known.is_some_and(|w| w.key == read.key && w.invoked <= read.ended) {
                        let detail = format!("{} answered {id} before it was written", read.host);
                        return violation(read.key, detail);
                    }
                }
            }
        }
    }
    for ((key, host), record) in &evidence.disks {
        if let Some(why) = &record.unreadable {
            return violation(*key, format!("the row on {host} cannot be read: {why}"));
        }
        for version in &record.versions {
            checked += 1;
            if !version.intact || version.write.is_none() {
                return violation(*key, format!("{host} holds what nobody wrote: {version:?}"));
            }
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, KEY, REPLICAS};
    use super::*;
    use crate::history::WriteId;

    #[test]
    fn what_clients_wrote_is_fine() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        example.read(&[a]);
        assert_eq!(check(&example.evidence(&[a])), Ok(4));
    }

    #[test]
    fn a_value_from_nowhere_is_found() {
        let mut example = Example::new();
        example.read(&[WriteId(9)]);
        assert!(check(&example.evidence(&[])).is_err());
    }

    #[test]
    fn a_value_from_the_future_is_found() {
        let mut example = Example::new();
        example.read(&[WriteId(0)]);
        let a = example.acknowledged(&[]);
        assert!(check(&example.evidence(&[a])).is_err());
    }

    #[test]
    fn damage_is_found_in_replies_and_on_disks() {
        let mut example = Example::new();
        example.read(&[]);
        example.history.reads[0].values.push(Seen::Invention("junk".into()));
        assert!(check(&example.evidence(&[])).is_err());

        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let mut evidence = example.evidence(&[a]);
        evidence.disks.get_mut(&(KEY, REPLICAS[0])).unwrap().versions[0].intact = false;
        assert!(check(&evidence).is_err());
    }
}
