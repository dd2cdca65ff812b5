//! Counts of what happened, so that a batch in which a rare path was never taken is noticed.

use core::fmt;

macro_rules! markers {
    ($($(#[$doc:meta])* $name:ident = $text:literal, at_least $least:literal;)*) => {
        /// Something that happens in some runs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Marker { $($(#[$doc])* $name,)* }

        impl Marker {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the summary.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How often a batch of a thousand runs must hit it.
            #[must_use]
            pub fn least_per_thousand_runs(self) -> u64 {
                match self { $(Self::$name => $least,)* }
            }
        }
    };
}

markers! {
    /// A process was killed and started again.
    Crashed = "crash", at_least 500;
    /// A process died between two effects of one turn.
    CrashedMidTurn = "crash between effects", at_least 200;
    /// One machine lost power.
    PowerLost = "power cut of one", at_least 200;
    /// All machines lost power at once.
    PowerLostAll = "power cut of all", at_least 200;
    /// A machine stood still.
    Paused = "pause", at_least 200;
    /// A wall clock jumped.
    ClockJumped = "clock jump", at_least 200;
    /// Links were cut in both directions.
    LinksCut = "links cut", at_least 200;
    /// A link was cut in one direction.
    LinkCutOneWay = "one-way cut", at_least 200;
    /// Two groups were cut off from each other, and one node reached both.
    GroupsSplit = "groups split around a bridge", at_least 200;
    /// A link held messages back, though its connection stood.
    LinkClogged = "clogged link", at_least 200;
    /// A message was held back by a clogged link.
    MessageClogged = "message held back", at_least 1000;
    /// A disk was slow for a while.
    DiskSlow = "slow disk", at_least 200;
    /// A disk was full for a while.
    DiskFull = "full disk", at_least 200;
    /// Reads of a disk failed for a while.
    ReadsFailed = "failing reads", at_least 100;
    /// A sync failed.
    SyncFailed = "failed sync", at_least 50;
    /// A row was damaged.
    RowDamaged = "damaged row", at_least 50;
    /// A hint was damaged.
    HintDamaged = "damaged hint", at_least 50;
    /// A row was gone, and nothing said so.
    RowVanished = "vanished row", at_least 50;
    /// A checkpoint, a journal row or a report was damaged.
    MetaDamaged = "damaged row of meta", at_least 100;
    /// A disk was lost with all that it held.
    DiskLost = "lost disk", at_least 100;
    /// A disk was replaced by an older state of itself.
    DiskRolledBack = "older disk", at_least 50;
    /// A store was refused because the disk was full.
    StoreRefused = "store refused", at_least 50;
    /// A load found a damaged row.
    DamageRead = "damage read", at_least 10;
    /// A message was lost by a harsh network.
    MessageLost = "message lost", at_least 1000;
    /// A datagram was lost, or met a cut link or a dead process.
    DatagramLost = "datagram lost", at_least 1000;
    /// A node came up with another address.
    RestartedElsewhere = "restart elsewhere", at_least 200;
    /// An operator set a bucket in the storm.
    BucketSet = "bucket set", at_least 200;
    /// A message was doubled.
    MessageDoubled = "message doubled", at_least 1000;
    /// A message was lost with its connection.
    LostWithConnection = "message lost with its connection", at_least 100;
    /// A node sent to a peer without a connection.
    SentWithoutConnection = "send without connection", at_least 0;
    /// A connection heard nothing for too long.
    ConnectionTimedOut = "connection timed out", at_least 100;
    /// An operator committed a change of the members.
    ChangeCommitted = "change of members committed", at_least 100;
    /// An operator cancelled all moves.
    MovesCancelled = "moves cancelled", at_least 20;
    /// An operator forced what no majority could decide any more.
    Forced = "moves forced", at_least 0;
    /// A node removed a copy that was no longer its own.
    CopyWiped = "copy wiped", at_least 100;
    /// A set was succeeded by another one.
    SetChanged = "set changed", at_least 100;
    /// A client's reply was lost.
    ReplyLost = "reply lost", at_least 200;
    /// A client sent a request to a second node while the first was at work.
    RequestDoubled = "request doubled", at_least 200;
    /// A client tried again under the same request id.
    Retried = "retry", at_least 500;
    /// A fallback stored a hint.
    HintKept = "hint kept", at_least 1000;
    /// A hint was removed because its target has it.
    HintHandedOver = "hint handed over", at_least 500;
    /// A record was collected.
    RecordCollected = "record collected", at_least 500;
    /// A write was minted twice, for a reason.
    MintedTwice = "write minted twice", at_least 0;
    /// A put used a context that was not the latest.
    StaleContext = "put with a stale context", at_least 1000;
    /// A put carried two contexts.
    TwoContexts = "put with two contexts", at_least 100;
    /// A put was chained on the context of a put.
    ChainedPut = "put chained on a put", at_least 1000;
    /// A delete was sent without a context.
    UnseenDelete = "delete without context", at_least 200;
    /// A reply showed several siblings.
    Siblings = "reply with siblings", at_least 1000;
    /// A put was refused because its key held too many siblings.
    TooManySiblings = "too many siblings", at_least 0;
    /// A buffered write was acknowledged without any synced copy.
    AckedUnsynced = "acknowledged unsynced", at_least 0;
    /// Reading everything after healing wrote rows.
    RepairedAfterHealing = "repair after healing", at_least 100;
    /// A message went through its encoding and came out equal.
    Encoded = "message encoded and decoded", at_least 1000;
    /// A listing was answered.
    Listed = "listing", at_least 200;
    /// Requests were refused for overload.
    Overloaded = "overload", at_least 0;
    /// A node answered that too few replicas could be reached.
    NotEnoughReplicas = "not enough replicas", at_least 100;
    /// A node answered that the outcome is unknown.
    OutcomeUnknown = "outcome unknown", at_least 100;
}

/// How often each marker was hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers(Vec<u64>);

impl Default for Markers {
    fn default() -> Self {
        Self(vec![0; Marker::ALL.len()])
    }
}

impl Markers {
    /// Counts one.
    pub fn hit(&mut self, marker: Marker) {
        self.0[marker as usize] += 1;
    }

    /// The count of one.
    #[must_use]
    pub fn count(&self, marker: Marker) -> u64 {
        self.0[marker as usize]
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// Those that a batch of so many runs hit less often than it must. Small batches prove nothing
    /// about rare paths, so that demands below ten are waived.
    pub fn too_rare(&self, runs: u64) -> impl Iterator<Item = (Marker, u64, u64)> + '_ {
        Marker::ALL.iter().filter_map(move |marker| {
            let least = marker.least_per_thousand_runs() * runs / 1000;
            let found = self.count(*marker);
            (least >= 10 && found < least).then_some((*marker, found, least))
        })
    }
}

impl fmt::Display for Markers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for marker in Marker::ALL {
            writeln!(f, "  {:>12}  {}", self.count(*marker), marker.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_misses_a_path_is_told() {
        let mut markers = Markers::default();
        assert!(markers.too_rare(10).all(|(_, _, least)| least >= 10));
        assert!(markers.too_rare(1000).any(|(marker, ..)| marker == Marker::Crashed));
        for _ in 0..500 {
            markers.hit(Marker::Crashed);
        }
        assert!(!markers.too_rare(1000).any(|(marker, ..)| marker == Marker::Crashed));
    }
}
