//! Named histories of members that compare themselves.

use std::time::Duration;

use bytes::Bytes;
use dynamo_merkle::iblt::ItemId;
use dynamo_merkle::{NodePath, ShortSum, Sum};
use dynamo_messages::RepairMessage;
use dynamo_messages::repair::{
    Answer, LeafTotals, Opening, Question, Refusal, RootsAnswer, SessionId, ShortId, StateMessage,
    StateRecord, Unable,
};
use dynamo_repair::anti_entropy::{AntiEntropyCounters, AntiEntropyEvent};
use dynamo_types::{NodeId, PartitionId, Position};
use dynamo_versioning::Content;
use dynamo_versioning::testing::value;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::world::{Mood, World, partition_of};

const SECOND: Duration = Duration::from_secs(1);

fn mood(members: usize) -> Mood {
    Mood {
        members,
        partitions: 1,
        keys: 20,
        steps: 0,
        lost: 0,
        doubled: 0,
        refused: 0,
        breaks: false,
    }
}

fn world(members: usize, seed: u64) -> World {
    World::new(seed, mood(members))
}

fn total(world: &World, count: impl Fn(&AntiEntropyCounters) -> u64) -> u64 {
    world.counters().iter().map(count).sum()
}

fn large(bytes: usize) -> Content {
    Content::Value { bytes: vec![7; bytes].into(), content_type: Bytes::new() }
}

#[test]
fn aae_idle_when_equal() {
    let mut world = world(3, 1);
    for key in 0..20 {
        world.write_everywhere(key, key % 3, value("v"));
    }
    world.run(60 * SECOND);
    let kinds: Vec<_> = world.sent.keys().copied().collect();
    assert_eq!(kinds, ["roots", "roots answer"]);
    // One look at the roots every ten seconds serves both members of a pair.
    assert!(world.sent["roots"] <= 3 * 7, "{:?}", world.sent);
    assert_eq!(total(&world, |counters| counters.sessions_begun), 0);
}

#[test]
fn aae_hash_canonical() {
    // The same writes in another order, siblings beside siblings, and a context that was cut down at
    // one of the two: other contexts, the same versions.
    let mut world = world(2, 2);
    for member in [0, 1] {
        world.disconnect(0, 1);
        world.write(0, member, value("a"));
        world.write(1, member, value("b"));
        world.write(1, member, value("c"));
    }
    let held: Vec<_> = (0..2)
        .map(|key| [0, 1].map(|m| world.members[m].record(&world.truth.names[key])))
        .collect();
    for (key, [of_0, of_1]) in held.iter().enumerate() {
        let name = world.truth.names[key].clone();
        for piece in of_1.pieces() {
            world.members[0].receive(&name, &piece, None);
        }
        for piece in of_0.pieces() {
            world.members[1].receive(&name, &piece, None);
        }
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let clock = world.members[from].copies.get(&PartitionId(0)).unwrap().clock.clone();
        world.members[to].join(PartitionId(0), &clock);
    }
    world.report(0);
    world.report(1);
    world.collect(0).unwrap();
    let contexts = [0, 1].map(|m| world.members[m].record(&world.truth.names[1]).context().clone());
    assert_ne!(contexts[0], contexts[1], "one was cut down");
    world.connect(0, 1);
    world.run(60 * SECOND);
    // Roots are equal; the horizons were not, which takes one question.
    assert_eq!(world.sent.get("question"), Some(&1));
    assert_eq!(world.sent.get("state"), None);
    assert_eq!(total(&world, |counters| counters.leaves), 0, "no leaf was read");
}

#[test]
fn aae_tree_rot() {
    let mut world = world(2, 3);
    for key in 0..20 {
        world.write_everywhere(key, 0, value("v"));
    }
    world.members[1].rot(PartitionId(0), Position::of_object(&world.truth.names[4].clone()));
    world.run(30 * SECOND);
    assert_eq!(world.members.iter().map(|member| member.corrected).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(total(&world, |counters| counters.records_sent), 0);
    world.sent.clear();
    world.run(30 * SECOND);
    assert_eq!(world.sent.get("question"), None, "the same leaf is not looked at forever");
}

#[test]
fn what_one_member_missed_reaches_it() {
    let mut world = world(2, 4);
    for key in 0..10 {
        world.write(key, key % 2, value("v"));
    }
    world.run(30 * SECOND);
    world.settle().unwrap();
    assert_eq!(total(&world, |counters| counters.records_sent), 10);
    assert_eq!(total(&world, |counters| counters.pieces_stored), 10);
}

#[test]
fn who_has_left_hands_over_what_it_has_and_gets_and_learns_nothing() {
    for (left, stays) in [(0, 1), (1, 0)] {
        let mut world = world(2, 6);
        for key in 0..10 {
            world.write(key, key % 2, value("v"));
        }
        // What both have, and differs.
        world.write(left, stays, value("w"));
        for member in &mut world.members {
            member.copies.2.insert(NodeId(left as u64));
        }
        let before = world.members[left].copies.get(&PartitionId(0)).unwrap().clock.clone();
        // Roots say that they differ, with every write more, and nobody looks at that.
        world.run(30 * SECOND);
        assert_eq!(total(&world, |counters| counters.sessions_begun), 0);
        let wanted =
            AntiEntropyEvent::Exchange { node: NodeId(left as u64), partition: PartitionId(0) };
        world.tell(stays, wanted);
        // Nothing is on its way to who has left: there is no pause.
        world.run(SECOND);
        let names = world.truth.names.clone();
        let held = |member: usize| {
            (0..10).filter(|key| world.members[member].held(&names[*key]).is_some()).count()
        };
        assert_eq!((held(left), held(stays)), (5, 10));
        let counters = world.counters();
        assert_eq!(counters[stays].records_sent, 0);
        assert_eq!(counters[left].records_sent, 5);
        assert_eq!(counters[stays].exchanges, 1, "an exchange with all that it has");
        let after = &world.members[left].copies.get(&PartitionId(0)).unwrap().clock;
        assert_eq!(*after, before, "it must not claim what it did not get");
    }
}

#[test]
fn what_was_on_its_way_is_not_sent_again() {
    let mut world = world(2, 5);
    world.run(5 * SECOND);
    for key in 0..10 {
        world.write(key, 0, value("v"));
    }
    while total(&world, |counters| counters.sessions_begun) == 0 {
        world.run(SECOND / 10);
    }
    world.run(SECOND);
    (0..10).for_each(|key| world.replicate(key, 0, 1));
    world.settle().unwrap();
    assert_eq!(total(&world, |counters| counters.records_sent), 0);
    assert!(total(&world, |counters| counters.leaves) > 0);
}

#[test]
fn large_records_and_many_siblings_travel_in_pieces() {
    let mut world = world(2, 6);
    for _ in 0..5 {
        // Siblings: each is written by a client that has seen nothing.
        world.write_blindly(0, 0, large(100_000));
    }
    world.write(1, 0, large(3_000_000));
    world.write(2, 1, large(10));
    world.settle().unwrap();
    assert_eq!(world.members[1].record(&world.truth.names[0]).siblings().len(), 5);
    assert_eq!(total(&world, |counters| counters.pieces_stored), 7);
}

#[test]
fn a_leaf_that_cannot_be_read_keeps_clocks_apart_until_it_can() {
    let mut world = world(2, 7);
    for key in 0..20 {
        world.write(key, 0, value("v"));
    }
    let depth = [0, 1].map(|m| world.members[m].copies.get(&PartitionId(0)).unwrap().tree.depth());
    let name = world.truth.names[3].clone();
    let depth = depth[0].min(depth[1]);
    let leaf = NodePath::of(crate::world::q(), Position::of_object(&name), depth);
    world.members[0].damaged_leaves.insert((PartitionId(0), leaf));
    world.run(40 * SECOND);
    assert!(total(&world, |counters| counters.leaves_unresolved) > 0);
    assert_eq!(total(&world, |counters| counters.exchanges), 0);
    assert_eq!(world.members[0].machine.verified_until(PartitionId(0)), None);
    world.members[0].damaged_leaves.clear();
    world.settle().unwrap();
}

#[test]
fn a_rolled_back_member_drops_what_the_others_collected() {
    // History 11: the member wrote nothing since, so no counter gives it away.
    let mut world = world(3, 8);
    world.write_everywhere(0, 0, value("d"));
    world.members[2].back_up();
    world.write_everywhere(0, 0, Content::Tombstone);
    world.settle().unwrap();
    assert!(world.members.iter().all(|m| m.held(&world.truth.names[0]).is_none()), "collected");
    world.roll_back(0, 2);
    assert!(world.members[2].held(&world.truth.names[0]).is_some(), "it is back at one member");
    let before = world.now;
    world.run(5 * SECOND);
    assert!(world.members[2].held(&world.truth.names[0]).is_none());
    assert!(total(&world, |counters| counters.versions_dropped) > 0);
    let copy = world.members[2].copies.get(&PartitionId(0)).unwrap();
    assert!(!copy.incomplete, "complete again after {:?}", world.now.saturating_since(before));
    world.settle().unwrap();
}

#[test]
fn what_was_collected_during_a_session_is_known_to_be_collected_afterwards() {
    for seed in 0..60 {
        let mut world = world(2, seed);
        world.write_everywhere(0, 0, value("d"));
        world.members[1].back_up();
        world.write_everywhere(1, 0, value("e"));
        world.write_everywhere(1, 0, Content::Tombstone);
        world.run(30 * SECOND);
        world.report(0);
        world.report(1);
        // The other has lost the tombstone, but told before that it had it.
        world.roll_back(0, 1);
        world.run(Duration::from_millis(seed));
        world.collect(0).unwrap();
        // The laws are looked at after every step.
        world.run(20 * SECOND);
        world.settle().unwrap();
    }
}

#[test]
fn what_an_incomplete_member_took_in_late_is_judged_when_it_is_complete() {
    for seed in 0..60 {
        let mut world = world(3, seed);
        world.write_everywhere(0, 0, value("d"));
        let late = world.members[0].record(&world.truth.names[0].clone());
        world.write_everywhere(0, 0, Content::Tombstone);
        world.write_everywhere(1, 0, value("e"));
        world.settle().unwrap();
        world.disconnect(1, 2);
        world.damage(1, 2);
        world.run(2 * SECOND);
        world.connect(1, 2);
        // Between the comparison and the end of the last exchange.
        world.send_write(2, 0, late, Duration::from_millis(seed * 2));
        world.run(20 * SECOND);
        world.settle().unwrap();
    }
}

#[test]
fn an_incomplete_copy_is_refilled_at_once_and_without_a_pause() {
    let mut world = world(3, 9);
    for key in 0..20 {
        world.write_everywhere(key, 0, value("v"));
    }
    world.run(15 * SECOND);
    world.truth.damaged.fill(true);
    for key in 0..20 {
        let name = world.truth.names[key].clone();
        world.members[1].lose(&name);
    }
    world.become_incomplete(1, PartitionId(0));
    assert_eq!(world.members[1].machine.verified_until(PartitionId(0)), None);
    world.run(SECOND);
    assert!(!world.members[1].copies.get(&PartitionId(0)).unwrap().incomplete);
    assert!(world.members[1].machine.verified_until(PartitionId(0)).is_some());
    world.settle().unwrap();
}

#[test]
fn a_copy_whose_tree_is_being_made_is_compared_as_soon_as_there_is_one() {
    let mut world = world(2, 16);
    world.write_everywhere(0, 0, value("v"));
    world.run(15 * SECOND);
    world.truth.damaged.fill(true);
    world.members[1].copies.1.insert(PartitionId(0));
    world.become_incomplete(1, PartitionId(0));
    world.run(5 * SECOND);
    assert!(world.members[1].copies.get(&PartitionId(0)).unwrap().incomplete);
    world.members[1].copies.1.clear();
    world.run(3 * SECOND);
    assert!(!world.members[1].copies.get(&PartitionId(0)).unwrap().incomplete);
    world.settle().unwrap();
}

#[test]
fn without_a_budget_roots_are_compared_and_no_session_begins() {
    let mut world = world(2, 10);
    for member in 0..2 {
        world.tell(member, AntiEntropyEvent::Budget(0));
    }
    world.write(0, 0, value("v"));
    world.run(60 * SECOND);
    assert!(world.sent["roots"] >= 5);
    assert_eq!(total(&world, |counters| counters.sessions_begun), 0);
    world.tell(1, AntiEntropyEvent::Budget(1));
    world.run(20 * SECOND);
    assert_eq!(total(&world, |counters| counters.records_sent), 1);
}

#[test]
fn a_peer_that_says_nothing_is_given_up_and_tried_again() {
    let mut world = world(2, 11);
    world.write(0, 0, value("v"));
    while total(&world, |counters| counters.sessions_begun) == 0 {
        world.run(SECOND / 100);
    }
    let asker = (0..2).find(|m| world.counters()[*m].sessions_begun > 0).unwrap();
    world.mute.insert(1 - asker);
    world.run(40 * SECOND);
    assert_eq!(world.members.iter().map(|member| member.machine.sessions()).sum::<usize>(), 0);
    assert!(total(&world, |counters| counters.sessions_failed) > 0);
    assert_eq!(total(&world, |counters| counters.exchanges), 0);
    world.mute.clear();
    world.settle().unwrap();
}

#[test]
fn a_lost_peer_ends_its_sessions_and_goes_on_when_it_is_back() {
    for millis in (0..3_000).step_by(100) {
        let mut world = world(2, 12);
        for key in 0..20 {
            world.write(key, key % 2, large(20_000));
        }
        while total(&world, |counters| counters.sessions_begun) == 0 {
            world.run(SECOND / 100);
        }
        world.run(Duration::from_millis(millis));
        world.disconnect(0, 1);
        assert_eq!(world.members.iter().map(|m| m.machine.sessions()).sum::<usize>(), 0);
        world.run(5 * SECOND);
        world.connect(0, 1);
        world.settle().unwrap();
    }
}

#[test]
fn two_that_open_at_once_hold_one_session() {
    let mut world = world(2, 13);
    world.disconnect(0, 1);
    for key in 0..10 {
        world.write(key, key % 2, value("v"));
    }
    // Incomplete copies open at once, so both do.
    world.truth.damaged.fill(true);
    world.become_incomplete(0, PartitionId(0));
    world.become_incomplete(1, PartitionId(0));
    world.connect(0, 1);
    world.run(SECOND / 5);
    assert_eq!(total(&world, |counters| counters.sessions_begun), 2);
    assert_eq!(total(&world, |counters| counters.sessions_answered), 1);
    assert_eq!(total(&world, |counters| counters.sessions_failed), 0);
    world.run(20 * SECOND);
    assert_eq!(total(&world, |counters| counters.records_sent), 10);
    world.settle().unwrap();
}

#[test]
fn a_stranger_and_one_that_is_no_member_are_refused() {
    let mut world = world(2, 14);
    let opening = |partition| Opening {
        partition,
        register: dynamo_types::RegisterTag::of_digest(1),
        depth: 0,
        root: Sum(1),
        clock: None,
        known: Vec::new(),
    };
    let open = |session, partition| RepairMessage::Question {
        session: SessionId(session),
        question: Question::Open(opening(PartitionId(partition))),
    };
    let stranger = NodeId(99);
    let event = AntiEntropyEvent::Received { from: stranger, message: open(1, 0) };
    world.tell(0, event);
    assert_eq!(world.sent.get("answer"), None, "nobody knows it");
    let event = AntiEntropyEvent::Received { from: NodeId(1), message: open(2, 7) };
    world.tell(0, event);
    assert_eq!(world.sent.get("answer"), Some(&1));
    assert_eq!(world.counters()[0].sessions_refused, 1);
    assert_eq!(world.members[0].machine.sessions(), 0);
}

/// A message that an honest peer would not send here.
fn junk(
    rng: &mut Xoshiro256PlusPlus,
    sessions: &[(SessionId, bool)],
    world: &World,
) -> RepairMessage {
    let number = |rng: &mut Xoshiro256PlusPlus, bound: u64| rng.next_u64() % bound;
    let place = usize::try_from(number(rng, sessions.len().max(1) as u64)).unwrap();
    let (session, by_initiator) = sessions.get(place).copied().unwrap_or((SessionId(5), true));
    let depth = u8::try_from(number(rng, 3)).unwrap();
    let index = u32::try_from(number(rng, 1 << (4 * depth))).unwrap();
    let leaf = NodePath::new(depth, index).unwrap();
    let key = usize::try_from(number(rng, 20)).unwrap();
    let name = world.truth.names[key].clone();
    let items: Vec<ItemId> = (0..number(rng, 4)).map(ItemId).collect();
    let bits: Vec<bool> = (0..number(rng, 4)).map(|bit| bit % 2 == 0).collect();
    let from = u32::try_from(number(rng, 3)).unwrap();
    let state = |state| RepairMessage::State { session, by_initiator, state };
    let question = match number(rng, 10) {
        0 => Question::Sums { nodes: vec![leaf, NodePath::ROOT] },
        1 => Question::Symbols { leaf, until: from * 100 },
        2 => Question::List { leaf },
        3 => Question::Solved { leaf, wanted: items.iter().copied().map(ShortId::from).collect() },
        4 => Question::Agrees { leaf },
        5 => Question::Leave { leaf },
        6 => {
            let offered = items.iter().map(|item| (*item, name.clone())).collect();
            Question::Settle { leaf, from, wanted: bits.clone(), offered, last: from == 0 }
        }
        _ => Question::Close,
    };
    let answer = match number(rng, 10) {
        0 => Answer::Refused(Refusal::Busy),
        1 => Answer::Opened {
            depth,
            clock: None,
            known: Vec::new(),
            sums: Some(Box::new([ShortSum(1); 16])),
        },
        2 => Answer::Sums { sums: vec![(leaf, [ShortSum(3); 16])] },
        3 => {
            let totals = Some(LeafTotals { items: from, sum: 1 });
            Answer::Symbols { leaf, totals, symbols: vec![1; 26].into() }
        }
        4 => Answer::List { leaf, items },
        5 => Answer::Settled { leaf, from, named: vec![Some(name.clone())], arrived: bits },
        _ => Answer::Unable { leaf, why: Unable::Busy },
    };
    match number(rng, 6) {
        0 | 1 if by_initiator => RepairMessage::Question { session, question },
        0 | 1 => RepairMessage::Answer { session, answer },
        2 => state(StateMessage::Stored { number: from, refused: false, collected: Vec::new() }),
        3 => {
            let records = vec![StateRecord { name, pieces: Vec::new(), last: true }];
            state(StateMessage::State { number: from + 1, records })
        }
        4 => {
            let answer = RootsAnswer { number: from, ..RootsAnswer::default() };
            RepairMessage::RootsAnswer(answer)
        }
        _ => state(StateMessage::Aborted),
    }
}

/// Only what could also have been lost or late: junk that lies about records would be believed, as
/// any member's word is.
#[test]
fn no_message_leads_to_a_panic_or_to_a_session_that_never_ends() {
    for seed in 0..200 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut world = world(2, seed);
        for key in 0..20 {
            world.write(key, key % 2, value("v"));
        }
        for _ in 0..80 {
            let time = Duration::from_millis(rng.next_u64() % 400);
            if world.run_until(world.now + time).is_err() {
                break; // it believed a lie
            }
            let to = usize::try_from(rng.next_u64() % 2).unwrap();
            let sessions = world.sessions_seen(to);
            let message = junk(&mut rng, &sessions, &world);
            let from = NodeId(1 - to as u64);
            world.tell(to, AntiEntropyEvent::Received { from, message });
        }
        world.disconnect(0, 1);
        assert_eq!(world.members.iter().map(|m| m.machine.sessions()).sum::<usize>(), 0);
    }
}

#[test]
fn a_thousand_records_stay_within_the_window_and_the_backlog() {
    let mut world = World::new(15, Mood { keys: 1500, ..mood(2) });
    world.disconnect(0, 1);
    for key in 0..1500 {
        let name = world.truth.names[key].clone();
        assert_eq!(partition_of(&name), PartitionId(0));
        world.write_untold(key, 0, large(2_000));
    }
    world.connect(0, 1);
    world.run(30 * SECOND);
    assert_eq!(total(&world, |counters| counters.records_sent), 1500);
    assert_eq!(total(&world, |counters| counters.exchanges), 2);
    assert!(world.most_under_way <= (256 << 10) + (33 << 10), "{} bytes", world.most_under_way);
    assert!(world.most_under_way > 128 << 10, "the window is used");
}
