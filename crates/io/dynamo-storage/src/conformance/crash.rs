//! What a crash takes, and what it may not take.

use super::{OBJECTS, ROWS, Subject, puts, row, scanned, value, write};
use crate::batch::{Batch, Durability};
use crate::range::keys;

pub(super) fn a_sync_makes_everything_before_it_durable(subject: &mut impl Subject) {
    let engine = subject.create();
    write(&engine, puts(ROWS, &[("a", "1")]), Durability::Buffered);
    write(&engine, puts(OBJECTS, &[("b", "1")]), Durability::Buffered);
    write(&engine, puts(ROWS, &[("c", "1")]), Durability::Synced);
    let Some(engine) = subject.crash(engine) else { return };
    assert_eq!(value(&engine, ROWS, "a"), Some("1".into()));
    assert_eq!(value(&engine, OBJECTS, "b"), Some("1".into()));
    assert_eq!(value(&engine, ROWS, "c"), Some("1".into()));
}

pub(super) fn what_was_not_synced_goes_as_a_whole(subject: &mut impl Subject) {
    let engine = subject.create();
    write(&engine, puts(ROWS, &[("a", "1"), ("b", "1"), ("c", "1")]), Durability::Synced);
    let mut lost = puts(ROWS, &[("a", "2"), ("a", "3"), ("d", "2")]);
    lost.delete(ROWS, "b");
    lost.delete_range(ROWS, "c", "e");
    lost.put(OBJECTS, "e", "2");
    write(&engine, lost, Durability::Buffered);
    assert_eq!(scanned(&engine, ROWS, &keys(..)), [row("a", "3")]);
    let Some(engine) = subject.crash(engine) else { return };
    let before = [row("a", "1"), row("b", "1"), row("c", "1")];
    assert_eq!(scanned(&engine, ROWS, &keys(..)), before);
    assert_eq!(value(&engine, OBJECTS, "e"), None);
    // And it works on from there.
    let mut removal = Batch::new();
    removal.delete(ROWS, "a");
    write(&engine, removal, Durability::Synced);
    assert_eq!(scanned(&engine, ROWS, &keys(..)), before[1..]);
}
