//! What the machine did, counted.

/// What the machine did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AntiEntropyCounters {
    /// Questions for the roots shared with a peer.
    pub roots_asked: u64,
    /// Partitions found equal by their roots and clocks alone, as the asker or the asked.
    pub roots_equal: u64,
    /// Sessions begun as the initiator.
    pub sessions_begun: u64,
    /// Sessions answered.
    pub sessions_answered: u64,
    /// Sessions refused to peers.
    pub sessions_refused: u64,
    /// Exchanges that were complete, in either role.
    pub exchanges: u64,
    /// Sessions that ended otherwise.
    pub sessions_failed: u64,
    /// Leaves compared record by record.
    pub leaves: u64,
    /// Of these, how many had the same records on both sides.
    pub leaves_agreed: u64,
    /// Leaves that could not be compared.
    pub leaves_unresolved: u64,
    /// Records sent.
    pub records_sent: u64,
    /// Pieces of records received and stored, or refused as obsolete.
    pub pieces_stored: u64,
    /// Pieces of records received that could not be stored.
    pub pieces_refused: u64,
    /// Versions dropped because another member had collected them.
    pub versions_dropped: u64,
    /// Messages that fit no session or broke a rule, or were doubled.
    pub messages_ignored: u64,
}
