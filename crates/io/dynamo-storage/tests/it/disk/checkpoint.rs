//! Checkpoints.

use dynamo_storage::conformance::{COLUMNS, OBJECTS, ROWS};
use dynamo_storage::{
    Batch, CheckpointError, Durability, MemoryEngine, OpenOptions, Recovery, RocksDbEngine,
    StorageEngine,
};

use super::options;

#[test]
fn a_checkpoint_opens_as_the_state_it_was_taken_of() {
    let place = tempfile::tempdir().unwrap();
    let engine = RocksDbEngine::open(&options(&place)).unwrap();
    let mut before = Batch::new();
    before.put(ROWS, "row", "before");
    before.put(OBJECTS, "object", vec![1; 50_000]);
    engine.write(&[before], Durability::Buffered).unwrap();
    let target = place.path().join("checkpoint");
    engine.checkpoint(&target).unwrap();
    let mut after = Batch::new();
    after.put(ROWS, "row", "after");
    engine.write(&[after], Durability::Synced).unwrap();
    assert!(matches!(engine.checkpoint(&target), Err(CheckpointError::Io { .. })), "it exists");

    let copy = OpenOptions { directory: target, ..options(&place) };
    let copy = RocksDbEngine::open(&copy).unwrap();
    assert_eq!(copy.recovery(), Recovery::Clean);
    assert_eq!(copy.get(ROWS, b"row"), Ok(Some("before".into())));
    assert_eq!(copy.get(OBJECTS, b"object"), Ok(Some(vec![1; 50_000].into())));
    assert_eq!(engine.get(ROWS, b"row"), Ok(Some("after".into())));
}

#[test]
fn memory_has_no_files_to_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let engine = MemoryEngine::new(&COLUMNS);
    let refused = engine.checkpoint(&place.path().join("checkpoint"));
    assert_eq!(refused, Err(CheckpointError::Unsupported));
}
