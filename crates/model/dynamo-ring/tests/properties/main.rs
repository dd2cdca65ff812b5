//! The laws of placement, on random clusters and on long histories of joins and leaves.

mod changes;
mod fewest_moves;
mod histories;
mod named;

use std::collections::BTreeMap;

use dynamo_ring::{
    Layout, Plan, RebalanceError, RingMember, Zone, fallbacks, first_layout, preference_list,
    rebalance,
};
use dynamo_types::{NodeId, PartitionCount, PartitionId, Replication};
use proptest::collection::vec;
use proptest::prelude::*;

fn named(zone: u32) -> Zone {
    Zone::new(format!("z{zone}"))
}

fn member(node: u64, weight: u32, zone: u32) -> RingMember {
    RingMember { node: NodeId(node), weight, zone: named(zone) }
}

fn n(n: u8) -> Replication {
    Replication::new(n).expect("1 to 7")
}

fn q(bits: u32) -> PartitionCount {
    PartitionCount::new(1 << bits).expect("a power of two")
}

/// Distinct nodes in up to `zones` zones; weights as they differ between generations of hardware.
fn clusters(nodes: std::ops::Range<usize>, zones: u32) -> impl Strategy<Value = Vec<RingMember>> {
    vec(
        (any::<u64>(), prop_oneof![Just(1u32), Just(1), Just(2), Just(4), 1..1000u32], 0..zones),
        nodes,
    )
    .prop_map(|nodes| {
        let distinct: BTreeMap<u64, _> = nodes.into_iter().map(|m| (m.0, m)).collect();
        distinct.into_values().map(|(node, weight, zone)| member(node, weight, zone)).collect()
    })
}

/// From one node to two hundred, from one zone to one for each.
fn sized_clusters() -> impl Strategy<Value = Vec<RingMember>> {
    let size = prop_oneof![3 => 1..12usize, 2 => 12..60usize, 1 => 60..=200usize];
    (size, prop_oneof![4 => 1..10u32, 1 => 10..200u32])
        .prop_flat_map(|(size, zones)| clusters(size..size + 1, zones))
}

/// One of each node.
fn distinct(members: Vec<RingMember>) -> Vec<RingMember> {
    let by_id: BTreeMap<NodeId, RingMember> = members.into_iter().map(|m| (m.node, m)).collect();
    by_id.into_values().collect()
}

/// The smallest bound on replicas per zone that any layout of these members can keep.
fn zone_cap(members: &[RingMember], n: u8) -> usize {
    let mut sizes: BTreeMap<&Zone, usize> = BTreeMap::new();
    for member in members {
        *sizes.entry(&member.zone).or_default() += 1;
    }
    (1..=usize::from(n))
        .find(|cap| sizes.values().map(|size| size.min(cap)).sum::<usize>() >= usize::from(n))
        .expect("at least N members")
}

/// What every layout promises, whatever it came from.
fn assert_lawful(plan: &Plan, members: &[RingMember]) {
    let layout = &plan.layout;
    let n = layout.replication().get();
    let cap = zone_cap(members, n);
    let by_id: BTreeMap<NodeId, &RingMember> = members.iter().map(|m| (m.node, m)).collect();
    let mut held: BTreeMap<NodeId, u32> = members.iter().map(|m| (m.node, 0)).collect();
    let mut firsts = held.clone();
    for (partition, set) in layout.iter() {
        assert_eq!(set.len(), usize::from(n));
        let mut zones: BTreeMap<&Zone, usize> = BTreeMap::new();
        for (place, node) in set.iter().enumerate() {
            assert_eq!(set.position_of(node), Some(place), "{node} is twice in {partition}");
            *held.get_mut(&node).expect("only members hold replicas") += 1;
            *zones.entry(&by_id[&node].zone).or_default() += 1;
        }
        assert!(zones.values().all(|count| *count <= cap), "{zones:?} in {partition}, cap {cap}");
        *firsts.get_mut(&set.first()).expect("a member") += 1;
    }
    assert_eq!(held, plan.targets);
    for (node, copies) in held {
        let (floor, ceiling) = (copies / u32::from(n), copies.div_ceil(u32::from(n)));
        let first = firsts[&node];
        assert!((floor..=ceiling).contains(&first), "{node} is first in {first} of {copies}");
    }
}

/// The ideal shares by brute force: water-filling with floating point, by bisection.
fn ideal_shares(members: &[RingMember], n: u8, q: u32) -> BTreeMap<NodeId, f64> {
    let (rows, cap) = (f64::from(q), zone_cap(members, n) as f64);
    let within = |zone: &Zone, level: f64| -> f64 {
        members
            .iter()
            .filter(|m| m.zone == *zone)
            .map(|m| (f64::from(m.weight) * level).min(rows))
            .sum()
    };
    let mut zones: Vec<&Zone> = members.iter().map(|m| &m.zone).collect();
    zones.sort();
    zones.dedup();
    let bisect = |reached: &dyn Fn(f64) -> f64, wanted: f64| {
        let (mut low, mut high) = (0.0, 2.0 * rows);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if reached(middle) < wanted { low = middle } else { high = middle }
        }
        high
    };
    let all = |level: f64| zones.iter().map(|z| within(z, level).min(cap * rows)).sum::<f64>();
    let level = bisect(&all, f64::from(n) * rows);
    let mut shares = BTreeMap::new();
    for zone in &zones {
        let full = within(zone, level) > cap * rows;
        let level = if full { bisect(&|l| within(zone, l), cap * rows) } else { level };
        for m in members.iter().filter(|m| m.zone == **zone) {
            shares.insert(m.node, (f64::from(m.weight) * level).min(rows));
        }
    }
    shares
}

fn assert_fair(plan: &Plan, members: &[RingMember]) {
    let layout = &plan.layout;
    let ideal = ideal_shares(members, layout.replication().get(), layout.partition_count().get());
    for (node, share) in ideal {
        let target = f64::from(plan.targets[&node]);
        let (least, most) = ((share - 1e-6).floor(), (share + 1e-6).ceil());
        assert!((least..=most).contains(&target), "{node} holds {target} of ideally {share}");
    }
}

fn moved(old: &Layout, new: &Layout) -> u32 {
    let joiners = |p: PartitionId| new.replica_set(p).without(*old.replica_set(p)).count();
    u32::try_from(new.iter().map(|(p, _)| joiners(p)).sum::<usize>()).expect("at most N x Q")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_first_layout_is_distinct_zone_safe_and_fair(
        members in sized_clusters(), width in 1..=7u8, bits in 0..9u32,
    ) {
        prop_assume!(members.len() >= usize::from(width));
        let plan = first_layout(&members, n(width), q(bits)).unwrap();
        assert_lawful(&plan, &members);
        assert_fair(&plan, &members);
        prop_assert_eq!(plan.moved, u32::from(width) << bits);
    }

    #[test]
    fn any_members_can_follow_any_others(
        before in clusters(1..30, 6), after in clusters(1..30, 6), kept in 0..30usize,
        width in 1..=5u8, bits in 0..9u32,
    ) {
        let mut after = after;
        after.extend(before.iter().take(kept).cloned());
        let after = distinct(after);
        prop_assume!(before.len().min(after.len()) >= usize::from(width));
        let old = first_layout(&before, n(width), q(bits)).unwrap().layout;
        let plan = rebalance(Some(&old), &after, n(width), q(bits)).unwrap();
        assert_lawful(&plan, &after);
        assert_fair(&plan, &after);
        prop_assert_eq!(plan.moved, moved(&old, &plan.layout));
        prop_assert!(plan.moved >= plan.lower_bound);
    }

    #[test]
    fn the_order_of_the_members_does_not_matter(
        members in clusters(3..20, 4).prop_filter("N", |m| m.len() >= 3), seed in any::<u64>(),
    ) {
        let mut shuffled = members.clone();
        shuffled.sort_by_key(|m| m.node.0.wrapping_mul(seed | 1));
        let plan = first_layout(&members, n(3), q(6)).unwrap();
        prop_assert_eq!(&plan, &first_layout(&shuffled, n(3), q(6)).unwrap());
        let (fewer, fewer_shuffled): (Vec<_>, Vec<_>) = (
            members.iter().skip(1).cloned().collect(),
            shuffled.iter().filter(|m| **m != members[0]).cloned().collect(),
        );
        prop_assert_eq!(
            rebalance(Some(&plan.layout), &fewer, n(3), q(6)),
            rebalance(Some(&plan.layout), &fewer_shuffled, n(3), q(6))
        );
    }

    #[test]
    fn the_same_members_again_change_nothing(
        members in clusters(3..30, 5).prop_filter("N", |m| m.len() >= 3), bits in 0..9u32,
    ) {
        let plan = first_layout(&members, n(3), q(bits)).unwrap();
        let again = rebalance(Some(&plan.layout), &members, n(3), q(bits)).unwrap();
        prop_assert_eq!(again.moved, 0);
        prop_assert_eq!(again.layout, plan.layout);
    }

    #[test]
    fn fallbacks_are_all_the_others_with_unused_zones_first(
        members in clusters(4..30, 6).prop_filter("N", |m| m.len() >= 3), partition in 0..64u16,
    ) {
        let layout = first_layout(&members, n(3), q(6)).unwrap().layout;
        let partition = PartitionId(partition);
        let list: Vec<NodeId> = preference_list(&layout, partition, &members).collect();
        let mut sorted = list.clone();
        sorted.sort();
        prop_assert_eq!(sorted, members.iter().map(|m| m.node).collect::<Vec<_>>());
        prop_assert_eq!(&list[..3], layout.replica_set(partition).as_slice());
        let zone = |node: &NodeId| &members.iter().find(|m| m.node == *node).expect("known").zone;
        let is_new = |place: usize| !list[..place].iter().any(|n| zone(n) == zone(&list[place]));
        let news: Vec<bool> = (3..list.len()).map(is_new).collect();
        prop_assert!(news.is_sorted_by(|a, b| a >= b), "a used zone before an unused one: {:?}", news);
    }
}

#[test]
fn two_hundred_nodes_are_placed_fairly() {
    let members: Vec<_> =
        (0..200).map(|i| member(i + 1, 1, u32::try_from(i % 5).unwrap())).collect();
    let plan = first_layout(&members, n(3), q(12)).unwrap();
    assert_lawful(&plan, &members);
    assert_fair(&plan, &members);
    let more: Vec<_> = members.iter().cloned().chain([member(201, 1, 0)]).collect();
    let next = rebalance(Some(&plan.layout), &more, n(3), q(12)).unwrap();
    assert_lawful(&next, &more);
    assert_eq!((next.moved, next.lower_bound), (61, 61), "the joiner's share and nothing else");
}

/// The least and most that a survivor takes over of a lost node's partitions, as a multiple of its
/// weight's part.
fn spread(members: &[RingMember]) -> (f64, f64) {
    let layout = first_layout(members, n(3), q(14)).expect("enough members").layout;
    let mut extremes = (f64::MAX, 0.0f64);
    for lost in members {
        let mut load: BTreeMap<NodeId, u32> = BTreeMap::new();
        for partition in layout.partitions_of(lost.node) {
            let set = layout.replica_set(partition);
            let stand_in = fallbacks(partition, set, members).next().expect("more than N members");
            *load.entry(stand_in).or_default() += 1;
        }
        let others: Vec<_> = members.iter().filter(|m| m.node != lost.node).collect();
        let weight: u32 = others.iter().map(|m| m.weight).sum();
        let mean = f64::from(load.values().sum::<u32>()) / f64::from(weight);
        for m in others {
            let taken = load.get(&m.node).copied().unwrap_or_default();
            let share = f64::from(taken) / f64::from(m.weight) / mean;
            extremes = (extremes.0.min(share), extremes.1.max(share));
        }
    }
    extremes
}

#[test]
fn the_load_of_a_lost_node_spreads_over_all_others() {
    let equal: Vec<_> = (0..12).map(|i| member(i + 100, 1, 0)).collect();
    let (least, most) = spread(&equal);
    assert!(least > 0.8 && most < 1.2, "a survivor takes {least} to {most} of its part");
    // Heavy nodes are in many of the sets already and cannot stand in there, so that the light ones
    // take over more than their weight's part.
    let mixed: Vec<_> = (0..12).map(|i| member(i + 100, [1, 1, 2, 4][i as usize % 4], 0)).collect();
    let (least, most) = spread(&mixed);
    assert!(least > 0.4 && most < 2.0, "a survivor takes {least} to {most} of its part");
}

/// Whoever is lost, all others share its load, also when the cluster grew node by node.
#[test]
fn in_a_grown_cluster_all_nodes_meet_all_others() {
    let members: Vec<_> = (1..=12).map(|i| member(i, 1, 0)).collect();
    let mut layout = first_layout(&members[..3], n(3), q(12)).unwrap().layout;
    for count in 4..=12 {
        layout = rebalance(Some(&layout), &members[..count], n(3), q(12)).unwrap().layout;
    }
    let mut together: BTreeMap<(NodeId, NodeId), u32> = BTreeMap::new();
    for (_, set) in layout.iter() {
        for (a, b) in set.iter().flat_map(|a| set.iter().map(move |b| (a, b))) {
            *together.entry((a, b)).or_default() += u32::from(a < b);
        }
    }
    let counts: Vec<_> = together.iter().filter(|((a, b), _)| a < b).map(|(_, c)| *c).collect();
    let mean = f64::from(3 * (1 << 12)) / 66.0;
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert_eq!(counts.len(), 66, "all pairs");
    // Copies that stay keep their company, so growth is less even than a first layout.
    assert!(f64::from(*least) > 0.6 * mean && f64::from(*most) < 1.5 * mean, "{counts:?}");
}

#[test]
fn members_that_cannot_be_placed_are_refused() {
    let (one, two, three) = (member(1, 1, 0), member(2, 1, 0), member(3, 1, 0));
    let plan = |members: &[RingMember]| first_layout(members, n(3), q(4)).map(|p| p.moved);
    let too_few = RebalanceError::TooFewMembers { members: 2, replication: 3 };
    assert_eq!(plan(&[one.clone(), two.clone()]), Err(too_few));
    assert_eq!(
        plan(&[one.clone(), two.clone(), three.clone(), two.clone()]),
        Err(RebalanceError::DuplicateNode(NodeId(2)))
    );
    assert_eq!(
        plan(&[one.clone(), two.clone(), member(3, 0, 0)]),
        Err(RebalanceError::ZeroWeight(NodeId(3)))
    );
    let all = [one, two, three];
    let old = first_layout(&all, n(3), q(4)).unwrap().layout;
    assert_eq!(rebalance(Some(&old), &all, n(3), q(5)), Err(RebalanceError::OtherShape));
}

/// These change only with the format of a genesis: nodes of different builds must agree.
#[test]
fn layouts_stay_the_same_to_the_byte() {
    let digest = |members: &[RingMember], bits| {
        let first = first_layout(members, n(3), q(bits)).unwrap().layout;
        let mut fewer = members.to_vec();
        fewer.remove(1);
        let next = rebalance(Some(&first), &fewer, n(3), q(bits)).unwrap().layout;
        let hex =
            |digest: [u8; 32]| digest[..8].iter().map(|b| format!("{b:02x}")).collect::<String>();
        format!("{} {}", hex(first.digest()), hex(next.digest()))
    };
    let equal: Vec<_> = (1..=5).map(|i| member(i, 1, 0)).collect();
    let mixed: Vec<_> = (1..=17)
        .map(|i| member(i * 1001, 1 + u32::try_from(i % 4).unwrap(), u32::try_from(i % 3).unwrap()))
        .collect();
    let text = format!("{}\n{}\n", digest(&equal, 10), digest(&mixed, 8));
    expect_test::expect![[r#"
        315069aa65329374 d38e08c2db11636a
        59e1128688cd4e0d 923cc49ac21b6d32
    "#]]
    .assert_eq(&text);
}
