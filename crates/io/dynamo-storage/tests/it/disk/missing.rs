//! A database that is gone although its owner has used it before.

use std::fs;

use dynamo_storage::conformance::ROWS;
use dynamo_storage::{Batch, Durability, OpenOptions, Recovery, RocksDbEngine, StorageEngine};
use tempfile::TempDir;

use super::{copied, options};

fn open(place: &TempDir, used_before: bool) -> RocksDbEngine {
    RocksDbEngine::open(&OpenOptions { used_before, ..options(place) }).unwrap()
}

fn put(engine: &RocksDbEngine) {
    let mut batch = Batch::new();
    batch.put(ROWS, "key", "value");
    engine.write(&[batch], Durability::Synced).unwrap();
}

#[test]
fn a_first_database_is_clean_and_so_is_one_that_is_there() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(open(&place, false).recovery(), Recovery::Clean);
    assert_eq!(open(&place, true).recovery(), Recovery::Clean, "empty is not gone");
    let engine = open(&place, true);
    put(&engine);
    drop(engine);
    assert_eq!(open(&place, true).recovery(), Recovery::Clean);
}

#[test]
fn a_database_that_is_gone_is_reported_until_it_is_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    put(&open(&place, false));
    fs::remove_dir_all(place.path().join("rows")).unwrap();
    // What the new one holds meanwhile does not make it whole.
    for _ in 0..2 {
        let engine = open(&place, true);
        assert_eq!(engine.recovery(), Recovery::Missing);
        put(&engine);
    }
    // Nor does an unfinished write at the end of its log.
    let engine = open(&place, true);
    put(&engine);
    let torn = copied(&place);
    for entry in fs::read_dir(torn.path().join("rows")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "log") && !bytes.is_empty() {
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }
    }
    assert_eq!(open(&torn, true).recovery(), Recovery::Missing);

    engine.acknowledge_recovery().unwrap();
    drop(engine);
    assert_eq!(open(&place, true).recovery(), Recovery::Clean);
}

#[test]
fn a_creation_that_was_cut_short_is_no_database() {
    let image = tempfile::tempdir().unwrap();
    drop(open(&image, true));
    // The file that RocksDB makes last, and the one that is ours.
    let place = copied(&image);
    fs::remove_file(place.path().join("rows/CURRENT")).unwrap();
    fs::remove_file(place.path().join("rows/RECOVERY_SHORTENED")).unwrap();
    assert_eq!(open(&place, true).recovery(), Recovery::Missing);
}
