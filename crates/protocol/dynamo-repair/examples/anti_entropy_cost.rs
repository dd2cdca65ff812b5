//! Prints what two replicas of many records send each other to find in what they differ.
//!
//! `cargo run --release -p dynamo-repair --example anti_entropy_cost [RECORDS [WRITES...]]`
//!
//! One replica missed so many writes, half of them updates and half new records. The pause is left
//! out. Bytes are those that the messages state, in both directions. Processor time is not measured
//! here: `finding` is how long both sides took together on this machine, memory scans included.
#![expect(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::time::Duration;

use dynamo_merkle::SumTree;
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

#[expect(clippy::disallowed_methods, reason = "a stopwatch of a program that measures")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}
