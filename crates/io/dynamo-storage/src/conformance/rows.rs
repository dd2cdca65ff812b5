//! Single rows: written, overwritten, removed, kept.

use bytes::Bytes;

use super::{COLUMNS, OBJECTS, ROWS, Subject, puts, value, write};
use crate::batch::{Batch, Durability};
use crate::engine::{CachedRead, StorageEngine};

pub(super) fn what_was_written_is_read(subject: &mut impl Subject) {
    let engine = subject.create();
    assert_eq!(value(&engine, ROWS, "a"), None, "a new engine is empty");
    assert_eq!(engine.get_cached(ROWS, b"a"), Ok(CachedRead::Absent));
    for durability in [Durability::Buffered, Durability::Synced] {
        write(&engine, puts(ROWS, &[("a", "1"), ("", "the empty key is a key")]), durability);
        assert_eq!(value(&engine, ROWS, "a"), Some("1".into()));
        assert_eq!(engine.get_cached(ROWS, b"a"), Ok(CachedRead::Found("1".into())));
        assert_eq!(value(&engine, ROWS, ""), Some("the empty key is a key".into()));

        let mut removal = Batch::new();
        removal.delete(ROWS, "a");
        removal.delete(ROWS, "never written");
        write(&engine, removal, durability);
        assert_eq!(value(&engine, ROWS, "a"), None, "a removed row is gone");
    }
    engine.write(&[], Durability::Synced).expect("writing nothing is fine");
    engine.write(&[Batch::new()], Durability::Buffered).expect("writing nothing is fine");
}

pub(super) fn later_writes_win_within_and_across_batches(subject: &mut impl Subject) {
    let engine = subject.create();
    let mut first = puts(ROWS, &[("a", "1"), ("a", "2"), ("b", "1")]);
    first.delete(ROWS, "b");
    first.delete_range(ROWS, "c", "d");
    first.put(ROWS, "c", "put after its range went");
    let mut second = puts(ROWS, &[("a", "3")]);
    second.put(ROWS, "b", "put after its removal");
    engine.write(&[first, second], Durability::Synced).expect("the write failed");
    assert_eq!(value(&engine, ROWS, "a"), Some("3".into()));
    assert_eq!(value(&engine, ROWS, "b"), Some("put after its removal".into()));
    assert_eq!(value(&engine, ROWS, "c"), Some("put after its range went".into()));
}

pub(super) fn columns_are_apart(subject: &mut impl Subject) {
    let engine = subject.create();
    let mut batch = puts(ROWS, &[("a", "row")]);
    batch.put(OBJECTS, "a", "object");
    write(&engine, batch, Durability::Synced);
    let mut removal = Batch::new();
    removal.delete(ROWS, "a");
    write(&engine, removal, Durability::Synced);
    assert_eq!(value(&engine, ROWS, "a"), None);
    assert_eq!(value(&engine, OBJECTS, "a"), Some("object".into()));
}

pub(super) fn empty_and_big_values_are_values(subject: &mut impl Subject) {
    let engine = subject.create();
    // Around the size where a value is laid out differently, and the largest allowed.
    let sizes = [0, 1, 4_091, 4_092, 4_095, 4_096, 4_097, 1 << 20, 16 << 20];
    let pattern = |size: usize| (0..size).map(|i| (i % 251) as u8).collect::<Bytes>();
    let mut batch = Batch::new();
    for size in sizes {
        batch.put(OBJECTS, size.to_string(), pattern(size));
        batch.put(ROWS, size.to_string(), pattern(size));
    }
    write(&engine, batch, Durability::Synced);
    let engine = subject.reopen(engine);
    for size in sizes {
        for column in [OBJECTS, ROWS] {
            let found = value(&engine, column, &size.to_string());
            assert!(found == Some(pattern(size)), "a value of {size} bytes came back changed");
            // Whether memory can tell may differ; what it tells may not.
            match engine.get_cached(column, size.to_string().as_bytes()).expect("not damaged") {
                CachedRead::Found(found) => assert!(found == pattern(size)),
                CachedRead::NotCached => {}
                CachedRead::Absent => panic!("memory denies a value of {size} bytes"),
            }
        }
    }
}

pub(super) fn everything_survives_a_clean_restart(subject: &mut impl Subject) {
    let mut engine = subject.create();
    write(&engine, puts(ROWS, &[("synced", "1")]), Durability::Synced);
    write(&engine, puts(ROWS, &[("buffered", "1")]), Durability::Buffered);
    for _ in 0..2 {
        engine = subject.reopen(engine);
        assert_eq!(value(&engine, ROWS, "synced"), Some("1".into()));
        assert_eq!(value(&engine, ROWS, "buffered"), Some("1".into()));
    }
}

pub(super) fn statistics_name_every_column(subject: &mut impl Subject) {
    let engine = subject.create();
    write(&engine, puts(ROWS, &[("a", "1"), ("b", "2")]), Durability::Synced);
    let statistics = engine.statistics().expect("statistics");
    let named: Vec<_> = statistics.columns.iter().map(|column| column.name).collect();
    assert_eq!(named, COLUMNS.map(|column| column.name));
    assert_eq!(statistics.columns[ROWS.0].rows, 2);
    assert!(statistics.columns[ROWS.0].bytes > 0);
    assert!(!statistics.stopped);
}
