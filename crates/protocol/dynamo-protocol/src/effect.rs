//! What the node asks of its shell.

use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_membership::{Liveness, Member};
use dynamo_messages::{Envelope, Reply};
use dynamo_types::{Durability, NodeId};

use crate::event::ClientId;

/// Names one load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// Names one store; they count up in the order in which they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u64);

/// Names one scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScanId(pub u64);

/// Which column of the database a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// Records, by position on the ring, so that a partition is one range.
    Objects,
    /// What this node keeps for other nodes: the intended node, then as objects.
    Hints,
    /// What a node must know at its start: clock checkpoints, journal rows, bucket settings, members.
    /// All its rows are given to [`Recovered`](crate::Recovered).
    Meta,
}

/// Which stream of a connection a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Requests and their answers; messages of one key share one lane.
    Foreground(u8),
    /// Settings, members, registers, hints, and the roots of hash trees.
    Background,
    /// Exchanges of anti-entropy, and with them all that moves: much at once, which nothing else is to wait
    /// behind. Reports of clocks too: which of them count is a matter of their order with exchanges.
    Bulk,
}

impl Lane {
    /// Foreground lanes of a connection: two, so that one lost packet does not hold up everything.
    pub const FOREGROUND: u8 = 2;
}

/// Something that the shell shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send to a member. It may be lost; nothing is sent twice by the shell.
    Send {
        /// To whom.
        to: NodeId,
        /// On which stream.
        lane: Lane,
        /// What.
        envelope: Envelope,
    },
    /// Send a datagram to a member on its link. It may be lost.
    Datagram {
        /// To whom.
        to: NodeId,
        /// What, at most 1,100 bytes.
        bytes: Bytes,
    },
    /// Something is new about a member, or the node has just started: this is what is known of it.
    /// Keep a link to its address, unless it is this node or was removed.
    MemberChanged {
        /// Which node.
        node: NodeId,
        /// What is known of it.
        member: Member,
    },
    /// The members think otherwise of one of them than before. Nothing needs to be done.
    LivenessChanged {
        /// Which node.
        node: NodeId,
        /// Up or down.
        liveness: Liveness,
    },
    /// Answer a client.
    Reply {
        /// Which request.
        client: ClientId,
        /// The answer.
        reply: Reply,
    },
    /// Read a row and report [`Event::Loaded`](crate::Event::Loaded). A load sees every store that
    /// was reported as stored.
    Load {
        /// Repeated in the event.
        load: LoadId,
        /// Which column.
        column: Column,
        /// Which row.
        key: Bytes,
    },
    /// Apply all writes or none, and report [`Event::Stored`](crate::Event::Stored). Several stores
    /// may share one sync, but they are applied in the order given.
    Store {
        /// Repeated in the event.
        store: StoreId,
        /// The writes.
        writes: Vec<StoreWrite>,
        /// Whether the report waits for a sync.
        durability: Durability,
    },
    /// That the database may lack what was acknowledged, as
    /// [`Recovered::incomplete`](crate::Recovered::incomplete) said, is durably noted for every
    /// partition: a later start need not be told again.
    IncompletenessRecorded,
    /// Read rows of a range in key order and report [`Event::Scanned`](crate::Event::Scanned).
    Scan {
        /// Repeated in the event.
        scan: ScanId,
        /// Which column.
        column: Column,
        /// First key.
        from: Bytes,
        /// First key that does not belong any more; `None` to the end of the column.
        to: Option<Bytes>,
        /// At most this many rows.
        rows_max: u32,
        /// Stop after the row that brings keys and values to this many bytes.
        bytes_max: u32,
    },
}

/// One write of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreWrite {
    /// Set a row.
    Put {
        /// Which column.
        column: Column,
        /// Which row.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Remove a row.
    Delete {
        /// Which column.
        column: Column,
        /// Which row.
        key: Bytes,
    },
    /// Remove all rows of a range.
    DeleteRange {
        /// Which column.
        column: Column,
        /// First key.
        from: Bytes,
        /// First key that stays.
        to: Bytes,
    },
}
