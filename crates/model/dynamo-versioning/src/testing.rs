//! Proptest strategies and small builders for tests of this crate and of those above it.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use dynamo_types::{ActorId, RequestId, WallTime};
use proptest::collection::{btree_map, vec as vec_of};
use proptest::option;
use proptest::prelude::*;

use crate::dot::Dot;
use crate::dot_set::DotSet;
use crate::hybrid_clock::Hlc;
use crate::put::Put;
use crate::record::Record;
use crate::sibling::{BodyDigest, Content, Sibling};

/// A text value.
#[must_use]
pub fn value(text: &'static str) -> Content {
    Content::Value { bytes: Bytes::from_static(text.as_bytes()), content_type: Bytes::new() }
}

/// An ordinary client's put: a member coordinates it, nothing expires.
#[must_use]
pub fn put(content: Content, context: &DotSet, context_hlc: Hlc, request: u128) -> Put {
    Put {
        digest: BodyDigest::of(&content, None, context),
        context: context.clone(),
        context_hlc,
        content,
        expires_at: None,
        request: RequestId(request),
        covers_all_held: false,
        may_extend: true,
    }
}

/// A dot of one of four actors, with a small counter so that sets overlap often.
pub fn any_dot() -> impl Strategy<Value = Dot> {
    (0..4u64, 1..24u64).prop_map(|(actor, counter)| Dot::new(ActorId(actor), counter))
}

/// A set of such dots.
pub fn any_dot_set() -> impl Strategy<Value = DotSet> {
    vec_of((0..4u64, 0..24u64, 0..6u64), 0..6).prop_map(|intervals| {
        let mut set = DotSet::new();
        for (actor, lo, length) in intervals {
            set.insert_interval(ActorId(actor), lo, lo + length);
        }
        set
    })
}

/// Values, empty values and tombstones.
pub fn any_content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Tombstone),
        (vec_of(any::<u8>(), 0..20), prop_oneof![Just(&b""[..]), Just(&b"text/plain"[..])])
            .prop_map(|(bytes, content_type)| Content::Value {
                bytes: bytes.into(),
                content_type: Bytes::from_static(content_type),
            }),
    ]
}

/// The one version that a dot names: equal for equal dots, with a clock, expiry, content and request
/// that follow no order at all.
#[must_use]
pub fn version_of(dot: Dot) -> Sibling {
    let scrambled = (dot.actor.0 ^ dot.counter.rotate_left(17))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(23);
    let content = if scrambled.is_multiple_of(3) {
        Content::Tombstone
    } else {
        Content::Value {
            bytes: vec![scrambled as u8; (scrambled % 11) as usize].into(),
            content_type: Bytes::from_static(b"text/plain"),
        }
    };
    Sibling {
        dot,
        hlc: Hlc(scrambled >> 8),
        expires_at: scrambled.is_multiple_of(5).then_some(WallTime(scrambled >> 20)),
        request: RequestId(u128::from(scrambled % 4)),
        digest: BodyDigest(u128::from(scrambled % 2)),
        content,
    }
}

/// A record of versions that the same dots name in every other such record. It is a merge of up to
/// three, so that siblings come with claims of all kinds.
pub fn any_record() -> impl Strategy<Value = Record> {
    let part = (any_dot_set(), vec_of(any_dot(), 0..3), any::<u64>())
        .prop_map(|(context, dots, hlc)| record_of(context, dots, Hlc(hlc >> 7)));
    vec_of(part, 1..4).prop_map(|parts| {
        let mut merged = Record::new();
        for part in &parts {
            merged.merge(part);
        }
        merged
    })
}

/// Several such records: what replicas may hold of one object.
pub fn any_records(count: usize) -> impl Strategy<Value = Vec<Record>> {
    vec_of(any_record(), count)
}

/// A sibling with arbitrary fields, for encodings.
pub fn any_sibling(dot: Dot) -> impl Strategy<Value = Sibling> {
    let fields = (any_content(), any::<u64>(), option::of(any::<u64>()), any::<[u128; 2]>());
    fields.prop_map(move |(content, hlc, expiry, [request, digest])| Sibling {
        dot,
        hlc: Hlc(hlc),
        content,
        expires_at: expiry.map(WallTime),
        request: RequestId(request),
        digest: BodyDigest(digest),
    })
}

/// A record with arbitrary fields, for encodings: large counters, foreign actors.
pub fn any_encodable_record() -> impl Strategy<Value = Record> {
    let dots = btree_map((any::<u64>(), 1..u64::MAX), Just(()), 0..4);
    let siblings = dots.prop_flat_map(|dots| {
        dots.into_keys()
            .map(|(actor, counter)| any_sibling(Dot::new(ActorId(actor), counter)).boxed())
            .collect::<Vec<_>>()
    });
    (any_dot_set(), siblings).prop_map(|(mut context, siblings)| {
        siblings.iter().for_each(|s| context.insert(s.dot));
        let hlc_max = siblings.iter().map(|s| s.hlc).max().unwrap_or_default();
        Record::from_parts(context, hlc_max, siblings).expect("all parts agree")
    })
}

fn record_of(mut context: DotSet, dots: Vec<Dot>, hlc: Hlc) -> Record {
    let mut dots = dots;
    dots.sort_unstable();
    dots.dedup();
    dots.iter().for_each(|dot| context.insert(*dot));
    let siblings: Vec<Sibling> = dots.into_iter().map(version_of).collect();
    let hlc_max = siblings.iter().map(|s| s.hlc).max().unwrap_or_default().max(hlc);
    Record::from_parts(context, hlc_max, siblings).expect("all parts agree")
}
