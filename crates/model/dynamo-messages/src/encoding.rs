//! The bytes of messages on the wire.
//!
//! A frame that `dynamo-transport` carries holds one message:
//!
//! ```text
//! kind: u8 | number: u64, little endian | archive
//! ```
//!
//! `kind` says which message it is (the numbers are listed in `docs/WIRE_FORMAT.md`),
//! `number` is the sender's hybrid clock between nodes and the request's id between client and
//! node, and the archive is one flat rkyv structure: integers, byte strings, and vectors of flat
//! structures. There are no maps, no shared pointers and no recursion, the archive is validated
//! before anything is read, and each field is then checked into its domain type, so that what
//! [`decode_peer`] and [`decode_client`] return needs no further check.
//!
//! Decoding copies no values and no records: they are slices of the frame, which stays in memory as
//! long as any of them does. Names of objects are copied, because they are short and some are kept
//! for long. rkyv tolerates unused bytes, so a frame is **not** canonical: never hash or compare
//! frames. Encoding copies a value once, a record twice (into its canonical bytes, then into the
//! frame).

mod archive;
mod changes;
mod compact;
mod error;
mod explanation;
mod fields;
mod numbers;
mod peer;
mod repair;
mod reply;
mod request;
mod transfers;

pub use archive::{ClientFrame, decode_client, decode_peer, encode_client, encode_peer};
pub use error::{DecodeError, FieldError};

/// The version of everything in this module. It rises with every change of the golden bytes in
/// `testdata/`; the transport's hello agrees on one that both sides know.
pub const PROTOCOL_VERSION: u16 = 1;
