//! Random sequences of all that an operator can decide, several decisions in one plan.

use dynamo_ring::{RingMember, first_layout, rebalance};
use dynamo_types::NodeId;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{assert_fair, assert_lawful, member, moved, n, named, q};

/// One decision. Places count round the members, so that every decision has a subject.
#[derive(Debug, Clone)]
enum Decision {
    Join {
        weight: u32,
        zone: u32,
    },
    Leave {
        place: usize,
    },
    /// A new machine with the weight and zone of an old one.
    Replace {
        place: usize,
    },
    Reweight {
        place: usize,
        weight: u32,
    },
    MoveZone {
        place: usize,
        zone: u32,
    },
}

fn decision(zones: u32) -> impl Strategy<Value = Decision> {
    let weight = || prop_oneof![3 => Just(1u32), 1 => Just(2), 1 => Just(4), 1 => 1..100u32];
    prop_oneof![
        (weight(), 0..zones).prop_map(|(weight, zone)| Decision::Join { weight, zone }),
        any::<usize>().prop_map(|place| Decision::Leave { place }),
        any::<usize>().prop_map(|place| Decision::Replace { place }),
        (any::<usize>(), weight()).prop_map(|(place, weight)| Decision::Reweight { place, weight }),
        (any::<usize>(), 0..zones).prop_map(|(place, zone)| Decision::MoveZone { place, zone }),
    ]
}

/// Members, and the decisions of each plan.
fn histories() -> impl Strategy<Value = (Vec<RingMember>, Vec<Vec<Decision>>)> {
    (1..7u32).prop_flat_map(|zones| {
        let first = (3..24u64).prop_map(move |count| {
            (0..count)
                .map(|i| member(i, 1, u32::try_from(i).expect("few") % zones))
                .collect::<Vec<_>>()
        });
        (first, vec(vec(decision(zones), 1..5), 1..10))
    })
}

/// Carries a decision out; one that would leave fewer than N members is not taken.
fn decide(members: &mut Vec<RingMember>, next: &mut u64, decision: &Decision) {
    let count = members.len();
    let mut fresh = || {
        *next += 1;
        NodeId(next.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    };
    match *decision {
        Decision::Join { weight, zone } => {
            members.push(RingMember { node: fresh(), weight, zone: named(zone) });
        }
        Decision::Leave { place } if count > 3 => {
            members.remove(place % count);
        }
        Decision::Leave { .. } => {}
        Decision::Replace { place } => members[place % count].node = fresh(),
        Decision::Reweight { place, weight } => members[place % count].weight = weight,
        Decision::MoveZone { place, zone } => members[place % count].zone = named(zone),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_of_a_history_is_fair_and_within_a_twentieth_of_its_bound(
        (mut members, history) in histories(), bits in 3..10u32,
    ) {
        let mut next = 1000;
        let mut layout = first_layout(&members, n(3), q(bits)).unwrap().layout;
        for decisions in history {
            for decision in &decisions {
                decide(&mut members, &mut next, decision);
            }
            let plan = rebalance(Some(&layout), &members, n(3), q(bits)).unwrap();
            assert_lawful(&plan, &members);
            assert_fair(&plan, &members);
            prop_assert_eq!(plan.moved, moved(&layout, &plan.layout));
            prop_assert!(plan.lower_bound <= plan.moved);
            prop_assert!(
                plan.moved * 20 <= plan.lower_bound * 21,
                "{} copies move and {} would do, by {:?}", plan.moved, plan.lower_bound, decisions
            );
            let again = rebalance(Some(&plan.layout), &members, n(3), q(bits)).unwrap();
            prop_assert_eq!((again.moved, again.lower_bound), (0, 0));
            prop_assert_eq!(&again.layout, &plan.layout);
            layout = plan.layout;
        }
    }
}
