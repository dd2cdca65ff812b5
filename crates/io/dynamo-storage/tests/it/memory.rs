//! The memory engine.

use dynamo_storage::conformance::{self, COLUMNS, ROWS, Subject};
use dynamo_storage::{
    Batch, Column, Durability, MemoryEngine, StorageEngine, WriteError, WriteFault,
};

struct Memory;

impl Subject for Memory {
    type Engine = MemoryEngine;

    fn create(&mut self) -> MemoryEngine {
        MemoryEngine::new(&COLUMNS)
    }

    fn reopen(&mut self, engine: MemoryEngine) -> MemoryEngine {
        engine.restart();
        engine
    }

    fn crash(&mut self, engine: MemoryEngine) -> Option<MemoryEngine> {
        engine.crash();
        Some(engine)
    }

    fn damage(&mut self, engine: &MemoryEngine, column: Column, key: &[u8]) {
        assert!(engine.damage(column, key));
    }
}

#[test]
fn memory_keeps_the_contract() {
    conformance::check(&mut Memory);
}

fn put(key: &'static str) -> [Batch; 1] {
    let mut batch = Batch::new();
    batch.put(ROWS, key, "value");
    [batch]
}

fn has(engine: &MemoryEngine, key: &str) -> bool {
    engine.get(ROWS, key.as_bytes()).unwrap().is_some()
}

#[test]
fn a_full_disk_refuses_puts_takes_removals_and_recovers() {
    let engine = MemoryEngine::new(&COLUMNS);
    engine.write(&put("a"), Durability::Synced).unwrap();
    engine.set_disk_full(true);
    let refused = engine.write(&put("b"), Durability::Synced).unwrap_err();
    assert!(matches!(refused, WriteError::DiskFull { .. }) && refused.is_certain());
    assert!(has(&engine, "a") && !has(&engine, "b"));
    let mut removal = Batch::new();
    removal.delete(ROWS, "a");
    engine.write(&[removal], Durability::Synced).unwrap();
    engine.set_disk_full(false);
    engine.write(&put("b"), Durability::Synced).unwrap();
    assert!(!has(&engine, "a") && has(&engine, "b"));
}

#[test]
fn a_failed_sync_stops_writes_until_the_restart() {
    for survives in [false, true] {
        let engine = MemoryEngine::new(&COLUMNS);
        engine.fail_next_write(WriteFault::SyncFailed { survives });
        engine.write(&put("buffered"), Durability::Buffered).unwrap();
        let failed = engine.write(&put("synced"), Durability::Synced).unwrap_err();
        assert!(matches!(failed, WriteError::SyncFailed { .. }) && !failed.is_certain());
        for durability in [Durability::Buffered, Durability::Synced] {
            assert_eq!(engine.write(&put("later"), durability), Err(WriteError::Stopped));
        }
        assert!(has(&engine, "buffered"), "reads go on");
        assert!(!has(&engine, "synced") && engine.statistics().unwrap().stopped);
        engine.crash();
        assert!(!has(&engine, "buffered"), "a failed sync made nothing durable");
        assert_eq!(has(&engine, "synced"), survives);
        engine.write(&put("later"), Durability::Synced).unwrap();
    }
}

#[test]
fn faults_strike_once_each_and_in_order() {
    let engine = MemoryEngine::new(&COLUMNS);
    engine.fail_next_write(WriteFault::DiskFull);
    engine.fail_next_write(WriteFault::Io);
    let full = engine.write(&put("a"), Durability::Buffered);
    assert!(matches!(full, Err(WriteError::DiskFull { .. })));
    assert!(matches!(engine.write(&put("a"), Durability::Synced), Err(WriteError::Io { .. })));
    assert!(!has(&engine, "a"));
    engine.write(&put("a"), Durability::Synced).unwrap();
}
