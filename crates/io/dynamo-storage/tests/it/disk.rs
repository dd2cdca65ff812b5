//! The engine on disk.

mod checkpoint;
mod columns;
mod files;
mod kill;
mod log;
mod missing;
mod space;

use std::fs;

use dynamo_storage::conformance::{self, COLUMNS, Subject};
use dynamo_storage::{Column, OpenOptions, Recovery, RocksDbEngine};
use tempfile::TempDir;

/// Small, so that little data makes files.
pub(crate) fn options(place: &TempDir) -> OpenOptions {
    OpenOptions {
        cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
        reserve_bytes: 0,
        ..OpenOptions::new(place.path().join("rows"), &COLUMNS)
    }
}

struct Disk {
    place: TempDir,
}

impl Subject for Disk {
    type Engine = RocksDbEngine;

    fn create(&mut self) -> RocksDbEngine {
        self.place = tempfile::tempdir().unwrap();
        RocksDbEngine::open(&options(&self.place)).unwrap()
    }

    fn reopen(&mut self, engine: RocksDbEngine) -> RocksDbEngine {
        drop(engine);
        let engine = RocksDbEngine::open(&options(&self.place)).unwrap();
        assert_eq!(engine.recovery(), Recovery::Clean);
        engine
    }

    fn crash(&mut self, _engine: RocksDbEngine) -> Option<RocksDbEngine> {
        None
    }

    fn damage(&mut self, engine: &RocksDbEngine, column: Column, key: &[u8]) {
        assert!(engine.damage(column, key).unwrap());
    }
}

#[test]
fn rocksdb_keeps_the_contract() {
    conformance::check(&mut Disk { place: tempfile::tempdir().unwrap() });
}

/// What a killed process leaves behind, of one that may still run.
fn copied(from: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("rows")).unwrap();
    for entry in fs::read_dir(from.path().join("rows")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join("rows").join(entry.file_name())).unwrap();
    }
    copy
}
