//! What the detector promises, checked on whole clusters.

use std::time::Duration;

use dynamo_membership::{Liveness, SwimConfig, SwimEvent};

use crate::world::{Weather, World, node};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A cluster whose nodes have all found each other.
fn settled(nodes: usize, weather: Weather, seed: u64) -> World {
    let mut world = World::new(nodes, SwimConfig::default(), weather, seed);
    let took = world.run_until(seconds(20), World::all_agree);
    assert!(took.is_some(), "{nodes} nodes do not find each other");
    world.changes.clear();
    world
}

#[test]
fn a_death_is_known_to_all_within_four_seconds() {
    for (nodes, at_most) in [(2, 4), (5, 4), (100, 4)] {
        let mut world = settled(nodes, Weather::default(), 1);
        world.kill(1);
        let took = world.run_until(seconds(at_most), World::all_agree);
        assert!(took.is_some(), "{nodes} nodes take longer than {at_most} s");
        assert_eq!(world.false_downs(), 0);
    }
}

#[test]
fn lost_datagrams_bring_nobody_down() {
    let mut world = settled(20, Weather { loss_permille: 50, ..Weather::default() }, 2);
    world.run_for(seconds(60));
    assert_eq!(world.false_downs(), 0);
    assert_eq!(world.called_down, 0, "who refuted is not told that it is down");
}

#[test]
fn slow_node_not_poisoning() {
    let mut world = settled(20, Weather::default(), 3);
    world.pause(0, seconds(60));
    world.run_for(seconds(59));
    assert!((1..20).all(|observer| world.machine(observer).liveness(node(0)) == Liveness::Down));
    assert!(world.changes.iter().all(|change| change.subject == 0));
    let took = world.run_until(seconds(20), World::all_agree);
    assert!(took.is_some(), "it is not taken back");
    world.run_for(seconds(20));
    let others = world.changes.iter().filter(|change| change.subject != 0).count();
    assert_eq!(others, 0, "it dragged others down");
}

#[test]
fn members_that_stall_are_not_called_down_and_call_nobody_down() {
    // 100 members have 2.4 s to refute, and a tenth of them is away for 2 s again and again.
    let mut world = settled(100, Weather::default(), 4);
    for place in 0..10 {
        world.pause(place, seconds(2));
    }
    world.run_for(seconds(15));
    assert_eq!(world.false_downs(), 0);
}

#[test]
fn a_node_that_runs_late_condemns_nobody_until_it_runs_in_time() {
    let mut world = settled(2, Weather::default(), 5);
    world.kill(1);
    for _ in 0..100 {
        world.run_for(Duration::from_millis(200));
        world.tell(0, SwimEvent::LoopLag(Duration::from_millis(150)));
    }
    assert_eq!(world.machine(0).liveness(node(1)), Liveness::Up);
    assert!(world.machine(0).local_health() > 0);
    assert!(world.run_until(seconds(60), World::all_agree).is_some(), "it has died after all");
}

#[test]
fn one_way_link() {
    let mut world = settled(5, Weather::default(), 6);
    world.cut.insert((0, 1));
    world.run_for(seconds(60));
    assert_eq!(world.changes, [], "others reach both");
}

#[test]
fn partial_partition_5() {
    let mut world = settled(5, Weather::default(), 7);
    world.cut_between(&[0, 1], &[3, 4], true);
    world.run_for(seconds(60));
    assert_eq!(world.changes, [], "the one between carries probes both ways");
}

#[test]
fn a_split_is_seen_on_both_sides_and_heals() {
    let mut world = settled(10, Weather::default(), 8);
    let (some, others) = ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9]);
    world.cut_between(&some, &others, true);
    world.run_for(seconds(60));
    for (observer, subject) in some.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))) {
        for (observer, subject) in [(observer, subject), (subject, observer)] {
            let liveness = world.machine(observer).liveness(node(subject));
            assert_eq!(liveness, Liveness::Down, "{observer} of {subject}");
        }
    }
    world.cut_between(&some, &others, false);
    assert!(world.run_until(seconds(60), World::all_agree).is_some(), "it does not heal");
}

#[test]
fn who_has_a_new_link_is_greeted_at_once() {
    let mut world = settled(4, Weather::default(), 18);
    world.cut_between(&[0, 1], &[2, 3], true);
    world.run_for(seconds(60));
    world.cut_between(&[0, 1], &[2, 3], false);
    for (some, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        world.tell(some, SwimEvent::Linked(node(other)));
        world.tell(other, SwimEvent::Linked(node(some)));
    }
    let took = world.run_until(seconds(60), World::all_agree).expect("it heals");
    assert!(took < seconds(2), "{took:?}, and the dead are asked every fifteen seconds");
}

#[test]
fn who_does_not_answer_is_a_suspect_before_it_is_down() {
    let mut world = settled(3, Weather::default(), 19);
    world.kill(1);
    let by_then = |liveness| move |world: &World| world.machine(0).liveness(node(1)) == liveness;
    assert!(world.run_until(seconds(4), by_then(Liveness::Suspect)).is_some());
    assert!(world.run_until(seconds(4), by_then(Liveness::Down)).is_some());
    world.start(1);
    assert!(world.run_until(seconds(4), by_then(Liveness::Up)).is_some());
}

#[test]
fn a_node_alone_finds_back() {
    let mut world = settled(3, Weather::default(), 9);
    world.cut_between(&[0], &[1, 2], true);
    world.run_for(seconds(120));
    assert_eq!(world.machine(0).liveness(node(1)), Liveness::Down);
    world.cut_between(&[0], &[1, 2], false);
    assert!(world.run_until(seconds(60), World::all_agree).is_some());
}

#[test]
fn a_restarted_node_is_up_again_whatever_its_clock_says() {
    for is_set_back in [false, true] {
        for down_for in [0, 10] {
            let mut world = settled(5, Weather::default(), 10);
            world.kill(2);
            world.run_for(seconds(down_for));
            if is_set_back {
                world.start_with_a_lower_incarnation(2);
            } else {
                world.start(2);
            }
            let before = world.bytes_sent;
            let took = world.run_until(seconds(30), World::all_agree);
            assert!(took.is_some(), "down for {down_for} s, clock set back: {is_set_back}");
            let sent = world.bytes_sent - before;
            assert!(sent < 20_000, "{sent} bytes, down for {down_for} s, set back: {is_set_back}");
        }
    }
}

#[test]
fn gossip_generation_after_long_uptime() {
    let mut world = settled(5, Weather::default(), 11);
    world.kill(2);
    world.run_for(seconds(10));
    // Ten years of milliseconds.
    world.skip_incarnations(2, 10 * 365 * 24 * 3600 * 1000);
    world.start(2);
    assert!(world.run_until(seconds(5), World::all_agree).is_some(), "it is too new for someone");
}

#[test]
fn a_flipped_bit_changes_no_opinion() {
    let mut world = settled(10, Weather { flip_permille: 50, ..Weather::default() }, 12);
    world.run_for(seconds(60));
    assert!(world.flipped > 100);
    // A few may still be on their way.
    assert!(world.flipped - world.refused < 10, "{} of {}", world.refused, world.flipped);
    assert_eq!(world.changes, []);
}

#[test]
fn a_node_that_says_goodbye_is_missed_at_once() {
    let mut world = settled(20, Weather::default(), 13);
    world.tell(3, SwimEvent::Stopping);
    world.kill(3);
    let took = world.run_until(seconds(10), World::all_agree).expect("they notice");
    assert!(took < seconds(2), "{took:?}");
}

#[test]
fn a_member_that_never_answered_is_down() {
    let mut world = World::new(3, SwimConfig::default(), Weather::default(), 14);
    world.kill(1);
    let mut world = world.without_memory(&[0, 2]);
    assert_eq!(world.machine(0).liveness(node(1)), Liveness::Unknown);
    assert!(world.run_until(seconds(10), World::all_agree).is_some());
}

#[test]
fn a_member_that_the_others_call_down_is_down_for_a_newcomer_too() {
    let mut world = settled(4, Weather::default(), 20);
    world.kill(1);
    assert!(world.run_until(seconds(10), World::all_agree).is_some());
    let mut world = world.without_memory(&[0]);
    assert_eq!(world.machine(0).liveness(node(1)), Liveness::Unknown);
    assert!(world.run_until(seconds(10), World::all_agree).is_some(), "it stays unknown");
    world.start(1);
    assert!(world.run_until(seconds(10), World::all_agree).is_some());
}

#[test]
fn who_is_no_member_any_more_is_neither_heard_nor_spoken_of() {
    let mut world = settled(4, Weather::default(), 15);
    for place in [0, 1, 2] {
        world.tell(place, SwimEvent::Members((0..3).map(node).collect()));
    }
    world.run_for(seconds(30));
    assert_eq!(world.machine(0).liveness(node(3)), Liveness::Unknown);
    assert!(world.refused > 0, "it goes on speaking");
    assert!(world.changes.iter().all(|change| change.observer == 3), "{:?}", world.changes);
    for place in [0, 1, 2] {
        world.tell(place, SwimEvent::Members((0..4).map(node).collect()));
    }
    assert!(world.run_until(seconds(60), World::all_agree).is_some(), "it may come back");
}

#[test]
fn a_seed_repeats_and_datagrams_stay_small() {
    let run = |seed| {
        let weather = Weather { loss_permille: 100, stalling: 2, ..Weather::default() };
        let mut world = World::new(30, SwimConfig::default(), weather, seed);
        world.run_for(seconds(15));
        assert!(world.largest_datagram <= 1100, "{}", world.largest_datagram);
        (world.changes, world.bytes_sent)
    };
    assert_eq!(run(16), run(16));
    assert_ne!(run(16), run(17));
}
