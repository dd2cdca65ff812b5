//! How much this node keeps for others (Paper §4.6; protocol rule 7).
//!
//! The space is bounded. A hint that counts towards w is refused when it is full, never dropped later;
//! a courtesy hint gives way earlier, so that courtesies never push out what counts.

use alloc::collections::BTreeMap;

use dynamo_types::NodeId;

/// The hints for one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HintCount {
    /// How many, one for each key.
    pub rows: u64,
    /// Bytes of their rows, keys included.
    pub bytes: u64,
}

/// A hint row that came, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HintChange {
    pub(super) intended: NodeId,
    pub(super) before: Option<u64>,
    pub(super) after: Option<u64>,
}

impl HintChange {
    /// What takes it back.
    pub(super) fn reversed(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }
}

/// The account of all hints.
#[derive(Debug)]
pub(super) struct HintSpace {
    counts: BTreeMap<NodeId, HintCount>,
    bytes: u64,
    bytes_max: u64,
}

impl HintSpace {
    pub(super) fn new(counts: BTreeMap<NodeId, HintCount>, bytes_max: u64) -> Self {
        let bytes = counts.values().map(|count| count.bytes).sum();
        Self { counts, bytes, bytes_max }
    }

    /// Whether so many more bytes may come.
    pub(super) fn admits(&self, bytes: u64, acknowledging: bool) -> bool {
        let most = if acknowledging { self.bytes_max } else { self.bytes_max / 2 };
        self.bytes.saturating_add(bytes) <= most
    }

    pub(super) fn apply(&mut self, change: HintChange) {
        let count = self.counts.entry(change.intended).or_default();
        if let Some(before) = change.before {
            count.rows = count.rows.saturating_sub(1);
            count.bytes = count.bytes.saturating_sub(before);
            self.bytes = self.bytes.saturating_sub(before);
        }
        if let Some(after) = change.after {
            count.rows += 1;
            count.bytes += after;
            self.bytes += after;
        }
        if count.rows == 0 {
            // What is left are the values of rows that rotted: how long those were nobody knew when
            // they went.
            self.bytes = self.bytes.saturating_sub(count.bytes);
            self.counts.remove(&change.intended);
        }
    }

    /// The hints for each node that has any.
    pub(super) fn counts(&self) -> impl Iterator<Item = (NodeId, HintCount)> + '_ {
        self.counts.iter().map(|(node, count)| (*node, *count))
    }

    /// Bytes of all hints.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: Option<u64>, after: Option<u64>) -> HintChange {
        HintChange { intended: NodeId(1), before, after }
    }

    #[test]
    fn courtesies_give_way_before_what_counts() {
        let mut space = HintSpace::new(BTreeMap::new(), 100);
        space.apply(change(None, Some(45)));
        assert!(space.admits(5, false) && !space.admits(6, false));
        assert!(space.admits(55, true) && !space.admits(56, true));
    }

    #[test]
    fn rows_that_rotted_leave_no_bytes_behind_the_last_row() {
        let mut space = HintSpace::new(BTreeMap::new(), 100);
        space.apply(change(None, Some(45)));
        space.apply(change(None, Some(30)));
        space.apply(change(Some(20), None));
        assert_eq!(space.bytes(), 55, "the rest of the row is still counted");
        space.apply(change(Some(30), None));
        assert_eq!((space.bytes(), space.counts().count()), (0, 0));
    }

    #[test]
    fn a_change_that_is_taken_back_leaves_nothing() {
        let mut space = HintSpace::new(BTreeMap::new(), 100);
        space.apply(change(None, Some(45)));
        let growth = change(Some(45), Some(60));
        space.apply(growth);
        assert_eq!(
            space.counts().collect::<alloc::vec::Vec<_>>()[0].1,
            HintCount { rows: 1, bytes: 60 }
        );
        space.apply(growth.reversed());
        space.apply(change(Some(45), None));
        assert_eq!((space.bytes(), space.counts().count()), (0, 0));
    }
}
