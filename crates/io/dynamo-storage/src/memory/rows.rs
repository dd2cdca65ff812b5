//! The rows of one column in memory, and how to take a change back.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use crate::batch::{Column, Write};
use crate::checksum::RowChecksum;
use crate::engine::{ScanItem, Visit};
use crate::error::ReadError;
use crate::range::{KeyRange, Span};

/// Rows by key, each with the checksum it was written with.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    checksum: RowChecksum,
    by_key: BTreeMap<Bytes, Row>,
    bytes: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    value: Bytes,
    checksum: u32,
}

/// What a key held before a change.
#[derive(Debug)]
pub(super) struct Undo {
    pub(super) column: Column,
    key: Bytes,
    before: Option<Row>,
}

pub(super) fn column_of(write: &Write) -> Column {
    match write {
        Write::Put { column, .. }
        | Write::Delete { column, .. }
        | Write::DeleteRange { column, .. } => *column,
    }
}

impl Rows {
    pub(super) fn new(checksum: RowChecksum) -> Self {
        Self { checksum, by_key: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn apply(&mut self, write: &Write, undo: &mut Vec<Undo>) {
        match write {
            Write::Put { column, key, value } => {
                let row = Row { value: value.clone(), checksum: self.checksum.of(key, value) };
                let before = self.set(key.clone(), Some(row));
                undo.push(Undo { column: *column, key: key.clone(), before });
            }
            Write::Delete { column, key } => {
                let before = self.set(key.clone(), None);
                undo.push(Undo { column: *column, key: key.clone(), before });
            }
            Write::DeleteRange { column, from, to } => {
                if from >= to {
                    return;
                }
                let gone: Vec<_> =
                    self.by_key.range::<Bytes, _>(from..to).map(|(key, _)| key.clone()).collect();
                for key in gone {
                    let before = self.set(key.clone(), None);
                    undo.push(Undo { column: *column, key, before });
                }
            }
        }
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        self.set(undo.key, undo.before);
    }

    pub(super) fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        match self.by_key.get(key) {
            None => Ok(None),
            Some(row) if row.checksum == self.checksum.of(key, &row.value) => {
                Ok(Some(row.value.clone()))
            }
            Some(_) => Err(ReadError::Damaged { column, key: Bytes::copy_from_slice(key) }),
        }
    }

    pub(super) fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) {
        let span = Span::of(range);
        if span.is_empty() {
            return;
        }
        let until = match &span.until {
            Some(until) => Bound::Excluded(&until[..]),
            None => Bound::Unbounded,
        };
        for (key, row) in self.by_key.range::<[u8], _>((Bound::Included(&span.from[..]), until)) {
            let item = if row.checksum == self.checksum.of(key, &row.value) {
                ScanItem::Row { key, value: &row.value }
            } else {
                ScanItem::DamagedRow { key }
            };
            if let ControlFlow::Break(()) = visit(item) {
                return;
            }
        }
    }

    /// Changes the checksum rather than the value: empty values can rot too.
    pub(super) fn damage(&mut self, key: &[u8]) -> bool {
        match self.by_key.get_mut(key) {
            Some(row) => {
                row.checksum = !self.checksum.of(key, &row.value);
                true
            }
            None => false,
        }
    }

    fn set(&mut self, key: Bytes, row: Option<Row>) -> Option<Row> {
        let key_bytes = key.len() as u64;
        let before = match row {
            Some(row) => {
                self.bytes += key_bytes + row.value.len() as u64;
                self.by_key.insert(key, row)
            }
            None => self.by_key.remove(&key),
        };
        if let Some(row) = &before {
            self.bytes -= key_bytes + row.value.len() as u64;
        }
        before
    }
}
