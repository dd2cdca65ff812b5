//! The histories of partition moves, by their numbers, as far as the register decides them.

use std::collections::BTreeSet;

use dynamo_register::requests::{CopyOf, has_enough_copies, holds_leftovers, read_set, write_sets};
use dynamo_register::{
    Acceptor, AcceptorEffect, AcceptorState, Admission, Answer, Driver, DriverEffect, Goal,
    Register, Request, Stage, Vote,
};
use dynamo_ring::ReplicaSet;
use dynamo_types::NodeId;

const DRIVER: NodeId = NodeId(100);

fn set(nodes: [u64; 3]) -> ReplicaSet {
    ReplicaSet::new(&nodes.map(NodeId)).unwrap()
}

fn first() -> Register {
    Register::first(set([0, 1, 2]))
}

fn fenced(lamport: u64, next: [u64; 3]) -> Register {
    first().propose(lamport, set(next)).unwrap()
}

fn at(register: Register, stage: Stage) -> Register {
    let movement = register.movement.map(|movement| dynamo_register::Move { stage, ..movement });
    Register { movement, ..register }
}

fn acceptor(node: u64) -> Acceptor {
    Acceptor::new(NodeId(node), AcceptorState::new(first()))
}

/// Asks, lets the store end, and gives back the answer.
fn ask(acceptor: &mut Acceptor, request: Request) -> Answer {
    acceptor.handle(DRIVER, request);
    let mut answered = None;
    while let Some(effect) = acceptor.poll_effect() {
        match effect {
            AcceptorEffect::Store { number, .. } => acceptor.stored(number),
            AcceptorEffect::Answer { answer, .. } => answered = Some(answer),
        }
    }
    answered.unwrap()
}

/// Nodes that are up, and who of them has exchanged and compared.
struct Cluster {
    acceptors: Vec<Acceptor>,
    down: BTreeSet<NodeId>,
}

impl Cluster {
    fn new(nodes: u64, down: &[u64]) -> Self {
        let down = down.iter().copied().map(NodeId).collect();
        Self { acceptors: (0..nodes).map(acceptor).collect(), down }
    }

    /// Takes steps until nothing changes.
    fn drive(&mut self, driver: &mut Driver) {
        for _ in 0..6 {
            driver.step().unwrap();
            while let Some(effect) = driver.poll_effect() {
                let DriverEffect::Send { to, request } = effect else { continue };
                if self.down.contains(&to) {
                    continue;
                }
                let answer = ask(&mut self.acceptors[usize::try_from(to.0).unwrap()], request);
                driver.answered(to, &answer);
                let ballot = driver.proposal().and_then(|proposal| proposal.movement);
                for (joiner, source) in driver.missing_exchanges() {
                    if !self.down.contains(&joiner) && !self.down.contains(&source) {
                        driver.exchanged(ballot.unwrap().ballot, joiner, source);
                    }
                }
                for (leaver, member) in driver.missing_comparisons() {
                    if !self.down.contains(&leaver) && !self.down.contains(&member) {
                        driver.compared(leaver, member);
                    }
                }
            }
        }
    }
}

#[test]
fn history_16_reads_stay_with_the_old_set_until_the_decision() {
    let (old, next) = (set([0, 1, 2]), set([0, 1, 3]));
    let register = fenced(1, [0, 1, 3]);
    for (stage, reads) in [(Stage::Fenced, old), (Stage::Synced, old), (Stage::Decided, next)] {
        assert_eq!(read_set(&at(register, stage)), reads, "{stage:?}");
        assert_eq!(write_sets(&at(register, stage)), [old, next], "{stage:?}");
    }
    let committed = at(register, Stage::Committed);
    assert_eq!((read_set(&committed), write_sets(&committed)), (next, vec![next]));
}

#[test]
fn history_16_a_member_that_voted_takes_no_write_for_a_rival() {
    let mut member = acceptor(1);
    let voted = fenced(1, [2, 3, 4]);
    ask(&mut member, Request::Promise(voted));
    let ballot = voted.movement.unwrap().ballot;
    assert_eq!(ask(&mut member, Request::Accept(voted)).vote, Some(Vote::Accepted(ballot)));
    // In plain Paxos the higher ballot gets its promise, and its writes go past the set voted for.
    let rival = fenced(9, [0, 1, 3]);
    assert_eq!(member.admit(&rival), Admission::Stale(at(voted, Stage::Synced)));
    let answer = ask(&mut member, Request::Promise(rival));
    assert!(matches!(answer.vote, Some(Vote::Barred(_))), "{answer:?}");
    // Whoever knows of the vote proposes the same set, and is promised that.
    let heir = answer.register.propose(10, set([0, 1, 3])).unwrap();
    assert_eq!(heir.movement.unwrap().next, set([2, 3, 4]));
    let promised = ask(&mut member, Request::Promise(heir)).vote;
    assert_eq!(promised, Some(Vote::Promised(heir.movement.unwrap().ballot)));
}

#[test]
fn history_17_a_dead_member_is_replaced_by_a_majority() {
    let mut cluster = Cluster::new(4, &[2]);
    let mut driver = Driver::new(first(), Goal::Move(set([0, 1, 3])));
    cluster.drive(&mut driver);
    assert_eq!(driver.known().stage(), Some(Stage::Committed));
    // The dead leaver compares no more once the members say that it is removed.
    driver.give_up(NodeId(2));
    assert_eq!((driver.known().epoch.number, driver.known().movement), (2, None));
    assert_eq!(driver.known().current, set([0, 1, 3]));
}

#[test]
fn history_18_hints_count_for_puts_in_a_move_and_for_nothing_else() {
    let register = fenced(1, [0, 3, 4]);
    let hint = |member, holder| CopyOf { member: NodeId(member), holder: NodeId(holder) };
    // Of the old set nobody can be reached, and of the new one nobody else.
    assert!(has_enough_copies(&register, 1, false, &[hint(0, 7)]));
    assert!(!has_enough_copies(&register, 1, true, &[hint(0, 7)]));
    // A copy counts in each set that has its member, and once.
    assert!(!has_enough_copies(&register, 2, false, &[hint(0, 7), hint(0, 0), hint(1, 8)]));
    assert!(has_enough_copies(&register, 2, false, &[hint(0, 0), hint(1, 8), hint(3, 9)]));
    // A fallback that promises is not heard.
    let mut driver = Driver::new(first(), Goal::Move(set([0, 3, 4])));
    driver.step().unwrap();
    let ballot = driver.proposal().unwrap().movement.unwrap().ballot;
    for fallback in [7, 8, 9] {
        let register = *driver.proposal().unwrap();
        let vote = Some(Vote::Promised(ballot));
        let answer = Answer { vote, register, promised: Some(ballot) };
        driver.answered(NodeId(fallback), &answer);
        driver.exchanged(ballot, NodeId(3), NodeId(fallback));
    }
    assert_eq!(driver.missing_exchanges().len(), 6);
}

#[test]
fn history_18_a_plan_whose_joiners_are_dead_is_cancelled() {
    let mut cluster = Cluster::new(5, &[3, 4]);
    let mut driver = Driver::new(first(), Goal::Move(set([0, 3, 4])));
    cluster.drive(&mut driver);
    assert_eq!(driver.known().stage(), Some(Stage::Fenced), "it waits for the joiners");
    assert!(!driver.missing_exchanges().is_empty());
    driver.want(Goal::Cancel);
    cluster.drive(&mut driver);
    assert_eq!((driver.known().epoch.number, driver.known().movement), (2, None));
    assert_eq!(driver.known().current, set([0, 1, 2]));
}

#[test]
fn history_19_who_is_one_stage_behind_is_told_so() {
    let mut member = acceptor(0);
    let register = fenced(1, [0, 1, 3]);
    ask(&mut member, Request::Promise(register));
    assert_eq!(member.admit(&first()), Admission::Stale(register));
}

#[test]
fn history_19_who_is_behind_learns_from_the_request_and_syncs_that_first() {
    let mut member = acceptor(0);
    let register = fenced(1, [0, 1, 3]);
    let Admission::AfterStore(number) = member.admit(&register) else { panic!("it was behind") };
    assert!(matches!(member.poll_effect(), Some(AcceptorEffect::Store { .. })));
    member.stored(number);
    assert_eq!(member.admit(&register), Admission::Now);
    assert_eq!(member.admit(&first()), Admission::Stale(register));
}

#[test]
fn history_20_exchanges_are_good_for_one_ballot() {
    let mut cluster = Cluster::new(4, &[3]);
    let mut driver = Driver::new(first(), Goal::Move(set([0, 1, 3])));
    cluster.drive(&mut driver);
    let ballot = driver.proposal().unwrap().movement.unwrap().ballot;
    driver.exchanged(ballot, NodeId(3), NodeId(0));
    driver.want(Goal::Cancel);
    driver.want(Goal::Move(set([0, 3, 1])));
    driver.step().unwrap();
    driver.exchanged(ballot, NodeId(3), NodeId(1));
    assert_eq!(driver.missing_exchanges().len(), 3);
}

#[test]
fn history_20_who_is_in_no_set_holds_leftovers() {
    let register = fenced(1, [0, 1, 3]);
    let (leaver, joiner) = (NodeId(2), NodeId(3));
    for (register, left) in [
        (first(), vec![joiner]),
        (register, vec![]),
        (at(register, Stage::Decided), vec![]),
        (at(register, Stage::Committed), vec![leaver]),
    ] {
        let holders = [leaver, joiner].into_iter().filter(|node| holds_leftovers(&register, *node));
        assert_eq!(holders.collect::<Vec<_>>(), left, "{register:?}");
    }
}

#[test]
fn history_21_of_two_forces_one_wins_everywhere_and_stays_ahead() {
    let force = |sets: [u64; 3], given_up: &[u64]| {
        let given_up = given_up.iter().copied().map(NodeId).collect();
        Register::force(&[first()], set(sets), &given_up).unwrap()
    };
    let (left, right) = (force([0, 3, 4], &[1, 2]), force([1, 5, 6], &[0, 2]));
    assert_eq!(left.newcomers, [NodeId(3), NodeId(4)]);
    let agreed = Register { epoch: first().epoch.next(), ..first() };
    assert!(left.register > agreed && right.register > agreed);
    let (winner, loser) = if left.register > right.register {
        (left.register, right.register)
    } else {
        (right.register, left.register)
    };
    // Both sides go on by one epoch before they meet: the names still differ.
    let go_on = |register: Register| Register { epoch: register.epoch.next(), ..register };
    assert!(go_on(winner) > go_on(loser));
    let given_up = [NodeId(0)].into();
    assert!(Register::force(&[first()], set([0, 3, 4]), &given_up).is_err());
}

#[test]
fn history_21_a_member_that_forgot_its_votes_waits_for_the_next_epoch() {
    let mut member = Acceptor::after_rollback(NodeId(0), AcceptorState::new(first()));
    let register = fenced(1, [0, 1, 3]);
    assert_eq!(ask(&mut member, Request::Promise(register)).vote, None);
    for from in [1, 2] {
        member.told(NodeId(from), &register);
    }
    assert_eq!(ask(&mut member, Request::Promise(register)).vote, None);
    assert_eq!(member.admit(&register), Admission::Unsure);
    // The others renew the set without it.
    let renewed = Register { epoch: first().epoch.next(), ..first() };
    ask(&mut member, Request::Learn(renewed));
    assert!(member.takes_part());
    assert_eq!(member.admit(&renewed), Admission::Now);
}

#[test]
fn history_24_a_leaver_that_waits_for_a_dead_member_does_not_hold_up_its_replacement() {
    let mut cluster = Cluster::new(5, &[]);
    let mut driver = Driver::new(first(), Goal::Move(set([0, 1, 3])));
    driver.step().unwrap();
    // Until it is committed member 3 lives.
    while driver.known().stage() != Some(Stage::Committed) {
        let Some(DriverEffect::Send { to, request }) = driver.poll_effect() else { continue };
        let answer = ask(&mut cluster.acceptors[usize::try_from(to.0).unwrap()], request);
        driver.answered(to, &answer);
        let ballot = driver.proposal().and_then(|proposal| proposal.movement);
        for (joiner, source) in driver.missing_exchanges() {
            driver.exchanged(ballot.unwrap().ballot, joiner, source);
        }
    }
    cluster.down.insert(NodeId(3));
    cluster.drive(&mut driver);
    assert_eq!(driver.missing_comparisons(), [(NodeId(2), NodeId(3))], "it says for whom it waits");
    driver.want(Goal::Move(set([0, 1, 4])));
    cluster.drive(&mut driver);
    assert!(driver.known().epoch.number >= 2);
    assert_eq!(driver.known().settled_set(), set([0, 1, 4]));
}
