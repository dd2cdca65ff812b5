//! Prints what two replicas of many records send each other to find in what they differ.
//!
//! `cargo run --release -p dynamo-repair --example anti_entropy_cost [RECORDS [WRITES...]]`
//!
//! One replica missed so many writes, half of them updates and half new records. The pause is left
//! out. Bytes are those that the messages state, in both directions. `finding` is how long both sides
//! took together on this machine, one after the other, scans of memory included.
//!
//! Before that: how long the reconciliation of one leaf takes, for each of its records.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::time::Duration;

use dynamo_merkle::iblt::{Decoder, Encoder, ItemId, ItemSet, Progress, Salt};
use dynamo_merkle::{ItemDigest, SumTree};
use dynamo_repair::anti_entropy::{RootsQuestion, SessionConfig};

use two_replicas::{Replica, compare};

#[path = "../tests/it/two_replicas.rs"]
mod two_replicas;

fn main() -> Result<(), std::num::ParseIntError> {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse());
    let records: u32 = arguments.next().transpose()?.unwrap_or(1_000_000);
    let mut writes: Vec<u32> = arguments.collect::<Result<_, _>>()?;
    if writes.is_empty() {
        writes = vec![0, 1, 10, 100, 1_000, 10_000, 100_000];
    }
    for differences in [0, 9, 90, 900] {
        print_leaf(differences);
    }
    println!("{records} records");
    println!(
        "{:>8} {:>8} {:>10} {:>10} {:>7} {:>8} {:>10} {:>6} {:>9}",
        "writes", "items", "bytes", "per item", "trips", "messages", "names", "lists", "finding"
    );

    let mut there = Replica::new(SumTree::depth_for(records.into()));
    for number in 0..records {
        there.put(number, 1);
    }
    let mut here = there.clone();
    let mut missed = 0;
    for writes in writes {
        // Each row adds to the one before, so that the replicas need not be made anew.
        for write in missed..writes.max(missed) {
            let number = if write % 2 == 0 { write / 2 } else { records + write / 2 };
            there.put(number, 2);
        }
        missed = missed.max(writes);
        print_row(&mut here, &mut there, missed);
    }
    Ok(())
}

fn print_row(here: &mut Replica, there: &mut Replica, writes: u32) {
    let roots = RootsQuestion { roots: vec![here.root()] };
    let differing = roots.answer(|_| Some(there.root()));
    let root_bytes = (roots.bytes() + differing.bytes()) as u64;

    let config = SessionConfig { pause: Duration::ZERO, ..SessionConfig::default() };
    let started = clock();
    let report = compare(here, there, config, 42, |_, _, _, _| {});
    let finding = started.elapsed();
    let outcome = report.outcome();
    let bytes = root_bytes + outcome.traffic.bytes;
    let per_item = bytes.checked_div(outcome.found).unwrap_or_default();
    // The roots are one more question and answer.
    let (trips, messages) = (report.round_trips() + 1, outcome.traffic.messages + 2);
    println!(
        "{writes:>8} {:>8} {bytes:>10} {per_item:>10} {trips:>7} {messages:>8} {:>10} {:>6} {:>6} ms",
        outcome.found,
        outcome.traffic.name_bytes,
        outcome.lists,
        finding.as_millis()
    );
    assert!(outcome.complete, "every difference is found");
    assert_eq!(report.here.len(), writes as usize, "exactly what was missed");
    assert_eq!(report.there.len(), writes as usize, "on both sides");
    assert_eq!(report.agreed, [0, 0], "no leaf differs without a difference");
}

fn print_leaf(differences: u32) {
    const RECORDS: u32 = 4_000;
    const SESSIONS: u32 = 50;
    let digests: Vec<ItemDigest> =
        (0..RECORDS + differences).map(|number| two_replicas::item(number, 1).1.digest).collect();
    // The quickest session counts: the others were interrupted by what else the machine does.
    let (mut quickest, mut symbols) = ([Duration::MAX; 2], 0);
    for session in 0..SESSIONS {
        let set = |digests: &[ItemDigest]| {
            let ids = digests.iter().map(|digest| ItemId::of(Salt(session.into()), *digest));
            ItemSet::new(ids).expect("no two digests are the same")
        };
        let started = clock();
        let mut encoder = Encoder::new(set(&digests[..RECORDS as usize]));
        let mut encoding = started.elapsed();
        let started = clock();
        let mut decoder = Decoder::new(set(&digests[differences as usize..]));
        let mut decoding = started.elapsed();
        let mut batch = 4;
        loop {
            let started = clock();
            let made = encoder.batch(batch);
            encoding += started.elapsed();
            let started = clock();
            let progress = decoder.receive(&made).expect("symbols of a set");
            decoding += started.elapsed();
            if progress == Progress::Done {
                break;
            }
            let guessed = (decoder.estimate() * 5 / 4).saturating_sub(decoder.received());
            batch = guessed.min(decoder.received() * 2).max(decoder.received() / 10).max(2);
        }
        assert_eq!(decoder.difference().len(), 2 * differences as usize);
        symbols += decoder.received();
        quickest = [quickest[0].min(encoding), quickest[1].min(decoding)];
    }
    println!(
        "{RECORDS} records a leaf, {} items differ: {} symbols, {} ns a record to make them, {} ns to decode",
        2 * differences,
        symbols / SESSIONS,
        quickest[0].as_nanos() / u128::from(RECORDS),
        quickest[1].as_nanos() / u128::from(RECORDS),
    );
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch of a program that measures")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
