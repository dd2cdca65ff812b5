//! What merges, merges in any order, and any number of times, to the same.

use std::time::Duration;

use dynamo_membership::{
    BucketEntry, BucketTable, Member, MemberDetails, MemberStatus, Members, Stamp,
};
use dynamo_ring::Zone;
use dynamo_types::{
    Bucket, BucketSettings, Durability, NodeId, Profile, Reconciliation, Replication,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn n3() -> Replication {
    Replication::new(3).expect("1 to 7")
}

fn members() -> impl Strategy<Value = Members> {
    let status = prop_oneof![
        Just(MemberStatus::Joining),
        Just(MemberStatus::Active),
        Just(MemberStatus::Leaving),
        Just(MemberStatus::Removed),
    ];
    // Few of each, so that stamps meet: also equal ones with different details.
    let member =
        (status, 0..3u64, 0..2u64, 0..2u32).prop_map(|(status, lamport, author, weight)| {
            let details = MemberDetails {
                name: format!("n{weight}"),
                address: "a:1".into(),
                http_address: "a:2".into(),
                weight,
                zone: Zone::default(),
            };
            Member { status, stamp: Stamp { lamport, author: NodeId(author) }, details }
        });
    vec((0..4u64, member), 0..5).prop_map(|all| {
        let mut members = Members::new();
        for (node, member) in all {
            members.merge_member(NodeId(node), &member);
        }
        members
    })
}

fn entry() -> impl Strategy<Value = BucketEntry> {
    let profile = prop::sample::select(&Profile::ALL);
    let expiry = prop::option::of((1..3u64).prop_map(Duration::from_millis));
    (1..3u64, profile, any::<bool>(), 1..=3u8, 1..=3u8, any::<bool>(), expiry).prop_map(
        |(version, profile, last, r, w, synced, expiry)| {
            let reconciliation =
                if last { Reconciliation::LastWriteWins } else { Reconciliation::Siblings };
            let durability = if synced { Durability::Synced } else { Durability::Buffered };
            let settings = BucketSettings { profile, reconciliation, r, w, durability, expiry };
            BucketEntry { settings, version }
        },
    )
}

fn merged(mut a: Members, b: &Members) -> Members {
    a.merge(b);
    a
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn members_merge_commutes_associates_and_repeats(a in members(), b in members(), c in members()) {
        prop_assert_eq!(merged(a.clone(), &b), merged(b.clone(), &a));
        let left = merged(merged(a.clone(), &b), &c);
        prop_assert_eq!(&left, &merged(a.clone(), &merged(b.clone(), &c)));
        let mut again = left.clone();
        prop_assert!(!again.merge(&a) && !again.merge(&left), "what is known changes nothing");
        prop_assert_eq!(again, left);
    }

    #[test]
    fn a_status_only_climbs(a in members(), b in members()) {
        let after = merged(a.clone(), &b);
        for (node, member) in a.iter() {
            prop_assert!(after.get(node).is_some_and(|m| m.status >= member.status));
        }
    }

    #[test]
    fn buckets_converge_whatever_the_order(
        entries in vec((0..3usize, entry()), 0..8), seed in any::<u64>(),
    ) {
        let names = ["a", "b", "c"].map(|name| Bucket::new(name).expect("a name"));
        let (mut forward, mut shuffled) = (BucketTable::new(n3()), BucketTable::new(n3()));
        for (bucket, entry) in &entries {
            forward.merge_entry(names[*bucket].clone(), *entry);
        }
        let mut order: Vec<usize> = (0..entries.len()).chain(0..entries.len()).collect();
        order.sort_by_key(|i| (*i as u64 + 1).wrapping_mul(seed | 1));
        for i in order {
            shuffled.merge_entry(names[entries[i].0].clone(), entries[i].1);
        }
        prop_assert_eq!(&forward, &shuffled);
        prop_assert_eq!(forward.fingerprint(), shuffled.fingerprint());
        for (bucket, entry) in entries {
            let kept = forward.get(&names[bucket]);
            prop_assert!(kept == entry || kept.supersedes(&entry));
        }
    }

    #[test]
    fn entries_are_totally_ordered(a in entry(), b in entry(), c in entry()) {
        prop_assert_eq!(a == b, !a.supersedes(&b) && !b.supersedes(&a));
        prop_assert!(!(a.supersedes(&b) && b.supersedes(&a)));
        prop_assert!(!(a.supersedes(&b) && b.supersedes(&c)) || a.supersedes(&c));
    }

    #[test]
    fn an_entry_reads_back(entry in entry()) {
        prop_assert_eq!(BucketEntry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn bytes_are_an_entry_only_if_it_writes_them(
        entry in entry(), at in 0..22usize, byte in any::<u8>(), cut in 0..=22usize,
    ) {
        let mut bytes = entry.encode().to_vec();
        bytes[at] = byte;
        bytes.truncate(cut);
        if let Ok(read) = BucketEntry::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}
