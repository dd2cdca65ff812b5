//! Whether all pieces of a replica's answer have come.

use alloc::collections::BTreeSet;

use dynamo_messages::PiecePlace;

/// The pieces of one answer that have come.
#[derive(Debug, Clone, Default)]
pub(crate) struct PieceTally {
    seen: BTreeSet<u16>,
}

impl PieceTally {
    /// Counts a piece, once however often it comes; says whether none is missing any more.
    pub(crate) fn count(&mut self, at: PiecePlace) -> bool {
        self.seen.insert(at.place());
        self.seen.len() >= usize::from(at.of())
    }
}
