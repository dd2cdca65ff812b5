//! Ranges of keys and their one normal form.

use std::ops::{Bound, RangeBounds};

use bytes::Bytes;

/// A range of keys: lower and upper bound.
pub type KeyRange = (Bound<Bytes>, Bound<Bytes>);

/// The range that the standard range types describe.
#[must_use]
pub fn keys(range: impl RangeBounds<Bytes>) -> KeyRange {
    (range.start_bound().cloned(), range.end_bound().cloned())
}

/// All keys that begin with `prefix`.
#[must_use]
pub fn prefixed(prefix: &[u8]) -> KeyRange {
    let mut after = prefix.to_vec();
    while after.last() == Some(&0xff) {
        after.pop();
    }
    let until = match after.last_mut() {
        Some(last) => {
            *last += 1;
            Bound::Excluded(Bytes::from(after))
        }
        None => Bound::Unbounded,
    };
    (Bound::Included(Bytes::copy_from_slice(prefix)), until)
}

/// The least key after `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// A range as its first key and the first key after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Vec<u8>,
    pub(crate) until: Option<Vec<u8>>,
}

impl Span {
    /// The normal form of a range.
    pub(crate) fn of(range: &KeyRange) -> Self {
        let from = match &range.0 {
            Bound::Included(key) => key.to_vec(),
            Bound::Excluded(key) => successor(key),
            Bound::Unbounded => Vec::new(),
        };
        let until = match &range.1 {
            Bound::Included(key) => Some(successor(key)),
            Bound::Excluded(key) => Some(key.to_vec()),
            Bound::Unbounded => None,
        };
        Self { from, until }
    }

    /// Whether no key can lie in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.until.as_ref().is_some_and(|until| *until <= self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(range: &KeyRange, key: &[u8]) -> bool {
        let span = Span::of(range);
        *key >= *span.from && span.until.as_ref().is_none_or(|until| *key < **until)
    }

    #[test]
    fn the_normal_form_holds_the_same_keys() {
        let all = [&b""[..], b"a", b"a\0", b"a\0\0", b"ab", b"b", b"\xff"];
        let (a, b) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
        let ranges = [
            keys(..),
            keys(a.clone()..),
            keys(a.clone()..b.clone()),
            keys(a.clone()..=b.clone()),
            keys(..=a.clone()),
            (Bound::Excluded(a.clone()), Bound::Included(b.clone())),
            keys(b..a),
        ];
        for range in ranges {
            for key in all {
                let expected = range.contains(&Bytes::copy_from_slice(key));
                assert_eq!(inside(&range, key), expected, "{key:?} in {range:?}");
            }
        }
    }

    #[test]
    fn a_prefix_covers_exactly_what_begins_with_it() {
        for prefix in [&b""[..], b"a", b"a\xff", b"\xff\xff"] {
            let range = prefixed(prefix);
            for key in [&b""[..], b"a", b"a\xfe", b"a\xff", b"a\xff\x01", b"b", b"\xff\xff\xff"] {
                assert_eq!(inside(&range, key), key.starts_with(prefix), "{key:?} {prefix:?}");
            }
        }
    }
}
