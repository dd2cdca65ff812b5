//! Failures of placement that other systems had, by name.

use std::collections::BTreeMap;

use dynamo_ring::{Layout, Preview, RingMember, first_layout, preference_list, rebalance};
use dynamo_types::{NodeId, Position};

use crate::{assert_fair, assert_lawful, member, n, q};

fn equal(nodes: std::ops::RangeInclusive<u64>) -> Vec<RingMember> {
    nodes.map(|i| member(i, 1, 0)).collect()
}

fn held(layout: &Layout) -> BTreeMap<NodeId, usize> {
    let mut held = BTreeMap::new();
    for node in layout.iter().flat_map(|(_, set)| set) {
        *held.entry(node).or_default() += 1;
    }
    held
}

/// 16 partitions on 5 nodes: where a walk round the ring repeats nodes at its seam, first after a
/// leave.
#[test]
fn n_distinct_nodes_incl_wraparound() {
    for nodes in 4..=8 {
        let before = equal(1..=nodes);
        let first = first_layout(&before, n(3), q(4)).unwrap();
        assert_lawful(&first, &before);
        for leaver in 0..before.len() {
            let mut after = before.clone();
            after.remove(leaver);
            let plan = rebalance(Some(&first.layout), &after, n(3), q(4)).unwrap();
            assert_lawful(&plan, &after);
            for (partition, _) in plan.layout.iter() {
                let mut list: Vec<_> = preference_list(&plan.layout, partition, &after).collect();
                list.sort();
                assert!(list.windows(2).all(|pair| pair[0] != pair[1]), "{partition}: {list:?}");
            }
        }
    }
}

/// A claim that only takes from some left 8, 8, 8, 8 at 6, 6, 6, 8, 6 after a join.
#[test]
fn a_fifth_node_takes_from_all_four() {
    let first = first_layout(&equal(1..=4), n(1), q(5)).unwrap().layout;
    let plan = rebalance(Some(&first), &equal(1..=5), n(1), q(5)).unwrap();
    let mut counts: Vec<_> = held(&plan.layout).into_values().collect();
    counts.sort_unstable();
    assert_eq!((counts, plan.moved), (vec![6, 6, 6, 7, 7], 6));
}

/// A search by swapping found no solution for 512 partitions, four replicas and zones of 3, 3, 3 and
/// 4 nodes.
#[test]
fn four_replicas_in_zones_of_3_3_3_and_4_nodes_are_apart() {
    let zones = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3];
    let members: Vec<_> = zones.iter().zip(1..).map(|(zone, i)| member(i, 1, *zone)).collect();
    let plan = first_layout(&members, n(4), q(9)).unwrap();
    assert_lawful(&plan, &members);
    assert_fair(&plan, &members);
}

/// What maximises capacity and not balance gives a 31st node of three zones nothing at all.
#[test]
fn a_joiner_of_many_receives_its_share() {
    for (nodes, zones) in [(30, 3), (100, 5)] {
        let zone = |i: u64| u32::try_from(i).unwrap() % zones;
        let mut members: Vec<_> = (1..=nodes).map(|i| member(i, 1, zone(i))).collect();
        let first = first_layout(&members, n(3), q(10)).unwrap().layout;
        members.push(member(nodes + 1, 1, 0));
        let plan = rebalance(Some(&first), &members, n(3), q(10)).unwrap();
        assert_fair(&plan, &members);
        assert!(plan.targets[&NodeId(nodes + 1)] > 0);
    }
}

#[test]
fn replaced_node_stays_out() {
    let before = equal(1..=6);
    let mut after = before.clone();
    after[2].node = NodeId(99);
    let old = first_layout(&before, n(3), q(8)).unwrap().layout;
    let plan = rebalance(Some(&old), &after, n(3), q(8)).unwrap();
    assert_eq!(plan.moved, 384 / 3, "the new machine fetches what the old one held, no one else");
    for (partition, _) in plan.layout.iter() {
        assert!(preference_list(&plan.layout, partition, &after).all(|node| node != NodeId(3)));
    }
    let again = rebalance(Some(&plan.layout), &after, n(3), q(8)).unwrap();
    assert_eq!(again.layout, plan.layout);
}

/// Nodes were added, and after the rebalance keys were missing.
#[test]
fn rebalance_keeps_every_key() {
    let (before, after) = (equal(1..=3), equal(1..=8));
    let old = first_layout(&before, n(3), q(8)).unwrap().layout;
    let plan = rebalance(Some(&old), &after, n(3), q(8)).unwrap();
    let preview = Preview::new(&old, &plan, &before, &after, |_| true);
    for key in 0..2048_u128 {
        let position = Position(key << 117 | key);
        let (partition, was) = old.replicas_of(position);
        let (still, is) = plan.layout.replicas_of(position);
        assert_eq!(partition, still, "a key stays in its partition");
        for node in is.without(*was) {
            let mut fetched = preview.transfers.iter().filter(|t| t.partition == partition);
            let fetched = fetched.find(|t| t.target == node).expect("who is new fetches");
            assert!(was.contains(fetched.source.expect("all are up")), "from one who has it");
        }
    }
}

/// A plan that follows one of which only some partitions have moved is as lawful as any, and what
/// has moved already is not moved back and forth.
#[test]
fn reconfigure_fast_in_placement() {
    let mut members = equal(1..=5);
    let mut layout = first_layout(&members, n(3), q(8)).unwrap().layout;
    for step in 0..40_u64 {
        if step % 3 == 2 {
            members.remove(usize::try_from(step).unwrap() % members.len());
        } else {
            members.push(member(100 + step, 1 + u32::try_from(step % 2).unwrap(), 0));
        }
        let plan = rebalance(Some(&layout), &members, n(3), q(8)).unwrap();
        assert_lawful(&plan, &members);
        assert_eq!(plan.moved, plan.lower_bound);
        let changed: Vec<_> = plan.changed(&layout).map(|(p, set)| (p, *set)).collect();
        for (partition, set) in changed.iter().filter(|(p, _)| u64::from(p.0) % 3 != step % 3) {
            layout.replace(*partition, *set).unwrap();
        }
        let rest = rebalance(Some(&layout), &members, n(3), q(8)).unwrap();
        assert_lawful(&rest, &members);
        let open = changed.iter().filter(|(p, _)| u64::from(p.0) % 3 == step % 3);
        let open: usize = open.map(|(p, set)| set.without(*layout.replica_set(*p)).count()).sum();
        assert!(rest.moved as usize <= open, "{} to move where {open} were left", rest.moved);
    }
}
