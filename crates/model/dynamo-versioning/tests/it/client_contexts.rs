//! What clients carry: bound to its object, never longer than its limit, never claiming too much.

use dynamo_types::limits::CONTEXT_TEXT_BYTES_MAX;
use dynamo_types::{ActorId, Bucket, ClusterId, Key, NodeId, ObjectName};
use dynamo_versioning::testing::version_of;
use dynamo_versioning::{
    ClientContext, ContextError, ContextKey, Dot, DotSet, Hlc, Record, SealContextError,
};

const CLUSTER: ClusterId = ClusterId(7);

fn secret() -> ContextKey {
    ContextKey::derive(&[7; 32])
}

fn name(bucket: &'static str, key: &'static str) -> ObjectName {
    ObjectName {
        bucket: Bucket::new(bucket).expect("a short name"),
        key: Key::new(key).expect("a short key"),
    }
}

fn context() -> ClientContext {
    let mut dots = DotSet::new();
    dots.insert_interval(ActorId(u64::MAX), 3, 900);
    dots.insert(Dot::new(ActorId(4), 1));
    ClientContext { dots, hlc_max: Hlc(u64::MAX), fastest: Some(NodeId(5)) }
}

#[test]
fn a_context_opens_for_its_object_alone() {
    let text = context().seal(&secret(), CLUSTER, &name("carts", "alice")).unwrap();
    let open = |key: &ContextKey, cluster, name| ClientContext::open(&text, key, cluster, &name);
    assert_eq!(open(&secret(), CLUSTER, name("carts", "alice")), Ok(context()));
    let wrong = Err(ContextError::WrongTag);
    assert_eq!(open(&secret(), CLUSTER, name("carts", "bob")), wrong);
    assert_eq!(open(&secret(), CLUSTER, name("cart", "salice")), wrong);
    assert_eq!(open(&secret(), ClusterId(8), name("carts", "alice")), wrong);
    assert_eq!(open(&ContextKey::derive(&[8; 32]), CLUSTER, name("carts", "alice")), wrong);
}

#[test]
fn every_way_to_be_no_context_has_its_own_error() {
    let object = name("carts", "alice");
    let open = |text: &str| ClientContext::open(text, &secret(), CLUSTER, &object).unwrap_err();
    assert_eq!(open(&"A".repeat(4097)), ContextError::TooLong(4097));
    assert_eq!(open("no base64!"), ContextError::NotBase64);
    assert_eq!(open("AQ=="), ContextError::NotBase64);
    assert_eq!(open("Ag"), ContextError::UnknownVersion(2));
    assert_eq!(open(""), ContextError::Malformed);
    assert_eq!(open("AQ"), ContextError::Malformed);
}

#[test]
fn no_changed_character_passes() {
    let object = name("carts", "alice");
    let text = context().seal(&secret(), CLUSTER, &object).unwrap();
    for at in 0..text.len() {
        for other in ["A", "B", "z", "_", "=", ""] {
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            let opened = ClientContext::open(&changed, &secret(), CLUSTER, &object);
            assert!(changed == text || opened.is_err(), "{changed} was accepted");
        }
    }
}

/// A record whose context has many intervals.
fn scattered(intervals: u64, siblings: u64) -> Record {
    let mut context = DotSet::new();
    for place in 0..intervals {
        context.insert(Dot::new(ActorId(place % 50), 2 * place + 2));
    }
    let dots = (0..siblings).map(|actor| Dot::new(ActorId(1_000 + actor), 1 << 40));
    let versions: Vec<_> = dots.map(version_of).collect();
    versions.iter().for_each(|version| context.insert(version.dot));
    Record::from_parts(context, Hlc(u64::MAX), versions).expect("all parts agree")
}

#[test]
fn a_context_that_fits_covers_the_whole_record() {
    let record = scattered(500, 3);
    let context = ClientContext::of_view(&record, None);
    assert_eq!(context.dots, *record.context());
    let text = context.seal(&secret(), CLUSTER, &name("carts", "alice")).unwrap();
    assert!(text.len() <= CONTEXT_TEXT_BYTES_MAX);
}

#[test]
fn a_context_that_does_not_fit_covers_exactly_the_siblings() {
    let record = scattered(20_000, 100);
    let context = ClientContext::of_view(&record, Some(NodeId(1)));
    assert_eq!(context.dots, record.dots().collect());
    let text = context.seal(&secret(), CLUSTER, &name("carts", "alice")).unwrap();
    assert!(text.len() <= CONTEXT_TEXT_BYTES_MAX);
}

#[test]
fn siblings_beyond_the_limit_are_left_for_the_next_round() {
    let record = scattered(10, 10_000);
    let context = ClientContext::of_view(&record, Some(NodeId(1)));
    assert!(context.dots.is_subset_of(&record.dots().collect()));
    assert!(context.dots.interval_count() > 150, "as many as fit");
    assert!(context.seal(&secret(), CLUSTER, &name("carts", "alice")).is_ok());
}

#[test]
fn a_set_that_is_too_large_is_not_sealed() {
    let dots = scattered(20_000, 0).context().clone();
    let too_large = ClientContext { dots, ..ClientContext::default() };
    let refused = too_large.seal(&secret(), CLUSTER, &name("carts", "alice"));
    assert!(matches!(refused, Err(SealContextError { bytes, max }) if bytes > max), "{refused:?}");
}
