//! The opaque context that a client carries from a get to its next put.
//!
//! ```text
//! text = base64url, unpadded, of:
//!   version: 1 byte
//!   body: greatest timestamp: 8 bytes    fastest: 0, or 1 and 8 bytes    dots: a set of dots
//!   tag: 16 bytes of BLAKE3, keyed, over cluster, bucket, key, version and body
//! ```
//! The tag binds it to one object of one cluster: a context can neither be made up nor used for
//! another key. It is no secret and no permission.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dynamo_types::limits::CONTEXT_TEXT_BYTES_MAX;
use dynamo_types::{ClusterId, NodeId, ObjectName};
use thiserror::Error;

use crate::cursor::{Cursor, ReadFieldError};
use crate::dot::Dot;
use crate::dot_set::{DecodeDotSetError, DotSet};
use crate::hybrid_clock::Hlc;
use crate::put::Applied;
use crate::record::Record;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;

/// What the dots may take so that the text keeps to its limit: three bytes of every four
/// characters, less version, timestamp, fastest replica and tag.
const DOTS_BYTES_MAX: usize = CONTEXT_TEXT_BYTES_MAX / 4 * 3 - 1 - 8 - 9 - TAG_BYTES;

/// What a client has seen of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientContext {
    /// The versions that its next put replaces.
    pub dots: DotSet,
    /// The greatest timestamp behind them, which the next put's version will exceed.
    pub hlc_max: Hlc,
    /// The replica that answered fastest, where the next put should go (Paper §5).
    pub fastest: Option<NodeId>,
}

/// The key of a cluster's context tags. Nodes have it, clients never do.
#[derive(Clone)]
pub struct ContextKey([u8; 32]);

impl ContextKey {
    /// The key that belongs to a cluster's secret.
    #[must_use]
    pub fn derive(cluster_secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("dynamo client context tag, version 1", cluster_secret))
    }
}

impl fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextKey(..)")
    }
}

/// A context has more dots than its text may carry. [`ClientContext::of_view`],
/// [`ClientContext::of_put`] and [`ClientContext::of_known`] make none that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the context's dots take {bytes} bytes, and {max} fit")]
pub struct SealContextError {
    /// What the dots take.
    pub bytes: usize,
    /// What they may take.
    pub max: usize,
}

/// Why a text is no context for this object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContextError {
    /// Longer than any context is.
    #[error("context has {0} characters, and {CONTEXT_TEXT_BYTES_MAX} is the most")]
    TooLong(usize),
    /// Not unpadded URL-safe base64 in canonical form.
    #[error("context is not URL-safe base64")]
    NotBase64,
    /// Made by another version of the program.
    #[error("context has format version {0}, not {VERSION}")]
    UnknownVersion(u8),
    /// Made for another key or by another cluster, or changed on the way.
    #[error("context belongs to another key or cluster, or was changed")]
    WrongTag,
    /// Cut short, or not what a node would have written.
    #[error("context is malformed")]
    Malformed,
}

impl ClientContext {
    /// The context for a client that was shown this record.
    ///
    /// Covers all that the record covers. Where that takes more than a context may, it is cut down
    /// to the siblings' dots, of which as many stay as fit: it then claims less, so that the next put
    /// may leave a sibling that another replica will recognise as replaced, and never more.
    #[must_use]
    pub fn of_view(record: &Record, fastest: Option<NodeId>) -> Self {
        let dots = fitting(record.context(), record.dots());
        Self { dots, hlc_max: record.hlc_max(), fastest }
    }

    /// The context for a client whose put was applied; cut down to the new dot where it is too large.
    #[must_use]
    pub fn of_put(applied: &Applied, fastest: Option<NodeId>) -> Self {
        let dots = fitting(&applied.reply_context, [applied.dot]);
        Self { dots, hlc_max: applied.reply_hlc, fastest }
    }

    /// The context for a client whose put turned out to be made before, as `dot`: the contexts that
    /// the put came with, joined, and that version; cut down to it where that is too large.
    #[must_use]
    pub fn of_known(seen: &Self, dot: Dot, hlc_max: Hlc, fastest: Option<NodeId>) -> Self {
        let mut dots = seen.dots.clone();
        dots.insert(dot);
        Self { dots: fitting(&dots, [dot]), hlc_max: seen.hlc_max.max(hlc_max), fastest }
    }

    /// What a client has seen that holds all these contexts. The first fastest replica stays.
    #[must_use]
    pub fn join(contexts: impl IntoIterator<Item = Self>) -> Self {
        let mut joined = Self::default();
        for context in contexts {
            joined.dots.union_with(&context.dots);
            joined.hlc_max = joined.hlc_max.max(context.hlc_max);
            joined.fastest = joined.fastest.or(context.fastest);
        }
        joined
    }

    /// Writes the context as text for a client.
    ///
    /// # Errors
    /// Refuses a context whose text would be longer than [`CONTEXT_TEXT_BYTES_MAX`].
    pub fn seal(
        &self,
        key: &ContextKey,
        cluster: ClusterId,
        name: &ObjectName,
    ) -> Result<String, SealContextError> {
        let dots_bytes = self.dots.encoded_len();
        if dots_bytes > DOTS_BYTES_MAX {
            return Err(SealContextError { bytes: dots_bytes, max: DOTS_BYTES_MAX });
        }
        let mut out = Vec::with_capacity(1 + 8 + 9 + dots_bytes + TAG_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.hlc_max.0.to_be_bytes());
        match self.fastest {
            None => out.push(0),
            Some(node) => {
                out.push(1);
                out.extend_from_slice(&node.0.to_be_bytes());
            }
        }
        self.dots.encode(&mut out);
        let tag = tag(key, cluster, name, &out);
        out.extend_from_slice(&tag.as_bytes()[..TAG_BYTES]);
        Ok(URL_SAFE_NO_PAD.encode(out))
    }

    /// Reads a context that a client sent for this object.
    ///
    /// # Errors
    /// Says which of its checks the text fails; nothing but what [`ClientContext::seal`] wrote for
    /// the same object under the same key passes.
    pub fn open(
        text: &str,
        key: &ContextKey,
        cluster: ClusterId,
        name: &ObjectName,
    ) -> Result<Self, ContextError> {
        if text.len() > CONTEXT_TEXT_BYTES_MAX {
            return Err(ContextError::TooLong(text.len()));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ContextError::NotBase64)?;
        match bytes.first() {
            None => return Err(ContextError::Malformed),
            Some(&version) if version != VERSION => {
                return Err(ContextError::UnknownVersion(version));
            }
            Some(_) => {}
        }
        let (signed, given) =
            bytes.split_last_chunk::<TAG_BYTES>().ok_or(ContextError::Malformed)?;
        let expected = tag(key, cluster, name, signed);
        // Hashes compare in constant time; the half that does not travel is made equal.
        let mut completed = *expected.as_bytes();
        completed[..TAG_BYTES].copy_from_slice(given);
        if blake3::Hash::from_bytes(completed) != expected {
            return Err(ContextError::WrongTag);
        }
        let body = signed.get(1..).ok_or(ContextError::Malformed)?;
        decode_body(body).map_err(|_| ContextError::Malformed)
    }
}

/// The whole set if it fits a context, else as many of the `essential` dots as do.
fn fitting(whole: &DotSet, essential: impl IntoIterator<Item = Dot>) -> DotSet {
    if whole.encoded_len() <= DOTS_BYTES_MAX {
        return whole.clone();
    }
    // No dot adds more than an actor, a number of intervals and two counters.
    const DOT_BYTES_MAX: usize = 8 + 3 + 10 + 10;
    let mut kept = DotSet::new();
    for dot in essential {
        kept.insert(dot);
        if kept.encoded_len() + DOT_BYTES_MAX > DOTS_BYTES_MAX {
            break;
        }
    }
    kept
}

fn tag(key: &ContextKey, cluster: ClusterId, name: &ObjectName, signed: &[u8]) -> blake3::Hash {
    let (bucket, object_key) = (name.bucket.as_bytes(), name.key.as_bytes());
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(&cluster.0.to_be_bytes());
    // Lengths in front, so that no two names feed the same bytes.
    hasher.update(&(bucket.len() as u64).to_be_bytes()).update(bucket);
    hasher.update(&(object_key.len() as u64).to_be_bytes()).update(object_key);
    hasher.update(signed);
    hasher.finalize()
}

/// Why a body with a right tag cannot be read: only a node of another make writes such a body.
#[derive(Debug)]
struct MalformedBody;

impl From<ReadFieldError> for MalformedBody {
    fn from(_: ReadFieldError) -> Self {
        Self
    }
}

impl From<DecodeDotSetError> for MalformedBody {
    fn from(_: DecodeDotSetError) -> Self {
        Self
    }
}

fn decode_body(body: &[u8]) -> Result<ClientContext, MalformedBody> {
    let mut cursor = Cursor::new(body);
    let hlc_max = Hlc(cursor.u64()?);
    let fastest = match cursor.byte()? {
        0 => None,
        1 => Some(NodeId(cursor.u64()?)),
        _ => return Err(MalformedBody),
    };
    let (dots, taken) = DotSet::decode(cursor.rest())?;
    if taken != cursor.remaining() {
        return Err(MalformedBody);
    }
    Ok(ClientContext { dots, hlc_max, fastest })
}
