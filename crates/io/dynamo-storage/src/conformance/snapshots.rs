//! Snapshots.

use super::{OBJECTS, ROWS, Subject, puts, row, scanned, value, write};
use crate::batch::{Batch, Durability};
use crate::engine::StorageEngine;
use crate::range::keys;

pub(super) fn a_snapshot_does_not_move(subject: &mut impl Subject) {
    let engine = subject.create();
    write(&engine, puts(ROWS, &[("a", "1"), ("b", "1")]), Durability::Synced);
    let snapshot = engine.snapshot();

    let mut change = puts(ROWS, &[("a", "2"), ("c", "2")]);
    change.delete(ROWS, "b");
    change.put(OBJECTS, "a", "2");
    write(&engine, change, Durability::Synced);
    let mut removal = Batch::new();
    removal.delete_range(ROWS, "", "z");
    write(&engine, removal, Durability::Buffered);

    assert_eq!(snapshot.get(ROWS, b"a"), Ok(Some("1".into())));
    assert_eq!(snapshot.get(ROWS, b"c"), Ok(None));
    assert_eq!(snapshot.get(OBJECTS, b"a"), Ok(None), "a snapshot covers all columns");
    assert_eq!(scanned(&*snapshot, ROWS, &keys(..)), [row("a", "1"), row("b", "1")]);
    drop(snapshot);
    assert_eq!(value(&engine, ROWS, "a"), None);
    assert_eq!(value(&engine, OBJECTS, "a"), Some("2".into()));
}
