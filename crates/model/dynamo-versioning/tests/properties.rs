//! Laws of sets, records and their encodings.
#![cfg(not(planted_bugs))]

use std::collections::BTreeSet;

use bytes::Bytes;
use dynamo_types::{ActorId, WallTime};
use dynamo_versioning::testing::{
    any_dot, any_dot_set, any_encodable_record, any_record, any_records,
};
use dynamo_versioning::{
    Dot, DotClock, DotSet, Hlc, HybridClock, OwnWrite, Record, StoredRecord, receive_delayed,
};
use proptest::collection::vec as vec_of;
use proptest::prelude::*;

/// More than any counter of the small sets.
const COUNTERS: u64 = 32;

fn listed(set: &DotSet) -> BTreeSet<Dot> {
    let all = (0..4).flat_map(|actor| (1..COUNTERS).map(move |n| Dot::new(ActorId(actor), n)));
    all.filter(|dot| set.contains(*dot)).collect()
}

fn encoded(set: &DotSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.encode(&mut bytes);
    bytes
}

fn assert_canonical(set: &DotSet) {
    let intervals: Vec<_> = set.intervals().collect();
    assert!(intervals.iter().all(|(_, lo, hi)| lo < hi), "{set:?}");
    for pair in intervals.windows(2) {
        let ((left, _, end), (right, start, _)) = (pair[0], pair[1]);
        assert!((left, end) < (right, start), "{set:?}");
    }
}

fn merged(left: &Record, right: &Record) -> Record {
    let mut all = left.clone();
    let changed = all.merge(right);
    assert_eq!(changed, all != *left, "merge tells whether it changed anything");
    all
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn digests_are_equal_exactly_where_the_versions_are(
        (left, right) in (any_record(), any_record()),
    ) {
        let same = left.same_versions(&right);
        prop_assert_eq!(left.versions_digest() == right.versions_digest(), same);
        let (one, other) = (merged(&left, &right), merged(&right, &left));
        prop_assert_eq!(one.versions_digest(), other.versions_digest());
        prop_assert_eq!(one.without_values().versions_digest(), one.versions_digest());
    }

    #[test]
    fn a_dot_set_is_the_set_of_its_dots(left in any_dot_set(), right in any_dot_set(), dot in any_dot()) {
        let (l, r) = (listed(&left), listed(&right));

        let mut union = left.clone();
        union.union_with(&right);
        prop_assert_eq!(listed(&union), &l | &r);
        let mut rest = left.clone();
        rest.subtract(&right);
        prop_assert_eq!(listed(&rest), &l - &r);
        let both = left.intersection(&right);
        prop_assert_eq!(listed(&both), &l & &r);
        prop_assert_eq!(left.is_subset_of(&right), l.is_subset(&r));
        prop_assert!(both.is_subset_of(&left) && left.is_subset_of(&union));

        let mut with = left.clone();
        with.insert(dot);
        prop_assert_eq!(listed(&with), &l | &BTreeSet::from([dot]));
        let mut without = left.clone();
        without.remove(dot);
        prop_assert_eq!(listed(&without), &l - &BTreeSet::from([dot]));

        for set in [&union, &rest, &both, &with, &without] {
            assert_canonical(set);
            prop_assert_eq!(set, &listed(set).into_iter().collect::<DotSet>());
        }
    }

    #[test]
    fn a_large_union_equals_one_dot_at_a_time(
        left in vec_of((0..3u64, 1..400u64), 0..150),
        right in vec_of((0..3u64, 1..400u64), 0..150),
    ) {
        let set = |dots: &[(u64, u64)]| -> DotSet {
            dots.iter().map(|(actor, counter)| Dot::new(ActorId(*actor), *counter)).collect()
        };
        let mut union = set(&left);
        union.union_with(&set(&right));
        assert_canonical(&union);
        prop_assert_eq!(union, set(&[left, right].concat()));
    }

    #[test]
    fn equal_sets_and_only_those_have_equal_bytes(left in any_dot_set(), right in any_dot_set()) {
        prop_assert_eq!(left == right, encoded(&left) == encoded(&right));
        prop_assert_eq!(encoded(&left).len(), left.encoded_len());
        let clock = DotClock { dots: left, horizon: right };
        prop_assert_eq!(DotClock::decode(&clock.encode()), Ok(clock));
    }

    #[test]
    fn a_set_decodes_from_the_front_and_from_canonical_bytes_only(
        set in any_dot_set(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        behind in vec_of(any::<u8>(), 0..4),
    ) {
        let mut bytes = encoded(&set);
        let length = bytes.len();
        bytes.extend(behind);
        prop_assert_eq!(DotSet::decode(&bytes), Ok((set, length)));
        bytes[at.index(length)] = byte;
        if let Ok((other, taken)) = DotSet::decode(&bytes) {
            prop_assert_eq!(&bytes[..taken], &encoded(&other)[..]);
        }
    }

    #[test]
    fn junk_is_no_set_unless_it_is_canonical(bytes in vec_of(0..4u8, 0..40)) {
        if let Ok((set, taken)) = DotSet::decode(&bytes) {
            assert_canonical(&set);
            prop_assert_eq!(&bytes[..taken], &encoded(&set)[..]);
        }
    }

    #[test]
    fn merge_is_commutative_associative_and_idempotent(records in any_records(3)) {
        let [a, b, c] = [&records[0], &records[1], &records[2]];
        prop_assert_eq!(merged(a, b), merged(b, a));
        prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
        prop_assert_eq!(&merged(a, a), a);
        prop_assert_eq!(&merged(a, &Record::new()), a);
        prop_assert_eq!(&merged(&Record::new(), a), a);
        let all = merged(a, b);
        prop_assert_eq!(&merged(&all, b), &all);
    }

    #[test]
    fn merge_keeps_a_version_unless_one_side_knows_it_replaced(records in any_records(2)) {
        let all = merged(&records[0], &records[1]);
        for (one, other) in [(0, 1), (1, 0)].map(|(one, other)| (&records[one], &records[other])) {
            for dot in one.dots() {
                let replaced = other.covers(dot) && other.sibling(dot).is_none();
                prop_assert_eq!(all.sibling(dot).is_some(), !replaced);
            }
        }
    }

    #[test]
    fn pieces_merge_back_in_any_order_and_each_is_a_valid_message(record in any_record(), rotate in 0..4usize) {
        let mut pieces: Vec<Record> = record.pieces().collect();
        prop_assert_eq!(pieces.len(), record.siblings().len().max(1));
        for piece in &pieces {
            prop_assert!(piece.siblings().len() <= 1);
            prop_assert_eq!(&Record::decode(&piece.encode()).unwrap(), piece);
        }
        let places = pieces.len();
        pieces.rotate_left(rotate % places);
        let back = pieces.iter().fold(Record::new(), |all, piece| merged(&all, piece));
        prop_assert_eq!(back, record);
    }

    #[test]
    fn a_replica_that_knows_nothing_takes_a_message_as_it_is(message in any_record()) {
        let mut row = StoredRecord::default();
        let received = receive_delayed(&mut row, &message, &DotClock::new());
        prop_assert_eq!(received.changed, message != Record::new());
        prop_assert_eq!(&row.record, &message);
        prop_assert_eq!(row.own, None);
    }

    #[test]
    fn a_record_reads_back_and_values_are_slices_of_the_input(record in any_encodable_record()) {
        let bytes = record.encode();
        prop_assert_eq!(bytes.len(), record.encoded_len());
        let read = Record::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &record);
        prop_assert_eq!(read.encode(), bytes.clone());
        let within = bytes.as_ptr_range();
        for sibling in read.siblings() {
            if let dynamo_versioning::Content::Value { bytes: value, .. } = &sibling.content
                && !value.is_empty()
            {
                prop_assert!(within.contains(&value.as_ptr()));
            }
        }
    }

    #[test]
    fn equal_records_and_only_those_have_equal_bytes(left in any_record(), right in any_record()) {
        prop_assert_eq!(left == right, left.encode() == right.encode());
    }

    #[test]
    fn changed_bytes_never_decode_to_what_would_be_written_otherwise(
        record in any_encodable_record(),
        changes in vec_of((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = record.encode().to_vec();
        let cut = cut.index(bytes.len());
        prop_assert!(Record::decode(&Bytes::copy_from_slice(&bytes[..cut])).is_err());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(other) = Record::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn a_row_reads_back(record in any_encodable_record(), own in proptest::option::of((any::<u64>(), any::<u64>()))) {
        let own = own.map(|(actor, counter)| OwnWrite { actor: ActorId(actor), counter });
        let row = StoredRecord { record, own };
        let bytes = row.encode();
        prop_assert_eq!(StoredRecord::decode(&bytes).unwrap(), row);
    }

    #[test]
    fn a_hybrid_clock_rises_above_all_it_met(events in vec_of((any::<bool>(), any::<u32>(), any::<u32>()), 1..50)) {
        let mut clock = HybridClock::new();
        let mut greatest = Hlc::ZERO;
        for (observes, wall, other) in events {
            let other = Hlc(u64::from(other) << 12);
            if observes {
                clock.observe(other);
                greatest = greatest.max(other);
            } else {
                let time = clock.tick(WallTime(u64::from(wall)), other);
                prop_assert!(time > greatest && time > other && time >= Hlc::at(WallTime(u64::from(wall))));
                greatest = time;
            }
        }
    }
}

#[test]
fn ten_thousand_intervals_join_and_compare_in_single_passes() {
    let scattered = |offset: u64| -> DotSet {
        (0..10_000).map(|place| Dot::new(ActorId(place % 3), 4 * place + offset)).collect()
    };
    let (even, odd) = (scattered(1), scattered(3));
    let mut union = even.clone();
    union.union_with(&odd);
    assert_eq!(union.interval_count(), 20_000);
    assert!(even.is_subset_of(&union) && !union.is_subset_of(&even));
    assert!(even.intersection(&odd).is_empty());
    union.subtract(&odd);
    assert_eq!(union, even);
    assert_eq!(DotSet::decode(&encoded(&even)), Ok((even.clone(), even.encoded_len())));
}
