//! Prints what two replicas of many records send each other to find in what they differ.
//!
//! `cargo run --release -p dynamo-repair --example anti_entropy_cost [RECORDS [WRITES...]]`
//!
//! One replica missed so many writes, half of them updates and half new records. The pause is left
//! out. Bytes are those that the messages state, in both directions, names and values apart. `took` is
//! how long both sides took together on this machine, one after the other, scans of memory included.
//! The first table is of finding what differs alone, the second of two whole machines, from their
//! first look at the roots until both have joined clocks.
//!
//! Before that: how long the reconciliation of one leaf takes, for each of its records.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::time::Duration;

use dynamo_merkle::iblt::{Decoder, Encoder, ItemId, ItemSet, Progress, Salt};
use dynamo_merkle::{ItemDigest, SumTree};
use dynamo_repair::anti_entropy::FindingConfig;

use machines::Machines;
use two_replicas::{Replica, compare};

mod machines;
#[path = "../../tests/it/two_replicas.rs"]
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
        "writes", "items", "bytes", "per item", "trips", "messages", "names", "lists", "took"
    );

    let mut there = Replica::new(SumTree::depth_for(records.into()));
    for number in 0..records {
        there.put(number, 1);
    }
    let mut here = there.clone();
    let mut missed = 0;
    for writes in &writes {
        // Each row adds to the one before, so that the replicas need not be made anew.
        for write in missed..*writes.max(&missed) {
            there.put(missed_number(records, write), 2);
        }
        missed = missed.max(*writes);
        print_row(&mut here, &mut there, missed);
    }
    drop((here, there));

    println!(
        "{:>8} {:>10} {:>10} {:>8} {:>9} {:>10} {:>9} {:>7} {:>9}",
        "writes", "to find", "to ship", "a record", "names", "values", "messages", "trips", "took"
    );
    let mut machines = Machines::new(records);
    // After a start both may begin at once.
    machines.heal();
    for writes in writes {
        // The writes before were exchanged.
        for write in 0..writes {
            machines.write(missed_number(records, write));
        }
        print_healing(&mut machines, writes);
    }
    Ok(())
}

/// An update, or a new record.
fn missed_number(records: u32, write: u32) -> u32 {
    if write.is_multiple_of(2) { write / 2 } else { records + write / 2 }
}

fn print_healing(machines: &mut Machines, writes: u32) {
    let started = clock();
    let healed = machines.heal();
    let took = started.elapsed();
    let messages = healed.finding.messages + healed.shipping.messages;
    println!(
        "{writes:>8} {:>10} {:>10} {:>8} {:>9} {:>10} {messages:>9} {:>7} {:>6} ms",
        healed.finding.cost.bytes,
        healed.shipping.cost.bytes,
        healed.shipping.cost.bytes.checked_div(writes.into()).unwrap_or_default(),
        healed.finding.cost.name_bytes + healed.shipping.cost.name_bytes,
        healed.shipping.cost.value_bytes,
        healed.trips,
        took.as_millis()
    );
    assert!(machines.are_equal() && healed.failed == 0, "both hold the same after one session");
}

fn print_row(here: &mut Replica, there: &mut Replica, writes: u32) {
    let config = FindingConfig { pause: Duration::ZERO, ..FindingConfig::default() };
    let started = clock();
    let report = compare(here, there, config, 42, |_, _, _, _| {});
    let finding = started.elapsed();
    let outcome = report.outcome();
    let cost = outcome.traffic.cost;
    let per_item = cost.bytes.checked_div(outcome.found).unwrap_or_default();
    println!(
        "{writes:>8} {:>8} {:>10} {per_item:>10} {:>7} {:>8} {:>10} {:>6} {:>6} ms",
        outcome.found,
        cost.bytes,
        report.round_trips(),
        outcome.traffic.messages,
        cost.name_bytes,
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
