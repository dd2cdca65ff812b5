//! The numbers that stand for alternatives on the wire. They are never reused.

use dynamo_types::{Durability, Profile, Reconciliation};

use crate::client::{Invalid, ReplicaState};

/// Kinds of messages, the first byte of each. One range for each direction and a gap behind it, so
/// that a message sent to the wrong side is refused by its kind.
pub(super) mod kind {
    pub(in crate::encoding) const WRITE: u8 = 1;
    pub(in crate::encoding) const WRITE_REPLY: u8 = 2;
    pub(in crate::encoding) const READ: u8 = 3;
    pub(in crate::encoding) const READ_REPLY: u8 = 4;
    pub(in crate::encoding) const FORWARD: u8 = 5;
    pub(in crate::encoding) const FORWARD_REPLY: u8 = 6;
    pub(in crate::encoding) const SCAN: u8 = 7;
    pub(in crate::encoding) const SCAN_REPLY: u8 = 8;
    pub(in crate::encoding) const BUCKETS: u8 = 9;
    pub(in crate::encoding) const BUCKETS_STORED: u8 = 10;
    pub(in crate::encoding) const ASK_BUCKET: u8 = 11;
    pub(in crate::encoding) const ASK_COLLECTED: u8 = 12;
    pub(in crate::encoding) const COLLECTED: u8 = 13;
    pub(in crate::encoding) const CLOCK_REPORTS: u8 = 14;
    pub(in crate::encoding) const CLOCK_REPORTS_STORED: u8 = 15;
    pub(in crate::encoding) const KNOWN_CHECKPOINTS: u8 = 16;
    pub(in crate::encoding) const GOSSIP: u8 = 20;
    pub(in crate::encoding) const BUCKETS_FINGERPRINT: u8 = 21;
    pub(in crate::encoding) const BUCKET_GROUPS: u8 = 22;
    pub(in crate::encoding) const ASK_BUCKET_GROUPS: u8 = 23;

    pub(in crate::encoding) const REPAIR_ROOTS: u8 = 24;
    pub(in crate::encoding) const REPAIR_ROOTS_ANSWER: u8 = 25;
    pub(in crate::encoding) const REPAIR_QUESTION: u8 = 26;
    pub(in crate::encoding) const REPAIR_ANSWER: u8 = 27;
    pub(in crate::encoding) const REPAIR_STATE_BY_INITIATOR: u8 = 28;
    pub(in crate::encoding) const REPAIR_STATE_BY_RESPONDER: u8 = 29;

    pub(in crate::encoding) const REGISTERS: u8 = 30;
    pub(in crate::encoding) const REGISTERS_FINGERPRINT: u8 = 31;
    pub(in crate::encoding) const REGISTER_GROUPS: u8 = 32;
    pub(in crate::encoding) const ASK_REGISTER_GROUPS: u8 = 33;
    pub(in crate::encoding) const WANTED_LAYOUT: u8 = 34;
    pub(in crate::encoding) const REGISTER_REQUEST: u8 = 35;
    pub(in crate::encoding) const REGISTER_ANSWER: u8 = 36;
    pub(in crate::encoding) const MOVE_PROGRESS: u8 = 37;

    pub(in crate::encoding) const REQUEST_GET: u8 = 64;
    pub(in crate::encoding) const REQUEST_MUTATE: u8 = 65;
    pub(in crate::encoding) const REQUEST_LIST: u8 = 66;
    pub(in crate::encoding) const REQUEST_GET_BUCKET: u8 = 67;
    pub(in crate::encoding) const REQUEST_PUT_BUCKET: u8 = 68;
    pub(in crate::encoding) const REQUEST_LIST_BUCKETS: u8 = 69;
    pub(in crate::encoding) const REQUEST_CLUSTER: u8 = 70;
    pub(in crate::encoding) const REQUEST_RING: u8 = 71;
    pub(in crate::encoding) const REQUEST_EXPLAIN: u8 = 72;
    pub(in crate::encoding) const REQUEST_PLAN_CHANGE: u8 = 73;
    pub(in crate::encoding) const REQUEST_COMMIT_CHANGE: u8 = 74;
    pub(in crate::encoding) const REQUEST_CANCEL_MOVES: u8 = 75;
    pub(in crate::encoding) const REQUEST_FORCE_MOVES: u8 = 76;
    pub(in crate::encoding) const REQUEST_TRANSFERS: u8 = 77;

    pub(in crate::encoding) const REPLY_OBJECT: u8 = 128;
    pub(in crate::encoding) const REPLY_STORED: u8 = 129;
    pub(in crate::encoding) const REPLY_PAGE: u8 = 130;
    pub(in crate::encoding) const REPLY_BUCKET: u8 = 131;
    pub(in crate::encoding) const REPLY_BUCKETS: u8 = 132;
    pub(in crate::encoding) const REPLY_CLUSTER: u8 = 133;
    pub(in crate::encoding) const REPLY_RING: u8 = 134;
    pub(in crate::encoding) const REPLY_FAILED: u8 = 135;
    pub(in crate::encoding) const REPLY_EXPLANATION: u8 = 136;
    pub(in crate::encoding) const REPLY_PLAN: u8 = 137;
    pub(in crate::encoding) const REPLY_CANCELLED: u8 = 138;
    pub(in crate::encoding) const REPLY_TRANSFERS: u8 = 139;
}

/// Both directions of an enumeration from one table.
macro_rules! numbered {
    ($write:ident, $read:ident: $type:ident { $($number:literal => $variant:ident,)+ }) => {
        pub(super) fn $write(value: $type) -> u8 {
            match value { $($type::$variant => $number,)+ }
        }

        pub(super) fn $read(number: u8) -> Option<$type> {
            match number { $($number => Some($type::$variant),)+ _ => None }
        }
    };
}

numbered! { profile_number, profile: Profile {
    1 => BusinessLogic, 2 => Timestamp, 3 => ReadEngine,
} }

numbered! { reconciliation_number, reconciliation: Reconciliation {
    1 => Siblings, 2 => LastWriteWins,
} }

numbered! { durability_number, durability: Durability {
    1 => Buffered, 2 => Synced,
} }

numbered! { invalid_number, invalid: Invalid {
    1 => Option, 2 => Context, 3 => ValueTooLarge, 4 => RequestIdReused, 5 => TooManySiblings,
    6 => Settings, 7 => Unsupported, 8 => Change,
} }

numbered! { replica_state_number, replica_state: ReplicaState {
    1 => Present, 2 => Missing, 3 => Unsure, 4 => Busy, 5 => Unreachable,
} }
