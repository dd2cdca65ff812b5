//! What a session finds, whatever the replicas hold, and what happens when they change or fail.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use dynamo_merkle::iblt::{ItemId, Symbol};
use dynamo_merkle::{NodePath, ShortSum, Sum};
use dynamo_messages::repair::{
    Answer, ClockDigest, LeafTotals, PartitionRoot, RootsQuestion, Unable,
};
use dynamo_repair::anti_entropy::{Differing, FindingConfig, HeldBy};
use dynamo_types::{Instant, PartitionId};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::two_replicas::{Replica, Report, compare, item, q};

fn replica(depth: u8, records: impl IntoIterator<Item = (u32, u32)>) -> Replica {
    let mut replica = Replica::new(depth);
    for (number, version) in records {
        replica.put(number, version);
    }
    replica
}

fn undisturbed(here: &mut Replica, there: &mut Replica) -> Report {
    compare(here, there, FindingConfig::default(), 7, |_, _, _, _| {})
}

/// What a session should find, found record by record.
fn truly_differing(here: &Replica, there: &Replica) -> Vec<Differing> {
    let mut differing = BTreeMap::new();
    for (position, item) in here.records.iter().chain(&there.records) {
        let held_by = match (here.records.get(position), there.records.get(position)) {
            (Some(here), Some(there)) if here.digest == there.digest => continue,
            (Some(_), Some(_)) => HeldBy::Both,
            (Some(_), None) => HeldBy::Here,
            (None, _) => HeldBy::There,
        };
        differing.insert(item.name.clone(), held_by);
    }
    differing.into_iter().map(|(name, held_by)| Differing { name, held_by }).collect()
}

fn sorted(mut records: Vec<Differing>) -> Vec<Differing> {
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}

/// Gives each side the greater of two versions, as an exchange of records would.
fn exchange(here: &mut Replica, there: &mut Replica) {
    let all: Vec<_> =
        here.records.iter().chain(&there.records).map(|(p, i)| (*p, i.clone())).collect();
    for (position, item) in all {
        for replica in [&mut *here, &mut *there] {
            let held = replica.records.get(&position);
            if held.is_none_or(|held| held.digest < item.digest) {
                replica.hold(dynamo_types::Position(position), item.clone());
            }
        }
    }
}

fn records() -> impl Strategy<Value = BTreeMap<u32, u32>> {
    btree_map(0..400u32, 0..3u32, 0..250)
}

fn node() -> impl Strategy<Value = NodePath> {
    (0..3u8, 0..20u32)
        .prop_map(|(depth, index)| NodePath::new(depth, index).unwrap_or(NodePath::ROOT))
}

/// The first symbols of a set of four items, in their bytes.
fn packed(symbols: &[Symbol]) -> Bytes {
    let mut bytes = Vec::new();
    for (number, symbol) in (0..).zip(symbols) {
        symbol.write(number, 4, &mut bytes);
    }
    bytes.into()
}

/// Answers that an honest peer would not give here.
fn junk() -> impl Strategy<Value = Answer> {
    let symbol = (any::<u64>(), any::<u32>(), -3..3i32).prop_map(|(sum, checksum, count)| Symbol {
        sum,
        checksum,
        count,
    });
    let symbols = vec(symbol, 0..9).prop_map(|symbols| packed(&symbols));
    let bytes = vec(any::<u8>(), 0..60).prop_map(Bytes::from);
    let totals = prop::option::of((any::<u32>(), any::<u32>()));
    let items = || vec(any::<u64>().prop_map(ItemId), 0..5);
    prop_oneof![
        (node(), any::<u64>())
            .prop_map(|(node, sum)| Answer::Sums { sums: vec![(node, [ShortSum(sum); 16])] }),
        (node(), totals, prop_oneof![symbols, bytes]).prop_map(|(leaf, totals, symbols)| {
            let totals = totals.map(|(items, sum)| LeafTotals { items, sum });
            Answer::Symbols { leaf, totals, symbols }
        }),
        (node(), items()).prop_map(|(leaf, items)| Answer::List { leaf, items }),
        (node(), items(), vec(any::<bool>(), 0..5)).prop_map(|(leaf, items, arrived)| {
            let named = items.iter().map(|id| (id.0 % 2 == 0).then(|| item(7, 7).1.name)).collect();
            Answer::Settled { leaf, from: 0, named, arrived }
        }),
        node().prop_map(|leaf| Answer::Unable { leaf, why: Unable::Busy }),
        (0..3u8).prop_map(|depth| Answer::Opened {
            depth,
            clock: None,
            known: Vec::new(),
            sums: None
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_learn_exactly_which_records_differ_and_who_holds_what(
        ours in records(), theirs in records(), depths in (0..3u8, 0..3u8), seed in any::<u64>(),
    ) {
        let (mut here, mut there) = (replica(depths.0, ours), replica(depths.1, theirs));
        let report = compare(&mut here, &mut there, FindingConfig::default(), seed, |_, _, _, _| {});
        prop_assert_eq!(sorted(report.here), truly_differing(&here, &there));
        prop_assert_eq!(sorted(report.there), truly_differing(&there, &here));
        prop_assert_eq!(report.agreed, [0, 0]);
        for outcome in report.outcomes.into_iter().flatten() {
            prop_assert!(outcome.complete);
            prop_assert_eq!((outcome.settled, outcome.unresolved), (0, 0));
        }
        exchange(&mut here, &mut there);
        let silent = undisturbed(&mut here, &mut there);
        prop_assert_eq!(silent.outcomes[0].map(|outcome| outcome.traffic.messages), Some(2));
    }

    #[test]
    fn no_answer_leads_to_endless_questions_or_to_foreign_records(
        ours in records(), theirs in records(), depths in (0..3u8, 0..3u8),
        junk in vec((0..20usize, junk()), 1..20),
    ) {
        let (mut here, mut there) = (replica(depths.0, ours), replica(depths.1, theirs));
        let mut answers = 0;
        let config = FindingConfig { leaves_at_once: 3, ..FindingConfig::default() };
        let report = compare(&mut here, &mut there, config, 1, |_, _, _, answer| {
            if let Some(answer) = answer {
                if let Some((_, junk)) = junk.iter().find(|(at, _)| *at == answers) {
                    *answer = junk.clone();
                }
                answers += 1;
            }
        });
        // What this side reports as its own, it holds.
        for differing in report.here.iter().filter(|differing| differing.held_by != HeldBy::There) {
            prop_assert!(here.records.values().any(|item| item.name == differing.name));
        }
    }
}

#[test]
fn equal_replicas_agree_in_one_question() {
    let records = || (0..1000).map(|number| (number, 1));
    let report = undisturbed(&mut replica(2, records()), &mut replica(1, records()));
    let [Some(asker), Some(asked)] = report.outcomes else { panic!("both end: {report:?}") };
    assert_eq!((asker.traffic.messages, asked.traffic.messages), (2, 2));
}

#[test]
fn what_was_on_its_way_is_no_difference() {
    let (mut here, mut there) = (replica(1, [(1, 1), (2, 1)]), replica(1, [(1, 1), (3, 1)]));
    let report =
        compare(&mut here, &mut there, FindingConfig::default(), 7, |now, here, there, _| {
            // All has been compared by now, and nothing is settled yet.
            if now >= Instant(2_600_000_000) {
                here.put(3, 1);
                there.put(2, 1);
            }
        });
    assert_eq!((&report.here, &report.there), (&vec![], &vec![]));
    let outcome = report.outcome();
    assert_eq!((outcome.found, outcome.settled, outcome.complete), (2, 2, true));
}

#[test]
fn what_arrives_at_the_responder_last_is_no_difference() {
    let (mut here, mut there) = (replica(1, [(1, 1), (2, 1)]), replica(1, [(1, 1)]));
    let report = compare(&mut here, &mut there, FindingConfig::default(), 7, |now, _, there, _| {
        // The initiator has read its leaf again, and its question is on its way.
        if now >= Instant(4_200_000_000) {
            there.put(2, 1);
        }
    });
    assert_eq!((&report.here, &report.there), (&vec![], &vec![]));
}

#[test]
fn what_changes_during_the_pause_is_exchanged_under_its_name() {
    for changed_side in [0, 1] {
        let (mut here, mut there) = (replica(1, [(1, 1), (2, 1)]), replica(1, [(1, 1), (3, 1)]));
        let report =
            compare(&mut here, &mut there, FindingConfig::default(), 7, |now, here, there, _| {
                // All has been compared by now, and nothing is settled yet.
                if now >= Instant(2_600_000_000) {
                    if changed_side == 0 {
                        here.put(2, 2);
                    } else {
                        there.put(3, 2);
                    }
                }
            });
        assert_eq!(sorted(report.here), truly_differing(&here, &there), "side {changed_side}");
        assert_eq!(sorted(report.there), truly_differing(&there, &here), "side {changed_side}");
    }
}

#[test]
fn what_is_gone_after_the_pause_is_no_difference_and_what_took_its_place_is() {
    let (mut here, mut there) = (replica(1, [(1, 1), (2, 1)]), replica(1, [(1, 1), (2, 2)]));
    let report = compare(&mut here, &mut there, FindingConfig::default(), 7, |now, here, _, _| {
        if now >= Instant(2_600_000_000) {
            here.take(2);
        }
    });
    assert_eq!(report.here, truly_differing(&here, &there));
    assert_eq!(report.there, truly_differing(&there, &here));
    assert!(report.outcome().complete);
}

#[test]
fn a_record_that_is_written_all_the_time_is_exchanged() {
    let (mut here, mut there) = (replica(1, [(1, 1), (2, 1)]), replica(1, [(1, 1)]));
    let mut version = 1;
    let report =
        compare(&mut here, &mut there, FindingConfig::default(), 7, |_, here, there, _| {
            version += 1;
            here.put(2, version);
            there.put(2, version);
        });
    let expected = vec![Differing { name: item(2, 1).1.name, held_by: HeldBy::Both }];
    assert_eq!((&report.here, &report.there), (&expected, &expected));
    assert!(report.outcome().complete);
}

#[test]
fn a_tree_that_drifted_from_its_records_is_noticed_by_both_sides() {
    let records = || (0..300).map(|number| (number, 1));
    let (mut here, mut there) = (replica(1, records()), replica(1, records()));
    let leaf = NodePath::new(1, 3).expect("a leaf");
    there.tree.add_to_leaf(leaf, Sum(1));
    let report = undisturbed(&mut here, &mut there);
    assert_eq!((report.here.len(), report.there.len(), report.agreed), (0, 0, [1, 1]));
}

#[test]
fn an_empty_replica_is_told_everything() {
    let (mut here, mut there) = (Replica::new(0), replica(1, (0..5000).map(|n| (n, 1))));
    for report in [undisturbed(&mut here, &mut there), undisturbed(&mut there, &mut here)] {
        assert_eq!(report.here.len(), 5000);
        assert_eq!(report.there.len(), 5000);
        // No symbols that a list would undercut.
        assert_eq!(report.outcomes[0].map(|outcome| outcome.lists), Some(1));
    }
}

#[test]
fn symbols_that_do_not_add_up_lead_to_the_list() {
    for damage in 0..5 {
        let (mut here, mut there) =
            (replica(1, (0..3000).map(|n| (n, 1))), replica(1, (2..3002).map(|n| (n, 1))));
        let config = FindingConfig::default();
        let report = compare(&mut here, &mut there, config, 7, |_, _, _, answer| {
            let Some(Answer::Symbols { totals, symbols, .. }) = answer else { return };
            let mut bytes = symbols.to_vec();
            match (damage, totals) {
                (0, Some(totals)) => totals.sum ^= 1,
                (1, _) => bytes[0] ^= 1,
                // The count, or even where it ends.
                (2, _) => bytes[12] ^= 2,
                (3, _) => bytes[12] ^= 0x80,
                _ => bytes.truncate(20),
            }
            *symbols = bytes.into();
        });
        let outcome = report.outcome();
        assert!(outcome.lists > 0 && outcome.lists == outcome.leaves, "{outcome:?}");
        assert!(outcome.complete);
        assert_eq!(sorted(report.here), truly_differing(&here, &there), "damage {damage}");
    }
}

#[test]
fn a_leaf_that_cannot_be_read_holds_up_no_other() {
    for broken_side in [0, 1] {
        let mut replicas =
            [replica(1, (0..300).map(|n| (n, 1))), replica(1, (100..400).map(|n| (n, 1)))];
        let leaf = NodePath::new(1, 3).expect("a leaf");
        replicas[broken_side].damaged.push(leaf);
        let [here, there] = &mut replicas;
        let report = undisturbed(here, there);
        let expected = truly_differing(here, there).into_iter().filter(|differing| {
            let position = dynamo_types::Position::of_object(&differing.name);
            NodePath::of(q(), position, 1) != leaf
        });
        let outcome = report.outcome();
        assert_eq!((outcome.complete, outcome.unresolved), (false, 1));
        assert_eq!(sorted(report.here), expected.collect::<Vec<_>>());
    }
}

#[test]
fn roots_of_many_partitions_are_compared_at_once() {
    let root = |partition: u16, root: u128, clock: u64| PartitionRoot {
        partition: PartitionId(partition),
        root: Sum(root),
        clock: ClockDigest(clock),
    };
    let roots = vec![root(1, 10, 1), root(2, 20, 1), root(3, 30, 1), root(5, 50, 1)];
    let question = RootsQuestion { number: 7, roots };
    let ours = [root(1, 10, 1), root(2, 21, 1), root(3, 30, 2)];
    let answer =
        question.answer(|partition| ours.iter().find(|root| root.partition == partition).copied());
    assert_eq!(answer.number, 7);
    assert_eq!(answer.differing, [PartitionId(2), PartitionId(3)], "by root, by clock");
    assert_eq!(answer.not_compared, [PartitionId(5)]);
}

#[test]
fn a_few_differences_among_many_records_cost_a_few_kilobytes() {
    let records = || (0..20_000).map(|number| (number, 1));
    let (mut here, mut there) = (replica(1, records()), replica(1, records()));
    for number in 0..5 {
        here.put(number, 2);
        here.put(20_000 + number, 1);
    }
    let config = FindingConfig { pause: Duration::ZERO, ..FindingConfig::default() };
    let report = compare(&mut here, &mut there, config, 7, |_, _, _, _| {});
    assert_eq!(report.here.len(), 10);
    let traffic = report.outcome().traffic;
    assert!(traffic.cost.bytes <= 1_500, "{traffic:?}");
    assert!(report.round_trips() <= 5, "{}", report.round_trips());
}
