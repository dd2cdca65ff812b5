//! The laws of the tree, against a plain map of records.

use std::collections::{BTreeMap, BTreeSet};

use dynamo_merkle::{Descent, ItemDigest, NodePath, Sum, SumTree, TreeKey, differing_leaves};
use dynamo_types::{PartitionCount, Position};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

type Records = BTreeMap<u128, u8>;

fn q() -> PartitionCount {
    PartitionCount::new(64).expect("a power of two")
}

fn digest(position: u128, dots: u8) -> ItemDigest {
    ItemDigest::of(&TreeKey::derive(&[3; 32]), &position.to_be_bytes(), &[dots])
}

/// Positions that meet in leaves: few values of the leading bits, and some far apart.
fn position() -> impl Strategy<Value = u128> {
    prop_oneof![
        (0..64u128).prop_map(|p| p << 108),
        (0..32u128).prop_map(|p| p << 118),
        any::<u128>()
    ]
}

fn records() -> impl Strategy<Value = Records> {
    btree_map(position(), any::<u8>(), 0..60)
}

fn tree(records: &Records, depth: u8) -> SumTree {
    SumTree::of(q(), depth, records.iter().map(|(p, dots)| (Position(*p), digest(*p, *dots))))
}

/// The leaves in which two sets of records differ, found record by record.
fn truly_differing(a: &Records, b: &Records, depth: u8) -> Vec<NodePath> {
    let differing = a.keys().chain(b.keys()).filter(|p| a.get(p) != b.get(p));
    let leaves: BTreeSet<NodePath> =
        differing.map(|p| NodePath::of(q(), Position(*p), depth)).collect();
    leaves.into_iter().collect()
}

fn some(path: Option<NodePath>) -> NodePath {
    path.expect("a node of the tree")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn updates_in_place_equal_a_tree_made_anew(
        changes in vec((position(), prop::option::of(any::<u8>())), 0..120), depth in 0..=3u8,
    ) {
        let mut records = Records::new();
        let mut updated = SumTree::new(q(), depth);
        let mut replayed = updated.clone();
        for (position, dots) in changes {
            let old = match dots {
                Some(dots) => records.insert(position, dots),
                None => records.remove(&position),
            };
            let (old, new) = (old.map(|d| digest(position, d)), dots.map(|d| digest(position, d)));
            updated.replace(Position(position), old, new);
            // What a journal holds leads to the same tree, also under the name of a deeper leaf.
            let deep = NodePath::of(q(), Position(position), NodePath::DEPTH_MAX);
            replayed.add_to_leaf(deep, SumTree::change(old, new));
        }
        prop_assert_eq!(&updated, &tree(&records, depth));
        prop_assert_eq!(&updated, &replayed);
    }

    #[test]
    fn every_node_is_the_sum_of_the_records_under_it(records in records(), depth in 0..=3u8) {
        let tree = tree(&records, depth);
        for level in 0..=depth {
            for index in 0..1 << (4 * level) {
                let path = some(NodePath::new(level, index));
                let under = records.iter().filter(|(p, _)| NodePath::of(q(), Position(**p), level) == path);
                let sum = under.fold(Sum::EMPTY, |sum, (p, dots)| sum.with(digest(*p, *dots)));
                prop_assert_eq!(tree.sum(path), Some(sum));
            }
        }
        prop_assert_eq!(tree.sum(some(NodePath::new(depth + 1, 0))), None);
    }

    #[test]
    fn the_order_of_the_records_does_not_matter(records in records(), turn in 0..60usize) {
        let mut items: Vec<_> =
            records.iter().map(|(p, dots)| (Position(*p), digest(*p, *dots))).collect();
        let turn = turn.min(items.len());
        items.rotate_left(turn);
        prop_assert_eq!(SumTree::of(q(), 2, items), tree(&records, 2));
    }

    #[test]
    fn folding_equals_a_tree_made_with_fewer_leaves(records in records()) {
        // 4,096 leaves folded to 256, and so on.
        let deep = tree(&records, 3);
        for depth in 0..=4 {
            prop_assert_eq!(deep.fold(depth), tree(&records, depth.min(3)));
        }
    }

    #[test]
    fn growing_equals_a_tree_made_with_more_leaves(records in records(), from in 0..=2u8, to in 0..=3u8) {
        let items = records.iter().map(|(p, dots)| (Position(*p), digest(*p, *dots)));
        let grown = tree(&records, from).grow(to, items);
        prop_assert_eq!(grown, Ok(tree(&records, to.max(from))));
    }

    #[test]
    fn a_walk_finds_exactly_the_leaves_that_differ(
        base in records(), mine in records(), theirs in records(), depths in (0..=3u8, 0..=3u8),
    ) {
        let with = |more: &Records| -> Records {
            base.iter().chain(more).map(|(p, dots)| (*p, *dots)).collect()
        };
        let (a, b) = (with(&mine), with(&theirs));
        let found = differing_leaves(&tree(&a, depths.0), &tree(&b, depths.1));
        prop_assert_eq!(found, truly_differing(&a, &b, depths.0.min(depths.1)));
    }

    #[test]
    fn equal_trees_ask_nothing(records in records(), depths in (0..=3u8, 0..=3u8)) {
        let (a, b) = (tree(&records, depths.0), tree(&records, depths.1));
        let mut descent = Descent::new(&a, b.root(), b.depth());
        prop_assert_eq!(descent.question(), None);
        prop_assert!(descent.leaves().is_empty());
    }

    #[test]
    fn a_checkpoint_of_the_leaves_reads_back(records in records(), depth in 0..=3u8) {
        let tree = tree(&records, depth);
        prop_assert_eq!(SumTree::from_leaves(q(), tree.leaves()), Some(tree));
    }
}

#[test]
fn one_difference_takes_one_question_a_depth() {
    let all: Records = (0..5000u128).map(|i| (i << 109, 1)).collect();
    let mut missing = all.clone();
    missing.remove(&(77 << 109));
    let (a, b) = (tree(&all, 3), tree(&missing, 3));
    let mut descent = Descent::new(&a, b.root(), b.depth());
    let mut questions = 0;
    while let Some(path) = descent.question() {
        questions += 1;
        descent.answered(&a, path, &b.children(path).expect("above the leaves"));
    }
    assert_eq!(questions, 3);
    assert_eq!(descent.leaves(), [a.leaf_of(Position(77 << 109))]);
}
