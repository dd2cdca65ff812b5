//! Bounds that every layer knows, each with its reason.

/// A bucket name fits a path segment and a metric label.
pub const BUCKET_BYTES_MAX: usize = 64;
/// A key fits an HTTP request line with room for its percent-encoding.
pub const KEY_BYTES_MAX: usize = 1024;
/// A context fits any HTTP header: common servers refuse lines beyond 8 KiB.
pub const CONTEXT_TEXT_BYTES_MAX: usize = 4096;
/// How many contexts one put may carry: one per reply that a client could have seen.
pub const CONTEXTS_PER_PUT_MAX: usize = 16;
/// A content type is a short header value, stored with every sibling.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// The largest value that can be configured: a frame must hold one.
pub const VALUE_BYTES_CEILING: usize = 16 << 20;
/// A page of a listing stays well below a frame.
pub const LIST_LIMIT_MAX: u32 = 1000;
/// A request may wait at most a minute: beyond that the client has given up.
pub const TIMEOUT_MS_MAX: u32 = 60_000;

/// Bounds that an operator can set, equal on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest value of a put, in bytes; at most [`VALUE_BYTES_CEILING`].
    pub value_bytes_max: usize,
    /// A client's put is refused while its key holds this many siblings that it does not replace.
    /// Merges are never refused (protocol rule 7).
    pub siblings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { value_bytes_max: 1 << 20, siblings_max: 100 }
    }
}
