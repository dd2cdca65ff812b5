//! What every engine must do, as checks that panic with the rule that was broken.
//!
//! An engine's tests implement [`Subject`] and call [`check`].

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::batch::{Batch, Column, ColumnSpec, Durability, Purpose};
use crate::engine::{ScanItem, Snapshot, StorageEngine, Visit};
use crate::error::ScanError;
use crate::range::KeyRange;

mod crash;
mod damage;
mod ranges;
mod rows;
mod snapshots;

/// The columns that the checks need.
pub const COLUMNS: [ColumnSpec; 2] = [
    ColumnSpec { name: "objects", purpose: Purpose::Objects },
    ColumnSpec { name: "rows", purpose: Purpose::Rows },
];

/// The first of [`COLUMNS`].
pub const OBJECTS: Column = Column(0);

/// The second of [`COLUMNS`].
pub const ROWS: Column = Column(1);

/// An engine under test and what can be done to it.
pub trait Subject {
    /// The engine.
    type Engine: StorageEngine;

    /// An empty engine with [`COLUMNS`], in a place of its own.
    fn create(&mut self) -> Self::Engine;

    /// Ends the process that holds the engine, cleanly, and opens it again.
    fn reopen(&mut self, engine: Self::Engine) -> Self::Engine;

    /// Loses what was not synced and opens the engine again; `None` where that cannot be staged.
    fn crash(&mut self, engine: Self::Engine) -> Option<Self::Engine>;

    /// Changes the bytes of a row behind the engine's back.
    fn damage(&mut self, engine: &Self::Engine, column: Column, key: &[u8]);
}

/// Checks everything, each on an engine of its own.
///
/// # Panics
/// If the engine breaks a rule.
pub fn check(subject: &mut impl Subject) {
    rows::what_was_written_is_read(subject);
    rows::later_writes_win_within_and_across_batches(subject);
    rows::columns_are_apart(subject);
    rows::empty_and_big_values_are_values(subject);
    rows::everything_survives_a_clean_restart(subject);
    rows::statistics_name_every_column(subject);
    ranges::scans_are_in_order_and_within_bounds(subject);
    ranges::a_scan_stops_when_told(subject);
    ranges::removing_a_range_spares_its_end(subject);
    snapshots::a_snapshot_does_not_move(subject);
    damage::a_damaged_row_is_reported_and_never_read(subject);
    damage::a_scan_goes_on_behind_a_damaged_row(subject);
    damage::overwriting_and_removing_heal_a_damaged_row(subject);
    crash::a_sync_makes_everything_before_it_durable(subject);
    crash::what_was_not_synced_goes_as_a_whole(subject);
}

/// Something that can be scanned.
pub(crate) trait Scan {
    fn scan_range(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError>;
}

impl<E: StorageEngine> Scan for E {
    fn scan_range(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError> {
        self.scan(column, range, visit)
    }
}

impl Scan for dyn Snapshot + '_ {
    fn scan_range(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError> {
        self.scan(column, range, visit)
    }
}

/// A scanned item that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Row(Bytes, Bytes),
    Damaged(Bytes),
    Range(Bytes, Option<Bytes>),
}

pub(crate) fn scanned(from: &(impl Scan + ?Sized), column: Column, range: &KeyRange) -> Vec<Seen> {
    let mut seen = Vec::new();
    from.scan_range(column, range, &mut |item| {
        seen.push(match item {
            ScanItem::Row { key, value } => Seen::Row(copied(key), copied(value)),
            ScanItem::DamagedRow { key } => Seen::Damaged(copied(key)),
            ScanItem::DamagedRange { from, until } => Seen::Range(copied(from), until.map(copied)),
        });
        ControlFlow::Continue(())
    })
    .expect("the scan failed");
    seen
}

fn copied(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(crate) fn row(key: &'static str, value: &'static str) -> Seen {
    Seen::Row(Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()))
}

/// A batch that puts the given rows into one column.
pub(crate) fn puts(column: Column, rows: &[(&'static str, &'static str)]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.put(column, *key, *value);
    }
    batch
}

#[track_caller]
pub(crate) fn write(engine: &impl StorageEngine, batch: Batch, durability: Durability) {
    engine.write(&[batch], durability).expect("the write failed");
}

#[track_caller]
pub(crate) fn value(engine: &impl StorageEngine, column: Column, key: &str) -> Option<Bytes> {
    engine.get(column, key.as_bytes()).expect("the read failed")
}
