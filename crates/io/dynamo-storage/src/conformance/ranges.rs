//! Scans and the removal of ranges.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use super::{ROWS, Seen, Subject, puts, row, scanned, write};
use crate::batch::{Batch, Durability};
use crate::engine::StorageEngine;
use crate::range::keys;

fn key(key: &'static str) -> Bytes {
    Bytes::from_static(key.as_bytes())
}

pub(super) fn scans_are_in_order_and_within_bounds(subject: &mut impl Subject) {
    let engine = subject.create();
    assert_eq!(scanned(&engine, ROWS, &keys(..)), []);
    let rows = [("c", "3"), ("a", "1"), ("\u{7f}", "5"), ("ab", "2"), ("", "0")];
    write(&engine, puts(ROWS, &rows), Durability::Buffered);
    // Order is by unsigned bytes, so this comes last.
    let mut high = Batch::new();
    high.put(ROWS, &[0xff, 0xff][..], "6");
    write(&engine, high, Durability::Synced);
    let last = Seen::Row(Bytes::from_static(&[0xff, 0xff]), key("6"));

    let all =
        [row("", "0"), row("a", "1"), row("ab", "2"), row("c", "3"), row("\u{7f}", "5"), last];
    let expect = |engine: &_| {
        assert_eq!(scanned(engine, ROWS, &keys(..)), all);
        assert_eq!(scanned(engine, ROWS, &keys(key("a")..key("c"))), all[1..3]);
        assert_eq!(scanned(engine, ROWS, &keys(key("a")..=key("c"))), all[1..4]);
        assert_eq!(scanned(engine, ROWS, &keys(..key("ab"))), all[..2]);
        let behind = (Bound::Excluded(key("a")), Bound::Excluded(key("\u{7f}")));
        assert_eq!(scanned(engine, ROWS, &behind), all[2..4]);
        assert_eq!(scanned(engine, ROWS, &keys(key("d")..key("e"))), []);
        assert_eq!(scanned(engine, ROWS, &keys(key("c")..key("a"))), [], "upside down");
        assert_eq!(scanned(engine, ROWS, &keys(key("c")..key("c"))), []);
    };
    expect(&engine);
    let engine = subject.reopen(engine);
    expect(&engine);
}

pub(super) fn a_scan_stops_when_told(subject: &mut impl Subject) {
    let engine = subject.create();
    write(&engine, puts(ROWS, &[("a", "1"), ("b", "2"), ("c", "3")]), Durability::Synced);
    let mut visits = 0;
    engine
        .scan(ROWS, &keys(..), &mut |_| {
            visits += 1;
            if visits == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .expect("the scan failed");
    assert_eq!(visits, 2);
}

pub(super) fn removing_a_range_spares_its_end(subject: &mut impl Subject) {
    let mut engine = subject.create();
    let rows = [("a", "1"), ("b", "2"), ("bb", "3"), ("c", "4"), ("d", "5")];
    write(&engine, puts(ROWS, &rows), Durability::Synced);
    let mut removal = Batch::new();
    removal.delete_range(ROWS, "b", "c");
    // Empty and upside down: they remove nothing, and do not spoil the batch.
    removal.delete_range(ROWS, "d", "d");
    removal.delete_range(ROWS, "d", "a");
    write(&engine, removal, Durability::Synced);
    let left = [row("a", "1"), row("c", "4"), row("d", "5")];
    assert_eq!(scanned(&engine, ROWS, &keys(..)), left);
    engine = subject.reopen(engine);
    assert_eq!(scanned(&engine, ROWS, &keys(..)), left);
}
