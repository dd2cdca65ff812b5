//! Dotted versions: which version replaced which, and what may be forgotten.
//!
//! Every put gets a *dot*, the name of its version. A replica keeps a [`Record`] per object: the
//! versions that nobody has replaced, and a *context* of all dots it knows of. A dot in the context
//! without its version says "replaced". From that alone any two records merge, in any order, without
//! clocks and without losing a write that no client has seen (Paper §4.4, with dots in place of
//! vector clocks).
//!
//! Two customers' devices fill one cart while they cannot see each other; the next put merges it:
//!
//! ```
//! use dynamo_types::{ActorId, RequestId, Reconciliation, WallTime};
//! use dynamo_versioning::*;
//!
//! let cart = |items: &'static str| Content::Value {
//!     bytes: items.into(),
//!     content_type: "text/plain".into(),
//! };
//! let put = |content: Content, context: DotSet, hlc: Hlc, request: u128| Put {
//!     digest: BodyDigest::of(&content, None, &context),
//!     context, context_hlc: hlc, content, expires_at: None, request: RequestId(request),
//!     covers_all_held: false, may_extend: true,
//! };
//! let now = WallTime(1_000_000);
//!
//! // Two replicas coordinate one put each, cut off from one another.
//! let mut left = (StoredRecord::default(), DotMint::new(ActorId(0xa)), HybridClock::new());
//! let mut right = (StoredRecord::default(), DotMint::new(ActorId(0xb)), HybridClock::new());
//! let milk = put(cart("milk"), DotSet::new(), Hlc::ZERO, 1);
//! let bread = put(cart("bread"), DotSet::new(), Hlc::ZERO, 2);
//! let sent = apply_put(&mut left.0, &mut left.1, &mut left.2, now, milk, 100).unwrap();
//! apply_put(&mut right.0, &mut right.1, &mut right.2, now, bread, 100).unwrap();
//!
//! // The replica write arrives late: both carts are there, and the client sees both.
//! receive_delayed(&mut right.0, &sent.write, &DotClock::new());
//! let view = View::of(&right.0.record, Reconciliation::Siblings, now);
//! assert_eq!(view.visible.len(), 2);
//!
//! // The application merges them; its put replaces exactly what it saw.
//! let both = put(cart("milk, bread"), view.context, view.hlc_max, 3);
//! let sent = apply_put(&mut right.0, &mut right.1, &mut right.2, now, both, 100).unwrap();
//! receive_delayed(&mut left.0, &sent.write, &DotClock::new());
//! assert_eq!(left.0.record, right.0.record);
//! assert_eq!(left.0.record.siblings().len(), 1);
//! ```
//!
//! # Map, in reading order
//! - [`dot`]: names of versions, and the mint that gives them out; [`dot_set`]: sets of dots.
//! - [`hybrid_clock`]: timestamps; [`sibling`]: one version; [`record`]: the versions of an object,
//!   their merge and their canonical bytes; [`stored_record`]: a replica's row.
//! - [`put`]: a put at its coordinator; [`dot_clock`] and [`receive`]: what a replica makes of a
//!   message; [`collect`]: what may go.
//! - [`versions_digest`]: whether two replicas hold the same versions.
//! - [`view`]: what a client sees; [`client_context`]: what it carries to its next put.
//!
//! # What it does not do
//! No IO, no clock of its own, no randomness. It does not serialise changes of one record (the
//! caller's slot per key does), does not remember requests (retries are coordination's), does not
//! decide what the stable cut is, and never looks into a value.
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "testing"))]
extern crate std;

pub mod client_context;
pub mod collect;
mod cursor;
pub mod dot;
pub mod dot_clock;
pub mod dot_set;
pub mod hybrid_clock;
pub mod put;
pub mod receive;
pub mod record;
pub mod sibling;
pub mod stored_record;
#[cfg(feature = "testing")]
pub mod testing;
mod varint;
pub mod versions_digest;
pub mod view;

pub use client_context::{ClientContext, ContextError, ContextKey, SealContextError};
pub use collect::{collectable, shrink};
pub use cursor::ReadFieldError;
pub use dot::{Dot, DotMint};
pub use dot_clock::{DecodeDotClockError, DotClock};
pub use dot_set::{DecodeDotSetError, DotSet};
pub use hybrid_clock::{Hlc, HybridClock};
pub use put::{Applied, Put, TooManySiblings, apply_put};
pub use receive::{Received, drop_refused, receive_delayed, receive_state};
pub use record::{DecodeRecordError, Record, RecordPartsError};
pub use sibling::{BodyDigest, Content, Sibling};
pub use stored_record::{DecodeStoredRecordError, OwnWrite, StoredRecord};
pub use versions_digest::VersionsDigest;
pub use view::View;
