//! Rows that rotted.

use bytes::Bytes;

use super::{OBJECTS, ROWS, Seen, Subject, puts, row, scanned, value, write};
use crate::batch::{Batch, Durability};
use crate::engine::StorageEngine;
use crate::error::ReadError;
use crate::range::keys;

pub(super) fn a_damaged_row_is_reported_and_never_read(subject: &mut impl Subject) {
    let mut engine = subject.create();
    let mut batch = puts(ROWS, &[("small", "1"), ("empty", ""), ("other", "1")]);
    batch.put(OBJECTS, "large", vec![7; 100_000]);
    write(&engine, batch, Durability::Synced);
    let rotten = [(ROWS, "small"), (ROWS, "empty"), (OBJECTS, "large")];
    for (column, key) in rotten {
        subject.damage(&engine, column, key.as_bytes());
    }
    for _ in 0..2 {
        for (column, key) in rotten {
            let key = Bytes::from_static(key.as_bytes());
            let damaged = Err(ReadError::Damaged { column, key: key.clone() });
            assert_eq!(engine.get(column, &key), damaged);
            assert_eq!(engine.snapshot().get(column, &key), damaged);
            // Memory may not know; but it must not say that all is well.
            let cached = engine.get_cached(column, &key);
            let honest =
                [Err(ReadError::Damaged { column, key }), Ok(crate::CachedRead::NotCached)];
            assert!(honest.contains(&cached), "{cached:?}");
        }
        assert_eq!(value(&engine, ROWS, "other"), Some("1".into()), "the rest is still served");
        engine = subject.reopen(engine);
    }
}

pub(super) fn a_scan_goes_on_behind_a_damaged_row(subject: &mut impl Subject) {
    let engine = subject.create();
    let rows = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    write(&engine, puts(ROWS, &rows), Durability::Synced);
    for key in ["a", "c"] {
        subject.damage(&engine, ROWS, key.as_bytes());
    }
    let seen = [Seen::Damaged("a".into()), row("b", "2"), Seen::Damaged("c".into()), row("d", "4")];
    assert_eq!(scanned(&engine, ROWS, &keys(..)), seen);
    assert_eq!(scanned(&*engine.snapshot(), ROWS, &keys(..)), seen);
}

pub(super) fn overwriting_and_removing_heal_a_damaged_row(subject: &mut impl Subject) {
    let engine = subject.create();
    write(&engine, puts(ROWS, &[("a", "1"), ("b", "1"), ("c", "1")]), Durability::Synced);
    for key in ["a", "b", "c"] {
        subject.damage(&engine, ROWS, key.as_bytes());
    }
    let mut repair = puts(ROWS, &[("a", "2")]);
    repair.delete(ROWS, "b");
    repair.delete_range(ROWS, "c", "d");
    write(&engine, repair, Durability::Synced);
    assert_eq!(value(&engine, ROWS, "a"), Some("2".into()));
    assert_eq!(value(&engine, ROWS, "b"), None);
    assert_eq!(value(&engine, ROWS, "c"), None);
    write(&engine, Batch::new(), Durability::Synced);
}
