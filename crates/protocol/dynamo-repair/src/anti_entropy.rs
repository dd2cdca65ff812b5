//! Anti-entropy between the replicas of a partition (Paper §4.7).
//!
//! Replicas that nobody reads drift apart: a write that missed one of them, a hint that was dropped, a
//! row that a disk lost. Every ten seconds a node therefore compares the roots of its hash trees with
//! those of each peer, one message for all partitions that they share. Where root or dot clock
//! differ, it opens a session: the two walk down their trees to the leaves that differ, find out
//! which records of these differ, wait a moment for what is on its way, exchange what then still
//! differs, and join their clocks. Which messages that takes is drawn in
//! [`dynamo_messages::repair`].
//!
//! [`AntiEntropy`] is all of that as one machine. Within it, [`Initiator`] and [`Responder`] find
//! what differs, and the exchange is the same for both roles.
//!
//! # Why clocks may be joined
//!
//! A clock says: whatever it has is a sibling here, or covered by its record's context, or within the
//! horizon. The stable cut rests on that, so the clock of another member may only be joined if for
//! *every* key this side has incorporated a record at least as new as what that member had when it
//! took the clock. It takes clock and tree at one moment, when the session begins, and everything that
//! is compared or sent is of that moment or later. So for each key one of these holds:
//!
//! - it lies under a node whose sums were equal, or its item was in both sets: the same versions, and
//!   equal versions mean equal history;
//! - its item was only in the other's set: when the leaf is settled either the very item is here, or the
//!   other sends its record. What has *changed* since the leaf was compared is sent under its name:
//!   that is why each side remembers the names of its own differing items, by 8 bytes each;
//! - the other side has no record any more, because it has collected it: what it has collected is told
//!   at the end, if that has grown.
//!
//! If anything was left out (a leaf that cannot be read, a record that the disk refused, a message
//! that was lost), neither side joins, and the next session goes on from what was exchanged. Each
//! side judges for itself.
//!
//! # Incomplete copies
//!
//! An incomplete copy publishes no clock, so what it sends is taken as delayed, and versions that the
//! other has collected are named in the answer, to be dropped. Such a partition opens sessions at
//! once and without a pause, and again whenever it would else compare roots, until its owner calls it
//! complete.
//!
//! # What is trusted
//!
//! Messages come from members of the cluster but may be late, doubled or wrong. They cannot cause a
//! panic, an endless loop or memory beyond the stated bounds. A difference that was decoded must
//! explain by how much the sums of both sides' items differ, else the whole list is asked for.
//!
//! # Memory
//!
//! | what | at most |
//! |---|---|
//! | peers and what is shared | some 100 bytes for each partition and peer |
//! | sessions | [`sessions_max`](AntiEntropyConfig::sessions_max) begun, twice as many answered: a tree of mostly 4 KiB (at most 1.1 MiB) and two clocks each |
//! | items found and not settled | 131,072 a session, 8 bytes each at the initiator and 12 at the responder |
//! | leaves under way | 130 KiB each (at most 1 MiB): [`leaves_max`](AntiEntropyConfig::leaves_max), shared out to those sessions that are begun at the same time; 256 answered |
//! | names of settled records | 4,096, or those of one leaf, a session |
//! | records under way | 256 KiB and one piece a session, to the other side and from it; as much read ahead, 16 records at most |

mod config;
mod counters;
mod event;
mod exchange;
mod finding;
mod initiator;
mod leaf_solver;
mod machine;
mod peers;
mod responder;
mod roots;
mod session;

pub use config::AntiEntropyConfig;
pub use counters::AntiEntropyCounters;
pub use event::{
    AntiEntropyEffect, AntiEntropyEvent, LeafItem, PartitionState, Partitions, ReadId, StateToken,
};
pub use finding::{
    Differing, Effect, Event, FindingConfig, HeldBy, Outcome, Sides, Snapshot, Traffic,
};
pub use initiator::Initiator;
pub use machine::AntiEntropy;
pub use responder::Responder;
