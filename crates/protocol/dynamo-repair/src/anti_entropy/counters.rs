//! What the machine did, counted.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the machine did since it was made. Each name is also the metric's, between
        /// `dynamo_anti_entropy_` and `_total`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct AntiEntropyCounters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AntiEntropyCounters {
            /// All counters with their names.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Questions for the roots shared with a peer.
    roots_asked,
    /// Partitions found equal by their roots and clocks alone, as the asker or the asked.
    roots_equal,
    /// Sessions begun as the initiator.
    sessions_begun,
    /// Sessions answered.
    sessions_answered,
    /// Sessions refused to peers.
    sessions_refused,
    /// Exchanges that were complete, in either role.
    exchanges,
    /// Sessions that ended otherwise.
    sessions_failed,
    /// Leaves compared record by record.
    leaves,
    /// Of these, how many had the same records on both sides.
    leaves_agreed,
    /// Leaves that could not be compared.
    leaves_unresolved,
    /// Records sent.
    records_sent,
    /// Bytes of the messages with these: what moves and repairs carry.
    record_bytes_sent,
    /// Pieces of records received and stored, or refused as obsolete.
    pieces_stored,
    /// Pieces of records received that could not be stored.
    pieces_refused,
    /// Versions dropped because another member had collected them.
    versions_dropped,
    /// Messages that fit no session or broke a rule, or were doubled.
    messages_ignored,
}
