//! Random histories, judged by what really happened.

#[cfg(not(planted_bugs))]
use dynamo_repair::anti_entropy::AntiEntropyCounters;

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
#[cfg(planted_bugs)]
pub(crate) fn first_failure(seeds: std::ops::Range<u64>) -> (Option<String>, u64) {
    play_all(seeds, |_| {})
}

fn play_all(seeds: std::ops::Range<u64>, mut done: impl FnMut(&World)) -> (Option<String>, u64) {
    let mut played = 0;
    for seed in seeds {
        played += 1;
        match World::new(seed, mood_of(seed)).play() {
            Ok(world) => done(&world),
            Err(violation) => return (Some(format!("seed {seed}: {violation}")), played),
        }
    }
    (None, played)
}

#[cfg(not(planted_bugs))]
#[test]
fn members_come_to_hold_the_same_and_no_clock_ever_claims_too_much() {
    let seeds = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let seeds = seeds.unwrap_or(0).max(300);
    let mut total = AntiEntropyCounters::default();
    let outcome = play_all(0..seeds, |world| {
        for counters in world.counters() {
            total.exchanges += counters.exchanges;
            total.sessions_failed += counters.sessions_failed;
            total.sessions_refused += counters.sessions_refused;
            total.records_sent += counters.records_sent;
            total.pieces_refused += counters.pieces_refused;
            total.leaves_unresolved += counters.leaves_unresolved;
            total.versions_dropped += counters.versions_dropped;
            total.messages_ignored += counters.messages_ignored;
            total.roots_equal += counters.roots_equal;
        }
    });
    assert_eq!(outcome, (None, seeds));
    println!("{total:?}");
    // The histories must come by what they are meant to show.
    let met = [
        total.exchanges,
        total.sessions_failed,
        total.sessions_refused,
        total.records_sent,
        total.pieces_refused,
        total.leaves_unresolved,
        total.versions_dropped,
        total.messages_ignored,
        total.roots_equal,
    ];
    assert!(met.iter().all(|count| *count > 0), "{total:?}");
}
