//! Every message that clients and nodes exchange, and its bytes on the wire.
//!
//! [`client`] holds what a client may ask and what it is told; HTTP and the native protocol speak
//! of the same values. [`peer`] holds what nodes tell each other,
//! [`repair`] that part of it by which replicas find in what they differ. [`encoding`] is the only place
//! that knows wire bytes: rkyv with validation, flat types only, behind the frame that
//! `dynamo-transport` checks. A record's canonical bytes belong to `dynamo-versioning` and travel
//! as they are.
//!
//! What is not here: who sends what when (`dynamo-protocol`), and how bytes get there
//! (`dynamo-transport`).
#![no_std]

extern crate alloc;

pub mod client;
pub mod encoding;
pub mod peer;
pub mod repair;

pub use client::{
    CHANGES_MAX, ClusterChange, ClusterView, Explanation, Failure, HintView, Invalid, LinkView,
    ListPage, MemberView, Mutation, ObjectReply, Options, PlanView, PlannedNodeView, Receipt,
    ReplicaState, ReplicaView, Reply, Request, RingView, SiblingReply, SiblingView, TRANSFERS_MAX,
    TransferView, TransfersView, WAITING_PER_TRANSFER,
};
pub use encoding::{
    ClientFrame, DecodeError, FieldError, PROTOCOL_VERSION, decode_client, decode_peer,
    encode_client, encode_peer,
};
pub use peer::{
    AskCollected, ClockReport, Envelope, HintFor, KnownBy, KnownRequest, OperationId, PeerMessage,
    PiecePlace, REGISTERS_PER_MESSAGE, ReadOutcome, ReplicaRead, ReplicaReadReply, ReplicaScan,
    ReplicaScanReply, ReplicaWrite, ReplicaWriteReply, ScannedKey, WriteOutcome,
};
pub use repair::RepairMessage;
