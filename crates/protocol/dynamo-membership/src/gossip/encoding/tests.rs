//! Bytes and messages about members.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use dynamo_ring::Zone;
use dynamo_types::NodeId;
use proptest::prelude::*;

use super::*;
use crate::members::{Member, MemberDetails, MemberStatus, Members, Stamp};

fn member(status: MemberStatus, lamport: u64) -> Member {
    let details = MemberDetails {
        name: "a".into(),
        address: "a:1".into(),
        http_address: "a:2".into(),
        weight: 1,
        zone: Zone::new("z"),
    };
    Member { status, stamp: Stamp { lamport, author: NodeId(9) }, details }
}

fn any_member() -> impl Strategy<Value = Member> {
    let status = prop::sample::select(vec![
        MemberStatus::Joining,
        MemberStatus::Active,
        MemberStatus::Leaving,
        MemberStatus::Removed,
    ]);
    let text = "[a-zé:.0-9]{1,20}";
    (status, any::<u64>(), any::<u64>(), text, text, text, 1..u32::MAX, "[a-z.-]{1,9}").prop_map(
        |(status, lamport, author, name, address, http_address, weight, zone)| {
            let zone = Zone::new(zone);
            let details = MemberDetails { name, address, http_address, weight, zone };
            Member { status, stamp: Stamp { lamport, author: NodeId(author) }, details }
        },
    )
}

fn any_message() -> impl Strategy<Value = GossipMessage> {
    let digests =
        prop::collection::btree_map(any::<u64>().prop_map(NodeId), any::<[u8; 8]>(), 0..5);
    let entries = prop::collection::btree_map(any::<u64>().prop_map(NodeId), any_member(), 0..5);
    let wanted = prop::collection::btree_set(any::<u64>().prop_map(NodeId), 0..5);
    prop_oneof![
        any::<Fingerprint>().prop_map(GossipMessage::Digest),
        digests.prop_map(|nodes| GossipMessage::Summary(nodes.into_iter().collect())),
        (entries, wanted).prop_map(|(entries, wanted)| GossipMessage::Entries {
            entries: entries.into_iter().collect(),
            wanted: wanted.into_iter().collect(),
        }),
    ]
}

/// Puts the right tag on a body that nobody would write.
fn tagged(body: &[u8]) -> Vec<u8> {
    [body, &tag(body)].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_reads_back(message in any_message()) {
        prop_assert_eq!(GossipMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn gossip_bit_flip(message in any_message(), bit in any::<prop::sample::Index>()) {
        let mut bytes = message.encode().to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(GossipMessage::decode(&bytes).is_err());
    }

    #[test]
    fn what_reads_is_what_would_be_written(
        message in any_message(), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        // With the right tag, so that the fields themselves are held to it.
        let bytes = message.encode();
        let mut body = bytes[..bytes.len() - TAG_BYTES].to_vec();
        let at = at.index(body.len());
        body[at] = value;
        let changed = tagged(&body);
        if let Ok(read) = GossipMessage::decode(&changed) {
            prop_assert_eq!(&read.encode()[..], &changed[..]);
        }
        let cut = tagged(&body[..at]);
        prop_assert!(GossipMessage::decode(&cut).is_err());
    }

    #[test]
    fn junk_is_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(GossipMessage::decode(&body).is_err(), "no junk has a tag");
        let kinds = [&[VERSION, body.first().map_or(0, |b| b % 3)], &body[..]].concat();
        if let Ok(read) = GossipMessage::decode(&tagged(&kinds)) {
            prop_assert_eq!(&read.encode()[..], &tagged(&kinds)[..]);
        }
    }
}

#[test]
fn members_on_disk_read_back_and_nothing_else_is_taken_for_them() {
    let mut members = Members::new();
    assert_eq!(Members::decode(&members.encode()).as_ref(), Ok(&members));
    for node in [7, 3, 9] {
        members.merge_member(NodeId(node), &member(MemberStatus::Removed, node));
    }
    let bytes = members.encode();
    assert_eq!(Members::decode(&bytes).as_ref(), Ok(&members));
    assert_eq!(Members::decode(&bytes[..bytes.len() - 1]), Err(DecodeGossipError::Tag));
    for other in [
        GossipMessage::Digest([1; 16]),
        GossipMessage::Summary(vec![]),
        GossipMessage::Entries { entries: vec![], wanted: vec![NodeId(1)] },
    ] {
        let refused = Members::decode(&other.encode());
        assert!(matches!(refused, Err(DecodeGossipError::Kind(_))), "{refused:?}");
    }
}

#[test]
fn the_bytes_are_what_they_were() {
    let entries = vec![(NodeId(0x0102), member(MemberStatus::Leaving, 3))];
    let message = GossipMessage::Entries { entries, wanted: vec![NodeId(4)] };
    let bytes = message.encode();
    let expected = [
        1, 2, 0, 0, 0, 1, // version, kind, one entry
        0, 0, 0, 0, 0, 0, 1, 2, 2, // node, status
        0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, // stamp, weight
        0, 1, b'a', 0, 3, b'a', b':', b'1', 0, 3, b'a', b':', b'2', 0, 1, b'z', // texts
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, // one wanted
    ];
    assert_eq!(bytes[..bytes.len() - TAG_BYTES], expected);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |change: fn(&mut Member)| {
        let mut changed = member(MemberStatus::Active, 1);
        change(&mut changed);
        let entries = vec![(NodeId(1), changed)];
        let message = GossipMessage::Entries { entries, wanted: vec![] };
        GossipMessage::decode(&message.encode())
    };
    assert_eq!(refused(|m| m.details.weight = 0), Err(DecodeGossipError::Weight));
    for change in [
        (|m| m.details.name = String::new()) as fn(&mut Member),
        |m| m.details.address = "x".repeat(261),
        |m| m.details.http_address = "a\n:1".into(),
        |m| m.details.zone = Zone::new("a b"),
    ] {
        assert_eq!(refused(change), Err(DecodeGossipError::Text));
    }
    let unordered = GossipMessage::Summary(vec![(NodeId(2), [0; 8]), (NodeId(2), [0; 8])]);
    assert_eq!(GossipMessage::decode(&unordered.encode()), Err(DecodeGossipError::Order));
    let counts = tagged(&[VERSION, 1, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(GossipMessage::decode(&counts), Err(DecodeGossipError::Count(u32::MAX)));
    assert_eq!(GossipMessage::decode(&[2]), Err(DecodeGossipError::Version(2)));
    let more = tagged(&[&[VERSION, 0][..], &[0; 17]].concat());
    assert_eq!(GossipMessage::decode(&more), Err(DecodeGossipError::Trailing(1)));
}

#[test]
fn gossip_generation_after_long_uptime() {
    let mut known = Members::new();
    known.merge_member(NodeId(1), &member(MemberStatus::Active, 5));
    let with_stamp = |lamport| [(NodeId(1), member(MemberStatus::Active, lamport))];
    // A change a second for a hundred years.
    let century = 100 * 366 * 24 * 3600;
    assert_eq!(check_plausible(&with_stamp(5 + century), &known), Ok(()));
    let flipped = 5 | 1 << 40;
    let refused = DecodeGossipError::Lamport { stamp: flipped, known: 5 };
    assert_eq!(check_plausible(&with_stamp(flipped), &known), Err(refused));
}

#[test]
fn no_more_members_than_a_cluster_can_have() {
    let mut known = Members::new();
    for node in 0..MEMBERS_KNOWN_MAX as u64 {
        known.merge_member(NodeId(node), &member(MemberStatus::Removed, 1));
    }
    let entry = |node| [(NodeId(node), member(MemberStatus::Active, 1))];
    assert_eq!(check_plausible(&entry(0), &known), Ok(()));
    let refused = DecodeGossipError::TooMany(MEMBERS_KNOWN_MAX + 1);
    assert_eq!(check_plausible(&entry(u64::MAX), &known), Err(refused));
}
