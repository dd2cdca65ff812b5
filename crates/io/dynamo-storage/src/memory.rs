//! An engine in memory, for tests and simulation, with the faults of a disk on command.
//!
//! It keeps what a disk would keep: which writes a power loss takes away, whether a sync failed,
//! whether space is left, and which rows have rotted.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::batch::{Batch, Column, ColumnSpec, Durability, adds_rows};
use crate::checksum::RowChecksum;
use crate::engine::{CachedRead, ColumnStatistics, Snapshot, Statistics, StorageEngine, Visit};
use crate::error::{CheckpointError, ReadError, ScanError, StatisticsError, WriteError};
use crate::range::KeyRange;

mod rows;

use rows::{Rows, Undo};

/// A failure that a [`MemoryEngine`] is told to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// The write is refused for want of space.
    DiskFull,
    /// The sync fails and writes stop. A buffered write has no sync to fail: the fault waits for
    /// the next synced one.
    SyncFailed {
        /// Whether the write is found after the restart all the same.
        survives: bool,
    },
    /// The write fails for another reason and is not applied.
    Io,
}

/// Ordered maps behind a lock. Clones share one state, as two handles of one disk would.
#[derive(Clone)]
pub struct MemoryEngine {
    columns: Arc<[ColumnSpec]>,
    state: Arc<Mutex<State>>,
}

struct State {
    rows: Vec<Arc<Rows>>,
    /// How to take back what was not synced, oldest first.
    unsynced: Vec<Undo>,
    /// What a failed sync wrote after all; it appears at the restart.
    surviving: Vec<Batch>,
    faults: VecDeque<WriteFault>,
    full: bool,
    stopped: bool,
}

impl MemoryEngine {
    /// An empty engine with the given columns.
    ///
    /// # Panics
    /// If two columns have one name.
    #[must_use]
    pub fn new(columns: &[ColumnSpec]) -> Self {
        let mut names: Vec<_> = columns.iter().map(|column| column.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "column names repeat: {names:?}");
        let rows = columns.iter().map(|column| Arc::new(Rows::new(RowChecksum::new(column.name))));
        let state = State {
            rows: rows.collect(),
            unsynced: Vec::new(),
            surviving: Vec::new(),
            faults: VecDeque::new(),
            full: false,
            stopped: false,
        };
        Self { columns: columns.into(), state: Arc::new(Mutex::new(state)) }
    }

    /// Ends the process and starts it again: buffered writes survive, stopped writes resume.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.stopped = false;
        state.faults.clear();
        for batch in std::mem::take(&mut state.surviving) {
            state.apply(&batch);
        }
    }

    /// Cuts the power and starts again: everything since the last synced write is gone, stopped
    /// writes resume.
    pub fn crash(&self) {
        {
            let mut state = self.lock();
            while let Some(undo) = state.unsynced.pop() {
                let column = undo.column;
                Arc::make_mut(&mut state.rows[column.0]).undo(undo);
            }
        }
        self.restart();
    }

    /// Makes the next write fail; several calls make as many writes fail, in order.
    pub fn fail_next_write(&self, fault: WriteFault) {
        self.lock().faults.push_back(fault);
    }

    /// Fills the disk or makes space: while full, writes that add rows are refused.
    pub fn set_disk_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Changes the bytes of a row behind the engine's back. Returns whether there is such a row.
    pub fn damage(&self, column: Column, key: &[u8]) -> bool {
        Arc::make_mut(&mut self.lock().rows[column.0]).damage(key)
    }

    /// How many single changes a crash would take away.
    #[must_use]
    pub fn unsynced_changes(&self) -> usize {
        self.lock().unsynced.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No call into foreign code happens under the lock, so its state is whole even if a
        // thread died holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self, column: Column) -> Arc<Rows> {
        Arc::clone(&self.lock().rows[column.0])
    }
}

impl State {
    fn apply(&mut self, batch: &Batch) {
        for write in &batch.0 {
            let column = rows::column_of(write);
            let unsynced = &mut self.unsynced;
            Arc::make_mut(&mut self.rows[column.0]).apply(write, unsynced);
        }
    }

    fn next_fault(&mut self, durability: Durability) -> Option<WriteFault> {
        match self.faults.front()? {
            WriteFault::SyncFailed { .. } if durability == Durability::Buffered => None,
            _ => self.faults.pop_front(),
        }
    }
}

impl StorageEngine for MemoryEngine {
    fn write(&self, batches: &[Batch], durability: Durability) -> Result<(), WriteError> {
        let mut state = self.lock();
        if state.stopped {
            return Err(WriteError::Stopped);
        }
        if state.full && adds_rows(batches) {
            return Err(WriteError::DiskFull { detail: "told to be full".into() });
        }
        match state.next_fault(durability) {
            None => {}
            Some(WriteFault::DiskFull) => {
                return Err(WriteError::DiskFull { detail: "told to fail".into() });
            }
            Some(WriteFault::SyncFailed { survives }) => {
                state.stopped = true;
                if survives {
                    state.surviving.extend_from_slice(batches);
                }
                return Err(WriteError::SyncFailed { detail: "told to fail".into() });
            }
            Some(WriteFault::Io) => return Err(WriteError::Io { detail: "told to fail".into() }),
        }
        for batch in batches {
            state.apply(batch);
        }
        if durability == Durability::Synced {
            state.unsynced.clear();
        }
        Ok(())
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.lock().rows[column.0].get(column, key)
    }

    fn get_cached(&self, column: Column, key: &[u8]) -> Result<CachedRead, ReadError> {
        Ok(self.get(column, key)?.map_or(CachedRead::Absent, CachedRead::Found))
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError> {
        // The rows are shared, not copied, and the lock is gone before the first visit.
        self.rows(column).scan(range, visit);
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Snapshot + '_> {
        Box::new(MemorySnapshot { rows: self.lock().rows.clone() })
    }

    fn checkpoint(&self, _target: &Path) -> Result<(), CheckpointError> {
        Err(CheckpointError::Unsupported)
    }

    fn statistics(&self) -> Result<Statistics, StatisticsError> {
        let state = self.lock();
        let columns = self.columns.iter().zip(&state.rows).map(|(spec, rows)| ColumnStatistics {
            name: spec.name,
            rows: rows.len() as u64,
            bytes: rows.bytes(),
        });
        Ok(Statistics {
            columns: columns.collect(),
            pending_compaction_bytes: 0,
            free_bytes: None,
            stopped: state.stopped,
        })
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let rows: BTreeMap<_, _> = self
            .columns
            .iter()
            .zip(&state.rows)
            .map(|(spec, rows)| (spec.name, rows.len()))
            .collect();
        f.debug_struct("MemoryEngine")
            .field("rows", &rows)
            .field("unsynced_changes", &state.unsynced.len())
            .field("stopped", &state.stopped)
            .finish()
    }
}

struct MemorySnapshot {
    rows: Vec<Arc<Rows>>,
}

impl Snapshot for MemorySnapshot {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.rows[column.0].get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), ScanError> {
        self.rows[column.0].scan(range, visit);
        Ok(())
    }
}
