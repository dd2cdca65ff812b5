//! The laws of the value: one order, one merge, one encoding.

use dynamo_register::{
    Acceptor, AcceptorEffect, AcceptorState, Ballot, Epoch, Force, PlanHash, Register, Request,
    Stage, Vote,
};
use dynamo_ring::ReplicaSet;
use dynamo_types::NodeId;
use proptest::prelude::*;

/// Three of five nodes, so that plans meet.
fn any_set() -> impl Strategy<Value = ReplicaSet> {
    let nodes = Just((0..5).map(NodeId).collect::<Vec<_>>()).prop_shuffle();
    nodes.prop_map(|nodes| ReplicaSet::new(&nodes[..3]).unwrap())
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    let force =
        (1_u64..3, 0_u128..2).prop_map(|(lamport, plan)| Force { lamport, plan: PlanHash(plan) });
    (1_u64..4, proptest::option::weighted(0.3, force))
        .prop_map(|(number, force)| Epoch { number, force })
}

/// Registers that drivers can make, some of them after votes that were known.
fn any_register() -> impl Strategy<Value = Register> {
    let stages = proptest::sample::select(vec![
        Stage::Fenced,
        Stage::Synced,
        Stage::Decided,
        Stage::Committed,
    ]);
    let proposals = proptest::collection::vec((any_set(), stages), 0..3);
    (any_epoch(), any_set(), proposals, 1_u64..4).prop_map(
        |(epoch, current, proposals, lamport)| {
            let mut register = Register { epoch, current, movement: None };
            for (more, (next, stage)) in (0..).zip(proposals) {
                let Ok(proposed) = register.propose(lamport + more, next) else { continue };
                register = proposed;
                if let Some(movement) = &mut register.movement {
                    movement.stage = stage;
                }
            }
            register
        },
    )
}

/// What is found wrong in one epoch of one lineage is found among rivals of one set.
fn rivals() -> impl Strategy<Value = Vec<Register>> {
    let plans = proptest::collection::vec((1_u64..6, any_set(), 0_usize..3), 2..12);
    plans.prop_map(|plans| {
        let set = ReplicaSet::new(&[NodeId(0), NodeId(1), NodeId(2)]).unwrap();
        let mut made = vec![Register::first(set)];
        for (lamport, next, base) in plans {
            let mut base = made[base % made.len()];
            if let Some(movement) = &mut base.movement {
                movement.stage = Stage::Synced;
                if lamport <= movement.ballot.lamport {
                    continue;
                }
            }
            made.push(base.propose(lamport, next).unwrap());
        }
        made
    })
}

fn merged(left: &Register, right: &Register) -> Register {
    let mut register = *left;
    register.merge(right);
    register
}

/// Lets every store end at once, and gives back what is answered.
fn votes(acceptor: &mut Acceptor) -> Vec<Vote> {
    let mut votes = Vec::new();
    while let Some(effect) = acceptor.poll_effect() {
        match effect {
            AcceptorEffect::Store { number, .. } => acceptor.stored(number),
            AcceptorEffect::Answer { answer, .. } => votes.extend(answer.vote),
        }
    }
    votes
}

proptest! {
    #[test]
    fn merge_is_commutative_associative_and_idempotent(
        a in any_register(), b in any_register(), c in any_register(),
    ) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a);
    }

    #[test]
    fn the_order_is_total_and_agrees_with_equality(a in any_register(), b in any_register()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
    }

    #[test]
    fn what_is_proposed_is_ahead_of_what_it_was_proposed_from(
        register in any_register(), next in any_set(),
    ) {
        if let Ok(proposed) = register.propose(100, next) {
            prop_assert!(proposed > register);
        }
    }

    #[test]
    fn canonical_bytes_read_back_and_no_changed_bit_does(
        register in any_register(), at in any::<prop::sample::Index>(), bit in 0_u32..8,
    ) {
        let bytes = register.encode();
        prop_assert_eq!(Register::decode(&bytes), Ok(register));
        let mut changed = bytes.to_vec();
        let at = at.index(changed.len());
        changed[at] ^= 1 << bit;
        prop_assert!(Register::decode(&changed).is_err());
        prop_assert!(Register::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn an_acceptor_climbs_remembers_and_never_votes_below_its_promise(
        shown in rivals(), asked in proptest::collection::vec((0_usize..12, 0_u8..3), 1..30),
    ) {
        let mut acceptor = Acceptor::new(NodeId(0), AcceptorState::new(shown[0]));
        let mut before = *acceptor.register();
        let mut highest: Option<Ballot> = None;
        for (which, kind) in asked {
            let register = shown[which % shown.len()];
            let request = match kind {
                0 => Request::Promise(register),
                1 => Request::Accept(register),
                _ => Request::Learn(register),
            };
            acceptor.handle(NodeId(9), request);
            prop_assert!(*acceptor.register() >= before, "it went back");
            before = *acceptor.register();
            for vote in votes(&mut acceptor) {
                match vote {
                    Vote::Promised(ballot) | Vote::Accepted(ballot) => {
                        prop_assert!(Some(ballot) >= highest, "it promised more before");
                        highest = Some(ballot);
                    }
                    Vote::Barred(_) => {}
                }
            }
        }
    }

    #[test]
    fn a_row_reads_back(shown in rivals(), rolled_back in any::<bool>()) {
        let state = AcceptorState::new(shown[0]);
        let mut acceptor = if rolled_back {
            Acceptor::after_rollback(NodeId(0), state)
        } else {
            Acceptor::new(NodeId(0), state)
        };
        for (from, register) in (1..).zip(shown) {
            acceptor.handle(NodeId(9), Request::Promise(register));
            acceptor.told(NodeId(from % 3), &register);
            while let Some(effect) = acceptor.poll_effect() {
                if let AcceptorEffect::Store { number, state } = effect {
                    prop_assert_eq!(AcceptorState::decode(&state.encode()), Ok(state));
                    acceptor.stored(number);
                }
            }
        }
    }
}
