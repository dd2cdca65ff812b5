//! Random histories, judged by what really happened.

use crate::world::{Mood, World};

/// The history of a seed.
fn mood_of(seed: u64) -> Mood {
    let calm = Mood {
        members: 2 + usize::from(!seed.is_multiple_of(3)),
        partitions: 1 + u16::try_from(seed / 3 % 3).expect("small"),
        keys: 3 + usize::try_from(seed / 9 % 8).expect("small"),
        steps: 60,
        lost: 0,
        doubled: 0,
        refused: 0,
        breaks: false,
    };
    match seed % 5 {
        0 => calm,
        1 => Mood { refused: 100, ..calm },
        2 => Mood { lost: 30, doubled: 50, ..calm },
        3 => Mood { breaks: true, ..calm },
        _ => Mood { lost: 20, doubled: 50, refused: 50, breaks: true, ..calm },
    }
}

/// The first of these histories that breaks a law, and how many were played.
pub(crate) fn first_failure(seeds: std::ops::Range<u64>) -> (Option<String>, u64) {
    let first = seeds.start;
    for seed in seeds {
        if let Err(violation) = World::new(seed, mood_of(seed)).play() {
            return (Some(format!("seed {seed}: {violation}")), seed - first + 1);
        }
    }
    (None, 0)
}

#[cfg(not(planted_bugs))]
#[test]
fn members_come_to_hold_the_same_and_no_clock_ever_claims_too_much() {
    let seeds = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let (failure, _) = first_failure(0..seeds.unwrap_or(300));
    assert_eq!(failure, None);
}

#[cfg(not(planted_bugs))]
#[test]
fn histories_exercise_what_they_are_meant_to() {
    let mut total = dynamo_repair::anti_entropy::AntiEntropyCounters::default();
    for seed in 0..40 {
        let world = World::new(seed, mood_of(seed)).play().unwrap();
        for counters in world.counters() {
            total.exchanges += counters.exchanges;
            total.sessions_failed += counters.sessions_failed;
            total.sessions_refused += counters.sessions_refused;
            total.records_sent += counters.records_sent;
            total.pieces_refused += counters.pieces_refused;
            total.versions_dropped += counters.versions_dropped;
            total.messages_ignored += counters.messages_ignored;
            total.roots_equal += counters.roots_equal;
        }
    }
    println!("{total:?}");
    assert!(total.exchanges > 0 && total.sessions_failed > 0 && total.sessions_refused > 0);
    assert!(total.records_sent > 0 && total.pieces_refused > 0 && total.versions_dropped > 0);
    assert!(total.messages_ignored > 0 && total.roots_equal > 0);
}
