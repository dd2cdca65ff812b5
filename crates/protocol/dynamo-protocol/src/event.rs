//! What a shell tells the node.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use dynamo_messages::{Envelope, Request};
use dynamo_types::NodeId;

use crate::effect::{LoadId, ScanId, StoreId};

/// Names one request of a client, chosen by the shell; never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Something that happened outside the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An authenticated connection to this member stands.
    Connected {
        /// The member.
        node: NodeId,
    },
    /// The connection to this member is gone.
    Disconnected {
        /// The member.
        node: NodeId,
    },
    /// A member said something.
    Received {
        /// The member, as its certificate says.
        from: NodeId,
        /// What it said.
        envelope: Envelope,
    },
    /// A datagram of a member.
    Datagram {
        /// The member, as its certificate says.
        from: NodeId,
        /// What it said.
        bytes: Bytes,
    },
    /// The loop that drives this machine ran so late, or stood still so long. Lateness of timers the
    /// machine sees itself.
    LoopLag(Duration),
    /// The process is about to stop. What is under way may still end.
    Stopping,
    /// A client asks; answered by exactly one [`Effect::Reply`](crate::Effect::Reply).
    Requested {
        /// Repeated in the reply.
        client: ClientId,
        /// What it asks.
        request: Request,
    },
    /// To [`Effect::Load`](crate::Effect::Load).
    Loaded {
        /// Which load.
        load: LoadId,
        /// What was found.
        row: LoadedRow,
    },
    /// To [`Effect::Store`](crate::Effect::Store). Stores end in the order they were asked for, but
    /// for refused ones, which may end at once.
    Stored {
        /// Which store.
        store: StoreId,
        /// What came of it.
        result: StoreResult,
    },
    /// To [`Effect::Scan`](crate::Effect::Scan).
    Scanned {
        /// Which scan.
        scan: ScanId,
        /// The rows in key order, at most as many as asked for.
        rows: Vec<ScannedRow>,
        /// Whether the range's end was reached.
        end: bool,
        /// A failure that ended the scan early.
        failed: Option<String>,
    },
}

/// What a load found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadedRow {
    /// The row.
    Found(Bytes),
    /// No such row.
    Absent,
    /// A row whose checksum is wrong: it must not be served.
    Damaged,
    /// The disk could not be read, or the queue for reads is full: nothing is known of the row.
    Failed,
}

/// What came of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreResult {
    /// Applied as a whole.
    Applied {
        /// Whether it is synced, which a `Synced` store always is.
        synced: bool,
    },
    /// Nothing of it was applied: the disk is full, or the write queue is.
    Refused,
    /// Unknown what of it is on the disk: the node takes no more writes.
    Failed,
}

/// One row of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedRow {
    /// Its key.
    pub key: Bytes,
    /// Its value; absent if the row is damaged.
    pub value: Option<Bytes>,
}
